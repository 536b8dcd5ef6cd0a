"""`max_iter` bounds the work of a fit: its iterations and what each of them does."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._solvers._active_set import minimise_by_pivots
from skmaxent._solvers._group_descent import _least_along


@pytest.mark.parametrize("max_iter", [5, 6, 8])
@pytest.mark.parametrize("penalty", [{"C": 1e12}, {"C": np.inf, "bounds": (-1.0, 1.0)}])
def test_no_second_look_exceeds_the_limit(penalty, max_iter):
    for seed in (0, 2, 4, 5, 7, 11, 12, 18):
        rng = np.random.default_rng(seed)
        # Nearly collinear columns and weights over six decades.
        X = rng.normal(size=(47, 1)) + rng.normal(size=(47, 2)) * 1e-9
        X = X * [178.0, 59.0] - [4.7, 1.6]
        y = rng.integers(0, 3, 47)
        weights = rng.integers(0, 2, 47) * 10.0 ** rng.uniform(0.0, 6.0, 47)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clf = MaxentClassifier(max_iter=max_iter, **penalty).fit(X, y, weights)
        assert clf.n_iter_[0] <= max_iter


def test_pivots_follow_a_flat_direction_to_its_end():
    # The quadratic is flat along (1, -1): only the penalty ends the decrease there, far away.
    ones = np.ones((1, 2))
    penalty = Elementwise(
        1e-9 * np.array([[1.0, 2.0]]), 0 * ones, 0 * ones, -np.inf * ones, np.inf * ones, False
    )
    start = np.array([[-1e6, 1e6 + 1.0]])
    W = minimise_by_pivots(np.ones((2, 2)), -ones, 0 * ones, penalty, start)
    np.testing.assert_allclose(W, [[1.0, 0.0]], atol=1e-6)


def test_a_line_search_over_groups_finds_the_least_value():
    rng = np.random.default_rng(0)
    for _ in range(50):
        W, step = rng.normal(size=(2, 5, 3))
        W[0] = -0.3 * step[0]  # this group passes through zero
        l1, curvature = rng.random(5), rng.random() + 0.1
        q = -rng.random() * step
        t = _least_along(q, W, l1, step, curvature * step)

        def value(t, W=W, step=step, q=q, l1=l1, curvature=curvature):
            lengths = np.sqrt(np.square(W + t * step).sum(axis=1))
            return (
                t * np.vdot(q, step) + 0.5 * curvature * t**2 * np.vdot(step, step) + l1 @ lengths
            )

        grid = np.linspace(0.0, 2.0 * t + 1.0, 2001)
        best = min(map(value, grid))
        assert value(t) - best <= 0.05 * (value(0.0) - best) + 1e-12


@pytest.mark.parametrize("solver", ["auto", "newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("max_iter", [0, 1, 3])
def test_each_iteration_is_one_line(max_iter, solver, capsys):
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=f"max_iter={max_iter} was reached"):
        MaxentClassifier(solver=solver, max_iter=max_iter, verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(max_iter + 1))
