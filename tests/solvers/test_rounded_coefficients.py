"""Coefficients that float32 cannot hold well enough."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, maxent_path


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


def _columns_far_from_zero(seed):
    """The intercept is a large number, and has few digits for the differences of logits."""
    rng = np.random.default_rng(seed)
    X = (1e10 + 2e4 * rng.normal(size=(50, 3))).astype(np.float32)
    return X, (X[:, 0] - X[:, 1] + 2e4 * rng.logistic(size=50) > 0).astype(int)


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
    n_said = 0
    for seed in range(8):
        X, y = _columns_far_from_zero(seed)
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


def test_a_path_says_what_rounding_costs():
    text, n_said = "Rounding of the coefficients to float32", 0
    for seed in range(8):
        X, y = _columns_far_from_zero(seed)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            path = maxent_path(X, y, Cs=[1e30], l1_ratio=0.0)
            is_said = any(text in str(one.message) for one in said)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            wide = MaxentClassifier(C=1e30, tol=1e-8).fit(X.astype(float), y)
        value = _objective(X, y, np.inf, path.coefs[0], path.intercepts[0])
        best = _objective(X, y, np.inf, wide.coef_, wide.intercept_)
        assert is_said or value - best <= 1e-6 * best
        assert value - best <= (path.optimality_gaps[0] + 1e-9) * value
        n_said += is_said
    assert n_said


def test_the_certificate_knows_of_bounds_that_float32_cannot_hold():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 1)).astype(np.float32)
    y = np.arange(50) % 2
    clf = MaxentClassifier(C=1e-6, l1_ratio=1.0, bounds=(0.1, 0.1)).fit(X, y)
    assert clf.coef_.dtype == np.float32

    def objective(w):
        z = X[:, 0].astype(float) * w
        least = minimize_scalar(
            lambda b: np.logaddexp(0.0, -(2 * y - 1) * (z + b)).sum(), (-1.0, 1.0), tol=1e-12
        )
        return least.fun + 1e6 * abs(w)

    value, best = objective(float(clf.coef_[0, 0])), objective(0.1)
    assert value > best
    assert (value - best) / value <= clf.optimality_gap_ < 1e-5


def test_rounding_of_what_a_strong_penalty_holds_at_a_prior_is_told():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)).astype(np.float32)
    y = np.tile([0, 1], 15)
    prior = rng.normal(size=(1, 3))
    clf = MaxentClassifier(C=1e-12, prior_coef=prior, penalty_factor=[[1.0, 2.0, 0.5]])
    with pytest.warns(ConvergenceWarning, match="Rounding of the coefficients to float32"):
        clf.fit(X, y)
    bounded = MaxentClassifier(C=1e-12, prior_coef=prior, bounds=(-10.0, 10.0))
    with pytest.warns(ConvergenceWarning, match="Rounding of the coefficients to float32"):
        bounded.fit(X, y)


def test_paths_tell_of_rounding_of_what_a_strong_penalty_holds_at_a_prior():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)).astype(np.float32)
    y = np.tile([0, 1], 15)
    prior, C = rng.normal(size=(1, 3)), 1e-12
    with pytest.warns(ConvergenceWarning, match="Rounding of the coefficients to float32"):
        path = maxent_path(X, y, Cs=[C], l1_ratio=0.0, prior_coef=prior)

    def objective(coef):
        z = X.astype(float) @ coef[0] + path.intercepts[0, 0]
        penalty = ((coef - prior) ** 2).sum() / (2.0 * C)
        return np.logaddexp(0.0, -(2 * y - 1) * z).sum() + penalty

    value = objective(path.coefs[0].astype(float))
    assert (value - objective(prior)) / value <= path.optimality_gaps[0]


def test_rounding_of_the_prior_of_a_constant_column_is_told():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=30), np.ones(30)]).astype(np.float32)
    y = np.tile([0, 1], 15)
    prior, C = np.array([[0.0, 0.9]]), 1e-12
    with pytest.warns(ConvergenceWarning, match="Rounding of the coefficients to float32"):
        clf = MaxentClassifier(C=C, prior_coef=prior).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="Rounding of the coefficients to float32"):
        path = maxent_path(X, y, Cs=[C], l1_ratio=0.0, prior_coef=prior)
    for coef in (clf.coef_, path.coefs[0]):
        error = float(coef[0, 1]) - prior[0, 1]
        assert abs(error) > 0.0
        penalty = error**2 / (2.0 * C)
        gap = penalty / (penalty + 30 * np.log(2.0))
        assert gap <= clf.optimality_gap_ and gap <= path.optimality_gaps[0]


def test_rounding_of_a_corrected_intercept_is_told():
    # Constant columns have the coefficients of the prior, which the intercept compensates.
    X, y = np.full((2, 1), -190827.33, np.float32), np.array([0, 1])
    text, correction, n_said = "Rounding of the coefficients to float32", np.log(0.4 / 0.6), 0
    for prior in (0.1, 0.37, 0.382, 0.6, 1.3):
        clf = MaxentClassifier(prior_coef=[[prior]], prior_correction=[0.6, 0.4])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            clf.fit(X, y)
        error = float(clf.intercept_[0]) - (correction - float(clf.coef_[0, 0]) * float(X[0, 0]))
        # The intercept is rounded once, to the nearest number of float32.
        assert abs(error) <= 0.5 * np.spacing(clf.intercept_[0])
        excess = np.log(np.cosh(0.5 * error)) / np.log(2.0)
        is_said = any(text in str(one.message) for one in said)
        assert is_said or excess <= 1e-6
        n_said += is_said
    assert n_said


def test_intercepts_that_lose_all_digits_together_are_told():
    # A bound holds the coefficients of a constant column; the intercepts are then large and equal.
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=30), np.full(30, 1e30)]).astype(np.float32)
    y = np.tile([0, 1, 2, 2, 2], 6)
    bounds = ([-10.0, 0.3], [10.0, 0.3])
    for fit in (
        lambda: MaxentClassifier(bounds=bounds).fit(X, y),
        lambda: maxent_path(X, y, Cs=[1.0], l1_ratio=0.0, bounds=bounds),
    ):
        with (
            warnings.catch_warnings(),
            pytest.warns(ConvergenceWarning, match="Rounding of the coefficients to float32"),
        ):
            warnings.filterwarnings("ignore", "The columns")
            fit()
