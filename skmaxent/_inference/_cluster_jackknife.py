"""The cluster jackknife: covariances from the coefficients of fits without each cluster in turn.

Coefficients belong to standardised columns, in reference coding: the differences from the last
class, logit by logit. r is the number of free logits, and p the number of all coefficients.
"""

from __future__ import annotations

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._constrained_minimum import flattened
from skmaxent._inference._refits import refits
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._typing import Array

# Most bytes of the information matrices of clusters that are in memory at a time.
GROUP_BYTES = 1 << 26
# The information without a cluster counts as singular if it has an eigenvalue below this, in a
# scale of the columns in which the information of all rows has a unit diagonal.
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
    """Return the jackknife covariance CV3 or CV3L, (p, p).

    The covariance is (G - 1)/G Σ_g d_g d_gᵀ over G clusters, where d_g is the change of the
    coefficients if cluster g is left out (MacKinnon, Nielsen & Webb 2023, J. Appl. Econom. 38; for
    logits their paper of 2024). The changes come from fits without each cluster ("CV3", if
    `is_exact`), or from one Newton step towards each of these fits ("CV3L").

    `point` is the loss at the fitted coefficients, V, (p, p), the inverse of the information of all
    observations. `codes`, (n_samples,), has the cluster of each row, and `n_groups` is G, the
    number of clusters with rows of positive weight. `is_bias_reduced` tells whether the likelihood
    is penalised by Jeffreys' prior.
    """
    if is_exact:
        n_codes = int(codes.max()) + 1
        factors = (codes[:, None] != np.arange(n_codes)).astype(float)
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
    """Return the change of the coefficients without each cluster, (n_groups, p), by a Newton step.

    The change for a cluster g is (H - H_g)⁻¹ s_g. H and H_g are the information of all rows and of
    the rows of the cluster, and s_g is the sum of the gradients of the loss over its rows. The
    parameters are those of `jackknife_covariance`. ValueError is raised if the rows without some
    cluster do not determine the coefficients.
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
    """Return the information of the rows of each of some groups, (len(groups), p, p).

    Each is a sum over rows, with the weights of the objective. `codes`, (n_samples,), has the group
    of each row, and `groups` are consecutive codes.
    """
    (H,) = point.map_reduce(_group_informations, codes, int(groups[0]), len(groups))
    return np.asarray(H)


def _group_informations(
    context: KernelContext, codes: Array, first: int, count: int
) -> tuple[Array]:
    """Return the information of each group from the rows of a block, (count, p, p).

    The groups are those with the codes `first` to `first + count - 1`.
    """
    block, likelihood = context.block, context.likelihood
    P, weights = context.probabilities, context.weights
    X = context.rows if context.model.standardisation.fit_intercept else context.rows[:-1]
    r, width = likelihood.n_free, len(X)
    H = np.zeros((count, r, width, r, width))
    own = codes[block.start : block.stop] - first
    for group in np.unique(own[(own >= 0) & (own < count)]):
        rows = np.flatnonzero(own == group)
        p, x = P[:, rows].astype(np.float64), X[:, rows]
        for k in range(r):
            # Second derivatives of the loss of each row by the logit k and the logits from k on.
            curvature = likelihood.curvature_row(p, k) * weights[rows]
            H[group, k : k + len(curvature), :, k, :] += (curvature[:, None, :] * x) @ x.T
            for later in range(k + 1, k + len(curvature)):
                H[group, k, :, later, :] = H[group, later, :, k, :].T
    return (H.reshape(count, r * width, r * width),)
