"""Small-sample factors of robust covariances, against R's sandwich and statsmodels."""

import json

import numpy as np
import pytest
import statsmodels.api as sm

import skmaxent
from skmaxent import MaxentClassifier
from tests.helpers.beps import DATA, ORACLES, VOTE

R = json.loads((ORACLES / "vcov_cluster.json").read_text())
X = DATA[["age", "Blair", "Europe"]]
CLUSTERS = (7 * np.arange(len(X)) ** 2) % 41
FACTORS = {"HC1": "coefficients", "HC0": "units", "none": "none"}
RESPONSES = {"multinom": VOTE, "logit": (VOTE == "Labour").astype(int)}


def with_intercept_first(errors):
    return np.roll(errors, 1, axis=1).ravel()


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("kind", FACTORS)
def test_clusters_are_those_of_sandwich(response, kind):
    y = RESPONSES[response]
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y)
    options = {"cov_type": "cluster", "groups": CLUSTERS, "small_sample": FACTORS[kind]}
    results = skmaxent.infer(clf, X, y, **options)
    found = with_intercept_first(results.std_errors)
    np.testing.assert_allclose(found, R[response][kind], rtol=2e-5)
    assert results.small_sample == FACTORS[kind]
    if kind == "HC1":
        default = clf.infer(X, y, cov_type="cluster", groups=CLUSTERS)
        np.testing.assert_array_equal(default.covariance, results.covariance)


@pytest.mark.parametrize("response", RESPONSES)
def test_rows_are_those_of_sandwich(response):
    y = RESPONSES[response]
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y)
    plain = with_intercept_first(clf.infer(X, y, cov_type="HC0").std_errors)
    np.testing.assert_allclose(plain, R[response]["robust"], rtol=2e-5)
    hc1 = with_intercept_first(clf.infer(X, y, cov_type="HC1").std_errors)
    np.testing.assert_allclose(hc1, R[response]["robust_HC1"], rtol=2e-5)
    units = with_intercept_first(clf.infer(X, y, cov_type="HC0", small_sample="units").std_errors)
    np.testing.assert_allclose(units, plain * np.sqrt(len(X) / (len(X) - 1)))


@pytest.mark.parametrize("use_correction", [True, False])
def test_clusters_are_those_of_statsmodels(use_correction):
    y = RESPONSES["logit"]
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y)
    keywords = {"groups": CLUSTERS, "use_correction": use_correction}
    expected = sm.Logit(y, X.assign(Intercept=1.0)).fit(
        disp=0, method="newton", tol=1e-12, cov_type="cluster", cov_kwds=keywords
    )
    small_sample = None if use_correction else "none"
    options = {"cov_type": "cluster", "groups": CLUSTERS, "small_sample": small_sample}
    found = clf.infer(X, y, **options).std_errors[0]
    np.testing.assert_allclose(found, expected.bse, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"small_sample": "units"},
        {"small_sample": "coefficients", "cov_type": "HC0"},
        {"small_sample": "units", "cov_type": "HC1"},
        {"small_sample": "HC1", "cov_type": "cluster", "groups": CLUSTERS},
        {"small_sample": "none", "method": "bootstrap"},
        {"small_sample": "none", "features": ["age"]},
    ],
)
def test_factors_that_do_not_go_together_are_refused(options):
    clf = MaxentClassifier(C=np.inf).fit(X, VOTE)
    with pytest.raises(ValueError, match=r"small_sample='\w+' (does not go with|is for)"):
        clf.infer(X, VOTE, **options)
