"""Tests of the independence of irrelevant alternatives, by fits without each outcome.

An outcome is a class of y. The full model has all outcomes. A restricted model is fitted to the
observations of all outcomes but one; its coefficients differ from those of the full model only by
chance if the alternatives are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy import stats
from sklearn.utils import check_random_state

from skmaxent._inference import _covariance
from skmaxent._inference._constrained_minimum import NegativeLogLikelihood, constrained_minimum
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._inverse_information import InverseInformation
from skmaxent._leverage import _reference_coding
from skmaxent._objective._likelihood import likelihood
from skmaxent._solvers import Options, Problem, Status, minimise
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array, RandomState

if TYPE_CHECKING:
    import pandas as pd

# Eigenvalues of the difference of the two covariances up to this are rounding errors, if the
# variances of the restricted estimates are scaled to one.
ROUNDED_EIGENVALUE = 1e-10
INDEFINITE = "the difference of the covariances is not positive definite"
NEGATIVE = f"{INDEFINITE} and chi2 is negative: the asymptotic assumptions of the test are not met"
# The statistic of a test without one of the outcomes, its degrees of freedom, and a note.
TestResult = tuple[float, int, str]


class NoEstimates(ValueError):
    """Error of a model without finite or unique maximum-likelihood estimates; it says why."""


@dataclass(frozen=True)
class Choices:
    """The data of a multinomial model: rows with a count of each outcome.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features), float64
    counts : ndarray of shape (n_samples, n_classes)
        Number of observations of each outcome, weights included.
    offset : ndarray of shape (n_samples, n_classes) or None
    fit_intercept : bool
        Whether the model has intercepts.
    """

    X: Any
    counts: Array
    offset: Array | None
    fit_intercept: bool

    @property
    def width(self) -> int:
        """Number of coefficients of a logit, the intercept included."""
        return int(self.X.shape[1]) + self.fit_intercept

    def rows(self, index: Array) -> Choices:
        """Return the rows at the positions `index`."""
        offset = None if self.offset is None else self.offset[index]
        return Choices(self.X[index], self.counts[index], offset, self.fit_intercept)

    def among(self, outcomes: list[int]) -> Choices:
        """Return the data of some outcomes, given by their positions.

        Rows without observations of these outcomes are left out.
        """
        counts = self.counts[:, outcomes]
        offset = None if self.offset is None else self.offset[:, outcomes]
        few = Choices(self.X, counts, offset, self.fit_intercept)
        return few.rows(np.flatnonzero(counts.sum(axis=1) > 0.0))

    def fitted(self) -> Fitted:
        """Return the maximum-likelihood estimates; raises NoEstimates if there are none."""
        total = self.counts.sum()
        if not (self.counts.sum(axis=0) > 0.0).all():
            raise NoEstimates("an outcome has no rows")
        problem = self._problem()
        # The tests compare small differences of estimates, so that both must be close to their
        # optima.
        solution = minimise(problem, Options(tol=1e-8))
        if solution.status in (Status.SEPARATED, Status.QUASI_SEPARATED):
            raise NoEstimates("the outcomes are separated")
        # The search goes on from the solution to all digits of float64.
        point = constrained_minimum(NegativeLogLikelihood(float(total)), solution.point).point
        point, H = _covariance.centred_information(point)
        try:
            found = InverseInformation.at(point, H)
        except _covariance.SingularInformation:
            raise NoEstimates("features are constant or linearly dependent") from None
        objective = point.objective
        theta = _reference_coding.against_last(point.theta, objective.fit_intercept)
        free = _covariance.Coding(np.eye(len(theta)), _covariance.column_map(objective))
        value = -float(total) * float(point.loss)
        return Fitted(
            free.coefficients(theta).ravel(), free.covariance(found.covariance(total)).matrix, value
        )

    def log_likelihood(self, coef: Array) -> float:
        """Return the log-likelihood of free coefficients, (n_coefficients,); see `Fitted.coef`."""
        objective = self._problem().objective
        rows = coef.reshape(-1, self.width)
        if self.counts.shape[1] > 2:
            rows = np.vstack([rows, np.zeros(self.width)])
        intercept = rows[:, -1] if self.fit_intercept else np.zeros(len(rows))
        theta = objective.from_coefficients(rows[:, : self.X.shape[1]], intercept)
        return -float(self.counts.sum()) * float(objective.at(theta).loss)

    def _problem(self) -> Problem:
        """Return the problem of maximum likelihood, without penalty."""
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
        Free coefficients: for each outcome but the last, the coefficients of its logit against the
        last outcome, the intercept last. For two outcomes, those of the second against the first.
    covariance : ndarray of shape (n_coefficients, n_coefficients)
    log_likelihood : float
    """

    coef: Array
    covariance: Array
    log_likelihood: float


def choices_of(fit: FitRows) -> Choices:
    """Return the data of a fit to three or more classes, in memory, for the tests.

    A count is the weight of a row times the share of a class in the row. Rows of weight zero are
    left out.
    """
    X, shares, weights, offset = fit.training_arrays(
        "tests of independence of irrelevant alternatives"
    )
    X = sp.csr_array(X, dtype=float) if sp.issparse(X) else np.asarray(X, float)
    rows = Choices(X, shares * weights[:, None], offset, fit.fit_intercept)
    return rows.among(list(range(shares.shape[1])))


def hausman_mcfadden(choices: Choices, classes: list[Any]) -> pd.DataFrame:
    """Return the test of Hausman & McFadden (1984), a row for each outcome that is left out.

    It tests whether the coefficients of the other outcomes change, by Hausman's statistic.
    `classes` are the names of the outcomes.
    """
    try:
        whole = choices.fitted()
    except NoEstimates as error:
        raise ValueError(f"the model of all outcomes has no estimates: {error}.") from error

    def test(kept: list[int]) -> TestResult:
        """Return Hausman's test for the outcomes that are kept."""
        few = choices.among(kept).fitted()
        A = _to_free_coefficients_of(kept, len(classes), choices.width)
        change = few.coef - A @ whole.coef
        return _hausman(change, few.covariance, A @ whole.covariance @ A.T)

    return _table(test, classes)


def small_hsiao(choices: Choices, classes: list[Any], random_state: RandomState) -> pd.DataFrame:
    """Return the test of Small & Hsiao (1985), a row for each outcome that is left out.

    1. The rows are divided at random into two halves, and the full model is fitted to each half. b
       is the mean of both estimates with the weights √½ and 1 - √½.
    2. For each outcome, the restricted model is fitted to the rows of the second half with the
       other outcomes. Its estimates are b₀.
    3. The statistic is 2 (ℓ(b₀) - ℓ(b)), where ℓ is the log-likelihood of these rows for the
       outcomes that are kept. Its distribution is chi-squared, with as many degrees of freedom as
       b₀ has coefficients.

    Parameters
    ----------
    choices : Choices
    classes : list
        The names of the outcomes.
    random_state : int, RandomState or None
        Divides the rows.

    Returns
    -------
    DataFrame
        The columns are those of `_table`.

    Raises
    ------
    ValueError
        If the full model has no estimates in a half.
    """
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

    def test(kept: list[int]) -> TestResult:
        """Return the likelihood-ratio test for the outcomes that are kept."""
        few = second.among(kept)
        restricted = few.fitted()
        A = _to_free_coefficients_of(kept, len(classes), choices.width)
        fall = restricted.log_likelihood - few.log_likelihood(A @ coef)
        return 2.0 * fall, len(restricted.coef), ""

    return _table(test, classes)


def _to_free_coefficients_of(kept: list[int], n_classes: int, width: int) -> Array:
    """Return the matrix from the free coefficients of all outcomes to those of the outcomes `kept`.

    `kept` are positions of outcomes, and `width` is the number of coefficients of a logit. See
    `Fitted.coef` for what free coefficients are. The shape is (n_coefficients of the outcomes kept,
    n_coefficients of all).
    """
    whole = np.eye(n_classes, n_classes - 1)[kept]
    few = whole[1:] - whole[:1] if len(kept) == 2 else whole[:-1] - whole[-1:]
    return np.kron(few, np.eye(width))


def _hausman(change: Array, restricted: Array, full: Array) -> TestResult:
    """Return Hausman's statistic, for estimates of p coefficients by two models.

    `change` (p,) are the restricted estimates less those of the full model. `restricted` and `full`
    (p, p) are the covariances of the estimates of the two models.

    If the difference of the covariances is singular, its Moore-Penrose inverse is used, with the
    variances of the restricted estimates scaled to one.
    """
    size = np.sqrt(restricted.diagonal())
    values, vectors = np.linalg.eigh((restricted - full) / np.multiply.outer(size, size))
    used = np.abs(values) > ROUNDED_EIGENVALUE
    z = (vectors.T @ (change / size))[used]
    chi2, df = float((z**2 / values[used]).sum()), int(used.sum())
    if chi2 < 0.0:
        return chi2, df, NEGATIVE
    if df < len(values):
        return chi2, df, f"the difference of the covariances has rank {df}"
    return chi2, df, INDEFINITE if values.min() < 0.0 else ""


def _table(test: Callable[[list[int]], TestResult], classes: list[Any]) -> pd.DataFrame:
    """Return a table with a row for each outcome that is left out: chi2, df, p_value and note.

    `test` gets the positions of the outcomes that are kept.
    """
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
