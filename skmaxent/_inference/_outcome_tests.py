"""Restrictions that make outcomes equal: in one feature, or in all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._typing import Array


def equal_over_rows(contrasts: Array, positions: list[int], width: int) -> Array:
    """Return the restrictions that coefficients of some columns are equal in all rows.

    Parameters
    ----------
    contrasts : ndarray of shape (n_rows, n_classes - 1)
        From free to reported coefficients of a column.
    positions : list of int
        Of the columns.
    width : int
        Number of columns.

    Returns
    -------
    ndarray of shape ((n_rows - 1) * len(positions), (n_classes - 1) * width)
    """
    return np.kron(contrasts[1:] - contrasts[0], np.eye(width)[positions])


def equal_slopes(
    classes: list[Any], width: int, *, has_intercept: bool, constant: Array | None
) -> Iterator[tuple[Any, Any, Array]]:
    """Yield all pairs of classes, and the restrictions that their slopes are equal.

    Parameters
    ----------
    classes : list
    width : int
        Number of columns, with that of the intercept.
    has_intercept : bool
        Whether the last column is that of the intercept.
    constant : ndarray of shape (width,) or None
        The combination of the columns that stands for the intercept in models without one.

    Yields
    ------
    first, second : labels
    A : ndarray of shape (n_slopes, (n_classes - 1) * width)
        For the coefficients against the last class, or of the single logit of two classes.
    """
    K = len(classes)
    against_last = np.eye(K, K - 1) if K > 2 else np.array([[0.0], [1.0]])
    slopes = np.asarray(np.eye(width - has_intercept, width))
    if constant is not None:
        slopes = _covariance.complement(constant)
    for i, j in itertools.combinations(range(K), 2):
        yield classes[i], classes[j], np.kron(against_last[i] - against_last[j], slopes)
