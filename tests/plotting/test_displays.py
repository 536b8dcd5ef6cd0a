"""Pictures show what was fitted, and names letter by letter."""

import sys
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
    maxent_path,
)

matplotlib.use("Agg")
X, y = load_wine(return_X_y=True, as_frame=True)
X = (X - X.mean()) / X.std()
FEW = X.iloc[:, :4]

NAMES = {
    "mathematics": (["$x$", "$\\frac{", "a$b$c", "\\$5"], ["$a$", "$\\alpha", "b^{$2$}"]),
    "underscores": (["_x", "__", "_nolegend_", "_child0"], ["_a", "_", "__b"]),
    "TeX": (["100% {", "a\\b", "#&~^", "}\\\\"], ["%", "\\c", "{"]),
    "other letters": (["größe", "длина", "x²", "é"], ["ä", "ö", "ü"]),
    "lines": (["a\nb", " ", "\t", "c "], ["a\nb", "", " "]),
    "long": ([f"{'n' * 200}{j}" for j in range(4)], [f"{'c' * 150}{k}" for k in range(3)]),
    "like values": (["nan", "None", "inf", "-"], ["nan", "None", "True"]),
}


@pytest.fixture(scope="module")
def clf():
    return MaxentClassifierCV(Cs=12, l1_ratios=[0.5, 1.0], cv=4).fit(X, y)


@pytest.fixture(autouse=True)
def figures():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture(params=NAMES)
def data(request):
    features, classes = NAMES[request.param]
    return FEW.set_axis(features, axis=1), np.array(classes)[y]


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


def test_a_path_is_drawn_with_names_and_the_chosen_penalty(clf, figures):
    ax = figures.subplots()[1]
    display = PathDisplay.from_estimator(clf, X, y, ax=ax, class_label=1, n_labels=5)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert len(display.lines_) == X.shape[1]
    path = maxent_path(X, y, Cs=clf.Cs_, l1_ratio=clf.l1_ratio_)
    np.testing.assert_allclose(display.lines_[3].get_ydata(), path.coefs[:, 1, 3])
    texts = {text.get_text() for text in ax.texts}
    assert f"C = {clf.C_:.3g}" in texts
    at = clf.Cs_.tolist().index(clf.C_)
    largest = X.columns[np.abs(path.coefs[at, 1]).argmax()]
    assert largest in texts
    assert len(texts) == 6


def test_labels_do_not_overlap(clf):
    display = PathDisplay.from_estimator(clf, X, y)
    names = [text for text in display.ax_.texts if text.get_text() in X.columns]
    heights = np.sort([text.xy[1] for text in names])
    low, high = display.ax_.get_ylim()
    assert len(heights) == 10
    assert (np.diff(heights) >= 0.04 * (high - low)).all()


def test_classes_of_a_path():
    path = maxent_path(X, y, Cs=5)
    lengths = PathDisplay.from_path(path).lines_[0].get_ydata()
    np.testing.assert_allclose(lengths, np.linalg.norm(path.coefs[:, :, 0], axis=1))
    two = maxent_path(X, y == 1, Cs=5)
    positive = PathDisplay.from_path(two).lines_[0].get_ydata()
    negative = PathDisplay.from_path(two, class_label=False).lines_[0].get_ydata()
    np.testing.assert_allclose(positive, -negative)
    with pytest.raises(ValueError, match="class_label is 7; expected one of"):
        PathDisplay.from_path(path, class_label=7)


def test_a_plain_classifier_has_a_path_too():
    clf = MaxentClassifier(C=0.3, l1_ratio=1.0, grouped=True).fit(X, y)
    display = PathDisplay.from_estimator(clf, X, y, Cs=6)
    assert display.path.Cs.shape == (6,)
    assert display.C == 0.3


def test_scores_are_drawn_with_their_marks(clf):
    display = CVCurveDisplay.from_estimator(clf)
    assert len(display.lines_) == 2
    order = np.argsort(clf.Cs_)
    np.testing.assert_allclose(display.lines_[1].get_ydata(), clf.scores_[:, 1].mean(axis=0)[order])
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert f"best: C = {clf.C_:.3g}" in labels
    assert any(label.startswith("one standard error") for label in labels)
    assert display.top_ax_.get_xlabel() == "features"
    frame = clf.cv_results_frame()
    means = frame[frame["l1_ratio"] == clf.l1_ratio_].set_index("C")["n_features"]
    means = means[display.top_ax_.get_xticks()]
    shown = [label.get_text() for label in display.top_ax_.get_xticklabels()]
    assert shown == [f"{mean:.0f}" for mean in means]
    assert (means % 1).any()
    assert display.ax_.get_ylabel() == "neg_log_loss"


def test_coefficients_and_effects_are_drawn_with_their_intervals(figures):
    few = X[["alcohol", "ash", "hue"]]
    model = MaxentClassifier(C=1.0).fit(few, y)
    results = model.infer(few, y)
    ax = figures.subplots()[1]
    display = CoefficientDisplay.from_results(results, ax=ax)
    assert display.ax_ is ax
    assert len(display.containers_) == 2
    points = display.containers_[0].lines[0].get_xdata()
    np.testing.assert_allclose(points, results.coef[0, :3])
    low = display.containers_[1].lines[2][0].get_segments()[2][0, 0]
    assert low == pytest.approx(results.conf_int().loc[(2, "hue"), "lower"])
    assert [text.get_text() for text in ax.get_yticklabels()] == list(few.columns)
    fewer = CoefficientDisplay.from_estimator(model, few, y, n_features=2, reference="symmetric")
    assert len(fewer.containers_) == 3
    assert len(fewer.ax_.get_yticks()) == 2
    effects = MarginalEffectsDisplay.from_results(results, few)
    assert len(effects.containers_) == 3
    assert "probability" in effects.ax_.get_xlabel()


def test_without_matplotlib_the_message_says_what_to_do(clf, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for draw in (
        lambda: CVCurveDisplay.from_estimator(clf),
        lambda: PathDisplay.from_estimator(clf, X, y, Cs=2),
    ):
        with pytest.raises(ImportError, match="pip install matplotlib"):
            draw()


def test_names_in_coefficients_and_effects(data):
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


def test_names_in_paths(data):
    rows, labels = data
    model, Cs = MaxentClassifier().fit(rows, labels), [0.1, 1.0, 10.0]
    label = np.unique(labels)[0]
    texts = drawn(PathDisplay.from_estimator(model, rows, labels, Cs=Cs, class_label=label))
    assert_literal(texts, [*rows.columns, f"coefficient, class {label}"])


def test_names_in_scores():
    model = MaxentClassifierCV(Cs=3, l1_ratios=[0.5, 1.0], cv=2).fit(FEW, y)
    display = CVCurveDisplay.from_estimator(model)
    assert_literal(drawn(display), ["neg_log_loss"])
    assert len(display.ax_.get_legend().get_texts()) == 4


def test_names_stay_literal_where_matplotlib_writes_tex(figures):
    rows = FEW.set_axis(["a_b", "100%", "x^2", "$"], axis=1)
    results = MaxentClassifier().fit(rows, y).infer(rows, y)
    with figures.rc_context({"text.usetex": True}):
        display = CoefficientDisplay.from_results(results)
    for text in (*display.ax_.get_yticklabels(), *display.ax_.get_legend().get_texts()):
        assert not text.get_usetex()


@pytest.mark.parametrize(
    "params", [{"C": np.inf}, {"penalty": None}, {"C": 1e9, "l1_ratio": 1.0}, {"C": 1e-9}]
)
def test_a_path_of_a_fit_whose_penalty_is_outside_of_it(params):
    model = MaxentClassifier(**params).fit(FEW, y)
    display = PathDisplay.from_estimator(model, FEW, y, Cs=np.geomspace(0.01, 10.0, 5))
    drawn(display)
    assert not any(text.get_text().startswith("C = ") for text in display.ax_.texts)
    assert {text.get_text() for text in display.ax_.texts} == set(FEW.columns)


def test_a_path_that_reaches_no_penalty_at_all():
    model = MaxentClassifierCV(Cs=[0.1, 1.0, np.inf], cv=2).fit(FEW, y)
    model.C_ = np.inf
    display = PathDisplay.from_estimator(model, FEW, y)
    drawn(display)
    np.testing.assert_allclose(display.lines_[0].get_xdata(), [0.1, 1.0])
    assert {text.get_text() for text in display.ax_.texts} == set(FEW.columns)


def test_scores_at_no_penalty_alone_cannot_be_drawn():
    model = MaxentClassifierCV(Cs=[np.inf], cv=2).fit(FEW, y)
    with pytest.raises(ValueError, match=r"no finite C to draw, found Cs=\[inf\]"):
        CVCurveDisplay.from_estimator(model)
    with pytest.raises(ValueError, match=r"no finite C to draw, found Cs=\[inf\]"):
        PathDisplay.from_estimator(model, FEW, y)


def test_scores_of_which_that_without_penalty_is_the_best():
    model = MaxentClassifierCV(Cs=[1e-6, np.inf], cv=2, selection="best").fit(FEW, y)
    display = CVCurveDisplay.from_estimator(model)
    drawn(display)
    np.testing.assert_allclose(display.lines_[0].get_xdata(), [1e-6])


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


def test_the_curve_of_relaxed_fits_without_refit_is_of_a_gamma_that_was_scored():
    """`gamma_` is then a mean over the folds, which need not be one of `gammas_`."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(90, 3))
    y = (X @ rng.normal(size=(3, 3)) * 0.3 + rng.gumbel(size=(90, 3))).argmax(axis=1)
    clf = MaxentClassifierCV(
        Cs=[0.05, 0.3, 2.0], l1_ratios=[1.0], cv=3, relax=[0.0, 0.3, 1.0], refit=False
    ).fit(X, y)
    assert clf.gamma_ not in clf.gammas_
    display = CVCurveDisplay.from_estimator(clf)
    np.testing.assert_allclose(display.lines_[0].get_ydata(), clf.scores_[:, 0].mean(axis=0))
