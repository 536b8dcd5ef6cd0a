"""Leverages that are a multiple of a shape, against those from the inverse Hessian and refits."""

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier, MaxentClassifierCV, leave_one_out
from skmaxent._estimators._inference_kinds import estimate_of
from skmaxent._leverage import _leave_one_out, _leverages, _scaled_inverse
from skmaxent._leverage._inverse_hessian import FreeCoefficients
from skmaxent._leverage._leverages import Leverages
from skmaxent._leverage._scaled_inverse import ScaledInverse


def texts(n, d, n_classes, seed, size=6.0):
    """Rows of 40 words from a Zipf distribution with weights by their rarity."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, d + 1)
    words = rng.choice(d, n * 40, p=share / share.sum())
    X = sp.csr_array((np.ones(n * 40), (np.repeat(np.arange(n), 40), words)), shape=(n, d))
    X.sum_duplicates()
    weights = np.log((n + 1) / (np.bincount(X.indices, minlength=d) + 1)) + 1.0
    X = sp.csr_array(X * weights)
    X = sp.csr_array(X / np.sqrt(X.multiply(X).sum(axis=1))[:, None])
    logits = size * (X @ rng.normal(size=(d, n_classes)))
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def both(clf, X, y, weight=None, **options):
    """Leverages by the inverse, and scaled ones."""
    estimate = estimate_of(clf)
    with estimate.problem(X, y, weight) as training:
        problem = training.problem
        theta = problem.objective.from_coefficients(estimate.coef, estimate.intercept)
        exact = Leverages.of(problem, theta)
    free = FreeCoefficients.at(exact.point, problem.terms)
    scaled = ScaledInverse.at(exact.point, problem.terms, free.size, **options)
    return exact, None if scaled is None else Leverages(exact.point, scaled)


def collected(leverages):
    found = {}

    def kernel(rows):
        found[rows.at.start] = rows.leverage, rows.whole_hat, rows.trace, rows.held_out_logits
        return (np.zeros(()),)

    leverages.map_reduce(kernel)
    return [np.concatenate(a) for a in zip(*(found[at] for at in sorted(found)), strict=True)]


def log_scores(logits, y):
    if logits.shape[1] == 1:
        logits = np.column_stack([np.zeros(len(logits)), logits])
    top = logits.max(axis=1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return log_p[np.arange(len(y)), y]


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("C", [0.1, 3.0, 30.0])
def test_leverages_and_scores_of_texts_are_those_of_the_inverse(n_classes, C, small_blocks):
    X, y = texts(250, 700, n_classes, 1)
    clf = MaxentClassifier(C=C, tol=1e-8, max_iter=1000).fit(X, y)
    exact, scaled = both(clf, X, y, times=4.0)
    (A, hat, trace, logits), found = collected(exact), collected(scaled)
    for a, b in zip((A, hat, trace), found[:3], strict=True):
        size = np.sqrt(np.mean(a**2))
        assert np.sqrt(np.mean((a - b) ** 2)) < 0.05 * size
    assert found[2].sum() == pytest.approx(trace.sum(), rel=0.01)
    scores, approximate = log_scores(logits, y), log_scores(found[3], y)
    std_err = scores.std(ddof=1) / np.sqrt(len(y))
    assert abs(scores.mean() - approximate.mean()) < (0.1 if C < 10.0 else 0.2) * std_err
    # Between the fit to all rows and the fits without rows are many standard errors.
    fitted = clf.predict_log_proba(X)[np.arange(len(y)), y].mean()
    assert C < 1.0 or fitted - scores.mean() > 5.0 * std_err


@pytest.mark.parametrize(
    "parameters",
    [
        {"C": 1.0, "fit_intercept": False},
        {"C": 1.0, "standardize": True},
        {"C": 2.0, "l1_ratio": 0.3},
        {"C": 2.0, "l1_ratio": 1.0},
    ],
)
def test_sum_of_traces_is_that_of_the_inverse(parameters):
    X, y = texts(200, 500, 3, 2)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=200)
    clf = MaxentClassifier(tol=1e-8, max_iter=1000, **parameters).fit(X, y, weight)
    exact, scaled = both(clf, X, y, weight, times=8.0)
    assert scaled.effective_df == pytest.approx(exact.effective_df, rel=0.015)


def test_error_of_the_sum_of_traces_is_that_of_its_sets():
    X, y = texts(250, 700, 3, 3)
    clf = MaxentClassifier(C=3.0, tol=1e-8, max_iter=1000).fit(X, y)
    exact = both(clf, X, y)[0].effective_df
    found = [both(clf, X, y, seed=seed)[1].inverse.traces.totals for seed in range(12)]
    means = np.array([totals.mean() for totals in found])
    std_err = np.sqrt(np.mean([totals.var(ddof=1) / len(totals) for totals in found]))
    assert means.std(ddof=1) < 2.0 * std_err
    assert abs(means.mean() - exact) < 4.0 * std_err / np.sqrt(12.0) + 1e-3 * exact
    # Vectors of normal noise would have this standard error, with the same number of vectors.
    n_vectors = 2.0 * len(found[0])
    _, hat, *_ = collected(both(clf, X, y)[0])
    assert std_err < 0.2 * np.sqrt(2.0 * np.square(hat).sum() / n_vectors)


def test_rows_that_deviate_from_the_shape_and_dense_rows_have_no_scaled_leverages():
    X, y = texts(200, 500, 3, 4)
    clf = MaxentClassifier(C=1.0).fit(X, y)
    assert both(clf, X, y)[1] is not None
    dense = MaxentClassifier(C=1.0).fit(X.toarray(), y)
    assert both(dense, X.toarray(), y)[1] is None
    # Pairs of equal columns in half of the rows make their leverages larger than the shape.
    rng = np.random.default_rng(5)
    one = sp.csr_array(np.where(rng.random((100, 30)) < 0.3, rng.random((100, 30)), 0.0))
    equal = sp.csr_array(sp.block_diag([sp.hstack([one] * 20), X[:100, :300]]))
    clf = MaxentClassifier(C=1.0).fit(equal, y)
    assert both(clf, equal, y)[1] is None


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_scores_of_texts_are_those_of_the_inverse_along_a_path(monkeypatch, l1_ratio):
    X, y = texts(250, 700, 3, 6)
    Cs = np.geomspace(0.03, 30.0, 25)
    cv = MaxentClassifierCV(Cs=Cs, l1_ratios=[l1_ratio], cv="loo").fit(X, y)
    monkeypatch.setattr(_leverages, "MOST_EXACT", 150)
    monkeypatch.setattr(_leverages, "FAR_EXACT", 150)
    scaled = MaxentClassifierCV(Cs=Cs, l1_ratios=[l1_ratio], cv="loo").fit(X, y)
    scores, std_err = cv.scores_[0, 0], cv.scores_std_err_[0]
    best = int(np.argmax(scores))
    near = scores > scores[best] - 2.0 * std_err[best]
    error = np.abs(scaled.scores_[0, 0] - scores) / std_err
    assert error[: best + 1].max() < 0.1 and error[near].max() < 0.2
    assert abs(int(np.argmax(scaled.scores_[0, 0])) - best) <= 1


def test_score_of_a_single_fit_to_texts_is_that_of_refits(monkeypatch):
    X, y = texts(60, 300, 3, 7)
    clf = MaxentClassifier(C=3.0, tol=1e-8, max_iter=1000).fit(X, y)
    refits = []
    for i in range(60):
        kept = np.arange(60) != i
        fit = MaxentClassifier(C=3.0, tol=1e-8, max_iter=1000).fit(X[kept], y[kept])
        refits.append(fit.predict_log_proba(X[[i]])[0, y[i]])
    monkeypatch.setattr(_leverages, "MOST_EXACT", 10)
    monkeypatch.setattr(_leave_one_out, "MOST_INVERTED", 10)
    found = leave_one_out(clf, X, y, max_refits=0)
    assert 0.0 < found.monte_carlo_error < 0.1 * found.log_score_std_err
    assert found.log_score == pytest.approx(np.mean(refits), abs=0.1 * found.log_score_std_err)


def test_more_vectors_reduce_the_error():
    X, y = texts(200, 500, 3, 8)
    clf = MaxentClassifier(C=3.0).fit(X, y)
    estimate = estimate_of(clf)
    _, scaled = both(clf, X, y)
    with estimate.problem(X, y) as training:
        terms = training.problem.terms
    more = scaled.inverse.with_more(4.0, scaled.point, terms)
    n_sets = [len(each.traces.totals) for each in (scaled.inverse, more)]
    assert n_sets[1] == 4 * n_sets[0] == 4 * _scaled_inverse.LEAST_VECTORS // 2
    assert scaled.inverse.with_more(0.5, scaled.point, terms) is scaled.inverse
