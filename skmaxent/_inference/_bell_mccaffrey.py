"""CV2: a cluster-robust covariance with Bell & McCaffrey's correction, and its degrees of freedom.

p is the number of coefficients. Coefficients belong to standardised columns, in reference coding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._cluster_jackknife import GROUP_BYTES, group_informations
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import Point
from skmaxent._typing import Array

# An eigenvalue of a cluster's share of the information that is this near to one counts as one. The
# cluster alone determines the coefficients in the direction of the eigenvector, and the adjusted
# score in this direction is zero.
ALONE = 1e-9
# Most bytes that the arrays of a `BellMcCaffrey`, with a matrix for each cluster, may have.
MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class BellMcCaffrey:
    """Degrees of freedom of estimates and of joint tests with the covariance CV2.

    The coordinates are those in which the information of all rows is the identity I. There the
    information of the rows of a cluster g is M_g, and the correction multiplies the score of the
    cluster by (I - M_g)^(-1/2).

    Attributes
    ----------
    root : ndarray of shape (p, p)
        L, where L Lᵀ is the inverse information. A combination c·θ of the coefficients θ has the
        vector Lᵀ c in these coordinates.
    covariances : ndarray of shape (n_groups, p, p)
        (I - M_g)^(-1/2) M_g, the covariance of the corrected score of a cluster with the sum of the
        uncorrected scores of all clusters, if the model is true.
    variances : ndarray of shape (n_groups, p, p)
        (I - M_g)^(-1) M_g, the covariance matrix of the corrected score of a cluster, if the model
        is true and the coefficients are known.
    """

    root: Array
    covariances: Array
    variances: Array

    def of(self, jacobian: Array) -> Array:
        """Return the degrees of freedom, (m,), of m linear combinations of coefficients.

        `jacobian`, (m, p), has the weights of the coefficients. The estimated variance of a
        combination is a sum of squares of normal variables with the covariance matrix P, (n_groups,
        n_groups). Satterthwaite's approximation of its distribution has (tr P)²/tr P² degrees of
        freedom (Bell & McCaffrey 2002, Survey Methodology 28).
        """
        df = np.empty(len(jacobian))
        for i, c in enumerate(jacobian @ self.root):
            Q = self.covariances @ c
            P = np.diag(np.einsum("i,gij,j->g", c, self.variances, c)) - Q @ Q.T
            square = float((P**2).sum())
            df[i] = np.trace(P) ** 2 / square if square > 0.0 else np.nan
        return df

    def joint(self, A: Array) -> tuple[float, float]:
        """Return a factor and degrees of freedom for the joint test of the restrictions A, (q, p).

        Wald's statistic times the factor is an F statistic with q degrees of freedom; the second
        result is the degrees of freedom of its denominator. Both are NaN if the covariance of the
        restrictions is singular.

        This is the test HTZ of Pustejovsky & Tipton (2018, J. Bus. Econ. Stat. 36). It takes Wald's
        statistic for Hotelling's T², from a Wishart matrix with η degrees of freedom. η makes the
        sum of the variances of the elements of this matrix equal to that of the estimated
        covariance.
        """
        q = len(A)
        C = A @ self.root
        own = np.einsum("si,gij,tj->gst", C, self.variances, C)
        Q = self.covariances @ C.T
        values, vectors = np.linalg.eigh(own.sum(axis=0) - np.einsum("gis,git->st", Q, Q))
        if not values[0] > 0.0:
            return np.nan, np.nan
        # In these coordinates the expected covariance of the restrictions is the identity.
        W = (vectors / np.sqrt(values)) @ vectors.T
        own, Q = W @ own @ W, Q @ W
        # The covariances between the scores of clusters g and h, for restrictions s and t.
        products = -np.einsum("gis,hit->ghst", Q, Q)
        at = np.arange(len(own))
        products[at, at] += own
        traces = np.einsum("ghss->gh", products)
        total = float((traces**2).sum() + np.einsum("ghst,ghts->", products, products))
        eta = q * (q + 1.0) / total
        return (eta - q + 1.0) / (eta * q), eta - q + 1.0


def adjusted_covariance(
    training: TrainingProblem, point: Point, V: Array, codes: Array
) -> tuple[Array, BellMcCaffrey]:
    """Return the covariance CV2, (p, p), and the object that computes its degrees of freedom.

    The score s_g of a cluster becomes (I - H_g V)^(-1/2) s_g, where H_g is the information of the
    rows of the cluster. If the model is true, the covariance is then unbiased to first order (Bell
    & McCaffrey 2002; for generalised linear models as CR2 of R's clubSandwich).

    `point` is the loss at the fitted coefficients, V, (p, p), the inverse of the information of all
    observations. `codes`, (n_samples,), has the cluster of each row. MemoryError is raised if the
    matrices of all clusters exceed `MOST_BYTES`.
    """
    scale, n_groups, p = training.data.scale, int(codes.max()) + 1, len(V)
    if 2 * 8 * n_groups * p**2 > MOST_BYTES:
        raise MemoryError(
            f"cov_type='CV2' needs {16 * n_groups * p**2:,} bytes for {n_groups} clusters and {p} "
            f"coefficients, more than {MOST_BYTES:,}: use cov_type='CV3L'."
        )
    scores = _covariance.group_scores(point, codes, n_groups) * scale
    L = np.linalg.cholesky(V)
    covariances, variances = np.empty((2, n_groups, p, p))
    adjusted = np.empty_like(scores)
    step = max(1, GROUP_BYTES // (8 * p**2))
    for first in range(0, n_groups, step):
        groups = np.arange(first, min(first + step, n_groups))
        values, U = np.linalg.eigh(L.T @ (group_informations(point, codes, groups) * scale) @ L)
        values = values.clip(0.0, 1.0)
        left = np.where(values < 1.0 - ALONE, 1.0 - values, np.inf)
        Ut = U.transpose(0, 2, 1)
        covariances[groups] = (U * (values / np.sqrt(left))[:, None, :]) @ Ut
        variances[groups] = (U * (values / left)[:, None, :]) @ Ut
        roots = (U / np.sqrt(left)[:, None, :]) @ Ut
        adjusted[groups] = (roots @ (scores[groups] @ L)[:, :, None])[:, :, 0]
    influences = adjusted @ L.T
    return influences.T @ influences, BellMcCaffrey(L, covariances, variances)
