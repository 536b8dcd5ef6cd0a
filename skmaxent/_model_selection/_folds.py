"""Folds of a cross-validation: a path for the training rows of each, scored on the test rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils import Bunch

from skmaxent._callbacks import Task
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input._targets import observe
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model._prediction import absent_logit, log_softmax
from skmaxent._model_selection._maxent_path import MaxentPath, path_at
from skmaxent._model_selection._path import fit_path
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._storage._arrays import zeros_of_paths
from skmaxent._storage._device_array import on_host
from skmaxent._storage._place import to_host
from skmaxent._typing import Array, DType
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

    def put(self, part: Fold, at: Array) -> None:
        """Write the exact fits of `part` and their scores to the Cs in the mask `at`."""
        assert self.errors is not None
        for name in ("coefs", "intercepts", "n_iter", "optimality_gaps"):
            getattr(self.path, name)[at] = getattr(part.path, name)
        self.scores[at], self.errors[at] = part.scores, 0.0


@dataclass(frozen=True)
class FoldOptions:
    """How the paths of all folds are fitted and scored.

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

    @property
    def dtype(self) -> DType:
        """float32 or float64, the dtype of the coefficients of the paths."""

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
            """Return the logits (n, n_logits) at the C at position i, for one gamma."""
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


def mean_log_likelihood(
    model: FittedModel,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> float:
    """Return the score "neg_log_loss" of a fitted model; y may lack some of its classes."""
    log_p = np.asarray(to_host(model.predict("log_probabilities", X, offset)), dtype=float)
    return observe(to_host(y), model.classes).mean(log_p, sample_weight)


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


def zeros_of_folds(
    shape: tuple[int, ...], n_logits: int, n_columns: int, dtype: DTypeLike
) -> Array:
    """Return zeros for the coefficients of all paths, (*shape, n_logits, n_columns).

    `shape` is (n_folds, n_l1_ratios, n_Cs). MemoryError is raised if the array is too large. Zeros
    that stay take no memory, so that the coefficients of a lasso take little.
    """
    what = "folds x l1_ratios x Cs x rows of coef_ x features and intercept"
    return zeros_of_paths((*shape, n_logits, n_columns), dtype, what)


def stacked_paths(found: list[Fold], shape: tuple[int, ...], *, with_intercept: bool) -> Array:
    """Return the coefficients of all paths as an array, with the intercepts in the last column.

    `shape` is (n_folds, n_l1_ratios, n_Cs), and `found` has the folds in its order. The shape of
    the result is (*shape, n_logits, n_features), with one more column for intercepts.
    """
    first = found[0].path.coefs
    paths = zeros_of_folds(shape, first.shape[1], first.shape[2] + with_intercept, first.dtype)
    for path, result in zip(paths.reshape(-1, *paths.shape[2:]), found, strict=True):
        coefs = result.path.coefs
        if 2 * np.count_nonzero(coefs) > coefs.size:
            path[..., : coefs.shape[2]] = coefs
        else:
            some = coefs.nonzero()
            path[some] = coefs[some]
        if with_intercept:
            path[:, :, -1] = result.path.intercepts
    return paths
