"""Covariances and tests for few clusters, against R's sandwich and clubSandwich and brute force."""

import itertools
import json
import warnings

import numpy as np
import pytest
from scipy import stats

from skmaxent import MaxentClassifier
from tests.helpers.beps import DATA, ORACLES, VOTE

R = json.loads((ORACLES / "vcov_few_clusters.json").read_text())
COLUMNS = ["age", "Blair", "Europe"]
ALL, FEW = slice(None), slice(300)
ROW = np.arange(len(VOTE))
A, B = np.floor(np.sqrt(ROW)).astype(int), (7 * ROW**2) % 41
TWO_WAYS = {
    "logit": np.column_stack([A, B]),
    "multinom": np.column_stack([ROW % 97, ROW // 20]),
}
LABOUR = (np.asarray(VOTE) == "Labour").astype(int)
RESPONSES = {"logit": (LABOUR, FEW), "multinom": (np.asarray(VOTE), ALL)}
FACTORS = {"HC1": "coefficients", "HC0": "units", "none": "none"}
EXACT = MaxentClassifier(C=np.inf, tol=1e-11)


def intercept_first(V, n_rows=1):
    """A covariance with the intercept of each class before its other coefficients."""
    width = len(V) // n_rows
    order = np.concatenate([k * width + np.roll(np.arange(width), 1) for k in range(n_rows)])
    return np.asarray(V)[np.ix_(order, order)]


def results(name, **options):
    y, rows = RESPONSES[name]
    X = DATA[COLUMNS][rows]
    groups = {key: value[rows] for key, value in options.items() if key == "groups"}
    return EXACT.fit(X, y[rows]).infer(X, y[rows], **options | groups)


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("kind", FACTORS)
def test_two_ways_are_those_of_sandwich(response, kind):
    options = {"groups": TWO_WAYS[response], "small_sample": FACTORS[kind]}
    found = results(response, cov_type="cluster", **options)
    V = intercept_first(found.covariance, len(found.rows))
    rtol = 1e-6 if response == "logit" else 2e-5  # multinom stops short
    np.testing.assert_allclose(V, R["two_way"][response][kind], rtol=rtol)


def test_two_ways_without_a_positive_definite_covariance_warn():
    X, y = DATA[COLUMNS][FEW], np.asarray(VOTE)[FEW]
    both = np.column_stack([A, (7 * ROW**2) % 13])[FEW]
    clf = EXACT.fit(X, y)
    with pytest.warns(UserWarning, match="negative eigenvalues, which are set to zero"):
        found = clf.infer(X, y, cov_type="cluster", groups=both)
    assert np.linalg.eigvalsh(found.covariance)[0] > -1e-12
    assert found.n_groups == 7
    assert (found.std_errors > 0.0).all()


def test_one_step_is_cr3_of_clubsandwich():
    """CR3 has no factor (G - 1)/G."""
    found = results("logit", cov_type="CV3L", groups=A)
    expected = np.array(R["logit"]["CR3"]) * 17 / 18
    np.testing.assert_allclose(intercept_first(found.covariance), expected, rtol=1e-6)
    assert (found.n_groups, found.df_tests) == (18, 17.0)


def test_refits_are_those_of_glm():
    found = results("logit", cov_type="CV3", groups=A)
    np.testing.assert_allclose(
        intercept_first(found.covariance), R["logit"]["jackknife"], rtol=1e-6
    )


def three_classes(seed=0, n=120):
    """Rows with weights, of three classes in unequal clusters."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = rng.integers(0, 3, n)
    return X, y, rng.integers(1, 4, n).astype(float), np.floor(np.sqrt(np.arange(n))).astype(int)


def reference_coded(clf):
    whole = np.column_stack([clf.coef_, clf.intercept_])
    return (whole[1:] - whole[0]).ravel()


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_jackknives_of_three_classes_are_those_of_the_formulas(fit_intercept):
    X, y, w, groups = three_classes()
    model = MaxentClassifier(C=np.inf, tol=1e-11, fit_intercept=fit_intercept)
    clf = model.fit(X, y, w)
    width = 2 + fit_intercept
    here = np.arange(6) % 3 < width
    estimate, changes = reference_coded(clf)[here], []
    Z, P = np.column_stack([X, np.ones(len(X))])[:, :width], clf.predict_proba(X)
    H = np.zeros((groups.max() + 1, 2 * width, 2 * width))
    s = np.zeros((groups.max() + 1, 2 * width))
    for z, p, k, weight, g in zip(Z, P[:, 1:], y, w, groups, strict=True):
        H[g] += weight * np.kron(np.diag(p) - np.outer(p, p), np.outer(z, z))
        s[g] += weight * np.kron((np.array([1, 2]) == k) - p, z)
    found = clf.infer(X, y, w, cov_type="CV3L", groups=groups)
    steps = np.array([np.linalg.solve(H.sum(axis=0) - H[g], s[g]) for g in range(len(H))])
    share = (len(H) - 1) / len(H)
    np.testing.assert_allclose(found.covariance, share * steps.T @ steps, rtol=1e-6)
    for g in range(len(H)):
        kept = groups != g
        other = MaxentClassifier(C=np.inf, tol=1e-11, fit_intercept=fit_intercept)
        changes.append(reference_coded(other.fit(X[kept], y[kept], w[kept]))[here] - estimate)
    expected = share * np.transpose(changes) @ np.array(changes)
    exact = clf.infer(X, y, w, cov_type="CV3", groups=groups)
    np.testing.assert_allclose(exact.covariance, expected, rtol=1e-5)


def test_a_cluster_that_cannot_be_left_out_is_refused():
    X, y, _, groups = three_classes()
    X = np.column_stack([X, groups == 3])
    clf = MaxentClassifier(C=np.inf, bias_reduction="mean").fit(X, y)
    with pytest.raises(ValueError, match="without cluster 3 do not determine all coefficients"):
        clf.infer(X, y, cov_type="CV3L", groups=groups)
    y = np.where(groups == 4, 2, y % 2)
    clf = MaxentClassifier(C=np.inf, bias_reduction="mean").fit(X[:, :2], y)
    with pytest.raises(ValueError, match=r"without group 4 has no rows .* classes \[2\]"):
        clf.infer(X[:, :2], y, cov_type="CV3", groups=groups)


@pytest.mark.parametrize(
    ("options", "df"),
    [({"cov_type": "cluster", "groups": A}, 17.0), ({"cov_type": "HC1"}, 296.0)],
)
def test_t_and_f_take_the_place_of_normal_and_chi_squared(options, df):
    normal = results("logit", **options)
    found = results("logit", use_t=True, **options)
    assert normal.df_tests == np.inf
    assert found.df_tests == df
    np.testing.assert_array_equal(found.covariance, normal.covariance)
    table = found.summary()
    np.testing.assert_allclose(table["p_value"], 2.0 * stats.t.sf(np.abs(table["t"]), df))
    ends = found.conf_int(0.9)["upper"].to_numpy().reshape(found.coef.shape)
    np.testing.assert_allclose(ends, found.coef + stats.t.ppf(0.95, df) * found.std_errors)
    joint, chi2 = found.wald_test([["age", "Blair"]]).iloc[0], normal.wald_test([["age", "Blair"]])
    assert joint["F"] == pytest.approx(chi2["chi2"].iloc[0] / 2)
    assert joint["p_value"] == pytest.approx(stats.f.sf(joint["F"], 2, df))
    for test in (found.linear_test("age = 0"), found.anova(test="wald")):
        assert list(test) == ["F", "df", "df_denom", "p_value"]
    assert f"Student's t with {df:g} degrees of freedom" in found.to_latex(conf_level=0.9)


def influences(X, y, groups, column, value):
    """Effects of clusters on a coefficient, at the maximum where it has a value."""
    offset = value * X[:, column]
    rest = np.delete(X, column, axis=1)
    clf = MaxentClassifier(C=np.inf, tol=1e-12).fit(rest, y, offset=offset)
    p = clf.predict_proba(rest, offset=offset)[:, 1]
    Z = np.column_stack([X, np.ones(len(X))])
    V = np.linalg.inv((Z * (p * (1 - p))[:, None]).T @ Z)
    scores = np.zeros((groups.max() + 1, Z.shape[1]))
    np.add.at(scores, groups, (y - p)[:, None] * Z)
    return (scores @ V)[:, column]


def test_the_wild_bootstrap_is_that_of_the_formula():
    X, y, _, groups = three_classes()
    y = (y == 1).astype(int)
    found = (
        MaxentClassifier(C=np.inf, tol=1e-11)
        .fit(X, y)
        .infer(X, y, cov_type="cluster", groups=groups)
    )
    a = influences(X, y, groups, 0, 0.3)

    def statistic(v):
        parts = v * a
        return parts.sum() ** 2 / ((parts - parts.mean()) ** 2).sum()

    signs = np.array(list(itertools.product([-1, 1], repeat=len(a))))
    expected = np.mean([statistic(v) >= statistic(np.ones(len(a))) - 1e-9 for v in signs])
    table = found.wild_bootstrap_test("x0 = 0.3", n_bootstrap=2**11)
    assert len(a) == 11
    assert table["chi2"].iloc[0] == pytest.approx(statistic(np.ones(len(a))), rel=1e-5)
    assert table["p_value"].iloc[0] == pytest.approx(expected, abs=1e-12)
    assert table["n_bootstrap"].iloc[0] == 2**11
    for weights in ("rademacher", "webb"):
        drawn = found.wild_bootstrap_test(
            "x0 = 0.3", n_bootstrap=1999, weights=weights, random_state=0
        )
        assert drawn["p_value"].iloc[0] == pytest.approx(expected, abs=0.05)
    again = found.wild_bootstrap_test("x0 = 0.3", weights="webb", random_state=1)
    same = found.wild_bootstrap_test("x0 = 0.3", weights="webb", random_state=1)
    assert again.equals(same)


def test_the_wild_bootstrap_tests_hypotheses_of_several_classes():
    """The statistic does not depend on the coding of the classes or the units of the columns."""
    X, y, w, groups = three_classes()
    options = {"cov_type": "CV3L", "groups": groups}
    found = EXACT.fit(X, y, w).infer(X, y, w, **options)
    scaled = EXACT.fit(X * [1e3, 1.0], y, w).infer(X * [1e3, 1.0], y, w, reference=2, **options)
    one = found.wild_bootstrap_test(["1:x0 = 0", "2:x0 = 0"], random_state=0)
    two = scaled.wild_bootstrap_test(["0:x0 = 0", "1:x0 = 0"], random_state=0)
    np.testing.assert_allclose(one.to_numpy(), two.to_numpy(), rtol=1e-6)
    assert one["df"].iloc[0] == 2


def test_wild_bootstraps_without_clusters_are_refused():
    X, y, _, groups = three_classes()
    clf = EXACT.fit(X, y)
    with pytest.raises(ValueError, match="needs clusters in one way"):
        clf.infer(X, y).wild_bootstrap_test("1:x0 = 0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = clf.infer(X, y, cov_type="cluster", groups=np.column_stack([groups, y % 2]))
    with pytest.raises(ValueError, match="needs clusters in one way"):
        both.wild_bootstrap_test("1:x0 = 0")
    found = clf.infer(X, y, cov_type="cluster", groups=groups)
    with pytest.raises(ValueError, match="weights must be one of"):
        found.wild_bootstrap_test("1:x0 = 0", weights="normal")
    few = clf.infer(X, y, cov_type="cluster", groups=groups % 2)
    with pytest.raises(ValueError, match="2 clusters cannot test 2 restrictions"):
        few.wild_bootstrap_test(["1:x0 = 0", "2:x0 = 0"])
