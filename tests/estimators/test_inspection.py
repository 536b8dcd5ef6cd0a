"""What scikit-learn's inspection and displays make of the model, against what it is by hand."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_score, learning_curve
from sklearn.model_selection import validation_curve as validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def named(load, n_features=None):
    X, y = load(return_X_y=True, as_frame=True)
    return X.iloc[:, :n_features], load().target_names[y]


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_partial_dependence(load, method):
    X, y = named(load, 6)
    clf = MaxentClassifier().fit(X, y)
    name = X.columns[1]
    found = partial_dependence(clf, X, [name], response_method=method, grid_resolution=7)
    grid = found["grid_values"][0]
    by_hand = [getattr(clf, method)(X.assign(**{name: value})).mean(axis=0) for value in grid]
    by_hand = np.reshape(by_hand, (len(grid), -1))[:, -len(clf.coef_) :]
    np.testing.assert_allclose(found["average"], by_hand.T, rtol=1e-10)
    if method == "decision_function":
        slope = np.diff(found["average"]) / np.diff(grid)
        np.testing.assert_allclose(slope, np.repeat(clf.coef_[:, [1]], 6, axis=1), rtol=1e-7)


def test_partial_dependence_display():
    X, y = named(load_wine, 6)
    clf = MaxentClassifier().fit(X, y)
    display = PartialDependenceDisplay.from_estimator(
        clf, X, ["alcohol", "ash"], target="class_1", grid_resolution=5
    )
    assert [axis.get_xlabel() for axis in display.axes_.ravel()] == ["alcohol", "ash"]
    for name, line in zip(["alcohol", "ash"], display.lines_.ravel(), strict=True):
        x, p = line.get_data()
        by_hand = [clf.predict_proba(X.assign(**{name: value}))[:, 1].mean() for value in x]
        np.testing.assert_allclose(p, by_hand, rtol=1e-10)


def test_permutation_importance():
    """Equal to that of scikit-learn's estimator with these coefficients; none without one."""
    X, y = named(load_wine)
    clf = MaxentClassifier(penalty_factor={"ash": np.inf, "hue": np.inf}).fit(X, y)
    same = LogisticRegression(max_iter=10_000).fit(X, y)
    same.coef_, same.intercept_ = clf.coef_, clf.intercept_
    options = {"scoring": "neg_log_loss", "n_repeats": 3, "random_state": 0}
    found = permutation_importance(clf, X, y, **options)
    expected = permutation_importance(same, X, y, **options)
    np.testing.assert_allclose(found.importances, expected.importances, atol=1e-12)
    zero = X.columns.isin(["ash", "hue"])
    assert not found.importances[zero].any()
    assert (found.importances_mean[~zero] > 0).all()


def test_decision_boundary_of_two_classes():
    X, y = named(load_breast_cancer, 2)
    clf = MaxentClassifier().fit(X, y)
    display = DecisionBoundaryDisplay.from_estimator(
        clf, X, response_method="decision_function", plot_method="contour", levels=[0.0]
    )
    assert (display.xlabel, display.ylabel) == tuple(X.columns)
    grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    np.testing.assert_allclose(display.response.ravel(), grid @ clf.coef_[0] + clf.intercept_)
    (line,) = (path.vertices for path in display.surface_.get_paths())
    np.testing.assert_allclose(line @ clf.coef_[0], -clf.intercept_[0], rtol=1e-6)


def test_decision_boundaries_of_three_classes():
    X, y = named(load_iris, 2)
    clf = MaxentClassifier().fit(X, y)
    display = DecisionBoundaryDisplay.from_estimator(clf, X, response_method="predict")
    grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    codes = (grid @ clf.coef_.T + clf.intercept_).argmax(axis=1)
    assert set(codes) == {0, 1, 2}
    np.testing.assert_array_equal(display.response.ravel(), codes)
    one = DecisionBoundaryDisplay.from_estimator(
        clf, X, response_method="predict_proba", class_of_interest="virginica"
    )
    np.testing.assert_allclose(one.response.ravel(), predict_proba(clf, grid)[:, 2], rtol=1e-12)


def predict_proba(clf, X):
    P = np.exp(X @ clf.coef_.T + clf.intercept_)
    return P / P.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_bins", [1, 8])
def test_calibration_display(n_bins):
    """An intercept that is not penalised makes the mean probability the share of the class."""
    X, y = named(load_breast_cancer)
    clf = make_pipeline(StandardScaler(), MaxentClassifier(tol=1e-8)).fit(X, y)
    display = CalibrationDisplay.from_estimator(clf, X, y, n_bins=n_bins)
    p = clf.predict_proba(X)[:, 1]
    sizes = np.unique(np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], p), return_counts=True)
    for found in (display.prob_true, display.prob_pred):
        total = np.average(found, weights=sizes[1])
        np.testing.assert_allclose(total, (y == clf.classes_[1]).mean(), rtol=1e-7)


def test_roc_curve_display():
    X, y = named(load_breast_cancer, 5)
    clf = MaxentClassifier().fit(X, y)
    display = RocCurveDisplay.from_estimator(clf, X, y)
    scores, positive = clf.decision_function(X), y == clf.classes_[1]
    n_pairs = positive.sum() * (~positive).sum()
    share = mannwhitneyu(scores[positive], scores[~positive]).statistic / n_pairs
    assert display.roc_auc == pytest.approx(share, rel=1e-12)


def test_validation_curve():
    """The weaker the penalty, the better the fit to the rows that are fitted."""
    X, y = named(load_wine)
    pipe = make_pipeline(StandardScaler(), MaxentClassifier())
    folds, Cs = StratifiedKFold(3), [1e-3, 1e-1, 10.0]
    fitted, held_out = validate(
        pipe,
        X,
        y,
        param_name="maxentclassifier__C",
        param_range=Cs,
        cv=folds,
        scoring="neg_log_loss",
    )
    assert (np.diff(fitted, axis=0) > 0).all()
    for i, (train, test) in enumerate(folds.split(X, y)):
        for j, C in enumerate(Cs):
            clf = pipe.set_params(maxentclassifier__C=C).fit(X.iloc[train], y[train])
            for scores, rows in ((fitted, train), (held_out, test)):
                by_hand = -log_loss(y[rows], clf.predict_proba(X.iloc[rows]))
                assert scores[j, i] == pytest.approx(by_hand, rel=1e-9)


def test_learning_curve():
    """Of all rows it is what cross-validation finds."""
    X, y = named(load_wine)
    pipe = make_pipeline(StandardScaler(), MaxentClassifier(tol=1e-8))
    sizes, _, held_out = learning_curve(
        pipe,
        X,
        y,
        train_sizes=[0.3, 1.0],
        cv=2,
        shuffle=True,
        random_state=0,
        scoring="neg_log_loss",
    )
    assert sizes.tolist() == [26, 89]
    full = cross_val_score(pipe, X, y, cv=2, scoring="neg_log_loss")
    np.testing.assert_allclose(held_out[1], full, rtol=1e-7)
    assert held_out[0].mean() < held_out[1].mean()
