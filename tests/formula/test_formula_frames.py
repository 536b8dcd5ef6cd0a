"""Columns of formulas from frames of several libraries and dtypes."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmaxent import FormulaTransformer, MaxentClassifier

FORMULA = "age * region + C(code) + flag + bs(income, 3)"


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    n = 40
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "region": rng.choice(["north", "south", "west"], n),
            "code": rng.integers(1, 4, n),
            "flag": rng.random(n) < 0.5,
            "income": rng.lognormal(3.0, 1.0, n),
        }
    )


def as_arrow(frame):
    return pa.Table.from_pandas(frame, preserve_index=False)


@pytest.mark.parametrize("convert", [pl.from_pandas, as_arrow], ids=["polars", "pyarrow"])
def test_other_libraries(data, convert):
    columns = FormulaTransformer(FORMULA)
    expected = columns.fit_transform(data)
    frame = convert(data)
    assert_allclose(columns.transform(frame).to_pandas(), expected)
    made = FormulaTransformer(FORMULA).fit_transform(frame)
    assert type(made) is type(frame)
    assert made.to_pandas().columns.tolist() == expected.columns.tolist()
    assert_allclose(made.to_pandas(), expected)
    assert columns.fit(frame).feature_names_in_.tolist() == data.columns.tolist()


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("convert", [pl.from_pandas, pd.DataFrame], ids=["polars", "pandas"])
def test_set_output_of_either_library(data, convert, library):
    columns = FormulaTransformer(FORMULA).set_output(transform=library)
    made = columns.fit_transform(convert(data))
    assert type(made).__module__.startswith(library)
    assert list(made.columns) == columns.get_feature_names_out().tolist()
    assert_allclose(np.asarray(made), FormulaTransformer(FORMULA).fit_transform(data))


def test_levels_of_polars_enums_keep_their_order():
    levels = pl.Enum(["west", "south", "north"])
    frame = pl.DataFrame({"region": ["south", "west", "north"]}, schema={"region": levels})
    columns = FormulaTransformer("region").fit(frame)
    assert columns.get_feature_names_out().tolist() == ["region[T.south]", "region[T.north]"]
    for kind in (pl.Categorical, pl.String):
        columns = FormulaTransformer("region").fit(frame.cast({"region": pl.String}).cast(kind))
        assert columns.get_feature_names_out().tolist() == ["region[T.south]", "region[T.west]"]


def test_missing_values_of_polars():
    frame = pl.DataFrame({"a": [1, None, 3], "b": ["x", "y", None], "c": [True, None, False]})
    for name in frame.columns:
        with pytest.raises(ValueError, match=rf"in 1 of 3 rows: {name} in 1"):
            FormulaTransformer(name).fit(frame)
    with pytest.raises(TypeError, match="LazyFrame"):
        FormulaTransformer("a").fit(frame.lazy())


INCOMPLETE_BOOLEANS = {
    "object": pd.DataFrame({"b": [True, None, False, True]}),
    "boolean": pd.DataFrame({"b": pd.array([True, None, False, True], dtype="boolean")}),
    "polars": pl.DataFrame({"b": [True, None, False, True]}),
}


@pytest.mark.parametrize("kind", INCOMPLETE_BOOLEANS)
@pytest.mark.parametrize(
    ("formula", "name"),
    [
        ("b.fillna(False)", "b.fillna(False)"),
        ("C(b.fillna(False))", "C(b.fillna(False))[T.True]"),
    ],
)
def test_missing_booleans_that_a_formula_replaces(kind, formula, name):
    """The columns are those of complete booleans, whichever rows and library the fit had."""
    incomplete = INCOMPLETE_BOOLEANS[kind]
    complete = pd.DataFrame({"b": [True, False, False, True]})
    for fitted in (incomplete, complete):
        columns = FormulaTransformer(formula).fit(fitted)
        assert columns.get_feature_names_out().tolist() == [name]
        for rows in (incomplete, complete):
            assert_array_equal(np.ravel(columns.transform(rows)), [1.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "dtypes",
    [
        {"age": "Int64", "income": "Float64", "flag": "boolean", "region": "string"},
        {"age": "float32", "code": "uint8", "region": object},
        {"age": object, "income": object, "flag": object, "code": object},
        {"region": "category", "age": "int16"},
        {"age": pd.SparseDtype(int, 0)},
    ],
)
def test_dtypes_of_pandas(data, dtypes):
    columns = FormulaTransformer(FORMULA).fit(data)
    changed = data.astype(dtypes)
    assert_allclose(columns.transform(changed), columns.transform(data), rtol=1e-6)
    assert_allclose(
        FormulaTransformer(FORMULA).fit_transform(changed), columns.transform(data), rtol=1e-6
    )


def test_a_row_taken_out_as_a_series(data):
    """Such a frame has columns of the dtype object."""
    columns = FormulaTransformer(FORMULA).fit(data)
    assert_allclose(columns.transform(data.iloc[7].to_frame().T), columns.transform(data[7:8]))


def test_categories_keep_their_order_and_their_levels_without_rows(data):
    levels = ["west", "north", "south", "east"]
    frame = data.assign(region=pd.Categorical(data["region"], levels, ordered=True))
    columns = FormulaTransformer("region").fit(frame)
    expected = ["region[T.north]", "region[T.south]", "region[T.east]"]
    assert columns.get_feature_names_out().tolist() == expected
    made = columns.transform(data)
    assert_array_equal(made["region[T.north]"], data["region"] == "north")
    assert not made["region[T.east]"].any()
    assert columns.transform(data.assign(region="east"))["region[T.east]"].all()


def test_powers_of_integers_do_not_overflow():
    frame = pd.DataFrame({"year": [1990, 2020, 2026], "pixel": np.array([3, 200, 255], np.uint8)})
    made = FormulaTransformer("I(year**6) + I(pixel**2) + poly(year, 5, raw=True)").fit_transform(
        frame
    )
    assert_allclose(made["I(year ** 6)"], [1990.0**6, 2020.0**6, 2026.0**6])
    assert_allclose(made["I(pixel ** 2)"], [9.0, 40000.0, 65025.0])
    assert_allclose(made.iloc[:, -1], [1990.0**5, 2020.0**5, 2026.0**5])


def test_levels_that_are_numbers():
    frame = pd.DataFrame({"code": [1, 2, 3, 1], "share": [0.5, 1.0, 0.5, 1.0]})
    frame["id"] = [2**53, 2**53 + 1, 2**53 + 2, 2**53]
    columns = FormulaTransformer("C(code) + factor(share) + C(id)").fit(frame)
    assert columns.get_feature_names_out().tolist() == [
        "C(code)[T.2]",
        "C(code)[T.3]",
        "factor(share)[T.1.0]",
        f"C(id)[T.{2**53 + 1}]",
        f"C(id)[T.{2**53 + 2}]",
    ]
    assert_array_equal(columns.transform(frame.astype({"code": float})), columns.transform(frame))


def test_decimals_and_fractions_are_numbers():
    frame = pd.DataFrame({"price": [Decimal("1.5"), Decimal("2.25"), Decimal("4")]})
    assert FormulaTransformer("price").fit_transform(frame)["price"].tolist() == [1.5, 2.25, 4.0]


def test_columns_with_the_names_of_functions():
    frame = pd.DataFrame({"log": [1.0, 2.0], "C": ["a", "b"], "scale": [3.0, 5.0], "np": [1, 2]})
    made = FormulaTransformer("log(scale) + C").fit_transform(frame)
    assert_allclose(made["log(scale)"], np.log([3.0, 5.0]))
    assert made["C[T.b]"].tolist() == [0.0, 1.0]
    made = FormulaTransformer("np.exp(log)").fit_transform(frame)
    assert_allclose(made["np.exp(log)"], np.exp([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"'log' is a column .* and a function in log\(scale\)"):
        FormulaTransformer("log(scale) + log").fit(frame)


def test_a_dot_is_all_columns(data):
    columns = FormulaTransformer(". - code").fit(data)
    assert list(columns.terms_) == ["age", "region", "flag", "income"]
    assert columns.transform(data.assign(more=1.0)).shape[1] == 5


def test_formulas_without_columns(data):
    for formula, has_intercept in (("1", True), ("0", False)):
        columns = FormulaTransformer(formula).fit(data)
        assert columns.transform(data[:3]).shape == (3, 0)
        assert columns.has_intercept_ == has_intercept
        assert columns.terms_ == {}


def test_frames_of_one_row_can_be_fitted():
    frame = pd.DataFrame({"age": [30.0], "region": ["north"]})
    made = FormulaTransformer("age + region").fit_transform(frame)
    assert made.to_dict("list") == {"age": [30.0]}


def test_probabilities_have_the_index_of_the_frame(data):
    from sklearn.pipeline import make_pipeline

    pipe = make_pipeline(FormulaTransformer("age + region"), MaxentClassifier())
    frame = data.set_axis([f"row {i}" for i in range(len(data))])
    pipe.fit(frame, data["flag"])
    matrix = pipe[:-1].transform(frame)
    assert pipe[-1].predict_proba_frame(matrix).index.equals(frame.index)
