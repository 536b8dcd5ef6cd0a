"""Checks of offsets, weights, groups and class shares, and their conversion to arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils import check_array

from skmaxent._input._interchange import (
    columns_in_order,
    names_of_series,
    native,
    refuse_masked,
)
from skmaxent._input._numbers import as_floats, is_number, refuse_times
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

# Sample weights below this share of the largest count as zero. They cannot change sums in float64,
# whose precision is 1e-16, nor the fit; and their reciprocals could overflow in float32.
NEGLIGIBLE_WEIGHT = 1e-30
# From rows whose largest offset is above this in absolute value, the largest offset is subtracted.
LARGE_OFFSET = 1e4


def is_no_offset(offset: ArrayLike | None) -> bool:
    """Return whether an offset is None or the number 0."""
    return offset is None or (is_number(offset) and offset == 0)


def check_offset(
    offset: ArrayLike | None,
    n_samples: int,
    classes: Array,
    dtype: DTypeLike,
    *,
    keep_shared: bool = False,
) -> Array | None:
    """Return offsets as an array (n_samples, n_classes), or None if there are none.

    For two classes the shape is (n_samples, 1), the offset of the log-odds of the second class.
    Columns of a frame are matched with the classes by name. For more classes, a large number that
    all offsets of a row have in common is subtracted, unless `keep_shared`: it changes no
    probabilities, and would hide digits of the logits. Raises ValueError for offsets whose squares
    overflow in `dtype`, that of X.
    """
    if is_no_offset(offset):
        return None
    K = len(classes)
    offset = native(to_host(offset), "offset")
    refuse_masked(offset, "offset")
    refuse_times(offset, "offset")
    if hasattr(offset, "columns"):
        names = list(offset.columns)
        missing = [label for label in classes.tolist() if label not in names]
        if missing:
            raise ValueError(
                f"offset has no columns for the classes {missing}; expected a column for each of "
                f"{classes.tolist()}."
            )
        offset = columns_in_order(offset, [names.index(label) for label in classes.tolist()])
    try:
        array: Array = check_array(offset, ensure_2d=False, dtype=np.float64, input_name="offset")
    except (TypeError, ValueError, OverflowError) as error:
        if "offset" in str(error):
            raise
        raise ValueError(
            f"offset must be numbers of shape ({n_samples}, {K}), or None: {error}"
        ) from error
    if K == 2 and array.shape == (n_samples,):
        array = array[:, None]
    elif K == 2 and array.shape == (n_samples, 2):
        array = array[:, 1:] - array[:, :1]
    elif array.shape != (n_samples, K) and array.shape != (n_samples, 1):
        expected = f"({n_samples}, {K})" + (f" or ({n_samples},)" if K == 2 else "")
        raise ValueError(f"offset has the shape {array.shape}; expected {expected}.")
    elif K > 2 and array.shape == (n_samples, 1):
        raise ValueError(
            f"offset has the shape {array.shape}; expected ({n_samples}, {K}), a column for each "
            "class. A single column would add the same offset to all classes, which would not "
            "change their probabilities."
        )
    dtype = np.dtype(dtype)
    limit = math.sqrt(float(np.finfo(dtype).max))
    largest = float(np.abs(array).max(initial=0.0))
    if not largest < limit:
        raise ValueError(
            f"offset has values of the size {largest:.2g}; expected less than {limit:.1g}, because "
            f"sums of squares would overflow in {dtype.name}, the dtype of X. Offsets are added to "
            "log-odds: did you forget a logarithm?"
        )
    if K > 2 and not keep_shared:
        top = array.max(axis=1, keepdims=True, initial=-np.inf)
        if largest > LARGE_OFFSET and (np.abs(top) > LARGE_OFFSET).any():
            array = array - np.where(np.abs(top) > LARGE_OFFSET, top, 0.0)
    return array.astype(dtype, copy=False)


def offset_of(offset: Array, active: Array) -> Array:
    """Return the offsets of the active classes; a single column, of two classes, stays as it is."""
    return offset if offset.shape[1] == 1 else offset[:, active]


def check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> Array | None:
    """Return sample weights as float64 of shape (n_samples,); None stands for ones.

    Weights that are negligible beside the largest become zero. Raises ValueError unless weights are
    finite and nonnegative, and at least one is positive.
    """
    if sample_weight is None:
        return None
    sample_weight = to_host(sample_weight)
    refuse_masked(sample_weight, "sample_weight")
    refuse_times(sample_weight, "sample_weight")
    if is_number(sample_weight):
        sample_weight = np.full(n_samples, sample_weight)
    try:
        weights: Array = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
        )
    except (TypeError, ValueError, OverflowError) as error:
        if "sample_weight" in str(error):
            raise
        raise ValueError(f"sample_weight must be numeric: {error}.") from error
    if weights.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar: sample_weight has {weights.ndim} "
            f"dimensions, expected shape ({n_samples},)."
        )
    if len(weights) != n_samples:
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n_samples,)}: one weight a row."
        )
    if (weights < 0).any():
        raise ValueError(
            f"Negative values in data passed to `sample_weight`: found {weights.min()}, expected "
            "weights of zero or more."
        )
    if not weights.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number: every sample_weight is 0."
        )
    return without_negligible(weights, float(weights.max()))


def relative_weights(sample_weight: ArrayLike | None, n_samples: int) -> Array | None:
    """Return sample weights as `check_sample_weight` does, divided by the largest one.

    They are for means, which do not depend on the scale of weights. The sum of the given weights
    could overflow.
    """
    weights = check_sample_weight(sample_weight, n_samples)
    return None if weights is None else divided_by_largest(weights)


def divided_by_largest(weights: Array) -> Array:
    """Return weights divided by the largest one, or zeros if all are zero."""
    # NumPy 1 warns of an overflow for subnormal numbers, although the quotients are right.
    with np.errstate(over="ignore"):
        return np.asarray(weights / (weights.max() or 1.0))


def without_negligible(weights: Array, largest: float = 1.0) -> Array:
    """Return weights with zeros for those below `NEGLIGIBLE_WEIGHT` times the largest one.

    `largest` is the largest weight of all rows, of which `weights` may be those of some.
    """
    return np.where(weights < NEGLIGIBLE_WEIGHT * largest, 0.0, weights)


def check_groups(groups: Any, n_samples: int) -> Array:
    """Return the cluster of each row as codes 0, 1, ..., shape (n_samples,).

    Raises ValueError for missing entries, and for fewer than two clusters.
    """
    codes, labels = check_codes(groups, n_samples, "groups", "a cluster")
    if len(labels) < 2:
        raise ValueError(
            f"groups must name at least two clusters, found {len(labels)}: {list(labels)}."
        )
    return codes


def check_codes(given: Any, n_samples: int, name: str, what: str) -> tuple[Array, Any]:
    """Return the codes 0, 1, ... of labels of the rows, (n_samples,), and the distinct labels.

    `name` is that of the argument and `what` stands for a label in messages. Raises ValueError for
    other shapes and for missing entries.
    """
    import pandas as pd

    given = native(to_host(given), name)
    masked = np.ma.getmaskarray(given) if np.ma.isMaskedArray(given) else None
    # NumPy would convert None and NaN in a list of strings to strings.
    labels = np.asarray(given, dtype=object if isinstance(given, (list, tuple)) else None)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"{name} has the shape {labels.shape}; expected ({n_samples},), {what} for each row."
        )
    missing = pd.isna(labels) if masked is None else pd.isna(labels) | masked
    if missing.any():
        raise ValueError(
            f"{name} is missing (NaN, None or the like) in {int(missing.sum())} rows, such as "
            f"{np.flatnonzero(missing)[:5].tolist()}: expected {what} for every row."
        )
    codes, distinct = pd.factorize(labels)
    return np.asarray(codes), distinct


def _by_class(given: dict[Any, Any], classes: Array) -> tuple[dict[int, Any], list[Any]]:
    """Return the values of a dict by the positions of their classes, and its unknown labels.

    `given` has a value for each label. Labels that are not found by their hash are compared: a date
    equals a `numpy.datetime64` but has another hash.
    """
    position = {label: code for code, label in enumerate(classes.tolist())}
    found, unknown = {}, []
    for label, value in given.items():
        code = position.get(label)
        if code is None:
            equal = np.flatnonzero(np.atleast_1d(classes == label))
            code = int(equal[0]) if len(equal) else None
        if code is None:
            unknown.append(label)
        else:
            found[code] = value
    return found, unknown


def check_class_weight(class_weight: Any, classes: Array, totals: Array) -> Array | None:
    """Return the weight of each class, shape (n_classes,), or None for ones.

    `class_weight` is None, "balanced" or a dict. "balanced" weights are inversely proportional to
    `totals`, the numbers of observations of the classes.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        found, unknown = _by_class(class_weight, classes)
        if unknown and len(found) < len(classes):
            raise ValueError(
                f"class_weight has the labels {unknown}, which are not in y; expected labels "
                f"among {classes.tolist()}."
            )
        for label, weight in class_weight.items():
            if not is_number(weight):
                raise ValueError(
                    f"class_weight[{label!r}] is {weight!r}; expected a number, zero or more."
                )
        weights = np.array([found.get(code, 1.0) for code in range(len(classes))], dtype=float)
    else:
        present = totals > 0
        weights = np.ones(len(classes))
        weights[present] = totals.sum() / (present.sum() * totals[present])
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(
            f"class_weight must be finite and not negative, found {weights.tolist()} for the "
            f"classes {classes.tolist()}."
        )
    return np.asarray(weights)


def class_shares(given: Any, classes: Array, totals: Array) -> Array:
    """Return the shares of the classes in the population, (n_classes,), which sum to one.

    `given` is the parameter `prior_correction`: "empirical" for the shares of `totals`, the numbers
    of observations of the classes, or a dict, Series or array of shares.
    """
    if isinstance(given, str):  # "empirical"
        return np.asarray(totals / totals.sum())
    names = names_of_series(given)
    if names is not None:
        given = dict(zip(names, given.to_numpy(), strict=True))
    if isinstance(given, dict):
        found, unknown = _by_class(given, classes)
        missing = [label for code, label in enumerate(classes.tolist()) if code not in found]
        if unknown or missing:
            raise ValueError(
                f"prior_correction must have a share for each of {classes.tolist()}; unknown are "
                f"{unknown}, missing are {missing}."
            )
        given = [found[code] for code in range(len(classes))]
    try:
        shares = as_floats(given)
    except (TypeError, ValueError) as error:
        raise TypeError(f"prior_correction must hold numbers, found {given!r}.") from error
    if shares.shape != classes.shape:
        raise ValueError(
            f"prior_correction has the shape {shares.shape}; expected {classes.shape}, a share for "
            "each class."
        )
    if not (shares > 0.0).all() or abs(shares.sum() - 1.0) > 1e-6:
        raise ValueError(
            f"prior_correction must hold positive shares with the sum one, found {shares.tolist()}."
        )
    return shares
