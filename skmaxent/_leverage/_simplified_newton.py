"""SimplifiedNewton: exact fits without one observation, many fits in each pass over the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._cached import cached_property
from skmaxent._leverage._changing_zeros import ChangingZeros
from skmaxent._leverage._inverse_hessian import (
    FreeCoefficients,
    InverseHessian,
    all_coefficients_vary,
)
from skmaxent._leverage._leverages import Leverages, RowLeverages
from skmaxent._leverage._reference_coding import ridge_gradient
from skmaxent._leverage._step_errors import StepErrors
from skmaxent._objective._likelihood import Likelihood
from skmaxent._solvers import Problem
from skmaxent._storage._block import Block
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# The largest number of steps. Fits that need more are left to a solver.
MOST_STEPS = 15
# The least and the largest factor of a step.
LEAST_FACTOR, MOST_FACTOR = 0.05, 5.0
# The largest number of entries of the logits of all fits for a block of rows, 32 megabytes.
ENTRIES_AT_A_TIME = 1 << 22


@dataclass(frozen=True)
class SimplifiedNewton:
    """Newton's method with the Hessian of the fit to all rows, less that of the row left out.

    The Hessian is not computed again at later iterates. All fits therefore share its inverse, and
    one pass over the rows makes a step of many fits (Deuflhard 2004, Newton Methods for Nonlinear
    Problems, section 2.1, calls the method simplified). It converges linearly, and fast if the
    observation changes the fit little. Each step is multiplied by the factor of `_Relaxation`,
    which makes the convergence fast also if the curvature of the loss changes mostly in one
    direction, that of the observation. Fits that do not converge need another method.

    Attributes
    ----------
    problem : Problem
        The problem of all rows.
    leverages : Leverages
        The leverages of all rows, with an exact inverse of the Hessian.
    tolerance : float
        The distance to the optimum, in standard errors, at which iterations end.
    errors : StepErrors
        Those of another strength of the penalty. Iterations for a smooth penalty start where they
        are added to one step, and replace them.
    """

    problem: Problem
    leverages: Leverages
    tolerance: float
    errors: StepErrors

    @classmethod
    def of(
        cls, problem: Problem, leverages: Leverages, tolerance: float, errors: StepErrors
    ) -> SimplifiedNewton | None:
        """Return the method, or None if it cannot be used.

        It needs rows in host memory, and leverages with an exact inverse of the Hessian.
        """
        X = getattr(leverages.point.objective.blocks, "X", None)
        is_on_host = isinstance(X, np.ndarray) or sp.issparse(X)
        if isinstance(leverages.inverse, InverseHessian) and is_on_host:
            return cls(problem, leverages, tolerance, errors)
        return None

    def logits_without(self, rows: Array, left_out: Array, outcomes: Array) -> tuple[Array, Array]:
        """Fit without one observation at a time; return the logits of its row in that fit.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
        left_out : ndarray of shape (n,)
            The weights that are left out, as the objective stores them.
        outcomes : ndarray of int, shape (n,)
            The classes of the observations that are left out; -1 leaves out observations with the
            class shares of the row.

        Returns
        -------
        logits : ndarray of shape (n, n_logits)
        converged : ndarray of bool, shape (n,)
        """
        blocks = self.leverages.point.objective.blocks
        assert isinstance(blocks, RowBlocks)
        step = max(1, ENTRIES_AT_A_TIME // (blocks.n_logits * blocks.block_rows))
        parts = [
            self._iterated(rows[at], left_out[at], outcomes[at])
            for at in (slice(start, start + step) for start in range(0, len(rows), step))
        ]
        logits, converged = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(converged)

    @cached_property
    def _zeros(self) -> ChangingZeros | None:
        """The coordinates of a fit with an L1 penalty."""
        return ChangingZeros.of(self.leverages, self.problem.terms)

    def _iterated(self, rows: Array, left_out: Array, outcomes: Array) -> tuple[Array, Array]:
        """Return the results of `logits_without` for few rows, whose fits share all passes."""
        fits = _Fits.of(self, rows, left_out, outcomes)
        if self._zeros is not None:
            return self._with_changing_zeros(fits, self._zeros)
        first = fits.first_step()
        # An observation of a table is known by its row and its class.
        keys = rows * (first.shape[1] + 2) + outcomes
        by_step = self.leverages.point.theta + first
        theta = by_step + self.errors.of(keys.tolist(), first)
        converged, active = np.zeros(len(rows), dtype=bool), np.arange(len(rows))
        relaxation = _Relaxation(len(rows), fits.free.size)
        for _ in range(MOST_STEPS):
            gradient, is_optimal = fits.gradient(theta[active], active)
            step = fits.newton_steps(gradient, active)
            is_near = np.einsum("bj,bj->b", gradient, step) <= self.tolerance**2
            factor = np.where(is_near, 1.0, relaxation.factors(active, step, gradient))
            theta[active] -= fits.free.as_theta(factor[:, None] * step)
            converged[active] = is_near & is_optimal
            active = active[~is_near]
            if not len(active):
                break
        known = keys[converged].tolist()
        self.errors.put(known, first[converged], (theta - by_step)[converged])
        return fits.logits(theta), converged

    def _with_changing_zeros(self, fits: _Fits, zeros: ChangingZeros) -> tuple[Array, Array]:
        """Return the results of `logits_without` for an L1 penalty, by proximal Newton steps."""
        n, point = len(fits.x), self.leverages.point
        steps, derivatives = zeros.all_steps(fits.rows), zeros.derivatives(fits.x)
        assert steps.shift is not None
        shift, relaxation = np.zeros(steps.shift.shape), _Relaxation(n, zeros.coordinates.size)
        extra, lag = np.zeros(shift.shape), np.zeros(shift.shape)
        is_optimal = np.zeros(n, dtype=bool)
        converged, active = np.zeros(n, dtype=bool), np.arange(n)
        for number in range(MOST_STEPS):
            has_ended = steps.solve(active, *((extra, lag) if number else ()))
            step = steps.shift[active] - shift[active]
            dual = step @ zeros.hessian
            is_near = np.einsum("mj,mj->m", dual, step) <= self.tolerance**2
            # Later steps of the rows that end here are not made: the last one found their zeros.
            converged[active] = has_ended & is_near & is_optimal[active]
            factor = relaxation.factors(active, step, dual)
            goes_on = has_ended & ~(is_near & (number > 0))
            active, step, factor = active[goes_on], step[goes_on], factor[goes_on]
            if not len(active):
                break
            shift[active] += factor[:, None] * step
            theta = point.theta + zeros.coordinates.as_theta(shift[active])
            G = fits.smooth_gradient(theta, active)
            is_optimal[active] = zeros.is_optimal_elsewhere(G)
            of_coordinates = zeros.of_coordinates(G)
            extra[active] = steps.extra_gradient(
                active, zeros.hessian, shift[active], of_coordinates, derivatives[active]
            )
            lag[active] = zeros.lag(extra[active])
        return fits.logits(point.theta + zeros.coordinates.as_theta(steps.shift)), converged


class _Relaxation:
    """Factors of the steps of n iterations, from differences of their last two steps.

    A step s(x) leads from x towards a fixed point. If the error is in one direction, in which s is
    linear, the factor w = -w' ⟨s', s - s'⟩ / ⟨s - s', s - s'⟩ leads to the fixed point at once,
    where s' is the last step and w' its factor (Irons & Tuck 1969, Int. J. Numer. Methods Eng. 1,
    275-277, who generalise Aitken's method). The first factor is one.

    Parameters
    ----------
    n, size : int
        The number of iterations, and the number of coordinates of a step.
    """

    def __init__(self, n: int, size: int) -> None:
        self._factor = np.full(n, np.nan)
        self._step, self._dual = np.zeros((n, size)), np.zeros((n, size))

    def factors(self, which: Array, step: Array, dual: Array) -> Array:
        """Return the factors of the next steps of the iterations `which`, (m,).

        `step` (m, size) are the steps, and `dual` (m, size) their products with the matrix of the
        scalar product.
        """
        last, before = self._factor[which], self._step[which]
        change, of_dual = step - before, dual - self._dual[which]
        square = np.einsum("mj,mj->m", change, of_dual)
        along = np.einsum("mj,mj->m", before, of_dual)
        ratio = np.divide(-along, square, out=np.ones(len(which)), where=square > 0.0)
        factor = np.clip(last * ratio, LEAST_FACTOR, MOST_FACTOR)
        factor = np.where(np.isnan(last), 1.0, factor)
        self._factor[which], self._step[which], self._dual[which] = factor, step, dual
        return factor


@dataclass(frozen=True)
class _Fits:
    """n fits, each without an observation of one row.

    In the methods, `theta` (m, n_logits, n_features + 1) are coefficients of standardised columns
    for each of m fits, `which` (m,) the positions of these fits, and free coordinates (m, size)
    those of `FreeCoefficients`.

    Attributes
    ----------
    problem : Problem
        The problem of all rows.
    objective : MultinomialObjective
        The loss of all rows, without the penalty.
    inverse : InverseHessian
        The inverse Hessian of the fit to all rows.
    rows : RowLeverages
        The leverages of the n rows.
    left_out : ndarray of shape (n,)
        The weights that are left out.
    targets : ndarray of shape (n, n_logits)
        The targets of the observations that are left out.
    x : ndarray of shape (n, n_features + 1)
        The standardised features of the rows, with a one for the intercept.
    may_vary : ndarray of bool, shape (n_logits, n_features + 1)
        Which coefficients the iterations change; a nonsmooth penalty holds the others.
    """

    problem: Problem
    objective: Any
    inverse: InverseHessian
    rows: RowLeverages
    left_out: Array
    targets: Array
    x: Array
    may_vary: Array

    @classmethod
    def of(cls, method: SimplifiedNewton, index: Array, left_out: Array, outcomes: Array) -> _Fits:
        """Return the fits without observations of the rows at positions `index`."""
        leverages, problem = method.leverages, method.problem
        rows = leverages.of_rows(index)
        context = rows.context
        targets = context.likelihood.dense_targets(context.block.targets).T
        some = outcomes >= 0
        if some.any():
            codes = outcomes[some].astype(np.intp)
            codes = codes if context.likelihood.is_coupled else codes.astype(float)
            targets[some] = context.likelihood.dense_targets(codes).T
        free = targets[:, : context.likelihood.n_free]
        P = np.asarray(context.probabilities, dtype=float).T
        rows = replace(rows, left_out=left_out, residual=P[:, : free.shape[1]] - free)
        tangent = problem.terms.whole_penalty().tangent(leverages.point.theta)
        may_vary = tangent.free & problem.objective.standardisation.is_free
        inverse = leverages.inverse
        assert isinstance(inverse, InverseHessian)
        objective, x = leverages.point.objective, np.asarray(context.rows).T
        return cls(problem, objective, inverse, rows, left_out, targets, x, may_vary)

    @property
    def free(self) -> FreeCoefficients:
        """The free coordinates."""
        return self.inverse.free

    def first_step(self) -> Array:
        """Return the change of θ by one Newton step from the fit to all rows.

        The shape is (n, n_logits, n_features + 1).
        """
        step = self.inverse.free_changes(self.rows.context, self.rows.held_out_residual)
        return self.free.as_theta(step)

    def gradient(self, theta: Array, which: Array) -> tuple[Array, Array]:
        """Return the gradients of the objectives of some fits, in free coordinates.

        The objective is the sum of the losses of all other observations, not their mean, and of the
        penalty. The second result, (m,), is True for the fits whose held coefficients satisfy their
        optimality conditions.
        """
        n, (total, terms) = len(theta), (self.objective.total_weight, self.problem.terms)
        G = self.loss_gradient(theta, which)
        is_optimal = np.ones(n, dtype=bool)
        if all_coefficients_vary(terms) and self.free.is_reference:
            for of_fit, W in zip(G, terms.from_target(theta[:, :, :-1]), strict=True):
                of_fit[:, :-1] += total * ridge_gradient(terms.ridge, W)
        else:
            penalty = terms.whole_penalty()
            for b, (of_fit, W) in enumerate(zip(G, theta, strict=True)):
                of_fit[:] = total * penalty.minimum_norm_subgradient(W, of_fit / total)
                others = of_fit[~self.may_vary]
                is_optimal[b] = not others.any() and bool((penalty.project(W) == W).all())
        parts = [G[:, k, of_class] for k, of_class in enumerate(self.free.columns)]
        return np.concatenate(parts, axis=1), is_optimal

    def loss_gradient(self, theta: Array, which: Array) -> Array:
        """Return the gradients of the summed losses of some fits, (m, n_logits, n_features + 1)."""
        n, R, width = theta.shape
        columns = self.objective.standardisation
        coef, intercept = columns.coefficients(theta.reshape(n * R, width))
        sums = self.objective.blocks.map_reduce(
            _gradients, self.objective.likelihood, coef, intercept
        )
        of_X, of_logits = sums[0].reshape(n, R, -1), sums[1].reshape(n, R)
        G = np.stack([columns.gradient(*each, 1.0) for each in zip(of_X, of_logits, strict=True)])
        x, weights = self.x[which], self.left_out[which]
        Z = self._logits(theta, which).T.copy()
        self.objective.likelihood.probabilities(Z)
        residual = weights[:, None] * (Z.T - self.targets[which])
        G -= residual[:, :, None] * x[:, None, :]
        return np.asarray(G)

    def smooth_gradient(self, theta: Array, which: Array) -> Array:
        """Return the gradients of the losses and the ridge, (m, n_logits, n_features + 1)."""
        G, terms = self.loss_gradient(theta, which), self.problem.terms
        total = self.objective.total_weight
        G[:, :, :-1] += total * terms.ridge * terms.from_target(theta[:, :, :-1])
        return G

    def newton_steps(self, gradient: Array, which: Array) -> Array:
        """Return the steps (H - H_i)⁻¹ g, (m, size), for gradients g in free coordinates.

        H_i is the Hessian of the observation that is left out. With H_i = G F u Fᵀ Gᵀ for
        G = I ⊗ x̃_i, the weight u and F Fᵀ = diag p_i - p_i p_iᵀ, the step is (Woodbury 1950)
        H⁻¹ g + H⁻¹ G F u (I - u FᵀAF)⁻¹ Fᵀ Gᵀ H⁻¹ g, where A = Gᵀ H⁻¹ G.
        """
        step = gradient @ self.inverse.matrix
        F, weights = self.rows.root[which], self.left_out[which]
        change = np.einsum("bkj,bj->bk", self.free.in_reference_coding(step), self.x[which])
        inner = np.einsum("bkl,bk->bl", F, change)
        hat = self.rows.hat(self.rows.left_out)[which]
        inner = np.linalg.solve(np.eye(hat.shape[1]) - hat, inner[:, :, None])[:, :, 0]
        residuals = np.zeros((len(self.x), hat.shape[1]))
        residuals[which] = weights[:, None] * np.einsum("bkl,bl->bk", F, inner)
        return np.asarray(step + self.inverse.free_changes(self.rows.context, residuals)[which])

    def _logits(self, theta: Array, which: Array) -> Array:
        """Return the logits of the left-out rows in the fits `which`, (m, n_logits).

        Offsets are included.
        """
        Z = np.einsum("bkj,bj->bk", theta, self.x[which])
        offset = self.rows.context.block.offset
        return np.asarray(Z if offset is None else Z + offset[which])

    def logits(self, theta: Array) -> Array:
        """Return the logits of the rows in their fits, offsets included, (n, n_logits)."""
        return self._logits(theta, np.arange(len(theta)))


def _gradients(
    block: Block, likelihood: Likelihood, coef: Array, intercept: Array
) -> tuple[Array, Array]:
    """Return a block's sums of the gradients of the losses of several models (a kernel).

    `coef` and `intercept` have n_logits rows for each model, and so have both results.
    """
    U = block.logits_without_offset(coef, intercept)
    for start in range(0, len(U), likelihood.n_logits):
        Z = U[start : start + likelihood.n_logits]
        if block.offset is not None:
            Z += block.offset.T
        likelihood.probabilities(Z)
        likelihood.subtract_targets(Z, block.targets)
    if block.weights is not None:
        U *= block.weights
    return block.weighted_sums(U), U.sum(axis=1)
