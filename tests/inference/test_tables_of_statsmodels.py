"""Printed tables, other references, counts and bootstrap samples against statsmodels."""

import re

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression
from statsmodels.datasets import anes96

from skmaxent import MaxentClassifier, compare
from skmaxent._inference._bootstrap import Sampling

DATA = anes96.load_pandas()
X = DATA.exog[["age", "educ"]]
Y = DATA.endog.astype(int) // 3
GROUPS = np.arange(len(Y)) % 40


@pytest.fixture(scope="module")
def results():
    return MaxentClassifier(C=np.inf, tol=1e-9).fit(X, Y).infer(X, Y)


def fitted(labels):
    exog = sm.add_constant(X, prepend=False)
    return sm.MNLogit(labels, exog).fit(method="newton", tol=1e-12, disp=0)


@pytest.fixture(scope="module")
def theirs():
    return fitted(Y)


def numbers(text, decimals):
    """Numbers with so many decimals, without the markup of HTML and LaTeX."""
    text = re.sub(r"<[^>]+>", " ", text).replace("$-$", "-").replace("\N{MINUS SIGN}", "-")
    return re.findall(rf"-?\b\d+\.\d{{{decimals}}}\b", text)


def printed(theirs):
    """Coefficients and, below them, standard errors, with three decimals."""
    pairs = zip(theirs.params.to_numpy(), theirs.bse.to_numpy(), strict=True)
    return [f"{value:.3f}" for pair in pairs for line in pair for value in line]


@pytest.mark.parametrize("method", ["to_markdown", "to_latex", "to_html"])
def test_tables_for_publication(results, theirs, method):
    expected = printed(theirs)
    text = getattr(results, method)()
    assert numbers(text, 3) == expected
    criteria = [f"{value:.2f}" for value in (theirs.llf, theirs.aic, theirs.bic)]
    assert numbers(text, 2) == criteria
    ratio = -2.0 * (theirs.llnull - theirs.llf)
    nagelkerke = -np.expm1(-ratio / len(Y)) / -np.expm1(2.0 * theirs.llnull / len(Y))
    assert numbers(text, 4) == [f"{theirs.prsquared:.4f}", f"{nagelkerke:.4f}"]
    assert f"{len(Y)}" in text
    lines = np.reshape(expected, (-1, 2))
    both = getattr(compare(results, results), method)()
    assert numbers(both, 3) == np.hstack([lines, lines]).ravel().tolist()
    assert numbers(both, 2) == np.repeat(criteria, 2).tolist()


def test_the_text_and_the_page_of_results(results, theirs):
    ends = theirs.conf_int().to_numpy()
    columns = [theirs.params.T, theirs.bse.T, ends[:, 0], ends[:, 1], np.exp(theirs.params.T)]
    cells = np.column_stack([np.ravel(column) for column in columns])
    expected = [f"{value:.4f}" for value in cells.ravel()]
    for text in (str(results).split("upper")[1], results._repr_html_().split("upper")[1]):
        assert numbers(text, 4) == expected
        z = [f"{value:.2f}" for value in np.ravel(theirs.tvalues.T)]
        assert numbers(text, 2) == z
    assert f"χ² = {theirs.llr:.5g}, p = {theirs.llr_pvalue:.3g}" in str(results)


def test_columns_for_maketables(results, theirs):
    for k, column in enumerate(results.to_list()):
        table = column.__maketables_coef_table__
        of_class = (theirs.params[k], theirs.bse[k], theirs.tvalues[k], theirs.pvalues[k])
        for name, expected in zip(("b", "se", "t", "p"), of_class, strict=True):
            np.testing.assert_allclose(table[name], expected, rtol=1e-6)
        assert column.__maketables_stat__("ll") == pytest.approx(theirs.llf)


def test_another_reference_is_a_fit_to_other_codes(results):
    """The reference of statsmodels is its first code."""
    found = results.relative_to(2)
    assert found.rows == [0, 1]
    expected = fitted(Y.map({2: 0, 0: 1, 1: 2}))
    np.testing.assert_allclose(found.coef, expected.params.T, rtol=1e-6)
    np.testing.assert_allclose(found.std_errors, expected.bse.T, rtol=1e-6)
    np.testing.assert_allclose(found.conf_int(), expected.conf_int(), rtol=1e-6, atol=1e-9)


def test_counts(results):
    assert (results.n_obs, results.n_parameters) == (len(Y), 6)
    assert (results.n_columns, results.n_groups) == (None, None)
    clf = MaxentClassifier(C=np.inf).fit(X, Y)
    assert clf.infer(X, Y, groups=GROUPS, cov_type="cluster").n_groups == 40
    weights = GROUPS % 3
    some = clf.fit(X, Y, weights).infer(X, Y, weights, features=["age"])
    assert (some.n_obs, some.n_columns, some.n_parameters) == (weights.sum(), 3, 6)
    assert results.optimality_gap < 1e-12  # the log-likelihood is that of statsmodels to 1e-12


@pytest.mark.parametrize("penalty", [0.5, np.inf])
def test_bootstrap_samples_are_fits_of_scikit_learn(monkeypatch, penalty):
    """To the weights that were drawn, of which none lacks a class."""
    drawn, draw = [], Sampling.draw

    def noted(sampling, rng):
        drawn.append(draw(sampling, rng))
        return drawn[-1]

    monkeypatch.setattr(Sampling, "draw", noted)
    Z = (X - X.mean()) / X.std()
    clf = MaxentClassifier(C=penalty, tol=1e-9, random_state=0).fit(Z, Y)
    found = clf.infer(Z, Y, method="bootstrap", n_bootstrap=6)
    assert len(drawn) == 6
    for weights, replicate in zip(drawn, found.replicates, strict=True):
        assert weights.sum() == len(Y)
        exact = LogisticRegression(C=penalty, tol=1e-10, max_iter=1000).fit(Z, Y, weights)
        B = np.column_stack([exact.coef_, exact.intercept_])
        np.testing.assert_allclose(replicate, B[1:] - B[0], atol=1e-4)
    assert not any(found.replicate_counts.values())
    samples = found.replicates.reshape(6, -1)
    np.testing.assert_allclose(found.covariance, np.cov(samples.T), rtol=1e-10)
    ends = np.quantile(samples, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(found.conf_int(), ends)
    assert isinstance(found.cov_params(), pd.DataFrame)
