"""Logits of a block of rows, and the functions of them that are predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike
from scipy.special import expit, log_expit

from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import DeviceArray
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._storage._place import to_host
from skmaxent._storage._row_blocks import check_finite
from skmaxent._typing import Array

Function = Callable[[Array, int], Array]


def absent_logit(dtype: DTypeLike) -> float:
    """The logit of a class without weight in the fit, whose probability is zero for every row.

    It is next to the most negative number, below every other logit; those that overflow are cut off
    at a quarter of it. The rest is for rounding where fits are blended.
    """
    return 0.99 * float(np.finfo(dtype).min)


def dense_coef(coef: Any) -> Array:
    """Return coefficients, which may be sparse or on a device, as an ndarray."""
    if isinstance(coef, np.ndarray):
        return coef
    return np.asarray(coef.toarray() if sp.issparse(coef) else to_host(coef))


def _expit(Z: Any) -> Any:
    """Return the logistic function of Z, which is overwritten."""
    return Z.expit() if isinstance(Z, DeviceArray) else expit(Z, out=Z)


def _log_expit(Z: Any) -> Any:
    """Return the logarithm of the logistic function of Z, which is overwritten."""
    return Z.log_expit() if isinstance(Z, DeviceArray) else log_expit(Z, out=Z)


def unchanged(Z: Array, axis: int) -> Array:
    """Return the logits unchanged."""
    return Z


def softmax(Z: Array, axis: int) -> Array:
    """Return the softmax of logits, which it overwrites; a single logit gives both classes."""
    if Z.shape[axis] == 1:
        Z = np.concatenate([-Z, Z], axis=axis)
        return _expit(Z)
    Z -= Z.max(axis=axis, keepdims=True)
    np.exp(Z, out=Z)
    Z *= 1.0 / Z.sum(axis=axis, keepdims=True)
    return Z


def log_softmax(Z: Array, axis: int) -> Array:
    """Return the log-softmax of logits, which it overwrites; a single logit gives both classes."""
    if Z.shape[axis] == 1:
        Z = np.concatenate([-Z, Z], axis=axis)
        return _log_expit(Z)
    Z -= Z.max(axis=axis, keepdims=True)
    Z -= np.log(np.exp(Z).sum(axis=axis, keepdims=True))
    return np.maximum(Z, np.finfo(Z.dtype).min, out=Z)


def sigmoids(Z: Array, axis: int) -> Array:
    """The logistic function of each logit."""
    return _expit(Z)


def log_sigmoids(Z: Array, axis: int) -> Array:
    """Return logarithms of the logistic function of each logit."""
    return _log_expit(Z)


def normalised_sigmoids(Z: Array, axis: int) -> Array:
    """The logistic functions of the logits over their sum; all alike where that is zero."""
    P = _expit(Z)
    total = P.sum(axis=axis, keepdims=True)
    return np.where(total > 0.0, P / np.where(total > 0.0, total, 1.0), 1.0 / P.shape[axis])


def log_normalised_sigmoids(Z: Array, axis: int) -> Array:
    """Return the logarithms of normalised sigmoids, kept finite."""
    P = normalised_sigmoids(Z, axis)
    return np.log(np.maximum(P, float(np.finfo(P.dtype).tiny)))


def most_probable(Z: Array, axis: int) -> Array:
    """The position of the largest logit; for a single one 1 where it is positive."""
    return Z.ravel() > 0 if Z.shape[axis] == 1 else Z.argmax(axis=axis)


def along_columns(
    block: Block, out: Array, coef: Array, intercept: Array, finish: Function
) -> None:
    """Write a function of the logits of a block to `out`, a row of it for each row of the block.

    `finish` is that function: of logits, which it may write to, and of their axis. Logits are
    finite where X is.
    """
    Z = block.logits_at(coef, intercept)
    _recompute_if_needed(Z.T, block, coef, intercept)
    out[...] = finish(Z, 0).T


def along_rows(block: Block, out: Array, coef: Array, intercept: Array, finish: Function) -> None:
    """The same for logits stored row by row, as is better for sparse rows and many logits."""
    shape = block.stop - block.start, len(coef)
    Z = out if out.shape == shape else empty(shape, coef.dtype, coef)
    block.logits_by_row(coef, intercept, Z)
    _recompute_if_needed(Z, block, coef, intercept)
    result = finish(Z, 1)
    if result is not out:
        out[...] = result


def _recompute_if_needed(Z: Array, block: Block, coef: Array, intercept: Array) -> None:
    """Return finite logits: those that overflowed are computed again in a wider type.

    A product with NaN or infinity is never finite: so that X need not be looked at before.
    """
    if np.isfinite(Z.sum()):  # a sum may overflow where no logit does: then look at them
        return
    if isinstance(Z, DeviceArray):  # rare: this block alone, on the host
        exact = Z.host().copy()
        _recompute_if_needed(exact, on_host_block(block), coef.host(), intercept.host())
        Z[...] = exact
        return
    rows = np.flatnonzero(~np.isfinite(Z).all(axis=1))
    if not len(rows):
        return
    X = block.X
    check_finite(X)
    wide = X[rows].toarray() if sp.issparse(X) else X[rows]
    exact = wide.astype(np.longdouble) @ coef.T.astype(np.longdouble) + intercept
    if block.offset is not None:
        exact += block.offset[rows]
    limit = float(np.finfo(Z.dtype).max) / 4
    # Logits of classes without weight stay below all others.
    least = np.minimum(intercept, -limit)
    Z[rows] = np.nan_to_num(np.clip(exact, least, limit).astype(Z.dtype))
