"""Calibration of probabilities by class, and decompositions of the Brier and the log score.

Conventions: P, (n_samples, n_classes), are probabilities, p, (n_samples,), those of one class. T
are the shares of the observations of each row that are of each class. w or `counts`, (n_samples,),
is the number of observations of each row, `bins`, (n_samples,), the code of its bin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from scipy.special import xlogy

from skmaxent._inference._goodness_of_fit import (
    Outcomes,
    weighted_quantiles,
    with_equal_ties,
)
from skmaxent._input._arguments import check_choice, check_count
from skmaxent._leverage._influence import sums_of_others
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("brier", "log")
STRATEGIES = ("quantile", "uniform")
# The largest number of bins, whose edges are an array.
MOST_BINS = 1_000_000


def calibration_table(
    outcomes: Outcomes,
    classes: list[Any],
    n_bins: int,
    strategy: str,
    conf_level: float,
    *,
    are_counts: bool,
) -> pd.DataFrame:
    """Return the observed share of each class in bins of its probability, with intervals.

    Bins have about equal numbers of observations ("quantile") or equal width ("uniform"). Intervals
    are those of Wilson (1927, JASA 22). `are_counts` is False if the counts of `outcomes` are
    sampling weights. The number of observations of a bin is then Kish's effective number.

    Returns
    -------
    DataFrame
        A row for each class and bin: predicted (the mean probability), observed (the share of the
        class), lower, upper and n (the number of observations, or Kish's effective number).
    """
    import pandas as pd

    _check_bins(n_bins, strategy)
    rows, index = [], []
    for k, label in enumerate(classes):
        p, t = outcomes.probabilities[:, k], outcomes.shares[:, k]
        bins = bins_of(p, outcomes.counts, n_bins, strategy)
        for code in range(int(bins.max()) + 1):
            here = (bins == code) & (outcomes.counts > 0.0)
            w = outcomes.counts[here]
            total = float(w.sum())
            n = total if are_counts else total**2 / float(w @ w)
            observed, predicted = float(w @ t[here]) / total, float(w @ p[here]) / total
            lower, upper = wilson_interval(observed, n, conf_level)
            rows.append((predicted, observed, lower, upper, n))
            index.append((label, code))
    names = ["predicted", "observed", "lower", "upper", "n"]
    places = pd.MultiIndex.from_tuples(index, names=["class", "bin"])
    return pd.DataFrame(rows, index=places, columns=names)


def score_decomposition(
    outcomes: Outcomes, classes: list[Any], score: str, n_bins: int, strategy: str
) -> pd.DataFrame:
    """Return the parts of score = reliability - resolution + uncertainty.

    The parts are computed from the mean scores S of three predictions for each row: its
    probabilities p, the observed shares c of the classes in its bin, and the observed shares m in
    all rows. Reliability is S(p) - S(c), resolution S(m) - S(c), and uncertainty S(m). If all
    probabilities in a bin are equal, these are the parts of Murphy (1973, J. Appl. Meteorol. 12).
    The identity holds for other probabilities too (Siegert 2017, Q. J. R. Meteorol. Soc. 143).

    The table has the columns score, reliability, resolution and uncertainty. The row of a class is
    about the event that this class occurs, with bins of its probability. The row "all" is about all
    classes. For the Brier score it is the sum of the rows of the classes. For the log score, the
    observations are grouped by their most probable class, and each group is divided into bins of
    the probability of this class.
    """
    import pandas as pd

    check_choice("score", score, SCORES)
    _check_bins(n_bins, strategy)
    counted = outcomes.counts > 0.0
    P, T, w = outcomes.probabilities[counted], outcomes.shares[counted], outcomes.counts[counted]
    rows, others = [], sums_of_others(P)
    for k in range(len(classes)):
        bins = bins_of(P[:, k], w, n_bins, strategy)
        event = np.column_stack([P[:, k], others[:, k]])
        happened = np.column_stack([T[:, k], 1.0 - T[:, k]])
        parts = _parts(event, happened, w, bins, score)
        # The squares for "occurs" and "does not occur" are equal, and the Brier score of a class
        # has only the first.
        rows.append(0.5 * parts if score == "brier" else parts)
    if score == "brier":
        rows.append(np.sum(rows, axis=0))
    else:
        rows.append(_parts(P, T, w, _top_bins(P, w, n_bins, strategy), score))
    names = ["score", "reliability", "resolution", "uncertainty"]
    index = pd.Index([*classes, "all"], name="class", dtype=object)
    return pd.DataFrame(rows, index=index, columns=names)


def bins_of(p: Array, counts: Array, n_bins: int, strategy: str) -> Array:
    """Return the code of the bin of each probability, (n_samples,).

    A bin without observations is joined with the next bin that has some, or with the last such bin
    if there is no next one. The codes 0, 1, ... are therefore all in use.
    """
    p, levels = with_equal_ties(p), np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    edges = levels if strategy == "uniform" else np.unique(weighted_quantiles(p, counts, levels))
    codes = np.searchsorted(edges, p, side="left")
    used = np.unique(codes[counts > 0.0])
    return np.minimum(np.searchsorted(used, codes), len(used) - 1)


def wilson_interval(share: float, n: float, conf_level: float) -> tuple[float, float]:
    """Return the ends of Wilson's confidence interval for a share of n observations."""
    z = float(stats.norm.ppf(0.5 + 0.5 * float(conf_level)))
    center = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    half = z * np.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n)) / (1.0 + z * z / n)
    # For shares of 0 and 1 one end equals the share; rounding would move it.
    lower = 0.0 if share <= 0.0 else max(center - half, 0.0)
    return lower, 1.0 if share >= 1.0 else min(center + half, 1.0)


def _check_bins(n_bins: int, strategy: str) -> None:
    """Raise ValueError if the number of bins is not positive or the strategy is unknown."""
    check_count("n_bins", n_bins, 1, MOST_BINS)
    check_choice("strategy", strategy, STRATEGIES)


def _top_bins(P: Array, counts: Array, n_bins: int, strategy: str) -> Array:
    """Return the code of a bin for each row, (n_samples,).

    Rows in a bin have the same most probable class, and similar probabilities of this class.
    """
    top, codes, n_used = P.argmax(axis=1), np.zeros(len(P), np.intp), 0
    for k in np.unique(top):
        here = top == k
        if not counts[here].any():
            continue
        bins = bins_of(P[here, k], counts[here], n_bins, strategy)
        codes[here] = n_used + bins
        n_used += int(bins.max()) + 1
    return codes


def _parts(P: Array, T: Array, w: Array, bins: Array, score: str) -> Array:
    """Return the mean score and its reliability, resolution and uncertainty, (4,)."""
    sums, sizes = np.zeros((int(bins.max()) + 1, P.shape[1])), np.bincount(bins, w)
    np.add.at(sums, bins, T * w[:, None])
    in_bin = (sums / np.where(sizes > 0.0, sizes, 1.0)[:, None])[bins]
    in_all = np.broadcast_to(w @ T / w.sum(), P.shape)
    of_model, calibrated, base = (_mean_score(Q, T, w, score) for Q in (P, in_bin, in_all))
    return np.array([of_model, of_model - calibrated, base - calibrated, base])


def _mean_score(Q: Array, T: Array, w: Array, score: str) -> float:
    """Return the weighted mean score of predictions Q, (n_samples, n_classes).

    The score of a row with several observations is the mean over its observations.
    """
    if score == "log":
        return float(-(w @ xlogy(T, np.where(T > 0.0, Q, 1.0)).sum(axis=1)) / w.sum())
    # Σ_k (Q_k - e_k)², averaged over the indicators e of the observations, whose mean is T.
    squares = (Q**2).sum(axis=1) + (T * (1.0 - 2.0 * Q)).sum(axis=1)
    return float(w @ squares / w.sum())
