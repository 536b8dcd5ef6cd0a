"""Fits of many classes hold no array with an entry for each row and class."""

import tracemalloc

import numpy as np
import pytest
from helpers.problems import problem

from skmaxent import MaxentClassifier
from skmaxent._objective import _objective
from skmaxent._solvers import _preconditioner_choice
from skmaxent._solvers._class_blocks import ClassBlockPreconditioner
from skmaxent._storage import _row_blocks

ROWS, CLASSES = 24_000, 200


@pytest.fixture
def features():
    """Activations of a random layer, float32, and one of many classes."""
    rng = np.random.default_rng(0)
    X = np.maximum(rng.normal(size=(ROWS, 6)) @ rng.normal(size=(6, 12)), 0.0)
    logits = 2.0 * X @ rng.normal(size=(12, CLASSES))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[:CLASSES] = np.arange(CLASSES)
    return X.astype(np.float32), y


def peak_of(call):
    """Bytes that a call allocates at its peak, and its result."""
    tracemalloc.start()
    result = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, result


def test_a_fit_and_its_predictions_take_less_than_one_probability_a_row_and_class(
    features, monkeypatch
):
    X, y = features
    monkeypatch.setattr(_objective, "KEEP_BYTES", 0)
    monkeypatch.setattr(_row_blocks, "BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(_preconditioner_choice, "ASSEMBLED_SIZE", 0)
    monkeypatch.setattr(_preconditioner_choice, "BLOCK_CALLS", 0.0)
    MaxentClassifier().fit(X[:: len(X) // 50], y[:: len(X) // 50] % 3)  # loads modules
    model = MaxentClassifier(C=0.1, tol=1.0, n_jobs=1)
    peak, _ = peak_of(lambda: model.fit(X, y))
    one_array = 4 * ROWS * CLASSES
    assert peak < one_array
    peak, labels = peak_of(lambda: model.predict(X))
    assert peak < one_array / 2
    assert (labels == y).mean() > 5.0 / CLASSES


def test_new_blocks_take_the_place_of_old_ones():
    rng = np.random.default_rng(1)
    K, d = 50, 150
    objective = problem(rng.normal(size=(400, d)), np.arange(400) % K, K)
    thetas = rng.normal(size=(2, d + 1, K)).transpose(0, 2, 1)
    first, second = map(objective.at, thetas)
    held = 4 * K * (d + 1) ** 2

    def built_twice():
        preconditioner = ClassBlockPreconditioner(first, objective)
        preconditioner.build(second, objective)
        return preconditioner

    once, expected = peak_of(lambda: ClassBlockPreconditioner(second, objective))
    twice, preconditioner = peak_of(built_twice)
    assert held < once and twice < once + 0.2 * held
    G = rng.normal(size=objective.shape)
    np.testing.assert_array_equal(preconditioner.solve(G), expected.solve(G))
