"""The linear programs of the fuzz find separation, and nothing else."""

import numpy as np
import pytest

from .reference import Objective
from .separation import are_separated, is_separated


@pytest.mark.parametrize(("swap", "expected"), [(False, True), (True, False)])
def test_one_row_decides_whether_a_label_is_separated(swap, expected):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    T = (X[:, [0]] > 0).astype(float)
    if swap:
        # Rows on both sides of another: its label is between theirs.
        X = np.vstack([X, 2.0 * X])
        T = np.vstack([T, T])
        T[-1] = 1 - T[-1]
    objective = Objective(X, T, np.ones(len(X)), "sigmoids")
    assert is_separated(objective, 0) is expected
    penalised = Objective(X, T, np.ones(len(X)), "sigmoids", ridge=1.0)
    assert is_separated(penalised, 0) is False


def test_classes_are_separated_by_the_coefficients_without_a_penalty():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    T = np.eye(3)[rng.integers(3, size=60)]
    assert are_separated(Objective(X, T, np.ones(60), "softmax")) is False
    # Only rows of the first class are not zero in a third column.
    X = np.column_stack([X, T[:, 0] * rng.random(60)])
    for ridge, expected in (([0.0, 0.0, 0.0], True), ([0.0, 0.0, 1.0], False)):
        objective = Objective(X, T, np.ones(60), "softmax", ridge=np.array([ridge] * 3))
        assert are_separated(objective) is expected
    bounds = {"upper": np.array([[np.inf, np.inf, 0.0]] * 3)}
    objective = Objective(X, T, np.ones(60), "softmax", **bounds)
    # The other classes' coefficients may fall instead.
    assert are_separated(objective) is True


def test_nearly_equal_columns_leave_separation_open():
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    near = np.column_stack([x, x + 1e-8 * rng.normal(size=40)])
    T = rng.integers(2, size=(40, 1)).astype(float)
    assert is_separated(Objective(near, T, np.ones(40), "sigmoids"), 0) is None
    equal = np.column_stack([x, x])
    assert is_separated(Objective(equal, T, np.ones(40), "sigmoids"), 0) is False
