"""Inference for columns at a relative distance of 1e-3 to 1e-7 from the span of others.

The expected values are computed for orthogonal columns Q of X = Q R, from a Gram-Schmidt process in
extended precision, and mapped to the columns of X by the inverse of R.
"""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from skmaxent import MaxentClassifier, SurveyDesign

WIDE = np.longdouble
N = 300


def orthogonal(D):
    """Columns Q (n, p) of mean square one, and T (p, p) with Q = D T; a coefficient of D is T γ."""
    n, p = D.shape
    Q, R = D.astype(WIDE), np.zeros((p, p), WIDE)
    for j in range(p):
        for _ in range(2):
            Q[:, j] -= Q[:, :j] @ (Q[:, :j].T @ Q[:, j])
        Q[:, j] /= np.sqrt(Q[:, j] @ Q[:, j])
    Q *= np.sqrt(WIDE(n))
    R = np.triu(Q.T @ D.astype(WIDE) / n)
    T = np.zeros((p, p), WIDE)
    for j in range(p):
        T[j, j] = 1 / R[j, j]
        for i in range(j - 1, -1, -1):
            T[i, j] = -(R[i, i + 1 : j + 1] @ T[i + 1 : j + 1, j]) / R[i, i]
    return Q.astype(float), T


def problem(distance, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 3))
    X = np.column_stack([X, X[:, 0] - X[:, 1] + distance * rng.normal(size=N)])
    y = (X[:, :3] @ rng.normal(size=(3, n_classes)) / 2 + rng.gumbel(size=(N, n_classes))).argmax(1)
    w = rng.integers(1, 4, N).astype(float)
    return X, y, w, np.arange(N) % 20


def binary(Q, y, w):
    """Coefficients and probabilities of two classes by Newton's method."""
    gamma = np.zeros(Q.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-Q @ gamma))
        H = (Q * (w * p * (1 - p))[:, None]).T @ Q
        gamma += np.linalg.solve(H, Q.T @ (w * (y - p)))
    return gamma, p, np.linalg.inv(H)


@pytest.mark.parametrize("distance", [1e-4, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("cov_type", ["HC0", "HC3", "cluster"])
def test_sandwiches_of_two_classes(distance, cov_type):
    X, y, w, groups = problem(distance)
    Q, T = orthogonal(np.column_stack([X, np.ones(N)]))
    gamma, p, V = binary(Q, y, w)
    scores = Q * (w * (y - p))[:, None]
    if cov_type == "HC3":
        hat = w * p * (1 - p) * np.einsum("ij,jk,ik->i", Q, V, Q)
        scores /= (1 - hat)[:, None]
    if cov_type == "cluster":
        scores = np.stack([scores[groups == g].sum(axis=0) for g in range(20)]) * np.sqrt(
            20 / 19 * (N - 1) / (N - 5)
        )
    W = V @ scores.T @ scores @ V
    std_errors = np.sqrt((T @ W @ T.T).diagonal().astype(float))

    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, y, w)
    of_clusters = {"groups": groups} if cov_type == "cluster" else {}
    results = clf.infer(X, y, w, cov_type=cov_type, weights="probability", **of_clusters)
    exact = 1e-14 / distance + 1e-8
    np.testing.assert_allclose(results.std_errors[0], std_errors, rtol=exact)

    # Combinations of coefficients to which the distance does not matter.
    b = (T @ gamma).astype(float)
    for c in (np.eye(5)[0] + np.eye(5)[3], np.eye(5)[1] - np.eye(5)[3]):
        of_Q = (T.T @ c).astype(float)
        table = results.hypotheses(c[None])
        np.testing.assert_allclose(table["std_err"], np.sqrt(of_Q @ W @ of_Q), rtol=10 * exact)

    # Wald's statistic for all slopes; T' is triangular with the intercept last.
    A = np.linalg.qr(T[:4].astype(float).T)[0]
    chi2 = (A.T @ gamma) @ np.linalg.solve(A.T @ W @ A, A.T @ gamma)
    of_slopes = results.linear_test(np.eye(5)[:4])
    found = of_slopes["chi2"] if "chi2" in of_slopes else of_slopes["F"] * 4
    np.testing.assert_allclose(found, chi2, rtol=10 * exact)

    # Log-odds, and mean probabilities after a change of X along a direction of the data.
    ends = np.asarray(results.predict_proba_interval(X, conf_level=0.6826894921370859))[:, 4:6]
    log_odds = np.log(ends / (1 - ends))
    errors = np.sqrt(np.einsum("ij,jk,ik->i", Q, W, Q))
    np.testing.assert_allclose((log_odds[:, 1] - log_odds[:, 0]) / 2, errors, rtol=10 * exact)
    average = results.average_predictions()
    J = (w * p * (1 - p)) @ Q / w.sum()
    np.testing.assert_allclose(average["std_err"], np.sqrt(J @ W @ J), rtol=10 * exact)

    # Average marginal effects: those of x2 do not depend on the distance, and the others do.
    curvature = (w * p * (1 - p)).sum() / w.sum()
    change = (w * p * (1 - p) * (1 - 2 * p)) @ Q / w.sum()
    slopes = (T[:4] * curvature + np.outer(b[:4], change)).astype(float)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", slopes, W, slopes))
    effects = results.marginal_effects(X, sample_weight=w)["std_err"].to_numpy()[-4:]
    np.testing.assert_allclose(effects, expected, rtol=10 * exact)


KINDS = {
    "nonrobust": {},
    "HC1": {},
    "HC2": {},
    "CV2": {"groups": True},
    "CV3": {"groups": True},
    "CV3L": {"groups": True},
    "survey": {"design": True},
    "replicates": {"design": True},
}


@pytest.mark.parametrize("distance", [1e-5, 1e-6])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_other_covariances_are_those_of_orthogonal_columns(distance, n_classes, kind, container):
    X, y, w, groups = problem(distance, n_classes)
    Q, T = orthogonal(np.column_stack([X, np.ones(N)]))
    options = {"cov_type": kind} if "design" not in KINDS[kind] else {}
    if "groups" in KINDS[kind]:
        options["groups"] = groups
    if "design" in KINDS[kind]:
        options["design"] = SurveyDesign(psu=groups, weights=w)
    if kind == "replicates":
        options["design"] = options["design"].with_replicates("JK1")
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(container(X), y, w)
    found = clf.infer(container(X), y, w, **options)
    of_Q = MaxentClassifier(C=np.inf, tol=1e-10, fit_intercept=False).fit(Q, y, w)
    expected = of_Q.infer(Q, y, w, **options)
    B = np.kron(np.eye(n_classes - 1), T)
    errors = np.sqrt((B @ expected.covariance @ B.T).diagonal()).astype(float)
    np.testing.assert_allclose(found.std_errors.ravel(), errors, rtol=1e-7)
    A = np.eye(len(B))[:4]
    free = np.linalg.qr((A @ B).astype(float).T)[0].T
    tests = [r.linear_test(R).to_numpy()[0] for r, R in ((found, A), (expected, free))]
    np.testing.assert_allclose(*tests, rtol=1e-6)
    intervals = [r.predict_proba_interval(D) for r, D in ((found, X), (expected, Q))]
    np.testing.assert_allclose(*intervals, atol=1e-7)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC2", "HC3"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("distance", [1e-4, 1e-6])
def test_the_last_of_the_collinear_columns_may_weigh_little(cov_type, fit_intercept, distance):
    # Beside the columns before it, the last column has a distance of 1000 times that of the first.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3)) * [1.0, 1.0, 30.0] + [2.0, 0.0, 1.0]
    first = X[:, 0] + 1e-3 * X[:, 2] + distance * rng.normal(size=N)
    X = np.column_stack([first, X])
    y = (X[:, 1] - 2.0 + rng.logistic(size=N) > 0).astype(int)
    Q, T = orthogonal(np.column_stack([X, np.ones(N)]) if fit_intercept else X)
    clf = MaxentClassifier(C=np.inf, tol=1e-9, fit_intercept=fit_intercept).fit(X, y)
    of_Q = MaxentClassifier(C=np.inf, tol=1e-10, fit_intercept=False).fit(Q, y)
    found, expected = clf.infer(X, y, cov_type=cov_type), of_Q.infer(Q, y, cov_type=cov_type)
    errors = np.sqrt((T @ expected.covariance @ T.T).diagonal()).astype(float)
    np.testing.assert_allclose(found.std_errors[0], errors, rtol=1e-7)
    intervals = [r.predict_proba_interval(D) for r, D in ((found, X), (expected, Q))]
    np.testing.assert_allclose(*intervals, atol=1e-7)


def test_references_pickles_and_simulated_intervals():
    X, y, w, _ = problem(1e-6, 3)
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, y, w)
    results = clf.infer(X, y, w, cov_type="HC0")
    again = pickle.loads(pickle.dumps(results.relative_to(1).relative_to(2)))
    width = X.shape[1] + 1
    c = np.zeros((1, 2 * width))
    c[0, [0, 3]] = 1.0
    tables = [r.hypotheses(c).to_numpy() for r in (results.relative_to(2), again)]
    np.testing.assert_allclose(*tables, rtol=1e-7)
    simulated = results.average_predictions(interval="simulation", random_state=0)
    tables = [table[["lower", "upper"]] for table in (simulated, results.average_predictions())]
    np.testing.assert_allclose(*tables, atol=0.01)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("distance", [1e-3, 1e-4, 1e-5, 3e-6, 1e-6])
def test_float32_is_as_right_as_its_coefficients_or_aliased(n_classes, distance):
    # Coefficients of the size 1/distance are rounded to float32.
    X, y, _, _ = problem(distance, n_classes, seed=1)
    X = X.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf = MaxentClassifier(C=np.inf).fit(X, y)
        results = clf.infer(X, y, cov_type="HC0")
    if distance < 2e-6:
        assert results.aliased == ("x3",)
        return
    Q, T = orthogonal(np.column_stack([X, np.ones(N)]))
    of_Q = MaxentClassifier(C=np.inf, tol=1e-10, fit_intercept=False).fit(Q, y)
    V = of_Q.infer(Q, y, cov_type="HC0").covariance
    B = np.kron(np.eye(n_classes - 1), T)
    errors = np.sqrt((B @ V @ B.T).diagonal()).astype(float)
    np.testing.assert_allclose(results.std_errors.ravel(), errors, rtol=1e-8 / distance + 1e-6)


def test_more_columns_than_are_checked_for_aliasing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 510))
    noise = X[:, 5].copy()
    y = (X[:, 0] + rng.logistic(size=1500) > 0).astype(int)
    X[:, 5] = X[:, 4] + 1e-6 * noise
    results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y, cov_type="HC0")
    # The same model, with the coefficient of `noise` in other units.
    X[:, 5] = noise
    expected = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y, cov_type="HC0")
    np.testing.assert_allclose(
        1e-6 * results.std_errors[0, 5], expected.std_errors[0, 5], rtol=1e-6
    )
    X[:, 5] = X[:, 4]
    with pytest.raises(ValueError, match="have no covariance"):
        MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)


def wide_inverse(H):
    """The inverse of a positive definite matrix by Gauss and Jordan, in extended precision."""
    size = np.sqrt(H.diagonal())
    A = np.column_stack([H / np.outer(size, size), np.eye(len(H), dtype=WIDE)])
    for j in range(len(H)):
        A[j] /= A[j, j]
        others = np.arange(len(H)) != j
        A[others] -= np.outer(A[others, j], A[j])
    return A[:, len(H) :] / np.outer(size, size)


@pytest.mark.parametrize("seed", [0, 1, 2, 42])
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_columns_that_an_outlier_makes_collinear(seed, cov_type):
    # The outlier is nearly certain of its class. Under the curvature of the rows, the columns are
    # far less collinear than over the rows themselves.
    rng = np.random.default_rng(seed)
    X = (rng.random((80, 8)) < 0.3).astype(float)
    X[40] = [0.0, 0.0, 1e6, 0.0, 0.0, 1e6, 0.0, 0.0]
    y = rng.integers(0, 3, 80)
    clf = MaxentClassifier(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y)
    D = np.column_stack([X, np.ones(80)]).astype(WIDE)
    Z = D[:, :-1] @ clf.coef_.T.astype(WIDE) + clf.intercept_.astype(WIDE)
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    curvature = np.stack([[P[:, k] * ((k == m) - P[:, m]) for m in (1, 2)] for k in (1, 2)])
    H = np.einsum("kmi,ij,il->kjml", curvature, D, D).reshape(18, 18)
    W = wide_inverse(H)
    if cov_type == "HC0":
        miss = np.eye(3)[y] - P
        miss[:, y[40]][40] = P[40, np.arange(3) != y[40]].sum()
        scores = np.einsum("ik,ij->ikj", miss[:, 1:], D).reshape(80, 18) @ W
        W = scores.T @ scores
    errors = clf.infer(X, y, cov_type=cov_type).std_errors.ravel()
    np.testing.assert_allclose(errors, np.sqrt(W.diagonal()).astype(float), rtol=1e-5)


@pytest.mark.parametrize("distance", [1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("has_constant", [False, True])
def test_bias_reduction_does_not_depend_on_the_coordinates(distance, n_classes, has_constant):
    """Jeffreys' prior is invariant: combinations of columns have the same maximum.

    Columns at a relative distance of 1e-6 counted as linear combinations of each other.
    """
    rng = np.random.default_rng(n_classes)
    x, z = rng.normal(size=(2, 60))
    y = rng.integers(n_classes, size=60)
    near, apart = np.column_stack([x, x + distance * z]), np.column_stack([x, z])
    model = MaxentClassifier(C=np.inf, bias_reduction="jeffreys", tol=1e-6)
    expected = clone(model).fit(apart, y)
    truth = expected.infer(apart, y)
    given = np.column_stack([near, np.ones(60)]) if has_constant else near
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clone(model).fit(given, y)
    np.testing.assert_allclose(
        found.predict_log_proba(given), expected.predict_log_proba(apart), atol=1e-6
    )
    if not has_constant:
        results = found.infer(near, y)
        for name in ("coef", "std_errors"):
            ours, theirs = getattr(results, name), getattr(truth, name)
            np.testing.assert_allclose(
                np.asarray(ours)[..., 1] * distance, np.asarray(theirs)[..., 1], rtol=1e-4
            )
        statistics = [one.likelihood_ratio_test().iloc[1, 0] for one in (results, truth)]
        np.testing.assert_allclose(*statistics, rtol=1e-6)
