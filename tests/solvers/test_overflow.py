"""Priors, weights and offsets whose products with columns leave the range of floating point."""

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, maxent_path

rng = np.random.default_rng(0)
X = rng.normal(size=(15, 2))
y = np.arange(15) % 2


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_column_that_hardly_varies_beside_others_stays_at_its_prior(l1_ratio, K):
    # One row of little weight has another value, so that the ridge for the standardised column
    # overflows.
    x = np.full(30, 1e-160)
    x[-1] = 2e-160
    columns = np.column_stack([x, np.random.default_rng(1).normal(size=30)])
    weights = np.ones(30)
    weights[-1] = 1e-20
    target = np.arange(30) % K
    prior = np.zeros((1 if K == 2 else K, 2))
    prior[:, 0] = 1e100 * (1.0 - np.arange(len(prior)))
    clf = MaxentClassifier(l1_ratio=l1_ratio, prior_coef=prior).fit(columns, target, weights)
    np.testing.assert_allclose(clf.coef_[:, 0], prior[:, 0], rtol=1e-14)
    assert clf.optimality_gap_ < 1e-6
    alone = MaxentClassifier(l1_ratio=l1_ratio).fit(columns[:, 1:], target, weights)
    np.testing.assert_allclose(clf.coef_[:, 1:], alone.coef_, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("grouped", [False, True])
def test_priors_beyond_the_range_of_the_dtype_give_finite_coefficients_and_a_warning(
    grouped, l1_ratio, dtype
):
    prior = np.array([[1e300, -1e250], [0.0, 0.0], [-1e300, 1e250]])
    data = 1e10 * X.astype(dtype)
    constant = np.column_stack([np.ones_like(data[:, 0]), data[:, 0]])
    for columns in (data, constant):
        clf = MaxentClassifier(l1_ratio=l1_ratio, grouped=grouped, prior_coef=prior)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            clf.fit(columns, np.arange(15) % 3)
        assert np.isfinite(clf.coef_).all()
        assert np.isfinite(clf.intercept_).all()
        assert 0.0 <= clf.optimality_gap_ <= 1.0
        assert said or clf.optimality_gap_ < 1e-3


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_path_with_tiny_weights_has_finite_coefficients(l1_ratio):
    weights = np.full(15, 1e-289)
    path = maxent_path(X, y, Cs=[1e-50, 1.0, 1e289], l1_ratio=l1_ratio, sample_weight=weights)
    assert np.isfinite(path.coefs).all()
    assert np.isfinite(path.intercepts).all()
    expected = MaxentClassifier(C=1.0, l1_ratio=l1_ratio).fit(X, y)
    np.testing.assert_array_less(np.abs(path.coefs[:2]), 1e-30)
    np.testing.assert_allclose(path.coefs[2], expected.coef_, rtol=1e-3, atol=1e-6)
    assert (path.optimality_gaps < 1e-6).all()


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e40), (np.float64, 1e200)])
def test_offsets_beyond_the_range_of_the_dtype_raise_an_error_that_names_them(dtype, size):
    offset = size * rng.normal(size=15)
    for fit in (
        lambda: MaxentClassifier().fit(X.astype(dtype), y, offset=offset),
        lambda: maxent_path(X.astype(dtype), y, offset=offset),
        lambda: MaxentClassifier(partial_labels=True).fit(
            X.astype(dtype), np.eye(2)[y], offset=offset
        ),
    ):
        with pytest.raises(ValueError, match="offset has values of the size"):
            fit()


def test_large_offsets_that_agree_with_the_labels_do_not_change_the_coefficients_of_other_rows():
    offset = np.zeros(15)
    offset[:3] = 1e100 * (2 * y[:3] - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = MaxentClassifier(tol=1e-8).fit(X, y, offset=offset)
    P = softmax(np.column_stack([np.zeros(12), X[3:] @ clf.coef_[0] + clf.intercept_]), axis=1)
    gradient = X[3:].T @ (P[:, 1] - y[3:]) + clf.coef_[0]
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_a_tolerance_whose_square_overflows_is_a_tolerance():
    clf = MaxentClassifier(tol=1e200).fit(X, y)
    assert np.isfinite(clf.coef_).all()
