"""The folds of arrays and data frames: paths are fitted in processes, and scored on test rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import check_cv
from sklearn.utils.parallel import Parallel, delayed

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import native
from skmaxent._input._observations import Observations
from skmaxent._input._read import check_data
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model_selection._folds import (
    Candidates,
    Fold,
    FoldOptions,
    Job,
    absent_classes,
    fold_path,
)
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._model_at_offset import ModelAtOffset
from skmaxent._model_selection._path import data_grid, fit_path
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._rows_in_memory import RowsInMemory
from skmaxent._model_selection._score_accuracy import HeldOutRows, ScoreAccuracy
from skmaxent._model_selection._small_folds import fit_small_folds
from skmaxent._sklearn import safe_indexing
from skmaxent._storage._place import to_host
from skmaxent._typing import Array, DType


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
        rows, checked = RowsInMemory.of(estimator, X, y, sample_weight, offset)
        splitter = check_cv(estimator.cv, rows.y, classifier=True)
        splits = [
            (_positions(train), _positions(test))
            for train, test in splitter.split(checked, rows.y, **fold_options.routed.splitter.split)
        ]
        if not splits:
            raise ValueError(f"cv must have at least one fold, found {estimator.cv!r}.")
        return cls(X, FoldRunner(rows, fold_options), splits, estimator.n_jobs)

    @property
    def _rows(self) -> RowsInMemory:
        return self.runner.rows

    @property
    def classes(self) -> Array:
        return self._rows.observed.classes

    @property
    def n_folds(self) -> int:
        return len(self.splits)

    @property
    def dtype(self) -> DType:
        return self._rows.dtype

    def grid(self, models: list[MaxentClassifier], n_points: int) -> Array:
        rows = self._rows
        return data_grid(models, self.X, rows.y, n_points, rows.sample_weight, rows.offset)

    def total_weight(self, model: MaxentClassifier) -> float:
        return self._rows.total_weight(model)

    def run(self, jobs: Sequence[Job], grid: PenaltyGrid) -> Iterator[Fold]:
        known = self.runner.run_together(jobs, grid, self.splits)
        others: Iterator[Fold] = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(self.runner.run)(job, grid, *self.splits[job.fold], n_folds=self.n_folds)
            for job, found in zip(jobs, known, strict=True)
            if found is None
        )
        for found in known:
            yield next(others) if found is None else found
        yield from others  # none is left, which joblib has to know

    def presence(self) -> tuple[Array, Array]:
        there = np.array([self.runner.scored_classes(test) for _, test in self.splits])
        seen = np.array([self.runner.trained_classes(train) for train, _ in self.splits])
        return there, seen

    def fit_all(self, model: MaxentClassifier) -> None:
        model.fit(self.X, self._rows.y, self._rows.sample_weight, self._rows.offset)

    def path_of_all(self, model: MaxentClassifier, Cs: Array) -> MaxentPath:
        rows = self._rows
        given = self.X, rows.y, PenaltyGrid(Cs), rows.sample_weight, rows.offset
        return fit_path(model, *given, relax=self.runner.fold_options.relax)


@dataclass(frozen=True)
class FoldRunner:
    """Fits the paths of folds in memory, and scores them.

    Attributes
    ----------
    rows : RowsInMemory
    fold_options : FoldOptions
    """

    rows: RowsInMemory
    fold_options: FoldOptions

    def trained_classes(self, train: Array) -> Array:
        """Return in which classes the training rows at `train` have weight, (n_classes,)."""
        return self._has(train, self.rows.sample_weight)

    def scored_classes(self, test: Array) -> Array:
        """Return in which classes the test rows at `test` have weight in scores, (n_classes,)."""
        return self._has(test, self._score_weights)

    def _has(self, index: Array, weights: Array | None) -> Array:
        """Return in which classes the rows at positions `index` have weight, (n_classes,).

        `weights` (n_samples,) are those of all rows; None stands for ones.
        """
        weights = None if weights is None else weights[index]
        if weights is not None and not weights.any():
            return np.zeros(len(self.rows.observed.classes), bool)
        return self.rows.observed.rows(index).totals(weights) > 0.0

    @property
    def _score_weights(self) -> Array | None:
        """The weights of all rows in scores, (n_samples,), or None for ones."""
        return self.rows.score_weights(self.fold_options)

    def run(self, job: Job, grid: PenaltyGrid, train: Array, test: Array, *, n_folds: int) -> Fold:
        """Fit the path of a job to the rows `train`, and score it on the rows `test`.

        If a callback ends the path, its last scores are NaN.
        """
        if job.cv_tol > 0.0:
            found = self._rough(job, grid, train, test, n_folds)
            if found is not None:
                return found
        model, task = job.model, job.task
        X, y = safe_indexing(self.rows.X, train), safe_indexing(self.rows.y, train)
        given = self._training_rows(train)
        if task is not None:
            task = task.with_rows(X, y, given["sample_weight"]).begin()
        options = {"task": task, "starts": job.starts}
        path = fold_path(model, X, y, grid, self.fold_options, **options, **given)
        # Test rows of a class without training rows do not count: no penalty predicts this class.
        known, kept = self.rows.observed.rows(test).without_classes(
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

    def run_together(
        self, jobs: Sequence[Job], grid: PenaltyGrid, splits: list[tuple[Array, Array]]
    ) -> list[Fold | None]:
        """Fit and score the paths of small data together.

        The scores are log-likelihoods without relaxed fits, of fits up to the `tol` of the models.
        The result is None for each job that `run` has to do.
        """
        found: list[Fold | None] = [None] * len(jobs)
        groups: dict[float | None, list[int]] = {}
        for i, job in enumerate(jobs):
            if job.cv_tol > 0.0 and self._has_all_classes(*splits[job.fold]):
                groups.setdefault(job.model.l1_ratio, []).append(i)
        for some in groups.values():
            model, parts = jobs[some[0]].model, [splits[jobs[i].fold] for i in some]
            paths = fit_small_folds(self.rows, model, [train for train, _ in parts], grid)
            for i, path, (_, test) in zip(some, paths, parts, strict=True):
                if path is not None:
                    held_out = self._held_out(model, test, len(splits))
                    scores = held_out.mean(held_out.log_likelihoods(path.coefs, path.intercepts))
                    found[i] = Fold(path, scores[:, None], self._scored_weight(test))
        return found

    def _has_all_classes(self, train: Array, test: Array) -> bool:
        """Return whether training rows have weight in all classes, and test rows in some."""
        return bool(self.trained_classes(train).all() and self.scored_classes(test).any())

    def _held_out(self, model: MaxentClassifier, test: Array, n_folds: int) -> HeldOutRows:
        """Return the test rows at the positions `test`; the model knows the columns of X."""
        X = check_data(FittedColumns.of(model), safe_indexing(self.rows.X, test))
        offset = None if self.rows.offset is None else self.rows.offset[test]
        observed, weights = self.rows.observed.rows(test), self._score_weights
        return HeldOutRows(X, observed, None if weights is None else weights[test], offset, n_folds)

    def _scored_weight(self, test: Array) -> float:
        """Return the sum of the weights of the test rows at the positions `test`."""
        weights = self._score_weights
        observed = self.rows.observed.rows(test)
        return observed.total_weight(None if weights is None else weights[test])

    def _training_rows(self, train: Array) -> dict[str, Any]:
        """Return the arguments of `fit_path` for the training rows, besides X and y."""
        return {
            "sample_weight": None
            if self.rows.sample_weight is None
            else self.rows.sample_weight[train],
            "offset": None if self.rows.offset is None else self.rows.offset[train],
            "classes": self.rows.observed.classes,
        }

    def _rough(
        self, job: Job, grid: PenaltyGrid, train: Array, test: Array, n_folds: int
    ) -> Fold | None:
        """Fit the path of a job only as accurately as its scores need, and score it.

        The arguments are those of `run`, and the scores are log-likelihoods without relaxed fits.
        The result is None if training rows lack a class, or if no test row has weight.
        """
        if not self._has_all_classes(train, test):
            return None
        held_out = partial(self._held_out, job.model, test, n_folds)
        accuracy = ScoreAccuracy(held_out, job.cv_tol, job.model.tol, interpolates_scores=True)
        X, y = safe_indexing(self.rows.X, train), safe_indexing(self.rows.y, train)
        given = self._training_rows(train)
        path = fold_path(job.model, X, y, grid, self.fold_options, accuracy=accuracy, **given)
        if absent_classes(path).any():
            return None
        n_Cs = range(len(path.Cs))
        scores = np.array([[accuracy.scores[i]] for i in n_Cs])
        errors = np.array([accuracy.errors[i] for i in n_Cs])
        return Fold(path, scores, self._scored_weight(test), errors=errors)

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
        X, _ = scored.read(safe_indexing(self.rows.X, test))
        offset = None if self.rows.offset is None else self.rows.offset[test].astype(X.dtype)
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
        X, y = to_host(safe_indexing(self.rows.X, test)), safe_indexing(self.rows.y, test)
        offset = 0 if self.rows.offset is None else self.rows.offset[test]
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
                scores[i, j] = at.scored_by(self.fold_options.scorer, X, y, **metadata)

    def _model_of(self, model: MaxentClassifier, path: MaxentPath) -> FittedModel:
        """Return the first model of a path, which has the columns that `model` was fitted to."""
        columns = FittedColumns.of(model)
        return FittedModel(columns, self.rows.observed.classes, path.coefs[0], path.intercepts[0])


def _positions(index: Any) -> Array:
    """Return the positions (n,) of rows from positions, or from a mask of all rows."""
    index = np.asarray(index)
    return np.flatnonzero(index) if index.dtype == bool else index
