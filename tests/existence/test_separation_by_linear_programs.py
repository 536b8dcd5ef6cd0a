"""detect_separation against linear programs over all rows, and its cost in passes over them.

Kind, rows and features are those of the cone of directions D with A D >= 0, A a row for each pair
of a row's class and another: a pair is separated if its gain can be made positive, a feature has no
finite estimate if its coefficient can be made other than zero. That nothing can be made positive
is decided by Stiemke's theorem: some positive combination of the pairs vanishes.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, detect_separation
from skmaxent._existence import Watch, _linear_programs, _watch
from skmaxent._objective._likelihood import Sigmoids
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation


def pairs(X, T, fit_intercept):
    """Pairs of a row's class and another, as rows over coefficients, and the rows they are of."""
    K = T.shape[1]
    X = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    X = X / np.maximum(np.abs(X).max(axis=0), 1e-300)
    A, of = [], []
    for i, t in enumerate(T):
        for c in np.flatnonzero(t):
            for k in range(K):
                if k != c:
                    row = np.zeros((K, X.shape[1]))
                    row[c], row[k] = X[i], -X[i]
                    A.append(row.ravel())
                    of.append(i)
    return np.array(A), np.array(of), X.shape[1]


def most(cost, A, bounds):
    found = linprog(-cost, A_ub=-A, b_ub=np.zeros(len(A)), bounds=bounds)
    return -found.fun


def truth(X, T, fit_intercept):
    """Kind, separated rows and features, each found by linear programs over all rows."""
    A, of, width = pairs(X, T, fit_intercept)
    K = T.shape[1]
    proof = linprog(np.zeros(len(A)), A_eq=A.T, b_eq=np.zeros(A.shape[1]), bounds=(1.0, None))
    if proof.status == 0:
        return "none", set(), set()
    bounds = np.tile([-1.0, 1.0], (A.shape[1], 1))
    bounds[-width:] = 0.0  # the last class's coefficients
    gains = np.array([most(a, A, bounds) for a in A])
    strict = gains > 1e-6
    features = set()
    for position in range((K - 1) * width):
        unit = np.eye(A.shape[1])[position]
        if max(most(unit, A, bounds), most(-unit, A, bounds)) > 1e-6:
            features.add(position % width)
    if not strict.any():
        return "none", set(), set()
    return "complete" if strict.all() else "quasi-complete", set(of[strict]), features


@pytest.mark.parametrize("seed", range(40))
def test_kind_rows_and_features(seed):
    rng = np.random.default_rng(seed)
    n, d, K = rng.integers(8, 16), rng.integers(1, 4), rng.integers(2, 4)
    X = [
        rng.integers(0, 3, size=(n, d)).astype(float),
        rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 4, size=d),
        (rng.random((n, d)) < 0.2) * 1.0,
    ][seed % 3]
    fit_intercept = seed % 4 > 0
    ones = np.column_stack([X, np.ones(n)]) if fit_intercept else X
    if np.linalg.matrix_rank(ones / np.maximum(np.abs(ones).max(axis=0), 1e-9)) < ones.shape[1]:
        X = X + 0.001 * rng.integers(0, 100, size=X.shape)
    Z = X / np.maximum(np.abs(X).max(axis=0), 1e-9) @ rng.normal(size=(d, K)) * rng.choice([1, 9])
    y = (Z + rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = np.arange(K)
    T = np.eye(K)[y]
    if seed % 5 == 0:
        T[rng.integers(0, n, 2), rng.integers(0, K, 2)] += 1.0
    kind, rows, features = truth(X, T, fit_intercept)
    found = detect_separation(
        sp.csr_array(X) if seed % 2 else X,
        T if seed % 5 == 0 else y,
        fit_intercept=fit_intercept,
    )
    names = [*(f"x{j}" for j in range(d)), "Intercept"]
    assert found.kind == kind
    assert set(np.flatnonzero(found.separated)) == rows
    assert {names.index(name) for name in found.features} == features
    moved = np.abs(found.direction.to_numpy()).max(axis=1) > 0.0
    assert set(np.flatnonzero(moved)) == features


def check_a_column_of_three_rows_of_one_class():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(5000, 5))
    X[:, 2] = np.arange(5000) < 3
    y = (0.5 * X @ rng.normal(size=(5, 3)) + rng.gumbel(size=(5000, 3))).argmax(axis=1)
    y[:3] = 1
    found = detect_separation(X, y)
    assert (found.kind, found.features, found.classes) == ("quasi-complete", ["x2"], [1])


def test_an_optimum_needs_no_linear_program(monkeypatch):
    def unexpected(*args, **kwargs):
        raise AssertionError("a linear program")

    monkeypatch.setattr(_linear_programs, "linprog", unexpected)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 10))
    y = (0.3 * X @ rng.normal(size=(10, 4)) + rng.gumbel(size=(2000, 4))).argmax(axis=1)
    assert detect_separation(X, y).kind == "none"
    heavy = rng.standard_cauchy(size=(2000, 2))
    assert detect_separation(heavy, y > 1).kind == "none"


def test_programs_that_do_not_end_at_tight_tolerances_end_at_a_looser_one(monkeypatch):
    # With nearly dependent columns HiGHS may repair rounding errors for ever, without pivots.
    linprog = _linear_programs.linprog

    def unending(cost, options, **rest):
        assert options["time_limit"] < 60.0
        if options["primal_feasibility_tolerance"] < 1e-8:
            options = options | {"maxiter": 0, "presolve": False}
        return linprog(cost, options=options, **rest)

    monkeypatch.setattr(_linear_programs, "linprog", unending)
    check_a_column_of_three_rows_of_one_class()
    # A maximum of zero at the looser tolerance proves nothing.
    A = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert _linear_programs._maximiser(np.ones(2), A, (-1.0, 1.0)) is None


def test_few_rows_are_in_the_linear_programs(monkeypatch):
    sizes = []
    linprog = _linear_programs.linprog

    def counted(cost, A_ub, **options):
        sizes.append(len(A_ub))
        return linprog(cost, A_ub=A_ub, **options)

    monkeypatch.setattr(_linear_programs, "linprog", counted)
    check_a_column_of_three_rows_of_one_class()
    assert max(sizes, default=0) < 5000


def test_rows_near_the_boundary_of_separated_classes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 8))
    found = detect_separation(X, X[:, :4].argmax(axis=1))
    assert found.kind == "complete"
    assert found.separated.all()


def test_a_class_whose_rows_weigh_nothing_does_not_count():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 2)), np.arange(100) % 3
    assert detect_separation(X, y, sample_weight=y != 2).kind == "none"


def test_linear_programs_that_decide_nothing_are_not_repeated(monkeypatch):
    n_programs = []

    def undecided(*args, **options):
        n_programs.append(args)
        return _linear_programs.Verdict.UNKNOWN, None

    monkeypatch.setattr("skmaxent._existence._search.by_linear_programs", undecided)
    monkeypatch.setattr("skmaxent._existence._search.proves_overlap", lambda *args: False)
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(50, 2)), rng.integers(0, 2, size=(50, 4))
    objective = MultinomialObjective(
        RowBlocks(X, labels.astype(float), n_logits=4),
        Sigmoids(4),
        Ridge(np.zeros(2)),
        Standardisation.of(2),
    )
    watch = Watch(objective)
    for _ in range(3):
        assert watch.kind_at_end(objective.zeros(), 1.0, 1.0) is None
    assert len(n_programs) == 4


@pytest.mark.parametrize("left, most", [(4e5, 1e9), (1e9, 1e5)])
def test_the_work_of_linear_programs_is_limited_in_fits(left, most, monkeypatch):
    """A linear program cannot be interrupted, and `max_iter` does not bound its pivots."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20))
    y = (X @ rng.normal(size=(20, 5))).argmax(axis=1)
    linprog = _linear_programs.linprog
    work = []

    def counted(cost, A_ub, **options):
        found = linprog(cost, A_ub=A_ub, **options)
        work.append(found.nit * np.count_nonzero(A_ub))
        return found

    monkeypatch.setattr(_linear_programs, "linprog", counted)
    clf = MaxentClassifier(C=np.inf, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="separated"):
        clf.fit(X, y)
    assert sum(work) > 1e6
    work.clear()
    monkeypatch.setattr(_watch, "WorkLimit", lambda: _linear_programs.WorkLimit(left))
    monkeypatch.setattr(_linear_programs, "MOST_WORK_OF_PROGRAM", most)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        clf.fit(X, y)
    assert max(work) <= most
    assert sum(work) <= left
    assert detect_separation(X, y).kind == "complete"
