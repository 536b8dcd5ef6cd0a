"""Indicator matrices of label sets, and the targets that are computed from them.

An indicator matrix has a column for each label, with ones in the rows that have the label. The
argument `link` is "sigmoid" for independent labels and "softmax" for labels whose probabilities sum
to one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from skmaxent._input._interchange import (
    canonical,
    columns_in_order,
    exact_integers,
    numbers_of_frame,
    refuse_masked,
)
from skmaxent._input._training_data import TrainingData, storage_in_memory
from skmaxent._input._validation import relative_weights
from skmaxent._objective._likelihood import Likelihood, Sigmoids, Softmax
from skmaxent._typing import Array


def check_indicator(y: Any) -> tuple[Any, Array]:
    """Return an indicator matrix as booleans, dense or CSR, and the names of its columns.

    Columns without names are numbered. Raises ValueError for entries other than zeros and ones.
    """
    refuse_masked(y, "y")
    names = np.array(list(y.columns)) if hasattr(y, "columns") else None
    Y: Any = sp.csr_array(y) if sp.issparse(y) else np.asarray(numbers_of_frame(y))
    if Y.ndim != 2:
        raise ValueError(
            f"y has the shape {Y.shape}; expected an indicator matrix of shape (n_samples, "
            "n_labels), such as sklearn.preprocessing.MultiLabelBinarizer makes from sets."
        )
    if Y.dtype.kind not in "biuf":
        raise ValueError(
            f"y holds {Y.ravel().tolist()[0]!r}, of the dtype {Y.dtype}; expected zeros and ones, "
            "as numbers or booleans."
        )
    Y = canonical(Y)
    entries: Array = Y.data if sp.issparse(Y) else Y.ravel()
    wrong = entries[~np.isin(entries, (0, 1))]
    if len(wrong):
        raise ValueError(
            f"y holds {wrong[0]}; expected zeros and ones, an indicator matrix of the labels that "
            "each row has. For shares of classes use MaxentClassifier."
        )
    Y = Y.astype(bool)
    if sp.issparse(Y):
        Y.eliminate_zeros()
    return Y, np.arange(Y.shape[1]) if names is None else names


def numbers_in_order(y: Any, labels: Array | None) -> Any:
    """Return labels of rows that are to be scored, with columns in the order of `labels`.

    The columns of a frame are matched by name, and those of other matrices by position. None stands
    for one label a row. Raises ValueError if the names of the columns are not the labels.
    """
    refuse_masked(y, "y")
    if labels is not None and hasattr(y, "columns"):
        names, expected = list(map(str, y.columns)), list(map(str, labels.tolist()))
        if names != expected:
            if sorted(names) != sorted(set(expected)):
                raise ValueError(
                    f"y has the columns {list(y.columns)}; expected a column for each of the "
                    f"labels {labels.tolist()}."
                )
            y = columns_in_order(y, [names.index(label) for label in expected])
    return numbers_of_frame(exact_integers(y))


def share_of_equal_rows(
    y: Any, predicted: Any, labels: Array, sample_weight: ArrayLike | None
) -> float:
    """Return the weighted share of the rows of an indicator matrix y that equal predicted ones.

    `predicted` is an indicator matrix (n_samples, n_labels), dense or sparse, as y. The columns of
    a frame are matched by name with `labels`. Raises ValueError for other y.
    """
    Y, _ = check_indicator(numbers_in_order(y, labels))
    if Y.shape != predicted.shape:
        raise ValueError(
            f"y has the shape {Y.shape}; expected {predicted.shape}, a row for each row of X and a "
            f"column for each of the labels {labels.tolist()}."
        )
    predicted = sp.csr_array(predicted if sp.issparse(predicted) else np.asarray(predicted))
    n_different = (sp.csr_array(Y) != predicted.astype(bool)).sum(axis=1)
    weights = relative_weights(sample_weight, Y.shape[0])
    return float(np.average(np.asarray(n_different).ravel() == 0, weights=weights))


class LabelCounts(NamedTuple):
    """Sums over the rows of an indicator matrix, arrays of shape (n_labels,).

    Attributes
    ----------
    totals : ndarray
        The sum of the weights of the rows that have each label.
    having : ndarray
        The number of rows of positive weight that have each label.
    used : ndarray
        The number of all rows of positive weight, repeated for each label.
    """

    totals: Array
    having: Array
    used: Array

    @classmethod
    def of(cls, Y: Any, sample_weight: Array | None, link: str) -> LabelCounts:
        """Return the counts of an indicator matrix Y, dense or CSR, (n_samples, n_labels)."""
        weights = used_weights(Y, sample_weight, link)
        used = np.ones(Y.shape[0]) if weights is None else weights
        return cls(
            np.asarray(Y.T.astype(float) @ used),
            np.asarray(Y[used > 0.0].sum(axis=0), dtype=float).ravel(),
            np.full(Y.shape[1], float(np.count_nonzero(used))),
        )

    def active(self, link: str) -> Array:
        """Return the positions of the labels that can be fitted.

        These are the labels that some rows of positive weight have and, for sigmoids, other rows do
        not have. Raises ValueError for fewer than one such label, or than two for softmax.
        """
        varies = self.totals > 0.0
        if link == "sigmoid":
            # Counts of rows are exact, unlike differences of sums of weights.
            varies &= self.having < self.used
        active = np.flatnonzero(varies)
        if not len(active) or (link == "softmax" and len(active) < 2):
            varying = " and others do not have" if link == "sigmoid" else ""
            least = "one" if link == "sigmoid" else "two"
            raise ValueError(
                f"y has {len(active)} labels that some rows of positive weight have{varying}; "
                f"expected {least} or more."
            )
        return active


def label_likelihood(n_labels: int, link: str, smoothing: float) -> Likelihood:
    """Return the likelihood of a link for this number of labels."""
    return (Sigmoids if link == "sigmoid" else Softmax)(n_labels, smoothing)


def used_weights(Y: Any, weights: Array | None, link: str) -> Array | None:
    """Return the weights of rows, with zeros for rows that have no label if the link is "softmax".

    None stands for ones, both in the argument and in the result.
    """
    if link != "softmax":
        return weights
    has_some = np.asarray(Y.sum(axis=1)).ravel() > 0
    if has_some.all():
        return weights
    return has_some * (np.ones(len(has_some)) if weights is None else weights)


def targets_of(Y: Any, active: Array, link: str) -> Any:
    """Return the targets (n_samples, n_active) of the active labels, dense or CSR.

    They are zeros and ones for "sigmoid". For "softmax" each of the k labels of a row, active or
    not, has the share 1/k.
    """
    targets = Y[:, active]
    if link == "sigmoid":
        return targets
    shares = 1.0 / np.maximum(np.asarray(Y.sum(axis=1), dtype=float).ravel(), 1.0)
    if sp.issparse(targets):
        return sp.csr_array(sp.diags(shares) @ targets.astype(float))
    return targets * shares[:, None]


def indicator_data(
    X: Any,
    Y: Any,
    labels: Array,
    names: Array | None,
    sample_weight: Array | None,
    *,
    link: str,
    smoothing: float = 0.0,
) -> TrainingData:
    """Return the training data of an indicator matrix in memory.

    The targets are those of the active labels: see `LabelCounts.active`. For "softmax", rows
    without labels get the weight zero.

    Parameters
    ----------
    X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
    Y : ndarray or CSR matrix of bool, shape (n_samples, n_labels)
    labels : ndarray of shape (n_labels,)
    names : ndarray of shape (n_features,) or None
        The names of the columns of X.
    sample_weight : ndarray of shape (n_samples,) or None
    link : {"sigmoid", "softmax"}
    smoothing : float, default=0.0
    """
    scale = 1.0 if sample_weight is None else float(sample_weight.max())
    weights = None if sample_weight is None else sample_weight / scale
    counts = LabelCounts.of(Y, weights, link)
    active = counts.active(link)
    model = label_likelihood(len(active), link, smoothing)
    targets, weights = targets_of(Y, active, link), used_weights(Y, weights, link)
    storage = storage_in_memory(X, targets, weights, n_logits=model.n_logits)
    return TrainingData(labels, names, X.shape[1], active, counts.totals, scale, model, storage)
