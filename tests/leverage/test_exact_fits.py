"""Exact fits without an observation, many at once, and the choice of how many there are."""

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier, leave_one_out
from skmaxent._leverage import _refit_choice
from skmaxent._leverage._refits import Refits
from skmaxent._leverage._small_refits import SmallRefits


def simulated(n, d, n_classes, seed, size=0.3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    coef = size * rng.normal(size=(n_classes, d))
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


@pytest.fixture
def by_solver(monkeypatch):
    """The rows whose fits a solver made, in a list."""
    rows, of_class = [], Refits._by_solver
    monkeypatch.setattr(_refit_choice, "SCORE_TOLERANCE", 0.0)  # all fits are made

    def counted(self, row, left_out, outcome):
        rows.append(row)
        return of_class(self, row, left_out, outcome)

    monkeypatch.setattr(Refits, "_by_solver", counted)
    return rows


@pytest.mark.parametrize(
    ("n_classes", "parameters", "most_by_solver"),
    [
        (2, {"C": 0.5}, 0),
        (3, {"C": 0.5}, 0),
        (3, {"C": np.inf}, 0),
        (3, {"C": 0.5, "fit_intercept": False}, 0),
        (3, {"C": 0.5, "prior_coef": np.full((3, 4), 0.3)}, 0),
        (2, {"C": 1.0, "l1_ratio": 1.0}, 25),
        (3, {"C": 1.0, "l1_ratio": 0.5}, 30),
        (3, {"C": 1.0, "l1_ratio": 1.0, "grouped": True}, 20),
        (3, {"C": 1.0, "bounds": (-0.1, 0.2)}, 30),
    ],
)
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("is_small", [False, True])
def test_fits_without_a_row_are_those_of_a_classifier(
    monkeypatch, by_solver, n_classes, parameters, most_by_solver, is_sparse, is_small
):
    if not is_small:
        monkeypatch.setattr(SmallRefits, "suits", lambda *args: False)
    X, y = simulated(60, 4, n_classes, 1)
    weights = np.random.default_rng(2).uniform(0.5, 1.0, size=len(y))
    offset = np.random.default_rng(3).normal(size=(len(y), n_classes))[:, : n_classes - 1 or 1]
    offset = offset[:, 0] if n_classes == 2 else np.column_stack([offset, np.zeros(len(y))])
    rows = sp.csr_array(X) if is_sparse else X
    clf = MaxentClassifier(tol=1e-9, **parameters).fit(rows, y, weights, offset)
    scores = leave_one_out(clf, rows, y, weights, offset=offset, max_refits=None)
    assert scores.n_refits == len(y)
    penalises_each = parameters["C"] < np.inf and not {"grouped", "bounds"} & parameters.keys()
    assert len(by_solver) <= (0 if is_small and penalises_each else most_by_solver)
    for i in range(0, len(y), 7):
        kept = np.arange(len(y)) != i
        exact = MaxentClassifier(tol=1e-8, max_iter=500, **parameters)
        exact.fit(rows[kept], y[kept], weights[kept], offset[kept])
        exact = exact.predict_log_proba(X[[i]], offset=offset[[i]])[0]
        np.testing.assert_allclose(scores.log_proba[i], exact, atol=2e-5)


def test_few_fits_of_a_sparse_lasso_need_a_solver(monkeypatch):
    """The fit is loose, and the Hessian of a feature with four nonzero coefficients is singular."""
    rng = np.random.default_rng(1)
    y = rng.integers(4, size=300)
    rates = rng.gamma(0.3, 0.1, size=1500) * np.exp(0.7 * rng.normal(size=(4, 1500)))
    X = sp.csr_array(np.log1p(rng.poisson(rates[y]).astype(float)))
    clf = MaxentClassifier(l1_ratio=1.0).fit(X, y)
    by_solver, of_class = [], Refits._by_solver

    def counted(self, row, *args):
        by_solver.append(row)
        return of_class(self, row, *args)

    monkeypatch.setattr(Refits, "_by_solver", counted)
    scores = leave_one_out(clf, X, y, max_refits=40)
    assert 30 < scores.n_refits <= 40
    assert len(by_solver) <= 12  # rows whose zeros one step does not find come first
    few = leave_one_out(clf, X, y, max_refits=0)
    assert abs(few.log_score - scores.log_score) < 0.5 * scores.log_score_std_err


@pytest.mark.parametrize("seed", range(4))
def test_few_fits_show_that_an_approximation_is_near(seed):
    """A bound for all data would ask for a fit of most rows where d is n/2."""
    X, y = simulated(200, 100, 2, seed, size=0.1)
    clf = MaxentClassifier(C=0.1, tol=1e-9).fit(X, y)
    scores = leave_one_out(clf, X, y, max_refits=None)
    assert scores.n_refits <= 60
    assert scores.approximation_error < 0.05 * scores.log_score_std_err
    of_class = []
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        fit = MaxentClassifier(C=0.1).fit(X[kept], y[kept])
        of_class.append(fit.predict_log_proba(X[[i]])[0, y[i]])
    assert abs(scores.log_score - np.mean(of_class)) < 0.05 * scores.log_score_std_err


def test_fits_end_where_more_of_them_would_not_help():
    X, y = simulated(300, 60, 3, 5)
    clf = MaxentClassifier(C=0.2, l1_ratio=1.0, tol=1e-8).fit(X, y)
    few = leave_one_out(clf, X, y, max_refits=30)
    all_of_them = leave_one_out(clf, X, y, max_refits=None)
    assert few.n_refits <= 30
    goal = _refit_choice.SCORE_TOLERANCE * all_of_them.log_score_std_err
    assert all_of_them.approximation_error <= goal
    error = abs(few.log_score - all_of_them.log_score)
    assert error <= few.approximation_error + all_of_them.approximation_error


def test_few_rows_that_have_most_of_the_error_get_exact_fits(monkeypatch):
    rng = np.random.default_rng(3)
    X, coef = rng.normal(size=(60, 3)), rng.normal(size=(3, 3))
    P = np.exp(X @ coef.T)
    y = np.array([rng.choice(3, p=p / p.sum()) for p in P])
    clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
    scores = leave_one_out(clf, X, y, max_refits=None)
    monkeypatch.setattr(_refit_choice, "SCORE_TOLERANCE", 0.0)  # all fits are made
    exact = leave_one_out(clf, X, y, max_refits=None)
    assert scores.n_refits < exact.n_refits
    error = abs(scores.log_score - exact.log_score)
    assert error < 0.05 * exact.log_score_std_err
    assert error < scores.approximation_error


def test_one_step_finds_the_zeros_of_a_lasso_of_texts():
    """There are many more coefficients than those that may change; the step kept all zeros."""
    rng = np.random.default_rng(1)
    y = rng.integers(3, size=300)
    rates = rng.gamma(0.3, 0.05, size=8000) * np.exp(0.7 * rng.normal(size=(3, 8000)))
    X = sp.csr_array(np.log1p(rng.poisson(rates[y]).astype(float)))
    scores = leave_one_out(
        MaxentClassifier(C=1.0, l1_ratio=1.0, tol=1e-4).fit(X, y), X, y, max_refits=0
    )
    refitted = MaxentClassifier(C=1.0, l1_ratio=1.0, tol=1e-3)
    held_out = scores.log_proba[np.arange(300), y]
    for i in (191, 168):  # steps that kept zeros were wrong by 3.3 and 2.2
        rows = np.arange(300) != i
        log_proba = refitted.fit(X[rows], y[rows]).predict_log_proba(X[[i]])[0]
        assert held_out[i] == pytest.approx(log_proba[y[i]], abs=0.1)
