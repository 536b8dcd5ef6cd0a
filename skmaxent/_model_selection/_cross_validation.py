"""MaxentClassifierCV: the strength and the kind of the penalty by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted

from skmaxent._callbacks import CallbackSupport, with_callbacks
from skmaxent._callbacks import Task as FollowedTask
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._linear_classifier import LinearClassifier, restored_on_failure
from skmaxent._input import _frames, _validation
from skmaxent._model import _dask_prediction, _prediction
from skmaxent._model_selection._dask_folds import FoldsInChunks, refuse_scorer
from skmaxent._model_selection._folds import (
    AtOffset,
    Fold,
    Folds,
    FoldsInMemory,
    How,
    Job,
    mean_log_likelihood,
)
from skmaxent._model_selection._path import check_Cs
from skmaxent._sklearn import HAS_CALLBACKS, Interval, StrOptions
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

LOG_LOSS = "neg_log_loss"
# Shares of the penalised coefficients in a relaxed fit, as in glmnet.
GAMMAS = (0.0, 0.25, 0.5, 0.75, 1.0)
REMOVED = {
    "penalty": "write l1_ratios=[0.0] for 'l2', [1.0] for 'l1'",
    "use_legacy_attributes": "attributes have the new shapes: leave it out",
}


class MaxentClassifierCV(CallbackSupport, LinearClassifier):
    """Multinomial logistic regression with its penalty chosen by cross-validation.

    Each fold's path of coefficients is fitted from the strongest penalty to the weakest, each fit
    from the one before, and scored on the rows left out.

    Parameters
    ----------
    Cs : int or array-like of shape (n_cs,), default=100
        Inverse strengths of the penalty, or their number: then as in `maxent_path`.
    l1_ratios : array-like of shape (n_l1_ratios,), default=(0.0,)
        Shares of the L1 penalty to try; see `MaxentClassifier`.
    cv : int, cross-validation generator or iterable, default=None
        Folds; None is five, stratified.
    scoring : str or callable, default=None
        Larger is better; None is "neg_log_loss".
    selection : {"best", "one_standard_error"}, default="best"
        Which penalty to choose: of the best mean score, or the strongest whose mean score is within
        one standard error of that, at the l1_ratio of the best.
    refit : bool, default=True
        Whether to fit all rows at the chosen penalty. Otherwise coefficients are the mean of the
        folds', each at its own best penalty, and `C_` and `l1_ratio_` are the means of these.
    relax : bool or array-like, default=False
        Whether to try, besides, fits without penalty of the coefficients that are not zero, blended
        with the penalised ones: their shares, True for 0, 0.25, 0.5, 0.75 and 1 [1]_.
    grouped : bool, default=False
        As in `MaxentClassifier`, like the next ones.
    penalty_factor : array-like or dict, default=None
        Factors of the penalty.
    prior_coef : array-like, DataFrame or fitted model, default=None
        Coefficients that the ridge part of the penalty pulls towards.
    bounds : (lower, upper) or dict, default=None
        Bounds of the coefficients.
    fit_intercept : bool, default=True
        Whether each logit has an intercept.
    class_weight : dict or "balanced", default=None
        Weights of the classes, in fits alone.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes, in fits alone.
    solver : str, default="auto"
        As in `MaxentClassifier`, like the next ones.
    tol : float, default=1e-4
        Distance to the optimum in standard errors at which to stop.
    max_iter : int, default=100
        Most Newton iterations of each fit; 0 leaves all coefficients zero.
    n_jobs : int, default=None
        Processes over folds and l1_ratios; None is one, -1 all processors.
    verbose : int, default=0
        Print a line per fit where positive.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of rows for preconditioners.

    Attributes
    ----------
    classes_, coef_, intercept_, n_features_in_, feature_names_in_
        As in `MaxentClassifier`.
    C_ : float
        Chosen inverse strength.
    l1_ratio_ : float
        Chosen share of the L1 penalty.
    gamma_ : float
        Chosen share of the penalised coefficients; 1 unless `relax`.
    Cs_ : ndarray of shape (n_cs,)
        Inverse strengths that were tried.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        Shares of the L1 penalty that were tried.
    gammas_ : ndarray of shape (n_gammas,)
        Shares of the penalised coefficients that were tried.
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        Scores of the rows left out; at `gamma_`.
    relaxed_scores_ : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_gammas)
        Scores at all shares; only with `relax`.
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_classes, n_features + 1)
        Coefficients, then the intercept; without the latter where `fit_intercept` is False, and
        with a single row for two classes. Penalised ones, whatever `relax`.
    n_iter_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        Newton iterations.
    optimality_gap_ : float
        That of the last fit; see `MaxentClassifier`. Only with `refit`, and without `relax`.

    Notes
    -----
    Dask collections give the folds and the results that the same rows in memory give. Chunks are
    read once and stay where Dask keeps them: a fold is all rows, with weights of zero for those
    held out. In memory are the class of each row and which fold holds it out, a byte or two each;
    splitters are given these classes as numbers, and no X, and may need more for a while. The
    score is "neg_log_loss". Instead of `groups` give `cv` indices; a fold has each row once at
    most. Paths are fitted one after the other, each by all of Dask's threads, whatever `n_jobs`.

    With scikit-learn 1.9 or later, ``set_callbacks`` attaches callbacks (`sklearn.callback`). Each
    path, of a fold and an l1_ratio, is a subtask of the fit, and so is the last fit, which
    callbacks that propagate follow as that of a `MaxentClassifier`. Each C is a subtask of its
    path, at whose end they may have the penalised classifier, with X, y and `sample_weight` of the
    fold's training rows; of Dask collections, all rows with weights of zero for those held out. One
    that asks to stop there ends the path: its other scores are NaN, which means leave out, its
    other coefficients and `n_iter_` 0. Elsewhere stopping has no effect. With `n_jobs`, callbacks
    are copied to processes, as in scikit-learn's searches.

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

    _removed_parameters = _validation.REMOVED_PARAMETERS | REMOVED

    _parameter_constraints: dict[str, list[Any]] = {
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "l1_ratios": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
        "selection": [StrOptions({"best", "one_standard_error"})],
        "refit": ["boolean"],
        "relax": ["boolean", "array-like"],
        **{
            name: MaxentClassifier._parameter_constraints[name]
            for name in (
                "grouped",
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

    def __init__(
        self,
        *,
        Cs: Any = 100,
        l1_ratios: Any = (0.0,),
        cv: Any = None,
        scoring: Any = None,
        selection: str = "best",
        refit: bool = True,
        relax: Any = False,
        grouped: bool = False,
        penalty_factor: Any = None,
        prior_coef: Any = None,
        bounds: Any = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        solver: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.cv = cv
        self.scoring = scoring
        self.selection = selection
        self.refit = refit
        self.relax = relax
        self.grouped = grouped
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
            Or a Dask array or data frame, with y, `sample_weight` and `offset` as in
            `MaxentClassifier.fit`.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in fits and in scores.
        offset : array-like of shape (n_samples, n_classes), or (n_samples,) for two classes
            Known part of the logits.
        **params
            `groups` for the splitter; with metadata routing, what splitter and scorer ask for.

        Returns
        -------
        MaxentClassifierCV
            Itself.

        Raises
        ------
        ValueError
            For input that cannot be fitted; an earlier fit stays as it was.
        TypeError
            For Dask collections with what needs rows in memory.
        """
        with restored_on_failure(self):
            self._validate_params()
            self._fit(X, y, sample_weight, offset, params)
        return self

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any, offset: Any, params: dict[str, Any]) -> None:
        routed = self._routed(sample_weight, params)
        Cs, l1_ratios, gammas = check_Cs(self.Cs), self._l1_ratios(), self._gammas()
        is_lazy = any(map(is_dask, (X, y, sample_weight, offset)))
        kind: Any = FoldsInChunks if is_lazy else FoldsInMemory
        how = How(gammas, self._scorer, routed)
        folds: Folds = kind.of(self, X, y, sample_weight, offset, how)
        if isinstance(Cs, int):
            Cs = folds.grid([self._model(l1_ratio=ratio) for ratio in l1_ratios], Cs)
        n_paths = folds.n_folds * len(l1_ratios)
        root = FollowedTask.of_fit(
            self,
            X,
            y,
            sample_weight,
            max_subtasks=n_paths + bool(self.refit),
            sequential_subtasks=False,
        )
        followed: list[FollowedTask | None] = [None] * n_paths
        if root is not None:
            # Before any of them runs: what is pickled for a process must not change.
            without_rows = root.with_rows(None, None, None)
            followed = [without_rows.subtask("path", i, len(Cs)) for i in range(n_paths)]
        parts = [(fold, ratio) for fold in range(folds.n_folds) for ratio in l1_ratios]
        jobs = [
            Job(self._model(l1_ratio=ratio), fold, path)
            for (fold, ratio), path in zip(parts, followed, strict=True)
        ]
        found = folds.run(jobs, Cs)
        shape = folds.n_folds, len(l1_ratios), len(Cs)
        self.classes_, self.Cs_ = folds.classes, Cs
        self.l1_ratios_, self.gammas_ = l1_ratios, gammas
        scores = np.reshape([result.scores for result in found], (*shape, len(gammas)))
        n_iter = np.reshape([result.path.n_iter for result in found], shape)
        self.n_iter_ = n_iter if self.max_iter else np.zeros_like(n_iter)
        self._store_paths(found, shape)
        self._warn_of_absent_classes(folds)
        self._choose(scores)
        self._fitted_with_offset = offset is not None
        last = root.subtask("refit", n_paths) if root is not None and self.refit else None
        self._finish(folds, found, scores, last, {"_offset": offset})
        self._follow(X, y)
        if root is not None:
            root.end({"_offset": offset})

    def _l1_ratios(self) -> Array:
        ratios = np.atleast_1d(np.asarray(self.l1_ratios, dtype=float))
        if ratios.ndim != 1 or not len(ratios) or not ((ratios >= 0) & (ratios <= 1)).all():
            raise ValueError(f"l1_ratios must be numbers from 0 to 1, found {self.l1_ratios!r}.")
        return ratios

    def _gammas(self) -> Array:
        if isinstance(self.relax, (bool, np.bool_)):
            return np.array(GAMMAS) if self.relax else np.ones(1)
        gammas = np.unique(np.asarray(self.relax, dtype=float))
        if not len(gammas) or not ((gammas >= 0) & (gammas <= 1)).all():
            raise ValueError(f"relax must be a bool or numbers from 0 to 1, found {self.relax!r}.")
        return gammas

    @property
    def _scorer(self) -> Callable[..., float] | None:
        """None for the log-likelihood, which is scored without a scorer."""
        if self.scoring is None or self.scoring == LOG_LOSS:
            return None
        scorer: Callable[..., float] = check_scoring(self, scoring=self.scoring)
        return scorer

    def _model(self, **params: Any) -> MaxentClassifier:
        names = MaxentClassifier._get_param_names()
        own = {name: value for name, value in self.get_params(deep=False).items() if name in names}
        return MaxentClassifier(**(own | {"n_jobs": None, "verbose": 0} | params))

    def _store_paths(self, found: list[Fold], shape: tuple[int, ...]) -> None:
        first = found[0].path.coefs
        width = first.shape[2] + bool(self.fit_intercept)
        # Pages of zeros that nobody writes to take no memory.
        paths = np.zeros((*shape, first.shape[1], width), first.dtype)
        for path, result in zip(paths.reshape(-1, *paths.shape[2:]), found, strict=True):
            some = result.path.coefs.nonzero()
            path[some] = result.path.coefs[some]
            if self.fit_intercept:
                path[:, :, -1] = result.path.intercepts
        self.coefs_paths_ = paths

    def _warn_of_absent_classes(self, folds: Folds) -> None:
        for number, (there, seen) in enumerate(zip(*folds.presence(), strict=True)):
            absent = folds.classes[there & ~seen]
            if not there.any():
                warnings.warn(
                    f"The test part of fold {number} has no rows of positive weight: this fold has "
                    "no score.",
                    UserWarning,
                    stacklevel=4 + HAS_CALLBACKS,
                )
            elif len(absent):
                warnings.warn(
                    f"The training part of fold {number} has no rows of {absent.tolist()}: rows of "
                    "these classes do not count in its score.",
                    UserWarning,
                    stacklevel=4 + HAS_CALLBACKS,  # with_callbacks adds a frame
                )

    def _choose(self, scores: Array) -> None:
        """Set C_, l1_ratio_, gamma_ and scores_ from (n_folds, n_l1_ratios, n_cs, n_gammas)."""
        self._chosen = ratio, c, gamma = chosen_index(scores, self.Cs_, self.selection)
        self.l1_ratio_ = float(self.l1_ratios_[ratio])
        self.C_ = float(self.Cs_[c])
        self.gamma_ = float(self.gammas_[gamma])
        self.scores_ = scores[..., gamma]
        if len(self.gammas_) > 1 or self.relax is not False:
            self.relaxed_scores_ = scores

    def _finish(
        self,
        folds: Folds,
        found: list[Fold],
        scores: Array,
        task: FollowedTask | None,
        attributes: dict[str, Any],
    ) -> None:
        """Set the coefficients; the task is the last fit, which ends with attributes."""
        if not self.refit:
            best = [fold.reshape(-1).argmax() for fold in np.nan_to_num(scores, nan=-np.inf)]
            ratios, cs, gammas = np.unravel_index(best, scores.shape[1:])
            self.C_ = float(np.mean(self.Cs_[cs]))
            self.l1_ratio_ = float(np.mean(self.l1_ratios_[ratios]))
            self.gamma_ = float(np.mean(self.gammas_[gammas]))
            n_ratios = len(self.l1_ratios_)
            parts = [
                found[fold * n_ratios + ratio].path.blended(self.gammas_[gamma], c)
                for fold, (ratio, c, gamma) in enumerate(zip(ratios, cs, gammas, strict=True))
            ]
            self.coef_, self.intercept_ = _means(*map(np.stack, zip(*parts, strict=True)))
            return
        model = self._model(C=self.C_, l1_ratio=self.l1_ratio_)
        with nullcontext() if task is None else task.passed_on_to(model):
            if task is not None:
                task.begun()
            if self.gamma_ == 1.0:
                folds.fit_all(model)
                self.coef_, self.intercept_ = model.coef_, model.intercept_
                self.optimality_gap_ = model.optimality_gap_
            else:
                path = folds.path_of_all(model, np.array([self.C_]))
                self.coef_, self.intercept_ = path.blended(self.gamma_, 0)
        if task is not None:
            task.end(attributes)

    def cv_results_frame(self) -> pd.DataFrame:
        """Results with names.

        Returns
        -------
        pandas.DataFrame
            A row for each l1_ratio, C and, with `relax`, gamma: the mean score over folds, its
            standard error, the mean number of features that are not zero, the folds' scores
            (split0_score, ...) and whether the row was `chosen`.
        """
        check_is_fitted(self)
        scores = getattr(self, "relaxed_scores_", self.scores_[..., None])
        coefs = self.coefs_paths_[..., : self.n_features_in_]
        n_features = np.array(
            [[(path != 0.0).any(axis=1).sum(axis=1) for path in fold] for fold in coefs]
        )
        frame = _frames.results_frame(
            scores,
            *_mean_and_error(scores),
            n_features.mean(axis=0),
            (self.l1_ratios_, self.Cs_, self.gammas_),
            self._chosen,
        )
        return frame if hasattr(self, "relaxed_scores_") else frame.drop(columns="gamma")

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: Any = None,
        **params: Any,
    ) -> float:
        """The score that `scoring` stands for; larger is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or a Dask array or data frame, where `scoring` is "neg_log_loss".
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.
        **params
            With metadata routing, what the scorer asks for.

        Returns
        -------
        float
        """
        if not _routing_enabled():
            _refuse_arguments("score", set(params))
        check_is_fitted(self)
        if _routing_enabled():
            routed = process_routing(self, "score", sample_weight=sample_weight, **params)
            weights = routed.scorer.score
        else:
            weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        offset = self._offset if offset is None else offset
        if is_dask(X):
            refuse_scorer(self.scoring, self._scorer)
            weights = weights.get("sample_weight")
            return _dask_prediction.log_likelihood(self, X, y, weights, offset)
        weights = {name: to_host(value) for name, value in weights.items()}
        if self._scorer is None:
            model = AtOffset.of(self.coef_, self.intercept_, self, offset)
            return float(mean_log_likelihood(model, X, y, **weights))
        # Scorers are for NumPy's arrays.
        coef, intercept = _prediction.dense_coef(self.coef_), to_host(self.intercept_)
        model = AtOffset.of(coef, intercept, self, offset)
        return float(self._scorer(model, to_host(X), to_host(y), **weights))

    def get_metadata_routing(self) -> MetadataRouter:
        """Which metadata go where.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                splitter=check_cv(self.cv, classifier=True),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(
                scorer=check_scoring(self, scoring=self.scoring or LOG_LOSS),
                method_mapping=MethodMapping()
                .add(caller="fit", callee="score")
                .add(caller="score", callee="score"),
            )
        )

    def _routed(self, sample_weight: Any, params: dict[str, Any]) -> Bunch:
        if _routing_enabled():
            return process_routing(self, "fit", sample_weight=sample_weight, **params)
        _refuse_arguments("fit", set(params) - {"groups"})
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return Bunch(splitter=Bunch(split=params), scorer=Bunch(score=weights))


class UnexpectedArguments(TypeError, ValueError):
    """A TypeError, as for other functions, and the ValueError that scikit-learn raises."""


def _refuse_arguments(method: str, names: set[str]) -> None:
    if names:
        raise UnexpectedArguments(
            f"{method}() got unexpected arguments {sorted(names)}: passing them to the splitter or "
            "the scorer is only supported if enable_metadata_routing=True, set by "
            "sklearn.set_config; without it, fit passes groups to the splitter, and no more."
        )


def chosen_index(scores: Array, Cs: Array, selection: str) -> tuple[int, int, int]:
    """Position of the l1_ratio, the C and the gamma that a rule takes, the strongest among equals.

    Scores are (n_folds, n_l1_ratios, n_cs, n_gammas).
    """
    mean, standard_error = _mean_and_error(scores)
    if np.isnan(mean).all():
        raise ValueError("no score is a number: the folds have no rows to score.")
    order = np.argsort(Cs, kind="stable")
    ranked = mean[:, order]
    best = np.unravel_index(np.nanargmax(ranked), ranked.shape)
    ratio, position, gamma = (int(index) for index in best)
    if selection == "one_standard_error":
        error = standard_error[:, order][ratio, position, gamma]
        near = ranked[ratio, :, gamma] >= ranked[ratio, position, gamma] - error
        position = int(np.argmax(near))
    return ratio, int(order[position]), gamma


def _means(coefs: Array, intercepts: Array) -> tuple[Array, Array]:
    """Means over folds, the first axis, of coefficients and intercepts.

    A class counts in the folds whose training rows have weight in it; it is absent from the model
    where there is none.
    """
    absent = _prediction.absent_logit(intercepts.dtype)
    seen = intercepts > 0.5 * absent
    n_seen = seen.sum(axis=0)
    n = np.maximum(n_seen, 1).astype(intercepts.dtype)
    coef = np.where(seen[..., None], coefs, 0.0).sum(axis=0) / n[:, None]
    intercept = np.where(seen, intercepts, 0.0).sum(axis=0) / n
    return coef, np.where(n_seen > 0, intercept, absent).astype(intercepts.dtype)


def _mean_and_error(scores: Array) -> tuple[Array, Array]:
    """Mean over folds, the first axis, and its standard error, 0 for a single fold."""
    n = (~np.isnan(scores)).sum(axis=0)
    mean = np.where(n > 0, np.nansum(scores, axis=0) / np.maximum(n, 1), np.nan)
    squares = np.nansum(np.square(scores - mean), axis=0)
    return mean, np.sqrt(squares / np.maximum(n * (n - 1.0), 1.0))
