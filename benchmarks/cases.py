"""Data for the benchmark: functions that return X, y and C."""

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits, load_wine
from sklearn.preprocessing import normalize


def _labels(logits, rng):
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def _correlated(n, d, K, rng):
    X = rng.normal(size=(n, d)) @ (np.eye(d) + rng.normal(size=(d, d)) / np.sqrt(d))
    return X, _labels(X @ rng.normal(size=(d, K)) / np.sqrt(d), rng)


def tall():
    """100,000 x 100, 10 classes, correlated columns."""
    return *_correlated(100_000, 100, 10, np.random.default_rng(0)), 1.0


def raw_units():
    """50,000 x 50, 5 classes, units over six decades, shifted."""
    rng = np.random.default_rng(1)
    X, y = _correlated(50_000, 50, 5, rng)
    units = 10.0 ** rng.uniform(-3, 3, 50)
    return X * units + 5 * units * rng.normal(size=50), y, 1.0


def digits():
    """1,797 x 64, 10 classes, as scikit-learn ships them."""
    return *load_digits(return_X_y=True), 1.0


def wine():
    """178 x 13, 3 classes, raw units."""
    return *load_wine(return_X_y=True), 1.0


def text():
    """20,000 x 50,000 TF-IDF, 80 Zipf-distributed words a row, 20 classes."""
    rng = np.random.default_rng(2)
    n, d, words = 20_000, 50_000, 80
    share = 1 / np.arange(1, d + 1)
    columns = rng.choice(d, n * words, p=share / share.sum())
    X = sp.csr_matrix((np.ones(n * words), (np.repeat(np.arange(n), words), columns)), (n, d))
    X.sum_duplicates()
    frequency = np.bincount(X.indices, minlength=d)
    X = normalize((X @ sp.diags(np.log((n + 1) / (frequency + 1)) + 1)).tocsr())
    return X, _labels(6 * (X @ rng.normal(size=(d, 20))), rng), 1.0


def many_classes():
    """20,000 x 128, 300 classes."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20_000, 128))
    return X, _labels(X @ rng.normal(size=(128, 300)) * (2 / np.sqrt(128)), rng), 1.0


CASES = {case.__name__: case for case in (tall, raw_units, digits, wine, text, many_classes)}
