"""Predictions, comparisons and slopes of variables, as tables with standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._contrasts import Contrast, contrasts_of, specifications
from skmaxent._effects._delta_method import DeltaMethod
from skmaxent._effects._estimates import (
    COMPARISONS,
    Combination,
    Estimates,
    joined,
    logit_interval,
    normal_interval,
    percentile_interval,
)
from skmaxent._effects._hypotheses import hypotheses_of
from skmaxent._effects._quantities import (
    ModelRows,
    Quantity,
    averages,
    predicted,
    row_by_row,
    slopes,
)
from skmaxent._effects._requests import Request
from skmaxent._effects._student_t import t_p_values
from skmaxent._effects._table_rows import TableRows, table_rows
from skmaxent._effects._variables import Variables, is_single, numbers, with_column
from skmaxent._input._arguments import check_choice
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

SLOPES = ("dydx", "eyex", "eydx", "dyex")
# Relative to the spread of a variable: the third root of the precision balances the rounding of a
# central difference against its truncation (Nocedal and Wright 2006, section 8.1).
STEP = EPS ** (1 / 3)
SINGLE_STEP = float(np.finfo(np.float32).eps) ** (1 / 3)
# The most estimates for single rows that a hypothesis may combine: their Jacobian is in memory.
MOST_ESTIMATES = 2_000


@dataclass(frozen=True)
class Effects:
    """Computes the tables of predictions, comparisons and slopes of a fitted model.

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
        """Return probabilities of the classes; see `InferenceResults.predictions`."""
        rows = table_rows(self.variables, request)
        model_rows = self._model_rows(rows, rows.frame)
        labels = self._labels(rows, {})
        estimates = self._estimates(rows, request, (model_rows,), predicted, None)
        return self._table(estimates, labels, request, null=None)

    def comparisons(self, chosen: Any, comparison: str, request: Request) -> pd.DataFrame:
        """Return comparisons of probabilities; see `InferenceResults.comparisons`.

        `chosen` is the argument `variables`.
        """
        check_choice("comparison", comparison, COMPARISONS)
        combination, null = COMPARISONS[comparison]
        rows = table_rows(self.variables, request)
        parts, tables = [], []
        for contrast in contrasts_of(self.variables, chosen, rows.frame):
            parts.append(self._contrast(rows, request, contrast, combination))
            label = contrast.label
            if comparison != "difference":
                label = f"{comparison}({label})"
            names = {"variable": contrast.variable, "contrast": label}
            tables.append(self._labels(rows, names))
        return self._joined_table(parts, tables, request, null)

    def slopes(self, chosen: Any, slope: str, request: Request) -> pd.DataFrame:
        """Return derivatives of probabilities, or elasticities; see `InferenceResults.slopes`.

        `chosen` is the argument `variables`.
        """
        check_choice("slope", slope, SLOPES)
        if isinstance(chosen, Mapping):
            raise TypeError(
                f"variables of slopes must be names of columns, found the dict {chosen!r}: "
                f"expected {list(chosen)!r}. Contrasts of variables are for comparisons."
            )
        names = list(specifications(self.variables, chosen))
        if chosen is None and slope != "dydx":
            names = [name for name in names if self.variables.is_numeric(name)]
        if not names:
            raise ValueError(f"slope={slope!r} needs a numeric variable, and the data have none.")
        rows = table_rows(self.variables, request)
        parts, tables = [], []
        for name in names:
            if self.variables.is_numeric(name):
                parts.append(self._slope(rows, request, name, slope))
                label = "dY/dX" if slope == "dydx" else slope
                tables.append(self._labels(rows, {"variable": name, "contrast": label}))
                continue
            if slope != "dydx":
                raise ValueError(
                    f"slope={slope!r} needs a numeric variable, and {name!r} has the values "
                    f"{list(self.variables.levels[name])}: use comparisons."
                )
            for contrast in contrasts_of(self.variables, [name], rows.frame):
                parts.append(self._contrast(rows, request, contrast, COMPARISONS["difference"][0]))
                tables.append(self._labels(rows, {"variable": name, "contrast": contrast.label}))
        return self._joined_table(parts, tables, request, 0.0)

    def _contrast(
        self, rows: TableRows, request: Request, contrast: Contrast, combination: Combination
    ) -> tuple[Estimates, Array]:
        """Return estimates of one contrast, and their standard errors (m,).

        `combination` is the function of the probabilities at the high and the low values.
        """
        versions = tuple(
            self._model_rows(rows, with_column(rows.frame, contrast.variable, values))
            for values in (contrast.high, contrast.low)
        )
        return self._estimates(rows, request, versions, predicted, combination)

    def _slope(
        self, rows: TableRows, request: Request, name: str, slope: str
    ) -> tuple[Estimates, Array]:
        """Return estimates of one of `SLOPES` of a variable, and their standard errors (m,)."""
        model_rows = self._with_derivatives(rows, name)
        return self._estimates(rows, request, (model_rows,), slopes(slope), None)

    def _labels(self, rows: TableRows, names: dict[str, str]) -> pd.DataFrame:
        """Return the columns that name the estimates: `names`, the labels of rows, the class."""
        return rows.named(names, self.delta.model.classes)

    def _model_rows(self, rows: TableRows, frame: pd.DataFrame) -> ModelRows:
        """Return the rows of `frame`, which has the variables of `rows`, for the model.

        For a grid of the type "design_means" there is one row for each point, the mean of its rows.
        """
        read, offset = self.delta.model_rows(self.variables.columns(frame), rows.offset)
        if rows.points is None:
            return ModelRows(read, offset)
        mean = rows.means_over_points
        dense = mean @ read
        dense = dense.toarray() if hasattr(dense, "toarray") else np.asarray(dense)
        return ModelRows(dense, None if offset is None else mean @ offset)

    def _with_derivatives(self, rows: TableRows, name: str) -> ModelRows:
        """Return rows for the model with their derivatives by a variable.

        The derivatives are central differences.
        """
        if name in self.variables.steps:
            raise ValueError(
                f"the columns of the model are step functions of {name!r}, which have no slopes: "
                f"use comparisons, such as variables={{{name!r}: 'iqr'}}, or two values."
            )
        values = numbers(rows.frame[name])
        # Columns may become double precision when a float64 value is put in, so one row is tried.
        first = with_column(rows.frame.iloc[:1], name, values[:1])
        is_rough = is_single(self.variables.columns(first))
        step = (SINGLE_STEP if is_rough else STEP) * self._spread(name, values)
        ends = values + step, values - step
        high, middle, low = (
            self._model_rows(rows, with_column(rows.frame, name, end))
            for end in (ends[0], rows.frame[name], ends[1])
        )
        # Where a value is missing no column changes: the derivative is zero.
        width = np.where(np.isnan(values), 1.0, ends[0] - ends[1])
        values = np.nan_to_num(values)
        if rows.points is not None:
            mean = rows.means_over_points
            width, values = mean @ width, mean @ values
        difference = (high.X - low.X).astype(float)
        if hasattr(difference, "tocsr"):
            direction: Any = difference.multiply(1.0 / width[:, None]).tocsr()
        else:
            direction = difference / width[:, None]
        return replace(middle, direction=direction, values=values)

    def _spread(self, name: str, values: Array) -> float:
        """Return the standard deviation of a variable in the rows of the fit.

        Results from a pickle do not have these rows: the standard deviation is then that of
        `values`. It is 1 if there is no variation.
        """
        data = self.variables.data
        known = values if data is None else numbers(data[name])
        known = known[np.isfinite(known)]
        spread = float(np.std(known)) if len(known) else 0.0
        return spread if spread > 0.0 else 1.0

    def _draws(self, request: Request) -> Array | None:
        """Return drawn coefficients minus those of the fit, (n_draws, R, w); None without draws."""
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
        rows: TableRows,
        request: Request,
        versions: tuple[ModelRows, ...],
        quantity: Quantity,
        combination: Any,
    ) -> tuple[Estimates, Array]:
        """Return estimates of a quantity for each row or group, and their standard errors (m,).

        `versions` has the rows for the model: one element, or one with the high and one with the
        low values of a contrast, whose quantities `combination` combines. The Jacobian of the
        estimates has no columns if rows are not averaged and nothing needs it.
        """
        draws, V = self._draws(request), self.delta.covariance

        def combined(found: tuple[Estimates, ...]) -> Estimates:
            """Return the estimates of the versions as one, combined by `combination`."""
            if combination is None:
                return found[0]
            with np.errstate(divide="ignore", invalid="ignore"):
                return found[0].combined(found[1], combination)

        groups = rows.groups
        if groups is not None:
            found = tuple(
                averages(self.delta, model_rows, groups, quantity, draws) for model_rows in versions
            )
            estimates = combined(found)
            return estimates, estimates.errors(V)
        n = versions[0].X.shape[0] * len(self.delta.model.classes)
        is_needed = request.has_functions or self.delta.distribution.by_contrast is not None
        if request.has_functions and n > MOST_ESTIMATES:
            raise ValueError(
                f"hypothesis is of {n} estimates, expected at most {MOST_ESTIMATES}: average by "
                "groups (by=...), or give fewer rows as newdata."
            )
        parts, errors = [], []
        for found in row_by_row(self.delta, versions, quantity, draws):
            part = combined(found)
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
        """Return the table of several estimates (`parts`) with their labels (`tables`).

        `null` is the value of the estimates under the null hypothesis.
        """
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
        """Return the labels with columns estimate, std_err, z, p_value, lower and upper.

        `found` are estimates and standard errors. There is no test if `null`, the value of the
        estimates under the null hypothesis, is None.
        """
        estimates, errors = found
        hypothesis = request.hypothesis
        if hypothesis is not None:
            if request.hypothesis_is_number:
                null = float(hypothesis)
            else:
                V = self.delta.covariance
                estimates, labels = hypotheses_of(hypothesis, estimates, labels, V)
                errors, null = estimates.errors(V), 0.0
        distribution = self.delta.distribution
        df = distribution.degrees(estimates.jacobian)
        if distribution.statistic == "t":  # a variable of the data may have this name
            labels = labels.rename(columns={"t": "t_of_data"})
        table = labels.assign(estimate=estimates.values, std_err=errors)
        if null is not None and self.has_p_values:
            with np.errstate(divide="ignore", invalid="ignore"):
                z = (estimates.values - null) / errors
            p_values = t_p_values(z, df)
            table = table.assign(**{distribution.statistic: z}, p_value=p_values)
        if request.interval == "logit":
            if null is not None:
                raise ValueError(
                    "interval='logit' is for predictions, which are probabilities, without a "
                    "hypothesis; expected interval='delta', 'simulation' or 'bootstrap'."
                )
            lower, upper = logit_interval(estimates.values, errors, request.conf_level, df)
        elif estimates.draws is not None:
            lower, upper = percentile_interval(estimates.draws, request.conf_level)
        else:
            lower, upper = normal_interval(estimates.values, errors, request.conf_level, df)
        return table.assign(lower=lower, upper=upper)
