"""Penalties and bounds of the coefficients; the intercept has neither.

`PenaltyTerms` holds what the user asked for. A solver gets one of these penalties made of it:

- `Ridge` is smooth and has one strength for each column.
- `Elementwise` is an L1 penalty, a ridge and bounds, for each coefficient on its own.
- `Grouped` is an L2 norm of each column (group lasso) and a ridge.

The last two are not smooth. They share the interface `Penalty`, which solvers use.

Coefficients W and gradients are arrays (R, width), with a row for each logit. A parameter of shape
(1, width) stands for R equal rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skmaxent._typing import Array

# The largest strength of a penalty. It makes a coefficient zero for practical purposes, and its
# square does not overflow.
STRONGEST = 1e100
# Number of bisections of an interval; 60 reduce it to less than the last digit of float64.
BISECTIONS = 60
# A step to a bound is this much too long, so that it reaches the bound in spite of rounding.
STEP_MARGIN = 1e-14
# A slope this small relative to the strengths is rounding error.
FLAT_SLOPE = 1e-12


class Ridge:
    """The penalty Σ_j strength_j/2 · ‖w_·j‖².

    Parameters
    ----------
    strength : ndarray of shape (n_features,)
        The strength for each column; zero leaves a column unpenalised.
    """

    def __init__(self, strength: Array) -> None:
        self.strength = strength

    def value(self, coef: Array) -> float:
        """Return the penalty of coefficients (R, n_features)."""
        return float(0.5 * np.einsum("kj,kj->j", coef, coef) @ self.strength)

    def gradient(self, coef: Array) -> Array:
        """Return the gradient at the coefficients; as it is linear, also the Hessian product."""
        return np.asarray(coef * self.strength)

    hessian_product = gradient

    @property
    def is_strict(self) -> bool:
        """Whether every coefficient is penalised, so that the penalty is strictly convex."""
        return bool(np.all(self.strength > 0))

    def conjugate(self, V: Array) -> float:
        """Return the convex conjugate sup_W ⟨V, W⟩ - penalty(W)."""
        squares = np.einsum("kj,kj->j", V, V)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(0.5 * np.sum(np.where(squares > 0.0, squares / self.strength, 0.0)))

    def dual_scaling(self, V: Array) -> float:
        """Return the dual scaling, the largest s <= 1 for which the conjugate of s V is finite."""
        return float(not V[:, self.strength == 0.0].any())


@dataclass(frozen=True)
class Tangent:
    """The manifold of points near W on which a penalty is smooth, and its derivatives at W.

    On the manifold, coefficients that are zero because of an L1 penalty, or that are at a bound,
    stay where they are; the others vary.

    Attributes
    ----------
    free : boolean ndarray of shape (R, width)
        Which coefficients vary on the manifold.
    gradient : ndarray of shape (R, width)
        The gradient of the penalty along the manifold.
    diagonal : ndarray of shape (1 or R, width)
        The second derivatives of the ridge.
    group_curvature : ndarray of shape (width,), optional
        The curvature of groups: column j adds bend_j (I - u_j u_jᵀ), with u_j = unit[:, j].
    unit : ndarray of shape (R, width), optional
        The columns of W divided by their norms.
    is_coupled : bool
        Whether the loss stays the same if all coefficients of a column change by one number.
    """

    free: NDArray[np.bool_]
    gradient: Array
    diagonal: Array
    group_curvature: Array | None = None
    unit: Array | None = None
    is_coupled: bool = True

    def curvature(self, V: Array) -> Array:
        """Return the second derivative times a direction V (R, width) within the manifold."""
        out = V * self.diagonal
        if self.group_curvature is not None and self.unit is not None:
            out += self.group_curvature * (V - self.unit * np.einsum("kj,kj->j", self.unit, V))
        return np.asarray(out)


class ProximalPenalty(Protocol):
    """What proximal Newton needs of a nonsmooth penalty with bounds.

    The penalty is infinite outside of the bounds. ∂penalty(W) is its set of subgradients at W.
    """

    @property
    def signs(self) -> tuple[Array, Array]:
        """The directions in which a coefficient may go to infinity at no cost.

        Two arrays (1 or R, width). The first is -1 where the coefficient is unpenalised and has no
        lower bound, else 0. The second is 1 where it is unpenalised and has no upper bound, else 0.
        """

    def value(self, W: Array) -> float:
        """Return the penalty of W within the bounds."""

    def prox(self, V: Array, step: Array) -> Array:
        """Return the proximal point argmin_W Σ (w - v)²/(2 step) + penalty(W).

        `step` is positive and broadcasts to (R, width), with equal rows.
        """

    def minimum_norm_subgradient(self, W: Array, G: Array) -> Array:
        """Return the minimum-norm subgradient, the shortest element of G + ∂penalty(W).

        G is the gradient of the loss. The result is zero if and only if W is optimal.
        """

    def tangent(self, W: Array) -> Tangent:
        """Return the manifold of W on which the penalty is smooth."""

    def retract(self, W: Array, onto: Array) -> Array:
        """Return W with coefficients that left the manifold of `onto` moved back to its boundary.

        A coefficient or group that changed its sign, where that is not smooth, becomes zero.
        """

    def largest_feasible_step(self, W: Array, step: Array) -> float:
        """Return the largest t <= 1 for which W + t step is on the manifold of W; 0 if unknown."""

    def project(self, W: Array) -> Array:
        """Return the projection of W onto the bounds."""

    def recentre(self, W: Array) -> Array:
        """Return W with a number subtracted from each column so that the penalty is least.

        If logits are coupled, these numbers do not change the loss, so the penalty alone determines
        them. If they are not coupled, W stays unchanged.
        """

    def columns(self, index: Array) -> ProximalPenalty:
        """Return the penalty of the columns at positions `index`."""


class Penalty(ProximalPenalty, Protocol):
    """What the certificate needs of a penalty, besides what proximal Newton needs."""

    @property
    def l1(self) -> Array:
        """Strengths of the L1 part, (1 or R, width)."""

    @property
    def ridge(self) -> Array:
        """Strengths of the ridge part, (1 or R, width)."""

    @property
    def target(self) -> Array:
        """Coefficients at which the ridge part is zero, (1 or R, width)."""

    def balanced_residual(self, W: Array, G: Array) -> Array:
        """Return the shortest element of G + ∂penalty(W) whose columns sum to zero.

        A dual point of a coupled likelihood needs these sums. For columns in which no element has
        the sum zero, the result is an element with another sum.
        """

    def balanced_sums(self, W: Array) -> Array:
        """Return the sums over the rows of `balanced_residual(W, G)`, shape (width,).

        The columns of G must sum to zero. The sums then depend on the penalty alone, so this method
        computes them without the rounding errors of G. It may return sums that are larger in
        absolute value.
        """

    def conjugate(self, V: Array) -> float:
        """Return the convex conjugate sup_W ⟨V, W⟩ - penalty(W), which may be infinite."""

    def dual_scaling(self, V: Array) -> float:
        """Return the dual scaling, the largest s <= 1 for which the conjugate of s V is finite."""

    def columns(self, index: Array) -> Penalty:
        """Return the penalty of the columns at positions `index`."""


@dataclass(frozen=True)
class Elementwise:
    """The penalty Σ_kj l1_kj |w_kj| + ridge_kj/2 (w_kj - target_kj)² for lower <= w <= upper.

    The bounds may be infinite, and need not contain zero.
    """

    l1: Array
    ridge: Array
    target: Array
    lower: Array
    upper: Array
    is_coupled: bool = True

    @property
    def signs(self) -> tuple[Array, Array]:
        free = (self.l1 == 0.0) & (self.ridge == 0.0)
        low, high = free & np.isinf(self.lower), free & np.isinf(self.upper)
        return -low.astype(float), high.astype(float)

    @cached_property
    def _has_bounds(self) -> bool:
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    @cached_property
    def _has_ridge(self) -> bool:
        return bool(self.ridge.any())

    def _smooth_gradient(self, W: Array) -> Array | float:
        """Return the gradient of the ridge part."""
        return self.ridge * (W - self.target) if self._has_ridge else 0.0

    def value(self, W: Array) -> float:
        value = float(np.einsum("kj,kj->", np.broadcast_to(self.l1, W.shape), np.abs(W)))
        if self._has_ridge:
            value += 0.5 * float(np.sum(self.ridge * np.square(W - self.target)))
        return value

    def prox(self, V: Array, step: Array) -> Array:
        if self._has_ridge:
            V = V + step * self.ridge * self.target
        W = soft_threshold(V, step * self.l1)
        if self._has_ridge:
            W /= 1.0 + step * self.ridge
        return self.project(W)

    def minimum_norm_subgradient(self, W: Array, G: Array) -> Array:
        smooth = G + self._smooth_gradient(W)
        if not self._has_bounds:
            # At zero the subgradients of |w| are [-1, 1]; elsewhere there is one, the sign of w.
            out = soft_threshold(smooth, self.l1)
            some = W.nonzero()
            l1 = np.broadcast_to(self.l1, W.shape)[some]
            out[some] = smooth[some] + np.copysign(l1, W[some])
            return out
        # The slopes for an increase and for a decrease of w; a bound in the way makes them zero.
        up = smooth + np.where(W >= 0.0, self.l1, -self.l1)
        down = smooth + np.where(W > 0.0, self.l1, -self.l1)
        up[self.upper <= W] = 0.0
        down[self.lower >= W] = 0.0
        return np.minimum(up, 0.0) + np.maximum(down, 0.0)

    def balanced_residual(self, W: Array, G: Array) -> Array:
        """Return clip(ν, low, high), with a number ν for each column that makes the sum zero.

        [low, high] are the intervals of subgradients. Bisection finds ν, since the sum increases
        with ν.
        """
        low, high = self._subgradient_intervals(W, G)
        ends = np.abs(np.stack([low, high]))
        most = len(W) * np.max(ends, axis=(0, 1), where=np.isfinite(ends), initial=0.0)
        below, above = -most, most
        for _ in range(BISECTIONS):
            middle = 0.5 * (below + above)
            is_low = np.clip(middle, low, high).sum(axis=0) < 0.0
            below, above = np.where(is_low, middle, below), np.where(is_low, above, middle)
        out = np.clip(0.5 * (below + above), low, high)
        # Entries strictly within their intervals share what bisection left of the sum.
        slack = (out > low) & (out < high)
        rest = out.sum(axis=0) / np.maximum(slack.sum(axis=0), 1)
        return np.asfortranarray(np.clip(out - np.where(slack, rest, 0.0), low, high))

    def balanced_sums(self, W: Array) -> Array:
        low, high = self._subgradient_intervals(W, np.zeros(W.shape))
        return np.maximum(low.sum(axis=0), 0.0) + np.minimum(high.sum(axis=0), 0.0)

    def _subgradient_intervals(self, W: Array, G: Array) -> tuple[Array, Array]:
        """Return the ends of the intervals that the elements of G + ∂penalty(W) are in."""
        smooth = G + self._smooth_gradient(W)
        low = smooth + np.where(W > 0.0, self.l1, -self.l1)
        high = smooth + np.where(W >= 0.0, self.l1, -self.l1)
        low[self.lower >= W] = -np.inf
        high[self.upper <= W] = np.inf
        return np.minimum(low, high), np.maximum(low, high)

    def tangent(self, W: Array) -> Tangent:
        free = (W != 0.0) | (self.l1 == 0.0)
        if self._has_bounds:
            free &= (self.lower < W) & (self.upper > W)
        gradient = self.l1 * np.sign(W) + self._smooth_gradient(W)
        return Tangent(free, gradient, self.ridge, is_coupled=self.is_coupled)

    def retract(self, W: Array, onto: Array) -> Array:
        crossed = (np.sign(W) != np.sign(onto)) & (self.l1 > 0.0)
        return self.project(np.where(crossed, 0.0, W))

    def largest_feasible_step(self, W: Array, step: Array) -> float:
        end = W + step
        at_zero = (self.l1 > 0.0) & (np.sign(end) != np.sign(W))
        limit = np.where(step > 0.0, self.upper, self.lower)
        limit = np.where(at_zero, 0.0, limit)
        beyond = (step != 0.0) & (at_zero | (end > self.upper) | (end < self.lower))
        if not beyond.any():
            return 1.0
        t = float(((limit - W)[beyond] / step[beyond]).min())
        return min(max(t, 0.0) * (1.0 + STEP_MARGIN), 1.0)

    def project(self, W: Array) -> Array:
        return np.clip(W, self.lower, self.upper) if self._has_bounds else W

    def recentre(self, W: Array) -> Array:
        """Return W with each column shifted by the c at which the penalty of w - c is least.

        With the w of a column in ascending order, the slope of the penalty as a function of c is,
        to the right of c = w_i, 2 Σ_{k<=i} l1_k - Σ l1_k + Σ ridge_k (target_k - w_k + c). It
        increases, and c is where it becomes positive.
        """
        if not self.is_coupled:
            return W
        order = np.argsort(W, axis=0)
        ascending = np.take_along_axis(W, order, axis=0)
        l1 = np.take_along_axis(np.broadcast_to(self.l1, W.shape), order, axis=0)
        ridge = np.broadcast_to(self.ridge, W.shape)
        curvature = ridge.sum(axis=0)
        ridge_slope = (ridge * (W - self.target)).sum(axis=0)
        right = 2.0 * np.cumsum(l1, axis=0) - l1.sum(axis=0) + curvature * ascending - ridge_slope
        left = right - 2.0 * l1
        flat = FLAT_SLOPE * (l1.sum(axis=0) + np.abs(ridge_slope))
        # `after` is the first w_i to the right of which the slope is positive. If the slope is
        # positive to its left too, the minimum lies between it and the w before.
        beyond = right[-1] <= flat
        after = np.where(beyond, len(W) - 1, np.argmax(right > flat, axis=0))
        column = np.arange(W.shape[1])
        c = ascending[after, column]
        slope = np.where(beyond, right[-1], left[after, column])
        between = (beyond | (slope > flat)) & (curvature > 0.0)
        c = c - np.divide(slope, curvature, out=np.zeros_like(c), where=between)
        # If the slope is zero over an interval, c is the end of it that is nearer to the mean of w,
        # which leaves the shorter column. At an end one more coefficient is zero, and the choice
        # does not depend on how the solver got here.
        first = np.argmax(right >= -flat, axis=0)
        low, high, mean = ascending[first, column], ascending[after, column], W.mean(axis=0)
        is_flat = (first < after) & (curvature == 0.0)
        c = np.where(is_flat, np.where(mean - low <= high - mean, low, high), c)
        c = np.where((l1.sum(axis=0) == 0.0) & (curvature == 0.0), W.mean(axis=0), c)
        c = np.clip(c, (W - self.upper).max(axis=0), (W - self.lower).min(axis=0))
        return np.asarray(W - c)

    def conjugate(self, V: Array) -> float:
        slope = V + self.ridge * self.target
        with np.errstate(divide="ignore", invalid="ignore"):
            W = soft_threshold(slope, self.l1) / self.ridge
        # Without a ridge, the supremum of ⟨v, w⟩ - l1 |w| is at zero or at a bound.
        W = np.clip(np.where(np.isnan(W), 0.0, W), self.lower, self.upper)
        if not np.isfinite(W).all():
            return np.inf
        return _or_infinite(float(np.vdot(V, W)) - self.value(W))

    def dual_scaling(self, V: Array) -> float:
        unbounded = np.isinf(np.where(V > 0.0, self.upper, self.lower))
        free = (self.ridge == 0.0) & unbounded
        return _dual_scaling(np.where(free, np.abs(V), 0.0), self.l1)

    def columns(self, index: Array) -> Elementwise:
        arrays = (self.l1, self.ridge, self.target, self.lower, self.upper)
        l1, ridge, target, lower, upper = (array[:, index] for array in arrays)
        return Elementwise(l1, ridge, target, lower, upper, self.is_coupled)


@dataclass(frozen=True)
class Grouped:
    """The penalty Σ_j l1_j ‖w_·j‖ + ridge_j/2 ‖w_·j - target_·j‖².

    The coefficients of a feature form a group, which is zero as a whole or not at all.
    """

    l1: Array
    ridge: Array
    target: Array
    is_coupled: bool = True

    @property
    def signs(self) -> tuple[Array, Array]:
        free = ((self.l1 == 0.0) & (self.ridge == 0.0)).astype(float)
        return -free, free

    def value(self, W: Array) -> float:
        ridge = 0.5 * np.sum(self.ridge * np.square(W - self.target))
        return float(column_norms(W) @ self.l1[0] + ridge)

    def prox(self, V: Array, step: Array) -> Array:
        V = V + step * self.ridge * self.target
        return soft_threshold_columns(V, step * self.l1) / (1.0 + step * self.ridge)

    def minimum_norm_subgradient(self, W: Array, G: Array) -> Array:
        smooth = G + self.ridge * (W - self.target)
        norms = column_norms(W)
        at_zero = norms == 0.0
        unit = W / np.where(at_zero, 1.0, norms)
        return np.where(at_zero, soft_threshold_columns(smooth, self.l1), smooth + self.l1 * unit)

    def balanced_residual(self, W: Array, G: Array) -> Array:
        """Return G + s with the shortest result whose columns sum to zero.

        At a group of zeros, s is any vector with ‖s‖ <= l1. It can make the sum zero if the norm of
        the mean of G + ridge terms, as a constant column, is at most l1.
        """
        smooth = G + self.ridge * (W - self.target)
        mean = smooth.mean(axis=0)
        left = self.l1[0] ** 2 - len(W) * mean**2
        balanced = soft_threshold_columns(smooth - mean, np.sqrt(np.maximum(left, 0.0)))
        at_zero = (column_norms(W) == 0.0) & (left >= 0.0)
        return np.where(at_zero, balanced, self.minimum_norm_subgradient(W, G))

    def balanced_sums(self, W: Array) -> Array:
        ridge_sums = (self.ridge * (W - self.target)).sum(axis=0)
        norms = column_norms(W)
        unit_sums = W.sum(axis=0) / np.where(norms > 0.0, norms, 1.0)
        # At a group of zeros, a subgradient that is not balanced is shorter than the ridge's.
        is_balanced = (norms == 0.0) & (np.abs(ridge_sums) <= np.sqrt(len(W)) * self.l1[0])
        return np.where(is_balanced, 0.0, ridge_sums + self.l1[0] * unit_sums)

    def tangent(self, W: Array) -> Tangent:
        norms = column_norms(W)
        some = (norms > 0.0) | (self.l1[0] == 0.0)
        safe = np.where(norms > 0.0, norms, 1.0)
        unit = W / safe
        gradient = self.l1 * unit + self.ridge * (W - self.target)
        free = np.broadcast_to(some, W.shape)
        group_curvature = np.where(some, self.l1[0] / safe, 0.0)
        return Tangent(free, gradient, self.ridge, group_curvature, unit, self.is_coupled)

    def retract(self, W: Array, onto: Array) -> Array:
        # A group that turned by more than a right angle is taken to have passed through zero.
        turned = (np.einsum("kj,kj->j", W, onto) <= 0.0) & (self.l1[0] > 0.0)
        return np.where(turned, 0.0, W)

    def largest_feasible_step(self, W: Array, step: Array) -> float:
        return 0.0  # a straight step of a group passes through zero only by chance

    def project(self, W: Array) -> Array:
        return W

    def recentre(self, W: Array) -> Array:
        # With a target the best shift has no closed form, and W stays as it is.
        if not self.is_coupled or self.target.any():
            return W
        return np.asarray(W - W.mean(axis=0))

    def conjugate(self, V: Array) -> float:
        shortened = soft_threshold_columns(V + self.ridge * self.target, self.l1)
        with np.errstate(divide="ignore", invalid="ignore"):
            W = shortened / self.ridge
        W = np.where(np.isnan(W), 0.0, W)
        if not np.isfinite(W).all():
            return np.inf
        return _or_infinite(float(np.vdot(V, W)) - self.value(W))

    def dual_scaling(self, V: Array) -> float:
        return _dual_scaling(np.where(self.ridge[0] == 0.0, column_norms(V), 0.0), self.l1[0])

    def columns(self, index: Array) -> Grouped:
        arrays = (self.l1, self.ridge, self.target)
        l1, ridge, target = (array[:, index] for array in arrays)
        return Grouped(l1, ridge, target, self.is_coupled)


def _or_infinite(value: float) -> float:
    """Return a supremum, or infinity if it overflowed: a supremum that is too small is wrong."""
    return value if np.isfinite(value) else np.inf


def _dual_scaling(sizes: Array, limits: Array) -> float:
    """Return the largest s <= 1 with s · sizes <= limits, a little less to allow for rounding."""
    over = sizes > limits
    if not over.any():
        return 1.0
    limits = np.broadcast_to(limits, sizes.shape)
    return float((limits[over] / sizes[over]).min() * (1.0 - STEP_MARGIN))


def soft_threshold(V: Array, threshold: Array) -> Array:
    """Return sign(v) max(|v| - threshold, 0) for each entry v."""
    return np.asarray(V - np.clip(V, -threshold, threshold))


def column_norms(W: Array) -> Array:
    """Return the Euclidean norms of the columns, shape (width,)."""
    return np.asarray(np.sqrt(np.einsum("kj,kj->j", W, W)))


def soft_threshold_columns(V: Array, threshold: Array) -> Array:
    """Return each column v as v max(1 - threshold/‖v‖, 0): its norm is less by the threshold."""
    norms = column_norms(V)
    factor = np.maximum(1.0 - threshold / np.where(norms > 0.0, norms, 1.0), 0.0)
    return np.asarray(V * factor)
