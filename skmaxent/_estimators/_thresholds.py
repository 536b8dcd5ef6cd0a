"""Thresholds on probabilities for sets of labels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import KFold, check_cv

from skmaxent._callbacks import Task, without_callbacks
from skmaxent._estimators._fit_steps import seed_of
from skmaxent._input._interchange import canonical, names_of_series, native
from skmaxent._input._numbers import as_floats
from skmaxent._input._validation import divided_by_largest
from skmaxent._sklearn import safe_indexing
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

# The number of folds by default.
N_FOLDS = 5


def check_threshold(threshold: Any, labels: Array) -> Array:
    """Return thresholds (n_labels,) for a number, one for each label, or a Series by label.

    Raises TypeError or ValueError for anything else, and for numbers that are not in (0, 1).
    """
    n_labels, names = len(labels), names_of_series(threshold)
    if names is not None:
        if sorted(map(str, names)) != sorted(map(str, labels)):
            raise ValueError(
                f"threshold is a Series with the index {names}; expected the labels "
                f"{labels.tolist()}, each once."
            )
        order = [list(map(str, names)).index(str(label)) for label in labels]
        threshold = threshold.to_numpy()[order]
    try:
        thresholds = as_floats(threshold)
    except (TypeError, ValueError) as error:
        raise TypeError(f"threshold must hold numbers, found {threshold!r}.") from error
    if thresholds.shape not in ((), (n_labels,)):
        raise ValueError(
            f"threshold has the shape {thresholds.shape}; expected a number, or one for each of "
            f"the {n_labels} labels."
        )
    if not ((thresholds > 0.0) & (thresholds < 1.0)).all():
        raise ValueError(f"threshold must be between 0 and 1, found {threshold!r}.")
    return np.broadcast_to(thresholds, (n_labels,)).copy()


def learned_thresholds(
    estimator: Any,
    kind: str,
    X: Any,
    Y: Any,
    weights: Array | None,
    task: Task | None,
    *,
    max_iter: int | None,
) -> Array:
    """Return the thresholds (n_labels,) with the largest F1 on rows left out in cross-validation.

    Parameters
    ----------
    estimator : MultilabelMaxentClassifier
    kind : {"f1_micro", "f1_macro"}
        One threshold for all labels, or one for each.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As the user gave it.
    Y : {ndarray, sparse matrix} of shape (n_samples, n_labels)
        The labels of each row.
    weights : ndarray of shape (n_samples,) or None
    task : Task or None
        The task of the fit, of which each fold is a subtask.
    max_iter : int or None
        The most iterations of each fold's fit; None stands for those of the estimator.

    Raises
    ------
    ValueError
        If there are fewer rows than folds.
    """
    Y = Y.toarray() if sp.issparse(Y) else Y
    X = canonical(X.tocsr()) if sp.issparse(X) else native(X, "X")
    folds: Any = KFold(N_FOLDS, shuffle=True, random_state=seed_of(estimator.random_state))
    if estimator.cv is not None:
        folds = check_cv(estimator.cv, Y)
    elif len(Y) < N_FOLDS:
        raise ValueError(
            f"learned thresholds need {N_FOLDS} rows or more, found {len(Y)}: give threshold a "
            "number, or cv."
        )
    model = without_callbacks(clone(estimator)).set_params(threshold=0.5, verbose=0)
    if max_iter is not None:
        model.set_params(max_iter=int(max_iter))
    P = _out_of_fold(model, folds, X, Y, weights, task)
    seen = ~np.isnan(P[:, 0])
    P, Y = P[seen], Y[seen]
    weights = None if weights is None else weights[seen]
    n_labels = Y.shape[1]
    if kind == "f1_micro":
        each = None if weights is None else np.repeat(weights, n_labels)
        found = [best_threshold(P.ravel(), Y.ravel(), each)] * n_labels
    else:
        found = [best_threshold(P[:, k], Y[:, k], weights) for k in range(n_labels)]
    return np.maximum(found, np.finfo(P.dtype).tiny)


def _out_of_fold(
    model: Any, folds: Any, X: Any, Y: Array, weights: Array | None, task: Task | None
) -> Array:
    """Return the probabilities of rows by fits without them, (n_samples, n_labels).

    Rows that are in no test part have NaN. The arguments are those of `learned_thresholds`, with a
    classifier `model` that is fitted for each of the `folds`.
    """
    P = np.full(Y.shape, np.nan)
    for train, test in folds.split(np.zeros(len(Y)), Y):
        part = None if weights is None else weights[train]
        rows, fold = safe_indexing(X, train), None
        if task is not None:
            fold = task.subtask("threshold-fold").with_rows(rows, Y[train], part).begin()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(rows, Y[train], part)
        P[test] = to_host(model.predict_proba(safe_indexing(X, test)))
        if fold is not None and fold.end():
            break
    return P


def best_threshold(P: Array, has: Array, weights: Array | None = None) -> float:
    """Return the threshold with the largest F1, if rows get a label above it.

    F1 is 2 TP/(predicted + actual), with TP the number of true positives. The threshold lies in the
    middle between two probabilities. It is the highest of several thresholds with the largest F1.
    Probabilities of zero are above no threshold.

    Parameters
    ----------
    P : ndarray of shape (n,)
        Probabilities of the label.
    has : ndarray of shape (n,)
        Whether the row has the label.
    weights : ndarray of shape (n,), optional
    """
    # The sum of the given weights could overflow.
    weights = np.ones(len(P)) if weights is None else divided_by_largest(weights)
    order = np.argsort(-P, kind="stable")
    p, w = P[order], weights[order]
    hits = np.cumsum(w * has[order])
    f1 = 2.0 * hits / (np.cumsum(w) + hits[-1])
    # No threshold separates equal probabilities, and none is below zero.
    last = np.append(p[1:] < p[:-1], True) & (p > 0.0)
    best = int(np.argmax(np.where(last, f1, -1.0)))
    below = p[best + 1] if best + 1 < len(p) else 0.0
    return float(0.5 * (p[best] + below))


def label_sets(P: Array, thresholds: Array, *, allow_empty: bool) -> Array:
    """Return the labels of each row with probabilities above their thresholds.

    Parameters
    ----------
    P : ndarray of shape (n, n_labels)
        Probabilities.
    thresholds : ndarray of shape (n_labels,)
    allow_empty : bool
        If False, a row without such a label gets the one with the largest ratio of probability to
        threshold.

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
