"""A preconditioner with a block of the Hessian for each class, from a sample of rows for each.

R is the number of logits and d that of features. p_k is the probability of class k in a row.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg
from scipy.linalg import blas, lapack

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._vectors import in_float32
from skmaxent._typing import Array

# A block is built from ROWS_PER_COLUMN rows for each of its columns, and from at least LEAST_ROWS.
# With half as many rows, conjugate gradients took a third more products on MNIST.
ROWS_PER_COLUMN = 1.25
LEAST_ROWS = 256
# The share of the second moments over all classes in each block, because the few rows with
# curvature for a class may not span all directions.
POOLED_SHARE = 1e-4
# What is added to the unit diagonal of a scaled block, so that it stays positive definite when it
# is rounded to float32.
JITTER = 1e-6
# The mean curvature of a class is set to at least this share of the largest one.
LEAST_CURVATURE = 1e-10
# Rows that are standardised at a time.
ROWS_AT_A_TIME = 1024
# Triangular matrices up to this size are inverted by LAPACK, column by column.
UNBLOCKED = 32


class ClassBlockPreconditioner:
    """The blocks B_k of the Hessian that belong to one class each, with the coupling of softmax.

    B_k is the mean of p_k (1 - p_k) x̃ x̃ᵀ plus the ridge, where x̃ are the standardised columns and
    a one. `solve` returns Π diag(B_1⁻¹, …, B_R⁻¹) Π G, where Π subtracts the mean over the classes
    if logits are coupled. For equal probabilities p, the pseudo-inverse of diag p - p pᵀ is equal
    to Π diag(1/p) Π. The result is zero for constant columns.

    Where classes are nearly separable, few rows have a large p_k (1 - p_k), and they are different
    rows for each class. Every block is therefore computed from a sample of rows of its own; see
    `_SampledRows`. Arithmetic is in float32.

    Parameters
    ----------
    point : Point
    sample : MultinomialObjective
        The rows to sample from: the objective of the point, or of a sample of its rows. They must
        be few, because all of them are held as a single block.
    seed : int, default=0
        Seed for the samples.
    """

    # See `Preconditioner`.
    is_exact = False
    is_close = False

    def __init__(self, point: Point, sample: MultinomialObjective, *, seed: int = 0) -> None:
        objective = point.objective
        self._is_coupled = objective.likelihood.is_coupled
        self._workers = objective.blocks.host_workers
        self._scales = np.empty(objective.shape)
        self._inverses: list[Array | None] = [None] * objective.shape[0]
        self.build(point, sample, seed=seed)

    def build(self, point: Point, sample: MultinomialObjective, *, seed: int = 0) -> None:
        """Compute the blocks at a point of the objective, in place of earlier ones.

        Each thread replaces its blocks one after the other, because two sets of blocks may exceed
        the memory.
        """
        objective = point.objective
        rows = _SampledRows(point, sample, seed)
        P = rows.probabilities
        pooled = rows.second_moments(objective.likelihood.curvature_trace(P), rows.starts[-1])
        pooled *= POOLED_SHARE
        ridge = np.append(objective.penalty.strength, 0.0)
        is_fixed = ~objective.standardisation.is_free
        curvatures = (P * (1.0 - P)) @ rows.weights
        least = LEAST_CURVATURE * max(float(curvatures.max()), 1e-290)

        def build_block(k: int) -> None:
            mean = max(float(curvatures[k]), least)
            self._inverses[k] = None
            B = rows.second_moments(P[k] * (1.0 - P[k]), rows.starts[k])
            B += pooled
            scale, self._inverses[k] = _scaled_inverse(B, ridge / mean, is_fixed)
            self._scales[k] = scale / np.sqrt(mean)

        self._workers.for_each(build_block, range(len(P)))

    def solve(self, G: Array) -> Array:
        """Return Π diag(B_1⁻¹, …, B_R⁻¹) Π G for a gradient G; both float64 (R, d + 1)."""
        if self._is_coupled:
            G = G - G.mean(axis=0)
        rhs, size = in_float32(self._scales * G)
        out = np.empty(G.shape)
        for k, inverse in enumerate(self._inverses):
            out[k] = blas.ssymv(1.0, inverse, rhs[k], lower=1)
        out *= size * self._scales
        if self._is_coupled:
            out -= out.mean(axis=0)
        return np.asfortranarray(out)


class _SampledRows:
    """Rows with their probabilities at a point, from which samples are drawn by importance.

    A row is in a sample with a probability proportional to its share in the curvature, at most one,
    and is then weighted by the inverse of that probability. The share is s_i q_i ‖x̃_i‖², with the
    weight s_i, the curvature q_i, and a norm in which each squared entry is divided by the ridge of
    its column plus the mean curvature.

    Parameters
    ----------
    point : Point
    sample : MultinomialObjective
        The objective of the point, or of a sample of its rows.
    seed : int

    Attributes
    ----------
    probabilities : ndarray of shape (R, rows)
    weights : ndarray of shape (rows,)
        The weights of the rows, divided by their sum.
    starts : ndarray of shape (R + 1,)
        Random numbers between 0 and 1, the starts of the samples of the classes and of the sample
        for all classes.
    """

    def __init__(self, point: Point, sample: MultinomialObjective, seed: int) -> None:
        single = sample.float32_copy()
        self._block, self._columns = single.blocks.whole(), single.standardisation
        model = single.model_at(point.theta, point.probabilities.for_other_rows())
        context = KernelContext(self._block, model)
        self.probabilities = context.probabilities
        self.weights = context.weights / single.total_weight
        rows, d = self._block.X.shape
        self._n_rows = max(LEAST_ROWS, int(ROWS_PER_COLUMN * (d + 1)))
        spread = float(single.likelihood.curvature_trace(self.probabilities) @ self.weights)
        inverse = 1.0 / (np.append(single.penalty.strength, 0.0) + max(spread, 1e-30))
        inverse = inverse.astype(np.float32)
        # ‖x̃_i‖² of all rows.
        self._sizes = np.empty(rows)
        for start in range(0, rows, ROWS_AT_A_TIME):
            part = slice(start, start + ROWS_AT_A_TIME)
            self._sizes[part] = np.square(self._standardised(part)) @ inverse
        # Rows that overflow in float32 are never drawn. Only rows of negligible weight can.
        self._sizes[~np.isfinite(self._sizes)] = 0.0
        self.starts = np.random.default_rng(seed).random(len(self.probabilities) + 1)

    def second_moments(self, curvature: Array, start: float) -> Array:
        """Return an estimate of Σ_i s_i q_i x̃_i x̃_iᵀ/Σ_i s_i q_i, float32 (d + 1, d + 1).

        `curvature` (rows,) holds the q_i, and s_i are the weights. `start` determines the sample.
        """
        weights = (curvature * self.weights).astype(np.float64)
        chances = weights * self._sizes
        chances *= self._n_rows / max(float(chances.sum()), 1e-300)
        np.minimum(chances, 1.0, out=chances)
        # A systematic sample: every point of a grid with spacing one and a random start.
        grid = np.floor(np.cumsum(chances) + start)
        rows = np.flatnonzero(np.diff(grid, prepend=0.0) > 0.0)
        factors = weights[rows] / (chances[rows] * weights.sum())
        X = self._standardised(rows)
        X *= np.sqrt(factors).astype(np.float32)[:, None]
        return X.T @ X

    def _standardised(self, rows: Array | slice) -> Array:
        """Return rows of the block, standardised and with a last entry of one.

        The result is float32 of shape (n_rows, d + 1). Without intercepts the last entry is zero.
        """
        X, columns = self._block.X[rows], self._columns
        X = X.toarray() if self._block.is_sparse else X
        out = np.empty((X.shape[0], X.shape[1] + 1), dtype=np.float32)
        if columns.center.any() or (columns.scale != 1.0).any():
            X = (X - columns.center) / columns.scale
        out[:, :-1] = X
        out[:, -1] = columns.fit_intercept
        return out


def _scaled_inverse(B: Array, ridge: Array, is_fixed: Array) -> tuple[Array, Array]:
    """Return s and M for which diag(s) M diag(s) is the inverse of B + diag(ridge).

    B and M are float32 (d + 1, d + 1), M with values in the lower triangle only; B is overwritten.
    s is float64 (d + 1,), and zero for fixed columns, those in the mask `is_fixed` and those
    without curvature.
    """
    diagonal = B.diagonal() + ridge
    is_fixed = is_fixed | ~(diagonal > 0.0)
    scale = np.where(is_fixed, 0.0, 1.0 / np.sqrt(np.where(is_fixed, 1.0, diagonal)))
    single = scale.astype(np.float32)
    B *= single[:, None]
    B *= single
    jitter = JITTER
    while True:
        np.fill_diagonal(B, 1.0 + jitter)
        factor, info = lapack.spotrf(B, lower=True, clean=True)
        if info == 0:
            break
        jitter *= 10.0
        if jitter > 1e6:
            raise linalg.LinAlgError("the Hessian is not finite")
    _invert_triangle(factor)
    # The product of the transposed inverse factor and this factor.
    inverse, _ = lapack.slauum(factor, lower=True, overwrite_c=True)
    return scale, np.asarray(inverse)


def _invert_triangle(L: Array) -> None:
    """Replace a lower triangular matrix by its inverse, whose upper triangle is zero too.

    LAPACK's `strtri`, which `spotri` calls, reads beyond the end of larger matrices with the
    OpenBLAS of SciPy 1.11 on processors that it does not know, and the process may crash.
    """
    n = len(L)
    if n <= UNBLOCKED:
        L[...], _ = lapack.strtri(L, lower=True)
        return
    top, bottom = slice(0, n // 2), slice(n // 2, n)
    _invert_triangle(L[top, top])
    _invert_triangle(L[bottom, bottom])
    L[bottom, top] = -L[bottom, bottom] @ (L[bottom, top] @ L[top, top])
