"""What a solver returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from numpy.typing import NDArray


class Status(Enum):
    """How a fit ended; the values are what the user reads."""

    CONVERGED = "converged"
    PRECISION = "no further progress within the precision of the numbers"
    MAX_ITER = "max_iter was reached before convergence"
    SEPARATED = (
        "the classes are perfectly separated and there is no penalty, so that no finite "
        "coefficients are optimal: the likelihood grows for ever along a separating direction"
    )
    QUASI_SEPARATED = (
        "some rows are separated from some classes (quasi-complete separation) and there is no "
        "penalty, so that no finite coefficients are optimal: some grow for ever while the "
        "likelihood hardly changes"
    )


@dataclass(frozen=True)
class Iteration:
    """A line of a fit's history; `distance` is in standard errors."""

    n_iter: int
    value: float
    distance: float
    n_gradients: int
    n_hessian_products: int


@dataclass(frozen=True)
class Solution:
    """Coefficients and what is known of them.

    `distance` estimates how far they are from the optimum in standard errors, `gap` bounds
    (F - F*)/F.
    """

    coef: NDArray[Any]
    intercept: NDArray[Any]
    value: float
    distance: float
    gap: float
    n_iter: int
    status: Status
    history: tuple[Iteration, ...]
