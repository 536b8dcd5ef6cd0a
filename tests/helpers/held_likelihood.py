"""Multinomial log-likelihoods by plain NumPy and SciPy, and their maxima with coefficients held.

Nothing here imports the package. Z is the design (n, p), with a column of ones for the intercept,
and T are counts (n, K). Coefficients are W of shape (K - 1, p) against the first class.
"""

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import logsumexp

# The 95 % quantile of chi-squared with one degree of freedom.
LEVEL_95 = 3.841458820694124


def minus_log_likelihood(W, Z, T, offset=0.0):
    """-Σ t log p, its gradient by W, and the probabilities (n, K)."""
    logits = np.column_stack([np.zeros(len(Z)), Z @ W.T]) + offset
    normaliser = logsumexp(logits, axis=1)
    P = np.exp(logits - normaliser[:, None])
    n = T.sum(axis=1)
    gradient = ((n[:, None] * P - T).T @ Z)[1:]
    return n @ normaliser - (T * logits).sum(), gradient, P


def information(P, Z, n):
    """The Fisher information of W, ((K - 1) p, (K - 1) p), class by class; n are row totals."""
    Q = P[:, 1:]
    spread = n[:, None, None] * (np.eye(Q.shape[1]) * Q[:, None] - Q[:, :, None] * Q[:, None])
    H = np.einsum("nkm,ni,nj->kimj", spread, Z, Z)
    return H.reshape(2 * [Q.shape[1] * Z.shape[1]])


def jeffreys(W, Z, T, offset=0.0):
    """The objective with Jeffreys' prior, -log L - log |I|/2."""
    value, _, P = minus_log_likelihood(W, Z, T, offset)
    return value - 0.5 * np.linalg.slogdet(information(P, Z, T.sum(axis=1)))[1]


def least(Z, T, offset=0.0, held=None, values=0.0, *, penalised=False, start=None):
    """The minimum over W of -log L, with W[held] fixed at `values`.

    `penalised` adds Jeffreys' prior, and `start` is a W to begin at.
    """
    shape = (T.shape[1] - 1, Z.shape[1])
    free = np.ones(shape, bool) if held is None else ~held
    W = np.zeros(shape)
    W[~free] = values

    def with_free(u):
        W[free] = u
        return W

    def smooth(u):
        value, gradient, _ = minus_log_likelihood(with_free(u), Z, T, offset)
        return value, gradient[free]

    u = np.zeros(free.sum()) if start is None else start[free]
    if penalised:
        found = minimize(
            lambda u: jeffreys(with_free(u), Z, T, offset), u, method="BFGS", options={"gtol": 1e-7}
        )
        return found.fun
    options = {"gtol": 1e-11, "ftol": 1e-17, "maxiter": 5000, "maxfun": 20_000, "maxcor": 30}
    value = np.inf
    for _ in range(6):
        found = minimize(smooth, u, jac=True, method="L-BFGS-B", options=options)
        if value - found.fun < 1e-12:
            break
        u, value = found.x, found.fun
    return min(value, found.fun)


def assert_ends(ends, Z, T, row, column, offset=0.0, *, best=None, far=1e3):
    """Assert that `ends` are those of the 95 % profile interval of W[row, column].

    The minimum of -log L with W[row, column] held at a finite end must be LEVEL_95 / 2 above the
    minimum `best`. It is convex in the held coefficient, so that there is one such place on each
    side. If an end is infinite, the minimum must be less far above at a coefficient of ±`far`.
    """
    held = np.zeros((T.shape[1] - 1, Z.shape[1]), bool)
    held[row, column] = True
    best = least(Z, T, offset) if best is None else best
    lower, upper = ends
    assert lower < upper
    for end in ends:
        rise = 2.0 * (least(Z, T, offset, held, np.clip(end, -far, far)) - best)
        if np.isfinite(end):
            np.testing.assert_allclose(rise, LEVEL_95, rtol=1e-5)
        else:
            assert rise < 0.9 * LEVEL_95


def profile_interval(Z, T, row, column, estimate, offset=0.0, *, far=1e3):
    """The ends of the 95 % profile interval of W[row, column].

    Ends that are farther than `far` from the estimate are infinite.
    """
    held = np.zeros((T.shape[1] - 1, Z.shape[1]), bool)
    held[row, column] = True
    best = least(Z, T, offset)

    def above(c):
        return 2.0 * (least(Z, T, offset, held, c) - best) - LEVEL_95

    ends = []
    for side in (-1.0, 1.0):
        inner, step = estimate, 1.0
        assert above(inner) < 0.0
        while step < far and above(inner + side * step) < 0.0:
            inner, step = inner + side * step, 2.0 * step
        outer = inner + side * step
        is_endless = step >= far
        ends.append(side * np.inf if is_endless else brentq(above, *sorted((inner, outer))))
    return ends
