"""The in-sample scores of a path: those of the rows of each fit with its own coefficients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skmaxent._leverage._left_out_units import Units
from skmaxent._model import _prediction
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._storage._block import Block
from skmaxent._typing import Array

# The largest number of entries of the logits of the rows at several Cs, 32 megabytes.
ENTRIES_AT_A_TIME = 1 << 22

# A function that returns the mean score and its standard error. Its arguments are log-probabilities
# of the classes for each unit that is left out, (n_units, n_classes), the units, and a mask
# (n_units,) of the units that do not count, because no other unit has their class.
MeanAndError = Callable[[Array, Units, Array], tuple[float, float]]


def in_sample_scores(
    training: TrainingProblem,
    path: MaxentPath,
    order: Array,
    score: MeanAndError,
    units: Units,
    is_single: Array,
) -> Array:
    """Return the in-sample scores and their standard errors at some Cs of a path, (2, n).

    Parameters
    ----------
    training : TrainingProblem
    path : MaxentPath
    order : ndarray of int, shape (n,)
        The positions of the Cs in the path.
    score : callable
        See `MeanAndError`, of which the last two parameters are arguments too.
    """
    blocks, to_problem = training.blocks, training.columns.to_problem
    n, R = blocks.n_samples, blocks.n_logits
    step = max(1, ENTRIES_AT_A_TIME // (n * R))
    found = []
    for start in range(0, len(order), step):
        some = order[start : start + step]
        pairs = [to_problem(path.coefs[at], path.intercepts[at]) for at in some]
        coef = np.concatenate([pair[0] for pair in pairs]).astype(float)
        intercept = np.concatenate([pair[1] for pair in pairs]).astype(float)
        logits = np.empty((len(coef), n))
        blocks.map_reduce(_write_logits, coef, intercept, R, logits)
        log_proba = _prediction.log_softmax(logits.reshape(-1, R, n), 1)
        found += [score(each[:, units.row].T, units, is_single) for each in log_proba]
    return np.array(found).T


def _write_logits(block: Block, coef: Array, intercept: Array, R: int, out: Array) -> tuple[Array]:
    """Write the logits of several models, offsets included, for the rows of a block (a kernel).

    `coef`, `intercept` and `out` have R rows for each model, and `out` a column for each row of
    data. The result is not used; `map_reduce` needs one.
    """
    Z = block.logits_without_offset(coef, intercept)
    if block.offset is not None:
        Z.reshape(-1, R, Z.shape[1])[:] += block.offset.T
    out[:, block.start : block.stop] = Z
    return (np.zeros(()),)
