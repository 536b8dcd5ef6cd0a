"""Lassos and elastic nets of few rows, which have a solver of their own."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.preprocessing import StandardScaler, scale

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier, maxent_path
from skmaxent._solvers import _path, _proximal_by_size, _small_nonsmooth, _small_quadratics
from skmaxent._solvers._hessian_bounds import LastBound

DATA = {"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer}


def objective(model, X, y, C, l1_ratio, weights=None):
    """C times the total loss plus the penalty, by the probabilities that the model predicts."""
    losses = -model.predict_log_proba(X)[np.arange(len(y)), y]
    coef = model.coef_
    penalty = l1_ratio * np.abs(coef).sum() + 0.5 * (1.0 - l1_ratio) * np.square(coef).sum()
    return C * np.average(losses, weights=weights) * np.sum(np.ones(len(y))) + penalty


def with_general_solver(monkeypatch, fit):
    """The result of a function without the solver for small problems."""
    with monkeypatch.context() as patch:
        patch.setattr(_proximal_by_size, "is_small_nonsmooth", lambda *_: False)
        return fit()


@pytest.mark.parametrize(
    "params",
    [
        {"l1_ratio": 1.0},
        {"l1_ratio": 0.3},
        {"l1_ratio": 1.0, "fit_intercept": False},
        {"l1_ratio": 1.0, "penalty_factor": [0.0, 1.0, 3.0, 0.5]},
        {"l1_ratio": 0.5, "prior_coef": np.array([0.1, 0.2, -0.3, 0.4]) * np.ones((3, 1))},
        {"l1_ratio": 1.0, "standardize": True, "class_weight": {0: 2.0}},
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_coefficients_are_those_of_the_general_solver(params, dtype, monkeypatch):
    X, y = load_iris(return_X_y=True)
    X = X.astype(dtype)

    def fit():
        return MaxentClassifier(C=0.7, tol=1e-8, **params).fit(X, y, sample_weight=1.0 + y)

    small, general = fit(), with_general_solver(monkeypatch, fit)
    room = 1e-6 if dtype == np.float64 else 2e-4
    assert np.abs(small.coef_ - general.coef_).max() < room
    assert np.abs(small.intercept_ - general.intercept_).max() < 10 * room


def test_offsets_and_two_classes(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)[:, :8]
    offset = np.linspace(-1.0, 1.0, len(y))

    def fit():
        return MaxentClassifier(C=0.5, l1_ratio=1.0, tol=1e-8).fit(X, y, offset=offset)

    small, general = fit(), with_general_solver(monkeypatch, fit)
    assert np.abs(small.coef_ - general.coef_).max() < 1e-6


def test_labels_that_are_not_exclusive(monkeypatch):
    X, y = load_wine(return_X_y=True)
    X, Y = scale(X), np.eye(3, dtype=int)[y]

    def fit():
        return MultilabelMaxentClassifier(C=0.3, l1_ratio=1.0, tol=1e-8).fit(X, Y)

    small, general = fit(), with_general_solver(monkeypatch, fit)
    assert np.abs(small.coef_ - general.coef_).max() < 1e-6


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("is_scaled", [False, True])
def test_every_penalty_of_a_wide_grid_converges(name, is_scaled):
    X, y = DATA[name](return_X_y=True)
    X = scale(X) if is_scaled else X
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for C in np.logspace(-4, 4, 9):
            assert MaxentClassifier(C=C, l1_ratio=1.0).fit(X, y).optimality_gap_ < 1e-3


def test_a_column_for_every_level():
    # Iris with all levels of two factors: columns of a factor sum to one.
    X, y = load_iris(return_X_y=True)
    levels = np.digitize(X[:, :2], [3.0, 5.5])
    columns = [levels[:, [j]] == np.unique(levels[:, j]) for j in range(2)]
    X = StandardScaler().fit_transform(np.column_stack([X, *columns]).astype(float))
    for C in (0.1, 1.0, 1e4):
        model = MaxentClassifier(C=C, l1_ratio=1.0).fit(X, y)
        assert model.optimality_gap_ < 1e-5
        assert model.n_iter_[0] < 40


def test_the_objective_is_no_higher_than_that_of_the_general_solver(monkeypatch):
    X, y = load_wine(return_X_y=True)
    X = scale(X)
    for C in (0.05, 1.0, 100.0):

        def fit(C=C):
            return MaxentClassifier(C=C, l1_ratio=1.0).fit(X, y)

        ours, general = fit(), with_general_solver(monkeypatch, fit)
        F, F_general = (objective(model, X, y, C, 1.0) for model in (ours, general))
        assert F / F_general <= 1.0 + 1e-7


def test_a_step_that_is_too_long_is_shortened_or_left_to_the_general_solver(monkeypatch):
    X, y = load_wine(return_X_y=True)
    monkeypatch.setattr(_small_nonsmooth, "LEAST_SHARE", 2.0)  # no share of any step will do
    model = MaxentClassifier(C=1.0, l1_ratio=1.0).fit(scale(X), y)
    assert model.optimality_gap_ < 1e-6


@pytest.mark.parametrize("max_iter", [1, 2, 3])
def test_max_iter_is_kept(max_iter):
    X, y = load_wine(return_X_y=True)
    with pytest.warns(match="max_iter"):
        model = MaxentClassifier(C=10.0, l1_ratio=1.0, max_iter=max_iter).fit(scale(X), y)
    assert model.n_iter_[0] == max_iter


def test_bounds_on_the_gap_hold_along_a_path_of_rough_fits(monkeypatch):
    shares = []
    at = LastBound.at

    def counted(self, point, ridge):
        bound, share = at(self, point, ridge)
        shares.append(bound is not None)
        return bound, share

    monkeypatch.setattr(LastBound, "at", counted)
    monkeypatch.setattr(_path, "LOOSE_GAP", 1e-6)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 40)) @ (np.eye(40) + rng.normal(size=(40, 40)) / 8)
    y = (X[:, :3] + rng.gumbel(size=(3000, 3))).argmax(axis=1)
    Cs = np.geomspace(2e-3, 1.0, 24)
    rough = maxent_path(X, y, Cs=Cs, tol=3.0)
    exact = maxent_path(X, y, Cs=Cs, tol=1e-8)

    def value(path, i):
        Z = X @ path.coefs[i].T + path.intercepts[i]
        losses = np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(len(y)), y]
        return losses.sum() * Cs[i] + np.abs(path.coefs[i]).sum()

    gaps = [1.0 - value(exact, i) / value(rough, i) for i in range(len(Cs))]
    assert max(gaps) > 1e-7
    assert any(shares)
    assert not all(shares)
    assert all(rough.optimality_gaps >= np.array(gaps) - 1e-10)


def test_a_fit_ends_where_only_rounding_is_left():
    X, y = load_breast_cancer(return_X_y=True)
    model = MaxentClassifier(C=1.623776739188721, l1_ratio=1.0).fit(scale(X), y)
    assert model.n_iter_[0] <= 9
    assert model.optimality_gap_ < 1e-8


def test_guesses_of_signs_find_most_minima_of_correlated_features():
    """The minimum of wᵀAw/2 - bᵀw + Σ_j l1_j |w_j| has a subgradient of zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 40, 5)) @ rng.normal(size=(200, 5, 30))
    X += 0.3 * rng.normal(size=(200, 40, 30))
    A, b, l1 = X.transpose(0, 2, 1) @ X / 40, rng.normal(size=(200, 30)), np.full((200, 30), 0.3)
    l1[:, 0] = 0.0
    W = np.where(rng.uniform(size=(200, 30)) < 0.5, 0.0, rng.normal(size=(200, 30)))
    slope = np.einsum("mij,mj->mi", A, W) - b
    ends, is_found = _small_quadratics.minima(A, slope, l1, W, np.zeros(30, dtype=bool))
    assert is_found.mean() > 0.8
    gradient = np.einsum("mij,mj->mi", A, ends) - b
    at_zero = np.maximum(np.abs(gradient) - l1, 0.0)
    violation = np.where(ends != 0.0, np.abs(gradient + l1 * np.sign(ends)), at_zero)
    assert violation[is_found].max() < 1e-7


def test_a_ridge_towards_far_coefficients_hides_no_distance():
    """The first step is long for the ridge alone, and says nothing about the next steps."""
    rng = np.random.default_rng(7)
    scales, prior, C = np.array([1e-3, 5e-3, 200.0]), np.array([3000.0, 70.0, 0.0]), 0.05
    X = rng.uniform(-1.0, 1.0, size=(60, 3)) * scales
    y = (rng.random(60) < 1.0 / (1.0 + np.exp(-(X / scales).sum(axis=1)))).astype(int)
    model = MaxentClassifier(C=C, l1_ratio=0.9, prior_coef=prior[None]).fit(X, y)
    # The distance in standard errors is the length of the Newton step of the coefficients that are
    # not zero.
    w = np.append(model.coef_[0], model.intercept_)
    columns = np.column_stack([X, np.ones(60)])
    p = 1.0 / (1.0 + np.exp(-columns @ w))
    ridge, l1 = np.append(np.full(3, 0.1 / C), 0.0), np.append(np.full(3, 0.9 / C), 0.0)
    gradient = columns.T @ (p - y) + ridge * (w - np.append(prior, 0.0)) + l1 * np.sign(w)
    hessian = (columns.T * (p * (1.0 - p))) @ columns + np.diag(ridge)
    free = np.flatnonzero(w)
    assert (np.abs(gradient) <= l1)[w == 0.0].all()
    step = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
    assert np.sqrt(gradient[free] @ step) < model.tol
