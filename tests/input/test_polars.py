"""Frames and series of polars: names in, frames of polars out."""

import datetime as dt
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.model_selection import GridSearchCV, cross_val_score

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    expected_calibration_error,
)

X, CODES = load_iris(return_X_y=True)
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]
LABELS = np.array(["c", "a", "b"])[CODES]
FRAME = pl.DataFrame(X, schema=NAMES)
CLF = MaxentClassifier().fit(X, LABELS)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["b", "c", "a"])], ids=str)
def test_names_of_features_and_labels(dtype):
    labels = pl.Series(LABELS).cast(dtype)
    clf = MaxentClassifier().fit(FRAME, labels)
    assert clf.feature_names_in_.tolist() == NAMES
    assert clf.classes_.tolist() == ["a", "b", "c"]
    assert clf.coef_frame().index.tolist() == [*NAMES, "Intercept"]
    np.testing.assert_allclose(clf.coef_, CLF.coef_)
    np.testing.assert_array_equal(clf.predict(FRAME), CLF.predict(X))
    assert clf.score(FRAME, labels) == pytest.approx(CLF.score(X, LABELS), rel=1e-12)


def test_missing_labels():
    with pytest.raises(ValueError, match="y contains NaN or other missing labels"):
        MaxentClassifier().fit(FRAME, pl.Series([None, *LABELS[1:]]))


def test_other_names_and_another_order_of_columns_are_refused():
    clf = MaxentClassifier().fit(FRAME, LABELS)
    for other in (FRAME.select(NAMES[::-1]), FRAME.rename({NAMES[0]: "other"})):
        with pytest.raises(ValueError, match="feature names should match those"):
            clf.predict(other)


def test_columns_that_are_not_numbers_are_named():
    with pytest.raises(ValueError, match=r"columns that are not: 'kind' \(holds .*'c'"):
        MaxentClassifier().fit(FRAME.with_columns(kind=pl.Series(LABELS)), LABELS)


def test_single_precision():
    single = FRAME.cast(pl.Float32)
    clf = MaxentClassifier().fit(single, LABELS)
    same = MaxentClassifier().fit(single.to_numpy(), LABELS)
    assert clf.coef_.dtype == clf.predict_proba(single).dtype == np.float32
    np.testing.assert_allclose(clf.coef_, same.coef_, rtol=1e-9, atol=1e-12)
    mixed = MaxentClassifier().fit(single.with_columns(n=pl.Series(CODES)), LABELS)
    assert mixed.coef_.dtype == np.float64


@pytest.mark.parametrize("time", [dt.date(2026, 1, 1), dt.datetime(2026, 1, 1), dt.timedelta(1)])
def test_times_are_no_numbers(time):
    """As in pandas; polars would make days, microseconds or nanoseconds of them."""
    frame = FRAME.with_columns(when=pl.Series([time] * len(X)))
    with pytest.raises(TypeError, match=r"columns that are not: 'when' \(D"):
        MaxentClassifier().fit(frame, LABELS)


@pytest.mark.parametrize(
    "act",
    [partial(MaxentClassifier().fit, y=CODES), CLF.predict_proba, CLF.predict_proba_frame],
    ids=["fit", "predict_proba", "predict_proba_frame"],
)
def test_lazy_frames_are_to_be_collected(act):
    with pytest.raises(TypeError, match=r"X is a LazyFrame, .*: collect\(\) it"):
        act(FRAME.lazy())


def test_sample_weight_and_integer_labels():
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    clf = MaxentClassifier().fit(FRAME, pl.Series(CODES), pl.Series(weights))
    same = MaxentClassifier().fit(X, CODES, weights)
    np.testing.assert_allclose(clf.coef_, same.coef_)
    score = clf.score(FRAME, pl.Series(CODES), pl.Series(weights))
    assert score == pytest.approx(same.score(X, CODES, weights), rel=1e-12)


def test_counts_of_classes_by_name():
    counts = np.random.default_rng(0).integers(1, 9, (len(X), 3))
    table = pl.DataFrame(counts, schema=["c", "a", "b"])
    clf = MaxentClassifier().fit(FRAME, table)
    assert clf.classes_.tolist() == ["a", "b", "c"]
    same = MaxentClassifier().fit(X, counts[:, [1, 2, 0]])
    np.testing.assert_allclose(clf.coef_, same.coef_)
    assert clf.score(FRAME, table.select("b", "a", "c")) == pytest.approx(
        same.score(X, counts[:, [1, 2, 0]]), rel=1e-12
    )


def test_offsets_are_matched_to_classes_by_name():
    offset = np.random.default_rng(0).normal(size=(len(X), 3))
    table = pl.DataFrame(offset[:, [2, 0, 1]], schema=["c", "a", "b"])
    clf = MaxentClassifier().fit(FRAME, LABELS, offset=table)
    same = MaxentClassifier().fit(X, LABELS, offset=offset)
    np.testing.assert_allclose(clf.coef_, same.coef_)
    np.testing.assert_array_equal(clf.predict(FRAME, table), same.predict(X, offset))
    with pytest.raises(ValueError, match=r"offset has no columns for the classes \['c'\]"):
        clf.predict(FRAME, table.drop("c"))


def test_probabilities_come_as_polars():
    expected = pl.DataFrame(CLF.predict_proba(X), schema=["a", "b", "c"])
    clf = MaxentClassifier().fit(FRAME, LABELS)
    assert_frame_equal(clf.predict_proba_frame(FRAME), expected)
    numbered = MaxentClassifier().fit(FRAME, CODES)
    assert numbered.predict_proba_frame(FRAME).columns == ["0", "1", "2"]
    assert isinstance(CLF.predict_proba_frame(X), pd.DataFrame)


def test_intervals_of_probabilities_come_as_polars():
    results = MaxentClassifier().fit(FRAME, LABELS).infer(FRAME, LABELS)
    found = results.predict_proba_interval(FRAME)
    expected = results.predict_proba_interval(X)
    assert found.columns[:4] == ["a_probability", "a_lower", "a_upper", "b_probability"]
    np.testing.assert_allclose(found, expected)
    effects = results.marginal_effects(FRAME, at=FRAME[:7])
    pd.testing.assert_frame_equal(effects, results.marginal_effects(X[:7]))


def test_indicators_of_several_labels():
    X, Y = make_multilabel_classification(n_samples=200, random_state=0)
    names = ["e", "d", "c", "b", "a"]
    frame, table = pl.DataFrame(X), pl.DataFrame(Y, schema=names)
    clf = MultilabelMaxentClassifier().fit(frame, table)
    P = MultilabelMaxentClassifier().fit(X, Y).predict_proba(X)
    assert_frame_equal(clf.predict_proba_frame(frame), pl.DataFrame(P, schema=names))


def test_cross_validation():
    clf = MaxentClassifierCV(Cs=5, cv=3).fit(FRAME, pl.Series(LABELS))
    same = MaxentClassifierCV(Cs=5, cv=3).fit(X, LABELS)
    np.testing.assert_allclose(clf.coef_, same.coef_)
    assert_frame_equal(
        clf.predict_proba_frame(FRAME), pl.DataFrame(same.predict_proba(X), schema=["a", "b", "c"])
    )
    search = GridSearchCV(MaxentClassifier(), {"C": [0.1, 1.0]}, cv=3).fit(FRAME, pl.Series(LABELS))
    assert search.best_estimator_.feature_names_in_.tolist() == NAMES
    np.testing.assert_allclose(
        cross_val_score(CLF, FRAME, pl.Series(LABELS)), cross_val_score(CLF, X, LABELS), rtol=1e-12
    )


def test_calibration_error_of_named_probabilities():
    P = pl.DataFrame(CLF.predict_proba(X)[:, [2, 0, 1]], schema=["c", "a", "b"])
    found = expected_calibration_error(pl.Series(LABELS), P)
    assert found == pytest.approx(
        expected_calibration_error(LABELS, CLF.predict_proba(X)), rel=1e-12
    )
