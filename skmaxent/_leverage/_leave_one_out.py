"""Leave-one-out: probabilities of each observation by a fit without it, mostly without refits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._input._frames import class_index
from skmaxent._input._numbers import is_integer
from skmaxent._leverage._distance_to_optimum import (
    are_separated,
    distance_of_rows,
    largest_distance,
    notes_if_far,
)
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._inverse_hessian import InverseHessian, all_coefficients_vary
from skmaxent._leverage._left_out_units import HeldOutScores, Units, left_out_units, single_classes
from skmaxent._leverage._leverages import Leverages
from skmaxent._leverage._refit_choice import (
    NEARLY_SINGULAR,
    NONSMOOTH_ERROR,
    SMOOTH_ERROR,
    RefitChoice,
)
from skmaxent._leverage._refits import MOST_COEFFICIENTS, NEWTON_TOLERANCE, Refits
from skmaxent._leverage._sampled_inverse import N_GROUPS, N_VECTORS
from skmaxent._leverage._scaled_inverse import ScaledInverse
from skmaxent._public import public
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

if TYPE_CHECKING:
    import pandas as pd

# A function of held-out scores, for instance their mean.
Statistic = Callable[[HeldOutScores], ArrayLike]
# The largest Monte-Carlo error of the mean log score, as a share of its standard error; and a
# factor for the number of random vectors, because the Monte-Carlo error is itself an estimate.
SMALL_ERROR, MARGIN = 0.1, 1.25
# The largest number of coefficients for which the Hessian is inverted if random vectors leave a
# larger error than that. The inverse then takes 288 megabytes.
MOST_INVERTED = 6000


@public
@dataclass(frozen=True)
class LeaveOneOutScores:
    """Held-out probabilities of each row of a fit, and the scores they give.

    `InferenceResults.loo` and `skmaxent.leave_one_out` return this object.

    Attributes
    ----------
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities of the classes of each row, in the fit without it. For a table of whole
        counts with ``weights="frequency"``, entry k is the log-probability of class k in the fit
        without one observation of class k of that row.
    log_score : float
        The mean over observations of the held-out log-probability of the observed class; larger is
        better.
    log_score_std_err : float
        The standard error of `log_score`.
    accuracy, accuracy_std_err : float
        The share of observations whose held-out most probable class is the observed one, and its
        standard error.
    effective_df : float
        Effective degrees of freedom: the sum over rows of the trace of the row's leverage times
        the curvature of its loss. Without a penalty, it is the number of free coefficients.
    aic : float
        -2 log L + 2 `effective_df`, with the likelihood L at the coefficients. NaN with
        ``weights="probability"``: sampling weights have no scale, so that there is no likelihood.
    n_refits : int
        The number of exact fits that replaced approximations.
    approximation_error : float
        An estimate of the difference between `log_score` and its value with exact fits for all
        rows, from the errors at the rows that have exact fits; 0 if all rows have them.
    monte_carlo_error : float
        The standard error of `log_score` from random vectors, for models with more than 3,000 free
        coefficients; 0 for others. There are 100 vectors. Where the error would be above a tenth
        of `log_score_std_err`, leverages of up to 6,000 coefficients are exact, and there are up to
        400 vectors for more.
    classes : list
        Labels of the columns of `log_proba`.
    refitted : ndarray of int
        Positions of the rows with exact fits.
    separated : ndarray of int
        Positions of the rows without which the classes are separated, so that the fit without the
        row has no finite optimum.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, leave_one_out
    >>> X, y = load_iris(return_X_y=True)
    >>> scores = leave_one_out(MaxentClassifier(C=1.0).fit(X, y), X, y)
    >>> scores.to_frame().loc[0].round(3).tolist()
    [0.981, 0.019, 0.0]
    """

    log_proba: Array = field(repr=False)
    log_score: float
    log_score_std_err: float
    accuracy: float
    accuracy_std_err: float
    effective_df: float
    aic: float
    n_refits: int
    approximation_error: float
    monte_carlo_error: float
    classes: list[Any] = field(repr=False)
    refitted: Array = field(repr=False)
    separated: Array = field(repr=False)
    _index: Any = field(default=None, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the held-out probabilities: a row for each row of the data, a column for a class.

        The index is that of the data frame that the model was fitted to.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        columns = class_index(np.asarray(self.classes))
        return pd.DataFrame(np.exp(self.log_proba), index=self._index, columns=columns)


def leave_one_out(
    fit: FittedRows, *, weights: str, max_refits: int | None, index: Any = None
) -> LeaveOneOutScores:
    """Return held-out log-probabilities and scores of the rows of a fit.

    Parameters
    ----------
    fit : FittedRows
        A fit to rows in memory.
    weights : {"frequency", "probability"}
        "frequency" leaves out one observation of a row, "probability" the whole row.
    max_refits : int or None
        The largest number of exact fits; None makes as many as an accurate log score needs.
    index : pandas.Index, default=None
        The index of `LeaveOneOutScores.to_frame`.
    """
    held = held_out(fit, weights=weights, max_refits=max_refits, most_monte_carlo_error=SMALL_ERROR)
    units, scores, refits = held.units, held.scores, held.refits
    training, leverages = fit.training, held.leverages
    assert leverages is not None
    df = units.effective_df
    log_score, monte_carlo_error = held.jackknife(weights, _mean_log_score, N_GROUPS)
    total = training.total_weight
    n_classes = units.shares.shape[1]
    log_proba = scores.log_proba
    if (units.outcome >= 0).any():
        by_outcome = log_proba[np.arange(len(log_proba)), units.outcome]
        log_proba = by_outcome.reshape(-1, n_classes)
    return LeaveOneOutScores(
        log_proba=log_proba,
        log_score=float(log_score),
        log_score_std_err=scores.std_err(scores.log_scores),
        accuracy=scores.mean(scores.hits),
        accuracy_std_err=scores.std_err(scores.hits),
        effective_df=df,
        aic=2.0 * (total * leverages.point.loss + df) if weights == "frequency" else np.nan,
        n_refits=refits.n_fits,
        approximation_error=held.choice.error,
        monte_carlo_error=float(monte_carlo_error),
        classes=training.classes.tolist(),
        refitted=np.unique(np.asarray(refits.rows, dtype=np.intp)),
        separated=np.unique(np.asarray(refits.separated, dtype=np.intp)),
        _index=index,
    )


@dataclass(frozen=True)
class HeldOut:
    """Held-out scores of the rows of a fit, and what they were computed from.

    Attributes
    ----------
    fit : FittedRows
    leverages : Leverages or None
        None if the units are those of `small_units`.
    units : Units
        What is left out, one at a time: an observation of a row, or the whole row.
    scores : HeldOutScores
        The held-out log-probabilities and scores of the units.
    refits : Refits
        The exact fits.
    choice : RefitChoice
        Which units have exact fits.
    """

    fit: FittedRows
    leverages: Leverages | None
    units: Units
    scores: HeldOutScores
    refits: Refits
    choice: RefitChoice

    @property
    def is_sampled(self) -> bool:
        """Whether leverages are estimated from random vectors."""
        return _is_sampled(self.leverages)

    @property
    def factor(self) -> float | None:
        """The factor of a `ScaledInverse`; None for other leverages."""
        inverse = None if self.leverages is None else self.leverages.inverse
        return inverse.factor if isinstance(inverse, ScaledInverse) else None

    def with_leverages(self) -> HeldOut:
        """Return the same scores with leverages, which some exact fits need."""
        leverages = self.fit.leverages("frequency", is_rough=True)
        refits = Refits(self.fit.training.problem, self.fit.theta, leverages, self.refits.tolerance)
        return replace(self, leverages=leverages, refits=refits)

    def with_small_refits(self) -> HeldOut:
        """Return the same scores, with exact fits of small data by `SmallRefits` alone."""
        given = self.fit.training.problem, self.fit.theta, None, self.refits.tolerance
        return replace(self, refits=Refits(*given, most_small=MOST_COEFFICIENTS))

    def jackknife(self, weights: str, statistic: Statistic, n_groups: int) -> tuple[Array, Array]:
        """Return a statistic of the scores, and its Monte-Carlo error, which is 0 without vectors.

        The jackknife over groups of the n random vectors removes the bias of the statistic of order
        1/n (Quenouille 1956, Biometrika 43, 353-360). Exact fits do not depend on the vectors.

        Parameters
        ----------
        weights : {"frequency", "probability"}
            As in `leave_one_out`.
        statistic : callable
            Returns a number or an array for `HeldOutScores`.
        n_groups : int
        """
        given = self.fit, weights, self.leverages, self.scores, self.choice.refitted
        return _jackknife(*given, statistic, n_groups)

    @property
    def log_scores_of_rows(self) -> Array:
        """The mean log score of the observations of each row, (n_samples,)."""
        units = self.units
        n = int(units.row[-1]) + 1
        total, sums = np.zeros(n), np.zeros(n)
        share = units.share_of_row
        scores = np.where(share > 0.0, self.scores.log_scores, 0.0)
        np.add.at(total, units.row, share)
        np.add.at(sums, units.row, share * scores)
        return np.asarray(sums / np.where(total > 0.0, total, 1.0))


def held_out(fit: FittedRows, **options: Any) -> HeldOut:
    """Return held-out scores by one Newton step, and by exact fits where the step is inaccurate.

    The arguments are those of `by_one_step`.
    """
    held = by_one_step(fit, **options)
    make_exact_fits([held])
    return held


def by_one_step(
    fit: FittedRows,
    *,
    weights: str,
    max_refits: int | None,
    refuse_single: bool = True,
    is_rough: bool = True,
    most_monte_carlo_error: float = np.inf,
    refit_tolerance: float = NEWTON_TOLERANCE,
    score_tolerance: float | None = None,
    n_vectors: int = N_VECTORS,
    factor: float | None = None,
    is_far: bool = False,
    refits_sampled: bool = True,
    units: Units | None = None,
) -> HeldOut:
    """Return held-out scores by one Newton step. `make_exact_fits` makes them more accurate.

    Parameters
    ----------
    fit, weights, max_refits : object
        As in `leave_one_out`.
    refuse_single : bool, default=True
        Whether to raise ValueError if a class has a single observation. If not, the log score of
        that observation is minus infinity, because the fit without it does not know the class.
    is_rough : bool, default=True
        Whether to compute leverages to three digits only, which are enough for scores.
    most_monte_carlo_error : float, default=infinity
        If leverages are estimated from random vectors: the Monte-Carlo error of the mean log score,
        in units of its standard error, above which leverages are computed more accurately.
    refit_tolerance : float, default=NEWTON_TOLERANCE
        As the `tolerance` of `Refits`.
    score_tolerance : float, optional
        As the `tolerance` of `RefitChoice`.
    n_vectors : int, default=N_VECTORS
        The number of random vectors, if leverages are estimated from them.
    factor, is_far : object
        As in `Leverages.of`.
    refits_sampled : bool, default=True
        Whether exact fits replace inaccurate approximations from random vectors. If not, they only
        replace those of nearly singular units. With few vectors, the largest changes are those with
        the largest errors, and replacing these alone biases the mean score.
    units : Units, optional
        The result of `small_units` for the fit. No leverages are computed then.
    """
    check_max_refits(max_refits)
    fit.rows_in_memory()
    fit.check_supported(weights)
    problem, leverages = fit.training.problem, None
    if units is None:
        given: dict[str, Any] = {"n_vectors": n_vectors, "factor": factor, "is_far": is_far}
        leverages = fit.leverages(weights, is_rough=is_rough, **given)
        _warn_of_other_rows(fit, leverages, weights)
        units = left_out_units(fit, leverages, weights)
    is_single = _is_single(fit, units, weights, refuse_single)
    scores = HeldOutScores(units, weights, fit.correction, is_single)
    more = _with_more_vectors(fit, weights, leverages, scores, most_monte_carlo_error)
    if more is not None and more is not leverages:
        leverages, units = more, left_out_units(fit, more, weights)
        scores = HeldOutScores(units, weights, fit.correction, is_single)
    refits = Refits(problem, fit.theta, leverages, refit_tolerance)
    ratio = SMOOTH_ERROR if all_coefficients_vary(problem.terms) else NONSMOOTH_ERROR
    if not refits_sampled and _is_sampled(leverages):
        n_singular = int(np.count_nonzero(units.largest_hat > NEARLY_SINGULAR))
        max_refits = n_singular if max_refits is None else min(n_singular, max_refits)
    choice = RefitChoice(units, scores, max_refits, ratio, score_tolerance)
    return HeldOut(fit, leverages, units, scores, refits, choice)


def _is_single(fit: FittedRows, units: Units, weights: str, refuse_single: bool) -> Array:
    """Return a mask of the units that are the only observation of a class, (n_units,).

    Raises ValueError if there is one and `refuse_single` is true.
    """
    single = single_classes(units, weights)
    if single.any() and refuse_single:
        raise ValueError(
            f"the classes {fit.training.classes[single].tolist()} have a single observation: a fit "
            "without it does not know them. Leave-one-out needs two observations of every class."
        )
    return np.asarray((units.shares[:, single] > 0.0).any(axis=1))


def make_exact_fits(held: Sequence[HeldOut], best: float = -np.inf) -> None:
    """Replace approximations by exact fits without units, as many as `RefitChoice` chooses.

    Parameters
    ----------
    held : sequence of HeldOut
        Held-out scores of the same rows, for penalties that differ in their strengths.
    best : float, default=-infinity
        The best mean log score of other fits, with which these are compared.
    """
    while True:
        best = max([best, *(each.scores.mean(each.scores.log_scores) for each in held)])
        chosen = [(each, each.choice.following(best)) for each in held]
        chosen = [(each, which) for each, which in chosen if len(which)]
        if not chosen:
            break
        some, which = zip(*chosen, strict=True)
        refits, units = [each.refits for each in some], [each.units for each in some]
        for each, logits in zip(some, Refits.logits_without(refits, units, which), strict=True):
            each.choice.put(logits)
    for each in held:
        if each.refits.separated:
            warn_user(
                f"the classes are separated without one of {len(each.refits.separated)} rows: no "
                "finite coefficients are optimal there, and their held-out probabilities are those "
                "of a fit that was stopped. Use a finite C."
            )


def _is_sampled(leverages: Leverages | None) -> bool:
    """Return whether leverages are estimated from random vectors."""
    return leverages is not None and not isinstance(leverages.inverse, InverseHessian)


def _warn_of_other_rows(fit: FittedRows, leverages: Leverages, weights: str) -> None:
    """Warn if the coefficients are far from the optimum for these rows.

    If the classes are not separated, the rows are probably not those of the fit. Rows that the fit
    itself has just read are not checked; their `fit.gap` is None.
    """
    if fit.gap is None:
        return
    training = fit.training
    terms = training.problem.terms
    is_frequency = weights == "frequency"
    total = training.total_weight if is_frequency else training.blocks.effective_size
    largest = largest_distance(leverages.point, terms, fit.gap, total)
    distance = distance_of_rows(leverages, terms, total)
    if distance > largest and are_separated(leverages.point, terms):
        warn_user(
            "the classes are separated: some coefficients have no finite estimates, and the "
            "leverage and the influence of rows mean nothing (see detect_separation)."
        )
        return
    notes_if_far(distance, largest, fit.function)


def _with_more_vectors(
    fit: FittedRows,
    weights: str,
    leverages: Leverages | None,
    scores: HeldOutScores,
    most_error: float,
) -> Leverages | None:
    """Return leverages with more random vectors, if the given ones leave too large an error.

    `most_error` is the largest Monte-Carlo error of the mean log score, in standard errors of that
    score. The error is inversely proportional to the root of the number of vectors. With at most
    `MOST_INVERTED` coefficients the result is exact: with 3,000 rows of 1,100 features and four
    classes, exact leverages took 3 seconds, and 100 vectors took 5 seconds.
    """
    if leverages is None or not _is_sampled(leverages) or most_error == np.inf:
        return leverages
    inverse = leverages.inverse
    assert not isinstance(inverse, InverseHessian)
    given = fit, weights, leverages, scores, np.zeros(0, np.intp)
    error = float(_jackknife(*given, _mean_log_score, N_GROUPS)[1])
    goal = most_error * scores.std_err(scores.log_scores)
    if error <= goal:
        return leverages
    point, terms = leverages.point, fit.training.problem.terms
    if inverse.rank <= MOST_INVERTED:
        return replace(leverages, inverse=InverseHessian.at(point, terms, is_rough=True))
    ratio = (MARGIN * error / goal) ** 2 if goal > 0.0 else np.inf
    if isinstance(inverse, ScaledInverse):
        return replace(leverages, inverse=inverse.with_more(ratio, point, terms))
    needed = len(inverse.used) * ratio
    return replace(leverages, inverse=inverse.with_vectors(needed, point, terms))


def _jackknife(
    fit: FittedRows,
    weights: str,
    leverages: Leverages | None,
    scores: HeldOutScores,
    refitted: Array,
    statistic: Statistic,
    n_groups: int,
) -> tuple[Array, Array]:
    """Return the results of `HeldOut.jackknife` for its attributes."""
    whole = np.asarray(statistic(scores))
    found = []
    for replicate in () if leverages is None else leverages.replicates(n_groups):
        units = left_out_units(fit, replicate, weights)
        other = HeldOutScores(units, weights, fit.correction, scores.is_single)
        other.log_proba[refitted] = scores.log_proba[refitted]
        found.append(np.asarray(statistic(other)))
    if not found:
        return whole, np.zeros_like(whole)
    n, mean = len(found), np.mean(found, axis=0)
    error = np.sqrt((n - 1.0) / n * np.square(found - mean).sum(axis=0))
    return n * whole - (n - 1.0) * mean, error


def _mean_log_score(scores: HeldOutScores) -> float:
    """Return the mean log score over observations."""
    return scores.mean(scores.log_scores)


def check_max_refits(max_refits: Any) -> None:
    """Raise ValueError unless `max_refits` is None or a nonnegative integer."""
    if max_refits is not None and not (is_integer(max_refits) and int(max_refits) >= 0):
        raise ValueError(
            f"max_refits must be None or an integer of at least 0, found {max_refits!r}."
        )
