"""Fits of wide sparse rows, whose columns with a single entry are merged, equal those without."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier
from skmaxent._objective._likelihood import likelihood
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers import _merged_newton, _strategy
from skmaxent._solvers._merged_objective import MergedObjective
from skmaxent._storage._merged_rows import MergedRows
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._threads import Workers

N, D = 400, 3000


@pytest.fixture(scope="module")
def texts():
    """Counts of words with Zipf's frequencies: common words, words of one row, and unused ones."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, D + 1)
    columns = rng.choice(D, N * 40, p=share / share.sum())
    X = sp.csr_matrix((np.ones(N * 40), (np.repeat(np.arange(N), 40), columns)), (N, D))
    X.sum_duplicates()
    X.data = np.log1p(X.data) * rng.uniform(0.5, 1.5, X.nnz)
    counts = np.diff(X.tocsc().indptr)
    assert (counts == 0).any() and (counts == 1).any() and (counts > 0.15 * N).any()
    y = (X @ rng.normal(size=(D, 4)) + rng.gumbel(size=(N, 4))).argmax(axis=1)
    return X, y


@pytest.fixture
def merges(monkeypatch):
    """Let small problems take the solver under test, and count how often one does."""
    found = []
    monkeypatch.setattr(_merged_newton, "LEAST_WORK", 0)
    monkeypatch.setattr(_strategy, "newton_merged", _counting(found))
    return found


def _counting(found):
    def solve(*args):
        outcome = _merged_newton.newton_merged(*args)
        found.append(outcome)
        return outcome

    return solve


def without_merging(monkeypatch, fit):
    """The result of a function while no fit merges columns."""
    with monkeypatch.context() as context:
        context.setattr(_strategy, "suits_merged_rows", lambda *_: False)
        return fit()


FITS = {
    "softmax": {},
    "weak penalty": {"C": 100.0},
    "strong penalty": {"C": 0.01},
    "no intercept": {"fit_intercept": False},
    "two classes": {"two": True},
    "two classes without intercept": {"two": True, "fit_intercept": False},
    "standardize": {"standardize": True},
    "penalty factors": {"penalty_factor": np.random.default_rng(1).uniform(0.1, 10.0, D)},
    "label smoothing": {"label_smoothing": 0.1},
    "sample weights": {"weights": True},
    "offset": {"offset": True},
    "threads": {"n_jobs": 3},
}


@pytest.mark.parametrize("name", FITS)
def test_merged_fits_equal_fits_without_merging(name, texts, merges, monkeypatch):
    X, y = texts
    options = dict(FITS[name])
    rng = np.random.default_rng(2)
    y = y % 2 if options.pop("two", False) else y
    given = {}
    if options.pop("weights", False):
        given["sample_weight"] = rng.uniform(0.0, 3.0, N) * (rng.random(N) < 0.9)
    if options.pop("offset", False):
        given["offset"] = rng.normal(size=(N, 4))
    model = MaxentClassifier(tol=1e-9, **options)
    other = without_merging(
        monkeypatch, lambda: MaxentClassifier(tol=1e-9, **options).fit(X, y, **given)
    )
    assert not merges
    model.fit(X, y, **given)
    assert merges
    size = np.abs(other.coef_).max()
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0.0, atol=1e-8 * size)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=1e-9, atol=1e-8 * size)
    assert model.optimality_gap_ <= 1e-9


def test_coefficients_minimise_the_objective_without_the_solver(texts, merges):
    X, y = texts
    model = MaxentClassifier(C=10.0, tol=1e-9).fit(X, y)
    assert merges
    Z = X @ model.coef_.T + model.intercept_
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    P[np.arange(N), y] -= 1.0
    np.testing.assert_allclose(X.T @ P, -model.coef_.T / 10.0, atol=1e-8)
    np.testing.assert_allclose(P.sum(axis=0), 0.0, atol=1e-8)


def test_words_of_one_row_share_its_coefficient_by_their_size(texts, merges):
    X, y = texts
    model = MaxentClassifier(tol=1e-6).fit(X, y)
    by_column = X.tocsc()
    counts = np.diff(by_column.indptr)
    single = np.flatnonzero(counts == 1)
    entries = by_column.data[by_column.indptr[single]]
    rows = by_column.indices[by_column.indptr[single]]
    ratio = model.coef_[:, single] / entries
    for row in np.unique(rows):
        same = ratio[:, rows == row]
        np.testing.assert_allclose(same, np.broadcast_to(same[:, :1], same.shape), rtol=1e-7)
    assert not model.coef_[:, counts == 0].any()
    assert merges


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", [2, 4, 5, 6, 7, 8])
def test_columns_of_very_unlike_sizes_take_another_solver(seed, merges):
    """float32 would end at an objective of 3.5e-5 or 3.5e-7; large coefficients lead to 0."""
    rng = np.random.default_rng(seed)
    X = sp.random(100, 2500, 0.02, "csr", random_state=seed, data_rvs=rng.standard_normal)
    X = sp.csr_matrix(X.multiply(10.0 ** rng.uniform(-8, 8, 2500)))
    y = np.arange(100) % 3
    model = MaxentClassifier(C=1e5).fit(X, y)
    assert merges == [None]
    loss = -model.predict_log_proba(X)[np.arange(100), y].sum()
    assert loss + 0.5e-5 * np.square(model.coef_).sum() < 1e-9


def test_float32(texts, merges, monkeypatch):
    X, y = texts
    X = X.astype(np.float32)
    exact = without_merging(
        monkeypatch, lambda: MaxentClassifier(tol=1e-9).fit(X.astype(np.float64), y)
    )
    model = MaxentClassifier().fit(X, y)
    assert merges and model.coef_.dtype == np.float32
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-4 * np.abs(exact.coef_).max())


def test_multilabel(texts, merges, monkeypatch):
    X, y = texts
    Y = np.column_stack([y == 0, y > 1, y % 2])
    other = without_merging(monkeypatch, lambda: MultilabelMaxentClassifier(tol=1e-9).fit(X, Y))
    model = MultilabelMaxentClassifier(tol=1e-9).fit(X, Y)
    assert merges
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-8 * np.abs(other.coef_).max())


@pytest.mark.parametrize(
    "options",
    [
        {"bounds": (0.0, np.inf)},
        {"prior_coef": np.ones((4, D))},
        {"l1_ratio": 0.5},
        {"C": np.inf},
        {"penalty_factor": np.arange(D) % 2},
        {"solver": "lbfgs"},
    ],
    ids=["bounds", "prior", "l1", "no penalty", "unpenalised columns", "lbfgs"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_penalties_and_solvers_do_not_merge(options, texts, merges):
    X, y = texts
    MaxentClassifier(max_iter=2, **options).fit(X, y)
    assert not merges


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_dense_rows_do_not_merge(texts, merges):
    X, y = texts
    MaxentClassifier(max_iter=1).fit(X.toarray(), y)
    assert not merges


def test_proportional_and_explicitly_zero_entries(merges, monkeypatch, texts):
    X, y = texts
    X = sp.hstack([X, 3.0 * X[:, :50], X[:, 2900:]], format="csr")
    X.data[::97] = 0.0
    other = without_merging(monkeypatch, lambda: MaxentClassifier(tol=1e-9).fit(X, y))
    model = MaxentClassifier(tol=1e-9).fit(X, y)
    assert merges
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-8 * np.abs(other.coef_).max())


def test_entries_beyond_float32_take_the_other_solver(merges, texts):
    X, y = texts
    X = X.copy()
    X.data *= 1e25
    model = MaxentClassifier(C=1e-50).fit(X, y)
    assert merges == [None]
    assert model.optimality_gap_ < 1e-3


def test_warm_start_and_search(texts, merges, monkeypatch):
    X, y = texts
    model = MaxentClassifier(tol=1e-9, warm_start=True).fit(X, y)
    model.set_params(C=5.0).fit(X, y)
    cold = without_merging(monkeypatch, lambda: MaxentClassifier(C=5.0, tol=1e-9).fit(X, y))
    np.testing.assert_allclose(model.coef_, cold.coef_, atol=1e-8 * np.abs(cold.coef_).max())

    def search():
        return MaxentClassifierCV(Cs=[0.1, 1.0, 10.0], cv=2, tol=1e-9, random_state=0).fit(X, y)

    other, search = without_merging(monkeypatch, search), search()
    np.testing.assert_array_equal(search.C_, other.C_)
    np.testing.assert_allclose(search.coef_, other.coef_, atol=1e-8 * np.abs(other.coef_).max())


def test_iteration_limit(texts, merges):
    X, y = texts
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model = MaxentClassifier(C=100.0, max_iter=3).fit(X, y)
    assert merges and model.n_iter_[0] == 3
    assert np.isfinite(model.coef_).all() and model.optimality_gap_ > 1e-6


def test_history_counts_passes_and_ends_at_the_optimum(texts, merges):
    X, y = texts
    model = MaxentClassifier(C=100.0).fit(X, y)
    outcome = merges[-1]
    lines = outcome.history
    assert [line.n_iter for line in lines] == list(range(len(lines)))
    values = [line.value for line in lines]
    assert values[-1] == outcome.value and values[-1] <= min(values) * (1 + 1e-6)
    assert lines[-1].distance <= model.tol
    assert outcome.point.objective.counter.gradients == lines[-1].n_gradients


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_products_are_those_of_the_expanded_coefficients(n_threads, n_classes, weighted):
    rng = np.random.default_rng(3)
    n, d = 3000, 200
    X = sp.random(n, d, 0.05, random_state=rng, format="csr")
    X = sp.hstack([X, sp.random(n, 3, 0.5, random_state=rng), _singles(n, 500, rng)]).tocsr()
    d = X.shape[1]
    y, weights = rng.integers(0, n_classes, n), rng.uniform(0.5, 2.0, n) if weighted else None
    model, factors = likelihood(n_classes), rng.uniform(0.5, 2.0, d)
    factors[7] = 0.0
    R = model.n_logits
    with Workers(n_threads) as workers:
        blocks = RowBlocks(X, y, weights, n_logits=R, workers=workers)
        blocks.__class__ = type("Many", (RowBlocks,), {"is_small": False})
        merged = MergedRows(blocks, factors)
        # For a single logit no column is merged.
        assert len(merged.ranges) == n_threads and (merged.n_merged > 0) == (R > 1)
        objective = MultinomialObjective(blocks, model, Ridge(np.ones(d)), Standardisation.of(d))
        single = MergedObjective(objective, merged)
        V, D = (rng.normal(size=(R, merged.width)).astype(np.float32, order="F") for _ in range(2))
        point = single.at(V, 0.3)
        product = point.hessian_product(D)
        exact = objective.at(objective.from_coefficients(*merged.expand(V)))
        direction = objective.from_coefficients(*merged.expand(D))
        there = exact.hessian_product(direction) - np.append(np.ones(d), 0.0) * direction
    assert point.loss == pytest.approx(exact.loss, rel=1e-5)
    for found, theta, own in ((point.gradient, exact.loss_gradient(), V), (product, there, D)):
        whole = merged.reduce(theta[:, :-1], theta[:, -1])
        whole[:, :-1] += 0.3 * own[:, :-1]
        np.testing.assert_allclose(found, whole, atol=1e-5 * np.abs(whole).max())


def _singles(n, d, rng):
    """A CSR matrix (n, d) with one entry a column."""
    return sp.csr_matrix((rng.normal(size=d), (rng.integers(0, n, d), np.arange(d))), (n, d))
