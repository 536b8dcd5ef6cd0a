"""Plots of predictions, comparisons, slopes and ratios show the numbers of the tables."""

import sys
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from helpers.beps import DATA, VOTE, pipeline
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmaxent import (
    CoefficientDisplay,
    EffectsDisplay,
    MaxentClassifier,
    PredictionsDisplay,
    datagrid,
    infer,
)

matplotlib.use("Agg")
PARTIES = ["Conservative", "Labour", "Liberal Democrat"]


@pytest.fixture(scope="module")
def results():
    return infer(pipeline().fit(DATA, VOTE), DATA, VOTE)


@pytest.fixture(autouse=True)
def figures():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def drawn(display):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display.figure_.canvas.draw()
    return display


def texts(found):
    return [text.get_text() for text in found]


def test_lines_and_bands_over_a_number(results):
    display = drawn(PredictionsDisplay.from_results(results, "age", n_points=4, conf_level=0.9))
    ages = np.linspace(DATA["age"].min(), DATA["age"].max(), 4)
    expected = results.predictions(datagrid(age=ages), interval="logit", conf_level=0.9)
    (ax,), (lines,) = display.axes_, display.artists_
    for line, band, party in zip(lines, ax.collections, PARTIES, strict=True):
        rows = expected[expected["class"] == party]
        np.testing.assert_allclose(line.get_xdata(), ages)
        np.testing.assert_allclose(line.get_ydata(), rows["estimate"])
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(rows["lower"].min())
        assert heights.max() == pytest.approx(rows["upper"].max())
    assert ax.get_xlabel() == "age"
    assert ax.get_ylabel() == "probability, 90 % interval"
    assert texts(ax.get_legend().get_texts()) == PARTIES


def test_stacked_areas_add_up_to_one_in_panels(results):
    grid = datagrid(grid_type="counterfactual", age=[30, 60])
    display = PredictionsDisplay.from_results(
        results, "age", by="gender", newdata=grid, kind="stacked"
    )
    drawn(display)
    assert [ax.get_title() for ax in display.axes_] == ["gender = female", "gender = male"]
    expected = results.predictions(
        datagrid(grid_type="counterfactual", age=[30, 60], gender=["male"]), by=["age", "gender"]
    )
    (_, areas) = display.artists_
    for k, area in enumerate(areas):
        top = area.get_paths()[0].vertices[:, 1].max()
        sums = expected[expected["class"].isin(PARTIES[: k + 1])].groupby("age")["estimate"].sum()
        assert top == pytest.approx(sums.max())
    assert texts(display.axes_[-1].get_legend().get_texts()) == PARTIES[::-1]


@pytest.mark.parametrize("kind", ["lines", "stacked"])
def test_levels_of_a_factor(results, kind):
    display = PredictionsDisplay.from_results(results, "gender", kind=kind, interval="delta")
    (ax,), (artists,) = drawn(display).axes_, display.artists_
    expected = results.predictions(datagrid(gender=["female", "male"]))
    rows = expected[expected["class"] == "Labour"]
    assert texts(ax.get_xticklabels()) == ["female", "male"]
    if kind == "stacked":
        np.testing.assert_allclose([bar.get_height() for bar in artists[1]], rows["estimate"])
        assert artists[2][0].get_y() + artists[2][0].get_height() == pytest.approx(1.0)
        return
    points, _, (bars,) = artists[1].lines
    np.testing.assert_allclose(points.get_ydata(), rows["estimate"])
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, rows[["lower", "upper"]])


def test_rows_of_a_frame_are_averaged_by_their_values(results):
    display = PredictionsDisplay.from_results(results, "Europe", newdata=DATA)
    expected = results.average_predictions(by="Europe")
    expected = expected[expected["class"] == "Labour"]
    line = display.artists_[0][1]
    np.testing.assert_allclose(line.get_xdata(), expected["Europe"])
    np.testing.assert_allclose(line.get_ydata(), expected["estimate"])


def test_numbers_with_many_values_have_their_quartiles_as_panels(results, figures):
    axes = figures.subplots(1, 3)[1]
    display = PredictionsDisplay.from_results(results, "gender", by="age", ax=axes)
    assert list(display.axes_) == list(axes)
    quartiles = DATA["age"].quantile([0.25, 0.5, 0.75])
    assert [ax.get_title() for ax in axes] == [f"age = {value:g}" for value in quartiles]
    with pytest.raises(ValueError, match="ax has 1 axes; expected 3"):
        PredictionsDisplay.from_results(results, "gender", by="age", ax=axes[0])


def test_comparisons_and_slopes(results):
    display = drawn(EffectsDisplay.from_results(results, ["gender", "age"]))
    expected = results.average_comparisons(["gender", "age"])
    rows = expected[expected["class"] == "Labour"]
    points, _, (bars,) = display.containers_[1].lines
    np.testing.assert_allclose(points.get_xdata(), rows["estimate"])
    ends = [segment[:, 0] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, rows[["lower", "upper"]])
    names = texts(display.ax_.get_yticklabels())
    assert names == ["gender: male - female", "age: +1"]
    for step, name in [(-2.5, "-2.5"), ("sd", "+1 sd"), ("2sd", "+2 sd"), ("iqr", "Q3 - Q1")]:
        steps = EffectsDisplay.from_results(results, {"age": step})
        assert texts(drawn(steps).ax_.get_yticklabels()) == [f"age: {name}"]
    slopes = drawn(EffectsDisplay.from_results(results, ["age", "Europe"], kind="slopes"))
    assert texts(slopes.ax_.get_yticklabels()) == ["age", "Europe"]
    expected = results.average_slopes(["age", "Europe"])
    np.testing.assert_allclose(
        slopes.containers_[0].lines[0].get_xdata(),
        expected.loc[expected["class"] == "Conservative", "estimate"],
    )


def test_ratios_by_groups_have_their_line_at_one(results):
    display = EffectsDisplay.from_results(results, "Europe", by="gender", comparison="ratio")
    names = texts(drawn(display).ax_.get_yticklabels())
    assert names == [f"Europe: +1, gender = {g}" for g in ("female", "male")]
    assert display.ax_.get_xlabel() == "ratio of the probabilities, 95 % interval"
    vertical = [line for line in display.ax_.lines if set(line.get_xdata()) == {1.0}]
    assert len(vertical) == 1


@pytest.mark.parametrize("reference", ["Labour", "symmetric"])
def test_coefficients_as_ratios(results, reference):
    columns = pipeline().fit(DATA, VOTE)
    results = infer(columns, DATA, VOTE, reference=reference)
    display = drawn(CoefficientDisplay.from_results(results, exponentiate=True))
    interval = np.exp(results.conf_int().loc["Conservative"].iloc[:-1])
    points, _, (bars,) = display.containers_[0].lines
    np.testing.assert_allclose(points.get_xdata(), np.exp(results.coef[0, :-1]))
    np.testing.assert_allclose([segment[:, 0] for segment in bars.get_segments()], interval)
    assert display.ax_.get_xscale() == "log"
    named = {"Labour": "Labour", "symmetric": "the mean of all classes"}[reference]
    assert display.ax_.get_xlabel() == f"relative risk ratio against {named}, 95 % interval"
    assert [line for line in display.ax_.lines if set(line.get_xdata()) == {1.0}]


def test_odds_ratios_without_bounds_are_drawn():
    table = pd.DataFrame(
        {
            "coef": [900.0, 1.0, -900.0],
            "std_err": [1.0] * 3,
            "lower": [-1e4, 0.0, -np.inf],
            "upper": [np.inf, 2.0, 9.0],
        },
        index=pd.MultiIndex.from_product([["$b$"], ["x", "y", "z"]], names=["class", "feature"]),
    )
    display = drawn(CoefficientDisplay(table, exponentiate=True, reference="$a$").plot())
    assert display.ax_.get_xlabel() == "odds ratio against $a$, 95 % interval"


@pytest.fixture(scope="module")
def hostile():
    """Results with many classes, and names that matplotlib or the tables might misread."""
    rng = np.random.default_rng(0)
    levels = ["_a long level", "$b$", "lower", "c_c", "a very very long name of a level"]
    X = pd.DataFrame({"estimate": rng.normal(size=400), "class": rng.choice(levels, 400)})
    y = np.array([f"_class ${i}$" for i in range(12)])[rng.integers(0, 12, 400)]
    columns = make_column_transformer((OneHotEncoder(), ["class"]), remainder="passthrough")
    return infer(make_pipeline(columns, MaxentClassifier()).fit(X, y), X, y)


@pytest.mark.parametrize("kind", ["lines", "stacked"])
def test_names_are_literal_and_classes_have_colours_of_their_own(hostile, kind):
    for variable, by in [("estimate", "class"), ("class", "estimate")]:
        display = PredictionsDisplay.from_results(hostile, variable, by=by, kind=kind, n_points=3)
        legend = next(ax.get_legend() for ax in drawn(display).axes_ if ax.get_legend())
        assert sorted(texts(legend.get_texts())) == sorted(hostile.classes)
        assert not any(text.get_parse_math() for text in legend.get_texts())
        assert not any(ax.title.get_parse_math() for ax in display.axes_)
    levels = display.axes_[0].get_xticklabels()
    assert "$b$" in texts(levels)
    assert not any(label.get_parse_math() for label in levels)
    effects = drawn(EffectsDisplay.from_results(hostile, "class", by="class"))
    colours = {tuple(c.lines[2][0].get_color()[0]) for c in effects.containers_}
    assert len(colours) == 12


def test_variables_with_names_of_the_columns_of_the_table_keep_their_values(hostile):
    found = hostile.predictions(datagrid(estimate=[0.5]))
    assert found["estimate_of_data"].tolist() == [0.5] * 12
    assert found["estimate"].sum() == pytest.approx(1.0)


def test_arguments_that_cannot_be_drawn(results):
    cases = [
        (PredictionsDisplay, {"variable": "income"}, "variable is 'income'; expected one of"),
        (PredictionsDisplay, {"variable": "age", "by": "age"}, "by is 'age'"),
        (PredictionsDisplay, {"variable": "age", "by": "income"}, "by is 'income'"),
        (PredictionsDisplay, {"variable": "age", "kind": "area"}, "kind must be one of"),
        (
            PredictionsDisplay,
            {"variable": "age", "n_points": 1},
            "n_points must be an integer of at least 2, found 1",
        ),
        (
            PredictionsDisplay,
            {"variable": "age", "n_points": 9.5},
            r"n_points must be an integer of at least 2, found 9\.5",
        ),
        (
            PredictionsDisplay,
            {"variable": "age", "n_points": "9"},
            "n_points must be an integer of at least 2, found '9'",
        ),
        (CoefficientDisplay, {"exponentiate": "no"}, "exponentiate must be True or False"),
        (CoefficientDisplay, {"exponentiate": None}, "exponentiate must be True or False"),
        (PredictionsDisplay, {"variable": "age", "hypothesis": "pairwise"}, "hypothesis"),
        (EffectsDisplay, {"kind": "predictions"}, "kind must be one of"),
        (EffectsDisplay, {"hypothesis": "pairwise"}, "hypothesis"),
    ]
    for display, arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            display.from_results(results, **arguments)
    with pytest.raises(ValueError, match="effect must be one of"):
        EffectsDisplay(results.average_slopes("age"), effect="slope")
    with pytest.raises(ValueError, match="table has no columns"):
        EffectsDisplay(results.average_predictions())


def test_without_matplotlib_the_message_says_what_to_do(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for draw in (
        lambda: PredictionsDisplay.from_results(results, "gender"),
        lambda: EffectsDisplay.from_results(results, "gender"),
    ):
        with pytest.raises(ImportError, match="pip install matplotlib"):
            draw()
