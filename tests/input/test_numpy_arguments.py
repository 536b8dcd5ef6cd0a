"""Arguments that are scalars of NumPy, as searches and data frames give them, mean the same."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skmaxent import MaxentClassifier, MaxentClassifierCV, SurveyDesign

X, y = load_iris().data[:, :2], np.arange(150) % 3


@pytest.fixture(scope="module")
def results():
    return MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)


def test_use_t_of_survey_designs(results):
    model, design = MaxentClassifier(C=np.inf).fit(X, y), SurveyDesign(psu=np.arange(150) % 9)
    for flag in (False, True):
        expected = model.infer(X, y, design=design, use_t=flag).conf_int()
        found = model.infer(X, y, design=design, use_t=np.bool_(flag)).conf_int()
        np.testing.assert_array_equal(found, expected)


def test_averages_of_predictions(results):
    for flag in (False, True):
        found = results.predictions(by=np.bool_(flag))
        np.testing.assert_array_equal(found["estimate"], results.predictions(by=flag)["estimate"])


def test_cross_validation_without_relaxed_fits():
    for cv in (3, "loo"):
        model = MaxentClassifierCV(Cs=[0.1, 1.0], cv=cv, relax=np.False_).fit(X, y)
        assert not hasattr(model, "relaxed_scores_")
        assert "gamma" not in model.cv_results_frame().columns


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_decimals_of_tables(results, dtype):
    assert results.to_markdown(decimals=dtype(2)) == results.to_markdown(decimals=2)


def test_half_precision(results):
    smoothing = np.float16(0.1)
    coef = [
        MaxentClassifier(label_smoothing=s).fit(X, y).coef_ for s in (smoothing, float(smoothing))
    ]
    np.testing.assert_array_equal(*coef)
    level = np.float16(0.9)
    np.testing.assert_array_equal(results.conf_int(level), results.conf_int(float(level)))
