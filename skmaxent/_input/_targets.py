"""What rows say of their classes: one class each, counts of all classes, or a set of possible ones.

A table is whatever has two or more columns: y of one observation a row has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.utils.validation import check_consistent_length

from skmaxent._input import _validation
from skmaxent._input._interchange import (
    columns_in_order,
    exact_integers,
    integers,
    native,
    refuse_masked,
)
from skmaxent._objective._likelihood import Likelihood, Softmax, likelihood
from skmaxent._storage._arrays import check_coefficients_fit
from skmaxent._storage._cluster import refuse_dask
from skmaxent._storage._device_array import DeviceArray
from skmaxent._storage._device_blocks import DeviceBlocks
from skmaxent._storage._place import to_host
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._storage import Storage
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

EXPECTED = (
    "expected labels of shape (n_samples,), or a table of shape (n_samples, n_classes) with a "
    "count or share, zero or more, of each class"
)


@dataclass(frozen=True)
class Observed:
    """The classes, and of each row a code, or counts of shape (n_samples, n_classes).

    `multiplicity` are observations that a row with a code stands for, None for one each; rows of
    `counts` that are `sets` have 1 for each class that is possible.
    """

    classes: Array
    codes: Array | None = None
    counts: Array | None = None
    multiplicity: Array | None = None
    sets: bool = False

    @property
    def table(self) -> Array:
        """Counts, where rows are not known by a code."""
        assert self.counts is not None
        return self.counts

    @property
    def n_samples(self) -> int:
        return len(self.table if self.codes is None else self.codes)

    @cached_property
    def likeliest(self) -> Array:
        """The code of the class that each row has most of."""
        if self.codes is not None:
            return self.codes
        return np.asarray(self.table.argmax(axis=1))

    def totals(self, sample_weight: Array | None = None) -> Array:
        """Observations of each class, for weights that are relative: the largest counts as one."""
        weights = None if sample_weight is None else sample_weight / sample_weight.max()
        if self.codes is None:
            weights = np.ones(len(self.table)) if weights is None else weights
            return np.asarray(weights @ (self.table / self.table.max()))
        if self.multiplicity is not None:
            many = self.multiplicity / self.multiplicity.max()
            weights = many if weights is None else weights * many
        return np.bincount(self.codes, weights, len(self.classes))

    def per_row(self, sample_weight: Array | None = None) -> Array | None:
        """Observations of each row times its weight; None where all rows are one of weight one."""
        many = self.multiplicity
        if self.codes is None and not self.sets:
            many = self.table.sum(axis=1)
        if many is None or sample_weight is None:
            return sample_weight if many is None else many
        return np.asarray(many * sample_weight)

    def rows(self, index: Array) -> Observed:
        """Of some rows."""

        def some(array: Array | None) -> Array | None:
            return None if array is None else array[index]

        return replace(
            self,
            codes=some(self.codes),
            counts=some(self.counts),
            multiplicity=some(self.multiplicity),
        )

    def without(self, unseen: Array) -> tuple[Observed, Array]:
        """What rows say of other classes than those `unseen`, and which rows say anything."""
        if self.codes is not None:
            kept = np.flatnonzero(~unseen[self.codes])
            return self.rows(kept), kept
        counts = np.where(unseen, 0.0, self.table)
        kept = np.flatnonzero(counts.any(axis=1))
        return replace(self, counts=counts[kept]), kept

    def expanded(self) -> tuple[Array, Array]:
        """A row and a class for each pair that was observed."""
        if self.codes is not None:
            return np.arange(len(self.codes)), self.codes
        row, code = np.nonzero(self.table)
        return row, code

    def mean(self, values: Array, sample_weight: Any = None) -> float:
        """Mean over observations of values (n_samples, n_classes), that of the class observed."""
        if self.codes is not None:
            weights = sample_weight if sample_weight is None else np.asarray(sample_weight, float)
            if self.multiplicity is not None:
                weights = self.multiplicity * (1.0 if weights is None else weights)
            return float(np.average(values[np.arange(len(values)), self.codes], weights=weights))
        counts = self.table
        if self.sets:  # a row is one observation, whose value is the best that the set admits
            best = np.where(counts > 0.0, values, -np.inf).max(axis=1)
            return float(np.average(best, weights=sample_weight))
        if sample_weight is not None:
            counts = counts * np.asarray(sample_weight, float)[:, None]
        return float((counts * values).sum() / counts.sum())


@dataclass(frozen=True)
class Outcomes:
    """What all rows together say of the classes, with the likelihood that takes their targets.

    `scale` times the weights of rows are the weights that the user gave, `active` the classes that
    weigh anything, `totals` what there is of each class before class weights.
    """

    scale: float
    active: Array
    totals: Array
    model: Likelihood


@dataclass(frozen=True)
class Given:
    """Rows as a fit was given them, checked, and how to have them read by workers."""

    classes: Array
    n_features: int
    outcomes: Outcomes
    stored: Callable[[Workers], Storage]

    def __post_init__(self) -> None:
        """Raises MemoryError for more columns than there is memory for."""
        check_coefficients_fit(self.outcomes.model.n_logits, self.n_features)


@dataclass(frozen=True)
class RowTargets(Outcomes):
    """Targets of rows among the classes that weigh anything, and weights.

    `observations` is the number of observations of each row times its `sample_weight`, without
    class weights; None where every row is one observation of weight one.
    """

    targets: Array
    weights: Array | None
    observations: Array | None = None


def is_table(y: Any) -> bool:
    """Whether y has columns for classes."""
    if sp.issparse(y):
        return True
    shape = getattr(y, "shape", None)
    if shape is None and isinstance(y, (list, tuple)) and len(y):
        first = y[0]
        return isinstance(first, (list, tuple, np.ndarray)) and len(first) > 1
    return shape is not None and len(shape) == 2 and shape[1] > 1


def check_rows(
    estimator: Any, X: Any, y: Any, *, reset: bool = True, partial_labels: bool = False
) -> tuple[Any, Any]:
    """X checked, and y, labels in an ndarray or as it is: a table, or sets."""
    refuse_dask(type(estimator).__name__, X, y)
    y = exact_integers(native(to_host(y), "y"))
    has_sets = _begins_with_set(y)
    if has_sets and not partial_labels:
        raise ValueError(
            "y holds sets: for MaxentClassifier(partial_labels=True) they are the classes of which "
            "one is true; for MultilabelMaxentClassifier make an indicator matrix of them by "
            "sklearn.preprocessing.MultiLabelBinarizer."
        )
    has_sets = has_sets or (partial_labels and _sets(y) is not None)
    if not (has_sets or is_table(y)):
        X, y = _validation.check_data(estimator, X, y, reset=reset)
        return X, y
    X = _validation.check_data(estimator, X, reset=reset)
    check_consistent_length(X, y)
    return X, y


def observe(y: Any, classes: Array | None = None, *, partial_labels: bool = False) -> Observed:
    """What y says; of given classes some may be absent, and a frame's columns are found by name."""
    y = exact_integers(native(y, "y"))
    refuse_masked(y, "y")
    sets = _sets(y) if partial_labels else None
    if sets is not None:
        return _from_sets(sets, classes)
    if is_table(y):
        return _from_table(y, classes, partial_labels)
    classes, codes = _validation.encode_labels(np.asarray(y), classes)
    return Observed(classes, codes)


def _begins_with_set(y: Any) -> bool:
    if not (isinstance(y, (list, tuple)) or str(getattr(y, "dtype", "")) == "object"):
        return False
    return isinstance(next(iter(y), None), (set, frozenset))


def _sets(y: Any) -> list[Any] | None:
    """y as a list, where any of its elements is a set."""
    if sp.issparse(y) or getattr(y, "ndim", 1) != 1 or not isinstance(y, Iterable):
        return None
    rows = list(y)
    return rows if any(isinstance(row, (set, frozenset)) for row in rows) else None


def _from_sets(rows: list[Any], classes: Array | None) -> Observed:
    sets = [row if isinstance(row, (set, frozenset)) else {row} for row in rows]
    empty = [i for i, row in enumerate(sets) if not row]
    if empty:
        raise ValueError(f"y has empty sets in the rows {empty[:5]}; expected a class or more.")
    labels = set().union(*sets)
    if classes is None:
        kinds = {type(label) for label in labels}
        if kinds == {int}:
            every = integers(labels)
        else:
            every = np.array(list(labels), dtype=None if len(kinds) == 1 else object)
        classes, _ = _validation.encode_labels(every)
    # Times of NumPy and of Python are equal, but have other hashes.
    position = {label: code for code, label in enumerate(classes)}
    position |= {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in labels if label not in position]
    if unknown:
        raise ValueError(f"y has the labels {unknown}; expected labels among {classes.tolist()}.")
    counts = np.zeros((len(sets), len(classes)))
    for i, row in enumerate(sets):
        counts[i, [position[label] for label in row]] = 1.0
    return _simplest(Observed(classes, counts=counts, sets=True))


def _from_table(y: Any, classes: Array | None, partial_labels: bool) -> Observed:
    y, names = _columns_in_order(y, classes)
    try:
        y = y.toarray() if sp.issparse(y) else np.asarray(y)
    except ValueError as error:
        raise ValueError(
            "y has rows of different lengths; expected the same number of columns in each row, "
            f"or, with partial_labels=True, sets of labels such as {{{y[0][0]!r}}}."
        ) from error
    if y.ndim != 2:
        raise ValueError(f"y has the shape {y.shape}; {EXPECTED}.")
    is_boolean = y.dtype == bool
    counts = _numbers(y)
    if classes is not None and len(classes) != y.shape[1]:
        raise ValueError(
            f"y has {y.shape[1]} columns; expected one for each of {classes.tolist()}."
        )
    if not np.isfinite(counts).all():
        raise ValueError(f"y contains NaN or infinity; {EXPECTED}.")
    if (counts < 0.0).any():
        raise ValueError(f"y has negative entries, the least {counts.min()}; {EXPECTED}.")
    empty = np.flatnonzero(~counts.any(axis=1))
    if len(empty):
        raise ValueError(
            f"y has nothing but zeros in {len(empty)} rows, such as {empty[:5].tolist()}: they say "
            "nothing of their class; drop them."
        )
    wrong = counts[~np.isin(counts, (0.0, 1.0))] if partial_labels else counts[:0]
    if len(wrong):
        raise ValueError(
            "with partial_labels=True a table y says which classes are possible: expected True and "
            f"False, or 0 and 1, or sets of labels; found {wrong[0]}."
        )
    several = np.flatnonzero((counts > 0.0).sum(axis=1) > 1)
    if is_boolean and len(several) and not partial_labels:
        raise ValueError(
            f"y is a boolean table with several True in {len(several)} rows, such as "
            f"{several[:5].tolist()}, which can mean two things: write partial_labels=True if one "
            "of them is the class, or y.astype(float) if there is an observation of each; for "
            "several labels a row use MultilabelMaxentClassifier."
        )
    unseen = ~counts.any(axis=0)
    if classes is None and unseen.any():
        raise ValueError(
            f"y has nothing but zeros in the columns {names[unseen].tolist()}: a class that was "
            "never seen has no finite intercept; drop it."
        )
    classes = names if classes is None else classes
    return _simplest(Observed(classes, counts=counts, sets=partial_labels))


def _columns_in_order(y: Any, classes: Array | None) -> tuple[Any, Array]:
    """A table with its columns in the order of the classes, and these; sorted where not given."""
    if not hasattr(y, "columns"):
        width = y.shape[1] if hasattr(y, "shape") else len(y[0])
        return y, np.arange(width)
    labels = list(y.columns)
    if any(isinstance(label, tuple) for label in labels):
        raise ValueError(
            f"y has columns of several levels, such as {labels[0]}; expected a label of a class "
            "for each column."
        )
    if classes is None:
        several = sorted({str(label) for label in labels if labels.count(label) > 1})
        if several:
            raise ValueError(f"y has more than one column {several}.")
        try:
            ordered = np.array(sorted(labels))
        except TypeError as error:
            raise ValueError(
                f"y has columns with names that cannot be sorted together, {labels}; expected "
                "labels of one type."
            ) from error
    else:
        ordered = classes
        missing = [label for label in classes.tolist() if label not in labels]
        if missing or len(labels) != len(classes):
            raise ValueError(
                f"y has the columns {labels}; expected a column for each of {classes.tolist()}."
            )
    return columns_in_order(y, [labels.index(label) for label in ordered.tolist()]), ordered


def _numbers(y: Array) -> Array:
    try:
        if y.dtype.kind == "c":
            raise TypeError("complex")
        return y.astype(np.float64)
    except (TypeError, ValueError) as error:
        if pd.isna(y).any():
            raise ValueError(f"y contains NaN or other missing entries; {EXPECTED}.") from error
        raise ValueError(
            f"y has the shape {y.shape} and holds {y.ravel().tolist()[0]!r}; {EXPECTED}."
        ) from error


def _simplest(observed: Observed) -> Observed:
    """With codes, where each row knows of one class."""
    counts = observed.table
    if (np.count_nonzero(counts, axis=1) > 1).any():
        return observed
    codes = counts.argmax(axis=1)
    multiplicity = counts[np.arange(len(counts)), codes]
    if (multiplicity == 1.0).all():
        return Observed(observed.classes, codes)
    return Observed(observed.classes, codes, multiplicity=multiplicity)


def row_targets(
    observed: Observed,
    sample_weight: Array | None = None,
    class_weight: Array | None = None,
    smoothing: float = 0.0,
) -> RowTargets:
    """One weight a row, scaled to at most 1, so that no sum of them can overflow, and its target.

    The weight of a row of counts is their sum: it is so many observations.
    """
    K, n = len(observed.classes), observed.n_samples
    factors = [sample_weight, observed.multiplicity]
    codes = observed.codes
    targets = np.empty(0) if codes is None else codes
    if codes is None:
        top = float(observed.table.max())
        counts = observed.table / top
        if class_weight is not None and not observed.sets:
            counts = counts * (class_weight / max(class_weight.max(), 1e-300))
            top *= class_weight.max()
        sums = counts.sum(axis=1)
        targets = counts / np.where(sums > 0.0, sums, 1.0)[:, None]
        if not observed.sets:
            factors.append(sums * top)
    elif class_weight is not None:
        factors.append(class_weight[codes])
    given = [factor for factor in factors if factor is not None]
    weights, scale = np.ones(n), 1.0
    for factor in given:
        top = float(factor.max())
        weights = weights * (factor / top) if top > 0.0 else np.zeros(n)
        scale = min(max(scale * top, 1e-300), 1e300) if top > 0.0 else scale
    weights = np.where(weights < _validation.NEGLIGIBLE_WEIGHT, 0.0, weights)
    totals = np.bincount(codes, weights, K) if codes is not None else weights @ targets
    active = np.flatnonzero(totals > 0.0)
    totals = observed.totals(sample_weight)
    outcomes = outcomes_of(active, observed.classes, totals, scale, smoothing)
    if codes is not None:
        targets = positions(outcomes.active, K)[codes]
    else:
        single = outcomes.model.n_logits == 1
        targets = targets[:, 1] if single else targets[:, outcomes.active]
    return RowTargets(
        **vars(outcomes),
        targets=targets,
        weights=weights if given else None,
        observations=observed.per_row(sample_weight),
    )


def outcomes_of(
    active: Array, classes: Array, totals: Array, scale: float, smoothing: float
) -> Outcomes:
    """What rows say whose weight is in the classes that are `active`, two or more.

    Two classes have a single logit, but not where they are two of more, whose coefficients are
    penalised each.
    """
    K = len(classes)
    if len(active) < 2:
        names = [str(label) for label in classes[active]]
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data with positive weight "
            f"(sample_weight times class_weight), but found {len(active)} class: {names}."
        )
    if smoothing:
        active = np.arange(K)  # each has a share of every row
    k = len(active)
    model = Softmax(k, smoothing) if k < K else likelihood(K, smoothing)
    return Outcomes(scale, active, totals, model)


def positions(active: Array, n_classes: int) -> Array:
    """Of each class among those that are active; 0 for the others, which no row has."""
    position = np.zeros(n_classes, dtype=np.intp)
    position[active] = np.arange(len(active))
    return position


def given_in_memory(X: Any, classes: Array, rows: RowTargets, logits: Array | None = None) -> Given:
    """Rows of checked arrays, where X is; `logits` are offsets of all classes."""
    targets, weights = rows.targets, rows.weights
    targets = targets.astype(X.dtype) if targets.dtype.kind == "f" else targets
    weights = weights if weights is None else weights.astype(X.dtype)
    offset = logits if logits is None else _validation.offset_of(logits, rows.active)
    n_logits = rows.model.n_logits
    blocks = DeviceBlocks if isinstance(X, DeviceArray) else RowBlocks
    return Given(
        classes,
        X.shape[1],
        rows,
        lambda workers: blocks(X, targets, weights, offset, n_logits=n_logits, workers=workers),
    )
