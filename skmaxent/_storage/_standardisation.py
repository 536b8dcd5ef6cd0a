"""Standardised columns x̃ = (x - center)/scale, and the conversion of coefficients to and from them.

Coefficients of standardised columns are one array θ of shape (n_logits, n_features + 1), whose last
column holds the intercepts: the logits of a row are θ (x̃, 1). Below, R is the number of logits and
d the number of features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._typing import Array


@dataclass(frozen=True, eq=False)
class Standardisation:
    """The constants of the standardisation x̃ = (x - center)/scale, and conversions that use them.

    Attributes
    ----------
    center, scale : ndarray of shape (n_features,)
        Without an intercept, `center` is zero.
    fit_intercept : bool
    varying : ndarray of bool of shape (n_features,)
        Which columns are not constant. A fit does not change the coefficients of constant columns.
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
        """Return a standardisation; by default center 0, scale 1, and all columns varying.

        Without an intercept, a given `center` is replaced by 0.
        """
        return cls(
            np.zeros(n_features) if center is None or not fit_intercept else center,
            np.ones(n_features) if scale is None else scale,
            fit_intercept,
            np.ones(n_features, dtype=bool) if varying is None else varying,
        )

    # Conversions skip centers of zero and scales of one, which saves small fits a measurable time.
    @cached_property
    def _is_centred(self) -> bool:
        """Whether some center is not zero."""
        return bool(self.center.any())

    @cached_property
    def _is_scaled(self) -> bool:
        """Whether some scale is not one."""
        return bool((self.scale != 1.0).any())

    @cached_property
    def _constant(self) -> Array:
        """Positions of the constant columns."""
        return np.flatnonzero(~self.varying)

    @property
    def is_free(self) -> Array:
        """Mask (n_features + 1,) of the columns of θ that a fit may change, the intercept last."""
        return np.append(self.varying, self.fit_intercept)

    def rows(self, block: Block) -> Array:
        """Return the transposed standardised rows, with a last entry 1, or 0 without an intercept.

        The result is a new, dense float64 array of shape (n_features + 1, rows). It is transposed
        so that NumPy's inner loops run over the rows, which usually outnumber the features.
        """
        out = empty((block.X.shape[1] + 1, block.stop - block.start), np.float64, block.X)
        out[:-1] = block.X.toarray().T if block.is_sparse else block.X.T
        out[:-1] -= self.center[:, None]
        out[:-1] /= self.scale[:, None]
        out[-1] = self.fit_intercept
        return out

    def scatter(self, block: Block, weights: Array, *, single: bool = False) -> Array:
        """Return the scatter matrix Σ_i weights_i x̃_i x̃_iᵀ of a block, for weights (rows,).

        The result (n_features, n_features) is float64. With `single`, that of dense rows is
        float32; they are standardised in float64 before.
        """
        if single and not block.is_sparse:
            rows = block.dense()
            rows -= self.center
            rows *= np.sqrt(weights)[:, None]
            rows /= self.scale
            rows = rows.astype(np.float32)
            return rows.T @ rows
        squares = block.scatter(weights, self.center)
        if self._is_scaled:
            squares /= np.multiply.outer(self.scale, self.scale)
        return squares

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients W (R, d) and intercepts b (R,) of X with the same logits W x + b.

        `theta` has shape (R, d + 1).
        """
        coef = theta[:, :-1] / self.scale if self._is_scaled else theta[:, :-1]
        return coef, theta[:, -1] - coef @ self.center if self._is_centred else theta[:, -1]

    def from_coefficients(self, coef: Array, intercept: Array) -> Array:
        """Return θ (R, d + 1) with the logits of coefficients (R, d) and intercepts (R,) of X."""
        theta = np.empty((len(coef), coef.shape[1] + 1), order="F")
        theta[:, :-1] = coef * self.scale
        theta[:, -1] = intercept + coef @ self.center
        return theta

    def gradient(self, coef_gradient: Array, logit_gradient: Array, total_weight: float) -> Array:
        """Return the gradient (R, d + 1) of a mean over rows with respect to θ.

        `logit_gradient` (R,) is the sum over rows of the gradients g_i with respect to the logits,
        `coef_gradient` (R, d) is the sum of g_i x_iᵀ, and the mean divides by `total_weight`. The
        gradient with respect to coefficients of constant columns would be a rounding error, and is
        set to zero.
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
        """Return θ (R, d + 1) of the standardisation `other` with the logits of `theta`."""
        out = theta.copy(order="F")
        coef = theta[:, :-1] / self.scale
        out[:, :-1] = coef * other.scale
        out[:, -1] += coef @ (other.center - self.center)
        return out

    def gradient_for(self, gradient: Array, other: Standardisation) -> Array:
        """Return the gradient with respect to the θ of `other` for `gradient`, that for θ here.

        Both have shape (R, d + 1). The gradient is that of a function of the logits, such as the
        loss without penalty.
        """
        out = gradient.copy(order="F")
        shift = (self.center - other.center) * gradient[:, -1:]
        out[:, :-1] = (gradient[:, :-1] * self.scale + shift) / other.scale
        return out

    def of_copy(self, is_sparse: bool) -> Standardisation:
        """Return the standardisation of a copy of X whose columns have been standardised.

        The same θ gives the same logits with X and with the copy. A copy of a sparse X is scaled
        and not centred, so that it stays sparse.
        """
        center = self.center / self.scale if is_sparse else np.zeros_like(self.scale)
        return replace(self, center=center, scale=np.ones_like(self.scale))

    def columns(self, index: Array) -> Standardisation:
        """Return the standardisation of the columns at positions `index`."""
        center, scale, varying = self.center[index], self.scale[index], self.varying[index]
        return replace(self, center=center, scale=scale, varying=varying)
