"""A table of coefficients as text and as HTML: fixed decimals, and long tables abbreviated.

The tables are those of `InferenceResults.summary`: a row for each class and feature.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from skmaxent._inference._numbers import fixed, p_value, shortened

if TYPE_CHECKING:
    import pandas as pd

# Decimals of columns. Other columns have DEFAULT_DECIMALS.
DECIMALS = {"z": 2, "t": 2}
DEFAULT_DECIMALS = 4
# Longer names are shortened to this number of characters.
MOST_CHARACTERS = 40
# A table with more than MOST_PRINTED_ROWS rows is printed as its first and last ROWS_AT_ENDS rows.
MOST_PRINTED_ROWS, ROWS_AT_ENDS = 200, 30


def text_table(table: pd.DataFrame, conf_level: float) -> str:
    """Return a table as text with aligned columns; a class is named in its first row only.

    `conf_level` is the level of the intervals of the table, for the headings.
    """
    names = _headings(table, conf_level)
    rows, omission = _rows(table)
    widths = [max(len(row[j]) for row in [names, *rows]) for j in range(len(names))]
    lines = []
    last = None
    for row in [names, *rows]:
        label = "" if row[0] == last else row[0]
        last = row[0]
        cells = [label.ljust(widths[0]), row[1].ljust(widths[1])]
        lines.append("  ".join([*cells, *map(str.rjust, row[2:], widths[2:])]).rstrip())
    return "\n".join([*lines, *omission])


def html_table(table: pd.DataFrame, conf_level: float) -> str:
    """Return a table as an HTML table; `conf_level` is as in `text_table`."""

    def line(row: list[str], tag: str) -> str:
        first = (f"<th style='text-align:left'>{html.escape(cell)}</th>" for cell in row[:2])
        others = (
            f"<{tag} style='text-align:right;padding-left:0.8em'>{html.escape(cell)}</{tag}>"
            for cell in row[2:]
        )
        return f"<tr>{''.join(first)}{''.join(others)}</tr>"

    rows, omission = _rows(table)
    body = "".join(line(row, "td") for row in rows)
    head = line(_headings(table, conf_level), "th")
    note = "".join(f"<p>{html.escape(text)}</p>" for text in omission)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{note}"


def _headings(table: pd.DataFrame, conf_level: float) -> list[str]:
    """Return the headings of the printed columns, the two labels of a row first."""
    level = f"{100 * conf_level:.10g}%"
    shown = {"lower": f"{level} lower", "upper": f"{level} upper", "p_value": "p"}
    return ["class", "feature", *(shown.get(name, name) for name in table.columns)]


def _rows(table: pd.DataFrame) -> tuple[list[list[str]], list[str]]:
    """Return the cells of the printed rows as text, and a sentence if rows are left out.

    Each row begins with its class and feature. The second list is empty or has the one sentence.
    """
    if len(table) <= MOST_PRINTED_ROWS:
        return _texts(table), []
    ends = [table.iloc[:ROWS_AT_ENDS], table.iloc[-ROWS_AT_ENDS:]]
    first, last = map(_texts, ends)
    gap = ["…"] * (2 + table.shape[1])
    n = len(table) - 2 * ROWS_AT_ENDS
    return [*first, gap, *last], [
        f"{n} of {len(table)} rows are not shown: results.summary() returns all rows."
    ]


def _texts(table: pd.DataFrame) -> list[list[str]]:
    """Return the cells of all rows of a table as text; each row begins with class and feature."""
    columns = []
    for name in table.columns:
        decimals = DECIMALS.get(name, DEFAULT_DECIMALS)
        write: Callable[[float], str] = (
            p_value if name == "p_value" else partial(fixed, decimals=decimals)
        )
        columns.append([write(float(value)) for value in table[name]])
    labels = [[shortened(str(part), MOST_CHARACTERS) for part in label] for label in table.index]
    return [[*label, *cells] for label, *cells in zip(labels, *columns, strict=True)]
