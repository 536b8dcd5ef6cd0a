"""SmallRefits: exact fits without one observation each, for small data, all fits together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import scipy.sparse as sp

from skmaxent._leverage._step_errors import StepErrors
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._solvers import MOST_STRENGTH, Problem, SmallBatch, suits_small_batch
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# The largest number of Newton steps of a fit.
MOST_STEPS = 30
# The largest number of coefficients. For more of them the simplified Newton method is faster, which
# needs no Hessian of each fit: with 100 rows and 153 coefficients, leave-one-out with a ridge took
# 1.1 instead of 2.7 times the path.
MOST_SMALL = 64


class SmallRefits:
    """Fits of small data without one observation each, by Newton's method for all fits together.

    Parameters
    ----------
    problem : Problem
        The problem of all rows, for which `suits` is true.
    theta : ndarray of shape (n_logits, n_features + 1)
        The minimum of the problem.
    tolerance : float
        The distance to the optimum, in standard errors, at which fits end.
    errors : StepErrors
        Those of another strength of the penalty, for flat coefficients. The fits start where they
        are added to one step, and replace them.
    """

    def __init__(
        self, problem: Problem, theta: Array, tolerance: float, errors: StepErrors
    ) -> None:
        blocks: Any = problem.objective.blocks
        self._errors = errors
        self._problem, self._theta, self._tolerance = problem, theta, tolerance
        n = blocks.n_samples
        self._weights = np.ones(n) if blocks.weights is None else blocks.weights.astype(float)

    @classmethod
    def suits(cls, problem: Problem, most: int = MOST_SMALL) -> bool:
        """Return whether this class makes the fits of a problem. Rows have single classes.

        `most` is the largest number of coefficients. Beside a very strong ridge towards other
        coefficients than zero, rounding errors hide changes of the loss.
        """
        blocks, terms = problem.objective.blocks, problem.terms
        return (
            isinstance(blocks, RowBlocks)
            and (isinstance(blocks.X, np.ndarray) or sp.issparse(blocks.X))
            and blocks.dtype == np.float64
            and blocks.has_codes
            and math.prod(problem.objective.shape) <= most
            and suits_small_batch(problem.objective, terms, "auto")
            and (terms.target is None or float(terms.ridge.max()) <= MOST_STRENGTH)
        )

    @staticmethod
    def logits_without(
        refits: Sequence[SmallRefits],
        rows: Sequence[Array],
        left_out: Sequence[Array],
        shifts: Sequence[Array | None],
    ) -> list[tuple[Array, Array]]:
        """Fit without a part of the weight of one row at a time; return the logits of these rows.

        Parameters
        ----------
        refits : sequence of SmallRefits
            For the same rows, with penalties that differ in their strengths.
        rows : sequence of ndarray of int, shape (n,)
            For each of `refits`, the rows that are left out one at a time.
        left_out : sequence of ndarray of shape (n,)
            The weights that are left out, as the objective stores weights.
        shifts : sequence of ndarray of shape (n, p), or None
            What one step without the row adds to the flat coefficients; None stands for zeros.

        Returns
        -------
        list of tuple
            For each of `refits`, the logits (n, n_logits), and a mask (n,) of the fits that
            converged.
        """
        first, row = refits[0], np.concatenate(rows)
        objective, n = first._problem.objective, len(row)
        weights, at = np.tile(first._weights, (n, 1)), np.arange(n)
        weights[at, row] = np.maximum(weights[at, row] - np.concatenate(left_out), 0.0)
        totals = weights.sum(axis=1)
        weights /= totals[:, None]
        sizes = np.full(n, objective.blocks.effective_size)
        penalties = [cast(Elementwise, each._problem.terms.whole_penalty()) for each in refits]
        lengths = [len(each) for each in rows]
        of_refits = np.repeat(np.arange(len(refits)), lengths)
        batch = SmallBatch(objective, weights, sizes, penalties, of_refits)
        # The loss is a mean over a smaller total weight, and the penalty grows by the same factor.
        strength = objective.total_weight / totals
        theta = np.repeat([each._theta.ravel() for each in refits], lengths, axis=0)
        parts = [
            np.zeros((length, theta.shape[1])) if shift is None else shift
            for length, shift in zip(lengths, shifts, strict=True)
        ]
        keys = [some.tolist() for some in rows]
        of_keys = list(zip([each._errors for each in refits], keys, parts, strict=True))
        errors = [each.of(some, steps) for each, some, steps in of_keys]
        by_step = theta + np.concatenate(parts)
        start = by_step + np.concatenate(errors)
        # Zeros after the step are right more often than small numbers beside them.
        is_l1 = batch.strengths(at, strength)[0] > 0.0
        start = np.where(is_l1 & (start * by_step <= 0.0), 0.0, start)
        # The step is far too long if the row alone determines a direction. What the row changed at
        # another strength of the penalty, or nothing, is then a better start.
        changes = [each.changes(some, steps.shape) for each, some, steps in of_keys]
        other = theta + np.concatenate(changes)
        values = [batch.at(at, strength, each).value for each in (start, other)]
        start = np.where((values[0] <= values[1])[:, None], start, other)
        W, n_iter = batch.minimise(at, strength, start, first._tolerance, MOST_STEPS)
        Z, converged = batch.logits(W, row), n_iter > 0
        found = []
        for number, (each, some, steps) in enumerate(zip(refits, rows, parts, strict=True)):
            mine = of_refits == number
            known = converged[mine]
            each._errors.put(some[known].tolist(), steps[known], (W - by_step)[mine][known])
            found.append((Z[mine], known))
        return found
