"""Display of comparisons and slopes: estimates with intervals, a colour for each class."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skmaxent._effects._table_rows import NUMBERS
from skmaxent._inference._results import InferenceResults
from skmaxent._input._arguments import check_choice, check_type
from skmaxent._plotting._intervals import IntervalDisplay
from skmaxent._public import public

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

EFFECT_KINDS = ("comparisons", "slopes")
# The label of the axis for each comparison and slope, and the value of no effect.
MEANINGS = {
    "difference": ("change of the probability", 0.0),
    "ratio": ("ratio of the probabilities", 1.0),
    "lnratio": ("logarithm of the ratio of the probabilities", 0.0),
    "lnor": ("logarithm of the odds ratio", 0.0),
    "lift": ("relative change of the probability", 0.0),
    "dydx": ("slope of the probability", 0.0),
    "eyex": ("elasticity of the probability", 0.0),
    "eydx": ("relative slope of the probability", 0.0),
    "dyex": ("slope of the probability by the logarithm of the variable", 0.0),
}
# The contrast of a step around the values of a variable, such as "(x + 0.5) - (x - 0.5)".
STEP = re.compile(r"\(x \+ (?P<half>.+)\) - \(x - (?P=half)\)")


@public
class EffectsDisplay(IntervalDisplay):
    """Plot of comparisons or slopes of variables with their confidence intervals.

    There is a row for each variable and contrast, and for each group if `by` named variables. The
    classes have colours. Create it with `from_results`.

    Parameters
    ----------
    table : pandas.DataFrame
        The result of `InferenceResults.comparisons` or `InferenceResults.slopes`: columns
        "variable" and "contrast", then those that name a group or row, then the class, then
        "estimate", "std_err", "lower" and "upper".
    conf_level : float, default=0.95
        The confidence level of the intervals in the table.
    effect : {"difference", "ratio", "lnratio", "lnor", "lift", "dydx", "eyex", "eydx", "dyex"}, \
default="difference"
        The `comparison` or `slope` of the table. It gives the label of the axis and the place of
        the line of no effect.

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
    >>> from skmaxent import EffectsDisplay, MaxentClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> X = X[["sepal width (cm)"]]
    >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    >>> display = EffectsDisplay.from_results(results, kind="slopes")
    >>> display.ax_.get_xlabel()
    'slope of the probability, 95 % interval'
    """

    def __init__(
        self, table: pd.DataFrame, *, conf_level: float = 0.95, effect: str = "difference"
    ) -> None:
        check_choice("effect", effect, MEANINGS)
        super().__init__(_by_class_and_row(table, effect), conf_level=conf_level)
        self.effect = effect
        self._what, self._null = MEANINGS[effect]

    @classmethod
    def from_results(
        cls,
        results: InferenceResults,
        variables: Any = None,
        *,
        kind: str = "comparisons",
        newdata: Any = None,
        by: Any = True,
        conf_level: float = 0.95,
        n_features: int = 50,
        ax: Axes | None = None,
        **options: Any,
    ) -> EffectsDisplay:
        """Compute comparisons or slopes of results and draw them.

        Parameters
        ----------
        results : InferenceResults
            The result of `infer`.
        variables : str, list of str or dict, default=None
            The variables, as in `InferenceResults.comparisons` and `InferenceResults.slopes`.
        kind : {"comparisons", "slopes"}, default="comparisons"
            The method that computes the effects.
        newdata : DataFrame, array-like, "mean" or datagrid, default=None
            The rows whose effects are computed; None is the rows of the fit.
        by : bool, str or list of str, default=True
            True draws averages over all rows. Names of variables draw an average for each
            combination of their values. False draws each row of `newdata`.
        conf_level : float, default=0.95
            The confidence level of the intervals.
        n_features : int, default=50
            The most rows to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None creates a new figure.
        **options
            Further arguments of the method, such as ``comparison="ratio"`` or ``slope="eyex"``.
            There is no `hypothesis`, because its table has no rows for variables.

        Returns
        -------
        EffectsDisplay
            The display that was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `kind` is unknown, if there is a `hypothesis`, and where the method raises it.
        """
        check_type("results", results, InferenceResults, "results of infer")
        check_choice("kind", kind, EFFECT_KINDS)
        if options.get("hypothesis") is not None:
            raise ValueError(
                "EffectsDisplay draws effects of variables, found a hypothesis: expected "
                "hypothesis=None."
            )
        of_kind = {"comparisons": ("comparison", "difference"), "slopes": ("slope", "dydx")}
        effect = options.get(*of_kind[kind])
        compute = getattr(results, kind)
        table = compute(variables, newdata, by, conf_level=conf_level, **options)
        display = cls(table, conf_level=conf_level, effect=effect)
        display.plot(n_features=n_features, ax=ax)
        return display


def _by_class_and_row(table: pd.DataFrame, effect: str) -> pd.DataFrame:
    """Return a table of effects with the index (class, feature) that `IntervalDisplay` draws.

    The level "feature" is the name of the variable with its contrast, as `_row_label` returns it,
    and the values of the group.
    """
    import pandas as pd

    missing = [name for name in ("variable", "contrast", "estimate") if name not in table]
    if missing:
        raise ValueError(
            f"table has no columns {missing}; expected the result of comparisons or slopes."
        )
    n_names = table.columns.get_loc("estimate")
    names, group = list(table.columns[: n_names - 1]), []
    for name in names[2:]:
        values = table.iloc[:, names.index(name)]
        group.append([f"{name} = {value}" for value in values])
    features = [
        ", ".join([_row_label(variable, contrast, effect), *parts])
        for variable, contrast, *parts in zip(
            table["variable"], table["contrast"], *group, strict=True
        )
    ]
    index = pd.MultiIndex.from_arrays(
        [table.iloc[:, n_names - 1], features], names=["class", "feature"]
    )
    return table[[name for name in NUMBERS if name in table]].set_axis(index)


def _row_label(variable: Any, contrast: Any, effect: str) -> str:
    """Return the name of a variable and its contrast, such as "age: +1".

    - A derivative has no contrast in its name.
    - The name of the `effect` is left out, because the label of the axis contains it:
      "ratio(a, b)" becomes "a, b".
    - Steps around the observed values become their size: "(x + 0.5) - (x - 0.5)" becomes "+1".
    """
    if contrast in ("dY/dX", effect):
        return str(variable)
    text = str(contrast)
    if text.startswith(f"{effect}("):
        text = text[len(effect) + 1 : -1]
    step = STEP.fullmatch(text)
    if step is not None:
        text = {"sd/2": "+1 sd", "sd": "+2 sd"}.get(step["half"]) or f"{2 * float(step['half']):+g}"
    return f"{variable}: {text}"
