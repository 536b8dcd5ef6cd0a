"""Frames of pandas' own dtypes: labels in a column, indicator matrices, sparse columns."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(90, 3))


@pytest.mark.parametrize("dtype", ["Int64", "UInt64"])
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_a_column_of_integers_that_float64_does_not_tell_apart(X, dtype):
    labels = [2**53, 2**53 + 1, 2**53 + 2]
    codes = np.arange(90) % 3
    y = pd.DataFrame({"label": pd.array([labels[code] for code in codes], dtype=dtype)})
    clf = MaxentClassifier().fit(X, y)
    assert clf.classes_.tolist() == labels
    assert_allclose(clf.coef_, MaxentClassifier().fit(X, codes).coef_)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64", "UInt8"])
def test_indicator_matrices_in_frames_with_room_for_missing_values(X, dtype):
    Y = pd.DataFrame(np.random.default_rng(1).integers(0, 2, (90, 3)), columns=list("abc"))
    expected = MultilabelMaxentClassifier().fit(X, Y)
    clf = MultilabelMaxentClassifier().fit(X, Y.astype(dtype))
    assert_array_equal(clf.coef_, expected.coef_)
    assert clf.classes_.tolist() == ["a", "b", "c"]


def test_a_missing_entry_of_an_indicator_matrix(X):
    Y = pd.DataFrame(np.random.default_rng(1).integers(0, 2, (90, 3)), dtype="Int64")
    Y.iloc[5, 1] = pd.NA
    with pytest.raises(ValueError, match="y holds nan; expected zeros and ones"):
        MultilabelMaxentClassifier().fit(X, Y)


def test_an_indicator_matrix_of_strings_names_their_dtype(X):
    Y = np.where(np.random.default_rng(1).integers(0, 2, (90, 3)), "1", "0")
    with pytest.raises(ValueError, match=r"y holds '.', of the dtype <U1; expected zeros and ones"):
        MultilabelMaxentClassifier().fit(X, Y)


@pytest.mark.parametrize("fill", [1.0, np.nan])
@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
def test_sparse_columns_that_leave_out_another_value_than_zero(X, fill):
    dense = pd.DataFrame({"a": (X[:, 0] > 0.0) * 1.0, "b": X[:, 1]})
    sparse = pd.DataFrame(
        {name: pd.arrays.SparseArray(dense[name], fill_value=fill) for name in dense}
    )
    y = np.arange(90) % 3
    expected = MaxentClassifier().fit(dense, y)
    clf = MaxentClassifier().fit(sparse, y)
    assert_allclose(clf.coef_, expected.coef_)
    assert clf.feature_names_in_.tolist() == ["a", "b"]
    assert_allclose(clf.predict_proba(sparse), expected.predict_proba(dense))


@pytest.mark.parametrize("offset", ["x", 5.0, [["a", "b", "c"]] * 90])
def test_offsets_that_are_no_numbers_of_rows(X, offset):
    with pytest.raises(ValueError, match=r"offset must be numbers of shape \(90, 3\)"):
        MaxentClassifier().fit(X, np.arange(90) % 3, offset=offset)


@pytest.mark.parametrize("test", ["wald_test", "likelihood_ratio_test"])
def test_features_by_position(X, test):
    results = MaxentClassifier(C=np.inf).fit(X, np.arange(90) % 3).infer(X, np.arange(90) % 3)
    with pytest.raises(ValueError, match=r"features must be names.*found \[0\]"):
        getattr(results, test)(features=[0])
