"""Rows of the tables for nnet, brglm2 and packages of effects in docs/migrating.md are true.

R's numbers are those recorded in tests/oracles.
"""

import json

import matplotlib
import numpy as np
import pandas as pd
import pytest
from helpers.beps import DATA, ORACLES, VOTE, R, pipeline
from helpers.migration_rows import Rows
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures

from skmaxent import (
    MaxentClassifier,
    PredictionsDisplay,
    compare,
    datagrid,
    detect_separation,
    from_formula,
    infer,
)

matplotlib.use("Agg")
nnet = Rows("R: `nnet::multinom`")
effects = Rows("Effects of variables: `marginaleffects`, `effects`, `emmeans`, `car`")
brglm2 = Rows("R: `brglm2`")

ME = json.loads((ORACLES / "marginaleffects_anes96.json").read_text())
TESTS = json.loads((ORACLES / "tests_beps.json").read_text())
NULL = json.loads((ORACLES / "null_model.json").read_text())
TABLES = json.loads((ORACLES / "multinom_tables.json").read_text())
FIRTH = json.loads((ORACLES / "brmultinom_alligators.json").read_text())
PIPE = pipeline().fit(DATA, VOTE)
RESULTS = infer(PIPE, DATA, VOTE)
X = PIPE[:-1].transform(DATA)


def table_of_r(values):
    """A row for each class, with the columns in the order of `RESULTS`."""
    names = ["Intercept", *(n.replace("gendermale", "gender_male") for n in R["colnames"][1:])]
    names = [n.replace("Europe:political.knowledge", "Europe political.knowledge") for n in names]
    return pd.DataFrame(values, R["rownames"], names)[RESULTS.columns].to_numpy()


@nnet.row("`multinom(y ~ a + b, data)`", "`coef(m)`, intercept first")
def coefficients():
    np.testing.assert_allclose(RESULTS.coef, table_of_r(R["coef"]), rtol=1e-4, atol=1e-6)
    assert RESULTS.columns[-1] == "Intercept"


@nnet.row("`summary(m)$standard.errors`")
def errors():
    np.testing.assert_allclose(RESULTS.std_errors, table_of_r(R["se"]), rtol=1e-5)


@nnet.row('`relevel(y, ref = "b")`')
def reference():
    found = infer(PIPE, DATA, VOTE, reference="Labour")
    np.testing.assert_allclose(found.coef[0], -table_of_r(R["coef"])[0], rtol=1e-4, atol=1e-6)
    pd.testing.assert_frame_equal(RESULTS.relative_to("Labour").summary(), found.summary())


@nnet.row("`multinom(y ~ 1, data)`")
def intercepts_alone():
    data = DATA.assign(vote=VOTE)
    found = infer(from_formula("vote ~ 1", data), data, VOTE)
    np.testing.assert_allclose(found.coef[:, 0], NULL["null"]["coef"], rtol=1e-6)


@nnet.row("`AIC(m1, m2)`, `BIC(m1, m2)`, `logLik(m)`")
def criteria():
    data = DATA.assign(vote=VOTE)
    formulas = "vote ~ 1", "vote ~ age + gender + Europe"
    null, full = (infer(from_formula(text, data), data, VOTE) for text in formulas)
    assert null.aic == pytest.approx(NULL["null"]["aic"], rel=1e-9)
    assert null.bic == pytest.approx(NULL["null"]["bic"], rel=1e-9)
    assert full.log_likelihood == pytest.approx(NULL["full_loglik"], rel=1e-9)
    table = str(compare(null, full))
    for value in (NULL["null"]["aic"], NULL["null"]["bic"], NULL["full_loglik"]):
        assert f"{value:.2f}" in table


@nnet.row("`weights`")
def weights():
    w = np.arange(len(VOTE)) % 3
    repeated = np.repeat(np.arange(len(VOTE)), w)
    weighted = pipeline().fit(DATA, VOTE, maxentclassifier__sample_weight=w)
    other = pipeline().fit(DATA.iloc[repeated], VOTE.iloc[repeated])
    np.testing.assert_allclose(weighted[-1].coef_, other[-1].coef_, atol=1e-6)


def tables(name, **parameters):
    """Coefficients for classes 2 and 3 against 1, in the order of R."""
    rows = load_iris().data[:, :2]
    model = MaxentClassifier(C=np.inf, tol=1e-9, max_iter=2000, **parameters)
    model.fit(rows, np.asarray(TABLES[name], float))
    coef = np.column_stack([model.intercept_, model.coef_])
    np.testing.assert_allclose(coef[1:] - coef[0], TABLES[f"{name}_coef"], rtol=1e-3, atol=1e-3)


@nnet.row("a matrix of counts as response")
def counts():
    tables("counts")


@nnet.row("`censored = TRUE`")
def censored():
    tables("sets", partial_labels=True)


@nnet.row("`decay`", "`MaxNWts`")
def no_counterparts():
    for name in ("decay", "MaxNWts"):
        with pytest.raises(TypeError, match=name):
            MaxentClassifier(**{name: 1})


@nnet.row('`predict(m, type = "probs")`, `"class"`')
def predictions():
    beta = np.vstack([np.zeros(len(RESULTS.columns)), table_of_r(R["coef"])])
    logits = np.column_stack([X, np.ones(len(X))]) @ beta.T
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(PIPE.predict_proba(DATA), expected, atol=1e-5)
    assert PIPE.predict(DATA).tolist() == np.take(R["levels"], expected.argmax(axis=1)).tolist()


@nnet.row("`anova(m1, m2)`")
def nested_models():
    columns = [c for c in RESULTS.columns[:-1] if "Europe" not in c and "knowledge" not in c]
    smaller = X[:, [RESULTS.columns.index(c) for c in columns]]
    fitted = MaxentClassifier(C=np.inf, tol=1e-10).fit(smaller, VOTE)
    whole = PIPE[-1].infer(X, VOTE)
    found = whole.likelihood_ratio_test(fitted.infer(smaller, VOTE))
    assert found["chi2"].item() == pytest.approx(R["lr"][1]["LR stat."], rel=1e-6)
    assert len(whole.likelihood_ratio_test()) == X.shape[1]


@pytest.fixture(scope="module")
def anes96():
    data = pd.read_csv(ORACLES / "anes96.csv")
    data["logpop"] = np.log(data.pop("popul") + 0.1)
    data["young"] = np.where(data["age"] < 40, "yes", "no")
    rows, y = data.drop(columns="PID"), data["PID"]
    product = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    columns = make_column_transformer(
        (OneHotEncoder(drop="first"), ["young"]),
        ("passthrough", ["logpop", "educ", "income"]),
        (product, ["selfLR", "age"]),
    )
    model = make_pipeline(columns, MaxentClassifier(C=np.inf, tol=1e-10)).fit(rows, y)
    return infer(model, rows, y)


def estimates(found, name, term=None):
    expected = pd.DataFrame(ME[name])
    if term is not None:
        expected, found = expected[expected["term"] == term], found[found["variable"] == term]
    np.testing.assert_allclose(
        np.sort(found["estimate"]), np.sort(expected["estimate"]), rtol=1e-6, atol=1e-9
    )


@effects.row("`predictions()`, `avg_predictions()`")
def probabilities(anes96):
    estimates(anes96.average_predictions(), "avg_predictions")
    assert len(anes96.predictions()) == 944 * 7


@effects.row("`comparisons()`, `avg_comparisons()`")
def comparisons(anes96):
    estimates(anes96.average_comparisons(), "avg_comparisons")  # of Python's marginaleffects
    assert len(anes96.comparisons("educ")) == 944 * 7


@effects.row("`slopes()`, `avg_slopes()`")
def slopes(anes96):
    differences = anes96.average_comparisons({"educ": 1e-4})["estimate"] / 1e-4
    found = anes96.average_slopes("educ")["estimate"]
    np.testing.assert_allclose(found, differences, rtol=1e-5, atol=1e-9)
    assert len(anes96.slopes("educ")) == 944 * 7


@effects.row("`newdata = datagrid(...)`, `by`, `hypothesis`, `conf_level`")
def arguments(anes96):
    estimates(anes96.average_predictions(by="young"), "predictions_by")
    found = anes96.predictions(datagrid(educ=[3, 4]), hypothesis="pairwise", conf_level=0.9)
    table = anes96.predictions(datagrid(educ=[3, 4]))["estimate"].to_numpy().reshape(2, -1)
    np.testing.assert_allclose(found["estimate"], table[0] - table[1], atol=1e-12)
    found = anes96.predictions(datagrid(educ=[3, 4]), hypothesis="b0 = b1")
    assert found["estimate"].item() == pytest.approx(table[0, 0] - table[0, 1], abs=1e-12)


@effects.row('`plot_predictions(m, condition = c("age", "gender"))`')
def plots(anes96):
    display = PredictionsDisplay.from_results(RESULTS, "age", by="gender")
    assert [ax.get_title() for ax in display.axes_] == ["gender = female", "gender = male"]


@effects.row('`effects::Effect(c("a", "b"), m)`')
def effect(anes96):
    values = {"political.knowledge": [0, 1, 2, 3], "Europe": [1, 3, 5, 7, 9, 11]}
    grid = datagrid(grid_type="design_means", **values)
    found = RESULTS.predictions(grid, interval="logit")
    for ours, theirs in (("estimate", "prob"), ("lower", "lower"), ("upper", "upper")):
        np.testing.assert_allclose(found[ours], np.ravel(R[f"eff_{theirs}"]), rtol=1e-5)


@effects.row('`emmeans(m, ~ g \\| y, mode = "prob")`')
def marginal_means(anes96):
    found = RESULTS.average_predictions(datagrid(grid_type="balanced"), by="gender")
    expected = {(row["gender"], row["vote"]): row["prob"] for row in R["emm"]}
    for row in found.to_dict("records"):
        assert row["estimate"] == pytest.approx(expected[row["gender"], row["class"]], rel=1e-5)


@effects.row('`pairs(emmeans(m, ~ g \\| y, mode = "prob"))`')
def pairs_of_means(anes96):
    grid = datagrid(grid_type="balanced")
    found = RESULTS.average_predictions(grid, by="gender", hypothesis="pairwise")
    found = found.set_index("class")["estimate"]
    for row in R["emmpairs"]:
        assert found[row["vote"]] == pytest.approx(row["estimate"], rel=1e-4)


@effects.row(
    '`car::linearHypothesis(m, "b:x = c:x")`, or with `c("b:x = c:x", "b:z = 0.5")`',
)
def linear_hypotheses(anes96):
    single = RESULTS.linear_test("Labour:Europe = Liberal Democrat:Europe")
    assert single["chi2"].item() == pytest.approx(R["lh_equal"][1]["Chisq"], rel=1e-4)
    row = infer(PIPE, DATA, VOTE, reference="Labour").summary().loc["Liberal Democrat", "Europe"]
    assert row["z"] ** 2 == pytest.approx(R["lh_equal"][1]["Chisq"], rel=1e-4)
    equations = [
        "Labour:Europe = Liberal Democrat:Europe",
        "Labour:Blair - 2*Liberal Democrat:Blair = 0.5",
    ]
    found, expected = RESULTS.linear_test(equations), TESTS["beps"]["joint"]
    assert found["chi2"].item() == pytest.approx(expected["chi2"], rel=1e-5)
    assert found["df"].item() == expected["df"]


@effects.row('`car::deltaMethod(m, "b:x - c:x")`')
def combinations(anes96):
    found = RESULTS.hypotheses("Labour:Europe - Liberal Democrat:Europe")
    expected = table_of_r(R["coef"])[:, RESULTS.columns.index("Europe")]
    assert found["estimate"].item() == pytest.approx(expected[0] - expected[1], rel=1e-4)
    chi2 = R["lh_equal"][1]["Chisq"]  # the square of z
    assert (found["estimate"] / found["std_err"]).item() ** 2 == pytest.approx(chi2, rel=1e-4)


@effects.row("`car::Anova(m, type = 2)`, `type = 3`")
def analysis_of_deviance(anes96):
    for kind in (2, 3):
        expected = pd.DataFrame(R[f"anova{kind}"]).set_index("_row")
        found = RESULTS.anova(type=kind).loc[expected.index]
        np.testing.assert_allclose(found["chi2"], expected["LR Chisq"], rtol=1e-5)


def firth(method, name):
    data = pd.DataFrame(FIRTH["data"])
    rows = pd.DataFrame({"size": (data["size"] == ">2.3").astype(float)})
    for lake in ("Oklawaha", "Trafford", "George"):
        rows[lake] = (data["lake"] == lake).astype(float)
    y, w = data["foodchoice"], data["freq"]
    model = MaxentClassifier(C=np.inf, bias_reduction=method, tol=1e-10).fit(rows, y, w)
    found = model.infer(rows, y, w, reference="Fish")
    expected = pd.DataFrame(FIRTH[f"alligators_{name}"]["coef"], found_classes(name)[1:])
    np.testing.assert_allclose(
        np.roll(found.coef, 1, axis=1), expected.loc[found.rows], rtol=1e-4, atol=1e-5
    )
    return found, name


def found_classes(name):
    return FIRTH[f"alligators_{name}"]["classes"]


@brglm2.row('`brmultinom(y ~ a, data, type = "AS_mean")`', "`ref`", "`summary(m)`, `vcov(m)`")
def mean_bias_reduction():
    found, name = firth("mean", "AS_mean")
    expected = pd.DataFrame(
        np.reshape(FIRTH[f"alligators_{name}"]["se"], (4, 5)), found_classes(name)[1:]
    )
    theirs = expected.loc[found.rows].to_numpy()
    np.testing.assert_allclose(np.roll(found.std_errors, 1, axis=1), theirs, rtol=1e-4)
    assert len(found.summary()) == 20
    errors = np.sqrt(np.diag(found.cov_params()))
    np.testing.assert_allclose(errors, found.std_errors.ravel(), rtol=1e-10)


@brglm2.row('`type = "MPL_Jeffreys"`')
def jeffreys():
    firth("jeffreys", "MPL_Jeffreys")


@brglm2.row('`type = "ML"`')
def maximum_likelihood():
    firth(None, "ML")


@brglm2.row('`type = "AS_median"`, `"correction"`')
def other_types():
    for name in ("median", "correction"):
        with pytest.raises(ValueError, match="bias_reduction"):
            MaxentClassifier(C=np.inf, bias_reduction=name).fit(X[:200], VOTE[:200])


@brglm2.row("`confint(m)`")
def intervals():
    found, _ = firth("mean", "AS_mean")
    middle = found.conf_int().mean(axis=1)
    np.testing.assert_allclose(middle, found.coef.ravel(), rtol=1e-8, atol=1e-10)
    assert np.isfinite(found.profile_conf_int(features="size")).all(axis=None)


@brglm2.row("the package `detectseparation`")
def separation():
    rows, y = load_iris(return_X_y=True)
    assert detect_separation(rows, y == 0).kind == "complete"
    assert detect_separation(X, VOTE).kind == "none"


SECTIONS = {"nnet": nnet, "effects": effects, "brglm2": brglm2}


@pytest.mark.parametrize("section", SECTIONS)
def test_each_row_is_executed(section):
    assert sorted(SECTIONS[section].checks) == sorted(SECTIONS[section].on_page)


@pytest.mark.parametrize("first", nnet.checks)
def test_nnet(first):
    nnet.checks[first]()


@pytest.mark.parametrize("first", effects.checks)
def test_effects(first, anes96):
    effects.checks[first](anes96)


@pytest.mark.parametrize("first", brglm2.checks)
def test_brglm2(first):
    brglm2.checks[first]()
