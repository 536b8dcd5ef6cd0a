"""Whether a linear function of the coefficients grows along a direction of recession.

See `_directions` for directions of recession. Profile intervals need this: an end is infinite where
the function grows along such a direction, because the likelihood does not fall along it. Functions
are arrays (n_free, width) of the weights of the free coefficients: those of each class but the last
minus those of the last class, or those of a single logit, with the intercept as the last column. R
is the number of logits.
"""

from __future__ import annotations

import functools

import numpy as np

from skmaxent._existence._cone import Cone
from skmaxent._existence._directions import Directions
from skmaxent._existence._linear_programs import NO_GAIN, by_linear_programs
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._typing import Array


class LinearFunction:
    """A linear function of the free coefficients of an objective without penalty.

    Parameters
    ----------
    objective : MultinomialObjective
        The rows, with standardised columns.
    weights : ndarray of shape (n_free, width)
        The weights of the free coefficients.
    """

    def __init__(self, objective: MultinomialObjective, weights: Array) -> None:
        of_classes = np.zeros(objective.shape)
        of_classes[: len(weights), : weights.shape[1]] = weights
        cone = Cone.of(objective, np.ones(objective.shape[1] - 1, dtype=bool), None, None)
        self._directions = Directions(objective, cone)
        self._weights = self._directions.scaled_weights(of_classes)
        self._weights /= np.abs(self._weights).max()

    def grows_along(self, D: Array) -> bool:
        """Return whether D is a direction of recession along which the function grows.

        D has the shape (R, n_features + 1), and is checked on all rows.
        """
        return self._grows(D) and self._directions.is_proof(D)

    @functools.cached_property
    def is_unbounded(self) -> bool:
        """Whether linear programs find a direction of recession along which the function grows."""
        return self._grows(by_linear_programs(self._directions, None, self._weights)[1])

    def _grows(self, D: Array | None) -> bool:
        """Return whether the function grows along D; if D is None, it does not."""
        if D is None:
            return False
        x = self._directions.scaled(D)
        return float(self._weights @ x) > NO_GAIN * float(np.abs(x).max())
