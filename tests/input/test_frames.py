"""Names of features, classes and rows, from pandas frames."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmaxent import MaxentClassifier


def mixed_frame():
    rng = np.random.default_rng(0)
    n = 120
    return pd.DataFrame(
        {
            "colour": pd.Categorical(rng.choice(["red", "blue"], n)),
            "count": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "flag": pd.array(rng.integers(0, 2, n).astype(bool), dtype="boolean"),
            "metres": rng.normal(1e5, 1e3, n),
        },
        index=[f"row {i}" for i in range(n)],
    )


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "b", "c"], dtype=object),
        np.array([3, 5, 9]),
        np.array([True, False]),
        pd.Categorical(["low", "mid", "high"]),
    ],
    ids=["str", "int", "bool", "categorical"],
)
def test_mixed_frames_keep_their_names(labels):
    frame = mixed_frame()
    y = pd.Series(np.resize(np.asarray(labels), len(frame)), index=frame.index)
    if isinstance(labels, pd.Categorical):
        y = y.astype("category")
    prepare = ColumnTransformer(
        [("c", OneHotEncoder(sparse_output=False), ["colour"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipe = make_pipeline(prepare, MaxentClassifier()).fit(frame, y)
    clf = pipe[-1]
    expected = sorted(set(np.asarray(labels).tolist()))
    assert clf.classes_.tolist() == expected
    names = ["colour_blue", "colour_red", "count", "flag", "metres", "Intercept"]
    assert clf.coef_frame().index.tolist() == names
    assert clf.coef_frame().columns.tolist() == (expected if len(expected) > 2 else expected[1:])
    proba = clf.predict_proba_frame(pipe[:-1].transform(frame))
    assert proba.index.equals(frame.index)
    assert proba.columns.tolist() == expected


def test_nullable_and_categorical_columns_without_a_transformer():
    X, y = load_iris(return_X_y=True, as_frame=True)
    nullable = X.convert_dtypes().assign(small=pd.array(X.iloc[:, 0] < 5, dtype="boolean"))
    nullable["code"] = pd.Categorical((X.iloc[:, 1] > 3).astype(int))
    plain = nullable.astype(float)
    assert {str(kind) for kind in nullable.dtypes} == {"Float64", "boolean", "category"}
    clf = MaxentClassifier().fit(nullable, y)
    np.testing.assert_allclose(
        clf.coef_, MaxentClassifier().fit(plain, y).coef_, rtol=1e-9, atol=1e-12
    )
    assert clf.predict_proba_frame(nullable[::2]).index.equals(X.index[::2])


def test_frames_without_names_and_without_intercept():
    X, y = load_iris(return_X_y=True)
    frame = MaxentClassifier(fit_intercept=False).fit(X, y == 1).coef_frame()
    assert frame.index.tolist() == ["x0", "x1", "x2", "x3"]
    assert frame.columns.tolist() == [True]
    sparse = MaxentClassifier().fit(X, y).sparsify()
    dense = MaxentClassifier().fit(X, y)
    pd.testing.assert_frame_equal(sparse.coef_frame(), dense.coef_frame())
