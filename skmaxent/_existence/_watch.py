"""Whether a fit is on its way to infinity: suspected cheaply, and said with a proof only."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._existence._aliased_columns import Aliased, aliased_columns
from skmaxent._existence._cone import Cone
from skmaxent._existence._directions import Directions
from skmaxent._existence._linear_programs import Verdict
from skmaxent._existence._scaled_rows import Scales, column_scales
from skmaxent._existence._search import verdict
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._typing import Array

# A logit with a standard error as large as this is unbounded: probabilities from 0 to 1.
UNKNOWN_LOGIT = 100.0
# Where a logit goes to infinity each step changes it by about one, for its loss is exp(-z).
LASTING = 0.5
# The distance, in standard errors, from which on this is looked at; much closer, rounding hides it.
CLOSE_TO_OPTIMUM = 1e-3
# A bound on the relative gap below which there is a minimum.
MINIMUM_EXISTS = 0.5
# Iterations after which a mean loss as small as this is suspected.
LONG_FIT, SMALL_LOSS = 12, 0.05
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
        """Whether it is known that there is no separation, or that it cannot be decided."""
        return not self._open or not self._searches_left

    @property
    def found(self) -> dict[str, Any]:
        """`separated` and `directions`, as keyword arguments of a `Solution`."""
        return {"separated": self.separated, "directions": self.directions}

    def sees_complete_separation(self, theta: Array, loss: float) -> bool:
        """Return whether θ is proved to rank every row's own class strictly first.

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
        parts = list(map(self._part, self._open))
        if not all(part.is_complete(part.own(theta)) for part in parts):
            return False
        self.directions = [part.own(theta) for part in parts]
        self.separated = [k for part in parts for k in part.winners(part.own(theta))]
        return True

    def sees_long_way(self, theta: Array, loss: float, n_iter: int) -> bool:
        """Return whether separation is proved for a fit whose loss is small after many iterations.

        Where rows come near to the boundary of classes that are separated, it takes hundreds of
        iterations until all are on their side.
        """
        if self.is_settled or not self._confirms or n_iter != LONG_FIT or loss > SMALL_LOSS:
            return False
        return self._is_proved(theta, theta)

    def sees_direction(self, theta: Array, step: Array, distance: float) -> bool:
        """Return whether F is proved to decrease for ever along a direction near a Newton step.

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

    def kind_at_end(self, theta: Array, loss: float, gap: float) -> str | None:
        """Return "complete" or "quasi-complete" if separation is proved where a fit ends, or None.

        Parameters
        ----------
        theta : ndarray of shape (R, n_features + 1)
        loss : float
            Mean loss at θ.
        gap : float
            A bound on (F - F*)/F at θ, 1 if none is known.

        Notes
        -----
        A bound on the gap shows that there is a minimum. A bound from duality has probabilities
        q > 0 with the means of the targets, which separated classes do not have; one from
        self-concordance says that F is above a function that grows in every direction. It leaves
        out directions in which F has no curvature that can be told from rounding, which offsets may
        have made so from the start.
        """
        is_certified = gap < MINIMUM_EXISTS and not self._objective.blocks.has_offset
        if self.is_settled or is_certified:
            return None
        if self.sees_complete_separation(theta, loss):
            return "complete"
        return "quasi-complete" if self._is_proved(theta, theta) else None

    def _part(self, label: int | None) -> Directions:
        """Return the directions of one label, or of softmax where `label` is None."""
        return Directions(self._objective, self._cone, label, scales=self._shared_scales)

    def _shared_scales(self) -> Scales:
        if self._scales is None:
            self._scales = column_scales(self._objective)
        return self._scales

    def _is_proved(self, theta: Array, step: Array) -> bool:
        """Return whether a direction of recession is proved for one or more of the problems."""
        self._searches_left -= 1
        if self._is_free:
            # Directions need no columns that are combinations of others.
            if self._aliased is None:
                self._aliased = aliased_columns(self._objective)
                varying = self._objective.varying.copy()
                varying[self._aliased.columns] = False
                self._cone = Cone.of(self._objective, varying, None, None)
            theta, step = self._aliased.moved(theta), self._aliased.moved(step)
        for label in list(self._open):
            part = self._part(label)
            decided, direction = verdict(part, theta, (step,))
            if direction is not None:
                self.separated += part.winners(direction)
                self.directions.append(direction)
            elif decided is Verdict.OVERLAP:
                self._open.remove(label)
        return bool(self.separated)


def _range_of_logits(block: Block, is_coupled: bool, coef: Array, intercept: Array) -> tuple[Any]:
    """Return the largest difference of logits of a row; of sigmoids, the largest absolute logit."""
    Z = block.logits(coef, intercept)
    if not is_coupled:
        return (block.largest(np.abs(Z).max(axis=0)),)
    return (block.largest(Z.max(axis=0) - Z.min(axis=0)),)
