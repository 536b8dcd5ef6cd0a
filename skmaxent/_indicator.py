"""Indicator matrices, which say of each label whether a row has it, and the targets they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skmaxent._likelihood import Likelihood, Sigmoids, Softmax
from skmaxent._targets import RowTargets

Array = NDArray[Any]


def check_indicator(y: Any) -> tuple[Any, Array]:
    """An indicator matrix, boolean and dense or CSR, and the names of its columns."""
    names = np.array(list(y.columns)) if hasattr(y, "columns") else None
    Y: Any = sp.csr_array(y) if sp.issparse(y) else np.asarray(y)
    if Y.ndim != 2:
        raise ValueError(
            f"y has the shape {Y.shape}; expected an indicator matrix of shape (n_samples, "
            "n_labels), such as sklearn.preprocessing.MultiLabelBinarizer makes from sets."
        )
    if Y.dtype.kind not in "biuf":
        raise ValueError(f"y holds {Y.ravel().tolist()[0]!r}; expected zeros and ones.")
    entries: Array = Y.data if sp.issparse(Y) else Y.ravel()
    wrong = entries[~np.isin(entries, (0, 1))]
    if len(wrong):
        raise ValueError(
            f"y holds {wrong[0]}; expected zeros and ones: which labels a row has. Shares of "
            "classes are for MaxentClassifier."
        )
    Y = Y.astype(bool)
    if sp.issparse(Y):
        Y.eliminate_zeros()
    return Y, np.arange(Y.shape[1]) if names is None else names


def label_targets(
    Y: Any, sample_weight: Array | None, *, link: str, smoothing: float = 0.0
) -> RowTargets:
    """Targets for the labels that some rows have and, for sigmoids, others have not.

    For "softmax" a row's labels share its target alike, and rows without labels say nothing.
    """
    n = Y.shape[0]
    weights = None if sample_weight is None else sample_weight / sample_weight.max()
    scale = 1.0 if sample_weight is None else float(sample_weight.max())
    n_of_row = np.asarray(Y.sum(axis=1), dtype=float).ravel()
    if link == "softmax" and not n_of_row.all():
        weights = (n_of_row > 0) * (np.ones(n) if weights is None else weights)
    used = np.ones(n) if weights is None else weights
    totals = np.asarray(Y.T.astype(float) @ used)
    varies = totals > 0.0
    if link == "sigmoid":
        # Not by differences of sums, which rounding may leave positive.
        varies &= np.asarray(Y[used > 0.0].sum(axis=0)).ravel() < np.count_nonzero(used)
    active = np.flatnonzero(varies)
    if not len(active) or (link == "softmax" and len(active) < 2):
        raise ValueError(
            f"y has {len(active)} labels that some rows of positive weight have"
            f"{' and others have not' if link == 'sigmoid' else '; expected two or more'}."
        )
    targets = Y[:, active]
    if link == "sigmoid":
        model: Likelihood = Sigmoids(len(active), smoothing)
        return RowTargets(scale, active, totals, model, targets, weights)
    shares = 1.0 / np.maximum(n_of_row, 1.0)
    if sp.issparse(targets):
        targets = sp.csr_array(sp.diags(shares) @ targets.astype(float))
    else:
        targets = targets * shares[:, None]
    model = Softmax(len(active), smoothing)
    return RowTargets(scale, active, totals, model, targets, weights)
