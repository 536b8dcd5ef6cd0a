"""detect_separation: whether maximum-likelihood estimates exist, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skmaxent._input import _frames, _targets, _validation
from skmaxent._model._fit import Prepared
from skmaxent._objective._penalty import ridge_terms
from skmaxent._solvers import Options, Separated, separation
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# Of the fit that comes first, in standard errors: near enough to prove that there is an optimum.
NEAR = 1e-3


@dataclass(frozen=True)
class Separation:
    """Whether, and along which direction, classes are separated.

    Attributes
    ----------
    kind : {"none", "quasi-complete", "complete"}
        "none": the classes overlap and the likelihood has a maximum. "complete": some direction
        ranks every row's own class strictly first. "quasi-complete": some direction never ranks it
        behind another and sometimes strictly first.
    direction : pandas.DataFrame of shape (n_features + 1, n_classes)
        Coefficients, and "Intercept", along which the likelihood grows for ever; zeros for "none".
        They sum to zero over classes.
    classes : list
        Classes with rows that the direction separates from another class.
    features : list
        Features, and "Intercept", whose coefficients the direction changes: these have no finite
        estimates.
    separated : ndarray of bool, shape (n_samples,)
        Rows whose probability goes to one for some pair of classes along the direction.

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


class _Input(BaseEstimator):
    """What scikit-learn's validation wants to know names for."""


def detect_separation(
    X: Any, y: ArrayLike, *, sample_weight: ArrayLike | None = None, fit_intercept: bool = True
) -> Separation:
    """Whether the likelihood has a maximum, and if not, why.

    A fit without penalty comes first: where the classes overlap, its optimum proves it, and where
    they do not, its last step is mostly a direction that proves that. Otherwise, and for all
    directions of separated classes, linear programs over some of the rows decide [1]_ [2]_. Rows
    with a weight of zero do not count, nor do classes without other rows.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        Class labels, or counts or shares of the classes.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; only whether they are zero matters.
    fit_intercept : bool, default=True
        Whether each logit has an intercept.

    Returns
    -------
    Separation

    Raises
    ------
    ValueError
        For invalid input.
    RuntimeError
        Where neither proof was found: the linear programs were not solved, or there are more than
        2000 coefficients.

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
    owner = _Input()
    X, y = _targets.check_rows(owner, X, y)
    X = on_host(X)
    observed = _targets.observe(y)
    weights = _validation.check_sample_weight(sample_weight, observed.n_samples)
    if weights is not None:
        weights = (weights > 0.0).astype(float)
    rows = _targets.row_targets(observed, weights)
    terms = ridge_terms(np.zeros(X.shape[1]))
    given = _targets.given_in_memory(X, observed.classes, rows)
    with Prepared.within_threads(given, terms, None, fit_intercept=fit_intercept) as ready:
        found = separation(ready.problem, Options(tol=NEAR))
        return _result(found, ready, owner, observed.n_samples)


def _result(found: Separated | None, ready: Prepared, owner: _Input, n_samples: int) -> Separation:
    """The result with names, from a maximal direction in the coordinates of the problem."""
    classes, columns = ready.classes, ready.data.columns
    K, d = len(classes), columns.n_features
    D, moved = np.zeros((K, d + 1)), np.zeros(d + 1, bool)
    winners, separated = np.zeros(0, np.intp), np.zeros(n_samples, bool)
    active = ready.rows.active
    if found is not None:
        there = slice(None) if columns.kept is None else columns.kept
        moved[:-1][there], moved[-1] = found.moved[:-1], found.moved[-1]
        if columns.shift is not None:
            moved[-1] |= bool((found.moved[:-1] & (columns.shift != 0.0)).any())
        coef, intercept = ready.problem.objective.coefficients(found.direction)
        some = np.column_stack(columns.to_data(coef, intercept, ready.terms, np.float64))
        some = np.vstack([0.0 * some, some]) if len(some) == 1 else some
        D[active] = some - some.mean(axis=0)
        D[:, ~moved] = 0.0
        winners, separated = active[found.winners], found.rows
    names = getattr(owner, "feature_names_in_", _frames.default_names(d))
    has_intercept = ready.problem.objective.fit_intercept
    frame = _frames.coefficient_frame(
        D[:, :-1], D[:, -1] if has_intercept else None, names, classes
    )
    return Separation(
        kind="none" if found is None else found.kind,
        direction=frame,
        classes=classes[winners].tolist(),
        features=[name for name, m in zip([*names, "Intercept"], moved, strict=True) if m],
        separated=separated,
    )
