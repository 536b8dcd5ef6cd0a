"""ScoresOfPath: the scores of leave-one-out along a path, most of them by interpolation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline

from skmaxent._input._settings import Settings
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._inverse_hessian import all_coefficients_vary
from skmaxent._leverage._leave_one_out import HeldOut, held_out
from skmaxent._leverage._left_out_units import Units
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
# Leverages are computed at every STRIDE-th C first, then halfway between neighbours. If the score
# and its standard error there differ from the interpolated ones by more than INTERPOLATION_ERROR
# standard errors in sum, both halves of the interval are divided again.
STRIDE, INTERPOLATION_ERROR = 16, 0.02
# Two neighbours get leverages if their numbers of free coefficients differ by m, and √m times the
# optimism per coefficient exceeds JUMP standard errors. The score would change by about that much
# if each of the m coefficients changed it by this optimism with a random sign.
JUMP = 0.1
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
    C. Its optimism is the in-sample score less the score of leave-one-out. The optimism per free
    coefficient changes slowly with C and is interpolated by a cubic spline in the rank of C. The
    ratio of the two standard errors is interpolated in the same way. The rank of a C is its
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
    ) -> ScoresOfPath:
        """Return the scores of a path of the problem `training`."""
        strengths = training.strengths(path.Cs, grid.total_weight)
        scores = cls(settings, training, path, strengths, score)
        scores._fill()
        return scores

    def __post_init__(self) -> None:
        path = self.path
        self.means, self.std_errs = np.full((2, len(path.Cs)), np.nan)
        self.n_refits = np.zeros(len(path.Cs), dtype=np.intp)
        fitted = path.n_iter.nonzero()[0]
        # The position in the path of the C at each rank.
        self._order = fitted[np.argsort(path.Cs[fitted], kind="stable")]
        self._has_leverages = np.zeros(len(fitted), dtype=bool)
        # The last two arguments of `score`, which are the same at all Cs.
        self._left_out: tuple[Units, Array] | None = None

    def _fill(self) -> None:
        """Compute all scores, with exact fits at the two Cs that may be chosen.

        A user may choose the C with the best score, or the smallest C whose score is within one
        standard error of it. Leverages are computed at both, and with a nonsmooth penalty at their
        neighbours. Exact fits then replace inaccurate approximations at both, up to the number that
        `SHARE_OF_REFITS` allows. If the new scores change the two Cs, this is repeated.
        """
        if not len(self._order):
            return
        self._interpolate()
        most = max(FEW_REFITS, int(SHARE_OF_REFITS * len(self._order)))
        exact: set[int] = set()
        while not np.isnan(self.means[self._order]).all():
            chosen = best_and_simplest(self.means[self._order], self.std_errs[self._order])
            steps = (0,) if all_coefficients_vary(self.training.problem_terms) else (-1, 0, 1)
            if self._score_all({rank + step for rank in chosen for step in steps}):
                continue
            wanted = [rank for rank in chosen if rank not in exact]
            left = most - int(self.n_refits.sum())
            if not wanted or left <= 0:
                return
            self._score(wanted[0], left)
            exact.add(wanted[0])

    def _interpolate(self) -> None:
        """Compute scores from leverages at some Cs, and interpolate the scores at the others."""
        last = len(self._order) - 1
        knots = sorted({*range(0, last, STRIDE), last})
        for rank in knots:
            self._score(rank)
        if not np.isfinite(self.means[self._order[knots]]).all():
            self._score_all(set(range(last)))  # infinite scores cannot be interpolated
        if self._has_leverages.all():
            return
        fitted = self._in_sample_scores()
        gaps = list(itertools.pairwise(knots))
        while gaps:
            means, std_errs = self._interpolated(*fitted)
            finer = []
            for low, high in gaps:
                middle = (low + high) // 2
                if middle == low:
                    continue
                self._score(middle)
                at = self._order[middle]
                error = abs(self.means[at] - means[middle]) + abs(
                    self.std_errs[at] - std_errs[middle]
                )
                if not error <= INTERPOLATION_ERROR * self.std_errs[at]:
                    finer += [(low, middle), (middle, high)]
            gaps = finer
        coefficients, per_coefficient = self._n_free, abs(self._optimism(fitted[0]))
        changes = np.sqrt(np.abs(np.diff(coefficients)))
        jumps = changes * per_coefficient[1:] > JUMP * fitted[1][1:]
        self._score_all({*np.flatnonzero(jumps).tolist(), *(1 + np.flatnonzero(jumps)).tolist()})
        means, std_errs = self._interpolated(*fitted)
        others = ~self._has_leverages
        self.means[self._order[others]] = means[others]
        self.std_errs[self._order[others]] = std_errs[others]

    def _interpolated(self, means: Array, std_errs: Array) -> tuple[Array, Array]:
        """Return interpolated scores and their standard errors, each (n_ranks,).

        `means` and `std_errs` (n_ranks,) are those of the in-sample scores.
        """
        at = self._has_leverages
        place, known = np.arange(len(self._order)), self._order[at]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(std_errs[at] > 0.0, self.std_errs[known] / std_errs[at], 1.0)
        ratio = np.maximum(CubicSpline(place[at], ratio)(place), 0.0)
        return means - self._n_free * self._optimism(means), std_errs * ratio

    @cached_property
    def _n_free(self) -> Array:
        """The number of nonzero coefficients and of intercepts, at all ranks."""
        coefs = self.path.coefs[self._order]
        return np.asarray(np.count_nonzero(coefs, axis=(1, 2)) + coefs.shape[1])

    def _optimism(self, means: Array) -> Array:
        """Return the interpolated optimism per free coefficient from in-sample scores `means`.

        Both have an entry for each rank.
        """
        at = self._has_leverages
        known = (means[at] - self.means[self._order[at]]) / self._n_free[at]
        return np.asarray(CubicSpline(np.flatnonzero(at), known)(np.arange(len(at))))

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

    def _score(self, rank: int, max_refits: int = 0) -> None:
        """Compute the score at a rank from leverages, with at most `max_refits` exact fits."""
        at = int(self._order[rank])
        training, path = self.training, self.path
        problem = training.problem.with_penalty(training.problem_terms, float(self.strengths[at]))
        fit = FittedRows(
            replace(training, problem=problem),
            self.settings,
            path.coefs[at].astype(float),
            path.intercepts[at].astype(float),
        )
        held: HeldOut = held_out(
            fit, weights="frequency", max_refits=max_refits, refuse_single=False
        )
        self._left_out = held.units, held.scores.is_single
        self.means[at], self.std_errs[at] = self.score(held.scores.log_proba, *self._left_out)
        self.n_refits[at] = held.refits.n_fits
        self.n_leverages += not self._has_leverages[rank]
        self._has_leverages[rank] = True


def _write_logits(block: Block, coef: Array, intercept: Array, R: int, out: Array) -> tuple[Array]:
    """Write the logits of several models, offsets included, for the rows of a block (a kernel).

    `coef`, `intercept` and `out` have R rows for each model, and `out` a column for each row of
    data. The result is not used; `map_reduce` needs one.
    """
    Z = block.logits(coef, intercept)
    if block.offset is not None:
        Z.reshape(-1, R, Z.shape[1])[:] += block.offset.T
    out[:, block.start : block.stop] = Z
    return (np.zeros(()),)
