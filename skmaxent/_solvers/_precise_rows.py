"""Losses of rows, their derivatives and their changes, with small relative errors, in float64.

`columns` has the shape (d + 1, rows) and holds the centred and scaled columns and a row of ones,
for d features. Logits Z, targets T, probabilities P and their complements C = 1 - P have the shape
(R, rows), for R logits. Sums are over rows, and weighted. `in_slices` standardises the rows of a
block and passes them to `loss_derivatives` or `loss_changes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from skmaxent._objective._likelihood import Likelihood
from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array, KernelResult

# If logits change by no more than this, the change of a loss is computed by a formula that does not
# subtract two losses.
SMALL_CHANGE = 1.0
# Bytes of the standardised rows that are processed at a time.
SLICE_BYTES = 1 << 22


def in_slices(block: Block, kernel: Any, *args: Any) -> KernelResult:
    """Return the sums of a kernel over the standardised rows of a block, one slice at a time.

    `args` are the likelihood, the standardisation and θ; see `_in_one_slice`.
    """
    sums: list[Any] = []
    for part in slices(block, block.X.shape[1] + 1):
        terms = _in_one_slice(part, kernel, *args)
        sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else list(terms)
    return tuple(sums)


def slices(block: Block, width: int) -> Iterator[Block]:
    """Yield parts of a block, such that arrays of their rows with `width` floats are small."""
    n, step = block.X.shape[0], max(1, SLICE_BYTES // (8 * width))
    for start in range(0, n, step):
        yield _part(block, start, min(start + step, n))


def _part(block: Block, start: int, stop: int) -> Block:
    """Return the rows from `start` to `stop` of a block."""
    rows = slice(start, stop)
    return replace(
        block,
        start=block.start + start,
        stop=block.start + stop,
        X=block.X[rows],
        targets=block.targets[rows],
        weights=None if block.weights is None else block.weights[rows],
        offset=None if block.offset is None else block.offset[rows],
    )


def _in_one_slice(
    block: Block,
    kernel: Any,
    likelihood: Likelihood,
    standardisation: Standardisation,
    *thetas: Array,
) -> KernelResult:
    """Return the results of a kernel for the standardised rows of a small block, in float64.

    The kernel gets logits for each θ (R, d + 1) in `thetas`. Those of the first include offsets.
    """
    columns = standardisation.rows(block)
    columns[:-1] *= standardisation.varying[:, None]
    targets = likelihood.dense_targets(block.targets)
    weights = block.weights_or_ones().astype(np.float64)
    offset = 0.0 if block.offset is None else block.offset.T.astype(np.float64)
    first = thetas[0] @ columns + offset
    others = [theta @ columns for theta in thetas[1:]]
    return tuple(kernel(likelihood, columns, targets, weights, first, *others))


class _Rows(NamedTuple):
    """Probabilities P, complements C = 1 - P and losses of rows, with small relative errors."""

    P: Array
    C: Array
    losses: Array


def loss_of_rows(likelihood: Likelihood, Z: Array, T: Array) -> _Rows:
    """Return probabilities and losses for logits Z and targets T, both (R, rows)."""
    if not likelihood.is_coupled:
        e = np.exp(-np.abs(Z))
        up = Z >= 0.0
        P, C = np.where(up, 1.0, e) / (1.0 + e), np.where(up, e, 1.0) / (1.0 + e)
        log = np.log1p(e)
        losses = T * (log + np.maximum(-Z, 0.0)) + (1.0 - T) * (log + np.maximum(Z, 0.0))
        return _Rows(P, C, losses.sum(axis=0))
    # The largest term of the normaliser is 1. The others are summed apart from it, because adding
    # them to 1 would lose their digits.
    column = np.arange(Z.shape[1])
    top = Z.argmax(axis=0)
    Z = Z - Z[top, column]
    P = np.exp(Z)
    P[top, column] = 0.0
    rest = P.sum(axis=0)
    losses = np.log1p(rest) - np.einsum("km,km->m", T, Z)
    total = 1.0 + rest
    P[top, column] = 1.0
    P /= total
    C = 1.0 - P
    C[top, column] = rest / total
    return _Rows(P, C, losses)


def curvature_roots(likelihood: Likelihood, P: Array, C: Array) -> Array:
    """Return a root of the curvature of the loss of each row, (R, R, rows).

    The curvature of a row by its logits is rootᵀ root: diag p - p pᵀ for coupled logits. P and C
    (R, rows) are those of `loss_of_rows`.
    """
    k = np.arange(len(P))
    root = np.zeros((len(P), *P.shape))
    if likelihood.is_coupled:
        root -= np.sqrt(P)[:, None] * P
        root[k, k] = np.sqrt(P) * C
    else:
        root[k, k] = np.sqrt(P * C)
    return root


def importance(P: Array, C: Array, residual: Array) -> Array:
    """Return what rows count for the scales of columns, (rows,), apart from their weights.

    This is their curvature, and their residual if it is larger: a row with a probability of 1 for
    a wrong class has no curvature, but steps along its columns must not be far too long.
    P, C (R, rows) are those of `loss_of_rows`, and `residual` is P minus targets.
    """
    return np.asarray(np.maximum(P * C, np.abs(residual)).sum(axis=0))


def loss_derivatives(
    likelihood: Likelihood, columns: Array, T: Array, weights: Array, Z: Array
) -> KernelResult:
    """Return the weighted sums over rows that `PreciseEvaluation` holds, without the ridge.

    They are the loss, its absolute terms, the gradient, the Hessian, the bound of its diagonal, the
    squares of the columns weighted by `importance`, and the curvature. `weights` (rows,) are those
    of the rows.
    """
    P, C, losses = loss_of_rows(likelihood, Z, T)
    residual = P * (1.0 - T) - T * C
    magnitude = np.abs(residual * Z).sum(axis=0)
    r, width = likelihood.n_free, len(columns)
    H = np.zeros((r, width, r, width))
    for k in range(r):
        for m in range(k, r if likelihood.is_coupled else k + 1):
            curvature = P[k] * (C[k] if m == k else -P[m]) * weights
            H[k, :, m, :] = (columns * curvature) @ columns.T
            H[m, :, k, :] = H[k, :, m, :].T
    if not columns[-1].any():  # no intercept
        H[np.arange(r), -1, np.arange(r), -1] = 1.0
    squares = np.square(columns)
    used = squares @ (importance(P, C, residual) * weights)
    residual *= weights
    most = 0.5 * (squares @ weights)
    curvature = np.einsum("km,km,m->", P, C, weights)
    return losses @ weights, magnitude @ weights, residual @ columns.T, H, most, used, curvature


def loss_changes(
    likelihood: Likelihood, columns: Array, T: Array, weights: Array, Z: Array, D: Array
) -> KernelResult:
    """Return the change of the loss if Z changes by D (R, rows), and the sum of absolute terms."""
    P, C, losses = loss_of_rows(likelihood, Z, T)
    direct = loss_of_rows(likelihood, Z + D, T).losses - losses
    if likelihood.is_coupled:
        # log Σ_k p_k exp(d_k) - t·d, where t·d is subtracted from each d_k first.
        relative = D - np.einsum("km,km->m", T, D)
        small = np.abs(relative).max(axis=0) <= SMALL_CHANGE
        np.clip(relative, -SMALL_CHANGE, SMALL_CHANGE, out=relative)
        change = np.log1p(np.einsum("km,km->m", P, np.expm1(relative)))
    else:
        small = np.abs(D).max(axis=0) <= SMALL_CHANGE
        d = np.clip(D, -SMALL_CHANGE, SMALL_CHANGE)
        change = T * np.log1p(C * np.expm1(-d)) + (1.0 - T) * np.log1p(P * np.expm1(d))
        change = change.sum(axis=0)
    change = np.where(small, change, direct)
    return change @ weights, np.abs(change) @ weights


def _raw_rows(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> tuple[Array, Array, Array, Array]:
    """Return the dense rows of a block, their P and C (see `loss_of_rows`), and their weights.

    Probabilities are those at coefficients `coef` (R, d) and intercepts (R,) of the columns of X.
    """
    X = block.dense()
    Z = coef @ X.T + intercept[:, None]
    if block.offset is not None:
        Z += block.offset.T
    P, C, _ = loss_of_rows(likelihood, Z, np.zeros_like(Z))
    return X, P, C, block.weights_or_ones()


def curvature_sums(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> KernelResult:
    """Return the sum of rows weighted by their curvature, (d,), and the sum of these weights."""
    X, P, C, weights = _raw_rows(block, likelihood, coef, intercept)
    weights = np.einsum("km,km->m", P, C) * weights
    return weights @ X, weights.sum()


def squared_deviations(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array, mean: Array, scale: Array
) -> KernelResult:
    """Return the sums of ((x - mean)/scale)² weighted by `importance`, (d,), and of the weights."""
    X, P, C, weights = _raw_rows(block, likelihood, coef, intercept)
    targets = likelihood.dense_targets(block.targets)
    weights = importance(P, C, P * (1.0 - targets) - targets * C) * weights
    return weights @ np.square((X - mean) / scale), weights.sum()
