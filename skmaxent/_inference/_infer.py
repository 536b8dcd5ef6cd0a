"""From a fitted problem to InferenceResults."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._inference import _covariance, _profile
from skmaxent._inference._bias_reduction import penalised
from skmaxent._inference._feature_subset import covariance_of
from skmaxent._inference._results import (
    ColumnSums,
    InferenceResults,
    Signature,
    Standardised,
    symmetric_or_reference,
)
from skmaxent._input._targets import WeightedTargets
from skmaxent._input._validation import check_groups
from skmaxent._model._fit import Prepared
from skmaxent._model._fitted_model import FittedModel
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import PenaltyTerms, Ridge, ridge_terms
from skmaxent._solvers import (
    PROVEN,
    Options,
    Problem,
    Status,
    Watch,
    aliased_columns,
    minimise,
)
from skmaxent._solvers._expectation_maximisation import fit_sets, set_loss
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

COV_TYPES = ("nonrobust", "HC0", "HC1", "cluster", "laplace")
# Robust standard errors of this share of those from the information say nothing of the coefficient.
DEGENERATE = 1e-3
# Standard errors between coefficients and the optimum for these data that are no accident.
FAR = 0.5
# How far a combination of columns may be from 1 in any row to be a constant.
CONSTANT = 1e-6
# Coefficients up to which a likelihood is maximised again for tests, by its whole information.
FEW_COEFFICIENTS = 1000


def infer(
    model: FittedModel,
    source: Any,
    ready: Prepared,
    coef: Array,
    intercept: Array,
    strength: float,
    names: Array,
    gap: float,
    *,
    cov_type: str | None,
    groups: Any,
    weights: str,
    reference: Any,
    is_bias_reduced: bool = False,
) -> InferenceResults:
    """Inference for coefficients that are optimal for prepared data and a ridge (or no) penalty."""
    classes = ready.classes
    is_penalised = strength > 0.0 and bool(ready.problem.asked.ridge.any())
    cov_type = _resolve(cov_type, weights, is_penalised)
    codes = _groups(groups, cov_type, ready.data.blocks.n_samples)
    reported, position = symmetric_or_reference(reference, classes)
    refuse_absent(ready)
    point = ready.loss_at(coef.astype(float), intercept.astype(float))
    objective = point.objective
    r, d = max(1, len(point.theta) - 1), objective.blocks.n_features
    width = d + objective.fit_intercept
    _covariance.check_size(r, width)
    point, H = _covariance.centred_information(point)
    objective = point.objective
    terms = ready.problem.terms.times(strength)
    inverse, V = _analytic_covariance(ready, point, H, terms.ridge, names, cov_type, codes, weights)
    rows = FitRows(
        ready, names, coef, intercept, position=position, is_bias_reduced=is_bias_reduced
    )
    # Sampling weights have no scale: their rows are as many as Kish's effective number.
    n = ready.total_weight if weights == "frequency" else objective.blocks.effective_size
    inverse = inverse * (ready.total_weight / n)
    if is_bias_reduced:
        notes = _notes_if_far(rows.penalised_distance)
    else:
        notes = _notes(ready, point, terms, _distance(point, terms, inverse, n), gap)
    to_raw = _covariance.column_map(objective)
    theta = _covariance.against_last(point.theta, objective.fit_intercept)
    base = _covariance.Coding(np.eye(r), to_raw)
    coding = _covariance.Coding(_class_coding(len(classes), position), to_raw)
    units = _n_units(ready, codes, weights)
    common = _common(model, source, ready, point, names, position, gap)
    covariance, columns = coding.covariance(V), _columns(ready, names)
    notes += _notes_of_degenerate(
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
        else float(ready.data.blocks.weight_sums.n_positive),
        n_groups=None if codes is None else units,
        _base=(base.coefficients(theta), base.covariance(V)),
        _standardised=Standardised(objective.center, objective.scale, V),
        _rows=rows,
        notes=notes,
        _n_units=None if cov_type in ("nonrobust", "laplace") else units,
        _penalised_ratio=rows.against_null(_constant(ready)) if is_bias_reduced else None,
    )


def infer_from_replicates(
    model: FittedModel,
    source: Any,
    ready: Prepared,
    coef: Array,
    intercept: Array,
    replicates: Array,
    names: Array,
    gap: float,
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
    point = ready.loss_at(coef.astype(float), intercept.astype(float))
    whole = np.column_stack([coef, intercept]).astype(float)
    estimate = _covariance.against_last(whole, fit_intercept)
    base = np.stack([_covariance.against_last(one, fit_intercept) for one in replicates])
    contrast = _class_coding(len(ready.classes), position)
    samples = np.einsum("ck,nkj->ncj", contrast, base)
    common = _common(model, source, ready, point, names, position, gap)
    if are_sets:
        common |= _likelihoods_of_sets(ready, point.theta)
    return InferenceResults(
        **common,
        coef=contrast @ estimate,
        covariance=_covariance_of_samples(samples),
        columns=_columns(ready, names),
        reference=reported,
        cov_type="bootstrap",
        weights=weights,
        n_obs=ready.total_weight
        if weights == "frequency"
        else float(ready.data.blocks.weight_sums.n_positive),
        n_groups=n_groups,
        _base=(estimate, _covariance_of_samples(base)),
        _standardised=_standardised(ready.problem.objective, replicates),
        _rows=FitRows(ready, names, coef, intercept, position=position),
        replicates=samples,
        replicate_counts=counts,
        notes=_notes(ready, point, ready.problem.terms.times(0.0), 0.0, gap) if is_maximal else (),
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
    model: FittedModel,
    source: Any,
    ready: Prepared,
    coef: Array,
    intercept: Array,
    strength: float,
    names: Array,
    positions: Array,
    gap: float,
    *,
    cov_type: str | None,
    reference: Any,
) -> InferenceResults:
    """Inference for some features, from the inverse of the information or of the posterior's."""
    is_penalised = strength > 0.0 and bool(ready.problem.asked.ridge.any())
    cov_type = _resolve(cov_type, "frequency", is_penalised)
    if cov_type not in ("nonrobust", "laplace"):
        raise ValueError(f"features= has no cov_type={cov_type!r}: expected None.")
    reported, position = symmetric_or_reference(reference, ready.classes)
    refuse_absent(ready)
    ridge = ready.problem.terms.times(strength).ridge
    objective = ready.problem.objective.in_float64().with_penalty(Ridge(ridge.mean(axis=0)))
    theta = objective.from_coefficients(coef.astype(float), intercept.astype(float))
    point = objective.at(theta)
    gradient = _penalised_gradient(point, ready.problem.terms.times(strength))
    V, distance = covariance_of(point, ridge, gradient, ready.problem.varying, positions)
    V /= ready.rows.scale
    n_aliased = len(aliased_columns(objective, ready.problem.varying).columns)
    terms = ready.problem.terms.times(strength)
    notes = _notes(ready, point, terms, distance * float(np.sqrt(ready.rows.scale)), gap)
    contrast = _class_coding(len(ready.classes), position)
    coding = _covariance.Coding(contrast, np.eye(len(positions)))
    part = _covariance.against_last(coef[:, positions].astype(float), True)
    return InferenceResults(
        **_common(model, source, ready, point, names, position, gap),
        coef=coding.coefficients(part),
        covariance=coding.covariance(V),
        columns=[str(names[j]) for j in positions],
        reference=reported,
        cov_type=cov_type,
        weights="frequency",
        n_obs=ready.total_weight,
        n_groups=None,
        _base=(part, V),
        _rows=FitRows(ready, names, coef, intercept, position=position),
        n_columns=len(_columns(ready, names)) - n_aliased,
        notes=notes,
        _chosen=positions,
    )


def refuse_absent(ready: Prepared) -> None:
    """Raise ValueError where a class has no rows of positive weight."""
    absent = np.delete(ready.classes, ready.rows.active).tolist()
    if absent:
        raise ValueError(
            "infer needs rows of positive weight in every class of the fit, but y has none of the "
            f"classes {absent}."
        )


def _columns(ready: Prepared, names: Array) -> list[str]:
    has_intercept = ready.problem.objective.fit_intercept
    return [*map(str, names), *(["Intercept"] if has_intercept else [])]


def _common(
    model: FittedModel,
    source: Any,
    ready: Prepared,
    point: Point,
    names: Array,
    position: int | None,
    gap: float,
) -> dict[str, Any]:
    """What all results have of the fit."""
    classes, total = ready.classes, ready.total_weight
    fit_intercept = ready.problem.objective.fit_intercept
    constant = None if fit_intercept else _constant(ready)
    zero_loss = _loss_of_offsets(ready)
    null_loss = _null_loss(ready) if fit_intercept or constant is not None else zero_loss
    return {
        "rows": (classes if position is None else np.delete(classes, position)).tolist(),
        "classes": classes.tolist(),
        "log_likelihood": -total * point.loss,
        "null_log_likelihood": -total * null_loss,
        "optimality_gap": gap,
        "fit_intercept": fit_intercept,
        "_constant": constant,
        "_sums": _column_sums(ready, names, zero_loss),
        "_model": model,
        "_source": source,
        "_weighed": _signature(ready),
    }


def _likelihoods_of_sets(ready: Prepared, theta: Array) -> dict[str, float]:
    """Log-likelihoods of rows with sets of classes, at θ and of the model without features."""
    problem, total = ready.problem, ready.total_weight
    null = problem.objective.zeros()
    if problem.objective.fit_intercept:
        held = np.ones((1, ready.data.blocks.n_features), bool)
        null = fit_sets(problem.without_penalty(held), Options(tol=1e-6)).point.theta
    return {
        "log_likelihood": -total * set_loss(problem, theta),
        "null_log_likelihood": -total * set_loss(problem, null),
    }


def _signature(ready: Prepared) -> Signature | None:
    """Of rows that do not all have the same weight; None for others."""
    blocks: Any = ready.data.blocks
    if not isinstance(ready.rows, WeightedTargets):  # chunks
        sums = blocks.weight_sums
        is_equal = sums.total == sums.least * blocks.n_samples
        return None if is_equal else Signature(blocks.n_samples, *np.empty((2, 0)))
    return Signature.where_needed(blocks.X, ready.rows.observations)


def _class_coding(n_classes: int, position: int | None) -> Array:
    """From classes against the last, or a single logit, to what is reported."""
    if n_classes > 2:
        return _covariance.class_contrasts(n_classes, position)
    both = np.array([[-0.5], [0.5]])
    return both if position is None else np.array([[1.0 - 2.0 * position]])


class NoCovariance(ValueError):
    """Coefficients whose information has no inverse."""


def dependent_columns(error: _covariance.SingularInformation, names: Array) -> NoCovariance:
    """The error with names."""
    known = [str(names[j]) for j in error.columns if j < len(names)] or ["Intercept"]
    return NoCovariance(
        f"the coefficients have no covariance: {known} are constant or combinations of other "
        "features, or the classes are separated (see detect_separation). Remove the former, or "
        "use a finite C."
    )


def _resolve(cov_type: str | None, weights: str, is_penalised: bool) -> str:
    if weights not in ("frequency", "probability"):
        raise ValueError(f"weights must be 'frequency' or 'probability', found {weights!r}.")
    if cov_type is None:
        robust = "HC0" if weights == "probability" else "nonrobust"
        cov_type = "laplace" if is_penalised else robust
    if cov_type not in COV_TYPES:
        raise ValueError(f"cov_type must be one of {COV_TYPES}, found {cov_type!r}.")
    if is_penalised != (cov_type == "laplace"):
        raise ValueError(
            f"cov_type={cov_type!r} does not go with this fit, which has "
            f"{'a ridge' if is_penalised else 'no'} penalty: expected "
            f"{'laplace, or a fit with C=np.inf' if is_penalised else COV_TYPES[:-1]}."
        )
    if weights == "probability" and cov_type in ("nonrobust", "laplace"):
        raise ValueError(
            "probability weights have no inverse-information covariance: use cov_type='HC0', "
            "'HC1' or 'cluster'."
        )
    return cov_type


def _groups(groups: Any, cov_type: str, n_samples: int) -> Array | None:
    if (groups is None) != (cov_type != "cluster"):
        raise ValueError("groups and cov_type='cluster' go together.")
    if groups is None:
        return None
    return check_groups(groups, n_samples)


def _n_units(ready: Prepared, codes: Array | None, weights: str) -> int:
    """Independent units of positive weight: clusters; rows; or observations of tables."""
    blocks = ready.data.blocks
    if codes is not None:
        (weights_of,) = blocks.map_reduce(_group_weights, codes, int(codes.max()) + 1)
        return int(np.count_nonzero(weights_of))
    n = blocks.weight_sums.n_positive
    return n if weights == "probability" else n * len(ready.classes)


def _analytic_covariance(
    ready: Prepared,
    point: Point,
    H: Array,
    ridge: Array,
    names: Array,
    cov_type: str,
    codes: Array | None,
    weights: str,
) -> tuple[Array, Array]:
    """The inverse of the information, and the covariance, of θ in reference coding."""
    objective, total = point.objective, ready.total_weight
    width = objective.blocks.n_features + objective.fit_intercept
    if cov_type == "laplace":
        H = H + _covariance.ridge_information(ridge, len(ready.classes), objective.fit_intercept)
    try:
        V = _covariance.inverse(H, width) / total
    except _covariance.SingularInformation as error:
        raise dependent_columns(error, names) from error
    if cov_type in ("nonrobust", "laplace"):
        return V, V
    n = total if weights == "frequency" else float(ready.data.blocks.weight_sums.n_positive)
    if cov_type in ("HC1", "cluster") and n <= len(V):
        _refuse_few(cov_type, n, len(V), weights)
    factor = n / (n - len(V)) if cov_type == "HC1" else 1.0
    if codes is not None:
        G = _n_units(ready, codes, weights)
        if G < 2:
            raise ValueError("groups must name at least two clusters with rows of positive weight.")
        factor = G / (G - 1.0) * (n - 1.0) / (n - len(V))
    power = 1 if weights == "frequency" and codes is None else 2
    meat = _covariance.score_products(point, codes, power) * ready.rows.scale**power
    return V, np.asarray(V @ meat @ V * factor)


def _group_weights(block: Block, codes: Array, n_groups: int) -> tuple[Array]:
    weights = np.asarray(on_host(block.weights_or_ones()), dtype=float)
    return (np.bincount(codes[block.start : block.stop], weights, n_groups),)


def _refuse_few(cov_type: str, n: float, n_coefficients: int, weights: str) -> None:
    found = f"{n:.4g} rows of positive weight"
    advice = "use cov_type='HC0'"
    if weights == "frequency":
        found = f"rows and weights that sum to {n:.4g} observations"
        advice = (
            "with weights='frequency' a sample_weight of 2 is the row twice; for sampling weights, "
            "which have no scale, write weights='probability'"
        )
    raise ValueError(
        f"cov_type={cov_type!r} multiplies by n/(n - p), or (n - 1)/(n - p), and needs more "
        f"observations than the {n_coefficients} coefficients, found {found}: {advice}."
    )


def _penalised_gradient(point: Point, terms: PenaltyTerms) -> Array:
    """Gradient of the mean loss and a ridge, whatever the penalty of the point's objective."""
    gradient = point.loss_gradient()
    coef = point.theta[:, :-1]
    coef = coef if terms.target is None else coef - terms.target
    gradient[:, :-1] += _covariance.ridge_pull(terms.ridge, coef)
    return gradient


def _distance(point: Point, terms: PenaltyTerms, V: Array, total: float) -> float:
    """Standard errors between the coefficients and the optimum for these rows."""
    gradient = _penalised_gradient(point, terms)
    g = gradient if len(gradient) == 1 else gradient[:-1]
    g = (g if point.objective.fit_intercept else g[:, :-1]).ravel() * total
    return float(np.sqrt(max(float(g @ V @ g), 0.0)))


def _notes(
    ready: Prepared, point: Point, terms: PenaltyTerms, distance: float, gap: float
) -> tuple[str, ...]:
    """Why the results are not those of an optimum; a warning says it too.

    Where the fit's gap is bounded and the coefficients are optimal for these rows too, there is an
    optimum.
    """
    if gap < PROVEN and distance <= FAR:
        return ()
    objective = point.objective.with_penalty(Ridge(terms.ridge.max(axis=0)))
    watch = Watch(objective, ready.problem.varying)
    status = watch.at_end(Status.CONVERGED, point.theta, point.loss, 1.0)
    if status is Status.CONVERGED:
        return _notes_if_far(distance)
    note = (
        "The classes are separated: some coefficients have no finite estimates, and their standard "
        "errors and tests mean nothing (see detect_separation)."
    )
    warnings.warn(note, UserWarning, stacklevel=5)
    return (note,)


def _notes_if_far(distance: float) -> tuple[str, ...]:
    if distance <= FAR:
        return ()
    found = f"the coefficients are {distance:.2g} standard errors from the optimum for X and y"
    warnings.warn(
        f"{found}: infer needs the data of the fit, and a fit that has converged.",
        UserWarning,
        stacklevel=6,
    )
    return (f"{found[0].upper()}{found[1:]}: they are not maximum-likelihood estimates.",)


def _notes_of_degenerate(
    variances: Array, of_information: Array, rows: list[Any], columns: list[str]
) -> tuple[str, ...]:
    """Which robust variances are next to nothing beside those from the information."""
    lost = np.flatnonzero(variances < DEGENERATE**2 * of_information)
    if not len(lost):
        return ()
    width = len(columns)
    found = ", ".join(f"{columns[i % width]!r} of class {rows[i // width]!r}" for i in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    note = (
        f"The robust standard errors of {found}{more} are below a thousandth of those from the "
        "information: the scores of the few rows or clusters that determine these coefficients "
        "are zero at the optimum. Such standard errors, and tests that use them, mean nothing."
    )
    warnings.warn(note, UserWarning, stacklevel=5)
    return (note,)


def _loss_of_offsets(ready: Prepared) -> float:
    """Mean loss of the model whose logits are the offsets alone."""
    objective = ready.problem.objective
    if not objective.blocks.has_offset:
        return float(np.log(len(ready.classes)))
    return float(objective.at(objective.zeros()).loss)


def _null_loss(ready: Prepared) -> float:
    """Mean loss of the model with intercepts and offsets alone."""
    problem, data = ready.problem, ready.data
    if not problem.objective.fit_intercept:
        terms = ridge_terms(np.zeros(data.blocks.n_features))
        problem = Problem.of(data.blocks, data.model, terms, data.moments, fit_intercept=True)
    if not data.blocks.has_offset:
        return float(problem.null.loss)
    held = np.ones((1, data.blocks.n_features), bool)
    return float(minimise(problem.without_penalty(held), Options(tol=1e-6)).point.loss)


def _constant(ready: Prepared) -> Array | None:
    """The combination of the columns, (n_features,), that is 1 in all rows of positive weight.

    A model without intercepts that has one is a model with intercepts under another name. None is
    no such combination.
    """
    objective, moments = ready.problem.objective, ready.data.moments
    d = objective.blocks.n_features
    constant = np.flatnonzero(moments.is_constant & (moments.mean_square > 0.0))
    if len(constant):
        return np.eye(1, d, constant[0])[0] / moments.mean[constant[0]]
    if 16 * d**2 > _covariance.MOST_BYTES:
        return None
    scale = objective.scale
    (products,) = objective.blocks.map_reduce(_products, scale)
    v, *_ = np.linalg.lstsq(products[:d, :d], products[:d, d], rcond=1e-13)
    coef = np.zeros((objective.likelihood.n_logits, d))
    coef[0] = v / scale
    (difference,) = objective.blocks.map_reduce(
        _difference_from_one, coef.astype(objective.blocks.dtype), combine=np.maximum
    )
    return coef[0] if float(difference) <= CONSTANT else None


def _products(block: Block, scale: Array) -> tuple[Array]:
    """Weighted sum of (x/scale, 1)(x/scale, 1)ᵀ."""
    X = block.augmented(np.zeros(len(scale)), scale, True)
    return ((X * block.weights_or_ones().astype(float)) @ X.T,)


def _difference_from_one(block: Block, coef: Array) -> tuple[Any]:
    Z = block.logits(coef, np.zeros(len(coef), coef.dtype))
    return (block.largest(np.abs(Z[0] - 1.0)),)


def _column_sums(ready: Prepared, names: Array, zero_loss: float) -> ColumnSums:
    moments = ready.data.moments
    return ColumnSums(
        names=[str(name) for name in names],
        loss=zero_loss,
        shares=moments.shares,
        class_sums=moments.class_sums,
        sizes=np.sqrt(moments.mean_square),
    )


class FitRows:
    """The rows of a fit, for tests that need them again.

    `position` is that of the class that coefficients are against, None for the mean of all.
    """

    def __init__(
        self,
        ready: Prepared,
        names: Array,
        coef: Array,
        intercept: Array,
        *,
        position: int | None,
        is_bias_reduced: bool = False,
    ) -> None:
        self._ready, self._columns = ready, _columns(ready, names)
        self._coef, self._intercept = coef.astype(float), intercept.astype(float)
        self._position, self._is_bias_reduced = position, is_bias_reduced
        self._total = ready.total_weight
        self.observations: Array | None = getattr(ready.rows, "observations", None)

    @property
    def log_likelihood(self) -> float:
        """Of the coefficients at these rows."""
        return -self._total * self._ready.loss_at(self._coef, self._intercept).loss

    def profile(self, row: int, column: int, quantile: float) -> tuple[float, float]:
        """Interval for the reported coefficient in that row and column of the model."""
        best = self._best
        contrasts = _class_coding(len(self._ready.classes), self._position)
        to_raw = _covariance.column_map(self._ready.problem.objective)
        return _profile.profile_interval(
            self._likelihoods, best, np.kron(contrasts[row], to_raw[column]), quantile
        )

    @property
    def _likelihoods(self) -> _profile.Likelihoods:
        return _profile.Likelihoods(self._total, self._is_bias_reduced)

    @cached_property
    def _best(self) -> _profile.Held:
        """The maximum of the likelihood, or for separated classes its limit."""
        objective = self._ready.problem.without_penalty(np.zeros(1, bool)).objective
        theta = objective.from_coefficients(self._coef, self._intercept)
        if objective.blocks.dtype == np.float32 and type(objective.blocks) is RowBlocks:
            objective = objective.standardised(dtype=np.float64)
        return _profile.least(self._likelihoods, objective.at(theta))

    @property
    def penalised_distance(self) -> float:
        """Standard errors between the coefficients and the maximum with bias reduction."""
        point = self._ready.loss_at(self._coef, self._intercept)
        _, V, score = penalised(point, self._total, len(self._columns))
        return float(np.sqrt(max(float(score @ V @ score), 0.0)))

    @property
    def _has_few(self) -> bool:
        r = max(1, len(self._coef) - 1)
        return r * len(self._columns) <= FEW_COEFFICIENTS

    @property
    def maximum(self) -> float:
        """The largest log-likelihood, or for separated classes its limit.

        That at the coefficients where these are too many to be found again.
        """
        return -self._best.value if self._has_few else self.log_likelihood

    def ratio(self, positions: list[int]) -> tuple[float, int]:
        """The likelihood ratio against the model without the features at these positions.

        Returns the statistic and its degrees of freedom. With bias reduction both likelihoods are
        penalised by the prior of the whole model, so that the models are nested (Heinze & Schemper
        2002, Stat. Med. 21, 2409-2419).
        """
        r, d = max(1, len(self._coef) - 1), self._ready.data.blocks.n_features
        held = np.isin(np.arange(d), positions)
        df = r * int(held.sum())
        few = self._is_bias_reduced or self._has_few
        A = np.kron(np.eye(r), np.eye(len(self._columns))[:d][held]) if few else np.empty(0)
        if self._is_bias_reduced:
            return self._fall(_profile.least(self._likelihoods, self._best.point, A).value), df
        problem = self._ready.problem.without_penalty(held[None])
        solution = minimise(problem, Options(tol=1e-6))
        smaller = self._total * solution.point.loss
        if not few:
            return 2.0 * (smaller + self.log_likelihood), df
        if solution.status is not Status.CONVERGED:
            smaller = min(smaller, _profile.least(self._likelihoods, solution.point, A).value)
        return self._fall(smaller), df

    def against_null(self, constant: Array | None) -> float:
        """The ratio of penalised likelihoods against the null model.

        `constant` is the combination of the columns that stands for the intercept, if any.
        """
        objective = self._ready.problem.objective
        r, d = max(1, len(self._coef) - 1), objective.blocks.n_features
        of_class = np.asarray(np.eye(d, d + objective.fit_intercept))
        if constant is not None:
            of_class = _covariance.complement(constant * objective.scale)
        A = np.kron(np.eye(r), of_class)
        return self._fall(_profile.least(self._likelihoods, self._best.point, A).value)

    def _fall(self, value: float) -> float:
        """Twice the fall of the log-likelihood from its maximum."""
        return max(2.0 * (value - self._best.value), 0.0)

    def score(self, columns: Array) -> tuple[float, int]:
        """Rao's statistic for features that the model has not, and its degrees of freedom.

        The gradient at their coefficients of zero in the norm of the whole model's information.
        """
        data, q = self._ready.data, columns.shape[1]
        if len(columns) != data.blocks.n_samples:
            raise ValueError(
                f"X has {len(columns)} rows, expected the {data.blocks.n_samples} of the fit."
            )
        if not isinstance(data.blocks, RowBlocks):
            raise TypeError("score tests need X of the fit in memory; found chunks.")
        X = on_host(data.blocks.X)
        stack = sp.hstack if sp.issparse(X) else np.hstack
        whole = stack([X, columns.astype(X.dtype)])
        blocks = RowBlocks(
            sp.csr_array(whole) if sp.issparse(X) else whole,
            *map(on_host, (data.blocks.targets, data.blocks.weights, data.blocks.offset)),
            n_logits=data.blocks.n_logits,
        )
        fit_intercept = self._ready.problem.objective.fit_intercept
        terms = ridge_terms(np.zeros(blocks.n_features))
        objective = Problem.of(blocks, data.model, terms, fit_intercept=fit_intercept).objective
        coef = np.hstack([self._coef, np.zeros((len(self._coef), q))])
        point, H = _covariance.centred_information(
            objective.at(objective.from_coefficients(coef, self._intercept))
        )
        width = blocks.n_features + fit_intercept
        try:
            V = _covariance.inverse(H, width) / self._total
        except _covariance.SingularInformation as error:
            raise ValueError(
                "the features are constant, or combinations of those of the model."
            ) from error
        r = max(1, len(point.theta) - 1)
        gradient = point.gradient[:r] if fit_intercept else point.gradient[:r, :-1]
        score = gradient.ravel() * self._total
        return float(score @ V @ score), r * q
