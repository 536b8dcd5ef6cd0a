"""MaxentClassifier as scikit-learn, pandas and the user meet it."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from skmaxent import MaxentClassifier

IRIS = load_iris(return_X_y=True)


# Those of the array API run in a process where SCIPY_ARRAY_API is set: extras, integration.
CHECKS = [
    check
    for _, check in estimator_checks_generator(MaxentClassifier())
    if not check.func.__name__.startswith("check_array_api")
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.func.__name__)
def test_scikit_learns_checks(check):
    check(MaxentClassifier())


def text():
    """Lines of the descriptions of scikit-learn's data sets, and which they are from."""
    loads = (load_breast_cancer, load_diabetes, load_digits, load_iris, load_linnerud, load_wine)
    lines = [(line, k) for k, load in enumerate(loads) for line in load().DESCR.splitlines()]
    lines = [(line, k) for line, k in lines if len(line.split()) > 3]
    X = TfidfVectorizer().fit_transform([line for line, _ in lines])
    assert X.shape > (200, 700)
    return X, np.array([k for _, k in lines])


DATA = {
    "iris": IRIS,
    "wine": load_wine(return_X_y=True),
    "digits": load_digits(return_X_y=True),
    "breast cancer": load_breast_cancer(return_X_y=True),
    "text": text(),
}


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", DATA)
def test_coefficients_equal_logistic_regression(name, weighted, fit_intercept):
    X, y = DATA[name]
    weights = np.random.default_rng(1).uniform(0.2, 2, len(y)) if weighted else None
    class_weight = {label: 0.5 + label for label in np.unique(y)} if weighted else None
    options = {"fit_intercept": fit_intercept, "class_weight": class_weight}
    ours = MaxentClassifier(tol=1e-7, **options).fit(X, y, weights)
    solver = "newton-cg" if sp.issparse(X) else "newton-cholesky"
    theirs = LogisticRegression(solver=solver, tol=1e-12, max_iter=10_000, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y, weights)
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-6 * scale)
    scale = max(np.abs(theirs.intercept_).max(), 1.0)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-12)


def test_balanced_class_weights_equal_logistic_regressions():
    X, y = IRIS[0][20:], IRIS[1][20:]
    ours = MaxentClassifier(tol=1e-8, class_weight="balanced").fit(X, y)
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, class_weight="balanced")
    np.testing.assert_allclose(ours.coef_, theirs.fit(X, y).coef_, rtol=1e-6)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"])
def test_scikit_learns_solver_names_lead_to_the_same_fit(solver):
    expected = MaxentClassifier(tol=1e-8).fit(*IRIS)
    found = MaxentClassifier(tol=1e-8, solver=solver).fit(*IRIS)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-6, atol=1e-8)


def test_no_penalty_by_either_spelling():
    X, y = IRIS[0][50:], IRIS[1][50:]
    new = MaxentClassifier(C=np.inf).fit(X, y)
    old = MaxentClassifier(penalty=None, l1_ratio=None).fit(X, y)
    np.testing.assert_allclose(new.coef_, old.coef_, rtol=1e-9, atol=1e-12)


def test_separation_without_penalty_is_named():
    with pytest.warns(ConvergenceWarning, match="perfectly separated"):
        clf = MaxentClassifier(C=np.inf).fit(IRIS[0], IRIS[1] == 0)
    assert np.isfinite(clf.coef_).all()


def test_max_iter_says_how_far_there_is_to_go():
    # The last iteration of a small fit is for the certificate, after `tol` was reached.
    n_iter = MaxentClassifier().fit(*IRIS).n_iter_[0] - 1
    with pytest.warns(ConvergenceWarning, match="about 0.0035 standard errors") as record:
        MaxentClassifier(max_iter=n_iter - 1).fit(*IRIS)
    assert f"max_iter={n_iter - 1} was reached" in str(record[0].message)
    MaxentClassifier(max_iter=n_iter).fit(*IRIS)


def test_a_penalty_that_is_overridden_is_warned_of():
    with pytest.warns(UserWarning, match=r"penalty=None .* overrides C=0\.1"):
        MaxentClassifier(penalty=None, C=0.1).fit(IRIS[0][50:], IRIS[1][50:])


@pytest.mark.parametrize("C", [1e6, 1e9, 1e12])
def test_a_weak_penalty_on_separated_classes(C):
    X, y = load_wine(return_X_y=True)
    found = MaxentClassifier(C=C).fit(X, y)
    best = MaxentClassifier(C=C, tol=1e-9).fit(X, y)
    np.testing.assert_allclose(found.coef_, best.coef_, rtol=2e-3, atol=2e-3)


def test_warm_start_verbose_and_sparse_coefficients(capsys):
    clf = MaxentClassifier(warm_start=True, verbose=1).fit(*IRIS)
    cold = clf.n_iter_[0]
    assert capsys.readouterr().out.count("standard errors") == cold + 1
    proba = clf.predict_proba(IRIS[0])
    clf.sparsify()
    assert sp.issparse(clf.coef_)
    np.testing.assert_allclose(clf.predict_proba(IRIS[0]), proba, rtol=1e-12)
    clf.fit(*IRIS)
    assert clf.n_iter_.shape == (1,)
    assert clf.n_iter_[0] == 1 < cold
    clf.fit(IRIS[0][:, :2], IRIS[1])
    assert clf.coef_.shape == (3, 2)


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_threads_give_the_same_fit(n_jobs):
    X, y = DATA["digits"]
    expected = MaxentClassifier(tol=1e-7).fit(X, y)
    clf = MaxentClassifier(tol=1e-7, n_jobs=n_jobs).fit(X, y)
    np.testing.assert_allclose(clf.coef_, expected.coef_, atol=1e-7)


def test_copies_persist_and_display():
    clf = MaxentClassifier(C=3.0).fit(*IRIS)
    for copy in (pickle.loads(pickle.dumps(clf)), clone(clf).fit(*IRIS)):
        np.testing.assert_allclose(
            copy.predict_proba(IRIS[0]), clf.predict_proba(IRIS[0]), rtol=1e-12
        )


def test_joblib_round_trip(tmp_path):
    clf = MaxentClassifier().fit(*IRIS)
    joblib.dump(clf, tmp_path / "clf.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "clf.joblib").coef_, clf.coef_)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_grid_search(backend):
    pipe = make_pipeline(StandardScaler(), MaxentClassifier())
    search = GridSearchCV(pipe, {"maxentclassifier__C": [0.1, 1, 10]}, n_jobs=2)
    with joblib.parallel_config(backend=backend):
        search.fit(*IRIS)
    assert search.best_score_ > 0.95


def test_sample_weight_is_routed():
    X, y = IRIS
    weights = np.random.default_rng(0).uniform(0.1, 3, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        clf = MaxentClassifier().set_fit_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clf)
        pipe.fit(X, y, sample_weight=weights)
    expected = MaxentClassifier().fit(StandardScaler().fit_transform(X), y, weights)
    np.testing.assert_allclose(pipe[-1].coef_, expected.coef_)
