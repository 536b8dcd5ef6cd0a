"""The library and the device of an array, and the exchange of arrays with NumPy.

With ``sklearn.config_context(array_api_dispatch=True)`` arrays may be of any library that follows
the Python array API standard, such as PyTorch or CuPy, on any of its devices.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from numpy.typing import DTypeLike

from skmaxent._cached import cached_property
from skmaxent._sklearn import namespace_and_device, to_numpy
from skmaxent._typing import Array

# The dtype that replaces one that a device lacks, as Apple's GPUs lack float64.
NARROWER = {"float64": "float32"}
# Attributes of a fitted estimator whose arrays are placed on the device of X.
ATTRIBUTES_ON_DEVICE = {"coef_", "intercept_", "n_iter_", "threshold_", "_correction"}


@dataclass(frozen=True)
class Place:
    """A library that follows the array API standard, and one of its devices.

    Attributes
    ----------
    xp : module
        The namespace of the library.
    device : object
        The device, as the library represents it.
    """

    xp: Any
    device: Any

    def __reduce__(self) -> Any:
        return _place_from_names, (self.xp.__name__, self.device)  # a module is pickled by its name

    @cached_property
    def _dtypes(self) -> dict[str, Any]:
        """The dtypes of the device by their names in the standard, which are those of NumPy."""
        return dict(self.xp.__array_namespace_info__().dtypes(device=self.device))

    @property
    def is_cpu(self) -> bool:
        """Whether the device is the processor."""
        return "cpu" in str(self.device).lower()

    def dtype(self, dtype: DTypeLike) -> Any:
        """Return the library's dtype for NumPy's, or a narrower one if the device lacks it."""
        name = np.dtype(dtype).name
        return getattr(self.xp, name if name in self._dtypes else NARROWER.get(name, name))

    def numpy_dtype(self, dtype: DTypeLike) -> np.dtype[Any]:
        """Return the NumPy dtype that corresponds to a dtype of the library."""
        return np.dtype(next(name for name, own in self._dtypes.items() if own == dtype))

    def put(self, array: Array) -> Any:
        """Return an array on the device with the contents of a NumPy array, a copy or a view."""
        if array.dtype.name not in self._dtypes and array.dtype.name in NARROWER:
            array = array.astype(NARROWER[array.dtype.name])
        if not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()  # PyTorch refuses read-only arrays and negative strides
        return self.xp.asarray(array, device=self.device)

    def fetch(self, array: Any) -> Array:
        """Return a NumPy array with the contents of an array on the device, a copy or a view.

        Raises ValueError for a PyTorch tensor that records gradients.
        """
        _refuse_gradients(array)
        return to_numpy(array, self.xp)


def place_of(array: Any) -> Place | None:
    """Return the library and device of an array, or None.

    The result is None for NumPy arrays, for objects that are no arrays, and while scikit-learn's
    `array_api_dispatch` is switched off.
    """
    if not _may_be_elsewhere(array) or not sklearn.get_config()["array_api_dispatch"]:
        return None
    found = namespace_and_device(array)
    if found is None:
        return None
    _refuse_gradients(array)
    return Place(*found)


def to_host(array: Any) -> Any:
    """Return a NumPy view or copy of an array of another library; return other objects unchanged.

    Arrays are converted also while scikit-learn's dispatch is switched off, since the coefficients
    of a model that was fitted on a device are still there.
    """
    if not _may_be_elsewhere(array):
        return array
    try:
        from sklearn.externals.array_api_compat import array_namespace, is_numpy_namespace
    except ImportError:  # versions of scikit-learn without this module do not dispatch
        return array
    try:
        xp = array_namespace(array)
    except TypeError:
        return array
    return array if is_numpy_namespace(xp) else Place(xp, None).fetch(array)


def moved_to(place: Place | None, array: Array) -> Any:
    """Return an array on the device of `place` with the contents of a NumPy array.

    The NumPy array itself is returned if `place` is None or if its entries are no numbers.
    """
    return array if place is None or array.dtype.kind not in "biuf" else place.put(array)


def attributes_on_devices_of(attributes: Mapping[str, Any], X: Any, y: Any) -> dict[str, Any]:
    """Return copies of fitted attributes, by name, on the devices where a fit of X, y puts them.

    Those of ATTRIBUTES_ON_DEVICE are put on the device of X, and `classes_` on that of y.
    `attributes` are all attributes of the estimator, on any device.
    """
    moved = {}
    place = place_of(X)
    if place is not None:
        known = ATTRIBUTES_ON_DEVICE & attributes.keys()
        moved = {name: place.put(to_host(attributes[name])) for name in known}
    if "classes_" in attributes:
        moved["classes_"] = moved_to(place_of(y), to_host(attributes["classes_"]))
    return moved


def check_same_place(X: Any, place: Place | None, method: str) -> None:
    """Raise ValueError if X is not on the device on which the model was fitted.

    Parameters
    ----------
    X : array-like
        The rows as the user gave them.
    place : Place or None
        The place of the coefficients; None stands for host memory.
    method : str
        The method that was called, such as "MaxentClassifier.predict", for the error.
    """
    if isinstance(X, np.ndarray) and place is None:
        return
    if not sklearn.get_config()["array_api_dispatch"]:
        return
    found = place_of(X)
    if found != place:
        raise ValueError(
            f"Inputs passed to {method}() must use the same namespace and the same device as those "
            f"passed to fit(). Found {_name_of(found)}, expected {_name_of(place)}: move X, or "
            "fit again."
        )


def _name_of(place: Place | None) -> str:
    """Return a description of a place for errors."""
    if place is None:
        return "an array-like of NumPy's namespace"
    return f"an array of {place.xp.__name__} on the device {place.device}"


def _place_from_names(name: str, device: Any) -> Place:
    """Return the `Place` of a device and of the library's module name; unpickling calls this."""
    return Place(importlib.import_module(name), device)


_named = _place_from_names  # the name in pickles of earlier versions


def _refuse_gradients(array: Any) -> None:
    """Raise ValueError for a PyTorch tensor that records gradients."""
    if getattr(array, "requires_grad", False):
        raise ValueError(
            "found a tensor that records gradients (requires_grad=True); expected one that does "
            "not: pass tensor.detach()."
        )


def _may_be_elsewhere(array: Any) -> bool:
    """Return whether an object may be an array of another library than NumPy."""
    return (
        not isinstance(array, (np.ndarray, np.generic))
        and hasattr(array, "__dlpack__")
        and hasattr(array, "shape")
    )
