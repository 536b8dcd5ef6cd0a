"""Conversion of y to targets and weights of the rows.

y holds for each row one of these:

- a class label, in an array of shape (n_samples,);
- counts or shares of the classes, in a table of shape (n_samples, n_classes);
- a set of possible labels with `partial_labels`, in a list of sets or in a boolean table.

A y with two or more columns is a table.
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
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import (
    columns_in_order,
    exact_integers,
    integers,
    native,
    refuse_masked,
)
from skmaxent._input._labels import encode_labels
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
        """Return the number of observations of each row times its weight, shape (n_samples,).

        The result is None if every row is one observation of weight one.
        """
        many = self.multiplicity
        if self.codes is None and not self.sets:
            many = self.table.sum(axis=1)
        if many is None or sample_weight is None:
            return sample_weight if many is None else many
        return np.asarray(many * sample_weight)

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

    def mean(self, values: Array, sample_weight: Any = None) -> float:
        """Return the weighted mean over observations of the value of the observed class.

        `values` has the shape (n_samples, n_classes). A set is one observation, whose value is the
        largest among its classes. Raises ValueError unless the weights are those of these rows.
        """
        weights = _validation.check_sample_weight(sample_weight, len(values))
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


@dataclass(frozen=True)
class Outcomes:
    """The classes of a fit with their total weights, and the likelihood of the targets.

    Attributes
    ----------
    scale : float
        The number by which the user's weights were divided.
    active : ndarray of int
        The positions among all classes of those with a positive weight, which are fitted.
    totals : ndarray of shape (n_classes,)
        The relative number of observations of each class, before class weights.
    model : Likelihood
        The likelihood of the active classes.
    """

    scale: float
    active: Array
    totals: Array
    model: Likelihood


@dataclass(frozen=True)
class Given:
    """The checked data of a fit.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    n_features : int
    outcomes : Outcomes
    stored : callable
        Returns the storage of the rows for given `Workers`.
    """

    classes: Array
    n_features: int
    outcomes: Outcomes
    stored: Callable[[Workers], Storage]

    def __post_init__(self) -> None:
        """Raise MemoryError if memory has no room for the coefficients."""
        check_coefficients_fit(self.outcomes.model.n_logits, self.n_features)


@dataclass(frozen=True)
class WeightedTargets(Outcomes):
    """The targets and weights of rows, beside the sums over all rows.

    Attributes
    ----------
    targets : ndarray
        Codes or shares of the active classes, in the form that the likelihood expects.
    weights : ndarray of shape (n_samples,) or None
        The weights of the rows, at most 1; None stands for ones.
    observations : ndarray of shape (n_samples,) or None
        The number of observations of each row times its sample weight, without class weights; None
        stands for ones.
    """

    targets: Array
    weights: Array | None
    observations: Array | None = None


def is_table(y: Any) -> bool:
    """Return whether y is a table with two or more columns, or sparse."""
    if sp.issparse(y):
        return True
    shape = getattr(y, "shape", None)
    if shape is None and isinstance(y, (list, tuple)) and len(y):
        first = y[0]
        return isinstance(first, (list, tuple, np.ndarray)) and len(first) > 1
    return shape is not None and len(shape) == 2 and shape[1] > 1


def check_rows(reader: Any, X: Any, y: Any, *, partial_labels: bool = False) -> tuple[Any, Any]:
    """Check X and y and return them.

    Parameters
    ----------
    reader : estimator or FittedColumns
        As in `check_data`.
    X, y : array-like
    partial_labels : bool, default=False
        Whether y may hold sets of possible labels.

    Returns
    -------
    X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
    y : object
        An ndarray of labels (n_samples,), or the unchanged table or sets.

    Raises
    ------
    ValueError
        If X or y are invalid, or if y holds sets without `partial_labels`.
    TypeError
        If X or y is a Dask collection.
    """
    is_fitted = isinstance(reader, FittedColumns)
    refuse_dask(reader.estimator if is_fitted else type(reader).__name__, X, y)
    y = exact_integers(native(to_host(y), "y"))
    has_sets = _begins_with_set(y)
    if has_sets and not partial_labels:
        raise ValueError(
            "y holds sets of labels; expected one label for each row. If one label of each set is "
            "true, use MaxentClassifier(partial_labels=True). If all of them are, use "
            "MultilabelMaxentClassifier with the indicator matrix that "
            "sklearn.preprocessing.MultiLabelBinarizer makes of the sets."
        )
    has_sets = has_sets or (partial_labels and _sets(y) is not None)
    if not (has_sets or is_table(y)):
        X, y = _validation.check_data(reader, X, y)
        return X, y
    X = _validation.check_data(reader, X)
    check_consistent_length(X, y)
    return X, y


def observe(y: Any, classes: Array | None = None, *, partial_labels: bool = False) -> Observations:
    """Return y in the form of `Observations`.

    Parameters
    ----------
    y : array-like
        Labels, a table, or sets with `partial_labels`.
    classes : ndarray of shape (n_classes,), optional
        The sorted classes, some of which y may lack. The columns of a frame are matched by name.
        None stands for the classes that y contains.
    partial_labels : bool, default=False
        Whether y may hold sets of possible labels.

    Raises
    ------
    ValueError
        For labels that are not among the classes, and for missing, negative or ambiguous entries.
    """
    y = exact_integers(native(y, "y"))
    refuse_masked(y, "y")
    sets = _sets(y) if partial_labels else None
    if sets is not None:
        return _from_sets(sets, classes)
    if is_table(y):
        return _from_table(y, classes, partial_labels)
    classes, codes = encode_labels(np.asarray(y), classes)
    return Observations(classes, codes)


def _begins_with_set(y: Any) -> bool:
    """Return whether y is a sequence whose first element is a set."""
    if not (isinstance(y, (list, tuple)) or str(getattr(y, "dtype", "")) == "object"):
        return False
    return isinstance(next(iter(y), None), (set, frozenset))


def _sets(y: Any) -> list[Any] | None:
    """Return y as a list if any of its elements is a set, else None."""
    if sp.issparse(y) or getattr(y, "ndim", 1) != 1 or not isinstance(y, Iterable):
        return None
    rows = list(y)
    return rows if any(isinstance(row, (set, frozenset)) for row in rows) else None


def _from_sets(rows: list[Any], classes: Array | None) -> Observations:
    """Return `Observations` for a list of sets; elements that are no sets stand for one label."""
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
        classes, _ = encode_labels(every)
    # Times of NumPy and of Python are equal, but have other hashes.
    position = {label: code for code, label in enumerate(classes)}
    position |= {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in labels if label not in position]
    if unknown:
        raise ValueError(f"y has the labels {unknown}; expected labels among {classes.tolist()}.")
    counts = np.zeros((len(sets), len(classes)))
    for i, row in enumerate(sets):
        counts[i, [position[label] for label in row]] = 1.0
    return _simplest(Observations(classes, counts=counts, sets=True))


def _from_table(y: Any, classes: Array | None, partial_labels: bool) -> Observations:
    """Return `Observations` for a table of counts, or of possible classes with `partial_labels`."""
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
            f"y has nothing but zeros in {len(empty)} rows, such as {empty[:5].tolist()}; expected "
            "a positive entry in each row: drop rows without one."
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
            f"{several[:5].tolist()}, which is ambiguous. Use partial_labels=True if one of "
            "these classes is true, y.astype(float) if there is an observation of each, and "
            "MultilabelMaxentClassifier if rows have all these labels."
        )
    unseen = ~counts.any(axis=0)
    if classes is None and unseen.any():
        raise ValueError(
            f"y has nothing but zeros in the columns {names[unseen].tolist()}; expected a positive "
            "entry in each column, because the intercept of a class without observations is not "
            "finite: drop these columns."
        )
    classes = names if classes is None else classes
    return _simplest(Observations(classes, counts=counts, sets=partial_labels))


def _columns_in_order(y: Any, classes: Array | None) -> tuple[Any, Array]:
    """Return a table with its columns in the order of the classes, and the classes.

    Without given classes these are the sorted names of the columns, or their positions if there are
    no names.
    """
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
            raise ValueError(
                f"y has more than one column {several}; expected different names of columns, one "
                "for each class."
            )
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
    """Return a table as float64; raise ValueError for missing entries and other values."""
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


def _simplest(observed: Observations) -> Observations:
    """Return codes instead of counts if each row has a single positive count."""
    counts = observed.table
    if (np.count_nonzero(counts, axis=1) > 1).any():
        return observed
    codes = counts.argmax(axis=1)
    multiplicity = counts[np.arange(len(counts)), codes]
    if (multiplicity == 1.0).all():
        return Observations(observed.classes, codes)
    return Observations(observed.classes, codes, multiplicity=multiplicity)


def row_targets(
    observed: Observations,
    sample_weight: Array | None = None,
    class_weight: Array | None = None,
    smoothing: float = 0.0,
) -> WeightedTargets:
    """Return the targets of rows, and their weights divided by the largest.

    Division keeps sums from overflowing. The weight of a row is the product of its sample weight,
    the class weight and its number of observations, which is the sum of its counts.

    Parameters
    ----------
    observed : Observations
    sample_weight : ndarray of shape (n_samples,), optional
    class_weight : ndarray of shape (n_classes,), optional
    smoothing : float, default=0.0
        The weight of the uniform distribution in the targets.
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
    # Each factor is divided by its maximum, and `scale` collects the maxima within a range that
    # neither overflows nor vanishes.
    given = [factor for factor in factors if factor is not None]
    weights, scale = np.ones(n), 1.0
    for factor in given:
        top = float(factor.max())
        weights = weights * (factor / top) if top > 0.0 else np.zeros(n)
        scale = min(max(scale * top, 1e-300), 1e300) if top > 0.0 else scale
    weights = np.where(weights < _validation.NEGLIGIBLE_WEIGHT, 0.0, weights)
    totals = np.bincount(codes, weights, K) if codes is not None else weights @ targets
    active = np.flatnonzero(totals > 0.0)
    is_dropped = False
    if observed.sets and codes is None:
        # A row for which all classes are possible has no loss.
        some = np.where(observed.table[:, active].all(axis=1), 0.0, weights)
        if is_dropped := np.array_equal(some @ targets > 0.0, totals > 0.0):
            weights = some
    totals = observed.totals(sample_weight)
    outcomes = outcomes_of(active, observed.classes, totals, scale, smoothing)
    if codes is not None:
        targets = positions(outcomes.active, K)[codes]
    else:
        single = outcomes.model.n_logits == 1
        targets = targets[:, 1] if single else targets[:, outcomes.active]
    return WeightedTargets(
        **vars(outcomes),
        targets=targets,
        weights=weights if given or is_dropped else None,
        observations=observed.per_row(sample_weight),
    )


def outcomes_of(
    active: Array, classes: Array, totals: Array, scale: float, smoothing: float
) -> Outcomes:
    """Return the `Outcomes` for the positions of the classes with a positive weight.

    Two classes have a single logit. Two active classes of more have a logit each, because then the
    coefficients of each class are penalised. Raises ValueError for fewer than two active classes.
    """
    K = len(classes)
    if len(active) < 2:
        names = [str(label) for label in classes[active]]
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data with positive weight "
            f"(sample_weight times class_weight), but found {len(active)} class: {names}."
        )
    if smoothing:
        active = np.arange(K)  # smoothing gives every class a share of every row
    k = len(active)
    model = Softmax(k, smoothing) if k < K else likelihood(K, smoothing)
    return Outcomes(scale, active, totals, model)


def positions(active: Array, n_classes: int) -> Array:
    """Return the position of each class among the active ones, shape (n_classes,).

    It is 0 for the other classes, which no row of positive weight has.
    """
    position = np.zeros(n_classes, dtype=np.intp)
    position[active] = np.arange(len(active))
    return position


def given_in_memory(
    X: Any, classes: Array, rows: WeightedTargets, logits: Array | None = None
) -> Given:
    """Return the data of a fit from checked arrays, stored on the device of X.

    `logits` are the offsets of all classes, (n_samples, n_classes) or (n_samples, 1), or None.
    """
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
