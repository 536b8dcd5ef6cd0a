"""Priors beside penalties so strong that the data cannot move the coefficients.

The coefficients are then those with the least penalty, which has a closed form.
"""

import warnings

import numpy as np
import pytest
from scipy.special import softmax
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
