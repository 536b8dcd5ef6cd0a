"""Whether a linear function of the coefficients grows along a direction of recession.

See `_directions` for directions of recession. Profile intervals need this: an end is infinite where
the function grows along such a direction, because the likelihood does not fall along it.

The free coefficients are the coefficients of the single logit of two classes, or the differences of
the coefficients of each class but the last from those of the last class. A function is an array
(n_free, width) of their weights, with n_free free logits. width is n_features + 1, where the last
column has the intercepts, or n_features if the model has no intercepts. R is the number of logits.
"""

from __future__ import annotations

import numpy as np

from skmaxent._cached import cached_property
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
        # `Directions` fixes the coefficients of the last class at 0, so their weights do not matter
        # and are 0, as are those of missing intercepts.
        of_classes = np.zeros(objective.shape)
        of_classes[: len(weights), : weights.shape[1]] = weights
        cone = Cone.of(objective, np.ones(objective.shape[1] - 1, dtype=bool), None, None)
        self._directions = Directions(objective, cone)
        self._weights = self._directions.scaled_weights(of_classes)
        self._weights /= np.abs(self._weights).max()

    def grows_along(self, D: Array) -> bool:
        """Return whether D is a direction of recession along which the function grows.

        D has the shape (R, n_features + 1). A pass over all rows checks that D is a direction of
        recession.
        """
        return self._grows(D) and self._directions.is_proof(D)

    @cached_property
    def is_unbounded(self) -> bool:
        """Whether linear programs find a direction of recession along which the function grows."""
        return self._grows(by_linear_programs(self._directions, None, self._weights)[1])

    def _grows(self, D: Array | None) -> bool:
        """Return whether the function grows along D; if D is None, it does not."""
        if D is None:
            return False
        x = self._directions.scaled(D)
        return float(self._weights @ x) > NO_GAIN * float(np.abs(x).max())
