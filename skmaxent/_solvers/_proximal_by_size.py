"""Proximal Newton for penalties that are not smooth: the choice of the variant, and its start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._existence import Watch
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import Point
from skmaxent._solvers._nonsmooth_starts import (
    MAX_ITER_FACTOR,
    start_by_continuation,
    start_within_bounds,
    with_least_constant_columns,
)
from skmaxent._solvers._pair_newton import fits_pairs
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._small_nonsmooth import is_small_nonsmooth, newton_small_nonsmooth
from skmaxent._solvers._smoothed_penalty import start_by_smoothing, suits_smoothing
from skmaxent._solvers._solution import Options, Status
from skmaxent._solvers._working_set import Screening, WorkingSet, minimise_on_working_sets
from skmaxent._typing import Array


def proximal_newton_by_size(
    problem: Problem,
    start: Array | None,
    options: Options,
    record: Record,
    watch: Watch,
    working: WorkingSet,
    screening: Screening | None,
) -> Outcome:
    """Minimise by proximal Newton, over a working set unless the problem is small.

    There are no checks of the result.

    Parameters
    ----------
    problem : Problem
    start : ndarray of shape (R, d + 1) or None
        θ to begin at; None stands for the null model.
    options : Options
    record : Record
        Receives the iterations.
    watch : Watch
        Looks for separation in a small problem; fits over working sets make their own.
    working : WorkingSet
        A working set for the loss of the problem, to which features are added in place.
    screening : Screening or None
        Tells which coefficients are probably not zero.
    """
    objective = problem.objective
    penalty = problem.terms.whole_penalty()
    start = problem.origin() if start is None and options.max_iter == 0 else start
    if options.max_iter and is_small_nonsmooth(penalty, objective):
        theta = problem.null.theta if start is None else start
        theta = with_least_constant_columns(penalty.project(theta), problem.varying, penalty)
        outcome = newton_small_nonsmooth(objective, theta, penalty, options, record, watch)
        if outcome.status is not Status.MAX_ITER or record.is_full:
            return outcome
        record.take_back()
        start = outcome.point.theta
    if fits_pairs(penalty, objective, options):
        found = _newton_over_pairs(problem, start, options, record, penalty, working, screening)
        if isinstance(found, Outcome):
            return found
        start = start if found is None else found.theta
    point = problem.start() if start is None else objective.at(start)
    if start is None and suits_smoothing(point, penalty):
        point = start_by_smoothing(point, penalty, MAX_ITER_FACTOR * options.max_iter)
    elif start is None:
        point = start_by_continuation(point, problem.terms, options, working)
    inside = with_least_constant_columns(penalty.project(point.theta), problem.varying, penalty)
    if not np.array_equal(inside, point.theta):
        point = start_within_bounds(point, inside, penalty, options.seed)
    n_left = options.iterations_left(len(record))
    return minimise_on_working_sets(
        point,
        replace(options, max_iter=n_left),
        record.part(n_left),
        penalty=penalty,
        working=working,
        likely=None if screening is None else screening.features,
    )


def _newton_over_pairs(
    problem: Problem,
    start: Array | None,
    options: Options,
    record: Record,
    penalty: Elementwise,
    working: WorkingSet,
    screening: Screening | None,
) -> Outcome | Point | None:
    """Minimise over pairs of a feature and a logit; see `PairNewton.minimise`.

    The result is None if there is no `screening`, or from the null model if many pairs enter.
    """
    if start is None:
        screening = Screening(problem.start(), penalty).if_few_pairs()
        start = problem.null.theta
    if screening is None:
        return None
    theta = with_least_constant_columns(start, problem.varying, penalty)
    return working.minimise_pairs(theta, options, record, penalty, screening)
