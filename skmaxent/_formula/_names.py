"""The names in the Python code of a formula: which are columns, which are functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Sequence

QUOTED_NAME = re.compile(r"`([^`]+)`")


def _tree(expression: str) -> tuple[ast.AST, dict[str, str]]:
    """Return the syntax tree of an expression, and its names in backticks.

    Names in backticks need not be Python names, so that the tree has stand-ins for them. The dict
    maps each stand-in to the name.
    """
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

    These are all names except the functions that the expression calls, the variables that it binds
    itself, as in a comprehension, and `modules`, such as np, whose attributes it uses.
    """
    tree, quoted = _tree(expression)
    functions, bound = set(), set()  # nodes of the tree by their id; names
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
    """Raise ValueError if formulaic would confuse a column that the formula uses.

    formulaic looks up columns before functions, so that a column may hide a function. In names in
    backticks it replaces the characters that Python names cannot have by underscores, which may
    make the name of another column.
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
    """Return advice for the error about unknown names of a formula, or an empty string.

    The advice is a sentence that begins with a space. `unknown` are the names that are not
    columns, and `columns` are the names of the columns. There is advice in two cases:

    - A column has a dot in its name, such as "a.b", and is used within a function, as in
      ``log(a.b)``. Python reads it as the attribute b of a, so that "a" is unknown.
    - A method of a column, such as ``a.fillna(0)``, is used outside of braces. It is read as the
      name of a column, so that "a.fillna" is unknown.
    """
    for name in columns:
        if "." in name and name.split(".")[0] in unknown:
            return f" Inside of functions write `{name}` in backticks."
    for name in unknown:
        if name.split(".")[0] in columns:
            return f" Write {{{name}}} in braces for Python code."
    return ""
