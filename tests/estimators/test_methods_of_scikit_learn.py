"""Every method that returns numbers of a fit, against the coefficients of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import expit, log_expit, log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier, coef_frame

RNG = np.random.default_rng(1)
X = pd.DataFrame(RNG.normal(size=(150, 4)), columns=[*"abcd"])
UTILITY = X.to_numpy() @ RNG.normal(size=(4, 3)) + RNG.gumbel(size=(150, 3))
Y = np.array(["u", "v", "w"])[UTILITY.argmax(axis=1)]
LABELS = (UTILITY > 0.6).astype(int)
STORAGES = {
    "frame": lambda frame: frame,
    "sparse": lambda frame: sp.csr_array(frame.to_numpy()),
    "float32": lambda frame: frame.astype(np.float32),
}


def theirs(y):
    return LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)


@pytest.mark.parametrize("labels", ["three", "two", "bool"])
@pytest.mark.parametrize("storage", STORAGES)
def test_classifier(storage, labels):
    y = {"three": Y, "two": np.where(Y == "u", "z", "a"), "bool": Y == "u"}[labels]
    rows, atol = STORAGES[storage](X), 1e-5 if storage == "float32" else 1e-8
    clf, exact = MaxentClassifier(C=0.5, tol=1e-9).fit(rows, y), theirs(y)
    np.testing.assert_array_equal(clf.classes_, exact.classes_)
    same = {"rtol": 1e-5, "atol": atol}
    np.testing.assert_allclose(clf.coef_, exact.coef_, **same)
    np.testing.assert_allclose(clf.intercept_, exact.intercept_, **same)
    np.testing.assert_allclose(clf.decision_function(rows), exact.decision_function(X), **same)
    np.testing.assert_allclose(clf.predict_proba(rows), exact.predict_proba(X), **same)
    np.testing.assert_allclose(clf.predict_log_proba(rows), exact.predict_log_proba(X), **same)
    np.testing.assert_allclose(clf.predict_proba_frame(rows), exact.predict_proba(X), **same)
    np.testing.assert_array_equal(clf.predict(rows), exact.predict(X))
    assert clf.score(rows, y) == exact.score(X, y)
    table = np.vstack([exact.coef_.T, exact.intercept_])
    np.testing.assert_allclose(clf.coef_frame(), table, **same)
    np.testing.assert_allclose(coef_frame(clf), table, **same)
    for changed in (clf.sparsify(), clf.densify()):
        np.testing.assert_allclose(changed.predict_proba(rows), exact.predict_proba(X), **same)
    assert 1 <= clf.n_iter_[0] <= 20
    gap = 1.0 - objective(exact, y) / objective(clf, y)
    assert gap - 1e-14 <= clf.optimality_gap_ < (1e-5 if storage == "float32" else 1e-9)


def objective(model, y):
    """The loss and the ridge of the coefficients of a model, in float64."""
    Z = X.to_numpy() @ model.coef_.T.astype(float) + model.intercept_
    Z = np.column_stack([np.zeros(150), Z]) if Z.shape[1] == 1 else Z
    observed = log_softmax(Z, axis=1)[np.arange(150), np.searchsorted(np.unique(y), y)]
    return np.sum(model.coef_.astype(float) ** 2) - observed.sum()


@pytest.mark.parametrize("storage", STORAGES)
def test_several_labels(storage):
    rows, atol = STORAGES[storage](X), 1e-5 if storage == "float32" else 1e-8
    clf = MultilabelMaxentClassifier(C=0.5, tol=1e-9, allow_empty=True).fit(rows, LABELS)
    fits = [theirs(LABELS[:, k]) for k in range(3)]
    W = np.vstack([fit.coef_ for fit in fits])
    b = np.concatenate([fit.intercept_ for fit in fits])
    Z = X.to_numpy() @ W.T + b
    same = {"rtol": 1e-5, "atol": atol}
    np.testing.assert_allclose(clf.coef_, W, **same)
    np.testing.assert_allclose(clf.intercept_, b, **same)
    np.testing.assert_allclose(clf.decision_function(rows), Z, **same)
    np.testing.assert_allclose(clf.predict_proba(rows), expit(Z), **same)
    np.testing.assert_allclose(clf.predict_log_proba(rows), log_expit(Z), **same)
    np.testing.assert_allclose(clf.predict_proba_frame(rows), expit(Z), **same)
    np.testing.assert_array_equal(clf.predict(rows), Z > 0.0)
    assert clf.score(rows, LABELS) == ((Z > 0.0) == LABELS).all(axis=1).mean()
    np.testing.assert_allclose(clf.coef_frame(), np.vstack([W.T, b]), **same)
    np.testing.assert_allclose(clf.threshold_, 0.5)
    for changed in (clf.sparsify(), clf.densify()):
        np.testing.assert_allclose(changed.predict_proba(rows), expit(Z), **same)
    assert 1 <= np.max(clf.n_iter_) <= 20
    assert np.max(clf.optimality_gap_) < (1e-5 if storage == "float32" else 1e-9)


def test_softmax_over_labels():
    """A row with several labels is as many rows with a share of its weight."""
    has = LABELS.any(axis=1)
    rows, columns = np.nonzero(LABELS)
    weights = 1.0 / LABELS.sum(axis=1)[rows]
    exact = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(X.iloc[rows], columns, weights)
    clf = MultilabelMaxentClassifier(link="softmax", threshold=0.3, tol=1e-9).fit(X, LABELS)
    assert has.sum() < len(X)
    np.testing.assert_allclose(clf.coef_, exact.coef_, atol=1e-4)
    L = log_softmax(clf.decision_function(X), axis=1)
    np.testing.assert_allclose(L, exact.predict_log_proba(X), atol=1e-4)
    np.testing.assert_allclose(clf.predict_log_proba(X), L)


def test_thresholds_are_those_with_the_best_f1_of_held_out_rows():
    folds = KFold(3)
    clf = MultilabelMaxentClassifier(C=0.5, threshold="f1_macro", cv=folds, allow_empty=True)
    clf.fit(X, LABELS)
    for k in range(3):
        P = np.empty(150)
        for train, test in folds.split(X):
            fit = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000)
            P[test] = fit.fit(X.iloc[train], LABELS[train, k]).predict_proba(X.iloc[test])[:, 1]
        best = max(f1_score(LABELS[:, k], t < P) for t in (0.0, *np.sort(P)[:-1]))
        found = f1_score(LABELS[:, k], clf.threshold_[k] < P)
        assert found == pytest.approx(best, abs=0.01)
