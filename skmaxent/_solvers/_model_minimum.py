"""The minimum of a quadratic model of the loss together with a nonsmooth penalty or bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._group_penalty import Grouped
from skmaxent._objective._penalty import ProximalPenalty
from skmaxent._solvers._active_set import minimise_by_pivots
from skmaxent._solvers._group_descent import minimise_groups
from skmaxent._solvers._quadratic import Model, project_onto_tangent
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Most steps of the proximal gradient for a model; each is followed by Newton steps.
MAX_MODEL_STEPS = 50
# Steps of the proximal gradient with Newton's method after which a model with a matrix is minimised
# by pivots instead, if it has no more coefficients than SMALL_MODEL: its pivots are then few.
STEPS_BEFORE_PIVOTS, SMALL_MODEL = 10, 300
# Manifolds that Newton's method may go through before the proximal gradient frees coefficients; and
# the share of a Newton step below which it is not shortened further.
MAX_MANIFOLD_CHANGES = 20
SHORTEST_SHARE = 0.01
# Linear systems that a minimum may cost.
MAX_SOLVES = 100
# The minimum of a larger model may leave about this share of its decrease to the next iteration.
ROUGH_SHARE = 0.03
# Halvings of the step of the proximal gradient, whose length is a product of few power iterations.
MAX_PROXIMAL_HALVINGS = 4


@dataclass(frozen=True)
class Minimum:
    """Where a model and the penalty have their least value.

    Attributes
    ----------
    theta : ndarray of shape (R, width)
    decrease : float
        By how much model and penalty are lower than at the point that the model belongs to.
    least : float
        A decrease that a step of the proximal gradient alone makes.
    n_solves : int
        Linear systems with the model's matrix that were solved.
    is_exact : bool
        Whether there is no lower value but for rounding.
    """

    theta: Array
    decrease: float
    least: float
    n_solves: int = 0
    is_exact: bool = False

    @property
    def distance(self) -> float:
        """Length of the step in the norm of the model, no less than a short step proves."""
        return float(np.sqrt(2.0 * max(self.decrease, self.least)))


class _Trial(NamedTuple):
    """W (R, width), the gradient of the model there, and the change of model and penalty."""

    W: Array
    gradient: Array
    value: float


class _Subproblem:
    """⟨g, W - θ⟩ + ⟨W - θ, M (W - θ)⟩/2 + penalty(W) - penalty(θ) as a function of W.

    `gradient` is g, and `theta` θ, both (R, width). `n_solves` counts linear systems.
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
        """Continue by Newton's method within the manifold of W and those that it leads to.

        Each step is taken only if it lowers the value. A step that leaves the manifold, because
        coefficients become zero or reach a bound, goes on within the smaller manifold.
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
        """Return a lower point on a Newton step, or None, and whether it is in another manifold.

        Shares of the step are tried until the value is lower, and at last the largest share that
        stays in the manifold: up to there the value falls.
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
    """Minimise ⟨g, W - θ⟩ + ⟨W - θ, M (W - θ)⟩/2 + penalty(W) over W.

    A step of the proximal gradient finds the manifold, Newton's method goes on within it (the
    primal-dual active set method; Hintermüller, Ito & Kunisch 2002, SIAM J. Optim. 13, 865-888).
    Each is taken only where it lowers the value.

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
            # Power iteration found too small an eigenvalue.
            step, halvings = 0.5 * step, halvings + 1
            continue
        trial = subproblem.newton_on_manifolds(trial)
        if not trial.value < best.value:
            break
        best = trial
    found = Minimum(best.W, max(-best.value, 0.0), 0.5 * first**2, subproblem.n_solves)
    if model.matrix is not None and not is_solved:
        return exact_minimum(
            found, model, gradient, theta, penalty, 0.0 if is_small else ROUGH_SHARE
        )
    return found


def _minimum_by_pivots(
    model: Model, matrix: Array, gradient: Array, theta: Array, penalty: Elementwise
) -> Minimum:
    """Return the exact minimum of a model with a matrix and a penalty of single coefficients.

    A step of the diagonal of the model, a proximal gradient with a bound on the largest eigenvalue
    from the sums of the rows, tells the least decrease.
    """
    residual = penalty.minimum_norm_subgradient(theta, gradient)
    size = np.abs(matrix).sum(axis=1).reshape(theta.shape).max(axis=0)
    least = 0.5 * float(np.sum(np.square(residual) / np.maximum(size, 1e-300)))
    W = minimise_by_pivots(model.without_shift(matrix), gradient, theta, penalty, theta)
    W = penalty.recentre(W)
    decrease = _decrease(model, gradient, W - theta, penalty.increase(theta, W))
    if not decrease > 0.0:
        W, decrease = theta, 0.0
    return Minimum(W, decrease, least, is_exact=True)


def _decrease(model: Model, gradient: Array, step: Array, increase: float) -> float:
    """Return by how much a step lowers model and penalty; the penalty has the given `increase`."""
    return -increase - inner(step, gradient + 0.5 * model.loss_product(step))


def exact_minimum(
    found: Minimum,
    model: Model,
    gradient: Array,
    theta: Array,
    penalty: ProximalPenalty,
    share: float = 0.0,
) -> Minimum:
    """Return the exact minimum of a model and a penalty from an approximate one.

    Subgradients are small along directions in which M is nearly flat, so that `minimise_model` may
    stop far from the minimum. For a model without a matrix there is no exact method, and the result
    is `found`. If `share` is positive, about this share of the decrease may be left. The other
    arguments are those of `minimise_model`.
    """
    matrix = model.matrix
    if matrix is None:
        return found
    if isinstance(penalty, Grouped) and len(theta) == 1:
        unbounded = np.full_like(penalty.l1, np.inf)
        penalty = Elementwise(
            penalty.l1, penalty.ridge, penalty.target, -unbounded, unbounded, is_coupled=False
        )
    if isinstance(penalty, Elementwise):
        matrix = model.without_shift(matrix)
        W = minimise_by_pivots(matrix, gradient, theta, penalty, found.theta, share)
    elif isinstance(penalty, Grouped):
        if penalty.target.any():  # without a target, groups are centred and do not shift
            matrix = model.without_shift(matrix)
        W = minimise_groups(matrix, gradient, theta, penalty, found.theta)
    else:
        return found
    W = penalty.recentre(W)
    increase = penalty.value(W) - penalty.value(theta)
    decrease = _decrease(model, gradient, W - theta, increase)
    return replace(found, theta=W, decrease=decrease) if decrease > found.decrease else found
