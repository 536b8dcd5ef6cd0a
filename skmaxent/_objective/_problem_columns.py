"""The columns that a problem is solved over, and the conversion of coefficients to and from them.

The problem has the columns of the data with three changes. Columns that cannot change the
likelihood are left out. From columns whose mean is large against their spread, a constant near the
mean is subtracted, so that products with them do not cancel. Columns whose squares leave the range
of floating point are multiplied by powers of two. R is the number of logits, and n_kept the number
of columns of the problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._moments import Moments, column_moments
from skmaxent._objective._terms import LARGEST_TERM, PenaltyTerms, limited
from skmaxent._storage._block import Block
from skmaxent._storage._column_transform import ColumnTransform
from skmaxent._storage._storage import Storage
from skmaxent._typing import Array, KernelResult

# A column is shifted if its variance is below this share of its mean square. The share is larger
# for sparse X, whose columns kernels do not centre, and for float32, which has fewer digits.
SHIFT_DENSE, SHIFT_SPARSE, SHIFT_FLOAT32 = 1e-12, 1e-4, 1e-3
# A column whose deviations are fewer units in the last place has lost most of its digits.
INEXACT_UNITS = 100.0
# A range of at most this many units in the last place is rounding error, if a unit is smaller than
# FINE_UNIT. If it is larger, numbers are counts or the like, and differences between them are real.
CONSTANT_UNITS, FINE_UNIT = 4.0, 2.0**-10
# The exponent of the largest power of two by which a ridge towards a target is multiplied.
LARGEST_EXPONENT = 990
# The squares of standard deviations between this one and its reciprocal are normal floats.
LEAST_DEVIATION = 1e-150
# A column whose squares overflow or underflow is shifted if its range, which then replaces the
# unknown variance, is below this share of its largest entry.
SHIFT_RANGE = 1e-3
# float32 rounds whole numbers above the first of these. Numbers above the second are not counts or
# time stamps, since float64 rounds them too.
FLOAT32_INTEGERS, FLOAT64_INTEGERS = float(1 << 24), float(1 << 53)
# If the entries of a column are at most one, a smaller coefficient changes neither logits nor F.
NEGLIGIBLE_COEF = 1e-30
# Squares of numbers up to max**0.7 can be added up, and those from tiny**0.7 on have all digits:
# the exponents leave room for sums over rows and for products with weights.
SAFE_EXPONENT = 0.7


@dataclass(frozen=True)
class ColumnMap:
    """The map from the columns x_j of the data to those of a problem, 2^-e_j (x_j - shift_j).

    Attributes
    ----------
    n_features : int
        The number of columns of the data.
    kept : ndarray of int of shape (n_kept,), or None
        Positions of the columns that the problem has; None stands for all.
    constants : ndarray of shape (n_features,) or None
        Values of the constant columns that are left out, 0 for the others.
    shift : ndarray of shape (n_kept,) or None
        None shifts no column.
    exponents : ndarray of int of shape (n_kept,), or None
        The exponents e_j; None scales no column.
    """

    n_features: int
    kept: Array | None = None
    constants: Array | None = None
    shift: Array | None = None
    exponents: Array | None = None

    def terms(self, terms: PenaltyTerms, deviations: Array | None = None) -> PenaltyTerms:
        """Return penalty and bounds for the columns of the problem from those of the data.

        `deviations` are the standard deviations (n_kept,) of the columns of the problem. If they
        are given, the penalty in `terms` is that of the coefficients of standardised columns.
        """
        if self.kept is not None:
            terms = terms.columns(self.kept)
        scaled = terms if self.exponents is None else scale_terms(terms, self.exponents)
        if deviations is None:
            return scaled
        standardised = terms.for_standardised(deviations)
        return replace(scaled, l1=standardised.l1, ridge=standardised.ridge)

    def deviations(self, moments: Moments) -> tuple[Array, Array]:
        """Return the standard deviations of the columns of the problem, and of those of the data.

        Their shapes are (n_kept,) and (n_features,). `moments` are those of the columns of the
        problem. Constant columns of the data have the deviation 1. The second array is limited so
        that its squares neither overflow nor underflow.
        """
        of_problem = moments.deviations
        of_data = np.ones(self.n_features)
        kept = slice(None) if self.kept is None else self.kept
        of_data[kept] = of_problem
        if self.exponents is not None:
            of_problem = np.where(moments.is_constant, np.ldexp(1.0, -self.exponents), of_problem)
            of_data[kept] = np.ldexp(of_problem, self.exponents)
        return of_problem, np.clip(of_data, LEAST_DEVIATION, 1.0 / LEAST_DEVIATION)

    def to_problem(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Return coefficients (R, n_kept) and intercepts (R,) of the columns of the problem.

        They have the logits of `coef` (R, n_features) and `intercept` (R,), those of the data.
        """
        if self.kept is not None:
            intercept = intercept + coef @ self.constants
            coef = coef[:, self.kept]
        if self.shift is not None:
            intercept = intercept + coef @ self.shift
        if self.exponents is not None:
            coef = np.ldexp(coef, self.exponents)
        return coef, intercept

    def columns_with_inexact_logits(self, coef: Array) -> Array:
        """Return positions of columns of the data whose coefficients make logits inexact.

        `coef` (R, n_features) are the coefficients of the data in the dtype in which the user gets
        them. A coefficient changes the logits by its rounding error times the entries of the
        column. The result has the columns where this product is large, because all entries are
        near a constant far from zero.
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
        return far[largest * size[far] * float(np.finfo(coef.dtype).eps) > 1.0 / INEXACT_UNITS]

    def to_data(
        self, coef: Array, intercept: Array, terms: PenaltyTerms, dtype: DTypeLike
    ) -> tuple[Array, Array]:
        """Return coefficients (R, n_features) and intercepts (R,) of the data, in `dtype`.

        `coef` (R, n_kept) and `intercept` (R,) are those of the problem. The coefficients of
        columns that are left out minimise `terms`, the penalty of the columns of the data. The
        intercepts compensate for the rounding of the coefficients to `dtype`.
        """
        if self.exponents is not None:
            # If scaling made a penalty so strong that the penalty alone determines the coefficient,
            # both it and the coefficient with the least penalty are negligible for the scaled
            # column, and it is the latter. A zero beside another least penalty is a zero.
            least = (terms if self.kept is None else terms.columns(self.kept)).at_least_penalty(
                len(coef)
            )
            with np.errstate(over="ignore"):
                sizes = np.maximum(np.abs(coef), np.abs(np.ldexp(least, self.exponents)))
            unscaled = unscale_coef(coef, self.exponents, dtype)
            coef = np.where(sizes < NEGLIGIBLE_COEF, least, unscaled)
        top = float(np.finfo(dtype).max)
        coef = np.clip(coef, -top, top).astype(dtype)
        if self.shift is not None:
            intercept = intercept - coef.astype(np.float64) @ self.shift
        if self.kept is not None:
            of_data = np.zeros((len(coef), self.n_features), dtype)
            of_data[:, self.kept] = coef
            if terms.has_nonzero_minimum:
                left_out = np.setdiff1d(np.arange(self.n_features), self.kept)
                least = terms.columns(left_out).at_least_penalty(len(coef))
                of_data[:, left_out] = np.clip(least, -top, top)
                rounded = of_data[:, left_out].astype(np.float64)
                intercept = intercept - rounded @ self.constants[left_out]  # type: ignore[index]
            coef = of_data
        return coef, np.clip(intercept, -top, top).astype(dtype)


def prepare_columns(
    blocks: Storage, model: Likelihood, *, fit_intercept: bool, keep_columns: bool = False
) -> tuple[Storage, Moments, ColumnMap, Array]:
    """Return the rows with the columns that a problem is solved over.

    Parameters
    ----------
    blocks : Storage
        The rows with the columns of the data.
    model : Likelihood
    fit_intercept : bool
        Without an intercept, no column is shifted, and only columns of zeros are left out.
    keep_columns : bool, default=False
        Whether all columns must stay and none may be shifted.

    Returns
    -------
    blocks : Storage
        The rows with the columns of the problem.
    moments : Moments
        The moments of the columns of the problem.
    columns : ColumnMap
        The map between coefficients of the data and of the problem.
    inexact : ndarray of int
        Positions of columns of the data whose values differ by few units in the last place.
    """
    d = blocks.n_features
    kept: Array | None = None
    if not keep_columns and blocks.is_sparse and d > blocks.size:  # most columns have no entry
        (used,) = blocks.map_reduce(_columns_with_entries, combine=np.maximum)
        used[0] = 1.0  # a problem has at least one column
        kept = np.flatnonzero(used)
        blocks = blocks.transformed(kept)
    moments = column_moments(blocks, model)
    if not np.isfinite(moments.mean_square.sum()):
        blocks.check_finite()
    suspect = _suspect_columns(blocks, moments)
    if not suspect.any():
        constants = None if kept is None else np.zeros(d)
        return blocks, moments, ColumnMap(d, kept, constants), np.zeros(0, np.intp)
    if keep_columns and blocks.dtype == np.float32 and blocks.has_room:
        # Products with columns that may not be shifted lose fewer digits in float64.
        blocks = blocks.standardised(np.zeros(d), np.ones(d), dtype=np.float64)
        return prepare_columns(blocks, model, fit_intercept=fit_intercept, keep_columns=True)
    found = _classify_columns(blocks, moments, suspect, fit_intercept, keep_columns)
    transform = _choose_transform(blocks, moments, found, keep_columns)
    if transform is not None:
        blocks = blocks.transformed(transform.kept, transform.shift, transform.exponents)
    moments = _transformed_moments(blocks, model, moments, found, transform)
    places = np.arange(d) if kept is None else kept
    constants = np.zeros(d)
    if transform is None:
        columns = ColumnMap(d, kept, constants)
    else:
        if transform.kept is not None:
            constants[places[found.constant]] = found.low[found.constant]
            kept = places[transform.kept]
        columns = ColumnMap(d, kept, constants, transform.shift, transform.exponents)
    return blocks, moments, columns, places[found.inexact]


class _ColumnKinds(NamedTuple):
    """Which columns of a storage need a change; arrays (n_columns,) unless a shape is given.

    Attributes
    ----------
    low, high : ndarray
        The least and the largest value among rows of positive weight.
    constant, shifted, scaled : ndarray of bool
        Which columns to leave out, to shift, and to multiply by a power of two.
    inexact : ndarray of int of shape (n_inexact,)
        Positions of columns whose values differ by few units in the last place.
    """

    low: Array
    high: Array
    constant: Array
    shifted: Array
    scaled: Array
    inexact: Array


def _classify_columns(
    blocks: Storage, moments: Moments, suspect: Array, fit_intercept: bool, keep_columns: bool
) -> _ColumnKinds:
    """Decide which of the `suspect` columns, bool (n_columns,), to leave out, shift or scale."""
    low, high = _ranges(blocks)
    peaks = np.maximum(np.abs(low), np.abs(high))
    unit = np.spacing(peaks.astype(blocks.dtype)).astype(np.float64)
    constant = suspect & (high - low <= np.where(unit < FINE_UNIT, CONSTANT_UNITS * unit, 0.0))
    inexact = _inexact(blocks, moments, suspect, low, high, unit)
    is_finite = np.isfinite(moments.mean_square)  # not so for entries in rows of zero weight
    scaled = suspect & _out_of_range(blocks, moments.mean_square) & ((peaks > 0.0) | ~is_finite)
    is_narrow = ~scaled | (high / 2.0 - low / 2.0 < SHIFT_RANGE * peaks)
    shifted = suspect & ~constant & is_narrow
    if not fit_intercept:
        constant, shifted, inexact = suspect & (peaks == 0.0), shifted & False, inexact[:0]
    # A shift needs memory for a copy of X.
    if keep_columns or not (blocks.has_room or blocks.affords_columns(blocks.n_features)):
        shifted[:] = False
    if constant.all() and not keep_columns:  # a problem has at least one column, here of zeros
        constant[0] = False
        scaled[0] &= not is_finite[0]
        shifted[0] = fit_intercept and low[0] != 0.0
    return _ColumnKinds(low, high, constant, shifted, scaled, inexact)


def _choose_transform(
    blocks: Storage, moments: Moments, found: _ColumnKinds, keep_columns: bool
) -> ColumnTransform | None:
    """Return the transform from `blocks` to the columns of the problem, or None for no change."""
    low, high, constant = found.low, found.high, found.constant
    drops = constant.any() and not keep_columns and blocks.pays_to_drop(constant)
    some = np.flatnonzero(~constant) if drops else np.arange(len(constant))
    shift = exponents = None
    low, high = low[some], high[some]
    if found.shifted[some].any():
        middle = found.low / 2.0 + found.high / 2.0
        mean = np.where(np.isfinite(moments.mean), moments.mean, middle)[some]
        shift = np.where(found.shifted[some], np.clip(mean, low, high), 0.0)
        # The dtype of X must represent the shift exactly.
        shift = shift.astype(blocks.dtype).astype(np.float64)
        low, high = low - shift, high - shift
    if found.scaled[some].any():
        exponents = np.frexp(np.maximum(np.abs(low), np.abs(high)))[1]
    if not drops and shift is None and exponents is None:
        return None
    return ColumnTransform(some if drops else None, shift, exponents)


def _transformed_moments(
    blocks: Storage,
    model: Likelihood,
    moments: Moments,
    found: _ColumnKinds,
    transform: ColumnTransform | None,
) -> Moments:
    """Return the moments of the columns of the problem; those of constant columns are exact.

    `blocks` has the columns after the transform; `moments` and `found` are of those before it.
    """
    level = found.low
    constant = found.constant
    if transform is not None:
        if transform.shift is not None or transform.exponents is not None:
            moments = column_moments(blocks, model)
        elif transform.kept is not None:
            moments = moments.columns(transform.kept)
        if transform.kept is not None:
            level, constant = level[transform.kept], constant[transform.kept]
        if transform.exponents is not None:
            level = np.ldexp(level, -transform.exponents)
    if not constant.any():
        return moments
    return replace(
        moments,
        mean=np.where(constant, level, moments.mean),
        variance=np.where(constant, 0.0, moments.variance),
    )


def _suspect_columns(blocks: Storage, moments: Moments) -> Array:
    """Return which columns may be constant, far from zero or out of range, bool (n_columns,)."""
    limit = SHIFT_SPARSE if blocks.is_sparse else SHIFT_DENSE
    if blocks.dtype == np.float32:
        limit = SHIFT_FLOAT32
    is_nearly_constant = ~(moments.variance > limit * moments.mean_square)  # True also for NaN
    return np.asarray(is_nearly_constant | _out_of_range(blocks, moments.mean_square))


def _out_of_range(blocks: Storage, mean_square: Array) -> Array:
    """Return which columns are so large or small that their squares overflow or lose digits."""
    limits = np.finfo(blocks.dtype)
    high, low = float(limits.max) ** SAFE_EXPONENT, float(limits.tiny) ** SAFE_EXPONENT
    return np.asarray(~((mean_square < high) & (mean_square > low)))


def _inexact(
    blocks: Storage, moments: Moments, suspect: Array, low: Array, high: Array, unit: Array
) -> Array:
    """Return positions of columns whose values differ by few units in the last place.

    `unit` (n_columns,) is such a unit at the largest entry of each column. A float32 column of one
    large whole number counts too: its values may have differed before they were rounded.
    """
    found = suspect & (low < high) & (moments.variance < (INEXACT_UNITS * unit) ** 2)
    if blocks.dtype == np.float32:
        size = np.abs(low)
        found |= suspect & (low == high) & (size >= FLOAT32_INTEGERS) & (size <= FLOAT64_INTEGERS)
    return np.flatnonzero(found)


def _columns_with_entries(block: Block) -> tuple[Array]:
    """Return 1 for each column with entries in a CSR block, else 0, (n_columns,) (a kernel)."""
    used = np.zeros(block.X.shape[1])
    used[block.X.indices] = 1.0
    return (used,)


def _ranges(blocks: Storage) -> tuple[Array, Array]:
    """Return the least and largest value of each column over the rows of positive weight."""
    low, below = blocks.map_reduce(_range, combine=np.minimum)
    return np.asarray(low), -np.asarray(below)


def _range(block: Block) -> KernelResult:
    """Return the columns' least values in a block and minus the largest, (n_columns,) (a kernel).

    Both are combined over blocks by the minimum.
    """
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
    """Return the least value of each column of a CSR matrix and minus the largest, (n_columns,)."""
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


def unscale_coef(coef: Array, exponents: Array, dtype: DTypeLike) -> Array:
    """Return the coefficients of the columns before scaling, clipped to finite numbers of `dtype`.

    `coef` (R, n_columns) belongs to columns that were multiplied by 2^-exponents. A negligible
    coefficient becomes zero: for a column of tiny numbers it would be large, and so would its
    penalty.
    """
    top = float(np.finfo(dtype).max)
    coef = np.where(np.abs(coef) < NEGLIGIBLE_COEF, 0.0, coef)
    with np.errstate(over="ignore"):
        return np.clip(np.ldexp(coef, -exponents), -top, top)


def scale_terms(terms: PenaltyTerms, exponents: Array) -> PenaltyTerms:
    """Return penalty and bounds for the columns multiplied by 2^-exponents (n_columns,).

    Numbers that would overflow become LARGEST_TERM. If the strength of a ridge towards a target
    would, the L1 penalty is reduced by the same factor.
    """

    def times(values: Array | None) -> Array | None:
        """Return bounds or targets for the scaled columns; infinite bounds stay infinite."""
        return None if values is None else limited(values, np.ldexp(values, exponents))

    # The ratio of the strengths determines the coefficient with the least penalty beside a target.
    beyond = 0 if terms.target is None else np.maximum(-2 * exponents - LARGEST_EXPONENT, 0)
    with np.errstate(over="ignore", under="ignore"):
        return replace(
            terms,
            l1=np.minimum(np.ldexp(terms.l1, -exponents - beyond), LARGEST_TERM),
            ridge=np.minimum(np.ldexp(terms.ridge, -2 * exponents - beyond), LARGEST_TERM),
            target=times(terms.target),
            lower=times(terms.lower),
            upper=times(terms.upper),
        )
