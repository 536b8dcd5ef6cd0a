"""From a fitted problem to InferenceResults."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._covariance_types import (
    analytic_covariance,
    count_units,
    resolve_cov_type,
    resolve_groups,
)
from skmaxent._inference._delta_method import DeltaMethod, Standardised
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._feature_subset import covariance_of
from skmaxent._inference._fit_rows import FitRows, class_coding, column_names
from skmaxent._inference._notes import (
    distance_to_optimum,
    notes_if_far,
    notes_of,
    notes_of_degenerate,
    penalised_gradient,
)
from skmaxent._inference._null_model import constant_combination, loss_of_offsets, null_loss
from skmaxent._inference._results import InferenceResults
from skmaxent._inference._row_sums import ColumnSums, Signature
from skmaxent._inference._tables import symmetric_or_reference
from skmaxent._inference._wald_tests import WaldTests
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers import (
    Options,
    aliased_columns,
)
from skmaxent._solvers._expectation_maximisation import fit_sets, set_loss
from skmaxent._storage._chunked_rows import ChunkedRows
from skmaxent._typing import Array


def infer(
    estimate: Estimate,
    ready: TrainingProblem,
    *,
    cov_type: str | None,
    groups: Any,
    weights: str,
    reference: Any,
) -> InferenceResults:
    """Inference for coefficients that are optimal for prepared data and a ridge (or no) penalty."""
    classes, names = ready.classes, estimate.names
    is_bias_reduced = estimate.is_bias_reduced
    is_penalised = bool(ready.problem.asked.ridge.any())
    cov_type = resolve_cov_type(cov_type, weights, is_penalised)
    codes = resolve_groups(groups, cov_type, ready.blocks.n_samples)
    reported, position = symmetric_or_reference(reference, classes)
    refuse_absent(ready)
    point = ready.loss_at(estimate.coef.astype(float), estimate.intercept)
    objective = point.objective
    r, d = max(1, len(point.theta) - 1), objective.blocks.n_features
    width = d + objective.fit_intercept
    _covariance.check_size(r, width)
    point, H = _covariance.centred_information(point)
    objective = point.objective
    terms = ready.problem.terms
    inverse, V = analytic_covariance(ready, point, H, terms.ridge, names, cov_type, codes, weights)
    rows = FitRows(ready, estimate, position, is_bias_reduced=is_bias_reduced)
    # Sampling weights have no scale: their rows are as many as Kish's effective number.
    n = ready.total_weight if weights == "frequency" else objective.blocks.effective_size
    inverse = inverse * (ready.total_weight / n)
    if is_bias_reduced:
        notes = notes_if_far(rows.penalised_distance)
    else:
        notes = notes_of(
            ready, point, terms, distance_to_optimum(point, terms, inverse, n), estimate.gap
        )
    to_raw = _covariance.column_map(objective)
    theta = _covariance.against_last(point.theta, objective.fit_intercept)
    base = _covariance.Coding(np.eye(r), to_raw)
    coding = _covariance.Coding(class_coding(len(classes), position), to_raw)
    raw = base.coefficients(theta)
    units = count_units(ready, codes, weights)
    common = _common(estimate, ready, point, position)
    covariance, columns = coding.covariance(V), column_names(ready, names)
    notes += notes_of_degenerate(
        covariance.diagonal(), coding.covariance(inverse).diagonal(), common["rows"], columns
    )
    return InferenceResults(
        **common,
        coef=coding.coefficients(theta),
        covariance=covariance,
        columns=columns,
        reference=reported,
        cov_type=cov_type,
        weights=weights,
        n_obs=ready.total_weight
        if weights == "frequency"
        else float(ready.blocks.weight_sums.n_positive),
        n_groups=None if codes is None else units,
        _wald=WaldTests(
            raw,
            base.covariance(V),
            cov_type,
            None if codes is None else units,
            None if cov_type in ("nonrobust", "laplace") else units,
        ),
        _delta=DeltaMethod.of(estimate, Standardised(objective.center, objective.scale, V), raw),
        _rows=rows,
        notes=notes,
        _penalised_ratio=rows.against_null(constant_combination(ready))
        if is_bias_reduced
        else None,
    )


def infer_from_replicates(
    estimate: Estimate,
    ready: TrainingProblem,
    replicates: Array,
    *,
    reference: Any,
    weights: str,
    n_groups: int | None,
    counts: dict[str, int],
    is_maximal: bool,
    are_sets: bool,
) -> InferenceResults:
    """Inference from coefficients of bootstrap samples, (n, rows of coef_, n_features + 1).

    `is_maximal` tells whether the coefficients are to maximise the likelihood, `are_sets` whether
    rows have sets of possible classes.
    """
    fit_intercept = ready.problem.objective.fit_intercept
    reported, position = symmetric_or_reference(reference, ready.classes)
    point = ready.loss_at(estimate.coef.astype(float), estimate.intercept)
    whole = np.column_stack([estimate.coef, estimate.intercept]).astype(float)
    theta = _covariance.against_last(whole, fit_intercept)
    base = np.stack([_covariance.against_last(one, fit_intercept) for one in replicates])
    contrast = class_coding(len(ready.classes), position)
    samples = np.einsum("ck,nkj->ncj", contrast, base)
    common = _common(estimate, ready, point, position)
    if are_sets:
        common |= _likelihoods_of_sets(ready, point.theta)
    return InferenceResults(
        **common,
        coef=contrast @ theta,
        covariance=_covariance_of_samples(samples),
        columns=column_names(ready, estimate.names),
        reference=reported,
        cov_type="bootstrap",
        weights=weights,
        n_obs=ready.total_weight
        if weights == "frequency"
        else float(ready.blocks.weight_sums.n_positive),
        n_groups=n_groups,
        _wald=WaldTests(theta, _covariance_of_samples(base), "bootstrap", n_groups),
        _delta=DeltaMethod.of(estimate, _standardised(ready.problem.objective, replicates), theta),
        _rows=FitRows(ready, estimate, position),
        replicates=samples,
        replicate_counts=counts,
        notes=notes_of(ready, point, ready.problem.terms.times(0.0), 0.0, estimate.gap)
        if is_maximal
        else (),
        _is_maximal=is_maximal,
    )


def _standardised(objective: MultinomialObjective, replicates: Array) -> Standardised:
    samples = [
        objective.from_coefficients(one[:, :-1].astype(float), one[:, -1]) for one in replicates
    ]
    theta = np.stack([_covariance.against_last(one, objective.fit_intercept) for one in samples])
    return Standardised(objective.center, objective.scale, _covariance_of_samples(theta))


def _covariance_of_samples(samples: Array) -> Array:
    return np.atleast_2d(np.cov(samples.reshape(len(samples), -1).T))


def infer_features(
    estimate: Estimate,
    ready: TrainingProblem,
    positions: Array,
    *,
    cov_type: str | None,
    reference: Any,
) -> InferenceResults:
    """Inference for some features, from the inverse of the information or of the posterior's."""
    is_penalised = bool(ready.problem.asked.ridge.any())
    cov_type = resolve_cov_type(cov_type, "frequency", is_penalised)
    if cov_type not in ("nonrobust", "laplace"):
        raise ValueError(f"features= has no cov_type={cov_type!r}: expected None.")
    reported, position = symmetric_or_reference(reference, ready.classes)
    refuse_absent(ready)
    ridge = ready.problem.terms.ridge
    objective = ready.problem.objective.in_float64().with_penalty(Ridge(ridge.mean(axis=0)))
    theta = objective.from_coefficients(estimate.coef.astype(float), estimate.intercept)
    point = objective.at(theta)
    gradient = penalised_gradient(point, ready.problem.terms)
    V, distance = covariance_of(point, ridge, gradient, positions)
    V /= ready.data.scale
    n_aliased = len(aliased_columns(objective).columns)
    terms = ready.problem.terms
    notes = notes_of(ready, point, terms, distance * float(np.sqrt(ready.data.scale)), estimate.gap)
    contrast = class_coding(len(ready.classes), position)
    coding = _covariance.Coding(contrast, np.eye(len(positions)))
    part = _covariance.against_last(estimate.coef[:, positions].astype(float), True)
    return InferenceResults(
        **_common(estimate, ready, point, position),
        coef=coding.coefficients(part),
        covariance=coding.covariance(V),
        columns=[str(estimate.names[j]) for j in positions],
        reference=reported,
        cov_type=cov_type,
        weights="frequency",
        n_obs=ready.total_weight,
        n_groups=None,
        _wald=WaldTests(part, V, cov_type),
        _rows=FitRows(ready, estimate, position),
        n_columns=len(column_names(ready, estimate.names)) - n_aliased,
        notes=notes,
        _chosen=positions,
    )


def refuse_absent(ready: TrainingProblem) -> None:
    """Raise ValueError where a class has no rows of positive weight."""
    absent = np.delete(ready.classes, ready.data.active).tolist()
    if absent:
        raise ValueError(
            "infer needs rows of positive weight in every class of the fit, but y has none of the "
            f"classes {absent}."
        )


def _common(
    estimate: Estimate, ready: TrainingProblem, point: Point, position: int | None
) -> dict[str, Any]:
    """What all results have of the fit."""
    classes, total = ready.classes, ready.total_weight
    fit_intercept = ready.problem.objective.fit_intercept
    constant = None if fit_intercept else constant_combination(ready)
    zero_loss = loss_of_offsets(ready)
    loss = null_loss(ready) if fit_intercept or constant is not None else zero_loss
    return {
        "rows": (classes if position is None else np.delete(classes, position)).tolist(),
        "classes": classes.tolist(),
        "log_likelihood": -total * point.loss,
        "null_log_likelihood": -total * loss,
        "optimality_gap": estimate.gap,
        "fit_intercept": fit_intercept,
        "_constant": constant,
        "_sums": _column_sums(ready, estimate.names, zero_loss),
        "_estimate": estimate,
        "_signature": _signature(ready),
    }


def _likelihoods_of_sets(ready: TrainingProblem, theta: Array) -> dict[str, float]:
    """Log-likelihoods of rows with sets of classes, at θ and of the model without features."""
    problem, total = ready.problem, ready.total_weight
    null = problem.objective.zeros()
    if problem.objective.fit_intercept:
        held = np.ones((1, ready.blocks.n_features), bool)
        null = fit_sets(problem.without_penalty(held), Options(tol=1e-6)).point.theta
    return {
        "log_likelihood": -total * set_loss(problem, theta),
        "null_log_likelihood": -total * set_loss(problem, null),
    }


def _signature(ready: TrainingProblem) -> Signature | None:
    """Of rows that do not all have the same weight; None for others."""
    blocks: Any = ready.blocks
    if isinstance(blocks, ChunkedRows):
        sums = blocks.weight_sums
        is_equal = sums.total == sums.least * blocks.n_samples
        return None if is_equal else Signature(blocks.n_samples, *np.empty((2, 0)))
    return Signature.where_needed(blocks.X, ready.data.observations)


def _column_sums(ready: TrainingProblem, names: Array, zero_loss: float) -> ColumnSums:
    moments = ready.moments
    return ColumnSums(
        names=[str(name) for name in names],
        loss=zero_loss,
        shares=moments.shares,
        class_sums=moments.class_sums,
        sizes=np.sqrt(moments.mean_square),
    )
