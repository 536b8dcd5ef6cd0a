"""Cross-validation where weights leave a fold without a class, or without any row to score."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier, MaxentClassifierCV

RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 4))
Y = (X @ RNG.normal(size=(4, 3)) + RNG.gumbel(size=(90, 3))).argmax(axis=1)
ROWS = np.arange(90)
FOLDS = [(ROWS[:60], ROWS[60:]), (ROWS[30:], ROWS[:30])]
CS = [0.1, 1.0]


def scores_by_hand(weights, lacking=()):
    """The weighted mean log-likelihood of the test rows of each fold whose class was seen."""
    scores = []
    for train, test in FOLDS:
        counted = test[~np.isin(Y[test], lacking) | ~np.isin(2, lacking)]
        if train[0] > 0:
            counted = test
        fits = [MaxentClassifier(C=C, tol=1e-8).fit(X[train], Y[train], weights[train]) for C in CS]
        log_p = [fit.predict_log_proba(X[counted]) for fit in fits]
        of_class = [p[np.arange(len(counted)), Y[counted]] for p in log_p]
        scores.append([np.average(values, weights=weights[counted]) for values in of_class])
    return np.array(scores)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_a_class_without_weight_in_the_training_rows(scoring):
    weights = np.where((ROWS < 60) & (Y == 2), 0.0, 1.0 + ROWS % 3)
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS, scoring=scoring, tol=1e-8)
    with pytest.warns(UserWarning, match=r"fold 0 has no rows of \[2\]"):
        clf.fit(X, Y, sample_weight=weights)
    np.testing.assert_allclose(clf.scores_[:, 0], scores_by_hand(weights, lacking=[2]), rtol=1e-6)


def test_a_class_without_weight_by_class_weight():
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS, class_weight={2: 0.0}, tol=1e-8).fit(X, Y)
    kept = Y < 2
    pairs = [(train[kept[train]], test[kept[test]]) for train, test in FOLDS]
    expected = []
    for train, test in pairs:
        weights = np.where(kept, 1.0, 0.0)
        whole = np.union1d(train, np.flatnonzero(~kept)[:1])  # the class is there, without weight
        fits = [MaxentClassifier(C=C, tol=1e-8).fit(X[whole], Y[whole], weights[whole]) for C in CS]
        log_p = [fit.predict_log_proba(X[test]) for fit in fits]
        expected.append([p[np.arange(len(test)), Y[test]].mean() for p in log_p])
    np.testing.assert_allclose(clf.scores_[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_test_rows_without_weight(scoring):
    weights = np.where(ROWS < 60, 1.0, 0.0)
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS, scoring=scoring)
    with pytest.warns(UserWarning, match="fold 0 has no rows of positive weight"):
        clf.fit(X, Y, sample_weight=weights)
    assert np.isnan(clf.scores_[0]).all()
    assert np.isfinite(clf.scores_[1]).all()
    assert CS[int(clf.scores_[1, 0].argmax())] == clf.C_


def test_means_over_folds_leave_out_a_fold_without_a_score():
    weights = np.where(ROWS < 60, 1.0, 0.0)
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS, refit=False, tol=1e-8)
    with pytest.warns(UserWarning, match="fold 0 has no rows of positive weight"):
        clf.fit(X, Y, sample_weight=weights)
    assert CS[int(clf.scores_[1, 0].argmax())] == pytest.approx(clf.C_)
    scored = MaxentClassifier(C=clf.C_, tol=1e-8).fit(X[30:], Y[30:], weights[30:])
    np.testing.assert_allclose(clf.coef_, scored.coef_, atol=1e-6)


def test_masks_as_splits():
    masks = [(np.isin(ROWS, train), np.isin(ROWS, test)) for train, test in FOLDS]
    found = MaxentClassifierCV(Cs=CS, cv=masks).fit(X, Y).scores_
    expected = MaxentClassifierCV(Cs=CS, cv=FOLDS).fit(X, Y).scores_
    np.testing.assert_allclose(found, expected, rtol=1e-12)
