"""Wald tests of coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._tables import chi2_table
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class WaldTests:
    """Free coefficients with their covariance, for Wald's statistic of any restrictions.

    Attributes
    ----------
    coef : ndarray of shape (n_logits - 1 or 1, n_columns)
        Coefficients against the last class, or of the single logit.
    covariance : ndarray of shape (n_coefficients, n_coefficients)
        Of the ravelled coefficients.
    cov_type : str
        Kind of the covariance, for error messages.
    n_groups : int or None
        Clusters, for error messages.
    n_units : int or None
        Independent units that a robust covariance sums scores of; None for other kinds.
    df_denom : float, default=inf
        Degrees of freedom of the covariance for F tests; infinite for chi-squared tests.
    """

    coef: Array
    covariance: Array
    cov_type: str
    n_groups: int | None = None
    n_units: int | None = None
    df_denom: float = np.inf

    def of_terms(self, terms: list[tuple[str, list[int]]]) -> pd.DataFrame:
        """Return tests that the coefficients of some columns are zero for all classes.

        `terms` are pairs of a label and the positions of columns. The table has a row for each:
        chi2, df and p_value.
        """
        tests = [(name, *self.of_columns(positions, name)) for name, positions in terms]
        return self.table(tests)

    def table(self, tests: list[tuple[str, float, int]]) -> pd.DataFrame:
        """A row for each test, of a name, Wald's statistic and its degrees of freedom."""
        return chi2_table(tests, self.df_denom)

    def of_columns(self, positions: list[int], name: str) -> tuple[float, int]:
        """The statistic that the coefficients of columns are zero for all classes, and its degrees.

        `name` is what an error says that the columns are.
        """
        n_rows, width = self.coef.shape
        index = (np.arange(n_rows)[:, None] * width + positions).ravel()
        x, V = self.coef.ravel()[index], self.covariance[np.ix_(index, index)]
        return self._statistic(x, V, name), len(index)

    def of_restrictions(self, A: Array, values: Array | float = 0.0, *, name: str = "") -> float:
        """Return Wald's statistic for A θ = values, A (n_restrictions, n_coefficients).

        Raises
        ------
        ValueError
            Where the covariance of A θ is singular, because there are few clusters or rows. With a
            name the message says what was tested; without one it is a `DeficientCovariance`.
        """
        x, V = A @ self.coef.ravel() - values, A @ self.covariance @ A.T
        return self._statistic(x, V, name)

    def _statistic(self, x: Array, V: Array, name: str) -> float:
        """Return Wald's statistic of estimates x with covariance V."""
        # Scores sum to zero at an optimum: those of n units span at most n - 1 dimensions.
        largest_rank = None if self.n_units is None else self.n_units - 1
        try:
            return _covariance.wald(x, V, largest_rank)
        except _covariance.DeficientCovariance as error:
            if not name:
                raise
            raise ValueError(
                f"the Wald test of {name!r} has {len(x)} restrictions, but their covariance of "
                f"type {self.cov_type!r}{self.from_groups} has rank {error.rank}, which cannot "
                f"test more than {error.rank}: test fewer features together."
            ) from error

    @property
    def from_groups(self) -> str:
        """The number of clusters, as a part of a message."""
        return "" if self.n_groups is None else f" from {self.n_groups} clusters"
