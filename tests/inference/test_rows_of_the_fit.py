"""Functions that get the data of the fit again warn if they get other data."""

import html
import warnings

import numpy as np
import pytest

from skmaxent import MaxentClassifier, SurveyDesign, conformal_sets, infer, leave_one_out

RNG = np.random.default_rng(3)
X = RNG.normal(size=(400, 3))
Y = (0.5 * X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(400, 3))).argmax(axis=1)
W = np.exp(0.3 * RNG.normal(size=400))
ML = {"C": np.inf}
FITS = [
    ML,
    {"C": 0.1},
    {"C": 0.1, "prior_coef": np.full((3, 3), 0.3)},
    {"C": np.inf, "bias_reduction": "jeffreys"},
]
FITS_OF_LOO = [
    ML,
    {"C": 0.1},
    {"C": 0.1, "l1_ratio": 1.0},
    {"C": 0.1, "l1_ratio": 0.5, "grouped": True},
    {"C": 1.0, "bounds": (-0.1, 0.3)},
]
FAR = "standard errors from the optimum for X and y: {} needs .* sample_weight"


def by_hand(X, y, weights, fitted_weights):
    """Newton step, in standard errors of n rows, of the logistic regression of two classes."""
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y, fitted_weights)
    Z = np.column_stack([X, np.ones(len(X))])
    p = clf.predict_proba(X)[:, 1]
    gradient = Z.T @ (weights * (p - y))
    hessian = (Z.T * (weights * p * (1.0 - p))) @ Z
    return clf, float(np.sqrt(gradient @ np.linalg.solve(hessian, gradient)))


@pytest.mark.parametrize("parameters", FITS)
def test_infer_without_the_weights_of_the_fit(parameters):
    clf = MaxentClassifier(**parameters).fit(X, Y, W)
    design = SurveyDesign(psu=np.arange(400) // 10)
    is_ml = parameters == ML
    for options in ({}, {"design": design}, {"weights": "probability"})[: 3 if is_ml else 1]:
        clf.infer(X, Y, W, **options)
        with pytest.warns(UserWarning, match=FAR.format("infer")):
            found = clf.infer(X, Y, **options)
        assert "not maximum-likelihood" in found.notes[-1]


def test_the_distance_in_the_warning_is_that_of_a_newton_step():
    clf, distance = by_hand(X, Y > 0, np.ones(400), W)
    assert 0.05 < distance < 1.0
    for function in (infer, leave_one_out, conformal_sets):
        with pytest.warns(UserWarning, match=f"^the coefficients are {distance:.2g} standard"):
            function(clf, X, Y > 0)


@pytest.mark.parametrize("parameters", FITS_OF_LOO)
def test_leave_one_out_of_rows_that_were_not_fitted(parameters):
    clf = MaxentClassifier(**parameters).fit(X[:200], Y[:200])
    leave_one_out(clf, X[:200], Y[:200])
    with pytest.warns(UserWarning, match=FAR.format("leave_one_out")):
        leave_one_out(clf, X[200:], Y[200:])
    with pytest.warns(UserWarning, match=FAR.format("conformal_sets")):
        conformal_sets(clf, X[200:], Y[200:])


def test_results_of_a_bootstrap_leave_out_rows_of_the_fit_only():
    clf = MaxentClassifier(C=0.1, l1_ratio=1.0).fit(X[:200], Y[:200])
    bootstrap = {"method": "bootstrap", "n_bootstrap": 2}
    clf.infer(X[:200], Y[:200], **bootstrap).loo()
    with pytest.warns(UserWarning, match="are not those of a fit to X and y"):
        results = clf.infer(X[200:], Y[200:], **bootstrap)
    for method in (results.loo, results.diagnostics):
        with pytest.warns(UserWarning, match=FAR.format("infer")):
            method()


@pytest.mark.parametrize(
    "parameters",
    [
        {"C": np.inf, "tol": 1.0},
        {"C": np.inf, "tol": 0.1, "solver": "lbfgs"},
        {"C": np.inf, "bias_reduction": "jeffreys", "tol": 0.1},
        {"C": np.inf, "class_weight": {0: 1.0, 1: 2.0, 2: 3.0}},
    ],
)
def test_the_rows_of_a_loose_fit_are_recognised(parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MaxentClassifier(**parameters).fit(X, Y, W)
        clf.infer(X, Y, W, weights="probability")
        if "bias_reduction" not in parameters:
            leave_one_out(clf, X, Y, W, weights="probability")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_merged_rows_and_equal_weights_are_the_same_data(dtype):
    counts = RNG.integers(1, 5, 400)
    rows = X.astype(dtype)
    clf = MaxentClassifier(C=np.inf).fit(rows, Y, counts)
    repeated = np.repeat(rows, counts, axis=0), np.repeat(Y, counts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.infer(*repeated)
        leave_one_out(clf, *repeated)
        MaxentClassifier(C=np.inf).fit(rows, Y, np.full(400, 2.5)).infer(rows, Y)


def test_frequency_weights_that_are_not_whole():
    clf = MaxentClassifier(C=np.inf).fit(X, Y, 300.0 * W)
    results = clf.infer(X, Y, 300.0 * W)
    (caution,) = results.cautions
    assert "not whole numbers" in caution
    assert "weights='probability'" in caution
    assert caution in " ".join(str(results).split())  # lines are wrapped
    assert html.escape(caution) in results._repr_html_()
    assert clf.infer(X, Y, 300.0 * W, weights="probability").cautions == ()
    assert MaxentClassifier(C=1.0).fit(X, Y, W).infer(X, Y, W).cautions == (caution,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_that_are_whole_up_to_rounding(dtype):
    counts = 0.1 * (10.0 * RNG.integers(0, 4, 400)).astype(dtype)
    counts[0] = 0.1 * 3.0 * 10.0  # 3 and a rounding error in float64
    rows = X.astype(dtype)
    clf = MaxentClassifier(C=np.inf).fit(rows, Y, counts)
    assert clf.infer(rows, Y, counts).cautions == ()
    shares = np.eye(3)[Y] * 0.7 + 0.1
    assert MaxentClassifier(C=np.inf).fit(rows, shares).infer(rows, shares).cautions == ()


def test_the_sum_of_the_weights_of_chunks():
    da = pytest.importorskip("dask.array")
    chunks = [da.from_array(array, chunks=100) for array in (X, Y, W)]
    clf = MaxentClassifier(C=np.inf).fit(*chunks)
    assert len(clf.infer(*chunks).cautions) == 1
    with pytest.warns(UserWarning, match=FAR.format("infer")):
        assert clf.infer(*chunks[:2]).cautions == ()
