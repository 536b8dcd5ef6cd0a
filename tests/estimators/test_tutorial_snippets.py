"""Code as tutorials of logistic regression have it, with the name of the class replaced.

Each snippet runs and does what scikit-learn's class does with it, or its error says what to write.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel, SequentialFeatureSelector
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, confusion_matrix, log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier

REVIEWS = [
    "good film",
    "bad film",
    "a good story",
    "a bad plot",
    "good",
    "bad",
    "so good",
    "so bad",
]
LIKED = np.array([1, 0, 1, 0, 1, 0, 1, 0])


def split(loader):
    X, y = loader(return_X_y=True)
    return train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)


def test_first_classifier_on_iris():
    X_train, X_test, y_train, y_test = split(load_iris)
    model = MaxentClassifier(max_iter=200)
    model.fit(X_train, y_train)
    assert model.score(X_test, y_test) > 0.9
    assert confusion_matrix(y_test, model.predict(X_test)).sum() == len(y_test)
    theirs = LogisticRegression(max_iter=10_000, tol=1e-8).fit(X_train, y_train)
    np.testing.assert_allclose(model.predict_proba(X_test), theirs.predict_proba(X_test), atol=1e-4)


@pytest.mark.parametrize("multi_class", ["multinomial", "auto"])
def test_softmax_regression_with_multi_class(multi_class):
    X, y = load_iris(return_X_y=True)
    softmax = MaxentClassifier(multi_class=multi_class, solver="lbfgs", C=10, random_state=42)
    softmax.fit(X[:, 2:], y)
    assert softmax.coef_.shape == (3, 2)
    np.testing.assert_allclose(softmax.predict_proba([[5, 2]]).sum(), 1.0)


def test_one_against_the_rest_is_named():
    with pytest.raises(TypeError, match="OneVsRestClassifier"):
        MaxentClassifier(multi_class="ovr")
    X, y = load_iris(return_X_y=True)
    assert len(OneVsRestClassifier(MaxentClassifier()).fit(X, y).estimators_) == 3


def test_every_default_written_out():
    X, y = load_breast_cancer(return_X_y=True)
    model = MaxentClassifier(
        penalty="l2",
        dual=False,
        tol=1e-4,
        C=1.0,
        fit_intercept=True,
        intercept_scaling=1,
        class_weight=None,
        random_state=None,
        solver="lbfgs",
        max_iter=1000,
        multi_class="auto",
        verbose=0,
        warm_start=False,
        n_jobs=None,
        l1_ratio=None,
    ).fit(X, y)
    np.testing.assert_allclose(model.coef_, MaxentClassifier(tol=1e-8).fit(X, y).coef_, atol=1e-4)


def test_scaled_pipeline_with_report():
    X_train, X_test, y_train, y_test = split(load_wine)
    pipe = make_pipeline(StandardScaler(), MaxentClassifier(random_state=1)).fit(X_train, y_train)
    assert "accuracy" in classification_report(y_test, pipe.predict(X_test))
    assert roc_auc_score(y_test, pipe.predict_proba(X_test), multi_class="ovr") > 0.95


def test_grid_over_penalties_and_solvers():
    X, y = load_breast_cancer(return_X_y=True)
    grid = {"penalty": ["l1", "l2"], "C": np.logspace(-2, 1, 3), "solver": ["saga"]}
    search = GridSearchCV(MaxentClassifier(max_iter=5000), grid, cv=3, scoring="accuracy")
    search.fit(StandardScaler().fit_transform(X), y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.95


def test_grid_over_elastic_nets_in_a_pipeline():
    X, y = load_wine(return_X_y=True)
    pipe = Pipeline([("scaler", StandardScaler()), ("clf", MaxentClassifier(penalty="elasticnet"))])
    grid = {"clf__l1_ratio": [0.1, 0.5, 0.9], "clf__multi_class": ["multinomial"]}
    search = GridSearchCV(pipe, grid, cv=StratifiedKFold(3)).fit(X, y)
    assert search.best_params_["clf__l1_ratio"] in (0.1, 0.5, 0.9)


def test_grid_with_liblinear_has_an_error_that_says_what_to_write():
    X, y = load_breast_cancer(return_X_y=True)
    search = GridSearchCV(MaxentClassifier(), {"solver": ["liblinear"]}, cv=3)
    with pytest.raises(ValueError, match="write solver='auto'"):
        search.fit(X, y)


def test_random_search():
    X, y = load_iris(return_X_y=True)
    space = {
        "C": np.logspace(-4, 4, 20),
        "penalty": ["l1", "l2"],
        "class_weight": [None, "balanced"],
    }
    search = RandomizedSearchCV(MaxentClassifier(), space, n_iter=4, cv=3, random_state=0)
    assert search.fit(X, y).best_estimator_.classes_.tolist() == [0, 1, 2]


def test_cross_validated_strengths():
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = MaxentClassifierCV(Cs=5, cv=3, penalty="l1", solver="saga", multi_class="multinomial")
    assert model.fit(X, y).l1_ratio_ == 1.0
    assert cross_val_score(MaxentClassifier(), X, y, cv=3).mean() > 0.9


def test_no_penalty_as_it_was_and_is_written():
    X, y = load_wine(return_X_y=True)
    X = X[:, :2]
    one = MaxentClassifier(penalty=None, tol=1e-8).fit(X, y)
    other = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(one.coef_, other.coef_)
    older = MaxentClassifier(penalty="none", tol=1e-8).fit(X, y)
    np.testing.assert_allclose(older.coef_, other.coef_)


@pytest.mark.parametrize("lasso", [{"penalty": "l1"}, {"l1_ratio": 1.0}])
def test_sparse_weights_select_features(lasso):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ours = MaxentClassifier(C=0.1, solver="saga", max_iter=5000, **lasso)
    theirs = LogisticRegression(penalty="l1", C=0.1, solver="saga", max_iter=50_000, tol=1e-7)
    kept = SelectFromModel(ours).fit(X, y).get_support()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(kept, SelectFromModel(theirs).fit(X, y).get_support())
    assert 2 < kept.sum() < 15
    assert clone(ours).get_params() == ours.get_params()
    assert clone(ours).set_params(penalty="deprecated", l1_ratio=0.5).penalty == "deprecated"


def test_cross_validated_lasso_selects_features():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    search = MaxentClassifierCV(Cs=[0.05, 0.1], l1_ratios=[1.0], cv=3)
    selector = SelectFromModel(search).fit(X, y)
    np.testing.assert_array_equal(selector.get_support(), selector.estimator_.coef_[0] != 0)


def test_recursive_and_sequential_selection():
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    assert RFE(MaxentClassifier(), n_features_to_select=4).fit(X, y).get_support().sum() == 4
    forward = SequentialFeatureSelector(MaxentClassifier(), n_features_to_select=2, cv=2)
    assert forward.fit(X, y).get_support().sum() == 2


def test_titanic_like_columns():
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {
            "age": np.where(rng.random(200) < 0.2, np.nan, rng.normal(30, 10, 200)),
            "sex": rng.choice(["female", "male"], 200),
            "port": rng.choice(["C", "Q", "S"], 200),
        }
    )
    survived = (data["sex"] == "female").astype(int)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["sex", "port"]),
    )
    pipe = Pipeline([("columns", columns), ("classifier", MaxentClassifier(max_iter=1000))])
    assert pipe.fit(data, survived).score(data, survived) == 1.0
    assert len(pipe[:-1].get_feature_names_out()) == pipe[-1].coef_.shape[1]


def test_sentiment_of_counted_words():
    vectorizer = CountVectorizer()
    model = MaxentClassifier(solver="sag", multi_class="auto").fit(
        vectorizer.fit_transform(REVIEWS), LIKED
    )
    words = pd.Series(model.coef_[0], index=vectorizer.get_feature_names_out())
    assert (words.idxmax(), words.idxmin()) == ("good", "bad")


def test_text_pipeline_with_a_grid_of_ngrams():
    pipe = Pipeline([("tfidf", TfidfVectorizer()), ("lr", MaxentClassifier(n_jobs=-1))])
    grid = {"tfidf__ngram_range": [(1, 1), (1, 2)], "lr__C": [1, 100]}
    assert GridSearchCV(pipe, grid, cv=2).fit(REVIEWS, LIKED).predict(["good plot"]).tolist() == [1]


def test_decision_boundary_of_polynomials():
    X, y = load_iris(return_X_y=True)
    pipe = make_pipeline(PolynomialFeatures(degree=3), StandardScaler(), MaxentClassifier(C=100))
    assert pipe.fit(X[:, :2], y).decision_function(X[:, :2]).shape == (150, 3)


def test_digits_warm_start_and_learning_curve():
    X, y = load_digits(return_X_y=True)
    model = MaxentClassifier(warm_start=True, solver="saga", tol=1e-2)
    for C in (0.01, 0.1):
        model.set_params(C=C).fit(X[:400] / 16, y[:400])
    cold = MaxentClassifier(C=0.1, tol=1e-8).fit(X[:400] / 16, y[:400])
    np.testing.assert_allclose(model.coef_, cold.coef_, atol=2e-2)
    sizes, _, scores = learning_curve(model, X[:300], y[:300], train_sizes=[0.3, 1.0], cv=3)
    assert scores.shape == (len(sizes), 3)


def test_ensembles_of_classifiers():
    X, y = load_iris(return_X_y=True)
    members = [("lr", MaxentClassifier(random_state=1)), ("tree", DecisionTreeClassifier())]
    for ensemble in (
        VotingClassifier(members, voting="soft"),
        StackingClassifier(members, final_estimator=MaxentClassifier(), cv=3),
        BaggingClassifier(MaxentClassifier(), n_estimators=3, random_state=0),
        CalibratedClassifierCV(MaxentClassifier(), cv=3),
    ):
        assert log_loss(y, ensemble.fit(X, y).predict_proba(X)) < 0.5


def test_several_outputs():
    X, y = load_iris(return_X_y=True)
    Y = np.c_[y > 0, y > 1].astype(int)
    ours = MultilabelMaxentClassifier(penalty="l2", C=1.0, tol=1e-8).fit(X, Y).predict_proba(X)
    each = MultiOutputClassifier(LogisticRegression(tol=1e-8, max_iter=10_000)).fit(X, Y)
    np.testing.assert_allclose(ours, np.c_[[p[:, 1] for p in each.predict_proba(X)]].T, atol=1e-5)
    assert ClassifierChain(MaxentClassifier()).fit(X, Y).predict(X).shape == Y.shape


def test_importance_of_features():
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), MaxentClassifier()).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=2, random_state=0)
    assert importance.importances_mean.argmax() in range(X.shape[1])
    assert set(model[:-1].get_feature_names_out()) == set(X.columns)
