"""Upper bounds on F(θ) - F*, from duality or from self-concordance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._blocks import Block, RowBlocks
from skmaxent._metric import ASSEMBLED_SIZE, AssembledMetric, reference_size
from skmaxent._objective import Point

Array = NDArray[Any]

# Relative gap below which a second bound is not worth a pass.
TIGHT = 1e-9
# Multiplications that a certificate may cost, in those of a pass.
CERTIFICATE_PASSES = 20


def relative_gap(point: Point, variances: Array, shares: Array, null: Array) -> float:
    """Bound on (F - F*)/F, in [0, 1]: the better of the two bounds below, and F* >= 0."""
    if point.value <= 0.0:
        return 0.0
    bound = point.value
    if point.objective.penalty.is_strict:
        bound = min(bound, duality_gap(point, shares, null))
    if bound > TIGHT * point.value:
        bound = min(bound, self_concordance_bound(point, variances))
    # No bound is better than what rounding makes of F itself.
    return float(min(1.0, (bound + point.rounding) / point.value))


def duality_gap(point: Point, shares: Array, null: Array) -> float:
    """F(θ) - D(q) for a dual-feasible q near p(θ).

    The dual of the ridge problem is entropy maximisation, D(q) = mean H(q_i) - Σ_j ‖R_j‖²/(2λ_j)
    with R = mean (q_i - t_i) x_iᵀ; an intercept asks for mean q = mean t. Without intercept, or
    where its gradient vanishes, q = p is feasible and the gap is Σ_j ‖∂F/∂w_j‖²/(2λ_j). Otherwise
    q = (1 - ε) p + ε u with the constant distribution u that makes the means agree, and
    concavity of the entropy, H(q) >= (1 - ε) H(p) + ε H(u).

    Parameters
    ----------
    point : Point
    shares : ndarray of shape (K,)
        Mean of t, the weighted class shares.
    null : ndarray of shape (R, d + 1)
        θ of the model without features.
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
            null_gradient = objective.at(null).gradient[:, :-1]
            residual = (1.0 - epsilon) * loss_gradient + epsilon * null_gradient
    entropy_p = point.loss - np.vdot(loss_gradient, W) - point.gradient[:, -1] @ c
    dual = (1.0 - epsilon) * entropy_p + epsilon * entropy
    dual -= 0.5 * float((residual**2 / strength).sum())
    return max(point.value - float(dual), 0.0)


def self_concordance_bound(point: Point, variances: Array) -> float:
    """F(θ) - F* from the Newton decrement, with no assumption on where the optimum is.

    Along a step Δ the curvature changes by at most a factor exp(t), t the largest range over
    classes of the logits' change (a third cumulant is at most range times variance; Bach 2010,
    Electron. J. Stat. 4, 384-414; Marteau-Ferey, Bach & Rudi 2019, NeurIPS 32). With r the
    largest such range of a step of unit length in H, δ the decrement and ρ = r δ < 1,

        F(θ) - F* <= [ρ + (1 - ρ) log(1 - ρ)] / r²   (δ²/2 for small ρ).

    H may be replaced by any M below it: here the rows of a sample where all are too many, for
    each row adds a positive semidefinite term.
    """
    objective = point.objective
    blocks = objective.blocks
    p = reference_size(objective)
    n_rows = CERTIFICATE_PASSES * 4 * blocks.size * blocks.n_logits // p**2
    if p > ASSEMBLED_SIZE or n_rows < 2 * p:
        return np.inf
    sample = blocks.sample(n_rows)
    scale = _weight(sample) / objective.total_weight
    metric = AssembledMetric(
        objective, point.theta, sample, variances, loss_scale=scale, fill=False
    )
    squared = float(np.vdot(point.gradient, metric.solve(point.gradient)))
    decrement = float(np.sqrt(max(squared, 0.0)))
    (largest,) = blocks.map_reduce(
        _leverage,
        metric.inverse_blocks(),
        objective.center,
        objective.fit_intercept,
        combine=np.maximum,
    )
    rho = float(largest) * decrement
    if not rho < 1.0:
        return np.inf
    if rho < 1e-3:  # the closed form cancels; its series is below ρ²/2 (1 + ρ/2)
        return 0.5 * decrement**2 * (1.0 + 0.5 * rho)
    return float((rho + (1.0 - rho) * np.log1p(-rho)) / float(largest) ** 2)


def _weight(blocks: RowBlocks) -> float:
    return float(blocks.n_samples if blocks.weights is None else blocks.weights.sum())


def _leverage(block: Block, inverse: Array, center: Array, fit_intercept: bool) -> tuple[Array]:
    """Bound on the range of logits that a step of unit length can make on a row, largest row.

    A logit k can change by sqrt(x̃ᵀ [M⁻¹]_kk x̃), a difference by the sum of two of them.
    """
    X = block.dense()
    X -= center
    X = np.column_stack([X, np.full(len(X), float(fit_intercept))])
    change = np.stack([np.einsum("ij,ij->i", X @ B, X).clip(0.0) for B in inverse])
    change = np.sqrt(change)
    change.sort(axis=0)
    return (np.asarray(change[-2:].sum(axis=0).max()),)
