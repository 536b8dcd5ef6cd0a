"""One outcome of a model as a column of a table of the package `maketables`.

The names and the meaning of the attributes `__maketables_...__` are those of that package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skmaxent._inference._results_coefficients import CoefficientMethods

if TYPE_CHECKING:
    import pandas as pd

# Figures of a model below its table: the keys are names of maketables, the values are labels.
FIGURES = {
    "N": "Observations",
    "ll": "Log-likelihood",
    "aic": "AIC",
    "bic": "BIC",
    "pseudo_r2": "McFadden R²",
    "se_type": "Covariance",
}


@dataclass(frozen=True)
class OutcomeColumn:
    """The coefficients of one outcome, with the attributes that maketables reads.

    Attributes
    ----------
    results : InferenceResults
        The results of the model.
    outcome : label
        A class whose coefficients are reported, one of `results.rows`.
    """

    results: CoefficientMethods = field(repr=False)
    outcome: Any

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        """A row for each feature: coefficient, standard error, t, p-value and 95 % interval.

        t and p-values are NaN if the results have no tests.
        """
        at = self.results.rows.index(self.outcome)
        n = len(self.results.columns)
        table = self.results.summary().iloc[at * n : (at + 1) * n].droplevel("class")
        names = {"coef": "b", "std_err": "se", "z": "t", "p_value": "p"}
        names |= {"lower": "ci95l", "upper": "ci95u"}
        return table.rename(columns=names).reindex(columns=list(names.values()))

    @property
    def __maketables_depvar__(self) -> str:
        """The heading: the outcome, and the reference class that it is compared with."""
        if self.results._is_symmetric:
            return str(self.outcome)
        return f"{self.outcome} / {self.results.reference}"

    def __maketables_stat__(self, key: str) -> Any:
        """Return the figure with a key of `FIGURES`; None if the model does not have it."""
        results = self.results
        if key in ("aic", "bic") and not results._has_criteria:
            return None
        if key == "N":
            return int(results.n_obs) if float(results.n_obs).is_integer() else results.n_obs
        if key == "pseudo_r2":
            return None if results.notes else max(results.mcfadden_r2, 0.0)
        if key == "se_type":
            return results.cov_type
        names = {"ll": "log_likelihood", "aic": "aic", "bic": "bic"}
        return getattr(results, names[key]) if key in names else None

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        """The keys of the figures that a table shows by default."""
        return list(FIGURES)

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        """The labels of the figures, by their keys."""
        return FIGURES
