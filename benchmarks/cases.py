"""Data for the benchmark: functions that return X, y and C."""

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.preprocessing import normalize


def labels(logits, rng):
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def correlated(n, d, K, rng):
    X = rng.normal(size=(n, d)) @ (np.eye(d) + rng.normal(size=(d, d)) / np.sqrt(d))
    return X, labels(X @ rng.normal(size=(d, K)) / np.sqrt(d), rng)


def tall():
    """100,000 x 100, 10 classes, correlated columns."""
    return *correlated(100_000, 100, 10, np.random.default_rng(0)), 1.0


def tall_float32():
    """The same in float32."""
    X, y, C = tall()
    return X.astype(np.float32), y, C


def raw_units():
    """50,000 x 50, 5 classes, units over six decades, shifted."""
    rng = np.random.default_rng(1)
    X, y = correlated(50_000, 50, 5, rng)
    units = 10.0 ** rng.uniform(-3, 3, 50)
    return X * units + 5 * units * rng.normal(size=50), y, 1.0


def imbalanced():
    """100,000 x 30, 3 classes, the rarest a thousandth of the largest."""
    rng = np.random.default_rng(4)
    X, _ = correlated(100_000, 30, 3, rng)
    logits = X @ rng.normal(size=(30, 3)) / 12 + np.log([1.0, 0.1, 0.001])
    return X, labels(logits, rng), 1.0


def digits():
    """1,797 x 64, 10 classes, as scikit-learn ships them."""
    return *load_digits(return_X_y=True), 1.0


def wine():
    """178 x 13, 3 classes, raw units."""
    return *load_wine(return_X_y=True), 1.0


def tiny():
    """Iris, 150 x 4, 3 classes: the fixed cost of a fit."""
    return *load_iris(return_X_y=True), 1.0


def images():
    """10,000 x 784, 10 classes, sparse strokes like MNIST's."""
    rng = np.random.default_rng(5)
    strokes = np.abs(rng.normal(size=(10, 20, 784))) * (rng.random((10, 20, 784)) < 0.06)
    y = rng.integers(0, 10, 10_000)
    mixture = rng.dirichlet(np.full(20, 0.15), 10_000)
    X = np.einsum("nm,nmd->nd", mixture, strokes[y]) + 0.15 * np.abs(rng.normal(size=(10_000, 784)))
    return np.clip(X * (rng.random(784) < 0.9), 0, 1), y, 1.0


def many_classes():
    """20,000 x 128, 300 classes."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20_000, 128))
    return X, labels(X @ rng.normal(size=(128, 300)) * (2 / np.sqrt(128)), rng), 1.0


def thousands_of_classes():
    """50,000 x 64, 5,000 classes."""
    rng = np.random.default_rng(6)
    X, W = rng.normal(size=(50_000, 64)), rng.normal(size=(64, 5000)) * (3 / np.sqrt(64))
    y = np.concatenate([labels(X[i : i + 2000] @ W, rng) for i in range(0, 50_000, 2000)])
    y[:5000] = np.arange(5000)
    return X, y, 1.0


def _text(C):
    rng = np.random.default_rng(2)
    n, d, words = 20_000, 50_000, 80
    share = 1 / np.arange(1, d + 1)
    columns = rng.choice(d, n * words, p=share / share.sum())
    X = sp.csr_matrix((np.ones(n * words), (np.repeat(np.arange(n), words), columns)), (n, d))
    X.sum_duplicates()
    frequency = np.bincount(X.indices, minlength=d)
    X = normalize((X @ sp.diags(np.log((n + 1) / (frequency + 1)) + 1)).tocsr())
    return X, labels(6 * (X @ rng.normal(size=(d, 20))), rng), C


def text():
    """20,000 x 50,000 TF-IDF, 80 Zipf-distributed words a row, 20 classes, C = 1."""
    return _text(1.0)


def text_weak_penalty():
    """The same with C = 100."""
    return _text(100.0)


def one_hot():
    """100,000 rows, 8 categorical columns one-hot as CSR (1,110 columns), 5 classes."""
    rng = np.random.default_rng(7)
    n, levels = 100_000, [2, 5, 10, 20, 50, 100, 300, 623]
    starts = np.cumsum([0, *levels[:-1]])
    codes = [
        np.minimum(rng.zipf(1.4, n) - 1, size - 1) if size > 10 else rng.integers(0, size, n)
        for size in levels
    ]
    columns = (np.column_stack(codes) + starts).ravel()
    X = sp.csr_matrix(
        (np.ones(n * len(levels)), columns, np.arange(0, n * len(levels) + 1, len(levels))),
        (n, sum(levels)),
    )
    return X, labels(X @ rng.normal(size=(sum(levels), 5)), rng), 1.0


def million_rows():
    """1,000,000 x 20, 3 classes."""
    return *correlated(1_000_000, 20, 3, np.random.default_rng(8)), 1.0


def unpenalised():
    """5,000 x 10, 4 classes, no penalty."""
    return *correlated(5000, 10, 4, np.random.default_rng(9)), np.inf


CASES = {
    case.__name__: case
    for case in (
        tall,
        tall_float32,
        raw_units,
        imbalanced,
        million_rows,
        digits,
        wine,
        tiny,
        unpenalised,
        images,
        many_classes,
        thousands_of_classes,
        text,
        text_weak_penalty,
        one_hot,
    )
}
