"""ChangingZeros: fits without one row by one step of proximal Newton's method.

With an L1 penalty, the Newton step of `Leverages` keeps the zeros of θ. For a few rows, the fit
without the row has other zeros. The proximal Newton step minimises the quadratic model of the loss
plus the L1 penalty itself, and finds them (Lee, Sun & Saunders 2014, SIAM J. Optim. 24, 1420-1443).
In the same way it finds the coefficients that reach or leave their bounds.
`ActiveSets` has the notation of that model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._leverage._active_sets import (
    ActiveSets,
    ProximalSteps,
    gradient_limits,
    held_out_changes,
)
from skmaxent._leverage._inverse_hessian import (
    FreeCoefficients,
    InverseHessian,
    all_coefficients_vary,
    penalised_hessian,
)
from skmaxent._leverage._leverages import Leverages, RowLeverages
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

# At most as many zeros of θ may change as there are coordinates in A, or this number if it is
# larger.
LEAST_CANDIDATE_LIMIT = 32
# A share of the diagonal of H that is added to it for zeros of θ that change. Otherwise the system
# would be singular for a feature with nonzero coefficients in all classes, and the rounding errors
# of products in float32 would hide that it is convex.
DAMPING = 1e-3


@dataclass(frozen=True)
class ChangingZeros:
    """The coordinates of a fit with an L1 penalty, and the matrices of the small systems.

    Attributes
    ----------
    coordinates : FreeCoefficients
        Nonzero coefficients, unpenalised coefficients, and zeros that may become nonzero.
    sets : ActiveSets
        The coordinates in A, for the summed loss.
    elimination : ndarray of shape (n_active, size)
        H_AA⁻¹ N, with which the coordinates in A are eliminated; see `ActiveSets`.
    hessian : ndarray of shape (size, size)
        H, of the summed loss and the ridge, with `DAMPING`.
    limits : tuple of two ndarrays of shape (n_logits, n_features + 1)
        The least and the largest gradient of coefficients that are no coordinates.
    dtype : dtype
        The dtype of products over rows.
    """

    coordinates: FreeCoefficients
    sets: ActiveSets
    elimination: Array
    hessian: Array
    limits: tuple[Array, Array]
    dtype: DTypeLike

    @classmethod
    def of(cls, leverages: Leverages, terms: PenaltyTerms) -> ChangingZeros | None:
        """Return the coordinates and matrices of a fit, or None.

        The result is None for groups, without an L1 penalty or bounds, and if the inverse Hessian
        of `leverages` is only sampled. `terms` are the penalty of standardised columns.
        """
        point, inverse = leverages.point, leverages.inverse
        is_elementwise = not (terms.grouped or all_coefficients_vary(terms))
        if not is_elementwise or not isinstance(inverse, InverseHessian):
            return None
        total, theta = point.objective.total_weight, point.theta
        l1, gradient = np.zeros(theta.shape), total * point.loss_gradient()
        l1[:, :-1] = total * terms.l1
        gradient[:, :-1] += total * terms.ridge * terms.from_target(theta[:, :-1])
        is_active = np.zeros(theta.shape, dtype=bool)
        for k, varying in enumerate(inverse.free.columns):
            is_active[k, varying] = True
        lower, upper = np.full((2, *theta.shape), [[[-np.inf]], [[np.inf]]])
        for array, bound in ((lower, terms.lower), (upper, terms.upper)):
            if bound is not None:
                array[:, :-1] = bound
        limits = gradient_limits(theta, l1, lower, upper, 1e-6)
        # Zeros with an L1 penalty and coefficients at a bound may vary. So may a coefficient that
        # is held because an equal change in all classes changes nothing, if another has a bound.
        has_bound = (np.isfinite(lower) | np.isfinite(upper)).any(axis=0)
        may_vary = ((l1 > 0.0) | has_bound) & point.objective.standardisation.is_free
        stays = is_active | (lower == upper) | ~may_vary
        limits = np.where(stays, -np.inf, limits[0]), np.where(stays, np.inf, limits[1])
        chosen = is_active | _candidates(leverages, limits, gradient, inverse.free.size)
        columns = [np.flatnonzero(row) for row in chosen]
        reference = inverse.free.is_reference
        coordinates = FreeCoefficients.of(columns, theta.shape, reference=reference)
        H = penalised_hessian(point, terms, coordinates, inverse.dtype) * total
        active = is_active[chosen]
        H.flat[:: len(H) + 1] *= np.where(active, 1.0, 1.0 + DAMPING)
        limits = np.where(chosen, -np.inf, limits[0]), np.where(chosen, np.inf, limits[1])
        given = inverse.matrix, active, theta[chosen], l1[chosen], gradient[chosen]
        sets, elimination = ActiveSets.of(H, *given, lower[chosen], upper[chosen])
        return cls(coordinates, sets, elimination, H, limits, inverse.dtype)

    @property
    def is_active(self) -> Array:
        """The coordinates in A, a mask of shape (size,)."""
        return np.asarray(self.sets.is_active[0])

    def held_out_change(self, rows: RowLeverages) -> tuple[Array, Array]:
        """Return the changes of the logits of rows in the fits without them, (rows, r).

        The second result, (rows,), is False for rows whose changing zeros were not found.
        """
        X = self.coordinates.varying_columns(rows.context, self.dtype)
        moved = self._moved(X, rows.held_out_residual)

        def slopes(which: Array) -> Array:
            return self._slopes([x[:, which] for x in X])

        return held_out_changes(self.sets, rows, moved[None], slopes)

    def all_steps(self, rows: RowLeverages) -> ProximalSteps:
        """Return the proximal Newton steps of all rows of a block, which are not solved yet."""
        slopes = self._slopes(self.coordinates.varying_columns(rows.context, self.dtype))
        every, shape = np.arange(slopes.shape[1]), slopes.shape[1:]
        steps = ProximalSteps.of(self.sets, rows, every, slopes, np.zeros(shape, dtype=np.int8))
        return replace(steps, shift=np.zeros(shape))

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
        """Return whether all coefficients that are no coordinates stay where they are, (m,).

        `gradient` (m, n_logits, n_features + 1) is that of the summed loss and the ridge.
        """
        low, high = self.limits
        return np.asarray(((gradient >= low) & (gradient <= high)).all(axis=(1, 2)))

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

    def _slopes(self, X: list[Array]) -> Array:
        """Return the `ProximalSteps.slopes` of rows, from the columns of the coordinates."""
        m, r = X[0].shape[1], len(X) - (not self.coordinates.is_reference)
        return np.stack([self._moved(X, np.tile(unit, (m, 1))) for unit in np.eye(r)])

    def lag(self, extra: Array) -> Array:
        """Return what extra gradients e_i, (rows, size), subtract from `moved` for an empty S."""
        active = self.is_active
        lag = extra[:, active] @ self.elimination
        lag[:, ~active] -= extra[:, ~active]
        return np.asarray(lag)


def _candidates(
    leverages: Leverages, limits: tuple[Array, Array], gradient: Array, n_active: int
) -> Array:
    """Return a mask of entries of θ outside of A that may vary without a row, (R, d + 1).

    `gradient` is that of `ChangingZeros`, in the shape of θ, and `limits` are two arrays between
    which it stays if they do not vary; both are infinite for others. They are those with the
    smallest distance of the gradient from a limit, relative to the root of the sum of squares of
    the gradients of single rows. If the distance is larger than this root, no row reaches it alone.
    """
    (sizes,) = leverages.point.map_reduce(_squared_gradients)
    distance = np.maximum(np.minimum(gradient - limits[0], limits[1] - gradient), 0.0)
    relative = np.divide(
        distance, np.sqrt(sizes), out=np.full(sizes.shape, np.inf), where=sizes > 0.0
    )
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
