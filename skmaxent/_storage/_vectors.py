"""Inner products and scaled sums of Fortran-ordered coefficient arrays, each in one pass."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from skmaxent._typing import Array


def inner(a: Array, b: Array) -> float:
    """Return Σ a_kj b_kj for float64 arrays of one shape; Fortran-ordered ones are not copied."""
    return float(np.dot(a.ravel(order="F"), b.ravel(order="F")))


def add_scaled(a: Array, factor: float, b: Array) -> None:
    """Add factor · b to the float64 array `a` in place, in one pass if both are Fortran-ordered."""
    if a.flags.f_contiguous and b.flags.f_contiguous:
        blas.daxpy(b.ravel(order="F"), a.ravel(order="F"), a=factor)
    else:
        a += factor * b


def largest_in_columns(A: Array) -> Array:
    """Return the largest entry of each column of A (R, width), shape (width,).

    NumPy's own maximum takes ten times as long for a Fortran-ordered array of few rows.
    """
    out = A[0].copy()
    for row in A[1:]:
        np.maximum(out, row, out=out)
    return out
