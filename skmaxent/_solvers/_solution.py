"""What a solver is given and what it returns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from numpy.typing import NDArray

from skmaxent._objective._objective import Point

# A bound on the relative gap below which precision has not kept a fit from its optimum.
CERTIFIED = 1e-6
# Total loss, in nats, from which on all that is left is noise.
SMALLEST_TOTAL = 1e-8
# Standard errors that nobody needs to hear of.
NEGLIGIBLE = 0.01


def root_size(effective_size: float, value: float) -> float:
    """Return √n, the factor from lengths in the norm of the mean Hessian to standard errors.

    Where n F is below 1, in nearly separated data, lengths are relative to its root: a standard
    error says little there.
    """
    total = min(1.0, max(effective_size * value, SMALLEST_TOTAL))
    return math.sqrt(effective_size / total)


@dataclass(frozen=True)
class Options:
    """How far, how long and how to look for the optimum.

    Attributes
    ----------
    tol : float
        Distance to the optimum, in standard errors.
    max_iter : int
    solver : {"auto", "newton-cg", "newton-cholesky"} or a name of SciPy's, see `_scipy.METHODS`
    seed : int
        For the rows that preconditioners are built from.
    callback : callable or None
        Called with each `Iteration`, θ there and whether it is the last; true where it should be.
    tightens : bool, default=True
        Whether solvers of small problems go on beyond `tol`, where that is cheaper than what a
        certificate would cost. Without certificate they need not.
    trusts_model : bool, default=False
        Whether the quadratic model of the fit before, if there is one, is taken to be right at the
        start of the fit.
    """

    tol: float
    max_iter: int = 100
    solver: str = "auto"
    seed: int = 0
    callback: Callback | None = None
    tightens: bool = True
    trusts_model: bool = False

    def iterations_left(self, n_done: int) -> int:
        """Return how many iterations are left, at least 1 unless `max_iter` is 0."""
        return max(self.max_iter - n_done, min(self.max_iter, 1))


class Status(Enum):
    """How a fit ended; the values are what the user reads."""

    CONVERGED = "converged"
    PRECISION = "no further progress within the precision of the numbers"
    MAX_ITER = "max_iter was reached before convergence"
    STOPPED = "a callback stopped the fit"
    SEPARATED = (
        "the classes are perfectly separated by coefficients without penalty, so that no finite "
        "coefficients are optimal: the likelihood grows for ever along a separating direction"
    )
    QUASI_SEPARATED = (
        "some rows are separated from some classes (quasi-complete separation, or complete) by "
        "coefficients without penalty, so that no finite coefficients are optimal: some grow for "
        "ever while the likelihood hardly changes"
    )


# Ends of fits that are proved to have no minimum.
UNBOUNDED = (Status.SEPARATED, Status.QUASI_SEPARATED)


@dataclass(frozen=True)
class Iteration:
    """A line of a fit's history; `distance` is in standard errors."""

    n_iter: int
    value: float
    distance: float
    n_gradients: int
    n_hessian_products: int


Callback = Callable[[Iteration, NDArray[Any], bool], bool]


@dataclass(frozen=True)
class Solution:
    """Coefficients and what is known of them.

    `distance` estimates how far they are from the optimum in standard errors, `gap` bounds
    (F - F*)/F; `point` is what whoever goes on from here needs. `separated` are positions of the
    classes, of those with logits, that have separated rows; of labels, for sigmoids. `directions`
    prove that. `aliased` are positions of columns that are combinations of earlier ones.
    """

    coef: NDArray[Any]
    intercept: NDArray[Any]
    value: float
    distance: float
    gap: float
    n_iter: int
    status: Status
    history: tuple[Iteration, ...]
    point: Point = field(repr=False)
    separated: tuple[int, ...] = ()
    directions: tuple[NDArray[Any], ...] = field(default=(), repr=False)
    aliased: tuple[int, ...] = ()
    remark: str = ""

    def rounded(self, excess: float) -> Solution:
        """The same for coefficients whose rounding adds so much to F, as a share of it."""
        return self if excess == 0.0 else replace(self, gap=min(1.0, self.gap + excess))

    def lacks_precision(self, tol: float) -> bool:
        """Whether the fit ended for lack of precision and not within rounding of the optimum.

        A distance below `tol` is then one that cannot be trusted: it would be convergence. The
        certificate can: twice the total loss that is left to gain is the square of a distance. Of
        few rows, or of a small loss, a distance that is negligible may be a large share.
        """
        if self.status is not Status.PRECISION:
            return False
        limit = max(tol, NEGLIGIBLE)
        total = self.point.objective.blocks.effective_size * self.value
        if 2.0 * total * self.gap <= limit**2 and self.gap <= CERTIFIED:
            return False
        if not tol < self.distance <= limit:
            return True
        return self.distance**2 > 2.0 * CERTIFIED * max(total, 1.0)
