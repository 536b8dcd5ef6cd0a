"""Leave-one-out: what a fit without an observation says about it, without as many fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._input._frames import class_index
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._inverse_hessian import is_free
from skmaxent._leverage._leverages import Leverages, RowLeverages
from skmaxent._leverage._refits import Refits
from skmaxent._model import _prediction
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

if TYPE_CHECKING:
    import pandas as pd

# A row whose largest eigenvalue of A_i Λ_i is above this is fitted without, not approximated.
NEARLY_SINGULAR = 0.95
# Share of the standard error of the mean log score that its approximation may be wrong by.
SCORE_TOLERANCE = 0.05
# The error of a log score relative to the square of the change of its logits, before any refit: for
# penalties that are smooth and for others, whose nonzero coefficients change too. Fits to iris,
# wine and simulated data had 0.0003 to 0.12, and 0.003 to 0.14.
SMOOTH_ERROR, NONSMOOTH_ERROR = 0.15, 0.3
# After refits the error is that of so many of the last. It falls with the changes: where it would
# have to fall by more than this factor to be small enough at the last fit that is allowed, no more
# fits are made.
RECENT, FALL = 20, 10.0
# Refits between two looks at the error of the score.
BATCH = 10


@dataclass(frozen=True)
class LeaveOneOutScores:
    """Held-out probabilities of each row of a fit, and the scores they give.

    It is made by `InferenceResults.loo` and `skmaxent.leave_one_out`.

    Attributes
    ----------
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities of the classes of each row, in the fit without it. For a table of whole
        counts with ``weights="frequency"``, entry k is the log-probability of class k in the fit
        without one observation of class k of that row.
    log_score : float
        The mean over observations of the held-out log-probability of the observed class; larger is
        better.
    log_score_std_err : float
        Its standard error.
    accuracy, accuracy_std_err : float
        The share of observations whose held-out most probable class is the observed one, and its
        standard error.
    effective_df : float
        Effective degrees of freedom, Σ_i tr(A_i Λ_i); without a penalty, the number of free
        coefficients.
    aic : float
        -2 log L + 2 `effective_df`, with the likelihood L at the coefficients. NaN with
        ``weights="probability"``: sampling weights have no scale, so that there is no likelihood.
    n_refits : int
        How many exact fits replaced approximations.
    approximation_error : float
        An estimate of how far `log_score` is from that of exact fits for all rows, from the errors
        at the rows that were fitted without; 0 where all of them were.
    monte_carlo_error : float
        The standard error of `log_score` from random vectors, for models with more than 3,000 free
        coefficients; 0 for others.
    classes : list
        Labels of the columns of `log_proba`.
    refitted : ndarray of int
        Positions of the rows with exact fits.
    separated : ndarray of int
        Positions of those without which the classes are separated, so that the held-out
        probabilities of a fit without penalty have no limit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, leave_one_out
    >>> X, y = load_iris(return_X_y=True)
    >>> scores = leave_one_out(MaxentClassifier(C=1.0).fit(X, y), X, y)
    >>> scores.to_frame().loc[0].round(3).tolist()
    [0.981, 0.019, 0.0]
    """

    log_proba: Array = field(repr=False)
    log_score: float
    log_score_std_err: float
    accuracy: float
    accuracy_std_err: float
    effective_df: float
    aic: float
    n_refits: int
    approximation_error: float
    monte_carlo_error: float
    classes: list[Any] = field(repr=False)
    refitted: Array = field(repr=False)
    separated: Array = field(repr=False)
    _index: Any = field(default=None, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the held-out probabilities, a row for each row of the data and a column a class.

        The index is that of the data frame that the model was fitted to.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        columns = class_index(np.asarray(self.classes))
        return pd.DataFrame(np.exp(self.log_proba), index=self._index, columns=columns)


@dataclass(frozen=True)
class _Units:
    """The observations that are left out: rows, or the outcomes of rows that stand for several.

    Attributes
    ----------
    row, outcome : ndarray of int, shape (n_units,)
        The row, and the class of the observation that is left out, or -1 for that of the row.
    shares : ndarray of shape (n_units, n_classes)
        The share of each class in what is left out.
    count : ndarray of shape (n_units,)
        How many observations, or how much weight, it stands for.
    of_row : ndarray of shape (n_units,)
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
    of_row: Array
    logits: Array
    change: Array
    hat: Array
    left_out: Array
    effective_df: float


def leave_one_out(
    fit: FittedRows, *, weights: str, max_refits: int | None, index: Any = None
) -> LeaveOneOutScores:
    """Return held-out log-probabilities and scores of the rows of a fit.

    Parameters
    ----------
    fit : FittedRows
        A fit to rows in memory.
    weights : {"frequency", "probability"}
        Whether one observation is left out, or the whole row.
    max_refits : int or None
        Most exact fits; None makes as many as the score needs.
    index : pandas.Index, default=None
        The names of the rows.
    """
    held = held_out(fit, weights=weights, max_refits=max_refits)
    units, scores, refits = held.units, held.scores, held.refits
    training, leverages = fit.training, held.leverages
    df = units.effective_df
    log_score, monte_carlo_error = _jackknife(fit, weights, held)
    total = training.total_weight
    n_classes = units.shares.shape[1]
    log_proba = scores.log_proba
    if (units.outcome >= 0).any():
        by_outcome = log_proba[np.arange(len(log_proba)), units.outcome]
        log_proba = by_outcome.reshape(-1, n_classes)
    return LeaveOneOutScores(
        log_proba=log_proba,
        log_score=log_score,
        log_score_std_err=scores.error(scores.log_scores),
        accuracy=scores.mean(scores.hits),
        accuracy_std_err=scores.error(scores.hits),
        effective_df=df,
        aic=2.0 * (total * leverages.point.loss + df) if weights == "frequency" else np.nan,
        n_refits=refits.n_fits,
        approximation_error=held.error,
        monte_carlo_error=monte_carlo_error,
        classes=training.classes.tolist(),
        refitted=np.unique(np.asarray(refits.rows, dtype=np.intp)),
        separated=np.unique(np.asarray(refits.separated, dtype=np.intp)),
        _index=index,
    )


@dataclass(frozen=True)
class HeldOut:
    """Held-out scores of the rows of a fit, and what they were computed from.

    `error` is that of the mean log score; see `LeaveOneOutScores`. `refitted` are the positions of
    units with exact fits.
    """

    leverages: Leverages
    units: _Units
    scores: _Scores
    refits: Refits
    error: float
    refitted: Array

    @property
    def log_scores_of_rows(self) -> Array:
        """The mean log score of the observations of each row, (n_samples,)."""
        units = self.units
        n = int(units.row[-1]) + 1
        total, sums = np.zeros(n), np.zeros(n)
        share = units.of_row
        scores = np.where(share > 0.0, self.scores.log_scores, 0.0)
        np.add.at(total, units.row, share)
        np.add.at(sums, units.row, share * scores)
        return np.asarray(sums / np.where(total > 0.0, total, 1.0))


def held_out(
    fit: FittedRows, *, weights: str, max_refits: int | None, refuse_rare: bool = True
) -> HeldOut:
    """Return held-out scores by one Newton step, or by exact fits where that is not enough.

    Parameters
    ----------
    fit, weights, max_refits : object
        As in `leave_one_out`.
    refuse_rare : bool, default=True
        Whether to raise ValueError where a class has a single observation. Its log score is minus
        infinity otherwise: the fit without it does not know the class.
    """
    check_max_refits(max_refits)
    fit.rows_in_memory()
    problem = fit.training.problem
    leverages = fit.leverages(weights)
    units = _units(fit, leverages, weights)
    rare = _rare_classes(units, weights)
    if rare.any() and refuse_rare:
        raise ValueError(
            f"the classes {fit.training.classes[rare].tolist()} have a single observation: a fit "
            "without it does not know them. Leave-one-out needs two observations of every class."
        )
    is_lost = np.asarray((units.shares[:, rare] > 0.0).any(axis=1))
    refits = Refits(problem, fit.theta)
    scores = _Scores(units, weights, fit.correction, is_lost)
    typical = SMOOTH_ERROR if is_free(problem.terms) else NONSMOOTH_ERROR
    error, refitted = _replaced(units, scores, refits, max_refits, typical)
    if refits.separated:
        warn_user(
            f"the classes are separated without one of {len(refits.separated)} rows: no finite "
            "coefficients are optimal there, and their held-out probabilities are those of a fit "
            "that was stopped. Use a finite C."
        )
    return HeldOut(leverages, units, scores, refits, error, refitted)


def _jackknife(fit: FittedRows, weights: str, held: HeldOut) -> tuple[float, float]:
    """Return the mean log score and its Monte-Carlo error, 0 where leverages are exact.

    The jackknife over groups of random vectors removes the bias of the order of one over their
    number (Quenouille 1956, Biometrika 43, 353-360).
    """
    scores = held.scores
    log_score = scores.mean(scores.log_scores)
    replicates = held.leverages.replicates()
    if not replicates:
        return log_score, 0.0
    means = []
    for leverages in replicates:
        units = _units(fit, leverages, weights)
        other = _Scores(units, weights, fit.correction, scores.is_lost)
        # Exact fits do not depend on the vectors.
        other.log_proba[held.refitted] = scores.log_proba[held.refitted]
        means.append(other.mean(other.log_scores))
    n, mean = len(means), float(np.mean(means))
    error = np.sqrt((n - 1.0) / n * np.sum(np.square(np.asarray(means) - mean)))
    return n * log_score - (n - 1.0) * mean, float(error)


def check_max_refits(max_refits: Any) -> None:
    """Raise ValueError for a number of refits that is none."""
    if max_refits is not None and not (isinstance(max_refits, Integral) and int(max_refits) >= 0):
        raise ValueError(
            f"max_refits must be None or an integer of at least 0, found {max_refits!r}."
        )


def _units(fit: FittedRows, leverages: Leverages, weights: str) -> _Units:
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
        of_row = shares.ravel()
        counts, shares = count[row] * of_row, np.tile(np.eye(K), (n, 1))
    else:
        of_row, counts = np.ones(n), count
    return _Units(
        row,
        np.tile(outcomes, n),
        shares,
        counts,
        of_row,
        logits.reshape(-1, R),
        change.ravel(),
        hat.ravel(),
        left_out.ravel(),
        float(df),
    )


def _rare_classes(units: _Units, weights: str) -> Array:
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


class _Scores:
    """Log scores and hits of units, which change where exact fits replace approximations.

    `is_lost` (n_units,) tells where the fit does not know the class of the observation.
    """

    def __init__(
        self, units: _Units, weights: str, correction: Array | float, is_lost: Array
    ) -> None:
        self._units, self._correction, self.is_lost = units, correction, is_lost
        self._is_frequency = weights == "frequency"
        self.log_proba = self._log_proba(units.logits)

    def _log_proba(self, logits: Array) -> Array:
        """Return the log-probabilities of all classes for logits (n_units, n_logits)."""
        return np.asarray(_prediction.log_softmax(logits + self._correction, 1))

    def replace(self, unit: int, logits: Array) -> None:
        """Take the log-probabilities of a unit from these logits, (n_logits,)."""
        self.log_proba[unit] = self._log_proba(logits[None])[0]

    @property
    def log_scores(self) -> Array:
        """The log-probabilities of what was observed, (n_units,)."""
        shares = self._units.shares
        scores = np.where(shares > 0.0, shares * self.log_proba, 0.0).sum(axis=1)
        return np.asarray(np.where(self.is_lost, -np.inf, scores))

    @property
    def hits(self) -> Array:
        """The share of what was observed that is of the most probable class, (n_units,)."""
        top = self.log_proba.argmax(axis=1)
        return np.asarray(self._units.shares[np.arange(len(top)), top])

    def mean(self, scores: Array) -> float:
        """Return the mean over observations."""
        count = self._units.count
        return float(count @ scores / count.sum())

    def error(self, scores: Array) -> float:
        """Return the standard error of the mean.

        Observations that a frequency weight counts are independent; of sampling weights, rows are.
        """
        count = np.where(self.is_lost, 0.0, self._units.count)
        scores = np.where(self.is_lost, 0.0, scores)
        total = count.sum()
        squares = np.square(scores - count @ scores / total)
        if self._is_frequency:
            return float(np.sqrt(count @ squares / max(total - 1.0, 1.0) / total))
        n = np.count_nonzero(count)
        return float(np.sqrt(n / max(n - 1.0, 1.0) * (count**2 @ squares)) / total)


def _replaced(
    units: _Units, scores: _Scores, refits: Refits, max_refits: int | None, typical: float
) -> tuple[float, Array]:
    """Replace approximations by exact fits, those that are least exact first.

    The error of a log score by one Newton step grows with the square of the change of its logits,
    so that the latest errors tell those of the smaller changes that are left. Refits end where
    these sum to less than `SCORE_TOLERANCE` standard errors, or where the fits that are allowed
    would not lead there. Before any refit, errors are `typical` times the squares.

    Returns
    -------
    error : float
        The error of the mean log score that is left, estimated on the high side.
    refitted : ndarray of int
        The positions of the units with exact fits.
    """
    order, n_singular = _order_of_fits(units, scores.is_lost)
    size = units.count[order] * np.square(units.change[order])
    # What is left after so many fits.
    left = np.append(np.cumsum(size[::-1])[::-1], 0.0) / units.count.sum()
    limit = len(order) if max_refits is None else min(max_refits, len(order))
    errors = np.zeros(len(order))
    done = 0
    while True:
        last = slice(max(n_singular, done - RECENT), done)
        ratio = _error_ratio(errors[last], size[last], typical)
        goal = SCORE_TOLERANCE * scores.error(scores.log_scores)
        is_enough = ratio * left[done] <= goal
        is_hopeless = done >= n_singular + RECENT and ratio * left[limit] > FALL * goal
        if done >= limit or (done >= n_singular and (is_enough or is_hopeless)):
            return float(ratio * left[done]), order[:done]
        end = min(done + BATCH, limit)
        for number in range(done, end):
            unit = int(order[number])
            before = scores.log_scores[unit]
            outcome = int(units.outcome[unit])
            logits = refits.logits_without(
                int(units.row[unit]),
                float(units.left_out[unit]),
                None if outcome < 0 else outcome,
            )
            scores.replace(unit, logits)
            errors[number] = units.count[unit] * (before - scores.log_scores[unit])
        done = end


def _order_of_fits(units: _Units, is_lost: Array) -> tuple[Array, int]:
    """Return the positions of the units that exact fits may replace, the least exact first.

    The first are those whose I - A_i Λ_i is nearly singular; the second result is their number.
    """
    may_be_fitted = (units.count > 0.0) & ~is_lost
    singular = (units.hat > NEARLY_SINGULAR) & may_be_fitted
    order = np.lexsort([-units.change, ~singular])
    return order[may_be_fitted[order]], int(singular.sum())


def _error_ratio(errors: Array, sizes: Array, typical: float) -> float:
    """Return errors relative to squared changes: of the latest refits, or what is typical."""
    if len(errors) < BATCH or not sizes.sum() > 0.0:
        return typical
    return float((abs(errors.sum()) + 2.0 * np.sqrt(errors @ errors)) / sizes.sum())
