"""`detect_separation` decides whether finite maximum-likelihood estimates exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._existence import MINIMUM_EXISTS, Separated, separation
from skmaxent._input import _frames
from skmaxent._input._arguments import check_flag
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._read import check_rows
from skmaxent._input._settings import Settings
from skmaxent._input._targets import observe
from skmaxent._input._training_data import data_in_memory
from skmaxent._input._validation import check_sample_weight
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._public import public
from skmaxent._solvers import UNBOUNDED, Options, minimise
from skmaxent._storage._cluster import refuse_dask
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# `tol` of the fit without penalty, in standard errors: its last step proves that classes overlap.
OVERLAP_TOL = 1e-3


@public
@dataclass(frozen=True)
class Separation:
    """Whether the classes of a data set are separated, as `detect_separation` returns it.

    Attributes
    ----------
    kind : {"none", "quasi-complete", "complete"}
        "none": the classes overlap, and finite maximum-likelihood estimates exist. "complete": the
        logits of some coefficients are larger for the class of each row than for every other class.
        "quasi-complete": they are larger or equal for all rows, and larger for some row.
    direction : pandas.DataFrame of shape (n_features + 1, n_classes)
        Coefficients with the logits that `kind` describes. The row "Intercept" is missing if
        ``fit_intercept=False``. The likelihood has no maximum: whatever number multiplies these
        coefficients, a larger number gives a larger likelihood. They sum to zero over the classes,
        and are zero if `kind` is "none".
    classes : list
        Classes with rows that the direction separates from another class.
    features : list
        Features for which the direction is not zero, and "Intercept" if its row is not zero. Their
        coefficients have no finite estimates.
    separated : ndarray of bool, shape (n_samples,)
        Rows for which the logit of their class is larger than that of another class along the
        direction.

    Examples
    --------
    >>> from skmaxent import detect_separation
    >>> found = detect_separation([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    >>> found.kind, found.features
    ('complete', ['x0', 'Intercept'])
    """

    kind: str
    direction: pd.DataFrame = field(repr=False)
    classes: list[Any]
    features: list[Any]
    separated: Array = field(repr=False)

    def __str__(self) -> str:
        if self.kind == "none":
            return "The classes overlap: maximum-likelihood estimates exist."
        share = f"{int(self.separated.sum())} of {len(self.separated)} rows"
        return (
            f"Separation is {self.kind}: {share} are separated, in the classes {self.classes}. "
            f"No finite estimates for: {', '.join(map(str, self.features))}."
        )


def detect_separation(
    X: Any, y: ArrayLike, *, sample_weight: ArrayLike | None = None, fit_intercept: bool = True
) -> Separation:
    """Decide whether the classes are separated, so that no finite estimates exist.

    Without a penalty, finite maximum-likelihood estimates exist if and only if the classes overlap
    [1]_. The function first fits the model without a penalty. If the classes overlap, the optimum
    proves it. If they are separated, the last Newton step is usually a direction that proves it. If
    neither is the case, and to find all features and rows that are separated, linear programs over
    some of the rows are solved [2]_. Rows with weight zero are ignored, and so are classes that
    have no other rows.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        Class labels, or a table with counts or shares of the classes.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. Only whether a weight is zero affects the result.
    fit_intercept : bool, default=True
        Whether each logit has an intercept.

    Returns
    -------
    Separation
        The kind of separation, and the features, classes and rows that are separated.

    Raises
    ------
    TypeError
        For Dask collections.
    ValueError
        For other input that cannot be fitted.
    RuntimeError
        If neither separation nor overlap was proved, because a linear program was not solved or
        the model has more than 2000 coefficients.

    References
    ----------
    .. [1] Albert & Anderson (1984), On the existence of maximum likelihood estimates in logistic
       regression models, Biometrika 71.
    .. [2] Konis (2007), Linear programming algorithms for detecting separated data in binary
       logistic regression models, DPhil thesis, Oxford.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import detect_separation
    >>> found = detect_separation(*load_iris(return_X_y=True, as_frame=True))
    >>> found.kind, found.classes
    ('quasi-complete', [0, 1, 2])
    """
    check_flag("fit_intercept", fit_intercept)
    refuse_dask("detect_separation", X, y)
    columns = FittedColumns.of_data(X, "detect_separation")
    X, y = check_rows(columns, X, y)
    observed = observe(y)
    weights = check_sample_weight(sample_weight, observed.n_samples)
    if weights is not None:
        weights = (weights > 0.0).astype(float)
    data = data_in_memory(on_host(X), observed, columns.names, weights)
    with TrainingProblem.of(data, Settings(fit_intercept=fit_intercept)) as training:
        solution = minimise(training.problem, Options(tol=OVERLAP_TOL))
        found = None
        # A small optimality gap proves that the classes overlap.
        if solution.status in UNBOUNDED or not solution.gap < MINIMUM_EXISTS:
            objective, theta = training.problem.objective, solution.point.theta
            found = separation(objective, theta, solution.directions)
        return _result(found, training, columns.all_names, observed.n_samples)


def _result(
    found: Separated | None, training: TrainingProblem, names: Array, n_samples: int
) -> Separation:
    """Return the public result of a search for separation.

    Parameters
    ----------
    found : Separated or None
        The separation of the rows, with a direction for the standardised columns and the classes
        that the fit kept; None if the classes overlap. Its `moved` says which of these columns have
        no finite estimates, and its `winners` are the positions of the separated classes. The
        result has the direction for all columns of X and all classes.
    training : TrainingProblem
        The problem that was searched.
    names : ndarray of shape (n_features,)
        Names of all columns of X.
    n_samples : int
        Number of rows.
    """
    classes, columns = training.classes, training.columns
    K, d = len(classes), columns.n_features
    # `infinite`: the columns of X, the intercept last, whose coefficients have no finite estimate.
    D, infinite = np.zeros((K, d + 1)), np.zeros(d + 1, bool)
    winners, separated = np.zeros(0, np.intp), np.zeros(n_samples, bool)
    active = training.data.active
    if found is not None:
        kept = slice(None) if columns.kept is None else columns.kept
        infinite[:-1][kept], infinite[-1] = found.moved[:-1], found.moved[-1]
        if columns.shift is not None:
            # The intercept for the user's columns includes minus the coefficients times the shifts.
            infinite[-1] |= bool((found.moved[:-1] & (columns.shift != 0.0)).any())
        coef, intercept = training.problem.objective.coefficients(found.direction)
        direction = np.column_stack(columns.to_data(coef, intercept, training.terms, np.float64))
        if len(direction) == 1:  # the logit of the second class against the first
            direction = np.vstack([0.0 * direction, direction])
        D[active] = direction - direction.mean(axis=0)
        # Rounding and the shifts of columns leave small numbers.
        D[:, ~infinite] = 0.0
        winners, separated = active[found.winners], found.rows
    has_intercept = training.problem.objective.fit_intercept
    frame = _frames.coefficient_frame(
        D[:, :-1], D[:, -1] if has_intercept else None, names, classes
    )
    return Separation(
        kind="none" if found is None else found.kind,
        direction=frame,
        classes=classes[winners].tolist(),
        features=[name for name, one in zip([*names, "Intercept"], infinite, strict=True) if one],
        separated=separated,
    )
