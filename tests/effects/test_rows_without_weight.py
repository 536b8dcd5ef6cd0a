"""Rows of weight zero are no rows of the fit: effects of the data's spread do not see them."""

import numpy as np
import pandas as pd
import pytest

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(0)
X = pd.DataFrame({"age": RNG.normal(50.0, 10.0, 200), "member": RNG.integers(0, 2, 200)})
X.loc[:19, "age"] = 1000.0
Y = np.array([*"abc"])[RNG.integers(0, 3, 200)]
WEIGHTS = (np.arange(200) >= 20) * 1.0


@pytest.mark.parametrize("spread", ["sd", "2sd", "iqr", "minmax"])
def test_spread_is_that_of_rows_with_weight(spread):
    clf, part = (MaxentClassifier(C=np.inf, tol=1e-10) for _ in range(2))
    whole = clf.fit(X, Y, WEIGHTS).infer(X, Y, WEIGHTS)
    few = part.fit(X[20:], Y[20:]).infer(X[20:], Y[20:])
    tables = [found.average_comparisons({"age": spread}) for found in (whole, few)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)
