"""The expected calibration error of predicted probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._inference._calibration_table import MOST_BINS
from skmaxent._inference._goodness_of_fit import with_equal_ties
from skmaxent._input import _targets, _validation
from skmaxent._input._arguments import check_choice, check_count
from skmaxent._input._interchange import native
from skmaxent._input._labels import refuse_unknown
from skmaxent._input._numbers import as_floats
from skmaxent._typing import Array

# The largest difference from one of the sum of a row of probabilities, which may be rounded.
LARGEST_EXCESS = 0.01


def expected_calibration_error(
    y_true: Any,
    y_prob: Any,
    *,
    kind: str = "top-label",
    n_bins: int = 15,
    strategy: str = "uniform",
    sample_weight: ArrayLike | None = None,
    classes: ArrayLike | None = None,
) -> float:
    """Compute the expected calibration error of predicted probabilities.

    Rows are grouped into bins of similar probability. In bin B, with the sum of weights w_B, the
    mean probability p_B is compared with the observed frequency f_B of the predicted event. The
    error is Σ_B w_B abs(f_B - p_B) / Σ_B w_B.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        Class labels, or counts or shares of the classes. A row of counts weighs as many
        observations as their sum.
    y_prob : array-like or DataFrame of shape (n_samples, n_classes)
        Probabilities from 0 to 1, such as the results of `predict_proba` and
        `predict_proba_frame`. Each row sums to one, up to 0.01 for rounded probabilities.
    kind : {"top-label", "class-wise"}, default="top-label"
        With "top-label" the event of a row is that its class of largest probability is the true
        one [1]_. With "class-wise" there is an error for each class, whose event is that the class
        is the true one, and the result is the mean over classes [2]_.
    n_bins : int, default=15
        The number of bins, from 1 to 1,000,000.
    strategy : {"uniform", "quantile"}, default="uniform"
        With "uniform", bins are intervals of [0, 1] of equal width. With "quantile", they contain
        equally many rows; bins with equal edges are merged.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of the rows; None stands for ones.
    classes : array-like of shape (n_classes,), default=None
        The labels of the columns of `y_prob`. None stands for the names of the columns of a
        DataFrame, and otherwise for the sorted labels in `y_true`.

    Returns
    -------
    float
        The error, from 0 for perfect calibration to 1.

    Raises
    ------
    ValueError
        If `kind`, `strategy` or `n_bins` has a value that is not allowed, if `y_prob` does not hold
        probabilities of shape (n_samples, n_classes), or if `y_true` contains labels that are not
        among the classes.

    References
    ----------
    .. [1] Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks, ICML.
    .. [2] Kull et al. (2019), Beyond temperature scaling: obtaining well-calibrated multi-class
       probabilities with Dirichlet calibration, NeurIPS 32.

    Examples
    --------
    >>> from skmaxent import expected_calibration_error
    >>> expected_calibration_error([0, 1, 1, 1], [[0.2, 0.8]] * 4, n_bins=5)
    0.05...
    """
    check_choice("kind", kind, ("top-label", "class-wise"))
    check_choice("strategy", strategy, ("uniform", "quantile"))
    check_count("n_bins", n_bins, 1, MOST_BINS)
    P, T, weights, _ = probabilities_and_shares(y_true, y_prob, classes)
    given = _validation.relative_weights(sample_weight, len(P))
    weights = weights if given is None else weights * given
    if kind == "top-label":
        top = P.argmax(axis=1)
        rows = np.arange(len(P))
        return _error(P[rows, top], T[rows, top], weights, n_bins, strategy)
    errors = [_error(P[:, k], T[:, k], weights, n_bins, strategy) for k in range(P.shape[1])]
    return float(np.mean(errors))


def probabilities_and_shares(
    y_true: Any, y_prob: Any, classes: Any
) -> tuple[Array, Array, Array, list[Any]]:
    """Check the arguments of `expected_calibration_error`, and return arrays for its formula.

    Returns
    -------
    probabilities : ndarray of shape (n_samples, n_classes)
    shares : ndarray of shape (n_samples, n_classes)
        Observed shares of the classes in each row.
    n_observations : ndarray of shape (n_samples,)
        The number of observations that each row stands for.
    labels : list
        The class of each column.
    """
    y_prob = native(y_prob, "y_prob")
    if classes is None and hasattr(y_prob, "columns"):
        names = y_prob.columns
        is_time = getattr(getattr(names, "dtype", None), "kind", "") == "M"
        # A list of times would become objects, which are not equal to the labels.
        classes = np.asarray(names) if is_time else np.array(list(names))
    try:
        P = as_floats(y_prob)
    except (TypeError, ValueError) as error:
        raise type(error)(f"y_prob must hold probabilities: {error}.") from error
    if not P.size:
        raise ValueError(f"y_prob must have rows and columns, found the shape {P.shape}.")
    if P.ndim != 2 or not ((P >= 0.0) & (P <= 1.0)).all():
        raise ValueError(
            f"y_prob must hold probabilities of shape (n_samples, n_classes), found {P.shape} with "
            f"values from {P.min()} to {P.max()}."
        )
    sums = P.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1.0) > LARGEST_EXCESS)
    if len(wrong):
        raise ValueError(
            f"y_prob has {len(wrong)} rows whose sum is not one, such as row {wrong[0]} with the "
            f"sum {sums[wrong[0]]:.6g}; expected a probability for each class, as predict_proba "
            "returns them."
        )
    return P, *_shares(y_true, P.shape, None if classes is None else np.asarray(classes))


def _shares(
    y: Any, shape: tuple[int, ...], classes: Array | None
) -> tuple[Array, Array, list[Any]]:
    """Return the last three results of `probabilities_and_shares`.

    Parameters
    ----------
    y : array-like
        Class labels, or a table of counts or shares.
    shape : tuple of int
        The shape (n_samples, n_classes) of the probabilities.
    classes : ndarray of shape (n_classes,) or None
        The labels of the columns of the probabilities; None stands for the sorted labels in y.
    """
    if classes is not None and (
        classes.shape != shape[1:] or len(set(classes.tolist())) < len(classes)
    ):
        raise ValueError(
            f"classes must be {shape[1]} different labels, one for each column of y_prob, found "
            f"{classes.tolist()}."
        )
    observed = _targets.observe(y, None if classes is None else np.sort(classes))
    if classes is not None and observed.codes is not None and not _targets.is_table(y):
        refuse_unknown(y, classes, "y_true")
    n, K = observed.n_samples, len(observed.classes)
    if (n, K) != shape:
        raise ValueError(
            f"y_prob has the shape {shape}; expected ({n}, {K}) for y_true with the classes "
            f"{observed.classes.tolist()}. If the columns of y_prob belong to other classes, give "
            "these in the argument classes."
        )
    if observed.codes is not None:
        T = (observed.codes[:, None] == np.arange(K)).astype(float)
        counts = np.ones(n) if observed.multiplicity is None else observed.multiplicity
    else:
        counts = observed.table.sum(axis=1)
        T = observed.table / counts[:, None]
    if classes is not None:
        T = T[:, np.searchsorted(observed.classes, classes)]
    labels = observed.classes if classes is None else classes
    return T, counts, labels.tolist()


def _error(p: Array, hit: Array, weights: Array, n_bins: int, strategy: str) -> float:
    """Return the calibration error of one event in each row.

    All arrays have the shape (n_samples,). `p` are the predicted probabilities of the event, `hit`
    the shares of the observations in which it occurred, and `weights` the weights of the rows.
    """
    keys = with_equal_ties(p)
    if strategy == "uniform":
        edges = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    else:
        edges = np.unique(np.quantile(keys, np.linspace(0.0, 1.0, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, keys, side="left")
    gaps = np.bincount(bins, weights * (hit - p))
    return float(np.abs(gaps).sum() / weights.sum())
