"""Ridge fits of few rows and many columns in different units."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers.problems import problem

from skmaxent import MaxentClassifier
from skmaxent._solvers._row_space_preconditioner import RowSpaceBasis, RowSpacePreconditioner


def unscaled(n, d, seed, density=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < density)
    return X * 10.0 ** rng.uniform(-4, 4, size=d)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("C", [0.1, 1.0])
def test_units_over_eight_decades_need_no_warning(C, is_sparse, n_classes):
    # Conjugate gradients reached max_iter at a certified gap of up to 1.
    n, d = 150, 2000
    X = unscaled(n, d, seed=1, density=0.05 if is_sparse else 1.0)
    y = np.arange(n) % n_classes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MaxentClassifier(C=C, tol=1e-6).fit(sp.csr_array(X) if is_sparse else X, y)
    assert clf.optimality_gap_ <= 1e-4
    # The optimum is a fixed point: W = -C Xᵀ (P - Y), where the sum over rows is that of the loss.
    residual = clf.predict_proba(X) - np.eye(n_classes)[y]
    expected = -C * (X.T @ residual).T
    coef = clf.coef_ if n_classes > 2 else np.vstack([-clf.coef_, clf.coef_])
    norm = np.linalg.norm(expected)
    np.testing.assert_allclose(coef, expected, atol=1e-3 * norm)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("is_coupled", [True, False])
def test_the_inverse_is_that_of_the_hessian(is_coupled, fit_intercept, weighted):
    rng = np.random.default_rng(3)
    n, d = 12, 40
    X = unscaled(n, d, seed=4)
    K = 3 if is_coupled else 2
    objective = problem(
        X,
        np.arange(n) % K,
        K,
        strength=0.5,
        center=X.mean(axis=0),
        scale=X.std(axis=0),
        fit_intercept=fit_intercept,
        weights=rng.random(n) + 0.5 if weighted else None,
    )
    free = objective.standardisation.is_free
    R = objective.shape[0]
    theta = 0.2 * rng.normal(size=(R, d + 1)) * free
    theta -= theta.mean(axis=0) if is_coupled else 0.0
    point = objective.at(np.asfortranarray(theta))
    M = RowSpacePreconditioner(point, RowSpaceBasis(objective))
    x = rng.normal(size=theta.shape) * free
    x -= x.mean(axis=0) if is_coupled else 0.0
    product = point.hessian_product(np.asfortranarray(x))
    found = M.solve(product)
    # The intercepts have a weak ridge in the preconditioner.
    np.testing.assert_allclose(found, x, atol=1e-3 if fit_intercept else 1e-8)
