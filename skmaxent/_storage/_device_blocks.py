"""Rows on a device, seen as blocks: what is done for all of them is done there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._block import Block
from skmaxent._storage._device_array import DeviceArray, on_host
from skmaxent._storage._row_blocks import (
    RowBlocks,
    _standardise,
    _standardise_columns,
    check_finite,
)
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# Rows of one block: enough work for the threads of a processor; other devices have more cores to
# keep busy and calls that cost more.
CPU_BLOCK_BYTES = 1 << 24
BLOCK_BYTES = 1 << 28


class DeviceBlocks(RowBlocks):
    """X on a device with its row arrays there, seen as blocks of rows.

    Kernels run there, on `DeviceArray`s, one block after another; the threads are the library's.
    Their arguments are moved there once a pass, and their sums, of the size of coefficients, to the
    host. Samples of rows are made on the host: `workers` are for those.
    """

    X: DeviceArray

    def __init__(
        self,
        X: DeviceArray,
        targets: Any,
        weights: Any = None,
        offset: Any = None,
        *,
        workers: Workers | None = None,
        **options: Any,
    ) -> None:
        self._place = X.place
        self._host_workers = workers
        targets = targets.toarray() if sp.issparse(targets) else targets
        super().__init__(X, *self._moved((targets, weights, offset)), **options)

    def _moved(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments with the arrays in them on the device."""

        def moved(arg: Any) -> Any:
            if isinstance(arg, tuple):
                return tuple(map(moved, arg))
            if isinstance(arg, np.ndarray):
                return DeviceArray(self._place.put(arg), self._place)
            return arg

        return moved(args)

    @property
    def _block_bytes(self) -> int:
        return CPU_BLOCK_BYTES if self._place.is_cpu else BLOCK_BYTES

    @property
    def is_small(self) -> bool:
        """The threads are the library's."""
        return True

    def whole(self) -> Block:
        """All rows, on the host."""
        return on_host_block(super().whole())

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> tuple[Any, ...]:
        def summed(block: Block, *args: Any) -> tuple[Any, ...]:
            return tuple(on_host(term) for term in kernel(block, *args))

        return super().map_reduce(summed, *self._moved(args), combine=combine)

    def map_rows(self, kernel: Callable[..., None], out: Any, *args: Any) -> Any:
        return super().map_rows(kernel, out, *self._moved(args))

    def where(self, kernel: Callable[..., Any], *args: Any, at_most: int) -> Array | None:
        xp = self._place.xp
        found: list[Array] = []

        def collect(block: Block, *args: Any) -> tuple[int]:
            wanted = kernel(block, *args).array
            number = int(xp.count_nonzero(wanted))
            if number <= at_most:
                found.append(block.start + self._place.fetch(xp.nonzero(wanted)[0]))
            return (number,)

        (number,) = self.map_reduce(collect, *args)
        return np.concatenate(found) if number <= at_most else None

    def take(self, rows: Array, center: Array, scale: Array, dtype: Any) -> Rows:
        """Rows on the host."""
        arrays: tuple[Any, ...] = (self.X, self.targets, self.weights, self.offset)
        some: list[Any] = [None if a is None else a.take(rows).host() for a in arrays]
        sample = RowBlocks(*some, n_logits=self.n_logits)
        return sample.take(slice(None), center, scale, dtype)  # type: ignore[arg-type]

    def standardised(
        self, center: Array, scale: Array, n_rows: int | None = None, *, dtype: Any, seed: int = 0
    ) -> RowBlocks:
        """All rows are copied where they are; a sample is on the host."""
        if n_rows is not None and n_rows < self.n_samples:
            rows = self._sample(n_rows, seed, center, scale, dtype)
            return RowBlocks(
                *rows, n_logits=self.n_logits, workers=self._host_workers, tally=self.tally
            )
        X = self.map_rows(_standardise, np.empty_like(self.X, dtype=dtype), center, scale)
        weights, offset = (
            None if a is None else a.astype(dtype) for a in (self.weights, self.offset)
        )
        return self._with(X, self.targets, weights, offset, block_rows=self.block_rows)

    def columns(self, index: Array, center: Array, scale: Array) -> RowBlocks:
        X = np.empty_like(self.X, shape=(self.n_samples, len(index)), dtype=np.float64)
        self.map_rows(_standardise_columns, X, index, center[index], scale[index])
        return self._with(X, self.targets, self.weights, self.offset)

    def transformed(
        self,
        kept: Array | None = None,
        shift: Array | None = None,
        exponents: Array | None = None,
    ) -> RowBlocks:
        X = self.X
        if kept is not None:
            X = X[:, DeviceArray(self._place.put(kept), self._place)]
        if shift is not None:
            X = X - shift.astype(self.dtype)
        if exponents is not None:
            # Half of them twice: a power of two may be none that is a number.
            half = -exponents // 2
            X = X * np.ldexp(1.0, half).astype(self.dtype)
            X *= np.ldexp(1.0, -exponents - half).astype(self.dtype)
        return self._with(X, self.targets, self.weights, self.offset)

    def check_finite(self) -> None:
        if not bool(self._place.xp.all(self._place.xp.isfinite(self.X.array))):
            check_finite(self.X.host())  # it says what it found

    def _with(
        self, X: Any, targets: Any, weights: Any, offset: Any, block_rows: int | None = None
    ) -> RowBlocks:
        return DeviceBlocks(
            X,
            targets,
            weights,
            offset,
            n_logits=self.n_logits,
            workers=self._host_workers,
            block_rows=block_rows,
            tally=self.tally,
        )


def on_host_block(block: Block) -> Block:
    """A block with NumPy's arrays."""
    arrays = {name: on_host(getattr(block, name)) for name in ("X", "targets", "weights")}
    return replace(block, **arrays, offset=on_host(block.offset))
