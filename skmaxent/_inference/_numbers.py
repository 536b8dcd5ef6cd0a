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
