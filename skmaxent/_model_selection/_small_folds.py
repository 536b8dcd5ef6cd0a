"""Paths of the folds of small data, fitted together, and the path of all rows.

All folds have the columns of all rows; held-out rows have weight zero. Fits at some Cs come first,
from the strongest penalty on. The fits at other Cs start where the coefficients of their neighbours
are interpolated, and are computed many at a time.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input import _validation
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._rows_in_memory import RowsInMemory
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._solvers import (
    MOST_STRENGTH,
    TOL_WITH_RIDGE,
    SmallBatch,
    SmallRows,
    polynomial_factors,
    suits_small_batch,
)
from skmaxent._typing import Array

# A class with a smaller share of the weights in a fold may count as absent, or be lost in rounding.
LEAST_SHARE = 1e-15
# The fits that come first are at every STRIDE-th C, or at every STRIDE_ALONE-th of a single fold:
# the fits of one C are then too few to be made together.
STRIDE, STRIDE_ALONE = 8, 16
# The largest number of coefficients of a ridge whose path is fitted together. With more of them it
# is faster to fit a few Cs, and to interpolate: each linear system has all coefficients.
MOST_OF_RIDGE = 64
# The number of fits from which a start is interpolated; one less is extrapolated from. With an L1
# penalty, paths have kinks, across which a line is better than a cubic.
SMOOTH_POINTS, NONSMOOTH_POINTS = 4, 2


class SmallFolds:
    """The fits of several folds of small data, for one l1_ratio.

    Parameters
    ----------
    training : TrainingProblem
        The problem of all rows, without class weights.
    weights : ndarray of shape (n_folds, n_samples)
        The weights of the rows in the fit of each fold; those of held-out rows are zero.
    sizes : ndarray of shape (n_folds,)
        Effective sample sizes of the folds.
    """

    def __init__(self, training: TrainingProblem, weights: Array, sizes: Array) -> None:
        problem = training.problem
        self._training, self._totals = training, weights.sum(axis=1)
        penalty = problem.standardised(training.problem_terms, 1.0).whole_penalty()
        self._penalty = cast(Elementwise, penalty)
        weights = weights / self._totals[:, None]
        self._batch = SmallBatch(problem.objective, weights, sizes, [self._penalty])
        self._n_points = NONSMOOTH_POINTS if self._penalty.l1.any() else SMOOTH_POINTS

    def fit(
        self, grid: PenaltyGrid, model: MaxentClassifier, tol: float
    ) -> list[MaxentPath | None]:
        """Fit all folds at the Cs of a grid up to `tol`, with the parameters of a model.

        The result is None for each fold in which a fit did not converge.
        """
        assert not isinstance(grid.values, int)
        Cs, order = np.unique(grid.values, return_inverse=True)
        totals = self._totals
        if grid.total_weight is not None:
            totals = np.full(len(totals), grid.total_weight)
        with np.errstate(over="ignore", divide="ignore"):
            strengths = 1.0 / np.multiply.outer(totals, Cs)
        if not self._affords(strengths):
            return [None] * len(totals)
        W, n_iter = self._minima(strengths, tol, model.max_iter)
        coef, intercept = self._coefficients(W)
        return [
            MaxentPath(
                grid.values,
                coef[fold, order],
                intercept[fold, order],
                n_iter[fold, order],
                np.full(len(order), np.nan),
                self._training.classes,
                FittedColumns.of(model).all_names,
                Settings.of(model).l1_ratio,
                float(totals[fold]),
            )
            if n_iter[fold].all()
            else None
            for fold in range(len(totals))
        ]

    def _affords(self, strengths: Array) -> bool:
        """Return whether all folds can be fitted at strengths (n_folds, n_cs).

        Without a penalty, coefficients may not be unique. Beside a very strong ridge towards other
        coefficients than zero, rounding errors hide changes of the loss. Each class needs a share
        of the weight.
        """
        strongest = float(strengths.max())
        is_finite = float(strengths.min()) > 0.0 and strongest < np.inf
        ridge = np.where(self._penalty.target != 0.0, self._penalty.ridge, 0.0)
        is_weak = is_finite and strongest * float(ridge.max()) <= MOST_STRENGTH
        shares = self._training.data.likelihood.outcomes(self._batch.shares.T)
        return is_weak and bool((shares > LEAST_SHARE).all())

    def _minima(self, strengths: Array, tol: float, max_iter: int) -> tuple[Array, Array]:
        """Fit all folds at strengths (n_folds, n_cs), which descend along the second axis.

        Returns
        -------
        W : ndarray of shape (n_folds, n_cs, p)
        n_iter : ndarray of int, shape (n_folds, n_cs)
            Numbers of iterations; 0 where a fit did not converge.
        """
        n_folds, n = strengths.shape
        W = np.repeat(self._batch.null()[:, None], n, axis=1)
        n_iter = np.zeros(strengths.shape, dtype=np.int32)
        logs, known = np.log(strengths[0]), list[int]()
        for ranks in _levels(n, STRIDE if n_folds > 1 else STRIDE_ALONE):
            for rank in ranks if known else ():
                nodes = self._nodes(known, rank)
                factors = polynomial_factors(logs[nodes], logs[rank])
                W[:, rank] = np.tensordot(W[:, nodes], factors, (1, 0))
            at = np.repeat(np.arange(n_folds), len(ranks)), np.tile(ranks, n_folds)
            W[at], n_iter[at] = self._batch.minimise(at[0], strengths[at], W[at], tol, max_iter)
            known = sorted([*known, *ranks])
        return W, n_iter

    def _nodes(self, known: list[int], rank: int) -> list[int]:
        """Return the ranks of the fits from which the start at `rank` is computed."""
        half, at = self._n_points // 2, bisect.bisect(known, rank)
        if at == len(known):
            return known[1 - self._n_points :]
        return known[max(at - half, 0) : at + half]

    def _coefficients(self, W: Array) -> tuple[Array, Array]:
        """Return coefficients and intercepts of the columns of the data for W (n_folds, n_cs, p).

        The shapes are (n_folds, n_cs, n_logits, n_features) and (n_folds, n_cs, n_logits).
        """
        training, shape = self._training, W.shape[:2]
        R, width = training.problem.objective.shape
        n_fits = shape[0] * shape[1]
        # The penalty expects a row for each logit: the columns of the fits follow each other.
        side_by_side = self._penalty.columns(np.tile(np.arange(width), n_fits))
        theta = W.reshape(n_fits, R, width).swapaxes(0, 1).reshape(R, -1)
        theta = side_by_side.recentre(theta)
        theta = theta.reshape(R, n_fits, width).swapaxes(0, 1).reshape(*shape, R, width)
        if training.problem.terms.is_coupled:
            # As in other fits, intercepts sum to zero where columns have the means of the fit.
            theta[..., -1] -= np.einsum("fckj,fj->fc", theta, self._batch.means)[..., None] / R
        theta = theta.reshape(-1, width)
        coef, intercept = training.user_coefficients(*training.problem.coefficients(theta))
        return coef.reshape(*shape, R, -1), intercept.reshape(*shape, R)


def fit_small_folds(
    rows: RowsInMemory, model: MaxentClassifier, trains: list[Array], grid: PenaltyGrid
) -> list[MaxentPath | None]:
    """Fit the paths of folds together, if the data are small.

    Parameters
    ----------
    rows : RowsInMemory
    model : MaxentClassifier
        The parameters of the fits, except C.
    trains : list of ndarray of int
        The positions of the training rows of each fold.
    grid : PenaltyGrid
        The values of C.

    Returns
    -------
    list of MaxentPath or None
        None for each path that has to be fitted in another way.
    """
    settings = Settings.of(model).for_path()
    if settings.class_weight is not None and rows.observed.codes is None:
        return [None] * len(trains)  # class weights change the targets of a table
    without = replace(settings, class_weight=None)
    data = read(without, model, rows.X, rows.y, rows.sample_weight, rows.offset)
    with TrainingProblem.of(data, without) as training:
        # With standardize, the penalty of a fold depends on its own rows.
        if settings.standardize or not _suits(training, model):
            return [None] * len(trains)
        weights, sizes = zip(
            *(_weights(rows, train, settings.class_weight) for train in trains), strict=True
        )
        folds = SmallFolds(training, np.array(weights), np.array(sizes))
        return folds.fit(grid, model, min(model.tol, TOL_WITH_RIDGE))


def fit_small_path(
    training: TrainingProblem, model: MaxentClassifier, grid: PenaltyGrid
) -> MaxentPath | None:
    """Fit the path of all rows, many Cs at a time, if the data are small.

    Parameters
    ----------
    training : TrainingProblem
        The problem of all rows, with class weights.
    model : MaxentClassifier
        The parameters of the fits, except C.
    grid : PenaltyGrid
        The values of C.

    Returns
    -------
    MaxentPath or None
        None if the path has to be fitted in another way.
    """
    objective, is_smooth = training.problem.objective, training.problem_terms.is_plain_ridge
    is_large = is_smooth and math.prod(objective.shape) > MOST_OF_RIDGE
    if is_large or not _suits(training, model):
        return None
    weights = training.total_weight * objective.computed_once(SmallRows).weights
    sizes = np.array([objective.blocks.effective_size])
    return SmallFolds(training, weights[None], sizes).fit(grid, model, model.tol)[0]


def _weights(rows: RowsInMemory, train: Array, class_weight: Any) -> tuple[Array, float]:
    """Return the weights of all rows in a fit to the rows at `train`, and the effective size.

    The weights, (n_samples,), of other rows are zero.
    """
    observed, given = rows.observed, rows.sample_weight
    numbers = observed.per_row(given)
    weights = np.ones(observed.n_samples) if numbers is None else numbers.astype(float)
    if class_weight is not None:
        totals = observed.rows(train).totals(None if given is None else given[train])
        factors = _validation.check_class_weight(class_weight, observed.classes, totals)
        assert factors is not None
        weights = weights * factors[observed.codes]
    sums = np.bincount(train, minlength=len(weights)) * weights
    return sums, float(sums.sum() ** 2 / (sums @ weights))


def _suits(training: TrainingProblem, model: MaxentClassifier) -> bool:
    """Return whether the folds of a problem of all rows can be fitted by `SmallFolds`.

    The columns are those of X: neither shifted nor scaled, which warnings are about.
    """
    terms, columns = training.problem_terms, training.columns
    return (
        suits_small_batch(training.problem.objective, terms, model.solver)
        and training.dtype == np.float64
        and not training.has_absent_classes
        and (columns.kept is None or not terms.has_nonzero_minimum)
        and columns.shift is None
        and columns.exponents is None
        and not len(training.inexact)
        and model.max_iter > 0
    )


def _levels(n: int, stride: int) -> Iterator[list[int]]:
    """Yield the ranks from 0 to n - 1 in the order in which they are fitted, in groups.

    The first groups are single ranks, `stride` apart. Each group after them halves the gaps.
    """
    known = sorted({*range(0, n, stride), n - 1})
    for rank in known:
        yield [rank]
    while len(known) < n:
        middle = [(a + b) // 2 for a, b in itertools.pairwise(known) if b - a > 1]
        yield middle
        known = sorted([*known, *middle])
