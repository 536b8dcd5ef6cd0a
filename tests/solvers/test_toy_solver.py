"""A solver that is one file and one entry of the table `SOLVERS`, as CONTRIBUTING.md describes."""

import numpy as np
import pytest
from helpers.problems import fit
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from skmaxent._solvers import Outcome, PreconditionedProblem, Status, _strategy

X, Y = load_iris(return_X_y=True)


def barzilai_borwein(problem, start, options, record, watch):
    """Gradient descent in preconditioned coordinates u, θ = θ(u), with the steps of Barzilai &
    Borwein (1988), IMA J. Numer. Anal. 8, 141-148."""
    theta = problem.null.theta if start is None else start
    function = PreconditionedProblem(problem, theta, options.seed)
    root_n = np.sqrt(problem.objective.blocks.effective_size)
    here, step = function.at(np.zeros(function.size)), 0.5
    while True:
        distance = float(root_n * np.linalg.norm(here.gradient))
        status = Status.CONVERGED if distance <= options.tol else Status.MAX_ITER
        counter = problem.objective.counter
        status = record.add(counter, here.point.theta, here.value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            return Outcome(here.point, here.value, status, record.history)
        before, here = here, function.at(here.u - step * here.gradient)
        move, change = here.u - before.u, here.gradient - before.gradient
        step = (move @ move) / (move @ change)


@pytest.fixture(autouse=True)
def table(monkeypatch):
    monkeypatch.setitem(_strategy.SOLVERS, "toy", barzilai_borwein)


def test_a_solver_from_the_table_finds_the_optimum():
    found = fit(X, Y, 1.0, solver="toy", tol=1e-7, max_iter=500)
    assert found.status is Status.CONVERGED
    assert found.n_iter > 20  # Newton's method, which takes fewer than ten, had no part in it
    assert found.gap < 1e-6
    expected = LogisticRegression(C=1.0, tol=1e-10, solver="newton-cholesky").fit(X, Y)
    np.testing.assert_allclose(found.coef, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(
        found.intercept, expected.intercept_ - expected.intercept_.mean(), atol=1e-5
    )


def test_its_iterations_are_counted_and_reported():
    seen = []
    found = fit(
        X,
        Y,
        1.0,
        solver="toy",
        tol=1e-7,
        max_iter=500,
        callback=lambda line, theta, is_last: seen.append((line, is_last)),
    )
    assert [line for line, _ in seen] == list(found.history)
    assert [line.n_iter for line, _ in seen] == list(range(found.n_iter + 1))
    assert [is_last for _, is_last in seen] == [False] * found.n_iter + [True]
    assert found.history[-1].n_gradients == found.n_iter + 1


def test_it_obeys_max_iter_and_the_callback():
    assert fit(X, Y, 1.0, solver="toy", tol=1e-7, max_iter=5).n_iter == 5
    found = fit(
        X,
        Y,
        1.0,
        solver="toy",
        tol=1e-7,
        max_iter=500,
        callback=lambda line, theta, is_last: line.n_iter == 3,
    )
    assert found.status is Status.STOPPED
    assert found.n_iter == 3
