"""A problem with a smooth penalty as a function of preconditioned coordinates.

Coordinates u and v are vectors of shape (R·(d + 1),). θ, and gradients G with respect to θ, have
the shape (R, d + 1), for R logits and d features. F is the objective, loss plus penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Ridge
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._solvers._preconditioners import KroneckerPreconditioner
from skmaxent._solvers._problem import Problem
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array


@dataclass(frozen=True)
class Evaluation:
    """F (`value`) and its gradient at u, and the point of the problem at θ(u).

    `rounding` is the size of the rounding errors of F.
    """

    u: Array
    value: float
    gradient: Array
    rounding: float
    point: Point


class PreconditionedProblem:
    """F as a function of u, where θ = P(θ₀ + L u) and L Lᵀ is the inverse of a preconditioner.

    The preconditioner is the Hessian of the null model or, if columns are too many for their
    covariance matrix, that Hessian without the covariances of columns. P is a projection: it keeps
    coefficients that bounds fix at their values, such as those that an infinite penalty factor
    removes. If logits are coupled, the loss does not change when all coefficients of a feature
    change by the same number; P then adds the number for which the penalty is least.

    Parameters
    ----------
    problem : Problem
        Its penalty is smooth, that is, `nonsmooth_part` returns "": a ridge, whose strength and
        target may differ between classes.
    start : ndarray of shape (R, d + 1)
        θ₀.
    seed : int
        Seed for the sample of rows from which the preconditioner is built.
    """

    def __init__(self, problem: Problem, start: Array, seed: int = 0) -> None:
        objective, terms = problem.objective, problem.terms
        self.problem = problem
        # A plain ridge is part of the objective. A ridge that differs between classes, or that has
        # targets or fixed coefficients, is not: its terms are added here.
        self._penalty = None if terms.is_plain_ridge else terms.whole_penalty()
        self._free: Array | None = None
        self._target: Array | float = 0.0
        self._shares: Array | None = None
        ridge = np.zeros((1, objective.shape[1]))
        if self._penalty is not None:
            ridge = self._penalty.ridge
            self._target = np.where(ridge > 0.0, self._penalty.target, 0.0)
            if terms.lower is not None:
                self._fixed = np.zeros(objective.shape)
                self._fixed[:, :-1] = terms.lower
                self._free = np.ones(objective.shape, dtype=bool)
                self._free[:, :-1] = terms.lower != terms.upper
        if terms.is_coupled and objective.shape[0] > 1:
            self._shares = _shares_of_shift(np.broadcast_to(ridge, objective.shape), self._free)
        self._root = _preconditioner(problem, seed).root()
        self._start = start.copy(order="F")
        if self._penalty is not None:
            # The loss does not depend on constant columns, so that their coefficients are at the
            # target of the ridge.
            constant = np.flatnonzero(~problem.varying)
            target = np.broadcast_to(self._target, objective.shape)
            self._start[:, constant] = target[:, constant]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (R, d + 1) of θ."""
        return self.problem.objective.shape

    @property
    def size(self) -> int:
        """The number of entries of u."""
        R, width = self.shape
        return R * width

    def theta(self, u: Array) -> Array:
        """Return θ for the coordinates u."""
        theta = self._start + self._root.apply(self._unflattened(u))
        if self._shares is not None:
            theta -= np.einsum("kj,kj->j", self._shares, theta - self._target)
        return theta if self._free is None else np.where(self._free, theta, self._fixed)

    def change(self, v: Array) -> Array:
        """Return the change of θ if u changes by v."""
        V = self._root.apply(self._unflattened(v))
        if self._shares is not None:
            V -= np.einsum("kj,kj->j", self._shares, V)
        return V if self._free is None else np.asarray(V * self._free)

    def gradient(self, G: Array) -> Array:
        """Convert a gradient G with respect to θ to that with respect to u."""
        if self._free is not None:
            G = G * self._free
        if self._shares is not None:
            G = G - self._shares * G.sum(axis=0)
        return self._root.apply_transposed(G).ravel(order="F")

    def solve(self, G: Array) -> Array:
        """Return P L Lᵀ Pᵀ G, (R, d + 1), for a gradient G with respect to θ.

        It is the inverse of the preconditioner times G, as `ApproximateInverse` requires.
        """
        return self.change(self.gradient(G))

    def _unflattened(self, u: Array) -> Array:
        """Return a vector of coordinates as an array (R, d + 1)."""
        return u.reshape(self.shape, order="F")

    def at(self, u: Array) -> Evaluation:
        """Return F and its gradient at u, by one pass over X."""
        point = self.problem.objective.at(self.theta(u))
        value, gradient = point.value, point.gradient
        if self._penalty is not None:
            value = point.loss + self._penalty.value(point.theta)
            gradient = gradient + self._penalty.ridge * (point.theta - self._target)
        rounding = point.rounding + 4.0 * EPS * abs(value - point.loss)
        return Evaluation(u, value, self.gradient(gradient), rounding, point)

    def hessian_product(self, at: Evaluation, v: Array) -> Array:
        """Return the Hessian with respect to u times v, by one pass over X."""
        V = self.change(v)
        product = at.point.hessian_product(V)
        if self._penalty is not None:
            product += self._penalty.ridge * V
        return self.gradient(product)


def nonsmooth_part(terms: PenaltyTerms) -> str:
    """Return which terms make an objective nonsmooth, in words; empty if it is smooth."""
    if terms.l1.any():
        return "an L1 penalty"
    if terms.lower is None or terms.upper is None:
        return ""
    has_bounds = np.isfinite(terms.lower) | np.isfinite(terms.upper)
    return "bounds" if (has_bounds & (terms.lower != terms.upper)).any() else ""


def check_is_smooth(terms: PenaltyTerms, solver: str) -> None:
    """Raise ValueError, which names the solver, if the penalty or the bounds are not smooth."""
    found = nonsmooth_part(terms)
    if found:
        raise ValueError(
            f"solver={solver!r} minimises smooth objectives only, found {found}: expected "
            "l1_ratio=0 and bounds=None, or solver='auto', which fits L1 penalties and bounds too."
        )


def _shares_of_shift(ridge: Array, free: Array | None) -> Array:
    """Return weights ω, (R, d + 1), whose columns sum to 1.

    The number Σ_k ω_k (w_k - target_k), subtracted from all coefficients w (R,) of a column, makes
    the ridge of the column least. Columns without a ridge have equal weights, 1/R.

    Parameters
    ----------
    ridge : ndarray of shape (R, d + 1)
        The strengths of the ridge.
    free : ndarray of bool, shape (R, d + 1), or None
        False for fixed coefficients. Columns with such coefficients have weights of zero, because
        they cannot be shifted. None fixes no coefficients.
    """
    total = ridge.sum(axis=0)
    has_ridge = total > 0.0
    shares = np.where(has_ridge, ridge / np.where(has_ridge, total, 1.0), 1.0 / len(ridge))
    if free is not None:
        shares = np.where(free.all(axis=0), shares, 0.0)
    return shares


def _preconditioner(problem: Problem, seed: int) -> KroneckerPreconditioner:
    """Return the preconditioner that `PreconditionedProblem` describes.

    A ridge that differs between classes enters by its mean over the classes.
    """
    null = problem.null
    if not problem.terms.is_plain_ridge:
        strength = problem.terms.ridge.mean(axis=0)
        null = null.on(problem.objective.with_penalty(Ridge(strength)))
    choice = PreconditionerChoice(null.objective, solver="newton-cg", seed=seed)
    preconditioner, _ = choice.at(null, 0)
    assert isinstance(preconditioner, KroneckerPreconditioner), (
        "at the model without features there is no other"
    )
    return preconditioner
