"""Search along a Newton step by secants, for convex objectives whose gradient is cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

# The search ends where the slope is at most this share of the slope at its start, or after so many
# secants: a better point is worth less than another step.
FLAT_SHARE, MAX_SECANTS = 0.3, 3


class _HasValue(Protocol):
    """A point at which an objective was evaluated."""

    @property
    def value(self) -> float:
        """The objective F at the point."""


P = TypeVar("P", bound=_HasValue)


def secant_search(at: Callable[[float], tuple[P, float]], down: float) -> tuple[P, float]:
    """Return the best point found on a step, and the share of the step at which it lies.

    The whole step is tried first. If F rises steeply at its end, the minimum along the step is
    between the start and the end, because F is convex. Secants of the slope, each of which costs a
    gradient, then find a point at which F is nearly flat. That is cheaper than another step.

    Parameters
    ----------
    at : callable
        Returns, for a share t of the step, the point there and the derivative of F in t.
    down : float
        Minus the derivative at t = 0; it is positive.
    """
    (best, slope), share = at(1.0), 1.0
    # (t, slope) to the left of the minimum along the step, and to the right of it.
    low, high = (0.0, -down), (1.0, slope)
    for _ in range(MAX_SECANTS):
        if high[1] <= FLAT_SHARE * down:
            break
        t = low[0] + (high[0] - low[0]) * float(np.clip(low[1] / (low[1] - high[1]), 0.1, 0.9))
        trial, slope = at(t)
        if not trial.value >= best.value:
            best, share = trial, t
        if slope > 0.0:
            high = (t, slope)
        else:
            low = (t, slope)
            if slope >= -FLAT_SHARE * down:
                break
    return best, share
