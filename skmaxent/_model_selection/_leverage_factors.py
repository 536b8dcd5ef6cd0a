"""LeverageFactors: the factors of a `ScaledInverse` along a path, estimated at few values of C."""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import PchipInterpolator

from skmaxent._typing import Array

# The largest ratio of the factors at two ranks between which factors are interpolated. The curve is
# then wrong by much less, and the error of a factor is about the relative error of the changes of
# logits.
MOST_RATIO = 1.02


class LeverageFactors:
    """Factors of the leverages at the ranks of a path.

    Factors change slowly with C. They are interpolated between the ranks at which random vectors
    have estimated them, in the logarithm of the strength.

    Parameters
    ----------
    strengths : ndarray of shape (n_ranks,)
        The strengths of the penalty, descending.
    """

    def __init__(self, strengths: Array) -> None:
        self._place = -np.log(strengths)
        self._known: dict[int, float] = {}

    def put(self, rank: int, factor: float | None) -> None:
        """Take the estimated factor at a rank; None stands for leverages without one."""
        if factor is not None:
            self._known[rank] = factor

    def at(self, rank: int) -> float | None:
        """Return the factor at a rank; None if it is not between known ones that are similar."""
        if rank in self._known:
            return self._known[rank]
        ranks = np.array(sorted(self._known), dtype=np.intp)
        high = int(np.searchsorted(ranks, rank))
        if not 0 < high < len(ranks):
            return None
        logarithms = np.log([self._known[at] for at in ranks])
        if abs(logarithms[high] - logarithms[high - 1]) > math.log(MOST_RATIO):
            return None
        curve = PchipInterpolator(self._place[ranks], logarithms)
        return math.exp(float(curve(self._place[rank])))
