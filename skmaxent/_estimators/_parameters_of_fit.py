"""The parameters of a fit: inference raises an error if they have been changed since."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp

# Parameters that define the objective. The others determine how it is minimised.
OBJECTIVE_PARAMETERS = (
    "penalty",
    "C",
    "alpha",
    "l1_ratio",
    "standardize",
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

# What a fitted model determines as `prior_coef`. A model in `FrozenEstimator` has these attributes
# too, but not in its own `__dict__`.
PRIOR_ATTRIBUTES = "coef_", "classes_", "feature_names_in_"


def parameters_of_fit(estimator: Any) -> dict[str, Any]:
    """Return the present values of the parameters that define the objective, by name."""
    return {name: _copied(getattr(estimator, name)) for name in OBJECTIVE_PARAMETERS}


def refuse_other_parameters(estimator: Any, then: dict[str, Any]) -> None:
    """Raise ValueError if a parameter differs from its value in `then`, those of the fit."""
    for name, value in then.items():
        now = getattr(estimator, name)
        if not _is_same(value, now):
            raise ValueError(
                f"{name} is {now!r}, but was {value!r} when this {type(estimator).__name__} was "
                f"fitted; infer needs the parameters of the fit. Fit again, or restore {name}."
            )


def _copied(value: Any) -> Any:
    """Return a copy of a parameter, which later changes of its entries do not change.

    Only `coef_` of a fitted model is copied.
    """
    if value is None or isinstance(value, (Real, str)):
        return value
    if not hasattr(value, "coef_"):
        return copy.deepcopy(value)
    model = copy.copy(value)
    model.coef_ = copy.deepcopy(value.coef_)
    return model


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values of a parameter are equal.

    Arrays and tables are compared by entries, and fitted models by `PRIOR_ATTRIBUTES`.
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return isinstance(one, Real) and isinstance(other, Real) and bool(one == other)
    if hasattr(one, "coef_"):
        pairs = (
            (getattr(one, name, None), getattr(other, name, None)) for name in PRIOR_ATTRIBUTES
        )
        return all(_is_same(*pair) for pair in pairs)
    if sp.issparse(one):
        return one.shape == other.shape and not (one != other).nnz
    if hasattr(one, "equals"):
        return bool(one.equals(other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(np.all(one == other)) if np.shape(one) == np.shape(other) else False
