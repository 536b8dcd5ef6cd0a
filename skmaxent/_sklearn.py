"""Private and recent parts of scikit-learn that this package uses, with guards for its versions.

Nothing else in the package imports a private name of scikit-learn, so that this file is what to
read when a new version breaks something.
"""

from __future__ import annotations

import copy
import functools
import inspect
from numbers import Integral, Real
from typing import Any

import numpy as np
import sklearn
from sklearn.linear_model._base import SparseCoefMixin as SparseCoefMixin
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import _array_api, _safe_indexing
from sklearn.utils._param_validation import HasMethods as HasMethods
from sklearn.utils._param_validation import Interval as Interval
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints
from sklearn.utils._param_validation import StrOptions as StrOptions
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, _get_feature_names

try:
    from sklearn import callback
except ImportError:  # before 1.9
    callback = None

callback_protocol = callback
HAS_CALLBACKS = callback_protocol is not None
# Whether scikit-learn dispatches on array namespaces completely, as since 1.9, which is the first
# version with `check_same_namespace`.
HAS_DISPATCH = hasattr(_array_api, "check_same_namespace")

# The constraint of the parameter `n_jobs`, which joblib converts to an integer of the machine.
VALID_N_JOBS: list[Any] = [None, Interval(Integral, -(2**31), 2**31 - 1, closed="both")]

check_feature_names_in = _check_feature_names_in
feature_names_of = _get_feature_names
safe_indexing = _safe_indexing


def check_parameters(estimator: Any) -> None:
    """Raise InvalidParameterError if a parameter violates the class's `_parameter_constraints`.

    Parameters that have their default values are valid and are not checked, which saves time.
    """
    cls: Any = type(estimator)
    defaults = _defaults_of(cls)
    params = estimator.get_params(deep=False)
    changed = {name: params[name] for name in params if params[name] is not defaults.get(name)}
    for name, value in changed.items():
        if isinstance(value, Real):
            _refuse_beyond_float(name, value, cls.__name__)
    if changed:
        validate_parameter_constraints(cls._parameter_constraints, changed, cls.__name__)


def _refuse_beyond_float(name: str, value: Any, owner: str) -> None:
    """Raise InvalidParameterError for a number that `float` does not convert.

    scikit-learn accepts integers of any size, and fails with durations of NumPy, which are
    integers for Python.
    """
    try:
        float(value)
    except (OverflowError, TypeError) as error:
        raise InvalidParameterError(
            f"The {name!r} parameter of {owner} must be a number that float64 can hold, found an "
            f"object of type {type(value).__name__}: {error}."
        ) from error


@functools.lru_cache(maxsize=16)
def _defaults_of(cls: type) -> dict[str, Any]:
    """Return the default values of the parameters of an estimator's class, by name."""
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def namespace_and_device(array: Any) -> tuple[Any, Any] | None:
    """Return the array API namespace and the device of an array, or None for NumPy's namespace.

    Raises ImportError if scikit-learn is too old to dispatch on array namespaces completely.
    """
    if not HAS_DISPATCH:
        raise ImportError(
            f"arrays of {type(array).__module__} with array_api_dispatch=True need scikit-learn "
            f"1.9 or later; found {sklearn.__version__}: update it, or give NumPy arrays."
        )
    xp, _, device = _array_api.get_namespace_and_device(array)
    return None if _array_api._is_numpy_namespace(xp) else (xp, device)


def to_numpy(array: Any, xp: Any) -> np.ndarray[Any, Any]:
    """Return an array of the namespace `xp` as a NumPy array, a view if possible."""
    return np.asarray(_array_api._convert_to_numpy(array, xp))


def output_of_transform(estimator: Any) -> str:
    """Return what `set_output` chose for a transformer: "default", "pandas" or "polars"."""
    return str(_get_output_config("transform", estimator)["dense"])


def scorer_of_classes(scorer: Any, classes: np.ndarray[Any, Any]) -> Any:
    """Return a scorer that knows the classes, as those of `LogisticRegressionCV` do.

    For two classes the positive class is ``classes[1]``, unless the scorer names one of them.
    Scores of probabilities or logits get all classes, because the rows to score may lack some of
    them. Other functions than scikit-learn's scorers are returned as they are.
    """
    if not isinstance(scorer, _BaseScorer):
        return scorer
    parameters, known = inspect.signature(scorer._score_func).parameters, {}
    if len(classes) == 2 and "pos_label" in parameters and "pos_label" not in scorer._kwargs:
        default = parameters["pos_label"].default
        if default not in classes.tolist():
            known["pos_label"] = classes[1]
    if scorer._response_method != "predict" and "labels" in parameters:
        known["labels"] = classes
    scorer = copy.copy(scorer)
    scorer._kwargs = known | scorer._kwargs
    return scorer
