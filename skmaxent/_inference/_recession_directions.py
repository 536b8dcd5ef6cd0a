"""Directions of recession: directions of θ along which the likelihood never decreases.

They exist if classes are separated. A step along a direction changes the logits of a row. A row
loses along a direction if the logit of some other class grows by more than that of its own class.
Along a direction of recession no row loses. A direction is a matrix like θ, (n_logits,
n_features + 1).
"""

from __future__ import annotations

import numpy as np

from skmaxent._existence._linear_programs import NO_GAIN, evenly_spaced, maximiser
from skmaxent._inference._bias_reduction import after_step
from skmaxent._inference._reference import free_to_classes
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array, KernelResult

# Losses up to this share of the largest range of the logits of a row count as rounding.
ROUNDED_LOSS = 1e-9
# The most linear programs of one search.
MAX_RECESSION_PROGRAMS = 50
# The most rows that are added to the constraints after a linear program.
ROWS_PER_RECESSION_PROGRAM = 300


def never_falls(point: Point, farther: Point, is_outward: bool) -> bool:
    """Return whether the direction from a point to a farther one is one of recession.

    With `is_outward`, it suffices that the direction from zero to the farther point is one.
    """
    directions = [farther.theta - point.theta] + ([farther.theta] if is_outward else [])
    return any(_is_of_recession(point.objective, direction) for direction in directions)


def _is_of_recession(objective: MultinomialObjective, direction: Array) -> bool:
    """Return whether no row loses along a direction, up to rounding."""
    loss, logit_range = objective.blocks.map_reduce(
        _largest_losses, objective.likelihood, *objective.for_blocks(direction), combine=np.maximum
    )
    accuracy = max(ROUNDED_LOSS, 16.0 * float(np.finfo(objective.blocks.dtype).eps))
    return float(loss) <= accuracy * float(logit_range)


def grows_without_end(objective: MultinomialObjective, a: Array) -> bool | None:
    """Return whether a linear function a·θ grows along some direction of recession.

    Linear programs maximise a·θ over directions with entries between -1 and 1 under the constraint
    that some of the rows do not lose. Rows that lose at the solution are added to the constraints
    until no row loses or the maximum is zero.

    Parameters
    ----------
    objective : MultinomialObjective
        It has the rows.
    a : ndarray of shape (n_coefficients,)
        Coefficients of the function, for θ in reference coding, class by class.

    Returns
    -------
    bool or None
        None if `MAX_RECESSION_PROGRAMS` programs do not decide it.
    """
    a = a / np.abs(a).max()
    x, A = a, np.empty((0, len(a)))
    for _ in range(MAX_RECESSION_PROGRAMS):
        zero = objective.zeros()
        theta = after_step(zero, x, zero.shape[1] - (not objective.fit_intercept))
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
    """Return a matrix A, (n, n_coefficients), for which A θ >= 0 says that some rows do not lose.

    The rows are those that lose along the direction `theta`, by a tenth of the largest loss or
    more, and at most `ROWS_PER_RECESSION_PROGRAM` of them. A line of A has the logit of a class of
    a row minus that of another class, as a linear function of θ in reference coding.
    """
    blocks = objective.blocks
    arguments = objective.likelihood, *objective.for_blocks(theta)
    worst, _ = blocks.map_reduce(_largest_losses, *arguments, combine=np.maximum)
    rows = blocks.where(_lose_much, *arguments, 0.1 * float(worst), at_most=blocks.n_samples)
    assert rows is not None
    rows = evenly_spaced(rows, ROWS_PER_RECESSION_PROGRAM)
    taken = blocks.take(rows, objective.center, objective.scale, np.float64)
    X = np.asarray(on_host(taken.X))
    if blocks.is_sparse:
        X = taken.X.toarray() - objective.center / objective.scale
    X = np.column_stack([X, np.ones(len(X))]) if objective.fit_intercept else X
    shares = objective.likelihood.outcomes(
        objective.likelihood.dense_targets(np.asarray(on_host(taken.targets)))
    )
    of_class = free_to_classes(len(shares))
    lines = [
        np.kron(of_class[own] - of_class[other], X[i])
        for i in range(len(rows))
        for own in np.flatnonzero(shares[:, i])
        for other in range(len(shares))
        if other != own
    ]
    return np.array(lines)


def _lose_much(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array, limit: float
) -> Array:
    """Return whether each row of a block loses more than `limit` along a direction, (n_rows,).

    `coef` and `intercept` are the direction, as in `_losses`.
    """
    return np.asarray(_losses(block, likelihood, coef, intercept)[0] > limit)


def _largest_losses(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> KernelResult:
    """Return the largest loss and the largest range of logits over a block; see `_losses`."""
    loss, logit_range = _losses(block, likelihood, coef, intercept)
    return block.largest(loss), block.largest(logit_range)


def _losses(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> tuple[Array, Array]:
    """Return the loss of each row along a direction, and the range of the row's logits.

    The direction is `coef` (n_logits, n_features) and `intercept` (n_logits,), and its logits are
    the changes along it. The loss is the largest logit minus that of the row's class, or the least
    logit of its classes for a row of counts; it is 0 for rows of weight zero. Both results have the
    shape (n_rows,).
    """
    Z = np.asarray(on_host(block.logits(coef, intercept)))
    Z = np.concatenate([np.zeros_like(Z), Z]) if len(Z) == 1 else Z
    targets = np.asarray(on_host(block.targets))
    is_class_of_row = likelihood.outcomes(likelihood.dense_targets(targets)) > 0.0
    top = Z.max(axis=0)
    loss = top - np.where(is_class_of_row, Z, np.inf).min(axis=0)
    if block.weights is not None:
        loss = np.where(np.asarray(on_host(block.weights)) > 0.0, loss, 0.0)
    return loss, top - Z.min(axis=0)
