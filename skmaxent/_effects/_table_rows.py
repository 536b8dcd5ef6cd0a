"""The rows of a table of effects, and the groups over which they are averaged."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._effects._datagrid import DataGrid, datagrid, grid_points, grid_rows
from skmaxent._effects._quantities import Groups
from skmaxent._effects._requests import Request
from skmaxent._effects._variables import Variables
from skmaxent._input._arguments import is_flag
from skmaxent._input._validation import relative_weights
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# The types of grids with a copy of all rows of the fit for each point.
REPEATS_ROWS = ("counterfactual", "design_means")
NUMBERS = ("estimate", "std_err", "z", "p_value", "lower", "upper")
# Columns of tables of effects; those of the data with these names are renamed.
RESERVED = ("variable", "contrast", "hypothesis", "class", *NUMBERS)


@dataclass(frozen=True)
class TableRows:
    """The rows of data for which a table of effects is computed.

    Attributes
    ----------
    frame : DataFrame of shape (n, n_variables)
    offset : array-like or None
        The offsets of the rows.
    weights : ndarray of shape (n,) or None
    labels : DataFrame
        The columns that name the estimates: a row for each row of `frame`, point of a grid of the
        type "design_means", or group.
    points : ndarray of int of shape (n,) or None
        For grids of the type "design_means", the point to which each row belongs.
    groups : Groups or None
        The groups of rows, or of points, that are averaged; None if rows are not averaged.
    """

    frame: pd.DataFrame
    offset: ArrayLike | None
    weights: Array | None
    labels: pd.DataFrame
    points: Array | None = None
    groups: Groups | None = None

    @property
    def means_over_points(self) -> Any:
        """The sparse matrix (n_points, n) whose product with rows is the mean of each point."""
        assert self.points is not None
        groups = Groups.of(self.points, int(self.points.max()) + 1, self.weights)
        return groups.matrix(slice(None))

    def named(self, names: dict[str, str], classes: Array) -> pd.DataFrame:
        """Return the columns that name the estimates of a table, in the order of the estimates.

        They are `names`, constant columns by their names, then `labels`, then the class. The
        classes of a row are next to each other.
        """
        of_data = {name: f"{name}_of_data" for name in RESERVED if name in self.labels}
        labels = self.labels.rename(columns=of_data).reset_index(drop=True)
        labels = labels.loc[labels.index.repeat(len(classes))].reset_index(drop=True)
        for at, (name, value) in enumerate(names.items()):
            labels.insert(at, name, [value] * len(labels))  # a value may be a tuple
        labels["class"] = np.tile(np.asarray(classes), len(self.labels))
        return labels


def table_rows(variables: Variables, request: Request) -> TableRows:
    """Return the rows that `request.newdata` describes, in the groups of `request.by`."""
    newdata = request.newdata
    if isinstance(newdata, str):
        if newdata != "mean":
            raise ValueError(
                f"newdata must be None, 'mean', a datagrid or a DataFrame, found {newdata!r}."
            )
        newdata = datagrid()
    if isinstance(newdata, DataGrid):
        rows = _rows_of_grid(variables, newdata, request)
    elif newdata is None:
        rows = _rows_of_fit(variables, request)
    else:
        rows = _new_rows(variables, newdata, request)
    return _in_groups(rows, request.by) if request.is_averaged else rows


def _rows_of_fit(variables: Variables, request: Request) -> TableRows:
    """Return the rows of the fit with their weights and offsets."""
    frame = variables.rows_of_fit("effects without newdata")
    offset = variables.offset if request.offset is None else request.offset
    weights = _weights(request, len(frame), variables.weights)
    return TableRows(frame, offset, weights, _row_labels(frame))


def _new_rows(variables: Variables, newdata: Any, request: Request) -> TableRows:
    """Return the rows of `newdata`, with the weights of the fit if they are its rows."""
    frame = variables.read(newdata)
    if not len(frame):
        raise ValueError("newdata has no rows: expected at least one.")
    known = None
    if request.is_averaged and request.sample_weight is None:
        known = _known_weights(variables, frame)
    weights = _weights(request, len(frame), known)
    return TableRows(frame, request.offset, weights, _row_labels(frame))


def _known_weights(variables: Variables, frame: pd.DataFrame) -> Array | None:
    """Return the weights of the fit if `frame` has the rows of the fit, else None.

    Raises ValueError if that cannot be known, because the results come from a pickle.
    """
    if not variables.is_weighted or len(frame) != variables.n_rows:
        return None
    if variables.data is None:
        raise ValueError(
            "the fit weighed its rows, and whether newdata are these rows is not known of results "
            "from a pickle: expected sample_weight, which may be 1 for equal weights."
        )
    names = variables.used
    is_fit = (
        frame[names].reset_index(drop=True).equals(variables.data[names].reset_index(drop=True))
    )
    return variables.weights if is_fit else None


def _rows_of_grid(variables: Variables, grid: DataGrid, request: Request) -> TableRows:
    """Return the rows of a grid: one for each point, or all rows of the fit for each point."""
    data = variables.rows_of_fit("grids")
    points = grid_points(grid, variables, data)
    frame = grid_rows(grid, variables, data, variables.weights)
    repeats = grid.grid_type in REPEATS_ROWS
    offset = request.offset
    if offset is None:
        offset = _offset_of_grid(variables, len(points), repeats=repeats)
    if not repeats:
        return TableRows(frame, offset, _weights(request, len(frame), None), points)
    codes = np.repeat(np.arange(len(points)), len(data))
    known = None if variables.weights is None else np.tile(variables.weights, len(points))
    if grid.grid_type == "design_means":
        if request.sample_weight is not None:
            raise ValueError(
                "sample_weight has no use with grid_type='design_means', whose means have the "
                "weights of the fit."
            )
        return TableRows(frame, offset, known, points, codes)
    labels = points.iloc[codes].reset_index(drop=True)
    name = "row" if "row" not in labels else "row_of_data"
    labels.insert(0, name, np.tile(np.asarray(data.index), len(points)))
    return TableRows(frame, offset, _weights(request, len(frame), known), labels)


def _offset_of_grid(variables: Variables, n_points: int, *, repeats: bool) -> Any:
    """Return the offsets of the rows of a grid, from those of the rows of the fit.

    If the grid `repeats` the rows of the fit for each point, so are the offsets; otherwise each
    point has the mean of the offsets.
    """
    if variables.offset is None or not np.ndim(variables.offset):
        return variables.offset
    known = np.asarray(variables.offset, float)
    if repeats:
        return np.concatenate([known] * n_points)
    mean = np.average(known, axis=0, weights=variables.weights)
    return np.broadcast_to(mean, (n_points, *mean.shape))


def _weights(request: Request, n: int, known: Array | None) -> Array | None:
    """Return the weights (n,) that the user gave, or else `known`; None stands for ones."""
    given = request.sample_weight
    return known if given is None else relative_weights(given, n)


def _in_groups(rows: TableRows, by: Any) -> TableRows:
    """Return the same rows with groups: all rows for True, or those with equal values of `by`."""
    import pandas as pd

    is_grid_of_means = rows.points is not None
    n = len(rows.labels) if is_grid_of_means else len(rows.frame)
    weights = None if is_grid_of_means else rows.weights
    if is_flag(by, True):
        groups = Groups.of(np.zeros(n, int), 1, weights)
        return replace(rows, groups=groups, labels=pd.DataFrame(index=range(1)))
    source = (rows.labels if is_grid_of_means else rows.frame).reset_index(drop=True)
    names = _names_of_groups(by, source)
    grouped = source.groupby(names, sort=True, observed=True, dropna=False)
    codes = grouped.ngroup().to_numpy()
    _, first = np.unique(codes, return_index=True)
    labels = source[names].iloc[first].reset_index(drop=True)
    return replace(rows, groups=Groups.of(codes, len(labels), weights), labels=labels)


def _names_of_groups(by: Any, source: pd.DataFrame) -> list[Any]:
    """Return the columns of `source` that `by` names.

    Raises ValueError for no names, unknown ones and repeated ones.
    """
    is_one = isinstance(by, str) or not isinstance(by, Iterable)
    names = [by] if is_one else list(by)
    known = list(source)
    unknown = [name for name in names if not isinstance(name, Hashable) or name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"by must be True, or name different columns of newdata, found {unknown or by!r}; "
            f"expected some of {known}."
        )
    return names


def _row_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with one column, "row", that has the names of the rows."""
    import pandas as pd

    return pd.DataFrame({"row": np.asarray(frame.index)})
