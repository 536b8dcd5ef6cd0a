"""Models with the Hessian of all rows, against its matrix by products with unit vectors."""

import numpy as np
import pytest
from helpers.problems import problem

from skmaxent._objective._penalty import Tangent
from skmaxent._solvers._hessian_models import RowSpaceModel
from skmaxent._solvers._models import model_at


def at_some_point(n=15, d=40, **options):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-1, 1, size=d) + 2.0
    objective = problem(
        X, np.arange(n) % 3, 3, strength=0.0, center=X.mean(axis=0), scale=X.std(axis=0), **options
    )
    theta = 0.2 * rng.normal(size=(3, d + 1)) * objective.standardisation.is_free
    return objective.at(np.asfortranarray(theta))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_free", [20, 100])
@pytest.mark.parametrize("weighted", [True, False])
def test_systems_of_few_rows(n_free, fit_intercept, weighted):
    rng = np.random.default_rng(5)
    weights = rng.random(15) + 0.5 if weighted else None
    point = at_some_point(fit_intercept=fit_intercept, weights=weights)
    model = RowSpaceModel(point, model_at(point, 0))
    units = np.eye(point.theta.size).reshape(-1, *point.theta.shape)
    M = np.array([point.hessian_product(unit).ravel() for unit in units])
    V = rng.normal(size=point.theta.shape)
    V[:, -1] *= fit_intercept
    kept = slice(None) if fit_intercept else slice(-1)
    product = (M @ V.ravel()).reshape(V.shape)
    np.testing.assert_allclose(model.loss_product(V)[:, kept], product[:, kept], atol=1e-10)

    free = np.zeros(point.theta.size, dtype=bool)
    free[rng.permutation(free.size)[:n_free]] = True
    free = free.reshape(point.theta.shape) & np.append(np.ones(40, bool), False)
    ridge = 0.1 + rng.random(point.theta.shape)
    rhs = rng.normal(size=point.theta.shape)
    kept = np.flatnonzero(free)
    expected = np.zeros(free.size)
    H = M + np.diag(ridge.ravel())
    expected[kept] = np.linalg.solve(H[np.ix_(kept, kept)], rhs.ravel()[kept])
    tangent = Tangent(free, np.zeros_like(rhs), ridge)
    for _ in range(2):  # the second time with the factor that was kept
        found = model.solve(rhs, tangent).ravel()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


def test_a_system_without_free_coefficients_has_the_solution_zero():
    """Bounds that hold all coefficients, and no intercept, leave nothing free."""
    point = at_some_point(fit_intercept=False)
    model = RowSpaceModel(point, model_at(point, 0))
    none = np.zeros(point.theta.shape, dtype=bool)
    tangent = Tangent(none, np.zeros(none.shape), np.ones(none.shape))
    np.testing.assert_array_equal(model.solve(np.ones(none.shape), tangent), np.zeros(none.shape))
