"""Coefficients that memory cannot hold are an error before anything is fitted."""

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    detect_separation,
    maxent_path,
)
from skmaxent._storage import _arrays

Y = np.arange(30) % 3


def hashed(n_columns):
    """Rows with one entry each, in as many columns as a hash function may have values."""
    columns = np.random.default_rng(0).integers(0, n_columns, 30)
    return sp.csr_array((np.ones(30), (np.arange(30), columns)), shape=(30, n_columns))


def each_fit(X):
    """Functions of each estimator that fit X, with the number of rows of the coefficients."""
    labels = np.eye(3, dtype=int)[Y]
    return {
        "classifier": (3, lambda: MaxentClassifier().fit(X, Y)),
        "two classes": (1, lambda: MaxentClassifier(C=np.inf).fit(X, Y > 0)),
        "lasso": (3, lambda: MaxentClassifier(l1_ratio=1.0).fit(X, Y)),
        "lbfgs": (3, lambda: MaxentClassifier(solver="lbfgs").fit(X, Y)),
        "cross-validation": (3, lambda: MaxentClassifierCV(cv=2).fit(X, Y)),
        "leave-one-out": (3, lambda: MaxentClassifierCV(cv="loo").fit(X, Y)),
        "path": (3, lambda: maxent_path(X, Y)),
        "multilabel": (3, lambda: MultilabelMaxentClassifier().fit(X, labels)),
        "separation": (1, lambda: detect_separation(X, Y > 0)),
    }


@pytest.mark.parametrize("kind", each_fit(None))
@pytest.mark.parametrize("n_columns", [2**40, 2**62 // 100])
def test_hashed_columns_whose_coefficients_exceed_the_memory(kind, n_columns):
    n_rows, fit = each_fit(hashed(n_columns))[kind]
    needed = f"{8 * (n_rows + 2) * n_columns:,} bytes"
    with pytest.raises(MemoryError, match=f"X has {n_columns:,} columns, .* need {needed}"):
        fit()


def test_the_limit_is_the_memory_of_the_process(monkeypatch):
    X = np.random.default_rng(0).normal(size=(30, 5))
    monkeypatch.setattr(_arrays, "memory_bytes", lambda: 8.0 * 5 * 5)
    MaxentClassifier().fit(X, Y)
    monkeypatch.setattr(_arrays, "memory_bytes", lambda: 8.0 * 5 * 5 - 1)
    with pytest.raises(MemoryError, match="need 200 bytes; this process may use 199 bytes"):
        MaxentClassifier().fit(X, Y)


def test_a_path_of_dense_coefficients_that_exceed_the_memory(monkeypatch):
    # The third column has no entries, so that its coefficients stay zero.
    X = np.random.default_rng(0).normal(size=(30, 3)) * [1.0, 1.0, 0.0]
    monkeypatch.setattr(_arrays, "memory_bytes", lambda: 8.0 * 10 * 3 * 2)
    path = maxent_path(X, Y, Cs=10, l1_ratio=0.0)
    message = r"the paths, 11 x 3 x 3 \(Cs x rows of coef_ x features\), need 528 bytes"
    with pytest.raises(MemoryError, match=message):
        maxent_path(X, Y, Cs=11, l1_ratio=0.0)
    assert path.coefs[-1, :, :2].all()
    # Memory is taken by the coefficients of a lasso that are not zero.
    assert maxent_path(X, Y, Cs=11, l1_ratio=1.0).n_nonzero.max() == 2


@pytest.mark.parametrize("cv", [2, "loo"])
def test_paths_of_folds_that_no_memory_holds_are_an_error_before_the_first_fit(cv):
    # 2**47 bytes are all that a process can address; the paths need more.
    y = np.arange(30) % 15
    estimator = MaxentClassifierCV(Cs=np.geomspace(1e-3, 1e3, 10**6), cv=cv, l1_ratios=[0.5, 1.0])
    with pytest.raises(MemoryError, match=r"x 2 x 1,000,000 x 15 x 8,388,609 \(folds x l1_ratios"):
        estimator.fit(hashed(2**23), y)
    assert not hasattr(estimator, "scores_")
