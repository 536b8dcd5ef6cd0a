"""Objectives, fits and data that several test files need."""

import numpy as np
from sklearn.datasets import load_iris, load_wine

from skmaxent._objective._likelihood import likelihood
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._objective._terms import ridge_terms
from skmaxent._solvers import Options, Problem, minimise
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation


def problem(X, y, K, weights=None, fit_intercept=True, strength=0.1, **options):
    """The objective with a ridge of the given strength, for codes y of K classes."""
    workers = options.pop("workers", None)
    blocks = RowBlocks(X, y, weights, n_logits=1 if K == 2 else K, workers=workers)
    ridge = Ridge(np.full(X.shape[1], strength))
    given = {name: options.pop(name) for name in ("center", "scale") if name in options}
    columns = Standardisation.of(X.shape[1], fit_intercept=fit_intercept, **given)
    return MultinomialObjective(blocks, likelihood(K), ridge, columns, **options)


def solve(blocks, K, strength, *, fit_intercept=True, start=None, **options):
    """The Solution for stored rows; `options` are those of Options, `start` (coef, intercept)."""
    problem = Problem.of(blocks, likelihood(K), ridge_terms(strength), fit_intercept=fit_intercept)
    theta = None if start is None else problem.objective.from_coefficients(*start)
    return minimise(problem, Options(**({"tol": 1e-4} | options)), theta)


def fit(X, y, C, **options):
    """The Solution for rows X with codes y, as `MaxentClassifier(C=C)` fits them."""
    K = int(y.max()) + 1
    blocks = RowBlocks(X, y, n_logits=1 if K == 2 else K)
    return solve(blocks, K, np.full(X.shape[1], 1.0 / C / len(X)), **options)


def datasets():
    """Pairs (X, y) by name: data with scales, shapes and class sizes that are hard to fit."""
    rng = np.random.default_rng(6)
    iris, wine = load_iris(return_X_y=True), load_wine(return_X_y=True)
    units = 10.0 ** np.linspace(-3, 3, 4)
    return {
        "iris": iris,
        "raw wine": wine,
        "units": (iris[0] * units + 1e3 * units, iris[1]),
        "duplicates": (np.hstack([iris[0], iris[0], iris[0] @ rng.normal(size=(4, 2))]), iris[1]),
        "d > n": (rng.normal(size=(20, 50)), np.arange(20) % 3),
        "single member": (iris[0], np.append(iris[1][:-1] // 2, 2)),
        "two classes": (iris[0], (iris[1] == 1).astype(int)),
    }
