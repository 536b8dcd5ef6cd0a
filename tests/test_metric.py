"""Metrics against the Hessian that they stand for."""

import numpy as np
from problems import fit, problem

from skmaxent import _metric_choice
from skmaxent._metric import AssembledMetric


def test_a_hessian_of_sampled_rows_is_close_to_the_whole():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(6000, 12)) @ rng.normal(size=(12, 12))
    X[:, -1] = np.arange(6000) == 5  # a column that the sample misses
    y = rng.integers(0, 4, 6000)
    objective = problem(X, y, 4, strength=0.0, center=X.mean(axis=0), scale=X.std(axis=0))
    sample = objective.standardised(2000)
    assert np.ptp(sample.blocks.X[:, -1]) == 0.0
    theta = 0.1 * rng.normal(size=objective.shape)
    point = objective.at(theta)
    metric = AssembledMetric(point, sample, np.ones(12, bool))
    eigenvalues = []
    for _ in range(20):
        step = metric.solve(point.hessian_product(rng.normal(size=objective.shape)))
        product = point.hessian_product(step)
        eigenvalues.append(np.vdot(step, product) / np.vdot(product, metric.solve(product)))
    assert min(eigenvalues) > 0.3 and max(eigenvalues) < 3


def test_a_fit_that_assembles_a_sampled_hessian(monkeypatch):
    monkeypatch.setattr(_metric_choice, "ALWAYS_ASSEMBLED", 0)
    monkeypatch.setattr(_metric_choice, "EXACT_PRODUCTS", 0)
    built = []
    original = AssembledMetric.__init__

    def record(self, point, sample, *args, **options):
        built.append(sample.blocks.n_samples)
        original(self, point, sample, *args, **options)

    monkeypatch.setattr(AssembledMetric, "__init__", record)
    rng = np.random.default_rng(9)
    X = np.exp(rng.normal(size=(30_000, 15))) @ rng.normal(size=(15, 15))
    y = (X @ rng.normal(size=(15, 4)) / 2 + rng.gumbel(size=(30_000, 4))).argmax(axis=1)
    found = fit(X, y, 1.0)
    assert built and max(built) < 30_000
    best = fit(X, y, 1.0, tol=1e-9, solver="newton-cholesky")
    np.testing.assert_allclose(found.coef, best.coef, rtol=1e-4, atol=1e-6)
