"""Linear systems of the Kronecker model of the Hessian, against the assembled matrix."""

import numpy as np
import pytest

from skmaxent._objective._penalty import Tangent
from skmaxent._solvers._quadratic import KroneckerModel


@pytest.mark.parametrize("share_free", [0.2, 1.0], ids=["factor", "conjugate gradients"])
@pytest.mark.parametrize("is_coupled", [True, False])
def test_systems_of_the_free_coefficients(share_free, is_coupled):
    rng = np.random.default_rng(0)
    R, width = 3, 300
    alpha = rng.random(R) + 0.5
    share = alpha / alpha.sum() * is_coupled
    X = rng.normal(size=(2 * width, width)) * 10.0 ** rng.uniform(-1, 1, width)
    covariance = X.T @ X / len(X)
    covariance[-1, :-1] = covariance[:-1, -1] = 0.0
    model = KroneckerModel(alpha, share, covariance)
    free = rng.random((R, width)) < share_free
    ridge = rng.random((R, width))
    rhs = rng.normal(size=(R, width))
    tangent = Tangent(free, np.zeros((R, width)), ridge, is_coupled=is_coupled)
    M = np.kron(np.diag(alpha) - np.outer(share, alpha), covariance)
    M += np.kron(np.ones((R, R)) / R, np.diag(model.shift_curvature)) + np.diag(ridge.ravel())
    at = np.flatnonzero(free)
    expected = np.zeros(R * width)
    expected[at] = np.linalg.solve(M[np.ix_(at, at)], rhs.ravel()[at])
    for _ in range(2):  # the second time with the factor that was kept
        found = model.solve(rhs, tangent).ravel()
        error = found - expected
        assert np.sqrt(error @ M @ error) <= 5e-3 * np.sqrt(expected @ M @ expected)
    if share_free < 1.0:
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * abs(expected).max())


@pytest.mark.parametrize("grouped", [True, False])
def test_repeated_systems_of_one_manifold_are_solved_by_a_factor(grouped):
    """Conjugate gradients on correlated columns soon cost more than the Cholesky factor."""
    rng = np.random.default_rng(1)
    R, width = 4, 60
    alpha = rng.random(R) + 0.5
    share = alpha / alpha.sum()
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, width)) + 0.01 * rng.normal(
        size=(500, width)
    )
    covariance = X.T @ X / len(X)
    model = KroneckerModel(alpha, share, covariance)
    M = np.kron(np.diag(alpha) - np.outer(share, alpha), covariance)
    M += np.kron(np.ones((R, R)) / R, np.diag(model.shift_curvature))
    ridge = 0.01 * rng.random((R, width))
    M += np.diag(ridge.ravel())
    free, groups = np.ones((R, width), dtype=bool), {}
    if grouped:
        curvature, unit = rng.random(width), rng.normal(size=(R, width))
        unit /= np.linalg.norm(unit, axis=0)
        groups = {"group_curvature": curvature, "unit": unit}
        across = np.eye(R)[:, :, None] - unit[:, None] * unit
        for j in range(width):
            M[j::width, j::width] += curvature[j] * across[:, :, j]
    tangent = Tangent(free, np.zeros((R, width)), ridge, **groups)
    for _ in range(40):
        rhs = rng.normal(size=(R, width))
        found = model.solve(rhs, tangent)
    expected = np.linalg.solve(M, rhs.ravel())
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5, atol=1e-6 * abs(expected).max())
