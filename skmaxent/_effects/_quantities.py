"""Probabilities and slopes of rows, their averages over groups, and Jacobians of both.

Conventions
-----------
K classes, R = K - 1 free logits z (those whose coefficients are not fixed at zero), w columns of
the design (standardised features, and ones for the intercept), n rows. P are the probabilities
(n, K), Z the design (n, w). Coefficients θ have the shape (R, w), and their covariance (R·w, R·w),
logit by logit. The derivative of a quantity of a row by θ is a sum of outer products of a factor
(K, R) with a row (w,) of a design: factors and designs are kept apart until they are summed over
groups of rows. Draws (n_draws, R, w) are drawn coefficients minus those of the fit, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._effects._delta_method import DeltaMethod
from skmaxent._effects._estimates import Estimates
from skmaxent._softmax import softmax
from skmaxent._typing import Array

# The most numbers of a dense Jacobian in memory at a time, 32 MB.
JACOBIAN_NUMBERS = 4_000_000


@dataclass(frozen=True)
class ModelRows:
    """Rows with the columns of the model, not standardised, and their derivatives for slopes.

    Attributes
    ----------
    X : {ndarray, sparse matrix} of shape (n_rows, n_features)
    offset : ndarray of shape (n_rows, n_logits) or None
    direction : {ndarray, sparse matrix} of shape (n_rows, n_features), default=None
        Derivatives of the rows by a variable, for slopes.
    values : ndarray of shape (n_rows,), default=None
        The values of that variable, for elasticities.
    """

    X: Any
    offset: Array | None
    direction: Any = None
    values: Array | None = None

    def part(self, at: slice) -> ModelRows:
        """Return the rows of a slice, with dense arrays."""
        return ModelRows(
            _dense(self.X[at]),
            None if self.offset is None else self.offset[at],
            None if self.direction is None else _dense(self.direction[at]),
            None if self.values is None else self.values[at],
        )


@dataclass(frozen=True)
class Groups:
    """Which rows are averaged together, and with which weights.

    Attributes
    ----------
    codes : ndarray of int of shape (n_rows,)
        The group of each row.
    n_groups : int
    weights : ndarray of shape (n_rows,)
        The weight of each row, divided by the sum over its group.
    """

    codes: Array
    n_groups: int
    weights: Array

    @classmethod
    def of(cls, codes: Array, n_groups: int, weights: Array | None) -> Groups:
        """Return groups of rows, with weights divided by their sum in each group.

        `weights` (n_rows,) are ones if None. ValueError is raised if their sum in some group is not
        positive.
        """
        weights = np.ones(len(codes)) if weights is None else np.asarray(weights, float)
        totals = np.bincount(codes, weights, n_groups)
        if not np.all(totals > 0.0):
            raise ValueError("sample_weight has no positive number to average with in some group.")
        return cls(codes, n_groups, weights / totals[codes])

    def matrix(self, at: slice) -> Any:
        """Return the sparse matrix (n_groups, n) of the weights of the n rows of a slice.

        Its product with values of these rows is the sum over the rows of each group.
        """
        codes, weights = self.codes[at], self.weights[at]
        return sp.csr_matrix(
            (weights, (codes, np.arange(len(codes)))), shape=(self.n_groups, len(codes))
        )


@dataclass(frozen=True)
class RowValues:
    """A quantity of the classes, such as probabilities, for rows.

    Attributes
    ----------
    values : ndarray of shape (n, K)
    terms : list of pairs of ndarray
        A factor (n, K, R) and a design (n, w) each. The derivative of values[i, k] by θ, (R, w), is
        the sum over the pairs of np.outer(factor[i, k], design[i]).
    draws : ndarray of shape (n_draws, n, K) or None
        The quantity at drawn coefficients.
    """

    values: Array
    terms: list[tuple[Array, Array]]
    draws: Array | None

    def summed(self, matrix: Any | None) -> Estimates:
        """Return the sums over groups of rows, with their Jacobian.

        `matrix` (n_groups, n) has the weights of the rows in each group; without it each row is a
        group. The K classes of a group are next to each other in the result.
        """
        n, K = self.values.shape
        values, draws = self.values, self.draws
        jacobians = []
        for k in range(K):
            products = [factor[:, k, :, None] * Z[:, None, :] for factor, Z in self.terms]
            rows = np.sum(products, axis=0).reshape(n, -1)
            jacobians.append(rows if matrix is None else matrix @ rows)
        if matrix is not None:
            values = matrix @ values
            if draws is not None:
                draws = np.stack([matrix @ draw for draw in draws])
        jacobian = np.stack(jacobians, axis=1)
        return Estimates(
            values.ravel(),
            jacobian.reshape(values.size, -1),
            None if draws is None else draws.reshape(len(draws), -1),
        )


# A function of a model, dense rows, and draws of coefficients.
Quantity = Callable[[DeltaMethod, ModelRows, "Array | None"], RowValues]


def predicted(delta: DeltaMethod, rows: ModelRows, draws: Array | None) -> RowValues:
    """Return the probabilities p_k; their derivatives by the logits are p_k(δ_kr - p_r)."""
    P, Z, free = (
        delta.probabilities(rows.X, rows.offset),
        delta.design(rows.X),
        delta.free,
    )
    drawn = None
    if draws is not None:
        drawn = softmax(_drawn_logits(P, Z, draws, free), axis=-1)
    return RowValues(P, [(_derivatives(P, free), Z)], drawn)


def slopes(kind: str) -> Quantity:
    """Return the function that computes derivatives of probabilities by a variable x.

    With u the derivatives of the logits by x, and ū = Σ p_k u_k, `kind` "dydx" is the derivative
    dp_k/dx = p_k(u_k - ū). "dyex" is x times the derivative, "eydx" the derivative divided by p_k,
    and "eyex" has both factors.
    """

    def quantity(delta: DeltaMethod, rows: ModelRows, draws: Array | None) -> RowValues:
        """Return the derivatives of the probabilities at some rows."""
        P, Z, free = (
            delta.probabilities(rows.X, rows.offset),
            delta.design(rows.X),
            delta.free,
        )
        dZ = delta.direction(rows.direction)
        U = _all_logits(dZ @ delta.slope_coefficients.T, free, P.shape[1])
        is_elasticity = kind[2] == "e" and rows.values is not None
        x = rows.values if is_elasticity else np.ones(len(P))
        assert x is not None
        spread = U - np.sum(P * U, axis=1, keepdims=True)
        identity = np.eye(P.shape[1])[:, free]
        # ∂(u_k - ū)/∂u_r = δ_kr - p_r and ∂ū/∂z_r = p_r(u_r - ū)
        by_slope = identity - P[:, None, free]
        by_logit = np.broadcast_to(-(P * spread)[:, None, free], by_slope.shape)
        if kind[0] == "d":
            D = _derivatives(P, free)
            # The product rule for p_k(u_k - ū).
            by_logit = D * spread[:, :, None] + P[:, :, None] * by_logit
            by_slope = D
        scale = x[:, None, None]
        values = _slope(P, spread, kind) * x[:, None]
        drawn = None
        if draws is not None:
            drawn_P = softmax(_drawn_logits(P, Z, draws, free), axis=-1)
            drawn_U = U + np.stack([_all_logits(dZ @ d.T, free, P.shape[1]) for d in draws])
            drawn_spread = drawn_U - np.sum(drawn_P * drawn_U, axis=-1, keepdims=True)
            drawn = _slope(drawn_P, drawn_spread, kind) * x[:, None]
        return RowValues(values, [(scale * by_slope, dZ), (scale * by_logit, Z)], drawn)

    return quantity


def averages(
    delta: DeltaMethod, rows: ModelRows, groups: Groups, quantity: Quantity, draws: Array | None
) -> Estimates:
    """Return the means of a quantity over groups of rows.

    The K classes of a group are next to each other.
    """
    total: Estimates | None = None
    for at in _slices(delta, rows, draws):
        part = quantity(delta, rows.part(at), draws).summed(groups.matrix(at))
        if total is None:
            total = part
        else:
            drawn = None
            if total.draws is not None and part.draws is not None:
                drawn = total.draws + part.draws
            total = Estimates(total.values + part.values, total.jacobian + part.jacobian, drawn)
    assert total is not None
    return total


def row_by_row(
    delta: DeltaMethod, versions: tuple[ModelRows, ...], quantity: Quantity, draws: Array | None
) -> Iterator[tuple[Estimates, ...]]:
    """Yield, for each block of rows, a tuple with one `Estimates` for each version of the rows.

    `versions` are the same rows with different values of variables. An `Estimates` has the K values
    of a row next to each other.
    """
    for at in _slices(delta, versions[0], draws):
        yield tuple(quantity(delta, rows.part(at), draws).summed(None) for rows in versions)


def _slices(delta: DeltaMethod, rows: ModelRows, draws: Array | None) -> Iterator[slice]:
    """Yield slices of rows whose dense Jacobians and draws fit into `JACOBIAN_NUMBERS` numbers."""
    n, K = rows.X.shape[0], len(delta.model.classes)
    of_row = max(K * delta.coef.size, 0 if draws is None else len(draws) * K)
    size = max(1, JACOBIAN_NUMBERS // max(of_row, 1))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _derivatives(P: Array, free: list[int]) -> Array:
    """Return ∂p_k/∂z_r = p_k(δ_kr - p_r), (n, K, R)."""
    identity = np.eye(P.shape[1])[:, free]
    return np.asarray(P[:, :, None] * (identity - P[:, None, free]))


def _slope(P: Array, spread: Array, kind: str) -> Array:
    """Return p_k(u_k - ū), or u_k - ū for the kinds that divide by p_k; `spread` is u_k - ū."""
    return P * spread if kind[0] == "d" else spread


def _all_logits(free_logits: Array, free: list[int], n_classes: int) -> Array:
    """Return the logits of all classes, (n, K), from the free ones (n, R); the others are zero."""
    logits = np.zeros((len(free_logits), n_classes))
    logits[:, free] = free_logits
    return logits


def _drawn_logits(P: Array, Z: Array, draws: Array, free: list[int]) -> Array:
    """Return logits (n_draws, n, K), up to a constant of each row, at drawn coefficients.

    `draws` (n_draws, R, w) are the drawn coefficients minus those of the fit, whose probabilities
    are P.
    """
    with np.errstate(divide="ignore"):
        log_P = np.log(P)
    return np.stack([log_P + _all_logits(Z @ d.T, free, P.shape[1]) for d in draws])


def _dense(rows: Any) -> Array:
    """Return rows as a dense float64 array."""
    return np.asarray(rows.toarray() if sp.issparse(rows) else rows, float)
