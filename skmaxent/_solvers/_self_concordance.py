"""An upper bound on F - F* from the Newton decrement, because the loss is self-concordant.

F is the mean loss plus the penalty, and F* its minimum. θ of shape (R, d + 1) are the coefficients
of the d standardised columns for R logits, with the intercepts in the last column; gradients and
steps have the shape of θ. g is a gradient of F, or a subgradient, and w_k is a coefficient of the
logit k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Penalty, Ridge
from skmaxent._solvers._conjugate_gradients import Step, conjugate_gradients
from skmaxent._solvers._hessian_bounds import (
    CERTIFICATE_PRODUCTS,
    KEPT_SHARE,
    HessianBound,
    LastBound,
    affords_bound,
    assembled_bound,
    kronecker_bound,
)
from skmaxent._solvers._preconditioners import ApproximateInverse
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# If the bound on (F - F*)/F is below this, a better one is not worth a pass over X.
TIGHT = 1e-7
# Relative residual of the Newton step from which a bound is computed. The bound includes the
# residual, whose square is then about a thousandth of that of the decrement.
CERTIFICATE_ACCURACY = 0.03


@dataclass(frozen=True)
class NewtonStep:
    """What is needed to compute the Newton step from a point by conjugate gradients.

    Attributes
    ----------
    point : Point
    preconditioner : ApproximateInverse or None
        If it is None, there are no conjugate gradients, and the bound is larger.
    found : Step or None
        A Newton step from the point that a solver has computed.
    """

    point: Point
    preconditioner: ApproximateInverse | None
    found: Step | None


class _Gradient(NamedTuple):
    """A subgradient of F, or the residual of a Newton step.

    Attributes
    ----------
    whole : ndarray of shape (R, d + 1)
    penalised : ndarray of shape (R, d + 1)
        What the penalty adds to it; exactly zero for columns without penalty and bounds.
    error : ndarray of shape (R, d + 1)
        The size of its rounding errors.
    """

    whole: Array
    penalised: Array
    error: Array

    def length(self, below: HessianBound) -> float:
        """Return its length in the norm of M⁻¹, for a matrix M below the Hessian."""
        return below.length(self.whole, self.error, self.penalised)

    def plus(self, curvature: Array, penalised: Array) -> _Gradient:
        """Return the residual of a Newton step from its product with the Hessian, (R, d + 1).

        `penalised` is what the penalty adds to the product.
        """
        return _Gradient(self.whole + curvature, self.penalised + penalised, self.error)


def self_concordance_bound(
    point: Point,
    value: float,
    penalty: Ridge | Penalty,
    shares: Array,
    error: Array,
    newton: NewtonStep,
    last: LastBound | None = None,
    least_bound: float = TIGHT,
) -> float:
    """Return an upper bound on F(θ) - F* from the Newton decrement.

    The bound holds wherever the optimum is. Along a step Δ, the curvature changes by at most a
    factor of exp(t), where t is the largest range over the classes, for any row, of the change of
    the logits. For a third cumulant is at most the range times the variance (Bach 2010, Electron.
    J. Stat. 4, 384-414; Marteau-Ferey, Bach & Rudi 2019, NeurIPS 32). Let M be a matrix below the
    Hessian H, r the largest such range for a step of unit length in M, δ the Newton decrement and
    ρ = r δ < 1. Then

        F(θ) - F* <= [ρ + (1 - ρ) log(1 - ρ)] / r²,   which is δ²/2 for small ρ.

    Conjugate gradients give an upper bound of δ, whatever their accuracy: a step s with the
    residual q = g + H s has δ² = -2 gᵀs - sᵀHs + qᵀH⁻¹q, and qᵀH⁻¹q <= qᵀM⁻¹q. If F is nonsmooth, g
    may be any subgradient, because the penalty is nowhere below the linear function it defines.

    The bound is infinite if F may decrease in a direction in which M is zero. The loss is constant
    in two kinds of directions, for which the decrease is bounded separately: shifts of the
    coefficients of a feature by one number for all classes, and the coefficients of constant
    columns.

    Parameters
    ----------
    point : Point
        θ, with the loss and its derivatives.
    value : float
        F(θ).
    penalty : Ridge or Penalty
    shares : ndarray of shape (R,)
        The shares of the classes, from which `kronecker_bound` computes M.
    error : ndarray of shape (R, d + 1)
        The size of the rounding errors of the gradient.
    newton : NewtonStep
    last : LastBound, optional
        A matrix below the Hessian at an earlier θ. M is computed from this matrix if θ is near;
        otherwise M is computed anew and kept in `last`, unless the earlier matrix gives a bound of
        at most `least_bound` times F(θ).
    least_bound : float, default=TIGHT
    """
    ridge = _least_ridge(penalty)
    if not affords_bound(point.objective, ridge) or _is_flat(point.objective, penalty, ridge):
        return np.inf
    varying = point.objective.varying
    gradient, shifts = _without_shifts(point, value, penalty)
    constant = np.flatnonzero(~varying)
    gradient[:, constant] = 0.0
    separate = shifts + _gap_of_constant_columns(point.theta, penalty, constant)
    if not np.isfinite(separate):
        return np.inf
    error = np.where(np.append(varying, True), error, 0.0)
    penalised = np.where(_are_penalised(penalty), gradient - point.loss_gradient(), 0.0)
    penalised[:, constant] = 0.0
    found = _Gradient(gradient, penalised, error)
    known, share = (None, 0.0) if last is None else last.at(point, ridge)
    if known is not None:
        is_near = share >= KEPT_SHARE
        step = newton if is_near else NewtonStep(point, None, None)
        bound = separate + _bound_within(known, found, value, step, ridge)
        bound += _gap_of_null_directions(known, penalised, ridge, point.theta, penalty)
        if is_near or bound <= least_bound * value:
            return bound
    below = kronecker_bound(point, shares, ridge)
    bound = np.inf if below is None else _bound_within(below, found, value, newton, ridge)
    if bound == np.inf:
        below = assembled_bound(point, ridge)
        bound = np.inf if below is None else _bound_within(below, found, value, newton, ridge)
    if last is not None and below is not None:
        last.keep(point.theta, ridge, below)
    if below is not None and np.isfinite(bound):
        bound += _gap_of_null_directions(below, penalised, ridge, point.theta, penalty)
    return separate + bound


def _gap_of_null_directions(
    below: HessianBound, penalised: Array, ridge: Array, theta: Array, penalty: Ridge | Penalty
) -> float:
    """Return a bound on the decrease of F along the null space of M, where only a ridge curves F.

    A ridge that is weak beside the loss is lost in the rounding of M. The loss is constant along
    these directions, so that the decrease is at most the ridge penalty at θ (R, d + 1), and only
    the part of the gradient that the penalty adds counts; `penalised` is that of `_Gradient`.
    """
    if not (len(below.null) and ridge.any()):
        return 0.0
    null, strength = below.null, np.append(ridge, 0.0)
    if below.between is None:
        r = null.shape[1] // len(strength)
        penalised, strength = penalised[:r].reshape(1, -1), np.tile(strength, r)
    along = penalised @ null.T
    curvature = (null * strength) @ null.T
    gain = inner(along, along @ np.linalg.pinv(curvature, hermitian=True))
    if isinstance(penalty, Ridge):
        most = penalty.value(theta[:, :-1])
    else:
        most = 0.5 * float(np.sum(penalty.ridge * np.square(theta - penalty.target)))
    return min(gain, most)


def _without_shifts(point: Point, value: float, penalty: Ridge | Penalty) -> tuple[Array, float]:
    """Return a subgradient of F that sums to zero over the classes, and a bound for shifts.

    The subgradient has the shape (R, d + 1). The bound is on the decrease of F by shifts, which
    change all coefficients of a feature by one number. If logits are not coupled, it is zero.

    If logits are coupled, shifts do not change the loss. With s the sum of a subgradient g over the
    K classes, a shift lowers the penalty by at most

        s²/(2 Σ_k λ_k)                under a ridge λ_k, which leaves g_k - s λ_k/Σλ of g_k,
        |s|/K Σ_k (|w_k| + |w*_k|)    under an L1 penalty, where Σ l1 |w*| <= F(θ),
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
        gradient = penalty.zero_sum_subgradient(theta, point.loss_gradient())
        ridge = np.broadcast_to(penalty.ridge, theta.shape)
        total = penalty.subgradient_sums(theta)
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


def _gap_of_constant_columns(theta: Array, penalty: Ridge | Penalty, constant: Array) -> float:
    """Return the penalty of the constant columns at θ (R, d + 1) minus its least value.

    `constant` are the positions of these columns.
    """
    if not len(constant):
        return 0.0
    part = theta[:, constant]
    if isinstance(penalty, Ridge):
        return Ridge(penalty.strength[constant]).value(part)
    columns = penalty.columns(constant)
    return max(columns.value(part) + columns.conjugate(np.zeros(part.shape)), 0.0)


def _least_ridge(penalty: Ridge | Penalty) -> Array:
    """Return the smallest ridge strength of each column over the classes, (d,)."""
    if isinstance(penalty, Ridge):
        return penalty.strength
    return np.asarray(penalty.ridge.min(axis=0)[:-1])


def _is_flat(objective: MultinomialObjective, penalty: Ridge | Penalty, ridge: Array) -> bool:
    """Return whether more columns than rows have an L1 penalty and no ridge.

    Every M is then zero in directions in which only the L1 penalty changes, and its subgradients
    are not zero there, except at the optimum itself.
    """
    if isinstance(penalty, Ridge):
        return False
    has_l1_alone = np.all(penalty.l1 > 0.0, axis=0)[:-1] & (ridge == 0.0) & objective.varying
    return int(np.count_nonzero(has_l1_alone)) > objective.blocks.n_samples


def _are_penalised(penalty: Ridge | Penalty) -> Array:
    """Return which columns have a penalty or a bound in some class, bool (d + 1,)."""
    if isinstance(penalty, Ridge):
        return np.append(penalty.strength > 0.0, False)
    are_penalised = (penalty.l1 > 0.0) | (penalty.ridge > 0.0)
    if isinstance(penalty, Elementwise):
        are_penalised = are_penalised | np.isfinite(penalty.lower) | np.isfinite(penalty.upper)
    return np.asarray(are_penalised.any(axis=0))


def _bound_within(
    below: HessianBound, gradient: _Gradient, value: float, newton: NewtonStep, ridge: Array
) -> float:
    """Return the bound on F - F* from a matrix M below the Hessian; it may be infinite.

    The length of the gradient in the norm of M⁻¹ is an upper bound of the Newton decrement. If it
    is not tight, conjugate gradients with the Hessian itself improve it. `below` is M, `value` is
    F, and `ridge` (d,) the part of the penalty that M contains.
    """
    noise = 2.0 * below.length_of_errors(gradient.error)
    strength = np.append(ridge, 0.0)
    contains_ridge = not newton.point.objective.penalty.is_zero

    def product(direction: Array) -> Array:
        curvature = newton.point.hessian_product(direction)
        return curvature if contains_ridge else curvature + strength * direction

    def bound(decrement: float) -> float:
        return _bound_from_decrement(decrement + noise, below.largest_range)

    def by_step(predicted: float, residual: _Gradient) -> float:
        return bound(float(np.hypot(np.sqrt(2.0 * predicted), residual.length(below))))

    least = bound(gradient.length(below))
    preconditioner = newton.preconditioner
    if preconditioner is None or least <= TIGHT * value:
        return least
    g = gradient.whole
    norm = float(np.sqrt(max(inner(g, preconditioner.solve(g)), 0.0)))
    if _bound_from_decrement(norm, below.largest_range) == np.inf:
        return least
    if newton.found is not None:
        s = newton.found.direction
        curvature = product(s)
        predicted = max(-inner(g, s) - 0.5 * inner(s, curvature), 0.0)
        least = min(least, by_step(predicted, gradient.plus(curvature, strength * s)))
        # The residual adds no more than the step: a better step could halve the bound at best.
        if least <= 2.0 * predicted:
            return least
    step = conjugate_gradients(
        product,
        preconditioner.solve,
        g,
        radius=np.inf,
        tolerance=CERTIFICATE_ACCURACY * norm,
        max_products=CERTIFICATE_PRODUCTS,
    )
    residual = gradient.plus(step.residual - g, strength * step.direction)
    return min(least, by_step(step.predicted, residual))


def _bound_from_decrement(decrement: float, largest_range: float) -> float:
    """Return [ρ + (1 - ρ) log(1 - ρ)] / r² for a decrement δ, a range r and ρ = r δ."""
    rho = largest_range * decrement
    if not rho < 1.0:
        return np.inf
    if rho < 1e-3:  # the closed form cancels; its series is below ρ²/2 (1 + ρ/2)
        return 0.5 * decrement**2 * (1.0 + 0.5 * rho)
    return float((rho + (1.0 - rho) * np.log1p(-rho)) / largest_range**2)
