"""The standardised columns (x - center)/scale, and coefficients that belong to them.

Coefficients of standardised columns are one array θ of shape (n_logits, n_features + 1), whose last
column holds the intercepts: the logits of a row are θ (x̃, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._typing import Array


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Which standardised columns a model has: x̃ = (x - center)/scale, and a one for intercepts.

    Attributes
    ----------
    center, scale : ndarray of shape (n_features,)
        Without an intercept, `center` is zero.
    fit_intercept : bool
    varying : ndarray of bool, shape (n_features,)
        Which columns are not constant. The coefficients of the others stay as they are.
    """

    center: Array
    scale: Array
    fit_intercept: bool
    varying: Array

    @classmethod
    def of(
        cls,
        n_features: int,
        *,
        fit_intercept: bool = True,
        center: Array | None = None,
        scale: Array | None = None,
        varying: Array | None = None,
    ) -> Standardisation:
        """Return a standardisation with zeros, ones and varying columns where nothing is given."""
        return cls(
            np.zeros(n_features) if center is None or not fit_intercept else center,
            np.ones(n_features) if scale is None else scale,
            fit_intercept,
            np.ones(n_features, dtype=bool) if varying is None else varying,
        )

    # Products with zeros and ones are left out, which small fits would notice.
    @cached_property
    def _is_centred(self) -> bool:
        return bool(self.center.any())

    @cached_property
    def _is_scaled(self) -> bool:
        return bool((self.scale != 1.0).any())

    @cached_property
    def _constant(self) -> Array:
        """Positions of the constant columns."""
        return np.flatnonzero(~self.varying)

    @property
    def is_free(self) -> Array:
        """Which columns of θ a fit may change, (n_features + 1,), the intercepts' last."""
        return np.append(self.varying, self.fit_intercept)

    def rows(self, block: Block) -> Array:
        """Return the standardised rows with a last entry 1, or 0 without an intercept, transposed.

        The result is a new float64 array of shape (n_features + 1, rows), in which NumPy works
        along the longer axis: rows outnumber features.
        """
        out = empty((block.X.shape[1] + 1, block.stop - block.start), np.float64, block.X)
        out[:-1] = block.X.toarray().T if block.is_sparse else block.X.T
        out[:-1] -= self.center[:, None]
        out[:-1] /= self.scale[:, None]
        out[-1] = self.fit_intercept
        return out

    def covariance(self, block: Block, weights: Array) -> Array:
        """Return Σ_i weights_i x̃_i x̃_iᵀ of a block, float64 (n_features, n_features)."""
        squares = block.covariance(weights, self.center)
        return squares / np.multiply.outer(self.scale, self.scale)

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients W (R, d) and intercepts b (R,) of X, with logits W x + b."""
        coef = theta[:, :-1] / self.scale if self._is_scaled else theta[:, :-1]
        return coef, theta[:, -1] - coef @ self.center if self._is_centred else theta[:, -1]

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """Return θ for coefficients W (R, d) and intercepts b (R,) of X."""
        theta = np.empty((len(coef), coef.shape[1] + 1), order="F")
        theta[:, :-1] = coef * self.scale
        theta[:, -1] = intercept + coef @ self.center
        return theta

    def gradient(self, coef_gradient: Array, logit_gradient: Array, total_weight: float) -> Array:
        """Return the gradient (R, d + 1) of a mean over rows with respect to θ.

        `logit_gradient` (R,) is the sum over rows of the gradients g_i with respect to the logits,
        `coef_gradient` (R, d) is the sum of g_i x_iᵀ, and the mean divides by `total_weight`. The
        gradient by coefficients of constant columns would be rounding error, and is zero.
        """
        out = np.empty((len(logit_gradient), len(self.scale) + 1), order="F")
        out[:, -1] = logit_gradient / total_weight if self.fit_intercept else 0.0
        size = 1.0 / (self.scale * total_weight)
        np.multiply(coef_gradient, size, out=out[:, :-1])
        if self._is_centred:
            out[:, :-1] -= np.multiply.outer(self.center * size, logit_gradient).T
        if len(self._constant):
            out[:, self._constant] = 0.0
        return out

    def theta_for(self, theta: Array, other: Standardisation) -> Array:
        """Return the θ of another standardisation that has the same logits."""
        out = theta.copy(order="F")
        coef = theta[:, :-1] / self.scale
        out[:, :-1] = coef * other.scale
        out[:, -1] += coef @ (other.center - self.center)
        return out

    def gradient_for(self, gradient: Array, other: Standardisation) -> Array:
        """Return the gradient of a loss, without penalty, with respect to the θ of another one."""
        out = gradient.copy(order="F")
        shift = (self.center - other.center) * gradient[:, -1:]
        out[:, :-1] = (gradient[:, :-1] * self.scale + shift) / other.scale
        return out

    def of_copy(self, is_sparse: bool) -> Standardisation:
        """Return the standardisation of a copy of X whose columns are standardised already.

        θ means the same for both. A copy of sparse columns is scaled but not centred.
        """
        center = self.center / self.scale if is_sparse else np.zeros_like(self.scale)
        return replace(self, center=center, scale=np.ones_like(self.scale))

    def columns(self, index: Array) -> Standardisation:
        """Return the standardisation of the columns at positions `index`."""
        center, scale, varying = self.center[index], self.scale[index], self.varying[index]
        return replace(self, center=center, scale=scale, varying=varying)
