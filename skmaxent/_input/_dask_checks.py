"""Checks of the chunks of Dask collections, on the workers of Dask that hold the chunks.

A handle is what a Dask scheduler returns for a chunk that a worker keeps, such as a future.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array

from skmaxent._cached import cached_property
from skmaxent._input import _validation
from skmaxent._input._dask_chunks import (
    chunks_like,
    chunks_of,
    column,
    column_metadata,
    in_row_chunks,
)
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import canonical
from skmaxent._input._numbers import as_floats
from skmaxent._input._numeric_columns import about_columns, refuse_times_in_columns
from skmaxent._storage._chunked_rows import Chunk, ChunksShape, nbytes
from skmaxent._storage._cluster import Scheduler, current_scheduler, is_dask, mapped
from skmaxent._storage._storage import Rows
from skmaxent._typing import Array, DType

# Neighbouring chunks are read by one task up to this size in bytes, since each pass over X starts
# each task anew; or up to a larger size that leaves two tasks for each thread.
SMALL_CHUNK_BYTES = 1 << 23


@dataclass(frozen=True, eq=False)
class CheckedRows:
    """The checked rows of one chunk, before targets are computed from labels.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
    codes : ndarray of shape (n_rows,), or indicator matrix of shape (n_rows, n_labels)
        The position of each row's label in `labels`, or which labels each row has.
    labels : ndarray
        The labels in this chunk, in any order.
    weights : ndarray of shape (n_rows,) or None
        The sample weights as the user gave them.
    offset : ndarray or None
    offset_names : list or None
        The names of the columns of `offset`, if it was a data frame.
    """

    X: Any
    codes: Array
    labels: Array
    weights: Array | None
    offset: Array | None
    offset_names: list[Any] | None

    def __sizeof__(self) -> int:
        """Return the bytes of the arrays, from which Dask decides what to move to disk."""
        return nbytes(self.X, self.codes, self.weights, self.offset)


@dataclass(frozen=True)
class Summary:
    """The sizes, labels and sums of weights of a chunk, which the calling process needs.

    Attributes
    ----------
    n_rows, n_features : int
    dtype : dtype
    is_sparse : bool
    size : int
        The number of stored entries of X.
    n_bytes : int
    labels : ndarray of shape (n_labels,)
        The labels in this chunk.
    totals : ndarray of shape (2, n_labels), or (3, n_labels) for an indicator matrix
        The sum and the largest of the weights of each label, divided by `top_weight`; for an
        indicator matrix see `LabelCounts`.
    top_weight : float
        The largest weight in this chunk; 1 without weights.
    """

    n_rows: int
    n_features: int
    dtype: DType
    is_sparse: bool
    size: int
    n_bytes: int
    labels: Array
    totals: Array
    top_weight: float


@dataclass(frozen=True)
class CheckedChunks:
    """The chunks of checked rows of a fit, which the workers of Dask keep.

    Attributes
    ----------
    scheduler : Scheduler
    names : ndarray of shape (n_features,) or None
        The names of the columns of X.
    handles : list
        The handle of the `CheckedRows` of each chunk.
    summaries : list of Summary
        One for each chunk.
    has_weights, has_offset : bool
        Whether the user gave a sample weight, and an offset other than None and 0.
    """

    scheduler: Scheduler
    names: Array | None
    handles: list[Any]
    summaries: list[Summary]
    has_weights: bool
    has_offset: bool

    @property
    def n_features(self) -> int:
        """The number of columns of X."""
        return self.summaries[0].n_features

    @property
    def dtype(self) -> Any:
        """The dtype of the fit, to which all chunks can be converted."""
        return np.result_type(*(summary.dtype for summary in self.summaries))

    @cached_property
    def top_weight(self) -> float:
        """The largest of all weights; raises ValueError if it is zero."""
        top = max(summary.top_weight for summary in self.summaries)
        if not top > 0.0:
            raise ValueError(
                "Sample weights must contain at least one non-zero number: every sample_weight is "
                "0."
            )
        return top

    def converted(
        self, convert: Callable[[CheckedRows], Rows], marks: Array | None = None
    ) -> tuple[list[Any], ChunksShape]:
        """Convert the chunks to chunks of a fit, forget the checked ones, and return the handles.

        `convert` makes rows with targets and weights of the checked rows of a chunk. From `marks`
        (n_marks, n_samples) views of the chunks compute which rows a fold of a cross-validation
        uses. Small neighbouring chunks are joined, and empty chunks are dropped.
        """
        lengths = [summary.n_rows for summary in self.summaries]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        full = [i for i, length in enumerate(lengths) if length]
        groups = _groups_of_chunks(full, self.summaries, self.scheduler)

        def conversion(group: list[int]) -> ChunkConversion:
            rows = [slice(starts[i], starts[i + 1]) for i in group]
            # Copies, because a slice would send all marks to the worker.
            own = () if marks is None else tuple(marks[:, at].copy() for at in rows)
            return ChunkConversion(convert, [(int(starts[i]), i) for i in group], own)

        chunks = mapped(
            self.scheduler,
            _converted_chunk,
            [[self.handles[i] for i in group] for group in groups],
            [conversion(group) for group in groups],
        )
        # Dask frees the checked rows when there are no handles of them left.
        self.handles.clear()
        shape = ChunksShape(
            tuple(sum(lengths[i] for i in group) for group in groups),
            self.n_features,
            self.dtype,
            self.summaries[full[0]].is_sparse,
            sum(summary.size for summary in self.summaries),
            self.has_weights,
            self.has_offset,
        )
        return chunks, shape


@dataclass(frozen=True, eq=False)
class ChunkConversion:
    """The arguments of the task that converts a group of neighbouring chunks to rows of a fit.

    Attributes
    ----------
    convert : callable
        Converts the checked rows of a chunk.
    places : list of pairs of int
        The position of the first row of each chunk among all rows, and the number of the chunk.
    marks : tuple of arrays
        The marks of the rows of each chunk, see `CheckedChunks.converted`; empty without marks.
    """

    convert: Callable[[CheckedRows], Rows]
    places: list[tuple[int, int]]
    marks: tuple[Array, ...]


def check_chunks(
    estimator_or_columns: Any,
    X: Any,
    given: dict[str, Any],
    codes_of: Callable[[Any], tuple[Any, Array]],
    totals_of: Callable[[CheckedRows, Array | None], Array],
) -> CheckedChunks:
    """Check the chunks of X and of the other arguments of a fit; workers of Dask keep them.

    Parameters
    ----------
    estimator_or_columns : estimator or FittedColumns
        The estimator that stores the columns of X, or the `FittedColumns` that X must have.
    X : Dask array or data frame of shape (n_samples, n_features)
    given : dict
        The arguments y, sample_weight and offset by their names, as the user gave them.
    codes_of : callable
        ``codes_of(y)`` returns `CheckedRows.codes` and `CheckedRows.labels` of a chunk of y.
    totals_of : callable
        ``totals_of(chunk, weights)`` returns `Summary.totals` of a chunk of checked rows, for
        weights (n_rows,) divided by the largest of the chunk, or None.
    """
    if not is_dask(X):
        raise TypeError(
            f"y or sample_weight is a Dask collection, but X is a {type(X).__name__}: expected X "
            "as a Dask array or data frame too, or all of them in memory."
        )
    import dask

    X = in_row_chunks(X)
    columns = FittedColumns.learned(estimator_or_columns, column_metadata(X))
    parts = chunks_of(X)
    others = [chunks_like(array, X, len(parts), name) for name, array in given.items()]
    # Not pure: Dask would otherwise hash the arguments to name each task.
    check = dask.delayed(
        partial(_checked_chunk, columns.names, columns.n_features, codes_of), pure=False
    )
    delayed = [check(i, *part) for i, part in enumerate(zip(parts, *others, strict=True))]
    # The calling process sees only the summaries of the chunks, never their rows.
    scheduler = current_scheduler(X)
    handles = scheduler.start(delayed)
    summaries = scheduler.gather(mapped(scheduler, _summary, handles, [totals_of] * len(handles)))
    if not any(summary.n_rows for summary in summaries):
        raise ValueError("X has no rows: expected at least one row.")
    _refuse_mixed_storage(summaries)
    has_weights = given["sample_weight"] is not None
    has_offset = not _validation.is_no_offset(given["offset"])
    return CheckedChunks(scheduler, columns.names, handles, summaries, has_weights, has_offset)


def _refuse_mixed_storage(summaries: list[Summary]) -> None:
    """Raise ValueError if some chunks of X are sparse and others dense."""
    kinds = [summary.is_sparse for summary in summaries if summary.n_rows]
    if len(set(kinds)) > 1:
        raise ValueError(
            f"X has sparse chunks and dense ones, {sum(kinds)} and {len(kinds) - sum(kinds)}: "
            "expected chunks of one kind."
        )


def _checked_chunk(
    names: Array | None,
    n_features: int,
    codes_of: Callable[[Any], tuple[Any, Array]],
    number: int,
    X: Any,
    y: Any,
    weights: Any,
    offset: Any,
) -> CheckedRows:
    """Check the arguments of a fit in a chunk as arrays in memory are checked.

    Parameters
    ----------
    names : ndarray of shape (n_features,) or None
        The names of the columns of X.
    n_features : int
    codes_of : callable
        As in `check_chunks`.
    number : int
        The number of the chunk, for errors.
    X, y, weights, offset : object
        The chunk of each argument.
    """
    where = f"in chunk {number}"
    if hasattr(X, "columns") and names is not None and list(X.columns) != names.tolist():
        raise ValueError(
            f"X has the columns {list(X.columns)[:5]} {where} (the first five); expected "
            f"{names[:5].tolist()}, as in the frame's metadata."
        )
    try:
        X = _checked_features(X)
        codes, labels = codes_of(y)
        weights = None if weights is None else _checked_weights(weights, codes.shape[0])
        offset_names = list(offset.columns) if hasattr(offset, "columns") else None
        offset = None if _validation.is_no_offset(offset) else as_floats(offset)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{about_columns(error, X)} ({where})") from error
    if X.shape[1] != n_features:
        raise ValueError(
            f"X has {X.shape[1]} columns {where}; expected {n_features}, as in the shape of X."
        )
    for name, array in (("y", codes), ("sample_weight", weights), ("offset", offset)):
        if array is not None and array.shape[:1] != X.shape[:1]:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples {where}: X has "
                f"{X.shape[0]}, {name} has {array.shape[0] if array.ndim else 'a single number'}."
            )
    if codes.ndim == 1 and (codes < 0).any():
        raise ValueError(
            f"Input y contains NaN or other missing labels {where}; expected a label for every "
            "row: drop the rows without one."
        )
    return CheckedRows(X, codes, labels, weights, offset, offset_names)


def _checked_features(X: Any) -> Any:
    """Return a chunk of X as an ndarray or a CSR matrix (n_rows, n_features), of a float dtype."""
    if hasattr(X, "tocsr") and not hasattr(X, "columns"):
        X = X.tocsr()
        X = X if sp.issparse(X) else sp.csr_array(X)
    refuse_times_in_columns(X)
    X = check_array(
        X,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
        ensure_min_samples=0,
    )
    return canonical(X)


def _checked_weights(weights: Any, n_rows: int) -> Array:
    """Return the weights of a chunk, (n_rows,); a single number is the weight of each row."""
    if isinstance(weights, Real):
        weights = np.full(n_rows, weights)
    else:
        weights = column(weights, "sample_weight")
    if not len(weights):
        return np.zeros(0)
    # `check_sample_weight` refuses weights that are all zero, which those of one chunk may be.
    has_weight = bool(np.any(weights != 0))
    ones = np.ones(len(weights))
    checked = _validation.check_sample_weight(weights if has_weight else ones, n_rows)
    return np.zeros(n_rows) if checked is None or not has_weight else checked


def _summary(
    chunk: CheckedRows, totals_of: Callable[[CheckedRows, Array | None], Array]
) -> Summary:
    """Return the summary of a chunk; for `totals_of` see `check_chunks`."""
    is_sparse = bool(sp.issparse(chunk.X))
    top = 1.0
    relative = None
    if chunk.weights is not None:
        top = float(chunk.weights.max(initial=0.0))
        relative = chunk.weights / top if top > 0.0 else chunk.weights
    return Summary(
        n_rows=chunk.X.shape[0],
        n_features=chunk.X.shape[1],
        dtype=chunk.X.dtype,
        is_sparse=is_sparse,
        size=int(chunk.X.nnz if is_sparse else chunk.X.size),
        n_bytes=chunk.__sizeof__(),
        labels=chunk.labels,
        totals=totals_of(chunk, relative),
        top_weight=top,
    )


def _groups_of_chunks(
    full: list[int], summaries: list[Summary], scheduler: Scheduler
) -> list[list[int]]:
    """Return the numbers of neighbouring chunks that one task reads, for each task.

    `full` are the numbers of the chunks with rows. A group fits into the memory of a task. There
    are at least two groups for each thread, unless a group would have less than
    `SMALL_CHUNK_BYTES`.
    """
    total = sum(summaries[i].n_bytes for i in full)
    share = total // (2 * scheduler.n_threads)
    room = min(scheduler.task_bytes(total), max(share, SMALL_CHUNK_BYTES))
    groups: list[list[int]] = []
    size = 0
    for i in full:
        size += summaries[i].n_bytes
        if not groups or size > room:
            groups.append([])
            size = summaries[i].n_bytes
        groups[-1].append(i)
    return groups


def _converted_chunk(chunks: Sequence[CheckedRows], conversion: ChunkConversion) -> Chunk:
    """Return a group of neighbouring chunks as one chunk of rows of a fit."""
    pieces = tuple(conversion.convert(chunk) for chunk in chunks)
    starts, origins = zip(*conversion.places, strict=True)
    return Chunk(pieces, starts, origins, conversion.marks)
