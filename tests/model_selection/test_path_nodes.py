"""Nodes of a path: errors of polynomials between them, for functions whose values are known."""

import numpy as np
import pytest

from skmaxent._model_selection._path_nodes import (
    LARGEST_NONSMOOTH_STEP,
    SMOOTH_NODES,
    PathNodes,
)

RNG = np.random.default_rng(0)
FUNCTIONS = {
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "steep": lambda x: np.arctan(3.0 * x),
    "narrow": lambda x: np.exp(-np.square(2.0 * x)),
    "wave": np.sin,
}


def interpolated(nodes, Cs, function):
    """Values of the function at all Cs, by interpolation where there is no node."""
    values = function(np.log(Cs))
    for i in set(range(len(Cs))) - set(nodes.positions):
        at, factors = nodes.polynomial(i)
        values[i] = factors @ function(np.log(Cs[at]))
    return values


def nodes_for(Cs, function, limit, *, is_smooth=True):
    """The nodes that errors below a limit need, chosen as for the scores of a path."""
    nodes = PathNodes(Cs, is_smooth=is_smooth)

    def scores():
        return function(np.log(Cs[nodes.positions]))

    while nodes.add_next():
        nodes.choose_step(scores(), limit)
    while middles := nodes.middles(scores(), np.full(len(nodes.positions), limit)):
        nodes.add(middles)
    return nodes, nodes.errors(scores())


@pytest.mark.parametrize("limit", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_below_their_bounds_and_these_below_the_limit(name, limit):
    """The bounds are estimates, so that errors far below the limit may exceed them."""
    Cs = np.geomspace(1e-3, 1e2, 200)
    nodes, bounds = nodes_for(Cs, FUNCTIONS[name], limit)
    error = np.abs(interpolated(nodes, Cs, FUNCTIONS[name]) - FUNCTIONS[name](np.log(Cs)))
    assert bounds
    assert set(bounds) == set(range(200)) - set(nodes.positions)
    assert max(bounds.values()) <= limit
    assert all(error[i] <= max(bound, 0.1 * limit) for i, bound in bounds.items())
    assert {0, 199} <= set(nodes.positions)
    assert len(nodes.positions) < 120


def test_kinks_are_seen():
    """A path with an L1 penalty: the score has a kink wherever a coefficient becomes zero."""
    Cs = np.geomspace(1e-2, 1e2, 200)
    kinks = np.linspace(-3.0, 3.0, 9)

    def score(x):
        return np.cos(0.5 * x) + 1e-3 * np.maximum(np.subtract.outer(x, kinks), 0.0).sum(axis=1)

    nodes, bounds = nodes_for(Cs, score, 1e-4, is_smooth=False)
    error = np.abs(interpolated(nodes, Cs, score) - score(np.log(Cs)))
    assert max(bounds.values()) <= 1e-4
    assert error.max() <= 1e-4
    assert len(nodes.positions) < 100
    assert np.diff(np.log(Cs[nodes.positions])).max() <= LARGEST_NONSMOOTH_STEP * (1.0 + 1e-6)


def test_lines_are_exact_between_two_nodes():
    Cs = np.geomspace(0.1, 10.0, 40)
    nodes, bounds = nodes_for(Cs, np.cos, 1e-4, is_smooth=False)
    for i in bounds:
        (left, right), factors = nodes.line(i)
        assert left < i < right
        np.testing.assert_allclose(factors @ np.log(Cs[[left, right]]), np.log(Cs[i]), atol=1e-12)


def test_polynomials_of_as_many_coefficients_as_nodes_are_exact():
    Cs = np.geomspace(0.1, 10.0, 40)[RNG.permutation(40)]
    polynomial = np.polynomial.Polynomial(RNG.normal(size=SMOOTH_NODES))
    nodes, bounds = nodes_for(Cs, polynomial, 1e-6)
    np.testing.assert_allclose(
        interpolated(nodes, Cs, polynomial), polynomial(np.log(Cs)), rtol=1e-10, atol=1e-10
    )
    assert max(bounds.values()) < 1e-8


@pytest.mark.parametrize(
    "Cs",
    [np.array([1.0]), np.array([2.0, 1.0]), np.repeat(np.geomspace(1.0, 2.0, 30), 3)],
    ids=["one", "two", "duplicates"],
)
def test_every_C_of_grids_without_room_is_a_node(Cs):
    nodes, bounds = nodes_for(Cs, FUNCTIONS["wave"], 1e-3)
    assert nodes.positions == np.argsort(Cs, kind="stable").tolist()
    assert not bounds
