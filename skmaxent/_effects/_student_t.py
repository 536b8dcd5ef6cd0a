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
        """Return the degrees of freedom, (m,), of m linear combinations of coefficients.

        `jacobian`, (m, n_coefficients), weighs the coefficients of standardised columns.
        """

    def joint(self, A: Array) -> tuple[float, float]:
        """Return a factor and degrees of freedom for the joint test of the restrictions A.

        Wald's statistic times the factor is an F statistic; the second result is the degrees of
        freedom of its denominator. A, (n_restrictions, n_coefficients), has the weights of the
        coefficients of standardised columns.
        """


@dataclass(frozen=True)
class StudentT:
    """The distribution of t statistics.

    Attributes
    ----------
    df : float, default=inf
        Degrees of freedom of t tests, and of the denominator of F tests. With infinitely many, the
        distribution is the normal one.
    by_contrast : ContrastDegrees, default=None
        Degrees of freedom that differ between estimates; None means that all have `df`.
    """

    df: float = np.inf
    by_contrast: ContrastDegrees | None = None

    @property
    def is_normal(self) -> bool:
        """Whether the distribution is the normal one."""
        return self.by_contrast is None and np.isinf(self.df)

    @property
    def statistic(self) -> str:
        """The name of the statistic, "z" or "t"."""
        return "z" if self.is_normal else "t"

    def degrees(self, jacobian: Array | None) -> float | Array:
        """Return the degrees of freedom of m estimates, one number for all or an array (m,).

        `jacobian`, (m, n_coefficients), has the derivatives of the estimates with respect to the
        coefficients of standardised columns. None gives `df`.
        """
        if self.by_contrast is None or jacobian is None:
            return self.df
        return self.by_contrast.of(jacobian)


NORMAL = StudentT()


def t_quantile(conf_level: float, df: float | Array = np.inf) -> float | Array:
    """Return the t for which an interval of ±t standard errors has the level `conf_level`."""
    level = 0.5 + 0.5 * float(conf_level)
    normal = float(stats.norm.ppf(level))
    if np.all(np.isinf(df)):
        return normal
    return np.where(np.isinf(df), normal, stats.t.ppf(level, df))


def t_p_values(statistic: Array, df: float | Array = np.inf) -> Array:
    """Return two-sided p-values, (m,), of t statistics, or of z statistics if df is infinite."""
    size = np.abs(statistic)
    if np.all(np.isinf(df)):
        return np.asarray(2.0 * stats.norm.sf(size))
    return np.asarray(2.0 * stats.t.sf(size, df))
