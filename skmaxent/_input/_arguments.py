"""Checks of arguments that are flags, one of several texts, counts, or one or several values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from skmaxent._input._numbers import is_integer

# The largest count, so that sizes of arrays and numbers of draws are integers of the machine.
LARGEST_COUNT = 2**31 - 1


def as_list(value: Any) -> list[Any]:
    """Return a text or another single value as a list of one, and an iterable as a list."""
    return list(value) if np.iterable(value) and not isinstance(value, str) else [value]


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless the argument `name` is True or False; 1 and 0 pass for these."""
    if not (isinstance(value, (bool, np.bool_)) or is_integer(value)) or value not in (True, False):
        raise ValueError(f"{name} must be True or False, found {value!r}.")


def is_flag(value: Any, flag: bool) -> bool:
    """Return whether an argument is the bool `flag`, of Python or NumPy, and no number."""
    return isinstance(value, (bool, np.bool_)) and bool(value) is flag


def check_type(name: str, value: Any, expected: type, what: str) -> None:
    """Raise TypeError unless the argument `name` is an object of the type `expected`.

    `what` is what it must be, in the message.
    """
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be {what}, found an object of type {type(value).__name__}.")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise ValueError unless the argument `name` is one of the texts `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, found {value!r}.")


def check_count(name: str, value: Any, least: int, most: int = LARGEST_COUNT) -> None:
    """Raise ValueError unless the argument `name` is an integer from `least` to `most`."""
    if not is_integer(value) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, found {value!r}.")
    if value > most:
        raise ValueError(f"{name} must be an integer of at most {most:,}, found {value!r}.")
