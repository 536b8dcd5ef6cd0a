"""Roots of the second derivative of each row's loss by its logits."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array


def curvature_root(context: KernelContext) -> Array:
    """Return for each row of a block a matrix F with F Fᵀ = diag p - p pᵀ, (rows, r, r).

    The r free logits are those of all classes but the last, K, of a softmax, with probabilities p.
    With q = √p and D = diag q, F = D (I - q qᵀ/(1 + √p_K)), because the bracket is the symmetric
    root of I - q qᵀ for ‖q‖² = 1 - p_K. All logits of independent labels are free, and F is the
    diagonal matrix of √(p (1 - p)).
    """
    if not context.likelihood.is_coupled:
        Z = np.asarray(on_host(context.logits()), dtype=float)
        out = np.zeros((Z.shape[1], len(Z), len(Z)))
        diagonal = np.arange(len(Z))
        out[:, diagonal, diagonal] = np.sqrt(expit(Z) * expit(-Z)).T
        return out
    q = np.sqrt(np.asarray(on_host(context.probabilities), dtype=float)).T
    q, last = q[:, :-1], q[:, -1]
    inner = np.eye(q.shape[1]) - (q / (1.0 + last)[:, None])[:, :, None] * q[:, None, :]
    return np.asarray(q[:, :, None] * inner)
