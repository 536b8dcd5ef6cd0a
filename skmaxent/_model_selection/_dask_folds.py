"""Cross-validation of Dask collections, whose chunks stay where Dask holds them.

Every fold uses all chunks. A fit gives weight zero to the rows that are not among its training
rows, and a score to those that are not among its test rows. X is read once, and not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch

from skmaxent._cached import cached_property
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._fit_classifier import fit_classifier
from skmaxent._input import _dask_labels, _validation
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._training_data import TrainingData, positions_among
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
from skmaxent._model_selection._path import data_grid, fit_path
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._splits import Side, Splits
from skmaxent._storage._block import Block
from skmaxent._storage._chunked_rows import ChunkedRows
from skmaxent._storage._storage import Rows
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array, DType

# The largest number of bytes of coefficients that are sent to the chunks for one pass of scores.
COEFFICIENT_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class FoldView:
    """Changes the weights and targets of a chunk to those of one side of a fold, for `ChunkedRows`.

    Attributes
    ----------
    side : Side or None
        The rows that keep their weight; None stands for all rows.
    active : ndarray of int
        The positions, among all classes, of the classes of the fit. Targets become positions in
        this array.
    n_classes : int
        The number of all classes.
    factors : ndarray of shape (n_classes,), optional
        Numbers by which the weights of the classes are multiplied.
    """

    side: Side | None
    active: Array
    n_classes: int
    factors: Array | None = None

    def __call__(self, rows: Rows, marks: Array) -> Rows:
        """Return the rows of a chunk with other weights and targets.

        `marks` (n_marks, n_rows) are the columns of `Splits.marks` for these rows.
        """
        weights = np.ones(len(rows.targets))
        if rows.weights is not None:
            weights = rows.weights.astype(float)
        if self.side is not None:
            weights = np.where(self.side.holds(marks), weights, 0.0)
        if self.factors is not None:
            weights = weights * self.factors[rows.targets]
        weights = _validation.without_negligible(weights).astype(rows.X.dtype)
        rows = rows._replace(weights=weights)
        if len(self.active) == self.n_classes:
            return rows
        targets = positions_among(self.active, self.n_classes)[rows.targets]
        offset = rows.offset
        if offset is not None:
            offset = _validation.offset_of(offset, self.active)
        return rows._replace(targets=targets, offset=offset)


@dataclass(frozen=True)
class FoldsInChunks:
    """The `Folds` of Dask collections.

    Attributes
    ----------
    estimator : MaxentClassifierCV
    labelled : Labelled
        The collections, checked, with the classes and their weights.
    chunks : list of handles
        The chunks, in which targets are codes of all classes.
    shape : ChunksShape
        The sizes of the chunks.
    splits : Splits
    n_test : ndarray of shape (n_folds, n_classes)
        The number of test rows of each class in each fold.
    n_training : ndarray of shape (n_folds, n_classes)
        The number of training rows of each class in each fold.
    fold_options : FoldOptions
    given : tuple
        X, y, sample_weight and offset as the user gave them.
    """

    estimator: Any
    labelled: _dask_labels.Labelled
    chunks: list[Any]
    shape: Any
    splits: Splits
    n_test: Array
    n_training: Array
    fold_options: FoldOptions
    given: tuple[Any, Any, Any, Any]

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        offset: Any,
        fold_options: FoldOptions,
    ) -> FoldsInChunks:
        """Read and split the collections.

        Raises TypeError for scorers and metadata, which need rows in memory, and TypeError or
        ValueError for collections that do not fit together.
        """
        refuse_scorer(estimator.scoring, fold_options.scorer)
        _refuse_metadata(fold_options.routed)
        labelled = _dask_labels.read(estimator, X, y, sample_weight, offset)
        codes, K = labelled.codes(), len(labelled.classes)
        # Splitters ask X for its number of rows only.
        no_rows = np.broadcast_to(np.int8(0), (len(codes), 1))
        pairs = check_cv(estimator.cv, codes, classifier=True).split(no_rows, codes)
        splits = Splits.of(pairs, len(codes))
        n_test, n_training = (splits.counts(codes, K, is_held_out=side) for side in (True, False))
        chunks, shape = labelled.converted_with_marks(splits.marks)
        given = X, y, sample_weight, offset
        return cls(
            estimator, labelled, chunks, shape, splits, n_test, n_training, fold_options, given
        )

    @property
    def classes(self) -> Array:
        """The sorted class labels."""
        return self.labelled.classes

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return self.splits.n_folds

    @property
    def dtype(self) -> DType:
        """The dtype of the collections, float32 or float64."""
        return self.shape.dtype

    def grid(self, models: list[MaxentClassifier], n_points: int) -> Array:
        """Return a grid of `n_points` Cs computed from all rows, for several l1_ratios."""
        data = self._rows_of(models[0], None)
        for model in models:
            self._names(model)
        return data_grid(models, *self.given[:2], n_points, *self.given[2:], data=data)

    def total_weight(self, model: MaxentClassifier) -> float:
        """Return the sum of the weights of all rows in the fit of a model."""
        totals = self.labelled.totals
        class_weight = _validation.check_class_weight(model.class_weight, self.classes, totals)
        total = totals.sum() if class_weight is None else totals @ class_weight
        return float(total) * self._weight_unit

    def run(self, jobs: Sequence[Job], grid: PenaltyGrid) -> Iterator[Fold]:
        """Fit and score the jobs one after the other; each of them uses all chunks at once."""
        return (self._fold(job, grid) for job in jobs)

    def presence(self) -> tuple[Array, Array]:
        """Return which classes have test rows, and which have training rows that weigh anything.

        Both arrays are boolean, of shape (n_folds, n_classes).
        """
        return self.n_test > 0, self._totals > 0.0

    @cached_property
    def _totals(self) -> Array:
        """The sum of the weights of each class in the training rows, (n_folds, n_classes)."""
        if not self.labelled.has_weights:
            return self.n_training.astype(float)
        return self._of_training_rows(_class_totals, np.add)

    @cached_property
    def _largest(self) -> Array:
        """The largest weight of each class in the training rows, (n_folds, n_classes)."""
        if not self.labelled.has_weights:
            return (self.n_training > 0).astype(float)
        return self._of_training_rows(_class_maxima, np.maximum)

    def _of_training_rows(self, kernel: Callable[..., tuple[Array]], combine: np.ufunc) -> Array:
        """Return the results (n_classes,) of a kernel for the training rows of each fold, stacked.

        `combine` combines the results of blocks.
        """
        K = len(self.classes)

        def of_fold(fold: int) -> Array:
            side = self.splits.side(fold, is_held_out=False)
            rows = self._stored(FoldView(side, np.arange(K), K), 1, Workers())
            (found,) = rows.map_reduce(kernel, K, combine=combine)
            return np.asarray(found)

        return np.array([of_fold(fold) for fold in range(self.n_folds)])

    @property
    def _weight_unit(self) -> float:
        """The number by which the weights of the chunks have been divided."""
        return float(self.labelled.top_weight) if self.labelled.has_weights else 1.0

    def fit_all(self, model: MaxentClassifier) -> None:
        """Fit a model to all rows and set its attributes."""
        self._names(model)
        fit_classifier(model, *self.given, data=self._rows_of(model, None))

    def path_of_all(self, model: MaxentClassifier, Cs: Array) -> MaxentPath:
        """Return the relaxed path of a model fitted to all rows."""
        self._names(model)
        X, y, sample_weight, offset = self.given
        data = self._rows_of(model, None)
        rows = X, y, PenaltyGrid(Cs), sample_weight, offset
        return fit_path(model, *rows, relax=self.fold_options.relax, data=data)

    def _fold(self, job: Job, grid: PenaltyGrid) -> Fold:
        """Fit the path of a job to the training rows of its fold and score it on the test rows."""
        self._names(job.model)
        X, y, _, offset = self.given
        task = job.task
        if task is not None:
            task = task.with_rows(X, y, self._training_weights(job.fold)).begin()
        path = fold_path(
            job.model,
            X,
            y,
            grid,
            self.fold_options,
            offset=offset,
            task=task,
            data=self._rows_of(job.model, job.fold),
        )
        scores = np.full((len(path.Cs), len(self.fold_options.gammas)), np.nan)
        scored_weight = self._score(path, job.fold, scores)
        if task is not None:
            task.end()
        return Fold(path, scores, scored_weight)

    def _names(self, model: MaxentClassifier) -> None:
        """Give a model the number and the names of the columns that the estimator has read."""
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator, name):
                setattr(model, name, getattr(self.estimator, name))

    def _stored(self, view: FoldView, n_logits: int, workers: Workers) -> ChunkedRows:
        """Return the storage of the chunks with the weights and targets of a view."""
        return ChunkedRows(
            self.labelled.scheduler,
            self.chunks,
            self.shape,
            n_logits=n_logits,
            workers=workers,
            view=view,
        )

    def _rows_of(self, model: MaxentClassifier, fold: int | None) -> TrainingData:
        """Return the training rows of a fold, or all rows for None, with a model's class weights.

        Balanced class weights are computed from the training rows of the fold, as for arrays in
        memory.
        """
        side, totals, largest = None, self.labelled.totals, self.labelled.largest
        if fold is not None:
            side = self.splits.side(fold, is_held_out=False)
            totals, largest = self._totals[fold], self._largest[fold]
        class_weight = _validation.check_class_weight(model.class_weight, self.classes, totals)
        return self.labelled.training_data_of(
            totals, largest, class_weight, model.label_smoothing, partial(self._stored_side, side)
        )

    def _stored_side(
        self,
        side: Any,
        active: Array,
        factors: Array | None,
        n_logits: int,
        workers: Workers,
    ) -> ChunkedRows:
        """Return the storage of one side of a fold, or of all rows for None.

        The other arguments are those that `Labelled.training_data_of` gives: attributes of
        `FoldView` and of the storage.
        """
        view = FoldView(side, active, len(self.classes), factors)
        return self._stored(view, n_logits, workers)

    def _score(self, path: MaxentPath, fold: int, scores: Array) -> float:
        """Write the mean log-likelihoods of the test rows of a fold to `scores` (n_Cs, n_gammas).

        Rows of classes without training rows do not count. The result is the sum of the weights of
        the other rows. A pass over them scores as many Cs as `COEFFICIENT_BYTES` allows.
        """
        known = ((self._totals[fold] > 0.0) & ~absent_classes(path)).astype(float)
        fitted = path.n_iter.nonzero()[0]
        if not self.n_test[fold] @ known or not len(fitted):
            return 0.0
        view = FoldView(
            self.splits.side(fold, is_held_out=True),
            np.arange(len(known)),
            len(known),
            known,
        )
        rows = self._stored(view, path.coefs.shape[1], Workers())
        n_kinds = 1 if path.relaxed_coefs is None else 2
        step = max(1, COEFFICIENT_BYTES // (n_kinds * path.coefs[0].nbytes))
        columns = FittedColumns.of(self.estimator)
        # A task has a thread of its own.
        model = FittedModel(columns, self.classes, path.coefs[0], path.intercepts[0], n_jobs=1)
        total = 0.0
        for some in np.split(fitted, np.arange(step, len(fitted), step)):
            candidates = Candidates.of(model, path, some, self.fold_options.gammas)
            sums, total = rows.map_reduce(_log_likelihoods, candidates)
            if total > 0.0:
                scores[some] = (sums / total).reshape(len(some), -1)
        return float(total) * self._weight_unit

    def _training_weights(self, fold: int) -> Any:
        """Return a lazy Dask array of the sample weights, zero for the test rows of the fold."""
        import dask.array as da

        lengths = tuple(summary.n_rows for summary in self.labelled.summaries)
        is_trained = self.splits.side(fold, is_held_out=False).holds(self.splits.marks)
        lazy = da.from_array(is_trained, chunks=(lengths,)).astype(float)
        weights = self.given[2]
        if weights is None:
            return lazy
        if hasattr(weights, "to_dask_array"):
            weights = weights.to_dask_array(lengths=lengths)
        return lazy * weights


def refuse_scorer(scoring: Any, scorer: Any) -> None:
    """Raise TypeError unless `scorer` is None, which stands for the log-likelihood.

    `scoring` is the parameter of the estimator, for the message.
    """
    if scorer is not None:
        raise TypeError(
            "scoring must be None or 'neg_log_loss' for Dask collections, because other scorers "
            f"need all rows in memory; found {scoring!r}."
        )


def _refuse_metadata(routed: Bunch) -> None:
    """Raise TypeError for metadata of the splitter or the scorer, except the weights."""
    found = set(routed.splitter.split) | set(routed.scorer.score) - {"sample_weight"}
    if found:
        raise TypeError(
            f"fit takes no {', '.join(sorted(found))} with Dask collections: give cv the indices "
            "of the folds, such as list(GroupKFold().split(groups, groups=groups))."
        )


def _class_totals(block: Block, n_classes: int) -> tuple[Array]:
    """Return the sum of the weights of each class in a block, (n_classes,) (a kernel)."""
    return (_weights_of_classes(block, n_classes)[0],)


def _class_maxima(block: Block, n_classes: int) -> tuple[Array]:
    """Return the largest weight of each class in a block, (n_classes,) (a kernel)."""
    return (_weights_of_classes(block, n_classes)[1],)


def _weights_of_classes(block: Block, n_classes: int) -> Array:
    weights = block.weights_or_ones().astype(float)
    return _dask_labels.weight_totals(block.targets, weights, n_classes)


def _log_likelihoods(block: Block, candidates: Candidates) -> tuple[Array, float]:
    """Return a block's weighted sums of the log-probabilities of the true classes (a kernel).

    The first array has an entry for each candidate, that is each C and gamma. The second result is
    the sum of the weights.
    """
    weights = block.weights_or_ones().astype(float)
    kept = np.flatnonzero(weights)
    if not len(kept):
        return np.zeros(len(candidates)), 0.0
    weights, codes = weights[kept], block.targets[kept]
    offset = None if block.offset is None else block.offset[kept]
    order = np.arange(len(kept))
    found = candidates.log_probabilities(block.X[kept], offset)
    return np.array([weights @ log_p[order, codes] for log_p in found]), float(weights.sum())
