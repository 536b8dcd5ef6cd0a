"""Tests of null features where the features are a share of the rows."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skmaxent import MaxentClassifier


def simulated(rng, n, d, n_classes=3):
    """Normal features, of which the first half have coefficients."""
    X = rng.normal(size=(n, d))
    coef = np.zeros((n_classes, d))
    coef[:, : d // 2] = rng.normal(size=(n_classes, d // 2)) / np.sqrt(d // 2)
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def written_out(X, y, fit_intercept=True):
    """The statistics by the formulas of Tan & Bellec (2023), with dense matrices of all rows.

    The paper has no intercept; with one, it is a column of the Hessian.
    """
    n, d = X.shape
    clf = MaxentClassifier(C=np.inf, tol=1e-9, fit_intercept=fit_intercept).fit(X, y)
    K = len(clf.classes_)
    P = clf.predict_proba(X)
    if K == 2:
        B, P, Y = clf.coef_, P[:, 1:], (y == clf.classes_[1])[:, None]
    else:
        B, P, Y = clf.coef_[:-1] - clf.coef_[-1], P[:, :-1], np.eye(K)[y][:, :-1]
    rows = np.column_stack([X, np.ones(n)]) if fit_intercept else X
    H = [np.diag(p) - np.outer(p, p) for p in P]
    total = np.linalg.inv(sum(np.kron(h, np.outer(x, x)) for h, x in zip(H, rows, strict=True)))
    V = (
        sum(
            h - np.kron(h, x) @ total @ np.kron(h, x[:, None]) for h, x in zip(H, rows, strict=True)
        )
        / n
    )
    S = (P - Y).T @ (P - Y) / n
    values, basis = np.linalg.eigh(S)
    root = basis @ np.diag(values**-0.5) @ basis.T
    out = []
    for j in range(d):
        others = np.delete(rows, j, axis=1)
        residual = X[:, j] - others @ np.linalg.lstsq(others, X[:, j], rcond=None)[0]
        variance = residual @ residual / (n - others.shape[1])
        out.append(n * variance * np.sum((root @ V @ B[:, j]) ** 2))
    return np.array(out)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_statistics_are_those_of_the_paper(n_classes, fit_intercept):
    X, y = simulated(np.random.default_rng(0), 120, 6, n_classes)
    X = X * np.geomspace(0.01, 100.0, 6) + (3.0 if fit_intercept else 0.0)
    clf = MaxentClassifier(C=np.inf, tol=1e-9, fit_intercept=fit_intercept).fit(X, y)
    table = clf.infer(X, y).null_feature_test()
    np.testing.assert_allclose(table["chi2"], written_out(X, y, fit_intercept), rtol=1e-6)
    assert table.index.tolist() == [f"x{j}" for j in range(6)]
    assert (table["df"] == n_classes - 1).all()
    np.testing.assert_allclose(table["p_value"], stats.chi2.sf(table["chi2"], n_classes - 1))


def test_features_are_chosen_by_name_and_the_reference_does_not_matter():
    X, y = simulated(np.random.default_rng(1), 150, 10)
    frame = pd.DataFrame(X, columns=[f"f{j}" for j in range(10)])
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(frame, y)
    table = clf.infer(frame, y).null_feature_test()
    for results in (
        clf.infer(frame, y, reference=0),
        clf.infer(frame, y, cov_type="HC3"),
        clf.infer(frame, y, features=["f3", "f7"]),
    ):
        some = results.null_feature_test(["f7", "f3"])
        pd.testing.assert_frame_equal(some, table.loc[["f7", "f3"]], rtol=1e-8)
    assert clf.infer(frame, y).null_feature_test("f2").index.tolist() == ["f2"]


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_null_features_are_rejected_as_often_as_the_level_says(share):
    """Wald's tests reject twice as many true hypotheses at a share of 0.2."""
    n, d = 300, int(300 * share)
    rng, p_values, wald = np.random.default_rng(4), [], []
    for _ in range(int(4.5 / share)):
        X, y = simulated(rng, n, d)
        results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
        null = results.columns[d // 2 : d]
        p_values.extend(results.null_feature_test(null)["p_value"])
        wald.extend(results.wald_test(null)["p_value"])
    assert len(p_values) > 600
    for level in (0.1, 0.05):
        count = int((np.array(p_values) < level).sum())
        interval = stats.binomtest(count, len(p_values)).proportion_ci(0.99)
        assert interval.low < level < interval.high
    rejected = (np.array(wald) < 0.05).mean()
    assert rejected > 0.055 if share == 0.1 else rejected > 0.08
    # The test is not blind: features with coefficients are found.
    assert (results.null_feature_test(results.columns[: d // 2])["p_value"] < 0.05).mean() > 0.15


def test_fits_that_the_theory_does_not_cover_are_refused():
    X, y = simulated(np.random.default_rng(3), 80, 4)
    clf = MaxentClassifier(C=np.inf)
    results = clf.fit(X, y).infer(X, y)
    with pytest.raises(ValueError, match="single columns, found"):
        results.null_feature_test([["x0", "x1"]])
    with pytest.raises(ValueError, match="no feature of the model"):
        results.null_feature_test("z")
    with pytest.raises(ValueError, match="no features of the model"):
        results.null_feature_test("Intercept")
    with pytest.raises(ValueError, match="X has no columns"):
        results.score_test(X[:, :0])
    with pytest.raises(ValueError, match=r"C=np\.inf"):
        MaxentClassifier(C=1.0).fit(X, y).infer(X, y).null_feature_test()
    reduced = MaxentClassifier(C=np.inf, bias_reduction="jeffreys").fit(X, y)
    with pytest.raises(ValueError, match="found bias_reduction"):
        reduced.infer(X, y).null_feature_test()
    weights = np.tile([1.0, 2.0], 40)
    with pytest.raises(ValueError, match="a table, weights or an offset"):
        clf.fit(X, y, weights).infer(X, y, weights).null_feature_test()
    twice = np.full(80, 2.0)
    with pytest.raises(ValueError, match="a table, weights or an offset"):
        clf.fit(X, y, twice).infer(X, y, twice).null_feature_test()
    with pytest.raises(ValueError, match="a table, weights or an offset"):
        clf.fit(X, np.eye(3)[y] + 1.0).infer(X, np.eye(3)[y] + 1.0).null_feature_test()
    offset = np.zeros((80, 3))
    with pytest.raises(ValueError, match="a table, weights or an offset"):
        clf.fit(X, y, offset=offset).infer(X, y, offset=offset).null_feature_test()
    results = clf.fit(X, y).infer(X, y, cov_type="cluster", groups=np.arange(80) // 4)
    with pytest.raises(ValueError, match="independent rows"):
        results.null_feature_test()


@pytest.mark.parametrize("features", [0, 2.5, [0]])
def test_numbers_are_no_names_of_features(features):
    X, y = simulated(np.random.default_rng(2), 80, 2)
    results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    for test in (results.null_feature_test, results.wald_test):
        with pytest.raises(ValueError, match="features must be names, or lists of names"):
            test(features)
