"""Conversion of Dask arrays and data frames to chunks for a fit, checked where Dask holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.utils import check_array

from skmaxent._input import _validation
from skmaxent._input._dask_chunks import chunks_like, chunks_of, column, in_row_chunks, nothing_like
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._labels import encode_labels, refuse_unknown
from skmaxent._input._targets import Given, Outcomes, outcomes_of, positions
from skmaxent._storage._chunked_rows import Chunk, ChunkedRows, ChunksShape, nbytes
from skmaxent._storage._cluster import Scheduler, current_scheduler, is_dask, mapped
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

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
    totals : ndarray of shape (n_labels,), or (3, n_labels) for an indicator matrix
        Sums for each label of the weights divided by `top_weight`.
    top_weight : float
        The largest weight in this chunk; 1 without weights.
    """

    n_rows: int
    n_features: int
    dtype: Any
    is_sparse: bool
    size: int
    n_bytes: int
    labels: Array
    totals: Array
    top_weight: float


@dataclass(frozen=True)
class CheckedChunks:
    """Chunks of checked rows that a Dask scheduler holds.

    Attributes
    ----------
    scheduler : Scheduler
    handles : list
        The handle of each chunk, an object of the class `CheckedRows`.
    summaries : list of Summary
    has_weights, has_offset : bool
    """

    scheduler: Scheduler
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

    def coded(
        self, piece: Callable[[CheckedRows], Rows], marks: Array | None = None
    ) -> tuple[list[Any], ChunksShape]:
        """Replace the chunks by chunks for a fit; return their handles and sizes.

        `piece` converts the rows of a chunk, and `marks` (n_marks, n_samples) are integers for each
        row that views use. Empty chunks are dropped, and small neighbours are read by one task.
        """
        lengths = [summary.n_rows for summary in self.summaries]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        full = [i for i, length in enumerate(lengths) if length]
        groups = _together(full, self.summaries, self.scheduler)

        def part(group: list[int]) -> ChunkCoding:
            rows = [slice(starts[i], starts[i + 1]) for i in group]
            own = () if marks is None else tuple(marks[:, some].copy() for some in rows)
            return ChunkCoding(piece, [(int(starts[i]), i) for i in group], own)

        chunks = mapped(
            self.scheduler,
            _coded,
            [[self.handles[i] for i in group] for group in groups],
            [part(group) for group in groups],
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


@dataclass(frozen=True)
class Labelled(CheckedChunks):
    """Chunks of checked rows with one class label each.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted labels of all chunks.
    totals : ndarray of shape (n_classes,)
        The sum of the weights of each class, divided by `top_weight`.
    """

    classes: Array
    totals: Array

    def outcomes(
        self, totals: Array, class_weight: Array | None, smoothing: float
    ) -> tuple[Outcomes, Array | None]:
        """Return the `Outcomes` of some or all rows, and the factors of their weights.

        Parameters
        ----------
        totals : ndarray of shape (n_classes,)
            The sums of the weights of these rows, divided by `top_weight`.
        class_weight : ndarray of shape (n_classes,) or None
        smoothing : float
            The weight of the uniform distribution in the targets.

        Returns
        -------
        outcomes : Outcomes
        factors : ndarray of shape (n_classes,) or None
            Class weights divided by the largest, by which the weights of rows are multiplied.
        """
        weighted = totals if class_weight is None else totals * class_weight
        active = np.flatnonzero(weighted > _validation.NEGLIGIBLE_WEIGHT * weighted.max())
        top = 1.0 if class_weight is None else float(class_weight.max())
        scale = min(max(self.top_weight * top, 1e-300), 1e300)
        factors = None if class_weight is None else class_weight / top
        return outcomes_of(active, self.classes, totals, scale, smoothing), factors

    def given(self, class_weight: Array | None, smoothing: float) -> Given:
        """Return the data of a fit with these class weights and this label smoothing."""
        outcomes, factors = self.outcomes(self.totals, class_weight, smoothing)
        coding = LabelCoding(
            self.classes,
            outcomes.active,
            self.top_weight if self.has_weights else None,
            factors,
            self.dtype,
        )
        has_weights = self.has_weights or factors is not None
        # A nested function would keep variables of this frame alive in the traceback of an error.
        stored = partial(self._stored, coding, outcomes.model.n_logits, has_weights)
        return Given(self.classes, self.n_features, outcomes, stored)

    def _stored(
        self, coding: LabelCoding, n_logits: int, has_weights: bool, workers: Workers
    ) -> ChunkedRows:
        """Return the storage of the rows with targets and weights of a fit."""
        chunks, shape = self.coded(coding)
        shape = replace(shape, has_weights=has_weights)
        return ChunkedRows(self.scheduler, chunks, shape, n_logits=n_logits, workers=workers)

    def codes(self) -> Array:
        """Return the class codes of all rows in memory, one byte a row for up to 256 classes."""
        parts = mapped(self.scheduler, _codes, self.handles, [self.classes] * len(self.handles))
        return np.concatenate(self.scheduler.gather(parts))

    def marked(self, marks: Array) -> tuple[list[Any], ChunksShape]:
        """Replace the chunks by chunks for views, as `coded` does.

        Targets are codes of all classes, and `marks` have the shape (n_marks, n_samples).
        """
        top_weight = self.top_weight if self.has_weights else None
        every = np.arange(len(self.classes))
        coding = LabelCoding(self.classes, every, top_weight, None, self.dtype)
        chunks, shape = self.coded(coding, marks)
        return chunks, replace(shape, has_weights=True)


@dataclass(frozen=True)
class LabelCoding:
    """Converts the checked rows of a chunk to rows with the targets and weights of a fit.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    active : ndarray of int
        The positions of the classes that are fitted.
    top_weight : float or None
        The largest sample weight, by which weights are divided; None without sample weights.
    class_weight : ndarray of shape (n_classes,) or None
        Factors of the weights of each class.
    dtype : dtype
        The dtype of the fit.
    """

    classes: Array
    active: Array
    top_weight: float | None
    class_weight: Array | None
    dtype: Any

    def __call__(self, raw: CheckedRows) -> Rows:
        code_of = np.searchsorted(self.classes, raw.labels)
        codes = code_of[raw.codes]
        targets = positions(self.active, len(self.classes))[codes]
        weights = None
        if self.top_weight is not None and raw.weights is not None:
            weights = raw.weights / self.top_weight
        if self.class_weight is not None:
            factors = self.class_weight[codes]
            weights = factors if weights is None else weights * factors
        if weights is not None:
            weights = np.where(weights < _validation.NEGLIGIBLE_WEIGHT, 0.0, weights)
            weights = weights.astype(self.dtype)
        offset = None
        if raw.offset is not None:
            given: Any = raw.offset
            if raw.offset_names is not None:
                given = pd.DataFrame(given, columns=raw.offset_names)
            checked = _validation.check_offset(given, len(codes), self.classes, self.dtype)
            offset = _validation.offset_of(checked, self.active)  # type: ignore[arg-type]
        return Rows(raw.X.astype(self.dtype, copy=False), targets, weights, offset)


@dataclass(frozen=True, eq=False)
class ChunkCoding:
    """Tells a task how to convert its chunks to rows of a fit.

    Attributes
    ----------
    piece : callable
        Converts the rows of a chunk.
    places : list of pairs of int
        The position of the first row of each chunk among all rows, and the number of the chunk.
    marks : tuple of arrays
        The marks of the rows of each chunk; empty without marks.
    """

    piece: Callable[[CheckedRows], Rows]
    places: list[tuple[int, int]]
    marks: tuple[Array, ...]


def read(
    reader: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    *,
    classes: Array | None = None,
) -> Labelled:
    """Read and check Dask collections with one label a row.

    Parameters
    ----------
    reader : estimator or FittedColumns
        An estimator in its `fit` learns the columns of X. X must have given columns.
    X : Dask array or data frame of shape (n_samples, n_features)
    y, sample_weight, offset : Dask collection, array-like, number or None
    classes : ndarray of shape (n_classes,), optional
        The sorted classes; None stands for the labels in y.

    Raises
    ------
    ValueError, TypeError
        For everything that a fit of arrays in memory refuses.
    """
    given = {"y": y, "sample_weight": sample_weight, "offset": offset}
    checked = check_chunks(reader, X, given, _label_codes, _label_totals)
    labels = _joined_labels([summary.labels for summary in checked.summaries])
    if classes is None:
        classes, _ = encode_labels(labels)
    else:
        refuse_unknown(labels, classes, "y")
    totals = np.zeros(len(classes))
    for summary in checked.summaries:
        position = np.searchsorted(classes, summary.labels)
        np.add.at(totals, position, summary.totals * (summary.top_weight / checked.top_weight))
    return Labelled(
        checked.scheduler,
        checked.handles,
        checked.summaries,
        checked.has_weights,
        checked.has_offset,
        classes,
        totals,
    )


def check_chunks(
    reader: Any,
    X: Any,
    given: dict[str, Any],
    codes_of: Callable[[Any], tuple[Any, Array]],
    totals_of: Callable[[CheckedRows, Array | None], Array],
) -> CheckedChunks:
    """Check the chunks of X and other arguments, and keep them at Dask's scheduler for X.

    Parameters
    ----------
    reader : estimator or FittedColumns
        As in `read`.
    X : Dask array or data frame of shape (n_samples, n_features)
    given : dict
        The arguments y, sample_weight and offset.
    codes_of : callable
        Returns the codes and the labels of a chunk of y.
    totals_of : callable
        Returns sums for the labels of a chunk, for its checked rows and their weights divided by
        the largest.
    """
    if not is_dask(X):
        raise TypeError(
            f"y or sample_weight is a Dask collection, but X is a {type(X).__name__}: expected X "
            "as a Dask array or data frame too, or all of them in memory."
        )
    import dask

    X = in_row_chunks(X)
    columns = FittedColumns.learned(reader, nothing_like(X))
    parts = chunks_of(X)
    others = [chunks_like(array, X, len(parts), name) for name, array in given.items()]
    check = dask.delayed(partial(_checked, columns.names, columns.n_features, codes_of), pure=False)
    raw = [check(i, *part) for i, part in enumerate(zip(parts, *others, strict=True))]
    # The calling process sees only the summaries of the chunks, never their rows.
    scheduler = current_scheduler(X)
    handles = scheduler.start(raw)
    summaries = scheduler.gather(mapped(scheduler, _summary, handles, [totals_of] * len(handles)))
    if not any(summary.n_rows for summary in summaries):
        raise ValueError("X has no rows: expected at least one row.")
    _refuse_mixed_storage(summaries)
    has_weights = given["sample_weight"] is not None
    has_offset = not _validation.is_no_offset(given["offset"])
    return CheckedChunks(scheduler, handles, summaries, has_weights, has_offset)


def _refuse_mixed_storage(summaries: list[Summary]) -> None:
    """Raise ValueError if some chunks of X are sparse and others dense."""
    kinds = [summary.is_sparse for summary in summaries if summary.n_rows]
    if len(set(kinds)) > 1:
        raise ValueError(
            f"X has sparse chunks and dense ones, {sum(kinds)} and {len(kinds) - sum(kinds)}: "
            "expected chunks of one kind."
        )


def _joined_labels(labels: list[Array]) -> Array:
    """Return the labels of all chunks in one array, with repetitions.

    Numbers and strings together become objects, since NumPy would convert the numbers to strings.
    `encode_labels` refuses them afterwards.
    """
    some = [array for array in labels if len(array)]
    is_text = {array.dtype.kind in "US" for array in some}
    return np.concatenate([array.astype(object) for array in some] if len(is_text) > 1 else some)


def _checked(
    names: Array | None,
    n_features: int,
    codes_of: Callable[[Any], tuple[Any, Array]],
    number: int,
    X: Any,
    y: Any,
    weights: Any,
    offset: Any,
) -> CheckedRows:
    """Check a chunk as arrays in memory are checked; errors have the number of the chunk.

    Parameters
    ----------
    names : ndarray of shape (n_features,) or None
        The names of the columns of X.
    n_features : int
    codes_of : callable
        Returns codes and labels of a chunk of y.
    number : int
        The number of the chunk.
    X, y, weights, offset : object
        The chunk of each argument.
    """
    where = f"in chunk {number}"
    if hasattr(X, "columns"):
        if names is not None and list(X.columns) != names.tolist():
            raise ValueError(
                f"X has the columns {list(X.columns)[:5]} {where} (the first five); expected "
                f"{names[:5].tolist()}, as in the frame's metadata."
            )
    elif hasattr(X, "tocsr"):
        X = X.tocsr()
        X = X if sp.issparse(X) else sp.csr_array(X)
    try:
        X = check_array(
            X,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_samples=0,
        )
        X = _validation.canonical(X)
        codes, labels = codes_of(y)
        n = codes.shape[0]
        if weights is not None:
            one = isinstance(weights, Real)
            weights = np.full(n, weights) if one else column(weights, "sample_weight")
            # A chunk may hold zero weights only, which the check of all weights would refuse.
            any_weight = len(weights) and bool(np.any(weights != 0))
            if len(weights):
                ones = weights if any_weight else np.ones(len(weights))
                checked = _validation.check_sample_weight(ones, n)
                weights = checked if any_weight else np.zeros(len(weights))
        offset_names = list(offset.columns) if hasattr(offset, "columns") else None
        offset = None if _validation.is_no_offset(offset) else np.asarray(offset, dtype=np.float64)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{_validation.about_columns(error, X)} ({where})") from error
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


def _label_codes(y: Any) -> tuple[Array, Array]:
    """Return the labels of a chunk of y, and each row's position among them; -1 if missing."""
    codes, labels = pd.factorize(column(y, "y"))
    return codes, np.asarray(labels)


def _label_totals(raw: CheckedRows, weights: Array | None) -> Array:
    """Return the sum of the weights of the rows with each label of a chunk."""
    return np.bincount(raw.codes, weights, len(raw.labels))


def _summary(raw: CheckedRows, totals_of: Callable[[CheckedRows, Array | None], Array]) -> Summary:
    """Return the summary of a chunk; `totals_of` computes sums of weights for its labels."""
    is_sparse = bool(sp.issparse(raw.X))
    top = 1.0
    relative = None
    if raw.weights is not None:
        top = float(raw.weights.max(initial=0.0))
        relative = raw.weights / top if top > 0.0 else raw.weights
    return Summary(
        n_rows=raw.X.shape[0],
        n_features=raw.X.shape[1],
        dtype=raw.X.dtype,
        is_sparse=is_sparse,
        size=int(raw.X.nnz if is_sparse else raw.X.size),
        n_bytes=raw.__sizeof__(),
        labels=raw.labels,
        totals=totals_of(raw, relative),
        top_weight=top,
    )


def _together(full: list[int], summaries: list[Summary], scheduler: Scheduler) -> list[list[int]]:
    """Return runs of neighbouring chunks, each of which one task reads.

    `full` are the numbers of the chunks with rows. A run fits into the memory of a task, and there
    are two or more runs for each thread unless they would be smaller than `SMALL_CHUNK_BYTES`.
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


def _coded(raws: Sequence[CheckedRows], part: ChunkCoding) -> Chunk:
    """Return several chunks as one chunk of rows of a fit."""
    pieces = tuple(part.piece(raw) for raw in raws)
    starts, origins = zip(*part.places, strict=True)
    return Chunk(pieces, starts, origins, part.marks)


def _codes(raw: CheckedRows, classes: Array) -> Array:
    """Return the code of each row's class in a chunk, in the smallest integer type."""
    smallest = np.min_scalar_type(len(classes) - 1)
    return np.searchsorted(classes, raw.labels).astype(smallest)[raw.codes]
