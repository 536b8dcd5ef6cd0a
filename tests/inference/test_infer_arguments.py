"""Each argument of `infer` is used or refused, whatever the method."""

import inspect

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils import check_random_state
from statsmodels.datasets import anes96

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    conformal_sets,
    infer,
    leave_one_out,
)
from skmaxent._inference import _sample_split

DATA = anes96.load_pandas()
X = DATA.exog[["selfLR", "age", "educ"]]
Y = (DATA.endog.astype(int) + 1) // 3
GROUPS = np.arange(len(Y)) % 40
WEIGHTS = np.random.default_rng(0).integers(1, 4, len(Y))
ML = MaxentClassifier(C=np.inf, tol=1e-9, random_state=0)
LASSO = MaxentClassifier(C=0.1, l1_ratio=1.0, random_state=0)
FEW = {"method": "bootstrap", "n_bootstrap": 3}


def test_this_file_knows_every_argument():
    assert list(inspect.signature(MaxentClassifier.infer).parameters)[1:] == [
        "X",
        "y",
        "sample_weight",
        "offset",
        "cov_type",
        "groups",
        "weights",
        "reference",
        "features",
        "method",
        "n_bootstrap",
        "small_sample",
        "use_t",
        "design",
        "subpopulation",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": GROUPS}, "groups and cov_type='cluster' go together"),
        ({"cov_type": "cluster"}, "groups and cov_type='cluster' go together"),
        ({"cov_type": "HC0", "groups": GROUPS}, "go together"),
        ({"cov_type": "bootstrap"}, "cov_type must be one of"),
        ({"weights": "sampling"}, r"weights must be one of \['frequency', 'probability'\]"),
        (
            {"weights": "probability", "cov_type": "nonrobust"},
            "not valid with weights='probability'",
        ),
        ({"reference": 7}, "expected 'symmetric' or one of"),
        ({"n_bootstrap": 50}, "n_bootstrap=50 is for method='bootstrap', found method=None"),
        ({"method": "jackknife"}, "method must be None, 'split' or 'bootstrap', found 'jackknife'"),
        ({"use_t": True}, "use_t=True is for robust covariances and surveys"),
        ({"use_t": "yes"}, "use_t must be None, True or False"),
        ({"features": ["age"], "use_t": True}, "use_t=True is for robust covariances of all"),
        (FEW | {"use_t": True}, "use_t=True is for robust covariances of all"),
        ({"cov_type": "CV3"}, "groups and cov_type='cluster' go together"),
        (
            {"cov_type": "CV3", "groups": np.column_stack([GROUPS, GROUPS])},
            "two columns, which are for cov_type='cluster'",
        ),
        (
            {"cov_type": "cluster", "groups": np.column_stack([GROUPS] * 3)},
            "groups has 3 columns",
        ),
        ({"design": {}}, "design must be a SurveyDesign"),
        ({"small_sample": "units"}, "small_sample='units' does not go with cov_type='nonrobust'"),
        # features=
        ({"features": ["age"], "groups": GROUPS}, "does not support groups or weights"),
        ({"features": ["age"], "weights": "probability"}, "does not support groups or weights"),
        ({"features": ["age"], "cov_type": "HC0"}, "features= has no cov_type='HC0'"),
        ({"features": ["height"]}, r"found \['height'\]"),
        ({"features": ["age", "age"]}, "each given once"),
        ({"features": []}, r"found \[\]"),
        ({"features": ["age"], "n_bootstrap": 3}, "n_bootstrap=3 is for method='bootstrap'"),
        # method="split"
        ({"method": "split", "features": ["age"]}, "method='split' is for all features"),
        ({"method": "split", "n_bootstrap": 50}, "n_bootstrap=50 is for method='bootstrap'"),
        ({"method": "split", "groups": GROUPS}, "groups and cov_type='cluster' go together"),
        ({"method": "split", "cov_type": "cluster"}, "go together"),
        ({"method": "split", "cov_type": "laplace"}, "cov_type='laplace' does not go with this"),
        ({"method": "split", "weights": "sampling"}, r"weights must be one of \['frequency'"),
        ({"method": "split", "reference": 7}, "expected 'symmetric' or one of"),
        ({"method": "split", "small_sample": "none"}, "does not go with cov_type='nonrobust'"),
        # method="bootstrap"
        (FEW | {"small_sample": "none"}, "small_sample='none' is for robust covariances"),
        (FEW | {"features": ["age"]}, "method='bootstrap' is for all features"),
        (FEW | {"cov_type": "HC0"}, "expected cov_type=None, found 'HC0'"),
        (FEW | {"weights": "sampling"}, r"weights must be one of \['frequency'"),
        (FEW | {"reference": 7}, "expected 'symmetric' or one of"),
        (FEW | {"groups": GROUPS[:5]}, r"groups has the shape \(5,\)"),
        ({"method": "bootstrap", "n_bootstrap": 1}, "n_bootstrap must be an integer of at least 2"),
        (
            {"method": "bootstrap", "n_bootstrap": 2.5},
            "n_bootstrap must be an integer of at least 2",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    clf = ML.fit(X, Y)
    with pytest.raises((TypeError, ValueError), match=message):
        clf.infer(X, Y, **options)


@pytest.mark.parametrize(
    ("cov_type", "ending"),
    [
        ("hc1", "found 'hc1'. Did you mean 'HC1'?"),
        ("cv3l", "Did you mean 'CV3L'?"),
        ("clustered", "Did you mean 'cluster'?"),
        ("Robust", "covariances are 'HC0' and, with the factor n/(n - p), 'HC1'."),
        ("HC4", "found 'HC4'."),
    ],
)
def test_a_near_name_of_a_covariance_is_guessed(cov_type, ending):
    with pytest.raises(ValueError, match="cov_type must be one of") as raised:
        ML.fit(X, Y).infer(X, Y, cov_type=cov_type)
    assert str(raised.value).endswith(ending)


def test_only_the_bootstrap_takes_groups_without_cov_type():
    clf = ML.fit(X, Y)
    for method in (None, "split"):
        with pytest.raises(ValueError, match="found cov_type='nonrobust' with groups") as raised:
            clf.infer(X, Y, groups=GROUPS, method=method)
        assert "method='bootstrap' takes groups without cov_type" in str(raised.value)
        with pytest.raises(ValueError, match="found cov_type='CV3' without groups"):
            clf.infer(X, Y, cov_type="CV3", method=method)
    assert np.isfinite(clf.infer(X, Y, groups=GROUPS, **FEW).std_errors).all(axis=None)


@pytest.mark.parametrize("function", [infer, leave_one_out, conformal_sets])
def test_a_search_is_refused_with_the_model_to_pass(function):
    search = MaxentClassifierCV(Cs=[0.01, 0.1], cv=2).fit(X, Y)
    with pytest.raises(TypeError, match="found MaxentClassifierCV") as raised:
        function(search, X, Y)
    model = f"MaxentClassifier(C={float(search.C_)!r}, l1_ratio=0.0)"
    assert f". Fit {model}, which are the chosen C_ and l1_ratio_" in str(raised.value)
    grid = GridSearchCV(MaxentClassifier(), {"C": [0.1]}, cv=2).fit(X, Y)
    with pytest.raises(TypeError, match=r"found GridSearchCV\. Pass its best_estimator_\."):
        function(grid, X, Y)
    relaxed = MaxentClassifierCV(Cs=[0.01], l1_ratios=[1.0], cv=2, relax=[0.5]).fit(X, Y)
    assert relaxed.gamma_ == 0.5
    with pytest.raises(TypeError, match=r"found MaxentClassifierCV\.$"):  # no such classifier
        function(relaxed, X, Y)


@pytest.mark.parametrize("method", [{}, {"method": "split"}, FEW])
def test_what_is_taken_changes_the_results(method):
    """Weights of rows and their meaning, the reference, and clusters."""
    clf = ML.fit(X, Y, WEIGHTS)
    clusters = {"groups": GROUPS} if method == FEW else {"groups": GROUPS, "cov_type": "cluster"}
    other = clusters | {"groups": np.arange(len(Y)) // 30}
    found = [
        clf.infer(X, Y, WEIGHTS, **method, **options).std_errors
        for options in ({}, {"weights": "probability"}, {"reference": 2}, clusters, other)
    ]
    found.append(ML.fit(X, Y).infer(X, Y, **method).std_errors)
    for i, one in enumerate(found):
        for two in found[:i]:
            assert not np.allclose(one, two, rtol=1e-6)


@pytest.mark.parametrize(
    "groups",
    [
        np.where(GROUPS < 4, np.nan, GROUPS),
        [None if g < 4 else g for g in GROUPS],
        [float("nan") if g < 4 else f"cluster {g}" for g in GROUPS],
        np.where(GROUPS < 4, None, GROUPS),
        pd.Series(GROUPS, dtype="Int64").where(GROUPS >= 4),
        pd.Series(GROUPS).astype("string").where(GROUPS >= 4),
        pd.Series(GROUPS).astype("category").where(GROUPS >= 4),
        pd.Series(pd.to_datetime(GROUPS)).where(GROUPS >= 4),
        np.ma.masked_less(GROUPS, 4),
    ],
    ids=["nan", "none", "words", "object", "Int64", "string", "category", "NaT", "masked"],
)
def test_missing_clusters_are_counted(groups):
    missing = int((GROUPS < 4).sum())
    clf = ML.fit(X, Y)
    for options in ({"cov_type": "cluster"}, {"method": "split", "cov_type": "cluster"}, FEW):
        with pytest.raises(ValueError, match=rf"groups is missing .* in {missing} rows"):
            clf.infer(X, Y, groups=groups, **options)


def test_clusters_have_labels_of_any_type():
    clf = ML.fit(X, Y)
    expected = clf.infer(X, Y, cov_type="cluster", groups=GROUPS)
    for groups in (
        GROUPS.tolist(),
        [f"cluster {g}" for g in GROUPS],
        pd.Series(GROUPS, index=X.index).astype("category"),
        pd.to_datetime(GROUPS),
        pd.Series([g if g % 2 else str(g) for g in GROUPS]),
    ):
        found = clf.infer(X, Y, cov_type="cluster", groups=groups)
        assert found.n_groups == 40
        np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-10)
    for groups in (np.zeros(len(Y)), ["a"] * len(Y)):
        with pytest.raises(ValueError, match="at least two clusters"):
            clf.infer(X, Y, cov_type="cluster", groups=groups)
    for groups in (GROUPS[:, None], GROUPS[:-1], 3):
        with pytest.raises(ValueError, match=r"expected \(944,\), a cluster for each row"):
            clf.infer(X, Y, cov_type="cluster", groups=groups)


# Robust covariances against statsmodels


@pytest.mark.parametrize("cov_type", ["HC0", "HC1", "cluster"])
def test_robust_covariances_of_two_classes_are_those_of_a_glm(cov_type):
    """statsmodels has no factor n/(n - p) for HC1 there; for clusters it has ours."""
    y = (Y > 0).astype(int)
    groups = {"groups": GROUPS} if cov_type == "cluster" else {}
    options = {"cov_kwds": groups} if groups else {}
    model = sm.GLM(y, sm.add_constant(X, prepend=False), family=sm.families.Binomial())
    expected = model.fit(tol=1e-12, cov_type=cov_type, **options)
    found = ML.fit(X, y).infer(X, y, cov_type=cov_type, **groups)
    if cov_type == "HC1":
        factor = len(y) / (len(y) - 4)
        np.testing.assert_allclose(found.covariance, factor * expected.cov_params(), rtol=1e-6)
        return
    np.testing.assert_allclose(found.std_errors[0], expected.bse, rtol=1e-6)
    np.testing.assert_allclose(found.covariance, expected.cov_params(), rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(found.conf_int(), expected.conf_int(), rtol=1e-6)
    table = found.summary()
    np.testing.assert_allclose(table["z"], expected.tvalues, rtol=1e-6)
    np.testing.assert_allclose(table["p_value"], expected.pvalues, rtol=1e-5)
    wald = found.wald_test([["age", "educ"]])
    theirs = expected.wald_test(np.eye(4)[1:3], use_f=False, scalar=True)
    assert wald["chi2"].item() == pytest.approx(float(theirs.statistic), rel=1e-6)
    assert wald["p_value"].item() == pytest.approx(float(theirs.pvalue), rel=1e-5)


def test_tables_of_names_have_the_covariance():
    found = ML.fit(X, Y).infer(X, Y)
    names = [(k, name) for k in (1, 2) for name in [*X.columns, "Intercept"]]
    table = found.cov_params()
    assert list(table.index) == list(table.columns) == names
    np.testing.assert_array_equal(table, found.covariance)
    theirs = sm.MNLogit(Y, sm.add_constant(X, prepend=False)).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(table, theirs.cov_params(), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(found.conf_int(0.9), theirs.conf_int(0.1), rtol=1e-5, atol=1e-8)


def test_criteria_are_of_free_coefficients():
    ridge = MaxentClassifier().fit(X, Y).infer(X, Y)
    for criterion in ("aic", "bic"):
        with pytest.raises(ValueError, match=r"expected a fit with C=np\.inf"):
            getattr(ridge, criterion)


# Selection on one half


def selected_sample():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(400, 4)), columns=list("abcd"))
    y = (0.6 * frame["b"] - 1.5 * frame["c"] + rng.logistic(size=400) > 0).astype(int)
    return frame, y


@pytest.mark.parametrize("named", [True, False])
def test_tests_after_selection_are_of_the_features_that_they_name(named):
    frame, y = selected_sample()
    rows = frame if named else frame.to_numpy()
    results = LASSO.fit(rows, y).infer(rows, y, method="split")
    names = results.columns[:-1]
    assert names == (["b", "c"] if named else ["x1", "x2"])
    ratios, walds = results.likelihood_ratio_test(), results.wald_test(names)
    assert list(ratios.index) == names
    np.testing.assert_allclose(ratios["chi2"], walds["chi2"], rtol=0.4)
    assert ratios["chi2"].iloc[1] > 10.0 * ratios["chi2"].iloc[0]
    interval = results.profile_conf_int(features=names[1])
    np.testing.assert_allclose(interval, results.conf_int().iloc[[1]], rtol=0.1)
    # The other half by itself: the same numbers from a fit to these columns.
    seed = check_random_state(0).randint(2**31 - 1)
    _, second = train_test_split(np.arange(400), test_size=0.5, stratify=y, random_state=seed)
    half = frame.iloc[second][["b", "c"]]
    again = ML.fit(half, y.iloc[second]).infer(half, y.iloc[second])
    np.testing.assert_allclose(results.coef, again.coef, atol=1e-3)
    np.testing.assert_allclose(ratios["chi2"], again.likelihood_ratio_test()["chi2"], rtol=1e-6)


def test_clusters_are_not_split_between_halves(monkeypatch):
    seen = []
    halves = _sample_split._halves

    def watched(*arguments):
        seen.append(halves(*arguments))
        return seen[-1]

    monkeypatch.setattr(_sample_split, "_halves", watched)
    frame, y = selected_sample()
    groups = np.arange(400) // 8
    clf = LASSO.fit(frame, y)
    results = clf.infer(frame, y, method="split", cov_type="cluster", groups=groups)
    ((first, second),) = seen
    assert not set(groups[first]) & set(groups[second])
    assert len(first) + len(second) == 400
    assert results.n_groups == len(set(groups[second]))
    assert 20 <= results.n_groups <= 30


def test_a_half_without_a_class_is_refused():
    frame, y = selected_sample()
    labels = y.to_numpy().copy()
    labels[:3] = 2
    clf = LASSO.fit(frame, labels)
    with pytest.raises(ValueError, match=r"every class in each half .* \[2\] have too few"):
        clf.infer(frame, labels, (labels != 2) + (np.arange(400) == 0) * 1.0, method="split")


@pytest.mark.parametrize("features", [None, ["x0"]])
def test_columns_whose_squares_overflow_are_named(features):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 3)) * [1.0, 1e200, 1.0], rng.integers(0, 3, 60)
    model = MaxentClassifier(C=np.inf).fit(rows, labels)
    with pytest.raises(ValueError, match=r"rescale the columns \['x1'\]"):
        model.infer(rows, labels, features=features)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("weight", [1e-12, 1e-20, 1e-29])
@pytest.mark.parametrize("label", ["a", "b", "c"])
def test_infer_names_classes_whose_weights_are_negligible(weight, label):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = np.array(["a", "b", "c"])[(X + rng.gumbel(size=(120, 3))).argmax(axis=1)]
    weights = np.where(y == label, weight, 1.0)
    clf = MaxentClassifier(C=np.inf).fit(X, y, sample_weight=weights)
    try:
        results = clf.infer(X, y, sample_weight=weights)
    except ValueError as error:
        assert f"the classes ['{label}'] have a share of" in str(error)
    else:
        assert np.isfinite(results.std_errors).all()


def test_the_alpha_of_statsmodels_as_a_level_issues_a_warning():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    for intervals in (
        results.conf_int,
        lambda level: results.profile_conf_int(level, features="x0"),
        lambda level: results.predict_proba_interval(X, level),
        lambda level: results.predictions(by=True, conf_level=level),
    ):
        with pytest.warns(UserWarning, match=r"conf_level=0\.05 makes .* write conf_level=0\.95"):
            intervals(0.05)
    found = results.conf_int(0.5)
    quartile = 0.6744897501960817  # of the normal distribution
    half = 0.5 * (found["upper"] - found["lower"])
    np.testing.assert_allclose(half, quartile * results.summary()["std_err"], rtol=1e-12)
