"""Covariances of coefficients from the information, or from scores of rows, clusters or units.

Conventions
-----------
V : ndarray of shape (n_coefficients, n_coefficients)
    The inverse of the Fisher information of all observations. Coefficients are those of the
    standardised columns of a point in reference coding, class by class, the intercept last.
W : ndarray of the same shape
    A covariance that is not V. A sandwich covariance is V M V with the "meat" M, the sum of outer
    products of scores.
n : float
    Number of observations: of rows of positive weight, or the sum of frequency weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmaxent._effects._covariance_root import Covariance, root_of
from skmaxent._effects._student_t import NORMAL, StudentT
from skmaxent._existence import aliased_columns
from skmaxent._inference import _covariance
from skmaxent._inference._bell_mccaffrey import BellMcCaffrey, adjusted_covariance
from skmaxent._inference._cluster_jackknife import jackknife_covariance
from skmaxent._inference._constrained_minimum import flattened
from skmaxent._inference._covariance_types import CovarianceKind
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._inverse_information import InverseInformation
from skmaxent._inference._leverage_covariance import POWERS, corrected_score_products
from skmaxent._inference._refits import refits
from skmaxent._leverage import _reference_coding
from skmaxent._leverage._distance_to_optimum import are_separated
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import Point
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# Rounding errors hide the information of classes with less than this share of the weights.
NEGLIGIBLE_SHARE = 1e-10


class NoCovariance(ValueError):
    """The error of coefficients whose information has no inverse."""


def dependent_columns(
    error: _covariance.SingularInformation, names: Array, *, is_penalised: bool = False
) -> NoCovariance:
    """Return an error for users that names the columns of a singular information.

    `error` has the positions of the columns, and `names` are those of the features, (n_features,).
    A position beyond the features is that of the intercept. `is_penalised` tells whether C is
    finite, so that the columns have no penalty because of their `penalty_factor`.
    """
    known = [str(names[j]) for j in error.columns if j < len(names)] or ["Intercept"]
    advice = advice_to_penalise(is_penalised)
    return NoCovariance(
        f"the coefficients have no covariance: {known} are constant or combinations of other "
        "features, or all rows that determine them are certain of their classes. Remove such "
        f"features, or {advice}."
    )


def advice_to_penalise(is_penalised: bool) -> str:
    """Return how users can penalise features; `is_penalised` tells whether C is finite."""
    return "give them a positive penalty_factor" if is_penalised else "use a finite C"


def negligible_classes(classes: Array, shares: Array) -> NoCovariance | None:
    """Return an error for users if the weights of some classes are negligible, else None.

    `classes` are the labels, and `shares` the shares of the classes in the weights of all rows.
    """
    negligible = np.flatnonzero(shares < NEGLIGIBLE_SHARE)
    if not len(negligible):
        return None
    return NoCovariance(
        f"the coefficients have no covariance: the classes {classes[negligible].tolist()} have a "
        f"share of {shares[negligible].min():.2g} of the weights of all rows, expected at least "
        f"{NEGLIGIBLE_SHARE:g}. Give rows of these classes larger weights, or leave them out."
    )


def separated_classes() -> NoCovariance:
    """Return an error for users whose classes are separated so far that rounding leaves nothing."""
    return NoCovariance(
        "the classes are separated: some coefficients have no finite estimates, and the fit has no "
        "covariance, because rounding leaves no information about them. Use a finite C or "
        "bias_reduction='jeffreys', or remove the features that separate: "
        "skmaxent.detect_separation names them."
    )


@dataclass(frozen=True)
class CoefficientCovariance:
    """A covariance of the coefficients of the columns of a point, in reference coding.

    Attributes
    ----------
    inverse : ndarray of shape (n_coefficients, n_coefficients)
        The inverse information V.
    covariance : Covariance
        V or W.
    distribution : StudentT
        The distribution of estimates divided by their standard errors.
    n_groups : int or None
        Number of clusters with rows of positive weight, the smaller number for clusters in two
        ways; None without clusters.
    n_units : int or None
        Number of independent units whose scores are in the covariance, such as rows or clusters.
        The rank of the covariance is at most `n_units` - 1. None if that is not known.
    """

    inverse: Array
    covariance: Covariance
    distribution: StudentT = NORMAL
    n_groups: int | None = None
    n_units: int | None = None

    def mapped(self, back: Array) -> CoefficientCovariance:
        """Return the covariance of other coefficients, `back` times these, with its root.

        `back` has the shape (n_coefficients, n_coefficients).
        """
        distribution = self.distribution
        if isinstance(distribution.by_contrast, BellMcCaffrey):
            degrees = distribution.by_contrast
            degrees = replace(degrees, root=back @ degrees.root)
            distribution = replace(distribution, by_contrast=degrees)
        return replace(
            self,
            inverse=back @ self.inverse @ back.T,
            covariance=Covariance.of_root(back @ root_of(self.covariance.matrix)),
            distribution=distribution,
        )


def covariance_at(
    estimate: Estimate, training: TrainingProblem, kind: CovarianceKind
) -> tuple[Point, CoefficientCovariance]:
    """Return the loss at an estimate, and the covariance of the coefficients at this point.

    The point may have other centers of the standardised columns than the training problem; see
    `centred_information`.

    Parameters
    ----------
    estimate : Estimate
    training : TrainingProblem
        The rows of the fit.
    kind : CovarianceKind

    Raises
    ------
    NoCovariance
        If the information is singular.
    """
    point = training.loss_at(estimate.coef.astype(float), estimate.intercept)
    n_classes, fit_intercept = len(training.classes), point.objective.fit_intercept
    width = point.objective.blocks.n_features + fit_intercept
    _covariance.check_size(n_classes - 1, width)
    point, H = _covariance.centred_information(point)
    ridge: Array | None = None
    if kind.cov_type == "laplace":
        strength = training.problem.terms.ridge
        ridge = _reference_coding.ridge_information(strength, n_classes, fit_intercept)
    try:
        found = InverseInformation.at(point, H, ridge)
    except _covariance.SingularInformation as error:
        if not estimate.is_bias_reduced and are_separated(point, training.problem.terms):
            raise separated_classes() from error
        if not len(aliased_columns(point.objective).columns):
            classes = training.classes[training.data.active]
            negligible = negligible_classes(classes, training.class_shares)
            if negligible is not None:
                raise negligible from error
        is_penalised = estimate.settings.is_penalised
        raise dependent_columns(error, estimate.names, is_penalised=is_penalised) from error
    V = found.matrix / training.total_weight
    if kind.cov_type in ("nonrobust", "laplace"):
        covariance = CoefficientCovariance(V, Covariance(V))
    elif kind.units is not None:
        covariance = _of_survey(training, found.point, V, kind, estimate.is_bias_reduced)
    elif kind.codes is not None:
        is_reduced = estimate.is_bias_reduced
        covariance = _of_clusters(training, found.point, V, kind, kind.codes, is_reduced)
    else:
        covariance = _of_rows(training, found.point, V, kind)
    return point, covariance if found.back is None else covariance.mapped(found.back)


def _of_rows(
    training: TrainingProblem, point: Point, V: Array, kind: CovarianceKind
) -> CoefficientCovariance:
    """Return the covariance from the scores of rows: HC0, HC1, HC2 or HC3."""
    n_units = training.blocks.weight_sums.n_positive
    # A row that stands for several observations has a score for each class, so that the rank of the
    # covariance may exceed the number of rows.
    n_units *= 1 if kind.weights == "probability" else len(training.classes)
    n = _observations(training, kind)
    df = n - len(V) if kind.use_t else np.inf
    power = 1 if kind.weights == "frequency" else 2
    # The scores are those of weights divided by `scale`, whose powers could overflow. Those of its
    # root do not, and V has it in the denominator.
    bread = V * training.data.scale ** (0.5 * power)
    if kind.cov_type in POWERS:
        meat = corrected_score_products(training, point, kind.cov_type, kind.weights)
        W = bread @ meat @ bread
    else:
        meat = _covariance.score_products(point, None, power)
        W = bread @ meat @ bread * _small_sample_factor(kind, n, n, len(V))
    return CoefficientCovariance(V, Covariance(W), StudentT(df), n_units=n_units)


def _observations(training: TrainingProblem, kind: CovarianceKind) -> float:
    """Return n: the number of rows of positive weight, or the sum of frequency weights."""
    if kind.weights == "frequency":
        return training.total_weight
    return float(training.blocks.weight_sums.n_positive)


def _small_sample_factor(
    kind: CovarianceKind, n: float, n_units: float, n_coefficients: int
) -> float:
    """Return the factor of a covariance for n observations in `n_units` independent units."""
    if kind.small_sample == "coefficients" and n <= n_coefficients:
        raise _too_few(kind.cov_type, n, n_coefficients, kind.weights)
    factor = 1.0 if kind.small_sample == "none" else n_units / (n_units - 1.0)
    if kind.small_sample == "coefficients":
        factor *= (n - 1.0) / (n - n_coefficients)
    return factor


def _of_clusters(
    training: TrainingProblem,
    point: Point,
    V: Array,
    kind: CovarianceKind,
    codes: Array,
    is_bias_reduced: bool,
) -> CoefficientCovariance:
    """Return the covariance from sums of scores over clusters, in one or two ways.

    `codes`, (n_samples, 1 or 2), has the clusters of the rows, a column for each way.
    """
    n = _observations(training, kind)
    ways = [codes[:, k] for k in range(codes.shape[1])]
    counts = [_count_groups(training, way) for way in ways]
    if min(counts) < 2:
        raise ValueError("groups must name at least two clusters with rows of positive weight.")
    n_groups = min(counts)
    distribution = StudentT(n_groups - 1.0 if kind.use_t else np.inf)
    if kind.cov_type == "CV2":
        W, degrees = adjusted_covariance(training, point, V, ways[0])
        if kind.use_t:
            distribution = StudentT(n_groups - 1.0, degrees)
        return CoefficientCovariance(V, Covariance(W), distribution, n_groups, n_groups + 1)
    if kind.cov_type != "cluster":
        W = jackknife_covariance(
            training,
            point,
            V,
            ways[0],
            is_exact=kind.cov_type == "CV3",
            n_groups=n_groups,
            is_bias_reduced=is_bias_reduced,
        )
        return CoefficientCovariance(V, Covariance(W), distribution, n_groups, n_groups + 1)

    def sandwich(way: Array, count: int) -> Array:
        """Return the sandwich covariance for `count` clusters with the codes `way`."""
        bread = V * training.data.scale  # as in `_of_rows`
        meat = _covariance.score_products(point, way, 2)
        return np.asarray(bread @ meat @ bread * _small_sample_factor(kind, n, count, len(V)))

    W = sum(map(sandwich, ways, counts), np.zeros_like(V))
    if len(ways) == 1:
        return CoefficientCovariance(V, Covariance(W), distribution, n_groups, n_groups)
    # The sum counts pairs of rows that share both clusters twice. The covariance for clusters of
    # rows that share both is subtracted, so that these pairs count once.
    joint = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    W = _semidefinite(W - sandwich(joint, _count_groups(training, joint)))
    return CoefficientCovariance(V, Covariance(W), distribution, n_groups)


def _semidefinite(W: Array) -> Array:
    """Return a covariance with its negative eigenvalues set to zero, with a warning if it has any.

    This is the proposal of Cameron, Gelbach & Miller (2011), J. Bus. Econ. Stat. 29, for clusters
    in two ways. The eigenvalues are those of the matrix of correlations, so that they do not depend
    on the units of the columns.
    """
    size = np.sqrt(np.maximum(W.diagonal(), 0.0))
    outer = np.multiply.outer(*2 * (np.where(size > 0.0, size, 1.0),))
    values, vectors = np.linalg.eigh(W / outer)
    # A negative eigenvalue of rounding size needs no change and no warning.
    if values[0] >= -1e-12 * values[-1]:
        return W
    warn_user(
        "the covariance of clusters in two ways has negative eigenvalues, which are set to zero: "
        "there are few clusters for so many coefficients."
    )
    return np.asarray((vectors * values.clip(0.0)) @ vectors.T * outer)


def _of_survey(
    training: TrainingProblem, point: Point, V: Array, kind: CovarianceKind, is_bias_reduced: bool
) -> CoefficientCovariance:
    """Return the covariance for a survey design, by linearisation or from replicate weights."""
    units = kind.units
    assert units is not None
    if units.replicates is not None:
        fits = refits(
            training,
            point,
            units.replicates.factors,
            is_bias_reduced=is_bias_reduced,
            what="replicate",
        )
        W = units.replicates.covariance(fits, flattened(point))
    else:
        n_units = len(units.stratum_of)
        # Linearisation: the influence of a unit on the coefficients is V times its score.
        scores = _covariance.group_scores(point, units.codes, n_units) * training.data.scale
        W = units.covariance(scores @ V)
    df = units.df if kind.use_t else np.inf
    return CoefficientCovariance(V, Covariance(W), StudentT(df), n_units=_rank_bound(units.df))


def _rank_bound(df: float) -> int | None:
    """Return one more than the largest rank of a covariance with these degrees of freedom.

    The result is None for infinite degrees of freedom.
    """
    return None if np.isinf(df) else int(df) + 1


def _count_groups(training: TrainingProblem, codes: Array) -> int:
    """Return the number of clusters with rows of positive weight.

    `codes`, (n_samples,), has the cluster of each row.
    """
    (group_weights,) = training.blocks.map_reduce(_group_weights, codes, int(codes.max()) + 1)
    return int(np.count_nonzero(group_weights))


def _group_weights(block: Block, codes: Array, n_groups: int) -> tuple[Array]:
    """Return the sums of the weights of the rows of a block by group, (n_groups,)."""
    weights = np.asarray(on_host(block.weights_or_ones()), dtype=float)
    return (np.bincount(codes[block.start : block.stop], weights, n_groups),)


def _too_few(cov_type: str, n: float, n_coefficients: int, weights: str) -> ValueError:
    """Return the error if n observations are too few for a small-sample factor."""
    found = f"{n:.4g} rows of positive weight"
    advice = "use cov_type='HC0'"
    if weights == "frequency":
        found = f"rows and weights that sum to {n:.4g} observations"
        advice = (
            "with weights='frequency' a sample_weight of 2 is the row twice; for sampling weights, "
            "which have no scale, write weights='probability'"
        )
    return ValueError(
        f"cov_type={cov_type!r} multiplies by n/(n - p), or (n - 1)/(n - p), and needs more "
        f"observations than the {n_coefficients} coefficients, found {found}: {advice}."
    )
