"""Relaxed paths against direct fits of the chosen coefficients, and warnings of paths."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, MaxentClassifierCV, maxent_path


def data(K, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(150, 6)) @ (np.eye(6) + 0.3)
    return X, (X[:, :2] @ rng.normal(size=(2, K)) + rng.gumbel(size=(150, K))).argmax(axis=1)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("K", [2, 3, 5])
def test_relaxed_groups_are_fits_of_the_chosen_columns(K, fit_intercept):
    X, y = data(K)
    path = maxent_path(
        X, y, Cs=[0.01, 0.03, 0.1], grouped=True, relax=True, fit_intercept=fit_intercept
    )
    for coef, relaxed, intercept in zip(
        path.coefs, path.relaxed_coefs, path.relaxed_intercepts, strict=True
    ):
        chosen = coef.any(axis=0)
        np.testing.assert_array_equal(relaxed[:, ~chosen], 0.0)
        if chosen.any():
            direct = MaxentClassifier(C=np.inf, tol=1e-8, fit_intercept=fit_intercept)
            direct.fit(X[:, chosen], y)
            np.testing.assert_allclose(relaxed[:, chosen], direct.coef_, atol=1e-4)
            np.testing.assert_allclose(intercept, direct.intercept_, atol=1e-4)
    assert {0, 6} != set(path.n_nonzero.tolist())


@pytest.mark.parametrize("K", [2, 3])
def test_relaxed_coefficients_of_single_classes(K):
    X, y = data(K, seed=1)
    path = maxent_path(X, y, Cs=[0.02, 0.1], relax=True)
    for coef, relaxed in zip(path.coefs, path.relaxed_coefs, strict=True):
        factors = np.where(coef == 0.0, np.inf, 1.0)
        direct = MaxentClassifier(C=np.inf, tol=1e-8, penalty_factor=factors).fit(X, y)
        np.testing.assert_allclose(relaxed, direct.coef_, atol=1e-3)


def test_cross_validation_of_relaxed_groups():
    X, y = data(3)
    clf = MaxentClassifierCV(Cs=[0.02, 0.05], l1_ratios=[1.0], grouped=True, relax=True).fit(X, y)
    assert np.isfinite(clf.relaxed_scores_).all()


def test_a_path_says_that_classes_are_separated():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(int)
    with pytest.warns(ConvergenceWarning, match="at 1 of 2 values of C"):
        maxent_path(X, y, Cs=[0.1, np.inf])
