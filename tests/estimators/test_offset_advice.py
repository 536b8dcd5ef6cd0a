"""What warnings of fits with large offsets advise."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier

X, Y = load_iris(return_X_y=True)
OFFSET = 1e5 * np.random.default_rng(0).normal(size=(150, 3))


@pytest.mark.parametrize("options", [{"l1_ratio": 1.0}, {"max_iter": 3}])
def test_large_offsets_are_named_and_no_column(options):
    labels = np.random.default_rng(1).integers(0, 3, 150)
    with pytest.warns(ConvergenceWarning, match="look at the offset, whose values differ by up to"):
        MaxentClassifier(**options).fit(X, labels, offset=OFFSET)


def test_small_offsets_are_not_named():
    with pytest.warns(ConvergenceWarning, match=r"raise max_iter\.$"):
        MaxentClassifier(max_iter=2).fit(X, Y, offset=1e-4 * OFFSET)


def test_what_an_offset_adds_to_all_classes_is_not_large():
    with pytest.warns(ConvergenceWarning, match=r"raise max_iter\.$"):
        MaxentClassifier(max_iter=2).fit(X, Y, offset=np.full((150, 3), 1e6))
