"""Folds whose fits end at the accuracy of their scores, against folds of exact fits."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifierCV, maxent_path
from skmaxent._input._targets import observe
from skmaxent._model_selection._repeated_fits import needs_exact_fits
from skmaxent._model_selection._score_accuracy import HeldOutRows
from skmaxent._storage._row_blocks import RowBlocks

RNG = np.random.default_rng(0)
CV_TOL = 0.05


def standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


IRIS, WINE, CANCER = map(standardised, (load_iris, load_wine, load_breast_cancer))
TEXT = (
    sp.csr_array(sp.random(300, 500, density=0.03, random_state=1, format="csr")),
    np.arange(300) % 3,
)
WIDE = RNG.normal(size=(500, 80))
WIDE = WIDE, (WIDE[:, :4] + RNG.gumbel(size=(500, 4))).argmax(axis=1)
LARGE = RNG.normal(size=(800, 300))
LARGE = LARGE, (LARGE[:, :4] + RNG.gumbel(size=(800, 4))).argmax(axis=1)
OVERLAPPING = LARGE[0][:, :30], LARGE[1]
WIDE_CS = np.geomspace(0.005, 0.5, 15)
COUNTS = IRIS[0], RNG.multinomial(4, (0.5, 0.3, 0.2), size=150)

CASES = {
    "ridge": (IRIS, {}),
    "ridge, wine": (WINE, {}),
    "ridge, two classes": (CANCER, {}),
    "ridge, many coefficients": (WIDE, {"Cs": WIDE_CS}),
    "ridge, sparse": (TEXT, {}),
    "ridge, newton-cg": (WINE, {"solver": "newton-cg"}),
    "ridge, lbfgs": (IRIS, {"solver": "lbfgs", "Cs": 8}),
    "lasso": (IRIS, {"l1_ratios": [1.0]}),
    "lasso, two classes": (CANCER, {"l1_ratios": [1.0]}),
    "lasso, many coefficients": (WIDE, {"l1_ratios": [1.0], "Cs": WIDE_CS}),
    "lasso, sparse": (TEXT, {"l1_ratios": [1.0]}),
    "elastic nets": (WINE, {"l1_ratios": [0.0, 0.5, 1.0]}),
    "groups": (WINE, {"l1_ratios": [1.0], "grouped": True}),
    "alphas": (WINE, {"Cs": 100, "alphas": 15, "fold_weights": "size"}),
    "columns as they are": (load_wine(return_X_y=True), {"l1_ratios": [1.0], "standardize": True}),
    "class weights": (WINE, {"class_weight": "balanced", "label_smoothing": 0.1}),
    "bounds": (WINE, {"bounds": (-0.5, 0.5), "penalty_factor": np.r_[np.ones(12), 0.0]}),
    "float32": ((WINE[0].astype(np.float32), WINE[1]), {}),
    "counts": (COUNTS, {}),
    "one fold": (WINE, {"cv": ShuffleSplit(1, random_state=0)}),
}


def both(data, options, **rows):
    """Folds with the default accuracy of scores, and of exact fits."""
    X, y = data
    options = {"Cs": 15} | options
    if np.ndim(y) == 2:
        codes = np.arange(len(y)) % 5
        options["cv"] = [(np.flatnonzero(codes != k), np.flatnonzero(codes == k)) for k in range(5)]
    return [
        MaxentClassifierCV(cv_tol=cv_tol, **options).fit(X, y, **rows) for cv_tol in (CV_TOL, 0.0)
    ]


@pytest.mark.parametrize("name", CASES)
def test_scores_are_as_accurate_as_asked_and_the_choice_stays(name):
    data, options = CASES[name]
    rough, exact = both(data, options)
    change = np.abs(rough.scores_.mean(axis=0) - exact.scores_.mean(axis=0))
    limit = CV_TOL * exact.scores_std_err_
    if len(exact.scores_) == 1:
        limit = CV_TOL / np.sqrt(len(data[1]))
    assert (change <= limit + 1e-6).all()
    assert rough.C_ == exact.C_
    assert rough.l1_ratio_ == exact.l1_ratio_
    np.testing.assert_allclose(rough.coef_, exact.coef_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_weights_and_offsets(l1_ratio):
    rows = {"sample_weight": RNG.uniform(0.2, 3.0, 178), "offset": RNG.normal(size=(178, 3))}
    rough, exact = both(WINE, {"l1_ratios": [l1_ratio]}, **rows)
    change = np.abs(rough.scores_.mean(axis=0) - exact.scores_.mean(axis=0))
    assert (change <= CV_TOL * exact.scores_std_err_ + 1e-6).all()
    assert rough.C_ == exact.C_


@pytest.mark.parametrize("data", [IRIS, WINE, CANCER], ids=["iris", "wine", "cancer"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_the_one_standard_error_rule_chooses_the_same(data, l1_ratio):
    options = {"l1_ratios": [l1_ratio], "selection": "one_standard_error"}
    rough, exact = both(data, options)
    assert rough.C_ == exact.C_


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_without_tolerance_folds_are_paths(l1_ratio):
    X, y = WINE
    folds = StratifiedKFold(5)
    clf = MaxentClassifierCV(Cs=10, l1_ratios=[l1_ratio], cv=folds, cv_tol=0).fit(X, y)
    for fold, (train, test) in enumerate(folds.split(X, y)):
        path = maxent_path(X[train], y[train], Cs=clf.Cs_, l1_ratio=l1_ratio)
        found = clf.coefs_paths_[fold, 0]
        np.testing.assert_allclose(found[..., :-1], path.coefs, rtol=1e-12, atol=1e-12)
        Z = np.einsum("ckd,nd->cnk", path.coefs, X[test]) + path.intercepts[:, None]
        scores = log_softmax(Z, axis=2)[:, np.arange(len(test)), y[test]].mean(axis=1)
        np.testing.assert_allclose(clf.scores_[fold, 0], scores, rtol=1e-9)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_folds_read_fewer_rows_than_exact_ones(l1_ratio, monkeypatch):
    n_read, map_reduce = [], RowBlocks.map_reduce

    def counted(self, *args, **kwargs):
        n_read.append(self.n_samples)
        return map_reduce(self, *args, **kwargs)

    monkeypatch.setattr(RowBlocks, "map_reduce", counted)
    options = {"l1_ratios": [l1_ratio], "Cs": np.geomspace(0.005, 0.5, 50)}
    MaxentClassifierCV(**options, cv_tol=0.0).fit(*WIDE)
    exact = sum(n_read)
    n_read.clear()
    MaxentClassifierCV(**options).fit(*WIDE)
    assert sum(n_read) < 0.8 * exact


def fitted_cs(rough, exact):
    """Check scores and choice; the result tells which Cs of each fold have a fit of their own."""
    limit = CV_TOL * exact.scores_std_err_
    assert (np.abs(rough.scores_.mean(axis=0) - exact.scores_.mean(axis=0)) <= limit).all()
    assert rough.C_ == exact.C_
    is_fitted = rough.n_iter_[:, 0] > 0
    assert is_fitted[:, [0, -1]].all()
    return is_fitted


def test_coefficients_of_a_ridge_are_interpolated():
    options = {"Cs": np.geomspace(1e-3, 0.1, 60)}
    rough, exact = both(LARGE, options)
    is_fitted = fitted_cs(rough, exact)
    assert is_fitted.sum() < 0.6 * is_fitted.size
    between = np.abs(rough.coefs_paths_ - exact.coefs_paths_)[:, 0][~is_fitted]
    assert between.max() < 2e-3 * np.abs(exact.coefs_paths_).max()
    # The scores are those of the coefficients.
    X, y = LARGE
    for fold, (_, test) in enumerate(StratifiedKFold(5).split(X, y)):
        W = rough.coefs_paths_[fold, 0]
        Z = np.einsum("ckd,nd->cnk", W[..., :-1], X[test]) + W[:, None, :, -1]
        scores = log_softmax(Z, axis=2)[:, np.arange(len(test)), y[test]].mean(axis=1)
        np.testing.assert_allclose(rough.scores_[fold, 0], scores, rtol=1e-9)


def test_scores_of_a_lasso_are_interpolated():
    options = {"Cs": np.geomspace(0.005, 1.0, 60), "l1_ratios": [1.0]}
    rough, exact = both(WIDE, options)
    is_fitted = fitted_cs(rough, exact)
    assert is_fitted.sum() < 0.9 * is_fitted.size
    # Coefficients lie on the line between the fits around them, and have the zeros of both.
    for fold, rank in np.argwhere(~is_fitted):
        fitted = np.flatnonzero(is_fitted[fold])
        ends = [fitted[fitted < rank][-1], fitted[fitted > rank][0]]
        x, W = np.log(rough.Cs_), rough.coefs_paths_[fold, 0]
        t = (x[rank] - x[ends[0]]) / (x[ends[1]] - x[ends[0]])
        line = (1.0 - t) * W[ends[0]] + t * W[ends[1]]
        np.testing.assert_allclose(W[rank], line, atol=1e-12)
        assert not W[rank][(W[ends] == 0.0).all(axis=0)].any()


@pytest.mark.parametrize(
    ("data", "Cs"),
    [
        (LARGE, np.geomspace(1e-3, 3.0, 30)[RNG.permutation(30)]),
        (LARGE, np.repeat(np.geomspace(1e-3, 3.0, 12), 2)),
        (OVERLAPPING, np.r_[np.geomspace(1e-2, 3.0, 20), np.inf]),
        (LARGE, np.geomspace(1e-2, 1.0, 3)),
    ],
    ids=["not sorted", "duplicates", "no penalty", "few"],
)
def test_other_grids(data, Cs):
    rough, exact = both(data, {"Cs": Cs})
    limit = CV_TOL * exact.scores_std_err_ + 1e-9
    assert (np.abs(rough.scores_.mean(axis=0) - exact.scores_.mean(axis=0)) <= limit).all()
    assert rough.C_ == exact.C_


def test_a_smaller_tolerance_brings_scores_nearer():
    options = {"l1_ratios": [1.0], "Cs": WIDE_CS}
    exact = MaxentClassifierCV(cv_tol=0, tol=1e-7, **options).fit(*WIDE)
    errors = [
        np.abs(MaxentClassifierCV(cv_tol=c, **options).fit(*WIDE).scores_ - exact.scores_).max()
        for c in (1.0, 0.01)
    ]
    assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize(
    "options", [{"scoring": "accuracy"}, {"relax": True}, {"refit": False}], ids=str
)
def test_what_needs_exact_fits_has_them(options):
    options = {"Cs": 5, "l1_ratios": [0.5]} | options
    rough, exact = both(WINE, options)
    np.testing.assert_array_equal(rough.scores_, exact.scores_)
    np.testing.assert_array_equal(rough.coefs_paths_, exact.coefs_paths_)


def test_a_class_without_training_rows():
    _, y = IRIS
    folds = [(np.flatnonzero(y != 2), np.flatnonzero(y == 2)), (np.arange(0, 150, 2),) * 2]
    with pytest.warns(UserWarning, match="has no rows of"):
        rough, exact = both(IRIS, {"cv": folds})
    np.testing.assert_allclose(rough.scores_, exact.scores_, rtol=0.01)


def test_a_tolerance_is_not_negative():
    with pytest.raises(ValueError, match="cv_tol"):
        MaxentClassifierCV(cv_tol=-0.1).fit(*IRIS)


@pytest.mark.parametrize("n_logits", [1, 3])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_scores_of_held_out_rows(n_logits, is_sparse):
    """Against sums over rows: mean, standard error within classes and Pearson statistics."""
    n, d, m, K = 40, 5, 4, max(n_logits, 2)
    X, codes = RNG.normal(size=(n, d)), np.arange(n) % K
    weights, offset = RNG.uniform(1.0, 2.0, n), RNG.normal(size=(n, n_logits))
    coefs, intercepts = RNG.normal(size=(m, n_logits, d)), RNG.normal(size=(m, n_logits))
    rows = sp.csr_array(X) if is_sparse else X
    held_out = HeldOutRows(rows, observe(codes), weights, offset, n_folds=5)
    found = held_out.log_likelihoods(coefs, intercepts)
    found = held_out.mean(found), held_out.standard_errors(found), held_out.mean_pearson(found)
    for i in range(m):
        Z = X @ coefs[i].T + intercepts[i] + offset
        Z = np.column_stack([np.zeros(n), Z]) if n_logits == 1 else Z
        P = np.exp(log_softmax(Z, axis=1))
        values = np.log(P[np.arange(n), codes])
        pearson = np.square(np.eye(K)[codes] - P) / P
        mean = np.average(values, weights=weights)
        means = [np.average(values[codes == k], weights=weights[codes == k]) for k in range(K)]
        variance = np.average((values - np.array(means)[codes]) ** 2, weights=weights)
        size = 5 * weights.sum() ** 2 / (weights**2).sum()
        expected = mean, np.sqrt(variance / size), np.average(pearson.sum(axis=1), weights=weights)
        np.testing.assert_allclose([part[i] for part in found], expected, rtol=1e-10)


def test_which_fits_are_repeated():
    scores = np.array([[[-1.0, -0.5, -0.501, -0.9]], [[-1.2, -0.7, -0.699, -0.8]]])
    errors = np.full(scores.shape, 1e-4)
    options = np.ones(2), 0.05, "best"
    # The two means that are best differ by nothing.
    assert needs_exact_fits(scores, errors, *options).tolist() == [[False, True, True, False]]
    # A bound of 0.01 is more than 0.05 of the standard error, 0.1 for the first C.
    errors[..., 0] = 0.01
    assert needs_exact_fits(scores, errors, *options).tolist() == [[True, True, True, False]]
    # What is exact is not repeated.
    errors[..., 1:] = 0.0
    assert needs_exact_fits(scores, errors, *options).tolist() == [[True, False, False, False]]
    # One standard error, 0.1, below the best mean, -0.6, is between the Cs.
    rule = np.ones(2), 0.05, "one_standard_error"
    errors[...] = 1e-4
    scores[:, :, 0] = [[-0.6001], [-0.8001]]
    assert needs_exact_fits(scores, errors, *rule)[0, 0]


def test_columns_without_penalty_that_separate_classes_do_so_at_all_Cs():
    X, y = LARGE
    X = np.c_[X[:, :30], y == 0]
    factor = np.r_[np.ones(30), 0.0]
    for cv_tol in (CV_TOL, 0.0):
        model = MaxentClassifierCV(Cs=12, cv=2, penalty_factor=factor, cv_tol=cv_tol)
        with (
            pytest.warns(ConvergenceWarning, match="Some rows are separated"),
            pytest.warns(ConvergenceWarning, match="12 values of C from"),
        ):
            model.fit(X, y)
