"""Predictions, comparisons and slopes of variables, as tables with errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from skmaxent._effects._contrasts import contrasts_of, specifications
from skmaxent._effects._datagrid import DataGrid, datagrid
from skmaxent._effects._delta_method import DeltaMethod
from skmaxent._effects._estimates import (
    COMPARISONS,
    Estimates,
    joined,
    logit_interval,
    normal_interval,
    percentile_interval,
)
from skmaxent._effects._hypotheses import hypotheses_of
from skmaxent._effects._quantities import (
    Design,
    Groups,
    Quantity,
    averages,
    predicted,
    row_by_row,
    slopes,
)
from skmaxent._effects._variables import Variables
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

SLOPES = ("dydx", "eyex", "eydx", "dyex")
# Columns of the tables, which variables of these names must not replace.
NUMBERS = ("estimate", "std_err", "z", "p_value", "lower", "upper")
INTERVALS = ("delta", "logit", "simulation", "bootstrap")
# Relative to the spread of a variable: the third root of the precision balances the rounding of a
# central difference against its truncation (Nocedal and Wright 2006, section 8.1).
STEP = EPS ** (1 / 3)
# Estimates for single rows of which a hypothesis may be a function.
MOST_ESTIMATES = 2_000


@dataclass(frozen=True)
class Request:
    """What a table of effects is of: rows, groups, interval and hypothesis.

    Attributes
    ----------
    newdata : None, "mean", DataGrid or data
    by : False, True, str or list of str
    offset, sample_weight : of the rows of newdata
    conf_level : float
    interval : {"delta", "logit", "simulation", "bootstrap"}
    hypothesis : None, float, str, list of str or array
    n_draws : int
    random_state : int, RandomState or None
    """

    newdata: Any = None
    by: Any = False
    offset: Any = None
    sample_weight: Any = None
    conf_level: float = 0.95
    interval: str = "delta"
    hypothesis: Any = None
    n_draws: int = 1000
    random_state: Any = None


@dataclass(frozen=True)
class Rows:
    """The rows of a table of effects.

    Attributes
    ----------
    frame : DataFrame of shape (n, n_variables)
    offset : array-like or None
    weights : ndarray of shape (n,) or None
    labels : DataFrame
        What tells apart estimates for single rows: a row for each, or for each point of a grid.
    points : ndarray of int of shape (n,) or None
        For grids of means of designs: the point that each row belongs to.
    """

    frame: pd.DataFrame
    offset: Any
    weights: Array | None
    labels: pd.DataFrame
    points: Array | None = None


@dataclass(frozen=True)
class Effects:
    """What computes the effects of variables of a model.

    Attributes
    ----------
    delta : DeltaMethod
        Probabilities and the covariance of the coefficients.
    variables : Variables
    has_p_values : bool
        False where the covariance is a posterior's.
    """

    delta: DeltaMethod
    variables: Variables
    has_p_values: bool

    def predictions(self, request: Request) -> pd.DataFrame:
        """Probabilities of the classes; see `InferenceResults.predictions`."""
        rows = self.rows(request)
        design = self._design(rows, rows.frame)
        labels = self._labels(rows, request, {})
        estimates = self._estimates(rows, request, (design,), predicted, None)
        return self._table(estimates, labels, request, null=None)

    def comparisons(self, chosen: Any, comparison: str, request: Request) -> pd.DataFrame:
        """Probabilities at one value of a variable against another."""
        if comparison not in COMPARISONS:
            raise ValueError(
                f"comparison must be one of {list(COMPARISONS)}, found {comparison!r}."
            )
        combination, null = COMPARISONS[comparison]
        rows = self.rows(request)
        parts, tables = [], []
        for contrast in contrasts_of(self.variables, chosen, rows.frame):
            designs = tuple(
                self._design(rows, rows.frame.assign(**{contrast.variable: values}))
                for values in (contrast.high, contrast.low)
            )
            parts.append(self._estimates(rows, request, designs, predicted, combination))
            label = contrast.label
            if comparison != "difference":
                label = f"{comparison}({label})"
            names = {"variable": contrast.variable, "contrast": label}
            tables.append(self._labels(rows, request, names))
        return self._joined_table(parts, tables, request, null)

    def slopes(self, chosen: Any, slope: str, request: Request) -> pd.DataFrame:
        """Derivatives of probabilities by a variable, or elasticities."""
        if slope not in SLOPES:
            raise ValueError(f"slope must be one of {list(SLOPES)}, found {slope!r}.")
        rows = self.rows(request)
        parts, tables = [], []
        for name in specifications(self.variables, chosen):
            if not self.variables.is_numeric(name):
                if slope != "dydx":
                    if chosen is None:
                        continue
                    raise ValueError(
                        f"slope={slope!r} needs a numeric variable, and {name!r} has the values "
                        f"{list(self.variables.levels[name])}: use comparisons."
                    )
                for contrast in contrasts_of(self.variables, [name], rows.frame):
                    designs = tuple(
                        self._design(rows, rows.frame.assign(**{name: values}))
                        for values in (contrast.high, contrast.low)
                    )
                    combination = COMPARISONS["difference"][0]
                    parts.append(self._estimates(rows, request, designs, predicted, combination))
                    names = {"variable": name, "contrast": contrast.label}
                    tables.append(self._labels(rows, request, names))
                continue
            design = self._direction(rows, name)
            parts.append(self._estimates(rows, request, (design,), slopes(slope), None))
            names = {"variable": name, "contrast": {"dydx": "dY/dX"}.get(slope, slope)}
            tables.append(self._labels(rows, request, names))
        if not parts:
            raise ValueError(f"slope={slope!r} needs a numeric variable, and the data have none.")
        return self._joined_table(parts, tables, request, 0.0)

    def rows(self, request: Request) -> Rows:
        """The rows that `newdata` asks for."""
        newdata, variables = request.newdata, self.variables
        if isinstance(newdata, str):
            if newdata != "mean":
                raise ValueError(
                    f"newdata must be None, 'mean', a datagrid or a DataFrame, found {newdata!r}."
                )
            newdata = datagrid()
        if newdata is None:
            frame = variables.rows_of_fit("effects without newdata")
            offset = variables.offset if request.offset is None else request.offset
            weights = self._weights(request.sample_weight, len(frame), variables.weights)
            return Rows(frame, offset, weights, _row_labels(frame))
        if isinstance(newdata, DataGrid):
            return self._grid_rows(newdata, request)
        frame = variables.read(newdata)
        if frame.empty:
            raise ValueError("newdata has no rows: expected at least one.")
        weights = self._weights(request.sample_weight, len(frame), self._known_weights(frame))
        offset = request.offset
        if offset is None and frame is variables.data:
            offset = variables.offset
        return Rows(frame, offset, weights, _row_labels(frame))

    def _known_weights(self, frame: pd.DataFrame) -> Array | None:
        """The weights of the fit where these are its rows."""
        data = self.variables.data
        if self.variables.weights is None or data is None or len(data) != len(frame):
            return None
        return self.variables.weights if frame[self.variables.names].equals(data) else None

    def _grid_rows(self, grid: DataGrid, request: Request) -> Rows:
        variables = self.variables
        data = variables.rows_of_fit("grids")
        points = grid.points(variables, data)
        frame = grid.rows(variables, data, variables.weights)
        n = len(data) if grid.grid_type in ("counterfactual", "design_means") else 1
        codes = np.repeat(np.arange(len(points)), n)
        offset = request.offset
        if offset is None and variables.offset is not None:
            known = np.asarray(variables.offset, float)
            if n == 1 and known.ndim:
                known = np.average(known, axis=0, weights=variables.weights)
                known = np.broadcast_to(known, (len(points), *known.shape))
            elif known.ndim:
                known = np.concatenate([known] * len(points))
            offset = known
        if grid.grid_type == "design_means":
            weights = variables.weights
            weights = np.ones(n) if weights is None else weights
            if request.sample_weight is not None:
                raise ValueError(
                    "sample_weight has no use with grid_type='design_means', whose means have the "
                    "weights of the fit."
                )
            return Rows(frame, offset, np.tile(weights, len(points)), points, codes)
        given = None if n == 1 else variables.weights
        known_weights = None if given is None else np.tile(given, len(points))
        weights = self._weights(request.sample_weight, len(frame), known_weights)
        labels = points if n == 1 else points.iloc[codes].reset_index(drop=True)
        if n > 1:
            rows_of_data = np.tile(np.asarray(data.index), len(points))
            labels = labels.assign(row=rows_of_data)[["row", *points]]
        return Rows(frame, offset, weights, labels)

    def _weights(self, given: Any, n: int, known: Array | None) -> Array | None:
        from skmaxent._input._validation import check_sample_weight

        return known if given is None else check_sample_weight(given, n)

    def _design(self, rows: Rows, frame: pd.DataFrame) -> Design:
        """The rows of a frame as the model has them; means over the points of a grid of means."""
        read, offset = self.delta.model_rows(self.variables.columns(frame), rows.offset)
        if rows.points is None:
            return Design(read, offset)
        groups = Groups.of(rows.points, int(rows.points.max()) + 1, rows.weights)
        mean = groups.matrix(slice(None))
        dense = mean @ read
        dense = dense.toarray() if hasattr(dense, "toarray") else np.asarray(dense)
        return Design(dense, None if offset is None else mean @ offset)

    def _direction(self, rows: Rows, name: str) -> Design:
        """The design with its derivative by a variable, by central differences of the columns."""
        column = rows.frame[name].astype(float)
        spread = float(np.nanstd(column)) if len(column) > 1 else 0.0
        if self.variables.data is not None:
            spread = float(np.std(self.variables.data[name].astype(float)))
        step = STEP * (spread if spread > 0.0 else 1.0)
        ends = [column + step, column - step]
        width = (ends[0] - ends[1]).to_numpy()
        high, low = (self._design(rows, rows.frame.assign(**{name: end})) for end in ends)
        middle = self._design(rows, rows.frame)
        values = column.to_numpy()
        if rows.points is not None:
            groups = Groups.of(rows.points, int(rows.points.max()) + 1, rows.weights)
            mean = groups.matrix(slice(None))
            width, values = mean @ width, mean @ values
        difference = (high.rows - low.rows).astype(float)
        if hasattr(difference, "tocsr"):
            direction: Any = difference.multiply(1.0 / width[:, None]).tocsr()
        else:
            direction = difference / width[:, None]
        return replace(middle, direction=direction, values=values)

    def _groups(self, rows: Rows, request: Request) -> tuple[Groups, pd.DataFrame] | None:
        """The groups that `by` asks for and a table that names them; None for single rows."""
        import pandas as pd

        if request.by is False or request.by is None:
            return None
        n = len(rows.labels) if rows.points is not None else len(rows.frame)
        weights = None if rows.points is not None else rows.weights
        if request.by is True:
            return Groups.of(np.zeros(n, int), 1, weights), pd.DataFrame(index=range(1))
        names = [request.by] if isinstance(request.by, str) else list(request.by)
        source = rows.labels if rows.points is not None else rows.frame
        unknown = [name for name in names if name not in source]
        if unknown or not names:
            raise ValueError(
                f"by must name columns of newdata, found {unknown or request.by!r}; expected some "
                f"of {list(source)}."
            )
        grouped = source.groupby(names, sort=True, observed=True, dropna=False)
        codes = grouped.ngroup().to_numpy()
        first = grouped.head(1).index
        table = source.loc[first, names] if source.index.is_unique else None
        if table is None:
            table = (
                source.reset_index(drop=True)
                .groupby(names, sort=True, observed=True, dropna=False)
                .head(1)[names]
            )
        order = np.argsort(pd.Series(codes).drop_duplicates().to_numpy())
        table = table.iloc[order].reset_index(drop=True)
        return Groups.of(codes, len(table), weights), table

    def _labels(self, rows: Rows, request: Request, names: dict[str, str]) -> pd.DataFrame:
        """What names the estimates: variable and contrast, row or group, and class."""
        found = self._groups(rows, request)
        table = (rows.labels if found is None else found[1]).reset_index(drop=True)
        classes = self.delta.model.classes
        labels = table.loc[table.index.repeat(len(classes))].reset_index(drop=True)
        labels = labels.rename(columns={name: f"{name}_of_data" for name in NUMBERS})
        for at, (name, value) in enumerate(names.items()):
            if name in labels:
                labels = labels.rename(columns={name: f"{name}_of_data"})
            labels.insert(at, name, value)
        label = "class" if "class" not in labels else "class_of_y"
        labels[label] = np.tile(np.asarray(classes), len(table))
        return labels

    def _draws(self, request: Request) -> Array | None:
        """Deviations from the coefficients, (n_draws, R, w)."""
        if request.interval == "simulation":
            return self.delta.simulated(request.n_draws, request.random_state)
        if request.interval == "bootstrap":
            if self.delta.standardised.deviations is None:
                raise ValueError(
                    "interval='bootstrap' is for results of infer(method='bootstrap')."
                )
            return self.delta.standardised.deviations
        return None

    def _estimates(
        self,
        rows: Rows,
        request: Request,
        designs: tuple[Design, ...],
        quantity: Quantity,
        combination: Any,
    ) -> tuple[Estimates, Array]:
        """Estimates and their standard errors; of single rows without Jacobian where not needed."""
        draws, V = self._draws(request), self.delta.covariance

        def one(found: tuple[Estimates, ...]) -> Estimates:
            if combination is None:
                return found[0]
            with np.errstate(divide="ignore", invalid="ignore"):
                return found[0].combined(found[1], combination)

        groups = self._groups(rows, request)
        if groups is not None:
            found = tuple(
                averages(self.delta, design, groups[0], quantity, draws) for design in designs
            )
            estimates = one(found)
            return estimates, estimates.errors(V)
        n = designs[0].rows.shape[0] * len(self.delta.model.classes)
        is_needed = request.hypothesis is not None and np.ndim(request.hypothesis) + isinstance(
            request.hypothesis, str
        )
        if is_needed and n > MOST_ESTIMATES:
            raise ValueError(
                f"hypothesis is of {n} estimates, expected at most {MOST_ESTIMATES}: average by "
                "groups (by=...), or give fewer rows as newdata."
            )
        parts, errors = [], []
        for found in row_by_row(self.delta, designs, quantity, draws):
            part = one(found)
            errors.append(part.errors(V))
            if not is_needed:
                part = replace(part, jacobian=np.empty((len(part.values), 0)))
            parts.append(part)
        return joined(parts), np.concatenate(errors)

    def _joined_table(
        self,
        parts: list[tuple[Estimates, Array]],
        tables: list[pd.DataFrame],
        request: Request,
        null: float,
    ) -> pd.DataFrame:
        import pandas as pd

        estimates = joined([part for part, _ in parts])
        errors = np.concatenate([errors for _, errors in parts])
        labels = pd.concat(tables, ignore_index=True)
        return self._table((estimates, errors), labels, request, null)

    def _table(
        self,
        found: tuple[Estimates, Array],
        labels: pd.DataFrame,
        request: Request,
        null: float | None,
    ) -> pd.DataFrame:
        """Labels with estimate, std_err, z, p_value, lower and upper."""
        estimates, errors = found
        hypothesis = request.hypothesis
        if hypothesis is not None:
            if np.ndim(hypothesis) == 0 and not isinstance(hypothesis, str):
                null = float(hypothesis)
            else:
                estimates, labels = hypotheses_of(hypothesis, estimates, labels)
                errors, null = estimates.errors(self.delta.covariance), 0.0
        table = labels.assign(estimate=estimates.values, std_err=errors)
        if null is not None and self.has_p_values:
            with np.errstate(divide="ignore", invalid="ignore"):
                z = (estimates.values - null) / errors
            table = table.assign(z=z, p_value=2.0 * stats.norm.sf(np.abs(z)))
        if request.interval == "logit":
            if null is not None:
                raise ValueError(
                    "interval='logit' is for predictions, which are probabilities, without a "
                    "hypothesis; expected interval='delta', 'simulation' or 'bootstrap'."
                )
            lower, upper = logit_interval(estimates.values, errors, request.conf_level)
        elif estimates.draws is not None:
            lower, upper = percentile_interval(estimates.draws, request.conf_level)
        else:
            lower, upper = normal_interval(estimates.values, errors, request.conf_level)
        return table.assign(lower=lower, upper=upper)


def _row_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """A column with the names of the rows."""
    import pandas as pd

    return pd.DataFrame({"row": np.asarray(frame.index)})
