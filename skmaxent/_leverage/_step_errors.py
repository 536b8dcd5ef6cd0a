"""StepErrors: what exact fits without one observation add to coefficients by a Newton step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skmaxent._typing import Array


@dataclass(frozen=True)
class StepErrors:
    """Steps of observations that were left out by exact fits, and the errors of these steps.

    The error of one Newton step is about proportional to the square of the step. Exact fits for
    another strength of the penalty therefore start nearly at their end.

    Attributes
    ----------
    known : dict
        The step and its error for some observations, arrays of any shape.
    """

    known: dict[int, tuple[Array, Array]] = field(default_factory=dict)

    def of(self, keys: Sequence[int], steps: Array) -> Array:
        """Return estimated errors of steps (n, ...); zeros for unknown observations.

        Each known error is multiplied by the square of the share of the new step in the known one.
        """
        found = np.zeros(steps.shape)
        for out, key, step in zip(found, keys, steps, strict=True):
            if key in self.known:
                before, error = self.known[key]
                square = float(np.vdot(before, before))
                ratio = float(np.vdot(before, step)) / square if square > 0.0 else 0.0
                np.multiply(error, ratio * ratio, out=out)
        return found

    def changes(self, keys: Sequence[int], shape: tuple[int, ...]) -> Array:
        """Return the known steps plus their errors, of a shape (n, ...); zeros for unknown ones."""
        found = np.zeros(shape)
        for out, key in zip(found, keys, strict=True):
            if key in self.known:
                np.add(*self.known[key], out=out)
        return found

    def put(self, keys: Sequence[int], steps: Array, errors: Array) -> None:
        """Remember steps and their errors, both (n, ...)."""
        self.known.update(zip(keys, zip(steps, errors, strict=True), strict=True))
