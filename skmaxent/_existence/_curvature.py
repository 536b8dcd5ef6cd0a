"""Kernels that sum curvatures of the likelihood, or of squared changes of logits, over rows.

A kernel is a function of a block of rows that `Storage.map_reduce` sums. A pair of a row and a
class counts if the direction `pairs.face` does not separate the class from those of the row. See
`_margins` for the arguments `pairs` and `direction`, and `_scaled_rows` for `scales`. R is the
number of logits, and `width` the number of columns, the intercept's among them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from skmaxent._existence._margins import (
    Pairs,
    RawDirection,
    classes_and_pairs,
    host_kernel,
    logit_changes,
    rows_with_weight,
    targets_of,
)
from skmaxent._existence._scaled_rows import (
    ColumnScales,
    dense_pieces,
    largest_entries,
    scaled_margins,
)
from skmaxent._storage._block import Block
from skmaxent._typing import Array, KernelResult


def _curvature_sums(P: Array, X: Array, weights: Array, is_coupled: bool) -> Array:
    """Return Σ w (diag p - p pᵀ) ⊗ x xᵀ over rows, or Σ w diag(p) ⊗ x xᵀ if not `is_coupled`.

    P has the shape (R, rows), X (rows, width), and weights (rows,). The result has the shape
    (R width, R width), with the coefficients of a logit next to each other.
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


@host_kernel
def tied_squares(
    block: Block,
    pairs: Pairs,
    direction: RawDirection,
    limit: float,
    other: RawDirection,
    scales: ColumnScales,
    columns: Array | None,
) -> tuple[Array, Array]:
    """Return the sum of squared changes of the pairs that a direction ties, as a quadratic form.

    A direction ties a pair of a row and a class if it changes the logits of the class and of the
    row's own class nearly alike: the absolute value of the pair's scaled margin along `direction`
    is at most `limit`. For a direction D of scaled columns with changes u of the logits, the form
    is the sum over rows of Σ_k (u_k - ū)², in which k are the tied classes of the row and ū is the
    mean of their u_k. If logits are not coupled, it is the sum of u² over tied pairs. The form is
    zero if and only if D changes no difference of logits of tied pairs.

    Returns
    -------
    ndarray of shape (R n_columns, R n_columns), or 0
        The matrix of the form for the coefficients of `columns`; 0 if `columns` is None.
    ndarray of shape (R, width)
        The product of the matrix for all coefficients with the direction `other`.
    """
    H: Any = 0.0
    product: Any = 0.0
    for some, X in dense_pieces(block, scales):
        tied = np.abs(scaled_margins(some, pairs, direction, scales)) <= limit
        _, counts = classes_and_pairs(some, pairs)
        T = tied * counts
        weights = rows_with_weight(some).astype(float)
        U = logit_changes(some, other) / largest_entries(some, scales)
        if pairs.is_coupled:
            # Squared changes about the mean of the tied classes are `count` times the curvature at
            # equal probabilities P of these classes.
            count = T.sum(axis=0)
            P = T / count
            G = T * (U - (P * U).sum(axis=0))
            weights = weights * count
        else:
            P, G = T, T * U
        product = product + (G * (weights > 0.0)) @ X
        if columns is not None:
            H = H + _curvature_sums(P, X[:, columns], weights, pairs.is_coupled)
    return np.asarray(H), np.asarray(product)


def _probabilities(block: Block, pairs: Pairs, at: RawDirection) -> tuple[Array, Array, Array]:
    """Return probabilities at the coefficients `at`, targets, and which pairs count, all (R, rows).

    The probability of a pair that does not count is zero for softmax, its target for sigmoids.
    """
    _, counts = classes_and_pairs(block, pairs)
    Z = logit_changes(block, at)
    targets = targets_of(block, pairs)
    if block.offset is not None:
        offset = block.offset.T
        Z = Z + (offset if pairs.label is None else offset[[pairs.label]])
    if pairs.is_coupled:
        Z = np.where(counts > 0.0, Z, -np.inf)
        pairs.likelihood.probabilities(Z)
        return Z, targets, counts
    return np.where(counts > 0.0, expit(Z), targets), targets, counts


@host_kernel
def information(
    block: Block, pairs: Pairs, at: RawDirection, scales: ColumnScales, columns: Array
) -> tuple[Array, Array, Any]:
    """Return the information matrix and the gradient of the loss, and the number of pairs.

    The matrix for the coefficients of `columns`, (R n_columns, R n_columns), and the gradient
    (R, width) are taken at the coefficients `at`, with respect to those of scaled columns. The
    number of pairs that count leaves out the pair of a row and its own class.
    """
    H: Any = 0.0
    g: Any = 0.0
    n_pairs = 0.0
    for some, X in dense_pieces(block, scales):
        size = largest_entries(some, scales)
        weights = np.asarray(some.weights_or_ones(), dtype=float)
        P, T, counts = _probabilities(some, pairs, at)
        curvature = P if pairs.is_coupled else P * (1.0 - P)
        H = H + _curvature_sums(curvature, X[:, columns], weights * size**2, pairs.is_coupled)
        g = g + ((P - T) * (weights * size)) @ X
        n_pairs += float(((counts.sum(axis=0) - pairs.is_coupled) * rows_with_weight(some)).sum())
    return np.asarray(H), np.asarray(g), n_pairs


@host_kernel
def largest_change(
    block: Block, pairs: Pairs, at: RawDirection, step: RawDirection
) -> KernelResult:
    """Return the largest u_k - p·u over all rows and the classes k that count, an array of one.

    p are the probabilities of a row at the coefficients `at`, and u the changes of its logits by
    the direction `step`. To first order, q = p - (diag p - p pᵀ) u are the probabilities after a
    change of the logits by -u, and q_k = p_k (1 - (u_k - p·u)). Therefore all q_k are positive if
    and only if the result is below 1. For sigmoids, the condition is that q and 1 - q are positive.
    """
    P, _, counts = _probabilities(block, pairs, at)
    U = logit_changes(block, step)
    if pairs.is_coupled:
        change = np.where(counts > 0.0, U - (P * U).sum(axis=0), 0.0)
    else:
        # q = p - p (1 - p) u is between 0 and 1 where u (1 - p) < 1 and -u p < 1.
        change = np.where(counts > 0.0, np.maximum(U * (1.0 - P), -U * P), 0.0)
    return (change[:, rows_with_weight(block)].max(initial=0.0),)
