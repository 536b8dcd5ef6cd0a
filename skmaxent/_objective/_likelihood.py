"""Log-likelihoods of class probabilities as functions of the logits, and their derivatives.

- `Softmax` is the multinomial likelihood of K >= 2 classes. It has a logit for each class, and
  depends on differences of logits only.
- `Sigmoids` is the likelihood of independent labels. It has a logit for each label, the log-odds
  that a row has the label.
- `Logistic` is the likelihood of two classes. It has one logit z, the log-odds of class 1.

Solvers use the interface `Likelihood` and do not know which likelihood it is.

Conventions
-----------
Z is an array of logits, P of probabilities, and U of changes of logits. They are class-major: their
shape is (n_logits, rows). K is the number of classes, and `shares` (n_logits,) are means of
probabilities or of targets over rows.

The targets of rows are one of these arrays; two-dimensional ones may be CSR:

- for softmax, class codes of shape (rows,), or a share t_k of each class, (rows, K);
- for one sigmoid, shares t between 0 and 1 of shape (rows,), or codes 0 and 1;
- for several sigmoids, a share for each label, (rows, n_logits).

Label smoothing with ε = `smoothing` replaces the targets t by (1 - ε) t + ε/K for softmax, and by
(1 - ε) t + ε/2 for sigmoids.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skmaxent._storage._arrays import EPS, full
from skmaxent._typing import Array

# The least probability: its logit and its reciprocal are finite in float64.
LEAST_PROBABILITY = 1e-300
# The distance of the largest float64 below one from one.
LEAST_COMPLEMENT = 0.5 * EPS


class Likelihood(Protocol):
    """What solvers need of a likelihood.

    The loss of a row with logits z and targets t is log-normaliser(z) - t · z. The curvature of the
    row is the matrix of second derivatives of its loss with respect to z: diag(p) - p pᵀ for
    softmax, diag(p (1 - p)) for sigmoids.

    Attributes
    ----------
    n_logits : int
    is_coupled : bool
        Whether the likelihood depends on differences of logits only, so that one is redundant.
    smoothing : float
        The weight ε of the uniform distribution in the targets.
    """

    n_logits: int
    is_coupled: bool
    smoothing: float

    @property
    def n_free(self) -> int:
        """Number of logits that are not redundant: n_logits - 1 if coupled, else n_logits."""

    def probabilities(self, Z: Array) -> Array:
        """Replace the logits Z by probabilities in place; return the log-normalisers, (rows,)."""

    def target_sum(self, Z: Array, targets: Array) -> Array:
        """Return t · z for each row, shape (rows,), with smoothed targets t."""

    def subtract_targets(self, P: Array, targets: Array) -> None:
        """Subtract the smoothed targets from P in place, which gives the gradient of each loss."""

    def dense_targets(self, targets: Array, dtype: DTypeLike = float) -> Array:
        """Return the smoothed targets as a new dense array (n_logits, rows)."""

    def curvature(self, P: Array, U: Array) -> Array:
        """Replace each column u of U by the curvature of its row times u, in place; return U."""

    def curvature_row(self, P: Array, k: int) -> Array:
        """Return row k of the upper triangle of each row's curvature in the free logits.

        The shape is (n_free - k, rows) if logits are coupled. It is (1, rows) for sigmoids, whose
        curvature is diagonal.
        """

    def reference_curvature(self, P: Array) -> Array:
        """Return the upper triangle of each row's curvature in the free logits.

        The shape is (n_free (n_free + 1)/2, rows), in the order of `upper_pairs`.
        """

    def logit_curvature(self, P: Array) -> Array:
        """Return the upper triangle of each row's curvature in all logits.

        The shape is (n_logits (n_logits + 1)/2, rows), in the order of `upper_pairs`.
        """

    def curvature_trace(self, P: Array) -> Array:
        """Return the trace of each row's curvature, shape (rows,)."""

    def simplex_curvature(self, curvature: Array, shares: Array) -> tuple[Array, Array]:
        """Approximate a mean curvature by the simplex curvature diag(α) - α βᵀ; return α and β.

        `curvature` is the mean of p (1 - p) and `shares` that of p, each of shape (n_logits,). If
        logits are coupled, β = α/Σα, and the matrix has the null vector 1 as the mean curvature
        has. Otherwise β is zero.
        """

    def root_of_inverse_curvature(self, shares: Array) -> Array:
        """Return a matrix L (n_logits, n_logits) for which LᵀL inverts the curvature at `shares`.

        LᵀL is a pseudo-inverse of the curvature H: H LᵀL H = H.
        """

    def largest_curvature(self, shares: Array) -> float:
        """Return an upper bound on the eigenvalues of the curvature at p = `shares`."""

    def least_curvature(self, P: Array, shares: Array) -> Array:
        """Return for each row a factor β, shape (rows,), with curvature(p) ⪰ β curvature(shares).

        A ⪰ B means that A - B is positive semidefinite.
        """

    def largest_range(self, shares: Array) -> float:
        """Return the largest change of a logit in the unit ball of the curvature at p = `shares`.

        The ball contains the changes u of logits with uᵀ H u <= 1, where H is that curvature. The
        result is the maximum of |u_k - u_l| if logits are coupled, and of |u_k| if they are not.
        """

    def outcomes(self, shares: Array, change: bool = False) -> Array:
        """Return the probabilities of all outcomes from probabilities (n_logits, ...).

        For softmax, these are the probabilities themselves. For sigmoids, the shape is
        (2 n_logits, ...), and the probabilities 1 - p that a label is absent come first. With
        `change`, `shares` are changes of probabilities, so that 1 - p changes by minus as much.
        """

    def null_intercept(self, shares: Array) -> Array:
        """Return the optimal intercepts (n_logits,) of the model without features.

        `shares` are the means of the targets. Coupled intercepts sum to zero.
        """


@functools.lru_cache(maxsize=64)
def upper_pairs(size: int) -> tuple[Array, Array, Array]:
    """Return the row and column of each entry of the upper triangle of a (size, size) matrix.

    The third array holds the positions of the diagonal entries in the first two.
    """
    row, column = np.triu_indices(size)
    return row, column, np.flatnonzero(row == column)


def _by_logit(targets: Any) -> Array:
    """Return a table of targets (rows, n_logits), dense or CSR, as dense (n_logits, rows)."""
    return targets.T.toarray() if sp.issparse(targets) else targets.T


def _at_codes(Z: Array, codes: Array) -> Array:
    """Return Z[codes[m], m] for each row m, shape (rows,)."""
    if isinstance(Z, np.ndarray):
        return Z[codes, np.arange(Z.shape[1])]
    return Z.entries(codes)


def _add_at_codes(P: Array, codes: Array, amount: float) -> None:
    """Add `amount` to P[codes[m], m] for each row m, in place."""
    if isinstance(P, np.ndarray):
        P[codes, np.arange(P.shape[1])] += amount
    else:
        P.add_to_entries(codes, amount)


class Softmax:
    """The multinomial likelihood of K classes, with a logit for each class."""

    is_coupled = True

    def __init__(self, n_classes: int, smoothing: float = 0.0) -> None:
        self.n_logits = n_classes
        self.smoothing = float(smoothing)

    @property
    def n_free(self) -> int:
        return self.n_logits - 1

    def probabilities(self, Z: Array) -> Array:
        # Shifted by their maximum, no logit overflows.
        top = Z.max(axis=0)
        Z -= top
        np.exp(Z, out=Z)
        total = Z.sum(axis=0)
        Z *= 1.0 / total
        return np.log(total, out=total) + top

    def target_sum(self, Z: Array, targets: Array) -> Array:
        if targets.ndim == 1:
            out = _at_codes(Z, targets)
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
            _add_at_codes(P, targets, self.smoothing - 1.0)
        elif self.smoothing:
            P -= (1.0 - self.smoothing) * _by_logit(targets)
        else:
            P -= _by_logit(targets)

    def dense_targets(self, targets: Array, dtype: DTypeLike = float) -> Array:
        shape = self.n_logits, targets.shape[0]
        out = full(shape, self.smoothing / self.n_logits, dtype, targets)
        if targets.ndim == 1:
            _add_at_codes(out, targets, 1.0 - self.smoothing)
        else:
            out += (1.0 - self.smoothing) * _by_logit(targets)
        return out

    def curvature(self, P: Array, U: Array) -> Array:
        # (diag p - p pᵀ) u = p (u - p·u)
        U -= np.einsum("km,km->m", P, U)
        U *= P
        return U

    def curvature_row(self, P: Array, k: int) -> Array:
        out = P[k:-1] * -P[k]
        # The difference 1 - p would be zero where p rounds to one; the sum of the others is not.
        out[0] = P[k] * (P[:k].sum(axis=0) + P[k + 1 :].sum(axis=0))
        return out

    def reference_curvature(self, P: Array) -> Array:
        return self.logit_curvature(P[:-1])

    def logit_curvature(self, P: Array) -> Array:
        row, column, diagonal = upper_pairs(len(P))
        out = P[row]
        out *= P[column]
        np.negative(out, out=out)
        out[diagonal] += P
        return out

    def curvature_trace(self, P: Array) -> Array:
        # The trace of diag p - p pᵀ is 1 - ‖p‖², which rounding may make negative.
        return (1.0 - np.einsum("km,km->m", P, P)).clip(0.0)

    def simplex_curvature(self, curvature: Array, shares: Array) -> tuple[Array, Array]:
        # If all rows have equal probabilities p, α = p and the approximation is exact.
        alpha = curvature / np.maximum(1.0 - shares, curvature)
        return alpha, alpha / alpha.sum()

    def root_of_inverse_curvature(self, shares: Array) -> Array:
        # For contrasts u, which sum to zero, v = diag(1/π) u solves (diag π - π πᵀ) v = u. L is
        # diag(1/√π) (I - 11ᵀ/K).
        K = len(shares)
        return np.asarray((np.eye(K) - 1.0 / K) / np.sqrt(_positive(shares))[:, None])

    def largest_curvature(self, shares: Array) -> float:
        return float(shares.max())

    def least_curvature(self, P: Array, shares: Array) -> Array:
        return (P / _positive(shares)[:, None]).min(axis=0)

    def largest_range(self, shares: Array) -> float:
        # The range of u_k - u_l is √(1/p_k + 1/p_l), largest for the two least shares.
        return float(np.sqrt((1.0 / _positive(np.partition(shares, 1)[:2])).sum()))

    def outcomes(self, shares: Array, change: bool = False) -> Array:
        return shares

    def null_intercept(self, shares: Array) -> Array:
        logs = np.log(_positive(shares))
        return np.asarray(logs - logs.mean())


def _positive(shares: Array) -> Array:
    """Return shares whose reciprocals are finite: those that underflow become the least ones."""
    return np.maximum(shares, LEAST_PROBABILITY)


def _with_finite_logit(shares: Array) -> Array:
    """Return shares that are clipped to the open interval (0, 1), where logits are finite."""
    return np.clip(shares, LEAST_PROBABILITY, 1.0 - LEAST_COMPLEMENT)


def _variance(shares: Array) -> Array:
    """Return p (1 - p) for shares p, positive also where p rounds to 0 or 1."""
    return _positive(shares) * np.maximum(1.0 - shares, LEAST_COMPLEMENT)


class Sigmoids:
    """Independent binomial likelihoods with a logit for each label, the log-odds of having it."""

    is_coupled = False

    def __init__(self, n_labels: int, smoothing: float = 0.0) -> None:
        self.n_logits = self.n_free = n_labels
        self.smoothing = float(smoothing)

    def probabilities(self, Z: Array) -> Array:
        # With e = exp(-|z|), log(1 + exp z) = max(z, 0) + log1p(e), and p is 1/(1 + e) for z >= 0
        # and e/(1 + e) otherwise: nothing overflows.
        e = np.exp(-np.abs(Z))
        normaliser = np.maximum(Z, 0).sum(axis=0) + np.log1p(e).sum(axis=0)
        np.divide(np.where(Z >= 0, 1.0, e), 1.0 + e, out=Z)
        return normaliser

    def target_sum(self, Z: Array, targets: Array) -> Array:
        return np.einsum("km,km->m", Z, self.dense_targets(targets, Z.dtype))

    def subtract_targets(self, P: Array, targets: Array) -> None:
        P -= self.dense_targets(targets, P.dtype)

    def dense_targets(self, targets: Array, dtype: DTypeLike = float) -> Array:
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
        *_, diagonal = upper_pairs(len(P))
        out = np.zeros((len(P) * (len(P) + 1) // 2, P.shape[1]), dtype=P.dtype)
        out[diagonal] = P * (1.0 - P)
        return out

    logit_curvature = reference_curvature

    def curvature_trace(self, P: Array) -> Array:
        return np.einsum("km,km->m", P, 1.0 - P)

    def simplex_curvature(self, curvature: Array, shares: Array) -> tuple[Array, Array]:
        return curvature, np.zeros_like(curvature)

    def root_of_inverse_curvature(self, shares: Array) -> Array:
        return np.diag(1.0 / np.sqrt(_variance(shares)))

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
        shares = _with_finite_logit(shares)
        return np.asarray(np.log(shares) - np.log1p(-shares))


class Logistic(Sigmoids):
    """The binomial likelihood of two classes with one logit, the log-odds of class 1."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__(1, smoothing)

    def dense_targets(self, targets: Array, dtype: DTypeLike = float) -> Array:
        # Targets have no axis for logits: (rows,) instead of (rows, 1).
        return super().dense_targets(targets, dtype)[None]


def likelihood(n_classes: int, smoothing: float = 0.0) -> Likelihood:
    """Return the likelihood of `n_classes` classes: `Logistic` for two, `Softmax` for more."""
    return Logistic(smoothing) if n_classes == 2 else Softmax(n_classes, smoothing)
