"""Methods of InferenceResults that compare probabilities with the observed classes of the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from skmaxent._effects._estimates import check_level
from skmaxent._inference._calibration_table import calibration_table, score_decomposition
from skmaxent._inference._goodness_of_fit import (
    TESTS,
    Outcomes,
    covariate_pattern_test,
    fagerland_hosmer,
)
from skmaxent._inference._results_state import ResultsState
from skmaxent._inference._tables import with_notes
from skmaxent._input._arguments import check_choice, check_flag
from skmaxent._leverage._leave_one_out import leave_one_out
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# The largest number of exact fits for held-out probabilities, the default of `loo`.
HELD_OUT_REFITS = 100


class GoodnessMethods(ResultsState):
    """Goodness-of-fit tests, scores and calibration, on the rows of the fit."""

    @with_notes
    def goodness_of_fit(
        self, test: str = "fagerland-hosmer", *, n_groups: int = 10
    ) -> pd.DataFrame:
        """Test whether the model has the right form: goodness of fit.

        Parameters
        ----------
        test : {"fagerland-hosmer", "pearson", "deviance"}, default="fagerland-hosmer"
            "fagerland-hosmer" compares observed and expected counts of the classes in groups of
            rows. Quantiles of 1 - P(reference class) form the groups [1]_. With two classes this is
            the test of Hosmer and Lemeshow [2]_. "pearson" and "deviance" compare the counts of
            rows with equal features and offsets, and are valid if these counts are large.
        n_groups : int, default=10
            Groups of "fagerland-hosmer". Groups with equal bounds are merged.

        Returns
        -------
        pandas.DataFrame
            One row: chi2, df, p_value, n_groups (groups, or distinct rows of features and offsets)
            and small_expected, the share of expected counts below 5. If it is above about 0.2, the
            chi-squared distribution is a poor approximation.

        Raises
        ------
        ValueError
            For penalised fits; for sampling weights and clusters, because the counts then have no
            multinomial distribution; for `partial_labels`; if the results do not hold the rows of
            the fit; and if no degrees of freedom are left.
        TypeError
            For fits to Dask collections.

        References
        ----------
        .. [1] Fagerland, Hosmer & Bofin (2008), Multinomial goodness-of-fit tests for logistic
           regression models, Statistics in Medicine 27.
        .. [2] Hosmer & Lemeshow (1980), Goodness of fit tests for the multiple logistic regression
           model, Communications in Statistics 9.
        """
        what = "goodness-of-fit tests"
        check_choice("test", test, TESTS)
        if test != "fagerland-hosmer" and n_groups != 10:
            raise ValueError(f"n_groups is for 'fagerland-hosmer', found test={test!r}.")
        self._validity.check_tests(what)
        self._validity.check_independent_rows(f"{what} need")
        outcomes = self._outcomes(what)
        if test == "fagerland-hosmer":
            reference = self.reference if self.reference in self.classes else self.classes[0]
            return fagerland_hosmer(outcomes, self.classes.index(reference), n_groups)
        patterns = self._held.get(what).patterns(what)
        return covariate_pattern_test(outcomes, patterns, self.n_parameters, test)

    @with_notes
    def score_decomposition(
        self,
        score: str = "brier",
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        held_out: bool = False,
    ) -> pd.DataFrame:
        """Decompose the Brier or the log score into reliability - resolution + uncertainty.

        Small scores are good [1]_:

        - Reliability is the part of the score that perfect calibration would remove.
        - Resolution is how much the probabilities improve on the class shares of all rows.
        - Uncertainty is the score of a model that predicts these shares.

        The rows are those of the fit, for which scores are optimistic unless `held_out` is True.
        The probabilities are those before `prior_correction`, because the correction adapts them to
        other class shares than those of the rows.

        Parameters
        ----------
        score : {"brier", "log"}, default="brier"
            The mean squared difference of probabilities and outcomes, or the mean of -log p of the
            observed class, of which small values are good. The `log_score` of `loo` is the mean of
            +log p, of which large values are good.
        n_bins : int, default=10
            Number of bins. In each bin of the probability of a class, the mean probability is
            compared with the share of the class.
        strategy : {"quantile", "uniform"}, default="quantile"
            Bins with equally many observations, or of equal width.
        held_out : bool, default=False
            Whether the probabilities of a row are those of the fit without it, as in `loo`.

        Returns
        -------
        pandas.DataFrame
            A row for each class, for the event that the class occurs, and a row "all". Columns:
            score, reliability, resolution and uncertainty. For the Brier score, "all" is the sum
            over classes. For the log score, "all" uses bins of the largest probability of each row.

        Raises
        ------
        ValueError
            For arguments out of range, for `partial_labels`, if the results do not hold the rows of
            the fit, and with `held_out` if a row has observations of several classes or if `loo`
            raises.
        TypeError
            For fits to Dask collections.

        References
        ----------
        .. [1] Murphy (1973), A new vector partition of the probability score, Journal of Applied
           Meteorology 12; for other scores and bins, Siegert (2017), Q. J. R. Meteorol. Soc. 143.
        """
        outcomes = self._outcomes("scores of the rows", held_out)
        return score_decomposition(outcomes, self.classes, score, n_bins, strategy)

    @with_notes
    def calibration(
        self,
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        conf_level: float = 0.95,
        held_out: bool = False,
    ) -> pd.DataFrame:
        """Return the share of each class in bins of its probability, for the rows of the fit.

        Probabilities are those before `prior_correction`.

        Parameters
        ----------
        n_bins, strategy : object
            As in `score_decomposition`.
        conf_level : float, default=0.95
            Confidence level of the intervals.
        held_out : bool, default=False
            As in `score_decomposition`.

        Returns
        -------
        pandas.DataFrame
            A row for each class and bin: predicted, the mean probability; observed, the share of
            the class; lower and upper, Wilson's interval of the share; n, the number of
            observations, or Kish's effective number of rows with sampling weights.

        Raises
        ------
        ValueError
            For arguments out of range, for `partial_labels`, if the results do not hold the rows of
            the fit, and with `held_out` if a row has observations of several classes or if `loo`
            raises.
        TypeError
            For fits to Dask collections.
        """
        check_level(conf_level)
        outcomes = self._outcomes("calibration tables of the rows", held_out)
        are_counts = self.weights == "frequency"
        return calibration_table(
            outcomes, self.classes, n_bins, strategy, conf_level, are_counts=are_counts
        )

    def _outcomes(self, what: str, held_out: bool = False) -> Outcomes:
        """Return the probabilities and the observed classes of the rows of the fit.

        `what`, the plural name of the statistics, is for error messages. With `held_out` the
        probabilities of a row are those of the fit without it. Sampling weights have no scale of
        their own, so that they are scaled to the mean 1.
        """
        check_flag("held_out", held_out)
        if self._estimate.settings.partial_labels:
            raise ValueError(f"{what} need the class of each row, found partial_labels.")
        outcomes = self._held.get(what).outcomes(what)
        if held_out:
            outcomes = replace(outcomes, probabilities=self._held_out_probabilities(outcomes))
        return outcomes if self.weights == "frequency" else outcomes.with_mean_one()

    def _held_out_probabilities(self, outcomes: Outcomes) -> Array:
        """Return the probabilities of each row by the fit without it, (n_samples, n_classes).

        Like those of `outcomes` they are probabilities before `prior_correction`. ValueError is
        raised for rows with observations of several classes.
        """
        fit = replace(self._held.get("held-out probabilities").fitted, correction=0.0)
        fit.rows_in_memory()
        if ((outcomes.shares > 0.0).sum(axis=1) > 1).any() or fit.has_whole_counts:
            raise ValueError(
                "held_out=True needs rows of one class each: without one observation of a row of "
                "several classes, its probabilities depend on which of them is left out."
            )
        scores = leave_one_out(fit, weights=self.weights, max_refits=HELD_OUT_REFITS)
        return np.asarray(np.exp(scores.log_proba))
