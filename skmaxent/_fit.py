"""Checked arrays to a problem that the solvers can trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmaxent import _scaling
from skmaxent._blocks import RowBlocks
from skmaxent._likelihood import Likelihood, Softmax, likelihood
from skmaxent._objective import Moments, column_moments
from skmaxent._penalty import Terms
from skmaxent._threads import Workers
from skmaxent._validation import ClassCodes, check_finite

Array = NDArray[Any]


@dataclass(frozen=True)
class Data:
    """Rows whose columns have squares within the range of floating point, and their moments.

    `exponents` are the powers of two that the columns were divided by, None where by none.
    """

    blocks: RowBlocks
    model: Likelihood
    moments: Moments
    exponents: Array | None

    @classmethod
    def prepare(cls, X: Any, rows: ClassCodes, offset: Array | None, workers: Workers) -> Data:
        """Raises ValueError where X is not finite."""
        K = len(rows.active)
        # Two classes have a single logit, but not where they are two of more, whose coefficients
        # are penalised each.
        model = Softmax(K) if rows.n_classes > K else likelihood(K)
        weights = rows.weights if rows.weights is None else rows.weights.astype(X.dtype)

        def blocks_of(X: Any) -> RowBlocks:
            return RowBlocks(
                X, rows.codes, weights, offset, n_logits=model.n_logits, workers=workers
            )

        blocks, exponents = blocks_of(X), None
        moments = column_moments(blocks, K)
        if not np.isfinite(moments.mean_square.sum()):
            check_finite(X)
        if _scaling.needs_scaling(X, moments.mean_square):
            exponents = _scaling.column_exponents(X)
            blocks = blocks_of(_scaling.scale_columns(X, exponents))
            moments = column_moments(blocks, K)
        return cls(blocks, model, moments, exponents)

    @property
    def total_weight(self) -> float:
        weights = self.blocks.weights
        return float(self.blocks.n_samples if weights is None else weights.sum(dtype=float))

    def terms(self, terms: Terms) -> Terms:
        """Terms for the columns as they are here."""
        if self.exponents is None:
            return terms
        return _scaling.scale_terms(terms, self.exponents)

    def coefficients(self, coef: Array) -> Array:
        """Coefficients of the columns as the user knows them."""
        if self.exponents is None:
            return coef
        return _scaling.unscale_coef(coef, self.exponents, self.blocks.dtype)
