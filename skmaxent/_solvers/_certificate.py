"""Upper bounds on (F - F*)/F at a point, from duality or from self-concordance.

`optimality_gap` judges coefficients by the data and the penalty alone: it evaluates the objective
itself, and takes from the solver nothing that could make the bound too small.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point, Probabilities
from skmaxent._objective._penalty import Elementwise, Penalty, Ridge
from skmaxent._solvers._conjugate_gradients import Step, steihaug
from skmaxent._solvers._preconditioner_choice import ASSEMBLED_SIZE, FULL_COVARIANCE_FEATURES
from skmaxent._solvers._preconditioners import Solves, reference_size
from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Relative gap below which a better bound is not worth a pass.
TIGHT = 1e-7
# Of the Newton step that a bound is made of, relative to the gradient.
ACCURACY = 0.03
# Room for the rounding of float32 in the largest leverage.
NARROW = 1.001
# Passes that a certificate may cost: Hessian products, or as many multiplications.
MAX_PRODUCTS = 10
# Pivots of a matrix of unit diagonal below this are lost in its rounding.
LEAST_PIVOT = 1e-11
# Curvatures below this are zero: they have no digits left.
UNDERFLOW = 1e-290
# What is added to the diagonal before a matrix is factored that will be factored again.
SHIFT = 1e-13
# Times the rounding of its terms, a sum that vanishes but for rounding is no larger.
ROUNDING_ROOM = 1e3
# Means of columns this many times their spread lose digits in uncentred products.
UNCENTRED = 1e3
EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Means:
    """Weighted means over the rows that the dual needs.

    Attributes
    ----------
    shares : ndarray of shape (R,)
        Of the targets.
    target_columns : ndarray of shape (R, d)
        Of t (x - μ)ᵀ, for standardised columns.
    offset : ndarray of shape (R,) or None
    target_offset : float
        Of t · offset.
    """

    shares: Array
    target_columns: Array
    offset: Array | None = None
    target_offset: float = 0.0


def optimality_gap(
    objective: MultinomialObjective,
    penalty: Ridge | Penalty,
    means: Means,
    varying: Array,
    theta: Array,
    *,
    preconditioner: Solves | None = None,
    step: Step | None = None,
    least_bound: float = TIGHT,
) -> float:
    """Bound on (F - F*)/F at θ, in [0, 1]: the better of the two bounds below, and F* >= 0.

    Parameters
    ----------
    objective : MultinomialObjective
        Its loss counts; its penalty where `penalty` is a `Ridge`.
    penalty : Ridge or Penalty
        Of θ, for standardised columns.
    means : Means
    varying : ndarray of shape (d,)
        Columns that are not constant.
    theta : ndarray of shape (R, d + 1)
    preconditioner : Solves, optional
        For conjugate gradients, which sharpen the bound; it changes their speed alone.
    step : Step, optional
        A Newton step from θ for conjugate gradients to begin with: its residual is computed anew.
    least_bound : float, default=TIGHT
        Where duality gives less than this share of F, the other bound is not worth its passes.

    Notes
    -----
    The objective remembers the point that it evaluated last: only where that is another than θ
    does this cost a pass.
    """
    if isinstance(penalty, Ridge):
        objective = objective if objective.penalty is penalty else objective.with_penalty(penalty)
    else:
        inside = penalty.project(theta)
        if not (np.abs(inside - theta) <= 1e-9 * np.abs(theta)).all():
            return 1.0  # F is infinite outside of the bounds
        theta = inside
    point = objective.at(theta)
    value = point.value
    if not isinstance(penalty, Ridge):
        value = point.loss + penalty.value(theta)
    if not (np.isfinite(value) and value > 0.0):
        return 1.0  # a loss is positive: where rounding makes it zero, nothing is known of it
    error = _gradient_error(point)
    bound = min(value, duality_gap(point, value, penalty, means, error))
    if bound > least_bound * value:
        newton = _NewtonStep(point, preconditioner, step)
        other = self_concordance_bound(point, value, penalty, means.shares, varying, error, newton)
        bound = min(bound, other)
    # No bound is better than what rounding makes of F itself.
    rounding = point.rounding + _penalty_rounding(point, penalty)
    return float(min(1.0, (bound + rounding) / value))


def _penalty_rounding(point: Point, penalty: Ridge | Penalty) -> float:
    """What F changes by where coefficients are rounded to the type of X.

    It is small beside F itself but where a ridge pulls strongly towards a prior, and where a
    coefficient leans on a bound: elsewhere the slope of F is zero.
    """
    if isinstance(penalty, Ridge):
        return 0.0
    error = float(np.finfo(point.objective.blocks.dtype).eps) * np.abs(point.theta)
    rounding = penalty.ridge * error * (np.abs(point.theta - penalty.target) + error)
    if isinstance(penalty, Elementwise):
        held = (point.theta == penalty.lower) | (point.theta == penalty.upper)
        slope = np.abs(point.loss_gradient()) + penalty.l1
        rounding = rounding + np.where(held, slope * error, 0.0)
    return float(np.sum(rounding))


def _gradient_error(point: Point) -> Array:
    """The size of the errors that rounding makes in the gradient, (R, d + 1).

    A mean over rows of (p - t) x̃, whose products have the size of x before it is centred. Their
    errors are independent, and |p - t| is below the root of the loss.
    """
    objective = point.objective
    eps = float(np.finfo(objective.blocks.dtype).eps)
    root = math.sqrt(max(objective.blocks.effective_size, 1.0))
    size = 8.0 * eps * min(1.0, math.sqrt(max(point.loss, 0.0))) / root
    error = np.empty(point.theta.shape)
    error[:, :-1] = size * (objective.column_size / objective.scale)
    error[:, -1] = size * objective.fit_intercept
    return error


def duality_gap(
    point: Point, value: float, penalty: Ridge | Penalty, means: Means, error: Array
) -> float:
    """F(θ) - D(q) for a dual-feasible q near p(θ).

    The dual is entropy maximisation: with o_i the offsets, r the penalty and r* its conjugate,

        D(q) = mean [H(q_i) + (q_i - t_i)·o_i] - r*(-R),   R = mean (q_i - t_i) x_iᵀ,

    for any q_i with mean q = mean t, which an intercept asks for. Without intercept, or where its
    gradient vanishes, q = p will do; a ridge then has the gap Σ_j ‖∂F/∂w_j‖²/(2λ_j). Otherwise
    q = (1 - ε) p + ε u with the constant distribution u that makes the means agree, and concavity
    of the entropy, H(q) >= (1 - ε) H(p) + ε H(u). Where r* is infinite, as beyond an L1 penalty,
    q goes a share of the way from t, whose entropy is zero.

    Parameters
    ----------
    point : Point
    value : float
        F there.
    penalty : Ridge or Penalty
    means : Means
    error : ndarray of shape (R, d + 1)
        Of the gradient, by rounding: R may be so much larger.
    """
    if isinstance(penalty, Ridge) and point.gradient[:, :-1][:, penalty.strength == 0.0].any():
        return np.inf  # the conjugate is
    objective = point.objective
    c = point.theta[:, -1]
    gradient = point.loss_gradient()
    residual, shift = gradient[:, :-1], gradient[:, -1]
    # mean [H(p) + (p - t)·o], for the log-normaliser is H(p) + p·z.
    dual = point.loss - inner(residual, point.theta[:, :-1]) - float(shift @ c)
    if objective.fit_intercept:
        both = objective.likelihood.outcomes(shift, change=True)
        expected = objective.likelihood.outcomes(means.shares) + both
        if (expected <= 0.0).any():
            return np.inf
        epsilon = float(np.max(both / expected))
        if epsilon >= 1.0:
            return np.inf
        if epsilon > 0.0:
            u = np.maximum(expected - both / epsilon, 0.0)
            entropy = -float(np.sum(u * np.log(np.where(u > 0.0, u, 1.0))))
            if means.offset is not None:
                entropy += float(u[-len(c) :] @ means.offset) - means.target_offset
            dual = (1.0 - epsilon) * dual + epsilon * entropy
            # μ is the mean of X, so that mean u (x - μ)ᵀ vanishes for every constant u.
            residual = (1.0 - epsilon) * residual - epsilon * means.target_columns
    V = np.zeros(point.theta.shape)
    V[:, :-1] = -residual - np.sign(residual) * error[:, :-1]
    V = V[:, :-1] if isinstance(penalty, Ridge) else V
    share = penalty.dual_scaling(V)
    return max(value - share * dual + penalty.conjugate(share * V), 0.0)


@dataclass(frozen=True)
class _NewtonStep:
    """What conjugate gradients need for a Newton step, and one that a solver found."""

    point: Point
    preconditioner: Solves | None
    found: Step | None


def self_concordance_bound(
    point: Point,
    value: float,
    penalty: Ridge | Penalty,
    shares: Array,
    varying: Array,
    error: Array,
    newton: _NewtonStep,
) -> float:
    """F(θ) - F* from the Newton decrement, with no assumption on where the optimum is.

    Along a step Δ the curvature changes by at most a factor exp(t), t the largest range over
    classes of the logits' change (a third cumulant is at most range times variance; Bach 2010,
    Electron. J. Stat. 4, 384-414; Marteau-Ferey, Bach & Rudi 2019, NeurIPS 32). With r the
    largest such range of a step of unit length in M, any matrix below H, δ the Newton decrement
    and ρ = r δ < 1,

        F(θ) - F* <= [ρ + (1 - ρ) log(1 - ρ)] / r²   (δ²/2 for small ρ).

    Conjugate gradients bound δ from above whatever their accuracy: a step s with the residual
    q = g + H s has δ² = -2 gᵀs - sᵀHs + qᵀH⁻¹q, and qᵀH⁻¹q <= qᵀM⁻¹q. Where F is nonsmooth, any
    subgradient serves as g; for F(θ') is above its line by what the loss is.

    Where F can fall in a direction that M does not see, the bound is infinite. Two kinds of them
    have bounds of their own, because the loss is constant there: shifts of a feature's
    coefficients by the same for all classes, and the coefficients of constant columns.
    """
    gradient, shifts = _without_shifts(point, value, penalty)
    still = np.flatnonzero(~varying)
    gradient[:, still] = 0.0
    own = shifts + _constant_columns(point.theta, penalty, still)
    if not np.isfinite(own):
        return np.inf
    error = np.where(np.append(varying, True), error, 0.0)
    ridge = _least_ridge(penalty)
    below = _kronecker_below(point, shares, ridge, varying)
    bound = np.inf if below is None else _bound_within(below, gradient, error, value, newton)
    if bound == np.inf:
        below = _assembled_below(point, ridge, varying)
        bound = np.inf if below is None else _bound_within(below, gradient, error, value, newton)
    return own + bound


def _without_shifts(point: Point, value: float, penalty: Ridge | Penalty) -> tuple[Array, float]:
    """A subgradient of F whose sums over the classes vanish, and a bound on what shifts gain.

    Where the logits are coupled, the loss does not change when all coefficients of a feature change
    alike. With s the sum of a subgradient g over the K classes, such a shift gains at most

        s²/(2 Σ_k λ_k)                under a ridge λ_k, with g_k - s λ_k/Σλ for what is left,
        |s|/K Σ_k (|w_k| + |w*_k|)    under an L1 penalty, with Σ l1 |w*| <= F(θ),
        |s|/K Σ_k (upper - lower)     within bounds.

    The gradient of the loss sums to zero, so s is computed from the penalty alone: under a weak
    ridge, s² may be far below the square of the rounding errors of the gradient.
    """
    objective, theta = point.objective, point.theta
    if not objective.likelihood.is_coupled:
        if isinstance(penalty, Ridge):
            return point.gradient.copy(order="F"), 0.0
        return penalty.minimum_norm_subgradient(theta, point.loss_gradient()), 0.0
    if isinstance(penalty, Ridge):
        gradient = point.gradient.copy(order="F")
        ridge = np.broadcast_to(np.append(penalty.strength, 0.0), theta.shape)
        total = ridge[0] * theta.sum(axis=0)
    else:
        gradient = penalty.balanced_residual(theta, point.loss_gradient())
        ridge = np.broadcast_to(penalty.ridge, theta.shape)
        total = penalty.balanced_sums(theta)
    strength = ridge.sum(axis=0)
    has_ridge = strength > 0.0
    share = np.where(has_ridge, ridge / np.where(has_ridge, strength, 1.0), 1.0 / len(theta))
    gradient -= gradient.sum(axis=0) * share
    gain = np.where(has_ridge, 0.5 * total**2 / np.where(has_ridge, strength, 1.0), np.inf)
    gain[total == 0.0] = 0.0
    if isinstance(penalty, Ridge) or np.isfinite(gain).all():
        return gradient, float(gain.sum())
    mean = np.abs(total) / len(theta)
    if isinstance(penalty, Elementwise):
        width = np.broadcast_to(penalty.upper - penalty.lower, theta.shape).sum(axis=0)
        gain = np.fmin(gain, np.where(mean > 0.0, mean, 1.0) * width)
    least = np.broadcast_to(penalty.l1, theta.shape).min(axis=0)
    by_l1 = (least > 0.0) & np.isinf(gain)
    ratio = np.divide(mean, least, out=np.zeros_like(mean), where=by_l1)
    gain[by_l1] = mean[by_l1] * np.abs(theta).sum(axis=0)[by_l1]
    return gradient, float(gain.sum()) + value * float(ratio.max())


def _constant_columns(theta: Array, penalty: Ridge | Penalty, still: Array) -> float:
    """What the penalty of constant columns exceeds its least value by."""
    if not len(still):
        return 0.0
    part = theta[:, still]
    if isinstance(penalty, Ridge):
        return Ridge(penalty.strength[still]).value(part)
    columns = penalty.columns(still)
    return max(columns.value(part) + columns.conjugate(np.zeros(part.shape)), 0.0)


def _least_ridge(penalty: Ridge | Penalty) -> Array:
    """Of each column, over the classes."""
    if isinstance(penalty, Ridge):
        return penalty.strength
    return np.asarray(penalty.ridge.min(axis=0)[:-1])


def _bound_within(
    below: _Below, gradient: Array, error: Array, value: float, newton: _NewtonStep
) -> float:
    """The bound that M gives: by M alone where that will do, else by conjugate gradients."""
    noise = 2.0 * below.length(error * _signs(gradient.shape), error)

    def bound(decrement: float) -> float:
        return _self_concordance(decrement + noise, below.largest_range)

    def by_step(predicted: float, residual: Array) -> float:
        return bound(float(np.hypot(np.sqrt(2.0 * predicted), below.length(residual, error))))

    least = bound(below.length(gradient, error))
    preconditioner = newton.preconditioner
    if preconditioner is None or least <= TIGHT * value:
        return least
    product = newton.point.hessian_product
    norm = float(np.sqrt(max(inner(gradient, preconditioner.solve(gradient)), 0.0)))
    if _self_concordance(norm, below.largest_range) == np.inf:
        return least
    if newton.found is not None:
        s = newton.found.direction
        curvature = product(s)
        predicted = max(-inner(gradient, s) - 0.5 * inner(s, curvature), 0.0)
        least = min(least, by_step(predicted, gradient + curvature))
        # The residual adds no more than the step: a better step could halve the bound at best.
        if least <= 2.0 * predicted:
            return least
    step = steihaug(
        product,
        preconditioner.solve,
        gradient,
        radius=np.inf,
        tolerance=ACCURACY * norm,
        max_products=MAX_PRODUCTS,
    )
    return min(least, by_step(step.predicted, step.residual))


@functools.lru_cache(maxsize=16)
def _signs(shape: tuple[int, int]) -> Array:
    """Random signs: what errors add to a decrement depends on M's smallest eigenvalues."""
    return np.random.default_rng(0).choice([-1.0, 1.0], size=shape)


def _self_concordance(decrement: float, largest_range: float) -> float:
    rho = largest_range * decrement
    if not rho < 1.0:
        return np.inf
    if rho < 1e-3:  # the closed form cancels; its series is below ρ²/2 (1 + ρ/2)
        return 0.5 * decrement**2 * (1.0 + 0.5 * rho)
    return float((rho + (1.0 - rho) * np.log1p(-rho)) / largest_range**2)


@dataclass(frozen=True)
class _Below:
    """A matrix M below the Hessian.

    Attributes
    ----------
    root : ndarray of shape (rank, p)
        rootᵀ root is a pseudo-inverse of M.
    null : ndarray of shape (p - rank, p)
        Directions that M does not see: a gradient for which M's inverse has a meaning, and a row of
        X, vanish under it up to rounding.
    between : ndarray of shape (R, R) or None
        M is that matrix's pseudo-inverse times the one for columns, or None for M as a whole, which
        then is in reference coding.
    largest_range : float
        Of the logits' change by a step of unit length; infinite where there is none.
    """

    root: Array
    null: Array
    between: Array | None
    largest_range: float

    def length(self, gradient: Array, error: Array) -> float:
        """√(gᵀM⁻¹g), infinite where M does not see all of g but for errors of that size."""
        r = self.root.shape[1] // gradient.shape[1]
        if self.between is None:
            gradient, error = gradient[:r].reshape(1, -1), error[:r].reshape(1, -1)
        if len(self.null):
            room = ROUNDING_ROOM * (error + EPS * np.abs(gradient)) @ np.abs(self.null).T
            if (np.abs(gradient @ self.null.T) > room).any():
                return np.inf
        seen = gradient @ self.root.T
        square = inner(seen, seen if self.between is None else self.between @ seen)
        return float(np.sqrt(max(square, 0.0)))


def _factored(M: Array, *, scaled: bool = True) -> tuple[Array, Array]:
    """`root` and `null` of a semidefinite matrix, and of any that is no larger but for rounding.

    By Cholesky factorisation with pivots (Higham 2002, Accuracy and Stability of Numerical
    Algorithms, section 10.3): what is left when the pivots are lost in rounding is semidefinite, so
    that leaving it out makes a matrix that is smaller. Pivots are compared with one, the diagonal
    once the matrix is `scaled`.
    """
    diagonal = M.diagonal()
    size = np.sqrt(np.where(diagonal > UNDERFLOW, diagonal, 0.0)) if scaled else np.ones(len(M))
    inverse_size = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    unit = M * np.multiply.outer(inverse_size, inverse_size)
    L, info = lapack.dpotrf(unit, lower=1, clean=1)
    if info == 0 and (size > 0.0).all() and L.diagonal().min(initial=1.0) ** 2 > LEAST_PIVOT:
        inverse, _ = lapack.dtrtri(L, lower=1)
        return inverse * inverse_size, np.zeros((0, len(M)))
    L, order, rank, _ = lapack.dpstrf(unit, tol=LEAST_PIVOT, lower=1)
    order = order - 1
    if not np.isfinite(L.diagonal()[:rank]).all():
        rank = 0
    # Of rows and columns that are zero, an eigenvector is known whatever their scale.
    inverse_size[size == 0.0] = 1.0
    inverse, _ = lapack.dtrtri(L[:rank, :rank], lower=1) if rank else (np.empty((0, 0)), 0)
    root = np.zeros((rank, len(M)))
    root[:, order[:rank]] = np.tril(inverse)
    null = np.zeros((len(M) - rank, len(M)))
    null[:, order[:rank]] = -L[rank:, :rank] @ np.tril(inverse)
    null[np.arange(len(null)), order[rank:]] = 1.0
    return root * inverse_size, null * inverse_size


def rows_below(objective: MultinomialObjective) -> int:
    """Rows whose Hessian costs what a certificate may cost."""
    return MAX_PRODUCTS * 4 * objective.blocks.work // reference_size(objective) ** 2


def _assembled_below(point: Point, ridge: Array, varying: Array) -> _Below | None:
    """The Hessian of a sample of rows: each row adds a positive semidefinite term."""
    objective = point.objective
    blocks = objective.blocks
    p, n_rows = reference_size(objective), rows_below(objective)
    if p > ASSEMBLED_SIZE or n_rows < 2 * p:
        return None
    sample = objective if n_rows >= blocks.n_samples else objective.standardised(n_rows)
    R, width = objective.shape
    r = objective.likelihood.n_free
    H = point.fisher_information(sample) * (sample.total_weight / objective.total_weight)
    H = H.reshape(r, width, r, width)
    column = np.arange(width)
    still = ~np.append(varying, objective.fit_intercept)
    H[:, still] = 0.0
    H[:, :, :, still] = 0.0
    classes = np.eye(r) - (1.0 / R if objective.likelihood.is_coupled else 0.0)
    diagonal = np.append(ridge, 0.0)[:, None, None] * classes
    diagonal[still] = np.eye(r)
    H[:, column, :, column] += diagonal
    root, null = _factored(H.reshape(r * width, r * width))
    by_class = root.reshape(len(root), r, width).transpose(1, 2, 0)
    (largest,) = blocks.map_reduce(
        _range_in_assembled,
        objective.likelihood.is_coupled,
        by_class @ by_class.transpose(0, 2, 1),
        objective.center,
        objective.scale,
        objective.fit_intercept,
        combine=np.maximum,
    )
    if len(null) and not all(
        _vanishes(objective, part) for part in null.reshape(len(null), r, width).transpose(1, 0, 2)
    ):
        largest = np.inf
    return _Below(root, null, None, float(largest))


def _kronecker_below(point: Point, shares: Array, ridge: Array, varying: Array) -> _Below | None:
    """A ⊗ (G + Λ/a) with A = diag π - π πᵀ <= a, and G = mean β_i x̃_i x̃_iᵀ, β_i = min_k p_ik/π_k.

    For uᵀ(diag p - p pᵀ)u = min_c Σ_k p_k (u_k - c)² >= β min_c Σ_k π_k (u_k - c)². A row's
    logits k, l then differ by at most sqrt(1/π_k + 1/π_l) sqrt(x̃ᵀG⁻¹x̃). For sigmoids A = diag π
    (1 - π), β_i the least ratio of p (1 - p) to it, and a logit counts for itself.
    """
    objective = point.objective
    blocks = objective.blocks
    passes = MAX_PRODUCTS * (1 if (ridge > 0.0).all() else 10)
    cost = blocks.n_samples * blocks.n_features**2
    if blocks.n_features > FULL_COVARIANCE_FEATURES or cost > passes * 4 * blocks.work:
        return None
    likelihood = objective.likelihood
    columns = (objective.center, objective.scale, objective.fit_intercept)
    at = (likelihood, point.probabilities, objective.for_blocks(point.theta), shares)
    is_benign = bool((objective.column_size < UNCENTRED * objective.scale).all())
    width = objective.shape[1]
    kept = np.append(varying, objective.fit_intercept)
    strength = np.append(ridge, 0.0) / likelihood.largest_curvature(shares)
    basis = None if is_benign else np.eye(width)
    (G,) = blocks.map_reduce(_least_curvature, *at, *columns, basis)
    G = G[np.ix_(kept, kept)] / objective.total_weight + np.diag(strength[kept])
    root, null = _factored(G)
    if len(null) and G.any():
        # Nearly collinear columns: in coordinates in which they are not, the rounding of G is small
        # (shifted Cholesky QR; Fukaya et al. 2020, SIAM J. Sci. Comput. 42, A477-A503).
        size = np.sqrt(G.diagonal())
        size[size == 0.0] = 1.0
        scaled = G / np.multiply.outer(size, size)
        scaled.flat[:: len(scaled) + 1] += SHIFT * len(scaled)
        L, info = lapack.dpotrf(scaled, lower=1, clean=1)
        if info == 0:
            inverse, _ = lapack.dtrtri(L, lower=1)
            first = np.zeros((len(G), width))
            first[:, kept] = inverse / size
            (G,) = blocks.map_reduce(_least_curvature, *at, *columns, first)
            G = G / objective.total_weight + (first * strength) @ first.T
            root, null = (part @ first[:, kept] for part in _factored(G, scaled=False))
    root, null = (_widened(part, kept) for part in (root, null))
    if is_benign and not len(null):
        over = objective.float32_copy()
        (leverage,) = over.blocks.map_reduce(
            _largest_leverage, root, over.center, over.scale, combine=np.maximum
        )
    else:
        (leverage,) = blocks.map_reduce(_leverage_of, root, *columns, combine=np.maximum)
    largest = likelihood.largest_range(shares) * float(np.sqrt(leverage * NARROW))
    if len(null) and not _vanishes(objective, null):
        largest = np.inf
    return _Below(root, null, likelihood.inverse_curvature(shares), largest)


def _widened(part: Array, kept: Array) -> Array:
    out = np.zeros((len(part), len(kept)))
    out[:, kept] = part
    return out


def _vanishes(objective: MultinomialObjective, null: Array) -> bool:
    """Whether all rows of X are zero in some directions, up to rounding."""
    size = 1.0 + np.append(objective.column_size / objective.scale, 1.0)
    room = ROUNDING_ROOM * EPS * np.abs(null) @ size
    (largest,) = objective.blocks.map_reduce(
        _largest_share,
        null / np.where(room > 0.0, room, 1.0)[:, None],
        objective.center,
        objective.scale,
        objective.fit_intercept,
        combine=np.maximum,
    )
    return float(largest) <= 1.0


def _range_in_assembled(
    block: Block,
    is_coupled: bool,
    inverse: Array,
    center: Array,
    scale: Array,
    fit_intercept: bool,
) -> tuple[Any]:
    """Bound on the range of logits that a step of unit length can make on a row, largest row.

    A logit k can change by sqrt(x̃ᵀ [M⁻¹]_kk x̃), a difference by the sum of two of them; where
    logits are not coupled, each counts for itself.
    """
    X = block.augmented(center, scale, fit_intercept)
    change = np.stack([np.einsum("ij,ij->j", B @ X, X).clip(0.0) for B in inverse])
    change = np.sqrt(change)
    if not is_coupled:
        return (block.largest(change.max(axis=0)),)
    change.sort(axis=0)
    return (block.largest(change[-2:].sum(axis=0)),)


def _least_curvature(
    block: Block,
    likelihood: Likelihood,
    probabilities: Probabilities,
    at: tuple[Array, Array],
    shares: Array,
    center: Array,
    scale: Array,
    fit_intercept: bool,
    basis: Array | None,
) -> tuple[Array]:
    """Return Σ_i β_i y_i y_iᵀ over the rows of a block, with β_i their least relative curvature.

    y_i is the standardised row with a last entry 1, of shape (d + 1,), or its products with the
    rows of `basis`, (k, d + 1). Without a basis the rows are not centred before they are squared,
    which is quicker and loses digits where means are far above spreads.
    """
    P = probabilities.of(block, *at)
    weights = likelihood.least_curvature(P, shares) * block.weights_or_ones()
    if basis is not None:
        Y = basis @ block.augmented(center, scale, fit_intercept)
        return ((Y * weights) @ Y.T,)
    G = empty((len(center) + 1, len(center) + 1), np.float64, center)
    G[:-1, :-1] = block.covariance(weights, center) / np.multiply.outer(scale, scale)
    G[-1, -1] = total = fit_intercept * weights.sum()
    sums = fit_intercept * block.gram(weights[None])[0]
    G[-1, :-1] = G[:-1, -1] = (sums - total * center) / scale
    return (G,)


def _largest_leverage(block: Block, root: Array, center: Array, scale: Array) -> tuple[Any]:
    A = (root[:, :-1] / scale).T
    b = root[:, -1] - center @ A
    dtype = block.X.dtype
    Y = block.X @ A.astype(dtype, copy=False) + b.astype(dtype, copy=False)
    return (block.largest(np.einsum("ij,ij->i", Y, Y)),)


def _leverage_of(
    block: Block, root: Array, center: Array, scale: Array, fit_intercept: bool
) -> tuple[Any]:
    """The same of centred rows in float64."""
    Y = root @ block.augmented(center, scale, fit_intercept)
    return (block.largest(np.einsum("ij,ij->j", Y, Y)),)


def _largest_share(
    block: Block, directions: Array, center: Array, scale: Array, fit_intercept: bool
) -> tuple[Any]:
    """The largest entry of any row in some directions."""
    Y = np.abs(directions @ block.augmented(center, scale, fit_intercept))
    return (block.largest(Y.max(axis=0)),)
