"""The minimum of a dense quadratic model with an L1 penalty and bounds, by pivoting.

This is the feature-sign search of Lee et al. (2007, NeurIPS 19), extended to bounds. Free
coefficients may change; the others are fixed at zero or at a bound. Two kinds of pivots alternate:

- Newton's method over the free coefficients, with an exact line search through the points at which
  coefficients change their sign, reaches their minimum in a few steps. It does so also along
  directions in which the quadratic is flat, so that the penalty alone determines the minimum.
- Then the fixed coefficients with the largest subgradients become free.
"""

from __future__ import annotations

import copy

import numpy as np
from scipy.linalg import lapack

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Arithmetic operations that the factorisations of a minimum may cost, and limits of the number of
# pivots. A search that needs more pivots is cycling: rounding hides how flat the quadratic is.
PIVOT_WORK = 2e10
CHOLESKY_WORK = 1.0 / 3.0  # operations of a factorisation of p coefficients, over p³
PIVOTS_PER_COEFFICIENT, LEAST_PIVOTS = 2, 30
# All fixed coefficients whose scaled subgradient is above this share of the largest become free.
TOGETHER = 0.5
# Gradients, subgradients and L1 penalties of a coefficient are scaled: divided by the root of its
# curvature. The search stops when the largest subgradient is PIVOT_ACCURACY times that at the
# start, or PIVOT_ROUNDING times the rounding error of a gradient. Two kinds of coefficients do not
# count for this error: those with an L1 penalty of STRONG_L1 or more, which are always zero, and
# zeros whose L1 penalty is more than STRONG_SHARE times the largest gradient, which will almost
# certainly stay zero.
PIVOT_ACCURACY, PIVOT_ROUNDING, STRONG_L1, STRONG_SHARE = 1e-9, 16.0, 1e50, 1e3
# The search also stops at TERM_ROUNDING times the rounding error of the terms of a gradient, which
# is computed once in PIVOTS_PER_LOOK pivots.
TERM_ROUNDING, PIVOTS_PER_LOOK = 4.0, 30
# What is added to the unit diagonal of a matrix, so that it has a Cholesky factor.
REGULARISATION = 1e-12
# The least ratio of the curvature along a Newton step to minus its slope, for an accurate step.
ACCURATE_STEP = 0.999
# With more coefficients, a search takes the end of a long share of a Newton step for its minimum.
FEW_COEFFICIENTS = 64


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
        M, positive semidefinite, for R logits with `width` coefficients each. The coefficients of
        a logit are next to each other.
    gradient, theta : ndarray of shape (R, width)
        g and θ.
    penalty : Elementwise
        The L1 and ridge penalties and the bounds of W.
    start : ndarray of shape (R, width)
        Where the search begins.
    share : float, default=0
        The search may end when the decrease that is left is about this share of the decrease that
        was reached.

    Returns
    -------
    ndarray of shape (R, width)
        With a `share` of zero the minimiser to a relative accuracy of `PIVOT_ACCURACY`. If the
        limit of pivots is reached before, the last W, whose value is not above that of `start`.
    """
    flat = theta.ravel()
    begin = flat if start is theta else start.ravel()
    terms = FlatPenalty(penalty, theta.shape)
    search = PivotSearch(matrix, gradient.ravel(), flat, terms, begin, share)
    search.run(max_pivots(len(matrix)))
    return search.W.reshape(theta.shape)


def minimise_over_members(
    matrix: Array, gradient: Array, theta: Array, penalty: Elementwise, members: Array
) -> Array:
    """Return W that minimises the function of `minimise_by_pivots` over some coefficients.

    The others keep their values in θ. `members` (R, width) is True for p coefficients, and `matrix`
    (p, p) has their rows and columns of M.
    """
    inside, begin = members.ravel(), theta[members]
    terms = FlatPenalty(penalty, theta.shape).of(inside)
    search = PivotSearch(matrix, gradient[members], begin, terms, begin)
    search.run(max_pivots(len(matrix)))
    W = theta.copy()
    W[members] = search.W
    return W


def max_pivots(p: int, work: float = CHOLESKY_WORK) -> int:
    """Return how many pivots a search over p coefficients may make, each of work·p³ operations."""
    most = LEAST_PIVOTS + PIVOTS_PER_COEFFICIENT * p
    return int(min(max(PIVOT_WORK / (work * max(p, 1) ** 3), LEAST_PIVOTS), most))


class FlatPenalty:
    """The penalty and bounds of flat coefficients W, with those of a logit next to each other.

    The penalty is Σ l1 |W| + ridge (W - target)²/2 for lower <= W <= upper.

    Parameters
    ----------
    penalty : Elementwise
        The penalty of coefficients of the shape `shape`.
    shape : (int, int)
        (R, width); p below is R·width.

    Attributes
    ----------
    l1, ridge, target, lower, upper : ndarray of shape (p,)
    has_ridge, has_bounds : bool
        Whether some coefficient has a ridge, and whether some has a finite bound.
    weak_l1 : ndarray of shape (p,)
        `l1`, with zeros for strengths of STRONG_L1 or more.
    """

    def __init__(self, penalty: Elementwise, shape: tuple[int, int]) -> None:
        arrays = (penalty.l1, penalty.ridge, penalty.target, penalty.lower, penalty.upper)
        whole = np.empty((len(arrays), *shape))
        for k, array in enumerate(arrays):
            whole[k] = array
        self.l1, self.ridge, self.target, self.lower, self.upper = whole.reshape(len(arrays), -1)
        self.has_ridge, self.has_bounds = penalty.has_ridge, penalty.has_bounds
        self.weak_l1 = np.where(self.l1 < STRONG_L1, self.l1, 0.0)

    def of(self, members: Array) -> FlatPenalty:
        """Return the penalty of some of the coefficients, for which `members` (p,) is True."""
        part = copy.copy(self)
        for name in ("l1", "ridge", "target", "lower", "upper", "weak_l1"):
            setattr(part, name, getattr(self, name)[members])
        return part


class PivotSearch:
    """The search of `minimise_by_pivots` for flat coefficients of shape (p,).

    Parameters
    ----------
    matrix : ndarray of shape (p, p)
        M, positive semidefinite.
    gradient, theta : ndarray of shape (p,)
        g and θ.
    penalty : FlatPenalty
    start : ndarray of shape (p,)
        Where the search begins. If it is the array `theta` itself, a matrix product is saved.
    share : float, default=0
        See `minimise_by_pivots`.

    Attributes
    ----------
    W : ndarray of shape (p,)
        The present point.
    gain : float
        The decrease of the value, quadratic plus penalty, from the start to W.
    """

    def __init__(
        self,
        matrix: Array,
        gradient: Array,
        theta: Array,
        penalty: FlatPenalty,
        start: Array,
        share: float = 0.0,
    ) -> None:
        self._penalty, self._l1 = penalty, penalty.l1
        self._lower, self._upper = penalty.lower, penalty.upper
        self._has_bounds = penalty.has_bounds
        self.W = start.copy()
        q = gradient if start is theta else gradient + matrix @ (start - theta)
        if penalty.has_ridge:
            q = q + penalty.ridge * (start - penalty.target)
            matrix = matrix + np.diag(penalty.ridge)
        size = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
        movable = size > 0.0
        if self._has_bounds:
            movable &= self._lower < self._upper
        self._free = movable & ((start != 0.0) | (self._l1 == 0.0))
        if self._has_bounds:
            self._free &= (self._lower < start) & (self._upper > start)
        scale = np.divide(1.0, size, out=np.zeros_like(size), where=movable)
        # H, q and `_scaled_l1` are the matrix, which has a unit diagonal, the gradient at W and the
        # L1 penalty of the quadratic in the coordinates W/scale. The ridge is a part of H and q.
        self._scale, self._H = scale, scale[:, None] * matrix * scale
        self._q, self._scaled_l1 = q * scale, self._l1 * scale
        # `_free` marks the free coefficients. `_sign` is the sign of each coefficient; for a free
        # coefficient of zero it is the sign that the coefficient will take.
        self._sign = np.sign(start)
        self._share, self.gain = share, 0.0
        # The largest share of a Newton step whose end counts as the minimum over the free
        # coefficients. Where REGULARISATION has made the step too short along a flat direction, a
        # longer share of it is too long along others. Further steps cost little for few
        # coefficients alone.
        self._longest_share = 1.0 / ACCURATE_STEP if len(matrix) <= FEW_COEFFICIENTS else np.inf

    def run(self, n_pivots: int) -> None:
        """Alternate both kinds of pivots, at most `n_pivots`, until the minimum is reached."""
        tolerance = PIVOT_ROUNDING * EPS * self._largest_term()
        # Whether W has changed since coefficients became free, and whether W is the minimum over
        # the free coefficients.
        has_moved, is_best = True, False
        for n_pivot in range(n_pivots):
            size = np.abs(self._scaled_subgradient())
            if n_pivot == 0:
                tolerance = max(tolerance, PIVOT_ACCURACY * float(size.max(initial=0.0)))
            elif n_pivot % PIVOTS_PER_LOOK == 0:
                tolerance = max(tolerance, self._rounding_of_terms())
            if not size.max(initial=0.0) < np.inf:
                break
            free = self._free.nonzero()[0]
            if not is_best and size[free].max(initial=0.0) > tolerance:
                share, is_best = self._step(free)
                has_moved |= share > 0.0
                continue
            size[free] = 0.0
            largest = float(size.max(initial=0.0))
            # Each of them alone would lower the value by about half the square of its subgradient.
            if largest <= tolerance or 0.5 * float(size @ size) < self._share * self.gain:
                break
            # If several coefficients became free and then no step was possible, only the one with
            # the largest subgradient becomes free: a step of one coefficient is always possible.
            new = (size >= TOGETHER * largest).nonzero()[0]
            if not has_moved:
                new = np.array([size.argmax()])
            self._free[new] = True
            at_zero = new[self.W[new] == 0.0]
            self._sign[at_zero] = -np.sign(self._q[at_zero])
            has_moved, is_best = False, False

    def _largest_term(self) -> float:
        """Return the largest |gradient| + L1 penalty of a coefficient, both scaled.

        Rounding errors of subgradients are proportional to this number. Zeros that almost certainly
        stay zero count without their L1 penalty; see STRONG_SHARE.
        """
        q = np.abs(self._q)
        terms = q + self._penalty.weak_l1 * self._scale
        if not len(terms):
            return 0.0
        at = terms.argmax()
        if not terms[at] <= STRONG_SHARE * q[at]:
            is_strong = (self.W == 0.0) & (terms > STRONG_SHARE * q.max())
            return float(np.where(is_strong, q, terms).max())
        return float(terms[at])

    def _rounding_of_terms(self) -> float:
        """Return the error in the gradient that the rounding of W causes.

        If columns are nearly collinear, coefficients are large and their terms in the gradient
        cancel, so that the gradient may consist of this error alone.
        """
        W = np.divide(self.W, self._scale, out=np.zeros_like(self.W), where=self._scale > 0.0)
        return TERM_ROUNDING * EPS * float((np.abs(self._H) @ np.abs(W)).max(initial=0.0))

    def _scaled_subgradient(self) -> Array:
        """Return the minimum-norm subgradient (p,), each entry over the root of its curvature."""
        q, l1 = self._q, self._scaled_l1
        # A free coefficient that is still zero has the sign that was chosen when it became free.
        signed = q + l1 * self._sign
        if not self._has_bounds:
            return np.asarray(np.where(self._free, signed, q - np.minimum(np.maximum(q, -l1), l1)))
        # Derivatives to the right and to the left of W; 0 where a bound forbids the move.
        up = q + np.where(self.W >= 0.0, l1, -l1)
        down = q + np.where(self.W > 0.0, l1, -l1)
        up[self._upper <= self.W] = 0.0
        down[self._lower >= self.W] = 0.0
        out = np.minimum(up, 0.0) + np.maximum(down, 0.0)
        return np.where(self._free & (self.W == 0.0), signed, out)

    def _step(self, free: Array) -> tuple[float, bool]:
        """Move W to the least value along the Newton step of the free coefficients.

        `free` are the positions of these coefficients.

        Returns
        -------
        float
            The share of the step that was made; 0 if the step would lower the value too little.
        bool
            Whether W is now the minimum over the free coefficients, as accurately as it can be or,
            with a `share`, as it need be.
        """
        q, scale, sign = self._q[free], self._scale[free], self._sign[free]
        slope = q + self._scaled_l1[free] * sign
        step, change, curvature = self._newton(free, slope)
        first = float(slope @ step)
        # The predicted decrease is -first/2 if no coefficient changes its sign.
        if -0.5 * first < self._share * self.gain:
            return 0.0, True
        move, W, l1 = scale * step, self.W[free], self._l1[free]
        # After an accurate Newton step, `curvature` is -first, and the best share t is 1.
        stays = not self._has_bounds and curvature > -ACCURATE_STEP * first
        if stays and not ((sign * (W + move) <= 0.0) & (l1 > 0.0)).any():
            t, stop, crossed = min(-first / curvature, 1.0), None, 0
            end = W + t * move
        else:
            t, stop, crossed, end = self._share_of_step(free, W, move, first, curvature)
            if not t >= 0.0:
                return 0.0, True
        quadratic = t * (float(step @ q) + 0.5 * t * curvature)
        self.gain -= quadratic + float(l1 @ (np.abs(end) - np.abs(W)))
        self._q += t * change
        self.W[free] = end
        return t, stop is None and not crossed and 0.5 < t < self._longest_share

    def _newton(self, free: Array, slope: Array) -> tuple[Array, Array, float]:
        """Return the Newton step of the free coefficients, and what it changes.

        `free` are their positions, and `slope` (n_free,) their scaled subgradient. Returned are the
        scaled step (n_free,), the change of the gradient `_q` by it (p,), and the second derivative
        of the quadratic along it.
        """
        rows = self._H[free]
        step = solve_semidefinite(rows[:, free], -slope)
        change = step @ rows
        return step, change, max(float(step @ change[free]), 0.0)

    def _share_of_step(
        self, free: Array, W: Array, move: Array, slope: float, curvature: float
    ) -> tuple[float, int | None, int, Array]:
        """Return the share of a step at which the value is least.

        The slope of the value along the step jumps where a coefficient reaches zero or a bound.
        `_sign` is updated, and so is `_free`: coefficients that stop at zero or at a bound become
        fixed. The caller sets `W`.

        Parameters
        ----------
        free : ndarray of int, shape (n_free,)
            The positions of the free coefficients.
        W, move : ndarray of shape (n_free,)
            The free coefficients and their step, in the units of `W`.
        slope, curvature : float
            The slope of the value along the step at its start, and the derivative of the slope.

        Returns
        -------
        t : float
            The share, or a negative number if the value does not fall.
        stop : int or None
            The position, in the sequence of jumps, of the jump at which the value is least; None if
            it is least between jumps.
        n_crossed : int
            The number of coefficients that changed sign.
        end : ndarray of shape (n_free,)
            The free coefficients at the end.
        """
        l1 = self._l1[free]
        # The slope along the step jumps by 2 l1 |move| where a coefficient is zero, and to infinity
        # at bounds.
        at = ((l1 > 0.0) & (self._sign[free] * move < 0.0)).nonzero()[0]
        times, jumps, n_zero = -W[at] / move[at], 2.0 * l1[at] * np.abs(move[at]), len(at)
        if self._has_bounds:
            bound = np.where(move > 0.0, self._upper[free], self._lower[free])
            bounded = ((move != 0.0) & np.isfinite(bound)).nonzero()[0]
            at = np.concatenate([at, bounded])
            times = np.concatenate([times, (bound[bounded] - W[bounded]) / move[bounded]])
            jumps = np.concatenate([jumps, np.full(len(bounded), np.inf)])
        times = np.maximum(times, 0.0)
        order = np.argsort(times, kind="stable")
        t, stop = _least_along(slope, curvature, times[order].tolist(), jumps[order].tolist())
        if not t >= 0.0:
            return t, stop, 0, W
        end = W + t * move
        crossed = at[:n_zero][times[:n_zero] < t]
        self._sign[free[crossed]] *= -1.0
        if stop is not None:
            # All coefficients that reach zero or a bound at this point stay there.
            held = times == t
            end[at[:n_zero][held[:n_zero]]] = 0.0
            if self._has_bounds:
                held_at = at[n_zero:][held[n_zero:]]
                end[held_at] = bound[held_at]
            self._free[free[at[held]]] = False
        if self._has_bounds:
            end = np.clip(end, self._lower[free], self._upper[free])
        return t, stop, len(crossed), end


def _least_along(
    slope: float, curvature: float, times: list[float], jumps: list[float]
) -> tuple[float, int | None]:
    """Minimise a convex function of t >= 0 whose slope is linear but for jumps.

    The slope is `slope` + `curvature` t, plus the `jumps` at the ascending `times` before t.
    The quadratic may be flat up to rounding errors. REGULARISATION then makes the Newton step too
    short, so jumps beyond t = 1 are considered too.

    Returns
    -------
    t : float
        At most 1 or the time of the last jump, whichever is larger; -1 if the slope is not negative
        at 0.
    stop : int or None
        The position of the jump at which the minimum is; None if it is at none.
    """
    if not slope < 0.0:
        return -1.0, None
    first = 0.0
    for k, (time, jump) in enumerate(zip(times, jumps, strict=True)):
        # The slope is `left` to the left of the jump, and `left + jump` to the right.
        left = slope + curvature * time
        if left >= 0.0:
            return max(-slope / curvature, first) if curvature > 0.0 else time, None
        if left + jump >= 0.0:
            return time, k
        slope, first = slope + jump, time
    t = -slope / curvature if curvature > 0.0 else np.inf
    return float(min(max(t, first), max(1.0, first))), None


def solve_semidefinite(A: Array, b: Array) -> Array:
    """Return A⁻¹ b for a positive semidefinite matrix A with a unit diagonal.

    REGULARISATION is added to the diagonal, and more if A has no Cholesky factor. The result is b
    if it never has one.
    """
    added = REGULARISATION
    while added < 1.0:
        L = A.copy()
        L.ravel()[:: len(b) + 1] += added
        # The transposed matrix is in Fortran order, so that LAPACK makes no copy.
        _, x, info = lapack.dposv(L.T, b, lower=1, overwrite_a=1)
        if info == 0:
            return np.asarray(x)
        added *= 100.0
    return np.asarray(b)
