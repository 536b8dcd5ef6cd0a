"""Types that annotations share."""

from typing import Any, Literal, TypeAlias

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

# Values of parameters, so that a type checker finds those that do not exist.
SolverName: TypeAlias = Literal[
    "auto", "newton-cg", "newton-cholesky", "lbfgs", "trust-krylov", "trust-ncg", "sag", "saga"
]
PenaltyName: TypeAlias = Literal["l1", "l2", "elasticnet", "none", "deprecated"]
BiasReduction: TypeAlias = Literal["jeffreys", "mean"]
# Of a search, which compares penalties.
SearchedPenaltyName: TypeAlias = Literal["l1", "l2", "elasticnet", "deprecated"]
Link: TypeAlias = Literal["sigmoid", "softmax"]
Selection: TypeAlias = Literal["best", "one_standard_error"]
FoldWeights: TypeAlias = Literal["uniform", "size"]
CovType: TypeAlias = Literal[
    "nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CV2", "CV3", "CV3L", "laplace"
]
WeightsKind: TypeAlias = Literal["frequency", "probability"]
ConformalScore: TypeAlias = Literal["probability", "cumulative"]
InferenceMethod: TypeAlias = Literal["bootstrap", "split"]
SmallSample: TypeAlias = Literal["none", "units", "coefficients"]
