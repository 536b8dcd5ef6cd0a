"""The rows of a survey that `infer` reads: those of the subpopulation, with sampling weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from skmaxent._estimators._inference_kinds import InferenceOptions, UserData
from skmaxent._inference._survey_design import SurveyDesign, sampling_weights, units_of
from skmaxent._input._arguments import check_type
from skmaxent._input._validation import check_offset, is_no_offset
from skmaxent._storage._cluster import refuse_dask
from skmaxent._storage._place import to_host
from skmaxent._typing import Array


def rows_of_survey(
    data: UserData, options: InferenceOptions, classes: Array
) -> tuple[UserData, InferenceOptions]:
    """Return the rows of the subpopulation with sampling weights, and options for these rows.

    Parameters
    ----------
    data : UserData
        The whole sample.
    options : InferenceOptions
        The arguments of `infer`. If there is no design, both results are the arguments.
    classes : ndarray of shape (n_classes,)
        The labels of the fit.

    Returns
    -------
    data : UserData
    options : InferenceOptions
        With the design as `Units`, and without `subpopulation`.
    """
    design = options.design
    if design is None:
        if options.subpopulation is not None:
            raise ValueError(
                "subpopulation is for design, found design=None: without a design leave the other "
                "rows out of X and y."
            )
        return data, options
    check_type("design", design, SurveyDesign, "a SurveyDesign")
    _refuse_others(options)
    refuse_dask("infer with a design", *data)
    data = data.on_host()
    n_samples = data.X.shape[0] if hasattr(data.X, "shape") else len(data.X)
    chosen = _mask(options.subpopulation, n_samples)
    weights = sampling_weights(design, data.sample_weight, n_samples)
    if not (weights[chosen] > 0.0).any():
        raise ValueError("subpopulation has no rows of positive weight.")
    units = units_of(design, weights, chosen)
    options = replace(options, design=units, subpopulation=None, weights="probability")
    offset = data.offset
    if not is_no_offset(offset):
        offset = check_offset(offset, n_samples, classes, np.float64)
    data = replace(data, sample_weight=weights, offset=offset)
    if chosen.all():
        return data, options
    at = np.flatnonzero(chosen)
    some = [None if part is None else _safe_indexing(part, at) for part in data]
    return UserData(*some), options


def _refuse_others(options: InferenceOptions) -> None:
    """Raise ValueError for arguments that cannot be combined with a design."""
    for name in ("cov_type", "groups", "features", "method", "small_sample"):
        found = getattr(options, name)
        if found is not None:
            shown = "an array" if name == "groups" else repr(found)
            raise ValueError(
                f"design determines the covariance: expected {name}=None, found {shown}."
            )


def _mask(subpopulation: Any, n_samples: int) -> Array:
    """Return a mask of the rows of the subpopulation, (n_samples,); all rows for None."""
    if subpopulation is None:
        return np.ones(n_samples, bool)
    mask = np.asarray(to_host(subpopulation))
    if mask.dtype != bool or mask.shape != (n_samples,):
        raise ValueError(
            f"subpopulation must be a mask of bool of shape ({n_samples},), found {mask.dtype} of "
            f"shape {mask.shape}."
        )
    return mask
