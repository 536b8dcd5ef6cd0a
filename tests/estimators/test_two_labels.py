"""Two labels a row, of which one may not vary, and what scores take as labels."""

import numpy as np
import pandas as pd
import pytest

from skmaxent import MultilabelMaxentClassifier

RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 4))
Y = (X[:, :2] + RNG.normal(size=(90, 2)) > 0).astype(int)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("position", [0, 1])
def test_one_of_two_labels_is_constant(position, value):
    labels = Y.copy()
    labels[:, position] = value
    clf = MultilabelMaxentClassifier(tol=1e-8)
    with pytest.warns(UserWarning, match=rf"Labels \[{position}\] are constant"):
        clf.fit(X, labels)
    both = MultilabelMaxentClassifier(tol=1e-8).fit(X, Y)
    other = 1 - position
    np.testing.assert_allclose(clf.coef_[other], both.coef_[other], rtol=1e-6)
    np.testing.assert_allclose(clf.coef_[position], 0.0)
    np.testing.assert_allclose(clf.predict_proba(X)[:, position], value, atol=1e-12)
    assert (clf.predict(X)[:, position] == value).all()


def test_one_of_two_labels_is_constant_where_rows_have_weight():
    labels = np.column_stack([Y[:, 0], np.arange(90) < 3]).astype(int)
    weights = (np.arange(90) >= 3).astype(float)
    clf = MultilabelMaxentClassifier(tol=1e-8)
    with pytest.warns(UserWarning, match=r"Labels \[1\] are constant"):
        clf.fit(X, labels, sample_weight=weights)
    expected = MultilabelMaxentClassifier(tol=1e-8).fit(X[3:], Y[3:]).coef_[0]
    np.testing.assert_allclose(clf.coef_[0], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["Int64", "boolean"])
def test_scores_of_nullable_frames(dtype):
    frame = pd.DataFrame(Y.astype(bool)).astype(dtype)
    clf = MultilabelMaxentClassifier().fit(X, frame)
    assert clf.score(X, frame) == MultilabelMaxentClassifier().fit(X, Y).score(X, Y)
