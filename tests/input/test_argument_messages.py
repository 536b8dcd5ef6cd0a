"""Errors of arguments name the argument, and say what was found."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmaxent import (
    ClassCalibrationDisplay,
    CoefficientDisplay,
    CVCurveDisplay,
    DiagnosticsDisplay,
    EffectsDisplay,
    MarginalEffectsDisplay,
    MaxentClassifier,
    PathDisplay,
    PredictionsDisplay,
    datagrid,
    expected_calibration_error,
    maxent_path,
)

X, y = load_iris().data[:, :2], np.arange(150) % 3


@pytest.fixture(scope="module")
def model():
    return MaxentClassifier(C=np.inf).fit(X, y)


@pytest.fixture(scope="module")
def results(model):
    return model.infer(X, y)


@pytest.fixture(scope="module")
def path():
    return maxent_path(X, y, Cs=[0.1, 1.0], l1_ratio=1.0)


# Values that are no text, some of which cannot be hashed, or compared with a text.
NO_TEXT = [["q"], {"q": 1}, 3, np.array(["q", "r"])]


def _shown(value):
    return re.escape(f"found {value!r}.")


@pytest.mark.parametrize("found", NO_TEXT, ids=str)
def test_a_choice_is_one_of_several_texts(model, results, found):
    for name, call in {
        "comparison": lambda: results.comparisons(comparison=found),
        "slope": lambda: results.slopes(slope=found),
        "interval": lambda: results.predictions(interval=found),
        "grid_type": lambda: datagrid(grid_type=found),
        "test": lambda: results.goodness_of_fit(test=found),
        "strategy": lambda: expected_calibration_error(y, np.eye(3)[y], strategy=found),
        "weights": lambda: model.infer(X, y, weights=found),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be one of .*{_shown(found)}"):
            call()


@pytest.mark.parametrize("found", [-1, 2.5, "two", None, True, [3]], ids=str)
def test_a_count_is_an_integer(results, path, found):
    for name, call in {
        "n_features": lambda: CoefficientDisplay.from_results(results, n_features=found),
        "n_labels": lambda: PathDisplay.from_path(path, n_labels=found),
        "n_bins": lambda: expected_calibration_error(y, np.eye(3)[y], n_bins=found),
        "n_groups": lambda: results.goodness_of_fit(n_groups=found),
        "n_draws": lambda: results.predictions(interval="simulation", n_draws=found),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be an integer of .*{_shown(found)}"):
            call()


@pytest.mark.parametrize("found", ["text", 3, [0, 1]], ids=str)
def test_axes_are_those_of_matplotlib(results, path, found):
    pytest.importorskip("matplotlib")
    for call in (
        lambda: CoefficientDisplay.from_results(results, ax=found),
        lambda: PathDisplay.from_path(path, ax=found),
    ):
        with pytest.raises(TypeError, match="ax must be matplotlib axes, found"):
            call()
    with pytest.raises(TypeError, match="ax must be matplotlib axes, found 0"):
        DiagnosticsDisplay.from_results(results, ax=[0, 1, 2, 3])


@pytest.mark.parametrize("found", [-3, 2.5, None, ["x0", 3]], ids=str)
def test_features_and_discrete_columns_are_names(model, results, found):
    if found is not None:
        with pytest.raises(ValueError, match="features must be names of features of X"):
            model.infer(X, y, features=found)
        with pytest.raises(ValueError, match="features must be names"):
            results.wald_test(found)
    with pytest.raises(ValueError, match=r"discrete has .*, no features of the model"):
        results.marginal_effects(X, discrete=found)


@pytest.mark.parametrize("found", [["setosa", 3], [0], {}, 7], ids=str)
def test_a_class_is_a_label(model, results, path, found):
    with pytest.raises(ValueError, match=f"reference is {re.escape(repr(found))}; expected"):
        model.infer(X, y, reference=found)
    with pytest.raises(ValueError, match=f"reference is {re.escape(repr(found))}; expected"):
        results.relative_to(found)
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=f"class_label is {re.escape(repr(found))}; expected"):
        PathDisplay.from_path(path, class_label=found)


def test_data_of_other_shapes_are_refused(results):
    with pytest.raises(ValueError, match=r"newdata must be a DataFrame .* found the shape \(2,\)"):
        results.predictions(newdata=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"X must have one or two dimensions.* \(\)"):
        results.score_test(-7.0)
    for found in ("x0", ["x0"], 3):
        with pytest.raises(TypeError, match="terms must be a dict from names of terms"):
            results.score_test(X[:, :1], terms=found)


def test_displays_draw_results_and_paths(model, results):
    for Display in (CoefficientDisplay, DiagnosticsDisplay, ClassCalibrationDisplay):
        with pytest.raises(TypeError, match=r"results must be results of infer, found .* Maxent"):
            Display.from_results(model)
    for Display, argument in ((MarginalEffectsDisplay, X), (PredictionsDisplay, "x0")):
        with pytest.raises(TypeError, match=r"results must be results of infer, found .* Maxent"):
            Display.from_results(model, argument)
    with pytest.raises(TypeError, match=r"results must be results of infer, found .* str"):
        EffectsDisplay.from_results("text")
    with pytest.raises(TypeError, match=r"path must be a result of maxent_path, found .* Infer"):
        PathDisplay.from_path(results)
    with pytest.raises(TypeError, match=r"estimator must be a MaxentClassifierCV, found .* Maxent"):
        CVCurveDisplay.from_estimator(model)
    with pytest.raises(TypeError, match="infer expects a MaxentClassifier or a Pipeline"):
        CoefficientDisplay.from_estimator(results, X, y)


def test_coefficients_of_a_pipeline_are_drawn(model):
    pytest.importorskip("matplotlib")
    pipe = make_pipeline(FunctionTransformer(), model)
    alone = CoefficientDisplay.from_estimator(model, X, y)
    display = CoefficientDisplay.from_estimator(pipe, X, y)
    np.testing.assert_array_equal(display.table.to_numpy(), alone.table.to_numpy())
