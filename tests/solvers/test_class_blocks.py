"""The preconditioner with a block of the Hessian for each class."""

import numpy as np
import pytest
from helpers.problems import fit, problem
from sklearn.datasets import load_digits

from skmaxent._objective._likelihood import Sigmoids
from skmaxent._objective._moments import column_moments, null_point
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers import _class_blocks, _preconditioner_choice
from skmaxent._solvers._class_blocks import ClassBlockPreconditioner, _invert_triangle
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._threads import Workers

TOL = 1e-2


@pytest.fixture
def all_rows(monkeypatch):
    """Blocks are sums over all rows."""
    monkeypatch.setattr(_class_blocks, "ROWS_PER_COLUMN", 1e12)
    monkeypatch.setattr(_class_blocks, "POOLED_SHARE", 0.0)


def softmax_objective(n=400, d=6, K=4, **options):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3.0
    y = (X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = np.arange(K)
    return problem(X, y, K, center=X.mean(axis=0), scale=X.std(axis=0), **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_blocks_of_independent_labels_are_the_hessian(weighted, fit_intercept, all_rows):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 5)) * [1.0, 10.0, 0.1, 1.0, 3.0] + 2.0
    T = (rng.random((300, 3)) < [0.1, 0.5, 0.9]).astype(float)
    weights = rng.random(300) + 0.5 if weighted else None
    columns = Standardisation.of(
        5, fit_intercept=fit_intercept, center=X.mean(axis=0), scale=X.std(axis=0)
    )
    objective = MultinomialObjective(
        RowBlocks(X, T, weights, n_logits=3), Sigmoids(3), Ridge(np.full(5, 0.01)), columns
    )
    point = objective.at(np.asfortranarray(0.3 * rng.normal(size=(3, 6))))
    preconditioner = ClassBlockPreconditioner(point, objective)
    direction = rng.normal(size=(3, 6))
    direction[:, -1] *= fit_intercept
    back = preconditioner.solve(point.hessian_product(direction))
    np.testing.assert_allclose(back, direction, rtol=1e-3, atol=1e-3)


def test_without_features_the_blocks_are_a_multiple_of_the_hessian(all_rows):
    rng = np.random.default_rng(3)
    K = 5
    X = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))
    objective = problem(
        X, np.arange(500) % K, K, strength=0.0, center=X.mean(axis=0), scale=X.std(axis=0)
    )
    point = null_point(objective, column_moments(objective.blocks, objective.likelihood))
    direction = rng.normal(size=objective.shape)
    direction -= direction.mean(axis=0)
    back = ClassBlockPreconditioner(point, objective).solve(point.hessian_product(direction))
    # The curvature is p on shifts that sum to zero, and that of each block p (1 - p).
    np.testing.assert_allclose(back * (1.0 - 1.0 / K), direction, rtol=1e-3, atol=1e-3)


def test_the_inverse_is_symmetric_positive_and_keeps_the_sum_zero():
    objective = softmax_objective()
    rng = np.random.default_rng(4)
    point = objective.at(np.asfortranarray(rng.normal(size=objective.shape)))
    preconditioner = ClassBlockPreconditioner(point, objective)
    G, H = (v - v.mean(axis=0) for v in rng.normal(size=(2, *objective.shape)))
    g, h = preconditioner.solve(G), preconditioner.solve(H)
    np.testing.assert_allclose(np.vdot(g, H), np.vdot(G, h), rtol=1e-4)
    assert np.vdot(g, G) > 0.0
    np.testing.assert_allclose(g.sum(axis=0), 0.0, atol=1e-10 * np.abs(g).max())


@pytest.mark.parametrize("size", [1e-250, 1e250])
def test_gradients_outside_of_the_range_of_float32(size):
    objective = softmax_objective()
    G = np.random.default_rng(5).normal(size=objective.shape)
    preconditioner = ClassBlockPreconditioner(objective.at(objective.zeros()), objective)
    expected = preconditioner.solve(G)
    np.testing.assert_allclose(preconditioner.solve(size * G) / size, expected, rtol=1e-4)


def test_sampled_rows_are_enough_for_nearly_separable_classes():
    objective = softmax_objective(n=5000, d=20, strength=1e-4)
    rng = np.random.default_rng(6)
    point = objective.at(np.asfortranarray(3.0 * rng.normal(size=objective.shape)))
    assert point.loss > 1.0
    preconditioner = ClassBlockPreconditioner(point, objective)
    quotients = []
    for _ in range(20):
        v = rng.normal(size=objective.shape)
        Hv = point.hessian_product(v - v.mean(axis=0))
        step = preconditioner.solve(Hv)
        product = point.hessian_product(step)
        quotients.append(np.vdot(step, product) / np.vdot(product, preconditioner.solve(product)))
    assert max(quotients) < 8.0 * min(quotients)


def test_a_column_that_is_constant_and_a_class_without_curvature():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(200, 3))
    X[:, 1] = 0.0
    objective = problem(X, np.arange(200) % 3, 3, strength=0.0)
    objective.standardisation = Standardisation.of(3, varying=np.array([True, False, True]))
    theta = objective.zeros()
    theta[2, -1] = -1e4  # all probabilities of the last class are zero
    preconditioner = ClassBlockPreconditioner(objective.at(theta), objective)
    step = preconditioner.solve(rng.normal(size=objective.shape))
    assert np.isfinite(step).all()
    np.testing.assert_array_equal(step[:, 1], 0.0)
    assert np.all(step[:, [0, 2, 3]] != 0.0)


def products(monkeypatch, X, y, most_bytes):
    """Hessian products of a fit, how many preconditioners had blocks, and the solution."""
    built = []
    original = ClassBlockPreconditioner.__init__

    def record(self, *args, **options):
        built.append(1)
        original(self, *args, **options)

    monkeypatch.setattr(_preconditioner_choice, "BLOCKS_BYTES", most_bytes)
    with monkeypatch.context() as patch:
        patch.setattr(ClassBlockPreconditioner, "__init__", record)
        solution = fit(X, y, 30.0, tol=TOL)
    return solution.history[-1].n_hessian_products, len(built), solution


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fits_of_nearly_separable_classes_need_few_products(dtype, monkeypatch):
    monkeypatch.setattr(_preconditioner_choice, "BLOCK_CALLS", 1e5)
    monkeypatch.setattr(_preconditioner_choice, "ASSEMBLED_SIZE", 0)
    X, y = load_digits(return_X_y=True)
    X = X.astype(dtype)
    many, none, by_kronecker = products(monkeypatch, X, y, 0)
    few, some, by_blocks = products(monkeypatch, X, y, 1 << 27)
    assert none == 0 and some > 0
    assert few < 0.6 * many
    # Twice the total loss above the optimum is the square of the distance to it.
    assert 2.0 * len(y) * abs(by_blocks.value - by_kronecker.value) < TOL**2
    assert by_blocks.status == by_kronecker.status


@pytest.mark.parametrize("weight", [0.0, 1e-70])
@pytest.mark.parametrize("size", [1e30, 1e60])
def test_a_row_beyond_the_range_of_float32_with_hardly_a_weight_changes_nothing(weight, size):
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(400, 6)), np.arange(400) % 3
    theta = np.asfortranarray(rng.normal(size=(3, 7)))
    theta[:, 0] = 0.0
    G = rng.normal(size=(3, 7))
    kept = problem(X, y, 3, np.ones(400))
    expected = ClassBlockPreconditioner(kept.at(theta), kept).solve(G)
    X, y = np.vstack([X, np.zeros(6)]), np.append(y, 0)
    X[-1, 0] = size
    with np.errstate(over="ignore"):
        more = problem(X, y, 3, np.append(np.ones(400), weight))
        found = ClassBlockPreconditioner(more.at(theta), more).solve(G)
    np.testing.assert_allclose(found, expected, rtol=0.3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("n", [1, 2, 32, 33, 65, 151, 300])
def test_the_inverse_of_a_triangle(n):
    rng = np.random.default_rng(n)
    L = np.tril(rng.normal(size=(n, n)) / np.sqrt(n) + 2.0 * np.eye(n))
    found = np.asfortranarray(L.astype(np.float32))
    _invert_triangle(found)
    expected = np.linalg.inv(L)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5 * np.abs(expected).max())


def test_blocks_are_the_same_with_several_threads():
    G = np.random.default_rng(5).normal(size=(4, 7))
    solutions = []
    for n_threads in (1, 3):
        with Workers(n_threads) as workers:
            objective = softmax_objective(workers=workers)
            point = objective.at(np.zeros(objective.shape))
            solutions.append(ClassBlockPreconditioner(point, objective).solve(G))
    np.testing.assert_allclose(solutions[1], solutions[0], rtol=1e-4)
