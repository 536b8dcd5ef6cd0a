"""Contrasts: the pairs of values of a variable that comparisons are between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any

from skmaxent._effects._variables import Variables, constant, is_time, numbers
from skmaxent._input._numbers import is_finite_number

if TYPE_CHECKING:
    import pandas as pd

# The named contrasts of numeric variables, and those of variables with levels.
NUMERIC = ("sd", "2sd", "iqr", "minmax")
LEVELS = ("reference", "sequential", "pairwise", "revpairwise", "minmax")


@dataclass(frozen=True)
class Contrast:
    """Two values of a variable for each row, `high` and `low`, whose predictions are compared.

    `label` is the name of the contrast in tables, such as "max - min".
    """

    variable: str
    label: str
    high: pd.Series
    low: pd.Series


def contrasts_of(variables: Variables, chosen: Any, newdata: pd.DataFrame) -> list[Contrast]:
    """Return the contrasts of the variables that a user chose.

    Parameters
    ----------
    variables : Variables
    chosen : None, str, list of str or dict
        The argument `variables` of `InferenceResults.comparisons`.
    newdata : DataFrame
        The rows to compare, with all variables.
    """
    found = []
    for name, specification in specifications(variables, chosen).items():
        column = newdata[name]
        if variables.is_numeric(name):
            found.append(_contrast_of_numbers(variables, name, specification, column))
        else:
            found += _contrasts_of_levels(variables, name, specification, column)
    return found


def specifications(variables: Variables, chosen: Any) -> dict[str, Any]:
    """Return the user's argument `variables` as a dict from variables to contrasts.

    Parameters
    ----------
    variables : Variables
    chosen : None, str, list of str or dict
        The argument. None stands for all variables that the model uses.

    Returns
    -------
    dict
        For each variable None (the default contrast), or what the user gave: the name of a
        contrast such as "iqr", a step or two values, which are not checked here.

    Raises
    ------
    TypeError
        For a table, such as data of the argument `newdata`.
    ValueError
        For names that are not columns of the data, that the model does not use, or that occur
        twice, and if the model has intercepts alone.
    """
    if chosen is None:
        chosen = variables.used
    if hasattr(chosen, "columns") or len(getattr(chosen, "shape", ())) > 1:
        raise TypeError(
            "variables must be names of columns, found rows of data, an object of type "
            f"{type(chosen).__name__}: give them as newdata."
        )
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


def _contrast_of_numbers(
    variables: Variables, name: str, specification: Any, column: pd.Series
) -> Contrast:
    """Return the contrast of a variable whose values are numbers, for the rows of `column`.

    `specification` is a name in `NUMERIC`, a step around the values of the rows, two values, or
    None for a step of one.
    """
    import pandas as pd

    if isinstance(specification, str):
        return _named_contrast_of_numbers(variables, name, specification, column)
    if specification is None:
        specification = 1
    if isinstance(specification, Real) and not isinstance(specification, bool):
        step = float(specification) if is_finite_number(specification) else 0.0
        if step == 0.0:
            raise ValueError(f"variables[{name!r}] must be a finite step, found {specification!r}.")
        half, centre = 0.5 * step, pd.Series(numbers(column), column.index)
        label = f"(x + {half:g}) - (x - {half:g})"
        return Contrast(name, label, centre + half, centre - half)
    values = specification if isinstance(specification, Iterable) else [specification]
    if not all(is_finite_number(value) for value in values):
        raise ValueError(
            f"variables[{name!r}] must be a number, two finite values or one of {list(NUMERIC)}, "
            f"found {specification!r}."
        )
    return _pair(variables, name, specification, column)


def _named_contrast_of_numbers(
    variables: Variables, name: str, kind: str, column: pd.Series
) -> Contrast:
    """Return a contrast of a numeric variable by its name, for the rows of `column`.

    `kind` is "sd" or "2sd", a step of one or two standard deviations around the value of each row,
    or "iqr" or "minmax", which have the same two values in all rows. Standard deviations, quartiles
    and extremes are those of the rows of the fit with positive weight, without weights. Raises
    ValueError for other names.
    """
    import pandas as pd

    if kind not in NUMERIC:
        raise ValueError(
            f"variables[{name!r}] must be a number, two values or one of {list(NUMERIC)}, "
            f"found {kind!r}."
        )
    data = pd.Series(numbers(variables.rows_of_fit(f"variables={{{name!r}: {kind!r}}}")[name]))
    if variables.weights is not None:
        data = data[variables.weights > 0.0]
    if kind in ("sd", "2sd"):
        half = float(data.std()) * (0.5 if kind == "sd" else 1.0)
        centre = pd.Series(numbers(column), column.index)
        label = {"sd": "(x + sd/2) - (x - sd/2)", "2sd": "(x + sd) - (x - sd)"}[kind]
        return Contrast(name, label, centre + half, centre - half)
    ends = data.quantile([0.25, 0.75]) if kind == "iqr" else data.agg(["min", "max"])
    low, high = map(float, ends)
    label = "Q3 - Q1" if kind == "iqr" else "max - min"
    return _between(variables, name, label, (low, high), column)


def _contrasts_of_levels(
    variables: Variables, name: str, specification: Any, column: pd.Series
) -> list[Contrast]:
    """Return the contrasts of a variable whose values are levels, for the rows of `column`.

    `specification` is a name in `LEVELS`, two values (low, high), or None for "reference", which
    compares each level with the first. Times and durations have a single contrast, between two
    values. Raises ValueError for other names and for values that are not levels.
    """
    levels = list(variables.levels[name])
    if is_time(column):
        return [_contrast_of_times(variables, name, specification, column)]
    kind = "reference" if specification is None else specification
    if not isinstance(kind, Iterable):
        raise ValueError(
            f"variables[{name!r}] must be two of the values {levels} or one of {list(LEVELS)}, "
            f"found {kind!r}."
        )
    if not isinstance(kind, str):
        unknown = [value for value in list(kind) if value not in levels]
        if unknown:
            raise ValueError(
                f"variables[{name!r}] has {unknown}, no values of {name!r}; expected two of "
                f"{levels}."
            )
        return [_pair(variables, name, kind, column)]
    if kind not in LEVELS:
        raise ValueError(
            f"variables[{name!r}] must be two values or one of {list(LEVELS)}, found {kind!r}."
        )
    if kind == "reference":
        pairs = [(levels[0], level) for level in levels[1:]]
    elif kind == "sequential":
        pairs = list(pairwise(levels))
    elif kind == "minmax":
        pairs = [(levels[0], levels[-1])]
    else:
        pairs = [(a, b) for i, a in enumerate(levels) for b in levels[i + 1 :]]
        if kind == "revpairwise":
            pairs = [(b, a) for a, b in pairs]
    return [_pair(variables, name, pair, column) for pair in pairs]


def _contrast_of_times(variables: Variables, name: str, values: Any, column: pd.Series) -> Contrast:
    """Return the contrast of two times or durations, which need not occur in the data.

    Raises ValueError if `values` is not a list of two, because there is no default contrast.
    """
    import pandas as pd

    if values is None or isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(
            f"{name!r} has times, which have no unit to compare or differentiate by, found "
            f"variables[{name!r}] = {values!r}: compare two of them, such as variables="
            f"{{{name!r}: ['{column.min()}', '{column.max()}']}}, or name the other variables."
        )
    times = pd.Series(list(values), dtype=column.dtype).tolist()
    return _pair(variables, name, times, column)


def _pair(variables: Variables, name: str, values: Any, column: pd.Series) -> Contrast:
    """Return the contrast from the first of two values to the second, for the rows of `column`."""
    values = list(values) if isinstance(values, Iterable) else [values]
    if len(values) != 2 or values[0] == values[1]:
        raise ValueError(
            f"variables[{name!r}] must have two different values, the low and the high one, "
            f"found {values}."
        )
    low, high = values
    return _between(variables, name, f"{high} - {low}", (low, high), column)


def _between(
    variables: Variables, name: str, label: str, values: tuple[Any, Any], column: pd.Series
) -> Contrast:
    """Return the contrast from the first of two values to the second, which has a label."""
    low, high = (constant(column, value, variables.template[name]) for value in values)
    return Contrast(name, label, high, low)
