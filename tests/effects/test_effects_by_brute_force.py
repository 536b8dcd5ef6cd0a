"""Effects of variables against the pipeline's own `predict_proba`, and their arguments."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder

from skmaxent import MaxentClassifier, datagrid, infer

RNG = np.random.default_rng(0)
N = 300
X = pd.DataFrame(
    {
        "age": RNG.integers(20, 70, N),
        "income": RNG.gamma(2, 2, N),
        "region": RNG.choice([*"NSE"], N),
        "rooms": RNG.integers(1, 4, N),
    }
)
LOGITS = np.column_stack([np.zeros(N), 0.03 * X["age"] - 1.4, 0.2 * X["income"] - X["rooms"] / 2])
Y = np.array([*"abc"])[(LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)]


def pipeline(factors=("region",), numeric=("age", "income"), encoder=None):
    encoder = OneHotEncoder(drop="first") if encoder is None else encoder
    columns = make_column_transformer(
        (encoder, list(factors)), (SimpleImputer(), list(numeric)), remainder="drop"
    )
    return make_pipeline(columns, MaxentClassifier(C=np.inf, tol=1e-10))


@pytest.fixture(scope="module")
def model():
    return pipeline().fit(X, Y)


@pytest.fixture(scope="module")
def results(model):
    return infer(model, X, Y)


def means(model, frame):
    return model.predict_proba(frame).mean(axis=0)


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(drop="first"), OneHotEncoder(handle_unknown="ignore", drop="first")]
)
def test_numbers_that_are_one_hot_encoded_are_levels(encoder):
    model = pipeline(("region", "rooms"), encoder=encoder).fit(X, Y)
    results = infer(model, X, Y)
    for table in (results.average_comparisons("rooms"), results.average_slopes("rooms")):
        expected = [
            means(model, X.assign(rooms=k)) - means(model, X.assign(rooms=1)) for k in (2, 3)
        ]
        assert table["contrast"].tolist() == ["2 - 1"] * 3 + ["3 - 1"] * 3
        np.testing.assert_allclose(table["estimate"], np.ravel(expected), atol=1e-12)


def test_step_functions_have_no_slopes():
    bins = KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform")
    columns = make_column_transformer((bins, ["age"]), (OneHotEncoder(), ["region"]))
    model = make_pipeline(columns, MaxentClassifier(tol=1e-8)).fit(X, Y)
    results = infer(model, X, Y)
    with pytest.raises(ValueError, match=r"step functions of 'age'.*use comparisons"):
        results.average_slopes("age")
    table = results.average_comparisons({"age": [25, 60]})
    expected = means(model, X.assign(age=60)) - means(model, X.assign(age=25))
    np.testing.assert_allclose(table["estimate"], expected, atol=1e-12)


@pytest.mark.parametrize("is_nullable", [False, True])
def test_missing_values_that_are_imputed(is_nullable):
    data = X.astype({"age": float})
    data.loc[:20, "age"] = np.nan
    data = data.convert_dtypes() if is_nullable else data
    model = pipeline().fit(data, Y)
    results = infer(model, data, Y)
    age = data["age"]
    table = results.average_comparisons("age")
    expected = means(model, data.assign(age=age + 0.5)) - means(model, data.assign(age=age - 0.5))
    np.testing.assert_allclose(table["estimate"], expected, atol=1e-12)
    table = results.average_slopes("age")
    step = 1e-3
    rise = means(model, data.assign(age=age + step)) - means(model, data.assign(age=age - step))
    np.testing.assert_allclose(table["estimate"], rise / (2 * step), rtol=1e-6)
    typical = pd.DataFrame({"age": [age.mean()], "income": [data["income"].mean()], "region": "x"})
    typical["region"] = data["region"].mode()[0]
    table = results.predictions(newdata="mean")
    np.testing.assert_allclose(table["estimate"], model.predict_proba(typical)[0], atol=1e-12)


def test_slopes_through_single_precision():
    single = FunctionTransformer(lambda x: np.asarray(x, np.float32))
    columns = make_column_transformer((single, ["age", "income"]))
    rough = make_pipeline(columns, MaxentClassifier(C=np.inf, tol=1e-6)).fit(X, Y)
    exact = MaxentClassifier(C=np.inf).fit(X[["age", "income"]], Y)
    found = infer(rough, X, Y).average_slopes("age")
    expected = exact.infer(X[["age", "income"]], Y).average_slopes("age")
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["class", "row", "variable", "estimate", "std_err", "lower", 0])
def test_data_whose_columns_are_called_as_those_of_tables(name, results):
    data = X.rename(columns={"age": name, "region": "k", "income": "m", "rooms": "r"})
    if name == 0:
        data.columns = range(4)
    first, second, factor = data.columns[:3]
    found = infer(pipeline((factor,), (first, second)).fit(data, Y), data, Y)
    for table, expected in (
        (found.average_comparisons(first), results.average_comparisons("age")),
        (found.slopes(second, newdata="mean"), results.slopes("income", newdata="mean")),
        (found.average_predictions(by=first), results.average_predictions(by="age")),
    ):
        assert table.columns.is_unique
        np.testing.assert_allclose(table["estimate"], expected["estimate"], atol=1e-9)
        np.testing.assert_allclose(table["std_err"], expected["std_err"], rtol=1e-6)
        assert table["class"].tolist() == expected["class"].tolist()
    grid = datagrid(grid_type="counterfactual")
    assert len(found.predictions(newdata=grid)) == 3 * N


def test_variables_that_the_model_does_not_use(model):
    data = X.assign(name=[f"person {i}" for i in range(N)])
    results = infer(model.fit(data, Y), data, Y)
    assert set(results.average_comparisons()["variable"]) == {"age", "income", "region"}
    assert len(results.predictions(newdata=datagrid(grid_type="balanced"))) == 9
    assert b"person" not in pickle.dumps(results)
    results.predictions(newdata=X.head(2).drop(columns="rooms"))
    with pytest.raises(ValueError, match=r"variables has \['name'\], which no column"):
        results.comparisons("name")


def test_results_keep_their_data_and_their_model():
    data, model = X.copy(), pipeline()
    results = infer(model.fit(data, Y), data, Y)
    before = results.average_comparisons("age")
    data["age"] = 0
    model.fit(X.assign(age=2.0 * X["age"]), Y[::-1])
    pd.testing.assert_frame_equal(results.average_comparisons("age"), before)


def test_an_offset_of_zero():
    model = pipeline().fit(X, Y, maxentclassifier__offset=0)
    results = infer(model, X, Y, offset=0)
    assert len(results.predictions(newdata="mean")) == 3


def test_weights_of_the_fit_are_not_forgotten_in_silence():
    weights = RNG.integers(1, 4, N)
    model = pipeline().fit(X, Y, maxentclassifier__sample_weight=weights)
    results = infer(model, X, Y, weights)
    expected = np.average(model.predict_proba(X), axis=0, weights=weights)
    table = results.average_predictions(newdata=X.copy())
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-10)
    loaded = pickle.loads(pickle.dumps(results))
    with pytest.raises(ValueError, match="expected sample_weight, which may be 1"):
        loaded.average_predictions(newdata=X)
    table = loaded.average_predictions(newdata=X, sample_weight=weights)
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-10)


REFUSED = {
    "interval must be one of": {"interval": "bogus"},
    "interval='logit' is for predictions": {"interval": "logit"},
    "n_draws is for interval='simulation'": {"n_draws": 5},
    "random_state is for interval='simulation'": {"random_state": 5},
    "n_draws must be an integer": {"interval": "simulation", "n_draws": 1.5},
    "different columns of newdata": {"by": ["region", "region"]},
    r"found \[7\]": {"by": 7},
    "conf_level must be between 0 and 1, found .95": {"conf_level": "95"},
    "found 95": {"conf_level": 95, "interval": "simulation"},
    "hypothesis must be a finite number": {"hypothesis": np.nan},
    "hypothesis must be a finite number, found True": {"hypothesis": True},
    r"hypothesis has the shape \(2,\)": {"hypothesis": [1, 2]},
    "by=False averages none": {"sample_weight": np.ones(N), "by": False},
    "names a variable twice": {"variables": ["age", "age"]},
    "must be a number, two finite values": {"variables": {"age": ["a", "b"]}},
    "two different values": {"variables": {"age": [1, 1]}},
    "must be two of the values": {"variables": {"region": 1}},
    "two dimensions": {"newdata": {"age": [3]}},
    "expected numbers": {"newdata": datagrid(age="old")},
    "expected a value, a list": {"newdata": datagrid(age={30: 1})},
}


@pytest.mark.parametrize("message", REFUSED)
def test_arguments_are_used_or_refused(results, message):
    with pytest.raises(ValueError, match=message):
        results.average_comparisons(**REFUSED[message])


def test_an_unknown_keyword_names_the_method(results):
    with pytest.raises(TypeError, match="average_slopes"):
        results.average_slopes("age", intervall="delta")


def test_marginal_effects_warn_of_columns_that_are_no_variables(results):
    with pytest.warns(UserWarning, match=r"region_N.*use comparisons or slopes"):
        results.marginal_effects(X)
