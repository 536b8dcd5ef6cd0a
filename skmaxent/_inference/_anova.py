"""Tests of terms: tables of type II, which respect marginality, and of type III, which do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skmaxent._inference._feature_names import FeatureNames
from skmaxent._inference._terms import Term, Terms

if TYPE_CHECKING:
    import pandas as pd

# The statistic of all coefficients of columns at some positions, and its degrees of freedom.
Statistic = Callable[[list[int]], tuple[float, int]]


def anova(
    terms: Terms,
    names: FeatureNames,
    statistic: Statistic,
    kind: int,
    table: Callable[[list[tuple[str, float, int]]], pd.DataFrame],
) -> pd.DataFrame:
    """Return a table with a test for each term.

    Type III tests the term in the whole model. Type II tests it in the model without the terms that
    contain it: the statistic of these and the term, less that of these alone. For Wald's statistic
    that is the test of the part of the term that is not correlated with the terms that contain it.

    Parameters
    ----------
    terms : Terms
    names : FeatureNames
        They have the positions of the columns of the terms.
    statistic : callable
    kind : {2, 3}
    table : callable
        It makes the table of tests, each of a name, a statistic and its degrees of freedom.

    Returns
    -------
    DataFrame
        A row for each term, as `table` makes them.
    """
    if kind not in (2, 3) or isinstance(kind, bool):
        raise ValueError(f"type must be 2 or 3, found {kind!r}.")
    if not terms.terms:
        raise ValueError("anova tests terms, and the model has intercepts alone.")
    known: dict[tuple[int, ...], tuple[float, int]] = {(): (0.0, 0)}

    def of(columns: set[int]) -> tuple[float, int]:
        key = tuple(sorted(columns))
        if key not in known:
            known[key] = statistic(list(key))
        return known[key]

    def positions(term: Term) -> set[int]:
        return {names.position(column) for column in term.columns}

    tests: list[tuple[str, float, int]] = []
    for term in terms:
        above: set[int] = set()
        if kind == 2:
            above = above.union(*(positions(other) for other in terms.higher(term)))
        (whole, n_whole), (part, n_part) = of(above | positions(term)), of(above)
        tests.append((term.name, max(whole - part, 0.0), n_whole - n_part))
    return table(tests)
