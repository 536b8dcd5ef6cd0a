"""Methods of InferenceResults that compare probabilities with the classes of the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from skmaxent._effects._estimates import check_level
from skmaxent._inference._calibration_table import calibration_table, score_decomposition
from skmaxent._inference._goodness_of_fit import TESTS, Outcomes, fagerland_hosmer, of_patterns
from skmaxent._inference._results_state import ResultsState
from skmaxent._leverage._leave_one_out import leave_one_out
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# Most exact fits for held-out probabilities, the default of `loo`.
HELD_OUT_REFITS = 100


class GoodnessMethods(ResultsState):
    """Goodness-of-fit tests, scores and calibration, on the rows of the fit."""

    def goodness_of_fit(
        self, test: str = "fagerland-hosmer", *, n_groups: int = 10
    ) -> pd.DataFrame:
        """A test of whether the model has the right form.

        Parameters
        ----------
        test : {"fagerland-hosmer", "pearson", "deviance"}, default="fagerland-hosmer"
            "fagerland-hosmer" compares observed and expected counts of the classes in groups of
            rows, which are made by quantiles of the probability of any class but the reference
            [1]_; of two classes it is the test of Hosmer and Lemeshow [2]_. "pearson" and
            "deviance" compare the counts of rows with equal features and offsets, and are valid
            where these counts are large.
        n_groups : int, default=10
            Groups of "fagerland-hosmer". Groups with equal bounds are merged.

        Returns
        -------
        pandas.DataFrame
            One row: chi2, df, p_value, n_groups (groups, or different values of the features) and
            small_expected, the share of expected counts below 5: where it is above about 0.2 the
            chi-squared distribution is not near.

        Raises
        ------
        ValueError
            For penalised fits, sampling weights and clusters, whose counts have no multinomial
            distribution; for sets of labels; where the rows are not known; where no degrees of
            freedom are left.
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
        if test not in TESTS:
            raise ValueError(f"test must be one of {list(TESTS)}, found {test!r}.")
        if test != "fagerland-hosmer" and n_groups != 10:
            raise ValueError(f"n_groups is for 'fagerland-hosmer', found test={test!r}.")
        self._validity.check_tests(what)
        if not self._validity.has_independent_rows:
            raise ValueError(
                f"{what} need independent rows, which sampling weights and clusters do not have."
            )
        outcomes = self._outcomes(what)
        if test == "fagerland-hosmer":
            reference = self.reference if self.reference in self.classes else self.classes[0]
            return fagerland_hosmer(outcomes, self.classes.index(reference), n_groups)
        patterns = self._held.get(what).patterns(what)
        return of_patterns(outcomes, patterns, self.n_parameters, test)

    def score_decomposition(
        self,
        score: str = "brier",
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        held_out: bool = False,
    ) -> pd.DataFrame:
        """The Brier or the log score, as reliability - resolution + uncertainty.

        Reliability is what calibration could gain, resolution what the probabilities tell about the
        classes, and uncertainty is the score of the shares of the classes in all rows (Murphy 1973
        [1]_). Small scores are good. Rows are those of the fit, for which the scores are
        optimistic unless `held_out` is True, and probabilities are those before `prior_correction`,
        which belongs to other shares of the classes than those of the rows.

        Parameters
        ----------
        score : {"brier", "log"}, default="brier"
            The mean squared difference of probabilities and outcomes, or the mean of -log p of the
            observed class.
        n_bins : int, default=10
            Bins of the probability of each class, in which outcomes are compared with it.
        strategy : {"quantile", "uniform"}, default="quantile"
            Bins of equally many observations, or of equal width.
        held_out : bool, default=False
            Whether the probabilities of a row are those of the fit without it, as in `loo`.

        Returns
        -------
        pandas.DataFrame
            A row for each class, with the score of the event that it occurs, and "all": score,
            reliability, resolution and uncertainty. The Brier score of all classes is the sum of
            theirs. The log score of all classes has bins of the probability of the most probable
            class.

        Raises
        ------
        ValueError
            For arguments out of range, for sets of labels, where the rows are not known, and for
            `held_out` where a row has observations of several classes, or as `loo`.
        TypeError
            For fits to Dask collections.

        References
        ----------
        .. [1] Murphy (1973), A new vector partition of the probability score, Journal of Applied
           Meteorology 12; for other scores and bins, Siegert (2017), Q. J. R. Meteorol. Soc. 143.
        """
        outcomes = self._outcomes("scores of the rows", held_out)
        return score_decomposition(outcomes, self.classes, score, n_bins, strategy)

    def calibration(
        self,
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        conf_level: float = 0.95,
        held_out: bool = False,
    ) -> pd.DataFrame:
        """Observed shares of each class in bins of its probability, on the rows of the fit.

        Probabilities are those before `prior_correction`.

        Parameters
        ----------
        n_bins, strategy : object
            As in `score_decomposition`.
        conf_level : float, default=0.95
            Of the intervals.
        held_out : bool, default=False
            As in `score_decomposition`.

        Returns
        -------
        pandas.DataFrame
            A row for each class and bin: predicted, the mean probability; observed, the share of
            the class; lower and upper, Wilson's interval of the share; n, the observations (with
            sampling weights Kish's effective number of rows).

        Raises
        ------
        ValueError
            For arguments out of range, for sets of labels, where the rows are not known, and for
            `held_out` where a row has observations of several classes, or as `loo`.
        TypeError
            For fits to Dask collections.
        """
        check_level(conf_level)
        outcomes = self._outcomes("calibration of the rows", held_out)
        are_counts = self.weights == "frequency"
        return calibration_table(
            outcomes, self.classes, n_bins, strategy, conf_level, are_counts=are_counts
        )

    def _outcomes(self, what: str, held_out: bool = False) -> Outcomes:
        """Return the probabilities and the classes of the rows of the fit."""
        if held_out not in (True, False):
            raise ValueError(f"held_out must be True or False, found {held_out!r}.")
        if self._estimate.settings.partial_labels:
            raise ValueError(f"{what} need the class of each row, found partial_labels.")
        outcomes = self._held.get(what).outcomes(what)
        if held_out:
            outcomes = replace(outcomes, probabilities=self._held_out_probabilities(outcomes))
        return outcomes if self.weights == "frequency" else outcomes.with_mean_one()

    def _held_out_probabilities(self, outcomes: Outcomes) -> Array:
        """Return the probabilities of each row by the fit without it, (n_samples, n_classes).

        They have no `prior_correction`, as those of `outcomes`.
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
