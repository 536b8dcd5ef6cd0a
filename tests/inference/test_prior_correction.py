"""Intercepts corrected for how classes were sampled or weighted."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(0)
W = np.array([[0.0, 0.0], [1.0, -0.5], [-0.7, 0.8]])
X = RNG.normal(size=(60_000, 2))
Y = (X @ W.T + [2.0, 0.0, -2.0] + RNG.gumbel(size=(60_000, 3))).argmax(axis=1)
SHARES = np.bincount(Y) / len(Y)


def test_balanced_weights_are_undone():
    plain = MaxentClassifier(C=np.inf).fit(X, Y)
    balanced = MaxentClassifier(C=np.inf, class_weight="balanced").fit(X, Y)
    corrected = MaxentClassifier(
        C=np.inf, class_weight="balanced", prior_correction="empirical"
    ).fit(X, Y)
    np.testing.assert_allclose(corrected.coef_, balanced.coef_)
    np.testing.assert_allclose(corrected.intercept_.sum(), 0.0, atol=1e-12)
    means = [clf.predict_proba(X).mean(axis=0) for clf in (plain, balanced, corrected)]
    np.testing.assert_allclose(means[0], SHARES, atol=1e-6)
    assert np.abs(means[1] - SHARES).max() > 0.1
    np.testing.assert_allclose(means[2], SHARES, atol=3e-3)


@pytest.mark.parametrize("two", [False, True])
def test_sampling_by_class_is_undone_with_known_shares(two):
    labels = (Y == 2).astype(int) if two else Y
    shares = np.bincount(labels) / len(labels)
    rows = np.concatenate([np.flatnonzero(labels == k)[:1500] for k in range(len(shares))])
    names = np.array(["a", "b", "c"])
    known = dict(zip(names.tolist(), shares.tolist(), strict=False))
    clf = MaxentClassifier(C=np.inf, prior_correction=known).fit(X[rows], names[labels[rows]])
    same = MaxentClassifier(C=np.inf, prior_correction=shares).fit(X[rows], labels[rows])
    np.testing.assert_allclose(clf.intercept_, same.intercept_)
    mean = clf.predict_proba(X).mean(axis=0)
    np.testing.assert_allclose(mean, shares, atol=0.02)
    whole = MaxentClassifier(C=np.inf).fit(X, labels)
    np.testing.assert_allclose(clf.intercept_, whole.intercept_, atol=0.25)


def test_inference_and_warm_starts_do_without_the_correction():
    clf = MaxentClassifier(
        C=np.inf, class_weight="balanced", prior_correction="empirical", warm_start=True
    ).fit(X, Y)
    with pytest.warns(UserWarning, match="class_weight multiplies the rows of a class"):
        errors = clf.infer(X, Y).std_errors
    assert np.isfinite(errors).all()
    before = clf.intercept_
    assert clf.fit(X, Y).n_iter_[0] <= 2
    np.testing.assert_allclose(clf.intercept_, before, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0.5, 0.5], r"has the shape \(2,\); expected \(3,\)"),
        ([0.5, 0.5, 0.5], "sum one"),
        ([1.2, -0.1, -0.1], "positive shares"),
        ({0: 0.5, 1: 0.5}, r"missing are \[2\]"),
        ({0: 0.5, 1: 0.3, 2: 0.1, 3: 0.1}, r"unknown are \[3\]"),
    ],
)
def test_what_is_no_share_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        MaxentClassifier(prior_correction=value).fit(X[:300], Y[:300])
    with pytest.raises(ValueError, match="fit_intercept=True"):
        MaxentClassifier(prior_correction="empirical", fit_intercept=False).fit(X[:300], Y[:300])
