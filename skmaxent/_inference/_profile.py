"""Confidence intervals from the profile likelihood.

The profile of a linear function a·θ of the coefficients is the maximum of the log-likelihood over
all θ with a given value of a·θ. An interval ends where the profile is lower than its maximum by
half a quantile of chi-squared with one degree of freedom (Venzon & Moolgavkar 1988, Appl. Stat. 37,
87-94). The profile of a log-likelihood without penalty is concave: to each side it either falls
without end or, along a direction in which the classes are separated, never falls at all.

The "root" of the fall of the profile, √(2 (maximum - profile)), reaches the quantile of the
standard normal distribution at an end. If the log-likelihood is quadratic, the root is linear in
a·θ, so that Newton's method for the root finds an end in few steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._existence._unbounded_functions import LinearFunction
from skmaxent._inference._constrained_minimum import (
    ConstrainedMinimum,
    NegativeLogLikelihood,
    constrained_minimum,
    damped_solve,
    flattened,
)
from skmaxent._objective._objective import Point
from skmaxent._typing import Array

# Relative accuracy of the root at an end, and the most Newton steps to reach it.
END_ACCURACY, MAX_ROOTS = 1e-7, 100
# The next distances are differences of a·θ divided by |a|, so that their unit is that of a
# coefficient of a standardised column.
# The longest first step of the search for an end.
FIRST_STEP = 4.0
# The largest distance of an end from the maximum: a log-likelihood that has not fallen enough for
# an end up to there, with an average slope below about 1e-8, counts as constant.
FARTHEST = 1e9
# If a step makes the root grow by no more than HARDLY_FALLS, the profile may never fall enough.
# Beyond the distance SUSPICIOUS linear programs then find out whether it falls at all.
SUSPICIOUS, HARDLY_FALLS = 20.0, 0.1


def profile_interval(
    likelihood: NegativeLogLikelihood, best: ConstrainedMinimum, a: Array, quantile: float
) -> tuple[float, float]:
    """Return the lower and the upper end of the profile interval for a·θ.

    An end is infinite if the profile never falls enough.

    Parameters
    ----------
    likelihood : NegativeLogLikelihood
        The function -log L.
    best : ConstrainedMinimum
        Its minimum without constraints.
    a : ndarray of shape (n_coefficients,)
        Coefficients of the linear function, for θ as in `_constrained_minimum`.
    quantile : float
        The quantile of the standard normal distribution for the confidence level.
    """
    unit = float(np.linalg.norm(a))
    _, H, _ = likelihood.at(best.point)
    V_a, _ = damped_solve(H, a, 1e-14 * likelihood.total)
    step = min(quantile * float(np.sqrt(max(float(a @ V_a), 0.0))), FIRST_STEP * unit)
    step = max(step, 1e-9 * unit)
    low, high = (
        _Search(likelihood, best, a, side, quantile, unit).end(step) for side in (-1.0, 1.0)
    )
    return low, high


@dataclass(frozen=True)
class _Trial:
    """The profile at one value of a·θ.

    Attributes
    ----------
    value : float
        The value of a·θ.
    point : Point
        The maximum of the likelihood for this value.
    root, slope : float
        The root of the fall of the profile, and its derivative by a·θ towards the end.
    """

    value: float
    point: Point
    root: float = 0.0
    slope: float = 0.0


@dataclass(frozen=True)
class _Search:
    """The search for one end of an interval for a·θ.

    Attributes
    ----------
    likelihood, best, a, quantile
        As in `profile_interval`.
    side : {-1.0, 1.0}
        -1.0 for the lower end, 1.0 for the upper end.
    unit : float
        |a|, by which differences of a·θ are divided.
    """

    likelihood: NegativeLogLikelihood
    best: ConstrainedMinimum
    a: Array
    side: float
    quantile: float
    unit: float

    @cached_property
    def _function(self) -> LinearFunction:
        """The function that grows towards the end: side * a·θ."""
        objective = self.best.point.objective
        n_free = objective.likelihood.n_free
        return LinearFunction(objective, (self.side * self.a).reshape(n_free, -1))

    def end(self, step: float) -> float:
        """Return the value of a·θ at the end, which may be infinite.

        `step` is the length of the first step from the maximum towards the end.
        """
        bracket = self._bracket(_Trial(self._value(self.best.point), self.best.point), step)
        return self.side * np.inf if bracket is None else self._between(*bracket)

    def _bracket(self, inner: _Trial, step: float) -> tuple[_Trial, _Trial] | None:
        """Return a trial before the end and one beyond it, or None if the end is infinite.

        Starting from `inner`, the trial at the maximum, the search makes longer and longer steps,
        the first of length `step`, until a trial is beyond the end.
        """
        center = inner.value
        guesses: tuple[Array, ...] = ()
        while True:
            outer = self._trial(inner.value + self.side * step, inner.point, guesses)
            if outer.root >= self.quantile:
                return inner, outer
            distance = abs(outer.value - center) / self.unit
            # With Jeffreys' prior the likelihood falls in every direction.
            if not self.likelihood.is_penalised and outer.root <= inner.root + HARDLY_FALLS:
                directions = [outer.point.theta - inner.point.theta]
                if self.side * outer.value > 0.0:
                    directions.append(outer.point.theta)
                if any(map(self._function.grows_along, directions)) or (
                    distance > SUSPICIOUS and self._function.is_unbounded
                ):
                    return None
            if distance > FARTHEST:
                return None
            step = self._next_step(outer, step)
            guesses = self._guesses(inner, outer, step)
            inner = outer

    def _next_step(self, trial: _Trial, step: float) -> float:
        """Return the length of the step from a trial that a step of length `step` led to.

        Far from the end the step is doubled. Near to the end it is Newton's step, and a little more
        so that it leads beyond the end.
        """
        if trial.root <= 0.3 * self.quantile:
            return 2.0 * step
        newton = (self.quantile - trial.root) / trial.slope if trial.slope > 0.0 else np.inf
        return min(1.05 * newton, 4.0 * step)

    def _guesses(self, inner: _Trial, outer: _Trial, step: float) -> tuple[Array, ...]:
        """Return guesses of θ, (n_logits, n_features + 1), a step of length `step` beyond `outer`.

        They are on the lines through the outer trial from the inner trial and from zero. If classes
        are separated, the maxima for growing values of a·θ approach such a line.
        """
        if self.likelihood.is_penalised:
            return ()
        theta = outer.point.theta
        ahead = step / abs(outer.value - inner.value)
        guesses = [theta + ahead * (theta - inner.point.theta)]
        if self.side * outer.value > 0.0:
            guesses.append(theta * (1.0 + step / abs(outer.value)))
        return tuple(guesses)

    def _between(self, inner: _Trial, outer: _Trial) -> float:
        """Return the value of a·θ at the end, which is between the values of two trials.

        Newton's method for the root finds it; bisection replaces steps that leave the bracket.
        """
        trial, far = outer, outer.value
        for _ in range(MAX_ROOTS):
            if abs(trial.root - self.quantile) <= END_ACCURACY * self.quantile:
                break
            if trial.root < self.quantile:
                inner = trial
            else:
                far = trial.value
            near = inner.value
            if abs(far - near) <= 1e-12 * max(abs(far), abs(near)):
                break
            value = far
            if trial.slope > 0.0 and np.isfinite(trial.root):
                value = trial.value + self.side * (self.quantile - trial.root) / trial.slope
            if not min(near, far) < value < max(near, far):
                value = 0.5 * (near + far)
            trial = self._trial(value, inner.point)
        return trial.value

    def _trial(self, value: float, start: Point, guesses: tuple[Array, ...] = ()) -> _Trial:
        """Return the profile at a value of a·θ.

        The search for the maximum begins at `start` or at the best of the guesses. It stops before
        it reaches the value if the profile has fallen by more than twice the fall at an end. The
        trial is then at another value, which is beyond the end too.
        """
        ceiling = self.best.value + self.quantile**2
        held = constrained_minimum(self.likelihood, start, self.a[None], value, guesses, ceiling)
        root = float(np.sqrt(max(2.0 * (held.value - self.best.value), 0.0)))
        slope = float(self.side * held.slope[0]) / root if root > 0.0 else 0.0
        return _Trial(self._value(held.point), held.point, root, slope)

    def _value(self, point: Point) -> float:
        """Return a·θ at a point."""
        return float(self.a @ flattened(point))
