"""Folds of a cross-validation: a path for the training rows of each, scored on the test rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed

from skmaxent._callbacks import Task
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input import _validation
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import native
from skmaxent._input._labels import refuse_unknown
from skmaxent._input._observations import Observations
from skmaxent._input._read import check_data, check_rows
from skmaxent._input._targets import is_table, observe
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model._prediction import absent_logit, log_softmax
from skmaxent._model_selection._model_at_offset import ModelAtOffset
from skmaxent._model_selection._path import MaxentPath, data_grid, fit_path, path_at
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._score_accuracy import HeldOutRows, ScoreAccuracy
from skmaxent._sklearn import safe_indexing
from skmaxent._storage._device_array import on_host, unwrapped
from skmaxent._storage._place import to_host
from skmaxent._storage._row_blocks import check_finite
from skmaxent._typing import Array
from skmaxent._warnings import warn_user


@dataclass(frozen=True)
class Fold:
    """The path of one fold, fitted to its training rows, and the scores of its test rows.

    Attributes
    ----------
    path : MaxentPath
    scores : ndarray of shape (n_cs, n_gammas)
        NaN at each C without a fit.
    scored_weight : float
        The sum of the weights of the rows that count in the scores.
    errors : ndarray of shape (n_cs,) or None
        Bounds on the errors of the scores, because fits ended before `tol`. None stands for zeros.
    """

    path: MaxentPath
    scores: Array
    scored_weight: float
    errors: Array | None = field(default=None, kw_only=True)

    def with_part(self, part: Fold, at: Array) -> Fold:
        """Return the fold with the exact fits of `part` at the Cs in the mask `at`."""
        assert self.errors is not None
        path, other = self.path, part.path
        changed: dict[str, Any] = {
            name: _replaced(getattr(path, name), at, getattr(other, name))
            for name in ("coefs", "intercepts", "n_iter", "optimality_gaps")
        }
        return replace(
            self,
            path=replace(path, **changed),
            scores=_replaced(self.scores, at, part.scores),
            errors=np.where(at, 0.0, self.errors),
        )


@dataclass(frozen=True)
class FoldOptions:
    """FoldOptions the paths of all folds are fitted and scored.

    Attributes
    ----------
    gammas : ndarray of shape (n_gammas,)
        The weights of the penalised fit in the blends with the relaxed fit that are scored.
    relax : {"classes", "union"} or None
        As in `fit_path`.
    scorer : callable or None
        None stands for the mean log-likelihood.
    routed : Bunch
        The metadata for the splitter and the scorer; see `routed_metadata`.
    """

    gammas: Array
    relax: str | None
    scorer: Callable[..., float] | None
    routed: Bunch


@dataclass(frozen=True)
class Job:
    """A path that is to be fitted to the training rows of a fold, and scored on its test rows.

    Attributes
    ----------
    model : MaxentClassifier
        The parameters of the path, except C.
    fold : int
        The number of the fold.
    task : Task or None
        The task of the path, if there are callbacks.
    cv_tol : float
        The largest error of a score, as a share of its standard error; see `ScoreAccuracy`. With 0,
        fits go on up to the `tol` of the model.
    starts : tuple of ndarray, optional
        Coefficients and intercepts at which fits up to `tol` start, as in `fit_path`.
    """

    model: MaxentClassifier
    fold: int
    task: Task | None
    cv_tol: float = 0.0
    starts: tuple[Array, Array] | None = None


class Folds(Protocol):
    """What cross-validation needs of the rows and their folds, wherever the rows are stored."""

    @property
    def classes(self) -> Array:
        """The sorted labels of all rows, (n_classes,)."""

    @property
    def n_folds(self) -> int:
        """The number of folds."""

    def grid(self, models: list[MaxentClassifier], n_points: int) -> Array:
        """Return a grid of `n_points` Cs for all rows and the l1_ratios of the models."""

    def total_weight(self, model: MaxentClassifier) -> float:
        """Return the sum of the weights of all rows, with the class weights of a model."""

    def run(self, jobs: Sequence[Job], grid: PenaltyGrid) -> Iterator[Fold]:
        """Yield the result of each job; if a callback stops a path, its last scores are NaN."""

    def presence(self) -> tuple[Array, Array]:
        """Return which classes the test rows and the training rows of each fold contain.

        Both arrays are boolean, of shape (n_folds, n_classes).
        """

    def fit_all(self, model: MaxentClassifier) -> None:
        """Fit a model to all rows; this sets its fitted attributes."""

    def path_of_all(self, model: MaxentClassifier, Cs: Array) -> MaxentPath:
        """Return the path of all rows at some Cs, with relaxed fits."""


@dataclass(frozen=True)
class Candidates:
    """The models that are scored: at each C of a path, the blend for each gamma.

    Attributes
    ----------
    model : FittedModel
        Any model of the path; the others differ in their coefficients only.
    path : MaxentPath
        The Cs that are scored.
    gammas : ndarray of shape (n_gammas,)
        The weights of the penalised fits in the blends with the relaxed fits.
    """

    model: FittedModel
    path: MaxentPath
    gammas: Array

    @classmethod
    def of(cls, model: FittedModel, path: MaxentPath, kept: Array, gammas: Array) -> Candidates:
        """Return the candidates at the positions `kept` among the Cs of a path."""
        return cls(model, path_at(path, kept), gammas)

    def __len__(self) -> int:
        return len(self.path.Cs) * len(self.gammas)

    def log_probabilities(self, X: Any, offset: Array | None) -> Iterator[Array]:
        """Yield the log-probabilities (n, n_classes) of checked rows, for each C and gamma.

        Logits are linear in the coefficients, and these in gamma. Two products with X are therefore
        enough for all gammas.
        """

        def logits(i: int, gamma: float) -> Array:
            coef, intercept = self.path.blended(gamma, i)
            model = replace(self.model, coef=coef, intercept=intercept)
            return np.asarray(on_host(model.evaluate("logits", X, offset)), dtype=float)

        for i in range(len(self.path.Cs)):
            Z = logits(i, 1.0)
            relaxed = Z if self.path.relaxed_coefs is None else logits(i, 0.0)
            for gamma in self.gammas:
                blend = Z if gamma == 1.0 else gamma * Z + (1.0 - gamma) * relaxed
                yield log_softmax(blend.copy(), 1)


def fold_path(
    model: MaxentClassifier,
    X: Any,
    y: Any,
    grid: PenaltyGrid,
    fold_options: FoldOptions,
    **options: Any,
) -> MaxentPath:
    """Fit the path of a fold; callbacks receive the attributes of a `MaxentClassifierCV`.

    `options` are further arguments of `fit_path`.
    """
    return fit_path(
        model,
        X,
        y,
        grid,
        relax=fold_options.relax if (fold_options.gammas < 1.0).any() else None,
        at_C=lambda C: {"C_": C, "l1_ratio_": model.l1_ratio, "gamma_": 1.0},
        **options,
    )


def absent_classes(path: MaxentPath) -> Array:
    """Return a mask of the classes without weight in the rows of a path, (n_classes,)."""
    K, intercepts = len(path.classes), path.intercepts[path.n_iter.nonzero()[0]]
    if K == 2 or not len(intercepts):
        return np.zeros(K, bool)
    absent = absent_logit(intercepts.dtype)
    return np.asarray((intercepts < 0.5 * absent).all(axis=0))


def _positions(index: Any) -> Array:
    """Return the positions of rows from positions, or from a mask of all rows."""
    index = np.asarray(index)
    return np.flatnonzero(index) if index.dtype == bool else index


@dataclass(frozen=True)
class FoldsInMemory:
    """The `Folds` of arrays and data frames; processes can fit several paths at the same time.

    Attributes
    ----------
    X : {array-like, sparse matrix, DataFrame}
        As the user gave it.
    runner : FoldRunner
        Fits and scores each path.
    splits : list of pairs of ndarray of int
        The positions of the training rows and of the test rows of each fold.
    n_jobs : int or None
        The number of processes.
    """

    X: Any
    runner: FoldRunner
    splits: list[tuple[Array, Array]]
    n_jobs: int | None

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        offset: ArrayLike | None,
        fold_options: FoldOptions,
    ) -> FoldsInMemory:
        """Check and split the rows; raise ValueError if they cannot be fitted.

        The estimator is the `MaxentClassifierCV`, and gets `n_features_in_` and the names.
        """
        X = native(X, "X")
        checked, labels = check_rows(estimator, X, y)
        checked = unwrapped(checked)
        check_finite(checked)
        observed = observe(labels)
        weights = _validation.check_sample_weight(sample_weight, observed.n_samples)
        logits = _validation.check_offset(offset, observed.n_samples, observed.classes, np.float64)
        splitter = check_cv(estimator.cv, labels, classifier=True)
        splits = [
            (_positions(train), _positions(test))
            for train, test in splitter.split(checked, labels, **fold_options.routed.splitter.split)
        ]
        rows = X if hasattr(X, "columns") else checked
        runner = FoldRunner(rows, labels, observed, weights, logits, fold_options)
        return cls(X, runner, splits, estimator.n_jobs)

    @property
    def classes(self) -> Array:
        return self.runner.observed.classes

    @property
    def n_folds(self) -> int:
        return len(self.splits)

    def grid(self, models: list[MaxentClassifier], n_points: int) -> Array:
        runner = self.runner
        return data_grid(models, self.X, runner.y, n_points, runner.sample_weight, runner.offset)

    def total_weight(self, model: MaxentClassifier) -> float:
        observed, weights = self.runner.observed, self.runner.sample_weight
        class_weight = _validation.check_class_weight(
            model.class_weight, observed.classes, observed.totals(weights)
        )
        return observed.total_weight(weights, class_weight)

    def run(self, jobs: Sequence[Job], grid: PenaltyGrid) -> Iterator[Fold]:
        found: Iterator[Fold] = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(self.runner.run)(job, grid, *self.splits[job.fold], n_folds=self.n_folds)
            for job in jobs
        )
        return found

    def presence(self) -> tuple[Array, Array]:
        there = np.array([self.runner.scored_classes(test) for _, test in self.splits])
        seen = np.array([self.runner.trained_classes(train) for train, _ in self.splits])
        return there, seen

    def fit_all(self, model: MaxentClassifier) -> None:
        model.fit(self.X, self.runner.y, self.runner.sample_weight, self.runner.offset)

    def path_of_all(self, model: MaxentClassifier, Cs: Array) -> MaxentPath:
        runner = self.runner
        rows = self.X, runner.y, PenaltyGrid(Cs), runner.sample_weight, runner.offset
        return fit_path(model, *rows, relax=runner.fold_options.relax)


@dataclass(frozen=True)
class FoldRunner:
    """Fits and scores the paths of folds; it holds what all folds in memory have in common.

    Attributes
    ----------
    X : {array, sparse matrix, DataFrame} of shape (n_samples, n_features)
        The checked rows, or the data frame that the user gave.
    y : array-like
        The checked labels or table.
    observed : Observations
        The classes of the rows.
    sample_weight : ndarray of shape (n_samples,) or None
    offset : ndarray of shape (n_samples, n_logits) or None
    fold_options : FoldOptions
    """

    X: Any
    y: Any
    observed: Observations
    sample_weight: Array | None
    offset: Array | None
    fold_options: FoldOptions

    def trained_classes(self, train: Array) -> Array:
        """Return in which classes the training rows at positions `train` have weight."""
        return self._has(train, self.sample_weight)

    def scored_classes(self, test: Array) -> Array:
        """Return in which classes the test rows at positions `test` have weight in scores."""
        return self._has(test, self._score_weights)

    def _has(self, index: Array, weights: Array | None) -> Array:
        """Return in which classes the rows at `index` have weight, (n_classes,)."""
        weights = None if weights is None else weights[index]
        if weights is not None and not weights.any():
            return np.zeros(len(self.observed.classes), bool)
        return self.observed.rows(index).totals(weights) > 0.0

    @property
    def _score_weights(self) -> Array | None:
        """The weights of the rows in scores, or None."""
        given = to_host(self.fold_options.routed.scorer.score.get("sample_weight"))
        return _validation.check_sample_weight(given, self.observed.n_samples)

    def run(self, job: Job, grid: PenaltyGrid, train: Array, test: Array, *, n_folds: int) -> Fold:
        """Fit the path of a job to the rows `train`, and score it on the rows `test`.

        If a callback ends the path, its last scores are NaN.
        """
        if job.cv_tol > 0.0:
            found = self._rough(job, grid, train, test, n_folds)
            if found is not None:
                return found
        model, task = job.model, job.task
        X, y = safe_indexing(self.X, train), safe_indexing(self.y, train)
        rows = self._training_rows(train)
        if task is not None:
            task = task.with_rows(X, y, rows["sample_weight"]).begin()
        options = {"task": task, "starts": job.starts}
        path = fold_path(model, X, y, grid, self.fold_options, **options, **rows)
        # Test rows of a class without training rows do not count: no penalty predicts this class.
        known, kept = self.observed.rows(test).without_classes(
            ~self.trained_classes(train) | absent_classes(path)
        )
        test = test[kept]
        scores = np.full((len(path.Cs), len(self.fold_options.gammas)), np.nan)
        weights = self._score_weights
        weights = None if weights is None else weights[test]
        if not len(test) or (weights is not None and not weights.any()):
            pass
        elif self.fold_options.scorer is None:
            self._log_likelihood(model, path, test, known, weights, scores)
        else:
            self._by_scorer(model, path, test, weights, scores)
        if task is not None:
            task.end()
        return Fold(path, scores, known.total_weight(weights))

    def _training_rows(self, train: Array) -> dict[str, Any]:
        """Return the arguments of `fit_path` for the training rows, besides X and y."""
        return {
            "sample_weight": None if self.sample_weight is None else self.sample_weight[train],
            "offset": None if self.offset is None else self.offset[train],
            "classes": self.observed.classes,
        }

    def _rough(
        self, job: Job, grid: PenaltyGrid, train: Array, test: Array, n_folds: int
    ) -> Fold | None:
        """Fit the path of a job only as accurately as its scores need, and score it.

        The arguments are those of `run`, and the scores are log-likelihoods without relaxed fits.
        The result is None if training rows lack a class, or if no test row has weight.
        """
        observed, weights = self.observed.rows(test), self._score_weights
        weights = None if weights is None else weights[test]
        if not self.trained_classes(train).all() or not self.scored_classes(test).any():
            return None

        def held_out() -> HeldOutRows:
            X = check_data(FittedColumns.of(job.model), safe_indexing(self.X, test))
            offset = None if self.offset is None else self.offset[test]
            return HeldOutRows(X, observed, weights, offset, n_folds)

        accuracy = ScoreAccuracy(held_out, job.cv_tol, job.model.tol)
        X, y = safe_indexing(self.X, train), safe_indexing(self.y, train)
        rows = self._training_rows(train)
        path = fold_path(job.model, X, y, grid, self.fold_options, accuracy=accuracy, **rows)
        if absent_classes(path).any():
            return None
        n_Cs = range(len(path.Cs))
        scores = np.array([[accuracy.scores[i]] for i in n_Cs])
        errors = np.array([accuracy.errors[i] for i in n_Cs])
        return Fold(path, scores, observed.total_weight(weights), errors=errors)

    def _log_likelihood(
        self,
        model: MaxentClassifier,
        path: MaxentPath,
        test: Array,
        known: Observations,
        weights: Array | None,
        scores: Array,
    ) -> None:
        """Write the mean log-likelihood of the test rows to `scores` (n_cs, n_gammas).

        `known` are the classes of the rows at the positions `test`, and `weights` their weights.
        """
        scored = self._model_of(model, path)
        X, _ = scored.read(safe_indexing(self.X, test))
        offset = None if self.offset is None else self.offset[test].astype(X.dtype)
        fitted = path.n_iter.nonzero()[0]
        candidates = Candidates.of(scored, path, fitted, self.fold_options.gammas)
        values = [known.mean(p, weights) for p in candidates.log_probabilities(X, offset)]
        scores[fitted] = np.reshape(values, (len(fitted), -1))

    def _by_scorer(
        self,
        model: MaxentClassifier,
        path: MaxentPath,
        test: Array,
        weights: Array | None,
        scores: Array,
    ) -> None:
        """Write the results of the scorer to `scores` (n_cs, n_gammas).

        `weights` are those of the rows at the positions `test`.
        """
        assert self.fold_options.scorer is not None
        scored = self._model_of(model, path)
        # scikit-learn's scorers do not accept arrays on a device.
        X, y = to_host(safe_indexing(self.X, test)), safe_indexing(self.y, test)
        offset = 0 if self.offset is None else self.offset[test]
        given = {
            name: to_host(value) for name, value in self.fold_options.routed.scorer.score.items()
        }
        metadata = {
            name: safe_indexing(value, test) if np.ndim(value) else value
            for name, value in given.items()
        }
        if weights is not None:
            metadata["sample_weight"] = weights
        for i in path.n_iter.nonzero()[0].tolist():
            for j, gamma in enumerate(self.fold_options.gammas):
                coef, intercept = path.blended(gamma, i)
                at = ModelAtOffset(replace(scored, coef=coef, intercept=intercept), offset)
                scores[i, j] = self.fold_options.scorer(at, X, y, **metadata)

    def _model_of(self, model: MaxentClassifier, path: MaxentPath) -> FittedModel:
        """Return the first model of a path, which has the columns that `model` was fitted to."""
        columns = FittedColumns.of(model)
        return FittedModel(columns, self.observed.classes, path.coefs[0], path.intercepts[0])


def mean_log_likelihood(
    model: FittedModel,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> float:
    """Return the score "neg_log_loss" of a fitted model; y may lack some of its classes."""
    log_p = np.asarray(to_host(model.predict("log_probabilities", X, offset)), dtype=float)
    y = to_host(y)
    if not is_table(y):
        refuse_unknown(y, model.classes, "y")
    return observe(y, model.classes).mean(log_p, sample_weight)


def warn_of_absent_classes(folds: Folds) -> None:
    """Warn of folds without test rows, and of classes that training rows of a fold lack."""
    for number, (there, seen) in enumerate(zip(*folds.presence(), strict=True)):
        absent = folds.classes[there & ~seen]
        if not there.any():
            warn_user(
                f"The test part of fold {number} has no rows of positive weight: this fold has no "
                "score."
            )
        elif len(absent):
            warn_user(
                f"The training part of fold {number} has no rows of {absent.tolist()}: rows of "
                "these classes do not count in its score."
            )


def _replaced(array: Array, at: Array, values: Array) -> Array:
    """Return a copy of an array whose entries in the mask `at` of the first axis are `values`."""
    array = array.copy()
    array[at] = values
    return array


def stacked_paths(found: list[Fold], shape: tuple[int, ...], *, with_intercept: bool) -> Array:
    """Return the coefficients of all paths as an array, with the intercepts in the last column.

    `shape` is (n_folds, n_l1_ratios, n_Cs), and `found` has the folds in its order. The shape of
    the result is (*shape, n_logits, n_features), with one more column for intercepts.
    """
    first = found[0].path.coefs
    # Memory of zeros is taken when another number is written: paths of a lasso take little.
    paths = np.zeros((*shape, first.shape[1], first.shape[2] + with_intercept), first.dtype)
    for path, result in zip(paths.reshape(-1, *paths.shape[2:]), found, strict=True):
        some = result.path.coefs.nonzero()
        path[some] = result.path.coefs[some]
        if with_intercept:
            path[:, :, -1] = result.path.intercepts
    return paths
