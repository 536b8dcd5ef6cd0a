"""How the fits of a path ended, and the warnings about those that are not at the optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmaxent._model._rounded_coefficients import needs_warning_of_rounding, rounding_excess
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._solvers import NEGLIGIBLE, Solution, Status
from skmaxent._typing import Array, DType
from skmaxent._warnings import warn_user


@dataclass(frozen=True)
class Ending:
    """How the fit at one C ended, for warnings.

    Attributes
    ----------
    status : Status
    lacks_precision : bool
        Whether the fit ended far from the optimum for lack of floating-point precision.
    rounding : float
        The result of `rounding_excess`.
    rounded_to : dtype or None
        The dtype of the coefficients, if rounding to it raised the objective so much that this
        needs a warning.
    """

    status: Status
    lacks_precision: bool
    rounding: float
    rounded_to: DType | None

    @classmethod
    def of(
        cls, solution: Solution, model: Any, training: TrainingProblem, strength: float
    ) -> Ending:
        """Return how the fit of a solution ended.

        `model` has the parameters of the fit, and `strength` multiplies its penalty.
        """
        rounding = rounding_excess(training, solution, strength)
        needs_warning = needs_warning_of_rounding(training, solution, rounding)
        rounded_to = training.dtype if needs_warning else None
        lacks_precision = solution.lacks_precision(model.tol)
        return cls(solution.status, lacks_precision, rounding, rounded_to)


def warn_of_endings(ends: dict[int, Ending], Cs: Array, of: str, model: Any) -> None:
    """Issue a ConvergenceWarning for each reason why fits of a path are not at the optimum.

    Each warning says at which values of C its reason holds. There is none if all fits are at the
    optimum.

    Parameters
    ----------
    ends : dict of int to Ending
        The endings of fits by the positions of their Cs.
    Cs : ndarray of shape (n_cs,)
    of : {"", "relaxed "}
        Words for the messages: "relaxed " for the relaxed fits.
    model : MaxentClassifier
        Has the parameters `tol` and `max_iter` of the fits.
    """
    by = " by relaxed fits" if of else ""
    whose = "of relaxed fits " if of else ""
    reasons = {
        f"max_iter={model.max_iter} was reached at {{}}{by}: "
        "raise max_iter, or leave out the weakest penalties.": [
            end.status is Status.MAX_ITER for end in ends.values()
        ],
        f"No finite coefficients of {of}fits are optimal at {{}}, for coefficients without penalty "
        "separate classes: leave these Cs out, or penalise all features.": [
            end.status in (Status.SEPARATED, Status.QUASI_SEPARATED) for end in ends.values()
        ],
        f"At {{}} {of}fits ended for lack of floating-point precision, more than "
        f"{max(model.tol, NEGLIGIBLE):g} standard errors from the optimum, or at a distance that "
        "is unknown or much for a small loss: rescale the columns of X and look for outliers.": [
            end.lacks_precision for end in ends.values()
        ],
        f"Rounding of the coefficients {whose}to float32, the dtype of X, raises the "
        "objective by more than 1e-6 of itself at {}: pass X in float64.": [
            end.rounded_to == np.float32 for end in ends.values()
        ],
        f"Rounding of the coefficients {whose}to float64 raises the objective by more than 1e-6 of "
        "itself at {}: rescale the columns of X, or leave out nearly collinear ones.": [
            end.rounded_to == np.float64 for end in ends.values()
        ],
    }
    for reason, found in reasons.items():
        if any(found):
            at = Cs[[i for i, is_there in zip(ends, found, strict=True) if is_there]]
            text = f"{len(at)} values of C from {at.min():.3g} to {at.max():.3g}"
            warn_user(reason.format(text if len(at) > 1 else f"C={at[0]:.3g}"), ConvergenceWarning)
