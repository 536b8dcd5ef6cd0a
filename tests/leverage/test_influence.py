"""Residuals and influence of rows against statsmodels' GLM, and against refits without the row."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, infer


def simulated(n, d, n_classes, seed, size=0.5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    coef = size * rng.normal(size=(n_classes, d))
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def fitted(X, y, weight=None, **parameters):
    clf = MaxentClassifier(**({"C": np.inf, "tol": 1e-10} | parameters)).fit(X, y, weight)
    return clf, clf.infer(X, y, weight)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_two_classes_have_the_influence_of_statsmodels(fit_intercept):
    X, y = simulated(120, 3, 2, 0)
    _, results = fitted(X, y, fit_intercept=fit_intercept)
    columns = np.column_stack([X, np.ones(120)]) if fit_intercept else X
    glm = sm.GLM(y, columns, sm.families.Binomial()).fit(tol=1e-14, maxiter=100)
    influence = glm.get_influence()
    table = results.diagnostics()
    exact = {"rtol": 1e-8, "atol": 1e-10}
    np.testing.assert_allclose(table["leverage"], influence.hat_matrix_diag, **exact)
    np.testing.assert_allclose(table["cooks_distance"], influence.cooks_distance[0], **exact)
    np.testing.assert_allclose(table["pearson_residual_of"][1], glm.resid_pearson, **exact)
    np.testing.assert_allclose(table["pearson_residual_of"][0], -glm.resid_pearson, **exact)
    np.testing.assert_allclose(table["deviance_residual_of"][1], glm.resid_deviance, **exact)
    np.testing.assert_allclose(table["pearson_residual"], np.abs(glm.resid_pearson), **exact)
    np.testing.assert_allclose(table["deviance_residual"], np.abs(glm.resid_deviance), **exact)
    np.testing.assert_allclose(results.dfbetas(), influence.dfbetas, **exact)
    np.testing.assert_allclose(results.dfbetas(standardised=False), influence.d_params, **exact)


def test_counts_of_two_classes_have_the_influence_of_statsmodels():
    rng = np.random.default_rng(1)
    X, size = rng.normal(size=(30, 2)), rng.integers(1, 20, size=30)
    yes = rng.binomial(size, 1.0 / (1.0 + np.exp(-X[:, 0])))
    counts = np.column_stack([size - yes, yes])
    _, results = fitted(X, counts)
    glm = sm.GLM(np.column_stack([yes, size - yes]), sm.add_constant(X), sm.families.Binomial())
    glm = glm.fit(tol=1e-14, maxiter=100)
    table, influence = results.diagnostics(), glm.get_influence()
    exact = {"rtol": 1e-8, "atol": 1e-9}
    np.testing.assert_allclose(table["leverage"], influence.hat_matrix_diag, **exact)
    np.testing.assert_allclose(table["cooks_distance"], influence.cooks_distance[0], **exact)
    np.testing.assert_allclose(table["pearson_residual_of"][1], glm.resid_pearson, **exact)
    np.testing.assert_allclose(table["deviance_residual_of"][1], glm.resid_deviance, **exact)
    assert (table["pearson_residual"] ** 2).sum() == pytest.approx(glm.pearson_chi2, rel=1e-8)
    assert (table["deviance_residual"] ** 2).sum() == pytest.approx(glm.deviance, rel=1e-8)
    np.testing.assert_allclose(
        results.dfbetas().to_numpy()[:, [2, 0, 1]], influence.dfbetas, **exact
    )


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_more_classes_have_the_influence_of_refits(C):
    X, y = simulated(150, 3, 3, 2)
    clf, results = fitted(X, y, C=C)
    change = results.dfbetas(standardised=False)
    table = results.diagnostics(max_refits=0)
    rows = [*table["cooks_distance"].nlargest(10).index.tolist(), 3, 50, 100]
    for i in rows:
        kept = np.arange(150) != i
        without, refit = fitted(X[kept], y[kept], C=C)
        exact = (results.coef - refit.coef).ravel()
        error = change.loc[i] - exact
        assert np.linalg.norm(error) < 0.2 * np.linalg.norm(exact)
        distance = exact @ np.linalg.solve(results.covariance, exact) / 8
        assert table["cooks_distance"][i] == pytest.approx(distance, rel=0.35)
        of_class = without.predict_proba(X[[i]])[0, y[i]]
        assert table["held_out"][i] == pytest.approx(of_class, rel=0.05)
    np.testing.assert_allclose(table["fitted"], clf.predict_proba(X)[np.arange(150), y], rtol=1e-9)
    assert table["leverage"].sum() == pytest.approx(results.effective_df)


def test_one_step_is_exact_to_first_order():
    """For small weights the changes are those of refits up to a share as small as the weight."""
    X, y = simulated(80, 2, 3, 3)
    for weight in (1e-2, 1e-4):
        w = np.ones(80)
        w[7] = weight
        _, results = fitted(X, y, w, tol=1e-12)
        _, without = fitted(np.delete(X, 7, 0), np.delete(y, 7), tol=1e-12)
        exact = (results.coef - without.coef).ravel()
        found = results.dfbetas(standardised=False).loc[7]
        assert np.linalg.norm(found - exact) < weight * np.linalg.norm(exact)


def test_equal_counts_and_weights_have_equal_diagnostics():
    rng = np.random.default_rng(4)
    X, y = simulated(60, 2, 3, 5)
    weight = rng.integers(1, 5, size=60)
    _, weighted = fitted(X, y, weight)
    _, counted = fitted(X, np.eye(3)[y] * weight[:, None])
    a, b = weighted.diagnostics(), counted.diagnostics()
    pd.testing.assert_frame_equal(a, b, rtol=1e-7, atol=1e-9)
    pd.testing.assert_frame_equal(weighted.dfbetas(), counted.dfbetas(), rtol=1e-7, atol=1e-9)


def test_reference_and_names():
    X, y = simulated(60, 2, 3, 6)
    frame = pd.DataFrame(X, columns=["age", "size"], index=[f"row {i}" for i in range(60)])
    labels = np.array(["a", "b", "c"])[y]
    model = make_pipeline(StandardScaler(), MaxentClassifier(C=np.inf, tol=1e-10))
    results = infer(model.fit(frame, labels), frame, labels)
    table, change = results.diagnostics(), results.dfbetas(standardised=False)
    assert table.index.equals(frame.index)
    assert change.index.equals(frame.index)
    assert change.columns.equals(results.summary().index)
    other = results.relative_to("b").dfbetas(standardised=False)
    np.testing.assert_allclose(other["a"], -change["b"], rtol=1e-9)
    np.testing.assert_allclose(other["c"], change["c"] - change["b"], rtol=1e-7, atol=1e-12)
    assert table["probability_of"].columns.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(table["probability_of"], model.predict_proba(frame), rtol=1e-9)


def test_some_features_alone():
    X, y = simulated(60, 3, 3, 7)
    frame = pd.DataFrame(X, columns=["p", "q", "r"])
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(frame, y)
    whole = clf.infer(frame, y).dfbetas()
    some = clf.infer(frame, y, features=["r", "p"]).dfbetas()
    for label in (1, 2):
        for name in ("p", "r"):
            np.testing.assert_allclose(some[label, name], whole[label, name], rtol=1e-5, atol=1e-9)


def test_the_only_row_of_a_class_has_no_held_out_probability():
    X, y = simulated(60, 2, 2, 8)
    y = np.where(np.arange(60) == 9, 2, y)
    _, results = fitted(X, y, C=1.0)
    table = results.diagnostics()
    assert table["held_out"][9] == 0.0
    assert (table["held_out"].drop(9) > 0.0).all()
    assert np.isfinite(table.to_numpy()).all()


def test_sampling_weights_have_residuals_without_scale():
    X, y = simulated(60, 2, 3, 10)
    weight = np.random.default_rng(0).uniform(0.5, 3.0, 60)
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y, weight)
    one = clf.infer(X, y, weight, weights="probability").diagnostics()
    clf.fit(X, y, 7.0 * weight)
    other = clf.infer(X, y, 7.0 * weight, weights="probability").diagnostics()
    pd.testing.assert_frame_equal(one, other)
    # (1 - p)²/p for the observed class and Σ p_k for the others make (1 - p)/p.
    np.testing.assert_allclose(one["pearson_residual"], np.sqrt(1.0 / one["fitted"] - 1.0))


def test_results_without_rows_say_so():
    X, y = simulated(60, 2, 3, 11)
    _, results = fitted(X, y)
    loaded = pickle.loads(pickle.dumps(results))
    for method in (loaded.loo, loaded.diagnostics, loaded.dfbetas):
        with pytest.raises(ValueError, match="need the rows of the fit"):
            method()
    again = loaded.with_data(X, y)
    pd.testing.assert_frame_equal(again.diagnostics(), results.diagnostics())


@pytest.mark.parametrize("standardised", ["yes", None, 2, [True]])
def test_standardised_is_true_or_false(standardised):
    _, results = fitted(*simulated(40, 2, 2, 0))
    with pytest.raises(ValueError, match="standardised must be True or False, found"):
        results.dfbetas(standardised=standardised)


def test_diagnostics_of_a_separated_fit_say_that_it_is_separated():
    X, y = np.arange(20.0)[:, None], np.arange(20) > 9
    with pytest.warns(ConvergenceWarning, match="separated"):
        clf = MaxentClassifier(C=np.inf).fit(X, y)
    with pytest.warns(UserWarning, match="separated"):
        results = clf.infer(X, y)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        results.diagnostics()
    assert found
    assert all("the classes are separated" in str(one.message) for one in found)
