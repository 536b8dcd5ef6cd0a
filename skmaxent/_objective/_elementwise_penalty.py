"""The L1 penalty with a ridge and bounds, for each coefficient on its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._objective._penalty import (
    STEP_MARGIN,
    Tangent,
    finite_or_infinity,
    largest_scaling,
    soft_threshold,
)
from skmaxent._storage._vectors import nonzero_columns
from skmaxent._typing import Array

# Number of bisections of an interval; 60 reduce it to less than the last digit of float64.
BISECTIONS = 60
# A slope this small relative to the strengths is rounding error.
FLAT_SLOPE = 1e-12
# For arrays of this size, sums skip columns of zeros.
LARGE = 20_000


@dataclass(frozen=True)
class Elementwise:
    """The penalty Σ_kj l1_kj |w_kj| + ridge_kj/2 (w_kj - target_kj)² for lower <= w <= upper.

    The bounds may be infinite, and need not contain zero. The methods are those of the interface
    `Penalty`. Coefficients W and gradients have the shape (R, width), with one row per logit; in a
    fit, the last column has the intercepts.

    Attributes
    ----------
    l1, ridge : ndarray of shape (1 or R, width)
        Strengths of the two penalties.
    target : ndarray of shape (1 or R, width)
        Coefficients at which the ridge penalty is zero.
    lower, upper : ndarray of shape (1 or R, width)
    is_coupled : bool
        Whether the loss stays the same if one number is added to all coefficients of a column.
    """

    l1: Array
    ridge: Array
    target: Array
    lower: Array
    upper: Array
    is_coupled: bool = True

    @property
    def unbounded_signs(self) -> tuple[Array, Array]:
        """Two arrays, (1 or R, width): -1 where w may go to -∞ at no cost, 1 where to ∞, else 0."""
        free = (self.l1 == 0.0) & (self.ridge == 0.0)
        low, high = free & np.isinf(self.lower), free & np.isinf(self.upper)
        return -low.astype(float), high.astype(float)

    @cached_property
    def leaves_shifts(self) -> Array:
        """Whether one number may be added to all coefficients of a column at no cost, (width,)."""
        low, high = self.unbounded_signs
        return np.asarray(((low < 0.0) & (high > 0.0)).all(axis=0) & self.is_coupled)

    @cached_property
    def has_bounds(self) -> bool:
        """Whether some coefficient has a finite bound."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    @cached_property
    def has_ridge(self) -> bool:
        """Whether some coefficient has a ridge penalty."""
        return bool(self.ridge.any())

    @property
    def is_l1_alone(self) -> bool:
        """Whether there is neither a ridge nor a bound."""
        return not (self.has_ridge or self.has_bounds)

    def _smooth_gradient(self, W: Array) -> Array | float:
        """Return the gradient of the ridge part, (R, width); 0 if there is none."""
        return self.ridge * (W - self.target) if self.has_ridge else 0.0

    def value(self, W: Array) -> float:
        """Return the penalty of W (R, width) within the bounds."""
        l1, V = np.broadcast_to(self.l1, W.shape), W
        if W.size >= LARGE:
            some = nonzero_columns(W)
            l1, V = l1[:, some], W[:, some]
        value = float(np.einsum("kj,kj->", l1, np.abs(V)))
        if self.has_ridge:
            value += 0.5 * float(np.sum(self.ridge * np.square(W - self.target)))
        return value

    def increase(self, W: Array, V: Array) -> float:
        """Return the penalty of V less that of W, accurate also where V is close to W."""
        change = self.l1 * (np.abs(V) - np.abs(W))
        if self.has_ridge:
            change += self.ridge * (V - W) * (0.5 * (V + W) - self.target)
        return float(change.sum())

    def prox(self, V: Array, step: Array) -> Array:
        """Return the proximal point argmin_W Σ (w - v)²/(2 step) + penalty(W) of V (R, width)."""
        if self.has_ridge:
            V = V + step * self.ridge * self.target
        W = soft_threshold(V, step * self.l1)
        if self.has_ridge:
            W /= 1.0 + step * self.ridge
        return self.project(W)

    def minimum_norm_subgradient(self, W: Array, G: Array) -> Array:
        """Return the shortest element of G + ∂penalty(W); all have the shape (R, width)."""
        smooth = G + self._smooth_gradient(W)
        if not self.has_bounds:
            # At zero the subgradients of |w| are [-1, 1]; elsewhere there is one, the sign of w.
            out = soft_threshold(smooth, self.l1)
            # Often most columns are zero, so only the others are looked at.
            used = nonzero_columns(W)
            w, slope, l1 = W[:, used], smooth[:, used], self.l1[:, used]
            out[:, used] = np.where(w != 0.0, slope + np.copysign(l1, w), out[:, used])
            return out
        # The slopes for an increase and for a decrease of w; a bound in the way makes them zero.
        up = smooth + np.where(W >= 0.0, self.l1, -self.l1)
        down = smooth + np.where(W > 0.0, self.l1, -self.l1)
        up[self.upper <= W] = 0.0
        down[self.lower >= W] = 0.0
        return np.minimum(up, 0.0) + np.maximum(down, 0.0)

    def zero_sum_subgradient(self, W: Array, G: Array) -> Array:
        """Return the shortest element of G + ∂penalty(W) whose columns sum to zero.

        The elements are in intervals [low, high], and the shortest is clip(ν, low, high) with one
        number ν for each column. Bisection finds ν, because the sum increases with ν.
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
        # What bisection left of the sum is subtracted in equal parts from the entries that are
        # strictly within their intervals.
        is_inside = (out > low) & (out < high)
        rest = out.sum(axis=0) / np.maximum(is_inside.sum(axis=0), 1)
        return np.asfortranarray(np.clip(out - np.where(is_inside, rest, 0.0), low, high))

    def subgradient_sums(self, W: Array) -> Array:
        """Return, for each column, the column sum of ∂penalty(W) that is closest to 0, (width,)."""
        low, high = self._subgradient_intervals(W, np.zeros(W.shape))
        return np.maximum(low.sum(axis=0), 0.0) + np.minimum(high.sum(axis=0), 0.0)

    def _subgradient_intervals(self, W: Array, G: Array) -> tuple[Array, Array]:
        """Return the lower and the upper ends, (R, width), of the intervals G + ∂penalty(W)."""
        smooth = G + self._smooth_gradient(W)
        low = smooth + np.where(W > 0.0, self.l1, -self.l1)
        high = smooth + np.where(W >= 0.0, self.l1, -self.l1)
        low[self.lower >= W] = -np.inf
        high[self.upper <= W] = np.inf
        return np.minimum(low, high), np.maximum(low, high)

    def tangent(self, W: Array) -> Tangent:
        """Return the manifold of W on which the penalty is smooth, with its derivatives."""
        free = (W != 0.0) | (self.l1 == 0.0)
        if self.has_bounds:
            free &= (self.lower < W) & (self.upper > W)
        gradient = self.l1 * np.sign(W) + self._smooth_gradient(W)
        return Tangent(free, gradient, self.ridge, is_coupled=self.is_coupled)

    def retract(self, W: Array, onto: Array) -> Array:
        """Return W within the bounds; L1 coefficients of another sign than in `onto` become 0."""
        crossed = (np.sign(W) != np.sign(onto)) & (self.l1 > 0.0)
        return self.project(np.where(crossed, 0.0, W))

    def largest_feasible_step(self, W: Array, step: Array) -> float:
        """Return the largest t <= 1 for which W + t step keeps the signs of W and the bounds.

        The signs matter only for coefficients with an L1 penalty. t is too large by the factor
        1 + STEP_MARGIN, so that rounding does not keep a coefficient from its bound.
        """
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
        """Return the projection of W onto the bounds."""
        return np.clip(W, self.lower, self.upper) if self.has_bounds else W

    def recentre(self, W: Array) -> Array:
        """Return W minus, in each column, the number c that minimises the penalty of W - c."""
        if not self.is_coupled:  # c would change the loss
            return W
        if self.is_l1_alone:
            # c = 0 is the only minimum if the slope changes its sign there: the l1 of the zeros of
            # a column exceed the balance of the l1 of its positive and negative entries.
            l1 = np.broadcast_to(self.l1, W.shape)
            free = ~l1.any(axis=0)
            is_zero = np.abs((l1 * np.sign(W)).sum(axis=0)) < (l1 * (W == 0.0)).sum(axis=0)
            if (is_zero | free).all():
                return np.asarray(W - np.where(free, W.mean(axis=0), 0.0))
        return np.asarray(self.project(W - self._best_shift(W)))

    def _best_shift(self, W: Array) -> Array:
        """Return, for each column of W, the number c with the least penalty of W - c, (width,).

        With the w of a column in ascending order, the slope of the penalty as a function of c is,
        to the right of c = w_i, 2 Σ_{k<=i} l1_k - Σ l1_k + Σ ridge_k (target_k - w_k + c). It
        increases, and c is where it becomes positive.
        """
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
        # If the slope is zero over an interval, c is the end that is nearer to the mean of w: there
        # one more coefficient is zero, the column is shorter than at the other end, and the result
        # does not depend on the solver's iterates.
        first = np.argmax(right >= -flat, axis=0)
        low, high, mean = ascending[first, column], ascending[after, column], W.mean(axis=0)
        is_flat = (first < after) & (curvature == 0.0)
        c = np.where(is_flat, np.where(mean - low <= high - mean, low, high), c)
        c = np.where((l1.sum(axis=0) == 0.0) & (curvature == 0.0), W.mean(axis=0), c)
        return np.clip(c, (W - self.upper).max(axis=0), (W - self.lower).min(axis=0))

    def conjugate(self, V: Array) -> float:
        """Return the convex conjugate sup_W ⟨V, W⟩ - penalty(W) for V (R, width)."""
        if self.is_l1_alone:
            return np.inf if (np.abs(V) > self.l1).any() else 0.0
        slope = V + self.ridge * self.target
        with np.errstate(divide="ignore", invalid="ignore"):
            W = soft_threshold(slope, self.l1) / self.ridge
        # Without a ridge, the supremum of ⟨v, w⟩ - l1 |w| is at zero or at a bound.
        W = np.clip(np.where(np.isnan(W), 0.0, W), self.lower, self.upper)
        if not np.isfinite(W).all():
            return np.inf
        return finite_or_infinity(float(np.vdot(V, W)) - self.value(W))

    def dual_scaling(self, V: Array) -> float:
        """Return the largest s <= 1 for which the conjugate of s V is finite."""
        if self.is_l1_alone:
            return largest_scaling(np.abs(V), self.l1)
        unbounded = np.isinf(np.where(V > 0.0, self.upper, self.lower))
        free = (self.ridge == 0.0) & unbounded
        return largest_scaling(np.where(free, np.abs(V), 0.0), self.l1)

    def columns(self, index: Array) -> Elementwise:
        """Return the penalty of the columns at positions `index`."""
        arrays = (self.l1, self.ridge, self.target, self.lower, self.upper)
        l1, ridge, target, lower, upper = (array[:, index] for array in arrays)
        return Elementwise(l1, ridge, target, lower, upper, self.is_coupled)
