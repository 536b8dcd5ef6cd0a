"""Results of Dask collections, and of new rows in these: what they are of the rows in memory."""

import pickle

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skmaxent import MarginalEffectsDisplay, MaxentClassifier

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("several_chunks"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 2))
Y = (X @ [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]] + RNG.gumbel(size=(300, 3))).argmax(axis=1)
WEIGHTS = RNG.uniform(0.5, 2.0, 300)
WEIGHTS[:100] = 0.0  # a chunk without weight
OFFSET = RNG.normal(size=(300, 3))


def lazy(array, chunks=100):
    return da.from_array(array, chunks=(chunks, *array.shape[1:]))


@pytest.mark.parametrize("offset", [None, OFFSET])
@pytest.mark.parametrize("at", ["overall", "mean"])
def test_effects_and_intervals_of_chunks(scheduler, offset, at):
    results = MaxentClassifier(C=np.inf).fit(X, Y, offset=offset).infer(X, Y, offset=offset)
    given = {} if offset is None else {"offset": offset}
    chunks = {} if offset is None else {"offset": lazy(offset)}
    for weights in ({}, {"sample_weight": WEIGHTS}, {"sample_weight": 2.0}):
        expected = results.marginal_effects(X, at, discrete="x1", **weights, **given)
        some = {k: lazy(v) if np.ndim(v) else v for k, v in weights.items()}
        found = results.marginal_effects(lazy(X), at, discrete="x1", **some, **chunks)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
    found = results.predict_proba_interval(lazy(X), **chunks)
    assert isinstance(found, dd.DataFrame)
    expected = results.predict_proba_interval(X, **given)
    found = found.compute()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert list(found)[:4] == ["0_probability", "0_lower", "0_upper", "1_probability"]


@pytest.mark.filterwarnings("ignore:class_weight multiplies the rows:UserWarning")
@pytest.mark.parametrize("class_weight", [None, {0: 0.4, 1: 1.7}])
@pytest.mark.parametrize("weights", ["frequency", "probability"])
@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_leverages_of_chunks_are_those_of_observations(kind, weights, class_weight):
    s = 3.0 * WEIGHTS
    exact = MaxentClassifier(C=np.inf, tol=1e-9, class_weight=class_weight)
    expected = exact.fit(X, Y, s).infer(X, Y, s, cov_type=kind, weights=weights).covariance
    chunks = lazy(X), lazy(Y), lazy(s)
    found = exact.fit(*chunks).infer(*chunks, cov_type=kind, weights=weights).covariance
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_frames_keep_their_index_and_are_matched_by_name():
    frame = pd.DataFrame(X, columns=["a", "b"], index=np.arange(300) * 2)
    results = MaxentClassifier(C=np.inf).fit(frame, Y).infer(frame, Y)
    chunks = dd.from_pandas(frame, npartitions=3)
    found = results.predict_proba_interval(chunks).compute()
    expected = results.predict_proba_interval(frame)
    assert list(found.index) == list(frame.index)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    pd.testing.assert_frame_equal(
        results.marginal_effects(chunks), results.marginal_effects(frame), rtol=1e-9
    )
    display = MarginalEffectsDisplay.from_results(results, chunks)
    pd.testing.assert_frame_equal(display.table, results.marginal_effects(frame), rtol=1e-9)
    for call in (results.predict_proba_interval, results.marginal_effects):
        with pytest.raises(ValueError, match="names should match"):
            call(chunks[["b", "a"]])
        with pytest.raises(ValueError, match="names should match"):
            call(chunks[["a"]])


def test_sparse_chunks():
    results = MaxentClassifier(C=np.inf).fit(X, Y).infer(X, Y)
    chunks = lazy(X).map_blocks(sp.csr_matrix)
    pd.testing.assert_frame_equal(
        results.marginal_effects(chunks), results.marginal_effects(X), rtol=1e-9
    )
    found = results.predict_proba_interval(chunks).compute()
    np.testing.assert_allclose(found, results.predict_proba_interval(X), rtol=1e-9)


def test_offsets_are_demanded():
    results = MaxentClassifier(C=np.inf).fit(X, Y, offset=OFFSET).infer(X, Y, offset=OFFSET)
    for call in (results.predict_proba_interval, results.marginal_effects):
        with pytest.raises(ValueError, match="predictions need the offset"):
            call(lazy(X))
    with pytest.raises(ValueError, match="sample_weight must have a positive weight, found none"):
        results.marginal_effects(lazy(X), offset=lazy(OFFSET), sample_weight=lazy(0.0 * WEIGHTS))


def test_results_of_chunks(scheduler):
    weights = WEIGHTS + 0.1
    rows = lazy(X), lazy(Y), lazy(weights)
    model = MaxentClassifier(C=np.inf, tol=1e-9).fit(*rows)
    results, same = model.infer(*rows), model.infer(X, Y, weights)
    np.testing.assert_allclose(
        results.predict_proba_interval(X), same.predict_proba_interval(X), rtol=1e-7
    )
    weighted = same.marginal_effects(X)
    pd.testing.assert_frame_equal(
        results.marginal_effects(lazy(X), sample_weight=rows[2]), weighted, rtol=1e-6
    )
    # Whether these are the rows of the fit cannot be told.
    for rows_of, of in ((X, results), (lazy(X), results), (lazy(X), same)):
        with pytest.raises(ValueError, match="expected sample_weight"):
            of.marginal_effects(rows_of)
    loaded = pickle.loads(pickle.dumps(results))
    assert len(pickle.dumps(results)) < 6000
    tests = loaded.with_data(*rows).likelihood_ratio_test()
    pd.testing.assert_frame_equal(tests, same.likelihood_ratio_test(), rtol=1e-5)
    tests = loaded.with_data(X, Y, weights).likelihood_ratio_test()
    pd.testing.assert_frame_equal(tests, same.likelihood_ratio_test(), rtol=1e-5)


def test_labels_that_the_fit_has_not_seen():
    model = MaxentClassifier(C=np.inf).fit(X, Y)
    with pytest.raises(ValueError, match=r"labels \[7\]; expected labels among the classes"):
        model.infer(lazy(X), lazy(np.where(Y == 2, 7, Y)))
