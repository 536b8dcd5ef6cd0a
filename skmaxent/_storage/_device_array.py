"""A wrapper that lets NumPy functions and operators work on arrays of the array API standard.

Kernels are written once, with NumPy's functions. `DeviceArray` implements NumPy's protocols
`__array_ufunc__` (NEP 13) and `__array_function__` (NEP 18) for the functions that kernels use, and
forwards them to the library of the array. Any other function raises TypeError. No array is copied
to the host except by `host`. Methods without a docstring do what those of a NumPy array do.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from skmaxent._storage._place import Place
from skmaxent._typing import Array

# Ufuncs that are operators in the array API, each with its in-place operator where it has one.
OPERATORS: dict[np.ufunc, tuple[Callable[..., Any], Callable[..., Any] | None]] = {
    np.add: (operator.add, operator.iadd),
    np.subtract: (operator.sub, operator.isub),
    np.multiply: (operator.mul, operator.imul),
    np.divide: (operator.truediv, operator.itruediv),
    np.power: (operator.pow, None),
    np.negative: (operator.neg, None),
    np.matmul: (operator.matmul, None),
    np.greater: (operator.gt, None),
    np.greater_equal: (operator.ge, None),
    np.less: (operator.lt, None),
    np.less_equal: (operator.le, None),
    np.equal: (operator.eq, None),
    np.bitwise_and: (operator.and_, None),
    np.bitwise_or: (operator.or_, None),
    np.invert: (operator.invert, None),
}
# Ufuncs that are functions in the array API, with their names in the array API.
DEVICE_FUNCTIONS: dict[np.ufunc, str] = {
    np.absolute: "abs",
    np.exp: "exp",
    np.logaddexp: "logaddexp",
    np.isfinite: "isfinite",
    np.log: "log",
    np.log1p: "log1p",
    np.maximum: "maximum",
    np.sqrt: "sqrt",
    np.square: "square",
}


class DeviceArray(NDArrayOperatorsMixin):
    """An array of another library with the methods of a NumPy array that kernels use.

    Parameters
    ----------
    array : array
        An array that follows the array API standard.
    place : Place
        The library and the device of `array`.
    is_view : bool, default=False
        Whether the array is a view of another one. The result of an operation in place is copied
        into a view, so that the other array changes too. Otherwise it replaces `array`, which saves
        the copy.
    """

    def __init__(self, array: Any, place: Place, *, is_view: bool = False) -> None:
        self.array = array
        self.place = place
        self._is_view = is_view

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        return len(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of NumPy that corresponds to the dtype of the array."""
        return self.place.numpy_dtype(self.array.dtype)

    @property
    def T(self) -> DeviceArray:
        return self.transpose()

    def host(self) -> Array:
        """Return the array as a NumPy array in host memory, a copy or a view."""
        return self.place.fetch(self.array)

    def __array__(self, *args: Any, **kwargs: Any) -> Array:
        # An implicit copy from the device would be slow and easy to overlook.
        raise TypeError("found an array on a device, expected a NumPy array: call its host().")

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __getitem__(self, key: Any) -> DeviceArray:
        if isinstance(key, DeviceArray):
            return self._wrap(self.place.xp.take(self.array, key.array, axis=0))
        if isinstance(key, tuple) and isinstance(key[-1], DeviceArray):
            return self._wrap(self.place.xp.take(self.array, key[-1].array, axis=len(key) - 1))
        return DeviceArray(self.array[self._full_index(key)], self.place, is_view=True)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, (DeviceArray, np.ndarray)):
            value = self.place.xp.astype(self._unwrap(value), self.array.dtype, copy=False)
        self.array[self._full_index(key)] = self._python_number(value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        (out,) = kwargs.pop("out", (None,))
        kwargs.pop("casting", None)  # results always have the dtype of what they are written to
        if kwargs or method not in ("__call__", "outer"):
            return NotImplemented
        if method == "outer":
            first, second = inputs
            inputs = first[:, None], second
        operation, in_place = OPERATORS.get(ufunc, (None, None))
        if out is None:
            return self._wrap(self._result(ufunc, operation, inputs))
        if in_place is not None and out is inputs[0]:
            other = self._python_number(inputs[1])
            if isinstance(other, (DeviceArray, np.ndarray)):
                other = self.place.xp.astype(self._unwrap(other), out.array.dtype, copy=False)
            out.array = in_place(out.array, other)
        else:
            out._write(self._result(ufunc, operation, inputs))
        return out

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        implementation = ARRAY_FUNCTIONS.get(function)
        return NotImplemented if implementation is None else implementation(*args, **kwargs)

    def take(self, rows: Array) -> DeviceArray:
        """Return a copy of the rows at positions in the NumPy array `rows`."""
        return self._wrap(self.place.xp.take(self.array, self.place.put(rows), axis=0))

    def entries(self, codes: DeviceArray) -> DeviceArray:
        """Return array[codes[m], m] for each column m, shape (n_columns,)."""
        return self._wrap(self.place.xp.take_along_axis(self.array, codes.array[None, :], axis=0))[
            0
        ]

    def add_to_entries(self, codes: DeviceArray, amount: float) -> None:
        """Add `amount` to array[codes[m], m] for each column m, in place."""
        xp = self.place.xp
        rows = xp.arange(self.shape[0], dtype=codes.array.dtype, device=self.place.device)
        is_own = xp.astype(codes.array[None, :] == rows[:, None], self.array.dtype)
        self.array += is_own if amount == 1.0 else is_own * amount

    def expit(self) -> DeviceArray:
        """Return the logistic function 1/(1 + exp(-z)) of each entry z."""
        return 1.0 / (1.0 + np.exp(-self))

    def log_expit(self) -> DeviceArray:
        """Return the logarithm of the logistic function of each entry."""
        low = self._wrap(self.place.xp.clip(self.array, max=0.0))
        return low - np.log1p(np.exp(-np.absolute(self)))

    def sum(self, axis: int | None = None, dtype: Any = None, keepdims: bool = False) -> Any:
        dtype = None if dtype is None else self.place.dtype(dtype)
        return self._wrap(self.place.xp.sum(self.array, axis=axis, dtype=dtype, keepdims=keepdims))

    def mean(self, axis: int | None = None) -> DeviceArray:
        return self._wrap(self.place.xp.mean(self.array, axis=axis))

    def max(self, axis: int | None = None, keepdims: bool = False) -> DeviceArray:
        return self._wrap(self.place.xp.max(self.array, axis=axis, keepdims=keepdims))

    def min(self, axis: int | None = None) -> DeviceArray:
        return self._wrap(self.place.xp.min(self.array, axis=axis))

    def argmax(self, axis: int | None = None) -> DeviceArray:
        xp, array = self.place.xp, self.array
        # The standard defines argmax for numbers only, not for booleans.
        is_boolean = xp.isdtype(array.dtype, "bool")
        return self._wrap(xp.argmax(xp.astype(array, xp.uint8) if is_boolean else array, axis=axis))

    def any(self, axis: int | None = None) -> DeviceArray:
        is_boolean = self.place.xp.isdtype(self.array.dtype, "bool")
        true = self.array if is_boolean else self.array != 0
        return self._wrap(self.place.xp.any(true, axis=axis))

    def clip(self, low: float, high: float | None = None) -> DeviceArray:
        return self._wrap(self.place.xp.clip(self.array, min=low, max=high))

    def sort(self, axis: int) -> None:
        self._write(self.place.xp.sort(self.array, axis=axis))

    def astype(self, dtype: Any, copy: bool = True, subok: bool = True) -> DeviceArray:
        own = self.place.dtype(dtype)
        return self._wrap(self.place.xp.astype(self.array, own, copy=copy))

    def copy(self) -> DeviceArray:
        return self._wrap(self.place.xp.asarray(self.array, copy=True))

    def ravel(self) -> DeviceArray:
        return self.reshape(-1)

    def reshape(self, *shape: int) -> DeviceArray:
        return self._wrap(self.place.xp.reshape(self.array, shape))

    def transpose(self, *axes: int) -> DeviceArray:
        axes = axes or tuple(reversed(range(self.ndim)))
        return self._wrap(self.place.xp.permute_dims(self.array, axes))

    def _wrap(self, array: Any) -> DeviceArray:
        """Return a DeviceArray of an array of the same library and device."""
        return DeviceArray(array, self.place)

    def _write(self, array: Any) -> None:
        """Set the contents: replace the array, or copy into it if it is a view."""
        if self._is_view:
            self.array[...] = self.place.xp.astype(array, self.array.dtype, copy=False)
        else:
            self.array = array

    def _full_index(self, key: Any) -> tuple[Any, ...]:
        """Return an index `key` in the form that the standard allows.

        The result has an entry for every axis, and slices end at the ends of axes at the latest.
        """
        index: list[Any] = []
        axis = 0
        for part in key if isinstance(key, tuple) else (key,):
            if isinstance(part, slice):
                start, stop, _ = part.indices(self.shape[axis])
                part = slice(start, max(start, stop))
            index.append(part)
            axis += part is not None
        return tuple(index) if ... in index else (*index, ...)

    def _python_number(self, value: Any) -> Any:
        """Return a NumPy scalar as a Python number, which does not widen the dtype of a result."""
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            value = value.item()
        return int(value) if isinstance(value, bool) else value

    def _unwrap(self, value: Any) -> Any:
        """Return an array of the library; NumPy arrays are copied to the device."""
        if isinstance(value, DeviceArray):
            return value.array
        value = self._python_number(value)
        return self.place.put(value) if isinstance(value, np.ndarray) else value

    def _result(
        self, ufunc: np.ufunc, operation: Callable[..., Any] | None, inputs: Sequence[Any]
    ) -> Any:
        """Return the library's result of a ufunc; `operation` is its entry in OPERATORS or None."""
        xp = self.place.xp
        arrays = [self._unwrap(value) for value in inputs]
        # The standard does not promote the operands of a matrix product.
        if ufunc is np.matmul and arrays[0].dtype != arrays[1].dtype:
            wide = xp.result_type(*arrays)
            arrays = [xp.astype(value, wide, copy=False) for value in arrays]
        if operation is not None:
            return operation(*arrays)
        if ufunc not in DEVICE_FUNCTIONS:
            raise TypeError(f"DeviceArray does not support {ufunc}: add it to DEVICE_FUNCTIONS.")
        first = _first_device_array(*inputs)
        return getattr(xp, DEVICE_FUNCTIONS[ufunc])(*map(first._as_array, arrays))

    def _as_array(self, value: Any) -> Any:
        """Return a number as an array of this dtype, which some functions need; else `value`."""
        if not isinstance(value, (int, float)):
            return value
        xp = self.place.xp
        return xp.asarray(value, dtype=self.array.dtype, device=self.place.device)


def unwrapped(value: Any) -> Any:
    """Return the library's array of a DeviceArray; return other objects unchanged."""
    return value.array if isinstance(value, DeviceArray) else value


def on_host(value: Any) -> Any:
    """Return a DeviceArray as a NumPy array; return other objects unchanged."""
    return value.host() if isinstance(value, DeviceArray) else value


def _first_device_array(*arrays: Any) -> DeviceArray:
    """Return the first DeviceArray among the arguments."""
    return next(array for array in arrays if isinstance(array, DeviceArray))


def _filled(
    like: DeviceArray, value: float, dtype: Any = None, shape: Any = None, subok: bool = True
) -> DeviceArray:
    """Return np.full_like."""
    shape = like.shape if shape is None else shape
    dtype = like.array.dtype if dtype is None else like.place.dtype(dtype)
    place = like.place
    return like._wrap(
        place.xp.full(shape, like._python_number(value), dtype=dtype, device=place.device)
    )


def _einsum(subscripts: str, first: Any, second: Any) -> DeviceArray:
    """Return np.einsum for two arrays, each with distinct letters; the array API has no einsum.

    Both arrays get an axis for every letter, in alphabetical order, of length one for letters that
    they lack. The sum of their product over the axes that the output lacks is then transposed.
    """
    inputs, output = subscripts.split("->")
    names = inputs.split(",")
    every = sorted(set(inputs) - {","})
    like = _first_device_array(first, second)
    xp = like.place.xp
    factors = []
    for letters, array in zip(names, (first, second), strict=True):
        order = [letters.index(letter) for letter in sorted(letters)]
        factor = xp.permute_dims(like._unwrap(array), order)
        sizes = dict(zip(sorted(letters), factor.shape, strict=True))
        factors.append(xp.reshape(factor, tuple(sizes.get(letter, 1) for letter in every)))
    axes = tuple(i for i, letter in enumerate(every) if letter not in output)
    summed = xp.sum(factors[0] * factors[1], axis=axes)
    kept = [letter for letter in every if letter in output]
    return like._wrap(xp.permute_dims(summed, [kept.index(letter) for letter in output]))


def _count_nonzero(array: DeviceArray) -> int:
    return int(array.place.xp.count_nonzero(array.array))


def _where(condition: Any, first: Any, second: Any) -> DeviceArray:
    like = _first_device_array(first, second)
    both = [like._as_array(like._unwrap(value)) for value in (first, second)]
    return like._wrap(like.place.xp.where(like._unwrap(condition), *both))


def _concatenate(arrays: Sequence[DeviceArray], axis: int = 0) -> DeviceArray:
    like = arrays[0]
    return like._wrap(like.place.xp.concat([array.array for array in arrays], axis=axis))


def _stack(arrays: Sequence[DeviceArray], axis: int = 0) -> DeviceArray:
    like = arrays[0]
    return like._wrap(like.place.xp.stack([array.array for array in arrays], axis=axis))


def _broadcast_to(array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    return array._wrap(array.place.xp.broadcast_to(array.array, shape))


def _diag(array: DeviceArray) -> DeviceArray:
    place = array.place
    unit = place.xp.eye(len(array), dtype=array.array.dtype, device=place.device)
    return array._wrap(unit * array.array)


def _empty_like(
    like: DeviceArray, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> DeviceArray:
    dtype = like.array.dtype if dtype is None else like.place.dtype(dtype)
    shape = like.shape if shape is None else shape
    return like._wrap(like.place.xp.empty(shape, dtype=dtype, device=like.place.device))


# Functions of NumPy that are not ufuncs, with their implementations.
ARRAY_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.broadcast_to: _broadcast_to,
    np.concatenate: _concatenate,
    np.count_nonzero: _count_nonzero,
    np.diag: _diag,
    np.dot: operator.matmul,
    np.einsum: _einsum,
    np.empty_like: _empty_like,
    np.full_like: _filled,
    np.ones_like: partial(_filled, value=1.0),
    np.stack: _stack,
    np.where: _where,
    np.zeros_like: partial(_filled, value=0.0),
}
