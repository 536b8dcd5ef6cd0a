"""InferenceResults from a fit and its rows: from the information, or from bootstrap samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._effects._delta_method import DeltaMethod, Standardised
from skmaxent._existence import aliased_columns
from skmaxent._inference import _covariance
from skmaxent._inference._covariance_types import CovarianceKind, resolve_cov_type
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._feature_subset import covariance_of
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._notes import (
    distance_to_optimum,
    notes_if_far,
    notes_of,
    notes_of_degenerate,
    penalised_gradient,
)
from skmaxent._inference._null_model import constant_combination, loss_of_offsets, null_loss
from skmaxent._inference._reference import Reference
from skmaxent._inference._results import InferenceResults
from skmaxent._inference._robust_covariance import (
    CoefficientCovariance,
    covariance_at,
    dependent_columns,
)
from skmaxent._inference._row_sums import ColumnSums, Signature
from skmaxent._inference._wald_tests import WaldTests
from skmaxent._leverage import _reference_coding
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers import Options
from skmaxent._solvers._expectation_maximisation import fit_sets, set_loss
from skmaxent._storage._chunked_rows import ChunkedRows
from skmaxent._typing import Array


def results_from_information(
    estimate: Estimate,
    training: TrainingProblem,
    kind: CovarianceKind,
    reference: Any,
) -> InferenceResults:
    """Inference for all coefficients, from the information or from scores.

    The coefficients minimise the loss of the training problem, with a ridge penalty or without a
    penalty. `reference` is that of `MaxentClassifier.infer`.
    """
    shown = Reference.of(reference, training.classes)
    refuse_absent(training)
    point, found = _covariance_at(estimate, training, kind)
    # Distances to the optimum are in standard errors of independent observations, whatever the
    # covariance that is reported.
    inverse = found.inverse * (training.total_weight / _sample_size(training, kind.weights))
    V = found.matrix
    objective = point.objective
    theta = _reference_coding.against_last(point.theta, objective.fit_intercept)
    # Tests use free coefficients. Those that are shown may be linearly dependent: with symmetric
    # coding they sum to zero over the classes.
    free = _covariance.Coding(np.eye(len(theta)), _covariance.column_map(objective))
    coding = _covariance.Coding(shown.contrasts, free.columns)
    covariance, raw = coding.covariance(V), free.coefficients(theta)
    variances = covariance.diagonal(), coding.covariance(inverse).diagonal()
    fields = _common_fields(estimate, training, point, shown, kind.weights)
    fields["_rows"] = fields["_rows"].with_clusters(kind.codes)
    if estimate.is_bias_reduced:
        notes = _notes_of_bias_reduced(estimate, fields["_rows"])
    else:
        terms, n = training.problem.terms, _sample_size(training, kind.weights)
        notes = notes_of(point, terms, distance_to_optimum(point, terms, inverse, n), estimate.gap)
    notes += notes_of_degenerate(*variances, shown.rows, fields["columns"])
    return InferenceResults(
        **fields,
        coef=coding.coefficients(theta),
        covariance=covariance,
        cov_type=kind.cov_type,
        n_groups=found.n_groups,
        notes=notes,
        small_sample=kind.small_sample,
        design_name=None if kind.units is None else kind.units.description,
        _distribution=found.distribution,
        _wald=WaldTests(
            raw,
            free.covariance(V),
            kind.cov_type,
            found.n_groups,
            found.n_units,
            found.distribution,
            None if found.distribution.by_contrast is None else free.matrix,
        ),
        _delta=DeltaMethod.of(
            estimate.model,
            estimate.names,
            Standardised(objective.center, objective.scale, V),
            raw,
            found.distribution,
        ),
        _penalised_ratio=_penalised_ratio(estimate, fields),
    )


def _covariance_at(
    estimate: Estimate,
    training: TrainingProblem,
    kind: CovarianceKind,
) -> tuple[Point, CoefficientCovariance]:
    """Return the point of an estimate, and the covariance for its standardised columns."""
    point = training.loss_at(estimate.coef.astype(float), estimate.intercept)
    objective = point.objective
    width = objective.blocks.n_features + objective.fit_intercept
    _covariance.check_size(len(training.classes) - 1, width)
    point, H = _covariance.centred_information(point)
    ridge = training.problem.terms.ridge
    return point, covariance_at(
        training,
        point,
        H,
        ridge,
        estimate.names,
        kind,
        is_bias_reduced=estimate.is_bias_reduced,
    )


def _sample_size(training: TrainingProblem, weights: str) -> float:
    """Return the number of observations in the information matrix.

    Sampling weights have no scale: their rows are as many as Kish's effective number.
    """
    if weights == "frequency":
        return training.total_weight
    return training.blocks.effective_size


def _notes_of_bias_reduced(estimate: Estimate, fit: FitRows) -> tuple[str, ...]:
    """Return notes on how far the coefficients are from the maximum of the penalised likelihood."""
    try:
        return notes_if_far(fit.penalised_distance)
    except _covariance.SingularInformation as error:
        raise dependent_columns(error, estimate.names) from error


def _penalised_ratio(estimate: Estimate, fields: dict[str, Any]) -> float | None:
    """Return the ratio of penalised likelihoods against the null model, for bias reduction."""
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
    """Inference from coefficients of bootstrap samples.

    Parameters
    ----------
    estimate : Estimate
    training : TrainingProblem
    replicates : ndarray of shape (n_bootstrap, n_logits, n_features + 1)
        The intercepts are the last column, zeros in models without.
    reference, weights
        As in `MaxentClassifier.infer`.
    n_groups : int or None
        Clusters that were drawn.
    counts : dict
        See `InferenceResults.replicate_counts`.
    is_maximal : bool
        Whether the fit looked for the maximum of the likelihood.
    are_sets : bool
        Whether rows have sets of possible classes.
    """
    objective = training.problem.objective
    shown = Reference.of(reference, training.classes)
    point = training.loss_at(estimate.coef.astype(float), estimate.intercept)
    whole = np.column_stack([estimate.coef, estimate.intercept]).astype(float)
    theta = _reference_coding.against_last(whole, objective.fit_intercept)
    free = np.stack(
        [_reference_coding.against_last(one, objective.fit_intercept) for one in replicates]
    )
    samples = np.einsum("ck,nkj->ncj", shown.contrasts, free)
    fields = _common_fields(estimate, training, point, shown, weights)
    if are_sets:
        fields |= _likelihoods_of_sets(training, point.theta)
    notes: tuple[str, ...] = ()
    if is_maximal:
        # A bootstrap has no information matrix, and so no distance in standard errors.
        notes = notes_of(point, training.problem.terms.times(0.0), 0.0, estimate.gap)
    return InferenceResults(
        **fields,
        coef=shown.contrasts @ theta,
        covariance=_covariance_of_samples(samples),
        cov_type="bootstrap",
        n_groups=n_groups,
        replicates=samples,
        replicate_counts=counts,
        notes=notes,
        _wald=WaldTests(theta, _covariance_of_samples(free), "bootstrap", n_groups),
        _delta=DeltaMethod.of(
            estimate.model, estimate.names, _standardised(objective, replicates, whole), theta
        ),
        _is_maximal=is_maximal,
    )


def _standardised(
    objective: MultinomialObjective, replicates: Array, fitted: Array
) -> Standardised:
    """The covariance of replicates for standardised columns, and their differences from the fit.

    `replicates` are as in `results_from_replicates`, `fitted` is as one of them; the objective
    standardises.
    """

    def against_last(one: Array) -> Array:
        theta = objective.from_coefficients(one[:, :-1].astype(float), one[:, -1])
        return _reference_coding.against_last(theta, objective.fit_intercept)

    theta = np.stack([against_last(one) for one in replicates])
    return Standardised(
        objective.center,
        objective.scale,
        _covariance_of_samples(theta),
        theta - against_last(fitted),
    )


def _covariance_of_samples(samples: Array) -> Array:
    """Covariance of ravelled arrays, from samples of shape (n_samples, ...)."""
    return np.atleast_2d(np.cov(samples.reshape(len(samples), -1).T))


def results_for_features(
    estimate: Estimate,
    training: TrainingProblem,
    positions: Array,
    *,
    cov_type: str | None,
    reference: Any,
) -> InferenceResults:
    """Inference for the features at some positions, (n_chosen,), without the whole covariance.

    `cov_type` is None, "nonrobust" or, with a ridge penalty, "laplace". `reference` is that of
    `MaxentClassifier.infer`.
    """
    terms, scale = training.problem.terms, training.data.scale
    cov_type = resolve_cov_type(cov_type, "frequency", bool(training.problem.asked.ridge.any()))
    if cov_type not in ("nonrobust", "laplace"):
        raise ValueError(f"features= has no cov_type={cov_type!r}: expected None.")
    shown = Reference.of(reference, training.classes)
    refuse_absent(training)
    # The systems of equations of single coefficients are solved iteratively, to more digits than
    # float32 has.
    objective = training.problem.objective.in_float64()
    # An objective has one strength for each column. `covariance_of` adds the differences of the
    # classes' strengths from their mean.
    objective = objective.with_penalty(Ridge(terms.ridge.mean(axis=0)))
    point = objective.at(
        objective.from_coefficients(estimate.coef.astype(float), estimate.intercept)
    )
    gradient = penalised_gradient(point, terms)
    V, distance = covariance_of(point, terms.ridge, gradient, positions)
    V /= scale
    coding = _covariance.Coding(shown.contrasts, np.eye(len(positions)))
    part = _reference_coding.against_last(estimate.coef[:, positions].astype(float), True)
    fields = _common_fields(estimate, training, point, shown, "frequency")
    if estimate.is_bias_reduced:
        notes = _notes_of_bias_reduced(estimate, fields["_rows"])
    else:
        notes = notes_of(point, terms, distance * float(np.sqrt(scale)), estimate.gap)
    n_columns = len(fields["columns"]) - len(aliased_columns(objective).columns)
    fields["columns"] = [str(estimate.names[j]) for j in positions]
    return InferenceResults(
        **fields,
        coef=coding.coefficients(part),
        covariance=coding.covariance(V),
        cov_type=cov_type,
        n_groups=None,
        n_columns=n_columns,
        notes=notes,
        _wald=WaldTests(part, V, cov_type),
        _chosen=positions,
        _penalised_ratio=_penalised_ratio(estimate, fields),
    )


def refuse_absent(training: TrainingProblem) -> None:
    """Raise ValueError where a class has no rows of positive weight."""
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
    """The fields of InferenceResults that do not depend on the kind of covariance.

    `point` is the loss at the coefficients of the estimate. "columns" are all columns of the model.
    """
    total, sums = training.total_weight, training.blocks.weight_sums
    fit_intercept = training.problem.objective.fit_intercept
    constant = None if fit_intercept else constant_combination(training)
    zero_loss = loss_of_offsets(training)
    # A combination of the columns that is constant does what an intercept does.
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
    }


def _likelihoods_of_sets(training: TrainingProblem, theta: Array) -> dict[str, float]:
    """Return log-likelihoods of rows with sets of classes, at θ and without features.

    θ has the shape (n_logits, n_features + 1).
    """
    problem, total = training.problem, training.total_weight
    null = problem.objective.zeros()
    if problem.objective.fit_intercept:
        # Without features the loss of sets is not convex either, and has no closed form.
        held = np.ones((1, training.blocks.n_features), bool)
        null = fit_sets(problem.without_penalty(held), Options(tol=1e-6)).point.theta
    return {
        "log_likelihood": -total * set_loss(problem, theta),
        "null_log_likelihood": -total * set_loss(problem, null),
    }


def _signature(training: TrainingProblem) -> Signature | None:
    """Return the checksum of the rows of a fit whose weights differ; None for equal weights."""
    blocks: Any = training.blocks
    if isinstance(blocks, ChunkedRows):
        sums = blocks.weight_sums
        is_equal = sums.total == sums.least * blocks.n_samples
        return None if is_equal else Signature(blocks.n_samples, *np.empty((2, 0)))
    return Signature.of_weighted_rows(blocks.X, training.data.observations)


def _column_sums(training: TrainingProblem, names: list[str], zero_loss: float) -> ColumnSums:
    """Return the sums that show whether other results are of the same rows."""
    moments = training.moments
    return ColumnSums(
        names=names,
        loss=zero_loss,
        shares=moments.shares,
        class_sums=moments.cross_moments,
        sizes=np.sqrt(moments.mean_square),
    )
