"""The parameters that a classifier was fitted with, which inference must find unchanged."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

# Parameters that define the objective; the others say how to minimise it.
DEFINING = (
    "penalty",
    "C",
    "l1_ratio",
    "grouped",
    "penalty_factor",
    "prior_coef",
    "bounds",
    "bias_reduction",
    "fit_intercept",
    "class_weight",
    "prior_correction",
    "label_smoothing",
    "partial_labels",
)


def parameters_of_fit(estimator: Any) -> dict[str, Any]:
    """Those that define the objective, as they are now."""
    return {name: _kept(getattr(estimator, name)) for name in DEFINING}


def refuse_other_parameters(estimator: Any, then: dict[str, Any]) -> None:
    """Raise ValueError where a parameter is no longer what it was `then`."""
    for name, value in then.items():
        now = getattr(estimator, name)
        if not _is_same(value, now):
            raise ValueError(
                f"{name} was {value!r} when this {type(estimator).__name__} was fitted and is "
                f"{now!r} now: infer is for the fit that was made. Fit again, or set {name} back."
            )


def _kept(value: Any) -> Any:
    """A parameter as it is at the fit: a copy of what a later fit or the caller may change."""
    if value is None or isinstance(value, (Real, str)):
        return value
    if not hasattr(value, "coef_"):
        return copy.deepcopy(value)
    model = copy.copy(value)
    model.coef_ = copy.deepcopy(value.coef_)
    return model


def _is_same(one: Any, other: Any) -> bool:
    """Whether parameters are equal: arrays and tables by entries, models by attributes."""
    if one is other:
        return True
    if type(one) is not type(other):
        return isinstance(one, Real) and isinstance(other, Real) and bool(one == other)
    if hasattr(one, "coef_"):
        return _is_same(vars(one), vars(other))
    if hasattr(one, "equals"):
        return bool(one.equals(other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(np.all(one == other)) if np.shape(one) == np.shape(other) else False
