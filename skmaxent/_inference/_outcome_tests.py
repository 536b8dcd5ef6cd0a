"""Linear restrictions under which classes have equal coefficients.

A restriction matrix A stands for the hypothesis A f = 0 about the free coefficients f, in the order
class after class and column after column.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._reference import free_to_classes
from skmaxent._typing import Array


def equal_over_rows(contrasts: Array, positions: list[int], width: int) -> Array:
    """Return restrictions under which some columns have equal coefficients in all reported rows.

    Parameters
    ----------
    contrasts : ndarray of shape (n_rows, n_classes - 1)
        The matrix that maps the free coefficients of a column to the reported ones, a row for each
        reported class.
    positions : list of int
        Positions of the columns to restrict.
    width : int
        Number of all columns.

    Returns
    -------
    A : ndarray of shape ((n_rows - 1) * len(positions), (n_classes - 1) * width)
    """
    return np.kron(contrasts[1:] - contrasts[0], np.eye(width)[positions])


def equal_slopes(
    classes: list[Any], width: int, has_intercept: bool, constant: Array | None
) -> Iterator[tuple[Any, Any, Array]]:
    """Yield each pair of classes with restrictions under which the two have equal slopes.

    Parameters
    ----------
    classes : list
    width : int
        Number of columns, including the intercept.
    has_intercept : bool
        Whether the last column is the intercept.
    constant : ndarray of shape (width,) or None
        For models without intercepts, coefficients of a combination of the columns that is
        constant, such as the sum of dummies for all levels. The restrictions leave this combination
        free, because it acts as an intercept.

    Yields
    ------
    first, second : labels
    A : ndarray of shape (n_slopes, (n_classes - 1) * width)
        The free coefficients are as in `Reference.contrasts`.
    """
    of_class = free_to_classes(len(classes))
    slopes = np.asarray(np.eye(width - has_intercept, width))
    if constant is not None:
        slopes = _covariance.complement(constant)
    for i, j in itertools.combinations(range(len(classes)), 2):
        yield classes[i], classes[j], np.kron(of_class[i] - of_class[j], slopes)
