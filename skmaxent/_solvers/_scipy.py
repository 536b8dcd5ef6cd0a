"""SciPy's optimisers on the objective in preconditioned coordinates.

`METHODS` lists them. A callback ends the optimisation by the same test as in the other solvers: the
distance to the optimum in standard errors is at most `tol`. SciPy's own tolerances are zero.

u is the vector of preconditioned coordinates, of shape (R·(d + 1),), and θ the matrix of
coefficients of standardised columns, of shape (R, d + 1), for R logits and d features. F is the
objective, a mean over rows plus the penalty.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize

from skmaxent._existence import Watch
from skmaxent._solvers._conjugate_gradients import Step, conjugate_gradients
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

# The distance to the optimum is the length of a Newton step, by conjugate gradients with at most
# DISTANCE_PRODUCTS Hessian products, to a residual of DISTANCE_ACCURACY times the gradient.
DISTANCE_PRODUCTS = 50
DISTANCE_ACCURACY = 0.1
# A change of F below this many times its rounding error is computed from gradients.
HIDDEN = 100.0
# An iteration makes progress if the norm of the gradient is below this share of the smallest one.
PROGRESS = 0.9
# SciPy is started again if its last run reduced the distance to less than this share.
NEARER = 0.5
# The largest radius of the trust region, in units of the first.
LARGEST = 1e6


@dataclass(frozen=True)
class Method:
    """A method of `scipy.optimize.minimize`, and how to use it.

    Attributes
    ----------
    name : str
        The value of SciPy's argument `method`.
    uses_products : bool
        Whether the method needs Hessian products.
    is_of_sum : bool
        Whether to pass the sum over rows, n F, to SciPy instead of the mean F. Trust-region methods
        get the sum, because their inner tolerances suit gradients of that size. L-BFGS gets the
        mean, because its first step from the model without features then has the right length.
    patience : int
        The fit ends after this number of iterations in sequence without progress.
    options : mapping
        Options of the method that switch off SciPy's own tests of convergence.
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
    """Minimise F by SciPy's method for `options.solver`, a key of `METHODS`.

    Parameters
    ----------
    problem : Problem
        Its penalty must be smooth; see `check_is_smooth`.
    start : ndarray of shape (R, d + 1) or None
        The first θ; None stands for the null model.
    options : Options
    record : Record
        The iterations are added to this record.
    watch : Watch
        Detects separated classes.

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
    """One fit with SciPy: the functions that SciPy calls, and the state that they share.

    Attributes
    ----------
    function : PreconditionedProblem
        F as a function of u.
    now : Evaluation
        F and its gradient at the present iterate.
    status : Status
        How the fit ends at the present iterate; MAX_ITER if it goes on.
    newton_step : Step or None
        A Newton step for θ from `now`, if one was computed.
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
        """Make F at the present iterate the reference value, and reset the count of stalls.

        SciPy receives F minus this value, which has smaller rounding errors than F near the
        optimum.
        """
        self._base = self.now.value
        # The latest point that SciPy evaluated, and F minus `_base` there and at the iterate.
        self._latest = self.now
        self._difference = self._difference_now = 0.0
        self._least_norm, self._n_stalled = np.inf, 0

    def minimise(self) -> None:
        """Run SciPy until the distance test, separation, `max_iter` or rounding ends the fit.

        SciPy also ends by itself, when rounding hides any decrease of F. It is then started again
        at the last iterate, with F there as the new reference value, as long as this reduces the
        distance to the optimum.
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
        """Whether another run of SciPy may get nearer to the optimum.

        If X is float32 or steps have stalled, gradients are as inaccurate as F, and another run
        does not help. The exception is a reference value so far from the present F that it
        causes most of the rounding error, since another run replaces it.
        """
        blocks = self.function.problem.objective.blocks
        is_limited = self._is_stalled or blocks.dtype == np.float32
        return not is_limited or EPS * abs(self._base - self.now.value) > self.now.rounding

    def _run_scipy(self) -> None:
        """Run SciPy once from the present iterate; the callback updates the state."""
        options = dict(self._method.options, maxiter=self._options.max_iter)
        if self._method.uses_products:
            # At the null model the Hessian of F with respect to u is nearly the identity, so that
            # the length of the gradient is that of a Newton step.
            radius = max(float(np.linalg.norm(self.now.gradient)), 1.0)
            options |= {"initial_trust_radius": radius, "max_trust_radius": LARGEST * radius}
        # SciPy's objects refer to each other and to the functions passed to SciPy, so they exist
        # for some time after an interrupted call. The list, emptied below, keeps them from
        # referring to this object and thus to the threads of the fit.
        runs = [self]
        uses_products = self._method.uses_products

        def callback(intermediate_result: Any) -> None:  # SciPy requires this argument name
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
        """Return F and its gradient at u, of shape (R·(d + 1),).

        There is no new evaluation if u is the iterate or the latest point that SciPy evaluated.
        """
        if np.array_equal(self._latest.u, u):
            return self._latest
        if np.array_equal(self.now.u, u):
            self._latest, self._difference = self.now, self._difference_now
        else:
            self._latest = self.function.at(u.copy())
            self._difference = self._difference_at(self._latest)
        return self._latest

    def _difference_at(self, there: Evaluation) -> float:
        """Return F minus the reference value `_base` at a point.

        If rounding hides the change of F between the iterate and the point, the change is computed
        from the gradients at both by the trapezoidal rule.
        """
        slopes = self.now.gradient + there.gradient
        change = 0.5 * float(slopes @ (there.u - self.now.u))
        difference = there.value - self._base
        most = max(abs(change), abs(difference - self._difference_now))
        return (
            self._difference_now + change if most <= HIDDEN * self._rounding(there) else difference
        )

    def _rounding(self, at: Evaluation) -> float:
        """Return an estimate of the rounding error of F minus `_base` at a point."""
        return at.rounding + EPS * abs(self._base)

    def _value_and_gradient(self, u: Array) -> tuple[float, Array]:
        """Return F - `_base` and its gradient at u, both times n if the method minimises the sum.

        u and the gradient have shape (R·(d + 1),).
        """
        gradient = self._evaluated(u).gradient
        return self._scale * self._difference, self._scale * gradient

    def _product(self, u: Array, v: Array) -> Array:
        """Return the Hessian at u times v, both of shape (R·(d + 1),), scaled like the gradient."""
        return self._scale * self.function.hessian_product(self._evaluated(u), v)

    def _callback(self, intermediate_result: Any) -> None:
        """Record SciPy's iterate `intermediate_result.x`; raise StopIteration to end the run."""
        before, now = self.now, self._evaluated(intermediate_result.x)
        if not np.isfinite(now.value):  # L-BFGS accepts steps to where F overflows
            self.status = Status.PRECISION
            raise StopIteration
        self.now, self._difference_now = now, self._difference
        self.status = self._report()
        self._count_stalled(is_rejected=self.now is before)
        if self.status is not Status.MAX_ITER or self._record.is_full or self._is_stalled:
            raise StopIteration

    def _count_stalled(self, *, is_rejected: bool) -> None:
        """Update the number of iterations in sequence without progress.

        An iteration makes no progress if the norm of the gradient does not shrink, and besides
        SciPy rejected the step or rounding hides the decrease of F that is left.
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
        """Whether the last `patience` iterations made no progress."""
        return self._n_stalled >= self._method.patience

    def _report(self) -> Status:
        """Add the iterate to the record; return how the fit ends there, or MAX_ITER."""
        number = self._record.number
        distance = self._distance(may_be_short=number >= self._options.max_iter)
        status = self._judged(distance, number)
        counter = self.function.problem.objective.counter
        return self._record.add(counter, self.now.point.theta, self.now.value, distance, status)

    def _distance(self, *, may_be_short: bool) -> float:
        """Return an estimate of the distance to the optimum in standard errors.

        A first estimate, without passes over X, is the norm of the gradient with respect to u,
        divided by the root of the smallest eigenvalue of the Hessian estimated so far. If this is
        at most `tol`, or `may_be_short` is true, a Newton step is computed, which becomes
        `newton_step`, and the result is the length of this step, its residual included.
        """
        root_n = root_size(self.function.problem.objective.blocks.effective_size, self.now.value)
        norm = float(np.linalg.norm(self.now.gradient))
        distance = root_n * norm / np.sqrt(min(1.0, self._smallest_ritz))
        self.newton_step = None
        if distance > self._options.tol and not may_be_short:
            return float(distance)
        step = conjugate_gradients(
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
        """Return the status of the fit at the present iterate, before callbacks are asked.

        The status is CONVERGED at the optimum, SEPARATED or QUASI_SEPARATED if separation is
        detected, and MAX_ITER if the fit should go on. `distance` is that of the iterate to the
        optimum, in standard errors, and `number` is the number of the iteration.
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
        if watch.sees_slow_separation(point.theta, point.loss, number):
            return Status.QUASI_SEPARATED
        return Status.MAX_ITER
