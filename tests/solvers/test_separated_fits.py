"""Fits without penalty say that classes are separated where they are, and only there.

What is true is found by linear programs over all rows, and where these find nothing by a positive
combination of all pairs that vanishes, which proves overlap (Stiemke's theorem).
"""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier


def are_separated(X, T, fit_intercept=True, low=-1.0, high=1.0):
    """Whether the rows of T (targets) are separated by directions of such signs (n_classes, d)."""
    K = T.shape[1]
    X = np.column_stack([X, np.full(len(X), float(fit_intercept))])
    X = X / np.maximum(np.abs(X).max(axis=0), 1e-300)
    signs = [np.ones((K, X.shape[1])) * s for s in (-1.0, 1.0)]
    signs[0][:, :-1], signs[1][:, :-1] = low, high
    A = []
    for x, t in zip(X, T, strict=True):
        for c in np.flatnonzero(t):
            for k in range(K):
                row = np.zeros((K, X.shape[1]))
                row[c] += x
                row[k] -= x
                if k != c:
                    A.append(row.ravel())
    A = np.array(A)
    proof = linprog(np.zeros(len(A)), A_eq=A.T, b_eq=np.zeros(A.shape[1]), bounds=(1.0, None))
    if proof.status == 0:
        return False
    found = linprog(
        -A.sum(axis=0),
        A_ub=-A,
        b_ub=np.zeros(len(A)),
        bounds=np.column_stack([s.ravel() for s in signs]),
        options={"primal_feasibility_tolerance": 1e-10},
    )
    return -found.fun > 1e-7


def warned(fit):
    """Whether a fit says that classes are separated."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit()
    return any("separated" in str(warning.message) for warning in found)


def drawn(seed):
    """Small rows of one of four kinds with labels that depend on them more or less."""
    rng = np.random.default_rng(seed)
    n, d, K = rng.integers(8, 30), rng.integers(1, 4), rng.integers(2, 5)
    X = [
        rng.integers(0, 3, size=(n, d)).astype(float),
        rng.normal(size=(n, d)),
        rng.standard_cauchy(size=(n, d)).round(3),
        (rng.random((n, d)) < 0.15) * 1.0,
    ][seed % 4]
    Z = X @ rng.normal(size=(d, K)) * rng.choice([0.0, 0.5, 3.0])
    y = (Z + rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = np.arange(K)
    return rng, X, y, K


@pytest.mark.parametrize("seed", range(40))
def test_separation_is_said_where_linear_programs_find_it(seed):
    rng, X, y, K = drawn(seed)
    T, fit_intercept = np.eye(K)[y], bool(rng.random() < 0.8)
    if seed % 5 == 1:  # rows that several classes were observed at
        T[rng.integers(0, len(T), 2), rng.integers(0, K, 2)] += 2.0
    weights = np.where(rng.random(len(T)) < 0.2, 0.0, rng.uniform(0.1, 3.0, len(T)))
    weights[:K] = 1.0
    params = [{}, {"max_iter": 2}, {"tol": 3.0}, {"tol": 1e-10}, {"solver": "newton-cg"}][seed % 5]
    offset = 10.0 * rng.normal(size=(len(T), K)) if seed % 3 == 0 and K > 2 else None
    rows = sp.csr_array(X) if seed % 2 else X
    clf = MaxentClassifier(C=np.inf, fit_intercept=fit_intercept, **params)
    expected = are_separated(X[weights > 0], T[weights > 0], fit_intercept)
    y = T if seed % 5 == 1 else y
    assert warned(lambda: clf.fit(rows, y, weights, offset)) == expected
    assert np.isfinite(clf.coef_).all()
    if expected:
        assert clf.optimality_gap_ > 0.5


@pytest.mark.parametrize("seed", range(24))
def test_penalties_and_bounds_that_forbid_a_direction(seed):
    rng, X, y, K = drawn(seed + 100)
    d = X.shape[1]
    if seed % 2:
        free = rng.random(d) < 0.6
        low, high = np.where(free, -1.0, 0.0), np.where(free, 1.0, 0.0)
        l1_ratio = float(rng.choice([0.0, 1.0]))
        clf = MaxentClassifier(penalty_factor=np.where(free, 0.0, 1.0), l1_ratio=l1_ratio, C=10.0)
    else:
        at_least_zero = rng.random(d) < 0.6
        low, high = np.where(at_least_zero, 0.0, -1.0), np.ones(d)
        clf = MaxentClassifier(C=np.inf, bounds=(np.where(at_least_zero, 0.0, -np.inf), None))
    low, high = (np.broadcast_to(sign, (K, d)).copy() for sign in (low, high))
    if K == 2:  # the single logit is that of the second class
        low[0] = high[0] = 0.0
    assert warned(lambda: clf.fit(X, y)) == are_separated(X, np.eye(K)[y], low=low, high=high)


def test_heavy_tails_of_classes_that_overlap():
    rng = np.random.default_rng(3)
    x = np.exp(2 * rng.normal(size=1000))
    X = np.column_stack([x, x**2])
    y = (0.5 * x - 1 + rng.logistic(size=1000) > 0).astype(int)
    clf = MaxentClassifier(C=np.inf)
    assert not warned(lambda: clf.fit(X, y))
    assert clf.optimality_gap_ < 1e-6


def test_a_valley_of_heavy_tails_is_followed_to_its_end():
    rng = np.random.default_rng(36)
    X = rng.standard_cauchy(size=(500, 2))
    X = np.column_stack([X, X[:, 0] ** 3])
    Z = np.column_stack([np.zeros(500), 0.3 * np.tanh(X[:, 0]), -0.3 * np.tanh(X[:, 1])])
    y = (Z + rng.gumbel(size=(500, 3))).argmax(axis=1)
    clf = MaxentClassifier(C=np.inf)
    assert not warned(lambda: clf.fit(X, y))
    loss = -clf.predict_log_proba(X)[np.arange(500), y].mean()
    assert loss < 1.07995956  # the loss of these coefficients in 50 digits is 1.0799595500


def test_a_single_row_of_a_class_and_more_features_than_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = rng.integers(0, 2, 40)
    y[np.argmax(X[:, 0])] = 2  # at the edge: it is separated
    assert warned(lambda: MaxentClassifier(C=np.inf).fit(X, y))
    wide = rng.normal(size=(20, 60))
    assert warned(lambda: MaxentClassifier(C=np.inf).fit(wide, rng.integers(0, 3, 20)))
    # Smoothed labels leave no class without a share of each row.
    assert not warned(lambda: MaxentClassifier(C=np.inf, label_smoothing=0.1).fit(X, y))


def test_large_offsets_are_no_separation():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    offset = np.where(y == 1, 30.0, -30.0)
    assert not warned(lambda: MaxentClassifier(C=np.inf).fit(X, y, offset=offset))


def test_a_separated_row_whose_offset_makes_its_class_sure():
    X = np.zeros((15, 2))
    X[1, 1] = 1.0
    y = np.array([0, 1, 2, 2, 0, 2, 2, 1, 1, 2, 1, 2, 2, 0, 2])
    offset = np.zeros((15, 3))
    offset[1, 1] = 40.0
    clf = MaxentClassifier(C=np.inf, fit_intercept=False)
    assert warned(lambda: clf.fit(X[:, [1]], y, offset=offset))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rare_category_among_columns_far_from_zero(dtype):
    rng = np.random.default_rng(5)
    X = np.column_stack([2000 + rng.normal(size=300), np.arange(300) < 3]).astype(dtype)
    y = rng.integers(0, 3, 300)
    y[:3] = 1
    for rows in (X, sp.csr_array(X)):
        assert warned(lambda rows=rows: MaxentClassifier(C=np.inf).fit(rows, y))
    y[:2] = 0, 2
    for rows in (X, sp.csr_array(X)):
        assert not warned(lambda rows=rows: MaxentClassifier(C=np.inf).fit(rows, y))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["dense", "sparse", "weights"])
def test_labels_that_are_separated_are_named(seed, kind):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120, 4))
    noisy = X[:, 0] + rng.logistic(size=120) > 0
    every = np.column_stack([X[:, 0] > 0.2, X[:, 1] + X[:, 2] > 1.0, X[:, 3] > 1.5]).astype(int)
    some = np.column_stack([noisy, X[:, 1] > 0.5, ~noisy]).astype(int)
    rows = sp.csr_array(X) if kind == "sparse" else X
    weights = rng.uniform(0.5, 2.0, 120) if kind == "weights" else None
    for Y, names in ((every, "[0, 1, 2]"), (some, "[1]")):
        clf = MultilabelMaxentClassifier(C=np.inf)
        with pytest.warns(ConvergenceWarning, match="separated") as found:
            clf.fit(rows, Y, weights)
        assert any(names in str(warning.message) for warning in found)
        assert np.isfinite(clf.coef_).all()


def test_labels_of_a_softmax_that_are_separated():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 3))
    Y = np.eye(3, dtype=int)[X.argmax(axis=1)]
    clf = MultilabelMaxentClassifier(C=np.inf, link="softmax", threshold=0.5)
    with pytest.warns(ConvergenceWarning, match="separated"):
        clf.fit(X, Y)
    assert np.isfinite(clf.coef_).all()
