"""Proofs that a direction of recession exists (separation), and that none exists (overlap).

- A direction of recession itself, checked on all rows by `Directions.is_proof`, proves separation.
- Probabilities q > 0 under which the columns have the same means as under the targets t prove
  overlap. Let s_i be the weight of row i, x̃_i its features followed by a one, and u_i = D x̃_i the
  change of its logits along a direction D. Equal means imply Σ_i s_i (t_i - q_i)·u_i = 0 for every
  D. For a direction of recession no term of this sum is negative, and a term is zero only where u_i
  is constant over classes; so no logits change, and D separates nothing. A Newton step Δ near the
  optimum gives such a q = p - (diag p - p pᵀ) Δ x̃ from the probabilities p: the Newton equation
  makes the means equal, and q_k is positive where (Δ x̃)_k - p·Δ x̃ < 1.

Albert & Anderson (1984), Biometrika 71, 1-10; Geyer (2009), Electron. J. Stat. 3, 259-289.
"""

from __future__ import annotations

import numpy as np

from skmaxent._existence._curvature import information, largest_change, tied_squares
from skmaxent._existence._directions import Directions
from skmaxent._existence._pseudoinverse import Pseudoinverse
from skmaxent._existence._scaled_rows import largest_scaled_margin
from skmaxent._typing import Array

# If a Newton step changes no logit by more than this, probabilities stay positive. In exact
# arithmetic 1 would suffice.
LARGEST_CHANGE = 0.9
# A direction nearly ties a pair that it changes by less than one of these shares of the largest
# change of a pair. The shares are tried one after the other.
TIES = (1e-6, 1e-3, 3e-2)
# Entries of a direction for scaled columns may be rounding errors up to this share of the largest.
ROUNDED_ENTRY = 1e-12
# Number of projections, each of which removes what rounding left of the changes of tied pairs.
PROJECTIONS = 4


def proved_direction_near(directions: Directions, D: Array) -> Array | None:
    """Return a direction of recession near D that is checked on all rows, or None.

    Both directions have the shape (R, n_features + 1). The largest absolute entry of the result is
    1.
    """
    D = directions.cone.project(D)
    size = float(np.abs(D).max())
    if not (0.0 < size < np.inf):
        return None
    found = _proof(directions, D / size)
    if found is not None or not directions.is_small:
        return found
    for share in TIES:
        nearby = _with_exact_ties(directions, D / size, share)
        if nearby is not None:
            found = _proof(directions, nearby)
            if found is not None:
                return found
    return None


def _proof(directions: Directions, D: Array) -> Array | None:
    """Return D if it is a direction of recession, without entries that may be rounding errors.

    Such an entry hardly changes a row in which larger entries of D meet large features. In a row in
    which they meet zeros, the entry decides the sign of the change, and it would separate the row,
    or violate it, by chance. They stay if D is a direction of recession with them only.
    """
    x = directions.scaled(D)
    is_rounding = np.abs(x) <= ROUNDED_ENTRY * np.abs(x).max(initial=0.0)
    if x[is_rounding].any():
        cleaned = directions.cone.project(directions.unscaled(np.where(is_rounding, 0.0, x)))
        size = float(np.abs(cleaned).max())
        if size > 0.0 and directions.is_proof(cleaned / size):
            return cleaned / size
    return D if directions.is_proof(D) else None


def _with_exact_ties(directions: Directions, D: Array, share: float) -> Array | None:
    """Return the projection of D that ties nearly tied pairs exactly, or None if it is zero.

    D ties a pair of a row and a class if it does not change the difference between the logits of
    this class and of the row's own class. The pair is nearly tied if the change is at most `share`
    times the largest change of a pair. D has the shape (R, n_features + 1).
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
    # The squared changes of the nearly tied pairs sum to a quadratic form xᵀ A x; x is projected
    # onto the null space of A, as x - A⁺ A x.
    for _ in range(PROJECTIONS):
        A, product = directions.objective.blocks.map_reduce(
            tied_squares,
            directions.pairs(),
            start,
            limit,
            directions.raw(D),
            scales,
            directions.columns if inverse is None else None,
        )
        if inverse is None:
            inverse = Pseudoinverse(directions.submatrix(A))
        x = x - inverse.solve(product.ravel()[directions.index])
        D = directions.cone.project(directions.unscaled(x))
    size = float(np.abs(D).max())
    return D / size if size > 1e-6 else None


def proves_overlap(directions: Directions, theta: Array) -> bool:
    """Return whether a Newton step from `theta` proves that no direction of recession exists.

    The step is a proof if it gives positive probabilities under which the columns have the same
    means as under the targets, and if no logits change along directions without curvature. `theta`
    (R, n_features + 1) are coefficients near the optimum; R is 1 for the directions of one label.
    """
    at = directions.raw(theta)
    H, g, n_pairs = directions.objective.blocks.map_reduce(
        information, directions.pairs(), at, directions.scales(), directions.columns
    )
    if n_pairs == 0.0:
        return True
    if not (np.isfinite(H).all() and np.isfinite(g).all()):
        return False
    H, index, g = directions.submatrix(H), directions.index, g.ravel()
    low, high = (bound.ravel()[index] for bound in (directions.cone.low, directions.cone.high))
    # A coefficient that may change to one side only is held fixed if the loss decreases to the
    # other side. The step moves the other coefficients. After the step, the loss must still
    # decrease to the side that is forbidden.
    held = ((low == 0.0) & (g[index] >= 0.0)) | ((high == 0.0) & (g[index] <= 0.0))
    moved = index[~held]
    inverse = Pseudoinverse(H[np.ix_(~held, ~held)])
    step = np.zeros(len(g))
    step[moved] = inverse.solve(g[moved])
    left = g[index[held]] - H[np.ix_(held, ~held)] @ step[moved]
    if ((low[held] == 0.0) & (left < 0.0)).any() or ((high[held] == 0.0) & (left > 0.0)).any():
        return False
    (change,) = directions.objective.blocks.map_reduce(
        largest_change,
        directions.pairs(),
        at,
        directions.raw(directions.from_scaled(step)),
        combine=np.maximum,
    )
    if not change < LARGEST_CHANGE:
        return False
    # No direction without curvature may change a logit, neither of the coefficients that the step
    # moves, for the step leaves out such directions, nor of all.
    parts = [(inverse, moved)]
    if held.any():
        parts.append((Pseudoinverse(H), index))
    for part, positions in parts:
        if not part.null.shape[1]:
            continue
        # If some direction of the null space changes a logit, a random one does almost surely.
        mixture = np.random.default_rng(0).normal(size=part.null.shape[1])
        null_direction = np.zeros(len(g))
        null_direction[positions] = part.null @ mixture
        if not directions.is_null(directions.from_scaled(null_direction)):
            return False
    return True
