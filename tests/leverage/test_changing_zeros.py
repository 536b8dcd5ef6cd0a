"""The zeros of an L1-penalised fit that may become nonzero without a row."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.problems import problem

from skmaxent._leverage import _changing_zeros


@pytest.mark.parametrize(("n_active", "most"), [(0, 32), (40, 40)])
def test_the_zeros_nearest_to_the_penalty_are_candidates(n_active, most):
    """At most as many as there are nonzero coefficients, or 32."""
    distances = np.random.default_rng(0).permutation(np.arange(100) / 200.0)[None]
    point = SimpleNamespace(map_reduce=lambda kernel: (np.ones((1, 100)),))
    found = _changing_zeros._candidates(
        SimpleNamespace(point=point),
        np.ones((1, 100)),
        1.0 - distances,
        np.zeros((1, 100), dtype=bool),
        n_active,
    )
    assert sorted(distances[found]) == sorted(distances.ravel())[:most]


def test_squared_gradients_of_columns_far_from_zero_have_digits_in_float32():
    rng = np.random.default_rng(0)
    X = (3e4 + rng.normal(size=(50, 3))).astype(np.float32)
    y = np.arange(50) % 3
    center, scale = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
    objective = problem(X, y, 3, center=center, scale=scale)
    (found,) = objective.at(objective.zeros()).map_reduce(_changing_zeros._squared_gradients)
    rows = np.column_stack([(X - center) / scale, np.ones(50)])
    expected = np.square(1.0 / 3.0 - np.eye(3)[y]).T @ np.square(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
