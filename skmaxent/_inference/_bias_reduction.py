"""Likelihood penalised by Jeffreys' prior: finite estimates with less bias.

Maximises log L(θ) + log |I(θ)|/2. The multinomial logit is the canonical link of its family, where
this is mean bias reduction too (Firth 1993, Biometrika 80, 27-38; Kosmidis & Firth 2009, Biometrika
96, 793-804).
"""

from __future__ import annotations

from dataclasses import replace

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
    if options.max_iter == 0:
        return _maximum(problem, problem.origin(), options, scale)
    best = _maximum(problem, problem.null.theta, options, scale)
    if best.status is Status.STOPPED:
        return best
    n_rows = scale * problem.objective.total_weight
    quiet = replace(options, callback=None)
    spread = minimise(_with_ridge(problem, SPREAD / n_rows), quiet).point.theta
    others: list[Solution] = []
    for i in range(3 if n_rows < FEW_ROWS else 1):
        start = (spread, problem.origin(), np.asfortranarray(0.5 * best.point.theta))[i]
        try:
            found = _maximum(problem, start, quiet, scale)
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


def _maximum(problem: Problem, theta: Array, options: Options, scale: float) -> Solution:
    """The maximum that the way up from θ leads to."""
    objective = problem.objective
    total = scale * objective.total_weight
    width = objective.blocks.n_features + objective.fit_intercept
    # Constant columns have no coefficients of their own.
    free = np.append(problem.varying, [True] * objective.fit_intercept)
    if not free.any():
        free[:] = True  # `penalised` names the columns
    point = objective.at(theta)
    value, V, adjusted = penalised(point, total, width, free)
    record = Record(options)
    status = Status.MAX_ITER
    inverse = V
    while True:
        step = inverse @ adjusted
        distance = _distance(V, adjusted)
        if distance <= options.tol:
            status = Status.CONVERGED
        status = record.add(objective.counter, point.theta, value / total, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            break
        t = 1.0
        for _ in range(MAX_STEP_HALVINGS):
            candidate = objective.at(moved(point.theta, t * step, width))
            try:
                found = penalised(candidate, total, width, free)
            except _covariance.SingularInformation:
                found = (np.inf, V, adjusted)  # too far out
            if found[0] <= value:
                break
            t *= 0.5
        # Neither the value nor the score tell where to go, or no step leads up.
        is_lost = found[0] > value or (found[0] == value and _distance(*found[1:]) >= distance)
        if is_lost and inverse is V:
            status = Status.PRECISION
            break
        if is_lost:
            inverse = V
            continue
        change = adjusted - found[2]
        point, (value, V, adjusted) = candidate, found
        is_slow = len(record) >= SCORING_STEPS
        inverse = _updated(inverse, t * step, change, V) if is_slow else V
    outcome = Outcome(point, value / total, status, record.history)
    return problem.solution(outcome, float("nan"))


def _updated(inverse: Array, step: Array, change: Array, V: Array) -> Array:
    """Return the inverse Hessian after a step, by the formula of BFGS.

    Where the prior makes the penalised likelihood flatter than the likelihood, scoring converges
    slowly. `change` is that of the gradient of the negative penalised log-likelihood. If its slope
    along the step did not grow, the result is V, the inverse information.
    """
    curvature = float(change @ step)
    if not curvature > EPS * float(np.linalg.norm(change) * np.linalg.norm(step)):
        return V
    product = inverse @ change
    factor = (1.0 + float(change @ product) / curvature) / curvature
    cross = np.multiply.outer(step, product) / curvature
    return np.asarray(inverse + factor * np.multiply.outer(step, step) - cross - cross.T)


def _distance(V: Array, adjusted: Array) -> float:
    """Return the distance to the optimum in standard errors."""
    return float(np.sqrt(max(float(adjusted @ V @ adjusted), 0.0)))


def moved(theta: Array, step: Array, width: int) -> Array:
    """Return θ after a step in reference coding, with the same sum over the classes."""
    theta = theta.copy(order="F")
    r = max(1, len(theta) - 1)
    theta[:r, :width] += step.reshape(r, width)
    if len(theta) > 1:
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
        at = np.ix_(*2 * (np.flatnonzero(np.tile(free, r)),))
        H, V = H[at], np.zeros_like(H)
        try:
            V[at] = _covariance.inverse(H, int(free.sum())) / total
        except _covariance.SingularInformation as error:
            columns = np.flatnonzero(free)[error.columns]
            raise _covariance.SingularInformation(columns) from error
    log_det = float(np.linalg.slogdet(H)[1])
    (change,) = point.map_reduce(_prior_score, V)
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
