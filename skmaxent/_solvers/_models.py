"""Quadratic models of the loss at a point, from samples of the rows."""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Tangent
from skmaxent._solvers._conjugate_gradients import steihaug
from skmaxent._solvers._preconditioners import curvature_moments
from skmaxent._solvers._quadratic import (
    DenseModel,
    KroneckerModel,
    Model,
    SeparableModel,
    within,
)
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Up to this many coefficients the Hessian is assembled.
DENSE_SIZE = 1500
SPARSE_SIZE = 300
# Up to this many columns their covariances are.
FULL_COVARIANCE = 1500
# Rows for each coefficient, or column, in a sample.
ROWS_PER_COEFFICIENT = 5
ROWS_PER_COLUMN = 10
LEAST_ROWS = 2000
# Curvature of what has none, relative to what the rest has on the average.
LEAST_CURVATURE = 1e-13
# Mean curvature of standardised columns below which all rows are saturated.
VANISHED = 1e-10
# Of a step within a manifold by conjugate gradients.
ACCURACY = 0.1
MAX_PRODUCTS = 50


def model_at(point: Point, seed: int, *, precise: bool = False) -> Model:
    """The best model that is cheap for the size of the problem."""
    R, width = point.objective.shape
    # Where all rows have the same probabilities, the Kronecker product is the Hessian.
    cheap = precise or not point.objective.blocks.is_sparse
    limit = DENSE_SIZE if cheap else SPARSE_SIZE
    if R * width <= limit and not point.probabilities.are_common:
        return _dense(point, seed)
    full = width <= FULL_COVARIANCE and not point.objective.blocks.is_sparse
    simple = _kronecker(point, seed, full=full)
    return HessianModel(point, simple) if precise else simple


class HessianModel(Model):
    """The Hessian at a point, by products over the rows; a simpler model preconditions.

    Where the simpler one misleads about which coefficients are zero, this one does not.
    """

    is_local = True

    def __init__(self, point: Point, simple: Model) -> None:
        self._point, self._simple = point, simple
        self.diagonal, self.common = simple.diagonal, simple.common

    def apply(self, V: Array) -> Array:
        product = self._point.hessian_product(V, exact=False)
        product += self.common * V.mean(axis=0)
        return product

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        gradient = within(tangent, -rhs)
        natural = self._simple.solve(gradient, tangent)
        step = steihaug(
            lambda V: within(tangent, self.apply(V) + tangent.curvature(V)),
            lambda G: self._simple.solve(G, tangent),
            gradient,
            radius=np.inf,
            tolerance=ACCURACY * float(np.sqrt(max(inner(gradient, natural), 0.0))),
            max_products=MAX_PRODUCTS,
        )
        return step.direction


def _sample(objective: MultinomialObjective, n_rows: int, seed: int) -> MultinomialObjective:
    n_rows = max(n_rows, LEAST_ROWS)
    if n_rows >= objective.blocks.n_samples:
        return objective
    return objective.standardised(n_rows, seed=seed)


def _dense(point: Point, seed: int) -> DenseModel:
    objective = point.objective
    R, width = objective.shape
    r, is_coupled = objective.likelihood.n_free, objective.likelihood.is_coupled
    sample = _sample(objective, ROWS_PER_COEFFICIENT * r * width, seed)
    H = point.fisher_information(None if sample is objective else sample)
    H = whole_hessian(H.reshape(r, width, r, width), is_coupled)
    mean = float(np.einsum("kiki->", H)) / (R * width)
    column = np.arange(width - 1)
    missing = np.where(objective.varying, LEAST_CURVATURE * max(mean, VANISHED), 1.0)
    for k in range(R):
        H[k, column, k, column] += missing
    return DenseModel(H.reshape(R * width, R * width), (R, width), is_coupled=is_coupled)


def whole_hessian(H: Array, is_coupled: bool) -> Array:
    """The Hessian (R, width, R, width) by all logits from that in reference coding."""
    if not is_coupled:
        return H
    # Coefficients of the last class enter as minus the others'.
    r = len(H)
    contrasts = np.vstack([np.eye(r), -np.ones((1, r))])
    H = np.einsum("ka,aibj->kibj", contrasts, H)
    return np.asarray(np.einsum("kibj,lb->kilj", H, contrasts))


def _kronecker(point: Point, seed: int, *, full: bool) -> Model:
    objective = point.objective
    width = objective.shape[1]
    sample = _sample(objective, ROWS_PER_COLUMN * width if full else 20_000, seed)
    curvature, shares, covariance, total = curvature_moments(point, sample, full=full)
    alpha = np.maximum(curvature, 1e-10 * max(float(curvature.max()), 1e-290))
    alpha, share = objective.likelihood.simplex_curvature(alpha, shares)
    covariance = covariance / max(total, 1e-300)
    diagonal = covariance.diagonal() if full else covariance
    diagonal = np.where(objective.varying, np.maximum(diagonal, 0.5), 1.0)
    constant = 1.0 if objective.fit_intercept else 0.0
    if not full:
        return SeparableModel(alpha, share, np.append(diagonal, constant))
    whole = np.zeros((width, width))
    whole[:-1, :-1] = covariance
    whole.flat[:: width + 1] = np.append(diagonal, constant)
    return KroneckerModel(alpha, share, whole)
