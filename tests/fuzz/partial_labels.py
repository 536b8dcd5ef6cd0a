"""Fits to sets of possible classes, whose loss is not convex, against descents of the reference.

The checks beside those of other kinds:

ABOVE
    `fit` gave no ConvergenceWarning, yet Newton steps for the completed data, or L-BFGS, from its
    coefficients lower the objective by more than `TOLERANCE`: the fit is not even a local minimum.
START
    The objective is above that of the optimum for targets that are spread evenly over the sets,
    which is where `fit` begins.
"""

import numpy as np

from .checks import ROUNDING, SMALLEST_TOTAL, TOLERANCE, Examination
from .reference import WIDE, Found, Objective

# The relative difference of objectives above which two minima are different ones.
APART = 1e-5


class SetObjective(Objective):
    """The mean of logsumexp(z) - logsumexp of z over a set, and the penalty.

    `T` are targets spread evenly over the sets: classes with a positive target are possible. With q
    the softmax over the set, the loss is that of the targets q less the entropy of q. Its
    derivatives are those of the loss with q held constant (Fisher's identity).
    """

    def _targets(self, Z, T):
        if self.link == "sigmoids":  # of two classes
            return np.where((T > 0) & (T < 1), 1 / (1 + np.exp(-Z)), T)
        inside = np.where(T > 0, Z, -np.inf)
        q = np.exp(inside - inside.max(axis=1, keepdims=True))
        return q / q.sum(axis=1, keepdims=True)

    def _losses(self, Z, T):
        if self.link == "sigmoids":
            return np.where((T[:, 0] > 0) & (T[:, 0] < 1), 0, super()._losses(Z, T))
        q = self._targets(Z, T)
        entropy = -(q * np.log(np.where(q > 0, q, 1))).sum(axis=1)
        return np.maximum(super()._losses(Z, q) - entropy, 0)

    @classmethod
    def of(cls, objective):
        """The objective of sets for an objective whose targets are spread evenly over the sets."""
        return objective._with(objective.X, objective.T, cls)

    def descended(self, W, b):
        """The point that L-BFGS, or proximal gradients for groups, reaches from (W, b)."""
        V, c = self._to_standard(W, b)
        with np.errstate(all="ignore"):
            if self.grouped:
                V, c = self._accelerated(V, c, 400)
            else:
                V, c = self._by_lbfgs(V, c)
            return self._from_standard(V, c, 0.0)


class PartialLabels(Examination):
    is_certified = False

    def __init__(self, problem, outcome):
        super().__init__(problem, outcome)
        self.even = self.objective
        self.objective = SetObjective.of(self.even)

    def run(self):
        fit = self.fitted()
        if fit is None:
            return
        self.predict(fit)
        if not np.isfinite(self.objective.value(fit.coef, fit.intercept)):
            self.outcome.fail("NONFINITE", "the objective")
            return
        self.start(fit)
        self.compare(fit, "ABOVE")

    def best(self, fit):
        """The lowest point that Newton's method or a descent reaches from the fit."""
        found = [
            self.objective.polished(fit.coef, fit.intercept),
            self.objective.descended(fit.coef, fit.intercept),
        ]
        best = min((one for one in found if np.isfinite(one.value)), key=lambda one: one.value)
        return Found(best.coef, best.intercept, best.value, found[0].gain)

    def start(self, fit):
        """Compare with the optimum for even targets, and with descents from there."""
        if not fit.converged and (self.problem.shares.max(axis=1) == 1).all():
            self.outcome.notes["an ordinary fit did not converge"] += 1
            return
        start = self.even.cold()
        other = self.even.polished(fit.coef, fit.intercept)
        # A convex objective has one optimum, whatever the descents to it start from.
        if not (start.gain < TOLERANCE and start.value - other.value <= TOLERANCE * start.value):
            self.outcome.notes["the start of the reference did not settle"] += 1
            return
        value = self.objective.value(fit.coef, fit.intercept)
        first = self.objective.value(start.coef, start.intercept)
        scale = max(value, WIDE(SMALLEST_TOTAL) / self.objective.total)
        # A fit that warns of separated classes ends early.
        has_warned = any("separated" in text or "Rounding" in text for text in fit.messages)
        if value - first > TOLERANCE * scale and not has_warned:
            allowed, limit = self.limit(fit, Found(start.coef, start.intercept, first, start.gain))
            if value - first - allowed <= TOLERANCE * scale:
                self.outcome.notes[f"START within limit: {limit}"] += 1
                return
            self.outcome.fail(
                "START",
                f"objective {float(value):.10g}, at the start {float(first):.10g} "
                f"{'converged' if fit.converged else 'with a warning'}",
            )
        if not fit.converged:
            return
        ways = (self.objective.polished, self.objective.descended)
        found = min(way(start.coef, start.intercept).value for way in ways)
        if value - found > APART * scale + ROUNDING:
            self.outcome.notes["another minimum is lower"] += 1
        elif found - value > APART * scale + ROUNDING:
            self.outcome.notes["another minimum is higher"] += 1
        else:
            self.outcome.notes["the minimum of descents from the start"] += 1
