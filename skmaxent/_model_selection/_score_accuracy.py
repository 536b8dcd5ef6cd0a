"""Which fits of a fold are made, and how near to their optimum, for accurate held-out scores.

A row has the probabilities p and the targets t. A change δ of its logits changes its log-likelihood
by (t - p)·δ, to first order. By Cauchy and Schwarz, the mean over held-out rows changes by at most
√(χ² · mean δᵀΛδ), where Λ = diag(p) - p pᵀ, and χ² is the mean of the Pearson statistics
(t - p)ᵀ Λ⁺ (t - p) = Σ_k (t_k - p_k)²/p_k.

The mean of δᵀΛδ over the n rows of the fit stands in for that over the held-out rows. It is at most
D²/n, where D = √(n Δᵀ H Δ) is the distance to the optimum in standard errors: Δ is the step to the
optimum, and H the Hessian of the mean loss plus the penalty.

Where few held-out rows have tiny probabilities, this bound on the change is far above the mean of
the absolute changes by the last Newton step. But that mean does not show what the step leaves out,
which in weakly determined directions may be more than the step. Errors are estimated by the
geometric mean of both. On four data sets with a lasso and `cv_tol=0.05`, mean scores were at most
0.031 standard errors from those of exact fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from skmaxent._input._observations import Observations
from skmaxent._input._validation import divided_by_largest
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
AIM = 0.5


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
            shares = shares * divided_by_largest(weights)[self._row]
        self._shares = shares / shares.sum()
        # The share of each observation in its class, (n_observed, n_classes).
        of_class = self._shares[:, None] * (self._code[:, None] == np.arange(self._code.max() + 1))
        self._in_class = of_class / np.maximum(of_class.sum(axis=0), 1e-300)
        # The effective number of observations in all folds, for weights that are not equal.
        self._size = n_folds / float(np.square(self._shares).sum())

    def log_likelihoods(self, coefs: Array, intercepts: Array) -> Array:
        """Return the log-likelihoods of the observations, (n_models, n_observed).

        Coefficients have the shape (n_models, n_logits, n_features), and intercepts
        (n_models, n_logits).
        """
        m, R, d = coefs.shape
        together = max(1, MOST_COEFFICIENTS // max(R * d, 1))
        if m > together:
            parts = [
                self.log_likelihoods(coefs[i : i + together], intercepts[i : i + together])
                for i in range(0, m, together)
            ]
            return np.concatenate(parts)
        flat = coefs.reshape(m * R, d).astype(np.float64, copy=False)
        Z = self._X @ flat.T if sparse.issparse(self._X) else flat @ self._X.T
        Z = Z.T if sparse.issparse(self._X) else Z
        Z = np.asarray(Z, dtype=np.float64).reshape(m, R, -1) + intercepts[..., None]
        if self._offset is not None:
            Z += self._offset.T
        return np.asarray(log_softmax(Z, 1)[:, self._code, self._row])

    def mean(self, values: Array) -> Array:
        """Return the means of values of the observations (n_models, n_observed), (n_models,)."""
        return np.asarray(values @ self._shares)

    def standard_errors(self, values: Array) -> Array:
        """Return the standard errors of mean log-likelihoods, (n_models,).

        They are those of the mean over the held-out rows of all folds, whose log-likelihoods are
        assumed to vary within classes as those of this fold. `values` are those of
        `log_likelihoods`.
        """
        # Folds have nearly equal shares of each class, whose means do not differ between folds.
        about_class = values - (values @ self._in_class)[:, self._code]
        return np.asarray(np.sqrt(self.mean(np.square(about_class)) / self._size))

    def mean_pearson(self, values: Array) -> Array:
        """Return χ², the mean Pearson statistics, (n_models,).

        `values` are those of `log_likelihoods`.
        """
        # For an observation of a class with the probability p, Σ_k (t_k - p_k)²/p_k is 1/p - 1.
        with np.errstate(over="ignore"):
            return self.mean(np.expm1(-values))


@dataclass(frozen=True)
class _Fit:
    """A fit that is to be scored.

    Attributes
    ----------
    index : int
        The position of its C.
    end, start : tuple of ndarray
        Coefficients (n_logits, n_features) and intercepts (n_logits,) where its last Newton step
        ends and starts.
    distance : float
        The distance from the start of this step to the optimum, in standard errors.
    is_exact : bool
        Whether the fit was made up to `tol`.
    size : float
        The effective number of rows.
    """

    index: int
    end: tuple[Array, Array]
    start: tuple[Array, Array]
    distance: float
    is_exact: bool
    size: float


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
    interpolates_scores : bool, default=False
        Whether Cs may be left out on a path with an L1 penalty as well. Only scores are then
        interpolated accurately; coefficients lie on lines between two fits.

    Attributes
    ----------
    distance : float
        For the next fit, the distance to the optimum, in standard errors, at which its last Newton
        step may start. The end of this step is the result of the fit.
    starts_at_path : bool
        Whether the next fit starts at the coefficients that the path has at its C.
    scores, errors : dict of int to float
        Mean log-likelihoods of the held-out rows by the positions of their Cs, and estimates
        of their changes up to the optimum; 0 for fits whose distance is at most `tol`.
    """

    def __init__(
        self,
        held_out: Callable[[], HeldOutRows],
        cv_tol: float,
        tol: float,
        *,
        interpolates_scores: bool = False,
    ) -> None:
        self._make, self._cv_tol, self._tol = held_out, cv_tol, tol
        self._interpolates_scores = interpolates_scores
        self._is_smooth = False
        self._held_out: HeldOutRows | None = None
        self._nodes: PathNodes | None = None
        self._open: list[_Fit] = []
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
        fitted, unless scores may be interpolated.
        """
        self._is_smooth = is_smooth
        nodes = self._nodes = PathNodes(path.Cs, is_smooth=is_smooth)
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

    def add(
        self,
        index: int,
        end: tuple[Array, Array],
        start: tuple[Array, Array],
        solution: Solution,
    ) -> None:
        """Remember the fit at the C at position `index`, which is scored together with later fits.

        `solution` is a result of `PredictedPath.near`, and `end` and `start` are the coefficients
        and intercepts where its last Newton step ends and starts. Each CS_TOGETHER fits are scored,
        and `fill_in` scores the rest.
        """
        size = solution.point.objective.blocks.effective_size
        # Fits that were continued up to `tol` have a duality gap. The gap of the others is NaN.
        is_exact = not np.isnan(solution.gap) or solution.distance <= self._tol
        self._open.append(_Fit(index, end, start, solution.distance, is_exact, size))
        if len(self._open) >= CS_TOGETHER:
            self._score_open_fits()

    def fill_in(self, path: MaxentPath) -> None:
        """Interpolate coefficients and scores at the Cs without a fit.

        Where coefficients are smooth functions of C, the scores are those of the coefficients.
        """
        assert self._nodes is not None
        found = self._nodes.errors(self._known(self.scores))
        for i in found:
            self._interpolate(path, i)
            path.optimality_gaps[i] = np.nan
            nodes, factors = self._nodes.polynomial(i)
            found[i] += max(self.errors[j] for j in nodes)
            if not self._is_smooth:
                self.scores[i] = float(factors @ [self.scores[j] for j in nodes])
        self.errors |= found
        others = list(found) if self._is_smooth else []
        for first in range(0, len(others), CS_TOGETHER):
            some = others[first : first + CS_TOGETHER]
            assert self._held_out is not None
            values = self._held_out.log_likelihoods(path.coefs[some], path.intercepts[some])
            self.scores |= dict(zip(some, self._held_out.mean(values).tolist(), strict=True))

    def _interpolate(self, path: MaxentPath, position: int) -> None:
        """Write interpolated coefficients to a path.

        Zeros of a path with an L1 penalty stay where both neighbours have them.
        """
        assert self._nodes is not None
        along = self._nodes.polynomial if self._is_smooth else self._nodes.line
        nodes, factors = along(position)
        out = path.coefs[position]
        np.multiply(path.coefs[nodes[0]], factors[0], out=out)
        for node, factor in zip(nodes[1:], factors[1:], strict=True):
            out += factor * path.coefs[node]
        path.intercepts[position] = factors @ path.intercepts[nodes]

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
        fits, self._open = self._open, []
        held_out = self._held_out
        ends = [fit.end for fit in fits]
        both = [*ends, *(fit.start for fit in fits)]
        coefs, intercepts = (np.array(part) for part in zip(*both, strict=True))
        values, before = np.split(held_out.log_likelihoods(coefs, intercepts), 2)
        std_errs = held_out.standard_errors(values)
        changes = held_out.mean(np.abs(values - before))
        distances = np.array([fit.distance for fit in fits])
        bounds = np.sqrt(held_out.mean_pearson(values) / np.array([fit.size for fit in fits]))
        with np.errstate(invalid="ignore"):
            bounds = np.where(distances > 0.0, bounds * distances, 0.0)
        errors = LEFT_BY_STEP * np.sqrt(np.fmin(changes, bounds) * bounds)
        rates = np.divide(errors, distances, out=np.zeros(len(errors)), where=distances > 0.0)
        errors[[fit.is_exact for fit in fits]] = 0.0
        index = [fit.index for fit in fits]
        self.scores |= dict(zip(index, held_out.mean(values).tolist(), strict=True))
        self.errors |= dict(zip(index, errors.tolist(), strict=True))
        limits = (AIM * self._cv_tol * std_errs).tolist()
        self._limits |= dict(zip(index, limits, strict=True))
        distance = limits[-1] / max(float(rates.max()), 1e-300)
        self.distance = float(np.clip(np.nan_to_num(distance), 0.0, LARGEST_DISTANCE))
        may_leave_out = self._is_smooth or self._interpolates_scores
        if may_leave_out and self._nodes is not None:
            self._nodes.choose_step(self._known(self.scores), limits[-1])
