"""Tables of coefficients: covariance, standard errors, intervals and the summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._estimates import normal_interval, normal_quantile
from skmaxent._effects._student_t import StudentT
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._tables import adjusted_p_values, index_of, z_tests
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CoefficientTables:
    """Coefficients with their covariance, and the tables made from these.

    Attributes
    ----------
    coef : ndarray of shape (n_rows, n_columns)
    covariance : ndarray of shape (n_rows * n_columns, n_rows * n_columns)
        Of the ravelled coefficients.
    rows : list
        Labels of the rows of `coef`.
    columns : list of str
        Names of the columns of `coef`.
    n_features : int
        How many of the columns belong to features: all, or all but the last, the intercept.
    has_tests : bool
        Whether the tables have z statistics and p-values.
    replicates : ndarray of shape (n_bootstrap, n_rows, n_columns) or None
        Coefficients of bootstrap samples.
    distribution : StudentT
        Of estimates divided by their standard errors.
    from_standardised : ndarray of shape (size of coef, n_coefficients) or None
        From free coefficients of standardised columns to the ravelled ones here; None where degrees
        of freedom do not depend on the coefficient.
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

    @property
    def index(self) -> pd.MultiIndex:
        """Class and feature of each of the ravelled coefficients."""
        return index_of(self.rows, self.columns)

    @property
    def std_errors(self) -> Array:
        """Standard errors, (n_rows, n_columns)."""
        variances = np.maximum(self.covariance.diagonal(), 0.0)  # rounding may be below zero
        return np.asarray(np.sqrt(variances).reshape(self.coef.shape))

    def degrees_of(self, R: Array | None = None) -> float | Array:
        """Return degrees of freedom of t statistics of m combinations R of coefficients.

        R has the shape (m, size of coef); None are the coefficients themselves. The result is one
        number, or of shape (m,).
        """
        if self.from_standardised is None:
            return self.distribution.df
        combined = self.from_standardised if R is None else R @ self.from_standardised
        return self.distribution.degrees(combined)

    def cov_params(self) -> pd.DataFrame:
        """The covariance with names."""
        import pandas as pd

        return pd.DataFrame(self.covariance, index=self.index, columns=self.index)

    def conf_int(self, conf_level: float) -> pd.DataFrame:
        """Return normal intervals, or percentiles of the replicates, as columns lower and upper."""
        import pandas as pd

        values, errors = self.coef.ravel(), self.std_errors.ravel()
        lower, upper = normal_interval(values, errors, conf_level, self.degrees_of())
        if self.replicates is not None:
            shares = [0.5 - 0.5 * conf_level, 0.5 + 0.5 * conf_level]
            lower, upper = np.quantile(self.replicates, shares, axis=0)
        table = {"lower": lower.ravel(), "upper": upper.ravel()}
        return pd.DataFrame(table, index=self.index)

    def profile_conf_int(
        self, fit: FitRows, positions: list[tuple[int, int]], conf_level: float
    ) -> pd.DataFrame:
        """Profile intervals of some columns in every row: the columns lower and upper.

        Parameters
        ----------
        fit : FitRows
            The rows of the fit.
        positions : list of (int, int)
            For each column its position here and among all columns of the model.
        conf_level : float
            Confidence level of the intervals.
        """
        import pandas as pd

        quantile = normal_quantile(conf_level)
        places = [(row, *both) for row in range(len(self.rows)) for both in positions]
        ends = [fit.profile(row, in_model, quantile) for row, _, in_model in places]
        index = self.index[[row * len(self.columns) + j for row, j, _ in places]]
        return pd.DataFrame(ends, index=index, columns=["lower", "upper"])

    def summary(
        self, conf_level: float, adjust: str | None, ratio: str, exponentiate: bool
    ) -> pd.DataFrame:
        """The table of `InferenceResults.summary`.

        `ratio` is the name of the column of ratios, which is the last column, or the first in the
        place of the coefficients with `exponentiate`.
        """
        import pandas as pd

        estimate, error = self.coef.ravel(), self.std_errors.ravel()
        ends = self.conf_int(conf_level).to_numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            ratios = np.exp(estimate)
            table = {"coef": estimate, "std_err": error}
            if exponentiate:
                # The delta method: the derivative of exp(b) is exp(b).
                table, ends = {ratio: ratios, "std_err": ratios * error}, np.exp(ends)
        if self.has_tests:
            table |= z_tests(estimate, error, self.distribution.statistic, self.degrees_of())
        frame = pd.DataFrame(table, index=self.index)
        # By position: two features may have the same name.
        frame[["lower", "upper"]] = ends
        if not exponentiate:
            frame[ratio] = ratios
        if adjust is not None:
            if not self.has_tests:
                raise ValueError(
                    "adjust is for p-values, which results of penalised fits and bootstraps do not "
                    "have; expected adjust=None."
                )
            slopes = np.arange(len(frame)) % len(self.columns) < self.n_features
            p_values = np.full(len(frame), np.nan)
            p_values[slopes] = adjusted_p_values(frame["p_value"].to_numpy()[slopes], adjust)
            frame["p_adjusted"] = p_values
        return frame
