"""Fits of folds that end before their `tol` are repeated where their scores are not accurate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from skmaxent._model_selection._folds import Fold, Folds, Job
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._selection import mean_and_error
from skmaxent._typing import Array


def settled(
    folds: Folds,
    jobs: Sequence[Job],
    found: list[Fold],
    Cs: Array,
    total_weight: float | None,
    *,
    weights: Callable[[Array], Array],
    selection: str,
) -> list[Fold]:
    """Return the folds with fits up to `tol` at the Cs where `inexact` asks for them.

    Parameters
    ----------
    folds : Folds
    jobs, found : sequences of Job and Fold of length n_folds * n_l1_ratios
        The l1_ratio changes fastest.
    Cs : ndarray of shape (n_cs,)
    total_weight : float or None
        The sum of weights of the `PenaltyGrid`.
    weights : callable
        Returns the weights of the folds for the sums of the weights of their scored rows.
    selection : {"best", "one_standard_error"}
    """
    n_ratios = len({job.model.l1_ratio for job in jobs})
    shape = -1, n_ratios, len(Cs)
    none = np.zeros(len(Cs))
    errors = np.reshape([none if fold.errors is None else fold.errors for fold in found], shape)
    scores = np.reshape([fold.scores[:, 0] for fold in found], shape)
    sizes = np.reshape([fold.scored_weight for fold in found], shape[:2]).max(axis=1)
    again = inexact(scores, errors, weights(sizes), jobs[0].cv_tol, selection)
    found = list(found)
    for ratio in np.flatnonzero(again.any(axis=1)).tolist():
        at = again[ratio]
        some = [i for i in range(ratio, len(jobs), n_ratios) if found[i].errors is not None]
        grid = PenaltyGrid(Cs[at], total_weight=total_weight)
        starts = [(found[i].path.coefs[at], found[i].path.intercepts[at]) for i in some]
        repeated = [
            replace(jobs[i], cv_tol=0.0, starts=start)
            for i, start in zip(some, starts, strict=True)
        ]
        parts = folds.run(repeated, grid)
        for i, part in zip(some, parts, strict=True):
            found[i] = found[i].with_part(part, at)
    return found


def inexact(
    scores: Array, errors: Array, fold_weights: Array, cv_tol: float, selection: str
) -> Array:
    """Return for which penalties the fits of the folds must be exact, (n_l1_ratios, n_cs).

    They must be where the bound on the mean score is above `cv_tol` standard errors, and where the
    bounds leave open which penalty is chosen.

    Parameters
    ----------
    scores, errors : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        Scores of the folds, and bounds on their errors.
    fold_weights : ndarray of shape (n_folds,)
    cv_tol : float
    selection : {"best", "one_standard_error"}
    """
    mean, std_err = (part[..., 0] for part in mean_and_error(scores[..., None], fold_weights))
    bound = mean_and_error(errors[..., None], fold_weights)[0][..., 0]
    wanted = bound > 0.0
    if len(scores) == 1 or not np.isfinite(mean).any():
        return wanted & np.isnan(bound)
    found = ~(bound <= cv_tol * std_err)
    best = np.unravel_index(np.nanargmax(mean), mean.shape)
    lowest, highest = mean - bound, mean + bound
    found |= highest >= lowest[best]
    if selection == "one_standard_error":
        # The standard error changes by no more than the scores.
        limit = mean[best] - std_err[best]
        found |= np.abs(mean - limit) <= bound + 2.0 * bound[best]
    return np.asarray(found & wanted)
