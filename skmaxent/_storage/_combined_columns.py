"""Combinations of standardised columns as the columns of a problem, for its inference.

d is the number of features, and R the number of logits. Below, x̃ are the standardised columns of a
row and a one for the intercept, or a zero without an intercept; they have the length d + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array


@dataclass(frozen=True, eq=False)
class CombinedColumns(Standardisation):
    """Columns q = C x̃ that are combinations of the standardised columns, with conversions.

    Coefficients γ of these columns have the logits γ q = (γ C) x̃. Rows, coefficients and gradients
    are those of q. The class has what the inference after a fit needs. Solvers do not use it, and
    the other methods of `Standardisation` still belong to x̃.

    Attributes
    ----------
    combinations : ndarray of shape (d + 1, d + 1)
        C. Its last row is that of the identity: the last column stays that of the intercept.
    inverse : ndarray of shape (d + 1, d + 1)
        The inverse of C.
    """

    combinations: Array
    inverse: Array

    @classmethod
    def of_columns(
        cls, columns: Standardisation, combinations: Array, inverse: Array
    ) -> CombinedColumns:
        """Return the combinations of the standardised columns `columns`."""
        return cls(
            columns.center,
            columns.scale,
            columns.fit_intercept,
            columns.varying,
            combinations,
            inverse,
        )

    def rows(self, block: Block) -> Array:
        """Return the transposed rows q, float64 (d + 1, rows)."""
        return self.combinations @ super().rows(block)

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients (R, d) and intercepts (R,) of X for γ of shape (R, d + 1)."""
        return super().coefficients(theta @ self.combinations)

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """Return γ, (R, d + 1), for coefficients (R, d) and intercepts (R,) of X."""
        return np.asfortranarray(super().from_coefficients(coef, intercept) @ self.inverse)

    def gradient(self, coef_gradient: Array, logit_gradient: Array, total_weight: float) -> Array:
        """Return the gradient with respect to γ, (R, d + 1), of a mean over rows.

        The arguments are those of `Standardisation.gradient`.
        """
        gradient = super().gradient(coef_gradient, logit_gradient, total_weight)
        return np.asfortranarray(gradient @ self.combinations.T)
