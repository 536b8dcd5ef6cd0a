"""Folds of a cross-validation: a path on the training rows of each, scored on the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed

from skmaxent import _callbacks
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
from skmaxent._model_selection._path import MaxentPath, data_grid, fit_path, some_of
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
    """A path, and scores (n_cs, n_gammas) of the rows that it did not see.

    `scored_weight` is the sum of the weights of the rows that count in the scores. `errors` (n_cs,)
    bound the errors of the scores that fits leave which end before their `tol`; None is zero.
    """

    path: MaxentPath
    scores: Array
    scored_weight: float
    errors: Array | None = field(default=None, kw_only=True)

    def with_part(self, part: Fold, at: Array) -> Fold:
        """Return the fold with other fits at some Cs, those of the mask `at`, which are exact."""
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
class How:
    """How folds are relaxed and scored, at which gammas.

    `relax` is as in `fit_path`, and `scorer` None is the mean log-likelihood.
    """

    gammas: Array
    relax: str | None
    scorer: Callable[..., float] | None
    routed: Bunch


@dataclass(frozen=True)
class Job:
    """A path to be fitted and scored: its model, the number of its fold, and who follows it.

    `cv_tol` is the change of a score, as a share of its standard error, that fits may leave; see
    `ScoreAccuracy`. 0 is for fits up to the `tol` of the model, which begin at `starts`,
    coefficients and intercepts for each C.
    """

    model: MaxentClassifier
    fold: int
    followed: _callbacks.Task | None
    cv_tol: float = 0.0
    starts: tuple[Array, Array] | None = None


class Folds(Protocol):
    """Rows and how they are split, wherever they are stored."""

    @property
    def classes(self) -> Array:
        """Of all rows."""

    @property
    def n_folds(self) -> int:
        """How many there are."""

    def grid(self, models: list[MaxentClassifier], n_points: int) -> Array:
        """Return the grid of C for all rows."""

    def total_weight(self, model: MaxentClassifier) -> float:
        """The sum of the weights of all rows in the fit of a model."""

    def run(self, jobs: Sequence[Job], grid: PenaltyGrid) -> Iterator[Fold]:
        """Yield paths and scores; a path that a callback stops has NaN for its last scores."""

    def presence(self) -> tuple[Array, Array]:
        """Whether test and training rows have each class, (n_folds, n_classes) both."""

    def fit_all(self, model: MaxentClassifier) -> None:
        """Fit a model to all rows."""

    def path_of_all(self, model: MaxentClassifier, Cs: Array) -> MaxentPath:
        """The path of all rows, with relaxed fits."""


@dataclass(frozen=True)
class Candidates:
    """Models of a path, relaxed ones if any, and their blends.

    `model` is any of them: the others differ from it in their coefficients. `path` has those to
    be scored alone.
    """

    model: FittedModel
    path: MaxentPath
    gammas: Array

    @classmethod
    def of(cls, model: FittedModel, path: MaxentPath, kept: Array, gammas: Array) -> Candidates:
        """Those at some Cs of a path."""
        return cls(model, some_of(path, kept), gammas)

    def __len__(self) -> int:
        return len(self.path.Cs) * len(self.gammas)

    def log_probabilities(self, X: Any, offset: Array | None) -> Iterator[Array]:
        """Yield the log-probabilities (n, n_classes) of checked rows, for each C and gamma.

        Logits are linear in gamma, because the coefficients are.
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
    model: MaxentClassifier, X: Any, y: Any, grid: PenaltyGrid, how: How, **options: Any
) -> MaxentPath:
    """The path of a fold, as its callbacks have it."""
    return fit_path(
        model,
        X,
        y,
        grid,
        relax=how.relax if (how.gammas < 1.0).any() else None,
        at_C=lambda C: {"C_": C, "l1_ratio_": model.l1_ratio, "gamma_": 1.0},
        **options,
    )


def lacking(path: MaxentPath) -> Array:
    """Whether each class has had no weight in the rows of a path, (n_classes,)."""
    K, intercepts = len(path.classes), path.intercepts[path.n_iter.nonzero()[0]]
    if K == 2 or not len(intercepts):
        return np.zeros(K, bool)
    absent = absent_logit(intercepts.dtype)
    return np.asarray((intercepts < 0.5 * absent).all(axis=0))


def _positions(index: Any) -> Array:
    """Return the positions of the rows of a split, which may be a mask of all rows."""
    index = np.asarray(index)
    return np.flatnonzero(index) if index.dtype == bool else index


@dataclass(frozen=True)
class FoldsInMemory:
    """Arrays and data frames; a process may have a path for itself.

    `X` is as the user gave it, `task` has what all folds need of it.
    """

    X: Any
    task: Task
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
        how: How,
    ) -> FoldsInMemory:
        """Raises ValueError for rows that cannot be fitted."""
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
            for train, test in splitter.split(checked, labels, **how.routed.splitter.split)
        ]
        rows = X if hasattr(X, "columns") else checked
        task = Task(rows, labels, observed, weights, logits, how)
        return cls(X, task, splits, estimator.n_jobs)

    @property
    def classes(self) -> Array:
        return self.task.observed.classes

    @property
    def n_folds(self) -> int:
        return len(self.splits)

    def grid(self, models: list[MaxentClassifier], n_points: int) -> Array:
        task = self.task
        return data_grid(models, self.X, task.y, n_points, task.sample_weight, task.offset)

    def total_weight(self, model: MaxentClassifier) -> float:
        observed, weights = self.task.observed, self.task.sample_weight
        class_weight = _validation.check_class_weight(
            model.class_weight, observed.classes, observed.totals(weights)
        )
        return observed.total_weight(weights, class_weight)

    def run(self, jobs: Sequence[Job], grid: PenaltyGrid) -> Iterator[Fold]:
        found: Iterator[Fold] = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(self.task.run)(job, grid, *self.splits[job.fold], n_folds=self.n_folds)
            for job in jobs
        )
        return found

    def presence(self) -> tuple[Array, Array]:
        there = np.array([self.task.tested(test) for _, test in self.splits])
        seen = np.array([self.task.seen(train) for train, _ in self.splits])
        return there, seen

    def fit_all(self, model: MaxentClassifier) -> None:
        model.fit(self.X, self.task.y, self.task.sample_weight, self.task.offset)

    def path_of_all(self, model: MaxentClassifier, Cs: Array) -> MaxentPath:
        task = self.task
        rows = self.X, task.y, PenaltyGrid(Cs), task.sample_weight, task.offset
        return fit_path(model, *rows, relax=task.how.relax)


@dataclass(frozen=True)
class Task:
    """What all folds in memory have in common."""

    X: Any
    y: Any
    observed: Observations
    sample_weight: Array | None
    offset: Array | None
    how: How

    def seen(self, train: Array) -> Array:
        """Whether training rows have weight in each class, (n_classes,)."""
        return self._has(train, self.sample_weight)

    def tested(self, test: Array) -> Array:
        """Whether test rows have weight in each class when they are scored, (n_classes,)."""
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
        given = to_host(self.how.routed.scorer.score.get("sample_weight"))
        return _validation.check_sample_weight(given, self.observed.n_samples)

    def run(self, job: Job, grid: PenaltyGrid, train: Array, test: Array, *, n_folds: int) -> Fold:
        """Fit and score; callbacks follow, and may end the path: its last scores are then NaN."""
        if job.cv_tol > 0.0:
            found = self._rough(job, grid, train, test, n_folds)
            if found is not None:
                return found
        model, followed = job.model, job.followed
        X, y = safe_indexing(self.X, train), safe_indexing(self.y, train)
        rows = self._training_rows(train)
        if followed is not None:
            followed = followed.with_rows(X, y, rows["sample_weight"]).begin()
        options = {"task": followed, "starts": job.starts}
        path = fold_path(model, X, y, grid, self.how, **options, **rows)
        # What a model has never seen tells nothing about its penalty.
        known, kept = self.observed.rows(test).without(~self.seen(train) | lacking(path))
        test = test[kept]
        scores = np.full((len(path.Cs), len(self.how.gammas)), np.nan)
        weights = self._score_weights
        weights = None if weights is None else weights[test]
        if not len(test) or (weights is not None and not weights.any()):
            pass
        elif self.how.scorer is None:
            self._log_likelihood(model, path, test, known, weights, scores)
        else:
            self._by_scorer(model, path, test, weights, scores)
        if followed is not None:
            followed.end()
        return Fold(path, scores, known.total_weight(weights))

    def _training_rows(self, train: Array) -> dict[str, Any]:
        """Return the arguments of a path that say what is known of its rows."""
        return {
            "sample_weight": None if self.sample_weight is None else self.sample_weight[train],
            "offset": None if self.offset is None else self.offset[train],
            "classes": self.observed.classes,
        }

    def _rough(
        self, job: Job, grid: PenaltyGrid, train: Array, test: Array, n_folds: int
    ) -> Fold | None:
        """Fit as accurately as scores need, and score; None if a class has no rows to learn from.

        The scores are log-likelihoods, those of penalised fits alone.
        """
        observed, weights = self.observed.rows(test), self._score_weights
        weights = None if weights is None else weights[test]
        if not self.seen(train).all() or not self.tested(test).any():
            return None

        def held_out() -> HeldOutRows:
            X = check_data(FittedColumns.of(job.model), safe_indexing(self.X, test))
            offset = None if self.offset is None else self.offset[test]
            return HeldOutRows(X, observed, weights, offset, n_folds)

        accuracy = ScoreAccuracy(held_out, job.cv_tol, job.model.tol)
        X, y = safe_indexing(self.X, train), safe_indexing(self.y, train)
        rows = self._training_rows(train)
        path = fold_path(job.model, X, y, grid, self.how, accuracy=accuracy, **rows)
        if lacking(path).any():
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
        """Fill in the mean log-likelihoods of the test rows."""
        scored = self._model_of(model, path)
        X, _ = scored.read(safe_indexing(self.X, test))
        offset = None if self.offset is None else self.offset[test].astype(X.dtype)
        fitted = path.n_iter.nonzero()[0]
        candidates = Candidates.of(scored, path, fitted, self.how.gammas)
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
        """Fill in scores of a scorer, which gets its metadata of the test rows."""
        assert self.how.scorer is not None
        scored = self._model_of(model, path)
        # Scorers are for NumPy's arrays.
        X, y = to_host(safe_indexing(self.X, test)), safe_indexing(self.y, test)
        offset = 0 if self.offset is None else self.offset[test]
        given = {name: to_host(value) for name, value in self.how.routed.scorer.score.items()}
        metadata = {
            name: safe_indexing(value, test) if np.ndim(value) else value
            for name, value in given.items()
        }
        if weights is not None:
            metadata["sample_weight"] = weights
        for i in path.n_iter.nonzero()[0].tolist():
            for j, gamma in enumerate(self.how.gammas):
                coef, intercept = path.blended(gamma, i)
                at = ModelAtOffset(replace(scored, coef=coef, intercept=intercept), offset)
                scores[i, j] = self.how.scorer(at, X, y, **metadata)

    def _model_of(self, model: MaxentClassifier, path: MaxentPath) -> FittedModel:
        """The first model of a path."""
        columns = FittedColumns.of(model)
        return FittedModel(columns, self.observed.classes, path.coefs[0], path.intercepts[0])


def mean_log_likelihood(
    model: FittedModel,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> float:
    """The score "neg_log_loss", for any subset of the classes in y."""
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
    """Return a copy of an array with other values where the mask `at` of its first axis is true."""
    array = array.copy()
    array[at] = values
    return array


def stacked_paths(found: list[Fold], shape: tuple[int, ...], *, with_intercept: bool) -> Array:
    """Return the coefficients of all paths, (*shape, n_logits, n_features), intercepts last.

    `shape` is (n_folds, n_l1_ratios, n_Cs).
    """
    first = found[0].path.coefs
    # Pages of zeros that are never written to take no memory.
    paths = np.zeros((*shape, first.shape[1], first.shape[2] + with_intercept), first.dtype)
    for path, result in zip(paths.reshape(-1, *paths.shape[2:]), found, strict=True):
        some = result.path.coefs.nonzero()
        path[some] = result.path.coefs[some]
        if with_intercept:
            path[:, :, -1] = result.path.intercepts
    return paths
