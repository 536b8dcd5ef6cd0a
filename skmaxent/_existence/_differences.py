"""Problems with nearly collinear columns, over differences between these columns.

If a column equals a combination of others in all rows but a few, the classes can be separated in
these few rows alone. The direction that separates them then changes logits by differences of
columns that are a small share δ of the columns. Curvature of the size δ² is a rounding error of the
Hessian, and gains of the size δ are a rounding error of a linear program. The search for directions
of recession therefore replaces such a column by its difference from the combination.

The combinations come from an LU factorisation of the rows, and not from least squares: a difference
is then exactly zero in all rows in which the column equals the combination. d is the number of
columns of X, and R the number of logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular

from skmaxent._existence._aliased_columns import MOST_COLUMNS, are_apart
from skmaxent._existence._cone import Cone
from skmaxent._existence._margins import RawDirection
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._storage._arrays import EPS
from skmaxent._storage._block import Block
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array

# A column is replaced if its distance from the span of others is at most this share of its length.
# Probabilities of 1e-6, at which fits look for directions of recession, then leave a curvature of
# 1e-12, which is far above rounding errors, to columns that are not replaced.
NEAR = 1e-3
# A column at less than this distance is a combination of others up to rounding.
SAME = 1e-13
# A sum counts as zero if it is at most this share of the sum of the absolute values of its terms.
ROUNDED_SUM = 64.0 * EPS
# The least priority of a row. It is so large that the rounding errors of other rows are smaller.
LEAST_PRIORITY = 1e-6
# Numbers for the search for rows with differences of zero: iterations, the factor by which each
# reduces the difference below which all rows have the same weight, and the most products of each.
REWEIGHTINGS, REDUCTION, MOST_PRODUCTS = 24, 0.4, 1 << 30
# Weights of combinations are also tried with this many bits, which removes their rounding errors.
WEIGHT_BITS = 44
# Entries of a direction up to this share of the largest, and sums up to this share of their terms,
# count as zero.
NO_CHANGE = 1e-7
# With more entries of X, no column is replaced: the rows are copied.
MOST_ENTRIES = 1 << 24


def has_columns_apart(objective: MultinomialObjective, cone: Cone) -> bool:
    """Return whether no column is nearly a combination of others.

    Only columns that directions in the cone may change to both sides for all classes are looked at,
    and none if X has more than `MOST_COLUMNS`.
    """
    if objective.blocks.n_features > MOST_COLUMNS:
        return True
    return are_apart(objective, _free_columns(objective, cone))


def _free_columns(objective: MultinomialObjective, cone: Cone) -> Array:
    """Return positions of the columns that may change to both sides for all classes.

    There are none if the intercepts may not.
    """
    is_free = np.asarray(((cone.low < 0.0) & (cone.high > 0.0)).all(axis=0))
    if objective.fit_intercept and not is_free[-1]:
        return np.zeros(0, np.intp)
    return np.flatnonzero(is_free[:-1])


@dataclass(frozen=True)
class Differences:
    """A problem in which nearly collinear columns are replaced, with conversions of coefficients.

    Attributes
    ----------
    objective : MultinomialObjective
        The objective of the columns after the replacement.
    original : MultinomialObjective
        The objective of the columns of X.
    columns : ndarray of int of shape (n_replaced,)
        The positions of the columns that are replaced.
    weights : ndarray of shape (n_replaced, d + 1)
        The difference that replaces a column is the column minus the sum of the columns of X and of
        a column of ones, the last, with these weights.
    sizes : ndarray of shape (n_replaced, d + 1)
        The sizes to which rounding errors of the weights are proportional; 0 for weights of 0.
    """

    objective: MultinomialObjective
    original: MultinomialObjective
    columns: Array
    weights: Array
    sizes: Array

    @classmethod
    def of(cls, objective: MultinomialObjective, cone: Cone) -> Differences | None:
        """Return the problem of the differences, or None if no column is nearly collinear.

        Only columns that directions in the cone may change to both sides for all classes are
        replaced. They must be linearly independent. The result is None as well if X has more than
        `MOST_ENTRIES` entries.
        """
        if has_columns_apart(objective, cone):
            return None
        blocks, among = objective.blocks, _free_columns(objective, cone)
        n, d = blocks.n_samples, blocks.n_features
        if n * d > MOST_ENTRIES:
            return None
        taken = blocks.take(np.arange(n), np.zeros(d), np.ones(d), np.float64)
        block = on_host_block(Block(0, 0, n, *taken))
        X = np.asarray(block.X.toarray() if block.is_sparse else block.X)
        X = np.column_stack([X, np.full(n, float(objective.fit_intercept))])
        positive = X if block.weights is None else X[block.weights > 0.0]
        columns, weights, sizes = _combinations(positive, among, objective.fit_intercept)
        if not len(columns):
            return None
        new = X[:, :-1].copy()
        for i, j in enumerate(columns):
            new[:, j] = _differences(X, j, weights[i], sizes[i])
        rows = RowBlocks(
            new, block.targets, block.weights, block.offset, n_logits=objective.shape[0]
        )
        center, scale = objective.center.copy(), objective.scale.copy()
        center[columns] = 0.0
        scale[columns] = np.maximum(np.abs(new[:, columns]).max(axis=0), np.finfo(float).tiny)
        standardisation = Standardisation.of(
            d,
            fit_intercept=objective.fit_intercept,
            center=center,
            scale=scale,
            varying=objective.varying,
        )
        # No column that is replaced has a penalty, and the others keep theirs.
        penalty = Ridge(objective.penalty.strength)
        replaced = MultinomialObjective(rows, objective.likelihood, penalty, standardisation)
        return cls(replaced, objective, columns, weights, sizes)

    def replaced(self, theta: Array) -> Array:
        """Return θ (R, d + 1) of `objective` with the logits of `theta`, that of `original`."""
        coef = np.column_stack(self.original.coefficients(theta))
        triangle = np.eye(len(self.columns)) - self.weights[:, self.columns]
        own = np.linalg.solve(triangle.T, coef[:, self.columns].T).T
        return self.objective.from_coefficients(*self._sums(coef, own, 1.0))

    def restored(self, theta: Array) -> Array:
        """Return θ (R, d + 1) of `original` with the logits of `theta`, that of `objective`."""
        coef = np.column_stack(self.objective.coefficients(theta))
        own = coef[:, self.columns]
        return self.original.from_coefficients(*self._sums(coef, own, -1.0))

    def moved(self, moved: Array, directions: tuple[Array, ...]) -> Array:
        """Return which columns of X, the intercept last, some direction changes, bool (d + 1,).

        Parameters
        ----------
        moved : ndarray of bool of shape (d + 1,)
            Which columns of `objective` some direction changes.
        directions : tuple of ndarray of shape (R, d + 1)
            Directions of θ of `objective` that span all directions.
        """
        combined = self.weights.any(axis=0)
        out = moved & ~combined
        for D in directions:
            D = np.where(np.abs(D) > NO_CHANGE * np.abs(D).max(), D, 0.0)
            coef, intercept, size = RawDirection.of(self.objective, D)
            coefs = np.column_stack([coef, intercept])
            own, sizes = coef[:, self.columns], np.column_stack([np.abs(coef), size])
            terms = sizes + np.abs(own) @ self.sizes
            changes = np.abs(coefs - own @ self.weights) > NO_CHANGE * terms
            out |= combined & changes.any(axis=0)
        return np.asarray(out)

    def _sums(self, coef: Array, own: Array, sign: float) -> tuple[Array, Array]:
        """Return coefficients (R, d) and intercepts (R,) plus `sign * own @ weights`.

        `coef` (R, d + 1) has both, and `own` (R, n_replaced) those of the replaced columns. Sums
        that are rounding errors are zero.
        """
        out = coef + sign * own @ self.weights
        terms = np.abs(coef) + np.abs(own) @ self.sizes
        out = np.where(np.abs(out) <= ROUNDED_SUM * terms, 0.0, out)
        return out[:, :-1], out[:, -1]


def _differences(X: Array, j: int, weights: Array, sizes: Array) -> Array:
    """Return column j of X minus the sum of columns with `weights`, (n,).

    X (n, d + 1) has the columns and the ones; `weights` and `sizes`, of shape (d + 1,), are as in
    `Differences`. Differences that are rounding errors are zero.
    """
    used = np.flatnonzero(weights)
    out = X[:, j] - (X[:, used] * weights[used]).sum(axis=1)
    terms = np.abs(X[:, j]) + np.abs(X[:, used]) @ sizes[used]
    return np.asarray(np.where(np.abs(out) <= ROUNDED_SUM * terms, 0.0, out))


def _combinations(X: Array, among: Array, fit_intercept: bool) -> tuple[Array, Array, Array]:
    """Return which columns are nearly combinations of others, with weights and their sizes.

    Parameters
    ----------
    X : ndarray of shape (n, d + 1)
        The columns and the ones.
    among : ndarray of int
        Positions of the columns that are looked at.
    fit_intercept : bool
        Whether combinations may have the ones.

    Returns
    -------
    columns : ndarray of int of shape (n_found,)
    weights, sizes : ndarray of shape (n_found, d + 1)
    """
    width = X.shape[1]
    none = np.empty(0, dtype=np.intp), np.empty((0, width)), np.empty((0, width))
    # Powers of two change no digits of a column.
    size = np.ldexp(1.0, np.frexp(np.abs(X).max(axis=0, initial=0.0))[1])
    S = X[:, among] / size[among]
    centred = S - S.mean(axis=0) if fit_intercept else S
    length = np.sqrt(np.square(centred).sum(axis=0))
    if not (len(X) > len(among) and np.isfinite(length).all() and length.all()):
        return none
    R, order = qr(np.linalg.qr(centred / length, mode="r"), mode="r", pivoting=True)
    distance = np.abs(R.diagonal())
    is_found = (distance <= NEAR) & (distance > SAME)
    if not is_found.any():
        return none
    order = np.append([X.shape[1] - 1] if fit_intercept else [], among[order]).astype(np.intp)
    M = X[:, order] / size[order]
    Q = np.linalg.qr(M)[0]
    columns, weights, sizes = [], [], []
    for k in np.flatnonzero(is_found) + len(order) - len(among):
        j, units = order[k], size[order[k]] / size[order[:k]]
        best, most_zeros = None, -1
        for scaled in _candidates(M[:, : k + 1], Q[:, :k]):
            weight, error = np.zeros(width), np.zeros(width)
            weight[order[:k]] = scaled * units
            error[order[:k]] = np.where(scaled != 0.0, np.abs(scaled).max() * units, 0.0)
            # The differences with the most exact zeros are the most accurate.
            n_zeros = int(np.count_nonzero(_differences(X, j, weight, error) == 0.0))
            if n_zeros > most_zeros:
                best, most_zeros = (weight, error), n_zeros
        if best is not None:
            columns.append(j)
            weights.append(best[0])
            sizes.append(best[1])
    return (np.array(columns, dtype=np.intp), np.array(weights), np.array(sizes))


def _candidates(M: Array, Q: Array) -> list[Array]:
    """Return weights (k,) of the first k columns of M whose sum is nearly the last column.

    M has the shape (n, k + 1), and Q (n, k) orthonormal columns with the span of the first k.
    """
    k = Q.shape[1]
    out = []
    for priority in (_row_priorities(M[:, k], Q), np.ones(len(M))):
        # The rows of the pivots are those in which the sum equals the last column.
        U = np.triu(lapack.dgetrf(M * priority[:, None])[0][: k + 1])
        if np.abs(U.diagonal()[:k]).min() > 0.0:
            solved = solve_triangular(U[:k, :k], U[:k, k])
            unit = np.ldexp(1.0, np.frexp(np.abs(solved).max())[1] - WEIGHT_BITS)
            out += [np.round(solved / unit) * unit, solved]
    return [np.where(np.abs(one) > ROUNDED_SUM * np.abs(one).max(), one, 0.0) for one in out]


def _row_priorities(v: Array, Q: Array) -> Array:
    """Return numbers (n,), 1 for rows in which v equals a combination of the columns of Q, or less.

    The combination of the columns, (n, k), is near that with the least sum of absolute differences
    from v, (n,), so that the differences are zero in most rows, if that is possible. It is found by
    iteratively reweighted least squares. The larger the difference of a row, the less its priority.
    """
    r = v - Q @ (Q.T @ v)
    r -= Q @ (Q.T @ r)
    priority, least = np.ones(len(r)), float(np.abs(r).max())
    for _ in range(REWEIGHTINGS if len(r) * Q.shape[1] ** 2 <= MOST_PRODUCTS else 0):
        # A row with a small difference keeps it if its weight is much larger than those of others.
        # Weights are therefore nearly equal at first.
        least = max(REDUCTION * least, float(np.finfo(float).tiny))
        priority = least / np.maximum(np.abs(r), least)
        weighted = Q * priority[:, None]
        r = r - Q @ np.linalg.lstsq(weighted.T @ Q, weighted.T @ r, rcond=None)[0]
    return np.maximum(priority, LEAST_PRIORITY)
