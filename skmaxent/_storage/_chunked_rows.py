"""Rows in chunks that stay where Dask keeps them, the workers of a cluster for instance.

What travels for a sum over all rows are the arguments of a kernel and its results, which have the
size of the coefficients and are added up on the way. Samples travel to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._block import Block
from skmaxent._storage._cluster import Scheduler, mapped, reduced
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._storage import Rows, Storage, Tally, WeightSums, joined
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# From rows and their marks to the same rows with other weights, targets and offsets.
View = Callable[[Rows, Array], Rows]

# A sample in memory takes no more.
SAMPLE_BYTES = 1 << 28
# Beside an entry of sparse rows lies its column.
INDEX_BYTES = 8


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows, in one piece or several, and where the first of each is among all rows.

    `origins` are the numbers of the pieces among those that the user gave, `marks` arrays of shape
    (n_marks, rows of a piece) that views go by, none where there are no views.
    """

    pieces: tuple[Rows, ...]
    starts: tuple[int, ...]
    origins: tuple[int, ...]
    marks: tuple[Array, ...] = ()

    def __sizeof__(self) -> int:
        """Bytes of the arrays, by which Dask decides what to put on disk."""
        return nbytes(*(array for rows in self.pieces for array in rows), *self.marks)

    def seen(self, view: View | None) -> Iterator[Rows]:
        """The pieces as a view has them, one at a time."""
        if view is None:
            return iter(self.pieces)
        return (view(rows, marks) for rows, marks in zip(self.pieces, self.marks, strict=True))


def nbytes(*arrays: Any) -> int:
    """Bytes of arrays, dense, CSR or None."""
    dense: list[Any] = [array for array in arrays if array is not None and not sp.issparse(array)]
    for X in arrays:
        if sp.issparse(X):
            dense += [X.data, X.indices, X.indptr]
    return sum(int(array.nbytes) for array in dense)


@dataclass(frozen=True, eq=False)
class Call:
    """A kernel, its arguments, how to combine its results, and how it sees the rows."""

    kernel: Callable[..., Any]
    args: tuple[Any, ...]
    combine: np.ufunc
    n_logits: int
    view: View | None


@dataclass(frozen=True, eq=False)
class OfPieces:
    """A function of a piece and arguments, to be applied to each piece as a view has it."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    view: View | None = None


@dataclass(frozen=True)
class Shape:
    """Of all chunks together: rows of each, columns, and how entries are stored."""

    lengths: tuple[int, ...]
    n_features: int
    dtype: Any
    is_sparse: bool
    size: int
    has_weights: bool
    has_offset: bool
    has_codes: bool = True


class ChunkedRows(Storage):
    """Handles of chunks at a scheduler.

    Parameters
    ----------
    scheduler : Scheduler
    chunks : list of handles of Chunk
    shape : Shape
    n_logits : int
    workers : Workers
        Threads for samples, which are in memory.
    tally : Tally, optional
    view : callable, optional
        What passes, each anew, make of the rows of a piece and their marks; X is not copied.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        chunks: Sequence[Any],
        shape: Shape,
        *,
        n_logits: int,
        workers: Workers,
        tally: Tally | None = None,
        view: View | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._chunks = list(chunks)
        self._shape = shape
        self._workers = workers
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
        return True  # the copy stays with the chunks, which may be on disk

    def affords_without(self, n_columns: int) -> bool:
        return 2 * n_columns > self.n_features

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> tuple[Any, ...]:
        """The order of the sums depends on the chunks only."""
        self.tally.rows += self.n_samples
        call = Call(kernel, args, combine, self.n_logits, self._view)
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

    def take(self, rows: Array, center: Array, scale: Array, dtype: Any) -> Rows:
        cuts = np.searchsorted(rows, self._edges)
        index = [
            rows[low:high] - start
            for low, high, start in zip(cuts, cuts[1:], self._edges, strict=False)
        ]
        some = [i for i, part in enumerate(index) if len(part)]
        calls = [OfPieces(_taken, (index[i], center, scale, dtype), self._view) for i in some]
        handles = mapped(self._scheduler, _taken, [self._chunks[i] for i in some], calls)
        return joined(self._scheduler.gather(handles))

    def where(self, kernel: Callable[..., Array], *args: Any, at_most: int) -> Array | None:
        (count,) = self.map_reduce(_count, kernel, args)
        if count > at_most:
            return None
        call = Call(kernel, args, np.add, self.n_logits, self._view)
        handles = mapped(self._scheduler, _found, self._chunks, [call] * len(self._chunks))
        found = self._scheduler.gather(handles)
        return np.concatenate(
            [rows + start for rows, start in zip(found, self._edges, strict=False)]
        )

    def standardised(
        self, center: Array, scale: Array, n_rows: int | None = None, *, dtype: Any, seed: int = 0
    ) -> RowBlocks:
        """A sample in memory, of no more rows than there is room for."""
        entry = np.dtype(dtype).itemsize + (INDEX_BYTES if self.is_sparse else 0)
        room = int(SAMPLE_BYTES / (entry * max(self.size / self.n_samples, 1.0)))
        limit = max(min(room, self.n_samples), 1)
        n_rows = limit if n_rows is None else min(n_rows, limit)
        rows = self._sample(n_rows, seed, center, scale, dtype)
        return RowBlocks(*rows, n_logits=self.n_logits, workers=self._workers, tally=self.tally)

    def columns(self, index: Array, center: Array, scale: Array) -> ChunkedRows:
        share = len(index) / max(self.n_features, 1)
        size = int(self.size * share) if self.is_sparse else self.n_samples * len(index)
        shape = replace(self._shape, n_features=len(index), size=size)
        return self._copy(OfPieces(_columns, (index, center, scale, self.n_logits)), shape)

    def transformed(
        self,
        kept: Array | None = None,
        shift: Array | None = None,
        exponents: Array | None = None,
    ) -> ChunkedRows:
        shape = self._shape
        if kept is not None:
            size = self.size if self.is_sparse else self.n_samples * len(kept)
            shape = replace(shape, n_features=len(kept), size=size)
        args = (kept, shift, exponents, self.n_logits)
        return self._copy(OfPieces(_transformed, args), shape)

    def _copy(self, call: OfPieces, shape: Shape) -> ChunkedRows:
        handles = mapped(self._scheduler, _rewritten, self._chunks, [call] * len(self._chunks))
        return ChunkedRows(
            self._scheduler,
            handles,
            shape,
            n_logits=self.n_logits,
            workers=self._workers,
            tally=self.tally,
            view=self._view,
        )

    def whole(self) -> Block:
        d = self.n_features
        rows = self.take(np.arange(self.n_samples), np.zeros(d), np.ones(d), self.dtype)
        return RowBlocks(*rows, n_logits=self.n_logits).whole()

    def check_finite(self) -> None:
        call = OfPieces(_not_finite, ())
        handles = mapped(self._scheduler, _of_each, self._chunks, [call] * len(self._chunks))
        found = [message for part in self._scheduler.gather(handles) for message in part if message]
        if found:
            more = f" So do {len(found) - 1} other chunks." if len(found) > 1 else ""
            raise ValueError(found[0] + more)


def _blocks(rows: Rows, n_logits: int) -> RowBlocks:
    return RowBlocks(*rows, n_logits=n_logits)


def _sums_over(chunk: Chunk, call: Call) -> tuple[Array, ...]:
    """The sums of a kernel over the rows of a chunk: one task, one thread."""
    with Workers(), np.errstate(over="ignore", under="ignore", invalid="ignore"):
        parts = [
            _blocks(rows, call.n_logits).map_reduce(call.kernel, *call.args, combine=call.combine)
            for rows in chunk.seen(call.view)
        ]
    return _combined(call.combine, parts)


def _combined(combine: np.ufunc, parts: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    """Results of kernels as one; what tasks gave is left as it is."""
    total = parts[0]
    for part in parts[1:]:
        total = tuple(combine(a, b) for a, b in zip(total, part, strict=True))
    return total


def _of_each(chunk: Chunk, call: OfPieces) -> list[Any]:
    """A function of each piece with its place."""
    places = zip(chunk.pieces, chunk.starts, chunk.origins, strict=True)
    return [call.function(rows, start, origin, *call.args) for rows, start, origin in places]


def _rewritten(chunk: Chunk, call: OfPieces) -> Chunk:
    with Workers():
        return replace(
            chunk, pieces=tuple(call.function(rows, *call.args) for rows in chunk.pieces)
        )


def _taken(chunk: Chunk, call: OfPieces) -> Rows:
    """Rows at increasing positions in the chunk."""
    index, *args = call.args
    parts = []
    for rows, start, stop in _places(chunk, call.view):
        inside = index[np.searchsorted(index, start) : np.searchsorted(index, stop)]
        if len(inside):
            parts.append(_blocks(rows, 1).take(inside - start, *args))
    return joined(parts)


def _found(chunk: Chunk, call: Call) -> Array:
    """Positions in the chunk of rows for which a kernel is true."""
    found = [np.empty(0, dtype=np.intp)]
    for rows, start, _ in _places(chunk, call.view):
        blocks = _blocks(rows, call.n_logits)
        there = blocks.where(call.kernel, *call.args, at_most=blocks.n_samples)
        found.append(np.asarray(there) + start)
    return np.concatenate(found)


def _places(chunk: Chunk, view: View | None) -> Iterator[tuple[Rows, int, int]]:
    """The pieces, with where they begin and end in the chunk."""
    start = 0
    for rows in chunk.seen(view):
        stop = start + rows.X.shape[0]
        yield rows, start, stop
        start = stop


def _columns(rows: Rows, index: Array, center: Array, scale: Array, n_logits: int) -> Rows:
    return rows._replace(X=_blocks(rows, n_logits).columns(index, center, scale).X)


def _transformed(
    rows: Rows,
    kept: Array | None,
    shift: Array | None,
    exponents: Array | None,
    n_logits: int,
) -> Rows:
    return rows._replace(X=_blocks(rows, n_logits).transformed(kept, shift, exponents).X)


def _not_finite(rows: Rows, start: int, origin: int) -> str:
    try:
        _blocks(rows, 1).check_finite()
    except ValueError as error:
        first = str(error).splitlines()[0].rstrip(".")
        return f"{first}: in chunk {origin} of X, rows {start} to {start + rows.X.shape[0] - 1}."
    return ""


def _count(block: Block, kernel: Callable[..., Array], args: tuple[Any, ...]) -> tuple[int]:
    return (int(np.count_nonzero(kernel(block, *args))),)


def _weight_totals(block: Block) -> tuple[float, float, int]:
    s = block.weights_or_ones().astype(float)
    return float(s.sum()), float(s @ s), int(np.count_nonzero(s))


def _least_weight(block: Block) -> tuple[float]:
    s = block.weights_or_ones().astype(float)
    return (float(s[s > 0.0].min(initial=np.inf)),)
