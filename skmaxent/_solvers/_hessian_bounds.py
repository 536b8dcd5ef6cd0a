"""Lower bounds M of the Hessian H (H - M is positive semidefinite), to bound Newton decrements."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._preconditioner_choice import ASSEMBLED_SIZE, FULL_COVARIANCE_FEATURES
from skmaxent._solvers._preconditioners import n_free_parameters
from skmaxent._storage._arrays import EPS, empty
from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array, KernelResult

# Passes over the rows that a certificate may cost: Hessian products, or as many multiplications.
CERTIFICATE_PRODUCTS = 10
# Factor that makes room for the rounding of float32 in the largest leverage.
FLOAT32_ROOM = 1.001
# A bound is used again while at least this share of its curvature is certain to be left.
LEAST_SHARE = 0.5
# Pivots of a matrix of unit diagonal below this are lost in its rounding, so that it is singular.
LEAST_PIVOT = 1e-11
# Curvatures below this are zero: they are next to the least float, and have no digits left.
VANISHED_CURVATURE = 1e-290
# What is added to the diagonal before a matrix is factored that will be factored again.
SHIFT = 1e-13
# Times the rounding of its terms, a sum that vanishes but for rounding is no larger.
ROUNDING_ROOM = 1e3
# Means of columns this many times their spread lose digits in uncentred products.
UNCENTRED = 1e3


@dataclass(frozen=True)
class HessianBound:
    """A positive semidefinite matrix M with H - M positive semidefinite, for a Hessian H.

    M is a matrix for all free parameters, in reference coding (p = r·width), or the Kronecker
    product A ⊗ G of one for classes and one for columns (p = width).

    Attributes
    ----------
    root : ndarray of shape (rank, p)
        rootᵀ root is a pseudo-inverse of M, or of G.
    null : ndarray of shape (p - rank, p)
        A basis of the null space of M, or of G.
    between : ndarray of shape (R, R) or None
        A pseudo-inverse of A; None if M is not a Kronecker product.
    largest_range : float
        The largest range over classes, for any row, of the change of the logits by a step of unit
        length in M; infinite where steps in the null space of M change logits.
    """

    root: Array
    null: Array
    between: Array | None
    largest_range: float

    def length(self, gradient: Array, error: Array) -> float:
        """Return √(gᵀM⁻¹g) for a gradient (R, width) whose entries have errors of that size.

        The result is infinite if the part of the gradient in the null space of M is too large to be
        an error.
        """
        r = self.root.shape[1] // gradient.shape[1]
        if self.between is None:
            gradient, error = gradient[:r].reshape(1, -1), error[:r].reshape(1, -1)
        if len(self.null):
            room = ROUNDING_ROOM * (error + EPS * np.abs(gradient)) @ np.abs(self.null).T
            if (np.abs(gradient @ self.null.T) > room).any():
                return np.inf
        seen = gradient @ self.root.T
        square = inner(seen, seen if self.between is None else self.between @ seen)
        return float(np.sqrt(max(square, 0.0)))


@dataclass
class LastBound:
    """The last `HessianBound` of a loss, which a path uses again while logits change little.

    Where the logits of each row have moved apart by no more than t since, its curvature is at least
    exp(-t) times what it was: see `self_concordance_bound`.

    Attributes
    ----------
    theta : ndarray of shape (R, d + 1) or None
        Where the bound was made; None stands for no bound yet.
    ridge : ndarray of shape (d,)
        The ridge that it contains.
    below : HessianBound or None
    """

    theta: Array | None = None
    ridge: Array | None = None
    below: HessianBound | None = None

    def keep(self, theta: Array, ridge: Array, below: HessianBound) -> None:
        """Remember a bound that was made at θ, with this ridge."""
        self.theta, self.ridge, self.below = theta, ridge, below

    def at(self, point: Point, ridge: Array) -> HessianBound | None:
        """Return a share of the bound that is below the Hessian at a point, with another ridge.

        The result is None if there is no bound, or if the share is less than `LEAST_SHARE`.
        """
        if self.theta is None or self.ridge is None or self.below is None:
            return None
        objective = point.objective
        (change,) = objective.blocks.map_reduce(
            _largest_logit_range,
            objective.likelihood.is_coupled,
            *objective.for_blocks(point.theta - self.theta),
            combine=np.maximum,
        )
        share = float(np.exp(-change))
        if (self.ridge > 0.0).any():
            kept = self.ridge > 0.0
            share = min(share, float((ridge[kept] / self.ridge[kept]).min()))
        if not share >= LEAST_SHARE:
            return None
        size = 1.0 / np.sqrt(share)
        root, largest_range = size * self.below.root, size * self.below.largest_range
        return replace(self.below, root=root, largest_range=largest_range)


def _largest_logit_range(
    block: Block, is_coupled: bool, coef: Array, intercept: Array
) -> KernelResult:
    """Return by how much coefficients (R, d) and intercepts (R,) move logits of a row apart.

    Logits that are not coupled are taken one by one.
    """
    Z = block.logits(coef, intercept)
    if not is_coupled:
        return (block.largest(np.abs(Z).max(axis=0)),)
    return (block.largest(Z.max(axis=0) - Z.min(axis=0)),)


def _root_and_null_space(M: Array, *, scaled: bool = True) -> tuple[Array, Array]:
    """Return `root` and `null` of a positive semidefinite matrix (p, p), or of a smaller one.

    This is a Cholesky factorisation with pivots (Higham 2002, Accuracy and Stability of Numerical
    Algorithms, section 10.3). It stops where the pivots are lost in rounding. What is left then is
    semidefinite, so leaving it out makes the matrix smaller. With `scaled`, the matrix is first
    divided by its diagonal; without, its diagonal must be about one.
    """
    diagonal = M.diagonal()
    size = np.ones(len(M))
    if scaled:
        size = np.sqrt(np.where(diagonal > VANISHED_CURVATURE, diagonal, 0.0))
    inverse_size = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    unit = M * np.multiply.outer(inverse_size, inverse_size)
    L, info = lapack.dpotrf(unit, lower=1, clean=1)
    if info == 0 and (size > 0.0).all() and L.diagonal().min(initial=1.0) ** 2 > LEAST_PIVOT:
        inverse, _ = lapack.dtrtri(L, lower=1)
        return inverse * inverse_size, np.zeros((0, len(M)))
    L, order, rank, _ = lapack.dpstrf(unit, tol=LEAST_PIVOT, lower=1)
    order = order - 1
    if not np.isfinite(L.diagonal()[:rank]).all():
        rank = 0
    # Of rows and columns that are zero, an eigenvector is known whatever their scale.
    inverse_size[size == 0.0] = 1.0
    inverse, _ = lapack.dtrtri(L[:rank, :rank], lower=1) if rank else (np.empty((0, 0)), 0)
    root = np.zeros((rank, len(M)))
    root[:, order[:rank]] = np.tril(inverse)
    null = np.zeros((len(M) - rank, len(M)))
    null[:, order[:rank]] = -L[rank:, :rank] @ np.tril(inverse)
    null[np.arange(len(null)), order[rank:]] = 1.0
    return root * inverse_size, null * inverse_size


def affordable_rows(objective: MultinomialObjective) -> int:
    """Return the number of rows whose Hessian costs what a certificate may cost."""
    return CERTIFICATE_PRODUCTS * 4 * objective.blocks.work // n_free_parameters(objective) ** 2


def assembled_bound(point: Point, ridge: Array) -> HessianBound | None:
    """Return the Hessian of all rows or of a sample, or None if it costs too much.

    Each row adds a positive semidefinite term to the Hessian, so that the sum over a sample is
    below it. `ridge` are the strengths of the columns, (d,).
    """
    objective = point.objective
    blocks = objective.blocks
    p, n_rows = n_free_parameters(objective), affordable_rows(objective)
    if p > ASSEMBLED_SIZE or n_rows < 2 * p:
        return None
    # A sample is copied, and what it leaves out makes the bound smaller, so that more than half of
    # the rows are worth the cost of all.
    sample = objective if 2 * n_rows >= blocks.n_samples else objective.standardised(n_rows)
    R, width = objective.shape
    r = objective.likelihood.n_free
    H = point.fisher_information(sample) * (sample.total_weight / objective.total_weight)
    H = H.reshape(r, width, r, width)
    column = np.arange(width)
    still = ~objective.standardisation.is_free
    H[:, still] = 0.0
    H[:, :, :, still] = 0.0
    classes = np.eye(r) - (1.0 / R if objective.likelihood.is_coupled else 0.0)
    diagonal = np.append(ridge, 0.0)[:, None, None] * classes
    diagonal[still] = np.eye(r)
    H[:, column, :, column] += diagonal
    root, null = _root_and_null_space(H.reshape(r * width, r * width))
    by_class = root.reshape(len(root), r, width).transpose(1, 2, 0)
    (largest,) = blocks.map_reduce(
        _largest_range_of_unit_step,
        objective.likelihood.is_coupled,
        by_class @ by_class.transpose(0, 2, 1),
        objective.standardisation,
        combine=np.maximum,
    )
    if len(null) and not all(
        _are_null_directions(objective, part)
        for part in null.reshape(len(null), r, width).transpose(1, 0, 2)
    ):
        largest = np.inf
    return HessianBound(root, null, None, float(largest))


def kronecker_bound(point: Point, shares: Array, ridge: Array) -> HessianBound | None:
    """Return a Kronecker product below the Hessian, or None if it costs too much.

    It is A ⊗ (G + Λ/a) with A = diag π - π πᵀ <= a, G = mean β_i x̃_i x̃_iᵀ and
    β_i = min_k p_ik/π_k. `shares` are π, (R,), and `ridge` the diagonal of Λ, (d,).

    For uᵀ(diag p - p pᵀ)u = min_c Σ_k p_k (u_k - c)² >= β min_c Σ_k π_k (u_k - c)². A row's
    logits k, l then differ by at most sqrt(1/π_k + 1/π_l) sqrt(x̃ᵀG⁻¹x̃). For sigmoids A = diag π
    (1 - π), β_i the least ratio of p (1 - p) to it, and a logit counts for itself.
    """
    objective = point.objective
    blocks = objective.blocks
    passes = CERTIFICATE_PRODUCTS * (1 if (ridge > 0.0).all() else 10)
    cost = blocks.n_samples * blocks.n_features**2
    if blocks.n_features > FULL_COVARIANCE_FEATURES or cost > passes * 4 * blocks.work:
        return None
    likelihood = objective.likelihood
    is_benign = bool((objective.column_size < UNCENTRED * objective.scale).all())
    width = objective.shape[1]
    kept = objective.standardisation.is_free
    strength = np.append(ridge, 0.0) / likelihood.largest_curvature(shares)
    basis = None if is_benign else np.eye(width)
    (G,) = point.map_reduce(_least_curvature_gram, shares, basis)
    G = G[np.ix_(kept, kept)] / objective.total_weight + np.diag(strength[kept])
    root, null = _root_and_null_space(G)
    if len(null) and G.any():
        # Nearly collinear columns: in coordinates in which they are not, the rounding of G is small
        # (shifted Cholesky QR; Fukaya et al. 2020, SIAM J. Sci. Comput. 42, A477-A503).
        size = np.sqrt(G.diagonal())
        size[size == 0.0] = 1.0
        scaled = G / np.multiply.outer(size, size)
        scaled.flat[:: len(scaled) + 1] += SHIFT * len(scaled)
        L, info = lapack.dpotrf(scaled, lower=1, clean=1)
        if info == 0:
            inverse, _ = lapack.dtrtri(L, lower=1)
            first = np.zeros((len(G), width))
            first[:, kept] = inverse / size
            (G,) = point.map_reduce(_least_curvature_gram, shares, first)
            G = G / objective.total_weight + (first * strength) @ first.T
            root, null = (part @ first[:, kept] for part in _root_and_null_space(G, scaled=False))
    root, null = (_with_zero_columns(part, kept) for part in (root, null))
    if is_benign and not len(null):
        over = objective.float32_copy()
        (leverage,) = over.blocks.map_reduce(
            _largest_leverage_uncentred, root, over.standardisation, combine=np.maximum
        )
    else:
        (leverage,) = blocks.map_reduce(
            _largest_leverage_centred, root, objective.standardisation, combine=np.maximum
        )
    largest = likelihood.largest_range(shares) * float(np.sqrt(leverage * FLOAT32_ROOM))
    if len(null) and not _are_null_directions(objective, null):
        largest = np.inf
    return HessianBound(root, null, likelihood.inverse_curvature(shares), largest)


def _with_zero_columns(part: Array, kept: Array) -> Array:
    """Return rows (n, d + 1) that have the columns of `part` where `kept`, and zeros elsewhere."""
    out = np.zeros((len(part), len(kept)))
    out[:, kept] = part
    return out


def _are_null_directions(objective: MultinomialObjective, null: Array) -> bool:
    """Return whether X̃ vᵀ is zero up to rounding for all directions v in `null`, (n, d + 1)."""
    size = 1.0 + np.append(objective.column_size / objective.scale, 1.0)
    room = ROUNDING_ROOM * EPS * np.abs(null) @ size
    (largest,) = objective.blocks.map_reduce(
        _largest_product,
        null / np.where(room > 0.0, room, 1.0)[:, None],
        objective.standardisation,
        combine=np.maximum,
    )
    return float(largest) <= 1.0


def _largest_range_of_unit_step(
    block: Block, is_coupled: bool, inverse: Array, columns: Standardisation
) -> KernelResult:
    """Return the largest range of the change of a row's logits by a step of unit length in M.

    `inverse` holds the blocks [M⁻¹]_kk, (r, d + 1, d + 1). Logit k changes by at most
    sqrt(x̃ᵀ [M⁻¹]_kk x̃), and a difference of two logits by the sum of two of these numbers. Logits
    that are not coupled are taken one by one.
    """
    X = columns.rows(block)
    change = np.stack([np.einsum("ij,ij->j", B @ X, X).clip(0.0) for B in inverse])
    change = np.sqrt(change)
    if not is_coupled:
        return (block.largest(change.max(axis=0)),)
    change.sort(axis=0)
    return (block.largest(change[-2:].sum(axis=0)),)


def _least_curvature_gram(
    context: KernelContext, shares: Array, basis: Array | None
) -> tuple[Array]:
    """Return Σ_i β_i y_i y_iᵀ over the rows of a block, with β_i their least relative curvature.

    y_i is the standardised row with a last entry 1, of shape (d + 1,), or its products with the
    rows of `basis`, (k, d + 1). Without a basis the rows are not centred before they are squared,
    which is quicker and loses digits where means are far above spreads.
    """
    block, columns = context.block, context.model.standardisation
    weights = context.likelihood.least_curvature(context.probabilities, shares) * context.weights
    if basis is not None:
        Y = basis @ context.rows
        return ((Y * weights) @ Y.T,)
    width = len(columns.is_free)
    G = empty((width, width), np.float64, weights)
    G[:-1, :-1] = columns.covariance(block, weights)
    G[-1, -1] = total = columns.fit_intercept * weights.sum()
    sums = columns.fit_intercept * block.weighted_sums(weights[None])[0]
    G[-1, :-1] = G[:-1, -1] = (sums - total * columns.center) / columns.scale
    return (G,)


def _largest_leverage_uncentred(
    block: Block, root: Array, columns: Standardisation
) -> KernelResult:
    """Return the largest ‖root x̃‖² over the rows, in the type of X and without centring it."""
    A = (root[:, :-1] / columns.scale).T
    b = root[:, -1] - columns.center @ A
    dtype = block.X.dtype
    Y = block.X @ A.astype(dtype, copy=False) + b.astype(dtype, copy=False)
    return (block.largest(np.einsum("ij,ij->i", Y, Y)),)


def _largest_leverage_centred(block: Block, root: Array, columns: Standardisation) -> KernelResult:
    """Return the largest ‖root x̃‖² over the rows, for rows that are centred in float64."""
    Y = root @ columns.rows(block)
    return (block.largest(np.einsum("ij,ij->j", Y, Y)),)


def _largest_product(block: Block, directions: Array, columns: Standardisation) -> KernelResult:
    """Return the largest |vᵀx̃| over the rows and the directions v, (n, d + 1)."""
    Y = np.abs(directions @ columns.rows(block))
    return (block.largest(Y.max(axis=0)),)
