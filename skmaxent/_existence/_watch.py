"""Detection of separated classes during a fit: cheap tests raise a suspicion, a search proves it.

If the classes are separated, the objective F decreases for ever along a direction of recession, and
coefficients diverge. Such a direction proves separation; see `_search`. R is the number of logits,
and F* the infimum of F.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._existence._aliased_columns import Aliased, aliased_columns
from skmaxent._existence._cone import Cone
from skmaxent._existence._differences import Differences, has_columns_apart
from skmaxent._existence._directions import Directions
from skmaxent._existence._linear_programs import Verdict, WorkLimit
from skmaxent._existence._scaled_rows import ColumnScales, column_scales
from skmaxent._existence._search import verdict
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._typing import Array, KernelResult

# A Newton step raises the suspicion of separation if it changes a logit by more than LONG_STEP and
# by more than UNKNOWN_LOGIT times the distance to the optimum in standard errors. A logit with a
# standard error of UNKNOWN_LOGIT may belong to any probability between 0 and 1. Each Newton step
# changes a logit z that diverges by about one, because its loss is nearly proportional to exp(-z).
UNKNOWN_LOGIT = 100.0
LONG_STEP = 0.5
# Solvers call `Watch.sees_direction` at this distance to the optimum, in standard errors, or below.
CLOSE_TO_OPTIMUM = 1e-3
# If the bound on (F - F*)/F is below this, a minimum exists.
MINIMUM_EXISTS = 0.5
# Probabilities below LOST_PROBABILITY times the machine epsilon of X's dtype may be lost in sums
# over the rows. Offsets make probabilities small from the start of a fit, when no step has shown a
# direction yet: with offsets, those below the square root of the machine epsilon may be lost.
LOST_PROBABILITY = 1e3
# A mean loss of at most SMALL_LOSS after LONG_FIT iterations raises the suspicion of separation.
LONG_FIT, SMALL_LOSS = 12, 0.05
# Most searches for a proof in one fit: further ones would be unlikely to find more.
MAX_SEARCHES = 3


class Watch:
    """Looks for separated classes during a fit and at its end.

    Parameters
    ----------
    objective : MultinomialObjective
    low, high : ndarray of shape (1 or R, n_features + 1), optional
        Least and largest sign, -1, 0 or 1, of the entries of a direction of recession, with the
        intercepts in the last column; see `Cone`. The default allows both signs for coefficients
        without a ridge penalty.
    confirms : bool, default=True
        Whether to report separation only if it is proved. If False, a suspicion suffices.

    Attributes
    ----------
    separated : list of int
        Positions of the classes that have rows separated from another class. For sigmoids,
        positions of the labels that are separated.
    directions : list of ndarray
        The directions of recession that prove the separation: one of shape (R, n_features + 1), or
        for sigmoids one of shape (1, n_features + 1) for each label in `separated`.
    """

    def __init__(
        self,
        objective: MultinomialObjective,
        low: Array | None = None,
        high: Array | None = None,
        *,
        confirms: bool = True,
    ) -> None:
        self.separated: list[int] = []
        self.directions: list[Array] = []
        self._objective = objective
        self._confirms = confirms
        self._scales: ColumnScales | None = None
        self._aliased: Aliased | None = None
        # Without penalty and bounds, columns that depend linearly on others can be left out.
        self._has_signs = low is not None
        self._is_free = low is None and not objective.penalty.strength.any()
        self._searches_left = MAX_SEARCHES
        self._limit = WorkLimit()
        # What is left to search. For several sigmoids, each of which is searched by itself, the
        # positions of labels; [None] for a softmax or a single logit; [] if nothing is left.
        self._open: list[int | None] = []
        # Those of them that linear programs left open. Another θ would not change that.
        self._undecided: set[int | None] = set()
        if objective.likelihood.smoothing or (low is None and objective.penalty.is_strict):
            return
        if low is not None and high is not None and not (low[:, :-1].any() or high[:, :-1].any()):
            return  # intercepts alone cannot separate classes
        # `_cone` may lose columns later; `_full_cone` does not.
        self._cone = self._full_cone = Cone.of(objective, objective.varying, low, high)
        if not self._cone.is_trivial:
            R = objective.shape[0]
            is_one_problem = objective.likelihood.is_coupled or R == 1
            self._open = [None] if is_one_problem else [*range(R)]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do: no separation is possible, or no searches are left."""
        return not self._open or not self._searches_left

    @property
    def found(self) -> dict[str, Any]:
        """`separated` and `directions`, as keyword arguments of a `Solution`."""
        return {"separated": self.separated, "directions": self.directions}

    def again(self) -> Watch:
        """Return a watch of the same problem that has all searches left, and has found nothing.

        It does not search labels, or a softmax, whose classes are proved to overlap.
        """
        other = copy.copy(self)
        other.separated, other.directions = [], []
        other._searches_left, other._open = MAX_SEARCHES, list(self._open)
        other._undecided = set(self._undecided)
        return other

    def sees_complete_separation(self, theta: Array, loss: float) -> bool:
        """Return whether coefficients `theta` (R, n_features + 1) separate the classes completely.

        They do if they give every row's own class a larger logit than all others. `loss` is the
        mean loss at `theta`. A total loss below log 2 times the smallest weight implies complete
        separation, because a row whose own class does not have the largest logit has at least this
        loss. As offsets contribute to the loss, the logits without offsets are checked too, unless
        `confirms` is False.
        """
        if self.is_settled:
            return False
        lightest = self._objective.blocks.weight_sums.least
        if not loss * self._objective.total_weight < np.log(2.0) * lightest:
            return False
        if not self._confirms:
            return True
        theta = self._cone.project(
            theta if self._aliased is None else self._aliased.with_zeros(theta)
        )
        parts = list(map(self._directions_of, self._open))
        if not all(part.is_complete(part.rows_of_label(theta)) for part in parts):
            return False
        self.directions = [part.rows_of_label(theta) for part in parts]
        self.separated = [k for part in parts for k in part.winners(part.rows_of_label(theta))]
        return True

    def sees_slow_separation(self, theta: Array, loss: float, n_iter: int) -> bool:
        """Return whether separation is proved in a fit whose loss is small after many iterations.

        `theta` (R, n_features + 1) are the coefficients of iteration `n_iter`, and `loss` is their
        mean loss. The search takes place once, at iteration `LONG_FIT`. It saves time: if rows lie
        near the boundary between separated classes, hundreds of iterations may pass until `theta`
        itself separates the classes and `sees_complete_separation` returns True.
        """
        if self.is_settled or not self._confirms or n_iter != LONG_FIT or loss > SMALL_LOSS:
            return False
        return self._is_proved(theta, theta)

    def sees_direction(self, theta: Array, step: Array, distance: float) -> bool:
        """Return whether F is proved to decrease for ever along a direction near a Newton step.

        Along a direction of recession, gradient and curvature vanish at the same rate, so that each
        Newton step changes a logit as much as the step before, while F hardly decreases. Near a
        minimum, a step changes a logit by no more than its standard error times `distance`.
        Separation is suspected if this would need a standard error of more than `UNKNOWN_LOGIT`.

        Parameters
        ----------
        theta, step : ndarray of shape (R, n_features + 1)
            The coefficients of an iteration, and the Newton step from there.
        distance : float
            Distance to the optimum, in standard errors.
        """
        if self.is_settled:
            return False
        change = self._largest_range(self._full_cone.project(step))
        if not change > max(UNKNOWN_LOGIT * distance, LONG_STEP):
            return False
        return not self._confirms or self._is_proved(theta, step)

    def kind_at_end(self, theta: Array, loss: float, gap: float) -> str | None:
        """Return "complete" or "quasi-complete" if separation is proved where a fit ends, or None.

        Parameters
        ----------
        theta : ndarray of shape (R, n_features + 1)
            The coefficients at the end.
        loss : float
            Mean loss at `theta`.
        gap : float
            A bound on (F - F*)/F at `theta`, 1 if none is known.

        Notes
        -----
        There is no search if `gap` shows that a minimum exists. `gap` comes from one of two bounds:

        - A duality gap below 1 shows that a minimum exists, because its dual point consists of
          probabilities q > 0 under which the columns have the same means as under the targets. Such
          probabilities do not exist for separated classes.
        - A bound from self-concordance shows that a minimum exists, because F then lies above a
          function that grows in every direction.

        Neither sees directions whose slope and curvature are lost in rounding. Without bounds and
        offsets, Newton steps are so long that `sees_direction` proves separation before `theta` is
        far along such a direction. Bounds can keep the steps short, and offsets can be large. The
        probabilities then tell whether slopes are lost. If columns are nearly collinear, curvature
        along their differences may be lost whatever the probabilities are. If slopes or curvature
        may be lost, `gap` still makes it likely that the classes overlap, and this is tried first.
        """
        expects_overlap = gap < MINIMUM_EXISTS
        if self.is_settled:
            return None
        if expects_overlap and self._sees_all_slopes(theta) and self._over_differences is None:
            return None
        if self.sees_complete_separation(theta, loss):
            return "complete"
        is_separated = self._is_proved(theta, theta, expects_overlap=expects_overlap)
        return "quasi-complete" if is_separated else None

    def _sees_all_slopes(self, theta: Array) -> bool:
        """Return whether no direction at `theta` has a slope that is lost in rounding.

        Such a direction changes the logits of classes with negligible probabilities alone.
        """
        blocks = self._objective.blocks
        if not (self._has_signs or blocks.has_offset):
            return True
        eps = float(np.finfo(blocks.dtype).eps)
        least = np.sqrt(eps) if blocks.has_offset else LOST_PROBABILITY * eps
        return self._largest_range(theta, with_offset=True) <= -np.log(least)

    def _largest_range(self, D: Array, *, with_offset: bool = False) -> float:
        """Return the largest difference of two logits of a row for coefficients D, shaped as θ."""
        (largest,) = self._objective.blocks.map_reduce(
            largest_range_of_logits,
            self._objective.likelihood.is_coupled,
            *self._objective.for_blocks(D),
            with_offset,
            combine=np.maximum,
        )
        return float(largest)

    def _directions_of(
        self, label: int | None, differences: Differences | None = None
    ) -> Directions:
        """Return the `Directions` of the label at position `label`, or of all logits for None.

        They are those of the columns of X, or of `differences` if that is not None.
        """
        if differences is None:
            return Directions(self._objective, self._cone, label, scales=self._shared_scales)
        return Directions(differences.objective, self._cone, label)

    def _shared_scales(self) -> ColumnScales:
        """Return what `column_scales` returns, computed once for all searches."""
        if self._scales is None:
            self._scales = column_scales(self._objective)
        return self._scales

    def _without_aliased(self) -> Aliased:
        """Return the aliased columns, after removing them from `_cone`."""
        if self._aliased is None:
            self._aliased = aliased_columns(self._objective)
            varying = self._objective.varying.copy()
            varying[self._aliased.columns] = False
            self._cone = Cone.of(self._objective, varying, None, None)
        return self._aliased

    @cached_property
    def _over_differences(self) -> Differences | None:
        """The problem over differences of nearly collinear columns; None if there are no such."""
        if has_columns_apart(self._objective, self._cone):
            return None
        if self._is_free:
            self._without_aliased()
        return Differences.of(self._objective, self._cone)

    def _is_proved(self, theta: Array, step: Array, *, expects_overlap: bool = False) -> bool:
        """Search for directions of recession; return whether one has been found so far.

        `theta` are coefficients and `step` is the first direction to try, both of shape
        (R, n_features + 1). `expects_overlap` is an argument of `verdict`. Results are appended to
        `separated` and `directions`. Labels whose classes are proved to overlap are not searched
        again, and linear programs are used once for each label.
        """
        self._searches_left -= 1
        if self._is_free:
            # Columns that are linear combinations of others add no directions: leave them out.
            aliased = self._without_aliased()
            theta, step = aliased.with_zeros(theta), aliased.with_zeros(step)
        differences = self._over_differences
        if differences is not None:
            theta, step = differences.replaced(theta), differences.replaced(step)
        for label in list(self._open):
            part = self._directions_of(label, differences)
            has_programs = label not in self._undecided
            decided, direction = verdict(
                part,
                theta,
                (step,),
                uses_programs=has_programs,
                expects_overlap=expects_overlap,
                limit=self._limit,
            )
            if direction is not None:
                self.separated += part.winners(direction)
                if differences is not None:
                    direction = differences.restored(direction)
                self.directions.append(direction)
            elif decided is Verdict.OVERLAP:
                self._open.remove(label)
            else:
                self._undecided.add(label)
        return bool(self.separated)


def largest_range_of_logits(
    block: Block, is_coupled: bool, coef: Array, intercept: Array, with_offset: bool = False
) -> KernelResult:
    """Return the largest difference of two logits of a row in a block (a kernel).

    `coef` (R, d) and `intercept` (R,) are the coefficients of X. If the logits are not coupled, as
    for sigmoids, the result is the largest absolute value of a logit. `with_offset` tells whether
    logits contain the offsets of the rows.
    """
    logits = block.logits_with_offset if with_offset else block.logits_without_offset
    Z = logits(coef, intercept)
    if not is_coupled:
        return (block.largest(np.abs(Z).max(axis=0)),)
    return (block.largest(Z.max(axis=0) - Z.min(axis=0)),)
