"""The y and the weights of `score` are read as those of `fit`."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skmaxent import (
    ClassCalibrationDisplay,
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    expected_calibration_error,
)

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 3))
Y = (X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(60, 3))).argmax(axis=1)
LABELS = (RNG.random((60, 2)) < 0.5).astype(int)
COLUMNS = [Y[:, None], pd.DataFrame({"y": Y}), [[label] for label in Y]]


@pytest.mark.parametrize("column", COLUMNS)
def test_log_score_of_a_column_of_labels(column):
    # A column was broadcast against the rows: the mean was over all pairs of rows and labels.
    clf = MaxentClassifierCV(Cs=3, cv=3).fit(X, Y)
    expected = np.log(clf.predict_proba(X))[np.arange(60), Y].mean()
    assert clf.score(X, column) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("column", COLUMNS)
def test_score_with_partial_labels_of_a_column_of_labels(column):
    clf = MaxentClassifier(partial_labels=True).fit(X, [{label} for label in Y])
    assert clf.score(X, column) == pytest.approx((clf.predict(X) == Y).mean())


@pytest.mark.parametrize("y", [1, [], Y[:, None, None], Y[:7], [{1}] * 60, [None] * 60])
def test_log_score_refuses_other_shapes(y):
    clf = MaxentClassifierCV(Cs=3, cv=3).fit(X, Y)
    with pytest.raises(ValueError, match="y "):
        clf.score(X, y)


@pytest.mark.parametrize("weights", [["a"] * 60, -np.ones(60), np.zeros(60), np.ones(5)])
@pytest.mark.parametrize(
    ("clf", "y"),
    [
        (MaxentClassifier(), Y),
        (MaxentClassifierCV(Cs=2, cv=2), Y),
        (MultilabelMaxentClassifier(threshold=0.5), LABELS),
        (MultilabelMaxentClassifier(), Y),
    ],
)
def test_weights_of_scores_are_checked(clf, y, weights):
    with pytest.raises(ValueError, match=r"sample_weight|Sample weights"):
        clf.fit(X, y).score(X, y, sample_weight=weights)


@pytest.mark.parametrize("n_labels", [1, 2])
def test_score_of_sparse_indicators(n_labels):
    # scikit-learn's accuracy raised a TypeError for a sparse matrix with one column.
    indicator = sp.csr_matrix(LABELS[:, :n_labels])
    clf = MultilabelMaxentClassifier(threshold=0.5).fit(X, indicator)
    weights = RNG.random(60)
    equal = (clf.predict(X).toarray() == LABELS[:, :n_labels]).all(axis=1)
    expected = np.average(equal, weights=weights)
    assert clf.score(X, indicator, sample_weight=weights) == pytest.approx(expected)
    with pytest.raises(ValueError, match="y has the shape"):
        clf.score(X, sp.csr_matrix(np.ones((60, 3))))


@pytest.mark.parametrize("classes", [1, [], [0, 1], [0, 0, 1], [[0], [1], [2]], [None] * 60])
@pytest.mark.parametrize(
    "function", [expected_calibration_error, ClassCalibrationDisplay.from_predictions]
)
def test_classes_of_calibration_are_one_for_each_column(function, classes):
    P = MaxentClassifier().fit(X, Y).predict_proba(X)
    with pytest.raises(ValueError, match="classes must be 3 different labels"):
        function(Y, P, classes=classes)
    with pytest.raises(ValueError, match="y has the shape"):
        function([], P)


def test_differences_of_times_are_labels():
    # NumPy counts them as integers.
    labels = list(Y.astype("m8[s]"))
    clf = MaxentClassifier().fit(X, labels)
    np.testing.assert_allclose(clf.coef_, MaxentClassifier().fit(X, Y).coef_)
    assert clf.classes_.tolist() == np.unique(Y.astype("m8[s]")).tolist()
