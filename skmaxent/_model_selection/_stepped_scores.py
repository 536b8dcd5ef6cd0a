"""SteppedScores: the scores of leave-one-out along a lasso path, with exact fits at few Cs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from skmaxent._leverage._leave_one_out import HeldOut
from skmaxent._leverage._left_out_units import Units, finds_zeros, has_few_rows
from skmaxent._leverage._refits import MOST_COEFFICIENTS
from skmaxent._leverage._small_refits import SmallRefits
from skmaxent._leverage._small_steps import small_units
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._model_selection._in_sample_scores import in_sample_scores
from skmaxent._model_selection._scores_of_path import FAR, FAR_SMALL, ScoresOfPath
from skmaxent._typing import Array

# Intervals of Cs are divided if the score halfway differs from the interpolated one by more than
# this number of tolerances. The error in the halves is about half as large.
MOST_HALFWAY = 2.0
# The number of the first Cs at which steps are made together.
FEW = 5


class SteppedScores(ScoresOfPath):
    """The scores of leave-one-out at each C of a path with an L1 penalty.

    One step that finds the coefficients which become zero or nonzero without a row has a small
    error, which changes slowly with C, unlike the score. The step is therefore made at many Cs: at
    all of an interval in which the scores are not those of a curve through a few of them. Exact
    fits are made at few Cs, and their corrections of the score are interpolated.
    """

    @classmethod
    def suits(cls, training: TrainingProblem) -> bool:
        """Return whether there are few rows, and the steps find the zeros of fits without a row."""
        terms, shape = training.problem_terms, training.problem.objective.shape
        n = training.blocks.n_samples
        # With a single logit each group is one coefficient.
        is_elementwise = bool(terms.l1.any()) and not (terms.grouped and shape[0] > 1)
        has_zeros = has_few_rows(n, *shape) and finds_zeros(n, *shape)
        return is_elementwise and has_zeros

    def _interpolate(self) -> None:
        """Compute scores by one step at many Cs, and by exact fits at few; interpolate others."""
        self._by_step = np.full((2, len(self._order)), np.nan)
        # Held-out scores by one step at ranks that may get exact fits.
        self._kept: dict[int, HeldOut] = {}
        self._near = set[int]()  # ranks that get exact fits wherever they are
        knots = self._knots()
        middles = [(low + high) // 2 for low, high in itertools.pairwise(knots)]
        ranks = self._first_steps(knots, middles)
        assert self._left_out is not None
        given = self.training, self.path, self._order, self.score, *self._left_out
        self._fitted = in_sample_scores(*given)
        if not np.isfinite(self._by_step[0, ranks]).all():
            self._score_all(set(range(len(self._order))))  # infinite scores are not interpolated
            return
        best = int(np.nanargmax(self._by_step[0]))
        self._score_all({rank for rank in knots if rank >= best})
        self._score_all(set(knots), -1)
        self._refine_steps(list(itertools.pairwise(ranks)))
        self._refine_corrections(list(itertools.pairwise(knots)))
        self._score_again()
        self._kept.clear()
        self._fill_between()

    def _first_steps(self, knots: list[int], middles: list[int]) -> list[int]:
        """Compute scores by one step at the knots, and halfway between them as far as these matter.

        The result are the ranks with scores, in ascending order. Steps are made at few Cs together,
        to know from where on scores are far below the best: there the zeros of many fits change.
        """
        ranks, found = sorted({*knots, *middles}), list[int]()
        while ranks:
            is_far = bool(found) and self._far_rank(FAR_SMALL) < ranks[0]
            some = [rank for rank in ranks[:FEW] if not is_far or rank in knots]
            self._make_steps(some, is_kept=True)
            found, ranks = found + some, ranks[FEW:]
        return found

    def _make_steps(self, ranks: list[int], *, is_kept: bool = False) -> None:
        """Compute scores by one step; keep the held-out scores of all rows if `is_kept` is true."""
        for rank, held in self._steps_at(ranks, self._n_vectors).items():
            self._left_out = held.units, held.scores.is_single
            self._by_step[:, rank] = self._mean_and_error(held.scores)
            if is_kept:
                self._kept[rank] = held

    def _steps_at(self, ranks: list[int], n_vectors: int) -> dict[int, HeldOut]:
        """Return held-out scores by one step at ranks; `n_vectors` is as in `_held_out`."""
        fits = [self._fit(rank) for rank in ranks]
        units: Sequence[Units | None] = [None] * len(ranks)
        if fits and SmallRefits.suits(fits[0].training.problem, MOST_COEFFICIENTS):
            units = small_units(fits)
        return dict(
            zip(ranks, self._steps_of(fits, units, n_vectors, [{}] * len(fits)), strict=True)
        )

    def _by_one_step(
        self, ranks: list[int], n_vectors: int, are_far: dict[int, bool]
    ) -> dict[int, HeldOut]:
        found = {rank: self._kept.pop(rank) for rank in ranks if rank in self._kept}
        found |= self._steps_at([rank for rank in ranks if rank not in found], n_vectors)
        for rank, held in found.items():
            # Exact fits of more coefficients need leverages.
            has_all = self._is_small or held.leverages is not None
            if not (has_all or self._is_far(rank)) and len(held.choice.following(self._best)):
                found[rank] = held.with_leverages()
        return found

    def _refine_steps(self, gaps: list[tuple[int, int]]) -> None:
        """Divide intervals until the scores by one step between their ends are accurate."""
        while True:
            far, interpolated = self._far_rank(FAR_SMALL), self._interpolated_steps()
            gaps = [(low, high) for low, high in gaps if high - low > 1 and high <= far]
            if not gaps:
                break
            middles = [(low + high) // 2 for low, high in gaps]
            self._make_steps(middles)
            errors = np.abs(self._by_step - interpolated)[:, middles].sum(axis=0)
            is_large = errors > MOST_HALFWAY * self.tolerance * self._by_step[1, middles]
            # The error halfway may be small by chance: those of the intervals beside count too.
            low, high = np.array(gaps).T
            is_beside = (low[:, None] <= high) & (high[:, None] >= low)
            gaps = _halves(gaps, is_beside @ is_large)
        self._by_step = interpolated

    def _refine_corrections(self, gaps: list[tuple[int, int]]) -> None:
        """Make exact fits in intervals until the corrections between their ends are accurate.

        An interval is not divided if the corrections at its ends are similar.
        """
        limits = MOST_HALFWAY * self.tolerance * self._by_step[1]
        corrections = (self._steps - self._by_step)[0]
        gaps = [
            (low, high)
            for low, high in gaps
            if abs(corrections[high] - corrections[low]) > limits[(low + high) // 2]
        ]
        while True:
            gaps = [(a, b) for a, b in gaps if b - a > 1 and np.isfinite(self._errors[b])]
            # Exact fits at one end may have shown that the scores in an interval are far.
            gaps = [(a, b) for a, b in gaps if not self._is_far((a + b) // 2)]
            if not gaps:
                break
            middles = [(low + high) // 2 for low, high in gaps]
            interpolated = self._corrected_steps()[0, middles]
            self._score_all(set(middles))
            errors = np.abs(self._steps[0, middles] - interpolated)
            gaps = _halves(gaps, errors > limits[middles])

    def _score_again(self) -> None:
        """Make exact fits where there are none because scores seemed to be far below the best.

        Corrections that became known later may have shown that they are not.
        """
        done = set[int]()
        while True:
            known = np.flatnonzero(self._has_leverages & np.isinf(self._errors)).tolist()
            if not (near := {rank for rank in known if not self._is_far(rank)} - done):
                return
            self._score_anew(near)
            done |= near

    def _score_anew(self, ranks: set[int]) -> bool:
        """Compute the scores at ranks again; the result is that of `_score_all`."""
        self._has_leverages[sorted(ranks)] = False
        return self._score_all(ranks)

    def _finish(self, ranks: list[int]) -> None:
        """Repeat the fits at ranks up to the `tol` of the model, and make exact fits at them.

        The interpolated correction of a score which is that of the chosen C by chance is often one
        of the largest.
        """
        super()._finish(ranks)
        missing = {rank for rank in ranks if np.isinf(self._errors[rank])}
        self._near |= missing
        if self._score_anew(missing):
            gaps = list(itertools.pairwise(np.flatnonzero(self._has_leverages).tolist()))
            self._refine_corrections([gap for gap in gaps if missing.intersection(gap)])

    def _interpolated_steps(self) -> Array:
        """Return the scores by one step and their standard errors at all ranks, (2, n_ranks)."""
        return self._on_curve(self._by_step, np.flatnonzero(np.isfinite(self._by_step[0])))

    def _on_curve(self, scores: Array, known: Array) -> Array:
        """Return scores and standard errors at all ranks, (2, n_ranks), from those at known ranks.

        What they are less than the in-sample score is on a curve through its values there.
        """
        less = (self._fitted - scores)[:, known]
        if len(known) == 1:
            return np.asarray(self._fitted - less)
        curve = PchipInterpolator(known, less, axis=1)
        return np.asarray(self._fitted - curve(np.arange(len(self._order))))

    def _corrected_steps(self) -> Array:
        """Return the scores by one step with interpolated corrections, (2, n_ranks).

        Where two corrections beside each other differ by more than a standard error, the step is no
        guide. The result is then on a curve through the corrected scores.
        """
        known = np.flatnonzero(self._has_leverages)
        if not len(known):
            return self._by_step
        corrections = (self._steps - self._by_step)[:, known]
        place = np.arange(len(self._order))
        scores = self._by_step + [np.interp(place, known, values) for values in corrections]
        is_large = np.abs(np.diff(corrections[0])) > self._steps[1, known[1:]]
        if is_large.any():
            curved = self._on_curve(self._steps, known)
            for low, high in itertools.compress(itertools.pairwise(known), is_large):
                scores[:, low + 1 : high] = curved[:, low + 1 : high]
        return scores

    def _fill_between(self) -> None:
        others = np.flatnonzero(~self._has_leverages)
        self._steps[:, others] = self._corrected_steps()[:, others]
        self._steps[1] = np.maximum(self._steps[1], 0.0)

    def _is_far(self, rank: int) -> bool:
        is_far = rank > self._far_rank(FAR_SMALL if self._is_small else FAR)
        return is_far and rank not in self._near

    def _far_rank(self, far: float) -> int:
        """Return the first rank above the best whose score is `far` standard errors below."""
        means, std_errs = self._corrected_steps()
        best = int(np.nanargmax(means))
        limits = means[best] - far * np.fmax(std_errs, std_errs[best])
        is_far = (means < limits) & (np.arange(len(means)) > best)
        return int(np.argmax(is_far)) if is_far.any() else len(means) - 1

    @property
    def _is_accurate_between(self) -> bool:
        return True


def _halves(gaps: list[tuple[int, int]], divided: Array) -> list[tuple[int, int]]:
    """Return both halves of the intervals for which `divided` (n_gaps,) is true."""
    halves = [((low, (low + high) // 2), ((low + high) // 2, high)) for low, high in gaps]
    return list(itertools.chain(*itertools.compress(halves, divided)))
