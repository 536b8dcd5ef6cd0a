"""from_formula: its estimates against R and statsmodels, and what becomes of its arguments."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.pipeline import Pipeline
from statsmodels.datasets import anes96
from statsmodels.formula.api import mnlogit

from skmaxent import FormulaTransformer, MaxentClassifier, from_formula

ORACLES = Path(__file__).parents[1] / "oracles"
BEPS = pd.read_csv(ORACLES / "beps.csv")
MAIN = json.loads((ORACLES / "multinom_beps.json").read_text())
SPLINES = json.loads((ORACLES / "multinom_beps_formula.json").read_text())
MAIN_FORMULA = (
    "vote ~ age + gender + economic.cond.national + economic.cond.household + Blair + Hague"
    " + Kennedy + Europe*political.knowledge"
)


def inferred(pipe, data, response):
    return pipe[-1].infer(pipe[:-1].transform(data), data[response])


def with_intercept_first(matrix):
    return np.roll(matrix, 1, axis=1)


def test_multinom_with_a_factor_and_an_interaction():
    pipe = from_formula(MAIN_FORMULA, BEPS, tol=1e-10)
    results = inferred(pipe, BEPS, "vote")
    assert_allclose(with_intercept_first(results.coef), MAIN["coef"], rtol=1e-5, atol=1e-7)
    assert_allclose(with_intercept_first(results.std_errors), MAIN["se"], rtol=1e-6)
    assert results.log_likelihood == pytest.approx(MAIN["ll"], rel=1e-12)
    names = [name.replace("gendermale", "gender[T.male]") for name in MAIN["colnames"][1:]]
    assert pipe[-1].feature_names_in_.tolist() == names
    assert pipe[0].terms_["gender"] == ["gender[T.male]"]


def test_multinom_with_splines():
    """Two of the ages of the predictions are beyond those of the fit."""
    pipe = from_formula("vote ~ bs(age, 4) + gender * Europe", BEPS, tol=1e-10)
    results = inferred(pipe, BEPS, "vote")
    assert_allclose(with_intercept_first(results.coef), SPLINES["coef"], atol=1e-6)
    assert_allclose(with_intercept_first(results.std_errors), SPLINES["std_errors"], rtol=1e-6)
    assert results.log_likelihood == pytest.approx(SPLINES["log_likelihood"], rel=1e-12)
    probabilities = pipe.predict_proba(pd.DataFrame(SPLINES["new"]))
    assert_allclose(probabilities, SPLINES["probabilities"], atol=1e-7)


def test_mnlogit_of_statsmodels():
    data = anes96.load_pandas().data.assign(region=lambda d: d["educ"].clip(2, 5).astype(int))
    formula = "vote2 ~ logpopul + C(region) * center(income) + TVnews"
    data["vote2"] = (data["PID"] // 3).astype(int)
    theirs = mnlogit(formula, data).fit(disp=0, method="newton", maxiter=100)
    results = inferred(from_formula(formula, data, tol=1e-10), data, "vote2")
    order = [*results.columns[:-1], "Intercept"]
    params = theirs.params.set_axis(theirs.model.exog_names).loc[order]
    assert_allclose(results.coef, params.T, rtol=1e-6, atol=1e-9)
    assert_allclose(
        results.std_errors, theirs.bse.set_axis(theirs.model.exog_names).loc[order].T, rtol=1e-6
    )
    assert results.log_likelihood == pytest.approx(theirs.llf, rel=1e-11)


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    n = 120
    return pd.DataFrame(
        {
            "vote": rng.choice(["left", "right", "none"], n),
            "age": rng.integers(18, 90, n),
            "region": rng.choice(["north", "south", "west"], n),
            "weight": rng.random(n) + 0.5,
            "o1": rng.normal(size=n),
            "o2": rng.normal(size=n),
        }
    )


def test_the_pipeline_is_that_of_its_steps(data):
    pipe = from_formula("vote ~ age * region", data, C=0.7, tol=1e-8)
    assert isinstance(pipe, Pipeline)
    assert list(pipe.named_steps) == ["formulatransformer", "maxentclassifier"]
    assert pipe[-1].get_params()["tol"] == 1e-8
    matrix = FormulaTransformer("age * region").fit_transform(data)
    by_hand = MaxentClassifier(C=0.7, tol=1e-8).fit(matrix, data["vote"])
    assert_array_equal(pipe[-1].coef_, by_hand.coef_)
    assert_array_equal(pipe.predict_proba(data), by_hand.predict_proba(matrix))
    assert pipe.feature_names_in_.tolist() == ["age", "region"]
    again = pipe.fit(data, data["vote"])
    assert_array_equal(again[-1].coef_, by_hand.coef_)


def test_there_is_no_penalty_by_default(data):
    assert np.isinf(from_formula("vote ~ age", data)[-1].C)
    with pytest.raises(ValueError, match=r"l1_ratio=1.0 belongs to a penalty.*finite C"):
        from_formula("vote ~ age", data, l1_ratio=1.0)
    assert from_formula("vote ~ age", data, l1_ratio=1.0, C=0.1)[-1].l1_ratio == 1.0


def test_the_intercept_is_that_of_the_formula(data):
    pipe = from_formula("vote ~ region + age - 1", data)
    assert pipe[-1].fit_intercept is False
    assert pipe[0].terms_["region"] == ["region[north]", "region[south]", "region[west]"]
    with_intercept = from_formula("vote ~ region + age", data)
    assert_allclose(pipe.predict_proba(data), with_intercept.predict_proba(data), atol=1e-5)
    for formula, given in (("vote ~ age - 1", True), ("vote ~ age", False)):
        with pytest.raises(ValueError, match=f"fit_intercept={given} contradicts"):
            from_formula(formula, data, fit_intercept=given)
    assert from_formula("vote ~ age", data, fit_intercept=True)[-1].fit_intercept


def test_weights_by_name_and_as_an_array(data):
    matrix = FormulaTransformer("age").fit_transform(data)
    expected = MaxentClassifier(C=np.inf).fit(matrix, data["vote"], data["weight"]).coef_
    unequal = MaxentClassifier(C=np.inf).fit(matrix, data["vote"]).coef_
    assert np.abs(expected - unequal).max() > 1e-4
    shuffled = data["weight"].set_axis(np.arange(len(data))[::-1])
    for weights in ("weight", data["weight"].to_numpy(), shuffled):
        found = from_formula("vote ~ age", data, sample_weight=weights)[-1].coef_
        assert_array_equal(found, expected)


def test_offsets_by_name_and_as_an_array(data):
    of_classes = {"left": "o1", "none": "o2", "right": "weight"}
    offset = data[["o1", "o2", "weight"]].set_axis(["left", "none", "right"], axis=1)
    matrix = FormulaTransformer("age").fit_transform(data)
    expected = MaxentClassifier(C=np.inf).fit(matrix, data["vote"], offset=offset)
    for given in (of_classes, offset, offset.to_numpy()):
        pipe = from_formula("vote ~ age", data, offset=given)
        assert_array_equal(pipe[-1].coef_, expected.coef_)
        assert_array_equal(
            pipe.predict_proba(data[:5], offset=offset[:5]),
            expected.predict_proba(matrix[:5], offset=offset[:5]),
        )
    with pytest.raises(ValueError, match="was fitted with an offset"):
        pipe.predict_proba(data)
    two = data[data["vote"] != "none"]
    expected = MaxentClassifier(C=np.inf).fit(two[["age"]], two["vote"], offset=two["o1"])
    assert_array_equal(from_formula("vote ~ age", two, offset="o1")[-1].coef_, expected.coef_)


def test_a_dot_leaves_out_response_weights_and_offset(data):
    pipe = from_formula("vote ~ .", data, sample_weight="weight")
    assert list(pipe[0].terms_) == ["age", "region", "o1", "o2"]
    two = data[data["vote"] != "none"]
    assert list(from_formula("vote ~ .", two, offset="o1")[0].terms_) == [
        "age", "region", "weight", "o2",
    ]  # fmt: skip
    assert from_formula("vote ~ . - o1", data)[0].feature_names_in_.tolist() == [
        "age", "region", "weight", "o2",
    ]  # fmt: skip


def test_a_table_of_counts():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(1, 9, (30, 3)), columns=["mild", "none at all", "severe"])
    table["years"] = rng.normal(size=30)
    pipe = from_formula("cbind(severe, `none at all`, mild) ~ years", table)
    counts = table[["mild", "none at all", "severe"]]
    expected = MaxentClassifier(C=np.inf).fit(table[["years"]], counts)
    assert pipe.classes_.tolist() == ["mild", "none at all", "severe"]
    assert_allclose(pipe[-1].coef_, expected.coef_, rtol=1e-10)


@pytest.mark.parametrize("name", ["my vote", "vote~1", "a.b", "C(x)"])
def test_responses_with_strange_names(data, name):
    frame = data.rename(columns={"vote": name})
    expected = from_formula("vote ~ age", data)[-1].coef_
    assert_array_equal(from_formula(f"`{name}` ~ age", frame)[-1].coef_, expected)


def test_labels_of_other_types(data):
    codes = data["vote"].map({"left": 1, "none": 2, "right": 3})
    for labels, classes in (
        (codes, [1, 2, 3]),
        (pd.Categorical(data["vote"], ["right", "none", "left"], ordered=True), None),
        (data["vote"].astype("string"), None),
    ):
        pipe = from_formula("vote ~ age", data.assign(vote=labels))
        assert pipe.classes_.tolist() == (classes or ["left", "none", "right"])
    two = from_formula("flag ~ age", data.assign(flag=codes > 1))
    assert two.classes_.tolist() == [False, True]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("age + region", "needs a response and terms"),
        ("~ age", "needs a response and terms"),
        ("vote ~", "needs a response and terms"),
        ("vote ~ age ~ region", "needs a response and terms"),
        ("party ~ age", r"response 'party' is no column.*\['party'\]"),
        ("C(vote) ~ age", r"response 'C\(vote\)' is no column"),
        ("vote + region ~ age", "is no column"),
        ("cbind(age, other) ~ region", r"\['other'\] are not among"),
        ("cbind(age) ~ region", "at least two columns of counts"),
        ("vote ~ vote + age", r"has the response \['vote'\] among its terms"),
        ("vote ~ age + offset(o1)", "has an offset"),
        ("vote ~ height", r"uses \['height'\]"),
        ("vote ~ 0", "neither terms nor an intercept"),
    ],
)
def test_formulas_that_are_refused(data, formula, message):
    with pytest.raises(ValueError, match=message):
        from_formula(formula, data)


def test_other_arguments_that_are_refused(data):
    with pytest.raises(ValueError, match=r"sample_weight names \['w'\], which are not among"):
        from_formula("vote ~ age", data, sample_weight="w")
    with pytest.raises(ValueError, match=r"offset names \['o3'\]"):
        from_formula("vote ~ age", data, offset={"left": "o1", "none": "o3", "right": "o2"})
    with pytest.raises(ValueError, match=r"offset has no columns for the classes \['right'\]"):
        from_formula("vote ~ age", data, offset={"left": "o1", "none": "o2"})
    with pytest.raises(ValueError, match=r"offset has the shape \(120,\)"):
        from_formula("vote ~ age", data, offset="o1")
    with pytest.raises(
        ValueError, match=r"na_action must be one of \['raise', 'drop'\], found 'omit'"
    ):
        from_formula("vote ~ age", data, na_action="omit")
    with pytest.raises(TypeError, match="data is a ndarray; expected a data frame"):
        from_formula("vote ~ age", data.to_numpy())
    with pytest.raises(TypeError, match="unexpected keyword argument 'family'"):
        from_formula("vote ~ age", data, family="multinomial")


@pytest.fixture
def incomplete(data):
    """Two labels, one age and one weight are missing, in three rows; and a column not used."""
    frame = data.assign(unused=np.nan, age=data["age"].astype(float))
    frame.loc[[4, 9], "vote"] = None
    frame.loc[9, "age"] = np.nan
    frame.loc[20, "weight"] = np.nan
    return frame.set_axis(np.arange(len(frame)) % 7)


def test_missing_values_are_counted(incomplete):
    message = r"3 of 120 rows with missing values \('vote' in 2, 'age' in 1, 'weight' in 1\)"
    with pytest.raises(ValueError, match=message + ".*na_action='drop'"):
        from_formula("vote ~ scale(age)", incomplete, sample_weight="weight")
    with pytest.raises(ValueError, match=r"in 1 of 118 rows: age in 1.*na_action='drop'"):
        present = incomplete[incomplete["vote"].notna()]
        present.iloc[3, present.columns.get_loc("age")] = np.nan
        from_formula("vote ~ scale(age)", present)


def test_rows_with_missing_values_are_dropped_before_anything_is_learned(incomplete):
    kept = np.delete(np.arange(120), [4, 9, 20])
    expected = from_formula("vote ~ scale(age)", incomplete.iloc[kept], sample_weight="weight")
    with pytest.warns(UserWarning, match="from_formula dropped 3 of 120 rows with missing values"):
        pipe = from_formula(
            "vote ~ scale(age)", incomplete, sample_weight="weight", na_action="drop"
        )
    assert_allclose(pipe[-1].coef_, expected[-1].coef_, rtol=1e-12)


def test_arrays_lose_the_rows_that_are_dropped(incomplete):
    kept = np.delete(np.arange(120), [4, 9])
    weights, offset = np.linspace(1.0, 2.0, 120), np.random.default_rng(0).normal(size=(120, 3))
    expected = from_formula("vote ~ age", incomplete.iloc[kept], weights[kept], offset[kept])
    with pytest.warns(UserWarning, match="dropped 2 of 120 rows"):
        pipe = from_formula("vote ~ age", incomplete, list(weights), offset, na_action="drop")
    assert_allclose(pipe[-1].coef_, expected[-1].coef_, rtol=1e-12)
    with (
        pytest.warns(UserWarning, match="dropped"),
        pytest.raises(ValueError, match="sample_weight has 5 rows; expected 120"),
    ):
        from_formula("vote ~ age", incomplete, weights[:5], na_action="drop")


def test_a_formula_may_replace_missing_values(data):
    frame = data.assign(region=data["region"].where(data["age"] > 30))
    pipe = from_formula("vote ~ region.fillna('unknown')", frame)
    assert len(pipe[0].get_feature_names_out()) == 3


def test_frames_of_polars(data):
    pipe = from_formula("vote ~ age * region", data, sample_weight="weight")
    frame = pl.from_pandas(data)
    other = from_formula("vote ~ age * region", frame, sample_weight="weight")
    assert_array_equal(other[-1].coef_, pipe[-1].coef_)
    assert_array_equal(other.predict_proba(frame), pipe.predict_proba(data))
    holes = frame.with_columns(pl.when(pl.col("age") > 30).then(pl.col("age")))
    with pytest.warns(UserWarning, match=r"dropped \d+ of 120 rows .* \('age' in"):
        dropped = from_formula("vote ~ age", holes, na_action="drop")
    expected = from_formula("vote ~ age", data[data["age"] > 30])
    assert_allclose(dropped[-1].coef_, expected[-1].coef_, rtol=1e-12)


def test_functions_of_the_user(data):
    pipe = from_formula("vote ~ decade(age)", data, context={"decade": lambda age: age // 10})
    assert_array_equal(pipe[0].transform(data)["decade(age)"], data["age"] // 10)


def test_with_metadata_routing(data):
    with config_context(enable_metadata_routing=True):
        pipe = from_formula("vote ~ age", data, sample_weight="weight")
    expected = from_formula("vote ~ age", data, sample_weight="weight")
    assert_array_equal(pipe[-1].coef_, expected[-1].coef_)
