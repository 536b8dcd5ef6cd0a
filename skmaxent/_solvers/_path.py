"""Regularisation path: solutions for a sequence of penalties, each started at the one before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmaxent._objective._objective import Point
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._solution import Options, Solution
from skmaxent._solvers._strategy import minimise, minimise_nonsmooth, minimise_smooth
from skmaxent._solvers._working_set import Screening, WorkingSet
from skmaxent._storage._block import DENSE_ENOUGH, Block
from skmaxent._typing import Array

# Without an L1 penalty no coefficient becomes zero. A grid then begins where all coefficients would
# be zero if the L1 penalty had this share of the whole penalty.
LEAST_L1_RATIO = 1e-3
# Distance, in standard errors, to the optimum of the model with the unpenalised features alone. The
# largest strength is computed from the gradient there.
NULL_MODEL_TOL = 1e-6
# The certificate of a point of the path spends further passes, and a more precise solver continues
# the fit, only if the bound is above this.
LOOSE_GAP = 1e-5
# If the bound of the strong rule is below this share of the penalty, the rule would keep nearly all
# features.
LEAST_SCREENING = 0.5


class Path:
    """A regularisation path: minima for several strengths of the penalty, one after the other.

    Each minimisation starts at the solution before. Strengths in decreasing order need the fewest
    iterations.

    Parameters
    ----------
    problem : Problem
        The problem of the loss alone.
    terms : PenaltyTerms
        Penalty and bounds of the coefficients of the columns of X. A strength is a factor that
        multiplies this penalty.
    options : Options
    lasso : ndarray of shape (1 or R, n_features), optional
        The L1 penalty of strength one that the user's penalty would be with `l1_ratio=1`. It must
        be given if the user's penalty is that of standardised columns. The default is right for a
        penalty of the columns of X.
    """

    def __init__(
        self,
        problem: Problem,
        terms: PenaltyTerms,
        options: Options,
        lasso: Array | None = None,
    ) -> None:
        self._problem = problem
        self._terms = terms
        self._is_standardised = lasso is not None
        self._lasso = terms.l1 + terms.ridge if lasso is None else lasso
        self._options = options
        self._strength = np.inf
        self._solution: Solution | None = None
        self._relaxed: tuple[Array, Solution] | None = None
        self._working = WorkingSet(problem.objective)

    def range(self) -> tuple[float, float]:
        """Return the strengths between which grids of penalties are laid.

        Returns
        -------
        largest : float
            The smallest strength at which all penalised coefficients are zero, or as near to zero
            as bounds allow.
        typical : float
            The same strength if every varying feature had the median scale (standard deviation),
            times the share of L1 in the penalty. It does not exceed `largest`. If the density of X
            is below `DENSE_ENOUGH`, the features keep their own scales, because a small scale then
            means that a feature is rare. They also keep them if the penalty is that of
            standardised columns.

        Both are zero if the penalised coefficients are zero at every strength.
        """
        problem, terms = self._problem, self._terms
        lower = -np.inf if terms.lower is None else terms.lower
        upper = np.inf if terms.upper is None else terms.upper
        held = (self._lasso > 0.0) & (lower <= upper)
        removed = (lower == 0.0) & (upper == 0.0) & ~held
        least = terms.nearest_to_zero
        point = problem.null
        is_null = np.all(held | removed) and not least.any()
        if not is_null or problem.objective.blocks.has_offset:
            given = self._options
            tol = min(given.tol, NULL_MODEL_TOL)
            options = Options(tol, solver=given.solver, seed=given.seed)
            point = minimise(problem.with_penalty(terms.without_penalty(held)), options).point
        # The gradient of the loss with respect to the coefficients of the columns of X. The penalty
        # of zero sets it to zero where a bound keeps a coefficient from moving.
        free = terms.without_penalty(np.zeros(1, bool))
        gradient = point.gradient[:, :-1] * problem.objective.scale
        gradient = np.column_stack([gradient, np.zeros(len(gradient))])
        theta = np.zeros(gradient.shape)
        theta[:, :-1] = least
        norms = terms.dual_norm(
            free.whole_penalty().minimum_norm_subgradient(theta, gradient)[:, :-1]
        )
        l1 = np.maximum(terms.l1, LEAST_L1_RATIO * self._lasso)
        needed = np.divide(norms, l1, out=np.zeros(norms.shape), where=held & (l1 > 0.0))
        # A little above, because rounding must not leave a coefficient that is not zero.
        largest = typical = float(needed.max()) * (1.0 + 1e-6)
        scale = problem.objective.scale
        blocks = problem.objective.blocks
        (nonzero,) = blocks.map_reduce(_nonzero)
        is_dense = nonzero >= DENSE_ENOUGH * blocks.n_samples * blocks.n_features
        if is_dense and problem.varying.any() and not self._is_standardised:
            alike = float((needed / scale).max() * np.median(scale[problem.varying]))
            typical = min(largest, alike)
        return largest, typical * self._l1_ratio

    def relaxed(self, *, by_feature: bool = False) -> Solution:
        """Return the solution without penalty for the coefficients that `at` selected.

        `at` must be called first. Coefficients that are zero in its last solution stay zero. With
        `by_feature`, or if the penalty is grouped, only the coefficients of features stay zero all
        of whose coefficients are zero. If the other features separate the classes, no optimum
        exists, and the status and the directions of the solution returned say so.
        """
        assert self._solution is not None, "at() comes first"
        zero = self._solution.coef == 0.0
        if by_feature or self._terms.grouped:
            zero = np.broadcast_to(zero.all(axis=0), zero.shape)
        if self._relaxed is None or not np.array_equal(zero, self._relaxed[0]):
            problem = self._problem.with_penalty(self._terms.without_penalty(zero))
            options = replace(self._options, callback=None)
            self._relaxed = zero, minimise(problem, options, self._solution.point.theta)
        return self._relaxed[1]

    @property
    def _l1_ratio(self) -> float:
        """The share of the L1 penalty in the whole penalty, at least `LEAST_L1_RATIO`."""
        at = np.unravel_index(self._lasso.argmax(), self._lasso.shape)
        return max(float(self._terms.l1[at] / self._lasso[at]), LEAST_L1_RATIO)

    def at(self, strength: float, start: Array | None = None) -> Solution:
        """Return the solution for this strength of the penalty.

        The fit starts at `start`, θ of shape (R, d + 1); the default is near the last solution.
        """
        problem = self._problem.with_penalty(self._terms, strength)
        point = None if self._solution is None or start is not None else self._solution.point
        start = self._start(problem, strength) if start is None else start
        options = replace(self._options, trusts_model=self._trusts_model())
        if problem.terms.is_plain_ridge:
            solution = minimise_smooth(problem, options, start, least_bound=LOOSE_GAP)
        else:
            solution = minimise_nonsmooth(
                problem,
                options,
                start,
                self._working,
                screening=self._screening(point, strength),
                least_bound=LOOSE_GAP,
            )
        self._problem, self._solution, self._strength = problem, solution, strength
        return solution

    def _trusts_model(self) -> bool:
        """Return whether the next fit trusts the quadratic model of an earlier one at its start."""
        return False

    def _start(self, problem: Problem, strength: float) -> Array | None:
        """Return θ (R, d + 1) at which to start the fit of a problem, or None for the null model.

        `strength` is the strength of the problem's penalty.
        """
        return None if self._solution is None else self._solution.point.theta

    def _screening(self, point: Point | None, strength: float) -> Screening | None:
        """Return the sequential strong rule for the fit that follows the solution at `point`.

        The rule assumes that gradients change no faster than penalties, so that a feature whose
        gradient is below 2 λ - λ_before has zero coefficients (Tibshirani et al. 2012, J. R. Stat.
        Soc. B 74, 245-266). Here λ is `strength`, and λ_before is the strength of the last
        solution, the gradient of which `point` has. If λ is above λ_before, the features returned
        are those whose gradient is above λ. The result is None if there is no last solution, or
        after a step from λ_before so large that the rule says little.
        """
        least = min(2.0 * strength - self._strength, strength)
        if point is None or not LEAST_SCREENING * strength < least < np.inf:
            return None
        terms = self._problem.standardised(self._terms, least)
        return Screening(point, terms.whole_penalty())


def _nonzero(block: Block) -> tuple[int]:
    """Return the number of nonzero entries of X in a block, as a tuple of one."""
    return (int(np.count_nonzero(block.X.data if block.is_sparse else block.X)),)
