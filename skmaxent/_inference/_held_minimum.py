"""Least values of a likelihood with some combinations of the coefficients held.

Coefficients are θ of standardised columns in reference coding: those of each class against the
last, class by class, the intercept last in each; a single logit has its own. `n_coefficients` is
their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, qr, solve_triangular

from skmaxent._inference import _covariance
from skmaxent._inference._bias_reduction import moved, penalised
from skmaxent._objective._objective import Point
from skmaxent._typing import Array

# Nats that a Newton step may still gain at a minimum.
MINIMUM_GAIN = 1e-9
# Nats below which rounding may hide gains: after so many rejected steps the minimum is found.
ROUNDED_GAIN, MOST_REJECTED = 1e-6, 10
MAX_NEWTON_STEPS = 500
# A step with which the log-likelihood falls by more nats is divided, down to this share of the way
# to the held values.
FALLS_MUCH, LEAST_SHARE = 100.0, 1e-4
# Damping, relative to the number of observations, that counts as none.
NO_DAMPING = 1e-12


@dataclass(frozen=True)
class Held:
    """The least value where A θ is held.

    Attributes
    ----------
    point : Point
        Where the value is least.
    value : float
        The least -log L, in nats.
    slope : ndarray of shape (n_held,)
        Derivative of the least value by A θ.
    """

    point: Point
    value: float
    slope: Array


@dataclass(frozen=True)
class Likelihoods:
    """-log L as a function of points, penalised by Jeffreys' prior or not.

    Attributes
    ----------
    total : float
        Number of observations, which the mean loss is multiplied by.
    is_penalised : bool, default=False
        Whether log |I|/2 is subtracted, with the Fisher information I.
    """

    total: float
    is_penalised: bool = False

    def at(self, point: Point) -> tuple[float, Array, Array]:
        """The value at a point, the information and the score.

        The information has the shape (n_coefficients, n_coefficients), the score, the derivative of
        log L, (n_coefficients,). With the prior the value is infinite where the information is
        singular.
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
    """The least value of -log L with A θ held at given values.

    The values are approached by the steps that are best for the quadratic model, and a step with
    which the likelihood falls much is divided. Where no minimum exists, because the classes are
    separated, the result is the limit, up to `MINIMUM_GAIN`.

    Parameters
    ----------
    of : Likelihoods
    start : Point
        Where the search begins.
    A : ndarray of shape (n_held, n_coefficients), default=None
        None holds nothing.
    values : float or ndarray of shape (n_held,), default=0.0
        What A θ is held at.
    guesses : tuple of ndarray of shape (n_logits, n_features + 1)
        Some θ with these values of A θ, to begin at the best of them.
    ceiling : float, default=inf
        The search ends early, with other values of A θ, where the least value exceeds this on the
        way.
    """
    theta = flattened(start)
    if A is None:
        return _minimum(of, start, of.at(start), np.zeros((0, len(theta))))
    point, found = start, of.at(start)
    share = 1.0
    while share > 1e-9:
        distance = values - A @ flattened(point)
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


def _width(point: Point) -> int:
    """Coefficients of a logit, the intercept included."""
    return int(point.theta.shape[1]) - (not point.objective.fit_intercept)


def flattened(point: Point) -> Array:
    """The coefficients of a point, (n_coefficients,)."""
    fit_intercept = point.objective.fit_intercept
    return _covariance.against_last(point.theta, fit_intercept).ravel()


def _moved(point: Point, step: Array) -> Array:
    """θ of a point, (n_logits, n_features + 1), after a step, (n_coefficients,)."""
    return moved(point.theta, step, _width(point))


def _bases(A: Array) -> tuple[Array, Array, Array]:
    """Orthonormal bases of the rows of A and of what is orthogonal to them, and R of A's QR."""
    Q, R = qr(A.T)
    q = len(A)
    return Q[:, :q], Q[:, q:], R[:q]


def _toward(found: tuple[float, Array, Array], A: Array, distance: Array, total: float) -> Array:
    """The step s with A s = distance that the quadratic model at a point prefers.

    `found` is what `Likelihoods.at` gives for the point, `total` the number of observations.
    """
    _, H, score = found
    own, free, R = _bases(A)
    step = own @ solve_triangular(R, np.atleast_1d(distance), trans="T")
    if free.shape[1]:
        reduced = free.T @ H @ free
        step = step + free @ damped_solve(reduced, free.T @ (score - H @ step), 1e-12 * total)[0]
    return np.asarray(step)


def damped_solve(H: Array, b: Array, damping: float) -> tuple[Array, float]:
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
    """The least value for all θ with the same A θ as the point, by damped Newton steps.

    The steps are those of Levenberg and Marquardt in the space orthogonal to the rows of A.

    Damping is relative to the number of observations, which bounds the curvature by coefficients of
    standardised columns. `found` is what `Likelihoods.at` gives for the point.

    Raises
    ------
    ArithmeticError
        Where the steps do not converge.
    """
    own, free, R = _bases(A)
    value, H, score = found
    damping, n_rejected = 0.0, 0
    for _ in range(MAX_NEWTON_STEPS if free.shape[1] else 0):
        down = free.T @ score
        u, used = damped_solve(free.T @ H @ free, down, damping * of.total)
        step = free @ u
        predicted = float(score @ step - 0.5 * step @ H @ step)
        candidate = point.objective.at(_moved(point, step))
        there = of.at(candidate)
        is_last = predicted <= max(MINIMUM_GAIN, 1e-14 * abs(value))
        gain = value - there[0] if np.isfinite(there[0]) else -np.inf
        if gain >= (0.0 if is_last else 1e-4 * predicted):
            point, (value, H, score) = candidate, there
            n_rejected = 0
        else:
            n_rejected += 1
        if predicted <= ROUNDED_GAIN and n_rejected > MOST_REJECTED:
            break  # rounding hides what is left to be gained
        if is_last and used <= NO_DAMPING * of.total:
            break
        if is_last or gain > 0.5 * predicted:
            damping = 0.1 * damping if damping > NO_DAMPING else 0.0
        elif gain < 0.1 * predicted:
            damping = max(10.0 * damping, 1e-6)
    else:
        if free.shape[1]:
            raise ArithmeticError(
                "the likelihood's maximum with coefficients held was not found in "
                f"{MAX_NEWTON_STEPS} Newton steps."
            )
    slope = solve_triangular(R, own.T @ -score) if len(A) else np.zeros(0)
    return Held(point, value, slope)
