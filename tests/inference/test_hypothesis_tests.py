"""Tests of terms: which are valid, and their statistics against brute force and statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from helpers.held_likelihood import information, least, minus_log_likelihood
from scipy import stats
from sklearn.datasets import load_wine
from statsmodels.datasets import anes96

from skmaxent import MaxentClassifier
from skmaxent._effects._covariance_root import Covariance
from skmaxent._inference import _constrained_minimum, _covariance

ML = MaxentClassifier(C=np.inf, tol=1e-9)
BR = MaxentClassifier(C=np.inf, bias_reduction="mean", tol=1e-8)
DATA = anes96.load_pandas()
X = DATA.exog[["selfLR", "age", "educ"]]
Y = (DATA.endog.astype(int) + 1) // 3
GROUPS = np.arange(len(Y)) % 30


def infer(X, y, clf=ML, sample_weight=None, offset=None, **options):
    return clf.fit(X, y, sample_weight, offset).infer(X, y, sample_weight, offset, **options)


def separated_sample():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(40, 4)), columns=list("abcd"))
    X["a"] = (X["a"] > 1.2) * 1.0
    y = rng.integers(0, 3, 40)
    y[X["a"] == 1] = 2
    return X, y


# Names and positions


def test_a_feature_may_be_called_intercept():
    """In design matrices of formulas; beside our own intercept it has to be renamed for tests."""
    rng = np.random.default_rng(0)
    D = pd.DataFrame({"a": rng.normal(size=300), "Intercept": 1.0})
    y = (D["a"] + rng.logistic(size=300) > 0).astype(int)
    own = infer(D, y, MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-9))
    ours = infer(D[["a"]], y)
    assert not own.has_intercept
    assert own.df_model == ours.df_model == 1
    assert own.null_log_likelihood == pytest.approx(ours.null_log_likelihood, rel=1e-12)
    pd.testing.assert_frame_equal(own.wald_test(), ours.wald_test(), rtol=1e-6)
    found = own.likelihood_ratio_test()
    assert found["df"].tolist() == [1, 1]
    assert found.loc["a", "chi2"] == pytest.approx(
        ours.likelihood_ratio_test().loc["a", "chi2"], rel=1e-6
    )
    through_zero = infer(D[["a"]], y, MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-9))
    assert found.loc["Intercept", "chi2"] == pytest.approx(
        2 * (own.log_likelihood - through_zero.log_likelihood), abs=1e-8
    )

    both = D.assign(Intercept=rng.normal(size=300))
    results = infer(both, y)
    assert results.wald_test().index.tolist() == ["a", "Intercept", "Intercept"]
    assert results.likelihood_ratio_test().index.tolist() == ["a", "Intercept"]
    renamed = infer(both.rename(columns={"Intercept": "z"}), y)
    for test in ("lr", "wald"):
        np.testing.assert_array_equal(results.anova(test=test), renamed.anova(test=test))
    np.testing.assert_allclose(results.wald_test(), renamed.wald_test())
    np.testing.assert_allclose(results.summary(adjust="holm"), renamed.summary(adjust="holm"))
    np.testing.assert_allclose(results.profile_conf_int(), renamed.profile_conf_int())
    for test in (results.wald_test, results.likelihood_ratio_test, results.profile_conf_int):
        with pytest.raises(ValueError, match="2 columns are called 'Intercept': rename"):
            test(features="Intercept")


def test_a_class_called_symmetric_is_not_the_mean_of_all():
    y = np.array(["a", "symmetric", "z"])[Y % 3]
    clf = ML.fit(X, y)
    with pytest.raises(ValueError, match="also the name of a class"):
        clf.infer(X, y, reference="symmetric")
    first = ML.fit(X, np.where(y == "a", "t", y))
    results = first.infer(X, np.where(y == "a", "t", y))
    assert results.reference == "symmetric"
    assert "mean of all classes" not in str(results)


def test_terms_are_named_once():
    results = infer(X, Y)
    joint = results.wald_test([["age", "educ", "age"]])
    assert joint["df"].tolist() == [4]
    assert results.wald_test("age").equals(results.wald_test(["age"]))
    for features in ([], [[]]):
        with pytest.raises(ValueError, match="features must name features"):
            results.wald_test(features)


# Likelihood ratios


@pytest.mark.filterwarnings("ignore")
def test_ratios_are_twice_the_fall_of_the_log_likelihood():
    """With weights and offsets; statistics of separated classes are those of the limits."""
    rng = np.random.default_rng(2)
    W, offset = rng.integers(1, 4, 60), rng.normal(size=(60, 3))
    Z, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    g = (rng.random(60) < 0.2) * 1.0
    for last, labels in ((Z[:, 2], y), (g, np.where(g == 1, 2, y))):
        A = np.column_stack([Z[:, :2], last])
        found = infer(A, labels, ML, W, offset).likelihood_ratio_test(features=["x1", ["x0", "x2"]])
        D, T = np.column_stack([A, np.ones(60)]), W[:, None] * np.eye(3)[labels]
        best = least(D, T, offset)
        for row, columns in ((0, [1]), (1, [0, 2])):
            held = np.zeros((2, 4), bool)
            held[:, columns] = True
            expected = 2 * (least(D, T, offset, held) - best)
            assert found["chi2"].iloc[row] == pytest.approx(expected, rel=1e-6)
            assert found["df"].iloc[row] == 2 * len(columns)


def test_ratios_with_bias_reduction_are_of_penalised_likelihoods():
    """Both with the prior of the whole model, so that no statistic is negative."""
    frame, y = separated_sample()
    results = infer(frame, y, BR)
    found = results.likelihood_ratio_test()
    assert (found["chi2"] >= 0.0).all()
    D, T = np.column_stack([frame, np.ones(40)]), np.eye(3)[y]
    best = least(D, T, penalised=True, start=results.coef)
    for j in (0, 2):
        held = np.zeros((2, 5), bool)
        held[:, j] = True
        smaller = least(D, T, 0.0, held, penalised=True, start=results.coef)
        assert found["chi2"].iloc[j] == pytest.approx(2 * (smaller - best), abs=1e-5)
    held = np.ones((2, 5), bool)
    held[:, -1] = False
    null = least(D, T, 0.0, held, penalised=True, start=results.coef)
    head = str(results)
    assert f"Penalised likelihood ratio  χ² = {2 * (null - best):.5g}" in head
    # In other units the statistics are the same.
    other = infer(frame * [1.0, 1e3, 1e-3, 1.0], y, BR).likelihood_ratio_test()
    np.testing.assert_allclose(other["chi2"], found["chi2"], rtol=1e-6)
    smaller = infer(frame[["b", "c", "d"]], y, BR)
    against = results.likelihood_ratio_test(smaller)
    assert against["chi2"].item() == pytest.approx(found.loc["a", "chi2"], rel=1e-6)
    with pytest.raises(ValueError, match="with bias_reduction fit the larger model"):
        results.score_test(frame[["a"]])


def test_some_features_with_bias_reduction_have_the_tests_of_all():
    frame, y = separated_sample()
    whole, some = infer(frame, y, BR), infer(frame, y, BR, features=["b"])
    assert whole.notes == some.notes == ()
    expected = whole.likelihood_ratio_test(features="b")
    pd.testing.assert_frame_equal(some.likelihood_ratio_test(), expected)
    expected = whole.profile_conf_int(features="b")
    pd.testing.assert_frame_equal(some.profile_conf_int(), expected)
    ratio = next(line for line in str(whole).splitlines() if "likelihood ratio" in line)
    assert ratio in str(some)
    assert some.aic == whole.aic
    with pytest.raises(ValueError, match=r"have no covariance: \['one'\] are constant"):
        infer(frame.assign(one=1.0), y, BR, features=["b"])


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "probability"},
        {"weights": "probability", "cov_type": "HC1"},
        {"cov_type": "cluster", "groups": GROUPS},
        {"weights": "probability", "cov_type": "cluster", "groups": GROUPS},
        {"cov_type": "HC0"},
    ],
)
def test_where_likelihoods_are_no_evidence_walds_test_is_named(options):
    results = infer(X, Y, **options)
    smaller = infer(X[["age"]], Y, **options)
    for test in (
        results.likelihood_ratio_test,
        lambda: results.likelihood_ratio_test(smaller),
        lambda: infer(X, Y).likelihood_ratio_test(smaller),
        lambda: results.score_test(X[["age"]] ** 2),
    ):
        with pytest.raises(ValueError, match="use wald_test"):
            test()
    chi2 = results.wald_test([list(X.columns)])["chi2"].item()
    assert "Likelihood ratio" not in str(results)
    assert f"Wald test, all slopes  χ² = {chi2:.5g}" in str(results)
    has_criteria = options == {"cov_type": "HC0"}
    assert ("AIC" in str(results)) == has_criteria
    if not has_criteria:
        for criterion in ("aic", "bic"):
            with pytest.raises(ValueError, match="compare nested models by wald_test"):
                getattr(results, criterion)


def test_sampling_weights_have_no_scale():
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(Y))
    one, thousand = (
        str(infer(X, Y, ML, scale * weights, weights="probability")).split("Wald test, all")[1]
        for scale in (1.0, 1000.0)
    )
    assert one[:40] == thousand[:40]


def test_models_that_are_not_nested_are_refused():
    whole, rng = infer(X, Y), np.random.default_rng(0)
    few = X[["age"]]
    found = whole.likelihood_ratio_test(infer(few, Y))
    assert found["df"].tolist() == [2 * (X.shape[1] - 1)]
    shuffled, offset = rng.permutation(Y), rng.normal(size=(len(Y), 3))
    for other in (
        infer(few, shuffled),
        infer(few, Y, ML, None, offset),
        infer(few[::-1].set_index(X.index), Y),
        infer(few, Y, ML, rng.permutation(np.arange(len(Y)) % 2 + 0.5)),
    ):
        with pytest.raises(ValueError, match="of the same rows"):
            whole.likelihood_ratio_test(other)
    with pytest.raises(TypeError, match=r"other must be results of infer, found .* MaxentClassif"):
        whole.likelihood_ratio_test(MaxentClassifier(C=np.inf).fit(few, Y))
    with pytest.raises(ValueError, match=r"nested.*'other'"):
        whole.likelihood_ratio_test(infer(few.assign(other=few["age"] ** 2), Y))
    with pytest.raises(ValueError, match="bias_reduction where this one is"):
        whole.likelihood_ratio_test(infer(few, Y, BR))
    with pytest.raises(ValueError, match="or features to leave out, not both"):
        whole.likelihood_ratio_test(infer(few, Y), features="age")
    no_intercept = MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-9)
    through_zero = infer(X, Y, no_intercept)
    intercepts = whole.likelihood_ratio_test(through_zero)
    assert intercepts["df"].item() == 2
    with pytest.raises(ValueError, match=r"nested.*'Intercept'"):
        through_zero.likelihood_ratio_test(infer(few, Y))
    # Results of some features know the features of the whole model.
    some = infer(X, Y, features=["age"])
    pd.testing.assert_frame_equal(
        some.likelihood_ratio_test(), whole.likelihood_ratio_test(features="age")
    )
    pd.testing.assert_frame_equal(some.likelihood_ratio_test(infer(few, Y)), found)
    assert some.df_model == whole.df_model


# Wald's tests and ranks


def test_clusters_test_no_more_restrictions_than_their_rank():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 4)), columns=list("abcd"))
    y = rng.integers(0, 3, 200)
    results = infer(frame, y, cov_type="cluster", groups=np.arange(200) % 5)
    message = "'a . b . c' has 6 restrictions.* from 5 clusters has rank 4"
    with pytest.raises(ValueError, match=message):
        results.wald_test([list("abc")])
    assert "not available: 8 restrictions, covariance of rank 4 from 5 clusters" in str(results)
    found = results.wald_test([["a", "b"]])
    theta = np.concatenate([results.coef[k, :2] for k in range(2)])
    at = [0, 1, 5, 6]
    expected = theta @ np.linalg.inv(results.covariance[np.ix_(at, at)]) @ theta
    assert found["chi2"].item() == pytest.approx(expected, rel=1e-6)


def test_walds_statistic_needs_a_regular_covariance():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 5))
    for scale in (1.0, 1e-6, 1e6):
        D = np.diag([1.0, scale, 1.0, 1.0 / scale, 1.0])
        with pytest.raises(_covariance.DeficientCovariance) as error:
            _covariance.wald(np.ones(5), Covariance(D @ A.T @ A @ D))
        assert error.value.rank == 3
        B = D @ (A.T @ A + np.eye(5)) @ D
        x = D @ np.ones(5)
        assert _covariance.wald(x, Covariance(B)) == pytest.approx(
            x @ np.linalg.inv(B) @ x, rel=1e-6
        )
    with pytest.raises(_covariance.DeficientCovariance, match="rank of 2 does not test 3"):
        _covariance.wald(np.ones(3), Covariance(np.eye(3)), largest_rank=2)


# The null model


def brute_null(Z, T, offset=0.0):
    return -least(Z, T, offset)


def test_the_null_model_is_the_one_that_is_nested():
    rng = np.random.default_rng(0)
    n = 120
    Z, y = rng.normal(size=(n, 2)), rng.integers(0, 3, n)
    W, offset = rng.integers(1, 4, n), rng.normal(size=(n, 3))
    onehot = np.eye(3)[rng.integers(0, 3, n)]
    T, ones, none = W[:, None] * np.eye(3)[y], np.ones((n, 1)), np.zeros((n, 1))
    plain = MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-9)
    mixed = rng.normal(size=(3, 3))
    for design, clf, null in (
        (Z, ML, ones),
        (Z, plain, none),
        (np.column_stack([Z, np.full(n, 7.0)]), plain, ones),
        (np.column_stack([Z, onehot]), plain, ones),
        (np.column_stack([Z, onehot @ mixed]), plain, ones),
        (np.column_stack([Z, onehot[:, :2]]), plain, none),
    ):
        for shift in (None, offset):
            found = infer(design, y, clf, W, shift)
            expected = brute_null(null, T, 0.0 if shift is None else offset)
            assert found.null_log_likelihood == pytest.approx(expected, rel=1e-7)
            assert 0.0 < found.mcfadden_r2 < 1.0
            df = 2 * (design.shape[1] - (null.any() and clf is plain))
            assert found.df_model == df
            chi2 = 2 * (found.log_likelihood - expected)
            assert f"χ² = {chi2:.5g}, p = {stats.chi2.sf(chi2, df):.3g}" in str(found)


def test_a_penalty_does_not_change_the_null_model():
    for factors in (None, {"age": 0.0}):
        found = infer(X, Y, MaxentClassifier(penalty_factor=factors))
        shares = np.bincount(Y) / len(Y)
        assert found.null_log_likelihood == pytest.approx(len(Y) * shares @ np.log(shares))


def test_walds_test_of_all_slopes_does_not_depend_on_how_the_constant_is_written():
    rng = np.random.default_rng(0)
    codes, y = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    onehot = np.column_stack([np.eye(3)[codes], rng.normal(size=200)])
    plain = MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-9)
    one = str(infer(onehot, y, plain, cov_type="HC0"))
    other = str(infer(onehot[:, 1:], y, cov_type="HC0"))
    assert one.split("Wald")[1].split("\n")[0] == other.split("Wald")[1].split("\n")[0]


# Robust covariances


def test_robust_covariances_know_coefficients_that_are_no_optimum():
    frame, y = load_wine(return_X_y=True, as_frame=True)
    frame = frame[["alcohol", "malic_acid"]]
    clf = ML.fit(frame, y)
    shuffled = np.random.default_rng(0).permutation(y)
    tiny = np.full(len(y), 1e-6)
    groups = np.arange(len(y)) % 20
    for sample_weight, options in (
        (None, {"cov_type": "HC0"}),
        (None, {"cov_type": "HC1"}),
        (None, {"cov_type": "cluster", "groups": groups}),
        (tiny, {"weights": "probability"}),
        (None, {"features": ["alcohol"]}),
    ):
        with pytest.warns(UserWarning, match="standard errors from the optimum"):
            clf.infer(frame, shuffled, sample_weight, **options)
    reduced = BR.fit(frame, y)
    with pytest.warns(UserWarning, match="standard errors from the optimum"):
        reduced.infer(frame, shuffled)


@pytest.mark.filterwarnings("error")
def test_coefficients_that_are_optimal_give_no_warning():
    frame, y = load_wine(return_X_y=True, as_frame=True)
    frame = frame[["alcohol", "malic_acid"]]
    large = np.full(len(y), 1e6)
    for clf in (ML, BR):
        for cov_type in ("nonrobust", "HC0", "HC1"):
            infer(frame, y, clf, cov_type=cov_type)
    infer(frame, y, ML, large, weights="probability")
    infer(frame, y, features=["alcohol"])


@pytest.mark.parametrize("cov_type", ["HC1", "cluster"])
def test_small_sample_factors_need_more_observations_than_coefficients(cov_type):
    groups = {"groups": GROUPS} if cov_type == "cluster" else {}
    clf = ML.fit(X, Y)
    share = np.full(len(Y), 1.0 / len(Y))
    with pytest.raises(ValueError, match=r"sum to 1 observations.*weights='probability'"):
        clf.infer(X, Y, share, cov_type=cov_type, **groups)
    found = clf.infer(X, Y, share, cov_type=cov_type, weights="probability", **groups)
    expected = clf.infer(X, Y, cov_type=cov_type, **groups)
    np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-6)


def test_clusters_without_weight_are_no_clusters():
    """As in a fit to the other rows alone."""
    weights = (GROUPS < 20) * 1.0
    kept = GROUPS < 20
    found = infer(X, Y, ML, weights, cov_type="cluster", groups=GROUPS)
    other = infer(X[kept], Y[kept], cov_type="cluster", groups=GROUPS[kept])
    assert found.n_groups == other.n_groups == 20
    np.testing.assert_allclose(found.std_errors, other.std_errors, rtol=1e-6)


# Score tests


def test_score_tests_are_those_of_the_definition_and_of_statsmodels():
    rng = np.random.default_rng(0)
    Z, y = X[["age", "educ"]], np.asarray(Y)
    W, offset = rng.integers(1, 4, len(y)), 0.3 * rng.normal(size=(len(y), 3))
    new = pd.DataFrame(rng.normal(size=(len(y), 2)), columns=["u", "v"])
    new["u"] += 0.3 * (y == 1)
    results = infer(Z, y, ML, W, offset)
    found = results.score_test(new)
    coef = np.zeros((2, 5))
    coef[:, [0, 1, 4]] = results.coef
    D = np.column_stack([Z, new, np.ones(len(y))])
    _, score, P = minus_log_likelihood(coef, D, W[:, None] * np.eye(3)[y], offset)
    chi2 = score.ravel() @ np.linalg.solve(information(P, D, W), score.ravel())
    assert found.loc["u + v", "chi2"] == pytest.approx(chi2, rel=1e-7)
    assert found.loc["u + v", "df"] == 4
    binary = (y > 0).astype(int)
    null = sm.GLM(binary, sm.add_constant(Z, prepend=False), family=sm.families.Binomial()).fit()
    found = infer(Z, binary).score_test(new["u"].to_numpy())
    statistic, p_value, *_ = null.score_test(exog_extra=new["u"].to_numpy()[:, None])
    assert found["chi2"].item() == pytest.approx(float(np.squeeze(statistic)), rel=1e-6)
    assert found["p_value"].item() == pytest.approx(float(np.squeeze(p_value)), rel=1e-6)
    with pytest.raises(ValueError, match="X contains NaN"):
        results.score_test(new.where(new > 0))


def test_degrees_of_freedom_count_no_combinations_of_columns():
    """Where some features have standard errors though others depend on each other."""
    whole = infer(X, Y, features=["educ"])
    for frame in (
        X.assign(constant=3.0),
        X.assign(both=X["age"] - 2.0 * X["selfLR"]),
        X.assign(both=X["age"] + X["selfLR"], constant=1.0, nothing=0.0),
    ):
        with pytest.warns(UserWarning, match="are linear combinations of earlier features"):
            found = infer(frame, Y, features=["educ"])
        assert found.n_parameters == whole.n_parameters == 8
        assert found.df_model == 6
        assert found.aic == pytest.approx(whole.aic, rel=1e-8)
        np.testing.assert_allclose(found.std_errors, whole.std_errors, rtol=1e-5)


def test_the_way_to_a_far_hypothesis_has_few_steps_with_many_observations(monkeypatch):
    """The steps were as many as the log-likelihood ratio divided by 200: here 36,600."""
    n_steps, of_step = 0, _constrained_minimum._minimum

    def counted(*arguments):
        nonlocal n_steps
        n_steps += 1
        return of_step(*arguments)

    monkeypatch.setattr(_constrained_minimum, "_minimum", counted)
    rng = np.random.default_rng(0)
    A, w = rng.normal(size=(1000, 2)), np.full(1000, 1e4)
    labels = (A @ [0.5, 0.2] + rng.logistic(size=1000) > 0).astype(int)
    found = ML.fit(A, labels, w).infer(A, labels, w)
    # Under the hypothesis the coefficient is a known part of the logits.
    held = ML.fit(A[:, 1:], labels, w, offset=3.0 * A[:, 0])
    smaller = held.infer(A[:, 1:], labels, w, offset=3.0 * A[:, 0]).log_likelihood
    test = found.linear_test("1:x0 = 3", test="lr")
    assert test["chi2"].iloc[0] == pytest.approx(2 * (found.log_likelihood - smaller), rel=1e-9)
    assert n_steps < 20
