"""The two log-likelihoods on class-major logits (n_logits, rows).

`Softmax` has a logit for each of K >= 2 classes. `Logistic` is softmax over (0, z): one logit,
two classes. Everything above is indifferent to which of them it works on.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Likelihood(Protocol):
    n_logits: int

    def probabilities(self, Z: Array) -> Array:
        """Turn logits into probabilities, in place; return each row's log-normaliser."""

    def target_sum(self, Z: Array, codes: Array) -> Array:
        """The logit of each row's class."""

    def subtract_targets(self, P: Array, codes: Array) -> None:
        """P - T in place."""

    def curvature(self, P: Array, U: Array) -> Array:
        """(diag p - p pᵀ) u for every row, written to U."""

    def reference_curvature(self, P: Array) -> Array:
        """diag p - p pᵀ of every row, without the last of K classes: the upper triangle."""

    def targets(self, codes: Array) -> Array:
        """Probabilities that match the codes, in the shape of logits."""

    def inverse_curvature(self, shares: Array) -> Array:
        """Pseudo-inverse of diag π - π πᵀ at class shares π, in coordinates of the logits."""

    def null_intercept(self, shares: Array) -> Array:
        """Intercepts of the model without features."""


def _pick(Z: Array, codes: Array) -> tuple[Array, Array]:
    return codes, np.arange(Z.shape[1])


@functools.lru_cache(maxsize=64)
def upper_pairs(size: int) -> tuple[Array, Array, Array]:
    """Rows and columns of the upper triangle, and which of them are on the diagonal."""
    first, second = np.triu_indices(size)
    return first, second, np.flatnonzero(first == second)


class Softmax:
    """Multinomial likelihood, K logits."""

    def __init__(self, n_classes: int) -> None:
        self.n_logits = n_classes

    def probabilities(self, Z: Array) -> Array:
        top = Z.max(axis=0)
        Z -= top
        np.exp(Z, out=Z)
        total = Z.sum(axis=0)
        Z *= 1.0 / total
        return np.asarray(np.log(total, out=total) + top)

    def target_sum(self, Z: Array, codes: Array) -> Array:
        return np.asarray(Z[_pick(Z, codes)])

    def subtract_targets(self, P: Array, codes: Array) -> None:
        P[_pick(P, codes)] -= 1.0

    def curvature(self, P: Array, U: Array) -> Array:
        U -= np.einsum("km,km->m", P, U)
        U *= P
        return U

    def reference_curvature(self, P: Array) -> Array:
        first, second, equal = upper_pairs(len(P) - 1)
        out = P[first]
        out *= P[second]
        np.negative(out, out=out)
        out[equal] += P[:-1]
        return out

    def targets(self, codes: Array) -> Array:
        out = np.zeros((self.n_logits, len(codes)))
        out[codes, np.arange(len(codes))] = 1.0
        return out

    def inverse_curvature(self, shares: Array) -> Array:
        # J diag(1/π) J with J = I - 11ᵀ/K: on contrasts, diag π - π πᵀ is diag π.
        inverse = np.diag(1.0 / shares)
        inverse -= inverse.mean(axis=0)
        return np.asarray(inverse - inverse.mean(axis=1)[:, None])

    def null_intercept(self, shares: Array) -> Array:
        logs = np.log(shares)
        return np.asarray(logs - logs.mean())


class Logistic:
    """Binomial likelihood, one logit: that of class 1 against class 0."""

    n_logits = 1

    def probabilities(self, Z: Array) -> Array:
        # e = exp(-|z|) serves both: log(1 + exp z) = max(z, 0) + log1p(e), p = 1/(1+e) or e/(1+e).
        z = Z[0]
        e = np.exp(-np.abs(z))
        normaliser = np.maximum(z, 0) + np.log1p(e)
        np.divide(np.where(z >= 0, 1.0, e), 1.0 + e, out=z)
        return np.asarray(normaliser)

    def target_sum(self, Z: Array, codes: Array) -> Array:
        return np.asarray(Z[0] * codes)

    def subtract_targets(self, P: Array, codes: Array) -> None:
        P[0] -= codes

    def curvature(self, P: Array, U: Array) -> Array:
        U *= P
        U *= 1.0 - P
        return U

    def reference_curvature(self, P: Array) -> Array:
        return P * (1.0 - P)

    def targets(self, codes: Array) -> Array:
        return codes[None].astype(float)

    def inverse_curvature(self, shares: Array) -> Array:
        return np.asarray([[1.0 / (shares[0] * shares[1])]])

    def null_intercept(self, shares: Array) -> Array:
        return np.asarray([np.log(shares[1]) - np.log(shares[0])])


def likelihood(n_classes: int) -> Likelihood:
    """The likelihood for `n_classes`: one logit for two classes, K for K > 2."""
    return Logistic() if n_classes == 2 else Softmax(n_classes)
