"""Targets of rows without knowledge of the likelihood: their classes, and their dtype."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._typing import Array


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
    """Return targets in another dtype if that changes no target, else as they are.

    Rounded shares of classes do not sum to one, so that the loss would depend on the sum of the
    logits, along which coefficients of separated classes then diverge. Class weights that differ by
    many orders of magnitude make targets of counts nearly one, for which 1 - t would lose its
    digits. Targets of sparse matrices and of arrays on a device are always converted.
    """
    if targets.dtype.kind != "f":
        return targets
    converted = targets.astype(dtype)
    if not isinstance(targets, np.ndarray):
        return converted
    return converted if np.array_equal(converted, targets) else targets
