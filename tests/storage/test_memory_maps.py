"""A fit of a memory map holds no copy of X, whatever its columns need."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier
from skmaxent._storage import _storage
from skmaxent._storage._column_transform import ColumnTransform
from skmaxent._storage._row_blocks import RowBlocks

ROWS, COLUMNS = 40_000, 100


def with_constant_columns(X, share):
    X[:, : int(share * COLUMNS)] = 3.0


def with_a_column_far_from_zero(X):
    X[:, 1] += 1e8


def with_a_column_out_of_range(X):
    X[:, 1] *= 1e200


@pytest.mark.parametrize(
    "change",
    [
        lambda X: with_constant_columns(X, 0.04),
        lambda X: with_constant_columns(X, 0.3),
        lambda X: with_constant_columns(X, 0.6),
        with_a_column_far_from_zero,
        with_a_column_out_of_range,
    ],
)
def test_a_memory_map_is_not_copied_into_memory(tmp_path, change):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    y = (X[:, -5:].sum(axis=1) + rng.logistic(size=ROWS) > 0.0).astype(np.int8)
    change(X)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    settings = {"C": 0.1, "tol": 1e-6, "n_jobs": 1}
    tracemalloc.start()
    try:
        found = MaxentClassifier(**settings).fit(mapped, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Blocks of 4 MB, a few of them at a time: X takes 32 MB.
    assert peak < X.nbytes / 2
    expected = MaxentClassifier(**settings).fit(X, y)
    scale = np.ptp(X, axis=0)
    np.testing.assert_allclose(found.coef_ * scale, expected.coef_ * scale, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        found.decision_function(X[:50]), expected.decision_function(X[:50]), rtol=1e-6, atol=1e-6
    )


def test_rows_of_a_map_are_transformed_as_those_in_memory(tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    transform = ColumnTransform(
        np.array([0, 2, 4]), np.array([0.0, 2.0, 0.0]), np.array([3, 0, -2])
    )
    blocks, lazy = (
        RowBlocks(rows, np.zeros(300, int), n_logits=1)._with_columns(transform)
        for rows in (X, mapped)
    )
    np.testing.assert_array_equal(np.asarray(lazy.X), blocks.X)
    np.testing.assert_array_equal(lazy.whole().X, blocks.whole().X)
    some, center, scale = np.array([1, 7, 250]), np.arange(3.0), np.full(3, 2.0)
    np.testing.assert_array_equal(
        lazy.take(some, center, scale, float).X, blocks.take(some, center, scale, float).X
    )
    assert not lazy.has_room
    assert (lazy.n_features, lazy.dtype) == (3, np.float32)


@pytest.mark.parametrize(
    ("constant", "n_logits", "leaves"),
    [
        (slice(0, 4), 1, True),  # the other columns are neighbours
        (slice(96, 100), 1, True),
        (slice(3, 4), 1, False),
        (slice(1, 61), 1, False),
        (slice(1, 71), 1, True),
        (slice(1, 25), 5, False),
        (slice(1, 35), 5, True),
        (slice(1, 5), 20, False),
        (slice(1, 15), 20, True),
    ],
)
def test_constant_columns_of_a_map_are_left_out_where_that_saves_time(
    tmp_path, constant, n_logits, leaves
):
    np.save(tmp_path / "X.npy", np.zeros((10, COLUMNS)))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    blocks = RowBlocks(mapped, np.zeros(10, int), n_logits=n_logits)
    is_constant = np.zeros(COLUMNS, dtype=bool)
    is_constant[constant] = True
    assert blocks.pays_to_drop(is_constant) is leaves


@pytest.mark.parametrize("shift", [None, np.array([1.0, 0.0, 2.0])])
def test_neighbouring_columns_of_a_map_are_a_view_of_it(tmp_path, shift):
    X = np.random.default_rng(0).normal(size=(300, 6))
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    transform = ColumnTransform(np.array([2, 3, 4]), shift)
    lazy = RowBlocks(mapped, np.zeros(300, int), n_logits=1)._with_columns(transform)
    np.testing.assert_array_equal(np.asarray(lazy.X), transform(X))
    assert np.shares_memory(lazy.X if shift is None else lazy.X.base, mapped)
    assert not lazy.has_room


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sample_takes_no_more_memory_than_it_may(monkeypatch, is_sparse, dtype):
    limit = 100_000
    monkeypatch.setattr(_storage, "SAMPLE_BYTES", limit)
    X = np.random.default_rng(0).normal(size=(9_000, 30))
    X = sp.csr_array(X * (X > 1.0)) if is_sparse else X
    blocks = RowBlocks(X, np.arange(9_000) % 3, n_logits=3)
    sample = blocks.standardised(np.zeros(30), np.ones(30), 8_000, dtype=dtype)
    found = sample.X.data.nbytes + (sample.X.indices.astype(np.int64).nbytes if is_sparse else 0)
    assert 0.5 * limit < found <= 1.1 * limit
    # The few rows stand for the others, as those of larger samples do.
    assert 0.0 < sample.weight_sums.total <= 9_000


def test_a_certificate_of_a_memory_map_copies_few_rows(tmp_path):
    """It may cost a Hessian of more than half of the rows here, which is not worth a copy."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 50)).astype(np.float32)
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0.0).astype(np.int8)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        clf = MaxentClassifier(tol=0.1, n_jobs=1).fit(mapped, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert clf.optimality_gap_ < 1e-4
    assert peak < X.nbytes / 2
