"""R's `effects` and `emmeans` on the British election panel study."""

import numpy as np
import pytest
from helpers.beps import DATA, VOTE, R, pipeline

from skmaxent import datagrid, infer


@pytest.fixture(scope="module")
def results():
    return infer(pipeline().fit(DATA, VOTE), DATA, VOTE)


def by_class(table, column):
    return table[column].to_numpy().reshape(-1, 3)


def test_effects_at_means_of_the_design(results):
    grid = datagrid(
        grid_type="design_means",
        **{"political.knowledge": [0, 1, 2, 3], "Europe": [1, 3, 5, 7, 9, 11]},
    )
    table = results.predictions(newdata=grid, interval="logit")
    points = table[["Europe", "political.knowledge"]].to_dict("records")[::3]
    assert points == R["eff_x"]
    np.testing.assert_allclose(by_class(table, "estimate"), R["eff_prob"], rtol=1e-6)
    np.testing.assert_allclose(by_class(table, "std_err"), R["eff_se"], rtol=1e-6)
    np.testing.assert_allclose(by_class(table, "lower"), R["eff_lower"], rtol=1e-6)
    np.testing.assert_allclose(by_class(table, "upper"), R["eff_upper"], rtol=1e-6)


def test_estimated_marginal_means(results):
    table = results.predictions(newdata=datagrid(gender=["female", "male"]))
    assert table[["gender", "class"]].values.tolist() == [
        [gender, vote] for gender in ("female", "male") for vote in R["levels"]
    ]
    expected = {(row["gender"], row["vote"]): row for row in R["emm"]}
    for row in table.to_dict("records"):
        reference = expected[row["gender"], row["class"]]
        assert row["estimate"] == pytest.approx(reference["prob"], rel=1e-6)
        assert row["std_err"] == pytest.approx(reference["SE"], rel=1e-6)


def test_pairs_of_marginal_means(results):
    table = results.predictions(newdata=datagrid(gender=["female", "male"]), hypothesis="pairwise")
    expected = {row["vote"]: row for row in R["emmpairs"]}
    assert table["hypothesis"].tolist() == ["female - male"] * 3
    for row in table.to_dict("records"):
        reference = expected[row["class"]]
        assert row["estimate"] == pytest.approx(reference["estimate"], rel=1e-5)
        assert row["std_err"] == pytest.approx(reference["SE"], rel=1e-6)


def test_a_balanced_grid_has_each_level_once(results):
    balanced = results.predictions(newdata=datagrid(grid_type="balanced"))
    marginal = results.predictions(newdata=datagrid(gender=["female", "male"]))
    np.testing.assert_allclose(balanced["estimate"], marginal["estimate"], rtol=1e-12)
