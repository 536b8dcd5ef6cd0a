"""Display of residuals, leverage and influence of the rows of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._inference._results import InferenceResults
from skmaxent._input._arguments import check_count, check_type
from skmaxent._plotting._axes import (
    LEGEND_ROWS,
    LITERAL_TEXT,
    class_colours,
    draw_class_legend,
    extra_inches,
    panel_axes,
)
from skmaxent._public import public
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Averaged residuals: the least number of rows in a bin, and the largest number of bins.
LEAST_ROWS, MOST_BINS = 5, 40
# Areas of points in the plot of leverages, in square points: for a Cook's distance of zero, and for
# the largest one.
LEAST_AREA, LARGEST_AREA = 8.0, 150.0
# The width of a character and the distance of two lines in the names of rows, in points.
NAME_WIDTH, NAME_HEIGHT = 5.5, 9.5


@public
class DiagnosticsDisplay:
    """Four plots of the rows of a fit: averaged residuals, held-out losses and influence.

    - Averaged residuals: the means of the Pearson residuals of each class over rows with similar
      fitted probabilities of that class. In a model that fits, 95 % of them are within ±2/√m for m
      rows in a bin, the dashed lines (binned residuals of Gelman & Hill 2007, Data Analysis Using
      Regression, section 5.6).
    - By how much the log-probability of the observed class decreases if the model is fitted without
      the observation, plotted against the fitted probability. It is large for rows that the model
      predicts well only because it was fitted to them. Rows whose held-out probability is zero are
      not drawn.
    - Cook's distance of each row, in the order of the data.
    - The Pearson residual of the row, the square root of its term of Pearson's X², plotted against
      the leverage. The larger a point, the larger is its Cook's distance.

    Create it with `from_results`. The rows with the largest Cook's distances are labelled with
    their names.

    Parameters
    ----------
    table : pandas.DataFrame
        The result of `InferenceResults.diagnostics`.

    Attributes
    ----------
    axes_ : ndarray of shape (4,) of matplotlib.axes.Axes
        The axes, in the order above.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    labelled_ : list
        The names of the rows that have labels, by decreasing Cook's distance.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import DiagnosticsDisplay, MaxentClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> results = MaxentClassifier(C=np.inf).fit(X[:, [1]], y).infer(X[:, [1]], y)
    >>> DiagnosticsDisplay.from_results(results).labelled_[0]
    41
    """

    axes_: Array
    figure_: Figure | SubFigure
    labelled_: list[Any]

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_results(
        cls,
        results: InferenceResults,
        *,
        n_labels: int = 3,
        max_refits: int | None = 100,
        ax: Any = None,
    ) -> DiagnosticsDisplay:
        """Compute the table with `InferenceResults.diagnostics` and draw it.

        Parameters
        ----------
        results : InferenceResults
            The result of `infer`.
        n_labels : int, default=3
            Number of rows that are labelled: those with the largest Cook's distances.
        max_refits : int or None, default=100
            The largest number of exact fits without an observation. They replace approximations of
            the held-out probabilities where these may be too inaccurate, as in
            `InferenceResults.loo`. None makes as many as necessary, and 0 makes none.
        ax : sequence of four matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        DiagnosticsDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            Where `InferenceResults.diagnostics` or `plot` raises it.
        """
        check_type("results", results, InferenceResults, "results of infer")
        return cls(results.diagnostics(max_refits)).plot(n_labels=n_labels, ax=ax)

    def plot(self, *, n_labels: int = 3, ax: Any = None) -> DiagnosticsDisplay:
        """Draw the four plots.

        Parameters
        ----------
        n_labels : int, default=3
            Number of rows that are labelled.
        ax : sequence of four matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        DiagnosticsDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `n_labels` is negative, or `ax` is not four axes.
        """
        check_count("n_labels", n_labels, 0)
        table = self.table
        classes = table["probability_of"].columns.tolist()
        size = (9.6 + extra_inches([str(label) for label in classes]), 7.2)
        self.axes_ = panel_axes(ax, type(self).__name__, 4, "plot", size)
        self.figure_ = self.axes_[0].figure
        cook = table["cooks_distance"].to_numpy()
        largest = np.argsort(-cook, kind="stable")[:n_labels]
        self.labelled_ = table.index[largest].tolist()
        self._draw_residuals(self.axes_[0], classes)
        position = np.arange(len(table))
        points = (
            (table["fitted"].to_numpy(), _log_score_lost(table)),
            (position, cook),
            (table["leverage"].to_numpy(), table["pearson_residual"].to_numpy()),
        )
        # The tiny number keeps distances that are all zero from being divided by zero.
        area = LEAST_AREA + (LARGEST_AREA - LEAST_AREA) * cook / max(float(cook.max()), 1e-300)
        _, loss, distance, leverage = self.axes_
        loss.axhline(0.0, color="0.6", linewidth=0.8)
        loss.scatter(*points[0], s=12.0, alpha=0.6, linewidth=0)
        distance.vlines(position, 0.0, cook, linewidth=1.0)
        distance.set_ylim(bottom=0.0)
        leverage.scatter(*points[2], s=area, alpha=0.5, linewidth=0)
        for axes, (x, y) in zip(self.axes_[1:], points, strict=True):
            _name_points(axes, x[largest], y[largest], self.labelled_)
        names = (
            ("fitted probability of the observed class", "log score lost when held out"),
            ("row", "Cook's distance"),
            ("leverage", "Pearson residual"),
        )
        for axes, (x_name, y_name) in zip(self.axes_[1:], names, strict=True):
            axes.set_xlabel(x_name)
            axes.set_ylabel(y_name)
        return self

    def _draw_residuals(self, ax: Axes, classes: list[Any]) -> None:
        """Draw the averaged Pearson residuals of each class against its fitted probability."""
        table, n = self.table, len(self.table)
        n_bins = int(np.clip(np.sqrt(n), 1, max(1, min(MOST_BINS, n // LEAST_ROWS))))
        colours, handles = class_colours(len(classes)), []
        for label, colour in zip(classes, colours, strict=True):
            p = table["probability_of", label].to_numpy()
            residual = table["pearson_residual_of", label].to_numpy()
            bins = np.array_split(np.argsort(p, kind="stable"), n_bins)
            x = [p[rows].mean() for rows in bins]
            y = [residual[rows].mean() for rows in bins]
            handles += ax.plot(x, y, "o", color=colour, markersize=4.0, alpha=0.8)
        ax.axhline(0.0, color="0.6", linewidth=0.8)
        bound = 2.0 / np.sqrt(n / n_bins)
        for y_bound in (-bound, bound):
            ax.axhline(y_bound, color="0.6", linewidth=0.8, linestyle="--")
        ax.set_xlabel("fitted probability of the class")
        ax.set_ylabel("mean Pearson residual")
        names = [str(label) for label in classes]
        # The legend is to the right of the upper right plot.
        draw_class_legend(self.axes_[1], handles, names, most_rows=LEGEND_ROWS)


def _log_score_lost(table: pd.DataFrame) -> Array:
    """Return log(fitted probability / held-out probability) of the observed class for each row.

    It is NaN if the held-out probability is zero.
    """
    fitted, held_out = table["fitted"].to_numpy(), table["held_out"].to_numpy()
    ratio = np.divide(fitted, held_out, out=np.full_like(fitted, np.nan), where=held_out > 0.0)
    return np.asarray(np.log(ratio))


def _name_points(ax: Axes, x: Array, y: Array, names: list[Any]) -> None:
    """Write names next to the points (x, y), on the side towards the middle of the axes.

    Names that would overlap a higher one are written below it.
    """
    left, right = ax.get_xlim()
    points = ax.transData.transform(np.column_stack([x, y])) * 72.0 / ax.figure.dpi
    taken: list[tuple[float, float, float]] = []
    for i in np.argsort(-y, kind="stable").tolist():
        name, is_right = str(names[i]), bool(x[i] > 0.5 * (left + right))
        width = NAME_WIDTH * len(name)
        start, base = points[i, 0] + (-5.0 - width if is_right else 5.0), points[i, 1] + 3.0
        for other, other_base, other_width in taken:
            if start < other + other_width and other < start + width:
                base = min(base, other_base - NAME_HEIGHT)
        taken.append((start, base, width))
        ax.annotate(
            name,
            (x[i], y[i]),
            xytext=(-5 if is_right else 5, base - points[i, 1]),
            textcoords="offset points",
            ha="right" if is_right else "left",
            fontsize="small",
            **LITERAL_TEXT,
        )
