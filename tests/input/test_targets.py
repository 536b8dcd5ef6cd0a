"""y as counts, proportions and smoothed labels against the rows that they stand for."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, MaxentClassifierCV, detect_separation, maxent_path

X, Y = load_iris(return_X_y=True)
RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 4, (150, 3)) + (RNG.integers(0, 3, 150)[:, None] == np.arange(3))
ROW, CODE = np.nonzero(COUNTS)
MANY = COUNTS[ROW, CODE]
ONE_EACH = np.repeat(np.arange(len(ROW)), MANY)
R = json.loads((Path(__file__).parents[1] / "oracles" / "multinom_tables.json").read_text())


def expanded(table=COUNTS):
    """A row for each observation."""
    row, code = np.nonzero(table)
    each = np.repeat(np.arange(len(row)), table[row, code])
    return X[row[each]], code[each]


def assert_same_fit(one, other, tolerance=1e-8):
    assert np.array_equal(one.classes_, other.classes_)
    assert abs(one.coef_ - other.coef_).max() < tolerance
    assert abs(one.intercept_ - other.intercept_).max() < tolerance


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"C": 100.0, "fit_intercept": False},
        {"C": np.inf},
        {"l1_ratio": 1.0},
        {"l1_ratio": 0.5, "grouped": True},
        {"class_weight": {0: 2.0, 1: 1.0, 2: 0.5}},
        {"class_weight": "balanced"},
        {"label_smoothing": 0.2},
        {"label_smoothing": 0.1, "class_weight": "balanced"},
        {"bias_reduction": "jeffreys", "C": np.inf},
        {"prior_correction": "empirical", "class_weight": "balanced"},
        {"bounds": (0.0, None)},
    ],
    ids=str,
)
@pytest.mark.parametrize("columns", [[0, 1, 2], [0, 2]], ids=["three classes", "two classes"])
def test_counts_are_rows_with_a_label_each(params, columns):
    table = COUNTS[:, columns]
    kept = table.any(axis=1)
    table = np.where(kept[:, None], table, [1] + [0] * (len(columns) - 1))
    if "class_weight" in params and isinstance(params["class_weight"], dict):
        params = params | {"class_weight": {k: 1.0 / (1 + k) for k in range(len(columns))}}
    model = MaxentClassifier(tol=1e-9, max_iter=500, **params)
    one = model.fit(X, table)
    score = one.score(X, table)
    rows, labels = expanded(table)
    other = MaxentClassifier(**model.get_params()).fit(rows, labels)
    assert_same_fit(one, other)
    assert score == pytest.approx(other.score(rows, labels))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tables_may_be_stored_in_many_ways(dtype):
    rows = X.astype(dtype)
    want = MaxentClassifier().fit(rows, COUNTS)
    assert want.coef_.dtype == dtype
    names = ["a", "b", "c"]
    for table in (COUNTS.tolist(), sp.csr_array(COUNTS), COUNTS.astype(np.uint8)):
        assert_same_fit(MaxentClassifier().fit(rows, table), want)
    for frame in (pd.DataFrame(COUNTS, columns=names), pl.DataFrame(COUNTS, schema=names)):
        got = MaxentClassifier().fit(rows, frame)
        assert got.classes_.tolist() == names
        np.testing.assert_allclose(got.coef_, want.coef_, rtol=1e-9, atol=1e-12)
        assert set(got.predict(rows)) <= set(names)


def test_columns_are_sorted_like_labels_and_found_by_name():
    frame = pd.DataFrame(COUNTS, columns=["b", "c", "a"])
    clf = MaxentClassifier().fit(X, frame)
    assert clf.classes_.tolist() == ["a", "b", "c"]
    assert_same_fit(clf, MaxentClassifier().fit(X, frame[["c", "a", "b"]]))
    assert clf.score(X, frame) == pytest.approx(clf.score(X, frame[["a", "b", "c"]]), rel=1e-12)
    assert clf.coef_frame().columns.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("dtype", [bool, int, float])
def test_one_hot_rows_are_labels(dtype):
    one_hot = (Y[:, None] == np.arange(3)).astype(dtype)
    one, other = MaxentClassifier().fit(X, one_hot), MaxentClassifier().fit(X, Y)
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9, atol=1e-12)
    assert one.optimality_gap_ == pytest.approx(other.optimality_gap_, rel=1e-6)
    assert one.score(X, one_hot) == pytest.approx(other.score(X, Y), rel=1e-12)


def test_proportions_take_weights():
    proportions = COUNTS / COUNTS.sum(axis=1, keepdims=True)
    one = MaxentClassifier(tol=1e-9).fit(X, proportions, sample_weight=COUNTS.sum(axis=1))
    assert_same_fit(one, MaxentClassifier(tol=1e-9).fit(X, COUNTS))
    # The optimum for the unweighted proportions, by the definition of its gradient.
    one = MaxentClassifier(C=2.0, tol=1e-9).fit(X, proportions)
    gradient = (one.predict_proba(X) - proportions).T @ X + one.coef_ / 2.0
    assert abs(gradient).max() < 1e-6


def test_multinom_with_a_matrix_response():
    clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X[:, :2], np.array(R["counts"]))
    coef = np.column_stack([clf.intercept_, clf.coef_])
    assert abs(coef[1:] - coef[0] - np.array(R["counts_coef"])).max() < 1e-6
    deviance = -2.0 * (np.array(R["counts"]) * clf.predict_log_proba(X[:, :2])).sum()
    assert deviance == pytest.approx(R["counts_deviance"], rel=1e-12)


def test_large_data_takes_tables_by_way_of_samples():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(30_000, 20))
    logits = rows @ rng.normal(size=(20, 4))
    table = np.array(
        [rng.multinomial(3, p) for p in np.exp(logits) / np.exp(logits).sum(1, keepdims=True)]
    )
    one = MaxentClassifier(tol=1e-8).fit(rows, table)
    i, k = np.nonzero(table)
    other = MaxentClassifier(tol=1e-8).fit(rows[i], k, table[i, k])
    assert_same_fit(one, other)
    assert one.optimality_gap_ < 1e-6


def test_inference_counts_observations():
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, COUNTS)
    rows, labels = expanded()
    other = MaxentClassifier(C=np.inf, tol=1e-9).fit(rows, labels)
    for cov_type in ("nonrobust", "HC0", "HC1"):
        got = clf.infer(X, COUNTS, cov_type=cov_type).summary()
        want = other.infer(rows, labels, cov_type=cov_type).summary()
        np.testing.assert_allclose(got.to_numpy(float), want.to_numpy(float), rtol=1e-6)
    clusters = np.arange(150) // 3
    got = clf.infer(X, COUNTS, cov_type="cluster", groups=clusters).summary()
    row, code = np.nonzero(COUNTS)
    of_row = np.repeat(row, COUNTS[row, code])
    want = other.infer(rows, labels, cov_type="cluster", groups=clusters[of_row]).summary()
    np.testing.assert_allclose(got["coef"], want["coef"], rtol=1e-6)


def test_fractional_responses_are_units_under_probability_weights():
    shares = COUNTS / COUNTS.sum(axis=1, keepdims=True)
    clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, shares)
    found = clf.infer(X, shares, weights="probability", cov_type="HC0").summary()
    # Papke & Wooldridge (1996): A⁻¹ B A⁻¹ with the outer product of (p - t) ⊗ x.
    ones = np.column_stack([X, np.ones(150)])
    P = clf.predict_proba(X)
    A, B = np.zeros((10, 10)), np.zeros((10, 10))
    for p, t, x in zip(P[:, 1:], shares[:, 1:], ones, strict=True):
        A += np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x))
        u = np.kron(p - t, x)
        B += np.outer(u, u)
    V = np.linalg.inv(A) @ B @ np.linalg.inv(A)
    np.testing.assert_allclose(found.iloc[:, 1], np.sqrt(np.diag(V)), rtol=1e-5)


def test_inference_refuses_what_has_no_likelihood():
    clf = MaxentClassifier(C=np.inf, label_smoothing=0.1).fit(X, Y)
    with pytest.raises(ValueError, match=r"label_smoothing.*method='bootstrap'"):
        clf.infer(X, Y)
    found = clf.infer(X, Y, method="bootstrap", n_bootstrap=5)
    assert len(found.replicates) == 5


def test_bootstrap_split_and_separation_take_tables():
    clf = MaxentClassifier(l1_ratio=1.0, C=10.0).fit(X, COUNTS)
    found = clf.infer(X, COUNTS, method="bootstrap", n_bootstrap=4)
    assert found.replicates.shape[0] == 4
    assert len(clf.infer(X, COUNTS, method="split").summary())
    clusters = {"cov_type": "cluster", "groups": np.arange(150) // 3}
    assert clf.infer(X, COUNTS, method="split", **clusters).n_groups <= 50
    assert detect_separation(X, COUNTS).kind == "none"
    separated = detect_separation(X, 2 * (Y[:, None] == np.arange(3)))
    plain = detect_separation(X, Y)
    assert separated.kind == plain.kind
    assert separated.classes == plain.classes
    assert np.array_equal(separated.separated, plain.separated)


def test_searches_pipelines_and_cross_validation_take_tables():
    frame = pd.DataFrame(COUNTS, columns=list("abc"))
    pipe = make_pipeline(StandardScaler(), MaxentClassifier())
    search = GridSearchCV(pipe, {"maxentclassifier__C": [0.1, 1.0]}, cv=3).fit(X, frame)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert cross_val_score(pipe, X, COUNTS, cv=3).min() >= 0.0
    smooth = GridSearchCV(MaxentClassifier(), {"label_smoothing": [0.0, 0.1]}, cv=3).fit(X, Y)
    assert smooth.best_score_ > 0.9


def test_cross_validation_scores_a_table_as_its_observations():
    folds = [(np.flatnonzero(np.arange(150) % 3 != k), np.arange(k, 150, 3)) for k in range(3)]
    row, code = np.nonzero(COUNTS)
    of_row = np.repeat(row, COUNTS[row, code])
    rows, labels = expanded()
    wide = [
        (np.flatnonzero(np.isin(of_row, train)), np.flatnonzero(np.isin(of_row, test)))
        for train, test in folds
    ]
    params = {"Cs": [0.01, 1.0], "l1_ratios": [1.0], "tol": 1e-9}
    one = MaxentClassifierCV(cv=folds, **params).fit(X, COUNTS)
    other = MaxentClassifierCV(cv=wide, **params).fit(rows, labels)
    np.testing.assert_allclose(one.scores_, other.scores_, rtol=1e-6)
    assert one.C_ == other.C_
    assert one.score(X, COUNTS) == pytest.approx(other.score(rows, labels), rel=1e-7)
    path = maxent_path(X, COUNTS, Cs=4)
    assert path.n_nonzero[0] == 0


def test_class_weights_may_undo_sample_weights():
    # The largest sample weights meet the smallest class weights.
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int) + (X[:, 1] > 0.7)
    weights = np.where(y == 0, rng.choice([1.0, 5e-4], size=60), 1e-27)
    totals = np.bincount(y, weights)
    balanced = totals.sum() / (3 * totals)
    expected = MaxentClassifier(tol=1e-8).fit(X, y, weights * balanced[y])
    found = MaxentClassifier(tol=1e-8, class_weight="balanced").fit(X, y, weights)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-7)
    given = MaxentClassifier(tol=1e-8, class_weight=dict(enumerate(balanced))).fit(
        X, np.eye(3)[y], weights
    )
    np.testing.assert_allclose(given.coef_, expected.coef_, atol=1e-7)


def test_label_smoothing_is_a_mixture_of_targets():
    one_hot = (Y[:, None] == np.arange(3)).astype(float)
    smoothed = 0.9 * one_hot + 0.1 / 3
    one = MaxentClassifier(label_smoothing=0.1, tol=1e-9).fit(X, Y)
    assert_same_fit(one, MaxentClassifier(tol=1e-9).fit(X, smoothed))
    # Without a penalty separated classes have an optimum now.
    free = MaxentClassifier(label_smoothing=0.1, C=np.inf).fit(X, Y)
    assert free.optimality_gap_ < 1e-6
    two = Y < 2
    binary = MaxentClassifier(label_smoothing=0.1, tol=1e-9).fit(X[two], Y[two])
    target = 0.9 * Y[two] + 0.05
    gradient = (binary.predict_proba(X[two])[:, 1] - target) @ X[two] + binary.coef_[0]
    assert abs(gradient).max() < 1e-6


def test_rare_classes_gain_a_share_by_smoothing():
    clf = MaxentClassifier(label_smoothing=0.1).fit(X, Y, sample_weight=(Y < 2).astype(float))
    assert clf.predict_proba(X)[:, 2].min() > 1e-4


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(np.arange(150)[:, None] == 7, 0, COUNTS), r"zeros in 1 rows, such as \[7\]"),
        (np.where(np.arange(3) == 1, 0, COUNTS + 1), r"zeros in the columns \[1\]"),
        (np.where(np.arange(150)[:, None] == 7, np.nan, COUNTS), "NaN or infinity"),
        (np.where(np.arange(150)[:, None] == 7, np.inf, COUNTS), "NaN or infinity"),
        (COUNTS - 2, "negative entries, the least -2"),
        (np.full((150, 2), "a"), r"shape \(150, 2\) and holds 'a'; expected labels"),
        (np.ones((150, 2), bool), "partial_labels=True if one.*y.astype"),
        (np.ones((150, 3, 2)), "y has the shape|dim 3|1d array"),
        (COUNTS[:-1], "inconsistent numbers of samples"),
        (pd.DataFrame(COUNTS, columns=list("aba")), r"more than one column \['a'\]"),
        (pd.DataFrame(COUNTS).assign(z=1), "cannot be sorted together"),
        (pd.DataFrame(COUNTS).astype("Int64").replace(3, pd.NA), "NaN or other missing entries"),
        (COUNTS.astype(complex), "holds .*j"),
        ([{0, 1}] * 75 + [{1}] * 75, "y holds sets.*partial_labels=True"),
        (X[:, 0], "Unknown label type|continuous"),
    ],
)
def test_what_cannot_be_a_target_is_named(y, message):
    clf = MaxentClassifier().fit(X, Y)
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(X, y)
    assert clf.score(X, Y) > 0.9  # the earlier fit is there


def test_scores_need_the_classes_of_the_fit():
    clf = MaxentClassifier().fit(X, Y)
    with pytest.raises(ValueError, match="2 columns; expected one for each of"):
        clf.score(X, COUNTS[:, :2] + 1)
    with pytest.raises(ValueError, match="expected a column for each"):
        clf.score(X, pd.DataFrame(COUNTS, columns=list("abc")))


@given(
    st.integers(2, 5),
    st.integers(1, 4),
    st.integers(0, 2**31),
    st.sampled_from([0.01, 1.0, 100.0]),
    st.floats(0.0, 0.5),
)
def test_any_table_is_its_rows(K, d, seed, C, smoothing):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(K, 30))
    table = rng.integers(0, 3, (n, K)) * (rng.random((n, K)) < 0.6)
    table[np.arange(K), np.arange(K)] += 1
    table[~table.any(axis=1), 0] = 1
    rows = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 4, d)
    one = MaxentClassifier(C=C, label_smoothing=smoothing, tol=1e-10).fit(rows, table)
    i, k = np.nonzero(table)
    other = MaxentClassifier(C=C, label_smoothing=smoothing, tol=1e-10)
    other.fit(rows[i], k, table[i, k])
    np.testing.assert_allclose(one.predict_proba(rows), other.predict_proba(rows), atol=1e-7)


def test_probabilities_of_a_model_give_the_model_back():
    teacher = MaxentClassifier().fit(X, Y)
    student = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, teacher.predict_proba(X))
    assert_same_fit(student, teacher, 1e-6)
