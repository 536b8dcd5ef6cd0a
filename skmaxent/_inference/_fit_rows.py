"""The rows of a fit, for tests that need them again."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from skmaxent._inference import _covariance
from skmaxent._inference._bias_reduction import penalised
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._goodness_of_fit import Outcomes, patterns_of
from skmaxent._inference._held_minimum import Held, Likelihoods, least
from skmaxent._inference._profile import profile_interval
from skmaxent._inference._pseudo_r2 import discrimination
from skmaxent._inference._reference import Reference
from skmaxent._inference._row_sums import SAME_ROWS
from skmaxent._leverage import _reference_coding
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._objective._kernel_context import KernelContext
from skmaxent._solvers import (
    Options,
    Problem,
    Status,
    minimise,
)
from skmaxent._storage._device_array import on_host
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# Coefficients up to which a likelihood is maximised again for tests, by its whole information.
FEW_COEFFICIENTS = 1000


class FitRows:
    """The rows of a fit, for tests that need them again.

    Parameters
    ----------
    training : TrainingProblem
        The problem that the rows pose, over all columns of the model.
    estimate : Estimate
        The fit.
    reference : Reference
        What reported coefficients are compared with.

    Attributes
    ----------
    observations : ndarray of shape (n_samples,) or None
        Weights of the rows; None for rows in chunks.
    clusters : ndarray of int of shape (n_samples,) or None
        The cluster of each row, where these are known and clustered in one way.
    """

    def __init__(self, training: TrainingProblem, estimate: Estimate, reference: Reference) -> None:
        self._training, self._reference = training, reference
        self._coef, self._intercept = estimate.coef.astype(float), estimate.intercept
        self._estimate = estimate
        self._is_bias_reduced = estimate.is_bias_reduced
        self._total = training.total_weight
        self.observations: Array | None = training.data.observations
        self.clusters: Array | None = None

    @classmethod
    def read(
        cls,
        estimate: Estimate,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        offset: ArrayLike | None,
        reference: Reference,
    ) -> FitRows:
        """The rows of the fit, given again as they were given to `infer`."""
        with estimate.problem(X, y, sample_weight, offset) as training:
            return cls(training, estimate, reference)

    def with_observations(self, observations: Array | None) -> FitRows:
        """The same rows, with the weights of the rows that the user knows as those of the fit."""
        rows = copy.copy(self)
        rows.observations = observations
        return rows

    def with_clusters(self, codes: Array | None) -> FitRows:
        """Return the same rows with their clusters, (n_samples, n_ways)."""
        rows = copy.copy(self)
        rows.clusters = None if codes is None or codes.shape[1] > 1 else codes[:, 0]
        return rows

    def with_reference(self, reference: Reference) -> FitRows:
        """The same rows, for coefficients that are compared with another class."""
        rows = copy.copy(self)
        rows._reference = reference
        return rows

    @property
    def total_weight(self) -> float:
        """The sum of the weights of all observations."""
        return self._total

    @property
    def discrimination(self) -> Array:
        """Tjur's coefficient of discrimination of each class, (n_classes,)."""
        return discrimination(self._training.loss_at(self._coef, self._intercept))

    @property
    def fitted(self) -> FittedRows:
        """The fit and its rows, for leverages."""
        estimate = self._estimate
        correction = estimate.model.intercept - estimate.intercept
        return FittedRows(
            self._training, estimate.settings, self._coef, self._intercept, correction
        )

    @property
    def log_likelihood(self) -> float:
        """Of the coefficients at these rows."""
        return -self._total * self._training.loss_at(self._coef, self._intercept).loss

    def profile(self, row: int, column: int, quantile: float) -> tuple[float, float]:
        """Return the interval of the reported coefficient in a row and column of the model."""
        best = self._best
        of_columns = _covariance.column_map(self._training.problem.objective)[column]
        a = np.kron(self._reference.contrasts[row], of_columns)
        return profile_interval(self._likelihoods, best, a, quantile)

    @property
    def _likelihoods(self) -> Likelihoods:
        """The likelihoods of the fit with some coefficients held."""
        return Likelihoods(self._total, self._is_bias_reduced)

    @cached_property
    def _best(self) -> Held:
        """The maximum of the likelihood, or for separated classes its limit."""
        objective = self._training.problem.without_penalty(np.zeros(1, bool)).objective
        theta = objective.from_coefficients(self._coef, self._intercept)
        if objective.blocks.dtype == np.float32 and type(objective.blocks) is RowBlocks:
            objective = objective.standardised(dtype=np.float64)
        return least(self._likelihoods, objective.at(theta))

    @property
    def penalised_distance(self) -> float:
        """Standard errors between the coefficients and the maximum with bias reduction."""
        point = self._training.loss_at(self._coef, self._intercept)
        _, V, score = penalised(point, self._total, self.width)
        return float(np.sqrt(max(float(score @ V @ score), 0.0)))

    @property
    def width(self) -> int:
        """Coefficients of a logit, the intercept included."""
        objective = self._training.problem.objective
        return objective.blocks.n_features + objective.fit_intercept

    @property
    def _has_few(self) -> bool:
        """Whether there are so few coefficients that their Hessian can be assembled."""
        r = max(1, len(self._coef) - 1)
        return r * self.width <= FEW_COEFFICIENTS

    @property
    def maximum(self) -> float:
        """The largest log-likelihood, or for separated classes its limit.

        With bias reduction, the log-likelihood where the penalised likelihood is largest. That at
        the coefficients where these are too many to be found again.
        """
        if not self._has_few:
            return self.log_likelihood
        best = self._best
        return -self._total * best.point.loss if self._is_bias_reduced else -best.value

    def ratio(self, positions: list[int]) -> tuple[float, int]:
        """The likelihood ratio against the model without the features at these positions.

        Returns the statistic and its degrees of freedom. With bias reduction both likelihoods are
        penalised by the prior of the whole model, so that the models are nested (Heinze & Schemper
        2002, Stat. Med. 21, 2409-2419).
        """
        r, d = max(1, len(self._coef) - 1), self._training.blocks.n_features
        held = np.isin(np.arange(d), positions)
        df = r * int(held.sum())
        few = self._is_bias_reduced or self._has_few
        A = np.kron(np.eye(r), np.eye(self.width)[:d][held]) if few else np.empty(0)
        if self._is_bias_reduced:
            return self._fall(least(self._likelihoods, self._best.point, A).value), df
        problem = self._training.problem.without_penalty(held[None])
        solution = minimise(problem, Options(tol=1e-6))
        smaller = self._total * solution.point.loss
        if not few:
            return 2.0 * (smaller + self.log_likelihood), df
        if solution.status is not Status.CONVERGED:
            smaller = min(smaller, least(self._likelihoods, solution.point, A).value)
        return self._fall(smaller), df

    def ratio_of(self, A: Array, values: Array | float = 0.0) -> tuple[float, int]:
        """The likelihood ratio against the model in which A b = values.

        Parameters
        ----------
        A : ndarray of shape (n_restrictions, n_coefficients)
            For the coefficients b of the columns as they are, against the last class, of all
            columns of the model.
        values : float or ndarray of shape (n_restrictions,), default=0.0

        Returns the statistic and its degrees of freedom. With bias reduction both likelihoods are
        penalised by the prior of the whole model.
        """
        if not self._has_few:
            raise ValueError(
                f"likelihood-ratio tests of linear hypotheses are for models with up to "
                f"{FEW_COEFFICIENTS} coefficients: use test='wald'."
            )
        r = max(1, len(self._coef) - 1)
        to_columns = _covariance.column_map(self._training.problem.objective)
        A = A @ np.kron(np.eye(r), to_columns)
        return self._fall(least(self._likelihoods, self._best.point, A, values).value), len(A)

    def cluster_influences(self, A: Array, values: Array | float = 0.0) -> Array:
        """Return effects of the scores of clusters on A b, at the maximum with A b = values.

        The arguments are those of `ratio_of`. The result, (n_groups, n_restrictions), is A times
        the inverse information times the sums of scores, both of the mean loss, without clusters
        whose rows have weight zero.
        """
        if self.clusters is None:
            raise ValueError(
                "the wild bootstrap needs clusters in one way, which results of infer with groups "
                "have (results of with_data do not): call infer with groups."
            )
        if not self._has_few:
            raise ValueError(
                f"the wild bootstrap is for models with up to {FEW_COEFFICIENTS} coefficients."
            )
        r = max(1, len(self._coef) - 1)
        A = A @ np.kron(np.eye(r), _covariance.column_map(self._training.problem.objective))
        point = least(self._likelihoods, self._best.point, A, values).point
        count = int(self.clusters.max()) + 1
        scores = _covariance.group_scores(point, self.clusters, count)
        scores = scores[scores.any(axis=1)] / self._total
        V = _covariance.inverse(_reference_coding.information(point), self.width)
        return np.asarray(scores @ V @ A.T)

    def against_null(self, constant: Array | None) -> float:
        """The ratio of penalised likelihoods against the null model.

        `constant` is the combination of the columns that stands for the intercept, if any.
        """
        objective = self._training.problem.objective
        r, d = max(1, len(self._coef) - 1), objective.blocks.n_features
        of_class = np.asarray(np.eye(d, d + objective.fit_intercept))
        if constant is not None:
            # The restrictions leave the constant combination free, as an intercept would be.
            of_class = _covariance.complement(constant * objective.scale)
        A = np.kron(np.eye(r), of_class)
        return self._fall(least(self._likelihoods, self._best.point, A).value)

    def _fall(self, value: float) -> float:
        """Twice the fall of the log-likelihood from its maximum."""
        return max(2.0 * (value - self._best.value), 0.0)

    @property
    def fit_intercept(self) -> bool:
        """Whether the model has intercepts."""
        return bool(self._training.problem.objective.fit_intercept)

    def _in_memory(self, what: str) -> RowBlocks:
        """The rows, which must be in memory for `what`, the plural name of some statistics."""
        rows = self._training.blocks
        if not isinstance(rows, RowBlocks):
            raise TypeError(
                f"{what} need a fit to rows in memory; found a fit to Dask collections."
            )
        return rows

    def choices(self, what: str) -> tuple[Any, Array, Array, Array | None]:
        """The rows of a fit to three or more classes, for other fits to some of them.

        `what`, the plural name of the statistics that need them, is for the error for other storage
        than memory.

        Returns
        -------
        X : ndarray or CSR array of shape (n_samples, n_features)
        shares : ndarray of shape (n_samples, n_classes)
            Of the observations of a row, those of each class.
        weights : ndarray of shape (n_samples,)
            Observations of each row, weights included.
        offset : ndarray of shape (n_samples, n_classes) or None
        """
        rows, likelihood = self._in_memory(what).whole(), self._training.data.likelihood
        weights = rows.weights_or_ones().astype(float) * self._training.data.scale
        return rows.X, likelihood.dense_targets(rows.targets).T, weights, rows.offset

    def outcomes(self, what: str) -> Outcomes:
        """Return the probabilities of the fit and the classes of its rows, in memory.

        `what` is for the error for other storage, as in `choices`.
        """
        rows, K = self._in_memory(what), len(self._training.classes)
        P, T = np.empty((2, rows.n_samples, K))
        self._training.loss_at(self._coef, self._intercept).map_reduce(_fill_outcomes, P, T)
        counts = np.ones(rows.n_samples)
        if self.observations is not None:
            counts = np.asarray(self.observations, float)
        return Outcomes(P, T, counts)

    def patterns(self, what: str) -> Array:
        """Return a code for each different row of features and offsets, (n_samples,)."""
        rows = self._in_memory(what)
        return patterns_of(*map(on_host, (rows.X, rows.offset)))

    def score(self, columns: Array) -> tuple[float, int]:
        """Return Rao's statistic for features outside the model, and its degrees of freedom.

        The gradient at their coefficients of zero in the norm of the whole model's information.
        """
        rows, q = self._in_memory("score tests"), columns.shape[1]
        if len(columns) != rows.n_samples:
            raise ValueError(
                f"X has {len(columns)} rows, expected the {rows.n_samples} of the fit."
            )
        X = on_host(rows.X)
        stack = sp.hstack if sp.issparse(X) else np.hstack
        # Features outside the model are columns with coefficients of zero, so that the gradient and
        # the information of the larger model are those of a fit.
        whole = stack([X, columns.astype(X.dtype)])
        blocks = RowBlocks(
            sp.csr_array(whole) if sp.issparse(X) else whole,
            *map(on_host, (rows.targets, rows.weights, rows.offset)),
            n_logits=rows.n_logits,
        )
        fit_intercept = self.fit_intercept
        model = self._training.data.likelihood
        objective = Problem.of(blocks, model, fit_intercept=fit_intercept).objective
        coef = np.hstack([self._coef, np.zeros((len(self._coef), q))])
        # Columns far from zero would make the information nearly singular.
        point, H = _covariance.centred_information(
            objective.at(objective.from_coefficients(coef, self._intercept))
        )
        width = blocks.n_features + fit_intercept
        try:
            V = _covariance.inverse(H, width) / self._total
        except _covariance.SingularInformation as error:
            raise ValueError(
                "the features in X are constant, or combinations of those of the model; remove "
                "them."
            ) from error
        r = max(1, len(point.theta) - 1)
        gradient = point.gradient[:r] if fit_intercept else point.gradient[:r, :-1]
        score = gradient.ravel() * self._total
        return float(score @ V @ score), r * q


def _fill_outcomes(context: KernelContext, P: Array, T: Array) -> tuple[Array]:
    """Write the probabilities and shares of the classes of a block's rows to P and T."""
    model, at = context.likelihood, slice(context.block.start, context.block.stop)
    P[at] = np.asarray(on_host(model.outcomes(context.probabilities)), float).T
    T[at] = np.asarray(on_host(model.outcomes(model.dense_targets(context.block.targets)))).T
    return (np.zeros(()),)


@dataclass(frozen=True)
class HeldRows:
    """The rows of a fit if they are known, and the log-likelihood that tells them from others.

    Attributes
    ----------
    rows : FitRows or None
        None where results were loaded from a file.
    log_likelihood : float
        Of the coefficients at the rows of the fit.
    """

    rows: FitRows | None
    log_likelihood: float

    def is_of_fit(self, log_likelihood: float) -> bool:
        """Whether rows with this log-likelihood are those of the fit, up to rounding."""
        expected = self.log_likelihood
        return bool(abs(log_likelihood - expected) <= SAME_ROWS * max(abs(expected), 1.0))

    def get(self, what: str) -> FitRows:
        """The rows; raises ValueError where they are unknown or were changed after `infer`.

        `what` is the plural name of the statistics that need them, for the message.
        """
        if self.rows is None:
            raise ValueError(
                f"{what} need the rows of the fit, which a pickle of results does not hold: call "
                "results.with_data(X, y, sample_weight, offset) with what was given to infer, and "
                "use the results that it returns."
            )
        found = self.rows.log_likelihood
        if not self.is_of_fit(found):
            raise ValueError(
                f"{what} need the rows of the fit, but the arrays that were given to infer have "
                f"been changed since: their log-likelihood is {found:.10g}, expected "
                f"{self.log_likelihood:.10g}. Call infer again with what was fitted."
            )
        return self.rows
