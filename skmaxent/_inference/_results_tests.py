"""Methods of InferenceResults that test hypotheses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmaxent._inference._results_state import ResultsState
from skmaxent._inference._score_tests import read_columns, score_tests
from skmaxent._inference._tables import chi2_table

if TYPE_CHECKING:
    import pandas as pd

    from skmaxent._inference._results import InferenceResults


class TestMethods(ResultsState):
    """Wald, likelihood-ratio and score tests."""

    def wald_test(self, features: str | list[str] | None = None) -> pd.DataFrame:
        """Wald tests that all coefficients of a feature are zero.

        Parameters
        ----------
        features : str or list of str, default=None
            A test for each; None is all of them. A list of lists tests each inner list jointly.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            For unknown features, or a penalised fit.
        """
        self._validity.check_tests("Wald tests")
        return self._wald.of_terms(self._names.terms(features))

    def likelihood_ratio_test(
        self, other: InferenceResults | None = None, features: Any = None
    ) -> pd.DataFrame:
        """Likelihood-ratio tests against smaller models.

        With `bias_reduction` the ratios are of penalised likelihoods, both with the prior of the
        whole model (Heinze & Schemper 2002, Stat. Med. 21).

        Parameters
        ----------
        other : InferenceResults, default=None
            Results of a nested model on the same rows. None refits without each of `features`.
        features : str or list of str, default=None
            Where `other` is None: terms to leave out, as in `wald_test`; None is each feature.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            Where the other model is not nested in this one, has other rows, or either is
            penalised; where both arguments are given; for robust covariances and probability
            weights, under which likelihood ratios have no chi-squared distribution: `wald_test`
            is valid there.
        """
        self._validity.check_nonrobust_tests("likelihood-ratio tests")
        if other is None:
            fit = self._held.get("likelihood-ratio tests of features")
            terms = self._names.terms(features, with_intercept=False)
            tests = [(name, *fit.ratio(self._names.in_model(term))) for name, term in terms]
            return chi2_table(tests)
        if features is not None:
            raise ValueError("give other, or features to leave out, not both; found both.")
        if not isinstance(other, TestMethods):
            raise TypeError(
                f"other must be results of infer, found an object of type {type(other).__name__}."
            )
        other._validity.check_nonrobust_tests("likelihood-ratio tests")
        return chi2_table([("other", *self._likelihood.ratio_to(other._likelihood))])

    def score_test(self, X: Any) -> pd.DataFrame:
        """Rao's score tests of features that the model has not.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples,) or (n_samples, n_features)
            The features, for the rows of the fit; a test for each, and one for all of them.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            For other rows, features that depend on those of the model, or a penalised fit.
        """
        self._validity.check_nonrobust_tests("score tests")
        if self._penalised_ratio is not None:
            raise ValueError(
                "score tests are for maximum-likelihood fits: with bias_reduction fit the larger "
                "model and use its likelihood_ratio_test."
            )
        columns, names = read_columns(X)
        return score_tests(self._held.get("score tests"), columns, names)
