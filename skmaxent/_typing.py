"""Types that annotations share."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

# An array of any shape and type. Docstrings say which.
Array: TypeAlias = NDArray[Any]
