"""Moments of the columns in which rows have the weights of their curvature."""

from __future__ import annotations

import numpy as np

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._storage._block import Block
from skmaxent._typing import Array, KernelResult


def curvature_moments(
    point: Point, sample: MultinomialObjective, *, full: bool, single: bool = False
) -> tuple[Array, Array, Array, float]:
    """Return moments over the rows of `sample`, from which a Kronecker product is computed.

    Parameters
    ----------
    point : Point
        Where the probabilities p are taken.
    sample : MultinomialObjective
    full : bool
        Whether to return products of columns, not only squares.
    single : bool, default=False
        Whether to compute products of dense columns in float32.

    Returns
    -------
    curvature, shares : ndarray of shape (R,)
        The means of p (1 - p) and of p.
    squares : ndarray of shape (d,), or (d, d) with `full`
        The sums of the squares of the standardised columns, or of their products, with the row
        weights s_i Σ_k p_k (1 - p_k).
    total : float
        The sum of these weights.
    """
    curvature, shares, squares, total = point.map_reduce(
        _curvature_moments, full, single, over=sample
    )
    return curvature / sample.total_weight, shares / sample.total_weight, squares, float(total)


def _curvature_moments(context: KernelContext, full: bool, single: bool) -> KernelResult:
    """Return the sums of `curvature_moments` over the rows of a block."""
    P, weights, columns = context.probabilities, context.weights, context.model.standardisation
    curvature, shares = (P * (1.0 - P)) @ weights, P @ weights
    spread = context.likelihood.curvature_trace(P) * weights
    if full:
        squares = columns.scatter(context.block, spread.astype(np.float64), single=single)
    else:
        squares = squares_about(context.block, spread, columns.center) / columns.scale**2
    return curvature, shares, squares, spread.sum()


def squares_about(block: Block, weights: Array, center: Array) -> Array:
    """Return the sums of squares of the columns about `center`, (d,), with `weights` (rows,)."""
    squares = block.squares(weights)
    if not center.any():
        return squares
    sums = block.weighted_sums(weights[None, :])[0]
    return (squares - 2 * center * sums + center**2 * weights.sum()).clip(0.0)
