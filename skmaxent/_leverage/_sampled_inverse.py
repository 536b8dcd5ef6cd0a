"""SampledInverse: leverages of models whose Hessian is too large to invert, from random vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmaxent._leverage._control_variates import Control, RowLogits, mean_products
from skmaxent._leverage._curvature_roots import curvature_root
from skmaxent._leverage._hessian_systems import (
    has_common_ridge,
    inverse_diagonal,
    of_theta,
    repeated,
    solutions,
)
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Tangent
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# The number of random vectors, and of the groups that the jackknife leaves out.
N_VECTORS, N_GROUPS = 100, 10
# The least number of random vectors for r free logits is r + LEAST_SURPLUS.
LEAST_SURPLUS = 5
# The largest number of random vectors, and of bytes of them and of their working arrays, if 100
# vectors leave too large an error.
MOST_VECTORS, MOST_BYTES = 400, 1 << 29


def few_vectors(r: int) -> int:
    """Return a small number of vectors with which control variates work, for r free logits."""
    return N_GROUPS * (1 + (r + LEAST_SURPLUS) // N_GROUPS)


@dataclass(frozen=True)
class SampledInverse:
    """Random vectors with the covariance H⁻¹, from which leverages are estimated.

    H, A_i, F_i, s_i and x̃_i are those of `Leverages`. With Gaussian noise ε_i for each row and
    noise for the penalty, g = Σ_i √s_i (F_i ε_i) ⊗ x̃_i + ... has the covariance H, and θ = H⁻¹ g
    has the covariance H⁻¹ (Papandreou & Yuille 2010, NIPS 23). The logits z_i = (I ⊗ x̃_iᵀ) θ of
    row i then have the covariance A_i. `leverages` estimates A_i in one of two ways:

    - By control variates. N is the inverse of the diagonal of H, and z'_i the logits of N g. The
      expectation of z_i z'_iᵀ is (I ⊗ x̃_iᵀ) N (I ⊗ x̃_i), which is computed exactly. Its error in
      the sample, times a coefficient, is subtracted from the sample covariance of z_i (Owen 2013,
      Monte Carlo theory, methods and examples, section 8.9).
    - By two independent parts, if z' explains little of the sample covariance of z, or if a
      leverage is near one. With a_i = √s_i F_iᵀ z_i, the parts a_i and ε_i - a_i have the
      covariances s_i F_iᵀ A_i F_i and I - s_i F_iᵀ A_i F_i. Therefore both leverages near zero and
      leverages near one have small relative errors. Nobel, LeJeune & Candès (2024,
      arXiv:2409.09781) also estimate leverages by n random vectors, and remove the bias of order
      1/n. With fewer than r + `LEAST_SURPLUS` vectors, leverages near one are only bounded.

    Attributes
    ----------
    theta : ndarray of shape (n_drawn, n_logits, n_features + 1)
        The vectors θ.
    used : ndarray of int, shape (n_vectors,)
        The positions of the vectors from which leverages are estimated.
    seed : int
        The seed of the noise.
    rank : int
        The number of free coefficients.
    control : Control
        The vectors N g.
    logits : RowLogits
        The z_i and the z'_i.
    """

    theta: Array
    used: Array
    seed: int
    rank: int
    control: Control
    logits: RowLogits

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
            If control variates are not effective, there are at least `N_VECTORS`.
        known : SampledInverse, optional
            The first of the vectors, which were drawn before with the same seed.
        """
        objective = point.objective
        tangent = terms.whole_penalty().tangent(point.theta)
        free = tangent.free & objective.standardisation.is_free
        total = objective.total_weight
        g = of_theta(point, point.map_reduce(_noise_gradient, n_vectors, seed), 1.0)
        g += np.sqrt(total) * _penalty_noise(tangent, g.shape, seed)
        if objective.likelihood.is_coupled and has_common_ridge(point, tangent, free):
            # The part of g in the direction that adds the same number to all classes is removed:
            # this direction changes no probabilities, and preconditioners are made without it.
            g -= g.mean(axis=1, keepdims=True)
        g /= total
        if not has_common_ridge(point, tangent, free):
            g *= free
        diagonal = inverse_diagonal(point, tangent, free)
        n_known = 0 if known is None else len(known.theta)
        theta = solutions(point, tangent, free, diagonal, g[n_known:])
        if known is not None:
            theta = np.concatenate([known.theta, theta])
        logits = RowLogits.of(point, theta, repeated(diagonal, n_vectors) * g)
        control = Control.of(point, diagonal / total, logits)
        found = cls(theta, np.arange(n_vectors), seed, size, control, logits)
        if control.is_effective or n_vectors >= N_VECTORS:
            return found
        return cls.at(point, terms, size, N_VECTORS, seed, found)

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

    def n_groups(self, n_groups: int) -> int:
        """Return the number of groups of vectors that the jackknife leaves out."""
        return n_groups

    def without(self, group: int, n_groups: int = N_GROUPS) -> SampledInverse:
        """Return the vectors without those of one group, 0 to `n_groups` - 1."""
        return replace(self, used=self.used[self.used % n_groups != group])

    def leverages(self, context: KernelContext, root: Array) -> tuple[Array, Array, Array]:
        """Return estimates of the results of `InverseHessian.leverages`, with its arguments.

        The second result, the hat matrices, is for the inverse of I - Λ_i A_i. The third result
        estimates their traces better than the traces of the second, if leverages are small.
        """
        likelihood = context.likelihood
        Z, other_Z = self.logits.of_block(context, self.used)
        weights = np.asarray(on_host(context.weights), dtype=float)[:, None, None]
        within = np.sqrt(weights) * (Z @ root)
        if not self.control.is_effective:
            A = mean_products(Z, Z)
            return A, *self._by_parts(context, within)
        A = self.control.covariances(context, Z, other_Z)
        hat = weights * (root.transpose(0, 2, 1) @ A @ root)
        trace = np.einsum("mkk->m", hat)
        # The relative error of `hat`, and that of I - hat by the other estimate, are
        # √(1 - explained) and 1 times the same number.
        most = 1.0 / (1.0 + np.sqrt(1.0 - self.control.explained))
        high = np.flatnonzero(trace > most)
        largest = np.linalg.eigvalsh(hat[high])[:, -1]
        high, largest = high[largest > most], largest[largest > most]
        if len(self.used) >= likelihood.n_free + LEAST_SURPLUS:
            hat[high], trace[high] = self._by_parts(context, within, high)
        else:
            hat[high] *= (most / largest)[:, None, None]
        return A, hat, trace

    def _by_parts(
        self, context: KernelContext, within: Array, some: Array | slice = slice(None)
    ) -> tuple[Array, Array]:
        """Return the hat matrices and their traces from the two independent parts.

        `within` (rows, n_vectors, r) are the a_i. The results are those of the rows `some`.
        """
        m, r = within.shape[1:]
        within = within[some]
        noise = _noise(context, len(self.theta), r, self.seed).transpose(2, 0, 1)
        beyond = noise[some][:, self.used] - within
        S, T = (B.transpose(0, 2, 1) @ B for B in (within, beyond))
        # T is a Wishart matrix: (m - r - 1) T⁻¹ is an unbiased estimate of (I - hat)⁻¹, and it is
        # independent of A.
        hat = np.eye(r) - T / (m - r - 1.0)
        return hat, np.einsum("mkl,mlk->m", S, np.linalg.inv(S + T))


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
    return on_host(context.block.weighted_sums(G)), G.sum(axis=1)


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
