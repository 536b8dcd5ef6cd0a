"""Minima of quadratic models with a penalty, against the optimality conditions in NumPy."""

import numpy as np
import pytest

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._solvers._active_set import minimise_by_pivots, minimise_over_members
from skmaxent._solvers._model_minimum import minimise_model
from skmaxent._solvers._models import all_logits_hessian
from skmaxent._solvers._quadratic import DenseModel

R, WIDTH = 3, 201


@pytest.mark.parametrize("n_nonzero", [0, 20, 500], ids=["none", "few", "many"])
@pytest.mark.parametrize("l1", [3.0, 0.3])
def test_large_dense_models(n_nonzero, l1):
    """Large models are minimised over the few coefficients that move, or by Newton's method."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(1000, R * WIDTH)) + rng.normal(size=(1000, 1))
    M = A.T @ A / len(A)
    theta = np.zeros((R, WIDTH))
    theta.flat[rng.permutation(theta.size)[:n_nonzero]] = 1.0
    gradient = rng.normal(size=theta.shape)
    bound = np.full((R, WIDTH), 0.5 if l1 < 1.0 else np.inf)
    theta = np.clip(theta, -bound, bound)
    zero = np.zeros((R, WIDTH))
    penalty = Elementwise(np.full((R, WIDTH), l1), zero, zero, -bound, bound, is_coupled=False)
    model = DenseModel(M.copy(), (R, WIDTH), is_coupled=False, is_exact=True)
    found = minimise_model(model, gradient, theta, penalty, accuracy=1e-8)
    W = found.theta

    def value(V):
        step = (V - theta).ravel()
        return gradient.ravel() @ step + 0.5 * step @ M @ step + l1 * np.abs(V).sum()

    assert value(theta) - value(W) == pytest.approx(found.decrease, rel=1e-8)
    slope = (gradient.ravel() + M @ (W - theta).ravel()).reshape(theta.shape)
    inside = (W != 0.0) & (np.abs(W) < bound)
    largest = np.abs(gradient).max()
    np.testing.assert_allclose(slope[inside], -l1 * np.sign(W[inside]), atol=1e-6 * largest)
    assert np.all(np.abs(slope[W == 0.0]) <= l1 + 1e-6 * largest)
    at = np.abs(W) == bound
    assert np.all(np.sign(W[at]) * slope[at] <= -l1 + 1e-6 * largest)
    assert found.least_decrease <= found.decrease * (1.0 + 1e-9)


def test_the_hessian_of_all_logits_is_that_of_their_contrasts():
    rng = np.random.default_rng(2)
    r, width = 3, 4
    H = rng.normal(size=(r * width, r * width))
    contrasts = np.kron(np.vstack([np.eye(r), -np.ones((1, r))]), np.eye(width))
    found = all_logits_hessian(H.reshape(r, width, r, width), is_coupled=True)
    expected = contrasts @ H @ contrasts.T
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-12)


@pytest.mark.parametrize("is_small", [True, False], ids=["all", "members"])
def test_rounding_of_a_gradient_along_shifts_does_not_hide_the_minimum(is_small):
    """In float32, the gradients of the intercepts do not sum to zero over the classes."""
    rng = np.random.default_rng(5)
    K, width = 4, 3
    X = np.column_stack([rng.normal(size=(30, width - 1)), np.ones(30)])
    P = rng.dirichlet(np.ones(K), size=30)
    M = np.einsum("ik,kl,ij,im->kjlm", P, np.eye(K), X, X) / 30
    M = (M - np.einsum("ik,il,ij,im->kjlm", P, P, X, X) / 30).reshape(K * width, K * width)
    slope = 1e-3 * rng.normal(size=(K, width))
    slope -= slope.mean(axis=0)
    ridge = np.array([[20.0, 20.0, 0.0]])
    bound = np.array([[1.0, 1.0, np.inf]])
    zero = np.zeros((1, width))
    penalty = Elementwise(zero, ridge, zero, -bound, bound)
    rounded = slope + np.array([0.0, 0.0, 1e-9])
    model = DenseModel(M.copy(), (K, width), is_coupled=True, is_exact=True)
    theta = np.zeros((K, width))
    if is_small:
        found = minimise_model(model, rounded, theta, penalty)
        W, decrease = found.theta, found.decrease
    else:
        members = np.ones((K, width), dtype=bool)
        block = model.block_without_shift(members, rounded, penalty.leaves_shifts)
        W = minimise_over_members(block, rounded, theta, penalty, members)
        W = penalty.recentre(W)
        decrease = -(W * (slope + 0.5 * (M @ W.ravel()).reshape(K, width) + 0.5 * ridge * W)).sum()
    expected = -np.linalg.pinv(M + np.diag(np.tile(ridge[0], K)), hermitian=True) @ slope.ravel()
    np.testing.assert_allclose(W.ravel(), expected, atol=1e-6 * np.abs(expected).max())
    assert decrease == pytest.approx(-0.5 * slope.ravel() @ expected, rel=1e-6)


@pytest.mark.parametrize("difference", [1e-6, 5e-7])
def test_a_flat_direction_is_followed_to_its_end(difference):
    """The step that regularisation shortens is lengthened, and then is too long along others."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(50, 4))
    columns[:, 1] = columns[:, 0] + difference * columns[:, 1]
    columns -= columns.mean(axis=0)
    matrix = columns.T @ columns / 50
    truth = np.array([3e5, -3e5, 0.7, 0.2])
    wide = columns.astype(np.longdouble)
    gradient = -(wide.T @ (wide @ truth) / 50).astype(float)[None]
    free = np.full((1, 4), np.inf)
    penalty = Elementwise(np.full((1, 4), 1e-18), np.zeros((1, 4)), np.zeros((1, 4)), -free, free)
    start = np.array([[1e5, -1e5, -1.0, 0.5]])
    zero = np.zeros((1, 4))
    found = minimise_by_pivots(matrix, gradient, zero, penalty, start)
    left = columns @ (found[0] - truth)
    # Rounding of the matrix moves the minimum by some 1e-4 of the way.
    assert np.sqrt(np.mean(left**2)) < 1e-3 * np.sqrt(np.mean((columns @ (start[0] - truth)) ** 2))
