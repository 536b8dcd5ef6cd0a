"""Fits on devices that have no float64; run as `array_api_cases` are."""

import array_api_strict as xp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.datasets import load_iris

from skmaxent import MaxentClassifier
from skmaxent._storage._place import to_host


@pytest.mark.parametrize("n", [1, 60])
def test_what_is_narrow_stays_so(n):
    X, y = (np.repeat(part, n, axis=0) for part in load_iris(return_X_y=True))
    X = X.astype(np.float32)
    weights = np.random.default_rng(0).random(len(y))
    there = MaxentClassifier()
    with config_context(array_api_dispatch=True):
        where = xp.Device("no_float64")
        X_there = xp.asarray(X, device=where)
        y_there = xp.asarray(y.astype(np.int32), device=where)
        there.fit(X_there, y_there, xp.asarray(weights.astype(np.float32), device=where))
        P = to_host(there.predict_proba(X_there))
    assert there.coef_.dtype == xp.float32 and there.coef_.device == where
    here = MaxentClassifier().fit(X, y, weights)
    assert_allclose(to_host(there.coef_), here.coef_, atol=2e-3)
    assert_allclose(P, here.predict_proba(X), atol=2e-3)
