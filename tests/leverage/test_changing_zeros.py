"""The zeros of an L1-penalised fit that may become nonzero without a row."""

from types import SimpleNamespace

import numpy as np
import pytest

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
