"""Labels that equal classes without having their type: as keys, in sets, lists and tables."""

import datetime

import numpy as np
import pandas as pd
import pytest

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(2)
X = RNG.normal(size=(120, 3))
CODES = (X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(120, 3))).argmax(axis=1)
DAYS = ["2020-01-01", "2020-01-02", "2021-01-01"]
DATES = np.array(DAYS, "M8[D]")


@pytest.mark.parametrize("key", [np.datetime64, datetime.date.fromisoformat, pd.Timestamp])
@pytest.mark.parametrize("unit", ["D", "ns"])
def test_weights_and_shares_by_dates(key, unit):
    if unit == "ns" and key is not pd.Timestamp:
        key = np.datetime64
    y = DATES.astype(f"M8[{unit}]")[CODES]
    weighted = MaxentClassifier(class_weight={key(DAYS[0]): 9.0}).fit(X, y)
    expected = MaxentClassifier(class_weight={0: 9.0}).fit(X, CODES)
    np.testing.assert_allclose(weighted.coef_, expected.coef_, rtol=1e-9)
    shares = dict(zip(map(key, DAYS), (0.2, 0.3, 0.5), strict=True))
    corrected = MaxentClassifier(prior_correction=shares).fit(X, y)
    expected = MaxentClassifier(prior_correction=[0.2, 0.3, 0.5]).fit(X, CODES)
    np.testing.assert_allclose(corrected.intercept_, expected.intercept_, rtol=1e-9)


def test_sets_of_dates():
    clf = MaxentClassifier(partial_labels=True)
    found = clf.fit(X, [{DATES[code]} for code in CODES]).predict_proba(X)
    expected = clf.fit(X, [{int(code)} for code in CODES]).predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


LARGE = [0, 2**63, 2**63 + 1]


@pytest.mark.parametrize("container", [list, tuple, pd.Series])
def test_integers_that_are_one_number_in_float64(container):
    y = container([LARGE[code] for code in CODES])
    clf = MaxentClassifier().fit(X, y)
    assert clf.classes_.tolist() == LARGE
    codes = MaxentClassifier().fit(X, CODES)
    assert clf.predict(X).tolist() == [LARGE[code] for code in codes.predict(X)]
    assert clf.score(X, y) == codes.score(X, CODES)


def test_large_integers_in_sets_and_nullable_series():
    clf = MaxentClassifier(partial_labels=True).fit(X, [{LARGE[code]} for code in CODES])
    assert clf.classes_.tolist() == LARGE
    y = pd.Series(np.array(LARGE, np.uint64)[CODES], dtype="UInt64")
    clf = MaxentClassifier().fit(X, y)
    assert clf.score(X, y) == MaxentClassifier().fit(X, CODES).score(X, CODES)


def test_sparse_series_of_labels():
    y = pd.Series(pd.arrays.SparseArray(CODES, fill_value=0))
    clf = MaxentClassifier().fit(X, y)
    np.testing.assert_allclose(clf.coef_, MaxentClassifier().fit(X, CODES).coef_, rtol=1e-12)
    assert clf.score(X, y) == clf.score(X, CODES)


def test_columns_that_equal_classes():
    y = (CODES > 0).astype(int)
    offset = RNG.normal(size=(120, 2))
    frame = pd.DataFrame(offset[:, ::-1], columns=[True, False])
    found = MaxentClassifier().fit(X, y, offset=frame)
    expected = MaxentClassifier().fit(X, y, offset=offset[:, 1] - offset[:, 0])
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9)


def test_columns_of_several_levels_are_an_error():
    columns = pd.MultiIndex.from_product([["a"], [1, 2, 3]])
    with pytest.raises(ValueError, match="y has columns of several levels"):
        MaxentClassifier().fit(X, pd.DataFrame(np.eye(3)[CODES] + 1, columns=columns))


@pytest.mark.parametrize("kind", [list, tuple])
def test_rows_of_different_lengths_are_an_error(kind):
    y = [kind([0, 1]) if code else kind([0]) for code in CODES]
    y[0] = kind([0, 1])
    for partial_labels in (True, False):
        with pytest.raises(ValueError, match="y has rows of different lengths"):
            MaxentClassifier(partial_labels=partial_labels).fit(X, y)
