"""What rows say of their classes, read without knowledge of a likelihood."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from skmaxent._typing import Array


def are_codes(targets: Array) -> bool:
    """Whether each row has one class."""
    return targets.ndim == 1 and targets.dtype.kind in "iub"


def likeliest(targets: Array) -> Array:
    """Codes of the classes with the largest shares."""
    if are_codes(targets):
        return targets
    if sp.issparse(targets):
        return np.asarray(targets.argmax(axis=1)).ravel()
    return (targets > 0.5 if targets.ndim == 1 else targets.argmax(axis=1)).astype(int)
