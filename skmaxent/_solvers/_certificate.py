"""Upper bounds on F(θ) - F*, from duality or from self-concordance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._blocks import Block
from skmaxent._metric import AssembledMetric, inverse_root, reference_size
from skmaxent._metric_choice import ASSEMBLED_SIZE, FULL_COVARIANCE_FEATURES
from skmaxent._objective import MultinomialObjective, Point, Probabilities
from skmaxent._solvers._conjugate_gradients import Step, steihaug
from skmaxent._solvers._smooth import Outcome, length
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


def relative_gap(outcome: Outcome, null: Point, moving: Array, shares: Array) -> float:
    """Bound on (F - F*)/F, in [0, 1]: the better of the two bounds below, and F* >= 0."""
    point = outcome.point
    if point.value <= 0.0:
        return 0.0
    bound = point.value
    if point.objective.penalty.is_strict:
        bound = min(bound, duality_gap(point, null, shares))
    if bound > TIGHT * point.value:
        bound = min(bound, self_concordance_bound(outcome, moving, shares))
    # No bound is better than what rounding makes of F itself.
    return float(min(1.0, (bound + point.rounding) / point.value))


def duality_gap(point: Point, null: Point, shares: Array) -> float:
    """F(θ) - D(q) for a dual-feasible q near p(θ).

    The dual of the ridge problem is entropy maximisation, D(q) = mean H(q_i) - Σ_j ‖R_j‖²/(2λ_j)
    with R = mean (q_i - t_i) x_iᵀ; an intercept asks for mean q = mean t. Without intercept, or
    where its gradient vanishes, q = p is feasible and the gap is Σ_j ‖∂F/∂w_j‖²/(2λ_j). Otherwise
    q = (1 - ε) p + ε u with the constant distribution u that makes the means agree, and
    concavity of the entropy, H(q) >= (1 - ε) H(p) + ε H(u).

    Parameters
    ----------
    point : Point
    null : Point
        The model without features.
    shares : ndarray of shape (K,)
        Mean of t, the weighted class shares.
    """
    objective = point.objective
    strength = objective.penalty.strength
    W, c = point.theta[:, :-1], point.theta[:, -1]
    loss_gradient = point.gradient[:, :-1] - objective.penalty.gradient(W)
    residual, entropy = loss_gradient, 0.0
    epsilon = 0.0
    if objective.fit_intercept:
        logit_gradient = point.gradient[:, -1]
        means = shares + (
            logit_gradient if len(c) > 1 else np.array([-logit_gradient[0], logit_gradient[0]])
        )
        if (means <= 0.0).any():
            return np.inf
        epsilon = float(np.max((means - shares) / means))
        if epsilon >= 1.0:
            return np.inf
        if epsilon > 0.0:
            u = np.maximum(means + (shares - means) / epsilon, 0.0)
            entropy = -float(np.sum(u * np.log(np.where(u > 0.0, u, 1.0))))
            # μ is the mean of X, so that mean u (x - μ)ᵀ vanishes for every constant u: the
            # gradient at the null model is -mean t (x - μ)ᵀ.
            null_gradient = null.gradient[:, :-1]
            residual = (1.0 - epsilon) * loss_gradient + epsilon * null_gradient
    entropy_p = point.loss - inner(loss_gradient, W) - point.gradient[:, -1] @ c
    dual = (1.0 - epsilon) * entropy_p + epsilon * entropy
    dual -= 0.5 * float((residual**2 / strength).sum())
    return max(point.value - float(dual), 0.0)


def self_concordance_bound(outcome: Outcome, moving: Array, shares: Array) -> float:
    """F(θ) - F* from the Newton decrement, with no assumption on where the optimum is.

    Along a step Δ the curvature changes by at most a factor exp(t), t the largest range over
    classes of the logits' change (a third cumulant is at most range times variance; Bach 2010,
    Electron. J. Stat. 4, 384-414; Marteau-Ferey, Bach & Rudi 2019, NeurIPS 32). With r the
    largest such range of a step of unit length in M, any matrix below H, δ the Newton decrement
    and ρ = r δ < 1,

        F(θ) - F* <= [ρ + (1 - ρ) log(1 - ρ)] / r²   (δ²/2 for small ρ).

    Conjugate gradients bound δ from above whatever their accuracy: a step s with the residual
    q = g + H s has δ² = -2 gᵀs - sᵀHs + qᵀH⁻¹q, and qᵀH⁻¹q <= qᵀM⁻¹q.
    """
    below = _kronecker_below(outcome.point, shares)
    bound = np.inf if below is None else _bound_within(outcome, below)
    if bound == np.inf:
        below = _assembled_below(outcome.point, moving)
        bound = np.inf if below is None else _bound_within(outcome, below)
    return bound


def _bound_within(outcome: Outcome, below: _Below) -> float:
    """The bound that M gives: by M alone where that will do, else by conjugate gradients."""
    point, metric = outcome.point, outcome.metric
    norm = length(metric, point.gradient)

    def bound(step: Step | None) -> float:
        if step is None:
            decrement = length(below, point.gradient)
        else:
            decrement = np.hypot(np.sqrt(2.0 * step.predicted), length(below, step.residual))
        return _self_concordance(float(decrement), below.largest_range)

    least = bound(None)
    if least <= TIGHT * point.value or _self_concordance(norm, below.largest_range) == np.inf:
        return least
    if outcome.last is not None:
        least = min(least, bound(outcome.last))
        # The residual adds no more than the step: a better step could halve the bound at best.
        if least <= 2.0 * outcome.last.predicted:
            return least
    step = steihaug(
        point.hessian_product,
        metric.solve,
        point.gradient,
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
    logits k, l then differ by at most sqrt(1/π_k + 1/π_l) sqrt(x̃ᵀG⁻¹x̃).
    """
    objective = point.objective
    blocks = objective.blocks
    passes = MAX_PRODUCTS * (1 if objective.penalty.is_strict else 10)
    cost = blocks.n_samples * blocks.n_features**2
    if blocks.n_features > FULL_COVARIANCE_FEATURES or cost > passes * 4 * blocks.work:
        return None
    (G,) = blocks.map_reduce(
        _least_curvature,
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
    rarest = np.partition(shares, 1)[:2]
    largest = float(np.sqrt(float((1.0 / rarest).sum()) * float(leverage) * NARROW))
    return _Below(lambda G: inverse_A @ (G @ root.T) @ root, largest)


def _range_in_assembled(
    block: Block, inverse: Array, center: Array, scale: Array, fit_intercept: bool
) -> tuple[Array]:
    """Bound on the range of logits that a step of unit length can make on a row, largest row.

    A logit k can change by sqrt(x̃ᵀ [M⁻¹]_kk x̃), a difference by the sum of two of them.
    """
    X = block.augmented(center, scale, fit_intercept)
    change = np.stack([np.einsum("ij,ij->j", B @ X, X).clip(0.0) for B in inverse])
    change = np.sqrt(change)
    change.sort(axis=0)
    return (np.asarray(change[-2:].sum(axis=0).max()),)


def _least_curvature(
    block: Block,
    probabilities: Probabilities,
    at: tuple[Array, Array],
    shares: Array,
    center: Array,
    scale: Array,
    fit_intercept: bool,
) -> tuple[Array]:
    P = probabilities.of(block, *at)
    if len(P) == 1:
        least = P[0] * (1.0 - P[0]) / (shares[0] * shares[1])
    else:
        least = (P / shares[:, None]).min(axis=0)
    weights = least * block.weights_or_ones()
    G = np.empty((len(center) + 1, len(center) + 1))
    G[:-1, :-1] = block.covariance(weights, center) / np.multiply.outer(scale, scale)
    G[-1, -1] = total = fit_intercept * weights.sum()
    G[-1, :-1] = G[:-1, -1] = (fit_intercept * block.gram(weights[None]) - total * center) / scale
    return (G,)


def _largest_leverage(block: Block, root: Array, center: Array, scale: Array) -> tuple[Any]:
    A = (root[:, :-1] / scale).T
    b = root[:, -1] - center @ A
    dtype = block.X.dtype
    Y = block.X @ A.astype(dtype, copy=False) + b.astype(dtype, copy=False)
    return (np.einsum("ij,ij->i", Y, Y).max(),)
