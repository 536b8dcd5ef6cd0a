"""Leverages: for each row, how much the fit depends on it, and the fit without it in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from skmaxent._leverage._curvature_roots import curvature_root
from skmaxent._leverage._inverse_hessian import FreeCoefficients, InverseHessian
from skmaxent._leverage._sampled_inverse import N_GROUPS, SampledInverse
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers import Problem
from skmaxent._storage._arrays import full
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# Coefficients up to which the Hessian is inverted.
MOST_EXACT = 3000
# A kernel: a function of a block's rows that returns terms of sums.
Kernel = Callable[..., tuple[Any, ...]]
# Eigenvalues of a row's hat matrix above this are taken for this: the row alone determines a
# direction of its logits, and a fit without it is not near.
LARGEST_HAT = 1.0 - 1e-9
# Rows with a smaller trace of the hat matrix, which bounds its eigenvalues, are far from that.
UNREMARKABLE = 0.5


@dataclass(frozen=True)
class Leverages:
    """The leverages of all rows of a fit, computed a block of rows at a time.

    In the notation of its formulas, row i has the weight s_i, the standardised features x̃_i with a
    one for the intercept, the residual r_i = p_i - t_i, and the curvature Λ_i = s_i (diag p_i -
    p_i p_iᵀ), all in r free logits: the differences from the last class's, one logit of two
    classes. H is the Hessian of the summed loss and penalty over the free coefficients: all of them
    with a ridge or without a penalty, the nonzero ones within their bounds with an L1 penalty, and
    with the curvature of its norm for a group. Its leverage is the matrix

        A_i = (I ⊗ x̃_iᵀ) H⁻¹ (I ⊗ x̃_i),        r × r.

    One Newton step from the optimum to that without the weight u_i ≤ s_i of row i gives, with
    Λ_i of that weight (Rad & Maleki 2020, J. R. Stat. Soc. B 82, 965-996; Obuchi & Kabashima 2018,
    J. Mach. Learn. Res. 19),

        z_i^(-i) - z_i = u_i A_i (I - Λ_i A_i)⁻¹ r_i,
        θ^(-i) - θ = H⁻¹ (I ⊗ x̃_i) (I - Λ_i A_i)⁻¹ u_i r_i.

    How to use it: ``leverages = Leverages.of(problem, theta, shares)``, then
    ``leverages.map_reduce(kernel, *args)`` sums ``kernel(rows, *args)`` over all blocks, where
    `rows` is a `RowLeverages`. Kernels that fill arrays with an entry for each row write to
    ``out[rows.at]``, in memory alone; sums work for Dask collections too.

    Attributes
    ----------
    point : Point
        The loss at θ, without the penalty, in float64.
    inverse : InverseHessian or SampledInverse
        H⁻¹, or random vectors with that covariance where there are more than `MOST_EXACT`
        coefficients. The latter estimate leverages with an error, and give no changes of
        coefficients.
    shares : ndarray of shape (n_samples,) or None
        The part u_i/s_i of the weight of each row that is left out; None leaves out whole rows.
        Where a weight counts repetitions, one observation is left out: see `shares_of`.
    """

    point: Point
    inverse: InverseHessian | SampledInverse
    shares: Array | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        theta: Array,
        shares: Array | None = None,
        *,
        is_rough: bool = False,
    ) -> Leverages:
        """Return the leverages of the rows of a problem at its minimum θ, (n_logits, d + 1).

        `theta` belongs to the standardised columns of the problem. Three digits are enough with
        `is_rough`; see `InverseHessian.at`.
        """
        objective = problem.objective.in_float64()
        objective = objective.with_penalty(Ridge(np.zeros(objective.blocks.n_features)))
        point = objective.at(theta)
        free = FreeCoefficients.at(point, problem.terms)
        if free.size > MOST_EXACT:
            return cls(point, SampledInverse.at(point, problem.terms, free.size), shares)
        inverse = InverseHessian.at(point, problem.terms, free, is_rough=is_rough)
        return cls(point, inverse, shares)

    def replicates(self) -> list[Leverages]:
        """Return leverages from parts of the random vectors; none where they are exact.

        Each leaves out one of as many groups, for the jackknife.
        """
        if isinstance(self.inverse, InverseHessian):
            return []
        return [replace(self, inverse=self.inverse.without(group)) for group in range(N_GROUPS)]

    def map_reduce(self, kernel: Kernel, *args: Any, combine: np.ufunc = np.add) -> tuple[Any, ...]:
        """Return the sums over all blocks of ``kernel(rows, *args)``, for the rows of a block."""
        point = self.point
        model = point.objective.model_at(point.theta, point.probabilities)
        return point.objective.blocks.map_reduce(
            _of_rows, model, self.inverse, self.shares, kernel, *args, combine=combine
        )

    def of_rows(self, index: Array) -> RowLeverages:
        """Return the leverages of the rows at some positions, for rows in memory."""
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
        """Effective degrees of freedom, Σ_i tr(A_i Λ_i); without a penalty the coefficients."""
        return float(self.map_reduce(_hat_trace)[0])


@dataclass(frozen=True)
class RowLeverages:
    """The leverages of the rows of a block; all arrays are in host memory, float64.

    Attributes
    ----------
    context : KernelContext
        The block with the model.
    inverse : InverseHessian
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

    context: KernelContext
    inverse: InverseHessian | SampledInverse
    leverage: Array
    whole_hat: Array
    trace: Array
    root: Array
    residual: Array
    weights: Array
    left_out: Array

    @property
    def at(self) -> slice:
        """The positions of the rows among all rows."""
        return slice(self.context.block.start, self.context.block.stop)

    @cached_property
    def logits(self) -> Array:
        """All logits z_i of the rows, (rows, n_logits), offsets included."""
        return np.asarray(on_host(self.context.logits()), dtype=float).T

    @property
    def curvature(self) -> Array:
        """Λ_i = s_i (diag p_i - p_i p_iᵀ) in the free logits, (rows, r, r)."""
        F = self.root
        return np.asarray(self.weights[:, None, None] * (F @ F.transpose(0, 2, 1)))

    def hat(self, weights: Array) -> Array:
        """Return FᵀAF times a weight for each row, symmetric, with the eigenvalues of A_i Λ_i."""
        share = np.divide(weights, self.weights, out=np.zeros_like(weights), where=weights > 0.0)
        return np.asarray(share[:, None, None] * self.whole_hat)

    @cached_property
    def largest_hat(self) -> Array:
        """The largest eigenvalue of A_i Λ_i for the weight that is left out, (rows,), or a bound.

        Where it is near one, I - A_i Λ_i is nearly singular. Where the trace is below
        `UNREMARKABLE`, the trace is taken for the bound.
        """
        return _largest_eigenvalue(self._left_out_hat)

    @cached_property
    def _left_out_hat(self) -> Array:
        return self.hat(self.left_out)

    def adjusted(self, power: float, *, whole: bool = False) -> Array:
        """Return (I - Λ_i A_i)^power r_i, (rows, r), for the weight that is left out.

        Powers of -1/2 and -1 are those of HC2 and HC3, of the scores x̃_i ⊗ r_i. With `whole` the
        weight is that of the row. Eigenvalues of Λ_i A_i above `LARGEST_HAT` are taken for that.
        """
        F = self.root
        weights = self.weights if whole else self.left_out
        pulled = weights[:, None] * _applied(F.transpose(0, 2, 1), self._pull)
        hat = self.hat(weights) if whole else self._left_out_hat
        # f(FFᵀA) = I + F g(FᵀAF) FᵀA with g(x) = (f(x) - 1)/x, which needs no inverse of F.
        if power != -1.0:
            return np.asarray(self.residual + _applied(F, _by_eigenvalues(hat, pulled, power)))
        # Here g(x) = 1/(1 - x), and a linear system is solved in less time than eigenvalues.
        plain = _largest_eigenvalue(hat) < UNREMARKABLE
        inner = np.empty_like(pulled)
        identity = np.eye(hat.shape[1])
        inner[plain] = np.linalg.solve(identity - hat[plain], pulled[plain][:, :, None])[:, :, 0]
        inner[~plain] = _by_eigenvalues(hat[~plain], pulled[~plain], power)
        return np.asarray(self.residual + _applied(F, inner))

    @property
    def _pull(self) -> Array:
        """A_i r_i, (rows, r)."""
        return _applied(self.leverage, self.residual)

    @cached_property
    def held_out_residual(self) -> Array:
        """u_i (I - Λ_i A_i)⁻¹ r_i, (rows, r): it gives the changes of logits and coefficients."""
        return np.asarray(self.left_out[:, None] * self.adjusted(-1.0))

    @cached_property
    def held_out_logits(self) -> Array:
        """z_i^(-i), the logits of each row in the fit without it, (rows, n_logits)."""
        change = _applied(self.leverage, self.held_out_residual)
        if self.context.likelihood.is_coupled:
            change = np.column_stack([change, np.zeros(len(change))])
        return np.asarray(self.logits + change)

    @property
    def held_out_change(self) -> Array:
        """θ^(-i) - θ in reference coding for standardised columns, (rows, r, d + 1)."""
        return self.change(self.held_out_residual)

    def change(self, residuals: Array) -> Array:
        """Return H⁻¹ (I ⊗ x̃_i) ρ_i in reference coding for residuals ρ, (rows, r, d + 1)."""
        if isinstance(self.inverse, SampledInverse):
            raise ValueError(
                f"changes of coefficients are for models with up to {MOST_EXACT} coefficients."
            )
        return self.inverse.change(self.context, residuals)

    def with_outcome(self, code: int) -> RowLeverages:
        """Return the same rows as if an observation of the class at `code` were left out.

        It is for rows that stand for several observations, of several classes.
        """
        n = len(self.weights)
        if self.context.likelihood.is_coupled:
            targets = full((n,), code, np.intp, self.context.weights)
        else:
            targets = full((n,), float(code), np.float64, self.context.weights)
        context = self.context.with_targets(targets)
        return replace(self, context=context, residual=_residual(context))


def shares_of(observations: Array | None) -> Array | None:
    """Return the part of each row's weight that one of its observations has.

    `observations` (n_samples,) is how many each row stands for: its frequency weight, times the sum
    of its counts. Rows of less than one observation are left out as a whole.
    """
    if observations is None or not (observations > 1.0).any():
        return None
    return np.asarray(1.0 / np.maximum(observations, 1.0))


def _largest_eigenvalue(hat: Array) -> Array:
    """Return the largest eigenvalues of matrices (rows, r, r), or their traces below a bound."""
    largest = np.einsum("mkk->m", hat)
    high = largest >= UNREMARKABLE
    if hat.shape[1] > 1 and high.any():
        largest[high] = np.linalg.eigvalsh(hat[high])[:, -1]
    return np.asarray(largest)


def _by_eigenvalues(hat: Array, vectors: Array, power: float) -> Array:
    """Return g(hat) times vectors, (rows, r), for g(x) = ((1 - x)^power - 1)/x.

    Eigenvalues above `LARGEST_HAT` are taken for that.
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
    """Return p - t in the free logits, (rows, r)."""
    return np.asarray(on_host(context.residuals), dtype=float)[: context.likelihood.n_free].T


def _of_rows(
    block: Any,
    model: Any,
    inverse: InverseHessian | SampledInverse,
    shares: Array | None,
    kernel: Kernel,
    *args: Any,
) -> tuple[Any, ...]:
    """Return a kernel's terms for the rows of a block."""
    return kernel(_leverages_of(KernelContext(block, model), inverse, shares), *args)


def _leverages_of(
    context: KernelContext, inverse: InverseHessian | SampledInverse, shares: Array | None
) -> RowLeverages:
    """Return the leverages of the rows of a block; `shares` are those of all rows."""
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
    """Return the sum of tr(A_i Λ_i) over a block."""
    return (rows.trace.sum(),)
