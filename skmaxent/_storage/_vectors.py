"""Arithmetic on arrays of coefficients, in Fortran order, that large ones need few passes for."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from skmaxent._typing import Array


def inner(a: Array, b: Array) -> float:
    """Sum of the products of two float64 arrays' entries; views of them where they are in order."""
    return float(np.dot(a.ravel(order="F"), b.ravel(order="F")))


def add_scaled(a: Array, factor: float, b: Array) -> None:
    """a += factor · b for float64 arrays, in one pass where they are in order."""
    if a.flags.f_contiguous and b.flags.f_contiguous:
        blas.daxpy(b.ravel(order="F"), a.ravel(order="F"), a=factor)
    else:
        a += factor * b
