"""Methods of InferenceResults for the coefficients and for the fit as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._estimates import normal_quantile
from skmaxent._inference._results_state import ResultsState
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


class CoefficientMethods(ResultsState):
    """Degrees of freedom, information criteria, standard errors, intervals and the summary."""

    @property
    def std_errors(self) -> Array:
        """Standard errors, in the shape of `coef`."""
        return self._tables.std_errors

    @property
    def df_model(self) -> int:
        """Free coefficients besides those of the null model."""
        null = self.fit_intercept or self._constant is not None
        return self.n_parameters - (len(self.classes) - 1) * null

    @property
    def df_resid(self) -> float:
        """Observations less free coefficients."""
        return self.n_obs - self.n_parameters

    @property
    def aic(self) -> float:
        """Akaike's information criterion, -2 log L + 2 p, with the largest likelihood L.

        NaN, with a warning, after a bootstrap of a fit that does not maximise the likelihood (with
        a penalty, bounds, `bias_reduction`, `label_smoothing` or `partial_labels`); and where the
        coefficients are not optimal (see `notes`) in results that were pickled, which have no rows
        to maximise the likelihood of.
        """
        self._validity.check_criterion("AIC")
        return self._likelihood.criterion("AIC", 2.0 * self.n_parameters)

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, -2 log L + p log n; NaN where `aic` is."""
        self._validity.check_criterion("BIC")
        size = self.n_parameters * float(np.log(self.n_obs))
        return self._likelihood.criterion("BIC", size)

    @property
    def mcfadden_r2(self) -> float:
        """1 - log L / log L of the null model."""
        return 1.0 - self.log_likelihood / self.null_log_likelihood

    def cov_params(self) -> pd.DataFrame:
        """The covariance with names.

        Returns
        -------
        pandas.DataFrame
        """
        return self._tables.cov_params()

    def conf_int(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Intervals from the normal distribution: confidence, or credible for a posterior.

        Those of a bootstrap are percentiles of its replicates.

        Parameters
        ----------
        conf_level : float, default=0.95
            Of the intervals.

        Returns
        -------
        pandas.DataFrame
            The columns lower and upper.

        Raises
        ------
        ValueError
            Where `conf_level` is not between 0 and 1.
        """
        return self._tables.conf_int(conf_level)

    def profile_conf_int(self, conf_level: float = 0.95, features: Any = None) -> pd.DataFrame:
        """Confidence intervals from the profile likelihood, penalised where the fit was.

        Each end is found by some fits with the coefficient held; an end is infinite where the
        likelihood does not fall enough.

        Parameters
        ----------
        conf_level : float, default=0.95
            Of the intervals.
        features : str or list of str, default=None
            Columns to do this for; None is all of them.

        Returns
        -------
        pandas.DataFrame
            The columns lower and upper.

        Raises
        ------
        ValueError
            For unknown features, and unless ``cov_type="nonrobust"``.
        """
        self._validity.check_tests("profiles")
        if self.cov_type != "nonrobust":
            raise ValueError(f"profiles need cov_type='nonrobust', found {self.cov_type!r}.")
        normal_quantile(conf_level)
        positions = sorted({j for _, term in self._names.terms(features) for j in term})
        fit = self._held.get("profile intervals")
        both = list(zip(positions, self._names.in_model(positions), strict=True))
        return self._tables.profile_conf_int(fit, both, conf_level)

    def summary(self, conf_level: float = 0.95, adjust: str | None = None) -> pd.DataFrame:
        """The table.

        Parameters
        ----------
        conf_level : float, default=0.95
            Of the intervals.
        adjust : str, default=None
            A method of `statsmodels.stats.multitest.multipletests` ("holm", "fdr_bh", ...) for
            another column of p-values, adjusted over all coefficients but the intercepts.

        Returns
        -------
        pandas.DataFrame
            A row for each class and feature: coef, std_err, z, p_value, lower, upper and
            relative_risk_ratio, exp(coef). A posterior has no z and no p_value.

        Raises
        ------
        ImportError
            Where `adjust` is asked for and statsmodels is missing.
        """
        return self._tables.summary(conf_level, adjust)
