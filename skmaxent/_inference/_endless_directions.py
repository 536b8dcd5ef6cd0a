"""Directions in which a likelihood never falls, because the classes are separated along them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linprog

from skmaxent._inference._bias_reduction import moved
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# Accuracy of a direction that separates: how far along it a row's class may fall behind another,
# relative to the largest difference of logits.
BEHIND = 1e-9
# Linear programs that are solved at most.
MAX_PROGRAMS = 50
# Rows that a linear program takes more than the one before.
ROWS_PER_PROGRAM = 300
# Tolerance of the programs, and the largest maximum of a·θ in the unit box that counts as zero.
FEASIBLE, NO_GAIN = 1e-10, 1e-7


def never_falls(point: Point, farther: Point, is_outward: bool) -> bool:
    """Whether no row's class falls behind another along the line through two points.

    Then the log-likelihood does not fall along this direction, however far. With `is_outward` the
    line from zero through the farther point is tried too.
    """
    directions = [farther.theta - point.theta] + ([farther.theta] if is_outward else [])
    return any(_separates(point.objective, direction) for direction in directions)


def _separates(objective: MultinomialObjective, direction: Array) -> bool:
    """Whether no row's class falls behind another along a direction of θ, up to rounding.

    A row's class falls behind another if the difference of their logits, which is linear in θ,
    becomes smaller.
    """
    behind, largest = objective.blocks.map_reduce(
        _behind, objective.likelihood, *objective.for_blocks(direction), combine=np.maximum
    )
    accuracy = max(BEHIND, 16.0 * float(np.finfo(objective.blocks.dtype).eps))
    return float(behind) <= accuracy * float(largest)


def recedes(objective: MultinomialObjective, a: Array) -> bool | None:
    """Whether a·θ grows along a direction in which no row's class falls behind another.

    Linear programs maximise a·θ in a box, with the constraints of a few rows. Rows whose class
    falls behind along the solution are added, until there are none or the maximum is zero.

    Parameters
    ----------
    objective : MultinomialObjective
    a : ndarray of shape (n_coefficients,)

    Returns
    -------
    bool or None
        None where `MAX_PROGRAMS` programs do not tell.
    """
    a = a / np.abs(a).max()
    x, A = a, np.empty((0, len(a)))
    for _ in range(MAX_PROGRAMS):
        zero = objective.zeros()
        theta = moved(zero, x, zero.shape[1] - (not objective.fit_intercept))
        if _separates(objective, theta):
            return True
        more = _constraints(objective, theta)
        A = np.unique(np.vstack([A, more]), axis=0)
        tight = {"primal_feasibility_tolerance": FEASIBLE, "dual_feasibility_tolerance": FEASIBLE}
        found = linprog(
            -a, A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1.0, 1.0), method="highs", options=tight
        )
        if found.x is None:
            return None
        if float(a @ found.x) <= NO_GAIN:
            return False
        x = found.x
    return None


def _constraints(objective: MultinomialObjective, theta: Array) -> Array:
    """Constraints A θ >= 0 from rows that violate them along a direction, A (n, n_coefficients).

    A constraint is the difference of the logits of a class that a row has and another class, as a
    function of θ; along a direction that separates it does not fall. The rows are at most
    `ROWS_PER_PROGRAM` of those that fall behind most.
    """
    blocks = objective.blocks
    arguments = objective.likelihood, *objective.for_blocks(theta)
    worst, _ = blocks.map_reduce(_behind, *arguments, combine=np.maximum)
    rows = blocks.where(_are_behind, *arguments, 0.1 * float(worst), at_most=blocks.n_samples)
    assert rows is not None
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), ROWS_PER_PROGRAM)).astype(np.intp)]
    taken = blocks.take(rows, objective.center, objective.scale, np.float64)
    X = np.asarray(on_host(taken.X))
    if blocks.is_sparse:
        X = taken.X.toarray() - objective.center / objective.scale
    X = np.column_stack([X, np.ones(len(X))]) if objective.fit_intercept else X
    seen = objective.likelihood.outcomes(
        objective.likelihood.dense_targets(np.asarray(on_host(taken.targets)))
    )
    K, r = len(seen), max(1, objective.likelihood.n_logits - 1)
    # θ of each class is that against the last, or of the second against the first.
    classes = np.eye(K)[:, :r] if K > 2 else np.array([[0.0], [1.0]])
    lines = [
        np.kron(classes[c] - classes[k], X[i])
        for i in range(len(rows))
        for c in np.flatnonzero(seen[:, i])
        for k in range(K)
        if k != c
    ]
    return np.array(lines)


def _are_behind(block: Block, likelihood: Likelihood, *at: Any) -> Array:
    """Which rows of a block fall behind by more than a limit, the last of `at`."""
    *direction, limit = at
    return np.asarray(_distance_behind(block, likelihood, *direction)[0] > limit)


def _behind(block: Block, likelihood: Likelihood, coef: Array, intercept: Array) -> tuple[Any, Any]:
    """Largest values over the rows of a block of both results of `_distance_behind`."""
    behind, difference = _distance_behind(block, likelihood, coef, intercept)
    return block.largest(behind), block.largest(difference)


def _distance_behind(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> tuple[Array, Array]:
    """How far an observed class of each row is behind another, and the range of the row's logits.

    `coef` (n_logits, n_features) and `intercept` (n_logits,) give the logits. Both results have the
    shape (n_rows,); the first is 0 for rows of weight zero.
    """
    Z = np.asarray(on_host(block.logits(coef, intercept)))
    Z = np.concatenate([np.zeros_like(Z), Z]) if len(Z) == 1 else Z
    targets = np.asarray(on_host(block.targets))
    seen = likelihood.outcomes(likelihood.dense_targets(targets)) > 0.0
    top = Z.max(axis=0)
    behind = top - np.where(seen, Z, np.inf).min(axis=0)
    if block.weights is not None:
        behind = np.where(np.asarray(on_host(block.weights)) > 0.0, behind, 0.0)
    return behind, top - Z.min(axis=0)
