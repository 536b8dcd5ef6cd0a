"""Methods of InferenceResults for probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from skmaxent._effects._requests import Request
from skmaxent._inference._marginal_effects import (
    RowWeights,
    average_effects,
    effects_table,
    probability_intervals,
)
from skmaxent._inference._results_state import ResultsState
from skmaxent._typing import RandomState
from skmaxent._warnings import warn_user

if TYPE_CHECKING:
    import pandas as pd


class EffectMethods(ResultsState):
    """Effects of variables and of features, and intervals of probabilities."""

    @property
    def terms(self) -> dict[str, list[str]]:
        """Terms of the model and the features that stand for each, in the order of the model."""
        if self._terms is None:
            return {name: [name] for name in self._names.features}
        return {term.name: list(term.columns) for term in self._terms}

    def predictions(
        self,
        newdata: Any = None,
        by: Any = False,
        *,
        offset: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
        interval: str = "delta",
        hypothesis: Any = None,
        n_draws: int = 1000,
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Return the probabilities of the classes for rows of data, or their averages.

        They are those of the model's `predict_proba`; standard errors take a `prior_correction` and
        the offsets as known.

        Parameters
        ----------
        newdata : DataFrame, array-like, "mean" or datagrid, default=None
            The rows, with the variables that the model was fitted to; None is the rows of the fit,
            "mean" a row with the means of numbers and the most frequent of other values. See
            `skmaxent.datagrid`.
        by : bool, str or list of str, default=False
            Variables by whose values the probabilities are averaged; True averages all rows, False
            none.
        offset : array-like, default=None
            Offsets of the rows as in `predict_proba`. The rows of the fit have theirs, and grids of
            single rows the mean of these.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in averages. None gives the rows of the fit the weights that they
            had there, the number of observations times `sample_weight`, and others equal weights.
        conf_level : float, default=0.95
            Confidence level of the intervals.
        interval : {"delta", "logit", "simulation", "bootstrap"}, default="delta"
            "delta" is the estimate -/+ a normal quantile times the standard error. "logit" is such
            an interval of the log-odds, mapped back, which stays between 0 and 1. "simulation" has
            quantiles of the estimates at coefficients drawn from their normal distribution [1]_;
            "bootstrap" those at the coefficients of the bootstrap samples, for results of
            ``infer(method="bootstrap")``.
        hypothesis : float, str, list of str or array-like, default=None
            Functions of the estimates to report in their place. "pairwise", "revpairwise",
            "reference", "sequential" and "meandev" are contrasts between the estimates of each
            class. Equations such as ``"b0 - 2*b3 = 0.1"`` name estimates by their row in the table,
            and an array of shape (n_estimates, n_hypotheses) weighs them. A number is the value
            that z and p_value are against.
        n_draws : int, default=1000
            Draws of ``interval="simulation"``.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws.

        Returns
        -------
        pandas.DataFrame
            A row for each row of data, group or grid point, and class: what names them, then
            estimate, std_err, lower and upper. With a hypothesis z and p_value too, except for a
            posterior.

        Raises
        ------
        ValueError
            For data that the model cannot predict, and for arguments that do not go together.

        References
        ----------
        .. [1] Krinsky and Robb (1986), On approximating the statistical properties of elasticities,
           Review of Economics and Statistics 68.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from skmaxent import MaxentClassifier, datagrid
        >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 5})
        >>> y = [*"abcabcbacaabcbccbaab"]
        >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
        >>> results.predictions(newdata=datagrid(age=[25, 45]))[["age", "class"]].values.tolist()
        [[25, 'a'], [25, 'b'], [25, 'c'], [45, 'a'], [45, 'b'], [45, 'c']]
        """
        request = Request(
            newdata,
            by,
            offset,
            sample_weight,
            conf_level,
            interval,
            hypothesis,
            n_draws,
            random_state,
        )
        return self._effects.predictions(request)

    def average_predictions(
        self,
        newdata: Any = None,
        by: Any = True,
        *,
        offset: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
        interval: str = "delta",
        hypothesis: Any = None,
        n_draws: int = 1000,
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Return the probabilities of the classes, averaged over all rows or by variables.

        Parameters
        ----------
        newdata : DataFrame, array-like, "mean" or datagrid, default=None
            As in `predictions`.
        by : bool, str or list of str, default=True
            Variables by whose values rows are averaged; True averages all rows.
        offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state : object
            As in `predictions`.

        Returns
        -------
        pandas.DataFrame
            As of `predictions`: a row for each group and class.

        Raises
        ------
        ValueError
            As `predictions`.
        """
        request = Request(
            newdata,
            by,
            offset,
            sample_weight,
            conf_level,
            interval,
            hypothesis,
            n_draws,
            random_state,
        )
        return self._effects.predictions(request)

    def comparisons(
        self,
        variables: Any = None,
        newdata: Any = None,
        by: Any = False,
        *,
        comparison: str = "difference",
        offset: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
        interval: str = "delta",
        hypothesis: Any = None,
        n_draws: int = 1000,
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Compare the probabilities at one value of a variable with those at another.

        The other variables of each row stay as they are. All columns that the model makes of the
        variable change with it: dummies, interactions and splines.

        Parameters
        ----------
        variables : str, list of str or dict, default=None
            The variables, or a dict of what each is compared at; None is all variables. A number s
            compares x + s/2 with x - s/2, which is the default for numbers, with s = 1; "sd" and
            "2sd" do so with the standard deviation in the rows of the fit, each of which counts
            once unless its weight is zero, and twice that; "iqr" compares the quartiles and
            "minmax" the largest value with the smallest. Values that are not numbers are compared
            with the first ("reference", the default), each with the one before ("sequential"), all
            with one another ("pairwise", or "revpairwise"), or the last with the first ("minmax").
            Two values, the low and the high one, are for all variables; times have no other
            comparison.
        newdata, by : object
            As in `predictions`.
        comparison : {"difference", "ratio", "lnratio", "lnor", "lift"}, default="difference"
            Of probabilities a and b: a - b, a/b, log(a/b), the logarithm of the ratio of their
            odds, or (a - b)/b. Averages are compared, not comparisons averaged.
        offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state : object
            As in `predictions`. `interval` has no "logit".

        Returns
        -------
        pandas.DataFrame
            A row for each variable, contrast, row or group, and class: estimate, std_err, z,
            p_value, lower and upper. z is against no effect: a ratio of 1, and 0 for the others.

        Raises
        ------
        ValueError
            For unknown variables and values, and as `predictions`.
        """
        request = Request(
            newdata,
            by,
            offset,
            sample_weight,
            conf_level,
            interval,
            hypothesis,
            n_draws,
            random_state,
        )
        return self._effects.comparisons(variables, comparison, request)

    def average_comparisons(
        self,
        variables: Any = None,
        newdata: Any = None,
        by: Any = True,
        *,
        comparison: str = "difference",
        offset: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
        interval: str = "delta",
        hypothesis: Any = None,
        n_draws: int = 1000,
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Average probabilities with one value of a variable against those with another.

        Parameters
        ----------
        variables, newdata : object
            As in `comparisons`.
        by : bool, str or list of str, default=True
            Variables by whose values rows are averaged; True averages all rows.
        comparison, offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state \
: object
            As in `comparisons`.

        Returns
        -------
        pandas.DataFrame
            As of `comparisons`: a row for each group and class.

        Raises
        ------
        ValueError
            As `comparisons`.
        """
        request = Request(
            newdata,
            by,
            offset,
            sample_weight,
            conf_level,
            interval,
            hypothesis,
            n_draws,
            random_state,
        )
        return self._effects.comparisons(variables, comparison, request)

    def slopes(
        self,
        variables: Any = None,
        newdata: Any = None,
        by: Any = False,
        *,
        slope: str = "dydx",
        offset: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
        interval: str = "delta",
        hypothesis: Any = None,
        n_draws: int = 1000,
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Return the derivatives of the probabilities by numeric variables, or elasticities.

        The columns of the model are differentiated by the variable through its transformers, by
        central differences; the probabilities and the Jacobian by formula.

        Parameters
        ----------
        variables : str or list of str, default=None
            None is all. Variables that are not numbers have `comparisons` with their first value.
        newdata, by : object
            As in `predictions`.
        slope : {"dydx", "eyex", "eydx", "dyex"}, default="dydx"
            The derivative dp/dx, the elasticity (dp/dx)(x/p), the semi-elasticities (dp/dx)/p and
            x dp/dx.
        offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state : object
            As in `predictions`. `interval` has no "logit".

        Returns
        -------
        pandas.DataFrame
            A row for each variable, row or group, and class: estimate, std_err, z, p_value, lower
            and upper.

        Raises
        ------
        ValueError
            For unknown variables, elasticities by variables that are not numbers, and as
            `predictions`.
        """
        request = Request(
            newdata,
            by,
            offset,
            sample_weight,
            conf_level,
            interval,
            hypothesis,
            n_draws,
            random_state,
        )
        return self._effects.slopes(variables, slope, request)

    def average_slopes(
        self,
        variables: Any = None,
        newdata: Any = None,
        by: Any = True,
        *,
        slope: str = "dydx",
        offset: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
        interval: str = "delta",
        hypothesis: Any = None,
        n_draws: int = 1000,
        random_state: RandomState = None,
    ) -> pd.DataFrame:
        """Return the derivatives of the probabilities, averaged over all rows or by variables.

        Parameters
        ----------
        variables, newdata : object
            As in `slopes`.
        by : bool, str or list of str, default=True
            Variables by whose values rows are averaged; True averages all rows.
        slope, offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state \
: object
            As in `slopes`.

        Returns
        -------
        pandas.DataFrame
            As of `slopes`: a row for each group and class.

        Raises
        ------
        ValueError
            As `slopes`.
        """
        request = Request(
            newdata,
            by,
            offset,
            sample_weight,
            conf_level,
            interval,
            hypothesis,
            n_draws,
            random_state,
        )
        return self._effects.slopes(variables, slope, request)

    def marginal_effects(
        self,
        X: Any,
        at: Any = "overall",
        *,
        offset: ArrayLike | None = None,
        discrete: str | list[str] | tuple[str, ...] = (),
        sample_weight: ArrayLike | None = None,
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return the effects of features on probabilities, with delta-method standard errors.

        The probabilities are those of the classifier's `predict_proba`, with the intercepts after
        `prior_correction`. Standard errors take the correction and the offsets as known.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to average over; taken in blocks. Columns are matched as in `predict_proba`.
        at : {"overall", "mean"} or DataFrame, default="overall"
            Means of the effects of all rows, or effects at the mean row, whose offset is the mean
            of the offsets; or a table of rows to average over instead of X.
        offset : array-like, default=None
            Offsets of the rows as in `predict_proba`: those of `at` where this is a table.
        discrete : str or list of str, default=()
            Features whose effect is the difference between 1 and 0 instead of a derivative.
        sample_weight : float or array-like of shape (n_samples,), default=None
            Weights of the rows in the means. None gives the rows of the fit, in their order, the
            weights that they had there, the number of observations times `sample_weight`, and
            other rows equal weights; 1 gives all rows equal weights.
        conf_level : float, default=0.95
            Confidence level of the intervals.

        Returns
        -------
        pandas.DataFrame
            A row for each class and feature: effect, std_err, z, p_value, lower and upper; z and
            p_value not for a posterior.

        Raises
        ------
        ValueError
            For unknown features in `discrete`, another `at`, and rows or offsets that
            `predict_proba` would not take.
        """
        self._warn_of_columns_that_are_no_variables()
        delta, weights = self._probabilities, RowWeights(self._signature, self._held)
        found = average_effects(delta, weights, X, at, offset, discrete, sample_weight)
        return effects_table(*found, delta, conf_level, has_tests=self.has_tests)

    def _warn_of_columns_that_are_no_variables(self) -> None:
        """Warn where columns cannot change alone: dummies, interactions and splines."""
        if self._terms is None:
            return
        levels = () if self._variables is None else self._variables.levels
        found = [
            column
            for term in self._terms
            if len(term.columns) > 1 or len(term.factors) > 1 or term.name in levels
            for column in term.columns
        ]
        if found:
            warn_user(
                f"marginal_effects are of columns of the model, and {found} do not change alone, "
                "as they are made of factors, interactions or splines: use comparisons or slopes, "
                "which are of the variables of the data."
            )

    def predict_proba_interval(
        self, X: Any, conf_level: float = 0.95, *, offset: ArrayLike | None = None
    ) -> Any:
        """Return probabilities with intervals, by the delta method for their log-odds.

        The probabilities are those of the classifier's `predict_proba`, with the intercepts after
        `prior_correction`. Intervals take the correction and the offsets as known.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; columns are matched as in `predict_proba`.
        conf_level : float, default=0.95
            Confidence level of the intervals.
        offset : array-like, default=None
            Offsets of the rows as in `predict_proba`.

        Returns
        -------
        DataFrame
            A row for each of X, by class and probability, lower and upper; in the library of X,
            as `predict_proba_frame` gives, where names are class_probability and so on, or in
            pandas for arrays.

        Raises
        ------
        ValueError
            For rows or offsets that `predict_proba` would not take.
        """
        return probability_intervals(self._probabilities, X, conf_level, offset)
