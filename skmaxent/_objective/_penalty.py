"""The ridge, and the interface of nonsmooth penalties; the intercept has no penalty.

`PenaltyTerms` holds the penalty and the bounds that the user asked for. From these terms, one of
three penalties is made for a solver:

- `Ridge` is smooth and has one strength for each column.
- `Elementwise` is an L1 penalty, a ridge and bounds, for each coefficient on its own.
- `Grouped` is an L2 norm of each column (group lasso) and a ridge.

`Elementwise` and `Grouped`, in modules of their own, are not smooth. They share the interface
`Penalty`, which solvers use.

Conventions
-----------
Coefficients W and gradients G are arrays (R, width), with a row for each logit, and a column for
each feature and for the intercept. An array of shape (1, width) stands for R equal rows.
∂penalty(W) is the set of subgradients of the penalty at W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skmaxent._typing import Array

# The largest strength of a penalty. It makes a coefficient zero for practical purposes, and its
# square does not overflow.
STRONGEST = 1e100
# Relative excess of the length of a step to a bound, which then reaches it in spite of rounding.
STEP_MARGIN = 1e-14


class Ridge:
    """The penalty Σ_j strength_j/2 · ‖w_·j‖².

    Parameters
    ----------
    strength : ndarray of shape (n_features,)
        The strength for each column; zero leaves a column unpenalised.

    Attributes
    ----------
    is_zero : bool
        Whether no column is penalised.
    """

    def __init__(self, strength: Array) -> None:
        self.strength = strength
        self.is_zero = not strength.any()

    def value(self, coef: Array) -> float:
        """Return the penalty of coefficients (R, n_features)."""
        return float(0.5 * np.einsum("kj,kj->j", coef, coef) @ self.strength)

    def gradient(self, coef: Array) -> Array:
        """Return the gradient (R, n_features) at coefficients `coef` of this shape."""
        return np.asarray(coef * self.strength)

    hessian_product = gradient  # the gradient is linear in the coefficients

    @property
    def is_strict(self) -> bool:
        """Whether every coefficient is penalised, so that the penalty is strictly convex."""
        return bool(np.all(self.strength > 0))

    def conjugate(self, V: Array) -> float:
        """Return the convex conjugate sup_W ⟨V, W⟩ - penalty(W) for V (R, n_features)."""
        squares = np.einsum("kj,kj->j", V, V)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(0.5 * np.sum(np.where(squares > 0.0, squares / self.strength, 0.0)))

    def dual_scaling(self, V: Array) -> float:
        """Return the dual scaling, the largest s <= 1 for which the conjugate of s V is finite.

        It is 1, or 0 if an unpenalised column of V (R, n_features) is not zero.
        """
        return float(not V[:, self.strength == 0.0].any())


@dataclass(frozen=True)
class Tangent:
    """The manifold of points near W on which a penalty is smooth, and its derivatives at W.

    On the manifold, coefficients that are zero because of an L1 penalty, or that are at a bound,
    stay where they are; the others vary.

    Attributes
    ----------
    free : boolean ndarray of shape (R, width)
        Which coefficients vary on the manifold.
    gradient : ndarray of shape (R, width)
        The gradient of the penalty along the manifold.
    diagonal : ndarray of shape (1 or R, width)
        The second derivatives of the ridge.
    group_curvature : ndarray of shape (width,), optional
        The curvature of groups: column j adds group_curvature_j (I - u_j u_jᵀ), where u_j is
        unit[:, j].
    unit : ndarray of shape (R, width), optional
        The columns of W divided by their norms.
    is_coupled : bool
        Whether the loss stays the same if all coefficients of a column change by one number.
    """

    free: NDArray[np.bool_]
    gradient: Array
    diagonal: Array
    group_curvature: Array | None = None
    unit: Array | None = None
    is_coupled: bool = True

    def curvature(self, V: Array) -> Array:
        """Return the second derivative times directions V (..., R, width) within the manifold."""
        out = V * self.diagonal
        if self.group_curvature is not None and self.unit is not None:
            along = np.einsum("kj,...kj->...j", self.unit, V)[..., None, :]
            out += self.group_curvature * (V - self.unit * along)
        return np.asarray(out)


class ProximalPenalty(Protocol):
    """What proximal Newton needs of a nonsmooth penalty, which is infinite outside its bounds.

    W, V, G, steps and results without a given shape have the shape (R, width), for R logits.
    """

    @property
    def unbounded_signs(self) -> tuple[Array, Array]:
        """The signs with which a coefficient may go to infinity at no cost.

        Two arrays (1 or R, width). The first is -1 where the coefficient is unpenalised and has no
        lower bound, else 0. The second is 1 where it is unpenalised and has no upper bound, else 0.
        """

    def value(self, W: Array) -> float:
        """Return the penalty of W within the bounds."""

    def prox(self, V: Array, step: Array) -> Array:
        """Return the proximal point argmin_W Σ (w - v)²/(2 step) + penalty(W).

        `step` is positive and broadcasts to (R, width), with equal rows.
        """

    def minimum_norm_subgradient(self, W: Array, G: Array) -> Array:
        """Return the minimum-norm subgradient, the shortest element of G + ∂penalty(W).

        G is the gradient of the loss. The result is zero if and only if W is optimal.
        """

    def tangent(self, W: Array) -> Tangent:
        """Return the manifold of W on which the penalty is smooth."""

    def retract(self, W: Array, onto: Array) -> Array:
        """Return W with coefficients that left the manifold of `onto` moved back to its boundary.

        A coefficient or group that changed its sign, where that is not smooth, becomes zero.
        """

    def largest_feasible_step(self, W: Array, step: Array) -> float:
        """Return the largest t <= 1 for which W + t step is on the manifold of W; 0 if unknown."""

    def project(self, W: Array) -> Array:
        """Return the projection of W onto the bounds."""

    def recentre(self, W: Array) -> Array:
        """Return W with a number subtracted from each column so that the penalty is least.

        If logits are coupled, these numbers do not change the loss, so the penalty alone determines
        them. If they are not coupled, W stays unchanged.
        """

    def columns(self, index: Array) -> ProximalPenalty:
        """Return the penalty of the columns at positions `index`."""


class Penalty(ProximalPenalty, Protocol):
    """What the certificate needs of a penalty, besides what proximal Newton needs."""

    @property
    def l1(self) -> Array:
        """Strengths of the L1 part, (1 or R, width)."""

    @property
    def ridge(self) -> Array:
        """Strengths of the ridge part, (1 or R, width)."""

    @property
    def target(self) -> Array:
        """Coefficients at which the ridge part is zero, (1 or R, width)."""

    def zero_sum_subgradient(self, W: Array, G: Array) -> Array:
        """Return the shortest element of G + ∂penalty(W) whose columns sum to zero.

        A dual point of a coupled likelihood needs these sums. For columns in which no element has
        the sum zero, the result is an element with another sum.
        """

    def subgradient_sums(self, W: Array) -> Array:
        """Return the column sums of `zero_sum_subgradient(W, G)`, or larger ones, shape (width,).

        The columns of G must sum to zero. The sums then depend on the penalty alone, so this method
        computes them without the rounding errors of G. "Larger" means in absolute value.
        """

    def conjugate(self, V: Array) -> float:
        """Return the convex conjugate sup_W ⟨V, W⟩ - penalty(W), which may be infinite."""

    def dual_scaling(self, V: Array) -> float:
        """Return the dual scaling, the largest s <= 1 for which the conjugate of s V is finite."""

    def columns(self, index: Array) -> Penalty:
        """Return the penalty of the columns at positions `index`."""


def finite_or_infinity(value: float) -> float:
    """Return a supremum, or +infinity if its computation overflowed or gave NaN.

    The certificate stays valid with a supremum that is too large, and not with one too small.
    """
    return value if np.isfinite(value) else np.inf


def largest_scaling(sizes: Array, limits: Array) -> float:
    """Return the largest s <= 1 with s · sizes <= limits for all entries of two arrays.

    An s below 1 is reduced by the share STEP_MARGIN, so that the inequality survives rounding.
    """
    over = sizes > limits
    if not over.any():
        return 1.0
    limits = np.broadcast_to(limits, sizes.shape)
    return float((limits[over] / sizes[over]).min() * (1.0 - STEP_MARGIN))


def soft_threshold(V: Array, threshold: Array) -> Array:
    """Return sign(v) max(|v| - threshold, 0) for each entry v."""
    return np.asarray(V - np.clip(V, -threshold, threshold))


def column_norms(W: Array) -> Array:
    """Return the Euclidean norms of the columns, shape (width,)."""
    return np.asarray(np.sqrt(np.einsum("kj,kj->j", W, W)))


def soft_threshold_columns(V: Array, threshold: Array) -> Array:
    """Return v max(1 - threshold/‖v‖, 0) for each column v, which reduces its norm by `threshold`.

    `threshold` is a number or has an entry for each column.
    """
    norms = column_norms(V)
    factor = np.maximum(1.0 - threshold / np.where(norms > 0.0, norms, 1.0), 0.0)
    return np.asarray(V * factor)
