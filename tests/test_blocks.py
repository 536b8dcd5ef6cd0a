"""What row blocks promise: memory that does not grow, threads that change rounding only."""

import tracemalloc

import numpy as np
import pytest
from problems import problem

from skmaxent import _blocks, _threads
from skmaxent._blocks import RowBlocks
from skmaxent._solvers import solve


def test_working_memory_does_not_grow_with_n(monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 1 << 17)
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
