"""Checked arrays to a problem that the solvers can trust."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent import _scaling
from skmaxent._likelihood import Likelihood
from skmaxent._objective import Moments, Point, column_moments
from skmaxent._penalty import STRONGEST, Ridge, Terms
from skmaxent._solvers import Problem, Solution
from skmaxent._storage import Storage
from skmaxent._targets import Given, Outcomes
from skmaxent._threads import Workers, effective_threads

Array = NDArray[Any]

# Logit of a class without weight. The others sum to zero, so that one of them is at least 0 and
# this one's probability below exp(-100).
ABSENT_LOGIT = -100.0
# The weakest penalty of a grid relative to its strongest.
MANY_ROWS, FEW_ROWS = 1e-4, 1e-2


@dataclass(frozen=True)
class Data:
    """Rows whose columns have squares within the range of floating point, and their moments.

    `exponents` are the powers of two that the columns were divided by, None where by none.
    """

    blocks: Storage
    model: Likelihood
    moments: Moments
    exponents: Array | None

    @classmethod
    def prepare(cls, blocks: Storage, model: Likelihood) -> Data:
        """Raises ValueError where X is not finite."""
        exponents = None
        moments = column_moments(blocks, model)
        if not np.isfinite(moments.mean_square.sum()):
            blocks.check_finite()
        if _scaling.needs_scaling(blocks, moments.mean_square):
            exponents = _scaling.column_exponents(blocks)
            blocks = blocks.times_powers_of_two(-exponents)
            moments = column_moments(blocks, model)
        return cls(blocks, model, moments, exponents)

    def terms(self, terms: Terms) -> Terms:
        """Terms for the columns as they are here."""
        if self.exponents is None:
            return terms
        return _scaling.scale_terms(terms, self.exponents)

    def coefficients(self, coef: Array) -> Array:
        """Coefficients of the columns as the user knows them."""
        if self.exponents is None:
            return coef
        return _scaling.unscale_coef(coef, self.exponents, self.blocks.dtype)


@dataclass(frozen=True)
class Prepared:
    """Data and the problem that they pose with a penalty of strength one, and the way back."""

    data: Data
    problem: Problem
    rows: Outcomes
    classes: Array

    @classmethod
    @contextmanager
    def within_threads(
        cls,
        given: Given,
        terms: Terms,
        n_jobs: int | None,
        *,
        fit_intercept: bool,
    ) -> Iterator[Prepared]:
        """While so many threads exist, and numbers may overflow."""
        rows = given.outcomes
        if len(rows.active) < len(given.classes):
            terms = terms.rows(rows.active)
        with (
            Workers(effective_threads(n_jobs)) as workers,
            np.errstate(over="ignore", under="ignore", invalid="ignore"),
        ):
            data = Data.prepare(given.stored(workers), rows.model)
            asked = data.terms(terms)
            problem = Problem.of(
                data.blocks, data.model, asked, data.moments, fit_intercept=fit_intercept
            )
            yield cls(data, problem, rows, given.classes)

    @property
    def dtype(self) -> Any:
        return self.data.blocks.dtype

    @property
    def has_absent_classes(self) -> bool:
        return len(self.rows.active) < len(self.classes)

    @property
    def class_shares(self) -> Array:
        """Of the classes that weigh anything in the targets."""
        return self.data.model.outcomes(self.data.moments.shares)

    @property
    def shape(self) -> tuple[int, int]:
        """Of `coef_`."""
        K = len(self.classes)
        return 1 if K == 2 else K, self.data.blocks.n_features

    @property
    def total_weight(self) -> float:
        """S, the sum of the weights that the user gave."""
        return self.rows.scale * self.problem.objective.total_weight

    def grid(self, ends: tuple[float, float], n_points: int) -> Array:
        """Cs in equal ratios up from that of the first strength of a penalty.

        Down to 1e-4 of the second, or 1e-2 if there are no more rows than features, as in glmnet
        (Friedman, Hastie & Tibshirani 2010, J. Stat. Softw. 33).
        """
        blocks = self.data.blocks
        share = MANY_ROWS if blocks.n_samples > blocks.n_features else FEW_ROWS
        largest = max(ends[0], 1.0 / STRONGEST)
        first = 1.0 / (self.total_weight * largest)
        return first * np.geomspace(1.0, largest / (share * max(ends[1], 1e-300)), n_points)

    def strengths(self, C: Array) -> Array:
        """1/(C S), with the weights' sum S."""
        with np.errstate(divide="ignore"):
            inverse = np.minimum(1.0 / C, STRONGEST)
        return np.asarray(inverse / self.rows.scale / self.problem.objective.total_weight)

    def loss_at(self, coef: Array, intercept: Array) -> Point:
        """The loss, without any penalty, at coefficients."""
        objective = self.problem.objective
        objective = objective.with_penalty(Ridge(np.zeros(objective.blocks.n_features)))
        return objective.at(objective.from_coefficients(coef, intercept))

    def coefficients(self, solution: Solution) -> tuple[Array, Array]:
        """Coefficients and intercepts as the user knows them, of all classes."""
        return self.known_coefficients(solution.coef, solution.intercept)

    def known_coefficients(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """The same from those of the problem."""
        coef = self.data.coefficients(coef)
        if self.has_absent_classes:
            shape = (len(self.classes), coef.shape[1])
            some = coef, intercept
            coef, intercept = np.zeros(shape), np.full(len(self.classes), ABSENT_LOGIT)
            coef[self.rows.active], intercept[self.rows.active] = some
        top = float(np.finfo(self.dtype).max)
        coef, intercept = (np.clip(a, -top, top).astype(self.dtype) for a in (coef, intercept))
        return coef, intercept
