"""Frames of other libraries than pandas: in, as what can be indexed by name; out, as they came."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def native(value: Any, name: str) -> Any:
    """What narwhals wraps, what pyarrow stores in pandas, all else as it is.

    Nothing is imported: a value of a library that is not there does not exist. Metadata of pandas
    in a table of pyarrow do not count: its columns are those that it shows.
    """
    if type(value) is np.ndarray:  # at no cost in small fits
        return value
    if _is(value, "polars", "LazyFrame") or _is(value, "narwhals", "LazyFrame"):
        raise TypeError(f"{name} is a LazyFrame, whose rows are not known yet: collect() it.")
    if _is_narwhals(value):
        value = value.to_native()
    if _is(value, "pyarrow", "Table", "RecordBatch"):
        return value.to_pandas(ignore_metadata=True)
    # By way of NumPy, dictionaries of pyarrow lose which of their entries are missing.
    return value.to_pandas() if _is(value, "pyarrow", "Array", "ChunkedArray") else value


def refuse_masked(value: Any, name: str) -> None:
    """Raise ValueError for a masked array that leaves out entries, which `np.asarray` puts back."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        masked = int(np.ma.getmaskarray(value).sum())
        raise ValueError(
            f"{name} is a masked array with {masked} masked entries, which are missing values: "
            "expected none. Drop these rows, or fill in the entries, for instance by filled()."
        )


def exact_integers(y: Any) -> Any:
    """Integers of lists and of pandas' own dtypes as NumPy's, where float64 would merge some."""
    if isinstance(y, (list, tuple)):
        return integers(y) if _has_large_integers(y) else y
    if hasattr(y, "iloc") and hasattr(y, "columns") and len(y.columns) == 1:
        column = exact_integers(y.iloc[:, 0])
        return column[:, None] if isinstance(column, np.ndarray) else y
    dtype: Any = getattr(y, "dtype", None)
    if not hasattr(dtype, "numpy_dtype") or getattr(dtype, "kind", "") not in tuple("iu"):
        return y
    if not hasattr(y, "isna") or y.isna().any():
        return y
    array = y.to_numpy(dtype=dtype.numpy_dtype)
    return array if len(array) and max(-int(array.min()), int(array.max())) > 1 << 53 else y


def names_of_series(value: Any) -> list[Any] | None:
    """The index of a pandas Series whose entries have names; None for entries in order."""
    if not hasattr(value, "to_numpy") or not hasattr(value, "index") or hasattr(value, "columns"):
        return None
    names = list(value.index)
    return None if names == list(range(len(names))) else names


def integers(values: Iterable[Any]) -> Any:
    """Python's integers as an array: of int64 or, for large ones, uint64; of objects for others."""
    values = list(values)
    dtype: Any = np.int64
    if min(values) < -(1 << 63) or max(values) >= 1 << 63:
        dtype = np.uint64 if min(values) >= 0 and max(values) < 1 << 64 else object
    return np.array(values, dtype=dtype)


def _has_large_integers(values: Any) -> bool:
    """Whether all are integers of which some have no room in int64, so that NumPy makes floats."""
    return all(isinstance(value, (int, np.integer)) for value in values) and (
        max(values, default=0) >= 1 << 63
    )


def numbers_of_frame(frame: Any) -> Any:
    """A frame whose columns are numbers or booleans of pandas' own dtypes as an array, missing
    entries as NaN; all else as it is.
    """
    if not hasattr(frame, "iloc") or not hasattr(frame, "columns"):
        return frame
    if all(isinstance(dtype, np.dtype) for dtype in frame.dtypes) or not all(
        getattr(dtype, "kind", "") in tuple("biuf") for dtype in frame.dtypes
    ):
        return frame
    return frame.to_numpy(dtype=float, na_value=np.nan)


def without_fill(X: Any) -> Any:
    """A frame of sparse columns that leave out another value than zero, with all values; None for
    any other.
    """
    if not hasattr(X, "iloc") or not hasattr(X, "columns"):
        return None
    fills = [getattr(dtype, "fill_value", 0) for dtype in X.dtypes]
    return X.sparse.to_dense() if any(fill != 0 for fill in fills) else None


def columns_in_order(frame: Any, positions: list[int]) -> Any:
    """Some columns of a frame of pandas or polars."""
    return frame.iloc[:, positions] if hasattr(frame, "iloc") else frame[:, positions]


def columns_of_time(X: Any) -> list[str]:
    """Dates, times and durations of polars, which become integers there in whatever unit."""
    if not _is(X, "polars", "DataFrame"):
        return []
    return [f"{name!r} ({dtype})" for name, dtype in X.schema.items() if dtype.is_temporal()]


def is_single_precision(X: Any) -> bool:
    """Whether all columns of a frame of polars are of float32, which scikit-learn does not see."""
    return _is(X, "polars", "DataFrame") and set(X.dtypes) == {sys.modules["polars"].Float32}


def in_library_of(X: Any, table: pd.DataFrame) -> Any:
    """A table, with a row for each of X, in the library that X is of; pandas for arrays.

    Names of columns become strings for any library but pandas.
    """
    if _is_narwhals(X):
        # from_native of the version of narwhals' API that X is of.
        home = sys.modules[type(X).__module__]
        from_native = getattr(home, "from_native", sys.modules["narwhals"].from_native)
        return from_native(in_library_of(X.to_native(), _with_plain_names(table)))
    if _is(X, "polars", "DataFrame"):
        return sys.modules["polars"].DataFrame(_columns(table))
    if _is(X, "pyarrow", "Table", "RecordBatch"):
        return sys.modules["pyarrow"].table(_columns(table))
    return table


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    return {name: column.to_numpy() for name, column in _with_plain_names(table).items()}


def _with_plain_names(table: pd.DataFrame) -> pd.DataFrame:
    names = ["_".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns]
    return table.set_axis(names, axis=1)


def _is_narwhals(value: Any) -> bool:
    return _is(value, "narwhals", "DataFrame", "Series")


def _is(value: Any, library: str, *kinds: str) -> bool:
    """Whether a value is of a class of a library, which is not imported to find that out."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, tuple(getattr(module, kind) for kind in kinds))
