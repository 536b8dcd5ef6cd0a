"""Directions of recession: the likelihood never decreases along them, as for separated classes.

A row's class falls behind another class along a direction of θ if the difference of their logits
decreases. The direction is one of recession if that happens for no row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._existence._linear_programs import NO_GAIN, evenly_spaced, maximiser
from skmaxent._inference._bias_reduction import moved
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array, KernelResult

# A row's class may fall behind by this share of the largest difference of logits, for rounding.
ROUNDED_BEHIND = 1e-9
# The most linear programs that are solved.
MAX_RECESSION_PROGRAMS = 50
# The most rows that one linear program adds to the constraints.
ROWS_PER_RECESSION_PROGRAM = 300


def never_falls(point: Point, farther: Point, is_outward: bool) -> bool:
    """Return whether the log-likelihood never falls on the ray from a point through a farther one.

    With `is_outward`, the ray from zero through the farther point is tried too.
    """
    directions = [farther.theta - point.theta] + ([farther.theta] if is_outward else [])
    return any(_is_of_recession(point.objective, direction) for direction in directions)


def _is_of_recession(objective: MultinomialObjective, direction: Array) -> bool:
    """Return whether no row's class falls behind along a direction (R, d + 1), up to rounding."""
    behind, largest = objective.blocks.map_reduce(
        _behind, objective.likelihood, *objective.for_blocks(direction), combine=np.maximum
    )
    accuracy = max(ROUNDED_BEHIND, 16.0 * float(np.finfo(objective.blocks.dtype).eps))
    return float(behind) <= accuracy * float(largest)


def grows_without_end(objective: MultinomialObjective, a: Array) -> bool | None:
    """Return whether a linear function a·θ grows along some direction of recession.

    Linear programs maximise a·θ for |θ| <= 1 under the constraint that the classes of some rows do
    not fall behind. Rows whose class falls behind at the solution are added to the constraints,
    until there are none or the maximum is zero.

    Parameters
    ----------
    objective : MultinomialObjective
    a : ndarray of shape (n_coefficients,)
        The factors of the function.

    Returns
    -------
    bool or None
        None if `MAX_RECESSION_PROGRAMS` programs do not decide it.
    """
    a = a / np.abs(a).max()
    x, A = a, np.empty((0, len(a)))
    for _ in range(MAX_RECESSION_PROGRAMS):
        zero = objective.zeros()
        theta = moved(zero, x, zero.shape[1] - (not objective.fit_intercept))
        if _is_of_recession(objective, theta):
            return True
        more = _constraints(objective, theta)
        A = np.unique(np.vstack([A, more]), axis=0)
        found = maximiser(a, A, (-1.0, 1.0))
        if found is None:
            return None
        if float(a @ found) <= NO_GAIN:
            return False
        x = found
    return None


def _constraints(objective: MultinomialObjective, theta: Array) -> Array:
    """Return constraints A θ >= 0 of rows whose class falls behind, A (n, n_coefficients).

    A line of A is the difference of the logits of a class that a row has and of another class, as
    a function of θ. At most `ROWS_PER_RECESSION_PROGRAM` rows are taken, of those that fall behind
    most.
    """
    blocks = objective.blocks
    arguments = objective.likelihood, *objective.for_blocks(theta)
    worst, _ = blocks.map_reduce(_behind, *arguments, combine=np.maximum)
    rows = blocks.where(_are_behind, *arguments, 0.1 * float(worst), at_most=blocks.n_samples)
    assert rows is not None
    rows = evenly_spaced(rows, ROWS_PER_RECESSION_PROGRAM)
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
    """Return which rows of a block fall behind by more than a limit, the last of `at`.

    The others are the coefficients and intercepts.
    """
    *direction, limit = at
    return np.asarray(_distance_behind(block, likelihood, *direction)[0] > limit)


def _behind(block: Block, likelihood: Likelihood, coef: Array, intercept: Array) -> KernelResult:
    """Return the largest values over the rows of a block of both results of `_distance_behind`."""
    behind, difference = _distance_behind(block, likelihood, coef, intercept)
    return block.largest(behind), block.largest(difference)


def _distance_behind(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> tuple[Array, Array]:
    """Return how far the class of each row is behind another, and the range of the row's logits.

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
