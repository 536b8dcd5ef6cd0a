"""Observations: what a checked y says about each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._input._validation import check_sample_weight
from skmaxent._typing import Array


@dataclass(frozen=True)
class Observations:
    """A checked y: the classes, and for each row the code of its class or counts of all classes.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted labels.
    codes : ndarray of int of shape (n_samples,), optional
        The position of each row's class, if all rows have one class.
    counts : ndarray of shape (n_samples, n_classes), optional
        Counts or shares of the classes, if there are no codes.
    multiplicity : ndarray of shape (n_samples,), optional
        The number of observations that each row with a code stands for; None stands for ones.
    sets : bool, default=False
        Whether rows of `counts` are sets, with ones for the possible classes.
    """

    classes: Array
    codes: Array | None = None
    counts: Array | None = None
    multiplicity: Array | None = None
    sets: bool = False

    @property
    def table(self) -> Array:
        """The counts (n_samples, n_classes) of a y without codes."""
        assert self.counts is not None
        return self.counts

    @classmethod
    def of_counts(cls, classes: Array, counts: Array, *, sets: bool = False) -> Observations:
        """Return observations of a table (n_samples, n_classes), with codes if these suffice.

        They suffice if each row has a single positive count.
        """
        if (np.count_nonzero(counts, axis=1) > 1).any():
            return cls(classes, counts=counts, sets=sets)
        codes = counts.argmax(axis=1)
        multiplicity = counts[np.arange(len(counts)), codes]
        if (multiplicity == 1.0).all():
            return cls(classes, codes)
        return cls(classes, codes, multiplicity=multiplicity)

    @property
    def n_samples(self) -> int:
        """The number of rows."""
        return len(self.table if self.codes is None else self.codes)

    @cached_property
    def likeliest(self) -> Array:
        """The code of the class with the largest count in each row, shape (n_samples,)."""
        if self.codes is not None:
            return self.codes
        return np.asarray(self.table.argmax(axis=1))

    def totals(self, sample_weight: Array | None = None) -> Array:
        """Return the weighted number of observations of each class, shape (n_classes,).

        Weights, counts and multiplicities are divided by their largest values, so that no sum
        overflows.
        """
        weights = None if sample_weight is None else sample_weight / sample_weight.max()
        if self.codes is None:
            weights = np.ones(len(self.table)) if weights is None else weights
            return np.asarray(weights @ (self.table / self.table.max()))
        if self.multiplicity is not None:
            many = self.multiplicity / self.multiplicity.max()
            weights = many if weights is None else weights * many
        return np.bincount(self.codes, weights, len(self.classes))

    def per_row(self, sample_weight: Array | None = None) -> Array | None:
        """Return the number of observations of each row times its sample weight, (n_samples,).

        The result is None if every row is one observation of weight one.
        """
        many = self.multiplicity
        if self.codes is None and not self.sets:
            many = self.table.sum(axis=1)
        if many is None or sample_weight is None:
            return sample_weight if many is None else many
        return np.asarray(many * sample_weight)

    def total_weight(
        self, sample_weight: Array | None = None, class_weight: Array | None = None
    ) -> float:
        """Return the sum of the weights of all observations, times those of their classes."""
        if class_weight is None:
            weights = self.per_row(sample_weight)
            return float(self.n_samples if weights is None else weights.sum())
        if self.codes is None:
            by_class = self.table if sample_weight is None else self.table * sample_weight[:, None]
            return float((by_class @ class_weight).sum())
        weights = self.per_row(sample_weight)
        factors = class_weight[self.codes]
        return float(factors.sum() if weights is None else factors @ weights)

    def rows(self, index: Array) -> Observations:
        """Return the rows at positions `index`."""

        def some(array: Array | None) -> Array | None:
            return None if array is None else array[index]

        return replace(
            self,
            codes=some(self.codes),
            counts=some(self.counts),
            multiplicity=some(self.multiplicity),
        )

    def without(self, unseen: Array) -> tuple[Observations, Array]:
        """Return the rows with observations of other classes than the unseen, and their positions.

        `unseen` is a mask of the classes. Counts of unseen classes become zero.
        """
        if self.codes is not None:
            kept = np.flatnonzero(~unseen[self.codes])
            return self.rows(kept), kept
        counts = np.where(unseen, 0.0, self.table)
        kept = np.flatnonzero(counts.any(axis=1))
        return replace(self, counts=counts[kept]), kept

    def expanded(self) -> tuple[Array, Array]:
        """Return the row and the class code of each pair with a positive count, as two arrays."""
        if self.codes is not None:
            return np.arange(len(self.codes)), self.codes
        row, code = np.nonzero(self.table)
        return row, code

    def mean(self, values: Array, sample_weight: ArrayLike | None = None) -> float:
        """Return the weighted mean over observations of the value of the observed class.

        `values` has the shape (n_samples, n_classes). A set is one observation, whose value is the
        largest among its classes. Raises ValueError unless the weights are those of these rows.
        """
        weights = check_sample_weight(sample_weight, len(values))
        if self.codes is not None:
            if self.multiplicity is not None:
                weights = self.multiplicity * (1.0 if weights is None else weights)
            return float(np.average(values[np.arange(len(values)), self.codes], weights=weights))
        counts = self.table
        if self.sets:
            best = np.where(counts > 0.0, values, -np.inf).max(axis=1)
            return float(np.average(best, weights=weights))
        # Every count is that many observations of its class.
        if weights is not None:
            counts = counts * weights[:, None]
        return float((counts * values).sum() / counts.sum())
