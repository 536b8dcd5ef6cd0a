"""What users of Dask have for X, y, weights and offsets: read as in memory, or refused in words."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier

pytestmark = pytest.mark.usefixtures("several_chunks")

COLUMNS = ["u", "v", "w", "x"]


def rows(n=600, d=4):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=(d, 3)) + rng.gumbel(size=(n, 3))).argmax(axis=1)
    return X, y, np.array(["a", "b", "c"])[y]


def chunked(array, chunks=150):
    return da.from_array(array, chunks=(chunks, *array.shape[1:]))


def framed(array, npartitions=4):
    frame = pd.DataFrame(array, columns=COLUMNS) if np.ndim(array) == 2 else pd.Series(array)
    return dd.from_pandas(frame, npartitions=npartitions)


def from_parts(parts, shapes, dtype=float):
    arrays = [
        da.from_delayed(dask.delayed(part), shape, dtype)
        for part, shape in zip(parts, shapes, strict=True)
    ]
    return da.concatenate(arrays, allow_unknown_chunksizes=True)


def fitted(*arguments, **parameters):
    return MaxentClassifier(tol=1e-10, **parameters).fit(*arguments)


def assert_same(ours, theirs):
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_columns_of_files(tmp_path, kind):
    """Dask reads several small files as one where few columns are wanted, of y for instance."""
    X, y, names = rows()
    table = pd.DataFrame(X, columns=COLUMNS).assign(name=names, weight=1.0 + y)
    for i in range(6):
        part = table.iloc[100 * i : 100 * (i + 1)]
        file = tmp_path / f"{i}.{kind}"
        part.to_parquet(file) if kind == "parquet" else part.to_csv(file, index=False)
    read = dd.read_parquet if kind == "parquet" else dd.read_csv
    lazy = read(str(tmp_path / f"*.{kind}"))
    expected = fitted(X, names, 1.0 + y)
    for labels in (lazy["name"], lazy[["name"]], lazy["name"].astype("category")):
        model = fitted(lazy[COLUMNS], labels, lazy["weight"])
        assert_same(model, expected)
        assert model.score(lazy[COLUMNS], labels) == pytest.approx(
            expected.score(X, names), rel=1e-12
        )


def test_what_X_and_y_share_is_computed_once():
    """Each call gives other rows: those of X and y must be of the same call."""
    rng, calls = np.random.default_rng(0), []

    def load(i):
        calls.append(i)
        X = rng.normal(size=(200, 3))
        return X, (X[:, 0] > 0).astype(int)

    parts = [dask.delayed(load)(i) for i in range(4)]
    X = da.concatenate([da.from_delayed(part[0], (200, 3), float) for part in parts])
    y = da.concatenate([da.from_delayed(part[1], (200,), int) for part in parts])
    model = MaxentClassifier().fit(2.0 * X, y)
    assert sorted(calls) == [0, 1, 2, 3]
    assert model.score(np.array([[1.0, 0, 0], [-1.0, 0, 0]]), [1, 0]) == 1.0
    assert model.coef_[0, 0] > 3.0


LABELS = {
    "Int64": lambda y: pd.Series(y, dtype="Int64"),
    "boolean": lambda y: pd.Series(y > 0, dtype="boolean"),
    "categories": lambda y: pd.Series(y).astype("category"),
    "strings": lambda y: pd.Series(np.array(["a", "b", "c"])[y]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_pandas_and_a_partition_without_rows(kind):
    X, y, _ = rows()
    labels = LABELS[kind](y)
    frame = pd.DataFrame(X, columns=COLUMNS).assign(label=labels)
    lazy = dd.from_pandas(frame, npartitions=4)
    lazy = lazy.map_partitions(lambda part: part[part.index < 420], meta=lazy._meta)
    model = fitted(lazy[COLUMNS], lazy["label"])
    assert_same(model, fitted(X[:420], np.asarray(labels.astype(object))[:420].tolist()))
    assert np.mean(model.predict(lazy[COLUMNS]).compute() == frame["label"][:420]) > 0.5


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_offsets_of_frames_are_found_by_name(order):
    X, _, names = rows()
    offset = np.random.default_rng(1).normal(size=(600, 3))
    table = pd.DataFrame(offset, columns=["a", "b", "c"]).iloc[:, order]
    expected = fitted(X, names, None, offset)
    lazy, labels = chunked(X), chunked(names)
    for given in (table, dd.from_pandas(table, npartitions=4)):
        model = fitted(lazy, labels, None, given)
        assert_same(model, expected)
        P = model.predict_proba(lazy, given).compute()
        np.testing.assert_allclose(P, expected.predict_proba(X, offset), atol=1e-10)
        assert model.score(lazy, labels, None, given) == pytest.approx(
            expected.score(X, names, None, offset), rel=1e-12
        )
    wrong = table.rename(columns={"a": "A"})
    with pytest.raises(ValueError, match=r"offset has no columns for the classes \['a'\]"):
        fitted(lazy, labels, None, dd.from_pandas(wrong, npartitions=4))


def test_numbers_for_all_rows():
    X, _, names = rows()
    lazy, labels = chunked(X), chunked(names)
    assert_same(fitted(lazy, labels, 3.0, 0), fitted(X, names, 3.0, 0))
    model = fitted(X, names, None, np.ones((600, 3)))
    np.testing.assert_array_equal(model.predict(lazy, 0).compute(), model.predict(X, 0))
    assert model.score(lazy, labels, 2.0, 0) == pytest.approx(
        model.score(X, names, None, 0), rel=1e-12
    )
    with pytest.raises(ValueError, match="X has 150, offset has a single number"):
        fitted(lazy, labels, None, 1.5)


def test_series_in_memory_are_taken_by_position():
    X, y, names = rows()
    index = np.linspace(0.0, 1.0, 600)
    model = fitted(chunked(X), pd.Series(names, index=index), pd.Series(1.0 + y, index=index))
    assert_same(model, fitted(X, names, 1.0 + y))


def test_predictions_have_the_dtype_that_they_say():
    X, y, _ = rows()
    narrow = X.astype(np.float32)
    frame = pd.DataFrame(X)
    for model in (fitted(X, y), fitted(narrow, y)):
        for given in (X, narrow):
            ours = model.predict_proba(chunked(given))
            assert ours.dtype == ours.compute().dtype == model.predict_proba(given).dtype
        for given in (frame, frame.astype(np.float32), frame.astype({0: np.float32})):
            ours = model.decision_function(dd.from_pandas(given, npartitions=3))
            assert ours.dtype == ours.compute().dtype


REFUSED = {
    "Delayed X": (lambda X, y: (dask.delayed(X), y), TypeError, "X is a Delayed.*from_delayed"),
    "Delayed y": (lambda X, y: (chunked(X), dask.delayed(y)), TypeError, "y is a Delayed"),
    "object y": (lambda X, y: (chunked(X), object()), TypeError, "y is a object; expected an arr"),
    "series X": (lambda X, y: (framed(X)["u"], framed(y)), ValueError, "Expected 2D array, got 1D"),
    "columns that nobody knows": (
        lambda X, y: (from_parts([X], [(np.nan, np.nan)]), y),
        ValueError,
        "number of columns that is not known",
    ),
    "columns other than said": (
        lambda X, y: (from_parts([X[:300], X[300:, :3]], [(300, 4)] * 2), chunked(y, 300)),
        ValueError,
        "X has 3 columns in chunk 1; expected 4",
    ),
    "sparse and dense": (
        lambda X, y: (from_parts([X[:300], sp.csr_array(X[300:])], [(300, 4)] * 2), y),
        ValueError,
        "X has sparse chunks and dense ones, 1 and 1",
    ),
    "strings and numbers": (
        lambda X, y: (chunked(X, 300), from_parts([y[:300], y[300:].astype(str)], [(300,)] * 2)),
        ValueError,
        "labels of types that cannot be sorted together: int, str",
    ),
    "columns of strings": (
        lambda X, y: (framed(X).assign(u="red"), framed(y)),
        ValueError,
        r"X must be numeric, .*'u' \(holds 'red', a str\).*in chunk \d",
    ),
    "columns of dates": (
        lambda X, y: (framed(X).assign(u=pd.Timestamp("2020-02-02")), framed(y)),
        TypeError,
        r"X must be numeric, .*'u' \(datetime64.*in chunk \d",
    ),
    "other partitions": (
        lambda X, y: (framed(X), framed(y, 3)),
        ValueError,
        "y has 3 chunks and X has 4, of unknown lengths: expected the same chunks",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name):
    make, kind, message = REFUSED[name]
    X, y, _ = rows()
    model = MaxentClassifier()
    with pytest.raises(kind, match=message):
        model.fit(*make(X, y))
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


def test_scores_refuse_what_those_in_memory_refuse():
    X, y, names = rows()
    model = fitted(X, names)
    lazy = chunked(X)
    with pytest.raises(ValueError, match="Mix of label input types"):
        model.score(lazy, chunked(y))
    with pytest.raises(ValueError, match=r"y has the shape \(150, 3\)"):
        model.score(lazy, chunked(np.eye(3)[y]))
    one_each = dd.from_pandas(pd.Series(names[:4]), npartitions=4)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(framed(X).to_dask_array(), one_each)


def test_the_users_own_error_is_seen():
    def fails(part):
        raise KeyError("of the user")

    X, y, _ = rows()
    with pytest.raises(KeyError, match="of the user"):
        MaxentClassifier().fit(chunked(X).map_blocks(fails, meta=X[:0]), chunked(y))
