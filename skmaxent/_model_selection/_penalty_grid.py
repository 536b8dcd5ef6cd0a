"""The strengths of the penalty that a path or a cross-validation fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._input._interchange import refuse_masked
from skmaxent._input._numbers import as_floats, is_integer
from skmaxent._typing import Array

# The number of values of C of a path by default.
DEFAULT_N_CS = 100
# The largest number of values, far above what a path needs and below what memory would not hold.
MOST_VALUES = 1_000_000


@dataclass(frozen=True)
class PenaltyGrid:
    """The strengths of the penalty to fit, as values of C or of alpha, which is 1/(C S).

    Attributes
    ----------
    values : int or ndarray of shape (n_values,)
        The values, or the number of values that a fit computes from its rows.
    is_alpha : bool
        Whether the values are alphas.
    total_weight : float or None
        The sum S of weights. None stands for the sum over the rows of the fit.
    """

    values: int | Array
    is_alpha: bool = False
    total_weight: float | None = None

    @classmethod
    def of(cls, Cs: Any, alphas: Any = None) -> PenaltyGrid:
        """Return the grid for the arguments `Cs` and `alphas` of `maxent_path`.

        Raises TypeError or ValueError for arguments that are neither an integer nor positive
        numbers, and ValueError if both arguments are given.
        """
        if alphas is None:
            return cls(_numbers_of_grid(Cs, "Cs"))
        if not (is_integer(Cs) and Cs == DEFAULT_N_CS):
            raise ValueError(
                "Cs and alphas cannot be combined, because both say how strong the penalty is: "
                f"leave out one of them; found Cs={Cs!r} and alphas={alphas!r}."
            )
        return cls(_numbers_of_grid(alphas, "alphas"), is_alpha=True)

    def Cs(self, total_weight: float) -> Array:
        """Return the values as values of C, (n_values,), where `total_weight` is the sum S."""
        assert not isinstance(self.values, int)
        return alphas_of(self.values, total_weight) if self.is_alpha else self.values


def alphas_of(Cs: Array, total_weight: float) -> Array:
    """Return 1/(C S) for each C: the alphas of values of C, and the values of C of alphas."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1.0 / Cs / total_weight)


def _numbers_of_grid(values: Any, argument: str) -> int | Array:
    """Return the argument as the number of grid points or as an array of positive numbers.

    `argument` is the name of the argument, for errors.
    """
    if is_integer(values) and not isinstance(values, bool):
        if not 1 <= values <= MOST_VALUES:
            raise ValueError(
                f"{argument} must be a number of values from 1 to {MOST_VALUES:,}, or the values; "
                f"found {values}."
            )
        return int(values)
    refuse_masked(values, argument)
    try:
        if np.iscomplexobj(values):
            raise TypeError("complex")
        array = as_floats(values)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{argument} must be an integer or an array of numbers; found {values!r}."
        ) from error
    if array.ndim != 1 or array.size == 0 or not (array > 0.0).all():
        raise ValueError(
            f"{argument} must be an integer, or positive numbers in one dimension; "
            f"found {values!r}."
        )
    return array
