"""The minimum of a quadratic model with an L1 penalty and bounds, from a factor of its Hessian.

Let B have the rows of X multiplied by the roots of their curvatures. The Hessian of the loss is
BᵀB, whose condition number is the square of that of B. If columns of X are nearly collinear,
rounding errors hide the smallest eigenvalues of BᵀB, though the penalty may allow long steps along
their eigenvectors. This module therefore takes a triangular factor of B by QR decompositions, and
computes Newton steps from the singular values of the factor. They are accurate for columns that
agree in up to about twice as many digits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._active_set import FlatPenalty, PivotSearch, max_pivots
from skmaxent._solvers._model_minimum import Minimum
from skmaxent._solvers._precise_rows import curvature_roots, loss_of_rows, slices
from skmaxent._storage._arrays import EPS
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._thin_svd import thin_svd
from skmaxent._typing import Array

# Singular values of a factor with unit columns are at least this in Newton steps.
LEAST_SINGULAR_VALUE = 1e-15
# The rounding error of an entry of the gradient is taken to be this many units in the last place of
# the sum of its absolute terms.
GRADIENT_ROUNDING = 4.0
# Arithmetic operations of a singular value decomposition of p columns, over p³.
SVD_WORK = 20.0


class FactoredHessian(NamedTuple):
    """A factor of the Hessian of the loss, and the size of the terms of its gradient.

    Attributes
    ----------
    factor : ndarray of shape (m, R·width)
        A matrix whose product with itself, factorᵀ factor, is the Hessian with respect to the
        coefficients of all R logits. The coefficients of a logit are next to each other.
    terms : ndarray of shape (R, width)
        The mean absolute terms whose sums are the entries of the gradient.
    """

    factor: Array
    terms: Array


def factored_hessian(
    objective: MultinomialObjective, columns: Standardisation, theta: Array
) -> FactoredHessian:
    """Return the factored Hessian of the loss at θ (R, width), the coefficients of `columns`.

    The problem must be small, because its rows are read into memory at once.
    """
    likelihood, rows = objective.likelihood, objective.blocks.whole()
    R, width = theta.shape
    factor: Array = np.zeros((0, R * width))
    terms = np.zeros((R, width))
    for part in slices(rows, R * width):
        X = columns.rows(part)
        X[:-1] *= columns.varying[:, None]
        targets = likelihood.dense_targets(part.targets)
        weights = part.weights_or_ones().astype(np.float64) / objective.total_weight
        offset = 0.0 if part.offset is None else part.offset.T.astype(np.float64)
        P, C, _ = loss_of_rows(likelihood, theta @ X + offset, targets)
        terms += (np.abs(P * (1.0 - targets) - targets * C) * weights) @ np.abs(X).T
        root = curvature_roots(likelihood, P, C)
        B = np.einsum("kmi,ji->kimj", root * np.sqrt(weights), X).reshape(-1, R * width)
        factor = np.asarray(np.linalg.qr(np.vstack([factor, B]), mode="r"))
    return FactoredHessian(factor, terms)


def improved_by_factor(
    found: Minimum,
    hessian: FactoredHessian,
    gradient: Array,
    theta: Array,
    penalty: Elementwise,
) -> Minimum:
    """Return the minimum of a model with a factored Hessian, from an approximate minimum `found`.

    `gradient` and `theta` (R, width) are the gradient of the loss at θ, and θ. If the search leads
    to no lower point, the result is `found`.
    """
    factor = hessian.factor
    if not np.isfinite(factor).all():
        return found
    search = _FactoredSearch(
        hessian, gradient.ravel(), theta.ravel(), FlatPenalty(penalty, theta.shape), found.theta
    )
    search.run(max_pivots(factor.shape[1], SVD_WORK))
    W = penalty.recentre(search.W.reshape(theta.shape))
    step = (W - theta).ravel()
    quadratic = float(step @ gradient.ravel()) + 0.5 * float(np.square(factor @ step).sum())
    decrease = -penalty.increase(theta, W) - quadratic
    return replace(found, theta=W, decrease=decrease) if decrease > found.decrease else found


class _FactoredSearch(PivotSearch):
    """The search of `PivotSearch` with a factor of its matrix.

    `gradient` and `theta` are flat arrays of shape (p,); the search begins at `start` (R, width).
    """

    def __init__(
        self,
        hessian: FactoredHessian,
        gradient: Array,
        theta: Array,
        penalty: FlatPenalty,
        start: Array,
    ) -> None:
        factor, begin = hessian.factor, start.ravel()
        gradient = gradient + (factor @ (begin - theta)) @ factor
        super().__init__(factor.T @ factor, gradient, begin, penalty, begin)
        if penalty.has_ridge:
            factor = np.vstack([factor, np.diag(np.sqrt(penalty.ridge))])
        self._factor = factor * self._scale
        self._terms = self._scale * (hessian.terms.ravel() + penalty.weak_l1)

    def _largest_term(self) -> float:
        return float(self._terms.max(initial=0.0))

    def _rounding_of_terms(self) -> float:
        return 0.0  # `_newton` computes changes of the gradient without cancellation.

    def _newton(self, free: Array, slope: Array) -> tuple[Array, Array, float]:
        U, size, Vt = thin_svd(self._factor[:, free])
        along = Vt @ slope
        # The slope along singular vectors where it is a rounding error is zero.
        rounding = np.sqrt(np.square(Vt) @ np.square(GRADIENT_ROUNDING * EPS * self._terms[free]))
        along[np.abs(along) <= rounding] = 0.0
        scaled = -along / np.maximum(size, LEAST_SINGULAR_VALUE)
        step = scaled / np.maximum(size, LEAST_SINGULAR_VALUE) @ Vt
        moved = U @ (scaled * np.minimum(size / LEAST_SINGULAR_VALUE, 1.0))
        return step, moved @ self._factor, float(moved @ moved)
