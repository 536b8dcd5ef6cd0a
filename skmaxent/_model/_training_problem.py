"""TrainingProblem: training data, the solvers' problem made of them, and the way back to the user.

R is the number of logits of the fit, n_kept the number of columns of the problem, and S the sum of
the sample weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmaxent._existence import MOST_COLUMNS, Aliased, aliased_columns
from skmaxent._input._penalty_terms import refuse_beyond_range
from skmaxent._input._settings import Settings
from skmaxent._input._training_data import LARGEST_SCALE, SMALLEST_SCALE, TrainingData
from skmaxent._model._prediction import absent_logit
from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._moments import Moments
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import STRONGEST, Ridge
from skmaxent._objective._problem_columns import ColumnMap, prepare_columns
from skmaxent._objective._terms import LARGEST_TERM, PenaltyTerms
from skmaxent._solvers import Problem, Solution
from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._storage import Storage
from skmaxent._storage._threads import Workers, effective_threads
from skmaxent._typing import Array, DType, KernelResult
from skmaxent._warnings import warn_user

# The error of a logit in float32 or float64, in units of eps times the sum of its terms.
ROUNDED_LOGIT = 8.0
# Shares of classes below this are summed again: one minus a share near one has few correct digits.
SMALL_SHARE = 1e-6
# The weakest penalty of a grid relative to its strongest, if there are more rows than features and
# otherwise, as in glmnet.
MANY_ROWS, FEW_ROWS = 1e-4, 1e-2
# The least first strength of a grid: C, its reciprocal, could overflow for a weaker penalty.
LEAST_STRENGTH = 1e-280
# The ends of a grid of C if all coefficients are zero at every C, as in LogisticRegressionCV.
DEFAULT_GRID = 1e-4, 1e4


@dataclass(frozen=True)
class TrainingProblem:
    """The problem that training data pose, and conversions of its coefficients to the user's.

    Attributes
    ----------
    data : TrainingData
    problem : Problem
        The problem for the columns that the solvers work on: without constant columns, and with
        columns shifted and scaled where their squares would be inexact.
    terms : PenaltyTerms
        The penalty of strength one and the bounds, for the columns of X and the active classes,
        those with rows of positive weight.
    problem_terms : PenaltyTerms
        The penalty of strength one and the bounds, for the columns of the problem.
    moments : Moments
        The moments of the columns of the problem.
    columns : ColumnMap
        Converts coefficients between the columns of the problem and those of X.
    inexact : ndarray of int
        Positions of columns of X whose values differ by few units in the last place.
    lasso : ndarray of shape (1 or R, n_kept), or None
        With `standardize`, the L1 penalty of strength one that coefficients of the columns of the
        problem would have if L1 had the whole penalty.
    strength : float
        The factor of the penalty of strength one; 1 for the settings of a path.
    """

    data: TrainingData
    problem: Problem
    terms: PenaltyTerms
    problem_terms: PenaltyTerms
    moments: Moments
    columns: ColumnMap
    inexact: Array
    lasso: Array | None = None
    strength: float = 1.0

    @classmethod
    @contextmanager
    def of(
        cls, data: TrainingData, settings: Settings, *, keep_columns: bool = False
    ) -> Iterator[TrainingProblem]:
        """Return a context manager that yields the problem.

        In its `with` block, the threads of the fit exist, and floating-point overflow is ignored.
        The penalty of strength one is multiplied by alpha, or by 1/(C S). If the settings are those
        of a path, the problem has no penalty, and `strengths` returns the factors for several C.
        With `standardize` the penalty of strength one is that of the coefficients of standardised
        columns.

        Parameters
        ----------
        data : TrainingData
        settings : Settings
        keep_columns : bool, default=False
            Whether the problem has all columns, none of them shifted.

        Raises
        ------
        ValueError
            If X is not finite.
        """
        terms = settings.terms(data)
        if data.has_absent_classes:
            terms = terms.rows(data.active)
        fit_intercept = settings.fit_intercept
        with (
            Workers(effective_threads(settings.n_jobs)) as workers,
            np.errstate(over="ignore", under="ignore", invalid="ignore"),
        ):
            blocks, moments, columns, inexact = prepare_columns(
                data.storage(workers),
                data.likelihood,
                fit_intercept=fit_intercept,
                keep_columns=keep_columns,
            )
            refuse_beyond_range(terms, blocks.dtype)
            lasso, problem_terms = None, columns.terms(terms)
            if settings.standardize:
                deviations, of_data = columns.deviations(moments)
                lasso = columns.terms(replace(terms, l1=terms.l1 + terms.ridge), deviations).l1
                problem_terms = columns.terms(terms, deviations)
                terms = terms.for_standardised(of_data)
            total_weight = blocks.weight_sums.total
            strength = _strength_of(settings, problem_terms, data.scale, total_weight)
            problem = Problem.of(
                blocks,
                data.likelihood,
                None if settings.is_path else problem_terms,
                moments,
                strength=strength,
                fit_intercept=fit_intercept,
            )
            yield cls(
                data, problem, terms, problem_terms, moments, columns, inexact, lasso, strength
            )

    @property
    def blocks(self) -> Storage:
        """The storage of the rows, with the columns of the problem."""
        return self.problem.objective.blocks

    @property
    def classes(self) -> Array:
        """The labels of all classes, shape (n_classes,)."""
        return self.data.classes

    @property
    def has_absent_classes(self) -> bool:
        """Whether some class has no row of positive weight."""
        return self.data.has_absent_classes

    @property
    def dtype(self) -> DType:
        """The dtype of X, float32 or float64, in which coefficients are returned."""
        return self.blocks.dtype

    @property
    def class_shares(self) -> Array:
        """The shares of the active classes in the weighted targets, shape (n_active,)."""
        shares = self.data.likelihood.outcomes(self.moments.shares)
        if shares.min() > SMALL_SHARE:
            return shares
        (totals,) = self.blocks.map_reduce(_outcome_totals, self.data.likelihood)
        return np.asarray(totals / totals.sum())

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of `coef_`: (1, n_features) for two classes, else (n_classes, n_features)."""
        K = len(self.classes)
        has_one_logit = self.data.likelihood.n_logits == 1 and not self.has_absent_classes
        return 1 if has_one_logit else K, self.columns.n_features

    @property
    def total_weight(self) -> float:
        """S, the sum of the weights of the rows as the user gave them."""
        return self.data.scale * self.problem.objective.total_weight

    def grid(self, ends: tuple[float, float], n_points: int) -> Array:
        """Return a grid of `n_points` values of C in equal ratios, in increasing order.

        The grid starts at the C of the strongest penalty. It ends at the C of a penalty that is
        1e-4 times the typical one, or 1e-2 times if there are no more rows than features, as in
        glmnet (Friedman, Hastie & Tibshirani 2010, J. Stat. Softw. 33).

        Parameters
        ----------
        ends : (largest, typical), two floats
            Strengths of the penalty. At the largest, all penalised coefficients are zero.
        n_points : int

        Raises
        ------
        ValueError
            If no feature is penalised, or if the largest strength is next to zero.
        """
        if not (self.terms.l1 + self.terms.ridge).any():
            raise ValueError(
                "Cs: no feature is penalised, because each penalty_factor is 0 or infinite. No "
                "grid of C can be computed; give the values in Cs."
            )
        blocks = self.blocks
        share = MANY_ROWS if blocks.n_samples > self.shape[1] else FEW_ROWS
        largest, typical = ends
        if not largest > 0.0:
            return np.asarray(np.geomspace(*DEFAULT_GRID, n_points))
        if largest < LEAST_STRENGTH:
            raise ValueError(
                "Cs: some columns of X are so small that the values of C at which their "
                "coefficients become nonzero overflow; rescale the columns of X, or give the "
                "values in Cs."
            )
        first = 1.0 / (self.total_weight * largest)
        return first * np.geomspace(1.0, largest / (share * max(typical, 1e-300)), n_points)

    def strengths(self, C: Array, total_weight: float | None = None) -> Array:
        """Return 1/(C S) for each C, the factor of a penalty of strength one, shape (n_Cs,).

        S is `total_weight`, or the sum of the weights of the problem's rows if that is None.
        """
        scale, total = self.data.scale, self.problem.objective.total_weight
        if total_weight is not None:
            scale, total = 1.0, total_weight
        return _strengths(C, self.problem_terms, scale, total)

    def loss_at(self, coef: Array, intercept: Array) -> Point:
        """Return the loss without penalty in float64 at the coefficients of the columns of X.

        `coef` has the shape (R, n_features), `intercept` (R,). Inference inverts the Fisher
        information at this point. With logits in float32, rounding would leave nothing of the
        information if a column has outliers.
        """
        coef, intercept = self.columns.to_problem(coef, intercept)
        objective = self.problem.objective.in_float64()
        objective = objective.with_penalty(Ridge(np.zeros(objective.blocks.n_features)))
        return objective.at(objective.from_coefficients(coef, intercept))

    def theta(self, coef: Array, intercept: Array) -> Array:
        """Return θ (R, n_kept + 1) of the problem for the `coef` and `intercept` of the user.

        `coef` has the shape (n_classes, n_features), or (1, n_features) for two classes.
        """
        if self.has_absent_classes:
            coef, intercept = coef[self.data.active], intercept[self.data.active]
        coef, intercept = self.columns.to_problem(coef.astype(float), intercept.astype(float))
        return self.problem.objective.from_coefficients(coef, intercept)

    def aliased(self) -> Array:
        """Return positions of the columns of X that earlier columns and the intercept determine.

        With a penalty these are columns without one; see `aliased_columns` for the limits.
        """
        return self._aliased()[0]

    def _aliased(self) -> tuple[Array, Aliased]:
        """Return the positions of aliased columns in X, and the aliased columns of the problem."""
        terms, columns = self.problem.user_terms, self.columns
        is_free = ~(terms.ridge + terms.l1).any(axis=0)
        found = aliased_columns(self.problem.objective, np.flatnonzero(is_free))
        if columns.kept is None:
            return found.columns, found
        if columns.n_features > MOST_COLUMNS:
            return found.columns[:0], found
        left_out = np.setdiff1d(np.arange(columns.n_features), columns.kept)
        return np.union1d(left_out, columns.kept[found.columns]), found

    def without_aliased(self, coef: Array, intercept: Array) -> tuple[Array, Array, Array, float]:
        """Return coefficients without aliased columns that give the logits of the given ones.

        Parameters
        ----------
        coef : ndarray of shape (n_logits, n_features)
        intercept : ndarray of shape (n_logits,)

        Returns
        -------
        kept : ndarray of int, shape (n_kept,)
            The positions of the columns of X that are not aliased.
        coef : ndarray of shape (n_logits, n_kept)
        intercept : ndarray of shape (n_logits,)
        change : float
            The largest change of a logit in rows of positive weight, less its rounding error.
        """
        objective, columns = self.problem.objective, self.columns
        aliased, found = self._aliased()
        theta = objective.from_coefficients(*columns.to_problem(coef, intercept))
        moved = found.with_zeros(theta)
        (change,) = objective.blocks.map_reduce(
            _largest_logit, moved - theta, objective.standardisation, combine=np.maximum
        )
        size = np.abs(theta[:, :-1]) @ (objective.column_size / objective.scale)
        rounding = ROUNDED_LOGIT * float(np.finfo(self.dtype).eps) * float(size.max())
        coef, intercept = columns.to_data(*objective.coefficients(moved), self.terms, np.float64)
        kept = np.setdiff1d(np.arange(columns.n_features), aliased)
        return kept, coef[:, kept], intercept, max(float(change) - rounding, 0.0)

    def coefficients(self, solution: Solution) -> tuple[Array, Array]:
        """Return the `coef_` and `intercept_` of a solution, for all columns and classes."""
        return self.user_coefficients(solution.coef, solution.intercept)

    def rounded(self, solution: Solution, excess: float) -> Solution:
        """Return the solution after its coefficients were rounded, with the gap enlarged.

        `excess` is the result of `rounding_excess`. If rounding makes logits inexact, in float32 or
        float64, nothing is known of the objective, and the gap is 1.
        """
        coef, _ = self.coefficients(solution)
        is_inexact = len(self.columns.columns_with_inexact_logits(coef)) > 0
        return solution.rounded(1.0 if is_inexact else excess)

    def columns_with_inexact_logits(self, coef: Array) -> Array:
        """Return positions of columns of X whose rounded coefficients make logits inexact.

        `coef` is the `coef_` of the user. Columns of `inexact`, whose values are inexact
        themselves, are left out. See `ColumnMap.columns_with_inexact_logits`.
        """
        found = self.columns.columns_with_inexact_logits(coef)
        return np.setdiff1d(found, self.inexact) if len(found) else found

    def user_coefficients(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Return the user's `coef_` and `intercept_` for coefficients of the problem.

        Parameters
        ----------
        coef : ndarray of shape (n_logits, n_kept)
        intercept : ndarray of shape (n_logits,)
        """
        coef, intercept = self.columns.to_data(coef, intercept, self.terms, self.dtype)
        if self.has_absent_classes:
            of_active = coef, intercept
            coef = np.zeros(self.shape, self.dtype)
            intercept = np.full(len(coef), absent_logit(self.dtype), self.dtype)
            coef[self.data.active], intercept[self.data.active] = of_active
        return coef, intercept


def _strength_of(
    settings: Settings, unit: PenaltyTerms, scale: float, total_weight: float
) -> float:
    """Return alpha, or 1/(C S) with S = scale * total_weight; 1 for the settings of a path.

    `unit` is the penalty of strength one. Warns if its product with the result exceeds `STRONGEST`.
    Raises ValueError if `scale` is at a limit of its range, because the largest weight is beyond.
    """
    if settings.alpha is None:
        if np.inf != settings.C and not SMALLEST_SCALE < scale < LARGEST_SCALE:
            raise ValueError(
                f"sample_weight, times counts and class_weight, is {scale:g} or beyond; expected a "
                f"largest weight between {SMALLEST_SCALE:g} and {LARGEST_SCALE:g}, because C times "
                "the sum of the weights would overflow or vanish: divide sample_weight by its "
                "mean, and multiply C by this mean."
            )
        if settings.C is None:
            return 1.0
        return float(_strengths(np.array([settings.C]), unit, scale, total_weight)[0])
    if settings.alpha > STRONGEST and ((unit.l1 + unit.ridge) * settings.alpha > STRONGEST).any():
        warn_user(
            f"alpha={settings.alpha:g} is above {STRONGEST:g}, the largest alpha that can be "
            f"fitted: the fit has alpha={STRONGEST:g}.",
            ConvergenceWarning,
        )
    return settings.alpha


def _strengths(C: Array, unit: PenaltyTerms, scale: float, total_weight: float) -> Array:
    """Return 1/(C S) for each C, with S = scale * total_weight, shape (n_Cs,).

    `unit` is the penalty of strength one. Warns if its product with a result exceeds `STRONGEST`.
    """
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.minimum(1.0 / (C * scale), 1.0 / LEAST_STRENGTH)
    strengths = np.minimum(inverse / total_weight, LARGEST_TERM)
    least = float(np.min(C))
    largest = (unit.l1 + unit.ridge) * float(strengths.max())
    if least < 1.0 / STRONGEST and (largest > STRONGEST).any():
        warn_user(
            f"C={least:g} is below {1.0 / STRONGEST:g}, the smallest C that can be fitted: "
            f"the fit has C={1.0 / STRONGEST:g}.",
            ConvergenceWarning,
        )
    return strengths


def _largest_logit(block: Block, theta: Array, columns: Standardisation) -> KernelResult:
    """Return the largest absolute logit in rows of positive weight, for θ (R, d + 1) (a kernel)."""
    return (block.largest(np.abs(theta @ columns.rows(block)).max(axis=0)),)


def _outcome_totals(block: Block, likelihood: Likelihood) -> tuple[Array]:
    """Return a block's weighted sum of the targets of each class, (n_active,) (a kernel)."""
    targets = likelihood.outcomes(likelihood.dense_targets(block.targets))
    return (targets @ block.weights_or_ones().astype(np.float64),)
