"""Grids of values of variables, for which predictions are made."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from skmaxent._effects._variables import Variables, has_numbers, is_time, levels_of, numbers
from skmaxent._input._arguments import check_choice
from skmaxent._input._numbers import is_number
from skmaxent._public import public
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

GridType = Literal["mean_or_mode", "balanced", "counterfactual", "design_means"]
GRID_TYPES = get_args(GridType)


@public
@dataclass(frozen=True)
class DataGrid:
    """Values of some variables, and a rule for the other variables, as `datagrid` returns them.

    Attributes
    ----------
    values : mapping of str to object
        The values of each variable that was named, as they were given.
    grid_type : {"mean_or_mode", "balanced", "counterfactual", "design_means"}
        See `datagrid`.

    Examples
    --------
    >>> from skmaxent import datagrid
    >>> datagrid(age=[30, 60], grid_type="balanced").grid_type
    'balanced'
    """

    values: Mapping[str, Any]
    grid_type: GridType


def datagrid(*, grid_type: GridType = "mean_or_mode", **variables: Any) -> DataGrid:
    """Return a grid of values of variables, for `newdata` of predictions and comparisons.

    Parameters
    ----------
    grid_type : {"mean_or_mode", "balanced", "counterfactual", "design_means"}, \
default="mean_or_mode"
        The values of the variables that are not named. "mean_or_mode": the mean of each numeric
        variable and the most frequent value of the others. "balanced": means, and all combinations
        of the values of those that are not numeric, as the reference grid of R's emmeans; times
        have their most frequent value.
        "counterfactual": the values of all rows of the fit, each of which is repeated for each
        point of the grid. "design_means": the mean of the columns of the model over all rows of the
        fit with the point's values, so that dummy columns have their means, as in R's
        ``effects::Effect`` and Stata's ``atmeans``. Means have the weights of the fit.
    **variables : value, list of values, or callable
        The values of each variable; a function is called with the column of the rows of the fit.
        The grid has all combinations.

    Returns
    -------
    DataGrid

    Examples
    --------
    >>> from skmaxent import datagrid
    >>> datagrid(age=[30, 60], region="north").values
    {'age': [30, 60], 'region': 'north'}
    """
    check_choice("grid_type", grid_type, GRID_TYPES)
    return DataGrid(variables, grid_type)


def _values(name: str, given: Any, data: pd.DataFrame) -> list[Any]:
    """Return the values that the user gave for a variable as a list.

    `given` is a value, several values, or a function of the variable's column of `data`.
    """
    if callable(given):
        given = given(data[name])
    is_one = isinstance(given, str) or not isinstance(given, Iterable)
    values = [given] if is_one else list(given)
    if not values or isinstance(given, Mapping):
        raise ValueError(
            f"datagrid has {given!r} for {name!r}: expected a value, a list of values or a "
            "function of the column."
        )
    if has_numbers(data[name]) and not all(is_number(value) for value in values):
        raise ValueError(f"datagrid has {values} for {name!r}: expected numbers.")
    return values


def _typical(column: pd.Series, weights: Array | None, *, is_number: bool) -> Any:
    """Return the weighted mean of a column of numbers, or the most frequent of other values.

    If several values are equally frequent, the first of the sorted levels is returned. Missing
    values do not count. `is_number` is False for numbers that the model treats as levels.
    """
    if is_number and has_numbers(column):
        values = numbers(column)
        known = ~np.isnan(values)
        return float(np.average(values[known], weights=None if weights is None else weights[known]))
    levels = levels_of(column)
    weights = np.ones(len(column)) if weights is None else weights
    counts = [
        float(weights[(column == level).to_numpy(dtype=bool, na_value=False)].sum())
        for level in levels
    ]
    return levels[int(np.argmax(counts))]


def _typed(values: list[Any], like: pd.Series) -> pd.Series:
    """Return values as a column of the same type as the column `like`.

    Numbers beside a column of integers may stay floats.
    """
    import pandas as pd

    if has_numbers(like):
        found = pd.Series(values)
        return found if has_numbers(found) else pd.Series(values, dtype=like.dtype)
    if hasattr(like, "cat"):
        known = like.cat.categories.tolist()
        unknown = [value for value in values if value not in known]
        if unknown:
            raise ValueError(
                f"{like.name!r} has no category {unknown[0]!r}; expected one of {known}."
            )
    return pd.Series(values, dtype=like.dtype)


def grid_points(grid: DataGrid, variables: Variables, data: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a grid: a row for each combination of the values of its variables."""
    import pandas as pd

    unknown = [name for name in grid.values if name not in variables.used]
    if unknown:
        raise ValueError(
            f"datagrid has {unknown}, no variables of the model; expected some of {variables.used}."
        )
    chosen = {name: _values(name, given, data) for name, given in grid.values.items()}
    if grid.grid_type == "balanced":
        chosen |= {
            name: list(levels)
            for name, levels in variables.levels.items()
            if name not in chosen and not is_time(data[name])
        }
    rows = list(itertools.product(*chosen.values()))
    columns = {name: _typed([row[i] for row in rows], data[name]) for i, name in enumerate(chosen)}
    return pd.DataFrame(columns, index=range(len(rows)))


def grid_rows(
    grid: DataGrid, variables: Variables, data: pd.DataFrame, weights: Array | None
) -> pd.DataFrame:
    """Return the rows of a grid with all variables of the model.

    There is a row for each point of the grid. For the types "counterfactual" and "design_means"
    there is a copy of `data`, the rows of the fit, for each point. `weights` are those of `data`.
    """
    import pandas as pd

    points = grid_points(grid, variables, data)
    if grid.grid_type in ("counterfactual", "design_means"):
        n = len(data)
        rows = pd.concat([data] * len(points), ignore_index=True)
        for name in points:
            rows[name] = points[name].repeat(n).reset_index(drop=True)
        return rows
    others = [name for name in variables.names if name not in points]
    typical = {
        name: _typical(data[name], weights, is_number=variables.is_numeric(name)) for name in others
    }
    columns = {
        name: points[name] if name in points else _typed([typical[name]] * len(points), data[name])
        for name in variables.names
    }
    return pd.DataFrame(columns, index=points.index)
