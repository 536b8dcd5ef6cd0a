"""SciPy's optimisers on the objective in preconditioned coordinates.

`METHODS` is the table of them. They stop by the same test as the other solvers, the distance to
the optimum in standard errors, which a callback makes: SciPy's own tolerances are zero.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize

from skmaxent._existence import Watch
from skmaxent._solvers._conjugate_gradients import Step, steihaug
from skmaxent._solvers._preconditioned import (
    Evaluation,
    PreconditionedProblem,
)
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import is_settled
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Hessian products for the Newton step whose length is the distance, and its accuracy.
DISTANCE_PRODUCTS = 50
DISTANCE_ACCURACY = 0.1
# Changes of F of less than so many times its rounding are taken from gradients.
HIDDEN = 100.0
# The gradient shrinks where it is this much shorter than it has ever been.
PROGRESS = 0.9
# A run of SciPy that comes this much nearer to the optimum is followed by another.
NEARER = 0.5
# The largest trust region, in units of the first.
LARGEST = 1e6


@dataclass(frozen=True)
class Method:
    """A method of `scipy.optimize.minimize` by its name there.

    Attributes
    ----------
    name : str
    uses_products : bool
        Whether it asks for Hessian products.
    is_of_sum : bool
        Whether it minimises the sum over rows, n F, instead of the mean: the tolerances within
        trust-region methods are for gradients of that size. The first step of a line search from
        the model without features is right for the mean.
    patience : int
        Iterations without progress that end a fit.
    options : mapping
        Turn off SciPy's own tests of convergence.
    """

    name: str
    uses_products: bool
    is_of_sum: bool
    patience: int
    options: Mapping[str, Any]


# The values of `solver` that stand for SciPy's methods.
METHODS = {
    "lbfgs": Method(
        "L-BFGS-B", False, False, 50, {"ftol": 0.0, "gtol": 0.0, "maxfun": sys.maxsize}
    ),
    "trust-krylov": Method("trust-krylov", True, True, 10, {"gtol": 0.0}),
    "trust-ncg": Method("trust-ncg", True, True, 10, {"gtol": 0.0}),
}


def minimise_with_scipy(
    problem: Problem, start: Array | None, options: Options, record: Record, watch: Watch
) -> Outcome:
    """Minimise by the method that `options.solver` names.

    Parameters
    ----------
    problem : Problem
        Its penalty is smooth; see `check_is_smooth`.
    start : ndarray of shape (R, d + 1) or None
        θ to begin at; None is the model without features.
    options : Options
    record : Record
        Receives the iterations.
    watch : Watch
        Looks for separation.

    Returns
    -------
    Outcome
    """
    theta = problem.null.theta if start is None else start
    run = _Run(PreconditionedProblem(problem, theta, options.seed), options, record, watch)
    run.minimise()
    return Outcome(
        run.now.point,
        run.now.value,
        run.status,
        record.history,
        preconditioner=run.function,
        newton_step=run.newton_step,
    )


class _Run:
    """What happens while SciPy minimises: the iterate, the history and why it ended.

    Attributes
    ----------
    function : PreconditionedProblem
    now : Evaluation
        At the iterate.
    status : Status
        MAX_ITER until there is another reason to stop.
    newton_step : Step or None
        A Newton step of θ from `now`, where one was computed.
    """

    def __init__(
        self, function: PreconditionedProblem, options: Options, record: Record, watch: Watch
    ) -> None:
        problem = function.problem
        self.function, self._record, self._watch = function, record, watch
        self.newton_step: Step | None = None
        self._options, self._method = options, METHODS[options.solver]
        size = problem.objective.blocks.effective_size
        self._scale = size if self._method.is_of_sum else 1.0
        self._smallest_ritz = 1.0
        self.now = function.at(np.zeros(function.size))
        self._begin()
        self.status = self._report()

    def _begin(self) -> None:
        """Measure differences of F from the iterate."""
        self._base = self.now.value
        # The latest point that SciPy asked for, and F less `_base` there and at the iterate.
        self._latest = self.now
        self._difference = self._difference_now = 0.0
        self._least_norm, self._n_stalled = np.inf, 0

    def minimise(self) -> None:
        """Run SciPy from the iterate until our own test ends the fit.

        SciPy ends by itself where F, a float64, decreases no more. It begins once more from there,
        with differences from F there, while that brings the optimum nearer.
        """
        before = np.inf
        while self.status is Status.MAX_ITER:
            self._begin()
            self._run_scipy()
            if self.status is not Status.MAX_ITER or self._record.is_full:
                break
            distance = self._distance(may_be_short=True)
            self._record.correct(distance)
            self.status = self._judged(distance, self._record.number - 1)
            if self.status is Status.MAX_ITER:
                may_gain = self._may_gain and distance < NEARER * before
                self.status = Status.MAX_ITER if may_gain else Status.PRECISION
            before = distance

    @property
    def _may_gain(self) -> bool:
        """Whether differences of F from the iterate would be more accurate than they were.

        Where X is of float32, or steps no longer gain anything, gradients are as inaccurate as F,
        unless F was far from where it is now when SciPy began.
        """
        blocks = self.function.problem.objective.blocks
        is_limited = self._is_stalled or blocks.dtype == np.float32
        return not is_limited or EPS * abs(self._base - self.now.value) > self.now.rounding

    def _run_scipy(self) -> None:
        options = dict(self._method.options, maxiter=self._options.max_iter)
        if self._method.uses_products:
            # The Hessian of the mean is the identity at the model without features, so that this is
            # the length of a Newton step from there.
            radius = max(float(np.linalg.norm(self.now.gradient)), 1.0)
            options |= {"initial_trust_radius": radius, "max_trust_radius": LARGEST * radius}
        # Objects of SciPy refer to each other and to the functions that it is given, and outlive
        # an interrupted call. They must not keep the threads of the fit alive.
        runs = [self]
        uses_products = self._method.uses_products

        def callback(intermediate_result: Any) -> None:  # SciPy goes by the name of the argument
            runs[0]._callback(intermediate_result)

        try:
            with np.errstate(all="ignore"):
                optimize.minimize(
                    lambda u: runs[0]._value_and_gradient(u),
                    self.now.u,
                    jac=True,
                    hessp=(lambda u, v: runs[0]._product(u, v)) if uses_products else None,
                    method=self._method.name,
                    callback=callback,
                    options=options,
                )
        finally:
            runs.clear()

    def _evaluated(self, u: Array) -> Evaluation:
        """F at u, which is often the iterate or the latest point that SciPy asked for."""
        if np.array_equal(self._latest.u, u):
            return self._latest
        if np.array_equal(self.now.u, u):
            self._latest, self._difference = self.now, self._difference_now
        else:
            self._latest = self.function.at(u.copy())
            self._difference = self._difference_at(self._latest)
        return self._latest

    def _difference_at(self, there: Evaluation) -> float:
        """F less `_base`; where rounding hides how F changes, gradients tell.

        By the trapezoid rule F changes from the iterate by the mean of its slopes at both ends.
        """
        slopes = self.now.gradient + there.gradient
        change = 0.5 * float(slopes @ (there.u - self.now.u))
        difference = there.value - self._base
        most = max(abs(change), abs(difference - self._difference_now))
        return (
            self._difference_now + change if most <= HIDDEN * self._rounding(there) else difference
        )

    def _rounding(self, at: Evaluation) -> float:
        """The size of the errors that rounding makes in F less `_base`."""
        return at.rounding + EPS * abs(self._base)

    def _value_and_gradient(self, u: Array) -> tuple[float, Array]:
        gradient = self._evaluated(u).gradient
        return self._scale * self._difference, self._scale * gradient

    def _product(self, u: Array, v: Array) -> Array:
        return self._scale * self.function.hessian_product(self._evaluated(u), v)

    def _callback(self, intermediate_result: Any) -> None:
        before, self.now = self.now, self._evaluated(intermediate_result.x)
        self._difference_now = self._difference
        self.status = self._report()
        self._count_stalled(is_rejected=self.now is before)
        if self.status is not Status.MAX_ITER or self._record.is_full or self._is_stalled:
            raise StopIteration

    def _count_stalled(self, *, is_rejected: bool) -> None:
        """Count iterations without a step, and those in which the gradient shrinks no more while
        rounding hides what F can still decrease by.
        """
        norm = float(np.linalg.norm(self.now.gradient))
        is_hidden = norm**2 / self._smallest_ritz <= self._rounding(self.now)
        if not (is_rejected or is_hidden):
            self._n_stalled = 0
        elif norm < PROGRESS * self._least_norm:
            self._least_norm, self._n_stalled = norm, 0
        else:
            self._n_stalled += 1

    @property
    def _is_stalled(self) -> bool:
        return self._n_stalled >= self._method.patience

    def _report(self) -> Status:
        """Add the iterate to the record; return how the fit ends there, or MAX_ITER."""
        number = self._record.number
        distance = self._distance(may_be_short=number >= self._options.max_iter)
        status = self._judged(distance, number)
        counter = self.function.problem.objective.counter
        return self._record.add(counter, self.now.point.theta, self.now.value, distance, status)

    def _distance(self, *, may_be_short: bool) -> float:
        """Distance to the optimum in standard errors, by a Newton step where it may be short.

        Elsewhere it is the gradient's length in the preconditioner's inverse, over the root of the
        least eigenvalue of the Hessian that has been seen in these coordinates.
        """
        root_n = root_size(self.function.problem.objective.blocks.effective_size, self.now.value)
        norm = float(np.linalg.norm(self.now.gradient))
        distance = root_n * norm / np.sqrt(min(1.0, self._smallest_ritz))
        self.newton_step = None
        if distance > self._options.tol and not may_be_short:
            return float(distance)
        step = steihaug(
            lambda v: self.function.hessian_product(self.now, v),
            np.copy,
            self.now.gradient,
            radius=np.inf,
            tolerance=DISTANCE_ACCURACY * norm,
            max_products=DISTANCE_PRODUCTS,
        )
        self._smallest_ritz = step.smallest_ritz
        self.newton_step = replace(step, direction=self.function.change(step.direction))
        hidden = step.residual_norm**2 / min(1.0, step.smallest_ritz)
        return float(root_n * np.sqrt(2.0 * step.predicted + hidden))

    def _judged(self, distance: float, number: int) -> Status:
        """Return whether the iterate of that number is the optimum, or proves that there is none.

        `distance` is in standard errors; the status is MAX_ITER if neither is the case.
        """
        point, watch = self.now.point, self._watch
        if watch.sees_complete_separation(point.theta, point.loss):
            return Status.SEPARATED
        if distance <= self._options.tol and self.newton_step is not None:
            direction = self.newton_step.direction
            if watch.sees_direction(point.theta, direction, distance):
                return Status.QUASI_SEPARATED
            is_near = is_settled(self.function.problem.objective, point.theta, direction)
            return Status.CONVERGED if is_near else Status.MAX_ITER
        if watch.sees_long_way(point.theta, point.loss, number):
            return Status.QUASI_SEPARATED
        return Status.MAX_ITER
