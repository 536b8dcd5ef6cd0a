"""Certificates of fits in which some columns have no penalty."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier
from skmaxent._solvers._free_basis import curvature_basis
from tests.solvers.test_certificate import posed


def value(clf, X, y, factor):
    """F of a fitted lasso or elastic net without class weights, as a sum over the rows."""
    loss = -clf.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(clf.classes_, y)].sum()
    W = np.abs(clf.coef_)
    penalty = clf.l1_ratio * W + 0.5 * (1.0 - clf.l1_ratio) * np.square(W)
    return loss + np.sum(factor * penalty) / clf.C


def check(X, y, factor, **options):
    """The fit is certified without a warning, and a rough fit is not certified below its gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MaxentClassifier(penalty_factor=factor, tol=1e-6, **options).fit(X, y)
    assert clf.optimality_gap_ <= 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rough = MaxentClassifier(penalty_factor=factor, max_iter=1, **options).fit(X, y)
    least, found = value(clf, X, y, factor), value(rough, X, y, factor)
    assert rough.optimality_gap_ >= (found - least) / found - 1e-9


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("K", [2, 4])
def test_free_columns_beside_fixed_coefficients(K, l1_ratio):
    # The penalty of the fixed coefficients made a loose bound finite, and no other was tried.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 300)), np.arange(60) % K
    factor = np.ones(300)
    factor[:5] = 0.0
    lower = np.full(300, -np.inf)
    upper = -lower
    lower[5:10] = upper[5:10] = 0.3
    check(X, y, factor, l1_ratio=l1_ratio, bounds=(lower, upper))


def levels(rng, n, k):
    return np.eye(k)[rng.permutation(np.arange(n) % k)]


def with_rounded_sum(rng, n):
    Z = 10.0 + rng.normal(size=(n, 2))
    return np.column_stack([Z, Z @ [0.3, 0.7]])


def nearly_equal(rng, n, distance):
    z = rng.normal(size=n)
    return np.column_stack([z, z + distance * rng.normal(size=n)])


COLLINEAR = {
    "levels": lambda rng, n: levels(rng, n, 3),
    "levels of two factors": lambda rng, n: np.hstack([levels(rng, n, 3), levels(rng, n, 2)]),
    "equal": lambda rng, n: nearly_equal(rng, n, 0.0),
    "another unit": lambda rng, n: rng.normal(size=(n, 1)) * [1.0, 1e3] + [0.0, 5.3],
    "sum": with_rounded_sum,
    "equal to 1e-3": lambda rng, n: nearly_equal(rng, n, 1e-3),
    "equal to 1e-5": lambda rng, n: nearly_equal(rng, n, 1e-5),
}


@pytest.mark.parametrize("stored", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("design", COLLINEAR)
def test_free_columns_may_be_collinear(design, K, l1_ratio, stored):
    # The curvature is singular along the combinations that change no logit, so that no dual point
    # was found: the gap was 1, and wide lassos warned of a lack of precision.
    rng = np.random.default_rng(0)
    free = COLLINEAR[design](rng, 60)
    X, y = np.hstack([free, rng.normal(size=(60, 200))]), np.arange(60) % K
    factor = np.ones(X.shape[1])
    factor[: free.shape[1]] = 0.0
    options = {"l1_ratio": l1_ratio, "penalty_factor": factor, "tol": 1e-6}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MaxentClassifier(**options).fit(stored(X), y)
    assert clf.optimality_gap_ <= (1e-5 if design == "equal to 1e-5" else 1e-7)


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-13, 1e-14])
@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_no_certificate_is_below_the_gap_of_nearly_equal_columns(distance, K, l1_ratio):
    # The difference of the first two columns, which is exact, is a column of unit length. The
    # objective at the optimum with that column bounds the least value from above.
    rng = np.random.default_rng(int(-np.log10(distance)))
    n, d = 60, 90
    free, other = nearly_equal(rng, n, distance), rng.normal(size=(n, d))
    difference = (free[:, 1] - free[:, 0]) / distance
    y = np.where(rng.random(n) < 0.3, difference > 0.0, rng.integers(0, K, n))
    factor = np.append([0.0, 0.0], np.ones(d))
    options = {"l1_ratio": l1_ratio, "tol": 1e-6}
    X = np.hstack([free, other])
    Z = np.hstack([free[:, :1], difference[:, None], other])
    whole = MaxentClassifier(penalty_factor=factor, **options).fit(Z, y)
    least = value(whole, Z, y, factor)
    plain = MaxentClassifier(penalty_factor=factor[1:], **options).fit(X[:, 1:], y)
    found = value(plain, X[:, 1:], y, factor[1:])
    true_gap = 1.0 - least / found
    assert true_gap > 1e-3
    with posed(X, y, penalty_factor=factor, **options) as problem:
        coef = np.column_stack([np.zeros(len(plain.coef_)), plain.coef_])
        theta = problem.objective.from_coefficients(coef, plain.intercept_)
        assert problem.gap_at(theta) >= true_gap
        if distance > 1e-9:  # there the difference is known to half of the digits or more
            coef = whole.coef_.copy()
            coef[:, 1] /= distance
            coef[:, 0] -= coef[:, 1]
            theta = problem.objective.from_coefficients(coef, whole.intercept_)
            assert problem.gap_at(theta) < 1e-2 * true_gap


@pytest.mark.parametrize(("design", "n_lost"), [("levels", 1), ("equal", 1), ("equal to 1e-5", 0)])
@pytest.mark.parametrize("K", [2, 3])
def test_the_curvature_is_the_identity_in_its_basis(design, n_lost, K):
    rng = np.random.default_rng(0)
    n = 50
    X = np.column_stack([COLLINEAR[design](rng, n), rng.normal(size=n)])
    y = rng.integers(0, K, n)
    factor = np.append(np.zeros(X.shape[1] - 1), 1.0)
    with posed(X, y, penalty_factor=factor, l1_ratio=1.0) as problem:
        objective, R = problem.objective, problem.objective.shape[0]
        free = np.tile(np.append(factor, 0.0) == 0.0, (R, 1))
        theta = np.asfortranarray(0.1 * rng.normal(size=objective.shape))
        basis = curvature_basis(objective.at(theta), free)
        columns = np.column_stack([(X - objective.center) / objective.scale, np.ones(n)])
    logits = columns @ theta.T
    if R == 1:
        p = 1.0 / (1.0 + np.exp(-logits))
        curvature = (p * (1.0 - p))[:, :, None]
    else:
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        curvature = p[:, :, None] * np.eye(R) - p[:, :, None] * p[:, None, :]
    assert basis.vectors.shape == (free.sum(), free.sum() - n_lost * max(R - 1, 1))
    np.testing.assert_allclose(basis.inverse @ basis.vectors, np.eye(len(basis.inverse)), atol=1e-6)
    V = np.zeros((len(basis.inverse), *free.shape))
    V[:, free] = basis.vectors.T
    change = np.einsum("mrj,ij->mir", V, columns)
    H = np.einsum("mir,irs,lis->ml", change, curvature, change) / n
    # Shifts of all classes change no logit; the basis has one for each column that is free.
    n_shifts = free.all(axis=0).sum() if R > 1 else 0
    values = np.linalg.eigvalsh(H)
    np.testing.assert_allclose(values[:n_shifts], 0.0, atol=1e-6)
    np.testing.assert_allclose(values[n_shifts:], 1.0, atol=1e-4)
