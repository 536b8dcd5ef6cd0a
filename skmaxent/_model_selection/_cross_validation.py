"""`MaxentClassifierCV` chooses `C` and `l1_ratio` by cross-validation."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._callbacks import CallbackSupport, Task, with_callbacks
from skmaxent._callbacks._progress import with_progress
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._fit_steps import restored_on_failure
from skmaxent._estimators._linear_classifier import move_to_input
from skmaxent._estimators._removed_parameters import REMOVED_PARAMETERS, Removed, accepts_removed
from skmaxent._input._settings import warn_of_groups_without_l1
from skmaxent._model_selection._chosen_penalty import ChosenPenalty
from skmaxent._model_selection._dask_folds import FoldsInChunks
from skmaxent._model_selection._folds import Fold, FoldOptions, Folds, Job, zeros_of_folds
from skmaxent._model_selection._folds_in_memory import FoldsInMemory
from skmaxent._model_selection._left_out_rows import LOO, LeftOutRows
from skmaxent._model_selection._metadata import routed_metadata
from skmaxent._model_selection._path import relaxation_of
from skmaxent._model_selection._penalty_grid import DEFAULT_N_CS, PenaltyGrid
from skmaxent._model_selection._repeated_fits import put_exact_fits
from skmaxent._model_selection._selection import check_selection, gammas_of, resolve_l1_ratios
from skmaxent._public import public
from skmaxent._sklearn import Interval, StrOptions, check_parameters
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import place_of
from skmaxent._typing import FoldWeights, SearchedPenaltyName, Selection, SolverName

REMOVED = REMOVED_PARAMETERS | {
    "use_legacy_attributes": Removed("attributes have the new shapes: leave it out", (False,)),
}


@public
class MaxentClassifierCV(CallbackSupport, ChosenPenalty):
    """Multinomial logistic regression with its penalty chosen by cross-validation.

    For each fold and each `l1_ratio`, a path of models is fitted to the training rows, from the
    strongest penalty to the weakest. Each model is scored on the held-out rows of the fold.

    Parameters
    ----------
    Cs : int or array-like of shape (n_cs,), default=100
        Inverse strengths of the penalty, or their number. For a number, the values are computed
        from all rows as in `maxent_path`, and all `l1_ratios` share them. Every fold has the same
        C, as in scikit-learn, although it has fewer rows than the final fit.
    alphas : int or array-like of shape (n_cs,), default=None
        Instead of `Cs`, strengths of the penalty of an observation, or their number. An alpha is
        1/(C S), with S the sum of the weights of the rows that are fitted: glmnet's `lambda`. Every
        fold has the same alpha, as in `cv.glmnet`, whatever the number of its rows.
    penalty : {"l1", "l2", "elasticnet"}, default="deprecated"
        Accepted so that code for scikit-learn 1.8 and earlier runs. "l1" means ``l1_ratios=[1.0]``,
        "l2" ``l1_ratios=[0.0]``, and "elasticnet" leaves `l1_ratios` as they are.
    l1_ratios : array-like of shape (n_l1_ratios,), default=(0.0,)
        Shares of the L1 penalty to compare; see `MaxentClassifier`.
    cv : int, cross-validation generator, iterable or "loo", default=None
        Folds. None makes five stratified folds. "loo" fits one path to all rows, and scores each
        observation by what one Newton step makes of the fit without it; see Notes.
    fold_weights : {"uniform", "size"}, default="uniform"
        Weights of the folds in the mean score and its standard error, and in the means of
        ``refit=False``. With "uniform", folds have equal weights, as in scikit-learn. With "size",
        the weight of a fold is the sum of the weights of the held-out rows that it scores, as in
        `cv.glmnet`.
    scoring : str or callable, default=None
        Scorer, whose larger values are better. None is "neg_log_loss". ``cv="loo"`` knows that,
        "accuracy" and "neg_brier_score".
    cv_tol : float, default=0.05
        Largest error of a score that folds may have, as a share of its standard error. Fits of the
        folds end where an estimate of the change of the mean score up to the optimum is below this
        share; see Notes. 0 fits each fold up to `tol`. Other scores than the log-likelihood,
        `relax`, ``refit=False``, callbacks and Dask collections need fits up to `tol`, and have
        them with any `cv_tol`.
    selection : {"best", "one_standard_error"}, default="best"
        Rule for the choice of the penalty. "best" chooses the penalty with the best mean score over
        the folds. "one_standard_error" keeps the `l1_ratio` of the best, and chooses the smallest C
        whose mean score is within one standard error of the best; it needs ``refit=True``.
    refit : bool, default=True
        Whether to fit all rows with the chosen penalty. If False, the coefficients are the means of
        the folds' coefficients, each at the best penalty of its fold, and `C_`, `l1_ratio_` and
        `gamma_` are the means of these penalties. Folds without a score (NaN in `scores_`) are
        left out.
    relax : bool, {"classes", "union"} or array-like, default=False
        Whether to compare relaxed fits too [1]_: fits without a penalty, as in `maxent_path`.
        Candidates are the means of both fits, in which the penalised fit has a weight gamma: 0,
        0.25, 0.5, 0.75 or 1. "union" relaxes the features that any class selects, as `cv.glmnet`.
        "classes" and True relax the coefficients that are not zero. So does an array, which
        contains other weights from 0 to 1.
    grouped : bool, default=False
        Whether the L1 penalty is a group lasso. This and the parameters up to `random_state` are
        those of `MaxentClassifier`, if not stated otherwise.
    standardize : bool, default=False
        Whether the penalty is that of the coefficients of standardised columns. The standard
        deviations are those of the rows of each fit, as in `cv.glmnet`.
    penalty_factor : array-like or dict, default=None
        Factors of the penalty.
    prior_coef : array-like, DataFrame or fitted model, default=None
        Coefficients towards which the ridge part of the penalty shrinks.
    bounds : (lower, upper) or dict, default=None
        Bounds of the coefficients.
    fit_intercept : bool, default=True
        Whether each logit has an intercept.
    class_weight : dict or "balanced", default=None
        Weights of the classes in the fits. Scores do not use them.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes in the fits. Scores do not use it.
    solver : str, default="auto"
        Algorithm.
    tol : float, default=1e-4
        Distance to the optimum, in standard errors, at which a fit stops.
    max_iter : int, default=100
        Maximum number of iterations of each fit. 0 leaves all coefficients zero.
    n_jobs : int, default=None
        Number of processes among which the paths are divided. None is one process, and -1 is one
        per processor.
    verbose : int, default=0
        Print how many paths of folds are done, and the iterations of the last fit, where positive.
        Numbers of paths and of iterations are written over in a terminal, and lines elsewhere.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of the rows from which preconditioners are computed.

    Attributes
    ----------
    classes_, coef_, intercept_, n_features_in_, feature_names_in_
        As in `MaxentClassifier`.
    C_ : float
        Chosen inverse strength of the penalty.
    alpha_ : float
        Chosen strength of the penalty of an observation: 1/(C S) for `C_` and the sum S of the
        weights of all rows.
    l1_ratio_ : float
        Chosen share of the L1 penalty.
    gamma_ : float
        Chosen weight of the penalised fit. It is 1 without `relax`.
    Cs_ : ndarray of shape (n_cs,)
        Inverse strengths that were compared, those of `alphas_` for the weights of all rows.
    alphas_ : ndarray of shape (n_cs,)
        Strengths 1/(C S) that were compared, for the sum S of the weights of all rows.
    fold_weights_ : ndarray of shape (n_folds,)
        Weights of the folds.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        Shares of the L1 penalty that were compared.
    gammas_ : ndarray of shape (n_gammas,)
        Weights of the penalised fit that were compared.
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        Scores of the held-out rows, at `gamma_`. With ``cv="loo"``, n_folds is 1, and the scores
        are means over all observations. With a much weaker penalty than the chosen one, these
        scores have few exact fits or none, and can be too low: for 60 simulated rows of 30 features
        and three classes, the score of a lasso at C = 766 is -13.9, and exact fits give -9.2.
    scores_std_err_ : ndarray of shape (n_l1_ratios, n_cs)
        Standard errors of the mean scores: over folds, or over observations with ``cv="loo"``.
    n_refits_ : ndarray of shape (n_l1_ratios, n_cs)
        Number of fits without an observation. Only with ``cv="loo"``.
    relaxed_scores_ : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_gammas)
        Scores of the held-out rows at all `gammas_`. Only with `relax`.
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_classes, n_features + 1)
        Coefficients of the penalised fits, with the intercept in the last column. The column of the
        intercept is missing if `fit_intercept` is False. With two classes there is one row instead
        of n_classes.
    n_iter_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        Number of iterations of the solver; 0 where coefficients are interpolated.
    optimality_gap_ : float
        Upper bound on (F - F*)/F for the final fit; see `MaxentClassifier`. Only with `refit`, and
        only if `gamma_` is 1.

    Notes
    -----
    **Leave-one-out.** With ``cv="loo"``, one Newton step leads from the fit to all rows to the fit
    without an observation, as in `leave_one_out`. Exact fits replace the step for observations that
    determine a logit nearly alone, and until an estimate of the error of the mean log score is
    below a twentieth of its standard error, or of its distance below the best score. Each C has at
    most 50 exact fits. There are none at Cs above one whose score is clearly below the best. There
    the scores are those of the step, less its errors that exact fits have shown, in proportion to
    the changes of the logits. Scores are computed at some Cs, and at others they are interpolated
    between such scores. With an L1 penalty, the step is one of proximal Newton's method, which
    finds the coefficients that become zero or nonzero. The fits of the path end where `cv_tol`
    allows, as those of folds, or at `tol` if the data are small. The fit at the chosen C is
    repeated with a certificate, and is the final fit. With `alphas`, each alpha is converted to C
    with the weights of all rows, and the fits without an observation have this C. A weight above
    one, or a table of counts, stands for several observations, of which one is left out. There is
    no `relax`, no ``refit=False`` and no Dask collection.

    **Accuracy of scores.** For the choice of the penalty, fits of the folds need no more accuracy
    than their scores. Each fit starts where the last fits of the path point to. If it is at a
    distance D to the optimum, in standard errors, the mean log-likelihood of the held-out rows
    changes by at most √(χ²/n) D up to there, to first order, for n rows in the fit and the mean χ²
    of the Pearson statistics of the held-out rows. A last Newton step, which is computed to an
    accuracy of 0.3, leaves 0.3 times this bound at most. The estimated error is the geometric mean
    of this bound and of 0.3 times the mean absolute change that the step made. A fit ends with such
    a step where the estimate is well below `cv_tol` standard errors of the score. Between fits,
    with a ridge alone the coefficients are interpolated, and with an L1 penalty the scores, where
    divided differences of the scores estimate an error as small. With an L1 penalty, coefficients
    between fits lie on lines. Fits
    are made up to `tol` where the bound turns out to be too large for the standard error over the
    folds, and where the bounds leave open which penalty is chosen. Coefficients in `coefs_paths_`
    are only as accurate as this. Small data in float64 have a fit up to `tol` at each C, all folds
    together.

    **Dask collections.** Folds and results are those of the same rows in memory. Chunks are read
    once and stay where Dask keeps them. Each fold uses all rows, with weight zero for its held-out
    rows. This process stores the class and the number of the fold of each row, which take a byte or
    two each. Splitters receive the classes as integers instead of y, and do not receive X. They
    may need more memory. The only score is "neg_log_loss". `groups` is not supported; pass indices
    as `cv` instead. Each row may be in a fold at most once. `n_jobs` is ignored, because each path
    uses all threads of Dask.

    **Callbacks.** With scikit-learn 1.9 or later, ``set_callbacks`` attaches callbacks of
    `sklearn.callback`. Each path is a subtask of the fit. The final fit is another, and callbacks
    that propagate to nested estimators follow its iterations. Each C is a subtask of its path. At
    its end, callbacks may ask for the penalised classifier, and for X, y and `sample_weight` of the
    training rows of the fold. For Dask collections these are all rows, with weight zero for the
    held-out rows. A callback that stops a subtask ends its path: the remaining scores of the path
    are NaN and do not count, and its remaining coefficients and `n_iter_` are 0. A stop in another
    subtask has no effect. With `n_jobs`, callbacks are copied to the processes, as in
    scikit-learn's searches.

    References
    ----------
    .. [1] Hastie, Tibshirani & Tibshirani (2020), Best subset, forward stepwise or lasso?,
       Stat. Sci. 35.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmaxent import MaxentClassifierCV
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = MaxentClassifierCV(Cs=20, l1_ratios=[1.0]).fit(X, y)
    >>> clf.scores_.shape
    (5, 1, 20)
    >>> bool(clf.score(X, y) > -0.1)
    True
    """

    _removed = REMOVED
    _parameter_constraints: dict[str, list[Any]] = {
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "alphas": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "penalty": [StrOptions({"l1", "l2", "elasticnet", "deprecated"})],
        "l1_ratios": ["array-like", None],
        "cv": ["cv_object", StrOptions({LOO})],
        "fold_weights": [StrOptions({"uniform", "size"})],
        "scoring": [str, callable, None],
        "cv_tol": [Interval(Real, 0.0, None, closed="left")],
        "selection": [StrOptions({"best", "one_standard_error"})],
        "refit": ["boolean"],
        "relax": ["boolean", StrOptions({"classes", "union"}), "array-like"],
        **{
            name: MaxentClassifier._parameter_constraints[name]
            for name in (
                "grouped",
                "standardize",
                "penalty_factor",
                "prior_coef",
                "bounds",
                "fit_intercept",
                "class_weight",
                "label_smoothing",
                "solver",
                "tol",
                "max_iter",
                "n_jobs",
                "verbose",
                "random_state",
            )
        },
    }

    @accepts_removed
    def __init__(
        self,
        *,
        Cs: Any = DEFAULT_N_CS,
        alphas: Any = None,
        penalty: SearchedPenaltyName = "deprecated",
        l1_ratios: Any = (0.0,),
        cv: Any = None,
        fold_weights: FoldWeights = "uniform",
        scoring: Any = None,
        cv_tol: float = 0.05,
        selection: Selection = "best",
        refit: bool = True,
        relax: Any = False,
        grouped: bool = False,
        standardize: bool = False,
        penalty_factor: Any = None,
        prior_coef: Any = None,
        bounds: Any = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        solver: SolverName = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.Cs = Cs
        self.alphas = alphas
        self.penalty = penalty
        self.l1_ratios = l1_ratios
        self.cv = cv
        self.fold_weights = fold_weights
        self.scoring = scoring
        self.cv_tol = cv_tol
        self.selection = selection
        self.refit = refit
        self.relax = relax
        self.grouped = grouped
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.prior_coef = prior_coef
        self.bounds = bounds
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: Any = None,
        **params: Any,
    ) -> MaxentClassifierCV:
        """Choose the penalty and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features. A Dask array or data frame is possible too, with y, `sample_weight` and
            `offset` as in `MaxentClassifier.fit`.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or a table with counts or shares of the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in fits and in scores.
        offset : array-like of shape (n_samples, n_classes), or (n_samples,) for two classes
            Known part of the logits.
        **params
            `groups` for the splitter. With metadata routing enabled, the metadata that the splitter
            and the scorer request.

        Returns
        -------
        MaxentClassifierCV
            Itself.

        Raises
        ------
        ValueError
            For input that cannot be fitted. The results of an earlier fit are kept.
        TypeError
            For Dask collections with `groups`, or with another score than the log-likelihood.

        Warns
        -----
        UserWarning
            If the training rows of a fold lack a class. Held-out rows of this class then do not
            count in the score of the fold.
        """
        with restored_on_failure(self):
            check_parameters(self)
            self._fit(X, y, sample_weight, offset, params)
        return self

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any, offset: Any, params: dict[str, Any]) -> None:
        """Set the fitted attributes; `params` are the further arguments of `fit`."""
        routed = routed_metadata(self, "fit", sample_weight, params)
        grid = PenaltyGrid.of(self.Cs, self.alphas)
        self.l1_ratios_ = resolve_l1_ratios(self.penalty, self.l1_ratios)
        self.gammas_ = gammas_of(self.relax)
        check_selection(self.selection, refit=self.refit)
        warn_of_groups_without_l1(self.grouped, *self.l1_ratios_)
        is_lazy = any(map(is_dask, (X, y, sample_weight, offset)))
        is_loo = isinstance(self.cv, str)
        kind: Any = LeftOutRows if is_loo else FoldsInChunks if is_lazy else FoldsInMemory
        scorer = None if is_loo else self._scorer
        options = FoldOptions(self.gammas_, relaxation_of(self.relax), scorer, routed)
        folds: Any = kind.of(self, X, y, sample_weight, offset, options)
        models = [classifier_of(self, l1_ratio=ratio) for ratio in self.l1_ratios_]
        self._total_weight = folds.total_weight(models[0])
        if isinstance(grid.values, int):
            self.Cs_ = folds.grid(models, grid.values)
        else:
            self.Cs_ = grid.Cs(self._total_weight)
        # Paths that are too large are an error before the first fit.
        shape = folds.n_folds, len(models), len(self.Cs_)
        n_logits = 1 if len(folds.classes) == 2 else len(folds.classes)
        zeros_of_folds(shape, n_logits, self.n_features_in_ + self.fit_intercept, folds.dtype)
        n_paths = folds.n_folds * len(models)
        n_subtasks = n_paths + (bool(self.refit) and not is_loo)
        task = Task.of_fit(
            self, X, y, sample_weight, max_subtasks=n_subtasks, sequential_subtasks=False
        )
        found = self._fit_folds(folds, grid, task, X, options)
        scores = self._set_results(folds, found)
        self._fitted_with_offset, self._notes = offset is not None, ()
        if is_loo:
            self._take(found[self._chosen[0]].path)
        elif self.refit:
            last = None if task is None else task.subtask("refit", n_paths)
            self._refit(folds, last, {"_default_offset": offset})
        else:
            self._average([fold.path for fold in found], scores)
        move_to_input(self, X, y)
        if task is not None:
            task.end({"_default_offset": offset})

    def _fit_folds(
        self,
        folds: Folds,
        grid: PenaltyGrid,
        task: Task | None,
        X: Any,
        options: FoldOptions,
    ) -> list[Fold]:
        """Return the path and the scores of each fold and l1_ratio; the l1_ratio changes fastest.

        `task` is the task of the whole fit, if there are callbacks.
        """
        n_paths = folds.n_folds * len(self.l1_ratios_)
        tasks: list[Task | None] = [None] * n_paths
        if task is not None:
            tasks = task.subtasks("path", n_paths, len(self.Cs_))
        # Callbacks may ask for each model, so that all have to be exact. Arrays on a device are
        # not scored while a path is fitted.
        cv_tol = self._cv_tol(folds, options) if task is None and place_of(X) is None else 0.0
        parts = itertools.product(range(folds.n_folds), self.l1_ratios_)
        jobs = [
            Job(classifier_of(self, l1_ratio=ratio), fold, subtask, cv_tol)
            for (fold, ratio), subtask in zip(parts, tasks, strict=True)
        ]
        # With alphas, the sum of the weights of all rows, which converts them to Cs_, converts
        # these back in each fold: all folds then have the same alphas.
        total_weight = self._total_weight if grid.is_alpha else None
        done = folds.run(jobs, PenaltyGrid(self.Cs_, total_weight=total_weight))
        found = list(with_progress(done, n_paths, "paths of folds") if self.verbose else done)
        if cv_tol > 0.0:
            put_exact_fits(
                folds,
                jobs,
                found,
                self.Cs_,
                total_weight,
                weights_of_folds=self._weights_of_folds,
                selection=self.selection,
            )
        return found

    def _cv_tol(self, folds: Folds, options: FoldOptions) -> float:
        """Return `cv_tol`, or 0 if other results than log-likelihoods need exact fits."""
        if isinstance(folds, LeftOutRows):
            is_enough = folds.scores_log_likelihood
        else:
            is_log_likelihood = options.scorer is None and options.gammas.tolist() == [1.0]
            is_enough = isinstance(folds, FoldsInMemory) and is_log_likelihood and bool(self.refit)
        return float(self.cv_tol) if is_enough else 0.0

    def _refit(self, folds: Folds, task: Task | None, attributes: dict[str, Any]) -> None:
        """Set the coefficients to those of a fit to all rows with the chosen penalty.

        `task` is the task of this fit, if there are callbacks; they receive `attributes` at its
        end.
        """
        model = classifier_of(self, C=self.C_, l1_ratio=self.l1_ratio_)
        with nullcontext() if task is None else task.propagated_to(model):
            if task is not None:
                task.begin()
            if self.gamma_ == 1.0:
                folds.fit_all(model)
                self.coef_, self.intercept_ = model.coef_, model.intercept_
                self.optimality_gap_, self._notes = model.optimality_gap_, model._notes
            else:
                path = folds.path_of_all(model, np.array([self.C_]))
                self.coef_, self.intercept_ = path.blended(self.gamma_, 0)
        if task is not None:
            task.end(attributes)


def classifier_of(estimator: MaxentClassifierCV, **params: Any) -> MaxentClassifier:
    """Return an unfitted classifier with the parameters of the estimator and with `params`."""
    names = MaxentClassifier().get_params(deep=False)
    given = estimator.get_params(deep=False).items()
    own = {name: value for name, value in given if name in names}
    fixed = {"penalty": "deprecated", "n_jobs": None, "verbose": 0}
    return MaxentClassifier(**(own | fixed | params))
