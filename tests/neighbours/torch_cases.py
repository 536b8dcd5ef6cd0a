"""Fits to PyTorch tensors beside those of `array_api_cases`; run as these are."""

import pytest
import torch
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._array_api import NamespaceAndDevice
from sklearn.utils.estimator_checks import (
    check_array_api_input,
    check_array_api_mixed_inputs,
    check_array_api_same_namespace,
)

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier

X, y = load_iris(return_X_y=True)
MODELS = [MaxentClassifier(), MultilabelMaxentClassifier()]


@pytest.mark.parametrize("model", MODELS)
def test_scikit_learns_check_of_mixed_libraries(model):
    check_array_api_mixed_inputs(
        type(model).__name__,
        model,
        X_ns_and_device=NamespaceAndDevice("torch", "cpu"),
        other_ns_and_device=NamespaceAndDevice("array_api_strict", "device1"),
        check_values=True,
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_scikit_learns_check_of_one_library(model, library):
    check_array_api_same_namespace(type(model).__name__, model, library)


@pytest.mark.parametrize("model", MODELS)
def test_scikit_learns_check_of_numpy(model):
    check_array_api_input(type(model).__name__, model, array_namespace="numpy", check_values=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float64(dtype):
    with config_context(array_api_dispatch=True):
        there = MaxentClassifier().fit(torch.asarray(X, dtype=dtype), torch.asarray(y))
    narrow = torch.asarray(X, dtype=dtype).to(torch.float64).numpy()
    assert there.coef_.dtype == torch.float64
    assert_allclose(there.coef_.numpy(), MaxentClassifier().fit(narrow, y).coef_, atol=1e-12)


def test_gradients_are_not_recorded():
    with (
        config_context(array_api_dispatch=True),
        pytest.raises(ValueError, match=r"requires_grad=True.*detach"),
    ):
        MaxentClassifier().fit(torch.asarray(X).requires_grad_(), torch.asarray(y))


def test_in_a_pipeline():
    with config_context(array_api_dispatch=True):
        model = make_pipeline(StandardScaler(), MaxentClassifier())
        P = cross_val_predict(
            model, torch.asarray(X), torch.asarray(y), cv=3, method="predict_proba"
        )
    expected = cross_val_predict(model, X, y, cv=3, method="predict_proba")
    assert isinstance(P, torch.Tensor)
    assert_allclose(P.numpy(), expected, atol=1e-7)
