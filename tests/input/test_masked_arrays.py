"""Masked arrays, whose masked entries are missing values."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = np.arange(60) % 3
ONES = np.ones(60)
COUNTS = RNG.integers(1, 5, (60, 3))


def masked(array):
    mask = np.zeros(array.shape, bool)
    mask.flat[4] = True
    return np.ma.masked_array(array, mask)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("X", {"X": masked(X)}),
        ("y", {"y": masked(Y)}),
        ("y", {"y": masked(COUNTS)}),
        ("sample_weight", {"sample_weight": masked(ONES)}),
        ("offset", {"offset": masked(np.zeros((60, 3)))}),
    ],
)
def test_masked_entries_are_an_error(name, given):
    whole = {"X": X, "y": Y}
    clf = MaxentClassifier().fit(**whole)
    before = clf.coef_.copy()
    with pytest.raises(ValueError, match=f"{name} is a masked array with 1 masked entries"):
        clf.fit(**whole | given)
    np.testing.assert_array_equal(clf.coef_, before)
    if name == "offset":
        return
    with pytest.raises(ValueError, match=f"{name} is a masked array"):
        clf.score(**whole | given)
    with pytest.raises(ValueError, match=f"{name} is a masked array"):
        MaxentClassifierCV(Cs=2).fit(**whole | given)


def test_masked_rows_and_offsets_are_an_error_in_predictions():
    clf = MaxentClassifier().fit(X, Y)
    with pytest.raises(ValueError, match="X is a masked array"):
        clf.predict_proba(masked(X))
    with pytest.raises(ValueError, match="offset is a masked array"):
        clf.predict_proba(X, offset=masked(np.zeros((60, 3))))


def test_masked_indicators_are_an_error():
    labels = (COUNTS > 2).astype(int)
    with pytest.raises(ValueError, match="y is a masked array"):
        MultilabelMaxentClassifier().fit(X, masked(labels))
    with pytest.raises(ValueError, match="y is a masked array"):
        MultilabelMaxentClassifier().fit(X, labels).score(X, masked(labels))


def test_arrays_without_masked_entries_are_arrays():
    found = MaxentClassifier().fit(np.ma.masked_array(X), np.ma.masked_array(Y, mask=Y > 5))
    np.testing.assert_allclose(found.coef_, MaxentClassifier().fit(X, Y).coef_, rtol=1e-12)
