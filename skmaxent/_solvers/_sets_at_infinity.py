"""Whether the loss of sets of possible classes is lower at infinity than at the end of a fit.

A direction may raise some classes of a row's set above the other classes of this set. The row then
loses the probabilities of these others, which may be less than what other rows gain from the
direction. `_set_loss` defines the loss and θ.
"""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import Point
from skmaxent._solvers import UNBOUNDED, Options, Problem, minimise
from skmaxent._solvers._set_loss import change_at_infinity
from skmaxent._storage._device_array import on_host
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# Expected targets below this one, or below its square, its fourth power and so on, may hide a
# direction along which the objective falls for ever.
TINY_TARGET = 1e-6


def is_lower_at_infinity(problem: Problem, end: Point, options: Options) -> bool:
    """Return whether the objective is no higher at infinity, along a direction, than at an end.

    It is a direction of recession for the expected targets of `end`, the end of the fit, without
    tiny ones: what these contribute to the loss of the sets may be less than what the direction
    gains. If it is more, the limit below which targets are tiny is squared.

    Parameters
    ----------
    problem : Problem
        The problem with uniform targets. The set of a row are its classes with positive targets.
    end : Point
        Its targets are the expected ones.
    options : Options
        The options of the searches for a direction.
    """
    least = TINY_TARGET
    while True:
        direction = _direction_without_targets(problem, end, options, least)
        if direction is None:
            return False
        # The penalty does not change along the direction.
        if change_at_infinity(problem.objective, end.theta, direction) <= 0.0:
            return True
        least *= least


def _direction_without_targets(
    problem: Problem, end: Point, options: Options, least: float
) -> Array | None:
    """Return a direction of recession for the expected targets of `least` or more.

    The result, (R, d + 1), is None if all possible classes have such targets, or if no direction is
    found. The other arguments are those of `is_lower_at_infinity`.
    """
    blocks, expected = problem.objective.blocks, end.objective.blocks
    assert isinstance(blocks, RowBlocks), "sets are in memory"
    assert isinstance(expected, RowBlocks), "sets are in memory"
    targets = np.where(expected.targets < least, 0.0, expected.targets)
    if targets.ndim == 1:
        targets = np.where(targets > 1.0 - least, 1.0, targets)
    else:
        targets /= np.maximum(targets.sum(axis=1, keepdims=True), TINY_TARGET)
    if _have_same_support(targets, blocks.targets):
        return None
    rows = expected.with_targets(targets.astype(expected.dtype))
    found = minimise(problem.with_rows(rows), options, end.theta)
    if found.status not in UNBOUNDED or not found.directions:
        return None
    return found.directions[0]


def _have_same_support(targets: Array, others: Array) -> bool:
    """Return whether the same classes have positive targets in each row.

    Targets have the shape (rows, R), or (rows,) for the second of two classes.
    """
    targets, others = on_host(targets), on_host(others)
    is_same = np.array_equal(targets > 0.0, others > 0.0)
    return is_same and (targets.ndim > 1 or np.array_equal(targets < 1.0, others < 1.0))
