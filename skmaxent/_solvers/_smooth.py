"""Trust-region Newton for smooth penalties, preconditioned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._conjugate_gradients import Step, steihaug
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._solvers._preconditioners import Preconditioner, Solves
from skmaxent._solvers._settled import is_settled
from skmaxent._solvers._solution import Iteration, Options, Status, root_size
from skmaxent._solvers._unbounded import NEAR, Watch
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

MAX_PRODUCTS = 200
# Steps from a point, each a quarter of the last or shorter.
MAX_TRIALS = 60
# Actual over predicted decrease of a step that is too short, at a distance where F is quadratic.
SHORT_STEP = 1.3
FAR = 10.0
# Of steps that gain more than this, so many in a row are a sign that rounding adds to the curvature
# of the Hessian itself.
TOO_SHORT = 1.5
MAX_SHORT = 3
# A slope is level where it is at most this share of the slope at the start of a step.
LEVEL = 0.3
MAX_SECANTS = 3
# For the last look at the distance.
CHECK_PRODUCTS = 10


@dataclass(frozen=True)
class Outcome:
    """Where Newton's method ended: the point, how far it is, and the preconditioner used last.

    `last` is a Newton step from the point with its residual, where one was computed; `coefficients`
    are those of the columns as they are, where θ has them less accurately.
    """

    point: Point
    status: Status
    history: tuple[Iteration, ...]
    preconditioner: Solves | None
    last: Step | None
    coefficients: tuple[Array, Array] | None = None


def newton(
    start: Point,
    varying: Array,
    options: Options,
    *,
    history: tuple[Iteration, ...] = (),
    is_near: bool = False,
    watch: Watch | None = None,
    hands_over: bool = False,
    max_products: float = np.inf,
) -> Outcome:
    """Minimise the objective from a point until it is `options.tol` from the optimum.

    The distance, in standard errors, is √n · ‖∇F‖ in the norm of the inverse preconditioner M⁻¹,
    divided by the root of the smallest Ritz value of M⁻¹H, so that an M that overstates the
    curvature does not flatter the fit. Where M is not close to the Hessian, conjugate gradients
    have the last word; where it is, and the last step did what the quadratic model said, the
    Hessian before that step will do.

    Hessian products are of float32 while they bring the optimum nearer; the last word is exact.
    `history` is what led to the start, whose iterations count; `is_near` tells that the start is
    much nearer to the optimum than the model without features. `watch` looks for separation.
    `hands_over` tells to end where a short distance is not to be trusted, for another solver goes
    on from there; it may then do so after `max_products` Hessian products too.
    """
    objective, point, tol = start.objective, start, options.tol
    radius = np.inf
    lines = list(history)
    n_before = objective.counter.hessian_products
    watch = Watch(objective, varying) if watch is None else watch
    status = Status.MAX_ITER
    ritz = 1.0
    ratio = 0.0
    products = n_short = 0
    last: Step | None = None
    narrow = True
    choice = PreconditionerChoice(
        objective, varying, solver=options.solver, seed=options.seed, is_near=is_near
    )
    preconditioner, is_new = choice.at(point, 0)
    first = max(len(lines) - 1, 0)
    for n_iter in range(first, options.max_iter + 1):
        root_n = root_size(objective.blocks.effective_size, point.value)
        if n_iter > first:
            holds = preconditioner.is_close and abs(ratio - 1.0) < 0.1
            is_new = False
            if not holds or root_n * length(preconditioner, point.gradient) > 0.5 * tol:
                preconditioner, is_new = choice.at(point, products, is_far=lines[-1].distance > FAR)
        products = objective.counter.hessian_products
        natural = preconditioner.solve(point.gradient)
        norm = np.sqrt(max(inner(point.gradient, natural), 0.0))
        distance = float(root_n * norm / min(1.0, np.sqrt(ritz)))
        newton_step = -natural
        last = None
        if distance <= tol and not preconditioner.is_close:
            last = _newton_step(point, preconditioner, norm)
            newton_step = last.direction
            distance = max(distance, float(root_n * _decrement(last)))
            narrow = False
        lines.append(_record(objective, n_iter, point, distance))
        if watch.sees_complete_separation(point.theta, point.loss):
            status = Status.SEPARATED
        elif distance <= tol:
            if watch.sees_direction(point.theta, newton_step, distance):
                status = Status.QUASI_SEPARATED
            elif is_settled(objective, point.theta, newton_step):
                status = Status.CONVERGED
            elif hands_over:
                status = Status.PRECISION
        elif watch.sees_long_way(point.theta, point.loss, n_iter):
            status = Status.QUASI_SEPARATED
        elif hands_over and (
            (n_short > MAX_SHORT and distance < FAR)
            or objective.counter.hessian_products - n_before > max_products
        ):
            status = Status.PRECISION
        status = options.report(lines[-1], point.theta, status)
        if status is not Status.MAX_ITER or n_iter == options.max_iter:
            break
        # Rounding adds to the curvature of nearly collinear columns: steps are then too short.
        narrow = narrow and not (ratio > SHORT_STEP and distance < FAR)
        direct = is_new and preconditioner.is_exact
        for _ in range(MAX_TRIALS):
            if direct:
                step = _preconditioned_step(point, natural, norm, radius)
            else:
                step = _step(point, preconditioner, norm, radius, tol / root_n, exact=not narrow)
            ritz = step.smallest_ritz
            candidate, share = _along(point, step)
            ratio = _agreement(point, candidate, step, preconditioner, norm)
            n_short = n_short + 1 if ratio > TOO_SHORT and not step.on_boundary else 0
            if ratio < 0.25:
                radius = 0.25 * share * step.length
            elif share < 1.0:
                radius = 2.0 * share * step.length
            elif ratio > 0.75 and step.on_boundary:
                radius = min(3.0 * radius, 1e100)
            if ratio > 1e-4 or _exhausted(point, step):
                break
        if not ratio > 1e-4:
            status = Status.PRECISION
            break
        if distance <= NEAR and watch.sees_direction(point.theta, step.direction, distance):
            status = Status.QUASI_SEPARATED
            break
        point = candidate
        products = objective.counter.hessian_products - products
    return Outcome(point, status, tuple(lines), preconditioner, last)


def length(preconditioner: Solves, gradient: Array) -> float:
    """Length of a gradient in the norm of the inverse preconditioner."""
    return float(np.sqrt(max(inner(gradient, preconditioner.solve(gradient)), 0.0)))


def _record(
    objective: MultinomialObjective, n_iter: int, point: Point, distance: float
) -> Iteration:
    counter = objective.counter
    return Iteration(n_iter, point.value, distance, counter.gradients, counter.hessian_products)


def _preconditioned_step(point: Point, natural: Array, norm: float, radius: float) -> Step:
    """The preconditioned gradient, shortened to the trust region: no product is needed."""
    t = min(1.0, radius / norm)
    return Step(
        direction=-t * natural,
        residual=(1.0 - t) * point.gradient,
        predicted=norm**2 * (t - 0.5 * t**2),
        length=t * norm,
        on_boundary=t < 1.0,
        residual_norm=(1.0 - t) * norm,
        smallest_ritz=1.0,
    )


def _step(
    point: Point,
    preconditioner: Preconditioner,
    norm: float,
    radius: float,
    target: float,
    *,
    exact: bool,
) -> Step:
    forcing = min(0.25, np.sqrt(norm))
    return steihaug(
        partial(point.hessian_product, exact=exact),
        preconditioner.solve,
        point.gradient,
        radius=radius,
        tolerance=min(max(forcing * norm, 0.3 * target), 0.25 * norm),
        max_products=MAX_PRODUCTS,
    )


def _newton_step(point: Point, preconditioner: Preconditioner, norm: float) -> Step:
    """The Newton step, by conjugate gradients rather than by the preconditioner alone."""
    return steihaug(
        point.hessian_product,
        preconditioner.solve,
        point.gradient,
        radius=np.inf,
        tolerance=0.3 * norm,
        max_products=CHECK_PRODUCTS,
    )


def _decrement(step: Step) -> float:
    """The Newton decrement: what the step accounts for, and what its residual may hide."""
    hidden = step.residual_norm**2 / min(1.0, step.smallest_ritz)
    return float(np.sqrt(2.0 * step.predicted + hidden))


def _exhausted(point: Point, step: Step) -> bool:
    """Whether a shorter step would gain nothing that F could tell; NaN is no gain either."""
    return not (step.predicted > 1e-3 * point.rounding and step.length > 0.0)


def _along(point: Point, step: Step) -> tuple[Point, float]:
    """The end of a step, or, where it goes too far, a point on it where F hardly slopes.

    F is convex, so that its slopes at two points bracket its least value between them; a secant
    that costs a gradient is cheaper than another step. Returns the share of the step taken too.
    """
    objective, s = point.objective, step.direction
    best, share = objective.at(point.theta + s), 1.0
    down = -inner(point.gradient, s)
    low, high = (0.0, -down), (1.0, inner(best.gradient, s))
    for _ in range(MAX_SECANTS):
        if high[1] <= LEVEL * down:
            break
        t = low[0] + (high[0] - low[0]) * np.clip(low[1] / (low[1] - high[1]), 0.1, 0.9)
        trial = objective.at(point.theta + t * s)
        slope = inner(trial.gradient, s)
        if not trial.value >= best.value:
            best, share = trial, float(t)
        if slope > 0.0:
            high = (t, slope)
        else:
            low = (t, slope)
            if slope >= -LEVEL * down:
                break
    return best, share


def _agreement(
    point: Point, candidate: Point, step: Step, preconditioner: Preconditioner, norm: float
) -> float:
    """Actual over predicted decrease; where F cannot tell, whether the gradient decreased."""
    if not np.isfinite(candidate.value):
        return -1.0
    if step.predicted > 3 * point.rounding:
        return (point.value - candidate.value) / step.predicted
    if candidate.value > point.value + 3 * point.rounding:
        return -1.0
    new = inner(candidate.gradient, preconditioner.solve(candidate.gradient))
    return 1.0 if new < (0.9 * norm) ** 2 else 0.0
