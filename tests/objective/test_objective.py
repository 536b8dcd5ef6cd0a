"""Value and derivatives against scikit-learn and finite differences."""

import pickle

import numpy as np
import pytest
from helpers.problems import problem
from scipy.optimize import approx_fprime
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.linear_model._linear_loss import LinearModelLoss

from skmaxent._objective._penalty import Ridge


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_value_gradient_and_product_equal_scikit_learns(
    stored, small_blocks, dtype, K, fit_intercept, weighted
):
    rng = np.random.default_rng(0)
    n, d = 83, 4
    dense = rng.normal(size=(n, d)).astype(dtype)
    y = rng.integers(0, K, n)
    weights = rng.uniform(0.1, 2, n).astype(dtype) if weighted else None
    center = rng.normal(size=d)
    objective = problem(stored(dense), y, K, weights, fit_intercept, center=center)
    theta = rng.normal(size=objective.shape)
    direction = rng.normal(size=objective.shape)
    if not fit_intercept:
        theta[:, -1] = direction[:, -1] = 0.0
        center = np.zeros(d)
    point = objective.at(theta)

    base = HalfBinomialLoss() if K == 2 else HalfMultinomialLoss(n_classes=K)
    loss = LinearModelLoss(base_loss=base, fit_intercept=fit_intercept)

    def raw(v):
        flat = v.copy()
        flat[:, -1] -= flat[:, :-1] @ center
        flat = flat if fit_intercept else flat[:, :-1]
        return flat.ravel() if K == 2 else flat.ravel(order="F")

    def centred(g):
        g = g.reshape(theta.shape[0], -1, order="F")
        if fit_intercept:
            g = g.copy()
            g[:, :-1] -= np.outer(g[:, -1], center)
            return g
        return np.column_stack([g, np.zeros(len(g))])

    X64, y64 = dense.astype(float), y.astype(float)
    w64 = None if weights is None else weights.astype(float)
    value, gradient = loss.loss_gradient(raw(theta), X64, y64, w64, l2_reg_strength=0.1)
    _, product = loss.gradient_hessian_product(raw(theta), X64, y64, w64, l2_reg_strength=0.1)
    rtol = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(point.value, value, rtol=rtol)
    np.testing.assert_allclose(point.gradient, centred(gradient), rtol=rtol, atol=rtol)
    expected = centred(product(raw(direction)))
    np.testing.assert_allclose(point.hessian_product(direction), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("K", [2, 4])
def test_gradient_is_the_finite_difference(K):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, K, 40)
    objective = problem(X, y, K, center=X.mean(axis=0))
    theta = rng.normal(size=objective.shape)
    numeric = approx_fprime(
        theta.ravel(), lambda v: objective.at(v.reshape(theta.shape)).value, 1e-7
    )
    np.testing.assert_allclose(objective.at(theta).gradient.ravel(), numeric, atol=1e-6)


@pytest.mark.parametrize("K", [2, 3, 5])
def test_fisher_information_is_the_matrix_of_hessian_products(small_blocks, K):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, K, 60)
    weights = rng.uniform(0.5, 2, 60)
    objective = problem(X, y, K, weights, strength=0.0, center=X.mean(axis=0))
    theta = rng.normal(size=objective.shape)
    point, r = objective.at(theta), max(1, objective.shape[0] - 1)
    columns = []
    for k in range(r):
        for j in range(objective.shape[1]):
            unit = np.zeros(objective.shape)
            unit[k, j] = 1.0
            columns.append(point.hessian_product(unit)[:r].ravel())
    np.testing.assert_allclose(point.fisher_information(), np.array(columns), atol=1e-14)


def test_recomputed_probabilities_give_the_same_products(small_blocks):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    theta, direction = rng.normal(size=(2, 3, 4))
    kept = problem(X, y, 3).at(theta)
    recomputed = problem(X, y, 3, keep_bytes=0).at(theta)
    assert kept.probabilities.keeps and not recomputed.probabilities.keeps
    np.testing.assert_allclose(
        kept.hessian_product(direction), recomputed.hessian_product(direction), rtol=1e-13
    )


def _total_weight(objective):
    """What `computed_once` calls; a function of the module, so that a pickle could contain it."""
    CALLS.append(objective)
    return objective.total_weight


CALLS = []


def test_objectives_of_the_same_loss_share_what_is_computed_once():
    CALLS.clear()
    objective = problem(np.eye(6)[:, :3], np.arange(6) % 3, 3)
    other = objective.with_penalty(Ridge(np.full(3, 0.5)))
    assert objective.computed_once(_total_weight) == other.computed_once(_total_weight) == 6.0
    assert len(CALLS) == 1
    # Columns with other constants make another loss, and results are not pickled.
    objective.with_standardisation(objective.standardisation).computed_once(_total_weight)
    assert len(CALLS) == 2
    pickle.loads(pickle.dumps(objective)).computed_once(_total_weight)
    assert len(CALLS) == 3
