"""Scorers of scikit-learn in `MaxentClassifierCV` know the classes of the fit."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, make_scorer
from sklearn.model_selection import StratifiedKFold, cross_val_score

from skmaxent import MaxentClassifier, MaxentClassifierCV

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
IS_POSITIVE = (X[:, 0] + RNG.logistic(size=80) > 0.5).astype(int)
FOLDS = StratifiedKFold(4)


def fitted(y, scoring, cv=FOLDS):
    return MaxentClassifierCV(Cs=[1.0], cv=cv, scoring=scoring, tol=1e-8).fit(X, y)


@pytest.mark.parametrize("labels", [["no", "yes"], [2, 3]])
@pytest.mark.parametrize("scoring", ["f1", "recall", "neg_brier_score", "average_precision"])
def test_the_second_of_two_labels_is_the_positive_class(labels, scoring):
    """As in `LogisticRegressionCV`: the scores are those of the labels 0 and 1."""
    y, exact = np.array(labels)[IS_POSITIVE], LogisticRegression(tol=1e-10)
    clf, of_numbers = fitted(y, scoring), fitted(IS_POSITIVE, scoring)
    expected = cross_val_score(exact, X, IS_POSITIVE, cv=FOLDS, scoring=scoring)
    np.testing.assert_allclose(clf.scores_[:, 0, 0], expected, rtol=1e-6)
    assert clf.score(X, y) == pytest.approx(of_numbers.score(X, IS_POSITIVE))


@pytest.mark.parametrize(
    ("labels", "scoring"),
    [([1, 2], "f1"), (["no", "yes"], make_scorer(f1_score, pos_label="no"))],
)
def test_a_positive_class_that_the_scorer_knows_stays(labels, scoring):
    y = np.array(labels)[IS_POSITIVE]
    expected = cross_val_score(LogisticRegression(tol=1e-10), X, y, cv=FOLDS, scoring=scoring)
    np.testing.assert_allclose(fitted(y, scoring).scores_[:, 0, 0], expected, rtol=1e-6)


def test_rows_to_score_may_lack_a_class():
    y = np.array(["a", "b", "c"])[RNG.integers(0, 3, 80)]
    test = np.flatnonzero(y != "c")[:20]
    train = np.setdiff1d(np.arange(80), test)
    log_p = MaxentClassifier(tol=1e-8).fit(X[train], y[train]).predict_log_proba(X[test])
    expected = log_p[y[test, None] == ["a", "b", "c"]].mean()
    scoring = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False)
    clf = fitted(y, scoring, cv=[(train, test)])
    np.testing.assert_allclose(clf.scores_, [[[expected]]], rtol=1e-6)


def test_top_k_accuracy_of_rows_that_lack_a_class():
    y = np.array(["a", "b", "c", "d"])[RNG.integers(0, 4, 80)]
    test = np.flatnonzero(y != "b")[:20]
    train = np.setdiff1d(np.arange(80), test)
    P = MaxentClassifier(tol=1e-8).fit(X[train], y[train]).predict_proba(X[test])
    classes = np.array(["a", "b", "c", "d"])
    expected = (classes[np.argsort(P, axis=1)[:, 2:]] == y[test, None]).any(axis=1).mean()
    clf = fitted(y, "top_k_accuracy", cv=[(train, test)])
    np.testing.assert_allclose(clf.scores_, [[[expected]]], rtol=1e-12)
