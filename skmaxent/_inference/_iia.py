"""Tests of the independence of irrelevant alternatives, by fits without each outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy import stats
from sklearn.utils import check_random_state

from skmaxent._inference import _covariance
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._held_minimum import Likelihoods, least
from skmaxent._leverage import _reference_coding
from skmaxent._objective._likelihood import likelihood
from skmaxent._solvers import Options, Problem, Status, minimise
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array, RandomState

if TYPE_CHECKING:
    import pandas as pd

# An eigenvalue of the difference of covariances, with the restricted variances scaled to one, that
# is rounding.
ROUNDED_EIGENVALUE = 1e-10
INDEFINITE = "the difference of the covariances is not positive definite"
NEGATIVE = f"{INDEFINITE} and chi2 is negative: the asymptotic assumptions of the test are not met"
# The statistic without an outcome at some position, its degrees of freedom, and a note.
Outcome = tuple[float, int, str]


class NoEstimates(ValueError):
    """Why a model has no finite or no unique maximum-likelihood estimates."""


@dataclass(frozen=True)
class Choices:
    """Rows with the outcomes that they have.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features), float64
    counts : ndarray of shape (n_samples, n_classes)
        Observations of each outcome, weights included.
    offset : ndarray of shape (n_samples, n_classes) or None
    fit_intercept : bool
    """

    X: Any
    counts: Array
    offset: Array | None
    fit_intercept: bool

    @property
    def width(self) -> int:
        """Coefficients of a logit, the intercept included."""
        return int(self.X.shape[1]) + self.fit_intercept

    def rows(self, index: Array) -> Choices:
        """The rows at some positions."""
        offset = None if self.offset is None else self.offset[index]
        return Choices(self.X[index], self.counts[index], offset, self.fit_intercept)

    def among(self, outcomes: list[int]) -> Choices:
        """The observations of the outcomes at some positions."""
        counts = self.counts[:, outcomes]
        offset = None if self.offset is None else self.offset[:, outcomes]
        few = Choices(self.X, counts, offset, self.fit_intercept)
        return few.rows(np.flatnonzero(counts.sum(axis=1) > 0.0))

    def fitted(self) -> Fitted:
        """The maximum of the likelihood; raises NoEstimates where there is none."""
        total = self.counts.sum()
        if not (self.counts.sum(axis=0) > 0.0).all():
            raise NoEstimates("an outcome has no rows")
        problem = self._problem()
        # The tests compare small differences of estimates, so that both must be close to their
        # optima.
        solution = minimise(problem, Options(tol=1e-8))
        if solution.status in (Status.SEPARATED, Status.QUASI_SEPARATED):
            raise NoEstimates("the outcomes are separated")
        point = least(Likelihoods(float(total)), solution.point).point
        point, H = _covariance.centred_information(point)
        try:
            V = _covariance.inverse(H, self.width) / total
        except _covariance.SingularInformation:
            raise NoEstimates("features are constant or linearly dependent") from None
        objective = point.objective
        theta = _reference_coding.against_last(point.theta, objective.fit_intercept)
        free = _covariance.Coding(np.eye(len(theta)), _covariance.column_map(objective))
        value = -float(total) * float(point.loss)
        return Fitted(free.coefficients(theta).ravel(), free.covariance(V), value)

    def log_likelihood(self, coef: Array) -> float:
        """Return the log-likelihood at free coefficients, (n_coefficients,)."""
        objective = self._problem().objective
        rows = coef.reshape(-1, self.width)
        if self.counts.shape[1] > 2:
            rows = np.vstack([rows, np.zeros(self.width)])
        intercept = rows[:, -1] if self.fit_intercept else np.zeros(len(rows))
        theta = objective.from_coefficients(rows[:, : self.X.shape[1]], intercept)
        return -float(self.counts.sum()) * float(objective.at(theta).loss)

    def _problem(self) -> Problem:
        """The problem to maximise the likelihood."""
        weights = self.counts.sum(axis=1)
        targets, offset = self.counts / weights[:, None], self.offset
        model = likelihood(targets.shape[1])
        if model.n_logits == 1:
            targets = targets[:, 1]
            # A single logit is the second outcome's minus the first one's.
            offset = None if offset is None else offset[:, 1:] - offset[:, :1]
        blocks = RowBlocks(self.X, targets, weights, offset, n_logits=model.n_logits)
        return Problem.of(blocks, model, fit_intercept=self.fit_intercept)


@dataclass(frozen=True)
class Fitted:
    """Maximum-likelihood estimates.

    Attributes
    ----------
    coef : ndarray of shape (n_coefficients,)
        Free coefficients: those against the last outcome, outcome by outcome, the intercept last
        in each; of two outcomes, those of the second against the first.
    covariance : ndarray of shape (n_coefficients, n_coefficients)
    log_likelihood : float
    """

    coef: Array
    covariance: Array
    log_likelihood: float


def choices_of(fit: FitRows) -> Choices:
    """The rows of positive weight of a fit to three or more classes."""
    X, shares, weights, offset = fit.choices("tests of independence of irrelevant alternatives")
    X = sp.csr_array(X, dtype=float) if sp.issparse(X) else np.asarray(X, float)
    rows = Choices(X, shares * weights[:, None], offset, fit.fit_intercept)
    return rows.among(list(range(shares.shape[1])))


def hausman_mcfadden(choices: Choices, classes: list[Any]) -> pd.DataFrame:
    """The test without each outcome: whether the estimates of the others change."""
    try:
        whole = choices.fitted()
    except NoEstimates as error:
        raise ValueError(f"the model of all outcomes has no estimates: {error}.") from error

    def test(kept: list[int]) -> Outcome:
        few = choices.among(kept).fitted()
        A = _to_free_coefficients_of(kept, len(classes), choices.width)
        change = few.coef - A @ whole.coef
        return _hausman(change, few.covariance, A @ whole.covariance @ A.T)

    return _table(test, classes)


def small_hsiao(choices: Choices, classes: list[Any], random_state: RandomState) -> pd.DataFrame:
    """The test without each outcome: whether the likelihood of half of the rows falls."""
    n = len(choices.counts)
    order = check_random_state(random_state).permutation(n)
    first, second = choices.rows(np.sort(order[: n // 2])), choices.rows(np.sort(order[n // 2 :]))
    try:
        halves = [half.among(list(range(len(classes)))).fitted() for half in (first, second)]
    except NoEstimates as error:
        raise ValueError(
            f"the model of all outcomes has no estimates in a half of the rows: {error}. Another "
            "random_state draws other halves."
        ) from error
    # Small & Hsiao (1985) weigh the two estimates by √½ and 1 - √½, which makes the statistic's
    # distribution the one of a likelihood ratio.
    share = np.sqrt(0.5)
    coef = share * halves[0].coef + (1.0 - share) * halves[1].coef

    def test(kept: list[int]) -> Outcome:
        few = second.among(kept)
        restricted = few.fitted()
        A = _to_free_coefficients_of(kept, len(classes), choices.width)
        fall = restricted.log_likelihood - few.log_likelihood(A @ coef)
        return 2.0 * fall, len(restricted.coef), ""

    return _table(test, classes)


def _to_free_coefficients_of(kept: list[int], n_classes: int, width: int) -> Array:
    """The map from free coefficients of all outcomes to those of the outcomes at some positions."""
    whole = np.eye(n_classes, n_classes - 1)[kept]
    few = whole[1:] - whole[:1] if len(kept) == 2 else whole[:-1] - whole[-1:]
    return np.kron(few, np.eye(width))


def _hausman(change: Array, few: Array, whole: Array) -> Outcome:
    """Return Hausman's statistic of a change of estimates with covariances of two estimators.

    Where the difference of the covariances is singular, its Moore-Penrose inverse, with the
    variances of the inefficient estimator scaled to one, stands for its inverse.
    """
    size = np.sqrt(few.diagonal())
    values, vectors = np.linalg.eigh((few - whole) / np.multiply.outer(size, size))
    used = np.abs(values) > ROUNDED_EIGENVALUE
    z = (vectors.T @ (change / size))[used]
    chi2, df = float((z**2 / values[used]).sum()), int(used.sum())
    if chi2 < 0.0:
        return chi2, df, NEGATIVE
    if df < len(values):
        return chi2, df, f"the difference of the covariances has rank {df}"
    return chi2, df, INDEFINITE if values.min() < 0.0 else ""


def _table(test: Callable[[list[int]], Outcome], classes: list[Any]) -> pd.DataFrame:
    """Return a table with a row for each outcome that is left out: chi2, df, p_value and note."""
    import pandas as pd

    rows: list[tuple[float, float, float, str]] = []
    for omitted in range(len(classes)):
        kept = [k for k in range(len(classes)) if k != omitted]
        try:
            chi2, df, note = test(kept)
        except NoEstimates as error:
            rows.append((np.nan, np.nan, np.nan, f"no estimates without it: {error}"))
            continue
        p_value = float(stats.chi2.sf(chi2, df)) if df and chi2 >= 0.0 else np.nan
        rows.append((chi2, df, p_value, note))
    index = pd.Index(classes, name="omitted")
    return pd.DataFrame(rows, index=index, columns=["chi2", "df", "p_value", "note"])
