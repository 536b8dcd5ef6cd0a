"""Exact fits without one row or observation, which start from the fit to all rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from skmaxent._leverage._left_out_units import Units
from skmaxent._leverage._leverages import Leverages
from skmaxent._leverage._simplified_newton import SimplifiedNewton
from skmaxent._leverage._small_refits import MOST_SMALL, SmallRefits
from skmaxent._leverage._step_errors import StepErrors
from skmaxent._solvers import UNBOUNDED, Options, Problem, minimise
from skmaxent._storage._device_array import on_host
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._row_targets import in_dtype
from skmaxent._typing import Array

# The smallest distance to the optimum, in standard errors, at which a solver ends, and its most
# iterations.
REFIT_TOLERANCE, REFIT_ITERATIONS = 1e-4, 200
# The distance at which the simplified Newton method ends. Its last steps cost little.
NEWTON_TOLERANCE = 1e-5
# The largest number of coefficients for which `SmallRefits` makes the fits of small data for which
# the simplified method does not converge.
MOST_COEFFICIENTS = 256
# A row that keeps a smaller share of its weight has only kept a rounding error.
LEAST_KEPT = 1e-12


class Refits:
    """Fits without one observation each, for rows in memory.

    Parameters
    ----------
    problem : Problem
        The problem of all rows.
    theta : ndarray of shape (n_logits, n_features + 1)
        The minimum of the problem.
    leverages : Leverages or None
        The leverages of the rows, which the simplified Newton method uses. If it does not converge
        for a row, or without leverages, a solver makes the fit.
    tolerance : float, default=NEWTON_TOLERANCE
        The distance to the optimum, in standard errors, at which fits end. A solver ends at
        `REFIT_TOLERANCE` if that is larger.
    most_small : int, default=MOST_SMALL
        The largest number of coefficients for which `SmallRefits` makes all fits.

    Attributes
    ----------
    tolerance : float
    errors : StepErrors
        None are known at first.
    n_fits : int
        The number of fits that were made.
    rows : list of int
        The rows that were left out.
    separated : list of int
        The rows without which the classes are separated, so that no finite coefficients are
        optimal.
    """

    def __init__(
        self,
        problem: Problem,
        theta: Array,
        leverages: Leverages | None,
        tolerance: float = NEWTON_TOLERANCE,
        most_small: int = MOST_SMALL,
    ) -> None:
        blocks = problem.objective.blocks
        assert isinstance(blocks, RowBlocks)
        self._problem = problem
        self._theta, self._start = theta, problem.coefficients(theta)
        self.tolerance = tolerance
        self._solver_tolerance = max(tolerance, REFIT_TOLERANCE)
        self._small = self._newton = None
        self.errors = StepErrors()
        if SmallRefits.suits(problem, most_small):
            self._small = SmallRefits(problem, theta, tolerance, self.errors)
        elif leverages is not None:
            self._newton = SimplifiedNewton.of(problem, leverages, tolerance, self.errors)
        given = blocks.X, blocks.targets, blocks.weights, blocks.offset
        self._X, self._targets, weights, self._offset = map(on_host, given)
        if sp.issparse(self._targets):
            self._targets = self._targets.toarray()
        self._weights = np.ones(blocks.n_samples) if weights is None else weights.astype(float)
        self.n_fits = 0
        self.rows: list[int] = []
        self.separated: list[int] = []

    @staticmethod
    def logits_without(
        refits: Sequence[Refits], units: Sequence[Units], which: Sequence[Array]
    ) -> list[Array]:
        """Fit without one unit at a time; return the logits of their rows.

        Parameters
        ----------
        refits : sequence of Refits
            For the same rows, with penalties that differ in their strengths.
        units : sequence of Units
            For each of `refits`, the units that may be left out.
        which : sequence of ndarray of int, shape (n,)
            The positions of those that are left out.

        Returns
        -------
        list of ndarray of shape (n, n_logits)
        """
        rows = [each.row[at] for each, at in zip(units, which, strict=True)]
        left_out = [each.left_out[at] for each, at in zip(units, which, strict=True)]
        outcomes = [each.outcome[at] for each, at in zip(units, which, strict=True)]
        shifts = [
            None if each.shifts is None else each.shifts[at]
            for each, at in zip(units, which, strict=True)
        ]
        small = [each._small for each in refits if each._small is not None]
        if len(small) == len(refits):
            found = SmallRefits.logits_without(small, rows, left_out, shifts)
        else:
            found = list(map(Refits._by_itself, refits, rows, left_out, outcomes, shifts))
        return list(map(Refits._completed, refits, found, rows, left_out, outcomes))

    def _by_itself(
        self, rows: Array, left_out: Array, outcomes: Array, shifts: Array | None
    ) -> tuple[Array, Array]:
        """Return the logits of rows (n,) in the fits without them, and a mask of those that ended.

        The arguments are those of `SimplifiedNewton.logits_without`.
        """
        if self._small is not None:
            return SmallRefits.logits_without([self._small], [rows], [left_out], [shifts])[0]
        if self._newton is not None:
            logits, converged = self._newton.logits_without(rows, left_out, outcomes)
            others = np.flatnonzero(~converged)
            if len(others) and SmallRefits.suits(self._problem, MOST_COEFFICIENTS):
                small = SmallRefits(self._problem, self._theta, self.tolerance, StepErrors())
                shifts = None if shifts is None else shifts[others]
                given = [rows[others]], [left_out[others]], [shifts]
                ((logits[others], converged[others]),) = small.logits_without([small], *given)
            return logits, converged
        return np.empty((len(rows), len(self._start[0]))), np.zeros(len(rows), dtype=bool)

    def _completed(
        self, found: tuple[Array, Array], rows: Array, left_out: Array, outcomes: Array
    ) -> Array:
        """Make the fits that did not end by a solver; return the logits of all rows."""
        logits, converged = found
        for at in np.flatnonzero(~converged):
            outcome = None if outcomes[at] < 0 else int(outcomes[at])
            logits[at] = self._by_solver(int(rows[at]), float(left_out[at]), outcome)
        self.n_fits += len(rows)
        self.rows += rows.tolist()
        return logits

    def _by_solver(self, row: int, left_out: float, outcome: int | None) -> Array:
        """Return the logits of a row, (n_logits,), in the fit without a part of its weight.

        The arguments are single entries of those of `_by_itself`, with None for the class -1.
        """
        problem = self._without(row, left_out, outcome)
        start = problem.warm_start(*self._start)
        options = Options(tol=self._solver_tolerance, max_iter=REFIT_ITERATIONS)
        solution = minimise(problem, options, start)
        if solution.status in UNBOUNDED and row not in self.separated:
            self.separated.append(row)
        x = self._X[[row]]
        z = np.asarray(x @ solution.coef.T)[0] + solution.intercept
        return z if self._offset is None else z + self._offset[row]

    def _without(self, row: int, left_out: float, outcome: int | None) -> Problem:
        """Return the problem without a part of the weight of a row; see `_by_solver`."""
        problem, blocks = self._problem, self._problem.objective.blocks
        assert isinstance(blocks, RowBlocks)
        weights, targets = self._weights.copy(), self._targets
        kept = max(weights[row] - left_out, 0.0)
        if kept <= LEAST_KEPT * weights[row]:
            kept = 0.0
        if outcome is not None and kept > 0.0:
            targets = np.array(targets, dtype=float)
            removed = np.zeros_like(targets[row])
            if targets.ndim == 1:
                removed = np.float64(outcome)
            else:
                removed[outcome] = 1.0
            targets[row] = (weights[row] * targets[row] - left_out * removed) / kept
            targets[row] = np.maximum(targets[row], 0.0)
        weights[row] = kept
        total = problem.objective.total_weight
        # The loss is a mean over a smaller total weight. The penalty grows by the same factor, so
        # that its ratio to the summed loss, which C fixes, does not change.
        return Problem.of(
            blocks.with_weights(weights, in_dtype(targets, blocks.dtype)),
            problem.objective.likelihood,
            problem.user_terms,
            strength=total / (total - left_out),
            fit_intercept=problem.objective.fit_intercept,
        )
