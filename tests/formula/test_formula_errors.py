"""What FormulaTransformer refuses, and what its errors say."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from skmaxent import FormulaTransformer

DATA = pd.DataFrame(
    {
        "age": [20, 30, 40, 50, 60, 70],
        "region": ["north", "south", "west", "north", "south", "west"],
        "income": [1.0, 5.0, 2.0, 8.0, 3.0, 0.0],
        "cost.of.living": [3.0, 1.0, 2.0, 6.0, 5.0, 4.0],
        "born": pd.date_range("1990-01-01", periods=6, freq="YS"),
    }
)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("age +", "is not a valid formula: Operator"),
        ("age region", "is not a valid formula"),
        ("age)", "is not a valid formula"),
        ("region == 'north'", "is not a valid formula"),
        ("age ~ region", "has a response or several parts.*from_formula"),
        ("age | region", "has a response or several parts"),
        ("age + offset(income)", "has an offset.*argument offset"),
        ("height", r"uses \['height'\], which X has no column of.*'age'"),
        ("age + log(height)", r"uses \['height'\]"),
        ("bs(cost.of.living, 4)", r"Inside of functions write `cost.of.living` in backticks"),
        ("born.dt.year", r"Write {born.dt.year} in braces"),
        ("C", r"uses \['C'\]"),
        ("double(age)", r"'double' is not defined.*context=\{'name': function\}"),
        ("I(age^2)", r"Write \*\* for a power"),
        ("np.mean(age)", "has a single value; expected one for each of 6 rows"),
        ("np.unique(region)", "has 3 values; expected one for each of 6 rows"),
        ("np.where(age > 40, 'old', 'young')", r"dtype <U5; expected numbers. Write C\(...\)"),
        ("born", "is of the dtype datetime64.*expected numbers"),
        ("C(region, levels=['north', 'west'])", r"lack the values \['south'\]"),
    ],
)
def test_formulas_that_are_refused(formula, message):
    with pytest.raises(ValueError, match=message):
        FormulaTransformer(formula).fit(DATA)


@pytest.mark.parametrize(
    "formula",
    [
        "I(income - income.mean())",
        "{age / age.max()}",
        "I(age.rank())",
        "I(age.cumsum())",
        "C(income > income.median())",
    ],
)
def test_terms_that_would_depend_on_other_rows(formula):
    """Predictions for one row would differ from those for the same row among others."""
    with pytest.raises(ValueError, match="depends on which rows are transformed together"):
        FormulaTransformer(formula).fit(DATA)


def test_columns_that_formulaic_would_mix_up():
    frame = DATA.assign(**{"my age": DATA["age"], "my_age": DATA["income"]})
    with pytest.raises(ValueError, match="'my age' and 'my_age' cannot be told apart"):
        FormulaTransformer("scale(`my age`) + scale(my_age)").fit(frame)
    one = FormulaTransformer("scale(`my age`) + center(`my age`)").fit(frame)
    expected = FormulaTransformer("scale(age) + center(age)").fit_transform(DATA)
    np.testing.assert_array_equal(one.transform(frame), expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (DATA.assign(region="east"), r"C\(region\) has the levels \['east'\].*knows \['north', "),
        (DATA.drop(columns=["age", "region"]), r"X lacks the columns \['age', 'region'\]"),
        (DATA.assign(age="old"), "age is categories, and was numbers in the fit"),
        (DATA.assign(age=None), r"missing.*in 6 of 6 rows: age in 6"),
        (DATA.assign(region=[None, *DATA["region"][1:]]), r"in 1 of 6 rows: region in 1"),
        (DATA.assign(income=[np.nan] * 2 + [1.0] * 4), r"in 2 of 6 rows: income in 2"),
        (DATA.assign(income=np.inf), r"in 6 of 6 rows: bs\(income, 3\) in 6"),
        (DATA.iloc[:0], "no rows"),
        (pd.concat([DATA, DATA[["age"]]], axis=1), "several columns of the name 'age'"),
        (DATA.assign(age=[1, "a", 2, 3, 4, 5]), "'age' has values of the types int and str"),
        (DATA.assign(age=1j), "'age' holds complex numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_rows_that_are_refused(changed, message):
    columns = FormulaTransformer("age + C(region) + bs(income, 3)").fit(DATA)
    with pytest.raises(ValueError, match=message):
        columns.transform(changed)


def test_missing_values_in_a_fit_are_counted():
    frame = DATA.assign(age=[np.nan, *DATA["age"][1:]], region=[None, None, *DATA["region"][2:]])
    message = (
        "missing values (NaN or None) in 2 of 6 rows: age in 1, region in 2. The first are [0, 1]"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        FormulaTransformer("age + region").fit(frame)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_values_that_a_function_lacks_are_counted():
    with pytest.raises(ValueError, match=r"in 2 of 6 rows: log\(age - 35\) in 2"):
        FormulaTransformer("log(age - 35)").fit(DATA)


def test_a_formula_may_replace_missing_values():
    frame = DATA.assign(region=[None, *DATA["region"][1:]])
    columns = FormulaTransformer("region.fillna('unknown')").fit(frame)
    assert columns.transform(frame.iloc[[0]]).to_numpy().tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_infinite_values_are_refused():
    with pytest.raises(ValueError, match=r"log\(income\) is infinite in 1 rows.*\[5\]"):
        FormulaTransformer("log(income)").fit(DATA)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("kind", [np.float32, np.float16, pd.arrays.SparseArray])
def test_infinite_values_are_refused_in_any_kind_of_column(kind):
    columns = FormulaTransformer("kind(log(income))", context={"kind": kind})
    with pytest.raises(ValueError, match=r"kind\(log\(income\)\) is infinite in 1 rows.*\[5\]"):
        columns.fit(DATA)
    np.testing.assert_allclose(
        columns.fit_transform(DATA[:5]).to_numpy().ravel(), np.log(DATA["income"][:5]), rtol=2e-3
    )


@pytest.mark.parametrize("sparse_output", [False, True])
def test_sparse_matrices_are_refused(sparse_output):
    def kind(x):
        return sparse.csc_matrix(np.asarray(x)[:, None])

    columns = FormulaTransformer("kind(age)", context={"kind": kind}, sparse_output=sparse_output)
    with pytest.raises(ValueError, match=r"kind\(age\) is a SciPy sparse matrix.*toarray"):
        columns.fit(DATA)


@pytest.mark.parametrize("X", [np.ones((3, 2)), [[1, 2]], {"age": [1, 2]}, DATA["age"]], ids=type)
def test_what_is_no_data_frame(X):
    with pytest.raises(TypeError, match=r"expected a data frame"):
        FormulaTransformer("age").fit(X)


def test_parameters_of_wrong_types():
    with pytest.raises(ValueError, match="'formula' parameter"):
        FormulaTransformer(3).fit(DATA)
    with pytest.raises(ValueError, match="'context' parameter"):
        FormulaTransformer("age", context=3).fit(DATA)
