"""Where a fit with a weak L1 penalty or group lasso begins that has few rows for its coefficients.

The length ‖w_j‖ of a group of coefficients, or of a single one, has no derivative at zero. Models
of the loss that have few rows for many coefficients say little about which lengths are zero, and
Newton's method for the others takes many short steps. Here √(‖w_j‖² + ε²) takes the place of the
length while ε falls to zero, and the equation w_j = z_j √(‖w_j‖² + ε²) is solved for w_j and z_j
together with that of the gradient (Chan, Golub & Mulet 1999, SIAM J. Sci. Comput. 20, 1964-1977).
Linearised, it holds along much longer steps than the gradient of the length. ‖z_j‖ stays below 1.

Arrays of coefficients have the shape (R, width), with the intercepts in the last column. A group is
a column of them, or a single coefficient. Arrays with a value for each group have the shape
(1, width) or (R, width).
"""

from __future__ import annotations

import numpy as np

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._group_penalty import Grouped
from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._objective._penalty import Penalty
from skmaxent._solvers._active_set import STRONG_L1
from skmaxent._solvers._barrier import FIRST_DISTANCE, Barrier
from skmaxent._solvers._coefficient_space import CoefficientSpaceSystem
from skmaxent._solvers._row_space import (
    MAX_ENTRIES,
    InverseCurvature,
    RowSpaceSystem,
    WholeRows,
    has_few_rows,
)
from skmaxent._typing import Array

# Most multiplications for a linear system.
MAX_STEP_WORK = 2e10
# With more rows than columns, most rows for each coefficient, and the number that divides the
# gradient at zero for a weak penalty; with more rows than coefficients, models of the loss are
# better, and the number grows with the fourth power of their ratio (measured).
MAX_ROWS_SHARE, WEAK_SHARE = 3.0, 3000.0
# Penalties are strong that exceed the gradient at zero, divided by this number.
STRONG_SHARE = 10.0
# Systems of so few rows cost little; with more, columns are correlated from this concentration on.
FEW_ROWS, CORRELATED = 100, 2.0
# ε at the start, for standardised columns. It falls by these factors after a whole and after a
# shortened step, once the predicted decrease is below twice what the smoothing adds to F.
FIRST_SMOOTHING, WHOLE, SHORTENED = 1.0, 0.1, 0.3
# The search ends when F can fall by this share, with few rows and with more rows than columns.
# Groups up to so many times ε are zero then.
ACCURACY, ACCURACY_OF_TALL, ZERO = 1e-9, 1e-6, 3.0
# z moves at most this share of the way to the surface of the unit ball.
TO_SURFACE = 0.3
# A step is halved until F falls by this share of the prediction, or the step is this short.
ARMIJO, SHORTEST = 1e-2, 1e-8
# Columns that contribute less than this to the trace of the linear system are left out of it.
NEGLIGIBLE = 1e-3
# Curvature of the penalty of columns without any, relative to that of the loss.
LEAST_CURVATURE = 1e-10


def suits_smoothing(point: Point, penalty: Penalty) -> bool:
    """Return whether a fit should begin by `start_by_smoothing`, from the null model `point`.

    Otherwise it begins with stronger penalties, which is cheaper if the penalty is strong, if there
    are many rows for each coefficient, or if there are fewer rows than columns, but many, whose
    columns are independent, and the coefficients are penalised one by one.
    """
    objective = point.objective
    (R, width), n = objective.shape, objective.blocks.n_samples
    is_grouped = isinstance(penalty, Grouped)
    is_served = is_grouped or (
        isinstance(penalty, Elementwise) and bool((penalty.lower < penalty.upper)[:, :-1].any())
    )
    if not is_served or penalty.l1.max() >= STRONG_L1:
        return False
    few_rows, p = has_few_rows(objective), R * width
    if few_rows:
        work, share = width * n**2 * (R**2 if is_grouped else R), STRONG_SHARE
    else:
        if is_grouped or n > MAX_ROWS_SHARE * p or n * width > MAX_ENTRIES:
            return False
        work, share = n * p**2 // 2 + p**3 // 3, WEAK_SHARE * max(n / p, 1.0) ** 4
    if work > MAX_STEP_WORK:
        return False
    whole = penalty.minimum_norm_subgradient(np.zeros_like(point.theta), point.gradient)
    if not few_rows:
        strengths = np.broadcast_to(penalty.l1, whole.shape)[:, :-1]
        strengths = strengths[strengths > 0.0]
        if not len(strengths):
            return False
        return bool(np.abs(whole).max() > (share - 1.0) * np.median(strengths))
    if not (np.abs(whole) > (share - 1.0) * penalty.l1)[:, :-1].any():
        return False
    return is_grouped or R > 1 or n <= FEW_ROWS or _concentration(objective) > CORRELATED


def _concentration(objective: MultinomialObjective) -> float:
    """Return the mean square of the eigenvalues of X Xᵀ over their squared mean.

    It is near 1 if X (n, d) has many independent columns, and n if they are all proportional.
    """
    X = objective.standardisation.rows(objective.blocks.whole())[:-1]
    gram = X.T @ X
    return float(len(gram) * np.sum(np.square(gram)) / max(np.trace(gram) ** 2, 1e-300))


def _barrier_of(penalty: Elementwise, gradient: Array) -> Barrier:
    """Return the barrier of the bounds for a loss with this gradient (R, width) at the start.

    It is as strong as the L1 penalty or, if that is more, as the gradient at the first distance
    from the bounds. Weaker barriers stop the first steps at once. Coefficients that bounds fix have
    no barrier.
    """
    is_fixed = np.broadcast_to(penalty.lower == penalty.upper, gradient.shape)
    lower, upper, l1 = (
        np.broadcast_to(array, gradient.shape).astype(float)
        for array in (penalty.lower, penalty.upper, penalty.l1)
    )
    lower, upper = np.where(is_fixed, -np.inf, lower), np.where(is_fixed, np.inf, upper)
    distance = FIRST_DISTANCE / np.sqrt(gradient.shape[1])
    return Barrier(lower, upper, np.maximum(l1, distance * np.abs(gradient).max()))


def start_by_smoothing(point: Point, penalty: Penalty, max_steps: int) -> Point:
    """Return a point near the optimum, by Newton's method for the smoothed penalty.

    It is `point` itself if the search finds none that is lower, for lack of precision.

    Parameters
    ----------
    point : Point
        Where the search begins.
    penalty : Penalty
        `Grouped` or `Elementwise`.
    max_steps : int
        Most Newton steps, each of which solves one linear system.
    """
    search = _Search(point.objective, penalty, point.theta)
    for _ in range(max_steps):
        if not search.step():
            break
    theta = np.asfortranarray(penalty.recentre(search.with_zeros()))
    found = point.objective.at(theta)
    before, after = (start.loss + penalty.value(start.theta) for start in (point, found))
    return found if after < before else point


class _Search:
    """The search of `start_by_smoothing`, whose parameters it has.

    Attributes
    ----------
    W, z : ndarray of shape (R, width)
    eps : float
        ε.
    """

    def __init__(self, objective: MultinomialObjective, penalty: Penalty, theta: Array) -> None:
        self._rows, self._has_few_rows = WholeRows(objective), has_few_rows(objective)
        self._penalty, self._is_grouped = penalty, isinstance(penalty, Grouped)
        self.W, self.z = theta.astype(float), np.zeros(theta.shape)
        self.eps = FIRST_SMOOTHING
        self._barrier: Barrier | None = None
        self._is_fixed = np.zeros(theta.shape, dtype=bool)
        self._loss = self._rows.loss_at(self.W)
        if isinstance(penalty, Elementwise) and penalty.has_bounds:
            self._is_fixed |= penalty.lower == penalty.upper
            self._barrier = _barrier_of(penalty, self._loss_gradient())
            self.W = self._barrier.inside(penalty.project(self.W), self.eps)
            self._loss = self._rows.loss_at(self.W)

    def with_zeros(self) -> Array:
        """Return W with zeros for groups no longer than a few ε, and others at bounds that hold."""
        is_zero = (self._norms(self.W) <= ZERO * self.eps) & (self._penalty.l1 > 0.0)
        is_zero = is_zero & ~self._is_fixed
        W = np.where(is_zero, 0.0, self.W)
        return W if self._barrier is None else self._barrier.at_bounds(W, self._mean_curvature())

    def step(self) -> bool:
        """Make a step of Newton's method; return whether to go on."""
        W, z, loss, eps, penalty = self.W, self.z, self._loss, self.eps, self._penalty
        lengths = np.hypot(self._norms(W), eps)
        unit = W / lengths
        gradient = self._loss_gradient() + penalty.l1 * unit + penalty.ridge * (W - penalty.target)
        curvature = self._mean_curvature()
        of_barrier: Array | float = 0.0
        if self._barrier is not None:
            slope_of_barrier, of_barrier = self._barrier.derivatives(W, eps)
            gradient += slope_of_barrier
        inverse = self._inverse_curvature(lengths, unit, curvature, of_barrier)
        direction = self._system(loss.roots, inverse, curvature).solve(-gradient)
        slope = float(np.vdot(gradient, direction))
        longest = 1.0 if self._barrier is None else self._barrier.longest_step(W, direction)
        t, value = longest, loss.value + self._smoothed_penalty(W, eps)
        while True:
            moved = W + t * direction
            self._loss = self._rows.loss_at(moved)
            new = self._loss.value + self._smoothed_penalty(moved, eps)
            if new <= value + ARMIJO * t * slope:
                break
            t *= 0.5
            if not t > SHORTEST:
                self._loss = loss
                return False
        along = self._inner(unit, direction)
        self.W, self.z = moved, self._within_ball(z, (direction - z * along + W) / lengths - z)
        exact = self._penalty_with(moved, 0.0)
        excess = self._penalty_with(moved, eps) - exact
        if self._barrier is not None:
            self._barrier.move(W, direction, moved, eps)
            excess += self._barrier.excess(eps)
        if -slope < 2.0 * excess:
            self.eps *= WHOLE if t == longest else SHORTENED
        accuracy = ACCURACY if self._has_few_rows else ACCURACY_OF_TALL
        return max(-slope, excess) > accuracy * (self._loss.value + exact)

    def _system(
        self, roots: Array, inverse: InverseCurvature, curvature: Array
    ) -> RowSpaceSystem | CoefficientSpaceSystem:
        """Return the linear system with the curvature of the loss and of the smoothed penalty."""
        X = self._rows.X
        if self._has_few_rows:
            least = NEGLIGIBLE / len(X) / np.where(curvature > 0.0, curvature, np.inf)
            return RowSpaceSystem(X, roots, inverse, least)
        return CoefficientSpaceSystem(X, roots, inverse.diagonal)

    def _loss_gradient(self) -> Array:
        """Return the gradient of the loss, (R, width)."""
        rows = self._rows
        return np.asarray((rows.weights * (self._loss.P - rows.targets)) @ rows.X.T)

    def _mean_curvature(self) -> Array:
        """Return the mean curvature of the loss by a coefficient of each column, (width,)."""
        roots = self._loss.roots
        return np.square(self._rows.X) @ (np.einsum("kmi,kmi->i", roots, roots) / len(roots))

    def _smoothed_penalty(self, W: Array, eps: float) -> float:
        """Return the penalty with smoothed lengths, and with the barrier."""
        barrier = 0.0 if self._barrier is None else self._barrier.value(W, eps)
        return self._penalty_with(W, eps) + barrier

    def _penalty_with(self, W: Array, eps: float) -> float:
        penalty = self._penalty
        lengths = np.hypot(self._norms(W), eps)
        ridge = penalty.ridge * np.square(W - penalty.target)
        return float(np.sum(penalty.l1 * lengths) + 0.5 * np.sum(ridge))

    def _inner(self, A: Array, B: Array) -> Array:
        """Return the inner products of the groups of A and B, both (R, width)."""
        return np.einsum("kj,kj->j", A, B)[None] if self._is_grouped else A * B

    def _norms(self, W: Array) -> Array:
        """Return the norms of the groups of W (R, width)."""
        return np.asarray(np.sqrt(self._inner(W, W)))

    def _inverse_curvature(
        self, lengths: Array, unit: Array, curvature: Array, of_barrier: Array | float
    ) -> InverseCurvature:
        """Return the inverse of the curvature of the smoothed penalty.

        With a = l1/length, it is a I + ridge - a S, where S is the symmetric part of z unitᵀ. S has
        the eigenvalues (zᵀunit ± ‖z‖‖unit‖)/2. The negative one, which is zero when z = unit, is
        left out; the curvature is then positive definite.

        Parameters
        ----------
        lengths : ndarray, a value for each group
            √(‖w_j‖² + ε²).
        unit : ndarray of shape (R, width)
            W/lengths.
        curvature : ndarray of shape (width,)
            The mean curvature of the loss by a coefficient of the column.
        of_barrier : ndarray of shape (R, width) or 0
            The curvature of the barrier of the bounds.
        """
        z, a = self.z, self._penalty.l1 / lengths
        whole = a + self._penalty.ridge + LEAST_CURVATURE * curvature + of_barrier
        diagonal = np.divide(1.0, whole, out=np.zeros_like(whole), where=whole > 0.0)
        of_z, of_unit = self._norms(z), self._norms(unit)
        largest = 0.5 * a * (self._inner(z, unit) + of_z * of_unit)
        factor = largest * diagonal / np.where(largest < whole, whole - largest, np.inf)
        if not self._is_grouped:
            return InverseCurvature(np.where(self._is_fixed, 0.0, diagonal + factor))
        axis = z / np.where(of_z > 0.0, of_z, 1.0) + unit / np.where(of_unit > 0.0, of_unit, 1.0)
        size = self._norms(axis)
        return InverseCurvature(diagonal, np.sqrt(factor) * axis / np.where(size > 0.0, size, 1.0))

    def _within_ball(self, z: Array, step: Array) -> Array:
        """Return z + t step, (R, width), where t <= 1 of each group keeps its norm below 1."""
        a, b = self._inner(step, step), self._inner(z, step)
        c = np.minimum(self._inner(z, z) - 1.0, 0.0)
        # The positive root of a t² + 2 b t + c, without a difference of equal numbers.
        sum_of_roots = np.sqrt(np.maximum(b * b - a * c, 0.0)) + np.abs(b)
        inside = np.where(b > 0.0, -c, sum_of_roots)
        below = np.where(b > 0.0, sum_of_roots, a)
        t = np.divide(inside, below, out=np.ones_like(a), where=below > 0.0)
        return np.asarray(z + np.minimum(1.0, TO_SURFACE * t) * step)
