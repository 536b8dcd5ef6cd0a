"""Unpenalised fits whose columns differ by little beside their outliers.

The truth is the fit to well conditioned columns with the same span: one column, and its difference
from the other, computed in extended precision.
"""

import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier

LD = np.longdouble


def _problem(seed, exponent, K=2):
    rng = np.random.default_rng(seed)
    x = 100.0 * rng.standard_cauchy(80)
    x[0] = 3e4
    z = rng.normal(size=80)
    X = np.column_stack([x, x + 10.0**exponent * z])
    y = (z[:, None] * np.arange(K) + rng.gumbel(size=(80, K))).argmax(axis=1)
    difference = (X[:, 1].astype(LD) - X[:, 0].astype(LD)).astype(float)
    return X, np.column_stack([x / x.std(), difference / difference.std()]), y


def _mean_loss(X, y, clf):
    Z = X.astype(LD) @ clf.coef_.T.astype(LD) + clf.intercept_.astype(LD)
    Z = np.hstack([np.zeros_like(Z), Z]) if Z.shape[1] == 1 else Z
    Z = Z - Z.max(axis=1, keepdims=True)
    return float((np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(len(y)), y]).mean())


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("exponent", [-7.5, -6.5, -5.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_fit_reaches_the_optimum_that_rounding_of_the_hessian_hides(seed, exponent, K):
    # Newton steps of a hundredth of the length ended at max_iter, about 0.01 standard errors from
    # the optimum as the warning said; it was five standard errors away.
    X, orthogonal, y = _problem(seed, exponent, K)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", ConvergenceWarning)
        clf = MaxentClassifier(C=np.inf).fit(X, y)
    best = MaxentClassifier(C=np.inf, tol=1e-9).fit(orthogonal, y)
    least = _mean_loss(orthogonal, y, best)
    gap = (_mean_loss(X, y, clf) - least) / least
    assert gap < 1e-7
    assert clf.n_iter_.max() < 40
    assert gap <= clf.optimality_gap_ + 1e-12


def test_terms_that_cancel_to_few_digits_are_warned_of():
    # Coefficients of 3e9 for columns of up to 3e4 give logits with errors of 1e-2.
    X, orthogonal, y = _problem(0, -9.5)
    with pytest.warns(UserWarning) as said:
        clf = MaxentClassifier(C=np.inf).fit(X, y)
    texts = [str(one.message) for one in said]
    assert any("Rounding of the coefficients to float64" in text for text in texts), texts
    best = MaxentClassifier(C=np.inf, tol=1e-9).fit(orthogonal, y)
    least = _mean_loss(orthogonal, y, best)
    assert (_mean_loss(X, y, clf) - least) / least <= clf.optimality_gap_


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "trust-ncg"])
@pytest.mark.parametrize("distance", [1e-8, 1e-9, 1e-10])
@pytest.mark.parametrize("seed", range(4))
def test_a_fit_says_no_less_than_the_distance_in_orthogonal_columns(seed, distance, solver):
    # The truth is the length of a Newton step in well conditioned columns with the same span.
    # Rounding hides most of it in the coordinates of L-BFGS: 0.0002 instead of 0.46.
    rng = np.random.default_rng(seed)
    n, K = 100, 3
    x = rng.normal(size=n)
    X = np.column_stack([x, x + distance * rng.normal(size=n), rng.normal(size=n)])
    columns = np.column_stack([x, (X[:, 1] - X[:, 0]) / distance, X[:, 2], np.ones(n)])
    y = (columns @ rng.normal(size=(4, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        clf = MaxentClassifier(C=np.inf, solver=solver, max_iter=40).fit(X, y)
    found = re.search(r"about ([\d.e-]+) standard", " ".join(str(one.message) for one in said))
    stated = clf.tol if found is None else float(found[1])
    Z = X.astype(LD) @ clf.coef_.T.astype(LD) + clf.intercept_
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    residuals = (P - np.eye(K)[y]).astype(float)[:, 1:]
    p = P.astype(float)[:, 1:]
    gradient = (residuals.T @ columns).ravel()
    curvature = p[:, :, None] * np.eye(K - 1) - p[:, :, None] * p[:, None, :]
    hessian = np.einsum("irs,ij,il->rjsl", curvature, columns, columns)
    hessian = hessian.reshape(len(gradient), -1)
    true_distance = np.sqrt(gradient @ np.linalg.solve(hessian, gradient))
    # The message has two digits.
    assert true_distance <= 1.1 * stated
