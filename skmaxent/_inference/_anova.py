"""Analysis of variance: tests of the terms of a model, of type II or III."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skmaxent._inference._feature_names import FeatureNames
from skmaxent._inference._terms import Term, Terms

if TYPE_CHECKING:
    import pandas as pd

# From the positions of some columns to the statistic of the test that all their coefficients are
# zero, and its degrees of freedom.
Statistic = Callable[[list[int]], tuple[float, int]]


def anova(
    terms: Terms,
    names: FeatureNames,
    statistic: Statistic,
    kind: int,
    table: Callable[[list[tuple[str, float, int]]], pd.DataFrame],
) -> pd.DataFrame:
    """Return a table with a test of each term.

    Type III tests a term in the model of all terms. Type II tests a term in the model without the
    terms that contain it. Its statistic is a difference: the joint statistic of the term and the
    terms that contain it, minus the statistic of the latter alone. For Wald's statistic this is the
    test of the part of the term that is not correlated with the terms that contain it.

    Parameters
    ----------
    terms : Terms
    names : FeatureNames
        Gives the positions of columns by their names.
    statistic : callable
        See `Statistic`.
    kind : {2, 3}
        The type of the tests.
    table : callable
        Makes the table from a list of tests: the name of a term, the statistic and its degrees of
        freedom.
    """
    if kind not in (2, 3) or isinstance(kind, bool):
        raise ValueError(f"type must be 2 or 3, found {kind!r}.")
    if not terms.terms:
        raise ValueError("anova tests terms, and the model has intercepts alone.")
    # Terms share sets of columns, and a likelihood ratio takes a fit.
    cache: dict[tuple[int, ...], tuple[float, int]] = {(): (0.0, 0)}

    def cached_statistic(columns: set[int]) -> tuple[float, int]:
        """Return the statistic for some columns, and its degrees of freedom."""
        key = tuple(sorted(columns))
        if key not in cache:
            cache[key] = statistic(list(key))
        return cache[key]

    def positions(term: Term) -> set[int]:
        """Return the positions of the columns of a term."""
        return {names.of_feature(column) for column in term.columns}

    tests: list[tuple[str, float, int]] = []
    for term in terms:
        containing: set[int] = set()
        if kind == 2:
            containing = containing.union(*(positions(other) for other in terms.higher(term)))
        joint, df_joint = cached_statistic(containing | positions(term))
        alone, df_alone = cached_statistic(containing)
        # Rounding, or a fit that is not exact, may make the difference negative.
        tests.append((term.name, max(joint - alone, 0.0), df_joint - df_alone))
    return table(tests)
