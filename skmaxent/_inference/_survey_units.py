"""Strata, their primary units and replicates, on plain arrays: variances of estimates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmaxent._typing import Array

LONELY = ("fail", "remove", "adjust", "average")
# A sampled share this near to one leaves no variance.
ALL_SAMPLED = 1e-7


@dataclass(frozen=True)
class Replicates:
    """Replicate weights.

    Attributes
    ----------
    factors : ndarray of shape (n_rows, n_replicates)
        They multiply the sampling weights.
    scales : ndarray of shape (n_replicates,)
        They multiply the squares of the replicates' deviations.
    mse : bool
        Whether deviations are from the estimate, not from the mean of the replicates.
    """

    factors: Array
    scales: Array
    mse: bool

    def covariance(self, fits: Array, estimate: Array) -> Array:
        """Return the covariance from coefficients of replicates, (n_replicates, p)."""
        # As in R's survey, replicates with a scale of zero do not count for the mean.
        center = estimate if self.mse else fits[self.scales > 0.0].mean(axis=0)
        deviations = (fits - center) * np.sqrt(self.scales)[:, None]
        return np.asarray(deviations.T @ deviations)


@dataclass(frozen=True)
class Units:
    """Primary units in strata.

    Attributes
    ----------
    codes : ndarray of int of shape (n_rows,)
        The unit of each row.
    stratum_of : ndarray of int of shape (n_units,)
        The stratum of each unit.
    left : ndarray of shape (n_strata,)
        The share of a stratum's units that were not sampled.
    lonely : str
        What becomes of strata of one unit; see `SurveyDesign`.
    df : float, default=inf
        Degrees of freedom.
    replicates : Replicates, default=None
        They take the place of the variance between units.
    """

    codes: Array
    stratum_of: Array
    left: Array
    lonely: str
    df: float = np.inf
    replicates: Replicates | None = None

    @property
    def sizes(self) -> Array:
        """The number of units of each stratum, (n_strata,)."""
        return np.bincount(self.stratum_of, minlength=len(self.left))

    def of_rows(
        self, counted: Array, chosen: Array, replicates: Replicates | None, df: float | None
    ) -> Units:
        """Return the same units, with the rows of a subpopulation alone.

        Degrees of freedom count units and strata with rows of the subpopulation, as R's survey.

        Parameters
        ----------
        counted, chosen : ndarray of bool of shape (n_rows,)
            Rows of the subpopulation of positive weight, and all of its rows.
        replicates : Replicates or None
            For all rows.
        df : float or None
            Degrees of freedom that the user gives.
        """
        found = np.unique(self.codes[counted])
        own = float(len(found) - len(np.unique(self.stratum_of[found])))
        if replicates is not None:
            few = np.unique(replicates.factors[counted], axis=0)  # equal rows add no rank
            own = float(np.linalg.matrix_rank(few, tol=1e-7 * np.linalg.norm(few)) - 1)
            replicates = replace(replicates, factors=replicates.factors[chosen])
        if df is None and own < 1.0:
            raise ValueError(
                f"the design has {own:g} degrees of freedom (units less strata, or the rank of the "
                "replicate weights less one): expected at least one."
            )
        return replace(
            self,
            codes=self.codes[chosen],
            df=own if df is None else float(df),
            replicates=replicates,
        )

    def covariance(self, influence: Array) -> Array:
        """Return the covariance of a sum, from the sums of influences of the units, (n_units, p).

        Within a stratum of n units it is n/(n - 1) times the sum of squares around their mean,
        times the share of units that were not sampled.

        Raises
        ------
        ValueError
            For strata of one unit, unless `lonely` says what becomes of them.
        """
        sizes, counts = self.sizes, len(self.left)
        means = np.zeros((counts, influence.shape[1]))
        np.add.at(means, self.stratum_of, influence)
        means /= sizes[:, None]
        # A stratum of which all units were sampled adds no variance, even if it has a single unit.
        lonely = (sizes == 1) & (self.left > ALL_SAMPLED)
        if lonely.any() and self.lonely == "fail":
            raise ValueError(
                f"{int(lonely.sum())} strata have a single primary unit, which has no variance: "
                "join them with others, or choose lonely_psu='remove', 'adjust' or 'average'."
            )
        if self.lonely == "adjust":
            # The mean of all units stands for the stratum's own, from which its only unit does not
            # deviate.
            means[lonely] = influence.mean(axis=0)
        factors = self.left * np.where(sizes > 1, sizes / np.maximum(sizes - 1.0, 1.0), 1.0)
        deviations = influence - means[self.stratum_of]
        deviations *= np.sqrt(factors)[self.stratum_of, None]
        V = deviations.T @ deviations
        if self.lonely == "average" and lonely.any():
            # Strata of one unit get the mean variance of the others.
            V *= counts / max(counts - int(lonely.sum()), 1)
        return np.asarray(V)

    @property
    def description(self) -> str:
        """The kind of the covariance in words."""
        if self.replicates is not None:
            return f"survey, {self.replicates.factors.shape[1]} replicates, as R's svyglm"
        n_strata, n_units = len(self.left), len(self.stratum_of)
        strata = f"{n_strata} strata" if n_strata > 1 else "one stratum"
        return f"survey, Taylor linearisation, {n_units} primary units in {strata}, as R's svyglm"
