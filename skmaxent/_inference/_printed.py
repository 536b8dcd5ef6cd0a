"""The table of coefficients as it is printed: fixed decimals, and the first and last rows."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING

from skmaxent._inference._numbers import fixed, p_value, shortened

if TYPE_CHECKING:
    import pandas as pd

# Decimals of columns; others have four.
DECIMALS = {"z": 2, "t": 2}
# Characters of a name that are printed.
MOST_CHARACTERS = 40
# Rows up to which all are printed, and the rows at both ends that are printed of more.
MOST_PRINTED_ROWS, ROWS_AT_ENDS = 200, 30


def text_table(table: pd.DataFrame, conf_level: float) -> str:
    """Return a summary as text with aligned columns, abbreviated where it is long."""
    names = _headings(table, conf_level)
    rows, sentence = _rows(table)
    widths = [max(len(row[j]) for row in [names, *rows]) for j in range(len(names))]
    lines = []
    last = None
    for row in [names, *rows]:
        label = "" if row[0] == last else row[0]
        last = row[0]
        cells = [label.ljust(widths[0]), row[1].ljust(widths[1])]
        lines.append("  ".join([*cells, *map(str.rjust, row[2:], widths[2:])]).rstrip())
    return "\n".join([*lines, *sentence])


def html_table(table: pd.DataFrame, conf_level: float) -> str:
    """The same as an HTML table."""

    def line(row: list[str], tag: str) -> str:
        first = (f"<th style='text-align:left'>{html.escape(cell)}</th>" for cell in row[:2])
        others = (
            f"<{tag} style='text-align:right;padding-left:0.8em'>{html.escape(cell)}</{tag}>"
            for cell in row[2:]
        )
        return f"<tr>{''.join(first)}{''.join(others)}</tr>"

    rows, sentence = _rows(table)
    body = "".join(line(row, "td") for row in rows)
    head = line(_headings(table, conf_level), "th")
    note = "".join(f"<p>{html.escape(text)}</p>" for text in sentence)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{note}"


def _headings(table: pd.DataFrame, conf_level: float) -> list[str]:
    """Return the headings of the columns of a printed table."""
    level = f"{100 * conf_level:.10g}%"
    shown = {"lower": f"{level} lower", "upper": f"{level} upper", "p_value": "p"}
    return ["class", "feature", *(shown.get(name, name) for name in table.columns)]


def _rows(table: pd.DataFrame) -> tuple[list[list[str]], list[str]]:
    """Return rows of texts, and a sentence on the rows that are left out, if any are."""
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
    """Return the rows of a table as texts, labels first."""
    columns = []
    for name in table.columns:
        write: Callable[[float], str] = p_value if name == "p_value" else _writer(name)
        columns.append([write(float(value)) for value in table[name]])
    labels = [[shortened(str(part), MOST_CHARACTERS) for part in label] for label in table.index]
    return [[*label, *cells] for label, *cells in zip(labels, *columns, strict=True)]


def _writer(name: str) -> Callable[[float], str]:
    """Return the function that writes the numbers of a column."""
    decimals = DECIMALS.get(name, 4)
    return lambda value: fixed(value, decimals)
