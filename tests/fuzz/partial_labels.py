"""Fits to sets of possible classes, whose loss is not convex, against descents of the reference.

The checks beside those of other kinds:

ABOVE
    `fit` said nothing of convergence, yet Newton steps for the completed data, or L-BFGS, from its
    coefficients lead further down by more than `TOLERANCE`: it is no minimum, not even a local one.
START
    The objective is above that of the optimum for targets that are spread evenly over the sets,
    which is where `fit` begins.
"""

import numpy as np

from .checks import ROUNDING, SMALLEST_TOTAL, TOLERANCE, Examination
from .reference import WIDE, Found, Objective

# Share of the objective beyond which another minimum is another.
APART = 1e-5


class SetObjective(Objective):
    """The mean of logsumexp(z) - logsumexp of z over a set, and the penalty.

    `T` are targets spread evenly over the sets: what is positive there is possible. With q the
    softmax over the set, the loss is that of the targets q less the entropy of q, and so are its
    derivatives, in which q counts as a constant (Fisher's identity).
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
        """Of the objective for targets that are spread evenly."""
        return objective._with(objective.X, objective.T, cls)

    def descended(self, W, b):
        """Where L-BFGS, or proximal gradients for groups, leads to."""
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
        """The lowest point that descents from the fit lead to."""
        found = [
            self.objective.polished(fit.coef, fit.intercept),
            self.objective.descended(fit.coef, fit.intercept),
        ]
        best = min((one for one in found if np.isfinite(one.value)), key=lambda one: one.value)
        return Found(best.coef, best.intercept, best.value, found[0].gain)

    def start(self, fit):
        """Against the optimum for even targets, and where descents from there lead to."""
        start = self.even.cold()
        if not start.gain < TOLERANCE:
            self.outcome.notes["the start of the reference did not settle"] += 1
            return
        value = self.objective.value(fit.coef, fit.intercept)
        first = self.objective.value(start.coef, start.intercept)
        scale = max(value, WIDE(SMALLEST_TOTAL) / self.objective.total)
        # Of data that separate the classes each fit ends where it sees that.
        is_told = any("separated" in text or "Rounding" in text for text in fit.messages)
        if value - first > TOLERANCE * scale and not is_told:
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
