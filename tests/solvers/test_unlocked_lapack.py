"""BLAS and LAPACK for float32 matrices, against NumPy in float64, with and without the lock."""

import threading

import numpy as np
import pytest

from skmaxent._solvers import _unlocked_lapack


@pytest.fixture(params=["without lock", "with lock"])
def routines(request, monkeypatch):
    if request.param == "with lock":
        monkeypatch.setattr(_unlocked_lapack, "_routine", lambda *args: None)
    return _unlocked_lapack


def symmetric(lower):
    return np.tril(lower) + np.tril(lower, -1).T


def sample(rng, n_rows=90, width=37):
    X = rng.normal(size=(n_rows, width)).astype(np.float32)
    B = np.asfortranarray(np.diag(rng.uniform(1.0, 2.0, width)).astype(np.float32))
    return X, B


def test_moments_factor_inverse_and_product(routines):
    rng = np.random.default_rng(0)
    X, B = sample(rng)
    expected = X.astype(float).T @ X + 0.5 * B.astype(float)
    moments = routines.add_second_moments(X, B, 0.5)
    np.testing.assert_allclose(symmetric(moments), expected, rtol=0.0, atol=1e-4)

    # Every second number of a larger array, and not contiguous.
    x = rng.normal(size=(37, 2)).astype(np.float32)[:, 0]
    product = routines.symmetric_product(moments, x)
    np.testing.assert_allclose(product, expected @ x, rtol=1e-4, atol=1e-3)

    factor = moments.copy(order="F")
    assert routines.cholesky(factor) == 0
    np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(expected), rtol=0.0, atol=1e-4)
    routines.inverse_of_factor(factor)
    np.testing.assert_allclose(symmetric(factor), np.linalg.inv(expected), rtol=0.0, atol=1e-6)


def test_a_matrix_that_is_not_positive_definite_has_no_factor(routines):
    B = np.asfortranarray(np.diag([1.0, 2.0, -1.0, 3.0]).astype(np.float32))
    assert routines.cholesky(B) == 3


def test_threads_do_not_disturb_each_other():
    rng = np.random.default_rng(1)
    tasks = [sample(rng, width=20 + 10 * i) for i in range(8)]
    inverses = [None] * len(tasks)

    def invert(i):
        X, B = tasks[i]
        moments = _unlocked_lapack.add_second_moments(X, B.copy(order="F"), 1.0)
        _unlocked_lapack.cholesky(moments)
        _unlocked_lapack.inverse_of_factor(moments)
        inverses[i] = symmetric(moments)

    threads = [threading.Thread(target=invert, args=(i,)) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (X, B), inverse in zip(tasks, inverses, strict=True):
        expected = np.linalg.inv(X.astype(float).T @ X + B)
        np.testing.assert_allclose(inverse, expected, rtol=0.0, atol=1e-5 * np.abs(expected).max())
