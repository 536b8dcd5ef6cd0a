"""The minimum of a dense quadratic model with a penalty of groups.

Block coordinate descent with the exact minimum of each block finds which groups are zero (Qin,
Scheinberg & Goldfarb 2013, Math. Program. Comput. 5, 143-169). Newton's method over the other
groups, with an exact line search, reaches the minimum even if columns are nearly collinear.

A group is the coefficients of one column for the R logits. Coefficients have the shape (width, R),
with a row for each group, and n_groups is the number of the groups of a step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skmaxent._objective._group_penalty import Grouped
from skmaxent._solvers._active_set import PIVOT_WORK, solve_semidefinite
from skmaxent._storage._arrays import EPS
from skmaxent._typing import Array

# Most and least rounds of block descent and Newton's method, and Newton steps in one round.
MOST_ROUNDS, LEAST_ROUNDS = 20, 3
NEWTON_STEPS = 8
# The descent stops at GROUP_ACCURACY times the first scaled subgradient, or at GROUP_ROUNDING times
# the rounding error of a gradient.
GROUP_ACCURACY, GROUP_ROUNDING = 1e-9, 4.0
# Most Newton steps for the length of a group. They converge quadratically from below.
NORM_STEPS = 50
# A line search evaluates the slope at these points of an interval at once, and continues in one of
# the 16 parts. After LINE_ROUNDS rounds, an interval of 16^-15 is below the rounding error of t.
SECTIONS = np.arange(1.0, 16.0) / 16.0
LINE_ROUNDS = 15
# If a step reduces the length of a group to this share, the group is also tried at zero.
SHRUNK = 0.1
# If a search ends before the share BLOCKED of a Newton step, it is repeated without the groups that
# come close to zero before BLOCKED_UP_TO times that share, at most MAX_RESTARTS times.
BLOCKED, BLOCKED_UP_TO, MAX_RESTARTS = 0.1, 10.0, 8


def minimise_groups(
    matrix: Array, gradient: Array, theta: Array, penalty: Grouped, start: Array
) -> Array:
    """Return W that minimises ⟨g, W - θ⟩ + ⟨W - θ, M (W - θ)⟩/2 + penalty(W).

    Parameters
    ----------
    matrix : ndarray of shape (R·width, R·width)
        M, positive semidefinite, with the coefficients of a class next to each other.
    gradient, theta : ndarray of shape (R, width)
        g and θ.
    penalty : Grouped
        A group is the coefficients of one column.
    start : ndarray of shape (R, width)
        Where the descent begins.

    Returns
    -------
    ndarray of shape (R, width)
        The minimiser to a relative accuracy of `GROUP_ACCURACY`. If the limit of rounds is reached
        before, the last W, whose value is not above that of `start`.
    """
    descent = _Descent(matrix, gradient, theta, penalty, start)
    rounds = 3.0 * PIVOT_WORK / (NEWTON_STEPS * float(len(matrix)) ** 3)
    descent.run(int(np.clip(rounds, LEAST_ROUNDS, MOST_ROUNDS)))
    return np.asarray(descent.W.T)


class _Step(NamedTuple):
    """A step of some groups, (n_groups, R), and its effect.

    `change` (width, R) is the change of the gradient of the quadratic by the step, and `value` the
    change of the value, quadratic plus penalty.
    """

    step: Array
    change: Array
    value: float


class _Descent:
    """The descent of `minimise_groups`, whose parameters it has.

    Attributes
    ----------
    W : ndarray of shape (width, R)
        The present point.
    q : ndarray of shape (width, R)
        The gradient of the quadratic at W. The ridge is a part of the quadratic.
    H : ndarray of shape (width·R, width·R)
        The matrix of the quadratic, with the coefficients of a group next to each other.
    l1 : ndarray of shape (width,)
        The strength of the penalty of the length of each group.
    """

    def __init__(
        self, matrix: Array, gradient: Array, theta: Array, penalty: Grouped, start: Array
    ) -> None:
        R, width = theta.shape
        blocks = matrix.reshape(R, width, R, width).transpose(1, 0, 3, 2)
        ridge = np.broadcast_to(penalty.ridge, theta.shape).T
        target = np.broadcast_to(penalty.target, theta.shape).T
        self.H = blocks.reshape(R * width, R * width)
        self.H.flat[:: R * width + 1] += ridge.ravel()
        self.l1 = np.asarray(penalty.l1[0], dtype=float)
        self.W = start.T.astype(float)
        H_step = (self.H @ (start - theta).T.ravel()).reshape(width, R)
        self.q = gradient.T + H_step + ridge * (theta.T - target)
        self._sizes = np.abs(self.H)
        own = np.einsum("jkjl->jkl", self.H.reshape(width, R, width, R))
        self._curvatures, self._axes = np.linalg.eigh(own)
        self._curvatures = np.maximum(self._curvatures, 0.0)
        top = self._curvatures[:, -1]
        self._moves = top > 0.0
        self._scale = np.divide(1.0, np.sqrt(top), out=np.zeros(width), where=self._moves)

    def run(self, n_rounds: int) -> None:
        """Alternate block descent and Newton's method until the subgradient is zero.

        There are at most `n_rounds` rounds of both.
        """
        sizes = self._violations()
        accurate = GROUP_ACCURACY * float(sizes.max(initial=0.0))
        tolerance = np.maximum(accurate, self._rounding())
        for _ in range(n_rounds):
            violating = np.flatnonzero(sizes > tolerance)
            if not len(violating) or not np.isfinite(sizes).all():
                break
            for j in violating[np.argsort(-sizes[violating], kind="stable")]:
                self._minimise_block(int(j))
            tolerance = np.maximum(accurate, self._rounding())
            for _ in range(NEWTON_STEPS):
                if not self._newton_step():
                    break
                sizes = self._violations()
                some = (self.W != 0.0).any(axis=1) | (self.l1 == 0.0)
                if (sizes <= tolerance)[some].all():
                    break
            sizes = self._violations()

    def _rounding(self) -> Array:
        """Return the size of the rounding errors of the scaled subgradient of each group, (width,).

        If columns are nearly collinear, coefficients are large and their terms in the gradient
        cancel, so that the gradient may consist of rounding errors alone.
        """
        terms = (self._sizes @ np.abs(self.W).ravel()).reshape(self.W.shape)
        terms = np.maximum(terms, np.abs(self.q)).max(axis=1, initial=0.0)
        return np.asarray(GROUP_ROUNDING * EPS * self._scale * (terms + self.l1))

    def _violations(self) -> Array:
        """Return the scaled subgradient of each group, (width,).

        It is the length of the minimum-norm subgradient over the root of the largest curvature.
        """
        norms = np.sqrt(np.square(self.W).sum(axis=1))
        slope = self.q + (self.l1 / np.where(norms > 0.0, norms, np.inf))[:, None] * self.W
        size = np.sqrt(np.square(slope).sum(axis=1))
        size = np.where(norms > 0.0, size, np.maximum(size - self.l1, 0.0))
        return np.asarray(size * self._scale)

    def _move(self, j: int, change: Array) -> None:
        """Add a change (R,) to the coefficients of group j."""
        R = self.W.shape[1]
        self.W[j] += change
        self.q += (self.H[:, j * R : (j + 1) * R] @ change).reshape(self.W.shape)

    def _minimise_block(self, j: int) -> None:
        """Set the coefficients w of group j to their minimum, with the other groups fixed.

        With A the block of H and b the gradient at w = 0, the minimiser is w = -(A + l1/ρ)⁻¹ b,
        where ρ is the length of w; it is zero if the length of b is at most l1.
        """
        if not self._moves[j]:
            return
        values, axes, l1 = self._curvatures[j], self._axes[j], self.l1[j]
        b = axes.T @ self.q[j] - values * (axes.T @ self.W[j])
        size = float(np.sqrt(b @ b))
        if size <= l1:
            self._move(j, -self.W[j])
            self.W[j] = 0.0
            return
        # Directions in which A has no curvature but rounding errors get a little.
        values = np.maximum(values, EPS * values[-1])
        if l1 == 0.0:
            self._move(j, axes @ (-b / values) - self.W[j])
            return
        # ρ solves ‖b/(λρ + l1)‖ = 1, where λ are the eigenvalues of A. The reciprocal of the left
        # side is concave in ρ, so that Newton's method for it converges from below. It begins where
        # all λ are the largest; from zero, the squares would overflow if l1 is tiny.
        rho = (size - l1) / float(values[-1])
        for _ in range(NORM_STEPS):
            level = values * rho + l1
            squares = np.square(b / level)
            total = float(squares.sum())
            slope = float((squares * values / level).sum())
            step = total * (np.sqrt(total) - 1.0) / slope if slope > 0.0 else 0.0
            if not step > 4.0 * EPS * rho:
                break
            rho += step
        self._move(j, axes @ (-b * rho / (values * rho + l1)) - self.W[j])

    def _newton_step(self) -> bool:
        """Make a Newton step over the groups that are not zero; return whether the value fell.

        A group that comes close to zero stops the search along a step, because the slope of the
        penalty changes fast there. Such groups are set to zero, and the search is repeated without
        them.
        """
        W, q, value = self.W, self.q, 0.0
        best, least = None, 0.0
        groups = np.flatnonzero(self._moves & (self.W.any(axis=1) | (self.l1 == 0.0)))
        for _ in range(MAX_RESTARTS):
            if not len(groups):
                break
            step, blocking = self._search(W, q, groups)
            if value + step.value < least:
                best, least = (W, q, groups, step), value + step.value
            if not blocking.any():
                break
            zero = groups[blocking]
            step = self._evaluated(W, q, zero, -W[zero])
            W, q, value = W.copy(), q + step.change, value + step.value
            W[zero] = 0.0
            groups = groups[~blocking]
        if best is None:
            return False
        W, q, groups, step = best
        self.W = W.copy()
        self.W[groups] += step.step
        self.q = q + step.change
        return True

    def _search(self, W: Array, q: Array, groups: Array) -> tuple[_Step, NDArray[np.bool_]]:
        """Return a step of some groups along the Newton step, to the least value.

        W and q (width, R) are the point and the gradient of the quadratic there. Also returned is a
        mask (n_groups,) of the groups that block the search if it ends early, because they come
        close to zero not far from its end.
        """
        part, l1 = W[groups], self.l1[groups]
        norms = np.sqrt(np.square(part).sum(axis=1))
        safe = np.where(norms > 0.0, norms, 1.0)
        unit = part / safe[:, None]
        direction = self._newton_direction(q, groups, unit, l1 / safe)
        change = self._times(groups, direction)
        share = _least_along(q[groups], part, l1, direction, change[groups])
        t, penalised = max(share, 1.0), l1 > 0.0
        shrinks = penalised & (_inner(unit, part + t * direction) <= SHRUNK * norms)
        step = share * direction
        best = _Step(step, share * change, self._change(W, q, groups, step, share * change))
        # Groups that go through zero, or next to it, end there if that is lower.
        soon = shrinks & (_inner(unit, part + step) <= SHRUNK * norms)
        for zero in (shrinks, soon) if (soon != shrinks).any() else (shrinks,):
            if zero.any():
                other = self._evaluated(W, q, groups, np.where(zero[:, None], -part, step))
                best = other if other.value < best.value else best
        if share > BLOCKED:
            return best, np.zeros(len(groups), dtype=bool)
        return best, shrinks & (-_inner(part, step) <= BLOCKED_UP_TO * _inner(step, step))

    def _newton_direction(self, q: Array, groups: Array, unit: Array, curvature: Array) -> Array:
        """Return the Newton step of some groups, (n_groups, R), for a gradient q (width, R).

        `unit` (n_groups, R) are the coefficients of the groups divided by their lengths, and
        `curvature` (n_groups,) the second derivatives of the penalty perpendicular to them.
        """
        width, R = q.shape
        H = self.H.reshape(width, R, width, R)[groups][:, :, groups].copy()
        member = np.arange(len(groups))
        across = np.eye(R) - unit[:, :, None] * unit[:, None, :]
        H[member, :, member] += curvature[:, None, None] * across
        H = H.reshape(len(groups) * R, len(groups) * R)
        scale = 1.0 / np.sqrt(np.maximum(H.diagonal(), np.finfo(float).tiny))
        slope = (q[groups] + self.l1[groups][:, None] * unit).ravel()
        solved = solve_semidefinite(scale[:, None] * H * scale, scale * slope)
        return np.asarray(-scale * solved).reshape(unit.shape)

    def _evaluated(self, W: Array, q: Array, groups: Array, step: Array) -> _Step:
        """Return a step (n_groups, R) of some groups from W (width, R) with its effect."""
        change = self._times(groups, step)
        return _Step(step, change, self._change(W, q, groups, step, change))

    def _times(self, groups: Array, step: Array) -> Array:
        """Return H times a step (n_groups, R) of some groups, (width, R)."""
        width, R = self.W.shape
        columns = (groups[:, None] * R + np.arange(R)).ravel()
        return np.asarray((self.H[:, columns] @ step.ravel()).reshape(width, R))

    def _change(self, W: Array, q: Array, groups: Array, step: Array, change: Array) -> float:
        """Return the change of the value by a step (n_groups, R) of some groups from W (width, R).

        q is the gradient of the quadratic at W, and `change` its change by the step.
        """
        W = W[groups]
        before, after = (np.sqrt(np.square(V).sum(axis=1)) for V in (W, W + step))
        smooth = float(np.vdot(step, q[groups] + 0.5 * change[groups]))
        return smooth + float(self.l1[groups] @ (after - before))


def _inner(A: Array, B: Array) -> Array:
    """Return the inner products of the rows of A and B, both (n, R), shape (n,)."""
    return np.asarray(np.einsum("jk,jk->j", A, B))


def _least_along(q: Array, W: Array, l1: Array, step: Array, change: Array) -> float:
    """Return the t >= 0 at which the value along a step is least, by sections of an interval.

    All arrays but l1 (n_groups,) have the shape (n_groups, R). q is the gradient of the quadratic
    at W, and `change` its change by the step.
    """
    linear, curvature = float(np.vdot(q, step)), float(np.vdot(step, change))
    penalised = l1 > 0.0
    W, step, l1 = W[penalised], step[penalised], l1[penalised]
    # A group's length at t is the root of c (t - t0)² + the square of its distance from zero.
    c = np.einsum("jk,jk->j", step, step)
    t0 = -np.divide(np.einsum("jk,jk->j", W, step), c, where=c > 0.0, out=np.zeros_like(c))
    least = np.square(W + t0[:, None] * step).sum(axis=1)

    def slopes(t: Array) -> Array:
        """Return the slope of the value at several t, (n,)."""
        past = t[:, None] - t0
        squares = c * past**2 + least
        rate = np.divide(
            c * past, np.sqrt(squares), where=squares > 0.0, out=np.zeros_like(squares)
        )
        return np.asarray(linear + t * curvature + rate @ l1)

    first, end = slopes(np.array([0.0, 1.0]))
    if not first < 0.0:
        return 0.0
    low, high = 0.0, 1.0
    while end < 0.1 * first and high < 1e6:
        low, high = high, 2.0 * high
        (end,) = slopes(np.array([high]))
    if abs(end) <= -0.1 * first:
        return high
    for _ in range(LINE_ROUNDS):
        t = low + (high - low) * SECTIONS
        levels = slopes(t)
        near = int(np.argmin(np.abs(levels)))
        if abs(levels[near]) <= -1e-2 * first:
            return float(t[near])
        n_below = int(np.count_nonzero(levels < 0.0))
        low, high = (
            t[n_below - 1] if n_below else low,
            t[n_below] if n_below < len(t) else high,
        )
    return float(low)
