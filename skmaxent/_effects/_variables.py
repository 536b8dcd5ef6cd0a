"""Variables: how the data that a user has become the columns of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from skmaxent._input._interchange import native
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# Rows at which it is looked which columns of the model change with a variable.
MOST_ROWS = 2_000
# Levels of a variable that are each tried there, instead of exchanging values between rows.
FEW_LEVELS = 20


@dataclass(frozen=True)
class Variables:
    """The variables of a model, and the transformation from them to its columns.

    Attributes
    ----------
    names : list of str
        The columns of the user's data, in their order.
    transformer : object or None
        A fitted transformer; None where the data are the columns of the model.
    is_frame : bool
        Whether the transformer takes data frames; it takes arrays otherwise.
    template : DataFrame
        No rows, with the types of the columns of the data.
    levels : dict
        For each variable that is not numeric, its values: those of the categories that occur, in
        their order, and sorted ones otherwise.
    data : DataFrame or None
        The rows of the fit. A pickle does not hold them.
    offset, weights : ndarray or None
        Of these rows.
    """

    names: list[str]
    transformer: Any
    is_frame: bool
    template: pd.DataFrame
    levels: Mapping[str, list[Any]]
    data: pd.DataFrame | None = field(default=None, repr=False)
    offset: Any = field(default=None, repr=False)
    weights: Array | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, X: Any, transformer: Any = None, offset: Any = None, weights: Any = None
    ) -> Variables:
        """The variables of data that a model was fitted to, which `transformer` takes."""
        frame, is_frame = as_frame(X)
        levels = {
            name: levels_of(frame[name]) for name in frame if not is_numeric(frame[name])
        }
        return cls(
            list(frame),
            transformer,
            is_frame,
            frame.iloc[:0],
            levels,
            frame,
            offset,
            weights,
        )

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"data": None, "offset": None, "weights": None}

    def rows_of_fit(self, what: str) -> pd.DataFrame:
        """The rows of the fit; ValueError where a pickle has lost them."""
        if self.data is None:
            raise ValueError(
                f"{what} need the rows of the fit, which a pickle of results does not hold: give "
                "newdata as a DataFrame, or call results.with_data(X, y, sample_weight, offset)."
            )
        return self.data

    def without_data(self) -> Variables:
        """The same without the rows of the fit."""
        return replace(self, data=None, offset=None, weights=None)

    def read(self, newdata: Any, name: str = "newdata") -> pd.DataFrame:
        """New data with the variables as columns; ValueError where one is missing."""
        frame, is_frame = as_frame(newdata)
        if not is_frame and frame.shape[1] == len(self.names):
            return frame.set_axis(self.names, axis=1)
        missing = [column for column in self.names if column not in frame]
        if missing:
            raise ValueError(
                f"{name} has no columns {missing}: expected the columns of the data of the fit, "
                f"{self.names}; found {list(frame)}."
            )
        return frame

    def columns(self, frame: pd.DataFrame) -> Any:
        """The columns of the model for rows of data, as the classifier takes them."""
        frame = frame[self.names]
        rows = frame if self.is_frame else frame.to_numpy()
        return rows if self.transformer is None else self.transformer.transform(rows)

    def is_numeric(self, name: str) -> bool:
        """Whether the values of a variable are numbers that can grow by one."""
        return name not in self.levels


def as_frame(X: Any) -> tuple[pd.DataFrame, bool]:
    """Data as a pandas DataFrame, and whether they were a frame of some library."""
    import pandas as pd

    X = native(X, "X")
    if isinstance(X, pd.DataFrame):
        return X, True
    if sp.issparse(X):
        return _named(X.toarray()), False
    if hasattr(X, "to_pandas"):
        return X.to_pandas(), True
    return _named(np.asarray(X)), False


def is_numeric(column: pd.Series) -> bool:
    """Whether a column has numbers, of which booleans are none."""
    from pandas.api import types

    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


def levels_of(column: pd.Series) -> list[Any]:
    """The values that a column has, in the order of its categories, or sorted."""
    if hasattr(column, "cat"):
        found = set(column.dropna().unique().tolist())
        return [level for level in column.cat.categories.tolist() if level in found]
    values = column.dropna().unique().tolist()
    try:
        return sorted(values)
    except TypeError:
        return values


def terms_of_columns(variables: Variables, n_columns: int) -> list[tuple[str, ...]]:
    """For each column of the model, the variables that it changes with.

    Each variable is changed in turn, in rows of the fit, while the others stay: the columns that
    change belong to it. No transformer needs to be known for that. A numeric variable takes the
    value of another row, far from its own in their order; a variable with few values takes each of
    them.
    """
    data = variables.rows_of_fit("terms")
    data = data.iloc[np.linspace(0, len(data) - 1, min(len(data), MOST_ROWS)).astype(int)]
    before = variables.columns(data)
    used: list[tuple[str, ...]] = [()] * n_columns
    for name in variables.names:
        changed = np.zeros(n_columns, bool)
        for values in _other_values(variables, data[name]):
            after = variables.columns(data.assign(**{name: values}))
            changed |= _columns_that_differ(before, after)
        for j in np.flatnonzero(changed):
            used[j] = (*used[j], name)
    return used


def _other_values(variables: Variables, column: pd.Series) -> list[pd.Series]:
    """Columns of the same type in which most rows have another value."""
    name = str(column.name)
    levels = levels_of(column) if variables.is_numeric(name) else list(variables.levels[name])
    if len(levels) <= FEW_LEVELS:
        return [constant(column, level) for level in levels]
    order = np.argsort(column.map({level: i for i, level in enumerate(levels)}).to_numpy())
    turned = np.empty(len(order), int)
    turned[order] = np.roll(order, len(order) // 2)
    return [column.iloc[turned].set_axis(column.index)]


def constant(column: pd.Series, value: Any) -> pd.Series:
    """A column of the same type and index whose values are all this one."""
    import pandas as pd

    dtype: Any = column.dtype
    if isinstance(value, (float, np.floating)) and pd.api.types.is_integer_dtype(dtype):
        dtype = float
    return pd.Series(value, index=column.index, name=column.name, dtype=dtype)


def _columns_that_differ(before: Any, after: Any) -> Array:
    """Of each column whether it differs anywhere."""
    if sp.issparse(before):
        return np.asarray((abs(before - after)).max(axis=0).toarray().ravel() > 0)
    difference = np.asarray(before, float) != np.asarray(after, float)
    return np.asarray(difference.any(axis=0))


def _named(X: Array) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
