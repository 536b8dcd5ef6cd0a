"""The columns that a problem is solved over, and the way to and from the user's.

Columns that cannot change the likelihood are left out. Of columns whose mean is large against their
spread a constant near the mean is subtracted, so that products with them do not cancel. Columns
whose squares leave the range of floating point are multiplied by powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._moments import Moments, column_moments
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._storage._block import Block
from skmaxent._storage._storage import Storage
from skmaxent._typing import Array

# Variance relative to the mean square below which a column is shifted: of float64, where sparse
# columns are never centred by the kernels, and of float32.
DENSE_CANCELLATION, SPARSE_CANCELLATION = 1e-12, 1e-4
NARROW_CANCELLATION = 1e-3
# Deviations of fewer units in the last place than this leave little of a column.
COARSE = 100.0
# A range of no more units than this is rounding, where a unit is finer than that; larger numbers
# are whole, or nearly, and differ for a reason.
ROUNDING, FINE = 4.0, 2.0**-10
# The largest bounds and targets of scaled coefficients: sums with them are numbers.
MOST = 1e300
# Range relative to the largest entry below which a column is shifted, where squares tell nothing.
NARROW_RANGE = 1e-3
# Whole numbers from here on are rounded in float32; numbers beyond the end are no counts or times.
NARROW_INTEGERS, MOST_INTEGERS = float(1 << 24), float(1 << 53)
# A coefficient of a column whose entries are at most one that changes neither logits nor F.
NOTHING = 1e-30


@dataclass(frozen=True)
class ColumnMap:
    """Columns 2^-e_j (x_j - shift_j) of those that are `kept`, and what the others have.

    Attributes
    ----------
    n_features : int
        Of the data.
    kept : ndarray of int or None
        Positions of the columns that the problem has; None is all.
    constants : ndarray of shape (n_features,) or None
        Values of the columns that are left out, 0 at the others.
    shift : ndarray of shape (n_kept,) or None
    exponents : ndarray of int, shape (n_kept,), or None
    """

    n_features: int
    kept: Array | None = None
    constants: Array | None = None
    shift: Array | None = None
    exponents: Array | None = None

    def terms(self, terms: PenaltyTerms) -> PenaltyTerms:
        """Penalty and bounds of the columns of the problem."""
        if self.kept is not None:
            terms = terms.columns(self.kept)
        return terms if self.exponents is None else scale_terms(terms, self.exponents)

    def to_problem(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Coefficients and intercepts of the same logits for the columns of the problem."""
        if self.kept is not None:
            intercept = intercept + coef @ self.constants
            coef = coef[:, self.kept]
        if self.shift is not None:
            intercept = intercept + coef @ self.shift
        if self.exponents is not None:
            coef = np.ldexp(coef, self.exponents)
        return coef, intercept

    def blurred(self, coef: Array) -> Array:
        """Positions of columns far from zero that coefficients in this dtype make logits of whose
        differences are rounded away.
        """
        if self.constants is None and self.shift is None:
            return np.zeros(0, np.intp)
        size = np.zeros(self.n_features)
        if self.constants is not None:
            size = np.abs(self.constants)
        if self.shift is not None:
            size[slice(None) if self.kept is None else self.kept] = np.abs(self.shift)
        far = np.flatnonzero(size)
        largest = np.abs(coef[:, far]).max(axis=0, initial=0.0).astype(np.float64)
        return far[largest * size[far] * float(np.finfo(coef.dtype).eps) > 1.0 / COARSE]

    def to_data(
        self, coef: Array, intercept: Array, terms: PenaltyTerms, dtype: Any
    ) -> tuple[Array, Array]:
        """Coefficients, in `dtype`, and intercepts for the columns of the data.

        Those of the columns that are left out are where `terms`, of all columns, are least. The
        intercepts belong to the coefficients as `dtype` has them.
        """
        if self.exponents is not None:
            # A penalty beyond STRONGEST leaves this little, which no logit notices.
            least = (terms if self.kept is None else terms.columns(self.kept)).at_rest(len(coef))
            unscaled = unscale_coef(coef, self.exponents, dtype)
            coef = np.where(np.abs(coef) < NOTHING, least, unscaled)
        top = float(np.finfo(dtype).max)
        coef = np.clip(coef, -top, top).astype(dtype)
        if self.shift is not None:
            intercept = intercept - coef.astype(np.float64) @ self.shift
        if self.kept is not None:
            out = np.ones(self.n_features, dtype=bool)
            out[self.kept] = False
            whole = np.zeros((len(coef), self.n_features), dtype)
            whole[:, self.kept] = coef
            if terms.moves_at_rest:
                left = terms.columns(out.nonzero()[0]).at_rest(len(coef))
                whole[:, out] = left
                intercept = intercept - left @ self.constants[out]  # type: ignore[index]
            coef = whole
        return coef, np.clip(intercept, -top, top).astype(dtype)


def prepared(
    blocks: Storage, model: Likelihood, *, fit_intercept: bool, as_given: bool = False
) -> tuple[Storage, Moments, ColumnMap, Array]:
    """Rows with the columns of the problem, their moments, and positions of columns that rounding
    has left little of.

    With `as_given` columns are neither left out nor shifted.
    """
    d = blocks.n_features
    kept: Array | None = None
    if not as_given and blocks.is_sparse and d > blocks.size:  # most columns have no entry
        (used,) = blocks.map_reduce(_used, combine=np.maximum)
        used[0] = 1.0  # a problem has a column at least
        kept = np.flatnonzero(used)
        blocks = blocks.transformed(kept)
    moments = column_moments(blocks, model)
    if not np.isfinite(moments.mean_square.sum()):
        blocks.check_finite()
    suspect = _suspect(blocks, moments)
    if not suspect.any():
        return blocks, moments, _mapped(d, kept, None), np.zeros(0, np.intp)
    if as_given and blocks.dtype == np.float32 and blocks.has_room:
        # What may not be shifted has to cancel in a wider range.
        blocks = blocks.standardised(np.zeros(d), np.ones(d), dtype=np.float64)
        return prepared(blocks, model, fit_intercept=fit_intercept, as_given=True)
    low, high = _ranges(blocks)
    peaks = np.maximum(np.abs(low), np.abs(high))
    unit = np.spacing(peaks.astype(blocks.dtype)).astype(np.float64)
    constant = suspect & (high - low <= np.where(unit < FINE, ROUNDING * unit, 0.0))
    inexact = _inexact(blocks, moments, suspect, low, high, unit)
    outside = suspect & _out_of_range(blocks, moments.mean_square) & (peaks > 0.0)
    away = suspect & ~constant & (~outside | (high / 2.0 - low / 2.0 < NARROW_RANGE * peaks))
    if not fit_intercept:
        constant, away, inexact = suspect & (peaks == 0.0), away & False, inexact[:0]
    if kept is not None:
        inexact = kept[inexact]
    if as_given or not (blocks.has_room or blocks.affords_columns(blocks.n_features)):
        away[:] = False
    if constant.all() and not as_given:  # of which one stays, as zeros
        constant[0] = outside[0] = False
        away[0] = fit_intercept and low[0] != 0.0
    leaves = constant.any() and not as_given and blocks.affords_without(int(constant.sum()))
    some = np.flatnonzero(~constant) if leaves else np.arange(len(constant))
    shift = exponents = None
    if away[some].any():
        mean = np.where(np.isfinite(moments.mean), moments.mean, low / 2.0 + high / 2.0)
        shift = np.where(away, np.clip(mean, low, high), 0.0)[some]
        shift = shift.astype(blocks.dtype).astype(np.float64)
        low[some], high[some] = low[some] - shift, high[some] - shift
    if outside[some].any():
        exponents = np.frexp(np.maximum(np.abs(low), np.abs(high))[some])[1]
    if leaves or shift is not None or exponents is not None:
        blocks = blocks.transformed(some if leaves else None, shift, exponents)
    if shift is not None or exponents is not None:
        moments = column_moments(blocks, model)
    elif leaves:
        moments = moments.columns(some)
    level = constant[some]
    if level.any():  # columns that stay
        moments = replace(
            moments,
            mean=np.where(level, low[some], moments.mean),
            variance=np.where(level, 0.0, moments.variance),
        )
    constants = np.zeros(d)
    if leaves:  # low of columns that are left out is as it was
        places = np.arange(d) if kept is None else kept
        constants[places[constant]] = low[constant]
        kept = places[some]
    return blocks, moments, _mapped(d, kept, constants, shift, exponents), inexact


def _mapped(
    n_features: int,
    kept: Array | None,
    constants: Array | None,
    shift: Array | None = None,
    exponents: Array | None = None,
) -> ColumnMap:
    if kept is not None and constants is None:
        constants = np.zeros(n_features)
    return ColumnMap(n_features, kept, constants, shift, exponents)


def _suspect(blocks: Storage, moments: Moments) -> Array:
    """Columns that may be constant, far from zero, or out of range."""
    limit = SPARSE_CANCELLATION if blocks.is_sparse else DENSE_CANCELLATION
    if blocks.dtype == np.float32:
        limit = NARROW_CANCELLATION
    level = ~(moments.variance > limit * moments.mean_square)
    return np.asarray(level | _out_of_range(blocks, moments.mean_square))


def _out_of_range(blocks: Storage, mean_square: Array) -> Array:
    """Columns so large or so small that their squares are not to be relied on."""
    limits = np.finfo(blocks.dtype)
    high, low = float(limits.max) ** 0.7, float(limits.tiny) ** 0.7
    return np.asarray(~((mean_square < high) & (mean_square > low)))


def _inexact(
    blocks: Storage, moments: Moments, suspect: Array, low: Array, high: Array, unit: Array
) -> Array:
    """Positions of columns whose values the dtype tells apart badly, or not at all."""
    found = suspect & (low < high) & (moments.variance < (COARSE * unit) ** 2)
    if blocks.dtype == np.float32:
        size = np.abs(low)
        found |= suspect & (low == high) & (size >= NARROW_INTEGERS) & (size <= MOST_INTEGERS)
    return np.flatnonzero(found)


def _used(block: Block) -> tuple[Array]:
    used = np.zeros(block.X.shape[1])
    used[block.X.indices] = 1.0
    return (used,)


def _ranges(blocks: Storage) -> tuple[Array, Array]:
    """The least and the largest value of each column among rows that weigh anything."""
    low, below = blocks.map_reduce(_range, combine=np.minimum)
    return np.asarray(low), -np.asarray(below)


def _range(block: Block) -> tuple[Any, Any]:
    X, weights = block.X, block.weights
    if block.is_sparse:
        if weights is not None:
            X = X[np.flatnonzero(weights > 0.0)]
        return _sparse_range(X)
    if weights is None:
        return X.min(axis=0), -X.max(axis=0)
    counts = (weights > 0.0)[:, None]
    return np.where(counts, X, np.inf).min(axis=0), -np.where(counts, X, -np.inf).max(axis=0)


def _sparse_range(X: Any) -> tuple[Array, Array]:
    """The least entry of each column, and minus the largest."""
    n, d = X.shape
    low, below = np.full(d, np.inf), np.full(d, np.inf)
    by_column = sp.csc_array(X)
    filled = np.diff(by_column.indptr)
    some = np.flatnonzero(filled)
    if len(some):
        starts = by_column.indptr[some]
        low[some] = np.minimum.reduceat(by_column.data, starts)
        below[some] = -np.maximum.reduceat(by_column.data, starts)
    if n:
        not_full = filled < n
        low[not_full] = np.minimum(low[not_full], 0.0)
        below[not_full] = np.minimum(below[not_full], 0.0)
    return low, below


def unscale_coef(coef: Array, exponents: Array, dtype: Any) -> Array:
    """Coefficients of the columns as they were, kept finite in `dtype`.

    Zero are those that are tiny for the scaled columns: in units of columns that are tiny too they
    may be large, and so may their penalty.
    """
    top = float(np.finfo(dtype).max)
    coef = np.where(np.abs(coef) < NOTHING, 0.0, coef)
    with np.errstate(over="ignore"):
        return np.clip(np.ldexp(coef, -exponents), -top, top)


def scale_terms(terms: PenaltyTerms, exponents: Array) -> PenaltyTerms:
    """Penalty and bounds for the coefficients of the scaled columns, kept finite."""

    def times(values: Array | None) -> Array | None:
        if values is None:
            return None
        return np.where(np.isinf(values), values, np.ldexp(values, exponents).clip(-MOST, MOST))

    with np.errstate(over="ignore", under="ignore"):
        return replace(
            terms,
            l1=np.minimum(np.ldexp(terms.l1, -exponents), MOST),
            ridge=np.minimum(np.ldexp(terms.ridge, -2 * exponents), MOST),
            target=times(terms.target),
            lower=times(terms.lower),
            upper=times(terms.upper),
        )
