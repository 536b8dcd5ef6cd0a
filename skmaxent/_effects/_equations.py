"""Linear equations as users write them, over named quantities."""

from __future__ import annotations

import ast
import re

import numpy as np

from skmaxent._typing import Array


def linear_equations(equations: list[str], names: list[str]) -> tuple[Array, Array, list[str]]:
    """Return A and c of linear equations A x = c that are written with the names of x.

    Parameters
    ----------
    equations : list of str
        Such as ``"2*Labour:Europe - LibDem:Europe = 0.5"``. An expression without an equals sign
        stands for the equation that the expression is zero. Names may stand in backticks. They must
        if they can be read as an expression of other names, because they contain operators,
        parentheses or spaces.
    names : list of str
        The names of the quantities x.

    Returns
    -------
    A : ndarray of shape (n_equations, len(names))
    c : ndarray of shape (n_equations,)
    texts : list of str
        The equations, with an equals sign each.

    Raises
    ------
    ValueError
        For unknown or ambiguous names, and for what is not linear.
    """
    A, c = np.zeros((len(equations), len(names))), np.zeros(len(equations))
    texts = []
    for i, equation in enumerate(equations):
        sides = _split_at_equals(_quoted(equation, names))
        if len(sides) > 2:
            raise ValueError(f"{equation!r} has more than one equals sign.")
        left = _Parser(sides[0], equation, names).linear()
        right = _Parser(sides[1], equation, names).linear() if len(sides) == 2 else None
        total = left if right is None else left - right
        if not np.any(total[:-1]):
            raise ValueError(f"{equation!r} has no coefficient in it: it holds or not by itself.")
        A[i], c[i] = total[:-1], -total[-1]
        texts.append(equation.strip() if right is not None else f"{equation.strip()} = 0")
    return A, c, texts


def _quoted(equation: str, names: list[str]) -> str:
    """Return the equation with backticks around names with operators, parentheses or spaces.

    Raises ValueError for such a name if it can be read as an expression of other names.
    """
    unusual = {name for name in names if re.search(r"[-+*/=() ]", name) and name.strip()}
    unusual = {name for name in unusual if name in equation}
    if not unusual:
        return equation
    pattern = "|".join(map(re.escape, sorted(unusual, key=len, reverse=True)))

    def quoted(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)
        if _is_expression(name, [other for other in names if other != name]):
            raise ValueError(
                f"{name!r} in {equation!r} is a name, and an expression of other names too: write "
                "backticks around the names that are meant."
            )
        return f"`{name}`"

    return re.sub(rf"`[^`]*`|(?<![\w.])({pattern})(?![\w.:\[])", quoted, equation)


def _is_expression(text: str, names: list[str]) -> bool:
    """Return whether a text is a linear equation of the names."""
    try:
        linear_equations([text], names)
    except ValueError:
        return False
    return True


def _split_at_equals(equation: str) -> list[str]:
    """Return the sides of an equation; equals signs in backticks are part of names."""
    parts = re.split(r"(`[^`]*`)", equation)
    masked = "".join(part.replace("=", "\0") if part.startswith("`") else part for part in parts)
    return [side.replace("\0", "=") for side in masked.split("=")]


class _Parser:
    """Parser of one side of an equation, `text`; the whole `equation` is for errors."""

    def __init__(self, text: str, equation: str, names: list[str]) -> None:
        self.equation, self.names = equation, names
        self.found: list[str] = []
        # The longest names first, so that none is taken for the beginning of another.
        plain = sorted({name for name in names if name.strip()}, key=len, reverse=True)
        alternatives = "|".join(map(re.escape, plain))
        pattern = rf"`([^`]*)`|(?<![\w.])({alternatives})(?![\w.:\[])" if plain else r"`([^`]*)`"
        self.text = re.sub(pattern, self._placeholder, text)

    def linear(self) -> Array:
        """Return the weight of each name and, as the last entry, the constant, (n_names + 1,)."""
        try:
            tree = ast.parse(self.text.strip(), mode="eval")
        except SyntaxError:
            raise ValueError(
                f"{self.equation!r} is no linear equation of coefficients: it has an unknown name, "
                f"or is not linear; expected {self._expected()}."
            ) from None
        return self._value(tree.body)

    def _placeholder(self, match: re.Match[str]) -> str:
        """Return the Python name that stands for a quoted or bare name; remember the name."""
        quoted, bare = match.group(1), match.group(2) if match.re.groups > 1 else None
        name = bare if quoted is None else quoted
        if name is None or self.names.count(name) != 1:
            many = name is not None and name in self.names
            what = "is the name of several coefficients" if many else "is no coefficient"
            raise ValueError(f"{name!r} in {self.equation!r} {what}; expected {self._expected()}.")
        self.found.append(name)
        return f" __x{len(self.found) - 1} "

    def _expected(self) -> str:
        """Return which names an equation may have, for errors."""
        shown = self.names if len(self.names) <= 12 else [*self.names[:12], "..."]
        return f"names among {shown}"

    def _value(self, node: ast.expr) -> Array:
        """Return the weights of the names and the constant of a part of the text, as `linear`."""
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            value = np.zeros(len(self.names) + 1)
            value[-1] = node.value
            return value
        if isinstance(node, ast.Name):
            if not node.id.startswith("__x"):
                raise ValueError(
                    f"{node.id!r} in {self.equation!r} is no coefficient; expected "
                    f"{self._expected()}. Names with spaces or operators stand in backticks."
                )
            value = np.zeros(len(self.names) + 1)
            value[self.names.index(self.found[int(node.id[3:])])] = 1.0
            return value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
            return self._value(node.operand) * (-1.0 if isinstance(node.op, ast.USub) else 1.0)
        if isinstance(node, ast.BinOp):
            left, right = self._value(node.left), self._value(node.right)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.Mult) and not (left[:-1].any() and right[:-1].any()):
                return right * left[-1] if not left[:-1].any() else left * right[-1]
            if isinstance(node.op, ast.Div) and not right[:-1].any() and right[-1] != 0.0:
                return left / right[-1]
        raise ValueError(f"{self.equation!r} is no linear equation of {self._expected()}.")
