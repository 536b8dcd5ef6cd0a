"""The distribution of an estimate divided by its standard error: the normal, or Student's t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

from skmaxent._typing import Array


class ContrastDegrees(Protocol):
    """Degrees of freedom that depend on the combination of coefficients that is estimated."""

    def of(self, jacobian: Array) -> Array:
        """Return those of m combinations of the standardised coefficients, (m, n_coefficients)."""

    def joint(self, A: Array) -> tuple[float, float]:
        """Return the factor from Wald's statistic of A to an F statistic, and its degrees.

        A has the shape (n_restrictions, n_coefficients), for standardised coefficients.
        """


@dataclass(frozen=True)
class StudentT:
    """The distribution of t statistics.

    Attributes
    ----------
    df : float, default=inf
        Degrees of freedom; with infinitely many it is the normal distribution. Those
        of F tests too.
    by_contrast : ContrastDegrees, default=None
        Degrees of freedom of single estimates, where these differ.
    """

    df: float = np.inf
    by_contrast: ContrastDegrees | None = None

    @property
    def is_normal(self) -> bool:
        """Whether it is the normal distribution."""
        return self.by_contrast is None and np.isinf(self.df)

    @property
    def statistic(self) -> str:
        """The name of the statistic, "z" or "t"."""
        return "z" if self.is_normal else "t"

    def degrees(self, jacobian: Array | None) -> float | Array:
        """Return degrees of freedom of estimates with these derivatives, one number or (m,).

        `jacobian`, of shape (m, n_coefficients), is by the coefficients of standardised columns.
        """
        if self.by_contrast is None or jacobian is None:
            return self.df
        return self.by_contrast.of(jacobian)


NORMAL = StudentT()


def t_quantile(conf_level: float, df: float | Array = np.inf) -> float | Array:
    """Return the quantile t such that an interval of t standard errors has this level."""
    level = 0.5 + 0.5 * conf_level
    normal = float(stats.norm.ppf(level))
    if np.all(np.isinf(df)):
        return normal
    return np.where(np.isinf(df), normal, stats.t.ppf(level, np.minimum(df, 1e100)))


def t_p_values(statistic: Array, df: float | Array = np.inf) -> Array:
    """Return two-sided p-values of statistics, (m,)."""
    size = np.abs(statistic)
    if np.all(np.isinf(df)):
        return np.asarray(2.0 * stats.norm.sf(size))
    return np.asarray(2.0 * stats.t.sf(size, np.minimum(df, 1e100)))
