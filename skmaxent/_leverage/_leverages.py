"""Leverages: for each row, how much the fit depends on it, and the fit without it in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._cached import cached_property
from skmaxent._leverage._curvature_roots import curvature_root
from skmaxent._leverage._inverse_hessian import FreeCoefficients, InverseHessian
from skmaxent._leverage._sampled_inverse import N_GROUPS, N_VECTORS, SampledInverse
from skmaxent._leverage._scaled_inverse import ScaledInverse
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers import Problem
from skmaxent._storage._arrays import full
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# The largest number of free coefficients for which the Hessian is inverted.
MOST_EXACT = 3000
# The largest number for which it is inverted for sparse rows where scores are far from the best,
# and the share of the random vectors that are drawn there.
FAR_EXACT, FAR_VECTORS = 1000, 0.34
# A kernel: a function of a block's rows that returns terms of sums.
Kernel = Callable[..., tuple[Any, ...]]
# The ways to compute leverages.
Inverse = InverseHessian | SampledInverse | ScaledInverse
# Eigenvalues of a row's hat matrix above this are replaced by it. The row alone then determines a
# direction of its logits, and one Newton step does not lead near the fit without the row.
LARGEST_HAT = 1.0 - 1e-9
# The trace of a hat matrix bounds its eigenvalues. Where it is below this number, no eigenvalue is
# near 1, and none is computed.
UNREMARKABLE = 0.5


@dataclass(frozen=True)
class Leverages:
    """The leverages of all rows of a fit, computed a block of rows at a time.

    Row i has the weight s_i, the standardised features x̃_i with a one for the intercept, the
    residual r_i = p_i - t_i for probabilities p_i and targets t_i, and the curvature Λ_i = s_i
    (diag p_i - p_i p_iᵀ). The last two are in the r free logits: the differences from the logit of
    the last class, or the single logit of two classes. H is the Hessian of the summed loss and
    penalty over the free coefficients, which `FreeCoefficients` defines. The leverage of row i is
    the matrix

        A_i = (I ⊗ x̃_iᵀ) H⁻¹ (I ⊗ x̃_i),        r × r.

    One Newton step from the optimum θ to the optimum θ^(-i) without the weight u_i ≤ s_i of row i
    gives its logits z_i^(-i), with Λ_i for the weight u_i (Rad & Maleki 2020, J. R. Stat. Soc. B
    82, 965-996; Obuchi & Kabashima 2018, J. Mach. Learn. Res. 19):

        z_i^(-i) - z_i = u_i A_i (I - Λ_i A_i)⁻¹ r_i,
        θ^(-i) - θ = H⁻¹ (I ⊗ x̃_i) (I - Λ_i A_i)⁻¹ u_i r_i.

    After ``leverages = Leverages.of(problem, theta, shares)``, ``leverages.map_reduce(kernel,
    *args)`` sums ``kernel(rows, *args)`` over all blocks, where `rows` is a `RowLeverages`. For
    rows in memory, a kernel can also write to ``out[rows.at]`` for an array `out` with an entry for
    each row.

    Attributes
    ----------
    point : Point
        The loss at θ, without the penalty, in float64.
    inverse : InverseHessian, SampledInverse or ScaledInverse
        H⁻¹, or if there are more than `MOST_EXACT` coefficients a model of the leverages or random
        vectors with the covariance H⁻¹. These estimate leverages with an error, and do not give
        changes of coefficients.
    shares : ndarray of shape (n_samples,) or None
        u_i/s_i, the part of the weight of each row that is left out. None leaves out whole rows.
        `shares_of` returns the shares that leave out one observation of each row.
    """

    point: Point
    inverse: Inverse
    shares: Array | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        theta: Array,
        shares: Array | None = None,
        *,
        is_rough: bool = False,
        n_vectors: int = N_VECTORS,
        factor: float | None = None,
        is_far: bool = False,
    ) -> Leverages:
        """Return the leverages of the rows of a problem at its minimum.

        `theta` (n_logits, d + 1) is the minimum, in coefficients of the standardised columns of the
        problem. With `is_rough`, three digits of leverages are enough; see `InverseHessian.at`, and
        if there are too many coefficients a `ScaledInverse`, for which `factor` may be known. With
        `is_far`, the result is less accurate, and takes less time for sparse rows.
        `n_vectors` is the number of random vectors of a `SampledInverse`.
        """
        point = _loss_at(problem, theta)
        free = FreeCoefficients.at(point, problem.terms)
        given = point, problem.terms, free.size
        is_far = is_far and sp.issparse(getattr(point.objective.blocks, "X", None))
        if is_rough and free.size > (FAR_EXACT if is_far else MOST_EXACT):
            scaled = ScaledInverse.at(*given, factor, FAR_VECTORS if is_far else 1.0)
            if scaled is not None:
                return cls(point, scaled, shares)
        if free.size > MOST_EXACT:
            sampled = SampledInverse.at(*given, n_vectors)
            return cls(point, sampled, shares)
        inverse = InverseHessian.at(point, problem.terms, free, is_rough=is_rough)
        return cls(point, inverse, shares)

    @classmethod
    def factor_of(cls, problem: Problem, theta: Array) -> float | None:
        """Return the factor of scaled leverages; None if leverages are not scaled.

        `problem` and `theta` are as in `of`.
        """
        point = _loss_at(problem, theta)
        free = FreeCoefficients.at(point, problem.terms)
        if free.size <= MOST_EXACT:
            return None
        scaled = ScaledInverse.at(point, problem.terms, free.size)
        return None if scaled is None else scaled.factor

    def replicates(self, n_groups: int = N_GROUPS) -> list[Leverages]:
        """Return leverages for a jackknife over the random vectors; no leverages if they are exact.

        Each of the `n_groups` results, or of fewer if there are few vectors, leaves out one group.
        """
        if isinstance(self.inverse, InverseHessian):
            return []
        inverse = self.inverse
        n_groups = inverse.n_groups(n_groups)
        return [replace(self, inverse=inverse.without(at, n_groups)) for at in range(n_groups)]

    def map_reduce(self, kernel: Kernel, *args: Any, combine: np.ufunc = np.add) -> tuple[Any, ...]:
        """Return the sums over all blocks of ``kernel(rows, *args)``, with a `RowLeverages` each.

        `combine` replaces the sum of two results by another binary function.
        """
        point = self.point
        model = point.objective.model_at(point.theta, point.probabilities)
        return point.objective.blocks.map_reduce(
            _of_rows, model, self.inverse, self.shares, kernel, *args, combine=combine
        )

    def of_rows(self, index: Array) -> RowLeverages:
        """Return the leverages of the rows at the positions `index`, for rows in memory."""
        objective, shares = self.point.objective, self.shares
        blocks: Any = objective.blocks
        given = blocks.X, blocks.targets, blocks.weights, blocks.offset
        parts = [None if part is None else on_host(part)[index] for part in given]
        block = Block(0, 0, len(index), *parts)
        model = objective.model_at(self.point.theta, self.point.probabilities.for_other_rows())
        shares = None if shares is None else np.asarray(on_host(shares))[index]
        return _leverages_of(KernelContext(block, model), self.inverse, shares)

    @property
    def effective_df(self) -> float:
        """Effective degrees of freedom, Σ_i tr(A_i Λ_i): the rank of H if there is no penalty."""
        return float(self.map_reduce(_hat_trace)[0])


@dataclass(frozen=True)
class RowMatrices:
    """The leverages of some rows; all arrays are in host memory, float64.

    Attributes
    ----------
    leverage : ndarray of shape (rows, r, r)
        A_i, for weights as the objective stores them.
    whole_hat : ndarray of shape (rows, r, r)
        s_i F_iᵀ A_i F_i, symmetric, with the eigenvalues of A_i Λ_i.
    trace : ndarray of shape (rows,)
        tr(A_i Λ_i), the leverage of each whole row as a number.
    root : ndarray of shape (rows, r, r)
        F_i with F_i F_iᵀ = diag p_i - p_i p_iᵀ, the curvature for a weight of one.
    residual : ndarray of shape (rows, r)
        r_i = p_i - t_i, in the free logits.
    weights : ndarray of shape (rows,)
        s_i, as the objective stores them.
    left_out : ndarray of shape (rows,)
        u_i, the weight that is left out.
    """

    leverage: Array
    whole_hat: Array
    trace: Array
    root: Array
    residual: Array
    weights: Array
    left_out: Array

    @property
    def curvature(self) -> Array:
        """Λ_i = s_i (diag p_i - p_i p_iᵀ) in the free logits, (rows, r, r)."""
        F = self.root
        return np.asarray(self.weights[:, None, None] * (F @ F.transpose(0, 2, 1)))

    def hat(self, weights: Array) -> Array:
        """Return F_iᵀ A_i F_i times a weight for each row, (rows, r, r), from weights (rows,).

        The matrix is symmetric and has the eigenvalues of A_i Λ_i for this weight.
        """
        share = np.divide(weights, self.weights, out=np.zeros_like(weights), where=weights > 0.0)
        return np.asarray(share[:, None, None] * self.whole_hat)

    @cached_property
    def largest_hat(self) -> Array:
        """The largest eigenvalue of A_i Λ_i for the weight that is left out, or a bound, (rows,).

        I - A_i Λ_i is nearly singular if the eigenvalue is near one. A trace below `UNREMARKABLE`
        is returned as a bound of the eigenvalue.
        """
        return _largest_eigenvalue(self._left_out_hat)

    @cached_property
    def _left_out_hat(self) -> Array:
        """The result of `hat` for the weights that are left out, (rows, r, r)."""
        return self.hat(self.left_out)

    def adjusted(self, power: float, *, whole: bool = False) -> Array:
        """Return the residuals (I - Λ_i A_i)^power r_i, (rows, r), adjusted for leverage.

        HC2 covariances use the power -1/2, HC3 and Newton steps the power -1. Λ_i has the weight
        that is left out or, with `whole`, the weight of the row. Eigenvalues of Λ_i A_i above
        `LARGEST_HAT` are replaced by it.
        """
        F = self.root
        weights = self.weights if whole else self.left_out
        change = _applied(self.leverage, self.residual)
        vectors = weights[:, None] * _applied(F.transpose(0, 2, 1), change)
        hat = self.hat(weights) if whole else self._left_out_hat
        # f(FFᵀA) = I + F g(FᵀAF) FᵀA with g(x) = (f(x) - 1)/x, which needs no inverse of F.
        if power != -1.0:
            return np.asarray(self.residual + _applied(F, _by_eigenvalues(hat, vectors, power)))
        # Here g(x) = 1/(1 - x). Solving a linear system takes less time than eigenvalues do.
        plain = _largest_eigenvalue(hat) < UNREMARKABLE
        inner = np.empty_like(vectors)
        identity = np.eye(hat.shape[1])
        inner[plain] = np.linalg.solve(identity - hat[plain], vectors[plain][:, :, None])[:, :, 0]
        inner[~plain] = _by_eigenvalues(hat[~plain], vectors[~plain], power)
        return np.asarray(self.residual + _applied(F, inner))

    @cached_property
    def held_out_residual(self) -> Array:
        """u_i (I - Λ_i A_i)⁻¹ r_i, (rows, r), which occurs in both formulas of `Leverages`."""
        return np.asarray(self.left_out[:, None] * self.adjusted(-1.0))


@dataclass(frozen=True)
class RowLeverages(RowMatrices):
    """The leverages of the rows of a block.

    Attributes
    ----------
    context : KernelContext
        The block with the model.
    inverse : InverseHessian
    """

    context: KernelContext
    inverse: Inverse

    @property
    def at(self) -> slice:
        """The positions of the rows among all rows."""
        return slice(self.context.block.start, self.context.block.stop)

    @cached_property
    def logits(self) -> Array:
        """All logits z_i of the rows, (rows, n_logits), offsets included."""
        return np.asarray(on_host(self.context.logits()), dtype=float).T

    @cached_property
    def held_out_logits(self) -> Array:
        """z_i^(-i), the logits of each row in the fit without it, (rows, n_logits)."""
        return self.moved_logits(_applied(self.leverage, self.held_out_residual))

    def moved_logits(self, change: Array) -> Array:
        """Return the logits (rows, n_logits) after a change of the free logits, (rows, r)."""
        if self.context.likelihood.is_coupled:
            change = np.column_stack([change, np.zeros(len(change))])
        return np.asarray(self.logits + change)

    @property
    def held_out_change(self) -> Array:
        """θ^(-i) - θ in reference coding for standardised columns, (rows, r, d + 1)."""
        return self.change(self.held_out_residual)

    def change(self, residuals: Array) -> Array:
        """Return H⁻¹ (I ⊗ x̃_i) ρ_i in reference coding, (rows, r, d + 1), for ρ_i (rows, r)."""
        if not isinstance(self.inverse, InverseHessian):
            raise ValueError(
                f"changes of coefficients are for models with up to {MOST_EXACT} coefficients."
            )
        return self.inverse.change(self.context, residuals)

    def with_outcome(self, code: int) -> RowLeverages:
        """Return the same rows, of each of which an observation of the class `code` is left out.

        The residuals become those of that observation. Rows may have observations of all classes.
        """
        n = len(self.weights)
        if self.context.likelihood.is_coupled:
            targets = full((n,), code, np.intp, self.context.weights)
        else:
            targets = full((n,), float(code), np.float64, self.context.weights)
        context = self.context.with_targets(targets)
        return replace(self, context=context, residual=_residual(context))


def shares_of(observations: Array | None) -> Array | None:
    """Return the share of each row's weight that belongs to one observation, (n_samples,) or None.

    `observations` (n_samples,) is the number of observations of each row: its frequency weight
    times the sum of its counts. Rows of less than one observation have the share 1. None stands for
    shares of 1.
    """
    if observations is None or not (observations > 1.0).any():
        return None
    return np.asarray(1.0 / np.maximum(observations, 1.0))


def _loss_at(problem: Problem, theta: Array) -> Point:
    """Return the loss of a problem at θ, without its penalty, in float64."""
    objective = problem.objective.in_float64()
    return objective.with_penalty(Ridge(np.zeros(objective.blocks.n_features))).at(theta)


def _largest_eigenvalue(hat: Array) -> Array:
    """Return the largest eigenvalue of each matrix of `hat` (rows, r, r), shape (rows,).

    For a matrix with a trace below `UNREMARKABLE`, the result is the trace, an upper bound.
    """
    largest = np.einsum("mkk->m", hat)
    high = largest >= UNREMARKABLE
    if hat.shape[1] > 1 and high.any():
        largest[high] = np.linalg.eigvalsh(hat[high])[:, -1]
    return np.asarray(largest)


def _by_eigenvalues(hat: Array, vectors: Array, power: float) -> Array:
    """Return the products g(hat) v, (rows, r), for g(x) = ((1 - x)^power - 1)/x.

    `hat` (rows, r, r) are symmetric matrices, and `vectors` (rows, r) the v. Eigenvalues above
    `LARGEST_HAT` are replaced by it.
    """
    values, basis = np.linalg.eigh(hat)
    values = np.minimum(values, LARGEST_HAT)
    change = np.expm1(power * np.log1p(-values))
    g = np.divide(change, values, out=np.full_like(values, -power), where=values != 0.0)
    return _applied(basis, g * _applied(basis.transpose(0, 2, 1), vectors))


def _applied(matrices: Array, vectors: Array) -> Array:
    """Return the product of each matrix (rows, r, r) with its vector (rows, r)."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])


def _residual(context: KernelContext) -> Array:
    """Return the residuals p - t in the free logits of the rows of a block, (rows, r)."""
    return np.asarray(on_host(context.residuals), dtype=float)[: context.likelihood.n_free].T


def _of_rows(
    block: Any,
    model: Any,
    inverse: Inverse,
    shares: Array | None,
    kernel: Kernel,
    *args: Any,
) -> tuple[Any, ...]:
    """Return ``kernel(rows, *args)`` for the `RowLeverages` of a block.

    `model` is the `ModelAtPoint`, and `shares` (n_samples,) or None is that of `Leverages`.
    """
    return kernel(_leverages_of(KernelContext(block, model), inverse, shares), *args)


def _leverages_of(context: KernelContext, inverse: Inverse, shares: Array | None) -> RowLeverages:
    """Return the leverages of the rows of a block; `shares` (n_samples,) belong to all rows."""
    weights = np.asarray(on_host(context.weights), dtype=float)
    left_out = weights
    if shares is not None:
        left_out = weights * np.asarray(on_host(shares))[context.block.start : context.block.stop]
    root = curvature_root(context)
    leverage, hat, trace = inverse.leverages(context, root)
    return RowLeverages(
        context=context,
        inverse=inverse,
        leverage=leverage,
        whole_hat=hat,
        trace=trace,
        root=root,
        residual=_residual(context),
        weights=weights,
        left_out=left_out,
    )


def _hat_trace(rows: RowLeverages) -> tuple[Array]:
    """Return the sum of tr(A_i Λ_i) over the rows of a block (a kernel)."""
    return (rows.trace.sum(),)
