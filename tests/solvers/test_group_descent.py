"""The minimum of quadratic models with a penalty of groups, and fits that need it."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier
from skmaxent._objective._group_penalty import Grouped
from skmaxent._solvers import _group_descent
from skmaxent._solvers._group_descent import minimise_groups


def model(rng, R, width, n_rows, noise):
    """A positive semidefinite matrix of pairs of nearly collinear columns, and a gradient."""
    A = rng.normal(size=(n_rows, R, width))
    half = width // 2
    A[:, :, half : 2 * half] = A[:, :, :half] + noise * rng.normal(size=(n_rows, R, half))
    A = A.reshape(n_rows, R * width)
    return A.T @ A / n_rows, -(A.T @ rng.normal(size=n_rows)).reshape(R, width) / n_rows


def subgradient_sizes(matrix, gradient, theta, l1, ridge, target, W):
    """By definition, for each group, with the size of what it is a difference of."""
    slope = gradient + (matrix @ (W - theta).ravel()).reshape(W.shape) + ridge * (W - target)
    norms = np.sqrt((W**2).sum(axis=0))
    out = []
    for j, norm in enumerate(norms):
        if norm > 0:
            out.append(np.linalg.norm(slope[:, j] + l1[0, j] * W[:, j] / norm))
        else:
            out.append(max(np.linalg.norm(slope[:, j]) - l1[0, j], 0.0))
    return np.array(out)


@pytest.mark.parametrize("R", [2, 3])
@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-5])
@pytest.mark.parametrize("strength", [0.01, 0.1])
def test_the_subgradient_vanishes_at_the_minimum(R, noise, strength):
    rng = np.random.default_rng(3)
    width = 10
    for n_rows in (8, 60):
        matrix, gradient = model(rng, R, width, n_rows, noise)
        theta, start = rng.normal(size=(2, R, width))
        l1 = strength * rng.uniform(0.5, 1.5, size=(1, width))
        l1[0, -1] = 0.0  # like an intercept
        ridge = np.full((1, width), 1e-3)
        target = 0.1 * rng.normal(size=(R, width))
        W = minimise_groups(matrix, gradient, theta, Grouped(l1, ridge, target), start)
        sizes = subgradient_sizes(matrix, gradient, theta, l1, ridge, target, W)
        assert sizes.max() < 1e-7
        # Whole groups are zero, exactly.
        zero = (W == 0.0).any(axis=0)
        np.testing.assert_array_equal((W == 0.0).all(axis=0), zero)


@pytest.mark.parametrize("seed", range(4))
def test_groups_on_their_way_to_zero_do_not_block_the_others(seed, monkeypatch):
    """Few rows and a weak penalty: most groups end at zero, and begin next to it."""
    rng = np.random.default_rng(seed)
    R, width = 5, 33
    matrix, gradient = model(rng, R, width, 18, 1.0)
    theta = np.zeros((R, width))
    start = rng.normal(size=theta.shape) * 10.0 ** rng.uniform(-7, 2, width)
    l1 = 1e-3 * 10.0 ** rng.uniform(-1, 1, (1, width))
    ridge = np.zeros((1, width))
    factors = []
    solve = _group_descent.solve_semidefinite
    monkeypatch.setattr(
        _group_descent, "solve_semidefinite", lambda A, b: (factors.append(len(b)), solve(A, b))[1]
    )
    W = minimise_groups(matrix, gradient, theta, Grouped(l1, ridge, theta), start)
    first = subgradient_sizes(matrix, gradient, theta, l1, ridge, theta, start)
    sizes = subgradient_sizes(matrix, gradient, theta, l1, ridge, theta, W)
    assert sizes.max() < 1e-8 * first.max()
    assert 0 < np.count_nonzero(W.any(axis=0)) < width / 2
    assert len(factors) < 100


def test_the_rounding_of_a_tiny_column_does_not_end_the_search_of_the_others():
    rng = np.random.default_rng(3)
    R, width, tiny = 2, 10, 1e-11
    matrix, gradient = model(rng, R, width, 60, 1e-2)
    units = np.where(np.arange(R * width) % width == 0, tiny, 1.0)
    matrix *= np.multiply.outer(units, units)
    gradient *= units.reshape(R, width)
    zero, l1 = np.zeros((R, width)), np.full((1, width), 0.05)
    start = 0.1 * rng.normal(size=(R, width)) * (np.arange(width) > 0)
    W = minimise_groups(matrix, gradient, zero, Grouped(l1, zero[:1], zero), start)
    sizes = subgradient_sizes(matrix, gradient, zero, l1, zero[:1], zero, W)
    assert sizes.max() < 1e-7


def test_a_penalty_beyond_the_gradient_leaves_no_group():
    rng = np.random.default_rng(0)
    matrix, gradient = model(rng, 3, 6, 30, 0.1)
    zero = np.zeros((3, 6))
    l1 = 1.01 * np.sqrt((gradient**2).sum(axis=0)).max() * np.ones((1, 6))
    W = minimise_groups(
        matrix, gradient, zero, Grouped(l1, zero[:1], zero), rng.normal(size=(3, 6))
    )
    assert not W.any()


@pytest.mark.parametrize("n", [8, 40])
def test_grouped_lasso_of_nearly_collinear_columns(n):
    """The optimality conditions of the fit, in the units of the data."""
    rng = np.random.default_rng(5)
    Z = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 20))
    X = Z + 1e-4 * rng.normal(size=Z.shape)
    y = (X[:, :3] + rng.normal(size=(n, 3))).argmax(axis=1)
    C = 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        fit = MaxentClassifier(C=C, l1_ratio=1.0, grouped=True).fit(X, y)
    P = fit.predict_proba(X)
    G = (P - np.eye(3)[y]).T @ X
    np.testing.assert_allclose((P - np.eye(3)[y]).sum(axis=0), 0.0, atol=1e-4)
    for j in range(X.shape[1]):
        norm = np.linalg.norm(fit.coef_[:, j])
        if norm > 0:
            np.testing.assert_allclose(C * G[:, j], -fit.coef_[:, j] / norm, atol=1e-2)
        else:
            assert C * np.linalg.norm(G[:, j]) < 1.0 + 1e-2
    assert fit.n_iter_.max() < 60


@pytest.mark.parametrize("seed", [0, 2])
def test_damping_that_leads_nowhere_is_not_tried_for_ever(seed):
    """Columns of very different penalties: rounding hides what the step without damping gains."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(5, 32)) * 10.0 ** rng.uniform(-4, 4, 32)
    C = 3000.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        fit = MaxentClassifier(C=C, l1_ratio=0.5, grouped=True).fit(X, np.arange(5))
    # The optimality conditions, with the ridge on the right.
    G = 2.0 * C * (fit.predict_proba(X) - np.eye(5)).T @ X
    norms = np.linalg.norm(fit.coef_, axis=0)
    unit = fit.coef_ / np.where(norms > 0.0, norms, 1.0)
    active = norms > 0.0
    assert active.any()
    np.testing.assert_allclose(G[:, active], -(unit + fit.coef_)[:, active], atol=2e-2)
    assert (np.linalg.norm(G[:, ~active], axis=0) < 1.0 + 2e-2).all()
    assert fit.n_iter_.max() < 80


@pytest.mark.parametrize("strength", [1e-131, 1e-300])
def test_a_penalty_whose_square_underflows_changes_nothing(strength):
    """The minimum is that of the quadratic alone, at the solution of its linear system."""
    rng = np.random.default_rng(0)
    R, width = 2, 6
    matrix, gradient = model(rng, R, width, 60, 1.0)
    theta = np.zeros((R, width))
    l1 = np.full((1, width), strength)
    penalty = Grouped(l1, np.zeros((1, width)), theta)
    W = minimise_groups(matrix, gradient, theta, penalty, rng.normal(size=theta.shape))
    expected = -np.linalg.solve(matrix, gradient.ravel()).reshape(theta.shape)
    np.testing.assert_allclose(W, expected, rtol=1e-7, atol=1e-9)
