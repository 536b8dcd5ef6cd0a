"""Proofs that a direction of recession exists, and that there is none.

- A direction that `Directions.is_proof` has evaluated on all rows proves separation.
- Probabilities q > 0 under which the columns have the same means as under the targets t prove
  overlap. Then Σ_i s_i (t_i - q_i)·u_i = 0 for every D, while no term is negative for a direction
  of recession, and a term is zero only where u_i is constant over classes. A Newton step Δ from an
  optimum's neighbourhood gives such a q = p - (diag p - p pᵀ) Δ x̃: it has the right means by the
  definition of Δ, and it is positive where (Δ x̃)_k - p·Δ x̃ < 1.

Albert & Anderson (1984), Biometrika 71, 1-10; Geyer (2009), Electron. J. Stat. 3, 259-289.
"""

from __future__ import annotations

import numpy as np

from skmaxent._existence._curvature import information, largest_change, tied_squares
from skmaxent._existence._directions import Directions
from skmaxent._existence._pseudoinverse import Pseudoinverse
from skmaxent._existence._scaled_rows import largest_scaled_margin
from skmaxent._typing import Array

# A Newton step that changes no logit by more than this has positive probabilities; 1 would do in
# exact arithmetic.
LARGEST_CHANGE = 0.9
# Shares of the largest change of a logit below which rows are taken to be tied by a direction.
TIES = (1e-6, 1e-3, 3e-2)
# Each projection removes what rounding left of the changes of tied pairs.
PROJECTIONS = 4


def proved_direction_near(directions: Directions, D: Array) -> Array | None:
    """Return a direction of recession near D that all rows prove, or None.

    Both have the shape (R, n_features + 1). The largest absolute entry of the result is 1.
    """
    D = directions.cone.project(D)
    size = float(np.abs(D).max())
    if not (0.0 < size < np.inf):
        return None
    D = D / size
    if directions.is_proof(D):
        return D
    if not directions.is_small:
        return None
    for share in TIES:
        tied = _without_ties(directions, D, share)
        if tied is not None and directions.is_proof(tied):
            return tied
    return None


def _without_ties(directions: Directions, D: Array, share: float) -> Array | None:
    """Return the part of D that leaves nearly tied pairs tied, or None if nothing is left.

    Pairs of a row and a class are nearly tied if D changes their difference of logits by no more
    than `share` times the largest change.
    """
    scales = directions.scales()
    (largest,) = directions.objective.blocks.map_reduce(
        largest_scaled_margin, directions.pairs(), directions.raw(D), scales, combine=np.maximum
    )
    limit = share * float(largest)
    if not limit > 0.0:
        return None
    start = directions.raw(D)
    x = directions.scaled(D)
    inverse: Pseudoinverse | None = None
    for _ in range(PROJECTIONS):
        out = directions.objective.blocks.map_reduce(
            tied_squares,
            directions.pairs(),
            start,
            limit,
            directions.raw(D),
            scales,
            inverse is None,
        )
        if inverse is None:
            inverse = Pseudoinverse(directions.submatrix(out[0]))
        x = x - inverse.solve(out[1].ravel()[directions.index])
        D = directions.cone.project(directions.unscaled(x))
    size = float(np.abs(D).max())
    return D / size if size > 1e-6 else None


def proves_overlap(directions: Directions, theta: Array) -> bool:
    """Return whether a Newton step from θ proves that there is no direction of recession.

    The step proves it if it gives positive probabilities with the same means of the columns as the
    targets, and if no logits change in the directions without curvature. θ has the shape
    (R, n_features + 1), or (1, n_features + 1) for the directions of one label.
    """
    at = directions.raw(theta)
    H, g, n_pairs = directions.objective.blocks.map_reduce(
        information, directions.pairs(), at, directions.scales()
    )
    if n_pairs == 0.0:
        return True
    if not (np.isfinite(H).all() and np.isfinite(g).all()):
        return False
    index, g = directions.index, g.ravel()
    low, high = (bound.ravel()[index] for bound in (directions.cone.low, directions.cone.high))
    # Where a coefficient may move to one side, the gradient need not vanish on the other.
    held = ((low == 0.0) & (g[index] >= 0.0)) | ((high == 0.0) & (g[index] <= 0.0))
    moved = index[~held]
    inverse = Pseudoinverse(H[np.ix_(moved, moved)])
    step = inverse.solve(g[moved])
    whole = np.zeros(len(g))
    whole[moved] = step
    left = (g - H @ whole)[index[held]]
    if ((low[held] == 0.0) & (left < 0.0)).any() or ((high[held] == 0.0) & (left > 0.0)).any():
        return False
    (change,) = directions.objective.blocks.map_reduce(
        largest_change,
        directions.pairs(),
        at,
        directions.raw(directions.from_scaled(whole)),
        combine=np.maximum,
    )
    if not change < LARGEST_CHANGE:
        return False
    if held.any():
        # The proof says that no logits change along what is left; that must be nothing.
        inverse = Pseudoinverse(H[np.ix_(index, index)])
        moved = index
    if inverse.null.shape[1]:
        # A random direction of a space changes no logits only where none of the space does.
        mixture = np.random.default_rng(0).normal(size=inverse.null.shape[1])
        whole = np.zeros(len(g))
        whole[moved] = inverse.null @ mixture
        return directions.is_null(directions.from_scaled(whole))
    return True
