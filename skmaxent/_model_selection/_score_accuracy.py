"""Which fits of a fold are made, and how near to their optimum, for accurate held-out scores.

A row has the probabilities p and the targets t. A change δ of its logits changes its log-likelihood
by (t - p)·δ, to first order. By Cauchy and Schwarz, the mean over held-out rows changes by at most
√(χ² · mean δᵀΛδ), where Λ = diag(p) - p pᵀ, and χ² is the mean of the Pearson statistics
(t - p)ᵀ Λ⁺ (t - p) = Σ_k (t_k - p_k)²/p_k.

The mean of δᵀΛδ over the n rows of the fit stands in for that over the held-out rows. It is at most
D²/n, where D = √(n Δᵀ H Δ) is the distance to the optimum in standard errors: Δ is the step to the
optimum, and H the Hessian of the mean loss plus the penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from skmaxent._input._observations import Observations
from skmaxent._model._prediction import log_softmax
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._path_nodes import PathNodes
from skmaxent._solvers import Solution
from skmaxent._typing import Array

# The number of Cs that are scored together, by one product of X with their coefficients, and the
# largest number of coefficients in such a product.
CS_TOGETHER, MOST_COEFFICIENTS = 3, 1 << 21
# The largest distance at which a fit ends, in standard errors: the bound is of first order.
LARGEST_DISTANCE = 0.3
# The share of the distance that the last Newton step of a fit leaves: conjugate gradients compute
# the step to this accuracy. Measured shares were below 0.15.
LEFT_BY_STEP = 0.3
# The share of `cv_tol` at which fits end. During the fits, only the standard errors over rows are
# known. `cv_tol` refers to the standard errors over folds, which may be much smaller if there are
# few folds.
AIM = 0.25


class HeldOutRows:
    """The held-out rows of a fold, on which models of the other rows are scored.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    observed : Observations
        The classes of these rows.
    weights : ndarray of shape (n_samples,) or None
    offset : ndarray of shape (n_samples, n_logits) or None
    n_folds : int
        The number of folds, which have about as many held-out rows each.
    """

    def __init__(
        self,
        X: Any,
        observed: Observations,
        weights: Array | None,
        offset: Array | None,
        n_folds: int,
    ) -> None:
        self._X, self._offset = X, offset
        # Each observed pair of a row and a class, and its share of the total weight.
        self._row, self._code = observed.expanded()
        many = observed.multiplicity
        shares = np.ones(len(self._row)) if many is None else many[self._row]
        if observed.codes is None:
            shares = observed.table[self._row, self._code]
        if weights is not None:
            shares = shares * weights[self._row]
        self._shares = shares / shares.sum()
        # The share of each observation in its class, (n_observed, n_classes).
        of_class = self._shares[:, None] * (self._code[:, None] == np.arange(self._code.max() + 1))
        self._in_class = of_class / np.maximum(of_class.sum(axis=0), 1e-300)
        # The effective number of observations in all folds, for weights that are not equal.
        self._size = n_folds / float(np.square(self._shares).sum())

    def scores(self, coefs: Array, intercepts: Array) -> tuple[Array, Array, Array]:
        """Return the mean log-likelihoods of models, their standard errors and χ².

        All results have the shape (n_models,). The standard errors are those of the mean over the
        held-out rows of all folds, whose log-likelihoods are assumed to vary within classes as
        those of this fold.
        Coefficients have the shape (n_models, n_logits, n_features), and
        intercepts (n_models, n_logits).
        """
        m, R, d = coefs.shape
        together = max(1, MOST_COEFFICIENTS // max(R * d, 1))
        if m > together:
            parts = [
                self.scores(coefs[i : i + together], intercepts[i : i + together])
                for i in range(0, m, together)
            ]
            mean, errors, chi2 = (np.concatenate(part) for part in zip(*parts, strict=True))
            return mean, errors, chi2
        flat = coefs.reshape(m * R, d).astype(np.float64, copy=False)
        Z = self._X @ flat.T if sparse.issparse(self._X) else flat @ self._X.T
        Z = Z.T if sparse.issparse(self._X) else Z
        Z = np.asarray(Z, dtype=np.float64).reshape(m, R, -1) + intercepts[..., None]
        if self._offset is not None:
            Z += self._offset.T
        values = log_softmax(Z, 1)[:, self._code, self._row]
        mean = values @ self._shares
        # Folds have nearly equal shares of each class, whose means do not differ between folds.
        about_class = values - (values @ self._in_class)[:, self._code]
        variance = np.square(about_class) @ self._shares
        # For an observation of a class with the probability p, Σ_k (t_k - p_k)²/p_k is 1/p - 1.
        with np.errstate(over="ignore"):
            chi2 = np.expm1(-values) @ self._shares
        return mean, np.sqrt(variance / self._size), chi2


class ScoreAccuracy:
    """Chooses which fits of a path are made and how accurately, and scores the path.

    Parameters
    ----------
    held_out : callable
        Returns the `HeldOutRows`; called after the first fits, when the columns of X are known.
    cv_tol : float
        The largest error of a score, as a share of its standard error.
    tol : float
        The distance to the optimum, in standard errors, at which a fit counts as exact.

    Attributes
    ----------
    distance : float
        For the next fit, the distance to the optimum, in standard errors, at which its last Newton
        step may start. The end of this step is the result of the fit.
    starts_at_path : bool
        Whether the next fit starts at the coefficients that the path has at its C.
    scores, errors : dict of int to float
        Mean log-likelihoods of the held-out rows by the positions of their Cs, and estimated bounds
        on their changes up to the optimum; 0 for fits whose distance is at most `tol`.
    """

    def __init__(self, held_out: Callable[[], HeldOutRows], cv_tol: float, tol: float) -> None:
        self._make, self._cv_tol, self._tol = held_out, cv_tol, tol
        self._is_smooth = False
        self._held_out: HeldOutRows | None = None
        self._nodes: PathNodes | None = None
        self._open: list[tuple[int, Array, Array, float, float]] = []
        self._limits: dict[int, float] = {}
        self.distance, self.starts_at_path = 0.0, False
        self.scores: dict[int, float] = {}
        self.errors: dict[int, float] = {}

    def positions(self, path: MaxentPath, *, is_smooth: bool) -> Iterator[int]:
        """Yield the positions of the Cs to fit; `add` is to be called after each.

        The Cs ascend, until coefficients at the largest C are known. Cs between two others follow
        if interpolated scores may have too large errors there. The path then has interpolated
        coefficients at which the fit should start, and `starts_at_path` says so.

        `is_smooth` says whether coefficients are smooth functions of C; otherwise all Cs are
        fitted.
        """
        self._is_smooth = is_smooth
        nodes = self._nodes = PathNodes(path.Cs)
        while nodes.add_next():
            yield nodes.positions[-1]
        self._score_open_fits()
        self.starts_at_path = True
        while middles := nodes.middles(self._known(self.scores), self._known(self._limits)):
            for i in middles:
                self._interpolate(path, i)
                yield i
            self._score_open_fits()
            nodes.add(middles)

    def add(self, index: int, coef: Array, intercept: Array, solution: Solution) -> None:
        """Remember the fit at the C at position `index`, which is scored together with later fits.

        `solution` is a result of `PredictedPath.near`. Each CS_TOGETHER fits are scored, and
        `fill_in` scores the rest.
        """
        size = solution.point.objective.blocks.effective_size
        # Fits that were continued up to `tol` have a duality gap. The gap of the others is NaN.
        is_exact = not np.isnan(solution.gap) or solution.distance <= self._tol
        distance = 0.0 if is_exact else solution.distance
        self._open.append((index, coef, intercept, distance, size))
        if len(self._open) >= CS_TOGETHER:
            self._score_open_fits()

    def fill_in(self, path: MaxentPath) -> None:
        """Interpolate and score the coefficients at the Cs without a fit."""
        assert self._nodes is not None
        found = self._nodes.errors(self._known(self.scores))
        for i, error in found.items():
            nodes = self._interpolate(path, i)
            path.optimality_gaps[i] = np.nan
            self.errors[i] = error + max(self.errors[j] for j in nodes)
        others = list(found)
        for first in range(0, len(others), CS_TOGETHER):
            some = others[first : first + CS_TOGETHER]
            assert self._held_out is not None
            mean, _, _ = self._held_out.scores(path.coefs[some], path.intercepts[some])
            self.scores |= dict(zip(some, mean.tolist(), strict=True))

    def _interpolate(self, path: MaxentPath, position: int) -> list[int]:
        """Write interpolated coefficients to a path, and return the positions of their nodes."""
        assert self._nodes is not None
        nodes, factors = self._nodes.polynomial(position)
        out = path.coefs[position]
        np.multiply(path.coefs[nodes[0]], factors[0], out=out)
        for node, factor in zip(nodes[1:], factors[1:], strict=True):
            out += factor * path.coefs[node]
        path.intercepts[position] = factors @ path.intercepts[nodes]
        return nodes

    def _known(self, values: dict[int, float]) -> Array:
        """Return the values at the nodes, (n_nodes,)."""
        assert self._nodes is not None
        return np.array([values[i] for i in self._nodes.positions])

    def _score_open_fits(self) -> None:
        """Score the fits that have no scores yet, and choose distance and place of the next fits.

        With these, errors of scores are about AIM · `cv_tol` times the standard error of the last.
        """
        if not self._open:
            return
        if self._held_out is None:
            self._held_out = self._make()
        index, coefs, intercepts, distances, sizes = zip(*self._open, strict=True)
        self._open = []
        mean, std_errs, chi2 = self._held_out.scores(np.array(coefs), np.array(intercepts))
        root = LEFT_BY_STEP * np.sqrt(np.divide(chi2, sizes))
        with np.errstate(invalid="ignore"):
            errors = np.where(np.array(distances) > 0.0, root * distances, 0.0)
        self.scores |= dict(zip(index, mean.tolist(), strict=True))
        self.errors |= dict(zip(index, errors.tolist(), strict=True))
        limits = (AIM * self._cv_tol * std_errs).tolist()
        self._limits |= dict(zip(index, limits, strict=True))
        distance = limits[-1] / max(root[-1], 1e-300)
        self.distance = float(np.clip(np.nan_to_num(distance), 0.0, LARGEST_DISTANCE))
        if self._is_smooth and self._nodes is not None:
            self._nodes.choose_step(self._known(self.scores), limits[-1])
