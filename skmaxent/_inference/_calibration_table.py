"""Calibration of probabilities by class, and decompositions of the Brier and the log score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from scipy.special import xlogy

from skmaxent._inference._goodness_of_fit import Outcomes, weighted_quantiles
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("brier", "log")
STRATEGIES = ("quantile", "uniform")


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

    Intervals are those of Wilson (1927, JASA 22) for a share of n observations: the sum of the
    counts in the bin, or unless these `are_counts`, Kish's effective number of rows.

    Returns
    -------
    DataFrame
        A row for each class and bin: predicted, the mean probability, observed, lower, upper and
        n, the observations in the bin.
    """
    import pandas as pd

    _check_bins(n_bins, strategy)
    rows, index = [], []
    for k, label in enumerate(classes):
        p, hit = outcomes.probabilities[:, k], outcomes.shares[:, k]
        bins = bins_of(p, outcomes.counts, n_bins, strategy)
        for code in range(int(bins.max()) + 1):
            here = (bins == code) & (outcomes.counts > 0.0)
            w = outcomes.counts[here]
            total = float(w.sum())
            n = total if are_counts else total**2 / float(w @ w)
            share, known = float(w @ hit[here]) / total, float(w @ p[here]) / total
            lower, upper = wilson_interval(share, n, conf_level)
            rows.append((known, share, lower, upper, n))
            index.append((label, code))
    names = ["predicted", "observed", "lower", "upper", "n"]
    places = pd.MultiIndex.from_tuples(index, names=["class", "bin"])
    return pd.DataFrame(rows, index=places, columns=names)


def score_decomposition(
    outcomes: Outcomes, classes: list[Any], score: str, n_bins: int, strategy: str
) -> pd.DataFrame:
    """Return score = reliability - resolution + uncertainty, for each class and for all.

    With c the observed shares in the bin of a row and t those in all rows, the parts are
    differences of mean scores: reliability that of the probabilities less that of c, resolution
    that of t less that of c, uncertainty that of t. With probabilities that are equal in each bin
    they are Murphy's (1973, J. Appl. Meteorol. 12); the identity holds with others too (Siegert
    2017, Q. J. R. Meteorol. Soc. 143).

    A class has the scores of the event that it occurs. The Brier score of all classes is the sum of
    those; the log score of all has bins of the probability of the most probable class.
    """
    import pandas as pd

    if score not in SCORES:
        raise ValueError(f"score must be one of {list(SCORES)}, found {score!r}.")
    _check_bins(n_bins, strategy)
    some = outcomes.counts > 0.0
    P, T, w = outcomes.probabilities[some], outcomes.shares[some], outcomes.counts[some]
    rows = []
    for k in range(len(classes)):
        bins = bins_of(P[:, k], w, n_bins, strategy)
        event = np.column_stack([P[:, k], 1.0 - P[:, k]])
        happened = np.column_stack([T[:, k], 1.0 - T[:, k]])
        parts = _parts(event, happened, w, bins, score)
        # Both outcomes of an event have the same square: the Brier score of a class counts one.
        rows.append(0.5 * parts if score == "brier" else parts)
    if score == "brier":
        rows.append(np.sum(rows, axis=0))
    else:
        rows.append(_parts(P, T, w, _top_bins(P, w, n_bins, strategy), score))
    names = ["score", "reliability", "resolution", "uncertainty"]
    index = pd.Index([*classes, "all"], name="class", dtype=object)
    return pd.DataFrame(rows, index=index, columns=names)


def bins_of(p: Array, counts: Array, n_bins: int, strategy: str) -> Array:
    """Return the code of the bin of each probability, (n_samples,), without empty bins."""
    levels = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    edges = levels if strategy == "uniform" else np.unique(weighted_quantiles(p, counts, levels))
    codes = np.searchsorted(edges, p, side="left")
    used = np.unique(codes[counts > 0.0])
    return np.minimum(np.searchsorted(used, codes), len(used) - 1)


def wilson_interval(share: float, n: float, conf_level: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of n observations."""
    z = float(stats.norm.ppf(0.5 + 0.5 * conf_level))
    center = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    half = z * np.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n)) / (1.0 + z * z / n)
    # The ends are the share itself at 0 and 1, up to rounding.
    lower = 0.0 if share <= 0.0 else max(center - half, 0.0)
    return lower, 1.0 if share >= 1.0 else min(center + half, 1.0)


def _check_bins(n_bins: int, strategy: str) -> None:
    """Raise ValueError for other numbers of bins and strategies."""
    if isinstance(n_bins, bool) or not isinstance(n_bins, (int, np.integer)) or n_bins < 1:
        raise ValueError(f"n_bins must be a positive integer, found {n_bins!r}.")
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {list(STRATEGIES)}, found {strategy!r}.")


def _top_bins(P: Array, counts: Array, n_bins: int, strategy: str) -> Array:
    """Return bins of the probability of the most probable class, within each such class."""
    top, codes, count = P.argmax(axis=1), np.zeros(len(P), np.intp), 0
    for k in np.unique(top):
        here = top == k
        if not counts[here].any():
            continue
        bins = bins_of(P[here, k], counts[here], n_bins, strategy)
        codes[here] = count + bins
        count += int(bins.max()) + 1
    return codes


def _parts(P: Array, T: Array, w: Array, bins: Array, score: str) -> Array:
    """Return the mean score and its reliability, resolution and uncertainty, (4,)."""
    sums, sizes = np.zeros((int(bins.max()) + 1, P.shape[1])), np.bincount(bins, w)
    np.add.at(sums, bins, T * w[:, None])
    binned = (sums / np.where(sizes > 0.0, sizes, 1.0)[:, None])[bins]
    overall = np.broadcast_to(w @ T / w.sum(), P.shape)
    own, calibrated, base = (_mean_score(Q, T, w, score) for Q in (P, binned, overall))
    return np.array([own, own - calibrated, base - calibrated, base])


def _mean_score(Q: Array, T: Array, w: Array, score: str) -> float:
    """Return the weighted mean score of probabilities Q for shares T of the outcomes."""
    if score == "log":
        return float(-(w @ xlogy(T, np.where(T > 0.0, Q, 1.0)).sum(axis=1)) / w.sum())
    # Of a row with several outcomes the mean over these.
    squares = (Q**2).sum(axis=1) + (T * (1.0 - 2.0 * Q)).sum(axis=1)
    return float(w @ squares / w.sum())
