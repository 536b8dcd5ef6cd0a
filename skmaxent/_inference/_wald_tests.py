"""Wald tests of coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skmaxent._effects._student_t import NORMAL, StudentT
from skmaxent._inference import _covariance
from skmaxent._inference._tables import chi2_table, f_table
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
    distribution : StudentT, default=normal
        Of estimates; with finite degrees of freedom joint tests are F tests.
    from_standardised : ndarray of shape (n_coefficients, n_coefficients) or None
        From the coefficients of standardised columns to these, where degrees of freedom depend on
        what is tested.
    """

    coef: Array
    covariance: Array
    cov_type: str
    n_groups: int | None = None
    n_units: int | None = None
    distribution: StudentT = NORMAL
    from_standardised: Array | None = None

    def of_terms(self, terms: list[tuple[str, list[int]]]) -> pd.DataFrame:
        """Return tests that the coefficients of some columns are zero for all classes.

        `terms` are pairs of a label and the positions of columns. The table has a row for each:
        chi2, df and p_value.
        """
        tests = [(name, *self.of_columns(positions, name)) for name, positions in terms]
        identity = np.eye(self.coef.size)
        return self.table(tests, [identity[self._index(positions)] for _, positions in terms])

    def table(
        self, tests: list[tuple[str, float, int]], restrictions: list[Array] | None = None
    ) -> pd.DataFrame:
        """Return a row for each test, of a name, Wald's statistic and its degrees of freedom.

        `restrictions`, an array (n_restrictions, n_coefficients) for each test, are for degrees of
        freedom that depend on them; None gives all tests the same.
        """
        if self.distribution.is_normal:
            return chi2_table(tests)
        given = [None] * len(tests) if restrictions is None else restrictions
        return f_table(
            [
                (name, *self.f_test(chi2, df, A))
                for (name, chi2, df), A in zip(tests, given, strict=True)
            ]
        )

    def f_test(self, chi2: float, df: int, A: Array | None) -> tuple[float, int, float]:
        """Return the F statistic of Wald's statistic, and its two degrees of freedom."""
        by_contrast = self.distribution.by_contrast
        if by_contrast is None or self.from_standardised is None or A is None:
            return chi2 / df, df, self.distribution.df
        factor, df_denom = by_contrast.joint(A @ self.from_standardised)
        return chi2 * factor, df, df_denom

    def of_columns(self, positions: list[int], name: str) -> tuple[float, int]:
        """Return the statistic that coefficients of columns are zero for all classes, and its df.

        `name` is what an error says that the columns are.
        """
        index = self._index(positions)
        x, V = self.coef.ravel()[index], self.covariance[np.ix_(index, index)]
        return self._statistic(x, V, name), len(index)

    def _index(self, positions: list[int]) -> Array:
        """Return the positions of the coefficients of columns among the ravelled ones."""
        n_rows, width = self.coef.shape
        return np.asarray((np.arange(n_rows)[:, None] * width + positions).ravel())

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
