"""Every column of the tables of results, against statsmodels, SciPy and brute force.

Other tests compare the coefficients, covariances and most statistics with R and Stata. Here are the
columns that follow from them, p-values, F statistics and intervals, and parts of scores.
"""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from helpers.beps import DATA, ORACLES, VOTE
from scipy import stats
from statsmodels.datasets import anes96
from statsmodels.stats.multitest import multipletests

from skmaxent import MaxentClassifier, infer

ML = MaxentClassifier(C=np.inf, tol=1e-10)
ANES = anes96.load_pandas()
X, Y = ANES.exog[["selfLR", "age", "educ"]], (ANES.endog.astype(int) + 1) // 3
WHOLE = sm.add_constant(X, prepend=False)
CLUSTERS = np.arange(len(Y)) % 30
R = json.loads((ORACLES / "tests_beps.json").read_text())


@pytest.fixture(scope="module")
def results():
    return ML.fit(X, Y).infer(X, Y)


@pytest.fixture(scope="module")
def clustered():
    """With Student's t distribution of 29 degrees of freedom."""
    return ML.fit(X, Y).infer(X, Y, cov_type="cluster", groups=CLUSTERS, use_t=True)


@pytest.fixture(scope="module")
def theirs():
    return sm.MNLogit(Y, WHOLE).fit(method="newton", tol=1e-12, disp=0)


def wald(of, A):
    """The quadratic form of the restrictions A, (q, n_coefficients), of the coefficients."""
    value = A @ np.ravel(of.coef)
    return value @ np.linalg.solve(A @ np.asarray(of.covariance) @ A.T, value)


def unit(feature, row):
    """The weights of the coefficient of a feature in a row of two rows of four coefficients."""
    return np.eye(8)[4 * row + list(WHOLE).index(feature)]


# Coefficients


@pytest.mark.parametrize("method", ["bonferroni", "holm", "fdr_bh"])
def test_adjusted_p_values_are_of_all_slopes(results, theirs, method):
    table = results.summary(adjust=method)
    slopes = (table.index.get_level_values("feature") != "Intercept").nonzero()[0]
    p_values = np.ravel(theirs.pvalues.T)
    expected = np.full(8, np.nan)
    expected[slopes] = multipletests(p_values[slopes], method=method)[1]
    np.testing.assert_allclose(table["p_value"], p_values, rtol=1e-6)
    np.testing.assert_allclose(table["p_adjusted"], expected, rtol=1e-6)


@pytest.mark.parametrize("conf_level", [0.8, 0.99])
def test_odds_ratios_of_two_classes_are_those_of_statsmodels(conf_level):
    y = (Y > 0).astype(int)
    logit = sm.Logit(y, WHOLE).fit(method="newton", tol=1e-12, disp=0)
    table = ML.fit(X, y).infer(X, y).summary(conf_level, exponentiate=True)
    plain = ML.fit(X, y).infer(X, y).summary(conf_level)
    ends = logit.conf_int(1.0 - conf_level).to_numpy()
    ratios = np.exp(logit.params)
    for found in (table, plain):
        np.testing.assert_allclose(found["odds_ratio"], ratios, rtol=1e-7)
        np.testing.assert_allclose(found["z"], logit.tvalues, rtol=1e-6)
        np.testing.assert_allclose(found["p_value"], logit.pvalues, rtol=1e-6)
    np.testing.assert_allclose(table["std_err"], ratios * logit.bse, rtol=1e-7)
    np.testing.assert_allclose(table[["lower", "upper"]], np.exp(ends), rtol=1e-7)
    np.testing.assert_allclose(plain[["lower", "upper"]], ends, rtol=1e-6)
    found = ML.fit(X, y).infer(X, y).conf_int(conf_level)
    np.testing.assert_allclose(found, ends, rtol=1e-6)


def test_marginal_effects_have_the_columns_of_statsmodels(results, theirs):
    for at in ("overall", "mean"):
        expected = theirs.get_margeff(at=at)
        found = results.marginal_effects(X, at, conf_level=0.9)
        value, error = expected.margeff.T.ravel(), expected.margeff_se.T.ravel()
        z = value / error
        np.testing.assert_allclose(found["effect"], value, rtol=1e-6, atol=1e-10)
        np.testing.assert_allclose(found["std_err"], error, rtol=1e-6)
        np.testing.assert_allclose(found["z"], z, rtol=1e-5)
        np.testing.assert_allclose(found["p_value"], expected.pvalues.T.ravel(), rtol=1e-5)
        half = stats.norm.ppf(0.95) * error
        np.testing.assert_allclose(found["lower"], value - half, rtol=1e-5)
        np.testing.assert_allclose(found["upper"], value + half, rtol=1e-5)


def test_few_clusters_have_quantiles_of_students_t(clustered):
    coef, errors = np.ravel(clustered.coef), np.sqrt(np.diag(clustered.covariance))
    a = 2.0 * unit("age", 0) - unit("educ", 1)
    of_sum = np.sqrt(a @ clustered.covariance @ a)
    effects = clustered.marginal_effects(X, conf_level=0.9)
    for table, value, error in (
        (clustered.summary(0.9), coef, errors),
        (clustered.hypotheses("2*1:age - 2:educ = 0.1", conf_level=0.9), a @ coef - 0.1, of_sum),
        (effects, effects["effect"], effects["std_err"]),
    ):
        np.testing.assert_allclose(table["std_err"], error, rtol=1e-8)
        np.testing.assert_allclose(table["t"], value / error, rtol=1e-8)
        p_value = 2.0 * stats.t.sf(np.abs(value / error), 29)
        np.testing.assert_allclose(table["p_value"], p_value, rtol=1e-7)
        half = stats.t.ppf(0.95, 29) * error
        np.testing.assert_allclose(table["lower"], value - half, rtol=1e-7)
        np.testing.assert_allclose(table["upper"], value + half, rtol=1e-7)


def test_hypotheses_have_p_values_and_intervals_of_the_normal_distribution(results):
    a = 2.0 * unit("age", 0) - unit("educ", 1)
    value, error = a @ np.ravel(results.coef) - 0.1, np.sqrt(a @ results.covariance @ a)
    row = results.hypotheses("2*1:age - 2:educ = 0.1", conf_level=0.8).iloc[0]
    half = stats.norm.ppf(0.9) * error
    expected = [value, error, value / error, 2.0 * stats.norm.sf(abs(value / error))]
    names = ["estimate", "std_err", "z", "p_value", "lower", "upper"]
    np.testing.assert_allclose(row[names], [*expected, value - half, value + half], rtol=1e-8)


# Joint tests


RESTRICTIONS = {
    "wald_test": [[unit(x, 0), unit(x, 1)] for x in WHOLE],
    "equality_test": [[unit(x, 0) - unit(x, 1)] for x in WHOLE],
    "combine_test": [
        [unit(x, 0) for x in X],
        [unit(x, 1) for x in X],
        [unit(x, 0) - unit(x, 1) for x in X],
    ],
    "linear_test": [[unit("age", 0), unit("educ", 1)]],
}
CALLS = {
    "wald_test": lambda of: of.wald_test(),
    "equality_test": lambda of: of.equality_test(),
    "combine_test": lambda of: of.combine_test(),
    "linear_test": lambda of: of.linear_test(["1:age", "2:educ"]),
}


def check(table, chi2, df, df_denom=None):
    """Compare chi-squared tests, or F tests with the degrees of freedom of the denominator."""
    chi2, df = np.asarray(chi2), np.asarray(df)
    assert table["df"].tolist() == df.tolist()
    if df_denom is None:
        assert list(table) == ["chi2", "df", "p_value"]
        np.testing.assert_allclose(table["chi2"], chi2, rtol=1e-6)
        np.testing.assert_allclose(table["p_value"], stats.chi2.sf(chi2, df), rtol=1e-4)
    else:
        assert list(table) == ["F", "df", "df_denom", "p_value"]
        np.testing.assert_allclose(table["F"], chi2 / df, rtol=1e-6)
        np.testing.assert_allclose(table["df_denom"], df_denom)
        np.testing.assert_allclose(table["p_value"], stats.f.sf(chi2 / df, df, df_denom), rtol=1e-4)


@pytest.mark.parametrize("test", CALLS)
def test_walds_tests_are_quadratic_forms(results, clustered, test):
    restrictions = [np.array(A) for A in RESTRICTIONS[test]]
    df = [len(A) for A in restrictions]
    check(CALLS[test](results), [wald(results, A) for A in restrictions], df)
    check(CALLS[test](clustered), [wald(clustered, A) for A in restrictions], df, 29)


@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("few", [False, True])
def test_walds_anova_is_a_difference_of_quadratic_forms(kind, few):
    """Of type II: the statistic of a term and the terms that contain it, minus that of these."""
    frame = X[["age", "educ"]].assign(product=X["age"] * X["educ"] / 100.0)
    options = {"cov_type": "cluster", "groups": CLUSTERS, "use_t": True} if few else {}
    clf = ML.fit(frame, Y)
    found = infer(clf, frame, Y, terms={"age:educ": ["product"]}, **options)

    def of(*columns):
        return wald(found, np.eye(8)[[4 * k + j for k in range(2) for j in columns]])

    chi2 = [of(0, 2) - of(2), of(1, 2) - of(2), of(2)] if kind == 2 else [of(0), of(1), of(2)]
    table = found.anova(kind, test="wald")
    assert table.index.tolist() == ["age", "educ", "age:educ"]
    check(table, chi2, [2, 2, 2], 29 if few else None)


def test_the_likelihood_ratio_of_slopes_that_are_zero(results, theirs):
    free = sm.MNLogit(Y, WHOLE.drop(columns="age")).fit(method="newton", tol=1e-12, disp=0)
    table = results.linear_test(["1:age", "2:age"], test="lr")
    check(table, [2.0 * (theirs.llf - free.llf)], [2])
    check(results.likelihood_ratio_test(features="age"), [2.0 * (theirs.llf - free.llf)], [2])


def test_p_values_of_iia_are_those_of_chi_squared():
    rows = DATA[["age", "Europe", "Blair"]].assign(male=(DATA["gender"] == "male") * 1.0)
    found = ML.fit(rows, VOTE).infer(rows, VOTE)
    for name, table in (
        ("hausman", found.iia_test()),
        ("small_hsiao", found.iia_test("small-hsiao", random_state=0)),
    ):
        expected = pd.DataFrame(R[name]).set_index("omitted")
        p_values = stats.chi2.sf(expected["chi2"], expected["df"])
        p_values[expected["chi2"] < 0.0] = np.nan
        np.testing.assert_allclose(table["p_value"], p_values, rtol=1e-3)


# Goodness of fit


@pytest.fixture(scope="module")
def fit():
    rows = DATA[["Blair", "Kennedy"]].astype(float)
    clf = MaxentClassifier(C=np.inf, tol=1e-11).fit(rows, VOTE)
    T = (np.asarray(VOTE)[:, None] == clf.classes_).astype(float)
    return rows, clf.infer(rows, VOTE), clf.predict_proba(rows), T


@pytest.mark.parametrize("test", ["pearson", "deviance"])
def test_cells_have_p_values_and_a_share_of_small_counts(fit, test):
    rows, found, P, T = fit
    cells = pd.factorize(pd.MultiIndex.from_frame(rows))[0]
    observed, expected = (pd.DataFrame(A).groupby(cells).sum().to_numpy() for A in (T, P))
    row = found.goodness_of_fit(test).iloc[0]
    if test == "pearson":
        chi2 = ((observed - expected) ** 2 / expected).sum()
    else:
        seen = observed > 0.0
        chi2 = 2.0 * (observed[seen] * np.log(observed[seen] / expected[seen])).sum()
    df = 2 * len(observed) - 6
    expected = [chi2, df, stats.chi2.sf(chi2, df), len(observed), (expected < 5.0).mean()]
    names = ["chi2", "df", "p_value", "n_groups", "small_expected"]
    np.testing.assert_allclose(row[names], expected, rtol=1e-6)


@pytest.mark.parametrize("n_groups", [10, 40])
def test_groups_have_a_share_of_small_counts(n_groups):
    rows = DATA[["age", "Blair", "Europe"]]
    clf = MaxentClassifier(C=np.inf, tol=1e-11).fit(rows, VOTE)
    P = clf.predict_proba(rows)
    groups = pd.qcut(np.round(1.0 - P[:, 0], 12), n_groups, labels=False, duplicates="drop")
    expected = pd.DataFrame(P).groupby(groups).sum().to_numpy()
    row = clf.infer(rows, VOTE).goodness_of_fit(n_groups=n_groups).iloc[0]
    assert row["n_groups"] == len(expected)
    assert row["small_expected"] == (expected < 5.0).mean()
    assert (row["small_expected"] > 0.0) == (n_groups == 40)


def edges_of(p, n_bins, strategy):
    levels = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    return levels if strategy == "uniform" else np.unique(np.quantile(p, levels))


def bins_of(p, n_bins, strategy):
    p = np.round(p, 12)  # rows with equal features have equal probabilities
    return np.searchsorted(edges_of(p, n_bins, strategy), p, side="left")


def calibrated(T, bins):
    """The shares of the classes in the bin of each row."""
    return pd.DataFrame(T).groupby(bins).transform("mean").to_numpy()


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
@pytest.mark.parametrize("score", ["brier", "log"])
def test_parts_of_scores_are_scores_of_recalibrated_probabilities(fit, score, strategy):
    """Siegert (2017): the probabilities, the shares in their bins, and the shares of all rows."""
    _, found, P, T = fit

    def scored(Q, T):
        if score == "brier":
            return ((Q - T) ** 2).sum(axis=1).mean()
        return -np.log(Q[T > 0.0]).sum() / len(T)

    def parts(P, T, bins):
        base = scored(np.tile(T.mean(axis=0), (len(T), 1)), T)
        best = scored(calibrated(T, bins), T)
        return np.array([scored(P, T), scored(P, T) - best, base - best, base])

    expected = []
    for k in range(3):
        p, t = P[:, [k]], T[:, [k]]
        two = [np.hstack([A, 1.0 - A]) for A in (p, t)]
        one = parts(*two, bins_of(P[:, k], 5, strategy))
        expected.append(0.5 * one if score == "brier" else one)
    if score == "brier":
        expected.append(np.sum(expected, axis=0))
    else:
        top, bins = P.argmax(axis=1), np.zeros(len(P), int)
        for k in np.unique(top):
            bins[top == k] = 100 * k + bins_of(P[top == k, k], 5, strategy)
        expected.append(parts(P, T, bins))
    table = found.score_decomposition(score, n_bins=5, strategy=strategy)
    assert list(table) == ["score", "reliability", "resolution", "uncertainty"]
    np.testing.assert_allclose(table, expected, rtol=1e-7, atol=1e-10)


def test_calibration_in_bins_of_equal_width(fit):
    _, found, P, T = fit
    table = found.calibration(n_bins=5, strategy="uniform", conf_level=0.8)
    z = stats.norm.ppf(0.9)
    for k, label in enumerate(found.classes):
        bins = bins_of(P[:, k], 5, "uniform")
        part = table.loc[label]
        assert len(part) == len(np.unique(bins))
        for row, code in zip(part.itertuples(), np.unique(bins), strict=True):
            here = bins == code
            n, share = here.sum(), T[here, k].mean()
            # The shares whose score test of the observed one has this level.
            ends = np.sort(np.roots([n + z * z, -(2 * n * share + z * z), n * share**2]))
            expected = [P[here, k].mean(), share, *ends, n]
            np.testing.assert_allclose(row[1:], expected, rtol=1e-7, atol=1e-12)
