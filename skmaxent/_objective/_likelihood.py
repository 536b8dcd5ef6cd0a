"""Log-likelihoods on class-major logits (n_logits, rows).

`Softmax` has a logit for each of K >= 2 classes, which enter through their differences alone.
`Sigmoids` has a logit for each label that a row may have or not; `Logistic`, one of these, is
softmax over (0, z): two classes. Everything above is indifferent to which of them it works on.

What a row says of its classes, its target t, is for softmax the code of one class, in an array
(rows,), or a share for each class, (rows, K); for sigmoids 0 or 1 or a share between them, (rows,)
where there is one logit, else (rows, n_logits). `smoothing` replaces t by a mixture with the
constant distribution. Tables of targets may be CSR.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from skmaxent._storage._arrays import full
from skmaxent._typing import Array

EPS = float(np.finfo(float).eps)


class Likelihood(Protocol):
    n_logits: int
    # Whether logits enter through their differences alone, so that one of them is redundant.
    is_coupled: bool
    smoothing: float

    @property
    def n_free(self) -> int:
        """Logits that are not redundant."""

    def probabilities(self, Z: Array) -> Array:
        """Turn logits into probabilities, in place; return each row's log-normaliser."""

    def target_sum(self, Z: Array, targets: Array) -> Array:
        """t · z of each row."""

    def subtract_targets(self, P: Array, targets: Array) -> None:
        """P - T in place."""

    def dense_targets(self, targets: Array, dtype: Any = float) -> Array:
        """Targets in the shape of logits, smoothed."""

    def curvature(self, P: Array, U: Array) -> Array:
        """The second derivative by the logits times u for every row, written to U."""

    def curvature_row(self, P: Array, k: int) -> Array:
        """Entries (k, l) of the second derivative by free logits for all l >= k, or for l = k if
        others are 0."""

    def reference_curvature(self, P: Array) -> Array:
        """The second derivative of every row by the free logits: the upper triangle."""

    def spread(self, P: Array) -> Array:
        """The trace of the second derivative of every row, up to a factor."""

    def star(self, curvature: Array, shares: Array) -> tuple[Array, Array]:
        """α and β for the approximation diag α - α βᵀ of a mean second derivative, of which p (1 -
        p) and p have the means `curvature` and `shares`."""

    def inverse_curvature(self, shares: Array) -> Array:
        """Pseudo-inverse of the second derivative where all rows have p = `shares`."""

    def largest_curvature(self, shares: Array) -> float:
        """No eigenvalue of the second derivative where all rows have p = `shares` is larger."""

    def least_curvature(self, P: Array, shares: Array) -> Array:
        """β of each row for which its second derivative is at least β times that at `shares`."""

    def largest_range(self, shares: Array) -> float:
        """Most by which a change of logits of unit length in the second derivative at `shares`
        changes a difference of logits, or a logit where they are not coupled."""

    def outcomes(self, shares: Array, change: bool = False) -> Array:
        """Probabilities of all outcomes, or their changes, from those that have logits."""

    def null_intercept(self, shares: Array) -> Array:
        """Intercepts of the model without features, from the mean of the targets."""


@functools.lru_cache(maxsize=64)
def upper_pairs(size: int) -> tuple[Array, Array, Array]:
    """Rows and columns of the upper triangle, and which of them are on the diagonal."""
    first, second = np.triu_indices(size)
    return first, second, np.flatnonzero(first == second)


def _by_logit(targets: Any) -> Array:
    """A table of targets in the shape of logits."""
    return targets.T.toarray() if sp.issparse(targets) else targets.T


def _own(Z: Array, codes: Array) -> Array:
    """The entry of each column in the row of its code."""
    if isinstance(Z, np.ndarray):
        return Z[codes, np.arange(Z.shape[1])]
    return Z.entries(codes)


def _add_to_own(P: Array, codes: Array, amount: float) -> None:
    if isinstance(P, np.ndarray):
        P[codes, np.arange(P.shape[1])] += amount
    else:
        P.add_to_entries(codes, amount)


class Softmax:
    """Multinomial likelihood, K logits."""

    is_coupled = True

    def __init__(self, n_classes: int, smoothing: float = 0.0) -> None:
        self.n_logits = n_classes
        self.smoothing = smoothing

    @property
    def n_free(self) -> int:
        return self.n_logits - 1

    def probabilities(self, Z: Array) -> Array:
        top = Z.max(axis=0)
        Z -= top
        np.exp(Z, out=Z)
        total = Z.sum(axis=0)
        Z *= 1.0 / total
        return np.log(total, out=total) + top

    def target_sum(self, Z: Array, targets: Array) -> Array:
        if targets.ndim == 1:
            out = _own(Z, targets)
        else:
            out = np.einsum("km,km->m", Z, _by_logit(targets))
        if self.smoothing:
            out *= 1.0 - self.smoothing
            out += self.smoothing * Z.mean(axis=0)
        return out

    def subtract_targets(self, P: Array, targets: Array) -> None:
        if self.smoothing:
            P -= self.smoothing / self.n_logits
        if targets.ndim == 1:
            _add_to_own(P, targets, self.smoothing - 1.0)
        elif self.smoothing:
            P -= (1.0 - self.smoothing) * _by_logit(targets)
        else:
            P -= _by_logit(targets)

    def dense_targets(self, targets: Array, dtype: Any = float) -> Array:
        shape = self.n_logits, targets.shape[0]
        out = full(shape, self.smoothing / self.n_logits, dtype, targets)
        if targets.ndim == 1:
            _add_to_own(out, targets, 1.0 - self.smoothing)
        else:
            out += (1.0 - self.smoothing) * _by_logit(targets)
        return out

    def curvature(self, P: Array, U: Array) -> Array:
        U -= np.einsum("km,km->m", P, U)
        U *= P
        return U

    def curvature_row(self, P: Array, k: int) -> Array:
        out = P[k:-1] * -P[k]
        # Not 1 - p: of the others nothing would be left where p rounds to one.
        out[0] = P[k] * (P[:k].sum(axis=0) + P[k + 1 :].sum(axis=0))
        return out

    def reference_curvature(self, P: Array) -> Array:
        first, second, equal = upper_pairs(len(P) - 1)
        out = P[first]
        out *= P[second]
        np.negative(out, out=out)
        out[equal] += P[:-1]
        return out

    def spread(self, P: Array) -> Array:
        return (1.0 - np.einsum("km,km->m", P, P)).clip(0.0)

    def star(self, curvature: Array, shares: Array) -> tuple[Array, Array]:
        alpha = curvature / np.maximum(1.0 - shares, curvature)
        return alpha, alpha / alpha.sum()

    def inverse_curvature(self, shares: Array) -> Array:
        # J diag(1/π) J with J = I - 11ᵀ/K: on contrasts, diag π - π πᵀ is diag π.
        inverse = np.diag(1.0 / shares)
        inverse -= inverse.mean(axis=0)
        return np.asarray(inverse - inverse.mean(axis=1)[:, None])

    def largest_curvature(self, shares: Array) -> float:
        return float(shares.max())

    def least_curvature(self, P: Array, shares: Array) -> Array:
        return (P / shares[:, None]).min(axis=0)

    def largest_range(self, shares: Array) -> float:
        return float(np.sqrt((1.0 / np.partition(shares, 1)[:2]).sum()))

    def outcomes(self, shares: Array, change: bool = False) -> Array:
        return shares

    def null_intercept(self, shares: Array) -> Array:
        logs = np.log(shares)
        return np.asarray(logs - logs.mean())


def _inside(shares: Array) -> Array:
    """Shares that round to 0 or 1 as the next number inside: these have no finite logit."""
    return np.clip(shares, 1e-300, 1.0 - 0.5 * EPS)


def _variance(shares: Array) -> Array:
    """p (1 - p), not zero where p rounds to 0 or 1."""
    return np.maximum(shares, 1e-300) * np.maximum(1.0 - shares, 0.5 * EPS)


class Sigmoids:
    """Independent binomial likelihoods, a logit for each label: that of having it against not."""

    is_coupled = False

    def __init__(self, n_labels: int, smoothing: float = 0.0) -> None:
        self.n_logits = self.n_free = n_labels
        self.smoothing = smoothing

    def probabilities(self, Z: Array) -> Array:
        # e = exp(-|z|) serves both: log(1 + exp z) = max(z, 0) + log1p(e), p = 1/(1+e) or e/(1+e).
        e = np.exp(-np.abs(Z))
        normaliser = np.maximum(Z, 0).sum(axis=0) + np.log1p(e).sum(axis=0)
        np.divide(np.where(Z >= 0, 1.0, e), 1.0 + e, out=Z)
        return normaliser

    def target_sum(self, Z: Array, targets: Array) -> Array:
        return np.einsum("km,km->m", Z, self.dense_targets(targets, Z.dtype))

    def subtract_targets(self, P: Array, targets: Array) -> None:
        P -= self.dense_targets(targets, P.dtype)

    def dense_targets(self, targets: Array, dtype: Any = float) -> Array:
        out = _by_logit(targets).astype(dtype)
        if self.smoothing:
            out *= 1.0 - self.smoothing
            out += 0.5 * self.smoothing
        return out

    def curvature(self, P: Array, U: Array) -> Array:
        U *= P
        U *= 1.0 - P
        return U

    def curvature_row(self, P: Array, k: int) -> Array:
        return (P[k] * (1.0 - P[k]))[None]

    def reference_curvature(self, P: Array) -> Array:
        *_, equal = upper_pairs(len(P))
        out = np.zeros((len(P) * (len(P) + 1) // 2, P.shape[1]), dtype=P.dtype)
        out[equal] = P * (1.0 - P)
        return out

    def spread(self, P: Array) -> Array:
        return np.einsum("km,km->m", P, 1.0 - P)

    def star(self, curvature: Array, shares: Array) -> tuple[Array, Array]:
        return curvature, np.zeros_like(curvature)

    def inverse_curvature(self, shares: Array) -> Array:
        return np.diag(1.0 / _variance(shares))

    def largest_curvature(self, shares: Array) -> float:
        return float(_variance(shares).max())

    def least_curvature(self, P: Array, shares: Array) -> Array:
        scale = _variance(shares)[:, None]
        return (P * (1.0 - P) / scale).min(axis=0)

    def largest_range(self, shares: Array) -> float:
        return float(np.sqrt(1.0 / _variance(shares).min()))

    def outcomes(self, shares: Array, change: bool = False) -> Array:
        return np.concatenate([-shares if change else 1.0 - shares, shares])

    def null_intercept(self, shares: Array) -> Array:
        shares = _inside(shares)
        return np.asarray(np.log(shares) - np.log1p(-shares))


class Logistic(Sigmoids):
    """Binomial likelihood, one logit: that of class 1 against class 0."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__(1, smoothing)

    def dense_targets(self, targets: Array, dtype: Any = float) -> Array:
        return super().dense_targets(targets, dtype)[None]


def likelihood(n_classes: int, smoothing: float = 0.0) -> Likelihood:
    """The likelihood for `n_classes`: one logit for two classes, K for K > 2."""
    return Logistic(smoothing) if n_classes == 2 else Softmax(n_classes, smoothing)
