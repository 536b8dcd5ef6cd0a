"""`maxent_path` fits a regularisation path; `MaxentPath` holds its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._callbacks import Attributes, Task, check_callbacks_supported, with_callbacks
from skmaxent._callbacks._progress import Progress
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._fit_steps import fitted_attributes, options_of
from skmaxent._estimators._fit_warnings import warn_of_inexact_columns
from skmaxent._input import _frames
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._read import read
from skmaxent._input._settings import Settings, warn_of_groups_without_l1
from skmaxent._input._training_data import TrainingData
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._path_endings import Ending, warn_of_endings
from skmaxent._model_selection._penalty_grid import DEFAULT_N_CS, PenaltyGrid, alphas_of
from skmaxent._model_selection._score_accuracy import ScoreAccuracy
from skmaxent._sklearn import check_parameters
from skmaxent._solvers import PredictedPath, Solution
from skmaxent._storage._cluster import forgetting_on_failure
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MaxentPath:
    """Coefficients of a regularisation path, as `maxent_path` returns them.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Inverse strengths of the penalty.
    coefs : ndarray of shape (n_Cs, n_classes, n_features), or (n_Cs, 1, n_features)
        Coefficients at each C. With two classes there is a single logit, that of ``classes[1]``.
    intercepts : ndarray of shape (n_Cs, n_classes) or (n_Cs, 1)
        Intercepts at each C.
    n_iter : ndarray of shape (n_Cs,)
        Number of iterations of the solver at each C.
    optimality_gaps : ndarray of shape (n_Cs,)
        Upper bound on (F - F*)/F at each C, where F is the objective and F* its minimum.
    classes : ndarray of shape (n_classes,)
        Class labels, sorted.
    feature_names : ndarray of shape (n_features,)
        Names of the features. They are x0, x1, ... if X has no names.
    l1_ratio : float
        Share of the L1 penalty.
    total_weight : float
        Sum S of the weights of the rows.
    relaxed_coefs, relaxed_intercepts : ndarray or None
        Coefficients and intercepts of fits without a penalty, in which coefficients or, with
        ``relax="union"``, features that are zero in `coefs` stay zero. The shapes are those of
        `coefs` and `intercepts`. None without `relax`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import maxent_path
    >>> path = maxent_path(*load_iris(return_X_y=True), Cs=[0.01, 0.1, 1.0])
    >>> path.coefs.shape
    (3, 3, 4)
    """

    Cs: Array
    coefs: Array = field(repr=False)
    intercepts: Array = field(repr=False)
    n_iter: Array = field(repr=False)
    optimality_gaps: Array = field(repr=False)
    classes: Array
    feature_names: Array = field(repr=False)
    l1_ratio: float
    total_weight: float = field(default=np.nan, repr=False)
    relaxed_coefs: Array | None = field(default=None, repr=False)
    relaxed_intercepts: Array | None = field(default=None, repr=False)

    def blended(self, gamma: float, index: int) -> tuple[Array, Array]:
        """Return weighted means of the penalised and the relaxed fit at ``Cs[index]``.

        Parameters
        ----------
        gamma : float
            Weight of the penalised fit. The weight of the relaxed fit is 1 - `gamma`.
        index : int
            Position in `Cs`.

        Returns
        -------
        coef : ndarray of shape (n_classes, n_features) or (1, n_features)
        intercept : ndarray of shape (n_classes,) or (1,)

        Raises
        ------
        ValueError
            If the path has no relaxed fits and `gamma` is not 1.
        """
        coef, intercept = self.coefs[index], self.intercepts[index]
        if gamma == 1.0:
            return coef, intercept
        if self.relaxed_coefs is None or self.relaxed_intercepts is None:
            raise ValueError(f"gamma={gamma} needs a relaxed fit: maxent_path(..., relax=True).")
        relaxed = self.relaxed_coefs[index], self.relaxed_intercepts[index]
        coef = gamma * coef + (1.0 - gamma) * relaxed[0]
        return coef, gamma * intercept + (1.0 - gamma) * relaxed[1]

    @property
    def alphas(self) -> Array:
        """Strength of the penalty of an observation at each C, 1/(C S), shape (n_Cs,)."""
        return alphas_of(self.Cs, self.total_weight)

    @property
    def n_nonzero(self) -> Array:
        """Number of features with a nonzero coefficient at each C, shape (n_Cs,)."""
        return np.asarray((self.coefs != 0.0).any(axis=1).sum(axis=1))

    def coef_frame(self) -> pd.DataFrame:
        """Return the nonzero coefficients as a table.

        Returns
        -------
        pandas.DataFrame
            The columns C, class, feature and coef, with a row for each nonzero coefficient and
            intercept. The feature of an intercept is "Intercept".
        """
        return _frames.path_frame(
            self.Cs, self.coefs, self.intercepts, self.classes, self.feature_names
        )


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
    grid, kind = PenaltyGrid.of(Cs, alphas), relaxation_of(relax)
    model = MaxentClassifier(l1_ratio=l1_ratio, **params)
    warn_of_groups_without_l1(model.grouped, l1_ratio)
    if callbacks is not None:
        check_callbacks_supported()
        model.set_callbacks(*callbacks)
    with forgetting_on_failure():
        path = fit_path(model, X, y, grid, sample_weight, offset, relax=kind, names_relaxed=True)
    path = path if path.n_iter.all() else some_of(path, path.n_iter > 0)
    return path if model.max_iter else replace(path, n_iter=np.zeros_like(path.n_iter))


def relaxation_of(relax: Any) -> str | None:
    """Return which coefficients relaxed fits have: "classes", "union", or None for no such fits.

    Raises ValueError for other strings.
    """
    if not isinstance(relax, str):
        is_off = isinstance(relax, (bool, np.bool_)) and not relax
        return None if is_off else "classes"
    if relax not in ("classes", "union"):
        raise ValueError(f"relax must be a bool, 'classes' or 'union', found {relax!r}.")
    return relax


def some_of(path: MaxentPath, kept: Array) -> MaxentPath:
    """Return the path at some of its Cs; `kept` are positions or a mask."""
    names = ["Cs", "coefs", "intercepts", "n_iter", "optimality_gaps"]
    if path.relaxed_coefs is not None:
        names += ["relaxed_coefs", "relaxed_intercepts"]
    return replace(path, **{name: getattr(path, name)[kept] for name in names})


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
    names_relaxed: bool = False,
    task: Task | None = None,
    at_C: Callable[[float], Attributes] = lambda C: {"C": C},
    data: TrainingData | None = None,
    at_end: Callable[[TrainingProblem, MaxentPath], None] | None = None,
    accuracy: ScoreAccuracy | None = None,
    starts: tuple[Array, Array] | None = None,
) -> MaxentPath:
    """Fit the path of a model from the strongest penalty on, and return it in the grid's order.

    Parameters
    ----------
    model : MaxentClassifier
        Its parameters, except C.
    X, y, sample_weight, offset : object
        As in `maxent_path`.
    grid : PenaltyGrid
    classes : ndarray, optional
        The sorted labels, if y may lack some.
    relax : {"classes", "union"}, optional
        Which coefficients to fit again without a penalty at each C, as in `maxent_path`.
    names_relaxed : bool, default=False
        Whether to warn of relaxed fits without an optimum too. Folds do not, because many of
        their relaxed fits have none and the scores show it.
    task : Task, optional
        Each C is a subtask of this task. The default is the task of the model's own callbacks.
    at_C : callable
        Returns the fitted attributes that give callbacks the C.
    data : TrainingData, optional
        The data, if they have been read before. Then X, y and the others are only passed to
        callbacks.
    at_end : callable, optional
        Called with the problem of the path, while its threads exist, and with the path.
    accuracy : ScoreAccuracy, optional
        Says how near to the optimum each fit must be, and scores it. The default is the `tol` of
        the model.
    starts : tuple of ndarray, optional
        Coefficients and intercepts at which the fits start, for each C, in the shapes of those of a
        `MaxentPath`. The default is the fit before.

    Returns
    -------
    MaxentPath
        If a callback stopped the path, `n_iter` is 0 at each C without a fit. It is at least 1 at
        the other Cs, even for ``max_iter=0``.
    """
    path, ends = _fit_path(
        model,
        X,
        y,
        grid,
        sample_weight,
        offset,
        classes,
        relax=relax,
        task=task,
        at_C=at_C,
        data=data,
        at_end=at_end,
        accuracy=accuracy,
        starts=starts,
    )
    warn_of_endings(ends[""], "", model)
    if names_relaxed:
        warn_of_endings(ends["relaxed "], "relaxed ", model)
    return path


@with_callbacks
def _fit_path(
    model: MaxentClassifier,
    X: Any,
    y: Any,
    grid: PenaltyGrid,
    sample_weight: Any,
    offset: Any,
    classes: Array | None,
    *,
    relax: str | None,
    task: Task | None,
    at_C: Callable[[float], Attributes],
    data: TrainingData | None,
    at_end: Callable[[TrainingProblem, MaxentPath], None] | None,
    accuracy: ScoreAccuracy | None,
    starts: tuple[Array, Array] | None,
) -> tuple[MaxentPath, dict[str, list[Ending]]]:
    """Return what `fit_path` does, without warnings, and how the fits at each C ended."""
    check_parameters(model)
    for name in ("partial_labels", "bias_reduction", "prior_correction"):
        if getattr(model, name) not in (None, False):
            raise ValueError(f"a path has no {name}: fit one C at a time.")
    settings = Settings.of(model).for_path()
    if data is None:
        data = read(settings, model, X, y, sample_weight, offset, classes=classes)
    with TrainingProblem.of(data, settings) as ready:
        warn_of_inexact_columns(model, ready)
        path = _solver_of(model, ready)
        total_weight = ready.total_weight if grid.total_weight is None else grid.total_weight
        if isinstance(grid.values, int):
            Cs = ready.grid(path.range(), grid.values)
        else:
            Cs = grid.Cs(total_weight)
        found = _Arrays.zeros(len(Cs), ready)
        relaxed = _Arrays.zeros(len(Cs), ready) if relax else None
        n_iter, gaps = np.zeros(len(Cs), np.int32), np.zeros(len(Cs))
        ends: dict[str, list[Ending]] = {"": [], "relaxed ": []}
        strengths = ready.strengths(Cs, grid.total_weight)
        of_model = None
        if task is None:
            of_model = task = Task.of_fit(
                model, X, y, sample_weight, name="path", max_subtasks=len(Cs)
            )
        progress = Progress()
        for i in np.argsort(Cs, kind="stable"):
            subtask = None if task is None else task.subtask("penalty").begin()
            strength = float(strengths[i])
            if accuracy is not None:
                solution = path.near(strength, accuracy.distance)
            else:
                start = None if starts is None else ready.theta(starts[0][i], starts[1][i])
                solution = path.at(strength, start)
            found.put(i, *ready.coefficients(solution))
            if accuracy is not None:
                accuracy.add(i, found.coefs[i], found.intercepts[i], solution)
            if relaxed is not None:
                free = path.relaxed(by_feature=relax == "union")
                relaxed.put(i, *ready.coefficients(free))
                ends["relaxed "].append(Ending.of(free, model, ready))
            end = Ending.of(solution, model, ready)
            ends[""].append(end)
            n_iter[i], gaps[i] = solution.n_iter, solution.rounded(end.rounding).gap
            if model.verbose > 0:
                progress.show(f"{len(ends[''])} of {len(Cs)}   {_fit_text(Cs[i], solution)}")
            attributes = fitted_attributes(
                ready.classes, found.coefs[i], found.intercepts[i], n_iter[i], gaps[i]
            )
            attributes |= {"_default_offset": offset, "_fitted_with_offset": False} | at_C(
                float(Cs[i])
            )
            if subtask is not None and subtask.end(attributes):
                break
        progress.close()
        if accuracy is not None:
            accuracy.close()
        path_of = MaxentPath(
            Cs,
            found.coefs,
            found.intercepts,
            n_iter,
            gaps,
            ready.classes,
            FittedColumns.of(model).all_names,
            settings.l1_ratio,
            total_weight,
            None if relaxed is None else relaxed.coefs,
            None if relaxed is None else relaxed.intercepts,
        )
        if at_end is not None:
            at_end(ready, path_of)
        if of_model is not None:
            of_model.end()
    return path_of, ends


@dataclass(frozen=True)
class _Arrays:
    """Coefficients and intercepts at each C."""

    coefs: Array
    intercepts: Array

    @classmethod
    def zeros(cls, n: int, ready: TrainingProblem) -> _Arrays:
        """Return arrays of zeros for n values of C."""
        rows, width = ready.shape
        # Pages of zeros that nobody writes to take no memory.
        return cls(np.zeros((n, rows, width), ready.dtype), np.zeros((n, rows), ready.dtype))

    def put(self, index: int, coef: Array, intercept: Array) -> None:
        """Store the coefficients at the C at a position."""
        some = np.flatnonzero(coef.any(axis=0))
        self.coefs[index][:, some] = coef[:, some]
        self.intercepts[index] = intercept


def data_grid(
    models: list[MaxentClassifier],
    X: Any,
    y: Any,
    n_points: int,
    sample_weight: Any,
    offset: Any,
    data: TrainingData | None = None,
) -> Array:
    """Return a geometric grid of C that covers the grids of all models."""
    ends = []
    for model in models:
        settings = Settings.of(model).for_path()
        rows = data
        if rows is None:
            rows = read(settings, model, X, y, sample_weight, offset)
        with TrainingProblem.of(rows, settings) as ready:
            warn_of_inexact_columns(model, ready)
            path = _solver_of(model, ready)
            ends.append(ready.grid(path.range(), 2))
    return np.geomspace(min(end[0] for end in ends), max(end[1] for end in ends), n_points)


def _solver_of(model: MaxentClassifier, ready: TrainingProblem) -> PredictedPath:
    """Return the solver of the path of a model."""
    options = options_of(model, quiet=True)
    return PredictedPath(ready.problem, ready.problem_terms, options, ready.lasso)


def _fit_text(C: float, solution: Solution) -> str:
    """Return what `verbose` prints of the fit at C."""
    n_features = int(solution.coef.any(axis=0).sum())
    return (
        f"C {C:10.4g}   objective {solution.value:.10g}   {n_features} features   "
        f"{solution.n_iter} iterations"
    )
