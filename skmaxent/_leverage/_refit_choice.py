"""Choice of the observations that get an exact fit without them, and the error of the others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skmaxent._leverage._left_out_units import HeldOutScores, Units
from skmaxent._leverage._refits import Refits
from skmaxent._typing import Array

# A row whose largest eigenvalue of A_i Λ_i is above this is fitted without, not approximated.
NEARLY_SINGULAR = 0.95
# Share of the standard error of the mean log score that its approximation may be wrong by.
SCORE_TOLERANCE = 0.05
# The largest error of a log score relative to the square of the change of its logits, for penalties
# that are smooth and for others, whose nonzero coefficients change too. Fits to iris, wine and
# simulated data had 0.0003 to 0.12, and 0.003 to 0.14.
SMOOTH_ERROR, NONSMOOTH_ERROR = 0.15, 0.3
# Observations that are drawn to estimate the error, and the least number for an estimate. A share
# of them is drawn with equal probabilities: some errors are large where the change is small.
# Those that a sample would have more often than `CERTAIN` are fitted without in any case.
SAMPLE, LEAST_SAMPLE, EQUAL_SHARE, CERTAIN = 12, 8, 0.2, 2.0
# No more fits are made where all that are allowed would leave more than the tolerance, and more
# than this share of the error.
TOO_MUCH = 0.5


def replace_by_exact_fits(
    units: Units, scores: HeldOutScores, refits: Refits, max_refits: int | None, largest_ratio: float
) -> tuple[float, Array]:
    """Replace approximations by exact fits, those that are least exact first.

    The error of a log score by one Newton step is about proportional to the square of the change of
    its logits. The sum of all errors is estimated from exact fits for a sample of observations,
    which are drawn with probabilities that are proportional to these squares for the most part
    (Hansen & Hurwitz 1943, Ann. Math. Stat. 14, 333-362). Observations that would be expected in
    the sample more than once are fitted without in any case. Where the sum may be more than
    `SCORE_TOLERANCE` standard errors, exact fits are made for the largest changes, as many as the
    estimate says, and the sum of the other errors is estimated again. No sample is drawn where
    `largest_ratio` times the squares is small enough already.

    Returns
    -------
    error : float
        The error of the mean log score that is left, estimated on the high side.
    refitted : ndarray of int
        The positions of the units with exact fits.
    """
    fits = _RefitQueue(units, scores, refits, largest_ratio)
    limit = len(fits.order) if max_refits is None else min(max_refits, len(fits.order))
    return fits.fit_until_accurate(limit), fits.order[fits.is_done]


@dataclass
class _RefitQueue:
    """Units in the order of their changes, and which of them have exact fits.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        The positions of units that may be fitted, the least exact first.
    size : ndarray of shape (n,)
        The squared changes of logits, times the share of all observations.
    is_done : ndarray of bool, shape (n,)
        Which of them have exact fits.
    errors : ndarray of shape (n,)
        The errors of their terms of the mean log score.
    """

    units: Units
    scores: HeldOutScores
    refits: Refits
    largest_ratio: float
    order: Array = field(init=False)
    size: Array = field(init=False)
    is_done: Array = field(init=False)
    errors: Array = field(init=False)

    def __post_init__(self) -> None:
        units = self.units
        self.order, self._n_singular = _order_of_fits(units, self.scores.is_single)
        self._share = units.count[self.order] / units.count.sum()
        self.size = self._share * np.square(units.change[self.order])
        self.is_done, self.errors = np.zeros(len(self.order), bool), np.zeros(len(self.order))

    def fit_until_accurate(self, limit: int) -> float:
        """Make fits until the error is small enough, at most `limit`; return the error."""
        # What is left after so many fits.
        left = np.append(np.cumsum(self.size[::-1])[::-1], 0.0)
        first = min(self._n_singular, limit)
        self.fit(np.arange(first))
        generator = np.random.default_rng(0)
        while True:
            goal = SCORE_TOLERANCE * self.scores.std_err(self.scores.log_scores)
            error = self.largest_ratio * left[first]
            budget = limit - int(self.is_done.sum())
            if error <= goal or budget <= 0:
                return float(error)
            if budget < LEAST_SAMPLE:
                return float(self.largest_ratio * left[self._fit_more(first, len(left), budget)])
            sample = min(SAMPLE, budget)
            first = self._fit_more(first, self._end_of_certain(first, sample), budget - sample)
            error = self.largest_ratio * left[first]
            if error <= goal:
                return float(error)
            error = min(error, self._sampled_error(first, sample, generator))
            budget = limit - int(self.is_done.sum())
            # After so many fits the error is small enough, if it falls as the squares do.
            enough = int(np.argmax(left * error <= goal * left[first]))
            last = self._end_within_budget(first, enough, budget)
            if error <= goal or (last < enough and left[last] > TOO_MUCH * left[first]):
                return float(error)
            first = self._fit_more(first, enough, budget)

    def _end_within_budget(self, first: int, last: int, budget: int) -> int:
        """Return the end of the fits from `first` up to `last` that a budget allows."""
        cost = np.cumsum(~self.is_done[first:last])
        return first + int(np.searchsorted(cost, budget, side="right"))

    def _fit_more(self, first: int, last: int, budget: int) -> int:
        """Make the fits from `first` up to `last` that a budget allows, and return their end."""
        end = self._end_within_budget(first, last, budget)
        self.fit(np.arange(first, end))
        return end

    def _probabilities(self, first: int) -> Array:
        """Return the probabilities with which the units from `first` on are drawn."""
        size, share = self.size[first:], self._share[first:]
        return np.asarray(
            EQUAL_SHARE * share / share.sum() + (1.0 - EQUAL_SHARE) * size / size.sum()
        )

    def _end_of_certain(self, first: int, sample: int) -> int:
        """Return the end of the units from `first` on that are fitted without in any case."""
        while first < len(self.order) - sample and sample * self._probabilities(first)[0] > CERTAIN:
            first += 1
        return first

    def _sampled_error(self, first: int, sample: int, generator: np.random.Generator) -> float:
        """Return the error of the units from `first` on, estimated from exact fits for a sample."""
        probability = self._probabilities(first)
        drawn = generator.choice(len(probability), sample, p=probability / probability.sum())
        self.fit(first + np.unique(drawn))
        terms = self.errors[first + drawn] / probability[drawn]
        return float(abs(terms.mean()) + 2.0 * terms.std(ddof=1) / np.sqrt(sample))

    def fit(self, which: Array) -> None:
        """Make exact fits for some positions of `order` that have none."""
        which = which[~self.is_done[which]]
        if not len(which):
            return
        units, at = self.units, self.order[which]
        before = self.scores.log_scores[at]
        logits = self.refits.logits_without(units.row[at], units.left_out[at], units.outcome[at])
        self.scores.replace(at, logits)
        self.errors[which] = self._share[which] * (before - self.scores.log_scores[at])
        self.is_done[which] = True


def _order_of_fits(units: Units, is_single: Array) -> tuple[Array, int]:
    """Return the positions of the units that exact fits may replace, the least exact first.

    The first are those whose I - A_i Λ_i is nearly singular; the second result is their number.
    """
    may_be_fitted = (units.count > 0.0) & ~is_single
    singular = (units.largest_hat > NEARLY_SINGULAR) & may_be_fitted
    order = np.lexsort([-units.change, ~singular])
    return order[may_be_fitted[order]], int(singular.sum())
