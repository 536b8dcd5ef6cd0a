"""Proximal Newton for nonsmooth penalties and for bounds.

Each iteration has two parts. The first minimises a cheap quadratic model of the loss together with
the penalty. The minimum is on a manifold: some coefficients are zero or at a bound, and the others
have a sign. The second part improves the step within this manifold, by conjugate gradients with the
Hessian itself, preconditioned by the model.

θ of shape (R, width) are the coefficients for R logits, with the intercepts in the last column. F
is the loss plus the penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skmaxent._existence import CLOSE_TO_OPTIMUM, Watch
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import ProximalPenalty
from skmaxent._solvers._conjugate_gradients import conjugate_gradients
from skmaxent._solvers._model_minimum import SMALL_MODEL, Minimum, exact_minimum, minimise_model
from skmaxent._solvers._models import has_cheap_hessian, model_at
from skmaxent._solvers._quadratic import DampedModel, Model, project_onto_tangent
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import is_settled
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Most Hessian products of a step within a manifold. A step of length δ is refined until its error
# is about min(LOOSEST, QUADRATIC δ) δ: a Newton step leaves about a multiple of δ².
MANIFOLD_PRODUCTS, LOOSEST, QUADRATIC = 50, 0.25, 3.0
# A new model is computed after a step that took at least this many Hessian products.
STALE_PRODUCTS = 8
# A new model is computed after a step for which at least this many linear systems were solved.
STALE_SOLVES = 10
# If the decrease differs from the predicted one by this factor, the step has changed the Hessian.
OUTDATED = 1.25
# A decrease below this share of the rounding error of F counts as none.
LEAST_DECREASE = 1e-3
# If actual over predicted decrease is above the first number, a step twice as long is tried; below
# the second one, a step half as long.
EXTEND_ABOVE, HALVE_BELOW = 1.3, 0.25
MAX_RAY_TRIALS = 30
# A golden section stops when F at both ends exceeds the least F by no more than this share of the
# decrease. GOLDEN is the share of the larger part at which it is divided.
NEAR_LEAST, GOLDEN = 0.1, 0.382
# If only a share below SHORT_REACH of a step lowers F, the model gets damping: curvature for every
# coefficient of the standardised columns. These are its least and its largest value.
LEAST_MODEL_DAMPING, MOST_MODEL_DAMPING = 1e-6, 1e6
SHORT_REACH = 0.05
# Steps are slow if they gain as much as the Hessian predicts, but the distance stays between SLOW
# and FAR times what it was. After FEW_SLOW of them, exact minima of the model are computed; after
# MOST_SLOW, rounding errors hide the minimum.
SLOW, FAR, FEW_SLOW, MOST_SLOW = 0.7, 2.0, 3, 10
# If model and Hessian agreed in the last iteration, the distance that the model gives may still be
# too small by this factor.
DISTANCE_MARGIN = 2.0


class _Step(NamedTuple):
    """A step of the proximal Newton method.

    Attributes
    ----------
    theta : ndarray of shape (R, width)
        The end of the step.
    decrease : float
        The decrease of F that the Hessian predicts.
    minimum : Minimum
        The minimum of the model plus the penalty, from which the step was refined.
    products : int
        The number of Hessian products of the refinement.
    ends_near : bool
        Whether the end of the step is within the tolerance of the optimum, if the Hessian does not
        change.
    """

    theta: Array
    decrease: float
    minimum: Minimum
    products: int
    ends_near: bool


class _CurrentModel:
    """The quadratic model of the loss that a fit uses at present.

    Several iterations share a model, until it is replaced. Damping is added to the model after
    steps that do not lower F enough.

    Parameters
    ----------
    point : Point
        The start of the fit.
    model : Model or None
        A model to begin with; None computes one.
    seed : int
        For the rows from which models are computed.
    uses_hessian : bool
        Whether models have the Hessian of all rows.
    holds : bool, default=False
        Whether `model` is taken to be accurate at the start.

    Attributes
    ----------
    model : Model
    damping : float
        Curvature added for every coefficient, after a step of which no share, or only a small one,
        lowered F.
    holds : bool
        Whether the model, the Hessian and F agreed on the decrease of the last step.
    used : Model
        The model with the damping, from which the next step is computed.
    n_slow : int
        How many steps of a small fit were slow, one after the other; see `SLOW`.
    """

    def __init__(
        self,
        point: Point,
        model: Model | None,
        seed: int,
        *,
        uses_hessian: bool,
        holds: bool = False,
    ) -> None:
        self._seed, self._uses_hessian = seed, uses_hessian
        self.damping, self.holds = 0.0, holds and model is not None
        self._is_fresh, self._was_damped = model is None, False
        self.n_slow, self._nearest, self._has_gained = 0, np.inf, False
        if model is None:
            model = model_at(point, seed, uses_hessian=uses_hessian)
        self.model = self.used = model

    @property
    def is_hessian(self) -> bool:
        """Whether the model has the Hessian of all rows at the present point."""
        return self._is_fresh and self.used.is_exact

    def _renew(self, point: Point) -> None:
        """Replace the model by a new one at a point."""
        self.model = model_at(point, self._seed, uses_hessian=self._uses_hessian)
        self._is_fresh = True

    def minimum(self, point: Point, penalty: ProximalPenalty, target: float) -> Minimum:
        """Return the minimum of the model plus the penalty for a step from a point.

        `target` is the distance at which the fit ends. A damped model, or a model of an earlier
        point, may give too small a distance to the optimum. If the distance is within the target,
        it is therefore computed again, with a new model without damping.
        """
        self.used = self.model
        if self.damping > 0.0:
            self.used = DampedModel(self.model, self.damping)
        minimum = minimise_model(self.used, point.gradient, point.theta, penalty)
        if not SLOW * self._nearest < minimum.distance < FAR * self._nearest:
            self.n_slow, self._nearest = 0, minimum.distance
        elif self._has_gained and self.used.is_exact and point.theta.size <= SMALL_MODEL:
            self.n_slow += 1
            if self.n_slow >= FEW_SLOW and not minimum.is_exact:
                minimum = exact_minimum(minimum, self.used, point.gradient, point.theta, penalty)
        if minimum.distance > target:
            return minimum
        may_renew = has_cheap_hessian(point)
        is_doubtful = may_renew or not self.holds
        if not self._is_fresh and point.theta.size <= SMALL_MODEL and is_doubtful:
            self._renew(point)
            if self.model.matrix is None:
                minimum = minimise_model(self.model, point.gradient, point.theta, penalty)
        if self.damping > 0.0:
            self.holds, self.damping, self._was_damped = False, 0.0, True
        self.used = self.model
        if (may_renew or not self.holds) and not minimum.is_exact:
            minimum = exact_minimum(minimum, self.model, point.gradient, point.theta, penalty)
        return minimum

    def reject(self, point: Point, decrease: float) -> bool:
        """Change the model after a step that did not lower F; return whether to try another step.

        `decrease` is the predicted decrease. The result is False if the model is new and more
        damping would not help. Once a damped step is within the target, no more damping is tried at
        this point, because the predicted decrease then consists of rounding errors.
        """
        if not self._is_fresh:
            self._renew(point)
            return True
        if decrease > point.rounding and self.damping < MOST_MODEL_DAMPING and not self._was_damped:
            self.damping = max(LEAST_MODEL_DAMPING, 100.0 * self.damping)
            return True
        return False

    def accept(self, step: _Step, gain: float, reach: float, candidate: Point) -> None:
        """Update the model after a successful step.

        `reach` is the share of the step that was made, `gain` the decrease of F, and `candidate`
        the new point.
        """
        # Whether the model and the Hessian, and the Hessian and F, agree on the decrease.
        is_right = _agree(step.minimum.decrease, step.decrease, 2.0)
        as_promised = _agree(gain, step.decrease, 1.1)
        self.holds = self.damping == 0.0 and is_right and as_promised
        self._has_gained = self.damping == 0.0 and 1.1 * gain > step.decrease
        if reach < SHORT_REACH:
            self.damping = max(LEAST_MODEL_DAMPING, 10.0 * self.damping)
        elif self.damping > 0.0 and gain > HALVE_BELOW * step.decrease:
            self.damping = 0.1 * self.damping if self.damping > LEAST_MODEL_DAMPING else 0.0
        self._is_fresh, self._was_damped = False, False
        # A new model replaces a wrong model without a matrix, a wrong Hessian of an earlier point
        # if F shows that it has changed, and a model whose minimum or refinement is costly.
        is_outdated = self.model.is_exact and not _agree(gain, step.decrease, OUTDATED)
        is_wrong = (self.model.matrix is None or is_outdated) and not is_right
        is_stale = step.products >= STALE_PRODUCTS or step.minimum.n_solves >= STALE_SOLVES
        # After a step that ends within the tolerance, no new model is worth its cost.
        is_stale = is_stale and not (as_promised and step.ends_near)
        if is_wrong or is_stale or self.model.is_local or has_cheap_hessian(candidate):
            self._renew(candidate)


def proximal_newton(
    start: Point,
    options: Options,
    record: Record,
    watch: Watch,
    *,
    penalty: ProximalPenalty,
    model: Model | None = None,
    share: float = 0.0,
    uses_hessian: bool = False,
) -> Outcome:
    """Minimise loss and penalty from a point until it is `options.tol` from the optimum.

    The distance, in standard errors, is √(2 n Δ), with Δ the decrease of F that the model predicts
    and √n the factor of `root_size`. If the penalty is smooth, this is the length of the Newton
    step. Before the fit ends, the distance is computed with the Hessian too, unless the model, the
    Hessian and F agreed on the last step.

    Parameters
    ----------
    start : Point
    options : Options
    record : Record
        Receives the iterations.
    watch : Watch
        Looks for separation.
    penalty : ProximalPenalty
        The penalty of θ (R, d + 1), the column of the intercepts included.
    model : Model, optional
        A model of the loss to begin with.
    share : float, default=0
        If positive, the fit also ends when the distance is this share of the first distance.
    uses_hessian : bool, default=False
        Whether the quadratic models are the Hessian itself, not a cheap approximation.

    Returns
    -------
    Outcome
        With the last model.
    """
    objective, point = start.objective, start
    value = point.loss + penalty.value(point.theta)
    n_before, tol = len(record), options.tol
    current = _CurrentModel(
        point, model, options.seed, uses_hessian=uses_hessian, holds=options.trusts_model
    )
    uses_float32, end = True, None
    while True:
        root_n = root_size(objective.blocks.effective_size, value)
        minimum = current.minimum(point, penalty, tol / root_n)
        distance = float(root_n * minimum.distance)
        if len(record) == n_before:
            tol = max(tol, share * distance)
        if current.holds and DISTANCE_MARGIN * distance <= tol:
            distance *= DISTANCE_MARGIN
            status = record.add(objective.counter, point.theta, value, distance, Status.CONVERGED)
            end = minimum.theta
            break
        is_last = distance <= tol
        if minimum.is_exact and current.is_hessian:
            step = _Step(minimum.theta, minimum.decrease, minimum, products=0, ends_near=True)
        else:
            step = _refine(
                point, minimum, penalty, current, tol / root_n, exact=is_last or not uses_float32
            )
        if is_last:
            distance = max(distance, float(root_n * np.sqrt(2.0 * max(step.decrease, 0.0))))
        change = step.theta - point.theta
        # A fit that ends early may end where the distance is not yet reliable.
        is_near = distance <= tol and (
            tol > options.tol or is_settled(objective, point.theta, change)
        )
        status = Status.CONVERGED if is_near else Status.MAX_ITER
        if distance <= CLOSE_TO_OPTIMUM and watch.sees_direction(point.theta, change, distance):
            status = Status.QUASI_SEPARATED
        status = record.add(objective.counter, point.theta, value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            end = step.theta
            break
        uses_float32 = uses_float32 and not is_last
        found = _advance(point, value, step, penalty, current)
        if found is None:
            status = Status.PRECISION
            break
        point, value = found
    return Outcome(point, value, status, record.history, model=current.model, end=end)


def _advance(
    point: Point, value: float, step: _Step, penalty: ProximalPenalty, current: _CurrentModel
) -> tuple[Point, float] | None:
    """Return the next point and F there, or None if rounding errors prevent further progress.

    `value` is F at `point`. If the step does not lower F, `current` is changed and the result is
    the point itself.
    """
    if current.n_slow >= MOST_SLOW:
        return None
    candidate, candidate_value, reach = _search_on_ray(
        point, value, step.theta, penalty, step.decrease
    )
    if candidate_value < value - LEAST_DECREASE * point.rounding:
        current.accept(step, value - candidate_value, reach, candidate)
        return candidate, candidate_value
    if current.reject(point, step.decrease):
        return point, value
    return _step_hidden_by_rounding(point, value, step, penalty, current.model)


def _step_hidden_by_rounding(
    point: Point, value: float, step: _Step, penalty: ProximalPenalty, model: Model
) -> tuple[Point, float] | None:
    """Return the end of a step and F there, or None, where rounding errors hide the decrease.

    The step is accepted if F does not increase by more than its rounding error, and if at the end
    the distance to the minimum of the model has at least halved.
    """
    candidate = point.objective.at(step.theta)
    candidate_value = candidate.loss + penalty.value(step.theta)
    if candidate_value <= value + point.rounding:
        nearer = minimise_model(model, candidate.gradient, step.theta, penalty)
        if nearer.distance < 0.5 * step.minimum.distance:
            return candidate, candidate_value
    return None


def _agree(one: float, other: float, factor: float) -> bool:
    """Return whether two positive decreases differ by less than a factor."""
    return other > 0.0 and 1.0 / factor < one / other < factor


def _refine(
    point: Point,
    minimum: Minimum,
    penalty: ProximalPenalty,
    current: _CurrentModel,
    target: float,
    *,
    exact: bool,
) -> _Step:
    """Improve the step to the minimum of the model by conjugate gradients with the Hessian.

    The quadratic function of the Hessian, with the damping of the model, plus the penalty is
    minimised within the manifold of that minimum, with the model as the preconditioner, until the
    length of the residual is `target`. Hessian products use a float32 copy of X unless `exact`.
    """
    counter, model = point.objective.counter, current.used
    before = counter.hessian_products
    end = minimum.theta
    step = end - point.theta

    loss_hessian = partial(_damped_product, point, current.damping, exact)
    product = loss_hessian(step)
    tangent = penalty.tangent(end)
    start = penalty.value(point.theta)
    decrease = start - penalty.value(end) - inner(step, point.gradient + 0.5 * product)
    residual = project_onto_tangent(tangent, point.gradient + product + tangent.gradient)

    solve = partial(model.solve, tangent=tangent)
    size = float(np.sqrt(max(inner(residual, solve(residual)), 0.0)))
    whole = float(np.sqrt(2.0 * max(decrease, 0.0)))
    tolerance = max(min(LOOSEST, QUADRATIC * whole) * whole, 0.3 * target)
    if size > tolerance:
        inside = conjugate_gradients(
            partial(_tangent_product, loss_hessian, model, tangent),
            solve,
            residual,
            radius=np.inf,
            tolerance=tolerance,
            max_products=MANIFOLD_PRODUCTS,
        )
        better = penalty.retract(end + inside.direction, end)
        # If the refinement left the manifold, its predicted decrease is not that of its end.
        if np.array_equal(better, end + inside.direction):
            end, decrease = penalty.recentre(better), decrease + inside.predicted
        else:
            better = penalty.recentre(better)
            step = better - point.theta
            gain = start - penalty.value(better)
            gain -= inner(step, point.gradient + 0.5 * loss_hessian(step))
            if gain > decrease:
                end, decrease = better, gain
    products = counter.hessian_products - before
    return _Step(end, decrease, minimum, products, ends_near=tolerance <= target)


# The next functions are not closures, because in the traceback of an error a closure would keep the
# point and its rows in memory.


def _damped_product(point: Point, damping: float, exact: bool, V: Array) -> Array:
    """Return the Hessian of the loss plus `damping` times the identity, times V (R, width)."""
    product = point.hessian_product(V, exact=exact)
    return product if damping == 0.0 else product + damping * V


def _tangent_product(loss_hessian: Any, model: Model, tangent: Any, V: Array) -> Array:
    """Return the Hessian of loss and penalty within the manifold, times V (R, width).

    `loss_hessian` returns the product with the Hessian of the loss. The curvature of the model
    along shifts of all classes is added.
    """
    product = loss_hessian(V) + model.shift_curvature * V.mean(axis=0)
    return project_onto_tangent(tangent, product + tangent.curvature(V))


def _point_at(point: Point, step: Array, penalty: ProximalPenalty, t: float) -> tuple[Point, float]:
    """Return the point at the share t of a step (R, width) from `point`, and F there."""
    # In a long step, rounding errors alone lead beyond the bounds.
    candidate = point.objective.at(penalty.project(point.theta + t * step))
    return candidate, candidate.loss + penalty.value(candidate.theta)


def _search_on_ray(
    point: Point, value: float, theta: Array, penalty: ProximalPenalty, decrease: float
) -> tuple[Point, float, float]:
    """Return a point on the ray through the end of a step, F there, and the share of the step.

    The shares 1, 1/4, 1/16, ... are tried until F is lower than `value`; if it never is, the result
    is the start and a share of zero. If F falls by more than the predicted `decrease`, twice the
    share is tried, and if it falls by much less, half the share, as long as F falls further. If the
    share is below SHORT_REACH, the least F on the ray is searched for: there the model has the
    curvature of rows that are saturated elsewhere. `theta` is the end of the step, (R, width).
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
    if t < SHORT_REACH:
        return _least_on_ray(at, value, candidate, candidate_value, t)
    return candidate, candidate_value, t


def _least_on_ray(
    at: Callable[[float], tuple[Point, float]],
    value: float,
    candidate: Point,
    candidate_value: float,
    t: float,
) -> tuple[Point, float, float]:
    """Return the point on a ray with the least F, F there, and its share of the step.

    `value` is F at the start of the ray. `candidate` is at the share t, where F is lower; at 4 t
    it is not. Golden section is enough, because F is convex.
    """
    low, high, at_low, at_high = 0.0, 4.0 * t, value, np.inf
    for _ in range(MAX_RAY_TRIALS):
        if max(at_low, at_high) - candidate_value <= NEAR_LEAST * (value - candidate_value):
            break
        goes_up = high - t > t - low
        end, at_end = t + GOLDEN * ((high if goes_up else low) - t), candidate_value
        trial, trial_value = at(end)
        is_lower = trial_value < candidate_value
        if is_lower:
            t, end = end, t
            candidate, candidate_value = trial, trial_value
        else:
            at_end = trial_value
        if is_lower == goes_up:
            low, at_low = end, at_end
        else:
            high, at_high = end, at_end
    return candidate, candidate_value, t
