"""Bootstrap: coefficients of fits to samples of the rows, drawn with replacement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone

from skmaxent._callbacks import without_callbacks
from skmaxent._callbacks._progress import with_progress
from skmaxent._input._observations import Observations
from skmaxent._input._settings import Settings
from skmaxent._model._prediction import dense_coef
from skmaxent._solvers import Solution, Status
from skmaxent._storage._place import to_host
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# A sample that lacks a class is drawn again. After this many draws an error names a class that the
# last one lacks.
MOST_DRAWS = 100
# A fit that ends with `Status.PRECISION`, because rounding prevents further progress, counts as not
# converged if its distance to the optimum, in standard errors, is above this.
UNCONVERGED = 0.1


@dataclass(frozen=True)
class Replicates:
    """Coefficients of the fits to bootstrap samples, and of a fit to all rows.

    Attributes
    ----------
    whole : ndarray of shape (n_logits, n_features + 1)
        Coefficients of the fit to all rows, the intercepts in the last column. `n_logits` is the
        number of rows of `coef_`.
    coef : ndarray of shape (n_bootstrap, n_logits, n_features + 1)
        Coefficients of the fit to each sample.
    counts : dict of str to int
        Numbers of samples: "separated", samples whose classes are separated; "not converged",
        samples whose fits did not converge; "constant", samples in which a feature is constant,
        counted only without a penalty; "drawn again", samples that were rejected because they
        lacked a class.
    """

    whole: Array
    coef: Array
    counts: dict[str, int]

    def warn(self, fitted: Array) -> None:
        """Warn about samples without unique finite estimates, and about other coefficients.

        The first warning counts the samples that `counts` describes, except those drawn again. The
        second one says that the fit of the user had other data or did not converge. It is issued if
        a coefficient differs between `fitted` and `whole` by more than half a standard error.

        Parameters
        ----------
        fitted : ndarray of shape (n_logits, n_features + 1)
            Coefficients of the user's estimator, the intercepts in the last column.
        """
        n = len(self.coef)
        texts = {
            "separated": "have separated classes",
            "not converged": "have fits that did not converge",
            "constant": "have a feature that is constant",
        }
        found = [f"{self.counts[key]} {what}" for key, what in texts.items() if self.counts[key]]
        if found:
            warn_user(
                f"Of {n} bootstrap samples {', '.join(found)}: such samples have no finite or no "
                "unique estimates, so that standard errors, and intervals where these samples are "
                "many, say little. Fit with a penalty or bias_reduction.",
            )
        difference = np.abs(self.whole - fitted)
        # Coefficients that do not vary between samples have a standard error of zero.
        is_far = difference > np.maximum(0.5 * self.coef.std(axis=0), 1e-6 * np.abs(self.whole))
        if is_far.any() and np.isfinite(self.whole).all():
            warn_user(
                "the coefficients are not those of a fit to X and y, by more than half a standard "
                "error: infer needs the data of the fit with its sample_weight and offset, and a "
                "fit that has converged.",
            )


@dataclass(frozen=True)
class Sampling:
    """How bootstrap samples are drawn with replacement.

    The units drawn are single observations if `counts` is given, clusters of rows if `clusters` is
    given, and rows otherwise.

    Attributes
    ----------
    weights : ndarray of shape (n_samples,)
        Sample weights. If rows or clusters are drawn, the number of draws of a row is multiplied by
        its weight.
    clusters : ndarray of int of shape (n_samples,), optional
        Code of the cluster of each row.
    counts : ndarray of shape (n_samples,) or (n_samples, n_classes), optional
        Number of observations of each row, or of each row and class.
    n_drawn : int, default=0
        Number of observations to draw: the sum of `counts`, rounded.
    size : float, default=1.0
        The sum of `counts` divided by `n_drawn`; each drawn observation has this weight.
    """

    weights: Array
    clusters: Array | None = None
    counts: Array | None = None
    n_drawn: int = 0
    size: float = 1.0

    @classmethod
    def of(
        cls,
        observed: Observations,
        sample_weight: Array | None,
        groups: Array | None,
        weights: str,
    ) -> Sampling:
        """Return how to draw samples: clusters if there are `groups`, else observations or rows.

        Parameters
        ----------
        observed : Observations
        sample_weight : ndarray of shape (n_samples,) or None
            Checked weights; None stands for ones.
        groups : ndarray of int of shape (n_samples,) or None
            Codes of clusters.
        weights : {"frequency", "probability"}
            The meaning of the weights. A frequency counts equal rows, so that observations are
            drawn one by one. A probability weight belongs to a row, so that rows are drawn.

        Raises
        ------
        ValueError
            If observations are to be drawn, and there are fewer of them than classes.
        """
        given = np.ones(observed.n_samples) if sample_weight is None else sample_weight
        if groups is not None or weights == "probability":
            return cls(given, groups)
        counts = given if observed.multiplicity is None else given * observed.multiplicity
        if observed.codes is None and not observed.are_sets:
            counts = given[:, None] * observed.table
        total = float(counts.sum())
        n_drawn = round(total)
        if n_drawn < len(observed.classes):
            raise ValueError(
                "with weights='frequency' sample_weight counts equal rows, but all weights sum to "
                f"{total:.3g}, and there are {len(observed.classes)} classes: expected counts, or "
                "weights='probability' for sampling weights."
            )
        return cls(given, None, counts, n_drawn, total / n_drawn)

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw one sample and return its weights, in the shape of `counts`, or (n_samples,).

        The weight of a row, or of a row and class, is the number of times it was drawn, times
        `size` or the weight of the row. Rows of weight zero are never drawn.
        """
        if self.counts is not None:
            shares = self.counts.ravel() / self.counts.sum()
            drawn = rng.multinomial(self.n_drawn, shares).reshape(self.counts.shape)
            return np.asarray(drawn * self.size)
        codes = np.arange(len(self.weights)) if self.clusters is None else self.clusters
        present = np.unique(codes[self.weights > 0.0])
        drawn = present[rng.integers(0, len(present), len(present))]
        return np.asarray(self.weights * np.bincount(drawn, minlength=int(codes.max()) + 1)[codes])

    @property
    def n_clusters(self) -> int | None:
        """Number of clusters with a row of positive weight, or None if no clusters are drawn."""
        if self.clusters is None:
            return None
        return len(np.unique(self.clusters[self.weights > 0.0]))


def bootstrap_coefficients(
    fit: Callable[..., Solution],
    model: Any,
    X: Any,
    y: Any,
    observed: Observations,
    sampling: Sampling,
    offset: ArrayLike | None,
    *,
    n_bootstrap: int,
    seed: int,
    n_jobs: int | None,
    verbose: int,
) -> Replicates:
    """Fit the model to all rows and to bootstrap samples; return the coefficients of these fits.

    Every sample contains an observation of every class. ValueError is raised if `MOST_DRAWS`
    samples in sequence lack a class.

    Parameters
    ----------
    fit : callable
        Called as `fit(model, X, y, sample_weight, offset)`; fits the model and returns a Solution.
    model : estimator
        Fits use clones without callbacks, `warm_start` and `prior_correction`.
    X, y, offset : object
        The data as users gave them.
    observed : Observations
        The checked y.
    sampling : Sampling
        What is drawn with replacement.
    n_bootstrap : int
        Number of samples.
    seed : int
        Each sample has a random generator of its own, spawned from this seed, so that the samples
        do not depend on `n_jobs`.
    n_jobs : int or None
    verbose : int
        If positive, the number of the fits that are done is printed.
    """
    model = without_callbacks(clone(model))
    model.set_params(verbose=0, warm_start=False, prior_correction=None)
    is_penalised = Settings.of(model).is_penalised
    streams = np.random.SeedSequence(seed).spawn(n_bootstrap)
    done = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_fit)(fit, model, X, y, observed, sampling, offset, stream)
        for stream in (None, *streams)
    )
    whole, *fits = (
        with_progress(done, n_bootstrap + 1, "fits of the bootstrap") if verbose else done
    )
    coef = np.stack([fit.coef for fit in fits])
    # Without a penalty, a feature has coefficients of zero in all logits only if it is constant.
    constant = (coef[:, :, :-1] == 0.0).all(axis=1) & whole.coef[:, :-1].any(axis=0)
    return Replicates(
        whole.coef,
        coef,
        {
            "separated": sum(fit.is_separated for fit in fits),
            "not converged": sum(fit.has_not_converged for fit in fits),
            "constant": int(constant.any(axis=1).sum()) if not is_penalised else 0,
            "drawn again": sum(fit.n_redrawn for fit in fits),
        },
    )


@dataclass(frozen=True)
class _Fitted:
    """The result of one fit; `coef` has the shape (n_logits, n_features + 1), intercepts last.

    `n_redrawn` is the number of samples that were rejected before, because they lacked a class.
    """

    coef: Array
    is_separated: bool
    has_not_converged: bool
    n_redrawn: int


def _fit(
    fit: Callable[..., Solution],
    model: Any,
    X: Any,
    y: Any,
    observed: Observations,
    sampling: Sampling,
    offset: ArrayLike | None,
    seed: np.random.SeedSequence | None,
) -> _Fitted:
    """Fit a clone of the model to a sample drawn with this seed, or to all rows if it is None.

    The other parameters are those of `bootstrap_coefficients`.
    """
    drawn, n_redrawn = sampling.weights, 0
    if seed is not None:
        drawn, n_redrawn = _draw_all_classes(observed, sampling, np.random.default_rng(seed))
        if sampling.counts is not None and not observed.are_sets:
            y, drawn = _targets_of_sample(observed, drawn)
    fitted = clone(model)
    solution = fit(fitted, X, y, drawn, offset)
    status = solution.status
    return _Fitted(
        np.column_stack([dense_coef(fitted.coef_), to_host(fitted.intercept_)]),
        status in (Status.SEPARATED, Status.QUASI_SEPARATED),
        status is Status.MAX_ITER
        or (status is Status.PRECISION and solution.distance > UNCONVERGED),
        n_redrawn,
    )


def _draw_all_classes(
    observed: Observations, sampling: Sampling, rng: np.random.Generator
) -> tuple[Array, int]:
    """Return the weights of a sample that contains every class, and the number of rejected samples.

    The weights have the shape that `Sampling.draw` returns. Raises ValueError if `MOST_DRAWS`
    samples lack a class.
    """
    for n_redrawn in range(MOST_DRAWS):
        drawn = sampling.draw(rng)
        totals = drawn.sum(axis=0) if drawn.ndim == 2 else observed.totals(drawn)
        if (totals > 0.0).all():
            return drawn, n_redrawn
    rarest = int(totals.argmin())
    unit = "rows" if sampling.clusters is None else "clusters"
    raise ValueError(
        f"No bootstrap sample in {MOST_DRAWS} draws contained every class: the class "
        f"{observed.classes.tolist()[rarest]!r} is in too few {unit}."
    )


def _targets_of_sample(observed: Observations, drawn: Array) -> tuple[Any, Array]:
    """Return y and sample weights for a sample whose observations were drawn one by one.

    Parameters
    ----------
    observed : Observations
        The checked y of the user; its rows are not sets.
    drawn : ndarray of shape (n_samples,) or (n_samples, n_classes)
        The weights that `Sampling.draw` returned.

    Returns
    -------
    y : ndarray of shape (n_samples,), or DataFrame of shape (n_samples, n_classes)
        If rows have one class each, their labels. Otherwise a table of counts: `drawn` for the rows
        that were drawn. The other rows keep their original counts, because a row of zeros is no
        valid y.
    weights : ndarray of shape (n_samples,)
        `drawn` for labels. For a table, 1 for rows that were drawn and 0 for the others.
    """
    if observed.codes is not None:
        return observed.classes[observed.codes], drawn
    is_drawn = np.asarray(drawn.any(axis=1))
    table = np.where(is_drawn[:, None], drawn, observed.table)
    return pd.DataFrame(table, columns=observed.classes), is_drawn.astype(float)
