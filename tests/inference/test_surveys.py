"""Inference for survey designs, against R's survey and against refits."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, SurveyDesign, infer
from tests.helpers.beps import ORACLES

R = json.loads((ORACLES / "svyglm.json").read_text())
COLUMNS = ["ell", "meals", "mobility"]
EXACT = MaxentClassifier(C=np.inf, tol=1e-11)


class Sample:
    """One of the samples of schools, with its design."""

    def __init__(self, name):
        known = R["data"][name]
        self.frame = pd.DataFrame(known["data"])
        self.X = self.frame[COLUMNS].astype(float)
        self.y, self.three = np.array(known["sch_wide"]), np.array(known["three"])
        self.weights = np.array(known["weights"], float)
        self.stype = np.array(known["stype"])
        self.design = SurveyDesign(
            known["strata"], known["psu"], np.array(known["fpc"], float), self.weights
        )


STRAT, CLUS1 = Sample("strat"), Sample("clus1")
WITHOUT_FPC = replace(CLUS1.design, fpc=None)
PAIRS = SurveyDesign(R["pairs"]["strata"], R["pairs"]["psu"], weights=STRAT.weights, nest=True)
FEW_STRATA = np.array(R["lonely_strata"]) != "H"
ELEMENTARY, HIGH = CLUS1.stype == "E", STRAT.frame["api00"].to_numpy() > 600


def lonely(how):
    return SurveyDesign(R["lonely_strata"], weights=STRAT.weights, lonely_psu=how)


def recorded(kind):
    weights, scale = np.array(R[kind]["repweights"]), R[kind]["scale"]
    return SurveyDesign(weights=STRAT.weights, replicate_weights=weights, scale=scale)


DESIGNS = {
    "strat": (STRAT, STRAT.design, None),
    "clus1": (CLUS1, CLUS1.design, None),
    "clus1_without_fpc": (CLUS1, WITHOUT_FPC, None),
    "clus1_domain": (CLUS1, CLUS1.design, ELEMENTARY),
    "strat_domain": (STRAT, STRAT.design, HIGH),
    "lonely_remove": (STRAT, lonely("remove"), None),
    "lonely_adjust": (STRAT, lonely("adjust"), None),
    "lonely_average": (STRAT, lonely("average"), None),
    "lonely_average_domain": (STRAT, lonely("average"), FEW_STRATA),
    "pairs_linear": (STRAT, PAIRS, None),
    "jk1": (CLUS1, WITHOUT_FPC.with_replicates("JK1"), None),
    "jk1_fpc": (CLUS1, CLUS1.design.with_replicates("JK1"), None),
    "jk1_mse": (CLUS1, replace(WITHOUT_FPC, mse=True).with_replicates("JK1"), None),
    "jk1_domain": (CLUS1, WITHOUT_FPC.with_replicates("JK1"), ELEMENTARY),
    "jkn": (STRAT, replace(STRAT.design, fpc=None).with_replicates("JKn"), None),
    "brr": (STRAT, recorded("brr"), None),
    "fay": (STRAT, recorded("fay"), None),
    "bootstrap": (STRAT, recorded("bootstrap"), None),
}


def intercept_first(V, n_rows=1):
    """A covariance with the intercept of each class before its other coefficients."""
    width = len(V) // n_rows
    order = np.concatenate([k * width + np.roll(np.arange(width), 1) for k in range(n_rows)])
    return np.asarray(V)[np.ix_(order, order)]


@pytest.mark.parametrize("name", DESIGNS)
def test_two_classes_are_those_of_svyglm(name):
    sample, design, mask = DESIGNS[name]
    at = np.ones(len(sample.y), bool) if mask is None else mask
    clf = EXACT.fit(sample.X[at], sample.y[at], sample.weights[at])
    results = clf.infer(sample.X, sample.y, design=design, subpopulation=mask)
    np.testing.assert_allclose(intercept_first(results.covariance), R[name]["vcov"], rtol=1e-6)
    assert results.df_tests == R[name]["degf"]
    ends = np.roll(results.conf_int().to_numpy(), 1, axis=0)
    np.testing.assert_allclose(ends, R[name]["ci"], rtol=1e-6, atol=1e-8)
    joint = results.wald_test([["ell", "meals"]]).iloc[0]
    np.testing.assert_allclose(joint["F"], R[name]["wald_F"], rtol=1e-6)
    np.testing.assert_allclose(joint["p_value"], R[name]["wald_p"], rtol=1e-6)
    # R's summary takes the coefficients off the degrees of freedom.
    own = replace(design, df=R[name]["df_residual"])
    table = clf.infer(sample.X, sample.y, design=own, subpopulation=mask).summary()
    found = np.roll(table["p_value"].to_numpy(), 1)
    np.testing.assert_allclose(found, R[name]["p_value"], rtol=1e-6)


@pytest.mark.parametrize("sample", ["strat", "clus1"])
def test_three_classes_are_the_total_of_influences(sample):
    known, expected = DESIGNS[sample][0], R[f"{sample}_multinom"]
    X = known.X[["ell", "mobility"]]
    clf = EXACT.fit(X, known.three, known.weights)
    results = infer(clf, X, known.three, design=known.design)
    assert [*map(str, results.rows)] == expected["classes"][1:]
    V = intercept_first(results.covariance, n_rows=2)
    np.testing.assert_allclose(V, expected["vcov"], rtol=1e-6)


def test_three_classes_have_the_sandwich_of_the_formula():
    X, y, w, design = CLUS1.X, CLUS1.three, CLUS1.weights, WITHOUT_FPC
    X = X[["ell", "mobility"]]
    clf = EXACT.fit(X, y, w)
    found = clf.infer(X, y, design=design).covariance
    Z, P = np.column_stack([X, np.ones(len(X))]), clf.predict_proba(X)
    T = y[:, None] == clf.classes_
    scores = np.concatenate([((T - P)[:, [k]] * Z) * w[:, None] for k in (1, 2)], axis=1)
    H = sum(
        w[i] * np.kron(np.diag(p := P[i, 1:]) - np.outer(p, p), np.outer(Z[i], Z[i]))
        for i in range(len(Z))
    )
    sums = pd.DataFrame(scores).groupby(np.array(design.psu)).sum().to_numpy()
    B = np.linalg.inv(H)
    expected = B @ (np.cov(sums.T) * len(sums)) @ B
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_replicates_are_refits():
    X, y = CLUS1.X[["ell", "mobility"]], CLUS1.three
    design = WITHOUT_FPC.with_replicates("JK1")
    results = EXACT.fit(X, y, CLUS1.weights).infer(X, y, design=design)
    fits = []
    for factor in np.asarray(design.replicate_weights).T:
        clf = MaxentClassifier(C=np.inf, tol=1e-11).fit(X, y, CLUS1.weights * factor)
        whole = np.column_stack([clf.coef_, clf.intercept_])
        fits.append((whole[1:] - whole[0]).ravel())
    deviations = np.array(fits) - np.mean(fits, axis=0)
    expected = deviations.T @ deviations * (design.rscales[0] * design.scale)
    np.testing.assert_allclose(results.covariance, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "rtol"),
    [
        ({"kind": "BRR"}, 1e-10),
        ({"kind": "BRR", "fay_rho": 0.4}, 1e-10),
        ({"kind": "JKn"}, 1e-10),
        ({"kind": "bootstrap", "n_replicates": 20_000, "random_state": 0}, 0.05),
    ],
)
def test_replicates_of_a_total_have_its_variance(options, rtol):
    """Of a linear statistic replicates and linearisation have the same variance."""
    rng = np.random.default_rng(0)
    strata = np.repeat(np.arange(6), 2)
    design = SurveyDesign(strata, np.arange(12)).with_replicates(**options)
    values = rng.normal(size=12)
    totals = values @ design.replicate_weights
    found = (design.scale * design.rscales * (totals - totals.mean()) ** 2).sum()
    assert found == pytest.approx(((values[::2] - values[1::2]) ** 2).sum(), rel=rtol)


def test_effects_have_the_distribution_of_the_design():
    model = make_pipeline(StandardScaler(), MaxentClassifier(C=np.inf, tol=1e-11))
    known, X = CLUS1, CLUS1.X[["ell", "mobility"]]
    model.fit(X, known.three, maxentclassifier__sample_weight=known.weights)
    results = infer(model, X, known.three, design=known.design)
    normal = infer(model, X, known.three, design=known.design, use_t=False)
    ratio = 2.1447866879169273 / 1.959963984540054  # of the 97.5 % quantiles, 14 degrees of freedom
    for table, other in (
        (results.comparisons("ell"), normal.comparisons("ell")),
        (results.marginal_effects(X), normal.marginal_effects(X)),
        (results.hypotheses("mid:ell - low:ell"), normal.hypotheses("mid:ell - low:ell")),
    ):
        assert "t" in table
        assert "z" not in table
        widths = [(t["upper"] - t["lower"]).to_numpy() for t in (table, other)]
        np.testing.assert_allclose(widths[0], ratio * widths[1])
    assert {"F", "df", "df_denom", "p_value"} == set(results.equality_test("ell"))
    assert "Student's t with 14 degrees of freedom" in str(results)
    assert "Taylor linearisation, 15 primary units" in str(results)
    # Probabilities are averaged over the rows with the sampling weights.
    mean = results.predictions(by=True)["estimate"].to_numpy()
    P = model.predict_proba(X)
    np.testing.assert_allclose(mean, np.average(P, axis=0, weights=known.weights))


def test_likelihood_tests_are_refused():
    results = EXACT.fit(CLUS1.X, CLUS1.y, CLUS1.weights).infer(
        CLUS1.X, CLUS1.y, design=CLUS1.design
    )
    for method in (results.likelihood_ratio_test, results.profile_conf_int):
        with pytest.raises(ValueError, match=r"cov_type='nonrobust'.* found .*'survey'"):
            method()
    with pytest.raises(ValueError, match="needs the likelihood of independent rows"):
        _ = results.aic


@pytest.mark.parametrize(
    ("design", "options", "message"),
    [
        (lonely("fail"), {}, "3 strata have a single primary unit"),
        (lonely("ignore"), {}, "lonely_psu must be one of"),
        (replace(PAIRS, nest=False), {}, "write nest=True"),
        (replace(STRAT.design, fpc=np.full(200, 3.0)), {}, "at least the number of sampled units"),
        (replace(STRAT.design, fpc=np.arange(200.0)), {}, "equal for all rows of a stratum"),
        (replace(STRAT.design, df=-1.0), {}, "df must be positive"),
        (replace(STRAT.design, df="3"), {}, "df must be positive, or None, found '3'"),
        (replace(STRAT.design, nest="no"), {}, "nest must be True or False, found 'no'"),
        (replace(STRAT.design, fpc=["a"] * 200), {}, "fpc must be an array of numbers"),
        (replace(STRAT.design, scale=2.0), {}, r"\['scale'\] are for designs with replicate"),
        (replace(STRAT.design, rscales=[1.0]), {}, r"\['rscales'\] are for designs with replicate"),
        (replace(STRAT.design, combined_weights=False), {}, "are for designs with replicate"),
        (replace(STRAT.design, mse=True), {}, "mse=True is for designs with replicate_weights"),
        (replace(recorded("brr"), fpc=np.full(200, 0.1)), {}, "leave out fpc"),
        (replace(recorded("brr"), scale="1"), {}, "scale must be a positive finite number"),
        (replace(recorded("brr"), mse="no"), {}, "mse must be True or False, found 'no'"),
        (
            replace(recorded("brr"), rscales="1"),
            {},
            "expected as rscales 12",
        ),
        (replace(STRAT.design, strata=[1, 2]), {}, r"strata has the shape \(2,\)"),
        (STRAT.design, {"sample_weight": np.ones(200)}, "differs from the weights of the design"),
        (STRAT.design, {"cov_type": "HC0"}, "expected cov_type=None, found 'HC0'"),
        (STRAT.design, {"groups": np.arange(200)}, "expected groups=None, found an array"),
        (STRAT.design, {"method": "bootstrap"}, "expected method=None"),
        (STRAT.design, {"features": ["ell"]}, "expected features=None"),
        (STRAT.design, {"small_sample": "none"}, "expected small_sample=None"),
        (STRAT.design, {"subpopulation": np.arange(200)}, "must be a mask of bool"),
        (STRAT.design, {"subpopulation": np.zeros(200, bool)}, "no rows of positive weight"),
        (None, {"subpopulation": np.ones(200, bool)}, "subpopulation is for design"),
        (replace(recorded("brr"), rscales=[1.0]), {}, "rscales 12 numbers"),
        (replace(recorded("brr"), replicate_weights=np.ones((3, 2))), {}, "replicate_weights has"),
    ],
)
def test_what_a_design_cannot_be_is_refused(design, options, message):
    clf = EXACT.fit(STRAT.X, STRAT.y, STRAT.weights)
    with pytest.raises(ValueError, match=message):
        clf.infer(STRAT.X, STRAT.y, design=design, **options)


@pytest.mark.parametrize(
    ("design", "options", "message"),
    [
        (STRAT.design, {"kind": "JK1"}, "is for one stratum, found 3"),
        (STRAT.design, {"kind": "BRR"}, "exactly two units in each stratum"),
        (STRAT.design, {"kind": "JK2"}, "kind must be one of"),
        (STRAT.design, {"kind": "JKn", "n_replicates": 9}, "n_replicates is for 'bootstrap'"),
        (STRAT.design, {"kind": "JKn", "fay_rho": 0.1}, "fay_rho is for 'BRR'"),
        (STRAT.design, {"kind": "JKn", "random_state": 0}, "random_state is for 'bootstrap'"),
        (STRAT.design, {"kind": "bootstrap"}, "no finite population correction"),
        (PAIRS, {"kind": "BRR", "fay_rho": 1.0}, "fay_rho must be at least 0 and below 1"),
        (PAIRS, {"kind": "BRR", "fay_rho": "0"}, "fay_rho must be a number, found '0'"),
        (
            PAIRS,
            {"kind": "bootstrap", "n_replicates": 2.5},
            "None or an integer, found 2.5",
        ),
        (replace(PAIRS, scale=2.0), {"kind": "JKn"}, r"\['scale'\] are for designs"),
        (recorded("brr"), {"kind": "JKn"}, "the design has replicate weights"),
        (SurveyDesign(), {"kind": "JK1"}, "no known length"),
        (lonely("fail"), {"kind": "JKn"}, "two units or more in each stratum"),
    ],
)
def test_replicates_that_a_design_does_not_have_are_refused(design, options, message):
    with pytest.raises(ValueError, match=message):
        design.with_replicates(**options)


def test_infinite_degrees_of_freedom_are_those_of_the_normal_distribution():
    clf = EXACT.fit(STRAT.X, STRAT.y, STRAT.weights)
    results = clf.infer(STRAT.X, STRAT.y, design=replace(STRAT.design, df=np.inf))
    table = results.wald_test("ell")
    z = np.asarray(results.coef / results.std_errors)[0, list(results.columns).index("ell")]
    np.testing.assert_allclose(table["p_value"], 2.0 * norm.sf(abs(z)), rtol=1e-9)


def test_penalised_fits_have_no_design_and_designs_have_a_type():
    clf = MaxentClassifier(C=1.0).fit(STRAT.X, STRAT.y, STRAT.weights)
    with pytest.raises(ValueError, match="design is for fits without a penalty"):
        clf.infer(STRAT.X, STRAT.y, design=STRAT.design)
    with pytest.raises(TypeError, match="design must be a SurveyDesign"):
        clf.infer(STRAT.X, STRAT.y, design={"psu": STRAT.stype})


def test_a_replicate_without_a_class_is_named():
    X, y = np.arange(8.0)[:, None], np.array([0, 1, 0, 1, 0, 1, 0, 2])
    w = np.ones(8)
    design = SurveyDesign(psu=np.arange(8), weights=w).with_replicates("JK1")
    clf = MaxentClassifier(C=np.inf, bias_reduction="mean").fit(X, y, w)
    with pytest.raises(ValueError, match=r"replicate 7 has no rows of positive weight of .*\[2\]"):
        clf.infer(X, y, design=design)


def test_results_of_a_subpopulation_take_its_rows_again():
    at = np.flatnonzero(ELEMENTARY)
    X, y, w = CLUS1.X.iloc[at], CLUS1.y[at], CLUS1.weights[at]
    results = EXACT.fit(X, y, w).infer(
        CLUS1.X, CLUS1.y, design=CLUS1.design, subpopulation=ELEMENTARY
    )
    again = pickle.loads(pickle.dumps(results)).with_data(X, y, w)
    pd.testing.assert_frame_equal(again.summary(), results.summary())
    pd.testing.assert_series_equal(again.tjur_r2, results.tjur_r2)


def test_a_variable_may_have_the_name_of_the_statistic():
    X = CLUS1.X[["ell", "mobility"]].rename(columns={"ell": "t"})
    results = EXACT.fit(X, CLUS1.y, CLUS1.weights).infer(X, CLUS1.y, design=CLUS1.design)
    table = results.slopes("mobility", newdata=X[:5], by="t")
    assert set(table["t_of_data"]) == set(X["t"][:5])
    ratio = table["estimate"] / table["std_err"]
    np.testing.assert_allclose(table["t"], ratio)


def test_a_design_is_shown_in_a_line():
    psu, strata = np.arange(944) // 8, np.arange(944) // 8 % 4
    design = SurveyDesign(strata, psu, fpc=np.full(944, 500.0), weights=np.ones(944))
    assert repr(design) == "SurveyDesign(118 units in 4 strata, 944 rows, weights, fpc)"
    assert repr(SurveyDesign()) == "SurveyDesign()"
    labels = pd.Series([*"aab"], dtype="category")
    assert repr(SurveyDesign(psu=labels)) == "SurveyDesign(2 units, 3 rows)"
    # The same label of psu stands for units of both strata.
    nested = SurveyDesign(["n", "n", "s"], [1, 2, 1], nest=True, lonely_psu="adjust")
    shown = "SurveyDesign(3 units in 2 strata, 3 rows, nest=True, lonely_psu=adjust)"
    assert repr(nested) == shown
    replicated = SurveyDesign(replicate_weights=np.ones((3, 12)), mse=True, df=5.0)
    assert repr(replicated) == "SurveyDesign(12 replicates, mse=True, df=5.0)"
    assert repr(SurveyDesign(strata=np.zeros(3))) == "SurveyDesign(1 stratum, 3 rows)"
