"""Pictures of paths and of cross-validation; matplotlib is imported where it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input._validation import resolve_penalty
from skmaxent._model_selection._cross_validation import MaxentClassifierCV, chosen_index
from skmaxent._model_selection._path import MaxentPath, check_Cs, fit_path
from skmaxent._typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "0.8"
# Inches for a letter of names that are longer than usual, and inches that are enough for a name.
LETTER_WIDTH, USUAL_LENGTH, LONGEST = 0.09, 20, 100.0
# Properties of texts with names in them: "$", "_" and "\\" stand for themselves.
LITERALLY: dict[str, Any] = {"parse_math": False, "usetex": False}
# Smallest distance of two labels, relative to the height of the axes.
LABEL_GAP = 0.045


def new_axes(ax: Axes | None, name: str, **figure: Any) -> Axes:
    """The axes that are given, or new ones for the display of that name."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{name} draws with matplotlib, which is not installed: pip install matplotlib."
        ) from error
    if ax is not None:
        return ax
    axes: Axes = plt.subplots(layout="constrained", **figure)[1]
    return axes


def draw_legend(ax: Axes, handles: list[Any], labels: list[str], **options: Any) -> None:
    """A legend with these labels, letter by letter.

    matplotlib leaves out labels that begin with "_" and reads mathematics between dollar signs: the
    labels are written once the legend is there.
    """
    legend = ax.legend(handles, [f"label {i}" for i in range(len(labels))], **options)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.update({"text": label} | LITERALLY)


def inches(texts: list[str]) -> float:
    """How much longer the longest of some texts is than `USUAL_LENGTH`, up to `LONGEST` inches."""
    lengths = [sum(1 + (east_asian_width(c) in "WF") for c in text) for text in texts]
    excess = max(lengths, default=0) - USUAL_LENGTH
    return float(np.clip(excess * LETTER_WIDTH, 0.0, LONGEST))


class PathDisplay:
    """Coefficients against the penalty.

    It is made by `from_estimator` or `from_path`.

    Parameters
    ----------
    path : MaxentPath
        From `maxent_path`. Of its Cs, ``np.inf`` is not drawn.
    C : float, default=None
        Inverse strength to mark; ``np.inf``, no penalty, has no mark.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes that were drawn on.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : list of matplotlib.lines.Line2D
        A line for each feature.

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
    figure_: Any
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
        offset: Any = None,
        Cs: Any = None,
        class_label: Any = None,
        n_labels: int = 10,
        ax: Axes | None = None,
    ) -> PathDisplay:
        """Fit the path of a fitted estimator's objective and draw it, with its `C` marked.

        Parameters
        ----------
        estimator : MaxentClassifier or MaxentClassifierCV
            Fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like, default=None
            Known part of the logits, as in `maxent_path`.
        Cs : int or array-like, default=None
            As in `maxent_path`; None is what a `MaxentClassifierCV` tried, or 100.
        class_label : label, default=None
            The class whose coefficients to draw. None is the only logit of two classes; of more,
            the Euclidean length of each feature's coefficients over all classes.
        n_labels : int, default=10
            Features to name: those with the largest coefficients at the marked C.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        PathDisplay

        Raises
        ------
        ImportError
            Where matplotlib is missing.
        """
        check_is_fitted(estimator)
        if isinstance(estimator, MaxentClassifierCV):
            C = estimator.C_
            model = estimator._model(C=C, l1_ratio=estimator.l1_ratio_)
            Cs = estimator.Cs_ if Cs is None else Cs
        else:
            C, _ = resolve_penalty(estimator.penalty, estimator.C, estimator.l1_ratio)
            model = MaxentClassifier(**estimator.get_params(deep=False))
        path = fit_path(model, X, y, check_Cs(100 if Cs is None else Cs), sample_weight, offset)
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
            From `maxent_path`.
        C : float, default=None
            Inverse strength to mark; none is marked outside of the path, such as ``np.inf``.
        class_label : label, default=None
            The class whose coefficients to draw; None as in `from_estimator`.
        n_labels : int, default=10
            Features to name.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        PathDisplay
        """
        return cls(path, C=C).plot(class_label=class_label, n_labels=n_labels, ax=ax)

    def plot(
        self, *, class_label: Any = None, n_labels: int = 10, ax: Axes | None = None
    ) -> PathDisplay:
        """Draw.

        Parameters
        ----------
        class_label : label, default=None
            The class whose coefficients to draw; None as in `from_estimator`.
        n_labels : int, default=10
            Features to name.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        PathDisplay
            Itself.

        Raises
        ------
        ImportError
            Where matplotlib is missing.
        ValueError
            Where `class_label` is no class, or no C of the path is finite.
        """
        values, what = self._values(class_label)
        order = np.argsort(self.path.Cs)
        order = order[np.isfinite(self.path.Cs[order])]  # no axis reaches np.inf
        if not len(order):
            raise ValueError("the path has no finite C to draw; found Cs=[inf].")
        Cs, values = self.path.Cs[order], values[order]
        if not len(Cs):
            raise ValueError("the path has no finite C to draw.")
        at = len(Cs) - 1
        if self.C is not None and np.isfinite(self.C):
            at = int(np.abs(np.log(Cs / self.C)).argmin())
        rank = np.lexsort([-np.abs(values[-1]), -np.abs(values[at])])
        named = [j for j in rank[:n_labels] if values[:, j].any()]
        colors = {j: f"C{i % 10}" for i, j in enumerate(named)}
        names = [str(self.path.feature_names[j]) for j in named]
        size = 6.4 + inches(names), 4.8 + inches([what[USUAL_LENGTH:]])
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
        ax.set_ylabel(what, **LITERALLY)
        ax.axhline(0.0, color="0.5", linewidth=0.8, zorder=0.5)
        if self.C is not None and Cs.min(initial=np.inf) <= self.C <= Cs.max(initial=0.0):
            ax.axvline(self.C, color="0.3", linestyle="--", linewidth=1.0)
            ax.annotate(
                f"C = {self.C:.3g}",
                (self.C, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize="small",
            )
        self._name(ax, values[-1], named, colors)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _values(self, class_label: Any) -> tuple[Array, str]:
        coefs, classes = self.path.coefs, self.path.classes
        if class_label is None:
            if coefs.shape[1] == 1:
                return coefs[:, 0], f"coefficient, class {classes[1]}"
            return np.sqrt(np.square(coefs).sum(axis=1)), "length of the coefficients over classes"
        known = np.flatnonzero(classes == class_label)
        if not len(known):
            raise ValueError(f"class_label is {class_label!r}; expected one of {classes.tolist()}.")
        if coefs.shape[1] == 1:
            sign = 1.0 if known[0] == 1 else -1.0
            return sign * coefs[:, 0], f"coefficient, class {class_label}"
        return coefs[:, known[0]], f"coefficient, class {class_label}"

    def _name(self, ax: Axes, ends: Array, named: list[int], colors: dict[int, str]) -> None:
        """Names at the ends of the lines, moved apart where they would overlap."""
        low, high = ax.get_ylim()
        gap = LABEL_GAP * (high - low)
        order = sorted(named, key=lambda j: ends[j])
        heights = np.array([ends[j] for j in order])
        for i in range(1, len(heights)):
            heights[i] = max(heights[i], heights[i - 1] + gap)
        if len(heights):
            # Half of what the last was moved is given back to all.
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
                **LITERALLY,
            )


class CVCurveDisplay:
    """Cross-validated score against the penalty.

    It is made by `from_estimator`.

    Parameters
    ----------
    estimator : MaxentClassifierCV
        Fitted.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes that were drawn on.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : list of matplotlib.lines.Line2D
        Mean score, a line for each l1_ratio.
    top_ax_ : matplotlib.axes.Axes
        The axis of the number of features.

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
    figure_: Any
    lines_: list[Any]
    top_ax_: Any

    def __init__(self, estimator: MaxentClassifierCV) -> None:
        self.estimator = estimator

    @classmethod
    def from_estimator(
        cls, estimator: MaxentClassifierCV, *, ax: Axes | None = None
    ) -> CVCurveDisplay:
        """Draw the scores of a fitted estimator.

        The band is one standard error about the mean over folds, the marks are the best penalty and
        the strongest within one standard error of it, and on top is the mean number of features
        whose coefficients are not zero, at the chosen l1_ratio.

        Parameters
        ----------
        estimator : MaxentClassifierCV
            Fitted.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        CVCurveDisplay

        Raises
        ------
        ImportError
            Where matplotlib is missing.
        """
        check_is_fitted(estimator)
        return cls(estimator).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> CVCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        CVCurveDisplay
            Itself.
        """
        ax = new_axes(ax, type(self).__name__)
        frame = self.estimator.cv_results_frame()
        if "gamma" in frame:
            frame = frame[frame["gamma"] == self.estimator.gamma_]
        ratios = self.estimator.l1_ratios_
        scores = self.estimator.scores_[..., None]
        best = chosen_index(scores, self.estimator.Cs_, "best")
        strongest = chosen_index(scores, self.estimator.Cs_, "one_standard_error")
        self.lines_ = []
        for i, ratio in enumerate(ratios):
            rows = frame[frame["l1_ratio"] == ratio].sort_values("C")
            rows = rows[np.isfinite(rows["C"])]  # the axis has no place for no penalty
            C, mean, error = (
                rows[name].to_numpy() for name in ("C", "mean_score", "standard_error")
            )
            label = f"l1_ratio = {ratio:g}" if len(ratios) > 1 else None
            self.lines_ += ax.plot(C, mean, color=f"C{i}", label=label)
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
        scoring = self.estimator.scoring
        named = "neg_log_loss" if scoring is None else scoring
        ax.set_ylabel(named if isinstance(named, str) else "score", **LITERALLY)
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _features_on_top(ax: Axes, C: Array, n_features: Array) -> Any:
    ax.set_xscale("log")
    top = ax.secondary_xaxis("top")
    positions = np.unique(np.linspace(0, len(C) - 1, min(len(C), 8)).round().astype(int))
    top.set_xticks(C[positions], [f"{n_features[i]:.3g}" for i in positions])
    top.minorticks_off()
    top.set_xlabel("features")
    return top
