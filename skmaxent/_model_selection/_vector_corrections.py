"""VectorCorrections: what more random vectors change in the scores of leave-one-out of a path."""

from __future__ import annotations

import numpy as np

from skmaxent._typing import Array

# The largest ratio by which a correction grows, and the least one.
MOST_RATIO, LEAST_RATIO = 2.0, 0.02


class VectorCorrections:
    """Corrections of scores whose leverages are estimated from random vectors.

    Random vectors have the same noise at all Cs. Their error is about proportional to the squared
    change of the logits by leaving out a row. At a rank with more vectors, the correction is what
    they changed. Between two such ranks, their corrections are interpolated linearly, each times
    the ratio of the mean squared changes. More than `MOST_RATIO` of it is not used, and a ratio
    below `LEAST_RATIO` counts as zero. The scores that have more vectors anyway are not corrected.
    """

    def __init__(self) -> None:
        self._known: dict[int, Array] = {}

    def __len__(self) -> int:
        """Return the number of ranks with a correction."""
        return len(self._known)

    def put(self, rank: int, steps: Array, found: Array) -> None:
        """Take the scores and standard errors (2,) at a rank with few and with more vectors."""
        with np.errstate(invalid="ignore"):
            self._known[rank] = steps - found

    def applied(self, steps: Array, has_more: Array, sizes: Array) -> tuple[Array, Array]:
        """Return the corrected scores and their standard errors, both (n_ranks,).

        Parameters
        ----------
        steps : ndarray of shape (2, n_ranks)
            The scores and their standard errors.
        has_more : ndarray of bool, shape (n_ranks,)
            The ranks that have more vectors.
        sizes : ndarray of shape (n_ranks,)
            The mean squared changes of the logits.
        """
        found, place = steps.copy(), np.arange(steps.shape[1])
        ranks = sorted(self._known)
        for at, share in zip(ranks, np.eye(len(ranks)), strict=True):
            share = np.interp(place, ranks, share, left=0.0, right=0.0)
            some, known = (share > 0.0) & ~has_more, sizes[at]
            ratio = np.minimum(sizes[some] / known, MOST_RATIO) if known > 0.0 else 1.0
            ratio = np.where(ratio < LEAST_RATIO, 0.0, ratio)
            with np.errstate(invalid="ignore"):
                found[:, some] -= share[some] * ratio * self._known[at][:, None]
        return found[0], np.maximum(found[1], 0.0)
