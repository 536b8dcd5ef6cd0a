"""Covariances of estimates from strata and their primary units, or from replicate weights.

Primary sampling units are called units here. p is the number of coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmaxent._typing import Array

# What a stratum with a single unit contributes to the variance; see `SurveyDesign`.
LONELY = ("fail", "remove", "adjust", "average")
# A stratum counts as sampled wholly if the share of units that were not sampled is at most this.
ALL_SAMPLED = 1e-7


@dataclass(frozen=True)
class Replicates:
    """Replicate weights, and how a covariance follows from the fits with these weights.

    Attributes
    ----------
    factors : ndarray of shape (n_rows, n_replicates)
        Factors of the sampling weights.
    scales : ndarray of shape (n_replicates,)
        Factors of the squares of the deviations of replicates.
    mse : bool
        Whether deviations are differences from the estimate, not from the mean of the replicates.
    """

    factors: Array
    scales: Array
    mse: bool

    def covariance(self, fits: Array, estimate: Array) -> Array:
        """Return the covariance, (p, p), of the coefficients.

        `fits`, (n_replicates, p), has the coefficients of the replicates and `estimate`, (p,),
        those of the fit to all rows.
        """
        # As in R's survey, replicates with a scale of zero are not in the mean.
        center = estimate if self.mse else fits[self.scales > 0.0].mean(axis=0)
        deviations = (fits - center) * np.sqrt(self.scales)[:, None]
        return np.asarray(deviations.T @ deviations)


@dataclass(frozen=True)
class Units:
    """Units in strata, with the rows that belong to them.

    Attributes
    ----------
    codes : ndarray of int of shape (n_rows,)
        The unit of each row.
    stratum_of : ndarray of int of shape (n_units,)
        The stratum of each unit.
    unsampled : ndarray of shape (n_strata,)
        The share of the units of each stratum that were not sampled, 1 for infinite populations.
    lonely : str
        What a stratum with a single unit contributes, one of `LONELY`.
    df : float, default=inf
        Degrees of freedom of t tests.
    replicates : Replicates, default=None
        Replicate weights, if the covariance is that between replicates and not between units.
    """

    codes: Array
    stratum_of: Array
    unsampled: Array
    lonely: str
    df: float = np.inf
    replicates: Replicates | None = None

    @property
    def sizes(self) -> Array:
        """The number of units of each stratum, (n_strata,)."""
        return np.bincount(self.stratum_of, minlength=len(self.unsampled))

    def of_rows(
        self, counted: Array, chosen: Array, replicates: Replicates | None, df: float | None
    ) -> Units:
        """Return the same units with the rows of a subpopulation alone.

        As in R's survey, the degrees of freedom are the number of units minus the number of strata
        that have rows of the subpopulation, or the rank of its replicate weights minus one.

        Parameters
        ----------
        counted : ndarray of bool of shape (n_rows,)
            Whether each row is in the subpopulation and has a positive weight.
        chosen : ndarray of bool of shape (n_rows,)
            Whether each row is in the subpopulation.
        replicates : Replicates or None
            Replicate weights of all rows.
        df : float or None
            Degrees of freedom that the user gives.
        """
        present = np.unique(self.codes[counted])
        df_of_design = float(len(present) - len(np.unique(self.stratum_of[present])))
        if replicates is not None:
            distinct = np.unique(replicates.factors[counted], axis=0)  # equal rows add no rank
            rank = np.linalg.matrix_rank(distinct, tol=1e-7 * np.linalg.norm(distinct))
            df_of_design = float(rank - 1)
            replicates = replace(replicates, factors=replicates.factors[chosen])
        if df is None and df_of_design < 1.0:
            raise ValueError(
                f"the design has {df_of_design:g} degrees of freedom (units less strata, or the "
                "rank of the replicate weights less one): expected at least one."
            )
        return replace(
            self,
            codes=self.codes[chosen],
            df=df_of_design if df is None else float(df),
            replicates=replicates,
        )

    def covariance(self, influence: Array) -> Array:
        """Return the covariance, (p, p), of the coefficients, by linearisation.

        A stratum of n units contributes n/(n - 1) times the sum of squares of their influences
        around the mean of the stratum, times the share of units that were not sampled.

        Parameters
        ----------
        influence : ndarray of shape (n_units, p)
            The influence of each unit on the coefficients, the sum over its rows.

        Raises
        ------
        ValueError
            For strata of a single unit if `lonely` is "fail".
        """
        sizes, n_strata = self.sizes, len(self.unsampled)
        means = np.zeros((n_strata, influence.shape[1]))
        np.add.at(means, self.stratum_of, influence)
        means /= sizes[:, None]
        # A stratum of which all units were sampled adds no variance, even if it has a single unit.
        # Neither does a stratum without rows of the subpopulation.
        has_rows = np.zeros(n_strata, bool)
        has_rows[self.stratum_of[self.codes]] = True
        lonely = (sizes == 1) & (self.unsampled > ALL_SAMPLED) & has_rows
        if lonely.any() and self.lonely == "fail":
            raise ValueError(
                f"{int(lonely.sum())} strata have a single primary unit, which has no variance: "
                "join them with others, or choose lonely_psu='remove', 'adjust' or 'average'."
            )
        if self.lonely == "adjust":
            # The mean of all units stands for the stratum's own, from which its only unit does not
            # deviate.
            means[lonely] = influence.mean(axis=0)
        factors = self.unsampled * np.where(sizes > 1, sizes / np.maximum(sizes - 1.0, 1.0), 1.0)
        deviations = influence - means[self.stratum_of]
        deviations *= np.sqrt(factors)[self.stratum_of, None]
        V = deviations.T @ deviations
        if self.lonely == "average" and lonely.any():
            # Strata of one unit get the mean variance of the others that have rows.
            n_with_rows = int(has_rows.sum())
            V *= n_with_rows / max(n_with_rows - int(lonely.sum()), 1)
        return np.asarray(V)

    @property
    def description(self) -> str:
        """The kind of the covariance in words, for printed results."""
        if self.replicates is not None:
            return f"survey, {self.replicates.factors.shape[1]} replicates, as R's svyglm"
        n_strata, n_units = len(self.unsampled), len(self.stratum_of)
        strata = f"{n_strata} strata" if n_strata > 1 else "one stratum"
        return f"survey, Taylor linearisation, {n_units} primary units in {strata}, as R's svyglm"
