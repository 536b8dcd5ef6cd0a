"""Warnings that point at the user's line, however deep in this package they are found."""

from __future__ import annotations

import sys
import warnings

# Prefixes of modules whose lines are not the user's. A call of a method that scikit-learn decorated
# passes through sklearn.callback, and the entry of a context manager passes through contextlib.
INTERNAL = "skmaxent.", "sklearn.callback.", "contextlib."

# The most names, values or rows that a warning or an error lists.
MOST_LISTED = 10


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that names the user's line, the one that called into this package."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(INTERNAL):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
