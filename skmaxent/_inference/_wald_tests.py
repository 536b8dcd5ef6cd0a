"""Wald tests of linear restrictions of the coefficients.

The free coefficients θ of a column are those of each class but the last minus those of the last,
or those of the single logit of two classes. Restrictions A θ = values are for the vector θ of all
free coefficients, class by class; A has the shape (n_restrictions, n_coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skmaxent._effects._covariance_root import Covariance
from skmaxent._effects._student_t import NORMAL, StudentT
from skmaxent._inference import _covariance
from skmaxent._inference._tables import chi2_table, f_table
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class WaldTests:
    """Free coefficients with their covariance, and Wald tests of restrictions of them.

    Attributes
    ----------
    coef : ndarray of shape (n_classes - 1, n_columns)
        The free coefficients, a row for each class.
    covariance : ndarray of shape (n_coefficients, n_coefficients)
        Covariance of the ravelled `coef`.
    cov_type : str
        Kind of the covariance, for error messages.
    n_groups : int or None
        Number of clusters, for error messages.
    n_units : int or None
        Number of independent units whose scores are in a robust covariance; None for other kinds.
    distribution : StudentT, default=normal
        Distribution of estimates divided by their standard errors. If it is not normal, joint tests
        are F tests.
    from_standardised : ndarray of shape (n_coefficients, n_coefficients) or None
        The matrix from coefficients of standardised columns to θ, if degrees of freedom depend on
        the tested restrictions; else None.
    root : ndarray of shape (n_coefficients, m) or None
        A root of `covariance` if columns are nearly collinear; see `Covariance`.
    """

    coef: Array
    covariance: Array
    cov_type: str
    n_groups: int | None = None
    n_units: int | None = None
    distribution: StudentT = NORMAL
    from_standardised: Array | None = None
    root: Array | None = None

    @property
    def with_root(self) -> Covariance:
        """The covariance with its root, if it has one."""
        return Covariance(self.covariance, self.root)

    def of_terms(self, terms: list[tuple[str, list[int]]]) -> pd.DataFrame:
        """Return a table of tests that the coefficients of some columns are zero for all classes.

        `terms` are pairs of a label and the positions of columns. Each is a row of the table.
        """
        tests = [(name, *self.of_columns(positions, name)) for name, positions in terms]
        identity = np.eye(self.coef.size)
        return self.table(tests, [identity[self._index(positions)] for _, positions in terms])

    def table(
        self, tests: list[tuple[str, float, int]], restrictions: list[Array] | None = None
    ) -> pd.DataFrame:
        """Return a table of chi-squared tests, or of F tests if the distribution is not normal.

        Parameters
        ----------
        tests : list of (str, float, int)
            The name of each test, Wald's statistic and the number of restrictions.
        restrictions : list of ndarray, default=None
            The matrix A of each test. With None, degrees of freedom do not depend on A.
        """
        if self.distribution.is_normal:
            return chi2_table(tests)
        matrices = [None] * len(tests) if restrictions is None else restrictions
        return f_table(
            [
                (name, *self.f_test(chi2, df, A))
                for (name, chi2, df), A in zip(tests, matrices, strict=True)
            ]
        )

    def f_test(self, chi2: float, df: int, A: Array | None) -> tuple[float, int, float]:
        """Return the F statistic, and the degrees of freedom of its numerator and denominator.

        `chi2` is Wald's statistic of `df` restrictions. A is their matrix; None as in `table`.
        """
        by_contrast = self.distribution.by_contrast
        if by_contrast is None or self.from_standardised is None or A is None:
            return chi2 / df, df, self.distribution.df
        factor, df_denom = by_contrast.joint(A @ self.from_standardised)
        return chi2 * factor, df, df_denom

    def of_columns(self, positions: list[int], name: str) -> tuple[float, int]:
        """Return Wald's statistic for zero coefficients of some columns, and its df.

        `positions` are those of the columns, whose coefficients are tested for all classes. `name`
        is what an error message calls the columns.
        """
        index = self._index(positions)
        return self._statistic(self.coef.ravel()[index], self.with_root[index], name), len(index)

    def _index(self, positions: list[int]) -> Array:
        """Return the positions of the coefficients of some columns in the vector θ."""
        n_rows, width = self.coef.shape
        return np.asarray((np.arange(n_rows)[:, None] * width + positions).ravel())

    def of_restrictions(self, A: Array, values: Array | float = 0.0, *, name: str = "") -> float:
        """Return Wald's statistic for A θ = values; `name` is what a message calls the hypothesis.

        Raises
        ------
        ValueError
            If the covariance of A θ is singular, because there are few clusters or rows. Without a
            name the error is a `DeficientCovariance`, for the caller to handle.
        """
        return self._statistic(A @ self.coef.ravel() - values, self.with_root.mapped(A), name)

    def _statistic(self, x: Array, V: Covariance, name: str) -> float:
        """Return Wald's statistic of estimates x, (q,), with covariance V, (q, q)."""
        # Scores sum to zero at an optimum: those of n units span at most n - 1 dimensions.
        largest_rank = None if self.n_units is None else self.n_units - 1
        try:
            return _covariance.wald(x, V, largest_rank)
        except _covariance.DeficientCovariance as error:
            if not name:
                raise
            raise ValueError(
                f"the Wald test of {name!r} has {len(x)} restrictions, but their covariance of "
                f"type {self.cov_type!r}{self.from_clusters} has rank {error.rank}, which cannot "
                f"test more than {error.rank}: test fewer features together."
            ) from error

    @property
    def from_clusters(self) -> str:
        """The words " from n clusters" for a message; empty without clusters."""
        return "" if self.n_groups is None else f" from {self.n_groups} clusters"
