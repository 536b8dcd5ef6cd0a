"""Standard errors, tests and effects against statsmodels, R, brglm2 and simulation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.datasets import anes96

from skmaxent import MaxentClassifier
from skmaxent._inference import _covariance

ORACLES = Path(__file__).parents[1] / "oracles"
DATA = anes96.load_pandas()
X = DATA.exog[["logpopul", "selfLR", "age", "educ", "income"]]
Y = DATA.endog.astype(int)
GROUPS = np.arange(len(Y)) % 30
WEIGHTS = np.random.default_rng(0).integers(1, 4, len(Y))


def statsmodels_fit(features=X, labels=Y, **options):
    exog = sm.add_constant(features, prepend=False, has_constant="add")
    return sm.MNLogit(labels, exog).fit(method="newton", tol=1e-12, disp=0, **options)


@pytest.fixture(scope="module")
def clf():
    return MaxentClassifier(C=np.inf, tol=1e-9).fit(X, Y)


@pytest.fixture(scope="module")
def results(clf):
    return clf.infer(X, Y)


@pytest.fixture(scope="module")
def theirs():
    return statsmodels_fit()


def test_the_table_is_statsmodels(results, theirs):
    table = results.summary()
    for ours, expected in (
        ("coef", theirs.params),
        ("std_err", theirs.bse),
        ("z", theirs.tvalues),
        ("p_value", theirs.pvalues),
    ):
        np.testing.assert_allclose(
            table[ours].to_numpy().reshape(6, 6), expected.T, rtol=1e-6, atol=1e-12
        )
    np.testing.assert_allclose(
        table[["lower", "upper"]].to_numpy(), theirs.conf_int().to_numpy(), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(table["relative_risk_ratio"], np.exp(table["coef"]))
    assert table.index[0] == (1, "logpopul")
    for name, expected in (
        ("log_likelihood", theirs.llf),
        ("null_log_likelihood", theirs.llnull),
        ("aic", theirs.aic),
        ("bic", theirs.bic),
        ("mcfadden_r2", theirs.prsquared),
        ("df_model", theirs.df_model),
        ("df_resid", theirs.df_resid),
    ):
        assert getattr(results, name) == pytest.approx(expected, rel=1e-8), name


@pytest.mark.parametrize("cov_type", ["HC0", "cluster"])
def test_robust_covariances_are_statsmodels(clf, cov_type):
    groups = {"groups": GROUPS} if cov_type == "cluster" else {}
    found = clf.infer(X, Y, cov_type=cov_type, **groups)
    options = {"cov_kwds": groups} if groups else {}
    expected = statsmodels_fit(cov_type=cov_type, **options)
    np.testing.assert_allclose(found.std_errors, expected.bse.T, rtol=1e-6)


def test_covariances_are_those_of_their_definitions(clf):
    """A direct computation over rows; statsmodels' HC1 is its HC0."""
    P = clf.predict_proba(X)
    Z = np.column_stack([X, np.ones(len(X))])
    T = np.eye(7)[Y]
    scores = np.stack([np.kron(t[1:] - p[1:], z) for t, p, z in zip(T, P, Z, strict=True)])
    spreads = [np.diag(p[1:]) - np.outer(p[1:], p[1:]) for p in P]
    H = sum(np.kron(A, np.outer(z, z)) for A, z in zip(spreads, Z, strict=True))
    V = np.linalg.inv(H)
    n, p = scores.shape
    HC0 = V @ scores.T @ scores @ V
    np.testing.assert_allclose(clf.infer(X, Y).covariance, V, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(
        clf.infer(X, Y, cov_type="HC1").covariance, HC0 * n / (n - p), rtol=1e-5, atol=1e-12
    )
    sums = np.array([scores[g == GROUPS].sum(axis=0) for g in range(30)])
    cluster = V @ sums.T @ sums @ V * (30 / 29) * ((n - 1) / (n - p))
    np.testing.assert_allclose(
        clf.infer(X, Y, cov_type="cluster", groups=GROUPS).covariance,
        cluster,
        rtol=1e-5,
        atol=1e-12,
    )


def test_blocks_sparse_columns_and_threads_change_nothing(clf, results, small_blocks):
    rows = sp.csr_array(X.to_numpy())
    other = MaxentClassifier(C=np.inf, tol=1e-9, n_jobs=2).fit(rows, Y)
    for cov_type, groups in (("nonrobust", None), ("HC0", None), ("cluster", GROUPS)):
        np.testing.assert_allclose(
            other.infer(rows, Y, cov_type=cov_type, groups=groups).std_errors,
            clf.infer(X, Y, cov_type=cov_type, groups=groups).std_errors,
            rtol=1e-6,
        )


def test_frequency_weights_are_repeated_rows():
    rows = np.repeat(np.arange(len(Y)), WEIGHTS)
    weighted = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, Y, WEIGHTS)
    repeated = MaxentClassifier(C=np.inf, tol=1e-9).fit(X.iloc[rows], Y.iloc[rows])
    for cov_type in ("nonrobust", "HC0", "HC1"):
        one = weighted.infer(X, Y, WEIGHTS, cov_type=cov_type)
        two = repeated.infer(X.iloc[rows], Y.iloc[rows], cov_type=cov_type)
        np.testing.assert_allclose(one.std_errors, two.std_errors, rtol=1e-6)
        assert one.n_obs == pytest.approx(two.n_obs)
        assert one.log_likelihood == pytest.approx(two.log_likelihood)
        assert one.bic == pytest.approx(two.bic)


def test_probability_weights_do_not_depend_on_their_scale():
    model = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, Y, WEIGHTS)
    one = model.infer(X, Y, WEIGHTS, weights="probability")
    ten = model.infer(X, Y, 10.0 * WEIGHTS, weights="probability")
    assert one.cov_type == "HC0"
    assert one.n_obs == len(Y)
    np.testing.assert_allclose(one.std_errors, ten.std_errors)
    # Two equal rows of half the weight are no more information than clusters of them.
    np.testing.assert_allclose(
        model.infer(
            X, Y, WEIGHTS, weights="probability", cov_type="cluster", groups=np.arange(944)
        ).std_errors,
        one.std_errors * np.sqrt(944 / 943 * 943 / (944 - 36)),
        rtol=1e-9,
    )


def test_codings_are_contrasts_of_each_other(clf, results):
    symmetric = clf.infer(X, Y, reference="symmetric")
    np.testing.assert_allclose(symmetric.coef[:, :-1], clf.coef_, atol=1e-7)
    assert symmetric.rows == list(range(7))
    np.testing.assert_allclose(symmetric.coef.sum(axis=0), 0.0, atol=1e-9)
    against_three = clf.infer(X, Y, reference=3)
    assert against_three.rows == [0, 1, 2, 4, 5, 6]
    np.testing.assert_allclose(against_three.coef[0], -results.coef[2], atol=1e-9)
    # One against three is the same contrast in both codings.
    L = np.kron(np.eye(7)[[1]] - np.eye(7)[[3]], np.eye(6))
    np.testing.assert_allclose(
        np.sqrt((L @ symmetric.covariance @ L.T).diagonal()), against_three.std_errors[1]
    )
    with pytest.raises(ValueError, match="reference is 9; expected 'symmetric' or one of"):
        clf.infer(X, Y, reference=9)


def test_two_classes_are_a_logit():
    labels = (Y > 3).astype(int)
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, labels)
    expected = sm.Logit(labels, sm.add_constant(X, prepend=False)).fit(disp=0, tol=1e-12)
    found = clf.infer(X, labels)
    np.testing.assert_allclose(found.coef[0], expected.params, rtol=1e-6)
    np.testing.assert_allclose(found.std_errors[0], expected.bse, rtol=1e-6)
    assert found.log_likelihood == pytest.approx(expected.llf)
    np.testing.assert_allclose(clf.infer(X, labels, reference=1).coef, -found.coef)
    effects = found.marginal_effects(X).loc[1]
    np.testing.assert_allclose(effects["effect"], expected.get_margeff().margeff, rtol=1e-6)
    np.testing.assert_allclose(effects["std_err"], expected.get_margeff().margeff_se, rtol=1e-6)


def test_nnet_multinom_and_vglm_on_their_own_data():
    oracle = json.loads((ORACLES / "multinom_pneumo.json").read_text())["pneumo"]
    data = pd.DataFrame(oracle["data"])
    labels = np.repeat(["a_normal", "b_mild", "c_severe"], len(data))
    features = pd.DataFrame({"let": np.tile(data["let"], 3)})
    counts = data[["normal", "mild", "severe"]].to_numpy().T.ravel()
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(features, labels, counts)
    found = clf.infer(features, labels, counts)
    coef = found.coef[:, ::-1]  # R has the intercept first
    np.testing.assert_allclose(coef, np.transpose(oracle["vglm_coef"]), rtol=2e-6)
    np.testing.assert_allclose(coef, oracle["coef"], rtol=1e-4)
    errors = found.std_errors[:, ::-1].T.ravel()
    np.testing.assert_allclose(errors, oracle["vglm_se"], rtol=1e-5)
    assert found.log_likelihood == pytest.approx(oracle["loglik"], rel=1e-9)


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_marginal_effects_are_statsmodels(results, theirs, at):
    found = results.marginal_effects(X, at=at)
    expected = theirs.get_margeff(at=at)
    np.testing.assert_allclose(
        found["effect"].to_numpy().reshape(7, 5), expected.margeff.T, rtol=1e-6, atol=1e-10
    )
    np.testing.assert_allclose(
        found["std_err"].to_numpy().reshape(7, 5), expected.margeff_se.T, rtol=1e-6
    )
    np.testing.assert_allclose(found["effect"].groupby("feature").sum(), 0.0, atol=1e-12)


def test_marginal_effects_of_discrete_features_and_of_given_rows(monkeypatch):
    from skmaxent._effects import _rows

    frame = X.assign(old=(X["age"] > 50).astype(float))
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(frame, Y)
    results = clf.infer(frame, Y)
    found = results.marginal_effects(frame, discrete=["old"])
    expected = clf.predict_proba(frame.assign(old=1.0)) - clf.predict_proba(frame.assign(old=0.0))
    effects = found.xs("old", level="feature")
    np.testing.assert_allclose(effects["effect"], expected.mean(axis=0), atol=1e-9)
    dummy = statsmodels_fit(frame).get_margeff(dummy=True)
    np.testing.assert_allclose(effects["std_err"], dummy.margeff_se[5], rtol=1e-5)
    monkeypatch.setattr(_rows, "DENSE_ROWS", 100)
    pd.testing.assert_frame_equal(results.marginal_effects(frame, discrete=["old"]), found)
    at_rows = results.marginal_effects(frame, at=frame.iloc[:10])
    pd.testing.assert_frame_equal(at_rows, results.marginal_effects(frame.iloc[:10]))
    with pytest.raises(ValueError, match="at must be"):
        results.marginal_effects(frame, at="median")


def test_tests_of_terms(results, theirs):
    wald = results.wald_test(["age", ["educ", "income"]])
    restriction = np.zeros((6, 36))
    restriction[np.arange(6), 6 * np.arange(6) + 2] = 1.0
    expected = theirs.wald_test(restriction, scalar=True, use_f=False)
    assert wald.loc["age", "chi2"] == pytest.approx(float(expected.statistic), rel=1e-6)
    assert wald.loc["age", "p_value"] == pytest.approx(float(expected.pvalue), rel=1e-5)
    assert wald.loc["educ + income", "df"] == 12
    smaller = statsmodels_fit(X.drop(columns="age"))
    found = results.likelihood_ratio_test(features="age")
    assert found.loc["age", "chi2"] == pytest.approx(2 * (theirs.llf - smaller.llf), rel=1e-6)
    nested = MaxentClassifier(C=np.inf, tol=1e-9).fit(X.drop(columns="age"), Y)
    against = nested.infer(X.drop(columns="age"), Y)
    other = results.likelihood_ratio_test(against)
    assert other["chi2"].item() == pytest.approx(found["chi2"].item(), rel=1e-6)
    with pytest.raises(ValueError, match="nested"):
        against.likelihood_ratio_test(results)
    with pytest.raises(ValueError, match="'height' is no feature"):
        results.wald_test("height")
    with pytest.raises(ValueError, match="are no features"):
        results.likelihood_ratio_test(features="Intercept")
    assert list(results.wald_test().index) == [*X.columns, "Intercept"]


@pytest.mark.parametrize("C", [np.inf, 0.1])
@pytest.mark.parametrize("reference", [None, 3, "symmetric"])
def test_some_features_have_their_block_of_the_covariance(C, reference):
    clf = MaxentClassifier(C=C, tol=1e-9).fit(X, Y)
    whole = clf.infer(X, Y, reference=reference)
    some = clf.infer(X, Y, reference=reference, features=["educ", "age"])
    index = some.cov_params().index
    np.testing.assert_allclose(
        some.covariance, whole.cov_params().loc[index, index], rtol=1e-5, atol=1e-9
    )
    np.testing.assert_allclose(some.coef.ravel(), whole.summary()["coef"][index], atol=1e-9)
    if np.inf == C:
        assert some.aic == pytest.approx(whole.aic)
        pd.testing.assert_frame_equal(some.wald_test(), whole.wald_test(["educ", "age"]), rtol=1e-5)
    with pytest.raises(ValueError, match="all features"):
        some.predict_proba_interval(X)
    with pytest.raises(ValueError, match=r"found \['height'\]"):
        clf.infer(X, Y, features=["height"])


def test_some_features_of_two_classes_and_of_many_sparse_columns():
    labels = (Y > 3).astype(int)
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, labels)
    some = clf.infer(X, labels, features=["age"]).std_errors[0, 0]
    assert some == pytest.approx(clf.infer(X, labels).std_errors[0, 2], rel=1e-5)
    rng = np.random.default_rng(0)
    wide = sp.random(500, 300, 0.05, random_state=rng, format="csr")
    many = rng.integers(0, 4, 500)
    clf = MaxentClassifier(tol=1e-8).fit(wide, many)
    some = clf.infer(wide, many, features=["x7", "x200"])
    whole = clf.infer(wide, many).summary()
    np.testing.assert_allclose(
        some.summary()["std_err"], whole["std_err"][some.summary().index], rtol=1e-5
    )


def test_profile_intervals_end_where_the_likelihood_has_fallen_enough():
    """The coefficient held by an offset of its column."""
    rows = np.arange(0, len(Y), 6)
    frame, labels = X.iloc[rows], (Y.iloc[rows] > 3).astype(int)
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(frame, labels)
    found = clf.infer(frame, labels)
    intervals = found.profile_conf_int(features=["age", "selfLR"])
    assert intervals.shape == (2, 2)
    for name in ("age", "selfLR"):
        for end in intervals.loc[(1, name)]:
            held = MaxentClassifier(C=np.inf, tol=1e-9)
            others = frame.drop(columns=name)
            offset = end * frame[name].to_numpy()
            held.fit(others, labels, offset=offset)
            log_p = held.predict_log_proba(others, offset)[np.arange(len(labels)), labels]
            fall = 2 * (found.log_likelihood - log_p.sum())
            assert fall == pytest.approx(3.841458820694124, rel=1e-4)
    wald = found.conf_int().loc[intervals.index]
    assert np.abs(intervals - wald).to_numpy().max() < 0.3 * found.std_errors.max()


def test_profile_intervals_of_many_classes_do_not_depend_on_the_coding(results, clf):
    intervals = results.profile_conf_int(features="educ")
    np.testing.assert_allclose(intervals, results.conf_int().loc[intervals.index], atol=0.02)
    assert not np.allclose(intervals, results.conf_int().loc[intervals.index], atol=1e-6)
    other = clf.infer(X, Y, reference=3).profile_conf_int(features="educ")
    np.testing.assert_allclose(other.loc[(0, "educ")], -intervals.loc[(3, "educ")][::-1], rtol=1e-4)
    robust = clf.infer(X, Y, cov_type="HC0")
    with pytest.raises(ValueError, match="cov_type='nonrobust'"):
        robust.profile_conf_int()


def test_profile_intervals_of_separated_classes_with_bias_reduction():
    """Against a direct maximisation of log L + log |I|/2 with the coefficient held."""
    x = np.array([-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0])
    labels = (x > 0).astype(int)
    clf = MaxentClassifier(C=np.inf, bias_reduction="jeffreys", tol=1e-8).fit(x[:, None], labels)
    lower, upper = clf.infer(x[:, None], labels).profile_conf_int(features="x0").iloc[0]

    def penalised(b, w):
        z = b + w * x
        p = expit(z)
        D = np.column_stack([np.ones(8), x])
        information = D.T @ (D * (p * (1 - p))[:, None])
        return (labels * z - np.logaddexp(0, z)).sum() + 0.5 * np.linalg.slogdet(information)[1]

    def profile(w):
        return minimize_scalar(lambda b: -penalised(b, w), bracket=(-1, 1)).fun

    least = profile(clf.coef_[0, 0])
    for end in (lower, upper):
        if np.isfinite(end):
            assert 2 * (profile(end) - least) == pytest.approx(3.8414588, rel=1e-3)
    assert lower > 0.0


def test_score_tests_are_near_likelihood_ratio_tests_of_noise(results):
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.normal(size=(944, 2)), columns=["u", "v"])
    found = results.score_test(noise)
    larger = MaxentClassifier(C=np.inf, tol=1e-9).fit(X.join(noise), Y).infer(X.join(noise), Y)
    ratios = larger.likelihood_ratio_test(features=[["u", "v"]])
    assert found.loc["u + v", "chi2"] == pytest.approx(ratios["chi2"].item(), rel=0.05)
    assert found.loc["u", "df"] == 6
    with pytest.raises(ValueError, match="expected the 944 of the fit"):
        results.score_test(noise[:100])
    with pytest.raises(ValueError, match="combinations of those of the model"):
        results.score_test(2.0 * X[["age"]])


def test_p_values_are_adjusted_by_statsmodels(results):
    table = results.summary(adjust="holm")
    assert (table["p_adjusted"].dropna() >= table["p_value"][table["p_adjusted"].notna()]).all()
    assert table["p_adjusted"].isna().sum() == 6
    for method in ("unknown", 3, ["holm"]):
        with pytest.raises(ValueError, match="adjust must be None or a method of statsmodels"):
            results.summary(adjust=method)


def test_intervals_of_probabilities(results, clf):
    found = results.predict_proba_interval(X.iloc[:50])
    P = clf.predict_proba(X.iloc[:50])
    for k in range(7):
        np.testing.assert_allclose(found[k, "probability"], P[:, k], atol=1e-9)
        assert ((found[k, "lower"] < P[:, k]) & (P[:, k] < found[k, "upper"])).all()
    wide = results.predict_proba_interval(X.iloc[:50], conf_level=0.99)
    assert (wide[3, "upper"] > found[3, "upper"]).all()
    assert list(found.index) == list(X.index[:50])
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        results.conf_int(95)


def test_a_ridge_has_a_posterior_and_no_p_values():
    clf = MaxentClassifier(C=0.05, tol=1e-9).fit(X, Y)
    found = clf.infer(X, Y)
    assert found.cov_type == "laplace"
    assert "p_value" not in found.summary()
    assert "Laplace" in str(found)
    # Second differences of the log-posterior along a coefficient of one class against the mean.
    symmetric = clf.infer(X, Y, reference="symmetric")
    Z, T = X.to_numpy(), np.eye(7)[Y]

    def log_posterior(W, b):
        logits = Z @ W.T + b
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return (T * log_p).sum() - (W**2).sum() / (2 * 0.05)

    direction = np.random.default_rng(0).normal(size=(7, 6))
    direction -= direction.mean(axis=0)
    h = 1e-3
    values = [
        log_posterior(clf.coef_ + t * direction[:, :5], clf.intercept_ + t * direction[:, 5])
        for t in (-h, 0, h)
    ]
    curvature = -(values[0] - 2 * values[1] + values[2]) / h**2
    precision = np.linalg.pinv(symmetric.covariance, rcond=1e-10)
    expected = direction.ravel() @ precision @ direction.ravel()
    assert curvature == pytest.approx(expected, rel=1e-3)
    for test in (found.wald_test, found.likelihood_ratio_test):
        with pytest.raises(ValueError, match="are for fits without a penalty"):
            test()


def test_a_bootstrap_is_near_theory_and_reproducible():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(500, 2))
    labels = (Z @ rng.normal(size=(2, 3)) + rng.gumbel(size=(500, 3))).argmax(axis=1)
    clf = MaxentClassifier(C=np.inf).fit(Z, labels)
    found = clf.infer(Z, labels, method="bootstrap", n_bootstrap=300)
    np.testing.assert_allclose(found.std_errors, clf.infer(Z, labels).std_errors, rtol=0.15)
    np.testing.assert_allclose(found.coef, clf.infer(Z, labels).coef, atol=1e-6)
    assert "p_value" not in found.summary()
    assert found.replicates.shape == (300, 2, 3)
    again = clf.set_params(n_jobs=2).infer(Z, labels, method="bootstrap", n_bootstrap=300)
    np.testing.assert_allclose(again.replicates, found.replicates, atol=1e-6)
    np.testing.assert_allclose(
        found.conf_int(0.9)["lower"], np.quantile(found.replicates, 0.05, axis=0).ravel()
    )


def test_a_split_selects_and_infers_on_different_rows():
    rng = np.random.default_rng(0)
    names = [f"f{j}" for j in range(40)]
    p_values = []
    for seed in range(20):
        Z = pd.DataFrame(rng.normal(size=(400, 40)), columns=names)
        labels = (1.5 * Z["f3"] + rng.logistic(size=400) > 0).astype(int)
        clf = MaxentClassifier(C=0.2, l1_ratio=1.0, random_state=seed).fit(Z, labels)
        found = clf.infer(Z, labels, method="split").summary().loc[1]
        assert found.loc["f3", "p_value"] < 1e-4
        assert 0.8 < found.loc["f3", "coef"] < 2.5
        p_values += found["p_value"].drop(["f3", "Intercept"]).tolist()
    assert len(p_values) > 100
    # Of noise that was selected, one in twenty is significant.
    share = np.mean(np.array(p_values) < 0.05)
    assert share < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p_values))
    with pytest.raises(ValueError, match="no feature was selected"):
        MaxentClassifier(C=1e-6, l1_ratio=1.0).fit(Z, labels).infer(Z, labels, method="split")


def test_a_lasso_has_a_bootstrap():
    clf = MaxentClassifier(C=0.02, l1_ratio=1.0).fit(X, Y)
    found = clf.infer(X, Y, method="bootstrap", n_bootstrap=20, reference="symmetric")
    np.testing.assert_allclose(found.coef[:, :-1], clf.coef_ - clf.coef_.mean(axis=0), atol=1e-9)
    assert "bootstrap, 20" in str(found)
    with pytest.raises(ValueError, match="without bootstrap"):
        found.wald_test()
    with pytest.raises(ValueError, match="method must be None, 'split' or"):
        clf.infer(X, Y, method="jackknife")
    with pytest.raises(ValueError, match="n_bootstrap must be an integer of at least 2"):
        clf.infer(X, Y, method="bootstrap", n_bootstrap=1)


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({"l1_ratio": 1.0}, {}, "not available with an L1 penalty"),
        ({"bounds": (0, None), "C": np.inf}, {}, "not available with bounds"),
        ({"C": 1.0}, {"cov_type": "HC0"}, "does not go with this fit, which has a ridge"),
        ({"C": np.inf}, {"cov_type": "laplace"}, "has no penalty"),
        ({"C": np.inf}, {"cov_type": "HC4"}, "cov_type must be one of"),
        ({"C": np.inf}, {"cov_type": "cluster"}, "go together"),
        ({"C": np.inf}, {"groups": GROUPS}, "go together"),
        ({"C": np.inf}, {"cov_type": "cluster", "groups": [1, 2]}, "groups has the shape"),
        ({"C": np.inf}, {"weights": "importance"}, "weights must be"),
        (
            {"C": np.inf},
            {"weights": "probability", "cov_type": "nonrobust"},
            "is not valid with weights='probability'",
        ),
    ],
)
def test_what_cannot_be_inferred_is_said(params, options, message):
    clf = MaxentClassifier(**params).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        clf.infer(X, Y, **options)


def test_dependent_features_are_named():
    frame = X.assign(twice=2 * X["age"] + 1)
    with pytest.warns(UserWarning, match=r"\['twice'\] are linear combinations"):
        clf = MaxentClassifier(C=np.inf).fit(frame, Y)
    results = clf.infer(frame, Y)
    assert results.aliased == ("twice",)
    assert results.columns == [*X.columns, "Intercept"]


def test_other_rows_are_noticed(clf):
    with pytest.warns(UserWarning, match="standard errors from the optimum"):
        clf.infer(X.iloc[:500], Y.iloc[:500])


def test_too_large_a_covariance_is_refused_with_its_bytes(clf, monkeypatch):
    monkeypatch.setattr(_covariance, "MOST_COVARIANCE_BYTES", 10_000)
    with pytest.raises(MemoryError, match="36 coefficients needs 41,472 bytes"):
        clf.infer(X, Y)


def test_inside_a_pipeline_and_as_a_page(clf, results):
    pipe = make_pipeline(
        StandardScaler().set_output(transform="pandas"), MaxentClassifier(C=np.inf)
    )
    pipe.fit(X, Y)
    found = pipe[-1].infer(pipe[:-1].transform(X), Y)
    z = found.summary().drop("Intercept", level="feature")["z"]
    expected = results.summary().drop("Intercept", level="feature")["z"]
    np.testing.assert_allclose(z, expected, rtol=1e-3)
    page = str(results)
    assert "Log-likelihood" in page
    assert "selfLR" in page
    assert "<table" in results._repr_html_()


def test_without_intercept():
    clf = MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-9).fit(X, Y)
    expected = sm.MNLogit(Y, X).fit(method="newton", tol=1e-12, disp=0)
    found = clf.infer(X, Y)
    np.testing.assert_allclose(found.coef, expected.params.T, rtol=1e-6)
    np.testing.assert_allclose(found.std_errors, expected.bse.T, rtol=1e-6)


def test_intervals_cover_what_they_say():
    """200 samples: 95 % intervals miss in 5 % of them, give or take."""
    rng = np.random.default_rng(0)
    W = np.array([[0.0, 0.0], [0.8, -0.5], [-0.4, 0.6]])
    Z = rng.normal(size=(400, 2))
    covered = []
    for _ in range(200):
        labels = (Z @ W.T + rng.gumbel(size=(400, 3))).argmax(axis=1)
        interval = MaxentClassifier(C=np.inf).fit(Z, labels).infer(Z, labels).conf_int()
        truth = np.column_stack([W[1:], np.zeros(2)]).ravel()
        covered.append((interval["lower"] < truth) & (truth < interval["upper"]))
    share = np.mean(covered)
    assert abs(share - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 200)


def alligators(third):
    data = pd.DataFrame(ORACLE["data"])
    features = pd.DataFrame({"size": (data["size"] == ">2.3").astype(float)})
    for lake in ("Oklawaha", "Trafford", "George"):
        features[lake] = (data["lake"] == lake).astype(float)
    return features, data["foodchoice"], np.round(data["freq"] / 3) if third else data["freq"]


ORACLE = json.loads((ORACLES / "brmultinom_alligators.json").read_text())


@pytest.mark.parametrize("third", [False, True])
@pytest.mark.parametrize(("name", "method"), [("AS_mean", "mean"), ("MPL_Jeffreys", "jeffreys")])
def test_bias_reduction_is_brglm2s(third, name, method):
    oracle = ORACLE[f"alligators_{'third_' if third else ''}{name}"]
    features, labels, counts = alligators(third)
    clf = MaxentClassifier(C=np.inf, bias_reduction=method, tol=1e-10)
    clf.fit(features, labels, sample_weight=counts)
    found = clf.infer(features, labels, counts, reference="Fish")
    # R's order: the intercept, the size, the lakes in the order in which they appear.
    expected = pd.DataFrame(oracle["coef"], index=oracle["classes"][1:])
    errors = pd.DataFrame(np.reshape(oracle["se"], (4, 5)), index=oracle["classes"][1:])
    for row, label in enumerate(found.rows):
        ours = found.coef[row][[4, 0, 1, 2, 3]], found.std_errors[row][[4, 0, 1, 2, 3]]
        np.testing.assert_allclose(ours[0], expected.loc[label], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours[1], errors.loc[label], rtol=1e-5)
    assert found.log_likelihood == pytest.approx(oracle["loglik"], rel=1e-8)


def test_bias_reduction_is_finite_where_likelihood_is_not():
    Z, labels = load_iris(return_X_y=True)
    clf = MaxentClassifier(C=np.inf, bias_reduction="mean").fit(Z, labels == 0)
    assert np.abs(clf.coef_).max() < 10
    assert clf.score(Z, labels == 0) == 1.0
    assert np.isnan(clf.optimality_gap_)
    assert np.isfinite(clf.infer(Z, labels == 0).std_errors).all()
    with pytest.raises(ValueError, match="bias_reduction cannot be combined with another penalty"):
        MaxentClassifier(bias_reduction="mean").fit(Z, labels)
