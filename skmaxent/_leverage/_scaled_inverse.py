"""ScaledInverse: leverages of models with many coefficients, as a multiple of a diagonal shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from skmaxent._cached import cached_property
from skmaxent._leverage._control_variates import free_logits
from skmaxent._leverage._curvature_roots import curvature_root
from skmaxent._leverage._diagonal_shape import (
    DiagonalShape,
    curvature_of_contrasts,
    curved,
    diagonal_forms,
    of_all_logits,
)
from skmaxent._leverage._hessian_systems import inverse_diagonals, of_theta, solutions
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._storage._device_array import on_host
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# The least number of random vectors, and of sets of r vectors for r free logits.
LEAST_VECTORS, LEAST_SETS = 18, 2
# The largest deviation of the leverages of rows from the shape, as a share of their root mean
# square.
MOST_DEVIATION = 0.1
# The largest number of bytes of the random vectors, and of random vectors.
MOST_BYTES, MOST_VECTORS = 1 << 28, 400
# The relative error of the solutions of linear systems. That of a trace is of second order in it.
ACCURACY = 0.03
# Sums of known expectation are subtracted if the standard deviation does not become larger by more
# than this ratio, which is larger than one because it is estimated from few sets.
MOST_RATIO = 2.0
# The limits of the factor, and the number of bisections that find its logarithm.
LARGEST_FACTOR, N_BISECTIONS = 1e4, 50


@dataclass(frozen=True)
class ScaledInverse:
    """Leverages of rows that are proportional to a shape, with the same factor for all rows.

    The notation is that of `Leverages` and `DiagonalShape`. T_i = c E_i, where E_i is the shape and
    c the factor, gives A_i = (T_i⁻¹ + Λ_i)⁻¹. With c, the traces of all hat matrices have the sum
    that random vectors estimate. For simulated texts, the error of a single T_i is about 1 %, and
    that of a mean score 0.02 standard errors, before that of the random vectors.

    With noise ε_i of r numbers for each row, g = Σ_i √s_i (F_i ε_i) ⊗ x̃_i and θ = H⁻¹ g, the
    expectation of gᵀ θ is the sum of the traces (Hutchinson 1990, Commun. Stat. Simul. Comput. 19).
    Two properties make its variance small, about 20 times smaller each at simulated texts:

    - The r vectors of a set have orthogonal noise in each row, so that products of the entries of
      one row contribute no noise.
    - The product ε_iᵀ F_iᵀ (...) F_j ε_j of two rows i and j is nearly that of a diagonal Hessian
      for centred columns, with (I + G_i)⁻¹ ε_i in place of ε_i, where G_i = s_i F_iᵀ T_i F_i. The
      sum of these products, whose expectation is known, is subtracted.

    Attributes
    ----------
    shape : DiagonalShape
    rank : int
        The number of free coefficients.
    factor : float
        c.
    traces : SampledTraces or None
        From which `factor` was computed. None if it is that of other penalties.
    """

    shape: DiagonalShape
    rank: int
    factor: float
    traces: SampledTraces | None = None

    @classmethod
    def at(
        cls,
        point: Point,
        terms: PenaltyTerms,
        size: int,
        factor: float | None = None,
        times: float = 1.0,
        seed: int = 0,
    ) -> ScaledInverse | None:
        """Return the leverages of sparse rows in memory; None if they do not have such a shape.

        Parameters
        ----------
        point, terms, size, seed : object
            As in `SampledInverse.at`.
        factor : float, optional
            The factor, if it is known.
        times : float, default=1.0
            The number of random vectors, relative to the least number.
        """
        objective = point.objective
        r, total = objective.likelihood.n_free, objective.total_weight
        n_sets = int(times * max(LEAST_SETS, -(-LEAST_VECTORS // r)))
        n_bytes = 8 * n_sets * r * math.prod(objective.shape)
        blocks = objective.blocks
        is_sparse = isinstance(blocks, RowBlocks) and sp.issparse(blocks.X)
        if not is_sparse or n_bytes > MOST_BYTES:
            return None
        tangent = terms.whole_penalty().tangent(point.theta)
        free = tangent.free & objective.standardisation.is_free
        times = curvature_of_contrasts(point, free)
        diagonal, centred, means = inverse_diagonals(point, tangent, free, times=times)
        shape = DiagonalShape.of(point, tangent, free, diagonal / total, times)
        if factor is not None:
            return cls(shape, size, factor)
        noise = Noise(n_sets, r, seed)
        g = of_theta(point, point.map_reduce(_noise_gradient, noise), 1.0)
        g *= free
        theta = solutions(point, tangent, free, diagonal, g / total, ACCURACY)
        found = SampledTraces.of(point, shape, noise, g, theta, (centred / total, means))
        if found.deviation > MOST_DEVIATION:
            return None
        return cls(shape, size, found.factor, found)

    def with_more(self, ratio: float, point: Point, terms: PenaltyTerms) -> ScaledInverse:
        """Return leverages from `ratio` times as many random vectors, or `MOST_VECTORS`."""
        r = point.objective.likelihood.n_free
        most = min(MOST_VECTORS, MOST_BYTES / (8 * math.prod(point.objective.shape)))
        times = min(ratio, most / (r * max(LEAST_SETS, -(-LEAST_VECTORS // r))))
        return self.at(point, terms, self.rank, times=times) or self if times > 1.0 else self

    def n_groups(self, n_groups: int) -> int:
        """Return the number of groups of random vectors that the jackknife leaves out."""
        return 0 if self.traces is None else min(n_groups, len(self.traces.totals))

    def without(self, group: int, n_groups: int) -> ScaledInverse:
        """Return the result without the sets of random vectors of one group."""
        assert self.traces is not None
        kept = np.arange(len(self.traces.totals)) % self.n_groups(n_groups) != group
        traces = replace(self.traces, totals=self.traces.totals[kept])
        return replace(self, factor=traces.factor, traces=traces)

    def leverages(self, context: KernelContext, root: Array) -> tuple[Array, Array, Array]:
        """Return the results of `InverseHessian.leverages`, with its arguments."""
        T = self.factor * self.shape.covariances(context)
        G = curved(context, root, T)
        identity = np.eye(T.shape[1])
        hat = np.linalg.solve(identity + G, G)
        hat = 0.5 * (hat + hat.transpose(0, 2, 1))
        # A = T - T F s (I + G)⁻¹ Fᵀ T.
        weights = np.asarray(on_host(context.weights), dtype=float)[:, None, None]
        within = root.transpose(0, 2, 1) @ T
        A = T - within.transpose(0, 2, 1) @ (weights * np.linalg.solve(identity + G, within))
        return A, hat, np.einsum("mkk->m", hat)


@dataclass(frozen=True)
class SampledTraces:
    """Estimates of the traces of hat matrices from sets of random vectors.

    Attributes
    ----------
    totals : ndarray of shape (n_sets,)
        The estimated sum over all rows.
    values : ndarray of shape (n_samples, r)
        The eigenvalues of s_i F_iᵀ E_i F_i for the shape E_i.
    deviation : float
        A lower bound of the root mean square deviation of the traces of rows from those of the
        shape, relative to the root mean square trace. Products of independent estimates have no
        bias; two standard errors are subtracted.
    """

    totals: Array
    values: Array
    deviation: float

    @classmethod
    def of(
        cls,
        point: Point,
        shape: DiagonalShape,
        noise: Noise,
        g: Array,
        theta: Array,
        centred: tuple[Array, Array],
    ) -> SampledTraces:
        """Return the estimates from vectors g and θ, (n_vectors, n_logits, n_features + 1).

        `centred` has the inverse diagonal of the Hessian of the summed loss for centred columns,
        and the means of the columns; see `inverse_diagonals`.
        """
        n, r, n_sets = point.objective.blocks.n_samples, noise.r, noise.n_sets
        values, of_rows, shapes = np.empty((n, r)), np.empty((n, n_sets)), np.empty((n, r, r))
        point.map_reduce(_write_traces, shape, noise, theta, values, of_rows, shapes)
        totals = np.einsum("nkj,nkj->n", g, theta).reshape(n_sets, r).mean(axis=1)
        plain = cls(totals, values, 0.0)
        inverse, means = centred
        *sums, expected = point.map_reduce(
            _control_gradient, noise, plain.factor * shapes, inverse, means
        )
        other = of_theta(point, (sums[0], sums[1]), 1.0)
        other[..., :-1] -= means[:, :-1] * other[..., -1:]
        products = np.einsum("nkj,kj,nkj->n", other, inverse, other, optimize=False)
        control = products.reshape(n_sets, r).mean(axis=1)
        controlled = totals - control + float(expected)
        if controlled.std() < MOST_RATIO * totals.std():
            totals = controlled
        found = replace(plain, totals=totals)
        errors = of_rows - found.of_rows[:, None]
        pairs = np.square(errors.sum(axis=1)) - np.square(errors).sum(axis=1)
        size = n_sets * (n_sets - 1.0) * float(np.square(found.of_rows).sum())
        least = float(pairs.sum()) - 2.0 * float(np.linalg.norm(pairs))
        return replace(found, deviation=math.sqrt(max(least, 0.0) / size) if size > 0.0 else 0.0)

    @cached_property
    def factor(self) -> float:
        """The factor c with which the shape has the mean of `totals` as the sum of traces."""
        total, low, high = self.totals.mean(), -math.log(LARGEST_FACTOR), math.log(LARGEST_FACTOR)
        for _ in range(N_BISECTIONS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._sum(math.exp(middle)) < total else (low, middle)
        return math.exp(0.5 * (low + high))

    def _sum(self, factor: float) -> float:
        """Return the sum of the traces of all rows for a factor."""
        scaled = factor * self.values
        return float((scaled / (1.0 + scaled)).sum())

    @property
    def of_rows(self) -> Array:
        """The trace of each row with the factor c, (n_samples,)."""
        scaled = self.factor * self.values
        return np.asarray((scaled / (1.0 + scaled)).sum(axis=1))


@dataclass(frozen=True)
class Noise:
    """Noise of the rows for sets of r random vectors.

    In each row, the r vectors of a set have ±√r in different places and zeros elsewhere.
    """

    n_sets: int
    r: int
    seed: int

    def of_block(self, context: KernelContext) -> tuple[Array, Array]:
        """Return the places and the values of the noise, both (rows, n_sets, r), always the same.

        The last axis is that of the vectors of a set.
        """
        block = context.block
        generator = np.random.default_rng([self.seed, block.start])
        shape = block.stop - block.start, self.n_sets, self.r
        places = generator.random(shape).argsort(axis=2)
        signs = 2.0 * generator.integers(0, 2, size=shape) - 1.0
        return places, math.sqrt(self.r) * signs


def _vectors(context: KernelContext, noise: Noise, columns: Array) -> Array:
    """Return √s_i B_i ε_i of the rows of a block, (n_vectors, n_logits, rows).

    `columns` (rows, r, r) are the B_i, for the free logits.
    """
    places, values = noise.of_block(context)
    weights = np.sqrt(np.asarray(on_host(context.weights), dtype=float))
    row = np.arange(len(places))[:, None, None]
    U = columns.transpose(0, 2, 1)[row, places] * (values * weights[:, None, None])[..., None]
    U = U.reshape(len(places), -1, noise.r).transpose(1, 2, 0)
    if context.likelihood.is_coupled:
        U = np.concatenate([U, -U.sum(axis=1, keepdims=True)], axis=1)
    return np.ascontiguousarray(U)


def _noise_gradient(context: KernelContext, noise: Noise) -> tuple[Array, Array]:
    """Return the sums Σ_i √s_i (F_i ε_i) ⊗ (x_i, 1) of a block for each vector (a kernel)."""
    return _sums(context, _vectors(context, noise, curvature_root(context)))


def _sums(context: KernelContext, U: Array) -> tuple[Array, Array]:
    """Return the sums of u_i ⊗ (x_i, 1) for U (n_vectors, n_logits, rows), see `of_theta`."""
    U = U.reshape(-1, U.shape[2])
    return on_host(context.block.weighted_sums(U)), U.sum(axis=1)


def _write_traces(
    context: KernelContext,
    shape: DiagonalShape,
    noise: Noise,
    theta: Array,
    values: Array,
    of_rows: Array,
    shapes: Array,
) -> tuple[Array]:
    """Write shapes, their eigenvalues and the estimated traces of rows (a kernel).

    The result is not used.
    """
    at, root = slice(context.block.start, context.block.stop), curvature_root(context)
    shapes[at] = shape.covariances(context)
    values[at] = np.linalg.eigvalsh(curved(context, root, shapes[at]))
    places, signs = noise.of_block(context)
    weights = np.sqrt(np.asarray(on_host(context.weights), dtype=float))[:, None, None]
    within = (weights * (free_logits(context, theta) @ root)).reshape(*signs.shape, noise.r)
    products = np.take_along_axis(within, places[..., None], axis=3)[..., 0] * signs
    of_rows[at] = products.mean(axis=2)
    return (np.zeros(()),)


def _control_gradient(
    context: KernelContext,
    noise: Noise,
    scaled: Array,
    inverse: Array,
    means: Array,
) -> tuple[Array, Array, Array]:
    """Return the sums of `_noise_gradient` for (I + G_i)⁻¹ ε_i, and their mean form (a kernel).

    `scaled` (n_samples, r, r) are the T_i of all rows.

    `inverse` and `means` are the diagonal matrix of the form and the means of the columns.
    """
    root = curvature_root(context)
    G = curved(context, root, scaled[context.block.start : context.block.stop])
    columns = root @ np.linalg.inv(np.eye(noise.r) + G)
    covariance = columns @ columns.transpose(0, 2, 1)
    weights = np.asarray(on_host(context.weights), dtype=float)
    variances = weights * of_all_logits(context, covariance)
    expected = (variances * diagonal_forms(context, inverse, means)).sum()
    return *_sums(context, _vectors(context, noise, columns)), np.asarray(expected)
