"""Proximal Newton for nonsmooth penalties and for bounds.

Each iteration minimises a cheap quadratic model of the loss together with the penalty, which finds
the manifold (which coefficients are zero or at a bound, and the signs of the others), and goes on
within it by conjugate gradients with the Hessian itself, preconditioned by the model.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import ProximalPenalty
from skmaxent._solvers._conjugate_gradients import steihaug
from skmaxent._solvers._models import model_at
from skmaxent._solvers._quadratic import SMALL_MODEL, DampedModel, Model, finished, minimise, within
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._solvers._unbounded import NEAR, Watch
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

MANIFOLD_PRODUCTS = 50
# Products after a step with an old model that are worth a new one.
STALE_PRODUCTS = 8
# Systems solved for the minimum of an old model that are worth a new one.
STALE_SOLVES = 10
# Decrease below this share of what rounding makes of F is none.
LEAST_DECREASE = 1e-3
# If actual over predicted decrease is above the first number, a step twice as long is tried; below
# the second one, a step half as long.
EXTEND_ABOVE, HALVE_BELOW = 1.3, 0.25
MAX_RAY_TRIALS = 30
# Curvature that is added, for standardised columns, after a step of which a share below SHORT_REACH
# could be taken: the least and the most.
LEAST_MODEL_DAMPING, MOST_MODEL_DAMPING = 1e-6, 1e6
SHORT_REACH = 0.05
# Multiplications of a Hessian that take a few milliseconds.
QUICK_HESSIAN_WORK = 1e7
# Factor by which the model's distance may be too small if it was right on the step before.
DISTANCE_MARGIN = 2.0


def proximal_newton(
    start: Point,
    options: Options,
    record: Record,
    watch: Watch,
    *,
    penalty: ProximalPenalty,
    model: Model | None = None,
    share: float = 0.0,
    precise: bool = False,
) -> Outcome:
    """Minimise loss and penalty from a point until it is `options.tol` from the optimum.

    The distance, in standard errors, is √(2 n Δ) with Δ the decrease that the model promises. Where
    the penalty is smooth this is the length of the Newton step. At the end the Hessian is asked
    too, unless it agreed with the model on the step before, and so did F.
    `penalty` is that of θ, the columns of the intercepts included. With a positive `share` it is
    enough to come down to that share of the first distance. `precise` models are the Hessian.
    """
    objective, point = start.objective, start
    value = point.loss + penalty.value(point.theta)
    n_before = len(record)
    status = Status.MAX_ITER
    is_fresh = model is None
    if model is None:
        model = model_at(point, options.seed, precise=precise)
    uses_float32, holds = True, False
    damping = 0.0
    tol = options.tol
    while True:
        root_n = root_size(objective.blocks.effective_size, value)
        used = model if damping == 0.0 else DampedModel(model, damping)
        guess = minimise(used, point.gradient, point.theta, penalty)
        if root_n * guess.distance <= tol:
            # A damped model understates how far the optimum is, and so may an old one, where rows
            # have been saturated since.
            is_quick = _is_quick(point)
            if not is_fresh and point.theta.size <= SMALL_MODEL and (is_quick or not holds):
                model, is_fresh = model_at(point, options.seed, precise=precise), True
                if model.matrix is None:
                    guess = minimise(model, point.gradient, point.theta, penalty)
            if damping > 0.0:
                holds, damping = False, 0.0
            used = model
            if is_quick or not holds:
                guess = finished(guess, used, point.gradient, point.theta, penalty)
        distance = float(root_n * guess.distance)
        if len(record) == n_before:
            tol = max(tol, share * distance)
        target = tol / root_n
        if holds and DISTANCE_MARGIN * distance <= tol:
            distance *= DISTANCE_MARGIN
            status = record.add(objective.counter, point.theta, value, distance, Status.CONVERGED)
            break
        is_last = distance <= tol
        before = objective.counter.hessian_products
        theta, decrease = _refine(
            point, guess.theta, penalty, used, damping, target, exact=is_last or not uses_float32
        )
        products = objective.counter.hessian_products - before
        if is_last:
            distance = max(distance, float(root_n * np.sqrt(2.0 * max(decrease, 0.0))))
        step = theta - point.theta
        if distance <= NEAR and watch.sees_direction(point.theta, step, distance):
            status = Status.QUASI_SEPARATED
        elif distance <= tol:
            status = Status.CONVERGED
        status = record.add(objective.counter, point.theta, value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            break
        uses_float32 = uses_float32 and not is_last
        candidate, candidate_value, reach = _along(point, value, theta, penalty, decrease)
        if not candidate_value < value - LEAST_DECREASE * point.rounding:
            if not is_fresh:
                model, is_fresh = model_at(point, options.seed, precise=precise), True
                continue
            if decrease > point.rounding and damping < MOST_MODEL_DAMPING:
                damping = max(LEAST_MODEL_DAMPING, 100.0 * damping)
                continue
            # F cannot tell any more; the gradient may.
            candidate = objective.at(theta)
            candidate_value = candidate.loss + penalty.value(theta)
            if candidate_value <= value + point.rounding:
                nearer = minimise(model, candidate.gradient, theta, penalty)
                if nearer.distance < 0.5 * guess.distance:
                    point, value = candidate, candidate_value
                    continue
            status = Status.PRECISION
            break
        # Whether model, Hessian and F agree on what the step was worth.
        holds = damping == 0.0 and _agree(guess.decrease, decrease, 2.0)
        holds = holds and _agree(value - candidate_value, decrease, 1.1)
        if reach < SHORT_REACH:
            damping = max(LEAST_MODEL_DAMPING, 10.0 * damping)
        elif damping > 0.0 and value - candidate_value > HALVE_BELOW * decrease:
            damping = 0.1 * damping if damping > LEAST_MODEL_DAMPING else 0.0
        point, value = candidate, candidate_value
        is_fresh = False
        # A simple model that was wrong gives way to the Hessian, and one at whose minimum many
        # steps aim costs more than a new one.
        is_wrong = model.matrix is None and not _agree(guess.decrease, decrease, 2.0)
        is_stale = products >= STALE_PRODUCTS or guess.n_solves >= STALE_SOLVES
        if is_wrong or is_stale or model.is_local or _is_quick(point):
            model, is_fresh = model_at(point, options.seed, precise=precise), True
    return Outcome(point, value, status, record.history, model=model)


def _is_quick(point: Point) -> bool:
    """Return whether a Hessian costs so little that a fit may always end with a new one."""
    return bool(point.objective.blocks.n_samples * point.theta.size**2 <= QUICK_HESSIAN_WORK)


def _agree(one: float, other: float, factor: float) -> bool:
    """Return whether two positive decreases differ by less than a factor."""
    return other > 0.0 and 1.0 / factor < one / other < factor


def _refine(
    point: Point,
    guess: Array,
    penalty: ProximalPenalty,
    model: Model,
    damping: float,
    target: float,
    *,
    exact: bool,
) -> tuple[Array, float]:
    """A better minimiser of the true quadratic on the guess's manifold, and its decrease.

    The quadratic has the `damping` of the model.
    """
    step = guess - point.theta

    loss_hessian = partial(_damped_product, point, damping, exact)
    product = loss_hessian(step)
    tangent = penalty.tangent(guess)
    start = penalty.value(point.theta)
    decrease = start - penalty.value(guess) - inner(step, point.gradient + 0.5 * product)
    residual = within(tangent, point.gradient + product + tangent.gradient)

    hessian = partial(_tangent_product, loss_hessian, model, tangent)
    solve = partial(model.solve, tangent=tangent)
    size = float(np.sqrt(max(inner(residual, solve(residual)), 0.0)))
    whole = float(np.sqrt(2.0 * max(decrease, 0.0)))
    forcing = min(0.25, np.sqrt(whole))
    tolerance = max(forcing * whole, 0.3 * target)
    if size <= tolerance:
        return guess, decrease
    inside = steihaug(
        hessian, solve, residual, radius=np.inf, tolerance=tolerance, max_products=MANIFOLD_PRODUCTS
    )
    end = guess + inside.direction
    better = penalty.retract(end, guess)
    if np.array_equal(better, end):
        return penalty.recentre(better), decrease + inside.predicted
    better = penalty.recentre(better)
    step = better - point.theta
    gain = start - penalty.value(better)
    gain -= inner(step, point.gradient + 0.5 * loss_hessian(step))
    return (better, gain) if gain > decrease else (guess, decrease)


# Not closures: the traceback of an error would hold the point, and its rows, by their cells.


def _damped_product(point: Point, damping: float, exact: bool, V: Array) -> Array:
    """Return the Hessian of the loss plus `damping` times the identity, times V (R, width)."""
    product = point.hessian_product(V, exact=exact)
    return product if damping == 0.0 else product + damping * V


def _tangent_product(loss_hessian: Any, model: Model, tangent: Any, V: Array) -> Array:
    """Return the Hessian of loss and penalty within the manifold, times V (R, width).

    It includes the model's curvature for a shift of all classes.
    """
    product = loss_hessian(V) + model.shift_curvature * V.mean(axis=0)
    return within(tangent, product + tangent.curvature(V))


def _point_at(point: Point, step: Array, penalty: ProximalPenalty, t: float) -> tuple[Point, float]:
    end = point.theta + t * step
    candidate = point.objective.at(end if t <= 1.0 else penalty.project(end))
    return candidate, candidate.loss + penalty.value(candidate.theta)


def _along(
    point: Point, value: float, theta: Array, penalty: ProximalPenalty, decrease: float
) -> tuple[Point, float, float]:
    """A point on the ray to the end of a step at which F is lower, or the start; and how far on.

    The end, or the first of its quarters, sixteenths... at which F is lower. Where F falls more
    than the model said, or much less, twice or half as far is tried while that is better.
    """
    step = theta - point.theta

    at = partial(_point_at, point, step, penalty)
    t = 1.0
    while t > 1e-6:
        candidate, candidate_value = at(t)
        if candidate_value < value:
            break
        t *= 0.25
    else:
        return point, value, 0.0
    ratio = (value - candidate_value) / max(decrease, point.rounding)
    factor = 2.0 if t == 1.0 and ratio > EXTEND_ABOVE else 0.5 if ratio < HALVE_BELOW else 1.0
    for _ in range(MAX_RAY_TRIALS if factor != 1.0 else 0):
        trial, trial_value = at(factor * t)
        if not trial_value < candidate_value:
            break
        t, candidate, candidate_value = factor * t, trial, trial_value
    return candidate, candidate_value, t
