"""Fits of small data without one row each, by one Newton step, for several penalties together.

The formulas are those of `Leverages` and of `ChangingZeros`. Arrays have an axis for the penalties,
because for small data calls of NumPy cost more than arithmetic. There are m penalties, n rows and R
logits, of which r are free. Flat coefficients have the shape (m, p), with p = R·width and those of
a logit next to each other. Losses are means over rows, for weights that sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from skmaxent._leverage._active_sets import ActiveSets, held_out_changes
from skmaxent._leverage._changing_zeros import DAMPING
from skmaxent._leverage._curvature_roots import coupled_root, independent_root
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._inverse_hessian import inverse_and_rank
from skmaxent._leverage._left_out_units import Units, finds_zeros
from skmaxent._leverage._leverages import RowMatrices, shares_of
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._solvers import SmallBatch, SmallRows
from skmaxent._typing import Array

# The largest number of entries of an array with one for each penalty, free logit, row and
# coefficient, 8 megabytes.
ENTRIES_TOGETHER = 1 << 20
# The strength of the L1 penalty of coefficients that stay zero.
HELD = 1e300


def small_units(fits: Sequence[FittedRows]) -> list[Units]:
    """Return the units of each fit, with held-out logits by one Newton step.

    `SmallRefits.suits` is true for the problems of the fits. They have the same rows, and penalties
    that differ in their strengths. One observation of each row is left out.
    """
    objective = fits[0].training.problem.objective
    n, (R, width) = objective.blocks.n_samples, objective.shape
    together = max(1, ENTRIES_TOGETHER // (n * R**2 * width))
    if len(fits) > together:
        starts = range(0, len(fits), together)
        return [units for at in starts for units in small_units(fits[at : at + together])]
    return _SmallSteps(fits).units()


class _SmallSteps:
    """Newton steps from m fits, given as for `small_units`, to those without single rows."""

    def __init__(self, fits: Sequence[FittedRows]) -> None:
        self._fit, m = fits[0], len(fits)
        problems = [fit.training.problem for fit in fits]
        objective = problems[0].objective
        self._rows = objective.computed_once(SmallRows)
        self._likelihood = objective.likelihood
        self._shape = objective.shape
        penalties = [cast(Elementwise, problem.terms.whole_penalty()) for problem in problems]
        weights, which = np.tile(self._rows.weights, (m, 1)), np.arange(m)
        self._batch = SmallBatch(objective, weights, np.ones(m), penalties, which)
        W = np.stack([fit.theta.ravel() for fit in fits])
        self._at = self._batch.at(which, np.ones(m), W)
        self._sets, elimination = self._active_sets()
        self._slopes = self._slopes_of(elimination)

    def units(self) -> list[Units]:
        """Return the units of each fit."""
        fit, n, (R, _) = self._fit, len(self._rows.weights), self._shape
        blocks: Any = fit.training.blocks
        stored = np.ones(n) if blocks.weights is None else blocks.weights.astype(float)
        rows = self._matrices()
        change, shifts, is_found = self._changes(rows)
        if self._likelihood.is_coupled:
            change = np.column_stack([change, np.zeros(len(change))])
        change = change.reshape(-1, n, R)
        logits = self._at.Z.transpose(0, 2, 1) + change
        ranges = np.ptp(change, axis=2) if R > 1 else np.abs(change[:, :, 0])
        hat = np.where(is_found, rows.largest_hat, np.inf).reshape(-1, n)
        df = rows.trace.reshape(-1, n).sum(axis=1)
        counts, shares = fit.counts, fit.class_shares
        return [
            Units(
                row=np.arange(n),
                outcome=np.full(n, -1),
                shares=shares,
                count=counts,
                share_of_row=np.ones(n),
                logits=logits[j],
                change=ranges[j],
                largest_hat=hat[j],
                left_out=stored * self._left_out,
                effective_df=float(df[j]),
                shifts=shifts[j],
            )
            for j in range(len(change))
        ]

    @property
    def _left_out(self) -> Array:
        """The share of each row's weight that is left out, (n,)."""
        shares = shares_of(self._fit.training.data.observations)
        return np.ones(len(self._rows.weights)) if shares is None else shares

    def _active_sets(self) -> tuple[ActiveSets, Array]:
        """Return the active sets of the fits, and matrices (m, p, p) of the changes by one row.

        The product of the transposed matrix with the change of the gradient by a row is the change
        of the coefficients in A and of the gradients of the others, for an empty S.
        """
        batch, at = self._batch, self._at
        (gradient, H), (l1, ridge) = batch.derivatives(at), batch.strengths(at.which, at.strength)
        p = H.shape[1]
        H[:, np.arange(p), np.arange(p)] += ridge
        gradient += ridge * (at.W - batch.target)
        active = ((l1 == 0.0) | (at.W != 0.0)) & ~batch.held
        l1 = np.where(batch.held, HELD, l1)
        sets, changes = [], np.zeros(H.shape)
        for A, some, change, *given in zip(H, active, changes, at.W, l1, gradient, strict=True):
            inverse, _ = inverse_and_rank(A[np.ix_(some, some)])
            A.flat[:: p + 1] *= np.where(some, 1.0, 1.0 + DAMPING)
            one, change[some] = ActiveSets.of(A, inverse, some, *given)
            others = np.flatnonzero(~some)
            change[others, others] = -1.0
            sets.append(one)
        return ActiveSets.stacked(sets), changes

    def _slopes_of(self, changes: Array) -> Array:
        """Return the products of the matrices with the derivatives of free logits, (m, r, n, p)."""
        changes = changes.reshape(len(changes), *self._shape, -1)
        if self._likelihood.is_coupled:
            changes = changes[:, :-1] - changes[:, -1:]
        return np.asarray(self._rows.by_row @ changes)

    def _matrices(self) -> RowMatrices:
        """Return the leverages of all rows, (m n, ...), those of a fit next to each other."""
        (R, width), rows, m = self._shape, self._rows, len(self._slopes)
        r, n = self._slopes.shape[1:3]
        of_active = self._slopes * self._sets.is_active[:, None, None]
        A = np.einsum("mknlw,nw->mnkl", of_active.reshape(m, r, n, R, width), rows.by_row)
        Z, P = (each.transpose(0, 2, 1).reshape(-1, R) for each in (self._at.Z, self._at.P))
        if self._likelihood.is_coupled:
            A, root = A[..., :-1] - A[..., -1:], coupled_root(P)
        else:
            root = independent_root(Z)
        A, weights = A.reshape(-1, r, r), np.tile(rows.weights, m)
        hat = weights[:, None, None] * (root.transpose(0, 2, 1) @ A @ root)
        return RowMatrices(
            leverage=A,
            whole_hat=hat,
            trace=np.einsum("mkk->m", hat),
            root=root,
            residual=(P - np.tile(rows.targets.T, (m, 1)))[:, :r],
            weights=weights,
            left_out=weights * np.tile(self._left_out, m),
        )

    def _changes(self, rows: RowMatrices) -> tuple[Array, Array, Array]:
        """Return the changes of the free logits of all rows, (m n, r), and of W, (m, n, p).

        The last result, (m n,), is False for rows whose changing zeros were not found.
        """
        slopes, rho, sets = self._slopes, rows.held_out_residual, self._sets
        m, r, n = slopes.shape[:3]
        moved = np.einsum("mknp,mnk->mnp", slopes, rho.reshape(m, n, r))
        shifts = np.where(sets.is_active[:, None], moved, 0.0)
        has_zeros = (self._fit.training.problem.terms.l1 > 0.0).any()
        if not (has_zeros and finds_zeros(n, *self._shape)):
            return np.einsum("mkl,ml->mk", rows.leverage, rho), shifts, np.ones(m * n, dtype=bool)

        def slopes_of(which: Array) -> Array:
            return np.asarray(slopes[which // n, :, which % n].transpose(1, 0, 2))

        of_rows = shifts.reshape(m * n, -1)
        change, is_found = held_out_changes(sets, rows, moved, slopes_of, of_rows)
        return change, shifts, is_found
