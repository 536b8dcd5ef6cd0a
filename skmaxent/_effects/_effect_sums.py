"""Sums over rows of effects of features on probabilities, and of their derivatives."""

from __future__ import annotations

import numpy as np

from skmaxent._typing import Array


def effect_sums(
    P: Array, X: Array, coef: Array, weights: Array | None, scale: Array
) -> tuple[Array, Array]:
    """Return sums over rows of ∂p_k/∂x_j and of their derivatives by standardised coefficients.

    With w̄_j = Σ_q p_q w_qj, the effect is p_k (w_kj - w̄_j), and its derivative by θ_lm = σ_m w_lm

        δ_jm p_k (δ_kl - p_l)/σ_m + x̃_m [p_k (δ_kl - p_l)(w_kj - w̄_j) - p_k p_l (w_lj - w̄_j)].

    Parameters
    ----------
    P : ndarray of shape (n, K)
        The probabilities p of the classes.
    X : ndarray of shape (n, width)
        The standardised columns x̃ = (x - μ)/σ, and a column of ones if there is an intercept.
    coef : ndarray of shape (K, d)
        The coefficients w of the columns x.
    weights : ndarray of shape (n,) or None
        The weights of the rows; None stands for ones.
    scale : ndarray of shape (d,)
        The scales σ.

    Returns
    -------
    effects : ndarray of shape (K, d)
    J : ndarray of shape (K, d, K, width)
    """
    n, K = P.shape
    d, width = coef.shape[1], X.shape[1]
    weights = np.ones(n) if weights is None else weights
    mean = P @ coef  # w̄_ij
    apart = [coef[k] - mean for k in range(K)]  # w_kj - w̄_ij
    shares = (weights[:, None] * P).T
    effects = np.array([shares[k] @ apart[k] for k in range(K)])
    J = np.zeros((K, d, K, width))
    column = np.arange(d)
    for k in range(K):
        for m in range(K):
            both = shares[k] * P[:, m]
            slope = (shares[k] if k == m else 0.0) - both
            J[k, column, m, column] += slope.sum() / scale
            J[k, :, m, :] += (apart[k] * slope[:, None]).T @ X
            J[k, :, m, :] -= (apart[m] * both[:, None]).T @ X
    return effects, J


def probability_sums(P: Array, X: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return sums over rows of p_k, (K,), and of its derivatives p_k (δ_kl - p_l) x_m.

    The derivatives have the shape (K, K, width). For the parameters see `effect_sums`.
    """
    n, K = P.shape
    weights = np.ones(n) if weights is None else weights
    J = np.zeros((K, K, X.shape[1]))
    for k in range(K):
        for m in range(K):
            J[k, m] = (weights * P[:, k] * ((k == m) - P[:, m])) @ X
    return weights @ P, J
