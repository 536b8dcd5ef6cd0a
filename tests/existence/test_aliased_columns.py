"""Columns that are combinations of earlier ones: which are named, and what infer reports.

The rule is that of R's `lm` and `glm`: in their order, after the intercept, columns that the ones
before span have no coefficients. It is applied here by orthogonalisation of the raw columns.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier


def spanned(X, fit_intercept):
    """Positions of columns that those before, and the intercept, span."""
    basis, out = [], []
    columns = list(X.T)
    for j, x in enumerate([np.ones(len(X)), *columns] if fit_intercept else columns):
        length = np.linalg.norm(x)
        v = x / length if length > 0.0 else x
        for _ in range(3):
            for b in basis:
                v = v - (b @ v) * b
        size = np.linalg.norm(v)
        if size < 1e-10:
            out.append(j - fit_intercept)
        else:
            basis.append(v / size)
    return out


def named(clf, *given):
    """Positions of the features that a fit names as combinations of others."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf.fit(*given)
    texts = [str(w.message) for w in found if "linear combinations" in str(w.message)]
    return [j for j in range(clf.n_features_in_) if texts and f"'x{j}'" in texts[0]]


@pytest.mark.parametrize("seed", range(30))
def test_one_minimal_set_is_named(seed):
    rng = np.random.default_rng(seed)
    n, d = 60, rng.integers(2, 8)
    X = rng.normal(size=(n, d)) if seed % 2 else rng.integers(0, 3, (n, d)).astype(float)
    for _ in range(rng.integers(0, 4)):
        X[:, rng.integers(0, d)] = X @ rng.integers(-1, 2, d) + rng.choice([0.0, 1.0])
    X *= 10.0 ** rng.integers(-3, 4, d)
    fit_intercept = bool(seed % 5)
    weights = np.where(rng.random(n) < 0.3, 0.0, 1.0) if seed % 3 == 0 else np.ones(n)
    if seed % 3 == 0:  # a combination among the rows that count alone
        X[:, -1] = np.where(weights > 0.0, X[:, 0], rng.normal(size=n))
    y = rng.integers(0, 3, n)
    clf = MaxentClassifier(C=np.inf, fit_intercept=fit_intercept)
    rows = sp.csr_array(X) if seed % 4 == 0 else X
    assert named(clf, rows, y, weights) == spanned(X[weights > 0.0], fit_intercept)
    assert named(clf.set_params(C=1.0), rows, y, weights) == []


def test_the_minimum_is_that_of_the_other_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X = np.column_stack([X, X[:, 0] - 2 * X[:, 2] + 5, X[:, 1] + X[:, 0]])
    y = (X[:, :3] @ rng.normal(size=(3, 3)) + rng.gumbel(size=(200, 3))).argmax(axis=1)
    clf = MaxentClassifier(C=np.inf)
    assert named(clf, X, y) == [3, 4]
    few = MaxentClassifier(C=np.inf).fit(X[:, :3], y)
    np.testing.assert_allclose(clf.predict_proba(X), few.predict_proba(X[:, :3]), atol=1e-6)


def test_infer_reports_the_other_columns():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc"))
    X.insert(1, "constant", 4.0)
    X.insert(3, "sum", X["a"] + 2 * X["b"] - 3)
    y = (
        X[["a", "b", "c"]].to_numpy() @ rng.normal(size=(3, 3)) + rng.gumbel(size=(300, 3))
    ).argmax(axis=1)
    with pytest.warns(UserWarning, match="linear combinations"):
        clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
    results = clf.infer(X, y)
    few = X[["a", "b", "c"]]
    expected = MaxentClassifier(C=np.inf, tol=1e-8).fit(few, y).infer(few, y)
    assert results.columns == ["a", "b", "c", "Intercept"]
    assert results.aliased == ("constant", "sum")
    assert "2 not defined because of singularities" in str(results)
    np.testing.assert_allclose(results.coef, expected.coef, atol=1e-8)
    np.testing.assert_allclose(results.std_errors, expected.std_errors, rtol=1e-8)
    test, as_expected = (r.likelihood_ratio_test(features="a") for r in (results, expected))
    np.testing.assert_allclose(test, as_expected, rtol=1e-6)
    table = results.predict_proba_interval(X[:3])
    np.testing.assert_allclose(table, expected.predict_proba_interval(few[:3]), atol=1e-8)
    effects = results.marginal_effects(X)
    np.testing.assert_allclose(effects, expected.marginal_effects(few), atol=1e-6)
    weights = rng.integers(1, 4, 300)
    with pytest.warns(UserWarning, match="linear combinations"):
        clf.fit(X, y, weights)
    effects = clf.infer(X, y, weights).marginal_effects(X)
    fit = MaxentClassifier(C=np.inf, tol=1e-8).fit(few, y, weights)
    expected = fit.infer(few, y, weights).marginal_effects(few)
    np.testing.assert_allclose(effects, expected, atol=1e-6)


def rare_category():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=200), np.arange(200) < 4]).astype(float)
    y = rng.integers(0, 2, 200)
    y[:4] = 1
    return X, y


def test_results_of_separated_classes_say_so_first():
    X, y = rare_category()
    with pytest.warns(UserWarning, match="quasi-complete"):
        clf = MaxentClassifier(C=np.inf).fit(X, y)
    with pytest.warns(UserWarning, match="The classes are separated"):
        results = clf.infer(X, y)
    assert "classes are separated" in results.notes[0]
    for text in (str(results), results._repr_html_()):
        assert text.index("classes are separated") < text.index("Observations")
        assert "McFadden" not in text


def test_results_of_a_fit_that_has_not_converged_say_so_first():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    y = (2 * X[:, 0] + rng.logistic(size=300) > 0).astype(int)
    with pytest.warns(UserWarning, match="max_iter"):
        clf = MaxentClassifier(C=np.inf, max_iter=1).fit(X, y)
    with pytest.warns(UserWarning, match="standard errors from the optimum"):
        text = str(clf.infer(X, y))
    assert text.index("standard errors from the optimum") < text.index("Observations")
    assert "McFadden" not in text


def test_results_of_an_optimum_have_no_notes():
    X, y = rare_category()
    y[0] = 0
    results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    assert results.notes == ()
    assert "McFadden" in str(results)
