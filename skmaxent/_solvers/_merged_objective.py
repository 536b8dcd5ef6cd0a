"""A ridge-penalised objective of sparse rows in float32, over merged columns.

Coefficients are those of `MergedRows`: one array V of shape (R, width) whose last column holds the
intercepts, for R logits. The merged columns x̃ are not centred, and the ridge has the same strength
for each of them. Probabilities P and arrays of residuals U have the shape (R, rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from skmaxent._objective._likelihood import Likelihood
from skmaxent._objective._objective import Counter, MultinomialObjective
from skmaxent._storage._merged_rows import MergedRows, RowRange
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._vectors import add_scaled, inner
from skmaxent._typing import Array

# Curvatures of classes below this share of the largest one are set to it.
LEAST_CURVATURE = 1e-10
# The preconditioner centres this number of the most frequent columns; others have small means.
CENTRED_COLUMNS = 4096
SINGLE = np.dtype(np.float32)


@dataclass(frozen=True)
class _RowsOfRange:
    """The rows of a range of `MergedRows` with their targets, weights and offsets."""

    rows: RowRange
    targets: Array
    weights: Array | None
    offset: Array | None


class MergedObjective:
    """The mean loss of the rows plus strength/2 ‖V‖², where the norm leaves out the intercepts.

    Parameters
    ----------
    objective : MultinomialObjective
        The objective of the original rows, which must be `RowBlocks`.
    merged : MergedRows
        The same rows with merged columns.
    """

    def __init__(self, objective: MultinomialObjective, merged: MergedRows) -> None:
        blocks = objective.blocks
        assert isinstance(blocks, RowBlocks), "merged rows are in memory"
        self.merged = merged
        self.likelihood: Likelihood = objective.likelihood
        self.fit_intercept = objective.fit_intercept
        self.counter: Counter = objective.counter
        self._tally = blocks.tally
        self._total = objective.total_weight
        self._ranges = [
            _RowsOfRange(
                rows,
                blocks.targets[rows.start : rows.stop],
                _single(blocks.weights, rows),
                _single(blocks.offset, rows),
            )
            for rows in merged.ranges
        ]

    def at(self, V: Array, strength: float) -> MergedPoint:
        """Evaluate the objective at V (R, width) in float32, by one pass over the rows."""
        self.counter.gradients += 1
        self._tally.rows += self.merged.n_samples
        tasks = [partial(self._value_and_gradient, part, V) for part in self._ranges]
        parts = self.merged.workers.run(tasks)
        gradient = _sum([part[1] for part in parts])
        loss = sum(part[0] for part in parts) / self._total
        coef = V[:, :-1]
        squares = inner(coef, coef)
        _add_penalty(gradient, strength, V)
        return MergedPoint(self, V, strength, loss, squares, gradient, [part[2] for part in parts])

    def hessian_product(self, point: MergedPoint, direction: Array) -> Array:
        """Return the Hessian at a point times a direction (R, width), by one pass over the rows."""
        self.counter.hessian_products += 1
        self._tally.rows += self.merged.n_samples

        tasks = [
            partial(self._product, part, P, direction)
            for part, P in zip(self._ranges, point.probabilities, strict=True)
        ]
        out = _sum(self.merged.workers.run(tasks))
        _add_penalty(out, point.strength, direction)
        return out

    def class_moments(self, point: MergedPoint) -> tuple[Array, Array, Array, Array]:
        """Return means over the rows: of diag p - p pᵀ, of q = p (1 - p), of q x̃ᵀ and of q (x̃²)ᵀ.

        The shapes are (R, R), (R,), (R, width - 1) and (R, width - 1). If logits are not coupled,
        the first result is the diagonal matrix of the second one.
        """
        R, is_coupled = self.likelihood.n_logits, self.likelihood.is_coupled
        A, q, sums, squares = np.zeros((R, R)), np.zeros(R), [], []
        for part, P in zip(self._ranges, point.probabilities, strict=True):
            weights = np.float32(1.0 / self._total)
            weighted = P * (weights if part.weights is None else part.weights * weights)
            Q = weighted * (1.0 - P)
            q += Q.sum(axis=1, dtype=np.float64)
            if is_coupled:
                # In float32 the smallest eigenvalues would be rounding errors.
                P64, weighted64 = P.astype(np.float64), weighted.astype(np.float64)
                A += np.diag(weighted64.sum(axis=1)) - weighted64 @ P64.T
            sums.append(self._transposed_times(part.rows, Q))
            squares.append(self._transposed_times(part.rows.squared, Q))
        A = A if is_coupled else np.diag(q)
        return A, q, _sum(sums)[:, :-1], _sum(squares)[:, :-1]

    def _value_and_gradient(self, part: _RowsOfRange, V: Array) -> tuple[float, Array, Array]:
        """Return what a range of rows contributes to the loss and to its gradient at V.

        Returned are the weighted sum of the losses, the gradient (R, width), which is divided by
        the total weight, and the probabilities (R, rows).
        """
        Z = np.ascontiguousarray((part.rows.times(V) + V[:, -1]).T)
        if part.offset is not None:
            Z += part.offset.T
        target = self.likelihood.target_sum(Z, part.targets)
        losses = self.likelihood.probabilities(Z) - target
        U = Z.copy()
        self.likelihood.subtract_targets(U, part.targets)
        if part.weights is None:
            return float(losses.sum(dtype=np.float64)), self._gradient(part, U), Z
        value = float(np.dot(losses.astype(np.float64), part.weights))
        return value, self._gradient(part, U), Z

    def _product(self, part: _RowsOfRange, P: Array, direction: Array) -> Array:
        """Return what a range of rows contributes to a Hessian product of the loss, (R, width)."""
        U = np.ascontiguousarray((part.rows.times(direction) + direction[:, -1]).T)
        self.likelihood.curvature(P, U)
        return self._gradient(part, U)

    def _gradient(self, part: _RowsOfRange, U: Array) -> Array:
        """Return what a range of rows contributes to the mean of u x̃ᵀ, (R, width).

        The last column belongs to the intercepts, and holds the mean of u. U is overwritten.
        """
        U *= np.float32(1.0 / self._total)
        if part.weights is not None:
            U *= part.weights
        out = self._transposed_times(part.rows, U)
        if self.fit_intercept:
            out[:, -1] = U.sum(axis=1, dtype=np.float64)
        return out

    def _transposed_times(self, rows: RowRange, U: Array) -> Array:
        """Return U X̃ (R, width) for U (R, rows) and the rows of a range."""
        # A range of all rows writes to all columns but the last; others leave some columns zero.
        make = np.empty if len(self._ranges) == 1 else np.zeros
        out = make((len(U), self.merged.width), dtype=SINGLE, order="F")
        rows.transposed_times(U, out)
        out[:, -1] = 0.0
        return out


@dataclass(frozen=True)
class MergedPoint:
    """The objective with a given strength of the ridge, evaluated at V (R, width) in float32.

    Attributes
    ----------
    objective : MergedObjective
    V : ndarray of shape (R, width)
    strength : float
    loss : float
    squares : float
        ‖V‖² without the intercepts.
    gradient : ndarray of shape (R, width)
        The gradient of loss and penalty.
    probabilities : list of ndarray of shape (R, rows)
        The probabilities of each range of rows.
    """

    objective: MergedObjective
    V: Array
    strength: float
    loss: float
    squares: float
    gradient: Array
    probabilities: list[Array]

    @property
    def value(self) -> float:
        """The loss plus the penalty."""
        return self.loss + 0.5 * self.strength * self.squares

    def with_strength(self, strength: float) -> MergedPoint:
        """Return the point of the objective with another strength of the ridge."""
        gradient = self.gradient.copy(order="F")
        _add_penalty(gradient, strength - self.strength, self.V)
        return MergedPoint(
            self.objective, self.V, strength, self.loss, self.squares, gradient, self.probabilities
        )

    def hessian_product(self, direction: Array) -> Array:
        """Return the Hessian times a direction (R, width)."""
        return self.objective.hessian_product(self, direction)


class MergedPreconditioner:
    """The diagonal of the Hessian for the features, with the columns centred anew for each class.

    This is `DiagonalPreconditioner` for the coefficients V, in float32. If logits are not coupled,
    the coefficients of different logits are independent.
    """

    def __init__(self, point: MergedPoint) -> None:
        A, q, mean, h = point.objective.class_moments(point)
        q = np.maximum(q, LEAST_CURVATURE * max(float(q.max()), 1e-290))
        self._is_coupled = point.objective.likelihood.is_coupled
        self._mean: Array | None = None
        if point.objective.fit_intercept:
            # h becomes the mean of q x̃² about the mean of x̃, and `mean` that mean, with weights q.
            root = np.sqrt(q).astype(SINGLE)[:, None]
            mean /= root
            h -= np.square(mean)
            mean /= root
            self._mean = np.asfortranarray(mean[:, :CENTRED_COLUMNS])
            if self._is_coupled:
                # A is zero for shifts of all intercepts; adding their projector makes it regular.
                A += A.trace() / len(A) ** 2
            self._inverse_A = np.linalg.inv(A).astype(SINGLE)
        np.maximum(h, 0.0, out=h)
        h += np.float32(point.strength)
        self._inverse = np.divide(np.float32(1.0), h, out=h)
        self._inverse_sum = 1.0 / self._inverse.sum(axis=0) if self._is_coupled else None

    def solve(self, G: Array) -> Array:
        """Return M⁻¹ G for a gradient G (R, width)."""
        out = np.empty_like(G)
        c, g = G[:, -1], G[:, :-1]
        if self._mean is not None:
            n_centred = self._mean.shape[1]
            g = G[:, :-1].copy(order="F")
            g[:, :n_centred] -= self._mean * c[:, None]
        w = out[:, :-1]
        if self._inverse_sum is not None:
            # The sum over the classes of the solution is zero.
            shift = np.einsum("kj,kj->j", g, self._inverse)
            shift *= self._inverse_sum
            np.subtract(g, shift, out=w)
            w *= self._inverse
        else:
            np.multiply(g, self._inverse, out=w)
        out[:, -1] = 0.0
        if self._mean is not None:
            b = self._inverse_A @ c - np.einsum("kj,kj->k", self._mean, w[:, :n_centred])
            out[:, -1] = b - b.mean() if self._is_coupled else b
        return out


def _add_penalty(gradient: Array, strength: float, V: Array) -> None:
    """Add the gradient of the ridge, strength · V without intercepts, to a gradient in place."""
    intercept = gradient[:, -1].copy()
    add_scaled(gradient, strength, V)
    gradient[:, -1] = intercept


def _sum(parts: list[Array]) -> Array:
    """Return the sum of arrays of equal shape; it overwrites `parts[0]`."""
    out, *others = parts
    for other in others:
        out += other
    return out


def _single(array: Array | None, rows: RowRange) -> Array | None:
    """Return the entries of weights or offsets for a range of rows in float32; None for None."""
    return None if array is None else array[rows.start : rows.stop].astype(SINGLE)
