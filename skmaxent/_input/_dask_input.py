"""Dask arrays and data frames to chunks that a fit can use, checked where they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skmaxent._input import _validation
from skmaxent._input._interchange import native
from skmaxent._input._targets import Given, Outcomes, outcomes_of, positions
from skmaxent._storage._chunked_rows import Chunk, ChunkedRows, ChunksShape, nbytes
from skmaxent._storage._cluster import Scheduler, current_scheduler, has_chunks, is_dask, mapped
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# A chunk costs a task a pass: neighbours are one up to this size, or if there are two a thread.
SMALL_CHUNK = 1 << 23


@dataclass(frozen=True, eq=False)
class Raw:
    """Rows of a chunk as they came, checked.

    `codes` are positions in the chunk's own `labels`, or say of each label whether rows have it;
    `offset_names` are those of the columns of a frame of offsets.
    """

    X: Any
    codes: Array
    labels: Array
    weights: Array | None
    offset: Array | None
    offset_names: list[Any] | None

    def __sizeof__(self) -> int:
        """Bytes of the arrays, by which Dask decides what to put on disk."""
        return nbytes(self.X, self.codes, self.weights, self.offset)


@dataclass(frozen=True)
class Summary:
    """What is to be known of a chunk; `totals` by label are of weights over the largest of them."""

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
class Kept:
    """Chunks of rows at a scheduler, and what is known of each."""

    scheduler: Scheduler
    handles: list[Any]
    summaries: list[Summary]
    has_weights: bool
    has_offset: bool

    @property
    def n_features(self) -> int:
        return self.summaries[0].n_features

    @property
    def dtype(self) -> Any:
        return np.result_type(*(summary.dtype for summary in self.summaries))

    @cached_property
    def top_weight(self) -> float:
        """The largest weight of all; raises ValueError where that is zero."""
        top = max(summary.top_weight for summary in self.summaries)
        if not top > 0.0:
            raise ValueError(
                "Sample weights must contain at least one non-zero number: every sample_weight is "
                "0."
            )
        return top

    def coded(
        self, piece: Callable[[Raw], Rows], marks: Array | None = None
    ) -> tuple[list[Any], ChunksShape]:
        """Handles of the chunks as rows of a fit, with marks (n_marks, n_samples) where given."""
        lengths = [summary.n_rows for summary in self.summaries]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        full = [i for i, length in enumerate(lengths) if length]
        groups = _together(full, self.summaries, self.scheduler)

        def part(group: list[int]) -> Part:
            rows = [slice(starts[i], starts[i + 1]) for i in group]
            own = () if marks is None else tuple(marks[:, some].copy() for some in rows)
            return Part(piece, [(int(starts[i]), i) for i in group], own)

        chunks = mapped(
            self.scheduler,
            _coded,
            [[self.handles[i] for i in group] for group in groups],
            [part(group) for group in groups],
        )
        # Raw rows are no longer needed where the chunks are.
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
class Labelled(Kept):
    """Chunks of rows of one class each; `totals` are weights by class over `top_weight`."""

    classes: Array
    totals: Array

    def outcomes(
        self, totals: Array, class_weight: Array | None, smoothing: float
    ) -> tuple[Outcomes, Array | None]:
        """What some or all rows say, with such totals, and the factors of their weights by class.

        Factors are at most 1: the scale has the rest.
        """
        weighted = totals if class_weight is None else totals * class_weight
        active = np.flatnonzero(weighted > _validation.NEGLIGIBLE_WEIGHT * weighted.max())
        top = 1.0 if class_weight is None else float(class_weight.max())
        scale = min(max(self.top_weight * top, 1e-300), 1e300)
        factors = None if class_weight is None else class_weight / top
        return outcomes_of(active, self.classes, totals, scale, smoothing), factors

    def given(self, class_weight: Array | None, smoothing: float) -> Given:
        """With class weights and smoothed targets."""
        outcomes, factors = self.outcomes(self.totals, class_weight, smoothing)
        coding = Coding(
            self.classes,
            outcomes.active,
            self.top_weight if self.has_weights else None,
            factors,
            self.dtype,
        )
        has_weights = self.has_weights or factors is not None
        # No function of its own: a frame in the traceback of an error would keep what it encloses.
        stored = partial(self._stored, coding, outcomes.model.n_logits, has_weights)
        return Given(self.classes, self.n_features, outcomes, stored)

    def _stored(
        self, coding: Coding, n_logits: int, has_weights: bool, workers: Workers
    ) -> ChunkedRows:
        chunks, shape = self.coded(coding)
        shape = replace(shape, has_weights=has_weights)
        return ChunkedRows(self.scheduler, chunks, shape, n_logits=n_logits, workers=workers)

    def codes(self) -> Array:
        """Of the classes of all rows, in memory: a byte a row for up to 256 classes."""
        parts = mapped(self.scheduler, _codes, self.handles, [self.classes] * len(self.handles))
        return np.concatenate(self.scheduler.gather(parts))

    def marked(self, marks: Array) -> tuple[list[Any], ChunksShape]:
        """Handles of chunks for weighted views: with codes of all classes, marks (n_marks, n)."""
        top_weight = self.top_weight if self.has_weights else None
        every = np.arange(len(self.classes))
        coding = Coding(self.classes, every, top_weight, None, self.dtype)
        chunks, shape = self.coded(coding, marks)
        return chunks, replace(shape, has_weights=True)


@dataclass(frozen=True)
class Coding:
    """How labels and weights become targets and weights of a fit."""

    classes: Array
    active: Array
    top_weight: float | None
    class_weight: Array | None
    dtype: Any

    def __call__(self, raw: Raw) -> Rows:
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
class Part:
    """Makes rows of a fit, and the first row, number and marks of each chunk that it is for."""

    piece: Callable[[Raw], Rows]
    places: list[tuple[int, int]]
    marks: tuple[Array, ...]


def read(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    *,
    classes: Array | None = None,
    reset: bool = True,
) -> Labelled:
    """Rows with a label each.

    Raises ValueError or TypeError for what a fit of arrays in memory would refuse.
    """
    given = {"y": y, "sample_weight": sample_weight, "offset": offset}
    kept = keep(estimator, X, given, _label_codes, _label_totals, reset=reset)
    labels = _joined_labels([summary.labels for summary in kept.summaries])
    if classes is None:
        classes, _ = _validation.encode_labels(labels)
    else:
        _validation.refuse_unknown(labels, classes, "y")
    totals = np.zeros(len(classes))
    for summary in kept.summaries:
        position = np.searchsorted(classes, summary.labels)
        np.add.at(totals, position, summary.totals * (summary.top_weight / kept.top_weight))
    return Labelled(
        kept.scheduler,
        kept.handles,
        kept.summaries,
        kept.has_weights,
        kept.has_offset,
        classes,
        totals,
    )


def keep(
    estimator: Any,
    X: Any,
    given: dict[str, Any],
    codes_of: Callable[[Any], tuple[Any, Array]],
    totals_of: Callable[[Raw, Array | None], Array],
    *,
    reset: bool = True,
) -> Kept:
    """Chunks checked and kept by the scheduler that Dask would use for X.

    `codes_of` makes codes and labels of a chunk of y, `totals_of` the totals of relative weights.
    """
    if not is_dask(X):
        raise TypeError(
            f"y or sample_weight is a Dask collection, but X is a {type(X).__name__}: expected X "
            "as a Dask array or data frame too, or all of them in memory."
        )
    import dask

    X = in_row_chunks(X)
    validate_data(estimator, nothing_like(X), reset=reset, skip_check_array=True)
    parts = chunks_of(X)
    others = [chunks_like(array, X, len(parts), name) for name, array in given.items()]
    names = getattr(estimator, "feature_names_in_", None)
    n_features = estimator.n_features_in_
    check = dask.delayed(partial(_checked, names, n_features, codes_of), pure=False)
    raw = [check(i, *part) for i, part in enumerate(zip(parts, *others, strict=True))]
    scheduler = current_scheduler(X)
    handles = scheduler.start(raw)
    summaries = scheduler.gather(mapped(scheduler, _summary, handles, [totals_of] * len(handles)))
    if not any(summary.n_rows for summary in summaries):
        raise ValueError("X has no rows: expected at least one row.")
    _refuse_mixed_storage(summaries)
    has_weights = given["sample_weight"] is not None
    has_offset = not _validation.is_no_offset(given["offset"])
    return Kept(scheduler, handles, summaries, has_weights, has_offset)


def _refuse_mixed_storage(summaries: list[Summary]) -> None:
    kinds = [summary.is_sparse for summary in summaries if summary.n_rows]
    if len(set(kinds)) > 1:
        raise ValueError(
            f"X has sparse chunks and dense ones, {sum(kinds)} and {len(kinds) - sum(kinds)}: "
            "expected chunks of one kind."
        )


def _joined_labels(labels: list[Array]) -> Array:
    """Labels of all chunks: numbers and strings stay what they are, so that they are refused."""
    some = [array for array in labels if len(array)]
    is_text = {array.dtype.kind in "US" for array in some}
    return np.concatenate([array.astype(object) for array in some] if len(is_text) > 1 else some)


def is_frame(X: Any) -> bool:
    """Whether it is a data frame of Dask."""
    return hasattr(X, "columns") and hasattr(X, "_meta")


def nothing_like(X: Any) -> Any:
    """What has X's columns, or their number, for scikit-learn's checks of names."""
    return X._meta if is_frame(X) else X


def in_row_chunks(X: Any) -> Any:
    """X in chunks of whole rows."""
    _refuse_without_chunks(X, "X")
    if getattr(X, "ndim", None) != 2:
        raise ValueError(
            f"Expected 2D array, got {getattr(X, 'ndim', 0)}D array instead: X must be a Dask "
            "array of shape (n_samples, n_features), or a Dask data frame."
        )
    if is_frame(X):
        return X
    if np.isnan(X.shape[1]):
        raise ValueError(
            f"X has the shape {X.shape}, with a number of columns that is not known; expected "
            "(n_samples, n_features), of which n_samples may be unknown."
        )
    return X if X.numblocks[1] == 1 else X.rechunk({1: -1})


def _refuse_without_chunks(array: Any, name: str) -> None:
    if not has_chunks(array):
        raise TypeError(
            f"{name} is a {type(array).__name__}; expected a Dask array or data frame, for "
            "instance by dask.array.from_delayed."
        )


def chunks_of(X: Any) -> list[Any]:
    """Delayed chunks of rows.

    Optimised for itself, each of X and y may have other chunks than it says (files of parquet are
    read several at a time where few columns are wanted), and compute what they share twice.
    """
    return list(np.asarray(X.to_delayed(optimize_graph=False), dtype=object).ravel())


def _lengths(X: Any) -> tuple[float, ...]:
    """Rows of each chunk, NaN where that is not known."""
    return (np.nan,) * X.npartitions if is_frame(X) or not hasattr(X, "chunks") else X.chunks[0]


def chunks_like(array: Any, X: Any, n_chunks: int, name: str) -> list[Any]:
    """The same rows of another array, for each chunk of X; what is no array goes to each."""
    if array is None or isinstance(array, Real):
        return [array] * n_chunks
    lengths = _lengths(X)
    is_known = not np.isnan(lengths).any()
    if not is_dask(array):
        if not is_known:
            raise TypeError(
                f"{name} is in memory, but the lengths of X's chunks are not known: expected "
                f"{name} as a Dask collection with the chunks of X, or X.compute_chunk_sizes()."
            )
        whole = native(array, name)
        whole = whole if hasattr(whole, "columns") or hasattr(whole, "iloc") else np.asarray(whole)
        if not getattr(whole, "ndim", 1):
            raise TypeError(f"{name} is a {type(array).__name__}; expected an array or data frame.")
        _refuse_other_length(len(whole), sum(lengths), name)
        edges = np.concatenate([[0], np.cumsum(lengths)]).astype(int)
        by_position = getattr(whole, "iloc", whole)  # pandas may slice by the index
        return [by_position[a:b] for a, b in itertools.pairwise(edges)]
    _refuse_without_chunks(array, name)
    own = _lengths(array) if hasattr(array, "npartitions") else ()
    if is_known and own and not np.isnan(own).any():
        _refuse_other_length(sum(own), sum(lengths), name)
        if tuple(own) != tuple(lengths):
            array = array.rechunk({0: tuple(lengths)})
    if getattr(array, "ndim", 1) == 2 and not is_frame(array) and array.numblocks[1] > 1:
        array = array.rechunk({1: -1})
    parts = chunks_of(array)
    if len(parts) != n_chunks:
        raise ValueError(
            f"{name} has {len(parts)} chunks and X has {n_chunks}, of unknown lengths: expected "
            "the same chunks. Take both as columns of one data frame (of which `values` may have "
            "other chunks), or compute_chunk_sizes() and rechunk one like the other."
        )
    return parts


def _refuse_other_length(found: float, expected: float, name: str) -> None:
    if found != expected:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {expected}, {name} "
            f"has {found}."
        )


def _checked(
    names: Array | None,
    n_features: int,
    codes_of: Callable[[Any], tuple[Any, Array]],
    number: int,
    X: Any,
    y: Any,
    weights: Any,
    offset: Any,
) -> Raw:
    """A chunk by the rules for arrays in memory; what it lacks is said with its number."""
    where = f"in chunk {number}"
    if hasattr(X, "columns"):
        if names is not None and list(X.columns) != names.tolist():
            raise ValueError(f"X has other columns {where}: {list(X.columns)[:5]}.")
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
            f"X has {X.shape[1]} columns {where}; expected {n_features}, as X itself says."
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
    return Raw(X, codes, labels, weights, offset, offset_names)


def _label_codes(y: Any) -> tuple[Array, Array]:
    codes, labels = pd.factorize(column(y, "y"))
    return codes, np.asarray(labels)


def _label_totals(raw: Raw, weights: Array | None) -> Array:
    return np.bincount(raw.codes, weights, len(raw.labels))


def column(array: Any, name: str) -> Array:
    """A number or a label for each row: an array, a series or a frame of one column."""
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        instead = ": tables of counts and sets of labels are for y in memory" if name == "y" else ""
        raise ValueError(f"{name} has the shape {array.shape}; expected (n_samples,){instead}.")
    return array


def _summary(raw: Raw, totals_of: Callable[[Raw, Array | None], Array]) -> Summary:
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
    """Runs of neighbours that a task has room for, two for each thread or more."""
    total = sum(summaries[i].n_bytes for i in full)
    room = min(scheduler.task_bytes(total), max(total // (2 * scheduler.n_threads), SMALL_CHUNK))
    groups: list[list[int]] = []
    size = 0
    for i in full:
        size += summaries[i].n_bytes
        if not groups or size > room:
            groups.append([])
            size = summaries[i].n_bytes
        groups[-1].append(i)
    return groups


def _coded(raws: Sequence[Raw], part: Part) -> Chunk:
    """Chunks as rows of a fit."""
    pieces = tuple(part.piece(raw) for raw in raws)
    starts, origins = zip(*part.places, strict=True)
    return Chunk(pieces, starts, origins, part.marks)


def _codes(raw: Raw, classes: Array) -> Array:
    smallest = np.min_scalar_type(len(classes) - 1)
    return np.searchsorted(classes, raw.labels).astype(smallest)[raw.codes]
