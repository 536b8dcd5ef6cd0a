"""Kinds of covariances of estimates, by the names that users give them."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._covariance_names import DEFAULT_FACTORS
from skmaxent._input._validation import check_groups
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import Point
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

COV_TYPES = ("nonrobust", "HC0", "HC1", "cluster", "laplace")


class NoCovariance(ValueError):
    """Coefficients whose information has no inverse."""


def dependent_columns(error: _covariance.SingularInformation, names: Array) -> NoCovariance:
    """The error that names the columns of a singular information.

    `names` are those of the features, (n_features,); later positions are those of intercepts.
    """
    known = [str(names[j]) for j in error.columns if j < len(names)] or ["Intercept"]
    return NoCovariance(
        f"the coefficients have no covariance: {known} are constant or combinations of other "
        "features, or the classes are separated (see detect_separation). Remove the former, or "
        "use a finite C."
    )


def resolve_cov_type(cov_type: str | None, weights: str, is_penalised: bool) -> str:
    """The kind of covariance: the user's after checks, or for None the default for the fit.

    `is_penalised` tells whether the fit has a ridge penalty.
    """
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
            f"{'a ridge' if is_penalised else 'no'} penalty; expected "
            f"{'laplace, or a fit with C=np.inf' if is_penalised else COV_TYPES[:-1]}."
        )
    if weights == "probability" and cov_type in ("nonrobust", "laplace"):
        raise ValueError(
            f"cov_type={cov_type!r} is not valid with weights='probability'; use cov_type='HC0', "
            "'HC1' or 'cluster'."
        )
    return cov_type


def resolve_small_sample(small_sample: str | None, cov_type: str) -> str | None:
    """The small-sample factor of a robust covariance: the user's after checks, or the default.

    None for covariances that have none.
    """
    allowed = {
        "HC0": ("none", "units"),
        "HC1": ("coefficients",),
        "cluster": ("coefficients", "units", "none"),
    }.get(cov_type, ())
    if small_sample is None:
        return DEFAULT_FACTORS.get(cov_type)
    if small_sample not in allowed:
        hint = " Write cov_type='HC1' for n/(n - p)." if cov_type == "HC0" else ""
        raise ValueError(
            f"small_sample={small_sample!r} does not go with cov_type={cov_type!r}; expected "
            f"{' or '.join(map(repr, (None, *allowed)))}.{hint}"
        )
    return small_sample


def resolve_groups(groups: Any, cov_type: str, n_samples: int) -> Array | None:
    """Return the codes of the clusters of the rows, (n_samples,), or None without clusters."""
    if (groups is None) != (cov_type != "cluster"):
        raise ValueError("groups and cov_type='cluster' go together; give both or neither.")
    if groups is None:
        return None
    return check_groups(groups, n_samples)


def count_units(training: TrainingProblem, codes: Array | None, weights: str) -> int:
    """Return the number of independent units with a positive weight.

    Units are clusters, if there are any; else rows, or the observations of tables of counts.
    """
    blocks = training.blocks
    if codes is not None:
        (weights_of,) = blocks.map_reduce(_group_weights, codes, int(codes.max()) + 1)
        return int(np.count_nonzero(weights_of))
    n = blocks.weight_sums.n_positive
    return n if weights == "probability" else n * len(training.classes)


def analytic_covariance(
    training: TrainingProblem,
    point: Point,
    H: Array,
    ridge: Array,
    names: Array,
    cov_type: str,
    codes: Array | None,
    weights: str,
    small_sample: str | None,
) -> tuple[Array, Array]:
    """The inverse of the information, and the covariance, of the coefficients of a point.

    Parameters
    ----------
    training : TrainingProblem
    point : Point
        The loss at the coefficients.
    H : ndarray of shape (n_coefficients, n_coefficients)
        The information of the mean loss at the point.
    ridge : ndarray of shape (1 or n_logits, n_features)
        Strengths of the ridge penalty.
    names : ndarray of shape (n_features,)
        Names of the features, for error messages.
    cov_type, weights : str
        As in `MaxentClassifier.infer`, resolved.
    codes : ndarray of shape (n_samples,) or None
        Codes of the clusters.
    small_sample : str or None
        As in `MaxentClassifier.infer`, resolved.

    Returns
    -------
    inverse, covariance : ndarray of shape (n_coefficients, n_coefficients)
        Of θ in reference coding; see `_covariance`.
    """
    objective, total = point.objective, training.total_weight
    width = objective.blocks.n_features + objective.fit_intercept
    if cov_type == "laplace":
        H = H + _covariance.ridge_information(ridge, len(training.classes), objective.fit_intercept)
    try:
        V = _covariance.inverse(H, width) / total
    except _covariance.SingularInformation as error:
        raise dependent_columns(error, names) from error
    if cov_type in ("nonrobust", "laplace"):
        return V, V
    n = total if weights == "frequency" else float(training.blocks.weight_sums.n_positive)
    if small_sample == "coefficients" and n <= len(V):
        _refuse_few(cov_type, n, len(V), weights)
    units = n
    if codes is not None:
        units = count_units(training, codes, weights)
        if units < 2:
            raise ValueError("groups must name at least two clusters with rows of positive weight.")
    factor = 1.0 if small_sample == "none" else units / (units - 1.0)
    if small_sample == "coefficients":
        factor *= (n - 1.0) / (n - len(V))
    power = 1 if weights == "frequency" and codes is None else 2
    meat = _covariance.score_products(point, codes, power) * training.data.scale**power
    return V, np.asarray(V @ meat @ V * factor)


def _group_weights(block: Block, codes: Array, n_groups: int) -> tuple[Array]:
    weights = np.asarray(on_host(block.weights_or_ones()), dtype=float)
    return (np.bincount(codes[block.start : block.stop], weights, n_groups),)


def _refuse_few(cov_type: str, n: float, n_coefficients: int, weights: str) -> None:
    """Raise ValueError for a small-sample factor with n observations, too few for it."""
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
