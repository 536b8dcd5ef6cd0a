"""Slow and obvious versions of what the package computes, in extended precision.

Nothing here imports the package. x86 long doubles have 64 bits of mantissa; SciPy's and NumPy's
linear algebra has no long doubles, hence the Cholesky factorisation written out.
"""

from functools import cache

import numpy as np

WIDE = np.longdouble


def logits(X, coef, intercept):
    """W x + b, a single logit seen as (0, z)."""
    Z = np.asarray(X, WIDE) @ np.asarray(coef, WIDE).T + np.asarray(intercept, WIDE)
    return np.column_stack([np.zeros_like(Z), Z]) if Z.shape[1] == 1 else Z


def log_softmax(Z):
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def objective(X, y, coef, intercept, strength, weights=None):
    """Weighted mean of -log p of each row's class, and strength/2 times the squares of coef."""
    weights = np.ones(len(y)) if weights is None else weights
    losses = -log_softmax(logits(X, coef, intercept))[np.arange(len(y)), y]
    return (losses * weights).sum() / weights.sum() + strength * (coef**2).sum() / 2


def solve_positive_definite(A, b):
    """x with A x = b, by an outer-product Cholesky factorisation."""
    n = len(A)
    L = A.copy()
    for j in range(n):
        L[j:, j] /= np.sqrt(L[j, j])
        L[j + 1 :, j + 1 :] -= np.outer(L[j + 1 :, j], L[j + 1 :, j])
    x = b.copy()
    for j in range(n):
        x[j] /= L[j, j]
        x[j + 1 :] -= L[j + 1 :, j] * x[j]
    for j in reversed(range(n)):
        x[j] = (x[j] - L[j + 1 :, j] @ x[j + 1 :]) / L[j, j]
    return x


def optimum(X, y, strength, fit_intercept=True):
    """The least value of the objective, by Newton's method with step halving.

    K > 2 classes keep K logits; the term 1 1ᵀ in the Hessian removes its null direction, along
    which the gradient vanishes. A single logit is the contrast of two.
    """
    return _optimum(X.tobytes(), X.shape, X.dtype.str, y.tobytes(), strength, fit_intercept)


@cache
def _optimum(X, shape, dtype, y, strength, fit_intercept):
    X = np.frombuffer(X, dtype).reshape(shape).astype(WIDE)
    y = np.frombuffer(y, int)
    n = shape[0]
    K = y.max() + 1
    if fit_intercept:
        X = X - X.mean(axis=0)
    size = np.sqrt((X**2).mean(axis=0))
    X = X / size
    X = np.column_stack([X, np.ones(n, WIDE)]) if fit_intercept else X
    ridge = np.append(strength / size**2, [0.0] * fit_intercept).astype(WIDE)
    E = np.array([[0], [1]], WIDE) if K == 2 else np.eye(K, dtype=WIDE)  # classes of a logit
    R, width = E.shape[1], X.shape[1]

    def value(V):
        losses = -log_softmax(X @ V.T @ E.T)[np.arange(n), y]
        return losses.mean() + (ridge * V**2).sum() / 2

    V = np.zeros((R, width), WIDE)
    T = np.eye(K, dtype=WIDE)[y]
    for _ in range(100):
        P = np.exp(log_softmax(X @ V.T @ E.T))
        gradient = E.T @ (P - T).T @ X / n + ridge * V
        H = np.zeros((R, width, R, width), WIDE)
        for k in range(R):
            for m in range(R):
                spread = (P * E[:, k] * E[:, m]).sum(axis=1) - (P @ E[:, k]) * (P @ E[:, m])
                H[k, :, m, :] = (X * spread[:, None]).T @ X / n
                if K > 2:
                    H[k, :, m, :] += np.eye(width, dtype=WIDE)
            H[k, :, k, :] += np.diag(ridge)
        size = R * width
        step = solve_positive_definite(H.reshape(size, size), -gradient.ravel())
        decrement = -(step @ gradient.ravel())
        if decrement < 1e-28:
            return value(V)
        before, t = value(V), WIDE(1)
        while value(V + t * step.reshape(V.shape)) > before and t > 1e-6:
            t /= 2
        V = V + t * step.reshape(V.shape)
    raise ArithmeticError(f"Newton's method stopped at a decrement of {decrement}")
