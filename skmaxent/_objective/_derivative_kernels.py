"""Kernels of the loss and its derivatives: gradients, Hessian products and the Fisher information.

R is the number of logits, of which r are free, and d the number of features. `map_reduce` sums the
results of a kernel over the blocks of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._storage._arrays import full
from skmaxent._typing import Array

# For probabilities above this one, 1 - p is computed from the logits: the difference would lose
# four or more of its digits.
NEARLY_ONE = 1.0 - 1e-4
# Bytes of the temporary array of weighted rows: it fits in the cache, and malloc reuses it.
INFORMATION_BYTES = 1 << 19


def value_and_gradient(context: KernelContext) -> tuple[Any, ...]:
    """Return a block's weighted loss, the scale of its rounding, and its gradient (a kernel).

    The scale of rounding is the weighted sum of |log-normaliser|. The gradient is given by
    Σ g_i x_iᵀ (R, d) and Σ g_i (R,), where g_i is the weighted gradient of the loss of row i with
    respect to its logits.
    """
    block, likelihood, kept = context.block, context.likelihood, context.model.probabilities
    Z = context.logits()
    target = likelihood.target_sum(Z, block.targets)
    normaliser = likelihood.probabilities(Z)
    losses = normaliser - target
    if kept.keeps:
        kept.keep(block, Z)
        Z = Z.copy()
    likelihood.subtract_targets(Z, block.targets)
    if block.weights is None:
        value = losses.sum(dtype=np.float64)
        magnitude = np.abs(normaliser).sum(dtype=np.float64)
    else:
        value = np.dot(losses.astype(np.float64), block.weights)
        magnitude = np.dot(np.abs(normaliser), block.weights)
        Z *= block.weights
    return value, magnitude, block.weighted_sums(Z), Z.sum(axis=1, dtype=np.float64)


def hessian_product(context: KernelContext, coef: Array, intercept: Array) -> tuple[Any, ...]:
    """Return a block's sums Σ g_i x_iᵀ (R, d) and Σ g_i (R,) of a Hessian product (a kernel).

    `coef` (R, d) and `intercept` (R,) are the direction. g_i is the weighted curvature of row i
    times the change of its logits along the direction.
    """
    block = context.block
    changes = block.logits_without_offset(coef, intercept)
    U = context.likelihood.curvature(context.probabilities, changes)
    if block.weights is not None:
        U *= block.weights
    return block.weighted_sums(U), U.sum(axis=1, dtype=np.float64)


def information(
    context: KernelContext, dtype: DTypeLike, nearly_one: float = NEARLY_ONE
) -> tuple[Array]:
    """Return Σ_i s_i H_i ⊗ x̃_i x̃_iᵀ of a block, (r (d + 1), r (d + 1)) (a kernel).

    s_i is the weight of row i, H_i its curvature in the r free logits, and x̃_i its standardised
    features and a one. The products are computed in `dtype` and added up in float64. Complements of
    probabilities above `nearly_one` are computed from logits.
    """
    block, likelihood = context.block, context.likelihood
    P = context.probabilities.astype(np.float64, copy=False)
    r, n_rows = likelihood.n_free, P.shape[1]
    # Where p is nearly one, 1 - p has few correct digits, and the squared features of an outlier
    # would magnify the error. The complement comes from the negative logits instead.
    complements = None
    if not likelihood.is_coupled and n_rows and P.max() > nearly_one:
        complements = -context.logits().astype(np.float64)
        likelihood.probabilities(complements)
    X = context.rows.astype(dtype, copy=False)
    width = len(X)
    H = full((r, width, r, width), 0.0, np.float64, X)
    step = max(256, INFORMATION_BYTES // (8 * r * width))
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        for k in range(r):
            # One large product for all pairs of logit k with the n_pairs logits from k on.
            if complements is None:
                curvature = likelihood.curvature_row(P[:, rows], k)
            else:
                curvature = (P[k, rows] * complements[k, rows])[None]
            if block.weights is not None:
                curvature *= block.weights[rows]
            n_pairs = len(curvature)
            curvature = curvature.astype(dtype, copy=False)
            Y = (curvature[:, None, :] * X[:, rows]).reshape(n_pairs * width, -1)
            H[k : k + n_pairs, :, k, :] += (Y @ X[:, rows].T).reshape(n_pairs, width, width)
    for k in range(r):  # the other triangle, by symmetry
        H[k, :, k + 1 :, :] = H[k + 1 :, :, k, :].transpose(2, 0, 1)
    return (H.reshape(r * width, r * width),)
