"""The choice of a solver for a problem, its run, and checks of its result.

θ of shape (R, d + 1) are the coefficients of the d standardised columns for R logits, with the
intercepts in the last column. F is the objective of the problem and F* its minimum. The
certificate is an upper bound on (F - F*)/F.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from skmaxent._existence import Watch
from skmaxent._solvers._certificate import TIGHT
from skmaxent._solvers._merged_newton import newton_merged, suits_merged_rows
from skmaxent._solvers._names import NEWTON
from skmaxent._solvers._orthogonal import orthogonal_distance
from skmaxent._solvers._precise import (
    affords_precision,
    is_cheap,
    is_cheaply_precise,
    needs_precision,
    newton_precise,
)
from skmaxent._solvers._precise_nonsmooth import (
    affords_precise_nonsmooth,
    affords_rescue,
    hides_a_column,
    hides_ridge,
    proximal_newton_precise,
)
from skmaxent._solvers._preconditioned import check_is_smooth
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._proximal_by_size import proximal_newton_by_size
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._sampled import sampled_start
from skmaxent._solvers._scipy import METHODS, minimise_with_scipy
from skmaxent._solvers._settled import ended_in_a_short_step, is_far_from_minimum
from skmaxent._solvers._small import is_small, newton_small
from skmaxent._solvers._smooth import newton
from skmaxent._solvers._solution import (
    CERTIFIED,
    NEGLIGIBLE,
    UNBOUNDED,
    Options,
    Solution,
    Status,
)
from skmaxent._solvers._working_set import Screening, WorkingSet
from skmaxent._typing import Array

# If the bound on the gap of a large fit with a nonsmooth penalty is above SMALL, the fit makes its
# last step. If the bound is still above LOOSE, it continues to the share CLOSER of the requested
# distance. If it does not get there, it has converged with a bound of at most SMALL. With a bound
# above UNKNOWN, no fit has.
CLOSER, LOOSE, SMALL, UNKNOWN = 0.01, 0.02, 1e-3, 0.5
# Hessian products after which the conjugate gradients of a small problem cost more than assembling
# its Hessian in every iteration. Ordinary fits need some hundred.
MANY_PRODUCTS = 2000
# Iterations after which the precise solver continues a fit with a nonsmooth penalty, if it affords
# that. Ordinary fits need some twenty.
PATIENCE = 40
# The status of a fit in which a kind of separation was proved.
STATUS_OF_SEPARATION = {"complete": Status.SEPARATED, "quasi-complete": Status.QUASI_SEPARATED}


class Solver(Protocol):
    """A solver for smooth penalties, by its name in the table `SOLVERS`."""

    def __call__(
        self, problem: Problem, start: Array | None, options: Options, record: Record, watch: Watch
    ) -> Outcome:
        """Minimise the objective of a problem until it is `options.tol` from the optimum.

        Parameters
        ----------
        problem : Problem
        start : ndarray of shape (R, d + 1) or None
            θ to begin at; None stands for the null model, `problem.null`.
        options : Options
        record : Record
            The solver calls `record.add` at each iterate, the first one included. It ends if `add`
            returns another status than MAX_ITER, or if `record.is_full`.
        watch : Watch
            Looks for separation.
        """


def newton_by_size(
    problem: Problem, start: Array | None, options: Options, record: Record, watch: Watch
) -> Outcome:
    """Minimise by the variant of Newton's method that suits the size of the problem.

    `newton_small` has few NumPy calls, for small problems. `newton` minimises larger problems, and
    continues where `newton_small` does not converge. For large problems it starts at the optimum of
    a sample of the rows, or at the result of `newton_merged`. The parameters are those of `Solver`.
    """
    objective = problem.objective
    hands_over = affords_precision(objective)
    max_products = MANY_PRODUCTS if is_cheap(objective) else np.inf
    if is_small(objective) and options.solver != "newton-cg":
        theta = problem.null.theta if start is None else start
        outcome = newton_small(objective, theta, options, record, watch)
        if outcome.status is not Status.MAX_ITER or record.is_full:
            return outcome
        record.take_back()  # `newton` adds its first iterate, which is the last one here, again
        return newton(
            outcome.point,
            options,
            record,
            watch,
            hands_over=hands_over,
            max_products=max_products,
        )
    theta = sampled_start(problem.null, options) if start is None else start
    is_near = theta is not problem.null.theta
    if suits_merged_rows(problem, options):
        reached = newton_merged(problem, theta if is_near else None, options, record)
        if isinstance(reached, Outcome):
            return reached
        if reached is not None:
            theta, is_near = reached, True
    first = objective.at(theta) if is_near else problem.start()
    return newton(
        first,
        options,
        record,
        watch,
        is_near=is_near,
        hands_over=hands_over,
        max_products=max_products,
    )


# The solver for each value of `Options.solver`. Nonsmooth penalties and bounds have one solver,
# proximal Newton, which the names in NEWTON stand for too.
SOLVERS: dict[str, Solver] = dict.fromkeys(NEWTON, newton_by_size)
SOLVERS |= dict.fromkeys(METHODS, minimise_with_scipy)


def minimise(problem: Problem, options: Options, start: Array | None = None) -> Solution:
    """Minimise the objective of a problem.

    Parameters
    ----------
    problem : Problem
    options : Options
    start : ndarray of shape (R, d + 1), optional
        θ near the minimum; the default is the null model.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If `options.solver` is for smooth objectives only, and the penalty is not smooth or
        coefficients have bounds.
    """
    if problem.terms.is_plain_ridge:
        return minimise_smooth(problem, options, start)
    working = WorkingSet(problem.objective)
    return minimise_nonsmooth(problem, options, start, working)


def descend(
    problem: Problem,
    options: Options,
    start: Array,
    watch: Watch,
    working: WorkingSet | None = None,
    screening: Screening | None = None,
) -> Outcome:
    """Run the solver of a problem alone, without the checks of `minimise`.

    There is no certificate, no continuation by a more precise solver, and no search for separation
    at the end. This is enough for a step of a longer fit.

    Parameters
    ----------
    problem : Problem
    options : Options
    start : ndarray of shape (R, d + 1)
        θ to begin at.
    watch : Watch
        Looks for separation. Several runs may share a watch if the same targets are positive in
        all of them. Fits over working sets do not use this watch, but make their own.
    working : WorkingSet, optional
        See `minimise_nonsmooth`; the default is a new working set.
    screening : Screening, optional
    """
    record = Record(options)
    if problem.terms.is_plain_ridge or options.solver not in NEWTON:
        return SOLVERS[options.solver](problem, start, options, record, watch)
    working = WorkingSet(problem.objective) if working is None else working
    return proximal_newton_by_size(problem, start, options, record, watch, working, screening)


def minimise_smooth(
    problem: Problem, options: Options, start: Array | None, *, least_bound: float = TIGHT
) -> Solution:
    """Minimise with a plain ridge or without a penalty, and check the result by the certificate.

    If the certificate is too large to confirm the result, `newton_precise` continues.

    Parameters
    ----------
    problem : Problem
    options : Options
    start : ndarray of shape (R, d + 1) or None
        θ to begin at; None stands for the null model.
    least_bound : float, default=TIGHT
        The certificate is not improved further when it is below this value.
    """
    objective = problem.objective
    watch = Watch(objective)
    record = Record(options)
    is_for_newton = True
    if options.max_iter == 0:
        theta = problem.origin() if start is None else start
        outcome = newton(objective.at(theta), options, record, watch)
    else:
        outcome = SOLVERS[options.solver](problem, start, options, record, watch)
        # SciPy's methods end when F changes only by rounding. Their result needs no continuation by
        # a more precise solver if the distance is negligible.
        is_near = outcome.history[-1].distance <= NEGLIGIBLE
        is_for_newton = options.solver in NEWTON or not is_near
    # `newton_precise` makes an iteration at least, which `max_iter` must still allow.
    is_for_newton = is_for_newton and not record.is_full
    is_precise = is_for_newton and needs_precision(outcome, options)
    if is_precise:
        outcome = newton_precise(outcome, options, record, watch)
    gap = _certified_gap(problem, outcome, least_bound)
    # The distance that SciPy's methods reach in float32 may be rounding.
    is_noisy = objective.blocks.dtype == np.float32 and options.solver not in NEWTON
    doubtful = CERTIFIED if is_noisy else max(CERTIFIED, least_bound)
    if (
        not is_precise
        and gap > doubtful
        and (is_cheaply_precise(outcome) or needs_precision(outcome, options))
    ):
        if record.is_full:  # `newton_precise` would need another iteration
            outcome = replace(outcome, status=Status.MAX_ITER)
        else:
            outcome = newton_precise(outcome, options, record, watch)
            gap = _certified_gap(problem, outcome, least_bound)
    objective = outcome.point.objective
    if gap > doubtful and affords_precision(objective) and is_cheap(objective):
        outcome = _checked_in_orthogonal_coordinates(outcome, record, options.tol)
    return _solution(problem, outcome, watch, gap)


def _solution(problem: Problem, outcome: Outcome, watch: Watch, gap: float) -> Solution:
    """Return the solution for an outcome, after a last search for separation.

    `gap` is the certificate.
    """
    status = _status_at_end(outcome, watch, gap)
    gap = 1.0 if status in UNBOUNDED else gap
    return problem.solution(replace(outcome, status=status), gap, **watch.found)


def _status_at_end(outcome: Outcome, watch: Watch, gap: float) -> Status:
    """Return the status of an outcome, or a kind of separation that a last search proves.

    `gap` is the certificate; a small one proves that there is no separation.
    """
    if outcome.status in (*UNBOUNDED, Status.STOPPED):
        return outcome.status
    kind = watch.kind_at_end(outcome.point.theta, outcome.point.loss, gap)
    return outcome.status if kind is None else STATUS_OF_SEPARATION[kind]


def _checked_in_orthogonal_coordinates(outcome: Outcome, record: Record, tol: float) -> Outcome:
    """Return the outcome with a more accurate distance, if this is larger and above `tol`.

    In the coordinates of the solvers, rounding errors can hide the curvature of nearly collinear
    columns, and with it a part of the distance to the optimum. `orthogonal_distance` shows this
    part. It replaces the distance of the last iteration in the record. The status of a fit that has
    converged is then PRECISION; a fit that ended at `max_iter` keeps its status.
    """
    if outcome.status not in (Status.CONVERGED, Status.MAX_ITER) or not outcome.history:
        return outcome
    objective = outcome.point.objective
    coefficients = outcome.coefficients
    if coefficients is None:
        coefficients = objective.coefficients(outcome.point.theta)
    distance = orthogonal_distance(objective, *coefficients)
    is_converged = outcome.status is Status.CONVERGED
    if not distance > (tol if is_converged else max(tol, outcome.history[-1].distance)):
        return outcome
    record.correct(distance)
    status = Status.PRECISION if is_converged else outcome.status
    return replace(outcome, status=status, history=record.history)


def _certified_gap(problem: Problem, outcome: Outcome, least_bound: float) -> float:
    """Return the certificate for an outcome; it is 1 if separation is proved."""
    if outcome.status in UNBOUNDED:
        return 1.0
    return problem.gap_at(
        outcome.point.theta,
        preconditioner=outcome.preconditioner,
        step=outcome.newton_step,
        least_bound=least_bound,
    )


def minimise_nonsmooth(
    problem: Problem,
    options: Options,
    start: Array | None,
    working: WorkingSet,
    *,
    screening: Screening | None = None,
    least_bound: float = TIGHT,
) -> Solution:
    """Minimise with any penalty that is not a plain ridge: L1, bounds, targets, a ridge by class.

    The result is checked as in `minimise_smooth`. The solver is proximal Newton over a working set
    of features. A method of SciPy that the user selects runs for penalties that are smooth and
    differ by class; for others it raises ValueError.

    Parameters
    ----------
    problem : Problem
    options : Options
    start : ndarray of shape (R, d + 1) or None
        θ to begin at; None stands for the null model.
    working : WorkingSet
        A working set for the loss of the problem. Features are added in place, so that the fit for
        the next penalty of a path can begin with them.
    screening : Screening, optional
        Tells which coefficients are probably not zero.
    least_bound : float, default=TIGHT
        The certificate is not improved further when it is below this value.
    """
    objective = problem.objective
    penalty = problem.terms.whole_penalty()
    watch = Watch(objective, *penalty.unbounded_signs)
    record = Record(options)
    if options.solver not in NEWTON:
        check_is_smooth(problem.terms, options.solver)
    has_rescue = affords_rescue(objective)
    if options.solver in NEWTON or options.max_iter == 0:
        patience = PATIENCE if has_rescue else options.max_iter
        first = replace(options, max_iter=min(options.max_iter, patience))
        part = record.part(first.max_iter, n_left=options.max_iter)
        outcome = proximal_newton_by_size(problem, start, first, part, watch, working, screening)
    else:
        outcome = SOLVERS[options.solver](problem, start, options, record, watch)
        outcome = replace(outcome, preconditioner=None, newton_step=None)
    gap = _certified_gap(problem, outcome, least_bound)
    is_small = affords_precise_nonsmooth(objective)
    may_improve = not is_small and outcome.status is Status.CONVERGED
    if may_improve and gap > SMALL and outcome.end is not None:
        outcome, gap = _at_end_of_step(problem, outcome, gap, least_bound)
    if may_improve and gap > LOOSE:
        outcome, gap = _closer(problem, outcome, gap, options, record, watch, working, least_bound)
    status = _status_at_end(outcome, watch, gap)
    gap = 1.0 if status in UNBOUNDED else gap
    is_loose = is_small and CERTIFIED < gap <= least_bound
    if ended_in_a_short_step(outcome) or (
        is_loose and hides_a_column(problem, outcome.point.theta)
    ):
        least_bound = TIGHT
    if status is Status.CONVERGED and is_far_from_minimum(outcome, penalty, gap, options.tol):
        status = Status.PRECISION
    solution = problem.solution(replace(outcome, status=status), gap, **watch.found)
    is_doubtful = is_small and _is_doubtful(status, gap, least_bound)
    is_unknown = gap > LOOSE or solution.lacks_precision(options.tol)
    is_slow = status is Status.MAX_ITER or (status is Status.PRECISION and is_unknown)
    if (is_doubtful or (has_rescue and is_slow)) and not record.is_full:
        theta = outcome.point.theta
        precise = _continued_precisely(problem, theta, options, record, watch, least_bound)
        return solution if precise is None else precise
    # `proximal_newton_precise` would need another iteration.
    return replace(solution, status=Status.MAX_ITER) if is_doubtful else solution


def _continued_precisely(
    problem: Problem,
    theta: Array,
    options: Options,
    record: Record,
    watch: Watch,
    least_bound: float,
) -> Solution | None:
    """Continue a fit with a nonsmooth penalty from θ by `proximal_newton_precise`.

    The result is None if F is not finite. The parameters are those of `minimise_nonsmooth`.
    """
    precise = proximal_newton_precise(problem, theta, options, record)
    if not precise.value < np.inf:
        return None
    gap = problem.gap_at(precise.point.theta, least_bound=least_bound)
    if precise.status is Status.CONVERGED:
        penalty = problem.terms.whole_penalty()
        # A certificate of one bounds nothing, and a large one is no proof where a ridge is hidden.
        is_hidden = CERTIFIED < gap < 1.0 and hides_ridge(problem, precise.point.theta)
        if gap >= 1.0 or is_hidden or is_far_from_minimum(precise, penalty, gap, options.tol):
            precise = replace(precise, status=Status.PRECISION)
    return _solution(problem, precise, watch.again(), gap)


def _at_end_of_step(
    problem: Problem, outcome: Outcome, gap: float, least_bound: float
) -> tuple[Outcome, float]:
    """Return a converged outcome at the end of its last step, and its certificate.

    If F is not lower there, the result is the outcome itself and its certificate `gap`.
    """
    assert outcome.end is not None
    point = problem.objective.at(outcome.end)
    value = point.loss + problem.terms.whole_penalty().value(point.theta)
    if not value < outcome.value:
        return outcome, gap
    found = replace(outcome, point=point, value=value)
    return found, _certified_gap(problem, found, least_bound)


def _closer(
    problem: Problem,
    outcome: Outcome,
    gap: float,
    options: Options,
    record: Record,
    watch: Watch,
    working: WorkingSet,
    least_bound: float,
) -> tuple[Outcome, float]:
    """Continue a converged fit to a smaller distance, because its certificate `gap` is large.

    If the curvature of rows with probabilities near 0 and 1 is far below that of the model, as
    where an outlier dominates a column, the distance by the model is far too small. Returned are
    the outcome and its certificate. A fit that rounding, or `max_iter`, keeps from the smaller
    distance has converged if its certificate is small, and no other has if it says nothing.
    """
    if record.is_full or options.solver not in NEWTON:
        return outcome, gap
    closer = replace(options, tol=CLOSER * options.tol)
    found = proximal_newton_by_size(
        problem, outcome.point.theta, closer, record, watch, working, None
    )
    gap = _certified_gap(problem, found, least_bound)
    status, is_near = found.status, found.history[-1].distance <= options.tol
    if is_near and gap <= SMALL and status in (Status.PRECISION, Status.MAX_ITER):
        status = Status.CONVERGED
    elif status is Status.CONVERGED and gap > UNKNOWN:
        status = Status.PRECISION
    return replace(found, status=status), gap


def _is_doubtful(status: Status, gap: float, least_bound: float) -> bool:
    """Return whether a nonsmooth fit ended near its optimum, but `gap` does not prove that.

    The status of such a fit is CONVERGED or PRECISION. `gap` is the certificate, which was not
    improved below `least_bound`.
    """
    if status is Status.CONVERGED:
        return gap > max(CERTIFIED, least_bound)
    return status is Status.PRECISION and gap > CERTIFIED
