"""RowsInMemory: the checked rows of a cross-validation, for folds and for leave-one-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input import _validation
from skmaxent._input._observations import Observations
from skmaxent._input._read import check_rows
from skmaxent._input._targets import observe
from skmaxent._model_selection._folds import FoldOptions
from skmaxent._storage._device_array import unwrapped
from skmaxent._storage._place import to_host
from skmaxent._storage._row_blocks import check_finite
from skmaxent._typing import Array, DType


@dataclass(frozen=True)
class RowsInMemory:
    """The checked rows of a cross-validation.

    Attributes
    ----------
    X : {array, sparse matrix, DataFrame} of shape (n_samples, n_features)
        The checked rows, or the data frame that the user gave.
    y : array-like
        The checked labels or table.
    observed : Observations
        The classes of the rows.
    sample_weight : ndarray of shape (n_samples,) or None
    offset : ndarray of shape (n_samples, n_logits) or None
    dtype : dtype
        float32 or float64, that of the checked rows, in which coefficients are returned.
    """

    X: Any
    y: Any
    observed: Observations
    sample_weight: Array | None
    offset: Array | None
    dtype: DType

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        offset: ArrayLike | None,
    ) -> tuple[RowsInMemory, Any]:
        """Return the rows, and the checked X as an array or sparse matrix.

        The estimator gets the number and the names of the columns. Raises ValueError for rows that
        cannot be fitted.
        """
        checked, labels = check_rows(estimator, X, y)
        dtype = checked.dtype
        checked = unwrapped(checked)
        check_finite(checked)
        observed = observe(labels)
        weights = _validation.check_sample_weight(sample_weight, observed.n_samples)
        logits = _validation.check_offset(offset, observed.n_samples, observed.classes, np.float64)
        rows = X if hasattr(X, "columns") else checked
        return cls(rows, labels, observed, weights, logits, dtype), checked

    def total_weight(self, model: MaxentClassifier) -> float:
        """Return the sum of the weights of the rows, with the class weights of a model."""
        observed, weights = self.observed, self.sample_weight
        class_weight = _validation.check_class_weight(
            model.class_weight, observed.classes, observed.totals(weights)
        )
        return observed.total_weight(weights, class_weight)

    def score_weights(self, fold_options: FoldOptions) -> Array | None:
        """Return the weights of the rows in scores, (n_samples,); None stands for ones."""
        given = to_host(fold_options.routed.scorer.score.get("sample_weight"))
        return _validation.check_sample_weight(given, self.observed.n_samples)
