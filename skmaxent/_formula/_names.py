"""The names in the Python code of a formula: which are columns, which are functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Sequence

QUOTED_NAME = re.compile(r"`([^`]+)`")


def _tree(expression: str) -> tuple[ast.AST, dict[str, str]]:
    """Return the syntax tree of an expression, and the names in backticks by their stand-ins."""
    names: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        names[f"_quoted_{len(names)}"] = match[1]
        return f"_quoted_{len(names) - 1}"

    return ast.parse(QUOTED_NAME.sub(stand_in, expression).strip(), mode="eval"), names


def called_functions(expression: str) -> set[str]:
    """Return the names of the functions that an expression calls."""
    return {
        node.func.id
        for node in ast.walk(_tree(expression)[0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def names_in(expression: str, modules: Container[str]) -> set[str]:
    """Return the names in an expression that may be columns.

    These are all but the functions that it calls, variables that it binds itself, and `modules`,
    such as np, whose attributes it uses.
    """
    tree, quoted = _tree(expression)
    functions, bound = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            functions.add(id(node.func))
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in modules:
            functions.add(id(node.value))  # np.log, contr.sum
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
    return {
        quoted.get(node.id, node.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in functions and node.id not in bound
    }


def refuse_ambiguous(expression: str, columns: set[str]) -> None:
    """Raise ValueError if formulaic would take a column that the formula uses for something else.

    It looks columns up before functions. In names in backticks it replaces what Python names may
    not have by underscores, which may make the name of another column.
    """
    both = called_functions(expression) & columns
    if both:
        raise ValueError(
            f"{both.pop()!r} is a column of the formula and a function in {expression}; rename the "
            "column."
        )
    for name in _tree(expression)[1].values():
        plain = re.sub(r"\W", "_", name)
        if plain != name and plain in columns:
            raise ValueError(
                f"The columns {name!r} and {plain!r} cannot be told apart in {expression}; rename "
                "one of them."
            )


def advice_on(unknown: Sequence[str], columns: Sequence[str]) -> str:
    """Return what to write if unknown names are parts of names with dots, or methods of columns."""
    for name in columns:
        if "." in name and name.split(".")[0] in unknown:
            return f" Inside of functions write `{name}` in backticks."
    for name in unknown:
        if name.split(".")[0] in columns:
            return f" Write {{{name}}} in braces for Python code."
    return ""
