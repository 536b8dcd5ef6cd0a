"""Methods of InferenceResults for the coefficients and for the fit as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._estimates import normal_quantile
from skmaxent._inference._results_state import ResultsState
from skmaxent._inference._tables import with_notes
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
        """Number of free coefficients minus that of the null model."""
        # A combination of the columns that is constant acts as an intercept.
        has_constant = self.fit_intercept or self._constant is not None
        return self.n_parameters - (len(self.classes) - 1) * has_constant

    @property
    def df_resid(self) -> float:
        """Number of observations minus the number of free coefficients."""
        return self.n_obs - self.n_parameters

    @property
    def aic(self) -> float:
        """Akaike's information criterion, -2 log L + 2 p, with the largest likelihood L.

        It is NaN, with a warning, in two cases:

        - after a bootstrap of a fit that does not maximise the likelihood, because it has a
          penalty, bounds, `bias_reduction`, `label_smoothing` or `partial_labels`;
        - in pickled results whose coefficients are not optimal (see `notes`), because maximising
          the likelihood needs the rows of the fit.
        """
        self._validity.check_criterion("AIC")
        return self._likelihood.criterion("AIC", 2.0 * self.n_parameters)

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, -2 log L + p log n; NaN whenever `aic` is."""
        self._validity.check_criterion("BIC")
        size = self.n_parameters * float(np.log(self.n_obs))
        return self._likelihood.criterion("BIC", size)

    @property
    def mcfadden_r2(self) -> float:
        """1 - log L / log L of the null model."""
        return 1.0 - self.log_likelihood / self.null_log_likelihood

    @property
    def cox_snell_r2(self) -> float:
        """1 - (L_null/L)^(2/n), the pseudo R² of Cox & Snell (1989) and Maddala (1983).

        L_null is the likelihood of the null model, n is `n_obs`. With sampling weights both
        log-likelihoods and n are sums of weights, for which the rows of the fit are needed.
        """
        return float(-np.expm1(-2.0 * self._mean_gain))

    @property
    def nagelkerke_r2(self) -> float:
        """`cox_snell_r2` divided by its largest value, 1 - L_null^(2/n).

        Nagelkerke (1991), A note on a general definition of the coefficient of determination,
        Biometrika 78, 691-692.
        """
        largest = -np.expm1(2.0 * self.null_log_likelihood / self._total_weight)
        return float(self.cox_snell_r2 / largest)

    @property
    def tjur_r2(self) -> pd.Series:
        """The mean probability of each class over its own rows minus that over all other rows.

        For two classes both values are the coefficient of discrimination of Tjur (2009), The
        American Statistician 63, 366-372. Rows count with their weights; probabilities are those of
        the fit, before `prior_correction`. ValueError is raised for sets of labels, and for pickled
        results without `with_data`.
        """
        import pandas as pd

        if self._estimate.settings.partial_labels:
            raise ValueError(
                "tjur_r2 needs the label of each row, which partial_labels do not have."
            )
        values = self._held.get("Tjur's R²").discrimination
        return pd.Series(values, pd.Index(self.classes, name="class"), name="tjur_r2")

    @property
    def _total_weight(self) -> float:
        """Number of observations, or sum of the sampling weights, in the log-likelihood."""
        if self.weights == "frequency":
            return self.n_obs
        return self._held.get("pseudo R² with sampling weights").total_weight

    @property
    def _mean_gain(self) -> float:
        """Mean over the observations of the gain in log-likelihood over the null model."""
        return (self.log_likelihood - self.null_log_likelihood) / self._total_weight

    @property
    def _has_criteria(self) -> bool:
        """Whether AIC and BIC exist: there is a likelihood, and its maximum is known."""
        if self.cov_type == "laplace" or not self._validity.has_independent_rows:
            return False
        return self._is_maximal and not np.isnan(self._likelihood.largest)

    @with_notes
    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients with their names.

        Returns
        -------
        pandas.DataFrame of shape (n_coefficients, n_coefficients)
            Rows and columns are labelled with the class and the feature.
        """
        return self._tables.cov_params()

    @with_notes
    def conf_int(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return intervals of the coefficients, by the normal or Student's t distribution.

        They are confidence intervals, or credible intervals for the posterior of a ridge penalty.
        After a bootstrap they are percentiles of its replicates.

        Parameters
        ----------
        conf_level : float, default=0.95
            Confidence level of the intervals.

        Returns
        -------
        pandas.DataFrame
            A row for each class and feature, with the columns lower and upper.

        Raises
        ------
        ValueError
            If `conf_level` is not between 0 and 1.
        """
        return self._tables.conf_int(conf_level)

    @with_notes
    def profile_conf_int(self, conf_level: float = 0.95, features: Any = None) -> pd.DataFrame:
        """Return confidence intervals from the profile likelihood.

        With `bias_reduction` it is the profile of the penalised likelihood. The method makes
        several fits, each with a fixed value of the coefficient, for each end. An end is infinite
        if the likelihood does not fall far enough, as for separated classes.

        Parameters
        ----------
        conf_level : float, default=0.95
            Confidence level of the intervals.
        features : str or list of str, default=None
            The features whose intervals are computed; None stands for all.

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
        pairs = list(zip(positions, self._names.in_model(positions), strict=True))
        return self._tables.profile_conf_int(fit, pairs, conf_level)

    @with_notes
    def summary(
        self, conf_level: float = 0.95, adjust: str | None = None, *, exponentiate: bool = False
    ) -> pd.DataFrame:
        """Return the table of coefficients with standard errors, tests and intervals.

        Parameters
        ----------
        conf_level : float, default=0.95
            Confidence level of the intervals.
        adjust : str, default=None
            A method of `statsmodels.stats.multitest.multipletests` ("holm", "fdr_bh", ...) for
            another column of p-values, adjusted over all coefficients but the intercepts.
        exponentiate : bool, default=False
            Whether ratios exp(coef) take the place of coefficients: odds ratios for two classes,
            else relative risk ratios, which with symmetric coding are relative to the geometric
            mean of all classes. Standard errors are exp(coef) times those of the coefficients, by
            the delta method, as in Stata's ``mlogit, rrr``; the ends of intervals are
            exponentiated; z and p_value remain those of the coefficients.

        Returns
        -------
        pandas.DataFrame
            A row for each class and feature: coef, std_err, z, p_value, lower, upper and exp(coef),
            which is called odds_ratio or relative_risk_ratio. Results with a posterior covariance
            have no z and no p_value; if `df_tests` is finite, t takes the place of z. With
            `exponentiate` the ratio is the first column, in the place of the coefficient.

        Raises
        ------
        ImportError
            If `adjust` is given and statsmodels is not installed.
        """
        return self._tables.summary(conf_level, adjust, self._ratio, exponentiate)

    @property
    def _ratio(self) -> str:
        """The name of exp(coef): "odds_ratio" or "relative_risk_ratio"."""
        has_odds = len(self.classes) == 2 and len(self.rows) == 1
        return "odds_ratio" if has_odds else "relative_risk_ratio"
