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
# A direction whose curvature is below this share of its squared length in M has none but rounding.
ROUNDED_CURVATURE = 1e-14


@dataclass(frozen=True)
class Step:
    """A step s for the quadratic model gᵀs + sᵀHs/2, found with a preconditioner M.

    Attributes
    ----------
    direction : ndarray
        The step s, of the shape of the gradient g.
    residual : ndarray
        H s + g, the gradient of the model at the end of the step. If the boundary shortened the
        last part of the step, it is the residual before this part.
    predicted : float
        The decrease of the model by the step.
    length : float
        The length √(sᵀMs).
    on_boundary : bool
        Whether the step ends on the boundary of the trust region.
    residual_norm : float
        The norm √(rᵀM⁻¹r) of the residual r.
    smallest_ritz : float
        The smallest Ritz value, an estimate of the smallest eigenvalue of M⁻¹H.
    n_products : int
        The number of products with H.
    """

    direction: Array
    residual: Array
    predicted: float
    length: float
    on_boundary: bool
    residual_norm: float
    smallest_ritz: float
    n_products: int


def conjugate_gradients(
    product: Callable[[Array], Array],
    solve: Callable[[Array], Array],
    gradient: Array,
    *,
    radius: float,
    tolerance: float,
    max_products: int,
) -> Step:
    """Minimise gᵀs + sᵀHs/2 within a trust region ‖s‖_M <= radius (Steihaug 1983).

    The algorithm is that of SIAM J. Numer. Anal. 20, 626-637. Lengths in the norm of M come from
    recurrences (Conn, Gould & Toint 2000, section 7.5.1), so that M itself is never applied.

    Parameters
    ----------
    product : callable
        Returns H V for an array V of the shape of the gradient.
    solve : callable
        Returns M⁻¹ G for an array G of this shape.
    gradient : ndarray
        g.
    radius : float
        May be infinite.
    tolerance : float
        The norm of the residual in M⁻¹ at which to stop.
    max_products : int
        Most products with H.
    """
    s = np.zeros_like(gradient, order="F")
    residual = gradient.copy(order="F")
    z = solve(residual)
    direction = -z
    rz = inner(residual, z)
    scalars = _Recurrences(rz)
    predicted = 0.0
    on_boundary, n_products = False, 0
    while rz > max(tolerance**2, LEAST_SQUARE) and n_products < max_products:
        Hd = product(direction)
        n_products += 1
        curvature = inner(direction, Hd)
        if not curvature > ROUNDED_CURVATURE * scalars.dd:  # only rounding, because F is convex
            break
        alpha = rz / curvature
        if scalars.square_after(alpha) >= radius**2:
            tau = scalars.step_to_boundary(radius)
            add_scaled(s, tau, direction)
            predicted += tau * rz - 0.5 * tau**2 * curvature
            scalars.end_on_boundary(alpha, radius)
            on_boundary = True
            break
        add_scaled(s, alpha, direction)
        predicted += 0.5 * alpha * rz
        add_scaled(residual, alpha, Hd)
        z = solve(residual)
        new_rz = inner(residual, z)
        beta = new_rz / rz
        scalars.advance(alpha, beta, new_rz)
        direction *= beta
        direction -= z
        rz = new_rz
    return Step(
        direction=s,
        residual=residual,
        predicted=predicted,
        length=float(np.sqrt(scalars.ss)),
        on_boundary=on_boundary,
        residual_norm=float(np.sqrt(max(rz, 0.0))),
        smallest_ritz=_smallest_ritz(scalars.alphas, scalars.betas),
        n_products=n_products,
    )


class _Recurrences:
    """Scalars of conjugate gradients: inner products in the norm of M, and step sizes.

    Attributes
    ----------
    ss, sd, dd : float
        sᵀMs, sᵀMd and dᵀMd for the step s and the search direction d.
    alphas, betas : list of float
        Step sizes and conjugation coefficients of the iterations.
    """

    __slots__ = ("alphas", "betas", "dd", "sd", "ss")

    def __init__(self, dd: float) -> None:
        self.ss, self.sd, self.dd = 0.0, 0.0, dd
        self.alphas: list[float] = []
        self.betas: list[float] = []

    def square_after(self, alpha: float) -> float:
        """Return the square of the length of s + alpha d."""
        return self.ss + 2 * alpha * self.sd + alpha**2 * self.dd

    def step_to_boundary(self, radius: float) -> float:
        """Return the positive number τ for which s + τ d has the length `radius`."""
        root: float = np.sqrt(self.sd**2 + self.dd * (radius**2 - self.ss))
        return (root - self.sd) / self.dd

    def end_on_boundary(self, alpha: float, radius: float) -> None:
        """Update after a last step that ends at `radius`, where alpha would lead beyond."""
        self.alphas.append(alpha)
        self.ss = radius**2

    def advance(self, alpha: float, beta: float, rz: float) -> None:
        """Update after a step alpha d and the next direction, beta d - z.

        `rz` is rᵀz for the new residual r and z = M⁻¹ r. The direction is M-conjugate to the
        earlier residuals, which gives these recurrences.
        """
        self.ss = self.square_after(alpha)
        self.sd = beta * (self.sd + alpha * self.dd)
        self.dd = rz + beta**2 * self.dd
        self.alphas.append(alpha)
        self.betas.append(beta)


def _smallest_ritz(alphas: list[float], betas: list[float]) -> float:
    """Return the smallest eigenvalue of the Lanczos matrix of a run of conjugate gradients.

    `alphas` and `betas` are the step sizes and the conjugation coefficients of the iterations
    (Saad 2003, Iterative Methods for Sparse Linear Systems, section 6.7.3).
    """
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
