"""Lasso paths of sparse rows, fitted over pairs of a feature and a logit, equal other fits."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, maxent_path
from skmaxent._objective._likelihood import likelihood
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._solvers import _pair_newton, _proximal_by_size
from skmaxent._solvers._pair_columns import PairColumns, ScaledColumns
from skmaxent._solvers._record import Outcome
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation

N, D, K = 300, 600, 4
CS = np.geomspace(0.05, 2.0, 15)


def problem(seed, n_classes=K):
    """Sparse rows with columns of very different frequency, and their classes."""
    rng = np.random.default_rng(seed)
    shares = rng.choice([0.01, 0.03, 0.1, 0.6], D, p=[0.4, 0.4, 0.15, 0.05])
    X = rng.normal(rng.normal(size=D), 1.0, size=(N, D)) * (rng.random((N, D)) < shares)
    W = rng.normal(size=(D, n_classes)) * (rng.random(D) < 0.1)[:, None]
    y = (X @ W + rng.gumbel(size=(N, n_classes))).argmax(axis=1)
    return sp.csr_matrix(X), y


@pytest.fixture
def pairs(monkeypatch):
    """Let small problems take the solver under test; the list gets what each fit returned."""
    found = []
    original = _pair_newton.PairNewton.minimise

    def minimise(self, *args):
        found.append(original(self, *args))
        return found[-1]

    monkeypatch.setattr(_pair_newton, "LEAST_WORK", 0)
    monkeypatch.setattr(_pair_newton, "MOST_PAIRS", 1.0)
    monkeypatch.setattr(_pair_newton.PairNewton, "minimise", minimise)
    return found


def without_pairs(monkeypatch, fit):
    """The result of a function while no fit is over pairs."""
    with monkeypatch.context() as context:
        context.setattr(_proximal_by_size, "fits_pairs", lambda *_: False)
        return fit()


PATHS = {
    "softmax": {},
    "two classes": {"two": True},
    "no intercept": {"fit_intercept": False},
    "two classes without intercept": {"two": True, "fit_intercept": False},
    "standardize": {"standardize": True, "Cs": np.geomspace(0.005, 0.1, 12)},
    "label smoothing": {"label_smoothing": 0.1},
    "penalty factors": {"penalty_factor": np.random.default_rng(1).uniform(0.3, 3.0, D)},
    "sample weights": {"weights": True},
    "offset": {"offset": True},
    "counts": {"counts": True},
    "threads": {"n_jobs": 2},
    "weak penalties first": {"Cs": CS[::-1]},
    "long steps": {"Cs": np.array([0.05, 0.08, 2.0])},
}


def path_of(name, X, y, tol):
    options = dict(PATHS[name])
    rng = np.random.default_rng(7)
    if options.pop("two", False):
        y = (y > 1).astype(int)
    if options.pop("weights", False):
        options["sample_weight"] = rng.integers(0, 4, N).astype(float)
    if options.pop("offset", False):
        options["offset"] = rng.normal(size=(N, K))
    if options.pop("counts", False):
        y = np.eye(K)[y] * 2.0 + rng.integers(0, 2, (N, K))
    return maxent_path(X, y, tol=tol, **({"Cs": CS} | options))


@pytest.mark.parametrize("name", PATHS)
def test_paths_over_pairs_equal_other_paths(name, pairs, monkeypatch):
    X, y = problem(0)
    path = path_of(name, X, y, 1e-6)
    assert sum(isinstance(end, Outcome) for end in pairs) >= len(path.Cs) // 2
    other = without_pairs(monkeypatch, lambda: path_of(name, X, y, 1e-6))
    size = np.abs(other.coefs).max()
    np.testing.assert_allclose(path.coefs, other.coefs, atol=1e-5 * size)
    np.testing.assert_allclose(path.intercepts, other.intercepts, atol=1e-5 * size)
    assert path.optimality_gaps.max() <= 1e-5


@pytest.mark.parametrize("seed", range(1, 7))
def test_loose_paths_are_certified_and_near(seed, pairs, monkeypatch):
    X, y = problem(seed, n_classes=3 + seed)
    path = maxent_path(X, y, Cs=CS, tol=0.3)
    assert any(isinstance(end, Outcome) for end in pairs)
    best = without_pairs(monkeypatch, lambda: maxent_path(X, y, Cs=CS, tol=1e-8))
    for i, C in enumerate(CS):
        value, least = (_objective(p.coefs[i], p.intercepts[i], X, y, C) for p in (path, best))
        # tol standard errors are a decrease of tol²/2 nats in all.
        assert value - least <= 0.5 * 0.3**2 / N
        assert value - least <= path.optimality_gaps[i] * value + 1e-12


def test_float32_rows_take_the_same_solver(pairs):
    X, y = problem(0)
    X = X.astype(np.float32)
    weights = np.random.default_rng(7).uniform(0.5, 2.0, N).astype(np.float32)
    single, double = (
        maxent_path(Z, y, Cs=CS, tol=1e-5, sample_weight=weights) for Z in (X, X.astype(float))
    )
    ends = [isinstance(end, Outcome) for end in pairs]
    assert len(ends) == 2 * len(CS) and all(ends)
    np.testing.assert_allclose(single.coefs, double.coefs, atol=1e-5)
    # The bounds are those that gradients in float32 allow.
    assert single.optimality_gaps.max() <= 1e-4


def _objective(coef, intercept, X, y, C):
    Z = X @ coef.T + intercept
    loss = np.log(np.exp(Z - Z.max(1)[:, None]).sum(1)) + Z.max(1) - Z[np.arange(N), y]
    return loss.mean() + np.abs(coef).sum() / (C * N)


def test_iteration_limit_and_history(pairs):
    X, y = problem(0)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        path = maxent_path(X, y, Cs=CS, max_iter=1, tol=1e-8)
    assert path.n_iter.max() == 1
    path = maxent_path(X, y, Cs=CS)
    ends = [end for end in pairs[-len(CS) :] if isinstance(end, Outcome)]
    for end in ends:
        assert [line.n_iter for line in end.history] == list(range(len(end.history)))
        assert end.history[-1].distance <= 1e-4
    assert path.n_iter.max() < 15


def test_a_single_fit_with_a_strong_penalty_takes_the_same_solver(pairs, monkeypatch):
    X, y = problem(0)
    model = MaxentClassifier(C=0.08, l1_ratio=1.0, tol=1e-7)
    coef = model.fit(X, y).coef_
    assert isinstance(pairs[-1], Outcome) and model.optimality_gap_ < 1e-6
    other = without_pairs(monkeypatch, lambda: model.fit(X, y).coef_)
    np.testing.assert_allclose(coef, other, atol=1e-6 * np.abs(other).max())


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_products_of_pairs_are_those_of_dense_columns(fit_intercept):
    rng = np.random.default_rng(2)
    X, _ = problem(3)
    mean, scale = X.toarray().mean(axis=0), rng.uniform(0.5, 2.0, D)
    columns = Standardisation.of(D, fit_intercept=fit_intercept, center=mean, scale=scale)
    positions = np.sort(rng.choice(D * K, 50, replace=False))
    pairs = PairColumns(ScaledColumns(X.tocsc(), columns), positions, K)
    theta = np.zeros((K, D + 1), order="F")
    x = rng.normal(size=50 + K)
    theta.ravel(order="F")[:] = 0.0
    features, logits = np.divmod(positions, K)
    theta[logits, features], theta[:, -1] = x[:-K], x[-K:]
    rows = (X.toarray() - mean * fit_intercept) / scale
    Z, U = theta[:, :-1] @ rows.T + x[-K:, None], rng.normal(size=(K, N))
    np.testing.assert_allclose(pairs.times(x), Z, atol=1e-10)
    found = pairs.transposed_times(U)
    np.testing.assert_allclose(found[:-K], (U @ rows)[logits, features], atol=1e-10)
    np.testing.assert_allclose(found[-K:], U.sum(axis=1), atol=1e-10)
    squares = pairs.squares_times(U)[:-K]
    expected = (U @ np.square(X.toarray() / scale))[logits, features]
    np.testing.assert_allclose(squares, expected, atol=1e-8)


def test_blocks_read_copies_by_column_where_there_are_some():
    X, y = problem(4)
    model = likelihood(K)
    blocks = RowBlocks(X, y, n_logits=K, block_rows=100)
    objective = MultinomialObjective(blocks, model, Ridge(np.zeros(D)), Standardisation.of(D))
    rng = np.random.default_rng(0)
    theta = np.zeros((K, D + 1), order="F")
    theta[1:3, 5:50:4] = rng.normal(size=(2, 12))
    for dense in (False, True):
        if dense:
            theta[:] = rng.normal(size=theta.shape)
        before = MultinomialObjective(
            RowBlocks(X, y, n_logits=K), model, Ridge(np.zeros(D)), Standardisation.of(D)
        ).at(theta.copy())
        blocks.by_column()
        after = objective.at(theta.copy())
        assert after.loss == pytest.approx(before.loss, rel=1e-13)
        np.testing.assert_allclose(after.gradient, before.gradient, atol=1e-14)
