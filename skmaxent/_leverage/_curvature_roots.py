"""Roots of the second derivative of each row's loss by its logits."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array


def curvature_root(context: KernelContext) -> Array:
    """Return for each row of a block a matrix F with F Fᵀ = diag p - p pᵀ, (rows, r, r)."""
    if context.likelihood.is_coupled:
        return coupled_root(np.asarray(on_host(context.probabilities), dtype=float).T)
    return independent_root(np.asarray(on_host(context.logits()), dtype=float).T)


def coupled_root(P: Array) -> Array:
    """Return F with F Fᵀ = diag p - p pᵀ, (rows, r, r), for probabilities P (rows, r + 1).

    The r free logits are those of all classes but the last, K, of a softmax, with probabilities p.
    With q = √p and D = diag q, F = D (I - q qᵀ/(1 + √p_K)), because the bracket is the symmetric
    root of I - q qᵀ for ‖q‖² = 1 - p_K.
    """
    q = np.sqrt(P)
    q, last = q[:, :-1], q[:, -1]
    inner = np.eye(q.shape[1]) - (q / (1.0 + last)[:, None])[:, :, None] * q[:, None, :]
    return np.asarray(q[:, :, None] * inner)


def independent_root(Z: Array) -> Array:
    """Return the diagonal matrices of √(p (1 - p)), (rows, r, r), for logits Z (rows, r).

    All logits of independent labels are free.
    """
    out, diagonal = np.zeros((*Z.shape, Z.shape[1])), np.arange(Z.shape[1])
    out[:, diagonal, diagonal] = np.sqrt(expit(Z) * expit(-Z))
    return out
