"""The British election panel study: nnet, car, effects and emmeans in R on the same model."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skmaxent import MaxentClassifier

ORACLES = Path(__file__).parents[1] / "oracles"
R = json.loads((ORACLES / "multinom_beps.json").read_text())
COLUMNS = R["colnames"][1:]


def features(data):
    frame = data.assign(gendermale=(data["gender"] == "male") * 1.0)
    frame["Europe:political.knowledge"] = frame["Europe"] * frame["political.knowledge"]
    return frame[COLUMNS].astype(float)


DATA = pd.read_csv(ORACLES / "beps.csv")
X, Y = features(DATA), DATA["vote"]


@pytest.fixture(scope="module")
def clf():
    return MaxentClassifier(C=np.inf, tol=1e-10).fit(X, Y)


@pytest.fixture(scope="module")
def results(clf):
    return clf.infer(X, Y)


def in_our_order(matrix):
    """R has the intercept first."""
    return np.roll(matrix, -1, axis=-1)


def test_the_table_is_that_of_multinom(results):
    assert results.classes == R["levels"]
    np.testing.assert_allclose(results.coef, in_our_order(R["coef"]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(results.std_errors, in_our_order(R["se"]), rtol=1e-6)
    order = np.concatenate([in_our_order(np.arange(11)), 11 + in_our_order(np.arange(11))])
    np.testing.assert_allclose(
        results.covariance, np.array(R["vcov"])[np.ix_(order, order)], rtol=1e-5, atol=1e-10
    )
    assert results.log_likelihood == pytest.approx(R["ll"], rel=1e-12)
    assert results.aic == pytest.approx(R["aic"], rel=1e-12)
    assert results.bic == pytest.approx(R["bic"], rel=1e-12)
    assert results.n_parameters == 22
    assert results.df_model == 20
    assert results.df_resid == len(X) - 22


def test_ratios_are_those_of_anova_of_type_iii(results):
    """Where gender has one column, each column is a term."""
    found = results.likelihood_ratio_test()
    assert [name.replace("gendermale", "gender") for name in found.index] == R["anova3rows"]
    expected = pd.DataFrame(R["anova3"])
    np.testing.assert_allclose(found["chi2"], expected["LR Chisq"], rtol=1e-6)
    np.testing.assert_allclose(found["p_value"], expected["Pr(>Chisq)"], rtol=1e-5)
    assert (found["df"] == 2).all()


def test_ratios_against_smaller_models_are_those_of_anova(results):
    """Type II leaves out what contains a term; `anova` compares any two models."""

    def without(*names):
        smaller = X.drop(columns=list(names))
        return MaxentClassifier(C=np.inf, tol=1e-10).fit(smaller, Y).infer(smaller, Y)

    interaction = without("Europe:political.knowledge")
    type_2 = {row["_row"]: row for row in R["anova2"]}
    for name in ("Europe", "political.knowledge"):
        found = interaction.likelihood_ratio_test(without("Europe:political.knowledge", name))
        assert found["chi2"].item() == pytest.approx(type_2[name]["LR Chisq"], rel=1e-6)
        assert found["p_value"].item() == pytest.approx(type_2[name]["Pr(>Chisq)"], rel=1e-5)
    terms = ["Europe", "political.knowledge", "Europe:political.knowledge"]
    expected = R["lr"][1]
    for found in (
        results.likelihood_ratio_test(without(*terms)),
        results.likelihood_ratio_test(features=[terms]),
    ):
        assert found["chi2"].item() == pytest.approx(expected["LR stat."], rel=1e-7)
        assert found["df"].item() == expected["   Df"]


def test_equal_coefficients_of_two_classes_are_a_contrast(clf):
    """linearHypothesis("Labour:Europe = Liberal Democrat:Europe") is z² against Labour."""
    table = clf.infer(X, Y, reference="Labour").summary()
    row = table.loc[("Liberal Democrat", "Europe")]
    assert row["z"] ** 2 == pytest.approx(R["lh_equal"][1]["Chisq"], rel=1e-5)
    assert row["p_value"] == pytest.approx(R["lh_equal"][1]["Pr(>Chisq)"], rel=1e-5)


def test_walds_tests_are_quadratic_forms_of_their_covariance(results):
    at = [COLUMNS.index("Europe"), COLUMNS.index("political.knowledge")]
    index = [1 + j + 11 * k for k in range(2) for j in at]
    x, V = np.ravel(R["coef"])[index], np.array(R["vcov"])[np.ix_(index, index)]
    found = results.wald_test([["Europe", "political.knowledge"]])
    assert found["chi2"].item() == pytest.approx(x @ np.linalg.solve(V, x), rel=1e-5)


def test_probabilities_on_a_grid_are_those_of_effects(clf, results):
    grid = pd.DataFrame(np.array(R["eff_mm"], float)[:, 1:], columns=COLUMNS)
    found = results.predict_proba_interval(grid)
    for k, label in enumerate(R["levels"]):
        for name, key in (("probability", "prob"), ("lower", "lower"), ("upper", "upper")):
            expected = np.array(R[f"eff_{key}"])[:, k]
            np.testing.assert_allclose(found[label, name], expected, rtol=1e-5)


def test_discrete_effects_at_the_means_are_pairs_of_emmeans(results):
    at = X.mean().to_frame().T
    at["Europe:political.knowledge"] = at["Europe"] * at["political.knowledge"]
    found = results.marginal_effects(X, at=at, discrete=["gendermale"])
    for pair in R["emmpairs"]:  # female - male
        row = found.loc[(pair["vote"], "gendermale")]
        assert row["effect"] == pytest.approx(-pair["estimate"], rel=1e-4)
        assert row["std_err"] == pytest.approx(pair["SE"], rel=1e-5)
