"""MaxentClassifierCV against cross-validation by hand, and as scikit-learn meets it."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn import config_context
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import get_scorer, log_loss, make_scorer
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)

X, y = load_iris(return_X_y=True)
WINE, KIND = load_wine(return_X_y=True, as_frame=True)
CS = np.array([0.01, 0.1, 1.0, 10.0])
FOLDS = StratifiedKFold(4, shuffle=True, random_state=0)
RNG = np.random.default_rng(0)
WEIGHTS = RNG.uniform(0.5, 3, 150)
OFFSET = RNG.normal(size=(150, 3))

CHECKS = [
    check
    for _, check in estimator_checks_generator(MaxentClassifierCV(Cs=3, cv=2))
    if check.func.__name__ != "check_array_api_input"
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.func.__name__)
def test_scikit_learns_checks(check):
    check(MaxentClassifierCV(Cs=3, cv=2))


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("scoring", [None, "neg_log_loss", "accuracy", "roc_auc_ovr"])
def test_scores_are_those_of_separate_fits(scoring, l1_ratio):
    clf = MaxentClassifierCV(Cs=CS, l1_ratios=[l1_ratio], cv=FOLDS, scoring=scoring, tol=1e-7)
    clf.fit(X, y)
    scorer = get_scorer(scoring or "neg_log_loss")
    for fold, (train, test) in enumerate(FOLDS.split(X, y)):
        for i, C in enumerate(CS):
            single = MaxentClassifier(C=C, l1_ratio=l1_ratio, tol=1e-7).fit(X[train], y[train])
            expected = scorer(single, X[test], y[test])
            assert clf.scores_[fold, 0, i] == pytest.approx(expected, abs=1e-5)
            path = clf.coefs_paths_[fold, 0, i]
            np.testing.assert_allclose(path[:, :-1], single.coef_, atol=1e-4)
            np.testing.assert_allclose(path[:, -1], single.intercept_, atol=1e-3)
    assert CS[clf.scores_[:, 0].mean(axis=0).argmax()] == clf.C_
    final = MaxentClassifier(C=clf.C_, l1_ratio=l1_ratio, tol=1e-7).fit(X, y)
    np.testing.assert_allclose(clf.coef_, final.coef_, atol=1e-5)
    assert clf.score(X, y) == pytest.approx(scorer(final, X, y), abs=1e-5)
    assert clf.optimality_gap_ < 1e-6


@pytest.mark.skipif(sklearn.__version__ < "1.8", reason="shapes that scikit-learn 1.8 introduced")
def test_attributes_have_scikit_learns_shapes():
    ratios = (0.2, 1.0)
    theirs = LogisticRegressionCV(
        Cs=[0.1, 1.0, 5.0],
        l1_ratios=ratios,
        cv=3,
        solver="saga",
        max_iter=20,
        tol=1e-1,
        scoring="neg_log_loss",
        use_legacy_attributes=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y)
    ours = MaxentClassifierCV(Cs=[0.1, 1.0, 5.0], l1_ratios=ratios, cv=3).fit(X, y)
    for name in ("Cs_", "l1_ratios_", "scores_", "coefs_paths_", "n_iter_", "coef_", "intercept_"):
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name)), name
    assert isinstance(ours.C_, float)
    assert isinstance(ours.l1_ratio_, float)
    two = MaxentClassifierCV(Cs=3, cv=3, fit_intercept=False).fit(X, y == 1)
    assert two.coefs_paths_.shape == (3, 1, 3, 1, 4)


def test_one_standard_error_is_the_strongest_penalty_within_it():
    options = {"Cs": 20, "l1_ratios": [1.0], "cv": FOLDS}
    best = MaxentClassifierCV(**options).fit(WINE, KIND)
    clf = MaxentClassifierCV(selection="one_standard_error", **options).fit(WINE, KIND)
    mean = clf.scores_[:, 0].mean(axis=0)
    error = clf.scores_[:, 0].std(axis=0, ddof=1) / 2.0
    top = mean.argmax()
    assert clf.Cs_[np.flatnonzero(mean >= mean[top] - error[top])[0]] == clf.C_
    assert clf.C_ < best.C_ == best.Cs_[top]
    assert (clf.coef_ != 0).sum() < (best.coef_ != 0).sum()


def test_the_one_standard_error_rule_needs_a_final_fit():
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS, refit=False, selection="one_standard_error")
    with pytest.raises(ValueError, match="at its own best penalty"):
        clf.fit(X, y)


def test_without_refit_coefficients_are_means_of_the_folds():
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS, refit=False).fit(X, y)
    best = clf.scores_[:, 0].argmax(axis=1)
    coefs = np.stack([clf.coefs_paths_[fold, 0, i] for fold, i in enumerate(best)])
    np.testing.assert_allclose(clf.coef_, coefs[..., :-1].mean(axis=0))
    np.testing.assert_allclose(clf.intercept_, coefs[..., -1].mean(axis=0))
    assert pytest.approx(CS[best].mean()) == clf.C_


def test_without_refit_equal_scores_choose_the_strongest_penalty_in_any_order_of_Cs():
    options = {"cv": FOLDS, "refit": False, "scoring": "accuracy"}
    clf = MaxentClassifierCV(Cs=CS[::-1], **options).fit(X, y)
    scores = clf.scores_[:, 0, ::-1]
    is_best = scores == scores.max(axis=1, keepdims=True)
    assert (is_best.sum(axis=1) > 1).any()
    assert pytest.approx(CS[is_best.argmax(axis=1)].mean()) == clf.C_
    other = MaxentClassifierCV(Cs=CS, **options).fit(X, y)
    assert pytest.approx(other.C_) == clf.C_
    np.testing.assert_allclose(clf.coef_, other.coef_, atol=1e-3)


def test_relaxed_fits_are_tried_too():
    Z = RNG.normal(size=(400, 20))
    labels = (2 * Z[:, :3] + RNG.gumbel(size=(400, 3))).argmax(axis=1)
    options = {"Cs": 15, "l1_ratios": [1.0], "cv": FOLDS}
    clf = MaxentClassifierCV(relax=True, **options).fit(Z, labels)
    plain = MaxentClassifierCV(cv_tol=0, **options).fit(Z, labels)
    assert clf.relaxed_scores_.shape == (4, 1, 15, 5)
    np.testing.assert_allclose(clf.relaxed_scores_[..., -1], plain.scores_, atol=1e-6)
    assert clf.relaxed_scores_.mean(axis=0).max() > plain.scores_.mean(axis=0).max()
    assert clf.gamma_ < 1.0
    # Fewer features than without, with larger coefficients.
    assert (clf.coef_ != 0).sum() < (plain.coef_ != 0).sum()
    half = MaxentClassifierCV(relax=[0.5], **options).fit(Z, labels)
    assert half.gamma_ == 0.5
    np.testing.assert_allclose(half.scores_, clf.relaxed_scores_[..., 2], atol=1e-6)
    by_scorer = MaxentClassifierCV(relax=[0.5], scoring="neg_log_loss", **options).fit(Z, labels)
    np.testing.assert_allclose(by_scorer.scores_, half.scores_)


def test_results_are_a_tidy_table():
    clf = MaxentClassifierCV(Cs=CS, l1_ratios=[0.5, 1.0], cv=FOLDS).fit(WINE, KIND)
    table = clf.cv_results_frame()
    assert table.shape == (8, 6 + 4)
    assert table["chosen"].sum() == 1
    chosen = table[table["chosen"]].iloc[0]
    assert (chosen["C"], chosen["l1_ratio"]) == (clf.C_, clf.l1_ratio_)
    assert chosen["mean_score"] == pytest.approx(table["mean_score"].max(), rel=1e-12)
    np.testing.assert_allclose(
        table[[f"split{i}_score" for i in range(4)]].mean(axis=1), table["mean_score"]
    )
    relaxed = MaxentClassifierCV(Cs=CS[:2], l1_ratios=[1.0], cv=3, relax=[0.0, 1.0]).fit(X, y)
    assert relaxed.cv_results_frame().shape == (4, 7 + 3)


def test_folds_with_nothing_to_score():
    order = np.argsort(y, kind="stable")
    # Each fold is a class of its own: there is nothing to score.
    with (
        pytest.warns(UserWarning, match="The training part of fold . has no rows of"),
        pytest.raises(ValueError, match="the folds have no rows to score"),
    ):
        MaxentClassifierCV(Cs=4, cv=KFold(3)).fit(X[order], y[order])


def test_a_class_in_few_folds_counts_where_it_was_seen():
    labels = np.where(np.arange(150) < 2, 3, y)
    folds = [(np.arange(2, 150), np.r_[0:2, 60:70, 110:120]), (np.r_[0:50, 60:150], np.r_[50:60])]
    with pytest.warns(UserWarning, match=r"fold 0 has no rows of \[3\]"):
        clf = MaxentClassifierCV(Cs=CS, cv=folds).fit(X, labels)
    assert clf.coef_.shape == (4, 4)
    single = MaxentClassifier(C=1.0).fit(X[2:], labels[2:])
    rows = np.r_[60:70, 110:120]
    expected = -log_loss(labels[rows], single.predict_proba(X[rows]), labels=[0, 1, 2])
    assert clf.scores_[0, 0, 2] == pytest.approx(expected, abs=1e-4)


def test_weights_and_offsets_reach_fits_and_scores():
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS, tol=1e-7).fit(X, y, WEIGHTS, OFFSET)
    train, test = next(iter(FOLDS.split(X, y)))
    single = MaxentClassifier(tol=1e-7).fit(X[train], y[train], WEIGHTS[train], OFFSET[train])
    P = single.predict_proba(X[test], OFFSET[test])
    expected = -log_loss(y[test], P, sample_weight=WEIGHTS[test])
    assert clf.scores_[0, 0, 2] == pytest.approx(expected, abs=1e-6)
    by_scorer = MaxentClassifierCV(Cs=CS, cv=FOLDS, tol=1e-7, scoring="accuracy")
    by_scorer.fit(X, y, WEIGHTS, OFFSET)
    right = single.predict(X[test], OFFSET[test]) == y[test]
    assert by_scorer.scores_[0, 0, 2] == pytest.approx(np.average(right, weights=WEIGHTS[test]))
    assert clf.score(X, y, offset=OFFSET) < 0
    with pytest.raises(ValueError, match="MaxentClassifierCV was fitted with an offset"):
        clf.predict(X)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_one_weight_for_all_rows(scoring):
    options = {"Cs": CS, "cv": FOLDS, "scoring": scoring, "tol": 1e-8}
    found = MaxentClassifierCV(**options).fit(X, y, sample_weight=2.0)
    expected = MaxentClassifierCV(**options).fit(X, y, sample_weight=np.full(150, 2.0))
    np.testing.assert_allclose(found.scores_, expected.scores_, rtol=1e-12)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-12)


@pytest.mark.parametrize(
    "weights, message",
    [
        (np.ones((150, 1)), "Sample weights must be 1D array or scalar"),
        ([1.0], r"sample_weight.shape == \(1,\), expected \(150,\)"),
        (-np.ones(150), "Negative values in data passed to `sample_weight`"),
        (np.full(150, np.nan), "sample_weight contains NaN"),
        (np.zeros(150), "at least one non-zero number"),
    ],
)
def test_scores_need_weights_of_the_rows(weights, message):
    clf = MaxentClassifierCV(Cs=CS, cv=FOLDS).fit(X, y)
    table = np.eye(3, dtype=int)[y]
    for scored in (clf, MaxentClassifier().fit(X, table)):
        with pytest.raises(ValueError, match=message):
            scored.score(X, table, sample_weight=weights)
    with pytest.raises(ValueError, match=message):
        clf.score(X, y, sample_weight=weights)
    expected = -log_loss(y, clf.predict_proba(X))
    assert clf.score(X, y, sample_weight=2.0) == pytest.approx(expected, rel=1e-12)


def test_groups_and_weights_are_routed():
    groups = np.arange(150) % 7
    expected = list(GroupKFold(3).split(X, y, groups))
    by_hand = MaxentClassifierCV(Cs=CS, cv=expected).fit(X, y)
    clf = MaxentClassifierCV(Cs=CS, cv=GroupKFold(3))
    np.testing.assert_allclose(clf.fit(X, y, groups=groups).scores_, by_hand.scores_)
    with pytest.raises(TypeError, match=r"unexpected arguments \['colour'\]"):
        clf.fit(X, y, colour=groups)
    # scikit-learn raises a ValueError.
    for method in (clf.fit, clf.score):
        with pytest.raises(ValueError, match="only supported if enable_metadata_routing=True"):
            method(X, y, colour=groups)
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(
            log_loss, response_method="predict_proba", greater_is_better=False
        ).set_score_request(sample_weight=True)
        clf = MaxentClassifierCV(Cs=CS, cv=GroupKFold(3), scoring=scorer)
        clf.set_fit_request(sample_weight=True)
        clf.fit(X, y, sample_weight=WEIGHTS, groups=groups)
        weighted = MaxentClassifierCV(Cs=CS, cv=expected)
        with config_context(enable_metadata_routing=False):
            weighted.fit(X, y, WEIGHTS)
        np.testing.assert_allclose(clf.scores_, weighted.scores_, rtol=1e-6)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clf)
        pipeline.fit(X, y, sample_weight=WEIGHTS, groups=groups)


def test_the_default_score_has_the_weights_of_the_fit_with_metadata_routing():
    expected = MaxentClassifierCV(Cs=CS, cv=FOLDS).fit(X, y, WEIGHTS)
    with config_context(enable_metadata_routing=True):
        direct = MaxentClassifierCV(Cs=CS, cv=FOLDS).fit(X, y, sample_weight=WEIGHTS)
        clf = MaxentClassifierCV(Cs=CS, cv=FOLDS).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(clf.set_score_request(sample_weight=True))
        pipeline.fit(X, y, sample_weight=WEIGHTS)
        scores = direct.score(X, y, WEIGHTS), pipeline.score(X, y, sample_weight=WEIGHTS)
    for routed in (direct, pipeline[-1]):
        np.testing.assert_allclose(routed.scores_, expected.scores_, rtol=1e-9)
    np.testing.assert_allclose(scores, expected.score(X, y, WEIGHTS), rtol=1e-9)


def test_names_sparse_data_and_processes():
    named = MaxentClassifierCV(Cs=4, l1_ratios=[1.0], penalty_factor={"proline": 0}).fit(WINE, KIND)
    assert named.coefs_paths_[0, 0, 0, :, list(WINE.columns).index("proline")].any()
    assert list(named.feature_names_in_) == list(WINE.columns)
    dense = MaxentClassifierCV(Cs=CS, l1_ratios=[0.5, 1.0]).fit(X, y)
    for features, n_jobs in ((sp.csr_array(X), None), (X, 2)):
        other = MaxentClassifierCV(Cs=CS, l1_ratios=[0.5, 1.0], n_jobs=n_jobs).fit(features, y)
        np.testing.assert_allclose(other.scores_, dense.scores_, atol=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dense)).predict(X), dense.predict(X))
    labels = np.array(["a", "b", "c"])[y]
    by_label = MaxentClassifierCV(Cs=CS, l1_ratios=[0.5, 1.0]).fit(X, pd.Series(labels))
    np.testing.assert_allclose(by_label.scores_, dense.scores_)
    assert set(by_label.predict(X)) == {"a", "b", "c"}


def test_a_grid_covers_all_ratios():
    clf = MaxentClassifierCV(Cs=10, l1_ratios=[0.0, 0.5, 1.0], cv=3).fit(WINE, KIND)
    lasso = MaxentClassifierCV(Cs=10, l1_ratios=[1.0], cv=3).fit(WINE, KIND)
    assert clf.Cs_[0] < lasso.Cs_[0]
    assert clf.Cs_[-1] == pytest.approx(lasso.Cs_[-1], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1_ratios": [2.0]}, "l1_ratios must be numbers from 0 to 1"),
        ({"l1_ratios": []}, "l1_ratios must be numbers"),
        ({"relax": [-1.0]}, "relax must be a bool or numbers"),
        ({"Cs": 0}, "The 'Cs' parameter"),
        ({"Cs": [-1.0]}, "Cs must be"),
        ({"selection": "worst"}, "The 'selection' parameter"),
        ({"scoring": "unheard_of"}, "scoring"),
    ],
)
def test_what_cannot_be_is_named_and_nothing_is_lost(options, message):
    clf = MaxentClassifierCV(Cs=3).fit(X, y)
    before = clf.coef_
    with pytest.raises(ValueError, match=message):
        clf.set_params(**options).fit(X, y)
    assert clf.coef_ is before


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("dual", "leave it out"),
        ("use_legacy_attributes", "new shapes"),
    ],
)
def test_what_scikit_learn_has_is_explained(name, advice):
    with pytest.raises(TypeError, match=f"no parameter '{name}'.*{advice}"):
        MaxentClassifierCV(**{name: True})


@pytest.mark.parametrize(("penalty", "l1_ratio"), [("l1", 1.0), ("l2", 0.0)])
def test_penalty_stands_for_l1_ratios(penalty, l1_ratio):
    named = MaxentClassifierCV(Cs=[0.1, 1.0], cv=3, penalty=penalty).fit(X, y)
    given = MaxentClassifierCV(Cs=[0.1, 1.0], cv=3, l1_ratios=[l1_ratio]).fit(X, y)
    assert named.l1_ratio_ == l1_ratio
    np.testing.assert_array_equal(named.scores_, given.scores_)


def test_penalties_that_contradict_others_are_named():
    with pytest.warns(UserWarning, match="penalty='l2' overrides l1_ratios"):
        MaxentClassifierCV(Cs=2, cv=3, penalty="l2", l1_ratios=[0.5]).fit(X, y)
    with pytest.raises(ValueError, match="needs l1_ratios"):
        MaxentClassifierCV(Cs=2, penalty="elasticnet", l1_ratios=None).fit(X, y)


@pytest.mark.parametrize(
    "fit",
    [
        lambda: MaxentClassifier(grouped=True).fit(X, y),
        lambda: MaxentClassifierCV(Cs=2, cv=3, grouped=True).fit(X, y),
        lambda: MultilabelMaxentClassifier(grouped=True).fit(X, np.c_[y > 0, y > 1]),
        lambda: maxent_path(X, y, Cs=2, l1_ratio=0.0, grouped=True),
    ],
)
def test_groups_without_an_l1_penalty_are_named(fit):
    with pytest.warns(UserWarning, match="grouped=True has no effect"):
        fit()


def test_nan_is_named():
    with pytest.raises(ValueError, match="Input X contains NaN"):
        MaxentClassifierCV(Cs=3).fit(np.where(X > 7, np.nan, X), y)


@pytest.mark.parametrize("cv_tol", [0.0, 0.05])
def test_the_smallest_C_of_those_without_nonzero_coefficients_is_chosen(cv_tol):
    """Their scores are equal up to rounding."""
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(90, 5)), rng.integers(0, 3, 90)
    Cs = np.geomspace(1.0, 1e-4, 25)
    clf = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv_tol=cv_tol).fit(X, y)
    assert not clf.coef_.any()
    assert Cs.min() == clf.C_


@pytest.mark.parametrize("name", ["l1_ratios", "relax"])
@pytest.mark.parametrize("values", [[1, "q"], [[0.5], [0.2, 0.1]], [2.0], []])
def test_errors_of_shares_name_the_parameter(name, values):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=f"^{name} must be"):
        MaxentClassifierCV(**{name: values}).fit(X, y)
