"""ScoresOfPath: the scores of leave-one-out along a path, most of them by interpolation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from skmaxent._input._settings import Settings
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._inverse_hessian import all_coefficients_vary
from skmaxent._leverage._leave_one_out import HeldOut, held_out
from skmaxent._leverage._left_out_units import HeldOutScores, Units
from skmaxent._leverage._sampled_inverse import N_GROUPS, few_vectors
from skmaxent._model import _prediction
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._selection import best_and_simplest
from skmaxent._storage._block import Block
from skmaxent._typing import Array

# The largest number of exact fits without an observation for a whole path: FEW_REFITS, or
# SHARE_OF_REFITS times the number of fits of the path if that is more.
SHARE_OF_REFITS, FEW_REFITS = 0.5, 50
# Leverages are computed at about every STRIDE-th C first, then halfway between neighbours. If the
# score and its standard error there differ from the interpolated ones by more than SMOOTH_ERROR or
# NONSMOOTH_ERROR standard errors in sum, both halves of the interval are divided again. Where the
# score is s standard errors below the best, the limit is larger by the factor 1 + FAR_ERROR s, up
# to MOST_ERROR.
STRIDE, SMOOTH_ERROR, NONSMOOTH_ERROR, FAR_ERROR, MOST_ERROR = 16, 0.1, 0.03, 0.33, 2.3
# The limit is at least this share of the mean squared change of the logits by leaving out a row.
# The error of a Newton step was mostly more than that for simulated data, iris and wine.
STEP_ERROR = 2e-3
# The least number of intervals of the first step: grids with few Cs have a smaller STRIDE.
LEAST_INTERVALS = 6
# The distance to the optimum, in standard errors, at which exact fits end, for their mean score.
REFIT_TOLERANCE = 1e-3
# The largest ratio by which a correction grows, and the least one; see `_corrected`.
MOST_RATIO, LEAST_RATIO = 2.0, 0.02
# If leverages are estimated from random vectors, MORE_VECTORS times as many are drawn at the two Cs
# that may be chosen, and where the bias of the mean score is more than MOST_BIAS standard errors.
MORE_VECTORS, MOST_BIAS = 4, 0.15
# The number of groups of random vectors with which the bias of scores is removed.
N_HALVES = 2
# The largest number of entries of the logits of the rows at several Cs, 32 megabytes.
ENTRIES_AT_A_TIME = 1 << 22

# A function that returns the mean score and its standard error. Its arguments are log-probabilities
# of the classes for each unit that is left out, (n_units, n_classes), the units, and a mask
# (n_units,) of the units that do not count, because no other unit has their class.
MeanAndError = Callable[[Array, Units, Array], tuple[float, float]]


@dataclass
class ScoresOfPath:
    """The scores of leave-one-out at each C of a path.

    The in-sample score, that of the rows of the fit with its own coefficients, is computed at every
    C. Its optimism is the in-sample score less the score of leave-one-out. The optimism changes
    slowly with C. Its logarithm is interpolated by a cubic curve in the rank of C. If it is not
    positive at all Cs with leverages, or if the penalty is not smooth, the optimism divided by the
    number of nonzero coefficients is interpolated. This number estimates the degrees of freedom of
    a lasso (Zou, Hastie & Tibshirani 2007, Ann. Stat. 35, 2173-2192), and explains most kinks of
    the optimism. The ratio of the two standard errors is interpolated too. The rank of a C is its
    position among the Cs with fits, in ascending order.

    Attributes
    ----------
    settings : Settings
    training : TrainingProblem
    path : MaxentPath
    strengths : ndarray of shape (n_cs,)
        The factor of the penalty of strength one at each C.
    score : callable
        See `MeanAndError`.
    repeat : callable
        Repeats the fit at a position among the Cs of the path, up to the `tol` of the model.
    means, std_errs : ndarray of shape (n_cs,)
        The mean scores and their standard errors; NaN at each C without a fit.
    n_refits : ndarray of int, shape (n_cs,)
        The number of exact fits that replaced approximations.
    n_leverages : int
        The number of Cs at which leverages were computed.
    """

    settings: Settings
    training: TrainingProblem
    path: MaxentPath
    strengths: Array
    score: MeanAndError
    repeat: Callable[[int], None]
    means: Array = field(init=False)
    std_errs: Array = field(init=False)
    n_refits: Array = field(init=False)
    n_leverages: int = field(init=False, default=0)

    @classmethod
    def of(
        cls,
        settings: Settings,
        training: TrainingProblem,
        path: MaxentPath,
        grid: PenaltyGrid,
        score: MeanAndError,
        repeat: Callable[[int], None],
    ) -> ScoresOfPath:
        """Return the scores of a path of the problem `training`."""
        strengths = training.strengths(path.Cs, grid.total_weight)
        scores = cls(settings, training, path, strengths, score, repeat)
        scores._fill()
        return scores

    def __post_init__(self) -> None:
        path = self.path
        self.means, self.std_errs = np.full((2, len(path.Cs)), np.nan)
        self.n_refits = np.zeros(len(path.Cs), dtype=np.intp)
        fitted = path.n_iter.nonzero()[0]
        # The position in the path of the C at each rank.
        self._order = fitted[np.argsort(path.Cs[fitted], kind="stable")]
        n = len(fitted)
        self._has_leverages = np.zeros(n, dtype=bool)
        # The means of the scores and their standard errors without exact fits, and the mean squared
        # changes of logits by leaving out a row, at all ranks.
        self._steps, self._sizes = np.full((2, n), np.nan), np.zeros(n)
        # What exact fits subtract from the means and from the standard errors, by ranks.
        self._corrections: dict[int, Array] = {}
        # The last two arguments of `score`, which are the same at all Cs.
        self._left_out: tuple[Units, Array] | None = None

    def _fill(self) -> None:
        """Compute all scores, with exact fits at the two Cs that may be chosen.

        A user may choose the C with the best score, or the smallest C whose score is within one
        standard error of it. Leverages are computed at both. The fit to all rows is repeated up to
        the `tol` of the model, and exact fits replace inaccurate approximations, up to the number
        that `SHARE_OF_REFITS` allows. If the new scores change the two Cs, this is repeated.
        """
        if not len(self._order):
            return
        self._interpolate()
        most = max(FEW_REFITS, int(SHARE_OF_REFITS * len(self._order)))
        while True:
            means, std_errs = self._corrected()
            self.means[self._order], self.std_errs[self._order] = means, std_errs
            if np.isnan(means).all():
                return
            chosen = best_and_simplest(means, std_errs)
            if self._score_all(set(chosen)):
                continue
            wanted = [rank for rank in chosen if rank not in self._corrections]
            if not wanted:
                return
            (rank, *_) = wanted
            self.repeat(int(self._order[rank]))
            exact, _ = self._scored(rank, max(most - int(self.n_refits.sum()), 0))
            with np.errstate(invalid="ignore"):
                self._corrections[rank] = self._steps[:, rank] - exact

    def _corrected(self) -> tuple[Array, Array]:
        """Return the scores and their standard errors at all ranks, corrected by exact fits.

        The error of a Newton step is about proportional to the squared change of the logits. At a
        rank with exact fits, the correction is what they changed. At another rank, the corrections
        of the two ranks with exact fits around it are interpolated linearly, each times the ratio
        of the mean squared changes. More than `MOST_RATIO` of it is not used, and a ratio below
        `LEAST_RATIO` counts as zero.
        """
        found, place = self._steps.copy(), np.arange(len(self._order))
        ranks = sorted(self._corrections)
        for at, share in zip(ranks, np.eye(len(ranks)), strict=True):
            share = np.interp(place, ranks, share)
            some, known = share > 0.0, self._sizes[at]
            ratio = np.minimum(self._sizes[some] / known, MOST_RATIO) if known > 0.0 else 1.0
            ratio = np.where(ratio < LEAST_RATIO, 0.0, ratio)
            with np.errstate(invalid="ignore"):
                found[:, some] -= share[some] * ratio * self._corrections[at][:, None]
        return found[0], np.maximum(found[1], 0.0)

    def _interpolate(self) -> None:
        """Compute scores from leverages at some Cs, and interpolate the scores at the others."""
        last = len(self._order) - 1
        stride = max(1, min(STRIDE, last // LEAST_INTERVALS))
        # The last interval is up to half as long or as short again as the others.
        knots = sorted({*range(0, last - stride // 2, stride), last})
        for rank in knots:
            self._score(rank)
        if not np.isfinite(self._steps[0, knots]).all():
            self._score_all(set(range(last)))  # infinite scores cannot be interpolated
        if self._has_leverages.all():
            return
        fitted = self._in_sample_scores()
        gaps = list(itertools.pairwise(knots))
        while gaps:
            interpolated = self._interpolated(*fitted)
            finer = []
            for low, high in gaps:
                middle = (low + high) // 2
                if middle == low:
                    continue
                self._score(middle)
                mean, std_err = self._steps[:, middle]
                error = np.abs(self._steps[:, middle] - interpolated[:, middle]).sum()
                below = (np.nanmax(self._steps[0]) - mean) / std_err if std_err > 0.0 else 0.0
                limit = self._allowed_error * min(1.0 + FAR_ERROR * below, MOST_ERROR)
                if not error <= max(limit * std_err, STEP_ERROR * self._sizes[middle]):
                    finer += [(low, middle), (middle, high)]
            gaps = finer
        others, known = np.flatnonzero(~self._has_leverages), np.flatnonzero(self._has_leverages)
        self._steps[:, others] = self._interpolated(*fitted)[:, others]
        self._sizes[others] = np.interp(others, known, self._sizes[known])

    def _interpolated(self, means: Array, std_errs: Array) -> Array:
        """Return interpolated scores and their standard errors, (2, n_ranks).

        `means` and `std_errs` (n_ranks,) are those of the in-sample scores.
        """
        at, place = self._has_leverages, np.arange(len(self._order))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(std_errs[at] > 0.0, self._steps[1, at] / std_errs[at], 1.0)
        ratio = np.maximum(self._curve(place[at], ratio)(place), 0.0)
        optimism = means[at] - self._steps[0, at]
        if self._is_smooth and (optimism > 0.0).all():
            optimism = np.exp(self._curve(place[at], np.log(optimism))(place))
        else:
            size = self._n_coefficients
            optimism = size * self._curve(place[at], optimism / size[at])(place)
        return np.stack([means - optimism, std_errs * ratio])

    @property
    def _n_coefficients(self) -> Array:
        """The number of nonzero coefficients at all ranks, (n_ranks,), intercepts included."""
        coefs = self.path.coefs
        n_intercepts = self.training.problem.objective.likelihood.n_free
        return n_intercepts + np.array([np.count_nonzero(coefs[i]) for i in self._order])

    @property
    def _is_smooth(self) -> bool:
        """Whether the scores are smooth in C. With a nonsmooth penalty they have kinks."""
        return all_coefficients_vary(self.training.problem_terms)

    @property
    def _curve(self) -> Any:
        """The class of the interpolating curves. A cubic spline oscillates near kinks."""
        return CubicSpline if self._is_smooth else PchipInterpolator

    @property
    def _allowed_error(self) -> float:
        """The largest error of interpolation halfway between neighbours, in standard errors.

        The value halfway is then known. With half the distance between the values, the error of a
        cubic spline is about 1/16.
        """
        return SMOOTH_ERROR if self._is_smooth else NONSMOOTH_ERROR

    def _score_all(self, ranks: set[int]) -> bool:
        """Compute the scores at those of `ranks` that exist and have no leverages yet.

        The result tells whether there was such a rank.
        """
        n = len(self._order)
        known = np.flatnonzero(self._has_leverages).tolist()
        missing = sorted(ranks.intersection(range(n)).difference(known))
        for rank in missing:
            self._score(rank)
        return bool(missing)

    def _in_sample_scores(self) -> tuple[Array, Array]:
        """Return the in-sample scores and their standard errors at all ranks."""
        assert self._left_out is not None
        units, is_single = self._left_out
        blocks, path, to_problem = self.training.blocks, self.path, self.training.columns.to_problem
        n, R = blocks.n_samples, blocks.n_logits
        step = max(1, ENTRIES_AT_A_TIME // (n * R))
        found = []
        for start in range(0, len(self._order), step):
            some = self._order[start : start + step]
            pairs = [to_problem(path.coefs[at], path.intercepts[at]) for at in some]
            coef = np.concatenate([pair[0] for pair in pairs]).astype(float)
            intercept = np.concatenate([pair[1] for pair in pairs]).astype(float)
            logits = np.empty((len(coef), n))
            blocks.map_reduce(_write_logits, coef, intercept, R, logits)
            for Z in logits.reshape(-1, R, n):
                log_proba = _prediction.log_softmax(Z.T.copy(), 1)
                found.append(self.score(log_proba[units.row], units, is_single))
        means, std_errs = np.array(found).T
        return means, std_errs

    @property
    def _n_vectors(self) -> int:
        """The number of random vectors at each C, if leverages are estimated from them.

        The vectors have the same noise at all Cs, and therefore similar errors.
        """
        return few_vectors(self.training.problem.objective.likelihood.n_free)

    def _score(self, rank: int) -> None:
        """Compute the score at a rank from leverages, without exact fits."""
        self._steps[:, rank], self._sizes[rank] = self._scored(rank, 0)
        self.n_leverages += not self._has_leverages[rank]
        self._has_leverages[rank] = True

    def _scored(self, rank: int, max_refits: int) -> tuple[Array, float]:
        """Compute the score at a rank from leverages, with at most `max_refits` exact fits.

        Returns the mean and its standard error as an array, and the mean squared change of logits.
        """
        at = int(self._order[rank])
        training, path = self.training, self.path
        problem = training.problem.with_penalty(training.problem_terms, float(self.strengths[at]))
        fit = FittedRows(
            replace(training, problem=problem),
            self.settings,
            path.coefs[at].astype(float),
            path.intercepts[at].astype(float),
        )
        n_vectors, n_groups = self._n_vectors, N_HALVES
        if max_refits:
            n_vectors, n_groups = MORE_VECTORS * n_vectors, N_GROUPS
        while True:
            held: HeldOut = held_out(
                fit,
                weights="frequency",
                max_refits=max_refits,
                refuse_single=False,
                refit_tolerance=REFIT_TOLERANCE,
                n_vectors=n_vectors,
            )
            units, is_single = self._left_out = held.units, held.scores.is_single
            found, _ = held.jackknife(fit, "frequency", self._mean_and_error, n_groups)
            mean, std_err = self._mean_and_error(held.scores)
            is_biased = abs(found[0] - mean) > MOST_BIAS * std_err
            if not is_biased or n_vectors > self._n_vectors:
                break
            n_vectors *= MORE_VECTORS
        self.n_refits[at] = held.refits.n_fits
        count = np.where(is_single, 0.0, units.count)
        size = count @ np.square(units.change) / max(float(count.sum()), 1e-300)
        return found, float(size)

    def _mean_and_error(self, scores: HeldOutScores) -> tuple[float, float]:
        """Return the mean of held-out scores, and its standard error."""
        assert self._left_out is not None
        return self.score(scores.log_proba, *self._left_out)


def _write_logits(block: Block, coef: Array, intercept: Array, R: int, out: Array) -> tuple[Array]:
    """Write the logits of several models, offsets included, for the rows of a block (a kernel).

    `coef`, `intercept` and `out` have R rows for each model, and `out` a column for each row of
    data. The result is not used; `map_reduce` needs one.
    """
    Z = block.logits_without_offset(coef, intercept)
    if block.offset is not None:
        Z.reshape(-1, R, Z.shape[1])[:] += block.offset.T
    out[:, block.start : block.stop] = Z
    return (np.zeros(()),)
