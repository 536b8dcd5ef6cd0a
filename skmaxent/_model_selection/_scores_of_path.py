"""ScoresOfPath: the scores of leave-one-out along a path, most of them by interpolation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._input._settings import Settings
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._inverse_hessian import all_coefficients_vary
from skmaxent._leverage._leave_one_out import HeldOut, by_one_step, make_exact_fits
from skmaxent._leverage._left_out_units import HeldOutScores, Units
from skmaxent._leverage._refits import MOST_COEFFICIENTS
from skmaxent._leverage._sampled_inverse import N_GROUPS, few_vectors
from skmaxent._leverage._small_refits import MOST_SMALL, SmallRefits
from skmaxent._leverage._small_steps import small_units
from skmaxent._leverage._step_errors import StepErrors
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._in_sample_scores import MeanAndError, in_sample_scores
from skmaxent._model_selection._leverage_factors import LeverageFactors
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._optimism_curves import interpolated_scores, n_coefficients
from skmaxent._model_selection._penalty_grid import PenaltyGrid
from skmaxent._model_selection._selection import best_and_simplest
from skmaxent._model_selection._vector_corrections import VectorCorrections
from skmaxent._typing import Array

# The largest number of exact fits without an observation at each C, and the ratio by which it is
# larger with a smooth penalty. Cs larger than one whose score is more than FAR_SMALL or FAR
# standard errors below the best are far: scores there are computed at few Cs, with exact fits only
# of small data, which cost little. Without them, nearly singular rows make scores far too low.
MOST_REFITS, SMOOTH_REFITS, FAR_SMALL, FAR = 50, 1.3, 2.0, 0.25
# Leverages are computed at about every STRIDE-th C first, then halfway between neighbours. If the
# score and its standard error there differ from the interpolated ones by more than SMOOTH_ERROR or
# NONSMOOTH_ERROR standard errors in sum, both halves of the interval are divided again. Where the
# score is s standard errors below the best, the limit is larger by s times the second number, up to
# the third. Standard errors smaller than that of the best score do not count. A half is divided too
# if the error is more than MOST_AT_END times the limit at its other end, whose score may be better.
STRIDE = 16
SMOOTH_ERROR, NONSMOOTH_ERROR, MOST_AT_END = (0.1, 0.033, 0.23), (0.03, 0.1, 0.5), 2.0
# Exact fits depend on the best score that is known. The first Cs are therefore those above at most
# this share of all, in ascending order; lower ones follow in descending order.
FIRST = 0.55
# A smooth penalty needs no leverages between two Cs whose scores are LOW errors below the best, and
# at smaller Cs only those of one more. If there are very many coefficients, LOW_SCALED errors are
# enough below the best C if the scores are within one standard error of that of the least C.
LOW, LOW_SCALED = 25.0, 4.0
# Early ranks with leverages of a nonsmooth penalty, where first coefficients become nonzero.
EARLY = 2, 4
# With a nonsmooth penalty, intervals beside the best C are divided if they have more steps.
WIDE_SMALL, WIDE = 4, 8
# The largest number of Cs at which exact fits of small data are made together. Those at larger Cs
# follow, and start from what they found.
MOST_TOGETHER = 4
# The least number of intervals of the first step: grids with few Cs have a smaller STRIDE.
LEAST_INTERVALS = 6
# The distance to the optimum at which exact fits end, as a share of the tolerance of scores.
REFIT_SHARE = 0.4
# If leverages are estimated from random vectors, MORE_VECTORS times as many are drawn at the first
# N_CORRECTED Cs that may be chosen, and where the bias of the mean score is more than MOST_BIAS
# standard errors.
MORE_VECTORS, N_CORRECTED, MOST_BIAS = 4, 2, 0.15
# The number of groups of random vectors with which the bias of scores is removed.
N_HALVES = 2


@dataclass
class ScoresOfPath:
    """The scores of leave-one-out at each C of a path.

    The in-sample score, that of the rows of the fit with its own coefficients, is computed at every
    C. Its optimism is the in-sample score less the score of leave-one-out. The optimism changes
    slowly with C, and is interpolated as `interpolated_scores` describes. The rank of a C is its
    position among the Cs with fits, in ascending order.

    Attributes
    ----------
    settings, training, path : object
    strengths : ndarray of shape (n_cs,)
        The factor of the penalty of strength one at each C.
    score : callable
        See `MeanAndError`.
    repeat : callable
        Repeats the fit at a position among the Cs of the path, up to the `tol` of the model.
    tolerance : float
        Errors of scores by one Newton step, in standard errors, above which exact fits are made.
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
    tolerance: float
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
        tolerance: float,
    ) -> Self:
        """Return the scores of a path of the problem `training`."""
        given = settings, training, path, training.strengths(path.Cs, grid.total_weight)
        scores = cls(*given, score, repeat, tolerance)
        scores._fill()
        return scores

    def __post_init__(self) -> None:
        path = self.path
        self.means, self.std_errs = np.full((2, len(path.Cs)), np.nan)
        self.n_refits = np.zeros(len(path.Cs), dtype=np.intp)
        # Interpolated coefficients have no iterations, and no certificate.
        fitted = np.flatnonzero((path.n_iter > 0) | np.isnan(path.optimality_gaps))
        # The position in the path of the C at each rank.
        self._order = fitted[np.argsort(path.Cs[fitted], kind="stable")]
        n = len(fitted)
        self._has_leverages = np.zeros(n, dtype=bool)
        # The ranks with leverages between which scores are interpolated.
        self._is_node = np.zeros(n, dtype=bool)
        # The means of the scores and their standard errors at all ranks, those of the in-sample
        # scores, and the curve of `_interpolated` that is used between leverages.
        self._steps, self._fitted = np.full((2, 2, n), np.nan)
        self._curves = np.zeros(n, dtype=np.intp)
        # The best mean log score, and the estimated errors of mean log scores; infinite at Cs that
        # are far, which are not divided.
        self._best, self._errors = -np.inf, np.full(n, np.inf)
        # Whether leverages are estimated from random vectors; at which ranks there are more; the
        # mean squared changes of the logits; and what more vectors change at some ranks.
        self._is_sampled, self._has_more, self._sizes = False, np.zeros(n, bool), np.zeros(n)
        self._is_scaled = False
        self._corrections = VectorCorrections()
        self._factors = LeverageFactors(self.strengths[self._order])
        self._of_fits: dict[int, StepErrors] = {}  # for each rank with leverages
        self._left_out: tuple[Units, Array] | None = None

    def _fill(self) -> None:
        """Compute all scores, and those at the two Cs that may be chosen from more accurate fits.

        A user may choose the C with the best score, or the smallest C whose score is within one
        standard error of it. `_finish` computes both scores again, and wide intervals beside the
        best C are divided. If the new scores change the two Cs, this is repeated.
        """
        if not len(self._order):
            return
        self._interpolate()
        final = set[int]()
        while True:
            means, std_errs = self._corrections.applied(self._steps, self._has_more, self._sizes)
            self.means[self._order], self.std_errs[self._order] = means, std_errs
            if np.isnan(means).all():
                return
            wanted = sorted(set(best_and_simplest(means, std_errs)) - final)
            if wanted:
                some = wanted if self._is_small else wanted[:1]
                self._finish(some)
                final.update(some)
            elif not self._score_all(self._middles_near(int(np.nanargmax(means)))):
                return
            self._fill_between()

    def _finish(self, ranks: list[int]) -> None:
        """Repeat the fits at ranks up to the `tol` of the model.

        Scores that are not interpolated accurately are then computed from leverages. If these are
        estimated from random vectors, the first ranks get more of them.
        """
        for rank in ranks:
            self.repeat(int(self._order[rank]))
        self._score_all(set() if self._is_accurate_between else set(ranks))
        some = ranks[: N_CORRECTED - len(self._corrections)]
        for rank in some if self._is_sampled and not self._is_scaled else ():
            self._score_all({rank})
            held = self._held_out([rank], MORE_VECTORS * self._n_vectors, {rank: False})[rank]
            found = self._found(held, N_GROUPS)
            self._corrections.put(rank, self._steps[:, rank], found)
            self._steps[:, rank], self._has_more[rank] = found, True

    def _middles_near(self, best: int) -> set[int]:
        """Return the ranks in the middle of the intervals beside the best rank, if they are wide.

        Leverages are computed at the ends of intervals. If they are estimated from random vectors,
        more of them would not show which C is the best.
        """
        if self._is_accurate_between or self._is_sampled:
            return set()
        known = np.flatnonzero(self._has_leverages & np.isfinite(self._errors))
        at = int(np.searchsorted(known, best))
        ends = known[max(at - 1, 0) : at + 2].tolist()
        wide = WIDE_SMALL if self._is_small else WIDE
        return {(low + high) // 2 for low, high in itertools.pairwise(ends) if high - low > wide}

    def _interpolate(self) -> None:
        """Compute scores from leverages at some Cs, and interpolate the scores at the others."""
        last, knots = len(self._order) - 1, self._knots()
        gaps = list(itertools.pairwise(knots))
        middles = [(low + high) // 2 for low, high in gaps]
        self._score_all({0})
        assert self._left_out is not None
        self._fitted = in_sample_scores(
            self.training, self.path, self._order, self.score, *self._left_out
        )
        start = self._first_rank()
        self._estimate_factors(last)
        self._score_all({rank for rank in (*knots, *middles) if rank >= start})
        if self._is_smooth:
            knots = self._knots_below(knots)
            gaps = list(itertools.pairwise(knots))
        else:
            self._score_all({*knots, *EARLY}, -1)
        if not np.isfinite(self._steps[0, knots]).all():
            self._score_all(set(range(last)))  # infinite scores cannot be interpolated
        if self._has_leverages.all():
            return
        self._is_node[knots] = True
        while gaps:
            interpolated = self._interpolated()
            finer = []
            gaps = [gap for gap in gaps if self._needs_middle(*gap)]
            self._score_all({(low + high) // 2 for low, high in gaps})
            for low, high in gaps:
                middle = (low + high) // 2
                errors = np.abs(self._steps[:, middle] - interpolated[:, :, middle]).sum(axis=1)
                self._curves[low : high + 1] = best = int(np.argmin(errors))
                for end in (low, high):
                    most = min(self._largest_error(middle), MOST_AT_END * self._largest_error(end))
                    if not errors[best] <= most:
                        finer.append((min(end, middle), max(end, middle)))
            self._is_node |= self._has_leverages
            gaps = finer
        self._fill_between()

    def _estimate_factors(self, last: int) -> None:
        """Estimate the factors of scaled leverages at few ranks, if there is one at the first.

        Those at large C matter most, because leverages are large there.
        """
        if not (self._is_smooth and self._is_scaled):
            return
        for rank in (last, 5 * last // 6, 2 * last // 3):
            self._factors.put(rank, self._fit(rank).leverage_factor())

    def _knots(self) -> list[int]:
        """Return about every `STRIDE`-th rank, and the first and the last."""
        stride = max(1, min(STRIDE, (last := len(self._order) - 1) // LEAST_INTERVALS))
        # The last interval is up to half as long or as short again as the others.
        return sorted({*range(0, last - stride // 2, stride), last})

    def _knots_below(self, knots: list[int]) -> list[int]:
        """Compute scores at knots in descending order; return the knots of large data needed."""
        for at in range(len(knots) - 1, 0, -1):
            self._score_all({knots[at]})
            if not self._is_small and self._is_low([knots[at]]):
                knots = [0, *knots[at:]]
                break
        self._score_all({high // 2 for high in knots[1:2]})
        return knots

    def _first_rank(self) -> int:
        """Return a rank from which on leverages are computed in ascending order.

        With a nonsmooth penalty it is that of the best information criterion (Schwarz 1978, Ann.
        Stat. 6, 461-464), if this is lower: exact fits cost much far above the best C.
        """
        assert self._left_out is not None
        total = float(self._left_out[0].count.sum())
        criterion = self._fitted[0] - 0.5 * np.log(total) / total * self._n_coefficients
        first = int(FIRST * (len(self._order) - 1))
        return first if self._is_smooth else min(first, int(np.argmax(criterion)))

    def _fill_between(self) -> None:
        """Interpolate the scores at the ranks without leverages."""
        self._is_node = self._has_leverages
        if len(others := np.flatnonzero(~self._has_leverages)):
            self._steps[:, others] = self._interpolated()[self._curves[others], :, others].T
            known = np.flatnonzero(self._has_leverages)
            self._sizes[others] = np.interp(others, known, self._sizes[known])

    def _largest_error(self, rank: int) -> float:
        """Return the error of the interpolated score that is small enough halfway between others.

        The value halfway is then known. With half the distance between the values, the error of a
        cubic spline is about 1/16.
        """
        best = int(np.nanargmax(self._steps[0]))
        std_err = max(self._steps[1, rank], self._steps[1, best])
        below = (self._steps[0, best] - self._steps[0, rank]) / std_err if std_err > 0.0 else 0.0
        least, slope, most = SMOOTH_ERROR if self._is_smooth else NONSMOOTH_ERROR
        return float(max(min(least + slope * below, most) * std_err, self._errors[rank]))

    def _interpolated(self) -> Array:
        """Return interpolated scores and their standard errors, see `interpolated_scores`."""
        counts = None if self._is_smooth else self._n_coefficients
        return interpolated_scores(self._fitted, self._steps, self._is_node, counts)

    @cached_property
    def _n_coefficients(self) -> Array:
        return n_coefficients(self.path, self._order, self.training.problem)

    @property
    def _is_smooth(self) -> bool:
        """Whether the scores are smooth in C. With a nonsmooth penalty they have kinks."""
        return all_coefficients_vary(self.training.problem_terms)

    @property
    def _is_accurate_between(self) -> bool:
        """Whether interpolated scores are as accurate as those between which they are."""
        return self._is_smooth

    def _needs_middle(self, low: int, high: int) -> bool:
        """Return whether the score halfway between two ranks is to be computed.

        It is not far above the best C, nor if the best score is `LOW` errors above both scores of a
        smooth penalty. Those of nonsmooth penalties have kinks.
        """
        if high - low < 2 or np.isinf(self._errors[high]):
            return False
        return not (self._is_smooth and self._is_low([low, high]))

    def _is_low(self, ranks: list[int]) -> bool:
        """Return whether the scores at all of some ranks are far below the best."""
        (means, std_errs), best = self._steps, int(np.nanargmax(self._steps[0]))
        below = (means[best] - means[ranks]) / np.maximum(std_errs[ranks], std_errs[best])
        if self._is_scaled and max(ranks) < best:
            below[means[ranks] < means[0] + std_errs[best]] *= LOW / LOW_SCALED
        return bool((below > LOW).all())

    def _score_all(self, ranks: set[int], order: int = 1) -> bool:
        """Compute the scores at those of `ranks` that exist and have no leverages yet.

        The ranks ascend, or descend for an `order` of -1. The result tells whether there was such a
        rank.
        """
        n = len(self._order)
        known = np.flatnonzero(self._has_leverages).tolist()
        missing = sorted(ranks.intersection(range(n)).difference(known))
        together = MOST_TOGETHER if self._is_small else 1
        for first in range(0, len(missing), together):
            self._score(missing[::order][first : first + together])
        return bool(missing)

    @cached_property
    def _is_small(self) -> bool:
        """Whether exact fits at several Cs are made together."""
        return SmallRefits.suits(self._fit(0).training.problem)

    @cached_property
    def _fits_far(self) -> bool:
        """Whether there are exact fits at Cs that are far. A smooth penalty needs them less."""
        most = MOST_SMALL if self._is_smooth else MOST_COEFFICIENTS
        return SmallRefits.suits(self._fit(0).training.problem, most)

    @property
    def _n_vectors(self) -> int:
        """The number of random vectors, with the same noise at all Cs: similar errors."""
        return few_vectors(self.training.problem.objective.likelihood.n_free)

    def _score(self, ranks: list[int]) -> None:
        """Compute the scores at some ranks from leverages, and from exact fits made together."""
        are_far = {rank: self._is_far(rank) for rank in ranks}
        for rank, held in self._held_out(ranks, self._n_vectors, are_far).items():
            found, has_more = self._found(held, N_HALVES), False
            mean, std_err = self._mean_and_error(held.scores)
            if held.factor is not None:
                self._factors.put(rank, held.factor)
            elif abs(found[0] - mean) > MOST_BIAS * std_err:
                held = self._held_out([rank], MORE_VECTORS * self._n_vectors, are_far)[rank]
                found, has_more = self._found(held, N_HALVES), True
            self._note(rank, held, is_far=are_far[rank])
            self._steps[:, rank], self._has_more[rank] = found, has_more

    def _held_out(
        self, ranks: list[int], n_vectors: int, are_far: dict[int, bool]
    ) -> dict[int, HeldOut]:
        """Return held-out scores at ranks, with exact fits where the step is not accurate.

        Where `are_far` is true, there are none if they cost much, see `_fits_far`. `n_vectors` is
        the number of random vectors, if there are any.
        """
        found = self._by_one_step(ranks, n_vectors, are_far)
        for rank, held in found.items():
            if are_far[rank] and self._fits_far:
                found[rank] = held = held.with_small_refits()
            nearest = min(self._of_fits, key=lambda other: abs(other - rank), default=rank)
            held.refits.errors.known.update(self._of_fits.get(nearest, StepErrors()).known)
        fitted = [held for rank, held in found.items() if self._fits_far or not are_far[rank]]
        make_exact_fits(fitted, self._best)
        self._of_fits |= {rank: held.refits.errors for rank, held in found.items()}
        return found

    def _by_one_step(
        self, ranks: list[int], n_vectors: int, are_far: dict[int, bool]
    ) -> dict[int, HeldOut]:
        """Return held-out scores at ranks without exact fits; the rest is as in `_held_out`."""
        fits = [self._fit(rank) for rank in ranks]
        units = small_units(fits) if self._is_small else [None] * len(fits)
        smooth = self._is_smooth
        options = [
            {"factor": self._factors.at(at), "is_far": are_far[at] and not smooth} for at in ranks
        ]
        return dict(zip(ranks, self._steps_of(fits, units, n_vectors, options), strict=True))

    def _steps_of(
        self,
        fits: list[FittedRows],
        units: Sequence[Units | None],
        n_vectors: int,
        of_fits: Sequence[dict[str, Any]],
    ) -> list[HeldOut]:
        """Return held-out scores of fits, without exact fits; the rest is as in `by_one_step`.

        `of_fits` are arguments for each fit.
        """
        most = int(MOST_REFITS * (SMOOTH_REFITS if self._is_smooth else 1.0))
        options: dict[str, Any] = {"max_refits": most, "score_tolerance": self.tolerance}
        options |= {"refit_tolerance": REFIT_SHARE * self.tolerance, "n_vectors": n_vectors}
        options |= {"refuse_single": False, "refits_sampled": False}
        return [
            by_one_step(fit, weights="frequency", units=some, **options, **more)
            for fit, some, more in zip(fits, units, of_fits, strict=True)
        ]

    def _found(self, held: HeldOut, n_groups: int) -> Array:
        """Return the mean of held-out scores and its standard error, (2,).

        Random vectors, if there are any, are in `n_groups` groups.
        """
        self._left_out = held.units, held.scores.is_single
        if held.factor is not None:  # the bias is small
            n_groups = 0
        return held.jackknife("frequency", self._mean_and_error, n_groups)[0]

    def _note(self, rank: int, held: HeldOut, *, is_far: bool) -> None:
        """Remember what held-out scores at a rank tell about those at other ranks."""
        units, scores = held.units, held.scores
        if not is_far:
            self._best = max(self._best, scores.mean(scores.log_scores))
            self._errors[rank] = held.choice.error
        count = np.where(scores.is_single, 0.0, units.count)
        self._sizes[rank] = count @ np.square(units.change) / max(float(count.sum()), 1e-300)
        self._is_sampled, self._is_scaled = held.is_sampled, held.factor is not None
        self.n_refits[self._order[rank]] = held.refits.n_fits
        self.n_leverages += not self._has_leverages[rank]
        self._has_leverages[rank] = True

    def _fit(self, rank: int) -> FittedRows:
        """Return the fit at a rank, with its rows."""
        at = int(self._order[rank])
        training, path = self.training, self.path
        problem = training.problem.with_penalty(training.problem_terms, float(self.strengths[at]))
        return FittedRows(
            replace(training, problem=problem),
            self.settings,
            path.coefs[at].astype(float),
            path.intercepts[at].astype(float),
        )

    def _is_far(self, rank: int) -> bool:
        """Return whether a score at a smaller C is so much below the best that this one is too."""
        means, std_errs = self._steps
        known = self._has_leverages.nonzero()[0]
        if not len(known):
            return False
        best = known[np.argmax(means[known])]
        between = known[(known > best) & (known < rank)]
        far = FAR_SMALL if self._is_small else FAR
        limits = means[best] - far * np.maximum(std_errs[between], std_errs[best])
        return bool((means[between] < limits).any())

    def _mean_and_error(self, scores: HeldOutScores) -> tuple[float, float]:
        """Return the mean of held-out scores, and its standard error."""
        assert self._left_out is not None
        return self.score(scores.log_proba, *self._left_out)
