"""Whether a fit is on its way to infinity: suspected cheaply, and said with a proof only."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._solvers._rank import Aliased, aliased_columns
from skmaxent._solvers._recession import Cone, Scales, Search, Verdict, column_scales
from skmaxent._solvers._solution import Status
from skmaxent._storage._block import Block
from skmaxent._typing import Array

# A logit with a standard error as large as this is unbounded: probabilities from 0 to 1.
UNKNOWN_LOGIT = 100.0
# Where a logit goes to infinity each step changes it by about one, for its loss is exp(-z).
LASTING = 0.5
# The distance from which on this is looked at; much closer, rounding hides it.
NEAR = 1e-3
# A bound on the relative gap below which there is a minimum.
PROVEN = 0.5
# Iterations after which a mean loss as small as this is suspected.
LONG, SMALL = 12, 0.05
# Searches without a result, of which the next would be no better.
MAX_SEARCHES = 3


class Watch:
    """Looks, during a fit and at its end, for separation.

    Parameters
    ----------
    objective : MultinomialObjective
    low, high : ndarray of shape (1 or R, n_features + 1), optional
        Signs that changes of the coefficients may have; see `Cone`. Where not given, all that the
        objective's ridge leaves free may change both ways.
    confirms : bool, default=True
        Whether what is suspected is to be proved.

    Attributes
    ----------
    separated : list of int
        Positions of the classes with rows that are separated from another class; of the labels that
        are separated, for sigmoids.
    directions : list of ndarray
        Proofs of that; of each label for itself, for sigmoids.
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
        self._scales: Scales | None = None
        self._aliased: Aliased | None = None
        self._is_free = low is None and not objective.penalty.strength.any()
        self._searches_left = MAX_SEARCHES
        # Those of the problems, of which sigmoids are one each, that may have a direction.
        self._open: list[int | None] = []
        if objective.likelihood.smoothing or (low is None and objective.penalty.is_strict):
            return
        self._cone = self._all = Cone.of(objective, objective.varying, low, high)
        if not self._cone.is_trivial:
            R = objective.shape[0]
            is_one = objective.likelihood.is_coupled or R == 1
            self._open = [None] if is_one else [*range(R)]

    @property
    def is_settled(self) -> bool:
        """Whether there is known to be no separation, or no way to know."""
        return not self._open or not self._searches_left

    @property
    def found(self) -> dict[str, Any]:
        """What a Solution has of this."""
        return {"separated": self.separated, "directions": self.directions}

    def sees_complete_separation(self, theta: Array, loss: float) -> bool:
        """Whether θ is proved to rank every row's own class strictly first.

        A total loss below log 2 of the lightest row says so, where offsets have no part in it.
        """
        if self.is_settled:
            return False
        lightest = self._objective.blocks.weight_sums.least
        if not loss * self._objective.total_weight < np.log(2.0) * lightest:
            return False
        if not self._confirms:
            return True
        theta = self._cone.nearest(theta if self._aliased is None else self._aliased.moved(theta))
        searches = list(map(self._search, self._open))
        if not all(search.is_complete(search.own(theta)) for search in searches):
            return False
        self.directions = [search.own(theta) for search in searches]
        self.separated = [k for search in searches for k in search.winners(search.own(theta))]
        return True

    def sees_long_way(self, theta: Array, loss: float, n_iter: int) -> bool:
        """Whether a fit is proved to have no end that after many iterations has a small loss.

        Where rows come near to the boundary of classes that are separated, it takes hundreds of
        iterations until all are on their side.
        """
        if self.is_settled or not self._confirms or n_iter != LONG or loss > SMALL:
            return False
        return self._is_proved(theta, theta)

    def sees_direction(self, theta: Array, step: Array, distance: float) -> bool:
        """Whether F is proved to decrease for ever along a direction that a Newton step shows.

        Gradient and curvature vanish together along such a direction: the next step changes a logit
        as much as the last, though F gains nothing. Elsewhere a logit changes by its standard
        error at most times the distance; one so large that nothing is known of the logit is what
        is suspected.
        """
        if self.is_settled:
            return False
        (change,) = self._objective.blocks.map_reduce(
            _range_of_logits,
            self._objective.likelihood.is_coupled,
            *self._objective.for_blocks(self._all.nearest(step)),
            combine=np.maximum,
        )
        if not float(change) > max(UNKNOWN_LOGIT * distance, LASTING):
            return False
        return not self._confirms or self._is_proved(theta, step)

    def at_end(self, status: Status, theta: Array, loss: float, gap: float) -> Status:
        """The status of a fit that ends at θ: separation, if that was not seen before.

        A bound on the gap shows that there is a minimum. A bound from duality has probabilities
        q > 0 with the means of the targets, which separated classes do not have; one from
        self-concordance says that F is above a function that grows in every direction. It leaves
        out directions in which F has no curvature that can be told from rounding, which offsets may
        have made so from the start.
        """
        done = (Status.SEPARATED, Status.QUASI_SEPARATED, Status.STOPPED)
        if self.is_settled or status in done:
            return status
        if gap < PROVEN and not self._objective.blocks.has_offset:
            return status
        if self.sees_complete_separation(theta, loss):
            return Status.SEPARATED
        return Status.QUASI_SEPARATED if self._is_proved(theta, theta) else status

    def _search(self, part: int | None) -> Search:
        return Search(self._objective, self._cone, part, scales=self._shared_scales)

    def _shared_scales(self) -> Scales:
        if self._scales is None:
            self._scales = column_scales(self._objective)
        return self._scales

    def _is_proved(self, theta: Array, step: Array) -> bool:
        """Whether one or more of the problems are proved to have a direction."""
        self._searches_left -= 1
        if self._is_free:
            # Directions need no columns that are combinations of others.
            if self._aliased is None:
                self._aliased = aliased_columns(self._objective)
                varying = self._objective.varying.copy()
                varying[self._aliased.columns] = False
                self._cone = Cone.of(self._objective, varying, None, None)
            theta, step = self._aliased.moved(theta), self._aliased.moved(step)
        for part in list(self._open):
            search = self._search(part)
            verdict, direction = search.verdict(theta, (step,))
            if direction is not None:
                self.separated += search.winners(direction)
                self.directions.append(direction)
            elif verdict is Verdict.OVERLAP:
                self._open.remove(part)
        return bool(self.separated)


def _range_of_logits(block: Block, is_coupled: bool, coef: Array, intercept: Array) -> tuple[Any]:
    Z = block.logits(coef, intercept)
    if not is_coupled:
        return (block.largest(np.abs(Z).max(axis=0)),)
    return (block.largest(Z.max(axis=0) - Z.min(axis=0)),)
