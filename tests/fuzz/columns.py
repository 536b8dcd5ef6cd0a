"""The kinds of columns and of class labels of random problems.

A function of `COLUMNS` takes a random generator, the number n of rows and the most columns that it
may make, and returns an array of shape (n, n_columns).
"""

import numpy as np


def _one(draw):
    """The function that makes one column, the numbers (n,) of ``draw(rng, n)``."""

    return lambda rng, n, width: np.asarray(draw(rng, n), dtype=float).reshape(n, 1)


def _one_hot(rng, n, width):
    levels = min(width, int(rng.integers(2, 6)))
    return np.eye(levels)[rng.integers(levels, size=n)]


def _but_one(rng, n):
    """A column that is constant in all rows but one."""
    column = np.full(n, rng.choice([0.0, 1.0, 5.0]))
    column[rng.integers(n)] += 1.0
    return column


COLUMNS = {
    "normal": _one(lambda rng, n: rng.normal(size=n)),
    "uniform": _one(lambda rng, n: rng.random(n)),
    "integers": _one(lambda rng, n: rng.integers(-5, 6, n)),
    "binary": _one(lambda rng, n: rng.random(n) < rng.uniform(0.05, 0.95)),
    "sparse": _one(lambda rng, n: rng.normal(size=n) * (rng.random(n) < rng.uniform(0.02, 0.5))),
    "one-hot": _one_hot,
    "cauchy": _one(lambda rng, n: rng.standard_cauchy(n)),
    "lognormal": _one(lambda rng, n: np.exp(2 * rng.normal(size=n))),
    "t2": _one(lambda rng, n: rng.standard_t(2, n)),
    "years": _one(lambda rng, n: rng.integers(1950, 2025, n)),
    "seconds": _one(lambda rng, n: np.round(1.7e9 + 1e5 * rng.normal(size=n))),
    "map": _one(lambda rng, n: 5.2e6 + 1e3 * rng.normal(size=n)),
    "nearly-constant": _one(lambda rng, n: 1 + rng.choice([1e-3, 1e-6]) * rng.normal(size=n)),
    "constant": _one(lambda rng, n: np.full(n, rng.choice([0.0, 1.0, 0.1, -3.5, 1e6, 1e-6, 1e10]))),
    "but-one": _one(_but_one),
}

# The entries of sparse columns, (n_entries,), that are not zero.
SPARSE_VALUES = {
    "ones": lambda rng, size: np.ones(size),
    "gaussian": lambda rng, size: rng.normal(size=size),
    "tfidf": lambda rng, size: rng.random(size) / 10,
    "heavy": lambda rng, size: rng.standard_cauchy(size),
}


def sparse_columns(rng, n, d, values):
    """Columns (n, d) with few entries in a row; many have none, and some are in most rows.

    `values` is a name in `SPARSE_VALUES`. Entries at the same place are added up.
    """
    per_row = int(rng.choice([3, 10, 30, 100, 200]))
    size = n * per_row
    if rng.random() < 0.6:
        columns = np.minimum(rng.zipf(1.2 + rng.random(), size=size) - 1, d - 1)
    else:
        columns = rng.integers(d, size=size)
    X = np.zeros((n, d))
    np.add.at(X, (np.repeat(np.arange(n), per_row), columns), SPARSE_VALUES[values](rng, size))
    return X


# The labels of K classes.
LABELS = {
    "codes": lambda K: list(range(K)),
    "signed": lambda K: list(range(-1, K - 1)),
    "far": lambda K: [k * 10**6 - 5 for k in range(K)],
    "text": lambda K: [f"class {chr(97 + k)}" for k in range(K)],
    "halves": lambda K: [k + 1.0 for k in range(K)],
}
