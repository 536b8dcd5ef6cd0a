"""Names in pictures are drawn letter by letter."""

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from skmaxent import (
    CoefficientDisplay,
    CVCurveDisplay,
    MarginalEffectsDisplay,
    MaxentClassifier,
    MaxentClassifierCV,
    PathDisplay,
)

matplotlib.use("Agg")
X, y = load_wine(return_X_y=True, as_frame=True)
X = ((X - X.mean()) / X.std()).iloc[:, :4]

NAMES = {
    "mathematics": (["$x$", "$\\frac{", "a$b$c", "\\$5"], ["$a$", "$\\alpha", "b^{$2$}"]),
    "underscores": (["_x", "__", "_nolegend_", "_child0"], ["_a", "_", "__b"]),
    "TeX": (["100% {", "a\\b", "#&~^", "}\\\\"], ["%", "\\c", "{"]),
    "other letters": (["größe", "длина", "x²", "é"], ["ä", "ö", "ü"]),
    "lines": (["a\nb", " ", "\t", "c "], ["a\nb", "", " "]),
    "long": ([f"{'n' * 200}{j}" for j in range(4)], [f"{'c' * 150}{k}" for k in range(3)]),
    "like values": (["nan", "None", "inf", "-"], ["nan", "None", "True"]),
}


@pytest.fixture(autouse=True)
def figures():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture(params=NAMES)
def data(request):
    features, classes = NAMES[request.param]
    return X.set_axis(features, axis=1), np.array(classes)[y]


def drawn(display):
    """The texts of a figure, once it has been drawn without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Glyph")  # of characters that the font has not
        display.figure_.canvas.draw()
    return [text for text in display.figure_.findobj(matplotlib.text.Text) if text.get_text()]


def assert_literal(texts, names):
    for name in names:
        if name:
            found = [text for text in texts if text.get_text() == name]
            assert found, name
            assert not any(text.get_parse_math() or text.get_usetex() for text in found)


def assert_legend(display, classes):
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == list(classes)


def test_coefficients_and_effects(data):
    rows, labels = data
    results = MaxentClassifier().fit(rows, labels).infer(rows, labels, reference="symmetric")
    for display in (
        CoefficientDisplay.from_results(results),
        MarginalEffectsDisplay.from_results(results, rows),
    ):
        texts = drawn(display)
        assert_literal(texts, [*rows.columns, *np.unique(labels)])
        assert_legend(display, np.unique(labels))
        assert [text.get_text() for text in display.ax_.get_yticklabels()] == list(rows.columns)


def test_paths(data):
    rows, labels = data
    model, Cs = MaxentClassifier().fit(rows, labels), [0.1, 1.0, 10.0]
    label = np.unique(labels)[0]
    texts = drawn(PathDisplay.from_estimator(model, rows, labels, Cs=Cs, class_label=label))
    assert_literal(texts, [*rows.columns, f"coefficient, class {label}"])


def test_scores():
    model = MaxentClassifierCV(Cs=3, l1_ratios=[0.5, 1.0], cv=2).fit(X, y)
    display = CVCurveDisplay.from_estimator(model)
    assert_literal(drawn(display), ["neg_log_loss"])
    assert len(display.ax_.get_legend().get_texts()) == 4


def test_names_stay_literal_where_matplotlib_writes_tex(figures):
    rows = X.set_axis(["a_b", "100%", "x^2", "$"], axis=1)
    results = MaxentClassifier().fit(rows, y).infer(rows, y)
    with figures.rc_context({"text.usetex": True}):
        display = CoefficientDisplay.from_results(results)
    for text in (*display.ax_.get_yticklabels(), *display.ax_.get_legend().get_texts()):
        assert not text.get_usetex()


@pytest.mark.parametrize(
    "params", [{"C": np.inf}, {"penalty": None}, {"C": 1e9, "l1_ratio": 1.0}, {"C": 1e-9}]
)
def test_a_path_of_a_fit_whose_penalty_is_outside_of_it(params):
    model = MaxentClassifier(**params).fit(X, y)
    display = PathDisplay.from_estimator(model, X, y, Cs=np.geomspace(0.01, 10.0, 5))
    drawn(display)
    assert not any(text.get_text().startswith("C = ") for text in display.ax_.texts)
    assert {text.get_text() for text in display.ax_.texts} == set(X.columns)


def test_a_path_that_reaches_no_penalty_at_all():
    model = MaxentClassifierCV(Cs=[0.1, 1.0, np.inf], cv=2).fit(X, y)
    model.C_ = np.inf
    display = PathDisplay.from_estimator(model, X, y)
    drawn(display)
    np.testing.assert_allclose(display.lines_[0].get_xdata(), [0.1, 1.0])
    assert {text.get_text() for text in display.ax_.texts} == set(X.columns)


def test_an_interval_that_does_not_hold_its_estimate_is_drawn_where_it_is():
    table = pd.DataFrame(
        {"coef": [1.0, 2.0], "std_err": [0.5, 0.5], "lower": [1.2, 0.0], "upper": [3.0, 1.5]},
        index=pd.MultiIndex.from_product([[1], ["a", "b"]], names=["class", "feature"]),
    )
    display = CoefficientDisplay(table).plot()
    drawn(display)
    segments = display.containers_[0].lines[2][0].get_segments()
    np.testing.assert_allclose([part[:, 0] for part in segments], [[1.2, 3.0], [0.0, 1.5]])
    low, high = display.ax_.get_xlim()
    assert low < 0.0
    assert high > 3.0


@pytest.mark.parametrize("labels", [[False, True], [0, 1], ["1", 1]])
def test_features_may_be_called_intercept_and_alike(labels):
    names = ["Intercept", "a", "a", "Intercept"]
    values = np.add(np.arange(32.0).reshape(8, 4), [0.0, 1.0, -1.0, 1.0])
    table = pd.DataFrame(
        values,
        index=pd.MultiIndex.from_product([labels, names], names=["class", "feature"]),
        columns=["coef", "std_err", "lower", "upper"],
    )
    display = CoefficientDisplay(table).plot()
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == names[:3]
    np.testing.assert_allclose(display.containers_[1].lines[0].get_xdata(), values[4:7, 0])
    effects = MarginalEffectsDisplay(table).plot()
    assert [text.get_text() for text in effects.ax_.get_yticklabels()] == names
