"""Coefficients that float32 cannot hold well enough."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier


def _objective(X, y, C, coef, intercept):
    """F in float64, with classes -1 and 1."""
    z = X.astype(float) @ coef.astype(float).ravel() + float(intercept[0])
    loss = np.logaddexp(0.0, -(2 * y - 1) * z).sum()
    return loss + (coef.astype(float) ** 2).sum() / (2 * C)


def _rows(scale):
    """One row far out, whose logit is a difference of large terms."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] + rng.logistic(size=60) > 0).astype(int)
    X[:, 1] = X[:, 0] + 1e-3 * X[:, 1]
    X[0] *= scale
    return X.astype(np.float32), y


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e5, 1e7])
def test_what_rounding_costs_is_said(scale):
    X, y = _rows(scale)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        narrow = MaxentClassifier(C=1e6).fit(X, y)
    wide = MaxentClassifier(C=1e6, tol=1e-8).fit(X.astype(float), y)
    assert narrow.coef_.dtype == np.float32
    value, best = (_objective(X, y, 1e6, m.coef_, m.intercept_) for m in (narrow, wide))
    is_said = any(issubclass(one.category, ConvergenceWarning) for one in said)
    assert is_said or value - best <= 1e-6 * best, (value, best)
    if scale == 1.0:
        assert not is_said


def test_rounding_that_costs_much():
    # Columns far from zero: the intercept is a large number, and has few digits for differences.
    n_said = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X = (1e10 + 2e4 * rng.normal(size=(50, 3))).astype(np.float32)
        y = (X[:, 0] - X[:, 1] + 2e4 * rng.logistic(size=50) > 0).astype(int)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            narrow = MaxentClassifier(C=np.inf).fit(X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            wide = MaxentClassifier(C=np.inf, tol=1e-8).fit(X.astype(float), y)
        value, best = (_objective(X, y, np.inf, m.coef_, m.intercept_) for m in (narrow, wide))
        is_said = any("Rounding of the coefficients" in str(one.message) for one in said)
        assert is_said or value - best <= 1e-6 * best, (seed, value, best)
        n_said += is_said
    assert n_said
