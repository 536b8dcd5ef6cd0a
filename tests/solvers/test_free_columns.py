"""Certificates of fits in which some columns have no penalty."""

import warnings

import numpy as np
import pytest

from skmaxent import MaxentClassifier


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
