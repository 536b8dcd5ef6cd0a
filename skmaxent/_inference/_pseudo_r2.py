"""Tjur's coefficient of discrimination, from sums over the rows of a fit."""

from __future__ import annotations

import numpy as np

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array


def discrimination(point: Point) -> Array:
    """Return Tjur's coefficient of each class, (n_classes,).

    The coefficient of a class is the mean of its probability over the rows of the class minus the
    mean over all other rows. Means are weighted; a row of counts belongs to each class in
    proportion to its counts.

    Parameters
    ----------
    point : Point
        The loss at the coefficients, whose likelihood has no label smoothing.
    """
    own, shares, probabilities, total = point.map_reduce(_sums)
    mean_of_own_rows = np.asarray(own) / shares
    mean_of_other_rows = (np.asarray(probabilities) - own) / (total - shares)
    return np.asarray(mean_of_own_rows - mean_of_other_rows)


def _sums(context: KernelContext) -> tuple[Array, Array, Array, Array]:
    """Return weighted sums over the rows of a block of y p, y and p, and the sum of the weights.

    y is the share of a class in the observations of a row, and p its probability. The first three
    sums have the shape (n_classes,).
    """
    model = context.likelihood
    weights = np.asarray(on_host(context.weights), float)
    y = np.asarray(on_host(model.outcomes(model.dense_targets(context.block.targets))), float)
    P = np.asarray(on_host(context.probabilities_of_outcomes()), float)
    return (y * P) @ weights, y @ weights, P @ weights, weights.sum()
