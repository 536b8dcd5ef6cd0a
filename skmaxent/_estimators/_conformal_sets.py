"""`conformal_sets`: sets of classes from a fitted classifier, or a pipeline that ends in one."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from skmaxent._estimators._infer_pipeline import copy_of_transformer
from skmaxent._estimators._leave_one_out import fitted_rows
from skmaxent._leverage._conformal import ConformalSets
from skmaxent._leverage._conformal import conformal_sets as sets_of_fit
from skmaxent._typing import ConformalScore, WeightsKind


def conformal_sets(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    alpha: float = 0.1,
    class_conditional: bool = False,
    score: ConformalScore = "probability",
    weights: WeightsKind = "frequency",
    max_refits: int | None = 100,
) -> ConformalSets:
    r"""Return sets of classes for new rows that contain the observed class with 1 - `alpha`.

    Each observation of the fit has the score of its class in the fit without this observation, by
    one Newton step as in `leave_one_out`. The threshold is the
    :math:`\lceil(1-\alpha)(n+1)\rceil`-th smallest of these :math:`n` scores. The set of a new row
    contains the classes whose scores in the fit to all rows are at most the threshold [1]_ [2]_.
    No rows are needed for calibration alone.

    The probability is that over new rows from the population of the rows of the fit. It converges
    to 1 - `alpha` as the number of rows grows, also for a wrong model, if leaving out one row
    hardly changes predictions [3]_. It can be lower with few rows for each coefficient and no
    penalty.

    Parameters
    ----------
    model : MaxentClassifier, or Pipeline that ends in one
        Fitted.
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_variables)
        The data of the fit, in memory.
    y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        The labels of the rows, or counts or shares of the classes.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of the fit.
    offset : array-like, default=None
        The offsets of the fit.
    alpha : float, default=0.1
        The largest probability that a set does not contain the observed class.
    class_conditional : bool, default=False
        Whether the probability holds within each class: each class has a threshold of its own,
        from its observations alone. A class with fewer than 1/`alpha` - 1 of them is in all sets.
    score : {"probability", "cumulative"}, default="probability"
        "probability" is 1 - p of the class, which gives the smallest sets [4]_. "cumulative" is the
        total probability of all more probable classes and of half of the class: the score of
        adaptive prediction sets [5]_ with its random number at the mean. Rows that are hard to
        predict get larger sets, and coverage differs less between rows.
    weights : {"frequency", "probability"}, default="frequency"
        What `sample_weight` means, as in `leave_one_out`. With sampling weights, a new row has
        their mean.
    max_refits : int or None, default=100
        The largest number of exact fits, as in `leave_one_out`.

    Returns
    -------
    ConformalSets

    Raises
    ------
    TypeError
        For other models and for Dask collections.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If `alpha` is not between 0 and 1, for other scores, and as `leave_one_out`. A class with a
        single observation is no error here: this observation has the score 1.

    See Also
    --------
    leave_one_out : The held-out probabilities.

    References
    ----------
    .. [1] Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, Springer.
    .. [2] Barber, Candès, Ramdas & Tibshirani (2021), Predictive inference with the jackknife+,
       Ann. Stat. 49, 486-507.
    .. [3] Steinberger & Leeb (2023), Conditional predictive inference for stable algorithms,
       Ann. Stat. 51, 290-311.
    .. [4] Sadinle, Lei & Wasserman (2019), Least ambiguous set-valued classifiers with bounded
       error levels, J. Am. Stat. Assoc. 114, 223-234.
    .. [5] Romano, Sesia & Candès (2020), Classification with valid and adaptive coverage,
       Advances in Neural Information Processing Systems 33.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, conformal_sets
    >>> X, y = load_iris(return_X_y=True)
    >>> X = X[:, :2]
    >>> model = MaxentClassifier(C=1.0).fit(X, y)
    >>> sets = conformal_sets(model, X, y, alpha=0.1)
    >>> sets.predict(X[[0, 100]]).to_numpy().tolist()
    [[True, False, False], [False, True, True]]
    """
    with fitted_rows(model, X, y, sample_weight, offset, "conformal_sets") as found:
        fit, fitted_model, transformer = found
        return sets_of_fit(
            fit,
            fitted_model,
            copy_of_transformer(transformer),
            alpha=alpha,
            class_conditional=class_conditional,
            score=score,
            weights=weights,
            max_refits=max_refits,
        )
