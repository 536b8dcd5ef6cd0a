"""The observations that are left out of a fit, and their held-out scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leverages import Leverages, RowLeverages
from skmaxent._model import _prediction
from skmaxent._typing import Array


@dataclass(frozen=True)
class Units:
    """The observations that are left out: rows, or the outcomes of rows that stand for several.

    Attributes
    ----------
    row, outcome : ndarray of int, shape (n_units,)
        The row, and the class of the observation that is left out, or -1 for that of the row.
    shares : ndarray of shape (n_units, n_classes)
        The share of each class in what is left out.
    count : ndarray of shape (n_units,)
        How many observations, or how much weight, it stands for.
    share_of_row : ndarray of shape (n_units,)
        Its share of the observations of its row.
    logits, change, hat : ndarray
        Held-out logits (n_units, n_logits), the range of their changes (n_units,), and the largest
        eigenvalue of A_i Λ_i (n_units,).
    left_out : ndarray of shape (n_units,)
        The weight that is left out, as the objective stores weights.
    effective_df : float
        Σ_i tr(A_i Λ_i), of whole rows.
    """

    row: Array
    outcome: Array
    shares: Array
    count: Array
    share_of_row: Array
    logits: Array
    change: Array
    hat: Array
    left_out: Array
    effective_df: float


def left_out_units(fit: FittedRows, leverages: Leverages, weights: str) -> Units:
    """Return what is left out, with the logits by one Newton step from the fit."""
    blocks, n = fit.rows_in_memory(), fit.training.blocks.n_samples
    K, R = len(fit.training.classes), blocks.n_logits
    count, shares = fit.counts, fit.class_shares
    by_outcome = weights == "frequency" and fit.has_whole_counts
    outcomes = np.arange(K) if by_outcome else np.array([-1])
    shape = n, len(outcomes)
    logits, change = np.empty((*shape, R)), np.empty(shape)
    hat, left_out = np.empty(shape), np.empty(shape)
    (df,) = leverages.map_reduce(_write_units, outcomes, logits, change, hat, left_out)
    row = np.repeat(np.arange(n), len(outcomes))
    if by_outcome:
        share_of_row = shares.ravel()
        counts, shares = count[row] * share_of_row, np.tile(np.eye(K), (n, 1))
    else:
        share_of_row, counts = np.ones(n), count
    return Units(
        row,
        np.tile(outcomes, n),
        shares,
        counts,
        share_of_row,
        logits.reshape(-1, R),
        change.ravel(),
        hat.ravel(),
        left_out.ravel(),
        float(df),
    )


def single_classes(units: Units, weights: str) -> Array:
    """Return which classes a fit without one observation would not have, (n_classes,)."""
    if weights == "frequency":
        return np.asarray(units.count @ units.shares <= 1.0)
    return np.asarray((units.count > 0.0).astype(float) @ (units.shares > 0.0) <= 1.0)


def _write_units(
    rows: RowLeverages,
    outcomes: Array,
    logits: Array,
    change: Array,
    hat: Array,
    left_out: Array,
) -> tuple[Array]:
    """Write held-out logits, their changes, and what tells how near they are.

    Returns the sum of tr(A_i Λ_i).
    """
    for at, outcome in enumerate(outcomes):
        of = rows if outcome < 0 else rows.with_outcome(int(outcome))
        held_out = of.held_out_logits
        moved = held_out - of.logits
        logits[rows.at, at] = held_out
        change[rows.at, at] = np.ptp(moved, axis=1) if moved.shape[1] > 1 else np.abs(moved[:, 0])
    hat[rows.at] = rows.largest_hat[:, None]
    left_out[rows.at] = rows.left_out[:, None]
    return (rows.trace.sum(),)


class HeldOutScores:
    """Log scores and hits of units, which change where exact fits replace approximations.

    `is_single` (n_units,) tells where the fit does not know the class of the observation.
    """

    def __init__(
        self, units: Units, weights: str, correction: Array | float, is_single: Array
    ) -> None:
        self._units, self._correction, self.is_single = units, correction, is_single
        self._is_frequency = weights == "frequency"
        self.log_proba = self._log_proba(units.logits)

    def _log_proba(self, logits: Array) -> Array:
        """Return the log-probabilities of all classes for logits (n_units, n_logits)."""
        return np.asarray(_prediction.log_softmax(logits + self._correction, 1))

    def replace(self, units: Array, logits: Array) -> None:
        """Take the log-probabilities of some units from these logits, (n, n_logits)."""
        self.log_proba[units] = self._log_proba(logits)

    @property
    def log_scores(self) -> Array:
        """The log-probabilities of what was observed, (n_units,)."""
        shares = self._units.shares
        scores = np.where(shares > 0.0, shares * self.log_proba, 0.0).sum(axis=1)
        return np.asarray(np.where(self.is_single, -np.inf, scores))

    @property
    def hits(self) -> Array:
        """The share of what was observed that is of the most probable class, (n_units,)."""
        top = self.log_proba.argmax(axis=1)
        return np.asarray(self._units.shares[np.arange(len(top)), top])

    def mean(self, scores: Array) -> float:
        """Return the mean over observations."""
        count = self._units.count
        return float(count @ scores / count.sum())

    def std_err(self, scores: Array) -> float:
        """Return the standard error of the mean.

        Observations that a frequency weight counts are independent; of sampling weights, rows are.
        """
        count = np.where(self.is_single, 0.0, self._units.count)
        scores = np.where(self.is_single, 0.0, scores)
        total = count.sum()
        squares = np.square(scores - count @ scores / total)
        if self._is_frequency:
            return float(np.sqrt(count @ squares / max(total - 1.0, 1.0) / total))
        n = np.count_nonzero(count)
        return float(np.sqrt(n / max(n - 1.0, 1.0) * (count**2 @ squares)) / total)
