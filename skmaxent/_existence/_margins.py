"""Kernels over blocks of rows: by how much a direction raises a row's own classes over the others.

A direction D of the coefficients changes the logits of a row, and so the margins of its pairs:

- For softmax, a pair is a row and a class. Its margin is the change of the logit of the row's own
  class minus the change of the logit of the class.
- For sigmoids, a pair is a row and a label. Its margin is the change of the logit towards the row's
  target. If the target is between 0 and 1, every change u is a loss, and the margin is -|u|.

A pair gains if its margin is positive, and loses if it is negative. D separates pairs that gain. R
is the number of logits: of classes for softmax, of labels for sigmoids, and 1 for a single label.
Two classes are a single sigmoid.

A kernel is a function of a block of rows that `Storage.map_reduce` calls for each block. The caller
of `map_reduce` passes a ufunc that combines the results of the blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from skmaxent._storage._block import Block
from skmaxent._storage._device_array import DeviceArray, on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array, KernelResult

Result = TypeVar("Result")

# A margin that is larger than this share of the scale of its rounding is not a rounding error.
STRICT_GAIN = 1e-9


class RawDirection(NamedTuple):
    """A direction of the coefficients in the units of X, which is not standardised.

    Attributes
    ----------
    coef : ndarray of shape (R, n_features)
    intercept : ndarray of shape (R,)
    intercept_size : ndarray of shape (R,)
        The intercept for X as given is that for centred columns minus Σ_j coef_j center_j. Its size
        is the sum of the absolute values of these terms, to which its rounding error is
        proportional.
    """

    coef: Array
    intercept: Array
    intercept_size: Array

    @classmethod
    def of(cls, objective: Any, D: Array) -> RawDirection:
        """Return the direction D, (R, n_features + 1), of the standardised columns."""
        coef, intercept = (np.asarray(a, float) for a in objective.coefficients(D))
        size = np.abs(D[:, -1]) + np.abs(coef) @ np.abs(objective.center)
        return cls(coef, intercept, size)


class Pairs(NamedTuple):
    """An argument of the kernels: which pairs of a row and a class count.

    Attributes
    ----------
    likelihood : Likelihood
    label : int or None
        The position of a label, for several sigmoids; None for all logits.
    face : RawDirection
        The sum of the directions of recession found so far, or zeros (see `Directions`). Pairs that
        it separates do not count.
    """

    likelihood: Any
    label: int | None
    face: RawDirection

    @property
    def is_coupled(self) -> bool:
        """Whether the link is softmax, not sigmoids."""
        return bool(self.likelihood.is_coupled)


def host_kernel(kernel: Callable[..., Result]) -> Callable[..., Result]:
    """Decorate a kernel so that its block and arguments move from a device to host memory first."""

    @functools.wraps(kernel)
    def on_host_arguments(block: Block, *args: Any) -> Result:
        return kernel(on_host_block(block), *map(to_host_memory, args))

    return on_host_arguments


def to_host_memory(argument: Any) -> Any:
    """Return an argument of a kernel with its arrays, also within tuples, in host memory."""
    if not isinstance(argument, tuple):
        return on_host(argument)
    parts = map(to_host_memory, argument)
    return type(argument)(*parts) if hasattr(argument, "_fields") else tuple(parts)


def classes_and_pairs(block: Block, pairs: Pairs) -> tuple[Array, Array]:
    """Return which classes each row has, and which of its pairs count, both of shape (R, rows).

    Returns
    -------
    own : ndarray of shape (R, rows)
        For softmax 1 for the classes of the row, else 0. For sigmoids 1 if the row has the label,
        -1 if it does not, 0.5 if its target is between, and 0 for pairs that do not count.
    counts : ndarray of shape (R, rows)
        1 for pairs that count, whose margin along `pairs.face` is not positive up to rounding; else
        0.
    """
    targets = targets_of(block, pairs)
    if pairs.is_coupled:
        own = (targets > 0.0).astype(float)
    else:
        own = np.where(targets == 1.0, 1.0, np.where(targets == 0.0, -1.0, 0.5))
    if not any(part.any() for part in pairs.face):
        return own, np.ones_like(own)
    gains = margins_of_classes(logit_changes(block, pairs.face), own, pairs.is_coupled)
    counts = (gains <= STRICT_GAIN * rounding_scales(block, pairs.face)).astype(float)
    return (own if pairs.is_coupled else own * counts), counts


def targets_of(block: Block, pairs: Pairs) -> Array:
    """Return the dense targets (R, rows), or those of `pairs.label` (1, rows) if it is not None."""
    label = pairs.label
    targets = block.targets if label is None else block.targets[:, [label]]
    return np.asarray(pairs.likelihood.dense_targets(targets))


def logit_changes(block: Block, direction: RawDirection) -> Array:
    """Return how the logits change along a direction, (R, rows), in float64 for any dtype of X."""
    coef, intercept, _ = direction
    if block.is_sparse:
        Z = np.ascontiguousarray(np.asarray(block.X @ np.ascontiguousarray(coef.T)).T)
    else:
        Z = coef @ block.X.T
    return np.asarray(Z + intercept[:, None])


def rounding_scales(block: Block, direction: RawDirection) -> Array:
    """Return, for each row, the size to which rounding errors of logit changes are proportional.

    A change is a sum. The result (rows,) is the sum of the absolute values of its terms, for the
    logit where this sum is largest.
    """
    coef, _, size = direction
    absolute = Block(
        block.index, block.start, block.stop, abs(block.X), block.targets, block.weights, None
    )
    Z = logit_changes(absolute, RawDirection(np.abs(coef), size, size))
    return np.asarray(np.maximum(Z.max(axis=0), np.finfo(float).tiny))


def margins_of_classes(U: Array, own: Array, is_coupled: bool) -> Array:
    """Return the margins of the pairs of each row with each class or label, (R, rows).

    If a row of a softmax has several classes, its margins are those of its class whose logit
    increases least. The margins of a row without a class are 0: the row weighs nothing, and its
    classes are not fitted. Margins of sigmoids are 0 where `own` is 0.

    Parameters
    ----------
    U : ndarray of shape (R, rows)
        Changes of the logits.
    own : ndarray of shape (R, rows)
        The classes of the rows, as `classes_and_pairs` returns them.
    is_coupled : bool
        Whether the link is softmax, not sigmoids.
    """
    if is_coupled:
        least = np.where(own > 0.0, U, np.inf).min(axis=0)
        return np.asarray(np.where(own.any(axis=0), least - U, 0.0))
    return np.asarray(np.where(np.abs(own) == 1.0, own * U, np.where(own == 0.0, 0.0, -np.abs(U))))


def margins_that_count(block: Block, pairs: Pairs, direction: RawDirection) -> tuple[Array, Array]:
    """Return the classes of the rows, and margins divided by the scale of rounding, both (R, rows).

    The classes are those of `classes_and_pairs`. Margins of pairs that do not count are 0.
    """
    own, counts = classes_and_pairs(block, pairs)
    margins = margins_of_classes(logit_changes(block, direction), own, pairs.is_coupled)
    return own, np.where(counts > 0.0, margins, 0.0) / rounding_scales(block, direction)


def rows_with_weight(block: Block) -> Array:
    """Return which rows have a positive weight, (rows,)."""
    if block.weights is None:
        return np.ones(block.stop - block.start, dtype=bool)
    return np.asarray(block.weights > 0.0)


def on_device_of(block: Block, values: Array) -> Any:
    """Return an array in host memory as an array on the device of the block's rows."""
    if isinstance(block.X, DeviceArray):
        return DeviceArray(block.X.place.put(values), block.X.place)
    return values


@host_kernel
def largest_loss_and_gain(
    block: Block, pairs: Pairs, direction: RawDirection, errors: RawDirection
) -> tuple[Any, Any]:
    """Return the largest loss and the largest gain of a pair, divided by the scale of rounding.

    The scale includes that of `errors`, to which errors of the coefficients are proportional.
    """
    own, counts = classes_and_pairs(block, pairs)
    margins = margins_of_classes(logit_changes(block, direction), own, pairs.is_coupled)
    scale = rounding_scales(block, direction) + rounding_scales(block, errors)
    margins = (np.where(counts > 0.0, margins, 0.0) / scale)[:, rows_with_weight(block)]
    return -margins.min(initial=0.0), margins.max(initial=0.0)


@host_kernel
def least_gain(block: Block, pairs: Pairs, direction: RawDirection) -> tuple[Any, Any]:
    """Return the least margin of a row and another class, and -1 if a row has several classes.

    The second result is 0 if each row has one class, and for sigmoids. If a row has several
    classes, complete separation is impossible, because the loss of the row grows if one of these
    classes gains on another. Margins are divided by the scale of rounding. All pairs must count.
    """
    own, margins = margins_that_count(block, pairs, direction)
    margins = margins[:, rows_with_weight(block)]
    if not pairs.is_coupled:
        return margins.min(initial=np.inf), 0.0
    own = own[:, rows_with_weight(block)]
    single = own.sum(axis=0) == 1.0
    others = np.where(own == 0.0, margins, np.inf)
    return others.min(initial=np.inf), np.where(single, 0.0, -1.0).min(initial=0.0)


@host_kernel
def gains_of_classes(block: Block, pairs: Pairs, direction: RawDirection) -> KernelResult:
    """Return for each class (R,) the largest margin of its rows over any other class, at least 0.

    For sigmoids the result is a single number, the largest margin of all pairs. Margins are divided
    by the scale of rounding.
    """
    own, margins = margins_that_count(block, pairs, direction)
    margins = margins * rows_with_weight(block)
    if not pairs.is_coupled:
        return (margins.max(initial=0.0),)
    return ((own * margins.max(axis=0)).max(axis=1, initial=0.0),)


@host_kernel
def largest_relative_margin(block: Block, pairs: Pairs, direction: RawDirection) -> KernelResult:
    """Return the largest absolute margin of a counting pair, divided by the scale of rounding."""
    _, margins = margins_that_count(block, pairs, direction)
    return (np.abs(margins)[:, rows_with_weight(block)].max(initial=0.0),)


def are_separated(block: Block, pairs: Pairs) -> Array:
    """Return which rows of positive weight the face separates from some class, (rows,)."""
    rows = on_host_block(block)
    _, counts = classes_and_pairs(rows, to_host_memory(pairs))
    return on_device_of(block, (counts == 0.0).any(axis=0) & rows_with_weight(rows))


@host_kernel
def largest_loss_to_gain(
    block: Block, pairs: Pairs, direction: RawDirection, other: RawDirection
) -> KernelResult:
    """Return the largest ratio of a pair's loss along `other` to its gain along `direction`.

    Pairs that do not gain along `direction` are left out.
    """
    own, _ = classes_and_pairs(block, pairs)
    gains = margins_of_classes(logit_changes(block, direction), own, pairs.is_coupled)
    losses = -margins_of_classes(logit_changes(block, other), own, pairs.is_coupled)
    strict = gains > STRICT_GAIN * rounding_scales(block, direction)
    ratio = np.where(strict, losses / np.where(strict, gains, 1.0), 0.0)
    return (ratio[:, rows_with_weight(block)].max(initial=0.0),)
