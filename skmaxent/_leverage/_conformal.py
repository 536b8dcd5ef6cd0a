"""ConformalSets: sets of classes for new rows, calibrated by held-out scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._input._frames import class_index, row_index
from skmaxent._input._interchange import native
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leave_one_out import held_out
from skmaxent._model._fitted_model import FittedModel
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("probability", "cumulative")
# Relative rounding error of a sum of weights.
ROUNDING = 1e-12


@dataclass(frozen=True)
class ConformalSets:
    """Sets of classes for new rows that contain the observed class with a given probability.

    It is made by `InferenceResults.conformal` and `skmaxent.conformal_sets`. A class is in the set
    of a row if its score there is at most the threshold of the class. A pickle has no rows of the
    fit.

    Attributes
    ----------
    alpha : float
        The largest probability that a set does not contain the observed class.
    score : {"probability", "cumulative"}
        What is compared with the thresholds: 1 - p of the class, or the total probability of all
        more probable classes and of half of the class.
    class_conditional : bool
        Whether each class has a threshold of its own.
    thresholds : ndarray of shape (n_classes,)
        Infinite where the observations are too few: the class is in all sets then.
    classes : list
        Labels.
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
            Their offsets, as in `MaxentClassifier.predict_proba`.

        Returns
        -------
        pandas.DataFrame of bool
            A row for each row of X, with its index, and a column for each class. A set can be empty
            where no class is probable enough. For Dask collections, as by `predict_proba`, a lazy
            Dask array of bool with the shape (n_samples, n_classes) and the order of `classes`.

        Raises
        ------
        ValueError
            For data that the model cannot predict.
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
        """Return which classes are in the sets of rows with these probabilities, of that shape."""
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
    """Return the sets of a fit.

    Parameters
    ----------
    fit : FittedRows
        A fit to rows in memory.
    model : FittedModel
        It predicts for new rows.
    transformer : object or None
        It makes the columns of the model of the user's rows.
    alpha, class_conditional, score, weights, max_refits : object
        As in `skmaxent.conformal_sets`.
    """
    if not (isinstance(alpha, Real) and 0.0 < float(alpha) < 1.0):
        raise ValueError(f"alpha must be a number between 0 and 1, found {alpha!r}.")
    if score not in SCORES:
        raise ValueError(f"score must be 'probability' or 'cumulative', found {score!r}.")
    if class_conditional not in (True, False):
        raise ValueError(f"class_conditional must be True or False, found {class_conditional!r}.")
    held = held_out(fit, weights=weights, max_refits=max_refits, refuse_rare=False)
    units, is_lost = held.units, held.scores.is_lost
    found = nonconformity(np.exp(held.scores.log_proba), score)
    # How many observations of each class a unit stands for, (n_units, n_classes). The weights of a
    # sample have the mean 1.
    mass = units.count[:, None] * units.shares
    if weights == "probability":
        mass *= np.count_nonzero(units.count > 0.0) / units.count.sum()
    # A fit without the only observation of a class gives it no probability.
    found[is_lost[:, None] & (mass > 0.0)] = 1.0
    if class_conditional:
        thresholds = np.array(
            [threshold(found[:, k], mass[:, k], float(alpha)) for k in range(mass.shape[1])]
        )
    else:
        thresholds = np.full(mass.shape[1], threshold(found.ravel(), mass.ravel(), float(alpha)))
    sizes = (found <= thresholds).sum(axis=1)
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
    """Return the score of each class of each row, larger for less probable classes.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
    score : {"probability", "cumulative"}

    Returns
    -------
    ndarray of shape (n, n_classes)
        1 - p, or the sum of the probabilities of all classes that are more probable and of half of
        that of the class.
    """
    if score == "probability":
        return np.asarray(1.0 - probabilities)
    order = np.argsort(probabilities, axis=1, kind="stable")
    rising = np.take_along_axis(probabilities, order, axis=1)
    # One minus the less probable classes and half of the class, exact where these are few.
    out = np.empty_like(rising)
    np.put_along_axis(out, order, 1.0 - (np.cumsum(rising, axis=1) - 0.5 * rising), axis=1)
    return out


def threshold(scores: Array, mass: Array, alpha: float) -> float:
    """Return the smallest score at or below which there are (1 - alpha)(N + 1) of N observations.

    Parameters
    ----------
    scores, mass : ndarray of shape (n,)
        Scores, and how many observations each stands for; N is the sum of `mass`.
    alpha : float

    Returns
    -------
    float
        Infinity where N observations are too few.
    """
    scores, mass = scores[mass > 0.0], mass[mass > 0.0]
    order = np.argsort(scores)
    below = np.cumsum(mass[order])
    needed = (1.0 - alpha) * (float(mass.sum()) + 1.0) * (1.0 - ROUNDING)
    at = int(np.searchsorted(below, needed))
    return float(scores[order[at]]) if at < len(order) else float("inf")
