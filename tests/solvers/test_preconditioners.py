"""Metrics against the Hessian that they stand for."""

from functools import partial

import numpy as np
import pytest
from helpers.problems import fit, problem

from skmaxent._objective._moments import column_moments, null_point
from skmaxent._solvers import _preconditioner_choice, _preconditioners
from skmaxent._solvers._preconditioners import (
    AssembledPreconditioner,
    DiagonalPreconditioner,
    KroneckerPreconditioner,
)


def test_a_hessian_of_sampled_rows_is_close_to_the_whole():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(6000, 12)) @ rng.normal(size=(12, 12))
    X[:, -1] = np.arange(6000) == 5  # a column that a sample of equal chances misses
    y = rng.integers(0, 4, 6000)
    objective = problem(X, y, 4, strength=0.0, center=X.mean(axis=0), scale=X.std(axis=0))
    sample = objective.standardised(2000)
    assert np.ptp(sample.blocks.X[:, -1]) > 0.0  # its row is heavy, and comes in whole
    theta = 0.1 * rng.normal(size=objective.shape)
    point = objective.at(theta)
    preconditioner = AssembledPreconditioner(point, sample)
    eigenvalues = []
    for _ in range(20):
        step = preconditioner.solve(point.hessian_product(rng.normal(size=objective.shape)))
        product = point.hessian_product(step)
        eigenvalues.append(np.vdot(step, product) / np.vdot(product, preconditioner.solve(product)))
    assert min(eigenvalues) > 0.3 and max(eigenvalues) < 3


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("K", [2, 5])
def test_the_kronecker_form_is_the_hessian_without_features(
    K, fit_intercept, balanced, monkeypatch
):
    monkeypatch.setattr(_preconditioners, "EQUAL_CURVATURES", 1.0)
    rng = np.random.default_rng(12)
    X = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6))
    y = np.arange(400) % K
    if not balanced:
        y[:300] = 0
    center, scale = X.mean(axis=0), X.std(axis=0)
    objective = problem(
        X, y, K, fit_intercept=fit_intercept, strength=0.01, center=center, scale=scale
    )
    point = null_point(objective, column_moments(objective.blocks, objective.likelihood))
    preconditioner = KroneckerPreconditioner(point, objective)
    for _ in range(5):
        direction = rng.normal(size=objective.shape)
        direction -= direction.mean(axis=0) if K > 2 else 0.0
        direction[:, -1] *= fit_intercept
        back = preconditioner.solve(point.hessian_product(direction))
        np.testing.assert_allclose(back, direction, rtol=1e-6, atol=1e-6)


METRICS = {
    "full": KroneckerPreconditioner,
    "diagonal Kronecker": partial(KroneckerPreconditioner, full=False),
    "diagonal": DiagonalPreconditioner,
    "assembled": AssembledPreconditioner,
}


def test_wide_covariances_in_float32_are_of_standardised_columns():
    # Squares of the raw columns, and of the columns before they are centred, have no digits left in
    # float32, and some overflow.
    rng = np.random.default_rng(3)
    d = _preconditioners.FLOAT32_COLUMNS
    scale = 10.0 ** rng.uniform(-25.0, 25.0, d)
    X = (rng.normal(size=(600, d)) + 1e4) * scale
    y = np.arange(600) % 3
    center, scale = X.mean(axis=0), X.std(axis=0)
    objective = problem(X, y, 3, strength=0.01, center=center, scale=scale)
    assert objective.tolerates_float32
    point = null_point(objective, column_moments(objective.blocks, objective.likelihood))
    preconditioner = KroneckerPreconditioner(point, objective)
    direction = rng.normal(size=objective.shape)
    direction -= direction.mean(axis=0)
    back = preconditioner.solve(point.hessian_product(direction))
    np.testing.assert_allclose(back, direction, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", METRICS)
def test_the_inverse_metric_is_symmetric_positive_and_keeps_the_sum_zero(name):
    rng = np.random.default_rng(13)
    X = rng.normal(size=(300, 5))
    y = (X @ rng.normal(size=(5, 4)) + rng.gumbel(size=(300, 4))).argmax(axis=1)
    objective = problem(X, y, 4, strength=0.1, center=X.mean(axis=0))
    point = objective.at(rng.normal(size=objective.shape))
    preconditioner = METRICS[name](point, objective)
    directions = rng.normal(size=(2, *objective.shape))
    G, H = (point.hessian_product(v - v.mean(axis=0)) for v in directions)
    g, h = preconditioner.solve(G), preconditioner.solve(H)
    np.testing.assert_allclose(np.vdot(g, H), np.vdot(G, h), rtol=1e-10)
    assert np.vdot(g, G) > 0
    np.testing.assert_allclose(g.sum(axis=0), 0.0, atol=1e-10)


def test_a_fit_that_assembles_a_sampled_hessian(monkeypatch):
    monkeypatch.setattr(_preconditioner_choice, "ALWAYS_ASSEMBLED", 0)
    monkeypatch.setattr(_preconditioner_choice, "EXACT_PRODUCTS", 0)
    built = []
    original = AssembledPreconditioner.__init__

    def record(self, point, sample, *args, **options):
        built.append(sample.blocks.n_samples)
        original(self, point, sample, *args, **options)

    monkeypatch.setattr(AssembledPreconditioner, "__init__", record)
    rng = np.random.default_rng(9)
    X = np.exp(rng.normal(size=(30_000, 15))) @ rng.normal(size=(15, 15))
    y = (X @ rng.normal(size=(15, 4)) / 2 + rng.gumbel(size=(30_000, 4))).argmax(axis=1)
    found = fit(X, y, 1.0)
    assert built and max(built) < 30_000
    best = fit(X, y, 1.0, tol=1e-9, solver="newton-cholesky")
    np.testing.assert_allclose(found.coef, best.coef, rtol=1e-4, atol=1e-6)
