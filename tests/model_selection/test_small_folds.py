"""Folds of small data, which are fitted together, against exact fits of each fold."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifierCV
from skmaxent._model_selection import _folds_in_memory

RNG = np.random.default_rng(3)


def standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


IRIS, WINE, CANCER = map(standardised, (load_iris, load_wine, load_breast_cancer))
FOUR = RNG.normal(size=(120, 6))
FOUR = FOUR, (FOUR @ RNG.normal(size=(6, 4)) + RNG.gumbel(size=(120, 4))).argmax(axis=1)
# The last column is constant in the first of five folds without shuffling.
RARE = np.column_stack([FOUR[0], np.arange(120) < 5]), FOUR[1]
BOOTSTRAP = [(RNG.integers(0, 150, 150), np.arange(k, 150, 5)) for k in range(3)]

CASES = {
    "ridge": (IRIS, {}),
    "ridge, two classes": (CANCER, {}),
    "lasso": (WINE, {"l1_ratios": [1.0]}),
    "lasso, two classes": (CANCER, {"l1_ratios": [1.0]}),
    "lasso, four classes": (FOUR, {"l1_ratios": [1.0]}),
    "elastic nets": (FOUR, {"l1_ratios": [0.3, 0.9]}),
    "raw units": (load_wine(return_X_y=True), {"l1_ratios": [0.0, 1.0]}),
    "sparse": ((sp.csr_array(FOUR[0].round()), FOUR[1]), {"l1_ratios": [0.0, 1.0]}),
    "no intercept": (IRIS, {"l1_ratios": [0.0, 1.0], "fit_intercept": False}),
    "weak penalties": (FOUR, {"Cs": [1e6, 1e2, 1e2, 1e4], "l1_ratios": [0.0, 1.0]}),
    "alphas": (FOUR, {"Cs": 100, "alphas": 12, "l1_ratios": [0.0, 1.0]}),
    "class weights": (IRIS, {"class_weight": "balanced", "label_smoothing": 0.1}),
    "prior": (IRIS, {"prior_coef": RNG.normal(size=(3, 4)), "l1_ratios": [0.0, 0.5]}),
    "factors": (FOUR, {"penalty_factor": np.arange(1, 7), "l1_ratios": [0.0, 1.0]}),
    "a column constant in a fold": (RARE, {"cv": StratifiedKFold(24), "l1_ratios": [0.0, 1.0]}),
    "repeated rows": (IRIS, {"cv": BOOTSTRAP, "l1_ratios": [0.0, 1.0]}),
}


def fitted_together(monkeypatch, X, y, options, **rows):
    """A fit in which all folds are fitted together, up to rounding errors unless `tol` is given."""

    def refuse(*_, **__):
        raise AssertionError("a fold was fitted on its own")

    with monkeypatch.context() as patch:
        patch.setattr(_folds_in_memory, "fold_path", refuse)
        return MaxentClassifierCV(**{"tol": 1e-10} | options).fit(X, y, **rows)


def assert_agree(together, exact):
    np.testing.assert_allclose(together.scores_, exact.scores_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(together.coefs_paths_, exact.coefs_paths_, rtol=1e-5, atol=1e-5)
    assert together.Cs_.tolist().index(together.C_) == exact.Cs_.tolist().index(exact.C_)
    assert together.n_iter_.min() >= 1


@pytest.mark.parametrize("name", CASES)
def test_fits_are_those_of_single_folds(name, monkeypatch):
    (X, y), options = CASES[name]
    options = {"Cs": 21} | options
    together = fitted_together(monkeypatch, X, y, options)
    exact = MaxentClassifierCV(**options, cv_tol=0.0, tol=1e-8).fit(X, y)
    assert_agree(together, exact)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("data", [WINE, CANCER], ids=["wine", "cancer"])
def test_weights_and_offsets(data, l1_ratio, monkeypatch):
    X, y = data
    R = 1 if y.max() == 1 else 3
    rng = np.random.default_rng(3)
    offset = rng.normal(size=(len(y), R))
    rows = {"sample_weight": rng.uniform(0.2, 3.0, len(y)), "offset": offset}
    options = {"Cs": 15, "l1_ratios": [l1_ratio]}
    together = fitted_together(monkeypatch, X, y, options, **rows)
    exact = MaxentClassifierCV(**options, cv_tol=0.0, tol=1e-8).fit(X, y, **rows)
    assert_agree(together, exact)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_neighbouring_Cs(l1_ratio, monkeypatch):
    # The logarithms of floats next to each other may be equal.
    Cs = np.logspace(-2, 3, 12)
    options = {"Cs": np.concatenate([Cs, np.nextafter(Cs, np.inf)]), "l1_ratios": [l1_ratio]}
    together = fitted_together(monkeypatch, *IRIS, options)
    exact = MaxentClassifierCV(**options, cv_tol=0.0, tol=1e-8).fit(*IRIS)
    np.testing.assert_allclose(together.scores_, exact.scores_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(together.coefs_paths_, exact.coefs_paths_, rtol=1e-5, atol=1e-5)
    # Which C of a pair is the best one depends on rounding errors.
    np.testing.assert_allclose(together.C_, exact.C_, rtol=1e-12)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_counts(l1_ratio, monkeypatch):
    X = IRIS[0]
    counts = np.random.default_rng(4).multinomial(4, (0.5, 0.3, 0.2), size=150)
    codes = np.arange(150) % 5
    cv = [(np.flatnonzero(codes != k), np.flatnonzero(codes == k)) for k in range(5)]
    options = {"Cs": 10, "l1_ratios": [l1_ratio], "cv": cv}
    together = fitted_together(monkeypatch, X, counts, options)
    assert_agree(together, MaxentClassifierCV(**options, cv_tol=0.0, tol=1e-8).fit(X, counts))


def test_fits_are_those_of_sklearn(monkeypatch):
    X, y = WINE
    Cs, folds = np.geomspace(0.01, 10.0, 12), StratifiedKFold(4)
    clf = fitted_together(monkeypatch, X, y, {"Cs": Cs, "cv": folds})
    for fold, (train, _) in enumerate(folds.split(X, y)):
        for i, C in enumerate(Cs):
            theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10)
            theirs.fit(X[train], y[train])
            found = clf.coefs_paths_[fold, 0, i]
            np.testing.assert_allclose(found[:, :-1], theirs.coef_, atol=1e-6)
            # Intercepts are determined up to a common number.
            change = found[:, -1] - theirs.intercept_
            np.testing.assert_allclose(change, change.mean(), atol=1e-6)


def test_folds_that_do_not_converge_are_fitted_on_their_own():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        few = MaxentClassifierCV(Cs=[1e-3, 1e3], max_iter=1).fit(*WINE)
    assert few.n_iter_.max() <= 1
    assert np.isfinite(few.scores_).all()


@pytest.mark.parametrize("l1_ratio", [0.0, 1e-6])
def test_a_weak_penalty_of_a_column_that_is_constant_in_a_fold(l1_ratio):
    """Rounding hides the ridge of a column of such a range; without its rows the column is zero."""
    X = np.column_stack([FOUR[0][:20, :2], np.zeros(20)])
    X[11, 2] = 7e7
    y = FOUR[1][:20] < 2
    held_out = np.arange(10, 20)
    train = np.arange(10)
    options = {"cv": [(held_out, train), (train, held_out)], "l1_ratios": [l1_ratio]}
    clf = MaxentClassifierCV(Cs=[1.0, 10.0], **options).fit(X, y)
    for C, score in zip(clf.Cs_, clf.scores_[1, 0], strict=True):
        theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10)
        theirs.fit(X[train, :2], y[train])
        expected = theirs.predict_log_proba(X[held_out, :2])[range(10), y[held_out].astype(int)]
        np.testing.assert_allclose(score, expected.mean(), rtol=1e-4)


@pytest.mark.parametrize("l1_ratio", [0.0, 1e-6])
def test_nearly_collinear_columns_that_an_outlier_separates(l1_ratio):
    """Without the row of the outlier, rounding hides what determines coefficients in its units."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(40, 2)) * [100.0, 5.0]
    X = np.column_stack([X, X @ [0.5, -9.0] + 0.3 * rng.normal(size=40)])
    X[7, 0] = 4e7
    y = X[:, 1] + X[:, 2] / 9.0 + rng.logistic(size=40) * 2.0 > 0
    held_out, train = np.arange(20), np.arange(20, 40)
    options = {"cv": [(train, held_out), (held_out, train)], "l1_ratios": [l1_ratio]}
    clf = MaxentClassifierCV(Cs=[1.0, 30.0], **options).fit(X, y)
    center = X[train].mean(axis=0)
    for C, found in zip(clf.Cs_, clf.coefs_paths_[0, 0], strict=True):
        theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12)
        theirs.fit(X[train] - center, y[train])
        np.testing.assert_allclose(found[:, :-1], theirs.coef_, rtol=1e-4, atol=1e-5)
