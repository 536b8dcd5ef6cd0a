"""Fits whose loss is small, or comes from few rows, are at their optimum."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier


@pytest.mark.parametrize("C", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("units", [1.0, 1e-6, 1e6])
def test_a_lasso_of_separated_rows_is_at_its_optimum(C, units):
    """Two rows at -1 and 1: by symmetry F is log(1 + exp(-w)) + |w|/(2 C), for w >= 0.

    Its derivative is zero at w = log(2 C - 1).
    """
    X, y = np.array([[-1.0], [1.0]]) * units, np.array([0, 1])
    l1 = 1.0 / (2.0 * C)

    def objective(w):
        return np.log1p(np.exp(-w)) + l1 * w

    w = np.log(2.0 * C - 1.0)
    assert abs(minimize_scalar(objective, (w - 1.0, w, w + 1.0)).fun - objective(w)) < 1e-15
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf = MaxentClassifier(C=C / units, l1_ratio=1.0).fit(X, y)
    slope, b = clf.coef_[0, 0] * units, clf.intercept_[0]
    found = np.log1p(np.exp([-slope - b, -slope + b])).mean() + l1 * slope
    assert found - objective(w) <= 1e-6 * objective(w)


def test_an_outlier_that_hides_an_unpenalised_coefficient():
    """Beside a cell of 1e6 the other rows decide on a column only when that row is saturated."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(80, 2))
    y = (X[:, 1] + rng.logistic(size=80) > 0.0).astype(int)
    X[0, 1], y[0] = 1e6, 1
    # The row of the outlier has no loss at the optimum: without it the fit is the same.
    rest = MaxentClassifier(penalty_factor=[1.0, 0.0], tol=1e-10).fit(X[1:], y[1:])
    clf = MaxentClassifier(l1_ratio=1e-9, C=1.0, penalty_factor=[1.0, 0.0]).fit(X, y)
    np.testing.assert_allclose(clf.coef_, rest.coef_, rtol=1e-3, atol=1e-3)
