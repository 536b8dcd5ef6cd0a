"""The minimum of a quadratic model of the loss together with a nonsmooth penalty or bounds.

The function to minimise is ⟨g, W - θ⟩ + ⟨W - θ, M (W - θ)⟩/2 + penalty(W), for the gradient g of
the loss at θ and the Hessian M of the model. Arrays have the shape (R, width).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._group_penalty import Grouped
from skmaxent._objective._penalty import ProximalPenalty
from skmaxent._solvers._active_set import minimise_by_pivots, minimise_over_members
from skmaxent._solvers._group_descent import minimise_groups
from skmaxent._solvers._quadratic import Model, project_onto_tangent
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Most steps of the proximal gradient for a model; each is followed by Newton steps.
MAX_MODEL_STEPS = 50
# Steps of the proximal gradient with Newton's method after which a model with a matrix is minimised
# by pivots instead, if it has no more coefficients than SMALL_MODEL: its pivots are then few.
STEPS_BEFORE_PIVOTS, SMALL_MODEL = 10, 300
# Most manifolds that Newton's method goes through before the next step of the proximal gradient,
# which can free coefficients, and the least share of a Newton step that is tried.
MAX_MANIFOLD_CHANGES = 20
SHORTEST_SHARE = 0.01
# Most linear systems that are solved for a minimum.
MAX_SOLVES = 100
# The minimum of a model with more coefficients than SMALL_MODEL may leave about this share of the
# decrease to the next iteration of the fit.
ROUGH_MINIMUM_SHARE = 0.03
# Most coefficients over which a model is minimised by pivots if its whole matrix is not assembled;
# most such minima, and the share of the largest subgradient above which coefficients join.
MOST_MEMBERS, MAX_MEMBER_ROUNDS, JOINING_SHARE = 1000, 5, 0.1
# Most minima over few coefficients, at most SMALL_MODEL, and the share of the largest subgradient
# above which coefficients join them.
MAX_ROUNDS_OF_FEW, FEW_ACCURACY = 10, 1e-9
# Most halvings of the step of the proximal gradient, whose size is only estimated.
MAX_PROXIMAL_HALVINGS = 4


@dataclass(frozen=True)
class Minimum:
    """The minimum of a model plus the penalty, or a point near it.

    Attributes
    ----------
    theta : ndarray of shape (R, width)
    decrease : float
        The decrease of model plus penalty from the point for which the model was made.
    least_decrease : float
        The decrease by a single step of the proximal gradient, a lower bound for the decrease.
    n_solves : int
        The number of linear systems with the Hessian of the model that were solved.
    is_exact : bool
        Whether the minimum is exact up to rounding errors.
    """

    theta: Array
    decrease: float
    least_decrease: float
    n_solves: int = 0
    is_exact: bool = False

    @property
    def distance(self) -> float:
        """The length √(2 decrease) of the step to the minimum, with the larger decrease of both."""
        return float(np.sqrt(2.0 * max(self.decrease, self.least_decrease)))


class _Trial(NamedTuple):
    """W (R, width), the gradient of the model there, and the change of model and penalty."""

    W: Array
    gradient: Array
    value: float


class _Subproblem:
    """Model plus penalty as a function of W, minus its value at θ.

    Parameters
    ----------
    model : Model
        M.
    gradient, theta : ndarray of shape (R, width)
        g and θ.
    penalty : ProximalPenalty

    Attributes
    ----------
    n_solves : int
        The number of linear systems that were solved.
    """

    def __init__(
        self, model: Model, gradient: Array, theta: Array, penalty: ProximalPenalty
    ) -> None:
        self._model, self._gradient, self._theta = model, gradient, theta
        self._penalty, self._start = penalty, penalty.value(theta)
        self.n_solves = 0

    def at(self, W: Array) -> _Trial:
        """Evaluate the model and the penalty at W."""
        step = W - self._theta
        product = self._model.loss_product(step)
        change = inner(step, self._gradient + 0.5 * product)
        value = change + self._penalty.value(W) - self._start
        return _Trial(W, self._gradient + product, value)

    def newton_on_manifolds(self, trial: _Trial) -> _Trial:
        """Continue from a trial by Newton's method within its manifold; return the last trial.

        A step is accepted only if it lowers the value. If coefficients become zero or reach a bound
        in a step, Newton's method continues within the smaller manifold.
        """
        penalty = self._penalty
        for _ in range(MAX_MANIFOLD_CHANGES):
            tangent = penalty.tangent(trial.W)
            residual = project_onto_tangent(tangent, trial.gradient + tangent.gradient)
            newton = self._model.solve(-residual, tangent)
            self.n_solves += 1
            found, has_left = self._along(trial, newton)
            if found is None:
                break
            trial = found
            if not has_left:
                break
        return trial

    def _along(self, trial: _Trial, newton: Array) -> tuple[_Trial | None, bool]:
        """Search along a Newton step (R, width) from a trial for a lower value.

        Returned are the trial found, or None, and whether it is in another manifold. Shrinking
        shares of the step are tried. The last one is the largest share that stays in the manifold,
        up to which the value falls.
        """
        penalty, t = self._penalty, 1.0
        edge = penalty.largest_feasible_step(trial.W, newton)
        if not np.isfinite(edge):
            return None, False
        while True:
            t = edge if t < 2.0 * edge else t
            end = trial.W + t * newton
            W = penalty.retract(end, trial.W)
            has_left = not np.array_equal(W, end) or t == edge < 1.0
            found = self.at(penalty.recentre(W))
            if found.value < trial.value:
                return found, has_left
            if t <= max(edge, SHORTEST_SHARE):
                return None, False
            t *= 0.3


def minimise_model(
    model: Model,
    gradient: Array,
    theta: Array,
    penalty: ProximalPenalty,
    accuracy: float = 0.1,
) -> Minimum:
    """Minimise a model plus a penalty, at least approximately.

    A step of the proximal gradient finds the manifold, and Newton's method continues within it (the
    primal-dual active set method; Hintermüller, Ito & Kunisch 2002, SIAM J. Optim. 13, 865-888).
    Steps are accepted only if they lower the value. If the model is small, or if few coefficients
    differ from zero, and the penalty is `Elementwise`, the minimum is found by pivots instead and
    is exact.

    Parameters
    ----------
    model : Model
        M.
    gradient, theta : ndarray of shape (R, width)
        g and θ.
    penalty : ProximalPenalty
    accuracy : float, default=0.1
        The length of the minimum-norm subgradient, relative to the one at θ, at which to stop.
    """
    is_small = theta.size <= SMALL_MODEL
    if is_small and model.matrix is not None and isinstance(penalty, Elementwise):
        return _minimum_by_pivots(model, model.matrix, gradient, theta, penalty)
    if model.has_blocks and isinstance(penalty, Elementwise):
        minimum = _minimum_over_few(model, gradient, theta, penalty)
        if minimum is not None:
            return minimum
    step, halvings = model.safe_step, 0
    subproblem = _Subproblem(model, gradient, theta, penalty)
    best, first, is_solved = _Trial(theta, gradient, 0.0), 0.0, False
    n_steps = STEPS_BEFORE_PIVOTS if is_small and model.matrix is not None else MAX_MODEL_STEPS
    for n_step in range(n_steps):
        residual = penalty.minimum_norm_subgradient(best.W, best.gradient)
        size = float(np.sqrt(np.sum(np.square(residual) * step)))
        first = size if n_step == 0 else first
        is_solved = size <= accuracy * first
        if is_solved or subproblem.n_solves >= MAX_SOLVES:
            break
        end = penalty.prox(best.W - step * best.gradient, step)
        trial = subproblem.at(penalty.recentre(end))
        if not trial.value < best.value and halvings < MAX_PROXIMAL_HALVINGS:
            # The power iteration for the size of the step found too small an eigenvalue.
            step, halvings = 0.5 * step, halvings + 1
            continue
        trial = subproblem.newton_on_manifolds(trial)
        if not trial.value < best.value:
            break
        best = trial
    found = Minimum(best.W, max(-best.value, 0.0), 0.5 * first**2, subproblem.n_solves)
    if model.matrix is not None and not is_solved:
        return exact_minimum(
            found, model, gradient, theta, penalty, 0.0 if is_small else ROUGH_MINIMUM_SHARE
        )
    if model.has_blocks and not is_solved:
        return _minimum_over_members(found, model, gradient, theta, penalty)
    return found


def _minimum_over_few(
    model: Model, gradient: Array, theta: Array, penalty: Elementwise
) -> Minimum | None:
    """Return the exact minimum of a model that `has_blocks`, or None if many coefficients move.

    Pivots minimise over the coefficients that are not zero and those with a subgradient. Those that
    then have a subgradient join them, until there is none. The least decrease is that of a proximal
    gradient step, as in `_minimum_by_pivots`, of the first of these coefficients.
    """
    W, slope, varies, least = theta, gradient, model.diagonal > 0.0, 0.0
    residual = np.abs(penalty.minimum_norm_subgradient(theta, gradient))
    negligible = FEW_ACCURACY * float(residual.max(initial=0.0))
    members = varies & ((theta != 0.0) | (residual > 0.0))
    for n_round in range(MAX_ROUNDS_OF_FEW):
        if np.count_nonzero(members) > SMALL_MODEL:
            return None
        block = model.block_without_shift(members, slope, penalty.leaves_shifts)
        if n_round == 0:
            size = np.maximum(np.abs(block).sum(axis=1), 1e-300)
            least = 0.5 * float(np.sum(np.square(residual[members]) / size))
        W = minimise_over_members(block, slope, W, penalty, members)
        slope = gradient + model.loss_product(W - theta)
        residual = np.abs(penalty.minimum_norm_subgradient(W, slope))
        joins = varies & ~members & (residual > negligible)
        if not joins.any():
            return _exact_at(W, least, model, gradient, theta, penalty)
        members |= joins
    return None


def _minimum_over_members(
    found: Minimum, model: Model, gradient: Array, theta: Array, penalty: ProximalPenalty
) -> Minimum:
    """Return the minimum over the coefficients that are not zero, and those that should not be.

    Such a set is minimised over by pivots, then coefficients with a subgradient join it, unless it
    would be large. The search begins at `found`. The other arguments are those of `minimise_model`.
    """
    elementwise = as_elementwise(penalty, len(theta))
    if elementwise is None:
        return found
    W = found.theta
    members = (W != 0.0) & (model.diagonal > 0.0)
    for _ in range(MAX_MEMBER_ROUNDS):
        slope = gradient + model.loss_product(W - theta)
        residual = np.abs(elementwise.minimum_norm_subgradient(W, slope)) * (model.diagonal > 0.0)
        joins = residual > JOINING_SHARE * residual.max(initial=0.0)
        members |= joins & (residual > 0.0)
        if members.sum() > MOST_MEMBERS:
            break
        block = model.block_without_shift(members, slope, elementwise.leaves_shifts)
        W = minimise_over_members(block, slope, W, elementwise, members)
    return _lower_of(found, W, model, gradient, theta, penalty)


def _minimum_by_pivots(
    model: Model, matrix: Array, gradient: Array, theta: Array, penalty: Elementwise
) -> Minimum:
    """Return the exact minimum of a model with a matrix plus a penalty of single coefficients.

    The least decrease is that of a proximal gradient step whose sizes come from the sums of the
    absolute entries of the rows of the matrix (Gershgorin).
    """
    residual = penalty.minimum_norm_subgradient(theta, gradient)
    size = np.abs(matrix).sum(axis=1).reshape(theta.shape).max(axis=0)
    least = 0.5 * float(np.sum(np.square(residual) / np.maximum(size, 1e-300)))
    matrix = model.without_shift(matrix, gradient, penalty.leaves_shifts)
    W = minimise_by_pivots(matrix, gradient, theta, penalty, theta)
    return _exact_at(W, least, model, gradient, theta, penalty)


def _exact_at(
    W: Array, least: float, model: Model, gradient: Array, theta: Array, penalty: Elementwise
) -> Minimum:
    """Return the exact minimum W (R, width), or θ if rounding hides the decrease from there.

    `least` is the least decrease. The other arguments are those of `minimise_model`.
    """
    W = penalty.recentre(W)
    decrease = _decrease(model, gradient, W - theta, penalty.increase(theta, W))
    if not decrease > 0.0:
        W, decrease = theta, 0.0
    return Minimum(W, decrease, least, is_exact=True)


def _decrease(model: Model, gradient: Array, step: Array, increase: float) -> float:
    """Return the decrease of model plus penalty by a step that raises the penalty by `increase`."""
    return -increase - inner(step, gradient + 0.5 * model.loss_product(step))


def _lower_of(
    found: Minimum,
    W: Array,
    model: Model,
    gradient: Array,
    theta: Array,
    penalty: ProximalPenalty,
) -> Minimum:
    """Return `found` with W (R, width) instead of its θ, or as it is if W is not lower."""
    W = penalty.recentre(W)
    increase = penalty.value(W) - penalty.value(theta)
    decrease = _decrease(model, gradient, W - theta, increase)
    return replace(found, theta=W, decrease=decrease) if decrease > found.decrease else found


def exact_minimum(
    found: Minimum,
    model: Model,
    gradient: Array,
    theta: Array,
    penalty: ProximalPenalty,
    share: float = 0.0,
) -> Minimum:
    """Return the exact minimum of a model plus a penalty, from the approximate minimum `found`.

    Subgradients are small along directions in which M is nearly flat, so that `minimise_model` may
    stop far from the minimum. For a model without a matrix there is no exact method, and the result
    is `found`. If `share` is positive, about this share of the decrease may be left. The other
    arguments are those of `minimise_model`.
    """
    matrix = model.matrix
    if matrix is None:
        return found
    elementwise = as_elementwise(penalty, len(theta))
    if elementwise is not None:
        matrix = model.without_shift(matrix, gradient, elementwise.leaves_shifts)
        W = minimise_by_pivots(matrix, gradient, theta, elementwise, found.theta, share)
    elif isinstance(penalty, Grouped):
        if penalty.target.any():  # without a target, groups are centred and do not shift
            matrix = model.without_shift(matrix, gradient, penalty.leaves_shifts)
        W = minimise_groups(matrix, gradient, theta, penalty, found.theta)
    else:
        return found
    return _lower_of(found, W, model, gradient, theta, penalty)


def as_elementwise(penalty: ProximalPenalty, n_logits: int) -> Elementwise | None:
    """Return the penalty as one of single coefficients, or None if it is none.

    Groups of coefficients for a single logit have one coefficient each.
    """
    if isinstance(penalty, Grouped) and n_logits == 1:
        unbounded = np.full_like(penalty.l1, np.inf)
        return Elementwise(
            penalty.l1, penalty.ridge, penalty.target, -unbounded, unbounded, is_coupled=False
        )
    return penalty if isinstance(penalty, Elementwise) else None
