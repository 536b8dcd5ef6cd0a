"""Tjur's coefficient of discrimination, from sums over the rows of a fit."""

from __future__ import annotations

import numpy as np

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array


def discrimination(point: Point) -> Array:
    """Return each class's mean probability in its own rows less that in all other rows.

    Rows count with their weights, and a row of counts in proportion to its counts.

    Parameters
    ----------
    point : Point
        The loss at the coefficients, whose likelihood has no label smoothing.

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    own, shares, probabilities, total = point.map_reduce(_sums)
    inside = np.asarray(own) / shares
    outside = (np.asarray(probabilities) - own) / (total - shares)
    return np.asarray(inside - outside)


def _sums(context: KernelContext) -> tuple[Array, Array, Array, Array]:
    """Return weighted sums of y p, y and p for each class, (n_classes,), and of the weights."""
    model = context.likelihood
    weights = np.asarray(on_host(context.weights), float)
    y = np.asarray(on_host(model.outcomes(model.dense_targets(context.block.targets))), float)
    P = np.asarray(on_host(model.outcomes(context.probabilities)), float)
    return (y * P) @ weights, y @ weights, P @ weights, weights.sum()
