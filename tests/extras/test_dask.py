"""Dask collections: the fit of the same rows in memory, whatever the chunks and the scheduler."""

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MaxentObjective,
    MultilabelMaxentClassifier,
    detect_separation,
    maxent_path,
)
from skmaxent._input import _dask_labels
from skmaxent._storage import _chunked_rows, _cluster, _storage
from skmaxent._storage._threads import Workers

# Sockets of a cluster that the garbage collector finds first.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("several_chunks"),
]


def rows(n=1500, d=6, K=3, seed=0, scale=True):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    if scale:
        X = X * 10.0 ** rng.integers(-3, 4, d) + rng.normal(size=d)
    return X, np.array(["north", "east", "south", "west"])[y], rng.random(n) + 0.1


def chunked(*arrays, chunks=400):
    return [da.from_array(array, chunks=(chunks, *array.shape[1:])) for array in arrays]


def assert_same(ours, theirs, atol=1e-8):
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=atol)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-8, atol=atol)
    np.testing.assert_allclose(ours.optimality_gap_, theirs.optimality_gap_, atol=1e-9)


PARAMETERS = {
    "ridge": {},
    "none": {"C": np.inf},
    "lasso": {"l1_ratio": 1.0, "C": 0.1},
    "groups": {"l1_ratio": 0.7, "C": 0.1, "grouped": True},
    "bounds": {"bounds": (-0.01, None)},
    "no intercept": {"fit_intercept": False},
    "balanced": {"class_weight": "balanced"},
    "weights by class": {"class_weight": {"north": 2.0, "east": 0.5, "south": 1.0}},
    "smoothing": {"label_smoothing": 0.1},
    "conjugate gradients": {"solver": "newton-cg"},
    "SciPy's quasi-Newton": {"solver": "lbfgs"},
    "SciPy's trust region": {"solver": "trust-ncg", "C": np.inf},
    "Jeffreys": {"C": np.inf, "bias_reduction": "jeffreys"},
    "prior correction": {"prior_correction": "empirical", "class_weight": "balanced"},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_fit_is_that_of_the_rows_in_memory(scheduler, name):
    X, y, weights = rows()
    model = MaxentClassifier(tol=1e-9, **PARAMETERS[name])
    one = MaxentClassifier(tol=1e-9, **PARAMETERS[name]).fit(X, y, weights)
    if name == "Jeffreys":
        model.fit(*chunked(X, y, weights))
        np.testing.assert_allclose(model.coef_, one.coef_, rtol=1e-6)
    else:
        assert_same(model.fit(*chunked(X, y, weights)), one)


def test_class_weights_may_undo_sample_weights():
    X, y, weights = rows()
    rare = np.where(np.arange(len(y)) % 2, 5e-4, 1.0)
    weights = weights * np.where(y == "east", rare, 1e-27)
    model = MaxentClassifier(tol=1e-9, class_weight="balanced")
    one = MaxentClassifier(tol=1e-9, class_weight="balanced").fit(X, y, weights)
    assert_same(model.fit(*chunked(X, y, weights)), one)


def test_the_objective_is_that_of_the_rows_in_memory(scheduler):
    X, y, weights = rows()
    lazy = chunked(X, y, weights)
    one = MaxentObjective(X, y, sample_weight=weights)
    objective = MaxentObjective(*lazy[:2], sample_weight=lazy[2])
    x, v = np.random.default_rng(0).normal(size=(2, one.n_parameters))
    assert objective.fun(x) == pytest.approx(one.fun(x), rel=1e-12)
    np.testing.assert_allclose(objective.grad(x), one.grad(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(objective.hessp(x, v), one.hessp(x, v), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("chunks", [1500, 1499, 731, 97, (1, 700, 0, 799), (10,) * 150])
def test_chunks_make_no_difference(chunks):
    X, y, _ = rows()
    rest = (3, 3)  # columns are in chunks too
    lazy = da.from_array(X, chunks=(chunks, rest)), da.from_array(y, chunks=300)
    assert_same(MaxentClassifier(tol=1e-9).fit(*lazy), MaxentClassifier(tol=1e-9).fit(X, y))


def test_large_enough_for_samples(scheduler):
    """Preconditioners and starts come from the same sampled rows, rare class and outliers too."""
    X, y, _ = rows(40_000, 20, 3, scale=False)
    y[[5, 17, 30_000]] = "west"
    X[[11, 20_000], 3] = 300.0
    ours, theirs = MaxentClassifier(), MaxentClassifier()
    ours.fit(*chunked(X, y, chunks=7000))
    theirs.fit(X, y)
    np.testing.assert_array_equal(ours.n_iter_, theirs.n_iter_)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    ours, theirs = (model.set_params(tol=1e-8) for model in (ours, theirs))
    assert_same(ours.fit(*chunked(X, y, chunks=7000)), theirs.fit(X, y))


def test_many_sparse_columns_with_a_working_set(scheduler):
    rng = np.random.default_rng(3)
    X = sp.random(2000, 900, 0.02, format="csr", random_state=1)
    y = (X[:, :3].toarray().sum(axis=1) > 0).astype(int) + rng.integers(0, 2, 2000)
    parts = [dask.delayed(X[start : start + 500]) for start in range(0, 2000, 500)]
    lazy = da.concatenate([da.from_delayed(part, (500, 900), float) for part in parts])
    labels = da.from_array(y, chunks=500)
    for parameters in ({}, {"l1_ratio": 1.0, "C": 0.02}):
        model = MaxentClassifier(tol=1e-9, **parameters)
        ours = model.fit(lazy, labels).coef_
        theirs = model.fit(X, y).coef_
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
        np.testing.assert_allclose(
            model.predict_proba(lazy).compute(), model.predict_proba(X), atol=1e-12
        )


def test_two_classes_offsets_and_float32(scheduler):
    X, y, weights = rows(K=2)
    offset = np.linspace(-1.0, 1.0, len(X))
    model = MaxentClassifier(tol=1e-9)
    lazy = chunked(X, y, weights, offset)
    assert_same(MaxentClassifier(tol=1e-9).fit(*lazy), model.fit(X, y, weights, offset), atol=1e-9)
    np.testing.assert_allclose(
        model.predict_proba(lazy[0], lazy[3]).compute(), model.predict_proba(X, offset)
    )
    assert model.score(*lazy) == pytest.approx(model.score(X, y, weights, offset), abs=1e-12)
    narrow = model.fit(*chunked(X.astype(np.float32), y))
    assert narrow.coef_.dtype == np.float32
    assert narrow.predict_proba(lazy[0].astype(np.float32)).dtype == np.float32
    mixed = da.concatenate([lazy[0][:800].astype(np.float32), lazy[0][800:]])
    assert model.fit(mixed, lazy[1]).coef_.dtype == np.float64


def test_columns_beyond_the_range_of_squares():
    X, y, _ = rows(scale=False)
    X[:, 0] *= 1e200
    X[:, 1] *= 1e-200
    model = MaxentClassifier(C=np.inf, tol=1e-9)
    theirs = model.fit(X, y).coef_
    ours = model.fit(*chunked(X, y)).coef_
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_a_class_without_weight(scheduler):
    X, y, _ = rows()
    weights = (y != "south").astype(float)
    model = MaxentClassifier(tol=1e-9)
    theirs = model.fit(X, y, weights).coef_
    ours = model.fit(*chunked(X, y, weights)).coef_
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_chunks_of_unknown_length(scheduler):
    X, y, weights = rows()
    kept = X[:, 0] > np.median(X[:, 0])
    lazy = chunked(X, y, weights)
    mask = lazy[0][:, 0] > np.median(X[:, 0])
    some = [array[mask] for array in lazy]
    assert np.isnan(some[0].shape[0])
    model = MaxentClassifier(tol=1e-9)
    assert_same(MaxentClassifier(tol=1e-9).fit(*some), model.fit(X[kept], y[kept], weights[kept]))
    P = model.predict_proba(some[0])
    np.testing.assert_allclose(P.compute(), model.predict_proba(X[kept]))
    with pytest.raises(TypeError, match="lengths of X's chunks are not known"):
        model.fit(some[0], y[kept])


def test_frames_have_names(scheduler):
    X, y = load_iris(return_X_y=True, as_frame=True)
    X.columns = ["sepal length", "sepal width", "petal length", "petal width"]
    y = pd.Series(pd.Categorical.from_codes(y, ["setosa", "versicolor", "virginica"]), name="iris")
    lazy, labels = dd.from_pandas(X, npartitions=4), dd.from_pandas(y, npartitions=4)
    model = MaxentClassifier(tol=1e-9).fit(lazy, labels)
    assert_same(model, MaxentClassifier(tol=1e-9).fit(X, y))
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    frame = model.predict_proba_frame(lazy)
    assert isinstance(frame, dd.DataFrame)
    pd.testing.assert_frame_equal(frame.compute(), model.predict_proba_frame(X))
    np.testing.assert_array_equal(model.predict(lazy).compute(), model.predict(X))
    assert model.score(lazy, labels) == pytest.approx(model.score(X, y), rel=1e-12)
    shifted = MaxentClassifier().fit(X, y, offset=np.ones((150, 3)) * [0.0, 1.0, 2.0])
    frame = shifted.predict_proba_frame(lazy, offset=0).compute()
    pd.testing.assert_frame_equal(frame, shifted.predict_proba_frame(X, offset=0))
    with pytest.raises(TypeError, match="takes no offset but 0 for a Dask data frame"):
        shifted.predict_proba_frame(lazy, offset=np.ones((150, 3)))
    by_name = MaxentClassifier(penalty_factor={"petal width": np.inf}).fit(lazy, labels)
    assert by_name.coef_frame().loc["petal width"].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(lazy.rename(columns={"sepal width": "width"}))
    with pytest.raises(ValueError, match="should match"):
        model.predict(lazy[X.columns[::-1].tolist()])


def test_labels_in_memory_where_lengths_are_known():
    X, y, weights = rows()
    lazy = da.from_array(X, chunks=(400, -1))
    model = MaxentClassifier(tol=1e-9)
    theirs = model.fit(X, y, weights).coef_
    np.testing.assert_allclose(model.fit(lazy, list(y), pd.Series(weights)).coef_, theirs)
    with pytest.raises(ValueError, match="y has 1499"):
        model.fit(lazy, y[:-1])


def test_predictions_are_lazy_and_of_the_model_as_it_was(monkeypatch):
    X, y, _ = rows()
    (lazy,) = chunked(X)
    model = MaxentClassifier().fit(X, y)
    with monkeypatch.context() as patch:
        patch.setattr("dask.base.compute", lambda *a, **k: pytest.fail("computed"))
        patch.setattr("dask.threaded.get", lambda *a, **k: pytest.fail("computed"))
        proba, logs = model.predict_proba(lazy), model.predict_log_proba(lazy)
        logits, found = model.decision_function(lazy), model.predict(lazy)
    before = model.predict_proba(X), model.predict_log_proba(X)
    expected = model.decision_function(X), model.predict(X)
    assert proba.chunks == ((400, 400, 400, 300), (3,)) and found.shape == (1500,)
    model.fit(X, y[::-1])
    np.testing.assert_allclose(proba.compute(), before[0])
    np.testing.assert_allclose(logs.compute(), before[1])
    np.testing.assert_allclose(logits.compute(), expected[0])
    np.testing.assert_array_equal(found.compute(), expected[1])
    binary = MaxentClassifier().fit(X, y == "north")
    assert binary.decision_function(lazy).shape == (1500,)
    assert binary.predict(lazy).dtype == bool


def test_every_estimator_predicts_chunks():
    X, y, _ = rows()
    Y = np.column_stack([y == "north", X[:, 0] > X[:, 0].mean()]).astype(int)
    lazy = da.from_array(X, chunks=(400, -1))
    for model in (
        MaxentClassifierCV(Cs=3, cv=3).fit(X, y),
        MultilabelMaxentClassifier().fit(X, Y),
        MultilabelMaxentClassifier(link="softmax").fit(X, Y),
    ):
        for method in ("predict", "predict_proba", "decision_function"):
            ours = getattr(model, method)(lazy)
            assert isinstance(ours, da.Array)
            np.testing.assert_allclose(ours.compute(), getattr(model, method)(X)) if (
                method != "predict"
            ) else np.testing.assert_array_equal(ours.compute(), model.predict(X))


def test_paths_and_inference(scheduler):
    X, y, weights = rows()
    lazy = chunked(X, y, weights)
    ours = maxent_path(*lazy[:2], Cs=6, l1_ratio=1.0, sample_weight=lazy[2], tol=1e-9)
    theirs = maxent_path(X, y, Cs=6, l1_ratio=1.0, sample_weight=weights, tol=1e-9)
    np.testing.assert_allclose(ours.Cs, theirs.Cs)
    np.testing.assert_allclose(ours.coefs, theirs.coefs, atol=1e-6)
    model = MaxentClassifier(C=np.inf, tol=1e-9).fit(*lazy)
    for cov_type in ("nonrobust", "HC0", "HC1"):
        ours = model.infer(*lazy, cov_type=cov_type)
        theirs = model.infer(X, y, weights, cov_type=cov_type)
        pd.testing.assert_frame_equal(ours.summary(), theirs.summary(), rtol=1e-6)
    with pytest.raises(TypeError, match="infer with groups or a method"):
        model.infer(*lazy, method="split")


def test_each_chunk_is_read_once():
    X, y, _ = rows()
    reads = []

    def chunk(i):
        reads.append(i)
        return X[300 * i : 300 * (i + 1)]

    lazy = da.concatenate(
        [da.from_delayed(dask.delayed(chunk)(i), (300, 6), dtype=float) for i in range(5)]
    )
    MaxentClassifier(tol=1e-9).fit(lazy, da.from_array(y, chunks=300))
    assert sorted(reads) == list(range(5))


def test_a_sum_over_no_chunks_raises():
    scheduler = _cluster.LocalScheduler(dask.get)
    with pytest.raises(ValueError, match="chunks is empty"):
        _cluster.reduced(scheduler, max, [], None, sum)


def test_what_travels_has_the_size_of_the_coefficients(monkeypatch):
    """Kernel arguments and sums, though X is 200 times as large; samples apart."""
    X, y, _ = rows(60_000, 10, 3)
    sizes, passes = [], []
    reduced = _cluster.reduced

    def counting(scheduler, function, chunks, argument, together):
        result = reduced(scheduler, function, chunks, argument, together)
        sizes.append(len(pickle.dumps(argument)) + len(pickle.dumps(result)))
        kernels = (argument.kernel, *filter(callable, argument.args))
        passes.append([kernel.__name__ for kernel in kernels][-1])
        return result

    monkeypatch.setattr("skmaxent._storage._chunked_rows.reduced", counting)
    model = MaxentClassifier(solver="newton-cg").fit(*chunked(X, y, chunks=6000))
    assert "value_and_gradient" in passes and "hessian_product" in passes
    assert max(sizes) < 20 * (model.coef_.nbytes + 1000)
    assert len(passes) < 40


@pytest.mark.parametrize("is_sparse", [False, True])
def test_samples_take_no_more_memory_than_they_may(monkeypatch, is_sparse):
    limit = 100_000
    monkeypatch.setattr(_storage, "SAMPLE_BYTES", limit)
    X, y, _ = rows(4000, 30)
    lazy, labels = chunked(X * (X > 1.0) if is_sparse else X, y)
    lazy = lazy.map_blocks(sp.csr_array) if is_sparse else lazy
    labelled = _dask_labels.read(MaxentClassifier(), lazy, labels, None, None)
    zero, one = np.zeros(30), np.ones(30)
    data = labelled.training_data(None, 0.0)
    sample = data.storage(Workers()).standardised(zero, one, dtype=np.float64)
    assert 0.5 * limit < _chunked_rows.nbytes(sample.X) <= 1.1 * limit


def test_the_same_warnings_and_the_same_answers_to_bad_fits():
    X, y, _ = rows()
    separated = np.where(X[:, 0] > X[:, 0].mean(), "a", "b")
    with pytest.warns(ConvergenceWarning, match="perfectly separated"):
        MaxentClassifier(C=np.inf).fit(*chunked(X, separated))
    with pytest.warns(ConvergenceWarning, match="max_iter=1 was reached"):
        MaxentClassifier(max_iter=1).fit(*chunked(X, y))


def nan_at(array, *where):
    array = array.copy()
    array[where] = np.nan
    return array


def test_bad_input_is_named_and_the_earlier_fit_stays(scheduler):
    X, y, weights = rows()
    lazy, labels, weighted = chunked(X, y, weights)
    model = MaxentClassifier().fit(lazy, labels)
    coef = model.coef_
    number = pd.Series(y).map({"north": 0.0, "east": 1.0, "south": 2.0}).to_numpy()
    table = np.eye(3)[number.astype(int)]
    cases = [
        ((chunked(nan_at(X, 900, 2))[0], labels), "NaN: in chunk 2 of X, rows 800 to 1199"),
        ((lazy, chunked(nan_at(number, 1300))[0]), r"y contains NaN .* in chunk 3"),
        ((lazy, chunked(table)[0]), r"y has the shape \(\d00, 3\).*tables of counts.*chunk \d"),
        ((lazy, chunked(y[:1000])[0]), "X has 1500, y has 1000"),
        ((lazy, labels, -weighted), r"Negative values.*sample_weight.*chunk \d"),
        ((lazy, labels, 0 * weighted), "every sample_weight is 0"),
        ((lazy, labels, chunked(nan_at(weights, 3))[0]), r"sample_weight contains NaN"),
        ((lazy, da.from_array(np.zeros(1500, int), chunks=400)), "only one class: "),
        ((lazy, da.from_array(X[:, 0], chunks=400)), "Unknown label type: continuous"),
        ((lazy[:0], labels[:0]), "X has no rows|at least one row|0 sample"),
        ((lazy[:, 0], labels), "Expected 2D array, got 1D array"),
        ((lazy.astype(complex), labels), "Complex data not supported"),
    ]
    for arguments, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(*arguments)
        assert model.coef_ is coef
    with pytest.raises(TypeError, match="X is a ndarray"):
        model.fit(X, labels)
    with pytest.raises(ValueError, match="has 5 features, but MaxentClassifier is expecting 6"):
        model.predict(lazy[:, :5])
    with pytest.raises(ValueError, match="found 1 class"):
        MaxentClassifier(class_weight={"east": 0.0, "south": 0.0}).fit(lazy, labels)
    np.testing.assert_array_equal(model.predict(lazy).compute(), model.predict(X))


def test_what_takes_no_chunks_says_so():
    X, y, _ = rows()
    lazy, labels = chunked(X, y)
    for fit in (
        MaxentClassifier(partial_labels=True).fit,
        detect_separation,
    ):
        with pytest.raises(TypeError, match="does not support Dask collections"):
            fit(lazy, labels)
