"""The cone of directions that penalties, bounds and constant columns leave to the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._typing import Array


@dataclass(frozen=True)
class Cone:
    """The signs that the coefficients of a direction may have: low <= D <= high, in {-1, 0, 1}.

    A penalised coefficient is fixed; one with a lower bound may only grow.

    Attributes
    ----------
    low, high : ndarray of shape (R, n_features + 1)
        The intercepts are in the last column.
    """

    low: Array
    high: Array

    @classmethod
    def of(
        cls, objective: MultinomialObjective, varying: Array, low: Array | None, high: Array | None
    ) -> Cone:
        """Return the cone for an objective's ridge, the columns that vary, and the signs of bounds.

        `low` and `high` have shape (R or 1, n_features + 1); None leaves both signs.
        """
        free = np.append(varying & (objective.penalty.strength == 0.0), objective.fit_intercept)
        shape = objective.shape
        return cls(
            np.broadcast_to(-1.0 if low is None else low, shape) * free,
            np.broadcast_to(1.0 if high is None else high, shape) * free,
        )

    @property
    def is_trivial(self) -> bool:
        """Whether all coefficients but the intercepts are fixed; rows of each class bound these."""
        return not (self.low[:, :-1].any() or self.high[:, :-1].any())

    def nearest(self, D: Array) -> Array:
        """Return D with zeros for the coefficients whose signs are not allowed."""
        return np.where(D < 0.0, D * (self.low < 0.0), D * (self.high > 0.0))

    def label(self, k: int) -> Cone:
        """Return the cone of the coefficients of one label."""
        return Cone(self.low[[k]], self.high[[k]])
