"""Methods of InferenceResults for predictions and effects on probabilities."""

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
from skmaxent._inference._tables import with_notes
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

    @with_notes
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

        The probabilities are those of the model's `predict_proba`. The standard errors treat
        `prior_correction` and the offsets as known.

        Parameters
        ----------
        newdata : DataFrame, array-like, "mean" or datagrid, default=None
            The rows, with the variables that the model was fitted to. None stands for the rows of
            the fit. "mean" stands for one row, with the means of the numeric variables and the most
            frequent values of the others. See `skmaxent.datagrid`.
        by : bool, str or list of str, default=False
            Variables; probabilities are averaged over the rows that share their values. True
            averages over all rows, and False does not average.
        offset : array-like, default=None
            Offsets of the rows as in `predict_proba`. With None, the rows of the fit keep the
            offsets of the fit, also in counterfactual grids; rows of other grids get their mean.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in averages. With None, the rows of the fit have the weights of the
            fit, the number of observations times `sample_weight`; other rows have equal weights.
        conf_level : float, default=0.95
            Confidence level of the intervals.
        interval : {"delta", "logit", "simulation", "bootstrap"}, default="delta"
            "delta" is the estimate -/+ a normal quantile times the standard error. "logit" computes
            such an interval for the log-odds and maps it back, so that it stays between 0 and 1.
            "simulation" computes the estimates at coefficients drawn from their normal distribution
            and takes quantiles [1]_. "bootstrap" takes the quantiles over bootstrap samples, for
            results of ``infer(method="bootstrap")``.
        hypothesis : float, str, list of str or array-like, default=None
            Functions of the estimates to report in their place. "pairwise", "revpairwise",
            "reference", "sequential" and "meandev" are contrasts between the estimates of each
            class. Equations such as ``"b0 - 2*b3 = 0.1"`` name estimates by their row in the table.
            An array of shape (n_estimates, n_hypotheses) holds the weights of linear combinations.
            A number is the value of the null hypothesis for z and p_value.
        n_draws : int, default=1000
            Draws of ``interval="simulation"``.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws.

        Returns
        -------
        pandas.DataFrame
            A row for each combination of a row of data, group or grid point with a class. The first
            columns identify the row; then follow estimate, std_err, lower and upper. With a
            hypothesis there are z and p_value too, except for results of a posterior.

        Raises
        ------
        ValueError
            For data that the model cannot predict, and for arguments that exclude each other.

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
        options = newdata, by, offset, sample_weight, conf_level, interval, hypothesis
        request = Request(*options, n_draws, random_state)
        return self._effects.predictions(request)

    @with_notes
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
            As in `predictions`, but True by default.
        offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state : object
            As in `predictions`.

        Returns
        -------
        pandas.DataFrame
            A row for each group and class, with the columns of `predictions`.

        Raises
        ------
        ValueError
            As `predictions`.
        """
        options = newdata, by, offset, sample_weight, conf_level, interval, hypothesis
        request = Request(*options, n_draws, random_state)
        return self._effects.predictions(request)

    @with_notes
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

        The other variables of each row keep their values. All columns that the model computes from
        the variable change with it: dummies, interactions and splines.

        Parameters
        ----------
        variables : str, list of str or dict, default=None
            The variables, or a dict from each variable to its contrast; None stands for all
            variables. Numeric variables: a number s compares x + s/2 with x - s/2 (default s = 1);
            "sd" and "2sd" set s to one or two standard deviations in the rows of the fit with
            positive weight, unweighted; "iqr" compares the quartiles, and "minmax" the largest
            value with the smallest. Categorical variables: each value is compared with the first
            ("reference", the default) or with the one before ("sequential"), all with one another
            ("pairwise" or "revpairwise"), or the last with the first ("minmax"). A pair (low, high)
            of values works for all variables. Dates and times accept only such a pair.
        newdata, by : object
            As in `predictions`.
        comparison : {"difference", "ratio", "lnratio", "lnor", "lift"}, default="difference"
            Of probabilities a and b: a - b, a/b, log(a/b), the logarithm of the ratio of their
            odds, or (a - b)/b. With `by`, a and b are averages over rows.
        offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state : object
            As in `predictions`, except that `interval` cannot be "logit".

        Returns
        -------
        pandas.DataFrame
            A row for each variable, contrast, row or group, and class: estimate, std_err, z,
            p_value, lower and upper. z tests for no effect: a ratio of 1, or 0 for the others.

        Raises
        ------
        ValueError
            For unknown variables and values, and as `predictions`.
        """
        options = newdata, by, offset, sample_weight, conf_level, interval, hypothesis
        request = Request(*options, n_draws, random_state)
        return self._effects.comparisons(variables, comparison, request)

    @with_notes
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
        """Compare average probabilities at one value of a variable with those at another.

        Parameters
        ----------
        variables, newdata : object
            As in `comparisons`.
        by : bool, str or list of str, default=True
            As in `predictions`, but True by default.
        comparison, offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state \
: object
            As in `comparisons`.

        Returns
        -------
        pandas.DataFrame
            A row for each variable, contrast, group and class, with the columns of `comparisons`.

        Raises
        ------
        ValueError
            As `comparisons`.
        """
        options = newdata, by, offset, sample_weight, conf_level, interval, hypothesis
        request = Request(*options, n_draws, random_state)
        return self._effects.comparisons(variables, comparison, request)

    @with_notes
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

        In a pipeline, central differences give the derivatives of the transformed columns with
        respect to the variable. The derivatives of the probabilities are analytic.

        Parameters
        ----------
        variables : str or list of str, default=None
            None stands for all variables. For variables that are not numeric the table has
            `comparisons` with their first value.
        newdata, by : object
            As in `predictions`.
        slope : {"dydx", "eyex", "eydx", "dyex"}, default="dydx"
            The derivative dp/dx, the elasticity (dp/dx)(x/p), the semi-elasticities (dp/dx)/p and
            x dp/dx.
        offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state : object
            As in `predictions`, except that `interval` cannot be "logit".

        Returns
        -------
        pandas.DataFrame
            A row for each variable, row or group, and class: estimate, std_err, z, p_value, lower
            and upper.

        Raises
        ------
        ValueError
            For unknown variables, elasticities of variables that are not numeric, and as
            `predictions`.
        """
        options = newdata, by, offset, sample_weight, conf_level, interval, hypothesis
        request = Request(*options, n_draws, random_state)
        return self._effects.slopes(variables, slope, request)

    @with_notes
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
            As in `predictions`, but True by default.
        slope, offset, sample_weight, conf_level, interval, hypothesis, n_draws, random_state \
: object
            As in `slopes`.

        Returns
        -------
        pandas.DataFrame
            A row for each variable, group and class, with the columns of `slopes`.

        Raises
        ------
        ValueError
            As `slopes`.
        """
        options = newdata, by, offset, sample_weight, conf_level, interval, hypothesis
        request = Request(*options, n_draws, random_state)
        return self._effects.slopes(variables, slope, request)

    @with_notes
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
            Rows to average over, block by block. Columns are matched as in `predict_proba`.
        at : {"overall", "mean"} or DataFrame, default="overall"
            "overall" gives the mean effects of all rows, and "mean" the effects at the mean row,
            whose offset is the mean of the offsets. A DataFrame has rows to average over instead
            of X.
        offset : array-like, default=None
            Offsets of the rows of X as in `predict_proba`, or of `at` if it is a DataFrame.
        discrete : str or list of str, default=()
            Features whose effect is the difference between 1 and 0 instead of a derivative.
        sample_weight : float or array-like of shape (n_samples,), default=None
            Weights of the rows in the means. With None, the rows of the fit, in their order, have
            the weights of the fit, the number of observations times `sample_weight`; other rows
            have equal weights. 1 gives all rows equal weights.
        conf_level : float, default=0.95
            Confidence level of the intervals.

        Returns
        -------
        pandas.DataFrame
            A row for each class and feature: effect, std_err, z, p_value, lower and upper. Results
            of a posterior have no z and p_value.

        Raises
        ------
        ValueError
            For unknown features in `discrete`, an unknown `at`, and rows or offsets that
            `predict_proba` would not take.
        """
        self._warn_of_dependent_columns()
        delta, weights = self._probabilities, RowWeights(self._signature, self._held)
        found = average_effects(delta, weights, X, at, offset, discrete, sample_weight)
        return effects_table(*found, delta, conf_level, has_tests=self.has_tests)

    def _warn_of_dependent_columns(self) -> None:
        """Warn if some columns of the model never change alone: dummies, interactions, splines."""
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
                f"marginal_effects changes one column of the model at a time, but {found} do not "
                "change alone, because they come from factors, interactions or splines; use "
                "comparisons or slopes, which change the variables of the data."
            )

    @with_notes
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
            A row for each row of X, and for each class the columns probability, lower and upper.
            The DataFrame is of the library of X, or of pandas if X is an array. In libraries other
            than pandas, columns are named class_probability and so on.

        Raises
        ------
        ValueError
            For rows or offsets that `predict_proba` would not take.
        """
        return probability_intervals(self._probabilities, X, conf_level, offset)
