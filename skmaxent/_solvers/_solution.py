"""Options, Status, Iteration and Solution: the arguments and the result of a fit by a solver.

F is the objective, a mean loss over the rows plus the penalty, and F* its minimum. R is the number
of logits and d the number of features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._objective._objective import Point

# If the bound on (F - F*)/F is at most this, the result counts as the optimum.
CERTIFIED = 1e-6
# A loss below this, in nats and summed over the rows, consists of rounding errors.
SMALLEST_TOTAL = 1e-8
# Total loss, in nats, below which gradients are mostly noise, so that they prove nothing. It is
# larger than SMALLEST_TOTAL, at which all is noise.
NOISY_TOTAL = 1e-7
# A distance to the optimum, in standard errors, that needs no warning.
NEGLIGIBLE = 0.01


def root_size(effective_size: float, value: float) -> float:
    """Return √n, which converts a length in the norm of the Hessian to standard errors.

    F is a mean over n rows, so that the length of a Newton step in the norm of the Hessian of the
    sum is √n times its length in that of F. `effective_size` is n, and `value` is F. In nearly
    separated data, with n F below 1, the result is √n/√(n F): standard errors are then so large
    that a distance in them would say little.
    """
    total = min(1.0, max(effective_size * value, SMALLEST_TOTAL))
    return math.sqrt(effective_size / total)


@dataclass(frozen=True)
class Options:
    """Options of a fit.

    Attributes
    ----------
    tol : float
        The distance to the optimum, in standard errors, at which the fit ends.
    max_iter : int
    solver : {"auto", "newton-cg", "newton-cholesky"} or a key of `_scipy.METHODS`
    seed : int
        Seed for the samples of rows from which preconditioners are built.
    callback : callable or None
        Is called with each `Iteration`, θ (R, d + 1) there and whether the iteration is the last
        one. If it returns True, the fit stops.
    tightens : bool, default=True
        Whether solvers of small problems continue to a distance below `tol`. One more iteration
        costs less than it saves in the computation of the certificate.
    trusts_model : bool, default=False
        Whether the quadratic model or the preconditioner of an earlier fit, if it is given, is
        taken to be accurate at the start.
    """

    tol: float
    max_iter: int = 100
    solver: str = "auto"
    seed: int = 0
    callback: Callback | None = None
    tightens: bool = True
    trusts_model: bool = False

    def iterations_left(self, n_done: int) -> int:
        """Return how many iterations are left after `n_done`, at least 1 unless `max_iter` is 0."""
        return max(self.max_iter - n_done, min(self.max_iter, 1))


class Status(Enum):
    """How a fit ended; the values are the texts of warnings."""

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


# The statuses of fits for which it is proved that there is no minimum.
UNBOUNDED = (Status.SEPARATED, Status.QUASI_SEPARATED)


@dataclass(frozen=True)
class Iteration:
    """An iteration in the history of a fit.

    `value` is F, `distance` the estimated distance to the optimum in standard errors, and the last
    two numbers count the passes over X so far.
    """

    n_iter: int
    value: float
    distance: float
    n_gradients: int
    n_hessian_products: int


Callback = Callable[[Iteration, NDArray[Any], bool], bool]


@dataclass(frozen=True)
class Solution:
    """The result of a fit.

    Attributes
    ----------
    coef, intercept : ndarray of shape (R, d) and (R,)
        Coefficients of the columns of X, and intercepts.
    value : float
        F.
    distance : float
        The estimated distance to the optimum, in standard errors.
    gap : float
        The certificate, an upper bound on (F - F*)/F; NaN if none was computed.
    n_iter : int
    status : Status
    history : tuple of Iteration
    point : Point
        The point of the objective at the end, in coefficients of standardised columns.
    separated : tuple of int
        Positions of the logits whose classes, or labels for sigmoids, have separated rows.
    directions : tuple of ndarray
        Directions of recession that prove separation; see `Watch`.
    aliased : tuple of int
        Positions of the columns that are linear combinations of earlier columns.
    remark : str
        A sentence about the fit for the user.
    end : ndarray or None
        θ at the end of the Newton step from the point, if it is known.
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
    end: NDArray[Any] | None = field(default=None, repr=False)

    def rounded(self, excess: float) -> Solution:
        """Return the solution after its coefficients were rounded, with the gap enlarged.

        `excess` is the increase of F that the rounding would cause at the optimum, as a share of F.
        F is nearly quadratic there, so that the roots of the gap and of the increase add up at
        most. A gap of NaN remains NaN.
        """
        gap = (math.sqrt(self.gap) + math.sqrt(excess)) ** 2
        # min(1.0, nan) is 1.0.
        return self if excess == 0.0 else replace(self, gap=min(gap, 1.0))

    def lacks_precision(self, tol: float) -> bool:
        """Return whether rounding errors kept the fit from its optimum, which deserves a warning.

        Only a fit with status PRECISION can lack precision. It does not if the certificate shows
        that the optimum is near: twice the decrease of the total loss is the square of the
        distance. Otherwise the distance counts. With this status, a distance below `tol` is not
        reliable, because a reliable one would have ended the fit as converged, and no distance is
        where the total loss is so small that gradients are mostly noise. And with few rows or a
        small loss, a negligible distance may still be a large share of the loss. In float32 under a
        ridge, rounding errors hide the distance where even the certificate is 1.
        """
        if self.status is not Status.PRECISION:
            return False
        limit = max(tol, NEGLIGIBLE)
        objective = self.point.objective
        if self.gap >= 1.0 and objective.blocks.dtype == np.float32 and objective.penalty.is_strict:
            return True
        total = self.point.objective.blocks.effective_size * self.value
        # Powers of Python's floats raise OverflowError where products are infinite.
        if 2.0 * total * self.gap <= limit * limit and self.gap <= CERTIFIED:
            return False
        if total < NOISY_TOTAL and self.gap * total > CERTIFIED * SMALLEST_TOTAL:
            return True
        if not tol < self.distance <= limit:
            return True
        return self.distance * self.distance > 2.0 * CERTIFIED * max(total, 1.0)
