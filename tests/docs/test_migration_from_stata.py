"""Rows of the table for Stata in docs/migrating.md are true.

Numbers of Stata are those that statsmodels records of it; those of tests that statsmodels has none
of are R's, recorded in tests/oracles.
"""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from helpers.beps import DATA, ORACLES, VOTE, R, pipeline
from helpers.migration_rows import Rows
from statsmodels.datasets import anes96
from statsmodels.discrete.tests.results.results_discrete import Anes

from skmaxent import MaxentClassifier, SurveyDesign, datagrid, infer

stata = Rows("Stata: `mlogit`")
RECORDED = Anes.mnlogit_basezero
TESTS, CLUSTERS, SURVEYS = (
    json.loads((ORACLES / f"{name}.json").read_text())
    for name in ("tests_beps", "vcov_cluster", "svyglm")
)
ANES = anes96.load_pandas()
X, Y = ANES.exog, ANES.endog.astype(int)
CLASSIFIER = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, Y)
RESULTS = CLASSIFIER.infer(X, Y)
BEPS = infer(pipeline().fit(DATA, VOTE), DATA, VOTE)
# The model of the recorded tests of the independence of irrelevant alternatives.
FEW = DATA[["age", "Europe", "Blair"]].assign(male=(DATA["gender"] == "male") * 1.0)
OTHERS = MaxentClassifier(C=np.inf, tol=1e-10).fit(FEW, VOTE).infer(FEW, VOTE)


def of_stata(name):
    """Numbers by class, then coefficient."""
    return np.asarray(getattr(RECORDED, name)).T.ravel()


@stata.row("`mlogit y x, baseoutcome(0)`")
def coefficients():
    table = CLASSIFIER.infer(X, Y, reference=0).summary()
    np.testing.assert_allclose(table["coef"], of_stata("params"), rtol=1e-6, atol=2e-7)
    np.testing.assert_allclose(table["std_err"], of_stata("bse"), rtol=1e-7)


@stata.row("`rrr`")
def ratios():
    found = RESULTS.summary(exponentiate=True)
    ratio = np.exp(of_stata("params"))
    np.testing.assert_allclose(found["relative_risk_ratio"], ratio, rtol=1e-6)
    np.testing.assert_allclose(found["std_err"], ratio * of_stata("bse"), rtol=1e-6)


@stata.row("`vce(robust)`")
def robust():
    # By Stata's manual, n/(n - 1) times the sandwich.
    found = CLASSIFIER.infer(X, Y, cov_type="HC0", small_sample="units").std_errors
    model = sm.MNLogit(Y, X.assign(constant=1.0)).fit(disp=0, cov_type="HC0", tol=1e-12)
    expected = np.asarray(model.bse).T * np.sqrt(len(Y) / (len(Y) - 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@stata.row("`vce(cluster g)`")
def clusters():
    # By Stata's manual G/(G - 1), which is R's vcovCL(type = "HC0").
    rows, g = DATA[["age", "Blair", "Europe"]], (7 * np.arange(len(DATA)) ** 2) % 41
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(rows, VOTE)
    found = clf.infer(rows, VOTE, cov_type="cluster", groups=g, small_sample="units")
    errors = np.roll(found.std_errors, 1, axis=1).ravel()
    np.testing.assert_allclose(errors, CLUSTERS["multinom"]["HC0"], rtol=2e-5)


def schools():
    """Rows, classes and weights of a sample of schools, and the classifier fitted to them."""
    known = SURVEYS["data"]["strat"]
    rows = pd.DataFrame(known["data"])[["ell", "mobility"]].astype(float)
    y, w = np.array(known["three"]), np.array(known["weights"], float)
    return rows, y, w, MaxentClassifier(C=np.inf, tol=1e-11).fit(rows, y, w)


def covariance_of_r(design):
    """R's covariance of a design, with the intercept of each class after its slopes."""
    last = [1, 2, 0, 4, 5, 3]
    return np.array(SURVEYS[f"{design}_multinom"]["vcov"])[np.ix_(last, last)]


@stata.row("`[pw=w]`")
def sampling_weights():
    rows, y, w, clf = schools()
    found = clf.infer(rows, y, w, weights="probability", small_sample="units")
    expected = covariance_of_r("weights_alone")
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-6)


@stata.row("`[fw=w]`")
def frequency_weights():
    w = np.arange(len(VOTE)) % 3
    rows, repeated = DATA[["age", "Blair"]], np.repeat(np.arange(len(VOTE)), w)
    weighted = MaxentClassifier(C=np.inf, tol=1e-10).fit(rows, VOTE, w).infer(rows, VOTE, w)
    rows, y = rows.iloc[repeated], VOTE.iloc[repeated]
    whole = MaxentClassifier(C=np.inf, tol=1e-10).fit(rows, y).infer(rows, y)
    np.testing.assert_allclose(weighted.std_errors, whole.std_errors, rtol=1e-6)


@stata.row("`svyset psu [pw=w], strata(st)`, `svy: mlogit`")
def designs():
    rows, y, w, clf = schools()
    pairs = SURVEYS["pairs"]
    design = SurveyDesign(pairs["strata"], pairs["psu"], weights=w, nest=True)
    found = clf.infer(rows, y, design=design)
    np.testing.assert_allclose(found.covariance, covariance_of_r("pairs_linear"), rtol=1e-6)


@stata.row("`constraint`, `constraints()`")
def constraints():
    with pytest.raises(TypeError, match="constraints"):
        MaxentClassifier(constraints=1)
    assert len(BEPS.linear_test("Labour:Europe = Liberal Democrat:Europe")) == 1


@stata.row("`estat ic`")
def criteria():
    assert RESULTS.aic == pytest.approx(RECORDED.aic, rel=1e-9)
    assert RESULTS.bic == pytest.approx(RECORDED.bic, rel=1e-9)


@stata.row("`predict p*`, `predict z, xb`")
def predictions():
    np.testing.assert_allclose(CLASSIFIER.predict_proba(X), RECORDED.phat, atol=1e-7)
    logits = CLASSIFIER.decision_function(X)
    np.testing.assert_allclose(logits - logits[:, :1], RECORDED.yhat, atol=1e-6)


def effects(found, name):
    """Slopes of ours, variable by variable and then class by class."""
    expected, errors = (
        np.asarray(getattr(RECORDED, f"margeff_{name}{end}")) for end in ("", "_se")
    )
    np.testing.assert_allclose(found["estimate"], expected.ravel(), atol=3e-7)
    np.testing.assert_allclose(found["std_err"], errors.ravel(), atol=1e-6)


@stata.row("`margins, dydx(*)`")
def average_effects():
    effects(RESULTS.average_slopes(), "dydx_overall")


@stata.row("`margins, dydx(*) atmeans`")
def effects_at_means():
    effects(RESULTS.slopes(newdata=datagrid(grid_type="design_means")), "dydx_mean")


@stata.row("`margins`")
def average_predictions():
    found = RESULTS.average_predictions()["estimate"]
    np.testing.assert_allclose(found, np.asarray(RECORDED.phat).mean(axis=0), atol=1e-7)


@stata.row("`margins g`")
def predictive_margins():
    grid = datagrid(selfLR=[2, 6], grid_type="counterfactual")
    found = RESULTS.average_predictions(grid, by="selfLR")["estimate"]
    b = np.vstack([np.zeros(X.shape[1] + 1), of_stata("params").reshape(6, -1)])
    expected = []
    for value in (2, 6):
        logits = X.assign(selfLR=value, constant=1.0).to_numpy() @ b.T
        P = np.exp(logits)
        expected.append((P / P.sum(axis=1, keepdims=True)).mean(axis=0))
    np.testing.assert_allclose(found, np.ravel(expected), atol=1e-6)


@stata.row("`test [b]x = [c]x`", "`lincom [b]x - [c]x`")
def hypotheses():
    names = "Labour:Europe", "Liberal Democrat:Europe"
    expected = R["lh_equal"][1]["Chisq"]
    found = BEPS.linear_test(f"{names[0]} = {names[1]}")
    assert found["chi2"].item() == pytest.approx(expected, rel=1e-4)
    row = BEPS.hypotheses(f"{names[0]} - {names[1]}").iloc[0]
    assert (row["estimate"] / row["std_err"]) ** 2 == pytest.approx(expected, rel=1e-4)


@stata.row("`lrtest m1 m2`")
def likelihood_ratio():
    none = X[[]]
    smaller = MaxentClassifier(C=np.inf).fit(none, Y).infer(none, Y)
    found = RESULTS.likelihood_ratio_test(smaller).iloc[0]
    assert found["chi2"] == pytest.approx(RECORDED.llr, rel=1e-8)
    assert found["df"] == RECORDED.df_model


@stata.row("`mlogtest, wald`, `mlogtest, lr`")
def tests_of_features():
    expected = pd.DataFrame(TESTS["beps"]["wald"]).set_index("term")["type3"]
    ratios = pd.DataFrame(R["anova3"]).set_index("_row")["LR Chisq"]
    found, by_ratios = BEPS.wald_test()["chi2"], BEPS.likelihood_ratio_test()["chi2"]
    for ours, theirs in (("age", "age"), ("Blair", "Blair"), ("gender_male", "gender")):
        assert found[ours] == pytest.approx(expected[theirs], rel=1e-5)
        assert by_ratios[ours] == pytest.approx(ratios[theirs], rel=1e-5)


def combined(found, name):
    for row in TESTS["beps"]["combine"]:
        ours = found.loc[(row["first"], row["second"])]
        assert ours["chi2"] == pytest.approx(row[name], rel=1e-4)
        assert ours["df"] == row["df"]


@stata.row("`mlogtest, combine`")
def combine():
    combined(BEPS.combine_test(), "wald")


@stata.row("`mlogtest, lrcombine`")
def combine_by_likelihoods():
    combined(BEPS.combine_test("lr"), "lr")


@stata.row("`mlogtest, hausman`")
def hausman():
    expected = pd.DataFrame(TESTS["hausman"]).set_index("omitted")
    np.testing.assert_allclose(OTHERS.iia_test()["chi2"], expected["chi2"], rtol=1e-4)


@stata.row("`mlogtest, smhsiao`")
def small_hsiao():
    expected = pd.DataFrame(TESTS["small_hsiao"]).set_index("omitted")
    found = OTHERS.iia_test("small-hsiao", random_state=0)
    np.testing.assert_allclose(found["chi2"], expected["chi2"], rtol=1e-5)


def test_each_row_is_executed():
    assert sorted(stata.checks) == sorted(stata.on_page)


@pytest.mark.parametrize("first", stata.checks)
def test_stata(first):
    stata.checks[first]()
