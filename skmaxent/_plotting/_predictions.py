"""Display of predicted probabilities over a variable."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._datagrid import DataGrid, datagrid
from skmaxent._effects._variables import Variables, has_numbers
from skmaxent._inference._results import InferenceResults
from skmaxent._input._arguments import check_choice, check_count, check_type
from skmaxent._plotting._axes import (
    LEGEND_ROWS,
    LITERAL_TEXT,
    class_colours,
    draw_class_legend,
    extra_inches,
    panel_axes,
    panels_in_row,
)
from skmaxent._public import public
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PREDICTION_KINDS = ("lines", "stacked")
# Size of a panel of a new figure in inches.
PANEL_WIDTH, PANEL_HEIGHT = 3.6, 3.4
# Inches of height for each class in a legend, and for each letter of a rotated name of a level.
LEGEND_HEIGHT, LETTER_HEIGHT = 0.2, 0.05

# The most values of a number in `by`, each of which is a panel.
MOST_PANELS_OF_NUMBER = 5
# The letters that the names of all levels may have together to fit below a panel unrotated.
LETTERS_OF_TICKS = 36


@public
class PredictionsDisplay:
    """Plot of the probabilities of the classes over a variable, with confidence bands.

    Over a number there are lines with bands, or stacked areas. Over a factor there are points with
    error bars, or stacked bars. Create it with `from_results`.

    Parameters
    ----------
    table : pandas.DataFrame
        The result of `InferenceResults.predictions` with ``by=[variable]`` or
        ``by=[variable, by]``: one or two columns with these variables, the class, "estimate",
        "lower" and "upper".
    conf_level : float, default=0.95
        The confidence level of the intervals in the table.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        The axes with the plots, one for each value of `by`.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    artists_ : list of list
        For each of the axes what is drawn for each class: a Line2D, an ErrorbarContainer, a
        collection (stacked areas) or a BarContainer (stacked bars).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, PredictionsDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> X = X[["sepal width (cm)"]]
    >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    >>> display = PredictionsDisplay.from_results(results, "sepal width (cm)")
    >>> display.axes_[0].get_xlabel()
    'sepal width (cm)'
    """

    axes_: Array
    figure_: Figure | SubFigure
    artists_: list[list[Any]]

    def __init__(self, table: pd.DataFrame, *, conf_level: float = 0.95) -> None:
        self.table = table
        self.conf_level = conf_level

    @classmethod
    def from_results(
        cls,
        results: InferenceResults,
        variable: str,
        *,
        by: str | None = None,
        newdata: Any = None,
        kind: str = "lines",
        n_points: int = 50,
        conf_level: float = 0.95,
        interval: str = "logit",
        ax: Any = None,
        **options: Any,
    ) -> PredictionsDisplay:
        """Compute probabilities with `InferenceResults.predictions` and draw them.

        Parameters
        ----------
        results : InferenceResults
            The result of `infer`.
        variable : str
            The variable of the horizontal axis.
        by : str, default=None
            A variable whose values have a panel each: those of a factor, numbers that have at most
            five values, or the three quartiles of other numbers.
        newdata : datagrid or DataFrame, default=None
            A `skmaxent.datagrid` has values of the other variables, or of `variable` and `by`
            themselves, and says what the others have; None stands for ``datagrid()``, the means of
            numbers and the most frequent of other values. ``datagrid(grid_type="counterfactual")``
            averages over the rows of the fit. If `newdata` is a DataFrame, the predictions of its
            rows are averaged by the values that `variable` and `by` have there.
        kind : {"lines", "stacked"}, default="lines"
            Lines with bands (points with error bars for a factor), or areas (bars) that are stacked
            to 1 and have no intervals.
        n_points : int, default=50
            The number of values of a numeric `variable`, from its smallest to its largest.
        conf_level : float, default=0.95
            The confidence level of the intervals.
        interval : {"logit", "delta", "simulation", "bootstrap"}, default="logit"
            As in `InferenceResults.predictions`.
        ax : matplotlib.axes.Axes or sequence of Axes, default=None
            The axes to draw on, one for each panel; None creates a new figure.
        **options
            Further arguments of `InferenceResults.predictions`, except `hypothesis`.

        Returns
        -------
        PredictionsDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `variable` or `by` is not a variable of the data, and as
            `InferenceResults.predictions` and `plot`.
        """
        check_type("results", results, InferenceResults, "results of infer")
        if options.get("hypothesis") is not None:
            raise ValueError(
                "PredictionsDisplay draws probabilities, found a hypothesis: expected "
                "hypothesis=None."
            )
        variables = results._effects.variables
        names = [variable] if by is None else [variable, by]
        for argument, name in zip(("variable", "by"), names, strict=False):
            if name not in variables.names:
                raise ValueError(
                    f"{argument} is {name!r}; expected one of the variables {variables.names}."
                )
        if by == variable:
            raise ValueError(f"by is {by!r}, the variable of the axis; expected another one.")
        if newdata is None or isinstance(newdata, DataGrid):
            newdata = _grid(variables, names, newdata or datagrid(), n_points)
        table = results.predictions(
            newdata, by=names, conf_level=conf_level, interval=interval, **options
        )
        return cls(table, conf_level=conf_level).plot(kind=kind, ax=ax)

    def plot(self, *, kind: str = "lines", ax: Any = None) -> PredictionsDisplay:
        """Draw the probabilities.

        Parameters
        ----------
        kind : {"lines", "stacked"}, default="lines"
            Lines with bands, or stacked areas; see `from_results`.
        ax : matplotlib.axes.Axes or sequence of Axes, default=None
            The axes to draw on, one for each panel; None creates a new figure.

        Returns
        -------
        PredictionsDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `kind` is unknown, or if `ax` is not one of the axes for each panel.
        """
        check_choice("kind", kind, PREDICTION_KINDS)
        n_names = self.table.columns.get_loc("estimate")
        variable = str(self.table.columns[0])
        panels = self._panels(n_names)
        labels = self.table.iloc[:, n_names - 1].unique().tolist()
        classes, colours = [str(label) for label in labels], class_colours(len(labels))
        size = self._figure_size(len(panels), classes)
        name = type(self).__name__
        self.axes_ = panel_axes(ax, name, len(panels), "value of by", size, sharey=True)
        self.artists_ = []
        for axes, (title, part) in zip(self.axes_, panels, strict=True):
            of_classes = [part[part.iloc[:, n_names - 1] == label] for label in labels]
            values = of_classes[0].iloc[:, 0]
            numbers = np.stack(
                [rows[["estimate", "lower", "upper"]].to_numpy(float) for rows in of_classes]
            )
            draw = _draw_numeric if has_numbers(values) else _draw_levels
            self.artists_.append(draw(axes, values, numbers, colours, kind == "stacked"))
            axes.set_xlabel(variable, **LITERAL_TEXT)
            axes.set_title(title, fontsize="medium", **LITERAL_TEXT)
            if kind == "stacked":
                axes.set_ylim(0.0, 1.0)
            else:
                axes.set_ylim(bottom=min(0.0, float(np.nanmin(numbers))))
        interval = "" if kind == "stacked" else f", {100 * self.conf_level:g} % interval"
        for axes in self.axes_:
            if axes.get_subplotspec() is None or axes.get_subplotspec().is_first_col():
                axes.set_ylabel(f"probability{interval}")
        self.figure_ = self.axes_[0].figure
        if len(labels) > 1:
            # The legend of stacked areas has the order of the areas, from top to bottom.
            order = -1 if kind == "stacked" else 1
            draw_class_legend(
                self.axes_[panels_in_row(len(self.axes_)) - 1],
                self.artists_[0][::order],
                classes[::order],
                most_rows=LEGEND_ROWS,
            )
        return self

    def _panels(self, n_names: int) -> list[tuple[str, pd.DataFrame]]:
        """Return the title and the rows of the table of each panel.

        `n_names` is the number of columns that name an estimate: the variable, `by` and the class.
        """
        if n_names == 2:
            return [("", self.table)]
        by, values = self.table.columns[1], self.table.iloc[:, 1]
        form = ".4g" if has_numbers(values) else ""
        # A missing value has a panel too, the last one.
        groups = self.table.groupby(values, dropna=False, observed=True)
        return [(f"{by} = {value:{form}}", part) for value, part in groups]

    def _height_of_names(self) -> float:
        """Return the inches that rotated names of levels need below a panel."""
        values = self.table.iloc[:, 0]
        names = [] if has_numbers(values) else [str(value) for value in values.unique()]
        is_long = sum(map(len, names)) > LETTERS_OF_TICKS
        return min(LETTER_HEIGHT * max(map(len, names)), 6.0) if is_long else 0.0

    def _figure_size(self, n_panels: int, classes: list[str]) -> tuple[float, float]:
        """Return the width and the height of a new figure in inches."""
        n_columns = panels_in_row(n_panels)
        n_rows = -(-n_panels // n_columns)
        width = (6.4 if n_panels == 1 else PANEL_WIDTH * n_columns + 1.2) + extra_inches(classes)
        height = (4.8 if n_panels == 1 else PANEL_HEIGHT) + self._height_of_names()
        height = max(height, 0.6 + LEGEND_HEIGHT * min(len(classes), LEGEND_ROWS)) * n_rows
        return width, height


def _grid(variables: Variables, names: list[str], given: DataGrid, n_points: int) -> DataGrid:
    """Return the grid `given` with values of the variables that are drawn, unless it has values.

    `names` are the variable of the axis and, if there are panels, that of the panels.
    """
    check_count("n_points", n_points, 2)
    data = variables.rows_of_fit("grids of predictions")
    values: dict[str, Any] = {}
    for position, name in enumerate(names):
        if name in given.values:
            continue
        if not variables.is_numeric(name):
            values[name] = list(variables.levels[name])
            continue
        if not has_numbers(data[name]):
            raise ValueError(
                f"{name!r} has no numbers and is no predictor of the fit; expected a variable of "
                "the formula or transformer."
            )
        known = data[name].astype(float).dropna()
        if position == 0:
            values[name] = np.linspace(known.min(), known.max(), n_points)
            continue
        values[name] = np.unique(known)
        if len(values[name]) > MOST_PANELS_OF_NUMBER:
            values[name] = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    return replace(given, values=values | dict(given.values))


def _draw_numeric(
    ax: Axes, values: pd.Series, numbers: Array, colours: list[Any], is_stacked: bool
) -> list[Any]:
    """Draw lines with bands, or stacked areas, over numbers; return an artist for each class.

    `values` (n_values,) are those of the variable, and `numbers` (n_classes, n_values, 3) the
    estimates and the lower and upper ends of their intervals.
    """
    x = values.to_numpy(float)
    ax.margins(x=0.0)
    if is_stacked:
        return list(
            ax.stackplot(x, numbers[..., 0], colors=colours, edgecolor="white", linewidth=0.5)
        )
    lines, alpha = [], 0.2 if len(numbers) <= 6 else 0.1
    for (estimate, lower, upper), colour in zip(np.moveaxis(numbers, 2, 1), colours, strict=True):
        ax.fill_between(x, lower, upper, color=colour, alpha=alpha, linewidth=0)
        lines += ax.plot(x, estimate, color=colour)
    return lines


def _draw_levels(
    ax: Axes, values: pd.Series, numbers: Array, colours: list[Any], is_stacked: bool
) -> list[Any]:
    """Draw points with error bars, or stacked bars, over levels; return an artist for each class.

    For the parameters see `_draw_numeric`.
    """
    names = [str(value) for value in values]
    x = np.arange(len(names))
    artists: list[Any] = []
    bottom = np.zeros(len(names))
    for i, (estimate, lower, upper) in enumerate(np.moveaxis(numbers, 2, 1)):
        if is_stacked:
            artists.append(
                ax.bar(x, estimate, bottom=bottom, color=colours[i], edgecolor="white", width=0.8)
            )
            bottom = bottom + estimate
            continue
        places = x + (i - (len(numbers) - 1) / 2) * 0.6 / len(numbers)
        # An interval of bootstrap percentiles need not contain the estimate, and matplotlib takes
        # no negative lengths.
        bars = np.maximum([estimate - lower, upper - estimate], 0.0)
        artists.append(
            ax.errorbar(
                places, estimate, yerr=bars, fmt="o", markersize=4.0, capsize=2.0, color=colours[i]
            )
        )
    is_long = sum(map(len, names)) > LETTERS_OF_TICKS
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(x, names, **(turned if is_long else {}), **LITERAL_TEXT)
    ax.set_xlim(-0.5, len(names) - 0.5)
    return artists
