"""Sums over rows, by which results recognise the data of their fit without keeping the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._effects._rows import dense_blocks
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

# Sums whose relative difference is no more than this count as sums over the same rows.
SAME_ROWS = 1e-5


@dataclass(frozen=True)
class Signature:
    """A checksum of X, by which `marginal_effects` recognises the rows of a weighted fit.

    Attributes
    ----------
    n_samples : int
    sums : ndarray of shape (n_features,), or empty
        Sums of the columns, in which each row has a random factor, so that the order of the rows
        matters. Empty if the rows of the fit were Dask chunks; then only the number of rows is
        compared.
    sizes : ndarray of the same shape
        The same sums for the absolute values. Rounding errors are relative to these.
    """

    n_samples: int
    sums: Array
    sizes: Array

    @property
    def is_known(self) -> bool:
        """Whether the rows of the fit were in memory, so that their sums are known."""
        return len(self.sums) > 0

    @classmethod
    def of(cls, rows: Any) -> Signature:
        """Return the signature of rows in memory, (n_samples, n_features)."""
        factors = np.random.default_rng(0).uniform(0.5, 1.5, rows.shape[0])
        sums, sizes = np.zeros((2, rows.shape[1]))
        for at, part, _ in dense_blocks(rows, None):
            sums += factors[at] @ part
            sizes += factors[at] @ np.abs(part)
        return cls(rows.shape[0], sums, sizes)

    @classmethod
    def of_weighted_rows(cls, rows: Any, weights: Array | None) -> Signature | None:
        """Return the signature of rows with weights (n_samples,), or None if weights are equal.

        With equal weights of the fit all averages are unweighted, so that it does not matter
        whether rows are those of the fit.
        """
        if weights is None or (weights == weights[0]).all():
            return None
        return cls.of(on_host(rows))

    def matches(self, rows: Any) -> bool:
        """Return whether rows in memory, (n_samples, n_features), are those of the fit."""
        if rows.shape[0] != self.n_samples or not self.is_known:
            return bool(rows.shape[0] == self.n_samples)
        difference = np.abs(Signature.of(rows).sums - self.sums)
        return bool((difference <= SAME_ROWS * self.sizes).all())


@dataclass(frozen=True)
class ColumnSums:
    """Weighted means over the rows of a fit, for comparison with those of another fit.

    They show whether two models were fitted to the same rows, labels, weights and offsets.

    Attributes
    ----------
    names : list of str
        Names of the features.
    loss : float
        Mean loss at coefficients of zero, which depends on the offsets.
    shares : ndarray of shape (n_logits,)
        Means of the targets: the shares of the classes.
    class_sums : ndarray of shape (n_logits, n_features)
        Means of the products of targets and features.
    sizes : ndarray of shape (n_features,)
        Root mean squares of the features.
    """

    names: list[str]
    loss: float
    shares: Array
    class_sums: Array
    sizes: Array

    def are_of_the_data_of(self, larger: ColumnSums) -> bool:
        """Return whether the fit of a larger model is to the same data.

        `larger` are the means of that fit, whose features include all features of this one.
        """
        at = [larger.names.index(name) for name in self.names]
        size = np.maximum(self.sizes, larger.sizes[at])
        # Two values to compare, and the size that rounding errors are relative to.
        comparisons = (
            (self.loss, larger.loss, max(abs(self.loss), abs(larger.loss))),
            (self.shares, larger.shares, 1.0),
            (self.sizes, larger.sizes[at], size),
            (self.class_sums, larger.class_sums[:, at], size),
        )
        return all(bool(np.all(np.abs(a - b) <= SAME_ROWS * s)) for a, b, s in comparisons)
