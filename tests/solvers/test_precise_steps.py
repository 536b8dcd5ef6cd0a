"""Steps of the precise solver for nonsmooth penalties: where they end, and which are made."""

import numpy as np
import pytest

from skmaxent._objective._likelihood import likelihood
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers import Problem
from skmaxent._solvers._precise_nonsmooth import _Search
from skmaxent._storage._row_blocks import RowBlocks

LOWER, UPPER, K = -0.3, 0.2, 3


@pytest.fixture
def search():
    """A search for an L1 penalty with bounds; one coefficient is near its lower bound."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.integers(0, K, 30)
    zero = np.zeros((1, 2))
    terms = PenaltyTerms(zero + 0.01, zero, lower=zero + LOWER, upper=zero + UPPER)
    blocks = RowBlocks(X, y, n_logits=K)
    problem = Problem.of(blocks, likelihood(K), terms, fit_intercept=True)
    search = _Search(problem, problem.null.theta)
    scale = search._loss.columns.scale
    theta = np.array([[0.0, 0.1], [LOWER + 0.01, 0.0], [UPPER, 0.0]]) * scale
    search._evaluate(np.column_stack([theta, search.theta[:, -1]]))
    return search


def away(search, size):
    """A step that leads the coefficient beyond its lower bound."""
    step = np.zeros_like(search.theta)
    step[1, 0] = -size * search._loss.columns.scale[0]
    return step


def test_a_step_beyond_a_bound_ends_at_the_bound(search):
    """The column is not shifted, which would move its other coefficients too."""
    before, theta, step = search.value, search.theta.copy(), away(search, 0.05)
    change, _ = search._change(step)
    scale = search._loss.columns.scale
    search._evaluate(theta + step)
    theta[1, 0] = LOWER * scale[0]
    np.testing.assert_allclose(search.theta, theta, rtol=1e-14, atol=1e-14)
    assert search.value - before == pytest.approx(change, rel=1e-6)


def test_a_step_that_raises_the_objective_is_taken_back(search):
    step = away(search, 0.05)
    step = step if search._change(step)[0] > 0.0 else -step
    value, theta, columns = search.value, search.theta, search._loss.columns
    assert not search._go(step)
    assert (search.value, search.theta is theta) == (value, True)
    assert search._loss.columns is columns


@pytest.mark.parametrize(("damping", "following"), [(0.0, np.inf), (1e-3, 0.0)])
def test_a_damped_step_without_gain_is_tried_without_damping(
    search, damping, following, monkeypatch
):
    """The length of a damped step is no distance to the optimum, so that no fit may end there."""
    monkeypatch.setattr(search, "_go", lambda step: False)  # F is not lower after rounding
    model = search.model()
    assert search.step(model, search.minimum(model, damping), damping) == following
