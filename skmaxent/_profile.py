"""Intervals from the profile of a likelihood, penalised or not.

The likelihood's maximum over all other coefficients is followed from the estimate outwards to where
it has fallen by half a quantile of chi-squared with one degree of freedom (Venzon & Moolgavkar
1988, Appl. Stat. 37, 87-94).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent import _inference
from skmaxent._bias_reduction import moved
from skmaxent._objective import Point

Array = NDArray[Any]

# -log L, I⁻¹ and the score at a point.
State = Callable[[Point], tuple[float, Array, Array]]

ACCURACY = 1e-5
MAX_ITER = 50
MAX_ENDS = 30
# Standard errors beyond which an interval is called infinite.
ENDLESS = 100.0


def likelihood(point: Point, total: float, width: int) -> tuple[float, Array, Array]:
    """The state without penalty."""
    V = _inference.inverse(_inference.information(point), width) / total
    r = max(1, len(point.theta) - 1)
    return total * point.loss, V, -total * point.gradient[:r, :width].ravel()


def profile_interval(
    state: State, start: Point, a: Array, width: int, quantile: float
) -> tuple[float, float]:
    """Ends of the interval for a·θ, θ in reference coding; infinite where there is no end.

    Parameters
    ----------
    state : callable
    start : Point
        The maximum.
    a : ndarray of shape (r * width,)
    width : int
        Columns, the intercept's included.
    quantile : float
        Of the standard normal distribution.
    """
    least, V, _ = state(start)
    estimate = float(a @ _vector(start, width))
    error = float(np.sqrt(a @ V @ a))
    ends = []
    for side in (-1.0, 1.0):
        # The signed root of the fall is nearly linear: secants find where it is the quantile.
        point = start
        inner, root_inner = 0.0, 0.0
        outer = quantile
        for _ in range(MAX_ENDS):
            value, point = _constrained(state, point, a, estimate + side * outer * error, width)
            root = float(np.sqrt(max(2.0 * (value - least), 0.0)))
            if abs(root - quantile) < ACCURACY * quantile or outer > ENDLESS:
                break
            slope = (root - root_inner) / (outer - inner)
            inner, root_inner = outer, root
            outer += (quantile - root) / max(slope, 0.1)
        ends.append(estimate + side * outer * error if outer <= ENDLESS else side * np.inf)
    return ends[0], ends[1]


def _vector(point: Point, width: int) -> Array:
    return _inference.against_last(point.theta, width == point.theta.shape[1]).ravel()


def _constrained(state: State, point: Point, a: Array, c: float, width: int) -> tuple[float, Point]:
    """The least value with a·θ = c, by Newton's method in the information's metric."""
    value, V, score = state(point)
    for _ in range(MAX_ITER):
        Va = V @ a
        natural = V @ score
        multiplier = (float(a @ (_vector(point, width) + natural)) - c) / float(a @ Va)
        step = natural - multiplier * Va
        if float(step @ (score - multiplier * a)) < ACCURACY**2:
            break
        on_constraint = abs(float(a @ _vector(point, width)) - c) < 1e-9 * (1.0 + abs(c))
        t = 1.0
        while t > 1e-6:
            candidate = point.objective.at(moved(point, t * step, width))
            try:
                found = state(candidate)
            except _inference.SingularInformation:
                found = (np.inf, V, score)
            if found[0] <= value or (not on_constraint and np.isfinite(found[0])):
                break
            t *= 0.5
        else:
            break
        point, (value, V, score) = candidate, found
    return value, point
