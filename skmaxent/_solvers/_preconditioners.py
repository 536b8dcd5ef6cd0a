"""Preconditioners: approximations M of the Hessian whose inverses are cheap.

They make conjugate gradients insensitive to the scale and the correlation of the features and to
rare classes. Each has `solve(G)`, the product of M⁻¹ with a gradient G (R, d + 1) with respect to
θ, the coefficients of standardised columns and, in the last column, the intercepts.

- R is the number of logits, and d that of features. p are the probabilities of a row, (R,).
- Logits are coupled for softmax with K classes, which depends on differences of logits only. Then
  R = K, and a change of θ by the same row for all classes does not change the loss. Logits of
  sigmoids, one for each label or a single one for two classes, are not coupled.
- r is the number of free logits: K - 1 if logits are coupled, since the last class is the reference
  class, else R.
- s_i are the weights of the rows, and g a column of G.
- In Kronecker products the matrix of the classes is first, that of the columns second: the
  coefficients of a logit are next to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._curvature_moments import curvature_moments, squares_about
from skmaxent._storage._arrays import EPS
from skmaxent._storage._block import Block
from skmaxent._storage._vectors import product
from skmaxent._typing import Array, KernelResult

# If the relative error of the Hessian of a sample of rows is at most this, it is used for Newton
# steps, because steps by conjugate gradients have an error of this size too.
EXACT_ERROR = 0.2
# The largest curvature of the classes is set to at least this value, below which all of the loss is
# rounding. With less, the ratio of a ridge and a curvature may overflow.
LEAST_CURVATURE = 1e-40
# The variance of a standardised column within a class is set to at least this value.
LEAST_VARIANCE = 0.01
# Classes whose curvatures differ by no more than this factor are treated as equal.
EQUAL_CURVATURES = 10.0
# From this number of columns on, products with a d × d matrix are computed in float32 if the ridge
# allows it. For fewer columns this would save no time.
FLOAT32_COLUMNS = 256


class ApproximateInverse(Protocol):
    """An approximation M of the Hessian with a cheap inverse."""

    def solve(self, G: Array) -> Array:
        """Return M⁻¹ G for a gradient G (R, d + 1)."""


class Preconditioner(ApproximateInverse, Protocol):
    """A preconditioner, and how close it is to the Hessian H.

    Attributes
    ----------
    is_exact : bool
        Whether -M⁻¹g serves as the Newton step, because M is nearly equal to H.
    is_close : bool
        Whether the eigenvalues of M⁻¹H are near 1, so that conjugate gradients need few products.
    """

    is_exact: bool
    is_close: bool


def n_free_parameters(objective: MultinomialObjective) -> int:
    """Return the number of free parameters: those of all classes but the reference."""
    return objective.likelihood.n_free * objective.shape[1]


class AssembledPreconditioner:
    """The Hessian at θ, assembled over all rows (then exact) or a sample, and factored.

    If logits are coupled, the Hessian is singular. The matrix is therefore that for differences to
    the reference class, δ_k = w_k - w_K for k < K, where w_k is row k of θ. For coefficients that
    sum to zero over the classes, a ridge with strengths Λ (diagonal, one for each column) has the
    Hessian (I - 11ᵀ/K) ⊗ Λ in these coordinates. `solve` converts its result to coefficients that
    sum to zero over the classes. If logits are not coupled, the matrix is the Hessian for θ, the
    ridge has the Hessian I ⊗ Λ, and nothing is converted. The result is zero for constant columns.

    Parameters
    ----------
    point : Point
        The point θ.
    sample : MultinomialObjective
        The rows that are summed over: the objective of the point, or a standardised copy of a
        sample of its rows, as from `MultinomialObjective.standardised`.
    """

    is_close = True

    def __init__(self, point: Point, sample: MultinomialObjective) -> None:
        objective = point.objective
        R, width = objective.shape
        r = objective.likelihood.n_free
        self._is_coupled = objective.likelihood.is_coupled
        # With p parameters, the relative error of the Hessian of m rows is about 2 √(p/m), as for
        # random matrices.
        self.is_exact = sample is objective or (
            sample.blocks.n_samples * EXACT_ERROR**2 >= 4 * r * width
        )
        H = point.fisher_information(sample)
        ridge = np.append(objective.penalty.strength, 0.0)
        classes = np.eye(r) - (1.0 / R if self._is_coupled else 0.0)
        blocks = H.reshape(r, width, r, width)
        column = np.arange(width)
        diagonal = blocks[:, column, :, column]  # (width, r, r), a copy
        diagonal += classes * ridge[:, None, None]
        if sample is not objective:
            # Columns with too little variance in the sample get more curvature.
            missing = np.append(_missing_variance(sample), 0.0)
            curvature = diagonal[-1] if objective.fit_intercept else np.eye(r) / R
            diagonal += missing[:, None, None] * np.diag(np.diag(curvature))
        if not objective.fit_intercept:
            diagonal[-1] += np.eye(r)
        blocks[:, column, :, column] = diagonal
        scale = np.sqrt(H.diagonal().clip(0.0))
        is_fixed = scale == 0.0
        is_fixed.reshape(r, width)[:, :-1] |= ~objective.varying
        scale[is_fixed] = 1.0
        self._inverse_scale = np.where(is_fixed, 0.0, 1.0 / scale)
        H *= self._inverse_scale[:, None]
        H *= self._inverse_scale
        # A semidefinite matrix with a unit diagonal has no entry above 1; rounding may exceed it.
        np.clip(H, -1.0, 1.0, out=H)
        # Collinear columns leave directions without curvature: rounding decides their sign.
        H.flat[:: len(H) + 1] = 1.0 + 4 * len(H) * EPS
        self._factor = _cholesky(H)
        self._shape = (r, width)

    def solve(self, G: Array) -> Array:
        r = self._shape[0]
        rhs = G[:r].ravel() * self._inverse_scale
        delta, _ = lapack.dpotrs(self._factor, rhs, lower=True)
        delta = (delta * self._inverse_scale).reshape(self._shape)
        if not self._is_coupled:
            return np.asarray(delta)
        theta = np.zeros_like(G)
        theta[:r] = delta
        theta -= theta.mean(axis=0)
        return theta


def _missing_variance(sample: MultinomialObjective) -> Array:
    """Return the variance to add to standardised columns of a sample to make it at least ½, (d,).

    Over all rows each column has the variance 1. A sample may lack the nonzero entries of a sparse
    column, and its variance in the sample would then be too small. The columns of a sample are
    standardised already (see `Standardisation.of_copy`), so that they are not divided by a scale.
    """
    (squares,) = sample.blocks.map_reduce(_squares, sample.center)
    return np.asarray(np.maximum(0.5 * sample.varying - squares / sample.total_weight, 0.0))


def _squares(block: Block, center: Array) -> tuple[Array]:
    """Return the weighted sums of squares of the columns about `center`, (d,), of a block."""
    weights = block.weights_or_ones()
    return (squares_about(block, weights, center),)


def _cholesky(H: Array) -> Array:
    """Return the lower Cholesky factor of H, whose diagonal is raised until it is definite."""
    # LAPACK itself: for small matrices SciPy's checks cost more than the factorisation.
    jitter = 0.0
    while True:
        L, info = lapack.dpotrf(H, lower=True, clean=True)
        if info == 0:
            return np.asarray(L)
        step = max(9 * jitter, 1e-13)
        H.flat[:: len(H) + 1] += step
        jitter += step
        if jitter > 1e6:
            raise linalg.LinAlgError("the Hessian is not finite")


class KroneckerPreconditioner:
    """The matrix A ⊗ Σ + I ⊗ Λ with A = diag α - α αᵀ/a, a = Σ_k α_k, and Σ full or diagonal.

    A stands for the curvature diag p - p pᵀ of the classes. If all rows have the same p, then
    α = p and A is equal to it; otherwise α is the mean of p (1 - p) divided by 1 minus the mean of
    p. Logits that are not coupled have A = diag α with the mean α of p (1 - p). Σ is the covariance
    of the standardised columns, in which a row has the weight s_i Σ_k p_k (1 - p_k). For softmax,
    the sum is 1 - ‖p‖². Λ is the diagonal matrix of the strengths of the ridge.

    `solve` needs no K × K matrix. It uses coordinates in which Σ and Λ are diagonal, with entries
    γ_j and λ_j: the columns T of `_joint_diagonal`, or the columns of X if Σ is diagonal. Then each
    direction j has the matrix diag(γ_j α + λ_j) - γ_j α αᵀ/a over the logits. With
    h = α/(γ_j α + λ_j) and y = g/(γ_j α + λ_j), the solution that sums to zero over the classes is
    y - h Σ_k y_k/Σ_k h_k. If logits are not coupled, the solution is y. The intercepts are solved
    for separately, with A alone. The result is zero for constant columns.

    Parameters
    ----------
    point : Point
    sample : MultinomialObjective
        The rows that are summed over: the objective of the point, or a copy of a sample of its
        rows.
    full : bool, default=True
        Whether Σ has its covariances, not only the variances.
    """

    is_close = False

    def __init__(self, point: Point, sample: MultinomialObjective, *, full: bool = True) -> None:
        objective, varying = point.objective, point.objective.varying
        self._fit_intercept = objective.fit_intercept
        probabilities = point.probabilities
        single = len(varying) >= FLOAT32_COLUMNS and objective.tolerates_float32
        # If all rows have the same probabilities, the Hessian has exactly this form.
        self.is_exact = full and probabilities.are_common
        if probabilities.are_common and not full:
            curvature, shares = probabilities.common_moments()
            covariance, total = varying.astype(float), 1.0
        else:
            curvature, shares, covariance, total = curvature_moments(
                point, sample, full=full, single=single
            )
        curvature = np.maximum(curvature, 1e-10 * max(curvature.max(), LEAST_CURVATURE))
        self._is_coupled = objective.likelihood.is_coupled
        alpha, _ = objective.likelihood.simplex_curvature(curvature, shares)
        self._alpha = alpha
        mean = float(alpha.mean())
        ridge = objective.penalty.strength
        covariance = covariance / max(total, 1e-300)
        diagonal = covariance.diagonal() if full else covariance
        diagonal = diagonal + np.maximum(0.5 * varying - diagonal, 0.0)
        scale = diagonal + ridge / mean
        is_fixed = ~varying | (scale <= 0.0)
        scale[is_fixed] = 1.0
        column = np.where(is_fixed, 0.0, 1.0 / np.sqrt(scale))
        ridge = ridge * column**2
        self._T: Array | None = None
        if full:
            covariance.flat[:: len(covariance) + 1] = diagonal
            covariance *= np.multiply.outer(column, column)
            T, gamma = _joint_diagonal(covariance, ridge / mean, alpha)
            inverse = 1.0 / (np.multiply.outer(alpha, gamma) + mean * (1.0 - gamma))
        else:
            spread = np.multiply.outer(alpha, diagonal * column**2)
            inverse = 1.0 / np.maximum(spread + ridge, 1e-12 * mean)
        h = inverse * alpha[:, None]
        # Along shifts of all classes by one number, the curvature is λ_j alone. `root` needs the
        # ratio λ_j Σ_k h_k / Σ_k α_k.
        shift = mean * (1.0 - gamma) if full else ridge
        sums = h.sum(axis=0)
        self._shift_ratio = shift * sums / alpha.sum()
        h /= sums
        if full:
            T = column[:, None] * T
            self._T = T.astype(np.float32) if single else T
        else:
            inverse *= column**2
        self._inverse, self._h = np.asfortranarray(inverse), np.asfortranarray(h)

    def solve(self, G: Array) -> Array:
        out = np.empty_like(G)
        g = G[:, :-1] if self._T is None else product(self._T.T, G[:, :-1].T).T
        y = out[:, :-1] if self._T is None else np.empty_like(g)
        np.multiply(g, self._inverse, out=y)
        if self._is_coupled:
            y -= self._h * y.sum(axis=0)
        if self._T is not None:
            out[:, :-1] = product(self._T, y.T).T
        out[:, -1] = 0.0
        if self._fit_intercept:
            c = G[:, -1] / self._alpha
            out[:, -1] = c - c.mean() if self._is_coupled else c
        return out

    def root(self) -> Root:
        """Return L for which L Lᵀ and M⁻¹ are equal but for shifts of all classes by one number.

        Along such shifts of a column without ridge, and of the intercepts, M is zero and has no
        inverse. L is then finite and arbitrary along them.
        """
        columns = np.sqrt(self._inverse)
        direction = stretch = None
        if self._is_coupled:
            # With D = diag(γ α + λ), the inverse of D - γ α αᵀ/a is D⁻¹ + c h hᵀ with h = D⁻¹ α
            # and c = γ/(a - γ α·h) (Sherman & Morrison). Its root is D^(-1/2) (I + t v vᵀ), where v
            # has unit length along D^(-1/2) α, and (1 + t)² = 1 + c ‖D^(-1/2) α‖² = a/(λ Σ_k h_k).
            direction = columns * self._alpha[:, None]
            size = np.sqrt(np.einsum("kj,kj->j", direction, direction))
            direction /= np.where(size > 0.0, size, 1.0)
            stretch = np.zeros(len(size))
            some = self._shift_ratio > 0.0
            stretch[some] = 1.0 / np.sqrt(np.minimum(self._shift_ratio[some], 1.0)) - 1.0
        intercept = (
            1.0 / np.sqrt(self._alpha) if self._fit_intercept else np.zeros_like(self._alpha)
        )
        mixing = None if self._T is None else self._T.astype(np.float64, copy=False)
        return Root(columns, direction, stretch, mixing, intercept)


@dataclass(frozen=True)
class Root:
    """The matrix L with L Lᵀ = M⁻¹ for a `KroneckerPreconditioner` M, except for shifts.

    A shift changes the coefficients of a column by the same number for all classes. If logits are
    coupled, L Lᵀ and M⁻¹ agree only up to shifts. L is a linear map of arrays of shape (R, d + 1).
    Directions j are the coordinates in which Σ and Λ are diagonal.

    Attributes
    ----------
    columns : ndarray of shape (R, d)
        D^(-1/2) for each direction, where D = diag(γ_j α + λ_j).
    direction, stretch : ndarray of shape (R, d) and (d,), or None
        The unit vectors v_j over the classes, and the numbers t_j, of the factors I + t_j v_j v_jᵀ.
        None if logits are not coupled.
    mixing : ndarray of shape (d, d) or None
        The matrix T that converts from directions to columns: coefficients V (R, d) of the
        directions are the coefficients V Tᵀ of the standardised columns. None if Σ is diagonal,
        because the directions are then the columns.
    intercept : ndarray of shape (R,)
        The factors α_k^(-1/2) of the intercepts; zeros for models without intercepts.
    """

    columns: Array
    direction: Array | None
    stretch: Array | None
    mixing: Array | None
    intercept: Array

    def apply(self, U: Array) -> Array:
        """Return L U for U (R, d + 1)."""
        out = np.empty_like(U, order="F")
        V = self.columns * self._stretched(U[:, :-1])
        out[:, :-1] = V if self.mixing is None else V @ self.mixing.T
        out[:, -1] = self.intercept * U[:, -1]
        return out

    def apply_transposed(self, G: Array) -> Array:
        """Return Lᵀ G for G (R, d + 1)."""
        out = np.empty_like(G, order="F")
        V = G[:, :-1] if self.mixing is None else G[:, :-1] @ self.mixing
        out[:, :-1] = self._stretched(self.columns * V)
        out[:, -1] = self.intercept * G[:, -1]
        return out

    def _stretched(self, V: Array) -> Array:
        """Return (I + t_j v_j v_jᵀ) times column j of V (R, d), for every j."""
        if self.direction is None or self.stretch is None:
            return V
        along = np.einsum("kj,kj->j", self.direction, V) * self.stretch
        return np.asarray(V + self.direction * along)


class DiagonalPreconditioner:
    """The diagonal of the Hessian for the features, with the columns centred anew for each class.

    Logits must be coupled. For class k, rows have the weights q_k = s_i p_k (1 - p_k), and each
    column is centred at its mean under these weights. δ_kj is this mean of the standardised column
    j. h_kj is the mean of p_k (1 - p_k) over the rows, times the variance of column j under the
    weights q_k, plus λ_j, the strength of the ridge.

    In these columns a logit is c_k + Σ_j w_kj (x̃_j - δ_kj): its intercept c_k is the logit of class
    k at the means δ_k, and the intercept of θ is c_k - Σ_j δ_kj w_kj. M is block diagonal in
    (w, c):

    - The block of feature j is diag(h_kj), with the condition that Σ_k w_kj = 0. The result is
      w_kj = (g_kj - δ_kj g_k - ν_j)/h_kj, where g_kj and g_k are the gradients with respect to θ,
      those of the intercepts being g_k, and ν_j makes the sum over the classes zero.
    - The block of the intercepts c is the mean over the rows of diag p - p pᵀ, (K, K). Its
      pseudo-inverse is used.

    Parameters
    ----------
    point : Point
    sample : MultinomialObjective
        The rows that are summed over: the objective of the point, or a copy of a sample of its
        rows.
    """

    is_exact = False
    is_close = False

    def __init__(self, point: Point, sample: MultinomialObjective) -> None:
        varying = sample.varying
        A, q, sums, squares = point.map_reduce(_class_moments, over=sample)
        total = sample.total_weight
        q = np.maximum(q, 1e-10 * max(q.max(), LEAST_CURVATURE))[:, None]
        mean = sums / q
        variance = np.maximum(squares / q - mean**2, 0.0) / sample.scale**2
        # The variance of a column may be nearly zero within a class.
        h = (q / total) * np.maximum(variance, LEAST_VARIANCE * varying)
        h += point.objective.penalty.strength
        inverse = np.where(varying, 1.0 / np.maximum(h, 1e-300), 0.0)
        self._inverse = np.asfortranarray(inverse)
        self._h = self._inverse / np.maximum(inverse.sum(axis=0), 1e-300)
        self._delta: Array | None = None
        if sample.fit_intercept:
            delta = (mean - sample.center) / sample.scale * varying
            self._delta = np.asfortranarray(delta)
            self._inverse_A = np.linalg.pinv(A / total, hermitian=True)

    def solve(self, G: Array) -> Array:
        out = np.empty_like(G)
        g, c, w = G[:, :-1], G[:, -1], out[:, :-1]
        out[:, -1] = 0.0
        if self._delta is not None:
            g = g - self._delta * c[:, None]
        np.multiply(g, self._inverse, out=w)
        w -= self._h * w.sum(axis=0)
        if self._delta is not None:
            b = self._inverse_A @ c - np.einsum("kj,kj->k", self._delta, w)
            out[:, -1] = b - b.mean()
        return out


def _class_moments(context: KernelContext) -> KernelResult:
    """Return the sums of s (diag p - p pᵀ), of q = s p (1 - p), q xᵀ and q (x²)ᵀ over the rows.

    s are the weights. The shapes are (R, R), (R,), (R, d) and (R, d).
    """
    block, P = context.block, context.probabilities
    weighted = P * context.weights
    A = np.diag(weighted.sum(axis=1)) - weighted @ P.T
    Q = weighted
    Q *= 1.0 - P
    return A, Q.sum(axis=1), block.weighted_sums(Q), block.weighted_sums_of_squares(Q)


def _joint_diagonal(covariance: Array, ridge: Array, alpha: Array) -> tuple[Array, Array]:
    """Return T (d, d) and γ (d,) with Tᵀ(Σ + Λ)T = I and TᵀΣT = diag γ.

    `covariance` is Σ (d, d), `ridge` the diagonal of Λ (d,), and `alpha` the curvatures of the
    classes, (R,). If the classes have nearly equal curvatures α, the penalty matters equally to all
    of them, and γ = 1 is an approximation that needs no eigenvalues.
    """
    root = inverse_root(covariance, ridge + 1e-10)
    if alpha.max() <= EQUAL_CURVATURES * alpha.min():
        return root.T, np.ones(len(root))
    gamma, Q = np.linalg.eigh(root @ covariance @ root.T)
    return root.T @ Q, gamma.clip(1e-10, 1.0)


def inverse_root(matrix: Array, diagonal: Array | float) -> Array:
    """Return L⁻¹ for the lower Cholesky factor L of matrix + diag(diagonal); all are (d, d).

    `diagonal` has the shape (d,) or is a number. L⁻ᵀ L⁻¹ is the inverse of the sum. If the sum is
    not positive definite, its diagonal is raised first.
    """
    if not len(matrix):  # LAPACK has no matrices of this size
        return matrix
    total = matrix.copy()
    total.flat[:: len(total) + 1] += diagonal
    inverse, _ = lapack.dtrtri(_cholesky(total), lower=True, overwrite_c=True)
    return np.asarray(inverse)
