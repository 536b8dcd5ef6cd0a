"""Conversion of users' arguments to numbers, which dates, durations and huge integers are not.

NumPy converts dates and durations to the number of their units, such as days since 1970. So the
result would depend on the unit. `numpy.timedelta64` is a subclass of NumPy's integers, and
therefore an instance of `numbers.Integral`.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from skmaxent._input._interchange import columns_of_time
from skmaxent._typing import Array

# The reason in messages about numbers that `float` does not convert.
TOO_LARGE = f"a number is beyond {np.finfo(np.float64).max:.1e}, the largest of float64"


def is_number(value: Any) -> bool:
    """Return whether a value is a real number within float64, which no duration of NumPy is."""
    if not isinstance(value, Real) or isinstance(value, np.timedelta64):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer, which no duration of NumPy is."""
    return isinstance(value, Integral) and not isinstance(value, np.timedelta64)


def is_finite_number(value: Any) -> bool:
    """Return whether a value is a real number within float64, and neither infinite nor NaN."""
    return is_number(value) and bool(np.isfinite(float(value)))


def as_floats(values: Any) -> Array:
    """Return array-like numbers as an array of float64.

    Raises
    ------
    TypeError
        For dates and durations, and for values that NumPy does not convert.
    ValueError
        For integers that are too large for float64, and for text that is no number.
    """
    found = time_found(values)
    if found is not None:
        raise TypeError(f"found {found}, not numbers")
    try:
        return np.asarray(values, dtype=np.float64)
    except OverflowError as error:
        raise ValueError(TOO_LARGE) from error


def refuse_times(values: Any, name: str) -> None:
    """Raise TypeError if the argument `name` holds dates or durations."""
    found = time_found(values)
    if found is not None:
        raise TypeError(
            f"{name} must hold numbers, found {found}, whose value as numbers would depend on "
            "their unit. Convert them yourself, for instance durations to days by dividing by "
            "np.timedelta64(1, 'D')."
        )


def time_found(values: Any) -> str | None:
    """Return a description of the dates or durations that a value holds, or None without any.

    `values` is an array, a series or frame of any library, a list, or a single value. Objects of
    Python, which NumPy does not convert to numbers, do not count.
    """
    if type(values) is np.ndarray and values.dtype.kind in "fiub":
        return None  # the usual case, which should cost nothing in small fits
    if isinstance(values, (list, tuple)):
        rows = (row if isinstance(row, (list, tuple)) else (row,) for row in values)
        return next(
            (f"values of dtype {entry.dtype}" for row in rows for entry in row if _is_time(entry)),
            None,
        )
    if hasattr(values, "columns"):
        times = columns_of_time(values)
        if times:
            return f"times in the column {times[0]}"
        dtypes = list(getattr(values, "dtypes", ()))
    else:
        dtypes = [getattr(values, "dtype", None)]
    found = [dtype for dtype in dtypes if _is_time_dtype(dtype)]
    if found:
        return f"values of dtype {found[0]}"
    if any(getattr(dtype, "kind", "") == "O" for dtype in dtypes):
        entries = np.asarray(values, dtype=object).ravel()
        return next(
            (f"values of dtype {entry.dtype}" for entry in entries if _is_time(entry)), None
        )
    return None


def _is_time(value: Any) -> bool:
    """Return whether a value is a date or duration of NumPy, or an array of them."""
    return _is_time_dtype(getattr(value, "dtype", None))


def _is_time_dtype(dtype: Any) -> bool:
    """Return whether a dtype of NumPy, pandas or polars is one of dates, times or durations."""
    if getattr(dtype, "kind", "") in ("m", "M"):
        return True
    is_temporal = getattr(dtype, "is_temporal", None)
    return is_temporal is not None and bool(is_temporal())
