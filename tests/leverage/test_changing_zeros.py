"""The zeros of an L1-penalised fit that may become nonzero without a row."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.problems import problem

from skmaxent import MaxentClassifier, leave_one_out
from skmaxent._leverage import _changing_zeros


@pytest.mark.parametrize(("n_active", "most"), [(0, 32), (40, 40)])
def test_the_zeros_nearest_to_the_penalty_are_candidates(n_active, most):
    """At most as many as there are nonzero coefficients, or 32."""
    distances = np.random.default_rng(0).permutation(np.arange(100) / 200.0)[None]
    point = SimpleNamespace(map_reduce=lambda kernel: (np.ones((1, 100)),))
    found = _changing_zeros._candidates(
        SimpleNamespace(point=point),
        (-np.ones((1, 100)), np.ones((1, 100))),
        1.0 - distances,
        n_active,
    )
    assert sorted(distances[found]) == sorted(distances.ravel())[:most]


def test_squared_gradients_of_columns_far_from_zero_have_digits_in_float32():
    rng = np.random.default_rng(0)
    X = (3e4 + rng.normal(size=(50, 3))).astype(np.float32)
    y = np.arange(50) % 3
    center, scale = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
    objective = problem(X, y, 3, center=center, scale=scale)
    (found,) = objective.at(objective.zeros()).map_reduce(_changing_zeros._squared_gradients)
    rows = np.column_stack([(X - center) / scale, np.ones(50)])
    expected = np.square(1.0 / 3.0 - np.eye(3)[y]).T @ np.square(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("C", [1.005, 1.02])
def test_both_coefficients_of_opposite_columns_may_become_zero(C):
    """`C` is a multiple of the smallest one with nonzero coefficients."""
    rng = np.random.default_rng(0)
    x = np.where(rng.uniform(size=60) < 0.5, 1.0, -1.0)
    y = (x + 1.5 * rng.normal(size=60) > 0.0).astype(int)
    X = np.column_stack([x, -x])
    clf = MaxentClassifier(C=C / abs(x @ (y - y.mean())), l1_ratio=1.0, tol=1e-8).fit(X, y)
    assert np.count_nonzero(clf.coef_) == 2
    exact = []
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        without = MaxentClassifier(**clf.get_params()).fit(X[kept], y[kept])
        exact.append(without.predict_log_proba(X[[i]])[0, y[i]])
    scores = leave_one_out(clf, X, y, max_refits=0)
    assert abs(scores.log_score - np.mean(exact)) < 1e-4


def test_many_zeros_change_if_there_are_more_coefficients_than_rows():
    """Without these changes, the errors would be ten times as large."""
    rng = np.random.default_rng(12)
    X, coef = rng.normal(size=(250, 120)), 0.15 * rng.normal(size=(3, 120))
    y = (X @ coef.T + rng.gumbel(size=(250, 3))).argmax(axis=1)
    clf = MaxentClassifier(C=0.15, l1_ratio=1.0, tol=1e-6).fit(X, y)
    scores = leave_one_out(clf, X, y, max_refits=0)
    errors = []
    for i in range(0, len(y), 5):
        kept = np.arange(len(y)) != i
        exact = MaxentClassifier(C=0.15, l1_ratio=1.0).fit(X[kept], y[kept])
        errors.append(scores.log_proba[i, y[i]] - exact.predict_log_proba(X[[i]])[0, y[i]])
    assert np.mean(np.abs(errors)) < 0.005
    assert abs(np.mean(errors)) < 0.1 * scores.log_score_std_err


@pytest.mark.parametrize("seed", [6, 8, 11])
def test_coefficients_may_pass_zero_without_a_row(seed):
    # They stopped at zero: errors were up to 0.72.
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(24, 3)), rng.integers(0, 2, 24)
    y[:4] = [0, 1, 0, 1]
    clf = MaxentClassifier(C=10.0, l1_ratio=0.5, tol=1e-8).fit(X, y)
    scores = leave_one_out(clf, X, y, max_refits=0)
    n_passing = 0
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        exact = MaxentClassifier(**clf.get_params()).fit(X[kept], y[kept])
        if (exact.coef_ * clf.coef_ < 0.0).any():
            n_passing += 1
            expected = exact.predict_log_proba(X[[i]])[0, y[i]]
            assert abs(scores.log_proba[i, y[i]] - expected) < 0.1
    assert n_passing >= 3


@pytest.mark.parametrize(
    "bounds", [(0.0, np.inf), (-0.2, 0.2), (-np.inf, 0.1), (0.05, 0.4), (-np.inf, -0.1)]
)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_coefficients_reach_and_leave_bounds_without_a_row(bounds, l1_ratio, n_classes):
    """Errors of steps in which they stay are up to 1.2 instead of 0.21 standard errors."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(40, 8))
    coef = 0.7 * rng.normal(size=(n_classes, 8))
    y = (X @ coef.T + rng.gumbel(size=(40, n_classes))).argmax(axis=1)
    factors = np.repeat([1.0, 0.0], [7, 1])
    clf = MaxentClassifier(
        C=0.5, l1_ratio=l1_ratio, bounds=bounds, penalty_factor=factors, tol=1e-8
    ).fit(X, y)
    exact = np.empty(len(y))
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        without = MaxentClassifier(**clf.get_params()).fit(X[kept], y[kept])
        exact[i] = without.predict_log_proba(X[[i]])[0, y[i]]
    steps = leave_one_out(clf, X, y, max_refits=0)
    assert abs(steps.log_score - exact.mean()) < 0.25 * steps.log_score_std_err
    scores = leave_one_out(clf, X, y, max_refits=40)
    found = scores.log_proba[np.arange(len(y)), y]
    assert len(scores.refitted)
    np.testing.assert_allclose(found[scores.refitted], exact[scores.refitted], atol=1e-4)
    assert abs(scores.log_score - exact.mean()) < 0.1 * scores.log_score_std_err


@pytest.mark.parametrize(("seed", "C", "exact"), [(3, 5.0, -0.91956), (4, 1.0, -0.77286)])
def test_rows_whose_changing_zeros_are_not_found_get_exact_fits(seed, C, exact):
    """The exact scores are those of fits without each row by proximal gradients in NumPy.

    Without exact fits for these rows, the errors are 0.09 and 0.10 standard errors, of which
    estimates show 0.004 and 0.02.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 30))
    y = (X @ (0.6 * rng.normal(size=(3, 30))).T + rng.gumbel(size=(60, 3))).argmax(axis=1)
    clf = MaxentClassifier(C=C, l1_ratio=1.0, bounds=(-0.2, 0.3), tol=1e-6).fit(X, y)
    scores = leave_one_out(clf, X, y)
    assert abs(scores.log_score - exact) < 0.02 * scores.log_score_std_err
