"""From a problem and a start to a Solution: which solver, and what it reached."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Penalty, PenaltyTerms
from skmaxent._solvers._certificate import TIGHT
from skmaxent._solvers._orthogonal import orthogonal_distance
from skmaxent._solvers._precise import (
    affords_precision,
    is_cheap,
    is_cheaply_precise,
    needs_precision,
    newton_precise,
)
from skmaxent._solvers._precise_nonsmooth import affords_precise_nonsmooth, proximal_newton_precise
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._sampled import sampled_start
from skmaxent._solvers._scipy import is_for_scipy, minimise_with_scipy
from skmaxent._solvers._small import is_small, newton_small
from skmaxent._solvers._smooth import Outcome, newton
from skmaxent._solvers._solution import (
    CERTIFIED,
    NEGLIGIBLE,
    Iteration,
    Options,
    Solution,
    Status,
    root_size,
)
from skmaxent._solvers._unbounded import Watch
from skmaxent._solvers._working_set import WorkingSet, minimise_on_working_sets, renumbered
from skmaxent._typing import Array

# Ratio of the penalties on the way to a weak one, and how near to each minimum to come.
STAGE = 3.0
NEAR = 0.5
# The bound on the gap of a smooth fit of a path from which on the fit is looked at again.
DOUBTFUL = 1e-3
# For nonsmooth penalties: the distance that the certificate leaves possible, relative to the one
# asked for, from which on the gradient is asked.
FAR = 10.0
# Hessian products after which the conjugate gradients of a small problem cost more than assembling
# its Hessian in every iteration. Ordinary fits need some hundred.
MANY_PRODUCTS = 2000
# Ends of fits that are proved to have no minimum.
UNBOUNDED = (Status.SEPARATED, Status.QUASI_SEPARATED)


def minimise(problem: Problem, options: Options, start: Array | None = None) -> Solution:
    """The minimum, from a θ near it or from the model without features."""
    if problem.terms.is_smooth:
        return smooth(problem, options, start)
    working = WorkingSet(problem.objective, problem.varying)
    return minimise_nonsmooth(problem, options, start, working)


def smooth(
    problem: Problem, options: Options, start: Array | None, *, least_bound: float = TIGHT
) -> Solution:
    """Newton's method, for small problems in few calls, for large ones by way of samples; or SciPy.

    What nothing certifies is looked at again with row-accurate sums.
    """
    objective, varying = problem.objective, problem.varying
    watch = Watch(objective, varying)
    hands_over = affords_precision(objective)
    max_products = MANY_PRODUCTS if is_cheap(objective) else np.inf
    is_for_newton = True
    if is_for_scipy(problem, options):
        outcome, _ = minimise_with_scipy(problem, options, start, watch)
        # SciPy's methods end at the rounding of F, which is near enough where it is certified.
        is_for_newton = not outcome.history[-1].distance <= NEGLIGIBLE
    elif options.max_iter == 0:
        theta = problem.origin() if start is None else start
        outcome = newton(objective.at(theta), varying, options, watch=watch)
    elif is_small(objective) and options.solver != "newton-cg":
        theta = problem.null.theta if start is None else start
        outcome = newton_small(objective, theta, varying, options, watch)
        if outcome.status is Status.MAX_ITER:
            outcome = newton(
                outcome.point,
                varying,
                options,
                history=outcome.history,
                watch=watch,
                hands_over=hands_over,
                max_products=max_products,
            )
    else:
        theta = sampled_start(problem.null, varying, options) if start is None else start
        is_near = theta is not problem.null.theta
        first = objective.at(theta) if is_near else problem.start()
        outcome = newton(
            first,
            varying,
            options,
            is_near=is_near,
            watch=watch,
            hands_over=hands_over,
            max_products=max_products,
        )
    # A second look needs an iteration of its own.
    is_for_newton = is_for_newton and len(outcome.history) <= options.max_iter
    is_precise = is_for_newton and needs_precision(outcome, options)
    if is_precise:
        outcome = newton_precise(outcome, varying, options, watch)
    gap = _gap(problem, outcome, least_bound)
    doubtful = DOUBTFUL if least_bound > TIGHT else CERTIFIED
    if (
        not is_precise
        and len(outcome.history) <= options.max_iter
        and gap > doubtful
        and (is_cheaply_precise(outcome) or needs_precision(outcome, options))
    ):
        outcome = newton_precise(outcome, varying, options, watch)
        gap = _gap(problem, outcome, least_bound)
    if gap > doubtful and is_cheaply_precise(outcome):
        outcome = _judged_in_orthogonal_coordinates(outcome, varying, options.tol)
    point = outcome.point
    status = watch.at_end(outcome.status, point.theta, point.loss, gap)
    return problem.solution(
        point,
        point.value,
        status,
        outcome.history,
        gap,
        coefficients=outcome.coefficients,
        **watch.found,
    )


def _judged_in_orthogonal_coordinates(outcome: Outcome, varying: Array, tol: float) -> Outcome:
    """Return the outcome, converged only if the distance in orthogonal coordinates is small too.

    The coordinates of the solvers hide directions that are flat to rounding.
    """
    objective = outcome.point.objective
    coefficients = outcome.coefficients
    if coefficients is None:
        coefficients = objective.coefficients(outcome.point.theta)
    distance = orthogonal_distance(objective, varying, *coefficients)
    if not distance > tol:
        return outcome
    history = (*outcome.history[:-1], replace(outcome.history[-1], distance=distance))
    return replace(outcome, status=Status.PRECISION, history=history)


def _gap(problem: Problem, outcome: Outcome, least_bound: float) -> float:
    if outcome.status in UNBOUNDED:
        return 1.0  # no bound proves a minimum where there is none
    return problem.gap_at(
        outcome.point.theta,
        preconditioner=outcome.preconditioner,
        step=outcome.last,
        least_bound=least_bound,
    )


def minimise_nonsmooth(
    problem: Problem,
    options: Options,
    start: Array | None,
    working: WorkingSet,
    *,
    likely: Array | None = None,
    least_bound: float = TIGHT,
) -> Solution:
    """Proximal Newton over a working set; `likely` are features that it should have.

    SciPy's methods take its place where the penalty is smooth, but not alike for all classes.
    """
    objective = problem.objective
    penalty = problem.terms.nonsmooth_penalty()
    watch = Watch(objective, problem.varying, *penalty.signs)
    if is_for_scipy(problem, options):
        outcome, value = minimise_with_scipy(problem, options, start, watch)
        point, status, history = outcome.point, outcome.status, outcome.history
    else:
        point, value, status, history = _by_working_set(problem, options, start, working, likely)
    gap = 1.0
    if status not in UNBOUNDED:
        gap = problem.gap_at(point.theta, least_bound=least_bound)
    status = watch.at_end(status, point.theta, point.loss, gap)
    coefficients = None
    is_doubtful = _is_doubtful(status, gap, least_bound) and affords_precise_nonsmooth(objective)
    if is_doubtful and len(history) > options.max_iter:
        status = Status.MAX_ITER  # a second look needs an iteration of its own
    elif is_doubtful:
        precise = proximal_newton_precise(problem, point.theta, options, history)
        if precise.value < np.inf:
            point, value, status, history, coefficients = precise
            gap = problem.gap_at(point.theta, least_bound=least_bound)
            watch = Watch(objective, problem.varying, *penalty.signs)
            status = watch.at_end(status, point.theta, point.loss, gap)
    elif status is Status.CONVERGED and _can_fall(point, value, penalty, gap, options.tol):
        status = Status.PRECISION
    return problem.solution(
        point, value, status, history, gap, coefficients=coefficients, **watch.found
    )


def _by_working_set(
    problem: Problem,
    options: Options,
    start: Array | None,
    working: WorkingSet,
    likely: Array | None,
) -> tuple[Point, float, Status, tuple[Iteration, ...]]:
    """Where proximal Newton ends: the point, F there, why, and what led there."""
    objective = problem.objective
    penalty = problem.terms.nonsmooth_penalty()
    history: tuple[Iteration, ...] = ()
    status = Status.MAX_ITER
    if start is None and options.max_iter == 0:
        start = problem.origin()
    if start is None:
        point, status, history = _down_to(problem.start(), problem.terms, working, options)
    else:
        point = objective.at(start)
    inside = penalty.project(point.theta)
    if not np.array_equal(inside, point.theta):
        point = objective.at(inside)
    if status is Status.STOPPED:
        return point, point.loss + penalty.value(point.theta), status, history
    left = replace(
        options,
        max_iter=options.iterations_left(len(history)),
        callback=renumbered(options.callback, len(history)),
    )
    point, value, status, lines = minimise_on_working_sets(
        point, penalty, working, left, likely=likely
    )
    return point, value, status, _joined(history, lines)


def _is_doubtful(status: Status, gap: float, least_bound: float) -> bool:
    """Whether a nonsmooth fit says that it has converged, or cannot, without a proof of it."""
    if status is Status.CONVERGED:
        return gap > max(CERTIFIED, least_bound)
    return status is Status.PRECISION and gap > CERTIFIED


def _can_fall(point: Point, value: float, penalty: Penalty, gap: float, tol: float) -> bool:
    """Whether F still falls by more than `tol` allows, where the certificate cannot exclude it.

    Rows whose probabilities are 0 and 1 have no curvature, so that a Newton step along what they
    alone determine is worth nothing. A step of the proximal gradient needs none. Columns are
    standardised, so that no curvature is above half their number (Böhning 1992, Ann. Inst. Stat.
    Math. 44, 197-200), and the step lowers F at least by its square over twice its size (Beck &
    Teboulle 2009, SIAM J. Imaging Sci. 2, 183-202).
    """
    root_n = root_size(point.objective.blocks.effective_size, value)
    limit = max(tol, NEGLIGIBLE)
    if not root_n * np.sqrt(2.0 * gap * value) > FAR * limit:
        return False
    size = 2.0 / point.theta.shape[1]
    end = penalty.prox(
        point.theta - size * point.gradient, np.full((1, point.theta.shape[1]), size)
    )
    return bool(root_n * np.sqrt(np.sum(np.square(end - point.theta)) / size) > limit)


def _joined(before: tuple[Iteration, ...], after: tuple[Iteration, ...]) -> tuple[Iteration, ...]:
    return before + tuple(replace(line, n_iter=line.n_iter + len(before)) for line in after)


def _down_to(
    point: Point, terms: PenaltyTerms, working: WorkingSet, options: Options
) -> tuple[Point, Status, tuple[Iteration, ...]]:
    """A start for a weak L1 penalty, from stronger ones, how the last ended, and what led there.

    The fewer coefficients are not zero, the fewer are found in vain, and the better a quadratic
    model foresees what a step does.
    """
    norms = terms.dual_norm(point.gradient[:, :-1])
    ratio = float(np.divide(norms, terms.l1, out=np.zeros_like(norms), where=terms.l1 > 0.0).max())
    history: tuple[Iteration, ...] = ()
    status = Status.MAX_ITER
    if working.is_all or not np.isfinite(ratio):
        return point, status, history
    n_stages = int(np.log(max(ratio, 1.0)) / np.log(STAGE))
    for stage in range(n_stages - 1, 0, -1):
        penalty = terms.times(STAGE**stage).nonsmooth_penalty()
        theta = penalty.project(point.theta)
        point = point if np.array_equal(theta, point.theta) else point.objective.at(theta)
        part = replace(options, callback=renumbered(options.callback, len(history), last_before=0))
        point, _, status, lines = minimise_on_working_sets(
            point, penalty, working, part, share=NEAR
        )
        history = _joined(history, lines)
        if status is Status.STOPPED:
            break
    return point, status, history
