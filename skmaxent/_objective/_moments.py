"""Moments of the columns of X, and the model without features, which follows from the moments.

R is the number of logits, and t are the targets of a row, (R,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._objective._derivative_kernels import NEARLY_ONE
from skmaxent._objective._kernel_context import Probabilities
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._arrays import EPS, empty
from skmaxent._storage._block import Block
from skmaxent._storage._storage import Storage
from skmaxent._typing import Array, KernelResult

# The difference E[x²] - E[x]² loses half of the digits of float64 if it is below this share of
# E[x²], and those of float32 sums earlier. The variance is then computed from x - E[x].
CANCELLATION_FLOAT64, CANCELLATION_FLOAT32 = 1e-8, 1e-2
# A column is constant if its variance is below this share of its mean square, (1e-13)²: deviations
# of the size of the rounding error of a mean over many rows.
CONSTANT_VARIANCE = 1e-26


@dataclass(frozen=True)
class Moments:
    """Weighted moments of the columns of X, over all rows and by class.

    Attributes
    ----------
    mean, mean_square, variance : ndarray of shape (n_features,)
        E[x], E[x²] and E[x²] - E[x]².
    cross_moments : ndarray of shape (n_logits, n_features)
        E[t_k x], where t_k is the target of logit k.
    shares : ndarray of shape (n_logits,)
        E[t_k].
    """

    mean: Array
    mean_square: Array
    variance: Array
    cross_moments: Array
    shares: Array

    @property
    def is_constant(self) -> Array:
        """Which columns vary by no more than the rounding error of their mean."""
        return np.asarray(self.variance <= CONSTANT_VARIANCE * self.mean_square)

    @property
    def deviations(self) -> Array:
        """The standard deviations of the columns, with the divisor n; 1 for constant columns."""
        return np.sqrt(np.where(self.is_constant, 1.0, self.variance))

    def columns(self, index: Array) -> Moments:
        """Return the moments of the columns at positions `index`."""
        return Moments(
            self.mean[index],
            self.mean_square[index],
            self.variance[index],
            self.cross_moments[:, index],
            self.shares,
        )


def column_moments(blocks: Storage, likelihood: Likelihood) -> Moments:
    """Return the moments of the columns of X.

    This takes one pass over X, and a second one over the columns whose variance is so small beside
    their mean square that E[x²] - E[x]² has lost digits.
    """
    totals, sums, squares = blocks.map_reduce(_moments, likelihood)
    total, totals = totals[0], totals[1:]
    mean, cross_moments, mean_square = sums[0] / total, sums[1:] / total, squares / total
    variance = mean_square - mean**2
    limit = CANCELLATION_FLOAT32 if blocks.dtype == np.float32 else CANCELLATION_FLOAT64
    far = np.flatnonzero(variance < limit * mean_square)
    if len(far):
        sums, squares = blocks.map_reduce(_deviations, likelihood, far, mean[far])
        change = sums[0] / total
        variance[far] = squares / total - change**2
        cross_moments[:, far] = sums[1:] / total + np.multiply.outer(totals / total, mean[far])
        mean[far] += change
    return Moments(mean, mean_square, np.maximum(variance, 0.0), cross_moments, totals / total)


def _weighted_targets(block: Block, likelihood: Likelihood, dtype: DTypeLike) -> Array:
    """Return the weights and, for each logit, weights times targets, shape (1 + R, rows)."""
    weights = block.weights_or_ones().astype(dtype, copy=False)
    targets = empty((1 + likelihood.n_logits, len(weights)), dtype, weights)
    targets[0] = weights
    np.multiply(likelihood.dense_targets(block.targets, dtype), weights, out=targets[1:])
    return targets


def _moments(block: Block, likelihood: Likelihood) -> KernelResult:
    """Return a block's sums of s and of s t, of s x and of s t xᵀ, and of s x².

    s is the weight of a row. The first two arrays, (1 + R,) and (1 + R, n_features), have the sums
    without t first; the last has the shape (n_features,).
    """
    targets = _weighted_targets(block, likelihood, block.weights_or_ones().dtype)
    totals = targets.sum(axis=1, dtype=np.float64)
    return totals, block.weighted_sums(targets), block.squares(targets[0])


def _deviations(block: Block, likelihood: Likelihood, index: Array, mean: Array) -> KernelResult:
    """Return a block's sums of s (x - mean) and of s t (x - mean)ᵀ, and of s (x - mean)².

    s is the weight of a row, and x its entries in the columns at positions `index`, whose means are
    `mean`. The shapes are (1 + R, k) and (k,) for k columns.
    """
    X = block.some_columns(index)
    X -= mean
    targets = _weighted_targets(block, likelihood, np.float64)
    return targets @ X, targets[0] @ np.square(X)


def offset_means(objective: MultinomialObjective) -> tuple[Array | None, float]:
    """Return the weighted means of the offsets, (R,), and of t · offset; without offsets None, 0.

    t are the targets of a row.
    """
    if not objective.blocks.has_offset:
        return None, 0.0
    sums, target = objective.blocks.map_reduce(_offset_sums, objective.likelihood)
    return sums / objective.total_weight, float(target) / objective.total_weight


def _offset_sums(block: Block, likelihood: Likelihood) -> KernelResult:
    """Return a block's weighted sums of the offsets, (R,), and of t · offset (a kernel)."""
    assert block.offset is not None
    offset = block.offset.T
    weights = block.weights_or_ones()
    return offset @ weights, likelihood.target_sum(offset, block.targets) @ weights


def _complements(block: Block, likelihood: Likelihood) -> tuple[Array]:
    """Return a block's weighted sums of 1 - t for each logit, shape (R,) (a kernel)."""
    targets = likelihood.dense_targets(block.targets)
    return ((1.0 - targets) @ block.weights_or_ones().astype(np.float64),)


def null_point(objective: MultinomialObjective, moments: Moments) -> Point:
    """Return the point without features: W = 0, and intercepts that give the shares of the classes.

    All rows have equal probabilities p there, so the gradient, the mean of (p - t) (x - μ)ᵀ,
    follows from the moments without a pass over X. Only shares near one take a pass, which sums
    their complements.
    """
    likelihood, shares = objective.likelihood, moments.shares
    theta = objective.zeros()
    if objective.fit_intercept:
        theta[:, -1] = likelihood.null_intercept(shares)
        if not likelihood.is_coupled and (shares > NEARLY_ONE).any():
            # Where a share is nearly one, one minus the share has few correct digits.
            (others,) = objective.blocks.map_reduce(_complements, likelihood)
            others = others / objective.total_weight
            has_both = (shares > 0.0) & (others > 0.0)
            odds = np.log(shares[has_both]) - np.log(others[has_both])
            theta[has_both, -1] = odds
    p = theta[:, -1:].copy()
    normaliser = float(likelihood.probabilities(p)[0])
    gradient = objective.zeros()
    sums = np.multiply(objective.center, shares[:, None], out=gradient[:, :-1])
    sums -= moments.cross_moments
    shift = moments.mean - objective.center
    if shift.any():
        sums += np.multiply.outer(p[:, 0], shift)
    sums /= objective.scale
    gradient[:, ~np.append(objective.varying, True)] = 0.0
    loss = normaliser - float(theta[:, -1] @ shares)
    return Point(
        objective=objective,
        theta=theta,
        value=loss,
        gradient=gradient,
        loss=loss,
        rounding=8.0 * EPS * (loss + abs(normaliser)),
        probabilities=Probabilities(likelihood, common=p[:, 0]),
    )
