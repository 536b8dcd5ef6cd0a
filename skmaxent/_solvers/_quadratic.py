"""Quadratic models of the loss, and their minimum together with a nonsmooth penalty.

A model has `apply`, its Hessian times a direction, and `solve`, the inverse of its block for the
free coefficients. Arrays have the shape (R, width); the last column holds the intercepts. If logits
are coupled, the loss does not change if all coefficients of a feature change by one number. Models
have the curvature `shift_curvature` along these directions, so that each step there is one of the
proximal point method.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._penalty import Elementwise, Grouped, ProximalPenalty, Tangent
from skmaxent._solvers._active_set import minimise_by_pivots
from skmaxent._solvers._conjugate_gradients import steihaug
from skmaxent._solvers._group_descent import minimise_groups
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

MAX_MODEL_STEPS = 50
# Steps of the proximal gradient with Newton's method after which a model with a matrix is minimised
# by pivots instead, if it has no more coefficients than SMALL_MODEL: its pivots are then few.
STEPS_BEFORE_PIVOTS, SMALL_MODEL = 10, 300
# Manifolds that Newton's method may go through before the proximal gradient frees coefficients; and
# the share of a Newton step below which it is not shortened further.
MAX_MANIFOLD_CHANGES = 20
SHORTEST_SHARE = 0.01
# Linear systems that a minimum may cost; each may take MAX_SOLVE_PRODUCTS products.
MAX_SOLVES = 100
MAX_PROXIMAL_HALVINGS = 4
SHIFT_CURVATURE = 1e-6
POWER_STEPS = 10
# Relative accuracy of linear systems that conjugate gradients solve, where there is no matrix.
ITERATIVE_ACCURACY = 1e-3
MAX_SOLVE_PRODUCTS = 100


class Model:
    """What models have in common."""

    diagonal: Array
    shift_curvature: Array
    # Whether it is good at one point only.
    is_local = False
    # M, where it is known, (R·width, R·width) and class-major.
    matrix: Array | None = None

    @cached_property
    def safe_step(self) -> Array:
        """1/(L diag M), alike for all rows of a column, with L the largest eigenvalue of M relative
        to its diagonal, by power iteration."""
        diagonal = self.diagonal.max(axis=0, keepdims=True)
        # Without an intercept its column has no curvature, and stays where it is.
        inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0.0)
        root = np.sqrt(inverse)
        V = np.random.default_rng(0).normal(size=self.diagonal.shape)
        largest = 1.0
        for _ in range(POWER_STEPS):
            V /= float(np.linalg.norm(V))
            V = self.apply(V * root) * root
            largest = float(np.linalg.norm(V))
        return np.asarray(inverse / (1.1 * largest))

    def apply(self, V: Array) -> Array:
        """M V."""
        raise NotImplementedError

    def loss_product(self, V: Array) -> Array:
        """M V without the curvature `shift_curvature`, which the loss does not have."""
        if len(V) == 1:
            return self.apply(V)
        return np.asarray(self.apply(V) - self.shift_curvature * V.mean(axis=0))

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        """x with (M + penalty'') x = rhs among the free coefficients, zero elsewhere."""
        raise NotImplementedError


def curvature_of_shift(diagonal: Array, is_coupled: bool) -> Array:
    """Curvature for changes that all classes have in common, next to none if they are coupled."""
    return np.asarray(SHIFT_CURVATURE * diagonal.mean(axis=0) * is_coupled)


class DenseModel(Model):
    """A matrix (R·width, R·width), class-major."""

    def __init__(self, matrix: Array, shape: tuple[int, int], *, is_coupled: bool) -> None:
        R, width = shape
        self._shape = shape
        self._last: tuple[Tangent, Array] | None = None
        self.shift_curvature = curvature_of_shift(matrix.diagonal().reshape(shape), is_coupled)
        blocks = matrix.reshape(R, width, R, width)
        column = np.arange(width)
        blocks[:, column, :, column] += self.shift_curvature[:, None, None] / R
        self.matrix: Array = matrix
        self.diagonal = matrix.diagonal().reshape(shape)

    def apply(self, V: Array) -> Array:
        return (self.matrix @ V.ravel()).reshape(self._shape)

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        free = np.flatnonzero(tangent.free.ravel())
        out = np.zeros(self._shape)
        if len(free):
            L = self._factor(tangent, free)
            out.flat[free], _ = lapack.dpotrs(L, rhs.ravel()[free], lower=1)
        return out

    def _factor(self, tangent: Tangent, free: Array) -> Array:
        """Cholesky factor of the free block, kept until another is asked for."""
        if self._last is not None and _are_same(self._last[0], tangent):
            return self._last[1]
        whole = len(free) == len(self.matrix)
        block = self.matrix.copy() if whole else self.matrix[np.ix_(free, free)]
        diagonal = np.broadcast_to(tangent.diagonal, self._shape).ravel()[free]
        block.flat[:: len(free) + 1] += diagonal
        if tangent.group_curvature is not None and tangent.unit is not None:
            self._add_group_curvature(block, free, tangent.group_curvature, tangent.unit)
        # A direction that neither the data nor the penalty know stays where it is.
        share = np.maximum(block.diagonal(), 1e-300)
        block.flat[:: len(free) + 1] += 1e-10 * share
        while True:
            # LAPACK reads a symmetric matrix in either order.
            L, info = lapack.dpotrf(block.T, lower=1)
            if info == 0:
                break
            share = 100.0 * share
            block.flat[:: len(free) + 1] += 1e-10 * share
        self._last = tangent, L
        return np.asarray(L)

    def _add_group_curvature(
        self, block: Array, free: Array, group_curvature: Array, unit: Array
    ) -> None:
        width = self._shape[1]
        k, j = np.divmod(free, width)
        same = j[:, None] == j
        turn = (k[:, None] == k).astype(float) - unit[k[:, None], j[:, None]] * unit[k, j]
        block += np.where(same, group_curvature[j] * turn, 0.0)


def _are_same(one: Tangent, other: Tangent) -> bool:
    """Whether two manifolds have the same free coefficients and second derivatives."""

    def same(a: Array | None, b: Array | None) -> bool:
        return a is b or (a is not None and b is not None and np.array_equal(a, b))

    return (
        same(one.free, other.free)
        and same(one.diagonal, other.diagonal)
        and same(one.group_curvature, other.group_curvature)
        and same(one.unit, other.unit)
    )


class DampedModel(Model):
    """Another model with as much curvature added for every coefficient.

    Its steps are shorter where the other has little curvature, as for rows whose probabilities are
    next to 0 and 1 (Levenberg 1944, Q. Appl. Math. 2, 164-168).
    """

    def __init__(self, model: Model, damping: float) -> None:
        self._model, self._damping = model, damping
        self.diagonal, self.shift_curvature = model.diagonal + damping, model.shift_curvature

    @cached_property
    def matrix(self) -> Array | None:  # type: ignore[override]
        matrix = self._model.matrix
        return None if matrix is None else matrix + self._damping * np.eye(len(matrix))

    def apply(self, V: Array) -> Array:
        return self._model.apply(V) + self._damping * V

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        diagonal = tangent.diagonal + self._damping
        return self._model.solve(rhs, replace(tangent, diagonal=diagonal))


class KroneckerModel(Model):
    """(diag α - α βᵀ) ⊗ Σ.

    Parameters
    ----------
    alpha, share : ndarray of shape (R,)
        α, and β: α/Σα, or zero where logits are not coupled.
    covariance : ndarray of shape (width, width)
        Of the columns and the constant; the latter does not correlate with the others.
    """

    def __init__(self, alpha: Array, share: Array, covariance: Array) -> None:
        self._alpha, self._share, self.diagonal = _simplex_curvature(
            alpha, share, covariance.diagonal()
        )
        self._covariance = covariance
        self.shift_curvature = curvature_of_shift(self.diagonal, bool(share.any()))
        self.diagonal += self.shift_curvature / len(alpha)

    def apply(self, V: Array) -> Array:
        Z = self._alpha * (V @ self._covariance)
        Z -= self._share * Z.sum(axis=0)
        Z += self.shift_curvature * V.mean(axis=0)
        return Z

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        free = tangent.free
        inverse = self.diagonal + tangent.diagonal
        if tangent.group_curvature is not None and tangent.unit is not None:
            inverse = inverse + tangent.group_curvature * (1.0 - np.square(tangent.unit))
        inverse = np.where(free, 1.0 / np.maximum(inverse, 1e-300), 0.0)
        gradient = np.where(free, -rhs, 0.0)
        norm = float(np.sqrt(np.sum(np.square(gradient) * inverse)))
        step = steihaug(
            lambda V: np.where(free, self.apply(V) + tangent.curvature(V), 0.0),
            lambda G: G * inverse,
            gradient,
            radius=np.inf,
            tolerance=ITERATIVE_ACCURACY * norm,
            max_products=MAX_SOLVE_PRODUCTS,
        )
        return step.direction


class SeparableModel(Model):
    """(diag α - α βᵀ) ⊗ diag v: for each column a diagonal matrix less one of rank one.

    Parameters
    ----------
    alpha, share : ndarray of shape (R,)
        As for `KroneckerModel`.
    variances : ndarray of shape (width,)
    """

    def __init__(self, alpha: Array, share: Array, variances: Array) -> None:
        self._alpha, self._share, self.diagonal = _simplex_curvature(alpha, share, variances)
        self._variances = variances
        self.shift_curvature = curvature_of_shift(self.diagonal, bool(share.any()))
        self.diagonal += self.shift_curvature / len(alpha)

    def apply(self, V: Array) -> Array:
        Z = self._alpha * V
        Z *= self._variances
        Z -= self._share * Z.sum(axis=0)
        Z += self.shift_curvature * V.mean(axis=0)
        return Z

    def solve(self, rhs: Array, tangent: Tangent) -> Array:
        """Column by column, D + U C Uᵀ with at most three columns in U (Woodbury's formula)."""
        free = tangent.free
        D = self._alpha * self._variances + tangent.diagonal
        U, signs = [], []
        if self._share.any():
            U = [np.sqrt(self._share * self._alpha * self._variances), np.sqrt(self._flat)]
            signs = [-1.0, 1.0]
        if tangent.group_curvature is not None and tangent.unit is not None:
            D = D + tangent.group_curvature
            U.append(np.sqrt(tangent.group_curvature) * tangent.unit)
            signs.append(-1.0)
        inverse = np.where(free, 1.0 / np.maximum(D, 1e-300), 0.0)
        x = inverse * rhs
        if not U:
            return x
        scaled = [inverse * u for u in U]
        small = np.empty((rhs.shape[1], len(U), len(U)))
        for a, u in enumerate(U):
            for b, v in enumerate(scaled):
                small[:, a, b] = np.einsum("kj,kj->j", u, v) + (a == b) * signs[a]
        right = np.stack([np.einsum("kj,kj->j", u, x) for u in U], axis=-1)
        part = _solve_small(small, right)
        for a, v in enumerate(scaled):
            x -= v * part[:, a]
        return x

    @cached_property
    def _flat(self) -> Array:
        """The part that all classes have in common, as a matrix of equal entries."""
        return np.broadcast_to(self.shift_curvature / len(self._alpha), self.diagonal.shape)


def _solve_small(A: Array, b: Array) -> Array:
    """Solutions of many small systems."""
    if A.shape[-1] != 2:
        return np.asarray(np.linalg.solve(A, b[..., None])[..., 0])
    p, q, r, s = A[:, 0, 0], A[:, 0, 1], A[:, 1, 0], A[:, 1, 1]
    determinant = p * s - q * r
    return np.stack(
        [(s * b[:, 0] - q * b[:, 1]) / determinant, (p * b[:, 1] - r * b[:, 0]) / determinant],
        axis=1,
    )


def _simplex_curvature(alpha: Array, share: Array, variances: Array) -> tuple[Array, Array, Array]:
    """α, β and the diagonal of the Kronecker product, for broadcasting."""
    alpha, share = alpha[:, None], share[:, None]
    return alpha, share, (alpha * (1.0 - share)) * variances


def within(tangent: Tangent, gradient: Array) -> Array:
    """The part of a gradient in the manifold, and of no change that all classes have in common."""
    out = np.where(tangent.free, gradient, 0.0)
    if tangent.is_coupled:
        out -= np.where(tangent.free.all(axis=0), out.mean(axis=0), 0.0)
    return out


@dataclass(frozen=True)
class Minimum:
    """Where a model and the penalty have their least value, and how far below the start it is.

    `least` is a decrease that a step of the proximal gradient alone makes; `n_solves` systems with
    the model's matrix were solved.
    """

    theta: Array
    decrease: float
    least: float
    n_solves: int = 0

    @property
    def distance(self) -> float:
        """Length of the step in the norm of the model, no less than a short step proves."""
        return float(np.sqrt(2.0 * max(self.decrease, self.least)))


def minimise(
    model: Model,
    gradient: Array,
    theta: Array,
    penalty: ProximalPenalty,
    accuracy: float = 0.1,
) -> Minimum:
    """argmin_W ⟨g, W - θ⟩ + ⟨W - θ, M (W - θ)⟩/2 + penalty(W), to a relative accuracy.

    A step of the proximal gradient finds the manifold, Newton's method goes on within it (the
    primal-dual active set method; Hintermüller, Ito & Kunisch 2002, SIAM J. Optim. 13, 865-888).
    Each is taken only where it brings the value down.
    """
    step = model.safe_step
    halvings = 0
    start = penalty.value(theta)
    W, q, value = theta, gradient, 0.0
    first = 0.0

    def at(V: Array) -> tuple[Array, float]:
        product = model.loss_product(V - theta)
        change = inner(V - theta, gradient + 0.5 * product) + penalty.value(V) - start
        return gradient + product, change

    n_solves, is_solved = 0, False
    is_small = theta.size <= SMALL_MODEL
    for n_step in range(
        STEPS_BEFORE_PIVOTS if is_small and model.matrix is not None else MAX_MODEL_STEPS
    ):
        residual = penalty.minimum_norm_subgradient(W, q)
        size = float(np.sqrt(np.sum(np.square(residual) * step)))
        first = size if n_step == 0 else first
        is_solved = size <= accuracy * first
        if is_solved or n_solves >= MAX_SOLVES:
            break
        U = penalty.recentre(penalty.prox(W - step * q, step))
        q_U, value_U = at(U)
        if not value_U < value and halvings < MAX_PROXIMAL_HALVINGS:
            # Power iteration found too small an eigenvalue.
            step, halvings = 0.5 * step, halvings + 1
            continue
        for _ in range(MAX_MANIFOLD_CHANGES):
            tangent = penalty.tangent(U)
            newton = model.solve(-within(tangent, q_U + tangent.gradient), tangent)
            n_solves += 1
            # Up to the edge of the manifold the value falls.
            edge, t, has_left = penalty.largest_feasible_step(U, newton), 1.0, False
            while np.isfinite(edge):
                t = edge if t < 2.0 * edge else t
                end = U + t * newton
                V = penalty.retract(end, U)
                has_left = not np.array_equal(V, end) or t == edge < 1.0
                V = penalty.recentre(V)
                q_V, value_V = at(V)
                if value_V < value_U or t <= max(edge, SHORTEST_SHARE):
                    break
                t *= 0.3
            if not (np.isfinite(edge) and value_V < value_U):
                break
            U, q_U, value_U = V, q_V, value_V
            if not has_left:
                break
        if not value_U < value:
            break
        W, q, value = U, q_U, value_U
    found = Minimum(W, max(-value, 0.0), 0.5 * first**2, n_solves)
    if is_small and not is_solved:
        return finished(found, model, gradient, theta, penalty)
    return found


def finished(
    found: Minimum, model: Model, gradient: Array, theta: Array, penalty: ProximalPenalty
) -> Minimum:
    """The minimum from one that was found to a relative accuracy of the residual.

    Residuals say little of directions in which M is nearly flat. Where there is no matrix, what was
    found has to do.
    """
    matrix = model.matrix
    if matrix is None:
        return found
    if isinstance(penalty, Grouped) and len(theta) == 1:
        unbounded = np.full_like(penalty.l1, np.inf)
        penalty = Elementwise(
            penalty.l1, penalty.ridge, penalty.target, -unbounded, unbounded, is_coupled=False
        )
    if isinstance(penalty, Elementwise):
        W = minimise_by_pivots(matrix, gradient, theta, penalty, found.theta)
    elif isinstance(penalty, Grouped):
        W = minimise_groups(matrix, gradient, theta, penalty, found.theta)
    else:
        return found
    W = penalty.recentre(W)
    step = W - theta
    change = inner(step, gradient + 0.5 * model.loss_product(step))
    decrease = penalty.value(theta) - penalty.value(W) - change
    return replace(found, theta=W, decrease=decrease) if decrease > found.decrease else found
