"""Conversion of the users' penalty factors, bounds and prior coefficients to `PenaltyTerms`.

Users give them by position or by the names of features and classes.

Conventions
-----------
R is the number of rows of `coef_`: 1 for two classes, otherwise the number of classes. Arrays of
shape (1 or R, n_features) have one row for all rows of `coef_`, or a row for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray

from skmaxent._input._interchange import names_of_series, refuse_masked
from skmaxent._input._numbers import as_floats
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._storage._place import to_host
from skmaxent._typing import Array


@dataclass(frozen=True)
class Columns:
    """The features and classes of a fit, with which the users' arguments are matched.

    Attributes
    ----------
    names : ndarray of shape (n_features,) or None
        The names of the features, None if X has none.
    n_features : int
    classes : ndarray of shape (n_classes,)
    """

    names: Array | None
    n_features: int
    classes: Array

    @property
    def n_rows(self) -> int:
        """The number of rows of `coef_`: 1 for two classes, otherwise one for each class."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    def positions(self, given: Any, argument: str) -> NDArray[np.intp]:
        """Return the position in X of each feature that `given` names.

        `argument` is the name of the user's argument, for errors.
        """
        if self.names is None:
            raise ValueError(
                f"{argument} names features, but X has no names: fit on a DataFrame whose columns "
                "are strings, or give an array with a number for each feature."
            )
        known = {name: j for j, name in enumerate(self.names)}
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ValueError(
                f"{argument} has the names {unknown[:5]}, which are not features of X; expected "
                f"names among {list(self.names)[:10]}{'...' if len(self.names) > 10 else ''}."
            )
        return np.array([known[name] for name in given], dtype=np.intp)

    def _in_order(self, value: Any, argument: str) -> Any:
        """Return the entries of a Series or a frame in the order of the features and classes.

        Other objects are returned unchanged. A frame may have features in its columns, or in its
        rows with classes in the columns, as `coef_frame` has.
        """
        names = names_of_series(value)
        if names is not None:
            return value.to_numpy()[self._order(names, argument)]
        if not hasattr(value, "columns"):
            return value
        array, names = value.to_numpy(), list(value.columns)
        rows = list(getattr(value, "index", range(len(array))))
        labels = self.classes.tolist()
        if set(names) <= set(labels) and all(isinstance(row, str) for row in rows):
            # `coef_frame` has features in its rows, classes in its columns and intercepts in its
            # last row, which have no penalty.
            kept = [i for i, row in enumerate(rows) if row != "Intercept"]
            array, names, rows = array[kept].T, [rows[i] for i in kept], names
        array = array[:, self._order(names, argument)]
        # Rows numbered 0, 1, ... have no names of classes: they are matched by position.
        if rows == list(range(len(rows))) or self.n_rows == 1:
            return array
        if len(set(rows)) < len(rows) or set(rows) != set(labels):
            raise ValueError(
                f"{argument} has rows for the classes {rows}; expected a row for each of {labels}."
            )
        return array[[rows.index(label) for label in labels]]

    def _order(self, names: list[Any], argument: str) -> Array:
        """Return the position in `names` of each feature; `names` must have each feature once."""
        numbers = list(range(self.n_features))
        if names == numbers or (self.names is None and set(names) == set(numbers)):
            positions = np.array(names, dtype=np.intp)
        else:
            positions = self.positions(names, argument)
        order = np.full(self.n_features, -1, dtype=np.intp)
        order[positions] = np.arange(len(positions))
        if len(names) != self.n_features or (order < 0).any():
            raise ValueError(
                f"{argument} has the names {names[:5]}; expected each of the {self.n_features} "
                "features of X once: a dict may name some of them."
            )
        return order

    def rows_by_columns(self, value: Any, argument: str, what: str) -> Array:
        """Return an argument as an array of shape (1, n_features) or (n_rows, n_features).

        Parameters
        ----------
        value : number or array-like
            One number, one for each feature, or one for each row of `coef_` and feature. A Series
            or a frame with names is matched by name, also a frame with features in its rows.
        argument : str
            The name of the argument, for errors.
        what : str
            What the argument should hold, for errors.
        """
        refuse_masked(value, argument)
        value = self._in_order(value, argument)
        try:
            if np.iscomplexobj(value):
                raise TypeError("complex")
            array = as_floats(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{argument} must hold {what}, found {value!r}.") from error
        if np.isnan(array).any():
            raise ValueError(f"{argument} contains NaN; expected {what}.")
        if array.ndim == 0:
            return np.full((1, self.n_features), float(array))
        if array.shape == (self.n_features,):
            return array[None]
        if array.shape == (self.n_rows, self.n_features):
            return array
        per_class = f" or ({self.n_rows}, {self.n_features})"
        raise ValueError(
            f"{argument} has the shape {array.shape}; expected ({self.n_features},)"
            f"{per_class if self.n_rows > 1 else ''} for the {self.n_features} features of X"
            f"{' and its classes' if self.n_rows > 1 else ''}."
        )


def penalty_factors(value: Any, columns: Columns) -> Array:
    """Return the penalty factors that the user gave, (1 or R, n_features).

    They are zero or more; infinity removes a coefficient from the model. None stands for ones, and
    features that a dict does not name get one.
    """
    if value is None:
        return np.ones((1, columns.n_features))
    what = "numbers, zero or more (np.inf removes a feature)"
    if isinstance(value, Mapping):
        factors = np.ones((1, columns.n_features))
        positions = columns.positions(value, "penalty_factor")
        factors[0, positions] = _numbers(value.values(), "penalty_factor", what)
    else:
        factors = columns.rows_by_columns(value, "penalty_factor", what)
    if np.isnan(factors).any() or (factors < 0).any():
        raise ValueError(f"penalty_factor must hold {what}, found {factors.min()}.")
    return factors


def _numbers(values: Any, argument: str, what: str) -> Array:
    """Return an iterable of numbers as float64; raise TypeError for other values."""
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{argument} must hold {what}, found {list(values)[:5]}.") from error


def bounds_of(value: Any, columns: Columns) -> tuple[Array | None, Array | None]:
    """Return lower and upper bounds, each (1 or R, n_features), or None and None without bounds.

    Raises ValueError if a lower bound exceeds the upper one.
    """
    if value is None:
        return None, None
    what = "numbers; None is no bound"
    if isinstance(value, Mapping):
        lower = np.full((1, columns.n_features), -np.inf)
        upper = np.full((1, columns.n_features), np.inf)
        positions = columns.positions(value, "bounds")
        for position, (name, pair) in zip(positions, value.items(), strict=True):
            low, high = _pair(pair, f"bounds[{name!r}]")
            numbers = _numbers(
                (-np.inf if low is None else low, np.inf if high is None else high),
                f"bounds[{name!r}]",
                what,
            )
            lower[0, position], upper[0, position] = numbers
    else:
        low, high = _pair(value, "bounds")
        lower = columns.rows_by_columns(-np.inf if low is None else low, "bounds[0]", what)
        upper = columns.rows_by_columns(np.inf if high is None else high, "bounds[1]", what)
    # The negation finds NaN too.
    crossed = np.argwhere(~(lower <= upper))
    if len(crossed):
        k, j = crossed[0]
        low, high = (array[k, j] for array in np.broadcast_arrays(lower, upper))
        name = f"x{j}" if columns.names is None else columns.names[j]
        raise ValueError(
            f"bounds must have lower <= upper, found ({low}, {high}) for feature {name!r}."
        )
    if (lower == np.inf).any() or (upper == -np.inf).any():
        raise ValueError(
            "bounds must leave room for a finite coefficient, found a lower bound of inf or an "
            "upper bound of -inf; expected lower < inf and upper > -inf."
        )
    return lower, upper


def _refuse_nonzero_removed(
    removed: Array, lower: Array | None, upper: Array | None, target: Array | None, columns: Columns
) -> None:
    """Raise ValueError if bounds or `prior_coef` contradict the zeros that `removed` sets.

    `removed` is a mask (1 or R, n_features) of the coefficients with an infinite penalty factor,
    and `target` (R, n_features) the coefficients to shrink towards.
    """
    low, high = (np.zeros((1, 1)) if bound is None else bound for bound in (lower, upper))
    prior = np.zeros((1, 1)) if target is None else target
    found = np.broadcast_arrays(removed, low, high, prior)
    wrong = np.argwhere(found[0] & ((found[1] > 0.0) | (found[2] < 0.0) | (found[3] != 0.0)))
    if not len(wrong):
        return
    k, j = wrong[0]
    name = f"x{j}" if columns.names is None else columns.names[j]
    of_class = "" if len(found[0]) == 1 else f" and class {columns.classes.tolist()[k]!r}"
    _, low_there, high_there, prior_there = (part[k, j] for part in found)
    problem = (
        f"bounds exclude 0 there: found ({low_there}, {high_there}). Widen the bounds to contain 0"
        if prior_there == 0.0
        else f"prior_coef is {prior_there:g} there. Set prior_coef to 0 there, fix the coefficient "
        "by equal bounds"
    )
    raise ValueError(
        f"penalty_factor is infinite for feature {name!r}{of_class}, which sets the coefficient "
        f"to 0, but {problem}, or give the feature a finite factor."
    )


def _pair(value: Any, argument: str) -> tuple[Any, Any]:
    """Return a pair (lower, upper); raise TypeError for other values."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{argument} must be a pair (lower, upper), found {value!r}.")
    return value[0], value[1]


def prior_of(value: Any, columns: Columns) -> Array | None:
    """Return the coefficients to shrink towards, (R, n_features), or None.

    `value` is an array, a table as `coef_frame` returns it, or a fitted linear classifier.
    """
    if value is None:
        return None
    if hasattr(value, "coef_"):
        return _prior_of_model(value, columns)
    if hasattr(value, "columns") and hasattr(value, "index"):
        return _prior_of_table(value, columns)
    if hasattr(value, "fit"):
        raise ValueError(
            f"prior_coef is a {type(value).__name__} without coef_: expected a fitted linear "
            "classifier. Searches clone the values that they try, and clones are not fitted: wrap "
            "a fitted classifier in sklearn.frozen.FrozenEstimator, or give its coef_frame()."
        )
    target = columns.rows_by_columns(value, "prior_coef", "finite numbers")
    if not np.isfinite(target).all():
        wrong = target[~np.isfinite(target)]
        raise ValueError(f"prior_coef must be finite, found {wrong[0]}.")
    return np.array(np.broadcast_to(target, (columns.n_rows, columns.n_features)))


def _prior_of_model(model: Any, columns: Columns) -> Array:
    """Return the coefficients of a fitted linear classifier as a prior, (R, n_features).

    Features are matched by their names if both the classifier and X have names. Classes and
    features that the classifier does not have get zeros.
    """
    coef = model.coef_.toarray() if sp.issparse(model.coef_) else np.asarray(to_host(model.coef_))
    coef = np.atleast_2d(coef)
    classes = np.asarray(to_host(getattr(model, "classes_", columns.classes)))
    names = getattr(model, "feature_names_in_", None)
    is_by_position = names is None or columns.names is None
    if is_by_position and coef.shape[1] != columns.n_features:
        raise ValueError(
            f"prior_coef is a model of {coef.shape[1]} features, X has {columns.n_features}; "
            "expected equally many features, or names of features in both."
        )
    positions = (
        np.arange(columns.n_features) if is_by_position else columns.positions(names, "prior_coef")
    )
    return _placed(coef, classes, positions, columns)


def _prior_of_table(table: Any, columns: Columns) -> Array:
    """Return the coefficients of a table as `coef_frame` returns it as a prior, (R, n_features).

    The table has features in its rows and classes in its columns.
    """
    rows = list(table.index)
    intercepts = [i for i, row in enumerate(rows) if row == "Intercept"]
    if columns.names is not None and "Intercept" in columns.names:
        # A feature has that name: the intercept, where there is one, comes after it.
        intercepts = intercepts[1:]
    kept = np.setdiff1d(np.arange(len(rows)), intercepts)
    features = [rows[i] for i in kept]
    try:
        coef = as_floats(table.iloc[kept]).T
    except (TypeError, ValueError) as error:
        raise TypeError(f"prior_coef must hold finite numbers: {error}.") from error
    if not np.isfinite(coef).all():
        wrong = coef[~np.isfinite(coef)]
        raise ValueError(f"prior_coef must be finite, found {wrong[0]} in the table.")
    positions = columns.positions(features, "prior_coef") if columns.names is not None else None
    if positions is None:
        expected = [f"x{j}" for j in range(columns.n_features)]
        unknown = [name for name in features if name not in expected]
        if unknown:
            raise ValueError(
                f"prior_coef has the names {unknown[:5]}, but X has no names of features; expected "
                f"x0 to x{columns.n_features - 1}."
            )
        # A table of coefficients names the features of an array x0, x1, ...
        positions = np.array([expected.index(name) for name in features], dtype=np.intp)
    labels = np.asarray(table.columns)
    # A single column is the logit of the second class against the first.
    classes = np.concatenate([columns.classes[:1], labels]) if len(coef) == 1 else labels
    return _placed(coef, classes, positions, columns)


def _placed(coef: Array, classes: Array, positions: Array, columns: Columns) -> Array:
    """Return coefficients (R, n_features) that are `coef` in some rows and columns, else zero.

    Parameters
    ----------
    coef : ndarray of shape (n_rows, n_given)
        A single row is the logit of the second of two classes against the first.
    classes : ndarray of shape (n_rows,)
        The class of each row, or both classes for a single row.
    positions : ndarray of int of shape (n_given,)
        The position in X of the feature of each column.
    columns : Columns
        The features and classes of the fit.
    """
    labels = list(columns.classes)
    unknown = [label for label in classes if label not in labels]
    if unknown:
        raise ValueError(
            f"prior_coef has the classes {np.array(unknown).tolist()}, which are not in y; "
            f"expected classes among {np.array(labels).tolist()}."
        )
    # A single logit z is split into -z/2 and z/2, which give the same probabilities and sum to 0.
    if len(coef) == 1:
        coef = np.vstack([-0.5 * coef, 0.5 * coef])
    target = np.zeros((len(labels), columns.n_features))
    rows = np.array([labels.index(label) for label in classes], dtype=np.intp)
    target[np.ix_(rows, positions)] = coef
    return target if columns.n_rows > 1 else target[1:] - target[:1]


def refuse_beyond_range(terms: PenaltyTerms, dtype: DTypeLike) -> None:
    """Raise ValueError for bounds that exclude zero and are infinite in `dtype`.

    Coefficients have the dtype of X, `dtype`.
    """
    largest = float(np.finfo(dtype).max)
    beyond = {
        "bounds[0]": None if terms.lower is None else np.where(terms.lower > 0, terms.lower, 0.0),
        "bounds[1]": None if terms.upper is None else np.where(terms.upper < 0, -terms.upper, 0.0),
    }
    for argument, sizes in beyond.items():
        if sizes is not None and (sizes > largest).any():
            raise ValueError(
                f"{argument} has a number of the size {sizes.max():.3g}, above {largest:.3g}, the "
                f"largest of {np.dtype(dtype).name}, the dtype of X and of the coefficients."
            )


def terms_of(
    *,
    l1_ratio: float,
    is_penalised: bool,
    grouped: bool,
    penalty_factor: Any,
    prior_coef: Any,
    bounds: Any,
    columns: Columns,
) -> PenaltyTerms:
    """Return the penalty, of strength one, and the bounds of the rows of `coef_`.

    The arguments are those of `MaxentClassifier`; `is_penalised` says whether there is a penalty.

    Raises
    ------
    ValueError
        If arguments exclude each other.
    """
    grouped = grouped and l1_ratio > 0.0
    factors = penalty_factors(penalty_factor, columns)
    lower, upper = bounds_of(bounds, columns)
    target = prior_of(prior_coef, columns)
    if grouped and len(factors) > 1:
        raise ValueError(
            "grouped=True penalises the coefficients of a feature together: penalty_factor must "
            f"have a number for each feature, found the shape {factors.shape}."
        )
    if grouped and lower is not None:
        raise ValueError(
            "grouped=True and bounds cannot be combined: use bounds with grouped=False, or "
            "grouped=True without bounds."
        )
    if target is not None and (l1_ratio == 1.0 or not is_penalised):
        raise ValueError(
            "prior_coef needs a ridge part of the penalty, which shrinks towards it: expected "
            f"l1_ratio < 1 and a finite C, found l1_ratio={l1_ratio}"
            f"{'' if is_penalised else ' and no penalty'}."
        )
    removed = np.isinf(factors)
    if removed.any():
        # Bounds of zero remove a coefficient, whatever the penalty, which then costs nothing.
        shape = np.broadcast_shapes(removed.shape, (1, columns.n_features))
        _refuse_nonzero_removed(removed, lower, upper, target, columns)
        lower = np.where(removed, 0.0, np.full(shape, -np.inf) if lower is None else lower)
        upper = np.where(removed, 0.0, np.full(shape, np.inf) if upper is None else upper)
        factors = np.where(removed, 0.0, factors)
    return PenaltyTerms(
        l1=factors * l1_ratio,
        ridge=factors * (1.0 - l1_ratio),
        target=target,
        lower=lower,
        upper=upper,
        grouped=grouped,
    )
