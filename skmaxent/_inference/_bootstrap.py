"""Fits to resampled rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from skmaxent._callbacks import without_callbacks
from skmaxent._input._observations import Observations
from skmaxent._model._prediction import dense_coef
from skmaxent._solvers import Solution, Status
from skmaxent._storage._place import to_host
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# Draws of a sample until each class has a row; then an error names the rarest class.
MOST_DRAWS = 100
# Standard errors from the optimum above which a fit that stopped for rounding has not converged.
UNCONVERGED = 0.1


@dataclass(frozen=True)
class Replicates:
    """Coefficients of fits to samples, the intercept last, (n_bootstrap, rows of coef_, d + 1).

    `whole` are those of a fit to all rows. `counts` has the number of samples with separated
    classes, of fits that did not converge, of fits without penalty to samples in which a feature
    was constant, and of samples that were drawn again because they lacked a class.
    """

    whole: Array
    coef: Array
    counts: dict[str, int]

    def warn(self, fitted: Array) -> None:
        """Warn of samples without estimates, and where the coefficients that were fitted are others
        than those of a fit to all rows."""
        n = len(self.coef)
        told = {
            "separated": "have separated classes",
            "not converged": "have fits that did not converge",
            "constant": "have a feature that is constant",
        }
        found = [f"{self.counts[key]} {what}" for key, what in told.items() if self.counts[key]]
        if found:
            warn_user(
                f"Of {n} bootstrap samples {', '.join(found)}: such samples have no finite or no "
                "unique estimates, so that standard errors, and intervals where these samples are "
                "many, say little. Fit with a penalty or bias_reduction.",
            )
        difference = np.abs(self.whole - fitted)
        is_far = difference > np.maximum(0.5 * self.coef.std(axis=0), 1e-6 * np.abs(self.whole))
        if is_far.any() and np.isfinite(self.whole).all():
            warn_user(
                "the coefficients are not those of a fit to X and y, by more than half a standard "
                "error: infer needs the data of the fit, and a fit that has converged.",
            )


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn: clusters, rows, or single observations, with replacement.

    `clusters` has a code for each row, None where no clusters are drawn. `counts` are the
    observations of each row, (n_samples,), or of each row and class, (n_samples, n_classes), where
    these are drawn one by one; each of the `n_drawn` counts as `size` of them. `weights` multiply
    the draws of rows and clusters.
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
        """From what the rows say, their checked weights, codes of clusters, and what weights mean.

        Raises
        ------
        ValueError
            Where weights that count rows sum to less than the number of classes.
        """
        given = np.ones(observed.n_samples) if sample_weight is None else sample_weight
        if groups is not None or weights == "probability":
            return cls(given, groups)
        counts = given if observed.multiplicity is None else given * observed.multiplicity
        if observed.codes is None and not observed.sets:
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
        """Weights of a sample: (n_samples,), or (n_samples, n_classes) for counts of a table."""
        if self.counts is not None:
            shares = self.counts.ravel() / self.counts.sum()
            drawn = rng.multinomial(self.n_drawn, shares).reshape(self.counts.shape)
            return np.asarray(drawn * self.size)
        codes = np.arange(len(self.weights)) if self.clusters is None else self.clusters
        present = np.unique(codes[self.weights > 0.0])
        some = present[rng.integers(0, len(present), len(present))]
        return np.asarray(self.weights * np.bincount(some, minlength=int(codes.max()) + 1)[codes])

    @property
    def n_clusters(self) -> int | None:
        """Clusters with rows of positive weight."""
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
    offset: Any,
    *,
    n_bootstrap: int,
    seed: int,
    n_jobs: int | None,
    verbose: int,
) -> Replicates:
    """Coefficients of fits to samples, in each of which every class has an observation.

    `fit` fits a model to X, y, sample_weight and offset, and returns the solution.
    Each sample has a stream of random numbers of its own, so that `n_jobs` does not matter.
    """
    model = without_callbacks(clone(model))
    model.set_params(verbose=0, warm_start=False, prior_correction=None)
    streams = np.random.SeedSequence(seed).spawn(n_bootstrap)
    whole, *fits = Parallel(n_jobs=n_jobs, verbose=10 if verbose > 0 else 0)(
        delayed(_fit)(fit, model, X, y, observed, sampling, offset, stream)
        for stream in (None, *streams)
    )
    coef = np.stack([fit.coef for fit in fits])
    lost = (coef[:, :, :-1] == 0.0).all(axis=1) & whole.coef[:, :-1].any(axis=0)
    return Replicates(
        whole.coef,
        coef,
        {
            "separated": sum(fit.is_separated for fit in fits),
            "not converged": sum(fit.has_not_converged for fit in fits),
            "constant": int(lost.any(axis=1).sum()) if np.isinf(model.C) else 0,
            "drawn again": sum(fit.n_redrawn for fit in fits),
        },
    )


@dataclass(frozen=True)
class _Fitted:
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
    offset: Any,
    seed: np.random.SeedSequence | None,
) -> _Fitted:
    """The fit to a sample, or without a seed to all rows."""
    drawn, n_redrawn = sampling.weights, 0
    if seed is not None:
        drawn, n_redrawn = _drawn(observed, sampling, np.random.default_rng(seed))
        if sampling.counts is not None and not observed.sets:
            y, drawn = _labels(observed, drawn)
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


def _drawn(
    observed: Observations, sampling: Sampling, rng: np.random.Generator
) -> tuple[Array, int]:
    """A sample with every class, and how many without were drawn before."""
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


def _labels(observed: Observations, drawn: Array) -> tuple[Any, Array]:
    """y and weights for observations that were drawn one by one."""
    if observed.codes is not None:
        return observed.classes[observed.codes], drawn
    is_drawn = np.asarray(drawn.any(axis=1))
    table = np.where(is_drawn[:, None], drawn, observed.table)
    return pd.DataFrame(table, columns=observed.classes), is_drawn.astype(float)
