"""The penalised mean negative log-likelihood and its derivatives, by row blocks.

Conventions
-----------
R is the number of logits, and d the number of features. Coefficients are one array θ of shape
(R, d + 1). They belong to the standardised columns x̃ = (x - μ)/σ, and the last column c of θ has
the intercepts: the logits of a row are z = θ (x̃, 1). Without an intercept, μ and c are 0.

X itself is neither centred nor scaled, so that sparse X stays sparse. Kernels (functions that are
summed over blocks of rows) use coefficients W = θ/σ and intercepts b = c - W μ of the columns of X.

θ and arrays of its shape are in Fortran order, so that the coefficients of a feature are adjacent.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._objective._derivative_kernels import (
    NEARLY_ONE,
    hessian_product,
    information,
    value_and_gradient,
)
from skmaxent._objective._kernel_context import (
    ModelAtPoint,
    Probabilities,
    in_context,
)
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._penalty import Ridge
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._storage import Storage
from skmaxent._typing import Array

T = TypeVar("T")

# Most bytes of the probabilities at a point that are kept for Hessian products. An X with so many
# rows is usually larger. Above, the probabilities are computed again in each product.
KEEP_BYTES = 1 << 28
# Most bytes of a float32 copy of X, which halves the memory traffic of Hessian products.
COPY_BYTES = 1 << 28
# With a ridge of at least this strength for each standardised column, sums over rows in float32 are
# accurate enough for preconditioners and for Newton steps.
LEAST_FLOAT32_RIDGE = 1e-5
# Number of Hessian products after which the copy is made: it costs about as much as two products.
COPY_PRODUCTS = 2


@dataclass
class Counter:
    """The numbers of passes over X, which measure the cost of a fit on any machine."""

    gradients: int = 0
    hessian_products: int = 0


class _LastPoint:
    """A weak reference to the point at which an objective was last evaluated.

    Objectives with the same loss and different penalties share one reference, so that the loss at
    the point is not computed again for each penalty.
    """

    def __init__(self) -> None:
        self._reference: weakref.ref[Point] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _LastPoint, ()  # weak references cannot be pickled

    def keep(self, point: Point) -> None:
        """Replace the point that is referred to."""
        self._reference = weakref.ref(point)

    def at(self, theta: Array) -> Point | None:
        """Return the point if it still exists and is at the coefficients `theta`, else None."""
        point = None if self._reference is None else self._reference()
        if point is None or not (point.theta is theta or np.array_equal(point.theta, theta)):
            return None
        return point


class _SharedResults(dict[Callable[..., Any], Any]):
    """Results of functions that depend on the loss alone, by function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _SharedResults, ()  # the results may be large, and can be computed again


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
    standardisation : Standardisation
        The means μ and scales σ of the columns, whether there is an intercept, and which columns
        vary.
    column_size : ndarray of shape (n_features,), optional
        Root mean square of each column of X, from which rounding errors are estimated; the default
        is ones.
    keep_bytes, copy_bytes : int, optional
        Most bytes of kept probabilities and of a float32 copy of X. The defaults are KEEP_BYTES
        and COPY_BYTES, or zero if the storage has no room in memory.

    Attributes
    ----------
    keeps : bool
        Whether the probabilities at a point are kept in memory.
    counter : Counter
    """

    def __init__(
        self,
        blocks: Storage,
        likelihood: Likelihood,
        penalty: Ridge,
        standardisation: Standardisation,
        *,
        column_size: Array | None = None,
        keep_bytes: int | None = None,
        copy_bytes: int | None = None,
    ) -> None:
        self.blocks = blocks
        self.likelihood = likelihood
        self.penalty = penalty
        self.standardisation = standardisation
        self.total_weight = blocks.weight_sums.total
        self.column_size = np.ones(blocks.n_features) if column_size is None else column_size
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
        self._shared = _SharedResults()

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (n_logits, n_features + 1) of θ."""
        return self.likelihood.n_logits, self.blocks.n_features + 1

    @property
    def center(self) -> Array:
        """The means μ, (n_features,)."""
        return self.standardisation.center

    @property
    def scale(self) -> Array:
        """The scales σ, (n_features,)."""
        return self.standardisation.scale

    @property
    def fit_intercept(self) -> bool:
        """Whether the model has intercepts."""
        return self.standardisation.fit_intercept

    @property
    def varying(self) -> Array:
        """Which columns are not constant, bool (n_features,)."""
        return self.standardisation.varying

    def zeros(self) -> Array:
        """Return θ = 0."""
        return np.zeros(self.shape, order="F")

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients W (R, d) and intercepts b (R,) of X, with logits W x + b."""
        return self.standardisation.coefficients(theta)

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """Return θ for coefficients W (R, d) and intercepts b (R,) of X."""
        return self.standardisation.from_coefficients(coef, intercept)

    def for_blocks(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients W and intercepts b of `coefficients` in the dtype of X."""
        coef, intercept = self.coefficients(theta)
        dtype = self.blocks.dtype
        return coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)

    def standardised(
        self, n_rows: int | None = None, *, dtype: DTypeLike = np.float64, seed: int = 0
    ) -> MultinomialObjective:
        """Return the objective over a standardised copy of all rows, or of a sample of `n_rows`.

        The same θ gives the same logits. `seed` is that of the sample.
        """
        blocks = self.blocks.standardised(self.center, self.scale, n_rows, dtype=dtype, seed=seed)
        return MultinomialObjective(
            blocks,
            self.likelihood,
            self.penalty,
            self.standardisation.of_copy(blocks.is_sparse),
            keep_bytes=self._keep_bytes,
            copy_bytes=0,
        )

    def columns(self, index: Array) -> MultinomialObjective:
        """Return the objective of the columns at positions `index`, over a copy of them."""
        blocks = self.blocks.columns(index, self.center, self.scale)
        columns = self.standardisation.of_copy(blocks.is_sparse).columns(index)
        penalty = Ridge(self.penalty.strength[index])
        return MultinomialObjective(
            blocks, self.likelihood, penalty, columns, keep_bytes=self._keep_bytes
        )

    def with_penalty(self, penalty: Ridge) -> MultinomialObjective:
        """Return the objective with the same loss, another penalty and a new counter."""
        other = copy.copy(self)
        other.penalty, other.counter = penalty, Counter()
        return other

    def with_rows(self, blocks: Storage, **limits: int) -> MultinomialObjective:
        """Return the objective with its rows replaced by `blocks`, which have the same columns.

        `limits` are `keep_bytes` and `copy_bytes`, if they are not the default.
        """
        return MultinomialObjective(
            blocks,
            self.likelihood,
            self.penalty,
            self.standardisation,
            column_size=self.column_size,
            **limits,
        )

    def in_float64(self) -> MultinomialObjective:
        """Return the objective with float64 rows; it keeps neither probabilities nor a copy."""
        blocks = self.blocks.in_float64()
        return self if blocks is self.blocks else self.with_rows(blocks, keep_bytes=0, copy_bytes=0)

    def with_standardisation(self, standardisation: Standardisation) -> MultinomialObjective:
        """Return the objective as a function of θ of another standardisation.

        The penalty, a function of θ, stays the same.
        """
        other = copy.copy(self)
        other.standardisation = standardisation
        other.counter, other._copy, other._last_point = Counter(), None, _LastPoint()
        other._shared = _SharedResults()
        return other

    def computed_once(self, function: Callable[[MultinomialObjective], T]) -> T:
        """Return `function(self)`, which must depend on the loss alone, and keep it.

        Objectives with the same loss and another penalty share the result.
        """
        if function not in self._shared:
            self._shared[function] = function(self)
        return cast(T, self._shared[function])

    def float32_copy(self) -> MultinomialObjective:
        """Return the objective over a float32 copy of X if there is one, else this objective.

        The copy is made after `COPY_PRODUCTS` Hessian products, if it is small enough.
        """
        if self._copy is None and self._may_copy and self.counter.hessian_products >= COPY_PRODUCTS:
            self._copy = self.standardised(dtype=np.float32)
        return self if self._copy is None else self._copy

    @property
    def tolerates_float32(self) -> bool:
        """Whether the ridge makes up for the rounding of Hessians that are computed in float32.

        The Hessian of the loss has entries of about the same size for all standardised columns,
        and the ridge bounds its smallest eigenvalue.
        """
        strength = self.penalty.strength[self.varying]
        return bool(len(strength) and strength.min() >= LEAST_FLOAT32_RIDGE)

    def model_at(self, theta: Array, probabilities: Probabilities) -> ModelAtPoint:
        """Return the model at θ for kernels, with the object that has its probabilities."""
        coef, intercept = self.for_blocks(theta)
        return ModelAtPoint(self.likelihood, probabilities, self.standardisation, coef, intercept)

    def at(self, theta: Array) -> Point:
        """Return the objective evaluated at θ.

        This takes one pass over X, or none if the last point was at the same θ.
        """
        known = self._last_point.at(theta)
        if known is not None:
            return known if known.objective is self else known.on(self)
        kept = Probabilities(self.likelihood, keeps=self.keeps)
        model = self.model_at(theta, kept)
        value, magnitude, coef_gradient, logit_gradient = self.blocks.map_reduce(
            in_context, model, value_and_gradient
        )
        self.counter.gradients += 1
        gradient = self.standardisation.gradient(coef_gradient, logit_gradient, self.total_weight)
        loss = float(value) / self.total_weight
        penalty = 0.0
        if not self.penalty.is_zero:
            gradient[:, :-1] += self.penalty.gradient(theta[:, :-1])
            penalty = self.penalty.value(theta[:, :-1])
        # A loss is a difference of logits, and a logit is a sum whose terms may cancel: the errors
        # of `value` are proportional to these terms.
        terms = np.abs(model.coef) @ self.column_size + np.abs(model.intercept)
        size = float(magnitude) / self.total_weight + float(terms.max())
        rounding = 4.0 * float(np.finfo(self.blocks.dtype).eps) * (loss + size)
        point = Point(
            objective=self,
            theta=theta,
            value=loss + penalty,
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
        """Return this point for `objective`, which has the same loss and another penalty."""
        coef, gradient = self.theta[:, :-1], self.loss_gradient()
        gradient[:, :-1] += objective.penalty.gradient(coef)
        value = self.loss + objective.penalty.value(coef)
        return replace(self, objective=objective, value=value, gradient=gradient)

    def loss_gradient(self) -> Array:
        """Return the gradient of the loss, without that of the penalty, as a new array."""
        out = self.gradient.copy(order="F")
        if not self.objective.penalty.is_zero:
            out[:, :-1] -= self.objective.penalty.gradient(self.theta[:, :-1])
        return out

    def map_reduce(
        self,
        kernel: Callable[..., tuple[Any, ...]],
        *args: Any,
        over: MultinomialObjective | None = None,
    ) -> tuple[Any, ...]:
        """Return the sums over all blocks of `kernel(context, *args)`, a tuple of arrays.

        The context is the `KernelContext` of a block at this point. `over` is an objective over a
        copy or a sample of the rows in which the same θ gives the same logits; the default is the
        objective of this point.
        """
        objective = self.objective
        over = objective if over is None else over
        has_all_rows = over is objective or over is objective._copy
        probabilities = self.probabilities if has_all_rows else self.probabilities.for_other_rows()
        model = over.model_at(self.theta, probabilities)
        return over.blocks.map_reduce(in_context, model, kernel, *args)

    def hessian_product(self, direction: Array, *, exact: bool = True) -> Array:
        """Return the Hessian times a direction (R, d + 1), penalty included.

        This takes one pass over X, and no exponentials if the probabilities are kept. Unless the
        product must be `exact`, the pass may use a float32 copy of X.
        """
        objective = self.objective
        over = objective if exact else objective.float32_copy()
        coef_sums, logit_sums = self.map_reduce(
            hessian_product, *over.for_blocks(direction), over=over
        )
        objective.counter.hessian_products += 1
        out = over.standardisation.gradient(coef_sums, logit_sums, over.total_weight)
        if not objective.penalty.is_zero:
            out[:, :-1] += objective.penalty.hessian_product(direction[:, :-1])
        return out

    def fisher_information(
        self,
        sample: MultinomialObjective | None = None,
        dtype: DTypeLike = np.float64,
        *,
        nearly_one: float = NEARLY_ONE,
    ) -> Array:
        """Return the Hessian of the mean loss, without the penalty.

        Parameters
        ----------
        sample : MultinomialObjective, optional
            The objective over the rows to average over; the default is all rows.
        dtype : dtype, default=float64
            That of the products over the rows of a block.
        nearly_one : float
            Above this probability p, the complement 1 - p is computed from the logits, which takes
            more time than the difference and keeps all digits.

        Returns
        -------
        ndarray of shape (r·(d+1), r·(d+1))
            The Hessian with respect to the rows of θ for the r free logits, one row after the
            other. Softmax leaves out the last class, so that the matrix is not singular.
        """
        over = self.objective if sample is None else sample
        (H,) = self.map_reduce(information, dtype, nearly_one, over=over)
        return np.asarray(H / over.total_weight)
