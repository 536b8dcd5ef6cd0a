"""The steps that the fits of all estimators share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skmaxent._callbacks import Attributes, Iterations, Task
from skmaxent._callbacks._progress import Progress
from skmaxent._estimators._fit_warnings import (
    warn_of_blurred_columns,
    warn_of_inexact_columns,
    warn_of_rounded_coefficients,
)
from skmaxent._model._rounded_coefficients import needs_warning_of_rounding, rounding_excess
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._solvers import Callback, Iteration, Options, Solution, resolve_solver
from skmaxent._storage._cluster import forgetting_on_failure
from skmaxent._typing import Array, RandomState


def fitted_attributes(
    classes: Array, coef: Array, intercept: Array, n_iter: int, gap: float = np.nan
) -> Attributes:
    """Return the fitted attributes; the optimality gap is NaN while the fit is running."""
    return {
        "classes_": classes,
        "coef_": coef,
        "intercept_": intercept,
        "n_iter_": np.array([n_iter], dtype=np.int32),
        "optimality_gap_": gap,
    }


def set_attributes(estimator: Any, attributes: Attributes) -> None:
    """Set attributes by name."""
    for name, value in attributes.items():
        setattr(estimator, name, value)


@contextmanager
def restored_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Restore all attributes of the estimator if the body of the `with` statement raises."""
    before = dict(vars(estimator))
    try:
        with forgetting_on_failure():
            yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def fit_coefficients(
    estimator: Any,
    training: TrainingProblem,
    given: tuple[Any, Any, Any],
    minimise: Callable[[Options], Solution],
    user_coefficients: Callable[[Array, Array], tuple[Array, Array]],
    during_fit: Attributes,
    *,
    is_bounded: bool = True,
    correction: Array | float = 0.0,
) -> tuple[Solution, Task | None]:
    """Minimise the objective and set the fitted attributes of an estimator.

    Parameters
    ----------
    estimator : MaxentClassifier or MultilabelMaxentClassifier
    training : TrainingProblem
    given : tuple
        X, y and sample_weight as the user gave them. Callbacks receive them.
    minimise : callable
        Returns the solution of the problem for the options of a solver.
    user_coefficients : callable
        Converts coefficients and intercepts of the problem to `coef_` and `intercept_`.
    during_fit : dict
        Further attributes of the estimators that callbacks receive during the fit.
    is_bounded : bool, default=True
        Whether the task of the fit has at most `max_iter` subtasks if the penalty is smooth. It has
        more if thresholds are learned after the iterations.
    correction : ndarray of shape (n_logits,) or float, default=0.0
        What `user_coefficients` adds to the intercepts.

    Returns
    -------
    solution : Solution
    task : Task or None
        The task of the fit, which the caller ends; None without callbacks.
    """
    problem = training.problem
    warn_of_inexact_columns(estimator, training)

    def fitted(coef: Array, intercept: Array, n_iter: int, gap: float = np.nan) -> Attributes:
        return fitted_attributes(training.classes, *user_coefficients(coef, intercept), n_iter, gap)

    def attributes(line: Iteration, theta: Array) -> Attributes:
        return fitted(*problem.coefficients(theta), line.n_iter) | during_fit

    is_bounded = is_bounded and problem.terms.is_plain_ridge
    max_subtasks = max(estimator.max_iter, 1) if is_bounded else None
    task = Task.of_fit(estimator, *given, max_subtasks=max_subtasks)
    iterations = None if task is None else Iterations(task, attributes)
    solution = minimise(options_of(estimator, iterations))
    excess = rounding_excess(training, solution, correction=correction)
    solution = training.rounded(solution, excess)
    n_iter = solution.n_iter if estimator.max_iter else 0
    found = fitted(solution.coef, solution.intercept, n_iter, solution.gap)
    set_attributes(estimator, found | {"_notes": ()})
    warn_of_blurred_columns(estimator, training, estimator.coef_)
    if needs_warning_of_rounding(training, solution, excess):
        warn_of_rounded_coefficients(estimator, training, solution, excess)
    if iterations is not None:
        iterations.close(found | during_fit)
    return solution, task


def seed_of(random_state: RandomState) -> int:
    """Return an integer seed for a `random_state`; 0 for None, so that fits are reproducible."""
    if random_state is None:
        return 0
    return int(check_random_state(random_state).randint(2**31 - 1))


def options_of(estimator: Any, callback: Callback | None = None, *, quiet: bool = False) -> Options:
    """Return the solver's options for the parameters of an estimator and a callback.

    The solver prints its iterations if `verbose` is positive, unless it is `quiet`.
    """
    return Options(
        estimator.tol,
        max_iter=estimator.max_iter,
        solver=resolve_solver(estimator.solver),
        seed=seed_of(estimator.random_state),
        callback=_printing(callback) if estimator.verbose > 0 and not quiet else callback,
    )


def _printing(callback: Callback | None) -> Callback:
    """Return a callback that prints each iteration and then calls another callback."""
    progress = Progress()

    def report(line: Iteration, theta: Array, is_last: bool) -> bool:
        progress.show(_iteration_text(line))
        is_stopped = callback is not None and callback(line, theta, is_last)
        if is_last or is_stopped:
            progress.close()
        return is_stopped

    return report


def _iteration_text(iteration: Iteration) -> str:
    """Return the line that `verbose` prints for an iteration."""
    return (
        f"iteration {iteration.n_iter:3d}   objective {iteration.value:.10g}   "
        f"distance {iteration.distance:.2e} standard errors   "
        f"{_counted(iteration.n_gradients, 'gradient')}, "
        f"{_counted(iteration.n_hessian_products, 'Hessian product')}"
    )


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
