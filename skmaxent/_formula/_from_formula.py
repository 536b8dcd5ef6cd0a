"""from_formula: a classifier fitted by a formula with a response."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._formula._columns import column_names, eager_frame, pandas_frame
from skmaxent._formula._response import response_of, split_formula
from skmaxent._formula._transformer import FormulaTransformer, import_formulaic
from skmaxent._input._arguments import check_choice
from skmaxent._input._interchange import native
from skmaxent._sklearn import safe_indexing
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# Parameters that have no effect if there is no penalty.
OF_A_PENALTY = ("l1_ratio", "grouped", "standardize", "prior_coef")


def from_formula(
    formula: str,
    data: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    na_action: str = "raise",
    context: Mapping[str, Any] | None = None,
    C: float = np.inf,
    **parameters: Any,
) -> Pipeline:
    """Fit a classifier by a formula, as R's ``multinom`` and statsmodels' ``from_formula`` do.

    Parameters
    ----------
    formula : str
        The response, a tilde and the terms, such as ``"vote ~ age + C(region)"``; see
        `FormulaTransformer` for the terms. The response is a column of labels, or ``cbind(a, b,
        c)``: a column of counts for each class, named like the class. A dot stands for all columns
        but the response, the weights and the offset. A formula with ``- 1`` has no intercept, and
        ``"vote ~ 1"`` has only an intercept.
    data : data frame of shape (n_samples, n_columns)
        Of pandas, polars or narwhals, or a table of pyarrow.
    sample_weight : str or array-like of shape (n_samples,), default=None
        Weights of the rows, or the name of their column. Arrays and Series are matched by position.
    offset : str, dict or array-like, default=None
        Known part of the logits: for two classes the name of the column to add to the log-odds of
        ``classes_[1]``; for more a dict from each class to the name of its column; or an array or
        frame as in `MaxentClassifier.fit`. Predictions need the offset of their rows too:
        ``pipe.predict_proba(new, offset=new["name"])``. ``offset(...)`` in a formula is refused.
    na_action : {"raise", "drop"}, default="raise"
        What to do with rows that have a missing value in a column that the formula, the weights or
        the offset use. "drop" leaves these rows out, also when knots and means of terms are
        computed, and warns how many they are.
    context : dict, default=None
        Further functions and values that the formula may use.
    C : float, default=np.inf
        Inverse strength of the ridge penalty. There is none by default, unlike in
        `MaxentClassifier`: estimates are those of maximum likelihood.
    **parameters
        Other parameters of `MaxentClassifier`, such as `alpha` instead of `C`. `fit_intercept`
        follows from the formula.

    Returns
    -------
    Pipeline
        A fitted `FormulaTransformer` and a fitted `MaxentClassifier`.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    TypeError
        If `data` is no data frame, and for unknown parameters.
    ValueError
        For formulas that are not valid or use unknown columns, for missing values, and for
        arguments that contradict each other.

    Warns
    -----
    UserWarning
        If rows are dropped.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmaxent import from_formula
    >>> data = pd.DataFrame(
    ...     {"vote": ["a", "b", "b", "a", "b", "a"], "age": [25, 31, 47, 52, 60, 38]}
    ... )
    >>> pipe = from_formula("vote ~ age", data)
    >>> pipe[-1].coef_frame().round(3)
    class          b
    feature
    age        0.056
    Intercept -2.354
    >>> results = pipe[-1].infer(pipe[:-1].transform(data), data["vote"])
    """
    check_choice("na_action", na_action, ("raise", "drop"))
    _refuse_idle_parameters(C, parameters)
    library = import_formulaic("from_formula")
    left, right = split_formula(formula)
    frame = eager_frame(data, "data")
    columns = column_names(frame)
    response = response_of(left, columns)
    _refuse_unknown("sample_weight", _columns_named_by(sample_weight), columns)
    _refuse_unknown("offset", _columns_named_by(offset), columns)
    others = {*response.columns, *_columns_named_by(sample_weight), *_columns_named_by(offset)}
    terms = library.parse(right, [name for name in columns if name not in others])
    fit_intercept = library.has_intercept(terms)
    _refuse_other_intercept(formula, fit_intercept, parameters)
    if not len(terms):
        raise ValueError(
            f"formula={formula!r} has neither terms nor an intercept; expected at least one, such "
            "as '~ 1' for the intercept-only model."
        )
    used = library.variables_of(terms, columns, context or {})
    inputs = [name for name in columns if any(name in names for names in used.values())]
    overlap = sorted({*inputs} & {*response.columns})
    if overlap:
        raise ValueError(f"formula={formula!r} has the response {overlap} among its terms.")
    needed = pandas_frame(frame, [name for name in columns if name in {*inputs, *others}])
    rows = _complete_rows(needed, inputs, na_action)
    n_rows = len(needed)
    weights = _of_rows(_column_or_array(sample_weight, needed), rows, n_rows, "sample_weight")
    shift = _of_rows(_column_or_array(offset, needed), rows, n_rows, "offset")
    needed = needed if rows is None else needed.iloc[rows]

    transformer = FormulaTransformer(right, context=context)
    matrix = transformer.fit_transform(needed[inputs])
    options = {**parameters, "fit_intercept": fit_intercept}
    if parameters.get("alpha") is None or np.isfinite(C):
        options["C"] = C
    classifier = MaxentClassifier(**options).fit(matrix, response.of(needed), weights, shift)
    return Pipeline([("formulatransformer", transformer), ("maxentclassifier", classifier)])


def _refuse_idle_parameters(C: float, parameters: dict[str, Any]) -> None:
    """Raise ValueError for parameters of a penalty if there is no penalty."""
    if parameters.get("alpha") is not None:
        return
    idle = [name for name in OF_A_PENALTY if parameters.get(name)]
    if idle and np.isinf(C):
        raise ValueError(
            f"{idle[0]}={parameters[idle[0]]!r} belongs to a penalty, and from_formula has none by "
            "default: pass a finite C, for instance C=1.0."
        )


def _refuse_other_intercept(formula: str, has_intercept: bool, parameters: dict[str, Any]) -> None:
    """Raise ValueError if the parameter `fit_intercept` contradicts the formula."""
    given = parameters.get("fit_intercept", has_intercept)
    if bool(given) != has_intercept:
        raise ValueError(
            f"fit_intercept={given!r} contradicts formula={formula!r}, which has "
            f"{'an' if has_intercept else 'no'} intercept: a formula without one ends with '- 1'."
        )


def _columns_named_by(given: Any) -> list[str]:
    """Return the names of columns in the argument `sample_weight` or `offset`; [] for arrays."""
    if isinstance(given, str):
        return [given]
    return list(given.values()) if isinstance(given, Mapping) else []


def _refuse_unknown(argument: str, names: list[str], columns: list[str]) -> None:
    """Raise ValueError if an argument names columns that the data do not have."""
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f"{argument} names {missing}, which are not among the columns {columns}.")


def _column_or_array(given: Any, data: pd.DataFrame) -> Any:
    """Return the values of the argument `sample_weight` or `offset`.

    The result is an array for the name of a column, a frame with a column for each class for a
    dict, and else the argument itself.
    """
    import pandas as pd

    if isinstance(given, str):
        return data[given].to_numpy()
    if isinstance(given, Mapping):
        return pd.DataFrame({label: data[name].to_numpy() for label, name in given.items()})
    return native(given, "sample_weight or offset")


def _complete_rows(data: pd.DataFrame, inputs: list[str], na_action: str) -> Array | None:
    """Return the positions of the rows to fit to, or None for all.

    Parameters
    ----------
    data : pandas.DataFrame
        All columns that the fit uses.
    inputs : list of str
        The columns that the terms use. With "raise" their missing values are not errors here,
        because the formula may replace them: the terms are checked after they are evaluated.
    na_action : {"raise", "drop"}

    Raises
    ------
    ValueError
        If `na_action` is "raise", and the response, the weights or the offset have missing values.
        The message counts the missing values of all columns.
    """
    missing = data.isna()
    judged = missing if na_action == "drop" else missing.drop(columns=inputs)
    if not judged.to_numpy().any():
        return None
    incomplete = missing.to_numpy().any(axis=1)
    counts = ", ".join(f"{name!r} in {n}" for name, n in missing.sum().items() if n)
    found = f"{incomplete.sum()} of {len(data)} rows with missing values ({counts})"
    if na_action == "drop":
        warnings.warn(f"from_formula dropped {found}.", UserWarning, stacklevel=3)
        return np.flatnonzero(~incomplete)
    raise ValueError(
        f"data has {found}. Pass na_action='drop' to fit without these rows, or impute the values."
    )


def _of_rows(given: Any, rows: Array | None, n_rows: int, name: str) -> Any:
    """Return the entries of `sample_weight` or `offset` for the rows of the fit.

    `rows` are the positions of these rows, or None for all, and `name` is that of the argument.
    Raises ValueError if the length is not `n_rows`, the number of rows of the data.
    """
    if given is None or rows is None or np.ndim(given) == 0:
        return given
    if len(given) != n_rows:
        raise ValueError(f"{name} has {len(given)} rows; expected {n_rows}, one for each row.")
    return safe_indexing(given, rows)
