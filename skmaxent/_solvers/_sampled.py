"""A start from fits to samples of the rows, each of which is several times as large as the last.

With p parameters, the optimum for a sample of m rows is about √(n p/m) standard errors from the
optimum for all n rows. Such a start saves more time than it takes if m is a few times p, and n many
times m.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._existence import Watch
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._preconditioners import n_free_parameters
from skmaxent._solvers._record import Record
from skmaxent._solvers._smooth import newton
from skmaxent._solvers._solution import UNBOUNDED, Options
from skmaxent._storage._block import Block
from skmaxent._typing import Array

# Each sample has this many times the rows of the one before.
SAMPLE_GROWTH = 8
# Rows for each parameter in the smallest sample: fewer may be separated.
ROWS_PER_PARAMETER = 5
# If a pass over a sample has fewer multiplications, it takes the time of its calls.
LEAST_SAMPLE_WORK = 1_000_000
# The fit to a sample ends at this distance to its optimum, in units of √p standard errors. The
# optimum of the next sample is further away than that, so a smaller distance would not help.
SAMPLE_ACCURACY = 0.3
SAMPLE_ITERATIONS = 15
# Samples that would take more bytes are left out.
MOST_SAMPLE_BYTES = 1 << 26


def sampled_start(null: Point, options: Options) -> Array:
    """Return θ (R, d + 1) near the optimum, or θ of `null` if samples would not save time.

    `null` is the point of the null model, for all rows.
    """
    objective = null.objective
    blocks = objective.blocks
    p = n_free_parameters(objective)
    sizes: list[int] = []
    rows = blocks.n_samples // SAMPLE_GROWTH
    while (
        rows >= ROWS_PER_PARAMETER * p
        and rows * (blocks.work / blocks.n_samples) >= LEAST_SAMPLE_WORK
    ):
        if rows * blocks.n_features * 4 <= MOST_SAMPLE_BYTES:
            sizes.append(rows)
        rows //= SAMPLE_GROWTH
    theta = null.theta
    for rows in reversed(sizes):
        sample = objective.standardised(rows, dtype=np.float32, seed=options.seed)
        weights = class_shares(sample)
        if not (weights > 0.0).all():
            continue
        part = replace(
            options,
            tol=SAMPLE_ACCURACY * float(np.sqrt(p)),
            max_iter=SAMPLE_ITERATIONS,
            callback=None,
        )
        outcome = newton(
            sample.at(theta),
            part,
            Record(part),
            Watch(sample, confirms=False),
            is_near=theta is not null.theta,
        )
        if outcome.status in UNBOUNDED:
            return null.theta
        theta = outcome.point.theta
    return theta


def class_shares(sample: MultinomialObjective) -> Array:
    """Return the share of each class in the weighted targets of a sample, (n_classes,).

    If a share is zero, there is no optimum without a penalty.
    """
    (sums,) = sample.blocks.map_reduce(_target_sums, sample.likelihood)
    return sample.likelihood.outcomes(sums / sample.total_weight)


def _target_sums(block: Block, likelihood: Likelihood) -> tuple[Array]:
    """Return the weighted sums of the targets of a block, (R,)."""
    return (likelihood.dense_targets(block.targets) @ block.weights_or_ones().astype(float),)
