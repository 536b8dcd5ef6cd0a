"""The objective, its derivatives and the solver against scikit-learn and finite differences."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import approx_fprime
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model._linear_loss import LinearModelLoss

from skmaxent import _blocks, _metric, _threads
from skmaxent._blocks import RowBlocks
from skmaxent._likelihood import likelihood
from skmaxent._metric import AssembledMetric
from skmaxent._objective import MultinomialObjective
from skmaxent._penalty import Ridge
from skmaxent._solvers import Status, solve


def as_stored(X, how, tmp_path):
    if how == "memmap":
        np.save(tmp_path / "X.npy", X)
        return np.load(tmp_path / "X.npy", mmap_mode="r")
    return {"C": np.ascontiguousarray, "F": np.asfortranarray, "csr": sp.csr_array}[how](X)


def problem(X, y, K, weights=None, fit_intercept=True, strength=0.1, **options):
    blocks = RowBlocks(X, y, weights, n_logits=1 if K == 2 else K)
    ridge = Ridge(np.full(X.shape[1], strength))
    return MultinomialObjective(
        blocks, likelihood(K), ridge, fit_intercept=fit_intercept, **options
    )


@pytest.fixture(params=["C", "F", "csr", "memmap"])
def stored(request, tmp_path):
    return lambda X: as_stored(X, request.param, tmp_path)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 2000)


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
    np.testing.assert_allclose(objective.fisher_information(theta), np.array(columns), atol=1e-14)


def test_recomputed_probabilities_give_the_same_products(small_blocks):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    theta, direction = rng.normal(size=(2, 3, 4))
    kept = problem(X, y, 3).at(theta)
    recomputed = problem(X, y, 3, keep_bytes=0).at(theta)
    assert kept.kept and not recomputed.kept
    np.testing.assert_allclose(
        kept.hessian_product(direction), recomputed.hessian_product(direction), rtol=1e-13
    )


def test_working_memory_does_not_grow_with_n(monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 1 << 17)
    rng = np.random.default_rng(4)

    def peak(n):
        X, y = rng.normal(size=(n, 10)), rng.integers(0, 4, n)
        objective = problem(X, y, 4, keep_bytes=0)
        theta = rng.normal(size=objective.shape)
        tracemalloc.start()
        objective.at(theta).hessian_product(theta)
        objective.fisher_information(theta)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(5_000)
    assert peak(80_000) < 1.2 * peak(5_000)


def test_threads_change_rounding_only_and_restore_the_limit(monkeypatch):
    monkeypatch.setattr(_blocks, "THREAD_WORK", 1)
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(500, 4)), rng.integers(0, 3, 500)
    before = _threads.blas_threads()
    results = []
    for n_threads in (1, 2, 2):
        blocks = RowBlocks(X, y, n_logits=3, n_threads=n_threads)
        results.append(
            solve(blocks, 3, np.full(4, 0.01), fit_intercept=True, tol=1e-6, max_iter=50)
        )
    np.testing.assert_allclose(results[0].coef, results[1].coef, rtol=1e-9)
    np.testing.assert_array_equal(results[1].coef, results[2].coef)
    assert _threads.blas_threads() == before

    def fail():
        raise RuntimeError("in a block")

    with pytest.raises(RuntimeError, match="in a block"):
        _threads.run([fail, fail])
    assert _threads.blas_threads() == before


def datasets():
    rng = np.random.default_rng(6)
    iris, wine = load_iris(return_X_y=True), load_wine(return_X_y=True)
    units = 10.0 ** np.linspace(-3, 3, 4)
    return {
        "iris": iris,
        "raw wine": wine,
        "units": (iris[0] * units + 1e3 * units, iris[1]),
        "duplicates": (np.hstack([iris[0], iris[0], iris[0] @ rng.normal(size=(4, 2))]), iris[1]),
        "d > n": (rng.normal(size=(20, 50)), np.arange(20) % 3),
        "single member": (iris[0], np.append(iris[1][:-1] // 2, 2)),
        "two classes": (iris[0], (iris[1] == 1).astype(int)),
    }


def fit(X, y, C, *, fit_intercept=True, **options):
    K = int(y.max()) + 1
    blocks = RowBlocks(X, y, n_logits=1 if K == 2 else K)
    strength = np.full(X.shape[1], 1.0 / C / len(X))
    options = {"tol": 1e-4, "max_iter": 100} | options
    return solve(blocks, K, strength, fit_intercept=fit_intercept, **options)


@pytest.mark.parametrize("solver", ["auto", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-8, 1.0, 1e3])
@pytest.mark.parametrize("name", datasets())
def test_the_gap_bounds_the_distance_to_the_optimum(name, C, fit_intercept, solver):
    X, y = datasets()[name]
    best = fit(X, y, C, fit_intercept=fit_intercept, tol=1e-10, solver="newton-cholesky")
    for tol in (3.0, 1e-1, 1e-4):
        found = fit(X, y, C, fit_intercept=fit_intercept, tol=tol, solver=solver)
        assert found.status in (Status.CONVERGED, Status.PRECISION)
        gap = (found.value - best.value) / found.value
        assert gap <= found.gap
        # Twice the total log-likelihood to be gained is the squared distance in standard errors.
        distance = np.sqrt(2 * len(X) * max(found.value - best.value, 0.0))
        assert distance <= 3 * tol + 1e-6


@pytest.mark.parametrize("name", ["iris", "raw wine", "units", "two classes"])
def test_the_gap_is_tight_at_the_default_tol(name):
    assert fit(*datasets()[name], 1.0).gap < 1e-6


def test_without_penalty_the_gap_bounds_too():
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], y[50:] - 1
    best = fit(X, y, np.inf, tol=1e-10)
    for tol in (1.0, 1e-1, 1e-2, 1e-4):
        found = fit(X, y, np.inf, tol=tol)
        assert (found.value - best.value) / found.value <= found.gap + 1e-14
    assert found.gap < 1e-6


def test_separated_classes_without_penalty_have_no_optimum():
    X, y = load_iris(return_X_y=True)
    assert fit(X, (y == 0).astype(int), np.inf).status is Status.SEPARATED


def test_passes_over_the_data_do_not_grow():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(4000, 60)) @ rng.normal(size=(60, 60))
    y = (X @ rng.normal(size=(60, 8)) / 8 + rng.gumbel(size=(4000, 8))).argmax(axis=1)
    last = fit(X, y, 1.0).history[-1]
    assert last.n_gradients <= 14
    assert last.n_hessian_products <= 150


def test_a_hessian_of_sampled_rows_is_close_to_the_whole():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(6000, 12)) @ rng.normal(size=(12, 12))
    X[:, -1] = np.arange(6000) == 5  # a column that the sample misses
    y = rng.integers(0, 4, 6000)
    objective = problem(X, y, 4, strength=0.0, center=X.mean(axis=0))
    sample = objective.blocks.sample(2000)
    assert not sample.X[:, -1].any()
    theta = 0.1 * rng.normal(size=objective.shape)
    metric = AssembledMetric(objective, theta, sample, X.var(axis=0))
    point = objective.at(theta)
    eigenvalues = []
    for _ in range(20):
        step = metric.solve(point.hessian_product(rng.normal(size=objective.shape)))
        product = point.hessian_product(step)
        eigenvalues.append(np.vdot(step, product) / np.vdot(product, metric.solve(product)))
    assert min(eigenvalues) > 0.3 and max(eigenvalues) < 3


def test_a_fit_that_assembles_a_sampled_hessian(monkeypatch):
    monkeypatch.setattr(_metric, "ALWAYS_ASSEMBLED", 0)
    built = []
    original = AssembledMetric.__init__

    def record(self, objective, theta, sample, *args, **options):
        built.append(sample.n_samples)
        original(self, objective, theta, sample, *args, **options)

    monkeypatch.setattr(AssembledMetric, "__init__", record)
    rng = np.random.default_rng(9)
    X = np.exp(rng.normal(size=(30_000, 15))) @ rng.normal(size=(15, 15))
    y = (X @ rng.normal(size=(15, 4)) / 2 + rng.gumbel(size=(30_000, 4))).argmax(axis=1)
    found = fit(X, y, 1.0)
    assert 2000 in built
    best = fit(X, y, 1.0, tol=1e-9, solver="newton-cholesky")
    np.testing.assert_allclose(found.coef, best.coef, rtol=1e-4, atol=1e-6)
