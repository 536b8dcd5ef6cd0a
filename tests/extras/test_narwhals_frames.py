"""Frames that narwhals wraps, and tables of pyarrow: names in, frames of the same kind out."""

import narwhals as nw
import narwhals.stable.v1 as nw_v1
import narwhals.stable.v2 as nw_v2
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.datasets import load_wine, make_multilabel_classification

from skmaxent import (
    FormulaTransformer,
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    detect_separation,
    expected_calibration_error,
    maxent_path,
)

PANDAS, CODES = load_wine(return_X_y=True, as_frame=True)
PANDAS = PANDAS[["alcohol", "ash", "hue", "malic_acid"]]
X = PANDAS.to_numpy()
NAMES = PANDAS.columns.tolist()
LABELS = np.array(["c", "a", "b"])[CODES]

MAKE = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
SERIES = {"pandas": pd.Series, "polars": pl.Series, "pyarrow": lambda x: pa.chunked_array([x])}


class Kind:
    """A way to store columns: a library, and whether and how narwhals wraps what it has."""

    def __init__(self, library, narwhals=None):
        self.library, self.narwhals = library, narwhals

    def __str__(self):
        return self.library if self.narwhals is None else f"{self.narwhals.__name__}-{self.library}"

    def frame(self, values, names):
        native = MAKE[self.library](dict(zip(names, np.asarray(values).T, strict=True)))
        return native if self.narwhals is None else self.narwhals.from_native(native)

    def series(self, values):
        native = SERIES[self.library](values)
        if self.narwhals is None:
            return native
        return self.narwhals.from_native(native, series_only=True)


WRAPPED = [Kind(library, version) for library in MAKE for version in (nw, nw_v1, nw_v2)]


@pytest.fixture(params=[Kind("pyarrow"), *WRAPPED], ids=str)
def kind(request):
    return request.param


def test_names_of_features_and_labels(kind):
    frame, labels = kind.frame(X, NAMES), kind.series(LABELS)
    clf = MaxentClassifier().fit(frame, labels)
    same = MaxentClassifier().fit(PANDAS, LABELS)
    assert clf.feature_names_in_.tolist() == NAMES
    assert clf.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(clf.coef_, same.coef_)
    np.testing.assert_array_equal(clf.predict(frame), same.predict(PANDAS))
    assert clf.score(frame, labels) == pytest.approx(same.score(PANDAS, LABELS), rel=1e-12)


def test_other_names_and_another_order_of_columns_are_refused(kind):
    clf = MaxentClassifier().fit(PANDAS, LABELS)
    for names in (NAMES[::-1], ["other", *NAMES[1:]]):
        with pytest.raises(ValueError, match="feature names should match those"):
            clf.predict(kind.frame(X, names))


def test_columns_that_are_not_numbers_are_named(kind):
    frame = kind.frame(np.column_stack([X.astype(object), LABELS]), [*NAMES, "kind"])
    with pytest.raises(ValueError, match=r"columns that are not: .*'kind' \(holds .*'c'"):
        MaxentClassifier().fit(frame, LABELS)


def test_probabilities_come_as_the_frame_did(kind):
    frame = kind.frame(X, NAMES)
    clf = MaxentClassifier().fit(frame, LABELS)
    found = clf.predict_proba_frame(frame)
    assert type(found) is type(frame)
    P = clf.predict_proba(frame)
    assert nw.from_native(found, eager_only=True).columns == ["a", "b", "c"]
    np.testing.assert_allclose(np.asarray(found), P, rtol=1e-12)
    results = clf.infer(frame, kind.series(LABELS))
    intervals = results.predict_proba_interval(frame)
    assert type(intervals) is type(frame)
    np.testing.assert_allclose(np.asarray(intervals)[:, ::3], P)
    names = nw.from_native(intervals, eager_only=True).columns
    assert names[:4] == ["a_probability", "a_lower", "a_upper", "b_probability"]
    numbered = MaxentClassifier().fit(frame, CODES).predict_proba_frame(frame)
    assert nw.from_native(numbered, eager_only=True).columns == ["0", "1", "2"]


def test_counts_and_weights(kind):
    rng = np.random.default_rng(0)
    counts, weights = rng.integers(1, 9, (len(X), 3)), rng.uniform(0.5, 2.0, len(X))
    table, weight_column = kind.frame(counts, ["c", "a", "b"]), kind.series(weights)
    frame = kind.frame(X, NAMES)
    clf = MaxentClassifier().fit(frame, table, weight_column)
    same = MaxentClassifier().fit(PANDAS, counts[:, [1, 2, 0]], weights)
    assert clf.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(clf.coef_, same.coef_)
    found = clf.score(frame, table, weight_column)
    np.testing.assert_allclose(found, same.score(PANDAS, counts[:, [1, 2, 0]], weights))


def test_offsets_are_matched_to_classes_by_name(kind):
    offset = np.random.default_rng(0).normal(size=(len(X), 3))
    table = kind.frame(offset[:, [2, 0, 1]], ["c", "a", "b"])
    clf = MaxentClassifier().fit(PANDAS, LABELS, offset=table)
    np.testing.assert_allclose(
        clf.coef_,
        MaxentClassifier().fit(PANDAS, LABELS, offset=offset).coef_,
        rtol=1e-9,
        atol=1e-12,
    )


def test_other_estimators_and_functions(kind):
    frame, labels = kind.frame(X, NAMES), kind.series(LABELS)
    cv = MaxentClassifierCV(Cs=4, cv=3).fit(frame, labels)
    same = MaxentClassifierCV(Cs=4, cv=3).fit(PANDAS, LABELS)
    np.testing.assert_allclose(cv.coef_, same.coef_)
    path = maxent_path(frame, labels, Cs=4)
    assert path.feature_names.tolist() == NAMES
    assert detect_separation(frame, labels).direction.index.tolist() == [*NAMES, "Intercept"]
    P = cv.predict_proba(frame)
    error = expected_calibration_error(labels, kind.frame(P[:, [2, 0, 1]], ["c", "a", "b"]))
    assert error == pytest.approx(expected_calibration_error(LABELS, P), rel=1e-12)


def test_inference(kind):
    frame, labels = kind.frame(X, NAMES), kind.series(LABELS)
    clf = MaxentClassifier(C=np.inf).fit(PANDAS, LABELS)
    results, same = clf.infer(frame, labels), clf.infer(PANDAS, LABELS)
    pd.testing.assert_frame_equal(results.summary(), same.summary())
    squares = kind.frame(X[:, :2] ** 2, ["alcohol²", "ash²"])
    tests = same.score_test(pd.DataFrame(X[:, :2] ** 2, columns=["alcohol²", "ash²"]))
    pd.testing.assert_frame_equal(results.score_test(squares), tests)
    pd.testing.assert_frame_equal(
        results.marginal_effects(frame, at=kind.frame(X[:9], NAMES)),
        same.marginal_effects(PANDAS[:9]),
    )


def test_indicators_of_several_labels(kind):
    X, Y = make_multilabel_classification(n_samples=200, random_state=0)
    names, labels = [f"f{j}" for j in range(X.shape[1])], ["e", "d", "c", "b", "a"]
    frame, table = kind.frame(X, names), kind.frame(Y, labels)
    options = {"link": "softmax", "threshold": "f1_micro"}
    clf = MultilabelMaxentClassifier(**options).fit(frame, table)
    same = MultilabelMaxentClassifier(**options).fit(X, Y)
    assert clf.classes_.tolist() == labels
    np.testing.assert_allclose(clf.coef_, same.coef_)
    np.testing.assert_allclose(clf.threshold_, same.threshold_)


def test_index_of_a_wrapped_pandas_frame():
    frame = PANDAS.set_axis([f"row {i}" for i in range(len(X))])
    found = MaxentClassifier().fit(frame, LABELS).predict_proba_frame(nw.from_native(frame))
    assert found.to_native().index.equals(frame.index)


@pytest.mark.parametrize("lazy", [nw.from_native(pl.LazyFrame(X)), nw.from_native(PANDAS).lazy()])
def test_lazy_frames_are_to_be_collected(lazy):
    with pytest.raises(TypeError, match=r"X is a LazyFrame, .*: collect\(\) it"):
        MaxentClassifier().fit(lazy, LABELS)


@pytest.mark.parametrize("make", [lambda values: values, lambda values: pa.chunked_array([values])])
def test_labels_of_a_dictionary(make):
    encoded = pa.array(LABELS).dictionary_encode()
    clf = MaxentClassifier().fit(PANDAS, make(encoded))
    assert clf.classes_.tolist() == ["a", "b", "c"]
    with_missing = pa.array([None, *LABELS[1:]]).dictionary_encode()
    with pytest.raises(ValueError, match="y contains NaN or other missing labels"):
        MaxentClassifier().fit(PANDAS, make(with_missing))


def test_missing_numbers_of_a_table():
    table = pa.table(PANDAS).set_column(1, "ash", pa.array([None, *X[1:, 1]]))
    with pytest.raises(ValueError, match="X contains NaN"):
        MaxentClassifier().fit(table, LABELS)


def test_metadata_of_pandas_make_no_columns_and_no_index():
    frame = PANDAS.set_axis([f"row {i}" for i in range(len(X))])
    counts = pd.DataFrame(np.eye(3)[CODES] + 1.0)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    clf = MaxentClassifier().fit(table, pa.Table.from_pandas(counts))
    assert clf.classes_.tolist() == ["0", "1", "2"]
    assert clf.predict_proba_frame(table).column_names == ["0", "1", "2"]


def test_record_batches():
    batch = pa.record_batch(PANDAS)
    clf = MaxentClassifier().fit(batch, LABELS)
    assert clf.feature_names_in_.tolist() == NAMES
    assert isinstance(clf.predict_proba_frame(batch), pa.Table)


def test_coefficients_in_polars_as_the_docstring_has_them():
    table = MaxentClassifier().fit(PANDAS, LABELS).coef_frame()
    found = pl.from_pandas(table, include_index=True)
    assert found.columns == ["feature", "a", "b", "c"]
    assert found["feature"].to_list() == [*NAMES, "Intercept"]
    np.testing.assert_array_equal(found[:, 1:], table)


@pytest.mark.parametrize("library", MAKE)
def test_columns_of_formulas(library):
    frame = nw.from_native(MAKE[library]({"x": [1.0, 2.0, 4.0], "g": ["b", "a", "b"]}))
    made = FormulaTransformer("x * g").fit_transform(frame)
    assert isinstance(made, nw.DataFrame)
    assert made.columns == ["x", "g[T.b]", "x:g[T.b]"]
    np.testing.assert_array_equal(made.to_numpy()[:, 2], [1.0, 0.0, 4.0])
