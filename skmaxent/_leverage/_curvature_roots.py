"""Roots of the curvature of each row's loss."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array


def curvature_root(context: KernelContext) -> Array:
    """Return F with F Fᵀ = diag p - p pᵀ in the free logits, (rows, r, r).

    With D = diag(√p) and q = √p of the free classes, F = D (I - q qᵀ/(1 + √p_K)): the bracket is
    the symmetric root of I - q qᵀ, since ‖q‖² = 1 - p_K.
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
