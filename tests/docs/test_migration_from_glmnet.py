"""Rows of the table for glmnet in docs/migrating.md are true, by R's recorded numbers."""

import json
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from helpers.migration_rows import Rows
from sklearn.model_selection import PredefinedSplit

from skmaxent import (
    CVCurveDisplay,
    MaxentClassifier,
    MaxentClassifierCV,
    PathDisplay,
    maxent_path,
)

matplotlib.use("Agg")
ORACLES = Path(__file__).parents[1] / "oracles"
R = json.loads((ORACLES / "glmnet_options.json").read_text())
CV = json.loads((ORACLES / "cv_glmnet.json").read_text())
DATA = np.loadtxt(ORACLES / "multinomial_example.csv", delimiter=",", skiprows=1)
PLAIN, Y = DATA[:, :-1], DATA[:, -1].astype(int)
X = PLAIN * 10 ** np.linspace(-2, 2, 30)
WEIGHTS = 1.0 + (np.arange(len(Y)) + 1) % 3
glmnet = Rows("R: `glmnet`")


def same(case, rows=X, **parameters):
    """Coefficients of standardised columns are R's, and the probabilities without an offset too."""
    options = {"alphas": R["lambda"], "standardize": True, "tol": 1e-9} | parameters
    path = maxent_path(rows, Y, **options)
    size = rows.std(axis=0)
    np.testing.assert_allclose(path.coefs * size, np.array(R[case]["coef"]) * size, atol=3e-4)
    return path


@glmnet.row('`glmnet(x, y, family = "multinomial")`', "`standardize = TRUE`, the default of glmnet")
def default():
    path = same("lasso")
    intercepts = np.array(R["lasso"]["intercept"])
    np.testing.assert_allclose(
        path.intercepts - path.intercepts.mean(axis=1, keepdims=True),
        intercepts - intercepts.mean(axis=1, keepdims=True),
        atol=3e-4,
    )


@glmnet.row("`standardize = FALSE`")
def as_they_are():
    same("plain", PLAIN, standardize=False)


@glmnet.row("`alpha`")
def mixing():
    same("elastic_net", l1_ratio=0.5)
    same("ridge", l1_ratio=0.0)


@glmnet.row("`lambda`")
def strength():
    n = len(Y)
    for index, value in enumerate(R["lambda"]):
        for own in ({"alpha": value}, {"C": 1 / (value * n)}):
            clf = MaxentClassifier(l1_ratio=1.0, standardize=True, tol=1e-9, **own).fit(X, Y)
            expected = np.array(R["lasso"]["coef"][index]) * X.std(axis=0)
            np.testing.assert_allclose(clf.coef_ * X.std(axis=0), expected, atol=3e-4)
    path = maxent_path(X, Y, alphas=R["lambda"])
    np.testing.assert_allclose(path.alphas, R["lambda"])
    clf = MaxentClassifierCV(alphas=R["lambda"], cv=3).fit(X, Y)
    np.testing.assert_allclose(clf.alphas_, R["lambda"])


@glmnet.row("`nlambda`")
def grid():
    path = maxent_path(X, Y, alphas=100, standardize=True)
    np.testing.assert_allclose(path.alphas[: len(R["path"]["lambda"])], R["path"]["lambda"], 1e-5)
    assert len(path.Cs) == 100


@glmnet.row('`type.multinomial = "grouped"`')
def groups():
    same("grouped", grouped=True)


@glmnet.row("`penalty.factor`, which glmnet rescales to sum to the number of features")
def factors():
    factors = np.tile([1.0, 2.0, 3.0], 10)
    same("penalty_factor", penalty_factor=factors * len(factors) / factors.sum())


@glmnet.row("`exclude`")
def exclusion():
    frame = pd.DataFrame(X, columns=[f"V{j}" for j in range(1, 31)])
    path = maxent_path(
        frame,
        Y,
        alphas=R["lambda"],
        standardize=True,
        penalty_factor={"V1": np.inf, "V3": np.inf},
        tol=1e-9,
    )
    expected = np.array(R["exclude"]["coef"]) * X.std(axis=0)
    np.testing.assert_allclose(path.coefs * X.std(axis=0), expected, atol=3e-4)


@glmnet.row("`lower.limits`, `upper.limits`")
def limits():
    same("limits", 10.0 * PLAIN, bounds=(-0.05, 0.025))


@glmnet.row("`offset`")
def offsets():
    offset = np.column_stack([0.5 * PLAIN[:, 0], -0.3 * PLAIN[:, 1], np.zeros(len(Y))])
    path = same("offset", offset=offset)
    clf = MaxentClassifier(alpha=0.03, l1_ratio=1.0, standardize=True, tol=1e-9)
    clf.fit(X, Y, offset=offset)
    Z = clf.decision_function(X, offset=offset)
    np.testing.assert_allclose(Z, X @ path.coefs[1].T + path.intercepts[1] + offset, atol=1e-5)
    with pytest.raises(ValueError, match="offset"):
        clf.predict_proba(X)


@glmnet.row("`weights`")
def weights():
    same("weights", sample_weight=WEIGHTS)


@glmnet.row("`intercept`")
def intercepts():
    path = same("no_intercept", fit_intercept=False)
    np.testing.assert_array_equal(path.intercepts, 0.0)


@glmnet.row("`relax = TRUE`")
def relaxed():
    expected = R["relaxed"]
    path = maxent_path(PLAIN, Y, alphas=expected["lambda"], relax="union", tol=1e-9)
    for found, theirs in zip(path.relaxed_coefs, np.array(expected["coef"]), strict=True):
        centred = found - found.mean(axis=0), theirs - theirs.mean(axis=0)
        np.testing.assert_allclose(*centred, atol=1e-3)
    clf = MaxentClassifierCV(
        alphas=expected["lambda"],
        l1_ratios=[1.0],
        fold_weights="size",
        relax="union",
        cv=PredefinedSplit(R["fold"]),
    ).fit(PLAIN, Y)
    table = clf.cv_results_frame().pivot(index="gamma", columns="C", values="mean_score")
    np.testing.assert_allclose(-2.0 * table, R["relaxed_cv"]["cvm"], rtol=2e-5)


def cross_validation(scoring=None, **parameters):
    return MaxentClassifierCV(
        alphas=R["lambda"],
        l1_ratios=[1.0],
        standardize=True,
        fold_weights="size",
        cv=PredefinedSplit(R["fold"]),
        scoring=scoring,
        **parameters,
    ).fit(X, Y)


@glmnet.row("`cv.glmnet`", '`type.measure = "deviance"`', "`foldid`")
def deviances():
    table = cross_validation().cv_results_frame()
    np.testing.assert_allclose(-2.0 * table["mean_score"], R["cv"]["deviance"], rtol=1e-6)
    clf = MaxentClassifierCV(
        alphas=5, l1_ratios=[1.0], standardize=True, fold_weights="size", cv=3
    ).fit(X, Y)
    np.testing.assert_allclose(clf.alphas_[0], R["path"]["lambda"][0], rtol=1e-5)


@glmnet.row('`type.measure = "class"`')
def errors():
    table = cross_validation("accuracy").cv_results_frame()
    np.testing.assert_allclose(1.0 - table["mean_score"], R["cv"]["class"], rtol=1e-9)


@glmnet.row('`s = "lambda.min"`, `"lambda.1se"`')
def choices():
    for selection, name in (("best", "min"), ("one_standard_error", "one_se")):
        clf = MaxentClassifierCV(
            alphas=CV["lambda"],
            l1_ratios=[1.0],
            fold_weights="size",
            selection=selection,
            cv=PredefinedSplit(CV["fold"]),
        ).fit(PLAIN, Y)
        np.testing.assert_allclose(clf.alpha_, CV["lasso"][name])


@glmnet.row("`coef(fit)`")
def tables():
    frame = pd.DataFrame(X, columns=[f"V{j}" for j in range(1, 31)])
    path = maxent_path(frame, Y, alphas=R["lambda"], standardize=True)
    table = path.coef_frame()
    table = table[table["feature"] != "Intercept"]
    assert len(table) == np.count_nonzero(path.coefs)
    clf = MaxentClassifier(alpha=0.03, l1_ratio=1.0, standardize=True, tol=1e-9).fit(frame, Y)
    found = clf.coef_frame().iloc[:-1] * X.std(axis=0)[:, None]
    np.testing.assert_allclose(found.T, np.array(R["lasso"]["coef"][1]) * X.std(axis=0), atol=3e-4)


@glmnet.row('`predict(type = "link")`, `"response"`, `"class"`')
def predictions():
    clf = MaxentClassifier(alpha=0.03, l1_ratio=1.0, standardize=True, tol=1e-9)
    clf.fit(X, Y, WEIGHTS)
    link = np.array(R["predict"]["link"])
    found = clf.decision_function(X[:5])
    np.testing.assert_allclose(
        found - found.mean(axis=1, keepdims=True),
        link - link.mean(axis=1, keepdims=True),
        atol=1e-3,
    )
    np.testing.assert_allclose(clf.predict_proba(X[:5]), R["predict"]["response"], atol=3e-4)
    assert clf.predict(X[:20]).tolist() == R["predict"]["class"]


@glmnet.row("`plot(fit)`, `plot(cvfit)`")
def plots():
    path = maxent_path(X, Y, alphas=10, standardize=True)
    assert len(PathDisplay.from_path(path).lines_) == 30
    assert CVCurveDisplay.from_estimator(cross_validation()).ax_.get_xscale() == "log"


@glmnet.row("`thresh`, change of the objective")
def tolerance():
    exact = MaxentClassifier(alpha=0.03, l1_ratio=1.0, standardize=True, tol=1e-10).fit(X, Y)
    rough = MaxentClassifier(alpha=0.03, l1_ratio=1.0, standardize=True, tol=1e-2).fit(X, Y)
    assert exact.optimality_gap_ < 1e-6
    error = np.abs(rough.coef_ - exact.coef_) * X.std(axis=0) * np.sqrt(len(Y))
    assert error.max() < 1.0  # in units of a typical standard error


@glmnet.row('`family = "binomial"`')
def two_classes():
    path = maxent_path(X, Y == 1, alphas=R["lambda"], standardize=True, tol=1e-9)
    size = X.std(axis=0)
    expected = np.array(R["two_classes"]["coef"])[:, 0]
    np.testing.assert_allclose(path.coefs[:, 0] * size, expected * size, atol=3e-4)
    np.testing.assert_allclose(path.intercepts[:, 0], R["two_classes"]["intercept"], atol=3e-4)


def test_each_row_is_executed():
    assert sorted(glmnet.checks) == sorted(glmnet.on_page)


@pytest.mark.parametrize("first", glmnet.checks)
def test_glmnet(first):
    glmnet.checks[first]()
