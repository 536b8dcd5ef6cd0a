"""Run the Python blocks of a page, and compare or write the outputs that the page shows.

A ``text`` block that follows a ``python`` block directly shows what the Python block prints.
``python -m tests.helpers.pages docs/penalties.md`` writes the ``text`` blocks of a page anew.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<shown>.*?)```\n)?", re.S)


def run(page: Path, namespace: dict[str, Any]) -> Iterator[tuple[re.Match[str], str]]:
    """Execute the blocks of `page` one after the other; yield each with what it printed."""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], f"{page.name}, a block", "exec"), namespace)
        yield block, clean(printed.getvalue())


def clean(text: str) -> str:
    """Return `text` without blanks at the ends of lines, and without the bound of the gap.

    The bound depends on the rounding of the machine.
    """
    text = re.sub(r"(?m)^(Optimality gap +below ).*", r"\1...", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def differences(page: Path, namespace: dict[str, Any]) -> list[str]:
    """Execute `page`; return a message for each block that prints something else than is shown."""
    return [
        f"the page {page.name} shows\n{block['shown']}\nbut its code prints\n{printed}"
        for block, printed in run(page, namespace)
        if block["shown"] is not None and clean(block["shown"]) != printed
    ]


def write(page: Path) -> None:
    """Execute `page` and write the outputs that it shows."""
    text = page.read_text(encoding="utf-8")
    for block, printed in reversed(list(run(page, {"__name__": "__main__"}))):
        if block["shown"] is not None:
            start, end = block.span("shown")
            text = text[:start] + printed + "\n" + text[end:]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write(Path(name))
