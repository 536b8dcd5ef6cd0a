"""Newton's method for many small problems at once, which share their rows.

The problems differ in the weights of the rows, for instance because each leaves out the rows of a
fold, and in the strength of the penalty. One product of the rows with the coefficients of all
problems gives their logits, so that calls of NumPy cost little.

There are m problems over n rows, with R logits of width = d + 1 standardised columns each. Flat
coefficients W have the shape (m, p), with p = R·width and those of a logit next to each other.

Let Δ be a Newton step in which no difference of two logits of a row changes by more than δ. Then
the curvature along the step stays within factors of exp(±δ) (Bach 2010, Electron. J. Stat. 4,
384-414). If H is the Hessian at its start, the gradient at its end therefore has at most the length
√(ΔᵀHΔ) (exp(δ) - 1 - δ)/δ in the norm of H⁻¹. This holds for proximal Newton steps too, with the
subgradient of least length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import STRONGEST
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers._active_set import REGULARISATION, FlatPenalty, PivotSearch, max_pivots
from skmaxent._solvers._names import NEWTON
from skmaxent._solvers._small import SmallRows, expansion, is_small
from skmaxent._solvers._small_nonsmooth import ENOUGH, LEAST_SHARE
from skmaxent._solvers._small_quadratics import diagonals, minima, times
from skmaxent._solvers._solution import SMALLEST_TOTAL
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Most entries of an array that has one entry for each logit of each row and each problem, or for
# each pair of coefficients of each problem: arrays stay in the cache.
ENTRIES_TOGETHER = 1 << 17
# A Newton step in which no difference of logits changes by more than one lowers the value by at
# least half of the predicted decrease, because (exp(1) - 2) ΔᵀHΔ is an upper bound on what the loss
# adds to its linear model, and ΔᵀHΔ/2 at most the predicted decrease.
SURE_CHANGE = 1.0
# Rounding hides a weaker penalty of a column that is constant in a problem: one whose variance
# there is below this share of its variance in the objective.
LEAST_PENALTY, CONSTANT = 1e-10, 1e-12
# Rounding of the gradient makes steps of this size along flat directions, relative to the roots of
# the diagonal of the Hessian.
HIDDEN_STEP = 4.0 * EPS / REGULARISATION


@dataclass(frozen=True)
class Points:
    """Coefficients of several problems, and the model there.

    Attributes
    ----------
    which : ndarray of int, shape (m,)
        For each problem, the row of its weights, which has a penalty too.
    strength : ndarray of shape (m,)
        Factors of the penalties.
    W : ndarray of shape (m, p)
    Z, P : ndarray of shape (m, R, n)
        Logits and probabilities.
    normaliser : ndarray of shape (m, n)
        The logarithm of the sum of the exponentials of the logits of all outcomes.
    value : ndarray of shape (m,)
        The mean loss plus the penalty.
    """

    which: Array
    strength: Array
    W: Array
    Z: Array
    P: Array
    normaliser: Array
    value: Array

    def at(self, index: Array) -> Points:
        """Return the points of the problems at positions or in a mask `index`."""
        return Points(*(array[index] for array in vars(self).values()))

    def put(self, index: Array, other: Points) -> None:
        """Replace the points at positions `index` by `other`."""
        for array, new in zip(vars(self).values(), vars(other).values(), strict=True):
            array[index] = new


def suits_small_batch(objective: MultinomialObjective, terms: PenaltyTerms, solver: str) -> bool:
    """Return whether `SmallBatch` is the fastest way to solve several problems like this one.

    The penalty, `terms`, must be elementwise and without bounds. Every column needs one, for its
    coefficient to be unique also where the column is constant for other weights of the rows.
    """
    return (
        is_small(objective)
        and solver in NEWTON
        and solver != "newton-cg"
        and not terms.grouped
        and terms.lower is None
        and terms.upper is None
        and bool((terms.l1 + terms.ridge > 0.0).all())
    )


class SmallBatch:
    """Many small problems over the same rows.

    Parameters
    ----------
    objective : MultinomialObjective
        A small one, whose columns, targets and offsets the problems share.
    weights : ndarray of shape (n_weights, n)
        Weights of the rows, which sum to one.
    sizes : ndarray of shape (n_weights,)
        Effective sample sizes.
    penalties : sequence of Elementwise
        Penalties without bounds, for θ of shape (R, width). They have the same target.
    penalty_of : ndarray of int, shape (n_weights,), optional
        The position of the penalty for each row of weights. The default is the first penalty.

    Attributes
    ----------
    shares : ndarray of shape (n_weights, R)
        The means of the targets.
    means : ndarray of shape (n_weights, width)
        The means of the standardised columns.
    held : ndarray of bool, shape (p,)
        The coefficients that stay zero, because the minimum does not determine them.
    """

    def __init__(
        self,
        objective: MultinomialObjective,
        weights: Array,
        sizes: Array,
        penalties: Sequence[Elementwise],
        penalty_of: Array | None = None,
    ) -> None:
        self._rows = rows = objective.computed_once(SmallRows)
        self._likelihood = objective.likelihood
        self._shape = R, width = objective.shape
        self._weights, self._sizes = weights, sizes
        self.shares = weights @ rows.targets.T
        self.means = weights @ rows.by_row
        weighted = rows.targets * weights[:, None]
        self._target_means = (weighted @ rows.by_row).reshape(len(weights), R * width)
        self._target_offsets = np.zeros(len(weights))
        if rows.offset is not None:
            self._target_offsets = np.einsum("fkn,kn->f", weighted, rows.offset)
        flat = [FlatPenalty(penalty, self._shape) for penalty in penalties]
        of_weights = np.zeros(len(weights), np.intp) if penalty_of is None else penalty_of
        self._l1 = np.array([each.l1 for each in flat])[of_weights]
        self._ridge = np.array([each.ridge for each in flat])[of_weights]
        self.target = flat[0].target
        # The minimum does not determine the coefficients of columns of zeros and, if the last logit
        # is redundant, those of this logit that have no penalty.
        held = np.zeros(self._shape, dtype=bool)
        held[:, ~objective.standardisation.is_free] = True
        if objective.likelihood.is_coupled:
            held[-1] |= ~(flat[0].l1 + flat[0].ridge).reshape(R, width).any(axis=0)
        self.held = held.ravel()
        self._is_varying = objective.varying

    @property
    def _n_together(self) -> int:
        """The number of problems that are minimised together."""
        n, p = self._weights.shape[1], len(self.held)
        return max(1, ENTRIES_TOGETHER // max(self._shape[0] * n, p * p))

    def null(self) -> Array:
        """Return W of the models without features, (n_weights, p), for offsets of zero."""
        theta = np.zeros((len(self.shares), *self._shape))
        theta[..., -1] = [self._likelihood.null_intercept(share) for share in self.shares]
        if self._likelihood.is_coupled:
            theta[..., -1] -= theta[:, -1:, -1]
        return np.where(self.held, 0.0, theta.reshape(len(theta), -1))

    def at(self, which: Array, strength: Array, W: Array) -> Points:
        """Evaluate problems at W; the arguments are those of `Points`."""
        rows, (R, width), m = self._rows, self._shape, len(W)
        Z = (W.reshape(m * R, width) @ rows.columns).reshape(m, R, -1)
        if rows.offset is not None:
            Z += rows.offset
        # The likelihood takes one row for each logit.
        P = Z.transpose(1, 0, 2).copy().reshape(R, -1)
        normaliser = self._likelihood.probabilities(P).reshape(m, -1)
        value = np.einsum("mn,mn->m", normaliser, self._weights[which])
        value -= np.einsum("mp,mp->m", W, self._target_means[which]) + self._target_offsets[which]
        value += self._penalty_at(which, strength, W)
        by_problem = P.reshape(R, m, -1).transpose(1, 0, 2)
        return Points(which, strength, W, Z, by_problem, normaliser, value)

    def _penalty_at(self, which: Array, strength: Array, W: Array) -> Array:
        """Return the penalties of W, (m,)."""
        l1, ridge = self.strengths(which, strength)
        half = 0.5 * ridge * np.square(W - self.target)
        return np.asarray((l1 * np.abs(W) + half).sum(axis=1))

    def strengths(self, which: Array, strength: Array) -> tuple[Array, Array]:
        """Return the strengths of the L1 penalty and of the ridge, each of shape (m, p)."""
        return (
            np.minimum(self._l1[which] * strength[:, None], STRONGEST),
            np.minimum(self._ridge[which] * strength[:, None], STRONGEST),
        )

    def minimise(
        self, which: Array, strength: Array, W: Array, tol: float, max_iter: int
    ) -> tuple[Array, Array]:
        """Minimise problems from W, until their distances to the optimum are at most `tol`.

        The first parameters are those of `Points`, and distances are in standard errors.

        Returns
        -------
        W : ndarray of shape (m, p)
        n_iter : ndarray of int, shape (m,)
            The numbers of steps; 0 where the method did not converge, or rounding hides the penalty
            that alone determines some coefficients.
        """
        ends, n_iter = W.copy(), np.zeros(len(W), dtype=np.int32)
        some = np.flatnonzero(self._are_determined(which, strength))
        for first in range(0, len(some), self._n_together):
            index = some[first : first + self._n_together]
            here = self.at(which[index], strength[index], W[index])
            for number in range(1, max_iter + 1):
                here, distance, is_lower = self._after_step(here)
                done = distance <= tol
                ends[index[done]], n_iter[index[done]] = here.W[done], number
                others = np.flatnonzero(~done & is_lower)
                if not len(others):
                    break
                here, index = here.at(others), index[others]
        return ends, n_iter

    def _are_determined(self, which: Array, strength: Array) -> Array:
        """Return in which problems (m,) rounding hides no penalty of a constant column."""
        penalty = np.add(*self.strengths(which, strength)).reshape(len(which), *self._shape)
        is_weak = (penalty[:, :, :-1] < LEAST_PENALTY).any(axis=1)
        if not is_weak.any():
            return np.ones(len(which), dtype=bool)
        # Without an intercept the last mean is zero, and constants do not count.
        spread = self._weights @ np.square(self._rows.by_row)
        spread -= np.square(self.means) * self.means[:, -1:]
        is_constant = (spread <= CONSTANT)[:, :-1] & self._is_varying
        return np.asarray(~(is_weak & is_constant[which]).any(axis=1))

    def logits(self, W: Array, rows: Array) -> Array:
        """Return the logits (m, R) of a row for each of W, offsets included; `rows` is (m,)."""
        at = self._rows
        Z = np.einsum("mkj,mj->mk", W.reshape(len(W), *self._shape), at.by_row[rows])
        return np.asarray(Z if at.offset is None else Z + at.offset[:, rows].T)

    def _after_step(self, here: Points) -> tuple[Points, Array, Array]:
        """Return the points after a Newton step, and bounds on their distances to the optima.

        A step that does not lower the value is shortened. The distances, (m,), are in standard
        errors; they are infinite for shortened steps. The last result is a mask of the points whose
        value is low enough.
        """
        with np.errstate(all="ignore"):
            end, length, left, decrease = self._model_minima(here)
            there = self.at(here.which, here.strength, end)
            change = self._largest_change(here, there)
            share = np.divide(np.expm1(change) - change, change, where=change > 0.0, out=0 * change)
            distance = self._roots(there) * np.exp(0.5 * change) * (share * length + left)
            is_lower = there.value <= here.value - ENOUGH * decrease
            is_lower |= change <= SURE_CHANGE  # rounding may hide the decrease
            t, bad = 0.25, np.flatnonzero(~is_lower)
            while len(bad) and t >= LEAST_SHARE:
                W = here.W[bad] + t * (end[bad] - here.W[bad])
                trial = self.at(here.which[bad], here.strength[bad], W)
                good = trial.value <= here.value[bad] - ENOUGH * t * decrease[bad]
                there.put(bad[good], trial.at(good))
                distance[bad], is_lower[bad[good]] = np.inf, True
                t, bad = 0.25 * t, bad[~good]
            distance[bad] = np.inf
            # Steps that the regularisation makes this short hardly come nearer to the minimum, and
            # rounding hides what determines it.
            is_lower &= left <= length
        return there, distance, is_lower

    def _roots(self, points: Points) -> Array:
        """Return the factors that convert lengths to standard errors, (m,); see `root_size`."""
        sizes = self._sizes[points.which]
        return np.asarray(np.sqrt(sizes / np.clip(sizes * points.value, SMALLEST_TOTAL, 1.0)))

    def _largest_change(self, here: Points, there: Points) -> Array:
        """Return the largest change of a difference of logits in rows with weight, (m,)."""
        D = there.Z - here.Z
        if self._likelihood.is_coupled:
            change = D.max(axis=1) - D.min(axis=1)
        else:
            change = np.abs(D).max(axis=1)
        return np.asarray(np.where(self._weights[here.which] > 0.0, change, 0.0).max(axis=1))

    def _model_minima(self, here: Points) -> tuple[Array, Array, Array, Array]:
        """Minimise quadratic models of the losses plus the penalties.

        Returns
        -------
        end : ndarray of shape (m, p)
            The minima.
        length : ndarray of shape (m,)
            The lengths of the steps in the norm of the Hessian H, ridge included.
        left : ndarray of shape (m,)
            How far the minima are from those of the models without regularisation, in the norm of
            H, at least; see `_left_by_regularisation` and `_least_length`.
        decrease : ndarray of shape (m,)
            The decreases of the models plus penalties, at least zero.
        """
        gradient, A = self.derivatives(here)
        l1, ridge = self.strengths(here.which, here.strength)
        p = len(self.held)
        A[:, np.arange(p), np.arange(p)] += ridge
        slope = gradient + ridge * (here.W - self.target)
        end, is_found = minima(A, slope, l1, here.W, self.held)
        for i in np.flatnonzero(~is_found).tolist():
            end[i] = self._minimum_by_pivots(A[i], slope[i], l1[i], here.W[i])
        step = end - here.W
        change = times(A, step)
        squares = np.maximum(np.einsum("mp,mp->m", step, change), 0.0)
        decrease = np.einsum("mp,mp->m", slope, step) + 0.5 * squares
        decrease += (l1 * (np.abs(end) - np.abs(here.W))).sum(axis=1)
        left = _left_by_regularisation(A, step, squares, (end == 0.0) & (l1 > 0.0))
        slope = np.where(self.held, 0.0, slope + change)
        left = np.maximum(left, _least_length(A, slope, l1, end))
        return end, np.sqrt(squares), left, np.maximum(-decrease, 0.0)

    def _minimum_by_pivots(self, A: Array, slope: Array, l1: Array, W: Array) -> Array:
        """Return what `minima` returns for a single problem, by `PivotSearch`."""
        A, none, p = A.copy(), np.full((1, len(W)), np.inf), len(W)
        A[self.held, self.held] = 0.0
        l1, zero = l1[None], np.zeros((1, p))
        flat = FlatPenalty(Elementwise(l1, zero, zero, -none, none), (1, p))
        search = PivotSearch(A, slope, W, flat, W)
        search.run(max_pivots(p))
        return search.W

    def derivatives(self, here: Points) -> tuple[Array, Array]:
        """Return the gradients (m, p) and the Hessians (m, p, p) of the losses."""
        rows, (R, width), m = self._rows, self._shape, len(here.W)
        weights = self._weights[here.which]
        gradient = ((here.P * weights[:, None]) @ rows.by_row).reshape(m, R * width)
        P = here.P.transpose(1, 0, 2).reshape(R, -1)
        curvature = self._likelihood.logit_curvature(P)
        curvature *= weights.ravel()
        pairs = curvature.reshape(len(curvature) * m, -1) @ rows.pairs.T
        pairs = pairs.reshape(len(curvature), m, -1).transpose(1, 0, 2).reshape(m, -1)
        A = np.take(pairs, expansion(R, width), axis=1)
        return gradient - self._target_means[here.which], A


def _left_by_regularisation(A: Array, step: Array, squares: Array, is_zero: Array) -> Array:
    """Estimate how far regularised Newton steps end from the minima, in the norm of A; (m,).

    Let Δ be the step of the coefficients that do not end at zero, and D the diagonal of A. The
    gradient at the end is -`REGULARISATION` D Δ. Its length in the norm of A⁻¹ is at least
    `REGULARISATION` ΔᵀDΔ/√(ΔᵀAΔ). It is about that if Δ is a direction of little curvature, which
    later steps follow too.

    Parameters
    ----------
    A : ndarray of shape (m, p, p)
    step : ndarray of shape (m, p)
    squares : ndarray of shape (m,)
        The products of the steps with A and themselves.
    is_zero : ndarray of bool, shape (m, p)
        The coefficients that an L1 penalty keeps at zero or makes zero.
    """
    become_zero = is_zero & (step != 0.0)
    if become_zero.any():
        step, squares = np.where(is_zero, 0.0, step), squares.copy()
        some = np.flatnonzero(become_zero.any(axis=1))
        squares[some] = np.einsum("mp,mp->m", step[some], times(A[some], step[some]))
    scaled = diagonals(A) * np.square(step)
    scaled = np.where(scaled > HIDDEN_STEP**2, scaled, 0.0).sum(axis=1)
    length = np.sqrt(np.maximum(squares, EPS * scaled))  # rounding of A hides smaller curvatures
    return np.divide(REGULARISATION * scaled, length, where=length > 0.0, out=0.0 * length)


def _least_length(A: Array, slope: Array, l1: Array, W: Array) -> Array:
    """Return lower bounds on the lengths of subgradients in the norm of A⁻¹, (m,).

    A coordinate g of a subgradient of least length contributes at least |g|/√a, where a is its
    entry of the diagonal of A. This is infinite where the curvature underflows to zero because the
    probabilities of all rows are zero or one: no step starts there, however steep the loss is.

    Parameters
    ----------
    A : ndarray of shape (m, p, p)
    slope : ndarray of shape (m, p)
        The gradients of the quadratic functions at W.
    l1, W : ndarray of shape (m, p)
    """
    shrunk = np.sign(slope) * np.maximum(np.abs(slope) - l1, 0.0)
    least = np.abs(np.where(W == 0.0, shrunk, slope + l1 * np.sign(W)))
    lengths = np.divide(least, np.sqrt(diagonals(A)), where=least > 0.0, out=0.0 * least)
    return np.asarray(lengths.max(axis=1))
