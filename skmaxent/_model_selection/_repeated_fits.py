"""Repetition of fits of folds that ended before `tol` and left too large an error of a score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from skmaxent._model_selection._folds import Fold, Folds, Job
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._selection import mean_and_error
from skmaxent._typing import Array


def put_exact_fits(
    folds: Folds,
    jobs: Sequence[Job],
    found: list[Fold],
    Cs: Array,
    total_weight: float | None,
    *,
    weights_of_folds: Callable[[Array], Array],
    selection: str,
) -> None:
    """Repeat fits of folds up to `tol` at the Cs that `needs_exact_fits` returns.

    Parameters
    ----------
    folds : Folds
    jobs, found : sequences of Job and Fold of length n_folds * n_l1_ratios
        The jobs and their results, in an order in which the l1_ratio changes fastest. The repeated
        fits replace those of the results.
    Cs : ndarray of shape (n_cs,)
    total_weight : float or None
        As in `PenaltyGrid`.
    weights_of_folds : callable
        Returns the weights of the folds, from the sums of the weights of their scored rows.
    selection : {"best", "one_standard_error"}
    """
    n_ratios = len({job.model.l1_ratio for job in jobs})
    shape = -1, n_ratios, len(Cs)
    none = np.zeros(len(Cs))
    errors = np.reshape([none if fold.errors is None else fold.errors for fold in found], shape)
    scores = np.reshape([fold.scores[:, 0] for fold in found], shape)
    sizes = np.reshape([fold.scored_weight for fold in found], shape[:2]).max(axis=1)
    again = needs_exact_fits(scores, errors, weights_of_folds(sizes), jobs[0].cv_tol, selection)
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
            found[i].put(part, at)


def needs_exact_fits(
    scores: Array, errors: Array, fold_weights: Array, cv_tol: float, selection: str
) -> Array:
    """Return a mask of the penalties whose fits must be exact in all folds, (n_l1_ratios, n_cs).

    These are the penalties for which the bound on the error of the mean score exceeds `cv_tol`
    standard errors, and those among which the bounds leave the choice of the penalty open.

    Parameters
    ----------
    scores, errors : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        Scores of the folds, and bounds on the errors of these scores.
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
        # The best mean score and its standard error change by at most bound[best] each.
        limit = mean[best] - std_err[best]
        found |= np.abs(mean - limit) <= bound + 2.0 * bound[best]
    return np.asarray(found & wanted)
