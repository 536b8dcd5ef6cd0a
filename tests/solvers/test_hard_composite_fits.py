"""Fits with L1 penalties and bounds in which the quadratic model is nearly flat, or misleads."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from fuzz.reference import Objective
from scipy.optimize import minimize
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from skmaxent import MaxentClassifier, maxent_path
from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._solvers._active_set import minimise_by_pivots


def objective(coef, intercept, X, y, offset=None):
    """Sum of the losses of softmax."""
    Z = X @ coef.T + intercept + (0.0 if offset is None else offset)
    top = Z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(Z - top).sum(axis=1)) + (top[:, 0] - Z[np.arange(len(y)), y])
    return float(losses.sum())


def reference(X, y, K, l1, bounds=(None, None), offset=None):
    """Sum of losses and l1 |W|, by SciPy's L-BFGS-B for W = P - M, P and M not negative."""
    d = X.shape[1]
    Y = np.eye(K)[y]

    def fun(x):
        P, M, b = x[: K * d].reshape(K, d), x[K * d : 2 * K * d].reshape(K, d), x[2 * K * d :]
        Z = X @ (P - M).T + b + (0.0 if offset is None else offset)
        top = Z.max(axis=1, keepdims=True)
        E = np.exp(Z - top)
        R = E / E.sum(axis=1, keepdims=True) - Y
        value = np.log(E.sum(axis=1)).sum() + ((top - Z) * Y).sum() + l1 * (P + M).sum()
        G = R.T @ X
        return value, np.concatenate([(G + l1).ravel(), (l1 - G).ravel(), R.sum(axis=0)])

    low, high = bounds
    up = (0.0, None if high is None else max(high, 0.0))
    down = (0.0, None if low is None else max(-low, 0.0))
    limits = [up] * (K * d) + [down] * (K * d) + [(None, None)] * K
    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30}
    found = minimize(
        fun, np.zeros(2 * K * d + K), jac=True, method="L-BFGS-B", bounds=limits, options=options
    )
    return found.fun


def wide_counts(seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-5, 6, size=(8, 20)) @ rng.normal(size=(20, 20)) + 3.0
    return X / X.std(axis=0), np.arange(8) % 4


def one_hot(seed):
    """One level too many of each factor: directions in which the loss does not change."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 4, size=(120, 3))
    X = np.hstack([np.eye(4)[column] for column in levels.T])
    Z = X @ rng.normal(size=(12, 3)) + rng.gumbel(size=(120, 3))
    return X, Z.argmax(axis=1)


@pytest.mark.parametrize("C", [1.0, 1e4])
@pytest.mark.parametrize("data", [wide_counts, one_hot])
def test_weak_lassos_in_flat_directions(data, C):
    X, y = data(0)
    K = y.max() + 1
    clf = MaxentClassifier(C=C, l1_ratio=1.0).fit(X, y)
    value = objective(clf.coef_, clf.intercept_, X, y) + np.abs(clf.coef_).sum() / C
    assert value <= reference(X, y, K, 1.0 / C) * (1 + 1e-6) + 1e-9
    assert clf.n_iter_[0] < 60


@pytest.mark.parametrize("bounds", [(0.0, 3.0), (-0.2, 0.1)])
def test_bounds_in_flat_directions(bounds):
    X, y = one_hot(1)
    clf = MaxentClassifier(C=np.inf, bounds=bounds).fit(X, y)
    value = objective(clf.coef_, clf.intercept_, X, y)
    assert value <= reference(X, y, 3, 0.0, bounds) * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_offsets_that_saturate_every_row(seed):
    """The Hessian at the start is next to zero, and its Newton step goes far too far."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    offset = 30.0 * rng.normal(size=(40, 3))
    clf = MaxentClassifier(l1_ratio=1.0).fit(X, y, offset=offset)
    value = objective(clf.coef_, clf.intercept_, X, y, offset) + np.abs(clf.coef_).sum()
    assert value <= reference(X, y, 3, 1.0, offset=offset) * (1 + 1e-6)


@pytest.mark.parametrize("size", [1e4, 1e6, 1e12])
@pytest.mark.parametrize(
    "parameters",
    [{"l1_ratio": 1.0}, {"bounds": (0, None)}, {"l1_ratio": 0.5, "grouped": True}],
)
def test_huge_offsets_end(size, parameters):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    offset = rng.uniform(-size, size, (40, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = MaxentClassifier(max_iter=20, **parameters).fit(X, y, offset=offset)
    assert np.isfinite(clf.coef_).all()
    assert clf.n_iter_[0] <= 20


def elementwise(shape, l1=0.0, ridge=0.0, target=0.0, lower=-np.inf, upper=np.inf):
    arrays = [np.full(shape, value, float) for value in (l1, ridge, target, lower, upper)]
    return Elementwise(*arrays, is_coupled=False)


@pytest.mark.parametrize("rank", [12, 5])
@pytest.mark.parametrize(
    "terms",
    [
        {"l1": 0.3},
        {"l1": 1e-4},
        {"l1": 0.1, "ridge": 0.2, "target": 0.5},
        {"lower": 0.0},
        {"l1": 0.05, "lower": -0.1, "upper": 0.2},
    ],
)
def test_pivots_reach_the_conditions_of_a_minimum(terms, rank):
    rng = np.random.default_rng(rank)
    A = rng.normal(size=(rank, 12))
    M, g = A.T @ A, A.T @ rng.normal(size=rank)
    penalty = elementwise((2, 6), **terms)
    theta = penalty.project(np.zeros((2, 6)))
    W = minimise_by_pivots(M, g.reshape(2, 6), theta, penalty, theta)
    residual = penalty.minimum_norm_subgradient(W, (g + M @ (W - theta).ravel()).reshape(2, 6))
    np.testing.assert_allclose(residual, 0.0, atol=1e-7)
    np.testing.assert_array_equal(W, penalty.project(W))


@pytest.mark.parametrize("share", [0.3, 0.01])
def test_pivots_that_end_early_leave_a_share_of_the_decrease(share):
    rng = np.random.default_rng(1)
    A = rng.normal(size=(60, 40))
    M, g, theta = A.T @ A, A.T @ rng.normal(size=60), np.zeros((2, 20))
    penalty = elementwise(theta.shape, l1=1.0)

    def value(W):
        w = W.ravel()
        return w @ (g + 0.5 * M @ w) + penalty.value(W)

    def least(share):
        return value(minimise_by_pivots(M, g.reshape(2, 20), theta, penalty, theta, share))

    best, early = least(0.0), least(share)
    assert best < early < best + 3.0 * share * abs(best)


def test_the_increase_of_a_penalty_between_close_points():
    rng = np.random.default_rng(2)
    penalty = elementwise((2, 6), l1=0.3, ridge=0.7, target=0.5)
    W = 1e6 * rng.normal(size=(2, 6))
    V = rng.normal(size=(2, 6))
    assert penalty.increase(W, V) == pytest.approx(penalty.value(V) - penalty.value(W))
    step = 1e-9 * np.ones((2, 6))
    slope = 0.3 * np.sign(V) + 0.7 * (V - 0.5)
    assert penalty.increase(V, V + step) == pytest.approx(np.sum(slope * step), rel=1e-5)


def test_a_weak_lasso_of_many_coefficients():
    """Proximal gradients alone take small steps in the nearly flat directions of the Hessian."""
    X, y = load_digits(return_X_y=True)
    X = scale(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf = MaxentClassifier(C=500.0, l1_ratio=1.0).fit(X, y)
    assert clf.n_iter_[0] < 35
    assert clf.optimality_gap_ < 0.01


def test_a_lasso_that_outlives_the_curvature_of_its_start():
    """One row decides the scale; the others, saturated later, let the optimum move far on."""
    X = np.array([[-0.13], [0.0], [-1.1], [-1.0], [2400.0]])
    y = np.array([1, 2, 2, 1, 0])
    clf = MaxentClassifier(C=15000.0, l1_ratio=1.0).fit(X, y)
    value = objective(clf.coef_, clf.intercept_, X, y) + np.abs(clf.coef_).sum() / 15000.0
    assert value <= reference(X, y, 3, 1.0 / 15000.0) * (1 + 1e-6)


@pytest.mark.parametrize("C", [0.1, 1e3])
def test_groups_of_one_coefficient_are_a_lasso(C):
    X, y = wide_counts(3)
    y = y % 2
    one = MaxentClassifier(C=C, l1_ratio=0.7, grouped=True, tol=1e-7).fit(X, y)
    other = MaxentClassifier(C=C, l1_ratio=0.7, tol=1e-7).fit(X, y)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-7)


@pytest.mark.parametrize("seed", [0, 1, 4, 8])
def test_no_coefficient_is_beyond_its_bound_by_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_cauchy(size=(8, 13))
    y = np.append(np.arange(5), rng.integers(5, size=3))
    upper = rng.uniform(0.003, 0.02, 13)
    weights = np.exp(4.0 * rng.normal(size=8))
    clf = MaxentClassifier(l1_ratio=1.0, bounds=(-1.5 * upper, upper)).fit(X, y, weights)
    assert (clf.coef_ <= upper).all()
    assert (clf.coef_ >= -1.5 * upper).all()


@pytest.mark.parametrize("seed", [1, 4, 5, 7])
def test_bounds_that_do_not_bind_change_nothing_beside_an_outlier(seed):
    """One cell of -1e9: its row has curvature in a billionth of a step only."""
    rng = np.random.default_rng(seed)
    X = rng.standard_t(3, size=(120, 2))
    y = (X @ rng.normal(size=(2, 3)) + rng.gumbel(size=(120, 3))).argmax(axis=1)
    X[5, 1] = -1e9
    values = []
    for bounds in (None, (-20.0, 20.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            clf = MaxentClassifier(bounds=bounds).fit(X, y)
        ridge = 0.5 * np.square(clf.coef_).sum()
        values.append(objective(clf.coef_, clf.intercept_, X, y) + ridge)
    assert values[1] == pytest.approx(values[0], rel=1e-6)


@pytest.mark.parametrize(("seed", "known"), [(0, 0.482383261690), (1, 0.487634088130)])
def test_paths_with_outliers_end_at_the_optimum(seed, known):
    # Too large for the precise solver: rows of outliers are all but certain, and models of the loss
    # have far more curvature along their columns than the loss. `known` is a value of the objective
    # that some coefficients have, so that the least one is not above it.
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(400, 110)) * (rng.random((400, 110)) < 0.3)
    B = rng.normal(size=(3, 110)) * (rng.random((3, 110)) < 0.1)
    y = (X @ B.T + rng.gumbel(size=(400, 3))).argmax(axis=1)
    for _ in range(3):
        X[rng.integers(400), rng.integers(110)] = 10.0 ** rng.uniform(3, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the other fits
        path = maxent_path(X if seed % 2 else sp.csr_matrix(X), y, Cs=np.geomspace(0.05, 2, 4))
    for i, C in enumerate(path.Cs):
        where = path.coefs[i], path.intercepts[i]
        problem = Objective(X, np.eye(3)[y], np.ones(400), "softmax", l1=1 / (C * 400))
        value, best = float(problem.value(*where)), float(problem.polished(*where).value)
        assert (value - best) / value <= path.optimality_gaps[i]
        assert value <= (1 + 1e-6) * (known if i == 3 else best)


@pytest.mark.parametrize(
    ("seed", "known"), [(0, 0.0499376617648), (1, 0.037309511822), (5, 0.0624839836051)]
)
def test_lassos_of_some_hundred_coefficients_beside_outliers_end_at_the_optimum(seed, known):
    # The other rows determine the optimum only after the outliers have lost their curvature.
    # `known` is a value of the objective that some coefficients have.
    rng = np.random.default_rng(seed)
    n, d, C = 500, 320, 10.0
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d)
    y = (X[:, :40].sum(axis=1) / 3 + rng.logistic(size=n) > 0).astype(int)
    X[:2] *= [[1e4], [1e7]]
    X[rng.integers(n, size=5), rng.integers(d, size=5)] = 10.0 ** rng.uniform(3, 9, size=5)
    clf = MaxentClassifier(C=C, l1_ratio=1.0).fit(X, y)
    problem = Objective(X, y[:, None], np.ones(n), "sigmoids", l1=1 / (C * n))
    assert float(problem.value(clf.coef_, clf.intercept_)) <= (1 + 1e-6) * known


def test_zeros_of_huge_columns_are_not_replaced_by_the_prior():
    X, y = load_iris(return_X_y=True)
    X, size = X[50:, 1:], 2.0**400
    # The lower bounds exclude the negative coefficients of the class of smaller flowers.
    options = {"bounds": (0.0, None), "tol": 1e-8}
    prior = np.array([[0.5, 0.25, 0.75]])
    huge = MaxentClassifier(prior_coef=prior / size, **options).fit(X * size, -y[50:])
    small = MaxentClassifier(prior_coef=prior, C=1e200, **options).fit(X, -y[50:])
    assert (small.coef_ == 0.0).any()
    np.testing.assert_array_equal(huge.coef_ == 0.0, small.coef_ == 0.0)
    np.testing.assert_allclose(huge.coef_ * size, small.coef_, rtol=1e-5)
    np.testing.assert_allclose(huge.intercept_, small.intercept_, rtol=1e-5)


@pytest.mark.parametrize("seed", [11, 34])
def test_a_row_a_billion_away_beside_bounds_and_a_prior(seed):
    """Where the certificate is one, the user is told, unless the fit is at the optimum."""
    rng = np.random.default_rng(seed)
    X, y = np.append(rng.normal(size=2), -1e9)[:, None], np.array([1, 2, 0])
    prior, C = 1e-9 * rng.normal(size=(3, 1)), 10.0 ** rng.uniform(0, 3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        clf = MaxentClassifier(C=C, bounds=(-np.inf, 0), prior_coef=prior).fit(X, y)
    problem = Objective(
        X, np.eye(3)[y], np.ones(3), "softmax", ridge=1 / (C * 3), target=prior, upper=0.0
    )
    value = problem.value(clf.coef_, clf.intercept_)
    best = problem.polished(clf.coef_, clf.intercept_)
    for _ in range(6):  # by Newton's method, in extended precision
        best = problem.polished(best.coef, best.intercept)
    has_warned = any(issubclass(one.category, ConvergenceWarning) for one in said)
    assert has_warned or value - best.value <= 1e-6 * best.value
