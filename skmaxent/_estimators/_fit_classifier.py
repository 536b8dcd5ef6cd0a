"""The fit of a `MaxentClassifier`."""

from __future__ import annotations

from functools import partial
from typing import Any

from skmaxent._callbacks import with_callbacks
from skmaxent._estimators._fit_steps import fit_coefficients, restored_on_failure, set_attributes
from skmaxent._estimators._fit_warnings import warn_unless_converged
from skmaxent._estimators._linear_classifier import move_to_input
from skmaxent._estimators._parameters_of_fit import parameters_of_fit
from skmaxent._estimators._training import intercept_correction, solve, training_problem
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._input._training_data import TrainingData
from skmaxent._sklearn import check_parameters
from skmaxent._solvers import Solution
from skmaxent._typing import Array


def fit_classifier(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    offset: Any = None,
    data: TrainingData | None = None,
) -> None:
    """Fit a classifier. If the fit fails, the classifier keeps the attributes of an earlier fit.

    Parameters
    ----------
    model : MaxentClassifier
    X, y, sample_weight, offset : object
        As in `MaxentClassifier.fit`.
    data : TrainingData, default=None
        The data, if they have been read before. X, y and `sample_weight` are then only passed to
        callbacks.
    """
    with restored_on_failure(model):
        check_parameters(model)
        solution = solve_and_store(model, X, y, sample_weight, offset, data)
        warn_unless_converged(solution, model)


@with_callbacks
def solve_and_store(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    data: TrainingData | None = None,
) -> Solution:
    """Fit a classifier, set its fitted attributes and return the solution.

    The arguments are those of `fit_classifier`. The caller checks the parameters of the classifier
    and warns if the solution did not converge.
    """
    settings = Settings.of(model)
    if data is None:
        data = read(settings, model, X, y, sample_weight, offset)
    with training_problem(model, settings, data) as problem:
        correction = intercept_correction(model, problem)
        kept = {"_correction": correction, "_fitted_with": parameters_of_fit(model)}
        # Callbacks predict the rows of the fit without giving their offsets.
        during = kept | {"_fitted_with_offset": False, "_default_offset": offset}

        def corrected(coef: Array, intercept: Array) -> tuple[Array, Array]:
            coef, intercept = problem.known_coefficients(coef, intercept)
            return coef, intercept + correction

        # A partial, not a closure: an error's traceback would keep what its frame closes over.
        solution, task = fit_coefficients(
            model,
            problem,
            (X, y, sample_weight),
            partial(solve, model, settings, problem),
            corrected,
            during,
        )
        set_attributes(model, kept)
        move_to_input(model, X, y)
        model._fitted_with_offset = offset is not None
        if task is not None:
            task.end(during)
    return solution
