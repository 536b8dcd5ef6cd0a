"""Inference against numbers that Stata 11 printed, as statsmodels records them.

They are in `statsmodels.discrete.tests.results.results_discrete`, which statsmodels installs:
`Anes` is a multinomial logit of the 1996 American National Election Study, `Spector` a logit of the
data of Spector & Mazzeo (1980). Tolerances are the digits that were recorded.
"""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from statsmodels.datasets import anes96, spector
from statsmodels.discrete.tests.results.results_discrete import Anes, Spector

from skmaxent import MaxentClassifier

MULTINOMIAL, BINARY = Anes.mnlogit_basezero, Spector.logit
ELECTION = anes96.load_pandas()
PUPILS = spector.load_pandas()
# As Stata held them: grades such as 3.28 in single precision, which shows in the eighth digit.
GRADES = PUPILS.exog.astype(np.float32).astype(float)


def fitted(X, y):
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, y)
    return clf, clf.infer(X, y)


@pytest.fixture(scope="module")
def multinomial():
    return fitted(ELECTION.exog, ELECTION.endog.astype(int))


@pytest.fixture(scope="module")
def with_vote():
    X = ELECTION.exog.assign(vote=ELECTION.data["vote"])
    return X, fitted(X, ELECTION.endog.astype(int))[1]


@pytest.fixture(scope="module")
def binary():
    return fitted(GRADES, PUPILS.endog.astype(int))


def recorded(stata, name):
    """Numbers by class, then coefficient; statsmodels has a column for each class."""
    return np.asarray(getattr(stata, name)).T.ravel()


CASES = [("multinomial", ELECTION.exog, MULTINOMIAL), ("binary", GRADES, BINARY)]


@pytest.mark.parametrize("model, X, stata", CASES)
def test_coefficients_and_their_tests(request, model, X, stata):
    table = request.getfixturevalue(model)[1].summary()
    assert_allclose(table["coef"], recorded(stata, "params"), rtol=1e-6, atol=2e-7)
    assert_allclose(table["std_err"], recorded(stata, "bse"), rtol=1e-7)
    assert_allclose(table["z"], recorded(stata, "z"), atol=1e-7)
    assert_allclose(table["p_value"], recorded(stata, "pvalues"), rtol=2e-5, atol=1e-9)
    ends = np.reshape(np.asarray(stata.conf_int), (-1, 2))
    assert_allclose(table[["lower", "upper"]], ends, rtol=1e-6, atol=5e-6)


@pytest.mark.parametrize("model, X, stata", CASES)
def test_figures_of_the_fit(request, model, X, stata):
    results = request.getfixturevalue(model)[1]
    for ours, theirs in (
        ("log_likelihood", "llf"),
        ("null_log_likelihood", "llnull"),
        ("aic", "aic"),
        ("bic", "bic"),
        ("mcfadden_r2", "prsquared"),
    ):
        assert getattr(results, ours) == pytest.approx(getattr(stata, theirs), rel=1e-9), ours
    assert results.df_model == stata.df_model
    assert results.df_resid == stata.df_resid
    assert results.n_obs == stata.nobs


def test_covariance(binary):
    assert_allclose(binary[1].cov_params(), BINARY.cov_params, rtol=1e-7)


@pytest.mark.parametrize("model, X, stata", CASES)
def test_likelihood_ratio_against_the_intercepts_alone(request, model, X, stata):
    results = request.getfixturevalue(model)[1]
    (test,) = results.likelihood_ratio_test(features=[list(X)]).itertuples()
    assert test.chi2 == pytest.approx(stata.llr, rel=1e-8)
    assert test.df == stata.df_model
    assert test.p_value == pytest.approx(stata.llr_pvalue, rel=1e-6)


@pytest.mark.parametrize("model, X, stata", CASES)
def test_probabilities_and_logits(request, model, X, stata):
    clf = request.getfixturevalue(model)[0]
    P, Z = clf.predict_proba(X), clf.decision_function(X)
    if stata is BINARY:
        P = P[:, 1]
    else:
        Z = Z - Z[:, :1]
    assert_allclose(P, stata.phat, atol=1e-7)
    assert_allclose(Z, stata.yhat, atol=1e-6)


def check_effects(found, effects, errors, atol=3e-7, rtol=1e-6):
    """Effects of each class, or of the second of two, whose errors have fewer digits."""
    assert_allclose(found["effect"], np.asarray(effects).T.ravel(), atol=atol)
    assert_allclose(found["std_err"], np.asarray(errors).T.ravel(), atol=1e-7, rtol=rtol)


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_effects_on_the_probabilities_of_seven_classes(multinomial, at):
    found = multinomial[1].marginal_effects(ELECTION.exog, at=at)
    name = f"margeff_dydx_{at}"
    check_effects(found, getattr(MULTINOMIAL, name), getattr(MULTINOMIAL, f"{name}_se"))


def test_effects_with_a_feature_that_is_0_or_1(with_vote):
    X, results = with_vote
    found = results.marginal_effects(X, discrete=["vote"])
    name = "margeff_dydx_dummy_overall"
    check_effects(found, getattr(MULTINOMIAL, name), getattr(MULTINOMIAL, f"{name}_se"))


def one_row(values, **changed):
    return pd.DataFrame([values]).assign(**changed)


PLACES = {
    "nodummy_dydx": "overall",
    "nodummy_dydxmean": "mean",
    "nodummy_dydxmedian": one_row(GRADES.median()),
    "nodummy_dydxzero": one_row(0.0 * GRADES.mean()),
    "nodummy_atexog1": GRADES.assign(GPA=2.0, PSI=1.0),
    "nodummy_atexog2": one_row(GRADES.mean(), TUCE=21.0, PSI=0.0),
    "dummy_dydx": "overall",
    "dummy_dydxmean": "mean",
    "dummy_atexog1": GRADES.assign(GPA=2.0, PSI=1.0),
    "dummy_atexog2": one_row(GRADES.mean(), TUCE=21.0, PSI=0.0),
}


@pytest.mark.parametrize("name", PLACES)
def test_effects_on_the_probability_of_success(binary, name):
    discrete = ["PSI"] if name.startswith("dummy") else []
    found = binary[1].marginal_effects(GRADES, at=PLACES[name], discrete=discrete)
    effects, errors = (getattr(BINARY, f"margeff_{name}{end}") for end in ("", "_se"))
    check_effects(found.loc[1], effects, errors, rtol=1e-5)
    # The probabilities of the two classes sum to one.
    assert_allclose(found.loc[0, "effect"], -found.loc[1, "effect"], rtol=1e-10)
    assert_allclose(found.loc[0, "std_err"], found.loc[1, "std_err"], rtol=1e-10)
