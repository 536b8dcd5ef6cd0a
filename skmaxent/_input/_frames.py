"""Data frames of coefficients, paths, probabilities and cross-validation results."""

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
    """Return coefficients with a row for each feature and a column for each class.

    A row "Intercept" follows unless `intercept` is None. Two classes with a single logit have one
    column, that of the second class. `coef` has the shape (n_logits, n_features).
    """
    import pandas as pd

    rows = coef if intercept is None else np.column_stack([coef, intercept])
    index = [*features] if intercept is None else [*features, "Intercept"]
    columns = classes[-1:] if len(coef) == 1 else classes
    return pd.DataFrame(rows.T, index=pd.Index(index, name="feature"), columns=class_index(columns))


def class_index(classes: Array) -> pd.Index:
    """Return class labels as the names of columns; float16, which pandas lacks, becomes float32."""
    import pandas as pd

    return pd.Index(
        classes.astype(np.float32) if classes.dtype == np.float16 else classes, name="class"
    )


def path_frame(
    Cs: Array, coefs: Array, intercepts: Array, classes: Array, features: Array
) -> pd.DataFrame:
    """Return the nonzero coefficients of a path with a row for each C, class and feature.

    Rows of intercepts, with the feature "Intercept", are always there. `coefs` has the shape
    (n_Cs, n_logits, n_features), `intercepts` (n_Cs, n_logits).
    """
    import pandas as pd

    labels = classes[-1:] if coefs.shape[1] == 1 else classes
    names = np.append(np.asarray(features, dtype=object), "Intercept")
    # Positions in Cs, labels and names of each coefficient that is shown; intercepts come last.
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
    """Return the names x0, x1, ... for features without names."""
    return np.array([f"x{j}" for j in range(n_features)], dtype=object)


def row_index(X: Any) -> Any:
    """Return the index of a pandas object, or None for other objects."""
    return getattr(X, "index", None) if hasattr(X, "iloc") else None


def probability_frame(probabilities: Array, X: Any, classes: Array) -> Any:
    """Return probabilities (n_samples, n_classes) as a data frame of the library of X.

    Columns are named for the classes, and the index is that of X. For arrays X the result is a
    pandas DataFrame.
    """
    import pandas as pd

    columns = class_index(classes)
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
    """Return cross-validation results with a row for each l1_ratio, C and gamma.

    Parameters
    ----------
    scores : ndarray of shape (n_folds, n_l1_ratios, n_Cs, n_gammas)
    mean, error : ndarray of shape (n_l1_ratios, n_Cs, n_gammas)
        The mean score over folds and its standard error.
    n_features : ndarray of shape (n_l1_ratios, n_Cs)
        The mean over folds of the number of features with nonzero coefficients.
    grid : tuple of ndarrays
        The l1_ratios, Cs and gammas.
    chosen : tuple of int
        Positions of the chosen values in the arrays of `grid`.

    Returns
    -------
    pandas.DataFrame
        The columns are l1_ratio, C, gamma, mean_score, standard_error, n_features, chosen (bool)
        and the score of each fold: split0_score, split1_score, ...
    """
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
