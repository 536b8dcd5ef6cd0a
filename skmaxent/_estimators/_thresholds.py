"""Thresholds on probabilities for sets of labels."""

from __future__ import annotations

import numpy as np

from skmaxent._typing import Array


def best_threshold(P: Array, has: Array, weights: Array | None = None) -> float:
    """The threshold above which probabilities stand for a label that makes F1 largest.

    F1 is 2 TP/(predicted + actual), TP the true positives; the threshold lies in the middle between
    two probabilities, and is the highest one where several are best.

    Parameters
    ----------
    P : ndarray of shape (n,)
    has : ndarray of shape (n,)
        Whether the label is there.
    weights : ndarray of shape (n,), optional
    """
    weights = np.ones(len(P)) if weights is None else weights
    order = np.argsort(-P, kind="stable")
    p, w = P[order], weights[order]
    hits = np.cumsum(w * has[order])
    f1 = 2.0 * hits / (np.cumsum(w) + hits[-1])
    last = np.append(p[1:] < p[:-1], True)  # equal probabilities are on the same side
    best = int(np.argmax(np.where(last, f1, -1.0)))
    below = p[best + 1] if best + 1 < len(p) else 0.0
    return float(0.5 * (p[best] + below))


def label_sets(P: Array, thresholds: Array, *, allow_empty: bool) -> Array:
    """Labels above their thresholds, or the nearest one unless empty sets are allowed.

    Parameters
    ----------
    P : ndarray of shape (n, n_labels)
        Probabilities.
    thresholds : ndarray of shape (n_labels,)
    allow_empty : bool

    Returns
    -------
    ndarray of shape (n, n_labels)
        Of integers, 1 for the labels of each row.
    """
    sets = np.asarray(thresholds < P)
    if not allow_empty:
        empty = np.flatnonzero(~sets.any(axis=1))
        sets[empty, (P[empty] / thresholds).argmax(axis=1)] = True
    return sets.astype(int)
