"""Rows and what is asked of their coefficients, in the coordinates that solvers work in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._moments import Moments, column_moments, null_point, offset_means
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Penalty, Ridge
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._certificate import TIGHT, Means, optimality_gap
from skmaxent._solvers._conjugate_gradients import Step
from skmaxent._solvers._preconditioners import Solves
from skmaxent._solvers._record import Outcome
from skmaxent._solvers._solution import Solution
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._storage import Storage
from skmaxent._typing import Array


@dataclass(frozen=True)
class Problem:
    """Rows and terms in standardised coordinates; `asked` are the terms in those of the data.

    `null` is the model without features, best where there is no offset.
    """

    objective: MultinomialObjective
    asked: PenaltyTerms
    terms: PenaltyTerms
    null: Point
    means: Means

    @classmethod
    def of(
        cls,
        blocks: Storage,
        model: Likelihood,
        terms: PenaltyTerms,
        moments: Moments | None = None,
        *,
        strength: float | None = None,
        fit_intercept: bool,
    ) -> Problem:
        """The problem of rows with a penalty of `terms`, times a strength where there is one."""
        if moments is None:
            moments = column_moments(blocks, model)
        # Without an intercept nothing is profiled out: second moments take the place of variances.
        varying = moments.mean_square > 0.0
        variances = moments.mean_square
        if fit_intercept:
            varying, variances = ~moments.is_constant, moments.variance
        scale = np.sqrt(np.where(varying, variances, 1.0))
        scaled = replace(terms.scaled(scale), is_coupled=model.is_coupled)
        if model.n_logits == 1:  # groups of one coefficient each
            scaled = replace(scaled, grouped=False)
        if strength is not None:
            terms, scaled = terms.times(strength), scaled.times(strength)
        objective = MultinomialObjective(
            blocks,
            model,
            scaled.smooth(),
            Standardisation.of(
                blocks.n_features,
                fit_intercept=fit_intercept,
                center=moments.mean,
                scale=scale,
                varying=varying,
            ),
            column_size=np.sqrt(moments.mean_square),
        )
        null = null_point(objective, moments)
        means = Means(moments.shares, -null.gradient[:, :-1], *offset_means(objective))
        return cls(objective, terms, scaled, null, means)

    @property
    def varying(self) -> Array:
        """The columns that are not constant, (d,)."""
        return self.objective.varying

    def start(self) -> Point:
        """The model without features; with offsets its value and gradient need a pass."""
        if not self.objective.blocks.has_offset:
            return self.null
        return self.objective.at(self.null.theta)

    def start_at(self, coef: Array, intercept: Array) -> Array | None:
        """θ of coefficients found elsewhere, where it is a better start than the null model.

        Solvers never change some of what coefficients of another problem may hold: an intercept
        where this problem has none, the coefficients of constant columns, and, without an L1
        penalty, the mean over the classes. All of these are zero here.
        """
        theta = self.objective.from_coefficients(coef, intercept)
        theta[:, :-1][:, ~self.varying] = 0.0
        if not self.objective.fit_intercept:
            theta[:, -1] = 0.0
        if self.terms.is_smooth:
            if self.terms.is_coupled:
                theta -= theta.mean(axis=0)
        else:
            penalty = self.terms.nonsmooth_penalty()
            theta = penalty.project(penalty.recentre(theta))
        if not np.isfinite(theta).all():
            return None
        penalty = self.terms.nonsmooth_penalty()
        start = self.start()
        least = start.loss + penalty.value(penalty.project(start.theta))
        value = self.objective.at(theta).loss + penalty.value(theta)
        return theta if value < least else None

    def origin(self) -> Array:
        """θ with all coefficients and intercepts zero, where a fit of no iterations ends."""
        return np.zeros_like(self.null.theta)

    def without_penalty(self, held: Array) -> Problem:
        """The same without penalty, and with the coefficients that are `held` at zero."""
        terms = self.terms.without_penalty(held)
        objective = self.objective.with_penalty(Ridge(np.zeros(self.objective.blocks.n_features)))
        return replace(
            self,
            objective=objective,
            asked=self.asked.without_penalty(held),
            terms=terms,
            null=self.null.on(objective),
        )

    def with_penalty(self, strength: float, unit: Problem) -> Problem:
        """The same with that penalty of `unit`, so many times as strong."""
        terms = unit.terms.times(strength)
        # Where the penalty is nonsmooth, the objective's own penalty is zero.
        objective = self.objective
        if terms.is_smooth:
            objective = objective.with_penalty(terms.smooth())
        return replace(
            self,
            objective=objective,
            asked=unit.asked.times(strength),
            terms=terms,
            null=self.null.on(objective),
        )

    def gap_at(
        self,
        theta: Array,
        *,
        preconditioner: Solves | None = None,
        step: Step | None = None,
        least_bound: float = TIGHT,
    ) -> float:
        """Bound on (F - F*)/F at θ, for the data and the penalty of this problem."""
        return optimality_gap(
            self.objective,
            self.objective.penalty if self.terms.is_smooth else self.terms.nonsmooth_penalty(),
            self.means,
            theta,
            preconditioner=preconditioner,
            step=step,
            least_bound=least_bound,
        )

    def penalty_for(self, scale: Array) -> Penalty:
        """The penalty of the coefficients of columns divided by another scale."""
        terms = self.asked.scaled(scale)
        known = self.terms
        return replace(
            terms, grouped=known.grouped, is_coupled=known.is_coupled
        ).nonsmooth_penalty()

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Coefficients and intercepts for the columns of the rows."""
        coef, intercept = self.objective.coefficients(theta)
        coef = self.asked.project(coef)
        if not self.objective.fit_intercept:
            intercept = np.zeros_like(intercept)
        return coef, intercept

    def solution(
        self,
        outcome: Outcome,
        gap: float,
        *,
        separated: Sequence[int] = (),
        directions: Sequence[Array] = (),
    ) -> Solution:
        """Return the solution of the user's problem for the outcome of the last loop of a fit.

        `gap` is a bound on (F - F*)/F; see `Solution` for the others.
        """
        coef, intercept = outcome.coefficients or self.coefficients(outcome.point.theta)
        last = outcome.history[-1]
        return Solution(
            coef=coef,
            intercept=intercept,
            value=outcome.value,
            distance=last.distance,
            gap=gap,
            n_iter=max(last.n_iter, 1),
            status=outcome.status,
            history=outcome.history,
            point=outcome.point,
            separated=tuple(separated),
            directions=tuple(directions),
        )
