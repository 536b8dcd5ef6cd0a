"""shap's values of a linear model are its coefficients times distances from the mean."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_multilabel_classification,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier

# shap makes its colours when it is imported, in a way that matplotlib will not have for ever.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The set_(bad|over|under) function will be deprecated:PendingDeprecationWarning"
)


@pytest.fixture
def shap():
    import shap

    return shap


def named(load):
    X, y = load(return_X_y=True, as_frame=True)
    return X, load().target_names[y]


def logits(clf, X):
    """One column for each row of `coef_`."""
    return clf.decision_function(X).reshape(len(X), -1)


@pytest.mark.parametrize("load", [load_wine, load_iris, load_breast_cancer])
@pytest.mark.parametrize("make", [MaxentClassifier, lambda: MaxentClassifierCV(Cs=[0.1, 1], cv=3)])
def test_independent_features(shap, load, make):
    X, y = named(load)
    clf = make().fit(X, y)
    # All rows are the background, so that their mean is what values are against.
    explainer = shap.LinearExplainer(clf, shap.maskers.Independent(X, max_samples=len(X)))
    found = explainer(X)
    assert found.feature_names == X.columns.tolist()
    values = found.values.reshape(*X.shape, -1)
    distance = X.to_numpy() - X.to_numpy().mean(axis=0)
    np.testing.assert_allclose(values, distance[:, :, None] * clf.coef_.T, atol=1e-9)
    baseline = logits(clf, X).mean(axis=0)
    np.testing.assert_allclose(np.ravel(explainer.expected_value), baseline, atol=1e-9)
    np.testing.assert_allclose(values.sum(axis=1), logits(clf, X) - baseline, atol=1e-9)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_final_step_of_a_pipeline(shap, load):
    X, y = named(load)
    prepare = StandardScaler().set_output(transform="pandas")
    pipe = make_pipeline(prepare, MaxentClassifier()).fit(X, y)
    Z = pipe[:-1].transform(X)
    explainer = shap.Explainer(pipe[-1], Z)
    assert isinstance(explainer, shap.LinearExplainer)
    found = explainer(Z)
    assert found.feature_names == X.columns.tolist()
    total = found.values.sum(axis=1) + found.base_values
    np.testing.assert_allclose(total, pipe.decision_function(X), atol=1e-9)


def test_sparse_rows(shap):
    X, y = load_digits(return_X_y=True)
    X = sp.csr_matrix(X)
    clf = MaxentClassifier().fit(X, y)
    explainer = shap.LinearExplainer(clf, shap.maskers.Independent(X, max_samples=X.shape[0]))
    values = explainer.shap_values(X)
    distance = X.toarray() - X.mean(axis=0).A
    np.testing.assert_allclose(values, distance[:, :, None] * clf.coef_.T, atol=1e-9)
    total = values.sum(axis=1) + explainer.expected_value
    np.testing.assert_allclose(total, clf.decision_function(X), atol=1e-9)


def test_several_labels(shap):
    X, Y = make_multilabel_classification(n_samples=200, random_state=0)
    clf = MultilabelMaxentClassifier().fit(X, Y)
    found = shap.LinearExplainer(clf, X)(X)
    total = found.values.sum(axis=1) + found.base_values
    np.testing.assert_allclose(total, clf.decision_function(X), atol=1e-9)


def test_correlated_features(shap):
    """Credit is shared between correlated features, but all of it adds up to the logits."""
    X, y = load_iris(return_X_y=True)
    clf = MaxentClassifier().fit(X, y == 1)
    explainer = shap.LinearExplainer(clf, shap.maskers.Impute(X), nsamples=100)
    values = explainer.shap_values(X)
    total = values.sum(axis=1) + explainer.expected_value
    np.testing.assert_allclose(total, clf.decision_function(X), atol=1e-6)
    apart = (X - X.mean(axis=0)) * clf.coef_
    assert np.abs(values - apart).max() > 0.1
