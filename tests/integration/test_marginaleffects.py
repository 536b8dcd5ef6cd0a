"""Python's marginaleffects computes from our results what these do, and what it does elsewhere."""

import marginaleffects as me
import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.formula.api as smf
from helpers.beps import DATA, ORACLES, VOTE, pipeline
from marginaleffects.datagrid import datagrid as grid_of
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmaxent import (
    MaxentClassifier,
    SurveyDesign,
    datagrid,
    from_formula,
    infer,
    to_marginaleffects,
)

# marginaleffects calls a method that polars 2 has no longer.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:`cat.get_categories\(\)` is deprecated:DeprecationWarning"
)
# Their standard errors are from forward differences by the coefficients.
ERRORS = 2e-5


@pytest.fixture(scope="module")
def results():
    # Coefficients of another reference than the first class.
    return infer(pipeline().fit(DATA, VOTE), DATA, VOTE, reference="Labour")


def assert_same(theirs, ours, *keys, errors=ERRORS):
    """Tables have the same estimates and errors in the rows that the keys name."""
    theirs = pd.DataFrame(theirs.to_dict(as_series=False))
    theirs = theirs.rename(columns={"term": "variable", "group": "class", "std_error": "std_err"})
    theirs = theirs.rename(columns={"conf_low": "lower", "conf_high": "upper"})
    ours = ours.assign(**{"class": ours["class"].astype(str)})
    keys = [*keys, "class"]
    found, expected = (
        table.astype(dict.fromkeys(keys, str)).sort_values(keys).reset_index(drop=True)
        for table in (theirs, ours)
    )
    assert found[keys].values.tolist() == expected[keys].values.tolist()
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-7, atol=1e-10)
    scale = expected["std_err"].max()
    for name in ("std_err", "lower", "upper"):
        np.testing.assert_allclose(
            found[name], expected[name], rtol=errors, atol=errors * scale, err_msg=name
        )


@pytest.mark.parametrize(
    "options",
    [
        {"cov_type": "cluster", "groups": np.arange(len(DATA)) % 9, "use_t": True},
        {"design": SurveyDesign(psu=np.arange(len(DATA)) % 9)},
    ],
)
def test_few_clusters_have_quantiles_of_student(options):
    few = infer(pipeline().fit(DATA, VOTE), DATA, VOTE, **options)
    # With the default step of their differences, standard errors consist of rounding from 7e-5 on;
    # for steps of 1e-8, 1e-7 and 1e-6 they differ from ours by up to 1e-5, 3e-6 and 3e-5.
    theirs = me.avg_comparisons(to_marginaleffects(few), variables="age", eps_vcov=1e-7)
    ours = few.average_comparisons("age")
    assert_same(theirs, ours)
    p_values = theirs.to_pandas().sort_values("group")["p_value"]
    np.testing.assert_allclose(p_values, ours.sort_values("class")["p_value"], rtol=1e-3)


def test_predictions(results):
    model = to_marginaleffects(results)
    assert_same(me.avg_predictions(model), results.average_predictions())
    by = me.avg_predictions(model, by="gender")
    assert_same(by, results.average_predictions(by="gender"), "gender")
    grid = me.predictions(model, newdata=grid_of(model, age=[20, 40]))
    assert_same(grid, results.predictions(datagrid(age=[20, 40])), "age")
    assert_same(me.predictions(model, newdata="mean"), results.predictions("mean"))
    balanced = me.avg_predictions(model, newdata="balanced", by="gender")
    ours = results.average_predictions(datagrid(grid_type="balanced"), by="gender")
    assert_same(balanced, ours, "gender")


def test_predictions_of_rows(results):
    few = DATA.iloc[100:110]
    model = to_marginaleffects(results)
    theirs = me.predictions(model, newdata=pl.from_pandas(few))
    ours = results.predictions(few.reset_index(drop=True)).rename(columns={"row": "rowid"})
    assert_same(theirs, ours, "rowid")


def test_comparisons(results):
    model = to_marginaleffects(results)
    assert_same(me.avg_comparisons(model), results.average_comparisons(), "variable")
    ratio = me.avg_comparisons(model, variables={"age": "sd"}, comparison="ratio")
    assert_same(ratio, results.average_comparisons({"age": "sd"}, comparison="ratio"))
    by = me.avg_comparisons(model, variables="gender", by="political.knowledge")
    ours = results.average_comparisons("gender", by="political.knowledge")
    assert_same(by, ours, "political.knowledge")


def test_slopes(results):
    model = to_marginaleffects(results)
    names = ["age", "Europe"]  # Europe is in an interaction
    # Their derivatives by the variable are differences too.
    theirs = me.avg_slopes(model, variables=names)
    found = theirs.to_dict(as_series=False)
    ours = results.average_slopes(names).set_index(["variable", "class"])
    for term, group, estimate, error in zip(
        found["term"], found["group"], found["estimate"], found["std_error"], strict=True
    ):
        row = ours.loc[(term, group)]
        assert estimate == pytest.approx(row["estimate"], rel=1e-3, abs=1e-6)
        assert error == pytest.approx(row["std_err"], rel=1e-2)


def test_hypotheses(results):
    model = to_marginaleffects(results)
    table = me.hypotheses(model, "b1 - b2 = 0").to_dict(as_series=False)
    b, V = results.coef.ravel(), results.cov_params().to_numpy()
    a = np.eye(len(b))[1] - np.eye(len(b))[2]
    assert table["estimate"][0] == pytest.approx(a @ b, rel=1e-8)
    assert table["std_error"][0] == pytest.approx(np.sqrt(a @ V @ a), rel=1e-5)
    summary = results.summary()
    every = me.hypotheses(model).to_dict(as_series=False)
    np.testing.assert_allclose(every["std_error"], summary["std_err"], rtol=1e-5)
    np.testing.assert_allclose(every["p_value"], summary["p_value"], atol=1e-7)
    assert every["term"][0] == ":".join(map(str, summary.index[0]))


def test_formulas_with_splines_and_interactions():
    data = DATA.assign(vote=VOTE, knows=pd.Categorical(DATA["political.knowledge"] > 1))
    pipe = from_formula("vote ~ bs(age, 4) * gender + knows + Europe", data, tol=1e-10)
    results = infer(pipe, data, VOTE, cov_type="HC0")
    model = to_marginaleffects(results)
    assert set(model.find_predictors()) == {"age", "gender", "Europe", "knows"}
    assert_same(me.avg_predictions(model), results.average_predictions())
    theirs = me.avg_comparisons(model, variables={"age": [30, 60]})
    assert_same(theirs, results.average_comparisons({"age": [30, 60]}), "variable")
    assert_same(
        me.avg_comparisons(model, variables=["gender", "knows"]),
        results.average_comparisons(["gender", "knows"]),
        "variable",
    )


def made(n=200, n_classes=3):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "size": rng.normal(1e3, 2.0, n),
            "grade": rng.choice([1, 2, 5], n),
            "kind": pd.Categorical(rng.choice(["b", "a"], n), categories=["b", "a", "z"]),
            "is_new": rng.random(n) < 0.5,
            "unused": rng.choice(["x", None], n),
        }
    )
    y = rng.choice([10, 9, 8][:n_classes], n)
    columns = make_column_transformer(
        (OneHotEncoder(drop="first"), ["grade", "kind"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["size"]),
        ("passthrough", ["is_new"]),
    )
    return X, y, make_pipeline(columns, MaxentClassifier(C=np.inf, tol=1e-10))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("reference", [None, "symmetric"])
def test_weights_offsets_levels_and_missing_values(n_classes, reference):
    X, y, pipe = made(n_classes=n_classes)
    rng = np.random.default_rng(1)
    X.loc[3, "size"] = np.nan
    weights = rng.integers(1, 4, len(y)).astype(float)
    offset = rng.normal(size=len(y) if n_classes == 2 else (len(y), 3))
    fitted = {"maxentclassifier__sample_weight": weights, "maxentclassifier__offset": offset}
    results = infer(pipe.fit(X, y, **fitted), X, y, weights, offset, reference=reference)
    model = to_marginaleffects(results)
    theirs = me.avg_predictions(model, wts="sample_weight")
    assert_same(theirs, results.average_predictions())
    equal = me.avg_predictions(model)
    assert_same(equal, results.average_predictions(sample_weight=np.ones(len(y))))
    theirs = me.avg_comparisons(model, wts="sample_weight", variables=["kind", "is_new"])
    assert_same(theirs, results.average_comparisons(["kind", "is_new"]), "variable")
    theirs = me.avg_comparisons(model, wts="sample_weight", variables="grade")
    theirs_by = pd.DataFrame(theirs.to_dict(as_series=False))
    assert set(theirs_by["contrast"]) == {"2 - 1", "5 - 1"}  # levels of a one-hot encoder
    assert_same(theirs, results.average_comparisons("grade"), "contrast")
    with pytest.raises(ValueError, match="newdata needs the offsets"):
        me.predictions(model, newdata=pl.from_pandas(X.drop(columns="unused").iloc[:2]))


def test_arrays_have_columns_as_variables():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(90, 3)), rng.choice([*"cab"], 90)
    results = infer(MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y), X, y)
    model = to_marginaleffects(results)
    assert_same(me.avg_predictions(model), results.average_predictions())
    assert_same(me.avg_comparisons(model), results.average_comparisons(), "variable")


def test_columns_far_from_zero_are_warned_of():
    rng = np.random.default_rng(3)
    X, y = pd.DataFrame({"x": 250.0 + rng.normal(size=90)}), rng.choice([*"abc"], 90)
    results = infer(MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y), X, y)
    model = to_marginaleffects(results)
    assert_same(me.avg_predictions(model), results.average_predictions(), errors=3e-3)
    far = infer(MaxentClassifier(C=np.inf, tol=1e-10).fit(X + 1e6, y), X + 1e6, y)
    with pytest.warns(UserWarning, match=r"\['x'\] have means above 300 times"):
        to_marginaleffects(far)


def test_intercepts_alone():
    data = DATA.assign(vote=VOTE)
    results = infer(from_formula("vote ~ 1", data), data, VOTE)
    found = me.avg_predictions(to_marginaleffects(results), by="gender")
    assert_same(found, results.average_predictions(by="gender"), "gender")


def test_mnlogit_of_statsmodels_is_the_same_model():
    data = pd.read_csv(ORACLES / "anes96.csv")
    data["logpop"] = np.log(data.pop("popul") + 0.1)
    data["young"] = pd.Categorical(np.where(data["age"] < 40, "yes", "no"))
    formula = "PID ~ logpop + selfLR * age + educ + income + C(young)"
    mnlogit = smf.mnlogit(formula, data).fit(disp=0, tol=1e-12, maxiter=100)
    results = infer(from_formula(formula, data, tol=1e-10), data, data["PID"])
    model = to_marginaleffects(results)
    for call in (
        me.avg_predictions,
        lambda m: me.avg_predictions(m, by="young"),
        lambda m: me.avg_comparisons(m, variables=["young", "educ"]),
        lambda m: me.avg_slopes(m, variables=["selfLR", "logpop"]),
    ):
        found, expected = (
            pd.DataFrame(call(one).to_dict(as_series=False)) for one in (model, mnlogit)
        )
        keys = [key for key in ("term", "young", "group") if key in expected]
        found, expected = (t.sort_values(keys).reset_index(drop=True) for t in (found, expected))
        np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=2e-4, atol=1e-7)
        np.testing.assert_allclose(found["std_error"], expected["std_error"], rtol=1e-2)


def test_what_it_does_not_take(results):
    import pickle

    with pytest.raises(TypeError, match="results must be of infer"):
        to_marginaleffects(pipeline())
    with pytest.raises(ValueError, match="need the rows of the fit"):
        to_marginaleffects(pickle.loads(pickle.dumps(results)))
    some = infer(pipeline().fit(DATA, VOTE), DATA, VOTE, features=["age"])
    with pytest.raises(ValueError, match="infer without features="):
        to_marginaleffects(some)
    with pytest.raises(ValueError, match="vcov must be True, False or a matrix, found 'HC3'"):
        me.avg_predictions(to_marginaleffects(results), vcov="HC3")
    X, y, pipe = made()
    with pytest.raises(ValueError, match="'sample_weight', which is the name"):
        X2 = X.rename(columns={"unused": "sample_weight"})
        fitted = pipe.fit(X2, y, maxentclassifier__sample_weight=np.ones(len(y)))
        to_marginaleffects(infer(fitted, X2, y, np.ones(len(y))))
    X2 = X.assign(kind=pd.Series([1, "1"] * 100, dtype=object))
    encode = make_column_transformer((OneHotEncoder(), ["grade"]), ("drop", ["kind"]))
    fitted = make_pipeline(encode, MaxentClassifier()).fit(X2, y)
    assert to_marginaleffects(infer(fitted, X2, y)).find_predictors() == ["grade"]
