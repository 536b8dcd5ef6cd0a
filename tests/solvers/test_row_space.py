"""Linear systems of few rows, and of few coefficients, against dense linear algebra."""

import numpy as np
import pytest

from skmaxent._objective._penalty import Tangent
from skmaxent._solvers._coefficient_space import CoefficientSpaceSystem
from skmaxent._solvers._hessian_models import inverse_curvature
from skmaxent._solvers._row_space import InverseCurvature, RowSpaceSystem

R, WIDTH, N = 3, 7, 4


def _rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(WIDTH, N)), rng.normal(size=(R, R, N)), rng.normal(size=(R, WIDTH))


def _hessian(X, roots):
    B = np.einsum("kmi,ji->ikmj", roots, X).reshape(N * R, R * WIDTH)
    return B.T @ B


def _dense(inverse):
    """The matrix (R·width, R·width) of an inverse curvature, from its products."""
    unit = np.eye(R * WIDTH).reshape(-1, R, WIDTH)
    return np.array([inverse.apply(V).ravel() for V in unit]).T


@pytest.mark.parametrize("n_diagonals", [1, R])
@pytest.mark.parametrize("has_vectors", [False, True])
def test_solutions_are_those_of_the_whole_matrix(n_diagonals, has_vectors):
    X, roots, rhs = _rows()
    rng = np.random.default_rng(1)
    diagonal = rng.uniform(0.5, 2.0, size=(n_diagonals, WIDTH))
    inverse = InverseCurvature(diagonal, rng.normal(size=(R, WIDTH)) if has_vectors else None)
    found = RowSpaceSystem(X, roots, inverse).solve(rhs)
    matrix = _hessian(X, roots) + np.linalg.inv(_dense(inverse))
    # The factor of the rows has 1e-10 of its diagonal added.
    np.testing.assert_allclose(found.ravel(), np.linalg.solve(matrix, rhs.ravel()), rtol=1e-6)


def test_solutions_among_coefficients_are_those_of_the_whole_matrix():
    # A coefficient that is fixed has a D⁻¹ of zero and does not move.
    X, roots, rhs = _rows()
    inverse = np.random.default_rng(3).uniform(0.5, 2.0, size=(R, WIDTH))
    inverse[1, 2], inverse[0, 3] = 0.0, 1e9
    found = CoefficientSpaceSystem(X, roots, inverse).solve(rhs)
    assert found[1, 2] == 0.0
    moves = (inverse > 0.0).ravel()
    matrix = _hessian(X, roots)[np.ix_(moves, moves)] + np.diag(1.0 / inverse.ravel()[moves])
    expected = np.linalg.solve(matrix, rhs.ravel()[moves])
    np.testing.assert_allclose(found.ravel()[moves], expected, rtol=1e-6)


def test_the_inverse_curvature_of_groups_is_that_of_the_dense_matrix():
    rng = np.random.default_rng(2)
    unit = rng.normal(size=(R, WIDTH))
    unit /= np.sqrt(np.square(unit).sum(axis=0))
    c, d = rng.uniform(0.0, 5.0, WIDTH), rng.uniform(1e-8, 1.0, (R, WIDTH))
    free = np.ones((R, WIDTH), dtype=bool)
    free[:, 2] = False
    tangent = Tangent(free, np.zeros((R, WIDTH)), d, c, unit)
    found = _dense(inverse_curvature(free, d, tangent)).reshape(R, WIDTH, R, WIDTH)
    for j in range(WIDTH):
        block = np.diag(d[:, j]) + c[j] * (np.eye(R) - np.outer(unit[:, j], unit[:, j]))
        expected = np.linalg.inv(block) if free[0, j] else np.zeros((R, R))
        np.testing.assert_allclose(found[:, j, :, j], expected, rtol=1e-7, atol=1e-12)
