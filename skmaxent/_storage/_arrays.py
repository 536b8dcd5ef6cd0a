"""Allocation of arrays on the device of another array, and a check that memory suffices."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._typing import Array

# The distance from 1 to the next larger float64.
EPS = float(np.finfo(float).eps)


def empty(shape: tuple[int, ...], dtype: DTypeLike, like: Any) -> Array:
    """Return an uninitialised array on the device of `like`; in host memory for sparse `like`."""
    # np.empty_like takes several times as long, which is noticeable in small fits.
    if isinstance(like, np.ndarray) or sp.issparse(like):
        return np.empty(shape, dtype)
    return np.empty_like(like, dtype=dtype, shape=shape)


def full(shape: tuple[int, ...], value: float, dtype: DTypeLike, like: Any) -> Array:
    """Return an array filled with `value` on the device of `like`, as `empty` does."""
    if isinstance(like, np.ndarray) or sp.issparse(like):
        return np.full(shape, value, dtype)
    return np.full_like(like, value, dtype=dtype, shape=shape)


@cache
def memory_bytes() -> float:
    """Return the most bytes of memory that this process may use, or infinity if unknown.

    The result is the least of the physical memory and the limits of the container (cgroups).
    """
    limits = [float("inf")]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroups version 2 and 1
        path = Path("/sys/fs/cgroup", name)
        try:
            limits.append(float(path.read_text()))
        except (OSError, ValueError):  # the file does not exist, or says "max"
            continue
    return min(limit for limit in limits if limit > 0.0)


def check_coefficients_fit(n_rows: int, n_features: int) -> None:
    """Raise MemoryError if the coefficients of a fit, (n_rows, n_features), exceed the memory.

    Each fit also has the mean and the scale of each column, so that these count too.
    """
    needed = 8 * (n_rows + 2) * n_features
    if needed > memory_bytes():
        raise MemoryError(
            f"X has {n_features:,} columns, whose {n_rows} x {n_features:,} coefficients, means "
            f"and scales need {needed:,} bytes; this process may use {int(memory_bytes()):,} bytes "
            "of memory. Hash the features to fewer columns, or remove columns without entries."
        )


def zeros_of_paths(
    shape: tuple[int, ...], dtype: DTypeLike, what: str, n_written: int = 0
) -> Array:
    """Return zeros for the coefficients of paths; raise MemoryError if they exceed the memory.

    Pages of zeros that nobody writes to take no memory, so that an array may be larger than the
    memory if most of its coefficients stay zero. The operating system limits the size of such an
    array.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    what : str
        The numbers that `shape` consists of, for the error.
    n_written : int, default=0
        How many of the coefficients will certainly not stay zero.
    """
    size = np.dtype(dtype).itemsize
    try:
        if n_written * size > memory_bytes():
            raise MemoryError
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: more bytes than an index counts
        needed = (n_written or math.prod(shape)) * size
        raise MemoryError(
            f"the coefficients of the paths, {' x '.join(f'{n:,}' for n in shape)} ({what}), need "
            f"{needed:,} bytes; this process may use {int(memory_bytes()):,} bytes of memory. Give "
            "fewer Cs, hash the features to fewer columns, or remove columns without entries."
        ) from error
