"""Warnings of a fit: that it did not converge, or that rounding makes its results inaccurate."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._solvers import NEWTON, Solution, Status, resolve_solver
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array
from skmaxent._warnings import MOST_LISTED, warn_user

# Logits that differ by more than this give the smaller one a probability of zero in float64.
LARGE_OFFSET = 700.0


def warn_unless_converged(solution: Solution, estimator: Any, labels: Any = ()) -> None:
    """Warn if a fit ended before its optimum, or if it has no optimum or more than one.

    The warnings about convergence are kept in the notes of the estimator; see `_warn_and_note`.
    `labels` are the labels whose rows are separated from the others, if rows can have several.
    """
    if solution.aliased:
        names = FittedColumns.of(estimator).all_names[list(solution.aliased)]
        warn_user(
            f"The features {_listed(names)} are linear combinations of earlier features or of "
            "the intercept. Without a penalty, infinitely many coefficients are therefore optimal, "
            "and coef_ is one choice of them. Remove these features, or set a finite C."
        )
    if solution.remark:
        _warn_and_note(estimator, solution.remark)
    if solution.lacks_precision(estimator.tol):
        _warn_and_note(estimator, _precision_message(solution, estimator))
    elif solution.status is Status.MAX_ITER:
        _warn_and_note(estimator, _limit_message(solution, estimator))
    elif solution.status in (Status.SEPARATED, Status.QUASI_SEPARATED):
        named = f" This is so for the labels {list(labels)}." if len(labels) else ""
        _warn_and_note(
            estimator,
            f"{solution.status.value[0].upper()}{solution.status.value[1:]}.{named} "
            f"{_advice_for_separation(estimator)}",
        )


def _warn_and_note(estimator: Any, message: str) -> None:
    """Issue a ConvergenceWarning, and keep its text in the attribute `_notes` of the estimator.

    `coef_frame` puts the notes into the `attrs` of its table.
    """
    warn_user(message, ConvergenceWarning)
    estimator._notes = (*estimator._notes, message)


def _advice_for_separation(estimator: Any) -> str:
    """Return what to do if no finite coefficients are optimal."""
    if getattr(estimator, "partial_labels", False):
        return (
            "With partial_labels, the likelihood may have several maxima, and this is so for the "
            "one that the fit comes to; finite coefficients elsewhere may have a larger "
            "likelihood. Set a finite C."
        )
    has_reduction = hasattr(estimator, "bias_reduction")
    finite = "a finite C, or bias_reduction='jeffreys'," if has_reduction else "a finite C,"
    return (
        f"Set {finite} or remove the features that separate: skmaxent.detect_separation names them."
    )


def _limit_message(solution: Solution, estimator: Any) -> str:
    """Return the warning for a fit that reached `max_iter`."""
    reached = f"max_iter={estimator.max_iter} was reached"
    if solution.distance <= estimator.tol:
        return (
            f"{reached} while steps still change logits by much, as where an outlier dominates a "
            f"column: raise max_iter, or {_advice(solution, estimator)}."
        )
    is_large = _largest_offset(solution) > LARGE_OFFSET
    more = f", and {_advice(solution, estimator)}" if is_large else ""
    faster = "" if resolve_solver(estimator.solver) in NEWTON else " or set solver='auto'"
    return (
        f"{reached}, about {solution.distance:.2g} standard errors from the optimum "
        f"(tol={estimator.tol}): raise max_iter{faster}{more}."
    )


def _precision_message(solution: Solution, estimator: Any) -> str:
    """Return the warning for a fit that ended for lack of floating-point precision."""
    distance = "at an unknown distance"
    if estimator.tol < solution.distance < np.inf:
        distance = f"about {solution.distance:.2g} standard errors"
    is_float32 = solution.point.objective.blocks.dtype == np.float32
    return (
        f"The fit ended for lack of floating-point precision, {distance} from the optimum "
        f"(tol={estimator.tol}): {_advice(solution, estimator)}, "
        f"{'pass X in float64, ' if is_float32 else ''}or set a smaller C."
    )


def _advice(solution: Solution, estimator: Any) -> str:
    """Return advice about large offsets or, if there are none, about the column of X to rescale.

    This is the column with the largest terms, coefficient times feature, in the logits.
    """
    offset = _largest_offset(solution)
    if offset > LARGE_OFFSET:
        return (
            f"look at the offset, whose values differ by up to {offset:.2g} between classes, so "
            "that rows have probabilities of 0 and 1 whatever their features"
        )
    sizes = np.abs(solution.coef).max(axis=0, initial=0.0) * solution.point.objective.column_size
    names = FittedColumns.of(estimator).all_names
    # The numbers differ if the fit left out constant columns.
    if not len(sizes) or len(sizes) != len(names):
        return "rescale or centre the columns and look for outliers in them"
    return (
        f"rescale or centre column {str(names[int(np.argmax(sizes))])!r}, whose terms are the "
        "largest in the logits, and look for outliers in it"
    )


def _largest_offset(solution: Solution) -> float:
    """Return the largest difference between the offsets of a row, 0 if there are none in memory.

    For independent labels, return the largest absolute offset.
    """
    blocks = solution.point.objective.blocks
    offset = getattr(blocks, "offset", None)
    if offset is None:
        return 0.0
    offset = np.asarray(on_host(offset), dtype=np.float64)
    if solution.point.objective.likelihood.is_coupled:
        return float(np.ptp(offset, axis=1).max(initial=0.0))
    return float(np.abs(offset).max(initial=0.0))


def warn_of_rounded_coefficients(
    estimator: Any, training: TrainingProblem, solution: Solution, excess: float
) -> None:
    """Warn that rounding the coefficients raised the objective by `excess` of itself."""
    name, of = np.dtype(training.dtype).name, ", the dtype of X,"
    advice = "pass X in float64"
    if training.dtype != np.float32:
        of, advice = "", _advice(solution, estimator)
        advice += ", or leave out columns that are nearly collinear with others"
    _warn_and_note(
        estimator,
        f"Rounding of the coefficients to {name}{of} puts the objective about {excess:.1g} of "
        f"itself above that of the coefficients before: {advice}.",
    )


def warn_of_inexact_columns(estimator: Any, training: TrainingProblem) -> None:
    """Warn of columns of X whose values hardly differ by more than the rounding of their dtype."""
    _warn_of_columns(estimator, training, training.inexact)


def warn_of_blurred_columns(estimator: Any, training: TrainingProblem, coef: Array) -> None:
    """Warn of columns of X whose differences the coefficients round away in the logits.

    `coef` (n_logits, n_features) is the `coef_` of the user, or the largest sizes of its entries in
    several fits.
    """
    _warn_of_columns(estimator, training, training.columns_with_inexact_logits(coef))


def _warn_of_columns(estimator: Any, training: TrainingProblem, positions: Array) -> None:
    """Warn of the columns of X at `positions` that have few correct digits in their differences."""
    if not len(positions):
        return
    warn_user(
        f"The columns {_listed(FittedColumns.of(estimator).all_names[positions])} of X are so far "
        f"from zero that {np.dtype(training.dtype).name} keeps two digits, or fewer, of the "
        "differences between rows: coefficients and predictions are no more accurate. Subtract a "
        "constant, such as the mean, from each of these columns before the fit"
        f"{', or use float64' if training.dtype == np.float32 else ''}."
    )


def _listed(names: Array) -> str:
    """Return the first `MOST_LISTED` names, and the number of the others, as text."""
    more = f" and {len(names) - MOST_LISTED} others" if len(names) > MOST_LISTED else ""
    return f"{[str(name) for name in names[:MOST_LISTED]]}{more}"
