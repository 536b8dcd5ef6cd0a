"""PathNodes: the Cs of a path that are fitted, and interpolation between them.

Values at other Cs are polynomials in log C through those at the q nearest nodes. At x, the error
of a polynomial that equals a function f at the nodes z_1, …, z_q is f[z_1, …, z_q, x] ω(x), where
ω(x) = ∏ (x - z_j), and f[…] is a divided difference (Davis 1975, Interpolation and Approximation,
section 3.1). The error of a score is estimated by ω and the divided differences of the scores at
q + 1 neighbouring nodes. On a path with an L1 penalty, scores have small kinks where coefficients
become zero. A kink changes the divided differences of its neighbours about as much as the error, if
q is small.
"""

from __future__ import annotations

import itertools

import numpy as np

from skmaxent._solvers import polynomial_factors
from skmaxent._typing import Array

# The number of nodes q of a polynomial, on smooth paths and on those with kinks.
SMOOTH_NODES, NONSMOOTH_NODES = 6, 4
# Bounds are this multiple of the estimated errors.
SAFETY = 2.0
# The largest difference of log C between two nodes, on smooth paths and on those with kinks.
LARGEST_SMOOTH_STEP, LARGEST_NONSMOOTH_STEP = 0.6, 0.4
# The largest growth of these differences from one to the next.
LARGEST_GROWTH = 2.0
# The least difference that is tried on paths with kinks, where it is more than that of two Cs.
# Scores are as inexact as the fits: their divided differences over small steps are mostly noise,
# which says little of the error over larger ones.
LEAST_NONSMOOTH_STEP = 0.2
# If Cs have smaller differences of log C, rounding errors of scores would be magnified.
LEAST_STEP = 1e-6


class PathNodes:
    """The nodes among the Cs of a path: the smallest and the largest C, and as many as are needed.

    Parameters
    ----------
    Cs : ndarray of shape (n_cs,)
    is_smooth : bool, default=True
        Whether coefficients are smooth functions of C, without kinks.

    Attributes
    ----------
    positions : list of int
        The positions of the nodes among the Cs, in ascending order of C.
    """

    def __init__(self, Cs: Array, *, is_smooth: bool = True) -> None:
        self._n_nodes = SMOOTH_NODES if is_smooth else NONSMOOTH_NODES
        self._largest_step = LARGEST_SMOOTH_STEP if is_smooth else LARGEST_NONSMOOTH_STEP
        self._least_step = 0.0 if is_smooth else LEAST_NONSMOOTH_STEP
        order = np.argsort(Cs, kind="stable")
        # The position of the C at each rank, and the rank of the C at each position.
        self._order, self._rank = order, np.argsort(order)
        self._x = np.log(Cs[order])
        with np.errstate(invalid="ignore"):
            steps = np.diff(self._x)
        self._can_step = bool(((steps > LEAST_STEP) & (steps < np.inf)).all())
        # The largest difference between the last node and the next one.
        self._step = 0.0
        self.positions: list[int] = []

    def add_next(self) -> bool:
        """Add the node after the last one, and return whether there was a larger C."""
        last = -1 if not self.positions else int(self._rank[self.positions[-1]])
        if last == len(self._x) - 1:
            return False
        rank = last + 1
        if self._step > 0.0:
            reached = self._x[last] + self._step * (1.0 + 1e-9)
            rank = max(rank, int(np.searchsorted(self._x, reached, side="right")) - 1)
        self.positions.append(int(self._order[rank]))
        return True

    def choose_step(self, scores: Array, limit: float) -> None:
        """Choose the distance of the next node, for errors of scores before it below a limit.

        `scores` (n_nodes,) are those of the nodes.
        """
        q = self._n_nodes
        z, latest = self._nodes[-q - 3 :], scores[-q - 3 :]
        if len(z) <= q or not self._can_step:
            return
        largest = np.abs(_divided_differences(z, latest, q)).max()
        # |ω| in the middle of nodes at distances of one.
        middle = abs(np.prod(np.arange(q) - 0.5 * (q - 1)))
        with np.errstate(divide="ignore"):
            step = (limit / (SAFETY * middle * largest)) ** (1.0 / q)
        most = min(LARGEST_GROWTH * (z[-1] - z[-2]), self._largest_step)
        self._step = max(float(np.clip(np.nan_to_num(step), 0.0, most)), self._least_step)

    def polynomial(self, position: int) -> tuple[list[int], Array]:
        """Return the nodes of the polynomial at a C, and the factors of their values in it."""
        return self._interpolation(position, self._n_nodes)

    def line(self, position: int) -> tuple[list[int], Array]:
        """Return the two nodes around a C, and the factors of their values in the line there."""
        return self._interpolation(position, 2)

    def _interpolation(self, position: int, n_nodes: int) -> tuple[list[int], Array]:
        """Return the nearest nodes of a C, and the factors of their values in the polynomial."""
        window = self._window(position, n_nodes)
        factors = polynomial_factors(self._nodes[window], self._x[self._rank[position]])
        return self.positions[window], factors

    def errors(self, scores: Array) -> dict[int, float]:
        """Return bounds on the errors of interpolated scores at the Cs that are not nodes.

        `scores` (n_nodes,) are those of the nodes.
        """
        known, found = set(self.positions), dict[int, float]()
        others = [int(i) for i in self._order if int(i) not in known]
        if not others:
            return found
        z = self._nodes
        differences = np.abs(_divided_differences(z, scores, self._n_nodes))
        for position in others:
            window = self._window(position, self._n_nodes)
            # Two sets of q + 1 successive nodes include those of the polynomial.
            largest = differences[max(window.start - 1, 0) : window.start + 1].max()
            distances = self._x[self._rank[position]] - z[window]
            found[position] = SAFETY * float(largest * abs(np.prod(distances)))
        return found

    def middles(self, scores: Array, limits: Array) -> list[int]:
        """Return the Cs in the middle of intervals of nodes in which an error exceeds a limit.

        `scores` (n_nodes,) are those of the nodes, and `limits` (n_nodes,) those of the intervals
        that begin at the nodes. The results are positions among the Cs.
        """
        found, errors = [], self.errors(scores)
        ends = self._rank[self.positions]
        for (first, last), limit in zip(itertools.pairwise(ends), limits, strict=False):
            inside = [int(i) for i in self._order[first + 1 : last]]
            if inside and not max(errors[i] for i in inside) <= limit:
                found.append(inside[len(inside) // 2])
        return found

    def add(self, positions: list[int]) -> None:
        """Make Cs nodes."""
        self.positions = sorted([*self.positions, *positions], key=lambda i: int(self._rank[i]))

    @property
    def _nodes(self) -> Array:
        """The logarithms of the Cs of the nodes, (n_nodes,)."""
        return np.asarray(self._x[self._rank[self.positions]])

    def _window(self, position: int, n_nodes: int) -> slice:
        """Return the nearest nodes of a C: about as many on each side of it."""
        after = int(np.searchsorted(self._rank[self.positions], self._rank[position]))
        first = int(np.clip(after - n_nodes // 2, 0, len(self.positions) - n_nodes))
        return slice(first, first + n_nodes)


def _divided_differences(x: Array, values: Array, order: int) -> Array:
    """Return the divided differences of order + 1 successive values at x, (n - order,)."""
    for k in range(1, order + 1):
        values = np.diff(values) / (x[k:] - x[:-k])
    return values
