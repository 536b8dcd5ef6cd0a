"""The penalised mean negative log-likelihood and its derivatives, by row blocks.

Conventions
-----------
Coefficients are one array θ of shape (R, d + 1) for the standardised columns x̃ = (x - μ)/σ, the
last column for the intercept: z = θ (x̃, 1). R is the number of logits: K, or 1 for two classes.
Without intercept μ is 0, and the last column is zero and stays so. X itself is neither centred nor
scaled: w = θ/σ and b = c - w μ carry it, which keeps sparse X sparse. θ and what has its shape are
in Fortran order, so that the coefficients of a feature lie together.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._arrays import empty, full
from skmaxent._block import Block
from skmaxent._likelihood import Likelihood
from skmaxent._penalty import Ridge
from skmaxent._storage import Storage

Array = NDArray[Any]

# Probabilities are kept for Hessian products up to this size, recomputed above it.
KEEP_BYTES = 1 << 28
# A float32 copy of X in memory serves Hessian products up to this size.
COPY_BYTES = 1 << 28
# Hessian products after which the copy is worth its making.
COPY_PRODUCTS = 2
# Variance relative to the mean square below which it comes from deviations: of float64, float32.
CANCELLATION, NARROW_CANCELLATION = 1e-8, 1e-2
# Probability from which on its complement is not taken as a difference from one.
NEARLY_ONE = 1.0 - 1e-4
# Size of the array of weighted rows: it stays in cache, and malloc does not give it back.
INFORMATION_BYTES = 1 << 19


@dataclass
class Counter:
    """Passes over X, by kind: the cost of a fit that does not depend on the machine."""

    gradients: int = 0
    hessian_products: int = 0


class Probabilities:
    """Class probabilities at a point: those of a block kept, alike for all rows, or computed anew.

    Parameters
    ----------
    likelihood : Likelihood
    keeps : bool, default=False
        Whether there is room to keep what `keep` is given.
    common : ndarray of shape (n_logits,), optional
        The probabilities of every row.
    """

    def __init__(
        self, likelihood: Likelihood, *, keeps: bool = False, common: Array | None = None
    ) -> None:
        self._likelihood = likelihood
        self.keeps = keeps
        self._common = common
        self._by_block: dict[int, Array] = {}
        self._narrow: dict[int, Array] = {}

    @property
    def are_common(self) -> bool:
        """Whether all rows have the same."""
        return self._common is not None

    def variances(self) -> tuple[Array, Array]:
        """p (1 - p) and p of probabilities that are common."""
        p = np.asarray(self._common)
        return np.asarray(p * (1.0 - p)), p

    def keep(self, block: Block, P: Array) -> None:
        self._by_block[block.index] = P

    def elsewhere(self) -> Probabilities:
        """The same for blocks of other rows."""
        return Probabilities(self._likelihood, common=self._common)

    def of(self, block: Block, coef: Array, intercept: Array) -> Array:
        """Probabilities of the rows in `block`, of its dtype; not to be written to."""
        dtype = block.X.dtype
        if self._common is not None:
            common = empty((len(self._common), 1), dtype, intercept)
            common[:, 0] = self._common
            return np.broadcast_to(common, (len(common), block.stop - block.start))
        P = self._by_block.get(block.index)
        if P is None:
            P = block.logits_at(coef, intercept)
            self._likelihood.probabilities(P)
        elif P.dtype != dtype:
            if block.index not in self._narrow:
                self._narrow[block.index] = P.astype(dtype)
            P = self._narrow[block.index]
        return P


class _LastPoint:
    """The point that an objective evaluated last, for as long as somebody holds it.

    Objectives that differ in their penalty alone share one: a point's loss serves them all.
    """

    def __init__(self) -> None:
        self._reference: weakref.ref[Point] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _LastPoint, ()  # weak references have no pickle

    def keep(self, point: Point) -> None:
        self._reference = weakref.ref(point)

    def at(self, theta: Array) -> Point | None:
        """The point, if it is at θ."""
        point = None if self._reference is None else self._reference()
        return point if point is not None and np.array_equal(point.theta, theta) else None


class MultinomialObjective:
    """F(θ) = 1/S Σ_i s_i [log-normaliser(z_i) - z_i·t_i] + penalty(θ).

    Parameters
    ----------
    blocks : Storage
        Rows with class codes and weights.
    likelihood : Likelihood
        Softmax, or logistic for two classes.
    penalty : Ridge
        Of the coefficients of standardised columns.
    fit_intercept : bool
    center, scale : ndarray of shape (n_features,), optional
        μ and σ; zero and one where not given, zero without an intercept.
    column_size : ndarray of shape (n_features,), optional
        Root mean square of each column, to tell how rounding adds up.
    still : ndarray of int, optional
        Positions of constant columns: their gradient is zero, whatever rounding makes of it.
    keep_bytes, copy_bytes : int
        Budgets for kept probabilities and for a float32 copy of X. Where not given, KEEP_BYTES
        and COPY_BYTES, or nothing where blocks have no room.
    """

    def __init__(
        self,
        blocks: Storage,
        likelihood: Likelihood,
        penalty: Ridge,
        *,
        fit_intercept: bool = True,
        center: Array | None = None,
        scale: Array | None = None,
        column_size: Array | None = None,
        still: Array | None = None,
        keep_bytes: int | None = None,
        copy_bytes: int | None = None,
    ) -> None:
        self.blocks = blocks
        self.likelihood = likelihood
        self.penalty = penalty
        self.fit_intercept = fit_intercept
        self.total_weight = blocks.weight_sums.total
        d = blocks.n_features
        self.center = np.zeros(d) if center is None or not fit_intercept else center
        self.scale = np.ones(d) if scale is None else scale
        self._is_centred, self._is_scaled = bool(self.center.any()), scale is not None
        self._still = np.empty(0, np.intp) if still is None else still
        self.column_size = np.ones(d) if column_size is None else column_size
        # Where X has no room in memory, what is kept of its rows had better be little.
        if keep_bytes is None:
            keep_bytes = KEEP_BYTES if blocks.has_room else 0
        if copy_bytes is None:
            copy_bytes = COPY_BYTES if blocks.has_room else 0
        self._keep_bytes = keep_bytes
        logits = likelihood.n_logits * blocks.n_samples
        self.keeps = logits * blocks.dtype.itemsize <= keep_bytes
        narrow = np.dtype(np.float32)
        self._may_copy = blocks.dtype != narrow and blocks.size * narrow.itemsize <= copy_bytes
        self.counter = Counter()
        self._copy: MultinomialObjective | None = None
        self._last_point = _LastPoint()

    @property
    def shape(self) -> tuple[int, int]:
        return self.likelihood.n_logits, self.blocks.n_features + 1

    def zeros(self) -> Array:
        return np.zeros(self.shape, order="F")

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """(W, b) of θ, for logits W x + b."""
        coef = theta[:, :-1] / self.scale if self._is_scaled else theta[:, :-1]
        return coef, theta[:, -1] - coef @ self.center if self._is_centred else theta[:, -1]

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """θ of W and b."""
        theta = self.zeros()
        theta[:, :-1] = coef * self.scale
        theta[:, -1] = intercept + coef @ self.center
        return theta

    def for_blocks(self, theta: Array) -> tuple[Array, Array]:
        """(W, b) in the dtype of X."""
        coef, intercept = self.coefficients(theta)
        dtype = self.blocks.dtype
        return coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)

    def standardised(
        self, n_rows: int | None = None, *, dtype: Any = np.float64, seed: int = 0
    ) -> MultinomialObjective:
        """The same objective over a copy of all rows or a sample, with the same θ."""
        blocks = self.blocks.standardised(self.center, self.scale, n_rows, dtype=dtype, seed=seed)
        return MultinomialObjective(
            blocks,
            self.likelihood,
            self.penalty,
            fit_intercept=self.fit_intercept,
            center=self.center / self.scale if blocks.is_sparse else None,
            still=self._still,
            keep_bytes=self._keep_bytes,
            copy_bytes=0,
        )

    def columns(self, index: Array) -> MultinomialObjective:
        """The same objective with some columns alone, over a copy of them."""
        return MultinomialObjective(
            self.blocks.columns(index, self.center, self.scale),
            self.likelihood,
            Ridge(self.penalty.strength[index]),
            fit_intercept=self.fit_intercept,
            center=(self.center / self.scale)[index] if self.blocks.is_sparse else None,
            still=np.flatnonzero(np.isin(index, self._still)),
            keep_bytes=self._keep_bytes,
        )

    def with_penalty(self, penalty: Ridge) -> MultinomialObjective:
        """The same loss with another penalty, and a count of its own."""
        other = copy.copy(self)
        other.penalty, other.counter = penalty, Counter()
        return other

    def in_float64(self) -> MultinomialObjective:
        """The same objective with its rows in float64, which keeps nothing of them."""
        blocks = self.blocks.in_float64()
        if blocks is self.blocks:
            return self
        return MultinomialObjective(
            blocks,
            self.likelihood,
            self.penalty,
            fit_intercept=self.fit_intercept,
            center=self.center,
            scale=self.scale,
            column_size=self.column_size,
            still=self._still,
            keep_bytes=0,
            copy_bytes=0,
        )

    def centred_at(self, center: Array) -> MultinomialObjective:
        """The same objective with other means μ, so that a θ means another intercept."""
        other = copy.copy(self)
        other.center, other._is_centred = center, bool(center.any())
        other.counter, other._copy, other._last_point = Counter(), None, _LastPoint()
        return other

    def narrow_copy(self) -> MultinomialObjective:
        """Over a float32 copy of X once that has paid for itself, else this one."""
        if self._copy is None and self._may_copy and self.counter.hessian_products >= COPY_PRODUCTS:
            self._copy = self.standardised(dtype=np.float32)
        return self if self._copy is None else self._copy

    def _from_sums(self, coef_gradient: Array, logit_gradient: Array) -> Array:
        """Gradient with respect to θ of sums over rows."""
        out = np.empty(self.shape, order="F")
        out[:, -1] = logit_gradient / self.total_weight if self.fit_intercept else 0.0
        size = 1.0 / (self.scale * self.total_weight)
        np.multiply(coef_gradient, size, out=out[:, :-1])
        if self._is_centred:
            out[:, :-1] -= np.multiply.outer(self.center * size, logit_gradient).T
        if len(self._still):
            out[:, self._still] = 0.0
        return out

    def at(self, theta: Array) -> Point:
        """Value, gradient and curvature at θ: one pass over X, unless θ is that of the last."""
        known = self._last_point.at(theta)
        if known is not None:
            return known if known.objective is self else known.on(self)
        kept = Probabilities(self.likelihood, keeps=self.keeps)
        coef, intercept = self.for_blocks(theta)
        value, magnitude, coef_gradient, logit_gradient = self.blocks.map_reduce(
            _value_and_gradient, self.likelihood, coef, intercept, kept
        )
        self.counter.gradients += 1
        gradient = self._from_sums(coef_gradient, logit_gradient)
        loss = float(value) / self.total_weight
        gradient[:, :-1] += self.penalty.gradient(theta[:, :-1])
        # A loss is a difference of logits, and these are sums that may cancel.
        terms = np.abs(coef) @ self.column_size + np.abs(intercept)
        size = float(magnitude) / self.total_weight + float(terms.max())
        rounding = 4.0 * float(np.finfo(self.blocks.dtype).eps) * (loss + size)
        point = Point(
            objective=self,
            theta=theta,
            value=loss + self.penalty.value(theta[:, :-1]),
            gradient=gradient,
            loss=loss,
            rounding=rounding,
            probabilities=kept,
        )
        self._last_point.keep(point)
        return point


@dataclass(eq=False)
class Point:
    """The objective at θ; `rounding` is the size of the errors that rounding makes in `value`."""

    objective: MultinomialObjective
    theta: Array
    value: float
    gradient: Array
    loss: float
    rounding: float
    probabilities: Probabilities = field(repr=False)

    def on(self, objective: MultinomialObjective) -> Point:
        """The same θ under an objective with the same loss."""
        coef, gradient = self.theta[:, :-1], self.loss_gradient()
        gradient[:, :-1] += objective.penalty.gradient(coef)
        value = self.loss + objective.penalty.value(coef)
        return replace(self, objective=objective, value=value, gradient=gradient)

    def loss_gradient(self) -> Array:
        """The gradient without the penalty's."""
        out = self.gradient.copy(order="F")
        out[:, :-1] -= self.objective.penalty.gradient(self.theta[:, :-1])
        return out

    def hessian_product(self, direction: Array, *, exact: bool = True) -> Array:
        """H[direction], penalty included: one pass over X, without exponentials if p is kept.

        Where that need not be `exact`, a float32 copy of X may serve.
        """
        objective = self.objective
        over = objective if exact else objective.narrow_copy()
        products = over.blocks.map_reduce(
            _hessian_product,
            objective.likelihood,
            *over.for_blocks(direction),
            self.probabilities,
            over.for_blocks(self.theta),
        )
        objective.counter.hessian_products += 1
        out = over._from_sums(*products)
        out[:, :-1] += objective.penalty.hessian_product(direction[:, :-1])
        return out

    def fisher_information(self, sample: MultinomialObjective | None = None) -> Array:
        """Hessian of the mean loss, without the penalty, over a sample (default: all rows).

        In reference coding: the last of K classes is left out, so that the matrix is regular;
        shape (r·(d+1), r·(d+1)) with r free logits, class-major.
        """
        over = self.objective if sample is None else sample
        (H,) = over.blocks.map_reduce(
            _information,
            self.objective.likelihood,
            self.probabilities if over is self.objective else self.probabilities.elsewhere(),
            over.for_blocks(self.theta),
            over.center,
            over.scale,
            over.fit_intercept,
        )
        return np.asarray(H / over.total_weight)


def _value_and_gradient(
    block: Block,
    likelihood: Likelihood,
    coef: Array,
    intercept: Array,
    kept: Probabilities,
) -> tuple[Any, ...]:
    Z = block.logits_at(coef, intercept)
    target = likelihood.target_sum(Z, block.targets)
    normaliser = likelihood.probabilities(Z)
    losses = normaliser - target
    if kept.keeps:
        kept.keep(block, Z)
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


def _hessian_product(
    block: Block,
    likelihood: Likelihood,
    coef: Array,
    intercept: Array,
    probabilities: Probabilities,
    at: tuple[Array, Array],
) -> tuple[Any, ...]:
    P = probabilities.of(block, *at)
    U = likelihood.curvature(P, block.logits(coef, intercept))
    if block.weights is not None:
        U *= block.weights
    return block.gram(U), U.sum(axis=1, dtype=np.float64)


def _information(
    block: Block,
    likelihood: Likelihood,
    probabilities: Probabilities,
    at: tuple[Array, Array],
    center: Array,
    scale: Array,
    fit_intercept: bool,
) -> tuple[Array]:
    P = probabilities.of(block, *at)
    P = P.astype(np.float64, copy=False)
    r, m = likelihood.n_free, P.shape[1]
    # Of 1 - p few digits are left where p is nearly one, which an outlier's square makes matter.
    Q = None
    if not likelihood.is_coupled and P.shape[1] and P.max() > NEARLY_ONE:
        Q = -block.logits_at(*at).astype(np.float64)
        likelihood.probabilities(Q)
    X = block.augmented(center, scale, fit_intercept)
    width = len(X)
    H = full((r, width, r, width), 0.0, np.float64, X)
    step = max(256, INFORMATION_BYTES // (8 * r * width))
    for start in range(0, m, step):
        rows = slice(start, start + step)
        for k in range(r):
            # As many copies of X as classes, one large product.
            if Q is None:
                spread = likelihood.curvature_row(P[:, rows], k)
            else:
                spread = (P[k, rows] * Q[k, rows])[None]
            if block.weights is not None:
                spread *= block.weights[rows]
            s = len(spread)
            Y = (spread[:, None, :] * X[:, rows]).reshape(s * width, -1)
            H[k : k + s, :, k, :] += (Y @ X[:, rows].T).reshape(s, width, width)
    for k in range(r):
        H[k, :, k + 1 :, :] = H[k + 1 :, :, k, :].transpose(2, 0, 1)
    return (H.reshape(r * width, r * width),)


@dataclass(frozen=True)
class Moments:
    """Weighted moments of the columns, over all rows and by class.

    `class_sums[k]` is the mean over all rows of t_k x and `shares[k]` that of t_k, for each logit.
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

    def columns(self, index: Array) -> Moments:
        """Of some columns."""
        return Moments(
            self.mean[index],
            self.mean_square[index],
            self.variance[index],
            self.class_sums[:, index],
            self.shares,
        )


def column_moments(blocks: Storage, likelihood: Likelihood) -> Moments:
    """Moments of the columns: one pass over X, a second where a mean dwarfs a spread."""
    totals, sums, squares = blocks.map_reduce(_moments, likelihood)
    total, totals = totals[0], totals[1:]
    mean, class_sums, mean_square = sums[0] / total, sums[1:] / total, squares / total
    variance = mean_square - mean**2
    limit = NARROW_CANCELLATION if blocks.dtype == np.float32 else CANCELLATION
    far = np.flatnonzero(variance < limit * mean_square)
    if len(far):
        sums, squares = blocks.map_reduce(_deviations, likelihood, far, mean[far])
        change = sums[0] / total
        variance[far] = squares / total - change**2
        class_sums[:, far] = sums[1:] / total + np.multiply.outer(totals / total, mean[far])
        mean[far] += change
    return Moments(mean, mean_square, np.maximum(variance, 0.0), class_sums, totals / total)


def _weighted_targets(block: Block, likelihood: Likelihood, dtype: Any) -> Array:
    """Weights, and weights times targets of each logit, (1 + R, rows)."""
    weights = block.weights_or_ones().astype(dtype, copy=False)
    targets = empty((1 + likelihood.n_logits, len(weights)), dtype, weights)
    targets[0] = weights
    np.multiply(likelihood.dense_targets(block.targets, dtype), weights, out=targets[1:])
    return targets


def _moments(block: Block, likelihood: Likelihood) -> tuple[Any, ...]:
    targets = _weighted_targets(block, likelihood, block.weights_or_ones().dtype)
    return targets.sum(axis=1, dtype=np.float64), block.gram(targets), block.squares(targets[0])


def _deviations(block: Block, likelihood: Likelihood, index: Array, mean: Array) -> tuple[Any, ...]:
    """Sums of (x - mean) by weights and targets, and of its square, for some columns."""
    X = block.some_columns(index)
    X -= mean
    targets = _weighted_targets(block, likelihood, np.float64)
    return targets @ X, targets[0] @ np.square(X)


def offset_means(objective: MultinomialObjective) -> tuple[Array | None, float]:
    """Weighted means of the offsets and of t · offset; None and 0 where there are none."""
    if not objective.blocks.has_offset:
        return None, 0.0
    sums, target = objective.blocks.map_reduce(_offset_sums, objective.likelihood)
    return sums / objective.total_weight, float(target) / objective.total_weight


def _offset_sums(block: Block, likelihood: Likelihood) -> tuple[Any, ...]:
    assert block.offset is not None
    offset = block.offset.T
    weights = block.weights_or_ones()
    return offset @ weights, likelihood.target_sum(offset, block.targets) @ weights


def _complements(block: Block, likelihood: Likelihood) -> tuple[Array]:
    """Sums of weights times 1 - t of each logit."""
    targets = likelihood.dense_targets(block.targets)
    return ((1.0 - targets) @ block.weights_or_ones().astype(np.float64),)


def null_point(objective: MultinomialObjective, moments: Moments) -> Point:
    """The point without features: W = 0 and the intercepts that give the class shares.

    Its gradient is known from the moments: mean (p - t) (x - μ)ᵀ with the same p for every row.
    """
    likelihood, shares = objective.likelihood, moments.shares
    theta = objective.zeros()
    if objective.fit_intercept:
        theta[:, -1] = likelihood.null_intercept(shares)
        if not likelihood.is_coupled and (shares > NEARLY_ONE).any():
            # Of one minus a share few digits are left where that is nearly one.
            (others,) = objective.blocks.map_reduce(_complements, likelihood)
            others = others / objective.total_weight
            has_both = (shares > 0.0) & (others > 0.0)
            odds = np.log(shares[has_both]) - np.log(others[has_both])
            theta[has_both, -1] = odds
    p = theta[:, -1:].copy()
    normaliser = float(likelihood.probabilities(p)[0])
    gradient = objective.zeros()
    gradient[:, :-1] = (
        np.multiply.outer(p[:, 0], moments.mean - objective.center)
        - moments.class_sums
        + np.multiply.outer(shares, objective.center)
    ) / objective.scale
    gradient[:, objective._still] = 0.0
    loss = normaliser - float(theta[:, -1] @ shares)
    return Point(
        objective=objective,
        theta=theta,
        value=loss,
        gradient=gradient,
        loss=loss,
        rounding=8.0 * float(np.finfo(float).eps) * (loss + abs(normaliser)),
        probabilities=Probabilities(likelihood, common=p[:, 0]),
    )
