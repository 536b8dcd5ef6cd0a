"""The record of a fit's iterations, and the outcome that the loop of a solver returns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from skmaxent._objective._objective import Counter, Point
from skmaxent._solvers._conjugate_gradients import Step
from skmaxent._solvers._preconditioners import ApproximateInverse
from skmaxent._solvers._quadratic import Model
from skmaxent._solvers._solution import Iteration, Options, Status
from skmaxent._typing import Array


class Record:
    """The iterations of a fit, which are numbered in one sequence and reported to the callback.

    The loop of a solver calls `add` at each iterate, the first one included. It ends if the status
    that `add` returns is not MAX_ITER, or if the record `is_full`. If several loops take part in a
    fit, they add to the same record, or to a `part` of it.

    Parameters
    ----------
    options : Options
        `options.callback` is called at every iteration; the last iteration has the number
        `options.max_iter`.
    first : int, default=0
        Number of the first iteration.
    """

    def __init__(self, options: Options, *, first: int = 0) -> None:
        self._lines: list[Iteration] = []
        self._callback = options.callback
        self._first = first
        # Numbers of the last iteration of this part, and of the last iteration of the fit.
        self._last = self._last_of_fit = options.max_iter
        # See the parameters `may_end` and `whole` of `part`.
        self._may_end = True
        self._whole: Callable[[Array], Array] | None = None

    def __len__(self) -> int:
        """Return the number of iterations so far."""
        return len(self._lines)

    @property
    def history(self) -> tuple[Iteration, ...]:
        """The iterations of the whole fit so far."""
        return tuple(self._lines)

    @property
    def number(self) -> int:
        """The number of the next iteration."""
        return self._lines[-1].n_iter + 1 if self._lines else self._first

    @property
    def is_full(self) -> bool:
        """Whether the loop may not make another iteration."""
        return self.number > self._last

    @property
    def is_last(self) -> bool:
        """Whether the next iteration is the last one that the loop may add."""
        return self.number == self._last

    @property
    def has_callback(self) -> bool:
        """Whether iterations are reported to a callback."""
        return self._callback is not None

    def add(
        self, counter: Counter, theta: Array, value: float, distance: float, status: Status
    ) -> Status:
        """Add an iteration and report it to the callback, which may end the fit.

        Parameters
        ----------
        counter : Counter
            Counts the passes over X so far.
        theta : ndarray of shape (R, d + 1)
            The iterate.
        value : float
            The objective there, penalty included.
        distance : float
            Estimated distance to the optimum in standard errors.
        status : Status
            How the loop ends here; MAX_ITER if it goes on.

        Returns
        -------
        Status
            `status`, or STOPPED if the callback asks to stop.
        """
        line = Iteration(self.number, value, distance, counter.gradients, counter.hessian_products)
        self._lines.append(line)
        if self._callback is None:
            return status
        is_last = status is not Status.MAX_ITER or line.n_iter >= self._last_of_fit
        if self._whole is not None:
            theta = self._whole(theta)
        stops = self._callback(line, theta, is_last and self._may_end)
        return Status.STOPPED if stops else status

    def take_back(self) -> None:
        """Remove the last iteration, because a loop that continues from there adds it again."""
        if self._lines:
            self._lines.pop()

    def correct(self, distance: float) -> None:
        """Replace the distance of the last iteration by a more accurate one."""
        self._lines[-1] = replace(self._lines[-1], distance=distance)

    def part(
        self,
        max_iter: int,
        *,
        n_left: int | None = None,
        may_end: bool = True,
        whole: Callable[[Array], Array] | None = None,
    ) -> Record:
        """Return a record for a loop that is a part of the fit, with the same list of iterations.

        Parameters
        ----------
        max_iter : int
            Most iterations of the part after its first iterate.
        n_left : int, optional
            Most iterations of the fit after this iterate. The default is what the fit has left, and
            at least `max_iter`.
        may_end : bool, default=True
            Whether the fit may end where the part ends. If False, no iteration of the part is
            reported to the callback as the last one.
        whole : callable, optional
            Returns θ of the fit for θ of the part, if the part has fewer features.
        """
        part = copy.copy(self)
        part._last = self.number + max_iter
        part._last_of_fit = max(self._last_of_fit, part._last)
        if n_left is not None:
            part._last_of_fit = self.number + n_left
        part._may_end = self._may_end and may_end
        part._whole = whole or self._whole
        return part


@dataclass(frozen=True)
class Outcome:
    """The end of the loop of a solver.

    Attributes
    ----------
    point : Point
        The last point.
    value : float
        The objective there, penalty included. (`point.value` leaves nonsmooth penalties out.)
    status : Status
    history : tuple of Iteration
        The iterations of the whole fit so far.
    coefficients : tuple of ndarray or None
        Coefficients (R, d) and intercepts (R,) of the columns of X, if the loop knows them more
        accurately than from θ.
    preconditioner : ApproximateInverse or None
        The last preconditioner of a loop for smooth objectives.
    newton_step : Step or None
        A Newton step from the point with its residual, if the loop has computed one.
    model : Model or None
        The last quadratic model of a loop for nonsmooth objectives.
    end : ndarray of shape (R, d + 1) or None
        θ at the end of the step from which the distance of the point was estimated.
    """

    point: Point
    value: float
    status: Status
    history: tuple[Iteration, ...]
    coefficients: tuple[Array, Array] | None = None
    preconditioner: ApproximateInverse | None = None
    newton_step: Step | None = None
    model: Model | None = None
    end: Array | None = None
