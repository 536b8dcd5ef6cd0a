"""Arguments far beyond usual sizes are used, and give the results of limits."""

import numpy as np
import pytest
from scipy.optimize import minimize

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = (X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(80, 3))).argmax(axis=1)


def test_penalty_factors_above_the_largest_strength_are_those_of_removed_features():
    removed = MaxentClassifier(penalty_factor=[1.0, np.inf, 1.0], tol=1e-9).fit(X, Y)
    for factor in (1e99, 1e101, 1e155, 1e300):
        clf = MaxentClassifier(penalty_factor=[1.0, factor, 1.0], tol=1e-9).fit(X, Y)
        assert np.abs(clf.coef_[:, 1]).max() < 1e-97
        np.testing.assert_allclose(clf.coef_[:, [0, 2]], removed.coef_[:, [0, 2]], atol=1e-8)
        np.testing.assert_allclose(clf.intercept_, removed.intercept_, atol=1e-8)


def test_penalty_factors_above_the_largest_strength_beside_a_prior():
    # The prior is the offset of the models of the other features.
    prior = np.array([[0.0, 0.3, 0.0], [0.0, -0.1, 0.0], [0.0, 0.7, 0.0]])
    kept = [0, 2]
    expected = MaxentClassifier(tol=1e-9).fit(X[:, kept], Y, offset=X @ prior.T)
    for factor in (1e99, 1e155, 1e300):
        clf = MaxentClassifier(penalty_factor=[1.0, factor, 1.0], prior_coef=prior, tol=1e-9)
        clf.fit(X, Y)
        np.testing.assert_allclose(clf.coef_[:, 1], prior[:, 1], rtol=1e-15)
        np.testing.assert_allclose(clf.coef_[:, kept], expected.coef_, atol=1e-8)


@pytest.mark.parametrize("size", [1e5, 1e20, 1e150])
def test_offsets_that_all_classes_share_change_nothing(size):
    plain = MaxentClassifier(tol=1e-9).fit(X, Y)
    for shared in (np.arange(80) == 3, np.ones(80)):
        offset = np.repeat(size * shared[:, None], 3, axis=1)
        clf = MaxentClassifier(tol=1e-9).fit(X, Y, offset=offset)
        np.testing.assert_allclose(clf.coef_, plain.coef_, atol=1e-9)
        P = clf.predict_proba(X, offset=offset)
        np.testing.assert_allclose(P, plain.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [9e3, 2e4, -3e4, 1e15])
def test_decision_function_keeps_offsets_that_all_classes_share(size, dtype):
    # It returned logits without a number that all offsets of a row have in common.
    offset = np.full((80, 3), size) + RNG.normal(size=(80, 3))
    clf = MaxentClassifier().fit(X.astype(dtype), Y, offset=offset)
    expected = X @ clf.coef_.T + clf.intercept_ + offset
    found = clf.decision_function(X.astype(dtype), offset=offset)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype is np.float32 else 1e-14)
    shared = clf.decision_function(X.astype(dtype), offset=offset - size)
    P = np.exp(shared - shared.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    if abs(size) < 1e10:
        np.testing.assert_allclose(clf.predict_proba(X, offset=offset), P, atol=1e-5)


@pytest.mark.parametrize("size", [1e20, 1e150])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_huge_offset_makes_its_row_certain(size, label):
    # The loss of the row is that of its class, or else linear in the coefficients.
    offset = np.zeros((80, 3))
    offset[3, label] = size
    others = np.arange(80) != 3
    ones = np.column_stack([X, np.ones(80)])

    def objective(flat):
        theta = flat.reshape(3, 4)
        Z = (ones @ theta.T)[others]
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        own = np.eye(3)[Y[others]]
        towards = np.eye(3)[label] - np.eye(3)[Y[3]]
        value = -np.log((P * own).sum(axis=1)).sum() + towards @ theta @ ones[3]
        gradient = (P - own).T @ ones[others] + np.outer(towards, ones[3])
        gradient[:, :3] += theta[:, :3]
        return value + 0.5 * np.square(theta[:, :3]).sum(), gradient.ravel()

    found = minimize(objective, np.zeros(12), jac=True, options={"gtol": 1e-10}).x.reshape(3, 4)
    clf = MaxentClassifier(tol=1e-9).fit(X, Y, offset=offset)
    np.testing.assert_allclose(clf.coef_, found[:, :3], atol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("size", [1e20, 1e155, 1e300, -1e300])
@pytest.mark.parametrize("labels", [Y, Y > 0])
def test_prior_coefficients_and_bounds_whose_squares_overflow(size, labels):
    # The gradient of the loss moves such a coefficient by less than its rounding.
    n_logits = 3 if labels is Y else 1
    prior = np.tile([0.0, size, 0.0], (n_logits, 1))
    clf = MaxentClassifier(prior_coef=prior).fit(X, labels)
    np.testing.assert_allclose(clf.coef_[:, 1], size, rtol=1e-15)
    assert np.isfinite(clf.predict_proba(X)).all()
    bounds = ([-np.inf, size, -np.inf], None) if size > 0.0 else (None, [np.inf, size, np.inf])
    clf = MaxentClassifier(bounds=bounds).fit(X, labels)
    np.testing.assert_allclose(clf.coef_[:, 1], size, rtol=1e-15)
    wide = MaxentClassifier(bounds=(-abs(size), abs(size)), tol=1e-9).fit(X, labels)
    plain = MaxentClassifier(tol=1e-9).fit(X, labels)
    np.testing.assert_allclose(wide.coef_, plain.coef_, atol=1e-8)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("bounds", (1e39, None)),
        ("bounds", (None, -1e39)),
    ],
)
def test_coefficients_that_float32_does_not_have_are_refused(argument, value):
    # They were clipped to 3.4e38, which is below the lower bound.
    clf = MaxentClassifier(**{argument: value})
    with pytest.raises(ValueError, match=argument + ".*float32"):
        clf.fit(X.astype(np.float32), Y)
    wide = MaxentClassifier(bounds=(-1e39, 1e39), tol=1e-6).fit(X.astype(np.float32), Y)
    plain = MaxentClassifier(tol=1e-6).fit(X.astype(np.float32), Y)
    np.testing.assert_allclose(wide.coef_, plain.coef_, atol=1e-4)
