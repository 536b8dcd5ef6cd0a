"""LeftOutRows: scores of ``cv="loo"``, leave-one-out along a path that is fitted to all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.utils.parallel import Parallel, delayed

from skmaxent._cached import cached_property
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input._arguments import is_flag
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import native
from skmaxent._input._read import check_data, read
from skmaxent._input._settings import Settings
from skmaxent._leverage._left_out_units import Units, log_scores_of
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._folds import Fold, FoldOptions, Job, fold_path
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._path import data_grid
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._rows_in_memory import RowsInMemory
from skmaxent._model_selection._score_accuracy import HeldOutRows, ScoreAccuracy
from skmaxent._model_selection._scores_of_path import ScoresOfPath
from skmaxent._model_selection._small_folds import fit_small_path
from skmaxent._model_selection._stepped_scores import SteppedScores
from skmaxent._storage._cluster import is_dask
from skmaxent._typing import Array, DType
from skmaxent._warnings import warn_user

# The least error of scores, in standard errors, that `cv_tol` asks for.
LEAST_TOLERANCE = 0.01
# The error of the in-sample score, as a share of `cv_tol`, at which the fits of the path end. For
# a lasso on scikit-learn's digits at C = 29, the score by steps that keep zeros is -1.5 with shares
# up to 0.02, -1,378 with 0.25 and -3,892 with 1. That of fits without each row is -0.17.
SHARE_IN_SAMPLE = 0.02
# The value of `cv` that asks for leave-one-out.
LOO = "loo"


def refuse_for_rows(estimator: Any, arrays: tuple[Any, ...], routed: Any) -> None:
    """Raise TypeError or ValueError for arguments that ``cv="loo"`` does not support.

    Parameters
    ----------
    estimator : MaxentClassifierCV
    arrays : tuple
        The arguments of `fit` that must not be Dask collections.
    routed : Bunch
        The metadata for the splitter and the scorer.
    """
    if any(map(is_dask, arrays)):
        raise TypeError(
            "cv='loo' needs rows in memory; found Dask collections. Use folds, or call compute() "
            "on X and y first."
        )
    if not is_flag(estimator.relax, False):
        raise ValueError(
            "cv='loo' does not compare relaxed fits: leave out relax, or use folds; found "
            f"relax={estimator.relax!r}."
        )
    if not estimator.refit:
        raise ValueError(
            "refit=False takes means of the coefficients of folds, and cv='loo' has no folds: "
            "leave out refit. The fit to all rows is that of the path, and is not made again."
        )
    if estimator.max_iter == 0:
        raise ValueError(
            "cv='loo' needs fits that end at an optimum, from which one step leads to the fit "
            "without an observation; expected max_iter of at least 1, found max_iter=0."
        )
    given = {**routed.get("splitter", {}).get("split", {})}
    if given:
        raise ValueError(
            f"cv='loo' leaves out single observations, and has no use for {sorted(given)}; "
            "expected a splitter as cv, for example GroupKFold()."
        )
    others = set(routed.scorer.score) - {"sample_weight"}
    if others:
        raise ValueError(f"cv='loo' passes no metadata to scorers; found {sorted(others)}.")


def score_of_rows(scoring: Any) -> Callable[[Array, Array], Array]:
    """Return a function that computes the score of each observation.

    Its arguments are log-probabilities and observed shares of the classes, both of shape
    (n, n_classes), and its result has the shape (n,). `scoring` is the parameter of the estimator.
    Raises ValueError if the score is not a mean over observations of such a function.
    """
    functions = {
        "neg_log_loss": log_scores_of,
        "accuracy": _hits,
        "neg_brier_score": _neg_brier_scores,
    }
    if scoring is None:
        return log_scores_of
    for name, function in functions.items():
        if scoring == name or (callable(scoring) and repr(scoring) == repr(get_scorer(name))):
            return function
    raise ValueError(
        "cv='loo' needs a score that is a mean over observations of a function of their "
        f"probabilities: scoring must be None or one of {sorted(functions)}, or the scorer of that "
        f"name; found {scoring!r}. Use folds for other scorers."
    )


def _hits(log_proba: Array, shares: Array) -> Array:
    """Return the observed share of the most probable class of each row, (n,)."""
    return np.asarray(shares[np.arange(len(shares)), log_proba.argmax(axis=1)])


def _neg_brier_scores(log_proba: Array, shares: Array) -> Array:
    """Return the mean of -Σ_k (p_k - y_k)² over the observations of each row (Brier 1950).

    y has a one for the observed class, else zeros. For two classes the result is half of this sum,
    as in scikit-learn.
    """
    P = np.exp(log_proba)
    squares = np.square(P).sum(axis=1) - 2.0 * (shares * P).sum(axis=1) + shares.sum(axis=1)
    return np.asarray(-squares * (0.5 if P.shape[1] == 2 else 1.0))


@dataclass(frozen=True)
class RowsScored(Fold):
    """The path of all rows with its scores of leave-one-out, as the only fold.

    `scores` has a single column, because ``cv="loo"`` does not compare relaxed fits.

    Attributes
    ----------
    std_errs : ndarray of shape (n_cs, 1)
        The standard error of each score, which is a mean over observations.
    n_refits : ndarray of int, shape (n_cs,)
        The number of exact fits that replaced approximations at each C.
    """

    std_errs: Array
    n_refits: Array


@dataclass(frozen=True)
class LeftOutRows:
    """The `Folds` of ``cv="loo"``: one fold with all rows, scored by leave-one-out.

    Attributes
    ----------
    X : {array-like, sparse matrix, DataFrame}
        As the user gave it, for callbacks and for the grid of C.
    rows : RowsInMemory
        The checked rows, to which paths are fitted.
    fold_options : FoldOptions
        The options of paths, and the metadata for the scorer.
    score : callable
        The result of `score_of_rows`.
    n_jobs : int or None
        The number of processes, one for each path.
    """

    X: Any
    rows: RowsInMemory
    fold_options: FoldOptions
    score: Callable[[Array, Array], Array]
    n_jobs: int | None

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        offset: Any,
        fold_options: FoldOptions,
    ) -> LeftOutRows:
        """Check the rows; raise ValueError or TypeError if leave-one-out does not support them."""
        refuse_for_rows(estimator, (X, y, sample_weight, offset), fold_options.routed)
        score = score_of_rows(estimator.scoring)
        X = native(X, "X")
        rows, _ = RowsInMemory.of(estimator, X, y, sample_weight, offset)
        if rows.observed.codes is None and estimator.class_weight is not None:
            raise ValueError(
                "cv='loo' has no single observations to leave out of a table of counts with "
                f"class_weight; found class_weight={estimator.class_weight!r}. Use folds, or a row "
                "for each observation."
            )
        folds = cls(X, rows, fold_options, score, estimator.n_jobs)
        if folds._single.all():
            raise ValueError(
                "cv='loo' needs a class with more than one observation, of which one is left out: "
                "a weight or a count is a number of observations, and those of each class have a "
                "sum of at most one. Expected larger sample_weight or counts."
            )
        return folds

    @property
    def classes(self) -> Array:
        return self.rows.observed.classes

    @property
    def n_folds(self) -> int:
        return 1

    @property
    def dtype(self) -> DType:
        return self.rows.dtype

    def grid(self, models: list[MaxentClassifier], n_points: int) -> Array:
        """Return a grid of `n_points` Cs for all rows and the l1_ratios of the models."""
        return data_grid(
            models, self.X, self.rows.y, n_points, self.rows.sample_weight, self.rows.offset
        )

    def total_weight(self, model: MaxentClassifier) -> float:
        """Return the sum of the weights of all rows, with the class weights of a model."""
        return self.rows.total_weight(model)

    def run(self, jobs: Sequence[Job], grid: PenaltyGrid) -> Iterator[Fold]:
        """Yield the scored path of each job; the paths run in `n_jobs` processes."""
        found: Iterator[Fold] = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(self.scored)(job, grid) for job in jobs
        )
        return found

    def warn_of_single_observations(self) -> None:
        """Warn of classes with a single observation, which the fit without it does not know."""
        rare = self.classes[self._single]
        if len(rare):
            warn_user(
                f"The classes {rare.tolist()} have a single observation: the fit without it does "
                "not know its class, and it does not count in the scores."
            )

    @property
    def _single(self) -> Array:
        """A mask of the classes with a total weight of at most one observation, (n_classes,)."""
        observed, weights = self.rows.observed, self.rows.sample_weight
        table = (
            observed.table
            if observed.codes is None
            else np.eye(len(self.classes))[observed.codes]
            * (1.0 if observed.multiplicity is None else observed.multiplicity[:, None])
        )
        table = table if weights is None else table * weights[:, None]
        return np.asarray(table.sum(axis=0) <= 1.0)

    @property
    def scores_log_likelihood(self) -> bool:
        """Whether the score is the mean log-likelihood."""
        return self.score is log_scores_of

    def scored(self, job: Job, grid: PenaltyGrid) -> RowsScored:
        """Return the path of a job with its leave-one-out scores.

        If a callback ends the path early, the scores at the other values of C are NaN.
        """
        model, task = job.model, job.task
        if task is not None:
            task = task.with_rows(self.X, self.rows.y, self.rows.sample_weight).begin()
        settings = Settings.of(model).for_path()
        given = self.rows.sample_weight, self.rows.offset
        data = read(settings, model, self.rows.X, self.rows.y, *given, classes=self.classes)
        scores: list[ScoresOfPath] = []

        def score(
            training: TrainingProblem, path: MaxentPath, repeat: Callable[[int], None]
        ) -> None:
            """Score the finished path while the threads that read its rows still run."""
            kind = SteppedScores if SteppedScores.suits(training) else ScoresOfPath
            given = settings, training, path, grid, self.mean_and_error, repeat
            scores.append(kind.of(*given, max(job.cv_tol, LEAST_TOLERANCE)))

        def together(training: TrainingProblem) -> MaxentPath | None:
            """Return the path of small data, which needs less time than one fit after another."""
            return fit_small_path(training, model, grid) if job.cv_tol > 0.0 else None

        path = fold_path(
            model,
            self.rows.X,
            self.rows.y,
            grid,
            self.fold_options,
            sample_weight=self.rows.sample_weight,
            offset=self.rows.offset,
            task=task,
            data=data,
            at_end=score,
            accuracy=self._accuracy(job),
            together=together,
        )
        if task is not None:
            task.end()
        total = self.rows.observed.total_weight(self.rows.score_weights(self.fold_options))
        (found,) = scores
        means, errors, n = found.means[:, None], found.std_errs[:, None], found.n_refits
        return RowsScored(path, scores=means, scored_weight=total, std_errs=errors, n_refits=n)

    def _accuracy(self, job: Job) -> ScoreAccuracy | None:
        """Return the accuracy of the fits for the in-sample score; None for fits up to `tol`.

        An error of the coefficients changes scores of leave-one-out by far more than the in-sample
        score where observations have leverages near one; see SHARE_IN_SAMPLE.
        """
        if job.cv_tol == 0.0:
            return None

        def rows() -> HeldOutRows:
            X = check_data(FittedColumns.of(job.model), self.rows.X)
            weights = self.rows.score_weights(self.fold_options)
            return HeldOutRows(X, self.rows.observed, weights, self.rows.offset, n_folds=1)

        return ScoreAccuracy(rows, SHARE_IN_SAMPLE * job.cv_tol, job.model.tol)

    def mean_and_error(
        self, log_proba: Array, units: Units, is_single: Array
    ) -> tuple[float, float]:
        """Return the mean score over observations and its standard error; NaN without any.

        Parameters
        ----------
        log_proba : ndarray of shape (n_units, n_classes)
            Log-probabilities of the classes for each unit that is left out.
        units : Units
            The observations or whole rows that are left out.
        is_single : ndarray of bool, shape (n_units,)
            Units that do not count, because the fit without them does not know their class.
        """
        per_row = self._observed_per_row
        count = units.share_of_row if per_row is None else per_row[units.row] * units.share_of_row
        known = ~is_single if is_single.any() else slice(None)
        count = count[known]
        values = self.score(log_proba[known], units.shares[known])
        total = count.sum()
        if not total > 0.0:
            return np.nan, np.nan
        mean = float(count @ values / total)
        variance = count @ np.square(values - mean) / max(total - 1.0, 1.0)
        return mean, float(np.sqrt(variance / total))

    @cached_property
    def _observed_per_row(self) -> Array | None:
        """The number of observations that each row counts as in scores; None stands for ones."""
        return self.rows.observed.per_row(self.rows.score_weights(self.fold_options))
