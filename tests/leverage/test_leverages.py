"""The leverages of rows against matrices that are written out."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier
from skmaxent._estimators._inference_kinds import estimate_of
from skmaxent._leverage._leverages import Leverages, shares_of


def data(n_classes, n=40, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=(d, n_classes)) + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    return X, y


def leverages_of(clf, X, y, weights=None, shares=None):
    estimate = estimate_of(clf)
    with estimate.problem(X, y, weights) as training:
        objective = training.problem.objective
        theta = objective.from_coefficients(estimate.coef, estimate.intercept)
        return Leverages.of(training.problem, theta, shares)


def collected(leverages, names, *args):
    """Arrays of some attributes of all rows, from blocks of rows."""
    parts = {}

    def kernel(rows):
        parts[rows.at.start] = [
            getattr(rows, name)(*args) if callable(getattr(rows, name)) else getattr(rows, name)
            for name in names
        ]
        return (np.zeros(()),)

    leverages.map_reduce(kernel)
    ordered = [parts[start] for start in sorted(parts)]
    return [np.concatenate(arrays) for arrays in zip(*ordered, strict=True)]


def written_out(clf, X, y, weights, ridge):
    """A_i, Λ_i and r_i in reference coding, with all classes' coefficients in H."""
    K = len(clf.classes_)
    P = clf.predict_proba(X)
    rows = np.column_stack([X, np.ones(len(X))])
    if K == 2:
        P = P[:, 1:]
        curvature = (P * (1.0 - P))[:, :, None]
        contrasts = np.eye(1)
        residual = P - y[:, None]
    else:
        curvature = np.einsum("ik,kl->ikl", P, np.eye(K)) - np.einsum("ik,il->ikl", P, P)
        contrasts = np.hstack([np.eye(K - 1), -np.ones((K - 1, 1))])
        residual = P - np.eye(K)[y]
    R, width = P.shape[1], rows.shape[1]
    H = np.einsum("i,ikl,ia,ib->kalb", weights, curvature, rows, rows)
    H = H.reshape(R * width, R * width)
    H += np.kron(np.eye(R), np.diag([ridge] * X.shape[1] + [0.0]))
    inverse = np.linalg.pinv(H, rcond=1e-12).reshape(R, width, R, width)
    A = np.einsum("ia,kalb,ib->ikl", rows, inverse, rows)
    A = contrasts @ A @ contrasts.T
    r = max(1, K - 1)
    return A, weights[:, None, None] * curvature[:, :r, :r], residual[:, :r]


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("C", [0.5, np.inf])
def test_blocks_are_those_of_the_whole_hessian(n_classes, C, small_blocks):
    X, y = data(n_classes)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, size=len(y))
    clf = MaxentClassifier(C=C, tol=1e-9).fit(X, y, weights)
    leverages = leverages_of(clf, X, y, weights)
    A, curvature, residual = collected(leverages, ["leverage", "curvature", "residual"])
    expected = written_out(clf, X, y, weights, 0.0 if np.inf == C else 1.0 / C)
    # The objective stores weights relative to the largest.
    top = weights.max()
    np.testing.assert_allclose(A / top, expected[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(curvature * top, expected[1], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(residual, expected[2], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("power", [-1.0, -0.5, 0.5])
def test_adjusted_residuals_are_powers_of_the_matrix(n_classes, power):
    X, y = data(n_classes)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, size=len(y))
    clf = MaxentClassifier(C=2.0, tol=1e-9).fit(X, y, weights)
    shares = shares_of(np.full(len(y), 2.0))
    leverages = leverages_of(clf, X, y, weights, shares)
    (half,) = collected(leverages, ["adjusted"], power)
    whole = []
    leverages.map_reduce(lambda rows: (whole.append(rows.adjusted(power, whole=True)) or 0.0,))
    A, curvature, residual = written_out(clf, X, y, weights, 0.5)
    for found, share in ((half, 0.5), (whole[0], 1.0)):
        for i in range(len(y)):
            values, vectors = np.linalg.eig(np.eye(len(A[i])) - share * curvature[i] @ A[i])
            matrix = vectors @ np.diag(values**power) @ np.linalg.inv(vectors)
            np.testing.assert_allclose(found[i], matrix @ residual[i], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.7])
def test_changes_of_coefficients_give_those_of_logits(l1_ratio):
    X, y = data(3)
    clf = MaxentClassifier(C=0.5, l1_ratio=l1_ratio, tol=1e-9).fit(X, y)
    leverages = leverages_of(clf, X, y)
    change, logits, held_out = collected(
        leverages, ["held_out_change", "logits", "held_out_logits"]
    )
    columns = leverages.point.objective.standardisation
    rows = np.column_stack([(X - columns.center) / columns.scale, np.ones(len(X))])
    moved = held_out - logits
    np.testing.assert_allclose(
        np.einsum("ikj,ij->ik", change, rows), moved[:, :-1] - moved[:, -1:], rtol=1e-9, atol=1e-12
    )


def test_shares_of_observations():
    assert shares_of(None) is None
    assert shares_of(np.array([0.5, 1.0])) is None
    np.testing.assert_array_equal(shares_of(np.array([0.0, 0.5, 4.0])), [1.0, 1.0, 0.25])


def test_independent_labels_have_diagonal_blocks():
    """The object takes sigmoids too, whose labels are fits of their own."""
    from skmaxent._objective._likelihood import Sigmoids
    from skmaxent._objective._terms import ridge_terms
    from skmaxent._solvers import Options, Problem, minimise
    from skmaxent._storage._row_blocks import RowBlocks

    X, _ = data(2)
    Y = np.random.default_rng(2).integers(0, 2, size=(len(X), 2)).astype(float)
    rows = RowBlocks(X, Y, n_logits=2)
    problem = Problem.of(rows, Sigmoids(2), ridge_terms(np.full(3, 0.05)), fit_intercept=True)
    theta = minimise(problem, Options(tol=1e-8)).point.theta
    A, curvature = collected(Leverages.of(problem, theta), ["leverage", "curvature"])
    np.testing.assert_allclose(A[:, 0, 1], 0.0, atol=1e-14)
    for k in range(2):
        clf = MaxentClassifier(C=1.0 / (0.05 * len(X)), tol=1e-9).fit(X, Y[:, k].astype(int))
        one, of_one = collected(
            leverages_of(clf, X, Y[:, k].astype(int)), ["leverage", "curvature"]
        )
        np.testing.assert_allclose(A[:, k, k], one[:, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(curvature[:, k, k], of_one[:, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("collinear", [False, True])
def test_single_precision_has_three_digits_or_is_not_used(l1_ratio, collinear):
    X, y = data(4, n=400, d=60, seed=3)
    if collinear:
        X = np.column_stack([X, X[:, 0] + 1e-3 * X[:, 1]])
    clf = MaxentClassifier(C=1e5 if collinear else 1.0, l1_ratio=0.1 * l1_ratio).fit(X, y)
    estimate = estimate_of(clf)
    with estimate.problem(X, y) as training:
        theta = training.problem.objective.from_coefficients(estimate.coef, estimate.intercept)
        exact, rough = (
            Leverages.of(training.problem, theta, is_rough=is_rough) for is_rough in (False, True)
        )
    assert exact.inverse.free.size > 100
    assert exact.inverse.dtype == np.float64
    assert rough.inverse.dtype == (np.float64 if collinear else np.float32)
    (expected,), (found,) = (collected(one, ["leverage"]) for one in (exact, rough))
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found / size, expected / size, atol=1e-3)
