"""BLAS and LAPACK for symmetric float32 matrices, which several threads may call at a time.

The functions of `scipy.linalg.blas` and `lapack` hold the lock of the interpreter while they run.
SciPy also exports the same routines to C (`scipy.linalg.cython_blas` and `cython_lapack`), and
ctypes calls them without the lock. Where their integers are not C's `int`, the functions with the
lock are used instead.

Matrices are Fortran-ordered, and only their lower triangles are read and written.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from scipy.linalg import blas, cython_blas, cython_lapack, lapack

from skmaxent._typing import Array


def add_second_moments(X: Array, B: Array, share: float) -> Array:
    """Return Xᵀ X + share · B in B, (width, width), for the rows X (n_rows, width), C-ordered."""
    routine = _routine(cython_blas, "ssyrk", 10)
    if routine is None:
        return np.asarray(blas.ssyrk(1.0, X.T, beta=share, c=B, lower=1, overwrite_c=1))
    n_rows, width = (ctypes.c_int(size) for size in X.shape)
    one, beta = ctypes.c_float(1.0), ctypes.c_float(share)
    routine(b"L", b"N", *_pointers(width, n_rows, one, X, width, beta, B, width))
    return B


def cholesky(B: Array) -> int:
    """Replace B by its Cholesky factor; return 0, or a positive number if there is none."""
    routine = _routine(cython_lapack, "spotrf", 5)
    if routine is None:
        B[...], failed = lapack.spotrf(B, lower=True, clean=False)
        return int(failed)
    return _factor_or_inverse(routine, B)


def inverse_of_factor(L: Array) -> None:
    """Replace the Cholesky factor L by the inverse of the matrix that was factorised."""
    routine = _routine(cython_lapack, "spotri", 5)
    if routine is None:
        L[...], _ = lapack.spotri(L, lower=True)
    else:
        _factor_or_inverse(routine, L)


def symmetric_product(B: Array, x: Array) -> Array:
    """Return B x for a symmetric B (width, width) and x (width,)."""
    routine = _routine(cython_blas, "ssymv", 10)
    if routine is None:
        return np.asarray(blas.ssymv(1.0, B, x, lower=1))
    x, out = np.ascontiguousarray(x), np.empty_like(x)
    width, step = ctypes.c_int(len(x)), ctypes.c_int(1)
    one, zero = ctypes.c_float(1.0), ctypes.c_float(0.0)
    routine(b"L", *_pointers(width, one, B, width, x, step, zero, out, step))
    return out


def _factor_or_inverse(routine: Any, B: Array) -> int:
    """Call `spotrf` or `spotri`, which replace B, and return the error code."""
    width, failed = ctypes.c_int(len(B)), ctypes.c_int(0)
    routine(b"L", *_pointers(width, B, width, failed))
    return failed.value


def _pointers(*arguments: Any) -> list[Any]:
    """Return pointers to the data of arrays and to numbers of ctypes."""
    return [a.ctypes.data if isinstance(a, np.ndarray) else ctypes.byref(a) for a in arguments]


@functools.cache
def _routine(module: Any, name: str, n_arguments: int) -> Any:
    """Return a routine that SciPy exports to C, or None if its integers are not C's `int`.

    All its arguments are pointers.
    """
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = module.__pyx_capi__[name]
    # The name of a capsule is the signature of its function.
    signature = name_of(capsule)
    if b" int *" not in signature:
        return None
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)
    return prototype(pointer_of(capsule, signature))
