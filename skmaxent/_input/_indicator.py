"""Indicator matrices, which say of each label whether a row has it, and the targets they make."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from skmaxent._input._interchange import numbers_of_frame, refuse_masked
from skmaxent._input._targets import RowTargets
from skmaxent._input._validation import canonical
from skmaxent._objective._likelihood import Likelihood, Sigmoids, Softmax
from skmaxent._typing import Array


def check_indicator(y: Any) -> tuple[Any, Array]:
    """An indicator matrix, boolean and dense or CSR, and the names of its columns."""
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
            f"y holds {wrong[0]}; expected zeros and ones: which labels a row has. Shares of "
            "classes are for MaxentClassifier."
        )
    Y = Y.astype(bool)
    if sp.issparse(Y):
        Y.eliminate_zeros()
    return Y, np.arange(Y.shape[1]) if names is None else names


class LabelCounts(NamedTuple):
    """By label the weight of the rows that have it, their number, and that of all rows that count.

    Rows that count have weight; the last is the same for all labels.
    """

    totals: Array
    having: Array
    used: Array

    @classmethod
    def of(cls, Y: Any, sample_weight: Array | None, link: str) -> LabelCounts:
        weights = used_weights(Y, sample_weight, link)
        used = np.ones(Y.shape[0]) if weights is None else weights
        return cls(
            np.asarray(Y.T.astype(float) @ used),
            np.asarray(Y[used > 0.0].sum(axis=0), dtype=float).ravel(),
            np.full(Y.shape[1], float(np.count_nonzero(used))),
        )

    def active(self, link: str) -> Array:
        """Labels that some rows have and, for sigmoids, others have not."""
        varies = self.totals > 0.0
        if link == "sigmoid":
            # Not by differences of sums, which rounding may leave positive.
            varies &= self.having < self.used
        active = np.flatnonzero(varies)
        if not len(active) or (link == "softmax" and len(active) < 2):
            raise ValueError(
                f"y has {len(active)} labels that some rows of positive weight have"
                f"{' and others have not' if link == 'sigmoid' else '; expected two or more'}."
            )
        return active


def label_likelihood(n_labels: int, link: str, smoothing: float) -> Likelihood:
    """The likelihood of the labels that vary."""
    return (Sigmoids if link == "sigmoid" else Softmax)(n_labels, smoothing)


def used_weights(Y: Any, weights: Array | None, link: str) -> Array | None:
    """Weights of rows, zero for "softmax" where a row has no labels; None where all are one."""
    if link != "softmax":
        return weights
    has_some = np.asarray(Y.sum(axis=1)).ravel() > 0
    if has_some.all():
        return weights
    return has_some * (np.ones(len(has_some)) if weights is None else weights)


def targets_of(Y: Any, active: Array, link: str) -> Any:
    """Of active labels; for "softmax" a row's labels, active or not, share its target alike."""
    targets = Y[:, active]
    if link == "sigmoid":
        return targets
    shares = 1.0 / np.maximum(np.asarray(Y.sum(axis=1), dtype=float).ravel(), 1.0)
    if sp.issparse(targets):
        return sp.csr_array(sp.diags(shares) @ targets.astype(float))
    return targets * shares[:, None]


def label_targets(
    Y: Any, sample_weight: Array | None, *, link: str, smoothing: float = 0.0
) -> RowTargets:
    """Targets for the labels that some rows have and, for sigmoids, others have not.

    For "softmax" rows without labels say nothing.
    """
    weights = None if sample_weight is None else sample_weight / sample_weight.max()
    scale = 1.0 if sample_weight is None else float(sample_weight.max())
    counts = LabelCounts.of(Y, weights, link)
    active = counts.active(link)
    return RowTargets(
        scale,
        active,
        counts.totals,
        label_likelihood(len(active), link, smoothing),
        targets_of(Y, active, link),
        used_weights(Y, weights, link),
    )
