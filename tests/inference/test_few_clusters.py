"""Covariances and tests for few clusters, against R's sandwich and clubSandwich and brute force."""

import itertools
import json
import warnings

import numpy as np
import pytest
import scipy.sparse
from scipy import stats
from scipy.linalg import fractional_matrix_power

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


def test_webbs_weights_have_six_values():
    """All patterns of the weights of five clusters, of which the bootstrap draws some."""
    X, y, _, groups = three_classes()
    y, groups = (y == 1).astype(int), groups % 5
    a = influences(X, y, groups, 0, 0.3)
    sizes = np.sqrt([0.5, 1.0, 1.5])
    parts = a * np.array(list(itertools.product([*sizes, *-sizes], repeat=5)))
    spread = ((parts - parts.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    observed = a.sum() ** 2 / ((a - a.mean()) ** 2).sum()
    expected = np.mean(parts.sum(axis=1) ** 2 / spread >= observed - 1e-9)
    found = EXACT.fit(X, y).infer(X, y, cov_type="cluster", groups=groups)
    options = {"n_bootstrap": 20_000, "weights": "webb", "random_state": 0}
    table = found.wild_bootstrap_test("x0 = 0.3", **options)
    assert table["p_value"].iloc[0] == pytest.approx(expected, abs=0.015)  # four standard errors


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
    with pytest.raises(ValueError, match="n_bootstrap must be an integer of at least 1"):
        found.wild_bootstrap_test("1:x0 = 0", n_bootstrap=1.5)
    few = clf.infer(X, y, cov_type="cluster", groups=groups % 2)
    with pytest.raises(ValueError, match="2 clusters cannot test 2 restrictions"):
        few.wild_bootstrap_test(["1:x0 = 0", "2:x0 = 0"])


@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_leverages_are_those_of_sandwich(kind):
    found = results("logit", cov_type=kind)
    np.testing.assert_allclose(intercept_first(found.covariance), R["logit"][kind], rtol=1e-6)
    assert kind in str(found)
    assert found.df_tests == np.inf


def with_leverages(clf, X, y, w, power):
    """HC2 and HC3 of three classes by their definition, with rows that stand for w others."""
    Z, P = np.column_stack([X, np.ones(len(X))]), clf.predict_proba(X)[:, 1:]
    curvature = [np.diag(p) - np.outer(p, p) for p in P]
    designs = [np.kron(np.eye(2), z) for z in Z]
    V = np.linalg.inv(sum(n * D.T @ S @ D for n, D, S in zip(w, designs, curvature, strict=True)))
    meat = 0.0
    for n, D, S, p, k in zip(w, designs, curvature, P, y, strict=True):
        hat = np.eye(2) - min(n, 1.0) * S @ D @ V @ D.T
        adjusted = fractional_matrix_power(hat, power) @ ((np.array([1, 2]) == k) - p)
        meat = meat + n * np.outer(D.T @ adjusted, D.T @ adjusted)
    return V @ meat @ V


@pytest.mark.parametrize(("kind", "power"), [("HC2", -0.5), ("HC3", -1.0)])
def test_leverages_of_three_classes_are_matrices(kind, power):
    X, y, w, _ = three_classes()
    clf = EXACT.fit(X, y, w)
    expected = with_leverages(clf, X, y, w, power)
    found = clf.infer(X, y, w, cov_type=kind)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-6)
    many = np.repeat(X, w.astype(int), axis=0), np.repeat(y, w.astype(int))
    again = MaxentClassifier(C=np.inf, tol=1e-11).fit(*many).infer(*many, cov_type=kind)
    np.testing.assert_allclose(again.covariance, expected, rtol=1e-6)
    # Two observations in a row, of which one may be of another class.
    counts = np.eye(3)[y] + np.eye(3)[np.roll(y, 1)]
    table = MaxentClassifier(C=np.inf, tol=1e-11).fit(X, counts).infer(X, counts, cov_type=kind)
    long = np.concatenate([X, X]), np.concatenate([y, np.roll(y, 1)])
    rows = MaxentClassifier(C=np.inf, tol=1e-11).fit(*long).infer(*long, cov_type=kind)
    np.testing.assert_allclose(table.covariance, rows.covariance, rtol=1e-6)


@pytest.mark.parametrize(("kind", "power"), [("HC2", -0.5), ("HC3", -1.0)])
def test_scores_of_less_than_one_observation_count_by_their_weight(kind, power):
    """As those of HC0 do: a correction for leverages cannot make standard errors smaller."""
    X, y, w, _ = three_classes()
    w = w * 0.3
    clf = EXACT.fit(X, y, w)
    found = clf.infer(X, y, w, cov_type=kind).covariance
    np.testing.assert_allclose(found, with_leverages(clf, X, y, w, power), rtol=1e-6)
    assert (np.diag(found) > np.diag(clf.infer(X, y, w, cov_type="HC0").covariance)).all()


@pytest.mark.filterwarnings("ignore:class_weight multiplies:UserWarning")
@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_leverages_with_class_weights_are_those_of_the_multiplied_rows(kind):
    X, y, _, _ = three_classes()
    factors = np.array([2, 1, 3])
    many = np.repeat(X, factors[y], axis=0), np.repeat(y, factors[y])
    expected = EXACT.fit(*many).infer(*many, cov_type=kind).covariance
    weighted = MaxentClassifier(C=np.inf, tol=1e-11, class_weight=dict(enumerate(factors)))
    found = weighted.fit(X, y).infer(X, y, cov_type=kind).covariance
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Weights of rows and repeated rows are the same, also with class weights below one.
    small = MaxentClassifier(C=np.inf, tol=1e-11, class_weight=dict(enumerate(0.2 * factors)))
    found = small.fit(X, y, factors[y]).infer(X, y, factors[y], cov_type=kind).covariance
    expected = small.fit(*many).infer(*many, cov_type=kind).covariance
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_leverages_with_sampling_weights_have_no_scale():
    X, y, w, _ = three_classes()
    found = [
        MaxentClassifier(C=np.inf, tol=1e-11)
        .fit(X, y, scale * w)
        .infer(X, y, scale * w, cov_type="HC3", weights="probability")
        .covariance
        for scale in (1.0, 1e3)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize("response", ["logit", "multinom"])
def test_bell_and_mccaffrey_are_those_of_clubsandwich(response):
    """Of the linear model that a Newton step solves, whose residuals have unit variance."""
    y, expected = RESPONSES[response][0][FEW], R["CR2"][response]
    X = DATA[COLUMNS][FEW]
    found = EXACT.fit(X, y).infer(X, y, cov_type="CV2", groups=A[FEW])
    n_rows, rtol = len(found.rows), 1e-6 if response == "logit" else 2e-5
    V = intercept_first(found.covariance, n_rows)
    np.testing.assert_allclose(V, expected["vcov"], rtol=rtol)
    p_values = found.summary()["p_value"].to_numpy().reshape(n_rows, -1)
    np.testing.assert_allclose(np.roll(p_values, 1, axis=1).ravel(), expected["p"], rtol=rtol)
    names = [f"{row}:{name} = 0" for row in found.rows for name in ("age", "Blair")]
    for joint in (found.wald_test([["age", "Blair"]]), found.linear_test(names)):
        for key, value in (("F", "F"), ("df_denom", "df_denom"), ("p_value", "p")):
            assert joint[key].iloc[0] == pytest.approx(expected["HTZ"][value], rel=rtol)
    if response == "logit":  # which takes another root of the same matrix
        other = np.sqrt(np.diag(R["clubSandwich_glm"]["CR2"]))
        np.testing.assert_allclose(np.sqrt(V.diagonal()), other, rtol=2e-3)


def test_effects_and_hypotheses_have_degrees_of_freedom_of_their_own():
    """They do not depend on the coding; a difference has those of a coefficient in another."""
    X, y, w, groups = three_classes()
    clf = EXACT.fit(X, y, w)
    one = clf.infer(X, y, w, cov_type="CV2", groups=groups)
    two = one.relative_to(1)
    found = one.hypotheses("1:x0 - 2:x0 = 0", conf_level=0.9).iloc[0]
    other = two.hypotheses("2:x0 = 0", conf_level=0.9).iloc[0]
    assert found["p_value"] == pytest.approx(other["p_value"], rel=1e-8)
    assert found["upper"] == pytest.approx(-other["lower"], rel=1e-8)
    own = two.summary(0.9).loc[(2, "x0")]
    assert own["p_value"] == pytest.approx(other["p_value"], rel=1e-8)
    assert own["upper"] == pytest.approx(other["upper"], rel=1e-8)
    normal = clf.infer(X, y, w, cov_type="CV2", groups=groups, use_t=False)
    for method in ("slopes", "comparisons"):
        tables = [getattr(each, method)(by=True) for each in (one, normal)]
        ratios = [table["upper"] - table["lower"] for table in tables]
        ratio = (ratios[0] / ratios[1]).to_numpy()
        assert (ratio > stats.t.ppf(0.975, 10.0) / stats.norm.ppf(0.975)).all()
        assert np.ptp(ratio) > 1e-3
    effects = one.marginal_effects(X)
    slopes = one.slopes(by=True).set_index(["class", "variable"]).reindex(effects.index)
    np.testing.assert_allclose(effects["p_value"], slopes["p_value"], rtol=1e-5)
    rows = one.predictions(X[:3])
    narrow = normal.predictions(X[:3])
    assert (rows["lower"] < narrow["lower"]).all()
    intervals = [each.predict_proba_interval(X[:3]) for each in (one, normal)]
    lower = [table.xs("lower", axis=1, level=1) for table in intervals]
    assert (lower[0] < lower[1]).all().all()


def test_a_cluster_that_alone_determines_a_coefficient_has_no_adjusted_score():
    X, y, _, groups = three_classes()
    X = np.column_stack([X, groups == 3])
    clf = MaxentClassifier(C=np.inf, bias_reduction="mean").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = clf.infer(X, y, cov_type="CV2", groups=groups)
    assert np.isfinite(found.covariance).all()
    assert (found.std_errors > 0.05).all()
    assert found.summary()["p_value"].notna().all()


@pytest.mark.parametrize("kind", ["CV2", "CV3L"])
def test_half_of_the_rows_have_these_covariances_too(kind):
    X, y = DATA[COLUMNS], np.asarray(VOTE)
    lasso = MaxentClassifier(C=1.0, l1_ratio=1.0, random_state=0).fit(X, y)
    found = lasso.infer(X, y, method="split", cov_type=kind, groups=A)
    assert found.n_groups == pytest.approx(20, abs=1)
    assert found.df_tests == found.n_groups - 1
    assert "t" in found.summary()


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_refits_of_float32_rows_are_those_of_float64(storage):
    X, y, weights, groups = three_classes()
    X = np.asarray(X, np.float32)  # the same numbers in both
    expected = EXACT.fit(X.astype(float), y, weights).infer(
        X.astype(float), y, weights, cov_type="CV3", groups=groups
    )
    narrow = storage(X)
    found = EXACT.fit(narrow, y, weights).infer(narrow, y, weights, cov_type="CV3", groups=groups)
    np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-5)
