"""Logits of new rows and what follows from them, block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, log_expit

from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import DeviceArray
from skmaxent._storage._device_blocks import DeviceBlocks, on_host_block
from skmaxent._storage._place import to_host
from skmaxent._storage._row_blocks import RowBlocks, check_finite
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# From this number of logits on, a row of them is long enough to work along.
MANY_LOGITS = 32
# Intercepts that cancel products of coefficients with columns far from zero: in float32 the
# difference has lost the digits that count.
LARGE_INTERCEPT = 1024.0


def absent_logit(dtype: Any) -> float:
    """The logit of a class without weight in the fit, whose probability is zero for every row.

    It is next to the most negative number, below every other logit; those that overflow are cut off
    at a quarter of it. The rest is for rounding where fits are blended.
    """
    return 0.99 * float(np.finfo(dtype).min)


def dense_coef(coef: Any) -> Array:
    """Coefficients as an ndarray, sparsified, on a device, or neither."""
    if isinstance(coef, np.ndarray):
        return coef
    return np.asarray(coef.toarray() if sp.issparse(coef) else to_host(coef))


@dataclass(frozen=True)
class Linear:
    """Coefficients (R, n_features), intercepts (R,) and the offsets of rows (n, R), if any."""

    coef: Array
    intercept: Array
    offset: Array | None = None


def logits(X: Any, model: Linear, *, workers: Workers) -> Array:
    """W x + b for every row, (n_samples, R), finite for finite input."""
    return _by_rows(X, model, workers, lambda Z, axis: Z, len(model.coef))


def probabilities(X: Any, model: Linear, *, workers: Workers) -> Array:
    """Softmax of the logits, (n_samples, K), or both classes' probabilities for a single logit."""
    return _by_rows(X, model, workers, _softmax, max(2, len(model.coef)))


def log_probabilities(X: Any, model: Linear, *, workers: Workers) -> Array:
    """log softmax of the logits, kept finite."""
    return _by_rows(X, model, workers, log_softmax, max(2, len(model.coef)))


def sigmoids(X: Any, model: Linear, *, workers: Workers) -> Array:
    """The logistic function of each logit, (n_samples, R)."""
    return _by_rows(X, model, workers, lambda Z, axis: _expit(Z), len(model.coef))


def log_sigmoids(X: Any, model: Linear, *, workers: Workers) -> Array:
    """Logarithm of the logistic function of each logit."""
    return _by_rows(X, model, workers, lambda Z, axis: _log_expit(Z), len(model.coef))


def codes(X: Any, model: Linear, *, workers: Workers) -> Array:
    """Position of the most probable class of each row."""
    return _by_rows(X, model, workers, _most_probable, None)


def _expit(Z: Any) -> Any:
    return Z.expit() if isinstance(Z, DeviceArray) else expit(Z, out=Z)


def _log_expit(Z: Any) -> Any:
    return Z.log_expit() if isinstance(Z, DeviceArray) else log_expit(Z, out=Z)


def _softmax(Z: Array, axis: int) -> Array:
    if Z.shape[axis] == 1:
        Z = np.concatenate([-Z, Z], axis=axis)
        return _expit(Z)
    Z -= Z.max(axis=axis, keepdims=True)
    np.exp(Z, out=Z)
    Z *= 1.0 / Z.sum(axis=axis, keepdims=True)
    return Z


def log_softmax(Z: Array, axis: int) -> Array:
    """Of logits, which are written to; a single one has both classes."""
    if Z.shape[axis] == 1:
        Z = np.concatenate([-Z, Z], axis=axis)
        return _log_expit(Z)
    Z -= Z.max(axis=axis, keepdims=True)
    Z -= np.log(np.exp(Z).sum(axis=axis, keepdims=True))
    return np.maximum(Z, np.finfo(Z.dtype).min, out=Z)


def _most_probable(Z: Array, axis: int) -> Array:
    return Z.ravel() > 0 if Z.shape[axis] == 1 else Z.argmax(axis=axis)


def _by_rows(
    X: Any,
    model: Linear,
    workers: Workers,
    finish: Callable[[Array, int], Array],
    n_columns: int | None,
) -> Array:
    """`finish` of the logits of each block, which it may write to, along the axis of classes."""
    dtype = narrow = np.result_type(X.dtype, model.coef.dtype)
    absent = model.intercept < 0.5 * absent_logit(model.intercept.dtype)
    if (
        dtype == np.float32
        and not isinstance(X, DeviceArray)
        and np.abs(model.intercept[~absent]).max(initial=0.0) > LARGE_INTERCEPT
    ):
        dtype = np.dtype(np.float64)
    coef = np.asfortranarray(model.coef, dtype=dtype)
    intercept = model.intercept.astype(dtype, copy=False)
    if dtype != model.intercept.dtype and absent.any():
        intercept = np.where(absent, absent_logit(dtype), intercept).astype(dtype)
    n = X.shape[0]
    shape, kind = ((n,), np.intp) if n_columns is None else ((n, n_columns), dtype)
    out = empty(shape, kind, X)
    stored = DeviceBlocks if isinstance(X, DeviceArray) else RowBlocks
    blocks = stored(X, out, None, model.offset, n_logits=len(coef), workers=workers)
    kernel = _along_rows if blocks.is_sparse or len(coef) >= MANY_LOGITS else _along_columns
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        out = blocks.map_rows(kernel, out, coef, intercept, finish)
    return out if dtype == narrow or out.dtype != dtype else _narrowed(out, narrow)


def _narrowed(out: Array, dtype: Any) -> Array:
    """Results in a narrower type, those beyond its range at its ends."""
    limit = float(np.finfo(dtype).max) / 4
    least = np.where(out < 0.5 * absent_logit(out.dtype), absent_logit(dtype), -limit)
    return np.clip(out, least, limit).astype(dtype)


def _along_columns(
    block: Block, out: Array, coef: Array, intercept: Array, finish: Callable[[Array, int], Array]
) -> None:
    Z = block.logits_at(coef, intercept)
    _recompute_if_needed(Z.T, block, coef, intercept)
    out[...] = finish(Z, 0).T


def _along_rows(
    block: Block, out: Array, coef: Array, intercept: Array, finish: Callable[[Array, int], Array]
) -> None:
    shape = len(block.targets), len(coef)
    Z = out if out.shape == shape else empty(shape, coef.dtype, coef)
    block.logits_by_row(coef, intercept, Z)
    _recompute_if_needed(Z, block, coef, intercept)
    result = finish(Z, 1)
    if result is not out:
        out[...] = result


def _recompute_if_needed(Z: Array, block: Block, coef: Array, intercept: Array) -> None:
    """Logits that overflowed, in a wider range and then clipped; no others are not finite.

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
