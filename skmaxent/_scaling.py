"""Columns whose squares leave the range of floating point, brought back by powers of two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skmaxent._block import Block
from skmaxent._penalty import STRONGEST, Terms
from skmaxent._storage import Storage

Array = NDArray[Any]


def needs_scaling(blocks: Storage, mean_square: Array) -> bool:
    """Whether a column is so large or so small that its square is not to be relied on."""
    limits = np.finfo(blocks.dtype)
    high = float(limits.max) ** 0.7
    low = float(limits.tiny) ** 0.7
    suspect = ~((mean_square < high) & (mean_square > low))
    if not suspect.any():
        return False
    # Squares may vanish where entries do not; columns of zeros need nothing.
    return bool((mean_square[suspect] != 0.0).any() or _peaks(blocks)[suspect].any())


def column_exponents(blocks: Storage) -> Array:
    """e with max|x_j| in [2^(e-1), 2^e) for each column, 0 for columns without entries."""
    return np.asarray(np.frexp(_peaks(blocks))[1])


def _peaks(blocks: Storage) -> Array:
    (peaks,) = blocks.map_reduce(_block_peaks, combine=np.maximum)
    return np.asarray(peaks)


def _block_peaks(block: Block) -> tuple[Array]:
    return (column_peaks(block.X),)


def column_peaks(X: Any) -> Array:
    """max|x_j| for each column."""
    if sp.issparse(X):
        return np.asarray(abs(X).max(axis=0).toarray().ravel())
    return np.maximum(X.max(axis=0), -X.min(axis=0))


def unscale_coef(coef: Array, exponents: Array, dtype: Any) -> Array:
    """Coefficients of the columns as they were, kept finite in `dtype`."""
    top = float(np.finfo(dtype).max)
    with np.errstate(over="ignore"):
        return np.clip(np.ldexp(coef, -exponents), -top, top)


def scale_terms(terms: Terms, exponents: Array) -> Terms:
    """Penalty and bounds for the coefficients of the scaled columns, kept finite."""
    with np.errstate(over="ignore"):
        scale = np.clip(np.ldexp(1.0, exponents), 1e-150, 1e150)
        scaled = terms.scaled(scale)
    limit = STRONGEST
    return replace(scaled, l1=np.minimum(scaled.l1, limit), ridge=np.minimum(scaled.ridge, limit))
