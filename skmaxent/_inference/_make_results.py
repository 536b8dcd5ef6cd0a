"""Make InferenceResults of a fit and its rows, from the Fisher information or from a bootstrap.

θ, (r, n_columns), are the free coefficients: those of each class but the last minus those of the
last, or those of the single logit of two classes. The intercept is the last column. The reported
coefficients are against the reference class or the mean of all classes. Covariances are those of
ravelled matrices, row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._effects._covariance_root import Covariance
from skmaxent._effects._delta_method import DeltaMethod, Standardised
from skmaxent._existence import aliased_columns
from skmaxent._inference import _covariance
from skmaxent._inference._covariance_types import CovarianceKind, resolve_cov_type
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._feature_subset import UnsolvedSystem, covariance_of_features
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._notes import (
    distance_to_optimum,
    notes_at_optimum,
    notes_of_degenerate_errors,
)
from skmaxent._inference._null_model import constant_combination, loss_of_offsets, null_loss
from skmaxent._inference._reference import Reference
from skmaxent._inference._results import InferenceResults
from skmaxent._inference._robust_covariance import (
    CoefficientCovariance,
    covariance_at,
    dependent_columns,
    separated_classes,
)
from skmaxent._inference._row_sums import ColumnSums, Signature
from skmaxent._inference._wald_tests import WaldTests
from skmaxent._leverage import _reference_coding
from skmaxent._leverage._distance_to_optimum import (
    FAR_FROM_OPTIMUM,
    MARGIN,
    NEGLIGIBLE,
    are_separated,
    notes_if_far,
    penalised_gradient,
)
from skmaxent._leverage._fitted_rows import ROUNDING
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Ridge
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers import Options
from skmaxent._solvers._expectation_maximisation import fit_sets
from skmaxent._solvers._set_loss import set_loss
from skmaxent._storage._chunked_rows import ChunkedRows
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array


def results_from_information(
    estimate: Estimate, training: TrainingProblem, kind: CovarianceKind, reference: Any
) -> InferenceResults:
    """Return results for all coefficients, with a covariance from the information or from scores.

    Parameters
    ----------
    estimate : Estimate
        Coefficients that minimise the loss of `training`, with a ridge penalty or without one.
    training : TrainingProblem
        The rows of the fit.
    kind : CovarianceKind
        The covariance to compute.
    reference : label, "symmetric" or None
        The argument of `MaxentClassifier.infer`.
    """
    reported = Reference.of(reference, training.classes)
    check_no_absent_class(training)
    point, found = covariance_at(estimate, training, kind)
    n = _sample_size(training, kind.weights)
    # Distances to the optimum are in standard errors of independent observations, whatever the
    # covariance that is reported.
    inverse = found.inverse * (training.total_weight / n)
    V = found.covariance
    objective = point.objective
    theta = _reference_coding.against_last(point.theta, objective.fit_intercept)
    # Tests use the free coefficients, because the reported ones may be linearly dependent: with
    # symmetric coding they sum to zero over the classes.
    to_free = _covariance.Coding(np.eye(len(theta)), _covariance.column_map(objective))
    to_reported = _covariance.Coding(reported.contrasts, to_free.columns)
    covariance = to_reported.covariance(V)
    fields = _common_fields(estimate, training, point, reported, kind.weights)
    fields["_rows"] = fields["_rows"].with_clusters(kind.codes)
    terms = training.problem.terms
    distance = distance_to_optimum(point, terms, inverse, n)
    notes = _notes_of_fit(estimate, fields["_rows"], point, terms, distance, n)
    of_information = to_reported.covariance(Covariance(inverse)).matrix.diagonal()
    notes += notes_of_degenerate_errors(
        covariance.matrix.diagonal(), of_information, reported.rows, fields["columns"]
    )
    return InferenceResults(
        **fields,
        coef=to_reported.coefficients(theta),
        covariance=covariance.matrix,
        cov_type=kind.cov_type,
        n_groups=found.n_groups,
        notes=notes,
        small_sample=kind.small_sample,
        design_name=None if kind.units is None else kind.units.description,
        _distribution=found.distribution,
        _wald=_wald_tests(found, kind, to_free, theta),
        _delta=DeltaMethod.of(
            estimate.model,
            estimate.names,
            Standardised(objective.center, objective.scale, V.matrix, root=V.root),
            to_free.coefficients(theta),
            found.distribution,
        ),
        _penalised_ratio=_penalised_ratio(estimate, fields),
    )


def _sample_size(training: TrainingProblem, weights: str) -> float:
    """Return the number of independent observations that the weights of the rows stand for.

    It is the sum of frequency weights. Sampling weights have no scale of their own, so that Kish's
    effective number of rows, (Σ w)²/Σ w², takes its place.
    """
    if weights == "frequency":
        return training.total_weight
    return training.blocks.effective_size


def _wald_tests(
    found: CoefficientCovariance, kind: CovarianceKind, to_free: _covariance.Coding, theta: Array
) -> WaldTests:
    """Return the Wald tests of the free coefficients of the columns of X.

    `theta` and `found` have the free coefficients of standardised columns and their covariance, and
    `to_free` maps them to those of the columns of X.
    """
    covariance = to_free.covariance(found.covariance)
    return WaldTests(
        to_free.coefficients(theta),
        covariance.matrix,
        kind.cov_type,
        found.n_groups,
        found.n_units,
        found.distribution,
        None if found.distribution.by_contrast is None else to_free.matrix,
        covariance.root,
    )


def _notes_of_fit(
    estimate: Estimate,
    fit: FitRows,
    point: Point,
    terms: PenaltyTerms,
    distance: float,
    total: float,
) -> tuple[str, ...]:
    """Return a note, and warn, if the classes are separated or the fit is far from its optimum.

    The arguments after the rows of the fit are those of `notes_at_optimum`. With bias reduction the
    optimum is that of the penalised likelihood, and `NoCovariance` is raised if the information
    there is singular.
    """
    if not estimate.is_bias_reduced:
        return notes_at_optimum(point, terms, distance, estimate.gap, total)
    try:
        # These fits have no bound on their gap.
        largest = float(np.clip(MARGIN * estimate.tol, NEGLIGIBLE, FAR_FROM_OPTIMUM))
        return notes_if_far(fit.penalised_distance, largest)
    except _covariance.SingularInformation as error:
        raise dependent_columns(error, estimate.names) from error


def _penalised_ratio(estimate: Estimate, fields: dict[str, Any]) -> float | None:
    """Return the penalised likelihood-ratio statistic against the null model.

    `fields` are those of `_common_fields`. The result is None without bias reduction.
    """
    if not estimate.is_bias_reduced:
        return None
    fit: FitRows = fields["_rows"]
    return fit.ratio_to_null(fields["_constant"])


def results_from_replicates(
    estimate: Estimate,
    training: TrainingProblem,
    replicates: Array,
    *,
    reference: Any,
    weights: str,
    n_groups: int | None,
    counts: dict[str, int],
    is_maximal: bool,
    are_sets: bool,
) -> InferenceResults:
    """Return results whose covariance is that of the coefficients of bootstrap samples.

    Parameters
    ----------
    estimate : Estimate
        The fit to all rows.
    training : TrainingProblem
        The rows of the fit.
    replicates : ndarray of shape (n_bootstrap, n_logits, n_features + 1)
        The coefficients of the fit to each bootstrap sample. The last column has the intercepts; it
        is zero in models without intercepts.
    reference, weights
        As in `MaxentClassifier.infer`.
    n_groups : int or None
        Number of clusters, if clusters were drawn instead of rows.
    counts : dict
        See `InferenceResults.replicate_counts`.
    is_maximal : bool
        Whether the fit maximises the likelihood.
    are_sets : bool
        Whether the label of a row is a set of possible classes.
    """
    objective = training.problem.objective
    reported = Reference.of(reference, training.classes)
    point = training.loss_at(estimate.coef.astype(float), estimate.intercept)
    fitted = np.column_stack([estimate.coef, estimate.intercept]).astype(float)
    theta = _reference_coding.against_last(fitted, objective.fit_intercept)
    free = np.stack(
        [_reference_coding.against_last(one, objective.fit_intercept) for one in replicates]
    )
    samples = np.einsum("ck,nkj->ncj", reported.contrasts, free)
    fields = _common_fields(estimate, training, point, reported, weights)
    if are_sets:
        fields |= _likelihoods_of_sets(training, point.theta)
    notes: tuple[str, ...] = ()
    if is_maximal:
        # A bootstrap has no information matrix, and so no distance in standard errors.
        notes = notes_at_optimum(point, training.problem.terms.times(0.0), 0.0, estimate.gap, 0.0)
    return InferenceResults(
        **fields,
        coef=reported.contrasts @ theta,
        covariance=_covariance_of_samples(samples),
        cov_type="bootstrap",
        n_groups=n_groups,
        replicates=samples,
        replicate_counts=counts,
        notes=notes,
        _wald=WaldTests(theta, _covariance_of_samples(free), "bootstrap", n_groups),
        _delta=DeltaMethod.of(
            estimate.model, estimate.names, _standardised(objective, replicates, fitted), theta
        ),
        _is_maximal=is_maximal,
    )


def _standardised(
    objective: MultinomialObjective, replicates: Array, fitted: Array
) -> Standardised:
    """Return the covariance of θ over bootstrap samples, for the standardised columns.

    `replicates` are as in `results_from_replicates`. `fitted`, (n_logits, n_features + 1), has the
    coefficients of the fit to all rows. Both are for the columns of X, the intercept last.
    """

    def against_last(coef: Array) -> Array:
        """Return θ (r, width) in reference coding for coefficients of the columns of X."""
        theta = objective.from_coefficients(coef[:, :-1].astype(float), coef[:, -1])
        return _reference_coding.against_last(theta, objective.fit_intercept)

    theta = np.stack([against_last(one) for one in replicates])
    return Standardised(
        objective.center,
        objective.scale,
        _covariance_of_samples(theta),
        theta - against_last(fitted),
    )


def _covariance_of_samples(samples: Array) -> Array:
    """Return the covariance of the n ravelled arrays of `samples`, an array of shape (n, ...)."""
    return np.atleast_2d(np.cov(samples.reshape(len(samples), -1).T))


def results_for_features(
    estimate: Estimate,
    training: TrainingProblem,
    positions: Array,
    *,
    cov_type: str | None,
    reference: Any,
) -> InferenceResults:
    """Return results for some features, without the covariance of all coefficients.

    Parameters
    ----------
    estimate : Estimate
        The fit, to all features.
    training : TrainingProblem
        The rows of the fit.
    positions : ndarray of int of shape (n_chosen,)
        Positions of the features among the columns of X.
    cov_type : {None, "nonrobust", "laplace"}
        "laplace" is for fits with a ridge penalty; None chooses.
    reference : label, "symmetric" or None
        The argument of `MaxentClassifier.infer`.
    """
    terms, scale = training.problem.terms, training.data.scale
    cov_type = resolve_cov_type(
        cov_type, "frequency", bool(training.problem.user_terms.ridge.any())
    )
    if cov_type not in ("nonrobust", "laplace"):
        raise ValueError(f"features= has no cov_type={cov_type!r}: expected None.")
    reported = Reference.of(reference, training.classes)
    check_no_absent_class(training)
    # The systems of equations of single coefficients are solved iteratively, to more digits than
    # float32 has.
    objective = training.problem.objective.in_float64()
    # An objective has one strength of the ridge for each column. If the strengths differ between
    # classes, the objective gets their mean, and `covariance_of_features` adds the differences.
    objective = objective.with_penalty(Ridge(terms.ridge.mean(axis=0)))
    point = objective.at(
        objective.from_coefficients(estimate.coef.astype(float), estimate.intercept)
    )
    gradient = penalised_gradient(point, terms)
    try:
        V, distance = covariance_of_features(point, terms.ridge, gradient, positions)
    except UnsolvedSystem:
        if not estimate.is_bias_reduced and are_separated(point, terms):
            raise separated_classes() from None
        raise
    # The weights in the problem are those of the user divided by `scale`.
    V /= scale
    to_reported = _covariance.Coding(reported.contrasts, np.eye(len(positions)))
    theta = _reference_coding.against_last(estimate.coef[:, positions].astype(float), True)
    fields = _common_fields(estimate, training, point, reported, "frequency")
    distance *= float(np.sqrt(scale))
    total, n_aliased = training.total_weight, len(aliased_columns(objective).columns)
    if n_aliased and distance <= FAR_FROM_OPTIMUM:
        distance = 0.0  # rounding errors have components that the singular Hessian does not bound
    notes = _notes_of_fit(estimate, fields["_rows"], point, terms, distance, total)
    n_columns = len(fields["columns"]) - n_aliased
    fields["columns"] = [str(estimate.names[j]) for j in positions]
    return InferenceResults(
        **fields,
        coef=to_reported.coefficients(theta),
        covariance=to_reported.covariance(Covariance(V)).matrix,
        cov_type=cov_type,
        n_groups=None,
        n_columns=n_columns,
        notes=notes,
        _wald=WaldTests(theta, V, cov_type),
        _chosen=positions,
        _penalised_ratio=_penalised_ratio(estimate, fields),
    )


def check_no_absent_class(training: TrainingProblem) -> None:
    """Raise ValueError if a class of the fit has no rows of positive weight."""
    absent = np.delete(training.classes, training.data.active).tolist()
    if absent:
        raise ValueError(
            "infer needs rows of positive weight in every class of the fit, but y has none of the "
            f"classes {absent}."
        )


def _common_fields(
    estimate: Estimate,
    training: TrainingProblem,
    point: Point,
    reference: Reference,
    weights: str,
) -> dict[str, Any]:
    """Return the fields of InferenceResults that do not depend on the kind of covariance.

    They are a dict by the names of the fields. "columns" has the names of all columns of the model.
    `point` is the loss at the coefficients of the estimate, and `weights` says what the weights of
    the rows mean, "frequency" or "probability".
    """
    total, sums = training.total_weight, training.blocks.weight_sums
    fit_intercept = training.problem.objective.fit_intercept
    constant = None if fit_intercept else constant_combination(training)
    zero_loss = loss_of_offsets(training)
    # In a model without intercepts, a combination of the columns that is constant acts as one, so
    # that the null model has intercepts too.
    loss = null_loss(training) if fit_intercept or constant is not None else zero_loss
    names = [str(name) for name in estimate.names]
    return {
        "rows": reference.rows,
        "columns": [*names, "Intercept"] if fit_intercept else names,
        "classes": training.classes.tolist(),
        "reference": reference.label,
        "weights": weights,
        "n_obs": total if weights == "frequency" else float(sums.n_positive),
        "log_likelihood": -total * point.loss,
        "null_log_likelihood": -total * loss,
        "optimality_gap": estimate.gap,
        "fit_intercept": fit_intercept,
        "_constant": constant,
        "_sums": _column_sums(training, names, zero_loss),
        "_estimate": estimate,
        "_rows": FitRows(training, estimate, reference),
        "_signature": _signature(training),
        "_has_whole_counts": _has_whole_counts(estimate, training),
    }


def _likelihoods_of_sets(training: TrainingProblem, theta: Array) -> dict[str, float]:
    """Return the log-likelihoods of the fit and of the null model if labels are sets of classes.

    The results are by the names of the fields of InferenceResults. `theta` has the coefficients of
    the fit for the columns of the problem, (n_logits, n_features + 1).
    """
    problem, total = training.problem, training.total_weight
    null = problem.objective.zeros()
    if problem.objective.fit_intercept:
        # The null model of sets of classes has no closed form, and its loss is not convex.
        all_features = np.ones((1, training.blocks.n_features), bool)
        null = fit_sets(problem.without_penalty(all_features), Options(tol=1e-6)).point.theta
    return {
        "log_likelihood": -total * set_loss(problem.objective, theta),
        "null_log_likelihood": -total * set_loss(problem.objective, null),
    }


def _has_whole_counts(estimate: Estimate, training: TrainingProblem) -> bool:
    """Return whether each row stands for a whole number of observations, up to rounding.

    For Dask collections it is whether the sum of these numbers is whole. With class weights that
    sum is not known, and the result is True.
    """
    counts: Any = training.data.observations
    if isinstance(training.blocks, ChunkedRows) and estimate.settings.class_weight is None:
        counts = training.total_weight
    if counts is None:
        return True
    counts = np.asarray(on_host(counts), dtype=float)
    tolerance = ROUNDING * float(np.finfo(training.dtype).eps) * np.maximum(counts, 1.0)
    return bool((np.abs(counts - np.rint(counts)) <= tolerance).all())


def _signature(training: TrainingProblem) -> Signature | None:
    """Return the checksum of the rows of the fit, or None if all rows have equal weights."""
    blocks: Any = training.blocks
    if isinstance(blocks, ChunkedRows):
        sums = blocks.weight_sums
        is_equal = sums.total == sums.least * blocks.n_samples
        # Sums over Dask chunks would take a pass over the data: the signature has none.
        return None if is_equal else Signature(blocks.n_samples, *np.empty((2, 0)))
    return Signature.of_weighted_rows(blocks.X, training.data.observations)


def _column_sums(training: TrainingProblem, names: list[str], zero_loss: float) -> ColumnSums:
    """Return sums over the rows of the fit that show if other results are of the same rows.

    `names` are those of the features, and `zero_loss` is the mean loss at coefficients of zero.
    """
    moments = training.moments
    return ColumnSums(
        names=names,
        loss=zero_loss,
        shares=moments.shares,
        class_sums=moments.cross_moments,
        sizes=np.sqrt(moments.mean_square),
    )
