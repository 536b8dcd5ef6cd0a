"""Displays over the strength of the penalty: coefficients and cross-validated scores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._inference_kinds import check_offset_given
from skmaxent._input import _targets
from skmaxent._input._arguments import check_count, check_type
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import native
from skmaxent._input._labels import position_of
from skmaxent._input._settings import resolve_penalty
from skmaxent._model_selection._cross_validation import MaxentClassifierCV, classifier_of
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._path import fit_path
from skmaxent._model_selection._penalty_grid import DEFAULT_N_CS, PenaltyGrid, alphas_of
from skmaxent._model_selection._selection import chosen_index, mean_and_error
from skmaxent._plotting._axes import LITERAL_TEXT, USUAL_LENGTH, extra_inches, new_axes
from skmaxent._public import public
from skmaxent._typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# The colour of lines without a label.
GREY = "0.8"
# The least distance between two labels, relative to the height of the axes.
LABEL_GAP = 0.045


@public
class PathDisplay:
    """Plot of the coefficients against the inverse strength C of the penalty.

    Create it with `from_estimator` or `from_path`.

    Parameters
    ----------
    path : MaxentPath
        The result of `maxent_path`. A C of ``np.inf`` is not drawn.
    C : float, default=None
        The inverse strength to mark with a vertical line. There is no line for None, for
        ``np.inf`` and for a C outside of the path.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    lines_ : list of matplotlib.lines.Line2D
        The lines, one for each feature.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmaxent import MaxentClassifier, PathDisplay
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> clf = MaxentClassifier(l1_ratio=1.0, C=0.5).fit(X, y)
    >>> display = PathDisplay.from_estimator(clf, X, y, Cs=20)
    >>> display.ax_.get_xlabel()
    'C (weaker penalty to the right)'
    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Any]

    def __init__(self, path: MaxentPath, *, C: float | None = None) -> None:
        self.path = path
        self.C = C

    @classmethod
    def from_estimator(
        cls,
        estimator: MaxentClassifier | MaxentClassifierCV,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        Cs: Any = None,
        class_label: Any = None,
        n_labels: int = 10,
        ax: Axes | None = None,
    ) -> PathDisplay:
        """Fit the path of the estimator's parameters and draw it, with the estimator's C marked.

        Parameters
        ----------
        estimator : MaxentClassifier, MaxentClassifierCV, or Pipeline that ends in one
            A fitted estimator.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of the fit, for a pipeline before its transformers.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the rows; None stands for ones.
        offset : array-like, default=None
            Constants added to the logits, as in `maxent_path`.
        Cs : int or array-like of shape (n_Cs,), default=None
            The number of inverse strengths, or these themselves, as in `maxent_path`. None stands
            for the ones that a `MaxentClassifierCV` has tried, and for 100 otherwise.
        class_label : label, default=None
            The class whose coefficients are drawn. For None and two classes these are the
            coefficients of the single logit. For None and more classes they are the Euclidean
            norms of each feature's coefficients over all classes.
        n_labels : int, default=10
            The number of features to label: those with the largest coefficients at the marked C.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        PathDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator is neither a MaxentClassifier nor a MaxentClassifierCV.
        ValueError
            If X has other columns than the fit, or y other labels, or fewer, if the fit had an
            offset and none is given, if `class_label` is not a class, or if no C of the path is
            finite.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        transformers = None
        if isinstance(estimator, Pipeline):
            transformers, estimator = estimator[:-1] if len(estimator) > 1 else None, estimator[-1]
        is_cross_validated = isinstance(estimator, MaxentClassifierCV)
        if not is_cross_validated:
            what = "a MaxentClassifier or a MaxentClassifierCV"
            check_type("estimator", estimator, MaxentClassifier, what)
        check_is_fitted(estimator)
        columns = FittedColumns.of(estimator)
        X = X if transformers is None else transformers.transform(X)
        columns.check_names(native(X, "X"))
        columns.check_number(FittedColumns.of_data(X, "PathDisplay").n_features)
        check_offset_given(estimator, offset, "PathDisplay.from_estimator")
        if is_cross_validated:
            C = estimator.C_
            model = classifier_of(estimator, C=C, l1_ratio=estimator.l1_ratio_)
            Cs = estimator.Cs_ if Cs is None else Cs
        else:
            C, _ = resolve_penalty(estimator.penalty, estimator.C, estimator.l1_ratio)
            model = MaxentClassifier(**estimator.get_params(deep=False))
        grid = PenaltyGrid.of(DEFAULT_N_CS if Cs is None else Cs)
        _targets.refuse_lacking(y, np.asarray(estimator.classes_))
        path = fit_path(model, X, y, grid, sample_weight, offset, estimator.classes_)
        path = replace(path, feature_names=columns.named(transformers))
        alpha = getattr(estimator, "alpha", None)
        if alpha is not None:
            C = float(alphas_of(np.array(alpha), path.total_weight))
        return cls.from_path(path, C=C, class_label=class_label, n_labels=n_labels, ax=ax)

    @classmethod
    def from_path(
        cls,
        path: MaxentPath,
        *,
        C: float | None = None,
        class_label: Any = None,
        n_labels: int = 10,
        ax: Axes | None = None,
    ) -> PathDisplay:
        """Draw a path.

        Parameters
        ----------
        path : MaxentPath
            The result of `maxent_path`.
        C : float, default=None
            The inverse strength to mark with a vertical line. There is no line for None, for
            ``np.inf`` and for a C outside of the path.
        class_label : label, default=None
            The class whose coefficients are drawn; for None see `from_estimator`.
        n_labels : int, default=10
            The number of features to label: those with the largest coefficients at the marked C,
            or at the largest C if none is marked.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        PathDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `class_label` is not a class, or if no C of the path is finite.
        """
        check_type("path", path, MaxentPath, "a result of maxent_path")
        return cls(path, C=C).plot(class_label=class_label, n_labels=n_labels, ax=ax)

    def plot(
        self, *, class_label: Any = None, n_labels: int = 10, ax: Axes | None = None
    ) -> PathDisplay:
        """Draw the path.

        Parameters
        ----------
        class_label : label, default=None
            The class whose coefficients are drawn; for None see `from_estimator`.
        n_labels : int, default=10
            The number of features to label: those with the largest coefficients at the marked C,
            or at the largest C if none is marked.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        PathDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `class_label` is not a class, or if no C of the path is finite.
        """
        check_count("n_labels", n_labels, 0)
        values, what = self._values_and_label(class_label)
        order = np.argsort(self.path.Cs)
        _check_finite_C(self.path.Cs, "the path")
        order = order[np.isfinite(self.path.Cs[order])]
        Cs, values = self.path.Cs[order], values[order]
        at = len(Cs) - 1
        if self.C is not None and np.isfinite(self.C):
            at = int(np.abs(np.log(Cs / self.C)).argmin())
        rank = np.lexsort([-np.abs(values[-1]), -np.abs(values[at])])
        named = [j for j in rank[:n_labels] if values[:, j].any()]
        colors = {j: f"C{i % 10}" for i, j in enumerate(named)}
        names = [str(self.path.feature_names[j]) for j in named]
        size = 6.4 + extra_inches(names), 4.8 + extra_inches([what[USUAL_LENGTH:]])
        ax = new_axes(ax, type(self).__name__, figsize=size)
        self.lines_ = [
            ax.plot(
                Cs,
                values[:, j],
                color=colors.get(j, GREY),
                zorder=2.0 if j in colors else 1.0,
                label=str(self.path.feature_names[j]) if j in colors else None,
            )[0]
            for j in range(values.shape[1])
        ]
        ax.set_xscale("log")
        ax.margins(x=0.0)
        ax.set_xlabel("C (weaker penalty to the right)")
        ax.set_ylabel(what, **LITERAL_TEXT)
        ax.axhline(0.0, color="0.5", linewidth=0.8, zorder=0.5)
        if self.C is not None and Cs.min(initial=np.inf) <= self.C <= Cs.max(initial=0.0):
            _mark_C(ax, self.C)
        self._label_lines(ax, values[-1], named, colors)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _values_and_label(self, class_label: Any) -> tuple[Array, str]:
        """Return the values to draw, (n_Cs, n_features), and the label of their axis.

        The single logit of two classes belongs to the second; the first class has its negative.
        """
        coefs, classes = self.path.coefs, self.path.classes
        if class_label is None:
            if coefs.shape[1] == 1:
                return coefs[:, 0], f"coefficient, class {classes[1]}"
            return np.sqrt(np.square(coefs).sum(axis=1)), "length of the coefficients over classes"
        known = position_of(class_label, classes)
        if known is None:
            raise ValueError(f"class_label is {class_label!r}; expected one of {classes.tolist()}.")
        if coefs.shape[1] == 1:
            sign = 1.0 if known == 1 else -1.0
            return sign * coefs[:, 0], f"coefficient, class {class_label}"
        return coefs[:, known], f"coefficient, class {class_label}"

    def _label_lines(self, ax: Axes, ends: Array, named: list[int], colors: dict[int, str]) -> None:
        """Write the names of some features at the right ends of their lines, without overlap.

        `ends` (n_features,) are the heights of the right ends of all lines, `named` the positions
        of the features to name, and `colors` the colour of each of them by its position.
        """
        low, high = ax.get_ylim()
        gap = LABEL_GAP * (high - low)
        order = sorted(named, key=lambda j: ends[j])
        heights = np.array([ends[j] for j in order])
        for i in range(1, len(heights)):
            heights[i] = max(heights[i], heights[i - 1] + gap)
        if len(heights):
            # Names were moved upwards only; their mean goes back halfway to that of the ends.
            heights -= 0.5 * (heights - [ends[j] for j in order]).mean()
        for j, height in zip(order, heights, strict=True):
            ax.annotate(
                str(self.path.feature_names[j]),
                (1.0, height),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=colors[j],
                fontsize="small",
                annotation_clip=False,
                **LITERAL_TEXT,
            )


@public
class CVCurveDisplay:
    """Plot of the cross-validated score against the inverse strength C of the penalty.

    Create it with `from_estimator`.

    Parameters
    ----------
    estimator : MaxentClassifierCV
        A fitted estimator.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of the axes.
    lines_ : list of matplotlib.lines.Line2D
        The lines of the mean score, one for each l1_ratio.
    top_ax_ : matplotlib.axes.Axes
        The axis at the top with the number of features.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmaxent import CVCurveDisplay, MaxentClassifierCV
    >>> clf = MaxentClassifierCV(Cs=5, l1_ratios=[1.0]).fit(*load_wine(return_X_y=True))
    >>> display = CVCurveDisplay.from_estimator(clf)
    >>> len(display.lines_)
    1
    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Any]
    top_ax_: Any

    def __init__(self, estimator: MaxentClassifierCV) -> None:
        self.estimator = estimator

    @classmethod
    def from_estimator(
        cls, estimator: MaxentClassifierCV, *, ax: Axes | None = None
    ) -> CVCurveDisplay:
        """Draw the scores of a fitted estimator.

        The lines are the mean scores over folds, or over observations with ``cv="loo"``, with a
        band of one standard error at the l1_ratio of the best score. Vertical lines mark the best C
        and the smallest C, the strongest penalty, whose mean score is within one standard error of
        the best. The axis at the top shows the mean number of features with nonzero coefficients
        over folds, rounded, at the same l1_ratio as the band. With ``cv="loo"``, circles mark the
        Cs with exact fits; scores at larger Cs than these are less accurate.

        Parameters
        ----------
        estimator : MaxentClassifierCV
            A fitted estimator.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        CVCurveDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If no C of the estimator is finite.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        check_type("estimator", estimator, MaxentClassifierCV, "a MaxentClassifierCV")
        check_is_fitted(estimator)
        return cls(estimator).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> CVCurveDisplay:
        """Draw the scores, as `from_estimator` describes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.

        Returns
        -------
        CVCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If no C of the estimator is finite.
        """
        _check_finite_C(self.estimator.Cs_, "the estimator")
        ax = new_axes(ax, type(self).__name__)
        frame = self.estimator.cv_results_frame()
        if "gamma" in frame:
            # With refit=False, `gamma_` is a mean over folds; the scores are at one of `gammas_`.
            gammas = self.estimator.gammas_
            frame = frame[frame["gamma"] == gammas[self.estimator._chosen[-1]]]
        cv, ratios = self.estimator, self.estimator.l1_ratios_
        means = mean_and_error(cv.scores_[..., None], cv.fold_weights_)[0]
        scores = means, cv.scores_std_err_[..., None], cv.Cs_
        best, strongest = (chosen_index(*scores, rule) for rule in ("best", "one_standard_error"))
        self.lines_ = []
        for i, ratio in enumerate(ratios):
            rows = frame[frame["l1_ratio"] == ratio].sort_values("C")
            rows = rows[np.isfinite(rows["C"])]  # a logarithmic axis cannot show infinity
            C, mean, error = rows[["C", "mean_score", "standard_error"]].to_numpy().T
            label = f"l1_ratio = {ratio:g}" if len(ratios) > 1 else None
            self.lines_ += ax.plot(C, mean, color=f"C{i}", label=label)
            exact = getattr(cv, "n_refits_", np.zeros((len(ratios), 0)))[i].nonzero()[0]
            exact = exact[np.isfinite(cv.Cs_[exact])]
            if len(exact):
                values = cv.scores_[0, i, exact]
                name = "exact fits without a row" if i == best[0] else None
                ax.plot(cv.Cs_[exact], values, "o", color=f"C{i}", label=name)
            if i == best[0]:
                ax.fill_between(
                    C, mean - error, mean + error, color=f"C{i}", alpha=0.2, linewidth=0
                )
                self.top_ax_ = _features_on_top(ax, C, rows["n_features"].to_numpy())
        marks = (("best", best, "-"), ("one standard error", strongest, "--"))
        for name, index, style in marks:
            C = self.estimator.Cs_[index[1]]
            if not np.isfinite(C):
                continue
            ax.axvline(C, color="0.3", linestyle=style, linewidth=1.0, label=f"{name}: C = {C:.3g}")
        ax.margins(x=0.0)
        ax.set_xlabel("C (weaker penalty to the right)")
        named = "neg_log_loss" if cv.scoring is None else cv.scoring
        ax.set_ylabel(named if isinstance(named, str) else "score", **LITERAL_TEXT)
        if ax.get_legend_handles_labels()[0]:  # nothing has a label if the chosen C is infinite
            ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _check_finite_C(Cs: Array, owner: str) -> None:
    """Raise ValueError if no C of `owner` is finite: a logarithmic axis cannot show infinity."""
    if not np.isfinite(Cs).any():
        raise ValueError(
            f"{owner} has no finite C to draw, found Cs={Cs.tolist()}; expected one or more finite "
            "Cs."
        )


def _mark_C(ax: Axes, C: float) -> None:
    """Draw a vertical line at C, with its value above the axes."""
    ax.axvline(C, color="0.3", linestyle="--", linewidth=1.0)
    ax.annotate(
        f"C = {C:.3g}",
        (C, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize="small",
    )


def _features_on_top(ax: Axes, C: Array, n_features: Array) -> Any:
    """Add an axis at the top with the rounded numbers of features at up to eight Cs; return it.

    `C` and `n_features` have the shape (n_Cs,).
    """
    ax.set_xscale("log")
    top = ax.secondary_xaxis("top")
    positions = np.unique(np.linspace(0, len(C) - 1, min(len(C), 8)).round().astype(int))
    top.set_xticks(C[positions], [f"{round(n_features[i])}" for i in positions])
    top.minorticks_off()
    top.set_xlabel("features")
    return top
