"""Rao's score tests of features that a model does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from skmaxent._inference._feature_names import FeatureNames
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._tables import chi2_table
from skmaxent._inference._terms import Terms
from skmaxent._input import _frames
from skmaxent._input._interchange import native
from skmaxent._input._numbers import as_floats
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


def score_tests(
    fit: FitRows, columns: Array, names: list[str], terms: Terms | None
) -> pd.DataFrame:
    """Return the table of score tests of features that the model of a fit does not have.

    Parameters
    ----------
    fit : FitRows
        The fit and its rows.
    columns : ndarray of shape (n_samples, n_columns)
        The features, for the rows of the fit.
    names : list of str
        Names of the features.
    terms : Terms or None
        The table has a test for each term, or for each feature if None, and one for all features
        if there are several tests.
    """
    if terms is None:
        groups = [(name, [j]) for j, name in enumerate(names)]
    else:
        known = FeatureNames(names, has_intercept=False, chosen=None)
        groups = [(term.name, [known.position(name) for name in term.columns]) for term in terms]
    tests = [(name, *fit.score_statistic(columns[:, positions])) for name, positions in groups]
    if len(groups) > 1:
        tests.append((" + ".join(names), *fit.score_statistic(columns)))
    return chi2_table(tests)


def read_columns(X: Any) -> tuple[Array, list[str]]:
    """Return a user's features as a dense float array (n_samples, n_columns), and their names.

    Features without names get the names x0, x1 and so on.
    """
    X = native(X, "X")
    names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
    columns = to_host(X)
    try:
        columns = as_floats(columns.toarray() if sp.issparse(columns) else columns)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X must hold numbers: {error}.") from error
    if columns.ndim not in (1, 2):
        raise ValueError(
            f"X must have one or two dimensions, a column for each feature, found the shape "
            f"{columns.shape}."
        )
    columns = columns[:, None] if columns.ndim == 1 else columns
    if not columns.shape[1]:
        raise ValueError("X has no columns: expected a column for each feature to test.")
    if not np.isfinite(columns).all():
        raise ValueError("X contains NaN or infinity; expected finite numbers.")
    return columns, _frames.default_names(columns.shape[1]).tolist() if names is None else names
