"""Sets of labels with columns and offsets of extreme sizes."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp

from skmaxent import MaxentClassifier


def sets():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X @ rng.normal(size=(3, 3)) + rng.gumbel(size=(60, 3))).argmax(axis=1)
    possible = np.eye(3, dtype=int)[y]
    possible[rng.random(60) < 0.4, 0] = 1
    possible[rng.random(60) < 0.2, 1] = 1
    return X, possible, rng


@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e10, 1e300, np.array([1e150, 1.0, 1e-150])])
def test_units_of_columns_do_not_change_an_unpenalised_fit(scale):
    X, possible, _ = sets()
    one = MaxentClassifier(C=np.inf, partial_labels=True, tol=1e-6).fit(X, possible)
    other = MaxentClassifier(C=np.inf, partial_labels=True, tol=1e-6).fit(X * scale, possible)
    np.testing.assert_allclose(other.coef_ * scale, one.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("size", [3.0, 1e2, 1e4])
def test_large_offsets_end_at_a_stationary_point_or_warn(size, C):
    X, possible, rng = sets()
    offset = rng.uniform(-size, size, (60, 3))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf = MaxentClassifier(C=C, partial_labels=True).fit(X, possible, offset=offset)
    assert np.isfinite(clf.coef_).all()
    assert np.isfinite(clf.intercept_).all()
    if found:
        return
    Z = X @ clf.coef_.T + clf.intercept_ + offset
    P = np.exp(Z - logsumexp(Z, axis=1, keepdims=True))
    within = np.where(possible > 0, Z, -np.inf)
    Q = np.exp(within - logsumexp(within, axis=1, keepdims=True))
    gradient = (P - Q).T @ X + clf.coef_ / C
    np.testing.assert_allclose(gradient, 0.0, atol=1e-2)
