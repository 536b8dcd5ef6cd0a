"""Goodness-of-fit tests of probabilities against the classes of rows, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy import stats
from scipy.special import xlogy

from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

TESTS = ("fagerland-hosmer", "pearson", "deviance")
# Expected counts below this are small for the chi-squared distribution (Cochran 1954, Biometrics
# 10).
SMALL_COUNT = 5.0


@dataclass(frozen=True)
class Outcomes:
    """Probabilities of the classes and what was observed.

    Attributes
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
    shares : ndarray of shape (n_samples, n_classes)
        Of the observations of a row, those of each class.
    counts : ndarray of shape (n_samples,)
        Observations of each row.
    """

    probabilities: Array
    shares: Array
    counts: Array

    def with_mean_one(self) -> Outcomes:
        """The same with counts of mean one over the rows that have any.

        Sampling weights have no scale, and quantiles of values with counts have.
        """
        n = np.count_nonzero(self.counts)
        return replace(self, counts=self.counts * (n / self.counts.sum()))

    def summed(self, groups: Array) -> tuple[Array, Array]:
        """Return observed and expected counts of groups of rows, each (n_groups, n_classes).

        `groups` are codes of the groups, (n_samples,). Groups without observations are left out.
        """
        n_groups, K = int(groups.max()) + 1, self.shares.shape[1]
        observed, expected = np.zeros((2, n_groups, K))
        np.add.at(observed, groups, self.shares * self.counts[:, None])
        np.add.at(expected, groups, self.probabilities * self.counts[:, None])
        kept = observed.any(axis=1)
        return observed[kept], expected[kept]


def fagerland_hosmer(outcomes: Outcomes, reference: int, n_groups: int) -> pd.DataFrame:
    """Return the test of Fagerland, Hosmer & Bofin (2008); of two classes Hosmer & Lemeshow's.

    Rows are grouped by quantiles of the probability of any class but the reference, whose position
    is given. The table has one row: chi2, df, p_value, n_groups and small_expected.
    """
    if n_groups < 3:
        raise ValueError(f"n_groups must be 3 or more, found {n_groups!r}.")
    keys = 1.0 - outcomes.probabilities[:, reference]
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


def of_patterns(outcomes: Outcomes, patterns: Array, n_parameters: int, test: str) -> pd.DataFrame:
    """Return Pearson's test or that of the deviance, of counts of rows with equal features.

    `patterns` are codes of the features of the rows, (n_samples,). The table is as that of
    `fagerland_hosmer`.
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
    """Return the table of one test."""
    import pandas as pd

    row = {
        "chi2": chi2,
        "df": df,
        "p_value": float(stats.chi2.sf(chi2, df)),
        "n_groups": len(expected),
        "small_expected": float((expected < SMALL_COUNT).mean()),
    }
    return pd.DataFrame(row, index=pd.Index([name], name="test"))


def weighted_quantiles(values: Array, counts: Array, levels: Array) -> Array:
    """Return the quantiles of values that each stand for a count, as if they were repeated.

    They are interpolated as NumPy and R do by default.
    """
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(counts[order])
    at = np.maximum(ends[-1] - 1.0, 0.0) * levels
    below = np.floor(at)

    def value(position: Array) -> Array:
        # Rounding of sums of counts must not skip a value.
        found = np.searchsorted(ends, position * (1.0 + 1e-12), side="right")
        return np.asarray(values[order][np.minimum(found, len(order) - 1)])

    return value(below) + (at - below) * (value(below + 1.0) - value(below))


def patterns_of(X: Any, offset: Array | None) -> Array:
    """Return a code for each different row of X and offset, (n_samples,)."""
    import pandas as pd

    if sp.issparse(X):
        X = sp.csr_array(X, copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        ends = zip(X.indptr[:-1], X.indptr[1:], strict=True)
        keys = [X.indices[i:j].tobytes() + X.data[i:j].tobytes() for i, j in ends]
    else:
        keys = [row.tobytes() for row in np.ascontiguousarray(X) + 0.0]  # -0.0 is 0.0
    if offset is not None:
        shifts = np.ascontiguousarray(offset) + 0.0
        keys = [key + shift.tobytes() for key, shift in zip(keys, shifts, strict=True)]
    return np.asarray(pd.factorize(np.array(keys, dtype=object))[0])
