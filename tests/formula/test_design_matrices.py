"""The columns of formulas are those of R's model.matrix, for the rows of the fit and for others."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skmaxent import FormulaTransformer

R = json.loads((Path(__file__).parents[1] / "oracles/model_matrix.json").read_text())
DATA = pd.DataFrame(
    {
        "age": [23, 35, 47, 51, 62, 28, 39, 44, 70, 33, 58, 66],
        "income": [12.5, 31, 18.2, 45.7, 22.1, 9.8, 60.3, 27.4, 15.9, 38.6, 52.2, 20.4],
        "region": [{"w": "west", "n": "north", "s": "south"}[letter] for letter in "wnsnwsnwsswn"],
        "code": [1, 2, 3, 1, 2, 3, 3, 2, 1, 1, 3, 2],
        "score.raw": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8],
    }
)
# Ages and incomes beyond those of the fit.
NEW = pd.DataFrame(
    {
        "age": [20, 45, 75],
        "income": [5, 33.3, 70],
        "region": ["south", "west", "north"],
        "code": [3, 1, 2],
        "score.raw": [2, 7, 4],
    }
)


@pytest.mark.parametrize("formula", R)
def test_columns_and_terms_are_those_of_model_matrix(formula):
    columns = FormulaTransformer(formula).fit(DATA)
    assert_allclose(columns.transform(DATA), R[formula]["fit"], rtol=1e-12, atol=1e-13)
    assert_allclose(columns.transform(NEW), R[formula]["new"], rtol=1e-12, atol=1e-13)
    assign = [term for term, names in enumerate(columns.terms_.values(), 1) for _ in names]
    assert assign == R[formula]["term"]


def test_booleans_are_numbers_and_factors_of_booleans_are_logicals_of_r():
    flag = DATA["age"] > 40
    data = DATA.assign(flag=flag)
    made = {
        formula: FormulaTransformer(formula).fit_transform(data).to_numpy()
        for formula in ("age:flag", "age:C(flag)", "C(flag) - 1", "age * flag", "age * C(flag)")
    }
    age = DATA["age"].to_numpy(float)
    assert_allclose(made["age:flag"], np.column_stack([age * flag]))
    # The columns of R's model.matrix for `~ age:flag` and `~ flag - 1`.
    assert_allclose(made["age:C(flag)"], np.column_stack([age * ~flag, age * flag]))
    assert_allclose(made["C(flag) - 1"], np.column_stack([~flag, flag]))
    assert_allclose(made["age * flag"], made["age * C(flag)"])


@pytest.mark.parametrize("formula", R)
def test_sparse_columns_are_the_same(formula):
    columns = FormulaTransformer(formula, sparse_output=True)
    made = columns.fit_transform(DATA)
    assert made.format == "csr"
    assert_allclose(made.toarray(), R[formula]["fit"], rtol=1e-12, atol=1e-13)
    assert_allclose(columns.transform(NEW).toarray(), R[formula]["new"], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("formula", R)
def test_rows_do_not_depend_on_order_index_or_company(formula):
    columns = FormulaTransformer(formula).fit(DATA.set_axis(list("abcdefghijkl")))
    whole = columns.transform(DATA)
    order = np.random.default_rng(0).permutation(len(DATA))
    shuffled = columns.transform(DATA.iloc[order])
    assert shuffled.index.tolist() == order.tolist()
    assert_allclose(shuffled, whole.iloc[order], rtol=1e-14)
    for row in range(len(DATA)):
        alone = columns.transform(DATA.iloc[[row]])
        assert_allclose(alone, whole.iloc[[row]], rtol=1e-14)
    backwards = columns.transform(DATA[DATA.columns[::-1]].assign(other="x"))
    assert_allclose(backwards, whole, rtol=1e-14)


def test_natural_splines_span_those_of_r():
    """R: print(splines::ns(income, knots = c(20, 40))[, 1], digits = 15), for the same incomes."""
    first_of_ns = [
        -0.0503142419681694,
        0.2535519053435309,
        -0.1048095487948640,
        0.4741122596362730,
        -0.0586666270206853,
        0.0,
        -0.1433098480522165,
        0.1098506560415115,
        -0.0959104430539732,
        0.4930800299207084,
        0.2594311815724877,
        -0.0891508143110872,
    ]
    columns = FormulaTransformer("cr(income, knots=[20, 40], constraints='center')")
    made = np.column_stack([columns.fit_transform(DATA), np.ones(len(DATA))])
    fitted = made @ np.linalg.lstsq(made, first_of_ns, rcond=None)[0]
    assert_allclose(fitted, first_of_ns, atol=1e-9)
