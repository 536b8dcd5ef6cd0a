"""Plots of residuals and influence show the numbers of the table, and name the largest rows."""

import itertools
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.transforms import Bbox

from skmaxent import DiagnosticsDisplay, MaxentClassifier

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def figures():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    names = [f"$row_{i}$" for i in range(90)]
    X = pd.DataFrame(rng.normal(size=(90, 2)), columns=["a", "b"], index=names)
    y = np.array(["x", "y", "z"])[(X["a"].to_numpy() + rng.logistic(size=90) > 0.0).astype(int)]
    y[::4] = "z"
    return MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)


def drawn(display):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display.figure_.canvas.draw()
    return display


def test_points_are_those_of_the_table(results):
    display = drawn(DiagnosticsDisplay.from_results(results, n_labels=4))
    table = results.diagnostics()
    residuals, loss, distance, leverage = display.axes_
    lost = np.log(table["fitted"] / table["held_out"])
    np.testing.assert_allclose(
        loss.collections[0].get_offsets(), np.column_stack([table["fitted"], lost])
    )
    stems = np.array(distance.collections[0].get_segments())
    np.testing.assert_allclose(stems[:, 1, 1], table["cooks_distance"])
    points = table[["leverage", "pearson_residual"]].to_numpy()
    np.testing.assert_allclose(leverage.collections[0].get_offsets(), points)
    areas = leverage.collections[0].get_sizes()
    assert areas.argmax() == table["cooks_distance"].to_numpy().argmax()
    expected = table["cooks_distance"].nlargest(4).index.tolist()
    assert display.labelled_ == expected
    for axes in (loss, distance, leverage):
        assert sorted(text.get_text() for text in axes.texts) == sorted(expected)
    lines = residuals.lines[:3]
    for line, label in zip(lines, ["x", "y", "z"], strict=True):
        p = table["probability_of", label].to_numpy()
        r = table["pearson_residual_of", label].to_numpy()
        first = np.argsort(p)[:10]  # nine bins of ten rows
        assert len(line.get_xdata()) == 9
        assert line.get_xdata()[0] == pytest.approx(p[first].mean())
        assert line.get_ydata()[0] == pytest.approx(r[first].mean())
    bound = max(line.get_ydata()[0] for line in residuals.lines[3:])
    assert bound == pytest.approx(2.0 / np.sqrt(10.0))
    legend = [text.get_text() for text in loss.get_legend().get_texts()]
    assert legend == ["x", "y", "z"]


def test_given_axes(results, figures):
    _, axes = figures.subplots(2, 2)
    table = results.diagnostics()
    display = drawn(DiagnosticsDisplay(table).plot(n_labels=0, ax=axes))
    assert display.labelled_ == []
    assert display.axes_[3] is axes[1, 1]
    with pytest.raises(ValueError, match="ax has 2 axes; expected 4"):
        DiagnosticsDisplay(table).plot(ax=axes[0])
    with pytest.raises(ValueError, match="n_labels must be an integer of at least 0, found -1"):
        DiagnosticsDisplay(table).plot(n_labels=-1)


def test_the_only_row_of_a_class_and_few_rows_are_drawn():
    X = np.arange(8.0)[:, None]
    y = [0, 1, 0, 1, 0, 1, 0, 2]
    results = MaxentClassifier(C=1.0).fit(X, y).infer(X, y)
    display = drawn(DiagnosticsDisplay.from_results(results))
    assert len(display.labelled_) == 3


def test_names_of_rows_with_similar_values_do_not_overlap(results):
    display = drawn(DiagnosticsDisplay.from_results(results, n_labels=8))
    for axes in display.axes_[1:]:
        boxes = [text.get_window_extent() for text in axes.texts]
        for a, b in itertools.combinations(boxes, 2):
            shared = Bbox.intersection(a, b)
            assert shared is None or shared.height < 0.2 * a.height
