"""The two sides of a formula, and the response that the left side names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

# A response of counts: the names in cbind(...).
COUNTS = re.compile(r"cbind\((.*)\)", re.S)
# A name in cbind(...): in backticks, where it may contain commas, or without them.
ITEM = re.compile(r"\s*(?:`([^`]+)`|([^,`]+?))\s*(?:,|$)")


@dataclass(frozen=True)
class Response:
    """The columns that a formula names as its response.

    Attributes
    ----------
    columns : list of str
        One column of labels, or columns with the counts of the classes that they are named for.
    is_counts : bool
        Whether the columns are counts, written as ``cbind(a, b, c)``.
    """

    columns: list[str]
    is_counts: bool

    def of(self, frame: Any) -> Any:
        """Return y for `MaxentClassifier.fit`: a column of a pandas frame, or columns of counts."""
        return frame[self.columns] if self.is_counts else frame[self.columns[0]]


def split_formula(formula: str) -> tuple[str, str]:
    """Return the left and the right side of a formula.

    Raises ValueError unless there is one tilde outside of backticks, quotes and parentheses, with
    something on both sides.
    """
    tildes, closing, depth = [], "", 0
    for position, character in enumerate(formula):
        if closing:
            closing = "" if character == closing else closing
        elif character in "`'\"":
            closing = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "~" and depth == 0:
            tildes.append(position)
    sides = [formula[: tildes[0]], formula[tildes[0] + 1 :]] if len(tildes) == 1 else []
    if not all(side.strip() for side in sides) or not sides:
        raise ValueError(
            f"formula={formula!r} needs a response and terms on the two sides of one tilde, for "
            "instance 'vote ~ age + C(region)'."
        )
    return sides[0].strip(), sides[1].strip()


def response_of(left: str, columns: list[str]) -> Response:
    """Return the response that the left side of a formula names.

    Parameters
    ----------
    left : str
        A column, perhaps in backticks, or ``cbind(a, b, c)``.
    columns : list of str
        The columns of the data.

    Raises
    ------
    ValueError
        If a name is no column of the data, or if ``cbind`` has only one.
    """
    counts = COUNTS.fullmatch(left)
    if counts:
        names = [quoted or plain for quoted, plain in ITEM.findall(counts[1])]
        if len(names) < 2:
            raise ValueError(
                f"The response {left!r} needs at least two columns of counts, one for each class."
            )
    else:
        names = [left if left in columns else left.removeprefix("`").removesuffix("`")]
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(
            f"The response {left!r} is no column of the data: {missing} are not among {columns}. "
            "Expected a column of labels, or cbind(a, b, c) of columns of counts. Add a response "
            "that has to be computed to the data before."
        )
    return Response(names, bool(counts))
