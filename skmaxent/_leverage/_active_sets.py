"""Quadratic models of fits without one row each, with an L1 penalty or bounds, and their minima.

A coordinate is a coefficient θ_c that is nonzero, or may become so. H is the Hessian of the loss
and the ridge, and r the number of free logits. The Hessian of the model is H less that of the row,
which has rank r. A is the set of the nonzero coordinates within their bounds. For the row, S is the
set of the coordinates in A that become zero, change their sign or reach a bound, and of those
outside of A that become nonzero or leave their bound. Elimination of the coordinates in A leaves a
linear system of r equations and one for each coordinate in S. An active-set method finds S. The
systems of many rows are solved together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._leverage._leverages import RowMatrices
from skmaxent._typing import Array

# The largest number of steps of the active-set method, and the largest size of S in them. Rows that
# need more keep the Newton step with the zeros of θ.
MOST_STEPS, MOST_CHANGES = 6, 160
# The systems of rows with a size of S up to the same of these numbers are solved together.
SIZES = -1, 6, 12, 24, 40, 80, MOST_CHANGES
# A share of the diagonal of the small systems that is added to it, so that they are not singular.
REGULARISATION = 1e-9


@dataclass(frozen=True)
class ActiveSets:
    """The coordinates of several fits, and the matrices of the small systems.

    Attributes
    ----------
    is_active : ndarray of bool, shape (n_fits, size)
        The coordinates in A: those that vary near θ.
    theta : ndarray of shape (n_fits, size)
    l1 : ndarray of shape (n_fits, size)
        The strength of the L1 penalty of each coordinate, for the loss with the Hessian H.
    gradient : ndarray of shape (n_fits, size)
        The gradient of this loss and the ridge, as if θ were the exact minimum: -l1 times the sign
        of θ in A, and between -l1 and l1 for others.
    schur : ndarray of shape (n_fits, size, size)
        Nᵀ H_AA⁻¹ N, less H for pairs of coordinates outside of A. Column c of N is the unit vector
        of a coordinate c in A, or H_Ac for others.
    lower, upper : ndarray of shape (n_fits, size)
        The bounds, infinite without one.
    """

    is_active: Array
    theta: Array
    l1: Array
    gradient: Array
    schur: Array
    lower: Array
    upper: Array

    @cached_property
    def has_bounds(self) -> bool:
        """Whether any coordinate has a bound."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    @cached_property
    def free(self) -> Array:
        """θ for coordinates in A and the gradient for others, (n_fits, size)."""
        return np.where(self.is_active, self.theta, self.gradient)

    @cached_property
    def limits(self) -> tuple[Array, Array]:
        """The least and the largest values of `free` without a change of A, both (n_fits, size)."""
        has_sign = self.is_active & (self.l1 > 0.0)
        low, high = gradient_limits(self.theta, self.l1, self.lower, self.upper, 1e-9)
        low, high = (
            np.where(self.is_active, self.lower, low),
            np.where(self.is_active, self.upper, high),
        )
        low = np.where(has_sign & (self.theta > 0.0), np.maximum(low, 0.0), low)
        return low, np.where(has_sign & (self.theta < 0.0), np.minimum(high, 0.0), high)

    @classmethod
    def of(
        cls,
        H: Array,
        inverse: Array,
        is_active: Array,
        theta: Array,
        l1: Array,
        gradient: Array,
        lower: Array | float = -np.inf,
        upper: Array | float = np.inf,
    ) -> tuple[ActiveSets, Array]:
        """Return the set of one fit, and H_AA⁻¹ N, (n_active, size).

        `inverse` is H_AA⁻¹, and `gradient` (size,) that at θ, which may be an inexact minimum.
        """
        active = is_active
        elimination = np.zeros((int(active.sum()), len(active)))
        elimination[:, active] = inverse
        elimination[:, ~active] = inverse @ H[np.ix_(active, ~active)]
        schur = np.zeros_like(H)
        schur[active] = elimination
        schur[:, active] = elimination.T
        both = np.ix_(~active, ~active)
        schur[both] = H[np.ix_(~active, active)] @ elimination[:, ~active] - H[both]
        lower, upper = (np.broadcast_to(bound, theta.shape) for bound in (lower, upper))
        inactive = np.clip(gradient, *gradient_limits(theta, l1, lower, upper))
        gradient = np.where(active, -l1 * np.sign(theta), inactive)
        of_one = (array[None] for array in (active, theta, l1, gradient, schur, lower, upper))
        return cls(*of_one), elimination

    @classmethod
    def stacked(cls, sets: Sequence[ActiveSets]) -> ActiveSets:
        """Return the sets of several fits together."""
        arrays = zip(*(vars(each).values() for each in sets), strict=True)
        return cls(*map(np.concatenate, arrays))

    def changes(self, moved: Array) -> Array:
        """Return the first S of rows, (n_fits, rows, size): 1 or -1 for a member, else 0.

        `moved` (n_fits, rows, size) are changes of coordinates in A and of gradients of the others,
        for an empty S. The sign of a coordinate in A is that of θ, which becomes zero, or 1 if it
        reaches its lower bound and -1 for the upper one. The sign of another is that of its change.
        """
        values, (low, high) = self.free[:, None] + moved, self.limits
        below, above = values < low[:, None], values > high[:, None]
        return below.view(np.int8) - above.view(np.int8)

    def ends(self, of_fit: tuple[Array, Array], sign: Array) -> Array:
        """Return the values that `free` has for members, (n_members,).

        They are zero or a bound for coordinates in A, and for others the gradient that balances
        their penalty where they have moved to. `of_fit` are the fits and the coordinates.
        """
        low, high = self.limits
        theta, l1 = self.theta[of_fit], self.l1[of_fit]
        in_A = np.where(sign > 0, low[of_fit], high[of_fit])
        slope = np.where(theta == 0.0, sign, np.sign(theta))
        return np.where(self.is_active[of_fit], in_A, -l1 * slope)

    def next_signs(self, fit: Array, moved: Array, members: Members, values: Array) -> Array:
        """Return the S that follows another one, (rows, size), as `changes` returns it.

        Parameters
        ----------
        fit : ndarray of int, shape (rows,)
            The fits that the rows are left out of.
        moved : ndarray of shape (rows, size)
            Changes of coordinates in A and of gradients of the others.
        members : Members
            Those of S.
        values : ndarray of shape (n_members,)
            Their values in the solution: the multiplier of a coordinate in A that is zero, or the
            coefficient of another.
        """
        low, high = self.limits
        found = self.free[fit] + moved
        below, above = found < low[fit], found > high[fit]
        following = below.view(np.int8) - above.view(np.int8)
        row, at, sign, passed = members.row, members.at, np.sign(members.sign), members.has_passed
        is_active = self.is_active[fit[row], at]
        inward = np.where(is_active, -sign, sign) * values
        # The multiplier of a coefficient that is zero is at most twice the strength of the penalty,
        # unless zero is a bound.
        passes = is_active & (inward > 2.0 * self.l1[fit[row], at])
        if self.has_bounds:
            limit = np.where(sign > 0.0, low[fit[row], at], high[fit[row], at])
            bound = np.where(sign > 0.0, self.lower[fit[row], at], self.upper[fit[row], at])
            passes &= limit != bound
        stays = passed & (sign * found[row, at] <= 0.0)
        of_zero = np.where(inward >= 0.0, np.where(passes, 2 * sign, sign), 0)
        following[row, at] = np.where(passed, np.where(stays, 2 * sign, sign), of_zero)
        return following

    def are_within_bounds(self, fit: Array, theta: Array, signs: Array) -> Array:
        """Return whether coordinates that have left their place stay where they may, (rows,).

        `theta` and `signs` are the coordinates in the solutions and S, both (rows, size). The
        penalty of a coordinate that leaves a bound has the same slope until it is zero.
        """
        low, high = self.lower[fit], self.upper[fit]
        before, has_l1 = self.theta[fit], self.l1[fit] > 0.0
        high = np.where(has_l1 & (before < 0.0) & ~self.is_active[fit], np.minimum(high, 0.0), high)
        low = np.where(has_l1 & (before > 0.0) & ~self.is_active[fit], np.maximum(low, 0.0), low)
        return np.asarray(((theta >= low) & (theta <= high) | (signs == 0)).all(axis=1))

    def schur_times(self, fit: Array, values: Array) -> Array:
        """Return the products of the matrices of some fits with `values`, (rows, size).

        `fit` (rows,) are the positions of the fits, in ascending order.
        """
        ends = np.searchsorted(fit, np.arange(len(self.schur) + 1))
        parts = [
            values[low:high] @ schur
            for schur, (low, high) in zip(self.schur, itertools.pairwise(ends), strict=True)
        ]
        return np.concatenate(parts)


def gradient_limits(
    theta: Array, l1: Array, lower: Array, upper: Array, margin: float = 0.0
) -> tuple[Array, Array]:
    """Return the least and the largest gradient for which coordinates outside of A stay there.

    The gradient is that of the loss and the ridge. All arrays have the same shape. The limits are
    wider by the share `margin` of `l1`.
    """
    low = np.where(theta < upper, -l1 * np.where(theta < 0.0, -1.0, 1.0) - margin * l1, -np.inf)
    high = np.where(theta > lower, l1 * np.where(theta > 0.0, -1.0, 1.0) + margin * l1, np.inf)
    return low, high


@dataclass(frozen=True)
class Members:
    """The members of the sets S of several rows.

    Attributes
    ----------
    row, at : ndarray of int, shape (n_members,)
        The row and the coordinate of each member.
    sign : ndarray of int, shape (n_members,)
        As `ProximalSteps.signs`.
    place : ndarray of int, shape (n_members,)
        The position of each member in the S of its row.
    count : ndarray of int, shape (rows,)
        The number of members of each S.
    """

    row: Array
    at: Array
    sign: Array
    place: Array
    count: Array

    @property
    def has_passed(self) -> Array:
        """Whether members have passed zero, (n_members,)."""
        return np.asarray(np.abs(self.sign) > 1)

    @classmethod
    def of(cls, signs: Array) -> Members:
        """Return the members for `signs` (rows, size), as `ActiveSets.changes` returns them."""
        row, at = np.nonzero(signs)
        count = np.bincount(row, minlength=len(signs))
        place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return cls(row, at, signs[row, at], place, count)


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
    sets : ActiveSets
    fit : ndarray of int, shape (m,)
        The position in `sets` of the fit of each row, in ascending order.
    slopes : ndarray of shape (r, m, size)
        The derivatives of the coordinates in A, and of the gradients of the others, by the weighted
        residual that is left out, for an empty S.
    curvature : ndarray of shape (m, r, r)
        The curvatures Λ_i.
    leverage : ndarray of shape (m, r, r)
        The leverage matrices B_iᵀ H_AA⁻¹ B_i, for the rows of B_i in A. `Leverages` calls them A_i.
    residual : ndarray of shape (m, r)
        The residuals times the weights that are left out, u_i r_i.
    signs : ndarray of int, shape (m, size)
        1 or -1 for a member of S, by its sign, else 0; changed by `solve`. 2 or -2 for a coordinate
        in A with the sign 1 or -1 in θ that has passed zero and has the other sign.
    change : ndarray of shape (m, r)
        The changes of the rows' logits; set by `solve`.
    shift : ndarray of shape (m, size) or None
        The changes of the coordinates; set by `solve` if it is an array.
    """

    sets: ActiveSets
    fit: Array
    slopes: Array
    curvature: Array
    leverage: Array
    residual: Array
    signs: Array
    change: Array
    shift: Array | None = None

    @classmethod
    def of(
        cls, sets: ActiveSets, rows: RowMatrices, which: Array, slopes: Array, signs: Array
    ) -> ProximalSteps:
        """Return the steps of the rows at positions `which`; the rows of a fit follow each other.

        `slopes` and `signs` belong to these rows.
        """
        F, left_out = rows.root[which], rows.left_out[which]
        return cls(
            sets,
            which // (len(rows.root) // len(sets.schur)),
            slopes,
            left_out[:, None, None] * (F @ F.transpose(0, 2, 1)),
            rows.leverage[which],
            left_out[:, None] * rows.residual[which],
            signs,
            np.zeros((len(which), len(slopes))),
        )

    def extra_gradient(
        self, which: Array, hessian: Array, shift: Array, gradient: Array, derivatives: Array
    ) -> Array:
        """Return the e_i of the next step of n rows, (n, size).

        Parameters
        ----------
        which : ndarray of int, shape (n,)
            The positions of the rows.
        hessian : ndarray of shape (size, size)
            H.
        shift : ndarray of shape (n, size)
            The changes of the coordinates from which the next step begins.
        gradient : ndarray of shape (n, size)
            The gradient of the summed loss and the ridge at θ + `shift`, without the row.
        derivatives : ndarray of shape (n, size, r)
            The B_i.
        """
        B = derivatives
        left_out = self.residual[which] + np.einsum(
            "mkl,ml->mk", self.curvature[which], np.einsum("msr,ms->mr", B, shift)
        )
        model = self.sets.gradient[self.fit[which]] + shift @ hessian
        return np.asarray(gradient - model + np.einsum("msr,mr->ms", B, left_out))

    def solve(self, which: Array, extra: Array | None = None, lag: Array | None = None) -> Array:
        """Minimise the models of n rows; return a mask (n,) of those for which S converged.

        `which` (n,) are the positions of the rows. `extra` (m, size) are the e_i of all rows, and
        `lag` the result of `ChangingZeros.lag` for them; None stands for zeros. The search for S
        begins with `signs`.
        """
        converged, at = np.zeros(len(self.signs), dtype=bool), which
        for _ in range(MOST_STEPS):
            count = np.count_nonzero(self.signs[at], axis=1)
            remaining = [at[:0]]
            # Systems that are solved together have the size of the largest one.
            for low, high in itertools.pairwise(SIZES):
                some = at[(count > low) & (count <= high)]
                if len(some):
                    given = None if extra is None or lag is None else (extra[some], lag[some])
                    is_same = self._step(some, given)
                    converged[some[is_same]] = True
                    remaining.append(some[~is_same])
            at = np.sort(np.concatenate(remaining))
            if not len(at):
                break
        return converged[which]

    def _step(self, at: Array, extra_and_lag: tuple[Array, Array] | None) -> Array:
        """Solve the systems of the rows `at` for their present S, and find the next.

        Returns a mask of the rows for which these are equal.
        """
        sets, fit, signs = self.sets, self.fit[at], self.signs[at]
        members, slopes = Members.of(signs), self.slopes[:, at]
        lag, lagging = None, 0.0
        if extra_and_lag is not None:
            # The changes of coordinates in A and of the other gradients by the extra gradient.
            extra, lag = extra_and_lag
            lagging = np.einsum("rms,ms->mr", slopes, np.where(sets.is_active[fit], extra, 0.0))
        of_members = slopes[:, members.row, members.at]
        rho, some = self._solution(at, members, of_members, lag, lagging)
        values = np.zeros(signs.shape)
        values[members.row, members.at] = some
        moved = -sets.schur_times(fit, values)
        for of_logit, one in zip(slopes, rho.T, strict=True):
            of_logit *= one[:, None]
            moved += of_logit
        if lag is not None:
            moved -= lag
        following = sets.next_signs(fit, moved, members, some)
        self.signs[at] = following
        inner = np.einsum("mkl,ml->mk", self.leverage[at], rho)
        for k, of_logit in enumerate(of_members):
            inner[:, k] -= np.bincount(members.row, of_logit * some, minlength=len(at))
        self.change[at] = inner - lagging
        is_same = (following == signs).all(axis=1)
        if self.shift is not None or sets.has_bounds:
            theta, (low, high) = sets.theta[fit], sets.limits
            in_A = np.where(signs == 1, low[fit] - theta, moved)
            in_A = np.where(signs == -1, high[fit] - theta, in_A)
            shift = np.where(sets.is_active[fit], in_A, np.where(signs != 0, values, 0.0))
            if self.shift is not None:
                self.shift[at] = shift
            if sets.has_bounds:
                is_within = sets.are_within_bounds(fit, theta + shift, signs)
                # A row whose coordinates leave these places has another S, which is not searched.
                is_same &= is_within
        return np.asarray(is_same)

    def _solution(
        self, at: Array, members: Members, slopes: Array, lag: Array | None, lagging: Array | float
    ) -> tuple[Array, Array]:
        """Return the weighted residuals (rows, r) and the values of members (n_members,).

        `slopes` (r, n_members) are those of the members, and `lagging` (rows, r) is the product of
        the slopes with the extra gradients.
        """
        sets, fit, r = self.sets, self.fit[at], len(slopes)
        row, place, width = members.row, members.place, int(members.count.max(initial=0))
        index = np.zeros((len(at), width), dtype=np.intp)
        index[row, place] = members.at
        valid = np.zeros(index.shape)
        valid[row, place] = -1.0
        M = np.zeros((len(at), width + r, width + r))
        pairs, diagonal = M[:, :width, :width], np.arange(width)
        pairs[:] = sets.schur[fit[:, None, None], index[:, :, None], index[:, None, :]]
        # The coefficients of dependent columns may all become zero, and H_AA⁻¹ is a pseudo-inverse.
        pairs[:, diagonal, diagonal] *= 1.0 + REGULARISATION
        pairs *= valid[:, :, None] * np.abs(valid[:, None, :])
        pairs[:, diagonal, diagonal] += 1.0 + valid
        M[row, place, width:] = slopes.T
        curvature, leverage = self.curvature[at], self.leverage[at]
        M[:, width:, :width] = curvature @ M[:, :width, width:].transpose(0, 2, 1)
        M[:, width:, width:] = np.eye(r) - curvature @ leverage
        # A coordinate in A becomes zero; another satisfies its optimality condition.
        of_fit = fit[row], members.at
        goal = sets.free[of_fit] - sets.ends(of_fit, members.sign)
        right = np.zeros((len(at), width + r))
        right[row, place] = -goal if lag is None else lag[row, members.at] - goal
        right[:, width:] = self.residual[at]
        if lag is not None:
            right[:, width:] -= np.einsum("mkl,ml->mk", curvature, lagging)
        if (passed := members.has_passed).any():
            # The gradient of the penalty of such a coordinate changes by twice its strength.
            row, place = row[passed], place[passed]
            M[row, place] = 0.0
            M[row, place, place] = 1.0
            right[row, place] = -(sets.l1[of_fit] * members.sign)[passed]
        solution = np.linalg.solve(M, right[:, :, None])[:, :, 0]
        return solution[:, width:], solution[members.row, members.place]


def held_out_changes(
    sets: ActiveSets,
    rows: RowMatrices,
    moved: Array,
    slopes: Callable[[Array], Array],
    shift: Array | None = None,
) -> tuple[Array, Array]:
    """Return the changes of the logits of rows in the fits without them, (n_fits·n, r).

    The second result, (n_fits·n,), is False for the rows whose S was not found.

    Parameters
    ----------
    sets : ActiveSets
    rows : RowMatrices
        Those of n rows for each fit, one fit after the other.
    moved : ndarray of shape (n_fits, n, size)
        Changes of coordinates in A and of gradients of the others, for an empty S.
    slopes : callable
        Returns the `ProximalSteps.slopes` of the rows at given positions.
    shift : ndarray of shape (n_fits·n, size), optional
        The changes of the coordinates for an empty S; those of other S are written to it.
    """
    change = np.einsum("mkl,ml->mk", rows.leverage, rows.held_out_residual)
    signs = sets.changes(moved).reshape(len(change), -1)
    which, is_found = np.flatnonzero(signs.any(axis=1)), np.ones(len(change), dtype=bool)
    if len(which):
        steps = ProximalSteps.of(sets, rows, which, slopes(which), signs[which])
        if shift is not None:
            steps = replace(steps, shift=shift[which])
        converged = steps.solve(np.arange(len(which)))
        change[which[converged]] = steps.change[converged]
        is_found[which] = converged
        if shift is not None and steps.shift is not None:
            shift[which[converged]] = steps.shift[converged]
    return np.asarray(change), is_found
