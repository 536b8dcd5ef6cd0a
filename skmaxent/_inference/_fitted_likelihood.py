"""The likelihood of a fit: information criteria and likelihood-ratio tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._inference._fit_rows import HeldRows
from skmaxent._inference._row_sums import ColumnSums
from skmaxent._warnings import warn_user

# Nats by which the likelihood of a nested model may exceed that of the larger model, because
# neither fit is exact. The statistic is zero then.
SAME_MAXIMUM = 5e-4


@dataclass(frozen=True)
class FittedLikelihood:
    """The log-likelihood of a fit, and what is needed to compare it with that of another model.

    Attributes
    ----------
    value, null_value : float
        Log-likelihoods of the fitted coefficients and of the null model.
    n_obs : float
        Number of observations.
    n_parameters : int
        Number of free coefficients.
    classes : list
        All labels.
    fit_intercept : bool
        Whether the model has intercepts.
    has_constant : bool
        Whether the model has intercepts, or a combination of its columns that is constant.
    sums : ColumnSums
        Sums of the columns, which tell whether two models are of the same rows.
    rows : HeldRows
        The rows of the fit, if they are known.
    is_at_optimum : bool
        Whether the coefficients are optimal, and the classes not separated.
    is_maximal : bool
        Whether the fit maximised the likelihood: without a penalty, for instance.
    penalised_ratio : float or None
        With `bias_reduction`, the likelihood-ratio statistic of the penalised likelihood against
        the null model; None without.
    """

    value: float
    null_value: float
    n_obs: float
    n_parameters: int
    classes: list[Any]
    fit_intercept: bool
    has_constant: bool
    sums: ColumnSums
    rows: HeldRows
    is_at_optimum: bool
    is_maximal: bool
    penalised_ratio: float | None

    @property
    def largest(self) -> float:
        """The largest log-likelihood, or its supremum for separated classes; NaN if unknown."""
        if self.is_at_optimum:
            return self.value
        return float("nan") if self.rows.rows is None else self.rows.rows.maximum

    @property
    def refined(self) -> float:
        """The largest log-likelihood to all digits if the rows are known, or else `value`.

        A fit stops at `tol`, before its likelihood is exactly the largest.
        """
        if self.rows.rows is None:
            return self.value
        return self.rows.get("likelihood-ratio tests").maximum

    def criterion(self, what: str, penalty: float) -> float:
        """Return an information criterion: -2 times the largest log-likelihood, plus `penalty`.

        `what` is the name of the criterion. If the largest log-likelihood is unknown, the result is
        NaN, and a warning says why.
        """
        value = self.largest if self.is_maximal else float("nan")
        if np.isnan(value):
            why = (
                "the coefficients are not optimal, and pickled results have no rows to maximise "
                "the likelihood of: call results.with_data"
                if self.is_maximal
                else "it needs the largest likelihood of free coefficients, which this fit does "
                "not look for: expected C=np.inf, and neither bounds nor bias_reduction, "
                "label_smoothing or partial_labels"
            )
            warn_user(f"{what} is NaN: {why}.")
        return -2.0 * value + penalty

    def ratio_to_null(self) -> tuple[str, float]:
        """Return the name and the statistic of the likelihood-ratio test against the null model.

        The statistic is NaN if the largest log-likelihood is unknown.
        """
        if self.penalised_ratio is not None:
            return "Penalised likelihood ratio", self.penalised_ratio
        return "Likelihood ratio", 2.0 * (self.largest - self.null_value)

    def ratio_to(self, other: FittedLikelihood) -> tuple[float, int]:
        """Return the likelihood-ratio statistic against a nested model, and its degrees of freedom.

        Raises ValueError if `other` is not nested in this model, or has other rows.
        """
        missing = self._missing_from(other)
        if self.penalised_ratio is None:
            chi2 = 2.0 * (self.refined - other.refined)
            if chi2 < -2.0 * SAME_MAXIMUM:
                raise ValueError(
                    f"the log-likelihood of other is {other.value:.10g}, above that of this "
                    f"larger model, {self.value:.10g}: one of the fits has not converged."
                )
            return max(chi2, 0.0), self.n_parameters - other.n_parameters
        if self.fit_intercept != other.fit_intercept:
            raise ValueError("with bias_reduction other must have intercepts as this model has.")
        fit = self.rows.get("likelihood-ratio tests of penalised likelihoods")
        return fit.ratio_without(missing)

    def _missing_from(self, other: FittedLikelihood) -> list[int]:
        """Return the positions of the features that the nested model `other` lacks.

        Raises ValueError if `other` is not nested in this model, or has other rows.
        """
        if other.n_obs != self.n_obs or other.classes != self.classes:
            raise ValueError(
                "other must be of the same rows and classes: found "
                f"{other.n_obs:g} rows and the classes {other.classes}, here {self.n_obs:g} and "
                f"{self.classes}."
            )
        if (self.penalised_ratio is None) != (other.penalised_ratio is None):
            raise ValueError(
                "other must be a fit with bias_reduction where this one is, and only there: their "
                "likelihoods are not the same function."
            )
        ours, theirs = self.sums.names, other.sums.names
        unknown = [name for name in theirs if name not in ours]
        if other.fit_intercept and not self.has_constant:
            unknown.append("Intercept")
        if unknown or other.n_parameters >= self.n_parameters:
            raise ValueError(
                f"other must be nested in this model: it has the columns {unknown} that this one "
                "has not, or no fewer."
            )
        ambiguous = sorted({name for name in theirs if ours.count(name) > 1})
        if ambiguous:
            raise ValueError(
                f"several features of this model are called {ambiguous}: rename them, so that "
                "those of other can be found."
            )
        if not other.sums.are_of_the_data_of(self.sums):
            raise ValueError(
                "other must be of the same rows: its features, labels, weights or offsets have "
                "other sums than here."
            )
        return [j for j, name in enumerate(ours) if name not in theirs]
