"""Tables of coefficients: covariance, standard errors, intervals and the summary.

The ravelled coefficients are those of `CoefficientTables.coef`, row by row, in one vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._estimates import normal_interval, normal_quantile, percentile_interval
from skmaxent._effects._student_t import StudentT
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._tables import adjusted_p_values, index_of, z_tests
from skmaxent._input._arguments import check_flag
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CoefficientTables:
    """Reported coefficients with their covariance, and the tables made from these.

    Attributes
    ----------
    coef : ndarray of shape (n_rows, n_columns)
        A row for each class that has reported coefficients, a column for each feature and, last,
        for the intercept.
    covariance : ndarray of shape (n_rows * n_columns, n_rows * n_columns)
        Covariance of the ravelled coefficients.
    rows : list
        Labels of the rows of `coef`.
    columns : list of str
        Names of the columns of `coef`.
    n_features : int
        Number of columns that belong to features: all, or all but the last, the intercept.
    has_tests : bool
        Whether the tables have z statistics and p-values.
    replicates : ndarray of shape (n_bootstrap, n_rows, n_columns) or None
        Coefficients of bootstrap samples.
    distribution : StudentT
        Distribution of estimates divided by their standard errors.
    from_standardised : ndarray of shape (n_rows * n_columns, n_coefficients) or None
        The matrix from the free coefficients of standardised columns to the ravelled coefficients.
        None if the degrees of freedom are the same for all coefficients.
    root : ndarray of shape (n_rows * n_columns, m) or None
        A root of `covariance` if columns are nearly collinear; see `Covariance`.
    """

    coef: Array
    covariance: Array
    rows: list[Any]
    columns: list[str]
    n_features: int
    has_tests: bool
    replicates: Array | None
    distribution: StudentT
    from_standardised: Array | None
    root: Array | None

    @property
    def index(self) -> pd.MultiIndex:
        """Class and feature of each ravelled coefficient."""
        return index_of(self.rows, self.columns)

    @property
    def std_errors(self) -> Array:
        """Standard errors of the coefficients, (n_rows, n_columns)."""
        variances = np.maximum(self.covariance.diagonal(), 0.0)  # rounding may be below zero
        return np.asarray(np.sqrt(variances).reshape(self.coef.shape))

    def degrees_of_freedom(self, R: Array | None = None) -> float | Array:
        """Return the degrees of freedom of t tests of m linear combinations of coefficients.

        R, (m, n_rows * n_columns), has the weights of the ravelled coefficients. None stands for
        each coefficient by itself. The result is one number for all tests, or an array (m,).
        """
        if self.from_standardised is None:
            return self.distribution.df
        combined = self.from_standardised if R is None else R @ self.from_standardised
        return self.distribution.degrees(combined)

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance, with class and feature as the names of rows and columns."""
        import pandas as pd

        return pd.DataFrame(self.covariance, index=self.index, columns=self.index)

    def conf_int(self, conf_level: float) -> pd.DataFrame:
        """Return confidence intervals of the coefficients, in the columns lower and upper.

        The intervals are percentiles of the bootstrap samples if there are any, and otherwise those
        of the t or normal distribution.
        """
        import pandas as pd

        values, errors = self.coef.ravel(), self.std_errors.ravel()
        lower, upper = normal_interval(values, errors, conf_level, self.degrees_of_freedom())
        if self.replicates is not None:
            samples = self.replicates.reshape(len(self.replicates), -1)
            lower, upper = percentile_interval(samples, conf_level)
        return pd.DataFrame({"lower": lower, "upper": upper}, index=self.index)

    def profile_conf_int(
        self, fit: FitRows, positions: list[tuple[int, int]], conf_level: float
    ) -> pd.DataFrame:
        """Return profile likelihood intervals of the coefficients in some columns, of all rows.

        `positions` has a pair for each column: its position in `columns` and among all columns of
        the model. The table has a row for each coefficient, with the columns lower and upper.
        """
        import pandas as pd

        quantile = normal_quantile(conf_level)
        chosen = [(row, *both) for row in range(len(self.rows)) for both in positions]
        ends = [fit.profile(row, in_model, quantile) for row, _, in_model in chosen]
        index = self.index[[row * len(self.columns) + j for row, j, _ in chosen]]
        return pd.DataFrame(ends, index=index, columns=["lower", "upper"])

    def summary(
        self, conf_level: float, adjust: str | None, ratio: str, exponentiate: bool
    ) -> pd.DataFrame:
        """Return a table with a row for each coefficient, as `InferenceResults.summary` shows it.

        `adjust` is the method that adjusts the p-values of features for multiple tests, or None.
        `ratio` is the name of the last column, exp(coefficient). With `exponentiate` this column
        replaces that of the coefficients, and standard errors and intervals are those of
        exp(coefficient).
        """
        import pandas as pd

        check_flag("exponentiate", exponentiate)
        estimate, error = self.coef.ravel(), self.std_errors.ravel()
        ends = self.conf_int(conf_level).to_numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            ratios = np.exp(estimate)
            table = {"coef": estimate, "std_err": error}
            if exponentiate:
                # The delta method: the derivative of exp(b) is exp(b).
                table, ends = {ratio: ratios, "std_err": ratios * error}, np.exp(ends)
        if self.has_tests:
            table |= z_tests(
                estimate, error, self.distribution.statistic, self.degrees_of_freedom()
            )
        frame = pd.DataFrame(table, index=self.index)
        # An array is assigned by position, because two features may have the same name.
        frame[["lower", "upper"]] = ends
        if not exponentiate:
            frame[ratio] = ratios
        if adjust is not None:
            if not self.has_tests:
                raise ValueError(
                    "adjust is for p-values, which results of penalised fits and bootstraps do not "
                    "have; expected adjust=None."
                )
            is_slope = np.arange(len(frame)) % len(self.columns) < self.n_features
            p_values = np.full(len(frame), np.nan)
            p_values[is_slope] = adjusted_p_values(frame["p_value"].to_numpy()[is_slope], adjust)
            frame["p_adjusted"] = p_values
        return frame
