"""Factors of leverages and curves of scores along a path."""

import numpy as np
import pytest

from skmaxent._model_selection._leverage_factors import LeverageFactors
from skmaxent._model_selection._optimism_curves import interpolated_scores


def test_factors_are_interpolated_between_similar_ones_alone():
    factors = LeverageFactors(1.0 / np.geomspace(0.01, 100.0, 9))
    assert factors.at(3) is None
    for rank, factor in {0: 1.0, 4: 1.01, 6: 1.015, 8: 1.1}.items():
        factors.put(rank, factor)
    factors.put(7, None)
    assert factors.at(4) == pytest.approx(1.01)
    assert 1.0 < factors.at(2) < 1.01 and 1.01 < factors.at(5) < 1.015
    assert factors.at(7) is None


def test_scores_are_interpolated_relative_to_the_in_sample_score():
    """The optimism and the in-sample score change fast, and their ratio slowly."""
    place = np.arange(41.0)
    in_sample = -np.exp(-place / 10.0)
    scores = in_sample - np.exp(-place / 10.0) * np.exp(0.05 * place + 0.001 * place**2)
    both = np.array([scores, np.full(41, 0.01)]), np.array([in_sample, np.full(41, 0.01)])
    at = place % 10 == 0
    found = interpolated_scores(both[1], both[0], at, None)
    assert found.shape == (1, 2, 41)
    np.testing.assert_allclose(found[0], both[0], rtol=1e-9)
