"""Forest plots: estimates with their intervals, a row for each feature, a colour for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._inference._results import InferenceResults
from skmaxent._plotting._displays import LITERALLY, draw_legend, inches, new_axes
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches for a feature and for a class within it, where the axes are ours.
FEATURE_HEIGHT, CLASS_HEIGHT = 0.16, 0.07


class _ForestDisplay:
    """What both displays draw: a table with an estimate and the columns lower and upper."""

    ax_: Axes
    figure_: Any
    containers_: list[Any]
    _what = ""
    # Whether the last row of each class may be that of the intercept.
    _has_intercept = False

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
        names, labels, values = self._values()
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.nan_to_num(np.abs(values[..., 0] / values[..., 1])).max(axis=0)
        shown = np.sort(np.argsort(-size, kind="stable")[:n_features])
        height = 1.2 + len(shown) * (FEATURE_HEIGHT + CLASS_HEIGHT * len(labels))
        rows_of, classes = [str(names[j]) for j in shown], [str(label) for label in labels]
        width = 6.4 + inches(rows_of) + inches(classes)
        ax = new_axes(ax, type(self).__name__, figsize=(width, max(height, 2.0)))
        self.containers_ = []
        for i, label in enumerate(classes):
            value, _, lower, upper = values[i, shown].T
            rows = np.arange(len(shown)) + (i - (len(labels) - 1) / 2) * 0.8 / len(labels)
            # Percentiles of a bootstrap need not lie on both sides of the estimate.
            bars = np.maximum([value - lower, upper - value], 0.0)
            container = ax.errorbar(
                value,
                rows,
                xerr=bars,
                fmt="o",
                markersize=3.0,
                linewidth=1.0,
                color=f"C{i % 10}",
                label=label,
            )
            ends = np.stack([np.column_stack([end, rows]) for end in (lower, upper)], axis=1)
            container.lines[2][0].set_segments(list(ends))
            ax.update_datalim(ends.reshape(-1, 2)[np.isfinite(ends).all(axis=2).ravel()])
            self.containers_.append(container)
        ax.autoscale_view()
        ax.axvline(0.0, color="0.5", linewidth=0.8, zorder=0.5)
        ax.set_yticks(np.arange(len(shown)), rows_of, **LITERALLY)
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.set_xlabel(f"{self._what}, {100 * self.level:g} % interval")
        if len(labels) > 1:
            draw_legend(
                ax,
                self.containers_,
                classes,
                title="class",
                fontsize="small",
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _values(self) -> tuple[list[Any], list[Any], Array]:
        """Features, classes, and of each class and feature the estimate, error and interval.

        The intercept, the last row of a class that has one, is left out.
        """
        import pandas as pd

        codes, labels = pd.factorize(self.table.index.get_level_values("class"))
        columns = [self.table.columns[0], "std_err", "lower", "upper"]
        parts = [self.table.loc[codes == i, columns] for i in range(len(labels))]
        features = [part.index.get_level_values("feature").tolist() for part in parts]
        if any(of_class != features[0] for of_class in features):
            raise ValueError(
                "table must have the same features, in the same order, for each class."
            )
        names = features[0]
        if self._has_intercept and names[-1:] == ["Intercept"]:
            names = names[:-1]
        values = np.stack([part.to_numpy(dtype=float)[: len(names)] for part in parts])
        return names, list(labels), values


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
    _has_intercept = True

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
        display._has_intercept = results.has_intercept
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
