"""Display of the calibration of the probabilities of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._effects._estimates import check_level
from skmaxent._inference._calibration_table import calibration_table
from skmaxent._inference._goodness_of_fit import Outcomes
from skmaxent._inference._results import InferenceResults
from skmaxent._input import _validation
from skmaxent._input._arguments import check_type
from skmaxent._model_selection._calibration import probabilities_and_shares
from skmaxent._plotting._axes import LITERAL_TEXT, class_colours, panel_axes, panels_in_row
from skmaxent._public import public
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure, SubFigure

# Width of a panel of a new figure in inches.
PANEL_SIZE = 3.2


@public
class ClassCalibrationDisplay:
    """Plot of observed shares of each class over its probability, with intervals.

    There is a panel for each class. A calibrated model has points near the diagonal. Create it with
    `from_predictions` for held-out rows, or `from_results` for the rows of a fit.

    Parameters
    ----------
    table : pandas.DataFrame
        As `InferenceResults.calibration` returns it: a row for each class and bin.
    conf_level : float, default=0.95
        The confidence level of the intervals in the table.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        The axes, one for each class.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    points_ : list of matplotlib.container.ErrorbarContainer
        The points with intervals, one for each class.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import ClassCalibrationDisplay, MaxentClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MaxentClassifier().fit(X, y)
    >>> display = ClassCalibrationDisplay.from_predictions(y, clf.predict_proba(X), n_bins=5)
    >>> len(display.axes_)
    3
    """

    axes_: Array
    figure_: Figure | SubFigure
    points_: list[Any]

    def __init__(self, table: pd.DataFrame, *, conf_level: float = 0.95) -> None:
        self.table = table
        self.conf_level = conf_level

    @classmethod
    def from_results(
        cls,
        results: InferenceResults,
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        conf_level: float = 0.95,
        ax: Any = None,
    ) -> ClassCalibrationDisplay:
        """Draw the calibration on the rows of a fit.

        Parameters
        ----------
        results : InferenceResults
            The result of `infer`.
        n_bins, strategy, conf_level : object
            As in `InferenceResults.calibration`.
        ax : matplotlib.axes.Axes or sequence of Axes, default=None
            The axes to draw on, one for each class; None creates a new figure.

        Returns
        -------
        ClassCalibrationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            As `InferenceResults.calibration`, and if `ax` has not one of the axes for each class.
        """
        check_type("results", results, InferenceResults, "results of infer")
        table = results.calibration(n_bins=n_bins, strategy=strategy, conf_level=conf_level)
        return cls(table, conf_level=conf_level).plot(ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_prob: Any,
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        conf_level: float = 0.95,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        ax: Any = None,
    ) -> ClassCalibrationDisplay:
        """Draw the calibration of predicted probabilities.

        Parameters
        ----------
        y_true, y_prob : object
            The observed classes and the predicted probabilities, as in
            `expected_calibration_error`.
        n_bins, strategy, conf_level : object
            As in `InferenceResults.calibration`.
        sample_weight, classes : object
            As in `expected_calibration_error`. With weights, the intervals use Kish's effective
            number of rows, (Σ w)²/Σ w².
        ax : matplotlib.axes.Axes or sequence of Axes, default=None
            The axes to draw on, one for each class; None creates a new figure.

        Returns
        -------
        ClassCalibrationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            As `expected_calibration_error`, and if `ax` has not one of the axes for each class.
        """
        check_level(conf_level)
        P, T, counts, labels = probabilities_and_shares(y_true, y_prob, classes)
        given = _validation.relative_weights(sample_weight, len(P))
        outcomes = Outcomes(P, T, counts)
        if given is not None:
            outcomes = Outcomes(P, T, counts * given).with_mean_one()
        table = calibration_table(
            outcomes, labels, n_bins, strategy, conf_level, are_counts=given is None
        )
        return cls(table, conf_level=conf_level).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> ClassCalibrationDisplay:
        """Draw the calibration.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or sequence of Axes, default=None
            The axes to draw on, one for each class; None creates a new figure.

        Returns
        -------
        ClassCalibrationDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` has not one of the axes for each class.
        """
        import pandas as pd

        # The rows of a class are found by its code, because pandas reads a list of the labels False
        # and True as a mask.
        codes, classes = pd.factorize(self.table.index.get_level_values(0))
        labels = classes.tolist()
        n_columns = panels_in_row(len(labels))
        n_rows = -(-len(labels) // n_columns)
        size = (PANEL_SIZE * n_columns, (PANEL_SIZE + 0.3) * n_rows)
        self.axes_ = panel_axes(ax, type(self).__name__, len(labels), "class", size)
        self.points_ = []
        colours = class_colours(len(labels))
        for code, (axes, label, colour) in enumerate(zip(self.axes_, labels, colours, strict=True)):
            rows = self.table[codes == code]
            x, y = rows["predicted"].to_numpy(), rows["observed"].to_numpy()
            bars = np.maximum([y - rows["lower"], rows["upper"] - y], 0.0)
            axes.plot([0.0, 1.0], [0.0, 1.0], color="0.6", linewidth=1.0, linestyle="--", zorder=0)
            self.points_.append(
                axes.errorbar(
                    x,
                    y,
                    yerr=bars,
                    fmt="o-",
                    markersize=4.0,
                    linewidth=1.0,
                    capsize=2.0,
                    color=colour,
                )
            )
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
            axes.set_title(str(label), fontsize="medium", **LITERAL_TEXT)
            axes.set_xlabel("predicted probability")
        self.axes_[0].set_ylabel(f"observed share, {100 * self.conf_level:g} % interval")
        self.figure_ = self.axes_[0].figure
        return self
