"""Metrics: cheap stand-ins for the Hessian that cure scale, correlation and class imbalance.

Both have `solve(G)`, the product of the inverse metric with a gradient of shape (R, d + 1).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import lapack

from skmaxent._blocks import Block, RowBlocks
from skmaxent._objective import MultinomialObjective, Point, column_moments

Array = NDArray[Any]

# A d × d eigenproblem beyond this costs more than it saves.
FULL_COVARIANCE_FEATURES = 2000
# An assembled Hessian beyond this costs more than conjugate gradients.
ASSEMBLED_SIZE = 1200
# Up to this size the Hessian costs less than anything else.
ALWAYS_ASSEMBLED = 120
# The Hessian of all rows is worth this many Hessian products: about what a sampled one asks for.
EXACT_PRODUCTS = 6
# Products that a full covariance is trusted to save.
WORTH_PRODUCTS = 200


class Metric(Protocol):
    is_exact: bool
    is_close: bool  # whether eigenvalues of M⁻¹H are near 1

    def solve(self, G: Array) -> Array:
        """M⁻¹ G."""


def reference_size(objective: MultinomialObjective) -> int:
    """Number of free parameters: those of all classes but the reference."""
    R, width = objective.shape
    return max(1, R - 1) * width


class AssembledMetric:
    """The Hessian at θ, assembled over all rows (then exact) or a sample, and factored.

    Works in reference coding, δ_k = w_k - w_K, where the ridge is Λ ⊗ (I - 11ᵀ/K); the result is
    brought back to coefficients that sum to zero over classes. A single logit needs neither.
    """

    is_close = True

    def __init__(
        self,
        point: Point,
        sample: RowBlocks,
        variances: Array,
        *,
        loss_scale: float = 1.0,
        fill: bool = True,
    ) -> None:
        objective = point.objective
        R, width = objective.shape
        r = max(1, R - 1)
        self._coded = R > 1
        self.is_exact = sample is objective.blocks
        H = point.fisher_information(sample) * loss_scale
        ridge = np.append(objective.penalty.strength, 0.0)
        classes = np.eye(r) - (1.0 / R if self._coded else 0.0)
        blocks = H.reshape(r, width, r, width)
        column = np.arange(width)
        diagonal = blocks[:, column, :, column]  # (width, r, r), a copy
        diagonal += classes * ridge[:, None, None]
        if fill and not self.is_exact:
            missing = np.append(_missing_variance(sample, objective, variances), 0.0)
            curvature = diagonal[-1] if objective.fit_intercept else np.eye(r) / R
            diagonal += missing[:, None, None] * np.diag(np.diag(curvature))
        if not objective.fit_intercept:
            diagonal[-1] += np.eye(r)
        blocks[:, column, :, column] = diagonal
        scale = np.sqrt(H.diagonal().clip(0.0))
        # Columns of zero variance are constant: their coefficients stay where they are.
        still = scale == 0.0
        still.reshape(r, width)[:, :-1] |= variances == 0.0
        scale[still] = 1.0
        self._inverse_scale = np.where(still, 0.0, 1.0 / scale)
        H *= self._inverse_scale[:, None]
        H *= self._inverse_scale
        # A semidefinite matrix of unit diagonal has no larger entry; rounding may.
        np.clip(H, -1.0, 1.0, out=H)
        # Collinear columns leave directions without curvature: rounding decides their sign.
        H.flat[:: len(H) + 1] = 1.0 + 4 * len(H) * np.finfo(float).eps
        self._factor = _cholesky(H)
        self._shape = (r, width)

    def solve(self, G: Array) -> Array:
        r = self._shape[0]
        rhs = G[:r].ravel() * self._inverse_scale
        delta, _ = lapack.dpotrs(self._factor, rhs, lower=True)
        delta = (delta * self._inverse_scale).reshape(self._shape)
        if not self._coded:
            return np.asarray(delta)
        theta = np.vstack([delta, np.zeros(self._shape[1])])
        return np.asarray(theta - theta.mean(axis=0))

    def inverse_blocks(self) -> Array:
        """The diagonal blocks of M⁻¹ in reference coding, (r, d + 1, d + 1)."""
        r, width = self._shape
        out = np.empty((r, width, width))
        for k in range(r):
            s = slice(k * width, (k + 1) * width)
            unit = np.zeros((r * width, width))
            unit[s] = np.diag(self._inverse_scale[s])
            solved, _ = lapack.dpotrs(self._factor, unit, lower=True)
            out[k] = solved[s] * self._inverse_scale[s, None]
        return out


def _missing_variance(
    sample: RowBlocks, objective: MultinomialObjective, variances: Array
) -> Array:
    """What a sample lacks of half the variance of a column: it may miss a rare one altogether."""
    spread = column_moments(sample, objective.n_classes)
    about_center = spread.variance + (spread.mean - objective.center) ** 2
    return np.asarray(np.maximum(0.5 * variances - about_center, 0.0))


def _cholesky(H: Array) -> Array:
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


class KroneckerMetric:
    """A ⊗ Σ + I ⊗ Λ, with Σ full or diagonal.

    A = U a Uᵀ is the mean of diag p - p pᵀ, its null direction dropped; Σ the covariance of X
    under row weights 1 - ‖p‖². T with Tᵀ(Σ + Λ/ā)T = I and TᵀΣT = diag γ diagonalises Σ and Λ
    together, so that each class direction has a_r γ + ā (1 - γ) on its diagonal.
    """

    is_exact = False
    is_close = False

    def __init__(
        self, point: Point, sample: RowBlocks, variances: Array, *, full: bool = True
    ) -> None:
        objective = point.objective
        self._fit_intercept = objective.fit_intercept
        A, covariance, total = sample.map_reduce(
            _curvature_moments, objective, *objective.to_raw(point.theta), full
        )
        A = A / (sample.n_samples if sample.weights is None else sample.weights.sum())
        a, U = np.linalg.eigh(A)
        # diag p - p pᵀ is singular along 1, a single logit is not.
        drop = 1 if len(a) > 1 else 0
        self._U = U[:, drop:]
        self._a = np.maximum(a[drop:], 1e-10 * max(a[-1], 1e-300))
        mean = float(self._a.mean())
        ridge = objective.penalty.strength
        covariance = covariance / max(total, 1e-300)
        diagonal = covariance.diagonal() if full else covariance
        missing = np.maximum(0.5 * variances - diagonal, 0.0)
        diagonal = diagonal + missing
        scale = diagonal + ridge / mean
        # Columns of zero variance are constant: their coefficients stay where they are.
        still = (variances == 0.0) | (scale <= 0.0)
        scale[still] = 1.0
        self._column = np.where(still, 0.0, 1.0 / np.sqrt(scale))
        self._ridge = ridge * self._column**2
        self._T: Array | None = None
        if full:
            covariance.flat[:: len(covariance) + 1] = diagonal
            self._T, gamma = _joint_diagonal(covariance, self._column, self._ridge / mean)
            self._D = 1.0 / (np.multiply.outer(self._a, gamma) + mean * (1.0 - gamma))
        else:
            spread = diagonal * self._column**2
            self._D = 1.0 / np.maximum(np.multiply.outer(self._a, spread) + self._ridge, 1e-12)

    def solve(self, G: Array) -> Array:
        out = np.empty_like(G)
        projected = self._U.T @ G
        V = projected[:, :-1] * self._column
        if self._T is None:
            V *= self._D
        else:
            V = ((V @ self._T) * self._D) @ self._T.T
        V *= self._column
        out[:, :-1] = self._U @ V
        if self._fit_intercept:
            out[:, -1] = self._U @ (projected[:, -1] / self._a)
        else:
            out[:, -1] = 0.0
        return out


def _joint_diagonal(covariance: Array, column: Array, ridge: Array) -> tuple[Array, Array]:
    """T and γ with Tᵀ(Σ + Λ)T = I, TᵀΣT = diag γ, in columns scaled by `column`."""
    scaled = covariance * np.multiply.outer(column, column)
    total = scaled.copy()
    total.flat[:: len(total) + 1] += ridge + 1e-10
    L = _cholesky(total)
    half = linalg.solve_triangular(L, scaled, lower=True, check_finite=False)
    inner = linalg.solve_triangular(L, half.T, lower=True, check_finite=False)
    gamma, Q = np.linalg.eigh((inner + inner.T) / 2)
    T = linalg.solve_triangular(L, Q, lower=True, trans="T", check_finite=False)
    return np.asarray(T), np.clip(gamma, 1e-10, 1.0)


def _curvature_moments(
    block: Block, objective: MultinomialObjective, coef: Array, intercept: Array, full: bool
) -> tuple[Any, ...]:
    P = block.logits(coef, intercept)
    objective.likelihood.probabilities(P)
    P = P.astype(np.float64, copy=False)
    weights = block.weights_or_ones().astype(np.float64)
    if len(P) == 1:
        spread = P[0] * (1.0 - P[0]) * weights
        A = spread.sum()[None, None]
    else:
        weighted = P * weights
        A = np.diag(weighted.sum(axis=1)) - weighted @ P.T
        spread = ((1.0 - np.einsum("km,km->m", P, P)) * weights).clip(0.0)
    if full:
        return A, block.covariance(spread, objective.center), spread.sum()
    sums = block.gram(spread[None, :].astype(block.X.dtype))[0]
    center = objective.center
    squares = block.squares(spread) - 2 * center * sums + center**2 * spread.sum()
    return A, squares.clip(0.0), spread.sum()


class MetricChoice:
    """Which metric to use when, from what building it and a Hessian product cost.

    The diagonal Kronecker form is free, the full one exact at the null model; an assembled
    Hessian is closer still. Each is taken once the products spent would have paid for it. Costs
    are in multiplications at the speed of a large matrix product: a Hessian product runs at about
    a quarter of it, a sparse one at a twentieth.
    """

    def __init__(
        self,
        objective: MultinomialObjective,
        variances: Array,
        *,
        solver: str = "auto",
        seed: int = 0,
    ) -> None:
        self._variances = variances
        self._seed = seed
        self._blocks = blocks = objective.blocks
        p = float(reference_size(objective))
        d = float(blocks.n_features)
        product = (40.0 if blocks.is_sparse else 8.0) * blocks.work
        self._product_cost = product
        self._rows = {
            "diagonal": 20_000,
            "full": max(int(20 * d), 4000),
            "assembled": max(int(5 * p), 2000),
        }
        if solver == "newton-cholesky" or blocks.n_samples * p**2 <= EXACT_PRODUCTS * product:
            self._rows["assembled"] = blocks.n_samples
        rows = {kind: min(number, blocks.n_samples) for kind, number in self._rows.items()}
        self._costs = {
            "diagonal": 0.0,
            "full": rows["full"] * d**2 + 20.0 * d**3,
            "assembled": rows["assembled"] * p**2 + p**3 / 3.0,
        }
        if blocks.is_sparse:
            per_row = blocks.size / max(blocks.n_samples, 1)
            self._costs["full"] = rows["full"] * min(d**2, 100.0 * per_row**2) + 20.0 * d**3
        if d > FULL_COVARIANCE_FEATURES:
            self._costs["full"] = np.inf
        if solver == "newton-cg" or p > ASSEMBLED_SIZE:
            self._costs["assembled"] = np.inf
        if solver == "newton-cholesky" or (solver == "auto" and p <= ALWAYS_ASSEMBLED):
            self._costs["assembled"] = 0.0
        self._spent = 0.0
        self._kind = ""
        self._metric: Metric

    def at(self, point: Point, last_products: int) -> tuple[Metric, bool]:
        """The metric to use, after a step of so many Hessian products; whether it is new."""
        last = last_products * self._product_cost
        self._spent += last
        if not self._kind:
            self._spent = WORTH_PRODUCTS * self._product_cost
            kind = self._best(("diagonal", "full"), self._spent)
            kind = "assembled" if self._costs["assembled"] == 0.0 else kind
            self._spent = 0.0
        else:
            kind = self._best(("diagonal", "full", "assembled"), max(last, self._spent / 2))
            if kind == self._kind and last <= self._costs[kind] and self._costs[kind] > 0.0:
                return self._metric, False
            if self._costs[kind] < self._costs[self._kind]:
                return self._metric, False
        sample = self._blocks.sample(self._rows[kind], self._seed)
        if kind == "assembled":
            self._metric = AssembledMetric(point, sample, self._variances)
        else:
            self._metric = KroneckerMetric(point, sample, self._variances, full=kind == "full")
        self._kind = kind
        return self._metric, True

    def _best(self, kinds: tuple[str, ...], budget: float) -> str:
        """The last of `kinds` that the budget pays for."""
        return [kind for kind in kinds if self._costs[kind] <= budget][-1]
