"""CV2: a covariance from clusters that is unbiased under the model, and its degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._inference._cluster_jackknife import GROUP_BYTES, group_informations
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import Point
from skmaxent._typing import Array

# Eigenvalues of a cluster's share of the information this near to one count as one: the cluster
# alone determines a direction, which then has no adjusted score.
ALONE = 1e-9
# Most bytes of the matrices of all clusters that degrees of freedom are computed from.
MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class BellMcCaffrey:
    """Degrees of freedom of estimates and of joint tests with the covariance CV2.

    In coordinates in which the information of all rows is the identity, M_g is that of a cluster.

    Attributes
    ----------
    root : ndarray of shape (p, p)
        L with L Lᵀ the inverse information: contrasts c of coefficients become Lᵀ c.
    pulls : ndarray of shape (n_groups, p, p)
        (I - M_g)^(-1/2) M_g.
    sizes : ndarray of shape (n_groups, p, p)
        (I - M_g)^(-1) M_g.
    """

    root: Array
    pulls: Array
    sizes: Array

    def of(self, jacobian: Array) -> Array:
        """Return degrees of freedom of contrasts, (m, p): (m,).

        The variance of a contrast is a quadratic form in the residuals, with a matrix whose
        eigenvalues are those of P below: its degrees of freedom are (tr P)²/tr P² (Bell &
        McCaffrey 2002, Survey Methodology 28).
        """
        found = np.empty(len(jacobian))
        for i, c in enumerate(jacobian @ self.root):
            Q = self.pulls @ c
            P = np.diag(np.einsum("i,gij,j->g", c, self.sizes, c)) - Q @ Q.T
            square = float((P**2).sum())
            found[i] = np.trace(P) ** 2 / square if square > 0.0 else np.nan
        return found

    def joint(self, A: Array) -> tuple[float, float]:
        """Return the factor that makes Wald's statistic of A an F statistic, and its degrees.

        The test HTZ of Pustejovsky & Tipton (2018, J. Bus. Econ. Stat. 36): Hotelling's T² with
        degrees of freedom η, such that the variances of a Wishart matrix sum to those of the
        covariance. A has the shape (q, p).
        """
        q = len(A)
        C = A @ self.root
        own = np.einsum("si,gij,tj->gst", C, self.sizes, C)
        Q = self.pulls @ C.T
        values, vectors = np.linalg.eigh(own.sum(axis=0) - np.einsum("gis,git->st", Q, Q))
        if not values[0] > 0.0:
            return np.nan, np.nan
        W = (vectors / np.sqrt(values)) @ vectors.T
        own, Q = W @ own @ W, Q @ W
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
    """Return CV2 and its degrees of freedom.

    The score s_g of a cluster becomes (I - H_g V)^(-1/2) s_g, with the cluster's information H_g:
    if the model is true the covariance is unbiased to first order (Bell & McCaffrey 2002; for
    generalised linear models as clubSandwich of R).

    Parameters
    ----------
    training : TrainingProblem
    point : Point
        The loss at the fit.
    V : ndarray of shape (p, p)
        The inverse of the information of all observations.
    codes : ndarray of int of shape (n_samples,)
        The cluster of each row.
    """
    scale, n_groups, p = training.data.scale, int(codes.max()) + 1, len(V)
    if 2 * 8 * n_groups * p**2 > MOST_BYTES:
        raise MemoryError(
            f"cov_type='CV2' needs {16 * n_groups * p**2:,} bytes for {n_groups} clusters and {p} "
            f"coefficients, more than {MOST_BYTES:,}: use cov_type='CV3L'."
        )
    scores = _covariance.group_scores(point, codes, n_groups) * scale
    L = np.linalg.cholesky(V)
    pulls, sizes = np.empty((2, n_groups, p, p))
    adjusted = np.empty_like(scores)
    step = max(1, GROUP_BYTES // (8 * p**2))
    for first in range(0, n_groups, step):
        groups = np.arange(first, min(first + step, n_groups))
        values, U = np.linalg.eigh(L.T @ (group_informations(point, codes, groups) * scale) @ L)
        values = values.clip(0.0, 1.0)
        left = np.where(values < 1.0 - ALONE, 1.0 - values, np.inf)
        Ut = U.transpose(0, 2, 1)
        pulls[groups] = (U * (values / np.sqrt(left))[:, None, :]) @ Ut
        sizes[groups] = (U * (values / left)[:, None, :]) @ Ut
        roots = (U / np.sqrt(left)[:, None, :]) @ Ut
        adjusted[groups] = (roots @ (scores[groups] @ L)[:, :, None])[:, :, 0]
    influences = adjusted @ L.T
    return influences.T @ influences, BellMcCaffrey(L, pulls, sizes)
