"""The penalty and the bounds that users ask for, as arrays from which a solver's penalty is made.

R is the number of logits, and w_kj the coefficient of logit k and feature j.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._group_penalty import Grouped
from skmaxent._objective._penalty import (
    STRONGEST,
    Penalty,
    Ridge,
    column_norms,
    soft_threshold,
    soft_threshold_columns,
)
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# The largest strengths, bounds and targets of scaled coefficients, whose sums do not overflow.
LARGEST_TERM = 1e300
# A coefficient whose distance from a bound is this share of its size was equal to the bound before
# both were converted to the units of X, which takes a few roundings.
# Such a distance from the coefficient with the least penalty is rounding too.
SNAP_TOLERANCE = 8.0 * EPS
# The derivative of the loss by a coefficient of a standardised column is at most one. Beside slopes
# of the penalty above this, it moves the coefficient by less than rounding does.
DECISIVE_SLOPE = 1e16


@dataclass(frozen=True)
class PenaltyTerms:
    """A penalty and bounds, with methods that scale them and make the penalty of a solver.

    The penalty is Σ_kj l1_kj |w_kj| + ridge_kj/2 (w_kj - target_kj)². If `grouped`, the first term
    is Σ_j l1_j ‖w_·j‖. The coefficients obey lower <= w <= upper. An array of one row stands for R
    equal rows.

    Attributes
    ----------
    l1, ridge : ndarray of shape (R, n_features) or (1, n_features)
        Strengths.
    target : ndarray of shape (R, n_features) or (1, n_features), or None
        The coefficients to shrink towards; None stands for zero.
    lower, upper : ndarray of shape (R, n_features) or (1, n_features), or None
        Bounds; None stands for no bounds. With `grouped`, the only bounds are pairs of zeros, which
        remove a group.
    grouped : bool
        Whether the coefficients of a feature are a group, which becomes zero as a whole.
    is_coupled : bool
        Whether the loss stays the same if all coefficients of a column change by one number.
    """

    l1: Array
    ridge: Array
    target: Array | None = None
    lower: Array | None = None
    upper: Array | None = None
    grouped: bool = False
    is_coupled: bool = True

    def times(self, strength: float) -> PenaltyTerms:
        """Return the terms with strengths multiplied by a number, up to STRONGEST.

        With a target, the strengths of a coefficient are reduced together: their ratio determines
        the coefficient with the least penalty.
        """
        if strength == 0.0:  # infinite strengths of columns of tiny numbers count no more
            return replace(self, l1=np.zeros_like(self.l1), ridge=np.zeros_like(self.ridge))
        if self.target is None:
            l1, ridge = (np.minimum(w * strength, STRONGEST) for w in (self.l1, self.ridge))
            return replace(self, l1=l1, ridge=ridge)
        with np.errstate(divide="ignore"):
            factor = np.minimum(strength, STRONGEST / (self.l1 + self.ridge))
        return replace(self, l1=self.l1 * factor, ridge=self.ridge * factor)

    def with_fixed_coefficients(self) -> PenaltyTerms:
        """Return terms in which bounds fix the coefficients that the penalty alone determines.

        `self` has the penalty of standardised columns. The loss does not move these coefficients by
        more than rounding does. Their penalty in the result is zero where they are fixed, because
        its rounding errors would hide the loss. Groups, and terms without a target, are returned
        as they are.
        """
        if self.target is None or self.grouped:
            return self
        free = soft_threshold(self.target, self._threshold)
        least = self._within_bounds(free)
        moves = np.maximum(np.abs(free), np.abs(least - free))
        slope = np.maximum(self.ridge * moves, self.l1 - self.ridge * np.abs(self.target))
        fixed = slope > DECISIVE_SLOPE
        if not fixed.any():
            return self
        lower, upper = (
            np.where(fixed, least, default if bound is None else bound)
            for bound, default in ((self.lower, -np.inf), (self.upper, np.inf))
        )
        l1, target = np.where(fixed, 0.0, self.l1), np.where(fixed, least, self.target)
        return replace(self, l1=l1, target=target, lower=lower, upper=upper)

    def for_standardised(self, deviations: Array) -> PenaltyTerms:
        """Return the terms of w_kj, if `self` has the penalty of standardised columns.

        The coefficients of standardised columns are w_kj σ_j, where `deviations` (n_features,) are
        the standard deviations σ_j. Bounds and targets already belong to w_kj and do not change.
        """
        l1, ridge = self._limited(self.l1 * deviations, self.ridge * deviations**2, deviations)
        return replace(self, l1=l1, ridge=ridge)

    def _limited(self, l1: Array, ridge: Array, factor: Array) -> tuple[Array, Array]:
        """Return scaled strengths, at most LARGEST_TERM.

        `l1` and `ridge` are the terms' own times `factor` (n_features,) and its square, which may
        have overflowed. With a target, the strengths of a coefficient are reduced together, as in
        `times`.
        """
        beyond = np.maximum(l1, ridge) > LARGEST_TERM
        if not beyond.any():
            return l1, ridge
        if self.target is not None:
            # The larger strength before is one here, so that nothing overflows.
            before = np.where(beyond, np.maximum(self.l1, self.ridge), 1.0)
            of_l1, of_ridge = self.l1 / before, self.ridge / before * factor
            largest = np.where(beyond, np.maximum(of_l1, of_ridge), 1.0)
            l1 = np.where(beyond, of_l1 / largest * LARGEST_TERM, l1)
            ridge = np.where(beyond, of_ridge / largest * LARGEST_TERM, ridge)
        return np.minimum(l1, LARGEST_TERM), np.minimum(ridge, LARGEST_TERM)

    def without_penalty(self, held: Array) -> PenaltyTerms:
        """Return terms without a penalty in which some coefficients are fixed.

        `held` is a mask (1 or R, n_features) of coefficients that are fixed at zero, or at the
        bound that is nearest to zero. Other coefficients keep their bounds. The result is not
        grouped, because groups belong to the L1 penalty.
        """
        l1, ridge = np.zeros_like(self.l1), np.zeros_like(self.ridge)
        terms = replace(self, l1=l1, ridge=ridge, target=None, grouped=False)
        if not held.any():
            return terms
        shape = np.broadcast_shapes(held.shape, self.l1.shape)
        least = self.nearest_to_zero
        lower, upper = (
            np.where(held, least, np.full(shape, default) if bound is None else bound)
            for bound, default in ((self.lower, -np.inf), (self.upper, np.inf))
        )
        return replace(terms, lower=lower, upper=upper)

    @property
    def nearest_to_zero(self) -> Array:
        """Return the values within the bounds that are nearest to zero, (1 or R, n_features)."""
        return self._within_bounds(np.zeros_like(self.l1))

    def from_target(self, coef: Array) -> Array:
        """Return coefficients (..., R, n_features) minus the target of the ridge."""
        return coef if self.target is None else np.asarray(coef - self.target)

    def dual_norm(self, gradient: Array) -> Array:
        """Return the dual norms of a gradient, (R, n_features), or (1, n_features) for groups.

        Coefficients are zero at the optimum if l1 is at least the dual norm of the gradient there.
        """
        return column_norms(gradient)[None] if self.grouped else np.abs(gradient)

    def scaled(self, scale: Array) -> PenaltyTerms:
        """Return the terms of the coefficients of columns divided by `scale` (n_features,).

        Strengths, finite bounds and targets that would overflow become LARGEST_TERM.
        """

        def times(bound: Array | None) -> Array | None:
            return None if bound is None else limited(bound, bound * scale)

        l1, ridge = self._limited(self.l1 / scale, self.ridge / scale**2, 1.0 / scale)
        return replace(
            self,
            l1=l1,
            ridge=ridge,
            target=times(self.target),
            lower=times(self.lower),
            upper=times(self.upper),
        )

    @property
    def is_plain_ridge(self) -> bool:
        """Whether the terms are only a ridge towards zero, with one strength for each column.

        `MultinomialObjective` contains such a penalty. Other terms are added by the solvers.
        """
        return (
            not self.l1.any()
            and len(self.ridge) == 1
            and self.target is None
            and self.lower is None
            and self.upper is None
        )

    def rows(self, index: Array) -> PenaltyTerms:
        """Return the terms of the logits at positions `index`."""
        return self._map_arrays(lambda array: array if len(array) == 1 else array[index])

    def columns(self, index: Array) -> PenaltyTerms:
        """Return the terms of the columns at positions `index`."""
        return self._map_arrays(lambda array: array[:, index])

    def _map_arrays(self, change: Callable[[Array], Array]) -> PenaltyTerms:
        """Return the terms with `change` applied to each array."""
        names = ("l1", "ridge", "target", "lower", "upper")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in names}
        arrays = {name: None if a is None else change(a) for name, a in arrays.items()}
        return replace(self, **arrays)

    @property
    def has_nonzero_minimum(self) -> bool:
        """Whether the least penalty within the bounds may be at coefficients other than zero."""
        return self.target is not None or self.lower is not None or self.upper is not None

    def at_least_penalty(self, n_logits: int) -> Array:
        """Return the coefficients within the bounds with the least penalty, (n_logits, n_features).

        These are the optimal coefficients of columns on which the loss does not depend.
        """
        if self.target is None:
            coef = self._within_bounds(np.zeros((1, self.l1.shape[1])))
        elif self.grouped:
            coef = soft_threshold_columns(self.target, self._threshold[0])
        else:
            coef = self._within_bounds(soft_threshold(self.target, self._threshold))
        return np.broadcast_to(coef, (n_logits, coef.shape[1]))

    @property
    def _threshold(self) -> Array:
        """Return l1/ridge, infinite without a ridge, (1 or R, n_features)."""
        none = np.full(self.l1.shape, np.inf)
        return np.divide(self.l1, self.ridge, out=none, where=self.ridge > 0.0)

    def _within_bounds(self, coef: Array) -> Array:
        """Return coefficients (1 or R, n_features) moved to the nearest value within the bounds."""
        coef = coef if self.lower is None else np.maximum(coef, self.lower)
        return coef if self.upper is None else np.minimum(coef, self.upper)

    def snapped(self, coef: Array) -> Array:
        """Return coefficients (R, n_features) without the rounding of their conversion.

        Rounding moved coefficients off a bound, or off the coefficient with the least penalty, by a
        few units in the last place, to either side. Such coefficients are moved back.
        """
        for bound in (self.lower, self.upper):
            if bound is not None:
                near = np.abs(coef - bound) <= SNAP_TOLERANCE * np.abs(coef)
                coef = np.where(near, bound, coef)
        if self.target is not None:
            least, size = self.at_least_penalty(len(coef)), np.abs(coef)
            if self.grouped:
                size = size.max(axis=0)
            coef = np.where(np.abs(coef - least) <= SNAP_TOLERANCE * size, least, coef)
        return coef

    def objective_penalty(self) -> Ridge:
        """Return the penalty that `MultinomialObjective` contains.

        It is the ridge if the terms are a plain ridge. Otherwise it is zero: the objective is the
        loss alone, and the solver adds `whole_penalty`.
        """
        return Ridge(self.ridge[0] if self.is_plain_ridge else np.zeros(self.ridge.shape[1]))

    def whole_penalty(self) -> Penalty:
        """Return all terms and bounds as the penalty of arrays (R, n_features + 1).

        The penalty of the last column, the intercepts, is zero.
        """
        return self._whole_penalty

    @cached_property
    def _whole_penalty(self) -> Penalty:
        def widened(array: Array | None, default: float) -> Array:
            """Return the array with a column of `default` for the intercepts."""
            n_rows, width = self.l1[:1].shape if array is None else array.shape
            out = np.full((n_rows, width + 1), default)
            if array is not None:
                out[:, :-1] = array
            return out

        terms = (widened(self.l1, 0.0), widened(self.ridge, 0.0), widened(self.target, 0.0))
        if self.grouped:
            # `Grouped` has no bounds: the strongest penalty keeps removed features at zero.
            if self.lower is not None and self.upper is not None:
                removed = (self.lower == 0.0) & (self.upper == 0.0)
                terms[0][:, :-1][removed] = STRONGEST
            return Grouped(*terms, self.is_coupled)
        lower, upper = widened(self.lower, -np.inf), widened(self.upper, np.inf)
        return Elementwise(*terms, lower, upper, self.is_coupled)


def limited(values: Array, scaled: Array) -> Array:
    """Return scaled bounds or targets, with LARGEST_TERM for finite `values` that overflowed."""
    return np.where(np.isinf(values), values, scaled.clip(-LARGEST_TERM, LARGEST_TERM))


def ridge_terms(strength: Array) -> PenaltyTerms:
    """Return the terms of a ridge with the given strength for each column, (n_features,)."""
    return PenaltyTerms(np.zeros((1, len(strength))), strength[None])
