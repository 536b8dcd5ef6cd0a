"""What row blocks promise: memory that does not grow, threads that change rounding only."""

import time
import tracemalloc

import numpy as np
import pytest
from helpers.problems import problem, solve

from skmaxent._storage import _block, _row_blocks, _threads
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._threads import Workers


def test_working_memory_does_not_grow_with_n(monkeypatch):
    monkeypatch.setattr(_row_blocks, "BLOCK_BYTES", 1 << 17)
    rng = np.random.default_rng(4)

    def peak(n):
        X, y = rng.normal(size=(n, 10)), rng.integers(0, 4, n)
        objective = problem(X, y, 4, keep_bytes=0)
        theta = rng.normal(size=objective.shape)
        tracemalloc.start()
        point = objective.at(theta)
        point.hessian_product(theta)
        point.fisher_information()
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(5_000)
    # The least of several: threads of other tests may allocate meanwhile.
    many, few = (min(peak(n) for _ in range(3)) for n in (80_000, 5_000))
    assert many < 1.2 * few


def test_threads_change_rounding_only_and_restore_the_limit(monkeypatch, started):
    monkeypatch.setattr(_row_blocks, "THREAD_WORK", 1)
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(500, 4)), rng.integers(0, 3, 500)
    before = _threads.blas_threads()
    results = []
    for n_threads in (1, 2, 2):
        with Workers(n_threads) as workers:
            blocks = RowBlocks(X, y, n_logits=3, workers=workers)
            assert blocks.n_blocks == n_threads
            results.append(solve(blocks, 3, np.full(4, 0.01), tol=1e-6))
            assert _threads.blas_threads() == 1
        assert not any(thread.is_alive() for thread in started)
    assert len(started) == 2
    np.testing.assert_allclose(results[0].coef, results[1].coef, rtol=1e-9)
    # The same blocks, whose sums are added in the same order.
    np.testing.assert_array_equal(results[1].coef, results[2].coef)
    assert _threads.blas_threads() == before


@pytest.mark.parametrize("failing", [0, 1])
def test_threads_end_and_the_limit_is_restored_after_an_exception(failing, started):
    before = _threads.blas_threads()

    def fail():
        raise RuntimeError("in a block")

    tasks = [lambda: time.sleep(0.01), lambda: time.sleep(0.01)]
    tasks[failing] = fail
    with pytest.raises(RuntimeError, match="in a block"), Workers(2) as workers:
        workers.run(tasks)
    assert _threads.blas_threads() == before
    assert len(started) == 1
    assert not started[0].is_alive()


@pytest.mark.parametrize("n_logits", [1, 3])
def test_products_in_slices_are_the_products(n_logits, monkeypatch):
    monkeypatch.setattr(_block, "has_small_matrix_routines", lambda: True)
    monkeypatch.setattr(_block, "SMALL_PRODUCT", 1000)
    monkeypatch.setattr(_block, "SMALL_RESULT", 60)
    monkeypatch.setattr(_block, "SLICE_ROWS", 10)
    monkeypatch.setattr(_block, "SLICE_COLUMNS", 5)
    rng = np.random.default_rng(6)
    X, W, b = rng.normal(size=(203, 7)), rng.normal(size=(n_logits, 7)), rng.normal(size=n_logits)
    G = rng.normal(size=(n_logits, 203))
    block = RowBlocks(X, np.zeros(203, int), n_logits=n_logits).whole()
    logits, by_row = W @ X.T + b[:, None], np.empty((203, n_logits))
    np.testing.assert_allclose(block.logits_without_offset(W, b), logits, rtol=1e-13, atol=1e-14)
    block.logits_by_row(W, b, by_row)
    np.testing.assert_allclose(by_row, logits.T, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(block.weighted_sums(G), G @ X, rtol=1e-12, atol=1e-12)


def test_a_sample_has_all_rows_of_a_rare_class_with_weights_that_say_so():
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(5000, 3)), np.zeros(5000, int)
    y[:2500] = 1
    y[[7, 4000]] = 2
    sample = RowBlocks(X, y, n_logits=3).standardised(
        np.zeros(3), np.ones(3), 500, dtype=np.float64
    )
    assert (sample.targets == 2).sum() == 2
    weight = np.bincount(sample.targets, weights=sample.weights) / sample.weights.sum()
    np.testing.assert_allclose(weight, np.bincount(y) / 5000, atol=0.01)


def test_a_sample_counts_rows_without_weight_as_none():
    rng = np.random.default_rng(8)
    X, y, weights = rng.normal(size=(5000, 3)), np.arange(5000) % 2, np.ones(5000)
    weights[1::2] = 0.0
    weights[[1, 4001]] = 1.0
    blocks = RowBlocks(X, y, weights, n_logits=1)
    sample = blocks.standardised(np.zeros(3), np.ones(3), 3000, dtype=np.float64)
    assert (sample.weights[sample.targets == 1] > 0).sum() == 2
