"""SampledInverse: leverages of models whose Hessian is too large to invert, from random vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from skmaxent._leverage._curvature_roots import curvature_root
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Ridge, Tangent
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# The number of random vectors, and of the groups that the jackknife leaves out.
N_VECTORS, N_GROUPS = 100, 10
# The largest number of random vectors, and of bytes of them and of their working arrays, if 100
# vectors leave too large an error.
MOST_VECTORS, MOST_BYTES = 400, 1 << 29
# The relative error of the linear systems whose solutions the vectors are, and the largest number
# of iterations of conjugate gradients for them.
ACCURACY, MOST_PRODUCTS = 1e-3, 500


@dataclass(frozen=True)
class SampledInverse:
    """Random vectors with the covariance H⁻¹, from which leverages are estimated.

    H, A_i, F_i, s_i and x̃_i are those of `Leverages`. With Gaussian noise ε_i for each row and
    noise for the penalty, g = Σ_i √s_i (F_i ε_i) ⊗ x̃_i + ... has the covariance H, and θ = H⁻¹ g
    has the covariance H⁻¹ (Papandreou & Yuille 2010, NIPS 23). The logits (I ⊗ x̃_iᵀ) θ of row i
    then have the covariance A_i. With a_i = √s_i F_iᵀ (I ⊗ x̃_iᵀ) θ, the parts a_i and ε_i - a_i are
    independent and have the covariances s_i F_iᵀ A_i F_i and I - s_i F_iᵀ A_i F_i. Therefore both
    leverages near zero and leverages near one have small relative errors. Nobel, LeJeune & Candès
    (2024, arXiv:2409.09781) also estimate leverages by n random vectors, and remove the bias of
    order 1/n.

    Attributes
    ----------
    theta : ndarray of shape (n_vectors, n_logits, n_features + 1)
        The vectors θ.
    numbers : ndarray of int, shape (n_vectors,)
        The positions of these vectors among all that were drawn.
    n_drawn : int
        The number of vectors that were drawn.
    seed : int
        The seed of the noise.
    rank : int
        The number of free coefficients.
    """

    theta: Array
    numbers: Array
    n_drawn: int
    seed: int
    rank: int

    @classmethod
    def at(
        cls,
        point: Point,
        terms: PenaltyTerms,
        size: int,
        n_vectors: int = N_VECTORS,
        seed: int = 0,
        known: SampledInverse | None = None,
    ) -> SampledInverse:
        """Draw vectors at a point.

        Parameters
        ----------
        point : Point
            The loss at θ, without a penalty.
        terms : PenaltyTerms
            The penalty and the bounds for standardised columns.
        size : int
            The number of free coefficients.
        n_vectors, seed : int
        known : SampledInverse, optional
            The first of the vectors, which were drawn before with the same seed.
        """
        objective = point.objective
        tangent = terms.whole_penalty().tangent(point.theta)
        free = tangent.free & objective.standardisation.is_free
        coef_sums, logit_sums = point.map_reduce(_noise_gradient, n_vectors, seed)
        shape = n_vectors, *objective.shape
        columns = objective.standardisation
        sums = zip(coef_sums.reshape(*shape[:2], -1), logit_sums.reshape(shape[:2]), strict=True)
        g = np.stack([columns.gradient(*each, 1.0) for each in sums])
        total = objective.total_weight
        g += np.sqrt(total) * _penalty_noise(tangent, shape, seed)
        if objective.likelihood.is_coupled and _has_common_ridge(point, tangent, free):
            # The part of g in the direction that adds the same number to all classes is removed:
            # this direction changes no probabilities, and preconditioners are made without it.
            g -= g.mean(axis=1, keepdims=True)
        n_known = 0 if known is None else len(known.theta)
        theta = _solutions(point, tangent, free, np.where(free, g[n_known:], 0.0) / total)
        if known is not None:
            theta = np.concatenate([known.theta, theta])
        return cls(theta, np.arange(n_vectors), n_vectors, seed, size)

    def with_vectors(self, n_vectors: float, point: Point, terms: PenaltyTerms) -> SampledInverse:
        """Return the inverse with `n_vectors`, or as many as `MOST_VECTORS` and memory allow."""
        rows = getattr(point.objective.blocks, "block_rows", 0)
        # The entries of a vector, or of its noise, logits and products for the rows of a block.
        entries = max(self.theta[0].size, 3 * rows * len(self.theta[0]))
        most = min(MOST_VECTORS, MOST_BYTES // (8 * entries))
        n_vectors = int(min(n_vectors, most)) // N_GROUPS * N_GROUPS
        if n_vectors <= len(self.theta):
            return self
        return self.at(point, terms, self.rank, n_vectors, self.seed, self)

    def without(self, group: int) -> SampledInverse:
        """Return the vectors without those of one group, 0 to `N_GROUPS` - 1."""
        kept = self.numbers % N_GROUPS != group
        return replace(self, theta=self.theta[kept], numbers=self.numbers[kept])

    def leverages(self, context: KernelContext, root: Array) -> tuple[Array, Array, Array]:
        """Return estimates of the results of `InverseHessian.leverages`, with its arguments.

        The second result, the hat matrices, is for the inverse of I - Λ_i A_i. The third result
        estimates their traces better than the traces of the second, if leverages are small.
        """
        likelihood, columns = context.likelihood, context.model.standardisation
        m, R, width = self.theta.shape
        coef, intercept = columns.coefficients(self.theta.reshape(m * R, width))
        Z = context.block.logits_without_offset(
            coef.astype(context.block.X.dtype), intercept.astype(context.block.X.dtype)
        )
        Z = np.asarray(on_host(Z), dtype=float).reshape(m, R, -1)
        if likelihood.is_coupled:
            Z = Z[:, :-1] - Z[:, -1:]
        Z = Z.transpose(2, 0, 1)  # (rows, m, r)
        weights = np.sqrt(np.asarray(on_host(context.weights), dtype=float))[:, None, None]
        within = weights * (Z @ root)
        noise = _noise(context, self.n_drawn, likelihood.n_free, self.seed)
        beyond = noise.transpose(2, 0, 1)[:, self.numbers] - within
        A = Z.transpose(0, 2, 1) @ Z / m
        S, T = (B.transpose(0, 2, 1) @ B for B in (within, beyond))
        r = S.shape[1]
        # T is a Wishart matrix: (m - r - 1) T⁻¹ is an unbiased estimate of (I - hat)⁻¹, and it is
        # independent of A.
        hat = np.eye(r) - T / (m - r - 1.0)
        trace = np.einsum("mkl,mlk->m", S, np.linalg.inv(S + T))
        return A, hat, trace


def _noise(context: KernelContext, n_vectors: int, r: int, seed: int) -> Array:
    """Return the noise ε of the rows of a block, the same at each call, (n_vectors, r, rows).

    The noise of the first vectors does not depend on the number of vectors.
    """
    block = context.block
    generator = np.random.default_rng([seed, block.start])
    return generator.standard_normal((n_vectors, r, block.stop - block.start))


def _noise_gradient(context: KernelContext, n_vectors: int, seed: int) -> tuple[Array, Array]:
    """Return the sums Σ_i √s_i (F_i ε_i) ⊗ (x_i, 1) of a block for each vector (a kernel).

    The first result, (n_vectors · n_logits, n_features), belongs to the columns x_i before
    standardisation, and the second, (n_vectors · n_logits,), to the one of the intercept.
    """
    likelihood = context.likelihood
    noise = _noise(context, n_vectors, likelihood.n_free, seed)
    root = np.sqrt(np.asarray(on_host(context.weights), dtype=float))[:, None, None]
    G = np.einsum("ikl,nli->nki", root * curvature_root(context), noise)
    if likelihood.is_coupled:
        G = np.concatenate([G, -G.sum(axis=1, keepdims=True)], axis=1)
    G = G.reshape(-1, G.shape[2])
    return np.asarray(context.block.weighted_sums(G)), G.sum(axis=1)


def _penalty_noise(tangent: Tangent, shape: tuple[int, ...], seed: int) -> Array:
    """Return noise whose covariance is the second derivative of the penalty.

    `shape` is (n_vectors, n_logits, n_features + 1).
    """
    noise = np.sqrt(tangent.diagonal) * np.random.default_rng([seed, 0, 1]).standard_normal(shape)
    if tangent.group_curvature is not None and tangent.unit is not None:
        other = np.random.default_rng([seed, 0, 2]).standard_normal(shape)
        along = np.einsum("kj,nkj->nj", tangent.unit, other)
        group_curvature = np.sqrt(np.where(tangent.free.any(axis=0), tangent.group_curvature, 0.0))
        noise += group_curvature * (other - tangent.unit * along[:, None, :])
    return np.asarray(noise)


def _solutions(point: Point, tangent: Tangent, free: Array, G: Array) -> Array:
    """Return the solutions θ of H θ = g for n vectors g, (n, n_logits, n_features + 1).

    H is the Hessian of the mean loss and the penalty over the coefficients in the mask `free`, and
    `G` are the vectors g, of the shape of the result. All systems share the passes over the rows.
    """

    def product(V: Array) -> Array:
        out = _hessian_products(point, V)
        out += np.stack([tangent.curvature(one) for one in V])
        return np.where(free, out, 0.0)

    solve = _preconditioner(point, tangent, free)
    return _conjugate_gradients(product, lambda V: np.stack([solve(one) for one in V]), G)


def _has_common_ridge(point: Point, tangent: Tangent, free: Array) -> bool:
    """Return whether all coefficients vary and the penalty is a ridge, the same for all classes.

    `free` (n_logits, n_features + 1) is a mask of the coefficients that vary.
    """
    is_common = len(tangent.diagonal) == 1 and tangent.group_curvature is None
    return is_common and bool((free == point.objective.standardisation.is_free).all())


def _preconditioner(point: Point, tangent: Tangent, free: Array) -> Callable[[Array], Array]:
    """Return a function that multiplies a gradient by an approximation of H⁻¹.

    Gradients have the shape (n_logits, n_features + 1). The preconditioners of the solvers need
    gradients that sum to zero over the classes, which is so with a common ridge and without fixed
    coefficients. Otherwise the approximation is the inverse of the diagonal of H. Coefficients that
    are not in the mask `free` get zeros.
    """
    objective = point.objective
    if _has_common_ridge(point, tangent, free):
        penalised = objective.with_penalty(Ridge(tangent.diagonal[0, :-1]))
        choice = PreconditionerChoice(penalised, is_near=True)
        return choice.at(point.on(penalised), 0)[0].solve
    columns = objective.standardisation
    squares, sums, weights = point.map_reduce(_curvature_sums)
    diagonal = np.empty(free.shape)
    diagonal[:, -1] = weights
    moments = squares - 2.0 * columns.center * sums + np.multiply.outer(weights, columns.center**2)
    diagonal[:, :-1] = np.maximum(moments, 0.0) / columns.scale**2
    diagonal = diagonal / objective.total_weight + tangent.diagonal
    if tangent.group_curvature is not None:
        diagonal += tangent.group_curvature
    inverse = np.divide(1.0, diagonal, out=np.zeros(free.shape), where=free & (diagonal > 0.0))
    return lambda gradient: np.asarray(inverse * gradient)


def _curvature_sums(context: KernelContext) -> tuple[Array, Array, Array]:
    """Return Σ_i s_i p_i (1 - p_i) times x_i², x_i and 1 of a block, for each class (a kernel)."""
    P = context.probabilities
    variances = P * (1.0 - P) * context.weights
    block = context.block
    return (
        block.weighted_sums_of_squares(variances),
        block.weighted_sums(variances),
        variances.sum(axis=1),
    )


def _conjugate_gradients(
    product: Callable[[Array], Array], precondition: Callable[[Array], Array], G: Array
) -> Array:
    """Return the solutions of n linear systems with the same positive semidefinite matrix.

    Parameters
    ----------
    product, precondition : callable
        Multiply vectors, (m, n_logits, n_features + 1), by the matrix and by the preconditioner.
    G : ndarray of shape (n, n_logits, n_features + 1)
        The right-hand sides. Iterations for a system end when its residual, in the norm of the
        preconditioner, is `ACCURACY` times the first.
    """
    x, residual = np.zeros_like(G), G.copy()
    z = precondition(residual)
    direction, rz = z.copy(), np.einsum("nkj,nkj->n", residual, z)
    active, goal = np.arange(len(G)), ACCURACY**2 * rz
    for _ in range(MOST_PRODUCTS):
        active = active[rz[active] > goal[active]]
        if not len(active):
            break
        d = direction[active]
        Hd = product(d)
        curvature = np.einsum("nkj,nkj->n", d, Hd)
        step = np.divide(rz[active], curvature, out=np.zeros_like(curvature), where=curvature > 0.0)
        x[active] += step[:, None, None] * d
        residual[active] -= step[:, None, None] * Hd
        z = precondition(residual[active])
        before, rz[active] = rz[active], np.einsum("nkj,nkj->n", residual[active], z)
        direction[active] = z + (rz[active] / before)[:, None, None] * d
    return x


def _hessian_products(point: Point, V: Array) -> Array:
    """Return the Hessian of the mean loss times n directions V; both (n, n_logits, d + 1)."""
    objective = point.objective
    columns, (n, R, width) = objective.standardisation, V.shape
    coef, intercept = columns.coefficients(V.reshape(n * R, width))
    dtype = objective.blocks.dtype
    coef_sums, logit_sums = point.map_reduce(
        _products, coef.astype(dtype), intercept.astype(dtype), R
    )
    sums = zip(coef_sums.reshape(n, R, -1), logit_sums.reshape(n, R), strict=True)
    return np.stack([columns.gradient(*each, objective.total_weight) for each in sums])


def _products(context: KernelContext, coef: Array, intercept: Array, R: int) -> tuple[Array, Array]:
    """Return a block's sums of the Hessian products for several directions (a kernel).

    `coef` and `intercept` have R rows for each direction, one for each logit.
    """
    block, likelihood = context.block, context.likelihood
    U = block.logits_without_offset(coef, intercept)
    for start in range(0, len(coef), R):
        U[start : start + R] = likelihood.curvature(context.probabilities, U[start : start + R])
    if block.weights is not None:
        U *= block.weights
    return block.weighted_sums(U), U.sum(axis=1, dtype=np.float64)
