"""Methods of InferenceResults for single rows of the fit: leave-one-out and influence.

The rows that a method uses are those of the fit, and each method raises an error if the results do
not hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmaxent._inference._covariance import column_map
from skmaxent._inference._null_feature_tests import check_equal_rows, null_feature_statistics
from skmaxent._inference._reference import Reference
from skmaxent._inference._results_state import ResultsState
from skmaxent._inference._tables import chi2_table, index_of, with_notes
from skmaxent._input._arguments import check_flag
from skmaxent._leverage._conformal import ConformalSets, conformal_sets
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._influence import coefficient_changes, diagnostics
from skmaxent._leverage._leave_one_out import LeaveOneOutScores, leave_one_out
from skmaxent._typing import ConformalScore

if TYPE_CHECKING:
    import pandas as pd


class RowMethods(ResultsState):
    """Held-out scores, conformal sets, effective degrees of freedom, residuals and influence."""

    @property
    def effective_df(self) -> float:
        """Effective degrees of freedom of the fit.

        It is the sum of the leverages of the rows, Σ_i tr(A_i Λ_i). Λ_i is the Hessian of the loss
        of row i by its free logits, the differences from the logit of the last class. A_i =
        (I ⊗ x_iᵀ) H⁻¹ (I ⊗ x_i) is the leverage matrix of the row. Here x_i are its features and a
        one, and H is the Hessian of the summed loss and penalty by the free coefficients.

        Without a penalty the result is the number of free coefficients; a ridge makes it smaller
        (Hastie & Tibshirani 1990, Generalized Additive Models, section 6.8). With an L1 penalty
        only coefficients that are not zero count. Needs the rows of the fit.
        """
        return self._fitted("effective degrees of freedom").leverages(self.weights).effective_df

    @property
    def effective_aic(self) -> float:
        """-2 log L + 2 `effective_df`, a criterion for fits with a penalty.

        L is the likelihood at the coefficients, not the largest. It is `aic` for maximum-likelihood
        fits. Needs the rows of the fit. Raises ValueError with sampling weights and clusters, which
        have no likelihood.
        """
        self._validity.check_independent_rows("effective_aic needs")
        return -2.0 * self.log_likelihood + 2.0 * self.effective_df

    def loo(self, max_refits: int | None = 100) -> LeaveOneOutScores:
        """Return the probabilities of each row by the fit without it, and their scores.

        They come from one Newton step for each row. If the step is not exact enough, an exact fit
        without the observation replaces it. With ``weights="frequency"`` one observation is left
        out, even if a weight or a count stands for several; with ``weights="probability"`` the
        whole row. `skmaxent.leave_one_out` does the same for penalties that `infer` has no standard
        errors for.

        Parameters
        ----------
        max_refits : int or None, default=100
            The largest number of exact fits. None makes as many as an accurate log score needs, see
            `skmaxent.leave_one_out`.

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

    @with_notes
    def null_feature_test(self, features: str | list[str] | None = None) -> pd.DataFrame:
        """Return tests that features are null, for fits with many features.

        A feature is null if it is independent of the classes given the other features. The
        classical tests of a maximum-likelihood fit reject true hypotheses too often if there are
        more features than about a tenth of the number of rows, see `cautions`. For normal features
        the statistic of Tan & Bellec [1]_ has a chi-squared distribution also if the number of
        features grows in proportion to the number of rows. In simulations with 0.1 to 0.3 features
        for each row, the tests had the right size for normal, uneven binary, exponential and t
        distributed features.

        Parameters
        ----------
        features : str or list of str, default=None
            The features, with a test for each; None stands for all features.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            For penalised fits and `bias_reduction`, for unknown features, for terms of several
            columns, for tables, weights, clusters and offsets, and for results without the rows of
            the fit.
        TypeError
            For fits to Dask collections.

        References
        ----------
        .. [1] Tan & Bellec (2023), Multinomial logistic regression: asymptotic normality on null
           covariates in high-dimensions, Advances in Neural Information Processing Systems 36.

        Examples
        --------
        >>> import numpy as np
        >>> from skmaxent import MaxentClassifier
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 60))
        >>> y = (X[:, 0] + rng.logistic(size=300) > 0.0).astype(int)
        >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
        >>> table = results.null_feature_test(["x0", "x1"])
        >>> (table["p_value"] < 0.001).tolist()
        [True, False]
        """
        what = "tests of null features"
        self._validity.check_tests(what)
        if self._estimate.is_bias_reduced:
            raise ValueError(
                f"{what} are for maximum-likelihood fits, found bias_reduction: use wald_test."
            )
        self._validity.check_independent_rows(f"{what} need")
        terms = self._names.terms(features, with_intercept=False)
        if not terms:
            raise ValueError("null_feature_test tests features, and the model has none.")
        several = [name for name, positions in terms if len(positions) > 1]
        if several:
            raise ValueError(
                f"null_feature_test tests single columns, found {several} of several columns."
            )
        fit = self._fitted(what)
        fit.rows_in_memory()
        check_equal_rows(fit)
        positions = self._names.in_model([positions[0] for _, positions in terms])
        statistics = null_feature_statistics(fit, positions)
        df = fit.training.data.likelihood.n_free
        rows = [(name, chi2, df) for (name, _), chi2 in zip(terms, statistics, strict=True)]
        return chi2_table(rows)

    def conformal(
        self,
        alpha: float = 0.1,
        *,
        class_conditional: bool = False,
        score: ConformalScore = "probability",
        max_refits: int | None = 100,
    ) -> ConformalSets:
        """Return sets of classes that contain the class of a new row with probability 1 - `alpha`.

        The thresholds are quantiles of the held-out scores of the rows of the fit.
        `skmaxent.conformal_sets` does the same for penalties that `infer` has no standard errors
        for. Its documentation says under which conditions the sets have this probability.

        Parameters
        ----------
        alpha : float, default=0.1
            The largest probability that a set does not contain the observed class.
        class_conditional : bool, default=False
            Whether the probability holds within each class, instead of over all rows.
        score : {"probability", "cumulative"}, default="probability"
            What ranks classes, as in `skmaxent.conformal_sets`.
        max_refits : int or None, default=100
            The largest number of exact fits, as in `loo`.

        Returns
        -------
        ConformalSets

        Raises
        ------
        TypeError
            For a fit to Dask collections.
        ValueError
            For results without the rows of the fit or of some features, for other values of
            `alpha` and `score`, and as `loo`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skmaxent import MaxentClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> results = MaxentClassifier(C=np.inf).fit(X[:, [1]], y).infer(X[:, [1]], y)
        >>> sets = results.conformal(alpha=0.2)
        >>> sets.predict([[2.0], [3.5]]).to_numpy().tolist()
        [[False, True, False], [True, False, False]]
        >>> round(sets.mean_size, 2)
        1.65
        """
        delta = self._probabilities
        return conformal_sets(
            self._fitted("conformal sets"),
            delta.model,
            delta.transformer,
            alpha=alpha,
            class_conditional=class_conditional,
            score=score,
            weights=self.weights,
            max_refits=max_refits,
        )

    @with_notes
    def diagnostics(self, max_refits: int | None = 100) -> pd.DataFrame:
        """Return residuals, leverage and influence of each row of the fit.

        Leverage and Cook's distance are those of whole rows, by one Newton step (Pregibon 1981,
        Ann. Stat. 9, 705-724; Lesaffre & Albert 1989, J. R. Stat. Soc. C 38, 425-440). For two
        classes they are those of `statsmodels` and of R's `glm`. Residuals are multiplied by the
        root of the weight, or of the number of observations of a row of counts; not with
        ``weights="probability"``.

        Parameters
        ----------
        max_refits : int or None, default=100
            The largest number of exact fits for held-out probabilities, as in `loo`.

        Returns
        -------
        pandas.DataFrame
            A row for each row of the data, with its index. Columns have two levels, "quantity" and
            "class"; ``table["leverage"]`` is a column, ``table["probability_of"]`` a table.

            - "fitted", "held_out": the probability of the observed class, by the fit and by the fit
              without the observation, see `loo`; for rows of several observations the geometric
              mean. "held_out" is 0 for the only observation of a class.
            - "deviance_residual", "pearson_residual": the square roots of the row's terms of the
              deviance and of Pearson's X².
            - "leverage": tr(A_i Λ_i), see `effective_df`, which is the sum of this column.
            - "cooks_distance": (θ - θ_(i))ᵀ H (θ - θ_(i))/p, with θ_(i) the coefficients without
              the row, H the Hessian of the summed loss and penalty, and p its rank. The mean of
              sampling weights is made one.
            - "probability_of", "deviance_residual_of", "pearson_residual_of": for each class, the
              probability, and signed residuals of that class against all others.

        Raises
        ------
        TypeError, ValueError
            As `loo`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skmaxent import MaxentClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> results = MaxentClassifier(C=np.inf).fit(X[:, [1]], y).infer(X[:, [1]], y)
        >>> table = results.diagnostics()
        >>> int(table["cooks_distance"].idxmax())
        41
        """
        fit = self._fitted("diagnostics")
        return diagnostics(
            fit, weights=self.weights, max_refits=max_refits, index=self._row_names(fit)
        )

    @with_notes
    def dfbetas(self, standardised: bool = True) -> pd.DataFrame:
        """Return how much each row of the fit changes each coefficient.

        A change is the coefficient minus the coefficient of a fit without the whole row, by one
        Newton step.

        Parameters
        ----------
        standardised : bool, default=True
            Whether the differences are divided by the standard errors.

        Returns
        -------
        pandas.DataFrame
            A row for each row of the data, with its index, and a column for each coefficient of
            `summary`, with the levels "class" and "feature".

        Raises
        ------
        TypeError, ValueError
            As `loo`, and for other values of `standardised`.
        """
        import pandas as pd

        check_flag("standardised", standardised)
        fit = self._fitted("dfbetas")
        changes = coefficient_changes(fit, self.weights)
        reference = Reference.of(self.reference, self._estimate.model.classes)
        objective = fit.training.problem.objective
        width = changes.shape[2] - (not objective.fit_intercept)
        # From standardised columns to those of X.
        to_columns = column_map(objective)
        if self._chosen is not None:
            to_columns = to_columns[self._chosen]
        reported = reference.contrasts @ changes[:, :, :width] @ to_columns.T
        if standardised:
            reported /= self._tables.std_errors
        return pd.DataFrame(
            reported.reshape(len(reported), -1),
            index=self._row_names(fit),
            columns=index_of(self.rows, self.columns),
        )

    def _fitted(self, what: str) -> FittedRows:
        """Return the fit with its rows.

        `what`, the plural name of the statistics that need the rows, is for error messages. Raises
        ValueError for fits with label_smoothing, and if the results do not hold the rows.
        """
        if self._estimate.settings.label_smoothing:
            raise ValueError(
                f"results of a fit with label_smoothing have no {what}: use "
                "skmaxent.leave_one_out(model, X, y)."
            )
        return self._held.get(what).fitted

    def _row_names(self, fit: FittedRows) -> Any:
        """Return the index of the user's data frame.

        The result is None if the data are no data frame, or if it has other rows than the fit.
        """
        data = None if self._variables is None else self._variables.data
        if data is None or len(data) != fit.training.blocks.n_samples:
            return None
        return data.index
