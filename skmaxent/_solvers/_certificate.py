"""Upper bounds on F(θ) - F*, from duality or from self-concordance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._arrays import empty
from skmaxent._block import Block
from skmaxent._likelihood import Likelihood
from skmaxent._metric import AssembledMetric, Solves, inverse_root, reference_size
from skmaxent._metric_choice import ASSEMBLED_SIZE, FULL_COVARIANCE_FEATURES
from skmaxent._objective import MultinomialObjective, Point, Probabilities
from skmaxent._penalty import Penalty, Ridge
from skmaxent._solvers._conjugate_gradients import Step, steihaug
from skmaxent._solvers._smooth import length
from skmaxent._vectors import inner

Array = NDArray[Any]

# Relative gap below which a better bound is not worth a pass.
TIGHT = 1e-7
# Of the Newton step that a bound is made of, relative to the gradient.
ACCURACY = 0.03
# Room for the rounding of float32 in the largest leverage.
NARROW = 1.001
# Passes that a certificate may cost: Hessian products, or as many multiplications.
MAX_PRODUCTS = 10


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


@dataclass(frozen=True)
class Reached:
    """Where a solver ended: F there, a subgradient of F, and what is known of the Newton step.

    `metric` and `last`, a Newton step with its residual, are None where there are none.
    """

    point: Point
    value: float
    gradient: Array
    metric: Solves | None = None
    last: Step | None = None


def relative_gap(
    reached: Reached,
    penalty: Ridge | Penalty,
    means: Means,
    moving: Array,
    *,
    least_bound: float = TIGHT,
) -> float:
    """Bound on (F - F*)/F, in [0, 1]: the better of the two bounds below, and F* >= 0.

    Where duality gives less than `least_bound` of F, the other is not worth its passes.
    """
    value = reached.value
    if value <= 0.0:
        return 0.0
    bound = min(value, duality_gap(reached.point, value, penalty, means))
    if bound > least_bound * value:
        bound = min(bound, self_concordance_bound(reached, means.shares, moving))
    # No bound is better than what rounding makes of F itself.
    return float(min(1.0, (bound + reached.point.rounding) / value))


def duality_gap(point: Point, value: float, penalty: Ridge | Penalty, means: Means) -> float:
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
    """
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
    V[:, :-1] = -residual
    V = V[:, :-1] if isinstance(penalty, Ridge) else V
    share = penalty.finite_share(V)
    return max(value - share * dual + penalty.conjugate(share * V), 0.0)


def self_concordance_bound(reached: Reached, shares: Array, moving: Array) -> float:
    """F(θ) - F* from the Newton decrement, with no assumption on where the optimum is.

    Along a step Δ the curvature changes by at most a factor exp(t), t the largest range over
    classes of the logits' change (a third cumulant is at most range times variance; Bach 2010,
    Electron. J. Stat. 4, 384-414; Marteau-Ferey, Bach & Rudi 2019, NeurIPS 32). With r the
    largest such range of a step of unit length in M, any matrix below H, δ the Newton decrement
    and ρ = r δ < 1,

        F(θ) - F* <= [ρ + (1 - ρ) log(1 - ρ)] / r²   (δ²/2 for small ρ).

    Conjugate gradients bound δ from above whatever their accuracy: a step s with the residual
    q = g + H s has δ² = -2 gᵀs - sᵀHs + qᵀH⁻¹q, and qᵀH⁻¹q <= qᵀM⁻¹q. Where F has corners, any
    subgradient serves as g; for F(θ') is above its line by what the loss is.
    """
    below = _kronecker_below(reached.point, shares)
    bound = np.inf if below is None else _bound_within(reached, below)
    if bound == np.inf:
        below = _assembled_below(reached.point, moving)
        bound = np.inf if below is None else _bound_within(reached, below)
    return bound


def _bound_within(reached: Reached, below: _Below) -> float:
    """The bound that M gives: by M alone where that will do, else by conjugate gradients."""
    point, metric, last, gradient = reached.point, reached.metric, reached.last, reached.gradient

    def bound(step: Step | None) -> float:
        if step is None:
            decrement = length(below, gradient)
        else:
            decrement = np.hypot(np.sqrt(2.0 * step.predicted), length(below, step.residual))
        return _self_concordance(float(decrement), below.largest_range)

    least = bound(None)
    if metric is None or least <= TIGHT * reached.value:
        return least
    norm = length(metric, gradient)
    if _self_concordance(norm, below.largest_range) == np.inf:
        return least
    if last is not None:
        least = min(least, bound(last))
        # The residual adds no more than the step: a better step could halve the bound at best.
        if least <= 2.0 * last.predicted:
            return least
    step = steihaug(
        point.hessian_product,
        metric.solve,
        gradient,
        radius=np.inf,
        tolerance=ACCURACY * norm,
        max_products=MAX_PRODUCTS,
    )
    return min(least, bound(step))


def _self_concordance(decrement: float, largest_range: float) -> float:
    rho = largest_range * decrement
    if not rho < 1.0:
        return np.inf
    if rho < 1e-3:  # the closed form cancels; its series is below ρ²/2 (1 + ρ/2)
        return 0.5 * decrement**2 * (1.0 + 0.5 * rho)
    return float((rho + (1.0 - rho) * np.log1p(-rho)) / largest_range**2)


@dataclass(frozen=True)
class _Below:
    """A matrix M below the Hessian: M⁻¹, and the largest range of a step of unit length in M."""

    solve: Callable[[Array], Array]
    largest_range: float


def rows_below(objective: MultinomialObjective) -> int:
    """Rows whose Hessian costs what a certificate may cost."""
    return MAX_PRODUCTS * 4 * objective.blocks.work // reference_size(objective) ** 2


def _assembled_below(point: Point, moving: Array) -> _Below | None:
    """The Hessian of a sample of rows: each row adds a positive semidefinite term."""
    objective = point.objective
    blocks = objective.blocks
    p, n_rows = reference_size(objective), rows_below(objective)
    if p > ASSEMBLED_SIZE or n_rows < 2 * p:
        return None
    sample = objective if n_rows >= blocks.n_samples else objective.standardised(n_rows)
    scale = sample.total_weight / objective.total_weight
    metric = AssembledMetric(point, sample, moving, loss_scale=scale, fill=False)
    (largest,) = blocks.map_reduce(
        _range_in_assembled,
        objective.likelihood.is_coupled,
        metric.inverse_blocks(),
        objective.center,
        objective.scale,
        objective.fit_intercept,
        combine=np.maximum,
    )
    return _Below(metric.solve, float(largest))


def _kronecker_below(point: Point, shares: Array) -> _Below | None:
    """A ⊗ G with A = diag π - π πᵀ and G = mean β_i x̃_i x̃_iᵀ, β_i = min_k p_ik/π_k.

    For uᵀ(diag p - p pᵀ)u = min_c Σ_k p_k (u_k - c)² >= β min_c Σ_k π_k (u_k - c)². A row's
    logits k, l then differ by at most sqrt(1/π_k + 1/π_l) sqrt(x̃ᵀG⁻¹x̃). For sigmoids A = diag π
    (1 - π), β_i the least ratio of p (1 - p) to it, and a logit counts for itself.
    """
    objective = point.objective
    blocks = objective.blocks
    passes = MAX_PRODUCTS * (1 if objective.penalty.is_strict else 10)
    cost = blocks.n_samples * blocks.n_features**2
    if blocks.n_features > FULL_COVARIANCE_FEATURES or cost > passes * 4 * blocks.work:
        return None
    (G,) = blocks.map_reduce(
        _least_curvature,
        objective.likelihood,
        point.probabilities,
        objective.for_blocks(point.theta),
        shares,
        objective.center,
        objective.scale,
        objective.fit_intercept,
    )
    G /= objective.total_weight
    size = np.sqrt(G.diagonal())
    inverse_size = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    G *= np.multiply.outer(inverse_size, inverse_size)
    # Directions without curvature are none of the data's, or they make the range huge.
    root = inverse_root(G, 1e-13) * inverse_size
    inverse_A = objective.likelihood.inverse_curvature(shares)
    over = objective.narrow_copy()
    (leverage,) = over.blocks.map_reduce(
        _largest_leverage, root, over.center, over.scale, combine=np.maximum
    )
    largest = objective.likelihood.largest_range(shares) * float(np.sqrt(leverage * NARROW))
    return _Below(lambda G: inverse_A @ (G @ root.T) @ root, largest)


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
) -> tuple[Array]:
    P = probabilities.of(block, *at)
    weights = likelihood.least_curvature(P, shares) * block.weights_or_ones()
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
