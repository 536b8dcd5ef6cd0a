"""Hypotheses about effects that hold, or do not, whatever the coefficients are."""

import numpy as np
import pandas as pd
import pytest

from skmaxent import MaxentClassifier, datagrid

RNG = np.random.default_rng(0)
X = pd.DataFrame({"age": RNG.normal(size=150), "member": RNG.integers(0, 2, 150)})
LOGITS = np.column_stack([np.zeros(150), X["age"], X["member"] - 0.5])
Y = np.array([*"abc"])[(LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)]
VILLAGES = np.arange(150) % 15
KINDS = [{}, {"cov_type": "CV3L", "groups": VILLAGES}, {"cov_type": "CV2", "groups": VILLAGES}]


def results(y=Y, **options):
    return MaxentClassifier(C=np.inf).fit(X, y).infer(X, y, **options)


@pytest.mark.parametrize("options", KINDS)
def test_sums_over_all_classes_are_known(options):
    found = results(**options)
    sum_of = "b0 + b1 + b2"
    one = found.average_predictions(hypothesis=f"{sum_of} = 1").loc[0]
    effect = found.average_comparisons("age", hypothesis=f"{sum_of} = 0").loc[0]
    for row in (one, effect):
        assert (row["estimate"], row["std_err"]) == (0.0, 0.0)
        assert np.isnan(row["p_value"])


def test_a_false_sum_has_no_error_and_is_no_rounding():
    row = results().average_predictions(hypothesis="b0 + b1 + b2 = 0.5").loc[0]
    assert row["std_err"] == 0.0
    assert row["estimate"] == pytest.approx(0.5, abs=1e-12)


def test_odds_ratios_of_additive_models_do_not_differ():
    found = results(Y == "a")
    grid = datagrid(age=[-2.0, 0.0, 3.0])
    table = found.comparisons("member", grid, comparison="lnor", hypothesis="pairwise")
    assert (table[["estimate", "std_err"]] == 0.0).all(axis=None)
    assert table["p_value"].isna().all()


def test_small_differences_keep_their_errors():
    """A step of 1e-6 makes the standard error of a difference small next to those of its parts."""
    found = results()
    grid = datagrid(age=[0.0, 1e-6])
    pairs = found.predictions(grid, hypothesis="revpairwise")
    slopes = found.slopes("age", newdata=datagrid(age=0.5e-6))
    np.testing.assert_allclose(pairs["std_err"], 1e-6 * slopes["std_err"], rtol=1e-5)
    np.testing.assert_allclose(pairs["estimate"], 1e-6 * slopes["estimate"], rtol=1e-5)
