"""Columns that are collinear to a few last digits: a fit is at the optimum, or it warns."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier

STORAGES = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": sp.csr_array}


def nearly_collinear(seed):
    """Mixtures of columns around 1.7e9, in units over many decades, and two classes."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(150, 6))
    X = (1.7e9 + Z * [1e4, 1.0, 1.0, 1e2, 0.1, 0.1]) @ rng.normal(size=(6, 6))
    X *= 10.0 ** rng.uniform(-8, 8, size=6)
    return X, (Z[:, 0] + rng.logistic(size=150) > 0).astype(int)


def smallest_loss(X, y):
    """The minimum of the mean loss, by Newton's method on the orthogonal factor of X."""
    Q = np.linalg.qr(X / np.linalg.norm(X, axis=0))[0] * np.sqrt(len(X))
    sign = 2.0 * y - 1.0
    w = np.zeros(Q.shape[1])
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-(Q @ w)))
        w -= np.linalg.solve((Q.T * (p * (1.0 - p))) @ Q, Q.T @ (p - y))
    return np.logaddexp(0.0, -sign * (Q @ w)).mean()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("seed", [1, 3, 6, 9, 11])
def test_a_fit_without_a_warning_is_at_the_optimum(seed, storage):
    X, y = nearly_collinear(seed)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        clf = MaxentClassifier(C=np.inf, fit_intercept=False, solver="newton-cg")
        clf.fit(STORAGES[storage](X), y)
    is_converged = not any(issubclass(one.category, ConvergenceWarning) for one in said)
    Z = X.astype(np.longdouble) @ clf.coef_[0]
    excess = np.logaddexp(0.0, -(2.0 * y - 1.0) * Z).mean() - smallest_loss(X, y)
    assert excess < 1e-6 or not is_converged
    if seed == 1:
        assert is_converged
        assert clf.optimality_gap_ < 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_classes_that_share_a_nearly_flat_direction_do_not_slow_an_l1_penalty_down(seed):
    rng = np.random.default_rng(seed)
    level = np.array([1.3e6, -1.9e6, 1.0e6, 3.2e5, 6.2e6])
    X = level * (1.0 + 2e-4 * rng.normal(size=(30, 5)))
    y = np.append(np.arange(4), rng.integers(4, size=26))
    prior = 0.01 * rng.normal(size=(4, 5))
    clf = MaxentClassifier(l1_ratio=0.78, fit_intercept=False, prior_coef=prior)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf.fit(X, y)
    assert clf.n_iter_[0] < 50
    assert clf.optimality_gap_ < 1e-6


@pytest.mark.parametrize("level", [1e8, 1e9, 1e11])
@pytest.mark.parametrize("C", [0.3, 100.0])
def test_an_l1_penalty_allows_long_steps_along_nearly_collinear_columns(level, C):
    # The columns are level + u and level - u. Three of four rows are of the class sign(u).
    u = np.tile([1.0, -1.0], 20)
    y = np.where(np.arange(40) < 30, u, -u) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MaxentClassifier(C=C, l1_ratio=1.0, fit_intercept=False)
        clf.fit(np.column_stack([level + u, level - u]), y)
    # The minimum has w = (a/2, -a/2), where the derivative 0.25 - 1/(1 + exp(a)) + l1 is zero.
    l1 = 1.0 / (40 * C)
    a = np.log(0.75 - l1) - np.log(0.25 + l1)
    least = 0.75 * np.log1p(np.exp(-a)) + 0.25 * np.log1p(np.exp(a)) + l1 * a
    w = clf.coef_[0]
    Z = (w[0] + w[1]) * level + (w[0] - w[1]) * u
    value = np.logaddexp(0.0, np.where(y, -Z, Z)).mean() + l1 * np.abs(w).sum()
    np.testing.assert_allclose(value, least, rtol=1e-8)
    assert clf.optimality_gap_ < 1e-3
