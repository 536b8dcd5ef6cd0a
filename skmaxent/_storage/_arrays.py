"""New arrays where another array is, and whether there is memory for them."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._typing import Array


def empty(shape: tuple[int, ...], dtype: Any, like: Any) -> Array:
    # NumPy's own empty_like takes several times as long, which small fits would notice.
    if isinstance(like, np.ndarray) or sp.issparse(like):
        return np.empty(shape, dtype)
    return np.empty_like(like, dtype=dtype, shape=shape)


def full(shape: tuple[int, ...], value: float, dtype: Any, like: Any) -> Array:
    if isinstance(like, np.ndarray) or sp.issparse(like):
        return np.full(shape, value, dtype)
    return np.full_like(like, value, dtype=dtype, shape=shape)


@cache
def memory_bytes() -> float:
    """Bytes of memory that this process may have at most; infinite where that is not known."""
    limits = [float("inf")]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of a container
        path = Path("/sys/fs/cgroup", name)
        try:
            limits.append(float(path.read_text()))
        except (OSError, ValueError):  # there is none, or it is "max"
            continue
    return min(limit for limit in limits if limit > 0.0)


def check_coefficients_fit(n_rows: int, n_features: int) -> None:
    """Raise MemoryError where coefficients (n_rows, n_features) are more than all memory."""
    needed = 8 * n_rows * n_features
    if needed > memory_bytes():
        raise MemoryError(
            f"X has {n_features:,} columns, whose {n_rows} x {n_features:,} coefficients need "
            f"{needed:,} bytes; there are {int(memory_bytes()):,} bytes of memory. Hash to fewer "
            "columns, or leave out those without entries."
        )
