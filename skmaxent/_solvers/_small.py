"""Newton's method for problems so small that calls cost more than arithmetic.

The products of all pairs of columns are computed once. With them an exact Hessian is one matrix
product, and an iteration takes some twenty calls of NumPy.

θ, gradients and steps have the shape (R, width), for R logits and width = d + 1 columns, the last
of which belongs to the intercepts. In reference coding there are r rows: all classes but the last
if logits are coupled. n is the number of rows, F the objective, and H its Hessian.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from skmaxent._cached import cached_property
from skmaxent._existence import CLOSE_TO_OPTIMUM, Watch
from skmaxent._objective._kernel_context import Probabilities
from skmaxent._objective._likelihood import upper_pairs
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._settled import SETTLED, is_tiny, logit_changes
from skmaxent._solvers._solution import Options, Status, root_size
from skmaxent._solvers._trust_region import TrustRegion
from skmaxent._storage._arrays import EPS

Array = NDArray[np.float64]

# Most products of pairs of columns over all rows, so that they stay in the cache.
MAX_PAIR_PRODUCTS = 500_000
# Most multiplications of a Hessian. Beyond, the general solver costs no more.
MAX_SMALL_WORK = 5_000_000
# With `options.tightens`, the fit continues to this distance. The certificate then needs no further
# passes, because the duality gap (with a ridge) or the Newton decrement (without) is small enough.
# The last iteration that `max_iter` allows is judged by `options.tol`.
TOL_WITH_RIDGE, TOL_WITHOUT_RIDGE = 1e-6, 1e-4


def is_small(objective: MultinomialObjective) -> bool:
    """Return whether `newton_small` is the fastest solver for an objective."""
    width = objective.shape[1]
    r = objective.likelihood.n_free
    products = objective.blocks.n_samples * width * (width + 1) // 2
    work = products * (r * (r + 1) // 2)
    return products <= MAX_PAIR_PRODUCTS and work <= MAX_SMALL_WORK


class SmallEvaluation(NamedTuple):
    """F, the mean loss, the probabilities P (R, n) and the gradient (R, width) of F at some θ."""

    value: float
    loss: float
    P: Array
    gradient: Array


class SmallRows:
    """The rows of a small problem, with the products of their columns.

    Attributes
    ----------
    columns, by_row : ndarray of shape (width, n) and (n, width)
        The standardised columns in both orders: products by rows and by columns then read memory
        in sequence. Constant columns are zero, as their coefficients are.
    pairs : ndarray of shape (width (width + 1)/2, n)
        The products of all pairs of columns.
    weights : ndarray of shape (n,)
        The weights of the rows, which sum to one.
    offset : ndarray of shape (R, n) or None
    targets : ndarray of shape (R, n)
    target_means : ndarray of shape (R, width)
        The weighted means of the products of targets and columns. The targets enter the loss by
        these alone.
    target_offset : float
        The weighted mean of the products of targets and offsets.
    """

    def __init__(self, objective: MultinomialObjective) -> None:
        rows = objective.blocks.whole()
        self.columns = objective.standardisation.rows(rows)
        self.columns[:-1] *= objective.varying[:, None]
        self.by_row = self.columns.T.copy()
        self.pairs = _products_of_pairs(self.columns)
        weights, n = rows.weights, objective.blocks.n_samples
        weights = None if weights is None else weights.astype(float)
        self.weights = np.full(n, 1.0 / n) if weights is None else weights / weights.sum()
        self.offset = None if rows.offset is None else rows.offset.T
        self.targets = objective.likelihood.dense_targets(rows.targets)
        self.target_means = (self.targets * self.weights) @ self.by_row
        self.target_offset = 0.0
        if self.offset is not None:
            self.target_offset = float((self.targets * self.offset).sum(axis=0) @ self.weights)


class SmallProblem:
    """The objective F of a small problem, with the products of columns that Newton steps need.

    Parameters
    ----------
    objective : MultinomialObjective
        F, for which `is_small` is true.

    Attributes
    ----------
    contrasts : ndarray of shape (R, r)
        The matrix that converts coefficients in reference coding to those that sum to zero over
        the classes. If logits are not coupled, it is the identity.
    """

    def __init__(self, objective: MultinomialObjective) -> None:
        self._objective = objective
        self._likelihood = objective.likelihood
        self._rows = objective.computed_once(SmallRows)
        R, width = objective.shape
        self._r = r = objective.likelihood.n_free
        self._expand = expansion(r, width)
        self.contrasts = np.eye(R, r) - (1.0 / R if objective.likelihood.is_coupled else 0.0)
        self._strength = np.append(objective.penalty.strength, 0.0)

    @cached_property
    def _ridge(self) -> Array:
        """The Hessian of the penalty in reference coding, (r·width, r·width)."""
        r, width = self._r, len(self._strength)
        ridge = np.zeros((r, width, r, width))
        column = np.arange(width)
        # Coefficients that stay zero get a curvature of one, so that the Hessian is not singular.
        fixed = ~self._objective.standardisation.is_free
        ridge[:, column, :, column] = (
            self.contrasts[:r] * self._strength[:, None, None] + np.eye(r) * fixed[:, None, None]
        )
        return ridge.reshape(r * width, r * width)

    def at(self, theta: Array) -> SmallEvaluation:
        """Evaluate F at θ (R, width)."""
        self._objective.counter.gradients += 1
        rows, Z = self._rows, self._logits(theta)
        normalisers = self._likelihood.probabilities(Z)
        loss = float(normalisers @ rows.weights) - float(np.vdot(theta, rows.target_means))
        loss -= rows.target_offset
        penalised = theta * self._strength
        residual = Z - rows.targets
        residual *= rows.weights
        gradient = residual @ rows.by_row
        gradient += penalised
        return SmallEvaluation(loss + 0.5 * float(np.vdot(theta, penalised)), loss, Z, gradient)

    def _logits(self, theta: Array) -> Array:
        """Return the logits (R, n) at θ, a new array."""
        Z = theta @ self._rows.columns
        if self._rows.offset is not None:
            Z += self._rows.offset
        return Z

    def point(self, theta: Array, state: SmallEvaluation) -> Point:
        """Return the point of the objective at θ from its evaluation `state`, without a pass."""
        return Point(
            objective=self._objective,
            theta=theta,
            value=state.value,
            gradient=state.gradient,
            loss=state.loss,
            rounding=rounding_of(state.loss, theta),
            probabilities=Probabilities(self._likelihood),
        )

    def is_settled(self, theta: Array, step: Array) -> bool:
        """Return what `_settled.is_settled` returns for a Newton step at θ.

        It uses the columns that are kept here.
        """
        return is_tiny(self._objective, step) or self.largest_change(theta, step) <= SETTLED

    def largest_change(self, theta: Array, step: Array) -> float:
        """Return the largest of the `logit_changes` of the rows with weight, for a step at θ."""
        D = step @ self._rows.columns
        change = logit_changes(self._logits(theta), D, self._likelihood.is_coupled)
        return float(np.where(self._rows.weights > 0.0, change, 0.0).max())

    def all_logits_hessian(self, P: Array) -> Array:
        """Return the Hessian of the loss with respect to θ for probabilities P (R, n).

        The shape is (R·width, R·width), with the coefficients of a logit next to each other.
        """
        R, width = self._objective.shape
        curvature = self._likelihood.logit_curvature(P)
        curvature *= self._rows.weights
        return np.take(curvature @ self._rows.pairs.T, expansion(R, width))

    def factor(self, P: Array) -> Array | None:
        """Return the Cholesky factor of the Hessian of F in reference coding, or None.

        The shape is (r·width, r·width). P (R, n) are the probabilities.
        """
        curvature = self._likelihood.reference_curvature(P)
        curvature *= self._rows.weights
        # One product gives each different entry once, and `take` spreads them over the symmetric
        # matrix.
        H = np.take(curvature @ self._rows.pairs.T, self._expand)
        H += self._ridge
        H.ravel()[:: len(H) + 1] *= 1.0 + 4 * len(H) * EPS  # collinear columns
        L, info = lapack.dpotrf(H, lower=True)
        return L if info == 0 else None

    def natural_gradient(self, L: Array, gradient: Array) -> tuple[Array, float]:
        """Return H⁻¹ g in reference coding, (r, width), and √(gᵀ H⁻¹ g), for a factor L of H."""
        g = gradient[: self._r]
        delta, _ = lapack.dpotrs(L, g.ravel(), lower=True)
        delta = delta.reshape(g.shape)
        return delta, math.sqrt(max(float(np.vdot(g, delta)), 0.0))


def rounding_of(loss: float, theta: Array) -> float:
    """Return the size of the rounding errors of a mean loss at θ (R, d + 1)."""
    return 8.0 * EPS * (abs(loss) + float(np.abs(theta).sum(axis=1).max()))


def _products_of_pairs(columns: Array) -> Array:
    """Return the products of all pairs of columns (width, n), (width (width + 1)/2, n)."""
    width, n = columns.shape
    out = np.empty((width * (width + 1) // 2, n))
    start = 0
    for j in range(width):
        np.multiply(columns[j], columns[j:], out=out[start : start + width - j])
        start += width - j
    return out


@functools.lru_cache(maxsize=16)
def expansion(r: int, width: int) -> NDArray[np.intp]:
    """Return the position of each entry of a Hessian in a matrix of pairs, raveled.

    The matrix has a row for each pair of r classes and a column for each pair of `width` columns.
    The result has the shape (r·width, r·width).
    """

    def index(size: int) -> NDArray[np.intp]:
        out = np.zeros((size, size), dtype=np.intp)
        first, second, _ = upper_pairs(size)
        out[first, second] = out[second, first] = np.arange(len(first))
        return out

    columns = index(width)
    rows = index(r)[:, None, :, None] * (width * (width + 1) // 2)
    return (rows + columns[None, :, None, :]).reshape(r * width, r * width)


class _Factored:
    """The Cholesky factor of the Hessian as a `Preconditioner`.

    If `factor` is None, the preconditioner is the identity.
    """

    is_exact = True
    is_close = True

    def __init__(self, problem: SmallProblem, factor: Array | None) -> None:
        self._problem = problem
        self._factor = factor

    def solve(self, G: Array) -> Array:
        if self._factor is None:
            return G
        return self._problem.contrasts @ self._problem.natural_gradient(self._factor, G)[0]


def newton_small(
    objective: MultinomialObjective,
    theta: Array,
    options: Options,
    record: Record,
    watch: Watch,
) -> Outcome:
    """Minimise a smooth objective of a small problem from θ of shape (R, d + 1).

    `record` receives the iterations, and `watch` looks for separation.

    Returns
    -------
    Outcome
        Its status is MAX_ITER also where rounding prevents further steps: the general solver
        continues from there.
    """
    tight = TOL_WITH_RIDGE if objective.penalty.is_strict else TOL_WITHOUT_RIDGE
    tol = min(options.tol, tight) if options.tightens else options.tol
    problem = SmallProblem(objective)
    state = problem.at(theta)
    status = Status.MAX_ITER
    effective_size = objective.blocks.effective_size
    region = TrustRegion()
    factor: Array | None = None
    while True:
        root_n = root_size(effective_size, state.value)
        distance = np.inf
        if factor is not None and region.model_holds:
            # The model predicted the last step well, so that the Hessian before it still holds.
            natural, norm = problem.natural_gradient(factor, state.gradient)
            distance = root_n * norm
        # The earlier Hessian suffices to show, with a margin, that the optimum is near. Otherwise
        # the step needs the Hessian at θ itself.
        if distance > 0.5 * tol:
            factor = problem.factor(state.P)
            if factor is None:
                break
            natural, norm = problem.natural_gradient(factor, state.gradient)
            distance = root_n * norm
        direction = problem.contrasts @ natural
        limit = options.tol if record.is_last else tol
        status = _status(problem, theta, state, direction, distance, limit, watch)
        if status is Status.MAX_ITER and region.steps_are_short:
            status = Status.PRECISION
        status = record.add(objective.counter, theta, state.value, distance, status)
        if status is not Status.MAX_ITER or record.is_full:
            break
        found = _next_state(problem, theta, state, direction, norm, region)
        if found is None:
            break
        theta, state = found
    point = problem.point(theta, state)
    preconditioner = _Factored(problem, factor)
    return Outcome(point, state.value, status, record.history, preconditioner=preconditioner)


def _status(
    problem: SmallProblem,
    theta: Array,
    state: SmallEvaluation,
    direction: Array,
    distance: float,
    tol: float,
    watch: Watch,
) -> Status:
    """Return how a fit ends at θ, or MAX_ITER if it should go on.

    `direction` is minus the Newton step (R, width), and `distance` its length in standard errors.
    """
    if watch.sees_complete_separation(theta, state.loss):
        return Status.SEPARATED
    if distance <= CLOSE_TO_OPTIMUM and watch.sees_direction(theta, -direction, distance):
        return Status.QUASI_SEPARATED
    if not distance <= tol:
        return Status.MAX_ITER
    is_converged = problem.is_settled(theta, -direction)
    return Status.CONVERGED if is_converged else Status.PRECISION


def _next_state(
    problem: SmallProblem,
    theta: Array,
    state: SmallEvaluation,
    direction: Array,
    norm: float,
    region: TrustRegion,
) -> tuple[Array, SmallEvaluation] | None:
    """Return θ and the state after a step against `direction`, or None if no step is accepted.

    `direction` is H⁻¹ g for the gradient g at θ, and `norm` is √(gᵀ H⁻¹ g). `region` is updated.
    """
    while True:
        t = 1.0 if norm <= region.radius else region.radius / norm
        predicted = norm**2 * (t - 0.5 * t**2)
        end = theta - t * direction
        candidate = problem.at(end)
        # A step whose square underflows promises nothing.
        agreement = (state.value - candidate.value) / predicted if predicted > 0.0 else 0.0
        # The loss is not negative, so that no step can lower F by more than F.
        is_possible = predicted <= state.value
        if region.judge(agreement, t * norm, on_boundary=t < 1.0, is_possible=is_possible):
            return end, candidate
        # Shorter steps change F by less than its rounding error.
        if not predicted > EPS * abs(state.value):
            return None
