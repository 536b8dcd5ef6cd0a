"""skore's reports find metrics and coefficients as for its own linear models."""

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skore import CrossValidationReport, EstimatorReport

from skmaxent import MaxentClassifier


def split(load):
    X, y = load(return_X_y=True, as_frame=True)
    parts = train_test_split(X, y, random_state=0, stratify=y)
    return dict(zip(("X_train", "X_test", "y_train", "y_test"), parts, strict=True))


def coefficients(report, classes):
    """As `coef_` has them, with the intercepts in front."""
    frame = report.inspection.coefficients().frame()
    if "label" in frame:
        frame = frame.pivot(index="label", columns="feature", values="coefficient").loc[classes]
    else:
        frame = frame.set_index("feature")[["coefficient"]].T
    return frame


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_estimator_report(load):
    data = split(load)
    pipe = make_pipeline(StandardScaler(), MaxentClassifier())
    report = EstimatorReport(pipe, **data)
    fitted = report.estimator_
    y, P = data["y_test"], fitted.predict_proba(data["X_test"])
    assert report.metrics.accuracy() == pytest.approx(
        accuracy_score(y, fitted.predict(data["X_test"])), rel=1e-12
    )
    assert report.metrics.log_loss() == pytest.approx(log_loss(y, P), rel=1e-12)
    if P.shape[1] == 2:
        assert report.metrics.roc_auc() == pytest.approx(roc_auc_score(y, P[:, 1]), rel=1e-12)
    found = coefficients(report, fitted.classes_)
    features = data["X_train"].columns
    np.testing.assert_array_equal(found[features], fitted[-1].coef_)
    np.testing.assert_array_equal(found["Intercept"].to_numpy(), fitted[-1].intercept_)


def test_summaries_equal_those_of_logistic_regression():
    data = split(load_wine)
    frames = [
        EstimatorReport(make_pipeline(StandardScaler(), clf), **data)
        .metrics.summarize()
        .frame()
        .drop(["fit_time", "predict_time"])
        for clf in (MaxentClassifier(tol=1e-8), LogisticRegression(tol=1e-10, max_iter=1000))
    ]
    assert len(frames[0]) > 10
    assert frames[0].index.tolist() == frames[1].index.tolist()
    np.testing.assert_allclose(frames[0], frames[1], atol=1e-6)


@pytest.mark.parametrize("store", [pl.from_pandas, lambda X: sp.csr_array(X.to_numpy())])
def test_frames_of_polars_and_sparse_rows(store):
    X, y = load_wine(return_X_y=True, as_frame=True)
    parts = train_test_split(store(X), y.to_numpy(), random_state=0)
    names = ("X_train", "X_test", "y_train", "y_test")
    report = EstimatorReport(MaxentClassifier(), **dict(zip(names, parts, strict=True)))
    found = coefficients(report, report.estimator_.classes_)
    np.testing.assert_array_equal(found["Intercept"], report.estimator_.intercept_)
    first = X.columns[0] if "alcohol" in found else "Feature #0"
    np.testing.assert_array_equal(found[first], report.estimator_.coef_[:, 0])


def test_cross_validation_report():
    X, y = load_wine(return_X_y=True, as_frame=True)
    pipe = make_pipeline(StandardScaler(), MaxentClassifier())
    folds = StratifiedKFold(3)
    report = CrossValidationReport(pipe, X, y, splitter=folds)
    fits = [pipe.fit(X.iloc[train], y.iloc[train])[-1].coef_ for train, _ in folds.split(X, y)]
    frame = report.inspection.coefficients().frame()
    frame = frame.pivot(index="label", columns="feature", values="coefficient_mean")
    np.testing.assert_allclose(frame[X.columns], np.mean(fits, axis=0))
    assert [len(part.y_test) for part in report.reports_] == [60, 59, 59]
