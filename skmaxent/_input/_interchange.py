"""Data frames of many libraries and sparse matrices: conversion of arguments and of results.

Whether a value belongs to a library is checked without importing the library: if nobody has
imported it, no value can belong to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse import _sparsetools

if TYPE_CHECKING:
    import pandas as pd


def native(value: Any, name: str) -> Any:
    """Return a narwhals object unwrapped, and tables and arrays of pyarrow as pandas objects.

    Other objects are returned unchanged. Metadata in a table of pyarrow about the index of a pandas
    frame are ignored, which would make a column an index. `name` is that of the argument.

    Raises
    ------
    TypeError
        For lazy frames.
    """
    if type(value) is np.ndarray:  # the usual case, which should cost nothing in small fits
        return value
    if _is(value, "polars", "LazyFrame") or _is(value, "narwhals", "LazyFrame"):
        raise TypeError(
            f"{name} is a LazyFrame, expected a data frame whose rows are in memory: collect() it."
        )
    if _is_narwhals(value):
        value = value.to_native()
    if _is(value, "pyarrow", "Table", "RecordBatch"):
        return value.to_pandas(ignore_metadata=True)
    # A conversion of pyarrow's dictionaries through NumPy would lose which entries are missing.
    return value.to_pandas() if _is(value, "pyarrow", "Array", "ChunkedArray") else value


def refuse_masked(value: Any, name: str) -> None:
    """Raise ValueError for a masked array with masked entries, which `np.asarray` would unmask."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        masked = int(np.ma.getmaskarray(value).sum())
        raise ValueError(
            f"{name} is a masked array with {masked} masked entries, which are missing values: "
            "expected none. Drop these rows, or fill in the entries, for instance by filled()."
        )


def exact_integers(y: Any) -> Any:
    """Return large integers of lists and of pandas' nullable dtypes as an ndarray of integers.

    NumPy and scikit-learn would convert them to float64, which merges integers beyond 2^53. Other
    values are returned unchanged.
    """
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
    """Return the index of a pandas Series as a list of names.

    The result is None for the default index 0, 1, ..., and for other objects.
    """
    if not hasattr(value, "to_numpy") or not hasattr(value, "index") or hasattr(value, "columns"):
        return None
    names = list(value.index)
    return None if names == list(range(len(names))) else names


def integers(values: Iterable[Any]) -> Any:
    """Return Python integers as an array of int64, of uint64 if they need it, else of objects."""
    values = list(values)
    dtype: Any = np.int64
    if min(values) < -(1 << 63) or max(values) >= 1 << 63:
        dtype = np.uint64 if min(values) >= 0 and max(values) < 1 << 64 else object
    return np.array(values, dtype=dtype)


def _has_large_integers(values: Any) -> bool:
    """Return whether all values are integers and some exceed int64; NumPy would make floats."""
    # NumPy's differences of times are integers for `isinstance`.
    return all(
        isinstance(value, (int, np.integer)) and not isinstance(value, np.timedelta64)
        for value in values
    ) and (max(values, default=0) >= 1 << 63)


def numbers_of_frame(frame: Any) -> Any:
    """Return a frame with pandas' nullable dtypes of numbers or booleans as a float array.

    Missing entries become NaN. Other objects are returned unchanged.
    """
    if not hasattr(frame, "iloc") or not hasattr(frame, "columns"):
        return frame
    if all(isinstance(dtype, np.dtype) for dtype in frame.dtypes) or not all(
        getattr(dtype, "kind", "") in tuple("biuf") for dtype in frame.dtypes
    ):
        return frame
    return frame.to_numpy(dtype=float, na_value=np.nan)


def without_fill(X: Any) -> Any:
    """Return a pandas frame made dense if its sparse columns omit another value than zero.

    The result is None for all other objects.
    """
    if not hasattr(X, "iloc") or not hasattr(X, "columns"):
        return None
    fills = [getattr(dtype, "fill_value", 0) for dtype in X.dtypes]
    return X.sparse.to_dense() if any(fill != 0 for fill in fills) else None


def columns_in_order(frame: Any, positions: list[int]) -> Any:
    """Return the columns of a pandas or polars frame at the given positions, in their order."""
    return frame.iloc[:, positions] if hasattr(frame, "iloc") else frame[:, positions]


def columns_of_time(X: Any) -> list[str]:
    """Return the names and types of the columns of a polars frame with dates, times or durations.

    polars would convert them to integers of a unit that depends on the column.
    """
    if not is_polars(X):
        return []
    return [f"{name!r} ({dtype})" for name, dtype in X.schema.items() if dtype.is_temporal()]


def columns_of_categories(X: Any) -> dict[Any, str]:
    """Return the dtypes of the columns of a frame that hold categories or text, by their names.

    NumPy would convert categories that are numbers, and text that looks like a number. Categories
    of at most two numbers are left out, because any two numbers for them make the same model.
    """
    if is_polars(X):
        kinds = ("Categorical", "Enum", "String")
        named = {name: str(dtype).partition("(")[0] for name, dtype in X.schema.items()}
        return {name: kind for name, kind in named.items() if kind in kinds}
    if not hasattr(X, "iloc") or not hasattr(X, "columns"):
        return {}
    import pandas as pd

    dtypes = list(X.dtypes)
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in set(dtypes)):
        return {}
    found = {}
    for position, dtype in enumerate(dtypes):
        if isinstance(dtype, pd.CategoricalDtype):
            is_refused = len(dtype.categories) > 2 or _is_text(dtype.categories)
        else:
            is_refused = pd.api.types.is_string_dtype(dtype) and _is_text(X.iloc[:, position])
        if is_refused:
            found[X.columns[position]] = str(dtype)
    return found


def _is_text(values: Any) -> bool:
    """Return whether the values of a pandas object that are not missing are strings."""
    import pandas as pd

    return bool(pd.api.types.infer_dtype(values) == "string")


def is_frame_without_columns(X: Any) -> bool:
    """Return whether X is a pandas frame without columns; only such frames may have rows."""
    return hasattr(X, "iloc") and hasattr(X, "columns") and not len(X.columns)


def is_single_precision(X: Any) -> bool:
    """Return whether X is a polars frame of float32 only, which scikit-learn would widen."""
    return is_polars(X) and set(X.dtypes) == {sys.modules["polars"].Float32}


def is_polars(X: Any) -> bool:
    """Return whether X is a polars data frame."""
    return _is(X, "polars", "DataFrame")


def in_library_of(X: Any, table: pd.DataFrame) -> Any:
    """Return a table with a row for each row of X as a frame of the library of X.

    It stays a pandas DataFrame if X is an array. For libraries other than pandas the names of
    columns become strings.
    """
    if _is_narwhals(X):
        # narwhals has several versions of its API; from_native must be of the version of X.
        home = sys.modules[type(X).__module__]
        from_native = getattr(home, "from_native", sys.modules["narwhals"].from_native)
        return from_native(in_library_of(X.to_native(), _with_plain_names(table)))
    if is_polars(X):
        return sys.modules["polars"].DataFrame(_columns(table))
    if _is(X, "pyarrow", "Table", "RecordBatch"):
        return sys.modules["pyarrow"].table(_columns(table))
    return table


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a table as arrays by their names, which become strings."""
    return {name: column.to_numpy() for name, column in _with_plain_names(table).items()}


def _with_plain_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with strings as names of columns; levels of names are joined by "_"."""
    names = ["_".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns]
    return table.set_axis(names, axis=1)


def _is_narwhals(value: Any) -> bool:
    """Return whether a value is a narwhals data frame or series."""
    return _is(value, "narwhals", "DataFrame", "Series")


def _is(value: Any, library: str, *kinds: str) -> bool:
    """Return whether a value is of one of the classes of a library, without importing it."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, tuple(getattr(module, kind) for kind in kinds))


def _has_duplicates(X: Any) -> bool:
    """Return whether some row of a CSR matrix may have several entries in the same column."""
    # SciPy counts the entries of a product before it computes it; those of X times the identity
    # are those of X without duplicates.
    count = getattr(_sparsetools, "csr_matmat_maxnnz", None)
    if count is None:
        return True
    n, d = X.shape
    identity = (np.arange(size, dtype=X.indices.dtype) for size in (d + 1, d))
    return bool(count(n, d, X.indptr, X.indices, *identity) != X.nnz)


def canonical(X: Any) -> Any:
    """Return a CSR matrix without duplicate entries, of a float dtype.

    Dense X is returned unchanged. The result shares the arrays of X that need no change; X itself
    is never written to. Entries of a row may be in any order: sorting them takes as long as many
    products. They are copied then, because some functions of SciPy sort them in place.
    """
    if not sp.issparse(X):
        return X
    # A new object, because SciPy stores in a matrix whether its indices are sorted.
    X = type(X)((X.data[: X.nnz], X.indices[: X.nnz], X.indptr), shape=X.shape, copy=False)
    if X.dtype not in (np.float64, np.float32):  # scikit-learn leaves frames of sparse booleans
        X = X.astype(np.float64)
    if not X.has_canonical_format:
        X = X.copy()
        if _has_duplicates(X):
            X.sum_duplicates()
    return X
