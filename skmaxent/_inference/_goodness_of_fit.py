"""Goodness-of-fit tests of probabilities against the classes of rows, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy import stats
from scipy.special import xlogy

from skmaxent._input._arguments import check_count
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

TESTS = ("fagerland-hosmer", "pearson", "deviance")
# Expected counts below this are small for the chi-squared distribution (Cochran 1954, Biometrics
# 10).
SMALL_COUNT = 5.0
# Sorted probabilities count as equal if they increase by at most this share: rounding gives rows
# with equal features probabilities that differ by less.
EQUAL = 1e-11


@dataclass(frozen=True)
class Outcomes:
    """The probabilities and the observed classes of rows.

    Attributes
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
    shares : ndarray of shape (n_samples, n_classes)
        The share of the observations of a row that is of each class.
    counts : ndarray of shape (n_samples,)
        Number of observations of each row, or its sampling weight.
    """

    probabilities: Array
    shares: Array
    counts: Array

    def with_mean_one(self) -> Outcomes:
        """Return a copy whose counts have mean one over the rows with positive counts.

        The scale of sampling weights has no meaning, but `weighted_quantiles` depends on it.
        """
        n = np.count_nonzero(self.counts)
        return replace(self, counts=self.counts * (n / self.counts.sum()))

    def summed(self, groups: Array) -> tuple[Array, Array]:
        """Return observed and expected counts of groups of rows, both (n_groups, n_classes).

        `groups`, (n_samples,), has the code of the group of each row. Groups without observations
        are left out.
        """
        n_groups, K = int(groups.max()) + 1, self.shares.shape[1]
        observed, expected = np.zeros((2, n_groups, K))
        np.add.at(observed, groups, self.shares * self.counts[:, None])
        np.add.at(expected, groups, self.probabilities * self.counts[:, None])
        kept = observed.any(axis=1)
        return observed[kept], expected[kept]


def fagerland_hosmer(outcomes: Outcomes, reference: int, n_groups: int) -> pd.DataFrame:
    """Return the test of Fagerland, Hosmer & Bofin (2008), a chi-squared test of groups of rows.

    For two classes it is the test of Hosmer and Lemeshow. Rows are grouped by quantiles of the
    probability that the class is not the one at the position `reference`. There are fewer than
    `n_groups` groups if quantiles are equal. The table has one row: chi2, df, p_value, n_groups and
    small_expected, the share of the expected counts that are below `SMALL_COUNT`.
    """
    check_count("n_groups", n_groups, 3)
    others = np.delete(outcomes.probabilities, reference, axis=1)
    keys = with_equal_ties(others.sum(axis=1))
    edges = weighted_quantiles(keys, outcomes.counts, np.linspace(0.0, 1.0, n_groups + 1)[1:-1])
    groups = np.searchsorted(np.unique(edges), keys, side="left")
    observed, expected = outcomes.summed(groups)
    if len(observed) < 3:
        raise ValueError(
            f"the probabilities make only {len(observed)} groups: expected three or more different "
            "values."
        )
    chi2 = float(((observed - expected) ** 2 / expected).sum())
    df = (len(observed) - 2) * (observed.shape[1] - 1)
    return _table("fagerland-hosmer", chi2, df, expected)


def covariate_pattern_test(
    outcomes: Outcomes, patterns: Array, n_parameters: int, test: str
) -> pd.DataFrame:
    """Return Pearson's test or the deviance test of the counts of covariate patterns.

    `patterns`, (n_samples,), has the code of the pattern of each row: rows with equal features
    share one. `n_parameters` is the number of free coefficients, and `test` is "pearson" or
    "deviance". The table has one row, with the columns of `fagerland_hosmer`.
    """
    observed, expected = outcomes.summed(patterns)
    df = len(observed) * (observed.shape[1] - 1) - n_parameters
    if df <= 0:
        raise ValueError(
            f"the rows have {len(observed)} different values of the features, no more than the "
            f"model can fit: {test!r} tests no degree of freedom."
        )
    if test == "pearson":
        chi2 = float(((observed - expected) ** 2 / expected).sum())
    else:
        chi2 = 2.0 * float((xlogy(observed, observed) - xlogy(observed, expected)).sum())
    return _table(test, chi2, df, expected)


def _table(name: str, chi2: float, df: int, expected: Array) -> pd.DataFrame:
    """Return the table of one test; `expected` are counts of shape (n_groups, n_classes)."""
    import pandas as pd

    row = {
        "chi2": chi2,
        "df": df,
        "p_value": float(stats.chi2.sf(chi2, df)),
        "n_groups": len(expected),
        "small_expected": float((expected < SMALL_COUNT).mean()),
    }
    return pd.DataFrame(row, index=pd.Index([name], name="test"))


def with_equal_ties(values: Array) -> Array:
    """Return probabilities, (n_samples,), of which those that differ by rounding alone are equal.

    Otherwise rounding would decide which of the rows with equal features are above a quantile. Of
    values that count as equal, see `EQUAL`, all become the smallest.
    """
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    is_larger = np.r_[True, ascending[1:] > ascending[:-1] * (1.0 + EQUAL)]
    result = np.empty_like(values)
    result[order] = ascending[is_larger][np.cumsum(is_larger) - 1]
    return result


def weighted_quantiles(values: Array, counts: Array, levels: Array) -> Array:
    """Return the quantiles, (n_levels,), of values of which each is repeated `counts` times.

    `values` and `counts` have the shape (n_samples,); `levels`, (n_levels,), are between 0 and 1.
    Quantiles are interpolated as NumPy and R do by default.
    """
    order = np.argsort(values, kind="stable")
    # Among the repeated values in order, value i stands before position ends[i].
    ends = np.cumsum(counts[order])
    at = np.maximum(ends[-1] - 1.0, 0.0) * levels
    below = np.floor(at)

    def value(position: Array) -> Array:
        """Return the values at positions among the repeated values in order."""
        # Without the factor, a rounded sum of counts could give the value before.
        found = np.searchsorted(ends, position * (1.0 + 1e-12), side="right")
        return np.asarray(values[order][np.minimum(found, len(order) - 1)])

    return value(below) + (at - below) * (value(below + 1.0) - value(below))


def patterns_of(X: Any, offset: Array | None) -> Array:
    """Return a code for each row, (n_samples,): rows with equal features and offsets share one."""
    import pandas as pd

    if sp.issparse(X):
        X = sp.csr_array(X, copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        ends = zip(X.indptr[:-1], X.indptr[1:], strict=True)
        keys = [X.indices[i:j].tobytes() + X.data[i:j].tobytes() for i, j in ends]
    else:
        # Adding zero turns -0.0, which has other bytes, into 0.0.
        keys = [row.tobytes() for row in np.ascontiguousarray(X) + 0.0]
    if offset is not None:
        shifts = np.ascontiguousarray(offset) + 0.0
        keys = [key + shift.tobytes() for key, shift in zip(keys, shifts, strict=True)]
    return np.asarray(pd.factorize(np.array(keys, dtype=object))[0])
