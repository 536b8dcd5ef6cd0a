"""Aliased columns: linear combinations of earlier columns, whose coefficients are not determined.

As in R's `lm` and `glm`, the intercept comes first, then the columns in their order. A column that
is a linear combination of those before it is aliased. Without the aliased columns the others are
linearly independent, and no smaller set of columns can be left out for that. d is the number of
columns of X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array

# With more columns than this, none is checked: the matrix of their products would be too large.
MOST_COLUMNS = 500
# If the squared distance of a column from the span of the others, relative to its squared length,
# is below this, the distance may be a rounding error. Columns are then orthogonalised, which is
# slower and more accurate.
SUSPECT_DISTANCE = 1e-8
# Columns are apart if the squared distance of each from the span of the others, relative to its
# squared length, is above this.
APART = 1e-6
# A column is a combination of the others if its distance from their span is below this share of its
# length.
DEPENDENT_DISTANCE = 1e-11
# The rounding error of an entry of X, in units of the machine epsilon of X's dtype.
ROUNDED_ENTRY = 8.0
# The first check looks at this many rows for each column.
ROWS_PER_COLUMN = 4
# The rows are orthogonalised in pieces with this many entries.
PIECE_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Aliased:
    """Columns that are combinations of others.

    Attributes
    ----------
    columns : ndarray of shape (n_aliased,)
        The positions of the aliased columns.
    weights : ndarray of shape (n_aliased, n_features + 1)
        Each standardised aliased column is the sum of the other standardised columns and of a
        column of ones, the last, with these weights.
    """

    columns: Array
    weights: Array

    def with_zeros(self, theta: Array) -> Array:
        """Return coefficients with the logits of `theta`, and zeros for the aliased columns.

        Both arrays have the shape (n_logits, n_features + 1).
        """
        out = theta + theta[:, self.columns] @ self.weights
        out[:, self.columns] = 0.0
        return np.asfortranarray(out)


def aliased_columns(objective: MultinomialObjective, among: Array | None = None) -> Aliased:
    """Return the columns that are aliased in the rows of positive weight.

    `among` are the positions of the columns that are looked at, in ascending order; None stands for
    all. With more than `MOST_COLUMNS` columns none are checked, and the result is empty.
    """
    d = objective.blocks.n_features
    if among is None or len(among) == d:
        return objective.computed_once(_all_aliased_columns)
    return _aliased_columns(objective, among)


def _all_aliased_columns(objective: MultinomialObjective) -> Aliased:
    """Return what `aliased_columns` returns if it looks at all columns."""
    return _aliased_columns(objective, np.arange(objective.blocks.n_features))


def _aliased_columns(objective: MultinomialObjective, among: Array) -> Aliased:
    """Return what `aliased_columns` returns, computed anew."""
    d, fit_intercept = objective.blocks.n_features, objective.fit_intercept
    none = Aliased(np.empty(0, dtype=np.intp), np.empty((0, d + 1)))
    # Cheap checks come first: on few rows, then by the cross products of all rows. Only columns
    # that look dependent there are orthogonalised.
    if d > MOST_COLUMNS or are_apart(objective, among, SUSPECT_DISTANCE):
        return none
    order = np.append([d] if fit_intercept else [], among).astype(np.intp)
    R = qr_factor(objective) * objective.standardisation.is_free
    # The rounding error of an entry is a share of the entry, not of its distance from the mean.
    units = np.append(objective.column_size / objective.scale, 1.0)
    n = np.sqrt(float(objective.blocks.weight_sums.n_positive))
    rounded = ROUNDED_ENTRY * float(np.finfo(objective.blocks.entry_dtype).eps) * n * units
    kept, found = _partition(R, order, rounded)
    weights = np.zeros((len(found), d + 1))
    if len(kept):
        weights[:, kept] = np.linalg.lstsq(R[:, kept], R[:, found], rcond=None)[0].T
    return Aliased(found, weights)


def are_apart(
    objective: MultinomialObjective, among: Array | None = None, distance: float = APART
) -> bool:
    """Return whether columns and the intercept are far from linearly dependent.

    They are if the squared distance of each from the span of those before it is larger than
    `distance` times its squared length. `distance` must not exceed `APART`. `among` are the
    positions of the columns; None stands for all. There may be `MOST_COLUMNS` columns at most.
    """
    products = objective.computed_once(_scaled_products)
    if products is None:
        return True
    d = objective.blocks.n_features
    among = np.arange(d) if among is None else among
    order = np.append([d] if objective.fit_intercept else [], among).astype(np.intp)
    A = products[np.ix_(order, order)]
    return bool(A.diagonal().all() and _is_regular(A, distance))


def _scaled_products(objective: MultinomialObjective) -> Array | None:
    """Return the products of the standardised columns and the ones, scaled to the diagonal 1.

    The result (d + 1, d + 1) has zeros for columns that are constant or zero. It is None if the
    columns are apart already on few rows, hence on all rows.
    """
    blocks = objective.blocks
    n_rows = ROWS_PER_COLUMN * blocks.n_features + 100
    if n_rows <= blocks.n_samples // 2:
        rows = np.linspace(0, blocks.n_samples - 1, n_rows).astype(np.intp)
        taken = blocks.take(rows, objective.center, objective.scale, np.float64)
        block = Block(0, 0, n_rows, *taken)
        (G,) = _cross_products(block, objective.standardisation.of_copy(blocks.is_sparse))
        G = G if objective.fit_intercept else G[:-1, :-1]
        size = np.sqrt(G.diagonal())
        if size.all() and _is_regular(G / np.multiply.outer(size, size), APART):
            return None
    (G,) = blocks.map_reduce(_cross_products, objective.standardisation)
    size = np.sqrt(G.diagonal()) * np.append(objective.varying, True)
    scale = np.where(size > 0.0, size, np.inf)
    return np.asarray(G / np.multiply.outer(scale, scale))


def _is_regular(A: Array, distance: float) -> bool:
    """Return whether the squared pivots of a symmetric matrix with unit diagonal are large enough.

    They are if they are larger than `distance`.
    """
    if not len(A):
        return True
    L, info = lapack.dpotrf(A, lower=1)
    return bool(info == 0 and np.square(L.diagonal()).min() > distance)


def qr_factor(objective: MultinomialObjective) -> Array:
    """Return the factor R of the QR factorisation of the standardised columns and a column of ones.

    R has d + 1 columns and at most as many rows. Its columns have the distances of the columns of
    X. Distances computed from R are more accurate than those from products of the columns.
    """
    blocks = objective.blocks
    d = blocks.n_features
    center = objective.center / objective.scale if blocks.is_sparse else np.zeros(d)
    R = np.zeros((0, d + 1))
    step = max(PIECE_ENTRIES // (d + 1), 4 * (d + 1))
    for start in range(0, blocks.n_samples, step):
        rows = np.arange(start, min(start + step, blocks.n_samples))
        taken = blocks.take(rows, objective.center, objective.scale, np.float64)
        X = taken.X.toarray() - center if blocks.is_sparse else taken.X
        X = np.column_stack([X, np.full(len(X), float(objective.fit_intercept))])
        if taken.weights is not None:
            X = X[taken.weights > 0.0]
        R = np.asarray(np.linalg.qr(np.vstack([R, X]), mode="r"))
    return R


def _partition(R: Array, order: Array, rounded: Array) -> tuple[Array, Array]:
    """Split columns into independent ones and combinations of earlier ones; return both positions.

    Parameters
    ----------
    R : ndarray of shape (n, n_columns)
        A matrix with the columns.
    order : ndarray of int
        Positions of the columns, in the order in which they are looked at.
    rounded : ndarray of shape (n_columns,)
        Rounding error of the distance of each column from the span of others.
    """
    basis = np.zeros((len(R), R.shape[1]), order="F")
    kept: list[int] = []
    others: list[int] = []
    for j in order:
        v = R[:, j]
        for _ in range(2):  # a second Gram-Schmidt step removes the rounding errors of the first
            known = basis[:, : len(kept)]
            v = v - known @ (known.T @ v)
        distance, length = float(np.linalg.norm(v)), float(np.linalg.norm(R[:, j]))
        if distance <= max(DEPENDENT_DISTANCE * length, rounded[j]):
            others.append(j)
        else:
            basis[:, len(kept)] = v / distance
            kept.append(j)
    return np.array(kept, dtype=np.intp), np.array(others, dtype=np.intp)


def _cross_products(block: Block, columns: Standardisation) -> tuple[Array]:
    """Return the sum of (x̃, 1)(x̃, 1)ᵀ over a block's rows of positive weight, (d + 1, d + 1).

    x̃ are the standardised features of a row. Without an intercept, the last row and column are 0.
    """
    block = on_host_block(block)
    center, scale = columns.center, columns.scale
    weights = (block.weights_or_ones() > 0.0).astype(np.float64)
    G = np.zeros((len(center) + 1, len(center) + 1))
    G[:-1, :-1] = columns.scatter(block, weights)
    if columns.fit_intercept:
        sums = np.asarray(block.X.T @ weights, dtype=np.float64)
        if not block.is_sparse:
            sums = weights @ (block.X - center)
        else:
            sums -= weights.sum() * center
        G[-1, :-1] = G[:-1, -1] = sums / scale
        G[-1, -1] = weights.sum()
    return (G,)
