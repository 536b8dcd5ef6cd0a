"""The covariance of some features' coefficients, without that of all."""

from __future__ import annotations

import numpy as np

from skmaxent._leverage._reference_coding import ridge_pull
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers import conjugate_gradients
from skmaxent._solvers._conjugate_gradients import Step
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Error that a system for a variance is solved to, relative to the standard error; the error above
# which it counts as unsolved; and the most Hessian products for it.
VARIANCE_ACCURACY, UNSOLVED, MAX_VARIANCE_PRODUCTS = 1e-8, 1e-4, 2000


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

    def solved(b: Array, tolerance: float) -> Step:
        """The step of conjugate gradients for the gradient b."""
        return conjugate_gradients(
            hessian_product,
            preconditioner.solve,
            b,
            radius=np.inf,
            tolerance=tolerance,
            max_products=MAX_VARIANCE_PRODUCTS,
        )

    directions = [_contrast(objective, k, j) for k in range(r) for j in positions]
    solutions = []
    for n, a in enumerate(directions):
        size = float(np.sqrt(inner(a, preconditioner.solve(a))))
        step = solved(-a, VARIANCE_ACCURACY * size)
        left = float(np.sqrt(max(inner(step.residual, preconditioner.solve(step.residual)), 0.0)))
        if not left <= UNSOLVED * size:
            raise ValueError(
                f"the variance of feature {positions[n % len(positions)]} was not found in "
                f"{MAX_VARIANCE_PRODUCTS} products with the Hessian: the feature is nearly a "
                "linear combination of others, or the classes are separated (see "
                "detect_separation)."
            )
        solutions.append(step.direction.ravel())
    contrasts = np.array([a.ravel() for a in directions])
    V = contrasts @ np.array(solutions).T / objective.total_weight
    norm = float(np.sqrt(inner(gradient, preconditioner.solve(gradient))))
    newton = solved(gradient, 0.1 * norm)
    distance = float(np.sqrt(2.0 * max(newton.predicted, 0.0) * objective.total_weight))
    return np.asarray(0.5 * (V + V.T)), distance


def _contrast(objective: MultinomialObjective, k: int, j: int) -> Array:
    """Return a, for which a·θ is the coefficient of feature j for class k against the last.

    The coefficient is that of the column as it is. The result has the shape of θ, (n_logits,
    n_features + 1).
    """
    a = objective.zeros()
    a[k, j] = 1.0 / objective.scale[j]
    if len(a) > 1:
        a[-1, j] = -a[k, j]
    return a
