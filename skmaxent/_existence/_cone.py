"""The cone of directions in which penalties, bounds and constant columns let coefficients diverge.

R is the number of logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._typing import Array


@dataclass(frozen=True)
class Cone:
    """The directions D, (R, n_features + 1), whose entries obey low <= sign(D) <= high.

    Entries of penalised coefficients are zero. Entries of coefficients with a lower bound may be
    positive, since the coefficient may grow without end, but not negative.

    Attributes
    ----------
    low, high : ndarray of shape (R, n_features + 1)
        Least and largest sign, -1, 0 or 1. The intercepts are in the last column.
    """

    low: Array
    high: Array

    @classmethod
    def of(
        cls, objective: MultinomialObjective, varying: Array, low: Array | None, high: Array | None
    ) -> Cone:
        """Return the cone of an objective, in which penalised and constant columns are fixed.

        `varying` (n_features,) tells which columns are not constant. `low` and `high`, of shape
        (R or 1, n_features + 1), are the least and largest sign that bounds allow; None allows both
        signs.
        """
        free = np.append(varying & (objective.penalty.strength == 0.0), objective.fit_intercept)
        shape = objective.shape
        return cls(
            np.broadcast_to(-1.0 if low is None else low, shape) * free,
            np.broadcast_to(1.0 if high is None else high, shape) * free,
        )

    @property
    def is_trivial(self) -> bool:
        """Whether only intercepts may change, which alone cannot separate classes."""
        return not (self.low[:, :-1].any() or self.high[:, :-1].any())

    def project(self, D: Array) -> Array:
        """Return the direction in the cone that is nearest to D, (R, n_features + 1).

        Entries of a forbidden sign become zero.
        """
        return np.where(D < 0.0, D * (self.low < 0.0), D * (self.high > 0.0))

    def of_label(self, k: int) -> Cone:
        """Return the cone of the coefficients of the label at position k, of one row."""
        return Cone(self.low[[k]], self.high[[k]])
