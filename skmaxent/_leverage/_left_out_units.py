"""The units that are left out of a fit one at a time, and their held-out scores.

A unit is a whole row, or one observation of a row that stands for several. A_i and Λ_i are the
matrices of row i in `Leverages`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._leverage._changing_zeros import ChangingZeros
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leverages import Leverages, RowLeverages
from skmaxent._model import _prediction
from skmaxent._typing import Array

# The largest product of the numbers of rows, of coefficients and of logits for which one step finds
# the coefficients that become zero or nonzero without a row. If there are few rows, only the
# coefficients count that may do so; see `ChangingZeros`. The step takes time for each row. What it
# changes is small against the standard error of a mean over more rows, unless there are few rows
# for each coefficient: with 300 rows and 453 coefficients, or 899 rows and 650, the error of the
# score would be 0.8 instead of 0.05 standard errors.
MOST_FOR_ZEROS, MOST_IF_FEW = 1 << 18, 1 << 24
# Rows are few if there are fewer than this number for each coefficient. With more rows, single
# coefficients that become nonzero from one C to the next change the score by much less than its
# standard error.
FEW_ROWS = 4


def has_few_rows(n: int, n_logits: int, n_columns: int) -> bool:
    """Return whether rows are few against coefficients; the arguments are as in `finds_zeros`."""
    return n < FEW_ROWS * n_logits * n_columns


def finds_zeros(n: int, n_logits: int, n_columns: int, n_nonzero: int | None = None) -> bool:
    """Return whether one step finds the coefficients that become zero or nonzero without a row.

    `n` is the number of rows, and `n_columns` includes the ones of the intercept. `n_nonzero` is
    the number of nonzero coefficients, if it is known: at most as many zeros may change.
    """
    size = n_columns * n_logits
    if not has_few_rows(n, n_logits, n_columns):
        return n * size * n_logits <= MOST_FOR_ZEROS
    if n_nonzero is not None:
        size = min(size, 2 * n_nonzero)
    return n * size * n_logits <= MOST_IF_FEW


def log_scores_of(log_proba: Array, shares: Array) -> Array:
    """Return Σ_k y_k log p_k of each row, (n,), for the observed shares y; larger is better."""
    return np.asarray(np.einsum("nk,nk->n", shares, np.where(shares > 0.0, log_proba, 0.0)))


@dataclass(frozen=True)
class Units:
    """The units that are left out one at a time.

    In a table of whole counts, each class of a row is a unit, because its observations are equal.

    Attributes
    ----------
    row : ndarray of int, shape (n_units,)
        The position of the row of each unit.
    outcome : ndarray of int, shape (n_units,)
        The class of the observation that is left out; -1 for the class or the shares of the row.
    shares : ndarray of shape (n_units, n_classes)
        The observed shares of the classes in each unit.
    count : ndarray of shape (n_units,)
        The number of equal observations that a unit stands for, or its weight.
    share_of_row : ndarray of shape (n_units,)
        The share of the observations of the row that a unit stands for.
    logits : ndarray of shape (n_units, n_logits)
        Held-out logits by one Newton step.
    change : ndarray of shape (n_units,)
        The range over the logits of held-out less fitted logits.
    largest_hat : ndarray of shape (n_units,)
        The largest eigenvalue of A_i Λ_i, or infinity if one step did not find the coefficients
        that become zero or nonzero.
    left_out : ndarray of shape (n_units,)
        The weight that is left out, as the objective stores weights.
    effective_df : float
        Σ_i tr(A_i Λ_i) over whole rows.
    shifts : ndarray of shape (n_units, p) or None
        The changes of the flat coefficients by one Newton step, if they are known.
    """

    row: Array
    outcome: Array
    shares: Array
    count: Array
    share_of_row: Array
    logits: Array
    change: Array
    largest_hat: Array
    left_out: Array
    effective_df: float
    shifts: Array | None = None


def left_out_units(fit: FittedRows, leverages: Leverages, weights: str) -> Units:
    """Return the units of the rows of a fit, with held-out logits by one Newton step."""
    blocks, n = fit.rows_in_memory(), fit.training.blocks.n_samples
    K, R = len(fit.training.classes), blocks.n_logits
    count, shares = fit.counts, fit.class_shares
    by_outcome = weights == "frequency" and fit.has_whole_counts
    outcomes = np.arange(K) if by_outcome else np.array([-1])
    shape = n, len(outcomes)
    logits, change = np.empty((*shape, R)), np.empty(shape)
    hat, left_out = np.empty(shape), np.empty(shape)
    zeros, theta = None, leverages.point.theta
    if finds_zeros(n, theta.shape[0], theta.shape[1], int(np.count_nonzero(theta))):
        zeros = ChangingZeros.of(leverages, fit.training.problem.terms)
    (df,) = leverages.map_reduce(_write_units, outcomes, zeros, logits, change, hat, left_out)
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
    """Return a mask of the classes with a single observation, or less, (n_classes,).

    The fit without this observation does not know the class.
    """
    if weights == "frequency":
        return np.asarray(units.count @ units.shares <= 1.0)
    return np.asarray((units.count > 0.0).astype(float) @ (units.shares > 0.0) <= 1.0)


def _write_units(
    rows: RowLeverages,
    outcomes: Array,
    zeros: ChangingZeros | None,
    logits: Array,
    change: Array,
    hat: Array,
    left_out: Array,
) -> tuple[Array]:
    """Write figures of the rows of a block to arrays of all rows and outcomes (a kernel).

    For each of `outcomes`, see `Units.outcome`, the entries are those of the attributes of `Units`
    with the same name; `hat` has those of `largest_hat`. The arrays have the shape
    (n_samples, n_outcomes), and `logits` a last axis of n_logits. The result is the sum of
    tr(A_i Λ_i) over the block.
    """
    hat[rows.at] = rows.largest_hat[:, None]
    for at, outcome in enumerate(outcomes):
        units = rows if outcome < 0 else rows.with_outcome(int(outcome))
        held_out = units.held_out_logits
        if zeros is not None:
            change_of_free, is_found = zeros.held_out_change(units)
            held_out = units.moved_logits(change_of_free)
            hat[rows.at, at] = np.where(is_found, hat[rows.at, at], np.inf)
        moved = held_out - units.logits
        logits[rows.at, at] = held_out
        change[rows.at, at] = np.ptp(moved, axis=1) if moved.shape[1] > 1 else np.abs(moved[:, 0])
    left_out[rows.at] = rows.left_out[:, None]
    return (rows.trace.sum(),)


class HeldOutScores:
    """Held-out log-probabilities, log scores and hits of units.

    Parameters
    ----------
    units : Units
        The units, whose logits are those of one Newton step. `replace` takes those of exact fits.
    weights : {"frequency", "probability"}
        What the weights of rows mean; see `FittedRows.leverages`.
    correction : ndarray of shape (n_logits,) or float
        The numbers that `prior_correction` adds to the logits.
    is_single : ndarray of bool, shape (n_units,)
        Which units are the only observation of a class. A fit without one does not know its class.

    Attributes
    ----------
    log_proba : ndarray of shape (n_units, n_classes)
        Held-out log-probabilities of all classes.
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

    def by_one_step(self, units: Array) -> Array:
        """Return the log-probabilities of units by one Newton step, (n, n_classes)."""
        return self._log_proba(self._units.logits[units])

    def replace(self, units: Array, logits: Array) -> None:
        """Replace the log-probabilities of the units at positions `units`, from their logits.

        `logits` has the shape (n, n_logits).
        """
        self.log_proba[units] = self._log_proba(logits)

    @property
    def log_scores(self) -> Array:
        """The held-out log-probability of the observed class, or mean over shares, (n_units,)."""
        scores = log_scores_of(self.log_proba, self._units.shares)
        return np.asarray(np.where(self.is_single, -np.inf, scores))

    @property
    def hits(self) -> Array:
        """The observed share of the class that is most probable when held out, (n_units,)."""
        top = self.log_proba.argmax(axis=1)
        return np.asarray(self._units.shares[np.arange(len(top)), top])

    def mean(self, scores: Array) -> float:
        """Return the mean of scores of units, (n_units,), over observations."""
        count = self._units.count
        return float(count @ scores / count.sum())

    def std_err(self, scores: Array) -> float:
        """Return the standard error of the mean of scores of units, (n_units,).

        With frequency weights, observations are independent. With sampling weights, rows are.
        """
        count = np.where(self.is_single, 0.0, self._units.count)
        scores = np.where(self.is_single, 0.0, scores)
        total = count.sum()
        squares = np.square(scores - count @ scores / total)
        if self._is_frequency:
            return float(np.sqrt(count @ squares / max(total - 1.0, 1.0) / total))
        n = np.count_nonzero(count)
        return float(np.sqrt(n / max(n - 1.0, 1.0) * (count**2 @ squares)) / total)
