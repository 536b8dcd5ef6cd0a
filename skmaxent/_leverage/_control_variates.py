"""Control variates of the random vectors from which leverages are estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# The largest number of bytes of the logits of all rows.
MOST_BYTES = 1 << 27
# The share of the variance that control variates must explain to be used.
LEAST_EXPLAINED = 0.7


@dataclass(frozen=True)
class Control:
    """The control variates of `SampledInverse`.

    Attributes
    ----------
    diagonal : ndarray of shape (n_logits, n_features + 1)
        The diagonal of N, for the summed loss; zero for coefficients that do not vary.
    coefficient : float
        The coefficient of the control variates, from a regression of ‖z_i‖² on z_i · z'_i over
        rows and vectors.
    explained : float
        The share of the variance of ‖z_i‖² that the regression explains.
    """

    diagonal: Array
    coefficient: float
    explained: float

    @classmethod
    def of(cls, point: Point, diagonal: Array, logits: RowLogits) -> Control:
        """Return the control variates for the logits of all vectors."""
        both, squares, products = map(float, point.map_reduce(_regression, logits))
        coefficient = both / products if products > 0.0 else 0.0
        explained = coefficient * both / squares if squares > 0.0 else 0.0
        return cls(diagonal, coefficient, min(explained, 1.0))

    @property
    def is_effective(self) -> bool:
        """Whether the control variates explain at least the share `LEAST_EXPLAINED`."""
        return self.explained >= LEAST_EXPLAINED

    def covariances(self, context: KernelContext, Z: Array, other_Z: Array) -> Array:
        """Return the estimated A_i of the rows of a block, (rows, r, r).

        `Z` and `other_Z` (rows, n_vectors, r) are the z_i and the z'_i.
        """
        products = mean_products(Z, other_Z)
        error = 0.5 * (products + products.transpose(0, 2, 1)) - self._expected(context)
        return np.asarray(mean_products(Z, Z) - self.coefficient * error)

    def _expected(self, context: KernelContext) -> Array:
        """Return (I ⊗ x̃_iᵀ) N (I ⊗ x̃_i) in the free logits of the rows of a block, (rows, r, r)."""
        columns, block = context.model.standardisation, on_host_block(context.block)
        center, scale = on_host(columns.center), on_host(columns.scale)
        N = self.diagonal[:, :-1] / scale**2
        forms = block.quadratic_forms(N) + (N @ center**2 + self.diagonal[:, -1])[:, None]
        if center.any():
            forms -= 2.0 * block.logits_without_offset(N * center, np.zeros(len(N)))
        r = context.likelihood.n_free
        out = np.zeros((forms.shape[1], r, r))
        out[:, np.arange(r), np.arange(r)] = forms[:r].T
        if context.likelihood.is_coupled:
            out += forms[-1][:, None, None]
        return out


@dataclass(frozen=True)
class RowLogits:
    """The free logits of all rows for vectors θ and N g, without offsets.

    Attributes
    ----------
    vectors : tuple of two ndarray of shape (n_drawn, n_logits, n_features + 1)
        The vectors θ and N g.
    known : tuple of two ndarray of shape (n_samples, n_drawn, r), or None
        The logits z_i and z'_i. None, if rows are not in memory or the logits would take more than
        `MOST_BYTES`, computes them whenever they are needed.
    """

    vectors: tuple[Array, Array]
    known: tuple[Array, Array] | None

    @classmethod
    def of(cls, point: Point, *vectors: Array) -> RowLogits:
        """Return the logits for the vectors θ and N g."""
        blocks, r = point.objective.blocks, point.objective.likelihood.n_free
        shape = blocks.n_samples, len(vectors[0]), r
        theta, other = vectors
        if not isinstance(blocks, RowBlocks) or 16 * math.prod(shape) > MOST_BYTES:
            return cls((theta, other), None)
        known = np.empty(shape), np.empty(shape)
        point.map_reduce(_write_logits, theta, known[0])
        point.map_reduce(_write_logits, other, known[1])
        return cls((theta, other), known)

    def of_block(self, context: KernelContext, used: Array | slice) -> list[Array]:
        """Return z and z' of the rows of a block for some of the vectors, (rows, n_vectors, r)."""
        if self.known is None:
            return [free_logits(context, theta[used]) for theta in self.vectors]
        at = slice(context.block.start, context.block.stop)
        return [Z[at][:, used] for Z in self.known]


def _write_logits(context: KernelContext, theta: Array, out: Array) -> tuple[Array]:
    """Write the free logits of the rows of a block to `out` (a kernel with an unused result)."""
    out[context.block.start : context.block.stop] = free_logits(context, theta)
    return (np.zeros(()),)


def _regression(context: KernelContext, logits: RowLogits) -> tuple[Array, ...]:
    """Return sums of squares and products about the means over the vectors (a kernel).

    They are the sums of products of ‖z‖² and z · z', of squares of ‖z‖², and of squares of z · z'.
    """
    Z, other_Z = logits.of_block(context, slice(None))
    squares, products = (np.einsum("imk,imk->im", Z, each) for each in (Z, other_Z))
    squares -= squares.mean(axis=1, keepdims=True)
    products -= products.mean(axis=1, keepdims=True)
    pairs = (squares, products), (squares, squares), (products, products)
    return tuple(np.einsum("im,im->", *pair) for pair in pairs)


def mean_products(U: Array, V: Array) -> Array:
    """Return the means over vectors of u vᵀ for each row, (rows, r, r).

    `U` and `V` have the shape (rows, n_vectors, r).
    """
    return np.asarray(U.transpose(0, 2, 1) @ V / U.shape[1])


def free_logits(context: KernelContext, theta: Array) -> Array:
    """Return the free logits of the rows of a block for several θ, (rows, n_vectors, r).

    `theta` has the shape (n_vectors, n_logits, n_features + 1). There are no offsets.
    """
    columns, (m, R, width) = context.model.standardisation, theta.shape
    coef, intercept = columns.coefficients(theta.reshape(m * R, width))
    dtype = context.block.X.dtype
    Z = context.block.logits_without_offset(
        coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)
    )
    Z = np.asarray(on_host(Z), dtype=float).reshape(m, R, -1)
    if context.likelihood.is_coupled:
        Z = Z[:, :-1] - Z[:, -1:]
    return np.asarray(Z.transpose(2, 0, 1))
