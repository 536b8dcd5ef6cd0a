"""Arrays and names to pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


def coefficient_frame(
    coef: Array, intercept: Array | None, features: Array, classes: Array
) -> pd.DataFrame:
    """Features, then "Intercept", by classes; for a single logit the second class alone."""
    import pandas as pd

    rows = coef if intercept is None else np.column_stack([coef, intercept])
    index = [*features] if intercept is None else [*features, "Intercept"]
    columns = classes[-1:] if len(coef) == 1 else classes
    return pd.DataFrame(
        rows.T, index=pd.Index(index, name="feature"), columns=pd.Index(columns, name="class")
    )


def row_index(X: Any) -> Any:
    """The index of a pandas object, None for anything else."""
    return getattr(X, "index", None) if hasattr(X, "iloc") else None


def probability_frame(probabilities: Array, index: Any, classes: Array) -> pd.DataFrame:
    """Rows by class labels."""
    import pandas as pd

    return pd.DataFrame(probabilities, index=index, columns=pd.Index(classes, name="class"))
