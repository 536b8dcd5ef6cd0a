"""The layouts in which random problems hold X: arrays, frames and sparse matrices of all kinds.

A function of `STORAGES` takes X as an ndarray and a random generator, and returns the same numbers.
"""

import numpy as np
import pandas as pd
import scipy.sparse as sp


def _padded(X, rng):
    wide = np.zeros((X.shape[0] * 2, X.shape[1] * 3), X.dtype)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def _read_only(X, rng):
    X = X.copy()
    X.flags.writeable = False
    return X


def _csr_duplicates(X, rng):
    """Each entry v as 2 v and -v, whose sum is exact."""
    A = sp.csr_matrix(X)
    data = np.column_stack([2 * A.data, -A.data]).ravel()
    return sp.csr_matrix((data, np.repeat(A.indices, 2), A.indptr * 2), shape=A.shape)


def _csr_unsorted(X, rng):
    A = sp.csr_matrix(X)
    for start, stop in zip(A.indptr[:-1], A.indptr[1:], strict=True):
        order = rng.permutation(stop - start)
        A.data[start:stop] = A.data[start:stop][order]
        A.indices[start:stop] = A.indices[start:stop][order]
    A.has_sorted_indices = False
    return A


def _csr_zeros(X, rng):
    columns = np.tile(np.arange(X.shape[1]), X.shape[0])
    starts = np.arange(0, X.size + 1, X.shape[1])
    return sp.csr_array((X.ravel().copy(), columns, starts), shape=X.shape)


def _csr_spare(X, rng):
    A = sp.csr_array(X)
    A.data, A.indices = np.r_[A.data, X.dtype.type(7)], np.r_[A.indices, A.indices.dtype.type(0)]
    return A


def _csr_wide_index(X, rng):
    A = sp.csr_matrix(X)
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


def _csr_read_only(X, rng):
    A = sp.csr_array(X)
    for array in (A.data, A.indices, A.indptr):
        array.flags.writeable = False
    return A


def _coo_duplicates(X, rng):
    A = sp.coo_array(X)
    order = rng.permutation(2 * A.nnz)
    data = np.r_[2 * A.data, -A.data][order]
    row, column = (np.tile(index, 2)[order] for index in (A.row, A.col))
    return sp.coo_array((data, (row, column)), shape=A.shape)


STORAGES = {
    "C": lambda X, rng: X.copy(),
    "F": lambda X, rng: np.asfortranarray(X),
    "strided": _padded,
    "reversed": lambda X, rng: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": _read_only,
    "big-endian": lambda X, rng: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X, rng: X.tolist(),
    "object": lambda X, rng: X.astype(object),
    "frame": lambda X, rng: pd.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])]),
    "csr": lambda X, rng: sp.csr_array(X),
    "csr-matrix": lambda X, rng: sp.csr_matrix(X),
    "csc": lambda X, rng: sp.csc_array(X),
    "coo": lambda X, rng: sp.coo_array(X),
    "lil": lambda X, rng: sp.lil_array(X),
    "bsr": lambda X, rng: sp.bsr_array(X),
    "csr-duplicates": _csr_duplicates,
    "csr-unsorted": _csr_unsorted,
    "csr-zeros": _csr_zeros,
    "csr-spare": _csr_spare,
    "csr-int64": _csr_wide_index,
    "csr-read-only": _csr_read_only,
    "coo-duplicates": _coo_duplicates,
}

# Names of sparse layouts. "csr-zeros" stores every zero, and "lil" is slow for wide X.
SPARSE = tuple(name for name in STORAGES if name.startswith(("cs", "coo")) and name != "csr-zeros")


def stored(problem, storage=None):
    """X of a problem as the estimator gets it, in the given storage or in that of the problem."""
    rng = np.random.default_rng(problem.seed)
    return STORAGES[storage or problem.storage](problem.X, rng)
