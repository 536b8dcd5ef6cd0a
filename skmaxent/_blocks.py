"""Row blocks: the only place that knows how X is stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skmaxent import _threads

Array = NDArray[Any]

# Rows of one block: enough work to hide the cost of NumPy calls, few enough for the cache.
BLOCK_BYTES = 1 << 22
# Below this many multiplications a pass is cheaper on one thread.
THREAD_WORK = 2_000_000
# Products of sparse rows with themselves are cheaper than dense ones below this density.
DENSE_ENOUGH = 0.1


@dataclass(frozen=True)
class Block:
    """Some rows of X with what belongs to them. Logits are class-major: (n_logits, rows)."""

    index: int
    start: int
    stop: int
    X: Any
    targets: Array
    weights: Array | None

    @property
    def is_sparse(self) -> bool:
        return bool(sp.issparse(self.X))

    def logits(self, coef: Array, intercept: Array) -> Array:
        """coef @ Xᵀ + intercept, a new array of shape (n_logits, rows)."""
        if self.is_sparse:
            # A sparse row adds whole rows of coefᵀ: those must be contiguous.
            Z = np.ascontiguousarray((self.X @ np.ascontiguousarray(coef.T)).T)
        else:
            Z = coef @ self.X.T
        Z += intercept[:, None]
        return Z

    def gram(self, G: Array) -> Array:
        """G @ X: (n_logits, rows) with (rows, n_features) gives (n_logits, n_features)."""
        if self.is_sparse:
            return np.asarray((self.X.T @ np.ascontiguousarray(G.T)).T)
        return np.asarray(G @ self.X)

    def dense(self) -> Array:
        """The rows as a new float64 array, for kernels that need d × d work anyway."""
        if self.is_sparse:
            return np.asarray(self.X.toarray(), dtype=np.float64)
        return np.array(self.X, dtype=np.float64)

    def augmented(self, center: Array, fit_intercept: bool) -> Array:
        """Columns x̃ = (x - center, 1), or (x, 0) without an intercept: a new float64 array.

        Of shape (n_features + 1, rows), for rows outnumber features.
        """
        out = np.empty((self.X.shape[1] + 1, self.stop - self.start))
        out[:-1] = self.X.toarray().T if self.is_sparse else self.X.T
        out[:-1] -= center[:, None]
        out[-1] = fit_intercept
        return out

    def covariance(self, weights: Array, center: Array) -> Array:
        """Weighted sum of (x - center)(x - center)ᵀ over the rows, in float64."""
        if self.is_sparse and self.X.nnz < DENSE_ENOUGH * self.X.shape[0] * self.X.shape[1]:
            X = self.X.astype(np.float64)
            products = (X.T @ X.multiply(weights[:, None]).tocsr()).toarray()
            sums = np.multiply.outer(center, X.T @ weights)
            return np.asarray(
                products - sums - sums.T + weights.sum() * np.multiply.outer(center, center)
            )
        rows = self.dense()
        rows -= center
        rows *= np.sqrt(weights)[:, None]
        return rows.T @ rows

    def squares(self, weights: Array) -> Array:
        """Weighted sum of squares of each column."""
        if self.is_sparse:
            return np.asarray(self.X.multiply(self.X).T @ weights)
        return np.asarray(weights @ np.square(self.X))

    def weights_or_ones(self) -> Array:
        if self.weights is not None:
            return self.weights
        return np.ones(self.stop - self.start, dtype=self.X.dtype)


class RowBlocks:
    """X (dense or CSR) with its row arrays, seen as blocks of rows.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_samples, n_features), float32 or float64
        Never copied: blocks are views, of a memory map too.
    targets : ndarray of shape (n_samples,)
        Class codes.
    weights : ndarray of shape (n_samples,) or None
        Row weights; None is all ones.
    n_logits : int
        Rows of the coefficients that meet X; sets the size of blocks.
    n_threads : int
        Threads a pass may use.
    """

    def __init__(
        self,
        X: Any,
        targets: Array,
        weights: Array | None = None,
        *,
        n_logits: int,
        n_threads: int = 1,
    ) -> None:
        self.X = X
        self.targets = targets
        self.weights = weights
        self.n_logits = n_logits
        self.n_threads = n_threads
        self.n_samples, self.n_features = X.shape
        self.dtype = X.dtype
        self.is_sparse = bool(sp.issparse(X))
        self.size = X.nnz if self.is_sparse else self.n_samples * self.n_features
        self._groups = 1 if self.is_small else max(n_threads, 1)
        self.block_rows = self._rows_per_block()
        edges = np.linspace(0, self.n_blocks, min(self._groups, self.n_blocks) + 1).astype(int)
        self._ranges = [range(low, high) for low, high in itertools.pairwise(edges.tolist())]

    def _rows_per_block(self) -> int:
        # The bytes of a row are those of X and of three arrays of logits.
        item = self.dtype.itemsize
        row = item * (self.size / max(self.n_samples, 1) + 3 * self.n_logits)
        budget = float(BLOCK_BYTES)
        if self.is_sparse:
            # Each block's gradient has the size of the coefficients: blocks no smaller than it.
            budget = max(budget, 4.0 * item * self.n_logits * self.n_features)
        return max(1, min(int(budget / row), -(-self.n_samples // self._groups)))

    @property
    def work(self) -> int:
        """Multiplications of a product with coefficients."""
        return self.size * self.n_logits

    @property
    def is_small(self) -> bool:
        """Whether a pass is too little work for threads."""
        return self.work < THREAD_WORK

    @property
    def n_blocks(self) -> int:
        return -(-self.n_samples // self.block_rows)

    def whole(self) -> Block:
        """All rows as a single block."""
        return self._rows(0, 0, self.n_samples)

    def _block(self, index: int) -> Block:
        start = index * self.block_rows
        return self._rows(index, start, min(start + self.block_rows, self.n_samples))

    def _rows(self, index: int, start: int, stop: int) -> Block:
        return Block(
            index=index,
            start=start,
            stop=stop,
            X=self.X if stop - start == self.n_samples else self.X[start:stop],
            targets=self.targets[start:stop],
            weights=None if self.weights is None else self.weights[start:stop],
        )

    def map_reduce(
        self, kernel: Callable[..., tuple[Any, ...]], *args: Any, combine: np.ufunc = np.add
    ) -> tuple[Any, ...]:
        """Sum of `kernel(block, *args)`, a tuple of numbers and arrays, over all blocks.

        Sums are float64 and their order depends on `n_threads` only. `combine` is another
        associative ufunc instead of the sum.
        """

        def total(group: range) -> list[Any]:
            sums: list[Any] = []
            for index in group:
                terms = kernel(self._block(index), *args)
                if not sums:
                    sums = [np.array(term, dtype=np.float64) for term in terms]
                else:
                    for accumulated, term in zip(sums, terms, strict=True):
                        combine(accumulated, term, out=accumulated)
            return sums

        if self.n_blocks == 1:
            return tuple(total(self._ranges[0]))
        partial = _threads.run([lambda group=group: total(group) for group in self._ranges])  # type: ignore[misc]
        for other in partial[1:]:
            for accumulated, term in zip(partial[0], other, strict=True):
                combine(accumulated, term, out=accumulated)
        return tuple(partial[0])

    def map_rows(self, kernel: Callable[..., Array], out: Array, *args: Any) -> Array:
        """Write `kernel(block, *args)`, an array with a row for each row, to `out`."""

        def collect(group: range) -> None:
            for index in group:
                block = self._block(index)
                out[block.start : block.stop] = kernel(block, *args)

        _threads.run([lambda group=group: collect(group) for group in self._ranges])  # type: ignore[misc]
        return out

    def sample(self, n_rows: int, seed: int = 0) -> RowBlocks:
        """`n_rows` rows drawn without replacement, in their order; self where that is all."""
        if n_rows >= self.n_samples:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(self.n_samples, n_rows, replace=False))
        return RowBlocks(
            self.X[rows],
            self.targets[rows],
            None if self.weights is None else self.weights[rows],
            n_logits=self.n_logits,
            n_threads=self.n_threads,
        )
