"""Fits with L1, groups, factors, bounds, priors and offsets, against R, scikit-learn and the
conditions of an optimum."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from helpers import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression

from skmaxent import MaxentClassifier

ORACLES = Path(__file__).parents[1] / "oracles"
X, Y = load_iris(return_X_y=True)
N = len(Y)
OFFSET = np.loadtxt(ORACLES / "iris_offset.csv", delimiter=",", skiprows=1)
WEIGHTS, *COUNTS = np.loadtxt(
    ORACLES / "iris_weights_ycounts.csv", delimiter=",", skiprows=1, unpack=True
)
COUNTS = np.column_stack(COUNTS)
FACTORS = np.array([0.0, 1.0, 2.0, 0.5])
INF = np.inf

# What glmnet was told, in our words; it rescales its penalty factors to sum to d.
VARIANTS = {
    "plain": {},
    "penalty.factor": {"penalty_factor": FACTORS * 4 / FACTORS.sum()},
    "offset": {"offset": OFFSET},
    "weights": {"sample_weight": WEIGHTS},
    "nonneg": {"bounds": (0, None)},
    "nonpos": {"bounds": (None, 0)},
    "box": {"bounds": (-0.5, 0.75)},
    "box_per_feature": {"bounds": ([-INF, -0.3, -1, 0], [0.2, INF, 1, 2])},
    "no_intercept": {"fit_intercept": False},
    "exclude": {"penalty_factor": [1, INF, 1, 1]},
    "count_matrix_y": {},
}


def oracles():
    for file in ("glmnet_iris", "glmnet_iris_variants"):
        for result in json.loads((ORACLES / f"{file}.json").read_text())["results"]:
            variant = result.get("variant", "plain")
            grouped = result["type.multinomial"] == "grouped"
            if variant not in VARIANTS:
                continue  # bounds with groups are no fits of ours
            for index, strength in enumerate(result["lambda"]):
                fits = [fit for fit in result["fits"] if "error" not in fit]
                theirs = (fits[-1]["coef"][index], fits[-1]["intercept"][index]) if fits else None
                label = f"{variant}-{result['alpha']}-{'grouped' * grouped}-{strength}"
                yield pytest.param(variant, result["alpha"], grouped, strength, theirs, id=label)


def terms(strength, l1_ratio, *, grouped=False, penalty_factor=1.0, bounds=(None, None)):
    """The same for the reference; a removed feature has bounds of zero."""
    factor = np.broadcast_to(np.asarray(penalty_factor, float), 4)
    removed = np.isinf(factor)
    factor = np.where(removed, 0.0, factor)
    lower, upper = (np.broadcast_to(np.asarray(b, float), 4) for b in _numbers(bounds))
    return {
        "l1": strength * l1_ratio * factor[None],
        "ridge": strength * (1 - l1_ratio) * factor[None],
        "lower": np.where(removed, 0.0, lower)[None],
        "upper": np.where(removed, 0.0, upper)[None],
        "grouped": grouped,
    }


def _numbers(bounds):
    return -INF if bounds[0] is None else bounds[0], INF if bounds[1] is None else bounds[1]


def objective(coef, intercept, terms, weights=None, offset=None, targets=None):
    targets = np.eye(3)[Y] if targets is None else targets
    loss, gradient, intercepts = reference.mean_loss(X, targets, coef, intercept, weights, offset)
    size = reference.penalty(coef, terms["l1"], terms["ridge"], grouped=terms["grouped"])
    return loss + size, gradient, intercepts


@pytest.mark.parametrize(("variant", "alpha", "grouped", "strength", "theirs"), list(oracles()))
def test_glmnets_fits(variant, alpha, grouped, strength, theirs):
    options = dict(VARIANTS[variant])
    rows = {name: options.pop(name, None) for name in ("sample_weight", "offset")}
    y, targets, weights = Y, np.eye(3)[Y], rows["sample_weight"]
    if variant == "count_matrix_y":
        y, weights = COUNTS, COUNTS.sum(axis=1)
        targets = COUNTS / weights[:, None]
    total = N if weights is None else weights.sum()
    clf = MaxentClassifier(
        C=1 / (total * strength), l1_ratio=alpha, grouped=grouped, tol=1e-7, **options
    ).fit(X, y, **rows)
    asked = terms(
        strength,
        alpha,
        grouped=grouped,
        **{name: options[name] for name in ("penalty_factor", "bounds") if name in options},
    )
    value, gradient, intercepts = objective(
        clf.coef_, clf.intercept_, asked, weights, rows["offset"], targets
    )
    residual = reference.kkt_residual(clf.coef_, gradient, **asked)
    if grouped and "penalty_factor" in options:
        residual = residual[:, np.isfinite(options["penalty_factor"])]
    assert np.abs(residual).max() < 1e-7
    if options.get("fit_intercept", True):
        assert np.abs(intercepts).max() < 1e-7
    assert clf.optimality_gap_ < 1e-6
    if theirs is not None:
        theirs = [np.array(array) for array in theirs]
        assert value <= objective(*theirs, asked, weights, rows["offset"], targets)[0] + 1e-12
        # Between elementwise fits that both are near the optimum, coefficients agree too.
        if not grouped and strength >= 0.01:
            np.testing.assert_allclose(clf.coef_, theirs[0], atol=5e-3)


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
@pytest.mark.parametrize("data", ["iris", "two classes", "sparse"])
def test_scikit_learns_saga(data, l1_ratio):
    """An odd number of classes: for an even one the lasso has many solutions."""
    rng = np.random.default_rng(0)
    Z, y = (X - X.mean(axis=0)) / X.std(axis=0), Y
    if data == "two classes":
        y = (Y == 1).astype(int)
    if data == "sparse":
        Z = sp.random(200, 30, 0.2, random_state=rng, format="csr")
        y = np.asarray((Z @ rng.normal(size=(30, 5)) + rng.gumbel(size=(200, 5))).argmax(axis=1))
    ours = MaxentClassifier(C=2.0, l1_ratio=l1_ratio, tol=1e-8).fit(Z, y)
    # Before scikit-learn 1.8 the kind of penalty has a name.
    kind = {} if sklearn.__version__ >= "1.8" else {"penalty": "elasticnet"}
    theirs = LogisticRegression(
        C=2.0, l1_ratio=l1_ratio, solver="saga", tol=1e-12, max_iter=200_000, random_state=0, **kind
    ).fit(Z, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    np.testing.assert_array_equal(ours.coef_ == 0, np.abs(theirs.coef_) < 1e-7)
    if len(ours.coef_) == 1:
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)
    else:  # theirs do not sum to zero
        np.testing.assert_allclose(
            ours.predict_proba(Z), theirs.predict_proba(Z), atol=1e-5, rtol=0
        )


@cache
def problems():
    rng = np.random.default_rng(1)
    units = 10.0 ** np.linspace(-3, 3, 6)
    tall = rng.normal(size=(3000, 6)) @ (np.eye(6) + 0.5)
    wide = rng.normal(size=(60, 700))
    sparse = sp.random(300, 900, 0.02, random_state=rng, format="csr")
    labels = {
        "tall": tall @ rng.normal(size=(6, 4)),
        "wide": wide[:, :5] @ rng.normal(size=(5, 3)),
        "sparse": 3 * (sparse @ rng.normal(size=(900, 5))),
    }
    y = {name: (Z + rng.gumbel(size=Z.shape)).argmax(axis=1) for name, Z in labels.items()}
    return {
        "tall": (tall, y["tall"], 0.1),
        "raw units": (tall * units + 5 * units, y["tall"], 0.1),
        "wide": (wide, y["wide"], 1.0),
        "sparse": (sparse, y["sparse"], 3.0),
        "two classes": (wide, (y["wide"] == 0).astype(int), 1.0),
        "wine": (*load_wine(return_X_y=True), 1.0),
    }


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("name", list(problems()))
def test_conditions_of_an_optimum(name, fit_intercept, l1_ratio, grouped):
    Z, y, C = problems()[name]
    K = y.max() + 1
    clf = MaxentClassifier(
        C=C, l1_ratio=l1_ratio, grouped=grouped, fit_intercept=fit_intercept, tol=1e-6
    ).fit(Z, y)
    Z = Z.toarray() if sp.issparse(Z) else Z
    strength = 1 / (C * len(y))
    l1, ridge = (np.full((1, Z.shape[1]), strength * share) for share in (l1_ratio, 1 - l1_ratio))
    _, gradient, intercepts = reference.mean_loss(Z, np.eye(K)[y], clf.coef_, clf.intercept_)
    residual = reference.kkt_residual(clf.coef_, gradient, l1, ridge, grouped=grouped)
    size = np.sqrt((Z**2).mean(axis=0)) + 1e-12
    assert np.abs(residual / size).max() < 1e-6
    assert np.abs(intercepts).max() * fit_intercept < 1e-7
    assert clf.optimality_gap_ < 1e-5
    # A value above the optimum by no more than the certificate says.
    loss = reference.mean_loss(Z, np.eye(K)[y], clf.coef_, clf.intercept_)[0]
    value = loss + reference.penalty(clf.coef_, l1, ridge, grouped=grouped)
    better = MaxentClassifier(
        C=C, l1_ratio=l1_ratio, grouped=grouped, fit_intercept=fit_intercept, tol=1e-9
    ).fit(Z, y)
    loss = reference.mean_loss(Z, np.eye(K)[y], better.coef_, better.intercept_)[0]
    least = loss + reference.penalty(better.coef_, l1, ridge, grouped=grouped)
    assert value - least <= clf.optimality_gap_ * value * (1 + 1e-9) + 1e-15
    if grouped:
        zero = clf.coef_ == 0
        np.testing.assert_array_equal(zero, np.broadcast_to(zero[0], zero.shape))


@pytest.mark.parametrize("tol", [3.0, 1e-1, 1e-3])
def test_the_certificate_holds_far_from_the_optimum(tol):
    for name, (Z, y, C) in problems().items():
        options = {"C": C, "l1_ratio": 0.9}
        rough = MaxentClassifier(tol=tol, **options).fit(Z, y)
        fine = MaxentClassifier(tol=1e-8, **options).fit(Z, y)
        Z = Z.toarray() if sp.issparse(Z) else Z
        l1, ridge = (np.full((1, Z.shape[1]), s / (C * len(y))) for s in (0.9, 0.1))
        values = [
            reference.mean_loss(Z, np.eye(y.max() + 1)[y], clf.coef_, clf.intercept_)[0]
            + reference.penalty(clf.coef_, l1, ridge)
            for clf in (rough, fine)
        ]
        assert values[0] - values[1] <= rough.optimality_gap_ * values[0] + 1e-15, name


def test_blocks_threads_and_storage_make_no_difference(stored, small_blocks):
    Z, y, _ = problems()["tall"]
    options = {"C": 0.05, "l1_ratio": 0.8, "tol": 1e-7}
    expected = MaxentClassifier(**options).fit(Z, y).coef_
    for n_jobs in (1, 2):
        clf = MaxentClassifier(n_jobs=n_jobs, **options).fit(stored(Z), y)
        np.testing.assert_allclose(clf.coef_, expected, atol=1e-7)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.4, 1.0]), st.booleans())
def test_symmetries(seed, l1_ratio, grouped):
    """Classes and features permuted, rows repeated against weights, a column scaled with its
    factor: all give the same coefficients."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(80, 6))
    y = (Z[:, :4] + rng.gumbel(size=(80, 4))).argmax(axis=1)
    options = {"C": 0.5, "l1_ratio": l1_ratio, "grouped": grouped, "tol": 1e-8}
    coef = MaxentClassifier(**options).fit(Z, y).coef_

    classes, features = rng.permutation(4), rng.permutation(6)
    permuted = MaxentClassifier(**options).fit(Z[:, features], np.argsort(classes)[y]).coef_
    np.testing.assert_allclose(permuted, coef[classes][:, features], atol=1e-5)

    counts = rng.integers(1, 4, size=80)
    rows = np.repeat(np.arange(80), counts)
    repeated = MaxentClassifier(**options).fit(Z[rows], y[rows]).coef_
    weighted = MaxentClassifier(**options).fit(Z, y, sample_weight=counts).coef_
    np.testing.assert_allclose(weighted, repeated, atol=1e-5)

    if l1_ratio == 1.0:
        scale = 10.0 ** rng.uniform(-2, 2, size=6)
        scaled = MaxentClassifier(penalty_factor=scale, **options).fit(Z * scale, y).coef_
        np.testing.assert_allclose(scaled * scale, coef, atol=1e-5)


def test_two_equal_columns_share_what_one_had():
    options = {"C": 0.3, "l1_ratio": 0.5, "tol": 1e-8}
    one = MaxentClassifier(**options).fit(X, Y)
    two = MaxentClassifier(penalty_factor=[1, 1, 1, 1, 1], **options).fit(
        np.column_stack([X, X[:, 0]]), Y
    )
    np.testing.assert_allclose(two.coef_[:, 0], two.coef_[:, 4], atol=1e-6)
    assert np.isfinite(one.coef_).all()
