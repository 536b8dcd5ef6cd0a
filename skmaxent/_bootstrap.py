"""Fits to resampled rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmaxent._callbacks import without_callbacks
from skmaxent._targets import Observed

Array = NDArray[Any]

MOST_DRAWS = 100


def bootstrap_coefficients(
    model: Any,
    X: Any,
    y: Any,
    observed: Observed,
    sample_weight: Array | None,
    offset: Any,
    *,
    n_bootstrap: int,
    seed: int,
    n_jobs: int | None,
    verbose: int,
) -> Array:
    """Coefficients, the intercept last, of fits to rows drawn with replacement.

    Rows are drawn as counts that multiply their weights, within which every class keeps a row.
    Shape (n_bootstrap, n_rows of coef_, n_features + 1).
    """
    streams = np.random.SeedSequence(seed).spawn(n_bootstrap)
    fits = Parallel(n_jobs=n_jobs, verbose=10 if verbose > 0 else 0)(
        delayed(_fit)(model, X, y, observed, sample_weight, offset, stream) for stream in streams
    )
    return np.stack(fits)


def _fit(
    model: Any,
    X: Any,
    y: Any,
    observed: Observed,
    sample_weight: Array | None,
    offset: Any,
    seed: Any,
) -> Array:
    rng = np.random.default_rng(seed)
    n = observed.n_samples
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, float)
    for _ in range(MOST_DRAWS):
        drawn = weights * np.bincount(rng.integers(0, n, n), minlength=n)
        if (observed.totals(drawn) > 0).all():
            break
    else:
        raise ValueError(
            f"in {MOST_DRAWS} draws some class had no row: it has too few rows for a bootstrap."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = without_callbacks(clone(model))
        fitted.set_params(verbose=0, warm_start=False, prior_correction=None)
        fitted.fit(X, y, drawn, offset)
    return np.column_stack([fitted.coef_, fitted.intercept_])
