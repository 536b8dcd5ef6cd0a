"""Kernels that sum the curvature of the likelihood, or of squared changes, over pairs that count.

The arguments begin like those of the kernels in `_margins`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._existence._margins import Raw, changes, counted, on_host_all, pairs_of, targets_of
from skmaxent._existence._scaled_rows import pieces, row_sizes, scaled_margins
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array


def _curvature_sums(P: Array, X: Array, weights: Array, is_coupled: bool) -> Array:
    """Return Σ w (diag p - p pᵀ) ⊗ x xᵀ, class-major (R width, R width); diag p for sigmoids.

    P has shape (R, rows), X (rows, width), and weights (rows,).
    """
    R, width = len(P), X.shape[1]
    H = np.zeros((R, width, R, width))
    for k in range(R):
        for m in range(k, R):
            if k != m and not is_coupled:
                continue
            spread = P[k] * ((k == m) - P[m]) if is_coupled else P[k]
            H[k, :, m, :] = H[m, :, k, :] = (X * (weights * spread)[:, None]).T @ X
    return H.reshape(R * width, R * width)


def ties(block: Block, *args: Any) -> tuple[Array, Array]:
    """Return the sum of squared changes of the pairs that a direction ties, as a quadratic form.

    A pair is tied where its scaled margin along `direction` is at most `limit`. The first array is
    the matrix (R width, R width) of the form, 0 unless `with_matrix`; the second is its product
    with the direction `other`, (R, width).
    """
    block, args = on_host_block(block), on_host_all(args)
    *pairs, direction, limit, other, center, scale, with_matrix = args
    is_coupled = pairs[0].is_coupled
    H: Any = 0.0
    product: Any = 0.0
    for some, X in pieces(block, center, scale):
        tied = np.abs(scaled_margins(some, (*pairs, direction, center, scale))) <= limit
        _, M = pairs_of(some, *pairs)
        T = tied * M
        weights = counted(some).astype(float)
        U = changes(some, other) / row_sizes(some, center, scale)
        if is_coupled:
            count = T.sum(axis=0)
            P = T / count
            G = T * (U - (P * U).sum(axis=0))
            weights = weights * count
        else:
            P, G = T, T * U
        product = product + (G * (weights > 0.0)) @ X
        if with_matrix:
            H = H + _curvature_sums(P, X, weights, is_coupled)
    return np.asarray(H), np.asarray(product)


def _probabilities(block: Block, pairs: tuple[Any, ...], at: Raw) -> tuple[Array, Array, Array]:
    """Return probabilities, targets and which pairs count, each of shape (R, rows).

    The probability of a pair that does not count is zero for softmax, its target for sigmoids.
    """
    likelihood, label = pairs[:2]
    _, M = pairs_of(block, *pairs)
    Z = changes(block, at)
    targets = targets_of(block, likelihood, label)
    if block.offset is not None:
        offset = block.offset.T
        Z = Z + (offset if label is None else offset[[label]])
    if likelihood.is_coupled:
        Z = np.where(M > 0.0, Z, -np.inf)
        likelihood.probabilities(Z)
        return Z, targets, M
    e = np.exp(-np.abs(Z))
    return np.where(M > 0.0, np.where(Z >= 0.0, 1.0, e) / (1.0 + e), targets), targets, M


def information(block: Block, *args: Any) -> tuple[Array, Array, Any]:
    """Return information and gradient of the loss in scaled columns, and the number of pairs."""
    block, args = on_host_block(block), on_host_all(args)
    *pairs, at, center, scale = args
    is_coupled = pairs[0].is_coupled
    H: Any = 0.0
    g: Any = 0.0
    n_pairs = 0.0
    for some, X in pieces(block, center, scale):
        size = row_sizes(some, center, scale)
        weights = np.asarray(some.weights_or_ones(), dtype=float)
        P, T, M = _probabilities(some, tuple(pairs), at)
        curvature = P if is_coupled else P * (1.0 - P)
        H = H + _curvature_sums(curvature, X, weights * size**2, is_coupled)
        g = g + ((P - T) * (weights * size)) @ X
        n_pairs += float(((M.sum(axis=0) - is_coupled) * counted(some)).sum())
    return np.asarray(H), np.asarray(g), n_pairs


def largest_change(block: Block, *args: Any) -> tuple[Any]:
    """Return the largest u_k - p·u of pairs that count; q = p - (diag p - p pᵀ) u > 0 below 1."""
    block, args = on_host_block(block), on_host_all(args)
    *pairs, at, step = args
    P, _, M = _probabilities(block, tuple(pairs), at)
    U = changes(block, step)
    if pairs[0].is_coupled:
        change = np.where(M > 0.0, U - (P * U).sum(axis=0), 0.0)
    else:
        # q = p - p (1 - p) u is between 0 and 1 where u (1 - p) < 1 and -u p < 1.
        change = np.where(M > 0.0, np.maximum(U * (1.0 - P), -U * P), 0.0)
    return (change[:, counted(block)].max(initial=0.0),)
