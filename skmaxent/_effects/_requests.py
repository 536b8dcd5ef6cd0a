"""The checked arguments of predictions, comparisons and slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._effects._estimates import check_level
from skmaxent._input._arguments import check_choice, check_count, is_flag
from skmaxent._input._numbers import is_finite_number
from skmaxent._typing import RandomState

INTERVALS = ("delta", "logit", "simulation", "bootstrap")
# The default number of draws of a simulation.
DEFAULT_DRAWS = 1000


@dataclass(frozen=True)
class Request:
    """The checked arguments that predictions, comparisons and slopes share.

    `InferenceResults.predictions` describes them.

    Attributes
    ----------
    newdata : None, "mean", DataGrid, data frame or array-like
        The rows to compute estimates for, as in `InferenceResults.predictions`. None stands for the
        rows of the fit, and "mean" for one average row.
    by : bool, None, str or list of str
        False or None: estimates for each row. True: averages over all rows. Names of variables: an
        average for each combination of their values.
    offset, sample_weight : array-like or None
        The offsets and the weights of the rows of `newdata`.
    conf_level : float
        The confidence level of the intervals.
    interval : {"delta", "logit", "simulation", "bootstrap"}
        How the intervals are computed.
    hypothesis : None, float, str, list of str or array
        A number is the value of the estimates under the null hypothesis. The other values, except
        None, are functions of the estimates to report in their place.
    n_draws : int
        The number of draws of a simulation.
    random_state : int, RandomState or None
        The seed of the draws.

    Raises
    ------
    ValueError
        For invalid values, and for arguments that would have no effect.
    """

    newdata: Any = None
    by: Any = False
    offset: ArrayLike | None = None
    sample_weight: ArrayLike | None = None
    conf_level: float = 0.95
    interval: str = "delta"
    hypothesis: Any = None
    n_draws: int = DEFAULT_DRAWS
    random_state: RandomState = None

    def __post_init__(self) -> None:
        check_level(self.conf_level)
        check_choice("interval", self.interval, INTERVALS)
        if self.interval != "simulation":
            for name, default in (("n_draws", DEFAULT_DRAWS), ("random_state", None)):
                if getattr(self, name) != default:
                    raise ValueError(
                        f"{name} is for interval='simulation', found interval={self.interval!r}."
                    )
        check_count("n_draws", self.n_draws, 2)
        if self.sample_weight is not None and not self.is_averaged:
            raise ValueError(
                "sample_weight weighs rows in averages, and by=False averages none: expected "
                "by=True, or variables to average by."
            )
        if self.hypothesis_is_number and not self._is_finite_number():
            raise ValueError(f"hypothesis must be a finite number, found {self.hypothesis!r}.")

    @property
    def is_averaged(self) -> bool:
        """Whether rows are averaged, all of them or by groups."""
        return self.by is not None and not is_flag(self.by, False)

    @property
    def hypothesis_is_number(self) -> bool:
        """Whether the hypothesis is a number, the value of the estimates under the null."""
        given = self.hypothesis
        return given is not None and not isinstance(given, str) and np.ndim(given) == 0

    @property
    def has_functions(self) -> bool:
        """Whether the hypothesis is about functions of the estimates, such as contrasts."""
        return self.hypothesis is not None and not self.hypothesis_is_number

    def _is_finite_number(self) -> bool:
        """Return whether the hypothesis is a finite real number."""
        given = self.hypothesis
        return is_finite_number(given) and not isinstance(given, bool)
