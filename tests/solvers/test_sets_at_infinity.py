"""Sets of possible classes whose objective is lowest at infinity, against arbitrary precision."""

import mpmath
import numpy as np
import pytest
from helpers.problems import problem
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier
from skmaxent._solvers._set_loss import change_at_infinity

X = np.random.default_rng(0).integers(-2, 3, size=(40, 2)).astype(float)
# Along this direction the last class loses where x is positive, and gains nowhere.
DIRECTION = np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])


def sets_for(direction):
    """Random sets, each with a class whose logit grows most along the direction."""
    growth = np.hstack([X, np.ones((len(X), 1))]) @ direction.T
    rng = np.random.default_rng(1)
    first = np.argmax(growth + 1e-3 * rng.random(growth.shape), axis=1)
    return np.eye(3, dtype=bool)[first] | (rng.random(growth.shape) < 0.3)


def exact_loss(theta, sets, weights):
    """The mean loss of sets at θ, in 80 digits."""
    total = mpmath.mpf(0)
    for x, row, weight in zip(X, sets, weights, strict=True):
        odds = [mpmath.exp(sum(c * v for c, v in zip(t, [*x, 1.0], strict=True))) for t in theta]
        total -= weight * mpmath.log(mpmath.fdot(odds, row.tolist()) / mpmath.fsum(odds))
    return total / mpmath.mpf(float(weights.sum()))


@pytest.mark.parametrize("size", [0.1, 1.0, 20.0, 200.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_change_to_the_limit_has_small_relative_errors(size, dtype):
    rng = np.random.default_rng(2)
    theta = np.asfortranarray(size * np.round(rng.normal(size=(3, 3)), 2))
    sets, weights = sets_for(DIRECTION), rng.integers(0, 3, len(X)).astype(float)
    targets = (sets / sets.sum(axis=1, keepdims=True)).astype(dtype)
    objective = problem(X.astype(dtype), targets, 3, weights)
    found = change_at_infinity(objective, theta, DIRECTION)
    with mpmath.workdps(400):
        start = [[mpmath.mpf(v) for v in row] for row in theta.tolist()]
        far = [
            [v + 10**5 * mpmath.mpf(u) for v, u in zip(*rows, strict=True)]
            for rows in zip(start, DIRECTION.tolist(), strict=True)
        ]
        expected = float(exact_loss(far, sets, weights) - exact_loss(start, sets, weights))
    assert found == pytest.approx(expected, rel=1e-11)


def test_the_change_is_infinite_if_a_set_loses_all_its_classes():
    sets = sets_for(DIRECTION)
    sets[np.argmax(X[:, 0])] = [False, False, True]
    objective = problem(X, sets / sets.sum(axis=1, keepdims=True), 3)
    assert change_at_infinity(objective, objective.zeros(), DIRECTION) == np.inf


def random_sets(seed, *, has_integers=False):
    """Features (n, d) and sets (n, K) of classes that depend on the features."""
    rng = np.random.default_rng(seed)
    n, d, K = int(rng.integers(40, 200)), int(rng.integers(1, 4)), int(rng.integers(2, 5))
    shape = n, d
    X = rng.integers(-2, 3, shape).astype(float) if has_integers else rng.normal(size=shape)
    Z = X @ rng.normal(size=(d, K)) * rng.uniform(0.3, 4)
    codes = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
    return X, np.eye(K, dtype=bool)[codes] | (rng.random((n, K)) < rng.uniform(0.1, 0.6))


# With these seeds, the objective is constant but for rounding along a direction on which it falls.
# With the last one, classes that are all but impossible in their sets hide the direction.
@pytest.mark.parametrize(("seed", "has_integers"), [(49, False), (63, False), (151, True)])
@pytest.mark.parametrize("is_small", [True, False])
def test_an_objective_that_falls_by_less_than_its_rounding_is_told(
    seed, has_integers, is_small, monkeypatch
):
    monkeypatch.setattr(
        "skmaxent._solvers._expectation_maximisation.affords_newton", lambda point: is_small
    )
    X, sets = random_sets(seed, has_integers=has_integers)
    with pytest.warns(ConvergenceWarning, match=r"quasi-complete separation.*With partial_labels"):
        MaxentClassifier(C=np.inf, partial_labels=True).fit(X, sets)


def test_large_finite_coefficients_are_not_told():
    X, sets = random_sets(546)
    clf = MaxentClassifier(C=np.inf, partial_labels=True, tol=1e-8).fit(X, sets)
    assert abs(clf.coef_).max() > 100.0
