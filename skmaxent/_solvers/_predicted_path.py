"""Regularisation path with a tolerance for each solution, started at extrapolated coefficients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._existence import Watch
from skmaxent._solvers._nonsmooth_starts import with_zeros_of
from skmaxent._solvers._path import Path
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._record import Outcome
from skmaxent._solvers._solution import UNBOUNDED, Options, Solution, Status
from skmaxent._solvers._strategy import descend
from skmaxent._typing import Array

# Number of solutions that a start is extrapolated from. Smooth paths are nearly parabolas of the
# logarithm of the strength from one C of a usual grid to the next. With an L1 penalty they have
# kinks, across which a parabola is worse than a line.
SMOOTH_POINTS, NONSMOOTH_POINTS = 3, 2
# Nodes nearer to each other would magnify the rounding errors of the values there.
LEAST_GAP = 1e-9
# The number of successive fits that use one preconditioner, or trust one quadratic model.
FITS_TOGETHER = 5


class PredictedPath(Path):
    """A path in which each fit starts at an extrapolation of the last solutions.

    Most starts are so near to the optimum that a fit takes a single Newton step. Its gradient and
    Hessian are those from which the distance to the optimum is estimated.
    """

    # The last solutions: logarithm of the strength, and θ.
    _last: tuple[tuple[float, Array], ...] = ()
    # The number of fits since a new preconditioner or quadratic model, modulo FITS_TOGETHER.
    _n_together = 0

    def at(self, strength: float, start: Array | None = None) -> Solution:
        """Return the solution for this strength of the penalty; see `Path.at`."""
        solution = super().at(strength, start)
        self._remember(strength, solution)
        return solution

    def near(self, strength: float, tol: float, start: Array | None = None) -> Solution:
        """Return a solution for this strength that is about `tol` standard errors from the optimum.

        The fit ends at a point within `tol` of the optimum. The solution returned is the end of the
        Newton step from this point, which is nearer to the optimum. Its gap is NaN, because there
        is no certificate. The result is that of `at` if the fit does not converge, and if the last
        fit found that coefficients without penalty separate classes, for they do so under any
        penalty.

        Parameters
        ----------
        strength : float
        tol : float
            Distance to the optimum, in standard errors.
        start : ndarray of shape (R, d + 1), optional
            θ at which the fit starts; the default is extrapolated from the last solutions.
        """
        problem = self._problem.with_penalty(self._terms, strength)
        start = self._extrapolated(problem, strength) if start is None else start
        if start is None or (self._solution and self._solution.status in UNBOUNDED):
            return self.at(strength)
        options = replace(
            self._options,
            tol=max(tol, self._options.tol),
            tightens=False,
            trusts_model=self._trusts_model(),
        )
        outcome = self._outcome(problem, options, start, strength)
        if outcome.status is not Status.CONVERGED:
            return self.at(strength)
        end = _end_of(outcome)
        outcome = replace(outcome, coefficients=problem.coefficients(end), end=end)
        solution = problem.solution(outcome, np.nan)
        self._problem, self._solution, self._strength = problem, solution, strength
        self._remember(strength, solution)
        return solution

    def _trusts_model(self) -> bool:
        """Return whether the next fit trusts the quadratic model of an earlier one."""
        self._n_together = (self._n_together + 1) % FITS_TOGETHER
        return self._n_together > 0

    def _remember(self, strength: float, solution: Solution) -> None:
        """Keep θ of a solution, from which the next starts are extrapolated."""
        is_smooth = self._problem.terms.is_plain_ridge
        n_points = SMOOTH_POINTS if is_smooth else NONSMOOTH_POINTS
        theta = solution.point.theta if solution.end is None else solution.end
        if strength > 0.0:
            self._last = (*self._last, (np.log(strength), theta))[-n_points:]

    def _outcome(
        self, problem: Problem, options: Options, start: Array, strength: float
    ) -> Outcome:
        """Minimise from θ `start`, without checks of the result."""
        watch = Watch(problem.objective, *problem.terms.whole_penalty().unbounded_signs)
        screening = None
        if not problem.terms.is_plain_ridge:
            assert self._solution is not None
            screening = self._screening(self._solution.point, strength)
        return descend(problem, options, start, watch, self._working, screening)

    def _start(self, problem: Problem, strength: float) -> Array | None:
        """Return θ at which to start the fit of a problem; see `Path._start`."""
        start = self._extrapolated(problem, strength)
        return super()._start(problem, strength) if start is None else start

    def _extrapolated(self, problem: Problem, strength: float) -> Array | None:
        """Return θ (R, d + 1), extrapolated from the last solutions by a polynomial, or None.

        The result is None if there is no last solution, if `strength` is 0, or if `max_iter` is 0,
        with which all coefficients stay zero.

        With a nonsmooth penalty, coefficients that are zero in the last solution stay zero, and
        coefficients whose sign the extrapolation changes become zero.
        """
        if not self._last or strength == 0.0 or self._options.max_iter == 0:
            return None
        logarithms, thetas = zip(*self._last, strict=True)
        factors = polynomial_factors(np.array(logarithms), np.log(strength))
        theta = np.tensordot(factors, np.array(thetas), 1)
        if not problem.terms.is_plain_ridge:
            theta = with_zeros_of(thetas[-1], theta)
            theta = problem.terms.whole_penalty().project(theta)
        return np.asfortranarray(theta)


def polynomial_factors(nodes: Array, at: float) -> Array:
    """Return the factors of values at `nodes` whose sum is their interpolating polynomial `at`.

    The factors are the values of Lagrange's polynomials. If two of the `nodes` (n_nodes,) are less
    than LEAST_GAP apart, the result selects the value at the last node.
    """
    differences = nodes[:, None] - nodes
    np.fill_diagonal(differences, 1.0)
    if np.abs(differences).min() < LEAST_GAP:
        return np.eye(len(nodes))[-1]
    numerators = np.broadcast_to(at - nodes, differences.shape).copy()
    np.fill_diagonal(numerators, 1.0)
    return np.asarray((numerators / differences).prod(axis=1))


def _end_of(outcome: Outcome) -> Array:
    """Return θ (R, d + 1) at the end of the Newton step from an outcome's point.

    If neither the step nor a preconditioner is known, the result is θ of the point itself.
    """
    point, preconditioner = outcome.point, outcome.preconditioner
    if outcome.end is not None:
        return outcome.end
    if outcome.newton_step is not None:
        return np.asarray(point.theta + outcome.newton_step.direction)
    if preconditioner is not None:
        return np.asarray(point.theta - preconditioner.solve(point.gradient))
    return point.theta
