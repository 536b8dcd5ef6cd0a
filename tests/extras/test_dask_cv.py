"""Cross-validation of Dask collections: that of the same rows in memory."""

import pickle
import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import (
    KFold,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from skmaxent import MaxentClassifierCV
from skmaxent._model_selection import _dask_folds
from skmaxent._storage import _chunked_rows

# Sockets of a cluster that the garbage collector finds first.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("several_chunks"),
]


def rows(n=900, d=5, K=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    X = X * 10.0 ** rng.integers(-3, 4, d) + rng.normal(size=d)
    return X, np.array(["north", "east", "south"])[y], rng.random(n) + 0.1


def chunked(*arrays, chunks=250):
    return [da.from_array(array, chunks=(chunks, *array.shape[1:])) for array in arrays]


def assert_same(ours, theirs):
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_allclose(ours.Cs_, theirs.Cs_, rtol=1e-8)
    # Of a lasso, rows in another order have coefficients that differ by some 1e-8 in memory too.
    some = 1e-6 if theirs.l1_ratios_.any() else 1e-8
    tolerances = {"scores_": 1e-8, "relaxed_scores_": 1e-8}
    for name in ("scores_", "relaxed_scores_", "coefs_paths_", "coef_", "intercept_"):
        if hasattr(theirs, name):
            found, expected = getattr(ours, name), getattr(theirs, name)
            tol = tolerances.get(name, some)
            np.testing.assert_allclose(found, expected, rtol=tol, atol=tol, err_msg=name)
    np.testing.assert_allclose(ours.C_, theirs.C_, rtol=1e-8)
    assert (ours.l1_ratio_, ours.gamma_) == (theirs.l1_ratio_, theirs.gamma_)
    assert ours.n_iter_.shape == theirs.n_iter_.shape
    assert set(vars(ours)) == set(vars(theirs))


def model(**parameters):
    return MaxentClassifierCV(**({"Cs": [0.01, 0.1, 1.0], "tol": 1e-11} | parameters))


PARAMETERS = {
    "ridge": {},
    "lasso": {"l1_ratios": [1.0], "Cs": 4},
    "ratios": {"l1_ratios": [0.0, 0.5], "selection": "one_standard_error"},
    "relaxed": {"l1_ratios": [1.0], "relax": True},
    "without refit": {"refit": False, "cv": 3},
    "balanced": {"class_weight": "balanced"},
    "weights by class": {"class_weight": {"north": 2.0, "east": 0.5, "south": 1.0}},
    "smoothing": {"label_smoothing": 0.1},
    "no intercept": {"fit_intercept": False, "Cs": 4},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_result_is_that_of_the_rows_in_memory(name):
    X, y, weights = rows()
    theirs = model(**PARAMETERS[name]).fit(X, y, weights)
    assert_same(model(**PARAMETERS[name]).fit(*chunked(X, y, weights)), theirs)


NEGLIGIBLE = {
    # Rows of "east" weigh nothing beside one of "south", though their sum does.
    "in sums": ("east", 1e-20, {"class_weight": {"north": 0.1, "east": 5e-11, "south": 1.0}}),
    # The training rows of the first fold have small weights, and so has a class.
    "in a fold": ("fold", 1e-27, {"class_weight": {"north": 1e-3, "east": 1.0, "south": 1e-5}}),
    "undone": ("south", 1e-27, {"class_weight": "balanced"}),
    "lost before": ("last", 1e-33, {"class_weight": "balanced"}),
}


@pytest.mark.filterwarnings("ignore:The training part")
@pytest.mark.parametrize("name", NEGLIGIBLE)
def test_weights_may_differ_by_thirty_decades(name):
    X, y, weights = rows(300)
    which, size, options = NEGLIGIBLE[name]
    folds = np.arange(300) % 2
    if which == "fold":
        weights[folds == 1] *= size
    elif which == "last":  # a chunk has the class alone
        y[:] = np.where(y == "south", "north", y)
        y[250:] = "south"
        weights[250:] *= size
    else:
        weights[y == which] *= size
    if name == "in sums":
        y[(y == "south") & (np.arange(300) > 60)] = "north"
    cv = PredefinedSplit(folds)
    theirs = model(cv=cv, **options).fit(X, y, weights)
    assert np.isfinite(theirs.scores_).all()
    assert_same(model(cv=cv, **options).fit(*chunked(X, y, weights)), theirs)


@pytest.mark.parametrize(
    "options", [{"Cs": 3}, {"l1_ratios": [0.0, 1.0], "relax": [0.0, 1.0], "Cs": [0.05, 0.5]}]
)
def test_a_cluster_gives_the_same(scheduler, options):
    X, y, weights = rows(600)
    theirs = model(cv=2, **options).fit(X, y, weights)
    assert_same(model(cv=2, **options).fit(*chunked(X, y, weights)), theirs)


@pytest.mark.parametrize("chunks", [900, 899, 137, (1, 500, 0, 399), (10,) * 90])
def test_chunks_make_no_difference(chunks):
    X, y, _ = rows()
    lazy = da.from_array(X, chunks=(chunks, (2, 3))), da.from_array(y, chunks=300)
    assert_same(model(l1_ratios=[1.0], cv=3).fit(*lazy), model(l1_ratios=[1.0], cv=3).fit(X, y))


FOLDS = {
    "shuffled": StratifiedKFold(4, shuffle=True, random_state=1),
    "in order": KFold(3),
    "predefined": PredefinedSplit(np.arange(900) % 4 - 1),
    "repeated": RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
    "overlapping": ShuffleSplit(3, test_size=0.3, train_size=0.5, random_state=0),
    "growing": TimeSeriesSplit(3),
    "indices": [(np.arange(300, 900), np.arange(300)), (np.arange(500), np.arange(500, 700))],
}


@pytest.mark.parametrize("name", FOLDS)
def test_folds_are_those_that_scikit_learn_makes(name):
    X, y, _ = rows()
    assert_same(model(cv=FOLDS[name]).fit(*chunked(X, y)), model(cv=FOLDS[name]).fit(X, y))


def test_masks_are_folds_too():
    X, y, _ = rows()
    masks = [(np.arange(900) < 400, np.arange(900) > 600)]
    indices = [(np.arange(400), np.arange(601, 900))]
    assert_same(model(cv=masks).fit(*chunked(X, y)), model(cv=indices).fit(X, y))


def test_two_classes_offsets_and_weights(scheduler):
    X, y, weights = rows(K=2)
    offset = np.linspace(-1.0, 1.0, len(X))
    options = {"l1_ratios": [1.0], "relax": [0.0, 1.0], "Cs": [0.05, 0.5], "cv": 2}
    ours = model(**options).fit(*chunked(X, y, weights, offset))
    assert_same(ours, model(**options).fit(X, y, weights, offset))
    with pytest.raises(ValueError, match="MaxentClassifierCV was fitted with an offset"):
        ours.predict(X)


def test_frames_sparse_rows_and_single_precision(scheduler):
    X, y, weights = rows()
    frame = pd.DataFrame(X, columns=list("abcde"))
    ours = model(penalty_factor={"c": 0.0}).fit(
        *(dd.from_pandas(part, npartitions=3) for part in (frame, pd.Series(y)))
    )
    assert_same(ours, model(penalty_factor={"c": 0.0}).fit(frame, y))
    assert ours.feature_names_in_.tolist() == list("abcde")
    sparse = sp.random(600, 40, 0.1, format="csr", random_state=0)
    parts = [
        da.from_delayed(dask.delayed(sparse[i : i + 200]), (200, 40), float) for i in (0, 200, 400)
    ]
    lazy = da.concatenate(parts)
    options = {"l1_ratios": [1.0], "Cs": [0.1, 1.0], "cv": 3}
    labels, weights = y[:600], weights[:600]
    ours = model(**options).fit(lazy, *chunked(labels, weights, chunks=200))
    assert_same(ours, model(**options).fit(sparse, labels, weights))
    narrow = X.astype(np.float32)
    ours, theirs = (model(tol=1e-5).fit(*some) for some in (chunked(narrow, y), (narrow, y)))
    np.testing.assert_allclose(ours.scores_, theirs.scores_, rtol=1e-5)
    assert ours.coef_.dtype == ours.coefs_paths_.dtype == np.float32


def test_working_sets_of_many_sparse_columns_have_folds_too():
    rng = np.random.default_rng(3)
    X = sp.random(1200, 900, 0.02, format="csr", random_state=1)
    y = (X[:, :3].toarray().sum(axis=1) > 0).astype(int) + rng.integers(0, 2, 1200)
    parts = [
        da.from_delayed(dask.delayed(X[i : i + 300]), (300, 900), float)
        for i in range(0, 1200, 300)
    ]
    options = {"l1_ratios": [1.0], "Cs": [0.1, 0.5], "cv": 2}
    ours = model(**options).fit(da.concatenate(parts), da.from_array(y, chunks=300))
    assert_same(ours, model(**options).fit(X, y))


def test_labels_in_memory_and_chunks_of_unknown_length():
    X, y, weights = rows()
    (lazy,) = chunked(X)
    assert_same(model().fit(lazy, list(y), weights), model().fit(X, y, weights))
    some = chunked(X, y, weights)
    mask = some[0][:, 0] > np.median(X[:, 0])
    kept = X[:, 0] > np.median(X[:, 0])
    assert_same(
        model(cv=3).fit(*(array[mask] for array in some)),
        model(cv=3).fit(X[kept], y[kept], weights[kept]),
    )


def test_a_class_that_a_fold_lacks_warns_and_does_not_count(scheduler):
    X, y, weights = rows()
    y = np.where(np.arange(900) < 3, "west", y)
    offset = np.random.default_rng(1).normal(size=(900, 4))
    folds = [(np.r_[3:60, 270:900], np.r_[0:3, 60:270]), (np.r_[0:50, 60:900], np.r_[50:60])]
    for given in ((X, y, weights), (X, y, weights, offset)):
        with pytest.warns(UserWarning, match=r"fold 0 has no rows of \['west'\]"):
            theirs = model(cv=folds).fit(*given)
        with pytest.warns(UserWarning, match=r"fold 0 has no rows of \['west'\]") as record:
            ours = model(cv=folds).fit(*chunked(*given))
        assert record[0].filename == __file__
        assert_same(ours, theirs)


def test_folds_with_nothing_to_score():
    X, y, _ = rows()
    order = np.argsort(y, kind="stable")
    edges = np.flatnonzero(np.diff(np.unique(y, return_inverse=True)[1][order])) + 1
    tests = np.split(np.arange(900), edges)
    folds = [(np.setdiff1d(np.arange(900), test), test) for test in tests]
    with (
        pytest.warns(UserWarning, match="The training part of fold . has no rows of"),
        pytest.raises(ValueError, match="the folds have no rows to score"),
    ):
        model(cv=folds).fit(*chunked(X[order], y[order]))


def test_rows_held_out_do_not_matter_to_the_fit_however_far_they_are():
    """An outlier in no training part, and weights of zero elsewhere."""
    X, y, weights = rows()
    X[0] = 1e9
    weights[100:150] = 0.0
    folds = [(np.arange(300, 900), np.arange(1, 300)), (np.arange(1, 600), np.arange(600, 900))]
    options = {"cv": folds, "l1_ratios": [1.0], "relax": True, "refit": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        theirs = model(**options).fit(X, y, weights)
        ours = model(**options).fit(*chunked(X, y, weights))
    assert_same(ours, theirs)


def test_chunks_are_read_once_and_coefficients_scored_together(monkeypatch):
    X, y, _ = rows()
    reads, scored = [], []

    def chunk(i):
        reads.append(i)
        return X[300 * i : 300 * (i + 1)]

    lazy = da.concatenate(
        [da.from_delayed(dask.delayed(chunk)(i), (300, 5), dtype=float) for i in range(3)]
    )
    reduced = _chunked_rows.reduced

    def counting(scheduler, function, chunks, argument, together):
        if argument.kernel is _dask_folds._log_likelihoods:
            scored.append(len(argument.args[0].path.coefs))
        return reduced(scheduler, function, chunks, argument, together)

    monkeypatch.setattr(_chunked_rows, "reduced", counting)
    whole = model(Cs=5).fit(lazy, da.from_array(y, chunks=300))
    assert sorted(reads) == [0, 1, 2]
    assert scored == [5] * 5
    scored.clear()
    monkeypatch.setattr(_dask_folds, "COEFFICIENT_BYTES", 2 * whole.coef_.nbytes)
    assert_same(model(Cs=5).fit(*chunked(X, y)), whole)
    assert scored == [2, 2, 1] * 5


def test_what_travels_for_folds_has_the_size_of_the_coefficients(monkeypatch):
    """Marks are with the chunks, of which nothing is made for a fold."""
    X, y, weights = rows(60_000)
    sizes, chunk_lists = [], []
    reduced = _chunked_rows.reduced

    def counting(scheduler, function, chunks, argument, together):
        result = reduced(scheduler, function, chunks, argument, together)
        sizes.append(len(pickle.dumps(argument)) + len(pickle.dumps(result)))
        chunk_lists.append([id(chunk) for chunk in chunks])
        return result

    monkeypatch.setattr(_chunked_rows, "reduced", counting)
    clf = model(Cs=[0.1, 1.0], cv=2).fit(*chunked(X, y, weights, chunks=10_000))
    assert max(sizes) < 20 * (clf.coef_.nbytes + 1000) < len(X)
    assert len(chunk_lists) > 10
    assert all(chunks == chunk_lists[0] for chunks in chunk_lists)


def test_what_needs_rows_in_memory_is_refused_and_the_earlier_fit_stays():
    X, y, _ = rows()
    lazy = chunked(X, y)
    clf = model().fit(*lazy)
    coef = clf.coef_
    scorer = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False)
    with_nan = X.copy()
    with_nan[700, 1] = np.nan
    cases = [
        ({"scoring": "accuracy"}, lazy, {}, TypeError, "scoring must be None .* found 'accuracy'"),
        ({"scoring": scorer}, lazy, {}, TypeError, "scoring must be None"),
        ({}, lazy, {"groups": np.arange(900)}, TypeError, "fit takes no groups with Dask"),
        ({}, (X, lazy[1]), {}, TypeError, "X is a ndarray"),
        ({"cv": [(np.arange(9), np.arange(8, 99))]}, lazy, {}, ValueError, "fold 0 of cv has a ro"),
        ({"cv": [([1, 1, 2], [3])]}, lazy, {}, ValueError, "fold 0 of cv has a row twice"),
        ({"cv": []}, lazy, {}, ValueError, "cv gives no folds"),
        ({}, chunked(with_nan, y), {}, ValueError, "NaN: in chunk 2"),
        ({"cv": 1000}, lazy, {}, ValueError, "n_splits=1000"),
    ]
    for parameters, given, more, kind, message in cases:
        clf.set_params(**(model().get_params() | parameters))
        with pytest.raises(kind, match=message):
            clf.fit(*given, **more)
        assert clf.coef_ is coef


class Ends:
    """Remembers the ends of tasks; ends the path of a fold early."""

    def __init__(self, stops_at=None):
        self.ends, self.stops_at = [], stops_at

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        path = (
            context.task_id
            if context.task_name == "path"
            else context.parent and (context.parent.task_id)
        )
        self.ends.append((context.task_name, path, fitted_estimator, X, y, metadata))
        return context.task_name == "penalty" and path == self.stops_at


def test_the_score_of_chunks():
    X, y, weights = rows()
    X[:, 0] *= 2.0
    lazy = chunked(X, y, weights)
    clf = model().fit(*lazy)
    assert clf.score(*lazy) == pytest.approx(clf.score(X, y, weights), abs=1e-12)
    assert clf.score(*lazy[:2]) == pytest.approx(clf.score(X, y), abs=1e-12)
    with pytest.raises(ValueError, match=r"y has the labels \['west'\]"):
        clf.score(lazy[0], np.where(y == "east", "west", y))
    with pytest.raises(TypeError, match="scoring must be None or 'neg_log_loss'"):
        clf.set_params(scoring="accuracy").score(*lazy)


def test_callbacks_follow_the_folds():
    X, y, weights = rows()
    ours, theirs = Ends(stops_at=1), Ends(stops_at=1)
    lazy = chunked(X, y, weights)
    lazily = model(cv=3).set_callbacks(ours).fit(*lazy)
    in_memory = model(cv=3).set_callbacks(theirs).fit(X, y, weights)
    assert [end[:2] for end in ours.ends] == [end[:2] for end in theirs.ends]
    np.testing.assert_array_equal(lazily.n_iter_ > 0, in_memory.n_iter_ > 0)
    np.testing.assert_allclose(lazily.scores_, in_memory.scores_, atol=1e-8)
    followed = [
        pair for pair in zip(ours.ends, theirs.ends, strict=True) if pair[0][0] == "penalty"
    ]
    assert len(followed) == 3 + 1 + 3
    for (_, _, one, X_one, y_one, metadata), (_, _, other, X_other, *_, known) in followed:
        np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-8)
        kept = metadata["sample_weight"].compute()
        np.testing.assert_array_equal(X_one.compute()[kept > 0.0], X_other)
        np.testing.assert_array_equal(kept[kept > 0.0], known["sample_weight"])
        assert y_one is lazy[1]
        assert one.predict_proba(X_one).shape == (900, 3)


def test_a_class_without_weight_in_the_training_rows():
    X, y, weights = rows(n=300, K=3)
    at = np.arange(300)
    folds = [(at[:200], at[200:]), (at[100:], at[:100])]
    weights[(at < 200) & (y == "south")] = 0.0
    args = {"Cs": [0.1, 1.0], "cv": folds, "tol": 1e-8}
    with pytest.warns(UserWarning, match=r"fold 0 has no rows of \['south'\]"):
        theirs = MaxentClassifierCV(**args).fit(X, y, sample_weight=weights)
    X, y, weights = chunked(X, y, weights, chunks=100)
    with pytest.warns(UserWarning, match=r"fold 0 has no rows of \['south'\]"):
        ours = MaxentClassifierCV(**args).fit(X, y, sample_weight=weights)
    assert np.isfinite(ours.scores_).all()
    assert_same(ours, theirs)
