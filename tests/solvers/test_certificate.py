"""`optimality_gap_` judges coefficients by the data and the penalty, wherever they come from."""

import itertools
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss

from skmaxent import MaxentClassifier
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._solvers import Options, minimise
from skmaxent._solvers._hessian_bounds import HessianBound
from skmaxent._storage._row_blocks import RowBlocks

X, Y = load_iris(return_X_y=True)
Y = np.where(np.random.default_rng(0).random(len(Y)) < 0.2, (Y + 1) % 3, Y)
ROWS = {
    "plain": {},
    "weights": {"sample_weight": np.random.default_rng(1).integers(0, 4, len(Y))},
    "offset": {"offset": np.random.default_rng(2).normal(size=(len(Y), 3))},
    "large offset": {"offset": 40.0 * np.random.default_rng(3).normal(size=(len(Y), 3))},
}
PENALTIES = {
    "none": {"C": np.inf},
    "ridge": {"C": 0.5},
    "weak ridge": {"C": 1e4},
    "lasso": {"C": 0.5, "l1_ratio": 1.0},
    "elastic net": {"C": 2.0, "l1_ratio": 0.3},
    "groups": {"C": 0.5, "l1_ratio": 0.9, "grouped": True},
    "bounds": {"C": np.inf, "bounds": (0.0, None)},
    "box": {"C": 5.0, "l1_ratio": 0.5, "bounds": (-0.3, 0.5)},
    "prior": {"C": 0.2, "prior_coef": np.arange(12.0).reshape(3, 4) / 10},
    "free feature": {"C": 0.5, "l1_ratio": 1.0, "penalty_factor": [0.0, 1.0, 1.0, 1.0]},
    "factors per class": {"C": 0.5, "penalty_factor": np.arange(12.0).reshape(3, 4)},
}


@contextmanager
def posed(X, y, sample_weight=None, offset=None, **parameters):
    """The problem of a classifier with these parameters."""
    clf = MaxentClassifier(**parameters)
    settings = Settings.of(clf)
    with TrainingProblem.of(read(settings, clf, X, y, sample_weight, offset), settings) as ready:
        yield ready.problem


def value(problem, theta):
    penalty = problem.terms.whole_penalty()
    return problem.objective.at(theta).loss + penalty.value(theta)


def assert_honest(problem, theta, best):
    """The gap at θ is no less than what another point proves, up to rounding."""
    here = value(problem, theta)
    gap = problem.gap_at(theta)
    assert 0.0 <= gap <= 1.0
    inside = problem.terms.whole_penalty().project(theta)
    if np.allclose(inside, theta, rtol=1e-12, atol=1e-15):
        assert here - best <= gap * here + 1e-13 * here, (here - best, gap * here)
    else:
        assert gap == 1.0
    return gap


@cache
def others():
    """Coefficients of other problems: penalties, labels, rows, columns, units, shifts."""
    fits = [
        MaxentClassifier(C=1e-3).fit(X, Y),
        MaxentClassifier(C=np.inf).fit(X, Y),
        MaxentClassifier(C=3.0, l1_ratio=1.0).fit(X, Y),
        MaxentClassifier().fit(X, np.random.default_rng(4).permutation(Y)),
        MaxentClassifier().fit(X[20:], Y[20:]),
        MaxentClassifier().fit(X * [1e-3, 1.0, 1.0, 1e2], Y),
    ]
    found = [(clf.coef_, clf.intercept_) for clf in fits]
    dropped = MaxentClassifier().fit(X[:, 1:], Y)
    found.append((np.column_stack([np.zeros(3), dropped.coef_]), dropped.intercept_))
    found.append((fits[0].coef_ + np.array([3.0, 0.0, -1.0, 0.0]), fits[0].intercept_))
    return found


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_coefficients_of_other_problems_get_their_true_gap_or_more(penalty, rows):
    with posed(X, Y, **ROWS[rows], **PENALTIES[penalty]) as problem:
        solution = minimise(problem, Options(tol=1e-9, max_iter=300))
        best = value(problem, solution.point.theta)
        assert assert_honest(problem, solution.point.theta, best) < 1e-6
        for coef, intercept in others():
            assert_honest(problem, problem.objective.from_coefficients(coef, intercept), best)
        rng = np.random.default_rng(5)
        for size in 10.0 ** np.arange(-8.0, 4.0, 2.0):
            theta = solution.point.theta + size * rng.normal(size=solution.point.theta.shape)
            theta = problem.terms.whole_penalty().project(theta)
            assert_honest(problem, np.asfortranarray(theta), best)


def collinear(rng, n, distance):
    Z = rng.normal(size=(n, 3))
    return np.column_stack([Z, Z[:, 0] + distance * rng.normal(size=n)])


DESIGNS = {
    "a constant of 0.1": lambda rng, n: np.column_stack([rng.normal(size=(n, 2)), np.full(n, 0.1)]),
    "collinear to 1e-4": lambda rng, n: collinear(rng, n, 1e-4),
    "collinear to 1e-8": lambda rng, n: collinear(rng, n, 1e-8),
    "collinear": lambda rng, n: collinear(rng, n, 0.0),
    "years": lambda rng, n: np.column_stack([rng.integers(1990, 2020, n), rng.normal(size=n)]),
    "all levels": lambda rng, n: np.eye(3)[rng.integers(0, 3, n)],
    "one row alone": lambda rng, n: np.column_stack([np.arange(n) == 7, rng.normal(size=n)]),
    "raw units": lambda rng, n: rng.normal(size=(n, 3)) * [1e6, 1.0, 1e-6] + [1e7, 0.0, 1e-5],
}


@pytest.mark.parametrize("stored", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("design", DESIGNS)
def test_no_design_makes_the_gap_too_small(design, K, fit_intercept, stored):
    rng = np.random.default_rng(0)
    Z = DESIGNS[design](rng, 60).astype(float)
    y = rng.integers(0, K, 60)
    for options in ({"C": np.inf}, {"C": 1e6}, {"C": 1.0}, {"C": 1.0, "l1_ratio": 1.0}):
        with posed(stored(Z), y, fit_intercept=fit_intercept, **options) as problem:
            solution = minimise(problem, Options(tol=1e-10, max_iter=40))
            best = value(problem, solution.point.theta)
            for tol in (10.0, 1e-2):
                rough = minimise(problem, Options(tol=tol))
                assert_honest(problem, rough.point.theta, best)
            for size in (1e-6, 1e-2, 1.0, 30.0, 1e3):
                theta = size * rng.normal(size=solution.point.theta.shape)
                theta[:, -1] *= fit_intercept
                assert_honest(problem, np.asfortranarray(theta), best)


@pytest.mark.parametrize("C", [np.inf, 1.0, 100.0])
def test_saturated_rows_have_no_curvature_to_go_by(C):
    """Offsets of thousands, and coefficients in other units: no probability differs from 0 or 1."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    Z = rng.normal(size=(90, 2))
    with posed(Z, y, offset=1e4 * rng.normal(size=(90, 3)), C=C) as problem:
        best = value(problem, minimise(problem, Options(tol=1e-8)).point.theta)
        for size in (0.0, 1.0, 1e3):
            theta = np.asfortranarray(size * rng.normal(size=(3, 3)))
            assert_honest(problem, theta, best)
    with posed(Z, y, C=C) as problem:
        best = value(problem, minimise(problem, Options(tol=1e-8)).point.theta)
        for size in (1e3, 1e5):
            theta = np.asfortranarray(size * rng.normal(size=(3, 3)))
            assert_honest(problem, theta, best)
            assert problem.gap_at(theta) > 0.99


def test_a_supremum_that_overflows_is_infinite():
    """A penalty of 1e-165 is no reason for a gap of zero where the gradient is 1e-5."""
    Z = np.array([[0.9, -0.2, -0.4], [-0.1, -0.3, -1.3]])
    options = {
        "C": 1e164,
        "l1_ratio": 1e-6,
        "label_smoothing": 0.9,
        "bounds": ([0.2, -9, -9], None),
    }
    with posed(Z, np.array([0, 1]), **options) as problem:
        best = value(problem, minimise(problem, Options(tol=1e-10)).point.theta)
        for size in (1e-3, 1e-2, 1.0):
            theta = np.asfortranarray(problem.null.theta + size)
            assert_honest(problem, problem.terms.whole_penalty().project(theta), best)


def test_a_loss_that_rounds_to_zero_has_no_relative_gap():
    y = np.arange(60) % 3
    with posed(np.eye(3)[y], y, C=np.inf) as problem:
        assert problem.gap_at(np.asfortranarray(200.0 * (np.eye(3, 4) - 1 / 3))) == 1.0


@pytest.mark.parametrize("n", [300, 3000])
@pytest.mark.parametrize("K", [2, 3, 5])
def test_combinations_of_columns_leave_the_gap_small(K, n):
    """Without a penalty the loss is constant along them: only rounding tells them apart."""
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(n, 3)), rng.integers(0, K, n)
    levels = np.eye(4)[rng.integers(0, 4, n)]
    far = 1e3 * Z + 1e4
    for design in ([Z, levels], [Z, Z[:, :1]], [Z, Z.sum(axis=1)], [far, far @ [1.0, 2.0, 0.5]]):
        with posed(np.column_stack(design), y, C=np.inf) as problem:
            solution = minimise(problem, Options(tol=1e-6))
            assert solution.gap < 1e-9


@pytest.mark.parametrize("distance", [1e-12, 1e-13, 3e-14, 1e-14])
def test_the_difference_of_nearly_equal_columns_counts(distance):
    """Their difference, which is exact, has the information of a column of unit length."""
    rng = np.random.default_rng(0)
    Z, y = collinear(rng, 60, distance), rng.integers(0, 3, 60)
    difference = (Z[:, 3] - Z[:, 0]) / distance
    plain = MaxentClassifier(C=np.inf).fit(Z[:, :3], y)
    whole = MaxentClassifier(C=np.inf).fit(np.column_stack([Z[:, :3], difference]), y)
    best = log_loss(y, whole.predict_proba(np.column_stack([Z[:, :3], difference])))
    true_gap = 1.0 - best / log_loss(y, plain.predict_proba(Z[:, :3]))
    assert true_gap > 1e-3
    with posed(Z, y, C=np.inf) as problem:
        coef = np.column_stack([plain.coef_, np.zeros(3)])
        gap = problem.gap_at(problem.objective.from_coefficients(coef, plain.intercept_))
    assert gap >= true_gap


@pytest.mark.parametrize("seed", range(4))
def test_columns_with_an_l1_penalty_do_not_hide_the_difference_of_free_columns(seed):
    """With about as many columns as rows, other columns repeat the tiny difference of two of them.

    The logits then are constant along a combination of all columns, along which the penalty rises
    by less than rounding errors of the gradient by the two columns, whose coefficients are huge.
    """
    rng = np.random.default_rng(seed)
    distance, others = 1.7e-12, rng.normal(size=(40, 38))
    z, y = rng.normal(size=40), rng.integers(0, 2, 40)
    near = z + distance * (rng.random(40) < 0.5)
    difference = (near - z) / distance
    lasso = {"C": 5.0, "l1_ratio": 1.0}
    with posed(
        np.column_stack([z, difference, others]), y, **lasso, penalty_factor=[0.0] * 2 + [1.0] * 38
    ) as problem:
        best = minimise(problem, Options(tol=1e-8)).value
    with posed(
        np.column_stack([z, others]), y, **lasso, penalty_factor=[0.0] + [1.0] * 38
    ) as problem:
        without = minimise(problem, Options(tol=1e-8))
        coef, intercept = problem.objective.coefficients(without.point.theta)
    with posed(
        np.column_stack([z, near, others]), y, **lasso, penalty_factor=[0.0] * 2 + [1.0] * 38
    ) as problem:
        coef = np.column_stack([coef[:, :1], np.zeros(len(coef)), coef[:, 1:]])
        gap = problem.gap_at(problem.objective.from_coefficients(coef, intercept))
    assert gap >= 1.0 - best / without.value


def test_equal_columns_are_certified_beside_others():
    """Rounding errors of a null direction outside of its columns are no part of it."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z, others = rng.normal(size=60), rng.normal(size=(60, 10))
        x, y = np.column_stack([z, z, others[:, :1], others]), rng.integers(0, 3, 60)
        factors = [0.0] * 3 + [1.0] * 10
        with posed(
            x, y, C=0.15, l1_ratio=0.3, penalty_factor=factors, fit_intercept=False
        ) as problem:
            assert minimise(problem, Options(tol=1e-6)).gap < 1e-9


def test_each_row_is_in_a_sample_once():
    """A sample's Hessian is below that of all rows, which duplicates would make false."""
    for n, m in ((40, 36), (1000, 999), (1000, 501), (10, 10), (7, 3)):
        blocks = RowBlocks(np.arange(n, dtype=float)[:, None], np.arange(n) % 2, n_logits=1)
        rows = blocks.standardised(np.zeros(1), np.ones(1), m, dtype=np.float64, seed=n).X
        assert len(np.unique(rows)) == len(rows)


WEAK_PENALTIES = {
    "ridge": {},
    "elastic net": {"l1_ratio": 0.5},
    "groups": {"l1_ratio": 0.5, "grouped": True},
    "groups with a prior": {
        "l1_ratio": 0.5,
        "grouped": True,
        "prior_coef": np.arange(12.0).reshape(3, 4) / 10,
    },
    "bounds": {"bounds": (-1.0, 3.0)},
    "factors per class": {"penalty_factor": 1.0 + np.arange(12.0).reshape(3, 4)},
}


@pytest.mark.parametrize("C", [1e20, 1e50, 1e200])
@pytest.mark.parametrize("penalty", WEAK_PENALTIES)
def test_a_penalty_too_weak_to_matter_leaves_the_gap_small(penalty, C):
    with posed(X, Y, C=C, **WEAK_PENALTIES[penalty]) as problem:
        theta = minimise(problem, Options(tol=1e-9, max_iter=300)).point.theta
        best = value(problem, theta)
        assert assert_honest(problem, theta, best) < 1e-6
        # The loss does not change by these shifts, so the penalty alone makes a gap.
        for size in (1e-3, 1.0, 0.01 * np.sqrt(C)):
            shift = size * np.array([1.0, -2.0, 0.0, 0.5, 0.0])
            shifted = problem.terms.whole_penalty().project(theta + shift)
            assert_honest(problem, np.asfortranarray(shifted), best)


@pytest.mark.parametrize("is_kronecker", [False, True])
def test_length_of_rounding_errors_is_the_mean_over_all_signs(is_kronecker):
    """Equal errors of nearly collinear columns cancel; the mean over all signs does not."""
    rng = np.random.default_rng(0)
    error = rng.random((2, 3))
    p = 3 if is_kronecker else 6
    root, null = rng.normal(size=(p, p)), np.zeros((0, p))
    below = HessianBound(root, null, rng.normal(size=(2, 2)) if is_kronecker else None, 1.0)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=6))).reshape(-1, 2, 3)
    squares = [below.length(error * sign, error) ** 2 for sign in signs]
    assert below.length_of_errors(error) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)
