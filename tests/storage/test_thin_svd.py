"""Singular values where LAPACK's divide and conquer does not converge."""

import numpy as np
import pytest

from skmaxent._storage._thin_svd import thin_svd


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_another_algorithm_takes_over(monkeypatch, shape):
    A = np.random.default_rng(0).normal(size=shape) * np.logspace(0, -200, shape[0])[:, None]
    expected = np.linalg.svd(A, compute_uv=False)

    def fails(*args, **options):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", fails)
    U, s, Vt = thin_svd(A)
    assert U.shape == (shape[0], 5)
    assert Vt.shape == (5, shape[1])
    np.testing.assert_allclose(s, expected, rtol=0.0, atol=1e-14 * expected[0])
    np.testing.assert_allclose((U * s) @ Vt, A, rtol=0.0, atol=1e-14 * expected[0])
