"""Fits whose optimum lies where rounding hides it: outliers, float32, uneven weights, offsets."""

import warnings
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit, logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skmaxent import MaxentClassifier, MaxentClassifierCV, maxent_path


def mean_loss(clf, X, y):
    return -clf.predict_log_proba(X)[np.arange(len(y)), y].mean()


def with_outlier(size, n_classes=2, dtype=float, seed=0):
    """Rows of which one has a single huge entry, in the class that entry speaks for."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(100, 3))
    y = (X @ rng.normal(size=(3, n_classes)) + rng.gumbel(size=(100, n_classes))).argmax(axis=1)
    others = np.arange(100) != 7
    truth = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(X[others], y[others])
    X[7, 0] = size
    towards = truth.coef_[:, 0].argmax() if n_classes > 2 else int(truth.coef_[0, 0] > 0)
    y[7] = towards
    return X.astype(dtype), y, truth


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("size", [1e4, 1e6, 1e9, 1e12, 1e15, 1e20])
def test_an_outlier_that_its_class_explains_leaves_the_fit_of_the_others(size, n_classes):
    # Its loss is zero at their optimum, and so are its gradient and its curvature.
    X, y, truth = with_outlier(size, n_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MaxentClassifier(tol=1e-6).fit(X, y)
    np.testing.assert_allclose(clf.coef_, truth.coef_, atol=1e-5)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("solver", ["auto", "newton-cg", "newton-cholesky"])
def test_so_it_is_for_every_solver_and_storage(solver, storage):
    X, y, truth = with_outlier(1e7)
    clf = MaxentClassifier(tol=1e-6, solver=solver).fit(storage(X), y)
    np.testing.assert_allclose(clf.coef_, truth.coef_, atol=1e-5)


def test_so_it_is_in_float32():
    X, y, truth = with_outlier(1e6, dtype=np.float32)
    clf = MaxentClassifier(tol=1e-5).fit(X, y)
    np.testing.assert_allclose(clf.coef_, truth.coef_, atol=1e-4)


def test_an_outlier_of_the_wrong_class_stays_near_its_loss():
    # Brute force: F is convex, and its gradient, by rows in long double, vanishes.
    X, y, _ = with_outlier(1e7)
    y[7] = 1 - y[7]
    clf = MaxentClassifier(tol=1e-8).fit(X, y)
    z = X.astype(np.longdouble) @ clf.coef_[0] + clf.intercept_[0]
    residual = np.where(y == 1, -expit(-z.astype(float)), expit(z.astype(float)))
    gradient = residual @ X + clf.coef_[0]
    size = np.abs(residual) @ np.abs(X) + 1
    assert np.all(np.abs(gradient) < 1e-6 * size)


def test_what_floating_point_cannot_reach_gets_a_warning_that_names_the_column():
    X, y, _ = with_outlier(1e60)
    with pytest.warns(ConvergenceWarning, match="column 'x0'.*outliers"):
        MaxentClassifier().fit(X, y)


def test_ordinary_fits_in_float32_do_not_warn():
    rng = np.random.default_rng(0)
    for n, d, n_classes in ((2000, 20, 5), (20_000, 30, 2), (300, 60, 3)):
        X = rng.normal(size=(n, d)).astype(np.float32)
        y = (X @ rng.normal(size=(d, n_classes)) / 3 + rng.gumbel(size=(n, n_classes))).argmax(1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            MaxentClassifier().fit(X, y)


@pytest.mark.parametrize("solver", ["auto", "newton-cg"])
def test_float32_reaches_the_optimum_of_its_numbers(solver):
    rng = np.random.default_rng(1)
    X = (rng.normal(size=(60, 20)) @ rng.normal(size=(20, 20))).astype(np.float32)
    y = rng.integers(0, 4, 60)
    narrow = MaxentClassifier(C=100.0, solver=solver).fit(X, y)
    wide = MaxentClassifier(C=100.0, tol=1e-8).fit(X.astype(float), y)
    np.testing.assert_allclose(narrow.coef_, wide.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("size", [1e2, 1e6, 1e150])
def test_offsets_of_any_size_come_to_an_end(size, fit_intercept):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    offset = rng.uniform(-size, size, (60, 3))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf = MaxentClassifier(fit_intercept=fit_intercept).fit(X, y, offset=offset)
    assert np.isfinite(clf.coef_).all()
    assert np.isfinite(clf.intercept_).all()
    if not found:
        logits = X @ clf.coef_.T + clf.intercept_ + offset
        P = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        gradient = (P - np.eye(3)[y]).T @ X + clf.coef_
        np.testing.assert_allclose(gradient, 0.0, atol=1e-3)


@pytest.mark.parametrize(("size", "dtype"), [(1e300, np.float64), (1e30, np.float32)])
def test_offsets_whose_squares_overflow_are_refused(size, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)).astype(dtype), rng.integers(0, 3, 60)
    offset = rng.uniform(-size, size, (60, 3))
    with pytest.raises(ValueError, match="offset has values of the size"):
        MaxentClassifier().fit(X, y, offset=offset)
    clf = MaxentClassifier().fit(X, y, offset=np.zeros((60, 3)))
    with pytest.raises(ValueError, match="offset has values of the size"):
        clf.predict_proba(X, offset=offset)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_the_scale_of_weights_does_not_matter_without_penalty(scale, n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, n_classes, 200)
    weights = rng.uniform(0.5, 2.0, 200)
    one = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y, weights)
    other = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y, scale * weights)
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-299, 1e-290, 1e285, 1e299])
def test_only_the_product_of_C_and_weights_matters(scale):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    weights = np.full(200, scale)
    one, other = MaxentClassifier().fit(X, y), MaxentClassifier(C=1 / scale).fit(X, y, weights)
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-6)
    one, other = (maxent_path(X, y, Cs=4, sample_weight=w) for w in (np.ones(200), weights))
    np.testing.assert_allclose(other.coefs, one.coefs, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.Cs * scale, one.Cs, rtol=1e-9)


@pytest.mark.parametrize("scale", [5e-324, 1e-305, 1e305, 1e306])
def test_weights_whose_product_with_C_is_unknown_are_refused(scale):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    weights = np.full(60, scale)
    for fit in (
        MaxentClassifier().fit,
        MaxentClassifierCV(Cs=3, cv=3).fit,
        partial(maxent_path, Cs=3),
    ):
        with pytest.raises(ValueError, match="sample_weight, times counts and class_weight, is"):
            fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("seed", range(5))
def test_uneven_weights_end_at_an_optimum_or_warn(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_cauchy(size=(40, 2)), rng.integers(0, 2, 40)
    weights = 10.0 ** rng.uniform(-12, 12, 40)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf = MaxentClassifier(C=1e3).fit(X, y, weights)
    assert np.isfinite(clf.coef_).all()
    assert np.isfinite(clf.intercept_).all()
    if not found:
        z = X @ clf.coef_[0] + clf.intercept_[0]
        residual = weights * (expit(z) - y)
        gradient = residual @ X + clf.coef_[0] / 1e3
        assert np.all(np.abs(gradient) <= 1e-3 * (np.abs(residual) @ np.abs(X) + 1e-12))
