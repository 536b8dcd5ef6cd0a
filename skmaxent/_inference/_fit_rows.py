"""FitRows: the rows of a fit, for tests that evaluate or maximise the likelihood again.

Conventions: r is the number of free logits, those of all classes but the last against the last, or
1 for two classes. `width` is the number of coefficients of a logit, the intercept included. The
free coefficients are those of the free logits for the columns of X, as one vector of length
n_coefficients = r * width, logit by logit.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from skmaxent._cached import cached_property
from skmaxent._inference import _covariance
from skmaxent._inference._bias_reduction import penalised_likelihood
from skmaxent._inference._constrained_minimum import (
    ConstrainedMinimum,
    NegativeLogLikelihood,
    constrained_minimum,
)
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._goodness_of_fit import Outcomes, patterns_of
from skmaxent._inference._inverse_information import InverseInformation
from skmaxent._inference._orthogonal_columns import at_orthogonal_columns
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

# Largest number of coefficients for which tests maximise the likelihood again, because this needs
# the whole information matrix.
FEW_COEFFICIENTS = 1000


class FitRows:
    """The rows of a fit, with its coefficients.

    Parameters
    ----------
    training : TrainingProblem
        The training problem of the rows, with all columns of the model.
    estimate : Estimate
        The fitted coefficients.
    reference : Reference
        The class, or the mean of all classes, that reported coefficients are compared with.

    Attributes
    ----------
    observations : ndarray of shape (n_samples,) or None
        Number of observations of each row times its sample weight; None for ones, and for Dask
        chunks.
    clusters : ndarray of int of shape (n_samples,) or None
        The cluster of each row; None without clusters, and for clusters in two ways.
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
        """Return the rows of a fit from the data that were given to `infer`."""
        with estimate.problem(X, y, sample_weight, offset) as training:
            return cls(training, estimate, reference)

    def with_observations(self, observations: Array | None) -> FitRows:
        """Return a copy with other `observations`."""
        rows = copy.copy(self)
        rows.observations = observations
        return rows

    def with_clusters(self, codes: Array | None) -> FitRows:
        """Return a copy with clusters; `codes`, (n_samples, n_ways), has those of each row."""
        rows = copy.copy(self)
        rows.clusters = None if codes is None or codes.shape[1] > 1 else codes[:, 0]
        return rows

    def with_reference(self, reference: Reference) -> FitRows:
        """Return a copy for coefficients that are compared with another class."""
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
        """The rows and the fit, as an object that computes leverages."""
        estimate = self._estimate
        correction = estimate.model.intercept - estimate.intercept
        return FittedRows(
            self._training,
            estimate.settings,
            self._coef,
            self._intercept,
            correction,
            estimate.gap,
        )

    @property
    def log_likelihood(self) -> float:
        """The log-likelihood of the fitted coefficients."""
        return -self._total * self._training.loss_at(self._coef, self._intercept).loss

    def profile(self, row: int, column: int, quantile: float) -> tuple[float, float]:
        """Return the two limits of the profile likelihood interval of a reported coefficient.

        Parameters
        ----------
        row : int
            The position of the coefficient's class among the reported classes.
        column : int
            The position of the coefficient's column among the columns of the model.
        quantile : float
            A quantile of the standard normal distribution, such as 1.96.
        """
        a = np.kron(self._reference.contrasts[row], self._column_map[column])
        return profile_interval(self._likelihood, self._best, a, quantile)

    @property
    def _column_map(self) -> Array:
        """The matrix from coefficients of standardised columns to those of X, (width, width)."""
        return _covariance.column_map(self._training.problem.objective)

    @property
    def _likelihood(self) -> NegativeLogLikelihood:
        """The function that the fit minimises: -log L, with Jeffreys' prior if it has one."""
        return NegativeLogLikelihood(self._total, self._is_bias_reduced)

    @cached_property
    def _best(self) -> ConstrainedMinimum:
        """The minimum of `_likelihood` without constraints, found to all digits of float64."""
        objective = self._training.problem.without_penalty(np.zeros(1, bool)).objective
        theta = objective.from_coefficients(self._coef, self._intercept)
        # Statistics are differences of two minima, for which float32 has too few digits.
        if objective.blocks.dtype == np.float32 and type(objective.blocks) is RowBlocks:
            objective = objective.standardised(dtype=np.float64)
        return constrained_minimum(self._likelihood, objective.at(theta))

    def _constrained(self, A: Array, values: Array | float = 0.0) -> ConstrainedMinimum:
        """Return the minimum of `_likelihood` under A θ = values, for standardised columns."""
        return constrained_minimum(self._likelihood, self._best.point, A, values)

    @property
    def penalised_distance(self) -> float:
        """Distance, in standard errors, of the coefficients of a bias-reduced fit to its optimum.

        It is the length of a step of Fisher scoring.
        """
        point = at_orthogonal_columns(self._training.loss_at(self._coef, self._intercept))
        _, V, score = penalised_likelihood(point, self._total, self.width)
        return float(np.sqrt(max(float(score @ V @ score), 0.0)))

    @property
    def width(self) -> int:
        """Number of coefficients of a logit, the intercept included."""
        objective = self._training.problem.objective
        return objective.blocks.n_features + objective.fit_intercept

    @property
    def _n_free(self) -> int:
        """r, the number of free logits."""
        return max(1, len(self._coef) - 1)

    @property
    def _has_few(self) -> bool:
        """Whether there are so few coefficients that their Hessian can be assembled."""
        return self._n_free * self.width <= FEW_COEFFICIENTS

    @property
    def maximum(self) -> float:
        """The largest log-likelihood, or its supremum if the classes are separated.

        With bias reduction, it is the log-likelihood where the penalised likelihood is largest. If
        there are more than `FEW_COEFFICIENTS` coefficients, the likelihood is not maximised again:
        the result is that of the fitted coefficients.
        """
        if not self._has_few:
            return self.log_likelihood
        best = self._best
        return -self._total * best.point.loss if self._is_bias_reduced else -best.value

    def ratio_without(self, positions: list[int]) -> tuple[float, int]:
        """Return the likelihood-ratio statistic against the model without some features.

        `positions` are those of the features among the columns of the model. The second result is
        the degrees of freedom. With bias reduction both likelihoods are penalised by the prior of
        the larger model, so that the models are nested (Heinze & Schemper 2002, Stat. Med. 21,
        2409-2419).
        """
        r, d = self._n_free, self._training.blocks.n_features
        held = np.isin(np.arange(d), positions)
        df = r * int(held.sum())
        few = self._is_bias_reduced or self._has_few
        A = np.kron(np.eye(r), np.eye(self.width)[:d][held]) if few else np.empty(0)
        if self._is_bias_reduced:
            return self._ratio(self._constrained(A).value), df
        problem = self._training.problem.without_penalty(held[None])
        solution = minimise(problem, Options(tol=1e-6))
        value = self._total * solution.point.loss
        if not few:
            return 2.0 * (value + self.log_likelihood), df
        if solution.status is not Status.CONVERGED:
            # If the classes are separated, a general solver ends above the infimum.
            value = min(value, constrained_minimum(self._likelihood, solution.point, A).value)
        return self._ratio(value), df

    def ratio_under(self, A: Array, values: Array | float = 0.0) -> tuple[float, int]:
        """Return the likelihood-ratio statistic against the model in which A b = values.

        A, (n_restrictions, n_coefficients), has the weights of the free coefficients b. The second
        result is the degrees of freedom. With bias reduction both likelihoods are penalised by the
        prior of the larger model.
        """
        if not self._has_few:
            raise ValueError(
                f"likelihood-ratio tests of linear hypotheses are for models with up to "
                f"{FEW_COEFFICIENTS} coefficients: use test='wald'."
            )
        return self._ratio(self._constrained(self._for_standardised(A), values).value), len(A)

    def _for_standardised(self, A: Array) -> Array:
        """Return the restrictions A, (n_restrictions, n_coefficients), for standardised columns."""
        return np.asarray(A @ np.kron(np.eye(self._n_free), self._column_map))

    def cluster_influences(self, A: Array, values: Array | float = 0.0) -> Array:
        """Return how much each cluster moves the estimate of A b, to first order.

        The arguments are those of `ratio_under`. The result, (n_clusters, n_restrictions), is A
        times the inverse information times the sum of the scores of a cluster. Scores and
        information are those of the mean loss where the likelihood is largest under A b = values.
        Clusters with scores of zero, such as those without weight, are left out.
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
        A = self._for_standardised(A)
        point = self._constrained(A, values).point
        n_groups = int(self.clusters.max()) + 1
        found = InverseInformation.at(point, _reference_coding.information(point))
        scores = _covariance.group_scores(found.point, self.clusters, n_groups)
        scores = scores[scores.any(axis=1)] / self._total
        A = A if found.back is None else A @ found.back
        return np.asarray(scores @ found.matrix @ A.T)

    def ratio_to_null(self, constant: Array | None) -> float:
        """Return the likelihood-ratio statistic against the null model.

        In a model without intercepts, `constant`, (n_features,), has the weights of a combination
        of columns that is constant over the rows, and so does what an intercept does. It is None if
        there is no such combination.
        """
        objective = self._training.problem.objective
        d = objective.blocks.n_features
        of_logit = np.asarray(np.eye(d, d + objective.fit_intercept))
        if constant is not None:
            # The restrictions leave the constant combination free, as an intercept would be.
            of_logit = _covariance.complement(constant * objective.scale)
        A = np.kron(np.eye(self._n_free), of_logit)
        return self._ratio(self._constrained(A).value)

    def _ratio(self, value: float) -> float:
        """Return the likelihood-ratio statistic of a smaller model from its least -log L."""
        return max(2.0 * (value - self._best.value), 0.0)

    @property
    def fit_intercept(self) -> bool:
        """Whether the model has intercepts."""
        return bool(self._training.problem.objective.fit_intercept)

    def _in_memory(self, what: str) -> RowBlocks:
        """Return the rows if they are in memory; raise TypeError if they are Dask chunks.

        `what` is the plural name of the statistics that need the rows, for the message.
        """
        rows = self._training.blocks
        if not isinstance(rows, RowBlocks):
            raise TypeError(
                f"{what} need a fit to rows in memory; found a fit to Dask collections."
            )
        return rows

    def training_arrays(self, what: str) -> tuple[Any, Array, Array, Array | None]:
        """Return the rows, the observed shares of classes, weights and offsets of the fit.

        Only for three or more classes: two classes have one logit, for which shares would have one
        column. `what` is as in `_in_memory`.

        Returns
        -------
        X : ndarray or CSR array of shape (n_samples, n_features)
        shares : ndarray of shape (n_samples, n_classes)
            The share of the observations of a row that is of each class.
        weights : ndarray of shape (n_samples,)
            Number of observations of each row, weights included.
        offset : ndarray of shape (n_samples, n_classes) or None
        """
        rows, likelihood = self._in_memory(what).whole(), self._training.data.likelihood
        weights = rows.weights_or_ones().astype(float) * self._training.data.scale
        return rows.X, likelihood.dense_targets(rows.targets).T, weights, rows.offset

    def outcomes(self, what: str) -> Outcomes:
        """Return the probabilities of the fit and the observed classes of the rows.

        `what` is as in `_in_memory`.
        """
        rows, K = self._in_memory(what), len(self._training.classes)
        P = np.empty((rows.n_samples, K))
        self._training.loss_at(self._coef, self._intercept).map_reduce(_fill_probabilities, P)
        counts = np.ones(rows.n_samples)
        if self.observations is not None:
            counts = np.asarray(self.observations, float)
        return Outcomes(P, self.fitted.class_shares, counts)

    def patterns(self, what: str) -> Array:
        """Return a code for each row, (n_samples,): rows with equal features and offsets share one.

        `what` is as in `_in_memory`.
        """
        rows = self._in_memory(what)
        return patterns_of(*map(on_host, (rows.X, rows.offset)))

    def score_statistic(self, columns: Array) -> tuple[float, int]:
        """Return Rao's score statistic for features outside the model, and its degrees of freedom.

        `columns`, (n_samples, n_columns), has the values of the features. The statistic is gᵀ V g,
        with the gradient g of the log-likelihood of the larger model, where the features have
        coefficients of zero, and the inverse V of its information.
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
            found = InverseInformation.at(point, H)
        except _covariance.SingularInformation as error:
            raise ValueError(
                "the features in X are constant, or combinations of those of the model; remove "
                "them."
            ) from error
        r = max(1, len(point.theta) - 1)
        # The score has the coordinates of the information.
        gradient = found.point.gradient[:r, :width]
        score = gradient.ravel()
        return float(score @ found.matrix @ score) * self._total, r * q


def _fill_probabilities(context: KernelContext, P: Array) -> tuple[Array]:
    """Write the probabilities of a block's rows to P, (n_samples, n_classes), which has all rows.

    The result stands for no sum: `map_reduce` expects one.
    """
    at = slice(context.block.start, context.block.stop)
    P[at] = np.asarray(on_host(context.probabilities_of_outcomes()), float).T
    return (np.zeros(()),)


@dataclass(frozen=True)
class HeldRows:
    """The rows of a fit if results hold them, and a check that they have not changed.

    Attributes
    ----------
    rows : FitRows or None
        None if the results come from a pickle, which has no rows.
    log_likelihood : float
        The log-likelihood when `infer` was called. Other rows have another one.
    """

    rows: FitRows | None
    log_likelihood: float

    def is_of_fit(self, log_likelihood: float) -> bool:
        """Return whether rows with this log-likelihood are those of the fit, up to rounding."""
        expected = self.log_likelihood
        return bool(abs(log_likelihood - expected) <= SAME_ROWS * max(abs(expected), 1.0))

    def get(self, what: str) -> FitRows:
        """Return the rows; raise ValueError if they are unknown or were changed after `infer`.

        `what` is the plural name of the statistics that need the rows, for the message.
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
