"""Estimates: functions of the coefficients with their Jacobian, errors and intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from skmaxent._effects._covariance_root import Covariance
from skmaxent._effects._student_t import t_quantile
from skmaxent._input._numbers import is_number
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# Confidence levels below this are probably one minus the level.
LEAST_USUAL_LEVEL = 0.5

# A function of two arrays, and its derivatives by the first and by the second.
Combination = tuple[
    Callable[[Array, Array], Array],
    Callable[[Array, Array], Array],
    Callable[[Array, Array], Array],
]


@dataclass(frozen=True)
class Estimates:
    """Numbers that are functions of the coefficients.

    Attributes
    ----------
    values : ndarray of shape (m,)
    jacobian : ndarray of shape (m, n_coefficients)
        Derivatives of the values by the coefficients.
    draws : ndarray of shape (n_draws, m), default=None
        The values at coefficients that were drawn from their distribution.
    """

    values: Array
    jacobian: Array
    draws: Array | None = None

    def errors(self, covariance: Covariance) -> Array:
        """Return standard errors (m,) by the delta method, for the covariance of coefficients."""
        return np.asarray(np.sqrt(covariance.variances(self.jacobian)))

    def combined(self, other: Estimates, by: Combination) -> Estimates:
        """Return f(self, other) for each element, with Jacobians by the chain rule."""
        f, first, second = by
        a, b = self.values, other.values
        jacobian = first(a, b)[:, None] * self.jacobian + second(a, b)[:, None] * other.jacobian
        draws = None
        if self.draws is not None and other.draws is not None:
            draws = f(self.draws, other.draws)
        return Estimates(f(a, b), jacobian, draws)

    def mapped(self, A: Array) -> Estimates:
        """Return the linear combinations A @ values, for A of shape (n_combinations, m)."""
        draws = None if self.draws is None else self.draws @ A.T
        return Estimates(A @ self.values, A @ self.jacobian, draws)


def joined(parts: list[Estimates]) -> Estimates:
    """Return several estimates as one; draws are kept if all parts have them."""
    draws = [part.draws for part in parts if part.draws is not None]
    return Estimates(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.jacobian for part in parts]),
        np.concatenate(draws, axis=1) if len(draws) == len(parts) else None,
    )


def check_level(conf_level: Any) -> None:
    """Raise ValueError unless a confidence level is between 0 and 1, and warn of one below 0.5.

    Such a level is probably the argument `alpha` of statsmodels, which is one minus the level.
    """
    if not (is_number(conf_level) and 0.0 < float(conf_level) < 1.0):
        raise ValueError(f"conf_level must be between 0 and 1, found {conf_level!r}.")
    if conf_level < LEAST_USUAL_LEVEL:
        warn_user(
            f"conf_level={conf_level:g} makes intervals that contain the true value with the "
            f"probability {conf_level:g}. If {conf_level:g} is the alpha of statsmodels, write "
            f"conf_level={1.0 - conf_level:g}."
        )


def normal_quantile(conf_level: float) -> float:
    """Return the normal quantile z such that an interval of ±z standard errors has this level."""
    check_level(conf_level)
    return float(t_quantile(conf_level))


def normal_interval(
    values: Array, errors: Array, conf_level: float, df: float | Array = np.inf
) -> tuple[Array, Array]:
    """Return values - t · errors and values + t · errors, both (m,).

    t is a quantile of Student's t distribution with `df` degrees of freedom, a number or (m,).
    """
    check_level(conf_level)
    half = t_quantile(conf_level, df) * errors
    return values - half, values + half


def logit_interval(
    values: Array, errors: Array, conf_level: float, df: float | Array = np.inf
) -> tuple[Array, Array]:
    """Return the interval of `normal_interval` for log-odds, mapped back to probabilities.

    `values` (m,) are probabilities, and `errors` (m,) their standard errors.
    """
    check_level(conf_level)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_odds = np.log(values) - np.log1p(-values)
        half = t_quantile(conf_level, df) * errors / (values * (1.0 - values))
        # A probability that rounds to 0 or 1 has no log-odds: its interval is a point.
        lower = np.where(np.isfinite(half), expit(log_odds - half), values)
        upper = np.where(np.isfinite(half), expit(log_odds + half), values)
    return lower, upper


def percentile_interval(draws: Array, conf_level: float) -> tuple[Array, Array]:
    """Return the equal-tailed interval of each column of `draws`, (n_draws, m)."""
    tail = 0.5 * (1.0 - float(conf_level))
    lower, upper = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    return lower, upper


def _ones(a: Array, b: Array) -> Array:
    """Return ones in the shape of a, a derivative by a that does not depend on a and b."""
    return np.ones_like(a)


def _log_odds(p: Array) -> Array:
    """Return log(p/(1 - p))."""
    return np.asarray(np.log(p) - np.log1p(-p))


# The comparisons of a probability a with a probability b: the function of a and b with its
# derivatives by a and b, and the value of the function if a = b.
COMPARISONS: dict[str, tuple[Combination, float]] = {
    "difference": ((lambda a, b: a - b, _ones, lambda a, b: -_ones(a, b)), 0.0),
    "ratio": ((lambda a, b: a / b, lambda a, b: 1.0 / b, lambda a, b: -a / b**2), 1.0),
    "lnratio": (
        (lambda a, b: np.log(a) - np.log(b), lambda a, b: 1.0 / a, lambda a, b: -1.0 / b),
        0.0,
    ),
    "lnor": (
        (
            lambda a, b: _log_odds(a) - _log_odds(b),
            lambda a, b: 1.0 / (a * (1.0 - a)),
            lambda a, b: -1.0 / (b * (1.0 - b)),
        ),
        0.0,
    ),
    "lift": ((lambda a, b: (a - b) / b, lambda a, b: 1.0 / b, lambda a, b: -a / b**2), 0.0),
}
