"""Leverages from random vectors against those from the inverse Hessian."""

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier, leave_one_out
from skmaxent._estimators._inference_kinds import estimate_of
from skmaxent._leverage import _leave_one_out, _leverages, _sampled_inverse, _scaled_inverse
from skmaxent._leverage._inverse_hessian import FreeCoefficients, InverseHessian
from skmaxent._leverage._leverages import Leverages
from skmaxent._leverage._sampled_inverse import SampledInverse


def simulated(n, d, n_classes, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    coef = rng.normal(size=(n_classes, d)) / np.sqrt(d)
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def both(clf, X, y, weight, n_vectors):
    """Leverages by the inverse, and by so many random vectors."""
    estimate = estimate_of(clf)
    with estimate.problem(X, y, weight) as training:
        problem = training.problem
        theta = problem.objective.from_coefficients(estimate.coef, estimate.intercept)
        exact = Leverages.of(problem, theta)
    assert isinstance(exact.inverse, InverseHessian)
    free = FreeCoefficients.at(exact.point, problem.terms)
    sampled = SampledInverse.at(exact.point, problem.terms, free.size, n_vectors)
    return exact, Leverages(exact.point, sampled)


def matrices(leverages):
    found = {}

    def kernel(rows):
        found[rows.at.start] = rows.leverage, rows.whole_hat, rows.trace
        return (np.zeros(()),)

    leverages.map_reduce(kernel)
    ordered = [found[start] for start in sorted(found)]
    return [np.concatenate(arrays) for arrays in zip(*ordered, strict=True)]


@pytest.mark.parametrize(
    "parameters",
    [
        {"C": np.inf},
        {"C": 1.0},
        {"C": 0.5, "l1_ratio": 0.7},
        {"C": 0.5, "l1_ratio": 1.0, "grouped": True},
        {"C": 1.0, "fit_intercept": False},
        {"C": 1.0, "bounds": (-0.2, 0.3)},
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_many_vectors_give_the_leverages(parameters, n_classes, small_blocks):
    X, y = simulated(80, 5, n_classes, 0)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=80)
    clf = MaxentClassifier(tol=1e-9, **parameters).fit(X, y, weight)
    exact, sampled = both(clf, X, y, weight, 4000)
    for name, a, b in zip(
        ("leverage", "hat", "trace"), matrices(exact), matrices(sampled), strict=True
    ):
        # Variances have a relative standard error of the root of 2/4000, 0.022.
        size = np.abs(a).max() if name != "hat" else 1.0
        assert np.abs(a - b).max() < 0.1 * size, name
        assert abs(a.mean() - b.mean()) < 0.3 * 0.022 * size, name
    assert sampled.effective_df == pytest.approx(exact.effective_df, rel=0.02)


@pytest.mark.parametrize(("d", "C", "l1_ratio"), [(20, 1.0, 0.0), (100, 0.1, 0.0), (60, 0.1, 1.0)])
def test_scores_are_exact_up_to_their_monte_carlo_error(monkeypatch, d, C, l1_ratio):
    X, y = simulated(300, d, 3, 2)
    clf = MaxentClassifier(C=C, l1_ratio=l1_ratio, tol=1e-8).fit(X, y)
    exact = leave_one_out(clf, X, y, max_refits=0)
    assert exact.monte_carlo_error == 0.0
    monkeypatch.setattr(_leverages, "MOST_EXACT", 10)
    monkeypatch.setattr(_leave_one_out, "MOST_INVERTED", 10)
    for module in (_sampled_inverse, _scaled_inverse):
        monkeypatch.setattr(module, "MOST_VECTORS", 1600)
    sampled = leave_one_out(clf, X, y, max_refits=0)
    assert 0.0 < sampled.monte_carlo_error < 0.15 * sampled.log_score_std_err
    error = abs(sampled.log_score - exact.log_score)
    assert error < 3.0 * sampled.monte_carlo_error
    assert sampled.effective_df == pytest.approx(exact.effective_df, rel=0.05)
    again = leave_one_out(clf, X, y, max_refits=0)
    assert again.log_score == sampled.log_score


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_few_vectors_give_leverages_where_the_hessian_is_nearly_diagonal(form, n_classes):
    X, y = simulated(120, 400, n_classes, 5)
    X = form(np.where(np.abs(X) > 1.5, X + 1.0, 0.0))
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=120)
    clf = MaxentClassifier(C=0.01, tol=1e-9).fit(X, y, weight)
    exact, sampled = both(clf, X, y, weight, 10)
    assert sampled.inverse.control.explained > 0.9
    A, _, trace = matrices(exact)
    found, _, found_trace = matrices(sampled)
    # The sample covariance of 10 vectors alone has a relative error of the root of 2/10, 0.45.
    diagonal = np.arange(A.shape[1])
    error = found[:, diagonal, diagonal] / A[:, diagonal, diagonal] - 1.0
    assert np.sqrt(np.mean(error**2)) < 0.1
    assert found_trace.sum() == pytest.approx(trace.sum(), rel=0.02)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_control_variates_have_the_expectation_of_their_definition(l1_ratio):
    X, y = simulated(40, 5, 3, 7)
    X[:, 0] += 3.0
    clf = MaxentClassifier(C=0.5, l1_ratio=l1_ratio, tol=1e-9).fit(X, y)
    estimate = estimate_of(clf)
    with estimate.problem(X, y) as training:
        problem = training.problem
        theta = problem.objective.from_coefficients(estimate.coef, estimate.intercept)
        point = Leverages.of(problem, theta).point
    found = []

    def kernel(context):
        found.append((np.asarray(context.rows), control._expected(context)))
        return (np.zeros(()),)

    control = SampledInverse.at(point, problem.terms, 10, 40).control
    point.map_reduce(kernel)
    ((rows, expected),) = found
    N, D = control.diagonal, np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
    assert (N == 0.0).any() == (l1_ratio > 0.0)
    each = np.einsum("rk,kj,ji,sk->irs", D, N, rows**2, D)
    np.testing.assert_allclose(expected, each, rtol=1e-9)


def test_more_vectors_are_drawn_where_the_error_needs_them(monkeypatch):
    X, y = simulated(200, 60, 3, 4)
    clf = MaxentClassifier(C=0.5, tol=1e-8).fit(X, y)
    exact = leave_one_out(clf, X, y, max_refits=0)
    monkeypatch.setattr(_leverages, "MOST_EXACT", 10)
    inverted = leave_one_out(clf, X, y, max_refits=0)
    assert inverted.monte_carlo_error == 0.0
    assert inverted.log_score == pytest.approx(exact.log_score, rel=1e-4)
    monkeypatch.setattr(_leave_one_out, "MOST_INVERTED", 10)
    found = []
    for most in (100, 1600):
        monkeypatch.setattr(_sampled_inverse, "MOST_VECTORS", most)
        found.append(leave_one_out(clf, X, y, max_refits=0))
    few, many = found
    assert few.monte_carlo_error > 0.15 * few.log_score_std_err
    assert many.monte_carlo_error < 0.13 * many.log_score_std_err
    for scores in found:
        assert abs(scores.log_score - exact.log_score) < 3.0 * scores.monte_carlo_error
    monkeypatch.setattr(_sampled_inverse, "MOST_BYTES", 8 * 3 * 200 * 3 * 100)
    limited = leave_one_out(clf, X, y, max_refits=0)
    assert limited.log_score == few.log_score


@pytest.mark.parametrize("grouped", [False, True])
def test_the_first_vectors_are_those_of_fewer(grouped):
    X, y = simulated(60, 5, 3, 6)
    clf = MaxentClassifier(C=0.5, l1_ratio=0.5, grouped=grouped, tol=1e-9).fit(X, y)
    estimate = estimate_of(clf)
    with estimate.problem(X, y) as training:
        problem = training.problem
        theta = problem.objective.from_coefficients(estimate.coef, estimate.intercept)
        point = Leverages.of(problem, theta).point
    few = SampledInverse.at(point, problem.terms, 10, 40)
    many = SampledInverse.at(point, problem.terms, 10, 100)
    np.testing.assert_allclose(many.theta[:40], few.theta, atol=1e-12)
    more = few.with_vectors(100, point, problem.terms)
    np.testing.assert_allclose(more.theta, many.theta, atol=1e-12)


def test_changes_of_coefficients_need_the_inverse(monkeypatch):
    X, y = simulated(60, 3, 2, 3)
    results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    monkeypatch.setattr(_leverages, "MOST_EXACT", 1)
    with pytest.raises(ValueError, match="models with up to 1 coefficients"):
        results.dfbetas()
    assert results.diagnostics()["leverage"].sum() == pytest.approx(4.0, rel=0.3)
