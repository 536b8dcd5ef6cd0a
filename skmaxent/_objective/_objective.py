"""The penalised mean negative log-likelihood and its derivatives, by row blocks.

Conventions
-----------
Coefficients are one array θ of shape (R, d + 1), where R is the number of logits and d that of
features. They belong to the standardised columns x̃ = (x - μ)/σ, and the last column c of θ is the
intercept: z = θ (x̃, 1). Without an intercept, μ is 0 and the last column stays zero.

X itself is neither centred nor scaled, so that sparse X stays sparse. Kernels use coefficients
w = θ/σ and intercepts b = c - w μ of the columns of X instead.

θ and arrays of its shape are in Fortran order, so that the coefficients of a feature are adjacent.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._penalty import Ridge
from skmaxent._storage._arrays import empty, full
from skmaxent._storage._block import Block
from skmaxent._storage._storage import Storage
from skmaxent._typing import Array

# Most bytes of the probabilities at a point that are kept for Hessian products; 256 MiB are little
# beside the X that has as many rows. Above, the probabilities are computed again in each product.
KEEP_BYTES = 1 << 28
# Most bytes of a float32 copy of X, which halves the memory traffic of Hessian products.
COPY_BYTES = 1 << 28
# Number of Hessian products after which the copy is made: it costs about as much as two products.
COPY_PRODUCTS = 2
# For probabilities above this one, 1 - p is computed from the logits: the difference would lose
# four or more of its digits.
NEARLY_ONE = 1.0 - 1e-4
# Bytes of the temporary array of weighted rows: it fits in the cache, and malloc reuses it.
INFORMATION_BYTES = 1 << 19


@dataclass
class Counter:
    """Counts the passes over X by kind, which measures the cost of a fit on any machine alike."""

    gradients: int = 0
    hessian_products: int = 0


class Probabilities:
    """The class probabilities of all rows at a point θ, block by block.

    They are kept in memory after the first pass, or computed again in each pass, or equal for all
    rows.

    Parameters
    ----------
    likelihood : Likelihood
    keeps : bool, default=False
        Whether memory has room for the probabilities; callers then hand them to `keep`.
    common : ndarray of shape (n_logits,), optional
        The probabilities of every row, if they are equal, as in the model without features.
    """

    def __init__(
        self, likelihood: Likelihood, *, keeps: bool = False, common: Array | None = None
    ) -> None:
        self._likelihood = likelihood
        self.keeps = keeps
        self._common = common
        self._by_block: dict[int, Array] = {}
        self._as_float32: dict[int, Array] = {}

    @property
    def are_common(self) -> bool:
        """Whether all rows have equal probabilities."""
        return self._common is not None

    def variances(self) -> tuple[Array, Array]:
        """Return p (1 - p) and p, each (n_logits,), if all rows have equal probabilities p."""
        p = np.asarray(self._common)
        return np.asarray(p * (1.0 - p)), p

    def keep(self, block: Block, P: Array) -> None:
        """Keep the probabilities P (n_logits, rows) of a block."""
        self._by_block[block.index] = P

    def elsewhere(self) -> Probabilities:
        """Return the probabilities at the same point for other rows, of which none are kept."""
        return Probabilities(self._likelihood, common=self._common)

    def of(self, block: Block, coef: Array, intercept: Array) -> Array:
        """Return the probabilities of the rows of a block in its dtype, shape (n_logits, rows).

        `coef` and `intercept` are the model at the point, for probabilities that are not kept.
        Callers must not write to the result.
        """
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
            if block.index not in self._as_float32:
                self._as_float32[block.index] = P.astype(dtype)
            P = self._as_float32[block.index]
        return P


class _LastPoint:
    """A weak reference to the point at which an objective was last evaluated.

    Objectives with the same loss and different penalties share it, since the loss at the point is
    the same for all of them.
    """

    def __init__(self) -> None:
        self._reference: weakref.ref[Point] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _LastPoint, ()  # weak references cannot be pickled

    def keep(self, point: Point) -> None:
        """Refer to this point from now on."""
        self._reference = weakref.ref(point)

    def at(self, theta: Array) -> Point | None:
        """Return the point if it still exists and lies at θ, else None."""
        point = None if self._reference is None else self._reference()
        return point if point is not None and np.array_equal(point.theta, theta) else None


class MultinomialObjective:
    """The objective F(θ) = 1/S Σ_i s_i [log-normaliser(z_i) - z_i·t_i] + penalty(θ).

    s_i are the sample weights, S is their sum, z_i the logits and t_i the targets of row i.

    Parameters
    ----------
    blocks : Storage
        The rows of X with their targets, weights and offsets.
    likelihood : Likelihood
    penalty : Ridge
        The penalty of the coefficients of standardised columns.
    fit_intercept : bool, default=True
    center, scale : ndarray of shape (n_features,), optional
        μ and σ of the standardised columns. Defaults are zeros and ones; without an intercept μ is
        zero.
    column_size : ndarray of shape (n_features,), optional
        Root mean square of each column, from which rounding errors are estimated; default ones.
    varying : ndarray of bool, shape (n_features,), optional
        Which columns are not constant; default all. The gradient of the others is set to zero
        because it is rounding error.
    keep_bytes, copy_bytes : int, optional
        Most bytes of kept probabilities and of a float32 copy of X. The defaults are KEEP_BYTES
        and COPY_BYTES, or zero if the storage has no room in memory.
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
        varying: Array | None = None,
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
        self.varying = np.ones(d, dtype=bool) if varying is None else varying
        self._constant = np.flatnonzero(~self.varying)
        self.column_size = np.ones(d) if column_size is None else column_size
        # If memory has no room for X, it has none for arrays with entries for each row either.
        if keep_bytes is None:
            keep_bytes = KEEP_BYTES if blocks.has_room else 0
        if copy_bytes is None:
            copy_bytes = COPY_BYTES if blocks.has_room else 0
        self._keep_bytes = keep_bytes
        logits = likelihood.n_logits * blocks.n_samples
        self.keeps = logits * blocks.dtype.itemsize <= keep_bytes
        single = np.dtype(np.float32)
        self._may_copy = blocks.dtype != single and blocks.size * single.itemsize <= copy_bytes
        self.counter = Counter()
        self._copy: MultinomialObjective | None = None
        self._last_point = _LastPoint()

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (n_logits, n_features + 1) of θ."""
        return self.likelihood.n_logits, self.blocks.n_features + 1

    def zeros(self) -> Array:
        """Return θ = 0."""
        return np.zeros(self.shape, order="F")

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients W (R, d) and intercepts b (R,) of X, with logits W x + b."""
        coef = theta[:, :-1] / self.scale if self._is_scaled else theta[:, :-1]
        return coef, theta[:, -1] - coef @ self.center if self._is_centred else theta[:, -1]

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """Return θ for coefficients W (R, d) and intercepts b (R,) of X."""
        theta = self.zeros()
        theta[:, :-1] = coef * self.scale
        theta[:, -1] = intercept + coef @ self.center
        return theta

    def for_blocks(self, theta: Array) -> tuple[Array, Array]:
        """Return W and b as `coefficients` does, in the dtype of X."""
        coef, intercept = self.coefficients(theta)
        dtype = self.blocks.dtype
        return coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)

    def standardised(
        self, n_rows: int | None = None, *, dtype: Any = np.float64, seed: int = 0
    ) -> MultinomialObjective:
        """Return the objective over a standardised copy of all rows, or of a sample.

        θ means the same there as here.
        """
        blocks = self.blocks.standardised(self.center, self.scale, n_rows, dtype=dtype, seed=seed)
        return MultinomialObjective(
            blocks,
            self.likelihood,
            self.penalty,
            fit_intercept=self.fit_intercept,
            center=self.center / self.scale if blocks.is_sparse else None,
            varying=self.varying,
            keep_bytes=self._keep_bytes,
            copy_bytes=0,
        )

    def columns(self, index: Array) -> MultinomialObjective:
        """Return the objective of the columns at positions `index`, over a copy of them."""
        return MultinomialObjective(
            self.blocks.columns(index, self.center, self.scale),
            self.likelihood,
            Ridge(self.penalty.strength[index]),
            fit_intercept=self.fit_intercept,
            center=(self.center / self.scale)[index] if self.blocks.is_sparse else None,
            varying=self.varying[index],
            keep_bytes=self._keep_bytes,
        )

    def with_penalty(self, penalty: Ridge) -> MultinomialObjective:
        """Return the objective with the same loss, another penalty and a new counter."""
        other = copy.copy(self)
        other.penalty, other.counter = penalty, Counter()
        return other

    def in_float64(self) -> MultinomialObjective:
        """Return the objective with float64 rows; it keeps neither probabilities nor a copy."""
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
            varying=self.varying,
            keep_bytes=0,
            copy_bytes=0,
        )

    def centred_at(self, center: Array) -> MultinomialObjective:
        """Return the objective with other means μ, so that the last column of θ changes."""
        other = copy.copy(self)
        other.center, other._is_centred = center, bool(center.any())
        other.counter, other._copy, other._last_point = Counter(), None, _LastPoint()
        return other

    def float32_copy(self) -> MultinomialObjective:
        """Return the objective over a float32 copy of X, or itself until a copy is worthwhile.

        The copy is made after `COPY_PRODUCTS` Hessian products, if it is allowed.
        """
        if self._copy is None and self._may_copy and self.counter.hessian_products >= COPY_PRODUCTS:
            self._copy = self.standardised(dtype=np.float32)
        return self if self._copy is None else self._copy

    def _from_sums(self, coef_gradient: Array, logit_gradient: Array) -> Array:
        """Return the gradient (R, d + 1) of a mean over rows with respect to θ.

        `logit_gradient` (R,) is the sum over rows of the gradients g_i with respect to the logits,
        and `coef_gradient` (R, d) is the sum of g_i x_iᵀ.
        """
        out = np.empty(self.shape, order="F")
        out[:, -1] = logit_gradient / self.total_weight if self.fit_intercept else 0.0
        size = 1.0 / (self.scale * self.total_weight)
        np.multiply(coef_gradient, size, out=out[:, :-1])
        if self._is_centred:
            out[:, :-1] -= np.multiply.outer(self.center * size, logit_gradient).T
        if len(self._constant):
            out[:, self._constant] = 0.0
        return out

    def at(self, theta: Array) -> Point:
        """Return the objective evaluated at θ.

        This takes one pass over X, or none if the last point was at the same θ.
        """
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
        # A loss is a difference of logits, and a logit is a sum whose terms may cancel: the errors
        # of `value` are proportional to these terms.
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
    """An objective evaluated at θ.

    Attributes
    ----------
    objective : MultinomialObjective
    theta : ndarray of shape (R, d + 1)
    value : float
        The objective, penalty included.
    gradient : ndarray of shape (R, d + 1)
        The gradient of the objective, penalty included.
    loss : float
        The objective without the penalty.
    rounding : float
        An estimate of the rounding error of `value`.
    probabilities : Probabilities
        The class probabilities of the rows.
    """

    objective: MultinomialObjective
    theta: Array
    value: float
    gradient: Array
    loss: float
    rounding: float
    probabilities: Probabilities = field(repr=False)

    def on(self, objective: MultinomialObjective) -> Point:
        """Return the point for an objective with the same loss and another penalty."""
        coef, gradient = self.theta[:, :-1], self.loss_gradient()
        gradient[:, :-1] += objective.penalty.gradient(coef)
        value = self.loss + objective.penalty.value(coef)
        return replace(self, objective=objective, value=value, gradient=gradient)

    def loss_gradient(self) -> Array:
        """Return the gradient of the loss, without that of the penalty, as a new array."""
        out = self.gradient.copy(order="F")
        out[:, :-1] -= self.objective.penalty.gradient(self.theta[:, :-1])
        return out

    def hessian_product(self, direction: Array, *, exact: bool = True) -> Array:
        """Return the Hessian times a direction (R, d + 1), penalty included.

        This takes one pass over X, and no exponentials if the probabilities are kept. Unless the
        product must be `exact`, the pass may use a float32 copy of X.
        """
        objective = self.objective
        over = objective if exact else objective.float32_copy()
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
        """Return the Hessian of the mean loss, without the penalty.

        Parameters
        ----------
        sample : MultinomialObjective, optional
            The objective over the rows to average over; the default is all rows.

        Returns
        -------
        ndarray of shape (r·(d+1), r·(d+1))
            The Hessian with respect to the rows of θ for the r free logits, one row after the
            other. Softmax leaves out the last class, so that the matrix is not singular.
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
    """Return a block's weighted loss, its rounding scale, and the sums of its gradient.

    The rounding scale is the weighted sum of |log-normaliser|. The gradient is given by
    Σ g_i x_iᵀ (R, d) and Σ g_i (R,), where g_i is the gradient with respect to the logits of row i.
    """
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
    """Return the sums of a block's Hessian product, in the form of `_value_and_gradient`.

    `coef` and `intercept` are the direction, `at` is the model at the point.
    """
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
    """Return Σ_i s_i H_i ⊗ x̃_i x̃_iᵀ of a block, (r (d + 1), r (d + 1)).

    H_i is the curvature of row i in the r free logits, x̃_i its standardised features and a one.
    """
    P = probabilities.of(block, *at)
    P = P.astype(np.float64, copy=False)
    r, m = likelihood.n_free, P.shape[1]
    # Where p is nearly one, 1 - p has few correct digits, and the squared features of an outlier
    # would magnify the error. The complement comes from the negative logits instead.
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
            # One large product instead of one for each pair of logits.
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
