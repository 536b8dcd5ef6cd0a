"""Displays of estimates with intervals: a row for each feature, a colour for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._infer_pipeline import infer
from skmaxent._inference._results import InferenceResults
from skmaxent._input._arguments import check_count, check_flag, check_type
from skmaxent._plotting._axes import (
    LITERAL_TEXT,
    class_colours,
    draw_class_legend,
    extra_inches,
    new_axes,
)
from skmaxent._public import public
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Height in inches of a row, and of each class within the row, in a new figure.
FEATURE_HEIGHT, CLASS_HEIGHT = 0.16, 0.07
# The largest logarithm of a ratio that is drawn; matplotlib overflows with margins around more.
LARGEST_LOG = 500.0


class IntervalDisplay:
    """Base class of displays of a table of estimates with standard errors and intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        The estimate in the first column, and columns "std_err", "lower" and "upper", with an index
        of the levels "class" and "feature".
    conf_level : float, default=0.95
        The confidence level of the intervals.
    """

    ax_: Axes
    figure_: Figure | SubFigure
    containers_: list[Any]
    # What the estimates are, for the label of the axis.
    _what = ""
    # The value of no effect, at which a line is drawn.
    _null = 0.0
    # Whether estimates and intervals are drawn as ratios, exp(value), on a logarithmic axis.
    _is_exponentiated = False
    # Whether the last row of each class may be that of the intercept.
    _has_intercept = False

    def __init__(self, table: pd.DataFrame, *, conf_level: float = 0.95) -> None:
        self.table = table
        self.conf_level = conf_level

    def plot(self, *, n_features: int = 50, ax: Axes | None = None) -> Any:
        """Draw the estimates and their intervals.

        Parameters
        ----------
        n_features : int, default=50
            The most features to draw. If there are more, those with the largest ratios of estimate
            and standard error are drawn, in the order of the table.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure, as high as the features need.

        Returns
        -------
        CoefficientDisplay, MarginalEffectsDisplay or EffectsDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `n_features` is not a positive integer, or if the classes of the table do not have
            the same features in the same order.
        TypeError
            If `ax` is not matplotlib axes.
        """
        check_count("n_features", n_features, 1)
        names, labels, values = self._values()
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.nan_to_num(np.abs(values[..., 0] / values[..., 1])).max(axis=0)
        shown = np.sort(np.argsort(-size, kind="stable")[:n_features])
        height = 1.2 + len(shown) * (FEATURE_HEIGHT + CLASS_HEIGHT * len(labels))
        rows_of, classes = [str(names[j]) for j in shown], [str(label) for label in labels]
        width = 6.4 + extra_inches(rows_of) + extra_inches(classes)
        ax = new_axes(ax, type(self).__name__, figsize=(width, max(height, 2.0)))
        self.containers_ = []
        colours = class_colours(len(labels))
        for i, label in enumerate(classes):
            rows = np.arange(len(shown)) + (i - (len(labels) - 1) / 2) * 0.8 / len(labels)
            container = self._draw_class(ax, rows, values[i, shown], color=colours[i], label=label)
            self.containers_.append(container)
        ax.autoscale_view()
        ax.axvline(self._null, color="0.5", linewidth=0.8, zorder=0.5)
        if self._is_exponentiated:
            _ratio_axis(ax)
        ax.set_yticks(np.arange(len(shown)), rows_of, **LITERAL_TEXT)
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.set_xlabel(f"{self._what}, {100 * self.conf_level:g} % interval", **LITERAL_TEXT)
        if len(labels) > 1:
            draw_class_legend(ax, self.containers_, classes)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_class(self, ax: Axes, rows: Array, values: Array, **style: Any) -> Any:
        """Draw the estimates of a class with intervals; return the ErrorbarContainer.

        `rows` (n_features,) are the vertical positions, and `values` (n_features, 4) the estimates,
        standard errors, and lower and upper ends.
        """
        value, _, lower, upper = values.T
        if self._is_exponentiated:
            value, lower, upper = (
                np.exp(np.clip(part, -LARGEST_LOG, LARGEST_LOG)) for part in (value, lower, upper)
            )
        # matplotlib refuses negative lengths of error bars, but an interval of bootstrap
        # percentiles need not contain the estimate. The true ends are set below.
        bars = np.maximum([value - lower, upper - value], 0.0)
        container = ax.errorbar(
            value, rows, xerr=bars, fmt="o", markersize=3.0, linewidth=1.0, **style
        )
        ends = np.stack([np.column_stack([end, rows]) for end in (lower, upper)], axis=1)
        container.lines[2][0].set_segments(list(ends))
        ax.update_datalim(ends.reshape(-1, 2)[np.isfinite(ends).all(axis=2).ravel()])
        return container

    def _values(self) -> tuple[list[Any], list[Any], Array]:
        """Return the names of the features, the classes, and the values to draw.

        The values, (n_classes, n_features, 4), are the estimate, its standard error and the lower
        and upper ends of its interval. The intercept, the last row of a class, is left out.
        """
        import pandas as pd

        codes, labels = pd.factorize(self.table.index.get_level_values("class"))
        columns = [self.table.columns[0], "std_err", "lower", "upper"]
        parts = [self.table.loc[codes == i, columns] for i in range(len(labels))]
        features = [part.index.get_level_values("feature").tolist() for part in parts]
        if any(of_class != features[0] for of_class in features):
            different = next(i for i, of_class in enumerate(features) if of_class != features[0])
            raise ValueError(
                f"table has the features {features[different][:5]} for the class "
                f"{labels[different]!r} and {features[0][:5]} for the class {labels[0]!r} (the "
                "first five); expected the same features, in the same order, for each class."
            )
        names = features[0]
        if self._has_intercept and names[-1:] == ["Intercept"]:
            names = names[:-1]
        values = np.stack([part.to_numpy(dtype=float)[: len(names)] for part in parts])
        return names, list(labels), values


def _ratio_axis(ax: Axes) -> None:
    """Make the horizontal axis logarithmic, with ticks at 1, 2 and 5 or at powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    decades = np.log10(high) - np.log10(low)
    if decades < 0.7:
        ax.xaxis.set_major_locator(MaxNLocator(6))
    else:
        subs = (1.0, 2.0, 5.0) if decades < 3.0 else (1.0,)
        ax.xaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.minorticks_off()


@public
class CoefficientDisplay(IntervalDisplay):
    """Plot of coefficients with their confidence intervals.

    Create it with `from_results` or `from_estimator`. The intercepts are not drawn.

    Parameters
    ----------
    table : pandas.DataFrame
        The result of `InferenceResults.summary`.
    conf_level : float, default=0.95
        The confidence level of the intervals in the table.
    exponentiate : bool, default=False
        Whether to draw the ratios exp(coefficient) and their intervals on a logarithmic axis, with
        a line at 1.
    reference : str, default=None
        The name of the reference class, for the label of the axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    containers_ : list of matplotlib.container.ErrorbarContainer
        The points and error bars, a container for each class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import CoefficientDisplay, MaxentClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> X = X[:, [1]]
    >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    >>> display = CoefficientDisplay.from_results(results)
    >>> display.ax_.get_xlabel()
    'coefficient, 95 % interval'
    """

    _what = "coefficient"
    _has_intercept = True

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        conf_level: float = 0.95,
        exponentiate: bool = False,
        reference: str | None = None,
    ) -> None:
        check_flag("exponentiate", exponentiate)
        super().__init__(table, conf_level=conf_level)
        self.exponentiate = exponentiate
        self.reference = reference
        if exponentiate:
            self._is_exponentiated, self._null = True, 1.0
            n_equations = table.index.get_level_values("class").nunique()
            self._what = "odds ratio" if n_equations == 1 else "relative risk ratio"
        if reference is not None:
            self._what += f" against {reference}"

    @classmethod
    def from_results(
        cls,
        results: InferenceResults,
        *,
        conf_level: float = 0.95,
        exponentiate: bool = False,
        n_features: int = 50,
        ax: Axes | None = None,
    ) -> CoefficientDisplay:
        """Draw the coefficients of results.

        Parameters
        ----------
        results : InferenceResults
            The result of `MaxentClassifier.infer`.
        conf_level : float, default=0.95
            The confidence level of the intervals.
        exponentiate : bool, default=False
            Whether to draw the ratios exp(coefficient) and their intervals on a logarithmic axis,
            with a line at 1: odds ratios for two classes and relative risk ratios for more. The
            label of the axis names the reference class.
        n_features : int, default=50
            The most features to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        CoefficientDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `conf_level` is not between 0 and 1.
        """
        check_type("results", results, InferenceResults, "results of infer")
        reference = None
        if exponentiate:
            is_symmetric = len(results.rows) == len(results.classes)
            reference = "the mean of all classes" if is_symmetric else str(results.reference)
        display = cls(
            results.summary(conf_level),
            conf_level=conf_level,
            exponentiate=exponentiate,
            reference=reference,
        )
        display._has_intercept = results.has_intercept
        display.plot(n_features=n_features, ax=ax)
        return display

    @classmethod
    def from_estimator(
        cls,
        estimator: MaxentClassifier | Pipeline,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
        exponentiate: bool = False,
        n_features: int = 50,
        ax: Axes | None = None,
        **options: Any,
    ) -> CoefficientDisplay:
        """Compute intervals with `infer` and draw the coefficients.

        Parameters
        ----------
        estimator : MaxentClassifier, or Pipeline that ends in one
            A fitted estimator.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the fit; None stands for ones.
        conf_level : float, default=0.95
            The confidence level of the intervals.
        exponentiate : bool, default=False
            Whether to draw ratios, as in `from_results`.
        n_features : int, default=50
            The most features to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.
        **options
            Further arguments of `infer`.

        Returns
        -------
        CoefficientDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `conf_level` is not between 0 and 1, or if `infer` raises it.
        """
        results = infer(estimator, X, y, sample_weight, **options)
        return cls.from_results(
            results,
            conf_level=conf_level,
            exponentiate=exponentiate,
            n_features=n_features,
            ax=ax,
        )


@public
class MarginalEffectsDisplay(IntervalDisplay):
    """Plot of marginal effects on the class probabilities with their confidence intervals.

    Create it with `from_results`.

    Parameters
    ----------
    table : pandas.DataFrame
        The result of `InferenceResults.marginal_effects`.
    conf_level : float, default=0.95
        The confidence level of the intervals in the table.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    containers_ : list of matplotlib.container.ErrorbarContainer
        The points and error bars, a container for each class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MarginalEffectsDisplay, MaxentClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> X = X[:, [1]]
    >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    >>> display = MarginalEffectsDisplay.from_results(results, X)
    >>> display.ax_.get_xlabel()
    'effect on the probability, 95 % interval'
    """

    _what = "effect on the probability"

    @classmethod
    def from_results(
        cls,
        results: InferenceResults,
        X: Any,
        *,
        conf_level: float = 0.95,
        n_features: int = 50,
        ax: Axes | None = None,
        **options: Any,
    ) -> MarginalEffectsDisplay:
        """Compute the marginal effects of results and draw them.

        Parameters
        ----------
        results : InferenceResults
            The result of `MaxentClassifier.infer`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows over which effects are averaged.
        conf_level : float, default=0.95
            The confidence level of the intervals.
        n_features : int, default=50
            The most features to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.
        **options
            Further arguments of `InferenceResults.marginal_effects`.

        Returns
        -------
        MarginalEffectsDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `conf_level` is not between 0 and 1.
        """
        check_type("results", results, InferenceResults, "results of infer")
        display = cls(
            results.marginal_effects(X, conf_level=conf_level, **options), conf_level=conf_level
        )
        display.plot(n_features=n_features, ax=ax)
        return display
