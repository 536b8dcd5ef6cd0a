"""Pickles of results: without training rows, which can be given again."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers.saving import by_joblib, by_pickle
from sklearn.datasets import load_wine

from skmaxent import MaxentClassifier

X, Y = load_wine(return_X_y=True, as_frame=True)
X = X[["alcohol", "malic_acid", "hue"]]
WEIGHTS = np.random.default_rng(0).integers(1, 4, len(X))
OFFSET = np.random.default_rng(1).normal(size=(len(X), 3))


def made(rows, y, infer=None, **params):
    model = MaxentClassifier(**{"C": np.inf} | params).fit(rows, y)
    return model.infer(rows, y, **infer or {})


OPTIONS = {
    "plain": {},
    "ridge": {"C": 1.0},
    "reduced bias": {"bias_reduction": "mean"},
    "robust": {"infer": {"cov_type": "HC0"}},
    "cluster": {"infer": {"cov_type": "cluster"}},
    "features": {"infer": {"features": ["x0"]}},
    "bootstrap": {"infer": {"method": "bootstrap", "n_bootstrap": 3}},
    "split": {"l1_ratio": 1.0, "C": 1.0, "infer": {"method": "split"}},
}


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("kind", OPTIONS)
def test_size_does_not_depend_on_the_rows(kind, storage):
    sizes = []
    for n in (300, 3000):
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(n, 2))
        y = (rows @ [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]] + rng.gumbel(size=(n, 3))).argmax(axis=1)
        options = copy.deepcopy(OPTIONS[kind])
        if kind == "cluster":
            options["infer"]["groups"] = np.arange(n) % 30
        results = made(storage(rows), y, **options)
        sizes.append(len(pickle.dumps(results)))
    assert abs(sizes[1] - sizes[0]) < 100
    assert sizes[1] < 6000


def test_tables_and_weights_are_left_out_too():
    rng = np.random.default_rng(0)
    rows, counts = rng.normal(size=(2000, 2)), rng.integers(1, 5, (2000, 3))
    weights, offset = rng.uniform(0.5, 2.0, 2000), rng.normal(size=(2000, 3))
    model = MaxentClassifier(C=np.inf).fit(rows, counts, weights, offset)
    assert len(pickle.dumps(model.infer(rows, counts, weights, offset))) < 6000


def test_memory_maps_are_left_out(tmp_path):
    joblib.dump(np.random.default_rng(0).normal(size=(2000, 2)), tmp_path / "rows")
    rows = joblib.load(tmp_path / "rows", mmap_mode="r")
    results = made(rows, np.arange(2000) % 3)
    assert len(pickle.dumps(results)) < 6000
    assert str(tmp_path).encode() not in pickle.dumps(results)


@pytest.mark.parametrize("saved", [by_pickle, by_joblib])
def test_what_needs_the_rows_asks_for_them(saved):
    model = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, Y, WEIGHTS, OFFSET)
    results = model.infer(X, Y, WEIGHTS, OFFSET)
    loaded = saved(results)
    pd.testing.assert_frame_equal(loaded.summary(), results.summary())
    pd.testing.assert_frame_equal(loaded.wald_test(), results.wald_test())
    assert str(loaded) == str(results)
    given = {"X": X[:5], "offset": OFFSET[:5]}
    pd.testing.assert_frame_equal(
        loaded.predict_proba_interval(**given), results.predict_proba_interval(**given)
    )
    pd.testing.assert_frame_equal(
        loaded.marginal_effects(**given), results.marginal_effects(**given)
    )
    more = pd.DataFrame({"more": np.random.default_rng(2).normal(size=len(X))})
    needing = (
        lambda of: of.likelihood_ratio_test(features=["hue"]),
        lambda of: of.score_test(more),
        lambda of: of.profile_conf_int(features="hue"),
        lambda of: of.marginal_effects(X, offset=OFFSET),
    )
    for call in needing:
        with pytest.raises(ValueError, match=r"rows of the fit, which a pickle .*with_data\(X, y"):
            call(loaded)
    again = loaded.with_data(X, Y, WEIGHTS, OFFSET)
    for call in needing:
        pd.testing.assert_frame_equal(call(again), call(results))
    weighted = loaded.marginal_effects(X, offset=OFFSET, sample_weight=WEIGHTS)
    pd.testing.assert_frame_equal(weighted, results.marginal_effects(X, offset=OFFSET))
    with pytest.raises(ValueError, match="with_data"):  # the loaded results are as they were
        needing[0](loaded)


def test_other_rows_are_not_those_of_the_fit():
    model = MaxentClassifier(C=np.inf).fit(X, Y, WEIGHTS)
    loaded = by_pickle(model.infer(X, Y, WEIGHTS))
    message = "are not those that were given to infer"
    for given in ((X, Y), (X[:-1], Y[:-1], WEIGHTS[:-1]), (X, Y[::-1].to_numpy(), WEIGHTS)):
        with pytest.raises(ValueError, match=message):
            loaded.with_data(*given)
    with pytest.raises(ValueError, match=message):
        loaded.with_data(X, Y, WEIGHTS, OFFSET)
    with pytest.raises(ValueError, match="names should match"):
        loaded.with_data(X.iloc[:, ::-1], Y, WEIGHTS)
    with pytest.raises(ValueError, match=r"the labels \[7\], which the fit has not seen"):
        loaded.with_data(X, Y.replace(2, 7), WEIGHTS)
    split = MaxentClassifier(l1_ratio=1.0).fit(X, Y).infer(X, Y, method="split")
    with pytest.raises(ValueError, match="drawn at random"):
        by_pickle(split).with_data(X, Y)


@pytest.mark.parametrize("reference", [1, "symmetric"])
def test_rows_serve_results_of_another_reference_and_of_bias_reduction(reference):
    rows, y = X[["hue"]][::4], Y[::4] > 0
    results = made(rows, y, bias_reduction="mean", infer={"reference": reference})
    again = by_pickle(results).with_data(rows, y)
    pd.testing.assert_frame_equal(
        again.profile_conf_int(features="hue"), results.profile_conf_int(features="hue")
    )


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_share_the_rows(copied):
    results = made(X, Y)
    other = copied(results)
    assert other is not results
    assert other._rows is results._rows
    pd.testing.assert_frame_equal(
        other.likelihood_ratio_test(features="hue"), results.likelihood_ratio_test(features="hue")
    )
    assert (other.coef is results.coef) == (copied is copy.copy)


def test_results_of_an_unpickled_classifier():
    model = MaxentClassifier(C=np.inf).fit(X, Y)
    loaded = by_pickle(model)
    pd.testing.assert_frame_equal(loaded.infer(X, Y).summary(), model.infer(X, Y).summary())
    pd.testing.assert_frame_equal(
        loaded.infer(X, Y).likelihood_ratio_test(), model.infer(X, Y).likelihood_ratio_test()
    )
