"""``max_iter=0`` leaves a fit where it begins, and says how far that is from the optimum."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)

X, Y = load_iris(return_X_y=True)
SMOOTH_ONLY = ["lbfgs", "trust-krylov", "trust-ncg"]
SOLVERS = ["auto", "newton-cg", "newton-cholesky", "sag", "saga", *SMOOTH_ONLY]
FITS = {
    "ridge": {},
    "no penalty": {"C": np.inf},
    "lasso": {"l1_ratio": 1.0},
    "group lasso": {"l1_ratio": 1.0, "grouped": True},
    "no intercept": {"fit_intercept": False},
    "Jeffreys": {"C": np.inf, "bias_reduction": "jeffreys"},
    "prior": {"prior_coef": np.ones((3, 4))},
    "factors": {"penalty_factor": [0.0, 1.0, 2.0, np.inf]},
    "smoothing": {"label_smoothing": 0.1},
    "class weights": {"class_weight": {0: 1.0, 1: 2.0, 2: 3.0}},
}


def fitted(model, *arguments):
    with pytest.warns(ConvergenceWarning):
        return model.fit(*arguments)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", FITS)
def test_all_coefficients_are_zero(name, solver):
    clf = MaxentClassifier(max_iter=0, solver=solver, **FITS[name])
    if solver in SMOOTH_ONLY and name in ("lasso", "group lasso", "Jeffreys"):
        with pytest.raises(ValueError, match=r"expected .*solver='auto'"):
            clf.fit(X, Y)
        return
    fitted(clf, X, Y)
    assert not clf.coef_.any()
    assert not clf.intercept_.any()
    assert clf.n_iter_.tolist() == [0]
    np.testing.assert_allclose(clf.predict_proba(X), 1 / 3)
    # The loss is log 3 there, far above that of the optimum.
    assert name == "Jeffreys" or clf.optimality_gap_ > 0.5


@pytest.mark.parametrize("store", [sp.csr_array, np.asfortranarray])
def test_two_classes_in_other_storage(store):
    clf = fitted(MaxentClassifier(max_iter=0), store(X), Y == 2)
    assert clf.n_iter_.tolist() == [0]
    np.testing.assert_allclose(clf.predict_proba(X), 0.5)


def test_many_rows_and_features():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(20_000, 30))
    labels = (Z @ rng.normal(size=(30, 4)) + rng.gumbel(size=(20_000, 4))).argmax(axis=1)
    for options in ({}, {"l1_ratio": 1.0}, {"solver": "newton-cg"}):
        clf = fitted(MaxentClassifier(max_iter=0, **options), Z, labels)
        assert not clf.coef_.any() and not clf.intercept_.any()
    wide = MaxentClassifier(max_iter=0, l1_ratio=1.0, C=1e3)
    fitted(wide, sp.csr_array(Z[:50].T), np.arange(30) % 3)
    assert not wide.coef_.any()


def test_what_cannot_be_zero():
    clf = fitted(MaxentClassifier(max_iter=0, bounds=(0.1, None)), X, Y)
    np.testing.assert_allclose(clf.coef_, 0.1)
    clf = fitted(MaxentClassifier(max_iter=0), X, Y, (Y != 1) * 1.0)
    np.testing.assert_allclose(clf.predict_proba(X)[:, ::2], 0.5)
    assert clf.predict_proba(X)[:, 1].max() < 1e-40


def test_sets_of_labels():
    sets = [{label, (label + 1) % 3} if i % 3 else {label} for i, label in enumerate(Y)]
    clf = fitted(MaxentClassifier(max_iter=0, partial_labels=True), X, sets)
    assert not clf.coef_.any()
    assert clf.n_iter_.tolist() == [0]


def test_a_warm_start_stays_where_it_is():
    clf = MaxentClassifier(warm_start=True).fit(X, Y)
    coef, intercept = clf.coef_, clf.intercept_
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is at the optimum
        clf.set_params(max_iter=0).fit(X, Y)
    np.testing.assert_allclose(clf.coef_, coef, rtol=1e-12)
    np.testing.assert_allclose(clf.intercept_, intercept, rtol=1e-12)
    fitted(clf.set_params(C=0.5), X, Y)
    np.testing.assert_allclose(clf.coef_, coef, rtol=1e-12)
    assert clf.n_iter_.tolist() == [0]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "options", [{}, {"l1_ratios": [1.0], "relax": True}, {"refit": False}, {"scoring": "accuracy"}]
)
def test_cross_validation(solver, options):
    clf = MaxentClassifierCV(Cs=3, cv=3, max_iter=0, solver=solver, **options)
    if solver in SMOOTH_ONLY and "l1_ratios" in options:
        with pytest.raises(ValueError, match=r"expected l1_ratio=0 .*solver='auto'"):
            clf.fit(X, Y)
        return
    fitted(clf, X, Y)
    assert not clf.coef_.any()
    assert not clf.coefs_paths_.any()
    assert not clf.n_iter_.any()
    if "scoring" in options:  # of one class, a third of the rows left out
        np.testing.assert_allclose(clf.scores_, 1 / 3, atol=0.02)
    else:
        np.testing.assert_allclose(clf.scores_, -np.log(3))


def test_a_path():
    # With the strongest penalty, and classes of equal size, zero is the optimum.
    with pytest.warns(ConvergenceWarning, match="max_iter=0 was reached at 3 values of C from"):
        path = maxent_path(X, Y, Cs=4, max_iter=0)
    assert path.n_iter.tolist() == [0] * 4
    assert not path.coefs.any()
    np.testing.assert_allclose(path.Cs, maxent_path(X, Y, Cs=4).Cs)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_several_labels(link, l1_ratio, solver):
    table = np.column_stack([Y == 0, Y > 0, Y == 2]).astype(int)
    clf = MultilabelMaxentClassifier(link=link, l1_ratio=l1_ratio, max_iter=0, solver=solver)
    if solver in SMOOTH_ONLY and l1_ratio:
        with pytest.raises(ValueError, match=r"expected l1_ratio=0 .*solver='auto'"):
            clf.fit(X, table)
        return
    clf = fitted(clf, X, table)
    assert not clf.coef_.any()
    assert clf.n_iter_.tolist() == [0]
    np.testing.assert_allclose(clf.predict_proba(X), 0.5 if link == "sigmoid" else 1 / 3)


@pytest.mark.parametrize("max_iter", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"solver": "newton-cg"}, {"l1_ratio": 1.0}])
def test_as_many_iterations_as_asked_for(max_iter, options):
    clf = fitted(MaxentClassifier(max_iter=max_iter, tol=1e-15, **options), X, Y)
    assert clf.n_iter_.tolist() == [max_iter]
