"""All that is separated: the verdict on rows, and a direction that separates whatever any does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._solvers._problem import Problem
from skmaxent._solvers._rank import aliased_columns
from skmaxent._solvers._recession import Cone, Search, Verdict
from skmaxent._solvers._solution import Options, Status
from skmaxent._solvers._strategy import minimise
from skmaxent._solvers._unbounded import PROVEN
from skmaxent._typing import Array

# Relative to the largest, a coefficient that a direction does not change.
NO_CHANGE = 1e-6


@dataclass(frozen=True)
class Separated:
    """Separation of the rows of a problem without penalty.

    Attributes
    ----------
    kind : {"quasi-complete", "complete"}
    direction : ndarray of shape (R, n_features + 1)
        In the coordinates of θ; it separates every pair of a row and a class that any direction
        separates, and changes every coefficient that any changes.
    moved : ndarray of bool, shape (n_features + 1,)
        Columns, the intercept last, whose coefficients have no finite estimates.
    winners : ndarray
        Positions of classes that are separated from another class.
    rows : ndarray of bool, shape (n_samples,)
        Rows that are separated from some class.
    """

    kind: str
    direction: Array
    moved: Array
    winners: Array
    rows: Array


def separation(problem: Problem, options: Options) -> Separated | None:
    """What is separated in rows of one class each or of several, without penalty; None if nothing.

    Raises RuntimeError where that could not be decided.
    """
    objective = problem.objective
    solution = minimise(problem, options)
    is_separated = solution.status in (Status.SEPARATED, Status.QUASI_SEPARATED)
    if not is_separated and solution.gap < PROVEN:
        return None
    aliased = aliased_columns(objective)
    varying = problem.varying.copy()
    varying[aliased.columns] = False
    search = Search(objective, Cone.of(objective, varying, None, None))
    theta = aliased.moved(solution.point.theta)
    verdict, D = search.verdict(theta, tuple(map(aliased.moved, solution.directions)))
    if verdict is Verdict.OVERLAP:
        return None
    if D is None:
        raise RuntimeError(
            "it was not possible to decide whether the classes are separated: there are "
            f"{len(theta) * objective.shape[1]} coefficients, or the linear programs failed."
        )
    D, is_maximal = search.maximal(theta, D)
    is_complete = search.is_complete(D)
    if not (is_maximal or is_complete):
        raise RuntimeError(
            "the classes are separated, but not all directions were found: there are "
            f"{len(theta) * objective.shape[1]} coefficients, or a linear program failed."
        )
    span, moved = np.zeros((0, *D.shape)), np.append(varying, objective.fit_intercept)
    if not is_complete:  # otherwise any small change of the direction is one more
        span, moved = search.span()
    is_changed = np.abs(D).max(axis=0) > NO_CHANGE * np.abs(D).max()
    if (moved & ~is_changed).any():
        if is_complete:
            span = np.random.default_rng(1).normal(size=(1, *D.shape)) * moved
        mixture = np.random.default_rng(0).normal(size=len(span))
        D = search.joined(D, np.tensordot(mixture, span, axes=1))
    return Separated(
        kind="complete" if is_complete else "quasi-complete",
        direction=D,
        moved=moved,
        winners=np.array(search.winners(D), dtype=np.intp),
        rows=search.separated_rows(),
    )
