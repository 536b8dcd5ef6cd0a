"""Hypotheses about estimates: contrasts between them, and linear equations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._covariance_root import Covariance
from skmaxent._effects._equations import linear_equations
from skmaxent._effects._estimates import Estimates
from skmaxent._input._arguments import as_list
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# A combination of estimates is treated as exactly known if its standard error is rounding: at most
# ERROR_ROUNDING times the sum of the standard errors of the estimates. The value of a known
# combination is treated as zero if it is at most VALUE_ROUNDING times the sum of the absolute
# values of the estimates. The absolute weights of the combination are the weights of both sums.
ERROR_ROUNDING, VALUE_ROUNDING = 1e-10, 1e-12
# The named contrasts between the estimates of a class.
CONTRASTS = ("pairwise", "revpairwise", "reference", "sequential", "meandev")


def hypotheses_of(
    hypothesis: Any, estimates: Estimates, labels: pd.DataFrame, covariance: Covariance
) -> tuple[Estimates, pd.DataFrame]:
    """Return linear functions of m estimates that a hypothesis says are zero, and their names.

    Functions that do not depend on the coefficients, such as the sum of the probabilities of all
    classes minus one, get derivatives of exactly zero, and values of zero if they are zero but for
    rounding.

    Parameters
    ----------
    hypothesis : str, list of str or array-like of shape (m,) or (m, n_hypotheses)
        A name of `CONTRASTS`, which compares the estimates of each class, or equations in which
        b0, b1, ... are the estimates in the order of the table, or weights of the estimates, a
        column for each hypothesis. The value of all estimates under the null hypothesis, a number,
        is no such hypothesis: callers compare the estimates with it.
    estimates : Estimates
    labels : DataFrame of shape (m, n_labels)
        The columns that name each of the m estimates; the last column is the class.
    covariance : Covariance
        The covariance of the coefficients.
    """
    A, right, table = _linear_functions(hypothesis, labels)
    found = estimates.mapped(A)
    values, draws = found.values - right, found.draws
    parts = np.abs(A) @ estimates.errors(covariance)
    is_known = found.errors(covariance) <= ERROR_ROUNDING * parts
    size = np.abs(A) @ np.abs(estimates.values) + np.abs(right)
    holds = is_known & (np.abs(values) <= VALUE_ROUNDING * size)
    return Estimates(
        np.where(holds, 0.0, values),
        np.where(is_known[:, None], 0.0, found.jacobian),
        None if draws is None else draws - right,
    ), table


def _linear_functions(hypothesis: Any, labels: pd.DataFrame) -> tuple[Array, Array, pd.DataFrame]:
    """Return A (n_hypotheses, m) and c of the hypotheses A @ estimates = c, and their names."""
    import pandas as pd

    m = len(labels)
    if isinstance(hypothesis, str) and hypothesis in CONTRASTS:
        A, table = _contrasts(hypothesis, labels)
        return A, np.zeros(len(A)), table
    if isinstance(hypothesis, str) or (
        isinstance(hypothesis, (list, tuple))
        and hypothesis
        and all(isinstance(h, str) for h in hypothesis)
    ):
        equations = as_list(hypothesis)
        A, right, names = linear_equations(equations, [f"b{i}" for i in range(m)])
        return A, np.asarray(right), pd.DataFrame({"hypothesis": names})
    try:
        A = np.asarray(hypothesis, float)
    except (TypeError, ValueError):
        raise ValueError(
            f"hypothesis must be a number, one of {list(CONTRASTS)}, equations or an array of "
            f"weights, found {hypothesis!r}."
        ) from None
    A = A[:, None] if A.ndim == 1 else A
    if A.ndim != 2 or len(A) != m or not np.all(np.isfinite(A)):
        raise ValueError(
            f"hypothesis has the shape {np.shape(hypothesis)}; expected a finite weight for each "
            f"of the {m} estimates, a column for each hypothesis."
        )
    names = [f"h{i}" for i in range(A.shape[1])]
    return A.T, np.zeros(len(names)), pd.DataFrame({"hypothesis": names})


def _contrasts(kind: str, labels: pd.DataFrame) -> tuple[Array, pd.DataFrame]:
    """Return the weights and the names of contrasts between the estimates of each class.

    `kind` is a name of `CONTRASTS`. The weights have the shape (n_contrasts, m).
    """
    import pandas as pd

    classes, names = labels.iloc[:, -1], _names(labels.iloc[:, :-1])
    rows, texts, of_class = [], [], []
    for label in classes.drop_duplicates():
        at = np.flatnonzero((classes == label).to_numpy())
        if len(at) < 2:
            raise ValueError(
                f"hypothesis={kind!r} compares the estimates of each class, found one for "
                f"{label!r}: expected several, as by=... or newdata=datagrid(...) give."
            )
        for weights, text in _contrasts_of_class(kind, [names[i] for i in at]):
            row = np.zeros(len(labels))
            row[at] = weights
            rows.append(row)
            texts.append(text)
            of_class.append(label)
    table = pd.DataFrame({"hypothesis": texts, str(labels.columns[-1]): of_class})
    return np.array(rows), table


def _contrasts_of_class(kind: str, names: list[str]) -> list[tuple[Array, str]]:
    """Return the contrasts of one class: for each, the weights of the estimates and its name.

    `names` are those of the m estimates of the class, and weights have the shape (m,).
    """
    m = len(names)
    if kind == "meandev":
        return [(np.eye(m)[i] - 1.0 / m, f"{names[i]} - mean") for i in range(m)]
    if kind == "reference":
        pairs = [(i, 0) for i in range(1, m)]
    elif kind == "sequential":
        pairs = [(i + 1, i) for i in range(m - 1)]
    else:
        pairs = [(i, j) for i in range(m) for j in range(i + 1, m)]
        if kind == "revpairwise":
            pairs = [(j, i) for i, j in pairs]
    return [(np.eye(m)[i] - np.eye(m)[j], f"{names[i]} - {names[j]}") for i, j in pairs]


def _names(labels: pd.DataFrame) -> list[str]:
    """Return a name for each row of a table: its values in the columns that are not constant."""
    shown = [column for column in labels if labels[column].nunique(dropna=False) > 1]
    rows = labels[shown or list(labels)].itertuples(index=False)
    names = [", ".join(map(str, row)) for row in rows]
    return [f"({name})" if " - " in name else name for name in names]
