"""Pseudo R² against R's formulas and brute force."""

import json
import pickle

import numpy as np
import pytest

from skmaxent import MaxentClassifier
from tests.helpers.beps import DATA, ORACLES, VOTE

X = DATA[["age", "Blair", "Europe"]]
R = json.loads((ORACLES / "vcov_cluster.json").read_text())["r2"]


def test_two_classes_have_the_figures_of_r():
    y = VOTE == "Labour"
    results = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y).infer(X, y)
    assert results.mcfadden_r2 == pytest.approx(R["mcfadden"], rel=1e-8)
    assert results.cox_snell_r2 == pytest.approx(R["cox_snell"], rel=1e-8)
    assert results.nagelkerke_r2 == pytest.approx(R["nagelkerke"], rel=1e-8)
    np.testing.assert_allclose(results.tjur_r2, [R["tjur"]] * 2, rtol=1e-7)


@pytest.mark.parametrize("kind", ["frequency", "probability"])
def test_weighted_rows_count_as_often_as_their_weight(kind):
    w = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, VOTE, w)
    results = clf.infer(X, VOTE, w, weights=kind)
    P = clf.predict_proba(X)
    found = results.tjur_r2
    for k, label in enumerate(clf.classes_):
        own = (label == VOTE).to_numpy()
        expected = np.average(P[own, k], weights=w[own]) - np.average(P[~own, k], weights=w[~own])
        assert found[label] == pytest.approx(expected, rel=1e-8)
    shares = np.array([w[label == VOTE].sum() for label in clf.classes_]) / w.sum()
    own = P[np.arange(len(P)), np.searchsorted(clf.classes_, VOTE)]
    gain = np.average(np.log(own), weights=w) - shares @ np.log(shares)
    assert results.cox_snell_r2 == pytest.approx(1 - np.exp(-2 * gain), rel=1e-8)
    largest = 1 - np.exp(2 * shares @ np.log(shares))
    assert results.nagelkerke_r2 == pytest.approx((1 - np.exp(-2 * gain)) / largest, rel=1e-8)


def test_counts_and_pickles():
    counts = np.array([[3, 1, 0], [0, 2, 2], [1, 0, 4], [2, 2, 2], [0, 1, 3.0]])
    x = np.arange(5.0)[:, None] ** 2
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(x, counts)
    results = clf.infer(x, counts)
    P = clf.predict_proba(x)
    total = counts.sum(axis=1, keepdims=True)
    inside = (counts * P).sum(axis=0) / counts.sum(axis=0)
    outside = ((total - counts) * P).sum(axis=0) / (total - counts).sum(axis=0)
    np.testing.assert_allclose(results.tjur_r2, inside - outside, rtol=1e-8)
    loaded = pickle.loads(pickle.dumps(results))
    assert loaded.nagelkerke_r2 == results.nagelkerke_r2
    with pytest.raises(ValueError, match="with_data"):
        loaded.tjur_r2  # noqa: B018
    np.testing.assert_array_equal(loaded.with_data(x, counts).tjur_r2, results.tjur_r2)
