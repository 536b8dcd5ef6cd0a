"""CV2: a cluster-robust covariance with Bell & McCaffrey's correction, and its degrees of freedom.

p is the number of coefficients. Coefficients belong to standardised columns, in reference coding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._effects._covariance_root import root_of
from skmaxent._inference import _covariance
from skmaxent._inference._cluster_jackknife import GROUP_BYTES, group_informations
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._objective import Point
from skmaxent._storage._thin_svd import thin_svd
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

    C_g = (I - M_g)^(-1/2) M_g is the covariance of the corrected score of a cluster with the sum of
    the uncorrected scores of all clusters, and V_g = (I - M_g)^(-1) M_g the covariance matrix of
    the corrected score if the coefficients are known. Degrees of freedom need three stacks of
    matrices, C_g, C_g² and V_g - C_g², and of each only sums over the clusters of products of two
    entries. Orthogonal combinations of the clusters have the same sums. With many clusters, their
    matrices are replaced by p(p + 1)/2 combinations, so that results do not grow with the rows.

    Attributes
    ----------
    root : ndarray of shape (p, p)
        L, where L Lᵀ is the inverse information. A combination c·θ of the coefficients θ has the
        vector Lᵀ c in these coordinates.
    expected : ndarray of shape (p, p)
        The sum of V_g - C_g² over clusters: the expected covariance of the coefficients, if the
        model is true.
    covariances, squares, own : ndarray of shape (m, p, p)
        C_g, C_g² and V_g - C_g² of m clusters, or m combinations of them.
    """

    root: Array
    expected: Array
    covariances: Array
    squares: Array
    own: Array

    @classmethod
    def of_clusters(cls, root: Array, covariances: Array, variances: Array) -> BellMcCaffrey:
        """Return the object for C_g and V_g, both (n_groups, p, p)."""
        squares = covariances @ covariances
        own = variances - squares
        stacks = (_combined(stack) for stack in (covariances, squares, own))
        return cls(root, own.sum(axis=0), *stacks)

    def of(self, jacobian: Array) -> Array:
        """Return the degrees of freedom, (m,), of m linear combinations of coefficients.

        `jacobian`, (m, p), has the weights of the coefficients. The estimated variance of a
        combination c is a sum of squares of normal variables with the covariance matrix P,
        (n_groups, n_groups), which has the entries cᵀ(V_g - C_g²)c, and -cᵀC_g C_h c beside the
        diagonal. Satterthwaite's approximation of its distribution has (tr P)²/tr P² degrees of
        freedom (Bell & McCaffrey 2002, Survey Methodology 28).
        """
        df = np.empty(len(jacobian))
        for i, c in enumerate(jacobian @ self.root):
            # The degrees of freedom do not depend on the size of c, whose powers could overflow.
            c = c / (np.abs(c).max() or 1.0)
            q = self.covariances @ c
            own, squares = (np.einsum("i,gij,j->g", c, M, c) for M in (self.own, self.squares))
            square = float(((q.T @ q) ** 2).sum() + own @ own - squares @ squares)
            df[i] = float(c @ self.expected @ c) ** 2 / square if square > 0.0 else np.nan
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
        vectors, values, _ = thin_svd(C @ root_of(self.expected))
        if not values[-1] > _covariance.SINGULAR_ROOT * values[0]:
            return np.nan, np.nan
        # In these coordinates the expected covariance of the restrictions is the identity.
        C = (vectors / values) @ vectors.T @ C
        Q = self.covariances @ C.T
        # The sums of the squared covariances between the scores of clusters g and h, for g = h from
        # V_g - C_g² instead of -C_g C_h.
        products = np.einsum("gis,hit->ghst", Q, Q)
        traces = np.einsum("ghss->gh", products)
        total = float((traces**2).sum() + np.einsum("ghst,ghts->", products, products))
        for stack, sign in ((self.own, 1.0), (self.squares, -1.0)):
            within = C @ stack @ C.T
            traces = np.einsum("gss->g", within)
            total += sign * float(traces @ traces + np.einsum("gst,gts->", within, within))
        eta = q * (q + 1.0) / total
        return (eta - q + 1.0) / (eta * q), eta - q + 1.0


def _combined(stack: Array) -> Array:
    """Return combinations of symmetric matrices, (n, p, p), with the same sums of products.

    They are those of the triangular factor of the entries, with as many rows as a matrix has free
    entries, or the matrices themselves if these are fewer.
    """
    i, j = np.triu_indices(stack.shape[1])
    if len(stack) <= len(i):
        return stack
    triangle = np.linalg.qr(stack[:, i, j], mode="r")
    out = np.empty((len(i), *stack.shape[1:]))
    out[:, i, j] = out[:, j, i] = triangle
    return out


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
    return influences.T @ influences, BellMcCaffrey.of_clusters(L, covariances, variances)
