"""Minimum of -log L under linear constraints A θ = b on the coefficients.

Profile confidence intervals and likelihood-ratio tests need this minimum. Here the coefficients are
one vector of length `n_coefficients`, for standardised columns: for each class but the last, the
differences of its coefficients from those of the last class, followed by the difference of the
intercepts. A model with a single logit has the coefficients of that logit. A `Point` has the
coefficients as a matrix of shape (n_logits, n_features + 1) instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, qr, solve_triangular

from skmaxent._inference import _covariance
from skmaxent._inference._bias_reduction import after_step, penalised_likelihood
from skmaxent._inference._orthogonal_columns import over_orthogonal_columns
from skmaxent._leverage import _reference_coding
from skmaxent._objective._objective import Point
from skmaxent._storage._combined_columns import CombinedColumns
from skmaxent._typing import Array

# Values and gains are in nats: log L has natural logarithms.
# The search has converged if the quadratic model predicts that a Newton step decreases -log L by
# no more than this.
MINIMUM_GAIN = 1e-9
# A predicted decrease of no more than ROUNDED_GAIN may be hidden by the rounding of -log L. The
# search ends there after more than MOST_REJECTED steps in sequence that did not decrease -log L.
ROUNDED_GAIN, MOST_REJECTED = 1e-6, 10
MAX_NEWTON_STEPS = 500
# If a step towards A θ = b increases -log L by more than FALLS_MUCH, and by more than
# FALLS_MUCH_EACH for each observation, a quarter of the step is tried instead, unless the step is
# no longer than the share LEAST_SHARE of the way and -log L is finite. With FALLS_MUCH alone, many
# observations would need as many steps as their -log L is in units of FALLS_MUCH.
FALLS_MUCH, FALLS_MUCH_EACH, LEAST_SHARE = 100.0, 0.1, 1e-4
# Eigenvalues below this one of an information matrix with unit diagonal may be rounding errors.
LEAST_CURVATURE = 1e-14
# A damping of no more than this, divided by the number of observations, counts as zero.
NO_DAMPING = 1e-12


@dataclass(frozen=True)
class ConstrainedMinimum:
    """The minimum of -log L under the constraints A θ = b.

    Attributes
    ----------
    point : Point
        The point at the minimum.
    value : float
        The minimum of -log L, in nats.
    slope : ndarray of shape (n_held,)
        Derivative of the minimum with respect to b. Its length is the number of rows of A, 0
        without constraints.
    """

    point: Point
    value: float
    slope: Array


@dataclass(frozen=True)
class NegativeLogLikelihood:
    """The function -log L, with or without the penalty of Jeffreys' prior.

    Attributes
    ----------
    total : float
        Number of observations. -log L is this number times the mean loss.
    is_penalised : bool, default=False
        Whether to subtract log det(I)/2 from -log L, where I is the Fisher information.
    """

    total: float
    is_penalised: bool = False

    def at(self, point: Point) -> tuple[float, Array, Array]:
        """Return -log L, the Fisher information and the score at a point.

        The information has shape (n_coefficients, n_coefficients). The score, the derivative of the
        log-likelihood with its penalty, has shape (n_coefficients,). If the penalty of Jeffreys'
        prior is in use and the information is singular, the value is infinite, the information
        returned is the identity, and the score is zero.
        """
        width = _width(point)
        r = max(1, len(point.theta) - 1)
        if not self.is_penalised:
            H = _reference_coding.information(point) * self.total
            score = -self.total * point.loss_gradient()[:r, :width].ravel()
            return self.total * point.loss, H, score
        try:
            value, V, score = penalised_likelihood(point, self.total, width)
        except _covariance.SingularInformation:
            return np.inf, np.eye(r * width), np.zeros(r * width)
        return value, np.linalg.inv(V), score


def constrained_minimum(
    likelihood: NegativeLogLikelihood,
    start: Point,
    A: Array | None = None,
    values: Array | float = 0.0,
    guesses: tuple[Array, ...] = (),
    ceiling: float = np.inf,
) -> ConstrainedMinimum:
    """Return the minimum of -log L under the constraints A θ = values.

    The search first steps from `start` to a θ with A θ = values. The step is the best one for the
    quadratic model of -log L. If -log L increases too much on the way, the search takes a part of
    the step, minimises -log L for the A θ that it has reached, and steps on from there. At last
    Newton steps that keep A θ find the minimum. If columns are nearly collinear, the search has the
    coefficients of orthogonal combinations of them. If no minimum exists, because the classes are
    separated, the value returned is the infimum, up to about `MINIMUM_GAIN`.

    Parameters
    ----------
    likelihood : NegativeLogLikelihood
    start : Point
        The first point of the search.
    A : ndarray of shape (n_held, n_coefficients), default=None
        The constraints, with linearly independent rows. None stands for no constraints.
    values : float or ndarray of shape (n_held,), default=0.0
        The values of A θ.
    guesses : tuple of ndarray of shape (n_logits, n_features + 1)
        Other matrices θ that satisfy the constraints. The search goes on from the guess with the
        smallest loss, if its loss is smaller than after the full step.
    ceiling : float, default=inf
        If the minimum for some A θ on the way exceeds this value, the search ends there. Its result
        then does not satisfy A θ = values.

    Returns
    -------
    ConstrainedMinimum
        Its `value` is infinite if no point with A θ = values and finite -log L is found.

    Raises
    ------
    ArithmeticError
        If `MAX_NEWTON_STEPS` Newton steps do not converge.
    """
    if A is None:
        A, values = np.zeros((0, len(flattened(start)))), np.zeros(0)
    objective = start.objective
    other = over_orthogonal_columns(objective)
    if other is objective:
        return _constrained_minimum(likelihood, start, A, values, guesses, ceiling)
    columns = other.standardisation
    assert isinstance(columns, CombinedColumns)
    width = _width(start)
    A = A @ np.kron(np.eye(A.shape[1] // width), columns.combinations[:width, :width].T)
    first, *guesses_there = (theta @ columns.inverse for theta in (start.theta, *guesses))
    found = _constrained_minimum(
        likelihood, other.at(np.asfortranarray(first)), A, values, tuple(guesses_there), ceiling
    )
    theta = np.asfortranarray(found.point.theta @ columns.combinations)
    return replace(found, point=objective.at(theta))


def _constrained_minimum(
    likelihood: NegativeLogLikelihood,
    start: Point,
    A: Array,
    values: Array | float,
    guesses: tuple[Array, ...],
    ceiling: float,
) -> ConstrainedMinimum:
    """Return what `constrained_minimum` returns, in the coordinates of the columns of `start`.

    Without constraints, A has the shape (0, n_coefficients).
    """
    if not len(A):
        return _minimum(likelihood, start, likelihood.at(start), A)
    point, found = start, likelihood.at(start)
    most = max(FALLS_MUCH, FALLS_MUCH_EACH * likelihood.total)
    share = 1.0
    while share > 1e-9:
        distance = values - A @ flattened(point)
        step = _toward(found, A, share * distance, likelihood.total)
        thetas = [_after_step(point, step), *(guesses if share == 1.0 else ())]
        # Guesses satisfy the constraints for the whole step only, so that shorter steps have none.
        candidate = min(map(point.objective.at, thetas), key=lambda candidate: candidate.loss)
        there = likelihood.at(candidate)
        if not np.isfinite(there[0]) or (there[0] > found[0] + most and share > LEAST_SHARE):
            share *= 0.25
            continue
        held = _minimum(likelihood, candidate, there, A)
        if share == 1.0 or held.value > ceiling:
            return held
        point, found, share, guesses = held.point, likelihood.at(held.point), 1.0, ()
    return ConstrainedMinimum(point, np.inf, np.zeros(len(A)))


def _width(point: Point) -> int:
    """Return the number of coefficients of one logit, including the intercept if there is one."""
    return int(point.theta.shape[1]) - (not point.objective.fit_intercept)


def flattened(point: Point) -> Array:
    """Return the vector of coefficients of a point, shape (n_coefficients,)."""
    fit_intercept = point.objective.fit_intercept
    return _reference_coding.against_last(point.theta, fit_intercept).ravel()


def _after_step(point: Point, step: Array) -> Array:
    """Return θ, shape (n_logits, n_features + 1), after a step of shape (n_coefficients,)."""
    return after_step(point.theta, step, _width(point))


def _bases(A: Array) -> tuple[Array, Array, Array]:
    """Return bases of the row space and of the null space of A, and the triangular factor of Aᵀ.

    For A of shape (q, n) with independent rows, the bases have orthonormal columns and the shapes
    (n, q) and (n, n - q). The first basis times the factor, of shape (q, q), is Aᵀ.
    """
    Q, R = qr(A.T)
    q = len(A)
    return Q[:, :q], Q[:, q:], R[:q]


def _toward(found: tuple[float, Array, Array], A: Array, distance: Array, total: float) -> Array:
    """Return the step s with A s = distance that minimises the quadratic model of -log L.

    Parameters
    ----------
    found : tuple
        Value, information and score at the present point, the result of `NegativeLogLikelihood.at`.
    A : ndarray of shape (n_held, n_coefficients)
    distance : ndarray of shape (n_held,)
    total : float
        Number of observations.

    Returns
    -------
    ndarray of shape (n_coefficients,)
    """
    _, H, score = found
    own, free, R = _bases(A)
    step = own @ solve_triangular(R, np.atleast_1d(distance), trans="T")
    if free.shape[1]:
        reduced = free.T @ H @ free
        step = step + free @ damped_solve(reduced, free.T @ (score - H @ step), 1e-12 * total)[0]
    return np.asarray(step)


def damped_solve(H: Array, b: Array, damping: float) -> tuple[Array, float]:
    """Return (H + damping I)⁻¹ b up to rounding, and the damping in use.

    H is symmetric, of shape (n, n), and b has shape (n,). Along combinations of coordinates in
    which H is zero up to rounding, b is rounding too, and the solution could be any large number.
    `LEAST_CURVATURE` on the diagonal of H, scaled to ones, keeps the solution small there. If the
    Cholesky factorisation fails or its solution is not finite, the damping is increased tenfold
    until both succeed. ArithmeticError is raised if H or b is not finite, for which no damping
    does.
    """
    if not (np.isfinite(H).all() and np.isfinite(b).all()):
        raise ArithmeticError("the information or the score of the likelihood is not finite.")
    smallest = max(1e-15 * float(np.trace(H)) / len(H), 1e-300)
    while True:
        size = np.sqrt(np.maximum(H.diagonal() + damping, 1e-300))
        A = (H + damping * np.eye(len(H))) / np.multiply.outer(size, size)
        try:
            factor = cho_factor(A + LEAST_CURVATURE * np.eye(len(H)), check_finite=False)
            x = cho_solve(factor, b / size, check_finite=False) / size
            if np.isfinite(x).all():
                return np.asarray(x), damping
        except LinAlgError:
            pass
        damping = max(10.0 * damping, smallest)


def _minimum(
    likelihood: NegativeLogLikelihood, point: Point, found: tuple[float, Array, Array], A: Array
) -> ConstrainedMinimum:
    """Return the minimum of -log L over all θ with the same A θ as the point.

    The steps are Newton steps with the damping of Levenberg and Marquardt, in the null space of A,
    so that they do not change A θ. The damping is a multiple of the number of observations, because
    this number is the size of the second derivatives with respect to coefficients of standardised
    columns.

    Parameters
    ----------
    likelihood : NegativeLogLikelihood
    point : Point
        The first point.
    found : tuple
        Value, information and score at this point, the result of `likelihood.at`.
    A : ndarray of shape (n_held, n_coefficients)
        `n_held` may be 0.

    Raises
    ------
    ArithmeticError
        If `MAX_NEWTON_STEPS` steps do not converge.
    """
    own, free, R = _bases(A)
    value, H, score = found
    damping, n_rejected = 0.0, 0
    for _ in range(MAX_NEWTON_STEPS if free.shape[1] else 0):
        down = free.T @ score
        u, used = damped_solve(free.T @ H @ free, down, damping * likelihood.total)
        step = free @ u
        predicted = float(score @ step - 0.5 * step @ H @ step)
        candidate = point.objective.at(_after_step(point, step))
        there = likelihood.at(candidate)
        is_last = predicted <= max(MINIMUM_GAIN, 1e-14 * abs(value))
        gain = value - there[0] if np.isfinite(there[0]) else -np.inf
        # Armijo's condition; the last step promises so little that rounding hides it.
        if gain >= (0.0 if is_last else 1e-4 * predicted):
            point, (value, H, score) = candidate, there
            n_rejected = 0
        else:
            n_rejected += 1
        if predicted <= ROUNDED_GAIN and n_rejected > MOST_REJECTED:
            break  # rounding hides the decrease that is left
        if is_last and used <= NO_DAMPING * likelihood.total:
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
    return ConstrainedMinimum(point, value, slope)
