"""Fits to resampled rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

Array = NDArray[Any]

MOST_DRAWS = 100


def bootstrap_coefficients(
    model: Any,
    X: Any,
    y: Any,
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
    labels = np.asarray(y)
    codes = np.unique(labels, return_inverse=True)[1]
    streams = np.random.SeedSequence(seed).spawn(n_bootstrap)
    fits = Parallel(n_jobs=n_jobs, verbose=10 if verbose > 0 else 0)(
        delayed(_fit)(model, X, labels, codes, sample_weight, offset, stream) for stream in streams
    )
    return np.stack(fits)


def _fit(
    model: Any, X: Any, y: Array, codes: Array, sample_weight: Array | None, offset: Any, seed: Any
) -> Array:
    rng = np.random.default_rng(seed)
    weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
    for _ in range(MOST_DRAWS):
        drawn = weights * np.bincount(rng.integers(0, len(y), len(y)), minlength=len(y))
        if (np.bincount(codes, drawn) > 0).all():
            break
    else:
        raise ValueError(
            f"in {MOST_DRAWS} draws some class had no row: it has too few rows for a bootstrap."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = clone(model).set_params(verbose=0, warm_start=False, prior_correction=None)
        fitted.fit(X, y, drawn, offset)
    return np.column_stack([fitted.coef_, fitted.intercept_])
