"""Indicator matrices in Dask collections: the fit of the same rows in memory."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skmaxent import MultilabelMaxentClassifier

# Sockets of a cluster that the garbage collector finds first.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("several_chunks"),
]


def rows(n=800, d=5, L=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Y = (X @ rng.normal(size=(d, L)) + rng.logistic(size=(n, L)) > 0.5).astype(int)
    Y[200:400] = np.maximum(Y[200:400], np.arange(L) == 0)  # a chunk where each row has a label
    return X, Y, rng.random(n) + 0.1


def chunked(*arrays, chunks=200):
    return [da.from_array(array, chunks=(chunks, *[2] * (array.ndim - 1))) for array in arrays]


def model(link="sigmoid", **parameters):
    return MultilabelMaxentClassifier(
        **({"link": link, "threshold": 0.4, "tol": 1e-9} | parameters)
    )


def assert_same(ours, theirs):
    assert set(vars(ours)) == set(vars(theirs))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.threshold_, theirs.threshold_)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-8, atol=1e-8)


PARAMETERS = {
    "ridge": {},
    "none": {"C": np.inf},
    "lasso": {"l1_ratio": 1.0, "C": 0.1},
    "groups": {"l1_ratio": 1.0, "C": 0.1, "grouped": True},
    "smoothing": {"label_smoothing": 0.1},
    "thresholds": {"threshold": [0.1, 0.2, 0.3, 0.4]},
    "conjugate gradients": {"solver": "newton-cg"},
    "SciPy's trust region": {"solver": "trust-krylov"},
}


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_the_fit_is_that_of_the_rows_in_memory(link, name):
    X, Y, weights = rows()
    ours, theirs = model(link, **PARAMETERS[name]), model(link, **PARAMETERS[name])
    assert_same(ours.fit(*chunked(X, Y, weights)), theirs.fit(X, Y, weights))


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_a_cluster_gives_the_same_without_weights(scheduler, link):
    X, Y, _ = rows()
    lazy = chunked(X, Y)
    ours, theirs = model(link).fit(*lazy), model(link).fit(X, Y)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.predict(lazy[0]).compute(), theirs.predict(X))


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_large_enough_for_samples_and_in_single_precision(link):
    X, Y, weights = rows(30_000, 20)
    ours, theirs = model(link, tol=1e-7), model(link, tol=1e-7)
    assert_same(ours.fit(*chunked(X, Y, weights, chunks=7000)), theirs.fit(X, Y, weights))
    narrow = X[:3000].astype(np.float32)
    ours = model(link, tol=1e-4).fit(*chunked(narrow, Y[:3000]))
    assert ours.coef_.dtype == np.float32
    theirs = model(link, tol=1e-4).fit(narrow, Y[:3000])
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_labels_of_all_rows_or_none_are_named(link):
    X, Y, weights = rows()
    Y[:, 1] = 0
    Y[:, 2] = link == "sigmoid"
    weights[Y[:, 3] == 1] *= 2.0
    with pytest.warns(UserWarning, match=r"Labels \[1") as theirs_said:
        theirs = model(link).fit(X, Y, weights)
    with pytest.warns(UserWarning, match=r"Labels \[1") as ours_said:
        ours = model(link).fit(*chunked(X, Y, weights))
    assert str(ours_said[0].message) == str(theirs_said[0].message)
    assert_same(ours, theirs)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_frames_name_labels_and_indicators_may_be_sparse(link):
    X, Y, _ = rows()
    frame, labels = pd.DataFrame(X, columns=list("vwxyz")), pd.DataFrame(Y, columns=list("abcd"))
    ours = model(link).fit(*(dd.from_pandas(part, npartitions=3) for part in (frame, labels)))
    assert_same(ours, model(link).fit(frame, labels))
    assert ours.coef_frame().columns.tolist() == list("abcd")
    parts = [dask.delayed(sp.csr_array(Y[i : i + 200])) for i in range(0, 800, 200)]
    sparse = da.concatenate([da.from_delayed(part, (200, 4), int) for part in parts])
    assert_same(model(link).fit(chunked(X)[0], sparse), model(link).fit(X, Y))


def test_what_cannot_be_is_named_and_the_earlier_fit_stays():
    X, Y, weights = rows()
    lazy = chunked(X, Y, weights)
    clf = model().fit(*lazy)
    coef = clf.coef_
    counts = Y.copy()
    counts[500, 1] = 2
    cases = [
        ({"threshold": "f1_macro"}, lazy, TypeError, "threshold='f1_macro' with link='sigmoid' is"),
        ({"threshold": "auto", "link": "softmax"}, lazy, TypeError, "threshold='auto' .* learned"),
        ({"threshold": [0.5, 0.5]}, lazy, ValueError, r"threshold has the shape \(2,\)"),
        ({}, (lazy[0], Y), TypeError, "y is a ndarray with 2 dimensions"),
        ({}, (lazy[0], lazy[1][:, 0]), TypeError, "y is a Array with 1 dimensions"),
        ({}, (X, lazy[1]), TypeError, "X is a ndarray"),
        ({}, (lazy[0], *chunked(counts)), ValueError, r"y holds 2; expected .* \(in chunk 2\)"),
        ({}, (lazy[0], lazy[1][:-1]), ValueError, "X has 800, y has 799"),
        ({}, (*lazy[:2], 0 * lazy[2]), ValueError, "every sample_weight is 0"),
        ({}, (lazy[0], 0 * lazy[1]), ValueError, "y has 0 labels that some rows"),
    ]
    for parameters, given, kind, message in cases:
        clf.set_params(**(model().get_params() | parameters))
        with pytest.raises(kind, match=message):
            clf.fit(*given)
        assert clf.coef_ is coef


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_probability_frames_are_lazy_and_those_of_the_rows_in_memory(link):
    X, Y, _ = rows()
    frame = pd.DataFrame(X, columns=list("vwxyz"), index=np.arange(len(X)) + 7)
    labels = pd.DataFrame(Y, columns=list("abcd"))
    clf = model(link).fit(frame, labels)
    expected = clf.predict_proba_frame(frame)
    found = clf.predict_proba_frame(dd.from_pandas(frame, npartitions=3))
    assert isinstance(found, dd.DataFrame)
    assert found.npartitions == 3
    assert found.columns.tolist() == list("abcd")
    pd.testing.assert_frame_equal(found.compute(), expected, check_names=False)
    plain = model(link).fit(X, labels)
    found = plain.predict_proba_frame(*chunked(X))
    assert isinstance(found, dd.DataFrame)
    pd.testing.assert_frame_equal(found.compute(), plain.predict_proba_frame(X), check_names=False)


def test_label_sets_are_lazy_and_follow_no_later_fit():
    X, Y, _ = rows()
    clf = model().fit(X, Y)
    expected = clf.predict(X)
    found = clf.predict(*chunked(X))
    clf.fit(-X, 1 - Y)
    assert dask.is_dask_collection(found)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.compute(), expected)


def test_rows_in_chunks_have_the_columns_of_the_fit():
    X, Y, _ = rows()
    frame = pd.DataFrame(X, columns=list("vwxyz"))
    clf = model().fit(frame, Y)
    swapped = dd.from_pandas(frame[list("zyxwv")], npartitions=2)
    for method in (clf.predict, clf.predict_proba, clf.predict_proba_frame):
        with pytest.raises(ValueError, match="names should match"):
            method(swapped)
    with pytest.raises(ValueError, match="X has 4 features, but MultilabelMaxentClassifier is exp"):
        model().fit(X, Y).predict(*chunked(X[:, :4]))
