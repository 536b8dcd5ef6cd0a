"""Effects of fits to tables and sets of labels, encoded targets, single precision and times."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.compose import make_column_transformer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from skmaxent import MaxentClassifier, datagrid, infer

RNG = np.random.default_rng(0)
N = 120
X = pd.DataFrame({"a": RNG.normal(size=N), "g": RNG.choice(["u", "v", "w"], N)})
Y = RNG.choice([*"pqr"], N)
COUNTS = RNG.integers(0, 6, (N, 3))
COUNTS[COUNTS.sum(axis=1) == 0, 0] = 1
ML = {"C": np.inf, "tol": 1e-10}


def columns():
    return make_column_transformer(
        (OneHotEncoder(drop="first"), ["g"]),
        (SplineTransformer(n_knots=4, include_bias=False), ["a"]),
    )


@pytest.fixture(scope="module")
def tables():
    """The results of a weighted table, and of a row for each label with a positive count."""
    weights = np.random.default_rng(1).uniform(0.5, 2.0, N)
    model = make_pipeline(columns(), MaxentClassifier(**ML))
    model.fit(X, COUNTS, maxentclassifier__sample_weight=weights)
    of_table = infer(model, X, COUNTS, weights)
    rows, y = X.loc[np.repeat(X.index, 3)], np.tile(of_table.classes, N)
    w = (COUNTS * weights[:, None]).ravel()
    rows, y, w = rows[w > 0].reset_index(drop=True), y[w > 0], w[w > 0]
    # The same knots.
    other = MaxentClassifier(**ML).fit(model[0].transform(rows), y, w)
    of_rows = infer(Pipeline([("columns", model[0]), ("classifier", other)]), rows, y, w)
    return model, weights, of_table, of_rows


@pytest.mark.parametrize(
    "effect",
    [
        lambda r: r.average_predictions(),
        lambda r: r.average_predictions(by="g"),
        lambda r: r.average_comparisons(),
        lambda r: r.average_slopes(),
        lambda r: r.predictions("mean"),
        lambda r: r.predictions(datagrid(g=["u", "w"], grid_type="design_means")),
        lambda r: r.average_predictions(datagrid(g=["u", "w"], grid_type="counterfactual"), by="g"),
        lambda r: r.average_comparisons(comparison="ratio", by="g"),
    ],
)
def test_a_table_has_the_effects_of_its_labels(tables, effect):
    *_, of_table, of_rows = tables
    found, expected = effect(of_table), effect(of_rows)
    for name in ("estimate", "std_err"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-9)


def test_averages_weigh_rows_by_their_observations(tables):
    model, weights, results, _ = tables
    w = weights * COUNTS.sum(axis=1)
    expected = w @ model.predict_proba(X) / w.sum()
    np.testing.assert_allclose(results.average_predictions()["estimate"], expected, rtol=1e-8)
    equal = results.average_predictions(sample_weight=np.ones(N))["estimate"]
    np.testing.assert_allclose(equal, model.predict_proba(X).mean(axis=0), rtol=1e-8)
    loaded = pickle.loads(pickle.dumps(results))
    with pytest.raises(ValueError, match="expected sample_weight"):
        loaded.average_predictions(X)
    again = loaded.with_data(X, COUNTS, weights)
    pd.testing.assert_frame_equal(again.average_slopes(), results.average_slopes())


def test_shares_count_each_row_once():
    shares = (COUNTS + 1) / (COUNTS + 1).sum(axis=1, keepdims=True)
    model = make_pipeline(columns(), MaxentClassifier(**ML)).fit(X, shares)
    found = infer(model, X, shares).average_predictions()["estimate"]
    np.testing.assert_allclose(found, model.predict_proba(X).mean(axis=0), rtol=1e-8)


def test_sets_of_labels_have_effects_by_the_bootstrap():
    codes = np.searchsorted([*"pqr"], Y)
    sets = [{int(k), (int(k) + 1) % 3} if i % 4 == 0 else {int(k)} for i, k in enumerate(codes)]
    encode = make_column_transformer((OneHotEncoder(drop="first"), ["g"]), ("passthrough", ["a"]))
    model = make_pipeline(encode, MaxentClassifier(partial_labels=True, **ML)).fit(X, sets)
    with pytest.raises(ValueError, match="use method='bootstrap'"):
        infer(model, X, sets)
    results = infer(model, X, sets, method="bootstrap", n_bootstrap=20)

    def mean(a):
        return model.predict_proba(X.assign(a=a)).mean(axis=0)

    found = results.average_predictions(interval="bootstrap")
    np.testing.assert_allclose(found["estimate"], mean(X["a"]), rtol=1e-8)
    assert (found["lower"] < found["estimate"]).all()
    assert (found["estimate"] < found["upper"]).all()
    found = results.average_comparisons("a")["estimate"]
    np.testing.assert_allclose(found, mean(X["a"] + 0.5) - mean(X["a"] - 0.5), rtol=1e-8)
    found, h = results.average_slopes("a")["estimate"], 1e-5
    difference = (mean(X["a"] + h) - mean(X["a"] - h)) / (2 * h)
    np.testing.assert_allclose(found, difference, rtol=1e-5, atol=1e-9)


@pytest.mark.filterwarnings("ignore:`TargetEncoder.shuffle`:FutureWarning")
@pytest.mark.parametrize("is_union", [False, True])
def test_encoded_targets_have_effects_and_a_warning(is_union):
    # In a fit it encodes folds by one another, and afterwards all rows by all.
    encode = make_column_transformer((TargetEncoder(random_state=0), ["g"]))
    number = make_column_transformer(("passthrough", ["a"]))
    steps = FeatureUnion([("target", encode), ("number", number)])
    if not is_union:
        steps = make_column_transformer(
            (TargetEncoder(random_state=0), ["g"]), ("passthrough", ["a"])
        )
    y = np.where(Y == "p", "p", "q")
    model = make_pipeline(steps, MaxentClassifier(**ML)).fit(X, y)
    with pytest.warns(UserWarning, match="standard errors from the optimum"):
        results = infer(model, X, y)
    assert [len(names) for names in results.terms.values()] == [1, 1]
    found = results.average_comparisons("g").set_index(["contrast", "class"])["estimate"]
    for level in "vw":
        ends = (model.predict_proba(X.assign(g=end)).mean(axis=0) for end in (level, "u"))
        np.testing.assert_allclose(found[f"{level} - u"], np.subtract(*ends), rtol=1e-7)


@pytest.mark.filterwarnings("ignore:.*float32")
def test_slopes_through_splines_in_single_precision():
    data = X.assign(a=(100.0 * X["a"] + 3000.0).astype("float32"))
    splines = SplineTransformer(n_knots=4, include_bias=False, extrapolation="linear")
    encode = make_column_transformer(
        (OneHotEncoder(drop="first", dtype=np.float32), ["g"]),
        (make_pipeline(StandardScaler(), splines), ["a"]),
    )
    model = make_pipeline(encode, MaxentClassifier(C=np.inf)).fit(data, Y)
    assert model[0].transform(data).dtype == np.float32
    found = infer(model, data, Y).average_slopes("a")["estimate"]
    wide = data.astype({"a": float})
    coef, intercept = model[-1].coef_.astype(float), model[-1].intercept_.astype(float)

    def mean(shift):
        rows = encode.fit(wide).transform(wide.assign(a=wide["a"] + shift))
        return softmax(rows @ coef.T + intercept, axis=1).mean(axis=0)

    expected = (mean(1e-2) - mean(-1e-2)) / 2e-2
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_times_are_compared_two_at_a_time():
    days = np.random.default_rng(2).integers(0, 400, N)
    start = pd.Timestamp("2020-01-01")
    data = X.assign(when=start + pd.to_timedelta(days, "D"))
    years = FunctionTransformer(
        lambda frame: frame.apply(lambda c: (c - start).dt.days / 365.25),
        feature_names_out="one-to-one",
    )
    encode = make_column_transformer((years, ["when"]), ("passthrough", ["a"]))
    model = make_pipeline(encode, MaxentClassifier(**ML)).fit(data, Y)
    results = infer(model, data, Y)
    ends = ["2020-02-01", pd.Timestamp("2021-02-01")]  # neither need be in the data
    found = results.average_comparisons({"when": ends})
    P = [model.predict_proba(data.assign(when=pd.Timestamp(end))).mean(axis=0) for end in ends]
    np.testing.assert_allclose(found["estimate"], P[1] - P[0], rtol=1e-8)
    assert results.average_comparisons("a")["variable"].unique().tolist() == ["a"]
    for effect in (results.average_comparisons, results.average_slopes):
        with pytest.raises(ValueError, match="'when' has times, which have no unit"):
            effect()
    with pytest.raises(ValueError, match="two different values"):
        results.average_comparisons({"when": ends[:1]})
    grid = datagrid(when=[start, "2020-03-01"])
    expected = model.predict_proba(
        data.iloc[:2].assign(a=data["a"].mean(), when=[start, pd.Timestamp("2020-03-01")])
    )
    np.testing.assert_allclose(results.predictions(grid)["estimate"], expected.ravel(), rtol=1e-8)
    assert len(results.predictions(datagrid(grid_type="balanced"))) == 3


@pytest.mark.parametrize("method", ["comparisons", "average_comparisons", "slopes"])
def test_rows_in_place_of_variables_are_refused(method):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    results = MaxentClassifier(C=np.inf).fit(X, np.arange(40) % 2).infer(X, np.arange(40) % 2)
    for rows in (X.iloc[:3], X.to_numpy()):
        with pytest.raises(TypeError, match=r"variables must be names .* give them as newdata"):
            getattr(results, method)(rows)


def test_contrasts_are_not_for_slopes():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    results = MaxentClassifier(C=np.inf).fit(X, np.arange(40) % 2).infer(X, np.arange(40) % 2)
    with pytest.raises(TypeError, match=r"variables of slopes must be names .* \['a'\]"):
        results.slopes({"a": "sd"})


@pytest.mark.parametrize("results_of", ["fit", "pickle"])
def test_new_categories_may_lack_a_level_that_is_compared(results_of):
    """The level became a missing value: its comparison was zero, or an error."""
    unknown = OneHotEncoder(drop="first", handle_unknown="ignore")
    encode = make_column_transformer((unknown, ["g"]), ("passthrough", ["a"]))
    model = make_pipeline(encode, MaxentClassifier(**ML)).fit(X, Y)
    results = infer(model, X, Y)
    if results_of == "pickle":
        results = pickle.loads(pickle.dumps(results))
    rows = X[X["g"] != "w"].head(5)
    of_text = results.comparisons({"g": ["u", "w"]}, rows)
    high, low = (model.predict_proba(rows.assign(g=level)) for level in "wu")
    np.testing.assert_allclose(of_text["estimate"], (high - low).ravel(), atol=1e-12)
    assert np.abs(of_text["estimate"]).max() > 0.01
    of_categories = results.comparisons({"g": ["u", "w"]}, rows.astype({"g": "category"}))
    pd.testing.assert_frame_equal(of_categories, of_text)
