"""Where a fit with a nonsmooth penalty or with bounds begins."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Penalty
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._active_set import minimise_by_pivots
from skmaxent._solvers._model_minimum import SMALL_MODEL
from skmaxent._solvers._models import model_at
from skmaxent._solvers._record import Record
from skmaxent._solvers._solution import Options
from skmaxent._solvers._working_set import WorkingSet, minimise_on_working_sets
from skmaxent._typing import Array

# A start within the bounds with this many times the loss of a point outside is a bad one.
SATURATED_LOSS = 10.0
# The size of a proximal step that leads to the minimum of the penalty alone.
PENALTY_ALONE = 1e30


@dataclass(frozen=True)
class Continuation:
    """How a weak L1 penalty is reached through fits to stronger ones.

    Attributes
    ----------
    ratio : float
        The least ratio of the strengths of successive penalties.
    most : float
        The ratio is larger where it would lead to more fits than this.
    share, tol : float
        A fit ends at this share of its first distance to the optimum, or at this distance, because
        the next penalty moves the minimum further than that.
    extrapolates : bool
        Whether a fit starts at coefficients extrapolated from the last two fits, not at the last.
    """

    ratio: float
    most: float
    share: float
    tol: float
    extrapolates: bool


# With more features than rows, models of the loss say little about which coefficients are zero, so
# that steps must be short and starts near to the optimum.
TALL = Continuation(ratio=3.0, most=np.inf, share=0.5, tol=0.0, extrapolates=False)
WIDE = Continuation(ratio=1.4, most=16.0, share=0.0, tol=0.3, extrapolates=True)
# The fits to stronger penalties have this many times `max_iter` iterations together.
MAX_ITER_FACTOR = 2


def start_within_bounds(point: Point, inside: Array, penalty: Penalty, seed: int) -> Point:
    """Return a start within the bounds, for a point that may be outside of them.

    This is `inside`, the projection of the point's θ, unless the loss is much larger there: bounds
    that exclude small coefficients may give all rows probabilities of zero and one, where no
    quadratic model tells how to go on. Then the minimum within the bounds of the model at the point
    itself is tried, and taken if F is lower there.
    """
    start = point.objective.at(inside)
    is_saturated = start.loss > SATURATED_LOSS * point.loss
    if not (is_saturated and isinstance(penalty, Elementwise) and inside.size <= SMALL_MODEL):
        return start
    model = model_at(point, seed)
    if model.matrix is None:
        return start
    matrix = model.without_shift(model.matrix, point.gradient, penalty.leaves_shifts)
    theta = minimise_by_pivots(matrix, point.gradient, point.theta, penalty, inside)
    other = point.objective.at(penalty.project(theta))
    value = start.loss + penalty.value(inside)
    return other if other.loss + penalty.value(other.theta) < value else start


def with_least_constant_columns(theta: Array, varying: Array, penalty: Penalty) -> Array:
    """Return θ (R, d + 1) with the coefficients of constant columns at the minimum of the penalty.

    The loss does not depend on these coefficients, so that quadratic models of the loss do not
    determine how far to move them. `varying` (d,) is False for constant columns.
    """
    if varying.all():
        return theta
    with np.errstate(over="ignore", invalid="ignore"):
        alone = penalty.prox(np.zeros_like(theta), np.full((1, theta.shape[1]), PENALTY_ALONE))
    is_moved = np.append(~varying, False) & np.isfinite(alone)
    return np.asfortranarray(np.where(is_moved, alone, theta))


def start_by_continuation(
    point: Point, terms: PenaltyTerms, options: Options, working: WorkingSet
) -> Point:
    """Find a start for a weak L1 penalty by fits to a sequence of stronger ones (continuation).

    Strong penalties have few nonzero coefficients, which makes the fits cheap, and quadratic models
    of the loss predict short steps well.

    Parameters
    ----------
    point : Point
        The null model.
    terms : PenaltyTerms
        The weak penalty, for standardised columns.
    options : Options
        The iterations of these fits are neither reported nor counted among those of the fit itself.
        Together, they are at most MAX_ITER_FACTOR times `max_iter`.
    working : WorkingSet
        Features are added in place.

    Returns
    -------
    Point
        The start, or `point` itself.
    """
    norms = terms.dual_norm(point.gradient[:, :-1])
    ratio = float(np.divide(norms, terms.l1, out=np.zeros_like(norms), where=terms.l1 > 0.0).max())
    if working.is_all or not np.isfinite(ratio):
        return point
    blocks = point.objective.blocks
    way = WIDE if blocks.n_samples < blocks.n_features else TALL
    step = max(way.ratio, ratio ** (1.0 / way.most))
    options = replace(options, tol=max(options.tol, way.tol), callback=None)
    record = Record(options)
    most = MAX_ITER_FACTOR * options.max_iter
    before = point.theta
    for stage in range(int(np.log(max(ratio, 1.0)) / np.log(step)) - 1, -1, -1):
        penalty = terms.times(step**stage).whole_penalty()
        theta = point.theta
        if way.extrapolates:
            theta = with_zeros_of(theta, 2.0 * theta - before)
        theta = penalty.project(theta)
        before = point.theta
        point = point if np.array_equal(theta, point.theta) else point.objective.at(theta)
        n_left = most - len(record)
        if stage == 0 or n_left <= 0:
            break
        point = minimise_on_working_sets(
            point,
            replace(options, max_iter=min(n_left, options.max_iter)),
            record.part(min(n_left, options.max_iter)),
            penalty=penalty,
            working=working,
            share=way.share,
        ).point
    return point


def with_zeros_of(last: Array, theta: Array) -> Array:
    """Return θ (R, d + 1), extrapolated beyond the θ of a fit, `last`, with the zeros of that fit.

    Coefficients whose sign the extrapolation changes become zero too. Intercepts stay.
    """
    kept = last * theta > 0.0
    kept[:, -1] = True
    return np.asfortranarray(np.where(kept, theta, 0.0))
