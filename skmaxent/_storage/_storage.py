"""The interface between a fit and its rows, whether these are in memory, on a device or in Dask.

A solver never indexes X. It hands a kernel, a function of a `Block`, to `Storage.map_reduce`, which
sums the results of the kernel over all blocks of rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._cached import cached_property
from skmaxent._storage._block import Block
from skmaxent._storage._column_transform import ColumnTransform
from skmaxent._storage._row_targets import are_codes, likeliest
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array, DType, KernelResult

# A sample with fewer rows of a class gets all rows of that class. So many rows are enough to
# estimate the share of a class.
RARE_CLASS_ROWS = 30
# If the variance of a column in a sample differs from its variance in all rows by more than this
# factor, the column has outliers, and the sample gets the rows that contain them.
OUTLIER_VARIANCE_RATIO = 1.5
# Most bytes of a sample, so that the memory of a fit does not grow with the number of rows.
SAMPLE_BYTES = 1 << 28
# Most bytes of the column index of a sparse entry.
INDEX_BYTES = 8


@dataclass
class Tally:
    """The number of rows read so far; n_samples rows are one pass over X."""

    rows: int = 0


class Rows(NamedTuple):
    """Rows of X in memory with their targets, weights or None, and offsets or None."""

    X: Any
    targets: Array
    weights: Array | None
    offset: Array | None


class WeightSums(NamedTuple):
    """Sums over the sample weights s.

    Attributes
    ----------
    total : float
        Σ s.
    effective_size : float
        (Σ s)²/Σ s², Kish's effective sample size.
    n_positive : int
        Number of positive weights.
    least : float
        The least positive weight.
    """

    total: float
    effective_size: float
    n_positive: int
    least: float

    @classmethod
    def of(cls, weights: Array | None, n_samples: int) -> WeightSums:
        """Return the sums for weights of shape (n_samples,); None stands for ones."""
        if weights is None:
            return cls(float(n_samples), float(n_samples), n_samples, 1.0)
        s = weights.astype(float)
        relative = s / float(s.max())
        effective = float(relative.sum() ** 2 / np.square(relative).sum())
        least = float(np.where(s > 0.0, s, np.inf).min())
        total = float(weights.sum(dtype=np.float64))
        return cls(total, effective, int(np.count_nonzero(s)), least)


class Storage(ABC):
    """X (n_samples, n_features), dense or CSR, with targets, weights and offsets of its rows.

    A new kind of storage implements the abstract methods and properties below.

    Attributes
    ----------
    n_samples, n_features : int
    dtype : dtype
        float32 or float64.
    is_sparse : bool
    size : int
        Number of stored entries of X: n_samples · n_features if dense, the nonzeros if sparse.
    n_logits : int
        Number of rows of the coefficients.
    has_offset : bool
        Whether constants are added to the logits of the rows.
    has_codes : bool
        Whether targets are class codes, one class a row, rather than shares of classes.
    tally : Tally
        Counts the rows read, from this storage and from all copies and samples made of it.
    host_workers : Workers
        The threads of this machine, for work on arrays in its memory.
    """

    n_samples: int
    n_features: int
    dtype: DType
    is_sparse: bool
    size: int
    n_logits: int
    has_offset: bool
    has_codes: bool
    tally: Tally
    host_workers: Workers

    @abstractmethod
    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> KernelResult:
        """Return the sums over all blocks of the results of a kernel.

        Parameters
        ----------
        kernel : callable
            `kernel(block, *args)` returns a tuple of numbers and arrays. The arrays must be new:
            sums are accumulated in those of the first block.
        *args
            Arguments of the kernel.
        combine : numpy.ufunc, default=numpy.add
            An associative function that replaces the sum, such as numpy.maximum.

        Returns
        -------
        tuple of float64 arrays
            A sum for each entry of the kernel's tuple.
        """

    @abstractmethod
    def take(self, rows: Array, center: Array, scale: Array, dtype: DTypeLike) -> Rows:
        """Return copies of the rows at the increasing positions `rows`, with scaled columns.

        Dense columns become (x - center)/scale. Sparse ones become x/scale, so that X stays sparse.
        X, weights and offsets have the given dtype.
        """

    @abstractmethod
    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        """Return the positions of the rows that a kernel selects, or None for over `at_most` rows.

        `kernel(block, *args)` returns a boolean array with an entry for each row of the block.
        """

    @abstractmethod
    def standardised(
        self,
        center: Array,
        scale: Array,
        n_rows: int | None = None,
        *,
        dtype: DTypeLike,
        seed: int = 0,
    ) -> Storage:
        """Return a copy with columns (x - center)/scale, of all rows or of a sample.

        Sparse columns become x/scale. If `n_rows` is not None, the copy holds a weighted sample of
        about `n_rows` rows, drawn with `seed` as described in `_sample`.
        """

    @abstractmethod
    def columns(self, index: Array, center: Array, scale: Array) -> Storage:
        """Return a float64 copy of the columns at positions `index`, as (x - center)/scale.

        Sparse columns become x/scale. `center` and `scale` have an entry for each column of X.
        """

    def transformed(
        self,
        kept: Array | None = None,
        shift: Array | None = None,
        exponents: Array | None = None,
    ) -> Storage:
        """Return a copy whose columns are (x - shift) 2^-exponent of the columns that are kept.

        Parameters
        ----------
        kept : ndarray of int of shape (n_kept,), optional
            Positions of the columns to keep; None keeps all.
        shift : ndarray of shape (n_kept,), optional
            Numbers that the dtype of X represents exactly; None subtracts nothing.
        exponents : ndarray of int of shape (n_kept,), optional
            None scales nothing.
        """
        return self._with_columns(ColumnTransform(kept, shift, exponents))

    @abstractmethod
    def _with_columns(self, transform: ColumnTransform) -> Storage:
        """Return a copy whose columns are transformed; `transformed` calls it."""

    @abstractmethod
    def whole(self) -> Block:
        """Return all rows as a single block in host memory, for which rows should be few."""

    @abstractmethod
    def check_finite(self) -> None:
        """Raise ValueError if X contains NaN or infinity."""

    @abstractmethod
    def affords_columns(self, n_columns: int) -> bool:
        """Return whether there is memory for a float64 copy of `n_columns` columns."""

    @abstractmethod
    def pays_to_drop(self, constant: Array) -> bool:
        """Return whether it saves time to leave out the columns of the mask `constant`.

        The mask has the shape (n_features,). To leave out constant columns saves products in each
        pass over the rows, and may need a copy of the other columns.
        """

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether memory has room for copies of X and for arrays of the size of the logits."""

    @property
    @abstractmethod
    def weight_sums(self) -> WeightSums:
        """Sums over the sample weights of all rows."""

    @cached_property
    def effective_size(self) -> float:
        """Kish's effective sample size (Σs)²/Σs² [Kish, Survey Sampling, 1965].

        It equals the number of rows for equal weights and does not depend on their scale.
        """
        return self.weight_sums.effective_size

    @property
    def work(self) -> int:
        """Number of multiplications in a product of X with the coefficients."""
        return self.size * self.n_logits

    @property
    def entry_dtype(self) -> np.dtype[Any]:
        """The dtype of X as it was given, by which the entries are rounded."""
        return self.dtype

    def in_float64(self) -> Storage:
        """Return this storage with float64 blocks; blocks of another dtype are converted."""
        return self if self.dtype == np.float64 else Float64Rows(self)

    def _sample(
        self, n_rows: int, seed: int, center: Array, scale: Array, dtype: DTypeLike
    ) -> Rows:
        """Return a stratified sample of standardised rows: a random row of each of `n_rows` runs.

        A run is a sequence of consecutive rows. There are fewer runs if the sample would take more
        than `SAMPLE_BYTES`. These rows are added unless they are more than half of `n_rows`:

        - all rows of the classes with fewer than `RARE_CLASS_ROWS` sampled rows;
        - the outliers that `_outlier_threshold` finds, if X is dense.

        Weighted sums over the sample estimate n_rows/n_samples times the sums over all rows. Added
        rows are in the sample with certainty, so that their weights are multiplied by this ratio.
        """
        n = self.n_samples
        entry = np.dtype(dtype).itemsize + (INDEX_BYTES if self.is_sparse else 0)
        n_rows = max(1, min(n_rows, int(SAMPLE_BYTES / (entry * max(self.size / n, 1.0)))))
        position = np.random.default_rng(seed).random(n_rows)
        # Runs begin and end at whole rows, so that no row is drawn twice.
        edges = np.arange(n_rows + 1) * n // n_rows
        rows = edges[:-1] + (position * np.diff(edges)).astype(np.intp)
        sample = self.take(rows, center, scale, dtype)
        classes = likeliest(sample.targets)
        counts = (
            None if sample.weights is None else sample.weights > 0
        )  # rows without weight do not count
        rare = np.bincount(classes, counts, minlength=max(self.n_logits, 2)) < RARE_CLASS_ROWS
        heavy = np.inf if self.is_sparse else _outlier_threshold(sample.X, n)
        if not rare.any() and heavy == np.inf:
            return sample
        limit = n_rows // 2  # with more added rows, the result is no better than the random sample
        wanted = self.where(_are_wanted, rare, heavy, center, scale, at_most=limit)
        if wanted is None or not len(wanted):
            return sample
        plain = np.flatnonzero(~np.isin(rows, wanted))
        parts = (_take(sample, plain), self.take(wanted, center, scale, dtype))
        factors = np.append(np.ones(len(plain)), np.full(len(wanted), n_rows / n))
        return _with_factors(concatenated(parts), factors, dtype)


class Float64Rows(Storage):
    """The rows of a float32 storage as float64, converted a block at a time during each pass.

    `take`, `standardised` and `columns` return what the float32 storage returns. Methods are
    documented in `Storage`.
    """

    def __init__(self, rows: Storage) -> None:
        self._rows = rows
        self.n_samples, self.n_features = rows.n_samples, rows.n_features
        self.dtype, self.is_sparse, self.size = np.dtype(np.float64), rows.is_sparse, rows.size
        self.n_logits, self.tally, self.host_workers = rows.n_logits, rows.tally, rows.host_workers
        self.has_offset, self.has_codes = rows.has_offset, rows.has_codes

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> KernelResult:
        return self._rows.map_reduce(_apply_in_float64, kernel, *args, combine=combine)

    def take(self, rows: Array, center: Array, scale: Array, dtype: DTypeLike) -> Rows:
        return self._rows.take(rows, center, scale, dtype)

    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        return self._rows.where(_apply_in_float64, kernel, *args, at_most=at_most)

    def standardised(self, *args: Any, **options: Any) -> Storage:
        return self._rows.standardised(*args, **options)

    def columns(self, index: Array, center: Array, scale: Array) -> Storage:
        return self._rows.columns(index, center, scale)

    def _with_columns(self, transform: ColumnTransform) -> Storage:
        return self._rows._with_columns(transform).in_float64()

    def whole(self) -> Block:
        return _in_float64(self._rows.whole())

    def check_finite(self) -> None:
        self._rows.check_finite()

    def affords_columns(self, n_columns: int) -> bool:
        return self._rows.affords_columns(n_columns)

    def pays_to_drop(self, constant: Array) -> bool:
        return self._rows.pays_to_drop(constant)

    @property
    def entry_dtype(self) -> np.dtype[Any]:
        return self._rows.entry_dtype

    @property
    def has_room(self) -> bool:
        return self._rows.has_room

    @property
    def weight_sums(self) -> WeightSums:
        return self._rows.weight_sums


def _apply_in_float64(block: Block, kernel: Callable[..., Any], *args: Any) -> Any:
    """Apply a kernel to the float64 copy of a block."""
    return kernel(_in_float64(block), *args)


def _in_float64(block: Block) -> Block:
    """Return a copy of the block with X, shares, weights and offsets in float64."""

    def wide(array: Any) -> Any:
        return None if array is None else array.astype(np.float64)

    targets = block.targets if are_codes(block.targets) else wide(block.targets)
    return replace(
        block,
        X=wide(block.X),
        targets=targets,
        weights=wide(block.weights),
        offset=wide(block.offset),
    )


def _outlier_threshold(X: Array, n_samples: int) -> float:
    """Return the sum of squares above which a row is an outlier, or infinity without outliers.

    `X` (n_rows, n_features) is a sample of the `n_samples` standardised rows. A standardised column
    has the variance one in all rows. If its variance in the sample differs from one by more than
    the factor `OUTLIER_VARIANCE_RATIO`, a few rows with large entries account for much of the
    variance, and the sample has too few or too many of them. A row is then an outlier if its sum of
    squares is more than 1/n_rows of the sum over all rows and columns. Columns that are constant in
    the sample do not count.
    """
    variance = np.einsum("ij,ij->j", X, X, dtype=np.float64) / len(X)
    varies = variance > 0.0
    too_small = (variance < 1.0 / OUTLIER_VARIANCE_RATIO) & varies
    if not (too_small | (variance > OUTLIER_VARIANCE_RATIO)).any():
        return float("inf")
    # The squares of a standardised column sum to the number of rows.
    return n_samples * float(varies.sum()) / len(X)


def _are_wanted(block: Block, rare: Array, heavy: float, center: Array, scale: Array) -> Array:
    """Return which rows have a rare class, or a sum of standardised squares above `heavy`, (rows,).

    `rare` is a mask of the classes. Rows without weight are never selected.
    """
    wanted: Array = rare[likeliest(block.targets)]
    if heavy < np.inf:
        squares = block.X - center
        wanted = wanted | (np.square(squares, out=squares) @ (1.0 / scale**2) > heavy)
    return wanted if block.weights is None else wanted & (block.weights > 0)


def _take(rows: Rows, index: Array) -> Rows:
    """Return the rows at positions `index`."""

    def part(array: Any) -> Any:
        return None if array is None else array[index]

    return Rows(*map(part, rows))


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Return the rows of several parts, in the order of the parts."""
    X, targets, weights, offset = zip(*parts, strict=True)

    def together(arrays: tuple[Any, ...]) -> Any:
        if arrays[0] is None:
            return None
        if sp.issparse(arrays[0]):
            return type(arrays[0])(sp.vstack(arrays, format="csr"))
        return np.concatenate(arrays)

    return Rows(together(X), together(targets), together(weights), together(offset))


def _with_factors(rows: Rows, factors: Array, dtype: DTypeLike) -> Rows:
    """Return the rows with weights multiplied by `factors` (n_rows,), as `dtype`."""
    weights = factors if rows.weights is None else rows.weights * factors
    return rows._replace(weights=weights.astype(dtype))
