"""Notes in results, and warnings, about what limits their validity."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._existence import MINIMUM_EXISTS, Watch
from skmaxent._leverage import _reference_coding
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Ridge
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# Robust standard errors below this share of those from the information are not valid.
DEGENERATE = 1e-3
# Standard errors between coefficients and the optimum for X and y above which a warning says that
# these are not the data of the fit, or that the fit has not converged.
FAR_FROM_OPTIMUM = 0.5
# Coefficients of each logit per observation above which tests of maximum-likelihood estimates are
# said to be anticonservative.
MANY_COLUMNS = 0.1


def notes_of(point: Point, terms: PenaltyTerms, distance: float, gap: float) -> tuple[str, ...]:
    """Return notes, and warn, of coefficients away from the optimum and separated classes.

    Parameters
    ----------
    point : Point
        The loss at the coefficients.
    terms : PenaltyTerms
        The ridge penalty of standardised columns.
    distance : float
        Standard errors between the coefficients and the optimum for these rows.
    gap : float
        `optimality_gap_` of the fit. Where it is bounded and the distance is small, an optimum
        exists, and nothing is computed.
    """
    if gap < MINIMUM_EXISTS and distance <= FAR_FROM_OPTIMUM:
        return ()
    objective = point.objective.with_penalty(Ridge(terms.ridge.max(axis=0)))
    if Watch(objective).kind_at_end(point.theta, point.loss, 1.0) is None:
        return notes_if_far(distance)
    note = (
        "The classes are separated: some coefficients have no finite estimates, and their standard "
        "errors and tests mean nothing (see detect_separation)."
    )
    warn_user(note)
    return (note,)


def cautions_of_size(n_columns: int, n_obs: float) -> tuple[str, ...]:
    """Return a sentence where maximum-likelihood estimates have few observations for each.

    The theory is that of Sur & Candès (2019, PNAS 116, 14516-14525). In simulations with 400 rows,
    z-tests at the level of 5 % rejected 7 % of true hypotheses at a ratio of 0.1, and 10 to 11 % at
    0.2; with Jeffreys' prior 4 to 5 %, and with HC3 1 to 5 %.

    Parameters
    ----------
    n_columns : int
        Free coefficients of each logit, the intercept included.
    n_obs : float
        Observations.
    """
    if n_columns <= MANY_COLUMNS * n_obs:
        return ()
    return (
        f"{n_columns} coefficients of each class for {n_obs:g} observations, a ratio of "
        f"{n_columns / n_obs:.2g}: above about {MANY_COLUMNS:g}, z-tests of maximum-likelihood "
        "estimates reject true hypotheses too often, and the estimates are too far from zero (Sur "
        "and Candès 2019). Use bias_reduction='jeffreys', or for tests cov_type='HC3' or "
        "results.null_feature_test().",
    )


def notes_if_far(distance: float) -> tuple[str, ...]:
    """Return a note, and warn, if coefficients are many standard errors from the optimum."""
    if distance <= FAR_FROM_OPTIMUM:
        return ()
    found = f"the coefficients are {distance:.2g} standard errors from the optimum for X and y"
    warn_user(
        f"{found}: infer needs the data of the fit with its sample_weight and offset, and a "
        "fit that has converged."
    )
    return (f"{found[0].upper()}{found[1:]}: they are not maximum-likelihood estimates.",)


def notes_of_degenerate(
    variances: Array, of_information: Array, rows: list[Any], columns: list[str]
) -> tuple[str, ...]:
    """Return a note, and warn, if robust variances are far below those of the information.

    Both arrays of variances have the shape (n_rows * n_columns,), class by class. The coefficients
    are those of the classes `rows` and the columns `columns`.
    """
    lost = np.flatnonzero(variances < DEGENERATE**2 * of_information)
    if not len(lost):
        return ()
    width = len(columns)
    found = ", ".join(f"{columns[i % width]!r} of class {rows[i // width]!r}" for i in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    note = (
        f"The robust standard errors of {found}{more} are below a thousandth of those from the "
        "information: the scores of the few rows or clusters that determine these coefficients "
        "are zero at the optimum. Such standard errors, and tests that use them, mean nothing."
    )
    warn_user(note)
    return (note,)


def distance_to_optimum(point: Point, terms: PenaltyTerms, V: Array, total: float) -> float:
    """Return the distance from a point to the optimum for its rows, in standard errors.

    V is the inverse of the information of `total` observations and the ridge penalty of `terms`,
    (n_coefficients, n_coefficients).
    """
    gradient = penalised_gradient(point, terms)
    g = gradient if len(gradient) == 1 else gradient[:-1]
    g = (g if point.objective.fit_intercept else g[:, :-1]).ravel() * total
    return float(np.sqrt(max(float(g @ V @ g), 0.0)))


def penalised_gradient(point: Point, terms: PenaltyTerms) -> Array:
    """Return the gradient of the mean loss plus a ridge penalty, (n_logits, n_features + 1).

    The penalty is that of `terms`, not that of the point's objective.
    """
    gradient = point.loss_gradient()
    coef = point.theta[:, :-1]
    coef = coef if terms.target is None else coef - terms.target
    gradient[:, :-1] += _reference_coding.ridge_pull(terms.ridge, coef)
    return gradient
