"""Storage of rows in chunks that Dask holds, for instance on the workers of a cluster.

For a sum over all rows, the kernel (a function of a block of rows) and its arguments are sent to
the chunks. The results, which have the size of the coefficients, are added up in a tree. X itself
never moves; only samples of its rows are sent to the calling process. A handle is an object of a
Dask scheduler that represents a chunk or another result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._cached import cached_property
from skmaxent._storage._block import Block
from skmaxent._storage._cluster import Scheduler, mapped, reduced
from skmaxent._storage._column_transform import ColumnTransform
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._storage import Rows, Storage, Tally, WeightSums, concatenated
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array, DType, KernelResult

# A function of rows and their marks (see `Chunk`) that returns the same X with other weights,
# targets or offsets.
View = Callable[[Rows, Array], Rows]


@dataclass(frozen=True, eq=False)
class Chunk:
    """The rows that one task reads. Each of its pieces is a chunk of the user's collection.

    Attributes
    ----------
    pieces : tuple of Rows
    starts : tuple of int
        Position of the first row of each piece among all rows.
    origins : tuple of int
        Position of each piece among the chunks of the user's collection, for error messages.
    marks : tuple of arrays of shape (n_marks, rows of the piece)
        Small integers for each row, such as fold numbers, from which a view computes weights; empty
        without views.
    """

    pieces: tuple[Rows, ...]
    starts: tuple[int, ...]
    origins: tuple[int, ...]
    marks: tuple[Array, ...] = ()

    def __sizeof__(self) -> int:
        """Return the bytes of the arrays, by which Dask decides what to move to disk."""
        return nbytes(*(array for rows in self.pieces for array in rows), *self.marks)

    def viewed(self, view: View | None) -> Iterator[Rows]:
        """Return an iterator over `view(rows, marks)` of each piece; None changes nothing."""
        if view is None:
            return iter(self.pieces)
        return (view(rows, marks) for rows, marks in zip(self.pieces, self.marks, strict=True))


def nbytes(*arrays: Any) -> int:
    """Return the bytes of dense arrays and CSR matrices together; None counts as zero."""
    dense: list[Any] = [array for array in arrays if array is not None and not sp.issparse(array)]
    for X in arrays:
        if sp.issparse(X):
            dense += [X.data, X.indices, X.indptr]
    return sum(int(array.nbytes) for array in dense)


@dataclass(frozen=True, eq=False)
class KernelCall:
    """A kernel with its arguments, sent to the chunks as one object.

    Attributes
    ----------
    kernel : callable
        A function `kernel(block, *args)`, as in `Storage.map_reduce`.
    args : tuple
    combine : numpy.ufunc
        Combines the results of blocks, for instance by addition.
    n_logits : int
        Number of rows of the coefficients.
    view : View or None
        Applied to the rows before the kernel; None leaves them unchanged.
    """

    kernel: Callable[..., Any]
    args: tuple[Any, ...]
    combine: np.ufunc
    n_logits: int
    view: View | None


@dataclass(frozen=True, eq=False)
class PieceCall:
    """A function with its arguments, to be applied to the pieces of a chunk, sent as one object.

    `view` is applied to the pieces before the function; None leaves them unchanged.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    view: View | None = None


@dataclass(frozen=True)
class ChunksShape:
    """The sizes and the dtype of all chunks together.

    Attributes
    ----------
    lengths : tuple of int
        Number of rows of each chunk.
    n_features : int
    dtype : dtype
    is_sparse : bool
    size : int
        Number of stored entries of X.
    has_weights, has_offset : bool
    has_codes : bool
        Whether targets are class codes rather than shares of classes.
    """

    lengths: tuple[int, ...]
    n_features: int
    dtype: DType
    is_sparse: bool
    size: int
    has_weights: bool
    has_offset: bool
    has_codes: bool = True


class ChunkedRows(Storage):
    """Rows in chunks at a Dask scheduler. This process has only handles of the chunks.

    Methods without a docstring are documented in `Storage`.

    Parameters
    ----------
    scheduler : Scheduler
    chunks : list of handles
        Handles of objects of the class `Chunk`.
    shape : ChunksShape
    n_logits : int
        Number of rows of the coefficients.
    workers : Workers
        Threads for samples, which are in the memory of the calling process.
    tally : Tally, optional
        Counts the rows read, from this storage and from all copies and samples made of it.
    view : View, optional
        Computes the targets, weights and offsets of each piece anew in every pass. Many storages,
        such as the folds of a cross-validation, share one X in this way.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        chunks: Sequence[Any],
        shape: ChunksShape,
        *,
        n_logits: int,
        workers: Workers,
        tally: Tally | None = None,
        view: View | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._chunks = list(chunks)
        self._shape = shape
        self.host_workers = workers
        self._view = view
        self._edges = np.concatenate([[0], np.cumsum(shape.lengths)])
        self.n_samples, self.n_features = int(self._edges[-1]), shape.n_features
        self.dtype, self.is_sparse, self.size = shape.dtype, shape.is_sparse, shape.size
        self.n_logits = n_logits
        self.has_offset, self.has_codes = shape.has_offset, shape.has_codes
        self.tally = Tally() if tally is None else tally

    @property
    def has_room(self) -> bool:
        return False

    def affords_columns(self, n_columns: int) -> bool:
        return True  # the copy stays with the chunks, which Dask may move to disk

    def pays_to_drop(self, constant: Array) -> bool:
        return bool(2 * np.count_nonzero(constant) > self.n_features)

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> KernelResult:
        """Return the sums of a kernel: see `Storage.map_reduce`.

        The order of the sums depends on the chunks only, so results are repeatable.
        """
        self.tally.rows += self.n_samples
        call = KernelCall(kernel, args, combine, self.n_logits, self._view)
        total: tuple[Any, ...] = reduced(
            self._scheduler, _sums_over, self._chunks, call, partial(_combined, combine)
        )
        return total

    @cached_property
    def weight_sums(self) -> WeightSums:
        if not self._shape.has_weights:
            return WeightSums.of(None, self.n_samples)
        total, squares, positive = self.map_reduce(_weight_totals)
        (least,) = self.map_reduce(_least_weight, combine=np.minimum)
        return WeightSums(float(total), float(total**2 / squares), int(positive), float(least))

    def take(self, rows: Array, center: Array, scale: Array, dtype: DTypeLike) -> Rows:
        # The positions of the rows in each chunk, counted from its first row. Chunks without any of
        # the rows are not read.
        cuts = np.searchsorted(rows, self._edges)
        index = [
            rows[low:high] - start
            for low, high, start in zip(cuts, cuts[1:], self._edges, strict=False)
        ]
        used = [i for i, positions in enumerate(index) if len(positions)]
        calls = [PieceCall(_taken, (index[i], center, scale, dtype), self._view) for i in used]
        handles = mapped(self._scheduler, _taken, [self._chunks[i] for i in used], calls)
        return concatenated(self._scheduler.gather(handles))

    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        # A first pass counts the rows, so that no large array of positions is sent.
        (count,) = self.map_reduce(_count, kernel, args)
        if count > at_most:
            return None
        call = KernelCall(kernel, args, np.add, self.n_logits, self._view)
        handles = mapped(self._scheduler, _selected, self._chunks, [call] * len(self._chunks))
        found = self._scheduler.gather(handles)
        return np.concatenate(
            [rows + start for rows, start in zip(found, self._edges, strict=False)]
        )

    def standardised(
        self,
        center: Array,
        scale: Array,
        n_rows: int | None = None,
        *,
        dtype: DTypeLike,
        seed: int = 0,
    ) -> RowBlocks:
        """Return a sample in memory of at most `SAMPLE_BYTES`, also if `n_rows` is None."""
        n_rows = self.n_samples if n_rows is None else min(n_rows, self.n_samples)
        rows = self._sample(n_rows, seed, center, scale, dtype)
        return RowBlocks(*rows, n_logits=self.n_logits, workers=self.host_workers, tally=self.tally)

    def columns(self, index: Array, center: Array, scale: Array) -> ChunkedRows:
        share = len(index) / max(self.n_features, 1)
        size = int(self.size * share) if self.is_sparse else self.n_samples * len(index)
        shape = replace(self._shape, n_features=len(index), size=size)
        return self._copy(PieceCall(_columns, (index, center, scale, self.n_logits)), shape)

    def _with_columns(self, transform: ColumnTransform) -> ChunkedRows:
        shape, kept = self._shape, transform.kept
        # The number of entries of kept sparse columns is not known without a pass; it stays an
        # upper bound.
        if kept is not None:
            size = self.size if self.is_sparse else self.n_samples * len(kept)
            shape = replace(shape, n_features=len(kept), size=size)
        return self._copy(PieceCall(_transformed, (transform,)), shape)

    def _copy(self, call: PieceCall, shape: ChunksShape) -> ChunkedRows:
        """Return a storage of new chunks, whose pieces are the results of a call."""
        handles = mapped(self._scheduler, _rewritten, self._chunks, [call] * len(self._chunks))
        return ChunkedRows(
            self._scheduler,
            handles,
            shape,
            n_logits=self.n_logits,
            workers=self.host_workers,
            tally=self.tally,
            view=self._view,
        )

    def whole(self) -> Block:
        d = self.n_features
        rows = self.take(np.arange(self.n_samples), np.zeros(d), np.ones(d), self.dtype)
        return RowBlocks(*rows, n_logits=self.n_logits).whole()

    def check_finite(self) -> None:
        call = PieceCall(_not_finite, ())
        handles = mapped(self._scheduler, _for_each_piece, self._chunks, [call] * len(self._chunks))
        found = [message for part in self._scheduler.gather(handles) for message in part if message]
        if found:
            more = f" {len(found) - 1} other chunks contain such values too." if found[1:] else ""
            raise ValueError(found[0] + more)


def _blocks(rows: Rows, n_logits: int) -> RowBlocks:
    """Return the storage of rows in the memory of this process, with one thread."""
    return RowBlocks(*rows, n_logits=n_logits)


def _sums_over(chunk: Chunk, call: KernelCall) -> tuple[Array, ...]:
    """Return the sums of a kernel over the rows of a chunk, computed by one thread.

    Dask runs as many such tasks at a time as it has threads.
    """
    with Workers(), np.errstate(over="ignore", under="ignore", invalid="ignore"):
        parts = [
            _blocks(rows, call.n_logits).map_reduce(call.kernel, *call.args, combine=call.combine)
            for rows in chunk.viewed(call.view)
        ]
    return _combined(call.combine, parts)


def _combined(combine: np.ufunc, parts: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    """Return the combined results of several chunks, as new arrays.

    Dask may keep the result of a task and pass it to another task, so that the results must not
    change.
    """
    total = parts[0]
    for part in parts[1:]:
        total = tuple(combine(a, b) for a, b in zip(total, part, strict=True))
    return total


def _for_each_piece(chunk: Chunk, call: PieceCall) -> list[Any]:
    """Return the results of `function(rows, start, origin, *args)`, one for each piece."""
    pieces = zip(chunk.pieces, chunk.starts, chunk.origins, strict=True)
    return [call.function(*piece, *call.args) for piece in pieces]


def _rewritten(chunk: Chunk, call: PieceCall) -> Chunk:
    """Return a chunk whose pieces are the results of `function(rows, *args)`."""
    with Workers():
        return replace(
            chunk, pieces=tuple(call.function(rows, *call.args) for rows in chunk.pieces)
        )


def _taken(chunk: Chunk, call: PieceCall) -> Rows:
    """Return standardised copies of the rows at increasing positions in the chunk.

    `call.args` are the positions and the other arguments of `Storage.take`.
    """
    index, *args = call.args
    parts = []
    for rows, start, stop in _pieces_with_positions(chunk, call.view):
        in_piece = index[np.searchsorted(index, start) : np.searchsorted(index, stop)]
        if len(in_piece):
            parts.append(_blocks(rows, 1).take(in_piece - start, *args))
    return concatenated(parts)


def _selected(chunk: Chunk, call: KernelCall) -> Array:
    """Return the positions in the chunk of the rows that a boolean kernel selects."""
    found = [np.empty(0, dtype=np.intp)]
    for rows, start, _ in _pieces_with_positions(chunk, call.view):
        blocks = _blocks(rows, call.n_logits)
        in_piece = blocks.where(call.kernel, *call.args, at_most=blocks.n_samples)
        found.append(np.asarray(in_piece) + start)
    return np.concatenate(found)


def _pieces_with_positions(chunk: Chunk, view: View | None) -> Iterator[tuple[Rows, int, int]]:
    """Yield the viewed rows of each piece, and its start and stop among the rows of the chunk."""
    start = 0
    for rows in chunk.viewed(view):
        stop = start + rows.X.shape[0]
        yield rows, start, stop
        start = stop


def _columns(rows: Rows, index: Array, center: Array, scale: Array, n_logits: int) -> Rows:
    """Return the rows with a standardised copy of the columns at `index` in place of X."""
    return rows._replace(X=_blocks(rows, n_logits).columns(index, center, scale).X)


def _transformed(rows: Rows, transform: ColumnTransform) -> Rows:
    """Return the rows with a transformed copy of X."""
    return rows._replace(X=transform(rows.X))


def _not_finite(rows: Rows, start: int, origin: int) -> str:
    """Return a message that says where X contains NaN or infinity; an empty text if nowhere."""
    try:
        _blocks(rows, 1).check_finite()
    except ValueError as error:
        first = str(error).splitlines()[0].rstrip(".")
        return f"{first}: in chunk {origin} of X, rows {start} to {start + rows.X.shape[0] - 1}."
    return ""


def _count(block: Block, kernel: Callable[..., Array], args: tuple[Any, ...]) -> tuple[int]:
    """Return the number of rows that a boolean kernel selects in a block (a kernel itself)."""
    return (int(np.count_nonzero(kernel(block, *args))),)


def _weight_totals(block: Block) -> tuple[float, float, int]:
    """Return the sum of the weights s of a block, the sum of s², and the number of positive s."""
    s = block.weights_or_ones().astype(float)
    return float(s.sum()), float(s @ s), int(np.count_nonzero(s))


def _least_weight(block: Block) -> tuple[float]:
    """Return the least positive weight of a block, or infinity if there is none."""
    s = block.weights_or_ones().astype(float)
    return (float(s[s > 0.0].min(initial=np.inf)),)
