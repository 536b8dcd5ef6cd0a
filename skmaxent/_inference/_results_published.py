"""Methods of InferenceResults for tables in publications."""

from __future__ import annotations

from skmaxent._inference._outcome_column import OutcomeColumn
from skmaxent._inference._publishable import Publishable
from skmaxent._inference._published import published_table
from skmaxent._inference._results_coefficients import CoefficientMethods
from skmaxent._inference._table_formats import PublishedTable


class PublicationMethods(Publishable, CoefficientMethods):
    """Exports the table of coefficients of one model."""

    def to_list(self) -> list[OutcomeColumn]:
        """Return the columns of the model for tables of the package maketables.

        ``maketables.ETable(results)`` and ``maketables.ETable([results, others])`` call this
        method; their tables have a column for each class but the reference.

        Returns
        -------
        list of OutcomeColumn
        """
        return [OutcomeColumn(self, outcome) for outcome in self.rows]

    def _published(
        self, exponentiate: bool, conf_level: float | None, stars: bool, decimals: int
    ) -> PublishedTable:
        return published_table(
            [self],
            ["Outcome"],
            exponentiate=exponentiate,
            conf_level=conf_level,
            stars=stars,
            decimals=decimals,
        )
