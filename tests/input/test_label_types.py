"""Labels of any integer type and range, and what scikit-learn takes for labels beside these."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier, maxent_path

N = 90


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    return X, (X + rng.gumbel(size=(N, 3))).argmax(axis=1)


INTEGERS = {
    "int8": np.array([-100, 0, 100], np.int8),
    "all of int8": np.array([-128, 0, 127], np.int8),
    "uint8": np.array([0, 200, 255], np.uint8),
    "int16": np.array([-(2**15), 0, 2**15 - 1], np.int16),
    "int32": np.array([-(2**31), 0, 2**31 - 1], np.int32),
    "close at the end of int32": np.array([2**31 - 3, 2**31 - 2, 2**31 - 1], np.int32),
    "all of int64": np.array([-(2**63), 0, 2**63 - 1], np.int64),
    "close at the end of int64": np.array([-(2**63), -(2**63) + 1, -(2**63) + 2], np.int64),
    "uint64": np.array([0, 2**63, 2**64 - 1], np.uint64),
    "close above 2**63": np.array([2**63 + 5, 2**63 + 1, 2**63 + 2], np.uint64),
    "far apart": np.array([0, 5, 2**62], np.int64),
    "big-endian": np.array([-1, 2, 3], ">i8"),
}
OTHERS = {
    "booleans": np.array([False, True, True]),
    "float16": np.array([0.0, 1.0, 2.0], np.float16),
    "floats": np.array([-1.0, 0.0, 5.0]),
    "strings": np.array(["b", "a", "c"]),
    "objects": np.array(["b", "a", "c"], object),
    "dates": np.array(["2020-01-03", "2020-01-01", "2020-01-02"], "M8[D]"),
}


@pytest.mark.parametrize("name", [*INTEGERS, *OTHERS])
def test_labels_are_those_of_scikit_learn(rows, name):
    X, codes = rows
    y = (INTEGERS | OTHERS)[name][codes]
    y.flags.writeable = False
    clf, expected = MaxentClassifier(tol=1e-8).fit(X, y), LogisticRegression(tol=1e-10).fit(X, y)
    np.testing.assert_array_equal(clf.classes_, expected.classes_)
    assert clf.classes_.dtype == expected.classes_.dtype
    np.testing.assert_allclose(clf.coef_, expected.coef_, atol=1e-5)
    np.testing.assert_array_equal(clf.predict(X), expected.predict(X))
    assert clf.score(X, y) == expected.score(X, y)


@pytest.mark.parametrize("name", INTEGERS)
def test_integer_labels_in_paths_tables_and_inference(rows, name):
    X, codes = rows
    labels = INTEGERS[name]
    y = labels[codes]
    plain = np.unique(y, return_inverse=True)[1]
    path, expected = maxent_path(X, y, Cs=3), maxent_path(X, plain, Cs=3)
    np.testing.assert_array_equal(path.classes, np.unique(labels))
    np.testing.assert_allclose(path.coefs, expected.coefs)
    clf = MaxentClassifier(C=np.inf).fit(X, y)
    results = clf.infer(X, y.tolist())  # of another type
    assert results.log_likelihood == pytest.approx(
        MaxentClassifier(C=np.inf).fit(X, plain).infer(X, plain).log_likelihood
    )
    np.testing.assert_array_equal(
        MultilabelMaxentClassifier().fit(X, y).classes_, np.unique(labels)
    )


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(pd.Categorical.from_codes(np.arange(N) % 3, [30, 10, 20])),
        pd.Series(np.arange(N) % 3, dtype="Int64"),
        pd.Series(np.arange(N) % 3 * 50 - 50, dtype="Int8"),
        pd.Series(np.arange(N) % 2 > 0, dtype="boolean"),
        pd.Series(np.array(list("bac"))[np.arange(N) % 3], dtype="string"),
        pd.Series(np.arange(N) % 3 * 50 - 50, dtype="int8[pyarrow]"),
        pd.Series(np.array(list("bac"))[np.arange(N) % 3], dtype="string[pyarrow]"),
    ],
    ids=lambda y: str(y.dtype),
)
def test_labels_of_pandas_are_those_of_scikit_learn(rows, y):
    X, _ = rows
    clf, expected = MaxentClassifier().fit(X, y), LogisticRegression().fit(X, y)
    np.testing.assert_array_equal(clf.classes_, expected.classes_)
    assert clf.classes_.dtype == expected.classes_.dtype
    np.testing.assert_array_equal(clf.predict(X), expected.predict(X))


@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]"])
def test_nullable_integers_that_float64_does_not_tell_apart(rows, dtype):
    X, codes = rows
    labels = np.array([2**62, 2**62 + 1, 2**62 + 7])
    y = pd.Series(labels[codes], dtype=dtype)
    clf = MaxentClassifier().fit(X, y)
    assert clf.classes_.tolist() == labels.tolist()
    np.testing.assert_allclose(clf.coef_, MaxentClassifier().fit(X, codes).coef_)


def test_a_wide_range_of_labels_takes_no_memory(rows):
    X, codes = rows
    y = np.array([0, 2**40, 2**62])[codes]
    tracemalloc.start()
    MaxentClassifier().fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8])
def test_sets_may_mix_integers_of_python_and_of_numpy(rows, dtype):
    X, y = rows
    mixed = [{int(label)} if i % 2 else {dtype(label)} for i, label in enumerate(y)]
    mixed[0] = {0, dtype(1)}
    plain = [{int(label) for label in labels} for labels in mixed]
    clf = MaxentClassifier(partial_labels=True).fit(X, mixed)
    expected = MaxentClassifier(partial_labels=True).fit(X, plain)
    assert clf.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(clf.coef_, expected.coef_)
