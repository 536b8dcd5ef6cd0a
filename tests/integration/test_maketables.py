"""maketables' ETable has a column for each outcome of each model."""

import maketables
import numpy as np
import pytest
from helpers.beps import DATA, VOTE

from skmaxent import MaxentClassifier, from_formula, infer

BEPS = DATA.assign(vote=VOTE)


@pytest.fixture(scope="module")
def models():
    formulas = "vote ~ age", "vote ~ age * gender"
    return [infer(from_formula(text, BEPS), BEPS, VOTE) for text in formulas]


def test_outcomes_of_several_models_are_columns(models):
    table = maketables.ETable(models)
    body = table.df.loc["coef"]
    assert body.shape == (4, 4)
    for j, outcome in enumerate(models[1].rows):
        row = models[1].summary().loc[(outcome, "age:gender[T.male]")]
        cell = body.iloc[:, 2 + j].loc["age × gender=male"]
        assert cell.startswith(f"{row['coef']:.3f}")
        assert f"({row['std_err']:.3f})" in cell
    assert (body.iloc[:, 0] == "").sum() == 2  # terms that the first model has not
    figures = table.df.loc["stats"]
    assert figures.loc["Log-likelihood"].iloc[0] == f"{models[0].log_likelihood:,.2f}"
    assert figures.loc["AIC"].iloc[3] == f"{models[1].aic:,.2f}"
    assert "Labour / Conservative" in table.make(type="tex")


def test_intervals_and_a_single_model(models):
    table = maketables.ETable(models[0], coef_fmt="b* [ci95l, ci95u]")
    lower, upper = models[0].conf_int().loc[("Labour", "age")]
    assert f"[{lower:.3f}, {upper:.3f}]" in table.df.loc["coef"].loc["age"].iloc[0]


def test_results_without_p_values_have_no_stars():
    X = DATA[["age"]]
    table = maketables.ETable(MaxentClassifier().fit(X, VOTE).infer(X, VOTE))
    assert "*" not in "".join(np.ravel(table.df.loc["coef"]))
    assert table.df.loc["stats"].loc["AIC"].iloc[0] == "-"
