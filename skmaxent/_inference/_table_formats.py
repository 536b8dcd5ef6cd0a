"""Tables of models for publications, formatted as text, Markdown, HTML and LaTeX."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

# How characters that LaTeX does not print as they are must be written.
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "²": "$^2$",
    "∞": r"$\infty$",
    "−": "$-$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
} | {sign: f"\\{sign}" for sign in "&%$#_"}


@dataclass(frozen=True)
class PublishedTable:
    """A table whose columns are outcomes, in groups of one model each.

    Attributes
    ----------
    groups : list of (str, int)
        The heading of each model, and how many columns it has.
    columns : list of str
        The outcomes.
    body : list of (str, list of (str, str, str))
        The name of a feature, and for each column the estimate, its stars, and what is below the
        estimate. Empty texts stand for coefficients that a model does not have.
    figures : list of (str, list of str)
        The name of a figure of the models, and its value for each of them.
    notes : list of str
        Sentences below the table.
    """

    groups: list[tuple[str, int]]
    columns: list[str]
    body: list[tuple[str, list[tuple[str, str, str]]]]
    figures: list[tuple[str, list[str]]]
    notes: list[str]

    def _grid(self) -> list[list[str]]:
        """Return the cells of the rows below the headings of the models.

        The first row names the outcomes. Then follow two rows for each entry of the body, and a row
        for each figure, which is in the first column of its model.
        """
        rows = [["", *self.columns]]
        for name, cells in self.body:
            rows.append([name, *(estimate + stars for estimate, stars, _ in cells)])
            rows.append(["", *(below for *_, below in cells)])
        for name, values in self.figures:
            spread = [
                [value, *[""] * (n - 1)] for value, (_, n) in zip(values, self.groups, strict=True)
            ]
            rows.append([name, *chain.from_iterable(spread)])
        return rows

    def _headings(self) -> list[str]:
        """Return the heading of each column: the name of a model is in its first column alone."""
        return [text for name, n in self.groups for text in (name, *[""] * (n - 1))]

    def to_text(self) -> str:
        """Return the table as text with aligned columns."""
        names, *rows = self._grid()
        widths = [max(len(row[j]) for row in [names, *rows]) for j in range(len(names))]
        # A model's name that is wider than its columns makes the last of them wider.
        for at, (name, n) in zip(self._starts(), self.groups, strict=True):
            span = sum(widths[at : at + n]) + 2 * (n - 1)
            widths[at + n - 1] += max(len(name) - span, 0)
        top = " " * widths[0]
        for at, (name, n) in zip(self._starts(), self.groups, strict=True):
            top += "  " + name.center(sum(widths[at : at + n]) + 2 * (n - 1))

        def line(row: list[str]) -> str:
            cells = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
            return "  ".join(cells).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        split = 2 * len(self.body)
        body, figures = rows[:split], rows[split:]
        lines = [
            top.rstrip(),
            line(names),
            rule,
            *map(line, body),
            rule,
            *map(line, figures),
            rule,
        ]
        return "\n".join([*lines, *self.notes])

    def _starts(self) -> list[int]:
        """Return the position of the first column of each model."""
        starts = [1]
        for _, n in self.groups[:-1]:
            starts.append(starts[-1] + n)
        return starts

    def to_markdown(self) -> str:
        """Return a pipe table for GitHub and pandoc; its header has the names of the models."""
        head, *rows = [["", *self._headings()], *self._grid()]
        lines = [_joined(head, markdown), "|:---|" + "---:|" * len(self.columns)]
        lines += [_joined(row, markdown) for row in rows]
        return "\n".join([*lines, "", *(f"{markdown(note)}  " for note in self.notes)]).rstrip()

    def to_html(self) -> str:
        """Return a table element of HTML with inline styles."""
        style = "text-align:center;padding-left:0.8em"
        head = "".join(
            f'<th colspan="{n}" style="{style}">{html.escape(name)}</th>' for name, n in self.groups
        )
        names, *rows = self._grid()
        split = 2 * len(self.body)
        parts = [f"<thead><tr><th></th>{head}</tr>{_html_row(names, 'th')}</thead>"]
        parts += [f"<tbody>{''.join(map(_html_row, rows[:split]))}</tbody>"]
        line = "border-top:1px solid"
        values = "".join(map(self._html_figures, self.figures))
        notes = "<br>".join(map(html.escape, self.notes))
        foot = f'<tr><td colspan="{len(names)}" style="text-align:left;{line}">{notes}</td></tr>'
        parts.append(f'<tbody style="{line}">{values}</tbody><tfoot>{foot}</tfoot>')
        return f'<table style="border-collapse:collapse">{"".join(parts)}</table>'

    def _html_figures(self, figure: tuple[str, list[str]]) -> str:
        """Return the row of a figure, whose values span the columns of their models."""
        name, values = figure
        cells = "".join(
            f'<td colspan="{n}" style="text-align:center">{html.escape(value)}</td>'
            for value, (_, n) in zip(values, self.groups, strict=True)
        )
        return f'<tr><th style="text-align:left">{html.escape(name)}</th>{cells}</tr>'

    def to_latex(self) -> str:
        """Return a tabular environment that needs no package, and a minipage with the notes.

        Inside the tabular environment, long notes would make the last column wider.
        """
        n_columns = len(self.columns)
        headings = " & ".join(
            rf"\multicolumn{{{n}}}{{c}}{{{latex(name)}}}" for name, n in self.groups
        )
        lines = [rf"\begin{{tabular}}{{l{'r' * n_columns}}}", r"\hline", rf" & {headings} \\"]
        names, *rows = self._grid()
        lines += [_latex_row(names), r"\hline"]
        lines += map(_latex_row, rows[: 2 * len(self.body)])
        lines.append(r"\hline")
        for name, values in self.figures:
            cells = " & ".join(
                rf"\multicolumn{{{n}}}{{c}}{{{latex(value)}}}"
                for value, (_, n) in zip(values, self.groups, strict=True)
            )
            lines.append(rf"{latex(name)} & {cells} \\")
        lines += [r"\hline", r"\end{tabular}", "", r"\begin{minipage}{0.9\linewidth}\footnotesize"]
        notes = (rf"{latex(note)}\par" for note in self.notes)
        return "\n".join([*lines, *notes, r"\end{minipage}"])


def latex(text: str) -> str:
    """Return text for LaTeX, with special characters escaped and minus signs in math mode."""
    text = " ".join(text.split())
    is_number = re.fullmatch(r"(\(?\[?)-?[\d.∞].*", text)
    escaped = "".join(LATEX.get(sign, sign) for sign in text)
    # Empty groups prevent ligatures, such as -- for a dash.
    escaped = re.sub(r"([-?!`])(?=[-`])", r"\1{}", escaped)
    if is_number:
        escaped = re.sub(r"(?<![\w.])-", "$-$", escaped)
    # After the \\ that ends a row, LaTeX would read [ or * of the next row as its argument.
    return f"{{{escaped}}}" if escaped.startswith(("[", "*")) else escaped


def markdown(text: str) -> str:
    """Return text for Markdown, with special characters escaped."""
    return re.sub(r"([\\`*_\[\]<>#|~$])", r"\\\1", " ".join(text.split()))


def _joined(row: list[str], escape: Callable[[str], str]) -> str:
    """Return a row of a pipe table; `escape` is applied to each cell."""
    return "| " + " | ".join(map(escape, row)) + " |"


def _latex_row(row: list[str]) -> str:
    """Return a row of a LaTeX table."""
    return " & ".join(map(latex, row)) + r" \\"


def _html_row(row: list[str], tag: str = "td") -> str:
    """Return a row of an HTML table: a header cell, then cells with the given tag."""
    first = f'<th style="text-align:left">{html.escape(row[0])}</th>'
    style = "text-align:right;padding-left:0.8em"
    cells = (f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for cell in row[1:])
    return f"<tr>{first}{''.join(cells)}</tr>"
