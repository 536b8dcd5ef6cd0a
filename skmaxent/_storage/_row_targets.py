"""The class of each row, read from its targets without knowledge of the likelihood."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

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
