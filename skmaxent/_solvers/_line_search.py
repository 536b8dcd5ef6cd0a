"""Search along a Newton step by secants, for convex objectives whose gradient is cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

# The search ends where the slope is at most this share of the slope at its start, or after so many
# secants: a better point is worth less than another step.
FLAT_SHARE, MAX_SECANTS = 0.3, 3


class _HasValue(Protocol):
    @property
    def value(self) -> float:
        """The objective F at the point."""


P = TypeVar("P", bound=_HasValue)


def secant_search(at: Callable[[float], tuple[P, float]], down: float) -> tuple[P, float]:
    """Return the lowest point that was found on a step, and the share of the step before it.

    The whole step is tried first. F is convex, so that its slopes at two points bracket its minimum
    between them. If F rises steeply at the end, a secant, which costs a gradient, finds a point at
    which F is nearly flat, and is cheaper than another step.

    Parameters
    ----------
    at : callable
        Of a share t of the step; it returns the point there and the slope of F in t.
    down : float
        Minus the slope at t = 0, above zero.
    """
    (best, slope), share = at(1.0), 1.0
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
