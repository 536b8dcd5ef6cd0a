"""The columns of a data frame that a formula uses, with one dtype for each kind of value."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._input._interchange import is_polars, native
from skmaxent._storage._cluster import is_dask

if TYPE_CHECKING:
    import pandas as pd

# float64 holds all integers up to this one.
LARGEST_EXACT_INTEGER = 2**53


def eager_frame(X: Any, name: str) -> Any:
    """Return X as a data frame of pandas or polars.

    Narwhals frames are unwrapped, and tables of pyarrow become pandas frames. `name` is that of the
    argument.

    Raises
    ------
    TypeError
        If X is lazy, or has no columns with names.
    """
    frame = native(X, name)
    if is_dask(frame):
        raise TypeError(
            f"{name} is a Dask collection, and formulas need rows in memory: pass {name}.compute()."
        )
    if not (is_polars(frame) or (hasattr(frame, "iloc") and hasattr(frame, "columns"))):
        raise TypeError(
            f"{name} is a {type(X).__name__}; expected a data frame, because a formula refers to "
            f"columns by their names. For an array write pandas.DataFrame({name}, columns=[...])."
        )
    return frame


def column_names(frame: Any) -> list[str]:
    """Return the column names of a data frame, without the names that are not strings."""
    return [name for name in frame.columns if isinstance(name, str)]


def pandas_frame(frame: Any, names: Sequence[str]) -> pd.DataFrame:
    """Return the columns with these names as a pandas frame.

    A pandas frame keeps its index, and the rows of a polars frame get the index 0, 1, .... Columns
    of polars with the dtype Enum become a pandas Categorical whose categories have the order of the
    Enum. Text of polars, also that of its dtype Categorical, becomes Python strings.

    Raises
    ------
    ValueError
        If two columns have one of the names.
    """
    import pandas as pd

    every = list(frame.columns)
    twice = [name for name in names if every.count(name) > 1]
    if twice:
        raise ValueError(
            f"The data frame has several columns of the name {twice[0]!r}; rename all but one."
        )
    if not is_polars(frame):
        return frame[list(names)]
    return pd.DataFrame(
        {name: _from_polars(frame[name]) for name in names}, index=range(len(frame))
    )


def _from_polars(series: Any) -> Any:
    """Return a polars column as an array, a list or a Categorical that pandas understands."""
    import pandas as pd

    kind = type(series.dtype).__name__
    if kind == "Enum":
        return pd.Categorical(series.to_list(), categories=series.dtype.categories.to_list())
    if series.dtype.is_numeric() and kind != "Decimal":
        return series.to_numpy()
    if series.dtype.is_temporal():
        return pd.Series(series.to_list())
    values = series.to_list()
    is_complete_boolean = kind == "Boolean" and not series.null_count()
    return np.array(values, dtype=bool) if is_complete_boolean else pd.Series(values, dtype=object)


def columns_for_formula(frame: Any, names: Sequence[str]) -> pd.DataFrame:
    """Return the columns with these names, with the dtypes with which formulas are evaluated.

    The result is a pandas frame with the index 0, 1, ..., so that values are never aligned by an
    index. Numbers are float64, as in R, because powers of integers could overflow; integers that
    float64 cannot hold stay integers. Booleans have the dtype bool, or pandas' nullable "boolean"
    if some are missing. Times and categories keep their dtype, and text has the dtype object.

    Raises
    ------
    ValueError
        If there are no rows, or a column has values of several types, or complex numbers.
    """
    import pandas as pd

    found = pandas_frame(frame, names)
    if not len(found):
        raise ValueError("The data frame has no rows; expected at least one.")
    columns = {name: _for_formula(found[name].reset_index(drop=True), name) for name in names}
    return pd.DataFrame(columns, index=range(len(found)))


def _for_formula(values: pd.Series, name: str) -> pd.Series:
    """Return a column with one of the dtypes that `columns_for_formula` describes."""
    import pandas as pd
    from pandas.api import types

    if isinstance(values.dtype, pd.SparseDtype):
        values = values.sparse.to_dense()
    if values.dtype == object:
        values = values.infer_objects()
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype) or dtype == np.dtype(bool):
        return values
    if types.is_bool_dtype(dtype):
        return _as_booleans(values)
    if types.is_complex_dtype(dtype):
        raise ValueError(f"Column {name!r} holds complex numbers; formulas need real numbers.")
    if types.is_numeric_dtype(dtype):
        return _as_numbers(values)
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return values
    if not types.is_object_dtype(dtype) and not types.is_string_dtype(dtype):
        return values  # periods and intervals
    return _as_objects(values, name)


def _as_numbers(values: pd.Series) -> pd.Series:
    """Return numbers as float64, and as they are if they are integers that float64 cannot hold."""
    import pandas as pd

    is_integer = getattr(values.dtype, "kind", "") in tuple("iu")
    if is_integer and len(values) and not values.isna().any():
        largest = max(-int(values.min()), int(values.max()))
        if largest > LARGEST_EXACT_INTEGER:
            return values
    return pd.Series(values.to_numpy(dtype=float, na_value=np.nan))


def _as_booleans(values: pd.Series) -> pd.Series:
    """Return booleans with the dtype bool, or with pandas' "boolean" if some are missing."""
    return values.astype("boolean" if values.isna().any() else bool)


def _as_objects(values: pd.Series, name: str) -> pd.Series:
    """Return a column of text, or of objects of one other type, with the dtype object.

    Objects that are numbers, such as Decimal, become float64, and booleans become "boolean".
    Missing values do not count as a type. ValueError is raised if the values have several types,
    because levels of several types cannot be sorted; `name` is the column's name for the message.
    """
    values = values.astype(object)
    present = values[values.notna()]
    if len(present) and all(isinstance(v, bool | np.bool_) for v in present):
        return _as_booleans(values)
    if len(present) and all(isinstance(v, Number) and not isinstance(v, bool) for v in present):
        return values.where(values.notna(), np.nan).astype(float)
    kinds = sorted({type(value).__name__ for value in present})
    if len(kinds) > 1:
        raise ValueError(
            f"Column {name!r} has values of the types {' and '.join(kinds)}; expected one type, "
            f"for instance strings: {name!r} may be converted by astype(str)."
        )
    return values
