"""ConformalSets: sets of classes for new rows, calibrated by held-out scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._input._arguments import check_choice, check_flag
from skmaxent._input._frames import class_index, row_index
from skmaxent._input._interchange import native
from skmaxent._input._numbers import is_number
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leave_one_out import held_out
from skmaxent._model._fitted_model import FittedModel
from skmaxent._public import public
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("probability", "cumulative")
# Relative rounding error of a sum of weights: without this allowance, a sum of fractions could miss
# the number of observations that it equals exactly.
ROUNDING = 1e-12


@public
@dataclass(frozen=True)
class ConformalSets:
    """Sets of classes for new rows that contain the observed class with a given probability.

    `InferenceResults.conformal` and `skmaxent.conformal_sets` return this object. The set of a row
    contains a class if the score of the class in that row is at most the threshold of the class.
    The object does not keep the rows of the fit.

    Attributes
    ----------
    alpha : float
        The largest probability that a set does not contain the observed class.
    score : {"probability", "cumulative"}
        The score that is compared with the thresholds: 1 - p for the probability p of the class, or
        the total probability of all more probable classes plus p/2.
    class_conditional : bool
        Whether each class has a threshold of its own.
    thresholds : ndarray of shape (n_classes,)
        The largest score of each class with which it is in a set. Infinite if there are too few
        observations; the class is then in all sets.
    classes : list
        Class labels.
    mean_size : float
        The mean number of classes in the held-out sets of the observations of the fit.
    n_refits : int
        How many exact fits replaced approximations in the held-out scores.

    See Also
    --------
    conformal_sets : The sets of a fitted classifier or pipeline.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> results = MaxentClassifier(C=np.inf).fit(X.iloc[:, [1]], y).infer(X.iloc[:, [1]], y)
    >>> sets = results.conformal(alpha=0.2)
    >>> sets.predict(X.iloc[[0, 60], [1]])
    class      0      1      2
    0       True  False  False
    60     False   True  False
    """

    alpha: float
    score: str
    class_conditional: bool
    thresholds: Array
    classes: list[Any]
    mean_size: float
    n_refits: int
    _model: FittedModel = field(repr=False)
    _transformer: Any = field(default=None, repr=False)

    def predict(self, X: Any, offset: Any = None) -> pd.DataFrame | Any:
        """Return which classes are in the set of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_variables)
            New rows, with the variables of the data of the fit.
        offset : array-like, default=None
            Offsets of the new rows, as in `MaxentClassifier.predict_proba`.

        Returns
        -------
        pandas.DataFrame of bool
            A row for each row of X, with the index of X, and a column for each class. A set is
            empty if no class is probable enough. For Dask collections the result is a lazy Dask
            array of bool of shape (n_samples, n_classes), in the order of `classes`.

        Raises
        ------
        ValueError
            If `predict_proba` raises it for the same X and offset.
        """
        import pandas as pd

        columns = X if self._transformer is None else self._transformer.transform(X)
        P = self._model.predict("probabilities", columns, offset)
        if is_dask(P):
            return P.map_blocks(self._contains, dtype=bool)
        return pd.DataFrame(
            self._contains(np.asarray(to_host(P), dtype=float)),
            index=row_index(native(X, "X")),
            columns=class_index(np.asarray(self.classes)),
        )

    def _contains(self, probabilities: Array) -> Array:
        """Return a mask of the classes in the set of each row, from probabilities of its shape."""
        return np.asarray(nonconformity(probabilities, self.score) <= self.thresholds)


def conformal_sets(
    fit: FittedRows,
    model: FittedModel,
    transformer: Any,
    *,
    alpha: float,
    class_conditional: bool,
    score: str,
    weights: str,
    max_refits: int | None,
) -> ConformalSets:
    """Return conformal sets whose thresholds come from the held-out scores of a fit.

    Parameters
    ----------
    fit : FittedRows
        A fit to rows in memory.
    model : FittedModel
        The same fit, for predictions of new rows.
    transformer : object or None
        Makes the columns of the model from the columns that the user gives; None if these are the
        same.
    alpha, class_conditional, score, weights, max_refits : object
        As in `skmaxent.conformal_sets`.
    """
    if not (is_number(alpha) and 0.0 < float(alpha) < 1.0):
        raise ValueError(f"alpha must be a number between 0 and 1, found {alpha!r}.")
    check_choice("score", score, SCORES)
    check_flag("class_conditional", class_conditional)
    held = held_out(fit, weights=weights, max_refits=max_refits, refuse_single=False)
    units, is_single = held.units, held.scores.is_single
    scores = nonconformity(np.exp(held.scores.log_proba), score)
    # The number of observations of each class that a unit stands for, (n_units, n_classes).
    # Sampling weights have no scale and are divided by their mean.
    mass = units.count[:, None] * units.shares
    if weights == "probability":
        mass *= np.count_nonzero(units.count > 0.0) / units.count.sum()
    # A fit without the only observation of a class gives this class the probability 0.
    scores[is_single[:, None] & (mass > 0.0)] = 1.0
    if class_conditional:
        thresholds = np.array(
            [threshold(scores[:, k], mass[:, k], float(alpha)) for k in range(mass.shape[1])]
        )
    else:
        thresholds = np.full(mass.shape[1], threshold(scores.ravel(), mass.ravel(), float(alpha)))
    sizes = (scores <= thresholds).sum(axis=1)
    return ConformalSets(
        float(alpha),
        score,
        bool(class_conditional),
        thresholds,
        fit.training.classes.tolist(),
        float(mass.sum(axis=1) @ sizes / mass.sum()),
        held.refits.n_fits,
        model.detached(),
        transformer,
    )


def nonconformity(probabilities: Array, score: str) -> Array:
    """Return the nonconformity score of each class in each row: large for improbable classes.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
    score : {"probability", "cumulative"}

    Returns
    -------
    ndarray of shape (n, n_classes)
        1 - p for the probability p of the class, or, with "cumulative", the total probability of
        all more probable classes plus p/2.
    """
    if score == "probability":
        return np.asarray(1.0 - probabilities)
    order = np.argsort(probabilities, axis=1, kind="stable")
    rising = np.take_along_axis(probabilities, order, axis=1)
    # One minus the total of the less probable classes and p/2 has a small rounding error where the
    # score is near 1, that is for the most improbable classes.
    out = np.empty_like(rising)
    np.put_along_axis(out, order, 1.0 - (np.cumsum(rising, axis=1) - 0.5 * rising), axis=1)
    return out


def threshold(scores: Array, mass: Array, alpha: float) -> float:
    """Return the smallest score s such that (1 - alpha)(N + 1) of N observations score at most s.

    Parameters
    ----------
    scores, mass : ndarray of shape (n,)
        Scores, and the number of observations that have each score; N is the sum of `mass`.
    alpha : float

    Returns
    -------
    float
        Infinity if (1 - alpha)(N + 1) exceeds N.
    """
    scores, mass = scores[mass > 0.0], mass[mass > 0.0]
    order = np.argsort(scores)
    below = np.cumsum(mass[order])
    needed = (1.0 - alpha) * (float(mass.sum()) + 1.0) * (1.0 - ROUNDING)
    at = int(np.searchsorted(below, needed))
    return float(scores[order[at]]) if at < len(order) else float("inf")
