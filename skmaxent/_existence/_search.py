"""The search for directions of recession: for one, and for those that separate as much as possible.

The cheap proofs of `_proofs` come first. If they fail, linear programs find a direction or show
that there is none.

A pair is a row and another class than the row's own. A direction separates the pair if it raises
the logit of the row's own class more than that of the other class. The face of a problem is a
direction of recession, or zero at first. The search ignores the pairs that the face separates
already. A face is maximal if no direction of recession separates a further pair. See `_directions`
for directions of recession.

Directions have the shape (R, n_features + 1), where R is the number of logits. For sigmoids, which
have one logit for each label, `Directions` belongs to one label, and R is 1. `theta` and candidates
have a row for each logit, n_logits, in both cases.
"""

from __future__ import annotations

import numpy as np

from skmaxent._existence._curvature import tied_squares
from skmaxent._existence._directions import Directions
from skmaxent._existence._linear_programs import NO_GAIN, Verdict, WorkLimit, by_linear_programs
from skmaxent._existence._proofs import proved_direction_near, proves_overlap
from skmaxent._existence._pseudoinverse import Pseudoinverse
from skmaxent._typing import Array

# The most directions that are added up. Each of them separates at least one more pair.
MAX_FACES = 100


def verdict(
    directions: Directions,
    theta: Array,
    candidates: tuple[Array, ...] = (),
    *,
    uses_programs: bool = True,
    expects_overlap: bool = False,
    limit: WorkLimit | None = None,
) -> tuple[Verdict, Array | None]:
    """Return whether a direction of recession exists, and the direction or None.

    Parameters
    ----------
    directions : Directions
    theta : ndarray of shape (n_logits, n_features + 1)
        Coefficients of the standardised columns. The closer they are to the optimum, the sooner
        overlap is proved.
    candidates : tuple of ndarray of shape (n_logits, n_features + 1)
        Directions that are tried first.
    uses_programs : bool, default=True
        Whether linear programs decide where `theta` and the candidates prove nothing. What linear
        programs leave open hardly depends on `theta`.
    expects_overlap : bool, default=False
        Whether a proof of overlap is tried before the candidates. It takes less time than they do.
    limit : WorkLimit, optional
        The limit of the work of linear programs.

    Returns
    -------
    Verdict
        SEPARATED if there is a direction of recession, OVERLAP if it is proved that there is none,
        and UNKNOWN if the problem is too large for the search, or if linear programs failed or were
        not used.
    ndarray of shape (R, n_features + 1) or None
        The direction, if there is one.
    """
    if not directions.can_recede:
        return Verdict.OVERLAP, None
    is_open = directions.is_small
    if expects_overlap and is_open:
        if proves_overlap(directions, directions.rows_of_label(theta)):
            return Verdict.OVERLAP, None
        is_open = False
    for D in candidates:
        found = proved_direction_near(directions, directions.rows_of_label(D))
        if found is not None:
            return Verdict.SEPARATED, found
    if not directions.is_small:
        return Verdict.UNKNOWN, None
    if is_open and proves_overlap(directions, directions.rows_of_label(theta)):
        return Verdict.OVERLAP, None
    if not uses_programs:
        return Verdict.UNKNOWN, None
    return by_linear_programs(directions, directions.rows_of_label(theta), limit=limit)


def maximal_face(directions: Directions, theta: Array, D: Array) -> tuple[Array, bool]:
    """Return a direction that separates all pairs that can be separated, and whether this is sure.

    `D` is a direction of recession, (R, n_features + 1). The result, of this shape, is D plus
    further directions, which are added until no further pair can be separated. Pairs that are
    separated already do not restrict the next direction, because a large enough multiple of the sum
    makes up for what they lose. The second value is False if a linear program failed or was not
    tried. `theta` are coefficients as in `verdict`. `directions.face` is set to the result.
    """
    directions.face = D
    for _ in range(MAX_FACES if directions.is_small and not directions.is_complete(D) else 0):
        if proves_overlap(directions, directions.rows_of_label(theta)):
            return directions.face, True
        decided, more = by_linear_programs(directions, None)
        if more is None:
            return directions.face, decided is Verdict.OVERLAP
        directions.face = directions.sum_keeping_gains(directions.face, more)
    return directions.face, False


def remaining_directions(directions: Directions) -> tuple[Array, Array]:
    """Return directions (n, R, n_features + 1) that may be added to a maximal `directions.face`.

    They are a basis of the directions that leave the differences of logits unchanged for all pairs
    that the face does not separate. The face plus a small multiple of such a direction is therefore
    a direction of recession too, and the data do not determine the coefficients along it. The
    second array is a mask (n_features + 1,) of the columns, the intercept last, that some of the
    directions change.
    """
    nothing = directions.raw(np.zeros_like(directions.face))
    H, _ = directions.objective.blocks.map_reduce(
        tied_squares,
        directions.pairs(),
        nothing,
        0.0,
        nothing,
        directions.scales(),
        directions.columns,
    )
    null = Pseudoinverse(directions.submatrix(H)).null
    changes: list[Array] = []
    # The face is one of these directions, unless rounding hides this.
    for v in (*null.T, directions.scaled(directions.face)):
        v = v / np.abs(v).max()
        _, intercept, size = directions.raw(directions.unscaled(v))
        changes.append(np.abs(directions.embed(v)).max(axis=0))
        changes[-1][-1] = np.abs(intercept).max() / max(float(size.max()), 1e-300)
    basis = [directions.unscaled(v / np.abs(v).max()) for v in null.T]
    marks = np.max(changes, axis=0) > NO_GAIN
    return np.array(basis).reshape(-1, *directions.face.shape), marks
