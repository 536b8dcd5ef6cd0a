"""Trust-region Newton for smooth penalties, preconditioned.

θ and gradients g have the shape (R, d + 1), for R logits and d features, with the intercepts in the
last column. F is the objective, H its Hessian and M the preconditioner. Distances to the optimum
are in standard errors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np

from skmaxent._existence import CLOSE_TO_OPTIMUM, Watch
from skmaxent._objective._objective import Point
from skmaxent._solvers._conjugate_gradients import Step, conjugate_gradients
from skmaxent._solvers._line_search import secant_search
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._solvers._preconditioners import Preconditioner
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import is_settled
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._solvers._trust_region import TrustRegion
from skmaxent._storage._arrays import EPS
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Most trials of shorter steps from a point. Each is at most a quarter of the one before, so that
# the last one changes no float64.
MAX_STEP_TRIALS = 60
# Within this distance, in standard errors, F is nearly quadratic; a step that gains more than
# SHORT_NEWTON_STEP times the predicted decrease is then too short.
QUADRATIC_DISTANCE, SHORT_NEWTON_STEP = 10.0, 1.3
# A distance below the tolerance that cannot be trusted ends the loop only if it is this short, in
# standard errors: further away, another step costs less than the more precise solver.
SHORT_DISTANCE = 0.01
# The curvature of the rows hardly changes in a step after which F is above this share of its value.
STEADY_SHARE = 0.6
# Hessian products and relative accuracy of the Newton step that checks the distance at the end.
CHECK_PRODUCTS, CHECK_ACCURACY = 10, 0.3
# Relative residual at which conjugate gradients end: at most this number, and the root of the
# gradient's norm near the optimum, for superlinear convergence (Nocedal & Wright 2006, section
# 7.1), but not below TARGET_SHARE times the distance that `options.tol` allows.
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
) -> Outcome:
    """Minimise a smooth objective from a point until it is `options.tol` from the optimum.

    The distance, in standard errors, is √n (see `root_size`) times ‖∇F‖ in the norm of M⁻¹,
    divided by the root of the smallest Ritz value of M⁻¹H, so that an M that overstates the
    curvature does not make the distance too small. At the end, if M is not close to the Hessian, a
    Newton step by conjugate gradients measures the distance. If M is close, and the last step did
    what the quadratic model said, the Hessian before that step serves as well.

    Hessian products use float32 while they bring the optimum nearer. The last ones, which check the
    distance, are in float64, unless the ridge is strong enough for float32.

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
        Whether the start is much nearer to the optimum than the null model.
    hands_over : bool, default=False
        Whether to end with status PRECISION where a short distance cannot be trusted, because a
        more precise solver continues from there.
    max_products : float, default=inf
        With `hands_over`, the loop also ends after this number of Hessian products.

    Returns
    -------
    Outcome
    """
    state = _State(start, options, is_near=is_near)
    region, counter = state.region, start.objective.counter
    n_before = counter.hessian_products
    while True:
        point = state.point
        newton_step = state.measure_distance()
        distance = state.distance
        status = _status(point, newton_step, distance, options.tol, record.number, watch)
        gives_up = (
            distance <= min(options.tol, SHORT_DISTANCE)
            or (region.steps_are_short and distance < QUADRATIC_DISTANCE)
            or counter.hessian_products - n_before > max_products
        )
        if status is Status.MAX_ITER and hands_over and gives_up:
            status = Status.PRECISION
        status = record.add(counter, point.theta, point.value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            break
        candidate, step = state.find_step()
        if candidate is None:
            status = Status.PRECISION
            break
        if distance <= CLOSE_TO_OPTIMUM and watch.sees_direction(
            point.theta, step.direction, distance
        ):
            status = Status.QUASI_SEPARATED
            break
        state.move_to(candidate)
    return Outcome(
        state.point,
        state.point.value,
        status,
        record.history,
        preconditioner=state.preconditioner,
        newton_step=state.newton_step,
    )


class _State:
    """The state of `newton` at an iterate: its preconditioner, trust region and distance.

    Attributes
    ----------
    point : Point
        The present iterate.
    region : TrustRegion
    preconditioner : Preconditioner
    distance : float
        The distance of the present iterate to the optimum, in standard errors; before
        `measure_distance`, that of the iterate before.
    newton_step : Step or None
        The step by conjugate gradients from which the distance was computed, if there is one.
    """

    def __init__(self, start: Point, options: Options, *, is_near: bool) -> None:
        self._counter, self._tol = start.objective.counter, options.tol
        self._choice = PreconditionerChoice(
            start.objective,
            solver=options.solver,
            seed=options.seed,
            is_near=is_near,
            continues=options.trusts_model,
        )
        self.point, self.region = start, TrustRegion()
        self.distance = np.inf
        self.newton_step: Step | None = None
        # The smallest Ritz value of the last step, the logarithm of the factor by which that step
        # reduced the residual, and whether Hessian products must be exact.
        self._ritz, self._reduction, self._exact = 1.0, 0.0, False
        self._is_new = False
        if self._choice.preconditioner is None:
            self._is_new = self._choice.at(start, 0)[1]
        self.preconditioner = cast(Preconditioner, self._choice.preconditioner)
        self._n_products_before = 0
        self._measure_length()

    def _measure_length(self) -> None:
        """Compute M⁻¹g, its length in the norm of M, and the factor √n to standard errors."""
        point = self.point
        self._root_n = root_size(point.objective.blocks.effective_size, point.value)
        self._natural = self.preconditioner.solve(point.gradient)
        self._norm: float = np.sqrt(max(inner(point.gradient, self._natural), 0.0))

    def measure_distance(self) -> Array:
        """Compute the distance to the optimum, and return the Newton step (R, d + 1) it is from.

        The step is that of the preconditioner. If it is short and the preconditioner is not close
        to the Hessian, conjugate gradients compute the step instead.
        """
        self._n_products_before = self._counter.hessian_products
        norm, self.newton_step = self._norm, None
        self.distance = float(self._root_n * norm / min(1.0, np.sqrt(self._ritz)))
        if self.distance > self._tol or self.preconditioner.is_close:
            return -self._natural
        exact = self._exact or not self.point.objective.tolerates_float32
        self.newton_step = _newton_step(self.point, self.preconditioner, norm, exact=exact)
        self.distance = max(self.distance, float(self._root_n * _decrement(self.newton_step)))
        self._exact = True
        return self.newton_step.direction

    def find_step(self) -> tuple[Point | None, Step]:
        """Return the next point, or None if no step lowers F, and the last step that was tried."""
        # Rounding adds to the curvature of nearly collinear columns: steps are then too short.
        is_short = self.region.agreement > SHORT_NEWTON_STEP
        self._exact = self._exact or (is_short and self.distance < QUADRATIC_DISTANCE)
        is_given = self._is_new and self.preconditioner.is_exact
        candidate, step = self._try_steps(is_given=is_given)
        if candidate is None and not (is_given or self._exact):
            # Rounding of float32 may hide the curvature. The region has shrunk without a reason.
            self._exact, self.region = True, TrustRegion()
            candidate, step = self._try_steps(is_given=False)
        self._ritz = step.smallest_ritz
        self._reduction = float(np.log(self._norm / max(step.residual_norm, EPS * self._norm)))
        return candidate, step

    def _try_steps(self, *, is_given: bool) -> tuple[Point | None, Step]:
        """Return the result of `_accepted`; `is_given` tells whether the step needs no products."""
        point, preconditioner, norm = self.point, self.preconditioner, self._norm
        if is_given:
            step_from = partial(_preconditioned_step, point, self._natural, norm)
        else:
            step_from = partial(
                _step,
                point,
                preconditioner,
                norm,
                target=self._tol / self._root_n,
                exact=self._exact,
                max_products=self._choice.max_products,
            )
        return _accepted(point, step_from, self.region, preconditioner, norm)

    def move_to(self, candidate: Point) -> None:
        """Make a point the present iterate, and replace the preconditioner if that pays off."""
        previous, self.point, self._is_new = self.point.value, candidate, False
        n_products = self._counter.hessian_products - self._n_products_before
        if self.preconditioner.is_close and self.region.model_holds:
            # The Hessian before the step suffices to show, with a margin, that the optimum is near.
            self._measure_length()
            if self._root_n * self._norm <= 0.5 * self._tol:
                return
        is_steady = (
            self.region.is_steady
            and self.distance > self._tol
            and candidate.value > STEADY_SHARE * previous
        )
        self.preconditioner, self._is_new = self._choice.at(
            candidate,
            n_products,
            reduction=self._reduction,
            is_far=self.distance > QUADRATIC_DISTANCE,
            is_steady=is_steady,
        )
        self._measure_length()


def _status(
    point: Point, newton_step: Array, distance: float, tol: float, number: int, watch: Watch
) -> Status:
    """Return how a fit ends at a point, or MAX_ITER if the fit should go on.

    `newton_step` (R, d + 1) is a Newton step from the point, computed with the Hessian or with a
    preconditioner, `distance` the distance estimated from it, and `number` that of the iteration.
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
    """Try steps in smaller and smaller regions until one is accepted.

    Returned are its end, or None if no step is accepted, and the last step. `step_from` returns the
    step for a radius. `norm` is the length of the gradient in the norm of M⁻¹.
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


def _preconditioned_step(point: Point, natural: Array, norm: float, radius: float) -> Step:
    """Return the step -t M⁻¹g to the minimum or the boundary of the region, without a product.

    `natural` is M⁻¹g (R, d + 1), `norm` its length in the norm of M, and M must be nearly H.
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
        n_products=0,
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
    """Return a step by conjugate gradients within a trust region.

    `norm` is the length of the gradient in the norm of M⁻¹, and `target` that length at the
    distance of `options.tol`. Hessian products use float32 unless they must be `exact`.
    """
    forcing = min(LARGEST_FORCING, np.sqrt(norm))
    return conjugate_gradients(
        partial(point.hessian_product, exact=exact),
        preconditioner.solve,
        point.gradient,
        radius=radius,
        tolerance=min(max(forcing * norm, TARGET_SHARE * target), LARGEST_FORCING * norm),
        max_products=max_products,
    )


def _newton_step(point: Point, preconditioner: Preconditioner, norm: float, *, exact: bool) -> Step:
    """Return a Newton step by a few iterations of conjugate gradients, to estimate the distance.

    `norm` is the length of the gradient in the norm of M⁻¹. Hessian products use float32 unless
    they must be `exact`.
    """
    return conjugate_gradients(
        partial(point.hessian_product, exact=exact),
        preconditioner.solve,
        point.gradient,
        radius=np.inf,
        tolerance=CHECK_ACCURACY * norm,
        max_products=CHECK_PRODUCTS,
    )


def _decrement(step: Step) -> float:
    """Return an upper bound on the Newton decrement √(gᵀH⁻¹g) from an inexact Newton step.

    Its square is twice the decrease that the step predicts plus the residual's length in the norm
    of H⁻¹, which is bounded by its length in the norm of M⁻¹ and the smallest Ritz value.
    """
    hidden = step.residual_norm**2 / min(1.0, step.smallest_ritz)
    return float(np.sqrt(2.0 * step.predicted + hidden))


def _exhausted(point: Point, step: Step) -> bool:
    """Return whether rounding errors hide the decrease of any shorter step, or the step is NaN."""
    return not (step.predicted > 1e-3 * point.rounding and step.length > 0.0)


def _along(point: Point, step: Step) -> tuple[Point, float]:
    """Return the best point found on a step, and the share of the step at which it lies."""
    objective, s = point.objective, step.direction

    def at(t: float) -> tuple[Point, float]:
        """Return the point at the share t of the step, and the derivative of F in t."""
        there = objective.at(point.theta + t * s)
        return there, inner(there.gradient, s)

    return secant_search(at, -inner(point.gradient, s))


def _agreement(
    point: Point, candidate: Point, step: Step, preconditioner: Preconditioner, norm: float
) -> float:
    """Return the actual decrease of F from a point to a candidate over the predicted one.

    If rounding errors hide the decrease, the result is 1 if the length of the gradient in the norm
    of M⁻¹, which is `norm` at the point, has decreased by a tenth, and 0 if it has not. It is -1 if
    F is not finite or has increased.
    """
    if not np.isfinite(candidate.value):
        return -1.0
    if step.predicted > 3 * point.rounding:
        return (point.value - candidate.value) / step.predicted
    if candidate.value > point.value + 3 * point.rounding:
        return -1.0
    new = inner(candidate.gradient, preconditioner.solve(candidate.gradient))
    return 1.0 if new < (0.9 * norm) ** 2 else 0.0
