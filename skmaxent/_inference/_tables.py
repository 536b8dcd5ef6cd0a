"""Columns of tables of estimates, and tables of tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from scipy import stats

from skmaxent._effects._student_t import t_p_values
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
Results = TypeVar("Results", bound=Any)
Table = TypeVar("Table")


def with_notes(
    method: Callable[Concatenate[Results, P], Table],
) -> Callable[Concatenate[Results, P], Table]:
    """Decorate a method of results so that its DataFrame has their `notes` in `attrs["notes"]`.

    Without notes, and for tables that are no pandas DataFrame, nothing changes.
    """

    @functools.wraps(method)
    def noted(results: Results, /, *args: P.args, **options: P.kwargs) -> Table:
        table = method(results, *args, **options)
        if results.notes:
            import pandas as pd

            if isinstance(table, pd.DataFrame):
                table.attrs["notes"] = results.notes
        return table

    return noted


def index_of(labels: list[Any], names: list[str]) -> pd.MultiIndex:
    """Return the index of a table of coefficients: each label of a class with each feature's name.

    All features of the first class come first.
    """
    import pandas as pd

    return pd.MultiIndex.from_product([labels, names], names=["class", "feature"])


def z_tests(
    estimate: Array, error: Array, name: str = "z", df: float | Array = np.inf
) -> dict[str, Array]:
    """Return z or t statistics and two-sided p-values, as columns of a table.

    Parameters
    ----------
    estimate, error : ndarray of shape (n,)
        Estimates and their standard errors.
    name : {"z", "t"}, default="z"
        Name of the column of statistics.
    df : float or ndarray of shape (n,), default=inf
        Degrees of freedom of the t distribution, infinite for the normal one.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / error
    return {name: statistic, "p_value": t_p_values(statistic, df)}


def shown_bound(gap: float) -> str:
    """Return in words by what an optimality gap is bounded; NaN stands for no bound."""
    return "not bounded" if np.isnan(gap) else f"below {max(gap, 1e-16):.1g}"


def chi2_table(tests: list[tuple[str, float, int]]) -> pd.DataFrame:
    """Return a table of chi-squared tests: chi2, df and p_value.

    Each test is a tuple of its name, the statistic and its degrees of freedom.
    """
    import pandas as pd

    index = pd.Index([name for name, _, _ in tests], name="term")
    frame = pd.DataFrame([test[1:] for test in tests], index=index, columns=["chi2", "df"])
    frame["p_value"] = stats.chi2.sf(frame["chi2"], frame["df"])
    return frame


def f_table(tests: list[tuple[str, float, int, float]]) -> pd.DataFrame:
    """Return a table of F tests: F, df, df_denom and p_value.

    Each test is a tuple of its name, the statistic, and the degrees of freedom of its numerator and
    denominator.
    """
    import pandas as pd

    index = pd.Index([test[0] for test in tests], name="term")
    columns = ["F", "df", "df_denom"]
    frame = pd.DataFrame([test[1:] for test in tests], index=index, columns=columns)
    frame["p_value"] = stats.f.sf(frame["F"], frame["df"], frame["df_denom"])
    return frame


def adjusted_p_values(p_values: Any, method: str) -> Array:
    """Return p-values, (n,), adjusted for multiple tests by a method of `multipletests`."""
    try:
        from statsmodels.stats.multitest import multipletests
    except ImportError as error:
        raise ImportError("adjust needs statsmodels: pip install statsmodels.") from error
    try:
        return np.asarray(multipletests(p_values, method=method)[1])
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"adjust must be None or a method of statsmodels' multipletests, such as 'holm' or "
            f"'fdr_bh', found {method!r}."
        ) from error
