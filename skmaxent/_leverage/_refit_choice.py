"""Choice of the units that are left out by an exact fit, and the error of the others.

A unit is a row or an observation that is left out; see `Units`. All other units are left out by one
Newton step, which is an approximation.
"""

from __future__ import annotations

import numpy as np

from skmaxent._leverage._left_out_units import HeldOutScores, Units
from skmaxent._typing import Array

# Units whose largest eigenvalue of A_i Λ_i is above this number always get an exact fit.
NEARLY_SINGULAR = 0.95
# The largest error of the mean log score, as a share of its standard error or of its distance below
# the best one.
SCORE_TOLERANCE = 0.05
# The largest error of a log score relative to the square of the change of its logits, for smooth
# and for nonsmooth penalties. The latter are larger because the set of nonzero coefficients may
# change. Fits to iris, wine and simulated data had 0.0003 to 0.12, and 0.003 to 0.14.
SMOOTH_ERROR, NONSMOOTH_ERROR = 0.15, 0.3
# The least number of units that get exact fits together. The next number is up to twice that of the
# fits so far.
LEAST_TOGETHER = 8
# Exact fits end after the first ones if all that are allowed would leave an error above the
# tolerance, and more than this share of the sum of squared changes.
MOST_LEFT = 0.5


class RefitChoice:
    """Chooses the units of a fit that are left out by exact fits, the least exact steps first.

    The error of a log score by one Newton step is at most about proportional to the square of the
    change c of its logits. With c below one it falls faster, about as c^2.5. Exact fits are made
    for the largest changes, a few at a time. The ratio of the errors of the last of them to these
    powers, plus twice its standard error, times the sum of the powers of the units without fits,
    estimates the error that is left. Fits end when it is below `tolerance` times the standard
    error of the mean log score, or times its distance below the best one if that is larger. No fits
    are made if `largest_ratio` times the sum of squares is small enough.

    Parameters
    ----------
    units : Units
    scores : HeldOutScores
        `put` replaces approximations in it by exact fits.
    max_refits : int or None
        The largest number of exact fits; None sets no limit.
    largest_ratio : float
        `SMOOTH_ERROR` or `NONSMOOTH_ERROR`.
    tolerance : float or None, default=None
        None stands for `SCORE_TOLERANCE`.
    """

    def __init__(
        self,
        units: Units,
        scores: HeldOutScores,
        max_refits: int | None,
        largest_ratio: float,
        tolerance: float | None = None,
    ) -> None:
        self._scores = scores
        self._tolerance = SCORE_TOLERANCE if tolerance is None else tolerance
        self._order, self._n_singular = order, _ = _order_of_fits(units, scores.is_single)
        self._limit = len(order) if max_refits is None else min(max_refits, len(order))
        share, change = units.count[order] / units.count.sum(), units.change[order]
        self._share, self._size = share, share * change**2 * np.sqrt(np.minimum(change, 1.0))
        self._squares, self._sizes = _sums_left(share * change**2), _sums_left(self._size)
        # The estimated error that is left after the first i fits, for each i.
        self._left, self._done = largest_ratio * self._squares, 0

    @property
    def error(self) -> float:
        """The remaining error of the mean log score, as if all errors had the same sign."""
        return float(self._left[self._done])

    @property
    def refitted(self) -> Array:
        """The positions of the units with exact fits."""
        return self._order[: self._done]

    def following(self, best: float) -> Array:
        """Return the positions of the units that get exact fits next; none if there are enough.

        `best` is the best mean log score of this fit and others with which it is compared.
        """
        scores, done, limit, squares = self._scores, self._done, self._limit, self._squares
        log_scores = scores.log_scores
        goal = max(scores.std_err(log_scores), best - scores.mean(log_scores)) * self._tolerance
        enough = int(np.argmax(self._left <= goal))
        if done and limit < enough and squares[limit] > MOST_LEFT * squares[0]:
            return self._order[:0]
        enough = max(enough, self._n_singular)
        if done >= min(enough, limit):
            return self._order[:0]
        end = max(min(enough, 2 * done + LEAST_TOGETHER), done + LEAST_TOGETHER)
        return self._order[done : min(end, limit)]

    def put(self, logits: Array) -> None:
        """Take the logits of the units that `following` returned, (n, n_logits), by exact fits."""
        done, end = self._done, self._done + len(logits)
        which = self._order[done:end]
        before = self._scores.log_scores[which]
        self._scores.replace(which, logits)
        errors = self._share[done:end] * (before - self._scores.log_scores[which])
        self._left = _largest_ratio(np.abs(errors), self._size[done:end]) * self._sizes
        self._done = end


def _sums_left(size: Array) -> Array:
    """Return the sums of `size` (n,) without its first i numbers, (n + 1,)."""
    return np.append(np.cumsum(size[::-1])[::-1], 0.0)


def _largest_ratio(errors: Array, size: Array) -> float:
    """Return the ratio of the sums of errors and of sizes, both (n,), plus two standard errors."""
    total = max(float(size.sum()), 1e-300)
    ratio = float(errors.sum()) / total
    return ratio + 2.0 * float(np.linalg.norm(errors - ratio * size)) / total


def _order_of_fits(units: Units, is_single: Array) -> tuple[Array, int]:
    """Return the positions of the units that may get exact fits, the least exact first, (n,).

    The units with a nearly singular I - A_i Λ_i come first. The second result is their number.
    Units without observations get no fits, nor do those of `is_single`, see `HeldOutScores`.
    """
    may_be_fitted = (units.count > 0.0) & ~is_single
    singular = (units.largest_hat > NEARLY_SINGULAR) & may_be_fitted
    order = np.lexsort([-units.change, ~singular])
    return order[may_be_fitted[order]], int(singular.sum())
