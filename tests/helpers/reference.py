"""Slow and obvious versions of what the package computes, in extended precision.

Nothing here imports the package. x86 long doubles have 64 bits of mantissa. The Cholesky
factorisation is written out, because the linear algebra of SciPy and NumPy has no long doubles.
X is (n, d), y codes (n,), coef (R, d) and intercept (R,) for R logits, weights (n,).
"""

from functools import cache

import numpy as np

WIDE = np.longdouble


def logits(X, coef, intercept):
    """The logits (n, K) of W x + b; a single logit z becomes the two logits (0, z)."""
    Z = np.asarray(X, WIDE) @ np.asarray(coef, WIDE).T + np.asarray(intercept, WIDE)
    return np.column_stack([np.zeros_like(Z), Z]) if Z.shape[1] == 1 else Z


def log_softmax(Z):
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def objective(X, y, coef, intercept, strength, weights=None):
    """The weighted mean of -log p of each row's class, plus strength/2 times the sum of coef²."""
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

    K > 2 classes have K logits. Adding the same number to all of them changes nothing, so the term
    1 1ᵀ is added to the Hessian to make it invertible. Two classes have a single logit.
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


def penalty(coef, l1, ridge, target=0.0, *, grouped=False):
    """Σ_kj l1_kj |w_kj| + ridge_kj/2 (w_kj - target_kj)²; if grouped, l1_j ‖w_·j‖ instead."""
    K, d = coef.shape
    l1, ridge, target = (np.broadcast_to(array, (K, d)) for array in (l1, ridge, target))
    total = WIDE(0)
    for j in range(d):
        if grouped:
            total += l1[0, j] * np.sqrt((coef[:, j].astype(WIDE) ** 2).sum())
        for k in range(K):
            total += ridge[k, j] / 2 * WIDE(coef[k, j] - target[k, j]) ** 2
            if not grouped:
                total += l1[k, j] * abs(coef[k, j])
    return total


def mean_loss(X, T, coef, intercept, weights=None, offset=None):
    """The weighted mean of -Σ_k t_k log p_k, and its gradients by coef and intercept.

    The targets T are (n, K), one-hot for labels.
    """
    Z = logits(X, coef, intercept)
    if offset is not None:
        Z = Z + (np.column_stack([np.zeros(len(Z)), offset]) if np.ndim(offset) == 1 else offset)
    weights = np.ones(len(T), WIDE) if weights is None else np.asarray(weights, WIDE)
    log_p = log_softmax(Z)
    loss = -(weights[:, None] * T * log_p).sum() / weights.sum()
    residual = weights[:, None] * (T.sum(axis=1, keepdims=True) * np.exp(log_p) - T)
    residual = residual[:, 1:] if len(coef) == 1 else residual
    return loss, residual.T @ np.asarray(X, WIDE) / weights.sum(), residual.sum(0) / weights.sum()


def kkt_residual(
    coef, gradient, l1, ridge, target=0.0, lower=-np.inf, upper=np.inf, *, grouped=False
):
    """The minimum-norm subgradient of the objective, (K, d), which is zero at an optimum only.

    `gradient` (K, d) is that of the loss.
    """
    K, d = coef.shape
    arrays = (l1, ridge, target, lower, upper)
    l1, ridge, target, lower, upper = (np.broadcast_to(array, (K, d)) for array in arrays)
    out = np.zeros((K, d))
    for j in range(d):
        smooth = gradient[:, j] + ridge[:, j] * (coef[:, j] - target[:, j])
        if grouped:
            size = np.sqrt((smooth**2).sum())
            if coef[:, j].any():
                length = np.sqrt((coef[:, j] ** 2).sum())
                out[:, j] = smooth + l1[0, j] * coef[:, j] / length
            elif size > l1[0, j]:
                out[:, j] = smooth * (1 - l1[0, j] / size)
            continue
        for k in range(K):
            w = coef[k, j]
            # The subgradients of one coefficient are the interval from low to high.
            low = smooth[k] + (l1[k, j] if w > 0 else -l1[k, j])
            high = smooth[k] + (-l1[k, j] if w < 0 else l1[k, j])
            # At a bound the interval is unbounded: a slope towards the bound is allowed there.
            if w <= lower[k, j]:
                low = -np.inf
            if w >= upper[k, j]:
                high = np.inf
            out[k, j] = max(low, 0.0) + min(high, 0.0)
    return out
