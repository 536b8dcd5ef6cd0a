"""Likelihood penalised by Jeffreys' prior: finite estimates with less bias.

Maximises log L(θ) + log |I(θ)|/2. The multinomial logit is the canonical link of its family, where
this is mean bias reduction too (Firth 1993, Biometrika 80, 27-38; Kosmidis & Firth 2009, Biometrika
96, 793-804).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from skmaxent._inference import _covariance
from skmaxent._leverage import _reference_coding
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._terms import ridge_terms
from skmaxent._solvers import Options, Outcome, Problem, Record, Solution, Status, minimise
from skmaxent._storage._arrays import EPS, empty
from skmaxent._typing import Array

# Halvings of a Newton step: 2^-30 of it is below the accuracy that a step is computed with.
MAX_STEP_HALVINGS = 30
# Strength of the ridge of the second start, for coefficients of standardised columns.
SPREAD = 0.01
# Standard errors from a maximum at which there is one.
AT_MAXIMUM = 1e-3
# How many times the square of a distance, in standard errors, may be left to gain, in nats.
FLATTER = 100.0
# Rows below which several maxima are looked for in all ways.
FEW_ROWS = 1000.0
# A step that ends no farther from a point of an earlier way up than this share of its length has
# come to that way.
JOINED = 0.1
# Iterations of scoring, after which quasi-Newton steps take over.
SCORING_STEPS = 10
# Penalised log-likelihoods that differ by no more are of the same maximum.
SAME = 1e-6


def bias_reduced(problem: Problem, options: Options, scale: float) -> Solution:
    """The maximum of the penalised likelihood, from the model without features.

    Where rows are few there may be several. Other starts look for them: the coefficients of a weak
    ridge, which are as large as the data allow, and, for less than `FEW_ROWS` rows, zero and half
    of the coefficients found so far. There may be others that none of these leads to.

    Parameters
    ----------
    problem : Problem
        Without penalty or bounds.
    options : Options
    scale : float
        What the objective's weights are multiplied by to count rows.

    Raises
    ------
    SingularInformation
        Where columns depend on each other.
    """
    ways = _Ways(problem, options.tol, scale)
    if options.max_iter == 0:
        return ways.maximum(problem.origin(), options)
    best = ways.maximum(problem.null.theta, options)
    if best.status is Status.STOPPED:
        return best
    n_rows = scale * problem.objective.total_weight
    quiet = replace(options, callback=None)
    spread = minimise(_with_ridge(problem, SPREAD / n_rows), quiet).point.theta
    # Of many rows the prior is negligible beside the likelihood, which has one maximum.
    others: list[Solution] = []
    for i in range(3 if n_rows < FEW_ROWS else 1):
        start = (spread, problem.origin(), np.asfortranarray(0.5 * best.point.theta))[i]
        try:
            found = ways.maximum(start, quiet)
        except _covariance.SingularInformation:
            continue
        difference = n_rows * (best.value - found.value)
        if difference > SAME:
            best, found = found, best
        if abs(difference) > SAME + _left(found, options.tol) + _left(best, options.tol):
            others.append(found)
    if not others:
        return best
    other = min(others, key=lambda one: one.value)
    remark = (
        "The likelihood penalised by bias_reduction has more than one maximum: the coefficients "
        f"are those of the higher one that was found, where the penalised log-likelihood is "
        f"{-n_rows * best.value:.6g}; at another it is {-n_rows * other.value:.6g}. There are too "
        "few rows to tell them apart."
    )
    return replace(best, remark=remark)


def _left(end: Solution, tol: float) -> float:
    """Return the nats that are at most left below a maximum, or infinity where there may be none.

    A distance d in standard errors leaves about d²/2, and more where the prior makes the penalised
    likelihood flatter than the likelihood.
    """
    if end.distance > max(tol, AT_MAXIMUM):
        return float("inf")
    return FLATTER * end.distance**2


def _with_ridge(problem: Problem, strength: float) -> Problem:
    """The problem with a ridge on the coefficients of standardised columns."""
    return problem.with_penalty(ridge_terms(strength * np.square(problem.objective.scale)))


class _Ways:
    """Ways up the penalised likelihood, and the maxima that they lead to.

    Parameters
    ----------
    problem : Problem
    tol : float
        Distance to a maximum, in standard errors, at which a way ends.
    scale : float
        What the objective's weights are multiplied by to count rows.
    """

    def __init__(self, problem: Problem, tol: float, scale: float) -> None:
        objective = problem.objective
        self._problem, self._tol = problem, tol
        self._total = scale * objective.total_weight
        self._width = objective.blocks.n_features + objective.fit_intercept
        # Constant columns have no coefficients of their own.
        self._free = np.append(problem.varying, [True] * objective.fit_intercept)
        if not self._free.any():
            self._free[:] = True  # `penalised` names the columns
        # The maxima, each with the points of the way to it.
        self._known: list[tuple[Solution, Array]] = []

    def maximum(self, theta: Array, options: Options) -> Solution:
        """Return the maximum that the way up from θ leads to.

        A way that comes to a point of an earlier one leads to the same maximum, and is not followed
        further.
        """
        objective = self._problem.objective
        points = []
        state = self._at(theta)
        record = Record(options)
        status = Status.MAX_ITER
        inverse = state.V
        while True:
            point, value = state.point, state.value
            points.append(point.theta)
            step, distance = inverse @ state.score, state.distance
            if distance <= self._tol:
                status = Status.CONVERGED
            status = record.add(
                objective.counter, point.theta, value / self._total, distance, status
            )
            if status is not Status.MAX_ITER or record.is_full:
                break
            known = self._known_beyond(point.theta, step)
            if known is not None:
                return known
            found, t = self._along(state, step)
            # Neither the value nor the score tell where to go, or no step leads up.
            is_lost = found is None or (found.value == value and found.distance >= distance)
            if found is None or is_lost:
                if inverse is state.V:
                    status = Status.PRECISION
                    break
                inverse = state.V
                continue
            is_slow = len(record) >= SCORING_STEPS
            change = state.score - found.score
            inverse = _updated(inverse, t * step, change, found.V) if is_slow else found.V
            state = found
        outcome = Outcome(point, value / self._total, status, record.history)
        solution = self._problem.solution(outcome, float("nan"))
        if distance <= max(self._tol, AT_MAXIMUM):
            self._known.append((solution, np.stack(points)))
        return solution

    def _at(self, theta: Array) -> _State:
        point = self._problem.objective.at(theta)
        return _State(point, *penalised(point, self._total, self._width, self._free))

    def _along(self, state: _State, step: Array) -> tuple[_State | None, float]:
        """Return the state after a step, and the share that was made; None if none leads up."""
        t = 1.0
        for _ in range(MAX_STEP_HALVINGS):
            try:
                found = self._at(moved(state.point.theta, t * step, self._width))
            except _covariance.SingularInformation:
                pass  # too far out
            else:
                if found.value <= state.value:
                    return found, t
            t *= 0.5
        return None, t

    def _known_beyond(self, theta: Array, step: Array) -> Solution | None:
        """Return the maximum of an earlier way that a step leads to, or None."""
        end = moved(theta, step, self._width)
        limit = JOINED * float(np.linalg.norm(end - theta))
        for maximum, points in self._known:
            if np.linalg.norm(points - end, axis=(1, 2)).min() <= limit:
                return maximum
        return None


class _State(NamedTuple):
    """A point with what `penalised` returns there."""

    point: Point
    value: float
    V: Array
    score: Array

    @property
    def distance(self) -> float:
        """The distance to the optimum in standard errors."""
        return float(np.sqrt(max(float(self.score @ self.V @ self.score), 0.0)))


def _updated(inverse: Array, step: Array, change: Array, V: Array) -> Array:
    """Return the inverse Hessian after a step, by the formula of BFGS.

    Where the prior makes the penalised likelihood flatter than the likelihood, scoring converges
    slowly. `change` is that of the gradient of the negative penalised log-likelihood. If its slope
    along the step did not grow, the result is V, the inverse information.
    """
    curvature = float(change @ step)
    # A product that rounding dominates would turn the inverse indefinite.
    if not curvature > EPS * float(np.linalg.norm(change) * np.linalg.norm(step)):
        return V
    product = inverse @ change
    factor = (1.0 + float(change @ product) / curvature) / curvature
    cross = np.multiply.outer(step, product) / curvature
    return np.asarray(inverse + factor * np.multiply.outer(step, step) - cross - cross.T)


def moved(theta: Array, step: Array, width: int) -> Array:
    """Return θ after a step in reference coding, with the same sum over the classes."""
    theta = theta.copy(order="F")
    r = max(1, len(theta) - 1)
    theta[:r, :width] += step.reshape(r, width)
    if len(theta) > 1:
        # The loss does not change, and solvers of smooth problems expect coefficients that sum to
        # zero.
        theta -= theta.mean(axis=0)
    return theta


def penalised(
    point: Point, total: float, width: int, free: Array | None = None
) -> tuple[float, Array, Array]:
    """Return -log L - log |I|/2, the inverse information I⁻¹ and the adjusted score.

    Parameters
    ----------
    point : Point
    total : float
        Sum of the weights of the rows.
    width : int
        Coefficients of a logit, the intercept included.
    free : ndarray of bool of shape (width,), optional
        Which of them are parameters; the others are constants, with zeros in I⁻¹. None is all.
    """
    objective = point.objective
    r = max(1, len(point.theta) - 1)
    H = _reference_coding.information(point)
    if free is None or free.all():
        V = _covariance.inverse(H, width) / total
    else:
        # Rows and columns of constants are zeros, which a Cholesky factor cannot have.
        at = np.ix_(*2 * (np.flatnonzero(np.tile(free, r)),))
        H, V = H[at], np.zeros_like(H)
        try:
            V[at] = _covariance.inverse(H, int(free.sum())) / total
        except _covariance.SingularInformation as error:
            columns = np.flatnonzero(free)[error.columns]
            raise _covariance.SingularInformation(columns) from error
    log_det = float(np.linalg.slogdet(H)[1])
    (change,) = point.map_reduce(_prior_score, V)
    # The storage divides the weights by a scale, so that sums over rows are of smaller weights than
    # `total` counts.
    change *= total / objective.total_weight
    gradient = point.loss_gradient()[:r, :width]
    value = total * point.loss - 0.5 * log_det
    return value, V, (change - total * gradient).ravel()


def _prior_score(context: KernelContext, V: Array) -> tuple[Array]:
    """Return the gradient of log |I|/2, (r, width).

    ∂log |I|/2 = tr(I⁻¹ ∂I)/2, where ∂I has the third cumulants of the classes. With
    Q_kl = xᵀ V_kl x, a row adds x times

        p_m [Q_mm - Σ_k p_k Q_kk - 2 (Qp)_m + 2 pᵀQp]/2.
    """
    P = context.probabilities.astype(np.float64)
    # Reference coding leaves out the last class; a single logit stays.
    P = P[: max(1, len(P) - 1)]
    X = context.rows if context.model.standardisation.fit_intercept else context.rows[:-1]
    r, width = len(P), len(X)
    blocks = V.reshape(r, width, r, width)
    Q = empty((r, r, X.shape[1]), np.float64, X)
    for k in range(r):
        for m in range(k + 1):
            Q[k, m] = Q[m, k] = np.einsum("in,in->n", X, blocks[k, :, m] @ X)
    own = np.stack([Q[k, k] for k in range(r)])
    Qp = np.einsum("kmn,mn->kn", Q, P)
    mean = np.einsum("kn,kn->n", P, own) - 2.0 * np.einsum("kn,kn->n", P, Qp)
    share = 0.5 * P * (own - 2.0 * Qp - mean)
    return ((share * context.weights) @ X.T,)
