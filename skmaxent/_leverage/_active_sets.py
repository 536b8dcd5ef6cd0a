"""Quadratic models of fits without one row each, with an L1 penalty, and their minima.

A coordinate is a coefficient θ_c that is nonzero, or may become so. H is the Hessian of the loss
and the ridge, and r the number of free logits. The Hessian of the model is H less that of the row,
which has rank r. A is the set of the nonzero coordinates. For the row, S is the set of the
coordinates in A that become zero and of those outside of A that become nonzero. Elimination of the
coordinates in A leaves a linear system of r equations and one for each coordinate in S. An
active-set method finds S. The systems of many rows are solved together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skmaxent._leverage._leverages import RowMatrices
from skmaxent._typing import Array

# The largest number of steps of the active-set method, and the largest size of S in them. Rows that
# need more keep the Newton step with the zeros of θ.
MOST_STEPS, MOST_CHANGES = 6, 40
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
    """

    is_active: Array
    theta: Array
    l1: Array
    gradient: Array
    schur: Array

    @classmethod
    def of(
        cls, H: Array, inverse: Array, is_active: Array, theta: Array, l1: Array, gradient: Array
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
        gradient = np.where(active, -l1 * np.sign(theta), np.clip(gradient, -l1, l1))
        of_one = (array[None] for array in (active, theta, l1, gradient, schur))
        return cls(*of_one), elimination

    @classmethod
    def stacked(cls, sets: Sequence[ActiveSets]) -> ActiveSets:
        """Return the sets of several fits together."""
        arrays = zip(*(vars(each).values() for each in sets), strict=True)
        return cls(*map(np.concatenate, arrays))

    def changes(self, moved: Array) -> Array:
        """Return a mask of the rows for which S is not empty, (n_fits, rows).

        `moved` (n_fits, rows, size) are changes of coordinates in A and of gradients of the others,
        for an empty S.
        """
        values = moved + np.where(self.is_active, self.theta, self.gradient)[:, None]
        signs = np.where(self.is_active & (self.l1 > 0.0), np.sign(self.theta), 0.0)
        limits = np.where(self.is_active, np.inf, self.l1 * (1.0 + 1e-9))
        changes = values * signs[:, None] < 0.0
        changes |= np.abs(values) > limits[:, None]
        return np.asarray(changes.any(axis=2))

    def next_signs(self, fit: Array, moved: Array, known: tuple[Array, Array] | None) -> Array:
        """Return the next S, (rows, size): 1 or -1 for a member, by its sign, else 0.

        The sign of a coordinate in A is that of θ, which becomes zero. The sign of another is that
        of the coefficient that becomes nonzero.

        Parameters
        ----------
        fit : ndarray of int, shape (rows,)
            The fits that the rows are left out of.
        moved : ndarray of shape (rows, size)
            Changes of coordinates in A and of gradients of the others.
        known : tuple of ndarray, optional
            The signs of the members of S, (rows, size), and their values in the solution: the
            multiplier of a coordinate in A that is zero, or the coefficient of another. The default
            is an empty S.
        """
        is_active, theta, l1 = self.is_active[fit], self.theta[fit], self.l1[fit]
        sign = np.sign(theta)
        leaves = is_active & (l1 > 0.0) & ((theta + moved) * sign < 0.0)
        gradient = self.gradient[fit] + moved
        enters = ~is_active & (np.abs(gradient) > l1 * (1.0 + 1e-9))
        found = np.where(leaves, sign, np.where(enters, -np.sign(gradient), 0.0))
        if known is None:
            return np.asarray(found)
        signs, values = known
        stays = np.where(is_active, values * signs <= 0.0, values * signs >= 0.0)
        return np.where(signs != 0.0, np.where(stays, signs, 0.0), found)

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

    sets: ActiveSets
    fit: Array
    slopes: Array
    curvature: Array
    leverage: Array
    residual: Array
    signs: Array
    change: Array
    shift: Array

    @classmethod
    def of(
        cls, sets: ActiveSets, rows: RowMatrices, which: Array, fit: Array, slopes: Array
    ) -> ProximalSteps:
        """Return the steps of the rows at positions `which`, whose `fit` and `slopes` are given."""
        F, left_out, shape = rows.root[which], rows.left_out[which], slopes.shape
        return cls(
            sets,
            fit,
            slopes,
            left_out[:, None, None] * (F @ F.transpose(0, 2, 1)),
            rows.leverage[which],
            left_out[:, None] * rows.residual[which],
            np.zeros(shape[:2]),
            np.zeros((shape[0], shape[2])),
            np.zeros(shape[:2]),
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
            at = at[np.count_nonzero(self.signs[at], axis=1) <= MOST_CHANGES]
            if not len(at):
                break
            signs = self.signs[at]
            extra_and_lag = None if extra is None or lag is None else (extra[at], lag[at])
            moved, values = self._step(at, extra_and_lag)
            following = self.sets.next_signs(self.fit[at], moved, (signs, values))
            is_same = (following == signs).all(axis=1)
            converged[at[is_same]] = True
            self.signs[at] = following
            at = at[~is_same]
        return converged[which]

    def _step(self, at: Array, extra_and_lag: tuple[Array, Array] | None) -> tuple[Array, Array]:
        """Solve the systems of the rows `at` for their present S; set their `change` and `shift`.

        Returns `moved` and the values of S, both (rows, size), as in `ActiveSets.next_signs`.
        """
        sets, fit, signs, all_slopes = self.sets, self.fit[at], self.signs[at], self.slopes[at]
        active, r = sets.is_active[fit], all_slopes.shape[2]
        theta = sets.theta[fit]
        lag, lagging = np.zeros(1), np.zeros((len(at), r))
        if extra_and_lag is not None:
            # The changes of coordinates in A and of the other gradients by the extra gradient.
            extra, lag = extra_and_lag
            lagging = np.einsum("msr,ms->mr", all_slopes, np.where(active, extra, 0.0))
        is_in = signs != 0.0
        width = int(is_in.sum(axis=1).max())
        index = np.argsort(~is_in, axis=1, kind="stable")[:, :width]
        valid = np.take_along_axis(is_in, index, 1)
        slopes = np.take_along_axis(all_slopes, index[:, :, None], 1) * valid[:, :, None]
        pairs = sets.schur[fit[:, None, None], index[:, :, None], index[:, None, :]]
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
        goal = np.where(active, theta, sets.gradient[fit] + sets.l1[fit] * signs) - lag
        right = np.empty((len(at), width + r))
        right[:, :width] = -np.take_along_axis(goal, index, 1) * valid
        right[:, width:] = self.residual[at] - np.einsum("mkl,ml->mk", curvature, lagging)
        solution = np.linalg.solve(M, right[:, :, None])[:, :, 0]
        some, rho = solution[:, :width] * valid, solution[:, width:]
        values = np.zeros(signs.shape)
        np.put_along_axis(values, index, some, 1)
        moved = np.einsum("msr,mr->ms", all_slopes, rho) - sets.schur_times(fit, values) - lag
        inner = np.einsum("mkl,ml->mk", leverage, rho) - np.einsum("mwr,mw->mr", slopes, some)
        self.change[at] = inner - lagging
        in_A = np.where(is_in, -theta, moved)
        self.shift[at] = np.where(active, in_A, np.where(is_in, values, 0.0))
        return moved, values


def held_out_changes(
    sets: ActiveSets, rows: RowMatrices, moved: Array, slopes: Callable[[Array], Array]
) -> Array:
    """Return the changes of the logits of rows in the fits without them, (n_fits·n, r).

    Parameters
    ----------
    sets : ActiveSets
    rows : RowMatrices
        Those of n rows for each fit, one fit after the other.
    moved : ndarray of shape (n_fits, n, size)
        Changes of coordinates in A and of gradients of the others, for an empty S.
    slopes : callable
        Returns the `ProximalSteps.slopes` of the rows at given positions.
    """
    change = np.einsum("mkl,ml->mk", rows.leverage, rows.held_out_residual)
    which = np.flatnonzero(sets.changes(moved))
    if len(which):
        fit, place = np.divmod(which, moved.shape[1])
        steps = ProximalSteps.of(sets, rows, which, fit, slopes(which))
        steps.signs[:] = sets.next_signs(fit, moved[fit, place], None)
        converged = steps.solve(np.arange(len(which)))
        change[which[converged]] = steps.change[converged]
    return np.asarray(change)
