"""Paths and cross-validation against accelerated proximal gradients in NumPy and scikit-learn."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from skmaxent import MaxentClassifierCV, maxent_path

RNG = np.random.default_rng(2)
X = RNG.normal(size=(120, 5))
Y = (X[:, :3] @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(120, 3))).argmax(axis=1)
WEIGHTS = RNG.integers(1, 4, 120)
D, T = np.column_stack([X, np.ones(120)]), np.eye(3)[Y]
SHARES = WEIGHTS @ T / WEIGHTS.sum()


def objective(B, C, ratio=1.0, weights=WEIGHTS):
    """Weighted loss and elastic net of coefficients (3, 6), intercepts last."""
    losses = -(T * log_softmax(D @ B.T, axis=1)).sum(axis=1)
    size = ratio * np.abs(B[:, :5]).sum() + 0.5 * (1.0 - ratio) * (B[:, :5] ** 2).sum()
    return weights @ losses + size / C


def smallest(C, ratio=1.0, weights=WEIGHTS):
    """The minimum, by proximal gradients with momentum that restarts (FISTA)."""
    step = 2.0 / np.linalg.norm(D.T @ (D * weights[:, None]), 2)
    B = old = np.zeros((3, 6))
    t = 1.0
    for _ in range(20_000):
        P = np.exp(log_softmax(D @ B.T, axis=1))
        moved = B - step * (((P - T) * weights[:, None]).T @ D)
        shrunk = np.maximum(np.abs(moved[:, :5]) - step * ratio / C, 0.0)
        shrunk *= np.sign(moved[:, :5]) / (1.0 + step * (1.0 - ratio) / C)
        new = np.column_stack([shrunk, moved[:, 5]])
        if np.abs(new - old).max() < 1e-13:
            break
        if ((B - new) * (new - old)).sum() > 0.0:
            t = 1.0
        after = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * t * t))
        B, old, t = new + (t - 1.0) / after * (new - old), new, after
    return np.column_stack([new[:, :5], new[:, 5] - new[:, 5].mean()])


def centred(coef, intercept):
    """Coefficients with their intercepts, whose sum means nothing, in the last column."""
    return np.column_stack([coef, intercept - np.mean(intercept)])


def test_a_lasso_path_has_the_minima():
    Cs = [0.02, 0.1, 1.0]
    path = maxent_path(X, Y, Cs=Cs, sample_weight=WEIGHTS, tol=1e-9)
    for i, C in enumerate(Cs):
        B = smallest(C)
        found = centred(path.coefs[i], path.intercepts[i])
        np.testing.assert_allclose(found, B, atol=1e-6)
        assert path.n_nonzero[i] == np.any(B[:, :5] != 0.0, axis=0).sum()
        gap = 1.0 - objective(B, C) / objective(found, C)
        assert gap <= path.optimality_gaps[i] + 1e-14 < 1e-6
        assert path.n_iter[i] >= 1
    assert path.total_weight == WEIGHTS.sum()
    np.testing.assert_allclose(path.alphas, 1.0 / (np.array(Cs) * WEIGHTS.sum()))
    table = path.coef_frame()
    assert len(table) == (path.coefs != 0.0).sum() + path.intercepts.size
    for C, label, feature, coef in table[["C", "class", "feature", "coef"]].itertuples(index=False):
        i = Cs.index(C)
        own = dict(zip(path.feature_names, path.coefs[i, label], strict=True))
        assert coef == (own | {"Intercept": path.intercepts[i, label]})[feature]


def test_the_largest_penalty_is_the_largest_slope_of_the_model_of_intercepts():
    path = maxent_path(X, Y, Cs=10, sample_weight=WEIGHTS)
    slopes = ((SHARES - T) * WEIGHTS[:, None]).T @ X
    assert path.Cs[0] == pytest.approx(1.0 / np.abs(slopes).max())
    np.testing.assert_allclose(path.Cs[-1], 1e4 * path.Cs[0])
    assert not path.coefs[0].any()


def test_relaxed_coefficients_are_free_and_blended_with_the_others():
    path = maxent_path(X, Y, Cs=[0.06], relax="union", tol=1e-9)
    kept = path.coefs[0].any(axis=0)
    assert 0 < kept.sum() < 5
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(X[:, kept], Y)
    free = np.zeros((3, 5))
    free[:, kept] = exact.coef_ - exact.coef_.mean(axis=0)
    relaxed = path.relaxed_coefs[0] - path.relaxed_coefs[0].mean(axis=0)
    found = centred(relaxed, path.relaxed_intercepts[0])
    np.testing.assert_allclose(found, centred(free, exact.intercept_), atol=1e-4)
    coef, intercept = path.blended(0.25, 0)
    np.testing.assert_allclose(coef, 0.25 * path.coefs[0] + 0.75 * path.relaxed_coefs[0])
    np.testing.assert_allclose(
        intercept, 0.25 * path.intercepts[0] + 0.75 * path.relaxed_intercepts[0]
    )


@pytest.mark.parametrize("selection", ["best", "one_standard_error"])
def test_cross_validation_is_that_of_the_minima_for_each_fold(selection):
    Cs, ratios, folds = [0.01, 0.1, 1.0, 10.0], [0.0, 0.5], StratifiedKFold(3)
    clf = MaxentClassifierCV(
        Cs=Cs, l1_ratios=ratios, cv=folds, cv_tol=0.0, tol=1e-9, selection=selection
    ).fit(X, Y)
    scores, sizes = np.empty((2, 3, 2, 4))
    for i, (train, test) in enumerate(folds.split(X, Y)):
        weights = np.isin(np.arange(120), train).astype(float)
        for m, ratio in enumerate(ratios):
            for j, C in enumerate(Cs):
                B = smallest(C, ratio, weights)
                P = np.exp(log_softmax(D[test] @ B.T, axis=1))
                scores[i, m, j] = -log_loss(Y[test], P)
                sizes[i, m, j] = B[:, :5].any(axis=0).sum()
                found = clf.coefs_paths_[i, m, j]
                np.testing.assert_allclose(centred(found[:, :5], found[:, 5]), B, atol=1e-5)
    np.testing.assert_allclose(clf.scores_, scores, atol=1e-6)
    mean, errors = scores.mean(axis=0), scores.std(axis=0, ddof=1) / np.sqrt(3.0)
    np.testing.assert_allclose(clf.scores_std_err_, errors, atol=1e-6)
    m, j = np.unravel_index(mean.argmax(), mean.shape)
    if selection == "one_standard_error":
        j = int(np.argmax(mean[m] >= mean[m, j] - errors[m, j]))
    assert (clf.C_, clf.l1_ratio_) == (Cs[j], ratios[m])
    assert clf.alpha_ == pytest.approx(1.0 / (120.0 * Cs[j]))
    np.testing.assert_allclose(clf.alphas_, 1.0 / (120.0 * np.array(Cs)))
    np.testing.assert_array_equal(clf.Cs_, Cs)
    np.testing.assert_array_equal(clf.l1_ratios_, ratios)
    np.testing.assert_array_equal(clf.fold_weights_, 1.0)
    assert (clf.n_iter_ >= 1).all()  # without a fit at each C it would be zero there
    B = smallest(Cs[j], ratios[m], np.ones(120))
    np.testing.assert_allclose(centred(clf.coef_, clf.intercept_), B, atol=1e-5)
    np.testing.assert_allclose(clf.coef_frame().iloc[:-1], B[:, :5].T, atol=1e-5)
    Z = D @ B.T
    L = log_softmax(Z, axis=1)
    decisions = clf.decision_function(X)
    np.testing.assert_allclose(
        decisions - decisions.mean(axis=1)[:, None], Z - Z.mean(axis=1)[:, None], atol=1e-4
    )
    np.testing.assert_allclose(clf.predict_log_proba(X), L, atol=1e-4)
    np.testing.assert_allclose(clf.predict_proba(X), np.exp(L), atol=1e-5)
    np.testing.assert_allclose(clf.predict_proba_frame(X), np.exp(L), atol=1e-5)
    np.testing.assert_array_equal(clf.predict(X), L.argmax(axis=1))
    assert clf.score(X, Y) == pytest.approx(-log_loss(Y, np.exp(L)), abs=1e-6)
    gap = 1.0 - objective(B, Cs[j], ratios[m], np.ones(120)) / objective(
        np.column_stack([clf.coef_, clf.intercept_]), Cs[j], ratios[m], np.ones(120)
    )
    assert gap <= clf.optimality_gap_ + 1e-14
    table = clf.cv_results_frame()
    np.testing.assert_allclose(table["mean_score"], mean.ravel(), atol=1e-6)
    np.testing.assert_allclose(table["standard_error"], errors.ravel(), atol=1e-6)
    np.testing.assert_allclose(table["n_features"], sizes.mean(axis=0).ravel())
    for i in range(3):
        np.testing.assert_allclose(table[f"split{i}_score"], scores[i].ravel(), atol=1e-6)
    np.testing.assert_array_equal(table["l1_ratio"], np.repeat(ratios, 4))
    np.testing.assert_array_equal(table["C"], Cs * 2)
    assert table.loc[table["chosen"], ["l1_ratio", "C"]].to_numpy().tolist() == [[ratios[m], Cs[j]]]
