"""What input gets: a fit from every kind of storage and type, or an error that names the cause."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    expected_calibration_error,
)
from skmaxent._estimators import _fit_classifier
from skmaxent._estimators._thresholds import best_threshold
from skmaxent._objective import _objective

IRIS = load_iris(return_X_y=True)
NAMES = [*"abcd"]
FRAME = pd.DataFrame(IRIS[0], columns=NAMES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "liblinear"}, "write solver='auto'"),
        ({"l1_ratio": 1.5}, "The 'l1_ratio' parameter"),
        ({"C": 0}, "The 'C' parameter of MaxentClassifier must be"),
        ({"tol": -1}, "The 'tol' parameter"),
        ({"max_iter": -1}, "The 'max_iter' parameter"),
        ({"class_weight": {7: 2.0}}, "class_weight has the labels"),
        ({"class_weight": {0: 1, "1": 5, 2: 1}}, r"class_weight has the labels \['1'\]"),
        ({"class_weight": {0: "a"}}, r"class_weight\[0\] is 'a'; expected a number"),
        ({"class_weight": {0: -1.0}}, "class_weight must be finite and not negative"),
    ],
)
def test_parameters_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MaxentClassifier(**options).fit(*IRIS)


REMOVED = {"multi_class": "ovr", "dual": True, "intercept_scaling": 2.0}


@pytest.mark.parametrize("kind", [MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier])
@pytest.mark.parametrize(("name", "value"), REMOVED.items())
def test_removed_parameters_say_what_to_write(kind, name, value):
    message = f"{kind.__name__} has no parameter '{name}', found {name}={value!r}: .*leave it out"
    with pytest.raises(TypeError, match=message):
        kind(**{name: value})
    with pytest.raises(TypeError, match=message):
        kind().set_params(**{name: value})


@pytest.mark.parametrize("kind", [MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier])
def test_removed_parameters_that_ask_for_what_is_done_are_accepted(kind):
    plain = kind().get_params()
    given = kind(multi_class="multinomial", dual=False, intercept_scaling=1)
    assert given.set_params(multi_class="auto", dual=False, tol=1e-4) is given
    assert given.get_params() == plain


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

    monkeypatch.setattr(_fit_classifier, "minimise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(IRIS[0][:, :2], IRIS[1])
    assert vars(clf) == before


def test_predicting_other_features_is_refused():
    clf = MaxentClassifier().fit(*IRIS)
    with pytest.raises(ValueError, match="X has 2 features, but MaxentClassifier is expecting 4"):
        clf.predict(IRIS[0][:, :2])


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-20, 1e20, 1e200, 1e300])
# In extreme units the penalty at C = 1 is next to nil: no surprise that classes separate, or that
# the optimum, at which the penalty stops a logit of 100, is beyond the precision of the loss.
@pytest.mark.filterwarnings("ignore:.*quasi-complete:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*lack of floating-point:sklearn.exceptions.ConvergenceWarning")
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
    np.testing.assert_allclose(
        clf.coef_, MaxentClassifier().fit(*IRIS).coef_, rtol=1e-9, atol=1e-12
    )


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
@pytest.mark.filterwarnings("ignore:.*linear combinations of earlier:UserWarning")
@pytest.mark.filterwarnings("ignore:.*so far from zero:UserWarning")
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


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (
            FRAME.assign(b="red"),
            ValueError,
            r"X must be numeric.* not: 'b' .holds 'red', a str.*Encode",
        ),
        (
            FRAME.assign(c=pd.Timestamp("2020-01-01")),
            TypeError,
            r"X must be numeric.* 'c' \(datetime",
        ),
        (
            np.array([["x", 1], ["y", 2]] * 75, dtype=object),
            ValueError,
            r"not: 0 \(holds 'x', a str\)",
        ),
        (FRAME.astype(object).mask(FRAME["a"] > 7.6, pd.NA), TypeError, r"'a' \(holds <NA>"),
        (
            FRAME.astype(object).mask(FRAME["a"] > 7.6, "?"),
            ValueError,
            r"'a' \(holds '\?', a str\)",
        ),
        (FRAME.astype("Float64").mask(FRAME["a"] > 7), ValueError, "Input X contains NaN"),
        (pl.DataFrame(IRIS[0]).with_columns(z=pl.lit("red")), ValueError, "not: 'z'"),
        (IRIS[0][:, 0], ValueError, "Expected 2D array, got 1D array"),
        (IRIS[0][None], ValueError, "Found array with dim 3"),
    ],
)
def test_columns_that_are_not_numbers_are_named(X, error, message):
    with pytest.raises(error, match=message):
        MaxentClassifier().fit(X, IRIS[1])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (np.where(IRIS[1] == 0, np.nan, IRIS[1]), "Input y contains NaN"),
        (np.array(["a", None, "b"] * 50, dtype=object), "y contains NaN or other missing"),
        (pd.Series(["a", None, "b"] * 50, dtype="string"), "y contains NaN or other missing"),
        (pd.Series(["a", None, "b"] * 50, dtype="category"), "y contains NaN or other missing"),
        (np.array(["a", 1, "b"] * 50, dtype=object), "y has labels of types.*: int, str"),
        (np.column_stack([IRIS[1], IRIS[1]]), "y has nothing but zeros in 50 rows"),
    ],
)
def test_labels_that_cannot_be_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        MaxentClassifier().fit(IRIS[0], y)


def test_weights_that_are_not_numbers_are_named():
    with pytest.raises(ValueError, match="sample_weight must be numeric: could not convert"):
        MaxentClassifier().fit(*IRIS, sample_weight=["a"] * 150)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([*"badc"], "Feature names must be in the same order"),
        ([*"ab"], "yet now missing:\n- c\n- d"),
        ([*"abcz"], "unseen at fit time:\n- z"),
    ],
)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_other_names_at_prediction_are_named(kind, columns, message, method):
    clf = MaxentClassifier().fit(kind(dict(FRAME)), IRIS[1])
    other = FRAME.assign(z=0.0)[columns]
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(kind(dict(other)))


def test_names_at_fit_and_none_at_prediction_is_warned_of():
    clf = MaxentClassifier().fit(FRAME, IRIS[1])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        clf.predict(IRIS[0])


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize(
    "convert",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        np.float32,
        pd.DataFrame,
        sp.csr_array,
        lambda X: pd.DataFrame(X.astype(np.float32)),
    ],
)
def test_fit_and_predict_do_not_copy_X(convert, copies, monkeypatch):
    # But for a copy in float32 that Hessian products use, within a budget of bytes.
    if not copies:
        monkeypatch.setattr(_objective, "COPY_BYTES", 0)
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(20_000, 200))
    if convert is sp.csr_array:
        dense[rng.random(dense.shape) < 0.5] = 0.0
    X, y = convert(dense), rng.integers(0, 3, len(dense))
    item = 4 if "float32" in str(getattr(X, "dtypes", getattr(X, "dtype", ""))) else 8
    size = X.data.nbytes + X.indices.nbytes if sp.issparse(X) else item * dense.size
    clf = MaxentClassifier(n_jobs=1)
    tracemalloc.start()
    try:
        clf.fit(X, y).predict_proba(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (1.1 if copies else 0.8) * size


@pytest.mark.parametrize(
    ("penalty", "l1_ratio", "message"),
    [
        ("l2", 1.0, "Inconsistent values: penalty=l2 with l1_ratio=1.0"),
        ("l1", 0.5, "l1_ratio parameter is only used when penalty is 'elasticnet'"),
        (None, 0.5, "penalty=None will ignore the C and l1_ratio parameters"),
    ],
)
def test_contradictions_of_penalty_and_l1_ratio_are_warned_of(penalty, l1_ratio, message):
    X, y = IRIS[0][50:], IRIS[1][50:]
    with pytest.warns(UserWarning, match=message):
        clf = MaxentClassifier(penalty=penalty, l1_ratio=l1_ratio).fit(X, y)
    kind = {"l2": {"l1_ratio": 0.0}, "l1": {"l1_ratio": 1.0}, None: {"C": np.inf}}[penalty]
    expected = MaxentClassifier(**kind).fit(X, y)
    np.testing.assert_allclose(clf.coef_, expected.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("penalty", ["l1", "l2", "elasticnet", None])
def test_kinds_of_penalty_by_scikit_learns_former_names(penalty):
    X, y = IRIS[0][50:], IRIS[1][50:]
    ratios = {"l1": 1.0, "l2": 0.0, "elasticnet": 0.3, None: 0.0}
    given = {"l1_ratio": 0.3} if penalty == "elasticnet" else {}
    clf = MaxentClassifier(penalty=penalty, **given).fit(X, y)
    expected = MaxentClassifier(l1_ratio=ratios[penalty], C=1.0 if penalty else np.inf).fit(X, y)
    np.testing.assert_allclose(clf.coef_, expected.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1e200, 4e307])
def test_means_do_not_depend_on_the_scale_of_weights(scale):
    X, y = IRIS[0][:, [1]], IRIS[1]
    weights = np.arange(150) % 4 * 1.0
    clf = MaxentClassifier().fit(X, y)
    P = clf.predict_proba(X)
    counts = np.eye(3)[y]
    results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    labels = MultilabelMaxentClassifier().fit(X, counts)
    means = {
        "score": lambda w: clf.score(X, y, sample_weight=w),
        "score of a table": lambda w: clf.score(X, counts, sample_weight=w),
        "score of labels": lambda w: labels.score(X, counts, sample_weight=w),
        "calibration": lambda w: expected_calibration_error(y, P, sample_weight=w),
        "predictions": lambda w: results.predictions(X, by=True, sample_weight=w)[
            ["estimate", "std_err"]
        ],
        "threshold": lambda w: best_threshold(P[:, 1], counts[:, 1], w),
    }
    for name, mean in means.items():
        np.testing.assert_allclose(mean(weights * scale), mean(weights), rtol=1e-12, err_msg=name)
    by_hand = np.average(clf.predict(X) == y, weights=weights)
    assert means["score"](weights * scale) == pytest.approx(by_hand)
