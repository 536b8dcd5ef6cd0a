"""Whether labels or classes are separated, by linear programs, to compare with warnings of `fit`.

A label with its own logit is separated if some coefficients d without a penalty have d·x >= 0 for
the rows with the label and d·x <= 0 for the others, and not zero for all of them (Albert & Anderson
1984, Biometrika 71). Rows with a share of the label strictly between 0 and 1 need d·x = 0. Classes
whose logits are coupled are separated if, with coefficients for each class, no logit of a row is
above that of its class, and some is below it. The classes of which a row has shares need equal
logits.
"""

import numpy as np
from scipy.optimize import linprog

# Ratios of singular values of the columns between these two leave it open whether tolerances of the
# linear program hide a direction; smaller ones are zero. The least and the largest mean gain of a
# row decide.
CONDITION, DEPENDENT = 1e-5, 1e-13
LEAST_GAIN, NO_GAIN = 1e-6, 1e-10
# Most entries of the matrix of a linear program.
MOST_ENTRIES = 2_000_000


def is_separated(objective, k):
    """Whether label `k` of an objective of sigmoids is separated; None where that is open."""
    columns, limits = _columns(objective, k)
    if not columns.shape[1]:
        return False
    if not _is_resolved(columns):
        return None
    T = objective._T[:, k]
    is_sure = (T <= 0) | (T >= 1)
    ahead = np.where(T >= 1, 1.0, -1.0)[:, None] * columns
    return _has_gain(ahead[is_sure], columns[~is_sure], limits, len(T))


def are_separated(objective):
    """Whether the classes of an objective of softmax are separated; None where that is open."""
    (n, K), T = objective._T.shape, objective._T
    parts = [_columns(objective, k) for k in range(K)]
    widths = [columns.shape[1] for columns, _ in parts]
    if not max(widths):
        return False
    if n * (K - 1) * sum(widths) > MOST_ENTRIES or not all(_is_resolved(one) for one, _ in parts):
        return None
    starts = np.concatenate([[0], np.cumsum(widths)])
    logits = np.zeros((K, n, starts[-1]))
    for k, (columns, _) in enumerate(parts):
        logits[k, :, starts[k] : starts[k + 1]] = columns
    own = logits[T.argmax(axis=1), np.arange(n)]
    differences = own - logits
    others = np.ones((K, n), bool)
    others[T.argmax(axis=1), np.arange(n)] = False
    ahead, equal = differences[others & (T.T <= 0)], differences[others & (T.T > 0)]
    return _has_gain(ahead, equal, [limit for _, limits in parts for limit in limits], n)


def _columns(objective, k):
    """The columns (n, p) whose coefficients of logit k are free, and the limits of a direction."""
    is_free = (objective.l1[k] == 0) & (objective.ridge[k] == 0) & ~objective._idle[k]
    grows, falls = np.isinf(objective.upper[k]), np.isinf(objective.lower[k])
    is_free &= grows | falls
    limits = [(-1.0 * falls[j], 1.0 * grows[j]) for j in np.flatnonzero(is_free)]
    columns = objective._X[:, is_free]
    if objective.fit_intercept:
        columns = np.column_stack([columns, np.ones(len(columns))])
        limits.append((-1.0, 1.0))
    return columns, limits


def _is_resolved(columns):
    """Whether the columns have no combination that is tiny but not zero."""
    if not columns.size:
        return True
    ratios = np.linalg.svd(columns, compute_uv=False)
    ratios = ratios / ratios[0] if ratios[0] > 0 else ratios
    return bool(((ratios > CONDITION) | (ratios < DEPENDENT)).all())


def _has_gain(ahead, equal, limits, n):
    """Whether some d within limits has A d >= 0, not all zero, and E d = 0; None if that is open.

    `ahead` is A, `equal` is E, and `n` the number of rows.
    """
    if not len(ahead):
        return False
    found = linprog(
        -ahead.sum(axis=0),
        A_ub=-ahead,
        b_ub=np.zeros(len(ahead)),
        A_eq=equal if len(equal) else None,
        b_eq=np.zeros(len(equal)) if len(equal) else None,
        bounds=limits,
        method="highs",
    )
    if not found.success:
        return None
    gain = -found.fun / n
    return True if gain > LEAST_GAIN else False if gain < NO_GAIN else None
