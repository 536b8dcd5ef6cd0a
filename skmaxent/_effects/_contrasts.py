"""Contrasts: the pairs of values of a variable that comparisons are between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._variables import Variables, constant, is_time, numbers

if TYPE_CHECKING:
    import pandas as pd

# The named contrasts of numeric variables, and those of variables with levels.
NUMERIC = ("sd", "2sd", "iqr", "minmax")
LEVELS = ("reference", "sequential", "pairwise", "revpairwise", "minmax")


@dataclass(frozen=True)
class Contrast:
    """A comparison of `high` with `low`, columns of values of a variable for the same rows."""

    variable: str
    label: str
    high: pd.Series
    low: pd.Series


def contrasts_of(variables: Variables, chosen: Any, newdata: pd.DataFrame) -> list[Contrast]:
    """Return the contrasts that the argument `variables` of `comparisons` asks for.

    Parameters
    ----------
    variables : Variables
    chosen : None, str, list of str or dict
        See `InferenceResults.comparisons`.
    newdata : DataFrame
        The rows to compare, with all variables.
    """
    found = []
    for name, specification in specifications(variables, chosen).items():
        column = newdata[name]
        if variables.is_numeric(name):
            found += _numeric(variables, name, specification, column)
        else:
            found += _between_levels(variables, name, specification, column)
    return found


def specifications(variables: Variables, chosen: Any) -> dict[str, Any]:
    """Return the argument `variables` as a dict from names to the contrasts asked for.

    Raises ValueError for names that are no columns of the data, or that the model does not use.
    """
    if chosen is None:
        chosen = variables.used
    is_one = isinstance(chosen, str) or not isinstance(chosen, Iterable)
    names = [chosen] if is_one else list(chosen)
    if not variables.used:
        raise ValueError("no column of the model depends on a variable: it has intercepts alone.")
    unknown = [name for name in names if name not in variables.names]
    if unknown or not names:
        raise ValueError(
            f"variables must name columns of the data, found {unknown or chosen}; expected some "
            f"of {variables.used}."
        )
    unused = [name for name in names if name not in variables.used]
    if unused:
        raise ValueError(
            f"variables has {unused}, which no column of the model depends on; expected some of "
            f"{variables.used}."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"variables names a variable twice, found {names}.")
    return dict(chosen) if isinstance(chosen, Mapping) else dict.fromkeys(names)


def _numeric(variables: Variables, name: str, asked: Any, column: pd.Series) -> list[Contrast]:
    """Return contrasts of a variable whose values are numbers."""
    import pandas as pd

    if asked is None:
        asked = 1
    if isinstance(asked, str):
        if asked not in NUMERIC:
            raise ValueError(
                f"variables[{name!r}] must be a number, two values or one of {list(NUMERIC)}, "
                f"found {asked!r}."
            )
        data = variables.rows_of_fit(f"variables={{{name!r}: {asked!r}}}")[name]
        data = pd.Series(numbers(data))
        if variables.weights is not None:
            data = data[variables.weights > 0.0]
        if asked in ("sd", "2sd"):
            half = float(data.std()) * (0.5 if asked == "sd" else 1.0)
            centre = pd.Series(numbers(column), column.index)
            label = {"sd": "(x + sd/2) - (x - sd/2)", "2sd": "(x + sd) - (x - sd)"}[asked]
            return [Contrast(name, label, centre + half, centre - half)]
        ends = data.quantile([0.25, 0.75]) if asked == "iqr" else data.agg(["min", "max"])
        low, high = map(float, ends)
        label = "Q3 - Q1" if asked == "iqr" else "max - min"
        return [Contrast(name, label, constant(column, high), constant(column, low))]
    if isinstance(asked, Real) and not isinstance(asked, bool):
        step = float(asked)
        if not np.isfinite(step) or step == 0.0:
            raise ValueError(f"variables[{name!r}] must be a finite step, found {asked!r}.")
        half, centre = 0.5 * step, pd.Series(numbers(column), column.index)
        label = f"(x + {half:g}) - (x - {half:g})"
        return [Contrast(name, label, centre + half, centre - half)]
    found = asked if isinstance(asked, Iterable) else [asked]
    if not all(isinstance(value, Real) and np.isfinite(float(value)) for value in found):
        raise ValueError(
            f"variables[{name!r}] must be a number, two finite values or one of {list(NUMERIC)}, "
            f"found {asked!r}."
        )
    return [_pair(name, asked, column)]


def _between_levels(
    variables: Variables, name: str, asked: Any, column: pd.Series
) -> list[Contrast]:
    """Return contrasts of a variable whose values are levels."""
    levels = list(variables.levels[name])
    if is_time(column):
        return [_between_times(name, asked, column)]
    if asked is None:
        asked = "reference"
    if not isinstance(asked, Iterable):
        raise ValueError(
            f"variables[{name!r}] must be two of the values {levels} or one of {list(LEVELS)}, "
            f"found {asked!r}."
        )
    if not isinstance(asked, str):
        unknown = [value for value in list(asked) if value not in levels]
        if unknown:
            raise ValueError(
                f"variables[{name!r}] has {unknown}, no values of {name!r}; expected two of "
                f"{levels}."
            )
        return [_pair(name, asked, column)]
    if asked not in LEVELS:
        raise ValueError(
            f"variables[{name!r}] must be two values or one of {list(LEVELS)}, found {asked!r}."
        )
    if asked == "reference":
        pairs = [(levels[0], level) for level in levels[1:]]
    elif asked == "sequential":
        pairs = list(pairwise(levels))
    elif asked == "minmax":
        pairs = [(levels[0], levels[-1])]
    else:
        pairs = [(a, b) for i, a in enumerate(levels) for b in levels[i + 1 :]]
        if asked == "revpairwise":
            pairs = [(b, a) for a, b in pairs]
    return [_pair(name, pair, column) for pair in pairs]


def _between_times(name: str, asked: Any, column: pd.Series) -> Contrast:
    """Return the contrast of two times or durations, which may be others than those of the data."""
    import pandas as pd

    if asked is None or isinstance(asked, str) or not isinstance(asked, Iterable):
        raise ValueError(
            f"{name!r} has times, which have no unit to compare or differentiate by, found "
            f"variables[{name!r}] = {asked!r}: compare two of them, such as variables="
            f"{{{name!r}: ['{column.min()}', '{column.max()}']}}, or name the other variables."
        )
    return _pair(name, pd.Series(list(asked), dtype=column.dtype).tolist(), column)


def _pair(name: str, values: Any, column: pd.Series) -> Contrast:
    """Return the contrast from the first of two values to the second."""
    values = list(values) if isinstance(values, Iterable) else [values]
    if len(values) != 2 or values[0] == values[1]:
        raise ValueError(
            f"variables[{name!r}] must have two different values, the low and the high one, "
            f"found {values}."
        )
    low, high = values
    return Contrast(name, f"{high} - {low}", constant(column, high), constant(column, low))
