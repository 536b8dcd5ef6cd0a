"""PyTorch tensors, and what is PyTorch's alone."""

import numpy as np
import torch
from helpers.dispatching import run_cases
from sklearn.datasets import load_iris

from skmaxent import MaxentClassifier

X, y = load_iris(return_X_y=True)


def test_fits(tmp_path):
    run_cases("torch", "array_api_cases.py", tmp_path, at_least=79)


def test_what_is_torchs_own(tmp_path):
    run_cases("torch", "torch_cases.py", tmp_path, at_least=23)


def test_without_dispatch_tensors_are_arrays():
    here = MaxentClassifier().fit(X, y)
    there = MaxentClassifier().fit(torch.asarray(X), torch.asarray(y))
    assert type(there.coef_) is np.ndarray
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(there.predict(torch.asarray(X)), here.predict(X))
