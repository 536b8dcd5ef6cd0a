"""Confidence intervals from the profile likelihood.

An interval ends where the maximum of the likelihood over all other coefficients has fallen by half
a quantile of chi-squared with one degree of freedom (Venzon & Moolgavkar 1988, Appl. Stat. 37,
87-94). A profile of a log-likelihood without penalty is concave: it either falls without end or,
along a direction in which the classes are separated, never falls at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._inference._held_minimum import Held, Likelihoods, damped_solve, flattened, least
from skmaxent._inference._recession_directions import grows_without_end, never_falls
from skmaxent._objective._objective import Point
from skmaxent._typing import Array

# Relative accuracy of the root of the fall at an end, and the most steps to it.
END_ACCURACY, MAX_ROOTS = 1e-7, 100
# Largest first step of a search for an end, in units of a coefficient of a standardised column.
FIRST_STEP = 4.0
# Largest distance of an end in these units: an average slope of the log-likelihood of less than
# 1e-8 over it is none.
FARTHEST = 1e9
# Distance in these units from which on linear programs find whether a log-likelihood that has
# hardly fallen falls at all, and by how much the root of the fall then grows at most in a step.
SUSPICIOUS, HARDLY_FALLS = 20.0, 0.1


def profile_interval(of: Likelihoods, best: Held, a: Array, quantile: float) -> tuple[float, float]:
    """Return the ends of the interval for a·θ, infinite if the likelihood never falls enough.

    Parameters
    ----------
    of : Likelihoods
    best : Held
        The maximum, nothing held.
    a : ndarray of shape (n_coefficients,)
    quantile : float
        Of the standard normal distribution.
    """
    unit = float(np.linalg.norm(a))
    _, H, _ = of.at(best.point)
    V_a, _ = damped_solve(H, a, 1e-14 * of.total)
    step = min(quantile * float(np.sqrt(max(float(a @ V_a), 0.0))), FIRST_STEP * unit)
    step = max(step, 1e-9 * unit)
    low, high = (_Search(of, best, a, side, quantile, unit).end(step) for side in (-1.0, 1.0))
    return low, high


@dataclass(frozen=True)
class _Trial:
    """The least value where a·θ is held.

    Attributes
    ----------
    place : float
        a·θ.
    point : Point
        Where the value is least.
    root, slope : float
        The root of twice the fall of the log-likelihood, and its derivative outwards. For a
        quadratic log-likelihood the root is linear in a·θ, so that Newton's method soon finds an
        end.
    """

    place: float
    point: Point
    root: float = 0.0
    slope: float = 0.0


@dataclass(frozen=True)
class _Search:
    """The search for one end of an interval for a·θ.

    Attributes
    ----------
    of, best, a, quantile
        As in `profile_interval`.
    side : {-1.0, 1.0}
        For the lower and the upper end.
    unit : float
        The length of a.
    """

    of: Likelihoods
    best: Held
    a: Array
    side: float
    quantile: float
    unit: float

    def end(self, step: float) -> float:
        """The end, from steps outwards that begin with this length."""
        bracket = self._bracket(_Trial(self._place(self.best.point), self.best.point), step)
        return self.side * np.inf if bracket is None else self._between(*bracket)

    def _bracket(self, inner: _Trial, step: float) -> tuple[_Trial, _Trial] | None:
        """Return trials on both sides of the end, the inner first; None if it is infinite."""
        center = inner.place
        guesses: tuple[Array, ...] = ()
        is_endless: bool | None = None
        while True:
            outer = self._trial(inner.place + self.side * step, inner.point, guesses)
            if outer.root >= self.quantile:
                return inner, outer
            distance = abs(outer.place - center) / self.unit
            # With Jeffreys' prior the likelihood falls in every direction.
            if not self.of.is_penalised and outer.root <= inner.root + HARDLY_FALLS:
                if is_endless is None and distance > SUSPICIOUS:
                    is_endless = grows_without_end(self.best.point.objective, self.side * self.a)
                is_outward = self.side * outer.place > 0.0
                if is_endless or never_falls(inner.point, outer.point, is_outward):
                    return None
            if distance > FARTHEST:
                return None
            step = self._next_step(outer, step)
            guesses = self._guesses(inner, outer, step)
            inner = outer

    def _next_step(self, trial: _Trial, step: float) -> float:
        """The length of the step from a trial to the next one, after a step of some length."""
        if trial.root <= 0.3 * self.quantile:
            return 2.0 * step
        left = (self.quantile - trial.root) / trial.slope if trial.slope > 0.0 else np.inf
        return min(1.05 * left, 4.0 * step)

    def _guesses(self, inner: _Trial, outer: _Trial, step: float) -> tuple[Array, ...]:
        """Return guesses of θ beyond the outer trial, on lines from the inner trial and from zero.

        Where classes are separated the way outwards is such a line.
        """
        if self.of.is_penalised:
            return ()
        theta = outer.point.theta
        ahead = step / abs(outer.place - inner.place)
        guesses = [theta + ahead * (theta - inner.point.theta)]
        if self.side * outer.place > 0.0:
            guesses.append(theta * (1.0 + step / abs(outer.place)))
        return tuple(guesses)

    def _between(self, inner: _Trial, outer: _Trial) -> float:
        """The end between two trials, by Newton's method and bisection."""
        trial, far = outer, outer.place
        for _ in range(MAX_ROOTS):
            if abs(trial.root - self.quantile) <= END_ACCURACY * self.quantile:
                break
            if trial.root < self.quantile:
                inner = trial
            else:
                far = trial.place
            near = inner.place
            if abs(far - near) <= 1e-12 * max(abs(far), abs(near)):
                break
            place = far
            if trial.slope > 0.0 and np.isfinite(trial.root):
                place = trial.place + self.side * (self.quantile - trial.root) / trial.slope
            if not min(near, far) < place < max(near, far):
                place = 0.5 * (near + far)
            trial = self._trial(place, inner.point)
        return trial.place

    def _trial(self, place: float, start: Point, guesses: tuple[Array, ...] = ()) -> _Trial:
        """The trial where a·θ is held at a place, or on the way to it, beyond the end."""
        ceiling = self.best.value + self.quantile**2
        held = least(self.of, start, self.a[None], place, guesses, ceiling)
        root = float(np.sqrt(max(2.0 * (held.value - self.best.value), 0.0)))
        slope = float(self.side * held.slope[0]) / root if root > 0.0 else 0.0
        return _Trial(self._place(held.point), held.point, root, slope)

    def _place(self, point: Point) -> float:
        """Return a·θ at a point."""
        return float(self.a @ flattened(point))
