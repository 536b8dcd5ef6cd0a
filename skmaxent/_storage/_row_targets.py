"""Targets of rows without knowledge of the likelihood: their classes, and their dtype."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._typing import Array

# The largest relative rounding error of 1 - t for targets t in another dtype.
LOST_DIGITS = 1e-3


def are_codes(targets: Array) -> bool:
    """Return whether targets are class codes (n_samples,) rather than shares of the classes."""
    return targets.ndim == 1 and targets.dtype.kind in "iub"


def likeliest(targets: Array) -> Array:
    """Return the code of the class with the largest share of each row, shape (n_samples,).

    `targets` are codes (n_samples,), the share of class 1 of two classes (n_samples,), or a table
    of shares (n_samples, n_classes), dense or CSR.
    """
    if are_codes(targets):
        return targets
    if sp.issparse(targets):
        return np.asarray(targets.argmax(axis=1)).ravel()
    return (targets > 0.5 if targets.ndim == 1 else targets.argmax(axis=1)).astype(int)


def in_dtype(targets: Array, dtype: DTypeLike) -> Array:
    """Return targets between 0 and 1 in another dtype, if 1 - t keeps its digits.

    Codes stay as they are, and so do targets that would lose digits.
    Class weights that differ by many orders of magnitude make targets of counts nearly one. Targets
    of sparse matrices and of arrays on a device are always converted.
    """
    if targets.dtype.kind != "f":
        return targets
    converted = targets.astype(dtype)
    if not isinstance(targets, np.ndarray):
        return converted
    keeps_digits = np.abs(targets - converted) <= LOST_DIGITS * (1.0 - targets)
    return converted if keeps_digits.all() else targets
