"""MaxentClassifier as scikit-learn, pandas and the user meet it."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV, SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from skmaxent import MaxentClassifier, _classifier

IRIS = load_iris(return_X_y=True)


# scikit-learn leaves this check out itself unless SCIPY_ARRAY_API is set in the environment.
CHECKS = [
    check
    for _, check in estimator_checks_generator(MaxentClassifier())
    if check.func.__name__ != "check_array_api_input"
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.func.__name__)
def test_scikit_learns_checks(check):
    check(MaxentClassifier())


def text():
    rng = np.random.default_rng(0)
    X = (
        sp.random_array((400, 900), density=0.03, format="csr", rng=rng)
        if hasattr(sp, "random_array")
        else sp.random(400, 900, 0.03, "csr")
    )
    return X, rng.integers(0, 4, 400)


DATA = {
    "iris": IRIS,
    "wine": load_wine(return_X_y=True),
    "digits": load_digits(return_X_y=True),
    "breast cancer": load_breast_cancer(return_X_y=True),
    "text": text(),
}


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", DATA)
def test_coefficients_equal_logistic_regression(name, weighted, fit_intercept):
    X, y = DATA[name]
    weights = np.random.default_rng(1).uniform(0.2, 2, len(y)) if weighted else None
    class_weight = {label: 0.5 + label for label in np.unique(y)} if weighted else None
    options = {"fit_intercept": fit_intercept, "class_weight": class_weight}
    ours = MaxentClassifier(tol=1e-7, **options).fit(X, y, weights)
    solver = "newton-cg" if sp.issparse(X) else "newton-cholesky"
    theirs = LogisticRegression(solver=solver, tol=1e-12, max_iter=10_000, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y, weights)
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-6 * scale)
    scale = max(np.abs(theirs.intercept_).max(), 1.0)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)
    assert ours.score(X, y) == theirs.score(X, y)


def test_balanced_class_weights_equal_logistic_regressions():
    X, y = IRIS[0][20:], IRIS[1][20:]
    ours = MaxentClassifier(tol=1e-8, class_weight="balanced").fit(X, y)
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, class_weight="balanced")
    np.testing.assert_allclose(ours.coef_, theirs.fit(X, y).coef_, rtol=1e-6)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"])
def test_scikit_learns_solver_names_lead_to_the_same_fit(solver):
    expected = MaxentClassifier(tol=1e-8).fit(*IRIS)
    found = MaxentClassifier(tol=1e-8, solver=solver).fit(*IRIS)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-6, atol=1e-8)


def test_no_penalty_by_either_spelling():
    X, y = IRIS[0][50:], IRIS[1][50:]
    new = MaxentClassifier(C=np.inf).fit(X, y)
    old = MaxentClassifier(penalty=None, l1_ratio=None).fit(X, y)
    np.testing.assert_array_equal(new.coef_, old.coef_)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "liblinear"}, "write solver='auto'"),
        ({"l1_ratio": 0.5}, "l1_ratio=0.5 asks for an L1 penalty"),
        ({"penalty": "l1"}, "penalty='l1' asks for an L1 penalty"),
        ({"C": 0}, "The 'C' parameter of MaxentClassifier must be"),
        ({"tol": -1}, "The 'tol' parameter"),
        ({"max_iter": 0}, "The 'max_iter' parameter"),
        ({"class_weight": {7: 2.0}}, "class_weight has the labels"),
        ({"class_weight": {0: -1.0}}, "class_weight must be finite and not negative"),
    ],
)
def test_parameters_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MaxentClassifier(**options).fit(*IRIS)


@pytest.mark.parametrize("name", ["multi_class", "dual", "intercept_scaling"])
def test_removed_parameters_say_what_to_write(name):
    with pytest.raises(TypeError, match=f"no parameter '{name}': .*leave it out"):
        MaxentClassifier(**{name: 1})


def bad(value):
    X = IRIS[0].copy()
    X[3, 1] = value
    return X


@pytest.mark.parametrize(
    ("X", "y", "weights", "message"),
    [
        (bad(np.nan), IRIS[1], None, "Input X contains NaN"),
        (bad(np.inf), IRIS[1], None, "Input X contains infinity"),
        (IRIS[0] * 1j, IRIS[1], None, "Complex data not supported"),
        (IRIS[0][:0], IRIS[1][:0], None, "0 sample"),
        (IRIS[0][:, :0], IRIS[1], None, "0 feature"),
        (IRIS[0], IRIS[1][:-1], None, "inconsistent numbers of samples"),
        (IRIS[0], IRIS[1] * 0, None, "at least 2 classes"),
        (IRIS[0], IRIS[1] + 0.5, None, "Unknown label type"),
        (IRIS[0], IRIS[1], np.ones(3), r"sample_weight.shape == \(3,\), expected \(150,\)"),
        (IRIS[0], IRIS[1], -np.ones(150), "Negative values in data passed to `sample_weight`"),
        (IRIS[0], IRIS[1], np.zeros(150), "at least one non-zero number"),
        (IRIS[0], IRIS[1], np.ones((150, 1)), "Sample weights must be 1D"),
        (IRIS[0], IRIS[1], np.full(150, np.nan), "sample_weight contains NaN"),
        (IRIS[0], IRIS[1], (IRIS[1] == 1) * 1.0, "at least 2 classes in the data with positive"),
    ],
)
def test_input_that_cannot_be_fitted_is_named_and_nothing_is_lost(X, y, weights, message):
    clf = MaxentClassifier().fit(*IRIS)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y, weights)
    assert vars(clf).keys() == before.keys()
    assert all(vars(clf)[key] is before[key] for key in before)


def test_an_interrupted_fit_keeps_the_earlier_one(monkeypatch):
    clf = MaxentClassifier().fit(*IRIS)
    before = dict(vars(clf))

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_classifier, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(IRIS[0][:, :2], IRIS[1])
    assert vars(clf) == before


def test_predicting_other_features_is_refused():
    clf = MaxentClassifier().fit(*IRIS)
    with pytest.raises(ValueError, match="X has 2 features, but MaxentClassifier is expecting 4"):
        clf.predict(IRIS[0][:, :2])


def test_separation_without_penalty_is_named():
    with pytest.warns(ConvergenceWarning, match="perfectly separated"):
        clf = MaxentClassifier(C=np.inf).fit(IRIS[0], IRIS[1] == 0)
    assert np.isfinite(clf.coef_).all()


def test_max_iter_says_how_far_there_is_to_go():
    with pytest.warns(ConvergenceWarning, match="max_iter=2 was reached, about .* standard errors"):
        MaxentClassifier(max_iter=2).fit(*IRIS)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-20, 1e20, 1e200, 1e300])
def test_extreme_units(scale):
    X = IRIS[0] * scale
    clf = MaxentClassifier().fit(X, IRIS[1])
    assert np.isfinite(clf.coef_).all()
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1)
    if scale > 1:
        assert clf.score(X, IRIS[1]) > 0.95


def test_predictions_far_out_are_finite():
    clf = MaxentClassifier(C=1e6).fit(*IRIS)
    X = np.array([[1e308, 1e308, 1e308, -1e308], [-1e308, 1e308, 0, 0]])
    proba, log_proba = clf.predict_proba(X), clf.predict_log_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert np.isfinite(log_proba).all()


def test_a_class_without_weight_is_never_probable():
    X, y = IRIS
    clf = MaxentClassifier(tol=1e-8).fit(X, y, (y != 1) * 1.0)
    assert clf.predict_proba(X)[:, 1].max() < 1e-40
    assert clf.coef_.shape == (3, 4)
    # scikit-learn's penalty on a single logit is twice that on two symmetric ones.
    alone = MaxentClassifier(tol=1e-8, C=2.0).fit(X[y != 1], y[y != 1])
    np.testing.assert_allclose(clf.predict_proba(X)[:, ::2], alone.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        sp.csr_matrix,
        sp.csc_matrix,
        sp.coo_matrix,
        sp.csr_array,
        pd.DataFrame,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: pl.DataFrame(X, schema=[*"abcd"]),
    ],
)
def test_every_storage_gives_the_same_fit(convert):
    X = convert(IRIS[0])
    clf = MaxentClassifier().fit(X, IRIS[1])
    expected = MaxentClassifier().fit(*IRIS)
    np.testing.assert_allclose(clf.coef_, expected.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(clf.predict_proba(X), expected.predict_proba(IRIS[0]), atol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "kept"), [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("i4", "f8"), ("?", "f8")]
)
def test_dtypes(dtype, kept):
    X = (IRIS[0] > 3).astype(dtype) if dtype == "?" else IRIS[0].astype(dtype)
    clf = MaxentClassifier().fit(X, IRIS[1])
    assert clf.coef_.dtype == clf.intercept_.dtype == clf.predict_proba(X).dtype == kept


def test_a_read_only_memory_map(tmp_path):
    np.save(tmp_path / "X.npy", IRIS[0])
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    clf = MaxentClassifier().fit(X, IRIS[1])
    np.testing.assert_array_equal(clf.coef_, MaxentClassifier().fit(*IRIS).coef_)


def test_warm_start_verbose_and_sparse_coefficients(capsys):
    clf = MaxentClassifier(warm_start=True, verbose=1).fit(*IRIS)
    cold = clf.n_iter_[0]
    assert capsys.readouterr().out.count("standard errors") == cold
    proba = clf.predict_proba(IRIS[0])
    clf.sparsify()
    assert sp.issparse(clf.coef_)
    np.testing.assert_allclose(clf.predict_proba(IRIS[0]), proba, rtol=1e-12)
    clf.fit(*IRIS)
    assert clf.n_iter_.shape == (1,)
    assert clf.n_iter_[0] == 1 < cold
    clf.fit(IRIS[0][:, :2], IRIS[1])
    assert clf.coef_.shape == (3, 2)


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_threads_give_the_same_fit(n_jobs):
    X, y = DATA["digits"]
    expected = MaxentClassifier(tol=1e-7).fit(X, y)
    clf = MaxentClassifier(tol=1e-7, n_jobs=n_jobs).fit(X, y)
    np.testing.assert_allclose(clf.coef_, expected.coef_, atol=1e-7)


def test_copies_persist_and_display():
    clf = MaxentClassifier(C=3.0).fit(*IRIS)
    for copy in (pickle.loads(pickle.dumps(clf)), clone(clf).fit(*IRIS)):
        np.testing.assert_array_equal(copy.predict_proba(IRIS[0]), clf.predict_proba(IRIS[0]))
    assert "skmaxent.readthedocs.io" in clf._repr_html_()


def test_joblib_round_trip(tmp_path):
    clf = MaxentClassifier().fit(*IRIS)
    joblib.dump(clf, tmp_path / "clf.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "clf.joblib").coef_, clf.coef_)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_grid_search(backend):
    pipe = make_pipeline(StandardScaler(), MaxentClassifier())
    search = GridSearchCV(pipe, {"maxentclassifier__C": [0.1, 1, 10]}, n_jobs=2)
    with joblib.parallel_config(backend=backend):
        search.fit(*IRIS)
    assert search.best_score_ > 0.95


def test_sample_weight_is_routed():
    X, y = IRIS
    weights = np.random.default_rng(0).uniform(0.1, 3, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        clf = MaxentClassifier().set_fit_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clf)
        pipe.fit(X, y, sample_weight=weights)
    expected = MaxentClassifier().fit(StandardScaler().fit_transform(X), y, weights)
    np.testing.assert_allclose(pipe[-1].coef_, expected.coef_)


@pytest.mark.parametrize(
    "build",
    [
        lambda clf: CalibratedClassifierCV(clf, cv=3),
        lambda clf: VotingClassifier([("a", clf), ("b", clf)], voting="soft"),
        lambda clf: StackingClassifier([("a", clf)], final_estimator=clf, cv=3),
        OneVsRestClassifier,
        lambda clf: RFECV(clf, cv=3),
        lambda clf: make_pipeline(SelectFromModel(clf), clf),
        lambda clf: HalvingGridSearchCV(clf, {"C": [0.1, 1]}, cv=3, random_state=0),
    ],
)
def test_member_of(build):
    assert build(MaxentClassifier()).fit(*IRIS).score(*IRIS) > 0.9


def test_permutation_importance():
    clf = MaxentClassifier().fit(*IRIS)
    result = permutation_importance(clf, *IRIS, n_repeats=2, random_state=0)
    assert result.importances_mean.argmax() in (2, 3)


def mixed_frame():
    rng = np.random.default_rng(0)
    n = 120
    return pd.DataFrame(
        {
            "colour": pd.Categorical(rng.choice(["red", "blue"], n)),
            "count": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "flag": pd.array(rng.integers(0, 2, n).astype(bool), dtype="boolean"),
            "metres": rng.normal(1e5, 1e3, n),
        },
        index=[f"row {i}" for i in range(n)],
    )


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "b", "c"], dtype=object),
        np.array([3, 5, 9]),
        np.array([True, False]),
        pd.Categorical(["low", "mid", "high"]),
    ],
    ids=["str", "int", "bool", "categorical"],
)
def test_mixed_frames_keep_their_names(labels):
    frame = mixed_frame()
    y = pd.Series(np.resize(np.asarray(labels), len(frame)), index=frame.index)
    if isinstance(labels, pd.Categorical):
        y = y.astype("category")
    prepare = ColumnTransformer(
        [("c", OneHotEncoder(sparse_output=False), ["colour"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipe = make_pipeline(prepare, MaxentClassifier()).fit(frame, y)
    clf = pipe[-1]
    expected = sorted(set(np.asarray(labels).tolist()))
    assert clf.classes_.tolist() == expected
    names = ["colour_blue", "colour_red", "count", "flag", "metres", "Intercept"]
    assert clf.coef_frame().index.tolist() == names
    assert clf.coef_frame().columns.tolist() == (expected if len(expected) > 2 else expected[1:])
    proba = clf.predict_proba_frame(pipe[:-1].transform(frame))
    assert proba.index.equals(frame.index)
    assert proba.columns.tolist() == expected


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d, K = draw(st.integers(2, 25)), draw(st.integers(1, 6)), draw(st.integers(2, 5))
    X = rng.normal(size=(n, d))
    exponents = st.integers(-300, 300)
    X *= 10.0 ** np.array(draw(st.lists(exponents, min_size=d, max_size=d)), dtype=float)
    if draw(st.booleans()):
        X[:, 0] = draw(st.sampled_from([0.0, 1.0, -1e10]))
    if draw(st.booleans()):
        X = np.column_stack([X, X[:, -1]])
    dtype = draw(st.sampled_from(["f8", "f4", "f2", "i8"]))
    if dtype != "f8":
        X = np.clip(X, -6e4, 6e4).astype(dtype)
    layout = draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray, sp.csr_array]))
    weights = draw(
        st.sampled_from(
            [None, rng.uniform(0, 1, n), rng.integers(0, 2, n) * 1.0, np.full(n, 1e300)]
        )
    )
    options = {
        "C": draw(st.sampled_from([1e-300, 1e-8, 1.0, 1e8, 1e300, np.inf])),
        "fit_intercept": draw(st.booleans()),
        "class_weight": draw(st.sampled_from([None, "balanced"])),
        "solver": draw(st.sampled_from(["auto", "newton-cg", "newton-cholesky"])),
    }
    X = X.astype("f8") if layout is sp.csr_array and dtype == "f2" else X
    return layout(X), rng.integers(0, K, n), weights, options


@settings(max_examples=300, derandomize=True, deadline=5000)
@given(problems())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_any_finite_problem_has_a_clear_error_or_finite_probabilities(problem):
    X, y, weights, options = problem
    clf = MaxentClassifier(**options)
    try:
        clf.fit(X, y, weights)
    except ValueError as error:
        assert not isinstance(error, np.linalg.LinAlgError)
        assert "class" in str(error) or "sample_weight" in str(error)
        return
    proba = clf.predict_proba(X)
    assert np.isfinite(clf.coef_).all() and np.isfinite(clf.intercept_).all()
    assert ((proba >= 0) & (proba <= 1)).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert np.isfinite(clf.predict_log_proba(X)).all()
    assert 0 <= clf.optimality_gap_ <= 1
