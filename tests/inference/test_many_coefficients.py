"""What results say of tests where there are few observations for each coefficient."""

import pickle

import numpy as np
import pytest
from scipy import stats

from skmaxent import MaxentClassifier


def simulated(rng, n, d, n_classes, size=1.0):
    """Rows of which a quarter of the features have coefficients, the first ones."""
    X = rng.normal(size=(n, d))
    coef = np.zeros((n_classes, d))
    coef[:, : d // 4] = size * rng.normal(size=(n_classes, d // 4)) / np.sqrt(d // 4)
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def fitted(X, y, **parameters):
    return MaxentClassifier(C=np.inf, **parameters).fit(X, y)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_caution_has_the_ratio_above_a_tenth(n_classes):
    X, y = simulated(np.random.default_rng(0), 200, 30, n_classes)
    results = fitted(X, y).infer(X, y)
    (caution,) = results.cautions
    assert caution.startswith(
        "31 coefficients of each class for 200 observations, a ratio of 0.15: above about 0.1, "
    )
    assert str(results).count("Sur and Candès 2019") == 1
    assert results._repr_html_().count("Sur and Candès 2019") == 1
    assert results.to_markdown().count("Sur and Candès 2019") == 1
    assert results.relative_to(results.classes[1]).cautions == results.cautions
    assert pickle.loads(pickle.dumps(results)).cautions == results.cautions
    # It is no note: the estimates are those of maximum likelihood.
    assert results.notes == ()
    assert results.aic == pytest.approx(2.0 * results.n_parameters - 2.0 * results.log_likelihood)
    some = fitted(X, y).infer(X, y, features=["x0", "x1"])
    assert some.cautions == results.cautions
    weighted = fitted(X, y).infer(X, y, weights="probability")
    assert weighted.cautions == results.cautions


def test_the_ratio_counts_the_intercept_and_observations():
    X, y = simulated(np.random.default_rng(1), 100, 10, 2)
    assert len(fitted(X, y).infer(X, y).cautions) == 1
    assert fitted(X, y, fit_intercept=False).infer(X, y).cautions == ()
    assert fitted(X[:, 1:], y).infer(X[:, 1:], y).cautions == ()
    twice = np.full(100, 2.0)
    clf = MaxentClassifier(C=np.inf).fit(X, y, twice)
    assert clf.infer(X, y, twice).cautions == ()
    assert len(clf.infer(X, y, twice, weights="probability").cautions) == 1


def test_fits_with_other_remedies_have_no_caution():
    X, y = simulated(np.random.default_rng(2), 120, 30, 3, size=0.5)
    assert len(fitted(X, y).infer(X, y, cov_type="HC0").cautions) == 1
    assert fitted(X, y).infer(X, y, cov_type="HC3").cautions == ()
    assert fitted(X, y, bias_reduction="jeffreys").infer(X, y).cautions == ()
    ridge = MaxentClassifier(C=1.0).fit(X, y).infer(X, y)
    assert ridge.cautions == ()
    assert "Caution" not in str(ridge)


def test_z_tests_reject_too_often_and_the_remedies_do_not():
    """Shares of true hypotheses that z-tests at the level of 5 % reject, with p/n = 0.2.

    Tests of one data set are nearly independent: the features are.
    """
    rng, rejected, n_tests = np.random.default_rng(3), np.zeros(3), 0
    for _ in range(25):
        X, y = simulated(rng, 200, 40, 2, size=1.5)
        n_tests += 30
        clf = fitted(X, y)
        found = [
            clf.infer(X, y),
            fitted(X, y, bias_reduction="jeffreys").infer(X, y),
            clf.infer(X, y, cov_type="HC3"),
        ]
        assert [len(results.cautions) for results in found] == [1, 0, 0]
        z = [(results.coef / results.std_errors)[0, 10:40] for results in found]
        rejected += (np.abs(z) > stats.norm.isf(0.025)).sum(axis=1)
    z, jeffreys, HC3 = (
        stats.binomtest(int(count), n_tests).proportion_ci(0.99) for count in rejected
    )
    assert z.low > 0.05
    assert jeffreys.low < 0.05 < jeffreys.high
    assert HC3.low < 0.05
