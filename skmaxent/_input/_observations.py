"""Observations: what a checked y says about each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._cached import cached_property
from skmaxent._input._validation import relative_weights
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
    are_sets : bool, default=False
        Whether each row of `counts` marks the possible classes of the row with ones.
    """

    classes: Array
    codes: Array | None = None
    counts: Array | None = None
    multiplicity: Array | None = None
    are_sets: bool = False

    @property
    def table(self) -> Array:
        """The counts (n_samples, n_classes) of a y without codes."""
        assert self.counts is not None
        return self.counts

    @classmethod
    def of_counts(cls, classes: Array, counts: Array, *, are_sets: bool = False) -> Observations:
        """Return observations of a table of counts (n_samples, n_classes).

        If each row has a single positive count, the result has codes instead of counts.
        """
        if (np.count_nonzero(counts, axis=1) > 1).any():
            return cls(classes, counts=counts, are_sets=are_sets)
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
    def most_observed(self) -> Array:
        """The code of the class with the largest count in each row, shape (n_samples,)."""
        if self.codes is not None:
            return self.codes
        return np.asarray(self.table.argmax(axis=1))

    def totals(self, sample_weight: Array | None = None) -> Array:
        """Return numbers proportional to the weighted numbers of observations of the classes.

        The shape is (n_classes,). A set is an observation of each of its classes. Weights, counts
        and multiplicities are divided by their largest values, so that no sum overflows.
        """
        weights = None if sample_weight is None else sample_weight / sample_weight.max()
        if self.codes is None:
            weights = np.ones(len(self.table)) if weights is None else weights
            return np.asarray(weights @ (self.table / self.table.max()))
        if self.multiplicity is not None:
            relative = self.multiplicity / self.multiplicity.max()
            weights = relative if weights is None else weights * relative
        return np.bincount(self.codes, weights, len(self.classes))

    def per_row(self, sample_weight: Array | None = None) -> Array | None:
        """Return the number of observations of each row times its sample weight, (n_samples,).

        The result is None if every row is one observation of weight one.
        """
        numbers = self.multiplicity
        if self.codes is None and not self.are_sets:
            numbers = self.table.sum(axis=1)
        if numbers is None or sample_weight is None:
            return sample_weight if numbers is None else numbers
        return np.asarray(numbers * sample_weight)

    def total_weight(
        self, sample_weight: Array | None = None, class_weight: Array | None = None
    ) -> float:
        """Return the sum over observations of the sample weight times the class weight.

        `class_weight` (n_classes,) are factors of the classes. Sets have no class weights.
        """
        if class_weight is None:
            weights = self.per_row(sample_weight)
            return float(self.n_samples if weights is None else weights.sum())
        assert not self.are_sets
        if self.codes is None:
            by_class = self.table if sample_weight is None else self.table * sample_weight[:, None]
            return float((by_class @ class_weight).sum())
        weights = self.per_row(sample_weight)
        factors = class_weight[self.codes]
        return float(factors.sum() if weights is None else factors @ weights)

    def rows(self, index: Array) -> Observations:
        """Return the observations of the rows at positions `index`."""
        parts: dict[str, Any] = {
            name: getattr(self, name)[index]
            for name in ("codes", "counts", "multiplicity")
            if getattr(self, name) is not None
        }
        return replace(self, **parts)

    def without_classes(self, left_out: Array) -> tuple[Observations, Array]:
        """Return the observations without those of some classes, and the positions of their rows.

        `left_out` (n_classes,) is a mask of the classes to leave out. Their counts become zero, and
        rows without any other observation are dropped.
        """
        if self.codes is not None:
            kept = np.flatnonzero(~left_out[self.codes])
            return self.rows(kept), kept
        counts = np.where(left_out, 0.0, self.table)
        kept = np.flatnonzero(counts.any(axis=1))
        return replace(self, counts=counts[kept]), kept

    def expanded(self) -> tuple[Array, Array]:
        """Return the row and the class of each positive count, as two arrays of positions."""
        if self.codes is not None:
            return np.arange(len(self.codes)), self.codes
        row, code = np.nonzero(self.table)
        return row, code

    def mean(self, values: Array, sample_weight: ArrayLike | None = None) -> float:
        """Return the weighted mean of `values` at the observed classes, such as a log score.

        `values` has the shape (n_samples, n_classes). A set is one observation, whose value is the
        largest among its classes. Raises ValueError unless there are an observation and a weight
        for each row of `values`.
        """
        if self.n_samples != len(values):
            raise ValueError(
                f"y has {self.n_samples} rows, and X has {len(values)}: expected a label, or a row "
                "of a table, for each row of X."
            )
        weights = relative_weights(sample_weight, len(values))
        if self.codes is not None:
            if self.multiplicity is not None:
                weights = self.multiplicity * (1.0 if weights is None else weights)
            return float(np.average(values[np.arange(len(values)), self.codes], weights=weights))
        counts = self.table
        if self.are_sets:
            best = np.where(counts > 0.0, values, -np.inf).max(axis=1)
            return float(np.average(best, weights=weights))
        # Every count is that many observations of its class.
        if weights is not None:
            counts = counts * weights[:, None]
        return float((counts * values).sum() / counts.sum())
