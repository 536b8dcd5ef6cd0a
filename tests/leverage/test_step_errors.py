"""Errors of one Newton step that exact fits for another penalty have shown."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier
from skmaxent._leverage._step_errors import StepErrors


def test_errors_grow_with_the_square_of_the_step():
    errors, step, error = StepErrors(), np.array([[1.0, 2.0]]), np.array([[0.1, -0.3]])
    errors.put([7], step, error)
    found = errors.of([7, 8], np.vstack([3.0 * step, step]))
    np.testing.assert_allclose(found, [[0.9, -2.7], [0.0, 0.0]])
    errors.put([8], 0.0 * step, error)
    np.testing.assert_array_equal(errors.of([8], step), 0.0 * step)


@pytest.mark.parametrize("strengths", [(1.0, 3.0), (10.0, 3.0)])
def test_estimates_from_another_penalty_are_near_to_the_errors_of_exact_fits(strengths):
    """The step is that of the Hessian without the row, in closed form for two classes."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(40, 3))
    y = (X.sum(axis=1) + rng.logistic(size=40) > 0.0).astype(int)
    steps, exact = [], []
    for C in strengths:
        options = {"C": C, "tol": 1e-10, "fit_intercept": False}
        w = MaxentClassifier(**options).fit(X, y).coef_[0]
        p = 1.0 / (1.0 + np.exp(-X @ w))
        H = (X * (p * (1.0 - p))[:, None]).T @ X + np.eye(3) / C
        found = []
        for i in range(len(y)):
            kept = np.arange(len(y)) != i
            of_row = H - p[i] * (1.0 - p[i]) * np.outer(X[i], X[i])
            step = np.linalg.solve(of_row, X[i] * (p[i] - y[i]))
            fit = MaxentClassifier(**options).fit(X[kept], y[kept]).coef_[0]
            found.append((step, fit - w - step))
        steps.append(np.array([each[0] for each in found]))
        exact.append(np.array([each[1] for each in found]))
    errors, keys = StepErrors(), list(range(len(y)))
    errors.put(keys, steps[0], exact[0])
    left = exact[1] - errors.of(keys, steps[1])
    large = np.argsort(-np.linalg.norm(exact[1], axis=1))[:8]
    ratio = np.linalg.norm(left[large], axis=1) / np.linalg.norm(exact[1][large], axis=1)
    assert np.median(ratio) < 0.35
