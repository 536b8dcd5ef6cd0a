"""Classes without weight, coefficients that are removed, and models as priors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, MaxentClassifierCV, maxent_path


def absent_class(dtype=np.float64):
    rng = np.random.default_rng(0)
    X = (np.abs(rng.normal(size=(120, 3))) * 100).astype(dtype)
    y = rng.integers(0, 3, 120)
    y[:10] = 3
    return X, y, (y < 3) * 1.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"bounds": (None, -0.5)}, {"l1_ratio": 1.0}, {"C": np.inf, "bounds": (None, -0.5)}],
)
def test_a_class_without_weight_has_no_probability(parameters, dtype):
    X, y, weights = absent_class(dtype)
    clf = MaxentClassifier(**parameters).fit(X, y, weights)
    assert np.isfinite(clf.coef_).all()
    assert np.isfinite(clf.intercept_).all()
    top = np.finfo(dtype).max
    for rows in (X, -X, 1e6 * X, -1e6 * X, np.full((1, 3), 1e30, dtype), np.full((1, 3), top)):
        P = clf.predict_proba(rows)
        np.testing.assert_array_equal(P[:, 3], 0.0)
        np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=1e-6)
        assert (clf.predict(rows) != 3).all()
        assert np.isfinite(clf.predict_log_proba(rows)).all()
        assert (clf.decision_function(rows).argmax(axis=1) != 3).all()


def test_a_class_without_weight_leaves_the_others_as_they_are():
    X, y, weights = absent_class()
    clf = MaxentClassifier(tol=1e-8).fit(X, y, weights)
    other = MaxentClassifier(tol=1e-8).fit(X[y < 3], y[y < 3])
    np.testing.assert_allclose(clf.predict_proba(X)[:, :3], other.predict_proba(X), atol=1e-8)


def test_a_path_with_a_class_without_weight():
    X, y, weights = absent_class()
    path = maxent_path(
        X, y, Cs=[0.01, 1.0], l1_ratio=0.0, sample_weight=weights, bounds=(None, -0.5)
    )
    for coef, intercept in zip(path.coefs, path.intercepts, strict=True):
        logits = 1e6 * X @ coef.T + intercept
        assert (logits.argmax(axis=1) != 3).all()


def test_means_over_folds_without_a_class():
    """The mean is over the folds that have seen the class."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    y[:6] = 2
    folds = [(np.arange(6, 60), np.arange(6)), (np.arange(50), np.arange(50, 60))]
    with pytest.warns(UserWarning, match="has no rows of"):
        clf = MaxentClassifierCV(Cs=[1.0], cv=folds, refit=False).fit(X, y)
    second = MaxentClassifier(C=1.0).fit(X[:50], y[:50])
    np.testing.assert_allclose(clf.coef_[2], second.coef_[2], atol=1e-4)
    np.testing.assert_allclose(clf.intercept_[2], second.intercept_[2], atol=1e-4)


def test_bounds_that_exclude_zero_for_a_removed_coefficient():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["age", "income"])
    y = rng.integers(0, 3, 60)
    wrong = {"penalty_factor": {"age": np.inf}, "bounds": {"age": (0.1, 1.0)}}
    with pytest.raises(ValueError, match=r"'age'.*bounds exclude 0"):
        MaxentClassifier(**wrong).fit(X, y)
    with pytest.raises(ValueError, match=r"'age'.*bounds exclude 0"):
        maxent_path(X, y, Cs=[1.0], **wrong)
    factors = np.ones((3, 2))
    factors[1, 0] = np.inf
    with pytest.raises(ValueError, match="class 1"):
        MaxentClassifier(penalty_factor=factors, bounds=(None, -0.1)).fit(X, y)
    right = MaxentClassifier(penalty_factor={"age": np.inf}, bounds={"age": (-0.1, 1.0)}).fit(X, y)
    np.testing.assert_array_equal(right.coef_[:, 0], 0.0)


def test_a_prior_for_a_removed_coefficient():
    """An infinite factor would keep the coefficient at its prior, but it means zero."""
    X, y = prior_data()
    prior = np.zeros((3, 2))
    prior[1, 0] = 0.3
    with pytest.raises(ValueError, match=r"'x0' and class 1.*prior_coef is 0.3 there"):
        MaxentClassifier(penalty_factor=[np.inf, 1.0], prior_coef=prior).fit(X, y)
    kept = MaxentClassifier(penalty_factor=[1.0, np.inf], prior_coef=prior).fit(X, y)
    np.testing.assert_array_equal(kept.coef_[:, 1], 0.0)
    # Equal bounds fix a coefficient, as a very large factor does.
    bounds = [[0.1, -9.0], [0.3, -9.0], [0.0, -9.0]], [[0.1, 9.0], [0.3, 9.0], [0.0, 9.0]]
    prior[0, 0] = 0.1
    fixed = MaxentClassifier(bounds=bounds, tol=1e-8).fit(X, y)
    heavy = MaxentClassifier(penalty_factor=[1e9, 1.0], prior_coef=prior, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(fixed.coef_, heavy.coef_, atol=1e-6)


def prior_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    return X, (X @ rng.normal(size=(2, 3)) + rng.gumbel(size=(90, 3))).argmax(axis=1)


def test_a_model_as_prior_survives_clones():
    X, y = prior_data()
    prior = MaxentClassifier(C=np.inf).fit(X, y)
    clf = MaxentClassifier(C=0.1, prior_coef=prior)
    by_array = MaxentClassifier(C=0.1, prior_coef=prior.coef_)
    once, twice = clone(clf), clone(clone(clf))
    assert not hasattr(once, "coef_")
    assert once.prior_coef is not prior
    for copy in (once, twice):
        np.testing.assert_array_equal(copy.fit(X, y).coef_, by_array.fit(X, y).coef_)
    np.testing.assert_array_equal(
        cross_val_predict(clf, X, y, method="predict_proba"),
        cross_val_predict(by_array, X, y, method="predict_proba"),
    )
    search = GridSearchCV(make_pipeline(StandardScaler(), clf), {"maxentclassifier__C": [0.1, 1]})
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()
    cv = clone(MaxentClassifierCV(Cs=[0.1], prior_coef=prior)).fit(X, y)
    np.testing.assert_allclose(cv.coef_, clf.fit(X, y).coef_, atol=1e-6)


def test_priors_among_which_a_search_chooses():
    X, y = prior_data()
    prior = MaxentClassifier().fit(X, y)
    search = GridSearchCV(MaxentClassifier(), {"prior_coef": [None, FrozenEstimator(prior)]})
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()
    with pytest.raises(ValueError, match="FrozenEstimator"):
        MaxentClassifier(prior_coef=clone(prior)).fit(X, y)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_bootstrap_with_a_prior(l1_ratio):
    X, y = prior_data()
    target = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    clf = MaxentClassifier(C=1e-6, l1_ratio=l1_ratio, prior_coef=target, random_state=0)
    results = clf.fit(X, y).infer(X, y, method="bootstrap", n_bootstrap=5, reference="symmetric")
    # So strong a pull leaves nothing to the rows.
    assert np.asarray(results.std_errors)[:, :2].max() < 1e-3
