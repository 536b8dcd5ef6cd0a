"""Forest plots: estimates with their intervals, a row for each feature, a colour for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skmaxent._classifier import MaxentClassifier
from skmaxent._display import new_axes
from skmaxent._results import InferenceResults

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Array = NDArray[Any]

# Inches for a feature and for a class within it, where the axes are ours.
FEATURE_HEIGHT, CLASS_HEIGHT = 0.16, 0.07


class _ForestDisplay:
    """What both displays draw: a table with an estimate and the columns lower and upper."""

    ax_: Axes
    figure_: Any
    containers_: list[Any]
    _what = ""

    def __init__(self, table: pd.DataFrame, *, level: float = 0.95) -> None:
        self.table = table
        self.level = level

    def plot(self, *, n_features: int = 50, ax: Axes | None = None) -> Any:
        """Draw.

        Parameters
        ----------
        n_features : int, default=50
            Most features to draw: those whose estimates are largest in standard errors, in the
            order of the table.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones, as high as the features need.

        Returns
        -------
        display
            Itself.

        Raises
        ------
        ImportError
            Where matplotlib is missing.
        """
        table = self.table[self.table.index.get_level_values("feature") != "Intercept"]
        estimate, error = table.iloc[:, 0], table["std_err"]
        size = (estimate / error).abs().groupby("feature").max()
        names = list(dict.fromkeys(table.index.get_level_values("feature")))
        shown = set(size.sort_values(ascending=False).index[:n_features])
        names = [name for name in names if name in shown]
        labels = list(dict.fromkeys(table.index.get_level_values("class")))
        height = 1.2 + len(names) * (FEATURE_HEIGHT + CLASS_HEIGHT * len(labels))
        ax = new_axes(ax, type(self).__name__, figsize=(6.4, max(height, 2.0)))
        self.containers_ = []
        for i, label in enumerate(labels):
            part = table.loc[label].loc[names]
            shift = (i - (len(labels) - 1) / 2) * 0.8 / len(labels)
            value = part.iloc[:, 0].to_numpy()
            bars = np.vstack([value - part["lower"], part["upper"] - value])
            self.containers_.append(
                ax.errorbar(
                    value,
                    np.arange(len(names)) + shift,
                    xerr=bars,
                    fmt="o",
                    markersize=3.0,
                    linewidth=1.0,
                    color=f"C{i % 10}",
                    label=str(label),
                )
            )
        ax.axvline(0.0, color="0.5", linewidth=0.8, zorder=0.5)
        ax.set_yticks(np.arange(len(names)), [str(name) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlabel(f"{self._what}, {100 * self.level:g} % interval")
        if len(labels) > 1:
            ax.legend(title="class", fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        self.ax_, self.figure_ = ax, ax.figure
        return self


class CoefficientDisplay(_ForestDisplay):
    """Coefficients with intervals.

    It is made by `from_results` or `from_estimator`.

    Parameters
    ----------
    table : pandas.DataFrame
        `InferenceResults.summary`.
    level : float, default=0.95
        Of its intervals.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes that were drawn on.
    figure_ : matplotlib.figure.Figure
        Their figure.
    containers_ : list of matplotlib.container.ErrorbarContainer
        One for each class.

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

    @classmethod
    def from_results(
        cls,
        results: InferenceResults,
        *,
        level: float = 0.95,
        n_features: int = 50,
        ax: Axes | None = None,
    ) -> CoefficientDisplay:
        """Draw the coefficients of results.

        Parameters
        ----------
        results : InferenceResults
            From `MaxentClassifier.infer`.
        level : float, default=0.95
            Of the intervals.
        n_features : int, default=50
            Most features to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        CoefficientDisplay
        """
        display = cls(results.summary(level), level=level)
        display.plot(n_features=n_features, ax=ax)
        return display

    @classmethod
    def from_estimator(
        cls,
        estimator: MaxentClassifier,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        level: float = 0.95,
        n_features: int = 50,
        ax: Axes | None = None,
        **options: Any,
    ) -> CoefficientDisplay:
        """Infer and draw.

        Parameters
        ----------
        estimator : MaxentClassifier
            Fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the fit.
        level : float, default=0.95
            Of the intervals.
        n_features : int, default=50
            Most features to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.
        **options
            For `MaxentClassifier.infer`.

        Returns
        -------
        CoefficientDisplay
        """
        results = estimator.infer(X, y, sample_weight, **options)
        return cls.from_results(results, level=level, n_features=n_features, ax=ax)


class MarginalEffectsDisplay(_ForestDisplay):
    """Marginal effects with intervals.

    It is made by `from_results`.

    Parameters
    ----------
    table : pandas.DataFrame
        `InferenceResults.marginal_effects`.
    level : float, default=0.95
        Of its intervals.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes that were drawn on.
    figure_ : matplotlib.figure.Figure
        Their figure.
    containers_ : list of matplotlib.container.ErrorbarContainer
        One for each class.

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
        level: float = 0.95,
        n_features: int = 50,
        ax: Axes | None = None,
        **options: Any,
    ) -> MarginalEffectsDisplay:
        """Compute and draw.

        Parameters
        ----------
        results : InferenceResults
            From `MaxentClassifier.infer`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to average over.
        level : float, default=0.95
            Of the intervals.
        n_features : int, default=50
            Most features to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.
        **options
            For `InferenceResults.marginal_effects`.

        Returns
        -------
        MarginalEffectsDisplay
        """
        display = cls(results.marginal_effects(X, level=level, **options), level=level)
        display.plot(n_features=n_features, ax=ax)
        return display
