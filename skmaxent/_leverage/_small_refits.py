"""SmallRefits: exact fits without one observation each, for small data, all fits together."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse as sp

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._solvers import MOST_STRENGTH, Problem, SmallBatch, suits_small_batch
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# The largest number of Newton steps of a fit.
MOST_STEPS = 30


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
    shifts : dict
        For some rows, what leaving them out adds to the coefficients of another strength of the
        penalty, flat. The fits start there, and replace the entries by theirs.
    """

    def __init__(
        self, problem: Problem, theta: Array, tolerance: float, shifts: dict[int, Array]
    ) -> None:
        blocks: Any = problem.objective.blocks
        self._shifts = shifts
        self._problem, self._theta, self._tolerance = problem, theta, tolerance
        self._X, self._offset = blocks.X, blocks.offset
        n = blocks.n_samples
        self._weights = np.ones(n) if blocks.weights is None else blocks.weights.astype(float)

    @classmethod
    def suits(cls, problem: Problem) -> bool:
        """Return whether this class makes the fits of a problem. Rows have single classes.

        Beside a very strong ridge towards other coefficients than zero, rounding errors hide
        changes of the loss.
        """
        blocks, terms = problem.objective.blocks, problem.terms
        return (
            isinstance(blocks, RowBlocks)
            and (isinstance(blocks.X, np.ndarray) or sp.issparse(blocks.X))
            and blocks.dtype == np.float64
            and blocks.has_codes
            and suits_small_batch(problem.objective, terms, "auto")
            and (terms.target is None or float(terms.ridge.max()) <= MOST_STRENGTH)
        )

    def logits_without(self, rows: Array, left_out: Array) -> tuple[Array, Array]:
        """Fit without a part of the weight of one row at a time; return the logits of these rows.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
        left_out : ndarray of shape (n,)
            The weights that are left out, as the objective stores weights.

        Returns
        -------
        logits : ndarray of shape (n, n_logits)
        converged : ndarray of bool, shape (n,)
        """
        problem, objective, n = self._problem, self._problem.objective, len(rows)
        weights = np.tile(self._weights, (n, 1))
        at = np.arange(n)
        weights[at, rows] = np.maximum(weights[at, rows] - left_out, 0.0)
        totals = weights.sum(axis=1)
        weights /= totals[:, None]
        penalty = cast(Elementwise, problem.terms.whole_penalty())
        sizes = np.full(n, objective.blocks.effective_size)
        batch = SmallBatch(objective, weights, sizes, penalty)
        # The loss is a mean over a smaller total weight, and the penalty grows by the same factor.
        strength = objective.total_weight / totals
        theta = self._theta.ravel()
        start = np.stack([theta + self._shifts.get(row, 0.0) for row in rows.tolist()])
        W, n_iter = batch.minimise(at, strength, start, self._tolerance, MOST_STEPS)
        self._shifts.update(zip(rows.tolist(), W - theta, strict=True))
        coef, intercept = objective.coefficients(W.reshape(-1, self._theta.shape[1]))
        coef, intercept = coef.reshape(n, -1, coef.shape[1]), intercept.reshape(n, -1)
        X = self._X[rows]
        X = X.toarray() if sp.issparse(X) else X
        logits = np.einsum("nkj,nj->nk", coef, X) + intercept
        return logits if self._offset is None else logits + self._offset[rows], n_iter > 0
