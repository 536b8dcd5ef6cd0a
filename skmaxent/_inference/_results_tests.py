"""Methods of InferenceResults that test hypotheses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from skmaxent._inference._anova import anova
from skmaxent._inference._iia import choices_of, hausman_mcfadden, small_hsiao
from skmaxent._inference._outcome_tests import equal_over_rows, equal_slopes
from skmaxent._inference._results_restrictions import RestrictionTests
from skmaxent._inference._score_tests import read_columns, score_tests
from skmaxent._inference._tables import chi2_table, with_notes
from skmaxent._inference._terms import Terms
from skmaxent._inference._wild_bootstrap import wild_bootstrap_test
from skmaxent._input._arguments import check_choice, check_type
from skmaxent._typing import RandomState

if TYPE_CHECKING:
    import pandas as pd


class TestMethods(RestrictionTests):
    """Tests of terms, of linear hypotheses, and of outcomes."""

    @with_notes
    def wald_test(self, features: str | list[str] | None = None) -> pd.DataFrame:
        """Return Wald tests that all coefficients of a feature or a term are zero.

        Parameters
        ----------
        features : str or list of str, default=None
            A test for each feature, or each of the `terms`; None is all features. A list of lists
            tests each inner list jointly.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value; of Wald tests F, df, df_denom
            and p_value where `df_tests` is finite.

        Raises
        ------
        ValueError
            For unknown features, for the name of a term that is also that of another column, or a
            penalised fit.
        """
        self._validity.check_tests("Wald tests")
        return self._wald.of_terms(self._names.terms(features))

    @with_notes
    def likelihood_ratio_test(
        self, other: Self | None = None, features: Any = None
    ) -> pd.DataFrame:
        """Return likelihood-ratio tests against smaller models.

        With `bias_reduction` the ratios are of penalised likelihoods, both with the prior of the
        whole model (Heinze & Schemper 2002, Stat. Med. 21).

        Parameters
        ----------
        other : InferenceResults, default=None
            Results of a nested model on the same rows. None refits without each of `features`.
        features : str or list of str, default=None
            Where `other` is None: features or terms to leave out, as in `wald_test`; None is each
            feature.

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
            if not terms:
                raise ValueError("the model has no features to leave out: give other.")
            tests = [(name, *fit.ratio_without(self._names.in_model(term))) for name, term in terms]
            return chi2_table(tests)
        if features is not None:
            raise ValueError("give other, or features to leave out, not both; found both.")
        check_type("other", other, TestMethods, "results of infer")
        other._validity.check_nonrobust_tests("likelihood-ratio tests")
        return chi2_table([("other", *self._likelihood.ratio_to(other._likelihood))])

    @with_notes
    def score_test(self, X: Any, terms: dict[str, list[str]] | None = None) -> pd.DataFrame:
        """Return Rao's score tests of features that are not in the model.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples,) or (n_samples, n_features)
            The features, for the rows of the fit; a test for each, and one for all of them.
        terms : dict of str to list of str, default=None
            Columns of X that are tested together: a test for each term, and one for all columns.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            For another number of rows, features that are combinations of those of the model, or a
            penalised fit.
        """
        self._validity.check_nonrobust_tests("score tests")
        if self._penalised_ratio is not None:
            raise ValueError(
                "score tests are for maximum-likelihood fits: with bias_reduction fit the larger "
                "model and use its likelihood_ratio_test."
            )
        columns, names = read_columns(X)
        groups = None if terms is None else Terms.of_groups(names, terms)
        return score_tests(self._held.get("score tests"), columns, names, groups)

    @with_notes
    def anova(self, type: int = 2, test: str = "lr") -> pd.DataFrame:
        """Return tests of all `terms`, of type II or III, as `car::Anova` of R.

        A test of type III compares the whole model with the model without the term. A main effect
        is then the effect where the variables that the term interacts with are zero, such as the
        first level of a factor with dummies for its other levels.

        A test of type II respects marginality: both models lack the terms that contain the tested
        term. A Wald test of type II is a test of the part of the term that is not correlated with
        the terms that contain it [1]_.

        A term contains another term if its factors include all factors of the other. The factors
        are those of the formula, or the variables that the columns are computed from, or the parts
        between colons of the names in ``terms=`` of `skmaxent.infer`. Results of
        `MaxentClassifier.infer` have a term for each column.

        Parameters
        ----------
        type : {2, 3}, default=2
        test : {"lr", "wald"}, default="lr"
            Likelihood ratios need the rows of the fit and ``cov_type="nonrobust"``. With
            `bias_reduction` they are of penalised likelihoods, all with the prior of the whole
            model. Wald tests have the covariance of the results.

        Returns
        -------
        pandas.DataFrame
            A row for each term: chi2, df and p_value; of Wald tests F, df, df_denom
            and p_value where `df_tests` is finite.

        Raises
        ------
        ValueError
            For results of some features, a penalised fit, and likelihood ratios with robust
            covariances or probability weights.

        References
        ----------
        .. [1] Fox (2016), Applied Regression Analysis and Generalized Linear Models, 3rd ed., Sage.
        """
        self._check_kind("anova", test)
        if self.n_columns is not None:
            raise ValueError("anova needs all features: infer without features=.")
        names = self._names
        terms = self._terms or Terms.of_groups(names.features, {})
        if test == "wald":
            return anova(
                terms, names, lambda at: self._wald.of_columns(at, "terms"), type, self._wald.table
            )
        fit = self._held.get("likelihood-ratio tests of terms")
        return anova(
            terms, names, lambda at: fit.ratio_without(names.in_model(at)), type, chi2_table
        )

    @with_notes
    def linear_test(self, hypothesis: Any, rhs: Any = None, test: str = "wald") -> pd.DataFrame:
        """Return a joint test of linear hypotheses about the coefficients.

        Parameters
        ----------
        hypothesis : str, list of str or array-like
            Equations of coefficients, which have the names class:feature, such as
            ``"Labour:Europe = Liberal Democrat:Europe"`` or ``"2*a:x - b:x = 0.5"``. Without an
            equals sign the right side is zero. The coefficients of the reference class have such
            names too, and are zero. With two classes the name of the class may be left out. Names
            that can be read in two ways need backticks around them. An array of shape
            (n_restrictions, n_coefficients) has a column for each coefficient, in the order of
            `cov_params`.
        rhs : float or array-like of shape (n_restrictions,), default=None
            The right sides, if `hypothesis` is an array; None stands for zeros.
        test : {"wald", "lr"}, default="wald"
            Wald's test uses the covariance of the results. The likelihood-ratio test maximises the
            likelihood under the hypothesis, as in `likelihood_ratio_test`.

        Returns
        -------
        pandas.DataFrame
            One row: chi2, df and p_value; of Wald tests F, df, df_denom and p_value where
            `df_tests` is finite. `hypotheses` has the estimate of each combination.

        Raises
        ------
        ValueError
            For unknown or ambiguous names, restrictions that follow from each other or contradict
            each other, a penalised fit, and where `likelihood_ratio_test` raises it.
        """
        self._check_kind("linear_test", test)
        hypotheses, A = self._independent_restrictions(hypothesis, rhs)
        restrictions = [(hypotheses.name, A, hypotheses.values)]
        return self._tests_of(restrictions, test).rename_axis("hypothesis")

    @with_notes
    def hypotheses(
        self, hypothesis: Any, rhs: Any = None, conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return estimates of linear combinations of coefficients, with a test of each.

        Parameters
        ----------
        hypothesis, rhs : object
            As in `linear_test`.
        conf_level : float, default=0.95
            Confidence level of the intervals.

        Returns
        -------
        pandas.DataFrame
            A row for each hypothesis: the estimate of its left side less its right side, std_err,
            z (t where `df_tests` is finite), p_value, lower and upper. Results with a posterior
            covariance or of a bootstrap have no z and no p_value; the intervals of a bootstrap are
            percentiles.

        Raises
        ------
        ValueError
            For unknown or ambiguous names, and for combinations that are zero whatever the data.
        """
        hypotheses = self._hypotheses(hypothesis, rhs)
        # This raises ValueError for combinations that are zero whatever the data.
        hypotheses.for_free_coefficients(self._contrasts)
        return hypotheses.table(self._tables, conf_level)

    @with_notes
    def wild_bootstrap_test(
        self,
        hypothesis: Any,
        rhs: Any = None,
        *,
        n_bootstrap: int = 999,
        weights: str = "rademacher",
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Return a joint test of linear hypotheses by the score wild cluster bootstrap.

        The model is fitted once under the hypothesis. The bootstrap then multiplies the scores of
        each cluster by random weights, without other fits [1]_. With few clusters the test keeps
        its level better than Wald tests. It needs results of `infer` with ``groups=``.

        Parameters
        ----------
        hypothesis, rhs : object
            As in `linear_test`.
        n_bootstrap : int, default=999
            Number of random draws of the weights. G clusters have 2^G patterns of random signs. If
            these are no more than `n_bootstrap`, each pattern is used once instead.
        weights : {"rademacher", "webb"}, default="rademacher"
            Random signs, or the six values of Webb (2023) [2]_, for fewer than about ten clusters.
        random_state : int, RandomState instance or None, default=None
            Draws the weights.

        Returns
        -------
        pandas.DataFrame
            One row: chi2 (the score statistic), df, p_value and n_bootstrap, the number of draws.

        Raises
        ------
        ValueError
            For results without clusters, or with fewer clusters than restrictions, and as
            `linear_test`.

        References
        ----------
        .. [1] Kline & Santos (2012), A score based approach to wild bootstrap inference, Journal of
           Econometric Methods 1.
        .. [2] Webb (2023), Reworking wild bootstrap-based inference for clustered errors, Canadian
           Journal of Economics 56.
        """
        self._validity.check_tests("wild bootstrap tests")
        hypotheses, A = self._independent_restrictions(hypothesis, rhs)
        fit = self._held.get("wild bootstrap tests")
        influences = fit.cluster_influences(A, hypotheses.values)
        return wild_bootstrap_test(influences, hypotheses.name, n_bootstrap, weights, random_state)

    @with_notes
    def equality_test(self, features: Any = None, test: str = "wald") -> pd.DataFrame:
        """Test whether the coefficients of a feature or a term are equal for all outcomes.

        The outcomes are those that have coefficients: all but the reference. With symmetric coding
        the coefficients are equal where all are zero.

        Parameters
        ----------
        features : str or list of str, default=None
            As in `wald_test`.
        test : {"wald", "lr"}, default="wald"
            As in `linear_test`.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value; of Wald tests F, df, df_denom
            and p_value where `df_tests` is finite.

        Raises
        ------
        ValueError
            For two classes, which have one row of coefficients, and as `linear_test`.
        """
        self._check_kind("equality_test", test)
        if len(self.rows) < 2:
            raise ValueError(
                f"equality_test compares coefficients of several classes, found those of "
                f"{self.rows[0]!r} alone: use wald_test."
            )
        restrictions = [
            (name, equal_over_rows(self._contrasts, positions, len(self.columns)), 0.0)
            for name, positions in self._names.terms(features)
        ]
        return self._tests_of(restrictions, test)

    @with_notes
    def combine_test(self, test: str = "wald") -> pd.DataFrame:
        """Test for all pairs of outcomes whether all their slopes are equal.

        If so, the features do not tell the two outcomes apart, and the outcomes can be combined
        ([1]_; `mlogtest, combine` of Stata). For a pair with the reference, all slopes of the other
        outcome are zero. Slopes are the coefficients of all columns but the intercept.

        Parameters
        ----------
        test : {"wald", "lr"}, default="wald"
            As in `linear_test`.

        Returns
        -------
        pandas.DataFrame
            A row for each pair of classes: chi2, df and p_value; of Wald tests F, df, df_denom
            and p_value where `df_tests` is finite.

        Raises
        ------
        ValueError
            For results of some features, models without features, and as `linear_test`.

        References
        ----------
        .. [1] Cramer and Ridder (1991), Pooling states in the multinomial logit model, Journal of
           Econometrics 47.
        """
        import pandas as pd

        self._check_kind("combine_test", test)
        if self.n_columns is not None or not self._names.features:
            raise ValueError(
                "combine_test needs the slopes of all features: expected a model with features, "
                "and infer without features=."
            )
        width = len(self.columns)
        pairs = list(equal_slopes(self.classes, width, self.has_intercept, self._constant))
        restrictions = [(f"{first} = {second}", A, 0.0) for first, second, A in pairs]
        labels = pd.MultiIndex.from_tuples([pair[:2] for pair in pairs], names=["first", "second"])
        return self._tests_of(restrictions, test).set_axis(labels)

    @with_notes
    def iia_test(self, method: str = "hausman", random_state: RandomState = None) -> pd.DataFrame:
        """Test the independence of irrelevant alternatives, by leaving out each outcome in turn.

        The model implies that the odds of two outcomes do not depend on the other outcomes. If so,
        the estimates change by chance only when an outcome and its rows are left out. Cheng and
        Long [3]_ find that both tests often reject true models: a rejection alone does not show
        that a model is wrong.

        Parameters
        ----------
        method : {"hausman", "small-hsiao"}, default="hausman"
            "hausman" compares the coefficients, intercepts included [1]_. Its chi2 may be negative,
            which `note` says, and then has no p_value. "small-hsiao" compares likelihoods in a
            random half of the rows [2]_; its degrees of freedom are the coefficients without the
            outcome.
        random_state : int, RandomState instance or None, default=None
            Draws the halves of the rows for "small-hsiao".

        Returns
        -------
        pandas.DataFrame
            A row for each outcome that is left out: chi2, df, p_value and note. They are NaN where
            the model without it has no estimates, as `note` says.

        Raises
        ------
        ValueError
            For two classes; unless the fit maximises the likelihood of independent rows; where the
            rows of the fit are not known; and where the model of all outcomes has no estimates.
        TypeError
            For fits to Dask collections.

        References
        ----------
        .. [1] Hausman and McFadden (1984), Specification tests for the multinomial logit model,
           Econometrica 52.
        .. [2] Small and Hsiao (1985), Multinomial logit specification tests, International Economic
           Review 26.
        .. [3] Cheng and Long (2007), Testing for IIA in the multinomial logit model, Sociological
           Methods & Research 35.
        """
        what = "tests of independence of irrelevant alternatives"
        check_choice("method", method, ("hausman", "small-hsiao"))
        if random_state is not None and method != "small-hsiao":
            raise ValueError(f"random_state is for 'small-hsiao', found method={method!r}.")
        self._validity.check_tests(what)
        if self.cov_type != "nonrobust" or self._penalised_ratio is not None:
            found = "bias_reduction" if self._penalised_ratio is not None else self.cov_type
            raise ValueError(
                f"{what} compare maximum-likelihood estimates of independent rows: expected "
                f"cov_type='nonrobust' and no bias_reduction, found {found!r}."
            )
        if len(self.classes) < 3:
            raise ValueError(
                f"{what} leave an outcome out: expected three classes or more, found "
                f"{len(self.classes)}."
            )
        choices = choices_of(self._held.get(what))
        if method == "hausman":
            return hausman_mcfadden(choices, self.classes)
        return small_hsiao(choices, self.classes, random_state)
