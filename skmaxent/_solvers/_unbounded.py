"""Marks of separated classes: without a penalty there may be no finite optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent._block import Block
from skmaxent._objective import MultinomialObjective

Array = NDArray[Any]

# A logit with a standard error as large as this is unbounded: probabilities from 0 to 1.
UNKNOWN_LOGIT = 100.0
# Where a logit goes to infinity each step changes it by about one, for its loss is exp(-z).
LASTING = 0.5
# The distance from which on this is looked at; much closer, rounding hides it.
NEAR = 1e-3


def is_separated(objective: MultinomialObjective, loss: float) -> bool:
    """Whether every row has more than half of the probability on its own class.

    Then any multiple of the coefficients separates, and without a penalty F has no minimum. A
    total loss below log 2 of the lightest row proves it.
    """
    if objective.penalty.strength.any():
        return False
    if not objective.blocks.has_codes or objective.likelihood.smoothing:
        return False  # there is no loss of zero to come near to
    lightest = objective.blocks.weight_sums.least
    return bool(loss * objective.total_weight < np.log(2.0) * lightest)


def is_unbounded(
    objective: MultinomialObjective,
    newton_step: Array,
    distance: float,
    unpenalised: NDArray[np.bool_] | None = None,
) -> bool:
    """Whether F still decreases along a direction in which some logits go to infinity.

    There gradient and curvature vanish together: the next step changes a logit as much as the
    last, though F gains nothing. Elsewhere a logit changes by its standard error at most times
    the distance; one so large that nothing is known of the logit is the mark of separation. What
    is penalised is bounded: `unpenalised` marks the other coefficients of θ, and those that the
    objective's ridge leaves free are meant where it is not given.
    """
    if unpenalised is None:
        unpenalised = np.append(objective.penalty.strength == 0.0, True)
    if not unpenalised[..., :-1].any():
        return False
    step = np.where(unpenalised, newton_step, 0.0)
    (change,) = objective.blocks.map_reduce(
        _range_of_logits,
        objective.likelihood.is_coupled,
        *objective.for_blocks(step),
        combine=np.maximum,
    )
    return float(change) > max(UNKNOWN_LOGIT * distance, LASTING)


def _range_of_logits(block: Block, is_coupled: bool, coef: Array, intercept: Array) -> tuple[Any]:
    Z = block.logits(coef, intercept)
    if not is_coupled:
        return (block.largest(np.abs(Z).max(axis=0)),)
    return (block.largest(Z.max(axis=0) - Z.min(axis=0)),)
