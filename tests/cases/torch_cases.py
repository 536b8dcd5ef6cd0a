"""Fits to PyTorch tensors beside those of `array_api_cases`; run as these are."""

from pathlib import Path

import pytest
import torch
from helpers.pages import differences
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._array_api import NamespaceAndDevice
from sklearn.utils.estimator_checks import (
    check_array_api_mixed_inputs,
    estimator_checks_generator,
)

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier

DOCS = Path(__file__).parents[2] / "docs"
X, y = load_iris(return_X_y=True)
MODELS = [MaxentClassifier(), MultilabelMaxentClassifier()]


HAS_CUDA = torch.cuda.is_available()
# What scikit-learn's checks need and this machine has not.
ELSEWHERE = ("xpu", "mps", "cupy", "dpnp", *(() if HAS_CUDA else ("cuda",)))
CHECKS = [
    (model, check)
    for model in MODELS
    for _, check in estimator_checks_generator(model)
    if check.func.__name__.startswith("check_array_api")
    and not any(word in str(check.keywords) for word in ELSEWHERE)
]


def test_scikit_learn_has_checks():
    # NumPy, array-api-strict on two devices, PyTorch in two widths, mixed, and one library alone;
    # PyTorch in two widths, and mixed, on CUDA.
    assert len(CHECKS) == (10 if HAS_CUDA else 7) * len(MODELS)


@pytest.mark.parametrize(("model", "check"), CHECKS)
def test_scikit_learns_checks(model, check):
    check(model)


@pytest.mark.parametrize("model", MODELS)
def test_scikit_learns_check_of_mixed_libraries_with_values(model):
    check_array_api_mixed_inputs(
        type(model).__name__,
        model,
        X_ns_and_device=NamespaceAndDevice("torch", "cpu"),
        other_ns_and_device=NamespaceAndDevice("array_api_strict", "device1"),
        check_values=True,
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float64(dtype):
    with config_context(array_api_dispatch=True):
        there = MaxentClassifier().fit(torch.asarray(X, dtype=dtype), torch.asarray(y))
    narrow = torch.asarray(X, dtype=dtype).to(torch.float64).numpy()
    assert there.coef_.dtype == torch.float64
    assert_allclose(there.coef_.numpy(), MaxentClassifier().fit(narrow, y).coef_, atol=1e-12)


@pytest.mark.parametrize("recording", ["X", "sample_weight"])
def test_gradients_are_not_recorded(recording):
    given = {"X": torch.asarray(X), "y": torch.asarray(y), "sample_weight": torch.ones(150)}
    given[recording].requires_grad_()
    with (
        config_context(array_api_dispatch=True),
        pytest.raises(ValueError, match=r"requires_grad=True.*detach"),
    ):
        MaxentClassifier().fit(**given)


def test_in_a_pipeline():
    with config_context(array_api_dispatch=True):
        model = make_pipeline(StandardScaler(), MaxentClassifier())
        P = cross_val_predict(
            model, torch.asarray(X), torch.asarray(y), cv=3, method="predict_proba"
        )
    expected = cross_val_predict(model, X, y, cv=3, method="predict_proba")
    assert isinstance(P, torch.Tensor)
    assert_allclose(P.numpy(), expected, atol=1e-7)


def test_the_page_on_array_types_prints_what_it_shows():
    namespace = {}
    assert differences(DOCS / "arrays.md", namespace) == []
    assert float(namespace["P"].sum()) == pytest.approx(10_000, rel=1e-5)
