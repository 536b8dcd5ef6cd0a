"""The covariance of the coefficients of some features, without the covariance of all features.

r is the number of free logits; θ has the shape (n_logits, n_features + 1).
"""

from __future__ import annotations

import numpy as np

from skmaxent._leverage._reference_coding import ridge_gradient
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers import conjugate_gradients
from skmaxent._solvers._conjugate_gradients import Step
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Error, relative to the standard error, to which the linear system of a variance is solved.
VARIANCE_ACCURACY = 1e-8
# A system whose error, relative to the standard error, stays above this counts as unsolved.
UNSOLVED = 1e-4
# Most products with the Hessian to solve one system.
MAX_VARIANCE_PRODUCTS = 2000


class UnsolvedSystem(ValueError):
    """The error of a variance that conjugate gradients do not find."""


def covariance_of_features(
    point: Point, ridge: Array, gradient: Array, positions: Array
) -> tuple[Array, float]:
    """Return the covariance of the coefficients of some features, and the distance to the optimum.

    With the Hessian H of the mean loss, and S the sum of the weights, the covariance of a·θ and b·θ
    is b·H⁻¹ a/S. For each feature and free logit, preconditioned conjugate gradients solve a system
    H x = a; each product with H is a pass over the rows. UnsolvedSystem is raised if a system is
    not solved, because features are nearly linearly dependent or the classes are separated.

    Parameters
    ----------
    point : Point
        The coefficients. The penalty of its objective is a ridge whose strength for each column is
        the mean of `ridge` over the logits.
    ridge : ndarray of shape (1 or n_logits, n_features)
        The strength of the ridge penalty for each logit.
    gradient : ndarray of shape (n_logits, n_features + 1)
        Gradient of the objective with this penalty.
    positions : ndarray of int of shape (n_chosen,)
        Positions of the features.

    Returns
    -------
    V : ndarray of shape (r * n_chosen, r * n_chosen)
        Covariance of coefficients for the columns of X, logit by logit, against the last class.
    distance : float
        Distance of the point from the optimum, in standard errors.
    """
    objective = point.objective
    preconditioner, _ = PreconditionerChoice(objective, is_near=True).at(point, 0)
    r = max(1, len(point.theta) - 1)

    def hessian_product(direction: Array) -> Array:
        """Return H times a direction of the shape of θ."""
        product = point.hessian_product(direction)
        if len(ridge) > 1:
            # The strengths of the logits differ: their ridge replaces that of the objective.
            coef = direction[:, :-1]
            product[:, :-1] += ridge_gradient(ridge, coef) - objective.penalty.gradient(coef)
        return product

    def solved(b: Array, tolerance: float) -> Step:
        """Return the solution of H x = -b by conjugate gradients, with its residual."""
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
            raise UnsolvedSystem(
                f"the variance of feature {positions[n % len(positions)]} was not found in "
                f"{MAX_VARIANCE_PRODUCTS} products with the Hessian: the feature is nearly a "
                "linear combination of others, or nearly all rows are certain of their classes."
            )
        solutions.append(step.direction.ravel())
    contrasts = np.array([a.ravel() for a in directions])
    V = contrasts @ np.array(solutions).T / objective.total_weight
    norm = float(np.sqrt(inner(gradient, preconditioner.solve(gradient))))
    newton = solved(gradient, 0.1 * norm)
    distance = float(np.sqrt(2.0 * max(newton.predicted, 0.0) * objective.total_weight))
    return np.asarray(0.5 * (V + V.T)), distance


def _contrast(objective: MultinomialObjective, k: int, j: int) -> Array:
    """Return the a for which a·θ is a coefficient of X, in the shape of θ.

    The coefficient is that of feature j for class k, minus that for the last class.
    """
    a = objective.zeros()
    a[k, j] = 1.0 / objective.scale[j]
    if len(a) > 1:
        a[-1, j] = -a[k, j]
    return a
