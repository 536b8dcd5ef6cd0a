"""Control variates of the random vectors from which leverages are estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

# The share of the variance that control variates must explain to be used.
LEAST_EXPLAINED = 0.7


@dataclass(frozen=True)
class Control:
    """The control variates of `SampledInverse`.

    Attributes
    ----------
    diagonal : ndarray of shape (n_logits, n_features + 1)
        The diagonal of N, for the summed loss; zero for coefficients that do not vary.
    theta : ndarray of shape (n_vectors, n_logits, n_features + 1)
        The vectors N g.
    coefficient : float
        The coefficient of the control variates, from a regression of ‖z_i‖² on z_i · z'_i over
        rows and vectors.
    explained : float
        The share of the variance of ‖z_i‖² that the regression explains.
    """

    diagonal: Array
    theta: Array
    coefficient: float
    explained: float

    @classmethod
    def of(cls, point: Point, diagonal: Array, theta: Array, solutions: Array) -> Control:
        """Return the control variates for the vectors `solutions`, the θ of `SampledInverse`."""
        both, squares, products = map(float, point.map_reduce(_regression, solutions, theta))
        coefficient = both / products if products > 0.0 else 0.0
        explained = coefficient * both / squares if squares > 0.0 else 0.0
        return cls(diagonal, theta, coefficient, min(explained, 1.0))

    @property
    def is_effective(self) -> bool:
        """Whether the control variates explain at least the share `LEAST_EXPLAINED`."""
        return self.explained >= LEAST_EXPLAINED

    def covariances(self, context: KernelContext, Z: Array) -> Array:
        """Return the estimated A_i of the rows of a block, (rows, r, r).

        `Z` (rows, n_vectors, r) are the z_i.
        """
        products = mean_products(Z, free_logits(context, self.theta))
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


def _regression(context: KernelContext, theta: Array, other: Array) -> tuple[Array, ...]:
    """Return sums of squares and products about the means over the vectors (a kernel).

    With z the logits of `theta` and z' those of `other`, both (n_vectors, n_logits, d + 1), they
    are the sums of products of ‖z‖² and z · z', of squares of ‖z‖², and of squares of z · z'.
    """
    Z, other_Z = free_logits(context, theta), free_logits(context, other)
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
