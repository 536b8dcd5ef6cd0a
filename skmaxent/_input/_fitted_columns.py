"""The number and names of the columns of X in a fit, and checks of later rows against them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from skmaxent._input._frames import default_names
from skmaxent._input._interchange import native
from skmaxent._sklearn import feature_names_of
from skmaxent._typing import Array

# Most names that an error lists, as in scikit-learn.
MOST_NAMES_SHOWN = 5


@dataclass(frozen=True)
class FittedColumns:
    """The number and names of the columns of X in `fit`.

    Attributes
    ----------
    n_features : int
    names : ndarray of shape (n_features,) or None
        The names of the columns; None if X had none that are strings.
    estimator : str
        The name of the estimator's class, for errors.
    """

    n_features: int
    names: Array | None
    estimator: str

    @classmethod
    def of(cls, estimator: Any) -> FittedColumns:
        """Return the columns of a fitted estimator; a `FittedColumns` is returned unchanged.

        The number of columns is `n_features_in_`, or that of `coef_` if the user has set `coef_`,
        `intercept_` and `classes_` of an estimator without `fit`.
        """
        if isinstance(estimator, FittedColumns):
            return estimator
        names = getattr(estimator, "feature_names_in_", None)
        n_features = getattr(estimator, "n_features_in_", None)
        if n_features is None:
            n_features = estimator.coef_.shape[1]
        return cls(n_features, names, type(estimator).__name__)

    @classmethod
    def of_data(cls, X: Any, caller: str) -> FittedColumns:
        """Return the columns of X, for a function that has no estimator to store them on.

        Parameters
        ----------
        X : object
            Anything with a shape, or nested sequences.
        caller : str
            The name of the function, for errors.
        """
        X = native(X, "X")
        shape = X.shape if hasattr(X, "shape") else np.shape(X)
        # X without two dimensions has no columns, and `validate` raises an error.
        return cls(shape[1] if len(shape) == 2 else 0, feature_names_of(X), caller)

    @classmethod
    def learned(cls, estimator_or_columns: Any, X: Any) -> FittedColumns:
        """Return the columns of X: those of an earlier fit, or new ones that an estimator stores.

        Parameters
        ----------
        estimator_or_columns : estimator or FittedColumns
            The estimator that stores the columns of X, or the `FittedColumns` that X must have.
        X : object
            Anything with names of columns, or with a shape.

        Raises
        ------
        ValueError
            If X does not have the columns of the earlier fit.
        """
        if isinstance(estimator_or_columns, FittedColumns):
            estimator_or_columns.check(X)
            return estimator_or_columns
        validate_data(estimator_or_columns, X, reset=True, skip_check_array=True)
        return cls.of(estimator_or_columns)

    @property
    def all_names(self) -> Array:
        """The names of the columns, or x0, x1, ... if X had none, shape (n_features,)."""
        return default_names(self.n_features) if self.names is None else np.asarray(self.names)

    def named(self, feature_names: Any) -> Array:
        """Return the names of the features for a table of coefficients, shape (n_features,).

        `feature_names` is an array of names, a fitted transformer that has
        `get_feature_names_out`, or None for `all_names`. Raises ValueError unless there is a name
        for each column.
        """
        if feature_names is None:
            return self.all_names
        if hasattr(feature_names, "get_feature_names_out"):
            feature_names = feature_names.get_feature_names_out()
        names = np.asarray(feature_names, dtype=object)
        if names.shape != (self.n_features,):
            raise ValueError(
                f"feature_names must have a name for each of the {self.n_features} features, found "
                f"the shape {names.shape}."
            )
        return names

    def needs_no_validation(self, X: Any) -> bool:
        """Return whether `validate` would return X unchanged and without a warning.

        The answer is True for float arrays with as many columns as in the fit, if the fit had no
        names. It takes much less time than `validate`, which matters in predictions of single rows.
        """
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype in (np.float64, np.float32)
            and len(X) > 0
            and X.shape[1] == self.n_features
            and self.names is None
        )

    def validate(self, X: Any, *y: Any, **options: Any) -> Any:
        """Return X, or X and y, converted by scikit-learn; X must have the columns of the fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        *y : array-like of shape (n_samples,)
            Labels, if any.
        **options
            Options of `sklearn.utils.check_array`.

        Raises
        ------
        ValueError
            If the columns of X have other names, another order or another number than in the fit.

        Warns
        -----
        UserWarning
            If X has names and the X of the fit had none, or the reverse.
        """
        self.check_names(X)
        options["estimator"] = self.estimator
        if y:
            X, labels = check_X_y(X, *y, **options)
            self.check_number(X.shape[1])
            return X, labels
        X = check_array(X, input_name="X", **options)
        self.check_number(X.shape[1])
        return X

    def check(self, X: Any) -> None:
        """Raise ValueError if X does not have the columns of the fit."""
        self.check_names(X)
        self.check_number(X.shape[1])

    def check_number(self, n_features: int) -> None:
        """Raise ValueError, in scikit-learn's words, if the number of columns differs."""
        if n_features != self.n_features:
            raise ValueError(
                f"X has {n_features} features, but {self.estimator} is expecting "
                f"{self.n_features} features as input."
            )

    def check_names(self, X: Any) -> None:
        """Raise ValueError if the names of the columns of X differ from those of the fit.

        Warn if only X or only the fit has names. The messages are those of scikit-learn, whose own
        function needs an estimator.
        """
        names = feature_names_of(X)
        if names is None and self.names is None:
            return
        if self.names is None:
            warnings.warn(
                f"X has feature names, but {self.estimator} was fitted without feature names",
                UserWarning,
                stacklevel=2,
            )
        elif names is None:
            warnings.warn(
                f"X does not have valid feature names, but {self.estimator} was fitted with "
                "feature names",
                UserWarning,
                stacklevel=2,
            )
        elif len(names) != len(self.names) or np.any(names != self.names):
            raise ValueError(_other_names(set(names), set(self.names)))


def _other_names(found: set[str], expected: set[str]) -> str:
    """Return the message for names of columns that differ from those of the fit."""
    unseen, missing = sorted(found - expected), sorted(expected - found)
    lines = ["The feature names should match those that were passed during fit."]
    for title, names in (
        ("Feature names unseen at fit time:", unseen),
        ("Feature names seen at fit time, yet now missing:", missing),
    ):
        if names:
            lines += [title, *(f"- {name}" for name in names[:MOST_NAMES_SHOWN])]
            lines += ["- ..."] * (len(names) > MOST_NAMES_SHOWN)
    if not unseen and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
    return "\n".join(lines) + "\n"
