"""Standard errors beside an outlier whose class is certain: those of the other rows."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier


def _rows(n_classes, factor, d=3):
    """Rows of a model, the first of them far out, where its class is certain."""
    rng = np.random.default_rng(n_classes)
    X = rng.normal(size=(200, d))
    W = rng.normal(size=(n_classes, d)) * 0.7
    y = (X @ W.T + rng.gumbel(size=(200, n_classes))).argmax(axis=1)
    X[0] *= factor
    y[0] = (W @ X[0]).argmax()
    return X, y


def _information_and_scores(model, X, y, K):
    P = model.predict_proba(X)
    X = np.column_stack([X, np.ones(len(X))])
    d = X.shape[1]
    curvature = np.einsum("ik,kl->ikl", P, np.eye(K)) - np.einsum("ik,il->ikl", P, P)
    H = np.einsum("ikl,ij,im->kjlm", curvature[:, 1:, 1:], X, X).reshape((K - 1) * d, -1)
    scores = ((np.eye(K)[y] - P)[:, 1:, None] * X[:, None]).reshape(len(X), -1)
    return H, scores


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("factor", [1e4, 1e6])
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_an_outlier_whose_class_is_certain_adds_nothing(n_classes, factor, cov_type):
    X, y = _rows(n_classes, factor)
    model = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
    P = model.predict_proba(X[:1])[0]
    assert P.max() == 1.0
    H, scores = _information_and_scores(model, X[1:], y[1:], n_classes)
    V = np.linalg.inv(H)
    if cov_type == "HC0":
        V = V @ (scores.T @ scores) @ V
    results = model.infer(X, y, cov_type=cov_type)
    np.testing.assert_allclose(results.std_errors.ravel(), np.sqrt(V.diagonal()), rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_ridge_beside_an_outlier(n_classes, fit_intercept):
    X, y = _rows(n_classes, 1e7)
    C = 5.0
    model = MaxentClassifier(C=C, fit_intercept=fit_intercept).fit(X, y)
    H, _ = _information_and_scores(model, X[1:], y[1:], n_classes)
    # The ridge of all classes' coefficients, in those against the first class, with the sum zero.
    r = n_classes - 1
    ridge = np.eye(r) - (np.full((r, r), 1.0 / n_classes) if n_classes > 2 else 0.0)
    H += np.kron(ridge, np.diag([1.0 / C] * 3 + [0.0]))
    if not fit_intercept:
        kept = np.arange(len(H)) % 4 < 3
        H = H[np.ix_(kept, kept)]
    expected = np.sqrt(np.linalg.inv(H).diagonal())
    results = model.infer(X, y)
    np.testing.assert_allclose(results.std_errors.ravel(), expected, rtol=1e-6)


def test_scores_of_an_outlier_that_is_nearly_certain():
    # p - 1 = -5e-9 has eight digits in double precision, and the outlier takes seven of them.
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(100, 2)), np.arange(100) % 3
    X[0] = [1e7, 0.0]
    y[0] = 1
    model = MaxentClassifier(C=np.inf).fit(X, y)
    results = model.infer(X, y, cov_type="HC0")
    H, scores = _precise(model, X, y)
    V = np.linalg.inv(H)
    expected = np.sqrt((V @ (scores.T @ scores) @ V).diagonal())
    np.testing.assert_allclose(results.std_errors.ravel(), expected, rtol=1e-5)


def _precise(model, X, y):
    """The information and the scores, with 1 - p as the sum of the other probabilities."""
    Z = X @ model.coef_.T + model.intercept_
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    others = P @ (1.0 - np.eye(3))
    X = np.column_stack([X, np.ones(len(X))])
    curvature = -np.einsum("ik,il->ikl", P, P)
    curvature[:, range(3), range(3)] = P * others
    H = np.einsum("ikl,ij,im->kjlm", curvature[:, 1:, 1:], X, X).reshape(6, 6)
    residual = np.where(np.eye(3)[y] == 1, others, -P)
    return H, (residual[:, 1:, None] * X[:, None]).reshape(len(X), -1)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
@pytest.mark.parametrize("seed", range(5))
def test_standard_errors_have_all_digits_beside_an_outlier_that_is_nearly_sure(
    n_classes, cov_type, seed
):
    """The other rows are far from the mean of the column, and nearly equal in its units.

    The expected values come from centred columns in extended precision.
    """
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=80), rng.integers(n_classes, size=80)
    x[7], y[7] = -1e4, n_classes - 1
    model = MaxentClassifier(C=np.inf, tol=1e-10).fit(x[:, None], y)
    errors = model.infer(x[:, None], y, cov_type=cov_type).std_errors
    wide = x.astype(np.longdouble)
    Z = wide[:, None] * model.coef_[:, 0].astype(np.longdouble) + model.intercept_
    Z = np.column_stack([np.zeros(80), Z]) if n_classes == 2 else Z
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    others = np.array([np.delete(P, k, axis=1).sum(axis=1) for k in range(n_classes)]).T
    r = n_classes - 1
    center = (others[:, 1] * P[:, 1]) @ wide / (others[:, 1] * P[:, 1]).sum()
    D = np.column_stack([wide - center, np.ones(80)])
    H = np.zeros((r, 2, r, 2), np.longdouble)
    for k in range(r):
        for m in range(r):
            curvature = P[:, k + 1] * (others[:, k + 1] if k == m else -P[:, m + 1])
            H[k, :, m] = (D * curvature[:, None]).T @ D
    V = wide_inverse(H.reshape(2 * r, 2 * r))
    if cov_type == "HC0":
        miss = np.eye(n_classes)[y] - P
        at = np.arange(80), y
        miss[at] = others[at]
        scores = (miss[:, 1:, None] * D[:, None]).reshape(80, -1) @ V
        V = scores.T @ scores
    expected = np.sqrt(V.diagonal()[::2])
    # A rounding error of a logit changes the curvature of its row relatively.
    room = 3e-14 + 2 * np.finfo(float).eps * float(abs(Z).max())
    np.testing.assert_allclose(errors[:, 0], expected.astype(float), rtol=room)


def wide_inverse(H):
    """The inverse of a positive definite matrix in extended precision, by elimination."""
    n = len(H)
    size = np.sqrt(H.diagonal())
    A = np.column_stack([H / np.outer(size, size), np.eye(n, dtype=np.longdouble)])
    for j in range(n):
        A[j] /= A[j, j]
        others = np.arange(n) != j
        A[others] -= np.outer(A[others, j], A[j])
    return A[:, n:] / np.outer(size, size)
