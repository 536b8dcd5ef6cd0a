"""`standardize=True`: the penalty of the coefficients of standardised columns, on any input."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import check_grad
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MaxentObjective,
    MultilabelMaxentClassifier,
    leave_one_out,
    maxent_path,
)

ORACLES = Path(__file__).parents[1] / "oracles"
R = json.loads((ORACLES / "glmnet_options.json").read_text())
DATA = np.loadtxt(ORACLES / "multinomial_example.csv", delimiter=",", skiprows=1)
X, Y = DATA[:, :-1] * 10 ** np.linspace(-2, 2, 30), DATA[:, -1].astype(int)
WEIGHTS = 1.0 + (np.arange(len(Y)) + 1) % 3
PENALTIES = {
    "ridge": {},
    "lasso": {"l1_ratio": 1.0},
    "elastic net": {"l1_ratio": 0.5},
    "grouped": {"l1_ratio": 1.0, "grouped": True},
    "grouped with ridge": {"l1_ratio": 0.5, "grouped": True},
}


def exact(**params):
    return MaxentClassifier(**{"tol": 1e-11, "max_iter": 2000, "standardize": True} | params)


def by_scaler(rows, y, weights=None, *, with_mean=True, **params):
    """Coefficients and intercepts for `rows` of a fit to columns that were scaled before."""
    scaler = StandardScaler(with_mean=with_mean).fit(rows, sample_weight=weights)
    clf = exact(standardize=False, **params).fit(scaler.transform(rows), y, weights)
    coef = clf.coef_ / scaler.scale_
    return coef, clf.intercept_ - (coef @ scaler.mean_ if with_mean else 0.0)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("kind", PENALTIES)
def test_fits_are_those_to_columns_scaled_before(kind, weights):
    params = PENALTIES[kind] | {"alpha": 0.02}
    clf = exact(**params).fit(X, Y, weights)
    coef, intercept = by_scaler(X, Y, weights, **params)
    size = X.std(axis=0)
    np.testing.assert_allclose(clf.coef_ * size, coef * size, atol=1e-8)
    np.testing.assert_allclose(clf.intercept_, intercept, atol=1e-8)
    assert clf.optimality_gap_ < 1e-6


@pytest.mark.parametrize("kind", PENALTIES)
def test_sparse_rows(kind):
    rows = np.where(np.abs(DATA[:, :-1]) > 0.8, X, 0.0)
    clf = exact(alpha=0.02, **PENALTIES[kind]).fit(sp.csr_array(rows), Y, WEIGHTS)
    coef, intercept = by_scaler(rows, Y, WEIGHTS, alpha=0.02, **PENALTIES[kind])
    size = rows.std(axis=0)
    np.testing.assert_allclose(clf.coef_ * size, coef * size, atol=1e-8)
    np.testing.assert_allclose(clf.intercept_, intercept, atol=1e-8)


def test_without_an_intercept_deviations_are_from_the_mean_all_the_same():
    rows = X + X.std(axis=0)
    clf = exact(C=0.1, fit_intercept=False).fit(rows, Y)
    coef, _ = by_scaler(rows, Y, with_mean=False, C=0.1, fit_intercept=False)
    np.testing.assert_allclose(clf.coef_ * rows.std(axis=0), coef * rows.std(axis=0), atol=1e-8)


CASES = {
    "lasso": {},
    "elastic_net": {"l1_ratio": 0.5},
    "ridge": {"l1_ratio": 0.0},
    "grouped": {"grouped": True},
    "no_intercept": {"fit_intercept": False},
    "penalty_factor": {"penalty_factor": np.tile([0.5, 1.0, 1.5], 10)},
}


@pytest.mark.parametrize("case", CASES)
def test_glmnets_fits_with_its_default_standardize(case):
    expected = R[case]
    path = maxent_path(X, Y, alphas=R["lambda"], standardize=True, tol=1e-9, **CASES[case])
    size = X.std(axis=0)
    # The columns of coefficients differ by constants where nothing but a grouped or ridge penalty
    # of rounding size determines these.
    np.testing.assert_allclose(path.coefs * size, np.array(expected["coef"]) * size, atol=2e-4)
    null = -np.log(np.bincount(Y)[1:] / len(Y)) @ np.bincount(Y)[1:] / len(Y)
    for coef, intercept, share in zip(
        path.coefs, path.intercepts, expected["dev_ratio"], strict=True
    ):
        Z = X @ coef.T + intercept
        loss = np.mean(np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(len(Y)), Y - 1])
        reference = null if case != "no_intercept" else np.log(3.0)
        assert 1.0 - loss / reference == pytest.approx(share, abs=2e-6)


def test_weighted_glmnet():
    path = maxent_path(X, Y, alphas=R["lambda"], sample_weight=WEIGHTS, standardize=True, tol=1e-9)
    size = X.std(axis=0)
    expected = np.array(R["weights"]["coef"])
    np.testing.assert_allclose(path.coefs * size, expected * size, atol=2e-4)


def test_class_weights_count_in_the_deviations():
    factors = np.where(Y == 2, 4.0, 1.0)
    for l1_ratio in (0.0, 1.0):
        clf = exact(alpha=0.02, l1_ratio=l1_ratio, class_weight={2: 4.0}).fit(X, Y, WEIGHTS)
        other = exact(alpha=0.02, l1_ratio=l1_ratio).fit(X, Y, WEIGHTS * factors)
        np.testing.assert_allclose(
            clf.coef_ * X.std(axis=0), other.coef_ * X.std(axis=0), atol=1e-8
        )


def test_units_do_not_matter():
    for units in (1e-60, 1e-9, 1e9, 1e60):
        clf = exact(alpha=0.02, l1_ratio=0.5).fit(X[:, :5] * units, Y)
        other = exact(alpha=0.02, l1_ratio=0.5).fit(X[:, :5], Y)
        np.testing.assert_allclose(clf.coef_ * units, other.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("units", [1e-120, 1e120])
def test_units_whose_squares_leave_the_range_of_floating_point(units):
    clf = exact(alpha=0.02, l1_ratio=0.5).fit(X[:, :5] * units, Y)
    other = exact(alpha=0.02, l1_ratio=0.5).fit(X[:, :5], Y)
    np.testing.assert_allclose(
        clf.coef_ * units * X[:, :5].std(axis=0), other.coef_ * X[:, :5].std(axis=0), atol=1e-6
    )


def test_a_large_mean_does_not_matter():
    shift = 1e6 * X.std(axis=0)
    clf, other = (exact(C=0.1, tol=1e-9).fit(rows, Y) for rows in (X + shift, X))
    np.testing.assert_allclose(clf.coef_ * X.std(axis=0), other.coef_ * X.std(axis=0), atol=1e-6)


def test_constant_columns_have_the_deviation_one():
    rows = np.column_stack([X[:, :3], np.full(len(Y), 7.0), np.zeros(len(Y))])
    for params in PENALTIES.values():
        clf = exact(alpha=0.02, **params).fit(rows, Y)
        other = exact(alpha=0.02, **params).fit(X[:, :3], Y)
        np.testing.assert_allclose(clf.coef_[:, :3], other.coef_, rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(clf.coef_[:, 3:], 0.0)
    # Without an intercept a constant column is one.
    clf = exact(alpha=0.02, fit_intercept=False).fit(rows[:, [0, 3]], Y)
    of_units = exact(
        alpha=0.02, fit_intercept=False, standardize=False, penalty_factor=[X[:, 0].var(), 1.0]
    ).fit(rows[:, [0, 3]], Y)
    np.testing.assert_allclose(clf.coef_, of_units.coef_, rtol=1e-7)


def test_factors_multiply_and_bounds_and_priors_stay_in_the_units_of_the_columns():
    rows, sd = X[:, :6], X[:, :6].std(axis=0)
    factors = np.array([1.0, 0.0, 2.0, np.inf, 1.0, 3.0])
    lower, upper = -0.1 / sd, 0.2 / sd
    for l1_ratio in (0.0, 0.5):
        common = {"alpha": 0.05, "l1_ratio": l1_ratio, "bounds": (lower, upper)}
        clf = exact(penalty_factor=factors, **common).fit(rows, Y)
        scaled = exact(
            alpha=0.05,
            l1_ratio=l1_ratio,
            bounds=(lower * sd, upper * sd),
            penalty_factor=factors,
            standardize=False,
        ).fit(rows / sd, Y)
        np.testing.assert_allclose(clf.coef_ * sd, scaled.coef_, atol=1e-7)
        assert (clf.coef_ >= lower).all()
        assert (clf.coef_ <= upper).all()
    prior = np.random.default_rng(0).normal(size=(3, 6)) / sd
    clf = exact(alpha=0.5, l1_ratio=0.3, prior_coef=prior).fit(rows, Y)
    scaled = exact(alpha=0.5, l1_ratio=0.3, prior_coef=prior * sd, standardize=False)
    np.testing.assert_allclose(clf.coef_ * sd, scaled.fit(rows / sd, Y).coef_, atol=1e-7)
    strong = exact(alpha=1e6, prior_coef=prior).fit(rows, Y)
    np.testing.assert_allclose(strong.coef_ * sd, prior * sd, atol=1e-4)


def test_float32():
    rows = X.astype(np.float32)
    for params in PENALTIES.values():
        clf = MaxentClassifier(alpha=0.02, standardize=True, **params).fit(rows, Y)
        assert clf.coef_.dtype == np.float32
        other = exact(alpha=0.02, **params).fit(X, Y)
        np.testing.assert_allclose(
            clf.coef_ * X.std(axis=0), other.coef_ * X.std(axis=0), atol=2e-3
        )


def test_a_class_without_weight():
    weights = np.where(Y == 2, 0.0, 1.0)
    kept = weights > 0.0
    clf = exact(C=0.3, l1_ratio=0.5).fit(X, Y, weights)
    np.testing.assert_array_equal(clf.coef_[1], 0.0)
    scaled = X / X[kept].std(axis=0)
    other = exact(C=0.3, l1_ratio=0.5, standardize=False).fit(scaled, Y, weights)
    np.testing.assert_allclose(clf.predict_proba(X), other.predict_proba(scaled), atol=1e-7)


def test_weights_of_zero_do_not_count_in_the_deviations():
    rows = X.copy()
    rows[:50] *= 1e3
    weights = np.where(np.arange(len(Y)) < 50, 0.0, 1.0)
    clf = exact(C=0.3).fit(rows, Y, weights)
    np.testing.assert_allclose(clf.coef_, exact(C=0.3).fit(X[50:], Y[50:]).coef_, rtol=1e-6)


def test_tables_of_counts_weigh_the_deviations():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (len(Y), 3)) + np.eye(3, dtype=int)[Y - 1]
    repeated = np.repeat(np.arange(len(Y)), counts.sum(axis=1))
    labels = np.concatenate([np.repeat(np.arange(3), row) for row in counts])
    clf = exact(alpha=0.03, l1_ratio=0.5).fit(X, counts)
    other = exact(alpha=0.03, l1_ratio=0.5).fit(X[repeated], labels)
    np.testing.assert_allclose(clf.coef_ * X.std(axis=0), other.coef_ * X.std(axis=0), atol=1e-7)


def test_partial_labels_that_are_certain():
    sets = np.eye(3, dtype=bool)[Y - 1]
    clf = exact(alpha=0.05, partial_labels=True).fit(X, sets)
    np.testing.assert_allclose(
        clf.coef_ * X.std(axis=0), exact(alpha=0.05).fit(X, Y).coef_ * X.std(axis=0), atol=1e-6
    )
    sets[::5, 0] = True
    sets[::10, 1] = True
    sets[:50] = True  # such rows do not count
    uncertain = exact(alpha=0.05, partial_labels=True).fit(X, sets)
    scaler = StandardScaler().fit(X[~sets.all(axis=1)])
    scaled = exact(alpha=0.05, partial_labels=True, standardize=False)
    scaled.fit(scaler.transform(X), sets)
    np.testing.assert_allclose(uncertain.coef_ * scaler.scale_, scaled.coef_, atol=1e-6)


def test_label_smoothing_and_offsets():
    offset = np.column_stack([DATA[:, 0], -DATA[:, 1], 0 * DATA[:, 2]])
    scaled = StandardScaler().fit_transform(X)
    params = {"alpha": 0.03, "l1_ratio": 0.5, "label_smoothing": 0.1}
    clf = exact(**params).fit(X, Y, offset=offset)
    other = exact(standardize=False, **params).fit(scaled, Y, offset=offset)
    np.testing.assert_allclose(clf.coef_ * X.std(axis=0), other.coef_, atol=1e-8)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_several_labels(link, l1_ratio):
    labels = np.column_stack([Y == 1, Y == 2, X[:, 3] > 0]).astype(int)
    labels[::7] = 0
    params = {"link": link, "threshold": 0.5, "alpha": 0.03, "l1_ratio": l1_ratio, "tol": 1e-10}
    clf = MultilabelMaxentClassifier(standardize=True, **params).fit(X, labels)
    # With a softmax, rows without labels have no weight.
    counted = labels.any(axis=1) if link == "softmax" else np.ones(len(Y), bool)
    scaler = StandardScaler().fit(X[counted])
    other = MultilabelMaxentClassifier(**params).fit(scaler.transform(X[counted]), labels[counted])
    np.testing.assert_allclose(clf.coef_ * scaler.scale_, other.coef_, atol=1e-7)
    assert clone(clf).standardize


def test_two_classes():
    expected = np.array(R["two_classes"]["coef"])[:, 0]
    path = maxent_path(X, Y == 1, alphas=R["lambda"], standardize=True, tol=1e-9)
    np.testing.assert_allclose(
        path.coefs[:, 0] * X.std(axis=0), expected * X.std(axis=0), atol=2e-4
    )
    np.testing.assert_allclose(path.intercepts[:, 0], R["two_classes"]["intercept"], atol=2e-4)


def test_grids_are_those_of_glmnet():
    path = maxent_path(X, Y, alphas=100, standardize=True)
    ends = R["path"]["lambda"]
    np.testing.assert_allclose(path.alphas[: len(ends)], ends, rtol=1e-5)
    np.testing.assert_allclose(path.alphas[-1], 1e-4 * path.alphas[0], rtol=1e-5)
    units = np.geomspace(1e-4, 1e6, 30)
    for params in ({}, {"l1_ratio": 0.0}, {"grouped": True}, {"l1_ratio": 0.3}):
        Cs = maxent_path(X, Y, Cs=2, standardize=True, **params).Cs
        np.testing.assert_allclose(
            maxent_path(X * units, Y, Cs=2, standardize=True, **params).Cs, Cs, rtol=1e-6
        )
        np.testing.assert_allclose(
            maxent_path(StandardScaler().fit_transform(X), Y, Cs=2, **params).Cs, Cs, rtol=1e-5
        )


def test_cross_validation_standardises_the_rows_of_each_fit():
    split = PredefinedSplit(np.arange(len(Y)) % 3)
    params = {"alphas": [0.02, 0.1], "l1_ratios": [0.5], "cv": split, "tol": 1e-9}
    clf = MaxentClassifierCV(standardize=True, **params).fit(X, Y)
    for fold, (train, _) in enumerate(split.split()):
        coef, intercept = by_scaler(X[train], Y[train], alpha=0.02, l1_ratio=0.5)
        found = clf.coefs_paths_[fold, 0, 0]
        size = X.std(axis=0)
        np.testing.assert_allclose(found[:, :-1] * size, coef * size, atol=1e-6)
        np.testing.assert_allclose(found[:, -1], intercept, atol=1e-6)
    last = exact(alpha=clf.alpha_, l1_ratio=0.5).fit(X, Y)
    np.testing.assert_allclose(clf.coef_ * X.std(axis=0), last.coef_ * X.std(axis=0), atol=1e-6)
    assert clf.optimality_gap_ < 1e-6


def test_cross_validated_deviances_of_glmnet():
    for measure, scoring in (("deviance", None), ("class", "accuracy")):
        clf = MaxentClassifierCV(
            alphas=R["lambda"],
            l1_ratios=[1.0],
            standardize=True,
            cv=PredefinedSplit(R["fold"]),
            fold_weights="size",
            scoring=scoring,
        ).fit(X, Y)
        mean = clf.cv_results_frame()["mean_score"]
        found = -2.0 * mean if scoring is None else 1.0 - mean
        np.testing.assert_allclose(found, R["cv"][measure], rtol=1e-6)


@pytest.mark.parametrize("kind", ["ridge", "lasso", "grouped"])
def test_dask_collections(kind):
    da = pytest.importorskip("dask.array")
    lazy = [da.from_array(a, chunks=(130, -1)[: a.ndim]) for a in (X, Y, WEIGHTS)]
    clf = exact(alpha=0.02, tol=1e-9, **PENALTIES[kind])
    found = clone(clf).fit(*lazy).coef_
    np.testing.assert_allclose(
        found * X.std(axis=0), clf.fit(X, Y, WEIGHTS).coef_ * X.std(axis=0), atol=1e-6
    )
    folds = MaxentClassifierCV(alphas=[0.02], l1_ratios=[1.0], standardize=True, tol=1e-9, cv=3)
    of_chunks = clone(folds).fit(*lazy)
    np.testing.assert_allclose(of_chunks.scores_, folds.fit(X, Y, WEIGHTS).scores_, atol=1e-6)


def test_memory_maps(tmp_path):
    np.save(tmp_path / "X.npy", np.column_stack([X, np.ones(len(Y))]))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    clf = exact(alpha=0.02, l1_ratio=0.5).fit(mapped, Y)
    expected = exact(alpha=0.02, l1_ratio=0.5).fit(X, Y).coef_
    np.testing.assert_allclose(
        clf.coef_[:, :-1] * X.std(axis=0), expected * X.std(axis=0), atol=1e-8
    )


def test_the_gap_judges_the_standardised_penalty():
    rough = MaxentClassifier(C=0.3, standardize=True, max_iter=1, l1_ratio=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rough.fit(X, Y)
    best = exact(C=0.3, l1_ratio=0.5).fit(X, Y)
    sd = X.std(axis=0)

    def objective(clf):
        Z, W = X @ clf.coef_.T + clf.intercept_, clf.coef_ * sd
        loss = np.log(np.exp(Z - Z.max(1)[:, None]).sum(1)) + Z.max(1) - Z[np.arange(len(Y)), Y - 1]
        return loss.mean() + (0.5 * np.abs(W).sum() + 0.25 * (W**2).sum()) / (0.3 * len(Y))

    excess = 1.0 - objective(best) / objective(rough)
    assert 1e-12 < excess <= rough.optimality_gap_


def test_inference_knows_the_standardised_penalty():
    rows, sd = X[:, :4], X[:, :4].std(axis=0)
    scaled = rows / sd
    for params in ({"C": 0.5}, {"C": 0.5, "class_weight": {1: 2.0}, "prior_coef": np.ones((3, 4))}):
        other = dict(params)
        if "prior_coef" in other:
            other["prior_coef"] = params["prior_coef"] * sd
        clf = exact(**params).fit(rows, Y)
        plain = exact(standardize=False, **other)
        if "class_weight" in params:  # its weights count in the deviations
            weights = np.where(Y == 1, 2.0, 1.0)
            mean = np.average(rows, axis=0, weights=weights)
            sd = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights))
            scaled, plain = rows / sd, plain.set_params(prior_coef=params["prior_coef"] * sd)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = clf.infer(rows, Y)
            expected = plain.fit(scaled, Y).infer(scaled, Y)
        np.testing.assert_allclose(found.coef[:, :-1] * sd, expected.coef[:, :-1], atol=1e-7)
        np.testing.assert_allclose(
            found.std_errors[:, :-1] * sd, expected.std_errors[:, :-1], rtol=1e-6
        )
    clf.set_params(standardize=False)
    with pytest.raises(ValueError, match="standardize is False, but was True"):
        clf.infer(rows, Y)


def test_bootstrap_and_split():
    lasso = MaxentClassifier(alpha=0.05, l1_ratio=1.0, standardize=True).fit(X, Y)
    found = lasso.infer(X, Y, method="split")
    scaled = MaxentClassifier(alpha=0.05, l1_ratio=1.0).fit(X / X.std(axis=0), Y)
    assert 0 < len(found.columns) < 31
    assert len(scaled.infer(X / X.std(axis=0), Y, method="split").columns) < 31
    rows = X[:, :3]
    ridge = MaxentClassifier(alpha=0.05, standardize=True).fit(rows, Y)
    other = MaxentClassifier(alpha=0.05, standardize=True).fit(rows * 100.0, Y)
    errors = ridge.infer(rows, Y, method="bootstrap", n_bootstrap=10).std_errors
    of_units = other.infer(rows * 100.0, Y, method="bootstrap", n_bootstrap=10).std_errors
    np.testing.assert_allclose(errors[:, :-1], 100.0 * of_units[:, :-1], rtol=1e-3)


def test_the_objective_for_other_optimisers():
    for preconditioned in (False, True):
        objective = MaxentObjective(X[:, :4], Y, alpha=0.05, standardize=True)
        clf = exact(alpha=0.05).fit(X[:, :4], Y)
        at = objective.flatten(clf.coef_, clf.intercept_)
        assert (
            np.abs(objective.grad(at) / np.append(np.tile(X[:, :4].std(0), 3), [1] * 3)).max()
            < 1e-8
        )
        if preconditioned:
            objective = objective.preconditioned()
        x = np.random.default_rng(0).normal(size=objective.n_parameters)
        assert check_grad(objective.fun, objective.grad, x) < 1e-4 * (1 + abs(objective.fun(x)))
    by_C = MaxentObjective(X[:, :4], Y, C=1.0 / (0.05 * len(Y)), standardize=True)
    by_alpha = MaxentObjective(X[:, :4], Y, alpha=0.05, standardize=True)
    assert by_C.fun(at) == pytest.approx(by_alpha.fun(at), rel=1e-12)
    with pytest.raises(ValueError, match="C and alpha cannot be combined"):
        MaxentObjective(X, Y, C=2.0, alpha=0.1)


def test_frames_whose_columns_are_in_another_order_are_refused():
    frame = pd.DataFrame(X[:, :3], columns=list("abc"))
    clf = MaxentClassifier(standardize=True).fit(frame, Y)
    with pytest.raises(ValueError, match="same order"):
        clf.predict(frame[["c", "a", "b"]])
    order = frame[["c", "a", "b"]]
    other = MaxentClassifier(standardize=True, tol=1e-9).fit(order, Y)
    np.testing.assert_allclose(other.predict_proba(order), clf.predict_proba(frame), atol=1e-5)


def test_warm_starts():
    clf = MaxentClassifier(alpha=0.02, standardize=True, warm_start=True, tol=1e-8)
    first = clf.fit(X, Y).coef_
    assert clf.fit(X, Y).n_iter_[0] <= 2
    np.testing.assert_allclose(clf.coef_ * X.std(0), first * X.std(0), atol=1e-6)
    clf.set_params(standardize=False).fit(X, Y)
    expected = MaxentClassifier(alpha=0.02, tol=1e-8).fit(X, Y).coef_
    np.testing.assert_allclose(clf.coef_ * X.std(0), expected * X.std(0), atol=1e-4)


def test_a_failed_fit_leaves_the_model_as_it_was():
    clf = MaxentClassifier(alpha=0.02, standardize=True).fit(X, Y)
    before = clf.coef_.copy()
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(np.where(X[0, 0] == X, np.nan, X), Y)
    with pytest.raises(ValueError, match="C and alpha cannot be combined"):
        clf.set_params(C=3.0).fit(X, Y)
    np.testing.assert_array_equal(clf.coef_, before)


def test_pickles_clones_and_pipelines():
    clf = MaxentClassifier(alpha=0.02, standardize=True).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert loaded.infer(X[:, :], Y).coef.shape == (2, 31)
    assert clone(clf).get_params() == clf.get_params()
    pipe = make_pipeline(StandardScaler(), MaxentClassifier(alpha=0.02, standardize=True, tol=1e-9))
    other = MaxentClassifier(alpha=0.02, standardize=True, tol=1e-9).fit(X, Y)
    np.testing.assert_allclose(pipe.fit(X, Y).predict_proba(X), other.predict_proba(X), atol=1e-6)
    search = GridSearchCV(
        MaxentClassifier(alpha=0.02), {"standardize": [False, True]}, cv=3, scoring="neg_log_loss"
    ).fit(X, Y)
    assert search.best_params_ == {"standardize": True}


def test_without_a_penalty_nothing_changes():
    rows = X[:, :4]
    with_it = exact(C=np.inf).fit(rows, Y)
    without = exact(C=np.inf, standardize=False).fit(rows, Y)
    np.testing.assert_allclose(with_it.coef_, without.coef_, rtol=1e-7)
    reduced = exact(C=np.inf, bias_reduction="mean").fit(rows, Y)
    assert np.isfinite(reduced.coef_).all()


@pytest.mark.parametrize("solver", ["newton-cg", "newton-cholesky", "lbfgs", "trust-krylov"])
def test_all_solvers(solver):
    clf = exact(alpha=0.02, solver=solver, tol=1e-8).fit(X, Y)
    expected = exact(alpha=0.02).fit(X, Y)
    np.testing.assert_allclose(clf.coef_ * X.std(0), expected.coef_ * X.std(0), atol=1e-7)


def test_factors_of_classes():
    rows, sd = X[:, :4], X[:, :4].std(axis=0)
    factors = np.random.default_rng(0).uniform(0.0, 2.0, (3, 4))
    params = {"alpha": 0.05, "l1_ratio": 0.4, "penalty_factor": factors}
    clf = exact(**params).fit(rows, Y)
    other = exact(standardize=False, **params).fit(rows / sd, Y)
    np.testing.assert_allclose(clf.coef_ * sd, other.coef_, atol=1e-8)


@pytest.mark.parametrize("kind", ["ridge", "grouped with ridge"])
def test_more_sparse_columns_than_rows(kind):
    rng = np.random.default_rng(0)
    rows = sp.random(400, 2000, density=0.003, random_state=0, format="csr")
    rows = sp.hstack([rows.multiply(rng.uniform(1e-3, 1e3, 2000)), sp.csr_array((400, 300))])
    y, dense = rng.integers(0, 3, 400), rows.toarray()
    sd = np.where(dense.std(axis=0) > 0.0, dense.std(axis=0), 1.0)
    params = PENALTIES[kind] | {"alpha": 0.03, "tol": 1e-8}
    clf = exact(**params).fit(rows.tocsr(), y)
    coef, _ = by_scaler(dense, y, **params)
    np.testing.assert_allclose(clf.coef_ * sd, coef * sd, atol=1e-6)


def test_a_prior_of_columns_without_entries():
    rows = np.column_stack([X[:, :2], np.zeros(len(Y))])
    prior = np.outer([1.0, -1.0, 0.0], np.ones(3))
    for standardize in (False, True):
        clf = exact(alpha=0.1, l1_ratio=0.3, prior_coef=prior, standardize=standardize)
        # The least penalty has |w| = (0.7 - 0.3)/0.7.
        np.testing.assert_allclose(clf.fit(rows, Y).coef_[:, 2], [4 / 7, -4 / 7, 0.0], atol=1e-12)


def test_leave_one_out():
    rows, sd = X[:, :4], X[:, :4].std(axis=0)
    found = leave_one_out(exact(alpha=0.05).fit(rows, Y), rows, Y)
    scaled = exact(alpha=0.05, standardize=False).fit(rows / sd, Y)
    expected = leave_one_out(scaled, rows / sd, Y)
    np.testing.assert_allclose(found.log_proba, expected.log_proba, atol=1e-9)
    assert found.effective_df == pytest.approx(expected.effective_df)
