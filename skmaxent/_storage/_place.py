"""The library and the device that hold arrays which are not NumPy's.

With ``sklearn.config_context(array_api_dispatch=True)`` these are arrays of any library that
follows the Python array API standard, on any of its devices.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sklearn
from sklearn.utils.validation import check_is_fitted

from skmaxent._sklearn import check_same_namespace, namespace_and_device, to_numpy
from skmaxent._typing import Array

# What some devices have instead.
NARROWER = {"float64": "float32"}
# Arrays of a fitted estimator that are where X is.
FOLLOWING = {"coef_", "intercept_", "n_iter_", "threshold_", "_correction"}


@dataclass(frozen=True)
class Place:
    """A namespace of the array API standard, and one of its devices."""

    xp: Any
    device: Any

    def __reduce__(self) -> Any:
        return _named, (self.xp.__name__, self.device)  # a module is pickled by its name

    @cached_property
    def _dtypes(self) -> dict[str, Any]:
        return dict(self.xp.__array_namespace_info__().dtypes(device=self.device))

    @property
    def is_cpu(self) -> bool:
        return "cpu" in str(self.device).lower()

    def dtype(self, dtype: Any) -> Any:
        """The library's name for a dtype of NumPy's, or for the one that a device has instead."""
        name = np.dtype(dtype).name
        return getattr(self.xp, name if name in self._dtypes else NARROWER.get(name, name))

    def numpy_dtype(self, dtype: Any) -> np.dtype[Any]:
        """NumPy's name for a dtype of the library's."""
        return np.dtype(next(name for name, own in self._dtypes.items() if own == dtype))

    def put(self, array: Array) -> Any:
        """A copy or view of a NumPy array here."""
        if array.dtype.name not in self._dtypes and array.dtype.name in NARROWER:
            array = array.astype(NARROWER[array.dtype.name])
        if not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()  # PyTorch takes no others
        return self.xp.asarray(array, device=self.device)

    def fetch(self, array: Any) -> Array:
        """A copy or view of an array here as NumPy's."""
        _refuse_gradients(array)
        return to_numpy(array, self.xp)


def place_of(array: Any) -> Place | None:
    """Where an array is that scikit-learn would dispatch on; None for NumPy and all else."""
    if not _may_be_elsewhere(array) or not sklearn.get_config()["array_api_dispatch"]:
        return None
    found = namespace_and_device(array)
    if found is None:
        return None
    _refuse_gradients(array)
    return Place(*found)


def to_host(array: Any) -> Any:
    """NumPy's view or copy of an array that is elsewhere; anything else as it is.

    Whether scikit-learn dispatches does not matter: a fitted model stays where it is.
    """
    if not _may_be_elsewhere(array):
        return array
    try:
        from sklearn.externals.array_api_compat import array_namespace, is_numpy_namespace
    except ImportError:  # before dispatch was supported
        return array
    try:
        xp = array_namespace(array)
    except TypeError:
        return array
    return array if is_numpy_namespace(xp) else Place(xp, None).fetch(array)


def moved_to(place: Place | None, array: Array) -> Any:
    """A NumPy array there; where it is for None, and for labels that are no numbers."""
    return array if place is None or array.dtype.kind not in "biuf" else place.put(array)


def following(attributes: dict[str, Any], X: Any, y: Any) -> dict[str, Any]:
    """Fitted attributes with the arrays where X is, and the classes where y is."""
    moved = {}
    place = place_of(X)
    if place is not None:
        known = FOLLOWING & attributes.keys()
        moved = {name: place.put(to_host(attributes[name])) for name in known}
    if "classes_" in attributes:
        moved["classes_"] = moved_to(place_of(y), to_host(attributes["classes_"]))
    return attributes | moved


def check_same_place(X: Any, estimator: Any, method: str) -> None:
    """Raise where rows are not where those of the fit were."""
    coef = getattr(estimator, "coef_", None)
    if isinstance(X, np.ndarray) and isinstance(coef, np.ndarray):
        return
    if not sklearn.get_config()["array_api_dispatch"]:
        return
    check_is_fitted(estimator)
    if place_of(X) is None and isinstance(coef, np.ndarray):
        return
    check_same_namespace(X, estimator, attribute="coef_", method=method)


def _named(name: str, device: Any) -> Place:
    return Place(importlib.import_module(name), device)


def _refuse_gradients(array: Any) -> None:
    if getattr(array, "requires_grad", False):
        raise ValueError(
            "an array that records gradients (requires_grad=True) was given; expected one that "
            "does not: pass array.detach()."
        )


def _may_be_elsewhere(array: Any) -> bool:
    return (
        not isinstance(array, (np.ndarray, np.generic))
        and hasattr(array, "__dlpack__")
        and hasattr(array, "shape")
    )
