"""The search for directions of recession: whether there is one, and all of them.

The cheap proofs come first. Where they fail, linear programs find a direction or show that there is
none.
"""

from __future__ import annotations

import numpy as np

from skmaxent._existence._curvature import ties
from skmaxent._existence._directions import Directions
from skmaxent._existence._linear_programs import NO_GAIN, Verdict, by_linear_programs
from skmaxent._existence._proofs import confirmed, proves_overlap
from skmaxent._existence._pseudoinverse import Pseudoinverse
from skmaxent._typing import Array

# Directions that are added to a face, each of which separates one pair more at least.
MAX_FACES = 100


def verdict(
    directions: Directions, theta: Array, candidates: tuple[Array, ...] = ()
) -> tuple[Verdict, Array | None]:
    """Return whether there is a direction of recession, and one if so.

    Parameters
    ----------
    directions : Directions
    theta : ndarray
        Coefficients of all labels, best near the optimum.
    candidates : tuple of ndarray
        Directions of all labels that are tried first.
    """
    if not directions.can_recede:
        return Verdict.OVERLAP, None
    for D in candidates:
        found = confirmed(directions, directions.own(D))
        if found is not None:
            return Verdict.SEPARATED, found
    if not directions.is_small:
        return Verdict.UNKNOWN, None
    if proves_overlap(directions, directions.own(theta)):
        return Verdict.OVERLAP, None
    return by_linear_programs(directions, directions.own(theta))


def maximal(directions: Directions, theta: Array, D: Array) -> tuple[Array, bool]:
    """Return the sum of directions that separates every pair that any direction separates.

    The second value says whether this is known: not where a linear program failed. Pairs
    that are separated already do not restrict the next direction, for enough of the last one makes
    up for what it takes from them.
    """
    directions.face = D
    for _ in range(MAX_FACES if directions.is_small and not directions.is_complete(D) else 0):
        if proves_overlap(directions, directions.own(theta)):
            return directions.face, True
        decided, more = by_linear_programs(directions, None)
        if more is None:
            return directions.face, decided is Verdict.OVERLAP
        directions.face = directions.joined(directions.face, more)
    return directions.face, False


def span(directions: Directions) -> tuple[Array, Array]:
    """Return directions, (n, R, width), that span all directions of recession, for a maximal face.

    These are those in which no logits change of the pairs that the face does not separate: a
    little of any of them may be added to the face. The columns whose coefficients any of them
    changes are marked, the intercept last.
    """
    center, scale = directions.scales()
    nothing = directions.raw(np.zeros_like(directions.face))
    H, _ = directions.objective.blocks.map_reduce(
        ties, *directions.pairs(), nothing, 0.0, nothing, center, scale, True
    )
    null = Pseudoinverse(directions.part(H)).null
    basis: list[Array] = []
    changes: list[Array] = []
    for v in null.T:
        v = v / np.abs(v).max()
        basis.append(directions.unscaled(v))
        _, intercept, size = directions.raw(basis[-1])
        changes.append(np.abs(directions.whole(v)).max(axis=0))
        changes[-1][-1] = np.abs(intercept).max() / max(float(size.max()), 1e-300)
    marks = np.max(changes, axis=0, initial=0.0) > NO_GAIN
    return np.array(basis).reshape(-1, *directions.face.shape), marks
