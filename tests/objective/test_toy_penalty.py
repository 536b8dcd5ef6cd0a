"""A penalty that is one class, as CONTRIBUTING.md describes, minimised by proximal Newton."""

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.problems import problem
from scipy import optimize
from sklearn.datasets import load_iris, load_wine

from skmaxent._existence import Watch
from skmaxent._objective._penalty import Tangent
from skmaxent._solvers import Options, Record, Status
from skmaxent._solvers._composite import proximal_newton


@dataclass(frozen=True)
class Asymmetric:
    """The penalty Σ_kj up_j max(w_kj, 0) + down_j max(-w_kj, 0), for softmax.

    `up` and `down` have the shape (1, width), and are zero together.
    """

    up: np.ndarray
    down: np.ndarray

    @property
    def unbounded_signs(self):
        free = (self.up == 0.0).astype(float)
        return -free, free

    def value(self, W):
        return float(np.sum(self.up * np.maximum(W, 0.0) + self.down * np.maximum(-W, 0.0)))

    def prox(self, V, step):
        return V - np.clip(V, -step * self.down, step * self.up)

    def minimum_norm_subgradient(self, W, G):
        at_zero = G - np.clip(G, -self.up, self.down)
        slope = np.where(W > 0.0, self.up, -self.down)
        return np.where((W == 0.0) & (self.up > 0.0), at_zero, G + slope)

    def tangent(self, W):
        gradient = self.up * (W > 0.0) - self.down * (W < 0.0)
        return Tangent((W != 0.0) | (self.up == 0.0), gradient, np.zeros_like(self.up))

    def retract(self, W, onto):
        return np.where((np.sign(W) != np.sign(onto)) & (self.up > 0.0), 0.0, W)

    def largest_feasible_step(self, W, step):
        crosses = (np.sign(W + step) != np.sign(W)) & (self.up > 0.0) & (step != 0.0)
        if not crosses.any():
            return 1.0
        return float(min(max((-W[crosses] / step[crosses]).min(), 0.0) * (1.0 + 1e-14), 1.0))

    def project(self, W):
        return W

    def recentre(self, W):
        out = W - W.mean(axis=0)
        for j in np.flatnonzero(self.up[0]):
            share = self.up[0, j] / (self.up[0, j] + self.down[0, j])
            out[:, j] = W[:, j] - np.quantile(W[:, j], share, method="inverted_cdf")
        return out

    def columns(self, index):
        return Asymmetric(self.up[:, index], self.down[:, index])


def least_value(X, y, penalty):
    """The least objective that SciPy finds, as a smooth function of w⁺ - w⁻ within bounds."""
    targets = np.eye(3)[y]
    columns = np.column_stack([X, np.ones(len(X))])
    width = columns.shape[1]

    def value_and_gradient(flat):
        positive, negative = flat.reshape(2, 3, width)
        Z = columns @ (positive - negative).T
        Z -= Z.max(axis=1, keepdims=True)
        total = np.exp(Z).sum(axis=1, keepdims=True)
        value = np.mean(np.log(total[:, 0]) - (Z * targets).sum(axis=1))
        value += np.sum(penalty.up * positive + penalty.down * negative)
        G = (np.exp(Z) / total - targets).T @ columns / len(X)
        return value, np.concatenate([G + penalty.up, penalty.down - G]).ravel()

    found = optimize.minimize(
        value_and_gradient,
        np.zeros(2 * 3 * width),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * (2 * 3 * width),
        options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 0.0, "gtol": 1e-9},
    )
    return found.fun


@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_proximal_newton_minimises_a_penalty_that_it_does_not_know(load):
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    up = np.full((1, X.shape[1] + 1), 0.02)
    up[0, -1] = 0.0
    penalty = Asymmetric(up, 3.0 * up)
    objective = problem(X, y, 3, strength=0.0)
    options = Options(tol=1e-6)
    watch = Watch(objective, *penalty.unbounded_signs)
    start = objective.at(objective.zeros())
    outcome = proximal_newton(start, options, Record(options), watch, penalty=penalty)
    assert outcome.status is Status.CONVERGED
    assert outcome.value == pytest.approx(least_value(X, y, penalty), rel=1e-8)
    W = outcome.point.theta
    assert outcome.value == pytest.approx(objective.at(W).loss + penalty.value(W), rel=1e-12)
    left = penalty.minimum_norm_subgradient(W, outcome.point.gradient)
    np.testing.assert_allclose(left, 0.0, atol=1e-6)
    coef = W[:, :-1]
    assert (coef == 0.0).sum() > coef.size // 4
    # Coefficients below zero cost three times as much.
    assert (coef > 0.0).sum() > (coef < 0.0).sum()
