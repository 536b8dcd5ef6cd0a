"""Linear systems with the Hessian of many coefficients, which share the passes over the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skmaxent._objective._kernel_context import KernelContext
from skmaxent._objective._objective import Point
from skmaxent._objective._penalty import Ridge, Tangent
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._solvers._preconditioners import DiagonalPreconditioner, Preconditioner
from skmaxent._typing import Array

# The relative error of the solutions, and the largest number of iterations of conjugate gradients.
ACCURACY, MOST_PRODUCTS = 1e-3, 500


def of_theta(point: Point, sums: tuple[Array, ...], total: float) -> Array:
    """Return gradients by θ, (n, n_logits, n_features + 1), from sums over the rows.

    `sums` are sums with the columns of X, (n · n_logits, n_features), and sums of the rows
    themselves, (n · n_logits,). They are divided by `total`. The memory of the result has the
    order in which sparse products are fastest; see `Standardisation.gradient`.
    """
    objective = point.objective
    G = objective.standardisation.gradient(sums[0], sums[1], total)
    return np.asarray(G.reshape(-1, *objective.shape))


def solutions(
    point: Point,
    tangent: Tangent,
    free: Array,
    diagonal: Array,
    G: Array,
    accuracy: float = ACCURACY,
) -> Array:
    """Return the solutions θ of H θ = g for n vectors g, (n, n_logits, n_features + 1).

    H is the Hessian of the mean loss and the penalty over the coefficients in the mask `free`, and
    `G` are the vectors g, of the shape of the result. `diagonal` is the result of
    `inverse_diagonal`, and `accuracy` the relative error. All systems share the passes over the
    rows.
    """

    is_common = has_common_ridge(point, tangent, free)
    repeated_free = None if is_common else repeated(free, len(G))

    def product(V: Array) -> Array:
        out = _hessian_products(point, V)
        out += tangent.curvature(V)
        if repeated_free is not None:
            out *= repeated_free
        return out

    solve = _preconditioner(point, tangent, free, diagonal, len(G))
    return _conjugate_gradients(product, solve, G, accuracy)


def repeated(values: Array, n: int) -> Array:
    """Return n copies of an array (n_logits, n_features + 1), in memory as those of `of_theta`.

    NumPy's products with copies take less time than those with a broadcast array.
    """
    return np.tile(values.T, (1, n)).T.reshape(n, *values.shape)


def has_common_ridge(point: Point, tangent: Tangent, free: Array) -> bool:
    """Return whether all coefficients vary and the penalty is a ridge, the same for all classes.

    `free` (n_logits, n_features + 1) is a mask of the coefficients that vary.
    """
    is_common = len(tangent.diagonal) == 1 and tangent.group_curvature is None
    return is_common and bool((free == point.objective.standardisation.is_free).all())


def _preconditioner(
    point: Point, tangent: Tangent, free: Array, diagonal: Array, n: int
) -> Callable[[Array], Array]:
    """Return a function that multiplies n gradients by an approximation of H⁻¹.

    Gradients have the shape (n, n_logits, n_features + 1). The approximation is `diagonal`, the
    inverse of the diagonal of H, or a matrix with covariances of the columns if that costs little.
    The latter needs gradients that sum to zero over the classes, which is so with a common ridge
    and without fixed coefficients.
    """
    objective = point.objective
    if has_common_ridge(point, tangent, free):
        penalised = objective.with_penalty(Ridge(tangent.diagonal[0, :-1]))
        choice = PreconditionerChoice(penalised, is_near=True)
        preconditioner = choice.at(point.on(penalised), 0)[0]
        if not isinstance(preconditioner, DiagonalPreconditioner):
            return lambda G: _solved(preconditioner, G)
    copies = repeated(diagonal, n)
    return lambda G: copies * G


def _solved(preconditioner: Preconditioner, G: Array) -> Array:
    """Return the inverse of a preconditioner times n gradients, in the order of their memory."""
    out = np.empty_like(G)
    for solution, one in zip(out, G, strict=True):
        solution[:] = preconditioner.solve(one)
    return out


def inverse_diagonal(point: Point, tangent: Tangent, free: Array) -> Array:
    """Return the inverse of the diagonal of H, (n_logits, n_features + 1).

    H is the Hessian of the mean loss and the penalty. Coefficients that are not in the mask `free`
    get zeros.
    """
    return inverse_diagonals(point, tangent, free)[0]


def inverse_diagonals(
    point: Point,
    tangent: Tangent,
    free: Array,
    curvature: Array | None = None,
    times: float = 1.0,
) -> tuple[Array, Array, Array]:
    """Return the inverse of the diagonal of H, that for centred columns, and the means of columns.

    All have the shape (n_logits, n_features + 1). H and `free` are as in `inverse_diagonal`. The
    columns are centred for each logit at its own means, in which rows have the weights of their
    curvature. The last entries of the means are zeros; all are zero without an intercept.
    `curvature` (n_logits, n_samples) replaces the second derivatives of the loss of each row. The
    loss counts `times` times.
    """
    objective = point.objective
    columns, total = objective.standardisation, objective.total_weight
    squares, sums, weights = (times * each for each in point.map_reduce(_curvature_sums, curvature))
    diagonal = np.empty(free.shape, order="F")
    diagonal[:, -1] = weights
    moments = squares - 2.0 * columns.center * sums + np.multiply.outer(weights, columns.center**2)
    diagonal[:, :-1] = np.maximum(moments, 0.0) / columns.scale**2
    means = np.zeros_like(diagonal)
    has_mean = free[:, -1:] & (weights[:, None] > 0.0)
    averages = sums / np.where(weights > 0.0, weights, 1.0)[:, None] - columns.center
    means[:, :-1] = np.where(has_mean, averages / columns.scale, 0.0)
    centred = diagonal - weights[:, None] * means**2
    penalty = tangent.diagonal
    if tangent.group_curvature is not None:
        penalty = penalty + tangent.group_curvature
    both = [np.maximum(each, 0.0) / total + penalty for each in (diagonal, centred)]
    inverse, of_centred = (
        np.divide(1.0, each, out=np.zeros_like(each), where=free & (each > 0.0)) for each in both
    )
    return inverse, of_centred, means


def _curvature_sums(context: KernelContext, curvature: Array | None) -> tuple[Array, Array, Array]:
    """Return the sums of `own_curvature` times x_i², x_i and 1 of a block (a kernel).

    `curvature` is as in `inverse_diagonals`.
    """
    block = context.block
    if curvature is None:
        curvature = own_curvature(context)
    else:
        curvature = curvature[:, block.start : block.stop]
    return (
        block.weighted_sums_of_squares(curvature),
        block.weighted_sums(curvature),
        curvature.sum(axis=1),
    )


def own_curvature(context: KernelContext) -> Array:
    """Return s_i p_i (1 - p_i) of the rows of a block, for each class, (n_logits, rows)."""
    P = context.probabilities
    curvature: Array = P * (1.0 - P) * context.weights
    return curvature


def _conjugate_gradients(
    product: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    G: Array,
    accuracy: float,
) -> Array:
    """Return the solutions of n linear systems with the same positive semidefinite matrix.

    Parameters
    ----------
    product, precondition : callable
        Multiply vectors, (m, n_logits, n_features + 1), by the matrix and by the preconditioner.
    G, accuracy : object
        As in `solutions`. Iterations end when all residuals, in the norm of the preconditioner,
        are at most `accuracy` times the first ones. A step of the same length as the last one, in
        the next direction, is then made without a product.
    """
    n, R, width = G.shape
    x, residual = np.zeros_like(G), G.copy("K")
    direction = precondition(residual)

    def products(U: Array, V: Array) -> Array:
        """Return the n scalar products of vectors."""
        each = np.einsum("ij,ij->i", U.reshape(n * R, width), V.reshape(n * R, width))
        return np.asarray(each.reshape(n, R).sum(axis=1))

    def scale(V: Array, factors: Array) -> None:
        """Multiply each vector by a factor."""
        V.reshape(n * R, width)[:] *= np.repeat(factors, R)[:, None]

    rz = products(residual, direction)
    goal, step = accuracy**2 * rz, np.zeros_like(rz)
    for _ in range(MOST_PRODUCTS):
        if (rz <= goal).all():
            break
        Hd = product(direction)
        curvature = products(direction, Hd)
        step = np.divide(rz, curvature, out=np.zeros_like(rz), where=curvature > 0.0)
        scale(Hd, step)
        residual -= Hd
        z = precondition(residual)
        before, rz = rz, products(residual, z)
        ratio = np.divide(rz, before, out=np.zeros_like(rz), where=before > 0.0)
        # x + step · direction, and the next direction z + ratio · direction.
        scale(direction, step)
        x += direction
        scale(direction, np.divide(ratio, step, out=np.zeros_like(rz), where=step > 0.0))
        direction += z
    scale(direction, step)
    x += direction
    return x


def _hessian_products(point: Point, V: Array) -> Array:
    """Return the Hessian of the mean loss times n directions V; both (n, n_logits, d + 1)."""
    objective = point.objective
    n, R, width = V.shape
    coef, intercept = objective.standardisation.coefficients(V.reshape(n * R, width))
    dtype = objective.blocks.dtype
    sums = point.map_reduce(
        _products, coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False), R
    )
    return of_theta(point, sums, objective.total_weight)


def _products(context: KernelContext, coef: Array, intercept: Array, R: int) -> tuple[Array, Array]:
    """Return a block's sums of the Hessian products for several directions (a kernel).

    `coef` and `intercept` have R rows for each direction, one for each logit.
    """
    block, likelihood = context.block, context.likelihood
    U = block.logits_without_offset(coef, intercept)
    for start in range(0, len(coef), R):
        U[start : start + R] = likelihood.curvature(context.probabilities, U[start : start + R])
    if block.weights is not None:
        U *= block.weights
    return block.weighted_sums(U), U.sum(axis=1, dtype=np.float64)
