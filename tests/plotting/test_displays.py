"""Pictures: what they show is what was fitted."""

import sys

import matplotlib
import numpy as np
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


@pytest.fixture(scope="module")
def clf():
    return MaxentClassifierCV(Cs=12, l1_ratios=[0.5, 1.0], cv=4).fit(X, y)


@pytest.fixture(autouse=True)
def figures():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


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
