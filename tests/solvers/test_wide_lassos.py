"""Lassos with more columns than rows, whose columns share a factor."""

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier


@pytest.mark.parametrize("C", [0.3, 3.0])
@pytest.mark.parametrize("K", [2, 3])
def test_correlated_columns_satisfy_the_optimality_conditions(K, C):
    # Starts far from the optimum made hundreds of columns nonzero, and took minutes.
    rng = np.random.default_rng(7)
    X = rng.normal(size=(80, 600)) + 2.0 * rng.normal(size=(80, 1))
    y = np.arange(80) % K
    clf = MaxentClassifier(C=C, l1_ratio=1.0, tol=1e-6).fit(X, y)
    gradient = X.T @ (clf.predict_proba(X) - np.eye(K)[y])
    gradient = gradient[:, 1:] if K == 2 else gradient
    coef = clf.coef_.T
    assert np.abs(gradient).max() <= (1.0 + 1e-4) / C
    active = coef != 0.0
    assert 10 < active.sum() < 80 * (K - 1)
    np.testing.assert_allclose(gradient[active], -np.sign(coef[active]) / C, rtol=1e-4)


def test_groups_and_elastic_nets_of_correlated_columns():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(60, 500)) + 2.0 * rng.normal(size=(60, 1))
    y = np.arange(60) % 3
    clf = MaxentClassifier(C=1.0, l1_ratio=0.9, tol=1e-6).fit(X, y)
    gradient = X.T @ (clf.predict_proba(X) - np.eye(3)[y]) + 0.1 * clf.coef_.T
    excess = np.abs(gradient) - 0.9
    assert excess[clf.coef_.T == 0.0].max() <= 1e-4
    np.testing.assert_allclose(excess[clf.coef_.T != 0.0], 0.0, atol=1e-4)
    clf = MaxentClassifier(C=1.0, l1_ratio=1.0, grouped=True, tol=1e-6).fit(X, y)
    gradient = X.T @ (clf.predict_proba(X) - np.eye(3)[y])
    lengths = np.sqrt(np.square(gradient).sum(axis=1))
    active = clf.coef_.any(axis=0)
    assert lengths[~active].max() <= 1.0 + 1e-4
    np.testing.assert_allclose(lengths[active], 1.0, rtol=1e-4)


def test_sparse_correlated_columns_satisfy_the_optimality_conditions():
    # From a start far from the optimum, 100 iterations did not suffice.
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 3000)) + 2.0 * rng.normal(size=(100, 1))
    X[np.abs(X) < 0.7] = 0.0
    y = np.arange(100) % 3
    clf = MaxentClassifier(C=1.0, l1_ratio=1.0).fit(sp.csr_matrix(X), y)
    assert clf.optimality_gap_ <= 1e-3
    gradient = X.T @ (clf.predict_proba(sp.csr_matrix(X)) - np.eye(3)[y])
    active = clf.coef_.T != 0.0
    assert np.abs(gradient).max() <= 1.0 + 1e-2
    np.testing.assert_allclose(gradient[active], -np.sign(clf.coef_.T[active]), rtol=1e-2)


def test_word_counts_of_topics_reach_the_optimum_within_max_iter():
    # The fits to stronger penalties do not use up the iterations of the fit itself.
    rng = np.random.default_rng(2)
    topics = np.exp(1.5 * rng.normal(size=(8, 3000))) / (np.arange(3000) + 5.0)
    topics /= topics.sum(axis=1, keepdims=True)
    shares = rng.dirichlet(np.full(8, 0.3), 200)
    lengths = np.exp(4.5 + rng.normal(size=200)).astype(int) + 5
    counts = [rng.multinomial(n, p) for n, p in zip(lengths, shares @ topics, strict=True)]
    X = np.array(counts, dtype=float)
    y = (shares @ rng.normal(size=(8, 4)) + 0.3 * rng.gumbel(size=(200, 4))).argmax(axis=1)
    clf = MaxentClassifier(C=3.0, l1_ratio=1.0, max_iter=60).fit(sp.csr_matrix(X), y)
    assert clf.optimality_gap_ <= 1e-2
    gradient = X.T @ (clf.predict_proba(sp.csr_matrix(X)) - np.eye(4)[y])
    assert np.abs(gradient).max() <= (1.0 + 5e-2) / 3.0


def test_a_nearly_separated_fit_with_a_weak_penalty_converges():
    # Minima of quadratic models that were not found left 100 iterations far from the optimum.
    rng = np.random.default_rng(10)
    X = rng.normal(size=(60, 500)) + 2.0 * rng.normal(size=(60, 1))
    W = rng.normal(size=(500, 3)) * (np.arange(500) < 10)[:, None]
    y = (X @ W + 3.0 * rng.gumbel(size=(60, 3))).argmax(axis=1)
    clf = MaxentClassifier(C=1e4, l1_ratio=1.0).fit(X, y)
    assert clf.optimality_gap_ <= 1e-3
    gradient = X.T @ (clf.predict_proba(X) - np.eye(3)[y])
    active = clf.coef_.T != 0.0
    np.testing.assert_allclose(1e4 * gradient[active], -np.sign(clf.coef_.T[active]), rtol=1e-2)
    assert np.abs(1e4 * gradient).max() <= 1.0 + 1e-2


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("K", [2, 3, 6])
@pytest.mark.parametrize("C", [3.0, 3e3])
@pytest.mark.parametrize("grouped", [False, True])
def test_cumulative_sums_satisfy_the_optimality_conditions(grouped, C, K, is_sparse):
    # Neighbouring columns are nearly equal, and many are more likely than others to enter by a
    # little. Newton's method with the lengths of groups themselves crept along: minutes for these.
    rng = np.random.default_rng(3)
    X = np.cumsum(rng.normal(size=(40, 160)), axis=1)
    offset = rng.normal(size=(40, K))
    y = np.arange(40) % K
    clf = MaxentClassifier(C=C, l1_ratio=1.0, grouped=grouped, tol=1e-6)
    clf.fit(sp.csr_matrix(X) if is_sparse else X, y, offset=offset)
    assert clf.optimality_gap_ <= 1e-5
    coef, intercept = clf.coef_, clf.intercept_
    if K == 2:
        coef, intercept = np.vstack([0.0 * coef, coef]), np.append(0.0, intercept)
    logits = offset + X @ coef.T + intercept
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    gradient = C * (X.T @ (P - np.eye(K)[y]))[:, K == 2 :]
    active = clf.coef_.T != 0.0
    if grouped and K > 2:
        lengths = np.sqrt(np.square(gradient).sum(axis=1))
        unit = clf.coef_.T / np.maximum(np.sqrt(np.square(clf.coef_).sum(axis=0)), 1e-300)[:, None]
        active = active.any(axis=1)
        assert 1 < active.sum() < 160
        np.testing.assert_allclose(gradient[active], -unit[active], atol=1e-3)
        assert lengths.max() <= 1.0 + 1e-3
    else:
        np.testing.assert_allclose(gradient[active], -np.sign(clf.coef_.T[active]), atol=1e-3)
        assert np.abs(gradient).max() <= 1.0 + 1e-3


@pytest.mark.parametrize(("lower", "upper"), [(0.0, np.inf), (-np.inf, 0.05), (-0.02, 0.03)])
@pytest.mark.parametrize("K", [2, 4])
def test_lassos_with_bounds_satisfy_the_optimality_conditions(K, lower, upper):
    # Pivots over columns that are nearly equal took up to half a minute.
    rng = np.random.default_rng(5)
    X = np.cumsum(rng.normal(size=(40, 160)), axis=1)
    y = np.arange(40) % K
    clf = MaxentClassifier(C=300.0, l1_ratio=1.0, bounds=(lower, upper), tol=1e-6).fit(X, y)
    assert clf.optimality_gap_ <= 1e-3
    gradient = 300.0 * (X.T @ (clf.predict_proba(X) - np.eye(K)[y]))[:, K == 2 :].T
    coef = clf.coef_
    assert ((coef >= lower) & (coef <= upper)).all()
    low, high = coef == lower, coef == upper
    assert (low | high).any()
    inside = (coef != 0.0) & ~low & ~high
    assert inside.any()
    np.testing.assert_allclose(gradient[inside], -np.sign(coef[inside]), atol=1e-3)
    # Subgradients: larger at lower bounds, smaller at upper ones.
    assert (gradient[(coef == 0.0) & ~low] >= -1.0 - 1e-3).all()
    if lower < 0.0:
        assert (gradient[(coef == 0.0) & ~high] <= 1.0 + 1e-3).all()
    assert (gradient[low & (coef < 0.0)] >= 1.0 - 1e-3).all()
    assert (gradient[high & (coef > 0.0)] <= -1.0 + 1e-3).all()
    assert (gradient[low & (coef == 0.0)] >= -1.0 - 1e-3).all()


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_columns_without_penalty_leave_a_certificate(fit_intercept, grouped, K):
    # The dual objective was infinite for them, and every such fit warned of lacking precision.
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 200))
    y = (X[:, :K] + rng.gumbel(size=(60, K))).argmax(axis=1)
    factors = np.ones(200)
    factors[:3] = 0.0
    parameters = {
        "l1_ratio": 1.0,
        "grouped": grouped,
        "penalty_factor": factors,
        "fit_intercept": fit_intercept,
    }
    exact = MaxentClassifier(**parameters, tol=1e-10).fit(X, y)
    gradient = (X.T @ (exact.predict_proba(X) - np.eye(K)[y]))[:, K == 2 :]
    np.testing.assert_allclose(gradient[:3], 0.0, atol=1e-8)
    lengths = np.abs(gradient) if not grouped else np.linalg.norm(gradient, axis=1)
    assert lengths.max() <= 1.0 + 1e-6
    least = objective_of_lasso(exact, X, y, factors, grouped)
    for tol in (1e-4, 1e-2, 0.3):
        clf = MaxentClassifier(**parameters, tol=tol).fit(X, y)
        assert clf.optimality_gap_ <= 1e-2
        value = objective_of_lasso(clf, X, y, factors, grouped)
        assert value - least <= (clf.optimality_gap_ + 1e-14) * value


def objective_of_lasso(clf, X, y, factors, grouped):
    """The mean loss and the penalty with C=1, by NumPy alone."""
    coef = clf.coef_
    loss = -np.log(clf.predict_proba(X)[np.arange(len(y)), y]).mean()
    sizes = np.linalg.norm(coef, axis=0) if grouped else np.abs(coef).sum(axis=0)
    return loss + sizes @ factors / len(y)


@pytest.mark.parametrize("K", [2, 6])
def test_removed_columns_leave_a_fit_of_the_others(K):
    # Coefficients that bounds fix led to fits of half a minute.
    rng = np.random.default_rng(6)
    X = np.cumsum(rng.normal(size=(40, 160)), axis=1)
    y = np.arange(40) % K
    factors = np.ones(160)
    factors[::7] = np.inf
    kept = np.isfinite(factors)
    clf = MaxentClassifier(C=300.0, l1_ratio=1.0, penalty_factor=factors, tol=1e-6).fit(X, y)
    alone = MaxentClassifier(C=300.0, l1_ratio=1.0, tol=1e-6).fit(X[:, kept], y)
    assert not clf.coef_[:, ~kept].any()
    assert clf.optimality_gap_ <= 1e-5
    gradient = 300.0 * (X[:, kept].T @ (clf.predict_proba(X) - np.eye(K)[y]))[:, K == 2 :]
    assert np.abs(gradient).max() <= 1.0 + 1e-3
    np.testing.assert_allclose(clf.predict_proba(X), alone.predict_proba(X[:, kept]), atol=1e-4)


def test_coefficients_fixed_away_from_zero_stay_there():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(40, 160)) + 2.0 * rng.normal(size=(40, 1))
    y = np.arange(40) % 3
    lower, upper = np.full(160, -np.inf), np.full(160, np.inf)
    lower[:2] = upper[:2] = [0.3, -0.2]
    lower[5:80] = 0.0
    clf = MaxentClassifier(C=3.0, l1_ratio=1.0, bounds=(lower, upper), tol=1e-6).fit(X, y)
    np.testing.assert_array_equal(clf.coef_[:, :2], [[0.3, -0.2]] * 3)
    gradient = 3.0 * (X.T @ (clf.predict_proba(X) - np.eye(3)[y])).T
    assert clf.optimality_gap_ <= 1e-3
    assert np.abs(gradient[:, 80:]).max() <= 1.0 + 1e-3
    assert gradient[:, 5:80].min() >= -1.0 - 1e-3
    active = clf.coef_ != 0.0
    active[:, :2] = False
    assert active.any()
    np.testing.assert_allclose(gradient[active], -np.sign(clf.coef_[active]), atol=1e-3)
