"""The distance of fitted coefficients to the optimum for given rows, to detect rows of another fit.

Functions to which users give the rows of a fit again compare this distance with the bound that the
fit has proved. If the rows are not those of the fit, the distance exceeds the bound long before it
is as large as a standard error.
"""

from __future__ import annotations

import numpy as np

from skmaxent._existence import Watch
from skmaxent._leverage import _reference_coding
from skmaxent._leverage._hessian_systems import inverse_diagonal, solutions
from skmaxent._leverage._inverse_hessian import InverseHessian
from skmaxent._leverage._leverages import Leverages
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Ridge
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# Coefficients that are more standard errors than this from the optimum for X and y belong to other
# data, or to a fit that has not converged.
FAR_FROM_OPTIMUM = 0.5
# Distances below this number of standard errors say nothing: rounding of data and of coefficients
# gives them.
NEGLIGIBLE = 0.01
# A distance is compared with this times the bound from `optimality_gap_`. The bound is that of a
# quadratic objective, which the objective is nearly within 0.5 standard errors.
MARGIN = 3.0


def largest_distance(point: Point, terms: PenaltyTerms, gap: float, total: float) -> float:
    """Return the largest distance, in standard errors, that the accuracy of a fit explains.

    A fit with the gap γ has F - F* ≤ γ F for the mean loss and penalty F. Near the optimum the
    distance for n observations is √(2 n (F - F*)). The result is this times `MARGIN`, at least
    `NEGLIGIBLE` and at most `FAR_FROM_OPTIMUM`.

    Parameters
    ----------
    point : Point
        The loss at the coefficients, without the penalty.
    terms : PenaltyTerms
        The penalty of the coefficients of standardised columns.
    gap : float
        `optimality_gap_` of the fit; NaN if it is not known, for which the result is
        `FAR_FROM_OPTIMUM`.
    total : float
        Number of observations.
    """
    if np.isnan(gap):
        return FAR_FROM_OPTIMUM
    value = point.loss + float(terms.whole_penalty().value(point.theta))
    bound = MARGIN * float(np.sqrt(2.0 * total * gap * max(value, 0.0)))
    return min(max(bound, NEGLIGIBLE), FAR_FROM_OPTIMUM)


def notes_if_far(
    distance: float, largest: float = FAR_FROM_OPTIMUM, function: str = "infer"
) -> tuple[str, ...]:
    """Warn and return a tuple of one note if coefficients are too far from the optimum, else ().

    Parameters
    ----------
    distance : float
        Standard errors between the coefficients and the optimum for X and y.
    largest : float, default=FAR_FROM_OPTIMUM
        The largest distance without a note.
    function : str, default="infer"
        The name of the public function, for the warning.
    """
    if distance <= largest:
        return ()
    found = f"the coefficients are {distance:.2g} standard errors from the optimum for X and y"
    warn_user(
        f"{found}: {function} needs the data of the fit with its sample_weight and offset, and a "
        "fit that has converged."
    )
    return (f"{found[0].upper()}{found[1:]}: they are not maximum-likelihood estimates.",)


def are_separated(point: Point, terms: PenaltyTerms) -> bool:
    """Return whether it is proved that some coefficients have no finite estimates.

    Coefficients without a penalty, also if that is so for some classes only, may be separated.

    Parameters
    ----------
    point : Point
        The loss at the coefficients.
    terms : PenaltyTerms
        The penalty of the coefficients of standardised columns.
    """
    objective = point.objective.with_penalty(Ridge(np.zeros(point.theta.shape[1] - 1)))
    watch = Watch(objective, *terms.whole_penalty().unbounded_signs if terms.ridge.any() else ())
    return watch.kind_at_end(point.theta, point.loss, 1.0) is not None


def distance_of_rows(leverages: Leverages, terms: PenaltyTerms, total: float) -> float:
    """Return the distance from the point of leverages to the optimum, in standard errors.

    It is the length of the Newton step of the coefficients that vary. If the Hessian is not
    inverted, random vectors estimate the length to about a tenth.

    Parameters
    ----------
    leverages : Leverages
    terms : PenaltyTerms
        The penalty and the bounds of the coefficients of standardised columns.
    total : float
        Number of observations.
    """
    point, inverse = leverages.point, leverages.inverse
    scale = total * point.objective.total_weight
    gradient = point.loss_gradient()
    if not isinstance(inverse, InverseHessian):
        tangent = terms.whole_penalty().tangent(point.theta)
        varies = tangent.free & point.objective.standardisation.is_free
        gradient = varies * (gradient + tangent.gradient)
        diagonal = inverse_diagonal(point, tangent, varies)
        step = solutions(point, tangent, varies, diagonal, gradient[None])[0]
        return float(np.sqrt(total * max(float((gradient * step).sum()), 0.0)))
    free = inverse.free
    if free.is_reference and len(free.columns) < len(gradient):
        gradient = penalised_gradient(point, terms)
    else:
        gradient += terms.whole_penalty().tangent(point.theta).gradient
    g = np.concatenate([gradient[k, columns] for k, columns in enumerate(free.columns)])
    return float(np.sqrt(max(scale * float(g @ inverse.matrix @ g), 0.0)))


def penalised_gradient(point: Point, terms: PenaltyTerms) -> Array:
    """Return the gradient of the mean loss plus the ridge of `terms`, (n_logits, n_features + 1).

    The penalty of the objective that the point has is not in it.
    """
    gradient = point.loss_gradient()
    coef = point.theta[:, :-1]
    coef = coef if terms.target is None else coef - terms.target
    gradient[:, :-1] += _reference_coding.ridge_gradient(terms.ridge, coef)
    return gradient
