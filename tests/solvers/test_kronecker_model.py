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
