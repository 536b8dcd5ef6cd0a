"""InferenceResults: coefficients with standard errors, and functions that add what they know.

The functions `with_...` return copies of results that know more about the user's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples

from skmaxent._effects._variables import Variables, terms_of_columns
from skmaxent._inference._covariance import Coding
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._key_figures import (
    Figures,
    as_html,
    as_text,
    key_figures,
    likelihood_ratio_to_null,
    wald_test_of_slopes,
)
from skmaxent._inference._reference import Reference
from skmaxent._inference._results_effects import EffectMethods
from skmaxent._inference._results_goodness import GoodnessMethods
from skmaxent._inference._results_published import PublicationMethods
from skmaxent._inference._results_rows import RowMethods
from skmaxent._inference._results_tests import TestMethods
from skmaxent._inference._row_sums import Signature
from skmaxent._inference._terms import KnowsTerms, Terms, without_columns
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._validation import check_offset, is_no_offset
from skmaxent._public import public
from skmaxent._storage._cluster import forgetting_on_failure
from skmaxent._typing import Array


@public
@dataclass(frozen=True)
class InferenceResults(PublicationMethods, TestMethods, EffectMethods, RowMethods, GoodnessMethods):
    """Coefficients with standard errors, and tests.

    `MaxentClassifier.infer` makes them. Probabilities and effects are those of the classifier when
    `infer` was called; with ``method="split"``, those of the fit to the second half of the rows.
    Results hold references to the rows of the fit. A pickle does not have the rows: see
    `with_data`.

    Attributes
    ----------
    coef : ndarray of shape (n_rows, n_columns)
        Coefficients of each class against the reference, the intercept last, before
        `prior_correction`; with symmetric coding against the mean of all classes.
    covariance : ndarray of shape (n_rows * n_columns, n_rows * n_columns)
        Covariance of the coefficients, class by class.
    rows : list
        Labels of the classes of the rows of `coef`.
    columns : list of str
        Names of the features, and "Intercept".
    classes : list
        All labels.
    reference : label or "symmetric"
    cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CV2", "CV3", "CV3L", \
            "survey", "laplace", "bootstrap"}
        "laplace" is the posterior covariance under a ridge penalty, seen as a normal prior.
    weights : {"frequency", "probability"}
        What `sample_weight` meant.
    n_obs : float
        Rows, or the sum of frequency weights.
    log_likelihood, null_log_likelihood : float
        Log-likelihoods at the coefficients and of the null model. The null model has intercepts and
        offsets alone, or offsets alone if the model has no intercepts and no combination of its
        columns is constant.
    n_groups : int or None
        Number of clusters with rows of positive weight.
    fit_intercept : bool
        Whether the model has intercepts.
    optimality_gap : float
        The attribute `optimality_gap_` of the fit; see `MaxentClassifier`.
    replicates : ndarray of shape (n_bootstrap, n_rows, n_columns) or None
        Coefficients of the bootstrap samples.
    n_columns : int or None
        With ``features=`` in `infer`: the number of all columns of the model, without those that
        are combinations of others. None for results of all columns.
    replicate_counts : dict or None
        After a bootstrap: how many samples had separated classes ("separated"), how many fits did
        not converge ("not converged"), how many fits without penalty had a constant feature
        ("constant"), and how many samples were drawn again because they lacked a class ("drawn
        again").
    small_sample : {"none", "units", "coefficients"} or None
        The small-sample factor of a robust covariance, as in `infer`; None for other kinds.
    design_name : str or None
        The covariance of a survey in words.
    df_tests : float
        Degrees of freedom of t and F tests; infinite if tests are normal and chi-squared. With
        "CV2" each estimate and joint test has degrees of freedom of its own, except in `anova`.
    notes : tuple of str
        Sentences that say why the numbers are not valid: the classes are separated, or the
        coefficients are far from the optimum. They are printed above the table, and DataFrames that
        the methods return have them in ``attrs["notes"]``.
    aliased : tuple of str
        Features that are linear combinations of earlier features and of the intercept. They have no
        coefficients, as in R. With a penalty, only features without one are aliased.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> X = X[:, [1]]
    >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    >>> results.std_errors.round(2).tolist()
    [[0.99, 3.06], [0.84, 2.69]]
    >>> round(results.mcfadden_r2, 2)
    0.23
    """

    def relative_to(self, reference: Any) -> InferenceResults:
        """Return the same results with another reference class, without another fit.

        Coefficients, covariance, bootstrap samples and all tables and profile intervals are those
        of ``infer(reference=reference)``. Log-likelihoods, joint tests and effects do not depend on
        the reference. `notes` do not change, so that they name coefficients against the former
        reference.

        Parameters
        ----------
        reference : label or "symmetric"
            The class that coefficients are against; "symmetric" is the mean of all classes.

        Returns
        -------
        InferenceResults

        Raises
        ------
        ValueError
            For labels that are no classes.
        """
        if reference is None:
            raise ValueError(f"reference is None; expected 'symmetric' or one of {self.classes}.")
        classes = self._estimate.model.classes
        old, new = (Reference.of(one, classes) for one in (self.reference, reference))
        coding = Coding(new.contrasts, np.eye(len(self.columns)))
        replicates = self.replicates
        if replicates is not None:
            change = new.contrasts @ np.linalg.pinv(old.contrasts)
            replicates = np.einsum("ck,nkj->ncj", change, replicates)
        return replace(
            self,
            coef=coding.coefficients(self._wald.coef),
            covariance=coding.covariance(self._wald.with_root).matrix,
            replicates=replicates,
            rows=new.rows,
            reference=new.label,
            _rows=None if self._rows is None else self._rows.with_reference(new),
        )

    def with_data(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> InferenceResults:
        """Return the same results with the rows of the fit, which a pickle does not hold.

        Likelihood-ratio and score tests, profile intervals, leave-one-out and all other methods
        that need the rows of the fit can then be called. The clusters of `infer` are not restored.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows that were given to `infer`, or those of the subpopulation alone.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Their labels or counts.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.
        offset : array-like, default=None
            Their offsets.

        Returns
        -------
        InferenceResults

        Raises
        ------
        ValueError
            Where the log-likelihood of these rows is not that of the results.
        """
        if self.aliased:
            raise ValueError(
                f"with_data cannot find the columns without {list(self.aliased)} again, which are "
                "combinations of the others: call infer on the fit to the other features."
            )
        if self._delta is not None and self._delta.positions is not None:
            raise ValueError(
                "results of method='split' are of rows that were drawn at random: with_data cannot "
                "give them back. Call infer again."
            )
        reference = Reference.of(self.reference, self._estimate.model.classes)
        variables = self._variables
        transformer = None if variables is None else variables.transformer
        columns = X if transformer is None else transformer.transform(X)
        with forgetting_on_failure():
            rows = FitRows.read(self._estimate, columns, y, sample_weight, offset, reference)
        found, expected = rows.log_likelihood, self.log_likelihood
        if not self._held.is_of_fit(found):
            raise ValueError(
                "X, y, sample_weight and offset are not those that were given to infer: their "
                f"log-likelihood is {found:.10g}, expected {expected:.10g}."
            )
        results = replace(self, _rows=rows)
        if variables is None:
            return results
        if not is_no_offset(offset):
            offset = check_offset(offset, _num_samples(X), np.asarray(self.classes), np.float64)
        return replace(results, _variables=variables.with_rows(X, offset, rows.observations))

    def _key_figures(self) -> Figures:
        """Return the figures above the printed table, with a test of the whole model if valid."""
        if not self.has_tests:
            return key_figures(self, None, has_criteria=False)
        df, test = self.df_model, None
        # A robust covariance means that the likelihood is not trusted, and so not its ratio.
        if df and self.cov_type == "nonrobust":
            test = likelihood_ratio_to_null(self._likelihood, df)
        elif df:
            test = wald_test_of_slopes(self._wald, df, self.has_intercept, self._constant)
        return key_figures(self, test, self._has_criteria)

    def __str__(self) -> str:
        return as_text(self._key_figures(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self._key_figures(), self.summary())


def with_all_columns(
    results: InferenceResults, columns: FittedColumns, kept: Array, X: Any
) -> InferenceResults:
    """Return the results of a fit to some columns so that they predict from rows with all columns.

    Columns outside the fit get coefficients of zero.

    Parameters
    ----------
    results : InferenceResults
        Results of the fit to the columns at the positions `kept`.
    columns : FittedColumns
        All columns, as the user's rows have them.
    kept : ndarray of int of shape (n_kept,)
        Positions of the columns of the fit among all columns.
    X : {array, sparse matrix} of shape (n_samples, n_features)
        The rows of the fit, with all columns.
    """
    delta, rows = results._delta, results._rows
    assert delta is not None
    assert rows is not None
    coef = np.zeros((len(delta.model.coef), columns.n_features), delta.model.coef.dtype)
    coef[:, kept] = delta.model.coef
    return replace(
        results,
        _delta=replace(
            delta, model=replace(delta.model, columns=columns, coef=coef), positions=kept
        ),
        _signature=Signature.of_weighted_rows(X, rows.observations),
    )


def with_variables(
    results: InferenceResults,
    X: Any,
    offset: ArrayLike | None,
    transformer: Any = None,
    terms: Any = None,
) -> InferenceResults:
    """Return results that know the variables of the user's data, and the terms of the model.

    Parameters
    ----------
    results : InferenceResults
    X, offset
        What the user gave to `infer`; X has the shape (n_samples, n_variables).
    transformer : object, default=None
        Computes the columns of the model from X; None if X has the columns of the model.
    terms : dict of str to list of str, default=None
        Names of terms and their columns, as the user gives them. With None, the terms are those of
        a formula, or the sets of variables that the columns are computed from.
    """
    groups = _named_terms(results, transformer, terms)
    delta = results._delta
    if delta is None:
        return replace(results, _terms=groups)
    names = None if transformer is not None else delta.model.columns.all_names.tolist()
    if not is_no_offset(offset):
        offset = check_offset(offset, _num_samples(X), delta.model.classes, np.float64)
    observations = None if results._rows is None else results._rows.observations
    variables = Variables.of(X, transformer, offset, observations, names)
    by_term = getattr(transformer, "term_variables_", None)  # of a FormulaTransformer
    if variables is not None and by_term is not None:
        variables = variables.with_used([tuple(names) for names in by_term.values()])
    elif variables is not None and transformer is not None:
        columns = delta.model.columns.n_features
        used = terms_of_columns(variables, columns)
        variables = variables.with_used(used)
        kept = range(columns) if delta.positions is None else delta.positions
        if groups is None:
            variables_of = [tuple(map(str, used[j])) for j in kept]
            groups = Terms.of_variables(results._names.features, variables_of)
    return replace(
        results,
        _delta=replace(delta, transformer=transformer),
        _variables=variables,
        _terms=groups,
    )


def _named_terms(results: InferenceResults, transformer: Any, terms: Any) -> Terms | None:
    """Return the terms that the user or a formula names; None if neither does.

    The arguments are those of `with_variables`.
    """
    features, aliased = results._names.features, results.aliased
    if terms is not None:
        if not isinstance(terms, Mapping):
            raise ValueError(
                f"terms must be a dict of names of terms to their columns, found {terms!r}."
            )
        return Terms.of_groups(features, without_columns(terms, aliased))
    last = transformer[-1] if isinstance(transformer, Pipeline) else transformer
    if isinstance(last, KnowsTerms):
        return Terms.of_formula(features, aliased, last.terms_, last.term_factors_)
    return None


def with_observations(results: InferenceResults, observations: Array | None) -> InferenceResults:
    """Return the results of a fit to some rows with the weights of all rows of the user.

    `observations` are these weights, (n_samples,), or None for equal weights. Averages of effects
    over the user's rows use them.
    """
    assert results._rows is not None
    return replace(results, _rows=results._rows.with_observations(observations))
