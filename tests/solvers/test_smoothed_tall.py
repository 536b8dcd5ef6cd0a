"""Weak lassos of many classes with more rows than columns and fewer rows than coefficients."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier


def _problem(n, d, K):
    rng = np.random.default_rng(0)
    X = 0.5 * rng.normal(size=(n, d)) + rng.normal(size=(n, 5)) @ rng.normal(size=(5, d))
    scores = X[:, :10] @ rng.normal(size=(10, K))
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    y[:K] = np.arange(K)
    return X, y


@pytest.mark.parametrize("C", [30.0, 1000.0])
@pytest.mark.parametrize("n, d, K", [(300, 100, 3), (250, 60, 6)])
def test_weak_lassos_satisfy_the_optimality_conditions(n, d, K, C):
    # Quadratic models of the loss led through points with more than twice the coefficients.
    X, y = _problem(n, d, K)
    clf = MaxentClassifier(C=C, l1_ratio=1.0, tol=1e-6).fit(X, y)
    gradient = X.T @ (clf.predict_proba(X) - np.eye(K)[y])
    coef = clf.coef_.T
    active = coef != 0.0
    assert np.abs(gradient).max() <= (1.0 + 1e-4) / C
    np.testing.assert_allclose(gradient[active], -np.sign(coef[active]) / C, rtol=1e-4)
    assert clf.optimality_gap_ <= 1e-5
    # The iterations of the smoothed start are not those of the fit, which begins at its end.
    assert clf.n_iter_.max() <= 10


def test_bounds_and_fixed_coefficients_hold_in_weak_lassos():
    X, y = _problem(300, 100, 3)
    upper = np.full((3, 100), np.inf)
    upper[:, :20] = 0.1
    upper[1, 30], lower = 0.0, np.full((3, 100), -np.inf)
    lower[1, 30] = 0.0
    clf = MaxentClassifier(C=100.0, l1_ratio=1.0, tol=1e-6, bounds=(lower, upper)).fit(X, y)
    coef = clf.coef_
    assert (coef <= upper).all() and coef[1, 30] == 0.0
    gradient = (clf.predict_proba(X) - np.eye(3)[y]).T @ X + np.sign(coef) / 100.0
    inside = (coef != 0.0) & (coef < upper)
    np.testing.assert_allclose(gradient[inside], 0.0, atol=2e-6)
    at_upper = coef == np.where(upper > 0.0, upper, np.nan)
    assert at_upper.any() and (gradient[at_upper] <= 2e-6).all()
