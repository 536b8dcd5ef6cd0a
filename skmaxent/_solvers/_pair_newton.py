"""Newton's method for lasso paths of sparse rows, over pairs of a feature and a logit.

The pairs are those with nonzero coefficients and those that the strong rule does not discard. Each
step minimises the quadratic model of the loss, with the Hessian itself, plus the penalty over these
pairs. All other pairs are checked by a pass over all columns before the fit ends.

Conventions
-----------
R logits, d features. θ (R, d + 1) are the coefficients of the standardised columns, with the
intercepts last. The pair of feature j and logit k has the position j·R + k, its index in θ.ravel()
of order "F". m is the number of selected pairs; x (m + R,) are their coefficients, then the
intercepts. F is the mean loss plus the penalty. A squared distance is measured in the Hessian of F.
`_root_n` times its root is the distance to the optimum in standard errors.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple, TypeGuard

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Penalty
from skmaxent._solvers._conjugate_gradients import conjugate_gradients
from skmaxent._solvers._pair_columns import PairColumns, ScaledColumns
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._storage._arrays import EPS
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._vectors import nonzero_columns
from skmaxent._typing import Array

# Passes with fewer multiplications cost less than the calls.
LEAST_WORK = 200_000
# Most nonzero entries of X, of which two copies are made.
MOST_ENTRIES = 1 << 25
# If the pairs have more than this share of the entries that their features have for all logits,
# products with whole features take less time: SciPy adds up neighbouring numbers faster.
MOST_PAIRS = 0.2
# Pairs whose gradient is below this share of the penalty are left for the check at the end, even if
# the strong rule would keep them: after a long step from the last penalty it would keep most.
LEAST_SHARE = 0.85
# Most rounds of a minimum of the model. In each of them pairs at zero may begin to vary, and pairs
# that would change their sign become zero.
MAX_MODEL_ROUNDS = 8
# The minimum of the model ends when the length of its subgradient is at most MODEL_SHARE times the
# first length, or TARGET_SHARE times the length that the requested distance allows.
MODEL_SHARE, TARGET_SHARE = 0.02, 0.3
# In a round, conjugate gradients reduce the length of the subgradient to ROUND_SHARE times its
# value, by at most MAX_PRODUCTS Hessian products.
ROUND_SHARE, MAX_PRODUCTS = 0.1, 50
# A step is taken if it lowers F by this share of the decrease that the model predicts.
ENOUGH = 0.1
# Shares of a step that are tried.
SHARES = (1.0, 0.3, 0.1)
# Most rounds in which pairs from the rest are added.
MAX_CHECKS = 10
# Curvatures below this share of their mean are replaced by that share of the mean.
LEAST_CURVATURE = 1e-3


def fits_pairs(
    penalty: Penalty, objective: MultinomialObjective, options: Options
) -> TypeGuard[Elementwise]:
    """Return whether this solver applies.

    It applies to sparse rows in memory, neither too few nor too many, whose probabilities
    are kept, with a penalty that is L1 alone and positive for every coefficient but intercepts.
    """
    blocks = objective.blocks
    return (
        type(blocks) is RowBlocks
        and blocks.is_sparse
        and blocks.has_room
        and blocks.work >= LEAST_WORK
        and blocks.size <= MOST_ENTRIES
        and objective.keeps
        and options.max_iter > 0
        and isinstance(penalty, Elementwise)
        and penalty.is_l1_alone
        and bool((penalty.l1[:, :-1] > 0.0).all())
    )


class _Iterate(NamedTuple):
    """Coefficients, with F and the gradient of the loss there.

    Attributes
    ----------
    x : ndarray of shape (m + R,)
        The coefficients of the selected pairs, and the intercepts.
    value : float
        F, the loss plus the penalty.
    rounding : float
        The size of the rounding errors of `value`.
    gradient : ndarray of shape (m + R,)
        The gradient of the loss, without the penalty.
    P : ndarray of shape (R, n_samples)
        The probabilities of the rows.
    """

    x: Array
    value: float
    rounding: float
    gradient: Array
    P: Array


class _Minimum(NamedTuple):
    """An approximate minimum of the quadratic model of the loss, plus the penalty.

    Attributes
    ----------
    x : ndarray of shape (m + R,)
        The coefficients of the selected pairs, and the intercepts.
    decrease : float
        The decrease of model plus penalty from the iterate to `x`.
    left : float
        Twice the estimated decrease from `x` to the exact minimum.
    smallest_ritz : float
        The smallest Ritz value that conjugate gradients found for D^-½ H D^-½, where H is the
        Hessian and 1/D is `_Fit._inverse`; at most 1.
    """

    x: Array
    decrease: float
    left: float
    smallest_ritz: float


class PairNewton:
    """The solver of a path, and the columns of X, which it keeps from penalty to penalty.

    Parameters
    ----------
    objective : MultinomialObjective
        One for which `fits_pairs` is true; its penalty does not count.
    """

    def __init__(self, objective: MultinomialObjective) -> None:
        blocks = objective.blocks
        assert isinstance(blocks, RowBlocks), "pairs are copied from rows in memory"
        self.columns = ScaledColumns(blocks.by_column(), objective.standardisation)
        self.rows = blocks.whole()
        self.total_weight = objective.total_weight

    def minimise(
        self,
        objective: MultinomialObjective,
        theta: Array,
        options: Options,
        record: Record,
        penalty: Elementwise,
        screening: tuple[Array, Array],
    ) -> Outcome | Point:
        """Minimise loss and penalty from θ until it is `options.tol` from the optimum.

        Parameters
        ----------
        objective : MultinomialObjective
        theta : ndarray of shape (R, d + 1)
        options : Options
        record : Record
        penalty : Elementwise
        screening : tuple of ndarray of shape (R, d + 1) and (1 or R, d + 1)
            A gradient and strengths. Pairs with abs(gradient) > strength are selected from the
            start, and so are those with nonzero coefficients in `theta`. Strengths below
            `LEAST_SHARE` times the penalty are replaced by that.

        Returns
        -------
        Outcome or Point
            An outcome if the fit converged, was stopped by the callback or used up `max_iter`;
            otherwise the point from which another solver should continue.
        """
        gradient, strengths = screening
        strengths = np.maximum(strengths, LEAST_SHARE * penalty.l1)
        is_likely = np.abs(gradient[:, :-1]) > strengths[:, :-1]
        is_likely |= theta[:, :-1] != 0.0
        positions = np.flatnonzero(is_likely.ravel(order="F"))
        return _Fit(self, objective, theta, options, record, penalty).run(positions)


class _Fit:
    """The fit for one penalty: see `PairNewton.minimise`.

    `_flat` is the present θ.ravel(order="F"); `_pairs` and `_l1` are the columns and the penalties
    of the selected pairs. `_inverse` (m + R,) and `_ritz` describe the Hessian, see `_descend`.
    """

    def __init__(
        self,
        solver: PairNewton,
        objective: MultinomialObjective,
        theta: Array,
        options: Options,
        record: Record,
        penalty: Elementwise,
    ) -> None:
        self._solver, self._options, self._record = solver, options, record
        self._penalty, self._objective = penalty, objective
        self._shape = theta.shape
        self._R = len(theta)
        self._flat = theta.ravel(order="F").copy()
        weights = solver.rows.weights
        scale = 1.0 / solver.total_weight
        self._weights = scale if weights is None else scale * weights

    def run(self, positions: Array) -> Outcome | Point:
        """Minimise over the pairs at `positions`, and over others that violate optimality.

        The result is a point, from which another solver should continue, if products with pairs
        take too long, if steps no longer lower F, or after `MAX_CHECKS` rounds.
        """
        objective, penalty, record = self._objective, self._penalty, self._record
        point = None
        for _ in range(MAX_CHECKS):
            if not self._affords(positions):
                break
            status, squares = self._descend(positions)
            point = objective.at(self._recentred())
            value = point.loss + penalty.value(point.theta)
            if status is Status.MAX_ITER and not record.is_full:
                return point
            if status is not Status.CONVERGED:
                return Outcome(point, value, status, record.history)
            others, lengths = self._violating(point, positions)
            distance = self._root_n(value) * math.sqrt(squares + lengths)
            if distance <= self._options.tol:
                status = record.add(
                    objective.counter, point.theta, value, distance, Status.CONVERGED
                )
                return Outcome(point, value, status, record.history)
            self._flat = point.theta.ravel(order="F").copy()
            positions = np.union1d(positions, others)
        return objective.at(self._recentred()) if point is None else point

    def _affords(self, positions: Array) -> bool:
        """Return whether products with these pairs take less time than with their features."""
        counts = np.diff(self._solver.columns.indptr)
        features = positions // self._R
        all_logits = self._R * int(counts[np.unique(features)].sum())
        return int(counts[features].sum()) <= MOST_PAIRS * all_logits or self._R == 1

    def _theta(self) -> Array:
        """Return θ (R, d + 1)."""
        return self._flat.reshape(self._shape, order="F")

    def _recentred(self) -> Array:
        """Return a copy of θ; a number is subtracted from each column so that the penalty is least.

        The loss does not change, because the numbers are zero unless logits are coupled.
        """
        theta = self._theta().copy(order="F")
        some = np.append(nonzero_columns(theta[:, :-1]), theta.shape[1] - 1)
        theta[:, some] = self._penalty.columns(some).recentre(theta[:, some])
        return theta

    def _root_n(self, value: float) -> float:
        """Return the factor √n from roots of squared distances to standard errors.

        It depends on F, `value`, only where the classes are nearly separated; see `root_size`.
        """
        return root_size(self._objective.blocks.effective_size, value)

    def _violating(self, point: Point, positions: Array) -> tuple[Array, float]:
        """Return the positions of other pairs that violate optimality, and a squared distance.

        `positions` are the selected pairs. Another pair, whose coefficient is zero, violates
        optimality if abs(gradient) exceeds its penalty. The number is an estimate of what these
        pairs add to the squared distance.
        """
        gradient = np.abs(point.gradient)
        is_over = (gradient > self._penalty.l1).ravel(order="F")
        is_over[positions] = is_over[-self._R :] = False
        found = np.flatnonzero(is_over)
        if not len(found):
            return found, 0.0
        features, logits = np.divmod(found, self._R)
        excess = gradient[logits, features] - self._l1_of(found)
        # Standardised columns have about the curvature of the intercepts.
        inverse = self._inverse[-self._R :][logits]
        return found, float(np.square(excess) @ inverse) / self._ritz

    def _descend(self, positions: Array) -> tuple[Status, float]:
        """Minimise over the pairs at `positions` until the distance is `options.tol`.

        It changes `_flat` to the coefficients at the end, `_inverse` to the reciprocal diagonal of
        the Hessian at the start, and `_ritz` to `smallest_ritz` of the last model.

        Returns
        -------
        status : Status
            MAX_ITER, with a record that is not full, if another solver should continue.
        square : float
            The squared distance at the end.
        """
        self._select(positions)
        tol, record = self._options.tol, self._record
        at = self._evaluate(np.append(self._flat[positions], self._flat[-self._R :]))
        self._inverse = self._inverse_curvature(at.P)
        while True:
            root_n = self._root_n(at.value)
            model = self._model_minimum(at, TARGET_SHARE * tol / root_n)
            squares = 2.0 * model.decrease + model.left
            self._ritz = min(1.0, model.smallest_ritz)
            distance = root_n * math.sqrt(squares)
            self._put(at.x)
            theta = self._theta()
            theta = theta.copy(order="F") if record.has_callback else theta
            counter = self._objective.counter
            status = record.add(counter, theta, at.value, distance, Status.MAX_ITER)
            if status is Status.STOPPED or record.is_full:
                return status, squares
            is_near = distance <= tol
            if not model.decrease > at.rounding:
                return Status.CONVERGED if is_near else Status.MAX_ITER, squares
            found = self._on_segment(at, model)
            if found is None:
                return Status.CONVERGED if is_near else Status.MAX_ITER, squares
            at = found
            left = self._square_length(at)
            if is_near or self._root_n(at.value) * math.sqrt(left) <= tol:
                self._put(at.x)
                return Status.CONVERGED, min(left, squares) if is_near else left

    def _select(self, positions: Array) -> None:
        """Set `_pairs` and `_l1` for the pairs at these positions."""
        R = self._R
        self._pairs = PairColumns(self._solver.columns, positions, R)
        self._l1 = np.append(self._l1_of(positions), np.zeros(R))

    def _l1_of(self, positions: Array) -> Array:
        """Return the strengths of the L1 penalty of the pairs at these positions, (m,)."""
        features, logits = np.divmod(positions, self._R)
        return np.asarray(np.broadcast_to(self._penalty.l1, self._shape)[logits, features])

    def _put(self, x: Array) -> None:
        """Copy x (m + R,) into `_flat`, the coefficients of all pairs and the intercepts."""
        self._flat[self._pairs.positions] = x[: -self._R]
        self._flat[-self._R :] = x[-self._R :]

    def _count_pass(self) -> None:
        """Add a pass over all rows to the tally of the rows."""
        self._objective.blocks.tally.rows += self._objective.blocks.n_samples

    def _evaluate(self, x: Array) -> _Iterate:
        """Return F and the gradient of the loss at x (m + R,), by one pass over the pairs."""
        likelihood, rows = self._objective.likelihood, self._solver.rows
        self._objective.counter.gradients += 1
        self._count_pass()
        Z = self._pairs.times(x)
        if rows.offset is not None:
            Z += rows.offset.T
        target = likelihood.target_sum(Z, rows.targets)
        normaliser = likelihood.probabilities(Z)
        losses = (normaliser - target) * self._weights
        U = Z.copy()
        likelihood.subtract_targets(U, rows.targets)
        U *= self._weights
        gradient = self._pairs.transposed_times(U)
        loss = float(losses.sum())
        terms = np.bincount(self._pairs.logits, np.abs(x[: -self._R]), self._R)
        size = float((np.abs(normaliser) * self._weights).sum()) + float(terms.max())
        value = loss + float(self._l1 @ np.abs(x))
        return _Iterate(x, value, 4.0 * EPS * (loss + size), gradient, Z)

    def _product(self, P: Array, V: Array) -> Array:
        """Return the Hessian at probabilities P times a direction V; both (m + R,)."""
        self._objective.counter.hessian_products += 1
        self._count_pass()
        U = self._objective.likelihood.curvature(P, self._pairs.times(V))
        U *= self._weights
        out = self._pairs.transposed_times(U)
        if not self._objective.fit_intercept:
            out[-self._R :] = 0.0
        return out

    def _inverse_curvature(self, P: Array) -> Array:
        """Return the reciprocals of the diagonal of the Hessian at P, (m + R,)."""
        diagonal = self._pairs.squares_times(P * (1.0 - P) * self._weights)
        return np.asarray(1.0 / np.maximum(diagonal, LEAST_CURVATURE * diagonal.mean()))

    def _free(self, x: Array, gradient: Array) -> tuple[Array, Array]:
        """Return a mask of the coefficients that vary near x, and the signs of the varying pairs.

        All arrays have the shape (m + R,). Nonzero pairs vary, and intercepts if there are any. A
        pair at zero varies if abs(gradient) exceeds its penalty; its sign is that of its descent.
        The signs of intercepts and of fixed pairs are 0.
        """
        R = self._R
        sign = np.sign(x)
        sign[-R:] = 0.0
        enters = (x == 0.0) & (np.abs(gradient) > self._l1)
        enters[-R:] = False
        sign[enters] = -np.sign(gradient[enters])
        is_free = sign != 0.0
        is_free[-R:] = self._objective.fit_intercept
        return is_free, sign

    def _square_length(self, at: _Iterate) -> float:
        """Return an upper estimate of the squared distance from an iterate to the optimum.

        It is gᵀ D⁻¹ g / `_ritz`, for the subgradient g of F over the coefficients that vary and the
        diagonal D of the Hessian: `_ritz` is nearly the smallest eigenvalue of D⁻¹ H.
        """
        is_free, sign = self._free(at.x, at.gradient)
        slope = np.where(is_free, at.gradient + self._l1 * sign, 0.0)
        return float(np.square(slope) @ self._inverse) / self._ritz

    def _model_minimum(self, at: _Iterate, target: float) -> _Minimum:
        """Minimise the quadratic model at an iterate together with the penalty.

        Each round minimises over the coefficients that vary, by conjugate gradients, and sets those
        that would change their sign to zero. The rounds end where the length √(gᵀ D⁻¹ g) of the
        subgradient g is at most `target`, or `MODEL_SHARE` times its length at the iterate.
        """
        x, q, ritz, tolerance = at.x, at.gradient, 1.0, 0.0
        blocked = np.zeros(len(x), dtype=bool)
        for n_round in range(MAX_MODEL_ROUNDS + 1):
            is_free, sign = self._free(x, q)
            is_free[blocked] = False
            slope = np.where(is_free, q + self._l1 * sign, q)
            inverse = np.where(is_free, self._inverse, 0.0)
            norm = math.sqrt(float(np.square(slope) @ inverse))
            if n_round == 0:
                tolerance = max(target, MODEL_SHARE * norm)
            if n_round == MAX_MODEL_ROUNDS or (norm <= tolerance and not blocked.any()):
                break
            step = conjugate_gradients(
                partial(self._product, at.P),
                partial(np.multiply, inverse),
                slope,
                radius=np.inf,
                tolerance=max(0.5 * tolerance, ROUND_SHARE * norm),
                max_products=MAX_PRODUCTS,
            )
            ritz = min(ritz, step.smallest_ritz)
            move, change, share = step.direction, step.residual - slope, 1.0
            crossed = is_free & ((x + move) * sign < 0.0)
            if crossed.any():
                # Those that cross zero end there; the value is least at a share of the way.
                ended = np.where(crossed, -x, move)
                down = -float(slope @ np.where(is_free, ended, 0.0))
                if down > 0.0:
                    move, change = ended, self._product(at.P, ended)
                    share = min(1.0, down / max(float(move @ change), 1e-300))
                elif (crossed & (x == 0.0)).any():
                    blocked |= crossed & (x == 0.0)
                    continue
                else:
                    share = float((-x[crossed] / move[crossed]).min())
            end = x + share * move
            x = np.where(is_free & (end * sign <= 0.0) & (self._l1 > 0.0), 0.0, end)
            q = q + share * change
            blocked[:] = False
        move = x - at.x
        decrease = -self._rise(at.x, at.gradient, move, q - at.gradient)
        return _Minimum(x, max(decrease, 0.0), norm**2 / min(1.0, ritz), ritz)

    def _rise(self, x: Array, gradient: Array, move: Array, change: Array) -> float:
        """Return the model plus the penalty at x + move, minus their value at x.

        `gradient` is that of the model at x, and `change` the Hessian times `move`. All arrays have
        the shape (m + R,).
        """
        penalty = float(self._l1 @ (np.abs(x + move) - np.abs(x)))
        return float(move @ (gradient + 0.5 * change)) + penalty

    def _on_segment(self, at: _Iterate, model: _Minimum) -> _Iterate | None:
        """Return an iterate with a sufficient decrease of F on the way to the model's minimum.

        The result is None if none of `SHARES` of the way has one.
        """
        move = model.x - at.x
        for share in SHARES:
            trial = self._evaluate(model.x if share == 1.0 else at.x + share * move)
            if trial.value <= at.value - ENOUGH * share * model.decrease:
                return trial
        return None
