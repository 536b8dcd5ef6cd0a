"""Solvers and certificates against an optimum in extended precision."""

import numpy as np
import pytest
from helpers import reference
from helpers.problems import datasets, fit
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.preprocessing import PolynomialFeatures

from skmaxent import MaxentClassifier
from skmaxent._solvers import Status, _hessian_bounds, _self_concordance


def excess(found, X, y, C, fit_intercept=True):
    """F and F - F* in extended precision, from the coefficients that were returned."""
    strength = 1.0 / C / len(X)
    value = reference.objective(X, y, found.coef, found.intercept, strength)
    return value, value - reference.optimum(X, y, strength, fit_intercept)


@pytest.mark.parametrize("solver", ["auto", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-8, 1.0, 1e3])
@pytest.mark.parametrize("name", datasets())
def test_the_gap_bounds_the_distance_to_the_optimum(name, C, fit_intercept, solver):
    X, y = datasets()[name]
    for tol in (3.0, 1e-1, 1e-4, 1e-9):
        found = fit(X, y, C, fit_intercept=fit_intercept, tol=tol, solver=solver)
        assert found.status in (Status.CONVERGED, Status.PRECISION)
        value, difference = excess(found, X, y, C, fit_intercept)
        assert difference <= found.gap * value
        # Twice the total log-likelihood to be gained is the squared distance in standard errors.
        distance = np.sqrt(2 * len(X) * max(difference, 0.0))
        assert distance <= 3 * tol + 1e-6


@pytest.mark.parametrize("name", ["iris", "raw wine", "units", "two classes"])
def test_the_gap_is_tight_at_the_default_tol(name):
    assert fit(*datasets()[name], 1.0).gap < 1e-6


def overlapping(name):
    X, y = datasets()[name]
    flipped = np.random.default_rng(0).random(len(y)) < 0.15
    return X, np.where(flipped, (y + 1) % (y.max() + 1), y)


@pytest.mark.parametrize("below", ["assembled", "sampled", "Kronecker"])
@pytest.mark.parametrize("solver", ["newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("name", ["iris", "raw wine", "units", "two classes", "raw breast cancer"])
def test_without_penalty_the_gap_bounds_too(name, solver, below, monkeypatch):
    if name == "raw breast cancer":
        X, y = load_breast_cancer(return_X_y=True)
        X, y = X[:, :10], (y + (X[:, 20] > 20)) % 3  # three classes that overlap
    else:
        X, y = overlapping(name)
    if below == "Kronecker":
        monkeypatch.setattr(_hessian_bounds, "ASSEMBLED_SIZE", 0)
    if below == "sampled":
        monkeypatch.setattr(_self_concordance, "kronecker_bound", lambda *args: None)
        monkeypatch.setattr(_hessian_bounds, "affordable_rows", lambda objective: len(y) // 2)
    for tol in (1.0, 1e-1, 1e-2, 1e-4):
        found = fit(X, y, np.inf, tol=tol, solver=solver)
        assert found.status is Status.CONVERGED
        value, difference = excess(found, X, y, np.inf)
        assert difference <= found.gap * value
    assert found.gap < 1e-6


def test_without_penalty_many_classes_have_a_bound():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 30)) * 10.0 ** rng.uniform(-3, 3, 30)
    logits = X / X.std(axis=0) @ rng.normal(size=(30, 50)) / 5
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert fit(X, y, np.inf).gap < 1e-9
    best = fit(X, y, np.inf, tol=1e-9).value
    loose = fit(X, y, np.inf, tol=1e-2)
    assert 0 < (loose.value - best) / loose.value <= loose.gap


def test_separated_classes_without_penalty_have_no_optimum():
    X, y = load_iris(return_X_y=True)
    assert fit(X, (y == 0).astype(int), np.inf).status is Status.SEPARATED


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("solver", ["newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_quasi_complete_separation_has_no_optimum(n_classes, solver, tol):
    rng = np.random.default_rng(1)
    indicator = np.arange(90) % 3 == 0
    X = np.column_stack([indicator, rng.normal(size=90)])
    y = np.where(indicator, n_classes - 1, rng.integers(0, n_classes, 90))
    assert fit(X, y, np.inf, tol=tol, solver=solver).status is Status.QUASI_SEPARATED
    y[0] = 0  # one row on the other side, and an optimum exists
    y[3] = 1
    assert fit(X, y, np.inf, tol=tol, solver=solver).status in (Status.CONVERGED, Status.PRECISION)


def test_passes_over_the_data_do_not_grow():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(4000, 60)) @ rng.normal(size=(60, 60))
    y = (X @ rng.normal(size=(60, 8)) / 8 + rng.gumbel(size=(4000, 8))).argmax(axis=1)
    last = fit(X, y, 1.0).history[-1]
    assert last.n_gradients <= 14
    assert last.n_hessian_products <= 150


@pytest.mark.parametrize("difference", [1e-3, 1e-5, 1e-6])
def test_products_in_float32_do_not_flatter_nearly_collinear_columns(difference):
    rng = np.random.default_rng(10)
    Z = rng.normal(size=(3000, 6))
    X = np.column_stack([Z, Z[:, :3] + difference * rng.normal(size=(3000, 3))])
    logits = (X[:, :3] - X[:, 6:]) / difference @ rng.normal(size=(3, 4)) + Z @ rng.normal(
        size=(6, 4)
    )
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    best = fit(X, y, np.inf, tol=1e-9, solver="newton-cholesky").value
    found = fit(X, y, np.inf, tol=1e-4, solver="newton-cg")
    assert found.status in (Status.CONVERGED, Status.PRECISION)
    assert found.history[-1].n_hessian_products > 2
    assert np.sqrt(2 * len(X) * max(found.value - best, 0.0)) <= 1e-3


def test_a_start_from_samples_has_every_class_and_is_near():
    rng = np.random.default_rng(11)
    X = rng.normal(size=(100_000, 40))
    logits = X @ rng.normal(size=(40, 3)) / 6 + np.log([1.0, 0.3, 0.0003])
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert 0 < (y == 2).sum() < 100
    found = fit(X, y, 1.0)
    # From the null model the first distance is hundreds of standard errors.
    assert found.history[0].distance < 3 * np.sqrt(8 * 2 * 41)
    value = reference.objective(X, y, found.coef, found.intercept, 1.0 / len(y))
    other = fit(X, y, 1.0, start=(np.zeros((3, 40)), np.zeros(3)))
    assert other.history[0].distance > 3 * found.history[0].distance
    assert abs(value - other.value) <= 1e-9 * value


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0, np.inf])
def test_outliers_and_their_squares_do_not_keep_the_optimum_away(C):
    """Eight cells of correlated columns far out, which a sample of the rows may miss."""
    rng = np.random.default_rng(0)
    n, d, K = 20_000, 7, 5
    X = rng.normal(size=(n, d)) @ np.linalg.cholesky(0.9 + 0.1 * np.eye(d)).T
    y = (X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    X[rng.integers(0, n, 8), rng.integers(0, d, 8)] += rng.choice([10.0, 25.0, 40.0], 8)
    found = fit(PolynomialFeatures(include_bias=False).fit_transform(X + 5.0), y, C)
    assert found.status is Status.CONVERGED
    assert found.gap < 1e-6


def test_loose_tolerances_do_not_go_to_the_precise_solver(monkeypatch):
    X, y = load_digits(return_X_y=True)

    def refuse(*arguments):
        raise AssertionError("the precise solver was called")

    monkeypatch.setattr("skmaxent._solvers._strategy.newton_precise", refuse)
    loose = MaxentClassifier(tol=1.0).fit(X, y)
    tight = MaxentClassifier(tol=1e-4).fit(X, y)
    assert_allclose(loose.predict_proba(X), tight.predict_proba(X), atol=0.02)
