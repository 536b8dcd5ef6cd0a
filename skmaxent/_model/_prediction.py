"""Logits of a block of rows, and the functions of logits that are predicted.

Z is an array of logits with the logits of a row along `axis`. Two classes have a single logit.
"""

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

# f(Z, axis): a function of logits Z, which it may overwrite. The logits of a row are along `axis`.
Function = Callable[[Array, int], Array]


def absent_logit(dtype: DTypeLike) -> float:
    """Return the logit of a class without weight in the fit, whose probability is zero in all rows.

    It is close to the most negative number of the dtype, with some room for rounding errors. Other
    logits are larger, since those that overflow are clipped to a quarter of the range.
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
    """Return the logistic function of each logit, which it overwrites."""
    return _expit(Z)


def log_sigmoids(Z: Array, axis: int) -> Array:
    """Return the logarithm of the logistic function of each logit, which it overwrites."""
    return _log_expit(Z)


def normalised_sigmoids(Z: Array, axis: int) -> Array:
    """Return the logistic functions of a row's logits divided by their sum.

    If the sum is 0, the result is equal shares.
    """
    P = _expit(Z)
    total = P.sum(axis=axis, keepdims=True)
    return np.where(total > 0.0, P / np.where(total > 0.0, total, 1.0), 1.0 / P.shape[axis])


def log_normalised_sigmoids(Z: Array, axis: int) -> Array:
    """Return the logarithms of normalised sigmoids; that of zero is replaced by a finite number."""
    P = normalised_sigmoids(Z, axis)
    return np.log(np.maximum(P, float(np.finfo(P.dtype).tiny)))


def most_probable(Z: Array, axis: int) -> Array:
    """Return the position of the largest logit; for a single logit, whether it is positive."""
    return Z.ravel() > 0 if Z.shape[axis] == 1 else Z.argmax(axis=axis)


def evaluate_by_logit(
    block: Block, out: Array, coef: Array, intercept: Array, function: Function
) -> None:
    """Write `function` of the logits (n_logits, rows) of a block to `out` (rows, ...).

    `coef` has the shape (n_logits, n_features), and `intercept` (n_logits,).
    """
    Z = block.logits_with_offset(coef, intercept)
    _replace_overflowed(Z.T, block, coef, intercept)
    out[...] = function(Z, 0).T


def evaluate_by_row(
    block: Block, out: Array, coef: Array, intercept: Array, function: Function
) -> None:
    """Do the same as `evaluate_by_logit` with logits (rows, n_logits).

    This is faster for sparse rows and for many logits.
    """
    shape = block.stop - block.start, len(coef)
    Z = out if out.shape == shape else empty(shape, coef.dtype, coef)
    block.logits_by_row(coef, intercept, Z)
    _replace_overflowed(Z, block, coef, intercept)
    result = function(Z, 1)
    if result is not out:
        out[...] = result


def _replace_overflowed(Z: Array, block: Block, coef: Array, intercept: Array) -> None:
    """Replace rows of the logits Z (rows, n_logits) that overflowed, computed in a wider dtype.

    Raises ValueError if X contains NaN or infinity. The logits of such a row are never all finite,
    so X need not be checked before.
    """
    if np.isfinite(Z.sum()):  # the sum may overflow although no logit does; rows are checked below
        return
    if isinstance(Z, DeviceArray):  # rare, so the block is copied to the host
        exact = Z.host().copy()
        _replace_overflowed(exact, on_host_block(block), coef.host(), intercept.host())
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
    # Logits of classes without weight stay below all others: their intercept is `absent_logit`,
    # which is below -limit.
    least = np.minimum(intercept, -limit)
    Z[rows] = np.nan_to_num(np.clip(exact, least, limit).astype(Z.dtype))
