"""Variables: how the data that a user has become the columns of a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from skmaxent._input._interchange import native
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# Rows at which it is looked which columns of the model change with a variable.
EXCHANGED_ROWS = 2_000
# Values of a variable at which it is looked whether the transformer takes others nearby.
MOST_VALUES = 50
# A step of a variable, relative to its range, and the change of a column, relative to its own, over
# such a step that is taken for a jump.
TINY, JUMP = 1e-4, 0.05
# Numbers of a sparse matrix up to which it is made dense, to be a frame of variables: 80 MB.
NUMBERS_OF_DENSE_COPY = 10_000_000


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
        their order, and sorted ones otherwise. Numbers are levels too where the transformer takes
        no others, as a one-hot encoder. Variables that no column of the model depends on have none.
    used : list of str
        The variables that columns of the model depend on.
    steps : list of str
        The numeric variables that columns are step functions of.
    is_weighted : bool
        Whether the rows of the fit have weights.
    n_rows : int
        Of the fit.
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
    used: list[str]
    steps: list[str]
    is_weighted: bool
    n_rows: int
    data: pd.DataFrame | None = field(default=None, repr=False)
    offset: ArrayLike | None = field(default=None, repr=False)
    weights: Array | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        X: Any,
        transformer: Any,
        offset: ArrayLike | None,
        weights: Any,
        names: list[Any] | None = None,
    ) -> Variables | None:
        """The variables of data that a model was fitted to, which `transformer` takes.

        `names` are those of the columns where X is an array. The result is None for sparse matrices
        that are too large to be made dense.
        """
        if sp.issparse(X) and X.shape[0] * X.shape[1] > NUMBERS_OF_DENSE_COPY:
            return None
        frame, is_frame = as_frame(X)
        if names is not None and not is_frame:
            frame = frame.set_axis(names, axis=1)
        levels = {name: levels_of(frame[name]) for name in frame if not is_numeric(frame[name])}
        found = cls(
            list(frame),
            transformer,
            is_frame,
            frame.iloc[:0],
            levels,
            list(frame),
            [],
            weights is not None,
            len(frame),
            # A user may change the frame in place later.
            frame.copy(deep=False),
            offset,
            weights,
        )
        return found if transformer is None else found._with_kinds_of_numbers()

    def _with_kinds_of_numbers(self) -> Variables:
        """Return the variables; numbers are levels if the transformer accepts no others."""
        assert self.data is not None
        found, steps = dict(self.levels), []
        for name in self.names:
            if not self.is_numeric(name) or self.data[name].nunique() < 2:
                continue
            kind = self._kind_of_numbers(self.data, name)
            if kind == "isolated":
                found[name] = levels_of(self.data[name])
            elif kind == "steps":
                steps.append(name)
        levels = {name: found[name] for name in self.names if name in found}
        return replace(self, levels=levels, steps=steps)

    def _kind_of_numbers(self, data: pd.DataFrame, name: str) -> str:
        """Whether the columns of the model are continuous in a variable.

        "isolated": they jump, or the transformer raises, on both sides of most values. "steps":
        they are constant between jumps. "continuous": neither.
        """
        rows = data[~data[name].duplicated() & data[name].notna()]
        rows = rows.iloc[np.linspace(0, len(rows) - 1, min(len(rows), MOST_VALUES)).astype(int)]
        values, before = numbers(rows[name]), _dense_columns(self.columns(rows))
        scale = np.ptp(before, axis=0)
        is_isolated, has_steps = True, True
        for step in (-TINY, TINY):
            end = values + step * (np.ptp(values) or 1.0)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of unknown categories
                    after = _dense_columns(self.columns(with_column(rows, name, end)))
            except ValueError:
                continue
            change = np.abs(after - before)
            jumps = ((change > JUMP * scale) & (scale > 0.0)).any(axis=1)
            is_isolated &= bool(jumps.mean() >= 0.5)
            has_steps &= not (change > 0.0).any(axis=1)[~jumps].any()
        return "isolated" if is_isolated else "steps" if has_steps else "continuous"

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

    def with_rows(self, X: Any, offset: ArrayLike | None, weights: Array | None) -> Variables:
        """The same with the rows of the fit, given again."""
        return replace(self, data=self.read(X, "X"), offset=offset, weights=weights)

    def that_change(self, used: list[tuple[str, ...]]) -> Variables:
        """The same, with the variables of each column that `terms_of_columns` found."""
        some = {name for names in used for name in names}
        levels = {name: values for name, values in self.levels.items() if name in some}
        return replace(self, levels=levels, used=[name for name in self.names if name in some])

    def read(self, newdata: Any, name: str = "newdata") -> pd.DataFrame:
        """Return new data with the variables as columns; raise ValueError if one is missing."""
        frame, is_frame = as_frame(newdata)
        if not is_frame and frame.shape[1] == len(self.names):
            return frame.set_axis(self.names, axis=1)
        missing = [column for column in self.used if column not in frame]
        if missing:
            raise ValueError(
                f"{name} has no columns {missing}: expected the columns of the data of the fit, "
                f"{self.names}; found {list(frame)}."
            )
        return frame

    def columns(self, frame: pd.DataFrame) -> Any:
        """The columns of the model for rows of data, as the classifier takes them."""
        frame = frame[[name for name in self.names if name in frame]]
        rows = frame if self.is_frame else frame.to_numpy()
        return rows if self.transformer is None else self.transformer.transform(rows)

    def is_numeric(self, name: str) -> bool:
        """Whether the values of a variable are numbers that can grow by one."""
        return name not in self.levels


def as_frame(X: Any) -> tuple[pd.DataFrame, bool]:
    """Return data as a pandas DataFrame, and whether they were a frame of any library."""
    import pandas as pd

    X = native(to_host(X), "X")
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


def is_time(column: pd.Series) -> bool:
    """Return whether a column has times or durations."""
    from pandas.api import types

    return bool(types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column))


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
    """Return for each column of the model the variables on which it depends.

    Each variable is changed in turn, in rows of the fit, while the others stay: the columns that
    change belong to it. No transformer needs to be known for that. A row gets the value of another
    row, half of the rows away when they are sorted by the variable, so that only rows with a value
    that most rows have may keep theirs.
    """
    data = variables.rows_of_fit("terms")
    data = data.iloc[_sample(variables, data)]
    before = variables.columns(data)
    used: list[tuple[str, ...]] = [()] * n_columns
    for name in variables.names:
        after = variables.columns(with_column(data, name, _exchanged(variables, data[name])))
        for j in np.flatnonzero(_columns_that_differ(before, after)):
            used[j] = (*used[j], name)
    return used


def _sample(variables: Variables, data: pd.DataFrame) -> Array:
    """Return positions of evenly spread rows, and of some in which every variable varies.

    These are the first rows with each value that is no number, and those with extreme numbers.
    """
    rows = set(np.linspace(0, len(data) - 1, min(len(data), EXCHANGED_ROWS)).astype(int).tolist())
    for name in variables.levels:
        rows.update(np.flatnonzero(~data[name].duplicated().to_numpy()).tolist())
    for name in filter(variables.is_numeric, variables.names):
        values = numbers(data[name])
        if not np.isnan(values).all():
            rows.update({int(np.nanargmin(values)), int(np.nanargmax(values))})
    return np.array(sorted(rows))


def _exchanged(variables: Variables, column: pd.Series) -> pd.Series:
    """The column with the values of other rows, half of the sorted rows away."""
    name: Any = column.name
    if variables.is_numeric(name):
        values = numbers(column)
    else:
        codes = {level: i for i, level in enumerate(variables.levels[name])}
        values = column.map(codes).astype(float).to_numpy()
    order = np.argsort(values, kind="stable")
    source = np.empty(len(order), int)
    source[order] = np.roll(order, len(order) // 2)
    return column.iloc[source].set_axis(column.index)


def constant(column: pd.Series, value: Any) -> pd.Series:
    """Return a column of the same type and index in which every value is `value`."""
    import pandas as pd

    dtype: Any = column.dtype
    if is_numeric(column):
        dtype = None
    return pd.Series(value, index=column.index, name=column.name, dtype=dtype)


def with_column(frame: pd.DataFrame, name: Any, values: Any) -> pd.DataFrame:
    """Return a copy of a frame with other values in one column, whatever the type of its name."""
    changed = frame.copy(deep=False)
    changed[name] = values
    return changed


def numbers(column: pd.Series) -> Array:
    """Return a column of numbers as float64; missing values are NaN."""
    return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))


def is_single(columns: Any) -> bool:
    """Whether columns of a model, an array or a frame, have single precision."""
    types = [columns.dtype] if hasattr(columns, "dtype") else list(columns.dtypes)
    return any(str(kind).lower() == "float32" for kind in types)


def _dense_columns(columns: Any) -> Array:
    """Return columns, sparse or not, as a dense float array."""
    return np.asarray(columns.toarray() if sp.issparse(columns) else columns, float)


def _columns_that_differ(before: Any, after: Any) -> Array:
    """Return for each column whether it differs anywhere."""
    if sp.issparse(before):
        return np.asarray((abs(before - after)).max(axis=0).toarray().ravel() > 0)
    difference = np.asarray(before, float) != np.asarray(after, float)
    return np.asarray(difference.any(axis=0))


def _named(X: Array) -> pd.DataFrame:
    """Return an array as a frame; columns of objects get the types of their values."""
    import pandas as pd

    if X.ndim != 2:
        raise ValueError(
            f"data of variables must be a DataFrame or an array with two dimensions, found the "
            f"shape {X.shape}."
        )
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]).infer_objects()
