"""Allocation of arrays on the device of another array, and a check that memory suffices."""

from __future__ import annotations

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
    """Raise MemoryError if float64 coefficients (n_rows, n_features) exceed the memory."""
    needed = 8 * n_rows * n_features
    if needed > memory_bytes():
        raise MemoryError(
            f"X has {n_features:,} columns, whose {n_rows} x {n_features:,} coefficients need "
            f"{needed:,} bytes; this process may use {int(memory_bytes()):,} bytes of memory. Hash "
            "the features to fewer columns, or remove columns without entries."
        )
