"""Python's `marginaleffects` 0.6.0 on statsmodels' MNLogit for anes96, with an interaction.

The model is ``PID ~ logpop + selfLR*age + educ + income + C(young)``. Standard errors there come
from finite differences of finite differences, so those of slopes have two to three digits; the
ones here are compared with finite differences at full precision in test_delta_method.py.
"""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.beps import ORACLES
from scipy.stats import norm, t
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures

from skmaxent import MaxentClassifier, infer

EXPECTED = json.loads((ORACLES / "marginaleffects_anes96.json").read_text())


@pytest.fixture(scope="module")
def data():
    data = pd.read_csv(ORACLES / "anes96.csv")
    data["logpop"] = np.log(data.pop("popul") + 0.1)
    data["young"] = np.where(data["age"] < 40, "yes", "no")
    return data


@pytest.fixture(scope="module")
def results(data):
    X = data.drop(columns="PID")
    product = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    columns = make_column_transformer(
        (OneHotEncoder(drop="first"), ["young"]),
        ("passthrough", ["logpop", "educ", "income"]),
        (product, ["selfLR", "age"]),
    )
    model = make_pipeline(columns, MaxentClassifier(C=np.inf, tol=1e-10))
    return infer(model.fit(X, data["PID"]), X, data["PID"])


def compare(table, name, errors):
    """Estimates to 1e-7, the other columns to what the reference has of standard errors."""
    expected = pd.DataFrame(EXPECTED[name]).rename(
        columns={"term": "variable", "group": "class", "std_error": "std_err", "rowid": "row"}
    )
    expected["class"] = expected["class"].astype(int)
    shared = ["variable", "young", "row", "class"]
    keys = [key for key in shared if key in expected and key in table]
    found, expected = (
        frame.sort_values(keys, kind="stable").reset_index(drop=True) for frame in (table, expected)
    )
    assert found[keys].values.tolist() == expected[keys].values.tolist()
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-7)
    np.testing.assert_allclose(found["std_err"], expected["std_err"], rtol=errors)
    # Their distribution is Student's t with the residual degrees of freedom, 944 - 48.
    half = (
        norm.ppf(0.975) / t.ppf(0.975, 896) * 0.5 * (expected["conf_high"] - expected["conf_low"])
    )
    for column, sign in (("lower", -1.0), ("upper", 1.0)):
        difference = np.abs(found[column] - (expected["estimate"] + sign * half))
        assert (difference <= 2.0 * errors * expected["std_err"] + 1e-9).all(), column
    if "z" in found and name != "avg_ratio":  # they test whether a ratio is 0
        np.testing.assert_allclose(found["z"], expected["statistic"], rtol=errors, atol=1e-6)
        p_value = 2.0 * norm.sf(np.abs(expected["statistic"]))
        np.testing.assert_allclose(found["p_value"], p_value, rtol=100.0 * errors, atol=errors)


def test_average_predictions(results):
    compare(results.average_predictions(), "avg_predictions", 1e-6)
    compare(results.average_predictions(by="young"), "predictions_by", 1e-6)


def test_predictions_of_rows_and_at_the_mean(results, data):
    compare(results.predictions(newdata=data.head(3)), "unit", 1e-6)
    table = results.predictions(newdata="mean").assign(young="no")
    compare(table, "mean", 1e-6)


def test_average_comparisons_of_all_variables(results):
    compare(results.average_comparisons(), "avg_comparisons", 1e-4)


@pytest.mark.parametrize("comparison", ["ratio", "lnor", "lift"])
def test_comparisons_on_other_scales(results, comparison):
    table = results.average_comparisons("educ", comparison=comparison)
    compare(table, f"avg_{comparison}", 1e-5)


@pytest.mark.parametrize(
    ("contrast", "name"),
    [("sd", "sd"), ("iqr", "iqr"), ("minmax", "minmax"), ([30, 60], "two"), (10, "ten")],
)
def test_comparisons_of_chosen_values(results, contrast, name):
    compare(results.average_comparisons({"age": contrast}), name, 1e-5)


def test_average_slopes(results):
    compare(results.average_slopes(), "avg_slopes", 1e-2)
    compare(results.average_slopes("age", by="young"), "slopes_by", 1e-2)


@pytest.mark.parametrize("slope", ["eyex", "eydx", "dyex"])
def test_elasticities(results, slope):
    compare(results.average_slopes("age", slope=slope), slope, 1e-2)


def test_slopes_of_rows_and_at_the_mean(results, data):
    compare(results.slopes("age", newdata=data.head(3)), "unit_slopes", 5e-2)
    compare(results.slopes(newdata="mean"), "mean_slopes", 1e-1)


def test_an_equation_between_estimates(results):
    table = results.average_predictions(by="young")
    order = {(row["class"], row["young"]): i for i, row in enumerate(table.to_dict("records"))}
    # There estimates are sorted by class and then by group.
    pairs = [(k, young) for k in range(7) for young in ("no", "yes")]
    expected = EXPECTED["hyp"]
    a, b = order[pairs[0]], order[pairs[7]]
    found = results.average_predictions(by="young", hypothesis=f"b{a} = b{b}")
    assert found["estimate"][0] == pytest.approx(expected["estimate"][0], rel=1e-7)
    assert found["std_err"][0] == pytest.approx(expected["std_error"][0], rel=1e-6)
    assert found["z"][0] == pytest.approx(expected["statistic"][0], rel=1e-6)
