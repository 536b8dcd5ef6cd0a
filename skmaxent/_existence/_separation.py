"""Separation of the rows of a problem without penalty: its kind, classes, columns and rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._existence._aliased_columns import aliased_columns
from skmaxent._existence._cone import Cone
from skmaxent._existence._differences import Differences
from skmaxent._existence._directions import Directions
from skmaxent._existence._linear_programs import Verdict
from skmaxent._existence._search import maximal_face, remaining_directions, verdict
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._typing import Array

# Entries of a direction up to this share of the largest entry count as zero.
NO_CHANGE = 1e-6


@dataclass(frozen=True)
class Separated:
    """Separation of the rows of a problem without penalty.

    Attributes
    ----------
    kind : {"quasi-complete", "complete"}
    direction : ndarray of shape (R, n_features + 1)
        A direction of recession of the coefficients θ, where R is the number of logits. It
        separates every pair of a row and a class that any direction separates, and changes every
        coefficient that any direction of recession changes.
    moved : ndarray of bool, shape (n_features + 1,)
        Which columns, the intercept last, have coefficients without finite estimates.
    winners : ndarray of int
        Positions of the classes with rows that are separated from another class.
    rows : ndarray of bool, shape (n_samples,)
        Which rows are separated from some class.
    """

    kind: str
    direction: Array
    moved: Array
    winners: Array
    rows: Array


def separation(
    objective: MultinomialObjective, theta: Array, candidates: tuple[Array, ...] = ()
) -> Separated | None:
    """Return what is separated, or None if the classes overlap. Rows may have several classes.

    Parameters
    ----------
    objective : MultinomialObjective
        An objective without penalty.
    theta : ndarray of shape (R, n_features + 1)
        The coefficients at the end of a fit, near the optimum if there is one.
    candidates : tuple of ndarray
        Directions of the shape of `theta` that may separate the classes.

    Raises
    ------
    RuntimeError
        If it could not be decided whether the classes are separated.
    """
    aliased = aliased_columns(objective)
    varying = objective.varying.copy()
    varying[aliased.columns] = False
    cone = Cone.of(objective, varying, None, None)
    differences = Differences.of(objective, cone)
    directions = Directions(objective if differences is None else differences.objective, cone)
    given = [aliased.with_zeros(given) for given in (theta, *candidates)]
    if differences is not None:
        given = list(map(differences.replaced, given))
    theta, *others = given
    decided, D = verdict(directions, theta, tuple(others))
    if decided is Verdict.OVERLAP:
        return None
    if D is None:
        raise RuntimeError(
            "it was not possible to decide whether the classes are separated: there are "
            f"{theta.size} coefficients, or the linear programs failed."
        )
    D, is_maximal = maximal_face(directions, theta, D)
    is_complete = directions.is_complete(D)
    if not (is_maximal or is_complete):
        raise RuntimeError(
            "the classes are separated, but not all directions were found: there are "
            f"{theta.size} coefficients, or a linear program failed."
        )
    basis, moved = np.zeros((0, *D.shape)), np.append(varying, objective.fit_intercept)
    # Under complete separation, D plus any small change separates too, so no coefficient is finite.
    if not is_complete:
        basis, moved = remaining_directions(directions)
        if differences is not None:
            moved = differences.moved(moved, (D, *basis))
    # If D does not change some coefficients without finite estimates, a random mixture of the
    # remaining directions is added, which almost surely changes them.
    restored = D if differences is None else differences.restored(D)
    is_changed = np.abs(restored).max(axis=0) > NO_CHANGE * np.abs(restored).max()
    if (moved & ~is_changed).any():
        if is_complete:
            basis = np.random.default_rng(1).normal(size=(1, *D.shape)) * moved
        mixture = np.random.default_rng(0).normal(size=len(basis))
        D = directions.sum_keeping_gains(D, np.tensordot(mixture, basis, axes=1))
        restored = D if differences is None else differences.restored(D)
    return Separated(
        kind="complete" if is_complete else "quasi-complete",
        direction=restored,
        moved=moved,
        winners=np.array(directions.winners(D), dtype=np.intp),
        rows=directions.separated_rows(),
    )
