"""Priors beside penalties so strong that the data cannot move the coefficients.

The coefficients are then those with the least penalty, which has a closed form.
"""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, maxent_path

X, y = load_iris(return_X_y=True)
TARGETS = np.eye(3)[y]
PRIOR = np.random.default_rng(0).normal(size=(3, 4))
# A factor for the columns, one for the prior, and C. Columns of the first kind are not scaled for
# the solvers, columns of the others are.
CASES = {
    "small C": (1.0, 1.0, 1e-90),
    "small columns": (1e-60, 1e60, 1.0),
    "tiny columns": (2.0**-400, 1e100, 1.0),
    "tiny columns and small C": (2.0**-400, 1e100, 1e-50),
    "least columns": (2.0**-900, 1e250, 1.0),
}


def least_penalty(prior, l1_ratio, grouped=False):
    """The coefficients that minimise l1_ratio ‖w‖ + (1 - l1_ratio)/2 ‖w - prior‖²."""
    size = abs(prior).max()
    norms = size * np.linalg.norm(prior / size, axis=0) if grouped else abs(prior)
    return prior * np.maximum(1.0 - l1_ratio / (1.0 - l1_ratio) / norms, 0.0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("l1_ratio", "solver"), [(0.0, "auto"), (0.0, "lbfgs"), (1e-6, "auto"), (0.5, "auto")]
)
def test_the_coefficients_are_those_with_the_least_penalty(case, l1_ratio, solver):
    size, unit, C = CASES[case]
    prior = PRIOR * unit
    clf = MaxentClassifier(C=C, l1_ratio=l1_ratio, solver=solver, prior_coef=prior)
    clf.fit(X * size, y)
    expected = least_penalty(prior, l1_ratio)
    np.testing.assert_allclose(clf.coef_, expected, rtol=1e-15, atol=1e-15 * unit)
    # The intercepts are optimal for the offsets that these coefficients give.
    P = softmax((X * size) @ clf.coef_.T + clf.intercept_, axis=1)
    np.testing.assert_allclose(P.mean(axis=0), TARGETS.mean(axis=0), atol=1e-4)
    assert clf.optimality_gap_ < 1e-6


@pytest.mark.parametrize("case", CASES)
def test_groups_are_those_with_the_least_penalty_or_there_is_a_warning(case):
    size, unit, C = CASES[case]
    prior = PRIOR * unit
    clf = MaxentClassifier(C=C, l1_ratio=0.5, grouped=True, prior_coef=prior)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X * size, y)
    expected = least_penalty(prior, 0.5, grouped=True)
    np.testing.assert_allclose(clf.coef_, expected, rtol=1e-14, atol=1e-14 * unit)


def test_a_path_of_strong_penalties_ends_at_the_prior():
    Cs = np.array([1e-80, 1e-40, 1e-20])
    path = maxent_path(X, y, Cs=Cs, l1_ratio=0.5, prior_coef=PRIOR)
    expected = least_penalty(PRIOR, 0.5)
    np.testing.assert_allclose(path.coefs, np.stack([expected] * 3), rtol=1e-15, atol=1e-15)
    assert path.optimality_gaps.max() < 1e-6


def test_a_path_of_tiny_columns_and_weak_penalties_ends_at_the_prior():
    prior = PRIOR * 1e160
    path = maxent_path(X * 2.0**-534, y, Cs=[1e272], l1_ratio=0.5, prior_coef=prior)
    np.testing.assert_allclose(path.coefs[0], prior, rtol=1e-15)


def test_a_limit_of_the_iterations_does_not_leave_the_prior():
    clf = MaxentClassifier(C=1e-20, l1_ratio=0.5, prior_coef=PRIOR, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X, y)
    np.testing.assert_allclose(clf.coef_, least_penalty(PRIOR, 0.5), rtol=1e-15, atol=1e-15)


def test_bounds_beside_a_strong_penalty():
    clf = MaxentClassifier(C=1e-50, prior_coef=PRIOR, bounds=(-0.1, 0.2)).fit(X, y)
    np.testing.assert_array_equal(clf.coef_, PRIOR.clip(-0.1, 0.2))
    assert clf.optimality_gap_ < 1e-6


@pytest.mark.parametrize("seed", [17, 21, 35])
def test_bounds_and_a_strong_prior_in_float32(seed):
    """Probabilities agree with L-BFGS-B: the intercepts, without penalty, reach their optimum."""
    rng = np.random.default_rng(seed)
    n, K, C = 27, 4, 0.003
    rows = rng.normal(size=(n, 2)).astype(np.float32)
    labels = np.append(np.arange(K), rng.integers(K, size=n - K))
    prior = rng.normal(size=(K, 2))

    def value_and_gradient(x):
        W, b = x[: 2 * K].reshape(K, 2), x[2 * K :]
        Z = rows.astype(float) @ W.T + b
        residuals = softmax(Z, axis=1) - np.eye(K)[labels]
        loss = -log_softmax(Z, axis=1)[np.arange(n), labels].sum()
        gradient = (C * residuals.T @ rows + W - prior).ravel()
        value = C * loss + ((W - prior) ** 2).sum() / 2
        return value, np.append(gradient, C * residuals.sum(axis=0))

    x = minimize(
        value_and_gradient,
        np.zeros(3 * K),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * (2 * K) + [(None, None)] * K,
        options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 5000, "maxfun": 10_000},
    ).x
    expected = softmax(rows.astype(float) @ x[: 2 * K].reshape(K, 2).T + x[2 * K :], axis=1)
    clf = MaxentClassifier(C=C, bounds=(0, None), prior_coef=prior).fit(rows, labels)
    np.testing.assert_allclose(clf.predict_proba(rows), expected, atol=3e-5)


@pytest.mark.parametrize("C", [1e-90, 1e-20, 1e-8])
def test_groups_of_two_classes_are_single_coefficients(C):
    rows, labels = X[:100], y[:100]
    fits = [
        MaxentClassifier(C=C, l1_ratio=1e-6, grouped=grouped, prior_coef=PRIOR[:1])
        for grouped in (True, False)
    ]
    one, other = (clf.fit(rows, labels) for clf in fits)
    np.testing.assert_array_equal(one.coef_, other.coef_)
    np.testing.assert_array_equal(one.intercept_, other.intercept_)
    # The rows determine the intercept, and the penalty the coefficients.
    score = np.mean(1 / (1 + np.exp(-rows @ one.coef_[0] - one.intercept_)) - labels)
    assert abs(score) < 1e-6
