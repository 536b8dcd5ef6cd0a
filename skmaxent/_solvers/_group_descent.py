"""The minimum of a dense quadratic model with a penalty of groups.

Block coordinate descent with the exact minimum of each block finds which groups are zero (Qin,
Scheinberg & Goldfarb 2013, Math. Program. Comput. 5, 143-169). Newton's method over the groups that
are not, with an exact line search, gets to the minimum also where columns are nearly collinear.
"""

from __future__ import annotations

import numpy as np

from skmaxent._objective._penalty import Grouped
from skmaxent._solvers._active_set import PIVOT_WORK, solve_semidefinite
from skmaxent._typing import Array

# Rounds of block descent and Newton's method, most and least; of the latter in one round.
MOST_ROUNDS, LEAST_ROUNDS = 20, 3
NEWTON_STEPS = 8
# Scaled residual, relative to the first, at which to stop.
GROUP_ACCURACY = 1e-9
# The same in units of what rounding makes of a gradient.
GROUP_ROUNDING = 16.0
# Steps of Newton's method for a norm.
NORM_STEPS = 50
# A search along a line evaluates the slope at these points of an interval at once, and goes on in
# one of the parts: so many rounds reach the rounding of t.
SECTIONS = np.arange(1.0, 16.0) / 16.0
LINE_ROUNDS = 15
# A group whose length falls to this share of what it was may have to be zero.
SHRUNK = 0.1
EPS = float(np.finfo(float).eps)


def minimise_groups(
    matrix: Array, gradient: Array, theta: Array, penalty: Grouped, start: Array
) -> Array:
    """argmin_W ⟨g, W - θ⟩ + ⟨W - θ, M (W - θ)⟩/2 + penalty(W).

    Parameters
    ----------
    matrix : ndarray of shape (R·width, R·width)
        M, class-major, positive semidefinite.
    gradient, theta, start : ndarray of shape (R, width)
    penalty : Grouped

    Returns
    -------
    ndarray of shape (R, width)
        No worse than `start`; the minimum, if so many rounds suffice.
    """
    descent = _Descent(matrix, gradient, theta, penalty, start)
    rounds = 3.0 * PIVOT_WORK / (NEWTON_STEPS * float(len(matrix)) ** 3)
    descent.run(int(np.clip(rounds, LEAST_ROUNDS, MOST_ROUNDS)))
    return np.asarray(descent.W.T)


class _Descent:
    """W, a row for each group, and the gradient q of the quadratic there."""

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
        own = np.einsum("jkjl->jkl", self.H.reshape(width, R, width, R))
        self._curvatures, self._axes = np.linalg.eigh(own)
        self._curvatures = np.maximum(self._curvatures, 0.0)
        top = self._curvatures[:, -1]
        self._moves = top > 0.0
        self._scale = np.divide(1.0, np.sqrt(top), out=np.zeros(width), where=self._moves)

    def run(self, n_rounds: int) -> None:
        sizes = self._violations()
        rounding = self._scale * (np.abs(self.q).max(axis=1, initial=0.0) + self.l1 * self._moves)
        tolerance = max(
            GROUP_ACCURACY * float(sizes.max(initial=0.0)),
            GROUP_ROUNDING * EPS * float(rounding.max(initial=0.0)),
        )
        for _ in range(n_rounds):
            violating = np.flatnonzero(sizes > tolerance)
            if not len(violating) or not np.isfinite(sizes).all():
                break
            for j in violating[np.argsort(-sizes[violating], kind="stable")]:
                self._minimise_block(int(j))
            for _ in range(NEWTON_STEPS):
                if not self._newton_step():
                    break
                sizes = self._violations()
                some = (self.W != 0.0).any(axis=1) | (self.l1 == 0.0)
                if sizes[some].max(initial=0.0) <= tolerance:
                    break
            sizes = self._violations()

    def _violations(self) -> Array:
        """Length of each group's shortest subgradient, over the root of its curvature."""
        norms = np.sqrt(np.square(self.W).sum(axis=1))
        slope = self.q + (self.l1 / np.where(norms > 0.0, norms, np.inf))[:, None] * self.W
        size = np.sqrt(np.square(slope).sum(axis=1))
        size = np.where(norms > 0.0, size, np.maximum(size - self.l1, 0.0))
        return np.asarray(size * self._scale)

    def _move(self, j: int, change: Array) -> None:
        R = self.W.shape[1]
        self.W[j] += change
        self.q += (self.H[:, j * R : (j + 1) * R] @ change).reshape(self.W.shape)

    def _minimise_block(self, j: int) -> None:
        """Bring a group to its minimum, the others fixed.

        With b the gradient at zero, w = -(A + l1/ρ)⁻¹ b, and ρ is its length.
        """
        if not self._moves[j]:
            return
        values, axes, l1 = self._curvatures[j], self._axes[j], self.l1[j]
        b = axes.T @ self.q[j] - values * (axes.T @ self.W[j])
        if np.sqrt(b @ b) <= l1:
            self._move(j, -self.W[j])
            self.W[j] = 0.0
            return
        # Directions that are flat to rounding have a little curvature.
        values = np.maximum(values, EPS * values[-1])
        if l1 == 0.0:
            self._move(j, axes @ (-b / values) - self.W[j])
            return
        # 1/|b/(λρ + l1)| is concave in ρ, and 1 at the length: Newton from below.
        rho = 0.0
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
        """A step over the groups that are not zero; whether the value fell."""
        width, R = self.W.shape
        norms = np.sqrt(np.square(self.W).sum(axis=1))
        some = np.flatnonzero(self._moves & ((norms > 0.0) | (self.l1 == 0.0)))
        if not len(some):
            return False
        safe = np.where(norms > 0.0, norms, 1.0)[some]
        l1, W, q = self.l1[some], self.W[some], self.q[some]
        unit = W / safe[:, None]
        H = self.H.reshape(width, R, width, R)[some][:, :, some].copy()
        member = np.arange(len(some))
        group_curvature = np.eye(R) - unit[:, :, None] * unit[:, None, :]
        H[member, :, member] += (l1 / safe)[:, None, None] * group_curvature
        H = H.reshape(len(some) * R, len(some) * R)
        diagonal = np.maximum(H.diagonal(), np.finfo(float).tiny)
        scale = 1.0 / np.sqrt(diagonal)
        slope = (q + l1[:, None] * unit).ravel()
        flat = -scale * solve_semidefinite(scale[:, None] * H * scale, scale * slope)
        step = flat.reshape(W.shape)
        change = self._times(some, step)
        t = _least_along(q, W, l1, step, change[some])
        if not t > 0.0:
            return False
        value = self._change(some, t * step, t * change)
        # Groups that go through zero, or next to it, end there if that is lower.
        along = np.einsum("jk,jk->j", unit, W + max(t, 1.0) * step)
        best, best_change = t * step, t * change
        near = (along <= SHRUNK * norms[some]) & (l1 > 0.0)
        soon = near & (np.einsum("jk,jk->j", unit, W + t * step) <= SHRUNK * norms[some])
        for zero in (near, soon) if (soon != near).any() else (near,):
            if not zero.any():
                continue
            other = np.where(zero[:, None], -W, t * step)
            other_change = self._times(some, other)
            other_value = self._change(some, other, other_change)
            if other_value < value:
                value, best, best_change = other_value, other, other_change
        if not value < 0.0:
            return False
        self.W[some] += best
        self.q += best_change
        return True

    def _times(self, some: Array, step: Array) -> Array:
        """H times a step of some groups, for all."""
        width, R = self.W.shape
        columns = (some[:, None] * R + np.arange(R)).ravel()
        return np.asarray((self.H[:, columns] @ step.ravel()).reshape(width, R))

    def _change(self, some: Array, step: Array, change: Array) -> float:
        """What a step adds to the value."""
        W = self.W[some]
        before, after = (np.sqrt(np.square(V).sum(axis=1)) for V in (W, W + step))
        smooth = float(np.vdot(step, self.q[some] + 0.5 * change[some]))
        return smooth + float(self.l1[some] @ (after - before))


def _least_along(q: Array, W: Array, l1: Array, step: Array, change: Array) -> float:
    """Return the t >= 0 at which the value is least along a step, by sections of its slope."""
    linear, curvature = float(np.vdot(q, step)), float(np.vdot(step, change))
    penalised = l1 > 0.0
    W, step, l1 = W[penalised], step[penalised], l1[penalised]
    # A group's length at t is the root of c (t - t0)² + the square of its distance from zero.
    c = np.einsum("jk,jk->j", step, step)
    t0 = -np.divide(np.einsum("jk,jk->j", W, step), c, where=c > 0.0, out=np.zeros_like(c))
    least = np.square(W + t0[:, None] * step).sum(axis=1)

    def slopes(t: Array) -> Array:
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
