"""Numbers and names as text in printed tables."""

from __future__ import annotations

import numpy as np

# Absolute values of at least this are written with an exponent.
LARGE = 1e6
# P-values below this are written as "<0.001".
LEAST_P_VALUE = 1e-3


def fixed(value: float, decimals: int) -> str:
    """Return a number as text with `decimals` decimals.

    Large numbers, and those that would be rounded to zero, are written with an exponent.
    """
    if np.isnan(value):
        return "n/a"
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value != 0.0 and (abs(value) >= LARGE or abs(value) < 0.5 * 10.0**-decimals):
        return f"{value:.{max(decimals - 1, 1)}e}"
    return f"{value:.{decimals}f}"


def figure(value: float) -> str:
    """Return a figure of a model, such as a count or an AIC, as text.

    It has six significant digits, or as many as its first decimal needs, so that the counts and the
    differences between large criteria are not rounded away.
    """
    if not 1e5 <= abs(value) < 1e15:
        return f"{value:.6g}"
    return f"{value:.1f}".removesuffix(".0")


def p_value(value: float) -> str:
    """Return a p-value as text with three decimals; smaller values are written "<0.001"."""
    if np.isnan(value):
        return "n/a"
    return "<0.001" if value < LEAST_P_VALUE else f"{value:.3f}"


def shortened(text: str, most: int) -> str:
    """Return a text in one line of at most `most` characters; "…" replaces the middle if needed."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[len(text) - half :]}"
