"""Methods of InferenceResults for the rows of the fit: what each of them does to it."""

from __future__ import annotations

from typing import Any

from skmaxent._inference._results_state import ResultsState
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leave_one_out import LeaveOneOutScores, leave_one_out


class RowMethods(ResultsState):
    """Leave-one-out scores, and effective degrees of freedom."""

    @property
    def effective_df(self) -> float:
        """Effective degrees of freedom of the fit.

        The sum of the leverages of the rows, Σ_i tr(A_i Λ_i), see `loo`. Without a penalty it is
        the number of free coefficients; a ridge makes it less (Hastie & Tibshirani 1990,
        Generalized Additive Models, section 6.8). An L1 penalty counts the coefficients that are
        not zero. Needs the rows of the fit.
        """
        return self._fitted("effective degrees of freedom").leverages(self.weights).effective_df

    @property
    def effective_aic(self) -> float:
        """-2 log L + 2 `effective_df`, a criterion for fits with a penalty.

        L is the likelihood at the coefficients, not the largest. It is `aic` for maximum-likelihood
        fits. Needs the rows of the fit.
        """
        return -2.0 * self.log_likelihood + 2.0 * self.effective_df

    def loo(self, max_refits: int | None = 100) -> LeaveOneOutScores:
        """Held-out probabilities and scores of the rows of the fit, from one Newton step for each.

        Where that is not exact enough, an exact fit without the observation replaces it; see
        `skmaxent.leave_one_out`, which does the same for penalties that `infer` has no standard
        errors for. With ``weights="frequency"`` one observation is left out, of the equal rows that
        a weight stands for and of a table of counts; with ``weights="probability"`` the whole row.

        Parameters
        ----------
        max_refits : int or None, default=100
            Most exact fits; None makes as many as the score needs.

        Returns
        -------
        LeaveOneOutScores

        Raises
        ------
        TypeError
            For a fit to Dask collections.
        ValueError
            For results without the rows of the fit, and as `skmaxent.leave_one_out`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skmaxent import MaxentClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> results = MaxentClassifier(C=np.inf).fit(X[:, [1]], y).infer(X[:, [1]], y)
        >>> scores = results.loo()
        >>> round(scores.log_score, 2), round(scores.accuracy, 2)
        (-0.87, 0.55)
        """
        fit = self._fitted("leave-one-out scores")
        return leave_one_out(
            fit, weights=self.weights, max_refits=max_refits, index=self._row_names(fit)
        )

    def _fitted(self, what: str) -> FittedRows:
        """The fit with its rows, for `what`, the plural name of statistics that need them."""
        if self._estimate.settings.label_smoothing:
            raise ValueError(
                f"results of a fit with label_smoothing have no {what}: use "
                "skmaxent.leave_one_out(model, X, y)."
            )
        return self._held.get(what).fitted

    def _row_names(self, fit: FittedRows) -> Any:
        """The index of the data frame of the fit, or None."""
        data = None if self._variables is None else self._variables.data
        is_of_fit = data is not None and len(data) == fit.training.blocks.n_samples
        return data.index if data is not None and is_of_fit else None
