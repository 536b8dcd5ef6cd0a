"""The penalised mean negative log-likelihood and its derivatives, by row blocks.

Conventions
-----------
Coefficients are one array θ of shape (R, d + 1): the last column is the intercept at the centre
μ of X, so that z = W (x - μ) + c. R is the number of logits: K, or 1 for two classes. Without
intercept the last column is zero and stays so. X itself is never centred: the shift is carried
by the intercept, b = c - W μ, which keeps sparse X sparse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._blocks import Block, RowBlocks
from skmaxent._likelihood import Likelihood
from skmaxent._penalty import Ridge

Array = NDArray[Any]

# Probabilities are kept for Hessian products up to this size, recomputed above it.
KEEP_BYTES = 1 << 28
# Size of the array of weighted rows: it stays in cache, and malloc does not give it back.
INFORMATION_BYTES = 1 << 19


@dataclass
class Counter:
    """Passes over X, by kind: the cost of a fit that does not depend on the machine."""

    gradients: int = 0
    hessian_products: int = 0


class MultinomialObjective:
    """F(θ) = 1/S Σ_i s_i [log-normaliser(z_i) - z_i·t_i] + penalty(W).

    Parameters
    ----------
    blocks : RowBlocks
        Rows with class codes and weights.
    likelihood : Likelihood
        Softmax, or logistic for two classes.
    penalty : Ridge
    fit_intercept : bool
    center : ndarray of shape (n_features,), optional
        μ; zero without an intercept.
    column_size : ndarray of shape (n_features,), optional
        Root mean square of each column, to tell how rounding adds up.
    keep_bytes : int
        Budget for kept probabilities.
    """

    def __init__(
        self,
        blocks: RowBlocks,
        likelihood: Likelihood,
        penalty: Ridge,
        *,
        fit_intercept: bool = True,
        center: Array | None = None,
        column_size: Array | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.blocks = blocks
        self.likelihood = likelihood
        self.penalty = penalty
        self.fit_intercept = fit_intercept
        weights = blocks.weights
        self.total_weight = float(blocks.n_samples if weights is None else weights.sum(dtype=float))
        d = blocks.n_features
        self.center = np.zeros(d) if center is None or not fit_intercept else center
        self.column_size = np.ones(d) if column_size is None else column_size
        bytes_needed = likelihood.n_logits * blocks.n_samples * blocks.dtype.itemsize
        self.keeps = bytes_needed <= keep_bytes
        self.counter = Counter()

    @property
    def n_classes(self) -> int:
        return max(2, self.likelihood.n_logits)

    @property
    def shape(self) -> tuple[int, int]:
        return self.likelihood.n_logits, self.blocks.n_features + 1

    def to_raw(self, theta: Array) -> tuple[Array, Array]:
        """(W, b) in the dtype of X, for logits W x + b."""
        coef = theta[:, :-1]
        intercept = theta[:, -1] - coef @ self.center
        dtype = self.blocks.dtype
        return coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)

    def from_raw(self, coef: Array, intercept: Array) -> Array:
        """θ of coefficients and intercept as the user knows them."""
        theta = np.empty(self.shape)
        theta[:, :-1] = coef
        theta[:, -1] = intercept + coef @ self.center
        return theta

    def _to_centred(self, coef_gradient: Array, logit_gradient: Array) -> Array:
        """Gradient with respect to θ of sums over rows."""
        out = np.empty(self.shape)
        out[:, :-1] = coef_gradient
        if self.fit_intercept:
            out[:, :-1] -= np.multiply.outer(logit_gradient, self.center)
            out[:, -1] = logit_gradient
        else:
            out[:, -1] = 0.0
        out /= self.total_weight
        return out

    def at(self, theta: Array) -> Point:
        """Value, gradient and curvature at θ: one pass over X."""
        kept: dict[int, Array] = {}
        coef, intercept = self.to_raw(theta)
        value, magnitude, coef_gradient, logit_gradient = self.blocks.map_reduce(
            _value_and_gradient, self.likelihood, coef, intercept, kept if self.keeps else None
        )
        self.counter.gradients += 1
        gradient = self._to_centred(coef_gradient, logit_gradient)
        loss = float(value) / self.total_weight
        gradient[:, :-1] += self.penalty.gradient(theta[:, :-1])
        # A loss is a difference of logits, and these are sums that may cancel.
        terms = np.abs(coef) @ self.column_size + np.abs(intercept)
        size = float(magnitude) / self.total_weight + float(terms.max())
        rounding = 4.0 * float(np.finfo(self.blocks.dtype).eps) * (loss + size)
        return Point(
            objective=self,
            theta=theta,
            value=loss + self.penalty.value(theta[:, :-1]),
            gradient=gradient,
            loss=loss,
            rounding=rounding,
            kept=kept,
        )


@dataclass
class Point:
    """The objective at θ; `rounding` is the size of the errors that rounding makes in `value`."""

    objective: MultinomialObjective
    theta: Array
    value: float
    gradient: Array
    loss: float
    rounding: float
    kept: dict[int, Array] | Array = field(repr=False)

    @property
    def kept_by_block(self) -> bool:
        return isinstance(self.kept, dict)

    def hessian_product(self, direction: Array) -> Array:
        """H[direction], penalty included: one pass over X, without exponentials if p is kept."""
        objective = self.objective
        products = objective.blocks.map_reduce(
            _hessian_product,
            objective.likelihood,
            *objective.to_raw(direction),
            self.kept,
            objective.to_raw(self.theta),
        )
        objective.counter.hessian_products += 1
        out = objective._to_centred(*products)
        out[:, :-1] += objective.penalty.hessian_product(direction[:, :-1])
        return out

    def fisher_information(self, blocks: RowBlocks | None = None) -> Array:
        """Hessian of the mean loss, without the penalty, over `blocks` (default: all rows).

        In reference coding: the last of K classes is left out, so that the matrix is regular;
        shape (r·(d+1), r·(d+1)) with r = max(1, R - 1), class-major.
        """
        objective = self.objective
        blocks = objective.blocks if blocks is None else blocks
        (H,) = blocks.map_reduce(
            _information,
            objective.likelihood,
            None if blocks is not objective.blocks and self.kept_by_block else self.kept,
            objective.to_raw(self.theta),
            objective.center,
            objective.fit_intercept,
        )
        weights = blocks.weights
        H /= blocks.n_samples if weights is None else weights.sum(dtype=float)
        return np.asarray(H)


def _value_and_gradient(
    block: Block,
    likelihood: Likelihood,
    coef: Array,
    intercept: Array,
    kept: dict[int, Array] | None,
) -> tuple[Any, ...]:
    Z = block.logits(coef, intercept)
    target = likelihood.target_sum(Z, block.targets)
    normaliser = likelihood.probabilities(Z)
    losses = normaliser - target
    if kept is not None:
        kept[block.index] = Z
        Z = Z.copy()
    likelihood.subtract_targets(Z, block.targets)
    if block.weights is None:
        value = losses.sum(dtype=np.float64)
        magnitude = np.abs(normaliser).sum(dtype=np.float64)
    else:
        value = np.dot(losses.astype(np.float64), block.weights)
        magnitude = np.dot(np.abs(normaliser), block.weights)
        Z *= block.weights
    return value, magnitude, block.gram(Z), Z.sum(axis=1, dtype=np.float64)


def probabilities(
    block: Block,
    likelihood: Likelihood,
    kept: dict[int, Array] | Array | None,
    at: tuple[Array, Array],
) -> Array:
    """Class probabilities of a block: those that were kept (or one for all rows), or new."""
    if isinstance(kept, np.ndarray):
        return np.broadcast_to(kept[:, None], (len(kept), block.stop - block.start))
    if kept:
        return kept[block.index]
    P = block.logits(*at)
    likelihood.probabilities(P)
    return P


def _hessian_product(
    block: Block,
    likelihood: Likelihood,
    coef: Array,
    intercept: Array,
    kept: dict[int, Array] | Array,
    at: tuple[Array, Array],
) -> tuple[Any, ...]:
    P = probabilities(block, likelihood, kept, at)
    U = likelihood.curvature(P, block.logits(coef, intercept))
    if block.weights is not None:
        U *= block.weights
    return block.gram(U), U.sum(axis=1, dtype=np.float64)


def _information(
    block: Block,
    likelihood: Likelihood,
    kept: dict[int, Array] | Array | None,
    at: tuple[Array, Array],
    center: Array,
    fit_intercept: bool,
) -> tuple[Array]:
    P = probabilities(block, likelihood, kept, at)
    P = P[: max(1, P.shape[0] - 1)].astype(np.float64, copy=False)
    r, m = P.shape
    X = block.augmented(center, fit_intercept)
    width = len(X)
    H = np.zeros((r, width, r, width))
    step = max(256, INFORMATION_BYTES // (8 * r * width))
    for start in range(0, m, step):
        rows = slice(start, start + step)
        for k in range(r):
            # p_k (δ_kl - p_l) for l >= k: as many copies of X as classes, one large product.
            spread = P[k:, rows] * -P[k, rows]
            spread[0] += P[k, rows]
            if block.weights is not None:
                spread *= block.weights[rows]
            Y = (spread[:, None, :] * X[:, rows]).reshape((r - k) * width, -1)
            H[k:, :, k, :] += (Y @ X[:, rows].T).reshape(r - k, width, width)
    for k in range(r):
        H[k, :, k + 1 :, :] = H[k + 1 :, :, k, :].transpose(2, 0, 1)
    return (H.reshape(r * width, r * width),)


@dataclass(frozen=True)
class Moments:
    """Weighted moments of the columns, over all rows and by class.

    `class_sums[k]` is the mean over all rows of t_k x, whose sum over classes is the mean; `shares`
    are the weights of the classes, which sum to one.
    """

    mean: Array
    mean_square: Array
    variance: Array
    class_sums: Array
    shares: Array

    @property
    def is_constant(self) -> Array:
        """Columns whose spread is no more than the rounding of their mean."""
        return np.asarray(self.variance <= 1e-26 * self.mean_square)


def column_moments(blocks: RowBlocks, n_classes: int) -> Moments:
    """Moments of the columns: one pass over X, a second where a mean dwarfs a spread."""
    totals, sums, squares = blocks.map_reduce(_moments, n_classes)
    total = totals.sum()
    class_sums, mean_square = sums / total, squares / total
    mean = class_sums.sum(axis=0)
    variance = mean_square - mean**2
    if (variance < 1e-8 * mean_square).any() and not blocks.is_sparse:
        (deviations,) = blocks.map_reduce(_deviations, mean)
        variance = deviations / total
    return Moments(mean, mean_square, np.maximum(variance, 0.0), class_sums, totals / total)


def _moments(block: Block, n_classes: int) -> tuple[Any, ...]:
    weights = block.weights_or_ones()
    targets = np.zeros((n_classes, len(weights)), dtype=weights.dtype)
    targets[block.targets, np.arange(len(weights))] = weights
    return targets.sum(axis=1, dtype=np.float64), block.gram(targets), block.squares(weights)


def _deviations(block: Block, mean: Array) -> tuple[Array]:
    X = block.dense()
    X -= mean
    return (np.square(X, out=X).T @ block.weights_or_ones().astype(np.float64),)


def null_point(objective: MultinomialObjective, moments: Moments) -> Point:
    """The point without features: W = 0 and the intercepts that give the class shares.

    Its gradient is known from the moments: mean (p - t) (x - μ)ᵀ with the same p for every row.
    """
    likelihood, shares = objective.likelihood, moments.shares
    theta = np.zeros(objective.shape)
    if objective.fit_intercept:
        theta[:, -1] = likelihood.null_intercept(shares)
    p = theta[:, -1:].copy()
    normaliser = float(likelihood.probabilities(p)[0])
    all_p = p[:, 0] if len(p) > 1 else np.array([1.0 - p[0, 0], p[0, 0]])
    gradient = np.zeros((len(shares), theta.shape[1]))
    gradient[:, :-1] = (
        np.multiply.outer(all_p, moments.mean - objective.center)
        - moments.class_sums
        + np.multiply.outer(shares, objective.center)
    )
    loss = normaliser - float(theta[:, -1] @ shares[-len(theta) :])
    return Point(
        objective=objective,
        theta=theta,
        value=loss,
        gradient=gradient[-len(theta) :],
        loss=loss,
        rounding=8.0 * float(np.finfo(float).eps) * (loss + abs(normaliser)),
        kept=p[:, 0],
    )
