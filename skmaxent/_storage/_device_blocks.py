"""Storage of rows on a device such as a GPU; passes over X are computed there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._storage._block import Block
from skmaxent._storage._device_array import DeviceArray, on_host
from skmaxent._storage._row_blocks import (
    RowBlocks,
    check_finite,
    standardise,
    standardise_columns,
)
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array, KernelResult

# Bytes of a block. On a processor, it is larger than the blocks of `RowBlocks`, because all threads
# of the library share one block. A GPU has more cores to keep busy, and calls take longer.
CPU_BLOCK_BYTES = 1 << 24
DEVICE_BLOCK_BYTES = 1 << 28


class DeviceBlocks(RowBlocks):
    """Rows of X on a device, with their targets, weights and offsets on the same device.

    Kernels run on `DeviceArray`s, one block after another; the array library uses threads of its
    own. The arguments of a kernel are copied to the device once in each pass, and its results,
    which have the size of the coefficients, to host memory. So are samples of rows. Methods without
    a docstring are documented in `Storage`.

    Parameters
    ----------
    X : DeviceArray of shape (n_samples, n_features)
    targets, weights, offset : array or None
        Row arrays as in `RowBlocks`, on the device or on the host.
    workers : Workers, optional
        Threads for samples, which are in host memory.
    **options
        The other parameters of `RowBlocks`.
    """

    X: DeviceArray

    def __init__(
        self,
        X: DeviceArray,
        targets: Any,
        weights: Array | None = None,
        offset: Array | None = None,
        *,
        workers: Workers | None = None,
        **options: Any,
    ) -> None:
        self._place = X.place
        targets = targets.toarray() if sp.issparse(targets) else targets
        super().__init__(X, *self._moved((targets, weights, offset)), **options)
        if workers is not None:
            self.host_workers = workers

    def _moved(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return arguments with NumPy arrays, also within tuples, copied to the device."""

        def moved(arg: Any) -> Any:
            if isinstance(arg, tuple):
                parts = tuple(map(moved, arg))
                return type(arg)(*parts) if hasattr(arg, "_fields") else parts
            if isinstance(arg, np.ndarray):
                return DeviceArray(self._place.put(arg), self._place)
            return arg

        return moved(args)

    @property
    def _block_bytes(self) -> int:
        """The bytes of a block of rows."""
        return CPU_BLOCK_BYTES if self._place.is_cpu else DEVICE_BLOCK_BYTES

    @property
    def is_small(self) -> bool:
        """True, so that blocks run one after the other: the array library has its own threads."""
        return True

    def whole(self) -> Block:
        """Return all rows as a single block in host memory."""
        return on_host_block(super().whole())

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> KernelResult:
        # Results of a block are copied to the host and added in float64, which a device may lack.
        def summed(block: Block, *args: Any) -> KernelResult:
            return tuple(on_host(term) for term in kernel(block, *args))

        return super().map_reduce(summed, *self._moved(args), combine=combine)

    def map_rows(self, kernel: Callable[..., None], out: Any, *args: Any) -> Any:
        return super().map_rows(kernel, out, *self._moved(args))

    def where(self, kernel: Callable[..., Any], *args: Any, at_most: int) -> Array | None:
        xp = self._place.xp
        found: list[Array] = []

        # Positions are copied to the host block by block, except from blocks that have too many.
        def collect(block: Block, *args: Any) -> tuple[int]:
            wanted = kernel(block, *args).array
            number = int(xp.count_nonzero(wanted))
            if number <= at_most:
                found.append(block.start + self._place.fetch(xp.nonzero(wanted)[0]))
            return (number,)

        (number,) = self.map_reduce(collect, *args)
        return np.concatenate(found) if number <= at_most else None

    def take(self, rows: Array, center: Array, scale: Array, dtype: DTypeLike) -> Rows:
        """Return copies of rows in host memory."""
        arrays: tuple[Any, ...] = (self.X, self.targets, self.weights, self.offset)
        some: list[Any] = [None if a is None else a.take(rows).host() for a in arrays]
        sample = RowBlocks(*some, n_logits=self.n_logits)
        return sample.take(slice(None), center, scale, dtype)  # type: ignore[arg-type]

    def standardised(
        self,
        center: Array,
        scale: Array,
        n_rows: int | None = None,
        *,
        dtype: DTypeLike,
        seed: int = 0,
    ) -> RowBlocks:
        """Return a standardised copy: of all rows on the device, of a sample in host memory."""
        if n_rows is not None and n_rows < self.n_samples:
            rows = self._sample(n_rows, seed, center, scale, dtype)
            return RowBlocks(
                *rows, n_logits=self.n_logits, workers=self.host_workers, tally=self.tally
            )
        X = self.map_rows(standardise, np.empty_like(self.X, dtype=dtype), center, scale)
        weights, offset = (
            None if a is None else a.astype(dtype) for a in (self.weights, self.offset)
        )
        return self._with(X, self.targets, weights, offset, block_rows=self.block_rows)

    def columns(self, index: Array, center: Array, scale: Array) -> RowBlocks:
        X = np.empty_like(self.X, shape=(self.n_samples, len(index)), dtype=np.float64)
        self.map_rows(standardise_columns, X, index, center[index], scale[index])
        return self._with(X, self.targets, self.weights, self.offset)

    def check_finite(self) -> None:
        if not bool(self._place.xp.all(self._place.xp.isfinite(self.X.array))):
            check_finite(self.X.host())  # raises with scikit-learn's message


def on_host_block(block: Block) -> Block:
    """Return a copy of the block in which NumPy arrays replace arrays on a device."""
    arrays = {name: on_host(getattr(block, name)) for name in ("X", "targets", "weights")}
    return replace(block, **arrays, offset=on_host(block.offset))
