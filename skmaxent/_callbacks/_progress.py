"""Printed progress of a computation."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

Result = TypeVar("Result")


@dataclass
class Progress:
    """Prints texts about the progress of a computation, with the seconds since it began.

    In a terminal, each text overwrites the last one in the same line, which `close` ends. Elsewhere
    each text has a line of its own.
    """

    began: float = field(default_factory=perf_counter)
    width: int = 0  # of the text that is overwritten next

    def show(self, text: str) -> None:
        """Print a text and the seconds since the computation began."""
        line = f"{text}   {perf_counter() - self.began:.1f} s"
        if sys.stdout.isatty():
            print("\r" + line.ljust(self.width), end="", flush=True)
            self.width = len(line)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """End the line of a terminal, so that later output begins a new one."""
        if self.width:
            print(flush=True)
            self.width = 0


def with_progress(results: Iterable[Result], n_results: int, name: str) -> Iterator[Result]:
    """Yield results as they come, and print lines such as "3 of 10 folds" for the name "folds"."""
    progress = Progress()
    for number, result in enumerate(results, 1):
        progress.show(f"{number} of {n_results} {name}")
        yield result
    progress.close()
