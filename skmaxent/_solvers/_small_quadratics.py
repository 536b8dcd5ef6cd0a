"""Minima of many small quadratic functions plus L1 penalties, by guesses of the signs."""

from __future__ import annotations

import numpy as np

from skmaxent._solvers._active_set import REGULARISATION
from skmaxent._typing import Array

# How often the signs of coefficients are guessed again, before a search by pivots finds them. After
# the first few guesses, only one sign changes at a time.
MAX_GUESSES, FULL_GUESSES = 16, 3


def diagonals(A: Array) -> Array:
    """Return the diagonals of positive semidefinite matrices (m, p, p), at least zero."""
    place = np.arange(A.shape[1])
    return np.maximum(A[:, place, place], 0.0)


def times(A: Array, X: Array) -> Array:
    """Return the products of matrices (m, p, p) with vectors (m, p)."""
    return np.asarray((A @ X[..., None])[..., 0])


def _solutions(A: Array, which: Array, free: Array, right: Array) -> tuple[Array, Array]:
    """Solve linear systems A X = b for some coefficients; return X and the products A X.

    Parameters
    ----------
    A : ndarray of shape (m, p, p)
        Positive semidefinite matrices; `REGULARISATION` times their diagonals are added to them.
    which : ndarray of int, shape (n,)
        The matrix of each system.
    free : ndarray of bool, shape (n, p)
        The coefficients and the equations of each system. The other coefficients are zero.
    right : ndarray of shape (n, p)
        The right-hand sides b.

    Returns
    -------
    X, AX : ndarray of shape (n, p)
    """
    p, width = A.shape[1], max(int(free.sum(axis=1).max()), 1)
    if 2 * width > p:
        B = A if len(which) == len(A) else A[which]
        X = _solved(B, free, right)
        return X, times(B, X)
    # The free coefficients of each system, and others that make their numbers equal.
    index, at = np.argsort(~free, axis=1)[:, :width], np.arange(len(which))[:, None]
    B = A[which[:, None], index]
    square = B[at[:, :, None], np.arange(width)[:, None], index[:, None]]
    x, X = _solved(square, free[at, index], right[at, index]), np.zeros(right.shape)
    X[at, index] = x
    return X, (x[:, None] @ B)[:, 0]


def _solved(A: Array, free: Array, right: Array) -> Array:
    """Return the X of `_solutions` for a matrix A (n, p, p) of each system; b is zero elsewhere."""
    place = np.arange(A.shape[1])
    M = np.where(free[:, :, None] & free[:, None], A, 0.0)
    M[:, place, place] += np.where(free, REGULARISATION * diagonals(A), 1.0)
    return np.asarray(np.linalg.solve(M, right[..., None])[..., 0])


def minima(A: Array, slope: Array, l1: Array, W: Array, held: Array) -> tuple[Array, Array]:
    """Minimise quadratic functions plus L1 penalties by guesses of the signs.

    For given signs, and coefficients that are zero, the minimum solves a linear system. The signs
    of the next guess are those of A_jj w_j less the slope there, unless this number is at most
    l1_j in size, or has the other sign than the last guess: then w_j is zero. A guess that stays
    is the minimum, up to the regularisation of the step from W (a primal-dual active set method,
    Hintermüller, Ito & Kunisch 2002, SIAM J. Optim. 13, 865-888).

    Parameters
    ----------
    A : ndarray of shape (m, p, p)
        Positive semidefinite matrices.
    slope : ndarray of shape (m, p)
        The gradients of the quadratic functions at W.
    l1, W : ndarray of shape (m, p)
    held : ndarray of bool, shape (p,)
        Which coefficients keep their values.

    Returns
    -------
    minima : ndarray of shape (m, p)
    is_found : ndarray of bool, shape (m,)
        Whether a guess stayed.
    """
    m, p = W.shape
    place, size = np.arange(p), diagonals(A)
    is_smooth = l1 == 0.0
    sign = np.where(is_smooth, 0.0, np.sign(W))
    free = (is_smooth | (sign != 0.0)) & ~held
    ends, is_found, open_ = W.copy(), np.zeros(m, dtype=bool), np.arange(m)
    for number in range(MAX_GUESSES):
        # Steps, unlike ends, have no rounding errors that large coefficients make large.
        step = np.where(free | held, 0.0, -W[open_])
        slopes, moved = slope[open_], np.flatnonzero(step.any(axis=1))
        if 2 * len(moved) > m:  # copies of matrices cost more than products
            slopes += times(A, step) if len(open_) == m else times(A[open_], step)
        else:
            slopes[moved] += times(A[open_[moved]], step[moved])
        right = np.where(free, -slopes - l1[open_] * sign, 0.0)
        try:
            X, AX = _solutions(A, open_, free, right)
        except np.linalg.LinAlgError:  # rows without curvature
            break
        step += X
        ends[open_] = W[open_] + step
        pull = size[open_] * np.where(held, 0.0, ends[open_]) - slopes - AX
        excess = np.abs(pull) - l1[open_]
        new_free = (is_smooth[open_] | ((excess > 0.0) & (sign * pull >= 0.0))) & ~held
        new_sign = np.where(is_smooth[open_] | ~new_free, 0.0, np.sign(pull))
        changes = (new_free != free) | (new_sign != sign)
        stays = ~changes.any(axis=1)
        is_found[open_[stays]] = True
        if stays.all():
            break
        if number >= FULL_GUESSES:
            worst = np.where(changes, np.square(excess) / np.maximum(size[open_], 1e-300), 0.0)
            others = place != worst.argmax(axis=1)[:, None]
            new_free, new_sign = np.where(others, free, new_free), np.where(others, sign, new_sign)
        open_, free, sign = open_[~stays], new_free[~stays], new_sign[~stays]
    return ends, is_found
