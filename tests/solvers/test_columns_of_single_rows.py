"""L1 penalties on columns that are zero in all rows but one, with class weights of six decades.

If such a row loses its curvature, or gains it again, so does the column. The minimum of reference
is that of SciPy's L-BFGS-B and a Newton method of the tests, from coefficients of zero.
"""

import warnings

import numpy as np
import pytest
from fuzz.reference import Objective
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier

N, D, K, C = 8, 8, 3, 1e3


def rows(seed):
    """X with one entry of 1 in each column, codes y, the weight of each class, and offsets."""
    rng = np.random.default_rng(seed)
    y = np.arange(N) % K
    rng.shuffle(y)
    X = np.zeros((N, D))
    X[rng.integers(N, size=D), np.arange(D)] = 1.0
    weights = rng.permutation([1e3, 1.0, 1e-3])
    return X, y, weights, 3.0 * rng.normal(size=(N, K))


def with_a_column_of_numbers(seed):
    X, y, weights, offset = rows(seed)
    X[:, 0] = np.random.default_rng([seed, 1]).normal(size=N)
    return X, y, weights, offset


def excess(coef, intercept, X, y, weights, offset):
    """By how much the objective is above its minimum, relative to the minimum."""
    s = weights[y]
    objective = Objective(X, np.eye(K)[y], s, "softmax", l1=1.0 / C / s.sum(), offset=offset)
    best = objective.cold()
    return float(objective.value(coef, intercept) / best.value - 1.0)


@pytest.mark.parametrize(
    ("data", "seed"),
    [(rows, 145), (rows, 3)] + [(with_a_column_of_numbers, seed) for seed in (33, 145, 6, 7)],
)
def test_fits_end_at_the_minimum(data, seed):
    X, y, weights, offset = data(seed)
    clf = MaxentClassifier(C=C, l1_ratio=1.0, class_weight=dict(enumerate(weights)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf.fit(X, y, offset=offset)
    assert excess(clf.coef_, clf.intercept_, X, y, weights, offset) < 1e-6


@pytest.mark.parametrize("start", range(4))
def test_warm_starts_end_at_the_minimum(start):
    X, y, weights, offset = with_a_column_of_numbers(33)
    clf = MaxentClassifier(C=C, l1_ratio=1.0, class_weight=dict(enumerate(weights)))
    clf.set_params(warm_start=True, C=10.0 ** (start - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X, y, offset=offset)
    clf.set_params(C=C)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf.fit(X, y, offset=offset)
    assert excess(clf.coef_, clf.intercept_, X, y, weights, offset) < 1e-6
