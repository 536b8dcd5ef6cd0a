"""The columns that a fit learned, and rows that are checked against them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from skmaxent._sklearn import feature_names_of
from skmaxent._typing import Array

# Names in a message.
SHOWN = 5


@dataclass(frozen=True)
class FittedColumns:
    """Number and names of the columns of X in `fit`.

    Attributes
    ----------
    n_features : int
    names : ndarray of shape (n_features,) or None
        None where X had no names that are strings.
    estimator : str
        Name of the estimator's class, for messages.
    """

    n_features: int
    names: Array | None
    estimator: str

    @classmethod
    def of(cls, estimator: Any) -> Self:
        """Those of a fitted estimator."""
        names = getattr(estimator, "feature_names_in_", None)
        return cls(estimator.n_features_in_, names, type(estimator).__name__)

    @classmethod
    def learned(cls, reader: Any, X: Any) -> FittedColumns:
        """Those of X for an estimator in its `fit`; given columns, once X is found to have them.

        X may be anything that has names of columns, or a shape.
        """
        if isinstance(reader, FittedColumns):
            reader.check(X)
            return reader
        validate_data(reader, X, reset=True, skip_check_array=True)
        return cls.of(reader)

    def are_those_of(self, X: Any) -> bool:
        """Whether X is an ndarray that needs neither a check of its columns nor a conversion."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype in (np.float64, np.float32)
            and len(X) > 0
            and X.shape[1] == self.n_features
            and self.names is None
        )

    def validate(self, X: Any, *y: Any, **options: Any) -> Any:
        """X, or X and y, converted by scikit-learn, with the columns of the fit.

        Parameters
        ----------
        X : array-like
        *y : array-like
            Labels, if any.
        **options
            Those of `sklearn.utils.check_array`.

        Raises
        ------
        ValueError
            Where columns have other names, another order or another number than those of the fit.

        Warns
        -----
        UserWarning
            Where either X or the X of the fit has no names.
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
        """Raise ValueError where the columns of X are others than those of the fit."""
        self.check_names(X)
        self.check_number(X.shape[1])

    def check_number(self, n_features: int) -> None:
        """Raise ValueError for another number of columns than that of the fit."""
        if n_features != self.n_features:
            raise ValueError(
                f"X has {n_features} features, but {self.estimator} is expecting "
                f"{self.n_features} features as input."
            )

    def check_names(self, X: Any) -> None:
        """Compare the names of columns with those of the fit, as scikit-learn does.

        scikit-learn's function for this needs an estimator; messages are those of that function.
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
    """How names of columns differ from those of the fit."""
    unseen, missing = sorted(found - expected), sorted(expected - found)
    lines = ["The feature names should match those that were passed during fit."]
    for title, names in (
        ("Feature names unseen at fit time:", unseen),
        ("Feature names seen at fit time, yet now missing:", missing),
    ):
        if names:
            lines += [title, *(f"- {name}" for name in names[:SHOWN])]
            lines += ["- ..."] * (len(names) > SHOWN)
    if not unseen and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
    return "\n".join(lines) + "\n"
