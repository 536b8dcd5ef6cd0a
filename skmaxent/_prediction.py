"""Logits of new rows and what follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skmaxent._blocks import Block, RowBlocks
from skmaxent._softmax import log_softmax
from skmaxent._threads import Workers

Array = NDArray[Any]


def dense_coef(coef: Any) -> Array:
    """Coefficients as an ndarray, sparsified or not."""
    return coef.toarray() if sp.issparse(coef) else np.asarray(coef)


def logits(X: Any, coef: Array, intercept: Array, *, workers: Workers) -> Array:
    """W x + b for every row, (n_samples, R), finite for finite input."""
    dtype = np.result_type(X.dtype, coef.dtype)
    blocks = RowBlocks(X, np.empty(X.shape[0]), n_logits=len(coef), workers=workers)
    out = np.empty((X.shape[0], len(coef)), dtype=dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        blocks.map_rows(_logits, out, coef, intercept)
        if not np.isfinite(out).all():
            _recompute(out, X, coef, intercept)
    return out


def _logits(block: Block, coef: Array, intercept: Array) -> Array:
    return np.asarray(block.X @ coef.T + intercept)


def _recompute(out: Array, X: Any, coef: Array, intercept: Array) -> None:
    """Rows whose logits overflowed, in a wider range and then clipped."""
    rows = np.flatnonzero(~np.isfinite(out).all(axis=1))
    wide = X[rows].toarray() if sp.issparse(X) else X[rows]
    Z = wide.astype(np.longdouble) @ coef.T.astype(np.longdouble) + intercept
    limit = float(np.finfo(out.dtype).max) / 4
    out[rows] = np.nan_to_num(np.clip(Z, -limit, limit).astype(out.dtype))


def probabilities(Z: Array) -> Array:
    """Softmax of logits (n, K) in place, or both classes' probabilities for (n, 1)."""
    with np.errstate(over="ignore", under="ignore"):
        if Z.shape[1] == 1:
            e = np.exp(-np.abs(Z[:, 0]))
            larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
            positive = Z[:, 0] >= 0
            return np.column_stack(
                [np.where(positive, smaller, larger), np.where(positive, larger, smaller)]
            )
        Z -= Z.max(axis=1, keepdims=True)
        np.exp(Z, out=Z)
        Z /= Z.sum(axis=1, keepdims=True)
    return Z


def log_probabilities(Z: Array) -> Array:
    """log softmax of logits, kept finite."""
    if Z.shape[1] == 1:
        z = Z[:, 0]
        with np.errstate(under="ignore"):
            tail = np.log1p(np.exp(-np.abs(z)))
        return np.column_stack([-np.maximum(z, 0) - tail, np.minimum(z, 0) - tail])
    return np.maximum(log_softmax(Z, axis=1), np.finfo(Z.dtype).min)
