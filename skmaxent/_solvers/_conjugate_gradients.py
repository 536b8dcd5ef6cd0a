"""Preconditioned conjugate gradients inside a trust region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from skmaxent._storage._vectors import add_scaled, inner
from skmaxent._typing import Array

# Quotients of squared lengths below this overflow or lose digits.
LEAST_SQUARE = 1e-290
# Smaller Ritz values are rounding errors of the largest one.
LEAST_RITZ = 1e-12


@dataclass(frozen=True)
class Step:
    """A step s, the decrease of the quadratic model it promises, and its length in the norm of M.

    `residual` is g + H s and `residual_norm` its length in M⁻¹ (for a step inside the region),
    `smallest_ritz` estimates the smallest eigenvalue of M⁻¹H seen on the way.
    """

    direction: Array
    residual: Array
    predicted: float
    length: float
    on_boundary: bool
    residual_norm: float
    smallest_ritz: float


def steihaug(
    product: Callable[[Array], Array],
    solve: Callable[[Array], Array],
    gradient: Array,
    *,
    radius: float,
    tolerance: float,
    max_products: int,
) -> Step:
    """Minimise gᵀs + sᵀHs/2 over ‖s‖_M <= radius, to ‖residual‖_{M⁻¹} <= tolerance.

    Steihaug (1983), SIAM J. Numer. Anal. 20, 626-637; lengths in that norm come from recurrences
    (Conn, Gould & Toint 2000, section 7.5.1), so that M itself is never applied.
    """
    s = np.zeros_like(gradient, order="F")
    residual = gradient.copy(order="F")
    z = solve(residual)
    direction = -z
    rz = inner(residual, z)
    # Products in the norm of M: of s with itself, of s with the direction, of the direction with
    # itself.
    ss, sd, dd = 0.0, 0.0, rz
    predicted = 0.0
    alphas: list[float] = []
    betas: list[float] = []
    on_boundary = False
    while rz > max(tolerance**2, LEAST_SQUARE) and len(alphas) < max_products:
        Hd = product(direction)
        curvature = inner(direction, Hd)
        if not curvature > 1e-14 * dd:  # none left but rounding: F is convex
            break
        alpha = rz / curvature
        new_ss = ss + 2 * alpha * sd + alpha**2 * dd
        if new_ss >= radius**2:
            # The step along the direction that ends on the boundary of the region.
            tau = (np.sqrt(sd**2 + dd * (radius**2 - ss)) - sd) / dd
            add_scaled(s, tau, direction)
            predicted += tau * rz - 0.5 * tau**2 * curvature
            ss = radius**2
            on_boundary = True
            alphas.append(alpha)
            break
        add_scaled(s, alpha, direction)
        predicted += 0.5 * alpha * rz
        ss = new_ss
        add_scaled(residual, alpha, Hd)
        z = solve(residual)
        new_rz = inner(residual, z)
        beta = new_rz / rz
        alphas.append(alpha)
        betas.append(beta)
        # Directions are M-conjugate to the residuals before, which gives these recurrences.
        sd = beta * (sd + alpha * dd)
        dd = new_rz + beta**2 * dd
        direction *= beta
        direction -= z
        rz = new_rz
    return Step(
        direction=s,
        residual=residual,
        predicted=predicted,
        length=float(np.sqrt(ss)),
        on_boundary=on_boundary,
        residual_norm=float(np.sqrt(max(rz, 0.0))),
        smallest_ritz=_smallest_ritz(alphas, betas),
    )


def _smallest_ritz(alphas: list[float], betas: list[float]) -> float:
    """Return the smallest eigenvalue of the iteration's Lanczos matrix (Saad 2003, 6.7.3)."""
    if not alphas:
        return 1.0
    a, b = np.array(alphas), np.array(betas[: len(alphas) - 1])
    # The reciprocal of a smaller number overflows.
    if not a.min() >= LEAST_SQUARE:
        return LEAST_RITZ
    diagonal = 1.0 / a
    diagonal[1:] += b / a[:-1]
    off = np.sqrt(b) / a[:-1]
    if not (np.isfinite(diagonal).all() and np.isfinite(off).all()):
        return LEAST_RITZ
    return float(max(eigvalsh_tridiagonal(diagonal, off)[0], LEAST_RITZ))
