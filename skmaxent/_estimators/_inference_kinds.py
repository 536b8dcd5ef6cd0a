"""The kinds of inference that `MaxentClassifier.infer` offers, a function for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmaxent._estimators._fit_classifier import solve_and_store
from skmaxent._estimators._fit_steps import seed_of
from skmaxent._estimators._linear_classifier import fitted_model, uncorrected_intercept
from skmaxent._estimators._parameters_of_fit import refuse_other_parameters
from skmaxent._inference._bootstrap import Sampling, bootstrap_coefficients
from skmaxent._inference._covariance_types import CovarianceKind
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._make_results import (
    check_no_absent_class,
    results_for_features,
    results_from_information,
    results_from_replicates,
)
from skmaxent._inference._results import InferenceResults, with_all_columns
from skmaxent._inference._robust_covariance import NoCovariance, advice_to_penalise
from skmaxent._inference._sample_split import infer_by_split
from skmaxent._input import _targets, _validation
from skmaxent._input._arguments import as_list, check_choice, check_count
from skmaxent._input._labels import first_level
from skmaxent._input._read import check_data, check_rows
from skmaxent._input._settings import Settings
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._storage._cluster import forgetting_on_failure, is_dask, refuse_dask
from skmaxent._storage._place import to_host
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# Largest change of a logit at which aliased columns are left out. Columns that are combinations of
# others up to rounding change logits by less.
SAME_LOGITS = 1e-6
# The default number of bootstrap samples.
DEFAULT_BOOTSTRAP = 200


@dataclass(frozen=True)
class UserData:
    """The rows of a fit as the user gave them to `infer`; iteration yields the four arguments."""

    X: Any
    y: Any
    sample_weight: ArrayLike | None
    offset: ArrayLike | None

    @property
    def is_lazy(self) -> bool:
        """Whether any of them is a Dask collection."""
        return any(map(is_dask, self))

    def on_host(self) -> UserData:
        """Return the same data in the memory of the host."""
        return UserData(*map(to_host, self))

    def __iter__(self) -> Any:
        return iter((self.X, self.y, self.sample_weight, self.offset))


@dataclass(frozen=True)
class InferenceOptions:
    """The arguments of `MaxentClassifier.infer` besides the data."""

    cov_type: str | None
    groups: Any
    weights: str
    reference: Any
    features: Any = None
    method: str | None = None
    n_bootstrap: Any = DEFAULT_BOOTSTRAP
    small_sample: str | None = None
    use_t: bool | None = None
    design: Any = None
    subpopulation: Any = None


def inference(
    classifier: Any, data: UserData, options: InferenceOptions, names: Array | None = None
) -> InferenceResults:
    """Return the results of the kind of inference that the options ask for.

    Parameters
    ----------
    classifier : MaxentClassifier
        Fitted.
    data : UserData
    options : InferenceOptions
    names : ndarray of shape (n_features,), default=None
        Names of the features in tables; None stands for those that the classifier knows.
    """
    check_is_fitted(classifier)
    refuse_other_parameters(classifier, getattr(classifier, "_fitted_with", {}))
    check_offset_given(classifier, data.offset, "infer")
    estimate = estimate_of(classifier)
    if names is not None:
        estimate = replace(estimate, names=names)
    check_options(estimate.settings, options)
    if options.reference is None:
        options = replace(options, reference=first_level(data.y))
    if options.groups is not None or options.method is not None:
        refuse_dask("infer with groups or a method", data.X, data.y)
        data = data.on_host()  # rows are picked and added up in memory
    if options.method == "split":
        return by_split(classifier, estimate, data, options)
    if options.method == "bootstrap":
        return by_bootstrap(classifier, estimate, data, options)
    return by_information(estimate, data, options)


def check_offset_given(classifier: Any, offset: ArrayLike | None, function: str) -> None:
    """Raise ValueError if a classifier was fitted with an offset, and `offset` is None.

    `function` is the name of the public function, for the message.
    """
    if offset is None and classifier._fitted_with_offset:
        raise ValueError(
            f"this {type(classifier).__name__} was fitted with an offset: {function} needs the "
            "offset of the rows too."
        )


def estimate_of(classifier: Any) -> Estimate:
    """Return a copy of what inference needs of a classifier, which later fits do not change.

    The optimality gap is NaN if the user has set the coefficients and classes without `fit`.
    """
    model = fitted_model(classifier).detached()
    return Estimate(
        model,
        Settings.of(classifier),
        model.columns.all_names,
        uncorrected_intercept(classifier),
        getattr(classifier, "optimality_gap_", np.nan),
        classifier.tol,
    )


def check_options(settings: Settings, options: InferenceOptions) -> None:
    """Raise ValueError for arguments that cannot be combined, and warn of class weights."""
    method, features, n_bootstrap = options.method, options.features, options.n_bootstrap
    if method not in (None, "split", "bootstrap"):
        raise ValueError(f"method must be None, 'split' or 'bootstrap', found {method!r}.")
    if method is not None and features is not None:
        raise ValueError(f"method={method!r} is for all features: expected features=None.")
    if options.small_sample is not None and (method == "bootstrap" or features is not None):
        raise ValueError(
            f"small_sample={options.small_sample!r} is for robust covariances of all features: "
            "expected small_sample=None with method='bootstrap' and with features."
        )
    if options.use_t is not None and (method == "bootstrap" or features is not None):
        raise ValueError(
            f"use_t={options.use_t!r} is for robust covariances of all features: expected "
            "use_t=None with method='bootstrap' and with features."
        )
    if method == "bootstrap":
        return
    if n_bootstrap != DEFAULT_BOOTSTRAP:
        raise ValueError(
            f"n_bootstrap={n_bootstrap!r} is for method='bootstrap', found method={method!r}."
        )
    if settings.partial_labels or settings.label_smoothing:
        raise ValueError(
            "analytic standard errors are not available with partial_labels or label_smoothing; "
            "use method='bootstrap'."
        )
    if settings.class_weight is not None and options.weights == "frequency":
        warn_user(
            "class_weight multiplies the rows of a class, and standard errors are those of the "
            "multiplied number of rows; use weights='probability' for robust standard errors."
        )


def by_information(
    estimate: Estimate, data: UserData, options: InferenceOptions
) -> InferenceResults:
    """Return results from the Fisher information, for all features or for `options.features`."""
    settings = estimate.settings
    if settings.l1_ratio > 0.0 and settings.is_penalised:
        raise ValueError(
            "analytic standard errors are not available with an L1 penalty. Use method='split', "
            "which selects features on one half of the rows and infers on the other half, or "
            "method='bootstrap'."
        )
    if settings.bounds is not None:
        raise ValueError(
            "analytic standard errors are not available with bounds; fit without bounds."
        )
    with forgetting_on_failure():
        if options.features is not None:
            return _for_some_features(estimate, data, options, options.features)
        try:
            return for_all_features(estimate, data, options)
        except NoCovariance:
            if estimate.is_bias_reduced or data.is_lazy:
                raise
            results = _without_aliased(estimate, data.on_host(), options)
            if results is None:
                raise
            return results


def for_all_features(
    estimate: Estimate, data: UserData, options: InferenceOptions
) -> InferenceResults:
    """Return results for all features; raise NoCovariance if these are linearly dependent."""
    with estimate.problem(*data) as training:
        _check_columns(estimate, training)
        kind = CovarianceKind.resolve(
            cov_type=options.cov_type,
            weights=options.weights,
            small_sample=options.small_sample,
            groups=options.groups,
            use_t=options.use_t,
            units=options.design,
            n_samples=training.blocks.n_samples,
            is_penalised=bool(training.problem.user_terms.ridge.any()),
        )
        return results_from_information(estimate, training, kind, options.reference)


def _for_some_features(
    estimate: Estimate, data: UserData, options: InferenceOptions, features: Any
) -> InferenceResults:
    """Return results for the features whose names are `features`, a name or several."""
    with estimate.problem(*data) as training:
        _check_columns(estimate, training)
        known = estimate.names.tolist()
        names = as_list(features)
        unknown = [name for name in names if known.count(name) != 1]
        if unknown or not names or len(set(names)) < len(names):
            raise ValueError(
                "features must be names of features of X, each given once and each the name of "
                f"one column only; found {unknown or names}."
            )
        if options.groups is not None or options.weights != "frequency":
            raise ValueError(
                "features= does not support groups or weights='probability'; expected "
                "groups=None and weights='frequency'."
            )
        positions = np.array([known.index(name) for name in names], dtype=np.intp)
        return results_for_features(
            estimate,
            training,
            positions,
            cov_type=options.cov_type,
            reference=options.reference,
        )


def _check_columns(estimate: Estimate, training: TrainingProblem) -> None:
    """Raise ValueError if squares of a column are not finite, or if the fit removed a column."""
    exponents = training.columns.exponents
    if exponents is not None:
        sizes = np.abs(exponents)
        extreme = [str(name) for name in estimate.names[sizes > 0.5 * sizes.max()]]
        raise ValueError(
            "infer needs features whose squares neither overflow nor underflow; rescale the "
            f"columns {extreme}."
        )
    if training.problem.user_terms.lower is not None:
        raise ValueError(
            "infer needs all features in the model; remove the columns whose penalty_factor is "
            "infinite."
        )


def _without_aliased(
    estimate: Estimate, data: UserData, options: InferenceOptions
) -> InferenceResults | None:
    """Return results without the features that are linear combinations of earlier features.

    The result is None if there are no such features.
    """
    model, names = estimate.model, estimate.names
    with estimate.problem(*data) as training:
        kept, coef, intercept, change = training.without_aliased(
            estimate.coef.astype(float), estimate.intercept
        )
    if len(kept) == len(names):
        return None
    if change > SAME_LOGITS:
        penalise = advice_to_penalise(estimate.settings.is_penalised)
        raise NoCovariance(
            "the coefficients have no covariance: the features "
            f"{np.delete(names, kept).tolist()} are linear combinations of others up to 1e-11 of "
            "their length, but the fit uses the difference: without these features logits would "
            f"change by up to {change:.2g}. Remove these features, or {penalise}."
        )
    X = check_data(model.columns, data.X)
    few = estimate.of_columns(kept, coef, intercept)
    results = for_all_features(few, replace(data, X=X[:, kept]), options)
    aliased = tuple(str(name) for name in np.delete(names, kept))
    return replace(with_all_columns(results, model.columns, kept, X), aliased=aliased)


def by_split(
    classifier: Any, estimate: Estimate, data: UserData, options: InferenceOptions
) -> InferenceResults:
    """Return results for one half of the rows, with the features selected on the other half."""
    settings, columns = estimate.settings, estimate.model.columns
    if data.offset is not None or settings.bounds is not None or settings.prior_coef is not None:
        raise ValueError("method='split' does not support offset, bounds or prior_coef.")
    X, y = check_rows(columns, data.X, data.y)
    observed = _targets.observe(y, estimate.model.classes)
    n_samples, groups = observed.n_samples, options.groups

    def infer_free(
        free: Any, rows: Any, y: Any, weights: ArrayLike | None, groups: Any, names: Array
    ) -> InferenceResults:
        of_half = replace(estimate_of(free), names=names)
        return for_all_features(
            of_half, UserData(rows, y, weights, None), replace(options, groups=groups)
        )

    return infer_by_split(
        classifier,
        X,
        y,
        observed,
        _validation.check_sample_weight(data.sample_weight, n_samples),
        estimate.names,
        groups=None if groups is None else _validation.check_groups(groups, n_samples),
        seed=seed_of(classifier.random_state),
        infer_free=infer_free,
    )


def by_bootstrap(
    classifier: Any, estimate: Estimate, data: UserData, options: InferenceOptions
) -> InferenceResults:
    """Return results from the coefficients of fits to bootstrap samples of the rows."""
    _check_bootstrap(options)
    weights, groups, settings = options.weights, options.groups, estimate.settings
    # The log-likelihood is that of the labels, not of smoothed targets.
    plain = replace(estimate, settings=replace(settings, label_smoothing=0.0))
    with plain.problem(*data) as training:
        check_no_absent_class(training)
    observed = _targets.observe(
        data.y, estimate.model.classes, partial_labels=settings.partial_labels
    )
    sampling = Sampling.of(
        observed,
        _validation.check_sample_weight(data.sample_weight, observed.n_samples),
        None if groups is None else _validation.check_groups(groups, observed.n_samples),
        weights,
    )
    replicates = bootstrap_coefficients(
        solve_and_store,
        classifier,
        data.X,
        data.y,
        observed,
        sampling,
        data.offset,
        n_bootstrap=int(options.n_bootstrap),
        seed=seed_of(classifier.random_state),
        n_jobs=settings.n_jobs,
        verbose=classifier.verbose,
    )
    replicates.warn(np.column_stack([estimate.coef, estimate.intercept]))
    with plain.problem(*data) as training:
        terms = training.problem.terms
        maximises = terms.is_plain_ridge and not terms.ridge.any() and not estimate.is_bias_reduced
        return results_from_replicates(
            estimate,
            training,
            replicates.coef,
            reference=options.reference,
            weights=weights,
            n_groups=sampling.n_clusters,
            counts=replicates.counts,
            is_maximal=maximises and not (settings.label_smoothing or settings.partial_labels),
            are_sets=settings.partial_labels and not training.blocks.has_codes,
        )


def _check_bootstrap(options: InferenceOptions) -> None:
    """Raise ValueError for options that the bootstrap does not support."""
    n_bootstrap, weights = options.n_bootstrap, options.weights
    if options.cov_type is not None:
        raise ValueError(
            "method='bootstrap' computes the covariance from the samples: expected cov_type=None, "
            f"found {options.cov_type!r}."
        )
    check_count("n_bootstrap", n_bootstrap, 2)
    check_choice("weights", weights, ("frequency", "probability"))
