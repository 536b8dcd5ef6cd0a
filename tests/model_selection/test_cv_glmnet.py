"""Cross-validation against cv.glmnet, whose folds have one lambda and weigh by their sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit

from skmaxent import MaxentClassifierCV, maxent_path

ORACLES = Path(__file__).parents[1] / "oracles"
R = json.loads((ORACLES / "cv_glmnet.json").read_text())
DATA = np.loadtxt(ORACLES / "multinomial_example.csv", delimiter=",", skiprows=1)
X, y = DATA[:, :-1], DATA[:, -1].astype(int)
KINDS = {
    "lasso": {"l1_ratios": [1.0]},
    "elastic_net": {"l1_ratios": [0.5]},
    "grouped": {"l1_ratios": [1.0], "grouped": True},
}


def as_glmnet(**params):
    return MaxentClassifierCV(
        alphas=R["lambda"], fold_weights="size", cv=PredefinedSplit(R["fold"]), **params
    )


@pytest.mark.parametrize("kind", KINDS)
def test_deviances_and_choices_are_those_of_cv_glmnet(kind):
    expected = R[kind]
    clf = as_glmnet(**KINDS[kind]).fit(X, y)
    table = clf.cv_results_frame()
    np.testing.assert_allclose(-2.0 * table["mean_score"], expected["cvm"], rtol=1e-3)
    np.testing.assert_allclose(2.0 * table["standard_error"], expected["cvsd"], rtol=5e-3)
    np.testing.assert_allclose(clf.alpha_, expected["min"])
    np.testing.assert_allclose(clf.alphas_, R["lambda"])
    np.testing.assert_allclose(clf.C_, 1.0 / (len(y) * clf.alpha_))
    clf.set_params(selection="one_standard_error").fit(X, y)
    np.testing.assert_allclose(clf.alpha_, expected["one_se"])


def test_folds_of_equal_C_differ_from_folds_of_equal_alpha():
    alphas = np.array(R["lambda"])[:8]
    split = PredefinedSplit(np.arange(len(y)) % 2)
    by_C = MaxentClassifierCV(Cs=1.0 / (len(y) * alphas), l1_ratios=[1.0], cv=split).fit(X, y)
    by_alpha = MaxentClassifierCV(alphas=alphas, l1_ratios=[1.0], cv=split).fit(X, y)
    np.testing.assert_allclose(by_C.alphas_, by_alpha.alphas_)
    half = maxent_path(X[1::2], y[1::2], alphas=alphas)
    np.testing.assert_allclose(by_alpha.coefs_paths_[0, 0, ..., :-1], half.coefs, atol=1e-3)
    assert np.abs(by_C.scores_ - by_alpha.scores_).max() > 0.01
    # Both refit all rows with the same penalty.
    one = {"l1_ratios": [1.0], "cv": split}
    at_C = MaxentClassifierCV(Cs=[0.05], **one).fit(X, y)
    at_alpha = MaxentClassifierCV(alphas=[1.0 / (len(y) * 0.05)], **one).fit(X, y)
    np.testing.assert_allclose(at_C.coef_, at_alpha.coef_, atol=1e-3)


@pytest.mark.parametrize("class_weight", [None, "balanced", {1: 3.0}])
def test_alpha_of_weighted_rows(class_weight):
    weights = 1.0 + np.arange(len(y)) % 3
    path = maxent_path(X, y, alphas=[0.05, 0.1], sample_weight=weights, class_weight=class_weight)
    of_rows = np.where(y == 1, 3.0, 1.0) if isinstance(class_weight, dict) else 1.0
    total = (weights * of_rows).sum()
    np.testing.assert_allclose(path.Cs, 1.0 / (total * np.array([0.05, 0.1])))
    np.testing.assert_allclose(path.alphas, [0.05, 0.1])
    clf = MaxentClassifierCV(
        alphas=[0.05, 0.1], l1_ratios=[1.0], class_weight=class_weight, fold_weights="size", cv=3
    ).fit(X, y, weights)
    np.testing.assert_allclose(clf.Cs_, path.Cs)
    table = np.eye(3)[y - 1] * weights[:, None]
    of_table = MaxentClassifierCV(
        alphas=[0.05, 0.1],
        l1_ratios=[1.0],
        cv=PredefinedSplit(np.arange(len(y)) % 3),
        class_weight={0: 3.0} if isinstance(class_weight, dict) else class_weight,
    ).fit(X, table)
    np.testing.assert_allclose(of_table.Cs_, path.Cs)


def test_a_number_of_alphas_is_the_grid_of_as_many_Cs():
    np.testing.assert_allclose(maxent_path(X, y, alphas=5).Cs, maxent_path(X, y, Cs=5).Cs)
    clf = MaxentClassifierCV(alphas=5, l1_ratios=[1.0], cv=3).fit(X, y)
    np.testing.assert_allclose(clf.alphas_, maxent_path(X, y, alphas=5).alphas)


def test_means_over_folds_have_the_weights_of_folds():
    split = PredefinedSplit((np.arange(len(y)) < 100).astype(int))
    params = {"alphas": [0.05, 0.1], "l1_ratios": [1.0], "cv": split, "refit": False}
    clf = MaxentClassifierCV(fold_weights="size", **params).fit(X, y)
    np.testing.assert_array_equal(clf.fold_weights_, [400, 100])
    best = clf.scores_[:, 0].argmax(axis=1)
    parts = clf.coefs_paths_[[0, 1], 0, best]
    np.testing.assert_allclose(clf.coef_, (0.8 * parts[0] + 0.2 * parts[1])[:, :-1], atol=1e-12)
    np.testing.assert_allclose(clf.alpha_, clf.alphas_[best] @ [0.8, 0.2])


def test_dask_collections_give_the_same():
    da = pytest.importorskip("dask.array")
    weights = 1.0 + np.arange(len(y)) % 3
    clf = as_glmnet(l1_ratios=[1.0], class_weight={1: 3.0}).set_params(alphas=[0.02, 0.05, 0.1])
    lazy = clone(clf).fit(*(da.from_array(a, chunks=(130, -1)[: a.ndim]) for a in (X, y, weights)))
    clf.fit(X, y, weights)
    for name in ("Cs_", "fold_weights_", "alpha_"):
        np.testing.assert_allclose(getattr(lazy, name), getattr(clf, name))
    np.testing.assert_allclose(lazy.coefs_paths_, clf.coefs_paths_, atol=1e-3)


def test_Cs_and_alphas_exclude_each_other():
    with pytest.raises(ValueError, match=r"Cs and alphas cannot be combined.*Cs=5"):
        MaxentClassifierCV(Cs=5, alphas=[0.1]).fit(X, y)
    with pytest.raises(ValueError, match="Cs and alphas"):
        maxent_path(X, y, Cs=[1.0], alphas=[0.1])
    with pytest.raises(ValueError, match="alphas must be an integer, or positive"):
        maxent_path(X, y, alphas=[0.0])
