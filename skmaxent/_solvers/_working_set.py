"""Proximal Newton over a working set of features; all features are checked before it ends.

θ of shape (R, d + 1) are the coefficients of the d standardised columns for R logits, with the
intercepts in the last column. The members of the working set are the features whose coefficients
may change; the coefficients of other features are zero, or fixed by their bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from skmaxent._existence import Watch
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Penalty, ProximalPenalty
from skmaxent._solvers._composite import proximal_newton
from skmaxent._solvers._hessian_models import suits_row_space
from skmaxent._solvers._pair_newton import PairNewton
from skmaxent._solvers._quadratic import Model
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._solution import Options, Status
from skmaxent._storage._vectors import largest_in_columns, nonzero_columns
from skmaxent._typing import Array

# A working set that would exceed this share of the features becomes the set of all features.
LARGEST_SHARE = 0.5
# In the first round at most LEAST_FEATURES features with a KKT violation join the working set, or
# FEATURES_PER_ROW for each row if these are fewer: a lasso has no more nonzero coefficients than
# rows times logits.
LEAST_FEATURES, FEATURES_PER_ROW = 1000, 2
# With fewer features than this, all features are members from the start.
FEW_FEATURES = 400
# Most rounds of a fit, each with a larger working set.
MAX_WORKING_SETS = 50
# A fit in which the gradient of the model without features exceeds the L1 penalty for at most so
# many pairs of a feature and a logit needs no stages.
FEW_PAIRS = 300
# After this many iterations of a round with cheap models, the fit uses the Hessian instead.
MODEL_PATIENCE = 15
# Over a working set that is probably not the last one, the distance to the optimum only has to fall
# to this share of its first value.
ROUGH_SHARE = 0.3


@dataclass(frozen=True)
class Screening:
    """What the sequential strong rule keeps for a fit, from the solution for the last penalty.

    Attributes
    ----------
    point : Point
        The last solution.
    penalty : Penalty
        Coefficients are probably zero unless the gradient at `point` violates the KKT conditions of
        this penalty.
    """

    point: Point
    penalty: Penalty

    @property
    def features(self) -> Array:
        """The positions of features that probably have nonzero coefficients, (n,)."""
        return np.flatnonzero(kkt_violations(self.point, self.penalty))

    def if_few_pairs(self) -> Screening | None:
        """Return this rule, or None if it keeps more than FEW_PAIRS pairs of feature and logit."""
        kept = np.abs(self.point.gradient[:, :-1]) > self.penalty.l1[:, :-1]
        return self if np.count_nonzero(kept) <= FEW_PAIRS else None


class WorkingSet:
    """The members among the features, with a copy of their columns and the last quadratic model.

    Members are never removed. The fits of a path, which have the same loss, share a working set.

    Parameters
    ----------
    objective : MultinomialObjective
        The loss, over all features.

    Attributes
    ----------
    index : ndarray of int
        Positions of the members, in increasing order.
    is_all : bool
        Whether all features are members.
    model : Model or None
        The last quadratic model of the loss, for the coefficients of the members.
    uses_hessian : bool
        Whether quadratic models have the Hessian itself, not a cheap approximation.
    """

    def __init__(self, objective: MultinomialObjective) -> None:
        self.objective = objective
        self.index = np.empty(0, dtype=np.intp)
        self.model: Model | None = None
        self.is_all = objective.blocks.n_features < FEW_FEATURES
        if self.is_all:
            self.index = np.arange(objective.blocks.n_features)
        self._columns: MultinomialObjective = objective
        self.uses_hessian = False
        self._pair_newton: PairNewton | None = None

    def minimise_pairs(
        self,
        theta: Array,
        options: Options,
        record: Record,
        penalty: Elementwise,
        screening: Screening,
    ) -> Outcome | Point:
        """Minimise over pairs of a feature and a logit; see `PairNewton.minimise`."""
        if self._pair_newton is None:
            self._pair_newton = PairNewton(self.objective)
        known = screening.point.gradient, screening.penalty.l1
        return self._pair_newton.minimise(self.objective, theta, options, record, penalty, known)

    def cover(self, features: Array) -> None:
        """Add the features at these positions to the members.

        If there would be too many members, or their copy too large, all features become members.
        """
        if self.is_all or (len(self.index) and np.isin(features, self.index).all()):
            return
        index = np.union1d(self.index, features)
        blocks = self.objective.blocks
        too_many = len(index) > LARGEST_SHARE * blocks.n_features
        if too_many or not blocks.affords_columns(len(index)):
            self.is_all = True
            index = np.arange(blocks.n_features)
            self._columns = self.objective
        else:
            self._columns = self.objective.columns(index)
        self.index = index
        self.model = None

    def use_hessian(self) -> None:
        """Use quadratic models with the Hessian itself from now on."""
        self.model, self.uses_hessian = None, True

    def of_members(self, theta: Array) -> Array:
        """Return the columns of θ (R, d + 1) that belong to the members and the intercepts."""
        return np.asfortranarray(theta[:, self._with_intercept()])

    def _with_intercept(self) -> Array:
        """Return the positions in θ of the columns of the members and the intercepts, (n,)."""
        return np.append(self.index, self.objective.blocks.n_features)

    def minimise(
        self,
        point: Point,
        options: Options,
        record: Record,
        *,
        penalty: ProximalPenalty,
        n_left: int,
        share: float,
    ) -> tuple[Array, Outcome]:
        """Minimise over the coefficients of the members, from a point of all features.

        Parameters
        ----------
        point : Point
        options : Options
        record : Record
        penalty : ProximalPenalty
            The penalty of all features and the intercepts.
        n_left : int
            Iterations that the fit may still make. Without the Hessian, this minimisation makes at
            most MODEL_PATIENCE of them.
        share : float
            The minimisation may end when the distance to the optimum is this share of the first
            distance.

        Returns
        -------
        theta : ndarray of shape (R, d + 1)
            The coefficients of all features at the end.
        outcome : Outcome
            The outcome for the problem of the members alone, with fewer columns of θ.
        """
        max_iter = n_left if self.uses_hessian else min(n_left, MODEL_PATIENCE)
        start, whole = point, None
        if not self.is_all:
            start = self._columns.at(self.of_members(point.theta))
            penalty = penalty.columns(self._with_intercept())
            whole = partial(self.in_all_features, others=point.theta)
        outcome = proximal_newton(
            start,
            options,
            record.part(max_iter, n_left=n_left, may_end=self.is_all, whole=whole),
            Watch(start.objective, *penalty.unbounded_signs),
            penalty=penalty,
            model=self.model,
            share=share,
            uses_hessian=self.uses_hessian,
        )
        self.model = outcome.model
        return self.in_all_features(outcome.point.theta, point.theta), outcome

    def in_all_features(self, members: Array, others: Array) -> Array:
        """Return a copy of θ `others` (R, d + 1) in which the members have the given columns.

        `members` has the shape (R, n_members + 1); its last column are the intercepts.
        """
        theta = others.copy(order="F")
        theta[:, self._with_intercept()] = members
        return theta


def minimise_on_working_sets(
    point: Point,
    options: Options,
    record: Record,
    *,
    penalty: ProximalPenalty,
    working: WorkingSet,
    likely: Array | None = None,
    share: float = 0.0,
) -> Outcome:
    """Minimise loss and penalty over working sets that grow until no other feature matters.

    Each round minimises over the working set, then computes the KKT violations of all features.
    Features with a violation join the set. The fit ends if there is no violation, or if minimising
    with all violating features takes a single iteration, because the point was then within
    `options.tol` of the optimum.

    Parameters
    ----------
    point : Point
        The start, with the gradient of all features.
    options : Options
    record : Record
        Receives the iterations.
    penalty : ProximalPenalty
        The penalty of all features and the intercepts.
    working : WorkingSet
        A new working set, or that of an earlier fit of the same loss. Members are added in place.
    likely : ndarray of int, optional
        Positions of features that join the set in the first round, together with those whose
        coefficients are not zero. If the penalty is an L1 penalty alone, they must include all
        features with a KKT violation at the start.
    share : float, default=0
        If positive, the fit ends after one round, when the distance to the optimum is this share
        of the first distance.

    Notes
    -----
    Without `likely`, the first rounds are rough: they end at ROUGH_SHARE of their first distance,
    until no feature outside of the set has a violation.
    """
    n_before = len(record)
    value = point.loss + penalty.value(point.theta)
    status, end = Status.MAX_ITER, None
    is_rough = likely is None
    # With few rows, systems with the Hessian itself are solved directly.
    objective = working.objective
    is_wide = objective.blocks.n_samples < objective.blocks.n_features
    working.uses_hessian = is_wide and suits_row_space(objective)
    violation = _violations_at_start(point, penalty, likely)
    for _ in range(MAX_WORKING_SETS):
        members = _next_members(point, violation, working, likely)
        likely = None
        working.cover(members)
        violation[working.index] = 0.0
        is_rough = is_rough and not working.is_all
        n_left = options.iterations_left(len(record) - n_before)
        n_first = len(record)
        least_share = max(share, ROUGH_SHARE * is_rough)
        theta, outcome = working.minimise(
            point, options, record, penalty=penalty, n_left=n_left, share=least_share
        )
        status = outcome.status
        # With a cheap model, steps that do not lower F need not be lost to rounding.
        is_stuck = status in (Status.MAX_ITER, Status.PRECISION)
        is_slow = is_stuck and len(record) - n_before < options.max_iter
        if is_slow and not working.uses_hessian:
            working.use_hessian()
            is_rough = False
            point = working.objective.at(theta)
            continue
        if working.is_all:
            return outcome
        end = None if outcome.end is None else working.in_all_features(outcome.end, theta)
        if len(record) - n_first == 1 and not is_rough and not violation.any():
            break  # the first iteration over all violating features was within the tolerance
        point = working.objective.at(theta)
        value = point.loss + penalty.value(theta)
        violation = kkt_violations(point, penalty)
        violation[working.index] = 0.0
        if share > 0.0 or status in (Status.MAX_ITER, Status.STOPPED):
            break
        if not (violation.any() or is_rough):
            break
        is_rough = is_rough and bool(violation.any())
        if record.is_full:
            status = Status.MAX_ITER
            break
    return Outcome(point, value, status, record.history, end=end)


def _violations_at_start(point: Point, penalty: ProximalPenalty, likely: Array | None) -> Array:
    """Return the KKT violations (d,) with which the first round chooses its members.

    Where all features with a violation are among `likely`, zeros do as well.
    """
    if likely is not None and isinstance(penalty, Elementwise) and penalty.is_l1_alone:
        return np.zeros(point.theta.shape[1] - 1)
    return kkt_violations(point, penalty)


def kkt_violations(point: Point, penalty: ProximalPenalty) -> Array:
    """Return the KKT violation of each feature, (d,).

    The violation is the largest absolute entry, over the logits, of the minimum-norm subgradient of
    loss and penalty with respect to the coefficients of the feature. It is zero where these
    coefficients are optimal.
    """
    residual = penalty.minimum_norm_subgradient(point.theta, point.gradient)[:, :-1]
    return largest_in_columns(np.abs(residual))


def _next_members(
    point: Point, violation: Array, working: WorkingSet, likely: Array | None
) -> Array:
    """Return the positions of the features that should be members in the next round.

    They are the features with nonzero coefficients, those of `likely`, and those with the largest
    KKT violations. `violation` (d,) holds the violations. The number of features that are taken for
    their violation is at most the limit of the first round, or the number of the other features if
    this is larger, so that the set at most doubles.
    """
    if working.is_all:
        return working.index
    active = nonzero_columns(point.theta[:, :-1])
    if likely is not None:
        active = np.union1d(active, likely)
    room = min(LEAST_FEATURES, FEATURES_PER_ROW * working.objective.blocks.n_samples)
    room = max(room, len(active))
    violating = np.flatnonzero(violation)
    if len(violating) > room:
        violating = violating[np.argpartition(violation[violating], -room)[-room:]]
    return np.union1d(active, violating)
