"""Unpenalised fits whose columns differ by little beside their outliers.

The truth is the fit to well conditioned columns with the same span: one column, and its difference
from the other, computed in extended precision.
"""

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
@pytest.mark.parametrize("exponent", [-6.5, -5.75, -5.0])
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
    # Coefficients of 1e13 for columns that differ by 1e-13 give logits with errors of 1e-3.
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 80))
    X, y = np.column_stack([x, x + 1e-13 * z]), (z + rng.normal(size=80) > 0.0).astype(int)
    clf = MaxentClassifier(C=1e40, warm_start=True, max_iter=0)
    clf.coef_, clf.intercept_, clf.classes_ = np.array([[-1e13, 1e13]]), np.zeros(1), np.arange(2)
    with pytest.warns(ConvergenceWarning) as said:
        clf.fit(X, y)
    texts = [str(one.message) for one in said]
    assert any("Rounding of the coefficients to float64" in text for text in texts), texts
    assert np.abs(clf.coef_).min() > 9e12
