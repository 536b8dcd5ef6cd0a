"""Checks of the penalties that cross-validation compares, and the choice by scores of folds."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._input._numbers import as_floats
from skmaxent._model._prediction import absent_logit
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# Weights of the penalised fit in a blend with the relaxed fit; these are glmnet's.
GAMMAS = (0.0, 0.25, 0.5, 0.75, 1.0)
# The relative difference of equal mean scores.
ROUNDING = 1e-10


def check_l1_ratios(l1_ratios: Any) -> Array:
    """Return `l1_ratios` as an array; raise ValueError unless they are numbers from 0 to 1."""
    return _shares(l1_ratios, "l1_ratios must be numbers from 0 to 1")


def _shares(values: Any, expected: str) -> Array:
    """Return numbers from 0 to 1 as an array; raise ValueError, which begins with `expected`."""
    message = f"{expected}, found {values!r}."
    try:
        shares = np.atleast_1d(as_floats(values))
    except (TypeError, ValueError) as error:
        raise ValueError(message) from error
    if shares.ndim != 1 or not len(shares) or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(message)
    return shares


def resolve_l1_ratios(penalty: str, l1_ratios: Any) -> Array:
    """Return the shares of the L1 penalty to compare, (n_l1_ratios,), from the two parameters.

    Before version 1.8 of scikit-learn, `penalty` chose between ridge, lasso and elastic net. Issues
    a UserWarning if `penalty` overrides `l1_ratios`, and raises ValueError for
    ``penalty="elasticnet"`` without `l1_ratios`.
    """
    if penalty == "elasticnet" and l1_ratios is None:
        raise ValueError(
            "penalty='elasticnet' needs l1_ratios, numbers from 0 to 1 to compare; found None."
        )
    given = check_l1_ratios(0.0 if l1_ratios is None else l1_ratios)
    if penalty not in ("l1", "l2"):
        return given
    chosen = np.array([1.0 if penalty == "l1" else 0.0])
    if given.tolist() not in ([0.0], chosen.tolist()):
        warn_user(
            f"penalty={penalty!r} overrides l1_ratios={l1_ratios!r}: leave penalty out, l1_ratios "
            "alone choose between ridge and lasso.",
            UserWarning,
        )
    return chosen


def gammas_of(relax: Any) -> Array:
    """Return the weights of the penalised fits in blends with relaxed fits, (n_gammas,).

    `relax` is a bool, a string, or numbers from 0 to 1. Raises ValueError for other numbers.
    """
    if isinstance(relax, (bool, np.bool_, str)):
        return np.array(GAMMAS) if relax else np.ones(1)
    return np.unique(_shares(relax, "relax must be a bool or numbers from 0 to 1"))


def check_selection(selection: str, *, refit: bool) -> None:
    """Raise ValueError if the rule of `selection` has no effect, because there is no final fit."""
    if selection != "best" and not refit:
        raise ValueError(
            f"refit=False takes the mean over the folds, each at its own best penalty, and "
            f"selection={selection!r} chooses one penalty for all folds: expected refit=True, or "
            "selection='best'."
        )


def chosen_index(
    mean: Array, standard_error: Array, Cs: Array, selection: str
) -> tuple[int, int, int]:
    """Return the positions of the l1_ratio, C and gamma that a rule chooses.

    Parameters
    ----------
    mean, standard_error : ndarray of shape (n_l1_ratios, n_cs, n_gammas)
        Mean scores and their standard errors.
    Cs : ndarray of shape (n_cs,)
    selection : {"best", "one_standard_error"}
        The largest mean score, or the smallest C with a score within one standard error of it.
    """
    if np.isnan(mean).all():
        raise ValueError("no score is a number: the folds have no rows to score.")
    order = np.argsort(Cs, kind="stable")
    ranked = mean[:, order]
    best = np.unravel_index(first_best(ranked), ranked.shape)
    ratio, position, gamma = (int(index) for index in best)
    if selection == "one_standard_error":
        errors = standard_error[:, order]
        position = best_and_simplest(ranked[ratio, :, gamma], errors[ratio, :, gamma])[1]
    return ratio, int(order[position]), gamma


def first_best(mean: Array) -> int:
    """Return the first position of the best of the mean scores, in their flattened order.

    Scores that differ by rounding are equal: all penalties with which no coefficient is nonzero.
    """
    return int(np.argmax(np.isclose(mean, np.nanmax(mean), rtol=ROUNDING, atol=0.0)))


def best_and_simplest(mean: Array, standard_error: Array) -> tuple[int, int]:
    """Return the positions of the best mean score and of the first within one standard error of it.

    The arguments (n_cs,) are in ascending order of C. The first score then belongs to the strongest
    penalty.
    """
    best = first_best(mean)
    return best, int(np.argmax(mean >= mean[best] - standard_error[best]))


def mean_coefficients(coefs: Array, intercepts: Array, fold_weights: Array) -> tuple[Array, Array]:
    """Return the coefficients and intercepts of the mean model of several folds.

    The arguments have the shapes (n_folds, n_logits, n_features), (n_folds, n_logits) and
    (n_folds,). The means of a class are over the folds whose training rows have weight in it.
    Without such folds, the class is absent: its coefficients are 0 and its intercept is that of
    `absent_logit`.
    """
    absent = absent_logit(intercepts.dtype)
    seen = intercepts > 0.5 * absent
    weights = np.where(seen, fold_weights[:, None], 0.0)
    total = weights.sum(axis=0)
    weights = weights / np.where(total > 0.0, total, 1.0)
    coef = np.einsum("fk,fkj->kj", weights, np.where(seen[..., None], coefs, 0.0))
    intercept = np.einsum("fk,fk->k", weights, np.where(seen, intercepts, 0.0))
    intercept = np.where(total > 0.0, intercept, absent)
    return coef.astype(coefs.dtype), intercept.astype(intercepts.dtype)


def mean_and_error(scores: Array, fold_weights: Array) -> tuple[Array, Array]:
    """Return weighted means over folds, and their standard errors, which are 0 for a single fold.

    `scores` have the shape (n_folds, n_l1_ratios, n_cs, n_gammas); NaN do not count. The standard
    error for n folds with the weights w is sqrt(Σ w (score - mean)²/(Σ w (n - 1))), as in
    cv.glmnet.
    """
    weights = np.where(np.isnan(scores), 0.0, fold_weights[:, None, None, None])
    n, total = (weights > 0.0).sum(axis=0), weights.sum(axis=0)
    some = np.where(n > 0, total, 1.0)
    mean = np.where(n > 0, np.nansum(weights * scores, axis=0) / some, np.nan)
    squares = np.nansum(weights * np.square(scores - mean), axis=0)
    return mean, np.sqrt(squares / (some * np.maximum(n - 1.0, 1.0)))
