"""The search for a direction of recession by linear programs over few of the rows.

A direction of the coefficients changes the logits of a row. The gain of a pair of a row and a class
is the change of the logit of the row's own class minus that of the other class. A pair with a
negative gain loses, and the direction violates its row. A direction of recession is one along which
some pair gains and none loses. For sigmoids, each label is a problem of its own: a row that has the
label gains if its logit increases, another row if its logit decreases. R is the number of logits,
or 1 for one label.

Konis (2007), Linear programming algorithms for detecting separated data in binary logistic
regression models, thesis, University of Oxford.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from skmaxent._existence._directions import Directions
from skmaxent._existence._margins import classes_and_pairs, logit_changes, margins_of_classes
from skmaxent._existence._proofs import proved_direction_near
from skmaxent._existence._scaled_rows import (
    are_violated,
    dense_pieces,
    gradient_of_margins,
    worst_violation,
)
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

# The most linear programs of one search. Each adds rows that the solution of the last one violates.
MAX_PROGRAMS = 100
# The most rows that are added to the constraints at a time, and the most pairs of each row.
ROWS_PER_PROGRAM = 400
FEW_CLASSES = 8
# The most bytes of the constraints of a linear program.
CONSTRAINT_BYTES = 1 << 29
# Tolerance of the solver of linear programs. Losses up to this value count as rounding.
LP_TOLERANCE = 1e-10
# The most pivots of the simplex method, as a multiple of the number of variables or of constraints,
# whichever is less, and the most of small programs. It needs about half of them, unless it cycles.
MOST_PIVOTS, MOST_OF_SMALL = 5, 300
# Multiples of `LP_TOLERANCE`, and whether to presolve, of successive trials. A simplex method that
# cycles in one of them may end in the next. With multiples above ACCURATE a maximum of zero may be
# an error.
TRIALS, ACCURATE = ((1.0, True), (10.0, True), (1e3, True), (1.0, False)), 10.0
# The most seconds of a trial: the least number, and that for each entry of the constraints. The
# number of pivots does not bound a trial, because the solver may repair rounding errors for ever.
LEAST_SECONDS, SECONDS_PER_ENTRY = 1.0, 4e-6
# The most work of the linear programs of a fit, in pivots times the nonzero entries of constraints:
# about 7 seconds for one program and 20 for all, at 7 nanoseconds, measured for 80 to 4,500
# constraints of 60 to 1,400 coefficients. A program cannot be interrupted.
MOST_WORK_OF_PROGRAM, MOST_WORK_OF_FIT = 1e9, 3e9
# Maxima of a linear program up to this value count as zero, for coefficients between -1 and 1.
NO_GAIN = 1e-7


class Verdict(Enum):
    """Whether some direction separates the classes."""

    SEPARATED = "separated"
    OVERLAP = "overlap"
    UNKNOWN = "unknown"


@dataclass
class WorkLimit:
    """A limit of the work of several linear programs, in pivots times nonzero entries.

    Attributes
    ----------
    left : float, default=MOST_WORK_OF_FIT
        The work that is left.
    """

    left: float = MOST_WORK_OF_FIT

    def pivots(self, n_entries: int) -> int:
        """Return the most pivots of the next program, whose constraints have `n_entries`."""
        return int(min(self.left, MOST_WORK_OF_PROGRAM) / max(n_entries, 1))


def by_linear_programs(
    directions: Directions,
    start: Array | None,
    cost: Array | None = None,
    limit: WorkLimit | None = None,
) -> tuple[Verdict, Array | None]:
    """Decide by linear programs whether a direction of recession exists, and return it or None.

    A linear program maximises the sum of the gains of all pairs, for coefficients between -1 and 1,
    under the constraints that the pairs of some rows do not lose. Rows that lose at the solution
    are added to the constraints until no row loses, which proves separation, or until the maximum
    is zero, which proves overlap. Rows and columns are scaled as `_scaled_rows` describes.

    Parameters
    ----------
    directions : Directions
    start : ndarray of shape (R, n_features + 1) or None
        The first constraints are the rows that lose along this direction. If it is None, the
        gradient of the maximised function takes its place.
    cost : ndarray of shape (len(directions.index),), optional
        The weights of the scaled coefficients in another linear function to maximise. A maximum of
        zero then proves that the function grows along no direction of recession.
    limit : WorkLimit, optional
        The limit of the work, from which the work of this search is subtracted.

    Returns
    -------
    Verdict
        SEPARATED if a direction of recession is found. OVERLAP if the maximum is zero: without
        `cost`, there is then no such direction. UNKNOWN if the function to maximise is zero,
        or if the search fails or becomes too large.
    ndarray of shape (R, n_features + 1) or None
        The direction if the verdict is SEPARATED, in the coordinates of θ.
    """
    blocks = directions.objective.blocks
    if cost is None:
        (total,) = blocks.map_reduce(gradient_of_margins, directions.pairs(), directions.scales())
        cost = total.ravel()[directions.index]
    norm = float(np.abs(cost).max(initial=0.0))
    if norm == 0.0:
        return Verdict.UNKNOWN, None
    bounds = np.column_stack(
        [
            directions.cone.low.ravel()[directions.index],
            directions.cone.high.ravel()[directions.index],
        ]
    )
    known = np.empty(0, dtype=np.int64)
    A = np.empty((0, len(directions.index)))
    D = directions.unscaled(cost / norm) if start is None or not start.any() else start
    for n_programs in range(MAX_PROGRAMS):
        more, keys = _constraints(directions, _violated(directions, D, ROWS_PER_PROGRAM), D)
        fresh = ~np.isin(keys, known)
        if not fresh.any():
            # No other row loses along D. If D is only the start, a program may still find more.
            found = proved_direction_near(directions, D)
            if found is not None or n_programs:
                return (Verdict.UNKNOWN if found is None else Verdict.SEPARATED), found
        known = np.concatenate([known, keys[fresh]])
        A = np.vstack([A, more[fresh]])
        if A.nbytes > CONSTRAINT_BYTES:
            return Verdict.UNKNOWN, None
        x = _maximiser(cost / norm, A, bounds, limit)
        if x is None:
            return Verdict.UNKNOWN, None
        if float(cost @ x) <= NO_GAIN:
            return Verdict.OVERLAP, None
        D = directions.unscaled(x)
    return Verdict.UNKNOWN, None


def _maximiser(
    cost: Array, A: Array, bounds: ArrayLike, limit: WorkLimit | None = None
) -> Array | None:
    """Return the x within `bounds` that maximises cost·x subject to A x >= 0.

    The result is None if the solver finds no maximum, or would exceed the limit of the work.

    Parameters
    ----------
    cost : ndarray of shape (n,)
    A : ndarray of shape (n_constraints, n)
    bounds : array-like of shape (2,) or (n, 2)
        The least and largest value of all entries of x, or of each.
    limit : WorkLimit, optional
    """
    zeros, n_entries = np.zeros(len(A)), int(np.count_nonzero(A))
    for multiple, presolve in TRIALS:
        needed = pivots = max(MOST_PIVOTS * min(A.shape), MOST_OF_SMALL)
        if limit is not None:
            pivots = min(needed, limit.pivots(n_entries))
            if not pivots:
                return None
        options = {
            "primal_feasibility_tolerance": multiple * LP_TOLERANCE,
            "dual_feasibility_tolerance": multiple * LP_TOLERANCE,
            "maxiter": pivots,
            "presolve": presolve,
            "time_limit": max(LEAST_SECONDS, SECONDS_PER_ENTRY * A.size),
        }
        found = linprog(-cost, A_ub=-A, b_ub=zeros, bounds=bounds, method="highs", options=options)
        if limit is not None:
            limit.left -= float(found.nit or 0) * n_entries
        if found.success and (multiple <= ACCURATE or -found.fun > NO_GAIN):
            return np.asarray(found.x)
        if pivots < needed:
            return None
    return None


def _evenly_spaced(rows: Array, at_most: int) -> Array:
    """Return at most `at_most` entries, evenly spaced, of the array `rows` (n_rows,)."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), at_most)).astype(np.intp)]


def _violated(directions: Directions, D: Array, at_most: int) -> Array:
    """Return positions of at most `at_most` rows that lose a tenth of the largest loss or more.

    If there are more such rows, the result is evenly spaced among them. The result is empty if no
    row loses along the direction D, (R, n_features + 1).
    """
    arguments = (directions.pairs(), directions.raw(D), directions.scales())
    blocks = directions.objective.blocks
    (worst,) = blocks.map_reduce(worst_violation, *arguments, combine=np.maximum)
    if not worst > LP_TOLERANCE:
        return np.empty(0, dtype=np.intp)
    limit = max(0.1 * float(worst), LP_TOLERANCE)
    rows = blocks.where(are_violated, *arguments, limit, at_most=blocks.n_samples)
    assert rows is not None
    return _evenly_spaced(rows, at_most)


def _constraints(directions: Directions, rows: Array, D: Array) -> tuple[Array, Array]:
    """Return the constraints that the pairs of some rows do not lose, and a key of each constraint.

    Constraints (n_constraints, len(directions.index)) have the gain of a pair as a linear function
    of the scaled coefficients at `directions.index`. Keys (n_constraints,) are integers that
    identify a row with its own and another class. For sigmoids, which have one logit for each
    label, a key identifies a row with a label and the sign in which its logit may change.

    Parameters
    ----------
    directions : Directions
    rows : ndarray of int
        Positions of the rows.
    D : ndarray of shape (R, n_features + 1)
        If a row has more than `FEW_CLASSES` pairs, those with the largest loss along D are taken.
    """
    d = directions.objective.blocks.n_features
    R, width = directions.cone.low.shape
    if not len(rows):
        return np.empty((0, len(directions.index))), np.empty(0, dtype=np.int64)
    taken = directions.objective.blocks.take(rows, np.zeros(d), np.ones(d), np.float64)
    block = on_host_block(Block(0, 0, len(rows), *taken))
    own, counts = classes_and_pairs(block, directions.pairs())
    margins = np.where(
        counts > 0.0,
        margins_of_classes(logit_changes(block, directions.raw(D)), own, directions.is_coupled),
        0,
    )
    (X,) = (X for _, X in dense_pieces(block, directions.scales(), len(rows)))
    keys, out = [], []
    for i, row in enumerate(rows):
        others = np.flatnonzero(counts[:, i])
        if len(others) > FEW_CLASSES:
            others = np.argsort(margins[:, i], kind="stable")[:FEW_CLASSES]
        for c in np.flatnonzero(own[:, i] != 0.0):
            if not directions.is_coupled:
                # The logit of a target between 0 and 1 must change to neither side.
                for sign in (own[c, i],) if abs(own[c, i]) == 1.0 else (1.0, -1.0):
                    line = np.zeros((R, width))
                    line[c] = sign * X[i]
                    keys.append((row * R + c) * 2 + (sign > 0.0))
                    out.append(line.ravel()[directions.index])
                continue
            for k in others[others != c]:
                line = np.zeros((R, width))
                line[c], line[k] = X[i], -X[i]
                keys.append((row * R + c) * R + k)
                out.append(line.ravel()[directions.index])
    return np.array(out).reshape(-1, len(directions.index)), np.array(keys, dtype=np.int64)
