"""Tests of terms, linear hypotheses and outcomes: against R, statsmodels and brute force."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from helpers.beps import DATA, ORACLES, VOTE, R, pipeline
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from statsmodels.datasets import anes96

from skmaxent import MaxentClassifier, from_formula, infer

MADE = json.loads((ORACLES / "tests_beps.json").read_text())
ML = MaxentClassifier(C=np.inf, tol=1e-10)
ANES = anes96.load_pandas()
X, Y = ANES.exog[["selfLR", "age", "educ"]], (ANES.endog.astype(int) + 1) // 3
GROUPS = np.arange(len(DATA)) % 60
JOINT = [
    "Labour:Europe = Liberal Democrat:Europe",
    "Labour:Blair - 2*Liberal Democrat:Blair = 0.5",
]
FACTORS = "age + Europe + gender * knowledge"


@pytest.fixture(scope="module")
def beps():
    return infer(pipeline().fit(DATA, VOTE), DATA, VOTE)


@pytest.fixture(scope="module")
def factors():
    """A factor of three levels, and an interaction of two factors, by a formula."""
    labels = np.array(["little", "little", "some", "much"])
    data = DATA.assign(knowledge=labels[DATA["political.knowledge"]], vote=VOTE)
    model = from_formula(f"vote ~ {FACTORS}", data, C=np.inf, tol=1e-10)
    return infer(model, data, VOTE), data


def of_r(rows, index):
    return pd.DataFrame(rows).set_index(index)


# Terms


@pytest.mark.parametrize("kind", [2, 3])
def test_anova_of_beps_is_that_of_r(beps, kind):
    expected = of_r(R[f"anova{kind}"], "_row")
    found = beps.anova(kind)
    assert set(found.index) == set(expected.index)
    found = found.loc[expected.index]
    np.testing.assert_allclose(found["chi2"], expected["LR Chisq"], rtol=2e-6)
    np.testing.assert_allclose(found["p_value"], expected["Pr(>Chisq)"], rtol=1e-5)
    assert found["df"].tolist() == expected["Df"].tolist()
    expected = of_r(MADE["beps"]["wald"], "term")
    found = beps.anova(kind, test="wald").loc[expected.index]
    np.testing.assert_allclose(found["chi2"], expected[f"type{kind}"], rtol=2e-6)
    assert found["df"].tolist() == expected["df"].tolist()


@pytest.mark.parametrize("kind", [2, 3])
def test_anova_of_factors_is_that_of_r(factors, kind):
    results, _ = factors
    expected = of_r(MADE["factors"][f"anova{kind}"], "term")
    found = results.anova(kind).loc[expected.index]
    np.testing.assert_allclose(found["chi2"], expected["chi2"], rtol=1e-5)
    np.testing.assert_allclose(np.log(found["p_value"]), expected["log_p"], rtol=1e-5)
    assert found["df"].tolist() == expected["df"].tolist()
    expected = of_r(MADE["factors"]["wald"], "term")
    found = results.anova(kind, "wald").loc[expected.index]
    np.testing.assert_allclose(found["chi2"], expected[f"type{kind}"], rtol=1e-5)


def test_tests_accept_names_of_terms(factors):
    results, _ = factors
    columns = results.terms["knowledge"]
    assert len(columns) == 2
    for test in (results.wald_test, results.likelihood_ratio_test, results.equality_test):
        by_term, by_columns = test(features="knowledge"), test(features=[columns])
        np.testing.assert_allclose(by_term, by_columns)
        assert by_term.index.tolist() == ["knowledge"]
    both = results.wald_test([["knowledge", "age"]])
    assert both.index.tolist() == ["knowledge + age"]
    assert both["df"].tolist() == [6]
    with pytest.raises(
        ValueError, match=r"'region' is no feature .* or of the terms .*'knowledge'"
    ):
        results.wald_test("region")
    expected = of_r(MADE["factors"]["anova3"], "term").loc["knowledge", "chi2"]
    assert results.likelihood_ratio_test(features="knowledge")["chi2"].item() == pytest.approx(
        expected, rel=1e-5
    )


def test_a_name_of_a_term_and_of_another_column_is_an_error():
    clf = ML.fit(X, Y)
    results = infer(clf, X, Y, terms={"age": ["educ", "selfLR"]})
    with pytest.raises(ValueError, match=r"'age' is the name of a column and of a term"):
        results.wald_test("age")
    assert infer(clf, X, Y, terms={"age": ["age"]}).wald_test("age")["df"].tolist() == [2]


def test_formulas_know_the_factors_of_their_terms():
    """A colon within a factor does not make an interaction of it."""
    data = pd.DataFrame(X).assign(vote=Y.to_numpy())
    data["a:b"] = np.where(data["age"] > 40, "x", "y")
    model = from_formula("vote ~ selfLR + `a:b` + selfLR:`a:b`", data, C=np.inf, tol=1e-10)
    results = infer(model, data, Y)
    found = results.anova(2)
    smaller = from_formula("vote ~ selfLR + `a:b`", data, C=np.inf, tol=1e-10)
    alone = infer(smaller, data, Y).likelihood_ratio_test(features=["selfLR", "`a:b`"])
    np.testing.assert_allclose(found.loc[alone.index, "chi2"], alone["chi2"], rtol=1e-5)
    assert found.loc["selfLR:`a:b`", "df"] == 2


@pytest.mark.filterwarnings("ignore:The features")
def test_terms_of_some_features_and_of_aliased_features(factors):
    whole, data = factors
    model = from_formula(f"vote ~ {FACTORS}", data, C=np.inf, tol=1e-10)
    some = infer(model, data, VOTE, features=[*whole.terms["knowledge"], "gender[T.male]"])
    pd.testing.assert_frame_equal(
        some.wald_test("knowledge"), whole.wald_test("knowledge"), rtol=1e-5
    )
    with pytest.raises(ValueError, match="anova needs all features"):
        some.anova()
    with pytest.raises(ValueError, match="combine_test needs the slopes of all features"):
        some.combine_test()
    again = data.assign(twice=2.0 * data["age"])
    model = from_formula(f"vote ~ {FACTORS} + twice", again, C=np.inf, tol=1e-10)
    results = infer(model, again, VOTE)
    assert results.aliased == ("twice",)
    assert "twice" not in results.terms
    pd.testing.assert_frame_equal(results.anova(), whole.anova(), rtol=1e-4)
    named = infer(model, again, VOTE, terms={"years": ["age", "twice"]})
    assert named.terms["years"] == ["age"]


def test_effects_are_of_the_variables_in_the_model(factors):
    results, _ = factors
    found = results.average_comparisons()["variable"].unique().tolist()
    assert sorted(found) == sorted(["age", "Europe", "gender", "knowledge"])


def test_effects_of_a_number_that_few_rows_differ_in():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=9000), "unused": 1.5, "rare": 0.0})
    data.loc[[4001, 4002, 7001, 7003, 8001], "rare"] = 1.0
    y = rng.integers(0, 3, 9000)
    encode = make_column_transformer(("passthrough", ["x", "rare"]))
    model = make_pipeline(encode, MaxentClassifier(C=np.inf, bias_reduction="mean"))
    results = infer(model.fit(data, y), data, y)
    assert set(results.average_comparisons()["variable"]) == {"x", "rare"}
    assert set(results.terms) == {"x", "rare"}


@pytest.mark.filterwarnings("ignore:The features")
def test_one_hot_columns_are_a_term():
    """All levels have dummies: the last is aliased, and type II does not depend on that."""
    encode = make_column_transformer((OneHotEncoder(), ["gender"]), ("passthrough", ["age"]))
    model = make_pipeline(encode, MaxentClassifier(C=np.inf, tol=1e-10)).fit(DATA, VOTE)
    found = infer(model, DATA, VOTE).anova()
    drop = make_column_transformer(
        (OneHotEncoder(drop="first"), ["gender"]), ("passthrough", ["age"])
    )
    model = make_pipeline(drop, MaxentClassifier(C=np.inf, tol=1e-10)).fit(DATA, VOTE)
    expected = infer(model, DATA, VOTE).anova()
    assert found["df"].tolist() == [2, 2]
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "options", [{"cov_type": "cluster", "groups": GROUPS}, {"weights": "probability"}]
)
def test_without_a_likelihood_tests_are_walds(options):
    results = infer(pipeline().fit(DATA, VOTE), DATA, VOTE, **options)
    for test in (results.anova, results.combine_test, results.equality_test):
        with pytest.raises(ValueError, match=rf"use {test.__name__}\(test='wald'\)"):
            test(test="lr")
    with pytest.raises(ValueError, match=r"use linear_test\(test='wald'\)"):
        results.linear_test(JOINT, test="lr")
    found = results.anova(3, test="wald").loc["Europe", "chi2"]
    assert found == pytest.approx(results.wald_test("Europe")["chi2"].item())
    b, V = results.coef.ravel(), results.covariance
    at = [list(results.cov_params().index).index((row, "Europe")) for row in results.rows]
    L = np.zeros((1, len(b)))
    L[0, at] = 1.0, -1.0
    expected = (L @ b) ** 2 / (L @ V @ L.T)
    assert results.linear_test(JOINT[0])["chi2"].item() == pytest.approx(expected.item())


def test_few_clusters_do_not_test_many_restrictions():
    groups = np.arange(len(DATA)) % 5
    results = infer(pipeline().fit(DATA, VOTE), DATA, VOTE, cov_type="cluster", groups=groups)
    with pytest.raises(ValueError, match=r"10 restrictions.* from 5 clusters has rank 4"):
        results.combine_test()


def test_bias_reduced_tables_are_of_penalised_likelihoods():
    frame = X.assign(product=X["age"] * X["educ"])
    terms = {"age:educ": ["product"]}
    clf = MaxentClassifier(C=np.inf, bias_reduction="mean", tol=1e-8).fit(frame, Y)
    results = infer(clf, frame, Y, terms=terms)
    third, second = results.anova(3), results.anova(2)
    expected = results.likelihood_ratio_test()
    np.testing.assert_allclose(third["chi2"], expected["chi2"], rtol=1e-6)
    both = results.likelihood_ratio_test(features=[["age", "product"]])["chi2"].item()
    alone = both - expected.loc["product", "chi2"]
    assert second.loc["age", "chi2"] == pytest.approx(alone, rel=1e-6)
    assert second.loc["selfLR", "chi2"] == pytest.approx(third.loc["selfLR", "chi2"])


def test_pickles_have_walds_tests(beps):
    loaded = pickle.loads(pickle.dumps(beps))
    pd.testing.assert_frame_equal(loaded.anova(2, "wald"), beps.anova(2, "wald"))
    pd.testing.assert_frame_equal(loaded.linear_test(JOINT), beps.linear_test(JOINT))
    with pytest.raises(ValueError, match="which a pickle of results does not hold"):
        loaded.anova()
    again = loaded.with_data(DATA, VOTE)
    pd.testing.assert_frame_equal(again.anova(), beps.anova(), rtol=1e-6)


def test_arguments_of_tables(beps):
    with pytest.raises(ValueError, match="type must be 2 or 3, found 1"):
        beps.anova(1)
    with pytest.raises(ValueError, match="test must be 'wald' or 'lr', found 'score'"):
        beps.anova(test="score")
    ridge = MaxentClassifier(C=1.0).fit(X, Y).infer(X, Y)
    for test in (ridge.anova, ridge.combine_test, lambda: ridge.linear_test("1:age")):
        with pytest.raises(ValueError, match="are for fits without a penalty"):
            test()


def test_score_tests_of_terms():
    few = X[["age"]]
    results = ML.fit(few, Y).infer(few, Y)
    others = X[["selfLR", "educ"]].assign(square=X["educ"] ** 2)
    found = results.score_test(others, terms={"education": ["educ", "square"]})
    assert found.index.tolist() == ["selfLR", "education", "selfLR + educ + square"]
    assert found["df"].tolist() == [2, 4, 6]
    expected = results.score_test(others[["educ", "square"]])
    assert found.loc["education", "chi2"] == pytest.approx(expected["chi2"].iloc[-1])
    with pytest.raises(ValueError, match="expected names of columns"):
        results.score_test(others, terms={"education": ["age"]})


# Linear hypotheses


def test_linear_hypotheses_are_those_of_r(beps):
    one = beps.linear_test(JOINT[0])
    assert one["chi2"].item() == pytest.approx(R["lh_equal"][1]["Chisq"], rel=2e-6)
    assert one["p_value"].item() == pytest.approx(R["lh_equal"][1]["Pr(>Chisq)"], rel=1e-5)
    joint = beps.linear_test(JOINT)
    assert joint["chi2"].item() == pytest.approx(MADE["beps"]["joint"]["chi2"], rel=2e-6)
    assert joint["df"].tolist() == [2]
    row = beps.hypotheses("2*Labour:Blair - Liberal Democrat:Blair = 0.5").iloc[0]
    expected = MADE["beps"]["one"]
    assert row["estimate"] == pytest.approx(expected["estimate"], rel=1e-5)
    assert row["std_err"] == pytest.approx(expected["std_err"], rel=1e-5)
    assert row["lower"] == pytest.approx(row["estimate"] - 1.959963984540054 * row["std_err"])
    assert row["z"] == pytest.approx(row["estimate"] / row["std_err"])


def test_joint_hypotheses_are_those_of_statsmodels():
    D = sm.add_constant(X)
    fit = sm.MNLogit(Y, D).fit(disp=0, tol=1e-12, maxiter=100)
    results = ML.fit(X, Y).infer(X, Y)
    A = np.zeros((2, 8))
    A[0, [1, 5]] = 1.0, -1.0  # statsmodels: class by class, the constant first
    A[1, [2, 7]] = 2.0, 1.0
    expected = fit.wald_test((A, np.array([0.0, 0.5])), scalar=True)
    names = [f"{k}:{name}" for k in (1, 2) for name in ["selfLR", "age", "educ", "Intercept"]]
    assert [f"{k}:{name}" for k, name in results.cov_params().index] == names
    equations = ["1:selfLR = 2:selfLR", "2*1:age + 2:educ - 0.5"]
    ours = A[:, [1, 2, 3, 0, 5, 6, 7, 4]]
    for found in (results.linear_test(equations), results.linear_test(ours, rhs=[0.0, 0.5])):
        assert found["chi2"].item() == pytest.approx(float(expected.statistic), rel=1e-6)
        assert found["p_value"].item() == pytest.approx(float(expected.pvalue), rel=1e-6)
    np.testing.assert_allclose(results.hypotheses(equations), results.hypotheses(ours, [0, 0.5]))


def test_hypotheses_do_not_depend_on_the_reference(beps):
    model = pipeline().fit(DATA, VOTE)
    equations = [JOINT[0], "Conservative:age = Labour:age"]
    expected = beps.linear_test(equations)
    for reference in ("Labour", "symmetric"):
        results = infer(model, DATA, VOTE, reference=reference)
        pd.testing.assert_frame_equal(results.linear_test(equations), expected, rtol=1e-6)
        found = results.hypotheses(equations)
        pd.testing.assert_frame_equal(found, beps.hypotheses(equations), rtol=1e-6)
        pd.testing.assert_frame_equal(results.combine_test(), beps.combine_test(), rtol=1e-6)
    with pytest.raises(ValueError, match="holds whatever the coefficients are"):
        beps.linear_test("Conservative:Europe = 0")
    with pytest.raises(ValueError, match="fails whatever the coefficients are"):
        results.linear_test("Conservative:age + Labour:age + Liberal Democrat:age = 1")


def test_dependent_restrictions_are_an_error(beps):
    more = [*JOINT, "2*Labour:Europe - 2*Liberal Democrat:Europe"]
    with pytest.raises(ValueError, match="3 restrictions of rank 2, which follow from each other"):
        beps.linear_test(more)
    with pytest.raises(ValueError, match="3 restrictions of rank 2, which contradict each other"):
        beps.linear_test([*JOINT, more[-1] + " = 1"])
    assert len(beps.hypotheses(more)) == 3


def test_the_likelihood_ratio_of_hypotheses(beps):
    equations = [f"Labour:{name} = Liberal Democrat:{name}" for name in beps.columns[:-1]]
    for test in ("wald", "lr"):
        expected = of_r(MADE["beps"]["combine"], ["first", "second"])
        found = beps.combine_test(test)
        assert found.index.tolist() == expected.index.tolist()
        np.testing.assert_allclose(found["chi2"], expected[test], rtol=2e-6)
        assert found["df"].tolist() == expected["df"].tolist()
        same = beps.linear_test(equations, test=test)
        assert same["chi2"].item() == pytest.approx(found["chi2"].iloc[-1], rel=1e-8)
    # A hypothesis with a value: the profile interval ends where the ratio has its quantile.
    end = beps.profile_conf_int(features="age").iloc[0]["upper"]
    row = beps.linear_test(f"Labour:age = {float(end)!r}", test="lr")
    assert row["p_value"].item() == pytest.approx(0.05, rel=1e-4)
    some = infer(pipeline().fit(DATA, VOTE), DATA, VOTE, features=["age", "Blair"])
    equation = "Labour:Blair = Liberal Democrat:Blair"
    pd.testing.assert_frame_equal(
        some.linear_test(equation, test="lr"), beps.linear_test(equation, test="lr"), rtol=1e-6
    )
    both = beps.equality_test(["Blair", "Intercept"], test="lr")
    assert both["chi2"].iloc[0] == pytest.approx(
        beps.linear_test(equation, test="lr")["chi2"].item(), rel=1e-8
    )
    clf = MaxentClassifier(C=np.inf, tol=1e-10)
    shifted = clf.fit(X + 5.0, Y).infer(X + 5.0, Y)
    plain = clf.fit(X, Y).infer(X, Y).linear_test("1:Intercept = 2:Intercept", test="lr")
    terms = " + ".join(f"5 * 1:{name} - 5 * 2:{name}" for name in X)
    found = shifted.linear_test(f"1:Intercept - 2:Intercept + {terms}", test="lr")
    assert found["chi2"].item() == pytest.approx(plain["chi2"].item(), rel=1e-5)


def test_outcomes_of_models_with_their_own_constant():
    D = X.assign(one=1.0)
    own = MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-10).fit(D, Y).infer(D, Y)
    ours = ML.fit(X, Y).infer(X, Y)
    for test in ("wald", "lr"):
        pd.testing.assert_frame_equal(own.combine_test(test), ours.combine_test(test), rtol=1e-5)


def test_weights_and_offsets_are_those_of_the_fit():
    rng = np.random.default_rng(0)
    W, offset = rng.integers(1, 3, len(Y)), rng.normal(size=(len(Y), 3))
    few = ML.fit(X, Y, W, offset).infer(X, Y, W, offset)
    many = np.repeat(np.arange(len(Y)), W)
    long = X.iloc[many], Y.iloc[many]
    repeated = ML.fit(*long, None, offset[many]).infer(*long, None, offset[many])
    for test in ("anova", "combine_test", "equality_test"):
        pd.testing.assert_frame_equal(
            getattr(few, test)(test="lr"), getattr(repeated, test)(test="lr"), rtol=1e-5
        )


def test_two_classes():
    y = (Y > 0).astype(int)
    results = ML.fit(X, y).infer(X, y)
    found = results.linear_test(["age = educ", "selfLR = 0.5"])
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True),
        results.linear_test(["1:age = 1:educ", "1:selfLR = 0.5"]).reset_index(drop=True),
    )
    fit = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-12)
    expected = fit.wald_test("age = educ, selfLR = 0.5", scalar=True)
    assert found["chi2"].item() == pytest.approx(float(expected.statistic), rel=1e-6)
    slopes = fit.wald_test(np.eye(4)[1:], scalar=True)
    assert results.combine_test()["chi2"].item() == pytest.approx(float(slopes.statistic), rel=1e-6)
    ratio = results.combine_test("lr")["chi2"].item()
    assert ratio == pytest.approx(2 * (fit.llf - fit.llnull), rel=1e-6)
    with pytest.raises(ValueError, match="equality_test compares coefficients of several classes"):
        results.equality_test()
    symmetric = ML.fit(X, y).infer(X, y, reference="symmetric")
    found = symmetric.linear_test("1:age = 0:age + 2 * 1:educ")
    assert found["chi2"].item() == pytest.approx(results.linear_test("age = educ")["chi2"].item())


def test_names_of_coefficients():
    rng = np.random.default_rng(0)
    names = ["a", "b", "a - b", "city=London", "C(x)[T.2]"]
    D = pd.DataFrame(rng.normal(size=(300, 5)), columns=names)
    y = np.array(["x", "y", "my class"])[rng.integers(0, 3, 300)]
    results = ML.fit(D, y).infer(D, y)
    table = results.summary()["coef"]
    for equation, expected in (
        ("x:city=London = x:C(x)[T.2]", table["x", "city=London"] - table["x", "C(x)[T.2]"]),
        ("2 * (x:a - y:a) / 4", 0.5 * (table["x", "a"] - table["y", "a"])),
        ("`y:a - b` = -1", table["y", "a - b"] + 1.0),
        ("my class:a = x:b", -table["x", "b"]),
    ):
        assert results.hypotheses(equation)["estimate"].item() == pytest.approx(expected)
    twice = pd.DataFrame(rng.normal(size=(300, 4)), columns=["a", "b", "a - b", "b - a"])
    z = rng.integers(0, 2, 300)
    both = ML.fit(twice, z).infer(twice, z)
    with pytest.raises(ValueError, match="is a name, and an expression of other names too"):
        both.linear_test("a - b = 0")
    found = both.hypotheses(["`a - b`", "`a` - `b`"])["estimate"].to_numpy()
    np.testing.assert_allclose(found, [both.coef[0, 2], both.coef[0, 0] - both.coef[0, 1]])


@pytest.mark.parametrize(
    ("hypothesis", "rhs", "message"),
    [
        ("Labour:Asia = 0", None, "unknown name, or is not linear; expected names among"),
        ("Labour:Europe * Labour:Blair", None, "is no linear equation"),
        ("Labour:Europe = 0 = 1", None, "more than one equals sign"),
        ("Labour:Europe", 1.0, "rhs=1.0 is for hypotheses given as an array"),
        (np.eye(3), None, r"has the shape \(3, 3\); expected \(n_restrictions, 22\)"),
        (np.eye(22)[:2], [1, 2, 3], r"rhs has the shape \(3,\)"),
        (np.full(22, np.nan), None, "must be finite"),
        ([], None, "expected"),
        ({"a": 1}, None, "must be an equation"),
    ],
)
def test_hypotheses_that_are_none(beps, hypothesis, rhs, message):
    for test in (beps.linear_test, beps.hypotheses):
        with pytest.raises(ValueError, match=message):
            test(hypothesis, rhs)


def test_hypotheses_of_posteriors_and_bootstraps():
    ridge = MaxentClassifier(C=1.0).fit(X, Y).infer(X, Y)
    assert list(ridge.hypotheses("1:age = 2:age")) == ["estimate", "std_err", "lower", "upper"]
    some = ML.fit(X[:200], Y[:200]).infer(X[:200], Y[:200], method="bootstrap", n_bootstrap=20)
    draws = some.replicates[:, 0, 1] - some.replicates[:, 1, 1]
    row = some.hypotheses("1:age = 2:age", conf_level=0.8).iloc[0]
    np.testing.assert_allclose(row[["lower", "upper"]], np.quantile(draws, [0.1, 0.9]))
    with pytest.raises(ValueError, match="conf_level must be between"):
        ridge.hypotheses("1:age", conf_level=95)
