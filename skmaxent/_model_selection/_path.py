"""`maxent_path` fits a regularisation path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._callbacks import Attributes, Task, check_callbacks_supported, with_callbacks
from skmaxent._callbacks._progress import Progress
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._fit_steps import fitted_attributes, options_of
from skmaxent._estimators._fit_warnings import warn_of_blurred_columns, warn_of_inexact_columns
from skmaxent._input._arguments import check_flag, is_flag
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._read import read
from skmaxent._input._settings import Settings, warn_of_groups_without_l1
from skmaxent._input._training_data import TrainingData
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._maxent_path import MaxentPath, path_at
from skmaxent._model_selection._path_endings import Ending, warn_of_endings
from skmaxent._model_selection._penalty_grid import DEFAULT_N_CS, PenaltyGrid
from skmaxent._model_selection._score_accuracy import ScoreAccuracy
from skmaxent._sklearn import check_parameters
from skmaxent._solvers import PredictedPath, Solution
from skmaxent._storage._arrays import zeros_of_paths
from skmaxent._storage._cluster import forgetting_on_failure
from skmaxent._storage._vectors import nonzero_columns
from skmaxent._typing import Array

# What is called at the end of a path; see `fit_path`.
AtEnd = Callable[[TrainingProblem, MaxentPath, Callable[[int], None]], None]


def maxent_path(
    X: Any,
    y: ArrayLike,
    *,
    Cs: int | ArrayLike = DEFAULT_N_CS,
    alphas: int | ArrayLike | None = None,
    l1_ratio: float = 1.0,
    sample_weight: ArrayLike | None = None,
    offset: Any = None,
    relax: bool | str = False,
    callbacks: Iterable[Any] | None = None,
    **params: Any,
) -> MaxentPath:
    """Fit multinomial logistic regression for a sequence of penalties.

    The fits begin with the strongest penalty, and each starts from the solution of the fit before.
    A fit first ignores features that the sequential strong rule [1]_ excludes, and checks them
    before it ends.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features. A Dask array or data frame is possible too, as in `MaxentClassifier.fit`.
    y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        Class labels, or a table with counts or shares of the classes.
    Cs : int or array-like of shape (n_Cs,), default=100
        Inverse strengths of the penalty, or their number. A number is a geometric grid that begins
        at the largest C at which all penalised coefficients are zero. At its end the L1 penalty is
        1e-4 times the one at which a lasso selects its first feature [2]_, or 1e-2 times if X has
        no more rows than columns. For dense X the end is computed for features of equal scale, so
        that the grid also selects features whose values are small.
    alphas : int or array-like of shape (n_Cs,), default=None
        Instead of `Cs`, strengths of the penalty of an observation, or their number. An alpha is
        1/(C S), with S the sum of the weights: glmnet's `lambda`.
    l1_ratio : float, default=1.0
        Share of the L1 penalty. A grid for a share below 0.001 begins as for 0.001.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. None weighs all rows equally.
    offset : array-like of shape (n_samples, n_classes), or (n_samples,) for two classes
        Known part of the logits. None is zero.
    relax : bool or {"classes", "union"}, default=False
        Whether to add, for each C, a fit without a penalty. "classes" and True fit the coefficients
        that are not zero, which differ between classes. "union" fits all coefficients of each
        feature that has one that is not zero, as glmnet's ``relax = TRUE``. If these coefficients
        separate the classes, no finite optimum exists: the fit without penalty ends with a warning.
    callbacks : iterable of callbacks, default=None
        Callbacks of `sklearn.callback`, which need scikit-learn 1.9 or later. Each C is a subtask
        of the path, in the order of the fits. At its end, callbacks may ask for the classifier with
        this C. If a callback stops the path, the result contains only the fits so far.
    **params
        Other parameters of `MaxentClassifier`.

    Returns
    -------
    MaxentPath
        Coefficients at each C, in the order of `Cs`.

    Raises
    ------
    TypeError
        For the parameters `C`, `alpha`, `penalty` and `warm_start`.
    ValueError
        For input that cannot be fitted, for both `Cs` and `alphas`, for another `relax`, and for
        the parameters `partial_labels`, `bias_reduction` and `prior_correction`.
    ImportError
        If there are callbacks and scikit-learn does not support them.

    Warns
    -----
    ConvergenceWarning
        If, at some values of C, fits reached `max_iter`, have no finite optimum, or ended before
        the optimum for lack of floating-point precision; or if rounding the coefficients to float32
        increased the objective by more than 1e-6 of its value. The warning says at how many C.

    References
    ----------
    .. [1] Tibshirani et al. (2012), Strong rules for discarding predictors in lasso-type problems,
       J. R. Stat. Soc. B 74, 245-266.
    .. [2] Friedman, Hastie & Tibshirani (2010), Regularization paths for generalized linear models
       via coordinate descent, J. Stat. Softw. 33.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import maxent_path
    >>> path = maxent_path(*load_iris(return_X_y=True), Cs=5)
    >>> path.n_nonzero.tolist()
    [0, 1, 4, 4, 4]
    """
    for name in ("C", "alpha", "penalty", "warm_start"):
        if name in params:
            raise TypeError(
                f"maxent_path has no parameter {name!r}: give Cs or alphas, and l1_ratio."
            )
    if not isinstance(relax, str):
        check_flag("relax", relax)
        relax = bool(relax)
    grid, kind = PenaltyGrid.of(Cs, alphas), relaxation_of(relax)
    model = MaxentClassifier(l1_ratio=l1_ratio, **params)
    warn_of_groups_without_l1(model.grouped, l1_ratio)
    if callbacks is not None:
        check_callbacks_supported()
        model.set_callbacks(*callbacks)
    with forgetting_on_failure():
        path = fit_path(model, X, y, grid, sample_weight, offset, relax=kind, warns_of_relaxed=True)
    path = path if path.n_iter.all() else path_at(path, path.n_iter > 0)
    return path if model.max_iter else replace(path, n_iter=np.zeros_like(path.n_iter))


def relaxation_of(relax: Any) -> str | None:
    """Return which coefficients relaxed fits have: "classes", "union", or None for no such fits.

    Raises ValueError for other strings.
    """
    if not isinstance(relax, str):
        return None if is_flag(relax, False) else "classes"
    if relax not in ("classes", "union"):
        raise ValueError(f"relax must be a bool, 'classes' or 'union', found {relax!r}.")
    return relax


@with_callbacks
def fit_path(
    model: MaxentClassifier,
    X: Any,
    y: Any,
    grid: PenaltyGrid,
    sample_weight: Any = None,
    offset: Any = None,
    classes: Array | None = None,
    *,
    relax: str | None = None,
    warns_of_relaxed: bool = False,
    task: Task | None = None,
    at_C: Callable[[float], Attributes] = lambda C: {"C": C},
    data: TrainingData | None = None,
    at_end: AtEnd | None = None,
    accuracy: ScoreAccuracy | None = None,
    starts: tuple[Array, Array] | None = None,
    together: Callable[[TrainingProblem], MaxentPath | None] | None = None,
) -> MaxentPath:
    """Fit the path of a model from the strongest penalty on, and return it in the grid's order.

    Parameters
    ----------
    model : MaxentClassifier
        The parameters of the fits, except C.
    X, y, sample_weight, offset : object
        As in `maxent_path`.
    grid : PenaltyGrid
    classes : ndarray, optional
        The sorted labels, if y may lack some.
    relax : {"classes", "union"}, optional
        Which coefficients to fit again without a penalty at each C, as in `maxent_path`.
    warns_of_relaxed : bool, default=False
        Whether to warn of relaxed fits without an optimum too. Many relaxed fits of folds have no
        optimum, which their scores show.
    task : Task, optional
        Each C is a subtask of this task. The default is the task of the model's own callbacks.
    at_C : callable
        Returns, for a C, the attributes that a fitted estimator has besides `fitted_attributes`.
        Callbacks receive them.
    data : TrainingData, optional
        The data, if they have been read before. X, y and `sample_weight` are then only passed to
        callbacks.
    at_end : callable, optional
        Called with the problem of the path, while its threads exist, with the path, and with a
        function that repeats the fit at a position among the Cs up to the `tol` of the model.
    accuracy : ScoreAccuracy, optional
        Determines the Cs that are fitted and the distance to the optimum at which each fit ends,
        and scores the path. The default is a fit up to the `tol` of the model at each C.
    starts : tuple of ndarray, optional
        Coefficients and intercepts at which the fits start, for each C, in the shapes of those of a
        `MaxentPath`. The default is the solution at the C before.
    together : callable, optional
        Returns the whole path up to the `tol` of the model, or None if each C has to be fitted
        alone. Its optimality gaps are NaN.

    Returns
    -------
    MaxentPath
        `n_iter` is 0 at each C without a fit: after a callback stopped the path, and where
        `accuracy` interpolated the coefficients, whose optimality gaps are NaN. It is at least 1
        at the other Cs, even for ``max_iter=0``.
    """
    check_parameters(model)
    for name in ("partial_labels", "bias_reduction", "prior_correction"):
        if getattr(model, name) not in (None, False):
            raise ValueError(f"a path has no {name}: fit one C at a time.")
    settings = Settings.of(model).for_path()
    if data is None:
        data = read(settings, model, X, y, sample_weight, offset, classes=classes)
    with TrainingProblem.of(data, settings) as training:
        warn_of_inexact_columns(model, training)
        solver = _solver_of(model, training)
        path = None if together is None else together(training)
        is_complete = path is not None
        if path is None:
            path = _empty_path(model, training, solver, grid, settings.l1_ratio, relax=relax)
        own_task = None
        if task is None:
            own_task = task = Task.of_fit(
                model, X, y, sample_weight, name="path", max_subtasks=len(path.Cs)
            )
        strengths = training.strengths(path.Cs, grid.total_weight)
        progress = Progress()
        endings: dict[int, Ending] = {}
        relaxed_endings: dict[int, Ending] = {}

        def end(index: int, solution: Solution) -> None:
            """Note how a fit ended, and its certificate after rounding."""
            endings[index] = Ending.of(solution, model, training, float(strengths[index]))
            rounded = training.rounded(solution, endings[index].rounding)
            path.optimality_gaps[index] = rounded.gap

        def repeat(index: int) -> None:
            """Repeat a fit up to the `tol` of the model, from the coefficients found before."""
            known, strength = (path.coefs, path.intercepts), float(strengths[index])
            end(index, _fit_at(path, index, strength, training, solver, None, known))

        positions: Iterable[int] = np.argsort(path.Cs, kind="stable").tolist()
        if is_complete:
            positions, accuracy = (), None
        elif accuracy is not None:
            is_smooth = training.problem_terms.is_plain_ridge
            positions = accuracy.positions(path, is_smooth=is_smooth)
        for i in positions:
            subtask = None if task is None else task.subtask("penalty").begin()
            solution = _fit_at(path, i, float(strengths[i]), training, solver, accuracy, starts)
            if relax is not None:
                relaxed_endings[i] = _fit_relaxed_at(path, i, training, solver, model, relax)
            end(i, solution)
            if model.verbose > 0:
                progress.show(
                    f"{len(endings)} of {len(path.Cs)}   {_fit_text(path.Cs[i], solution)}"
                )
            if subtask is not None and subtask.end(_attributes_at(path, i, offset, at_C)):
                break
        progress.close()
        largest = np.maximum(path.coefs.max(axis=0), -path.coefs.min(axis=0))
        warn_of_blurred_columns(model, training, largest)
        if accuracy is not None:
            accuracy.fill_in(path)
        if at_end is not None:
            at_end(training, path, repeat)
        if own_task is not None:
            own_task.end()
    warn_of_endings(endings, path.Cs, "", model)
    if warns_of_relaxed:
        warn_of_endings(relaxed_endings, path.Cs, "relaxed ", model)
    return path


def _empty_path(
    model: MaxentClassifier,
    training: TrainingProblem,
    solver: PredictedPath,
    grid: PenaltyGrid,
    l1_ratio: float,
    *,
    relax: str | None,
) -> MaxentPath:
    """Return a path of zeros at the Cs of a grid, for `fit_path` to fill in.

    The relaxed coefficients are None if `relax` is None.
    """
    total_weight = training.total_weight if grid.total_weight is None else grid.total_weight
    if isinstance(grid.values, int):
        Cs = training.grid(solver.range(), grid.values)
    else:
        Cs = grid.Cs(total_weight)
    n, (n_logits, n_features), dtype = len(Cs), training.shape, training.dtype
    what = "Cs x rows of coef_ x features"
    # Without L1, only the coefficients of constant columns are zero.
    n_written = 0 if l1_ratio else n * n_logits * int(training.problem.varying.sum())
    arrays = [
        zeros
        for _ in range(2 if relax else 1)
        for zeros in (
            zeros_of_paths((n, n_logits, n_features), dtype, what, n_written),
            np.zeros((n, n_logits), dtype),
        )
    ]
    return MaxentPath(
        Cs,
        arrays[0],
        arrays[1],
        np.zeros(n, np.int32),
        np.zeros(n),
        training.classes,
        FittedColumns.of(model).all_names,
        l1_ratio,
        total_weight,
        *arrays[2:],
    )


def _fit_at(
    path: MaxentPath,
    index: int,
    strength: float,
    training: TrainingProblem,
    solver: PredictedPath,
    accuracy: ScoreAccuracy | None,
    starts: tuple[Array, Array] | None,
) -> Solution:
    """Fit at ``Cs[index]``, write the coefficients to the path, and return the solution.

    `strength` is the factor of the penalty of strength one at this C. `accuracy` and `starts` are
    those of `fit_path`.
    """
    if accuracy is not None:
        at = (path.coefs[index], path.intercepts[index]) if accuracy.starts_at_path else None
        solution = solver.near(strength, accuracy.distance, at and training.theta(*at))
    else:
        start = None if starts is None else training.theta(starts[0][index], starts[1][index])
        solution = solver.at(strength, start)
    _put(path.coefs[index], path.intercepts[index], training.coefficients(solution))
    path.n_iter[index] = solution.n_iter
    if accuracy is not None:
        step_start = training.user_coefficients(
            *training.problem.coefficients(solution.point.theta)
        )
        end = path.coefs[index], path.intercepts[index]
        accuracy.add(index, end, step_start, solution)
    return solution


def _fit_relaxed_at(
    path: MaxentPath,
    index: int,
    training: TrainingProblem,
    solver: PredictedPath,
    model: MaxentClassifier,
    relax: str,
) -> Ending:
    """Write the relaxed fit at ``Cs[index]`` to the path, and return how it ended.

    The solver has made the penalised fit at this C last.
    """
    assert path.relaxed_coefs is not None
    assert path.relaxed_intercepts is not None
    relaxed = solver.relaxed(by_feature=relax == "union")
    found = training.coefficients(relaxed)
    _put(path.relaxed_coefs[index], path.relaxed_intercepts[index], found)
    return Ending.of(relaxed, model, training, 0.0)


def _put(coef: Array, intercept: Array, values: tuple[Array, Array]) -> None:
    """Write the coefficients and intercepts `values` to `coef` and `intercept`.

    Columns of zeros are written to only if they had other values: pages of zeros that nobody has
    written to take no memory.
    """
    coef[:, nonzero_columns(coef)] = 0.0
    some = nonzero_columns(values[0])
    coef[:, some] = values[0][:, some]
    intercept[:] = values[1]


def _attributes_at(
    path: MaxentPath, index: int, offset: Any, at_C: Callable[[float], Attributes]
) -> Attributes:
    """Return the fitted attributes of the classifier at ``Cs[index]``, for callbacks."""
    fitted = fitted_attributes(
        path.classes,
        path.coefs[index],
        path.intercepts[index],
        path.n_iter[index],
        path.optimality_gaps[index],
    )
    # A callback that predicts the rows of the fit gives no offsets: the default are those of `fit`.
    default = {"_default_offset": offset, "_fitted_with_offset": False}
    return fitted | default | at_C(float(path.Cs[index]))


def data_grid(
    models: list[MaxentClassifier],
    X: Any,
    y: Any,
    n_points: int,
    sample_weight: Any,
    offset: Any,
    data: TrainingData | None = None,
) -> Array:
    """Return a geometric grid of `n_points` Cs that covers the grids of all models.

    X, y, sample_weight and offset are those of `maxent_path`; `data` are the same, if they have
    been read before. The models differ in their l1_ratio.
    """
    ends = []
    for model in models:
        settings = Settings.of(model).for_path()
        rows = data
        if rows is None:
            rows = read(settings, model, X, y, sample_weight, offset)
        with TrainingProblem.of(rows, settings) as training:
            warn_of_inexact_columns(model, training)
            ends.append(training.grid(_solver_of(model, training).range(), 2))
    return np.geomspace(min(end[0] for end in ends), max(end[1] for end in ends), n_points)


def _solver_of(model: MaxentClassifier, training: TrainingProblem) -> PredictedPath:
    """Return a solver that fits the problem for one strength of the penalty after another."""
    options = options_of(model, quiet=True)
    return PredictedPath(training.problem, training.problem_terms, options, training.lasso)


def _fit_text(C: float, solution: Solution) -> str:
    """Return the line that `verbose` prints for the fit at C."""
    n_features = int(solution.coef.any(axis=0).sum())
    return (
        f"C {C:10.4g}   objective {solution.value:.10g}   {n_features} features   "
        f"{solution.n_iter} iterations"
    )
