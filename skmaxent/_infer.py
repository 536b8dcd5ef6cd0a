"""From a fitted problem to InferenceResults."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skmaxent import _inference
from skmaxent._bias_reduction import penalised
from skmaxent._blocks import RowBlocks
from skmaxent._device_array import on_host
from skmaxent._fit import Prepared
from skmaxent._objective import Point
from skmaxent._penalty import Ridge, Terms, ridge_terms
from skmaxent._place import to_host
from skmaxent._profile import likelihood, profile_interval
from skmaxent._results import InferenceResults, Signature, symmetric_or_reference
from skmaxent._solvers import Options, Problem, minimise
from skmaxent._some_features import covariance_of

Array = NDArray[Any]

COV_TYPES = ("nonrobust", "HC0", "HC1", "cluster", "laplace")
# Standard errors between coefficients and the optimum for these data that are no accident.
FAR = 0.5


def infer(
    model: Any,
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
    objective = ready.problem.objective
    classes = ready.classes
    is_penalised = strength > 0.0 and bool(ready.problem.asked.ridge.any())
    cov_type = _resolve(cov_type, weights, is_penalised)
    codes = _groups(groups, cov_type, objective.blocks.n_samples)
    reported, position = symmetric_or_reference(reference, classes)
    _refuse_absent(ready)
    point = ready.loss_at(coef.astype(float), intercept.astype(float))
    r, d = max(1, len(point.theta) - 1), objective.blocks.n_features
    width = d + objective.fit_intercept
    _inference.check_size(r, width)
    terms = ready.problem.terms.times(strength)
    V = _covariance(ready, point, terms.ridge, names, cov_type, codes, weights)
    if cov_type in ("nonrobust", "laplace") and not is_bias_reduced:
        _check_optimal(point, terms, V, ready.total_weight)
    to_raw = _inference.column_map(objective)
    theta = _inference.against_last(point.theta, objective.fit_intercept)
    base = _inference.Coding(np.eye(r), to_raw)
    coding = _inference.Coding(_class_coding(len(classes), position), to_raw)
    return InferenceResults(
        **_common(model, ready, point, position, gap),
        coef=coding.coefficients(theta),
        covariance=coding.covariance(V),
        columns=_columns(ready, names),
        reference=reported,
        cov_type=cov_type,
        weights=weights,
        n_obs=ready.total_weight
        if weights == "frequency"
        else float(ready.data.blocks.weight_sums.n_positive),
        n_groups=None if codes is None else int(codes.max()) + 1,
        _base=(base.coefficients(theta), base.covariance(V)),
        _rows=FitRows(
            ready, names, coef, intercept, position=position, is_bias_reduced=is_bias_reduced
        ),
    )


def infer_from_replicates(
    model: Any,
    ready: Prepared,
    coef: Array,
    intercept: Array,
    replicates: Array,
    names: Array,
    gap: float,
    *,
    reference: Any,
) -> InferenceResults:
    """Inference from coefficients of bootstrap samples, (n, rows of coef_, n_features + 1)."""
    fit_intercept = ready.problem.objective.fit_intercept
    reported, position = symmetric_or_reference(reference, ready.classes)
    point = ready.loss_at(coef.astype(float), intercept.astype(float))
    whole = np.column_stack([coef, intercept]).astype(float)
    estimate = _inference.against_last(whole, fit_intercept)
    base = np.stack([_inference.against_last(one, fit_intercept) for one in replicates])
    contrast = _class_coding(len(ready.classes), position)
    samples = np.einsum("ck,nkj->ncj", contrast, base)
    return InferenceResults(
        **_common(model, ready, point, position, gap),
        coef=contrast @ estimate,
        covariance=_covariance_of_samples(samples),
        columns=_columns(ready, names),
        reference=reported,
        cov_type="bootstrap",
        weights="frequency",
        n_obs=ready.total_weight,
        n_groups=None,
        _base=(estimate, _covariance_of_samples(base)),
        _rows=FitRows(ready, names, coef, intercept, position=position),
        replicates=samples,
    )


def _covariance_of_samples(samples: Array) -> Array:
    return np.atleast_2d(np.cov(samples.reshape(len(samples), -1).T))


def infer_features(
    model: Any,
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
    _refuse_absent(ready)
    ridge = ready.problem.terms.times(strength).ridge
    objective = ready.problem.objective.with_penalty(Ridge(ridge.mean(axis=0)))
    theta = objective.from_coefficients(coef.astype(float), intercept.astype(float))
    point = objective.at(theta)
    V = covariance_of(point, ridge, ready.problem.moving, positions) / ready.rows.scale
    contrast = _class_coding(len(ready.classes), position)
    coding = _inference.Coding(contrast, np.eye(len(positions)))
    part = _inference.against_last(coef[:, positions].astype(float), True)
    return InferenceResults(
        **_common(model, ready, point, position, gap),
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
        n_columns=len(_columns(ready, names)),
    )


def _refuse_absent(ready: Prepared) -> None:
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
    model: Any, ready: Prepared, point: Point, position: int | None, gap: float
) -> dict[str, Any]:
    """What all results have of the fit."""
    classes, total = ready.classes, ready.total_weight
    nothing = np.zeros(ready.data.blocks.n_features, bool)
    return {
        "rows": (classes if position is None else np.delete(classes, position)).tolist(),
        "classes": classes.tolist(),
        "log_likelihood": -total * point.loss,
        "null_log_likelihood": -total * _loss_with(ready, nothing),
        "optimality_gap": gap,
        "_model": model,
        "_weighed": _signature(ready),
    }


def _signature(ready: Prepared) -> Signature | None:
    """Of rows that do not all have the same weight; None for others, and where rows are chunks."""
    blocks = ready.data.blocks
    weights = getattr(ready.rows, "observations", None)
    if weights is None or not isinstance(blocks, RowBlocks) or (weights == weights[0]).all():
        return None
    return Signature.of(on_host(blocks.X))


def _class_coding(n_classes: int, position: int | None) -> Array:
    """From classes against the last, or a single logit, to what is reported."""
    if n_classes > 2:
        return _inference.class_contrasts(n_classes, position)
    both = np.array([[-0.5], [0.5]])
    return both if position is None else np.array([[1.0 - 2.0 * position]])


def dependent_columns(error: _inference.SingularInformation, names: Array) -> ValueError:
    """The error with names."""
    known = [str(names[j]) for j in error.columns if j < len(names)] or ["Intercept"]
    return ValueError(
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
    labels, codes = np.unique(np.asarray(to_host(groups)), return_inverse=True)
    if codes.shape != (n_samples,):
        raise ValueError(f"groups has the shape {codes.shape}; expected ({n_samples},).")
    if len(labels) < 2:
        raise ValueError("groups must name at least two clusters.")
    return np.asarray(codes)


def _covariance(
    ready: Prepared,
    point: Point,
    ridge: Array,
    names: Array,
    cov_type: str,
    codes: Array | None,
    weights: str,
) -> Array:
    """Of θ in reference coding, over all rows."""
    objective, total = point.objective, ready.total_weight
    width = objective.blocks.n_features + objective.fit_intercept
    H = _inference.information(point)
    if cov_type == "laplace":
        H = H + _inference.ridge_information(ridge, len(ready.classes), objective.fit_intercept)
    try:
        V = _inference.inverse(H, width) / total
    except _inference.SingularInformation as error:
        raise dependent_columns(error, names) from error
    if cov_type in ("nonrobust", "laplace"):
        return V
    power = 1 if weights == "frequency" and codes is None else 2
    meat = _inference.score_products(point, codes, power) * ready.rows.scale**power
    V = V @ meat @ V
    n = total if weights == "frequency" else float(ready.data.blocks.weight_sums.n_positive)
    if cov_type == "HC1":
        V = V * n / (n - len(V))
    if codes is not None:
        G = int(codes.max()) + 1
        V = V * (G / (G - 1.0)) * ((n - 1.0) / (n - len(V)))
    return np.asarray(V)


def _check_optimal(point: Point, terms: Terms, V: Array, total: float) -> None:
    gradient = point.loss_gradient()
    coef = point.theta[:, :-1]
    coef = coef if terms.target is None else coef - terms.target
    gradient[:, :-1] += _inference.ridge_pull(terms.ridge, coef)
    g = gradient if len(gradient) == 1 else gradient[:-1]
    g = (g if point.objective.fit_intercept else g[:, :-1]).ravel() * total
    distance = float(np.sqrt(max(float(g @ V @ g), 0.0)))
    if distance > FAR:
        warnings.warn(
            f"the coefficients are {distance:.2g} standard errors from the optimum for X and y: "
            "infer needs the data of the fit, and a fit that has converged.",
            UserWarning,
            stacklevel=5,
        )


def _loss_with(ready: Prepared, kept: Array) -> float:
    """Mean loss at the optimum without penalty of a model with some of the features."""
    blocks = ready.data.blocks
    if not kept.any() and not blocks.has_offset:
        return float(ready.problem.null.loss)
    problem = ready.problem.without_penalty(~kept[None])
    return float(minimise(problem, Options(tol=1e-6)).point.loss)


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

    def profile(self, index: int, quantile: float) -> tuple[float, float]:
        """Interval for the reported coefficient with that position."""
        ready = self._ready
        objective = ready.problem.without_penalty(np.zeros(1, bool)).objective
        width = objective.blocks.n_features + objective.fit_intercept
        start = objective.at(objective.from_coefficients(self._coef, self._intercept))
        state = partial(
            penalised if self._is_bias_reduced else likelihood, total=self._total, width=width
        )
        contrasts = _class_coding(len(ready.classes), self._position)
        reported = _inference.Coding(contrasts, _inference.column_map(objective)).matrix
        return profile_interval(state, start, reported[index], width, quantile)

    def without(self, names: list[str]) -> tuple[float, int]:
        """log-likelihood and number of coefficients of the model without some features."""
        unknown = [name for name in names if name not in self._columns or name == "Intercept"]
        if unknown:
            raise ValueError(f"{unknown} are no features of the model.")
        ready = self._ready
        features = self._columns[: ready.data.blocks.n_features]
        kept = np.array([name not in names for name in features], bool)
        r = len(ready.classes) - 1
        free = int(kept.sum()) + ("Intercept" in self._columns)
        return -self._total * _loss_with(ready, kept), r * free

    def score(self, columns: Array) -> tuple[float, int]:
        """Rao's statistic for features that the model has not, and its degrees of freedom.

        The gradient at their coefficients of zero in the metric of the whole model's information.
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
        point = objective.at(objective.from_coefficients(coef, self._intercept))
        H = _inference.information(point)
        width = blocks.n_features + fit_intercept
        try:
            V = _inference.inverse(H, width) / self._total
        except _inference.SingularInformation as error:
            raise ValueError(
                "the features are constant, or combinations of those of the model."
            ) from error
        r = max(1, len(point.theta) - 1)
        gradient = point.gradient[:r] if fit_intercept else point.gradient[:r, :-1]
        score = gradient.ravel() * self._total
        return float(score @ V @ score), r * q
