"""Relaxed paths against direct fits of the chosen coefficients, and warnings of paths."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import PredefinedSplit

from skmaxent import MaxentClassifier, MaxentClassifierCV, maxent_path

ORACLES = Path(__file__).parents[1] / "oracles"
GLMNET = json.loads((ORACLES / "glmnet_options.json").read_text())
EXAMPLE = np.loadtxt(ORACLES / "multinomial_example.csv", delimiter=",", skiprows=1)
ROWS, LABELS = EXAMPLE[:, :-1], EXAMPLE[:, -1].astype(int)


def data(K, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(150, 6)) @ (np.eye(6) + 0.3)
    return X, (X[:, :2] @ rng.normal(size=(2, K)) + rng.gumbel(size=(150, K))).argmax(axis=1)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("K", [2, 3, 5])
def test_relaxed_groups_are_fits_of_the_chosen_columns(K, fit_intercept):
    X, y = data(K)
    path = maxent_path(
        X, y, Cs=[0.01, 0.03, 0.1], grouped=True, relax=True, fit_intercept=fit_intercept
    )
    for coef, relaxed, intercept in zip(
        path.coefs, path.relaxed_coefs, path.relaxed_intercepts, strict=True
    ):
        chosen = coef.any(axis=0)
        np.testing.assert_array_equal(relaxed[:, ~chosen], 0.0)
        if chosen.any():
            direct = MaxentClassifier(C=np.inf, tol=1e-8, fit_intercept=fit_intercept)
            direct.fit(X[:, chosen], y)
            np.testing.assert_allclose(relaxed[:, chosen], direct.coef_, atol=1e-4)
            np.testing.assert_allclose(intercept, direct.intercept_, atol=1e-4)
    assert {0, 6} != set(path.n_nonzero.tolist())


@pytest.mark.parametrize("K", [2, 3])
def test_relaxed_coefficients_of_single_classes(K):
    X, y = data(K, seed=1)
    path = maxent_path(X, y, Cs=[0.02, 0.1], relax=True)
    for coef, relaxed in zip(path.coefs, path.relaxed_coefs, strict=True):
        factors = np.where(coef == 0.0, np.inf, 1.0)
        direct = MaxentClassifier(C=np.inf, tol=1e-8, penalty_factor=factors).fit(X, y)
        np.testing.assert_allclose(relaxed, direct.coef_, atol=1e-3)


def test_cross_validation_of_relaxed_groups():
    X, y = data(3)
    clf = MaxentClassifierCV(Cs=[0.02, 0.05], l1_ratios=[1.0], grouped=True, relax=True).fit(X, y)
    assert np.isfinite(clf.relaxed_scores_).all()


def test_a_path_says_that_classes_are_separated():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(int)
    with pytest.warns(ConvergenceWarning, match="optimal at C=inf,"):
        maxent_path(X, y, Cs=[0.1, np.inf])


def on_union(X, y, coef):
    """A fit without penalty of the features that any class selects, and its coefficients."""
    chosen = coef.any(axis=0)
    direct = MaxentClassifier(C=np.inf, tol=1e-10, max_iter=1000).fit(X[:, chosen], y)
    whole = np.zeros(coef.shape)
    whole[:, chosen] = direct.coef_
    return whole, direct.intercept_


@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("standardize", [False, True])
def test_relaxed_unions_are_fits_of_the_features_that_any_class_selects(K, standardize):
    X, y = data(K, seed=1)
    options = {"Cs": [0.04, 0.06, 0.1], "tol": 1e-8, "standardize": standardize}
    path = maxent_path(X, y, relax="union", **options)
    for coef, relaxed, intercept in zip(
        path.coefs, path.relaxed_coefs, path.relaxed_intercepts, strict=True
    ):
        expected = on_union(X, y, coef)
        np.testing.assert_allclose(relaxed, expected[0], atol=1e-6)
        np.testing.assert_allclose(intercept, expected[1], atol=1e-6)
    by_class = maxent_path(X, y, relax="classes", **options)
    same = maxent_path(X, y, relax=True, **options)
    np.testing.assert_array_equal(by_class.relaxed_coefs, same.relaxed_coefs)
    if K > 2:
        zero = (path.coefs == 0.0) & path.coefs.any(axis=1, keepdims=True)
        assert (path.relaxed_coefs[zero] != 0.0).any()
        np.testing.assert_array_equal(by_class.relaxed_coefs[zero], 0.0)


def test_relaxed_unions_are_those_of_glmnet():
    expected = GLMNET["relaxed"]
    path = maxent_path(ROWS, LABELS, alphas=expected["lambda"], relax="union", tol=1e-9)
    shares = np.bincount(LABELS)[1:] / len(LABELS)
    for i, share in enumerate(expected["dev_ratio"]):
        # glmnet's solver stops before features that are about to enter have entered.
        theirs = np.any(expected["selected"][i], axis=0)
        np.testing.assert_array_equal(path.coefs[i].any(axis=0), theirs)
        Z = ROWS @ path.relaxed_coefs[i].T + path.relaxed_intercepts[i]
        picked = Z[np.arange(len(Z)), LABELS - 1]
        loss = np.mean(np.log(np.exp(Z).sum(axis=1)) - picked)
        assert 1.0 + loss / (shares @ np.log(shares)) == pytest.approx(share, abs=1e-7)
        # Without a penalty nothing determines a number that all classes have in common.
        coef = np.array(expected["coef"][i])
        np.testing.assert_allclose(
            path.relaxed_coefs[i] - path.relaxed_coefs[i].mean(axis=0),
            coef - coef.mean(axis=0),
            atol=1e-3,
        )


def test_cross_validation_of_relaxed_unions_is_that_of_glmnet():
    expected = GLMNET["relaxed_cv"]
    clf = MaxentClassifierCV(
        alphas=GLMNET["relaxed"]["lambda"],
        l1_ratios=[1.0],
        relax="union",
        fold_weights="size",
        cv=PredefinedSplit(GLMNET["fold"]),
    ).fit(ROWS, LABELS)
    table = clf.cv_results_frame().pivot(index="gamma", columns="C", values="mean_score")
    np.testing.assert_allclose(table.index, expected["gamma"])
    np.testing.assert_allclose(-2.0 * table, expected["cvm"], rtol=2e-5)
    relaxed = maxent_path(ROWS, LABELS, Cs=[clf.C_], relax="union").blended(clf.gamma_, 0)
    np.testing.assert_allclose(clf.coef_, relaxed[0], atol=1e-3)
    da = pytest.importorskip("dask.array")
    lazy = [da.from_array(a, chunks=(130, -1)[: a.ndim]) for a in (ROWS, LABELS)]
    np.testing.assert_allclose(
        clone(clf).fit(*lazy).relaxed_scores_, clf.relaxed_scores_, atol=1e-3
    )


@pytest.mark.parametrize("relax", ["features", "", "Union"])
def test_other_ways_to_relax_are_refused(relax):
    X, y = data(3)
    with pytest.raises(ValueError, match="relax must be a bool, 'classes' or 'union'"):
        maxent_path(X, y, relax=relax)
    with pytest.raises(ValueError, match="relax"):
        MaxentClassifierCV(relax=relax).fit(X, y)


@pytest.mark.parametrize("relax", [[0.5], -3, None, np.nan])
def test_paths_have_no_weights_of_relaxed_fits(relax):
    X, y = data(3)
    with pytest.raises(ValueError, match="relax must be True or False, found"):
        maxent_path(X, y, relax=relax)
    assert maxent_path(X, y, Cs=2, relax=0).relaxed_coefs is None
