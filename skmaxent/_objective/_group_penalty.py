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

    The coefficients w_·j of a feature form a group, which becomes zero as a whole. The methods are
    those of the interface `Penalty`. Coefficients W and gradients have the shape (R, width), with
    one row per logit; in a fit, the last column has the intercepts.

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
        """Two arrays (1, width): -1 and 1 for columns without a penalty, 0 for the others."""
        free = ((self.l1 == 0.0) & (self.ridge == 0.0)).astype(float)
        return -free, free

    @property
    def leaves_shifts(self) -> Array:
        """Whether one number may be added to all coefficients of a column at no cost, (width,)."""
        return np.asarray((self.l1[0] == 0.0) & (self.ridge[0] == 0.0) & self.is_coupled)

    def value(self, W: Array) -> float:
        """Return the penalty of W (R, width)."""
        ridge = 0.5 * np.sum(self.ridge * np.square(W - self.target))
        return float(column_norms(W) @ self.l1[0] + ridge)

    def prox(self, V: Array, step: Array) -> Array:
        """Return the proximal point argmin_W Σ (w - v)²/(2 step) + penalty(W) of V (R, width)."""
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
        """Return the shortest element of G + ∂penalty(W) whose columns sum to zero, (R, width).

        At a group of zeros, ∂penalty contains the gradient of the ridge plus any vector with a norm
        of at most l1. The column of G + ∂penalty(W) can sum to zero if √R |m| <= l1, where m is the
        mean of the column of G plus the gradient of the ridge. Other columns get their shortest
        element, whose sum may differ from zero.
        """
        smooth = G + self.ridge * (W - self.target)
        mean = smooth.mean(axis=0)
        # Subtracting the mean uses up a part of the norm l1; this is the square of the remainder.
        squared_rest = self.l1[0] ** 2 - len(W) * mean**2
        balanced = soft_threshold_columns(smooth - mean, np.sqrt(np.maximum(squared_rest, 0.0)))
        at_zero = (column_norms(W) == 0.0) & (squared_rest >= 0.0)
        return np.where(at_zero, balanced, self.minimum_norm_subgradient(W, G))

    def subgradient_sums(self, W: Array) -> Array:
        """Return the column sums of `zero_sum_subgradient(W, G)`, (width,), or larger ones.

        The columns of G must sum to zero; the sums then do not depend on G.
        """
        ridge_sums = (self.ridge * (W - self.target)).sum(axis=0)
        norms = column_norms(W)
        unit_sums = W.sum(axis=0) / np.where(norms > 0.0, norms, 1.0)
        # At other groups of zeros, the sum of the ridge's gradient is an upper bound.
        is_balanced = (norms == 0.0) & (np.abs(ridge_sums) <= np.sqrt(len(W)) * self.l1[0])
        return np.where(is_balanced, 0.0, ridge_sums + self.l1[0] * unit_sums)

    def tangent(self, W: Array) -> Tangent:
        """Return the manifold of W on which the penalty is smooth, with its derivatives."""
        norms = column_norms(W)
        is_free = (norms > 0.0) | (self.l1[0] == 0.0)
        divisor = np.where(norms > 0.0, norms, 1.0)
        unit = W / divisor
        gradient = self.l1 * unit + self.ridge * (W - self.target)
        free = np.broadcast_to(is_free, W.shape)
        group_curvature = np.where(is_free, self.l1[0] / divisor, 0.0)
        return Tangent(free, gradient, self.ridge, group_curvature, unit, self.is_coupled)

    def retract(self, W: Array, onto: Array) -> Array:
        """Return W with zeros for groups that passed through zero on the way from `onto`."""
        # A group that turned by a right angle or more is taken to have passed through zero.
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
        """Return W minus, in each column, the number c that minimises the penalty of W - c."""
        if not self.is_coupled:  # c would change the loss
            return W
        # With a target, c has no closed form; columns without penalty, such as that of the
        # intercepts, are centred nevertheless, because otherwise they could grow together.
        has_target = self.target.any() & ((self.l1 > 0.0) | (self.ridge > 0.0))
        return np.asarray(W - np.where(has_target, 0.0, W.mean(axis=0)))

    def conjugate(self, V: Array) -> float:
        """Return the convex conjugate sup_W ⟨V, W⟩ - penalty(W) for V (R, width)."""
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
