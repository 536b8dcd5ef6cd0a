"""Trust-region Newton for smooth penalties, preconditioned."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from skmaxent._existence import CLOSE_TO_OPTIMUM, Watch
from skmaxent._objective._objective import Point
from skmaxent._solvers._conjugate_gradients import Step, steihaug
from skmaxent._solvers._line_search import secant_search
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._solvers._preconditioners import Preconditioner
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import is_settled
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._solvers._trust_region import TrustRegion
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Trials of shorter steps from a point; each is a quarter of the last one or shorter, so that the
# last one changes no float64.
MAX_STEP_TRIALS = 60
# Within this distance, in standard errors, F is nearly quadratic; a step that gains more than
# SHORT_NEWTON_STEP times the predicted decrease is then too short.
QUADRATIC_DISTANCE, SHORT_NEWTON_STEP = 10.0, 1.3
# The curvature of the rows hardly changes in a step that leaves this share of F.
STEADY_SHARE = 0.6
# Hessian products and relative accuracy of the Newton step that checks the distance at the end.
CHECK_PRODUCTS, CHECK_ACCURACY = 10, 0.3
# Relative residual at which conjugate gradients end: at most this number, and the root of the
# gradient's norm near the optimum, for superlinear convergence (Nocedal & Wright 2006, section
# 7.1), but not below a share of the distance that is asked for.
LARGEST_FORCING, TARGET_SHARE = 0.25, 0.3


def newton(
    start: Point,
    options: Options,
    record: Record,
    watch: Watch,
    *,
    is_near: bool = False,
    hands_over: bool = False,
    max_products: float = np.inf,
    preconditioner: Preconditioner | None = None,
) -> Outcome:
    """Minimise a smooth objective from a point until it is `options.tol` from the optimum.

    The distance, in standard errors, is √n · ‖∇F‖ in the norm of the inverse preconditioner M⁻¹,
    divided by the root of the smallest Ritz value of M⁻¹H, so that an M that overstates the
    curvature does not make the distance too small. At the end, if M is not close to the Hessian, a
    Newton step by conjugate gradients measures the distance. If M is close, and the last step did
    what the quadratic model said, the Hessian before that step serves as well.

    Hessian products use float32 while they bring the optimum nearer; the last ones are exact.

    Parameters
    ----------
    start : Point
        Its objective is the one to minimise.
    options : Options
    record : Record
        Receives the iterations.
    watch : Watch
        Looks for separation.
    is_near : bool, default=False
        Whether the start is much nearer to the optimum than the model without features.
    hands_over : bool, default=False
        Whether to end with status PRECISION where a short distance cannot be trusted, because a
        more precise solver continues from there.
    max_products : float, default=inf
        Hessian products after which `hands_over` ends the loop in any case.
    preconditioner : Preconditioner, optional
        For the first step, from a fit with nearly this penalty.

    Returns
    -------
    Outcome
    """
    objective, point, tol = start.objective, start, options.tol
    n_before = objective.counter.hessian_products
    status = Status.MAX_ITER
    region = TrustRegion()
    ritz, products, previous = 1.0, 0, np.inf
    last: Step | None = None
    exact, distance = False, np.inf
    choice = PreconditionerChoice(
        objective, solver=options.solver, seed=options.seed, is_near=is_near
    )
    is_new = False
    if preconditioner is None:
        preconditioner, is_new = choice.at(point, 0)
    while True:
        root_n = root_size(objective.blocks.effective_size, point.value)
        if point is not start:
            holds = preconditioner.is_close and region.model_holds
            is_new = False
            if not holds or root_n * length(preconditioner, point.gradient) > 0.5 * tol:
                is_far = distance > QUADRATIC_DISTANCE
                is_steady = (
                    region.is_steady and distance > tol and point.value > STEADY_SHARE * previous
                )
                preconditioner, is_new = choice.at(
                    point, products, is_far=is_far, is_steady=is_steady
                )
        products = objective.counter.hessian_products
        natural = preconditioner.solve(point.gradient)
        norm = np.sqrt(max(inner(point.gradient, natural), 0.0))
        distance = float(root_n * norm / min(1.0, np.sqrt(ritz)))
        newton_step, last = -natural, None
        if distance <= tol and not preconditioner.is_close:
            last = _newton_step(point, preconditioner, norm)
            newton_step = last.direction
            distance = max(distance, float(root_n * _decrement(last)))
            exact = True
        status = _status(point, newton_step, distance, tol, record.number, watch)
        gives_up = (
            distance <= tol
            or (region.steps_are_short and distance < QUADRATIC_DISTANCE)
            or objective.counter.hessian_products - n_before > max_products
        )
        if status is Status.MAX_ITER and hands_over and gives_up:
            status = Status.PRECISION
        status = record.add(objective.counter, point.theta, point.value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            break
        # Rounding adds to the curvature of nearly collinear columns: steps are then too short.
        exact = exact or (region.agreement > SHORT_NEWTON_STEP and distance < QUADRATIC_DISTANCE)
        step_from = partial(
            _step,
            point,
            preconditioner,
            norm,
            target=tol / root_n,
            exact=exact,
            max_products=choice.max_products,
        )
        if is_new and preconditioner.is_exact:
            step_from = partial(_preconditioned_step, point, natural, norm)
        candidate, step = _accepted(point, step_from, region, preconditioner, norm)
        ritz = step.smallest_ritz
        if candidate is None:
            status = Status.PRECISION
            break
        if distance <= CLOSE_TO_OPTIMUM and watch.sees_direction(
            point.theta, step.direction, distance
        ):
            status = Status.QUASI_SEPARATED
            break
        previous, point = point.value, candidate
        products = objective.counter.hessian_products - products
    return Outcome(
        point,
        point.value,
        status,
        record.history,
        preconditioner=preconditioner,
        newton_step=last,
    )


def _status(
    point: Point, newton_step: Array, distance: float, tol: float, number: int, watch: Watch
) -> Status:
    """Return how a fit ends at a point, or MAX_ITER if it does not.

    `newton_step` (R, d + 1) is a Newton step from the point, at least by the preconditioner, and
    `number` that of the iteration.
    """
    if watch.sees_complete_separation(point.theta, point.loss):
        return Status.SEPARATED
    if distance <= tol:
        if watch.sees_direction(point.theta, newton_step, distance):
            return Status.QUASI_SEPARATED
        is_near = is_settled(point.objective, point.theta, newton_step)
        return Status.CONVERGED if is_near else Status.MAX_ITER
    if watch.sees_slow_separation(point.theta, point.loss, number):
        return Status.QUASI_SEPARATED
    return Status.MAX_ITER


def _accepted(
    point: Point,
    step_from: Callable[..., Step],
    region: TrustRegion,
    preconditioner: Preconditioner,
    norm: float,
) -> tuple[Point | None, Step]:
    """Try steps in smaller and smaller regions; return the next point, or None, and the last step.

    `step_from` makes a step from the radius of the region. `norm` is the gradient's length in the
    norm of the inverse preconditioner.
    """
    for _ in range(MAX_STEP_TRIALS):
        step = step_from(radius=region.radius)
        candidate, share = _along(point, step)
        agreement = _agreement(point, candidate, step, preconditioner, norm)
        is_taken = region.judge(
            agreement,
            step.length,
            on_boundary=step.on_boundary,
            share=share,
            is_possible=step.predicted <= point.value,
        )
        if is_taken:
            return candidate, step
        if _exhausted(point, step):
            break
    return None, step


def length(preconditioner: Preconditioner, gradient: Array) -> float:
    """Return the length of a gradient (R, d + 1) in the norm of the inverse preconditioner."""
    return float(np.sqrt(max(inner(gradient, preconditioner.solve(gradient)), 0.0)))


def _preconditioned_step(point: Point, natural: Array, norm: float, radius: float) -> Step:
    """Return the step -t M⁻¹g to the minimum or the boundary of the region, without a product.

    `natural` is M⁻¹g (R, d + 1), and `norm` its length in the norm of M.
    """
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
    max_products: int,
) -> Step:
    """Return a step by conjugate gradients within the region.

    `norm` is the gradient's length in the norm of M⁻¹, and `target` the length that is asked for.
    Products are of float32 unless they must be `exact`.
    """
    forcing = min(LARGEST_FORCING, np.sqrt(norm))
    return steihaug(
        partial(point.hessian_product, exact=exact),
        preconditioner.solve,
        point.gradient,
        radius=radius,
        tolerance=min(max(forcing * norm, TARGET_SHARE * target), LARGEST_FORCING * norm),
        max_products=max_products,
    )


def _newton_step(point: Point, preconditioner: Preconditioner, norm: float) -> Step:
    """Return a Newton step by conjugate gradients, from which the distance is estimated.

    `norm` is the gradient's length in the norm of M⁻¹.
    """
    return steihaug(
        point.hessian_product,
        preconditioner.solve,
        point.gradient,
        radius=np.inf,
        tolerance=CHECK_ACCURACY * norm,
        max_products=CHECK_PRODUCTS,
    )


def _decrement(step: Step) -> float:
    """Return the Newton decrement: its part along the step, and a bound on the residual's part."""
    hidden = step.residual_norm**2 / min(1.0, step.smallest_ritz)
    return float(np.sqrt(2.0 * step.predicted + hidden))


def _exhausted(point: Point, step: Step) -> bool:
    """Return whether rounding would hide what a shorter step gains; so does a step of NaN."""
    return not (step.predicted > 1e-3 * point.rounding and step.length > 0.0)


def _along(point: Point, step: Step) -> tuple[Point, float]:
    """Return the lowest point that was found on a step, and the share of the step before it."""
    objective, s = point.objective, step.direction

    def at(t: float) -> tuple[Point, float]:
        there = objective.at(point.theta + t * s)
        return there, inner(there.gradient, s)

    return secant_search(at, -inner(point.gradient, s))


def _agreement(
    point: Point, candidate: Point, step: Step, preconditioner: Preconditioner, norm: float
) -> float:
    """Return actual over predicted decrease of F.

    If rounding hides the decrease, the result is 1 if the gradient's length, `norm` at the point,
    has decreased by a tenth, and 0 if it has not.
    """
    if not np.isfinite(candidate.value):
        return -1.0
    if step.predicted > 3 * point.rounding:
        return (point.value - candidate.value) / step.predicted
    if candidate.value > point.value + 3 * point.rounding:
        return -1.0
    new = inner(candidate.gradient, preconditioner.solve(candidate.gradient))
    return 1.0 if new < (0.9 * norm) ** 2 else 0.0
