"""Sets of labels with columns and offsets of extreme sizes."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier


def sets(seed=0):
    rng = np.random.default_rng(seed)
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
    residual = residuals(clf, X, possible, offset)
    np.testing.assert_allclose(residual.T @ X + clf.coef_ / C, 0.0, atol=1e-2)


def residuals(clf, X, possible, offset=0.0):
    """The probabilities less those given the sets, (rows, classes)."""
    Z = X @ clf.coef_.T + clf.intercept_ + offset
    within = np.where(possible > 0, Z, -np.inf)
    P, Q = (np.exp(A - logsumexp(A, axis=1, keepdims=True)) for A in (Z, within))
    return P - Q


# Without a penalty the likelihood of seed 1 rises for ever, by 1.4e-11 nats in all. Rounding
# decides whether a fit sees that.
@pytest.mark.filterwarnings("ignore:Some rows are separated:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("C", [10.0, np.inf])
@pytest.mark.parametrize("seed", range(4))
def test_a_row_far_out_leaves_the_optimum_of_the_others(seed, C):
    X, possible, _ = sets(seed)
    X[0] *= 1e9
    clf = MaxentClassifier(C=C, partial_labels=True).fit(X, possible)
    residual = residuals(clf, X, possible)
    assert not residual[0].any()
    gradient = residual[1:].T @ X[1:] + clf.coef_ / C
    np.testing.assert_allclose(gradient, 0.0, atol=1e-2)


def test_the_gap_stays_unknown_after_rounding_to_float32():
    rng = np.random.default_rng(0)
    z, e = rng.normal(size=(2, 200))
    X = np.column_stack([9000.0 + 3000.0 * z, 9000.0 + 3000.0 * z + 0.1 * e]).astype(np.float32)
    codes = (e[:, None] * [2.0, 0.0, -2.0] + rng.gumbel(size=(200, 3))).argmax(axis=1)
    sets = np.eye(3, dtype=bool)[codes] | (rng.random((200, 3)) < 0.2)
    clf = MaxentClassifier(C=np.inf, partial_labels=True)
    with pytest.warns(ConvergenceWarning, match="Rounding of the coefficients to float32"):
        clf.fit(X, sets)
    assert np.isnan(clf.optimality_gap_)
