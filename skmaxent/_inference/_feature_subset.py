"""The covariance of some features' coefficients, without that of all."""

from __future__ import annotations

import numpy as np

from skmaxent._inference._covariance import ridge_pull
from skmaxent._objective._objective import Point
from skmaxent._solvers import conjugate_gradients
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

ACCURACY = 1e-8
MAX_PRODUCTS = 2000


def covariance_of(
    point: Point, ridge: Array, gradient: Array, positions: Array
) -> tuple[Array, float]:
    """The block of H⁻¹/S for features, class by class against the last, in the units of the data.

    One system H x = a is solved for each feature and class by preconditioned conjugate gradients
    over the rows: the covariance of a·θ and b·θ is b·H⁻¹ a. Shape (r·n, r·n) for n features.
    `ridge` is the strength of the penalty, (1 or n_logits, n_features), whose mean over classes is
    the penalty of the point's objective, and `gradient` that of the objective with all of it. The
    second result is the distance of the point from the optimum in standard errors.

    Raises
    ------
    ValueError
        Where a system is not solved: features that depend on each other, or separated classes.
    """
    objective = point.objective
    preconditioner, _ = PreconditionerChoice(objective, is_near=True).at(point, 0)
    r = max(1, len(point.theta) - 1)

    def hessian_product(direction: Array) -> Array:
        product = point.hessian_product(direction)
        if len(ridge) > 1:
            coef = direction[:, :-1]
            product[:, :-1] += ridge_pull(ridge, coef) - objective.penalty.gradient(coef)
        return product

    contrasts, solutions = [], []
    for k in range(r):
        for j in positions:
            a = objective.zeros()
            a[k, j] = 1.0 / objective.scale[j]
            if len(a) > 1:
                a[-1, j] = -a[k, j]
            size = float(np.sqrt(inner(a, preconditioner.solve(a))))
            step = conjugate_gradients(
                hessian_product,
                preconditioner.solve,
                -a,
                radius=np.inf,
                tolerance=ACCURACY * size,
                max_products=MAX_PRODUCTS,
            )
            left = float(
                np.sqrt(max(inner(step.residual, preconditioner.solve(step.residual)), 0.0))
            )
            if not left <= 1e-4 * size:
                raise ValueError(
                    f"the variance of feature {j} was not found in {MAX_PRODUCTS} products: it is "
                    "nearly a combination of others, or the classes are separated."
                )
            contrasts.append(a.ravel())
            solutions.append(step.direction.ravel())
    V = np.array(contrasts) @ np.array(solutions).T / objective.total_weight
    norm = float(np.sqrt(inner(gradient, preconditioner.solve(gradient))))
    newton = conjugate_gradients(
        hessian_product,
        preconditioner.solve,
        gradient,
        radius=np.inf,
        tolerance=0.1 * norm,
        max_products=MAX_PRODUCTS,
    )
    distance = float(np.sqrt(2.0 * max(newton.predicted, 0.0) * objective.total_weight))
    return np.asarray(0.5 * (V + V.T)), distance
