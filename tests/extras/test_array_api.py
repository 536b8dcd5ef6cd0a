"""Arrays of array-api-strict: the standard, and nothing else."""

import array_api_strict as xp
import numpy as np
import pytest
from helpers.dispatching import run_cases

from skmaxent._storage._device_array import DeviceArray
from skmaxent._storage._device_blocks import DeviceBlocks
from skmaxent._storage._place import Place

PLACE = Place(xp, xp.Device("device1"))


def on_device(array):
    return DeviceArray(PLACE.put(np.asarray(array)), PLACE)


def test_fits(tmp_path):
    run_cases("array_api_strict", "array_api_cases.py", tmp_path, at_least=94)


def test_fits_without_float64(tmp_path):
    run_cases("array_api_strict", "array_api_narrow_cases.py", tmp_path, at_least=2)


A = np.arange(12.0).reshape(3, 4) - 5.0
OPERATIONS = {
    "add": lambda a: a + a * 2.0 - 1.0,
    "reflected": lambda a: 1.0 - 2.0 / (a - 0.5),
    "powers": lambda a: a**2,
    "matmul": lambda a: a @ a.T,
    "matmul of different widths": lambda a: a.astype(np.float32) @ a.T,
    "outer": lambda a: np.multiply.outer(a[0], a[1]),
    "einsum, columns": lambda a: np.einsum("ij,ij->j", a, a),
    "einsum, classes": lambda a: np.einsum("kmn,mn->kn", a[None] * a[:, None], a),
    "slices beyond the end": lambda a: a[1:99, :2],
    "new axes": lambda a: a[:, None, 1:3] * a[None, :, 1:3],
    "maximum": lambda a: np.maximum(a, 0.5),
    "where": lambda a: np.where(a > 0.0, a, -np.inf),
    "diag": lambda a: np.diag(a[0]),
    "stack": lambda a: np.stack([a, a]),
    "concatenate": lambda a: np.concatenate([a, a], axis=1),
    "sums": lambda a: a.sum(axis=0, dtype=np.float64),
    "means": lambda a: a.mean(axis=1),
    "extremes": lambda a: a.max(axis=0) - a.min(axis=0),
    "argmax": lambda a: a.argmax(axis=1),
    "clip": lambda a: a.clip(0.0),
    "transpose": lambda a: a[None].transpose(2, 0, 1),
    "ravel": lambda a: a.ravel(),
    "full_like": lambda a: np.full_like(a, 2, dtype=np.intp, shape=(2, 3)),
    "bits": lambda a: (a > 0) & ~(a > 3) | (a == -5.0),
    "abs": lambda a: np.log1p(np.absolute(a)) + np.sqrt(np.square(a)),
    "broadcast_to": lambda a: np.broadcast_to(a[:, :1], (3, 5)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_notation_means_what_it_means_in_numpy(name):
    found, expected = OPERATIONS[name](on_device(A)), OPERATIONS[name](A)
    assert isinstance(found, DeviceArray)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.host(), expected, rtol=1e-6)


def test_results_are_written_where_numpy_writes_them():
    a, b = A.copy(), on_device(A)
    for array in (a, b):
        view = array[1:]
        view *= 2.0
        np.exp(array[:1], out=array[:1])
        np.add(array, 1.0, out=array)
        array[0, 1] = 7
        array[:, 2] = np.arange(3)
        array[2] -= array[1]
        array.sort(axis=0)
    np.testing.assert_allclose(b.host(), a)
    np.testing.assert_allclose(on_device(A).sum(axis=0).host(), A.sum(axis=0))


def test_in_place_the_width_stays():
    array = on_device(A.astype(np.float32))
    array *= on_device(A)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array.host(), A * A)


@pytest.mark.parametrize("operation", [np.asarray, np.linalg.norm, np.cbrt, np.cumsum])
def test_nothing_else_goes_to_the_host_unasked(operation):
    with pytest.raises(TypeError):
        operation(on_device(A))


def test_entries_by_codes():
    codes = np.array([2, 0, 1, 2])
    np.testing.assert_array_equal(
        on_device(A).entries(on_device(codes)).host(), A[codes, np.arange(4)]
    )
    array, expected = on_device(A), A.copy()
    array.add_to_entries(on_device(codes), -0.75)
    expected[codes, np.arange(4)] -= 0.75
    np.testing.assert_array_equal(array.host(), expected)


@pytest.mark.parametrize(("name", "n_blocks"), [("CPU_DEVICE", 6), ("device1", 1)])
def test_blocks_are_larger_where_calls_cost_more(name, n_blocks):
    place = Place(xp, xp.Device(name))
    X = DeviceArray(xp.zeros((100_000, 100), device=place.device), place)
    assert DeviceBlocks(X, np.zeros(100_000, int), n_logits=3).n_blocks == n_blocks
