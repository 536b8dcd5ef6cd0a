"""Variables: the columns of the user's data, and how they become the columns of a model.

A transformer, such as a formula or a `ColumnTransformer`, computes the columns of the model from
the variables. Nothing is assumed of the transformer: which columns depend on which variables, and
how, is found by changing the variables.
"""

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

# The number of evenly spread rows in which variables are changed, to see which columns change.
EXCHANGED_ROWS = 2_000
# The most values of a variable that are changed a little, to see whether columns are continuous.
MOST_VALUES = 50
# That small step, relative to the range of the variable; and the change of a column, relative to
# the range of the column, that is taken for a jump if it happens over the step.
TINY, JUMP = 1e-4, 0.05
# The most entries of a sparse matrix that is made dense, to be a frame of variables: 80 MB.
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
        The values in the data of each variable that is not numeric: categories in their order,
        others sorted. Numbers are levels too if the transformer treats each number as a category,
        as a one-hot encoder does. Variables on which no column of the model depends have no levels.
    used : list of str
        The variables on which columns of the model depend.
    steps : list of str
        The numeric variables of which columns of the model are step functions.
    is_weighted : bool
        Whether the rows of the fit have weights.
    n_rows : int
        The number of rows of the fit.
    data : DataFrame or None
        The rows of the fit. A pickle does not hold them.
    offset, weights : ndarray or None
        The offsets and weights of the rows of the fit. A pickle does not hold them.
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
        """Return the variables of the data X of a fit, before the transformer; all count as used.

        `names` are those of the columns if X is an array; None stands for x0, x1, ... The result is
        None for a sparse matrix that is too large to be made dense.
        """
        if sp.issparse(X) and X.shape[0] * X.shape[1] > NUMBERS_OF_DENSE_COPY:
            return None
        frame, is_frame = as_frame(X, "X")
        if names is not None and not is_frame:
            frame = frame.set_axis(names, axis=1)
        levels = {name: levels_of(frame[name]) for name in frame if not has_numbers(frame[name])}
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
            _kept(frame),
            _kept_offset(offset),
            weights,
        )
        return found if transformer is None else found._with_kinds_of_numbers()

    def _with_kinds_of_numbers(self) -> Variables:
        """Return the variables with `steps`, and with levels for numbers treated as categories."""
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
        """Return how the columns of the model depend on a numeric variable.

        Up to `MOST_VALUES` values of the variable are moved down and up by a small step (`TINY`).

        Parameters
        ----------
        data : DataFrame
            Rows of the fit.
        name : str
            The variable.

        Returns
        -------
        {"isolated", "steps", "continuous"}
            "isolated", if for each direction some column jumps at most values, or the transformer
            raises ValueError: it treats numbers as categories. "steps", if the columns change only
            by jumps, as those of bins do. "continuous" otherwise.
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
        """Return the rows of the fit.

        Raises ValueError for results from a pickle; `what` is the subject of the error message.
        """
        if self.data is None:
            raise ValueError(
                f"{what} need the rows of the fit, which a pickle of results does not hold: give "
                "newdata as a DataFrame, or call results.with_data(X, y, sample_weight, offset)."
            )
        return self.data

    def with_rows(self, X: Any, offset: ArrayLike | None, weights: Array | None) -> Variables:
        """Return the variables with the rows of the fit, which the user gives again."""
        data, offset = _kept(self.read(X, "X")), _kept_offset(offset)
        return replace(self, data=data, offset=offset, weights=weights)

    def with_used(self, used: list[tuple[str, ...]]) -> Variables:
        """Return a copy in which only variables on which some column depends are used.

        `levels` of the copy has no other variables either. The argument `used` has for each column
        of the model the variables on which it depends, as `terms_of_columns` returns them.
        """
        some = {name for names in used for name in names}
        levels = {name: values for name, values in self.levels.items() if name in some}
        return replace(self, levels=levels, used=[name for name in self.names if name in some])

    def read(self, newdata: Any, name: str = "newdata") -> pd.DataFrame:
        """Return new data with the variables as columns; raise ValueError if one is missing."""
        frame, is_frame = as_frame(newdata, name)
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
        """Return the columns of the model for rows of data: the transformed variables."""
        frame = frame[[name for name in self.names if name in frame]]
        rows = frame if self.is_frame else frame.to_numpy()
        return rows if self.transformer is None else self.transformer.transform(rows)

    def is_numeric(self, name: str) -> bool:
        """Return whether a variable has numbers that the transformer does not treat as categories.

        `has_numbers` says of a column whether it has numbers.
        """
        return name not in self.levels


def as_frame(X: Any, name: str) -> tuple[pd.DataFrame, bool]:
    """Return data as a pandas DataFrame, and whether they were a frame of any library.

    `name` is the argument that the data are, for errors.
    """
    import pandas as pd

    X = native(to_host(X), name)
    if isinstance(X, pd.DataFrame):
        return X, True
    if sp.issparse(X):
        return _named(X.toarray(), name), False
    if hasattr(X, "to_pandas"):
        return X.to_pandas(), True
    return _named(np.asarray(X), name), False


def _kept(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame that does not change if the user changes the given one later.

    Since pandas 3, the copy takes no memory until the user changes the frame.
    """
    import pandas as pd

    return frame.copy(deep=int(pd.__version__.partition(".")[0]) < 3)


def _kept_offset(offset: ArrayLike | None) -> Any:
    """Return offsets that do not change if the user changes the given array later."""
    return offset if offset is None or np.ndim(offset) == 0 else np.array(offset)


def has_numbers(column: pd.Series) -> bool:
    """Return whether a column has numbers; booleans do not count as numbers."""
    from pandas.api import types

    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


def is_time(column: pd.Series) -> bool:
    """Return whether a column has times or durations."""
    from pandas.api import types

    return bool(types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column))


def levels_of(column: pd.Series) -> list[Any]:
    """Return the distinct values of a column: in the order of its categories, or sorted."""
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
    change depend on the variable.
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
    """Return sorted positions of rows in which every variable varies as it does in all rows.

    They are evenly spread rows, the first row with each level of a variable, and the rows with the
    smallest and the largest number.
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
    """Return a column in which each row has the value of another row.

    The other row is half of the rows away when they are sorted by the column, so that a row keeps
    its value only if at least half of the rows have that value.
    """
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


def constant(column: pd.Series, value: Any, like: pd.Series) -> pd.Series:
    """Return a column with the index of `column` in which every value is `value`.

    Its type is that of `like`, a column of the fit, because a categorical column of new data may
    lack the category `value`. Numbers have the type of `value`.
    """
    import pandas as pd

    dtype: Any = None if has_numbers(like) else like.dtype
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
    """Return whether some column of an array or a frame has single precision."""
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


def _named(X: Array, name: str) -> pd.DataFrame:
    """Return an array as a frame; columns of objects get the types of their values."""
    import pandas as pd

    if X.ndim != 2:
        raise ValueError(
            f"{name} must be a DataFrame or an array with two dimensions, found the shape "
            f"{X.shape}."
        )
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]).infer_objects()
