"""Calibration errors against their definition, and scikit-learn's temperature scaling."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmaxent import ClassCalibrationDisplay, MaxentClassifier, expected_calibration_error

RNG = np.random.default_rng(0)
P = RNG.dirichlet([1.0, 1.0, 1.0], 500)
Y = np.array([RNG.choice(3, p=p) for p in P])


def by_definition(confidence, hit, weights, edges):
    error = 0.0
    for low, high in pairwise(edges):
        inside = (low < confidence) & (confidence <= high)
        if inside.any():
            w = weights[inside]
            gap = np.average(hit[inside], weights=w) - np.average(confidence[inside], weights=w)
            error += w.sum() * abs(gap)
    return error / weights.sum()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_definitions(strategy, weighted):
    weights = RNG.integers(1, 4, 500).astype(float) if weighted else np.ones(500)

    def edges(p):
        steps = np.linspace(0, 1, 11)
        inner = steps[1:-1] if strategy == "uniform" else np.quantile(p, steps[1:-1])
        return np.concatenate([[-1.0], inner, [2.0]])

    params = {"n_bins": 10, "strategy": strategy, "sample_weight": weights if weighted else None}
    top = P.max(axis=1)
    want = by_definition(top, P.argmax(axis=1) == Y, weights, edges(top))
    assert expected_calibration_error(Y, P, **params) == pytest.approx(want)
    want = np.mean([by_definition(P[:, k], k == Y, weights, edges(P[:, k])) for k in range(3)])
    found = expected_calibration_error(Y, P, kind="class-wise", **params)
    assert found == pytest.approx(want)


def test_true_probabilities_have_next_to_none_and_sharpened_ones_much():
    sharp = P**3 / (P**3).sum(axis=1, keepdims=True)
    for kind in ("top-label", "class-wise"):
        honest = expected_calibration_error(Y, P, kind=kind, n_bins=10)
        assert 3 * honest < expected_calibration_error(Y, sharp, kind=kind, n_bins=10) + 0.1
    assert expected_calibration_error(Y, np.eye(3)[Y]) == 0.0


def test_names_and_tables():
    names = np.array(["c", "a", "b"])
    frame = pd.DataFrame(P, columns=names)
    want = expected_calibration_error(Y, P, kind="class-wise")
    for found in (
        expected_calibration_error(names[Y], frame, kind="class-wise"),
        expected_calibration_error(names[Y], P, kind="class-wise", classes=names),
    ):
        assert found == pytest.approx(want, rel=1e-12)
    table = np.eye(3)[Y]
    assert expected_calibration_error(table, P, kind="class-wise") == pytest.approx(want)
    table[0] = [1.0, 1.0, 2.0]  # four observations
    row = np.concatenate([[0, 0, 0, 0], np.arange(1, 500)])
    labels = np.concatenate([[0, 1, 2, 2], Y[1:]])
    assert expected_calibration_error(table, P) == pytest.approx(
        expected_calibration_error(labels, P[row])
    )


@pytest.mark.parametrize(
    ("y", "prob", "params", "message"),
    [
        (Y, P, {"kind": "micro"}, "kind must be"),
        (Y, P, {"strategy": "equal"}, "strategy must be"),
        (Y, P, {"n_bins": 0}, "n_bins must be"),
        (Y, 2 * P, {}, "must hold probabilities"),
        (Y[:5] * 0 + [0, 1, 0, 1, 0], P[:5], {}, r"expected \(5, 2\)"),
        (Y + 1, P, {"classes": [0, 1, 2]}, r"has the labels \[3\]"),
    ],
)
def test_bad_arguments_are_named(y, prob, params, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(y, prob, **params)


def test_scikit_learns_temperature_calibrates_a_fitted_model():
    X, y = load_digits(return_X_y=True)
    train, rest, y_train, y_rest = train_test_split(X, y, train_size=300, random_state=0)
    held, test, y_held, y_test = train_test_split(rest, y_rest, random_state=0)
    clf = MaxentClassifier(C=1e3).fit(train, y_train)
    before = clf.predict_proba(test)
    if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8):
        # There it does not exist.
        with pytest.raises(ValueError, match="method"):
            CalibratedClassifierCV(clf, method="temperature").fit(held, y_held)
        return
    from sklearn.frozen import FrozenEstimator

    scaled = CalibratedClassifierCV(FrozenEstimator(clf), method="temperature")
    after = scaled.fit(held, y_held).predict_proba(test)
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert log_loss(y_test, after) < 0.8 * log_loss(y_test, before)
    error = expected_calibration_error(y_test, after)
    assert error < expected_calibration_error(y_test, before)


@pytest.mark.parametrize("kind", ["top-label", "class-wise"])
def test_probabilities_whose_sum_is_not_one_are_refused(kind):
    P = np.array([[0.2, 0.8], [0.7, 0.7], [0.5, 0.5]])
    with pytest.raises(ValueError, match=r"y_prob has 1 rows .* row 1 with the sum 1\.4"):
        expected_calibration_error([0, 1, 1], P, kind=kind)
    with pytest.raises(ValueError, match=r"y_prob has 1 rows .* row 1 with the sum 1\.4"):
        ClassCalibrationDisplay.from_predictions([0, 1, 1], P)


def test_rounded_probabilities_are_accepted():
    P = np.array([[0.333, 0.333, 0.333], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    # The gaps of the largest probabilities, each in its own bin.
    expected = (abs(1 - 0.333) + abs(0 - 0.5) + abs(1 - 0.8)) / 3
    assert expected_calibration_error([0, 1, 2], P) == pytest.approx(expected)
