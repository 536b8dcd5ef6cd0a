"""The group lasso with a ridge: all coefficients of a feature are zero, or none is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._objective._penalty import (
    Tangent,
    column_norms,
    finite_or_infinity,
    largest_scaling,
    soft_threshold_columns,
)
from skmaxent._typing import Array


@dataclass(frozen=True)
class Grouped:
    """The penalty Σ_j l1_j ‖w_·j‖ + ridge_j/2 ‖w_·j - target_·j‖².

    The coefficients of a feature form a group, which is zero as a whole or not at all. The methods
    are those of the interface `Penalty`; W has R rows and `width` columns.

    Attributes
    ----------
    l1, ridge : ndarray of shape (1, width)
        Strengths of the two penalties.
    target : ndarray of shape (1 or R, width)
        Coefficients at which the ridge penalty is zero.
    is_coupled : bool
        Whether the loss stays the same if all coefficients of a column change by one number.
    """

    l1: Array
    ridge: Array
    target: Array
    is_coupled: bool = True

    @property
    def unbounded_signs(self) -> tuple[Array, Array]:
        """See `Penalty`: -1 where entries may go to -∞ at no cost, and 1 where they may go to ∞."""
        free = ((self.l1 == 0.0) & (self.ridge == 0.0)).astype(float)
        return -free, free

    def value(self, W: Array) -> float:
        """Return the penalty of W (R, width)."""
        ridge = 0.5 * np.sum(self.ridge * np.square(W - self.target))
        return float(column_norms(W) @ self.l1[0] + ridge)

    def prox(self, V: Array, step: Array) -> Array:
        """Return the proximal point of V (R, width) for steps that broadcast to V."""
        V = V + step * self.ridge * self.target
        return soft_threshold_columns(V, step * self.l1) / (1.0 + step * self.ridge)

    def minimum_norm_subgradient(self, W: Array, G: Array) -> Array:
        """Return the shortest element of G + ∂penalty(W); all have the shape (R, width)."""
        smooth = G + self.ridge * (W - self.target)
        norms = column_norms(W)
        at_zero = norms == 0.0
        unit = W / np.where(at_zero, 1.0, norms)
        return np.where(at_zero, soft_threshold_columns(smooth, self.l1), smooth + self.l1 * unit)

    def zero_sum_subgradient(self, W: Array, G: Array) -> Array:
        """Return the shortest element G + s of G + ∂penalty(W) whose columns sum to zero.

        At a group of zeros, s is the ridge's gradient plus any vector with a norm of at most l1. It
        can make the sum zero if √R times the mean of G plus the ridge's gradient is at most l1.
        Other columns get their shortest element, whose sum may differ from zero.
        """
        smooth = G + self.ridge * (W - self.target)
        mean = smooth.mean(axis=0)
        left = self.l1[0] ** 2 - len(W) * mean**2
        balanced = soft_threshold_columns(smooth - mean, np.sqrt(np.maximum(left, 0.0)))
        at_zero = (column_norms(W) == 0.0) & (left >= 0.0)
        return np.where(at_zero, balanced, self.minimum_norm_subgradient(W, G))

    def subgradient_sums(self, W: Array) -> Array:
        """Return, for each column, the sum that `zero_sum_subgradient` leaves, (width,)."""
        ridge_sums = (self.ridge * (W - self.target)).sum(axis=0)
        norms = column_norms(W)
        unit_sums = W.sum(axis=0) / np.where(norms > 0.0, norms, 1.0)
        # At a group of zeros, a subgradient that is not balanced is shorter than the ridge's.
        is_balanced = (norms == 0.0) & (np.abs(ridge_sums) <= np.sqrt(len(W)) * self.l1[0])
        return np.where(is_balanced, 0.0, ridge_sums + self.l1[0] * unit_sums)

    def tangent(self, W: Array) -> Tangent:
        """Return the manifold of W on which the penalty is smooth, with its derivatives."""
        norms = column_norms(W)
        some = (norms > 0.0) | (self.l1[0] == 0.0)
        safe = np.where(norms > 0.0, norms, 1.0)
        unit = W / safe
        gradient = self.l1 * unit + self.ridge * (W - self.target)
        free = np.broadcast_to(some, W.shape)
        group_curvature = np.where(some, self.l1[0] / safe, 0.0)
        return Tangent(free, gradient, self.ridge, group_curvature, unit, self.is_coupled)

    def retract(self, W: Array, onto: Array) -> Array:
        """Return W with coefficients that left the manifold of `onto` moved back to it."""
        # A group that turned by more than a right angle is taken to have passed through zero.
        turned = (np.einsum("kj,kj->j", W, onto) <= 0.0) & (self.l1[0] > 0.0)
        return np.where(turned, 0.0, W)

    def largest_feasible_step(self, W: Array, step: Array) -> float:
        """Return 0, which means that the largest step on the manifold of W is not known."""
        # A straight step of a group misses zero, so it does not show where the group becomes zero.
        return 0.0

    def project(self, W: Array) -> Array:
        """Return W: there are no bounds to project onto."""
        return W

    def recentre(self, W: Array) -> Array:
        """Return W with each column shifted by a number so that the penalty is least."""
        # With a target the best shift has no closed form, and W stays as it is.
        if not self.is_coupled or self.target.any():
            return W
        return np.asarray(W - W.mean(axis=0))

    def conjugate(self, V: Array) -> float:
        """Return the convex conjugate sup_W ⟨V, W⟩ - penalty(W)."""
        shortened = soft_threshold_columns(V + self.ridge * self.target, self.l1)
        with np.errstate(divide="ignore", invalid="ignore"):
            W = shortened / self.ridge
        W = np.where(np.isnan(W), 0.0, W)
        if not np.isfinite(W).all():
            return np.inf
        return finite_or_infinity(float(np.vdot(V, W)) - self.value(W))

    def dual_scaling(self, V: Array) -> float:
        """Return the largest s <= 1 for which the conjugate of s V is finite."""
        return largest_scaling(np.where(self.ridge[0] == 0.0, column_norms(V), 0.0), self.l1[0])

    def columns(self, index: Array) -> Grouped:
        """Return the penalty of the columns at positions `index`."""
        arrays = (self.l1, self.ridge, self.target)
        l1, ridge, target = (array[:, index] for array in arrays)
        return Grouped(l1, ridge, target, self.is_coupled)
