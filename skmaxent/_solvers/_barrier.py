"""A logarithmic barrier for bounds of coefficients, with multipliers (a primal-dual method).

The bounds lower <= w <= upper add -μ Σ log(w - lower) - μ Σ log(upper - w) to the objective. The
multipliers y of the bounds are unknowns beside w, with y s = μ for the distances s of w from the
bounds (Wright 1997, Primal-Dual Interior-Point Methods, SIAM, chapter 1; for nonlinear objectives
Wächter & Biegler 2006, Math. Program. 106, 25-57).

Arrays of coefficients have the shape (R, width).
"""

from __future__ import annotations

import numpy as np

from skmaxent._typing import Array

# The least distance from the bounds at the start, divided by the root of the number of columns.
FIRST_DISTANCE = 0.1
# A step goes at most this share of the way to a bound, and leaves this share of a multiplier.
TO_BOUND, LEAST_MULTIPLIER = 0.99, 0.1
# y s is at most this many times as large as μ, and at least this small a part of it.
CENTRED = 1e4


class Barrier:
    """The barrier of coefficients with bounds.

    Parameters
    ----------
    lower, upper : ndarray of shape (R, width)
        lower < upper; some may be infinite.
    strength : ndarray of shape (R, width)
        μ at ε = 1, to which it is proportional.
    """

    def __init__(self, lower: Array, upper: Array, strength: Array) -> None:
        self._bounds = (lower, 1.0), (upper, -1.0)
        self._strength = strength
        self._multipliers: list[Array] = []

    def inside(self, W: Array, eps: float) -> Array:
        """Return coefficients near W strictly within the bounds, where multipliers begin."""
        (lower, _), (upper, _) = self._bounds
        least = FIRST_DISTANCE / np.sqrt(W.shape[1])
        with np.errstate(invalid="ignore"):
            middle = 0.5 * (lower + upper)
        middle = np.where(np.isfinite(middle), middle, np.inf)
        W = np.maximum(W, np.minimum(lower + least, middle))
        W = np.minimum(W, np.maximum(upper - least, np.where(np.isinf(middle), -np.inf, middle)))
        self._multipliers = [eps * self._strength / s for s in self._distances(W)]
        return W

    def _distances(self, W: Array) -> list[Array]:
        return [sign * (W - bound) for bound, sign in self._bounds]

    def value(self, W: Array, eps: float) -> float:
        """Return the barrier at W, without the infinite terms of infinite bounds."""
        total = 0.0
        for s in self._distances(W):
            finite = np.isfinite(s)
            total -= eps * float(self._strength[finite] @ np.log(s[finite]))
        return total

    def excess(self, eps: float) -> float:
        """Return how much the barrier may add to the least objective: μ for each bound."""
        return eps * sum(float(self._strength[np.isfinite(b)].sum()) for b, _ in self._bounds)

    def derivatives(self, W: Array, eps: float) -> tuple[Array, Array]:
        """Return the gradient of the barrier at W, and its curvature with the multipliers."""
        low, high = self._distances(W)
        gradient = eps * self._strength * (1.0 / high - 1.0 / low)
        y_low, y_high = self._multipliers
        return gradient, y_low / low + y_high / high

    def longest_step(self, W: Array, direction: Array) -> float:
        """Return the largest t <= 1 with which W + t direction stays well within the bounds."""
        longest = 1.0
        for s, (_, sign) in zip(self._distances(W), self._bounds, strict=True):
            ratio = -sign * direction / s
            longest = min(longest, TO_BOUND / max(float(ratio.max()), TO_BOUND))
        return longest

    def move(self, W: Array, direction: Array, moved: Array, eps: float) -> None:
        """Move the multipliers by the step `direction` from W, which ended at `moved`."""
        out = []
        for y, s, new, (_, sign) in zip(
            self._multipliers, self._distances(W), self._distances(moved), self._bounds, strict=True
        ):
            mu = eps * self._strength
            y = np.maximum((mu - y * sign * direction) / s, LEAST_MULTIPLIER * y)
            out.append(np.clip(y, mu / (CENTRED * new), CENTRED * mu / new))
        self._multipliers = out

    def at_bounds(self, W: Array, curvature: Array) -> Array:
        """Return W with the coefficients at a bound that its multiplier holds there.

        `curvature`, (width,), makes distances comparable with multipliers.
        """
        for y, s, (bound, _) in zip(
            self._multipliers, self._distances(W), self._bounds, strict=True
        ):
            W = np.where(curvature * s < y, bound, W)
        return W
