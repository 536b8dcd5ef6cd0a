"""The context of a kernel: a block of rows, with logits and probabilities of the model.

A kernel is a function that is called for each block of rows, and whose results are summed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from skmaxent._cached import cached_property
from skmaxent._objective._likelihood import Likelihood
from skmaxent._storage._arrays import empty
from skmaxent._storage._block import Block
from skmaxent._storage._standardisation import Standardisation
from skmaxent._typing import Array

# Residuals of probabilities above this one are computed from the complement: p - 1 would lose two
# or more of its digits.
NEARLY_SURE = 0.99


class Probabilities:
    """The class probabilities of all rows at a point θ, block by block.

    The probabilities are either kept in memory after the first pass, or computed again in each
    pass, or equal for all rows.

    Parameters
    ----------
    likelihood : Likelihood
    keeps : bool, default=False
        Whether memory has room for the probabilities, so that the first kernel that computes those
        of a block calls `keep`.
    common : ndarray of shape (n_logits,), optional
        The probabilities of every row, if all rows have equal ones, as in the model without
        features.
    """

    def __init__(
        self, likelihood: Likelihood, *, keeps: bool = False, common: Array | None = None
    ) -> None:
        self._likelihood = likelihood
        self.keeps = keeps
        self._common = common
        self._by_block: dict[int, Array] = {}
        self._as_float32: dict[int, Array] = {}

    @property
    def are_common(self) -> bool:
        """Whether all rows have equal probabilities."""
        return self._common is not None

    def common_moments(self) -> tuple[Array, Array]:
        """Return p (1 - p) and p, each (n_logits,), for the equal probabilities p of all rows."""
        p = np.asarray(self._common)
        return np.asarray(p * (1.0 - p)), p

    def keep(self, block: Block, P: Array) -> None:
        """Keep the probabilities P (n_logits, rows) of a block."""
        self._by_block[block.index] = P

    def for_other_rows(self) -> Probabilities:
        """Return the probabilities of other rows at the same point, none of which are kept."""
        return Probabilities(self._likelihood, common=self._common)

    def of(self, block: Block, coef: Array, intercept: Array) -> Array:
        """Return the probabilities of the rows of a block, (n_logits, rows), in the dtype of X.

        `coef` (n_logits, n_features) and `intercept` (n_logits,) are the model at the point, from
        which probabilities that are not kept are computed. Callers must not write to the result.
        """
        dtype = block.X.dtype
        if self._common is not None:
            common = empty((len(self._common), 1), dtype, intercept)
            common[:, 0] = self._common
            return np.broadcast_to(common, (len(common), block.stop - block.start))
        P = self._by_block.get(block.index)
        if P is None:
            P = block.logits_with_offset(coef, intercept)
            self._likelihood.probabilities(P)
        elif P.dtype != dtype:
            if block.index not in self._as_float32:
                self._as_float32[block.index] = P.astype(dtype)
            P = self._as_float32[block.index]
        return P


class ModelAtPoint(NamedTuple):
    """The model at a point θ, an argument of the kernels that are summed over blocks.

    Attributes
    ----------
    likelihood : Likelihood
    probabilities : Probabilities
    standardisation : Standardisation
    coef, intercept : ndarray of shape (n_logits, n_features) and (n_logits,)
        The coefficients of the columns of X, which are not standardised, in the dtype of X.
    """

    likelihood: Likelihood
    probabilities: Probabilities
    standardisation: Standardisation
    coef: Array
    intercept: Array


class KernelContext:
    """A block of rows with the model at a point. Properties are computed at their first use.

    Arrays of logits and probabilities have the shape (n_logits, rows). Like the rows of the block,
    they are in host memory or on a device.

    Parameters
    ----------
    block : Block
    model : ModelAtPoint
    """

    def __init__(self, block: Block, model: ModelAtPoint) -> None:
        self.block = block
        self.model = model
        self.likelihood = model.likelihood

    def logits(self) -> Array:
        """Return the logits in the dtype of X, offset included, as a new array."""
        return self.block.logits_with_offset(self.model.coef, self.model.intercept)

    @cached_property
    def probabilities(self) -> Array:
        """The probabilities in the dtype of X. Kernels must not write to them."""
        model = self.model
        return model.probabilities.of(self.block, model.coef, model.intercept)

    @cached_property
    def residuals(self) -> Array:
        """p - t (n_logits, rows) in float64, for targets t. Kernels must not write to them."""
        residuals = self.probabilities.astype(np.float64)
        is_top = residuals > 0.5
        self.likelihood.subtract_targets(residuals, self.block.targets)
        if self.likelihood.is_coupled:
            # Where p rounds to one, p - 1 would be zero. As the residuals of a row sum to zero, the
            # residual of p > 0.5 is minus the sum of the others.
            others = np.where(is_top, 0.0, residuals)
            residuals = np.where(is_top, -others.sum(axis=0), residuals)
        elif (self.probabilities > NEARLY_SURE).any():
            complements = self._complements()
            absent = np.ones_like(complements)
            self.likelihood.subtract_targets(absent, self.block.targets)
            residuals = np.where(is_top, absent - complements, residuals)  # (1 - t) - (1 - p)
        return residuals

    def _complements(self) -> Array:
        """Return 1 - p of logits that are not coupled, float64 (n_logits, rows).

        It comes from the negative logits: where p rounds to one, the difference would have no
        digits.
        """
        complements = -self.logits().astype(np.float64)
        self.likelihood.probabilities(complements)
        return complements

    def probabilities_of_outcomes(self) -> Array:
        """Return the probabilities of all outcomes, as `Likelihood.outcomes` orders them."""
        if self.likelihood.is_coupled:
            return self.likelihood.outcomes(self.probabilities)
        return np.concatenate(
            [self._complements().astype(self.probabilities.dtype), self.probabilities]
        )

    @cached_property
    def rows(self) -> Array:
        """The transposed standardised rows, float64 (n_features + 1, rows); see Standardisation.

        The last entry of each row belongs to the intercept.
        """
        return self.model.standardisation.rows(self.block)

    @cached_property
    def weights(self) -> Array:
        """The weights of the rows, (rows,); ones if there are none."""
        return self.block.weights_or_ones()

    def with_targets(self, targets: Array) -> KernelContext:
        """Return the context of the same rows with other targets."""
        other = KernelContext(replace(self.block, targets=targets), self.model)
        for name in ("probabilities", "rows", "weights"):  # none of these depends on the targets
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other


def in_context(block: Block, model: ModelAtPoint, kernel: Callable[..., Any], *args: Any) -> Any:
    """Return `kernel(KernelContext(block, model), *args)`.

    A kernel that takes a context is summed over blocks by
    `Storage.map_reduce(in_context, model, kernel, *args)`.
    """
    return kernel(KernelContext(block, model), *args)
