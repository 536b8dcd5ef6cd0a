"""Types that annotations share."""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

# An array of any shape and type. Docstrings say which.
Array: TypeAlias = NDArray[Any]
# What a kernel (a function of a block of rows) returns: numbers and arrays, which are then summed
# over the blocks.
KernelResult: TypeAlias = tuple[Any, ...]
# The source of random numbers: a seed, a NumPy generator, or None for NumPy's global generator.
RandomState: TypeAlias = int | np.random.RandomState | None
# The dtype of an array.
DType: TypeAlias = np.dtype[Any]

# The values that parameters allow, so that a type checker finds misspelt ones.
SolverName: TypeAlias = Literal[
    "auto", "newton-cg", "newton-cholesky", "lbfgs", "trust-krylov", "trust-ncg", "sag", "saga"
]
PenaltyName: TypeAlias = Literal["l1", "l2", "elasticnet", "none", "deprecated"]
BiasReduction: TypeAlias = Literal["jeffreys", "mean"]
# The `penalty` of MaxentClassifierCV, which has no "none": it compares strengths of a penalty.
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
