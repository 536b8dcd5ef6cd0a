"""Least values of a likelihood with some coefficients held, and intervals from them.

A profile interval ends where the maximum of the likelihood over all other coefficients has fallen
by half a quantile of chi-squared with one degree of freedom (Venzon & Moolgavkar 1988, Appl. Stat.
37, 87-94). A profile of a log-likelihood without penalty is concave: it either falls without end
or, along a direction in which the classes are separated, never falls at all.

Coefficients are θ of standardised columns in reference coding, class by class, as in `_inference`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, qr, solve_triangular

from skmaxent import _inference
from skmaxent._bias_reduction import moved, penalised
from skmaxent._block import Block
from skmaxent._likelihood import Likelihood
from skmaxent._objective import MultinomialObjective, Point

Array = NDArray[Any]

# -log L, the information and the score at a point.
State = Callable[[Point], tuple[float, Array, Array]]

# Nats that a Newton step may still gain at a minimum.
ACCURACY = 1e-9
MAX_ITER = 300
# Relative accuracy of the root of the fall at an end.
END_ACCURACY = 1e-7
MAX_ROOTS = 100
# The first step of a search for an end, and the largest distance, in units of a coefficient of a
# standardised column: an average slope of the log-likelihood of less than 1e-8 over it is none.
FIRST_STEP = 4.0
FARTHEST = 1e9
# How far a row's class may fall behind another, relative to the largest difference of logits, along
# a direction that is said to separate: the accuracy of such a direction.
BEHIND = 1e-7


@dataclass(frozen=True)
class Held:
    """The least value where A θ is held, the point, and the derivative of that value by A θ."""

    point: Point
    value: float
    slope: Array


def likelihood(point: Point, total: float) -> tuple[float, Array, Array]:
    """The state without penalty."""
    r = max(1, len(point.theta) - 1)
    width = point.theta.shape[1] - (not point.objective.fit_intercept)
    H = _inference.information(point) * total
    return total * point.loss, H, -total * point.gradient[:r, :width].ravel()


def penalised_likelihood(point: Point, total: float) -> tuple[float, Array, Array]:
    """The state with Jeffreys' prior; its value is infinite where the information is singular."""
    width = point.theta.shape[1] - (not point.objective.fit_intercept)
    try:
        value, V, score = penalised(point, total, width)
    except _inference.SingularInformation:
        r = max(1, len(point.theta) - 1)
        return np.inf, np.eye(r * width), np.zeros(r * width)
    return value, np.linalg.inv(V), score


def least(state: State, start: Point, A: Array | None = None, values: Array | float = 0.0) -> Held:
    """The least value with A θ at given values, A of shape (n_held, n_coefficients) or None.

    Where no minimum exists, because the classes are separated, this is its limit to `ACCURACY`.
    """
    theta = _vector(start)
    if A is None:
        return _minimum(state, start, state(start), np.zeros((0, len(theta))))
    point, found = start, state(start)
    share = 1.0
    while share > 1e-9:
        distance = values - A @ _vector(point)
        step = _toward(found, A, share * distance)
        candidate = point.objective.at(_moved(point, step))
        there = state(candidate)
        if not np.isfinite(there[0]):
            share *= 0.25
            continue
        held = _minimum(state, candidate, there, A)
        if share == 1.0:
            return held
        point, found, share = held.point, state(held.point), 1.0
    return Held(point, np.inf, np.zeros(len(A)))


def profile_interval(
    state: State, best: Held, a: Array, quantile: float, *, falls: bool = False
) -> tuple[float, float]:
    """Ends of the interval for a·θ; infinite where the likelihood never falls enough.

    Parameters
    ----------
    state : callable
    best : Held
        The maximum, nothing held.
    a : ndarray of shape (n_coefficients,)
    quantile : float
        Of the standard normal distribution.
    falls : bool
        Whether it falls in every direction, as Jeffreys' prior makes it.
    """
    low, high = (_end(state, best, a, side, quantile, falls) for side in (-1.0, 1.0))
    return low, high


def _end(state: State, best: Held, a: Array, side: float, quantile: float, falls: bool) -> float:
    """Step outwards until the signed root of the fall exceeds the quantile, then find where."""
    unit = float(np.linalg.norm(a))
    _, H, _ = state(best.point)
    V_a = _solve(H, a, 1e-12)[0]
    step = min(quantile * float(np.sqrt(max(float(a @ V_a), 0.0))), FIRST_STEP * unit)
    step = max(step, 1e-9 * unit)
    center = float(a @ _vector(best.point))
    inner, point = center, best.point
    root = slope = 0.0
    while True:
        outer = inner + side * step
        held = least(state, point, a[None], outer)
        before, root, slope = root, *_root(held, best, side)
        if root >= quantile:
            break
        if abs(outer - center) > FARTHEST * unit or (
            not falls
            and root <= before + 0.1
            and _never_falls(point, held.point, side * outer > 0.0)
        ):
            return side * np.inf
        inner, point = outer, held.point
        left = (quantile - root) / slope if root > 0.3 * quantile and slope > 0.0 else np.inf
        step = min(1.05 * left, 4.0 * step) if root > 0.3 * quantile else 2.0 * step
    c = outer
    for _ in range(MAX_ROOTS):
        if abs(root - quantile) <= END_ACCURACY * quantile:
            break
        if root < quantile:
            inner, point = c, held.point
        else:
            outer = c
        if abs(outer - inner) <= 1e-12 * max(abs(outer), abs(inner)):
            break
        c = c + side * (quantile - root) / slope if slope > 0.0 and np.isfinite(root) else outer
        if not min(inner, outer) < c < max(inner, outer):
            c = 0.5 * (inner + outer)
        held = least(state, point, a[None], c)
        root, slope = _root(held, best, side)
    return c


def _root(held: Held, best: Held, side: float) -> tuple[float, float]:
    """The root of twice the fall of the log-likelihood, and its derivative outwards.

    For a quadratic log-likelihood the root is linear, so that Newton's method finds an end soon.
    """
    root = float(np.sqrt(max(2.0 * (held.value - best.value), 0.0)))
    return root, float(side * held.slope[0]) / root if root > 0.0 else 0.0


def _never_falls(point: Point, farther: Point, is_outward: bool) -> bool:
    """Whether no row's class falls behind another from one point to a farther one, or from zero.

    Then the log-likelihood does not fall along this direction, however far.
    """
    directions = [farther.theta - point.theta] + ([farther.theta] if is_outward else [])
    return any(_separates(point.objective, direction) for direction in directions)


def _separates(objective: MultinomialObjective, direction: Array) -> bool:
    behind, largest = objective.blocks.map_reduce(
        _behind, objective.likelihood, *objective.for_blocks(direction), combine=np.maximum
    )
    return float(behind) <= BEHIND * float(largest)


def _behind(block: Block, likelihood: Likelihood, coef: Array, intercept: Array) -> tuple[Any, Any]:
    """How far a class that was observed is behind another at most, and the largest difference."""
    Z = block.logits(coef, intercept)
    Z = np.concatenate([np.zeros_like(Z), Z]) if len(Z) == 1 else Z
    seen = likelihood.outcomes(likelihood.dense_targets(block.targets)) > 0.0
    top = Z.max(axis=0)
    behind = top - np.where(seen, Z, np.inf).min(axis=0)
    return block.largest(behind), block.largest(top - Z.min(axis=0))


def _vector(point: Point) -> Array:
    fit_intercept = point.objective.fit_intercept
    return _inference.against_last(point.theta, fit_intercept).ravel()


def _moved(point: Point, step: Array) -> Array:
    return moved(point, step, point.theta.shape[1] - (not point.objective.fit_intercept))


def _bases(A: Array) -> tuple[Array, Array, Array]:
    """Orthonormal bases of the rows of A and of what is orthogonal to them, and R of A's QR."""
    Q, R = qr(A.T)
    q = len(A)
    return Q[:, :q], Q[:, q:], R[:q]


def _toward(found: tuple[float, Array, Array], A: Array, distance: Array) -> Array:
    """The step to A θ farther by `distance` that is best for the quadratic model."""
    _, H, score = found
    own, free, R = _bases(A)
    step = own @ solve_triangular(R, np.atleast_1d(distance), trans="T")
    if free.shape[1]:
        reduced = free.T @ H @ free
        step = step + free @ _solve(reduced, free.T @ (score - H @ step), 1e-12)[0]
    return np.asarray(step)


def _solve(H: Array, b: Array, damping: float) -> tuple[Array, float]:
    """(H + damping · s I)⁻¹ b, s the mean of H's diagonal; more damping where that is singular."""
    size = max(float(np.trace(H)) / len(H), 1e-300)
    while True:
        try:
            factor = cho_factor(H + damping * size * np.eye(len(H)), check_finite=False)
            x = cho_solve(factor, b, check_finite=False)
            if np.isfinite(x).all():
                return np.asarray(x), damping
        except LinAlgError:
            pass
        damping = max(10.0 * damping, 1e-15)


def _minimum(state: State, point: Point, found: tuple[float, Array, Array], A: Array) -> Held:
    """Newton's method with damping (Levenberg, Marquardt) in the space orthogonal to A."""
    own, free, R = _bases(A)
    value, H, score = found
    damping = 0.0
    for _ in range(MAX_ITER):
        if not free.shape[1]:
            break
        reduced, down = free.T @ H @ free, free.T @ score
        u, damping = _solve(reduced, down, damping)
        predicted = float(u @ down - 0.5 * u @ reduced @ u)
        candidate = point.objective.at(_moved(point, free @ u))
        there = state(candidate)
        is_last = predicted <= max(ACCURACY, 1e-14 * abs(value))
        gain = value - there[0] if np.isfinite(there[0]) else -np.inf
        if gain >= (0.0 if is_last else 1e-4 * predicted):
            point, (value, H, score) = candidate, there
        if is_last and damping <= 1e-9:
            break
        if is_last or gain > 0.5 * predicted:
            damping = 0.1 * damping if damping > 1e-12 else 0.0
        elif gain < 0.1 * predicted:
            damping = max(10.0 * damping, 1e-4)
    slope = solve_triangular(R, own.T @ -score) if len(A) else np.zeros(0)
    return Held(point, value, slope)
