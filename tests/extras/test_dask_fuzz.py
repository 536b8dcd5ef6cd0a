"""Random rows in random chunks: the fit of the same rows in memory, or the same refusal."""

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skmaxent import MaxentClassifier
from skmaxent._input import _dask_checks

PARAMETERS = [
    {},
    {"C": 100.0, "solver": "newton-cg"},
    {"l1_ratio": 1.0},
    {"l1_ratio": 0.5, "grouped": True},
    {"bounds": (-0.1, 0.2)},
    {"fit_intercept": False, "solver": "newton-cholesky"},
    {"class_weight": "balanced"},
    {"label_smoothing": 0.2},
]
WEIGHTS = {
    "none": lambda rng, n: None,
    "some": lambda rng, n: rng.random(n) + 0.01,
    "many zeros": lambda rng, n: rng.random(n) * (rng.random(n) < 0.7),
    "counts": lambda rng, n: rng.integers(0, 4, n),
}
# Relative to the largest coefficient, or to one: all of them may be zero.
TOLERANCE = {"f8": 1e-8, "i4": 1e-8, "?": 1e-8, "sparse": 1e-8, "f4": 2e-5}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(20, 300),
    d=st.integers(1, 6),
    K=st.integers(2, 4),
    cuts=st.lists(st.floats(0.0, 1.0), max_size=8),
    kind=st.sampled_from(list(TOLERANCE)),
    weights=st.sampled_from(list(WEIGHTS)),
    parameters=st.sampled_from(PARAMETERS),
)
def test_any_chunks(monkeypatch, seed, n, d, K, cuts, kind, weights, parameters):
    monkeypatch.setattr(_dask_checks, "SMALL_CHUNK_BYTES", 1)
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    y = np.array(["d", "b", "c", "a"])[y]
    X = np.maximum(X, 0.0) if kind == "sparse" else (2.0 * X).astype("i4" if kind == "?" else kind)
    X = X > 0 if kind == "?" else X
    s = WEIGHTS[weights](rng, n)
    edges = [0, *sorted(int(cut * n) for cut in cuts), n]
    chunks = tuple(int(length) for length in np.diff(edges))
    arrays = [None if array is None else da.from_array(array, chunks=(chunks,)) for array in (y, s)]
    lazy = da.from_array(X, chunks=(chunks, -1))
    if kind == "sparse":
        lazy, X = lazy.map_blocks(sp.csr_array), sp.csr_array(X)
    ours, theirs = (MaxentClassifier(tol=1e-10, max_iter=1000, **parameters) for _ in range(2))
    with dask.config.set(scheduler="synchronous"):
        try:
            theirs.fit(X, y, s)
        except ValueError as refusal:
            with pytest.raises(ValueError, match=str(refusal)[:30]):
                ours.fit(lazy, *arrays)
            return
        ours.fit(lazy, *arrays)
    assert ours.classes_.tolist() == theirs.classes_.tolist()
    assert ours.coef_.dtype == theirs.coef_.dtype
    table = np.column_stack([theirs.coef_, theirs.intercept_])
    difference = np.abs(np.column_stack([ours.coef_, ours.intercept_]) - table).max()
    assert difference <= TOLERANCE[kind] * max(1.0, np.abs(table).max())
