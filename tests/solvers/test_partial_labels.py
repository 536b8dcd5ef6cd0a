"""Sets of possible classes: against R, against the definition, and never uphill."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold

from skmaxent import MaxentClassifier, maxent_path
from skmaxent._existence._search import verdict

X, Y = load_iris(return_X_y=True)
R = json.loads((Path(__file__).parents[1] / "oracles" / "multinom_tables.json").read_text())
RNG = np.random.default_rng(0)
SETS = (Y[:, None] == np.arange(3)) | (RNG.random((150, 3)) < 0.3)
PENALTIES = [{}, {"C": 0.01}, {"l1_ratio": 1.0}, {"l1_ratio": 0.5, "grouped": True}]


def objective(clf, rows, sets, weights=None):
    Z = clf.decision_function(rows)
    Z = np.column_stack([np.zeros(len(Z)), Z]) if Z.ndim == 1 else Z
    loss = logsumexp(Z, axis=1) - logsumexp(np.where(sets, Z, -np.inf), axis=1)
    weights = np.ones(len(rows)) if weights is None else weights
    l1, ridge = abs(clf.coef_).sum(), (clf.coef_**2).sum() / 2
    if clf.grouped:
        l1 = np.sqrt((clf.coef_**2).sum(axis=0)).sum()
    penalty = clf.l1_ratio * l1 + (1 - clf.l1_ratio) * ridge
    return weights @ loss + (penalty / clf.C if np.isfinite(clf.C) else 0.0)


def test_multinom_censored():
    sets = np.array(R["sets"])
    clf = MaxentClassifier(C=np.inf, partial_labels=True, tol=1e-8, max_iter=1000)
    clf.fit(X[:, :2], sets)
    coef = np.column_stack([clf.intercept_, clf.coef_])
    assert abs(coef[1:] - coef[0] - np.array(R["sets_coef"])).max() < 1e-4
    deviance = 2 * objective(clf, X[:, :2], sets > 0)
    assert deviance <= R["sets_deviance"] * (1 + 1e-12)
    assert deviance == pytest.approx(R["sets_deviance"], rel=1e-9)


@pytest.mark.parametrize("params", PENALTIES, ids=str)
def test_the_end_is_stationary_and_below_the_relaxation(params):
    weights = RNG.integers(1, 4, 150)
    clf = MaxentClassifier(partial_labels=True, tol=1e-7, max_iter=1000, **params)
    clf.fit(X, SETS, sample_weight=weights)
    spread = SETS / SETS.sum(axis=1, keepdims=True)
    relaxed = MaxentClassifier(tol=1e-7, **params).fit(X, spread, sample_weight=weights)
    least = objective(clf, X, SETS, weights)
    assert least < objective(relaxed, X, SETS, weights)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-2):
        for _ in range(20):
            other = MaxentClassifier(**params)
            vars(other).update(vars(clf))
            other.coef_ = clf.coef_ + size * rng.normal(size=clf.coef_.shape) * (clf.coef_ != 0)
            other.intercept_ = clf.intercept_ + size * rng.normal(size=3)
            assert objective(other, X, SETS, weights) > least - 1e-9


@pytest.mark.parametrize("params", PENALTIES, ids=str)
def test_no_step_goes_up(params, capsys):
    MaxentClassifier(partial_labels=True, tol=1e-6, verbose=1, **params).fit(X, SETS)
    values = [float(v) for v in re.findall(r"objective (\S+)", capsys.readouterr().out)]
    assert len(values) > 2
    assert (np.diff(values) <= 1e-9 * values[0]).all()


def test_sets_lists_tables_and_frames_are_alike():
    want = MaxentClassifier(partial_labels=True).fit(X, SETS)
    as_sets = [set(np.flatnonzero(row).tolist()) for row in SETS]
    for y in (as_sets, pd.Series(as_sets), SETS.astype(int), SETS.astype(float)):
        got = MaxentClassifier(partial_labels=True).fit(X, y)
        np.testing.assert_allclose(got.coef_, want.coef_, rtol=1e-9, atol=1e-12)
    names = np.array(["u", "v", "w"])
    named = [set(names[list(row)].tolist()) for row in as_sets]
    got = MaxentClassifier(partial_labels=True).fit(X, named)
    assert got.classes_.tolist() == ["u", "v", "w"]
    np.testing.assert_allclose(got.coef_, want.coef_, rtol=1e-9, atol=1e-12)
    frame = pd.DataFrame(SETS, columns=names)
    scores = [got.score(X, named), got.score(X, frame)]
    assert scores == pytest.approx([want.score(X, SETS)] * 2, rel=1e-12)
    assert want.score(X, SETS) == pytest.approx(
        SETS[np.arange(150), want.predict(X)].mean(), rel=1e-12
    )


def test_known_classes_are_an_ordinary_fit():
    known = Y[:, None] == np.arange(3)
    one = MaxentClassifier(partial_labels=True).fit(X, known)
    other = MaxentClassifier().fit(X, Y)
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9, atol=1e-12)
    assert one.optimality_gap_ == pytest.approx(other.optimality_gap_, rel=1e-6)
    np.testing.assert_allclose(
        MaxentClassifier(partial_labels=True).fit(X, Y).coef_, other.coef_, rtol=1e-9, atol=1e-12
    )
    assert np.isnan(MaxentClassifier(partial_labels=True).fit(X, SETS).optimality_gap_)


def test_rows_that_may_be_anything_say_nothing():
    rows = np.vstack([X, X[::7] + 1.0])
    anything = np.vstack([SETS, np.ones((len(X[::7]), 3), bool)])
    one = MaxentClassifier(partial_labels=True, tol=1e-8, max_iter=1000)
    one.fit(rows[:, :2], anything)
    other = MaxentClassifier(partial_labels=True, tol=1e-8, max_iter=1000)
    other.fit(X[:, :2], SETS)
    assert abs(one.predict_proba(X[:, :2]) - other.predict_proba(X[:, :2])).max() < 1e-5


def test_two_classes_have_one_logit():
    two = Y > 0
    sets = SETS[two][:, 1:]
    clf = MaxentClassifier(partial_labels=True, tol=1e-8, max_iter=1000).fit(X[two], sets)
    assert clf.coef_.shape == (1, 4)
    shift = np.eye(4)[0] * 1e-4
    base = objective(clf, X[two], sets)
    for sign in (-1, 1):
        clf.coef_ = clf.coef_ + sign * shift
        assert objective(clf, X[two], sets) > base
        clf.coef_ = clf.coef_ - sign * shift


def test_float32_and_searches():
    clf = MaxentClassifier(partial_labels=True).fit(X.astype(np.float32), SETS)
    assert clf.coef_.dtype == np.float32
    search = GridSearchCV(
        MaxentClassifier(partial_labels=True), {"C": [0.1, 1.0]}, cv=KFold(3, shuffle=True)
    )
    assert search.fit(X, SETS).best_score_ > 0.8
    found = MaxentClassifier(partial_labels=True).fit(X, SETS)
    assert found.infer(X, SETS, method="bootstrap", n_bootstrap=3).replicates.shape[0] == 3


@pytest.mark.parametrize(
    ("y", "params", "message"),
    [
        ([set()] + [{0}] * 149, {}, r"empty sets in the rows \[0\]"),
        ([{0, "a"}, {1}] * 75, {}, "cannot be sorted together: int, str"),
        (np.where(SETS, 2, 0), {}, "which classes are possible"),
        (SETS & (np.arange(150)[:, None] > 2), {}, "nothing but zeros in 3 rows"),
        (SETS, {"class_weight": "balanced"}, "combined with class_weight"),
        (SETS, {"label_smoothing": 0.1}, "combined with label_smoothing"),
        (SETS, {"bias_reduction": "mean", "C": np.inf}, "combined with bias_reduction"),
    ],
)
def test_what_cannot_be_is_named(y, params, message):
    with pytest.raises(ValueError, match=message):
        MaxentClassifier(partial_labels=True, **params).fit(X, y)


def test_paths_and_information_are_refused():
    with pytest.raises(ValueError, match="partial_labels"):
        maxent_path(X, SETS, partial_labels=True)
    with pytest.raises(ValueError, match=r"partial_labels.*bootstrap"):
        MaxentClassifier(partial_labels=True).fit(X, SETS).infer(X, SETS)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [1.0, np.inf])
def test_rows_for_which_all_classes_are_possible_change_nothing(n_classes, C):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    codes = (X @ rng.normal(size=(2, n_classes)) + rng.gumbel(size=(90, n_classes))).argmax(axis=1)
    members = np.eye(n_classes, dtype=bool)[codes]
    members[60:] = True
    clf = MaxentClassifier(C=C, partial_labels=True, tol=1e-8).fit(X, members)
    expected = MaxentClassifier(C=C, tol=1e-8).fit(X[:60], codes[:60])
    np.testing.assert_allclose(clf.coef_, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(clf.intercept_, expected.intercept_, atol=1e-6)


def test_sets_that_are_separated_have_no_optimum():
    """Where each row's set has the largest logit, the loss falls towards zero along the way there,
    although no targets that are spread over the sets are separated."""
    X = np.array([[-2.0], [-1.5], [-1.0], [1.0], [1.5], [2.0]])
    sets = [{0, 1}, {0}, {0, 1}, {1, 2}, {2}, {1, 2}]
    with pytest.warns(ConvergenceWarning, match="separated"):
        MaxentClassifier(C=np.inf, partial_labels=True).fit(X, sets)


def test_the_existence_of_an_optimum_is_not_proved_anew_at_each_step(monkeypatch):
    proofs = []

    def counted(*args, **options):
        proofs.append(args)
        return verdict(*args, **options)

    monkeypatch.setattr("skmaxent._existence._watch.verdict", counted)
    rng = np.random.default_rng(3)
    offset = rng.normal(size=(150, 3))
    # Large sets leave most of the information open, so that many steps are made.
    sets = SETS | (rng.random((150, 3)) < 0.4)
    clf = MaxentClassifier(C=np.inf, partial_labels=True).fit(X[:, :2], sets, offset=offset)
    assert clf.n_iter_[0] > 10
    assert 1 <= len(proofs) <= 4


def test_quasi_complete_separation_of_sets_is_told():
    x = np.array([-2.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0])[:, None]
    sets = [{0}, {0}, {0}, {1}, {2}, {1, 2}, {1, 2}, {1}]
    with pytest.warns(ConvergenceWarning, match="quasi-complete separation"):
        MaxentClassifier(C=np.inf, partial_labels=True).fit(x, sets)


def sets_without_one_class_alone():
    rng = np.random.default_rng(467)
    X, codes = rng.normal(size=(60, 2)), rng.integers(0, 3, 60)
    sets = np.eye(3, dtype=bool)[codes]
    sets[codes == 1, 0] = True
    return X, sets


@pytest.mark.parametrize("options", [{}, {"l1_ratio": 1.0}, {"bounds": (-0.1, 0.4), "tol": 1e-7}])
def test_classes_whose_probabilities_tend_to_zero_are_told(options):
    X, sets = sets_without_one_class_alone()
    with pytest.warns(ConvergenceWarning, match=r"positions \[1\] of classes_"):
        clf = MaxentClassifier(partial_labels=True, **options).fit(X, sets)
    assert clf.predict_proba(X)[:, 1].max() < 1e-6
    # Without the class, the other probabilities are the same.
    two = MaxentClassifier(partial_labels=True, **options | {"tol": 1e-8}).fit(X, sets[:, [0, 2]])
    assert two.predict_proba(X)[:, 1].mean() == pytest.approx(
        clf.predict_proba(X)[:, 2].mean(), abs=1e-4
    )


def test_sets_separated_by_a_class_that_is_never_alone_are_told():
    X, sets = sets_without_one_class_alone()
    with pytest.warns(ConvergenceWarning, match="quasi-complete separation"):
        MaxentClassifier(C=np.inf, partial_labels=True).fit(X, sets)


def test_an_objective_that_is_lower_at_infinity_is_told():
    # Expected targets of the last iterate are small, but not so small that rounding hides them.
    rng = np.random.default_rng(4)
    offset, sets = rng.normal(size=(150, 3)), SETS | (rng.random((150, 3)) < 0.3)
    fits = []
    for tol in (1e-4, 1e-8):
        clf = MaxentClassifier(C=np.inf, partial_labels=True, tol=tol)
        with pytest.warns(ConvergenceWarning, match="quasi-complete separation"):
            fits.append(clf.fit(X[:, :2], sets, offset=offset))

    def loss(clf):
        Z = X[:, :2] @ clf.coef_.T + clf.intercept_ + offset
        return (logsumexp(Z, axis=1) - logsumexp(np.where(sets, Z, -np.inf), axis=1)).sum()

    first, second = fits
    assert loss(second) < loss(first)
    assert np.abs(second.coef_).max() > np.abs(first.coef_).max()


def test_rows_without_weight_may_exclude_all_classes_that_have_any():
    sets = SETS.copy()
    sets[:10], sets[:10, 2] = False, True
    few = (Y != 2) & (np.arange(150) >= 10)
    weights = np.where(few, 1.0, 0.0)
    sets[few, 2] = False
    clf = MaxentClassifier(partial_labels=True, tol=1e-8).fit(X, sets, sample_weight=weights)
    sets[:10] = True
    same = MaxentClassifier(partial_labels=True, tol=1e-8).fit(X, sets, sample_weight=weights)
    np.testing.assert_allclose(clf.coef_, same.coef_, atol=1e-6)
    assert clf.n_iter_[0] < 20
