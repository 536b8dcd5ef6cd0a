"""Figures of results whose other tests compare two functions of this package, by brute force.

The likelihoods are maximised here by SciPy over the coefficients that a hypothesis leaves free.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import chi2

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(5)
X = pd.DataFrame(RNG.normal(size=(160, 2)) * [1.0, 3.0] + [0.0, 1.0], columns=["a", "b"])
D = np.column_stack([X, np.ones(160)])
Y = (D @ RNG.normal(size=(3, 4)) * 0.4 + RNG.gumbel(size=(160, 4))).argmax(axis=1)
WEIGHTS = RNG.integers(1, 4, 160).astype(float)


def log_likelihood(B):
    """Of coefficients (3, 3), the differences of the last three classes from the first."""
    Z = np.column_stack([np.zeros(160), D @ B.T])
    return float(WEIGHTS @ log_softmax(Z, axis=1)[np.arange(160), Y])


def largest(basis):
    """The largest log-likelihood of coefficients `basis @ free`, for a matrix (9, n_free)."""

    def loss(free):
        Z = np.column_stack([np.zeros(160), D @ (basis @ free).reshape(3, 3).T])
        residual = np.exp(log_softmax(Z, axis=1)) - np.eye(4)[Y]
        gradient = ((residual[:, 1:] * WEIGHTS[:, None]).T @ D).ravel()
        return -log_likelihood((basis @ free).reshape(3, 3)), basis.T @ gradient

    found = minimize(
        loss, np.zeros(basis.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-7}
    )
    return -found.fun


def restricted(equal):
    """A basis of the coefficients (3, 3) for which all linear functions in `equal` are zero."""
    _, values, Vt = np.linalg.svd(np.reshape(equal, (len(equal), 9)))
    return Vt[int((values > 1e-10).sum()) :].T


def unit(k, j):
    E = np.zeros((3, 3))
    if k > 0:  # class 0 is the reference
        E[k - 1, j] = 1.0
    return E


@pytest.fixture(scope="module")
def results():
    return MaxentClassifier(C=np.inf, tol=1e-9).fit(X, Y, WEIGHTS).infer(X, Y, WEIGHTS)


def check(table, hypotheses):
    """Compare a table of likelihood-ratio tests with the largest likelihoods."""
    whole = largest(np.eye(9))
    assert len(table) == len(hypotheses)
    for (_, row), equal in zip(table.iterrows(), hypotheses, strict=True):
        expected = 2 * (whole - largest(restricted(equal)))
        assert row["chi2"] == pytest.approx(expected, abs=1e-5)
        assert row["df"] == len(equal)
        assert row["p_value"] == pytest.approx(chi2.sf(expected, len(equal)), rel=1e-4)


def wald(results, equal):
    A = np.reshape(equal, (len(equal), 9))
    x = A @ np.ravel(results.coef)
    return float(x @ np.linalg.solve(A @ np.asarray(results.cov_params()) @ A.T, x))


def test_equal_coefficients_of_the_outcomes(results):
    hypotheses = [[unit(1, j) - unit(2, j), unit(2, j) - unit(3, j)] for j in (0, 1, 2)]
    check(results.equality_test(test="lr"), hypotheses)
    expected = [wald(results, equal) for equal in hypotheses]
    np.testing.assert_allclose(results.equality_test()["chi2"], expected, rtol=1e-8)


def test_outcomes_that_can_be_combined(results):
    table = results.combine_test(test="lr")
    pairs = list(itertools.combinations(range(4), 2))
    by_pair = {tuple(sorted(map(int, np.ravel(name)))): row for name, row in table.iterrows()}
    hypotheses = [[unit(k, j) - unit(m, j) for j in (0, 1)] for k, m in pairs]
    check(pd.DataFrame([by_pair[pair] for pair in pairs]), hypotheses)
    found = {
        tuple(sorted(map(int, np.ravel(n)))): row for n, row in results.combine_test().iterrows()
    }
    expected = [wald(results, equal) for equal in hypotheses]
    np.testing.assert_allclose([found[pair]["chi2"] for pair in pairs], expected, rtol=1e-8)


@pytest.mark.parametrize("C", [0.03, 1.0, np.inf])
def test_effective_degrees_of_freedom(C):
    """They are the trace of I (I + P)⁻¹ for the information I and the Hessian P of the ridge.

    Here in the coordinates of all four classes, whose coefficients sum to zero over the classes.
    """
    clf = MaxentClassifier(C=C, tol=1e-9).fit(X, Y, WEIGHTS)
    results = clf.infer(X, Y, WEIGHTS)
    P = np.exp(log_softmax(D @ np.column_stack([clf.coef_, clf.intercept_]).T, axis=1))
    curvature = np.einsum("ik,km->ikm", P, np.eye(4)) - np.einsum("ik,im->ikm", P, P)
    information = np.einsum("i,ikm,ij,il->kjml", WEIGHTS, curvature, D, D).reshape(12, 12)
    ridge = np.kron(np.eye(4), np.diag([1 / C, 1 / C, 0.0]))
    expected = np.trace(np.linalg.pinv(information + ridge, rcond=1e-10) @ information)
    assert results.effective_df == pytest.approx(expected, rel=1e-6)
    at = log_softmax(D @ np.column_stack([clf.coef_, clf.intercept_]).T, axis=1)
    value = float(WEIGHTS @ at[np.arange(160), Y])
    assert results.effective_aic == pytest.approx(-2 * value + 2 * expected, rel=1e-7)


def test_sparse_coefficients_and_dense_ones_again_predict_alike():
    clf = MaxentClassifier(C=0.05, l1_ratio=1.0).fit(X, Y, WEIGHTS)
    coef, expected = clf.coef_, clf.predict_proba(X)
    np.testing.assert_array_equal(clf.sparsify().coef_.toarray(), coef)
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-12)
    np.testing.assert_array_equal(clf.densify().coef_, coef)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
