"""Several labels a row: against fits of each label, thresholds, and scikit-learn's checks."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier
from skmaxent._estimators._thresholds import best_threshold, label_sets

X, Y = make_multilabel_classification(
    300, n_features=12, n_classes=6, n_labels=2, allow_unlabeled=True, random_state=0
)
X = X * 10.0 ** np.linspace(-2, 3, 12)
# Twice-weighted rows are as good as repeated ones up to `tol`, which is in standard errors.
CHECKED = [MultilabelMaxentClassifier(), MultilabelMaxentClassifier(link="softmax", tol=1e-9)]
CHECKS = [
    (clf, check)
    for clf in CHECKED
    for _, check in estimator_checks_generator(clf)
    if not check.func.__name__.startswith("check_array_api")
]


@pytest.mark.parametrize(
    ("clf", "check"), CHECKS, ids=[f"{c.link}-{check.func.__name__}" for c, check in CHECKS]
)
@pytest.mark.filterwarnings("ignore:Labels :UserWarning")
def test_scikit_learns_checks(clf, check):
    check(clf)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    "params", [{}, {"C": 0.01}, {"C": 1e4}, {"l1_ratio": 1.0, "C": 0.1}, {"l1_ratio": 0.5}], ids=str
)
def test_sigmoids_are_a_fit_of_each_label(params, fit_intercept, stored):
    rows = stored(X)
    params = params | {"fit_intercept": fit_intercept, "tol": 1e-8}
    clf = MultilabelMaxentClassifier(**params).fit(rows, Y)
    assert clf.optimality_gap_ < 1e-6
    scale = X.std(axis=0)
    for k in range(6):
        one = MaxentClassifier(**params).fit(rows, Y[:, k])
        assert abs((clf.coef_[k] - one.coef_[0]) * scale).max() < 1e-6
        assert abs(clf.predict_proba(rows)[:, k] - one.predict_proba(rows)[:, 1]).max() < 1e-6


def test_sigmoids_are_scikit_learns_one_vs_rest():
    theirs = OneVsRestClassifier(LogisticRegression(solver="newton-cholesky", tol=1e-12))
    theirs.fit(X, Y)
    clf = MultilabelMaxentClassifier(tol=1e-9, allow_empty=True).fit(X, Y)
    coef = np.vstack([estimator.coef_ for estimator in theirs.estimators_])
    np.testing.assert_allclose(clf.coef_, coef, atol=1e-8, rtol=1e-5)
    assert np.array_equal(clf.predict(X), theirs.predict(X))
    assert clf.score(X, Y) == pytest.approx(theirs.score(X, Y), rel=1e-12)


def test_groups_are_zero_together_and_optimal():
    standard = StandardScaler().fit_transform(X)
    clf = MultilabelMaxentClassifier(l1_ratio=1.0, grouped=True, C=0.02, tol=1e-8)
    clf.fit(standard, Y)
    zero = ~clf.coef_.any(axis=0)
    assert 0 < zero.sum() < 12
    gradient = (clf.predict_proba(standard) - Y).T @ standard * clf.C
    lengths = np.sqrt((clf.coef_**2).sum(axis=0))
    np.testing.assert_allclose(gradient[:, ~zero], -clf.coef_[:, ~zero] / lengths[~zero], atol=1e-5)
    assert (np.sqrt((gradient[:, zero] ** 2).sum(axis=0)) <= 1.0).all()


def test_softmax_spreads_targets_over_the_labels_of_a_row():
    clf = MultilabelMaxentClassifier(link="softmax", tol=1e-8, threshold=0.2).fit(X, Y)
    some = Y.any(axis=1)
    shares = Y[some] / Y[some].sum(axis=1, keepdims=True)
    plain = MaxentClassifier(tol=1e-8).fit(X[some], shares)
    assert abs((clf.coef_ - plain.coef_) * X.std(axis=0)).max() < 1e-7
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1.0)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_sparse_indicators_come_back_sparse(link):
    dense = MultilabelMaxentClassifier(link=link).fit(X, Y)
    for container in (sp.csr_array, sp.csc_matrix, sp.lil_matrix):
        clf = MultilabelMaxentClassifier(link=link).fit(X, container(Y))
        found = clf.predict(X)
        assert sp.issparse(found)
        assert np.array_equal(found.toarray(), dense.predict(X))
        np.testing.assert_allclose(clf.coef_, dense.coef_, rtol=1e-6, atol=1e-10)


def test_frames_name_labels_in_their_order():
    names = ["sun", "beach", "sea", "hill", "tree", "city"]
    frame = pd.DataFrame(Y, columns=names)
    clf = MultilabelMaxentClassifier().fit(X, frame)
    assert clf.classes_.tolist() == names
    assert clf.coef_frame().columns.tolist() == names
    assert clf.predict_proba_frame(X).columns.tolist() == names
    assert np.array_equal(clf.predict(X), MultilabelMaxentClassifier().fit(X, Y).predict(X))


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("threshold", ["auto", "f1_micro", "f1_macro", 0.3])
def test_no_row_is_without_a_label_unless_asked(link, threshold):
    params = {"link": link, "threshold": threshold}
    clf = MultilabelMaxentClassifier(**params).fit(X, Y)
    assert clf.predict(X).any(axis=1).all()
    free = MultilabelMaxentClassifier(allow_empty=True, **params).fit(X, Y)
    assert np.array_equal(free.predict(X), free.predict_proba(X) > free.threshold_)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("average", ["micro", "macro"])
def test_learned_thresholds_are_the_best_out_of_fold(link, average):
    clf = MultilabelMaxentClassifier(
        link=link, threshold=f"f1_{average}", cv=3, allow_empty=True
    ).fit(X, Y)
    model = MultilabelMaxentClassifier(link=link, threshold=0.5)
    P = cross_val_predict(model, X, Y, cv=3, method="predict_proba")

    def f1(thresholds):
        return f1_score(Y, thresholds < P, average=average, zero_division=0.0)

    best = f1(clf.threshold_)
    for t in np.linspace(0.02, 0.9, 30):
        assert f1(np.full(6, t)) <= best + 1e-12


def test_weights_are_rows():
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    for link in ("sigmoid", "softmax"):
        one = MultilabelMaxentClassifier(link=link, tol=1e-9, threshold=0.3)
        one.fit(X, Y, sample_weight=weights)
        other = MultilabelMaxentClassifier(link=link, tol=1e-9, threshold=0.3)
        other.fit(np.repeat(X, weights, axis=0), np.repeat(Y, weights, axis=0))
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-8)


def test_labels_of_all_rows_or_none_are_told_apart():
    with_constants = np.column_stack([Y, np.ones(300, int), np.zeros(300, int)])
    with pytest.warns(UserWarning, match=r"Labels \[6, 7\] are constant in y: all rows have them"):
        clf = MultilabelMaxentClassifier().fit(X, with_constants)
    P = clf.predict_proba(X)
    assert P[:, 6].min() > 1 - 1e-9
    assert P[:, 7].max() < 1e-9
    with_constants[:10, 6] = 0  # rows without weight do not tell otherwise
    with pytest.warns(UserWarning, match=r"Labels \[6, 7\]"):
        weighted = MultilabelMaxentClassifier().fit(X, with_constants, np.arange(300) >= 10)
    assert weighted.predict_proba(X)[:, 6].min() > 1 - 1e-9
    np.testing.assert_allclose(clf.coef_[:6], MultilabelMaxentClassifier().fit(X, Y).coef_)


def test_label_smoothing_keeps_probabilities_from_the_ends():
    plain = MultilabelMaxentClassifier(C=100.0).fit(X, Y).predict_proba(X)
    smooth = MultilabelMaxentClassifier(C=100.0, label_smoothing=0.2).fit(X, Y).predict_proba(X)
    assert abs(smooth - 0.5).max() < abs(plain - 0.5).max()


def test_one_label_a_row_is_an_ordinary_classifier():
    rows, labels = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[labels]
    soft = MultilabelMaxentClassifier(link="softmax", tol=1e-8).fit(rows, names)
    plain = MaxentClassifier(tol=1e-8).fit(rows, names)
    assert np.array_equal(soft.predict(rows), plain.predict(rows))
    np.testing.assert_allclose(soft.coef_, plain.coef_)
    each = MultilabelMaxentClassifier(tol=1e-8).fit(rows, names)
    theirs = OneVsRestClassifier(LogisticRegression(solver="newton-cholesky", tol=1e-12))
    np.testing.assert_allclose(
        each.predict_proba(rows), theirs.fit(rows, names).predict_proba(rows), atol=1e-6
    )


def test_searches_and_pipelines():
    pipe = make_pipeline(StandardScaler(), MultilabelMaxentClassifier())
    grid = {
        "multilabelmaxentclassifier__C": [0.1, 1.0],
        "multilabelmaxentclassifier__link": ["sigmoid", "softmax"],
    }
    search = GridSearchCV(pipe, grid, scoring="f1_micro", cv=3).fit(X, Y)
    assert search.best_score_ > 0.6


def test_large_data_is_fitted_by_way_of_samples():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40_000, 30))
    logits = rows @ rng.normal(size=(30, 5)) - 1.0
    labels = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    clf = MultilabelMaxentClassifier(tol=1e-6).fit(rows, labels)
    gradient = (clf.predict_proba(rows) - labels).T @ rows + clf.coef_
    assert abs(gradient).max() < 0.1
    assert clf.optimality_gap_ < 1e-7


@pytest.mark.parametrize(
    ("y", "params", "message"),
    [
        (Y * 2, {}, "y holds 2; expected zeros and ones"),
        (np.where(Y, 1.0, np.nan), {}, "y holds nan; expected zeros and ones"),
        (Y[:-1], {}, "inconsistent numbers of samples"),
        (np.full((300, 2), "a"), {}, "y holds 'a'"),
        (0 * Y, {}, "0 labels"),
        ([{0, 1}] * 300, {}, "MultiLabelBinarizer"),
        (Y, {"threshold": 1.5}, "between 0 and 1"),
        (Y, {"threshold": [0.5, 0.5]}, "expected a number, or one for each of the 6 labels"),
        (Y, {"link": "probit"}, "'link' parameter"),
        (X[:, 0], {}, "Unknown label type|continuous"),
    ],
)
def test_what_cannot_be_is_named(y, params, message):
    clf = MultilabelMaxentClassifier().fit(X, Y)
    before = clf.coef_
    with pytest.raises((ValueError, TypeError), match=message):
        clf.set_params(**params).fit(X, y)
    assert clf.coef_ is before


@given(st.integers(0, 2**31), st.integers(2, 40), st.booleans())
def test_the_best_threshold_has_no_better(seed, n, ties):
    rng = np.random.default_rng(seed)
    P = rng.integers(0, 6, n) / 6.0 if ties else rng.random(n)
    has = rng.random(n) < 0.4
    weights = rng.integers(1, 4, n).astype(float)
    if not has.any():
        has[0] = True

    def f1(t):
        return f1_score(has, t < P, sample_weight=weights, zero_division=0.0)

    best = f1(best_threshold(P, has, weights))
    thresholds = np.concatenate([[0.0], P, np.maximum(P - 1e-9, 0.0)])
    assert all(f1(t) <= best + 1e-12 for t in thresholds)


def test_the_nearest_label_stands_in_for_none():
    P = np.array([[0.2, 0.1], [0.6, 0.1], [0.2, 0.15]])
    sets = label_sets(P, np.array([0.5, 0.2]), allow_empty=False)
    assert sets.tolist() == [[False, True], [True, False], [False, True]]
    assert not label_sets(P, np.array([0.5, 0.2]), allow_empty=True)[0].any()


def test_score_matches_the_columns_of_a_frame_by_name():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    Y = pd.DataFrame((X @ rng.normal(size=(2, 3)) > 0.3).astype(int), columns=["c", "a", "b"])
    clf = MultilabelMaxentClassifier().fit(X, Y)
    expected = (clf.predict(X) == Y.to_numpy()).all(axis=1).mean()
    for one in (Y, Y[["a", "b", "c"]], Y.to_numpy()):
        assert clf.score(X, one) == pytest.approx(expected)
    for other in (Y.set_axis(["x", "y", "z"], axis=1), Y[["a", "b"]]):
        with pytest.raises(ValueError, match=r"expected a column for each of the labels \['c'"):
            clf.score(X, other)
