"""Directions of recession: checks of a direction on all rows, and conversions of coordinates.

Let x̃_i be the features of row i followed by a one. A direction D of the coefficients changes the
logits of row i by u = D x̃_i. D is a direction of recession if u_c >= u_k for all rows, every class
c that the row has and every class k, and if u_c > u_k for some row. Then the likelihood
increases along D from any coefficients, and it has no maximum. For sigmoids, each label is a
problem of its own, with u >= 0 for the rows that have the label and u <= 0 for the others.

D separates a pair of a row and a class k if u_c > u_k for the row's own class c. The pair then
gains along D; it loses if u_c < u_k.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skmaxent._existence._cone import Cone
from skmaxent._existence._margins import (
    STRICT_GAIN,
    Pairs,
    RawDirection,
    are_separated,
    gains_of_classes,
    largest_loss_and_gain,
    largest_loss_to_gain,
    largest_relative_margin,
    least_gain,
)
from skmaxent._existence._scaled_rows import ColumnScales, column_scales
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Rounding of a change of logits, relative to the sum of the absolute values of its terms.
ROUNDED_CHANGE = 64.0 * EPS
# Rounding of the scaled coefficients of a direction, relative to that of a change of logits and to
# the largest of these coefficients.
ROUNDED_COEFFICIENT = 1.0 / 16.0
# Problems with more coefficients are only checked for given directions: a search would need
# matrices with a row for each coefficient.
MOST_COEFFICIENTS = 2000


class Directions:
    """Checks and conversions of the directions in a cone, for all logits or for that of one label.

    Directions have the shape (R, n_features + 1), where R is the number of logits, or 1 for one
    label.

    Parameters
    ----------
    objective : MultinomialObjective
    cone : Cone
        The allowed signs of the entries of a direction, in the coordinates of θ.
    label : int, optional
        The position of the label, if the likelihood has several sigmoids; None for all logits.
    scales : callable, optional
        Returns the result of `column_scales`, so that instances for several labels share it.

    Attributes
    ----------
    face : ndarray of shape (R, n_features + 1)
        The sum of the directions of recession found so far. Methods ignore the pairs of a row and
        a class that `face` separates, unless their docstring says that all pairs count.
    index : ndarray of int
        Positions of the coefficients that may change, in a flattened direction. If a column may
        change with either sign for all classes of a softmax, its coefficient of the last class is
        fixed, because only differences of logits matter.
    columns : ndarray of int of shape (n_columns,)
        The columns of a direction, the intercept's included, that have a coefficient in `index`.
    """

    def __init__(
        self,
        objective: MultinomialObjective,
        cone: Cone,
        label: int | None = None,
        *,
        scales: Callable[[], ColumnScales] | None = None,
    ) -> None:
        self.objective = objective
        self.cone = cone if label is None else cone.of_label(label)
        self.label = label
        self.is_coupled = objective.likelihood.is_coupled
        self.face = np.zeros(self.cone.low.shape)
        self.scales = scales or functools.cache(lambda: column_scales(objective))
        may = (self.cone.low < 0.0) | (self.cone.high > 0.0)
        if self.is_coupled:
            may[-1, self._all_free] = False
        self.index = np.flatnonzero(may)
        self.columns = np.flatnonzero(may.any(axis=0))

    @property
    def can_recede(self) -> bool:
        """Whether some direction could be one of recession."""
        return not (self.cone.is_trivial or self.objective.likelihood.smoothing)

    @property
    def is_small(self) -> bool:
        """Whether a matrix with a row and a column for each coefficient is small enough."""
        return len(self.index) <= MOST_COEFFICIENTS

    @property
    def _all_free(self) -> NDArray[np.bool_]:
        """Mask (n_features + 1,) of columns that may change with either sign for all classes."""
        return np.asarray(((self.cone.low < 0.0) & (self.cone.high > 0.0)).all(axis=0))

    def rows_of_label(self, D: Array) -> Array:
        """Return the row of D for `label`, of shape (1, n_features + 1), or D if that is None.

        D has a row for each logit of the objective.
        """
        return D if self.label is None else D[[self.label]]

    # Arguments of the kernels, which `map_reduce` applies to blocks of rows:

    def raw(self, D: Array) -> RawDirection:
        """Return the direction D in the units of X instead of standardised columns."""
        return RawDirection.of(self.objective, D)

    def pairs(self) -> Pairs:
        """Return the pairs of a row and a class that the face does not separate."""
        return Pairs(self.objective.likelihood, self.label, self.raw(self.face))

    def all_pairs(self) -> Pairs:
        """Return all pairs of a row and a class."""
        nothing = self.raw(np.zeros_like(self.face))
        return Pairs(self.objective.likelihood, self.label, nothing)

    # Checks of a direction on all rows:

    def is_proof(self, D: Array) -> bool:
        """Return whether D is a direction of recession, up to the rounding of its logits.

        No row's own class may lose against another class by more than the rounding of its logits
        and of the coefficients, and some row must gain far more than that. If no logits change
        along D, as for collinear columns, D proves nothing.
        """
        worst, best = self.objective.blocks.map_reduce(
            largest_loss_and_gain,
            self.pairs(),
            self.raw(D),
            self._coefficient_errors(D),
            combine=np.maximum,
        )
        return bool(worst <= ROUNDED_CHANGE and best > STRICT_GAIN)

    def _coefficient_errors(self, D: Array) -> RawDirection:
        """Return sizes to which the rounding errors of the coefficients of D are proportional.

        The errors of all scaled coefficients other than zero are proportional to the largest one,
        because equations between them, such as those of ties, determine the coefficients.
        """
        center, scale = self.scales()
        x = self.embed(self.scaled(D))
        sizes = ROUNDED_COEFFICIENT * np.abs(x).max() * x.any(axis=0) / scale
        intercept = np.atleast_1d(sizes[-1] + sizes[:-1] @ np.abs(center))
        return RawDirection(sizes[None, :-1], intercept, intercept)

    def is_complete(self, D: Array) -> bool:
        """Return whether D ranks every row's own class strictly first, among all pairs."""
        least, worst = self.objective.blocks.map_reduce(
            least_gain, self.all_pairs(), self.raw(D), combine=np.minimum
        )
        return bool(least > STRICT_GAIN and worst >= 0.0)

    def is_null(self, D: Array) -> bool:
        """Return whether no difference of logits changes along D."""
        (change,) = self.objective.blocks.map_reduce(
            largest_relative_margin, self.pairs(), self.raw(D), combine=np.maximum
        )
        return bool(change <= STRICT_GAIN)

    def winners(self, D: Array) -> list[int]:
        """Return positions of the classes with rows that D separates from another class.

        All pairs count. If `label` is not None, the result is its position.
        """
        if self.label is not None:
            return [self.label]
        (gains,) = self.objective.blocks.map_reduce(
            gains_of_classes, self.all_pairs(), self.raw(D), combine=np.maximum
        )
        return [int(k) for k in np.flatnonzero(np.atleast_1d(gains) > STRICT_GAIN)]

    def separated_rows(self) -> Array:
        """Return a mask (n_samples,) of the rows that `face` separates from some class."""
        blocks = self.objective.blocks
        rows = blocks.where(are_separated, self.pairs(), at_most=blocks.n_samples)
        out = np.zeros(blocks.n_samples, dtype=bool)
        out[rows] = True
        return out

    def sum_keeping_gains(self, D: Array, more: Array) -> Array:
        """Return a multiple of D plus the direction `more`, (R, n_features + 1).

        Pairs that gain along D also gain along the result: the multiple is large enough to outweigh
        what they lose along `more`. The sum is divided by its largest absolute entry.
        """
        (ratio,) = self.objective.blocks.map_reduce(
            largest_loss_to_gain,
            self.all_pairs(),
            self.raw(D),
            self.raw(more),
            combine=np.maximum,
        )
        joined = (1.0 + 2.0 * max(float(ratio), 0.0)) * D + more
        return np.asarray(joined / np.abs(joined).max())

    # Conversions. Scaled coefficients belong to columns centred and scaled by `column_scales`:

    def embed(self, x: Array) -> Array:
        """Return an array (R, n_features + 1) with the vector x at `index` and zeros elsewhere."""
        D = np.zeros(self.cone.low.size)
        D[self.index] = x
        return D.reshape(self.cone.low.shape)

    def submatrix(self, H: Array) -> Array:
        """Return the rows and columns at `index` of a matrix H for all coefficients of `columns`.

        H has the shape (R n_columns, R n_columns), the result (len(index), len(index)).
        """
        k, j = np.divmod(self.index, self.cone.low.shape[1])
        at = k * len(self.columns) + np.searchsorted(self.columns, j)
        return H[np.ix_(at, at)]

    def from_scaled(self, x: Array) -> Array:
        """Return a direction in the coordinates of θ, (R, n_features + 1).

        x are all scaled coefficients of the direction, flattened.
        """
        center, scale = self.scales()
        objective = self.objective
        d = x.reshape(self.cone.low.shape) / scale
        D = np.empty_like(d)
        D[:, :-1] = d[:, :-1] * objective.scale
        D[:, -1] = d[:, -1] + d[:, :-1] @ (objective.center - center)
        return D

    def unscaled(self, x: Array) -> Array:
        """Return a direction in the coordinates of θ from the scaled coefficients x at `index`."""
        return self.from_scaled(self.embed(x).ravel())

    def scaled_weights(self, weights: Array) -> Array:
        """Return the weights at `index` of the scaled coefficients in a linear function.

        `weights`, (R, n_features + 1), are the weights of the coefficients θ in the function.
        """
        center, scale = self.scales()
        out = np.array(weights, dtype=float)
        out[:, :-1] *= self.objective.scale
        out[:, :-1] += weights[:, -1:] * (self.objective.center - center)
        return (out / scale).ravel()[self.index]

    def scaled(self, D: Array) -> Array:
        """Return the scaled coefficients at `index` of a direction D; the inverse of `unscaled`."""
        center, scale = self.scales()
        objective = self.objective
        d = np.empty_like(D)
        d[:, :-1] = D[:, :-1] / objective.scale
        d[:, -1] = D[:, -1] - d[:, :-1] @ (objective.center - center)
        d *= np.where(np.isfinite(scale), scale, 0.0)
        if self.is_coupled:
            d -= np.where(self._all_free, d[-1], 0.0)
        return d.ravel()[self.index]
