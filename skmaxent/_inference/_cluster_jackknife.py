"""The jackknife over clusters: covariances from coefficients without each cluster in turn."""

from __future__ import annotations

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._held_minimum import flattened
from skmaxent._inference._refits import refits
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._typing import Array

# Most bytes of the informations of clusters that are held at a time.
GROUP_BYTES = 1 << 26
# Eigenvalue, of an information scaled to unit diagonal, at which it counts as singular.
SINGULAR = 1e-9


def jackknife_covariance(
    training: TrainingProblem,
    point: Point,
    V: Array,
    codes: Array,
    *,
    is_exact: bool,
    n_groups: int,
    is_bias_reduced: bool,
) -> Array:
    """Return CV3, (G - 1)/G times the sum of squared changes of coefficients, over G clusters.

    MacKinnon, Nielsen & Webb (2023), J. Appl. Econom. 38; for logits their paper of 2024. Changes
    are from fits without the cluster, or from one Newton step towards these ("CV3L").

    Parameters
    ----------
    training : TrainingProblem
    point : Point
        The loss at the fit.
    V : ndarray of shape (n_coefficients, n_coefficients)
        The inverse of the information of all observations.
    codes : ndarray of int of shape (n_samples,)
        The cluster of each row.
    is_exact : bool
        Whether fits are made without each cluster.
    n_groups : int
        Clusters with rows of positive weight.
    is_bias_reduced : bool
        Whether the likelihood is penalised by Jeffreys' prior.
    """
    if is_exact:
        count = int(codes.max()) + 1
        factors = (codes[:, None] != np.arange(count)).astype(float)
        fits = refits(
            training,
            point,
            factors,
            is_bias_reduced=is_bias_reduced,
            what="the fit without group",
        )
        changes = fits - flattened(point)
    else:
        changes = one_step_changes(training, point, V, codes)
    return np.asarray(changes.T @ changes * ((n_groups - 1.0) / n_groups))


def one_step_changes(training: TrainingProblem, point: Point, V: Array, codes: Array) -> Array:
    """Return changes of the coefficients by a Newton step without each cluster, (n_groups, p).

    With the information H of all rows and H_g of a cluster they are (H - H_g)⁻¹ times the sum of
    the cluster's gradients.

    Raises
    ------
    ValueError
        Where the rows without a cluster do not determine the coefficients.
    """
    scale, n_groups = training.data.scale, int(codes.max()) + 1
    scores = _covariance.group_scores(point, codes, n_groups) * scale
    H = np.linalg.inv(V)
    H = 0.5 * (H + H.T)
    changes = np.empty_like(scores)
    size = np.sqrt(H.diagonal())
    step = max(1, GROUP_BYTES // (8 * H.size))
    for first in range(0, n_groups, step):
        groups = np.arange(first, min(first + step, n_groups))
        own = group_informations(point, codes, groups) * scale
        for group, information in zip(groups, own, strict=True):
            left = (H - information) / np.multiply.outer(size, size)
            if np.linalg.eigvalsh(left)[0] < SINGULAR:
                raise ValueError(
                    f"the rows without cluster {group} do not determine all coefficients: one-step "
                    "jackknives need clusters that can be left out."
                )
            changes[group] = np.linalg.solve(left, scores[group] / size) / size
    return changes


def group_informations(point: Point, codes: Array, groups: Array) -> Array:
    """Return the informations of the rows of some groups, (len(groups), p, p), as sums.

    `groups` are consecutive codes.
    """
    (found,) = point.map_reduce(_group_informations, codes, int(groups[0]), len(groups))
    if point.objective.fit_intercept:
        return np.asarray(found)
    width = point.objective.blocks.n_features + 1
    kept = np.flatnonzero(np.arange(found.shape[1]) % width < width - 1)
    return np.asarray(found[:, kept[:, None], kept])


def _group_informations(
    context: KernelContext, codes: Array, first: int, count: int
) -> tuple[Array]:
    """Return the sums over the rows of each group of a block: see `group_informations`."""
    block, likelihood = context.block, context.likelihood
    P, X, weights = context.probabilities, context.rows, context.weights
    r, width = likelihood.n_free, len(X)
    H = np.zeros((count, r, width, r, width))
    own = codes[block.start : block.stop] - first
    for group in np.unique(own[(own >= 0) & (own < count)]):
        rows = np.flatnonzero(own == group)
        p, x = P[:, rows].astype(np.float64), X[:, rows]
        for k in range(r):
            spread = likelihood.curvature_row(p, k) * weights[rows]
            H[group, k : k + len(spread), :, k, :] += (spread[:, None, :] * x) @ x.T
            for later in range(k + 1, k + len(spread)):
                H[group, k, :, later, :] = H[group, later, :, k, :].T
    return (H.reshape(count, r * width, r * width),)
