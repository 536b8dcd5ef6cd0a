"""TrainingData: the checked rows of a fit, and their targets and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._input._observations import Observations
from skmaxent._input._validation import offset_of, without_negligible
from skmaxent._objective._likelihood import Likelihood, Softmax, likelihood
from skmaxent._storage._arrays import check_coefficients_fit
from skmaxent._storage._device_array import DeviceArray
from skmaxent._storage._device_blocks import DeviceBlocks
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._row_targets import in_dtype
from skmaxent._storage._storage import Storage
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array

# The product of the largest weights is kept within this range: it neither overflows nor vanishes.
SMALLEST_SCALE, LARGEST_SCALE = 1e-300, 1e300


@dataclass(frozen=True)
class TrainingData:
    """The checked rows of a fit.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    names : ndarray of shape (n_features,) or None
        The names of the columns of X; None if X had none that are strings.
    n_features : int
    active : ndarray of int
        The positions in `classes` of those with a positive weight, which are fitted.
    totals : ndarray of shape (n_classes,)
        The relative number of observations of each class, before class weights.
    scale : float
        The number by which the user's weights were divided.
    likelihood : Likelihood
        The likelihood of the active classes.
    storage : callable
        Returns, for given `Workers`, the `Storage` with X and the targets, weights and offsets of
        the active classes.
    observations : ndarray of shape (n_samples,) or None
        The number of observations of each row times its sample weight, without class weights. None
        stands for ones, and for Dask collections.
    class_shares : ndarray of shape (n_samples, n_classes) or None
        The observed shares of the classes in each row, if class weights made the targets of a table
        of counts differ from them.
    class_weight : ndarray of shape (n_classes,) or None
        The class weights; None stands for ones.
    """

    classes: Array
    names: Array | None
    n_features: int
    active: Array
    totals: Array
    scale: float
    likelihood: Likelihood
    storage: Callable[[Workers], Storage]
    observations: Array | None = None
    class_shares: Array | None = None
    class_weight: Array | None = None

    def __post_init__(self) -> None:
        """Raise MemoryError if memory has no room for the coefficients."""
        check_coefficients_fit(self.likelihood.n_logits, self.n_features)

    @property
    def has_absent_classes(self) -> bool:
        """Whether some class has no row of positive weight."""
        return len(self.active) < len(self.classes)


def data_in_memory(
    X: Any,
    observed: Observations,
    names: Array | None,
    sample_weight: Array | None = None,
    class_weight: Array | None = None,
    *,
    smoothing: float = 0.0,
    offset: Array | None = None,
) -> TrainingData:
    """Return the training data of checked arrays, which stay on the device of X.

    Parameters
    ----------
    X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
    observed : Observations
    names : ndarray of shape (n_features,) or None
    sample_weight : ndarray of shape (n_samples,), optional
    class_weight : ndarray of shape (n_classes,), optional
    smoothing : float, default=0.0
        The weight of the uniform distribution in the targets.
    offset : ndarray of shape (n_samples, n_classes) or (n_samples, 1), optional
    """
    classes = observed.classes
    targets, weights, scale, present = _weighted_targets(observed, sample_weight, class_weight)
    active, of_active = fitted_classes(present, classes, smoothing)
    is_reweighted = class_weight is not None and observed.codes is None and not observed.are_sets
    if observed.codes is not None:
        targets = positions_among(active, len(classes))[targets]
    else:
        targets = targets[:, 1] if of_active.n_logits == 1 else targets[:, active]
    return TrainingData(
        classes,
        names,
        X.shape[1],
        active,
        observed.totals(sample_weight),
        scale,
        of_active,
        storage_in_memory(
            X,
            targets,
            weights,
            None if offset is None else offset_of(offset, active),
            n_logits=of_active.n_logits,
        ),
        observed.per_row(sample_weight),
        _shares(observed, None)[0] if is_reweighted else None,
        class_weight,
    )


def storage_in_memory(
    X: Any, targets: Any, weights: Array | None, offset: Array | None = None, *, n_logits: int
) -> Callable[[Workers], Storage]:
    """Return a function from `Workers` to the storage of checked arrays.

    Weights are converted to the dtype of X, and targets by `in_dtype`. See `RowBlocks` for the
    parameters.
    """
    targets = in_dtype(targets, X.dtype)
    weights = None if weights is None else weights.astype(X.dtype)
    blocks = DeviceBlocks if isinstance(X, DeviceArray) else RowBlocks
    return lambda workers: blocks(X, targets, weights, offset, n_logits=n_logits, workers=workers)


def _weighted_targets(
    observed: Observations, sample_weight: Array | None, class_weight: Array | None
) -> tuple[Array, Array | None, float, Array]:
    """Return the targets and weights of rows for all classes.

    The weight of a row is the product of its sample weight, the class weight and its number of
    observations, which is the sum of its counts.

    Returns
    -------
    targets : ndarray of int (n_samples,), or of float (n_samples, n_classes)
        Codes, or shares of the classes.
    weights : ndarray of shape (n_samples,) or None
        The weights divided by the largest, so that sums do not overflow; None stands for ones.
    scale : float
        The number by which the weights were divided.
    present : ndarray of int
        The positions of the classes with a positive weight.
    """
    codes, K = observed.codes, len(observed.classes)
    factors = [sample_weight, observed.multiplicity]
    if codes is None:
        targets, sums = _shares(observed, class_weight)
        factors.append(None if observed.are_sets else sums)
    else:
        targets = codes
        factors.append(None if class_weight is None else class_weight[codes])
    given = [factor for factor in factors if factor is not None]
    weights, scale = _product(given, observed.n_samples)
    totals = np.bincount(codes, weights, K) if codes is not None else weights @ targets
    present = np.flatnonzero(totals > 0.0)
    if not observed.are_sets or codes is not None:
        return targets, weights if given else None, scale, present
    # A row for which all classes are possible has no loss.
    informative = np.where(observed.table[:, present].all(axis=1), 0.0, weights)
    if np.array_equal(informative @ targets > 0.0, totals > 0.0):
        return targets, informative, scale, present
    return targets, weights if given else None, scale, present


def _shares(observed: Observations, class_weight: Array | None) -> tuple[Array, Array]:
    """Return the share of each class in the counts of each row, and the sum of the row's counts.

    The shapes are (n_samples, n_classes) and (n_samples,). Class weights multiply counts, but not
    the ones that mark the possible classes of a set.
    """
    top = float(observed.table.max())
    counts = observed.table / top
    if class_weight is not None and not observed.are_sets:
        largest = float(class_weight.max())
        counts = counts * (class_weight / max(largest, SMALLEST_SCALE))
        top *= largest
    sums = counts.sum(axis=1)
    return counts / np.where(sums > 0.0, sums, 1.0)[:, None], sums * top


def _product(factors: list[Array], n_samples: int) -> tuple[Array, float]:
    """Return the product of several weights of each row divided by a number, and the number.

    The number is the product of those of `divided` for the `factors`, each of shape (n_samples,).
    Negligible weights become zero.
    """
    weights, scale = np.ones(n_samples), 1.0
    for factor in factors:
        relative, unit = divided(factor, weights)
        weights = weights * relative
        scale = min(max(scale * unit, SMALLEST_SCALE), LARGEST_SCALE)
    return without_negligible(weights), scale


def divided(factor: Array, weights: Array) -> tuple[Array, float]:
    """Return a factor of weights divided by a number, and the number.

    The number is the largest entry of the factor, so that no product overflows, times a power of
    two. The largest product of weights and result is then between 1/2 and 1, also if large entries
    of the factor meet small weights. Both arrays have the same shape, and weights are at most 1. A
    factor of zeros stays as it is.
    """
    top = float(factor.max())
    if not top > 0.0:
        return factor, 1.0
    factor = factor / top
    mantissa, exponent = np.frexp(float((weights * factor).max()))
    lowered = float(np.ldexp(1.0, min(int(exponent) - int(mantissa == 0.5), 0)))
    return factor / lowered, top * lowered


def fitted_classes(present: Array, classes: Array, smoothing: float) -> tuple[Array, Likelihood]:
    """Return the positions of the classes that are fitted, and their likelihood.

    Two classes have a single logit. Two fitted classes of more have a logit each, because then the
    coefficients of each class are penalised.

    Parameters
    ----------
    present : ndarray of int
        The positions of the classes with a positive weight.
    classes : ndarray of shape (n_classes,)
    smoothing : float
        The weight of the uniform distribution in the targets, which gives every class a share of
        every row.

    Raises
    ------
    ValueError
        If fewer than two classes have a positive weight.
    """
    K = len(classes)
    if len(present) < 2:
        names = [str(label) for label in classes[present]]
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data with positive weight "
            f"(sample_weight times class_weight), but found {len(present)} class: {names}."
        )
    active = np.arange(K) if smoothing else present
    k = len(active)
    return active, Softmax(k, smoothing) if k < K else likelihood(K, smoothing)


def positions_among(active: Array, n_classes: int) -> Array:
    """Return the position of each class in `active`, shape (n_classes,).

    Classes that are not in `active` get 0, because no row of positive weight has them.
    """
    position = np.zeros(n_classes, dtype=np.intp)
    position[active] = np.arange(len(active))
    return position
