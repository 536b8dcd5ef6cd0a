"""The fit of a `MaxentClassifier`: the problem, its solution, and the correction of intercepts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._callbacks import with_callbacks
from skmaxent._estimators._fit_steps import fit_coefficients, restored_on_failure, set_attributes
from skmaxent._estimators._fit_warnings import warn_unless_converged
from skmaxent._estimators._linear_classifier import (
    fitted_model,
    move_to_input,
    uncorrected_intercept,
)
from skmaxent._estimators._parameters_of_fit import parameters_of_fit
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._input._training_data import TrainingData
from skmaxent._input._validation import class_shares
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._sklearn import check_parameters
from skmaxent._solvers import NEWTON, Options, Solution, minimise
from skmaxent._typing import Array


def fit_classifier(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
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
    sample_weight: ArrayLike | None,
    offset: ArrayLike | None,
    data: TrainingData | None = None,
) -> Solution:
    """Fit a classifier, set its fitted attributes and return the solution.

    The arguments are those of `fit_classifier`. The caller checks the parameters of the classifier
    and warns if the solution did not converge.
    """
    settings = Settings.of(model)
    if data is None:
        data = read(settings, model, X, y, sample_weight, offset)
    with TrainingProblem.of(data, settings) as training:
        correction = _intercept_correction(model, training)
        kept = {
            "_correction": np.full(training.shape[0], correction, training.dtype),
            "_fitted_with": parameters_of_fit(model),
        }
        # Attributes of the intermediate models that callbacks see. A callback that predicts the
        # rows of the fit gives no offsets; these models then use the offsets of the fit.
        during_fit = kept | {"_fitted_with_offset": False, "_default_offset": offset}

        def corrected(coef: Array, intercept: Array) -> tuple[Array, Array]:
            """Return `coef_` and `intercept_` for coefficients of the problem."""
            return training.user_coefficients(coef, intercept + correction)

        # A partial instead of a closure: the traceback of an error keeps its frames, and with a
        # closure these would keep the data alive.
        solution, task = fit_coefficients(
            model,
            training,
            (X, y, sample_weight),
            partial(_solve, model, settings, training),
            corrected,
            during_fit,
            correction=correction,
        )
        set_attributes(model, kept)
        move_to_input(model, X, y)
        model._fitted_with_offset = offset is not None
        if task is not None:
            task.end(during_fit)
    return solution


def _solve(
    estimator: Any, settings: Settings, training: TrainingProblem, options: Options
) -> Solution:
    """Return the solution by expectation maximisation, bias reduction, or the solver of `options`.

    Parameters
    ----------
    estimator : MaxentClassifier
        With `warm_start` the solver starts at the coefficients of its last fit.
    settings : Settings
    training : TrainingProblem
    options : Options

    Returns
    -------
    Solution
        For fits without penalty and bounds, `aliased` has the positions of the columns that are
        linear combinations of earlier columns and the intercept.

    Raises
    ------
    ValueError
        If `bias_reduction` is combined with a penalty, bounds or another solver than "auto".
    """
    problem = training.problem
    if settings.partial_labels and not training.blocks.has_codes:
        from skmaxent._solvers._expectation_maximisation import fit_sets  # late: seldom needed

        solution = fit_sets(problem, options)
    elif settings.bias_reduction is None:
        solution = minimise(problem, options, _warm_start(estimator, training))
    else:
        return _bias_reduced(estimator, settings, training, options)
    is_free = problem.terms.is_plain_ridge and not problem.terms.ridge.any()
    if settings.bias_reduction is None and not settings.is_penalised and is_free:
        return replace(solution, aliased=tuple(training.aliased()))
    return solution


def _warm_start(estimator: Any, training: TrainingProblem) -> Array | None:
    """Return the coefficients of the last fit as θ of the problem, (n_logits, n_kept + 1).

    The result is None without `warm_start` or a last fit, if the last fit had other classes or
    features, and if its coefficients are a worse start than zeros.
    """
    if not (estimator.warm_start and hasattr(estimator, "coef_")) or training.has_absent_classes:
        return None
    last = fitted_model(estimator)
    is_same = last.coef.shape[1] == estimator.n_features_in_
    if not (is_same and np.array_equal(last.classes, training.classes)):
        return None
    columns, intercept = training.columns, uncorrected_intercept(estimator)
    return training.problem.warm_start(*columns.to_problem(last.coef.astype(float), intercept))


def _bias_reduced(
    estimator: Any, settings: Settings, training: TrainingProblem, options: Options
) -> Solution:
    """Return the maximum of the likelihood penalised by Jeffreys' prior.

    Raises ValueError if there is another penalty, or if columns are linearly dependent.
    """
    if settings.is_penalised or not training.problem.terms.is_plain_ridge:
        raise ValueError(
            "bias_reduction cannot be combined with another penalty or with bounds; expected "
            f"C=np.inf, bounds=None and finite penalty_factor, found {settings.strength}."
        )
    if options.solver not in NEWTON:
        raise ValueError(
            "bias_reduction uses Fisher scoring; expected solver='auto', found "
            f"solver={estimator.solver!r}."
        )
    # These modules are imported late, as seldom needed.
    from skmaxent._inference._bias_reduction import bias_reduced
    from skmaxent._inference._covariance import SingularInformation
    from skmaxent._inference._robust_covariance import dependent_columns

    try:
        return bias_reduced(training.problem, options, training.data.scale)
    except SingularInformation as error:
        raise dependent_columns(error, FittedColumns.of(estimator).all_names) from error


def _intercept_correction(estimator: Any, training: TrainingProblem) -> Array | float:
    """Return the numbers that `prior_correction` adds to the intercepts, (n_logits,), or 0.

    Raises ValueError if the model has no intercepts, or a class has no rows of positive weight.
    """
    if estimator.prior_correction is None:
        return 0.0
    if not estimator.fit_intercept or training.has_absent_classes:
        raise ValueError(
            "prior_correction changes the intercepts; expected fit_intercept=True and rows of "
            "positive weight in every class."
        )
    shares = class_shares(estimator.prior_correction, training.classes, training.data.totals)
    change = np.log(shares) - np.log(training.class_shares)
    return np.asarray(change[1:] - change[:1] if len(change) == 2 else change - change.mean())
