"""Rows whose probabilities are 0 and 1 have no curvature: fits with them do not end unseen.

Offsets of this size make the loss piecewise linear. What SciPy's L-BFGS-B reaches from the
coefficients of a fit bounds from below what the fit has left.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, MaxentObjective
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._solvers import SmallBatch
from skmaxent._solvers._precise_nonsmooth import _Search

N, D, K = 100, 3, 3


@pytest.fixture
def rows():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(N, D)), rng.integers(0, K, N)
    return X, y, np.random.default_rng(1).uniform(-1.0, 1.0, (N, K))


def objective(v, X, y, offset, prior):
    """Mean loss and ridge with C=1, and the gradient, at coefficients and intercepts in a row."""
    W, b = v[: K * D].reshape(K, D), v[K * D :]
    Z = X @ W.T + b + offset
    P = softmax(Z, axis=1)
    residual = (P - np.eye(K)[y]) / N
    value = (logsumexp(Z, axis=1) - Z[np.arange(N), y]).mean()
    value += np.square(W - prior).sum() / (2.0 * N)
    return value, np.r_[(residual.T @ X + (W - prior) / N).ravel(), residual.sum(axis=0)]


PENALTIES = [
    ({"prior_coef": np.ones((K, D))}, 1.0, None),
    ({"bounds": (0.0, 1.0)}, 0.0, (0.0, 1.0)),
    ({"penalty_factor": np.ones((K, D))}, 0.0, None),
]


@pytest.mark.parametrize(("params", "prior", "box"), PENALTIES)
@pytest.mark.parametrize("size", [1e2, 1e5, 1e6, 1e12])
def test_a_fit_that_is_not_optimal_says_so(params, prior, box, size, rows):
    X, y, offset = rows
    offset = size * offset
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf = MaxentClassifier(**params).fit(X, y, offset=offset)
    start = np.r_[clf.coef_.ravel(), clf.intercept_]
    value = objective(start, X, y, offset, prior)[0]
    end = minimize(
        objective,
        start,
        args=(X, y, offset, prior),
        jac=True,
        method="L-BFGS-B",
        bounds=None if box is None else [box] * (K * D) + [(None, None)] * K,
        options={"maxiter": 2000},
    )
    gap = (value - end.fun) / value
    assert clf.optimality_gap_ >= gap
    if gap > 1e-9:
        assert any(issubclass(warning.category, ConvergenceWarning) for warning in found)
    if size == 1e2:  # rows enough that are not saturated
        assert not found
        assert gap < 1e-9


@pytest.mark.parametrize("params", [{"l1_ratio": 1.0}, {"l1_ratio": 0.5, "grouped": True}])
def test_no_false_alarm_for_columns_in_any_units(params, rows):
    """The certificate may say nothing for columns in huge units; the fit is right, and quiet."""
    X, y, _ = rows
    clf = MaxentClassifier(tol=1e-8, **params).fit(X, y)
    units = np.array([1.0, 1e20, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = MaxentClassifier(tol=1e-8, penalty_factor=[1.0, 0.0, 1.0], **params)
        other.fit(X * units, y)
        free = MaxentClassifier(tol=1e-8, penalty_factor=[1.0, 0.0, 1.0], **params).fit(X, y)
    assert_allclose(other.coef_ * units, free.coef_, rtol=1e-5, atol=1e-7)
    assert np.abs(clf.coef_ - free.coef_).max() > 1e-3


@pytest.mark.parametrize("solver", ["auto", "newton-cholesky", "newton-cg"])
@pytest.mark.parametrize("seed", [1464, 1473, 1550, 1819])
def test_no_step_ends_far_from_the_optimum_where_no_row_has_curvature(seed, solver):
    """A quadratic model of rows almost without curvature predicts a decrease of more than F."""
    rng = np.random.default_rng(seed)
    n, n_classes, d = rng.choice([8, 12, 20]), rng.choice([2, 3]), rng.choice([1, 4, 10])
    X, y = rng.normal(size=(n, d)), rng.integers(0, n_classes, n)
    y[:n_classes] = np.arange(n_classes)
    C, size = rng.choice([0.01, 1.0, 100.0, 1e4]), rng.choice([5, 10, 20, 40])
    offset = rng.normal(size=(n, n_classes)) * size
    assert rng.random() < 0.5
    weights = 10 ** rng.uniform(-2, 2, n)
    problem = MaxentObjective(X, y, C=C, sample_weight=weights, offset=offset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MaxentClassifier(C=C, solver=solver, tol=1e-6).fit(X, y, weights, offset)
    found = problem.flatten(clf.coef_, clf.intercept_)
    end = minimize(
        problem.fun_and_grad,
        problem.x0,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9},
    )
    assert problem.fun(found) <= end.fun * (1 + 1e-9)


def test_a_prior_that_saturates_every_row_does_not_end_in_silence():
    """All eight rows lose their curvature on the way to a prior with large coefficients."""
    rng = np.random.default_rng(339)
    n, n_classes, d = rng.choice([8, 12, 60]), rng.choice([2, 3]), rng.choice([1, 4, 10])
    X, y = rng.normal(size=(n, d)), rng.integers(0, n_classes, n)
    y[:n_classes] = np.arange(n_classes)
    C, size = rng.choice([0.01, 1.0, 100.0]), rng.choice([1, 5, 20, 40])
    offset = rng.normal(size=(n, n_classes)) * size
    prior = np.array([[-1.5, -1.2, 4.7, -4.7]])
    problem = MaxentObjective(X, y, C=C, prior_coef=prior, offset=offset)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf = MaxentClassifier(C=C, prior_coef=prior, tol=1e-6).fit(X, y, offset=offset)
    value = problem.fun(problem.flatten(clf.coef_, clf.intercept_))
    end = minimize(problem.fun_and_grad, problem.x0, jac=True, method="L-BFGS-B")
    gap = (value - end.fun) / value
    assert gap <= clf.optimality_gap_
    assert gap < 1e-6 or any(issubclass(warning.category, ConvergenceWarning) for warning in found)


@pytest.mark.parametrize("size", [30.0, 60.0, 300.0])
def test_columns_that_vary_in_saturated_rows_do_not_raise_the_mean_curvature(size):
    """A share of the mean curvature is added to all columns, and must not hide any of them."""
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=(20, 2)), np.zeros(20)])
    X[3, 2] = 1.0
    y = rng.integers(3, size=20)
    y[:3], y[3] = [0, 1, 2], 0
    model = MaxentClassifier(C=1.0)
    settings = Settings.of(model)
    coef = np.zeros((3, 3))
    coef[:, 2] = size, -size, 0.0
    with TrainingProblem.of(read(settings, model, X, y, None, None), settings) as training:
        columns = training.problem.objective.standardisation
        theta = np.column_stack([coef * columns.scale, coef @ columns.center])
        search = _Search(training.problem, theta)
    P = softmax(X @ coef.T, axis=1)
    assert_allclose(search.mean_curvature, (P * (1.0 - P)).mean(), rtol=1e-12)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_many_small_fits_do_not_end_where_the_curvature_underflows(rows, l1_ratio):
    """From there no step starts: that this step is short does not mean that a minimum is near."""
    X, y, _ = rows
    model = MaxentClassifier(C=1e8, l1_ratio=l1_ratio, tol=1e-8)
    settings = Settings.of(model)
    with TrainingProblem.of(read(settings, model, X, y), settings) as training:
        objective, n = training.problem.objective, len(y)
        penalty = training.problem.terms.whole_penalty()
        batch = SmallBatch(objective, np.full((1, n), 1.0 / n), np.array([n]), [penalty])
        near = batch.null()
        far = 1e6 * np.random.default_rng(0).normal(size=near.shape)
        at, strength = np.zeros(2, dtype=int), np.ones(2)
        W, n_iter = batch.minimise(at, strength, np.concatenate([near, far]), 1e-6, 50)
        values = batch.at(at, strength, W).value
        assert n_iter[0] > 0
    # Either the second fit ends at the minimum too, or it is left to a solver.
    assert n_iter[1] == 0 or values[1] <= values[0] + 1e-9
