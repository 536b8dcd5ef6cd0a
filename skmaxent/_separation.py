"""detect_separation: whether maximum-likelihood estimates exist, by linear programming."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from sklearn.base import BaseEstimator

from skmaxent import _frames, _scaling, _targets, _validation
from skmaxent._blocks import check_finite
from skmaxent._device_array import on_host

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

# Relative to the largest, what counts as positive in a solution of HiGHS.
POSITIVE = 1e-6


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

    Two linear programs over (n_classes - 1)(n_features + 1) variables with a constraint for each
    row and other class [1]_ [2]_. Rows with a weight of zero do not count.

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
        Where the linear program could not be solved.

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
    check_finite(X)
    observed = _targets.observe(y)
    weights = _validation.check_sample_weight(sample_weight, observed.n_samples)
    kept, codes = observed.expanded()
    if weights is not None:
        some = weights[kept] > 0.0
        kept, codes = kept[some], codes[some]
    classes = observed.classes
    peak = _scaling.column_peaks(X[kept])
    size = np.where(peak > 0.0, peak, 1.0)
    A, rows = _differences(_standardised(X[kept], size, fit_intercept), codes, len(classes))
    direction = _least(-np.asarray(A.sum(axis=0)).ravel(), A)
    gain = A @ direction
    strict = gain > POSITIVE * max(1.0, float(np.abs(gain).max(initial=0.0)))
    kind = "none"
    if strict.any():
        complete = _margin(A)
        kind = "quasi-complete" if complete is None else "complete"
        direction = direction if complete is None else complete
        strict = A @ direction > 0.5 * POSITIVE if complete is not None else strict
    result = _result(kind, direction, size, classes, owner, fit_intercept)
    if kind == "none":
        return replace(result, separated=np.zeros(observed.n_samples, bool))
    separated = np.zeros(observed.n_samples, bool)
    separated[kept[rows[strict]]] = True
    found = np.unique(codes[rows[strict]])
    return replace(result, separated=separated, classes=classes[found].tolist())


def _standardised(X: Any, size: Array, fit_intercept: bool) -> Any:
    """Columns divided by their sizes, with one of ones: the sign pattern is the same."""
    X = sp.csr_array(X @ sp.diags(1 / size) if sp.issparse(X) else X / size)
    ones = np.full((X.shape[0], 1), 1.0 if fit_intercept else 0.0)
    return sp.csr_array(sp.hstack([X, sp.csr_array(ones)]))


def _differences(X: Any, codes: Array, n_classes: int) -> tuple[Any, Array]:
    """Rows x_i (e_y - e_k)ᵀ for each other class k, without the last class, and their i."""
    blocks, rows = [], []
    for k in range(n_classes):
        index = np.flatnonzero(codes != k)
        part = X[index]
        columns = []
        for c in range(n_classes - 1):
            sign = (codes[index] == c).astype(float) - float(c == k)
            columns.append(sp.diags(sign) @ part)
        blocks.append(sp.hstack(columns))
        rows.append(index)
    return sp.csr_array(sp.vstack(blocks)), np.concatenate(rows)


def _least(cost: Array, A: Any) -> Array:
    """x in a box that makes cost·x least, with A x >= 0."""
    result = linprog(cost, A_ub=-A, b_ub=np.zeros(A.shape[0]), bounds=(-1.0, 1.0), method="highs")
    if result.x is None:
        raise RuntimeError(f"the linear program was not solved: {result.message}")
    return np.asarray(result.x)


def _margin(A: Any) -> Array | None:
    """A direction with every A x > 0, or None."""
    one = sp.csr_array(np.ones((A.shape[0], 1)))
    cost = np.zeros(A.shape[1] + 1)
    cost[-1] = -1.0
    x = _least(cost, sp.hstack([A, -one]))
    return x[:-1] if x[-1] > POSITIVE else None


def _result(
    kind: str,
    direction: Array,
    size: Array,
    classes: Array,
    owner: _Input,
    fit_intercept: bool,
) -> Separation:
    d, K = len(size), len(classes)
    if kind == "none":
        direction = np.zeros_like(direction)
    D = np.vstack([direction.reshape(K - 1, d + 1), np.zeros((1, d + 1))])
    D -= D.mean(axis=0)
    largest = float(np.abs(D).max())
    moved = np.abs(D).max(axis=0) > POSITIVE * largest if largest else np.zeros(d + 1, bool)
    D[:, ~moved] = 0.0
    D[:, :-1] /= size
    names = getattr(owner, "feature_names_in_", _frames.default_names(d))
    frame = _frames.coefficient_frame(
        D[:, :-1], D[:, -1] if fit_intercept else None, names, classes
    )
    return Separation(
        kind=kind,
        direction=frame,
        classes=[],
        features=[name for name, m in zip([*names, "Intercept"], moved, strict=True) if m],
        separated=np.zeros(0, bool),
    )
