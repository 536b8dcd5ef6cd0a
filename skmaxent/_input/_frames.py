"""Arrays and names to tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._input._interchange import in_library_of, native
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


def coefficient_frame(
    coef: Array, intercept: Array | None, features: Array, classes: Array
) -> pd.DataFrame:
    """Features, then "Intercept", by classes; for a single logit the second class alone."""
    import pandas as pd

    rows = coef if intercept is None else np.column_stack([coef, intercept])
    index = [*features] if intercept is None else [*features, "Intercept"]
    columns = classes[-1:] if len(coef) == 1 else classes
    return pd.DataFrame(
        rows.T, index=pd.Index(index, name="feature"), columns=_class_index(columns)
    )


def _class_index(classes: Array) -> pd.Index:
    """Labels as the names of columns; pandas has no index of float16."""
    import pandas as pd

    return pd.Index(
        classes.astype(np.float32) if classes.dtype == np.float16 else classes, name="class"
    )


def path_frame(
    Cs: Array, coefs: Array, intercepts: Array, classes: Array, features: Array
) -> pd.DataFrame:
    """A row for each C, class and coefficient that is not zero."""
    import pandas as pd

    labels = classes[-1:] if coefs.shape[1] == 1 else classes
    names = np.append(np.asarray(features, dtype=object), "Intercept")
    at, row, column = coefs.nonzero()
    constant = np.indices(intercepts.shape).reshape(2, -1)
    at = np.concatenate([at, constant[0]])
    row = np.concatenate([row, constant[1]])
    values = np.concatenate([coefs[coefs != 0.0], intercepts.ravel()])
    column = np.concatenate([column, np.full(intercepts.size, coefs.shape[2])])
    order = np.lexsort([column, row, at])
    at, row, column, values = (array[order] for array in (at, row, column, values))
    return pd.DataFrame(
        {"C": Cs[at], "class": labels[row], "feature": names[column], "coef": values}
    )


def default_names(n_features: int) -> Array:
    """x0, x1, ... for features without names."""
    return np.array([f"x{j}" for j in range(n_features)], dtype=object)


def row_index(X: Any) -> Any:
    """The index of a pandas object, None for anything else."""
    return getattr(X, "index", None) if hasattr(X, "iloc") else None


def probability_frame(probabilities: Array, X: Any, classes: Array) -> Any:
    """Rows of X by class labels, in the library of X."""
    import pandas as pd

    columns = _class_index(classes)
    return in_library_of(
        X, pd.DataFrame(probabilities, index=row_index(native(X, "X")), columns=columns)
    )


def results_frame(
    scores: Array,
    mean: Array,
    error: Array,
    n_features: Array,
    grid: tuple[Array, Array, Array],
    chosen: tuple[int, int, int],
) -> pd.DataFrame:
    """A row for each l1_ratio, C and gamma; scores are (n_folds, n_l1_ratios, n_Cs, n_gammas)."""
    import pandas as pd

    ratio, c, gamma = (index.ravel() for index in np.indices(mean.shape))
    columns = {
        "l1_ratio": grid[0][ratio],
        "C": grid[1][c],
        "gamma": grid[2][gamma],
        "mean_score": mean.ravel(),
        "standard_error": error.ravel(),
        "n_features": n_features[ratio, c],
        "chosen": (ratio == chosen[0]) & (c == chosen[1]) & (gamma == chosen[2]),
    }
    folds = {f"split{i}_score": fold.ravel() for i, fold in enumerate(scores)}
    return pd.DataFrame(columns | folds)
