"""ChangingZeros: fits without one row by one step of proximal Newton's method, for L1 penalties.

With an L1 penalty, the Newton step of `Leverages` keeps the zeros of θ. For a few rows, the fit
without the row has other zeros. The proximal Newton step minimises the quadratic model of the loss
plus the L1 penalty itself, and finds them (Lee, Sun & Saunders 2014, SIAM J. Optim. 24, 1420-1443).

H is the Hessian of the summed loss and the ridge, and r the number of free logits. The Hessian of
the model is H less that of the row, which has rank r. An active-set method solves the model of each
row. A coordinate is a coefficient θ_c that is nonzero, or may become so. A is the set of the
nonzero ones. For the row, S is the set of the coordinates in A that become zero and of those
outside of A that become nonzero. Elimination of the coordinates in A leaves a linear system of r
equations and one for each coordinate in S. These systems of many rows are solved together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._leverage._inverse_hessian import (
    FreeCoefficients,
    InverseHessian,
    penalised_hessian,
)
from skmaxent._leverage._leverages import Leverages, RowLeverages
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

# The largest number of steps of the active-set method, and the largest size of S in them. Rows that
# need more keep the Newton step with the zeros of θ.
MOST_STEPS, MOST_CHANGES = 6, 40
# At most as many zeros of θ may change as there are coordinates in A, or this number if it is
# larger.
LEAST_CANDIDATE_LIMIT = 32
# A share of the diagonal of H that is added to it for zeros of θ that change. Otherwise the system
# would be singular for a feature with nonzero coefficients in all classes, and the rounding errors
# of products in float32 would hide that it is convex.
DAMPING = 1e-3
# A share of the diagonal of the small systems that is added to it, so that they are not singular.
REGULARISATION = 1e-9


@dataclass(frozen=True)
class ChangingZeros:
    """The coordinates of a fit with an L1 penalty, and the matrices of the small systems.

    Attributes
    ----------
    coordinates : FreeCoefficients
        Nonzero coefficients, unpenalised coefficients, and zeros that may become nonzero.
    is_active : ndarray of bool, shape (size,)
        The coordinates in A: those that vary near θ.
    theta : ndarray of shape (size,)
    l1 : ndarray of shape (size,)
        The strength of the L1 penalty of each coordinate, for the summed loss.
    gradient : ndarray of shape (size,)
        The gradient of the summed loss and the ridge, as if θ were the exact minimum: -l1 times the
        sign of θ in A, and between -l1 and l1 for others.
    elimination : ndarray of shape (n_active, size)
        H_AA⁻¹ N, with which the coordinates in A are eliminated. Column c of N is the unit vector
        of a coordinate c in A, or H_Ac for others.
    schur : ndarray of shape (size, size)
        Nᵀ H_AA⁻¹ N, less H for pairs of coordinates outside of A.
    hessian : ndarray of shape (size, size)
        H, of the summed loss and the ridge, with `DAMPING`.
    limits : ndarray of shape (n_logits, n_features + 1)
        The strength of the L1 penalty of zeros that are no coordinates, and infinity elsewhere.
    dtype : dtype
        The dtype of products over rows.
    """

    coordinates: FreeCoefficients
    is_active: Array
    theta: Array
    l1: Array
    gradient: Array
    elimination: Array
    schur: Array
    hessian: Array
    limits: Array
    dtype: DTypeLike

    @classmethod
    def of(cls, leverages: Leverages, terms: PenaltyTerms) -> ChangingZeros | None:
        """Return the coordinates and matrices of a fit, or None.

        The result is None for groups, for bounds, without an L1 penalty, and if the inverse Hessian
        of `leverages` is only sampled. `terms` are the penalty of standardised columns.
        """
        point, inverse = leverages.point, leverages.inverse
        is_elementwise = terms.l1.any() and not terms.grouped
        if not is_elementwise or not isinstance(inverse, InverseHessian):
            return None
        if terms.lower is not None or terms.upper is not None:
            return None
        total, theta = point.objective.total_weight, point.theta
        l1, gradient = np.zeros(theta.shape), total * point.loss_gradient()
        l1[:, :-1] = total * terms.l1
        gradient[:, :-1] += total * terms.ridge * terms.from_target(theta[:, :-1])
        is_active = np.zeros(theta.shape, dtype=bool)
        for k, varying in enumerate(inverse.free.columns):
            is_active[k, varying] = True
        chosen = is_active | _candidates(leverages, l1, gradient, is_active, inverse.free.size)
        columns = [np.flatnonzero(row) for row in chosen]
        reference = inverse.free.is_reference
        coordinates = FreeCoefficients.of(columns, theta.shape, reference=reference)
        H = penalised_hessian(point, terms, coordinates, inverse.dtype) * total
        active = is_active[chosen]
        H.flat[:: len(H) + 1] *= np.where(active, 1.0, 1.0 + DAMPING)
        elimination = np.zeros((int(active.sum()), len(active)))
        elimination[:, active] = inverse.matrix
        elimination[:, ~active] = inverse.matrix @ H[np.ix_(active, ~active)]
        schur = np.zeros_like(H)
        schur[active] = elimination
        schur[:, active] = elimination.T
        both = np.ix_(~active, ~active)
        schur[both] = H[np.ix_(~active, active)] @ elimination[:, ~active] - H[both]
        limits = np.where((l1 > 0.0) & ~chosen, l1 * (1.0 + 1e-6), np.inf)
        l1, theta, gradient = l1[chosen], theta[chosen], gradient[chosen]
        gradient = np.where(active, -l1 * np.sign(theta), np.clip(gradient, -l1, l1))
        return cls(
            coordinates, active, theta, l1, gradient, elimination, schur, H, limits, inverse.dtype
        )

    def held_out_change(self, rows: RowLeverages) -> Array:
        """Return the changes of the logits of rows in the fits without them, (rows, r)."""
        rho = rows.held_out_residual
        change = np.einsum("mkl,ml->mk", rows.leverage, rho)
        X = self.coordinates.varying_columns(rows.context, self.dtype)
        moved = self._moved(X, rho)
        signs = self._next_set(moved, None)
        which = np.flatnonzero(signs.any(axis=1))
        if len(which):
            steps = ProximalSteps.of(self, rows, [x[:, which] for x in X], which)
            steps.signs[:] = signs[which]
            converged = steps.solve(np.arange(len(which)), None)
            change[which[converged]] = steps.change[converged]
        return change

    def all_steps(self, rows: RowLeverages) -> ProximalSteps:
        """Return the proximal Newton steps of all rows of a block, which are not solved yet."""
        X = self.coordinates.varying_columns(rows.context, self.dtype)
        return ProximalSteps.of(self, rows, X, np.arange(len(rows.weights)))

    def derivatives(self, x: Array) -> Array:
        """Return the derivatives of the free logits of m rows by the coordinates, (m, size, r).

        `x` (m, n_features + 1) are the standardised rows with a one for the intercept.
        """
        columns, slices = self.coordinates.columns, self.coordinates.slices
        r = len(columns) - (not self.coordinates.is_reference)
        out = np.zeros((len(x), self.coordinates.size, r))
        for k, (some, at) in enumerate(zip(columns, slices, strict=True)):
            if k < r:
                out[:, at, k] = x[:, some]
            else:
                out[:, at] = -x[:, some, None]
        return out

    def of_coordinates(self, values: Array) -> Array:
        """Return the entries of the coordinates, (m, size), of arrays in the shape of θ."""
        parts = [values[:, k, some] for k, some in enumerate(self.coordinates.columns)]
        return np.concatenate(parts, axis=1)

    def is_optimal_elsewhere(self, gradient: Array) -> Array:
        """Return whether all zeros that are no coordinates stay zero, (m,).

        `gradient` (m, n_logits, n_features + 1) is that of the summed loss and the ridge.
        """
        return np.asarray((np.abs(gradient) <= self.limits).all(axis=(1, 2)))

    def _moved(self, X: list[Array], rho: Array) -> Array:
        """Return the changes of coordinates in A and of gradients of the others, (rows, size).

        These are the changes for an empty S. `X` are the columns of the coordinates for each class,
        each (n_columns, rows), as `FreeCoefficients.varying_columns` returns them. `rho` (rows, r)
        is the weighted residual of each row that is left out.
        """
        full = rho if self.coordinates.is_reference else np.column_stack([rho, -rho.sum(axis=1)])
        B = np.concatenate([x * one.astype(x.dtype) for x, one in zip(X, full.T, strict=True)])
        moved = self.elimination.T.astype(B.dtype, copy=False) @ B[self.is_active]
        moved[~self.is_active] -= B[~self.is_active]
        return np.asarray(moved.T, dtype=float)

    def _next_set(self, moved: Array, known: tuple[Array, Array] | None) -> Array:
        """Return the next S, (rows, size): 1 or -1 for a member, by its sign, else 0.

        The sign of a coordinate in A is that of θ, which becomes zero. The sign of another is that
        of the coefficient that becomes nonzero.

        Parameters
        ----------
        moved : ndarray of shape (rows, size)
            Changes of coordinates in A and of gradients of the others.
        known : tuple of ndarray, optional
            The signs of the members of S, (rows, size), and their values in the solution: the
            multiplier of a coordinate in A that is zero, or the coefficient of another. The default
            is an empty S.
        """
        sign = np.sign(self.theta)
        leaves = self.is_active & (self.l1 > 0.0) & ((self.theta + moved) * sign < 0.0)
        gradient = self.gradient + moved
        enters = ~self.is_active & (np.abs(gradient) > self.l1 * (1.0 + 1e-9))
        found = np.where(leaves, sign, np.where(enters, -np.sign(gradient), 0.0))
        if known is None:
            return np.asarray(found)
        signs, values = known
        stays = np.where(self.is_active, values * signs <= 0.0, values * signs >= 0.0)
        return np.where(signs != 0.0, np.where(stays, signs, 0.0), found)


@dataclass(frozen=True)
class ProximalSteps:
    """Proximal Newton steps of m rows, each of which is left out.

    The quadratic model of row i has the gradient g - B_i u_i r_i + e_i at θ and the Hessian
    H - B_i Λ_i B_iᵀ. Here g is the gradient of all rows, `ChangingZeros.gradient`, B_i are the
    derivatives of the row's logits by the coordinates, (size, r), and u_i is the weight that is
    left out. The residual r_i and the curvature Λ_i, for the weight u_i, are those of `Leverages`.
    In the first step e_i is zero. Later steps begin at other coefficients, where the loss has
    another gradient; e_i is what the first model lacks of it.

    Attributes
    ----------
    zeros : ChangingZeros
    slopes : ndarray of shape (m, size, r)
        The derivatives of the coordinates in A, and of the gradients of the others, by the weighted
        residual that is left out, for an empty S.
    curvature : ndarray of shape (m, r, r)
        The curvatures Λ_i.
    leverage : ndarray of shape (m, r, r)
        The leverage matrices B_iᵀ H_AA⁻¹ B_i, for the rows of B_i in A. `Leverages` calls them A_i.
    residual : ndarray of shape (m, r)
        The residuals times the weights that are left out, u_i r_i.
    signs : ndarray of shape (m, size)
        1 or -1 for a member of S, by its sign, else 0; changed by `solve`.
    change, shift : ndarray of shape (m, r) and (m, size)
        The changes of the rows' logits and of the coordinates; set by `solve`.
    """

    zeros: ChangingZeros
    slopes: Array
    curvature: Array
    leverage: Array
    residual: Array
    signs: Array
    change: Array
    shift: Array

    @classmethod
    def of(
        cls, zeros: ChangingZeros, rows: RowLeverages, X: list[Array], which: Array
    ) -> ProximalSteps:
        """Return the steps of the rows at positions `which` of a block.

        `X` are the coordinates' columns of these rows, for each class.
        """
        m, r = len(which), rows.residual.shape[1]
        slopes = np.stack([zeros._moved(X, np.tile(unit, (m, 1))) for unit in np.eye(r)], axis=2)
        F, left_out = rows.root[which], rows.left_out[which]
        shape = slopes.shape[:2]
        return cls(
            zeros,
            slopes,
            left_out[:, None, None] * (F @ F.transpose(0, 2, 1)),
            rows.leverage[which],
            left_out[:, None] * rows.residual[which],
            np.zeros(shape),
            np.zeros((m, r)),
            np.zeros(shape),
        )

    def extra_gradient(
        self, which: Array, shift: Array, gradient: Array, derivatives: Array
    ) -> Array:
        """Return the e_i of the next step of n rows, (n, size).

        Parameters
        ----------
        which : ndarray of int, shape (n,)
            The positions of the rows.
        shift : ndarray of shape (n, size)
            The changes of the coordinates from which the next step begins.
        gradient : ndarray of shape (n, size)
            The gradient of the summed loss and the ridge at θ + `shift`, without the row.
        derivatives : ndarray of shape (n, size, r)
            The B_i.
        """
        zeros, B = self.zeros, derivatives
        left_out = self.residual[which] + np.einsum(
            "mkl,ml->mk", self.curvature[which], np.einsum("msr,ms->mr", B, shift)
        )
        model = zeros.gradient + shift @ zeros.hessian
        return np.asarray(gradient - model + np.einsum("msr,mr->ms", B, left_out))

    def solve(self, which: Array, extra: Array | None) -> Array:
        """Minimise the models of n rows; return a mask (n,) of those for which S converged.

        `which` (n,) are the positions of the rows. `extra` (m, size) are the e_i of all rows; None
        stands for zeros. The search for S begins with `signs`.
        """
        converged, at = np.zeros(len(self.signs), dtype=bool), which
        for _ in range(MOST_STEPS):
            at = at[np.count_nonzero(self.signs[at], axis=1) <= MOST_CHANGES]
            if not len(at):
                break
            signs = self.signs[at]
            moved, values = self._step(at, None if extra is None else extra[at])
            following = self.zeros._next_set(moved, (signs, values))
            is_same = (following == signs).all(axis=1)
            converged[at[is_same]] = True
            self.signs[at] = following
            at = at[~is_same]
        return converged[which]

    def _step(self, at: Array, extra: Array | None) -> tuple[Array, Array]:
        """Solve the systems of the rows `at` for their present S; set their `change` and `shift`.

        Returns `moved` and the values of S, both (rows, size), as in `_next_set`.
        """
        zeros, signs, all_slopes = self.zeros, self.signs[at], self.slopes[at]
        active, r = zeros.is_active, all_slopes.shape[2]
        lag, lagging = np.zeros(1), np.zeros((len(at), r))
        if extra is not None:
            # The changes of coordinates in A and of the other gradients by the extra gradient.
            lag = extra[:, active] @ zeros.elimination
            lag[:, ~active] -= extra[:, ~active]
            lagging = np.einsum("msr,ms->mr", all_slopes[:, active], extra[:, active])
        is_in = signs != 0.0
        width = int(is_in.sum(axis=1).max())
        index = np.argsort(~is_in, axis=1, kind="stable")[:, :width]
        valid = np.take_along_axis(is_in, index, 1)
        slopes = np.take_along_axis(all_slopes, index[:, :, None], 1) * valid[:, :, None]
        pairs = zeros.schur[index[:, :, None], index[:, None, :]]
        # The coefficients of dependent columns may all become zero, and H_AA⁻¹ is a pseudo-inverse.
        pairs[:, np.arange(width), np.arange(width)] *= 1.0 + REGULARISATION
        pairs *= valid[:, :, None] & valid[:, None, :]
        curvature, leverage = self.curvature[at], self.leverage[at]
        M = np.zeros((len(at), width + r, width + r))
        M[:, :width, :width] = -pairs
        M[:, np.arange(width), np.arange(width)] += ~valid
        M[:, :width, width:] = slopes
        M[:, width:, :width] = curvature @ slopes.transpose(0, 2, 1)
        M[:, width:, width:] = np.eye(r) - curvature @ leverage
        # A coordinate in A becomes zero; another satisfies its optimality condition.
        goal = np.where(active, zeros.theta, zeros.gradient + zeros.l1 * signs) - lag
        right = np.empty((len(at), width + r))
        right[:, :width] = -np.take_along_axis(goal, index, 1) * valid
        right[:, width:] = self.residual[at] - np.einsum("mkl,ml->mk", curvature, lagging)
        solution = np.linalg.solve(M, right[:, :, None])[:, :, 0]
        some, rho = solution[:, :width] * valid, solution[:, width:]
        values = np.zeros(signs.shape)
        np.put_along_axis(values, index, some, 1)
        moved = np.einsum("msr,mr->ms", all_slopes, rho) - values @ zeros.schur - lag
        inner = np.einsum("mkl,ml->mk", leverage, rho) - np.einsum("mwr,mw->mr", slopes, some)
        self.change[at] = inner - lagging
        in_A = np.where(is_in, -zeros.theta, moved)
        self.shift[at] = np.where(active, in_A, np.where(is_in, values, 0.0))
        return moved, values


def _candidates(
    leverages: Leverages, l1: Array, gradient: Array, is_active: Array, n_active: int
) -> Array:
    """Return a mask of zeros of θ that may become nonzero without a row, (R, d + 1).

    `l1` and `gradient` are those of `ChangingZeros`, in the shape of θ. The zeros are those with
    the smallest distance of the gradient from ±l1, relative to the root of the sum of squares of
    the gradients of single rows. If the distance is larger than this root, no row reaches it alone.
    """
    (sizes,) = leverages.point.map_reduce(_squared_gradients)
    distance = np.maximum(l1 - np.abs(gradient), 0.0)
    relative = np.divide(
        distance, np.sqrt(sizes), out=np.full(l1.shape, np.inf), where=(sizes > 0.0) & (l1 > 0.0)
    )
    relative[is_active] = np.inf
    most = max(n_active, LEAST_CANDIDATE_LIMIT)
    # The most-th smallest distance; zeros at the same distance may all change.
    nth = most - 1
    limit = np.partition(relative.ravel(), nth)[nth] if relative.size > most else np.inf
    return np.asarray((relative < 1.0) & (relative <= limit))


def _squared_gradients(context: KernelContext) -> tuple[Array]:
    """Return the sums over a block of squared gradients of the rows' losses, (R, d + 1).

    It is a kernel, for standardised columns. Sums are in float64, in host memory: those of columns
    far from zero cancel.
    """
    residuals = np.asarray(on_host(context.residuals), dtype=float)
    squared = np.square(residuals * np.asarray(on_host(context.weights), dtype=float))
    block, columns = on_host_block(context.block), context.model.standardisation
    center, scale = on_host(columns.center), on_host(columns.scale)
    out = np.empty((len(squared), block.X.shape[1] + 1))
    out[:, -1] = squared.sum(axis=1)
    squares = block.weighted_sums_of_squares(squared) - 2.0 * center * block.weighted_sums(squared)
    squares += np.multiply.outer(out[:, -1], center**2)
    out[:, :-1] = np.maximum(squares, 0.0) / scale**2
    return (out,)
