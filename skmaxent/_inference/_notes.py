"""Sentences about what limits the validity of results: notes, which are warnings too, and cautions.

Functions called `notes_...` return a tuple of sentences for `InferenceResults.notes`, and warn with
each sentence. The tuple is empty if there is nothing to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._existence import MINIMUM_EXISTS
from skmaxent._leverage._distance_to_optimum import (
    are_separated,
    largest_distance,
    notes_if_far,
    penalised_gradient,
)
from skmaxent._objective._objective import Point
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# A robust standard error is invalid if it is less than this times the one from the information.
DEGENERATE = 1e-3
# Tests of maximum-likelihood estimates reject too often if the number of coefficients of a logit,
# divided by the number of observations, is above this.
MANY_COLUMNS = 0.1


def notes_at_optimum(
    point: Point, terms: PenaltyTerms, distance: float, gap: float, total: float
) -> tuple[str, ...]:
    """Return a note if the classes are separated, or the coefficients are far from the optimum.

    Parameters
    ----------
    point : Point
        The loss at the coefficients.
    terms : PenaltyTerms
        The ridge penalty of the coefficients of standardised columns.
    distance : float
        Standard errors between the coefficients and the optimum for the rows of the point.
    gap : float
        `optimality_gap_` of the fit.
    total : float
        Number of observations.
    """
    largest = largest_distance(point, terms, gap, total)
    if gap < MINIMUM_EXISTS and distance <= largest:
        return ()  # the gap of a fit is 1 if it is proved that the classes are separated
    if not are_separated(point, terms):
        return notes_if_far(distance, largest)
    note = (
        "The classes are separated: some coefficients have no finite estimates, and their standard "
        "errors and tests mean nothing (see detect_separation)."
    )
    warn_user(note)
    return (note,)


def cautions_of_size(n_columns: int, n_obs: float) -> tuple[str, ...]:
    """Return a sentence, in a tuple, if there are few observations for each coefficient.

    The theory is that of Sur & Candès (2019, PNAS 116, 14516-14525). In simulations with 400 rows,
    z-tests at the level of 5 % rejected 7 % of true hypotheses if the number of coefficients of a
    logit was 0.1 times the number of rows, and 10 to 11 % if it was 0.2 times that number. With
    Jeffreys' prior they rejected 4 to 5 %, and with HC3 covariances 1 to 5 %.

    Parameters
    ----------
    n_columns : int
        Number of free coefficients of each logit, including the intercept.
    n_obs : float
        Number of observations.
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


def cautions_of_weights(has_whole_counts: bool, weights: str) -> tuple[str, ...]:
    """Return a sentence, in a tuple, if frequency weights are not whole numbers.

    Parameters
    ----------
    has_whole_counts : bool
        Whether each row stands for a whole number of observations.
    weights : {"frequency", "probability"}
        What the weights of the rows mean.
    """
    if has_whole_counts or weights != "frequency":
        return ()
    return (
        "The weights are not whole numbers, but are taken as numbers of observations: for sampling "
        "weights use weights='probability'.",
    )


def notes_of_degenerate_errors(
    variances: Array, of_information: Array, rows: list[Any], columns: list[str]
) -> tuple[str, ...]:
    """Return a note if some robust variances are far below those from the information.

    Parameters
    ----------
    variances, of_information : ndarray of shape (n_rows * n_columns,)
        Robust variances of the coefficients and those from the information, class by class.
    rows : list
        Labels of the classes.
    columns : list of str
        Names of the columns.
    """
    degenerate = np.flatnonzero(variances < DEGENERATE**2 * of_information)
    n, width = len(degenerate), len(columns)
    if not n:
        return ()
    first = [f"{columns[i % width]!r} of class {rows[i // width]!r}" for i in degenerate[:5]]
    found, more = ", ".join(first), f" and {n - 5} more" if n > 5 else ""
    note = (
        f"The robust standard errors of {found}{more} are below a thousandth of those from the "
        "information: the scores of the few rows or clusters that determine these coefficients "
        "are zero at the optimum. Such standard errors, and tests that use them, mean nothing."
    )
    warn_user(note)
    return (note,)


def distance_to_optimum(point: Point, terms: PenaltyTerms, V: Array, total: float) -> float:
    """Return the distance from a point to the optimum for its rows, in standard errors.

    The distance is the length of the Newton step, √(gᵀ V g) with the gradient g.

    Parameters
    ----------
    point : Point
        The loss at the coefficients.
    terms : PenaltyTerms
        The ridge penalty of the coefficients of standardised columns.
    V : ndarray of shape (n_coefficients, n_coefficients)
        The inverse information of `total` observations and the ridge, in reference coding.
    total : float
        Number of observations.
    """
    gradient = penalised_gradient(point, terms)
    # In reference coding the coefficients of the last class are fixed at zero.
    g = gradient if len(gradient) == 1 else gradient[:-1]
    g = (g if point.objective.fit_intercept else g[:, :-1]).ravel() * total
    return float(np.sqrt(max(float(g @ V @ g), 0.0)))
