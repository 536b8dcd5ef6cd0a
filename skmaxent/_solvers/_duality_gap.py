"""The duality gap: an upper bound on F - F* from entropy maximisation.

F is the mean loss plus the penalty, and F* its minimum. θ (R, d + 1) are the coefficients of the d
standardised columns for R logits, with the intercepts last. x̃_i is the standardised row i, p_i
are its probabilities at θ, t_i its targets, o_i its offsets, and H is the entropy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Penalty, Ridge
from skmaxent._solvers._free_columns import BalancedGradient
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array


@dataclass(frozen=True)
class Means:
    """Weighted means over the rows, from which the dual objective is computed.

    Attributes
    ----------
    shares : ndarray of shape (R,)
        The mean of the targets t.
    target_columns : ndarray of shape (R, d)
        The mean of t x̃ᵀ.
    offset : ndarray of shape (R,) or None
        The mean of the offsets.
    target_offset : float
        The mean of the inner products of t and the offset.
    """

    shares: Array
    target_columns: Array
    offset: Array | None = None
    target_offset: float = 0.0


def duality_gap(
    point: Point,
    value: float,
    penalty: Ridge | Penalty,
    means: Means,
    error: Array,
    balanced: BalancedGradient | None = None,
) -> float:
    """Return the duality gap F(θ) - D(q) >= F(θ) - F* for a dual point q near the probabilities p.

    The dual is entropy maximisation. With r the penalty and r* its conjugate,

        D(q) = mean [H(q_i) + (q_i - t_i)·o_i] - r*(-M),   M = mean (q_i - t_i) x̃_iᵀ,

    for any distributions q_i. The dual point is found in three cases:

    - If there is no intercept, or if its gradient is zero, q is p. The gap of a ridge is then
      Σ_j ‖∂F/∂w_j‖²/(2λ_j).
    - Otherwise q is (1 - ε) p + ε u, because with an intercept the mean of q must be the mean of t.
      u is the distribution, equal for all rows, for which the means agree. The entropy is concave,
      so that H(q) >= (1 - ε) H(p) + ε H(u).
    - If r*(-M) is infinite for that q, as where a gradient exceeds an L1 penalty, the dual point is
      t + s (q - t) with the largest s <= 1 for which it is finite. H(t) >= 0.

    If no dual point is found, the result is infinity.

    Parameters
    ----------
    point : Point
        The loss and its gradient at θ.
    value : float
        F(θ), loss and penalty.
    penalty : Ridge or Penalty
    means : Means
    error : ndarray of shape (R, d + 1)
        The size of the rounding errors of the gradient, by which the entries of |M| are enlarged.
    balanced : BalancedGradient, optional
        The gradient of other probabilities q, which take the place of p. The mean of H(q) + (q-t)·o
        is that of p, less the divergence of q from p and the change of the gradient times θ.
    """
    gradient = point.loss_gradient() if balanced is None else balanced.gradient.copy(order="F")
    if balanced is not None:
        error = np.where(balanced.gradient == 0.0, 0.0, error)
    elif isinstance(penalty, Ridge) and point.gradient[:, :-1][:, penalty.strength == 0.0].any():
        return np.inf  # because the conjugate is infinite
    objective = point.objective
    c = point.theta[:, -1]
    residual, shift = gradient[:, :-1], gradient[:, -1]
    # The mean of H(p) + (p - t)·o, because the log-normaliser is H(p) + p·z.
    dual = point.loss - inner(residual, point.theta[:, :-1]) - float(shift @ c)
    if balanced is not None:
        dual -= balanced.divergence
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
            residual *= 1.0 - epsilon
            residual -= epsilon * means.target_columns
    V = np.zeros(point.theta.shape, order="F")
    np.sign(residual, out=V[:, :-1])
    V[:, :-1] *= error[:, :-1]
    V[:, :-1] += residual
    np.negative(V, out=V)
    V = V[:, :-1] if isinstance(penalty, Ridge) else V
    share = penalty.dual_scaling(V)
    return max(value - share * dual + penalty.conjugate(share * V), 0.0)
