"""Methods of InferenceResults for probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmaxent._inference._marginal_effects import (
    RowWeights,
    average_effects,
    effects_table,
    probability_intervals,
)
from skmaxent._inference._results_state import ResultsState

if TYPE_CHECKING:
    import pandas as pd


class EffectMethods(ResultsState):
    """Marginal effects and intervals of probabilities."""

    def marginal_effects(
        self,
        X: Any,
        at: Any = "overall",
        *,
        offset: Any = None,
        discrete: str | list[str] | tuple[str, ...] = (),
        sample_weight: Any = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Effects of the features on the probabilities, with delta-method standard errors.

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
        level : float, default=0.95
            Of the intervals.

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
        delta, weights = self._probabilities, RowWeights(self._signature, self._held)
        effects, errors = average_effects(delta, weights, X, at, offset, discrete, sample_weight)
        return effects_table(effects, errors, delta, level, has_tests=self.has_tests)

    def predict_proba_interval(self, X: Any, level: float = 0.95, *, offset: Any = None) -> Any:
        """Probabilities with intervals, from the delta method for their log-odds.

        The probabilities are those of the classifier's `predict_proba`, with the intercepts after
        `prior_correction`. Intervals take the correction and the offsets as known.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; columns are matched as in `predict_proba`.
        level : float, default=0.95
            Of the intervals.
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
        return probability_intervals(self._probabilities, X, level, offset)
