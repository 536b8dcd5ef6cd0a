"""Wald's and likelihood-ratio tests of linear restrictions, for the methods of InferenceResults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._inference._linear_hypotheses import LinearHypotheses
from skmaxent._inference._results_state import ResultsState
from skmaxent._inference._tables import chi2_table
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


class RestrictionTests(ResultsState):
    """Tests of restrictions of the coefficients: from hypotheses of the user to tables of tests."""

    def _check_kind(self, what: str, test: str) -> None:
        """Raise ValueError unless `test` is "wald" or "lr" and valid for the results.

        `what` is the name of the calling method, for error messages.
        """
        if test == "wald":
            self._validity.check_tests("Wald tests")
        elif test == "lr":
            self._validity.check_nonrobust_tests("likelihood-ratio tests", f"{what}(test='wald')")
        else:
            raise ValueError(f"test must be 'wald' or 'lr', found {test!r}.")

    def _hypotheses(self, hypothesis: Any, rhs: Any) -> LinearHypotheses:
        """Return the linear hypotheses of the arguments `hypothesis` and `rhs` of the user."""
        reference = None if self._is_symmetric else self.reference
        return LinearHypotheses.read(hypothesis, rhs, self.rows, self.columns, reference)

    def _independent_restrictions(
        self, hypothesis: Any, rhs: Any
    ) -> tuple[LinearHypotheses, Array]:
        """Return hypotheses that are linearly independent, and their matrix A, see `_tests_of`."""
        hypotheses = self._hypotheses(hypothesis, rhs)
        A = hypotheses.for_free_coefficients(self._contrasts)
        hypotheses.check_rank(A)
        return hypotheses, A

    def _tests_of(
        self, restrictions: Sequence[tuple[str, Array, Array | float]], test: str
    ) -> pd.DataFrame:
        """Return a table with a test of each set of restrictions A f = values.

        `restrictions` are tuples of a name, A (n_restrictions, (n_classes - 1) * n_columns) and
        values, for the free coefficients f, class by class. `test` is "wald" or "lr".
        """
        if test == "wald":
            tests = [
                (name, self._wald.of_restrictions(A, values, name=name), len(A))
                for name, A, values in restrictions
            ]
            return self._wald.table(tests, [A for _, A, _ in restrictions])
        fit = self._held.get("likelihood-ratio tests")
        return chi2_table(
            [
                (name, *fit.ratio_under(self._for_all_columns(A, fit.width), values))
                for name, A, values in restrictions
            ]
        )

    def _for_all_columns(self, A: Array, width: int) -> Array:
        """Return the matrix A of `_tests_of` for all `width` columns of the model."""
        if self._chosen is None:
            return A
        r = len(self.classes) - 1
        wider = np.zeros((len(A), r, width))
        wider[:, :, self._chosen] = A.reshape(len(A), r, -1)
        return wider.reshape(len(A), -1)
