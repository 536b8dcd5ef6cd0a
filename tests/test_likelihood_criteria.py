"""Likelihood ratios, AIC and BIC of fits that do not reach the maximum of the likelihood."""

import pickle

import numpy as np
import pytest
from scipy.special import xlogy

from skmaxent import MaxentClassifier


def separated():
    """A binary column, 1 in four rows that all have the label 1, beside a column with a limit.

    The supremum of the likelihood is that of the fit to the rows where the column is 0.
    """
    X = np.column_stack([np.arange(200) % 3 - 1.0, np.arange(200) < 4])
    y = (np.arange(200) // 3) % 2
    y[:4] = 1
    return X, y


def supremum(X, y):
    """By the other rows, whose cells are saturated here: x0 has three values, one logit each."""
    inside = X[:, 1] == 0
    exact = MaxentClassifier(C=np.inf, tol=1e-10).fit(X[inside, :1], y[inside])
    return exact.infer(X[inside, :1], y[inside]).log_likelihood


def null(y):
    share = y.mean()
    return len(y) * (xlogy(share, share) + xlogy(1 - share, 1 - share))


@pytest.mark.filterwarnings("ignore:Some rows are separated:UserWarning")
@pytest.mark.filterwarnings("ignore:The classes are separated:UserWarning")
def test_a_separated_fit_has_the_ratio_of_the_supremum():
    X, y = separated()
    # Far from the supremum: one iteration has not gone far.
    clf = MaxentClassifier(C=np.inf, tol=1e-3).fit(X, y)
    results = clf.infer(X, y)
    limit = supremum(X, y)
    chi2 = 2 * (limit - null(y))
    assert f"χ² = {chi2:.5g}, p" in str(results)
    np.testing.assert_allclose(results.aic, -2 * limit + 2 * 3, rtol=1e-9)
    np.testing.assert_allclose(results.bic, -2 * limit + 3 * np.log(200), rtol=1e-9)


@pytest.mark.filterwarnings("ignore:max_iter:UserWarning")
@pytest.mark.filterwarnings("ignore:the coefficients are:UserWarning")
def test_a_fit_that_stopped_early_has_the_ratio_of_the_maximum():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (3 * X[:, 0] + rng.logistic(size=300) > 0).astype(int)
    early = MaxentClassifier(C=np.inf, max_iter=1).fit(X, y).infer(X, y)
    whole = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y).infer(X, y)
    assert early.log_likelihood < whole.log_likelihood - 1
    chi2 = 2 * (whole.log_likelihood - whole.null_log_likelihood)
    assert f"χ² = {chi2:.5g}, p" in str(early)
    np.testing.assert_allclose([early.aic, early.bic], [whole.aic, whole.bic], rtol=1e-9)
    # Without the rows their maximum is not known.
    loaded = pickle.loads(pickle.dumps(early))
    assert "not available: the maximum of the likelihood is not known" in str(loaded)
    assert "AIC" not in str(loaded)
    for name in ("aic", "bic"):
        with pytest.warns(UserWarning, match=r"is NaN: the coefficients are not optimal"):
            assert np.isnan(getattr(loaded, name))
    np.testing.assert_allclose(loaded.with_data(X, y).aic, whole.aic, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:Of 3 bootstrap samples:UserWarning")
@pytest.mark.parametrize(
    "parameters", [{"C": 1.0}, {"C": 1.0, "l1_ratio": 1.0}, {"bounds": (0, None), "C": np.inf}]
)
def test_criteria_of_a_bootstrapped_penalised_fit_are_nan(parameters):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    results = (
        MaxentClassifier(**parameters).fit(X, y).infer(X, y, method="bootstrap", n_bootstrap=3)
    )
    for name in ("aic", "bic"):
        with pytest.warns(UserWarning, match=r"(AIC|BIC) is NaN: it needs the largest likelihood"):
            assert np.isnan(getattr(results, name))


def test_criteria_of_a_bootstrapped_maximum_are_those_of_the_fit():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 3
    clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
    drawn, plain = clf.infer(X, y, method="bootstrap", n_bootstrap=3), clf.infer(X, y)
    assert drawn.aic == pytest.approx(plain.aic)
    assert drawn.bic == pytest.approx(plain.bic)


@pytest.mark.filterwarnings("ignore:Some rows are separated:UserWarning")
@pytest.mark.filterwarnings("ignore:Of 3 bootstrap samples:UserWarning")
def test_a_bootstrap_says_first_that_the_fit_is_separated():
    X, y = separated()
    clf = MaxentClassifier(C=np.inf).fit(X, y)
    with pytest.warns(UserWarning, match="The classes are separated"):
        results = clf.infer(X, y, method="bootstrap", n_bootstrap=3)
    assert str(results).startswith("Warning")


def test_log_likelihoods_of_a_bootstrap_are_those_of_what_was_observed():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 3
    smooth = MaxentClassifier(label_smoothing=0.2).fit(X, y)
    results = smooth.infer(X, y, method="bootstrap", n_bootstrap=3)
    expected = np.log(smooth.predict_proba(X)[range(60), y]).sum()
    assert results.log_likelihood == pytest.approx(expected)
    sets = np.eye(3, dtype=bool)[y]
    sets[:20, 0] = True
    partial = MaxentClassifier(partial_labels=True).fit(X, sets)
    results = partial.infer(X, sets, method="bootstrap", n_bootstrap=3)
    expected = np.log((partial.predict_proba(X) * sets).sum(axis=1)).sum()
    assert results.log_likelihood == pytest.approx(expected)
    null = MaxentClassifier(partial_labels=True, tol=1e-8).fit(0 * X, sets)
    expected = np.log((null.predict_proba(0 * X) * sets).sum(axis=1)).sum()
    assert results.null_log_likelihood == pytest.approx(expected)


@pytest.mark.parametrize("how", ["sample_weight", "class_weight"])
def test_a_bootstrap_names_the_class_without_weight(how):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 3
    weights = np.where(y == 2, 0.0, 1.0) if how == "sample_weight" else None
    factors = {0: 1, 1: 1, 2: 0} if how == "class_weight" else None
    clf = MaxentClassifier(class_weight=factors).fit(X, y, weights)
    with pytest.raises(ValueError, match=r"positive weight in every class .* classes \[2\]"):
        clf.infer(X, y, weights, method="bootstrap", n_bootstrap=3)
