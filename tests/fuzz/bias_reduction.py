"""Fits with `bias_reduction` against the likelihood penalised by Jeffreys' prior.

The checks beside those of other kinds:

ABOVE
    `fit` said nothing of convergence, yet L-BFGS from its coefficients finds a penalised
    log-likelihood that is more than `TOLERANCE` nats higher.
MAXIMUM
    L-BFGS from zero, or from half the coefficients, finds a higher maximum, and `fit` did not warn
    of several. From random starts it may: `fit` does not promise the highest maximum.
"""

import numpy as np
from scipy.optimize import minimize

from .checks import CONDITION, MARGIN_OF_DRAWS, Examination
from .reference import WIDE, losses, probabilities

# The difference of penalised log-likelihoods in nats that a converged fit may have.
TOLERANCE = 1e-6
# The difference in nats above which two maxima are different ones.
APART = 1e-4
# The condition number of the information in standardised columns beyond which its determinant has
# too few digits in float64.
SINGULAR = 1e12
# A point is taken for a maximum if it is nearer to a stationary point than SETTLED standard errors
# and no coefficient exceeds FARTHEST, where the penalised likelihood is flat to rounding.
SETTLED, FARTHEST = 1e-3, 40.0


class PenalisedLikelihood:
    """The function -log L - log |I| / 2 of coefficients θ against the last class, to be minimised.

    θ has the shape (r, w): r logits, and w varying columns with the intercept last. Columns are
    standardised, which changes the function by a constant. A column that is zero, or constant
    beside an intercept, has no coefficient. `objective` has the rows, the targets and the offsets,
    and `unit` is the weight of its heaviest row.
    """

    def __init__(self, objective, unit):
        self.objective, self.unit = objective, unit
        X = objective._apart if objective.fit_intercept else objective.X
        level = X[:1] if objective.fit_intercept else np.zeros_like(X[:1])
        self.varying = (level != X).any(axis=0)
        X = X[:, self.varying] / objective.scale[self.varying]
        if objective.fit_intercept:
            X = np.column_stack([X, np.ones(len(X), WIDE)])
        T, offset = objective.T, objective.offset
        if objective.link == "sigmoids":  # the class without a logit comes last
            T = np.column_stack([T, 1 - T])
            offset = None if offset is None else np.column_stack([offset, np.zeros(len(X))])
        self.X, self.T, self.offset = X, T, offset
        self.s = objective.s * unit
        self.shape = T.shape[1] - 1, X.shape[1]

    def from_coefficients(self, W, b):
        """θ for coefficients W and intercepts b of the user's columns."""
        objective = self.objective
        W, b = np.asarray(W, WIDE), np.asarray(b, WIDE)
        theta = (W * objective.scale)[:, self.varying]
        if objective.fit_intercept:
            theta = np.column_stack(
                [theta, b + W[:, self.varying] @ objective.center[self.varying]]
            )
        return theta if len(theta) == 1 else theta[:-1] - theta[-1]

    def logits(self, theta):
        Z = self.X @ np.asarray(theta, WIDE).T
        Z = np.column_stack([Z, np.zeros(len(Z), WIDE)])
        return Z if self.offset is None else Z + self.offset

    def information(self, P):
        """The information (r w, r w): the sum over rows of (diag(p) - p pᵀ) ⊗ x xᵀ."""
        r, w = self.shape
        H = np.zeros((r, w, r, w), P.dtype)
        X, s = self.X.astype(P.dtype), self.s.astype(P.dtype)
        for k in range(r):
            others = np.delete(P, k, axis=1).sum(axis=1)
            for m in range(r):
                curvature = P[:, k] * (others if k == m else -P[:, m])
                H[k, :, m] = (X * (s * curvature)[:, None]).T @ X
        return H.reshape(r * w, r * w)

    def value(self, theta):
        """The function in extended precision; infinite if the information is singular."""
        Z = self.logits(theta)
        loss = self.s @ losses(Z, self.T, "softmax")
        return loss - log_determinant(self.information(probabilities(Z, "softmax"))) / 2

    def value_and_gradient(self, theta):
        """The value and its derivative, in float64.

        The derivative of log |I| / 2 by θ_m is the sum over rows and k, l of x κ_klm Q_kl / 2 with
        Q_kl = xᵀ (I⁻¹)_kl x and the third cumulants κ_klm of the row's classes.
        """
        r, w = self.shape
        Z = self.logits(theta)
        P = probabilities(Z, "softmax")
        H = self.information(P)
        log_det = log_determinant(H)
        is_representable = (H.diagonal() > np.finfo(float).tiny).all()
        if not (np.isfinite(log_det) and is_representable):
            return 1e300, np.zeros(r * w)
        loss = self.s @ losses(Z, self.T, "softmax")
        X, s, P = (array.astype(float) for array in (self.X, self.s, P))
        V = inverse(H.astype(float)).reshape(r, w, r, w)
        Q = np.einsum("ij,kjlm,im->ikl", X, V, X, optimize=True)
        apart = np.eye(r + 1)[None, :, :r] - P[:, None, :r]  # of each class, (n, K, r)
        cumulants = np.einsum("ic,ick,icl,icm->iklm", P, apart, apart, apart, optimize=True)
        prior = np.einsum("ikl,iklm->im", Q, cumulants) / 2
        slope = P[:, :r] - self.T[:, :r].astype(float) - prior
        return float(loss - log_det / 2), ((s[:, None] * slope).T @ X).ravel()

    def descended(self, theta, max_iter=400):
        """The θ that L-BFGS reaches from θ."""
        found = minimize(
            lambda x: self.value_and_gradient(x.reshape(self.shape)),
            np.asarray(theta, float).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iter, "maxcor": 30, "ftol": 1e-15, "gtol": 1e-10},
        )
        return found.x.reshape(self.shape)

    def distance(self, theta):
        """The distance of θ from a stationary point, in standard errors."""
        H = self.information(probabilities(self.logits(theta), "softmax")).astype(float)
        gradient = self.value_and_gradient(theta)[1]
        return float(np.sqrt(max(gradient @ inverse(H) @ gradient, 0)))

    def condition(self, theta):
        """The condition number of the information with a unit diagonal."""
        H = self.information(probabilities(self.logits(theta), "softmax")).astype(float)
        size = np.sqrt(H.diagonal())
        # If no column varies, there is no information to invert, and `fit` says so.
        if not (len(size) and np.isfinite(size).all() and (size > 0).all()):
            return np.inf
        values = np.linalg.eigvalsh(H / np.outer(size, size))
        return values[-1] / values[0] if values[0] > 0 else np.inf


def log_determinant(H):
    """log |H| by elimination in extended precision; -inf unless H is positive definite."""
    H = np.array(H, WIDE)
    total = WIDE(0)
    for j in range(len(H)):
        if not H[j, j] > 0:
            return -WIDE(np.inf)
        total = total + np.log(H[j, j])
        column = H[j + 1 :, j] / H[j, j]
        H[j + 1 :, j + 1 :] -= np.multiply.outer(column, H[j, j + 1 :])
    return total


def inverse(H):
    """The inverse of H in float64, or the pseudoinverse of H with a unit diagonal if singular."""
    size = np.sqrt(H.diagonal())
    return np.linalg.pinv(H / np.outer(size, size), hermitian=True) / np.outer(size, size)


class BiasReduction(Examination):
    is_certified = False

    def __init__(self, problem, outcome):
        super().__init__(problem, outcome)
        self.reference = PenalisedLikelihood(self.objective, self.expected.unit)

    def run(self):
        reference = self.reference
        zero = np.zeros(reference.shape)
        condition = reference.condition(zero)
        fit = self.fitted_or_refused(condition)
        if fit is None:
            return
        self.predict(fit)
        if fit.coef[:, ~reference.varying].any():
            self.outcome.fail("ABOVE", "a constant column has a coefficient")
            return
        theta = reference.from_coefficients(fit.coef, fit.intercept)
        value = reference.value(theta)
        # Where columns depend on each other, it is infinite whatever the coefficients.
        if not np.isfinite(value) and condition < SINGULAR:
            self.outcome.fail("NONFINITE", f"the penalised likelihood is {float(value)}")
            return
        if not (condition < SINGULAR and reference.condition(theta) < SINGULAR):
            self.outcome.skipped = "the information is ill-conditioned"
            return
        has_several = any("more than one maximum" in message for message in fit.messages)
        if not (fit.converged or has_several):
            self.outcome.notes["not converged"] += 1
            return
        near = reference.value(reference.descended(theta))
        allowed = TOLERANCE + self.rounding(fit, value)
        if value - near > allowed and fit.has_inexact_logits:
            self.outcome.skipped = "limit: digits of logits"
            return
        if value - near > allowed:
            self.outcome.fail("ABOVE", f"{float(value - near):.3g} nats above a point nearby")
            return
        if has_several:
            self.outcome.notes["several maxima"] += 1
        # `fit` begins at some of these, too.
        excess = self.excess([zero, 0.5 * theta.astype(float)], value)
        if excess > APART + allowed and not has_several:
            self.outcome.fail("MAXIMUM", f"another is {excess:.3g} nats higher")
        random = [self.rng.normal(size=zero.shape) * size for size in (1.0, 1.0, 3.0)]
        if max(excess, self.excess(random, value)) > APART + allowed:
            self.outcome.notes["several maxima, of which the highest was not found"] += 1

    def excess(self, starts, value):
        """By how much a maximum that L-BFGS finds from some starts is better than `value`."""
        reference = self.reference
        best = min((reference.descended(start) for start in starts), key=reference.value)
        is_maximum = abs(best).max() < FARTHEST and reference.distance(best) < SETTLED
        is_maximum = is_maximum and reference.condition(best) < SINGULAR
        return float(value - reference.value(best)) if is_maximum else 0.0

    def rounding(self, fit, value):
        """How much rounding of the coefficients, and of float32 columns, may change `value`."""
        dtype, worst = fit.model.coef_.dtype, 0.0
        for _ in range(4):
            W, b = (self.neighbour(array.astype(dtype)) for array in (fit.coef, fit.intercept))
            near = self.reference.value(self.reference.from_coefficients(W, b))
            worst = max(worst, abs(float(near - value)))
        if dtype == np.float32:
            worst += self.last_bits(fit)
        return MARGIN_OF_DRAWS * worst

    def neighbour(self, array):
        """Each number, or the next one of its type, at random."""
        moves = self.rng.integers(-1, 2, size=array.shape)
        # With limits of another type, the steps would be those of that type.
        towards = (moves * np.inf).astype(array.dtype)
        return np.where(moves == 0, array, np.nextafter(array, towards))

    def last_bits(self, fit):
        """By how much the optimum for X with other last bits is worse than the optimum."""
        unit = np.finfo(self.problem.X.dtype).eps / 2
        theta, worst = self.reference.from_coefficients(fit.coef, fit.intercept), 0.0
        best = self.reference.value(self.reference.descended(theta))
        for _ in range(2):
            # The columns change and their centre and scale do not, so that θ means the same.
            other = PenalisedLikelihood(self.objective, self.expected.unit)
            change = 1 + unit * self.rng.uniform(-1, 1, size=self.objective.X.shape)
            moved = (self.objective.X * (change - 1) / self.objective.scale)[:, other.varying]
            other.X = other.X.copy()
            other.X[:, : moved.shape[1]] += moved
            there = self.reference.value(other.descended(theta))
            worst = max(worst, float(there - best))
        return worst

    def fitted_or_refused(self, condition):
        """The fit, or None if it failed.

        An error about dependent columns is no failure if the `condition` of the information is so
        large that they are dependent.
        """
        if condition < CONDITION:
            return self.fitted()
        n_failures = len(self.outcome.failures)
        fit = self.fitted()
        new = self.outcome.failures[n_failures:]
        if fit is None and new and all("combinations" in figures for _, figures in new):
            del self.outcome.failures[n_failures:]
            self.outcome.skipped = "dependent columns are refused"
        return fit
