"""Numbers that displays draw against statsmodels, scikit-learn and SciPy.

Weights are whole numbers, so that statsmodels fits repeated rows.
"""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from statsmodels.stats.proportion import proportion_confint

from skmaxent import (
    ClassCalibrationDisplay,
    CoefficientDisplay,
    CVCurveDisplay,
    DiagnosticsDisplay,
    EffectsDisplay,
    MarginalEffectsDisplay,
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    PathDisplay,
    PredictionsDisplay,
    expected_calibration_error,
    infer,
    maxent_path,
)

matplotlib.use("Agg")
RNG = np.random.default_rng(7)
X = pd.DataFrame(RNG.normal(size=(150, 3)) * [1.0, 5.0, 0.2] + [0.0, 20.0, 1.0], columns=[*"abc"])
CODES = ((X - X.mean()) / X.std() @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(150, 3))).to_numpy()
CODES = CODES.argmax(axis=1)
Y = np.array(["k", "l", "m"])[CODES]
WEIGHTS = RNG.integers(1, 4, 150)
REPEATED = np.repeat(np.arange(150), WEIGHTS)
OFFSET = RNG.normal(size=(150, 3))
Z95 = norm.ppf(0.975)
STORAGES = {
    "frame": lambda frame: frame,
    "array": lambda frame: frame.to_numpy(),
    "sparse": lambda frame: sp.csr_array(frame.to_numpy()),
    "float32": lambda frame: frame.astype(np.float32),
}


@pytest.fixture(autouse=True)
def figures():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture(scope="module")
def theirs():
    exog = sm.add_constant(X, prepend=False).iloc[REPEATED]
    return sm.MNLogit(CODES[REPEATED], exog).fit(method="newton", tol=1e-12, disp=0)


def results_of(rows):
    return MaxentClassifier(C=np.inf, tol=1e-9).fit(rows, Y, WEIGHTS).infer(rows, Y, WEIGHTS)


def drawn(container, axis):
    """Estimates and ends of intervals of error bars along an axis, (n, 3)."""
    points, _, (bars,) = container.lines
    ends = np.array([segment[:, axis] for segment in bars.get_segments()])
    return np.column_stack([(points.get_xdata, points.get_ydata)[axis](), ends])


@pytest.mark.parametrize("storage", STORAGES)
def test_coefficients_and_marginal_effects_are_those_of_statsmodels(storage, theirs):
    rows = STORAGES[storage](X)
    rtol = 1e-3 if storage == "float32" else 1e-6
    results = results_of(rows)
    plain = CoefficientDisplay.from_estimator(
        MaxentClassifier(C=np.inf, tol=1e-9).fit(rows, Y, WEIGHTS), rows, Y, sample_weight=WEIGHTS
    )
    ratios = CoefficientDisplay.from_results(results, exponentiate=True)
    ends = theirs.conf_int().to_numpy().reshape(2, 4, 2)
    effects = theirs.get_margeff()
    shown = MarginalEffectsDisplay.from_results(results, rows)
    for k in range(2):
        expected = np.column_stack([theirs.params[k], ends[k]])[:3]
        np.testing.assert_allclose(drawn(plain.containers_[k], 0), expected, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(
            drawn(ratios.containers_[k], 0), np.exp(expected), rtol=10 * rtol
        )
    for k in range(3):
        value, error = effects.margeff[:, k], effects.margeff_se[:, k]
        expected = np.column_stack([value, value - Z95 * error, value + Z95 * error])
        np.testing.assert_allclose(drawn(shown.containers_[k], 0), expected, rtol=rtol, atol=rtol)


def test_predictions_and_effects_are_those_of_statsmodels(theirs):
    results = results_of(X)
    display = PredictionsDisplay.from_results(results, "b", n_points=5)
    grid = np.linspace(X["b"].min(), X["b"].max(), 5)
    # The other variables are at their means over the observations.
    mean = X.iloc[REPEATED].mean()
    points = np.column_stack([np.full(5, mean["a"]), grid, np.full(5, mean["c"]), np.ones(5)])
    covariance = np.asarray(theirs.cov_params())

    def log_odds(flat):
        P = theirs.model.predict(flat.reshape(2, 4).T, exog=points)
        return logit(P)

    flat = np.asarray(theirs.params).T.ravel()
    step = 1e-5 * np.eye(8)
    J = np.stack([(log_odds(flat + h) - log_odds(flat - h)) / 2e-5 for h in step], axis=-1)
    errors = np.sqrt(np.einsum("nki,ij,nkj->nk", J, covariance, J))
    for k, (line, band) in enumerate(
        zip(display.artists_[0], display.axes_[0].collections, strict=True)
    ):
        np.testing.assert_allclose(line.get_xdata(), grid)
        np.testing.assert_allclose(line.get_ydata(), expit(log_odds(flat)[:, k]), rtol=1e-6)
        heights = band.get_paths()[0].vertices[:, 1]
        for sign in (-1.0, 1.0):
            ends = expit(log_odds(flat)[:, k] + sign * Z95 * errors[:, k])
            assert np.abs(heights[:, None] - ends).min(axis=0).max() < 1e-6
    exog = sm.add_constant(X, prepend=False)
    moved = [theirs.predict(exog.assign(b=exog["b"] + h)) for h in (0.5, -0.5)]
    expected = np.average(np.subtract(*map(np.asarray, moved)), axis=0, weights=WEIGHTS)
    changes = EffectsDisplay.from_results(results, "b")
    slopes = EffectsDisplay.from_results(results, ["a", "b", "c"], kind="slopes")
    slope = theirs.get_margeff()
    for k in range(3):
        assert drawn(changes.containers_[k], 0)[0, 0] == pytest.approx(expected[k], rel=1e-6)
        ends = slope.margeff[:, k] + np.multiply.outer([0.0, -Z95, Z95], slope.margeff_se[:, k])
        np.testing.assert_allclose(drawn(slopes.containers_[k], 0), ends.T, rtol=1e-5, atol=1e-8)


def smallest(C, offset):
    """The coefficients (3, 4) at the minimum of the weighted loss with a ridge, by SciPy."""
    D, T = sm.add_constant(X, prepend=False).to_numpy(), np.eye(3)[CODES]

    def loss(flat):
        B = flat.reshape(3, 4)
        L = log_softmax(D @ B.T + offset, axis=1)
        gradient = ((np.exp(L) - T) * WEIGHTS[:, None]).T @ D
        gradient[:, :3] += B[:, :3] / C
        return -(WEIGHTS @ (T * L).sum(axis=1)) + (B[:, :3] ** 2).sum() / (2 * C), gradient.ravel()

    options = {"gtol": 1e-9, "ftol": 1e-16, "maxiter": 5000}
    return minimize(loss, np.zeros(12), jac=True, method="L-BFGS-B", options=options).x.reshape(
        3, 4
    )


@pytest.mark.parametrize("storage", STORAGES)
def test_paths_are_minima_of_the_penalised_loss(storage):
    rows = STORAGES[storage](X)
    clf = MaxentClassifier(C=1.0, tol=1e-9).fit(rows, Y, WEIGHTS, OFFSET)
    Cs = [0.01, 0.3, 5.0]
    options = {"sample_weight": WEIGHTS, "offset": OFFSET, "Cs": Cs}
    of_class = PathDisplay.from_estimator(clf, rows, Y, class_label="l", **options)
    path = maxent_path(rows, Y, l1_ratio=0.0, tol=1e-9, **options)
    lengths = PathDisplay.from_path(path)
    expected = np.stack([smallest(C, OFFSET)[:, :3] for C in Cs])
    for j in range(3):
        np.testing.assert_allclose(of_class.lines_[j].get_ydata(), expected[:, 1, j], atol=2e-4)
        size = np.linalg.norm(expected[:, :, j], axis=1)
        np.testing.assert_allclose(lengths.lines_[j].get_ydata(), size, atol=2e-4)


def test_a_path_is_of_the_data_of_the_fit():
    """Other columns or labels, or no offset, drew the path of another problem."""
    clf = MaxentClassifier(penalty_factor=[0.0, 1.0, 5.0]).fit(X, Y, offset=OFFSET)
    draw = PathDisplay.from_estimator
    with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
        draw(clf, X[["c", "b", "a"]], Y, offset=OFFSET, Cs=2)
    with pytest.raises(ValueError, match="X has 2 features, but MaxentClassifier is expecting 3"):
        draw(MaxentClassifier().fit(X.to_numpy(), Y), X.to_numpy()[:, :2], Y, Cs=2)
    with pytest.raises(ValueError, match=r"from_estimator needs the\s+offset of the rows too"):
        draw(clf, X, Y, Cs=2)
    with pytest.raises(ValueError, match=r"labels .*'z'.* which the fit has not seen"):
        draw(clf, X, np.where(Y == "k", "z", Y), offset=OFFSET, Cs=2)
    for other in (LogisticRegression(), MultilabelMaxentClassifier()):
        with pytest.raises(TypeError, match="estimator must be a MaxentClassifier or a Maxent"):
            draw(other, X, Y)


def test_scores_are_those_of_scikit_learn():
    Z, folds = X.to_numpy() - X.to_numpy().mean(axis=0), StratifiedKFold(3)
    Cs = [0.01, 0.1, 1.0]
    clf = MaxentClassifierCV(Cs=Cs, cv=folds, cv_tol=0.0, tol=1e-9).fit(Z, Y)
    display = CVCurveDisplay.from_estimator(clf)
    scores = [
        cross_val_score(
            LogisticRegression(C=C, tol=1e-9, max_iter=10_000),
            Z,
            Y,
            cv=folds,
            scoring="neg_log_loss",
        )
        for C in Cs
    ]
    np.testing.assert_allclose(display.lines_[0].get_ydata(), np.mean(scores, axis=1), rtol=1e-6)
    heights = display.ax_.collections[0].get_paths()[0].vertices[:, 1]
    for sign in (-1.0, 1.0):
        ends = np.mean(scores, axis=1) + sign * np.std(scores, axis=1, ddof=1) / np.sqrt(3.0)
        assert np.abs(heights[:, None] - ends).min(axis=0).max() < 1e-6


@pytest.mark.parametrize("labels", ["text", "bool", "times"])
def test_calibration_is_that_of_scikit_learn(labels):
    y = {
        "text": Y,
        "bool": CODES > 0,
        "times": np.array(["2020-01-01", "2021-06-01", "2022-01-01"], "datetime64[D]")[CODES],
    }[labels]
    clf = MaxentClassifier(C=np.inf).fit(X, y)
    P = clf.predict_proba(X)
    displays = [
        ClassCalibrationDisplay.from_predictions(y, clf.predict_proba_frame(X), n_bins=4),
        ClassCalibrationDisplay.from_predictions(y, P, n_bins=4, classes=clf.classes_),
        ClassCalibrationDisplay.from_results(clf.infer(X, y), n_bins=4),
    ]
    for display in displays:
        assert len(display.axes_) == len(clf.classes_)
        for k, label in enumerate(clf.classes_):
            share, mean = calibration_curve(y == label, P[:, k], n_bins=4, strategy="quantile")
            found = drawn(display.points_[k], 1)
            n = display.table["n"].to_numpy().reshape(-1, 4)[k]
            ends = np.transpose(proportion_confint(share * n, n, method="wilson"))
            np.testing.assert_allclose(found, np.column_stack([share, ends]), atol=1e-12)
            np.testing.assert_allclose(display.points_[k].lines[0].get_xdata(), mean)
    frame = clf.predict_proba_frame(X)
    assert expected_calibration_error(y, frame) == expected_calibration_error(
        y, P, classes=clf.classes_
    )


def test_diagnostics_are_those_of_statsmodels():
    y = CODES > 0
    display = DiagnosticsDisplay.from_results(
        MaxentClassifier(C=np.inf, tol=1e-9).fit(X, y).infer(X, y)
    )
    exog = sm.add_constant(X, prepend=False)
    glm = sm.GLM(y, exog, family=sm.families.Binomial()).fit(tol=1e-12)
    influence = glm.get_influence()
    _, _, distance, leverage = display.axes_
    stems = np.array(distance.collections[0].get_segments())
    np.testing.assert_allclose(stems[:, 1, 1], influence.cooks_distance[0], rtol=1e-6)
    points = leverage.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], influence.hat_matrix_diag, rtol=1e-6)
    np.testing.assert_allclose(np.abs(points[:, 1]), np.abs(glm.resid_pearson), rtol=1e-5)


def test_missing_values_of_the_drawn_variables():
    """A missing level had no panel or was an error; quartiles of numbers were NaN."""
    data = X.assign(level=np.where(X["a"] > 1.0, None, np.where(X["b"] > 20.0, "u", "v")))
    data.loc[::7, "b"] = np.nan
    encoded = make_pipeline(SimpleImputer().set_output(transform="pandas"), MaxentClassifier()).fit(
        data[["a", "b"]], Y
    )
    results = infer(encoded, data[["a", "b"]], Y)
    titles = [ax.get_title() for ax in PredictionsDisplay.from_results(results, "a", by="b").axes_]
    quartiles = np.nanquantile(data["b"], [0.25, 0.5, 0.75])
    assert titles == [f"b = {value:.4g}" for value in quartiles]
    table = pd.DataFrame(
        {
            "v": ["x", "y", None] * 2,
            "by": ["p"] * 3 + [None] * 3,
            "class": "k",
            "estimate": np.arange(6.0) / 10,
            "lower": 0.0,
            "upper": 1.0,
        }
    )
    for kind in ("lines", "stacked"):
        display = PredictionsDisplay(table).plot(kind=kind)
        display.figure_.canvas.draw()
        assert len(display.axes_) == 2
        assert [text.get_text() for text in display.axes_[1].get_xticklabels()][:2] == ["x", "y"]
        if kind == "lines":
            np.testing.assert_allclose(drawn(display.artists_[1][0], 1)[:, 0], [0.3, 0.4, 0.5])


def test_a_path_of_a_pipeline_is_that_of_the_transformed_columns():
    rows = pd.DataFrame(RNG.normal(size=(60, 3)), columns=["a", "b", "c"])
    labels = np.array(["l", "m", "n"])[RNG.integers(0, 3, 60)]
    pipe = make_pipeline(SimpleImputer(), MaxentClassifier(l1_ratio=1.0)).fit(rows, labels)
    found = PathDisplay.from_estimator(pipe, rows, labels, Cs=7).path
    expected = maxent_path(rows, labels, Cs=7, l1_ratio=1.0)
    np.testing.assert_allclose(found.coefs, expected.coefs, atol=1e-12)
    assert list(found.feature_names) == ["a", "b", "c"]


def test_rows_that_cannot_be_drawn_are_refused():
    rows = pd.DataFrame(RNG.normal(size=(60, 2)), columns=["a", "b"])
    labels = np.array(["l", "m", "n"])[np.arange(60) % 3]
    clf = MaxentClassifier(C=np.inf).fit(rows, labels)
    lasso = MaxentClassifier(l1_ratio=1.0).fit(rows, labels)
    some = labels != "n"
    with pytest.raises(ValueError, match=r"none of \['n'\]"):
        PathDisplay.from_estimator(lasso, rows[some], labels[some])
    with pytest.raises(ValueError, match="must have rows"):
        ClassCalibrationDisplay.from_predictions([], np.empty((0, 3)), classes=["l", "m", "n"])
    with pytest.raises(ValueError, match="must have rows"):
        expected_calibration_error([], np.empty((0, 3)), classes=["l", "m", "n"])
    results = infer(clf, rows.assign(y=labels)[["a", "b"]], labels)
    with pytest.raises(ValueError, match="variable is 'y'"):
        PredictionsDisplay.from_results(results, "y")
