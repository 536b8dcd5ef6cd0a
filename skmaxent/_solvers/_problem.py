"""The optimisation problem of a fit: the loss of the rows, a penalty and bounds, standardised.

Solvers work with the matrix θ of coefficients of standardised columns, of shape (R, d + 1), for R
logits and d features, with the intercepts in the last column. F is the objective of these solvers,
the mean loss of the rows plus the penalty, and F* its minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._moments import Moments, column_moments, null_point, offset_means
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Penalty
from skmaxent._objective._terms import PenaltyTerms, ridge_terms
from skmaxent._solvers._certificate import TIGHT, Means, optimality_gap
from skmaxent._solvers._conjugate_gradients import Step
from skmaxent._solvers._hessian_bounds import LastBound
from skmaxent._solvers._preconditioners import ApproximateInverse
from skmaxent._solvers._record import Outcome
from skmaxent._solvers._solution import Solution
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._storage import Storage
from skmaxent._typing import Array


@dataclass(frozen=True)
class Problem:
    """An optimisation problem for θ, with conversions to coefficients of the columns of X.

    Attributes
    ----------
    objective : MultinomialObjective
        The mean loss of the rows, plus the penalty if `terms.is_plain_ridge`.
    user_terms : PenaltyTerms
        The penalty and bounds that the user asked for, which are those of the coefficients of the
        columns of X.
    terms : PenaltyTerms
        The same penalty and bounds, for the coefficients of standardised columns.
    null : Point
        The null model: coefficients of zero, and the intercepts whose probabilities are the shares
        of the classes. It ignores offsets.
    means : Means
        Means over the rows that the bound on (F - F*)/F needs.
    last_bound : LastBound
        The lower bound of the Hessian from which the last bound on (F - F*)/F was computed. The
        problems of a path, which have the same loss and different penalties, share it.
    """

    objective: MultinomialObjective
    user_terms: PenaltyTerms
    terms: PenaltyTerms
    null: Point
    means: Means
    last_bound: LastBound = field(default_factory=LastBound, repr=False)

    @classmethod
    def of(
        cls,
        blocks: Storage,
        model: Likelihood,
        terms: PenaltyTerms | None = None,
        moments: Moments | None = None,
        *,
        strength: float = 1.0,
        fit_intercept: bool,
    ) -> Problem:
        """Return the problem of the rows in a storage, with standardised columns.

        Parameters
        ----------
        blocks : Storage
            The rows with their targets, weights and offsets.
        model : Likelihood
        terms : PenaltyTerms, optional
            Penalty and bounds of the coefficients of the columns of X; the default is neither.
        moments : Moments, optional
            The moments of the columns, if they are known; the default computes them.
        strength : float, default=1.0
            A factor that multiplies the penalty.
        fit_intercept : bool
        """
        if moments is None:
            moments = column_moments(blocks, model)
        # Without an intercept the columns are not centred, and mean squares replace variances.
        varying = moments.mean_square > 0.0
        variances = moments.mean_square
        if fit_intercept:
            varying, variances = ~moments.is_constant, moments.variance
        scale = np.sqrt(np.where(varying, variances, 1.0))
        if terms is None:
            terms = ridge_terms(np.zeros(blocks.n_features))
        terms, scaled = terms.times(strength), _standardised(terms, scale, model, strength)
        objective = MultinomialObjective(
            blocks,
            model,
            scaled.objective_penalty(),
            Standardisation.of(
                blocks.n_features,
                fit_intercept=fit_intercept,
                center=moments.mean,
                scale=scale,
                varying=varying,
            ),
            column_size=np.sqrt(moments.mean_square),
        )
        return cls(objective, terms, scaled, *_null_and_means(objective, moments))

    @property
    def varying(self) -> Array:
        """Which columns are not constant, bool of shape (d,)."""
        return self.objective.varying

    def start(self) -> Point:
        """Return the point of the null model, with the value and gradient that offsets give.

        Unlike `null`, this point includes the offsets, for which it takes a pass over the rows.
        """
        if not self.objective.blocks.has_offset:
            return self.null
        return self.objective.at(self.null.theta)

    def warm_start(self, coef: Array, intercept: Array) -> Array | None:
        """Return θ to start at from given coefficients, or None if the null model has a smaller F.

        `coef` (R, d) and `intercept` (R,) belong to the columns of X, and come for example from an
        earlier fit. Solvers never change the coefficients of constant columns, nor the intercepts
        of a problem without intercepts, so these entries of θ are zero. If logits are coupled, a
        number is subtracted from all coefficients of a column, which does not change the loss:
        their mean if `terms.is_plain_ridge`, else the number for which the penalty is least. At
        last θ is projected onto the bounds.
        """
        theta = self.objective.from_coefficients(coef, intercept)
        theta[:, :-1][:, ~self.varying] = 0.0
        if not self.objective.fit_intercept:
            theta[:, -1] = 0.0
        if self.terms.is_plain_ridge:
            if self.terms.is_coupled:
                theta -= theta.mean(axis=0)
        else:
            penalty = self.terms.whole_penalty()
            theta = penalty.project(penalty.recentre(theta))
        if not np.isfinite(theta).all():
            return None
        penalty = self.terms.whole_penalty()
        start = self.start()
        least = start.loss + penalty.value(penalty.project(start.theta))
        value = self.objective.at(theta).loss + penalty.value(theta)
        return theta if value < least else None

    def origin(self) -> Array:
        """Return θ = 0, of shape (R, d + 1), which a fit with `max_iter=0` returns."""
        return np.zeros_like(self.null.theta)

    def with_penalty(self, terms: PenaltyTerms, strength: float = 1.0) -> Problem:
        """Return the problem of the same loss with another penalty and other bounds.

        Parameters
        ----------
        terms : PenaltyTerms
            Penalty and bounds of the coefficients of the columns of X.
        strength : float, default=1.0
            A factor that multiplies the penalty.
        """
        scaled = self.standardised(terms, strength)
        objective, ridge = self.objective, scaled.objective_penalty()
        if (ridge.strength != objective.penalty.strength).any():
            objective = objective.with_penalty(ridge)
        null = self.null if objective is self.objective else self.null.on(objective)
        user_terms = terms.times(strength)
        return replace(self, objective=objective, user_terms=user_terms, terms=scaled, null=null)

    def with_rows(self, blocks: Storage) -> Problem:
        """Return the problem of other rows, `blocks`, with the same standardisation.

        θ therefore means the same coefficients in both problems.
        """
        objective = self.objective.with_rows(blocks)
        moments = column_moments(blocks, objective.likelihood)
        null, means = _null_and_means(objective, moments)
        return Problem(objective, self.user_terms, self.terms, null, means)

    def without_penalty(self, held: Array) -> Problem:
        """Return the problem without penalty in which some coefficients are fixed.

        `held` is a mask of shape (1 or R, d). These coefficients are fixed at zero, or at the value
        within their bounds that is nearest to zero. Other coefficients keep their bounds.
        """
        return self.with_penalty(self.user_terms.without_penalty(held))

    def standardised(self, terms: PenaltyTerms, strength: float) -> PenaltyTerms:
        """Convert `terms`, times `strength`, to terms of coefficients of standardised columns."""
        objective = self.objective
        return _standardised(terms, objective.scale, objective.likelihood, strength)

    def gap_at(
        self,
        theta: Array,
        *,
        preconditioner: ApproximateInverse | None = None,
        step: Step | None = None,
        least_bound: float = TIGHT,
    ) -> float:
        """Return an upper bound on (F - F*)/F at θ, where F* is the minimum of F.

        See `optimality_gap` for the other parameters, which affect the time and the tightness of
        the bound, not its validity.
        """
        return optimality_gap(
            self.objective,
            self.objective.penalty if self.terms.is_plain_ridge else self.terms.whole_penalty(),
            self.means,
            theta,
            preconditioner=preconditioner,
            step=step,
            least_bound=least_bound,
            last=self.last_bound if least_bound > TIGHT else None,
        )

    def penalty_for(self, scale: Array) -> Penalty:
        """Return the penalty of the coefficients of columns of X divided by `scale`, (d,).

        It fixes the same coefficients as the penalty of standardised columns: which ones the
        penalty alone determines follows from the size of the columns over all rows.
        """
        return self.terms.scaled(scale / self.objective.scale).whole_penalty()

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients (R, d) and intercepts (R,) of the columns of X for θ."""
        coef, intercept = self.objective.coefficients(theta)
        coef = self.user_terms.snapped(coef)
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
        """Return the `Solution` for the outcome of the last loop of a fit.

        `gap` is an upper bound on (F - F*)/F. `separated` and `directions` describe separated
        classes; see `Solution`.
        """
        coef, intercept = outcome.coefficients or self.coefficients(outcome.point.theta)
        coef = self.user_terms.snapped(coef)
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
            end=outcome.end,
        )


def _null_and_means(objective: MultinomialObjective, moments: Moments) -> tuple[Point, Means]:
    """Return the null model of an objective, and `Means` over its rows."""
    null = null_point(objective, moments)
    return null, Means(moments.shares, -null.gradient[:, :-1], *offset_means(objective))


def _standardised(
    terms: PenaltyTerms, scale: Array, model: Likelihood, strength: float = 1.0
) -> PenaltyTerms:
    """Convert `terms`, times `strength`, to terms of columns that are divided by `scale`, (d,)."""
    scaled = terms.scaled(scale).times(strength)
    # With a single logit each group is one coefficient.
    grouped, is_coupled = scaled.grouped and model.n_logits > 1, model.is_coupled
    if (grouped, is_coupled) != (scaled.grouped, scaled.is_coupled):
        scaled = replace(scaled, grouped=grouped, is_coupled=is_coupled)
    return scaled.with_fixed_coefficients()
