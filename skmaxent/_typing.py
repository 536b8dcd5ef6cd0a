"""Types that annotations share."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# An array of any shape and type. Docstrings say which.
Array: TypeAlias = NDArray[Any]
# What a kernel returns for a block of rows: numbers and arrays, which are summed over blocks or
# otherwise combined.
KernelResult: TypeAlias = tuple[Any, ...]
# Where random numbers come from: a seed, a generator of NumPy, or None for NumPy's global one.
RandomState: TypeAlias = int | np.random.RandomState | None
# The dtype of an array.
DType: TypeAlias = np.dtype[Any]
