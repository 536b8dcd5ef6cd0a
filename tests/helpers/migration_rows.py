"""The rows of docs/migrating.md, and the functions that execute them."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()


class Rows:
    """The functions that execute the rows of a table in one section of the page.

    `checks` maps the first cell of a row to its function, and `on_page` lists the first cells.
    """

    def __init__(self, section):
        self.checks = {}
        body = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
        cells = re.findall(r"(?m)^\| (.+?) \| .+ \|$", body)
        self.on_page = cells[1:]  # without the head of the table

    def row(self, *firsts):
        """Decorator of the function that executes the rows with these first cells."""

        def keep(check):
            for first in firsts:
                self.checks[first] = check
            return check

        return keep
