"""Penalties on the coefficients; the intercept is never penalised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Ridge:
    """r(W) = Σ_j strength_j/2 · ‖w_·j‖².

    Parameters
    ----------
    strength : ndarray of shape (n_features,)
        1/(C·S) for each column of X as the solver sees it; 0 leaves a column unpenalised.
    """

    def __init__(self, strength: Array) -> None:
        self.strength = strength

    def value(self, coef: Array) -> float:
        return float(0.5 * np.einsum("kj,kj->j", coef, coef) @ self.strength)

    def gradient(self, coef: Array) -> Array:
        return np.asarray(coef * self.strength)

    hessian_product = gradient

    @property
    def is_strict(self) -> bool:
        """Whether every coefficient is penalised."""
        return bool(np.all(self.strength > 0))
