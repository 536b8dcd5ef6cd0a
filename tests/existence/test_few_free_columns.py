"""Searches for separation where only few columns lack a penalty."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_search_needs_matrices_of_the_free_columns_alone(fit_intercept):
    # The ridge of the column with 1e200, for its scaled coefficient, is below the least float64.
    X = sp.random(400, 1500, 0.05, random_state=0, format="csr")
    X.data[5] = 1e200
    y = np.random.default_rng(0).integers(3, size=400)
    tracemalloc.start()
    try:
        clf = MaxentClassifier(fit_intercept=fit_intercept).fit(X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A matrix for all coefficients has (3 * 1500)² entries, 162 MB.
    assert peak < 80e6
    assert clf.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(400))
