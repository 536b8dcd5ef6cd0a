"""The minimum of a dense quadratic model with an L1 penalty and bounds, by pivoting.

Newton's method within the manifold, with an exact line search through the points at which
coefficients change their sign, reaches the minimum there in a few steps, also along directions in
which the quadratic is flat and the penalty alone decides. Then the coefficients that the gradient
moves most are let in (the feature-sign search of Lee et al. 2007, NeurIPS 19, with bounds).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Multiplications that the factorisations of a minimum may cost, and most and least pivots: a search
# that needs more of them goes round in circles, because rounding hides how flat the quadratic is.
PIVOT_WORK = 2e10
PIVOTS_PER_COEFFICIENT, LEAST_PIVOTS = 2, 30
# Coefficients with a share of the largest scaled residual are let in together.
TOGETHER = 0.5
# The search stops at this share of the first scaled subgradient, or at this many times what
# rounding makes of a gradient. Coefficients with an L1 penalty of STRONG_L1 or more are always
# zero, and do not count for the latter.
PIVOT_ACCURACY, PIVOT_ROUNDING, STRONG_L1 = 1e-9, 16.0, 1e50
# Curvature added to scaled systems, so that they have a factor.
REGULARISATION = 1e-12


def minimise_by_pivots(
    matrix: Array,
    gradient: Array,
    theta: Array,
    penalty: Elementwise,
    start: Array,
    share: float = 0.0,
) -> Array:
    """Return W that minimises ⟨g, W - θ⟩ + ⟨W - θ, M (W - θ)⟩/2 + penalty(W).

    Parameters
    ----------
    matrix : ndarray of shape (R·width, R·width)
        M, positive semidefinite, with the coefficients of a class next to each other.
    gradient, theta : ndarray of shape (R, width)
        g and θ.
    penalty : Elementwise
    start : ndarray of shape (R, width)
        Where the search begins.
    share : float, default=0
        The search may end when what is left to gain is about this share of what it has gained.

    Returns
    -------
    ndarray of shape (R, width)
        With a `share` of zero the minimiser to a relative accuracy of `PIVOT_ACCURACY`. If the
        limit of pivots is reached before, the last W, whose value is not above that of `start`.
    """
    search = _Search(matrix, gradient, theta, penalty, start, share)
    p = len(matrix)
    most = LEAST_PIVOTS + PIVOTS_PER_COEFFICIENT * p
    search.run(int(np.clip(3.0 * PIVOT_WORK / p**3, LEAST_PIVOTS, most)))
    return search.W.reshape(theta.shape)


class _Search:
    """The search: its point, and what each pivot needs. All arrays are flat, (p,).

    Attributes
    ----------
    W : ndarray of shape (p,)
        The point.
    q : ndarray of shape (p,)
        The gradient of the quadratic at W; the ridge belongs to the quadratic.
    l1, lower, upper : ndarray of shape (p,)
        The L1 penalty and the bounds of each coefficient.
    """

    def __init__(
        self,
        matrix: Array,
        gradient: Array,
        theta: Array,
        penalty: Elementwise,
        start: Array,
        share: float = 0.0,
    ) -> None:
        def flat(A: Array) -> Array:
            return np.array(np.broadcast_to(A, theta.shape), dtype=float).ravel()

        self.l1, ridge, target = flat(penalty.l1), flat(penalty.ridge), flat(penalty.target)
        self.lower, self.upper = flat(penalty.lower), flat(penalty.upper)
        self.W = flat(start)
        self.q = flat(gradient) + matrix @ (self.W - flat(theta)) + ridge * (self.W - target)
        self._H = matrix + np.diag(ridge) if ridge.any() else matrix
        size = np.sqrt(np.maximum(self._H.diagonal(), 0.0))
        self._movable = (size > 0.0) & (self.lower < self.upper)
        self._scale = np.divide(1.0, size, out=np.zeros_like(size), where=self._movable)
        inside = (self.lower < self.W) & (self.upper > self.W)
        self._free = self._movable & inside & ((self.W != 0.0) | (self.l1 == 0.0))
        self._sign = np.sign(self.W)
        self._share, self._gain = share, 0.0

    def run(self, n_pivots: int) -> None:
        """Minimise over the free coefficients, free others, and so on until no other moves."""
        residual = self._residual()
        rounding = self._scale * (np.abs(self.q) + self.l1)
        tolerance = max(
            PIVOT_ACCURACY * float(np.abs(residual).max(initial=0.0)),
            PIVOT_ROUNDING
            * EPS
            * float(rounding.max(initial=0.0, where=self._movable & (self.l1 < STRONG_L1))),
        )
        has_moved, is_best = True, False
        for _ in range(n_pivots):
            residual = self._residual()
            if not np.isfinite(residual).all():
                break
            free = np.flatnonzero(self._free)
            if not is_best and np.abs(residual[free]).max(initial=0.0) > tolerance:
                share, is_best = self._step(free)
                has_moved |= share > 0.0
                continue
            outside = np.abs(np.where(self._free, 0.0, residual))
            largest = float(outside.max(initial=0.0))
            # Alone, each of them gains about half the square of its residual.
            if largest <= tolerance or 0.5 * float(outside @ outside) < self._share * self._gain:
                break
            # Several at a time may block each other; one never does.
            new = outside >= TOGETHER * largest
            if not has_moved:
                new = np.arange(len(outside)) == int(np.argmax(outside))
            self._free |= new
            at_zero = new & (self.W == 0.0)
            self._sign[at_zero] = -np.sign(residual[at_zero])
            has_moved, is_best = False, False

    def _residual(self) -> Array:
        """Return the minimum-norm subgradient (p,), each entry over the root of its curvature."""
        up = self.q + np.where(self.W >= 0.0, self.l1, -self.l1)
        down = self.q + np.where(self.W > 0.0, self.l1, -self.l1)
        up[self.upper <= self.W] = 0.0
        down[self.lower >= self.W] = 0.0
        out = np.minimum(up, 0.0) + np.maximum(down, 0.0)
        # A coefficient that is free, but zero yet, has the sign that it was let in with.
        signed = self._free & (self.W == 0.0)
        out[signed] = self.q[signed] + self.l1[signed] * self._sign[signed]
        return np.asarray(out * self._scale)

    def _step(self, free: Array) -> tuple[float, bool]:
        """Go to the least value along the Newton direction of the free coefficients.

        Returned are the share of the direction, and whether its end is the minimum over the free
        coefficients. `free` are their positions.
        """
        H, scale = self._H[np.ix_(free, free)], self._scale[free]
        slope = self.q[free] + self.l1[free] * self._sign[free]
        step = -scale * solve_semidefinite(scale[:, None] * H * scale, scale * slope)
        # With signs that do not change, the decrease would be at least that of the quadratic with
        # the penalty and the signs that coefficients have now.
        if -0.5 * float(slope @ step) < self._share * self._gain:
            return 0.0, True
        W, sign, l1 = self.W[free], self._sign[free], self.l1[free]
        change = self._H[:, free] @ step
        curvature = max(float(step @ change[free]), 0.0)
        # Where the slope along the step jumps: by 2 l1 at zero, for good at bounds.
        crosses = (l1 > 0.0) & (sign * step < 0.0)
        at_zero = np.divide(-W, step, where=crosses, out=np.full_like(W, np.inf))
        bound = np.where(step > 0.0, self.upper[free], self.lower[free])
        moves = (step != 0.0) & np.isfinite(bound)
        at_bound = np.divide(bound - W, step, where=moves, out=np.full_like(W, np.inf))
        times = np.concatenate([np.maximum(at_zero, 0.0), np.maximum(at_bound, 0.0)])
        jumps = np.concatenate([2.0 * l1 * np.abs(step), np.full(len(W), np.inf)])
        order = np.argsort(times, kind="stable")
        order = order[np.isfinite(times[order])]
        t, stop = _least_along(float(slope @ step), curvature, times[order], jumps[order])
        if not t >= 0.0:
            return 0.0, True
        before, W = W, W + t * step
        crossed = np.flatnonzero(at_zero < t)
        self._sign[free[crossed]] *= -1.0
        if stop is not None:
            # All that stop at the same point are held there.
            held = order[times[order] == t]
            zero, at = held[held < len(free)], held[held >= len(free)] - len(free)
            W[zero] = 0.0
            W[at] = bound[at]
            self._free[free[zero]] = False
            self._free[free[at]] = False
        quadratic = t * float(step @ self.q[free]) + 0.5 * t**2 * curvature
        self._gain -= quadratic + float(l1 @ (np.abs(W) - np.abs(before)))
        self.q += t * change
        self.W[free] = np.clip(W, self.lower[free], self.upper[free])
        return t, stop is None and not len(crossed) and t > 0.5


def _least_along(
    slope: float, curvature: float, times: Array, jumps: Array
) -> tuple[float, int | None]:
    """Return the t at which a convex function is least, and the jump at which that is, if any.

    The slope of the function is `slope` + `curvature` t, with jumps at ascending times. Along a
    direction in which the quadratic is flat to rounding, a Newton step is as short as the added
    curvature makes it, and only a jump far beyond t = 1 ends the decrease. After the last jump t is
    at most 1.
    """
    if not slope < 0.0:
        return -1.0, None
    before = slope + np.concatenate([[0.0], np.cumsum(jumps)])
    # Left of each jump the slope is before[k] + curvature times[k], right of it before[k + 1] + ...
    right = before[1:] + curvature * times
    turned = np.flatnonzero(right >= 0.0)
    k = int(turned[0]) if len(turned) else len(times)
    if k < len(times) and before[k] + curvature * times[k] < 0.0:
        return float(times[k]), k
    level = before[k]
    first = times[k - 1] if k else 0.0
    t = -level / curvature if curvature > 0.0 else np.inf
    last = times[k] if k < len(times) else max(1.0, first)
    return float(np.clip(t, first, last)), None


def solve_semidefinite(A: Array, b: Array) -> Array:
    """Return A⁻¹ b for a positive semidefinite matrix with a unit diagonal.

    A little is added to the diagonal, and more if A has no Cholesky factor.
    """
    added = REGULARISATION
    while added < 1.0:
        L = A.copy()
        L.flat[:: len(b) + 1] += added
        L, info = lapack.dpotrf(L.T, lower=1, overwrite_a=1)
        if info == 0:
            return np.asarray(lapack.dpotrs(L, b, lower=1)[0])
        added *= 100.0
    return np.asarray(b)
