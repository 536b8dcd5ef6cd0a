"""Goodness-of-fit tests, decompositions of scores and calibration, against R and brute force."""

import json

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import norm
from sklearn.metrics import log_loss
from statsmodels.stats.proportion import proportion_confint

from skmaxent import ClassCalibrationDisplay, MaxentClassifier, expected_calibration_error
from skmaxent._inference._calibration_table import (
    calibration_table,
    score_decomposition,
    wilson_interval,
)
from skmaxent._inference._goodness_of_fit import Outcomes, fagerland_hosmer
from tests.helpers.beps import DATA, ORACLES, VOTE

R = json.loads((ORACLES / "goodness_of_fit.json").read_text())
X = DATA[["age", "Blair", "Europe"]]
LABOUR = (np.asarray(VOTE) == "Labour").astype(int)
EXACT = MaxentClassifier(C=np.inf, tol=1e-11)
FIT = EXACT.fit(X, VOTE)
THREE = FIT.infer(X, VOTE)
P = FIT.predict_proba(X)
T = (np.asarray(VOTE)[:, None] == THREE.classes).astype(float)


@pytest.mark.parametrize(("name", "n_groups"), [("multinom", 10), ("multinom_7", 7)])
def test_groups_are_those_of_the_definition(name, n_groups):
    found = THREE.goodness_of_fit(n_groups=n_groups).iloc[0]
    for key, value in R[name].items():
        assert found[key] == pytest.approx(value, rel=1e-4)


def test_two_classes_have_the_test_of_hosmer_and_lemeshow():
    results = MaxentClassifier(C=np.inf, tol=1e-11).fit(X, LABOUR).infer(X, LABOUR)
    found = results.goodness_of_fit().iloc[0]
    for key, value in R["logit"].items():
        assert found[key] == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("test", ["pearson", "deviance"])
@pytest.mark.parametrize("layout", ["rows", "sparse", "table"])
@pytest.mark.parametrize("response", ["tables", "tables_logit"])
def test_counts_are_those_of_cells(test, layout, response):
    rows = DATA[["Blair", "Kennedy"]].astype(float)
    y = VOTE if response == "tables" else LABOUR
    if layout == "sparse":
        rows = sp.csr_array(rows.to_numpy())
    if layout == "table":
        counts = pd.crosstab([rows["Blair"], rows["Kennedy"]], np.asarray(y))
        rows, y = counts.index.to_frame(index=False), counts.reset_index(drop=True)
    results = MaxentClassifier(C=np.inf, tol=1e-11).fit(rows, y).infer(rows, y)
    found = results.goodness_of_fit(test).iloc[0]
    rtol = 1e-4 if response == "tables" else 1e-7  # multinom stops short
    assert found["chi2"] == pytest.approx(R[response][test], rel=rtol)
    assert (found["df"], found["n_groups"]) == (R[response]["df"], 21)
    assert 0.0 < found["small_expected"] < 1.0


def test_frequencies_are_repeated_rows():
    rng = np.random.default_rng(0)
    w = rng.integers(1, 4, len(X))
    many = X.loc[X.index.repeat(w)], np.repeat(np.asarray(VOTE), w)
    clf = MaxentClassifier(C=np.inf, tol=1e-11)
    one, two = clf.fit(X, VOTE, w).infer(X, VOTE, w), None
    found = [
        [one.goodness_of_fit(), one.calibration(), one.score_decomposition("log", n_bins=7)],
    ]
    two = clf.fit(*many).infer(*many)
    found.append(
        [two.goodness_of_fit(), two.calibration(), two.score_decomposition("log", n_bins=7)]
    )
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:class_weight multiplies:UserWarning")
def test_class_weights_do_not_weigh_the_observations_of_a_table():
    """A table of counts has the statistics of a row for each observation."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(40, 2))
    counts = rng.multinomial(5, [0.5, 0.3, 0.2], size=40).astype(float)
    row, code = np.nonzero(counts)
    model = MaxentClassifier(C=np.inf, tol=1e-11, class_weight={0: 0.3, 1: 1.0, 2: 4.0})
    table = model.fit(A, counts).infer(A, counts)
    long = A[row], code, counts[row, code]
    rows = model.fit(*long).infer(*long)
    for statistic in (
        lambda results: results.calibration(n_bins=3),
        lambda results: results.score_decomposition(),
        lambda results: results.score_decomposition("log"),
        lambda results: results.goodness_of_fit(),
    ):
        np.testing.assert_allclose(statistic(table), statistic(rows), rtol=1e-6, atol=1e-12)


def test_a_true_model_has_uniform_p_values():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(200):
        rows = rng.normal(size=(300, 2))
        Z = np.column_stack([np.zeros(300), rows @ [1.0, 0.5], rows @ [-0.5, 0.5]])
        y = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
        results = MaxentClassifier(C=np.inf).fit(rows, y).infer(rows, y)
        p_values.append(results.goodness_of_fit(n_groups=5)["p_value"].iloc[0])
    shares = [np.mean(np.array(p_values) < level) for level in (0.1, 0.5)]
    np.testing.assert_allclose(shares, [0.1, 0.5], atol=0.09)


def test_a_model_without_a_square_does_not_fit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1))
    Z = np.column_stack([np.zeros(1000), x[:, 0] + 2.0 * x[:, 0] ** 2, x[:, 0]])
    y = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
    for rows, fits in ((x, False), (np.hstack([x, x**2]), True)):
        results = MaxentClassifier(C=np.inf).fit(rows, y).infer(rows, y)
        assert (results.goodness_of_fit()["p_value"].iloc[0] > 0.05) == fits


def test_murphys_parts_of_forecasts_with_few_values():
    """With a probability for each value of one question, bins are the values."""
    rows = pd.get_dummies(DATA["Blair"], drop_first=True).astype(float)
    rows = pd.DataFrame({"Blair": DATA["Blair"].astype(float)})
    clf = MaxentClassifier(C=np.inf, tol=1e-11).fit(rows, VOTE)
    found = clf.infer(rows, VOTE).score_decomposition(n_bins=1000, strategy="uniform")
    Q = clf.predict_proba(rows)
    for k, label in enumerate(clf.classes_):
        reliability = resolution = 0.0
        base = T[:, k].mean()
        for value in np.unique(rows):
            here = rows["Blair"].to_numpy() == value
            share = T[here, k].mean()
            reliability += here.mean() * (Q[here, k][0] - share) ** 2
            resolution += here.mean() * (share - base) ** 2
        expected = [((Q - T)[:, k] ** 2).mean(), reliability, resolution, base * (1.0 - base)]
        np.testing.assert_allclose(found.loc[label], expected, rtol=1e-6, atol=1e-9)
    total = ((Q - T) ** 2).sum(axis=1).mean()
    assert found.loc["all", "score"] == pytest.approx(total)
    np.testing.assert_allclose(found.loc["all"], found.iloc[:-1].sum())


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_the_log_score_is_the_sum_of_its_parts(strategy):
    found = THREE.score_decomposition("log", strategy=strategy)
    sums = found["reliability"] - found["resolution"] + found["uncertainty"]
    np.testing.assert_allclose(found["score"], sums)
    assert found.loc["all", "score"] == pytest.approx(log_loss(VOTE, P))
    shares = T.mean(axis=0)
    assert found.loc["all", "uncertainty"] == pytest.approx(-(shares * np.log(shares)).sum())
    for k, label in enumerate(THREE.classes):
        assert found.loc[label, "score"] == pytest.approx(log_loss(T[:, k], P[:, k]))
    assert (found[["reliability", "resolution"]] >= 0.0).all().all()


def test_calibration_has_wilsons_intervals():
    found = THREE.calibration(n_bins=4, conf_level=0.9)
    for k, label in enumerate(THREE.classes):
        codes = pd.qcut(P[:, k], 4, labels=False)
        part = found.loc[label]
        for code in range(4):
            hits = T[codes == code, k]
            ends = proportion_confint(hits.sum(), len(hits), alpha=0.1, method="wilson")
            expected = [P[codes == code, k].mean(), hits.mean(), *ends, len(hits)]
            np.testing.assert_allclose(part.loc[code], expected, rtol=1e-9)


def test_the_display_shows_the_table():
    matplotlib.use("Agg")
    display = ClassCalibrationDisplay.from_results(THREE, n_bins=5)
    assert [axes.get_title() for axes in display.axes_] == THREE.classes
    given = ClassCalibrationDisplay.from_predictions(
        VOTE, FIT.predict_proba_frame(X), n_bins=5, ax=display.axes_
    )
    pd.testing.assert_frame_equal(display.table, given.table)
    line = given.points_[1].lines[0]
    part = given.table.loc[THREE.classes[1]]
    np.testing.assert_array_equal(line.get_ydata(), part["observed"])
    weighted = ClassCalibrationDisplay.from_predictions(
        VOTE, P, n_bins=1, sample_weight=1.0 + np.arange(len(X)) % 2, classes=THREE.classes
    )
    n = weighted.table["n"].iloc[0]  # Kish's effective number of rows
    w = 1.0 + np.arange(len(X)) % 2
    assert n == pytest.approx(w.sum() ** 2 / (w**2).sum())
    with pytest.raises(ValueError, match=r"ax has 2 axes; expected 3"):
        display.plot(ax=display.axes_[:2])
    with pytest.raises(ValueError, match="conf_level must be between 0 and 1"):
        ClassCalibrationDisplay.from_results(THREE, conf_level=2.0)
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda results: results.goodness_of_fit("hosmer"), "test must be one of"),
        (
            lambda results: results.goodness_of_fit(n_groups=2),
            "n_groups must be an integer of at least 3",
        ),
        (lambda results: results.goodness_of_fit(n_groups=4.5), "n_groups must be an integer"),
        (lambda results: results.goodness_of_fit("pearson", n_groups=5), "n_groups is for"),
        (lambda results: results.score_decomposition("crps"), "score must be one of"),
        (
            lambda results: results.score_decomposition(n_bins=0),
            "n_bins must be an integer of at least 1",
        ),
        (lambda results: results.calibration(strategy="equal"), "strategy must be one of"),
        (lambda results: results.calibration(held_out="yes"), "held_out must be True or False"),
        (lambda results: results.calibration(held_out=np.ones(2)), "held_out must be True or"),
    ],
)
def test_arguments_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(THREE)


def test_fits_without_these_tests_are_refused():
    ridge = MaxentClassifier(C=1.0).fit(X, VOTE).infer(X, VOTE)
    with pytest.raises(ValueError, match="goodness-of-fit tests are for fits without a penalty"):
        ridge.goodness_of_fit()
    assert ridge.score_decomposition().loc["all", "score"] > 0.0
    sampled = FIT.infer(X, VOTE, weights="probability")
    with pytest.raises(ValueError, match="need independent rows"):
        sampled.goodness_of_fit()
    with pytest.raises(ValueError, match="tests no degree of freedom"):
        rows = DATA[["Blair"]] > 3
        MaxentClassifier(C=np.inf).fit(rows, VOTE).infer(rows, VOTE).goodness_of_fit("pearson")


SCALE_FREE = {
    "brier": lambda found: found.score_decomposition(n_bins=4),
    "log": lambda found: found.score_decomposition("log", n_bins=4),
    "calibration": lambda found: found.calibration(n_bins=4),
}


@pytest.mark.parametrize("name", SCALE_FREE)
def test_sampling_weights_have_no_scale(name):
    """The sum of normalised weights is one; quantiles of repeated values have one value then."""
    weights = 1.0 + np.arange(len(VOTE)) % 3
    tables = []
    for given in (weights, weights / weights.sum()):
        clf = EXACT.fit(X, VOTE, given)
        tables.append(SCALE_FREE[name](clf.infer(X, VOTE, given, weights="probability")))
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)
    if name == "calibration":
        assert tables[0].index.size == 4 * 3


@pytest.mark.parametrize("name", SCALE_FREE)
def test_rows_without_weight_do_not_count(name):
    rows = np.arange(len(VOTE)) % 4 > 0
    whole = EXACT.fit(X, VOTE, rows * 1.0).infer(X, VOTE, rows * 1.0)
    part = EXACT.fit(X[rows], VOTE[rows]).infer(X[rows], VOTE[rows])
    pd.testing.assert_frame_equal(
        *(SCALE_FREE[name](found) for found in (whole, part)), rtol=1e-6, check_exact=False
    )


def test_the_display_of_weighted_rows_has_no_scale():
    weights = 1.0 + np.arange(len(VOTE)) % 3
    drawn = [
        ClassCalibrationDisplay.from_predictions(VOTE, P, sample_weight=scale * weights)
        for scale in (1.0, 1e-6)
    ]
    pd.testing.assert_frame_equal(*(display.table for display in drawn), rtol=1e-9)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("n", [3.0, 47.0, 153.0])
def test_a_share_of_none_or_all_is_the_end_of_its_interval(share, n):
    interval = wilson_interval(share, n, 0.95)
    assert interval[int(share)] == share
    z2 = norm.ppf(0.975) ** 2
    assert abs(interval[1 - int(share)] - share) == pytest.approx(z2 / (n + z2))


def test_held_out_scores_and_calibration_are_those_of_fits_without_each_row():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 6))
    y = (X[:, :3] @ rng.normal(size=(3, 3)) + rng.gumbel(size=(60, 3))).argmax(axis=1)
    weights = rng.uniform(0.2, 1.0, size=60)
    P = np.empty((60, 3))
    for i in range(60):
        kept = np.arange(60) != i
        fit = MaxentClassifier(C=1.0, tol=1e-8).fit(X[kept], y[kept], weights[kept])
        P[i] = fit.predict_proba(X[[i]])[0]
    T = np.eye(3)[y]
    clf = MaxentClassifier(C=1.0, tol=1e-8, prior_correction=[0.2, 0.3, 0.5]).fit(X, y, weights)
    results = clf.infer(X, y, weights)
    share = weights / weights.sum()
    brier = results.score_decomposition(held_out=True)["score"]
    expected = share @ (P - T) ** 2
    np.testing.assert_allclose(brier, [*expected, expected.sum()], rtol=0.01)
    assert brier["all"] > 1.1 * results.score_decomposition().loc["all", "score"]
    log = results.score_decomposition("log", held_out=True).loc["all", "score"]
    assert log == pytest.approx(-share @ np.log(P[np.arange(60), y]), rel=0.01)
    one = results.calibration(n_bins=1, held_out=True)
    np.testing.assert_allclose(one["predicted"], share @ P, rtol=0.01)
    np.testing.assert_allclose(one["observed"], share @ T)


def test_held_out_probabilities_need_a_class_of_each_row():
    X = np.arange(12.0)[:, None]
    counts = np.column_stack([np.arange(12) % 3 + 1, np.arange(12) % 4 + 1])
    results = MaxentClassifier(C=1.0).fit(X, counts).infer(X, counts)
    with pytest.raises(ValueError, match="rows of one class each"):
        results.calibration(held_out=True)
    with pytest.raises(ValueError, match="held_out must be True or False"):
        results.score_decomposition(held_out="loo")
    one = np.eye(2, dtype=int)[[0, 1, 1, 0] * 3] * 2
    of_table = MaxentClassifier(C=1.0).fit(X, one).infer(X, one)
    codes = one.argmax(axis=1).repeat(2)
    of_rows = MaxentClassifier(C=1.0).fit(X.repeat(2, axis=0), codes)
    of_rows = of_rows.infer(X.repeat(2, axis=0), codes)
    found, expected = (one.score_decomposition(held_out=True) for one in (of_table, of_rows))
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-3)


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_rounding_does_not_divide_rows_with_equal_probabilities(strategy):
    """Rows with equal features have probabilities that may differ in the last digits."""
    rng = np.random.default_rng(0)
    values = np.array([[0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.6, 0.4], [0.9, 0.1]])
    exact = values[rng.integers(0, 5, 400)]
    rounded = exact * (1.0 + rng.integers(-4, 5, (400, 2)) * 2.0**-53)
    codes = (rng.random(400) > exact[:, 0]).astype(int)
    shares = np.eye(2)[codes]

    def figures(probabilities):
        outcomes = Outcomes(probabilities, shares, np.ones(400))
        yield fagerland_hosmer(outcomes, 0, 10).to_numpy()
        table = calibration_table(outcomes, [0, 1], 10, strategy, 0.95, are_counts=True)
        yield table.to_numpy()
        for score in ("brier", "log"):
            yield score_decomposition(outcomes, [0, 1], score, 10, strategy).to_numpy()
        for kind in ("class-wise", "top-label"):
            options = {"kind": kind, "strategy": strategy, "n_bins": 10}
            yield np.array([expected_calibration_error(codes, probabilities, **options)])

    for found, expected in zip(figures(rounded), figures(exact), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    keys = np.unique(exact[:, 1])
    groups = np.unique(np.searchsorted(np.quantile(exact[:, 1], np.linspace(0.1, 0.9, 9)), keys))
    assert fagerland_hosmer(Outcomes(rounded, shares, np.ones(400)), 0, 10)["n_groups"].iloc[0] == (
        len(groups)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_with_nearly_certain_classes_have_exact_scores(dtype):
    """1 - p was zero for the first of two classes: scores were infinite, and Pearson's X² NaN."""
    rng = np.random.default_rng(0)
    rows, offset = rng.normal(size=(60, 1)).astype(dtype), np.zeros(60)
    y = (rows[:, 0] + rng.logistic(size=60) > 0).astype(int)
    offset[:3], y[:3] = 45.0, [0, 1, 1]
    fit = MaxentClassifier(C=np.inf, tol=1e-10).fit(rows, y, offset=offset)
    results = fit.infer(rows, y, offset=offset)
    z = rows[:, 0].astype(float) * results.coef[0, 0] + results.coef[0, 1] + offset
    # The exact formulas: p of the observed class is 1/(1 + exp(m)) for m = -z or z.
    m = np.where(y == 1, -z, z)
    score, rtol = np.logaddexp(0.0, m).mean(), 1e-9 if dtype is np.float64 else 1e-4
    for name in (0, 1, "all"):
        found = results.score_decomposition("log").loc[name, "score"]
        np.testing.assert_allclose(found, score, rtol=rtol)
    found = results.goodness_of_fit("deviance")["chi2"].iloc[0]
    np.testing.assert_allclose(found, 120 * score, rtol=rtol)
    found = results.goodness_of_fit("pearson")["chi2"].iloc[0]
    np.testing.assert_allclose(found, np.exp(m).sum(), rtol=rtol)
    residuals = results.diagnostics(max_refits=0).iloc[0]
    for name, size in (("pearson", np.exp(m[0] / 2)), ("deviance", np.sqrt(2 * m[0]))):
        found = residuals[f"{name}_residual_of"].to_numpy(float)
        np.testing.assert_allclose(found, [size, -size], rtol=10 * rtol)
