"""scikit-learn's estimators of estimators: with ours as with `LogisticRegression`."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV, SelectFromModel, SequentialFeatureSelector
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skmaxent import MaxentClassifier


def data(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), load().target_names[y]


WINE, CANCER = data(load_wine), data(load_breast_cancer)


def ours(**params):
    return MaxentClassifier(tol=1e-9, **params)


def theirs(**params):
    return LogisticRegression(tol=1e-12, max_iter=10_000, **params)


def both(build, X, y):
    return build(ours()).fit(X, y), build(theirs()).fit(X, y)


@pytest.mark.parametrize("rows", [WINE, CANCER], ids=["wine", "breast cancer"])
@pytest.mark.parametrize(
    "build",
    [
        lambda clf: CalibratedClassifierCV(clf, cv=3),
        lambda clf: CalibratedClassifierCV(clf, cv=3, method="isotonic"),
        lambda clf: CalibratedClassifierCV(clf, cv=3, ensemble=False),
        lambda clf: VotingClassifier(
            [("a", clf), ("b", OneVsRestClassifier(clf))], voting="soft", weights=[1, 2]
        ),
        lambda clf: StackingClassifier([("a", clf)], final_estimator=clf, cv=3),
        lambda clf: StackingClassifier([("a", clf)], clf, cv=3, stack_method="decision_function"),
        lambda clf: BaggingClassifier(clf, 5, max_features=0.5, random_state=0),
        lambda clf: AdaBoostClassifier(clf, n_estimators=3),
        OneVsRestClassifier,
        lambda clf: make_pipeline(SelectFromModel(clf), clf),
        lambda clf: GridSearchCV(clf, {"C": [0.01, 1.0]}, cv=3, scoring="neg_log_loss"),
        lambda clf: HalvingGridSearchCV(clf, {"C": [0.01, 1.0]}, cv=3, random_state=0),
    ],
    ids=lambda build: getattr(build, "__name__", None),
)
def test_probabilities(build, rows):
    one, two = both(build, *rows)
    np.testing.assert_allclose(
        one.predict_proba(rows[0]), two.predict_proba(rows[0]), rtol=0, atol=1e-5
    )
    assert (one.predict(rows[0]) == rows[1]).mean() > 0.9


@pytest.mark.parametrize("build", [OneVsOneClassifier, OutputCodeClassifier])
def test_decisions(build):
    one, two = both(build if build is OneVsOneClassifier else coded, *WINE)
    np.testing.assert_array_equal(one.predict(WINE[0]), two.predict(WINE[0]))
    assert one.score(*WINE) > 0.9


def coded(clf):
    return OutputCodeClassifier(clf, random_state=0)


def test_coefficients_of_one_against_the_rest():
    one, two = both(OneVsRestClassifier, *WINE)
    for a, b in zip(one.estimators_, two.estimators_, strict=True):
        np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-6)


def test_thresholds():
    X, y = CANCER
    one, two = both(
        lambda clf: TunedThresholdClassifierCV(clf, scoring="balanced_accuracy", cv=3), X, y
    )
    assert one.best_threshold_ == pytest.approx(two.best_threshold_, abs=1e-6)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    fixed = FixedThresholdClassifier(ours(), threshold=0.9, pos_label="malignant").fit(X, y)
    p = ours().fit(X, y).predict_proba(X)[:, 1]
    np.testing.assert_array_equal(fixed.predict(X) == "malignant", p >= 0.9)
    logits = FixedThresholdClassifier(
        ours(), threshold=0.0, response_method="decision_function", pos_label="malignant"
    )
    np.testing.assert_array_equal(logits.fit(X, y).predict(X) == "malignant", p >= 0.5)


@pytest.mark.parametrize("rows", [WINE, CANCER], ids=["wine", "breast cancer"])
def test_feature_elimination(rows):
    one, two = both(lambda clf: RFECV(clf, cv=3, scoring="neg_log_loss"), *rows)
    np.testing.assert_array_equal(one.ranking_, two.ranking_)
    one, two = both(lambda clf: SequentialFeatureSelector(clf, n_features_to_select=2, cv=3), *WINE)
    np.testing.assert_array_equal(one.get_support(), two.get_support())


@pytest.mark.parametrize("rows", [WINE, CANCER], ids=["wine", "breast cancer"])
@pytest.mark.parametrize("options", [{}, {"threshold": "median"}, {"norm_order": np.inf}])
def test_selection_by_size_of_coefficients(rows, options):
    one, two = both(lambda clf: SelectFromModel(clf, **options), *rows)
    assert one.threshold_ == pytest.approx(two.threshold_, rel=1e-6)
    np.testing.assert_array_equal(one.get_support(), two.get_support())
    assert 0 < one.get_support().sum() < rows[0].shape[1]


@pytest.mark.parametrize("rows", [WINE, CANCER], ids=["wine", "breast cancer"])
@pytest.mark.parametrize(
    ("lasso", "threshold"),
    [({"l1_ratio": 1.0}, 1e-5), ({"penalty": "l1"}, None)],
    ids=["threshold", "penalty"],
)
def test_selection_by_a_lasso(rows, lasso, threshold):
    """scikit-learn finds a lasso out by penalty="l1" or the name of a class of its own."""
    selector = SelectFromModel(MaxentClassifier(C=0.1, **lasso), threshold=threshold).fit(*rows)
    used = selector.estimator_.coef_.any(axis=0)
    np.testing.assert_array_equal(selector.get_support(), used)
    assert 0 < used.sum() < len(used)


def test_several_targets():
    X, y = CANCER
    Y = np.column_stack([y == "malignant", X[:, 0] > 0.5, X[:, 1] > 0.0]).astype(int)
    X = X[:, 2:]
    one, two = both(MultiOutputClassifier, X, Y)
    for a, b in zip(one.predict_proba(X), two.predict_proba(X), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    one, two = both(ClassifierChain, X, Y)
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-6)


def test_self_training():
    X, y = WINE
    codes = np.unique(y, return_inverse=True)[1]
    codes[np.random.default_rng(0).permutation(len(y))[:120]] = -1
    one, two = both(SelfTrainingClassifier, X, codes)
    np.testing.assert_array_equal(one.labeled_iter_, two.labeled_iter_)
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-6)
