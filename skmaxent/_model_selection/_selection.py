"""The penalties that a cross-validation compares, and the choice among them by scores of folds."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._model._prediction import absent_logit
from skmaxent._typing import Array

# Weights of the penalised fit in a blend with the relaxed fit; these are glmnet's.
GAMMAS = (0.0, 0.25, 0.5, 0.75, 1.0)


def check_l1_ratios(l1_ratios: Any) -> Array:
    """Return `l1_ratios` as an array; raise ValueError unless they are numbers from 0 to 1."""
    ratios = np.atleast_1d(np.asarray(l1_ratios, dtype=float))
    if ratios.ndim != 1 or not len(ratios) or not ((ratios >= 0) & (ratios <= 1)).all():
        raise ValueError(f"l1_ratios must be numbers from 0 to 1, found {l1_ratios!r}.")
    return ratios


def gammas_of(relax: Any) -> Array:
    """Return the weights of the penalised fits for `relax`, a bool or numbers from 0 to 1."""
    if isinstance(relax, (bool, np.bool_)):
        return np.array(GAMMAS) if relax else np.ones(1)
    gammas = np.unique(np.asarray(relax, dtype=float))
    if not len(gammas) or not ((gammas >= 0) & (gammas <= 1)).all():
        raise ValueError(f"relax must be a bool or numbers from 0 to 1, found {relax!r}.")
    return gammas


def chosen_index(scores: Array, Cs: Array, selection: str) -> tuple[int, int, int]:
    """Return the positions of the chosen l1_ratio, C and gamma, with the smallest C among equals.

    `scores` have the shape (n_folds, n_l1_ratios, n_cs, n_gammas), and `selection` is the parameter
    of `MaxentClassifierCV`.
    """
    mean, standard_error = mean_and_error(scores)
    if np.isnan(mean).all():
        raise ValueError("no score is a number: the folds have no rows to score.")
    order = np.argsort(Cs, kind="stable")
    ranked = mean[:, order]
    best = np.unravel_index(np.nanargmax(ranked), ranked.shape)
    ratio, position, gamma = (int(index) for index in best)
    if selection == "one_standard_error":
        error = standard_error[:, order][ratio, position, gamma]
        near = ranked[ratio, :, gamma] >= ranked[ratio, position, gamma] - error
        position = int(np.argmax(near))
    return ratio, int(order[position]), gamma


def mean_coefficients(coefs: Array, intercepts: Array) -> tuple[Array, Array]:
    """Return the means over folds, the first axis, of coefficients and intercepts.

    The mean of a class is over the folds whose training rows contain it. If there is none, the
    class is absent from the model.
    """
    absent = absent_logit(intercepts.dtype)
    seen = intercepts > 0.5 * absent
    n_seen = seen.sum(axis=0)
    n = np.maximum(n_seen, 1).astype(intercepts.dtype)
    coef = np.where(seen[..., None], coefs, 0.0).sum(axis=0) / n[:, None]
    intercept = np.where(seen, intercepts, 0.0).sum(axis=0) / n
    return coef, np.where(n_seen > 0, intercept, absent).astype(intercepts.dtype)


def mean_and_error(scores: Array) -> tuple[Array, Array]:
    """Return the means over folds, the first axis, and their standard errors, 0 for one fold."""
    n = (~np.isnan(scores)).sum(axis=0)
    mean = np.where(n > 0, np.nansum(scores, axis=0) / np.maximum(n, 1), np.nan)
    squares = np.nansum(np.square(scores - mean), axis=0)
    return mean, np.sqrt(squares / np.maximum(n * (n - 1.0), 1.0))
