"""Least values of a likelihood with some coefficients held, and intervals from them.

A profile interval ends where the maximum of the likelihood over all other coefficients has fallen
by half a quantile of chi-squared with one degree of freedom (Venzon & Moolgavkar 1988, Appl. Stat.
37, 87-94). A profile of a log-likelihood without penalty is concave: it either falls without end
or, along a direction in which the classes are separated, never falls at all.

Coefficients are θ of standardised columns in reference coding, class by class, as in `_inference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, qr, solve_triangular
from scipy.optimize import linprog

from skmaxent._inference import _covariance
from skmaxent._inference._bias_reduction import moved, penalised
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# Nats that a Newton step may still gain at a minimum.
ACCURACY = 1e-9
# Where rounding hides such gains: so much is near enough after so many steps that gained nothing.
PRECISE, MOST_REJECTED = 1e-6, 10
MAX_ITER = 500
# A fall of the log-likelihood by a step after which the step is divided, and its smallest share.
FALLS_MUCH, LEAST_SHARE = 100.0, 1e-4
# Damping, relative to the number of observations, that is none.
NEGLIGIBLE = 1e-12
# Relative accuracy of the root of the fall at an end.
END_ACCURACY = 1e-7
MAX_ROOTS = 100
# The first step of a search for an end, and the largest distance, in units of a coefficient of a
# standardised column: an average slope of the log-likelihood of less than 1e-8 over it is none.
FIRST_STEP = 4.0
FARTHEST = 1e9
# Distance from which on a log-likelihood that has not fallen is looked at by linear programs.
SUSPICIOUS = 20.0
# How far a row's class may fall behind another, relative to the largest difference of logits, along
# a direction that is said to separate: the accuracy of such a direction.
BEHIND = 1e-9
MAX_PROGRAMS = 50
MORE_ROWS = 300
FEASIBLE, NO_GAIN = 1e-10, 1e-7


@dataclass(frozen=True)
class Held:
    """The least value where A θ is held, the point, and the derivative of that value by A θ."""

    point: Point
    value: float
    slope: Array


@dataclass(frozen=True)
class Likelihoods:
    """-log L of so many observations in total, penalised by Jeffreys' prior or not."""

    total: float
    is_penalised: bool = False

    def at(self, point: Point) -> tuple[float, Array, Array]:
        """The value at a point, the information and the score.

        With the prior the value is infinite where the information is singular.
        """
        width = _width(point)
        r = max(1, len(point.theta) - 1)
        if not self.is_penalised:
            H = _covariance.information(point) * self.total
            score = -self.total * point.loss_gradient()[:r, :width].ravel()
            return self.total * point.loss, H, score
        try:
            value, V, score = penalised(point, self.total, width)
        except _covariance.SingularInformation:
            return np.inf, np.eye(r * width), np.zeros(r * width)
        return value, np.linalg.inv(V), score


def least(
    of: Likelihoods,
    start: Point,
    A: Array | None = None,
    values: Array | float = 0.0,
    guesses: tuple[Array, ...] = (),
    ceiling: float = np.inf,
) -> Held:
    """The least value with A θ at given values, A of shape (n_held, n_coefficients) or None.

    Where no minimum exists, because the classes are separated, this is its limit to `ACCURACY`.
    The values are approached by the steps that are best for the quadratic model, or by `guesses` of
    θ (n_logits, n_features + 1) that have them. A step with which the likelihood falls much is
    divided, and where the least value is above the ceiling on the way, that is enough.
    """
    theta = _vector(start)
    if A is None:
        return _minimum(of, start, of.at(start), np.zeros((0, len(theta))))
    point, found = start, of.at(start)
    share = 1.0
    while share > 1e-9:
        distance = values - A @ _vector(point)
        step = _toward(found, A, share * distance, of.total)
        thetas = [_moved(point, step), *(guesses if share == 1.0 else ())]
        candidate = min(map(point.objective.at, thetas), key=lambda candidate: candidate.loss)
        there = of.at(candidate)
        if not np.isfinite(there[0]) or (there[0] > found[0] + FALLS_MUCH and share > LEAST_SHARE):
            share *= 0.25
            continue
        held = _minimum(of, candidate, there, A)
        if share == 1.0 or held.value > ceiling:
            return held
        point, found, share, guesses = held.point, of.at(held.point), 1.0, ()
    return Held(point, np.inf, np.zeros(len(A)))


def profile_interval(of: Likelihoods, best: Held, a: Array, quantile: float) -> tuple[float, float]:
    """Ends of the interval for a·θ; infinite where the likelihood never falls enough.

    Parameters
    ----------
    of : Likelihoods
    best : Held
        The maximum, nothing held.
    a : ndarray of shape (n_coefficients,)
    quantile : float
        Of the standard normal distribution.
    """
    low, high = (_end(of, best, a, side, quantile) for side in (-1.0, 1.0))
    return low, high


def _end(of: Likelihoods, best: Held, a: Array, side: float, quantile: float) -> float:
    """Step outwards until the signed root of the fall exceeds the quantile, then find where."""
    unit = float(np.linalg.norm(a))
    _, H, _ = of.at(best.point)
    V_a = _solve(H, a, 1e-14 * of.total)[0]
    step = min(quantile * float(np.sqrt(max(float(a @ V_a), 0.0))), FIRST_STEP * unit)
    step = max(step, 1e-9 * unit)
    center = float(a @ _vector(best.point))
    ceiling = best.value + quantile**2
    inner, point = center, best.point
    root = slope = 0.0
    guesses: tuple[Array, ...] = ()
    is_endless: bool | None = None
    while True:
        outer = inner + side * step
        held = least(of, point, a[None], outer, guesses, ceiling)
        outer = float(a @ _vector(held.point))
        before, root, slope = root, *_root(held, best, side)
        if root >= quantile:
            break
        # With Jeffreys' prior the likelihood falls in every direction.
        if not of.is_penalised and root <= before + 0.1:
            if is_endless is None and abs(outer - center) > SUSPICIOUS * unit:
                is_endless = recedes(best.point.objective, side * a)
            if is_endless or _never_falls(point, held.point, side * outer > 0.0):
                return side * np.inf
        if abs(outer - center) > FARTHEST * unit:
            return side * np.inf
        far, inner, last, point = inner, outer, point, held.point
        left = (quantile - root) / slope if root > 0.3 * quantile and slope > 0.0 else np.inf
        step = min(1.05 * left, 4.0 * step) if root > 0.3 * quantile else 2.0 * step
        if not of.is_penalised:
            # Where classes are separated the way outwards is straight, or a ray from zero.
            ahead = step / abs(inner - far)
            guesses = (point.theta + ahead * (point.theta - last.theta),)
            if side * inner > 0.0:
                guesses += (point.theta * (1.0 + step / abs(inner)),)
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
        held = least(of, point, a[None], c, (), ceiling)
        c = float(a @ _vector(held.point))
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
    accuracy = max(BEHIND, 16.0 * float(np.finfo(objective.blocks.dtype).eps))
    return float(behind) <= accuracy * float(largest)


def recedes(objective: MultinomialObjective, a: Array) -> bool | None:
    """Whether a·θ grows along a direction in which no row's class falls behind another.

    Linear programs over few rows make a·θ largest in a box; rows that lose are added until none
    does, or nothing is gained. None where neither is found.
    """
    a = a / np.abs(a).max()
    x, A = a, np.empty((0, len(a)))
    for _ in range(MAX_PROGRAMS):
        zero = objective.zeros()
        theta = moved(zero, x, zero.shape[1] - (not objective.fit_intercept))
        if _separates(objective, theta):
            return True
        more = _constraints(objective, theta)
        A = np.unique(np.vstack([A, more]), axis=0)
        tight = {"primal_feasibility_tolerance": FEASIBLE, "dual_feasibility_tolerance": FEASIBLE}
        found = linprog(
            -a, A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1.0, 1.0), method="highs", options=tight
        )
        if found.x is None:
            return None
        if float(a @ found.x) <= NO_GAIN:
            return False
        x = found.x
    return None


def _constraints(objective: MultinomialObjective, theta: Array) -> Array:
    """What the gains are, as functions of θ, of some rows that lose along a direction.

    A gain is the difference of the logits of a class that a row has and another class.
    """
    blocks = objective.blocks
    arguments = objective.likelihood, *objective.for_blocks(theta)
    worst, _ = blocks.map_reduce(_behind, *arguments, combine=np.maximum)
    rows = blocks.where(_are_behind, *arguments, 0.1 * float(worst), at_most=blocks.n_samples)
    assert rows is not None
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MORE_ROWS)).astype(np.intp)]
    taken = blocks.take(rows, objective.center, objective.scale, np.float64)
    X = np.asarray(on_host(taken.X))
    if blocks.is_sparse:
        X = taken.X.toarray() - objective.center / objective.scale
    X = np.column_stack([X, np.ones(len(X))]) if objective.fit_intercept else X
    seen = objective.likelihood.outcomes(
        objective.likelihood.dense_targets(np.asarray(on_host(taken.targets)))
    )
    K, r = len(seen), max(1, objective.likelihood.n_logits - 1)
    # θ of each class is that against the last, or of the second against the first.
    classes = np.eye(K)[:, :r] if K > 2 else np.array([[0.0], [1.0]])
    lines = [
        np.kron(classes[c] - classes[k], X[i])
        for i in range(len(rows))
        for c in np.flatnonzero(seen[:, i])
        for k in range(K)
        if k != c
    ]
    return np.array(lines)


def _are_behind(block: Block, likelihood: Likelihood, *at: Any) -> Array:
    *direction, limit = at
    return np.asarray(_distance_behind(block, likelihood, *direction)[0] > limit)


def _behind(block: Block, likelihood: Likelihood, coef: Array, intercept: Array) -> tuple[Any, Any]:
    """How far a class that was observed is behind another at most, and the largest difference."""
    behind, difference = _distance_behind(block, likelihood, coef, intercept)
    return block.largest(behind), block.largest(difference)


def _distance_behind(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> tuple[Array, Array]:
    """The same for each row; 0 for rows that weigh nothing."""
    Z = np.asarray(on_host(block.logits(coef, intercept)))
    Z = np.concatenate([np.zeros_like(Z), Z]) if len(Z) == 1 else Z
    targets = np.asarray(on_host(block.targets))
    seen = likelihood.outcomes(likelihood.dense_targets(targets)) > 0.0
    top = Z.max(axis=0)
    behind = top - np.where(seen, Z, np.inf).min(axis=0)
    if block.weights is not None:
        behind = np.where(np.asarray(on_host(block.weights)) > 0.0, behind, 0.0)
    return behind, top - Z.min(axis=0)


def _width(point: Point) -> int:
    return int(point.theta.shape[1]) - (not point.objective.fit_intercept)


def _vector(point: Point) -> Array:
    fit_intercept = point.objective.fit_intercept
    return _covariance.against_last(point.theta, fit_intercept).ravel()


def _moved(point: Point, step: Array) -> Array:
    return moved(point.theta, step, _width(point))


def _bases(A: Array) -> tuple[Array, Array, Array]:
    """Orthonormal bases of the rows of A and of what is orthogonal to them, and R of A's QR."""
    Q, R = qr(A.T)
    q = len(A)
    return Q[:, :q], Q[:, q:], R[:q]


def _toward(found: tuple[float, Array, Array], A: Array, distance: Array, total: float) -> Array:
    """The step to A θ farther by `distance` that is best for the quadratic model."""
    _, H, score = found
    own, free, R = _bases(A)
    step = own @ solve_triangular(R, np.atleast_1d(distance), trans="T")
    if free.shape[1]:
        reduced = free.T @ H @ free
        step = step + free @ _solve(reduced, free.T @ (score - H @ step), 1e-12 * total)[0]
    return np.asarray(step)


def _solve(H: Array, b: Array, damping: float) -> tuple[Array, float]:
    """(H + damping I)⁻¹ b, and the damping, which is raised where that matrix is singular."""
    least = max(1e-15 * float(np.trace(H)) / len(H), 1e-300)
    while True:
        try:
            factor = cho_factor(H + damping * np.eye(len(H)), check_finite=False)
            x = cho_solve(factor, b, check_finite=False)
            if np.isfinite(x).all():
                return np.asarray(x), damping
        except LinAlgError:
            pass
        damping = max(10.0 * damping, least)


def _minimum(of: Likelihoods, point: Point, found: tuple[float, Array, Array], A: Array) -> Held:
    """Newton's method with damping (Levenberg, Marquardt) in the space orthogonal to A.

    Damping is relative to the number of observations, which bounds the curvature by coefficients of
    standardised columns.

    Raises
    ------
    ArithmeticError
        Where it does not converge.
    """
    own, free, R = _bases(A)
    value, H, score = found
    damping, n_rejected = 0.0, 0
    for _ in range(MAX_ITER if free.shape[1] else 0):
        down = free.T @ score
        u, used = _solve(free.T @ H @ free, down, damping * of.total)
        step = free @ u
        predicted = float(score @ step - 0.5 * step @ H @ step)
        candidate = point.objective.at(_moved(point, step))
        there = of.at(candidate)
        is_last = predicted <= max(ACCURACY, 1e-14 * abs(value))
        gain = value - there[0] if np.isfinite(there[0]) else -np.inf
        if gain >= (0.0 if is_last else 1e-4 * predicted):
            point, (value, H, score) = candidate, there
            n_rejected = 0
        else:
            n_rejected += 1
        if predicted <= PRECISE and n_rejected > MOST_REJECTED:
            break  # rounding hides what is left to be gained
        if is_last and used <= NEGLIGIBLE * of.total:
            break
        if is_last or gain > 0.5 * predicted:
            damping = 0.1 * damping if damping > NEGLIGIBLE else 0.0
        elif gain < 0.1 * predicted:
            damping = max(10.0 * damping, 1e-6)
    else:
        if free.shape[1]:
            raise ArithmeticError(
                "the likelihood's maximum with coefficients held was not found in "
                f"{MAX_ITER} Newton steps."
            )
    slope = solve_triangular(R, own.T @ -score) if len(A) else np.zeros(0)
    return Held(point, value, slope)
