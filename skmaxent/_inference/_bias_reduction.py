"""Bias reduction: estimates that maximise the likelihood penalised by Jeffreys' prior.

The penalised log-likelihood is log L(θ) + log |I(θ)|/2, where I is the Fisher information. Its
maximum is finite, and because the multinomial logit is a canonical link, its bias is of smaller
order than that of the maximum-likelihood estimate (Firth 1993, Biometrika 80, 27-38; Kosmidis &
Firth 2009, Biometrika 96, 793-804).

Conventions: r is the number of free logits, `width` the number of coefficients of a logit, the
intercept included. θ has the shape (n_logits, n_features + 1); scores and steps have the shape
(r * width,), in reference coding, logit by logit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._existence import aliased_columns
from skmaxent._inference import _covariance
from skmaxent._inference._orthogonal_columns import over_orthogonal_columns
from skmaxent._leverage import _reference_coding
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._terms import ridge_terms
from skmaxent._solvers import Options, Outcome, Problem, Record, Solution, Status, minimise
from skmaxent._storage._arrays import EPS, empty
from skmaxent._storage._combined_columns import CombinedColumns
from skmaxent._storage._vectors import inner
from skmaxent._typing import Array

# Largest number of times that a step is halved. A share of 2^-30 of a step is below the accuracy
# with which the step is computed.
MAX_STEP_HALVINGS = 30
# Strengths of the ridges whose minima are the second and the fourth start, for standardised
# columns. The fifth start is the fourth with the opposite sign.
START_RIDGE, STRONG_RIDGE = 0.01, 1.0
# The sixth search starts from a maximum of the likelihood times this power of the prior, found up
# to this distance in standard errors.
WEAK_EXPONENT, WEAK_TOL = 0.01, 0.1
# The end of a search counts as a maximum up to this distance from it, in standard errors.
AT_MAXIMUM = 1e-3
# Bound on the gain that is left at a distance d, in standard errors, from a maximum: this number
# times d², in nats.
GAIN_PER_DISTANCE = 100.0
# With fewer rows than this, the search for other maxima uses all starts.
FEW_ROWS = 1000.0
# With fewer rows for each coefficient, the maximum-likelihood estimates are known to be far from
# normal (Peduzzi et al. 1996, J. Clin. Epidemiol. 49, 1373-1379), and more maxima are searched for.
ROWS_PER_COEFFICIENT = 10.0
# A search joins an earlier one if its next point is nearer to a point of the earlier search than
# this share of the length of the step.
JOINED = 0.1
# Number of Fisher scoring steps after which BFGS updates the inverse information.
SCORING_STEPS = 10
# Maxima whose penalised log-likelihoods differ by no more than this, in nats, are the same. So are
# those nearer to each other than `SAME_PLACE` standard errors: rounding of the determinant of the
# information may make the log-likelihoods differ by more.
SAME, SAME_PLACE = 1e-6, 0.1


def bias_reduced(problem: Problem, options: Options, scale: float) -> Solution:
    """Return the highest maximum of the penalised likelihood that is found.

    The first search starts from the model without features. With few rows there may be several
    maxima, so that further searches start from the coefficients of a weak ridge, which are about as
    large as the data allow, and, with fewer than `FEW_ROWS` rows, from a maximum under a much
    weaker prior, and with short steps again from the model without features, from the coefficients
    of a stronger ridge, from these with the opposite sign if there are few rows for each of them,
    from zero, and from half of the best coefficients so far. If the second search would join the
    first at once, the prior changes little, and only the last two further searches are made. The
    penalised likelihood may have maxima that no search finds.

    `problem` has no penalty or bounds. `scale` is the weights of the rows divided by the weights in
    the objective. The `value` of the result is minus the penalised log-likelihood, divided by the
    number of rows, and its `remark` tells the user if there is more than one maximum.
    SingularInformation is raised if columns are linearly dependent.
    """
    ascents = _Ascents(problem, options.tol, scale)
    if options.max_iter == 0:
        return ascents.maximum(problem.origin(), options)
    best = ascents.maximum(problem.null.theta, options)
    if best.status is Status.STOPPED:
        return best
    n_rows = scale * problem.objective.total_weight
    quiet = replace(options, callback=None)
    spread = _ridge_minimum(problem, START_RIDGE / n_rows, quiet)
    # With many rows the likelihood, which has one maximum, dominates the prior. It need not do so
    # for few rows of large weights, which may be nearly separated.
    has_few_rows = min(n_rows, problem.objective.blocks.n_samples) < FEW_ROWS
    maxima = _Maxima(best, ascents, quiet, n_rows)
    if not ascents.joins_at_once(spread):
        maxima.search(spread)
        if has_few_rows:
            maxima.search(problem.null.theta, is_steepest=True)
            strong = _ridge_minimum(problem, STRONG_RIDGE / n_rows, quiet)
            maxima.search(strong, is_steepest=True)
            if n_rows < ROWS_PER_COEFFICIENT * ascents.n_coefficients:
                maxima.search(np.asfortranarray(-strong))
            maxima.search_from_weak_prior(spread, scale)
    if has_few_rows:
        maxima.search(problem.origin(), is_steepest=True)
        half = np.asfortranarray(0.5 * maxima.best.point.theta)
        maxima.search(half, is_steepest=True)
    return maxima.solution()


def _ridge_minimum(problem: Problem, strength: float, options: Options) -> Array:
    """Return θ with the least loss plus a ridge of a strength, for standardised columns."""
    ridge = ridge_terms(strength * np.square(problem.objective.scale))
    return minimise(problem.with_penalty(ridge), options).point.theta


class _Maxima:
    """The maxima that searches from several starts find.

    Attributes
    ----------
    best : Solution
        The end of a search where the penalised likelihood is highest.
    """

    def __init__(self, first: Solution, ascents: _Ascents, options: Options, n_rows: float) -> None:
        self.best = first
        self._ascents, self._options, self._n_rows = ascents, options, n_rows
        self._others: list[Solution] = []

    def search(self, theta: Array, *, is_steepest: bool = False) -> None:
        """Search from θ, (n_logits, n_features + 1); the arguments are those of `_Ascents.maximum`.

        If the information is singular at θ, there is no search.
        """
        try:
            found = self._ascents.maximum(theta, self._options, is_steepest=is_steepest)
        except _covariance.SingularInformation:
            return
        gain = self._n_rows * (self.best.value - found.value)
        # Rounding may keep a search from its maximum; another may come nearer to the same one.
        is_rounded = Status.PRECISION in (self.best.status, found.status)
        is_same = abs(gain) <= SAME or (is_rounded and self._are_in_one_place(found))
        is_better = found.distance < self.best.distance if is_same and is_rounded else gain > SAME
        if is_better:
            self.best, found = found, self.best
        tol = self._options.tol
        if not is_same and abs(gain) > SAME + _largest_gain(found, tol) + _largest_gain(
            self.best, tol
        ):
            self._others.append(found)

    def _are_in_one_place(self, found: Solution) -> bool:
        """Return whether a search ended within `SAME_PLACE` of the best end so far."""
        point = self.best.point
        step = np.asfortranarray(found.point.theta - point.theta)
        square = self._n_rows * inner(step, point.hessian_product(step))
        return square <= SAME_PLACE**2

    def search_from_weak_prior(self, theta: Array, scale: float) -> None:
        """Search from a maximum of the likelihood times the power `WEAK_EXPONENT` of the prior.

        The search for this maximum starts from θ. `scale` is that of `bias_reduced`.
        """
        weak = _Ascents(self._ascents.problem, WEAK_TOL, scale / WEAK_EXPONENT)
        try:
            start = weak.maximum(theta, self._options).point.theta
        except _covariance.SingularInformation:
            return
        self.search(start)

    def solution(self) -> Solution:
        """Return the best end of a search, with a remark if there are other maxima."""
        if not self._others:
            return self.best
        other = min(self._others, key=lambda one: one.value)
        remark = (
            "The likelihood penalised by bias_reduction has more than one maximum: the "
            "coefficients are those of the higher one that was found, where the penalised "
            f"log-likelihood is {-self._n_rows * self.best.value:.6g}; at another it is "
            f"{-self._n_rows * other.value:.6g}. There are too few rows to tell them apart."
        )
        return replace(self.best, remark=remark)


def _largest_gain(end: Solution, tol: float) -> float:
    """Return a bound, in nats, on the gain between the end of a search and the maximum near it.

    The bound is infinite if the end is too far from a maximum. At a distance of d standard errors
    about d²/2 is left to gain, and more if the prior makes the penalised likelihood flatter than
    the likelihood, from whose information the distance is computed.
    """
    if end.distance > max(tol, AT_MAXIMUM):
        return float("inf")
    return GAIN_PER_DISTANCE * end.distance**2


class _Ascents:
    """Searches for maxima of the penalised likelihood, which remember the maxima found before.

    A search ends at the distance `tol` from a maximum, in standard errors. `problem` and `scale`
    are those of `bias_reduced`.

    Attributes
    ----------
    n_coefficients : int
        The number of coefficients in reference coding.
    """

    def __init__(self, problem: Problem, tol: float, scale: float) -> None:
        # In float32 the score would have too few digits for `tol` if columns are far from zero or
        # nearly dependent. In float64 the determinant of the information has too few if columns are
        # nearly dependent, so that the coefficients are then those of orthogonal columns.
        self._given = problem.objective.in_float64()
        objective = over_orthogonal_columns(self._given)
        self.problem, self._objective, self._tol = problem, objective, tol
        columns = objective.standardisation
        self._columns = columns if isinstance(columns, CombinedColumns) else None
        if self._columns is not None:
            aliased = aliased_columns(self._given, np.flatnonzero(problem.varying)).columns
            if len(aliased):
                raise _covariance.SingularInformation(aliased)
        self._total = scale * objective.total_weight
        self._width = objective.blocks.n_features + objective.fit_intercept
        # Constant columns have no coefficients, because intercepts stand for them.
        self._free = np.append(problem.varying, [True] * objective.fit_intercept)
        if not self._free.any():
            # `penalised_likelihood` then raises the error that names the columns.
            self._free[:] = True
        self.n_coefficients = objective.likelihood.n_free * int(self._free.sum())
        # Each maximum found, and the points of its search, (n_points, n_logits, n_features + 1).
        self._known: list[tuple[Solution, Array]] = []

    def _inside(self, theta: Array) -> Array:
        """Return the coefficients of the columns of the search for those of the problem."""
        columns = self._columns
        return theta if columns is None else np.asfortranarray(theta @ columns.inverse)

    def _outside(self, theta: Array) -> Array:
        """Return the coefficients of the columns of the problem for those of the search."""
        columns = self._columns
        return theta if columns is None else np.asfortranarray(theta @ columns.combinations)

    @cached_property
    def _log_volume(self) -> float:
        """What log |I|/2 for the columns of the problem exceeds that for those of the search by."""
        if self._columns is None:
            return 0.0
        sizes = np.abs(self._columns.inverse.diagonal()[: self._width])
        return self._objective.likelihood.n_free * float(np.log(sizes).sum())

    def maximum(self, theta: Array, options: Options, *, is_steepest: bool = False) -> Solution:
        """Return the end of the search that starts from θ, (n_logits, n_features + 1).

        The first `SCORING_STEPS` steps are those of Fisher scoring, further steps those of BFGS. If
        `is_steepest`, the first step is one of steepest ascent, of a length of no more than 1, and
        all others are those of BFGS. The `status` of the result tells whether it is a maximum. A
        search that comes to a point of an earlier search stops, and returns the maximum of the
        earlier one.
        """
        objective = self._objective
        points = []
        state = self._at(self._inside(theta))
        record = Record(options)
        status = Status.MAX_ITER
        inverse = None if is_steepest else state.V
        while True:
            point, value = state.point, state.value
            points.append(point.theta)
            step, distance = _step(inverse, state.score), state.distance
            if distance <= self._tol:
                status = Status.CONVERGED
            status = record.add(
                objective.counter,
                self._outside(point.theta),
                value / self._total,
                distance,
                status,
            )
            if status is not Status.MAX_ITER or record.is_full:
                break
            known = self._joined_maximum(point.theta, step)
            if known is not None:
                return known
            found, t = self._line_search(state, step)
            # No share of the step leads up, or rounding hides whether it does.
            is_lost = found is None or (found.value == value and found.distance >= distance)
            if found is None or is_lost:
                # The information may show a direction upwards that the updated matrix does not.
                if inverse is state.V:
                    status = Status.PRECISION
                    break
                inverse = state.V
                continue
            is_slow = is_steepest or len(record) >= SCORING_STEPS
            change = state.score - found.score
            inverse = _updated(inverse, t * step, change, found.V) if is_slow else found.V
            state = found
        if self._columns is not None:
            point = self._given.at(self._outside(point.theta))
        outcome = Outcome(point, value / self._total, status, record.history)
        solution = self.problem.solution(outcome, float("nan"))
        if distance <= max(self._tol, AT_MAXIMUM):
            self._known.append((solution, np.stack(points)))
        return solution

    def joins_at_once(self, theta: Array) -> bool:
        """Whether a Fisher scoring step from θ leads to a point of an earlier search."""
        theta = self._inside(theta)
        try:
            state = self._at(theta)
        except _covariance.SingularInformation:
            return False
        return self._joined_maximum(theta, state.V @ state.score) is not None

    def _at(self, theta: Array) -> _State:
        """Return the penalised likelihood with its derivatives at θ, (n_logits, n_features + 1).

        θ and derivatives are those of the columns of the search.
        """
        point = self._objective.at(theta)
        value, V, score = penalised_likelihood(point, self._total, self._width, self._free)
        return _State(point, value - self._log_volume, V, score)

    def _line_search(self, state: _State, step: Array) -> tuple[_State | None, float]:
        """Return the state after a share of the step, and this share: 1, 1/2, 1/4, ...

        It is the largest share that does not decrease the penalised likelihood; the state is None
        if `MAX_STEP_HALVINGS` shares decrease it.
        """
        t = 1.0
        for _ in range(MAX_STEP_HALVINGS):
            try:
                found = self._at(after_step(state.point.theta, t * step, self._width))
            except _covariance.SingularInformation:
                pass  # so far out that probabilities are 0 or 1
            else:
                if found.value <= state.value:
                    return found, t
            t *= 0.5
        return None, t

    def _joined_maximum(self, theta: Array, step: Array) -> Solution | None:
        """Return the maximum of an earlier search if a step from θ leads to one of its points.

        Otherwise the result is None. θ has the shape (n_logits, n_features + 1).
        """
        end = after_step(theta, step, self._width)
        limit = JOINED * float(np.linalg.norm(end - theta))
        for maximum, points in self._known:
            if np.linalg.norm(points - end, axis=(1, 2)).min() <= limit:
                return maximum
        return None


class _State(NamedTuple):
    """A point, with the results of `penalised_likelihood` at this point."""

    point: Point
    value: float
    V: Array
    score: Array

    @property
    def distance(self) -> float:
        """The length of a Fisher scoring step in standard errors."""
        return float(np.sqrt(max(float(self.score @ self.V @ self.score), 0.0)))


def _step(inverse: Array | None, score: Array) -> Array:
    """Return the step, (n,), for an approximation of the inverse Hessian, (n, n).

    None stands for an unknown multiple of the identity; the step's length is then at most 1.
    """
    if inverse is None:
        return score / max(1.0, float(np.linalg.norm(score)))
    return np.asarray(inverse @ score)


def _updated(inverse: Array | None, step: Array, change: Array, V: Array) -> Array:
    """Return the approximation of the inverse Hessian after a step, by the formula of BFGS.

    Fisher scoring converges slowly if the prior makes the penalised likelihood flatter than the
    likelihood, so that later steps use this approximation. `inverse`, (n, n), is the approximation
    before the step, where None stands for an unknown multiple of the identity, and `change`, (n,),
    the change of the gradient of minus the penalised log-likelihood. If this function is not convex
    along the step, the result is the inverse information V.
    """
    curvature = float(change @ step)
    # A product that rounding dominates would turn the inverse indefinite.
    if not curvature > EPS * float(np.linalg.norm(change) * np.linalg.norm(step)):
        return V
    if inverse is None:
        inverse = curvature / float(change @ change) * np.eye(len(step))
    product = inverse @ change
    factor = (1.0 + float(change @ product) / curvature) / curvature
    cross = np.multiply.outer(step, product) / curvature
    return np.asarray(inverse + factor * np.multiply.outer(step, step) - cross - cross.T)


def after_step(theta: Array, step: Array, width: int) -> Array:
    """Return θ, (n_logits, n_features + 1), after a step of shape (r * width,).

    With three or more classes the result is centred, so that it sums to zero over the classes.
    """
    theta = theta.copy(order="F")
    r = max(1, len(theta) - 1)
    theta[:r, :width] += step.reshape(r, width)
    if len(theta) > 1:
        # Centring does not change the loss, and solvers of smooth problems expect it.
        theta -= theta.mean(axis=0)
    return theta


def penalised_likelihood(
    point: Point, total: float, width: int, free: Array | None = None
) -> tuple[float, Array, Array]:
    """Return -log L - log |I|/2, the inverse information I⁻¹, and the score of log L + log |I|/2.

    Parameters
    ----------
    point : Point
    total : float
        Sum of the weights of the rows.
    width : int
    free : ndarray of bool of shape (width,), optional
        Which coefficients of each logit are parameters. The others are constants, for which I⁻¹ has
        rows and columns of zeros. None stands for all.

    Raises
    ------
    SingularInformation
        If the information of the free coefficients is singular.
    """
    objective = point.objective
    r = max(1, len(point.theta) - 1)
    H = _reference_coding.information(point)
    if free is None or free.all():
        V = _covariance.inverse(H, width) / total
    else:
        # Rows and columns of constants are zeros, which a Cholesky factor cannot have.
        at = np.ix_(*2 * (np.flatnonzero(np.tile(free, r)),))
        H, V = H[at], np.zeros_like(H)
        try:
            V[at] = _covariance.inverse(H, int(free.sum())) / total
        except _covariance.SingularInformation as error:
            columns = np.flatnonzero(free)[error.columns]
            raise _covariance.SingularInformation(columns) from error
    log_det = float(np.linalg.slogdet(H)[1])
    (prior_score,) = point.map_reduce(_prior_score, V)
    # The storage divides the weights by a scale, so that sums over rows are of smaller weights than
    # `total` counts.
    prior_score *= total / objective.total_weight
    gradient = point.loss_gradient()[:r, :width]
    value = total * point.loss - 0.5 * log_det
    return value, V, (prior_score - total * gradient).ravel()


def _prior_score(context: KernelContext, V: Array) -> tuple[Array]:
    """Return the gradient of log |I|/2 over the rows of a block, (r, width); V is I⁻¹.

    The derivative is tr(I⁻¹ ∂I)/2, where ∂I has the third cumulants of the multinomial
    distribution. x are the features of a row, p its probabilities, and V_kl the block of V for the
    logits k and l. With Q_kl = xᵀ V_kl x, a row adds to the gradient of logit m x times

        p_m [Q_mm - Σ_k p_k Q_kk - 2 (Qp)_m + 2 pᵀQp]/2.
    """
    P = context.probabilities.astype(np.float64)
    # Reference coding leaves out the last class; a single logit stays.
    P = P[: max(1, len(P) - 1)]
    X = context.rows if context.model.standardisation.fit_intercept else context.rows[:-1]
    r, width = len(P), len(X)
    blocks = V.reshape(r, width, r, width)
    Q = empty((r, r, X.shape[1]), np.float64, X)
    for k in range(r):
        for m in range(k + 1):
            Q[k, m] = Q[m, k] = np.einsum("in,in->n", X, blocks[k, :, m] @ X)
    own = np.stack([Q[k, k] for k in range(r)])
    Qp = np.einsum("kmn,mn->kn", Q, P)
    mean = np.einsum("kn,kn->n", P, own) - 2.0 * np.einsum("kn,kn->n", P, Qp)
    share = 0.5 * P * (own - 2.0 * Qp - mean)
    return ((share * context.weights) @ X.T,)
