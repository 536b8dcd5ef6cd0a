"""FittedRows: a fit together with its rows, for leverages and for fits without single rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmaxent._input._arguments import check_choice
from skmaxent._input._settings import Settings
from skmaxent._leverage._leverages import Leverages, shares_of
from skmaxent._leverage._sampled_inverse import N_VECTORS
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._storage._device_array import on_host
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._typing import Array

# Multiples of the machine epsilon by which counts may differ from whole numbers.
ROUNDING = 64.0


@dataclass(frozen=True)
class FittedRows:
    """Fitted coefficients together with the problem of the rows that they were fitted to.

    Attributes
    ----------
    training : TrainingProblem
    settings : Settings
        The settings of the fit.
    coef, intercept : ndarray of shape (n_logits, n_features) and (n_logits,)
        Coefficients for the columns of X, and intercepts before `prior_correction`.
    correction : ndarray of shape (n_logits,) or float
        The numbers that `prior_correction` has added to the intercepts.
    gap : float or None
        `optimality_gap_` of a fit whose rows the user gives again: other rows then cause a warning.
        None for the rows that a fit has just read.
    function : str
        The name of the public function that got the rows, for the warning.
    """

    training: TrainingProblem
    settings: Settings
    coef: Array
    intercept: Array
    correction: Array | float = 0.0
    gap: float | None = None
    function: str = "infer"

    @property
    def theta(self) -> Array:
        """The coefficients of the problem's standardised columns, (n_logits, n_features + 1)."""
        known = self.training.columns.to_problem(self.coef, self.intercept)
        return np.asarray(self.training.problem.objective.from_coefficients(*known))

    def leverages(
        self,
        weights: str,
        *,
        is_rough: bool = False,
        n_vectors: int = N_VECTORS,
        factor: float | None = None,
        is_far: bool = False,
    ) -> Leverages:
        """Return the leverages of the rows: how much a row determines its own fitted logits.

        If a row stands for several observations, of which one is left out, it is the leverage of
        one observation.

        Parameters
        ----------
        weights : {"frequency", "probability"}
            With "frequency", a weight and a row of counts stand for several observations, of which
            one is left out. With "probability", weights are sampling weights, and whole rows are
            left out. Rows of shares are left out as a whole in both cases.
        is_rough : bool, default=False
            Whether three digits of leverages are enough; see `Leverages.of`.
        n_vectors, factor, is_far : object
            As in `Leverages.of`.

        Raises
        ------
        ValueError
            For fits whose objective is not a sum of convex losses of rows and a penalty, for other
            `weights`, and for classes without rows.
        """
        self.check_supported(weights)
        shares = None
        if weights == "frequency" and (self.training.blocks.has_codes or self.has_whole_counts):
            shares = shares_of(self.training.data.observations)
        options: dict[str, Any] = {"is_rough": is_rough, "n_vectors": n_vectors, "factor": factor}
        options["is_far"] = is_far
        return Leverages.of(self.training.problem, self.theta, shares, **options)

    def leverage_factor(self) -> float | None:
        """Return the result of `Leverages.factor_of`."""
        return Leverages.factor_of(self.training.problem, self.theta)

    def check_supported(self, weights: str) -> None:
        """Raise ValueError if rows cannot be left out of this fit, or not with these weights."""
        settings, training = self.settings, self.training
        if settings.bias_reduction is not None or settings.partial_labels:
            name = "bias_reduction" if settings.bias_reduction is not None else "partial_labels"
            raise ValueError(
                f"leaving rows out is not available with {name}, whose objective is not the sum of "
                "a convex loss of each row and a penalty."
            )
        check_choice("weights", weights, ("frequency", "probability"))
        if (
            settings.class_weight is not None
            and weights == "frequency"
            and not training.blocks.has_codes
        ):
            raise ValueError(
                "a table of counts with class_weight has no single observations to leave out; "
                "leave out whole rows with weights='probability'."
            )
        if training.has_absent_classes:
            absent = np.delete(training.classes, training.data.active).tolist()
            raise ValueError(f"y has no rows of positive weight of the classes {absent}.")

    def rows_in_memory(self) -> RowBlocks:
        """Return the storage of the rows; raises TypeError for Dask collections."""
        blocks = self.training.blocks
        if not isinstance(blocks, RowBlocks):
            raise TypeError(
                "results for each row need rows in memory; found Dask collections. Call compute() "
                "on X and y first."
            )
        return blocks

    @property
    def has_whole_counts(self) -> bool:
        """Whether y is a table whose counts, times the weights of the rows, are whole numbers."""
        blocks = self.training.blocks
        if blocks.has_codes or not isinstance(blocks, RowBlocks):
            return False
        counts = self.counts[:, None] * self.class_shares
        tolerance = ROUNDING * float(np.finfo(blocks.dtype).eps) * np.maximum(counts, 1.0)
        return bool((np.abs(counts - np.rint(counts)) <= tolerance).all())

    @property
    def counts(self) -> Array:
        """The number of observations that each row stands for, weights included, (n_samples,).

        It is the weight of a row with one class, and the weight times the sum of the row for a
        table of counts. If y has neither weights nor counts, the numbers are ones.
        """
        observations, n = self.training.data.observations, self.training.blocks.n_samples
        return np.ones(n) if observations is None else np.asarray(observations, dtype=float)

    @property
    def class_shares(self) -> Array:
        """The observed shares of the classes in each row, (n_samples, n_classes)."""
        if self.training.data.class_shares is not None:
            return self.training.data.class_shares
        blocks = self.rows_in_memory()
        targets = on_host(blocks.targets)
        if sp.issparse(targets):
            targets = targets.toarray()
        targets = np.asarray(targets)
        if blocks.has_codes:
            return np.eye(len(self.training.classes))[targets.astype(np.intp)]
        if targets.ndim == 1:  # two classes: the shares of the second
            targets = np.column_stack([1.0 - targets, targets])
        return np.asarray(targets, dtype=float)
