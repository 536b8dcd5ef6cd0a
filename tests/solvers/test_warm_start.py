"""A warm start changes where a fit begins, never where it ends or what it says of itself."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression

from skmaxent import MaxentClassifier, maxent_path

X, Y = load_iris(return_X_y=True)
Y = np.where(np.random.default_rng(0).random(len(Y)) < 0.15, (Y + 1) % 3, Y)
N = len(Y)
WEIGHTS = np.random.default_rng(1).uniform(0.0, 3.0, N) * (np.arange(N) % 5 > 0)
OFFSET = np.random.default_rng(2).normal(size=(N, 3))
STORED = {
    "dense": np.asarray,
    "Fortran": np.asfortranarray,
    "CSR": sp.csr_array,
    "float32": lambda X: X.astype(np.float32),
}
PENALTIES = {
    "none": {"C": np.inf},
    "ridge": {"C": 0.3},
    "lasso": {"C": 0.7, "l1_ratio": 1.0},
    "elastic net": {"C": 0.5, "l1_ratio": 0.4},
    "groups": {"C": 0.5, "l1_ratio": 1.0, "grouped": True},
    "bounds": {"C": 2.0, "bounds": (-0.4, 0.6)},
    "prior": {"C": 0.2, "prior_coef": np.outer([1.0, -2.0, 1.0], [0.1, 0.2, 0.3, 0.4])},
    "factors": {"C": 0.5, "penalty_factor": [0.0, 1.0, 4.0, 1.0]},
    "factors per class": {"C": 0.5, "penalty_factor": np.arange(1.0, 13.0).reshape(3, 4)},
}
# Fits that came before, none of which has the problem of the second.
BEFORE = {
    "the same": ({}, {}),
    "another C": ({"C": 1e-3}, {}),
    "no penalty": ({"C": np.inf, "l1_ratio": 0.0, "prior_coef": None, "grouped": False}, {}),
    "a lasso": ({"C": 3.0, "l1_ratio": 1.0, "prior_coef": None}, {}),
    "class weights": ({"class_weight": {0: 5.0, 1: 0.2, 2: 1.0}}, {}),
    "an offset": ({}, {"offset": OFFSET}),
    "no intercept": ({"fit_intercept": False}, {}),
    "weights": ({}, {"sample_weight": np.arange(1.0, N + 1.0)}),
    "shares of a population": ({"prior_correction": [0.7, 0.2, 0.1]}, {}),
}


def compare(clf, before, options, stored, rows, tolerance=2e-6):
    """The fit of `options` after another equals that of a new classifier, gap included."""
    parameters, other_rows = before
    clf.set_params(warm_start=True, **(options | parameters)).fit(stored, Y, **other_rows)
    defaults = MaxentClassifier().get_params()
    back = {name: options.get(name, defaults[name]) for name in parameters}
    clf.set_params(**back).fit(stored, Y, **rows)
    cold = MaxentClassifier(**(clf.get_params() | {"warm_start": False})).fit(stored, Y, **rows)
    np.testing.assert_allclose(clf.coef_, cold.coef_, atol=tolerance)
    np.testing.assert_allclose(clf.intercept_, cold.intercept_, atol=10 * tolerance)
    return clf, cold


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_fit_before_leaves_no_trace(penalty, before):
    options = {"tol": 1e-8} | PENALTIES[penalty]
    warm, cold = compare(MaxentClassifier(), BEFORE[before], options, X, {})
    assert warm.optimality_gap_ < 1e-6
    assert abs(warm.optimality_gap_ - cold.optimality_gap_) < 1e-6


@pytest.mark.parametrize("solver", ["auto", "newton-cg", "newton-cholesky", "lbfgs"])
@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("rows", [{}, {"sample_weight": WEIGHTS}, {"offset": OFFSET}])
@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso"])
def test_in_every_storage_with_every_solver(penalty, rows, name, solver):
    options = {"tol": 1e-8, "solver": solver} | PENALTIES[penalty]
    tolerance = 2e-4 if name == "float32" else 2e-6
    befores = ("another C", "class weights", "a lasso")
    if solver == "lbfgs":  # has no L1 penalty, and more iterations
        if penalty == "lasso":
            return
        befores, options["max_iter"] = befores[:2], 1000
    for before in befores:
        compare(
            MaxentClassifier(), BEFORE[before], options, STORED[name](X), rows, tolerance=tolerance
        )


def test_the_second_fit_of_digits_is_the_first():
    X, y = load_digits(return_X_y=True)
    clf = MaxentClassifier(warm_start=True, tol=1e-6).fit(X, y)
    first = clf.coef_
    clf.fit(X, y)
    np.testing.assert_allclose(clf.coef_, first, atol=1e-6)
    expected = LogisticRegression(solver="newton-cg", tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(clf.coef_, expected.coef_, atol=1e-6)


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_coefficients_that_saturate_all_rows_are_no_start(C):
    """After a change of units the old coefficients give logits of thousands."""
    clf = MaxentClassifier(C=C, warm_start=True, tol=1e-8).fit(X * 1e-4, Y)
    clf.fit(X, Y)
    cold = MaxentClassifier(C=C, tol=1e-8).fit(X, Y)
    np.testing.assert_allclose(clf.coef_, cold.coef_, atol=1e-5)
    assert clf.optimality_gap_ < 1e-6


@pytest.mark.parametrize(
    ("l1_ratio", "grouped"), [(0.0, False), (0.5, False), (1.0, False), (0.5, True), (1.0, True)]
)
def test_each_fit_of_a_path_is_that_of_a_cold_start(l1_ratio, grouped):
    options = {"l1_ratio": l1_ratio, "grouped": grouped, "tol": 1e-8}
    path = maxent_path(X, Y, Cs=[1e-3, 0.1, 30.0, 0.5], **options)
    for C, coef, gap in zip(path.Cs, path.coefs, path.optimality_gaps, strict=True):
        cold = MaxentClassifier(C=C, **options).fit(X, Y)
        np.testing.assert_allclose(coef, cold.coef_, atol=2e-6)
        assert gap < 1e-6
