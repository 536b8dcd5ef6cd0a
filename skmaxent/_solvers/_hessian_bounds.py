"""Lower bounds M of the Hessian H (H - M is positive semidefinite), to bound Newton decrements.

θ and gradients have the shape (R, width), for R logits and width = d + 1 columns, the last of which
belongs to the intercepts. r is the number of free logits, without the reference class. x̃ is a
standardised row with a last entry of one, and p its probabilities; those of row i are x̃_i and p_ik.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lapack

from skmaxent._existence import largest_range_of_logits
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._null_directions import change_no_logit, without_rounded_entries
from skmaxent._solvers._preconditioner_choice import ASSEMBLED_SIZE, FULL_COVARIANCE_FEATURES
from skmaxent._solvers._preconditioners import n_free_parameters
from skmaxent._storage._arrays import EPS, empty
from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array, KernelResult

# A certificate may take this number of Hessian products, or as many multiplications.
CERTIFICATE_PRODUCTS = 10
# The largest leverage is multiplied by this, because it is rounded to float32.
FLOAT32_ROOM = 1.001
# An earlier bound is used again if at least the share KEPT_SHARE of its curvature is certain to
# remain. With a share of at least LEAST_SHARE it is tried before a new one is computed.
KEPT_SHARE, LEAST_SHARE = 0.5, 0.02
# Pivots of a matrix with a unit diagonal below this consist of rounding errors: it is singular.
LEAST_PIVOT = 1e-11
# Curvatures below this count as zero, because they have no correct digits so close to underflow.
VANISHED_CURVATURE = 1e-290
# What is added to the diagonal in the first of two factorisations of a matrix.
SHIFT = 1e-13
# A sum counts as zero if it is at most this many times the rounding errors of its terms.
ROUNDING_ROOM = 30.0
# If the root mean square of a column is this many times its scale, uncentred products lose digits.
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
        betweenᵀ between is a pseudo-inverse of A; None if M is not a Kronecker product.
    largest_range : float
        The largest range over classes, for any row, of the change of the logits by a step of unit
        length in M; infinite where steps in the null space of M change logits.
    """

    root: Array
    null: Array
    between: Array | None
    largest_range: float

    def length(self, gradient: Array, error: Array, penalised: Array | None = None) -> float:
        """Return √(gᵀM⁻¹g) for a gradient g (R, width).

        The loss is constant in the null space of M, so that the part of g there is that of the
        penalty alone. The result is infinite if this part is too large to be a rounding error.

        Parameters
        ----------
        gradient, error : ndarray of shape (R, width)
            g, and the size of the rounding errors of its entries.
        penalised : ndarray of shape (R, width), optional
            What the penalty adds to g, with zeros for columns without a penalty. None stands for g.
        """
        r = self.root.shape[1] // gradient.shape[1]
        penalised = gradient if penalised is None else penalised
        size = np.where(penalised != 0.0, error + EPS * np.abs(gradient), 0.0)
        if self.between is None:
            gradient, penalised, size = (
                part[:r].reshape(1, -1) for part in (gradient, penalised, size)
            )
        if len(self.null):
            room = ROUNDING_ROOM * size @ np.abs(self.null).T
            if (np.abs(penalised @ self.null.T) > room).any():
                return np.inf
        seen = gradient @ self.root.T
        if self.between is not None:
            seen = self.between @ seen
        return float(np.sqrt(inner(seen, seen)))

    def length_of_errors(self, error: Array) -> float:
        """Return the root mean square of √(eᵀM⁻¹e) for independent errors e of sizes `error`.

        `error` has the shape (R, width). Errors that are independent have a part along the
        eigenvectors of the smallest eigenvalues of M, also where the columns are nearly collinear.
        """
        # The squares of the entries of the root may overflow.
        peak = np.abs(self.root).max(axis=0, initial=1e-300)
        unit = self.root / peak
        size = peak * np.sqrt(np.einsum("ij,ij->j", unit, unit))
        if self.between is None:
            r = len(size) // error.shape[1]
            return float(np.linalg.norm(error[:r].ravel() * size))
        by_logit = np.linalg.norm(self.between, axis=0)
        return float(np.linalg.norm(by_logit[:, None] * error * size))


@dataclass
class LastBound:
    """The last `HessianBound` of a loss, which the fits of a path use again.

    If no difference of two logits of a row has changed by more than t, the curvature of the row is
    at least exp(-t) times the earlier one; see `self_concordance_bound`.

    Attributes
    ----------
    theta : ndarray of shape (R, d + 1) or None
        The θ for which the bound was computed; None if there is no bound.
    ridge : ndarray of shape (d,)
        The ridge that the bound contains.
    below : HessianBound or None
        The bound.
    """

    theta: Array | None = None
    ridge: Array | None = None
    below: HessianBound | None = None

    def keep(self, theta: Array, ridge: Array, below: HessianBound) -> None:
        """Keep a bound that was computed at θ with the given ridge."""
        self.theta, self.ridge, self.below = theta, ridge, below

    def at(self, point: Point, ridge: Array) -> tuple[HessianBound | None, float]:
        """Return a multiple of the bound that is below the Hessian at a point, for another ridge.

        The second result is the factor. The first is None if there is no bound, or if the factor is
        less than `LEAST_SHARE`.
        """
        if self.theta is None or self.ridge is None or self.below is None:
            return None, 0.0
        objective = point.objective
        (change,) = objective.blocks.map_reduce(
            largest_range_of_logits,
            objective.likelihood.is_coupled,
            *objective.for_blocks(point.theta - self.theta),
            combine=np.maximum,
        )
        share = float(np.exp(-change))
        if (self.ridge > 0.0).any():
            kept = self.ridge > 0.0
            share = min(share, float((ridge[kept] / self.ridge[kept]).min()))
        if not share >= LEAST_SHARE:
            return None, share
        size = 1.0 / np.sqrt(share)
        root, largest_range = size * self.below.root, size * self.below.largest_range
        return replace(self.below, root=root, largest_range=largest_range), share


def _root_and_null_space(M: Array, *, scaled: bool = True) -> tuple[Array, Array]:
    """Return `root` and `null` of `HessianBound` for a positive semidefinite matrix M (p, p).

    A Cholesky factorisation with pivots (Higham 2002, Accuracy and Stability of Numerical
    Algorithms, section 10.3) stops when pivots consist of rounding errors. The rest of the matrix,
    which is left out, is semidefinite, so that the matrix of the result is below M. With `scaled`,
    M is first scaled to a unit diagonal; without, its diagonal must be about one.
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
    # For rows and columns that are zero, unit vectors are in the null space.
    inverse_size[size == 0.0] = 1.0
    inverse, _ = lapack.dtrtri(L[:rank, :rank], lower=1) if rank else (np.empty((0, 0)), 0)
    root = np.zeros((rank, len(M)))
    root[:, order[:rank]] = np.tril(inverse)
    null = np.zeros((len(M) - rank, len(M)))
    null[:, order[:rank]] = -L[rank:, :rank] @ np.tril(inverse)
    null[np.arange(len(null)), order[rank:]] = 1.0
    return root * inverse_size, without_rounded_entries(null * inverse_size)


def affordable_rows(objective: MultinomialObjective) -> int:
    """Return the number of rows whose Hessian takes as long as CERTIFICATE_PRODUCTS products."""
    return CERTIFICATE_PRODUCTS * 4 * objective.blocks.work // n_free_parameters(objective) ** 2


def affords_bound(objective: MultinomialObjective, ridge: Array) -> bool:
    """Return whether `kronecker_bound` or `assembled_bound` costs little enough to be computed.

    `ridge` (d,) are the strengths of the ridge for the columns.
    """
    return _affords_kronecker(objective, ridge) or _affords_assembled(objective)


def _affords_assembled(objective: MultinomialObjective) -> bool:
    """Return whether `assembled_bound` costs little enough, and has enough rows."""
    p = n_free_parameters(objective)
    return p <= ASSEMBLED_SIZE and affordable_rows(objective) >= 2 * p


def _affords_kronecker(objective: MultinomialObjective, ridge: Array) -> bool:
    """Return whether `kronecker_bound` costs little enough."""
    blocks = objective.blocks
    passes = CERTIFICATE_PRODUCTS * (1 if (ridge > 0.0).all() else 10)
    cost = blocks.n_samples * blocks.n_features**2
    return blocks.n_features <= FULL_COVARIANCE_FEATURES and cost <= passes * 4 * blocks.work


def assembled_bound(point: Point, ridge: Array) -> HessianBound | None:
    """Return the Hessian at a point, of all rows or of a sample, or None if it costs too much.

    Each row adds a positive semidefinite term to the Hessian, so that the sum over a sample is
    below the Hessian. `ridge` (d,) are the strengths of the ridge for the columns.
    """
    objective = point.objective
    if not _affords_assembled(objective):
        return None
    blocks, n_rows = objective.blocks, affordable_rows(objective)
    # If more than half of the rows are affordable, all are used: a sample would be copied, and the
    # rows that it leaves out would make the bound worse.
    sample = objective if 2 * n_rows >= blocks.n_samples else objective.standardised(n_rows)
    R, width = objective.shape
    r = objective.likelihood.n_free
    H = point.fisher_information(sample) * (sample.total_weight / objective.total_weight)
    H = H.reshape(r, width, r, width)
    column = np.arange(width)
    is_fixed = ~objective.standardisation.is_free
    H[:, is_fixed] = 0.0
    H[:, :, :, is_fixed] = 0.0
    classes = np.eye(r) - (1.0 / R if objective.likelihood.is_coupled else 0.0)
    diagonal = np.append(ridge, 0.0)[:, None, None] * classes
    diagonal[is_fixed] = np.eye(r)
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
    # The reference class has coefficients of zero.
    directions = np.zeros((len(null), max(r, objective.shape[0]), width))
    directions[:, :r] = null.reshape(len(null), r, width)
    if len(null) and not change_no_logit(objective, directions, EPS).all():
        largest = np.inf
    return HessianBound(root, null, None, float(largest))


def kronecker_bound(point: Point, shares: Array, ridge: Array) -> HessianBound | None:
    """Return the bound at a point that is a Kronecker product, or None if it costs too much.

    The bound is A ⊗ (G + Λ/a), where A = diag π - π πᵀ, a is the largest eigenvalue of A or more,
    G is the mean of β_i x̃_i x̃_iᵀ, and β_i = min_k p_ik/π_k. `shares` (R,) are π, and `ridge` (d,)
    the diagonal of Λ.

    It is below the Hessian because uᵀ(diag p - p pᵀ)u = min_c Σ_k p_k (u_k - c)² is at least
    β min_c Σ_k π_k (u_k - c)². By a step of unit length, the logits k and l of a row move apart by
    at most sqrt(1/π_k + 1/π_l) sqrt(x̃ᵀG⁻¹x̃). For sigmoids, A = diag π (1 - π), β_i is the least
    ratio of p (1 - p) to π (1 - π), and each logit counts for itself.
    """
    objective = point.objective
    blocks = objective.blocks
    if not _affords_kronecker(objective, ridge):
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
    if len(null) and G.any() and (first := _shifted_inverse_root(G)) is not None:
        # Columns are nearly collinear. G is computed again for combinations of the columns that are
        # not, so that rounding errors are small (shifted Cholesky QR; Fukaya et al. 2020, SIAM J.
        # Sci. Comput. 42, A477-A503).
        basis = _with_zero_columns(first, kept)
        (G,) = point.map_reduce(_least_curvature_gram, shares, basis)
        G = G / objective.total_weight + (basis * strength) @ basis.T
        root, null = (part @ first for part in _root_and_null_space(G, scaled=False))
        null = without_rounded_entries(null)
    root, null = (_with_zero_columns(part, kept) for part in (root, null))
    if is_benign and not len(null):
        single = objective.float32_copy()
        (leverage,) = single.blocks.map_reduce(
            _largest_leverage_uncentred, root, single.standardisation, combine=np.maximum
        )
    else:
        (leverage,) = blocks.map_reduce(
            _largest_leverage_centred, root, objective.standardisation, combine=np.maximum
        )
    largest = likelihood.largest_range(shares) * float(np.sqrt(leverage * FLOAT32_ROOM))
    if len(null) and not change_no_logit(objective, null[:, None], EPS).all():
        largest = np.inf
    return HessianBound(root, null, likelihood.root_of_inverse_curvature(shares), largest)


def _shifted_inverse_root(G: Array) -> Array | None:
    """Return B (n, n) for which B G Bᵀ is nearly the identity, or None without a Cholesky factor.

    G is positive semidefinite. It is scaled to a unit diagonal, to which SHIFT is added.
    """
    size = np.sqrt(G.diagonal())
    size[size == 0.0] = 1.0
    scaled = G / np.multiply.outer(size, size)
    scaled.flat[:: len(scaled) + 1] += SHIFT * len(scaled)
    L, info = lapack.dpotrf(scaled, lower=1, clean=1)
    if info != 0:
        return None
    inverse, _ = lapack.dtrtri(L, lower=1)
    return np.asarray(inverse / size)


def _with_zero_columns(part: Array, kept: Array) -> Array:
    """Return `part` with columns of zeros inserted, (n, d + 1).

    `kept` (d + 1,) is a mask of the columns of the result that are the columns of `part`.
    """
    out = np.zeros((len(part), len(kept)))
    out[:, kept] = part
    return out


def _largest_range_of_unit_step(
    block: Block, is_coupled: bool, inverse: Array, columns: Standardisation
) -> KernelResult:
    """Return the attribute `largest_range` of a `HessianBound` for the rows of a block.

    `inverse` holds the blocks [M⁻¹]_kk, (r, d + 1, d + 1). By a step of unit length in M, logit k
    changes by at most sqrt(x̃ᵀ [M⁻¹]_kk x̃), and a difference of two logits by the sum of two of
    these numbers. If logits are not coupled, each counts for itself.
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
    """Return Σ_i β_i y_i y_iᵀ over the rows of a block, with β_i as in `kronecker_bound`.

    y_i is the row x̃_i (d + 1,), or `basis` (n, d + 1) times x̃_i. `shares` (R,) are π. Without a
    basis the rows are not centred before they are squared. This is faster, but loses digits if the
    mean of a column is far larger than its standard deviation.
    """
    block, columns = context.block, context.model.standardisation
    weights = context.likelihood.least_curvature(context.probabilities, shares) * context.weights
    if basis is not None:
        Y = basis @ context.rows
        return ((Y * weights) @ Y.T,)
    width = len(columns.is_free)
    G = empty((width, width), np.float64, weights)
    G[:-1, :-1] = columns.scatter(block, weights)
    G[-1, -1] = total = columns.fit_intercept * weights.sum()
    sums = columns.fit_intercept * block.weighted_sums(weights[None])[0]
    G[-1, :-1] = G[:-1, -1] = (sums - total * columns.center) / columns.scale
    return (G,)


def _largest_leverage_uncentred(
    block: Block, root: Array, columns: Standardisation
) -> KernelResult:
    """Return the largest ‖root x̃‖² over the rows, in the dtype of X and without centring X.

    `root` is that of a `HessianBound`.
    """
    A = (root[:, :-1] / columns.scale).T
    b = root[:, -1] - columns.center @ A
    dtype = block.X.dtype
    Y = block.X @ A.astype(dtype, copy=False) + b.astype(dtype, copy=False)
    return (block.largest(np.einsum("ij,ij->i", Y, Y)),)


def _largest_leverage_centred(block: Block, root: Array, columns: Standardisation) -> KernelResult:
    """Return the result of `_largest_leverage_uncentred` from rows centred in float64."""
    Y = root @ columns.rows(block)
    return (block.largest(np.einsum("ij,ij->j", Y, Y)),)
